/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels - numbers and dates that a word near them explains.
 *
 *   "MRN:\n00481516"   the label, and among the next words the first token that may be such a number
 *   "481516 is his MRN"   a strong label also reaches back
 *   mrn,dob / 481516,1970-01-02   a column's head is the label of its cells (structure.c)
 */
#include "privacy/rules.h"

/* What a value of each label must look like: digits and length of the token, and how much of the text behind the
 * label may stand between them. */
struct label_row {
    uint8_t kind;
    uint16_t rule;
    uint8_t digits_min, digits_max, len_max;
    bool joined; /* several tokens with blanks between them may be one value */
};
static const struct label_row label_rows[LABELS] = {
    [LABEL_MRN] = {PRIVACY_MRN, RULE_MRN_LABEL, 4, 14, 18, true},
    [LABEL_SSN] = {PRIVACY_SSN, RULE_SSN_LABEL, 4, 9, 14, true},
    [LABEL_PHONE] = {PRIVACY_PHONE, RULE_PHONE_LABEL, 7, 15, 20, true},
    [LABEL_FAX] = {PRIVACY_FAX, RULE_FAX_LABEL, 7, 15, 20, true},
    [LABEL_ZIP] = {PRIVACY_ZIP, RULE_ZIP_LABEL, 5, 9, 12, false},
    [LABEL_AGE] = {PRIVACY_AGE_OVER_89, RULE_AGE_NUMBER, 2, 3, 3, false},
    [LABEL_PLAN] = {PRIVACY_HEALTH_PLAN_ID, RULE_PLAN_LABEL, 5, 16, 22, true},
    [LABEL_ACCOUNT] = {PRIVACY_ACCOUNT, RULE_ACCOUNT_LABEL, 5, 22, 30, true},
    [LABEL_ROUTING] = {PRIVACY_ACCOUNT, RULE_ACCOUNT_LABEL, 9, 9, 12, false},
    [LABEL_LICENSE] = {PRIVACY_LICENSE, RULE_LICENSE_LABEL, 5, 14, 18, true},
    [LABEL_NPI] = {PRIVACY_NPI, RULE_NPI_LABEL, 10, 10, 13, true},
    [LABEL_DEA] = {PRIVACY_DEA, RULE_DEA_LABEL, 7, 7, 11, false},
    [LABEL_VEHICLE] = {PRIVACY_VEHICLE, RULE_VEHICLE_LABEL, 2, 17, 17, true},
    [LABEL_DEVICE] = {PRIVACY_DEVICE, RULE_DEVICE_LABEL, 3, 20, 30, false},
    [LABEL_BIOMETRIC] = {PRIVACY_BIOMETRIC, RULE_BIOMETRIC_LABEL, 2, 20, 30, false},
    [LABEL_STAFF] = {PRIVACY_OTHER_ID, RULE_ID_LABEL, 3, 14, 20, true},
};

struct value {
    size_t start, end, digits, letters;
};

/* ---- is it one? ---- */

static bool is_date(const struct privacy_piece *t, const struct value *v)
{
    int year;
    return date_at(t, v->start, false, &year) >= v->end;
}

static bool is_uuid(const struct privacy_piece *t, const struct value *v)
{
    return v->end - v->start == 36 && at(t, v->start + 8) == '-' && at(t, v->start + 13) == '-';
}

static bool is_age(const struct privacy_piece *t, const struct value *v)
{
    int age = 0;
    for (size_t i = v->start; i < v->end; i++)
        age = age * 10 + at(t, i) - '0';
    return v->letters == 0 && age >= 90 && age <= 125 && at(t, v->end) != '%' &&
           at(t, v->end) != '/' && hit_after(t, PHRASE_EXEMPT, v->end, 2) == NULL;
}

static bool is_plate(const struct value *v)
{
    size_t n = v->digits + v->letters;
    return n == 17 || (n >= 5 && n <= 8 && v->letters >= 1 && v->digits >= 2);
}

