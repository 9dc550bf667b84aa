/* The progress bar and the interrupt flag. */
#include "initiator/cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/units.h"

#define BAR_WIDTH   30u
#define SHOW_GAP_NS UINT64_C(200000000)

static volatile sig_atomic_t interrupts, asked; /* asked: somebody looks at the flag */

void progress_start(struct progress *progress, uint64_t total, uint64_t now_ns)
{
    *progress = (struct progress){.total = total, .started_ns = now_ns, .on = isatty(STDERR_FILENO)};
}

void progress_show(struct progress *progress, uint64_t done, uint64_t now_ns)
{
    if (!progress->on || now_ns - progress->shown_ns < SHOW_GAP_NS)
        return;
    char bar[BAR_WIDTH + 1], rate_text[32], done_text[32];
    double seconds = (double)(now_ns - progress->started_ns) / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double part = progress->total ? (double)done / (double)progress->total : 1;
    unsigned filled = (unsigned)(part * BAR_WIDTH);
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', filled < BAR_WIDTH ? filled : BAR_WIDTH);
    bar[BAR_WIDTH] = '\0';
    unsigned long left = rate > 0 ? (unsigned long)((double)(progress->total - done) / rate + 0.5) : 0;
    /* \033[K: what a longer line before left behind. */
    fprintf(stderr, "\r[%s] %3u %%  %s  %s/s  %lu:%02lu left\033[K", bar, (unsigned)(part * 100),
            units_format_size(done, done_text, sizeof(done_text)),
            units_format_size((uint64_t)rate >> 20 << 20, rate_text, sizeof(rate_text)), left / 60,
            left % 60);
    fflush(stderr);
    progress->shown_ns = now_ns;
    progress->drawn = true;
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}

static void on_signal(int number)
{
    if (interrupts || !asked)
        _exit(128 + number);
    interrupts = 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void interrupt_ask(bool on)
{
    asked = on;
}

bool interrupted(void)
{
    return interrupts != 0;
}
