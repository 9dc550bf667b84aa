/* `verify`: compares two places, as many chunks at once as make it faster, and names the first byte that
 * differs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/units.h"
#include "initiator/cli/place.h"
#include "initiator/cli/progress.h"
#include "initiator/cli/window.h"

#define CHUNK_LEN   262144u
#define BUFFERS_MAX (64u << 20)
#define TICK_NS     UINT64_C(100000000)

struct verify;

struct pair { /* one chunk, read from both sides */
    struct verify *verify;
    uint8_t *buf[2];
    uint64_t offset;
    uint32_t len;
    uint32_t reading; /* sides that have not answered */
    struct place_op op[2];
};

struct verify {
    struct cli *cli;
    struct place side[2];
    uint64_t size, next, done;
    uint64_t difference;      /* offset; UINT64_MAX: none */
    uint32_t chunk_len, busy; /* busy: pairs */
    struct window window;
    bool stop;
    struct pair *pairs;
    uint8_t *buffers;
};

static void pairs_go(struct verify *verify, struct pair *pair);

static void pair_compare(struct verify *verify, const struct pair *pair)
{
    verify->done += pair->len;
    if (memcmp(pair->buf[0], pair->buf[1], pair->len) == 0)
        return;
    uint32_t i = 0;
    while (pair->buf[0][i] == pair->buf[1][i])
        i++;
    /* Chunks before this one may still be out: the lowest counts. */
    if (pair->offset + i < verify->difference)
        verify->difference = pair->offset + i;
    verify->stop = true;
}

static void pair_read(struct place_op *op)
{
    struct pair *pair = op->owner;
    struct verify *verify = pair->verify;
    if (op->failed)
        verify->stop = true;
    if (--pair->reading)
        return;
    if (!pair->op[0].failed && !pair->op[1].failed)
        pair_compare(verify, pair);
    verify->busy--;
    bool wider = window_ended(&verify->window, pair->len, io_now(verify->cli->io));
    pairs_go(verify, wider ? NULL : pair);
}

/* A LUN is read in whole blocks; what lies behind the end of the comparison is ignored. */
static uint32_t whole_blocks(const struct place *place, uint32_t len)
{
    uint32_t rest = len % place->block_size;
    return rest ? len + place->block_size - rest : len;
}

static void pair_go(struct pair *pair)
{
    struct verify *verify = pair->verify;
    if (verify->stop || verify->next >= verify->size)
        return;
    uint64_t left = verify->size - verify->next;
    pair->offset = verify->next;
    pair->len = left < verify->chunk_len ? (uint32_t)left : verify->chunk_len;
    verify->next += pair->len;
    verify->busy++;
    pair->reading = 2;
    for (int i = 0; i < 2; i++)
        place_read(&verify->side[i], &pair->op[i], pair->buf[i], pair->offset,
                   whole_blocks(&verify->side[i], pair->len));
}

/* As many as the window has room for: `pair`, whose memory has just been used, or (NULL) any. */
static void pairs_go(struct verify *verify, struct pair *pair)
{
    if (pair && verify->busy < verify->window.open)
        pair_go(pair);
    for (uint32_t i = 0; !pair && i < verify->cli->depth && verify->busy < verify->window.open; i++) {
        if (verify->pairs[i].reading == 0)
            pair_go(&verify->pairs[i]);
    }
}

static int pairs_new(struct verify *verify)
{
    uint32_t depth = verify->cli->depth;
    /* 64 KiB is a multiple of every usual block size; an unusual one decides alone. */
    uint32_t len = BUFFERS_MAX / 2 / depth / 65536 * 65536;
    len = len > CHUNK_LEN ? CHUNK_LEN : len < 65536 ? 65536 : len;
    uint32_t unit = verify->side[0].block_size > verify->side[1].block_size ? verify->side[0].block_size
                                                                            : verify->side[1].block_size;
    if (len % unit || len % verify->side[0].block_size || len % verify->side[1].block_size)
        len = verify->side[0].block_size * verify->side[1].block_size;
    verify->chunk_len = len;
    verify->pairs = calloc(depth, sizeof(*verify->pairs));
    verify->buffers = malloc((size_t)depth * 2 * len);
    if (!verify->pairs || !verify->buffers)
        return cli_failed("out of memory");
    for (uint32_t i = 0; i < depth; i++) {
        struct pair *pair = &verify->pairs[i];
        pair->verify = verify;
        for (uint32_t k = 0; k < 2; k++) {
            pair->buf[k] = verify->buffers + ((size_t)i * 2 + k) * len;
            pair->op[k].done = pair_read;
            pair->op[k].owner = pair;
        }
    }
    return 0;
}

static void run_pairs(struct verify *verify)
{
    struct progress progress;
    struct io *io = verify->cli->io;
    progress_start(&progress, verify->size, io_now(io));
    window_start(&verify->window, verify->cli->depth, io_now(io));
    pairs_go(verify, NULL);
    while (verify->busy) {
        io_run(io, io_now(io) + TICK_NS);
        progress_show(&progress, verify->done, io_now(io));
    }
    progress_end(&progress);
}

/* A file that was copied to a larger disk is the usual case: only what the file has is compared. A file that
 * goes on where the other side has ended differs there. */
static void choose_size(struct verify *verify)
{
    int longer = verify->side[0].size > verify->side[1].size ? 0 : 1;
    verify->size = verify->side[!longer].size;
    verify->difference = UINT64_MAX;
    if (verify->side[longer].size > verify->size && !verify->side[longer].is_lun)
        verify->difference = verify->size;
}

static int run_verify(struct verify *verify)
{
    char size[32];
    choose_size(verify);
    int code = pairs_new(verify);
    if (code)
        return code;
    run_pairs(verify);
    if (verify->side[0].why[0] || verify->side[1].why[0])
        return cli_failed("%s", verify->side[0].why[0] ? verify->side[0].why : verify->side[1].why);
    if (verify->difference != UINT64_MAX) {
        printf("first difference at byte %llu\n", (unsigned long long)verify->difference);
        return CLI_FAILED;
    }
    printf("equal: %llu bytes (%s)\n", (unsigned long long)verify->size,
           units_format_size(verify->size, size, sizeof(size)));
    return CLI_DONE;
}

int verb_verify(struct cli *cli)
{
    static struct verify verify; /* large */
    int code = 0;
    verify.cli = cli;
    for (int i = 0; i < 2; i++)
        verify.side[i] = (struct place){.cli = cli, .file = IO_NONE, .fd = -1};
    for (int i = 0; i < 2 && !code; i++)
        code = place_init(&verify.side[i], cli, cli->operand[i]);
    if (!code)
        code = cli_start(cli);
    interrupt_catch();
    if (!code)
        code = place_open_source(&verify.side[0]);
    place_other_session(&verify.side[1]);
    if (!code)
        code = place_open_source(&verify.side[1]);
    if (!code)
        code = run_verify(&verify);
    for (int i = 0; i < 2; i++)
        place_close(&verify.side[i]);
    free(verify.pairs);
    free(verify.buffers);
    return code;
}
