/* Session: bytes to PDUs, PDUs to their handlers, events, time, the end. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "initiator/iscsi/internal.h"

/* ---- life ---- */

static void ini_wipe(void *ptr, size_t len)
{
    volatile uint8_t *p = ptr;
    while (len--)
        *p++ = 0;
}

static void ini_slots_init(struct ini_session *s)
{
    for (uint32_t i = 0; i < INI_SLOTS; i++)
        s->slots[i].next_free = (uint16_t)(i + 1);
    s->first_free = 0;
}

int ini_session_new(const struct env *env, struct pool *pool, struct tx_pool *tx_pool,
                    const struct ini_options *options, struct ini_session **out)
{
    struct ini_session *s = env_alloc(env, sizeof *s);
    char *out_text = env_alloc(env, INI_TEXT_OUT_MAX), *in_text = env_alloc(env, TEXT_SEGMENT_LEN_MAX);
    if (!s || !out_text || !in_text) {
        env_free(env, s);
        env_free(env, out_text);
        env_free(env, in_text);
        return ERR_NOMEM;
    }
    s->env = env;
    s->pool = pool;
    s->options = *options;
    s->out_text = out_text;
    s->in_text = in_text;
    s->in_cap = TEXT_SEGMENT_LEN_MAX;
    /* Before login our limit is the default (R7143-6.3-04); being generous costs nothing. */
    framer_init(&s->framer, pool, POOL_CLASS_MAX);
    tx_init(&s->tx, tx_pool);
    list_init(&s->queue);
    list_init(&s->inflight);
    list_init(&s->finished);
    list_init(&s->ending);
    ini_slots_init(s);
    s->cmd_sn = s->exp_cmd_sn = s->max_cmd_sn = 1;
    s->last_heard_ns = env_now(env);
    s->login_deadline_ns =
        options->login_timeout_ns ? s->last_heard_ns + options->login_timeout_ns : UINT64_MAX;
    ini_login_start(s);
    *out = s;
    return 0;
}

void ini_session_free(struct ini_session *s)
{
    if (!s)
        return;
    assert(s->outstanding == 0 && !s->lent && !s->receiving);
    framer_fini(&s->framer);
    tx_fini(&s->tx);
    env_free(s->env, s->out_text);
    env_free(s->env, s->in_text);
    ini_wipe(&s->options, sizeof s->options);
    const struct env *env = s->env;
    env_free(env, s);
}

/* ---- events ---- */

struct ini_event *ini_event_add(struct ini_session *s, enum ini_event_kind kind)
{
    /* A peer that floods us with messages loses the oldest ones that nobody has pulled; the host pulls after
     * each input. */
    if (s->event_count == INI_EVENTS) {
        s->event_head = (s->event_head + 1) % INI_EVENTS;
        s->event_count--;
    }
    struct ini_queued_event *e = &s->events[(s->event_head + s->event_count++) % INI_EVENTS];
    memset(&e->event, 0, sizeof e->event);
    e->event.kind = kind;
    return &e->event;
}

static void ini_end(struct ini_session *s)
{
    if (s->state >= INI_ENDING)
        return;
    s->state = INI_ENDING;
    ini_commands_lost(s);
}

void ini_fail(struct ini_session *s, const char *reason)
{
    if (s->state >= INI_ENDING)
        return;
    if (s->state == INI_LOGIN) {
        ini_login_failed(s, 0, 0, reason);
        return;
    }
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    env_trace(s->env, TRACE_WARN, "initiator.session.failed", s->options.target_name, s->reason, 0, 0);
    ini_end(s);
}

void ini_login_failed(struct ini_session *s, uint8_t status_class, uint8_t detail, const char *reason)
{
    if (s->state >= INI_ENDING)
        return;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    struct ini_event *event =
        ini_event_add(s, status_class == 1 ? INI_EVENT_REDIRECTED : INI_EVENT_LOGIN_FAILED);
    event->status_class = status_class;
    event->status_detail = detail;
    event->chap_alg = s->chap_alg;
    event->reason = s->reason;
    ini_end(s);
}

bool ini_next_event(struct ini_session *s, struct ini_event *out)
{
    struct list_node *node = list_pop_front(&s->finished);
    if (node) {
        *out = (struct ini_event){.kind = INI_EVENT_COMMAND_DONE,
                                  .command = list_entry(node, struct ini_command, node)};
        s->outstanding--;
        return true;
    }
    if (s->event_count) {
        struct ini_queued_event *e = &s->events[s->event_head];
        *out = e->event;
        s->event_head = (s->event_head + 1) % INI_EVENTS;
        s->event_count--;
        return true;
    }
    if (s->state == INI_ENDING && !s->lent && !s->receiving && s->outstanding == 0 && !s->closed_told) {
        s->closed_told = true;
        s->state = INI_CLOSED;
        *out = (struct ini_event){.kind = INI_EVENT_CLOSED, .reason = s->reason};
        return true;
    }
    return false;
}

