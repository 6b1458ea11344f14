/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_mend - a state per place in the grammar, a step per byte.
 *
 *   START -> KEY -> STRING -> COLON -> VALUE -> STRING, TOKEN or a container -> AFTER -> KEY ... -> DONE
 *     |                                                                                       \
 *     +-> RAW  no JSON at all                                    FINISHED  failed: the rest is ignored
 *
 * Output takes one of two ways. Most bytes go straight to the buffer. From a comma or a key on they are
 * staged in `hold`, until the value begins: then all of it is sure and goes out (begin_value). Where no value
 * comes, it is dropped (drop_staged). Every correction sets `changed`; a byte that is not passed on as it came
 * must do so, or the result would lie.
 */
#include "base/json_mend.h"

#include <assert.h>

#include "base/utf8.h"

enum state {
    START,
    FENCE, /* inside the ``` */
    INFO,  /* inside the word behind it */
    KEY,
    BARE_KEY,
    COLON,
    VALUE,
    STRING,
    QUOTE, /* a ' inside '...': its end, or an apostrophe? */
    TOKEN,
    AFTER,     /* behind a value */
    TOP_AFTER, /* behind a number or word that is the whole text so far */
    DONE,
    SLASH,
    LINE_COMMENT,
    BLOCK_COMMENT,
    BLOCK_STAR,
    RAW,
    FINISHED,
    STATES
};

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* True: the byte is used up. False: the state is another one now, which takes the same byte. */
typedef bool (*step_fn)(struct json_mend *m, char c, struct buf *out);

static bool in_start(struct json_mend *m, char c, struct buf *out);
static bool in_fence(struct json_mend *m, char c, struct buf *out);
static bool in_info(struct json_mend *m, char c, struct buf *out);
static bool in_key(struct json_mend *m, char c, struct buf *out);
static bool in_bare_key(struct json_mend *m, char c, struct buf *out);
static bool in_colon(struct json_mend *m, char c, struct buf *out);
static bool in_value(struct json_mend *m, char c, struct buf *out);
static bool in_string(struct json_mend *m, char c, struct buf *out);
static bool in_quote(struct json_mend *m, char c, struct buf *out);
static bool in_token(struct json_mend *m, char c, struct buf *out);
static bool in_after(struct json_mend *m, char c, struct buf *out);
static bool in_top_after(struct json_mend *m, char c, struct buf *out);
static bool in_done(struct json_mend *m, char c, struct buf *out);
static bool in_slash(struct json_mend *m, char c, struct buf *out);
static bool in_line_comment(struct json_mend *m, char c, struct buf *out);
static bool in_block_comment(struct json_mend *m, char c, struct buf *out);
static bool in_raw(struct json_mend *m, char c, struct buf *out);
static bool in_finished(struct json_mend *m, char c, struct buf *out);

static const step_fn steps[] = {
    [START] = in_start,
    [FENCE] = in_fence,
    [INFO] = in_info,
    [KEY] = in_key,
    [BARE_KEY] = in_bare_key,
    [COLON] = in_colon,
    [VALUE] = in_value,
    [STRING] = in_string,
    [QUOTE] = in_quote,
    [TOKEN] = in_token,
    [AFTER] = in_after,
    [TOP_AFTER] = in_top_after,
    [DONE] = in_done,
    [SLASH] = in_slash,
    [LINE_COMMENT] = in_line_comment,
    [BLOCK_COMMENT] = in_block_comment,
    [BLOCK_STAR] = in_block_comment,
    [RAW] = in_raw,
    [FINISHED] = in_finished,
};
_Static_assert(sizeof steps / sizeof *steps == STATES, "one step per state");

static size_t plain_run(const struct json_mend *m, strv text);
static void put(struct json_mend *m, const char *text, size_t n, struct buf *out);
static void put_char(struct json_mend *m, char c, struct buf *out);
static void finish(struct json_mend *m, struct buf *out);
static void start_raw(struct json_mend *m, struct buf *out);
static void end_token(struct json_mend *m, bool at_end, struct buf *out);
static void end_top(struct json_mend *m, struct buf *out);

