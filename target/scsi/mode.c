/* MODE SENSE and MODE SELECT: pages 01h, 08h, 0Ah and 1Ch. Changeable are WCE, D_SENSE and SWP; nothing is
 * saved. */
#include "common/scsi/mode.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "target/scsi/private.h"

#define BODY_MAX (16 + 4 * MODE_PAGE_LEN_MAX) /* block descriptor, and four pages */
#define DATA_MAX (MODE_HEADER_10_LEN + BODY_MAX)

/* All pages' structs: mode_page_encode takes the one that belongs to the page. */
union page_values {
    struct mode_recovery recovery;
    struct mode_caching caching;
    struct mode_control control;
    struct mode_exceptions exceptions;
};

/* One source for current, changeable and default values: what is changeable is what `mask` sets. */
static void page_values(const struct scsi_lu *lu, uint32_t flags, enum mode_pc pc, uint8_t page,
                        union page_values *out)
{
    bool mask = pc == MODE_PC_CHANGEABLE;
    if (pc == MODE_PC_DEFAULT)
        flags = lu->config.write_cache ? LU_WCE : 0;
    memset(out, 0, sizeof *out);
    switch (page) {
    case MODE_PAGE_RECOVERY:
        out->recovery.awre = !mask;
        out->recovery.arre = !mask;
        break;
    case MODE_PAGE_CACHING:
        out->caching.wce = mask || flags & LU_WCE;
        break;
    case MODE_PAGE_CONTROL:
        out->control.d_sense = mask || flags & LU_D_SENSE;
        out->control.swp = mask || flags & LU_SWP;
        if (!mask) {
            out->control.tst = 1;             /* a task set for each nexus */
            out->control.queue_algorithm = 1; /* SIMPLE commands in any order */
            out->control.tas = 1;             /* others are told when their commands are aborted */
            out->control.busy_timeout = 0xffff;
        }
        break;
    case MODE_PAGE_EXCEPTIONS:
        out->exceptions.dexcpt = !mask; /* no exceptions are reported */
        break;
    default:
        break;
    }
}

static bool is_ten(const struct scsi_task *task)
{
    enum cdb_command c = task->def->cdb->command;
    return c == CDB_MODE_SENSE_10 || c == CDB_MODE_SELECT_10;
}

/* Page 3Fh with subpage 00h asks for page_0 formats, with FFh for all; all of ours are page_0. */
static bool page_wanted(uint8_t page, uint8_t subpage, const struct mode_page_def *def)
{
    if (page != MODE_PAGE_ALL && page != def->page)
        return false;
    return subpage == def->subpage || subpage == MODE_SUBPAGE_ALL;
}

void cmd_mode_sense(struct scsi_reactor *r, struct scsi_task *task)
{
    const struct scsi_lu_view *view = task->itl->view;
    const struct scsi_lu *lu = view->lu;
    enum mode_pc pc = (enum mode_pc)task_cdb(task, CDB_F_PC);
    uint8_t page = (uint8_t)task_cdb(task, CDB_F_PAGE_CODE), subpage = (uint8_t)task_cdb(task, CDB_F_SUBPAGE);
    if (pc == MODE_PC_SAVED) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
        return;
    }
    uint8_t body[BODY_MAX];
    size_t len = 0;
    bool dbd = task_cdb(task, CDB_F_DBD), long_lba = task_cdb(task, CDB_F_LLBAA);
    if (!dbd) {
        struct mode_block block = {view->blocks, lu->config.block_size};
        len = mode_block_encode(&block, long_lba, body);
    }
    struct mode_header h = {
        .ten = is_ten(task),
        .write_protected =
            task->itl->readonly || lu->config.readonly || lu->store->info.readonly || view->flags & LU_SWP,
        .dpofua = true,
        .long_lba = long_lba && !dbd,
        .descriptor_len = (uint16_t)len,
    };
    bool found = page == MODE_PAGE_ALL && (subpage == 0 || subpage == MODE_SUBPAGE_ALL);
    for (size_t i = 0; i < mode_page_count; i++) {
        union page_values values;
        if (!page_wanted(page, subpage, &mode_pages[i]))
            continue;
        found = true;
        page_values(lu, view->flags, pc, mode_pages[i].page, &values);
        mode_page_encode(&mode_pages[i], &values, body + len);
        len += mode_pages[i].len;
    }
    if (!found) {
        task_bad_cdb(r, task, mode_page_find(page, 0) ? CDB_F_SUBPAGE : CDB_F_PAGE_CODE);
        return;
    }
    uint8_t data[DATA_MAX];
    h.data_len = (uint32_t)(len + (h.ten ? MODE_HEADER_10_LEN - 2 : MODE_HEADER_6_LEN - 1));
    size_t at = mode_header_encode(&h, data);
    memcpy(data + at, body, len);
    task_reply(r, task, data, at + len, task_cdb(task, CDB_F_ALLOC));
}

/* ---- MODE SELECT ---- */

