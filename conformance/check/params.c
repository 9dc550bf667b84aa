/* Keys of the login phase. Secrets are not shown. */
#include "conformance/check/params.h"

#include <stdlib.h>
#include <string.h>

#include "common/iscsi/text.h"

static struct param *row(struct params *p, struct text_range key)
{
    if (!p->rows && (p->rows = calloc(PARAMS_MAX, sizeof *p->rows)) == NULL)
        return NULL;
    for (uint32_t i = 0; i < p->count; i++)
        if (text_is(key, p->rows[i].key))
            return &p->rows[i];
    if (p->count == PARAMS_MAX || !text_copy(key, p->rows[p->count].key, sizeof p->rows[0].key))
        return NULL;
    return &p->rows[p->count++];
}

static bool is_secret(struct text_range key)
{
    return text_is(key, "CHAP_C") || text_is(key, "CHAP_R");
}

static void take_text(struct params *p, enum tap_direction d, const char *text, uint32_t len)
{
    struct text_parser parser;
    struct text_range key, value;
    enum text_result result;
    text_parser_init(&parser, text, len, PARAMS_TEXT_MAX);
    while ((result = text_parser_next(&parser, &key, &value)) == TEXT_PAIR) {
        struct param *one = row(p, key);
        if (!one)
            continue;
        if (is_secret(key))
            value = text_range_of("(hidden)");
        size_t n = value.len < PARAMS_VALUE_MAX - 1 ? value.len : PARAMS_VALUE_MAX - 1;
        if (n)
            memcpy(one->said[d], value.ptr, n);
        one->said[d][n] = '\0';
        for (size_t i = 0; i < n; i++) /* it will be printed */
            if ((unsigned char)one->said[d][i] < 0x20 || one->said[d][i] == 0x7f)
                one->said[d][i] = '?';
        one->has[d] = true;
        one->last = (int)d;
    }
    p->incomplete |= result == TEXT_ERROR;
}

void params_take(struct params *p, const struct streams_pdu *pdu)
{
    enum tap_direction d = pdu->direction;
    uint8_t opcode = pdu_opcode(pdu->bhs);
    if (opcode != PDU_OP_login_request && opcode != PDU_OP_login_response)
        return;
    bool more = pdu->bhs[1] & 0x40;
    if (pdu->data_len && (!pdu->data || pdu->data_len > PARAMS_TEXT_MAX - p->text_len[d])) {
        p->incomplete = true;
        p->text_len[d] = 0;
        return;
    }
    if ((more || p->text_len[d]) && !p->text[d] && (p->text[d] = malloc(PARAMS_TEXT_MAX)) == NULL) {
        p->incomplete = true;
        return;
    }
    if (!more && !p->text_len[d]) {
        take_text(p, d, (const char *)pdu->data, pdu->data ? pdu->data_len : 0);
        return;
    }
    if (pdu->data_len)
        memcpy(p->text[d] + p->text_len[d], pdu->data, pdu->data_len);
    p->text_len[d] += pdu->data_len;
    if (!more) {
        take_text(p, d, p->text[d], p->text_len[d]);
        p->text_len[d] = 0;
    }
}

void params_free(struct params *p)
{
    free(p->rows);
    free(p->text[0]);
    free(p->text[1]);
    *p = (struct params){0};
}