void json_mend_init(struct json_mend *m)
{
    *m = (struct json_mend){.state = START};
}

bool json_mend_feed(struct json_mend *m, strv piece, struct buf *out)
{
    size_t at = 0;
    while (at < piece.len) {
        size_t run = plain_run(m, strv_from(piece, at));
        if (run > 0) {
            put(m, piece.ptr + at, run, out);
            at += run;
        } else if (steps[m->state](m, piece.ptr[at], out)) {
            at++;
        }
    }
    return !out->failed;
}

enum json_mend_result json_mend_end(struct json_mend *m, struct buf *out)
{
    if (m->depth == 0)
        end_top(m, out);
    else if (m->state == TOKEN)
        end_token(m, true, out);
    if (m->state != DONE && m->state != FINISHED) {
        m->changed = true;
        finish(m, out);
    }
    m->state = FINISHED;
    return m->failed ? JSON_MEND_FAILED : m->changed ? JSON_MEND_FIXED : JSON_MEND_OK;
}

/* How many bytes of text pass as they are because a string is open. Only to be quick. */
static size_t plain_run(const struct json_mend *m, strv text)
{
    size_t n = 0;
    if (m->state != STRING || m->escape_len > 0 || m->part_len > 0)
        return 0;
    for (; n < text.len; n++) {
        unsigned char c = (unsigned char)text.ptr[n];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\' || c == (unsigned char)m->quote)
            break;
    }
    return n;
}

/* ---- output ---- */

static void flush(struct json_mend *m, struct buf *out)
{
    buf_put(out, m->hold, m->held);
    for (size_t i = 0; i < m->repeat; i++)
        buf_put_char(out, m->hold[sizeof m->hold - 1]); /* it is full then */
    m->held = 0;
    m->repeat = 0;
    m->staged = false;
}

static void drop_staged(struct json_mend *m)
{
    m->changed |= m->held > 0;
    m->held = 0;
    m->repeat = 0;
    m->staged = false;
}

static void put(struct json_mend *m, const char *text, size_t n, struct buf *out)
{
    if (m->staged &&
        n > sizeof m->hold - m->held) { /* a long key: it will get a value, if only null */
        flush(m, out);
        m->key_out = true;
    }
    if (m->staged) {
        memcpy(m->hold + m->held, text, n);
        m->held = (uint16_t)(m->held + n);
    } else {
        buf_put(out, text, n);
    }
}

static void put_char(struct json_mend *m, char c, struct buf *out)
{
    put(m, &c, 1, out);
}

/* Some models, asked for JSON, write blanks without end behind a comma. */
static bool put_blank(struct json_mend *m, char c, struct buf *out)
{
    if (!m->staged || m->held < sizeof m->hold)
        put_char(m, c, out);
    else if (c == m->hold[sizeof m->hold - 1])
        m->repeat++;
    else
        m->changed = true;
    return true;
}

static void stage(struct json_mend *m, char c, struct buf *out)
{
    m->staged = true;
    put_char(m, c, out);
}

static void begin_value(struct json_mend *m, struct buf *out)
{
    flush(m, out);
    m->key_out = false;
}

/* ---- containers ---- */

static bool is_object(const struct json_mend *m, unsigned n)
{
    return (m->objects[n / 64] >> n % 64 & 1) != 0;
}

static bool in_object(const struct json_mend *m)
{
    return is_object(m, m->depth - 1u);
}

static void open_container(struct json_mend *m, bool object)
{
    uint64_t bit = (uint64_t)1 << m->depth % 64;
    if (object)
        m->objects[m->depth / 64] |= bit;
    else
        m->objects[m->depth / 64] &= ~bit;
    m->depth++;
    m->state = object ? KEY : VALUE;
}

static void pop(struct json_mend *m, struct buf *out)
{
    buf_put_char(out, in_object(m) ? '}' : ']');
    m->depth--;
}

