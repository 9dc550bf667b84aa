/* The referee on every simulated connection. It is a library of its own (conformance/referee): a build
 * without it only lacks its findings. */
#include "tests/sim/world.h"

#ifdef LUNETTE_REFEREE
#include <string.h>

#include "conformance/referee/referee.h"

struct watch {
    struct referee *referee;
};

void watch_start(struct world *w)
{
    struct referee_options options = {.vantage = REFEREE_BETWEEN, .findings_max = 4};
    w->watch = env_alloc(&w->heap, sizeof *w->watch);
    WORLD_CHECK(w->watch);
    WORLD_CHECK(referee_new(&w->heap, &options, &w->watch->referee) == 0);
    /* What the wire has flipped is nobody's fault. */
    if (!w->swarm.flip_header && !w->swarm.flip_data)
        sim_world_tap(w->sim, referee_tap(w->watch->referee), SIM_TAP_BETWEEN);
}

/* A target whose clock has leapt takes data on its way for lost, and ends the command without it. One that
 * lacks memory for a piece of its data can end the sequence with an empty Data-In only: a MUST against a
 * SHOULD. */
static bool excused(const struct world *w, const struct referee_finding *finding)
{
    bool short_of_memory = w->swarm.target_memory || w->swarm.chaos & 1u << CHAOS_ALLOC_TARGET;
    return (w->swarm.faults.clock_jump && strcmp(finding->requirement, "R7143-11.4.2-02") == 0) ||
           (short_of_memory && strcmp(finding->requirement, "R7143-11.7.1-06") == 0);
}

void watch_end(struct world *w)
{
    struct referee_finding finding;
    char text[400];
    while (referee_next(w->watch->referee, &finding))
        if (!excused(w, &finding))
            world_problem(w, "referee: %s", referee_finding_text(&finding, text, sizeof text));
    referee_free(w->watch->referee);
    env_free(&w->heap, w->watch);
}

#else

void watch_start(struct world *w)
{
    (void)w;
}

void watch_end(struct world *w)
{
    (void)w;
}
#endif
