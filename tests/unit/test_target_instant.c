/* Goal: a command that is carried out on the spot cannot be told from one that became a task. Method: two
 * targets with the same content get the same random commands, plain and odd ones; one has stores that answer
 * at once and lend their memory, or try to and often fail, the other's do not. Every byte that comes back,
 * and both media, must be equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target_harness.h"

#define LEND_LEN 65536u
#define DATA_MAX (128u * BLOCK)

static uint32_t loans;

static bool ram_submit(struct store *store, struct io *io, struct store_req *req)
{
    struct ram *ram = container_of(store, struct ram, store);
    assert_null(io);
    req->result = 0;
    if (req->verb == STORE_READ) {
        assert_int_equal(req->vec_count, 0);
        assert_true(req->offset / LEND_LEN == (req->offset + req->len - 1) / LEND_LEN);
        req->vec[0] = (struct io_vec){ram->data + req->offset, (size_t)req->len};
        req->vec_count = 1;
        req->loan = ram;
        loans++;
    } else {
        assert_int_equal(req->verb, STORE_WRITE);
        memcpy(ram->data + req->offset, req->vec[0].ptr, req->vec[0].len);
    }
    return true;
}

static void ram_give_back(struct store *store, void *loan, const uint8_t *data)
{
    (void)data;
    assert_ptr_equal(container_of(store, struct ram, store), loan);
    loans--;
}

static uint32_t attempts, misses; /* attempts that failed */
static bool never_misses;

/* What fails may have been done in part. */
static bool ram_attempt(struct store *store, struct io *io, const struct store_req *req)
{
    struct ram *ram = container_of(store, struct ram, store);
    assert_ptr_equal(io, &attempts);
    assert_ptr_equal(req->store, store);
    assert_true(req->len <= store->info.attempt_max && req->vec[0].len == req->len);
    bool miss = !never_misses && attempts++ % 3 == 1;
    size_t len = (size_t)req->len / (miss ? 2 : 1);
    if (req->verb == STORE_READ) {
        memcpy(req->vec[0].ptr, ram->data + req->offset, len);
    } else {
        assert_int_equal(req->verb, STORE_WRITE);
        memcpy(ram->data + req->offset, req->vec[0].ptr, len);
    }
    misses += miss;
    return !miss;
}

static uint32_t expected; /* writes that seemed to come next */

static void ram_expect(struct store *store, uint64_t offset, uint32_t len)
{
    assert_true(offset < store->info.size && len > 0);
    expected++;
}

static const struct store_ops ram_ops = {.kind = "ram",
                                         .submit = ram_submit,
                                         .attempt = ram_attempt,
                                         .expect = ram_expect,
                                         .give_back = ram_give_back};

/* What the stores are like: quick ones lend and always answer at once, cached ones are asked to try. */
enum how { TASKS, QUICK, CACHED };

static struct world slow, fast;
static struct client s, f;
static uint8_t data[DATA_MAX];
static uint32_t due; /* the next CmdSN */

static void begin(struct world *w, struct client *c, enum how how, bool cache, uint32_t level,
                  const char *keys)
{
    world_init(w);
    for (int i = 0; i < 2; i++) {
        struct store *store = &w->rams[i].store;
        store->info.volatile_cache = cache;
        store->ops = &ram_ops;
        store->info.instant = how == QUICK;
        store->info.lend_len = cache ? 0 : LEND_LEN;
        store->info.attempt_max = how == CACHED ? LEND_LEN : 0;
        pattern(w->rams[i].data, BLOCKS * BLOCK, (uint32_t)i);
    }
    w->config->targets[0].keys.error_recovery_level = level;
    world_start(w);
    w->r.scsi.io = (struct io *)(void *)&attempts;
    client_init(c, w);
    client_login(c, keys);
}

static void end(struct world *w, struct client *c)
{
    client_fini(c);
    world_fini(w);
}

static uint64_t pick(uint64_t n)
{
    return world_random(&slow) % n;
}

