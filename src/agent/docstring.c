/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docstring - what a Python server sends as a description: a paragraph, then sections. See slim.h.
 *
 *   Validate a schedule.                    <- the description
 *
 *   Args:
 *       start: First day                    <- notes of the parameters
 *           of the period.
 *       end (str, optional): Last day
 *   Returns: ...                            <- of no use before a call
 */
#include "agent/slim.h"

#define DESCRIPTION_MAX 240 /* bytes: two sentences; each tool's counts eight times in a menu */
#define ARGUMENT_MAX    120

/* ---- lines ---- */

struct line {
    strv text; /* trimmed */
    size_t indent;
};

static bool next_line(strv *rest, struct line *out)
{
    strv raw;
    if (!strv_cut(rest, '\n', &raw))
        return false;
    out->text = strv_trim(raw);
    out->indent = out->text.len > 0 ? (size_t)(out->text.ptr - raw.ptr) : 0;
    return true;
}

enum section { NO_SECTION, ARGS, OTHER_SECTION };

static enum section section_of(strv line)
{
    static const char *const args[] = {"Args", "Arguments", "Parameters", "Params", "Keyword Args"};
    static const char *const others[] = {
        "Returns",    "Return", "Yields", "Raises",   "Raise",    "Example",  "Examples",
        "Usage",      "Note",   "Notes",  "Warning",  "Warnings", "See Also", "References",
        "Attributes", "Errors", "Output", "Response", "Todo"};
    strv word;
    strv rest = line;
    if (line.len == 0 || !strv_cut(&rest, ':', &word) || rest.ptr == NULL)
        return NO_SECTION;
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        if (rest.len == 0 && strv_eq_nocase(word, strv_of(args[i])))
            return ARGS;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (rest.len == 0 && strv_eq_nocase(word, strv_of(others[i])))
            return OTHER_SECTION;
    return NO_SECTION;
}

static bool is_field(strv line) /* :param x: ..., @param x ... */
{
    return line.len > 2 && (line.ptr[0] == ':' || line.ptr[0] == '@') && line.ptr[1] >= 'a' &&
           line.ptr[1] <= 'z';
}

/* "[MOCK]" at the head of a text: capitals in brackets. */
static bool is_mark_alone(strv text)
{
    if (text.len < 3 || text.len > 32 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < text.len; i++)
        if (text.ptr[i] != ' ' && text.ptr[i] != '-' && (text.ptr[i] < 'A' || text.ptr[i] > 'Z'))
            return false;
    return true;
}

/* ---- one line of at most max bytes ---- */

struct sink {
    char *data;
    size_t n, room;
};

static void put_words(struct sink *out, strv text)
{
    for (size_t i = 0; i < text.len && out->n < out->room; i++) {
        char c = text.ptr[i];
        bool blank = strv_is_blank(c);
        if (blank && (out->n == 0 || out->data[out->n - 1] == ' '))
            continue;
        /* "<|im_end|>" is a word of some chat templates: none in the middle of a list of tools */
        if ((c == '|' && out->n > 0 && out->data[out->n - 1] == '<') ||
            (c == '>' && out->n > 0 && out->data[out->n - 1] == '|'))
            c = ' ';
        out->data[out->n++] = blank ? ' ' : c;
    }
}

/* At most max bytes, up to the end of a sentence if one ends in the second half, else of a word. */
static strv cut(struct sink *s, size_t max)
{
    strv all = strv_trim((strv){s->data, s->n}), part = utf8_cut(all, max);
    if (part.len == all.len)
        return all;
    for (size_t i = part.len; i > max / 3; i--)
        if ((part.ptr[i - 1] == '.' || part.ptr[i - 1] == ';') && all.ptr[i] == ' ')
            return (strv){part.ptr, i};
    while (part.len > max / 2 && part.ptr[part.len - 1] != ' ')
        part.len--;
    return strv_trim(utf8_cut(part, part.len));
}

/* Cleaned of what steers terminals, with room for one more round of reading than is kept. */
static bool begin(struct sink *s, strv *text, struct arena *arena)
{
    *text = mcp_clean(*text, text->len, arena);
    s->n = 0;
    s->room = 4 * DESCRIPTION_MAX;
    s->data = text->ptr != NULL ? arena_alloc(arena, s->room + 1) : NULL;
    return s->data != NULL;
}

