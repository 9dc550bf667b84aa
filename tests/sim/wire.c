#include "tests/sim/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/env.h"

/* The few facts of RFC 7143 11.2 and 11.13 that cutting a stream takes. Not the codec's: the simulator shall
 * not trust what it tests. */
enum {
    BHS_LEN = 48,
    OPCODE_LOGIN_RESPONSE = 0x23,
    FLAG_TRANSIT = 0x80,
    STAGE_FULL = 3,
    OPCODE_FROM_TARGET = 0x20,
    EXP_CMD_SN_AT = 28,
    MAX_CMD_SN_AT = 32,
    STATUS_CLASS_AT = 36,
    TEXT_KEPT = 2048
};

struct flow { /* one direction */
    uint8_t header[BHS_LEN];
    uint64_t at; /* bytes of the present PDU that have passed */
    uint64_t header_end, data_end, data_len;
    bool flip_header, flip_data; /* still to be done in this PDU */
};

struct wire_conn {
    struct list_node node;
    uint64_t number;
    struct flow flow[2]; /* from the target, from the initiator */
    bool header_digest, data_digest, full;
    char text[TEXT_KEPT + 1];
    uint32_t text_len;
};

static const struct fact {
    uint8_t opcode, at;
    uint16_t mask, value;
    const char *name;
} facts[] = {
#define X(opcode, at, mask, value, name) {opcode, at, mask, value, name},
    WIRE_FACTS(X)
#undef X
};

const char *wire_fact_name(uint32_t fact)
{
    return facts[fact].name;
}

uint32_t wire_fact(const char *name)
{
    uint32_t fact = 0;
    while (strcmp(facts[fact].name, name) != 0)
        fact++;
    return fact;
}

