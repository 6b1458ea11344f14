/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step shortens the text or leaves its length alone, so all of them work in place, on two arrays that
 * belong together: bytes, and where each byte comes from.
 *
 *   take    raw bytes, a JSON string's escapes undone
 *   undo    escapes of other kinds, again while there are any: text is escaped more than once
 *   fold    characters outside ASCII to what they look like or stand for (fold.def)
 *   mix     letters of other scripts inside words that have Latin ones (lookalike.def)
 *   lower   the second view
 *
 * Most texts are ASCII without any escape: a first look at the bytes tells, and then `plain` is the raw text.
 */
#include "text/normal.h"

#include <string.h>

#include "text/eight.h"

struct text_scratch {
    char *plain, *folded;
    uint32_t *at, *starts;
    size_t n, cap, n_starts, starts_cap;
    unsigned seen; /* of the text since text_begin() */
    bool invalid, odd, failed;
    uint64_t scripts;
};

/* What a byte may mean to one of the steps. */
enum { SEEN_HIGH = 1, SEEN_BACKSLASH = 2, SEEN_MARK = 4, SEEN_CONTROL = 8 };

struct text_scratch *text_scratch_new(void)
{
    return mem_zalloc(sizeof(struct text_scratch));
}

void text_scratch_free(struct text_scratch *s)
{
    if (s == NULL)
        return;
    mem_free_secret(s->plain, s->cap);
    mem_free_secret(s->folded, s->cap);
    mem_free_secret(s->at, s->cap * sizeof *s->at);
    mem_free(s->starts);
    mem_free(s);
}

static void *grown(void *old, size_t old_size, size_t size)
{
    void *p = mem_alloc(size);
    if (p != NULL && old != NULL)
        memcpy(p, old, old_size);
    if (p != NULL)
        mem_free_secret(old, old_size); /* it held somebody's words */
    return p;
}

/* Room for n more bytes, and one after the end. */
static bool room(struct text_scratch *s, size_t n)
{
    if (n < s->cap - s->n)
        return true;
    size_t cap = s->cap < 4096 ? 4096 : s->cap;
    while (cap - s->n <= n) {
        if (cap > (size_t)1 << 31)
            return false;
        cap *= 2;
    }
    char *plain = grown(s->plain, s->cap, cap);
    if (plain == NULL)
        return false;
    s->plain = plain;
    char *folded = grown(s->folded, s->cap, cap);
    if (folded == NULL)
        return false;
    s->folded = folded;
    uint32_t *at = grown(s->at, s->cap * sizeof *at, cap * sizeof *at);
    if (at == NULL)
        return false;
    s->at = at;
    s->cap = cap;
    return true;
}

/* ---- a first look ---- */

static unsigned look(strv raw)
{
    unsigned char high = 0, backslash = 0, mark = 0, control = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        high |= c;
        backslash |= (unsigned char)(c == '\\');
        mark |= (unsigned char)((c == '&') | (c == '%'));
        control |=
            (unsigned char)(((c < ' ') & (c != '\n') & (c != '\t') & (c != '\r')) | (c == 127));
    }
    return (high >= 0x80 ? SEEN_HIGH : 0u) | (backslash != 0 ? SEEN_BACKSLASH : 0u) |
           (mark != 0 ? SEEN_MARK : 0u) | (control != 0 ? SEEN_CONTROL : 0u);
}

/* Many bytes at once, for which the compiler has wider instructions. */
enum { WIDE = 32 };

static bool wide_has_escape(const char *p)
{
    unsigned char found = 0;
    for (size_t k = 0; k < WIDE; k++)
        found |= (unsigned char)((p[k] == '\\') | (p[k] == '&') | (p[k] == '%'));
    return found != 0;
}

static bool wide_is_ascii(const char *p)
{
    unsigned char found = 0;
    for (size_t k = 0; k < WIDE; k++)
        found |= (unsigned char)(((unsigned char)(p[k] - ' ') > '~' - ' ') & (p[k] != '\n'));
    return found == 0;
}

static bool wide_has_high(const char *p)
{
    unsigned char high = 0;
    for (size_t k = 0; k < WIDE; k++)
        high |= (unsigned char)p[k];
    return high >= 0x80;
}