/* ---- task tags ---- */

uint32_t ini_slot_take(struct ini_session *s, enum ini_slot_kind kind)
{
    if (s->first_free == INI_SLOTS)
        return PDU_TAG_RESERVED;
    uint16_t index = s->first_free;
    struct ini_slot *slot = &s->slots[index];
    s->first_free = slot->next_free;
    slot->kind = kind;
    slot->command = NULL;
    slot->started_ns = env_now(s->env);
    slot->generation = (uint16_t)((slot->generation + 1) & 0x7fff); /* never the reserved tag */
    return (uint32_t)slot->generation << 16 | index;
}

struct ini_slot *ini_slot_find(struct ini_session *s, uint32_t itt)
{
    uint32_t index = itt & 0xffff;
    if (index >= INI_SLOTS || s->slots[index].kind == INI_SLOT_FREE ||
        s->slots[index].generation != itt >> 16)
        return NULL;
    return &s->slots[index];
}

void ini_slot_release(struct ini_session *s, uint32_t itt)
{
    struct ini_slot *slot = &s->slots[itt & 0xffff];
    slot->kind = INI_SLOT_FREE;
    slot->command = NULL;
    slot->next_free = s->first_free;
    s->first_free = (uint16_t)(itt & 0xffff);
}

/* ---- numbering ---- */

void ini_update_window(struct ini_session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
    if (sn_lt(max_cmd_sn, exp_cmd_sn - 1)) /* R7143-4.2.2.1-16: such a pair is ignored */
        return;
    if (sn_gt(exp_cmd_sn, s->exp_cmd_sn))
        s->exp_cmd_sn = exp_cmd_sn;
    if (sn_gt(max_cmd_sn, s->max_cmd_sn)) /* the window never shrinks for us */
        s->max_cmd_sn = max_cmd_sn;
}

void ini_update_stat_sn(struct ini_session *s, uint32_t stat_sn)
{
    if (!sn_ge(stat_sn, s->exp_stat_sn))
        return;
    if (sn_diff(stat_sn, s->exp_stat_sn) > (int32_t)INI_STAT_SN_GAP_MAX) /* R7143-4.2.2.2-04 */
        ini_fail(s, "answers from the target are missing (StatSN)");
    s->exp_stat_sn = stat_sn + 1;
}

void ini_queue_pdu(struct ini_session *s, const uint8_t *bhs, struct slice *data, uint32_t *done_count)
{
    if (tx_add(&s->tx, bhs, NULL, 0, data, done_count) != 0) {
        if (data)
            slice_release(data);
        ini_fail(s, "out of memory for a PDU");
    }
}

bool ini_collect_text(struct ini_session *s, const struct framer_pdu *pdu)
{
    if (s->in_len + pdu->data_len > s->in_cap) {
        size_t cap = s->in_cap * 2;
        while (cap < s->in_len + pdu->data_len)
            cap *= 2;
        if (cap > INI_TEXT_MAX)
            return false;
        char *bigger = env_alloc(s->env, cap);
        if (!bigger)
            return false;
        memcpy(bigger, s->in_text, s->in_len);
        env_free(s->env, s->in_text);
        s->in_text = bigger;
        s->in_cap = cap;
    }
    if (pdu->data_len)
        memcpy(s->in_text + s->in_len, pdu->data.ptr, pdu->data_len);
    s->in_len += pdu->data_len;
    return true;
}

/* ---- input ---- */

static void ini_dispatch(struct ini_session *s, const struct framer_pdu *pdu)
{
    s->last_heard_ns = env_now(s->env);
    if (pdu->data_digest_bad) { /* R7143-7.8-06: at level 0 the session starts anew */
        ini_fail(s, "a data digest from the target is wrong");
        return;
    }
    uint8_t opcode = pdu_opcode(pdu->bhs);
    if (s->state == INI_LOGIN) {
        if (opcode == PDU_OP_login_response)
            ini_login_pdu(s, pdu);
        else
            ini_fail(s, "the target sent something other than a Login Response during login");
        return;
    }
    switch (opcode) {
    case PDU_OP_data_in:
        ini_data_in_pdu(s, pdu);
        break;
    case PDU_OP_scsi_response:
        ini_response_pdu(s, pdu);
        break;
    case PDU_OP_r2t:
        ini_r2t_pdu(s, pdu);
        break;
    default:
        ini_control_pdu(s, pdu);
    }
}