static bool fits(const struct privacy_piece *t, enum privacy_label label, const struct value *v)
{
    const struct label_row *row = &label_rows[label];
    if (v->digits < row->digits_min || v->digits > row->digits_max ||
        v->end - v->start > row->len_max || is_uuid(t, v))
        return false;
    switch (label) {
    case LABEL_SSN:
        return v->letters == 0 && (v->digits == 9 || v->digits == 4);
    case LABEL_ZIP:
        return v->letters == 0 && (v->digits == 5 || (v->digits == 9 && v->end - v->start == 10));
    case LABEL_AGE:
        return is_age(t, v);
    case LABEL_DEA:
        return v->letters == 2;
    case LABEL_VEHICLE:
        return is_plate(v);
    case LABEL_DEVICE:
        return v->digits + v->letters >= 5 && !is_date(t, v);
    case LABEL_STAFF:
        return (v->digits >= 4 || v->digits + v->letters >= 6) && !is_date(t, v);
    case LABEL_PHONE:
    case LABEL_FAX:
        return v->letters == 0 && v->digits != 9 && !is_date(t, v);
    default:
        return !is_date(t, v);
    }
}

/* ---- the value ---- */

/* Token i from `from` on, with what belongs to it by blanks: "ZGP 443 018 826", "W2217 74419". */
static struct value value_of(const struct privacy_piece *t, size_t i, size_t from, bool joined)
{
    const struct privacy_token *token = &t->tokens[i];
    struct value v = {token->start, token->end, token->digits, token->letters};
    if (from > v.start) { /* the label and the number are one word */
        v.start = from;
        v.letters = 0;
        while (v.start < v.end && !is_word(at(t, v.start)))
            v.start++;
        for (size_t k = v.start; k < v.end; k++)
            v.letters += is_letter(at(t, k));
    }
    for (size_t k = i + 1; joined && k < t->n_tokens && k < i + 5; k++) {
        const struct privacy_token *next = &t->tokens[k];
        size_t gap = next->start - v.end;
        bool dash = gap == 3 && at(t, v.end + 1) == '-';
        bool blank = gap <= 2 && at(t, v.end) == ' ' && at(t, v.end + gap - 1) == ' ';
        if (next->letters > 0 || !(dash || blank) || v.digits + next->digits > 16)
            break;
        v.end = next->end;
        v.digits += next->digits;
    }
    return v;
}

/* Two to four letters right before the digits belong to them: a plate, a plan's prefix. */
static void with_prefix(const struct privacy_piece *t, struct value *v, size_t from)
{
    static const char *const never[] = {"no", "num", "nr", "id", "is",  "was", "are", "of", "the",
                                        "on", "in",  "at", "to", "for", "and", "or",  "by"};
    size_t start = v->start > from + 1 && at(t, v->start - 1) == ' ' ? v->start - 1 : v->start;
    start -= start > from + 1 && start < v->start && at(t, start - 1) == ' ';
    size_t end = start;
    while (start > from && is_letter(at(t, start - 1)))
        start--;
    if (end == v->start || end - start < 2 || end - start > 4)
        return;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (strv_eq_cstr((strv){t->view->folded + start, end - start}, never[i]))
            return;
    v->letters += end - start;
    v->start = start;
}

/* Words in [from, to), 100 if a sentence or paragraph ends there. */
static size_t words_between(const struct privacy_piece *t, size_t from, size_t to)
{
    size_t words = 0;
    for (size_t i = from; i < to; i++) {
        char c = at(t, i), next = at(t, i + 1);
        bool ends = ((c == '.' || c == '?' || c == '!') && (next == ' ' || next == '\n') &&
                     i > from + 1 && words > 0) ||
                    (c == '\n' && next == '\n');
        if (ends)
            return 100;
        words += is_word(c) && !is_word(next);
    }
    return words;
}

static void found(struct privacy_piece *t, enum privacy_label label, const struct value *v,
                  unsigned weight)
{
    const struct label_row *row = &label_rows[label];
    piece_find(t, (enum privacy_kind)row->kind, row->rule, weight, true, v->start, v->end);
}

