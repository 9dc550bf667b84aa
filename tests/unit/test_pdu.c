/* Goal: the lists of pdu_def.h say what RFC 7143 chapter 11 and RFC 7144 say, and everything expanded from
 * them agrees: structs, encode, decode, field tables, checks, presets and dumps. Method: one header of every
 * PDU written out as the RFC's figure has it, four bytes per group, against the encoder; exact tiling,
 * identity and rule boundaries for every field of every PDU, driven by the tables. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/pdu.h"
#include "tests/unit/proves.h"

#define TEXT_LEN 1024

static uint64_t rng_state = 0x9e3779b97f4a7c15u;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static void random_bytes(void *out, size_t len)
{
    uint8_t *p = out;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(rnd() >> 24);
}

/* "01 c0" -> bytes; blanks between groups are for the reader. */
static void from_hex(const char *text, uint8_t *out)
{
    size_t n = 0;
    for (const char *p = text; *p;) {
        unsigned byte;
        if (*p == ' ') {
            p++;
            continue;
        }
        assert_true(n < PDU_BHS_LEN);
        assert_int_equal(sscanf(p, "%2x", &byte), 1);
        out[n++] = (uint8_t)byte;
        p += 2;
    }
    assert_int_equal(n, PDU_BHS_LEN);
}

/* Encodes `value` and compares with the figure; then decodes the figure and encodes that. */
#define CHECK_FIGURE(tag, hex, ...)                                                                          \
    do {                                                                                                     \
        uint8_t want_[PDU_BHS_LEN], got_[PDU_BHS_LEN];                                                       \
        struct pdu_##tag in_ = {.opcode = PDU_OP_##tag, __VA_ARGS__}, out_;                                  \
        from_hex(hex, want_);                                                                                \
        pdu_##tag##_encode(&in_, got_);                                                                      \
        assert_memory_equal(got_, want_, PDU_BHS_LEN);                                                       \
        memset(&out_, 0, sizeof out_);                                                                       \
        pdu_##tag##_decode(want_, &out_);                                                                    \
        memset(got_, 0xee, sizeof got_);                                                                     \
        pdu_##tag##_encode(&out_, got_);                                                                     \
        assert_memory_equal(got_, want_, PDU_BHS_LEN);                                                       \
        assert_int_equal(out_.data_segment_length, in_.data_segment_length);                                 \
        assert_int_equal(out_.itt, in_.itt);                                                                 \
    } while (0)

#define LENGTHS      .total_ahs_length = 0x09, .data_segment_length = 0xa1a2a3
#define LUN          .lun = 0x0102030405060708u
#define ITT          .itt = 0x11121314
#define REQUEST_SNS  .cmd_sn = 0x31323334, .exp_stat_sn = 0x41424344
#define RESPONSE_SNS .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354

