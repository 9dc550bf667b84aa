/* Errors of the environment: memory, disk, network, arguments. Never used for a peer's misbehaviour (that is a
 * verdict, common/iscsi) and never for our own bugs (that is an assert). Functions return 0 or a negative
 * enum err; out-parameters stay untouched on failure. */
#ifndef LUNETTE_BASE_ERR_H
#define LUNETTE_BASE_ERR_H

/* X(name, text). The value is the negative of the row number. */
#define ERR_LIST(X)                                                                                                  \
    X(ERR_NOMEM, "out of memory")                                                                                    \
    X(ERR_INVALID, "invalid argument")                                                                               \
    X(ERR_IO, "input/output error")                                                                                  \
    X(ERR_NOSPACE, "no space left")                                                                                  \
    X(ERR_NOTFOUND, "not found")                                                                                     \
    X(ERR_EXISTS, "already exists")                                                                                  \
    X(ERR_PERMISSION, "permission denied")                                                                           \
    X(ERR_BUSY, "busy")                                                                                              \
    X(ERR_LOCKED, "in use by another process")                                                                       \
    X(ERR_READONLY, "read only")                                                                                     \
    X(ERR_TIMEOUT, "timed out")                                                                                      \
    X(ERR_CANCELLED, "cancelled")                                                                                    \
    X(ERR_CLOSED, "connection closed")                                                                               \
    X(ERR_RESET, "connection reset")                                                                                 \
    X(ERR_REFUSED, "connection refused")                                                                             \
    X(ERR_UNREACHABLE, "network unreachable")                                                                        \
    X(ERR_ADDRINUSE, "address in use")                                                                               \
    X(ERR_UNSUPPORTED, "not supported here")                                                                         \
    X(ERR_RANGE, "out of range")                                                                                     \
    X(ERR_SYNTAX, "malformed")                                                                                       \
    X(ERR_TOOBIG, "too big")                                                                                         \
    X(ERR_AUTH, "authentication failed")                                                                             \
    X(ERR_PROTOCOL, "protocol error")                                                                                \
    X(ERR_AGAIN, "try again")                                                                                        \
    X(ERR_UNKNOWN, "unknown error")

enum err_row {
    ERR_ROW_OK,
#define X(name, text) ERR_ROW_##name,
    ERR_LIST(X)
#undef X
        ERR_ROW_COUNT
};

enum err {
    ERR_OK = 0,
#define X(name, text) name = -(int)ERR_ROW_##name,
    ERR_LIST(X)
#undef X
};

/* Text of an error code ("out of memory"); never NULL. Accepts 0 and unknown values. */
const char *err_text(int err);
/* The enum err that stands for an errno value (Linux; on Windows the C runtime's errno). */
int err_from_errno(int errno_value);

#endif
