/* SPDX-License-Identifier: Apache-2.0 */
/*
 * term - what a person reads. Names, errors and answers come from models, providers and files: none of
 * them may steer the terminal, so control characters are left out on the way.
 *
 * Text is collected in a buffer and written at the end, so that a command prints all or says why not.
 */
#ifndef APP_TERM_H
#define APP_TERM_H

#include <stdbool.h>
#include <stdio.h>

#include "base/base.h"

enum term_style { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_GOOD, TERM_BAD };

/* Appends the text without control characters (C0, DEL, C1) and without those that turn the direction of letters (U+202A
 * to U+202E, U+2066 to U+2069); `lines` keeps line ends and tabs. */
bool term_clean(struct buf *out, strv text, bool lines);
/* Columns that the text takes: characters, all counted as one. */
size_t term_width(strv text);
/* Columns that one character takes on a screen: 0, 1 or 2. */
size_t term_columns(strv character);
/* Columns for a bar that is drawn again and again on standard output; 0 = it is no terminal that could. */
size_t term_bar(void);
/* The text, cleaned, in this style if `color`. */
void term_put(struct buf *out, bool color, enum term_style style, const char *text);

/* "llm-router: ..." on standard error, cleaned. */
void term_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "warning: ..." likewise. */
void term_warn(const char *text);
/* Writes and frees the buffer. False, having said why, if memory or the write was refused. */
bool term_write(struct buf *out);

/* "key":"text" of a JSON object, null for an absent text; and "key":true. See json_put_key(). */
void term_json_text(struct buf *out, bool *first, const char *key, strv text);
void term_json_bool(struct buf *out, bool *first, const char *key, bool value);

/* Rows of cells; every column but the last is as wide as its widest cell. */
struct term_table {
    size_t columns, n, cap;
    struct term_cell *cells;
    struct arena arena;
    bool failed;
};
void term_table_init(struct term_table *t, size_t columns);
/* The next cell, row by row. */
void term_table_cell(struct term_table *t, enum term_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends the table and frees it. */
void term_table_put(struct term_table *t, struct buf *out, size_t indent, bool color);

#endif
