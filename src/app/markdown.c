/* SPDX-License-Identifier: Apache-2.0 */
/*
 * markdown - see markdown.h.
 *
 *   BEGIN   the first characters of a line, until they tell what it is
 *   WORDS   words with marks in them; a word goes out when it ends
 *   CODE    between fences, line by line
 *   TABLE   lines that begin with a bar, until one does not
 */
#include "app/markdown.h"

#include "app/term.h"

#define HELD_MAX    ((size_t)64 * 1024) /* a longer line, word or table goes out as it is */
#define COLUMNS_MAX 16
#define CELL_GAP    2

enum kind { MORE, PLAIN, HEADING, BULLET, NUMBER, QUOTE, RULE, FENCE, TABLE };

void markdown_init(struct markdown *m, size_t width, bool styled)
{
    *m = (struct markdown){.width = width, .styled = styled};
    buf_init(&m->line, HELD_MAX + 8);
    buf_init(&m->word, 2 * HELD_MAX);
}

void markdown_fini(struct markdown *m)
{
    buf_fini(&m->line);
    buf_fini(&m->word);
}

static void spaces(struct buf *out, size_t n)
{
    while (n-- > 0)
        buf_put_char(out, ' ');
}

/* ---- words ---- */

static void put_style(const struct markdown *m, struct buf *to)
{
    buf_put_cstr(to, "\033[0m");
    if (m->bold || m->heading)
        buf_put_cstr(to, "\033[1m");
    if (m->italic)
        buf_put_cstr(to, "\033[3m");
    if (m->code > 0)
        buf_put_cstr(to, "\033[36m");
}

static void flush_word(struct markdown *m, struct buf *out)
{
    size_t gap = m->blank && m->column > 0 ? 1 : 0;
    if (m->word_columns > 0) {
        if (m->width > 0 && m->column > m->hang && m->column + gap + m->word_columns > m->width) {
            buf_put_char(out, '\n');
            spaces(out, m->hang);
            m->column = m->hang;
        } else {
            spaces(out, gap);
            m->column += gap;
        }
        m->blank = false;
    }
    buf_put_strv(out, buf_view(&m->word));
    out->failed = out->failed || m->word.failed;
    m->column += m->word_columns;
    m->word_columns = 0;
    buf_clear(&m->word);
}

static void add(struct markdown *m, strv c, struct buf *out)
{
    if (buf_len(&m->word) >= HELD_MAX)
        flush_word(m, out);
    buf_put_strv(&m->word, c);
    m->word_columns += term_columns(c);
}

static bool toggle(bool *style, bool opens, bool closes)
{
    bool was = *style;
    *style = was ? !closes : opens;
    return *style != was;
}

/* Emphasis begins in front of a text and ends behind one; else the marks are what they look like. */
static bool emphasize(struct markdown *m, bool before_text, bool before_letter)
{
    bool inside = m->mark == '_' && m->after_letter && before_letter;
    bool bold = m->marks == 2 || m->marks == 3, italic = m->marks == 1 || m->marks == 3;
    bool changed = false;
    if (inside || m->marks > 3)
        return false;
    if (bold)
        changed = toggle(&m->bold, before_text, m->after_text) || changed;
    if (italic)
        changed = toggle(&m->italic, before_text, m->after_text) || changed;
    return changed;
}

static bool settle_ticks(struct markdown *m)
{
    if (m->code > 0 && m->code != m->marks)
        return false; /* they are part of the code */
    m->code = m->code > 0 ? 0 : m->marks;
    return true;
}

static void put_marks(struct markdown *m, struct buf *out)
{
    for (size_t i = 0; i < m->marks; i++)
        add(m, (strv){&m->mark, 1}, out);
}