static void after_value(struct json_mend *m, struct buf *out)
{
    if (m->wrapped && m->depth == 1)
        pop(m, out);
    m->state = m->depth > 0 ? AFTER : DONE;
}

/* The text is none of ours from here on. Always true, so that a step can end with it. */
static bool fail(struct json_mend *m, struct buf *out)
{
    m->failed = m->changed = true;
    finish(m, out);
    return true;
}

/* Makes what went out so far a whole object. */
static void finish(struct json_mend *m, struct buf *out)
{
    if (m->state == SLASH || m->state == LINE_COMMENT || m->state == BLOCK_COMMENT ||
        m->state == BLOCK_STAR)
        m->state = m->back;
    m->part_len = m->escape_len = 0;
    bool text = m->state == STRING || m->state == QUOTE || m->state == BARE_KEY;
    drop_staged(m);
    if (text && (!m->in_key || m->key_out))
        buf_put_char(out, '"');
    if (m->key_out)
        buf_put_cstr(out, m->state == VALUE || m->state == TOKEN ? "null" : ":null");
    while (m->depth > 0)
        pop(m, out);
    m->state = FINISHED;
}

/* A closing bracket, wherever one may stand. */
static bool close_container(struct json_mend *m, char c, struct buf *out)
{
    unsigned least = m->wrapped ? 1 : 0, n = m->depth;
    if (m->key_out) {
        m->changed = true;
        buf_put_cstr(out, "null");
        m->key_out = false;
    }
    drop_staged(m);
    m->worded = false;
    while (n > least && is_object(m, n - 1) != (c == '}'))
        n--;
    if (n < m->depth || n == least)
        m->changed = m->mismatched = true;
    while (n > least && m->depth >= n)
        pop(m, out);
    after_value(m, out);
    return true;
}

static bool start_comment(struct json_mend *m)
{
    m->back = m->state;
    m->state = SLASH;
    return true;
}

/* The closing fence before the closing brackets. */
static bool close_fence(struct json_mend *m, struct buf *out)
{
    if (!m->fenced)
        return fail(m, out);
    finish(m, out);
    m->ended = true;
    m->state = DONE;
    return true;
}

/* ---- before the object ---- */

/* Kept for {"_raw":...}. A fence, its word, blanks and a token fit; more is never kept. */
static void note(struct json_mend *m, char c)
{
    assert(m->held < sizeof m->hold);
    m->hold[m->held++] = c;
}

static bool note_blank(struct json_mend *m, char c)
{
    if (m->held < 128)
        note(m, c);
    return true;
}

static void wrap(struct json_mend *m, struct buf *out)
{
    m->changed = m->wrapped = true;
    m->held = 0;
    buf_put_cstr(out, "{\"value\":");
    open_container(m, true);
    m->state = VALUE;
}

static bool in_start(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return m->held == 0 ? put_blank(m, c, out) : note_blank(m, c);
    if (c == '/')
        return start_comment(m);
    if (c == '{') {
        m->held = 0;
        m->state = VALUE;
        return false;
    }
    if (c == '[' || c == '"' || c == '\'') {
        wrap(m, out);
        return false;
    }
    if (json_word_letter(c)) {
        m->state = TOKEN;
        return false;
    }
    note(m, c);
    m->changed = true;
    if (c != '`')
        start_raw(m, out);
    else if (m->fenced)
        m->state = TOP_AFTER; /* nothing between the fences */
    else
        m->state = FENCE;
    return true;
}

static bool in_fence(struct json_mend *m, char c, struct buf *out)
{
    note(m, c);
    if (c != '`') {
        start_raw(m, out);
    } else if (++m->ticks == 2) {
        m->fenced = true;
        m->state = INFO;
    }
    return true;
}

static bool in_info(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c) || c == '{' || c == '[') {
        m->state = START;
        return false;
    }
    note(m, c);
    if (!json_word_letter(c) || m->held > 32)
        start_raw(m, out);
    return true;
}

static bool in_top_after(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return note_blank(m, c);
    if (c == '`' && m->fenced) {
        end_top(m, out);
        m->state = DONE;
        return true;
    }
    note(m, c);
    start_raw(m, out);
    return true;
}

