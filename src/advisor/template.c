/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/template.h"

#include <stdio.h>
#include <string.h>

#include "advisor/digest.h"

#define DEPTH_MAX 8
#define TEXT_MAX  ((size_t)300)
#define ITEMS_MAX 100 /* of one section, unless it says fewer */

enum node_kind { TEXT, VALUE, SECTION, INVERTED };

struct template_node {
    enum node_kind kind;
    strv text;    /* TEXT: it. Others: the path */
    bool percent; /* VALUE */
    int64_t from; /* SECTION: > 0 so many from the front, < 0 from the back, 0 = all */
    struct template_node *inner, *next;
};

/* ---- reading ---- */

struct reader {
    strv whole, rest;
    struct arena *arena;
    struct err *err;
};

static size_t line_of(const struct reader *r, const char *at)
{
    size_t line = 1;
    for (const char *p = r->whole.ptr; p < at; p++)
        line += *p == '\n';
    return line;
}

static bool wrong(const struct reader *r, const char *what)
{
    size_t line = line_of(r, r->rest.ptr);
    return err_at(r->err, 0, line, 1, "line %zu: %s", line, what);
}

static struct template_node *node_new(struct reader *r, enum node_kind kind, strv text)
{
    struct template_node *n = ARENA_NEW(r->arena, struct template_node);
    if (n == NULL) {
        err_oom(r->err);
        return NULL;
    }
    n->kind = kind;
    n->text = text;
    return n;
}

static bool is_path(strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-' && c != '.')
            return false;
    }
    return text.len > 0 && text.len <= 128;
}

/* "history:-5" */
static bool read_section(struct reader *r, strv tag, struct template_node *n)
{
    strv path;
    if (!strv_cut(&tag, ':', &path))
        return wrong(r, "a section has a name");
    n->text = strv_trim(path);
    if (tag.ptr != NULL && (!strv_i64(strv_trim(tag), &n->from) || n->from == 0 ||
                            n->from > ITEMS_MAX || n->from < -ITEMS_MAX))
        return wrong(r, "how many: a number, -100 to 100");
    return is_path(n->text) || wrong(r, "a section has a name");
}

static bool read_value(struct reader *r, strv tag, struct template_node *n)
{
    strv path;
    if (!strv_cut(&tag, '|', &path))
        return wrong(r, "a name is missing");
    n->text = strv_trim(path);
    n->percent = tag.ptr != NULL && strv_eq_cstr(strv_trim(tag), "percent");
    if (tag.ptr != NULL && !n->percent)
        return wrong(r, "behind | only percent may stand");
    return is_path(n->text) || wrong(r, "names are letters, digits, _, - and dots");
}

/* The line of a section's tag, or a remark's, goes with it when nothing else stands there. */
static void take_line(const struct reader *r, strv *before, strv *after)
{
    size_t blanks = 0, n = 0;
    while (blanks < before->len && (before->ptr[before->len - 1 - blanks] == ' '))
        blanks++;
    const char *line = before->ptr + before->len - blanks;
    if (line != r->whole.ptr && line[-1] != '\n')
        return;
    while (n < after->len && after->ptr[n] == ' ')
        n++;
    if (n < after->len && after->ptr[n] != '\n')
        return;
    before->len -= blanks;
    *after = strv_from(*after, n < after->len ? n + 1 : n);
}

static bool read_nodes(struct reader *r, strv open, unsigned depth, struct template_node **out);

/* Cuts "{{tag}}" off the rest; false: there is none. */
static bool next_tag(struct reader *r, strv *before, strv *tag, bool *broken)
{
    const char *at = memmem(r->rest.ptr, r->rest.len, "{{", 2);
    *broken = false;
    if (at == NULL)
        return false;
    *before = (strv){r->rest.ptr, (size_t)(at - r->rest.ptr)};
    strv behind = strv_from(r->rest, before->len + 2);
    const char *end = memmem(behind.ptr, behind.len, "}}", 2);
    *broken = end == NULL;
    if (*broken) {
        r->rest = behind; /* so that the error names its line */
        return false;
    }
    *tag = (strv){behind.ptr, (size_t)(end - behind.ptr)};
    r->rest = strv_from(behind, tag->len + 2);
    return true;
}