/* The run of marks is over: what does it mean, now that the next character is known? */
static void settle_marks(struct markdown *m, bool before_text, bool before_letter, struct buf *out)
{
    if (m->marks == 0)
        return;
    bool changed = m->mark == '`' ? settle_ticks(m) : emphasize(m, before_text, before_letter);
    if (changed)
        put_style(m, &m->word);
    else
        put_marks(m, out);
    m->after_text = m->after_text || !changed || !before_text;
    m->marks = 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

static bool is_mark(const struct markdown *m, char c)
{
    return c == '`' || (m->code == 0 && (c == '*' || c == '_'));
}

static bool is_punctuation(char c)
{
    return c > 0x20 && c < 0x7f && !is_letter(c);
}

static void take_mark(struct markdown *m, char c, struct buf *out)
{
    if (m->marks > 0 && m->mark != c)
        settle_marks(m, true, false, out);
    m->mark = c;
    m->marks++;
}

static void take_char(struct markdown *m, strv c, struct buf *out)
{
    bool blank = c.len == 1 && (c.ptr[0] == ' ' || c.ptr[0] == '\t');
    if (m->escaped) {
        m->escaped = false;
        if (c.len != 1 || !is_punctuation(c.ptr[0]))
            add(m, STRV("\\"), out);
    } else if (c.len == 1 && is_mark(m, c.ptr[0]) && (m->marks < 64 || m->mark != c.ptr[0])) {
        take_mark(m, c.ptr[0], out);
        return;
    } else if (c.ptr[0] == '\\' && m->code == 0) {
        settle_marks(m, true, false, out);
        m->escaped = true;
        return;
    }
    settle_marks(m, !blank, is_letter(c.ptr[0]), out);
    if (blank) {
        flush_word(m, out);
        m->blank = true;
    } else {
        add(m, c, out);
    }
    m->after_text = !blank;
    m->after_letter = is_letter(c.ptr[0]);
}

/* No mark outlives its line. */
static void end_words(struct markdown *m, struct buf *out)
{
    if (m->escaped)
        add(m, STRV("\\"), out);
    if (m->mark == '`' && m->code == 0) { /* there is no code behind it */
        put_marks(m, out);
        m->marks = 0;
    }
    settle_marks(m, false, false, out);
    bool styled = m->bold || m->italic || m->heading || m->code > 0;
    m->bold = m->italic = m->heading = m->escaped = m->after_text = m->after_letter = false;
    m->code = 0;
    if (styled)
        put_style(m, &m->word);
    flush_word(m, out);
    m->blank = false;
    m->hang = m->column = 0;
    m->state = MARKDOWN_BEGIN;
}

static void take_words(struct markdown *m, strv text, struct buf *out)
{
    while (text.len > 0) {
        int n = utf8_char(text);
        strv c = {text.ptr, n > 0 ? (size_t)n : 1};
        take_char(m, c, out);
        text = strv_from(text, c.len);
    }
}

/* ---- what a line is ---- */

static size_t run_of(strv text, char c)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] == c)
        n++;
    return n;
}

static enum kind after_run(strv text, size_t run, size_t wanted, bool whole, enum kind kind)
{
    if (run == text.len && !whole)
        return MORE;
    return run >= wanted ? kind : PLAIN;
}

/* By its beginning without blanks; `whole` = there is no more of it. *mark is the length of what is not text. */
static enum kind kind_of(strv text, bool whole, size_t *mark)
{
    char c = text.len > 0 ? text.ptr[0] : 0;
    size_t run = text.len > 0 ? run_of(text, c) : 0;
    char next = run < text.len ? text.ptr[run] : 0;
    *mark = run + 1;
    if (text.len == 0)
        return whole ? PLAIN : MORE;
    if (c == '|')
        return TABLE;
    if (c == '`' || c == '~')
        return after_run(text, run, 3, whole, FENCE);
    if (c == '#' && (next == ' ' || next == 0))
        return after_run(text, run, 1, whole, run <= 6 ? HEADING : PLAIN);
    if (c == '>') {
        *mark = 1;
        return QUOTE;
    }
    if ((c == '-' || c == '*' || c == '_') && run >= 3 && next == 0)
        return whole ? RULE : MORE;
    if (c == '-' || c == '*' || c == '+' || c == '_')
        return next == 0 && !whole ? MORE : run == 1 && next == ' ' && c != '_' ? BULLET : PLAIN;
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    *mark = digits + 2;
    if (digits == 0 || digits > 9)
        return PLAIN;
    if (text.len < digits + 2 && !whole &&
        (text.len == digits || text.ptr[digits] == '.' || text.ptr[digits] == ')'))
        return MORE;
    return text.len >= digits + 2 && (text.ptr[digits] == '.' || text.ptr[digits] == ')') &&
                   text.ptr[digits + 1] == ' '
               ? NUMBER
               : PLAIN;
}