static bool rarely(void)
{
    return pick(12) == 0;
}

/* The same header to both, with `len` bytes of data. */
static void both(const struct pdu_scsi_command *p, uint32_t len)
{
    command_send(&s, p, data, len);
    command_send(&f, p, data, len);
    if (s.in_len != f.in_len || memcmp(s.in, f.in, s.in_len) != 0) {
        char sent[400];
        uint8_t bhs[PDU_BHS_LEN];
        pdu_scsi_command_encode(p, bhs);
        fail_msg("different answers, %zu and %zu bytes, to %s", s.in_len, f.in_len,
                 pdu_dump(bhs, sent, sizeof sent));
    }
    assert_int_equal(s.closed, f.closed);
    bool rejected = s.in_len && pdu_opcode(s.in) == PDU_OP_reject;
    due += !p->immediate && p->cmd_sn == due && !rejected; /* else it has taken no number */
    s.cmd_sn = due;
    s.in_len = s.in_pos = f.in_len = f.in_pos = 0;
}

/* Mostly plain; each way to be odd now and then. */
static void random_command(bool may_write)
{
    bool write = may_write && pick(2);
    uint32_t blocks = (uint32_t)pick(rarely() ? 300 : 64), lba = (uint32_t)pick(BLOCKS - 300);
    if (rarely())
        lba = BLOCKS - blocks - (uint32_t)pick(3) + 1; /* about the end */
    struct pdu_scsi_command p = command(&s, !write, write, blocks * BLOCK);
    if (pick(2)) {
        cdb_rw(p.cdb, write, lba, (uint16_t)blocks);
    } else {
        p.cdb[0] = write ? 0x8a : 0x88;
        be64_put(p.cdb + 2, lba);
        be32_put(p.cdb + 10, blocks);
    }
    if (rarely())
        p.cdb[1 + pick(15)] ^= (uint8_t)(1u << pick(8));
    if (rarely())
        p.expected_data_transfer_length += (uint32_t)pick(3 * BLOCK) - BLOCK;
    if (rarely())
        p.attr = (uint8_t)pick(6);
    if (rarely())
        p.lun = pick(4) << 48;
    if (rarely())
        p.priority = (uint8_t)pick(16);
    if (rarely())
        p.read = !p.read;
    if (rarely())
        p.immediate = 1;
    if (rarely())
        p.cmd_sn += pick(2) ? 5000 : UINT32_MAX; /* beyond the window; once more */
    uint32_t len = write && p.expected_data_transfer_length <= DATA_MAX ? p.expected_data_transfer_length : 0;
    if (write && !len) { /* what would be asked for with R2T: nothing */
        p.expected_data_transfer_length = 0;
    }
    for (uint32_t i = 0; i < len; i += 8)
        be64_put(data + (i & ~7u), world_random(&slow));
    both(&p, len);
}

/* Things that make plain commands odd for a while. */
static void random_condition(void)
{
    static const uint8_t modes[][6] = {
        {0x1b, 0, 0, 0, 0, 0}, {0x1b, 0, 0, 0, 1, 0}, {0x03, 0, 0, 0, 0, 0}, {0}};
    struct pdu_scsi_command p = command(&s, false, false, 0);
    memcpy(p.cdb, modes[pick(4)], 6);
    p.lun = pick(2) << 48;
    both(&p, 0);
}

/* Every initiator is to hear of a change that concerns it before its next command runs. */
static void attention(void)
{
    struct world *const worlds[] = {&slow, &fast};
    for (int i = 0; i < 2; i++) {
        struct world *w = worlds[i];
        struct scsi_tmf *tmf = env_alloc(&w->env, sizeof *tmf);
        tmf->detached = true;
        scsi_lu_resized(&w->r.scsi, w->rams[0].lu, tmf);
        world_pump(w);
    }
    assert_int_equal(s.in_len, f.in_len);
    assert_memory_equal(s.in, f.in, s.in_len);
}

