/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy/members.h"

#include <string.h>

#include "privacy/rules.h"

/* ---- what they are ---- */

static const struct member {
    const char *name;
    unsigned is;
} members[] = {
#define API              MEMBER_API
#define SCHEMA           MEMBER_SCHEMA
#define WORD             MEMBER_WORD
#define ID               MEMBER_ID
#define SETTING          MEMBER_SETTING
#define DATA             MEMBER_DATA
#define SCHEMAS          MEMBER_SCHEMAS
#define TOOLS            MEMBER_TOOLS
#define PROPERTIES       MEMBER_PROPERTIES
#define TURNS            MEMBER_TURNS
#define MEMBER(name, is) {name, is},
#include "privacy/members.def"
#undef MEMBER
};

static const struct member words[] = {
#define API_WORD(word) {word, 1},
#include "privacy/members.def"
#undef API_WORD
};

static unsigned find(const struct member *rows, size_t n, strv name)
{
    size_t from = 0;
    while (from < n) {
        size_t half = from + (n - from) / 2;
        int order = strncmp(rows[half].name, name.ptr, name.len);
        if (order == 0 && strlen(rows[half].name) == name.len)
            return rows[half].is;
        if (order >= 0)
            n = half;
        else
            from = half + 1;
    }
    return 0;
}

unsigned member_is(strv name)
{
    return name.ptr != NULL ? find(members, sizeof members / sizeof *members, name) : 0;
}

/* ---- their values ---- */

bool member_is_word(strv v)
{
    return find(words, sizeof words / sizeof *words, v) != 0;
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_uuid(strv v)
{
    for (size_t i = 0; i < v.len && v.len == 36; i++) {
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? v.ptr[i] != '-' : !is_hex(v.ptr[i]))
            return false;
    }
    return v.len == 36;
}

/* A digit before a letter, or small letters, capitals and digits in turns: as nobody writes a word or a number. What
 * follows a capital at a word's beginning is no turn. */
static bool is_mixed(strv part)
{
    size_t turns = 0;
    for (size_t i = 1; i < part.len; i++) {
        char c = part.ptr[i], last = part.ptr[i - 1];
        bool capital = c >= 'A' && c <= 'Z';
        if (is_digit(last) && !is_digit(c))
            return true;
        turns += (capital && !(last >= 'A' && last <= 'Z')) || (is_digit(c) && !is_digit(last));
    }
    return turns >= 3;
}

/* "01A09q90qw90lq917835lq9", "3", "tool-4f1c09ab22": parts without order, or short. What could be read, a word or
 * somebody's number, is none. */
static bool is_random(strv v)
{
    size_t numbers = 0;
    for (size_t i = 0; i < v.len; i++) {
        size_t from = i, digits = 0;
        while (i < v.len && is_word(v.ptr[i]) && v.ptr[i] != '_')
            digits += is_digit(v.ptr[i++]);
        strv part = {v.ptr + from, i - from};
        if (i < v.len && v.ptr[i] != '_' && v.ptr[i] != '-')
            return false;
        if (digits == part.len)
            numbers += digits;
        else if (part.len > 4 && !is_mixed(part))
            return false;
    }
    return numbers <= 4;
}

/* "1", "c7", "call" is none: four letters may be a name. */
static bool is_short(strv v)
{
    bool has_digit = v.len <= 2;
    for (size_t i = 0; i < v.len && v.len <= 4; i++)
        has_digit = has_digit || is_digit(v.ptr[i]);
    return v.len <= 4 && has_digit;
}

bool member_is_machine_id(strv v)
{
    static const char *const begins[] = {"call_", "toolu_", "msg_", "resp_", "chatcmpl-",
                                         "fc_",   "rs_",    "ws_",  "run_",  "req_",
                                         "item_", "fp_",    "ctc_", NULL};
    strv rest = v;
    if (strv_starts(v, STRV("srvtoolu_")))
        rest = strv_from(v, 9);
    for (size_t i = 0; begins[i] != NULL && rest.len == v.len; i++)
        if (strv_starts(v, strv_of(begins[i])))
            rest = strv_from(v, strlen(begins[i]));
    if (strv_starts(v,
                    STRV("functions."))) /* some models call the third call so: functions.NAME:2 */
        return member_is_tool(strv_from(v, 10));
    if (v.len == 9 && is_mixed(v)) /* Mistral's */
        return true;
    return is_uuid(rest) || (rest.len < v.len && is_random(rest)) || is_short(v);
}

bool member_is_model(strv v)
{
    size_t run = 0, letters = 0;
    for (size_t i = 0; i < v.len; i++) {
        char c = v.ptr[i];
        run = is_digit(c) ? run + 1 : 0;
        letters += is_letter(c);
        if (run > 8 || (!is_word(c) && (c == '\0' || strchr("._:/+=-", c) == NULL)))
            return false;
    }
    return letters > 2 && v.len <= 100;
}

bool member_is_tool(strv v)
{
    size_t digits = 0;
    for (size_t i = 0; i < v.len; i++) {
        char c = v.ptr[i];
        digits += is_digit(c);
        if (!is_digit(c) && !(c >= 'a' && c <= 'z') && (c == '\0' || strchr("_-./:", c) == NULL))
            return false;
    }
    return digits <= 4 && v.len <= 64;
}
