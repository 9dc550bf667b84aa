/* Outcomes of management operations. */
#include "target/service/outcome.h"

#include <stdarg.h>
#include <stdio.h>

static void settle(struct outcome *o, enum outcome_code code, const char *fmt, va_list args)
{
    if (o->code != OUTCOME_OK)
        return;
    o->code = code;
    vsnprintf(o->text, sizeof o->text, fmt, args);
    /* What a file or an argument smuggled in must not make two lines of it. */
    for (char *p = o->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

bool outcome_refuse(struct outcome *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    settle(o, OUTCOME_REFUSED, fmt, args);
    va_end(args);
    return false;
}

bool outcome_fail(struct outcome *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    settle(o, OUTCOME_FAILED, fmt, args);
    va_end(args);
    return false;
}