/* Two commands in the wrong order: the first has to wait for the second. */
static void overtaken(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct pdu_scsi_command p = command(&s, i == 0, i == 1, BLOCK);
        cdb_rw(p.cdb, i == 1, 5, 1);
        p.cmd_sn = due + 1 - i;
        uint32_t next = due + 2;
        both(&p, i == 1 ? BLOCK : 0);
        due = i == 0 ? next - 2 : next;
        s.cmd_sn = due;
    }
}

/* Both switch their write cache on or off. */
static void cache_setting(bool on)
{
    struct pdu_scsi_command p = command(&s, false, true, 24);
    p.cdb[0] = 0x15; /* MODE SELECT(6), PF */
    p.cdb[1] = 0x10;
    p.cdb[4] = 24;
    memset(data, 0, 24);
    data[4] = 0x08; /* caching */
    data[5] = 18;
    data[6] = on ? 0x04 : 0;
    both(&p, 24);
}

static void reset(void)
{
    struct pdu_task_management_request p = tmf_request(&s, 5, 0, PDU_TAG_RESERVED, 0);
    tmf_send(&s, &p);
    tmf_send(&f, &p);
    assert_int_equal(s.in_len, f.in_len);
    assert_memory_equal(s.in, f.in, s.in_len);
    s.in_len = s.in_pos = f.in_len = f.in_pos = 0;
}

static void compare(enum how how, uint32_t level, const char *keys, int commands)
{
    begin(&slow, &s, TASKS, how == CACHED, level, keys);
    begin(&fast, &f, how, how == CACHED, level, keys);
    misses = attempts = 0;
    never_misses = false;
    assert_int_equal(s.in_len, f.in_len); /* the login told the same */
    s.in_len = s.in_pos = f.in_len = f.in_pos = 0;
    due = s.cmd_sn;
    for (int i = 0; i < commands && !s.closed; i++) {
        if (pick(150) == 0)
            reset();
        else if (pick(150) == 0)
            attention();
        else if (pick(150) == 0)
            overtaken();
        else if (how == CACHED && pick(60) == 0)
            cache_setting(pick(3));
        else if (pick(40) == 0)
            random_condition();
        else
            random_command(true);
    }
    for (int i = 0; i < 2; i++)
        assert_memory_equal(slow.rams[i].data, fast.rams[i].data, BLOCKS * BLOCK);
    /* At recovery level 0 most went the short way, above none. */
    uint32_t short_ways = slow.requests - fast.requests;
    assert_true(level > 0 ? short_ways == 0 : short_ways > (uint32_t)commands / (how == CACHED ? 60 : 20));
    assert_true(how != CACHED || level > 0 || misses > (uint32_t)commands / 200);
    assert_true(slow.r.counters.commands == fast.r.counters.commands);
    assert_true(slow.r.counters.read_bytes == fast.r.counters.read_bytes);
    assert_true(slow.r.counters.write_bytes == fast.r.counters.write_bytes);
    end(&slow, &s);
    end(&fast, &f);
    assert_int_equal(loans, 0);
}

static void answers_are_the_same(void **state)
{
    (void)state;
    compare(QUICK, 0, "MaxRecvDataSegmentLength=262144", 4000);
}

static void answers_are_the_same_with_digests(void **state)
{
    (void)state;
    compare(QUICK, 0, "HeaderDigest=CRC32C\nDataDigest=CRC32C", 1500);
}

static void answers_are_the_same_within_small_limits(void **state)
{
    (void)state;
    compare(QUICK, 0, "MaxRecvDataSegmentLength=4096\nFirstBurstLength=4096\nMaxBurstLength=8192", 1500);
}

static void answers_are_the_same_within_small_bursts(void **state)
{
    (void)state;
    compare(QUICK, 0, "MaxRecvDataSegmentLength=65536\nFirstBurstLength=4096\nMaxBurstLength=8192", 1500);
}

static void answers_are_the_same_without_immediate_data(void **state)
{
    (void)state;
    compare(QUICK, 0, "ImmediateData=No\nMaxRecvDataSegmentLength=65536", 1500);
}

