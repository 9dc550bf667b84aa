/* `ls`: targets and their LUNs with size, vendor and product. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/units.h"
#include "common/scsi/cdb.h"
#include "common/scsi/inquiry.h"
#include "common/scsi/lun.h"
#include "initiator/cli/cli.h"

#define LS_LUNS_MAX 16384u /* as many as there are numbers */
#define LS_LIST_LEN (8u + LS_LUNS_MAX * 8u)

/* One LUN as a line, or as an object in `luns`. A LUN that is no disk (a controller, say) has names but no
 * size. */
static int show_lun(struct cli *cli, struct lnt_client *client, uint16_t lun, json_t *luns)
{
    uint8_t data[INQUIRY_STANDARD_LEN];
    uint32_t got;
    struct inquiry_standard inquiry;
    struct lnt_disk disk = {0};
    char size[32] = "-";
    int code = cli_inquiry(client, lun, -1, data, sizeof(data), &got, true);
    if (code)
        return code;
    if (!inquiry_standard_decode(data, got, &inquiry))
        return cli_failed("LUN %u: the answer to INQUIRY is too short", lun);
    bool is_disk =
        inquiry.device_type == 0 && inquiry.qualifier == 0 && lnt_disk_probe(client, lun, &disk) == 0;
    if (is_disk)
        units_format_size(disk.blocks * disk.block_size, size, sizeof(size));
    if (!cli->json) {
        printf("  LUN %-5u %10s  %-8s %-16s %s\n", lun, size, inquiry.vendor, inquiry.product,
               is_disk ? disk.serial : "(no disk)");
        return 0;
    }
    json_t *row = json_pack("{s:i, s:s, s:s, s:s}", "lun", (int)lun, "vendor", inquiry.vendor, "product",
                            inquiry.product, "revision", inquiry.revision);
    if (row && is_disk) {
        json_object_set_new(row, "bytes", json_integer((json_int_t)(disk.blocks * disk.block_size)));
        json_object_set_new(row, "block_size", json_integer(disk.block_size));
        json_object_set_new(row, "serial", json_string(disk.serial));
    }
    json_array_append_new(luns, row);
    return 0;
}

static int report_luns(struct lnt_client *client, uint8_t *list, uint32_t *count)
{
    uint8_t cdb[CDB_LEN_MAX];
    struct io_vec place = {list, LS_LIST_LEN};
    struct lnt_command command;
    size_t len = CDB_BUILD(CDB_REPORT_LUNS, cdb, {CDB_F_ALLOC, LS_LIST_LEN});
    lnt_command_cdb(&command, 0, cdb, (uint16_t)len, &place, LS_LIST_LEN, NULL, 0);
    command.repeatable = true;
    int code = cli_execute(client, &command, "cannot list the LUNs");
    if (!code)
        *count = command.scsi.in_done < 8 ? 0 : lun_list_count(list, (size_t)command.scsi.in_done);
    return code;
}

static int show_luns(struct cli *cli, struct lnt_client *client, json_t *luns)
{
    uint8_t *list = calloc(1, LS_LIST_LEN);
    uint32_t count = 0;
    if (!list)
        return cli_failed("out of memory");
    int code = report_luns(client, list, &count);
    for (uint32_t i = 0; !code && i < count; i++) {
        uint16_t lun;
        bool well_known;
        /* Forms that URLs cannot name are left out. */
        if (lun_decode(lun_list_get(list, i), &lun, &well_known) && !well_known)
            code = show_lun(cli, client, lun, luns);
    }
    free(list);
    return code;
}

/* `address` is what discovery said, or the URL's own portal. */
static int show_target(struct cli *cli, const struct lnt_url *url, const char *address, json_t *targets)
{
    struct lnt_client *client;
    json_t *luns = json_array();
    int code = cli_connect(cli, url, &client);
    if (!code) {
        if (!cli->json)
            printf("%s %s\n", url->target, address);
        code = show_luns(cli, client, luns);
        cli_disconnect(cli, client);
    }
    if (!code)
        json_array_append_new(
            targets, json_pack("{s:s, s:s, s:O}", "name", url->target, "address", address, "luns", luns));
    json_decref(luns);
    return code;
}

/* "host:port,tag" without the tag. */
static void portal_of(const char *address, char *out, size_t len)
{
    snprintf(out, len, "%.*s", (int)strcspn(address, ","), address);
}

/* A target may have several addresses: the one that the user named is known to be reachable, else the first
 * will do. */
static bool is_best_address(const struct lnt_target *target, const char *asked, struct list_node *all)
{
    char portal[300];
    const struct lnt_target *best = NULL;
    list_for_each(it, all)
    {
        const struct lnt_target *other = list_entry(it, struct lnt_target, node);
        if (strcmp(other->name, target->name) != 0)
            continue;
        portal_of(other->address, portal, sizeof(portal));
        if (!best || strcmp(portal, asked) == 0)
            best = other;
    }
    return best == target;
}

static int show_all(struct cli *cli, const struct lnt_url *url, json_t *out)
{
    struct list_node targets;
    char why[600];
    int code = CLI_DONE;
    list_init(&targets);
    if (lnt_discover(cli->env, cli->io, url, &cli->options, &targets, why, sizeof(why)) < 0)
        return cli_failed("%s: %s", url->portal, why);
    list_for_each(it, &targets)
    {
        const struct lnt_target *target = list_entry(it, struct lnt_target, node);
        if (!is_best_address(target, url->portal, &targets))
            continue;
        struct lnt_url one = *url;
        snprintf(one.target, sizeof(one.target), "%s", target->name);
        portal_of(target->address, one.portal, sizeof(one.portal));
        /* One target that refuses us does not hide the others. */
        if (show_target(cli, &one, target->address, out) != 0)
            code = CLI_FAILED;
        explicit_bzero(&one, sizeof(one));
    }
    lnt_targets_free(cli->env, &targets);
    return code;
}

int verb_ls(struct cli *cli)
{
    struct lnt_url url;
    int code = cli_url(cli, cli->operand[0], CLI_URL_PORTAL, &url);
    if (!code)
        code = cli_start(cli);
    if (code)
        return code;
    json_t *out = json_array();
    code = url.target[0] ? show_target(cli, &url, url.portal, out) : show_all(cli, &url, out);
    if (cli->json) {
        json_dumpf(out, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(out);
    explicit_bzero(&url, sizeof(url));
    return code;
}