static void begin_words(struct markdown *m, strv text, struct buf *out)
{
    m->state = MARKDOWN_WORDS;
    take_words(m, text, out);
}

/* A mark in front of words, which hang behind it. */
static void put_mark(struct markdown *m, size_t indent, strv mark, struct buf *out)
{
    spaces(out, indent);
    buf_put_strv(out, mark);
    m->column = m->hang = indent + term_width(mark);
}

static void put_rule(const struct markdown *m, struct buf *out)
{
    size_t n = m->width > 0 && m->width < 40 ? m->width : 40;
    while (n-- > 0)
        buf_put_char(out, '-');
    buf_put_char(out, '\n');
}

/* The line's beginning tells enough; what it holds more goes on as words. */
static void begin_line(struct markdown *m, enum kind kind, strv text, size_t indent, size_t mark,
                       struct buf *out)
{
    strv rest = mark <= text.len ? strv_from(text, mark) : STRV("");
    switch (kind) {
    case HEADING:
        m->heading = true;
        put_style(m, &m->word);
        begin_words(m, rest, out);
        break;
    case BULLET:
        put_mark(m, indent, STRV("\xe2\x80\xa2 "), out);
        begin_words(m, rest, out);
        break;
    case NUMBER:
        put_mark(m, indent, (strv){text.ptr, mark}, out);
        begin_words(m, rest, out);
        break;
    case QUOTE:
        put_mark(m, indent, STRV("> "), out);
        begin_words(m, rest, out);
        break;
    default:
        put_mark(m, indent, STRV(""), out);
        begin_words(m, text, out);
        break;
    }
}

static void take_begin(struct markdown *m, bool whole, struct buf *out)
{
    strv held = buf_view(&m->line);
    size_t indent = run_of(held, ' '), mark;
    strv text = strv_from(held, indent);
    enum kind kind = kind_of(text, whole, &mark);
    if (kind == MORE)
        return;
    if (kind == TABLE) {
        m->state = MARKDOWN_TABLE;
        return;
    }
    if (kind == FENCE) {
        m->state = MARKDOWN_CODE;
        m->fence = text.ptr[0];
        m->fences = run_of(text, m->fence);
        return;
    }
    struct buf line = m->line; /* the words may begin another */
    buf_init(&m->line, line.max);
    if (kind == RULE) {
        put_rule(m, out);
        m->state = MARKDOWN_BEGIN;
    } else {
        begin_line(m, kind, text, indent, mark, out);
    }
    if (whole && kind != RULE) {
        end_words(m, out);
        buf_put_char(out, '\n');
    }
    buf_fini(&line);
}

/* ---- code ---- */

/* The first line is the opening fence itself: `fence` is still to be taken off. */
static void end_code_line(struct markdown *m, struct buf *out)
{
    strv text = buf_view(&m->line), bare = strv_trim(text);
    size_t run = bare.len > 0 ? run_of(bare, m->fence) : 0;
    if (m->marks == 0) {
        m->marks = 1; /* the opening one is past */
    } else if (run >= m->fences && run == bare.len) {
        m->state = MARKDOWN_BEGIN;
        m->marks = 0;
    } else {
        buf_put_cstr(out, text.len > 0 ? "  \033[36m" : "");
        buf_put_strv(out, text);
        buf_put_cstr(out, text.len > 0 ? "\033[0m\n" : "\n");
    }
    buf_clear(&m->line);
}

