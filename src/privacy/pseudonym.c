/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pseudonym - the map, the way out, the way back.
 *
 * The way out walks the JSON text once beside the findings, so that it is known of each place whether it lies in
 * a string's value, and begins and ends between characters, not inside an escape. Values are kept as the text
 * they stand for; one that holds a backslash, a quote or a control character would have to be told apart by how
 * often it was escaped, and is refused.
 */
#include <assert.h>
#include <stdio.h>

#include "privacy/privacy.h"

#define VALUE_MAX    256 /* bytes of an original */
#define VALUES_BYTES 16384
#define NEAR         24 /* bytes before a name that tell its role */
#define DEPTH_MAX    128

struct entry {
    uint8_t kind;
    uint8_t n;           /* of the placeholder */
    bool restores;       /* false: 90+, 021 */
    uint16_t at, length; /* of the original, in values */
    char text[PSEUDONYM_LENGTH_MAX];
};

struct place { /* of a replacement in what was written last */
    uint32_t start, end;
};

struct pseudonyms {
    size_t n, n_places, n_bytes, unknown;
    int32_t days; /* added to every date */
    struct entry entries[PSEUDONYMS_MAX];
    struct place places[PRIVACY_FINDINGS_MAX];
    char values[VALUES_BYTES];
};

struct pseudonyms *pseudonyms_new(uint64_t random)
{
    struct pseudonyms *m = mem_zalloc(sizeof *m);
    if (m != NULL) { /* one to ten years, back or forth */
        int32_t days = (int32_t)(365 + random / 2 % 3288);
        m->days = random % 2 == 0 ? days : -days;
    }
    return m;
}

void pseudonyms_free(struct pseudonyms *m)
{
    if (m != NULL)
        mem_free_secret(m, sizeof *m);
}

size_t pseudonyms_count(const struct pseudonyms *m)
{
    return m->n;
}

size_t pseudonyms_unknown(const struct pseudonyms *m)
{
    return m->unknown;
}

/* ---- kinds ---- */

/* The word of each kind's placeholders; NULL: nothing can stand for it. */
static const char *const words[PRIVACY_KINDS] = {
    [PRIVACY_NAME] = "PERSON",
    [PRIVACY_EMAIL] = "EMAIL",
    [PRIVACY_PHONE] = "PHONE",
    [PRIVACY_FAX] = "FAX",
    [PRIVACY_URL] = "URL",
    [PRIVACY_IP] = "IP",
    [PRIVACY_BIOMETRIC] = "BIOMETRIC",
    [PRIVACY_SSN] = "SSN",
    [PRIVACY_MRN] = "MRN",
    [PRIVACY_HEALTH_PLAN_ID] = "PLAN",
    [PRIVACY_ACCOUNT] = "ACCOUNT",
    [PRIVACY_LICENSE] = "LICENSE",
    [PRIVACY_NPI] = "NPI",
    [PRIVACY_DEA] = "DEA",
    [PRIVACY_VEHICLE] = "VEHICLE",
    [PRIVACY_DEVICE] = "DEVICE",
    [PRIVACY_OTHER_ID] = "ID",
    [PRIVACY_DATE] = "DATE",
    [PRIVACY_AGE_OVER_89] = "AGE",
    [PRIVACY_LOCATION] = "PLACE",
    [PRIVACY_ZIP] = "ZIP",
    [PRIVACY_PATTERN] = "ITEM",
};

bool pseudonyms_possible(const struct privacy_verdict *found)
{
    size_t counted = 0;
    if (found->more || found->n_findings == 0 || found->n_findings > PRIVACY_FINDINGS_MAX)
        return false;
    for (size_t i = 0; i < PRIVACY_KINDS; i++) {
        if (found->counts[i] > 0 && words[i] == NULL)
            return false;
        counted += found->counts[i];
    }
    for (size_t i = 0; i < found->n_findings; i++) {
        const struct privacy_finding *f = &found->findings[i];
        if (!f->replaceable || f->kind >= PRIVACY_KINDS || words[f->kind] == NULL ||
            f->end <= f->start)
            return false;
    }
    return counted == found->n_findings; /* one without a place cannot be replaced */
}