static void requests_look_like_the_figures(void **state)
{
    (void)state;
    CHECK_FIGURE(scsi_command,
                 "41e3b000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff",
                 .immediate = 1, .final = 1, .read = 1, .write = 1, .attr = 3, .priority = 0xb, LENGTHS, LUN,
                 ITT, .expected_data_transfer_length = 0x21222324, REQUEST_SNS,
                 .cdb = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd,
                         0xfe, 0xff});
    CHECK_FIGURE(task_management_request,
                 "02810000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "51525354 61626364 00000000 00000000",
                 .final = 1, .function = 1, LENGTHS, LUN, ITT, .referenced_task_tag = 0x21222324, REQUEST_SNS,
                 .ref_cmd_sn = 0x51525354, .exp_data_sn = 0x61626364);
    CHECK_FIGURE(data_out,
                 "05800000 09a1a2a3 01020304 05060708 11121314 21222324 00000000 41424344"
                 "00000000 61626364 71727374 00000000",
                 .final = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, .exp_stat_sn = 0x41424344,
                 .data_sn = 0x61626364, .buffer_offset = 0x71727374);
    CHECK_FIGURE(text_request,
                 "44c00000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "00000000 00000000 00000000 00000000",
                 .immediate = 1, .final = 1, .more = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, REQUEST_SNS);
    CHECK_FIGURE(login_request,
                 "43c70201 09a1a2a3 80010203 04050607 11121314 21220000 31323334 41424344"
                 "00000000 00000000 00000000 00000000",
                 .immediate = 1, .transit = 1, .more = 1, .csg = 1, .nsg = 3, .version_max = 2,
                 .version_min = 1, LENGTHS, .isid = {0x80, 1, 2, 3, 4, 5}, .tsih = 0x0607, ITT, .cid = 0x2122,
                 REQUEST_SNS);
    CHECK_FIGURE(logout_request,
                 "46820000 09a1a2a3 00000000 00000000 11121314 21220000 31323334 41424344"
                 "00000000 00000000 00000000 00000000",
                 .immediate = 1, .final = 1, .reason = 2, LENGTHS, ITT, .cid = 0x2122, REQUEST_SNS);
    CHECK_FIGURE(snack_request,
                 "10830000 09a1a2a3 01020304 05060708 11121314 21222324 00000000 41424344"
                 "00000000 00000000 71727374 81828384",
                 .final = 1, .type = 3, LENGTHS, LUN, ITT, .ttt = 0x21222324, .exp_stat_sn = 0x41424344,
                 .beg_run = 0x71727374, .run_length = 0x81828384);
    CHECK_FIGURE(nop_out,
                 "40800000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "00000000 00000000 00000000 00000000",
                 .immediate = 1, .final = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, REQUEST_SNS);
    PROVES("R7143-11-01", "initiator");
    PROVES("R7143-11.5-01", "initiator");
}

static void responses_look_like_the_figures(void **state)
{
    (void)state;
    CHECK_FIGURE(scsi_response,
                 "21920118 09a1a2a3 0a0b0000 00000000 11121314 21222324 31323334 41424344"
                 "51525354 61626364 71727374 81828384",
                 .final = 1, .bidi_overflow = 1, .underflow = 1, .response = 1, .status = 0x18, LENGTHS,
                 .status_qualifier = 0x0a0b, ITT, .snack_tag = 0x21222324, RESPONSE_SNS,
                 .exp_data_sn = 0x61626364, .bidi_residual_count = 0x71727374, .residual_count = 0x81828384);
    CHECK_FIGURE(scsi_response,
                 "210c0000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
                 "00000000 00000000 00000000 00000000",
                 .bidi_underflow = 1, .overflow = 1);
    CHECK_FIGURE(task_management_response,
                 "22800500 09a1a2a3 0a0b0c00 00000000 11121314 00000000 31323334 41424344"
                 "51525354 00000000 00000000 00000000",
                 .final = 1, .response = 5, LENGTHS, .additional_response = 0x0a0b0c, ITT, RESPONSE_SNS);
    CHECK_FIGURE(data_in,
                 "25c30008 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "51525354 61626364 71727374 81828384",
                 .final = 1, .acknowledge = 1, .underflow = 1, .has_status = 1, .status = 8, LENGTHS, LUN,
                 ITT, .ttt = 0x21222324, RESPONSE_SNS, .data_sn = 0x61626364, .buffer_offset = 0x71727374,
                 .residual_count = 0x81828384);
    CHECK_FIGURE(data_in,
                 "25040000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
                 "00000000 00000000 00000000 00000000",
                 .overflow = 1);
    CHECK_FIGURE(r2t,
                 "31800000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "51525354 61626364 71727374 81828384",
                 .final = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, RESPONSE_SNS, .r2t_sn = 0x61626364,
                 .buffer_offset = 0x71727374, .desired_data_transfer_length = 0x81828384);
    CHECK_FIGURE(async_message,
                 "32800000 09a1a2a3 01020304 05060708 ffffffff 00000000 31323334 41424344"
                 "51525354 01026162 71727374 00000000",
                 .final = 1, LENGTHS, LUN, .itt = 0xffffffff, RESPONSE_SNS, .async_event = 1,
                 .async_vcode = 2, .parameter1 = 0x6162, .parameter2 = 0x7172, .parameter3 = 0x7374);
    CHECK_FIGURE(text_response,
                 "24c00000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "51525354 00000000 00000000 00000000",
                 .final = 1, .more = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, RESPONSE_SNS);
    CHECK_FIGURE(login_response,
                 "23c70201 09a1a2a3 80010203 04050607 11121314 00000000 31323334 41424344"
                 "51525354 02070000 00000000 00000000",
                 .transit = 1, .more = 1, .csg = 1, .nsg = 3, .version_max = 2, .version_active = 1, LENGTHS,
                 .isid = {0x80, 1, 2, 3, 4, 5}, .tsih = 0x0607, ITT, RESPONSE_SNS, .status_class = 2,
                 .status_detail = 7);
    CHECK_FIGURE(logout_response,
                 "26800300 09a1a2a3 00000000 00000000 11121314 00000000 31323334 41424344"
                 "51525354 00000000 71727374 00000000",
                 .final = 1, .response = 3, LENGTHS, ITT, RESPONSE_SNS, .time2wait = 0x7172,
                 .time2retain = 0x7374);
    CHECK_FIGURE(reject,
                 "3f800900 09a1a2a3 00000000 00000000 ffffffff 00000000 31323334 41424344"
                 "51525354 61626364 00000000 00000000",
                 .final = 1, .reason = 9, LENGTHS, .itt = 0xffffffff, RESPONSE_SNS, .data_sn = 0x61626364);
    CHECK_FIGURE(nop_in,
                 "20800000 09a1a2a3 01020304 05060708 11121314 21222324 31323334 41424344"
                 "51525354 00000000 00000000 00000000",
                 .final = 1, LENGTHS, LUN, ITT, .ttt = 0x21222324, RESPONSE_SNS);
    PROVES("R7143-11-01", "target");
    PROVES("R7144-6.4.1-01", "target");
}