static uint32_t be(const uint8_t *at, uint32_t bytes)
{
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

static void count_facts(struct wire *wire, const uint8_t *header)
{
    uint8_t opcode = header[0] & 0x3f;
    for (uint32_t i = 0; i < WIRE_FACT_COUNT; i++)
        wire->facts[i] +=
            facts[i].opcode == opcode && (be(header + facts[i].at, 2) & facts[i].mask) == facts[i].value;
    if (opcode >= OPCODE_FROM_TARGET)
        wire->windows_closed += be(header + MAX_CMD_SN_AT, 4) + 1 == be(header + EXP_CMD_SN_AT, 4);
}

static struct wire_conn *conn_find(struct wire *wire, uint64_t number)
{
    list_for_each(it, &wire->conns)
    {
        struct wire_conn *conn = list_entry(it, struct wire_conn, node);
        if (conn->number == number)
            return conn;
    }
    return NULL;
}

static struct wire_conn *conn_get(struct wire *wire, uint64_t number)
{
    struct wire_conn *conn = conn_find(wire, number);
    if (conn)
        return conn;
    conn = env_alloc(wire->env, sizeof *conn);
    if (!conn)
        abort();
    conn->number = number;
    list_init(&conn->node);
    list_push_front(&wire->conns, &conn->node);
    return conn;
}

static bool chance(struct wire *wire, uint32_t per_mille)
{
    return per_mille && sim_random(wire->sim) % 1000 < per_mille;
}

static void show(const struct wire *wire, uint64_t number, const char *arrow, const uint8_t *header)
{
    printf("%12.6f  conn %u %s ", (double)sim_now(wire->sim) / 1e9, (unsigned)number, arrow);
    for (uint32_t i = 0; i < BHS_LEN; i++)
        printf(i % 4 ? "%02x" : " %02x", header[i]);
    printf("\n");
}

/* Lengths are known. Which of its parts will be hit? */
static void header_complete(struct wire *wire, struct wire_conn *conn, struct flow *flow)
{
    const uint8_t *h = flow->header;
    count_facts(wire, h);
    if (wire->show)
        show(wire, conn->number, flow == &conn->flow[1] ? "->" : "<-", h);
    bool header_digest = conn->full && conn->header_digest, data_digest = conn->full && conn->data_digest;
    flow->data_len = (uint64_t)h[5] << 16 | (uint64_t)h[6] << 8 | h[7];
    flow->header_end = BHS_LEN + 4u * h[4] + (header_digest ? 4 : 0);
    flow->data_end =
        flow->header_end + (flow->data_len + 3) / 4 * 4 + (flow->data_len && data_digest ? 4 : 0);
    flow->flip_data = data_digest && flow->data_len && chance(wire, wire->flip_data);
}

/* The text of login responses, until the digests are known. */
static void login_text(struct wire_conn *conn, const struct flow *flow, const uint8_t *bytes, uint64_t len)
{
    uint64_t at = flow->at - flow->header_end;
    for (uint64_t i = 0; i < len && at + i < flow->data_len && conn->text_len < TEXT_KEPT; i++)
        conn->text[conn->text_len++] = (char)bytes[i];
}

static bool text_has(const struct wire_conn *conn, const char *pair)
{
    size_t len = strlen(pair);
    for (uint32_t i = 0; i + len <= conn->text_len; i++)
        if (memcmp(conn->text + i, pair, len) == 0 && (i == 0 || !conn->text[i - 1]))
            return true;
    return false;
}

static void pdu_complete(struct wire_conn *conn, struct flow *flow, bool from_initiator)
{
    const uint8_t *h = flow->header;
    if (!from_initiator && !conn->full && h[0] == OPCODE_LOGIN_RESPONSE && h[STATUS_CLASS_AT] == 0 &&
        (h[1] & FLAG_TRANSIT) && (h[1] & 3) == STAGE_FULL) {
        conn->full = true;
        conn->header_digest = text_has(conn, "HeaderDigest=CRC32C");
        conn->data_digest = text_has(conn, "DataDigest=CRC32C");
    }
    flow->at = 0;
}

static void flip(struct wire *wire, uint8_t *bytes, uint64_t len)
{
    uint64_t at = sim_random(wire->sim) % len; /* one draw after the other: C leaves the order open */
    bytes[at] ^= (uint8_t)(1u << sim_random(wire->sim) % 8);
}

/* One run of bytes that lie in the same part of a PDU. Returns its length. */
static uint64_t run_pass(struct wire *wire, struct wire_conn *conn, struct flow *flow, bool from_initiator,
                         uint8_t *bytes, uint64_t len, uint32_t *flips)
{
    if (flow->at < BHS_LEN) {
        if (flow->at == 0)
            flow->flip_header = conn->full && conn->header_digest && chance(wire, wire->flip_header);
        uint64_t run = len < BHS_LEN - flow->at ? len : BHS_LEN - flow->at;
        memcpy(flow->header + flow->at, bytes, run);
        flow->at += run;
        if (flow->at == BHS_LEN)
            header_complete(wire, conn, flow);
        if (flow->flip_header) {
            flow->flip_header = false;
            flip(wire, bytes, run);
            wire->flipped_headers++;
            ++*flips;
        }
        if (flow->at == BHS_LEN && flow->data_end == BHS_LEN)
            pdu_complete(conn, flow, from_initiator);
        return run;
    }
    bool data = flow->at >= flow->header_end;
    uint64_t end = data ? flow->data_end : flow->header_end;
    uint64_t run = len < end - flow->at ? len : end - flow->at;
    if (data && !conn->full && flow->header[0] == OPCODE_LOGIN_RESPONSE)
        login_text(conn, flow, bytes, run);
    if (data && flow->flip_data && run) {
        flow->flip_data = false;
        flip(wire, bytes, run);
        wire->flipped_data++;
        ++*flips;
    }
    flow->at += run;
    if (flow->at == flow->data_end)
        pdu_complete(conn, flow, from_initiator);
    return run;
}

static uint32_t wire_pass(struct sim_wire *hook, uint64_t number, bool from_initiator, uint8_t *bytes,
                          uint64_t len)
{
    struct wire *wire = container_of(hook, struct wire, hook);
    struct wire_conn *conn = conn_get(wire, number);
    uint32_t flips = 0;
    while (len > 0) {
        uint64_t run = run_pass(wire, conn, &conn->flow[from_initiator], from_initiator, bytes, len, &flips);
        bytes += run;
        len -= run;
    }
    return flips;
}

static void wire_close(struct sim_wire *hook, uint64_t number)
{
    struct wire *wire = container_of(hook, struct wire, hook);
    struct wire_conn *conn = conn_find(wire, number);
    if (!conn)
        return;
    list_remove(&conn->node);
    env_free(wire->env, conn);
}

void wire_init(struct wire *wire, struct sim_world *sim, const struct env *env)
{
    *wire = (struct wire){.hook = {wire_pass, wire_close}, .sim = sim, .env = env};
    list_init(&wire->conns);
    sim_world_wire(sim, &wire->hook);
}

void wire_fini(struct wire *wire)
{
    struct list_node *node;
    while ((node = list_pop_front(&wire->conns)))
        env_free(wire->env, list_entry(node, struct wire_conn, node));
}
