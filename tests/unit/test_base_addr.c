/* Addresses as text: tables of what is understood, how it is written back, and what is refused. */
#include "test_io_common.h"

static const struct {
    const char *text;
    const char *formatted; /* NULL: refused */
} parse_rows[] = {
    {"192.0.2.1", "192.0.2.1:3260"},
    {"192.0.2.1:860", "192.0.2.1:860"},
    {"127.0.0.1:0", "127.0.0.1:0"},
    {"255.255.255.255:65535", "255.255.255.255:65535"},
    {"*", "0.0.0.0:3260"},
    {"*:3261", "0.0.0.0:3261"},
    {"::", "[::]:3260"},
    {"[::]", "[::]:3260"},
    {"[::]:1", "[::]:1"},
    {"::1", "[::1]:3260"},
    {"2001:db8::1", "[2001:db8::1]:3260"},
    {"[2001:DB8:0:0:0:0:0:1]:3260", "[2001:db8::1]:3260"},
    {"[1:2:3:4:5:6:7:8]:9", "[1:2:3:4:5:6:7:8]:9"},
    {"1:2:3:4:5:6:7::", "[1:2:3:4:5:6:7:0]:3260"},
    {"::2:3:4:5:6:7:8", "[0:2:3:4:5:6:7:8]:3260"},
    {"1::", "[1::]:3260"},
    {"1:0:0:2:0:0:0:3", "[1:0:0:2::3]:3260"},
    {"1:0:0:2:3:0:0:4", "[1::2:3:0:0:4]:3260"},
    {"::ffff:192.0.2.7", "[::ffff:192.0.2.7]:3260"},
    {"64:ff9b::192.0.2.33", "[64:ff9b::c000:221]:3260"},
    {"1:2:3:4:5:6:10.0.0.1", "[1:2:3:4:5:6:a00:1]:3260"},
    {"fe80::1%3", "[fe80::1%3]:3260"},
    {"[fe80::1%3]:5", "[fe80::1%3]:5"},
    {"[fe80::1%0]:5", "[fe80::1]:5"},
    {"", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1 ", NULL},
    {"192.0.2", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.01", NULL},
    {"192.0.2.1.5", NULL},
    {"192.0.2.-1", NULL},
    {"0xc0.0.2.1", NULL},
    {"192.0.2.1:", NULL},
    {"192.0.2.1:65536", NULL},
    {"192.0.2.1:99999999999999999999", NULL},
    {"192.0.2.1:+5", NULL},
    {"192.0.2.1:05", NULL},
    {"192.0.2.1:5x", NULL},
    {"[192.0.2.1]:5", NULL},
    {"example.org", NULL},
    {"*:", NULL},
    {"**", NULL},
    {":", NULL},
    {":::", NULL},
    {"1::2::3", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"1:2:3:4:5:6:7:8::", NULL},
    {"::1:2:3:4:5:6:7:8", NULL},
    {"12345::", NULL},
    {"g::", NULL},
    {"1:", NULL},
    {":1", NULL},
    {"::192.0.2.1:5", NULL},
    {"1:2:3:4:5:6:7:192.0.2.1", NULL},
    {"[::1", NULL},
    {"::1]", NULL},
    {"[::1]3260", NULL},
    {"[::1]:", NULL},
    {"[]", NULL},
    {"[]:5", NULL},
    {"fe80::1%", NULL},
    {"fe80::1%eth0", NULL},
    {"fe80::1%4294967296", NULL},
};

static void addresses_are_parsed_strictly_and_written_canonically(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(parse_rows) / sizeof(parse_rows[0]); i++) {
        struct io_addr addr = {.port = 7};
        char text[IO_ADDR_TEXT_MAX];
        int err = addr_parse(parse_rows[i].text, 3260, &addr);
        if (!parse_rows[i].formatted) {
            if (err == 0)
                fail_msg("\"%s\" was accepted as %s", parse_rows[i].text,
                         addr_format(&addr, text, sizeof(text)));
            assert_int_equal(err, ERR_SYNTAX);
            assert_int_equal(addr.port, 7); /* untouched */
            continue;
        }
        if (err != 0)
            fail_msg("\"%s\" was refused", parse_rows[i].text);
        assert_string_equal(addr_format(&addr, text, sizeof(text)), parse_rows[i].formatted);
        struct io_addr again;
        assert_int_equal(addr_parse(text, 1, &again), 0);
        assert_true(addr_equal(&addr, &again));
    }
}

static void the_longest_text_fits_and_short_buffers_are_not_overrun(void **state)
{
    (void)state;
    struct io_addr addr;
    char text[IO_ADDR_TEXT_MAX], small[4];
    assert_int_equal(addr_parse("[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535", 0, &addr), 0);
    assert_string_equal(addr_format(&addr, text, sizeof(text)),
                        "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535");
    assert_string_equal(addr_format_host(&addr, text, sizeof(text)),
                        "1111:2222:3333:4444:5555:6666:7777:8888%4294967295");
    assert_string_equal(addr_format(&addr, small, sizeof(small)), "[11");
    assert_int_equal(addr_parse("10.0.0.1:5", 0, &addr), 0);
    assert_string_equal(addr_format_host(&addr, text, sizeof(text)), "10.0.0.1");
}

static void wildcards_and_equality(void **state)
{
    (void)state;
    struct io_addr a, b, unset = {0};
    assert_int_equal(addr_parse("*:5", 0, &a), 0);
    assert_true(addr_is_wildcard(&a));
    assert_int_equal(addr_parse("[::]:5", 0, &b), 0);
    assert_true(addr_is_wildcard(&b));
    assert_false(addr_equal(&a, &b));
    assert_int_equal(addr_parse("[::1]:5", 0, &a), 0);
    assert_false(addr_is_wildcard(&a));
    assert_false(addr_is_wildcard(&unset));
    b = a;
    assert_true(addr_equal(&a, &b));
    b.port++;
    assert_false(addr_equal(&a, &b));
    b = a;
    b.scope = 1;
    assert_false(addr_equal(&a, &b));
}

static void what_lies_within_the_machine(void **state)
{
    (void)state;
    static const struct {
        const char *local, *peer;
        bool within;
    } rows[] = {
        {"127.0.0.1:1", "127.0.0.1:2", true},
        {"127.0.0.1:1", "127.9.9.9:2", true},
        {"10.1.2.3:1", "10.1.2.3:2", true},
        {"10.1.2.3:1", "10.1.2.4:1", false},
        {"127.0.0.1:1", "10.1.2.3:2", false},
        {"10.1.2.3:1", "127.0.0.1:2", false},
        {"[::1]:1", "[::1]:2", true},
        {"[2001:db8::1]:1", "[2001:db8::1]:2", true},
        {"[2001:db8::1]:1", "[2001:db8::2]:2", false},
        {"127.0.0.1:1", "[::1]:2", false},
        {"[7f00::]:1", "[7f01::]:2", false},
    };
    struct io_addr local, peer, unset = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(addr_parse(rows[i].local, 0, &local), 0);
        assert_int_equal(addr_parse(rows[i].peer, 0, &peer), 0);
        assert_int_equal(addr_within_machine(&local, &peer), rows[i].within);
    }
    assert_false(addr_within_machine(&unset, &unset));
    peer = local; /* of link-local addresses the zone is a part */
    peer.scope = local.scope + 1;
    assert_false(addr_within_machine(&local, &peer));
}

