/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - yyjson on an arena.
 *
 *   arena:  | copy of the text, zero padding |   | value, value, value, ... |     16 bytes a value
 *             ^ strings are unescaped in place      ^ root; one flat array in document order
 *
 * yyjson asks for its array by an estimate from the length of the text (16 bytes for every 6 of a
 * compact text), far too much for a body that is mostly long strings. We take the rest back
 * afterwards, so a parsed document costs its text plus 16 bytes a value.
 */
#include "base/json.h"

#include <assert.h>
#include <math.h>

#include "base/timefmt.h"

/* Where yyjson's memory comes from. It takes one block for a document: the array of values. */
struct source {
    struct arena *arena;
    char *pool;
    size_t pool_bytes;
};

static yyjson_alc source_alc(struct source *from);
static yyjson_val *settle(struct source *from, yyjson_doc *parsed);
static bool too_deep(const yyjson_val *root, size_t values);
static size_t deep_offset(strv text);
static bool err_deep(size_t at, int code, struct err *err);
static bool refused_memory(strv text, int code, struct err *err);
static size_t skip_blank(strv text, size_t at);
static size_t closing_quote(strv text, size_t first, size_t from);
static size_t skip_value(strv text, size_t at);
static bool has_escape(uint64_t eight);

bool json_read(struct json *doc, strv text, struct arena *arena, int code, struct err *err)
{
    *doc = (struct json){.text = text};
    if (text.len > SIZE_MAX / 2)
        return err_oom(err);
    doc->copy = arena_alloc(arena, text.len + YYJSON_PADDING_SIZE);
    if (doc->copy == NULL)
        return err_oom(err);
    if (text.len != 0)
        memcpy(doc->copy, text.ptr, text.len);
    memset(doc->copy + text.len, 0, YYJSON_PADDING_SIZE);

    struct source from = {.arena = arena};
    yyjson_alc alc = source_alc(&from);
    yyjson_read_err why;
    yyjson_doc *parsed = yyjson_read_opts(doc->copy, text.len, YYJSON_READ_INSITU, &alc, &why);
    if (parsed == NULL && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return refused_memory(text, code, err);
    if (parsed == NULL)
        return err_offset(err, code, why.pos, "invalid JSON at byte %zu: %s", why.pos,
                          text.len != 0 ? why.msg : "the text is empty");

    size_t values = yyjson_doc_get_val_count(parsed);
    yyjson_val *root = settle(&from, parsed); /* `parsed` may have moved */
    if (too_deep(root, values))
        return err_deep(deep_offset(text), code, err);
    doc->root = root;
    return true;
}

bool json_span(const struct json *doc, yyjson_val *v, size_t *at, size_t *len)
{
    const char *inside = yyjson_get_str(v);
    if (inside == NULL || (uintptr_t)inside <= (uintptr_t)doc->copy ||
        (uintptr_t)inside >= (uintptr_t)doc->copy + doc->text.len)
        return false;
    size_t first = (size_t)(inside - doc->copy);
    /* Escapes only ever make a text longer, so the quote cannot stand before the unescaped length. */
    size_t end = closing_quote(doc->text, first, first + yyjson_get_len(v));
    assert(end < doc->text.len); /* the parser has seen it */
    *at = first - 1;
    *len = end + 1 - *at;
    return true;
}

bool json_raw_member(const struct json *doc, yyjson_val *obj, const char *key, strv *out)
{
    size_t i, max;
    yyjson_val *name, *value;
    if (!yyjson_is_obj(obj))
        return false;
    yyjson_obj_foreach(obj, i, max, name, value)
    {
        if (strv_eq_cstr(json_str(name), key))
            return json_raw_value(doc, name, out);
    }
    return false;
}

bool json_raw_value(const struct json *doc, yyjson_val *key, strv *out)
{
    size_t at, len;
    if (!json_span(doc, key, &at, &len))
        return false;
    size_t colon = skip_blank(doc->text, at + len);
    if (colon == doc->text.len || doc->text.ptr[colon] != ':')
        return false; /* a string that is no key */
    size_t first = skip_blank(doc->text, colon + 1);
    *out = (strv){doc->text.ptr + first, skip_value(doc->text, first) - first};
    return true;
}

/* `rest` begins with the array's bracket at first, and behind an element from then on. */
bool json_raw_next(strv *rest, strv *element)
{
    size_t at = skip_blank(*rest, 0);
    if (at == rest->len || (rest->ptr[at] != '[' && rest->ptr[at] != ','))
        return false;
    at = skip_blank(*rest, at + 1);
    size_t end = skip_value(*rest, at);
    if (end == at) /* an array without elements */
        return false;
    *element = (strv){rest->ptr + at, end - at};
    *rest = strv_from(*rest, end);
    return true;
}

strv json_str(yyjson_val *v)
{
    return yyjson_is_str(v) ? (strv){yyjson_get_str(v), yyjson_get_len(v)} : STRV_NONE;
}

bool json_is_int(yyjson_val *v, int64_t *out)
{
    if (yyjson_is_sint(v)) {
        *out = yyjson_get_sint(v);
    } else if (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX) {
        *out = (int64_t)yyjson_get_uint(v);
    } else if (yyjson_is_real(v)) {
        double d = yyjson_get_real(v);
        if (!(d >= -0x1p63 && d < 0x1p63) || d != (double)(int64_t)d)
            return false;
        *out = (int64_t)d;
    } else {
        return false;
    }
    return true;
}

bool json_is_num(yyjson_val *v, double *out)
{
    if (!yyjson_is_num(v))
        return false;
    *out = yyjson_get_num(v);
    return true;
}

int64_t json_get_int(yyjson_val *obj, const char *key, int64_t otherwise)
{
    int64_t v;
    return json_is_int(yyjson_obj_get(obj, key), &v) ? v : otherwise;
}

bool json_put_str(struct buf *b, strv text)
{
    return buf_put_char(b, '"') && json_put_esc(b, text) && buf_put_char(b, '"');
}

bool json_put_time(struct buf *b, int64_t unix_us, int digits)
{
    char text[TIMEFMT_MAX];
    if (unix_us <= 0)
        return buf_put_cstr(b, "null");
    timefmt_rfc3339(text, unix_us, digits);
    return json_put_str(b, strv_of(text));
}

bool json_put_esc(struct buf *b, strv text)
{
    size_t done = 0, at = 0;
    while (at < text.len) {
        uint64_t eight;
        size_t left = text.len - at;
        if (left < sizeof(eight) && text.len >= sizeof(eight)) { /* the last eight, some again */
            memcpy(&eight, text.ptr + text.len - sizeof(eight), sizeof(eight));
            if (!has_escape(eight)) {
                at = text.len;
                break;
            }
        } else if (left >= sizeof(eight)) {
            memcpy(&eight, text.ptr + at, sizeof(eight));
            if (!has_escape(eight)) {
                at += sizeof(eight);
                continue;
            }
        }
        unsigned char c = (unsigned char)text.ptr[at];
        if (c < 0x20 || c == '"' || c == '\\') {
            buf_put(b, text.ptr + done, at - done);
            char escape[6];
            buf_put(b, escape, json_escape((char)c, escape));
            done = at + 1;
        }
        at++;
    }
    if (done == at)
        return !b->failed; /* also without a text at all */
    return buf_put(b, text.ptr + done, at - done);
}

size_t json_escape(char c, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    unsigned char u = (unsigned char)c;
    out[0] = '\\';
    out[1] = u >= 0x20 ? c : letters[u];
    if (out[1] != 0)
        return 2;
    memcpy(out + 1, "u00", 3);
    out[4] = hex[u >> 4];
    out[5] = hex[u & 15];
    return 6;
}

bool json_put_key(struct buf *b, bool *first, const char *key)
{
    if (!*first)
        buf_put_char(b, ',');
    *first = false;
    return json_put_str(b, strv_of(key)) && buf_put_char(b, ':');
}

bool json_put_num(struct buf *b, double v)
{
    assert(isfinite(v));
    /* yyjson writes the shortest form, but only through an allocator, and 1 as "1.0". */
    char room[512];
    yyjson_alc alc;
    yyjson_val number = {0};
    size_t len = 0;
    yyjson_alc_pool_init(&alc, room, sizeof(room));
    unsafe_yyjson_set_real(&number, v);
    const char *text = yyjson_val_write_opts(&number, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    assert(text != NULL); /* a number has at most 25 characters */
    strv digits = {text, len};
    if (strv_ends(digits, STRV(".0")) &&
        v != 0) /* "-0.0": read back, "-0" would be the integer 0 */
        digits.len -= 2;
    else if (v == 0 && !signbit(v))
        digits = STRV("0");
    return buf_put_strv(b, digits);
}

bool json_put_val(struct buf *b, yyjson_val *v, struct arena *scratch)
{
    struct source from = {.arena = scratch};
    yyjson_alc alc = source_alc(&from);
    size_t len = 0;
    const char *text = yyjson_val_write_opts(v, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    if (text == NULL) {
        b->failed = true; /* no memory; nothing that was read cannot be written */
        return false;
    }
    return buf_put(b, text, len);
}

static void *source_malloc(void *ctx, size_t size)
{
    struct source *from = ctx;
    from->pool = arena_alloc(from->arena, size);
    from->pool_bytes = size;
    return from->pool;
}

static void *source_realloc(void *ctx, void *ptr, size_t old_size, size_t size)
{
    struct source *from = ctx;
    void *moved = arena_resize(from->arena, ptr, old_size, size);
    if (moved != NULL) {
        from->pool = moved;
        from->pool_bytes = size;
    }
    return moved;
}

static void source_free(void *ctx, void *ptr)
{
    (void)ctx; /* the arena frees everything at its end */
    (void)ptr;
}

static yyjson_alc source_alc(struct source *from)
{
    return (yyjson_alc){source_malloc, source_realloc, source_free, from};
}

/* Gives the unused end of the array back and returns where the root is then. Values refer to each
 * other by relative offsets, so that the array may move. */
static yyjson_val *settle(struct source *from, yyjson_doc *parsed)
{
    size_t root_at = (size_t)((char *)yyjson_doc_get_root(parsed) - from->pool);
    size_t used = root_at + yyjson_doc_get_val_count(parsed) * sizeof(yyjson_val);
    assert(used <= from->pool_bytes);
    from->pool = arena_resize(from->arena, from->pool, from->pool_bytes, used);
    return (yyjson_val *)(void *)(from->pool + root_at);
}

/* yyjson reads without recursion and knows no limit; whoever walks the values later may recurse.
 * The values stand in document order, a container in front of its members. */
static bool too_deep(const yyjson_val *root, size_t values)
{
    const yyjson_val *ends[JSON_DEPTH_MAX]; /* of the open containers */
    size_t depth = 0;
    for (const yyjson_val *v = root; v < root + values; v++) {
        while (depth > 0 && v >= ends[depth - 1])
            depth--;
        if (!unsafe_yyjson_is_ctn((void *)(uintptr_t)v))
            continue;
        if (depth == JSON_DEPTH_MAX)
            return true;
        ends[depth++] = unsafe_yyjson_get_next((yyjson_val *)(uintptr_t)v);
    }
    return false;
}

static bool err_deep(size_t at, int code, struct err *err)
{
    return err_offset(err, code, at, "invalid JSON at byte %zu: nested deeper than %d levels", at,
                      JSON_DEPTH_MAX);
}

/* A text of nothing but brackets needs more memory than an arena of its size has: the writer's fault. */
static bool refused_memory(strv text, int code, struct err *err)
{
    size_t at = deep_offset(text);
    return at < text.len ? err_deep(at, code, err) : err_oom(err);
}

/* Where the text opens one container too many; only for the error. */
static size_t deep_offset(strv text)
{
    size_t depth = 0, at = 0;
    bool quoted = false;
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (quoted && c == '\\')
            at++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX)
            break;
        else if (!quoted && (c == ']' || c == '}'))
            depth -= depth > 0 ? 1 : 0; /* the text may be no JSON at all */
    }
    return at;
}

static size_t skip_blank(strv text, size_t at)
{
    while (at < text.len && strv_is_blank(text.ptr[at]))
        at++;
    return at;
}

/* Of the string whose first character stands at `first`: the first quote at `from` or later that has an
 * even number of backslashes before it; text.len if there is none. */
static size_t closing_quote(strv text, size_t first, size_t from)
{
    while (from < text.len) {
        const char *quote = memchr(text.ptr + from, '"', text.len - from);
        if (quote == NULL)
            return text.len;
        size_t at = (size_t)(quote - text.ptr), slashes = 0;
        while (at - slashes > first && text.ptr[at - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return at;
        from = at + 1;
    }
    return text.len;
}

/* Past the value that begins at `at`. The text is known to be valid JSON. */
static size_t skip_value(strv text, size_t at)
{
    int depth = 0;
    while (at < text.len) {
        char c = text.ptr[at];
        if (c == '"') {
            at = closing_quote(text, at + 1, at + 1);
            if (depth == 0)
                return at < text.len ? at + 1 : at;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) /* the end of the object around a number, true, false, null */
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || strv_is_blank(c))) {
            return at;
        }
        at++;
    }
    return text.len;
}

/* Whether one of eight bytes is below 0x20, a quote or a backslash (Bit Twiddling Hacks,
 * "haszero"). */
static bool has_escape(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t quote = eight ^ ones * '"', slash = eight ^ ones * '\\';
    uint64_t hit =
        ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    return (hit & tops) != 0;
}