/* ---- tables ---- */

/* The cell without its marks. */
static void put_cell(strv cell, struct buf *out)
{
    for (size_t i = 0; i < cell.len; i++) {
        bool bold = cell.ptr[i] == '*' && i + 1 < cell.len && cell.ptr[i + 1] == '*';
        if (bold)
            i++;
        else if (cell.ptr[i] != '`' &&
                 !(cell.ptr[i] == '\\' && i + 1 < cell.len && cell.ptr[i + 1] == '|'))
            buf_put_char(out, cell.ptr[i]);
    }
}

static size_t columns_of(strv text)
{
    size_t n = 0;
    while (text.len > 0) {
        int len = utf8_char(text);
        strv c = {text.ptr, len > 0 ? (size_t)len : 1};
        n += term_columns(c);
        text = strv_from(text, c.len);
    }
    return n;
}

/* Cells of a row that begins with a bar; those beyond COLUMNS_MAX stay in the last. */
static size_t split_row(strv row, strv cells[COLUMNS_MAX])
{
    size_t n = 0, from = 1;
    row = strv_trim(row);
    if (row.len > 1 && row.ptr[row.len - 1] == '|' && row.ptr[row.len - 2] != '\\')
        row.len--;
    for (size_t i = 1; i <= row.len; i++) {
        bool bar = i < row.len && row.ptr[i] == '|' && row.ptr[i - 1] != '\\';
        if ((bar && n + 1 < COLUMNS_MAX) || i == row.len) {
            cells[n++] = strv_trim((strv){row.ptr + from, i - from});
            from = i + 1;
        }
    }
    return n;
}

static bool is_delimiter(strv row)
{
    bool dash = false;
    for (size_t i = 0; i < row.len; i++) {
        if (strchr("|-: \t\r", row.ptr[i]) == NULL)
            return false;
        dash = dash || row.ptr[i] == '-';
    }
    return dash;
}

struct table {
    strv text; /* rows, each ends with a line end */
    size_t n, width[COLUMNS_MAX];
    struct buf cell;
};

/* What the cell shows; lives until the next. */
static strv cell_of(struct table *t, strv cell, struct buf *out)
{
    buf_clear(&t->cell);
    put_cell(cell, &t->cell);
    out->failed = out->failed || t->cell.failed;
    return buf_view(&t->cell);
}

static void measure_table(struct table *t, struct buf *out)
{
    strv rest = t->text, row, cells[COLUMNS_MAX];
    while (strv_cut(&rest, '\n', &row)) {
        size_t n = is_delimiter(row) || row.len == 0 ? 0 : split_row(row, cells);
        t->n = n > t->n ? n : t->n;
        for (size_t i = 0; i < n; i++) {
            size_t wide = columns_of(cell_of(t, cells[i], out));
            t->width[i] = wide > t->width[i] ? wide : t->width[i];
        }
    }
}

static void put_aligned(struct table *t, const strv *cells, size_t n, bool head, struct buf *out)
{
    buf_put_cstr(out, head ? "\033[1m" : "");
    for (size_t i = 0; i < n; i++) {
        strv cell = cell_of(t, cells[i], out);
        size_t wide = columns_of(cell);
        buf_put_strv(out, cell);
        if (i + 1 < n && wide <= t->width[i])
            spaces(out, t->width[i] + CELL_GAP - wide);
    }
    buf_put_cstr(out, head ? "\033[0m\n" : "\n");
}

/* A table that is too wide: each row as "name: value" lines. */
static void put_listed(const strv *names, size_t n_names, const strv *cells, size_t n,
                       struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_put_cstr(out, "\033[1m");
        put_cell(i < n_names ? names[i] : STRV(""), out);
        buf_put_cstr(out, "\033[0m: ");
        put_cell(cells[i], out);
        buf_put_char(out, '\n');
    }
    buf_put_char(out, '\n');
}