static void recovery_levels_need_tasks(void **state)
{
    (void)state;
    compare(QUICK, 1, "ErrorRecoveryLevel=1", 500);
}

static void a_cached_store_answers_the_same(void **state)
{
    (void)state;
    compare(CACHED, 0, "MaxRecvDataSegmentLength=262144", 5000);
}

static void a_cached_store_answers_the_same_with_digests(void **state)
{
    (void)state;
    compare(CACHED, 0, "HeaderDigest=CRC32C\nDataDigest=CRC32C", 1500);
}

static void a_cached_store_answers_the_same_within_small_limits(void **state)
{
    (void)state;
    compare(CACHED, 0, "MaxRecvDataSegmentLength=4096\nFirstBurstLength=4096\nMaxBurstLength=8192", 1500);
}

static void recovery_levels_need_tasks_of_a_cached_store(void **state)
{
    (void)state;
    compare(CACHED, 1, "ErrorRecoveryLevel=1", 500);
}

static uint32_t write_one(bool fua)
{
    struct pdu_scsi_command p = command(&f, false, true, BLOCK);
    uint32_t before = attempts;
    cdb_rw(p.cdb, true, 3, 1);
    p.cdb[1] = fua ? 0x08 : 0;
    command_send(&f, &p, data, BLOCK);
    assert_int_equal(expect_response(&f).status, 0);
    return attempts - before;
}

/* Without its cache a disk has written when it says so; FUA asks for the same. */
static void what_must_be_on_the_medium_is_not_written_at_once(void **state)
{
    (void)state;
    uint8_t caching[24] = {[4] = 0x08, [5] = 18};
    never_misses = false;
    attempts = 0; /* the first is no miss */
    begin(&fast, &f, CACHED, true, 0, "");
    client_settle(&f, 0);
    assert_int_equal(write_one(false), 1);
    assert_int_equal(write_one(true), 0);
    for (uint32_t on = 0; on < 2; on++) {
        struct pdu_scsi_command p = command(&f, false, true, sizeof caching);
        caching[6] = on ? 0x04 : 0;
        memcpy(p.cdb, (const uint8_t[]){0x15, 0x10, 0, 0, sizeof caching}, 5);
        command_send(&f, &p, caching, sizeof caching);
        assert_int_equal(expect_response(&f).status, 0);
        assert_int_equal(write_one(false), on);
    }
    end(&fast, &f);
}

/* A host that cannot be asked, and requests that are too long. */
static void only_who_can_is_asked(void **state)
{
    (void)state;
    never_misses = true;
    begin(&fast, &f, CACHED, true, 0, "MaxRecvDataSegmentLength=262144");
    client_settle(&f, 0);
    uint32_t before = fast.requests;
    read_send(&f, 0, 128);
    assert_int_equal(fast.requests, before); /* 64 KiB */
    read_send(&f, 0, 129);
    assert_int_equal(fast.requests, before + 1);
    fast.r.scsi.io = NULL;
    read_send(&f, 0, 8);
    assert_int_equal(fast.requests, before + 2);
    end(&fast, &f);
}

/* A peer that takes nothing fills no more than the share of memory that reads may have; what goes beyond it
 * waits, and nothing that came later overtakes it. */
static void cached_reads_leave_memory_to_others(void **state)
{
    (void)state;
    never_misses = true;
    world_init_small(&fast, 4 << 20);
    for (int i = 0; i < 2; i++) {
        struct store *store = &fast.rams[i].store;
        store->ops = &ram_ops;
        store->info.attempt_max = LEND_LEN;
        pattern(fast.rams[i].data, BLOCKS * BLOCK, (uint32_t)i);
    }
    world_start(&fast);
    fast.r.scsi.io = (struct io *)(void *)&attempts;
    client_init(&f, &fast);
    client_login(&f, "MaxRecvDataSegmentLength=65536");
    client_settle(&f, 0);
    f.stuck = true;
    uint32_t before = fast.requests;
    for (uint32_t i = 0; i < 60; i++)
        read_send(&f, i * 128, 128);
    assert_true(pool_bytes_in_use(fast.pool) <= 3 << 20);
    assert_int_equal(fast.requests, before); /* the rest waits: for memory, or in the socket */
    client_unstick(&f);
    uint8_t got[128 * BLOCK];
    for (uint32_t i = 0; i < 60; i++) {
        read_collect(&f, got, sizeof got);
        assert_memory_equal(got, fast.rams[0].data + i * sizeof got, sizeof got);
    }
    end(&fast, &f);
}