/* ---- characters ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c) /* letters of any script */
{
    return is_digit(c) || is_alpha(c) || c == '_' || (unsigned char)c >= 0x80;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

/* `part` as whole words, whatever the case. */
static bool holds_word(strv text, strv part)
{
    if (part.len == 0)
        return false;
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (same_nocase(text.ptr + i, part.ptr, part.len) &&
            (i == 0 || !is_word(text.ptr[i - 1])) &&
            (i + part.len == text.len || !is_word(text.ptr[i + part.len])))
            return true;
    return false;
}

/* ---- dates ---- */

/* Days since 1970 of a date of the Gregorian calendar, and back. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), part = (5 * of_year + 2) / 153;
    *d = of_year - (153 * part + 2) / 5 + 1;
    *m = part + (part < 10 ? 3 : -9);
    *y = year + era * 400 + (*m <= 2);
}

/* Numbers of a text, and a month by its English or Spanish name. */
struct date_parts {
    int64_t numbers[3];
    uint8_t digits[3];
    size_t n;
    int64_t month;   /* 0 = not named */
    size_t month_at; /* numbers that stand before it */
};

static int64_t month_of(const char *p, size_t n)
{
    static const char names[][12][4] = {
        {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
        {"ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"}};
    for (size_t i = 0; n >= 3 && i < 24; i++)
        if (same_nocase(p, names[i / 12][i % 12], 3))
            return (int64_t)(i % 12) + 1;
    return 0;
}

static bool read_parts(strv text, struct date_parts *out)
{
    *out = (struct date_parts){.n = 0};
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        if (is_digit(text.ptr[i])) {
            int64_t v = 0;
            while (i < text.len && is_digit(text.ptr[i]) && i - from < 9)
                v = v * 10 + (text.ptr[i++] - '0');
            if (out->n == 3)
                return false;
            out->digits[out->n] = (uint8_t)(i - from);
            out->numbers[out->n++] = v;
        } else if (is_alpha(text.ptr[i])) {
            while (i < text.len && is_alpha(text.ptr[i]))
                i++;
            int64_t month = month_of(text.ptr + from, i - from);
            if (month != 0 && out->month == 0) {
                out->month = month;
                out->month_at = out->n;
            }
        } else {
            i++;
        }
    }
    return out->n > 0;
}

static int64_t whole_year(int64_t y, unsigned digits)
{
    return digits > 2 ? y : y < 40 ? 2000 + y : 1900 + y;
}

/* A whole date, day, month and year, in one of the usual orders; false: none, or nobody can tell. */
static bool read_date(strv text, int64_t *days)
{
    struct date_parts p;
    int64_t y, m, d;
    if (!read_parts(text, &p))
        return false;
    if (p.n == 1 && p.digits[0] == 8) { /* 20250611 */
        y = p.numbers[0] / 10000;
        m = p.numbers[0] / 100 % 100;
        d = p.numbers[0] % 100;
    } else if (p.month != 0 && p.n == 2) { /* 21JAN2025, March 3, 2025, 3 de marzo de 2025 */
        bool year_first = p.digits[0] == 4;
        y = whole_year(p.numbers[year_first ? 0 : 1], p.digits[year_first ? 0 : 1]);
        m = p.month;
        d = p.numbers[year_first ? 1 : 0];
    } else if (p.month == 0 && p.n == 3 && p.digits[0] == 4) { /* 2025-06-11 */
        y = p.numbers[0];
        m = p.numbers[1];
        d = p.numbers[2];
    } else if (p.month == 0 && p.n == 3 && p.digits[2] != 3) { /* 6/11/2025, or 25/6/2025 */
        bool day_first = p.numbers[0] > 12;
        y = whole_year(p.numbers[2], p.digits[2]);
        m = p.numbers[day_first ? 1 : 0];
        d = p.numbers[day_first ? 0 : 1];
    } else {
        return false;
    }
    if (y < 1800 || y > 2200 || m < 1 || m > 12 || d < 1 || d > 31)
        return false;
    *days = days_of(y, m, d);
    return true;
}

/* ---- making a placeholder ---- */

static size_t letters_of(size_t n, char out[8]) /* 0 -> A, 25 -> Z, 26 -> AA */
{
    char text[8];
    size_t k = 0;
    for (n++; n > 0; n = (n - 1) / 26)
        text[k++] = (char)('A' + (n - 1) % 26);
    for (size_t i = 0; i < k; i++)
        out[i] = text[k - 1 - i];
    return k;
}

/* PGY2, PGY-2, pgy 2 at the beginning of `in`: its digit; 0: none. */
static char training_year(strv in)
{
    if (in.len < 5 || !same_nocase(in.ptr, "pgy", 3))
        return 0;
    char c = in.ptr[3] == '-' || in.ptr[3] == ' ' ? in.ptr[4] : in.ptr[3];
    return c >= '1' && c <= '9' ? c : 0;
}

/* The role that a word before a name tells, if one begins here. */
static bool role_at(strv text, size_t i, char out[16])
{
    static const struct {
        const char *word, *role;
    } roles[] = {{"dr", "FACULTY"},      {"doctor", "FACULTY"},    {"attending", "FACULTY"},
                 {"faculty", "FACULTY"}, {"professor", "FACULTY"}, {"patient", "PATIENT"},
                 {"pt", "PATIENT"},      {"resident", "RESIDENT"}, {"intern", "RESIDENT"}};
    strv rest = strv_from(text, i);
    char year = training_year(rest);
    if (i > 0 && is_word(text.ptr[i - 1]))
        return false;
    if (year != 0) {
        snprintf(out, 16, "PGY%c", year);
        return true;
    }
    for (size_t k = 0; k < sizeof roles / sizeof *roles; k++) {
        size_t n = strlen(roles[k].word);
        if (rest.len > n && same_nocase(rest.ptr, roles[k].word, n) && !is_word(rest.ptr[n])) {
            snprintf(out, 16, "%s", roles[k].role);
            return true;
        }
    }
    return false;
}

/* A name's role, by what stands just behind it ("Kim (PGY-2)") or the last such word before it. */
static void role_of(strv json, size_t start, size_t end, char out[16])
{
    size_t from = start > NEAR ? start - NEAR : 0, behind = end;
    strv before = {json.ptr + from, start - from};
    snprintf(out, 16, "PERSON");
    while (behind < json.len && behind < end + 2 && strchr(" (,", json.ptr[behind]) != NULL)
        behind++;
    char year = training_year(strv_from(json, behind));
    if (year != 0) {
        snprintf(out, 16, "PGY%c", year);
        return;
    }
    for (size_t i = before.len; i-- > 0;)
        if (role_at(before, i, out))
            return;
}

static bool is_taken(const struct pseudonyms *m, strv json, const char *text, size_t n)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entries[i].n == n && same_nocase(m->entries[i].text, text, n))
            return true;
    for (size_t i = 0; i + n <= json.len;
         i++) /* the caller's own words must not be taken for ours */
        if (same_nocase(json.ptr + i, text, n))
            return true;
    return false;
}

