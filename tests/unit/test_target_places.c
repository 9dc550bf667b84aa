/* Where initiators are sent: portals in SendTargets, long redirects, placement on a reactor and the move to
 * another one. Method: raw initiators; texts are compared byte by byte; a second reactor with an environment
 * of its own takes connections over, and the first one ends while they live on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target/iscsi/conn_internal.h"
#include "target_full.h"

#define SECOND_NS 1000000000ull

static struct world w;
static struct client c;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    world_start(&w);
    client_init(&c, &w);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    world_fini(&w);
    return 0;
}

/* ---- what SendTargets says of a portal ---- */

/* A discovery session that has reached `local`. */
static void discover_at(const char *local)
{
    client_fini(&c);
    memset(&c, 0, sizeof c);
    c.w = &w;
    c.cid = 1;
    c.isid[0] = 0x80;
    struct tgt_conn_info info = {.group = 1, .host = &c};
    addr_parse(local, 0, &info.local);
    if (info.local.family == 6)
        info.local.scope = 3;
    assert_int_equal(tgt_conn_new(&w.r, &info, &c.conn), 0);
    client_discovery(&c);
}

static void portals_are_told_as_they_can_be_reached(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *advertise;
        uint16_t group;
        const char *reached, *told; /* NULL: not at all */
    } rows[] = {
        {"192.0.2.1:3260", "", 1, "192.0.2.1:3260", "192.0.2.1:3260,1"},
        {"192.0.2.1:860", "", 10, "192.0.2.1:3260", "192.0.2.1:860,10"},
        {"192.0.2.1:3260", "", 65535, "192.0.2.1:3260", "192.0.2.1:3260,65535"},
        {"192.0.2.1:3260", "", 12034, "192.0.2.1:3260", "192.0.2.1:3260,12034"},
        {"192.0.2.1:3260", "", 0, "192.0.2.1:3260", "192.0.2.1:3260,0"},
        /* a wildcard is the address that was reached, at its own port */
        {"0.0.0.0:3261", "", 99, "192.0.2.9:3260", "192.0.2.9:3261,99"},
        {"[::]:3261", "", 100, "[2001:db8::9]:3260", "[2001:db8::9]:3261,100"},
        /* of the other family nothing is known */
        {"0.0.0.0:3261", "", 2, "[2001:db8::9]:3260", NULL},
        {"[::]:3261", "", 2, "192.0.2.9:3260", NULL},
        {"[2001:db8::1]:3261", "", 2, "192.0.2.9:3260", "[2001:db8::1]:3261,2"},
        /* a zone means nothing to another machine */
        {"[::]:3261", "", 2, "[fe80::9]:3260", "[fe80::9]:3261,2"},
        {"192.0.2.1:3260", "san.example:99", 7, "10.0.0.1:3260", "san.example:99,7"},
        {"0.0.0.0:3260", "san.example:99", 8, "[2001:db8::9]:3260", "san.example:99,8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tgt_portal *portal = &w.config->portals[0];
        assert_int_equal(addr_parse(rows[i].listen, 0, &portal->listen), 0);
        strcpy(portal->advertise, rows[i].advertise);
        portal->group = rows[i].group;
        discover_at(rows[i].reached);
        char want[400];
        int len = snprintf(want, sizeof want, "TargetName=%s%c", TARGET, 0);
        if (rows[i].told)
            len += snprintf(want + len, sizeof want - (size_t)len, "TargetAddress=%s%c", rows[i].told, 0);
        assert_int_equal(text_do(&c, "SendTargets=" TARGET, 5, PDU_TAG_RESERVED).final, 1);
        assert_int_equal(c.reply.len, len);
        assert_memory_equal(c.reply.data, want, (size_t)len);
    }
    PROVES("R7143-C-12", "target");
}