static void put_table(struct markdown *m, struct buf *out)
{
    struct table t = {.text = buf_view(&m->line)};
    strv rest = t.text, row, names[COLUMNS_MAX], cells[COLUMNS_MAX];
    buf_init(&t.cell, HELD_MAX + 8);
    measure_table(&t, out);
    size_t wide = 0, n_names = 0;
    for (size_t i = 0; i < t.n; i++)
        wide += t.width[i] + (i > 0 ? CELL_GAP : 0);
    bool fits = m->width == 0 || wide <= m->width;
    for (bool first = true; strv_cut(&rest, '\n', &row); first = false) {
        if (row.len == 0 || is_delimiter(row))
            continue;
        size_t n = split_row(row, first ? names : cells);
        n_names = first ? n : n_names;
        if (fits)
            put_aligned(&t, first ? names : cells, n, first, out);
        else if (!first)
            put_listed(names, n_names, cells, n, out);
    }
    buf_fini(&t.cell);
    buf_clear(&m->line);
    m->state = MARKDOWN_BEGIN;
}

/* ---- the text ---- */

static bool ends_table(const struct markdown *m, char c)
{
    strv held = buf_view(&m->line);
    return held.len > 0 && held.ptr[held.len - 1] == '\n' && c != '|' && c != ' ';
}

static void take(struct markdown *m, strv c, struct buf *out)
{
    bool line_end = c.ptr[0] == '\n';
    if (m->state == MARKDOWN_TABLE && ends_table(m, c.ptr[0]))
        put_table(m, out);
    switch (m->state) {
    case MARKDOWN_BEGIN:
        if (!line_end)
            buf_put_strv(&m->line, c);
        take_begin(m, line_end || buf_len(&m->line) >= HELD_MAX, out);
        if (line_end && m->state == MARKDOWN_CODE)
            end_code_line(m, out);
        break;
    case MARKDOWN_WORDS:
        if (!line_end) {
            take_char(m, c, out);
            break;
        }
        end_words(m, out);
        buf_put_char(out, '\n');
        break;
    case MARKDOWN_CODE:
        if (line_end || buf_len(&m->line) >= HELD_MAX)
            end_code_line(m, out);
        if (!line_end)
            buf_put_strv(&m->line, c);
        break;
    case MARKDOWN_TABLE:
        if (buf_len(&m->line) >= HELD_MAX)
            put_table(m, out);
        buf_put_strv(&m->line, c);
        break;
    }
    out->failed = out->failed || m->line.failed;
}

bool markdown_feed(struct markdown *m, strv text, struct buf *out)
{
    struct buf clean;
    buf_init(&clean, text.len);
    if (!m->raw) {
        out->failed = !term_clean(&clean, text, true) || out->failed;
        text = buf_view(&clean);
    }
    if (!m->styled && text.len > 0) {
        buf_put_strv(out, text);
        m->column = text.ptr[text.len - 1] != '\n';
        text.len = 0;
    }
    while (text.len > 0 && !out->failed) {
        int n = utf8_char(text);
        strv c = {text.ptr, n > 0 ? (size_t)n : 1};
        take(m, c, out);
        text = strv_from(text, c.len);
    }
    buf_fini(&clean);
    return !out->failed;
}

bool markdown_end(struct markdown *m, struct buf *out)
{
    if (!m->styled) {
        buf_put_cstr(out, m->column > 0 ? "\n" : "");
        m->column = 0;
        return !out->failed;
    }
    if (m->state == MARKDOWN_TABLE)
        put_table(m, out);
    else if (m->state == MARKDOWN_WORDS || buf_len(&m->line) > 0)
        take(m, STRV("\n"), out);
    if (m->state == MARKDOWN_CODE) { /* the fence was never closed */
        if (buf_len(&m->line) > 0)
            end_code_line(m, out);
        m->state = MARKDOWN_BEGIN;
        m->marks = 0;
    }
    return !out->failed;
}