static bool add(struct reader *r, struct template_node ***end, struct template_node *n)
{
    (void)r;
    if (n == NULL)
        return false;
    **end = n;
    *end = &n->next;
    return true;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX */
static bool read_tag(struct reader *r, strv tag, unsigned depth, struct template_node ***end)
{
    char first = tag.len > 0 ? tag.ptr[0] : '\0';
    if (first == '!')
        return true;
    if (first != '#' && first != '^') {
        struct template_node *n = node_new(r, VALUE, STRV(""));
        return add(r, end, n) && read_value(r, tag, n);
    }
    struct template_node *n = node_new(r, first == '#' ? SECTION : INVERTED, STRV(""));
    if (!add(r, end, n) || !read_section(r, strv_from(tag, 1), n))
        return false;
    if (depth == DEPTH_MAX)
        return wrong(r, "more than 8 sections inside each other");
    return read_nodes(r, n->text, depth + 1, &n->inner);
}

/* Up to the end of the section `open`, or of the text. NOLINTNEXTLINE(misc-no-recursion) */
static bool read_nodes(struct reader *r, strv open, unsigned depth, struct template_node **out)
{
    struct template_node **end = out;
    strv before, tag;
    bool broken;
    while (next_tag(r, &before, &tag, &broken)) {
        bool closes = tag.len > 0 && tag.ptr[0] == '/';
        if (tag.len > 0 && strchr("#^/!", tag.ptr[0]) != NULL)
            take_line(r, &before, &r->rest);
        if (before.len > 0 && !add(r, &end, node_new(r, TEXT, before)))
            return false;
        if (closes && open.ptr != NULL && strv_eq(strv_trim(strv_from(tag, 1)), open))
            return true;
        if (closes)
            return wrong(r, "this section is not the one that is open");
        if (!read_tag(r, tag, depth, &end))
            return false;
    }
    if (broken)
        return wrong(r, "{{ without }}");
    if (open.ptr != NULL)
        return wrong(r, "a section has no end");
    return r->rest.len == 0 || add(r, &end, node_new(r, TEXT, r->rest));
}

static bool read_part(struct reader *r, strv text, const struct template_node **out)
{
    struct template_node *first = NULL;
    r->rest = text;
    bool ok = read_nodes(r, STRV_NONE, 0, &first);
    *out = first;
    return ok;
}

static bool read_head(struct reader *r, struct template *t)
{
    strv line, key;
    while (strv_cut(&r->rest, '\n', &line)) {
        if (strv_eq_cstr(strv_trim(line), "---"))
            return (t->name.ptr != NULL && t->version > 0 && t->models.ptr != NULL) ||
                   wrong(r, "name, version and models must stand above");
        strv value = line;
        if (!strv_cut(&value, ':', &key) || value.ptr == NULL)
            return wrong(r, "expected name:, version:, models: or ---");
        value = strv_trim(value);
        if (strv_eq_cstr(key, "name"))
            t->name = value;
        else if (strv_eq_cstr(key, "models"))
            t->models = value;
        else if (!strv_eq_cstr(key, "version") || !strv_i64(value, &t->version) || t->version < 1)
            return wrong(r, "expected name:, version: (from 1), models: or ---");
    }
    r->rest = strv_from(r->whole, r->whole.len);
    return wrong(r, "a line --- is missing");
}

static bool is_question(strv name)
{
    for (int q = 0; q < ADVICE_QUESTIONS; q++)
        if (strv_eq_cstr(name, advice_question_name((enum advice_question)q)))
            return true;
    return false;
}

bool template_read(struct template *t, strv text, struct arena *arena, struct err *err)
{
    struct reader r = {.whole = text, .rest = text, .arena = arena, .err = err};
    *t = (struct template){.name = STRV_NONE, .models = STRV_NONE};
    if (text.len > TEMPLATE_BYTES_MAX || !utf8_valid(text))
        return err_set(err, 0, "expected UTF-8, 64 KiB at most");
    digest_hex(text, t->digest);
    if (!read_head(&r, t))
        return false;
    if (!is_question(t->name))
        return err_set(err, 0, "name: suggest, analyze, strategy or explain");
    const char *cut = r.rest.ptr != NULL ? memmem(r.rest.ptr, r.rest.len, "\n---\n", 5) : NULL;
    if (cut == NULL)
        return wrong(&r, "a second line --- is missing");
    strv system = {r.rest.ptr, (size_t)(cut - r.rest.ptr)};
    strv question = strv_from(r.rest, system.len + 5);
    return read_part(&r, strv_trim(system), &t->system) && read_part(&r, question, &t->question);
}

bool template_fits(const struct template *t, enum advice_question q, strv model)
{
    strv rest = t->models, pattern;
    if (!strv_eq_cstr(t->name, advice_question_name(q)))
        return false;
    while (strv_cut(&rest, ' ', &pattern))
        if (pattern.len > 0 && strv_glob(pattern, model))
            return true;
    return false;
}

/* ---- writing ---- */

struct writer {
    yyjson_val *scopes[DEPTH_MAX + 3]; /* the innermost last */
    size_t n;
    struct buf *out;
};

static yyjson_val *walk(yyjson_val *v, strv path)
{
    strv part;
    while (v != NULL && strv_cut(&path, '.', &part))
        v = yyjson_is_obj(v) ? yyjson_obj_getn(v, part.ptr, part.len) : NULL;
    return yyjson_is_null(v) ? NULL : v;
}

static yyjson_val *find(const struct writer *w, strv path)
{
    if (strv_eq_cstr(path, "."))
        return w->scopes[w->n - 1];
    for (size_t i = w->n; i-- > 0;) {
        yyjson_val *v = walk(w->scopes[i], path);
        if (v != NULL)
            return v;
    }
    return NULL;
}

static void put_text(struct buf *out, strv text)
{
    strv cut = utf8_cut(text, TEXT_MAX);
    json_put_esc(out, cut);
    if (cut.len < text.len)
        buf_put_cstr(out, "...");
}

static void put_value(const struct writer *w, const struct template_node *n)
{
    yyjson_val *v = find(w, n->text);
    double number;
    if (v == NULL)
        return;
    if (yyjson_is_str(v)) {
        put_text(w->out, json_str(v));
    } else if (n->percent && json_is_num(v, &number)) {
        buf_printf(w->out, "%.1f%%", number * 100);
    } else {
        struct arena scratch;
        arena_init(&scratch, 4096, TEMPLATE_OUT_MAX);
        if (!json_put_val(w->out, v, &scratch))
            w->out->failed = true;
        arena_fini(&scratch);
    }
}

static bool is_there(yyjson_val *v)
{
    return v != NULL && !yyjson_is_false(v) && !(yyjson_is_ctn(v) && yyjson_get_len(v) == 0) &&
           !(yyjson_is_str(v) && yyjson_get_len(v) == 0);
}

static void put_nodes(struct writer *w, const struct template_node *n);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX */
static void put_inner(struct writer *w, const struct template_node *n, yyjson_val *scope)
{
    w->scopes[w->n++] = scope;
    put_nodes(w, n->inner);
    w->n--;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void put_section(struct writer *w, const struct template_node *n)
{
    yyjson_val *v = find(w, n->text), *item;
    size_t i, max;
    if (is_there(v) != (n->kind == SECTION))
        return;
    if (n->kind == INVERTED || !yyjson_is_arr(v)) {
        put_inner(w, n, v);
        return;
    }
    size_t count = yyjson_arr_size(v);
    size_t few = (size_t)(n->from < 0 ? -n->from : n->from > 0 ? n->from : ITEMS_MAX);
    size_t first = n->from < 0 && count > few ? count - few : 0;
    yyjson_arr_foreach(v, i, max, item)
    {
        if (i >= first && i - first < few && !w->out->failed)
            put_inner(w, n, item);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void put_nodes(struct writer *w, const struct template_node *n)
{
    for (; n != NULL && !w->out->failed; n = n->next) {
        if (n->kind == TEXT)
            buf_put_strv(w->out, n->text);
        else if (n->kind == VALUE)
            put_value(w, n);
        else
            put_section(w, n);
    }
}

bool template_write(const struct template_node *n, yyjson_val *asked, yyjson_val *more,
                    struct buf *out)
{
    struct writer w = {.scopes = {more, asked}, .n = 2, .out = out};
    put_nodes(&w, n);
    return !out->failed;
}
