/* A command's way to the configuration. */
#include "target/service/client.h"

#include <time.h>

#include "target/service/change.h"
#include "target/service/control.h"
#include "target/service/manager.h"

/* A service that starts or stops holds the lock while it does not answer; another command holds it for a
 * moment. */
#define TRIES_MAX    200
#define TRY_PAUSE_NS 50000000L

static json_t *edit_state(struct state *state, const char *method, const json_t *params, struct outcome *o)
{
    struct manager m;
    json_t *root = state_load(state, o), *result = NULL;
    if (root) {
        if (manager_init(&m, env_host(), root, state, NULL, NULL, o))
            result = manager_call(&m, method, params, o);
        manager_fini(&m);
    }
    if (result)
        state_close(state);
    else
        state_abandon(state);
    return result;
}

static json_t *through_state(const char *dir, const char *method, const json_t *params, struct outcome *o)
{
    struct state state;
    for (int i = 0; i < TRIES_MAX; i++) {
        switch (state_open(dir, change_known(method), &state, o)) {
        case STATE_OPEN:
            return edit_state(&state, method, params, o);
        case STATE_FAILED:
            return NULL;
        case STATE_IN_USE:
            break;
        }
        char path[STATE_PATH_MAX];
        struct outcome inner = {0};
        bool reached;
        json_t *result =
            control_request(state_path(&state, "control.sock", path), method, params, &reached, &inner);
        if (reached) {
            *o = inner;
            return result;
        }
        const struct timespec pause = {0, TRY_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    outcome_fail(o, "%s is in use, but no service answers at its control.sock", dir);
    return NULL;
}

json_t *client_call(const struct client_where *where, const char *method, json_t *params, struct outcome *o)
{
    json_t *result = NULL;
    bool reached;
    if (!params)
        outcome_refuse(o, "the arguments must be UTF-8 text");
    else if (where->control)
        result = control_request(where->control, method, params, &reached, o);
    else
        result = through_state(where->state, method, params, o);
    json_decref(params);
    return result;
}
