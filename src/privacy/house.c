/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house - what is private here although it holds no identifier; each kind is a switch of the operator.
 *
 *   a person (a name that was found, a role code, a made-up name) and a state of health on one line
 *   the same and a movement
 *   somebody in a bed, or age and sex, and a complaint
 *   a request for records, or a word for protected data with data that is there
 *
 * Questions about rules, law and software have one of these at most.
 */
#include "privacy/rules.h"

#include <string.h>

enum { NEAR = 90 }; /* bytes between two things that belong together, on one line */

static bool is_line(const struct privacy_piece *t, size_t from, size_t to)
{
    return from >= to || memchr(t->view->folded + from, '\n', to - from) == NULL;
}

/* "PGY2-03", "FAC-OIC", "R-07", "person 550e8400-..."; the sign alone is "pgy", "fac", "r". */
static size_t role_end(const struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t i = h->end, digits = 0, hyphens = 0;
    if (h->start > 0 && (is_word(at(t, h->start - 1)) || at(t, h->start - 1) == '-'))
        return 0;
    bool person = h->end - h->start == 6;
    if (person && (at(t, i) == ' ' || at(t, i) == '_'))
        i++;
    for (; is_word(at(t, i)) || at(t, i) == '-'; i++) {
        digits += is_digit(at(t, i));
        hyphens += at(t, i) == '-';
    }
    bool fac = at(t, h->start) == 'f' && hyphens > 0;
    return i - h->start <= 48 && (fac || (digits > 0 && (person || at(t, h->end) == '-' ||
                                                         is_digit(at(t, h->end)))))
               ? i
               : 0;
}

/* "Dr. Placeholder", "Resident Alpha"; with x-ray and the like left to the tables. */
static bool is_alias(const struct privacy_piece *t, const struct privacy_hit *alias)
{
    const struct privacy_hit *title = hit_before(t, PHRASE_TITLE, alias->start, 2);
    return title != NULL && is_letter(at(t, alias->start)) &&
           hit_before(t, PHRASE_TITLE, title->start, 0) == NULL;
}

/* Somebody in particular on the same line, near the place. */
static bool person_near(const struct privacy_piece *t, size_t start, size_t end)
{
    for (size_t i = 0; i < t->n_found; i++) {
        const struct privacy_finding *f = &t->found[i];
        size_t from = f->start < end ? f->end : end, to = f->start < end ? start : f->start;
        if (f->kind == PRIVACY_NAME && f->weight >= 500 && (to < from || to - from < NEAR) &&
            is_line(t, from, to))
            return true;
    }
    for (size_t i = 0; i < t->n_hits; i++) {
        const struct privacy_hit *h = &t->hits[i];
        if (h->start > end + NEAR)
            break;
        if (h->end + NEAR < start || (h->what != PHRASE_ROLE && h->what != PHRASE_ALIAS))
            continue;
        bool is = h->what == PHRASE_ROLE ? role_end(t, h) > 0 : is_alias(t, h);
        if (is && (h->end <= start ? is_line(t, h->end, start) : is_line(t, end, h->start)))
            return true;
    }
    return false;
}

/* ---- the rules ---- */

static void person_and(struct privacy_piece *t, const struct privacy_hit *h)
{
    if (h->what == PHRASE_HEALTH && person_near(t, h->start, h->end))
        piece_find(t, PRIVACY_HEALTH_FACT, RULE_HEALTH_PERSON, 1000, false, h->start, h->end);
    if (h->what == PHRASE_MOVE && person_near(t, h->start, h->end))
        piece_find(t, PRIVACY_MOVEMENT, RULE_MOVEMENT_PERSON, 1000, false, h->start, h->end);
}