static void the_rfc_sample_read_10_decodes(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_scsi_command cmd;
    from_hex("01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
             "28000000 00000000 02000000 00000000",
             bhs);
    assert_true(pdu_check(bhs, true, NULL));
    pdu_scsi_command_decode(bhs, &cmd);
    assert_true(cmd.final && cmd.read && !cmd.write && !cmd.immediate);
    assert_int_equal(cmd.itt, 0x14000000);
    assert_int_equal(cmd.expected_data_transfer_length, 1024);
    assert_int_equal(cmd.cmd_sn, 0x14);
    assert_int_equal(cmd.exp_stat_sn, 0x18);
    assert_int_equal(cmd.cdb[0], 0x28);
    assert_int_equal(cmd.cdb[8], 0x02);
}

static void opcodes_are_as_assigned(void **state)
{
    (void)state;
    static const uint8_t initiator[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10};
    static const uint8_t target[] = {0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f};
    unsigned known = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t opcode = byte & 0x3f;
        const struct pdu_type *type = pdu_type_of((uint8_t)byte);
        bool is_initiator = memchr(initiator, opcode, sizeof initiator) != NULL;
        bool is_target = memchr(target, opcode, sizeof target) != NULL;
        assert_int_equal(type != NULL, is_initiator || is_target);
        if (!type) {
            assert_string_equal(pdu_name((uint8_t)byte), "unknown opcode");
            continue;
        }
        known++;
        assert_int_equal(type->opcode, opcode);
        assert_int_equal(type->from, is_target ? PDU_FROM_TARGET : PDU_FROM_INITIATOR);
        assert_string_equal(pdu_name((uint8_t)byte), type->name);
    }
    assert_int_equal(known, 4 * pdu_type_count);
    PROVES("R7143-11.2.1.2-03", "both");
}

/* ---- properties that the tables drive ---- */

