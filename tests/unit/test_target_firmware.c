/* Boot firmware as initiator: what iPXE and EDK2 send, byte for byte as captured in the lab, and what they
 * need in return. They read the whole answer from one response, know only the keys they sent, and carry on
 * with what they believe. Method: a raw initiator feeds their requests to the engine. docs/interop.md names
 * the captures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proves.h"
#include "target_harness.h"

static struct world w;
static struct client c;

static int setup(void **state)
{
    (void)state;
    world_init(&w);
    return 0;
}
static void start(void)
{
    world_start(&w);
    client_init(&c, &w);
}
static int teardown(void **state)
{
    (void)state;
    client_fini(&c);
    world_fini(&w);
    return 0;
}

static const char ipxe_keys[] =
    "HeaderDigest=None\nDataDigest=None\nMaxConnections=1\nInitialR2T=Yes\nImmediateData=No\n"
    "MaxRecvDataSegmentLength=8192\nMaxBurstLength=262144\nFirstBurstLength=65536\n"
    "DefaultTime2Wait=0\nDefaultTime2Retain=0\nMaxOutstandingR2T=1\nDataPDUInOrder=Yes\n"
    "DataSequenceInOrder=Yes\nErrorRecoveryLevel=0";
static const char edk2_keys[] = "HeaderDigest=None\nDataDigest=None\nErrorRecoveryLevel=0\nInitialR2T=No\n"
                                "ImmediateData=Yes\nMaxRecvDataSegmentLength=65536\nMaxBurstLength=262144\n"
                                "FirstBurstLength=65536\nMaxConnections=1\nDataPDUInOrder=Yes\n"
                                "DataSequenceInOrder=Yes\nDefaultTime2Wait=2\nDefaultTime2Retain=20\n"
                                "MaxOutstandingR2T=1";

/* How many of the reply's keys stand in keys, and how many in all. */
static void count_keys(const char *keys, uint32_t *known, uint32_t *all)
{
    char key[64], line[sizeof key + 2], text[sizeof ipxe_keys + sizeof edk2_keys];
    *known = *all = 0;
    snprintf(text, sizeof text, "\n%s", keys);
    for (uint32_t at = 0; at < c.reply.len; at += (uint32_t)strlen((char *)c.reply.data + at) + 1, (*all)++) {
        const char *pair = (char *)c.reply.data + at;
        snprintf(key, sizeof key, "%.*s", (int)strcspn(pair, "="), pair);
        snprintf(line, sizeof line, "\n%s=", key);
        *known += strstr(text, line) != NULL;
    }
}

static uint32_t count_lines(const char *keys)
{
    uint32_t n = 1;
    for (; *keys; keys++)
        n += *keys == '\n';
    return n;
}

/* The security stage without CHAP, then the operational one: one response with T, an answer to each key, and
 * no other. */
static void firmware_login(const char *keys)
{
    start();
    struct pdu_login_response r = client_login_step(&c, 0, 1, NAMES "\nSessionType=Normal\nAuthMethod=None");
    assert_int_equal(login_status(r), 0);
    assert_int_equal(r.transit, 1);
    assert_true(reply_has(&c.reply, "AuthMethod=None"));
    r = client_login_step(&c, 1, 3, keys);
    assert_int_equal(login_status(r), 0);
    assert_int_equal(r.transit, 1);
    assert_int_equal(r.nsg, 3);
    assert_int_equal(r.more, 0);
    uint32_t known, all;
    count_keys(keys, &known, &all);
    assert_int_equal(known, all);
    assert_int_equal(known, count_lines(keys));
    c.tsih = r.tsih;
}

static void ipxe_gets_an_answer_to_each_key_and_no_other(void **state)
{
    (void)state;
    firmware_login(ipxe_keys);
    assert_true(reply_has(&c.reply, "InitialR2T=Yes"));
    assert_true(reply_has(&c.reply, "ImmediateData=No"));
    PROVES("R7143-6.3.3-02", "target");
}

static void edk2_gets_all_keys_in_one_response_with_t(void **state)
{
    (void)state;
    firmware_login(edk2_keys);
    assert_true(reply_has(&c.reply, "InitialR2T=No"));
    assert_true(reply_has(&c.reply, "ImmediateData=Yes"));
}

