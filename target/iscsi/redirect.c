/* Redirection (RFC 7143 11.13.5, 13.8): a login to a target that is served elsewhere is answered with the
 * other address. Who has to authenticate is sent on only after it has: it need not accept less, and does not
 * learn more before. */
#include "target/iscsi/conn_internal.h"

#define MOVED_TEMPORARILY 0x0101
#define MOVED_PERMANENTLY 0x0102

bool redirect_login(struct tgt_conn *conn, bool secured)
{
    struct tgt_login *login = conn->login;
    if (!login->target || login->discovery || (!secured && login->need_auth)) /* R7143-11.13.5-03 */
        return false;
    const struct tgt_redirect *redirect = tgt_target_redirect(login->target, conn->info.group);
    if (!redirect)
        return false;
    char text[sizeof redirect->address + sizeof "TargetAddress="];
    struct text_writer w;
    struct slice data;
    text_writer_init(&w, text, sizeof text);
    text_add(&w, "TargetAddress", redirect->address); /* R7143-11.13.5-02, R7143-13.8-03 */
    env_trace(conn->env, TRACE_INFO, "login.redirected", conn_label(conn), redirect->address,
              redirect->permanent, conn->info.group);
    if (conn_copy(conn, text, (uint32_t)w.len, &data))
        login_send(conn, redirect->permanent ? MOVED_PERMANENTLY : MOVED_TEMPORARILY, false, false,
                   &data); /* R7143-11.13.5-06 */
    conn_close_after_flush(conn, "redirected");
    return true;
}
