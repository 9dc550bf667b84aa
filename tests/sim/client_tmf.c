/* Task management with commands in flight. The library sends such functions only when a command is late; here
 * they come at any time, straight through the client's session. What they take the library repeats. */
#include "initiator/lib/client.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

static const struct {
    uint8_t number; /* RFC 7143 11.5.1 */
    enum cover row;
} functions[] = {{1, COVER_TMF_ABORT_TASK}, {2, COVER_TMF_ABORT_SET},  {4, COVER_TMF_CLEAR_SET},
                 {5, COVER_TMF_LUN_RESET},  {6, COVER_TMF_WARM_RESET}, {7, COVER_TMF_COLD_RESET}};

bool client_tmf(struct client *c)
{
    struct world *w = c->world;
    uint64_t which = world_pick(w, sizeof functions / sizeof functions[0]);
    struct lnt_client *lnt = c->lnt;
    if (!lnt || lnt->state != LNT_UP || !lnt->session || list_empty(&lnt->active))
        return false;
    struct lnt_command *oldest = list_first(&lnt->active, struct lnt_command, node);
    bool one = functions[which].number == 1;
    uint32_t tag;
    if (ini_task_management(lnt->session, functions[which].number, oldest->scsi.lun,
                            one ? &oldest->scsi : NULL, &tag))
        return false;
    coverage_add(functions[which].row, 1);
    world_say(w, "client %u sends task management function %u", c->index, functions[which].number);
    client_want_flush(lnt);
    return true;
}
