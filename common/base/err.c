/* Error texts and the way from errno to enum err. */
#include "common/base/err.h"

#include <errno.h>
#include <stddef.h>

/* Indexed by row; row 0 is success. */
static const char *const err_texts[ERR_ROW_COUNT] = {[ERR_ROW_OK] = "success",
#define X(name, text) [ERR_ROW_##name] = text,
                                                     ERR_LIST(X)
#undef X
};

const char *err_text(int err)
{
    /* Compared before negating: -INT_MIN does not exist. */
    if (err > 0 || err <= -(int)ERR_ROW_COUNT)
        return err_texts[ERR_ROW_ERR_UNKNOWN];
    return err_texts[-err];
}

/* Only names that both Linux and the Windows C runtime define; those of one platform alone stand below in
 * #ifdef of the name itself. A table instead of a switch: EAGAIN and EWOULDBLOCK are one value here and two
 * there. */
static const struct {
    int errno_value;
    int err;
} err_errno_map[] = {
    {0, ERR_OK},
    {ENOMEM, ERR_NOMEM},
    {EINVAL, ERR_INVALID},
    {EBADF, ERR_INVALID},
    {EFAULT, ERR_INVALID},
    {EISDIR, ERR_INVALID},
    {ENOTDIR, ERR_INVALID},
    {ENOTSOCK, ERR_INVALID},
    {EIO, ERR_IO},
    {ENOSPC, ERR_NOSPACE},
#ifdef EDQUOT
    {EDQUOT, ERR_NOSPACE},
#endif
    {ENOENT, ERR_NOTFOUND},
    {ENODEV, ERR_NOTFOUND},
    {ENXIO, ERR_NOTFOUND},
    {EEXIST, ERR_EXISTS},
    {EACCES, ERR_PERMISSION},
    {EPERM, ERR_PERMISSION},
    {EBUSY, ERR_BUSY},
    {EMFILE, ERR_BUSY},
    {ENFILE, ERR_BUSY},
    {ENOBUFS, ERR_NOMEM},
    {EROFS, ERR_READONLY},
    {ETIMEDOUT, ERR_TIMEOUT},
    {ECANCELED, ERR_CANCELLED},
    {EPIPE, ERR_CLOSED},
    {ENOTCONN, ERR_CLOSED},
#ifdef ESHUTDOWN
    {ESHUTDOWN, ERR_CLOSED},
#endif
    {ECONNRESET, ERR_RESET},
    {ECONNABORTED, ERR_RESET},
    {ECONNREFUSED, ERR_REFUSED},
    {ENETUNREACH, ERR_UNREACHABLE},
    {EHOSTUNREACH, ERR_UNREACHABLE},
    {ENETDOWN, ERR_UNREACHABLE},
#ifdef EHOSTDOWN
    {EHOSTDOWN, ERR_UNREACHABLE},
#endif
    {EADDRNOTAVAIL, ERR_UNREACHABLE},
    {EADDRINUSE, ERR_ADDRINUSE},
    {ENOSYS, ERR_UNSUPPORTED},
    {ENOTSUP, ERR_UNSUPPORTED},
    {EOPNOTSUPP, ERR_UNSUPPORTED},
    {EAFNOSUPPORT, ERR_UNSUPPORTED},
    {EPROTONOSUPPORT, ERR_UNSUPPORTED},
    {ERANGE, ERR_RANGE},
    {EOVERFLOW, ERR_RANGE},
    {EFBIG, ERR_TOOBIG},
    {E2BIG, ERR_TOOBIG},
    {EMSGSIZE, ERR_TOOBIG},
    {ENAMETOOLONG, ERR_TOOBIG},
    {EPROTO, ERR_PROTOCOL},
    {EAGAIN, ERR_AGAIN},
    {EWOULDBLOCK, ERR_AGAIN},
    {EINTR, ERR_AGAIN},
};

int err_from_errno(int errno_value)
{
    for (size_t i = 0; i < sizeof err_errno_map / sizeof err_errno_map[0]; i++) {
        if (err_errno_map[i].errno_value == errno_value)
            return err_errno_map[i].err;
    }
    return ERR_UNKNOWN;
}
