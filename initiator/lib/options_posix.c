/* Defaults that come from the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/env.h"
#include "common/iscsi/name.h"
#include "initiator/lib/lunette.h"

#define SECOND_NS 1000000000ull

static bool options_name_take(const char *text, char out[INI_NAME_MAX])
{
    return name_normalize(text, strlen(text), NAME_STRICT, out, NULL) != NAME_INVALID;
}

/* open-iscsi's file: a line InitiatorName=iqn... */
static bool options_name_from_file(char out[INI_NAME_MAX])
{
    char line[512];
    bool found = false;
    FILE *file = fopen("/etc/iscsi/initiatorname.iscsi", "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file)) {
        static const char key[] = "InitiatorName=";
        line[strcspn(line, "\r\n")] = 0;
        found = strncmp(line, key, sizeof key - 1) == 0 && options_name_take(line + sizeof key - 1, out);
    }
    fclose(file);
    return found;
}

static void options_name_from_host(char out[INI_NAME_MAX])
{
    char host[128] = "", text[INI_NAME_MAX];
    gethostname(host, sizeof host - 1);
    for (char *p = host; *p; p++) /* a host name may have characters that an iSCSI name may not */
        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.'))
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : '-';
    snprintf(text, sizeof text, "iqn.2026-01.org.lunette:%s", host[0] ? host : "host");
    if (!options_name_take(text, out))
        snprintf(out, INI_NAME_MAX, "iqn.2026-01.org.lunette:host");
}

void lnt_options_default(struct lnt_options *options)
{
    memset(options, 0, sizeof *options);
    struct ini_options *session = &options->session;
    const char *name = getenv("LUNETTE_INITIATOR_NAME"); /* R7143-10.1.2-03 */
    if (!(name && options_name_take(name, session->initiator_name)) &&
        !options_name_from_file(session->initiator_name))
        options_name_from_host(session->initiator_name);
    /* A random ISID (type 10b), chosen once per process: two programs on one machine must not reinstate each
     * other. */
    const struct env *env = env_host();
    session->isid[0] = 0x80;                     /* R7143-11.12.5-01 */
    env->random(env->ctx, session->isid + 1, 5); /* R7143-11.12.5-04 */
    key_config_default(&session->keys);
    session->keys.tolerate_not_understood = true;
    session->allow_no_sense = true; /* istgt has none for a unit attention */
    session->keys.max_recv_data_segment_length = 256u << 10;
    session->keys.max_burst_length = 1u << 20;
    session->keys.first_burst_length = 64u << 10;
    session->keys.initial_r2t = false;
    session->keys.immediate_data = true;
    session->keys.max_outstanding_r2t = 4;
    session->keys.default_time2wait = 0; /* the greater value counts: as long as the target wants */
    /* What the target grants: most answer 0. Level 2 lets commands survive a cut without being sent again. */
    session->keys.error_recovery_level = 2;
    session->login_timeout_ns = 15 * SECOND_NS;
    session->nop_interval_ns = 10 * SECOND_NS;
    session->nop_timeout_ns = 15 * SECOND_NS;
    options->connections = 1;
    options->connect_timeout_ns = 10 * SECOND_NS;
    options->replacement_timeout_ns = 120 * SECOND_NS;
    options->redirects_max = 8;
}