/* The first free one of its word; letters for people, numbers for things. */
static bool name_it(const struct pseudonyms *m, strv json, const char *word, bool lettered,
                    struct entry *e)
{
    for (size_t i = 0; i < 4 * PSEUDONYMS_MAX; i++) {
        char ending[24];
        if (lettered)
            ending[letters_of(i, ending)] = '\0';
        else
            snprintf(ending, sizeof ending, "%zu", i + 1);
        int n = snprintf(e->text, sizeof e->text, "%s-%s", word, ending);
        if (n > 0 && (size_t)n < sizeof e->text && !is_taken(m, json, e->text, (size_t)n)) {
            e->n = (uint8_t)n;
            return true;
        }
    }
    return false;
}

static bool name_date(const struct pseudonyms *m, strv json, strv value, struct entry *e)
{
    int64_t days, y, month, d;
    if (!read_date(value, &days))
        return name_it(m, json, "DATE", false, e);
    date_of(days + m->days, &y, &month, &d);
    for (unsigned i = 1; i < 100; i++) { /* the same day, written in another way */
        int n = i == 1 ? snprintf(e->text, sizeof e->text, "DATE-%04d-%02d-%02d", (int)y,
                                  (int)month, (int)d)
                       : snprintf(e->text, sizeof e->text, "DATE-%04d-%02d-%02d-%u", (int)y,
                                  (int)month, (int)d, i);
        if (n > 0 && (size_t)n < sizeof e->text && !is_taken(m, json, e->text, (size_t)n)) {
            e->n = (uint8_t)n;
            return true;
        }
    }
    return false;
}

