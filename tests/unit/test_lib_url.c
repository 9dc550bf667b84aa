/* iscsi:// URLs and ready-made commands of the initiator library.
 *
 * Goal: every legal form is understood, every other one refused with a sentence that names what is wrong and
 * never shows a secret. Method: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "initiator/lib/lunette.h"
#include "tests/unit/proves.h"

#define IQN "iqn.2026-01.org.lunette:disk"

static void legal_urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *portal, *target, *user, *secret;
        int32_t lun;
    } rows[] = {
        {"iscsi://10.0.0.1/" IQN "/0", "10.0.0.1", IQN, "", "", 0},
        {"iscsi://10.0.0.1:3261/" IQN "/16383", "10.0.0.1:3261", IQN, "", "", 16383},
        {"iscsi://host.example/" IQN, "host.example", IQN, "", "", -1},
        {"iscsi://host.example/" IQN "/", "host.example", IQN, "", "", -1},
        {"iscsi://host.example", "host.example", "", "", "", -1},
        {"iscsi://host.example:860/", "host.example:860", "", "", "", -1},
        {"iscsi://[2001:db8::1]/" IQN "/1", "[2001:db8::1]", IQN, "", "", 1},
        {"iscsi://[2001:db8::1]:3261/" IQN "/1", "[2001:db8::1]:3261", IQN, "", "", 1},
        {"iscsi://alice@h/" IQN "/1", "h", IQN, "alice", "", 1},
        {"iscsi://alice%secret@h/" IQN "/1", "h", IQN, "alice", "secret", 1},
        {"iscsi://alice%a%40b%2Fc%25@h/" IQN "/1", "h", IQN, "alice", "a@b/c%", 1},
        {"iscsi://h/IQN.2026-01.ORG.Lunette:Disk/1", "h", IQN, "", "", 1},
        {"iscsi://h/eui.02004567A425678D/7", "h", "eui.02004567a425678d", "", "", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lnt_url url;
        char why[300] = "";
        if (lnt_url_parse(rows[i].text, &url, why, sizeof why) != 0)
            fail_msg("%s: %s", rows[i].text, why);
        assert_string_equal(url.portal, rows[i].portal);
        assert_string_equal(url.target, rows[i].target);
        assert_string_equal(url.user, rows[i].user);
        assert_int_equal(url.secret_len, strlen(rows[i].secret));
        assert_memory_equal(url.secret, rows[i].secret, url.secret_len);
        assert_int_equal(url.lun, rows[i].lun);
    }
    PROVES("R7143-15-01", "initiator");
}

static void other_urls_are_refused_without_showing_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"http://h/" IQN "/0", "iscsi://"},
        {"", "iscsi://"},
        {"iscsi:/h/" IQN, "iscsi://"},
        {"iscsi://", "host"},
        {"iscsi:///" IQN "/0", "host"},
        {"iscsi://h:0/" IQN, "port"},
        {"iscsi://h:65536/" IQN, "port"},
        {"iscsi://h:x/" IQN, "\"x\""},
        {"iscsi://[::1]:70000/" IQN, "70000"},
        {"iscsi://h/nothing", "nothing"},
        {"iscsi://h/" IQN "/16384", "16384"},
        {"iscsi://h/" IQN "/-1", "-1"},
        {"iscsi://h/" IQN "/one", "one"},
        {"iscsi://h/" IQN "/0/1", "0/1"},
        {"iscsi://@h/" IQN "/0", "user"},
        {"iscsi://alice%@h/" IQN "/0", "secret"},
        {"iscsi://alice%hush%4@h/" IQN "/0", "escaped"},
        {"iscsi://alice%hush%zz@h/" IQN "/0", "escaped"},
        {"iscsi://alice%hush@h/" IQN "/x", "x"},
        {"iscsi://alice%hush@h:0/" IQN "/0", "port"},
        {"iscsi://alice%hush@/" IQN "/0", "host"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lnt_url url = {.lun = 77};
        char why[300] = "";
        if (lnt_url_parse(rows[i].text, &url, why, sizeof why) == 0)
            fail_msg("%s was taken", rows[i].text);
        assert_int_equal(url.lun, 77); /* untouched */
        if (!strstr(why, rows[i].word))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, why, rows[i].word);
        assert_null(strstr(why, "hush"));
    }
}

