/* `inq` and `capacity`: what a LUN says about itself. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/units.h"
#include "common/scsi/inquiry.h"
#include "initiator/cli/cli.h"

#define INQ_DATA_MAX 4096u /* bytes: longer than any page in use */
#define INQ_STANDARD 255u  /* bytes: old targets take no longer allocation for standard data */

static void show(const struct cli *cli, int page, const uint8_t *data, uint32_t len)
{
    static char text[32768];
    const char *name = page < 0 ? "standard INQUIRY data" : vpd_page_name((uint8_t)page);
    if (cli->hex) {
        if (page < 0)
            puts(name);
        else
            printf("VPD page %02Xh%s%s\n", (unsigned)page, name ? ": " : "", name ? name : "");
        cli_dump(data, len);
        return;
    }
    inquiry_describe(page, data, len, text, sizeof(text));
    fputs(text, stdout);
}

static int show_page(const struct cli *cli, struct lnt_client *client, int32_t lun, int page)
{
    uint8_t data[INQ_DATA_MAX];
    uint32_t got;
    int code = cli_inquiry(client, lun, page, data, page < 0 ? INQ_STANDARD : INQ_DATA_MAX, &got, true);
    if (!code)
        show(cli, page, data, got);
    return code;
}

static int show_all(const struct cli *cli, struct lnt_client *client, int32_t lun)
{
    uint8_t data[INQ_DATA_MAX];
    uint32_t got;
    int code = show_page(cli, client, lun, -1);
    if (code)
        return code;
    code = cli_inquiry(client, lun, VPD_SUPPORTED, data, sizeof(data), &got, true);
    if (code)
        return code;
    uint32_t end = got < VPD_HEADER_LEN ? 0 : VPD_HEADER_LEN + be16_get(data + 2);
    if (end > got)
        end = got;
    for (uint32_t i = VPD_HEADER_LEN; i < end; i++) {
        putchar('\n');
        if (show_page(cli, client, lun, data[i]) != 0)
            code = CLI_FAILED; /* a page that is announced but fails: the others are still worth seeing */
    }
    return code;
}

int verb_inq(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client;
    int code = cli_url(cli, cli->operand[0], CLI_URL_LUN, &url);
    if (!code)
        code = cli_start(cli);
    if (!code)
        code = cli_connect(cli, &url, &client);
    if (code)
        return code;
    if (cli->all)
        code = show_all(cli, client, url.lun);
    else
        code = show_page(cli, client, url.lun, cli->has_vpd ? cli->vpd : -1);
    cli_disconnect(cli, client);
    explicit_bzero(&url, sizeof(url));
    return code;
}

static void print_capacity(const struct cli *cli, const struct lnt_disk *disk)
{
    char human[32];
    uint64_t bytes = disk->blocks * disk->block_size;
    if (cli->json) {
        json_t *out = json_pack("{s:I, s:i, s:i, s:I, s:b}", "blocks", (json_int_t)disk->blocks, "block_size",
                                (int)disk->block_size, "physical_block_size", (int)disk->physical_block_size,
                                "bytes", (json_int_t)bytes, "thin", (int)disk->thin);
        json_dumpf(out, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(out);
        return;
    }
    printf("blocks: %" PRIu64 "\nblock size: %" PRIu32 " bytes\nphysical block size: %" PRIu32 " bytes\n",
           disk->blocks, disk->block_size, disk->physical_block_size);
    printf("bytes: %" PRIu64 " (%s)\nthin: %s\n", bytes, units_format_size(bytes, human, sizeof(human)),
           disk->thin ? "yes" : "no");
}

int verb_capacity(struct cli *cli)
{
    struct lnt_url url;
    struct lnt_client *client;
    struct lnt_disk disk;
    int code = cli_url(cli, cli->operand[0], CLI_URL_LUN, &url);
    if (!code)
        code = cli_start(cli);
    if (!code)
        code = cli_open_disk(cli, &url, &client, &disk);
    if (code)
        return code;
    print_capacity(cli, &disk);
    cli_disconnect(cli, client);
    explicit_bzero(&url, sizeof(url));
    return CLI_DONE;
}