/* A peer that takes nothing holds loans; when its connection goes, they are given back. */
static void loans_end_with_the_connection(void **state)
{
    (void)state;
    begin(&fast, &f, QUICK, false, 0, "MaxRecvDataSegmentLength=65536");
    client_settle(&f, 0);
    f.stuck = true;
    for (int i = 0; i < 5; i++)
        read_send(&f, (uint32_t)i * 8, 8);
    assert_int_equal(loans, 5);
    assert_false(scsi_lu_idle(&fast.r.scsi, fast.rams[0].lu));
    tgt_conn_lost(f.conn, 0);
    world_pump(&fast);
    assert_int_equal(loans, 0);
    end(&fast, &f);
}

/* Output that has gone ends the loan, not the command. */
static void loans_end_when_the_bytes_have_gone(void **state)
{
    (void)state;
    uint8_t got[8 * BLOCK];
    begin(&fast, &f, QUICK, false, 0, "MaxRecvDataSegmentLength=65536");
    client_settle(&f, 0);
    f.stuck = true;
    read_send(&f, 16, 8);
    assert_int_equal(loans, 1);
    client_unstick(&f);
    assert_int_equal(loans, 0);
    read_collect(&f, got, sizeof got);
    assert_memory_equal(got, fast.rams[0].data + 16 * BLOCK, sizeof got);
    end(&fast, &f);
}

/* Four writes that come in one go: each but the first has been announced to the store by the one before it.
 */
static void the_write_behind_is_expected(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN];
    begin(&fast, &f, QUICK, false, 0, "ImmediateData=Yes");
    client_settle(&f, 0);
    pattern(data, DATA_MAX, 3);
    expected = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct pdu_scsi_command p = command(&f, false, true, 8 * BLOCK);
        cdb_rw(p.cdb, true, 8 * i, 8);
        pdu_scsi_command_encode(&p, bhs);
        client_queue_ahs(&f, bhs, "", 0, data + i * 8 * BLOCK, 8 * BLOCK);
    }
    client_push(&f);
    for (uint32_t i = 0; i < 4; i++)
        client_expect(&f, PDU_OP_scsi_response);
    assert_int_equal(expected, 3);
    assert_memory_equal(fast.rams[0].data, data, (size_t)4 * 8 * BLOCK);
    end(&fast, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(answers_are_the_same_with_digests),
        cmocka_unit_test(answers_are_the_same_within_small_limits),
        cmocka_unit_test(answers_are_the_same_within_small_bursts),
        cmocka_unit_test(answers_are_the_same_without_immediate_data),
        cmocka_unit_test(recovery_levels_need_tasks),
        cmocka_unit_test(a_cached_store_answers_the_same),
        cmocka_unit_test(a_cached_store_answers_the_same_with_digests),
        cmocka_unit_test(a_cached_store_answers_the_same_within_small_limits),
        cmocka_unit_test(recovery_levels_need_tasks_of_a_cached_store),
        cmocka_unit_test(what_must_be_on_the_medium_is_not_written_at_once),
        cmocka_unit_test(only_who_can_is_asked),
        cmocka_unit_test(cached_reads_leave_memory_to_others),
        cmocka_unit_test(loans_end_with_the_connection),
        cmocka_unit_test(loans_end_when_the_bytes_have_gone),
        cmocka_unit_test(the_write_behind_is_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
