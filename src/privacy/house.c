/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house - what is private here although it holds no identifier; each kind is a switch of the operator.
 *
 *   a person (a name that was found, a role code, a made-up name) and a state of health on one line
 *   the same and a movement
 *   somebody in a bed, or age and sex, and a complaint; "teen with fever", "our septic one needs pressors"
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

static bool begins_line(const struct privacy_piece *t, size_t place)
{
    return place == 0 || at(t, place - 1) == '\n' || at(t, place - 1) == '"';
}

/* The word that ends before the place; empty: there is none, or a sign between them. */
static strv word_before(const struct privacy_piece *t, size_t place)
{
    size_t end = place > 0 && at(t, place - 1) == ' ' ? place - 1 : place, start = end;
    while (start > 0 && is_letter(at(t, start - 1)))
        start--;
    return (strv){t->view->folded + start, end < place ? end - start : 0};
}

static bool is_ours(strv word)
{
    return strv_eq_cstr(word, "our") || strv_eq_cstr(word, "my") || strv_eq_cstr(word, "this");
}

/* Somebody in particular: at the begin of a line, as notes have it, or one of ours. What rules speak of ("the patient")
 * is nobody. */
static bool in_particular(const struct privacy_piece *t, const struct privacy_hit *who)
{
    strv name = {t->view->folded + who->start, who->end - who->start};
    bool anybody = strv_starts(name, STRV("pa")) || strv_starts(name, STRV("pt")) ||
                   strv_eq_cstr(name, "child") || strv_eq_cstr(name, "one");
    strv before = word_before(t, who->start);
    if (before.len > 0 && is_ours(before))
        return true;
    size_t from = before.len > 0 ? (size_t)(before.ptr - t->view->folded) : 0;
    if (before.len > 3 && is_ours(word_before(t, from))) /* our septic one */
        return true;
    return !anybody && (begins_line(t, who->start) || strv_eq_cstr(before, "the") ||
                        strv_eq_cstr(before, "that"));
}

/* "teen with fever after travel", "the kid from the crash is going to theatre", "toddler swallowed a coin" */
static void somebody(struct privacy_piece *t, const struct privacy_hit *who)
{
    const struct privacy_hit *has = hit_after(t, PHRASE_HAS, who->end, 1);
    const struct privacy_hit *event = hit_after(t, PHRASE_EVENT, who->end, 48);
    const struct privacy_hit *what =
        has != NULL ? hit_after(t, PHRASE_COMPLAINT, has->end, 48) : NULL;
    bool near = event != NULL && (has != NULL || event->start <= who->end + 1);
    const struct privacy_hit *last = near ? event : what;
    if (last != NULL && words(t, who->end, last->start) <= 9 && in_particular(t, who))
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, who->start, last->end);
}

/* "pregnant, first trimester bleeding" */
static void pregnant(struct privacy_piece *t, const struct privacy_hit *h)
{
    const struct privacy_hit *what = hit_after(t, PHRASE_COMPLAINT, h->end, 40);
    if (at(t, h->start) == 'p' && at(t, h->end - 1) == 't' && begins_line(t, h->start) &&
        what != NULL && words(t, h->end, what->start) <= 5)
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, h->start, what->end);
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
    if (what != NULL && (!old || (begins_line(t, start) && at(t, h->start) != 'y')))
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, start, what->end);
}

static void shorthand(struct privacy_piece *t, const struct privacy_hit *h)
{
    bool pt = h->end - h->start == 2;
    const struct privacy_hit *what = pt ? hit_after(t, PHRASE_COMPLAINT, h->end, 40) : NULL;
    if (what != NULL)
        piece_find(t, PRIVACY_CASE, RULE_CASE_SHORTHAND, 1000, false, h->start, what->end);
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
            pregnant(t, &h);
            person_and(t, &h);
            break;
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
            somebody(t, &h);
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