static void the_longest_names_are_told_whole(void **state)
{
    (void)state;
    struct tgt_portal *portal = &w.config->portals[0];
    memset(portal->advertise, 'h', sizeof portal->advertise - 1);
    portal->group = 65535;
    char want[400];
    snprintf(want, sizeof want, "TargetAddress=%s,65535", portal->advertise);
    client_discovery(&c);
    text_do(&c, "SendTargets=" TARGET, 5, PDU_TAG_RESERVED);
    assert_true(reply_has(&c.reply, want));
    client_fini(&c);
    client_init(&c, &w);
    struct tgt_target *target = &w.config->targets[0];
    target->redirects = env_alloc(&w.env, sizeof *target->redirects);
    target->redirect_count = 1;
    memset(target->redirects[0].address, 'r', sizeof target->redirects[0].address - 1);
    snprintf(want, sizeof want, "TargetAddress=%s", target->redirects[0].address);
    assert_int_equal(login_status(client_login_step(&c, 1, 3, NAMES)), 0x0101);
    assert_int_equal(c.reply.len, strlen(want) + 1);
    assert_true(reply_has(&c.reply, want));
}

/* Which SendTargets values a session may ask for: appendix C. */
static void what_may_be_asked_depends_on_the_session(void **state)
{
    (void)state;
    enum { UNNAMED, NAMED, NORMAL };
    static const struct {
        int session;
        const char *ask;
        const char *listed[2];
        bool rejected;
    } rows[] = {
        {UNNAMED, "All", {TARGET, SECOND}, false},
        {UNNAMED, TARGET, {TARGET}, false},
        {UNNAMED, SECOND, {SECOND}, false},
        {UNNAMED, "", {NULL}, true},
        {UNNAMED, "iqn.a", {NULL}, false},
        {NAMED, "All", {TARGET, SECOND}, false},
        {NAMED, "", {TARGET}, false},
        {NAMED, SECOND, {SECOND}, false},
        {NORMAL, "", {TARGET}, false},
        {NORMAL, TARGET, {TARGET}, false},
        {NORMAL, SECOND, {NULL}, false},
        {NORMAL, "All", {NULL}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[400];
        client_fini(&c);
        client_init(&c, &w);
        snprintf(text, sizeof text, "InitiatorName=" INITIATOR "%s\nSessionType=%s",
                 rows[i].session == UNNAMED ? "" : "\nTargetName=" TARGET,
                 rows[i].session == NORMAL ? "Normal" : "Discovery");
        struct pdu_login_response rsp = client_login_step(&c, 1, 3, text);
        assert_int_equal(login_status(rsp), 0);
        snprintf(text, sizeof text, "SendTargets=%s", rows[i].ask);
        text_do(&c, text, 5, PDU_TAG_RESERVED);
        char want[400];
        int len = 0;
        for (int k = 0; k < 2 && rows[i].listed[k]; k++)
            len += snprintf(want + len, sizeof want - (size_t)len,
                            "TargetName=%s%cTargetAddress=127.0.0.1:3260,1%c", rows[i].listed[k], 0, 0);
        if (rows[i].rejected)
            len += snprintf(want, sizeof want, "SendTargets=Reject%c", 0);
        assert_int_equal(c.reply.len, len);
        assert_memory_equal(c.reply.data, want, (size_t)len);
    }
    PROVES("R7143-C-08", "target");
}

/* ---- placement ---- */

static void queue_login(int csg, int nsg, const char *text, bool more)
{
    static char buf[10000];
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_login_request p;
    login_request(&c, &p, csg, nsg);
    p.more = more;
    pdu_login_request_encode(&p, bhs);
    uint32_t len = text_make(text, buf);
    client_queue_ahs(&c, bhs, "", 0, buf, more ? len - 1 : len);
}
static void queue_ping(void)
{
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_nop_out nop;
    pdu_nop_out_init(&nop);
    nop.immediate = 1;
    nop.itt = 5;
    nop.cmd_sn = c.cmd_sn;
    pdu_nop_out_encode(&nop, bhs);
    client_queue_ahs(&c, bhs, "", 0, "ping", 4);
}

/* One event of this kind is waiting, alone. */
static struct tgt_event the_event(struct tgt_reactor *r, enum tgt_event_kind kind)
{
    struct tgt_event event, none;
    tgt_run(r);
    assert_true(tgt_next_event(r, &event));
    assert_int_equal(event.kind, kind);
    assert_false(tgt_next_event(r, &none));
    return event;
}
static void arrive_all(void)
{
    while (client_arrive(&c))
        ;
    assert_int_equal(c.out_pos, c.out_len);
}
static void no_event(struct tgt_reactor *r)
{
    struct tgt_event event;
    tgt_run(r);
    assert_false(tgt_next_event(r, &event));
}

static void the_place_is_asked_for_once_with_the_whole_nexus(void **state)
{
    (void)state;
    c.conn->info.group = 7;
    c.tsih = 0;
    memcpy(c.isid, "\x80\x01\x02\x03\x04\x05", 6);
    queue_login(1, 3, "InitiatorName=IQN.2026-01.com.example:HOST\nTargetName=" TARGET, false);
    queue_ping();
    arrive_all();
    struct tgt_event event = the_event(&w.r, TGT_EVENT_PLACE);
    assert_ptr_equal(event.conn, c.conn);
    assert_string_equal(event.key.initiator, INITIATOR);
    assert_string_equal(event.key.target, TARGET);
    assert_memory_equal(event.key.isid, c.isid, 6);
    assert_int_equal(event.key.group, 7);
    assert_int_equal(event.key.tsih, 0);
    /* Until it is answered the connection wants no input and says nothing. */
    struct io_vec places[8];
    uint32_t count;
    assert_int_equal(tgt_conn_room(c.conn, places, &count), TGT_ROOM_NOT_NOW);
    assert_null(tgt_next_to_send(&w.r));
    tgt_conn_placed(c.conn);
    /* What came behind the request is looked at without anything new, and then there is room again. */
    assert_ptr_equal(tgt_next_to_send(&w.r), c.conn);
    assert_ptr_equal(tgt_next_to_read(&w.r), c.conn);
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_login_response);
    client_expect(&c, PDU_OP_nop_in);
    the_event(&w.r, TGT_EVENT_SESSION_UP);
    tgt_conn_placed(c.conn); /* too late: nothing happens */
    no_event(&w.r);
    assert_true(client_quiet(&c));
}

