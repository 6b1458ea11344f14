/* SPDX-License-Identifier: Apache-2.0 */
/* sql - values, which are the same in every driver. */
#include "store/sql.h"

struct sql_value sql_int(int64_t n)
{
    return (struct sql_value){.kind = SQL_INT, .number = n};
}

struct sql_value sql_text(const char *text)
{
    return (struct sql_value){.kind = SQL_TEXT, .bytes = text, .len = strlen(text)};
}

struct sql_value sql_bytes(const void *bytes, size_t len)
{
    return (struct sql_value){.kind = SQL_BYTES, .bytes = bytes, .len = len};
}

bool sql_take_int(const struct sql_value *v, int64_t *out)
{
    if (v->kind == SQL_INT)
        *out = v->number;
    return v->kind == SQL_INT;
}

bool sql_take_text(const struct sql_value *v, char *out, size_t size)
{
    if (v->kind != SQL_TEXT || v->len >= size)
        return false;
    memcpy(out, v->bytes, v->len);
    out[v->len] = '\0';
    return true;
}

bool sql_take_bytes(const struct sql_value *v, void *out, size_t size)
{
    if (v->kind != SQL_BYTES || v->len != size)
        return false;
    memcpy(out, v->bytes, size);
    return true;
}
