/* From a URL to a client that answers, with every failure told in one sentence. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/scsi/cdb.h"
#include "common/scsi/sense.h"
#include "initiator/cli/cli.h"

int cli_start(struct cli *cli)
{
    int err = io_new(cli->env, cli->io_kind, &cli->io);
    return err ? cli_failed("cannot use %s here: %s", cli->io_kind == IO_KIND_URING ? "io_uring" : "epoll",
                            err_text(err))
               : 0;
}

/* Credentials of the command line belong to every URL that names no user of its own. */
static int url_credentials(const struct cli *cli, struct lnt_url *url)
{
    const struct ini_options *session = &cli->options.session;
    bool own_user = url->user[0] != '\0';
    if (!own_user)
        snprintf(url->user, sizeof(url->user), "%s", session->chap_name);
    if (url->user[0] && url->secret_len == 0) {
        memcpy(url->secret, session->chap_secret, session->chap_secret_len);
        url->secret_len = session->chap_secret_len;
    }
    if (url->user[0] && url->secret_len == 0)
        return cli_misuse("user %s needs a secret: --secret-file, --secret or LUNETTE_CHAP_SECRET",
                          url->user);
    if (session->mutual_secret_len && !url->user[0])
        return cli_misuse("a mutual secret needs --user and its secret too");
    struct chap_secret own = {url->user, url->secret, url->secret_len};
    struct chap_secret mutual = {session->mutual_name[0] ? session->mutual_name : NULL,
                                 session->mutual_secret, session->mutual_secret_len};
    const char *wrong = url->user[0] ? chap_secrets_check(&own, mutual.secret_len ? &mutual : NULL) : NULL;
    return wrong ? cli_misuse("the CHAP secrets cannot be used: %s", wrong) : 0;
}

int cli_url(const struct cli *cli, const char *text, enum cli_url_need need, struct lnt_url *out)
{
    char why[600], whole[LNT_URL_MAX];
    if (!lnt_url_is(text)) {
        if (need != CLI_URL_PORTAL || strstr(text, "://"))
            return cli_misuse("\"%s\" is no URL of the form iscsi://HOST[:PORT]/TARGET/LUN", text);
        if (snprintf(whole, sizeof(whole), "iscsi://%s", text) >= (int)sizeof(whole))
            return cli_misuse("the host name is too long");
        text = whole;
    }
    if (lnt_url_parse(text, out, why, sizeof(why)) < 0)
        return cli_misuse("%s", why);
    if (need >= CLI_URL_TARGET && out->target[0] == '\0')
        return cli_misuse("the URL of %s has no target name: iscsi://HOST[:PORT]/TARGET/LUN", out->portal);
    if (need == CLI_URL_LUN && out->lun < 0)
        return cli_misuse("the URL of %s has no LUN at its end: iscsi://HOST[:PORT]/TARGET/LUN", out->target);
    return url_credentials(cli, out);
}

const char *cli_reason(const struct lnt_client *client, int err, char *buf, size_t len)
{
    const char *words = client ? lnt_client_error(client) : "";
    snprintf(buf, len, "%s", words[0] ? words : err_text(err));
    return buf;
}

/* With --verbose: what happens to sessions, as it happens. */
static void tell_event(void *arg, const struct lnt_event *event)
{
    const struct lnt_client *client = arg;
    if (event->kind == LNT_EVENT_CONNECTION_UP || event->kind == LNT_EVENT_CONNECTION_LOST)
        cli_note("%s (%u up)", event->text, lnt_client_connections(client));
    else if (event->lun >= 0)
        cli_note("LUN %d: %s", event->lun, event->text);
    else
        cli_note("%s", event->text);
}

static void tell_parameters(const struct lnt_client *client)
{
    const struct key_params *p = lnt_client_params(client);
    if (p)
        cli_note("logged in: ErrorRecoveryLevel=%u MaxConnections=%u HeaderDigest=%s DataDigest=%s "
                 "TaskReporting=%s",
                 p->error_recovery_level, p->max_connections, key_digest_text(p->header_digest),
                 key_digest_text(p->data_digest), key_task_reporting_text(p->task_reporting));
}