void cmd_mode_select(struct scsi_reactor *r, struct scsi_task *task)
{
    uint32_t len = (uint32_t)task_cdb(task, CDB_F_PARAM_LEN);
    if (task_cdb(task, CDB_F_SP))
        task_bad_cdb(r, task, CDB_F_SP); /* nothing can be saved */
    else if (!task_cdb(task, CDB_F_PF))
        task_bad_cdb(r, task, CDB_F_PF); /* vendor specific formats: none */
    else if (len == 0)
        task_good(r, task);
    else
        task_collect(r, task, len);
}

/* Finds the first byte in which `data` changes what must not change; -1: none. */
static int page_illegal(const struct mode_page_def *def, const uint8_t *data, const uint8_t *now,
                        const uint8_t *mask)
{
    for (int i = 2; i < def->len; i++) {
        if ((data[i] ^ now[i]) & ~mask[i])
            return i;
    }
    return -1;
}

/* Takes one page over into *flags. False: it was refused. */
static bool page_take(struct scsi_reactor *r, struct scsi_task *task, const struct mode_page_view *v,
                      size_t at, uint32_t *flags)
{
    const struct scsi_lu *lu = task_lu(task);
    const struct mode_page_def *def = mode_page_find(v->page, v->subpage);
    uint16_t base = (uint16_t)at;
    if (!def || v->ps) {
        task_bad_param(r, task, base, v->ps ? 7 : 5);
        return false;
    }
    if (v->len != def->len) {
        task_bad_param(r, task, (uint16_t)(base + 1), -1);
        return false;
    }
    union page_values values;
    uint8_t now[MODE_PAGE_LEN_MAX], mask[MODE_PAGE_LEN_MAX];
    page_values(lu, task->itl->view->flags, MODE_PC_CURRENT, v->page, &values);
    mode_page_encode(def, &values, now);
    page_values(lu, 0, MODE_PC_CHANGEABLE, v->page, &values);
    mode_page_encode(def, &values, mask);
    int wrong = page_illegal(def, v->data, now, mask);
    if (wrong >= 0) {
        task_bad_param(r, task, (uint16_t)(base + wrong), -1);
        return false;
    }
    mode_page_decode(def, v->data, v->len, &values);
    if (v->page == MODE_PAGE_CACHING)
        *flags = (*flags & ~(uint32_t)LU_WCE) | (values.caching.wce ? LU_WCE : 0);
    if (v->page == MODE_PAGE_CONTROL)
        *flags = (*flags & ~(uint32_t)(LU_D_SENSE | LU_SWP)) | (values.control.d_sense ? LU_D_SENSE : 0) |
                 (values.control.swp ? LU_SWP : 0);
    return true;
}

/* The block descriptor may say what is: neither size nor block length can be changed. */
static bool descriptor_fits(const struct scsi_task *task, const struct mode_header *h, const uint8_t *data)
{
    struct mode_block b;
    if (h->descriptor_len == 0)
        return true;
    if (h->descriptor_len != (h->long_lba ? 16 : 8))
        return false;
    mode_block_decode(data, h->long_lba, &b);
    uint64_t blocks = task->itl->view->blocks;
    bool whole = b.blocks == 0 || b.blocks == blocks ||
                 (!h->long_lba && b.blocks == UINT32_MAX && blocks > UINT32_MAX);
    return b.block_len == task_block_size(task) && whole;
}

static void select_over(struct scsi_reactor *r, struct scsi_task *task)
{
    task_good(r, task);
}

/* Ends GOOD only when every reactor works with the new values. */
static void select_change(struct scsi_reactor *r, struct scsi_task *task)
{
    if (change_flags(r, task, LU_MODE_FLAGS, (uint32_t)task->work[0], UA_MODE_CHANGED, select_over) != ERR_OK)
        task_status(r, task, SCSI_STATUS_BUSY);
}

void mode_select_data(struct scsi_reactor *r, struct scsi_task *task)
{
    const uint8_t *data = task->param.ptr;
    size_t len = task->param.len;
    struct mode_header h;
    uint32_t now = task->itl->view->flags & LU_MODE_FLAGS, flags = now;
    size_t at = data && len >= task->out_len ? mode_header_decode(is_ten(task), data, len, &h) : 0;
    if (!at || h.descriptor_len > len - at) {
        task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
        return;
    }
    if (!descriptor_fits(task, &h, data + at)) {
        task_bad_param(r, task, (uint16_t)at, -1);
        return;
    }
    at += h.descriptor_len;
    struct mode_page_view v;
    while (at < len) {
        size_t start = at;
        if (!mode_page_next(data, len, &at, &v)) {
            task_fail(r, task, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
            return;
        }
        if (!page_take(r, task, &v, start, &flags))
            return;
    }
    task->work[0] = flags;
    if (flags == now)
        task_good(r, task);
    else if (now & LU_WCE && !(flags & LU_WCE) && task_lu(task)->store->info.volatile_cache)
        task_request(r, task, STORE_FLUSH, 0, 0, false,
                     select_change); /* what was cached must be safe by then */
    else
        select_change(r, task);
}
