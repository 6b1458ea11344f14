/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - the world's mistakes as values.
 *
 * A function that can fail for a reason outside our control returns bool and takes `struct err *`
 * last. The first error is kept; later ones do not cover it. The text is for people and goes to the
 * caller or the operator: it names fields, limits and positions, never a secret, a prompt or an
 * upstream's body. `code` is a value of enum llm_error (llm/error.h) where the error can reach a
 * caller, else 0.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err {
    bool set;
    int code;
    size_t line, column; /* 1-based, 0 = unknown; configuration files */
    size_t offset;       /* byte offset in the input; parsers */
    char field[64];      /* dotted path of the field at fault, "" = none */
    char text[320];
};

#define ERR_INIT ((struct err){0})

/* Always returns false, so that `return err_set(...)` reads well. Does nothing if already set. */
bool err_set(struct err *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the field at fault, printed into e->field. */
bool err_field(struct err *e, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool err_at(struct err *e, int code, size_t line, size_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same with the byte offset at fault. */
bool err_offset(struct err *e, int code, size_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool err_oom(struct err *e); /* code LLM_ERR_INTERNAL's value is not known here: code -1 */
#define ERR_CODE_OOM (-1)
void err_clear(struct err *e);

#endif