static void fields_tile_48_bytes_exactly(void **state)
{
    (void)state;
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        uint8_t times[8 * PDU_BHS_LEN] = {0};
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            /* Only whole fields of these widths can be read: pdu_bits_get knows no others. */
            assert_true(f->bits < 8 ? f->shift + f->bits <= 8 : f->bits % 8 == 0 && f->shift == 0);
            if (f->kind == PDU_FIELD_NUMBER && f->bits >= 8)
                assert_true(f->bits == 8 || f->bits == 16 || f->bits == 24 || f->bits == 32 || f->bits == 64);
            for (unsigned b = 0; b < f->bits; b++) {
                unsigned at = f->bits < 8 ? 8u * f->byte + f->shift + b : 8u * f->byte + b;
                assert_true(at < sizeof times);
                times[at]++;
            }
        }
        for (size_t b = 0; b < sizeof times; b++)
            if (times[b] != 1)
                fail_msg("%s: bit %zu of byte %zu is covered %u times", type->name, b % 8, b / 8, times[b]);
    }
    PROVES("R7143-4.6-01", "both");
}

static void field_names_are_unique_and_found(void **state)
{
    (void)state;
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        for (size_t i = 0; i < type->field_count; i++)
            if (type->fields[i].name)
                assert_ptr_equal(pdu_field_find(type, type->fields[i].name), &type->fields[i]);
        assert_null(pdu_field_find(type, "no_such_field"));
    }
}

/* Clears what encode never sets. */
static void clear_reserved(const struct pdu_type *type, uint8_t *bhs)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct pdu_field *f = &type->fields[i];
        if (f->kind != PDU_FIELD_RESERVED)
            continue;
        if (f->bits < 8)
            bhs[f->byte] = (uint8_t)(bhs[f->byte] & ~(((1u << f->bits) - 1u) << f->shift));
        else
            memset(bhs + f->byte, 0, f->bits / 8u);
    }
}

/* Random values for all fields at once: what is decoded from random bytes. encode leaves reserved bits zero
 * and all else as it was; decode of that gives the same struct. memset: struct padding is compared too. */
#define X(list, tag, code, dir, text)                                                                        \
    static void identity_##tag(void)                                                                         \
    {                                                                                                        \
        uint8_t noise[PDU_BHS_LEN], bhs[PDU_BHS_LEN];                                                        \
        struct pdu_##tag in, out;                                                                            \
        random_bytes(noise, sizeof noise);                                                                   \
        memset(&in, 0, sizeof in);                                                                           \
        memset(&out, 0, sizeof out);                                                                         \
        pdu_##tag##_decode(noise, &in);                                                                      \
        random_bytes(bhs, sizeof bhs);                                                                       \
        pdu_##tag##_encode(&in, bhs);                                                                        \
        pdu_##tag##_decode(bhs, &out);                                                                       \
        assert_memory_equal(&in, &out, sizeof in);                                                           \
        clear_reserved(pdu_type_of(code), noise);                                                            \
        assert_memory_equal(bhs, noise, sizeof bhs);                                                         \
    }
PDU_LIST(X)
#undef X

static void decode_undoes_encode(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
#define X(list, tag, code, dir, text) identity_##tag();
        PDU_LIST(X)
#undef X
    }
    PROVES("R7143-11-02", "both");
}

/* Each number field alone: only its own bits move, and a value that is too wide is cut, not spilled. */
static void a_field_keeps_to_its_own_bits(void **state)
{
    (void)state;
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            uint8_t ones[PDU_BHS_LEN], zeros[PDU_BHS_LEN] = {0}, other[PDU_BHS_LEN];
            uint64_t most = f->bits >= 64 ? UINT64_MAX : (UINT64_C(1) << f->bits) - 1;
            memset(ones, 0xff, sizeof ones);
            memcpy(other, ones, sizeof other);
            if (f->kind != PDU_FIELD_NUMBER) {
                pdu_field_put(f, other, 0);
                assert_memory_equal(other, ones, sizeof ones);
                assert_int_equal(pdu_field_get(f, ones), 0);
                continue;
            }
            assert_true(pdu_field_get(f, ones) == most);
            pdu_field_put(f, zeros, UINT64_MAX);
            assert_true(pdu_field_get(f, zeros) == most);
            pdu_field_put(f, ones, 0);
            assert_true(pdu_field_get(f, ones) == 0);
            for (size_t b = 0; b < PDU_BHS_LEN; b++) /* together they are one all-ones header again */
                assert_int_equal(ones[b] ^ zeros[b], 0xff);
            uint64_t value = rnd();
            pdu_field_put(f, zeros, value);
            assert_true(pdu_field_get(f, zeros) == (value & most));
        }
    }
}

