/* Commands: waiting for a session, submitted to it, going again, late. */
#include "common/base/err.h"
#include "common/scsi/sense.h"
#include "common/base/mutant.h"
#include "initiator/lib/client.h"

enum { TMF_ABORT_TASK = 1, TMF_LUN_RESET = 5 }; /* RFC 7143 11.5.1 */

static void command_done(struct lnt_command *command, int error)
{
    command->error = error;
    command->done(command);
}

static uint64_t queue_command_deadline(const struct lnt_client *c)
{
    return c->options.command_timeout_ns ? io_now(c->io) + c->options.command_timeout_ns : UINT64_MAX;
}

void queue_submit_waiting(struct lnt_client *c)
{
    if (c->retry_at_ns && io_now(c->io) < c->retry_at_ns)
        return;
    c->retry_at_ns = 0;
    bool any = false;
    while (c->state == LNT_UP && !list_empty(&c->waiting)) {
        struct lnt_command *command = list_first(&c->waiting, struct lnt_command, node);
        list_remove(&command->node);
        command->scsi.owner = command;
        /* Time counts from each submission to a target: what a cut takes is the replacement time-out's
         * business. */
        command->deadline_ns = queue_command_deadline(c);
        int err = ini_submit(c->session, &command->scsi);
        if (err == ERR_CLOSED) { /* the session is on its way down: the next one takes it */
            list_push_front(&c->waiting, &command->node);
            break;
        }
        if (err) {
            command_done(command, err);
            continue;
        }
        list_push_back(&c->active, &command->node);
        any = true;
    }
    if (any)
        client_want_flush(c);
}

void lnt_client_submit(struct lnt_client *c, struct lnt_command *command)
{
    list_init(&command->node);
    list_init(&command->scsi.node);
    command->attempts = 0;
    command->busy_until_ns = 0;
    command->error = 0;
    command->timed_out = false;
    command->deadline_ns = UINT64_MAX;
    list_push_back(&c->waiting, &command->node);
    if (c->state == LNT_UP)
        queue_submit_waiting(c);
    else if (c->state == LNT_FAILED || c->state == LNT_CLOSED)
        client_post_flush(c); /* the answer comes from there: submitting never calls done before it returns */
    client_arm_timer(c);
}

/* The target has too much to do. That passes, but nobody can say after how many attempts: it has time. */
static bool busy_goes_again(struct lnt_client *c, struct lnt_command *command)
{
    uint64_t now = io_now(c->io), most = c->options.command_timeout_ns;
    if (!command->busy_until_ns)
        command->busy_until_ns = now + (most && most < LNT_BUSY_MAX_NS ? most : LNT_BUSY_MAX_NS);
    if (now >= command->busy_until_ns)
        return false;
    c->retry_at_ns = now + LNT_BUSY_DELAY_NS;
    return true;
}

/* Does this status ask for the same command again? Only for commands whose repetition is harmless. */
static bool command_goes_again(struct lnt_client *c, struct lnt_command *command)
{
    const struct ini_command *scsi = &command->scsi;
    if (!command->repeatable || command->timed_out)
        return false;
    if (scsi->status == SCSI_STATUS_BUSY || scsi->status == SCSI_STATUS_TASK_SET_FULL)
        return busy_goes_again(c, command);
    if (command->attempts++ >= LNT_ATTEMPTS_MAX)
        return false;
    if (scsi->status == SCSI_STATUS_TASK_ABORTED)
        return true;
    struct scsi_sense sense;
    return scsi->status == SCSI_STATUS_CHECK_CONDITION && sense_parse(scsi->sense, scsi->sense_len, &sense) &&
           (sense.key == SENSE_UNIT_ATTENTION ||
            (sense.key == SENSE_ABORTED_COMMAND &&
             command->attempts <= 8)); /* e.g. a digest error on the way */
}