static void long_parts_are_refused_not_cut(void **state)
{
    (void)state;
    char text[2000], why[300];
    struct lnt_url url;
    char many[1200];
    memset(many, 'a', sizeof many);
    many[1100] = 0;
    snprintf(text, sizeof text, "iscsi://%s/" IQN "/0", many);
    assert_int_not_equal(lnt_url_parse(text, &url, why, sizeof why), 0);
    snprintf(text, sizeof text, "iscsi://%s%%s@h/" IQN "/0", many);
    assert_int_not_equal(lnt_url_parse(text, &url, why, sizeof why), 0);
    snprintf(text, sizeof text, "iscsi://u%%%s@h/" IQN "/0", many + 1);
    text[11 + 1] = 'g'; /* not an escape */
    assert_int_not_equal(lnt_url_parse(text, &url, why, sizeof why), 0);
    snprintf(text, sizeof text, "iscsi://h/iqn.2026-01.org.%s/0", many);
    assert_int_not_equal(lnt_url_parse(text, &url, why, sizeof why), 0);
    PROVES("R7143-4.2.7.2-04", "initiator");
}

static void block_commands_use_the_form_that_fits(void **state)
{
    (void)state;
    struct lnt_command c;
    uint8_t data[4096];
    struct io_vec place = {data, sizeof data};
    lnt_command_read(&c, 3, 0xffffffff, 8, 512, &place, 1);
    assert_int_equal(c.scsi.cdb[0], 0x28);
    assert_int_equal(be32_get(c.scsi.cdb + 2), 0xffffffff);
    assert_int_equal(be16_get(c.scsi.cdb + 7), 8);
    assert_int_equal(c.scsi.in_len, 4096);
    assert_int_equal(c.scsi.lun, 0x0003000000000000ull);
    assert_true(c.repeatable);
    lnt_command_read(&c, 300, 0x100000000ull, 8, 512, &place, 1);
    assert_int_equal(c.scsi.cdb[0], 0x88);
    assert_int_equal(be64_get(c.scsi.cdb + 2), 0x100000000ull);
    assert_int_equal(c.scsi.lun, 0x412c000000000000ull); /* flat addressing */
    lnt_command_write(&c, 0, 5, 65536, 512, &place, 1, true);
    assert_int_equal(c.scsi.cdb[0], 0x8a); /* the count needs it */
    assert_int_equal(c.scsi.cdb[1] & 8, 8);
    assert_int_equal(c.scsi.out_len, 65536ull * 512);
    lnt_command_write(&c, 0, 5, 8, 512, &place, 1, false);
    assert_int_equal(c.scsi.cdb[0], 0x2a);
    assert_int_equal(c.scsi.cdb[1], 0);
    assert_true(c.repeatable);
}

static void outcomes_are_told_in_words(void **state)
{
    (void)state;
    struct lnt_command c;
    char text[300];
    uint8_t sense[18] = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21};
    memset(&c, 0, sizeof c);
    assert_non_null(strstr(lnt_command_text(&c, text, sizeof text), "GOOD"));
    c.scsi.status = 2;
    memcpy(c.scsi.sense, sense, sizeof sense);
    c.scsi.sense_len = sizeof sense;
    assert_non_null(strstr(lnt_command_text(&c, text, sizeof text), "05/21/00"));
    c.scsi.sense_len = 0;
    assert_non_null(strstr(lnt_command_text(&c, text, sizeof text), "CHECK CONDITION"));
    c.scsi.status = 8;
    assert_non_null(strstr(lnt_command_text(&c, text, sizeof text), "BUSY"));
    c.error = ERR_TIMEOUT;
    assert_non_null(strstr(lnt_command_text(&c, text, sizeof text), "timed out"));
    assert_int_equal(strlen(lnt_command_text(&c, text, 6)), 5); /* cut, never beyond */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_urls_are_taken_apart),
        cmocka_unit_test(other_urls_are_refused_without_showing_secrets),
        cmocka_unit_test(long_parts_are_refused_not_cut),
        cmocka_unit_test(block_commands_use_the_form_that_fits),
        cmocka_unit_test(outcomes_are_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