/* ---- rules ---- */

/* A header that breaks nothing: presets, and another value where zero is what is forbidden. */
static void sound_header(const struct pdu_type *type, uint8_t *bhs)
{
#define X(list, tag, code, dir, text)                                                                        \
    if (type->opcode == (code)) {                                                                            \
        struct pdu_##tag pdu;                                                                                \
        pdu_##tag##_init(&pdu);                                                                              \
        pdu_##tag##_encode(&pdu, bhs);                                                                       \
    }
    PDU_LIST(X)
#undef X
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].rule == PDU_RULE_NOT && type->fields[i].min == 0)
            pdu_field_put(&type->fields[i], bhs, 1);
    assert_true(pdu_check(bhs, true, NULL));
}

static void expect(const struct pdu_type *type, const struct pdu_field *f, uint8_t *bhs, uint64_t value,
                   bool good)
{
    struct pdu_fault fault = {0};
    pdu_field_put(f, bhs, value);
    if (pdu_check(bhs, false, &fault) != good)
        fail_msg("%s.%s = %" PRIu64 " is %s", type->name, f->name, value, good ? "refused" : "taken");
    if (good) {
        assert_null(fault.type);
        return;
    }
    assert_ptr_equal(fault.type, type);
    assert_ptr_equal(fault.field, f);
    assert_true(fault.value == value);
    assert_non_null(f->requirement);
    assert_false(pdu_check(bhs, true, NULL));
}

static void check_boundaries(const struct pdu_type *type, const struct pdu_field *f)
{
    uint8_t bhs[PDU_BHS_LEN];
    uint64_t most = f->bits >= 64 ? UINT64_MAX : (UINT64_C(1) << f->bits) - 1;
    sound_header(type, bhs);
    if (f->when)
        pdu_field_put(pdu_field_find(type, f->when), bhs, 1);
    if (f->rule == PDU_RULE_RANGE) {
        expect(type, f, bhs, f->min, true);
        expect(type, f, bhs, f->max, true);
        if (f->min > 0)
            expect(type, f, bhs, f->min - 1, false);
        if (f->max < most)
            expect(type, f, bhs, f->max + 1, false);
    } else {
        expect(type, f, bhs, f->min, false);
        if (f->min > 0)
            expect(type, f, bhs, f->min - 1, true);
        if (f->min < most)
            expect(type, f, bhs, f->min + 1, true);
    }
}

static void every_rule_holds_at_its_boundary(void **state)
{
    (void)state;
    unsigned rules = 0;
    for (size_t t = 0; t < pdu_type_count; t++) {
        for (size_t i = 0; i < pdu_types[t].field_count; i++) {
            const struct pdu_field *f = &pdu_types[t].fields[i];
            if (f->rule == PDU_RULE_ANY || strcmp(f->name, "opcode") == 0) /* another opcode is another PDU */
                continue;
            check_boundaries(&pdu_types[t], f);
            rules++;
        }
    }
    assert_int_equal(rules, 44); /* a rule that is lost on the way would go unnoticed */
}

static void an_unknown_opcode_is_a_fault_without_a_field(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN] = {0x47};
    struct pdu_fault fault;
    char text[TEXT_LEN];
    assert_false(pdu_check(bhs, false, &fault));
    assert_null(fault.type);
    assert_null(fault.field);
    assert_int_equal(fault.value, 0x07);
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text), "opcode 0x07 is unknown");
}