void queue_command_ended(struct lnt_client *c, struct lnt_command *command)
{
    struct ini_command *scsi = &command->scsi;
    list_remove(&command->node);
    switch (scsi->outcome) {
    case INI_DONE_STATUS:
        c->progress = true;
        /* A unit attention is news for the user even when the command then goes again. */
        if (scsi->status == SCSI_STATUS_CHECK_CONDITION)
            client_tell_sense(c, scsi->lun, scsi->sense, scsi->sense_len, false);
        if (scsi->response != 0) {
            command_done(command, ERR_PROTOCOL);
        } else if (command_goes_again(c, command)) {
            list_push_back(&c->waiting, &command->node);
        } else {
            command_done(command, 0);
        }
        break;
    case INI_DONE_ABORTED:
        /* A LOGICAL UNIT RESET takes others along with the late one: those go again. */
        if (!command->timed_out && command->repeatable)
            list_push_back(&c->waiting, &command->node);
        else
            command_done(command, command->timed_out ? ERR_TIMEOUT : ERR_CANCELLED);
        break;
    case INI_DONE_LOST:
        c->lost = true;
        if (MUTANT(lost_counts_good) && command->scsi.out_len) {
            command->scsi.outcome = INI_DONE_STATUS;
            command->scsi.status = 0;
            command_done(command, 0);
        } else if (command->timed_out) {
            command_done(command, ERR_TIMEOUT);
        } else if (command->repeatable && c->options.replacement_timeout_ns) {
            c->counters.reissued++;
            list_push_back(&c->waiting, &command->node); /* whether it ran is unknown: run it (again) */
        } else {
            command_done(command, ERR_CLOSED);
        }
        break;
    }
}

void queue_fail_waiting(struct lnt_client *c, int error)
{
    struct list_node *node;
    while ((node = list_pop_front(&c->waiting)))
        command_done(list_entry(node, struct lnt_command, node), error);
}

/* ---- late commands ---- */

void queue_time_starts_anew(struct lnt_client *c)
{
    uint64_t deadline = queue_command_deadline(c);
    list_for_each(node, &c->active)
    {
        list_entry(node, struct lnt_command, node)->deadline_ns = deadline;
    }
    c->abort_sent_ns = 0;
    c->late_step = 0;
}

uint64_t queue_deadline(const struct lnt_client *c)
{
    if (c->state != LNT_UP || c->bare_since_ns)
        return UINT64_MAX;
    if (c->abort_sent_ns)
        return c->abort_sent_ns + LNT_ABORT_WAIT_NS;
    /* All have the same time-out, so the first ends first. */
    const struct lnt_command *first = list_first(&c->active, struct lnt_command, node);
    return first ? first->deadline_ns : UINT64_MAX;
}

/* The oldest command is late: abort it, then reset its logical unit; when it is still there after both, the
 * session goes. Each step has the answer to the one before, or waited long enough for it. */
void queue_check_late(struct lnt_client *c, uint64_t now)
{
    struct lnt_command *late = list_first(&c->active, struct lnt_command, node);
    if (c->bare_since_ns) /* nobody could answer */
        return;
    if (!late || now < late->deadline_ns) {
        c->late_step = 0;
        c->abort_sent_ns = 0;
        return;
    }
    if (c->abort_sent_ns && now < c->abort_sent_ns + LNT_ABORT_WAIT_NS)
        return;
    late->timed_out = true;
    c->late_step++;
    int err = ERR_TIMEOUT;
    if (c->late_step == 1)
        err = ini_task_management(c->session, TMF_ABORT_TASK, late->scsi.lun, &late->scsi, &c->abort_tag);
    else if (c->late_step == 2)
        err = ini_task_management(c->session, TMF_LUN_RESET, late->scsi.lun, NULL, &c->abort_tag);
    if (err == ERR_AGAIN) { /* no connection takes it just now: this step again */
        c->late_step--;
        c->abort_sent_ns = now;
        return;
    }
    if (err) {
        client_abandon(c, ERR_TIMEOUT, "the target answers neither a command nor its abort");
        return;
    }
    c->abort_sent_ns = now;
    client_want_flush(c);
}
