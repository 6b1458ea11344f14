/* SPDX-License-Identifier: Apache-2.0 */
/* err - see err.h. The texts are cut at a character's end: they go into JSON, which must stay
 * UTF-8. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

static void print(char *out, size_t size, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* The first error is kept. NULL: the caller does not want to know. */
static bool begin(struct err *e, int code)
{
    if (e == NULL || e->set)
        return false;
    err_clear(e);
    e->set = true;
    e->code = code;
    return true;
}

bool err_set(struct err *e, int code, const char *format, ...)
{
    if (begin(e, code)) {
        va_list ap;
        va_start(ap, format);
        print(e->text, sizeof(e->text), format, ap);
        va_end(ap);
    }
    return false;
}

bool err_field(struct err *e, int code, const char *field, const char *format, ...)
{
    if (begin(e, code)) {
        snprintf(e->field, sizeof(e->field), "%s", field);
        e->field[utf8_whole(strv_of(e->field))] = '\0';
        va_list ap;
        va_start(ap, format);
        print(e->text, sizeof(e->text), format, ap);
        va_end(ap);
    }
    return false;
}

bool err_at(struct err *e, int code, size_t line, size_t column, const char *format, ...)
{
    if (begin(e, code)) {
        e->line = line;
        e->column = column;
        va_list ap;
        va_start(ap, format);
        print(e->text, sizeof(e->text), format, ap);
        va_end(ap);
    }
    return false;
}

bool err_offset(struct err *e, int code, size_t offset, const char *format, ...)
{
    if (begin(e, code)) {
        e->offset = offset;
        va_list ap;
        va_start(ap, format);
        print(e->text, sizeof(e->text), format, ap);
        va_end(ap);
    }
    return false;
}

bool err_oom(struct err *e)
{
    return err_set(e, ERR_CODE_OOM, "out of memory");
}

void err_clear(struct err *e)
{
    *e = ERR_INIT;
}

static void print(char *out, size_t size, const char *format, va_list ap)
{
    vsnprintf(out, size, format, ap);
    out[utf8_whole(strv_of(out))] = '\0';
}
