/* What people do while commands are in flight: task management, logouts and texts, straight through the
 * client's session. The library itself sends such functions only when a command is late, and logs out only at
 * the end; what these take along it repeats or brings back. */
#include <stdio.h>
#include <string.h>

#include "initiator/iscsi/internal.h"
#include "initiator/lib/client.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

#define LONG_TEXT 1800u /* bytes: more than the smallest segment */

static struct ini_session *session_of(const struct client *c)
{
    const struct lnt_client *lnt = c->lnt;
    return lnt && lnt->state == LNT_UP ? lnt->session : NULL;
}

/* ---- task management ---- */

enum { ABORT_TASK = 1, QUERY_TASK = 9 };
/* RFC 7143 11.5.1 and RFC 7144; TASK REASSIGN is the engine's own. */
static const uint8_t functions[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12};

bool client_tmf(struct client *c)
{
    uint8_t function = functions[world_pick(c->world, sizeof functions)];
    return client_function(c, function, world_chance(c->world, 5));
}

bool client_function(struct client *c, uint8_t function, bool nowhere)
{
    struct world *w = c->world;
    uint64_t elsewhere = nowhere ? (uint64_t)0x77 << 48 : 0; /* a LUN that is not there */
    struct ini_session *s = session_of(c);
    if (!s || list_empty(&c->lnt->active))
        return false;
    struct lnt_command *oldest = list_first(&c->lnt->active, struct lnt_command, node);
    bool one = function == ABORT_TASK || function == QUERY_TASK;
    uint64_t lun = one || !elsewhere ? oldest->scsi.lun : elsewhere;
    uint32_t tag;
    if (ini_task_management(s, function, lun, one ? &oldest->scsi : NULL, &tag))
        return false;
    coverage_add(COVER_TMF, 1);
    world_say(w, "client %u sends task management function %u", c->index, function);
    client_want_flush(c->lnt);
    return true;
}

/* ---- logout ---- */

enum { LOGOUT_CLOSE_SESSION = 0 }; /* RFC 7143 11.14.1 */

/* The engine waits for its commands first. It need not, so sometimes they are left to the target to end. */
static bool log_out_at_once(struct client *c)
{
    struct lnt_connection *conn = &c->lnt->connections[0];
    if (!conn->ini || !conn->logged_in || conn->ini->state != INI_S5_LOGGED_IN || conn->ini->over ||
        conn->ini->s->logout_sent || !ini_logout_send(conn->ini, LOGOUT_CLOSE_SESSION, NULL))
        return false;
    coverage_add(COVER_LOGOUT_AT_ONCE, 1);
    world_say(c->world, "client %u logs out with commands in flight", c->index);
    client_want_flush(c->lnt);
    return true;
}

bool client_log_session_out(struct client *c)
{
    struct ini_session *s = session_of(c);
    if (!s || ini_logout(s) != 0)
        return false;
    coverage_add(COVER_LOGOUT_SESSION, 1);
    world_say(c->world, "client %u logs its session out", c->index);
    client_want_flush(c->lnt);
    return true;
}

bool client_logout(struct client *c)
{
    struct world *w = c->world;
    struct ini_session *s = session_of(c);
    uint32_t index = (uint32_t)world_pick(w, 4);
    bool at_once = world_chance(w, 30);
    if (!s)
        return false;
    if (at_once)
        return log_out_at_once(c);
    struct lnt_connection *conn = index < c->lnt->options.connections ? &c->lnt->connections[index] : NULL;
    bool one = conn && conn->ini && conn->logged_in && ini_connections(s) > 1;
    if (!one)
        return client_log_session_out(c);
    if (ini_conn_logout(conn->ini) != 0)
        return false;
    coverage_add(COVER_LOGOUT_CONNECTION, 1);
    world_say(w, "client %u logs a connection out", c->index);
    client_want_flush(c->lnt);
    return true;
}

/* ---- text ---- */

static int long_text(struct ini_session *s)
{
    char text[LONG_TEXT];
    memset(text, 'a', sizeof text);
    for (uint32_t at = 0; at < sizeof text; at += 200) { /* pairs whose values are not too long */
        snprintf(text + at, 32, "X-org.lunette.sim%u", at / 200);
        text[at + strlen(text + at)] = '=';
        text[at + 199] = '\0';
    }
    return ini_text(s, text, sizeof text);
}

bool client_text(struct client *c)
{
    struct world *w = c->world;
    struct ini_session *s = session_of(c);
    uint64_t what = world_pick(w, 6);
    uint32_t len = (512u << world_pick(w, 9)) + 4 * (uint32_t)world_pick(w, 30);
    int err;
    if (!s)
        return false;
    if (what < 3)
        err = ini_set_max_recv(s, len < POOL_CLASS_MAX ? len : POOL_CLASS_MAX);
    else
        err = what == 3 ? ini_send_targets(s, "") : what == 4 ? ini_send_targets(s, "All") : long_text(s);
    if (err)
        return false;
    coverage_add(what < 3 ? COVER_MAX_RECV : COVER_TEXT, 1);
    world_say(w, "client %u sends text %u (%u)", c->index, (unsigned)what, len);
    client_want_flush(c->lnt);
    return true;
}