/* 45 CFR 164.514(b)(2)(i)(B): areas of at most 20,000 people by the census of 2000. */
static bool is_small_area(const char *zip)
{
    static const char small[][4] = {"036", "059", "063", "102", "203", "556", "692", "790", "821",
                                    "823", "830", "831", "878", "879", "884", "890", "893"};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (memcmp(zip, small[i], 3) == 0)
            return true;
    return false;
}

static void name_zip(strv value, struct entry *e)
{
    size_t i = 0;
    while (i < value.len && !is_digit(value.ptr[i]))
        i++;
    bool whole = i + 3 <= value.len && is_digit(value.ptr[i + 1]) && is_digit(value.ptr[i + 2]);
    memcpy(e->text, whole && !is_small_area(value.ptr + i) ? value.ptr + i : "000", 3);
    e->n = 3;
}

static bool make_text(const struct pseudonyms *m, strv json, const struct privacy_finding *f,
                      strv value, struct entry *e)
{
    char role[16];
    e->restores = true;
    switch (f->kind) {
    case PRIVACY_NAME:
        role_of(json, f->start, f->end, role);
        return name_it(m, json, role, true, e);
    case PRIVACY_DATE:
        return name_date(m, json, value, e);
    case PRIVACY_AGE_OVER_89:
        e->restores = false;
        memcpy(e->text, "90+", 3);
        e->n = 3;
        return true;
    case PRIVACY_ZIP:
        e->restores = false;
        name_zip(value, e);
        return true;
    default:
        return name_it(m, json, words[f->kind], false, e);
    }
}

static strv value_of(const struct pseudonyms *m, const struct entry *e)
{
    return (strv){m->values + e->at, e->length};
}

/* The entry of a value, known or made; NULL: the map is full. */
static const struct entry *entry_for(struct pseudonyms *m, strv json,
                                     const struct privacy_finding *f, strv value)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entries[i].kind == f->kind && strv_eq(value_of(m, &m->entries[i]), value))
            return &m->entries[i];
    struct entry *e = &m->entries[m->n];
    if (m->n == PSEUDONYMS_MAX || value.len > VALUES_BYTES - m->n_bytes)
        return NULL;
    *e = (struct entry){.kind = f->kind, .at = (uint16_t)m->n_bytes, .length = (uint16_t)value.len};
    if (!make_text(m, json, f, value, e))
        return NULL;
    memcpy(m->values + m->n_bytes, value.ptr, value.len);
    m->n_bytes += value.len;
    m->n++;
    return e;
}

/* ---- the way out ---- */

/* Where a place stands in the document. */
struct walk {
    strv json;
    size_t i;
    uint8_t objects[DEPTH_MAX / 8]; /* a bit per level: object, not array */
    uint8_t args[DEPTH_MAX / 8];    /* a bit per level: inside a call's arguments */
    size_t depth;
    bool key_next;  /* the next string is a member's name */
    bool is_key;    /* the present string is */
    bool forbidden; /* the present value belongs to the protocol */
    bool arguments; /* the member's value is a call's arguments */
    strv key;
};

static bool bit(const uint8_t *bits, size_t i)
{
    return (bits[i / 8] >> i % 8 & 1) != 0;
}

static void set_bit(uint8_t *bits, size_t i, bool on)
{
    bits[i / 8] = (uint8_t)((bits[i / 8] & ~(1u << i % 8)) | (unsigned)on << i % 8);
}

/* Members that the provider or we read as more than text. */
static bool is_protocol(strv key)
{
    static const char *const keys[] = {"model", "role",         "type",        "id",
                                       "name",  "tool_call_id", "tool_use_id", "call_id",
                                       "data",  "media_type",   "signature",   "encrypted_content"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strv_eq_cstr(key, keys[i]))
            return true;
    return false;
}