/* How many bytes have nothing that undo() looks for; in whole eights while they last. */
static size_t run_without_escape(const char *p, size_t n)
{
    size_t i = 0;
    while (i + WIDE <= n && !wide_has_escape(p + i))
        i += WIDE;
    for (; i + 8 <= n; i += 8) {
        uint64_t v = eight_at(p + i);
        uint64_t found = eight_is(v, '\\') | eight_is(v, '&') | eight_is(v, '%');
        if (found != 0)
            return i + eight_first(found);
    }
    return i;
}

/* The same for fold(): nothing but ASCII, and no controls but the ends of lines. */
static size_t run_of_ascii(const char *p, size_t n)
{
    size_t i = 0;
    while (i + WIDE <= n && wide_is_ascii(p + i))
        i += WIDE;
    for (; i + 8 <= n; i += 8) {
        uint64_t v = eight_at(p + i), line = eight_is(v, '\n');
        uint64_t found = ~eight_between(v, ' ', '~') & ~line & EIGHT_HIGHEST;
        if (found != 0)
            return i + eight_first(found);
    }
    return i;
}

static size_t run_without_high(const char *p, size_t n)
{
    size_t i = 0;
    while (i + WIDE <= n && !wide_has_high(p + i))
        i += WIDE;
    while (i + 8 <= n && (eight_at(p + i) & EIGHT_HIGHEST) == 0)
        i += 8;
    return i;
}

static bool has_high(const char *p, size_t n)
{
    unsigned char high = 0;
    for (size_t i = 0; i < n; i++)
        high |= (unsigned char)p[i];
    return high >= 0x80;
}

/* A run that stays as it is moves to where the text has come to. */
static void move_run(struct text_scratch *s, size_t to, size_t from, size_t n)
{
    if (to == from)
        return;
    memmove(s->plain + to, s->plain + from, n);
    memmove(s->at + to, s->at + from, n * sizeof *s->at);
}

static void lower(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)from[i];
        to[i] = (char)(c + ((unsigned char)((unsigned char)(c - 'A') < 26) << 5));
    }
}

/* Big letters of Greek and Cyrillic that no step made Latin; their small ones are as long. */
static void lower_others(char *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        i += run_without_high(p + i, n - i);
        if (i + 1 >= n)
            return;
        unsigned char a = (unsigned char)p[i], b = (unsigned char)p[i + 1];
        unsigned cp = (a & 31u) << 6 | (b & 63u);
        if ((a & 0xE0) != 0xC0)
            continue;
        if ((cp >= 0x391 && cp <= 0x3A9) || (cp >= 0x410 && cp <= 0x42F))
            cp += 32;
        else if (cp >= 0x400 && cp <= 0x40F)
            cp += 80;
        p[i] = (char)(0xC0 | cp >> 6);
        p[i + 1] = (char)(0x80 | (cp & 63));
    }
}

/* ---- characters ---- */