static void in_bed(struct privacy_piece *t, const struct privacy_hit *h)
{
    const struct privacy_hit *who = hit_before(t, PHRASE_PT, h->start, 16);
    size_t i = h->end + (at(t, h->end) == ' ');
    bool number = is_digit(at(t, i)) || (at(t, i) == '#' && is_digit(at(t, i + 1)));
    bool word = strncmp(t->view->folded + h->end - 3, "icu", 3) == 0 ||
                strncmp(t->view->folded + h->end - 3, "way", 3) == 0;
    const struct privacy_hit *what = hit_after(t, PHRASE_COMPLAINT, i, 40);
    if ((who != NULL && (number || word)) || (number && what != NULL && is_line(t, i, what->start)))
        piece_find(t, PRIVACY_CASE, RULE_CASE_BED, 1000, false, who != NULL ? who->start : h->start,
                   number ? i + 1 : h->end);
}

/* 62F, palpitations: the number stands right before the letters, and a complaint follows. */
static void age_sex(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t start = h->start;
    bool old = h->end - h->start > 6; /* month old, weeks */
    start -= start > 0 && at(t, start - 1) == ' ' && (old || h->end - h->start > 1);
    size_t end = start;
    while (start > 0 && is_digit(at(t, start - 1)))
        start--;
    if (end == start || end - start > 2 ||
        (start > 0 && strchr(" (\n,;:\"", at(t, start - 1)) == NULL))
        return;
    const struct privacy_hit *what = hit_after(t, PHRASE_COMPLAINT, h->end, 48);
    if (what != NULL && !old)
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, start, what->end);
}

static void shorthand(struct privacy_piece *t, const struct privacy_hit *h)
{
    bool pt = h->end - h->start == 2;
    const struct privacy_hit *what = pt ? hit_after(t, PHRASE_COMPLAINT, h->end, 40) : NULL;
    if (what != NULL)
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, h->start, what->end);
}

/* Words between two places of one line. */
static size_t words(const struct privacy_piece *t, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        if (strchr(".?!;", at(t, i)) != NULL && !is_word(at(t, i + 1)))
            return 100;
        n += is_word(at(t, i)) && !is_word(at(t, i + 1));
    }
    return n;
}

static void records(struct privacy_piece *t, const struct privacy_hit *h)
{
    const struct privacy_hit *verb = hit_before(t, PHRASE_FETCH, h->start, 40);
    bool hyphen = at(t, h->end) == '-' || is_digit(at(t, h->end)) || at(t, h->end) == '_' ||
                  (h->start > 0 && (at(t, h->start - 1) == '_' || at(t, h->start - 1) == '-'));
    if (verb != NULL && !hyphen && words(t, verb->end, h->start) <= 4)
        piece_find(t, PRIVACY_RECORDS, RULE_RECORDS_FETCH, 1000, false, verb->start, h->end);
}

static void protected_data(struct privacy_piece *t, const struct privacy_hit *h)
{
    const struct privacy_hit *data = hit_after(t, PHRASE_CONCRETE, h->end, 40);
    if (data != NULL && words(t, h->end, data->start) <= 4)
        piece_find(t, PRIVACY_RECORDS, RULE_RECORDS_WORD, 1000, false, h->start, data->end);
}

void house_scan(struct privacy_piece *t)
{
    size_t n = t->n_hits;
    for (size_t i = 0; i < n && !t->failed; i++) {
        struct privacy_hit h = t->hits[i];
        switch (h.what) {
        case PHRASE_HEALTH:
        case PHRASE_MOVE:
            person_and(t, &h);
            break;
        case PHRASE_BED:
            in_bed(t, &h);
            break;
        case PHRASE_AGE_SEX:
            age_sex(t, &h);
            break;
        case PHRASE_PT:
            shorthand(t, &h);
            break;
        case PHRASE_RECORDS:
            records(t, &h);
            break;
        case PHRASE_PHI:
            protected_data(t, &h);
            break;
        case PHRASE_ALIAS:
            if (is_alias(t, &h))
                piece_find(t, PRIVACY_PLACEHOLDER, RULE_PLACEHOLDER_PERSON, 1000, false, h.start,
                           h.end);
            break;
        default:
            break;
        }
    }
}