static const struct {
    const char *net;
    const char *addr; /* NULL: the network is refused */
    bool contains;
} net_rows[] = {
    {"10.0.0.0/8", "10.255.1.2", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.1.2.3/8", "10.9.9.9", true}, /* taken as the network it lies in */
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"0.0.0.0/0", "::ffff:203.0.113.9", true},
    {"10.0.0.0/8", "::ffff:10.2.3.4", true},
    {"10.0.0.0/8", "::ffff:11.2.3.4", false},
    {"::ffff:10.0.0.0/104", "10.2.3.4", true},
    {"::ffff:10.0.0.0/104", "::ffff:10.2.3.4", true},
    {"::/0", "2001:db8::1", true},
    {"::/0", "::ffff:10.2.3.4", true},
    {"2001:db8::/32", "2001:db8:ffff::1", true},
    {"2001:db8::/32", "2001:db9::1", false},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"2001:db8::1", "2001:db8::1", true},
    {"2001:db8::1/128", "2001:db8::", false},
    {"10.0.0.0/33", NULL, false},
    {"2001:db8::/129", NULL, false},
    {"10.0.0.0/", NULL, false},
    {"10.0.0.0/08", NULL, false},
    {"10.0.0.0/8/8", NULL, false},
    {"10.0.0/8", NULL, false},
    {"*", NULL, false},
    {"[::1]", NULL, false},
    {"fe80::1%2/64", NULL, false},
    {"10.0.0.1:3260", NULL, false},
    {"", NULL, false},
};

static void networks_hold_what_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(net_rows) / sizeof(net_rows[0]); i++) {
        struct addr_net net;
        struct io_addr addr;
        int err = addr_net_parse(net_rows[i].net, &net);
        if (err != (net_rows[i].addr ? 0 : ERR_SYNTAX))
            fail_msg("network \"%s\": %d", net_rows[i].net, err);
        if (err < 0)
            continue;
        assert_int_equal(addr_parse(net_rows[i].addr, 3260, &addr), 0);
        if (addr_net_contains(&net, &addr) != net_rows[i].contains)
            fail_msg("network \"%s\" and %s", net_rows[i].net, net_rows[i].addr);
    }
}

static void names_are_resolved_and_numbers_need_no_resolver(void **state)
{
    (void)state;
    struct io_addr found[8];
    assert_int_equal(addr_resolve("192.0.2.1:99", 3260, found, 8), 1);
    assert_int_equal(found[0].port, 99);
    int count = addr_resolve("localhost:99", 3260, found, 8);
    assert_true(count >= 1);
    for (int i = 0; i < count; i++) {
        char text[IO_ADDR_TEXT_MAX];
        assert_int_equal(found[i].port, 99);
        addr_format_host(&found[i], text, sizeof(text));
        assert_true(strcmp(text, "127.0.0.1") == 0 || strcmp(text, "::1") == 0);
    }
    assert_true(addr_resolve("localhost", 3260, found, 1) == 1 && found[0].port == 3260);
    static const char *const wrong[] = {"localhost:", "localhost:x", "localhost:65536", "10.1", "",
                                        ":5",         "[::1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(addr_resolve(wrong[i], 3260, found, 8), ERR_SYNTAX);
    assert_int_equal(addr_resolve("localhost", 3260, found, 0), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_parsed_strictly_and_written_canonically),
        cmocka_unit_test(the_longest_text_fits_and_short_buffers_are_not_overrun),
        cmocka_unit_test(wildcards_and_equality),
        cmocka_unit_test(what_lies_within_the_machine),
        cmocka_unit_test(networks_hold_what_they_should),
        cmocka_unit_test(names_are_resolved_and_numbers_need_no_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
