/* Two negotiations that talk to each other, and texts written with '|' for NUL: for the tests of keys.h. */
#ifndef LUNETTE_TESTS_KEYS_HARNESS_H
#define LUNETTE_TESTS_KEYS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/iscsi/keys.h"

#define HARNESS_TEXT_CAP 16384u

struct side {
    struct key_negotiation neg;
    char text[HARNESS_TEXT_CAP]; /* what it says next */
    struct text_writer w;
    unsigned auth, records; /* pairs with these verdicts */
};

static inline void side_init(struct side *s, enum key_role role, const struct key_config *config,
                             enum key_stage stage)
{
    key_negotiation_init(&s->neg, role, config, true, NULL);
    key_set_stage(&s->neg, stage);
    text_writer_init(&s->w, s->text, sizeof s->text);
    s->auth = s->records = 0;
}

static inline void side_new_text(struct side *s)
{
    text_writer_init(&s->w, s->text, sizeof s->text);
}

/* All pairs of a text, then the answers. The text is malformed: that is a mistake of the test. */
static inline enum keys_verdict side_hear(struct side *s, const char *text, size_t len)
{
    struct text_parser p;
    struct text_range key, value;
    enum text_result result;
    text_parser_init(&p, text, len, len);
    while ((result = text_parser_next(&p, &key, &value)) == TEXT_PAIR) {
        enum keys_verdict verdict = key_receive(&s->neg, key, value, &s->w);
        if (verdict == KEYS_FAIL)
            return KEYS_FAIL;
        s->auth += verdict == KEYS_AUTH;
        s->records += verdict == KEYS_RECORD;
    }
    assert_int_equal(result, TEXT_END);
    return key_flush(&s->neg, &s->w);
}

/* The same with a string literal in which '|' ends each pair. */
static inline enum keys_verdict side_hear_words(struct side *s, const char *words)
{
    static char text[HARNESS_TEXT_CAP];
    size_t len = strlen(words);
    assert_true(len < sizeof text);
    for (size_t i = 0; i < len; i++)
        text[i] = words[i];
    for (size_t i = 0; i < len; i++)
        if (text[i] == '|')
            text[i] = 0;
    return side_hear(s, text, len);
}

/* What the side says, with '|' for NUL. */
static inline const char *side_words(const struct side *s)
{
    static char words[HARNESS_TEXT_CAP + 1];
    for (size_t i = 0; i < s->w.len; i++)
        words[i] = s->text[i] ? s->text[i] : '|';
    words[s->w.len] = 0;
    return words;
}

/* One exchange: what a says goes to b, b's answers go back. Both then conclude. True when nobody complained.
 */
static inline bool sides_agree(struct side *a, struct side *b)
{
    side_new_text(b);
    if (side_hear(b, a->text, a->w.len) != KEYS_OK)
        return false;
    side_new_text(a);
    if (side_hear(a, b->text, b->w.len) != KEYS_OK)
        return false;
    assert_int_equal(a->w.len, 0); /* answers need no answers */
    return key_conclude(&a->neg) == KEYS_OK && key_conclude(&b->neg) == KEYS_OK;
}

/* All that both sides have to see alike. */
static inline void assert_same_params(const struct key_params *a, const struct key_params *b)
{
    assert_int_equal(a->header_digest, b->header_digest);
    assert_int_equal(a->data_digest, b->data_digest);
    assert_int_equal(a->max_connections, b->max_connections);
    assert_int_equal(a->initial_r2t, b->initial_r2t);
    assert_int_equal(a->immediate_data, b->immediate_data);
    assert_int_equal(a->max_recv_data_segment_length, b->peer_max_recv_data_segment_length);
    assert_int_equal(b->max_recv_data_segment_length, a->peer_max_recv_data_segment_length);
    assert_int_equal(a->max_burst_length, b->max_burst_length);
    assert_int_equal(a->first_burst_length, b->first_burst_length);
    assert_int_equal(a->default_time2wait, b->default_time2wait);
    assert_int_equal(a->default_time2retain, b->default_time2retain);
    assert_int_equal(a->max_outstanding_r2t, b->max_outstanding_r2t);
    assert_int_equal(a->data_pdu_in_order, b->data_pdu_in_order);
    assert_int_equal(a->data_sequence_in_order, b->data_sequence_in_order);
    assert_int_equal(a->error_recovery_level, b->error_recovery_level);
    assert_int_equal(a->task_reporting, b->task_reporting);
    assert_int_equal(a->iscsi_protocol_level, b->iscsi_protocol_level);
    assert_int_equal(a->session_type, b->session_type);
    assert_true(a->first_burst_length <= a->max_burst_length);
}

#endif