static void start_raw(struct json_mend *m, struct buf *out)
{
    size_t n = m->held;
    m->held = 0;
    m->failed = m->changed = true;
    m->state = RAW;
    buf_put_cstr(out, "{\"_raw\":\"");
    for (size_t i = 0; i < n; i++)
        in_raw(m, m->hold[i], out);
}

/* ---- keys and values ---- */

static void begin_string(struct json_mend *m, char quote, struct buf *out)
{
    m->changed |= quote != '"';
    m->quote = quote;
    m->state = STRING;
    put_char(m, '"', out);
}

static void end_string(struct json_mend *m, struct buf *out)
{
    put_char(m, '"', out);
    if (m->in_key)
        m->state = COLON;
    else
        after_value(m, out);
}

static bool in_key(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return put_blank(m, c, out);
    if (c == '}' || c == ']')
        return close_container(m, c, out);
    if (c == '/')
        return start_comment(m);
    if (c == '`')
        return close_fence(m, out);
    m->changed |= c != '"';
    if (c == ',')
        return true; /* one too many */
    if (c != '"' && c != '\'' && c != '$' && !json_name_letter(c))
        return fail(m, out);
    m->in_key = m->staged = true;
    begin_string(m, c == '\'' ? c : '"', out);
    if (c == '"' || c == '\'')
        return true;
    m->state = BARE_KEY;
    return false;
}

static bool in_bare_key(struct json_mend *m, char c, struct buf *out)
{
    if (json_name_letter(c) || c == '$' || c == '-' || c == '.') {
        put_char(m, c, out);
        return true;
    }
    end_string(m, out);
    return false;
}

static bool in_colon(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return put_blank(m, c, out);
    if (c == '/')
        return start_comment(m);
    if (c != ':')
        return fail(m, out);
    put_char(m, c, out);
    m->state = VALUE;
    return true;
}

/* A comma instead of a value. In an array it is one too many; in an object the key before it has none. */
static bool comma_for_value(struct json_mend *m, struct buf *out)
{
    bool before = m->held > 0 && m->hold[0] == ',';
    m->changed = true;
    if (!in_object(m))
        return true;
    if (m->key_out)
        buf_put_cstr(out, "null");
    drop_staged(m);
    if (before || m->key_out)
        stage(m, ',', out);
    m->key_out = false;
    m->state = KEY;
    return true;
}

static bool in_value(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return put_blank(m, c, out);
    switch (c) {
    case '"':
    case '\'':
        begin_value(m, out);
        m->in_key = false;
        begin_string(m, c, out);
        return true;
    case '{':
    case '[':
        if (m->depth == JSON_DEPTH_MAX)
            return fail(m, out);
        begin_value(m, out);
        buf_put_char(out, c);
        open_container(m, c == '{');
        return true;
    case '}':
    case ']':
        return close_container(m, c, out);
    case ',':
        return comma_for_value(m, out);
    case '/':
        return start_comment(m);
    case '`':
        return close_fence(m, out);
    default:
        if (!json_word_letter(c))
            return fail(m, out);
        m->state = TOKEN;
        return false;
    }
}

static bool in_after(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c))
        return put_blank(m, c, out);
    if (c == '}' || c == ']')
        return close_container(m, c, out);
    if (c == '/')
        return start_comment(m);
    if (c == '`')
        return close_fence(m, out);
    bool quoted = c == '"' || c == '\'';
    bool another = quoted || (!in_object(m) && (c == '{' || c == '[' || (c >= '0' && c <= '9')));
    if (m->mismatched || (c != ',' && (m->worded || !another)))
        return fail(m, out);
    m->worded = false;
    m->changed |= c != ',';
    stage(m, ',', out);
    m->state = in_object(m) ? KEY : VALUE;
    return c == ',';
}

static bool in_done(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c) && !m->ended)
        return put_blank(m, c, out);
    if (strv_is_blank(c))
        return true;
    m->changed = m->ended = true;
    /* What was a bold reading by itself is a wrong one if more was meant. */
    if ((m->wrapped || m->mismatched) && c != '`' && c != '}' && c != ']')
        m->failed = true;
    return true;
}