static void tell_counters(const struct lnt_client *client)
{
    struct lnt_counters n;
    lnt_client_counters(client, &n);
    const struct ini_counters *r = &n.recovery;
    cli_note("sessions=%llu connections_lost=%llu commands_reissued=%llu redirects=%llu "
             "connections_recovered=%llu "
             "tasks_reassigned=%llu commands_retried=%llu digest_errors=%llu recovery_r2ts=%llu "
             "snacks=%llu,%llu,%llu,%llu",
             (unsigned long long)n.sessions, (unsigned long long)n.connections_lost,
             (unsigned long long)n.reissued, (unsigned long long)n.redirects,
             (unsigned long long)r->recovered_connections, (unsigned long long)r->reassigns,
             (unsigned long long)r->retries, (unsigned long long)r->digest_errors,
             (unsigned long long)r->recovery_r2ts, (unsigned long long)r->snacks[0],
             (unsigned long long)r->snacks[1], (unsigned long long)r->snacks[2],
             (unsigned long long)r->snacks[3]);
}

int cli_connect(struct cli *cli, const struct lnt_url *url, struct lnt_client **out)
{
    struct lnt_client *client;
    char why[600];
    int err = lnt_client_new(cli->env, cli->io, url, &cli->options, &client);
    if (err)
        return cli_failed("%s", err_text(err));
    if (cli->verbose)
        lnt_client_set_event(client, tell_event, client);
    err = lnt_open(client);
    if (err) {
        const char *words = cli_reason(client, err, why, sizeof(why));
        /* Most of the library's words name the portal themselves. */
        int code =
            strstr(words, url->portal) ? cli_failed("%s", words) : cli_failed("%s: %s", url->portal, words);
        cli_disconnect(cli, client);
        return code;
    }
    if (cli->verbose)
        tell_parameters(client);
    *out = client;
    return 0;
}

void cli_disconnect(struct cli *cli, struct lnt_client *client)
{
    if (!client)
        return;
    lnt_close(client);
    if (cli->verbose)
        tell_counters(client);
    lnt_client_free(client);
}

int cli_open_disk(struct cli *cli, const struct lnt_url *url, struct lnt_client **client,
                  struct lnt_disk *disk)
{
    char why[600];
    int code = cli_connect(cli, url, client);
    if (code)
        return code;
    int err = lnt_disk_probe(*client, url->lun, disk);
    if (!err)
        return 0;
    code = cli_failed("%s LUN %d: %s", url->target, url->lun, cli_reason(*client, err, why, sizeof(why)));
    cli_disconnect(cli, *client);
    *client = NULL;
    return code;
}

const char *cli_command_reason(const struct lnt_client *client, const struct lnt_command *command, char *buf,
                               size_t len)
{
    return command->error ? cli_reason(client, command->error, buf, len)
                          : lnt_command_text(command, buf, len);
}

int cli_execute(struct lnt_client *client, struct lnt_command *command, const char *what)
{
    char why[600];
    int err = lnt_execute(client, command);
    if (err && !command->error)
        command->error = err; /* it was not even submitted */
    if (!err && command->scsi.status == SCSI_STATUS_GOOD)
        return 0;
    return cli_failed("%s: %s", what, cli_command_reason(client, command, why, sizeof(why)));
}

int cli_inquiry(struct lnt_client *client, int32_t lun, int page, uint8_t *data, uint16_t size, uint32_t *got,
                bool loud)
{
    uint8_t cdb[CDB_LEN_MAX];
    struct io_vec place = {data, size};
    struct lnt_command command;
    char what[64];
    memset(data, 0, size);
    size_t len = CDB_BUILD(CDB_INQUIRY, cdb, {CDB_F_EVPD, page >= 0},
                           {CDB_F_PAGE_CODE, page < 0 ? 0 : (uint64_t)page}, {CDB_F_ALLOC, size});
    lnt_command_cdb(&command, lun, cdb, (uint16_t)len, &place, size, NULL, 0);
    command.repeatable = true;
    if (loud) {
        if (page < 0)
            snprintf(what, sizeof(what), "cannot inquire");
        else
            snprintf(what, sizeof(what), "cannot read page %02x", (unsigned)page);
        int code = cli_execute(client, &command, what);
        if (code)
            return code;
    } else if (lnt_execute(client, &command) || command.scsi.status != SCSI_STATUS_GOOD) {
        return CLI_FAILED;
    }
    *got = (uint32_t)command.scsi.in_done;
    return 0;
}

static void sleep_over(struct io_timer *timer)
{
    (void)timer; /* io_run has returned: that is all */
}

void cli_sleep(struct cli *cli, uint64_t ns)
{
    struct io_timer timer = {.fire = sleep_over};
    uint64_t until = io_now(cli->io) + ns;
    io_timer_arm(cli->io, &timer, until);
    while (io_now(cli->io) < until)
        io_run(cli->io, until); /* meanwhile the client answers the target's pings */
    io_timer_cancel(cli->io, &timer);
}