static bool in_args(const struct walk *w)
{
    return w->depth > 0 && bit(w->args, w->depth - 1);
}

static bool open_level(struct walk *w, bool object)
{
    if (w->depth == DEPTH_MAX)
        return false;
    bool args = in_args(w) || w->arguments;
    set_bit(w->objects, w->depth, object);
    set_bit(w->args, w->depth, args);
    w->depth++;
    w->key_next = object;
    w->arguments = false;
    return true;
}

/* Up to the next string; false: none is left. What is between strings is never replaced. */
static bool next_string(struct walk *w, size_t *start, size_t *end)
{
    while (w->i < w->json.len) {
        char c = w->json.ptr[w->i++];
        if (c == '{' || c == '[') {
            if (!open_level(w, c == '{'))
                return false;
        } else if (c == '}' || c == ']') {
            w->depth -= w->depth > 0;
            w->key_next = w->arguments = false;
        } else if (c == ',') {
            w->key_next = w->depth > 0 && bit(w->objects, w->depth - 1);
            w->arguments = false;
        } else if (c == '"') {
            *start = w->i;
            while (w->i < w->json.len && w->json.ptr[w->i] != '"')
                w->i += w->json.ptr[w->i] == '\\' ? 2 : 1;
            *end = w->i < w->json.len ? w->i : w->json.len;
            w->i = *end + 1;
            w->is_key = w->key_next;
            w->key_next = false;
            strv text = {w->json.ptr + *start, *end - *start};
            if (w->is_key) {
                w->key = text;
                w->forbidden = is_protocol(text) && !in_args(w);
                w->arguments = strv_eq_cstr(text, "input") || strv_eq_cstr(text, "arguments");
            }
            return true;
        }
    }
    return false;
}

static size_t utf8_put(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

static bool hex4(const char *p, const char *end, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int v = p + i < end ? strv_hex(p[i]) : -1;
        if (v < 0)
            return false;
        *out = *out << 4 | (uint32_t)v;
    }
    return true;
}