static void ini_drain_framer(struct ini_session *s)
{
    struct framer_pdu *pdu;
    while (s->state < INI_ENDING) {
        switch (framer_next(&s->framer, &pdu)) {
        case FRAMER_HEADER:
            if (s->state != INI_LOGIN && pdu_opcode(pdu->bhs) == PDU_OP_data_in)
                ini_place_data_in(s, pdu);
            break;
        case FRAMER_PDU:
            ini_dispatch(s, pdu);
            break;
        case FRAMER_HEADER_DIGEST:
            ini_fail(s, "a header digest from the target is wrong");
            break;
        case FRAMER_TOO_LONG:
            ini_fail(s, "the target sent a PDU longer than we can take");
            break;
        case FRAMER_NO_MEMORY: /* ini_room and ini_tick try again */
        case FRAMER_NEED_MORE:
            ini_pump(s);
            return;
        }
    }
}

enum ini_room ini_room(struct ini_session *s, struct io_vec *places, uint32_t *count)
{
    if (s->state >= INI_ENDING || framer_unread_len(&s->framer))
        return INI_ROOM_NOT_NOW;
    s->receiving = true;
    *count = framer_room(&s->framer, places);
    return *count ? INI_ROOM_PLACES : INI_ROOM_ANY;
}

/* Input ended one way or the other: commands that waited for it may go. */
static void ini_received_any(struct ini_session *s)
{
    s->receiving = false;
    if (s->state >= INI_ENDING)
        ini_commands_lost(s);
    else
        ini_drain_framer(s);
}

void ini_received(struct ini_session *s, uint32_t len)
{
    framer_filled(&s->framer, len);
    ini_received_any(s);
}

void ini_received_chunk(struct ini_session *s, struct chunk *chunk, uint32_t len)
{
    framer_chunk(&s->framer, chunk, len);
    ini_received_any(s);
}

void ini_lost(struct ini_session *s, int err)
{
    char reason[INI_REASON_MAX];
    s->receiving = false;
    if (s->state >= INI_ENDING) {
        ini_commands_lost(s);
        return;
    }
    if (err == 0)
        snprintf(reason, sizeof reason, "the target closed the connection%s",
                 s->state == INI_LOGIN ? " during login" : "");
    else
        snprintf(reason, sizeof reason, "the connection broke: %s", err_text(err));
    if (s->state == INI_LOGOUT)
        ini_end(s);
    else
        ini_fail(s, reason);
}

/* ---- output ---- */

uint32_t ini_gather(struct ini_session *s, struct io_vec *places, uint32_t max)
{
    assert(!s->lent);
    if (s->state >= INI_ENDING)
        return 0;
    uint32_t n = tx_gather(&s->tx, places, max);
    s->lent = n > 0;
    return n;
}

void ini_sent(struct ini_session *s, uint64_t len)
{
    s->lent = false;
    tx_sent(&s->tx, len);
    if (s->state >= INI_ENDING)
        ini_commands_lost(s); /* they waited for the loan to end */
    else
        ini_commands_settle(s);
}

/* ---- time ---- */

uint64_t ini_deadline(const struct ini_session *s)
{
    if (s->state == INI_LOGIN)
        return s->login_deadline_ns;
    if (s->state == INI_LOGOUT)
        return s->logout_deadline_ns;
    if (s->state != INI_UP || !s->options.nop_interval_ns)
        return UINT64_MAX;
    return s->ping_sent_ns ? s->ping_sent_ns + s->options.nop_timeout_ns
                           : s->last_heard_ns + s->options.nop_interval_ns;
}

void ini_tick(struct ini_session *s)
{
    uint64_t now = env_now(s->env);
    ini_drain_framer(s); /* if it waited for memory */
    if (now < ini_deadline(s))
        return;
    if (s->state == INI_LOGIN) {
        ini_fail(s, "the target did not finish the login in time");
    } else if (s->state == INI_LOGOUT) { /* R7143-8.1.2-18 */
        ini_fail(s, "the target does not answer the logout");
    } else if (s->ping_sent_ns && s->last_heard_ns < s->ping_sent_ns) {
        ini_fail(s, "the target does not answer pings");
    } else if (s->ping_sent_ns) {
        s->ping_sent_ns = 0; /* something was heard since: alive */
    } else {
        uint32_t tag;
        if (ini_ping(s, NULL, 0, &tag) == 0)
            s->ping_sent_ns = now;
        else
            s->last_heard_ns = now;
    }
}

const struct key_params *ini_params(const struct ini_session *s)
{
    return &s->keys.params;
}

bool ini_wants_close(const struct ini_session *s)
{
    return s->state >= INI_ENDING;
}

bool ini_is_up(const struct ini_session *s)
{
    return s->state == INI_UP;
}

uint32_t ini_outstanding(const struct ini_session *s)
{
    return s->outstanding;
}