/* An exact number of another kind stands there already: a label in the neighbourhood means another one. */
static bool taken(const struct privacy_piece *t, enum privacy_label label, const struct value *v)
{
    for (size_t i = 0; i < t->n_found; i++) {
        const struct privacy_finding *f = &t->found[i];
        if (f->start < v->end && f->end > v->start && f->kind != label_rows[label].kind &&
            f->weight >= 1000 && f->rule != RULE_SSN_BARE && f->rule != RULE_NPI_CHECK &&
            f->rule != RULE_PHONE_FORM)
            return true;
    }
    return false;
}

/* How strong "id" is: with a word before it that is not one of things. */
static unsigned weight_of(const struct privacy_piece *t, const struct privacy_hit *hit)
{
    if (hit->what != PHRASE_STAFF_ID)
        return 1000;
    bool word = hit->start > 1 && at(t, hit->start - 1) == ' ' && is_letter(at(t, hit->start - 2));
    return word && hit_before(t, PHRASE_EXEMPT, hit->start, 2) == NULL ? 1000 : 400;
}

static bool allowed(const struct privacy_piece *t, const struct privacy_hit *hit,
                    enum privacy_label label, const struct value *v, size_t words)
{
    if (hit->what == PHRASE_PHONE_EXT)
        return v->digits >= 3 && v->digits <= 6 && v->letters == 0 && words == 0;
    if (!fits(t, label, v))
        return false;
    if (label == LABEL_SSN && v->digits == 4)
        return words == 0 || (hit->what == PHRASE_SSN_LAST && words <= 3);
    if (label == LABEL_ZIP || label == LABEL_AGE)
        return words <= 1;
    if (hit->what == PHRASE_MRN_WEAK || hit->what == PHRASE_STAFF_ID || hit->what == PHRASE_PLAN)
        return v->digits >= 5 || (hit->what == PHRASE_MRN_WEAK && v->digits >= 5);
    return true;
}

/* ICD-10 is a list of diseases, an ICD is in somebody's chest. */
static bool is_code_system(const struct privacy_piece *t, const struct privacy_hit *hit)
{
    size_t i = hit->end + (at(t, hit->end) == ' ' || at(t, hit->end) == '-'), end = i;
    while (is_digit(at(t, end)))
        end++;
    return hit->what == PHRASE_DEVICE_THING && hit->end - hit->start == 3 && end > i &&
           end - i <= 2 && (at(t, end) == ' ' || at(t, end) == '-');
}

static bool behind(struct privacy_piece *t, const struct privacy_hit *hit, enum privacy_label label,
                   unsigned reach)
{
    if (is_code_system(t, hit))
        return true;
    size_t limit = hit->end + (reach == 2 ? 56 : 20), max = reach == 2 ? 5 : 1;
    for (size_t i = token_at(t, hit->end); i < t->n_tokens && t->tokens[i].start < limit; i++) {
        struct value v = value_of(t, i, hit->end, label_rows[label].joined);
        size_t words = words_between(t, hit->end, v.start);
        if (words > max)
            return false;
        bool prefix = label == LABEL_PLAN || label == LABEL_VEHICLE || label == LABEL_LICENSE;
        struct value longer = v;
        if (prefix && v.start > hit->end)
            with_prefix(t, &longer, hit->end);
        const struct value *which = allowed(t, hit, label, &longer, words) ? &longer : &v;
        if (!allowed(t, hit, label, which, words)) {
            struct value alone = value_of(t, i, hit->end, false); /* without its neighbours */
            if (!allowed(t, hit, label, &alone, words))
                continue;
            v = alone;
            which = &v;
        }
        if (taken(t, label, which))
            continue;
        found(t, label, which, weight_of(t, hit));
        if (label != LABEL_MRN || reach == 1)
            return true;
    }
    return false;
}

/* "481516 is his MRN": only strong labels, on the same line, and no other label nearer. */
static void in_front(struct privacy_piece *t, const struct privacy_hit *hit,
                     enum privacy_label label)
{
    size_t i = token_at(t, hit->start > 0 ? hit->start - 1 : 0);
    if (label == LABEL_ZIP || label == LABEL_AGE || label == LABEL_DEVICE)
        return;
    if (i >= t->n_tokens || t->tokens[i].end > hit->start) {
        if (i == 0)
            return;
        i--;
    }
    struct value v = value_of(t, i, 0, false);
    if (v.end > hit->start || hit->start - v.end > 24 || words_between(t, v.end, hit->start) > 3 ||
        memchr(t->view->folded + v.end, '\n', hit->start - v.end) != NULL || v.digits < 5)
        return;
    if (allowed(t, hit, label, &v, 1) && !taken(t, label, &v) &&
        hit_before(t, PHRASE_EXEMPT, v.start, 6) == NULL)
        found(t, label, &v,
              label == LABEL_MRN || label == LABEL_NPI || label == LABEL_STAFF ? 1000 : 700);
}

