/* Goal: every error code has its own text, and errno values arrive at the code that a caller acts on.
 * Method: walks the whole enum, then a table of the errno values that hosts meet. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/err.h"

static void every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_ROW_COUNT; i++) {
        assert_true(strlen(err_text(-i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(err_text(-i), err_text(-j));
    }
    assert_string_equal(err_text(0), "success");
    assert_string_equal(err_text(ERR_NOMEM), "out of memory");
    assert_string_equal(err_text(ERR_UNKNOWN), "unknown error");
}

static void unknown_codes_have_a_text_too(void **state)
{
    (void)state;
    static const int strangers[] = {1, 42, INT_MAX, -ERR_ROW_COUNT, -1000, INT_MIN};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        assert_string_equal(err_text(strangers[i]), "unknown error");
}

static void codes_are_negative_row_numbers(void **state)
{
    (void)state;
    assert_int_equal(ERR_NOMEM, -1);
#define X(name, text)                                                                                        \
    assert_true((name) < 0);                                                                                 \
    assert_string_equal(err_text(name), text);
    ERR_LIST(X)
#undef X
}

static void errno_values_map_to_what_a_caller_acts_on(void **state)
{
    (void)state;
    static const struct {
        int errno_value, err;
    } rows[] = {
        {0, ERR_OK},
        {ENOMEM, ERR_NOMEM},
        {ENOSPC, ERR_NOSPACE},
        {EDQUOT, ERR_NOSPACE},
        {EIO, ERR_IO},
        {ENOENT, ERR_NOTFOUND},
        {EEXIST, ERR_EXISTS},
        {EACCES, ERR_PERMISSION},
        {EPERM, ERR_PERMISSION},
        {EROFS, ERR_READONLY},
        {ETIMEDOUT, ERR_TIMEOUT},
        {ECANCELED, ERR_CANCELLED},
        {EPIPE, ERR_CLOSED},
        {ECONNRESET, ERR_RESET},
        {ECONNREFUSED, ERR_REFUSED},
        {EHOSTUNREACH, ERR_UNREACHABLE},
        {ENETUNREACH, ERR_UNREACHABLE},
        {EADDRINUSE, ERR_ADDRINUSE},
        {EOPNOTSUPP, ERR_UNSUPPORTED},
        {ENOSYS, ERR_UNSUPPORTED},
        {EAGAIN, ERR_AGAIN},
        {EWOULDBLOCK, ERR_AGAIN},
        {EFBIG, ERR_TOOBIG},
        {EBUSY, ERR_BUSY},
        {EDOM, ERR_UNKNOWN},
        {-5, ERR_UNKNOWN},
        {999999, ERR_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(err_from_errno(rows[i].errno_value), rows[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text_of_its_own),
        cmocka_unit_test(unknown_codes_have_a_text_too),
        cmocka_unit_test(codes_are_negative_row_numbers),
        cmocka_unit_test(errno_values_map_to_what_a_caller_acts_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
