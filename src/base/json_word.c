/* SPDX-License-Identifier: Apache-2.0 */
/* json_word - see json_word.h. What is JSON already comes out letter by letter as it went in. */
#include "base/json_word.h"

#include <assert.h>

static strv read_name(strv word, bool cut);
static strv read_number(strv word, bool cut, char *room);
static strv join(char *room, size_t *n, strv part);

bool json_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool json_word_letter(char c)
{
    return json_name_letter(c) || c == '+' || c == '-' || c == '.';
}

strv json_word_value(strv word, bool cut, char room[JSON_WORD_ROOM])
{
    assert(word.len > 0 && word.len <= JSON_WORD_MAX);
    strv json = read_name(word, cut);
    return json.ptr != NULL ? json : read_number(word, cut, room);
}

strv json_word_quoted(strv word, char room[JSON_WORD_ROOM])
{
    size_t n = 0;
    assert(word.len > 0 && word.len <= JSON_WORD_MAX);
    if (word.ptr[0] >= '0' && word.ptr[0] <= '9')
        return STRV_NONE;
    for (size_t i = 0; i < word.len; i++)
        if (!json_name_letter(word.ptr[i]))
            return STRV_NONE;
    join(room, &n, STRV("\""));
    join(room, &n, word);
    return join(room, &n, STRV("\""));
}

static strv read_name(strv word, bool cut)
{
    static const struct {
        const char *name, *json;
        bool number;
    } names[] = {
        {"true", "true", false},      {"True", "true", false}, {"false", "false", false},
        {"False", "false", false},    {"null", "null", false}, {"None", "null", false},
        {"undefined", "null", false}, {"NaN", "null", true},   {"Infinity", "null", true},
        {"inf", "null", true},
    };
    bool sign = word.len > 1 && (word.ptr[0] == '-' || word.ptr[0] == '+');
    strv bare = strv_from(word, sign ? 1 : 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        strv name = strv_of(names[i].name);
        if ((names[i].number || !sign) &&
            (strv_eq_nocase(bare, name) || (cut && strv_starts(name, bare))))
            return strv_of(names[i].json);
    }
    return STRV_NONE;
}

static size_t digits(strv v, size_t at)
{
    size_t n = 0;
    while (at + n < v.len && v.ptr[at + n] >= '0' && v.ptr[at + n] <= '9')
        n++;
    return n;
}

static strv join(char *room, size_t *n, strv part)
{
    if (part.len > 0)
        memcpy(room + *n, part.ptr, part.len);
    *n += part.len;
    return (strv){room, *n};
}

/* A zero in front stays a riddle: octal, a postcode, a date? */
static strv read_number(strv word, bool cut, char *room)
{
    size_t at = 0, n = 0;
    double value;
    if (word.ptr[0] == '-')
        join(room, &n, STRV("-"));
    at += word.ptr[0] == '-' || word.ptr[0] == '+';
    size_t whole = digits(word, at);
    if (whole > 1 && word.ptr[at] == '0')
        return STRV_NONE;
    join(room, &n, whole > 0 ? (strv){word.ptr + at, whole} : STRV("0"));
    at += whole;
    if (at < word.len && word.ptr[at] == '.') {
        size_t part = digits(word, at + 1);
        if (part > 0)
            join(room, &n, (strv){word.ptr + at, part + 1});
        whole += part;
        at += part + 1;
    }
    if (at < word.len && (word.ptr[at] == 'e' || word.ptr[at] == 'E')) {
        size_t sign = at + 1 < word.len && (word.ptr[at + 1] == '-' || word.ptr[at + 1] == '+');
        size_t part = digits(word, at + 1 + sign);
        if (part > 0)
            join(room, &n, (strv){word.ptr + at, part + 1 + sign});
        else if (!cut)
            return STRV_NONE;
        at += part + 1 + sign;
    }
    if (whole == 0 || at != word.len)
        return STRV_NONE;
    return strv_double((strv){room, n}, &value) ? (strv){room, n} : STRV("null");
}
