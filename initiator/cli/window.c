#include "initiator/cli/window.h"

#define PERIOD_CHUNKS 64u  /* of a period, at least; and */
#define PERIOD_TURNS  4u   /* so often what may be under way: then little of it is from before */
#define REST_PERIODS  16u  /* between trials: they cost little of the whole */
#define WIDER_PAYS    1.10 /* times the rate */
#define NARROWER_PAYS 0.97

static void begin_period(struct window *w, uint64_t now_ns)
{
    uint32_t chunks = PERIOD_TURNS * w->open;
    w->left = chunks > PERIOD_CHUNKS ? chunks : PERIOD_CHUNKS;
    w->bytes = 0;
    w->begin_ns = now_ns;
}

void window_start(struct window *w, uint32_t most, uint64_t now_ns)
{
    *w = (struct window){.open = most < WINDOW_FIRST ? most : WINDOW_FIRST, .most = most};
    begin_period(w, now_ns);
}

/* False: there is nothing to try in this direction. */
static bool begin_trial(struct window *w, enum window_trial trial)
{
    uint32_t next = trial == WINDOW_WIDER ? w->open * 2 : w->open / 2;
    next = next < WINDOW_FIRST ? WINDOW_FIRST : next;
    next = next > w->most ? w->most : next;
    if (next == w->open)
        return false;
    w->trial = trial;
    w->settled = w->open;
    w->open = next;
    return true;
}

/* A period has ended: what it says about its trial, and what the next one does. */
static void judge(struct window *w, double rate)
{
    enum window_trial trial = w->trial;
    bool pays = rate >= w->rate * (trial == WINDOW_WIDER ? WIDER_PAYS : NARROWER_PAYS);
    w->trial = WINDOW_SETTLED;
    if (trial == WINDOW_SETTLED) {
        w->rate = rate;
        if (w->rest > 0) {
            w->rest--;
            return;
        }
        trial = w->narrow_next ? WINDOW_NARROWER : WINDOW_WIDER;
        w->narrow_next = !w->narrow_next;
        if (begin_trial(w, trial) || begin_trial(w, w->narrow_next ? WINDOW_NARROWER : WINDOW_WIDER))
            return;
    } else if (pays) {
        w->rate = rate;
        if (begin_trial(w, trial)) /* perhaps even further */
            return;
    } else {
        w->open = w->settled;
    }
    w->rest = REST_PERIODS;
}

bool window_ended(struct window *w, uint64_t bytes, uint64_t now_ns)
{
    w->bytes += bytes;
    if (--w->left > 0)
        return false;
    uint64_t ns = now_ns - w->begin_ns;
    uint32_t before = w->open;
    judge(w, (double)w->bytes * 1e9 / (double)(ns ? ns : 1));
    begin_period(w, now_ns);
    return w->open > before;
}