/* ---- comments ---- */

static bool in_slash(struct json_mend *m, char c, struct buf *out)
{
    if (c == '/' || c == '*') {
        m->changed = true;
        m->state = c == '/' ? LINE_COMMENT : BLOCK_COMMENT;
        return true;
    }
    if (m->depth > 0)
        return fail(m, out);
    note(m, '/');
    start_raw(m, out);
    return false;
}

static bool in_line_comment(struct json_mend *m, char c, struct buf *out)
{
    (void)out;
    if (c != '\n')
        return true;
    m->state = m->back;
    return false;
}

static bool in_block_comment(struct json_mend *m, char c, struct buf *out)
{
    (void)out;
    if (m->state == BLOCK_STAR && c == '/')
        m->state = m->back;
    else
        m->state = c == '*' ? BLOCK_STAR : BLOCK_COMMENT;
    return true;
}

/* ---- strings ---- */

/* Bytes of 0x80 and above; a character goes out whole. */
static void put_high(struct json_mend *m, char c, struct buf *out)
{
    m->part[m->part_len++] = c;
    int n = utf8_char((strv){m->part, m->part_len});
    if (n == UTF8_CUT)
        return;
    bool alone = m->part_len == 1;
    m->part_len = 0;
    if (n > 0) {
        put(m, m->part, (size_t)n, out);
        return;
    }
    m->changed = true;
    put(m, REPLACEMENT, 3, out);
    if (!alone)
        put_high(m, c, out); /* it may begin the next one */
}

/* Before anything but a continuation. */
static void end_part(struct json_mend *m, struct buf *out)
{
    if (m->part_len == 0)
        return;
    m->part_len = 0;
    m->changed = true;
    put(m, REPLACEMENT, 3, out);
}

static void put_escaped(struct json_mend *m, char c, struct buf *out)
{
    char escape[6];
    m->changed = true;
    put(m, escape, json_escape(c, escape), out);
}

static unsigned escape_unit(const char *escape)
{
    unsigned u = 0;
    for (int i = 2; i < 6; i++)
        u = u << 4 | (unsigned)strv_hex(escape[i]);
    return u;
}

/* The first six bytes of `escape` stand for half a character. */
static void put_lone_surrogate(struct json_mend *m, struct buf *out)
{
    m->changed = true;
    put(m, "\\ufffd", 6, out);
    m->escape_len = (uint8_t)(m->escape_len - 6);
    memmove(m->escape, m->escape + 6, m->escape_len);
}

/* One or two whole \uXXXX. A high surrogate waits for the low one. */
static void end_unit(struct json_mend *m, struct buf *out)
{
    if (m->escape_len == 12) {
        if (escape_unit(m->escape + 6) >> 10 != 0xdc00 >> 10) {
            put_lone_surrogate(m, out);
            end_unit(m, out);
            return;
        }
    } else if (escape_unit(m->escape) >> 10 == 0xdc00 >> 10) {
        put_lone_surrogate(m, out);
        return;
    } else if (escape_unit(m->escape) >> 10 == 0xd800 >> 10) {
        return;
    }
    put(m, m->escape, m->escape_len, out);
    m->escape_len = 0;
}

/* The byte does not go on with what `escape` holds: a backslash that escapes nothing was meant as one. */
static bool break_escape(struct json_mend *m, struct buf *out)
{
    if (m->escape_len >= 6) {
        put_lone_surrogate(m, out);
        return false;
    }
    m->changed = true;
    put_char(m, '\\', out);
    put(m, m->escape, m->escape_len, out);
    m->escape_len = 0;
    return false;
}