/* A first request in two PDUs: its empty answer has to be out before the place is asked for. */
static void answers_leave_before_the_place_is_asked_for(void **state)
{
    (void)state;
    queue_login(1, -1, "InitiatorName=" INITIATOR "\nTarget", true);
    queue_login(1, 3, "Name=" TARGET, false);
    arrive_all();
    no_event(&w.r);
    struct io_vec places[8];
    assert_int_equal(tgt_conn_gather(c.conn, places, 8), 1);
    assert_int_equal(places[0].len, PDU_BHS_LEN);
    no_event(&w.r); /* under way is not out */
    tgt_conn_sent(c.conn, 20);
    no_event(&w.r);
    assert_int_equal(tgt_conn_gather(c.conn, places, 8), 1);
    assert_int_equal(places[0].len, PDU_BHS_LEN - 20);
    tgt_conn_sent(c.conn, PDU_BHS_LEN - 20);
    the_event(&w.r, TGT_EVENT_PLACE);
    tgt_conn_placed(c.conn);
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_login_response);
}

/* The transport may end in every state of a login. */
static void a_connection_may_go_while_it_waits(void **state)
{
    (void)state;
    queue_login(1, 3, NAMES, false);
    arrive_all();
    the_event(&w.r, TGT_EVENT_PLACE);
    tgt_conn_lost(c.conn, 0);
    struct tgt_event event = the_event(&w.r, TGT_EVENT_CLOSE);
    assert_string_equal(event.reason, "closed by the initiator");
    tgt_conn_placed(c.conn); /* crossed the end on its way */
    tgt_conn_closed(c.conn);
    c.conn = NULL;
    /* While the session of before still holds on to a command. */
    struct client first;
    client_init(&first, &w);
    client_login(&first, "");
    client_settle(&first, 0);
    w.delay = true;
    read_send(&first, 0, 8);
    client_fini(&c);
    client_init(&c, &w);
    queue_login(1, 3, NAMES "\nSessionType=Normal", false);
    client_push(&c);
    assert_true(first.closed && !c.closed && client_quiet(&c));
    assert_int_equal(c.conn->state, CONN_WAIT_OLD);
    tgt_conn_lost(c.conn, ERR_IO);
    world_release(&w);
    w.delay = false;
    assert_true(c.closed);
    assert_true(list_empty(&w.r.sessions));
    client_fini(&first);
}

