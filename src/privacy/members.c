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

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* Parts of names, and titles, that have two letters. */
static bool is_particle(strv word)
{
    static const char *const particles[] = {"mc", "st", "la", "le", "de", "di", "du", "da", "do",
                                            "al", "el", "dr", "mr", "ms", "jr", "sr", "md", NULL};
    for (size_t i = 0; word.len == 2 && particles[i] != NULL; i++)
        if ((word.ptr[0] | 32) == particles[i][0] && (word.ptr[1] | 32) == particles[i][1])
            return true;
    return false;
}

/* A capital and small letters behind it, or only some of that: could be one word of a name. */
static bool is_syllable(strv word)
{
    for (size_t i = 0; i < word.len; i++)
        if (strchr("aeiouyAEIOUY", word.ptr[i]) != NULL)
            return true;
    return word.len == 1 || is_particle(word);
}

/* Letters as people write them: smith, SMITH, McDonald, JohnSmith, JRSmith, SmithMD. Machines put capitals anywhere. */
static bool is_readable(strv letters)
{
    size_t i = 0, from = 0, capitals = 0, small = 0;
    for (; i < letters.len && is_capital(letters.ptr[i]); i++)
        capitals++;
    if (capitals == letters.len)
        return is_syllable(letters);
    if (capitals > 3)
        return false;
    from = capitals > 1 ? capitals - 1 : 0; /* initials */
    for (i = from + 1; i <= letters.len; i++) {
        if (i < letters.len && !is_capital(letters.ptr[i]))
            continue;
        strv word = {letters.ptr + from, i - from};
        if (!is_syllable(word))
            return false;
        small += word.len < 3 && !is_particle(word);
        from = i;
        size_t end = i;
        while (end < letters.len && is_capital(letters.ptr[end]))
            end++;
        if (end == letters.len)
            return end - i <= 2 && small <= 1;
        if (end - i > 1)
            return false;
    }
    return small <= 1;
}

/* A digit before a letter, or letters that nobody writes so. Digits at the end may follow a name. */
static bool is_mixed(strv part)
{
    size_t letters = part.len;
    while (letters > 0 && is_digit(part.ptr[letters - 1]))
        letters--;
    for (size_t i = 0; i < letters; i++)
        if (is_digit(part.ptr[i]))
            return true;
    return letters > 4 && !is_readable((strv){part.ptr, letters});
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
    bool bare = v.len == 9; /* Mistral's */
    for (size_t i = 0; i < v.len && bare; i++)
        bare = is_word(v.ptr[i]) && (unsigned char)v.ptr[i] < 0x80;
    if (bare && is_mixed(v))
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