/* One character of a JSON string as text; 0: it does not end before `end`, or must not be in a value. */
static size_t read_char(const char *p, const char *end, char out[4], size_t *n_out)
{
    uint32_t c, low;
    if (*p != '\\') {
        if (*p == '"' || (unsigned char)*p < 0x20)
            return 0;
        out[0] = *p;
        *n_out = 1;
        return 1;
    }
    if (end - p < 2 || p[1] != 'u' || !hex4(p + 2, end, &c))
        return 0; /* \n, \", \\: see the top */
    size_t used = 6;
    if (c >= 0xd800 && c < 0xdc00) {
        if (end - p < 12 || p[6] != '\\' || p[7] != 'u' || !hex4(p + 8, end, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return 0;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        used = 12;
    } else if ((c >= 0xdc00 && c < 0xe000) || c < 0x20 || c == '"' || c == '\\') {
        return 0;
    }
    *n_out = utf8_put(c, out);
    return used;
}

/* The text of [start, end) of a string that begins at `string`; 0: it cannot be replaced. */
static size_t read_value(strv json, size_t string, size_t start, size_t end, char out[VALUE_MAX])
{
    size_t n = 0, i = string;
    while (i < start) /* is `start` between two characters? */
        i += json.ptr[i] != '\\' ? 1 : i + 1 < end && json.ptr[i + 1] == 'u' ? 6 : 2;
    if (i != start)
        return 0;
    while (i < end) {
        char c[4];
        size_t k = 0, used = read_char(json.ptr + i, json.ptr + end, c, &k);
        if (used == 0 || n + k > VALUE_MAX)
            return 0;
        memcpy(out + n, c, k);
        n += k;
        i += used;
    }
    bool cut = (unsigned char)json.ptr[start] >= 0x80 && (unsigned char)json.ptr[start] < 0xc0;
    return i == end && !cut && utf8_valid((strv){out, n}) ? n : 0;
}

/* Findings that overlap become one place; its kind is that of the longest. */
static size_t merge(const struct privacy_verdict *found, struct privacy_finding *out)
{
    size_t n = 0;
    for (size_t i = 0; i < found->n_findings; i++) {
        struct privacy_finding f = found->findings[i];
        size_t k = n; /* in order, wherever the detector put it */
        while (k > 0 && out[k - 1].start > f.start)
            k--;
        memmove(&out[k + 1], &out[k], (n - k) * sizeof *out);
        out[k] = f;
        n++;
    }
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        struct privacy_finding *last = m > 0 ? &out[m - 1] : NULL;
        if (last == NULL || out[i].start >= last->end) {
            out[m++] = out[i];
            continue;
        }
        if (out[i].end - out[i].start > last->end - last->start)
            last->kind = out[i].kind;
        if (out[i].end > last->end)
            last->end = out[i].end;
    }
    return m;
}

static enum pseudonyms_result put_place(struct pseudonyms *m, strv json, size_t string,
                                        const struct privacy_finding *f, struct buf *out,
                                        size_t out_from)
{
    char value[VALUE_MAX];
    size_t n = read_value(json, string, f->start, f->end, value);
    const struct entry *e = n > 0 ? entry_for(m, json, f, (strv){value, n}) : NULL;
    mem_wipe(value, sizeof value);
    if (e == NULL)
        return PSEUDONYMS_IMPOSSIBLE;
    struct place *p = &m->places[m->n_places++];
    p->start = (uint32_t)(buf_len(out) - out_from);
    if (!buf_put(out, e->text, e->n))
        return PSEUDONYMS_NO_MEMORY;
    p->end = (uint32_t)(buf_len(out) - out_from);
    return PSEUDONYMS_DONE;
}

static enum pseudonyms_result walk_out(struct pseudonyms *m, strv json,
                                       const struct privacy_finding *places, size_t n,
                                       struct buf *out)
{
    struct walk w = {.json = json};
    size_t start, end, copied = 0, next = 0, out_from = buf_len(out);
    while (next < n && next_string(&w, &start, &end)) {
        for (; next < n && places[next].start < end; next++) {
            const struct privacy_finding *f = &places[next];
            if (f->start < start || f->end > end || w.is_key || w.forbidden)
                return PSEUDONYMS_IMPOSSIBLE;
            if (!buf_put(out, json.ptr + copied, f->start - copied))
                return PSEUDONYMS_NO_MEMORY;
            enum pseudonyms_result r = put_place(m, json, start, f, out, out_from);
            if (r != PSEUDONYMS_DONE)
                return r;
            copied = f->end;
        }
        if (!w.is_key)
            w.forbidden = w.forbidden && w.depth > 0 && !bit(w.objects, w.depth - 1);
    }
    if (next < n)
        return PSEUDONYMS_IMPOSSIBLE;
    return buf_put(out, json.ptr + copied, json.len - copied) ? PSEUDONYMS_DONE
                                                              : PSEUDONYMS_NO_MEMORY;
}

enum pseudonyms_result pseudonyms_replace(struct pseudonyms *m, strv json,
                                          const struct privacy_verdict *found, struct buf *out)
{
    struct privacy_finding places[PRIVACY_FINDINGS_MAX + 1];
    m->n_places = 0;
    if (!pseudonyms_possible(found) || json.len > UINT32_MAX / 2)
        return PSEUDONYMS_IMPOSSIBLE;
    return walk_out(m, json, places, merge(found, places), out);
}

/* ---- is it clean? ---- */

static bool is_own(const struct pseudonyms *m, const struct privacy_finding *f)
{
    for (size_t i = 0; i < m->n_places; i++)
        if (f->start >= m->places[i].start && f->end <= m->places[i].end && f->end > f->start)
            return true;
    return false;
}

/* A word of a name that stands alone elsewhere is the name. */
static bool leaks(strv sent, const struct entry *e, strv value)
{
    if (e->kind == PRIVACY_AGE_OVER_89) /* "94" says nothing by itself; an age the detector finds */
        return false;
    if (holds_word(sent, value))
        return true;
    if (e->kind != PRIVACY_NAME)
        return false;
    for (size_t i = 0; i < value.len;) {
        size_t from = i;
        while (i < value.len && is_word(value.ptr[i]))
            i++;
        if (i - from >= 3 && holds_word(sent, (strv){value.ptr + from, i - from}))
            return true;
        i += i == from;
    }
    return false;
}

bool pseudonyms_clean(const struct pseudonyms *m, strv sent, const struct privacy_verdict *found)
{
    size_t counted = 0;
    for (size_t i = 0; i < PRIVACY_KINDS; i++) {
        if (found->counts[i] > 0 && privacy_kinds[i].group != PRIVACY_IDENTIFIER)
            return false;
        counted += found->counts[i];
    }
    if (found->more || counted != found->n_findings)
        return false;
    for (size_t i = 0; i < found->n_findings; i++)
        if (!is_own(m, &found->findings[i]))
            return false;
    for (size_t i = 0; i < m->n; i++)
        if (leaks(sent, &m->entries[i], value_of(m, &m->entries[i])))
            return false;
    return true;
}

/* ---- the way back ---- */

void pseudonym_restorer_init(struct pseudonym_restorer *r, struct pseudonyms *map,
                             enum pseudonym_form form)
{
    *r = (struct pseudonym_restorer){.map = map, .form = form};
}

enum match { MATCH_NO, MATCH_MORE, MATCH_YES };

/* A dash, or what stands for one: - _ and the dashes of U+2010 to U+2015. Its length; 0: none; -1: need more. */
static int dash_length(strv in)
{
    if (in.len == 0)
        return -1;
    if (in.ptr[0] == '-' || in.ptr[0] == '_')
        return 1;
    if ((unsigned char)in.ptr[0] != 0xe2)
        return 0;
    if (in.len < 3)
        return in.len < 2 || (unsigned char)in.ptr[1] == 0x80 ? -1 : 0;
    unsigned char last = (unsigned char)in.ptr[2];
    return (unsigned char)in.ptr[1] == 0x80 && last >= 0x90 && last <= 0x95 ? 3 : 0;
}

/* Does `in` begin with this placeholder? The character behind it must be there, or the end. */
static enum match match_one(strv in, const struct entry *e, bool last, size_t *used)
{
    size_t i = 0;
    for (size_t k = 0; k < e->n; k++) {
        if (i == in.len)
            return last ? MATCH_NO : MATCH_MORE;
        if (e->text[k] == '-') {
            int dash = dash_length(strv_from(in, i));
            if (dash < 0)
                return last ? MATCH_NO : MATCH_MORE;
            if (dash == 0)
                return MATCH_NO;
            i += (size_t)dash;
        } else if (lower(in.ptr[i++]) != lower(e->text[k])) {
            return MATCH_NO;
        }
    }
    if (i == in.len && !last)
        return MATCH_MORE;
    *used = i;
    return i < in.len && (is_digit(in.ptr[i]) || is_alpha(in.ptr[i])) ? MATCH_NO : MATCH_YES;
}

/* The longest placeholder at the beginning of `in`. */
static enum match match_any(const struct pseudonyms *m, strv in, bool last,
                            const struct entry **which, size_t *used)
{
    *used = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t n;
        if (!m->entries[i].restores)
            continue;
        enum match how = match_one(in, &m->entries[i], last, &n);
        if (how == MATCH_MORE)
            return MATCH_MORE; /* "DATE-1" may become "DATE-1-2" */
        if (how == MATCH_YES && n > *used) {
            *used = n;
            *which = &m->entries[i];
        }
    }
    return *used > 0 ? MATCH_YES : MATCH_NO;
}