/* A second reactor with an environment of its own: what it allocates, when it is, what it traces. */
static struct other {
    struct env env;
    struct pool *pool;
    struct tgt_reactor r;
    uint64_t live, traced;
} other;

static void *other_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    other.live++;
    return world_alloc(&w, size, align);
}
static void other_free(void *ctx, void *ptr)
{
    (void)ctx;
    other.live -= ptr != NULL;
    world_free(&w, ptr);
}
static void other_trace(void *ctx, const struct trace_event *event)
{
    (void)ctx, (void)event;
    other.traced++;
}
static void other_begin(void)
{
    memset(&other, 0, sizeof other);
    other.env = w.env;
    other.env.trace = other_trace;
    assert_int_equal(pool_new(&w.env, 64u << 20, &other.pool), 0);
    assert_int_equal(tgt_reactor_init(&other.r, &other.env, other.pool, 3, 4, w.config), 0);
    other.env.alloc = other_alloc;
    other.env.free = other_free;
}
/* Ends all that is on it. */
static void other_end(void)
{
    struct tgt_event event;
    tgt_stop(&other.r, true);
    for (int i = 0; i < 4; i++) {
        tgt_run(&other.r);
        while (tgt_next_event(&other.r, &event))
            if (event.kind == TGT_EVENT_CLOSE) {
                tgt_conn_closed(event.conn);
                c.conn = NULL;
                c.closed = true;
            }
    }
    for (int i = 0; i < 2; i++)
        scsi_lu_forget(&other.r.scsi, w.rams[i].lu);
    tgt_reactor_fini(&other.r);
    pool_free(other.pool);
}
static void move(void)
{
    struct tgt_event event = the_event(&w.r, TGT_EVENT_PLACE);
    assert_ptr_equal(event.conn, c.conn);
    tgt_conn_detach(c.conn);
    assert_int_equal(pool_chunks_in_use(w.pool), 0);
    assert_true(list_empty(&w.r.conns));
    assert_null(tgt_next_to_send(&w.r));
    assert_null(tgt_next_to_read(&w.r));
    assert_null(c.conn->r);
    tgt_conn_adopt(&other.r, c.conn);
}

static void a_connection_moves_with_all_that_is_its_own(void **state)
{
    (void)state;
    other_begin();
    queue_login(1, 3, NAMES, false);
    queue_ping();
    arrive_all();
    move();
    assert_ptr_equal(c.conn->env, &other.env);
    assert_ptr_equal(tgt_next_to_send(&other.r), c.conn);
    assert_null(tgt_next_to_send(&other.r));
    assert_ptr_equal(tgt_next_to_read(&other.r), c.conn);
    assert_true(other.traced > 0);
    /* The first reactor has nothing of it any more: it may end. */
    tgt_reactor_fini(&w.r);
    memset(&w.r, 0xee, sizeof w.r);
    client_take(&c, c.conn);
    struct pdu_login_response rsp;
    pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &rsp);
    assert_int_equal(login_status(rsp), 0);
    client_expect(&c, PDU_OP_nop_in);
    assert_memory_equal(c.reply.data, "ping", 4);
    queue_ping();
    arrive_all();
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_nop_in);
    struct tgt_session_info info;
    assert_true(tgt_session_next(&other.r, 0, &info));
    assert_true(info.id == (3ull << 48 | 1)); /* unique in the service */
    assert_int_equal(info.age_ns, 0);
    w.now += 5;
    assert_true(tgt_session_next(&other.r, 0, &info));
    assert_int_equal(info.age_ns, 5);
    other_end();
    world_start(&w);
}