static bool in_escape(struct json_mend *m, char c, struct buf *out)
{
    if (m->escape_len == 1 && c != 'u' && c != '\0' && strchr("\"\\/bfnrt'", c) != NULL) {
        bool needless = c == '\'';
        m->changed |= needless;
        put(m, (char[]){'\\', c} + needless, needless ? 1 : 2, out);
        m->escape_len = 0;
        return true;
    }
    size_t at = m->escape_len % 6;
    if (at == 0 ? c != '\\' : at == 1 ? c != 'u' : strv_hex(c) < 0)
        return break_escape(m, out);
    m->escape[m->escape_len++] = c;
    if (at == 5)
        end_unit(m, out);
    return true;
}

static bool in_string(struct json_mend *m, char c, struct buf *out)
{
    if (m->escape_len > 0)
        return in_escape(m, c, out);
    if ((c & 0x80) != 0) {
        put_high(m, c, out);
        return true;
    }
    end_part(m, out);
    if (c == '\\')
        m->escape[m->escape_len++] = c;
    else if (c == m->quote && c == '\'')
        m->state = QUOTE;
    else if (c == m->quote)
        end_string(m, out);
    else if (c == '"' || (unsigned char)c < 0x20)
        put_escaped(m, c, out);
    else
        put_char(m, c, out);
    return true;
}

/* 'it's': an apostrophe, since nothing that may follow a string follows. */
static bool in_quote(struct json_mend *m, char c, struct buf *out)
{
    if (strv_is_blank(c) || c == ',' || c == ':' || c == '}' || c == ']' || c == '/' || c == '`') {
        end_string(m, out);
    } else {
        put_char(m, '\'', out);
        m->state = STRING;
    }
    return false;
}

static bool in_raw(struct json_mend *m, char c, struct buf *out)
{
    if ((c & 0x80) != 0) {
        put_high(m, c, out);
        return true;
    }
    end_part(m, out);
    json_put_esc(out, (strv){&c, 1});
    return true;
}

static bool in_finished(struct json_mend *m, char c, struct buf *out)
{
    (void)m;
    (void)c;
    (void)out;
    return true;
}

/* ---- numbers and words ---- */

static bool in_token(struct json_mend *m, char c, struct buf *out)
{
    if (!json_word_letter(c)) {
        end_token(m, false, out);
        return false;
    }
    if (m->depth == 0)
        note(m, c);
    if (m->word_len < sizeof m->word)
        m->word[m->word_len++] = c;
    else if (m->depth == 0)
        start_raw(m, out);
    else
        fail(m, out);
    return true;
}

static void end_token(struct json_mend *m, bool at_end, struct buf *out)
{
    char room[JSON_WORD_ROOM];
    strv word = {m->word, m->word_len};
    strv json = json_word_value(word, at_end && m->depth > 0, room);
    if (m->depth == 0) {
        m->state = TOP_AFTER;
        if (json.ptr == NULL)
            start_raw(m, out);
        return;
    }
    if (json.ptr == NULL) {
        json = json_word_quoted(word, room);
        m->worded = true;
    }
    if (json.ptr == NULL) {
        m->word_len = 0;
        if (!at_end || word.len > 1) /* a lone sign at the end is only cut short */
            fail(m, out);
        return;
    }
    m->changed |= !strv_eq(json, word);
    m->word_len = 0;
    begin_value(m, out);
    buf_put_strv(out, json);
    after_value(m, out);
}

/* The end of a text of which no container is open. */
static void end_top(struct json_mend *m, struct buf *out)
{
    char room[JSON_WORD_ROOM];
    if (m->state == DONE || m->state == FINISHED)
        return;
    m->changed = true;
    if (m->state == TOKEN)
        end_token(m, true, out);
    if (m->state == SLASH && m->back == START)
        note(m, '/');
    if (m->state == FENCE || m->state == INFO || m->state == SLASH)
        start_raw(m, out);
    if (m->state == RAW) {
        end_part(m, out);
        buf_put_cstr(out, "\"}");
    } else if (m->word_len > 0) {
        wrap(m, out);
        buf_put_strv(out, json_word_value((strv){m->word, m->word_len}, false, room));
        pop(m, out);
    } else {
        buf_put_cstr(out, "{}");
    }
    m->state = FINISHED;
}