strv slim_description(strv text, struct arena *arena)
{
    struct sink s;
    struct line line;
    if (!begin(&s, &text, arena))
        return STRV_NONE;
    while (next_line(&text, &line)) {
        if (section_of(line.text) != NO_SECTION || is_field(line.text))
            break;
        if (line.text.len == 0 && s.n > 0 && !is_mark_alone(strv_trim((strv){s.data, s.n})))
            break;
        put_words(&s, line.text);
        put_words(&s, STRV(" "));
    }
    return cut(&s, DESCRIPTION_MAX);
}

/* ---- parameters ---- */

/* "name: note" or "name (type): note". */
static bool entry_of(strv line, strv name, strv *note)
{
    strv rest;
    if (!strv_starts(line, name))
        return false;
    rest = strv_trim(strv_from(line, name.len));
    if (rest.len > 0 && rest.ptr[0] == '(') {
        const char *close = memchr(rest.ptr, ')', rest.len);
        if (close == NULL)
            return false;
        rest = strv_trim(strv_from(rest, (size_t)(close + 1 - rest.ptr)));
    }
    if (rest.len == 0 || rest.ptr[0] != ':')
        return false;
    *note = strv_trim(strv_from(rest, 1));
    return true;
}

/* ":param str name: note", "@param name note". */
static bool field_of(strv line, strv name, strv *note)
{
    strv word, rest = line;
    bool found = false;
    if (!is_field(line) || !strv_cut(&rest, ' ', &word) || !strv_ends(word, STRV("param")))
        return false;
    for (int i = 0; i < 2 && !found && strv_cut(&rest, ' ', &word); i++) {
        if (word.len > 0 && word.ptr[word.len - 1] == ':')
            word.len--;
        found = strv_eq(word, name);
    }
    *note = found && rest.ptr != NULL ? strv_trim(rest) : STRV("");
    return found;
}

strv slim_argument(strv text, strv name, struct arena *arena)
{
    struct sink s;
    struct line line;
    bool in_args = false, mine = false;
    size_t head = 0, indent = SIZE_MAX;
    if (!begin(&s, &text, arena))
        return STRV_NONE;
    while (next_line(&text, &line)) {
        enum section section = section_of(line.text);
        strv note;
        if (line.text.len == 0 || (section == OTHER_SECTION && mine && line.indent > indent))
            continue;
        if (section != NO_SECTION && (!in_args || line.indent <= head)) {
            in_args = section == ARGS;
            head = line.indent;
            indent = SIZE_MAX;
            if (mine)
                break;
            continue;
        }
        if (in_args && indent == SIZE_MAX)
            indent = line.indent;
        if (mine && (in_args ? line.indent <= indent : is_field(line.text)))
            break;
        if (mine)
            put_words(&s, line.text);
        else if ((in_args && line.indent <= indent && entry_of(line.text, name, &note)) ||
                 field_of(line.text, name, &note)) {
            mine = true;
            put_words(&s, note);
        }
        if (mine)
            put_words(&s, STRV(" "));
    }
    return cut(&s, ARGUMENT_MAX);
}

/* ---- tokens ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

/* Cuts as such tokenizers do before they merge: a word with the one sign before it, three digits, a run of signs. Most
 * words up to seven letters are one token, and a sign in front is half the time another. The weights are fitted to
 * cl100k's counts of 112 tools: 4 % off in the mean. */
int64_t slim_tokens(strv text)
{
    int64_t milli = 0;
    size_t i = 0;
    while (i < text.len) {
        size_t from = i;
        bool sign = !is_letter(text.ptr[i]) && !is_digit(text.ptr[i]);
        if (is_letter(text.ptr[i]) ||
            (sign && i + 1 < text.len && is_letter(text.ptr[i + 1]) && is_ascii(text.ptr[i]))) {
            for (i++; i < text.len && is_letter(text.ptr[i]);)
                i++;
            size_t letters = i - from - sign;
            milli += 1020 + (letters > 7 ? 61 * (int64_t)(letters - 7) : 0);
            milli += sign && text.ptr[from] != ' ' ? 400 : 0;
        } else if (!sign) {
            while (i < text.len && i < from + 3 && is_digit(text.ptr[i]))
                i++;
            milli += 1110;
        } else if (!is_ascii(text.ptr[i])) { /* beyond ASCII: a token is some two bytes */
            i++;
            milli += 500;
        } else {
            for (i++; i < text.len && text.ptr[i] > ' ' && is_ascii(text.ptr[i]) &&
                      !is_letter(text.ptr[i]) && !is_digit(text.ptr[i]);)
                i++;
            milli += 960;
        }
    }
    return (milli + 999) / 1000;
}