static void patience_with_a_login_moves_along(void **state)
{
    (void)state;
    other_begin();
    uint64_t timeout = w.config->limits.login_timeout_ns;
    w.now += SECOND_NS;
    queue_login(0, -1, NAMES, false);
    arrive_all();
    move();
    assert_int_equal(tgt_deadline(&other.r) - w.now, timeout - SECOND_NS);
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_login_response);
    w.now += timeout - SECOND_NS - 1;
    tgt_tick(&other.r);
    no_event(&other.r);
    w.now++;
    tgt_tick(&other.r);
    struct tgt_event event = the_event(&other.r, TGT_EVENT_CLOSE);
    assert_string_equal(event.reason, "login took too long");
    tgt_conn_closed(c.conn);
    c.conn = NULL;
    c.closed = true;
    other_end();
}

/* Long texts come in places of the engine's own, which have to be empty when the connection moves. */
static void a_long_request_moves_too(void **state)
{
    (void)state;
    char text[8000];
    int at = snprintf(text, sizeof text, NAMES "\nSessionType=Normal");
    for (int i = 0; i < 30; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "\nX-com.example.k%d=%0150d", i, i);
    other_begin();
    queue_login(1, 3, text, false);
    c.cut = 1000;
    struct io_vec places[8];
    uint32_t count, lent = 0;
    while (client_arrive(&c)) {
        lent += tgt_conn_room(c.conn, places, &count) == TGT_ROOM_PLACES;
        if (c.out_pos < c.out_len)
            assert_null(tgt_next_to_read(&w.r)); /* it is being read */
    }
    assert_int_equal(c.out_pos, c.out_len);
    assert_true(lent > 0);
    move();
    assert_ptr_equal(tgt_next_to_send(&other.r), c.conn);
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_login_response);
    assert_true(reply_has(&c.reply, "X-com.example.k29=NotUnderstood"));
    other_end();
}

/* Who reads from the beginning is not told to. */
static void a_new_connection_is_being_read(void **state)
{
    (void)state;
    struct chunk *chunk = pool_get(w.pool, TGT_CHUNK_LEN);
    memset(chunk->data, 0x43, 20);
    tgt_conn_received_chunk(c.conn, chunk, 20);
    assert_null(tgt_next_to_read(&w.r));
}

/* The answer to a split request went out without waiting to be named: the old reactor's list forgets it. */
static void no_list_of_the_old_reactor_remembers(void **state)
{
    (void)state;
    other_begin();
    queue_login(1, -1, "InitiatorName=" INITIATOR "\nTarget", true);
    arrive_all();
    client_take(&c, c.conn);
    client_expect(&c, PDU_OP_login_response);
    queue_login(1, 3, "Name=" TARGET, false);
    arrive_all();
    move();
    assert_ptr_equal(tgt_next_to_send(&other.r), c.conn);
    other_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(portals_are_told_as_they_can_be_reached),
        TEST(the_longest_names_are_told_whole),
        TEST(what_may_be_asked_depends_on_the_session),
        TEST(the_place_is_asked_for_once_with_the_whole_nexus),
        TEST(answers_leave_before_the_place_is_asked_for),
        TEST(a_connection_may_go_while_it_waits),
        TEST(a_connection_moves_with_all_that_is_its_own),
        TEST(patience_with_a_login_moves_along),
        TEST(a_long_request_moves_too),
        TEST(a_new_connection_is_being_read),
        TEST(no_list_of_the_old_reactor_remembers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