static void next_stage_counts_only_with_transit(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {PDU_OP_login_request, PDU_OP_login_response};
    for (size_t t = 0; t < sizeof opcodes; t++) {
        const struct pdu_type *type = pdu_type_of(opcodes[t]);
        const struct pdu_field *nsg = pdu_field_find(type, "nsg"), *transit = pdu_field_find(type, "transit");
        uint8_t bhs[PDU_BHS_LEN];
        char text[TEXT_LEN];
        sound_header(type, bhs);
        for (uint64_t stage = 1; stage < 4; stage++) {
            struct pdu_fault fault;
            pdu_field_put(transit, bhs, 0);
            pdu_field_put(nsg, bhs, stage);
            assert_true(pdu_check(bhs, false, NULL));   /* a receiver does not look at it */
            assert_false(pdu_check(bhs, true, &fault)); /* a sender leaves it zero */
            assert_ptr_equal(fault.field, nsg);
            if (stage != 2)
                assert_non_null(
                    strstr(pdu_fault_text(&fault, text, sizeof text), "must be 0 without transit"));
            pdu_field_put(transit, bhs, 1);
            assert_int_equal(pdu_check(bhs, true, NULL), stage != 2);
        }
    }
}

static void reserved_bits_matter_only_when_strict(void **state)
{
    (void)state;
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            if (f->kind != PDU_FIELD_RESERVED)
                continue;
            for (unsigned b = 0; b < f->bits; b++) {
                uint8_t bhs[PDU_BHS_LEN];
                struct pdu_fault fault;
                char text[TEXT_LEN];
                sound_header(type, bhs);
                bhs[f->byte + b / 8] |= (uint8_t)(1u << (f->shift + b % 8));
                assert_true(pdu_check(bhs, false, NULL));
                assert_false(pdu_check(bhs, true, &fault));
                assert_ptr_equal(fault.field, f);
                assert_true(fault.value != 0);
                assert_non_null(strstr(pdu_fault_text(&fault, text, sizeof text), "reserved"));
            }
        }
    }
    PROVES("R7143-11-03", "both");
}

/* ---- presets ---- */

static void init_presets_what_is_fixed_and_zeroes_the_rest(void **state)
{
    (void)state;
    /* The figures that show a fixed 1 in the first bit of byte 1. */
    static const uint8_t first_bit_set[] = {0x00, 0x02, 0x06, 0x10, 0x20, 0x21, 0x22, 0x26, 0x31, 0x32, 0x3f};
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        uint8_t bhs[PDU_BHS_LEN];
        sound_header(type, bhs);
        bool fixed = memchr(first_bit_set, type->opcode, sizeof first_bit_set) != NULL;
        assert_int_equal((bhs[1] & 0x80) != 0, fixed);
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            uint64_t want = f->rule == PDU_RULE_RANGE && f->min == f->max ? f->min : 0;
            if (f->kind == PDU_FIELD_NUMBER && !(f->rule == PDU_RULE_NOT && f->min == 0))
                assert_true(pdu_field_get(f, bhs) == want);
        }
    }
    struct pdu_reject reject;
    struct pdu_async_message async;
    struct pdu_login_request login;
    pdu_reject_init(&reject);
    pdu_async_message_init(&async);
    pdu_login_request_init(&login);
    assert_int_equal(reject.itt, PDU_TAG_RESERVED);
    assert_int_equal(async.itt, PDU_TAG_RESERVED);
    assert_true(login.immediate && login.opcode == 0x03);
    PROVES("R7143-11.2.1.3-01", "both");
}

/* ---- text ---- */