/* Formed like ours, and not ours: PERSON-Q, MRN-9. */
static enum match match_form(strv in, const char *word, bool person, bool last)
{
    size_t n = word != NULL ? strlen(word) : 0, seen = in.len < n ? in.len : n;
    if (n == 0 || memcmp(in.ptr, word, seen) != 0 || (in.len > n && in.ptr[n] != '-'))
        return MATCH_NO;
    if (in.len < n + 2)
        return last ? MATCH_NO : MATCH_MORE;
    char c = in.ptr[n + 1];
    return (person ? c >= 'A' && c <= 'Z' : is_digit(c)) ? MATCH_YES : MATCH_NO;
}

static enum match match_unknown(strv in, bool last)
{
    static const char *const people[] = {"PERSON", "FACULTY", "PATIENT", "RESIDENT"};
    const size_t n_people = sizeof people / sizeof *people;
    for (size_t i = 0; i < n_people + PRIVACY_KINDS; i++) {
        const char *word = i < n_people ? people[i] : words[i - n_people];
        enum match how = match_form(in, word, i < n_people, last);
        if (how != MATCH_NO)
            return how;
    }
    return MATCH_NO;
}

static bool put_value(struct pseudonym_restorer *r, const struct entry *e, struct buf *out)
{
    strv value = value_of(r->map, e);
    return r->form == PSEUDONYM_JSON ? json_put_esc(out, value) : buf_put_strv(out, value);
}

