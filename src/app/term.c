/* SPDX-License-Identifier: Apache-2.0 */
/* term - cleaned text, styles, tables. */
#include "app/term.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TABLE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define COLUMNS_MAX     16
#define GAP             2 /* blanks between columns */
#define WIDTH_OTHERWISE 80
#define WIDTH_MAX       200

/* U+202A to U+202E and U+2066 to U+2069: what stands behind them would be read in another order. */
static bool turns(unsigned char second, unsigned char third)
{
    return (second == 0x80 && third >= 0xaa && third <= 0xae) ||
           (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

/* Length of the control character at the start of the text, 0 if it is none. U+0080 to U+009F are
 * C2 80 to C2 9F; terminals take some of them for the start of a command, as they do ESC. */
static size_t control_at(strv text, bool lines)
{
    unsigned char c = (unsigned char)text.ptr[0];
    if (lines && (c == '\n' || c == '\t'))
        return 0;
    if (c < 0x20 || c == 0x7f)
        return 1;
    if (c == 0xc2 && text.len > 1 && (unsigned char)text.ptr[1] < 0xa0)
        return 2;
    if (c == 0xe2 && text.len > 2 && turns((unsigned char)text.ptr[1], (unsigned char)text.ptr[2]))
        return 3;
    return 0;
}

bool term_clean(struct buf *out, strv text, bool lines)
{
    size_t from = 0, at = 0;
    while (at < text.len) {
        size_t n = control_at(strv_from(text, at), lines);
        if (n > 0) {
            buf_put(out, text.ptr + from, at - from);
            from = at + n;
        }
        at += n > 0 ? n : 1;
    }
    if (at > from)
        buf_put(out, text.ptr + from, at - from);
    return !out->failed;
}

size_t term_width(strv text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return n;
}

/* The value of a character of valid UTF-8. */
static uint32_t value_of(strv c)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t v = c.len > 0 && c.len <= 4 ? (unsigned char)c.ptr[0] & lead[c.len] : 0;
    for (size_t i = 1; i < c.len; i++)
        v = v << 6 | ((unsigned char)c.ptr[i] & 0x3f);
    return v;
}

size_t term_columns(strv character)
{
    /* The ranges that matter: marks that combine, East Asian letters, pictures. */
    static const struct {
        uint32_t first, last;
        size_t columns;
    } rows[] = {{0x300, 0x36f, 0},     {0x1100, 0x115f, 2},   {0x200b, 0x200f, 0},
                {0x20d0, 0x20ff, 0},   {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
                {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},
                {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2},
                {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2}};
    uint32_t v = value_of(character);
    for (size_t i = 0; v >= 0x300 && i < sizeof rows / sizeof *rows; i++)
        if (v >= rows[i].first && v <= rows[i].last)
            return rows[i].columns;
    return 1;
}

size_t term_bar(void)
{
    struct winsize size;
    const char *term = getenv("TERM");
    /* It goes back to the beginning of its line. */
    if (isatty(STDOUT_FILENO) != 1 || (term != NULL && strcmp(term, "dumb") == 0))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size.ws_col = WIDTH_OTHERWISE;
    /* The last column stays free: some terminals go on to the next line behind it. */
    return (size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX) - 1u;
}

void term_put(struct buf *out, bool color, enum term_style style, const char *text)
{
    static const char *const on[] = {[TERM_BOLD] = "\033[1m",
                                     [TERM_DIM] = "\033[2m",
                                     [TERM_GOOD] = "\033[32m",
                                     [TERM_BAD] = "\033[31m"};
    bool styled = color && style != TERM_PLAIN;
    if (styled)
        buf_put_cstr(out, on[style]);
    term_clean(out, strv_of(text), false);
    if (styled)
        buf_put_cstr(out, "\033[0m");
}

static void complain(const char *before, const char *text)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put_cstr(&b, before);
    term_clean(&b, strv_of(text), false);
    buf_put_char(&b, '\n');
    fwrite(buf_view(&b).ptr, 1, buf_len(&b), stderr);
    buf_fini(&b);
}

void term_error(const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    complain("llm-router: ", text);
}

void term_warn(const char *text)
{
    complain("warning: ", text);
}

bool term_write(struct buf *out)
{
    bool ok = !out->failed;
    if (!ok)
        term_error("out of memory");
    strv text = buf_view(out);
    if (ok && (fwrite(text.ptr, 1, text.len, stdout) != text.len || fflush(stdout) != 0)) {
        term_error("standard output: %s", strerror(errno));
        ok = false;
    }
    buf_fini(out);
    return ok;
}

void term_json_text(struct buf *out, bool *first, const char *key, strv text)
{
    json_put_key(out, first, key);
    if (text.ptr != NULL)
        json_put_str(out, text);
    else
        buf_put_cstr(out, "null");
}

void term_json_bool(struct buf *out, bool *first, const char *key, bool value)
{
    json_put_key(out, first, key);
    buf_put_cstr(out, value ? "true" : "false");
}

/* ---- tables ---- */

struct term_cell {
    const char *text;
    enum term_style style;
};

void term_table_init(struct term_table *t, size_t columns)
{
    assert(columns > 0 && columns <= COLUMNS_MAX);
    *t = (struct term_table){.columns = columns};
    arena_init(&t->arena, 4096, TABLE_BYTES_MAX);
}

static struct term_cell *next_cell(struct term_table *t)
{
    if (t->n == t->cap) {
        size_t cap = t->cap > 0 ? t->cap * 2 : 64, size = sizeof *t->cells;
        struct term_cell *cells = arena_resize(&t->arena, t->cells, t->cap * size, cap * size);
        if (cells == NULL)
            return NULL;
        t->cells = cells;
        t->cap = cap;
    }
    return &t->cells[t->n++];
}

void term_table_cell(struct term_table *t, enum term_style style, const char *format, ...)
{
    char text[512];
    struct buf clean;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    buf_init(&clean, sizeof text);
    term_clean(&clean, (strv){text, utf8_whole(strv_of(text))}, false);
    const char *copy = clean.failed ? NULL : arena_cstr(&t->arena, buf_view(&clean));
    buf_fini(&clean);
    struct term_cell *cell = copy != NULL ? next_cell(t) : NULL;
    if (cell != NULL)
        *cell = (struct term_cell){copy, style};
    else
        t->failed = true;
}

static size_t column_width(const struct term_table *t, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < t->n; i += t->columns) {
        size_t n = term_width(strv_of(t->cells[i].text));
        widest = n > widest ? n : widest;
    }
    return widest;
}

/* A row ends behind its last cell that holds something: no blanks at the end of a line. */
static void put_row(const struct term_table *t, const struct term_cell *row, const size_t *width,
                    struct buf *out, bool color)
{
    size_t last = t->columns - 1;
    while (last > 0 && row[last].text[0] == '\0')
        last--;
    for (size_t c = 0; c <= last; c++) {
        size_t used = term_width(strv_of(row[c].text));
        term_put(out, color, row[c].style, row[c].text);
        if (c < last)
            buf_printf(out, "%*s", (int)(width[c] - used + GAP), "");
    }
    buf_put_char(out, '\n');
}

void term_table_put(struct term_table *t, struct buf *out, size_t indent, bool color)
{
    size_t width[COLUMNS_MAX] = {0};
    if (t->failed || t->n % t->columns != 0)
        out->failed = true;
    for (size_t c = 0; c < t->columns; c++)
        width[c] = column_width(t, c);
    for (size_t i = 0; i + t->columns <= t->n; i += t->columns) {
        buf_printf(out, "%*s", (int)indent, "");
        put_row(t, &t->cells[i], width, out, color);
    }
    arena_fini(&t->arena);
    *t = (struct term_table){0};
}