static void faults_read_as_sentences(void **state)
{
    (void)state;
    uint8_t bhs[PDU_BHS_LEN];
    struct pdu_fault fault;
    char text[TEXT_LEN];
    struct pdu_logout_request logout;
    pdu_logout_request_init(&logout);
    logout.reason = 3;
    pdu_logout_request_encode(&logout, bhs);
    assert_false(pdu_check(bhs, false, &fault));
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "Logout Request.reason is 3, must be 0 to 2 (R7143-11.14.1-01)");
    struct pdu_r2t r2t;
    pdu_r2t_init(&r2t);
    pdu_r2t_encode(&r2t, bhs);
    assert_false(pdu_check(bhs, false, &fault));
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "R2T.desired_data_transfer_length is 0x0, which it must not be (R7143-11.8.4-01)");
    struct pdu_reject reject;
    pdu_reject_init(&reject);
    reject.itt = 1;
    pdu_reject_encode(&reject, bhs);
    assert_false(pdu_check(bhs, false, &fault));
    assert_string_equal(pdu_fault_text(&fault, text, sizeof text),
                        "Reject.itt is 0x1, must be 0xffffffff (R7143-11.17-01)");
    for (size_t len = 1; len < sizeof text; len++) /* cut, never overrun (ASan looks on) */
        assert_true(strlen(pdu_fault_text(&fault, text, len)) < len);
}

static void a_dump_names_every_field(void **state)
{
    (void)state;
    char text[TEXT_LEN], word[64];
    for (size_t t = 0; t < pdu_type_count; t++) {
        const struct pdu_type *type = &pdu_types[t];
        uint8_t bhs[PDU_BHS_LEN];
        random_bytes(bhs, sizeof bhs);
        bhs[0] = type->opcode;
        pdu_dump(bhs, text, sizeof text);
        assert_int_equal(strncmp(text, type->name, strlen(type->name)), 0);
        for (size_t i = 0; i < type->field_count; i++) {
            const struct pdu_field *f = &type->fields[i];
            if (!f->name || strcmp(f->name, "opcode") == 0)
                continue;
            if (f->kind == PDU_FIELD_BYTES)
                snprintf(word, sizeof word, " %s=%02x", f->name, bhs[f->byte]);
            else
                snprintf(word, sizeof word, f->bits > 8 ? " %s=0x%" PRIx64 : " %s=%" PRIu64, f->name,
                         pdu_field_get(f, bhs));
            assert_non_null(strstr(text, word));
        }
    }
    uint8_t unknown[PDU_BHS_LEN] = {0x1e};
    assert_string_equal(pdu_dump(unknown, text, sizeof text), "unknown opcode 0x1e");
}

static void a_dump_is_cut_to_its_buffer(void **state)
{
    (void)state;
    char whole[TEXT_LEN], text[TEXT_LEN];
    uint8_t bhs[PDU_BHS_LEN];
    random_bytes(bhs, sizeof bhs);
    bhs[0] = PDU_OP_scsi_command;
    pdu_dump(bhs, whole, sizeof whole);
    assert_true(strlen(whole) < sizeof whole - 1);
    text[0] = 'x';
    pdu_dump(bhs, text, 0);
    assert_int_equal(text[0], 'x');
    for (size_t len = 1; len <= strlen(whole) + 1; len++) {
        memset(text, 'x', sizeof text);
        pdu_dump(bhs, text, len);
        assert_int_equal(strlen(text), len - 1);
        assert_int_equal(strncmp(text, whole, len - 1), 0);
        assert_int_equal(text[len], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_look_like_the_figures),
        cmocka_unit_test(responses_look_like_the_figures),
        cmocka_unit_test(the_rfc_sample_read_10_decodes),
        cmocka_unit_test(opcodes_are_as_assigned),
        cmocka_unit_test(fields_tile_48_bytes_exactly),
        cmocka_unit_test(field_names_are_unique_and_found),
        cmocka_unit_test(decode_undoes_encode),
        cmocka_unit_test(a_field_keeps_to_its_own_bits),
        cmocka_unit_test(every_rule_holds_at_its_boundary),
        cmocka_unit_test(an_unknown_opcode_is_a_fault_without_a_field),
        cmocka_unit_test(next_stage_counts_only_with_transit),
        cmocka_unit_test(reserved_bits_matter_only_when_strict),
        cmocka_unit_test(init_presets_what_is_fixed_and_zeroes_the_rest),
        cmocka_unit_test(faults_read_as_sentences),
        cmocka_unit_test(a_dump_names_every_field),
        cmocka_unit_test(a_dump_is_cut_to_its_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