#define ESCAPE_BEGUN 5 /* the backslash was seen */

/* What one character does to the place we are at. */
static void step_over(struct pseudonym_restorer *r, char c)
{
    bool inside = r->in_escape > 0; /* \n before a placeholder is no letter of its word */
    if (r->in_escape == ESCAPE_BEGUN)
        r->in_escape = c == 'u' ? 4 : 0;
    else if (inside)
        r->in_escape--;
    else if (r->form == PSEUDONYM_JSON && c == '\\')
        r->in_escape = ESCAPE_BEGUN;
    r->in_word = !inside && (is_digit(c) || is_alpha(c));
}

/* At a place where a placeholder may begin: is there one? */
static enum match look(struct pseudonym_restorer *r, strv in, bool last, const struct entry **e,
                       size_t *used)
{
    if (r->in_word || r->in_escape > 0 || !is_alpha(in.ptr[0]))
        return MATCH_NO;
    enum match how = match_any(r->map, in, last, e, used);
    if (how != MATCH_NO)
        return how;
    how = match_unknown(in, last);
    r->map->unknown += how == MATCH_YES;
    return how == MATCH_MORE ? MATCH_MORE : MATCH_NO;
}

/* Eats what is certain of `in`; returns how much. */
static size_t restore_some(struct pseudonym_restorer *r, strv in, bool last, struct buf *out)
{
    size_t i = 0, plain = 0; /* [plain, i) goes as it is */
    while (i < in.len) {
        const struct entry *e = NULL;
        size_t used = 0;
        enum match how = look(r, strv_from(in, i), last, &e, &used);
        if (how == MATCH_MORE)
            break;
        if (how == MATCH_NO) {
            step_over(r, in.ptr[i++]);
            continue;
        }
        buf_put(out, in.ptr + plain, i - plain);
        put_value(r, e, out);
        i += used;
        plain = i;
        r->in_word = true;
    }
    buf_put(out, in.ptr + plain, i - plain);
    return i;
}

static void restore_held(struct pseudonym_restorer *r, bool last, struct buf *out)
{
    size_t ate = restore_some(r, (strv){r->held, r->n}, last, out);
    memmove(r->held, r->held + ate, r->n - ate);
    r->n -= ate;
}

static bool restore(struct pseudonym_restorer *r, strv piece, struct buf *out)
{
    while (r->n > 0 && piece.len > 0) { /* byte by byte, until what was held is decided */
        assert(r->n < sizeof r->held);
        r->held[r->n++] = piece.ptr[0];
        piece = strv_from(piece, 1);
        restore_held(r, false, out);
    }
    if (piece.len == 0)
        return !out->failed;
    size_t ate = restore_some(r, piece, false, out);
    assert(piece.len - ate < sizeof r->held);
    r->n = piece.len - ate;
    memcpy(r->held, piece.ptr + ate, r->n);
    return !out->failed;
}

bool pseudonym_restore(struct pseudonym_restorer *r, strv piece, struct buf *out)
{
    return restore(r, piece, out);
}

bool pseudonym_restore_end(struct pseudonym_restorer *r, struct buf *out)
{
    restore_held(r, true, out);
    pseudonym_restorer_init(r, r->map, r->form);
    return !out->failed;
}