/* ---- dates ---- */

static bool find_date(const struct privacy_piece *t, size_t from, size_t to, bool loose,
                      size_t *start, size_t *end)
{
    int year;
    for (size_t i = token_at(t, from); i < t->n_tokens && t->tokens[i].start < to; i++) {
        size_t place = t->tokens[i].start < from ? from : t->tokens[i].start;
        while (place < t->tokens[i].end && !is_digit(at(t, place)))
            place++;
        *end = date_at(t, place, loose, &year);
        *start = place;
        if (*end > 0 && words_between(t, from, place) < 100)
            return true;
    }
    for (size_t place = from;;) {
        const struct privacy_hit *month =
            hit_after(t, PHRASE_MONTH, place, to > place ? to - place : 0);
        if (month == NULL)
            return false;
        if (date_around_month(t, month->start, month->end, start, end) &&
            words_between(t, from, month->start) < 100)
            return true;
        place = month->end;
    }
}

static void date_of(struct privacy_piece *t, const struct privacy_hit *hit, bool birth,
                    unsigned reach)
{
    size_t start, end, limit = hit->end + (reach == 2 ? 60 : 40);
    unsigned rule = birth ? RULE_DATE_BIRTH : reach == 2 ? RULE_DATE_CARE : RULE_DATE_VISIT;
    unsigned weight = reach == 2 ? 1000 : 600;
    size_t from = hit->end;
    bool any = false;
    while (find_date(t, from, limit, true, &start, &end)) {
        piece_find(t, PRIVACY_DATE, rule, weight, true, start, end);
        from = end;
        any = true;
    }
    size_t back = hit->start > 30 ? hit->start - 30 : 0;
    if (!any && find_date(t, back, hit->start, reach == 2, &start, &end) && end <= hit->start &&
        words_between(t, end, hit->start) <= 3)
        piece_find(t, PRIVACY_DATE, rule, weight, true, start, end);
}

/* ---- all of them ---- */

static void value_in_column(struct privacy_piece *t, const struct privacy_value *value)
{
    enum privacy_label label = (enum privacy_label)value->label;
    size_t start, end;
    if (label == LABEL_DOB || label == LABEL_DATE) {
        if (find_date(t, value->start, value->end, true, &start, &end))
            piece_find(t, PRIVACY_DATE, label == LABEL_DOB ? RULE_DATE_BIRTH : RULE_DATE_STAMP,
                       label == LABEL_DOB ? 1000 : 600, true, start, end);
        return;
    }
    size_t i = token_at(t, value->start);
    if (label_rows[label].rule == 0 || i >= t->n_tokens || t->tokens[i].start >= value->end)
        return;
    struct value v = value_of(t, i, value->start, label_rows[label].joined);
    if (v.end <= value->end && fits(t, label, &v) && !taken(t, label, &v))
        found(t, label, &v, 1000);
}

void labels_scan(struct privacy_piece *t)
{
    size_t n = t->n_hits;
    for (size_t i = 0; i < n && !t->failed; i++) {
        struct privacy_hit hit = t->hits[i];
        const struct rules_row *row = &rules_rows[hit.what];
        enum privacy_label label = (enum privacy_label)row->what;
        if (row->act != ACT_LABEL)
            continue;
        if (label == LABEL_DOB || label == LABEL_DATE)
            date_of(t, &hit, label == LABEL_DOB, row->reach);
        else if (label_rows[label].rule != 0 && !behind(t, &hit, label, row->reach) &&
                 row->reach == 2)
            in_front(t, &hit, label);
    }
    for (size_t i = 0; i < t->n_values && !t->failed; i++)
        value_in_column(t, &t->values[i]);
}