static size_t put_char(char *p, uint32_t cp)
{
    if (cp < 0x80) {
        p[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        p[0] = (char)(0xC0 | cp >> 6);
        p[1] = (char)(0x80 | (cp & 63));
        return 2;
    }
    if (cp < 0x10000) {
        p[0] = (char)(0xE0 | cp >> 12);
        p[1] = (char)(0x80 | (cp >> 6 & 63));
        p[2] = (char)(0x80 | (cp & 63));
        return 3;
    }
    p[0] = (char)(0xF0 | cp >> 18);
    p[1] = (char)(0x80 | (cp >> 12 & 63));
    p[2] = (char)(0x80 | (cp >> 6 & 63));
    p[3] = (char)(0x80 | (cp & 63));
    return 4;
}

/* The character at the beginning of a text that is valid there. */
static uint32_t get_char(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    return len == 1   ? p[0]
           : len == 2 ? (p[0] & 31u) << 6 | (p[1] & 63u)
           : len == 3 ? (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u)
                      : (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *p, size_t n)
{
    int32_t v = 0;
    if (n < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d = strv_hex(p[i]);
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

/* What stands behind "\u": a character and how many bytes its escape has, the first two included; 0 = none. */
static size_t unicode_escape(const char *p, size_t n, uint32_t *cp)
{
    int32_t a = n > 2 ? hex4(p + 2, n - 2) : -1;
    if (a < 0 || (a >= 0xDC00 && a < 0xE000))
        return 0;
    *cp = (uint32_t)a;
    if (a < 0xD800 || a >= 0xE000)
        return 6;
    if (n < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    int32_t b = hex4(p + 8, n - 8);
    if (b < 0xDC00 || b >= 0xE000)
        return 0;
    *cp = 0x10000 + (((uint32_t)a & 0x3FF) << 10 | ((uint32_t)b & 0x3FF));
    return 12;
}

/* ---- take ---- */

static void take_plain(struct text_scratch *s, strv raw, size_t place)
{
    memcpy(s->plain + s->n, raw.ptr, raw.len);
    for (size_t i = 0; i < raw.len; i++)
        s->at[s->n + i] = (uint32_t)(place + i);
    s->n += raw.len;
}

/* One escape of JSON at p; the bytes it has, 0 if JSON knows none such. */
static size_t json_unescape(const char *p, size_t n, uint32_t *cp)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *which = n >= 2 && p[1] != '\0' ? strchr(names, p[1]) : NULL;
    if (which != NULL) {
        *cp = (unsigned char)meant[which - names];
        return 2;
    }
    return n >= 2 && p[1] == 'u' ? unicode_escape(p, n, cp) : 0;
}

size_t text_json_escape(strv text, char *to, size_t *made)
{
    uint32_t cp = 0;
    size_t used = json_unescape(text.ptr, text.len, &cp);
    *made = used > 0 ? put_char(to, cp) : 0;
    return used;
}

static void take_json(struct text_scratch *s, strv raw, size_t place)
{
    for (size_t i = 0; i < raw.len;) {
        const char *next = memchr(raw.ptr + i, '\\', raw.len - i);
        size_t run = (next != NULL ? (size_t)(next - raw.ptr) : raw.len) - i;
        take_plain(s, (strv){raw.ptr + i, run}, place + i);
        i += run;
        if (next == NULL)
            return;
        uint32_t cp = 0;
        size_t used = json_unescape(next, raw.len - i, &cp);
        if (used == 0) {
            s->invalid = true;
            take_plain(s, (strv){next, raw.len - i}, place + i);
            return;
        }
        size_t made = put_char(s->plain + s->n, cp);
        for (size_t k = 0; k < made; k++)
            s->at[s->n + k] = (uint32_t)(place + i);
        s->n += made;
        i += used;
    }
}

/* ---- undo ---- */

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

enum { PATH_MAX_BYTES = 256 }; /* so far is the begin of a path looked for */

/* "\n" in front of a small letter may be an escape or the begin of a word of TeX ("\nabla") or of a path
 * ("C:\new"). The escape is far more frequent, so only what is surely the other is left alone. */
static bool is_command(const char *text, size_t at, size_t n)
{
    static const char *const tex[] = {"nabla", "neq",   "newline", "newcommand", "nu",  "not",
                                      "theta", "tau",   "times",   "text",       "tan", "top",
                                      "rho",   "right", "rangle",  "ref",        "rm",  NULL};
    const char *p = text + at + 1;
    size_t left = n - at - 1;
    for (size_t k = 0; tex[k] != NULL; k++) {
        size_t len = strlen(tex[k]);
        if (left >= len && memcmp(p, tex[k], len) == 0 && (left == len || !is_alnum(p[len])))
            return true;
    }
    for (int k = 0;
         k < PATH_MAX_BYTES && at > 0 && !strv_is_blank(text[at - 1]) && text[at - 1] != '"'; k++)
        at--;
    return n - at > 2 && ((is_alnum(text[at]) && text[at + 1] == ':' && text[at + 2] == '\\') ||
                          (text[at] == '\\' && text[at + 1] == '\\'));
}

static size_t undo_backslash(const char *text, size_t at, size_t n, uint32_t *cp)
{
    const char *p = text + at;
    size_t left = n - at;
    if (left < 2)
        return 0;
    switch (p[1]) {
    case 'u':
        return unicode_escape(p, left, cp);
    case 'x':
        if (left < 4 || strv_hex(p[2]) < 0 || strv_hex(p[3]) < 0)
            return 0;
        *cp = (uint32_t)(strv_hex(p[2]) << 4 | strv_hex(p[3]));
        return *cp < 0x80 ? 4 : 0;
    case '"':
    case '\'':
    case '/':
    case '\\':
        *cp = (unsigned char)p[1];
        return 2;
    case 'n':
    case 'r':
    case 't':
        *cp = p[1] == 't' ? '\t' : '\n';
        return is_command(text, at, n) ? 0 : 2;
    default:
        return 0;
    }
}

/* "&#123;" and "&#x7b;" */
static size_t undo_number(const char *p, size_t n, uint32_t *cp)
{
    bool hex = n > 3 && (p[2] | 32) == 'x';
    size_t i = hex ? 3 : 2;
    uint32_t v = 0;
    for (; i < n && i < 10 && p[i] != ';'; i++) {
        int d = strv_hex(p[i]);
        if (d < 0 || (!hex && d > 9))
            return 0;
        v = v * (hex ? 16 : 10) + (uint32_t)d;
    }
    if (i >= n || p[i] != ';' || v == 0 || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
        return 0;
    *cp = v;
    return i + 1;
}

static size_t undo_reference(const char *p, size_t n, uint32_t *cp)
{
    static const struct {
        const char *name;
        char meant;
    } names[] = {{"amp;", '&'},    {"lt;", '<'},     {"gt;", '>'},     {"quot;", '"'},
                 {"apos;", '\''},  {"nbsp;", ' '},   {"shy;", 0x1F},   {"zwnj;", 0x1F},
                 {"zwj;", 0x1F},   {"ndash;", '-'},  {"mdash;", '-'},  {"rsquo;", '\''},
                 {"lsquo;", '\''}, {"ldquo;", '"'},  {"rdquo;", '"'},  {"szlig;", 's'},
                 {"aelig;", 'e'},  {"commat;", '@'}, {"period;", '.'}, {"colon;", ':'}};
    static const char *const marks[] = {"acute;", "grave;", "circ;",  "tilde;", "uml;",
                                        "cedil;", "ring;",  "slash;", "caron;", NULL};
    if (n > 2 && p[1] == '#')
        return undo_number(p, n, cp);
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        size_t len = strlen(names[k].name);
        if (n > len && memcmp(p + 1, names[k].name, len) == 0) {
            *cp = (unsigned char)names[k].meant;
            return len + 1;
        }
    }
    for (size_t k = 0; marks[k] != NULL; k++) {
        size_t len = strlen(marks[k]);
        if (n > len + 1 && is_alnum(p[1]) && memcmp(p + 2, marks[k], len) == 0) {
            *cp = (unsigned char)p[1]; /* marks are left out anyway */
            return len + 2;
        }
    }
    return 0;
}

/* A character as one to four percent escapes; only what is one in UTF-8. */
static size_t undo_percent(const char *p, size_t n, uint32_t *cp)
{
    char bytes[4];
    size_t k = 0;
    while (k < 4 && n >= 3 * k + 3 && p[3 * k] == '%') {
        int a = strv_hex(p[3 * k + 1]), b = strv_hex(p[3 * k + 2]);
        if (a < 0 || b < 0)
            break;
        bytes[k++] = (char)(a << 4 | b);
    }
    int len = k > 0 ? utf8_char((strv){bytes, k}) : 0;
    if (len <= 0)
        return 0;
    *cp = get_char(bytes, (size_t)len);
    return *cp < ' ' && *cp != '\n' && *cp != '\t' && *cp != '\r' ? 0 : (size_t)len * 3;
}

/* Once over the bytes from `from` on. True: something was undone. */
static bool undo(struct text_scratch *s, size_t from)
{
    size_t to = from, n = s->n;
    char *p = s->plain;
    for (size_t i = from; i < n;) {
        uint32_t cp = 0;
        size_t run = run_without_escape(p + i, n - i);
        if (run > 0) {
            move_run(s, to, i, run);
            to += run;
            i += run;
            continue;
        }
        size_t used = p[i] == '\\'  ? undo_backslash(p, i, n, &cp)
                      : p[i] == '&' ? undo_reference(p + i, n - i, &cp)
                      : p[i] == '%' ? undo_percent(p + i, n - i, &cp)
                                    : 0;
        uint32_t place = s->at[i];
        if (used == 0) {
            p[to] = p[i++];
            s->at[to++] = place;
            continue;
        }
        size_t made = put_char(p + to, cp);
        for (size_t k = 0; k < made; k++)
            s->at[to + k] = place;
        to += made;
        i += used;
    }
    s->n = to;
    return to < n;
}

/* ---- fold ---- */

struct fold_row {
    uint32_t first, last;
    char to[4];
    uint8_t len;
};
static const struct fold_row folds[] = {
#define FOLD(first, last, to) {first, last, to, sizeof(to) - 1},
#include "text/fold.def"
#undef FOLD
};
struct lookalike {
    uint32_t cp;
    char to;
};
static const struct lookalike lookalikes[] = {
#define LOOKALIKE(cp, to) {cp, to},
#include "text/lookalike.def"
#undef LOOKALIKE
};

static const struct fold_row *find_fold(uint32_t cp)
{
    size_t low = 0, high = sizeof folds / sizeof folds[0];
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (cp < folds[mid].first)
            high = mid;
        else if (cp > folds[mid].last)
            low = mid + 1;
        else
            return &folds[mid];
    }
    return NULL;
}

static char find_lookalike(uint32_t cp)
{
    size_t low = 0, high = sizeof lookalikes / sizeof lookalikes[0];
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (cp == lookalikes[mid].cp)
            return lookalikes[mid].to;
        if (cp < lookalikes[mid].cp)
            high = mid;
        else
            low = mid + 1;
    }
    return '\0';
}

/* The script of a letter outside ASCII, 0 = no letter. Coarse: blocks that hold letters at all. */
static uint64_t script_of(uint32_t cp)
{
    static const uint32_t blocks[][2] = {{0x531, 0x1DFF},    {0x2C00, 0x2DFF},  {0x3005, 0x3007},
                                         {0x3041, 0x318F},   {0x31A0, 0x31BF},  {0x31F0, 0x31FF},
                                         {0x3400, 0x4DBF},   {0x4E00, 0xA6FF},  {0xA800, 0xABFF},
                                         {0xAC00, 0xD7FF},   {0xF900, 0xFAFF},  {0xFB13, 0xFDFF},
                                         {0xFE70, 0xFEFE},   {0xFF66, 0xFFDC},  {0x10000, 0x1BFFF},
                                         {0x1E000, 0x1EFFF}, {0x20000, 0x3FFFF}};
    if (cp < 0x250 || (cp >= 0x1E00 && cp < 0x1F00) || (cp >= 0xA720 && cp < 0xA800))
        return cp == 0xD7 || cp == 0xF7 || cp < 0xC0 ? 0 : TEXT_LATIN;
    if (cp < 0x370)
        return cp < 0x2B0 ? TEXT_LATIN : 0;
    if (cp < 0x400 || (cp >= 0x1F00 && cp < 0x2000))
        return TEXT_GREEK;
    if (cp < 0x530)
        return TEXT_CYRILLIC;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (cp >= blocks[i][0] && cp <= blocks[i][1])
            return TEXT_OTHER_SCRIPT;
    return 0;
}

/* One character of `len` bytes at p; what takes its place is written to `to`, and its length returned. */
static size_t fold_one(struct text_scratch *s, const char *p, size_t len, char *to)
{
    uint32_t cp = get_char(p, len);
    const struct fold_row *row = find_fold(cp);
    if (row == NULL) {
        s->scripts |= script_of(cp);
        memmove(to, p, len);
        return len;
    }
    s->odd = s->odd || row->len == 0;
    memcpy(to, row->to, row->len);
    if (row->len == 1)
        to[0] = (char)(to[0] + (char)(cp - row->first));
    return row->len;
}

static void fold(struct text_scratch *s, size_t from)
{
    size_t to = from;
    char *p = s->plain;
    for (size_t i = from; i < s->n;) {
        size_t run = run_of_ascii(p + i, s->n - i);
        if (run > 0) {
            move_run(s, to, i, run);
            to += run;
            i += run;
            continue;
        }
        unsigned char c = (unsigned char)p[i];
        uint32_t place = s->at[i];
        size_t len = 1, made = 1;
        if (c >= 0x80) {
            int whole = utf8_char((strv){p + i, s->n - i});
            len = whole > 0 ? (size_t)whole : 1;
            s->invalid = s->invalid || whole <= 0;
        }
        if (len > 1) {
            made = fold_one(s, p + i, len, p + to);
        } else if ((c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 127) {
            made = c == '\v' || c == '\f' ? 1 : 0;
            p[to] = '\n';
            s->odd = s->odd || made == 0;
        } else {
            p[to] = (char)c;
        }
        for (size_t k = 0; k < made; k++)
            s->at[to + k] = place;
        to += made;
        i += len;
    }
    s->n = to;
}

/* ---- mix ---- */

static size_t char_len(const char *p) /* of a text that is valid */
{
    unsigned char c = (unsigned char)*p;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static bool in_word(const char *p)
{
    return is_alnum(*p) || *p == '\'' || (unsigned char)*p >= 0x80;
}

static size_t mix_word(struct text_scratch *s, size_t i, size_t end, size_t to, bool mixed)
{
    while (i < end) {
        size_t len = char_len(s->plain + i);
        char like = mixed && len > 1 ? find_lookalike(get_char(s->plain + i, len)) : '\0';
        uint32_t place = s->at[i];
        size_t made = like != '\0' ? 1 : len;
        if (like != '\0') {
            s->plain[to] = like;
            s->odd = true;
        } else {
            memmove(s->plain + to, s->plain + i, len);
        }
        for (size_t k = 0; k < made; k++)
            s->at[to + k] = place;
        to += made;
        i += len;
    }
    return to;
}

/* Words of ASCII alone are passed over, up to the begin of one that may be another. */
static size_t next_word_with_high(const struct text_scratch *s, size_t i)
{
    size_t next = i + run_without_high(s->plain + i, s->n - i);
    while (next > i && in_word(s->plain + next - 1))
        next--;
    return next;
}

static void mix(struct text_scratch *s, size_t from)
{
    size_t to = from;
    for (size_t i = from; i < s->n;) {
        size_t next = next_word_with_high(s, i);
        move_run(s, to, i, next - i);
        to += next - i;
        i = next;
        if (i == s->n)
            break;
        size_t end = i;
        bool latin = false, other = false;
        while (end < s->n && in_word(s->plain + end)) {
            latin = latin || is_alnum(s->plain[end]);
            other = other || (unsigned char)s->plain[end] >= 0x80;
            end += char_len(s->plain + end);
        }
        if (end == i)
            end = i + 1;
        to = mix_word(s, i, end, to, latin && other);
        i = end;
    }
    s->n = to;
}

/* The scripts once more: of what is left after letters were folded. */
static void count_scripts(struct text_scratch *s, size_t from)
{
    for (size_t i = from; i < s->n; i += char_len(s->plain + i)) {
        i += run_without_high(s->plain + i, s->n - i);
        if (i == s->n)
            return;
        if ((unsigned char)s->plain[i] >= 0x80)
            s->scripts |= script_of(get_char(s->plain + i, char_len(s->plain + i)));
    }
}

/* ---- the steps in order ---- */

enum { ROUNDS = 4 }; /* so often is a text escaped at most */

static void steps(struct text_scratch *s, size_t from, unsigned seen)
{
    if ((seen & (SEEN_BACKSLASH | SEEN_MARK)) != 0) {
        bool undone = false;
        for (int round = 0; round < ROUNDS && undo(s, from); round++)
            undone = true;
        seen |= undone ? look((strv){s->plain + from, s->n - from}) : 0u;
    }
    if ((seen & (SEEN_HIGH | SEEN_CONTROL)) == 0)
        return;
    uint64_t before = s->scripts;
    s->scripts = 0;
    fold(s, from);
    if (s->invalid)
        return;
    if ((s->scripts & ~(uint64_t)TEXT_LATIN) != 0) {
        mix(s, from);
        s->scripts = 0;
        count_scripts(s, from);
    }
    s->scripts |= before;
}

void text_begin(struct text_scratch *s)
{
    s->n = s->n_starts = 0;
    s->seen = 0;
    s->scripts = 0;
    s->invalid = s->odd = s->failed = false;
}

/* A piece of which a first look has told what it has. */
static bool add_seen(struct text_scratch *s, strv piece, size_t place, enum text_escapes escapes,
                     unsigned seen)
{
    if (piece.len + place > (size_t)1 << 31 || !room(s, piece.len)) {
        s->failed = true;
        return false;
    }
    size_t from = s->n;
    if (escapes == TEXT_JSON_STRING && (seen & SEEN_BACKSLASH) != 0) {
        take_json(s, piece, place);
        seen = look((strv){s->plain + from, s->n - from});
    } else {
        take_plain(s, piece, place);
    }
    if (seen != 0)
        steps(s, from, seen);
    return true;
}

bool text_add(struct text_scratch *s, strv piece, size_t place, enum text_escapes escapes)
{
    return piece.len == 0 || add_seen(s, piece, place, escapes, look(piece));
}

bool text_add_own(struct text_scratch *s, strv words, size_t place)
{
    if (!room(s, words.len)) {
        s->failed = true;
        return false;
    }
    memcpy(s->plain + s->n, words.ptr, words.len);
    for (size_t i = 0; i < words.len; i++)
        s->at[s->n + i] = (uint32_t)place;
    s->n += words.len;
    return true;
}

size_t text_added(const struct text_scratch *s)
{
    return s->n;
}

bool text_mark(struct text_scratch *s)
{
    if (s->n_starts == s->starts_cap) {
        size_t cap = s->starts_cap > 0 ? 2 * s->starts_cap : 64;
        uint32_t *more = mem_realloc(s->starts, cap * sizeof *more);
        if (more == NULL) {
            s->failed = true;
            return false;
        }
        s->starts = more;
        s->starts_cap = cap;
    }
    s->starts[s->n_starts++] = (uint32_t)s->n;
    return true;
}

void text_keep(struct text_scratch *s, size_t n)
{
    size_t from = s->n > n ? s->n - n : 0;
    while (from > 0 && from < s->n && s->plain[from - 1] != ' ' && s->plain[from - 1] != '\n')
        from++;
    if (from == 0)
        return;
    memmove(s->plain, s->plain + from, s->n - from);
    memmove(s->at, s->at + from, (s->n - from) * sizeof *s->at);
    s->n -= from;
    size_t kept = 0;
    for (size_t i = 0; i < s->n_starts; i++)
        if (s->starts[i] >= from)
            s->starts[kept++] = s->starts[i] - (uint32_t)from;
    s->n_starts = kept;
}

static void fill(const struct text_scratch *s, strv raw, strv plain, struct text_view *out)
{
    bool high = !s->invalid && has_high(plain.ptr, plain.len);
    bool letters = s->n > 0;
    if (high)
        lower_others(s->folded, plain.len);
    *out = (struct text_view){.raw = raw,
                              .plain = plain.ptr,
                              .folded = s->folded,
                              .n = plain.len,
                              .ascii = !high && !s->invalid,
                              .invalid = s->invalid,
                              .odd = s->odd,
                              .scripts = s->scripts | (letters ? (uint64_t)TEXT_LATIN : 0),
                              .starts = s->starts,
                              .n_starts = s->n_starts};
}

bool text_end(struct text_scratch *s, strv document, struct text_view *out)
{
    if (s->failed || !room(s, 1))
        return false;
    lower(s->folded, s->plain, s->n);
    s->at[s->n] = s->n > 0 ? (uint32_t)document.len : 0;
    s->plain[s->n] = s->folded[s->n] = '\0';
    fill(s, document, (strv){s->plain, s->n}, out);
    out->at = s->at;
    return true;
}

bool text_normalise(struct text_scratch *s, strv raw, enum text_escapes escapes,
                    struct text_view *out)
{
    text_begin(s);
    if (raw.len > (size_t)1 << 31)
        return false;
    unsigned seen = look(raw);
    if (seen != 0)
        return add_seen(s, raw, 0, escapes, seen) && text_end(s, raw, out);
    if (!room(s, raw.len + 1))
        return false;
    strv plain = raw.ptr != NULL ? raw : STRV("");
    lower(s->folded, plain.ptr, plain.len);
    s->folded[plain.len] = '\0';
    s->n = plain.len;
    fill(s, plain, plain, out);
    return true;
}