/* EDK2 offers SHA-256 before MD5, and takes the answer for the one method of the exchange. */
static void edk2_offer_of_chap_7_and_5_is_answered_7(void **state)
{
    (void)state;
    static struct tgt_user user = {.name = "joe", .secret = "a secret of joe", .secret_len = 15};
    w.config->targets[0].users = &user;
    w.config->targets[0].user_count = 1;
    start();
    struct pdu_login_response r = client_login_step(&c, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=CHAP");
    assert_int_equal(login_status(r), 0);
    assert_true(reply_has(&c.reply, "AuthMethod=CHAP"));
    r = client_login_step(&c, 0, -1, "CHAP_A=7,5");
    assert_int_equal(login_status(r), 0);
    assert_true(reply_has(&c.reply, "CHAP_A=7"));
    client_fini(&c);
    client_init(&c, &w);
    client_login_step(&c, 0, -1, NAMES "\nSessionType=Normal\nAuthMethod=CHAP");
    client_login_step(&c, 0, -1, "CHAP_A=5"); /* iPXE */
    assert_true(reply_has(&c.reply, "CHAP_A=5"));
    w.config->targets[0].users = NULL;
    w.config->targets[0].user_count = 0;
}

/* iPXE and libiscsi count the StatSN of an R2T, which is the next one, as if it were a status: each Data-Out
 * acknowledges a status that was never sent. The write goes on, and the status comes with that very number.
 */
static void data_out_may_acknowledge_a_status_too_many(void **state)
{
    (void)state;
    firmware_login(ipxe_keys);
    client_settle(&c, 0);
    struct pdu_scsi_command p = command(&c, false, true, 4096);
    cdb_rw(p.cdb, true, 8, 8);
    command_send(&c, &p, NULL, 0);
    struct pdu_r2t r2t;
    pdu_r2t_decode(client_expect(&c, PDU_OP_r2t)->bhs, &r2t);
    uint8_t data[4096];
    pattern(data, sizeof data, 7);
    struct pdu_data_out out = data_out(p.itt, r2t.ttt, 0, 0, true);
    out.exp_stat_sn = r2t.stat_sn + 1;
    data_out_send(&c, &out, data, sizeof data);
    struct pdu_scsi_response response = expect_response(&c);
    assert_int_equal(response.status, 0);
    assert_int_equal(response.stat_sn, r2t.stat_sn);
}

/* libiscsi (so QEMU too) and EDK2 name the next stage in requests that do not ask for it: NSG without T. It
 * counts for nothing: the stage stays what it was, whatever stage they name. */
static void a_next_stage_without_t_is_ignored(void **state)
{
    (void)state;
    start();
    for (unsigned nsg = 0; nsg < 4; nsg++) {
        if (nsg > 0) {
            client_fini(&c);
            client_init(&c, &w);
        }
        uint8_t bhs[PDU_BHS_LEN];
        char text[1000];
        struct pdu_login_request p;
        struct pdu_login_response r;
        login_request(&c, &p, 0, -1);
        pdu_login_request_encode(&p, bhs);
        bhs[1] = (uint8_t)((bhs[1] & ~3u) | nsg); /* the codec writes no NSG without T */
        client_send(&c, bhs, text, text_make(NAMES "\nSessionType=Normal\nAuthMethod=None", text));
        pdu_login_response_decode(client_expect(&c, PDU_OP_login_response)->bhs, &r);
        assert_int_equal(login_status(r), 0);
        assert_int_equal(r.transit, 0);
        assert_int_equal(r.csg, 0);
        assert_int_equal(r.nsg, 0);
        c.exp_stat_sn = r.stat_sn + 1;
        r = client_login_step(&c, 0, 1, "");
        assert_int_equal(login_status(r), 0);
        assert_int_equal(r.transit, 1);
        assert_int_equal(r.nsg, 1);
        r = client_login_step(&c, 1, 3, edk2_keys);
        assert_int_equal(login_status(r), 0);
        assert_int_equal(r.transit, 1);
    }
    PROVES("R7143-11.12.3-01", "target");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ipxe_gets_an_answer_to_each_key_and_no_other),
        TEST(edk2_gets_all_keys_in_one_response_with_t),
        TEST(edk2_offer_of_chap_7_and_5_is_answered_7),
        TEST(data_out_may_acknowledge_a_status_too_many),
        TEST(a_next_stage_without_t_is_ignored),
    };
    return cmocka_run_group_tests_name("target_firmware", tests, NULL, NULL);
}
