/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms - addresses, ages, streets: each around the sign that gives it away, looked at in both directions.
 */
#include "privacy/rules.h"

#include <string.h>

static bool one_of(strv word, const char *const *list)
{
    for (; *list != NULL && word.len > 0; list++)
        if (**list == word.ptr[0] && strv_eq_cstr(word, *list))
            return true;
    return false;
}

static strv slice(const struct privacy_piece *t, size_t from, size_t to)
{
    return (strv){t->view->folded + from, to - from};
}

/* ---- mail ---- */

static bool in_local(char c)
{
    return is_word(c) || (c != '\0' && strchr("._%+-'", c) != NULL);
}

/* A dot, also as a word or in brackets, and blanks around it if `loose`; moves behind it. */
static bool dot(const struct privacy_piece *t, size_t *i, bool loose)
{
    static const char *const dots[] = {"[dot]",   "(dot)",   "{dot}", " dot ", "(punto)",
                                       "[punto]", " punto ", "[.]",   "(.)",   NULL};
    size_t k = *i;
    if (at(t, k) == '.' && is_word(at(t, k + 1))) {
        *i = k + 1;
        return true;
    }
    for (size_t n = 0; dots[n] != NULL; n++) {
        size_t from = k + (dots[n][0] != ' ' && at(t, k) == ' '), len = strlen(dots[n]);
        if (from + len <= t->view->n && memcmp(t->view->folded + from, dots[n], len) == 0) {
            *i = from + len;
            *i += at(t, *i) == ' ';
            return true;
        }
    }
    if (loose && at(t, k) == ' ' && at(t, k + 1) == '.') {
        *i = k + 2 + (at(t, k + 2) == ' ');
        return is_word(at(t, *i));
    }
    return false;
}

/* The end of a host with at least one dot and a name at the end, 0 = none. */
static size_t host_end(const struct privacy_piece *t, size_t i, bool loose)
{
    size_t end = 0, parts = 0, last = i;
    while (is_word(at(t, i))) {
        last = i;
        while (is_word(at(t, i)) || (at(t, i) == '-' && is_word(at(t, i + 1))))
            i++;
        end = i;
        parts++;
        if (!dot(t, &i, loose))
            break;
    }
    bool name = end - last >= 2;
    for (size_t k = last; k < end; k++)
        name = name && !is_digit(at(t, k));
    return parts >= 2 && name ? end : 0;
}

static void found_mail(struct privacy_piece *t, size_t start, size_t end, size_t host)
{
    static const char *const nobody[] = {"example.com", "example.org", "example.net", NULL};
    strv local = slice(t, start, host), domain = slice(t, host, end);
    while (local.len > 0 && !in_local(local.ptr[local.len - 1]))
        local.len--;
    if (one_of(domain, nobody) || (strv_eq_cstr(local, "git") && at(t, end) == ':'))
        return;
    piece_find(t, PRIVACY_EMAIL, RULE_EMAIL_FORM, 1000, true, start, end);
}

static void mail(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t start = h->start, host = h->end;
    if (start > 0 && at(t, start - 1) == ' ')
        start--;
    size_t local = start;
    while (start > 0 && local - start < 64 && in_local(at(t, start - 1)))
        start--;
    while (start < local && !is_word(at(t, start)))
        start++;
    for (int k = 0; k < 2 && (at(t, host) == ' ' || (at(t, host) == '\n' && h->end > h->start + 1));
         k++)
        host++;
    bool spaced = local != h->start || host != h->end;
    size_t end = host_end(t, host, spaced);
    if (start < local && end > 0)
        found_mail(t, start, end, host);
}

/* "jane.roe at lakemail dot net": a dot in words, or an end that only mail and hosts have. */
static void mail_words(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const ends[] = {"com", "org",    "net", "edu", "gov",
                                       "mil", "health", "mx",  NULL};
    if (h->start < 2 || at(t, h->start - 1) != ' ' || at(t, h->end) != ' ')
        return;
    size_t start = h->start - 1, host = h->end + 1, end = host_end(t, host, false);
    while (start > 0 && in_local(at(t, start - 1)))
        start--;
    if (end == 0 || start + 1 >= h->start)
        return;
    strv name = slice(t, start, h->start - 1), domain = slice(t, host, end);
    bool words = memchr(domain.ptr, ' ', domain.len) != NULL;
    size_t last = end;
    while (last > host && is_word(at(t, last - 1)))
        last--;
    bool odd = strv_eq(name, STRV("look")) || strv_eq(name, STRV("is")) ||
               strv_eq(name, STRV("available")) || strv_eq(name, STRV("hosted"));
    bool sign = (memchr(name.ptr, '.', name.len) != NULL ||
                 memchr(name.ptr, '_', name.len) != NULL || is_digit(name.ptr[name.len - 1]));
    if (!odd && one_of(slice(t, last, end), ends) && (words || sign))
        found_mail(t, start, end, host);
}

/* ---- pages ---- */

static bool contains(strv text, const char *part)
{
    return strv_contains_nocase(text, strv_of(part));
}

/* Does the path or host speak of one person? */
static bool personal(strv host, strv path)
{
    static const char *const hosts[] = {"linkedin.",     "facebook.", "instagram.", "orcid.",
                                        "researchgate.", "twitter.",  "tiktok.",    "doximity.",
                                        "healthgrades.", "zocdoc.",   "vitals.",    "t.me",
                                        "wa.me",         "linktr.ee", "calendly.",  NULL};
    static const char *const paths[] = {
        "/in/",      "/~",        "/@",          "/profile",   "/people/",   "/person/",
        "/staff/",   "/faculty/", "/residents/", "/patients/", "/patient/",  "/user/",
        "/users/",   "/photo",    "/headshot",   "/members/",  "/physician", "/doctor",
        "/provider", "/bio/",     "/cv/",        "/portrait",  NULL};
    static const char *const ends[] = {".me", ".name", ".bio", ".blog", NULL};
    for (size_t i = 0; hosts[i] != NULL; i++)
        if (contains(host, hosts[i]) && path.len > 1)
            return true;
    for (size_t i = 0; paths[i] != NULL; i++) {
        const char *place =
            path.len > 0 ? memmem(path.ptr, path.len, paths[i], strlen(paths[i])) : NULL;
        if (place != NULL && (size_t)(path.ptr + path.len - place) > strlen(paths[i]))
            return true;
    }
    for (size_t i = 0; ends[i] != NULL; i++)
        if (strv_ends(host, strv_of(ends[i])))
            return true;
    return false;
}

static void url(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const words[] = {
        "personal site", "personal page", "homepage", "home page", "his site",
        "her site",      "profile",       "his page", "her page",  NULL};
    static const char *const docs[] = {"docs.",     "readthedocs", "developer.", "api.",
                                       "localhost", "127.",        NULL};
    size_t end = h->end, host = h->end;
    while (end < t->view->n && end - h->start < 2000 && strchr(" \t\n\r\"'<>`", at(t, end)) == NULL)
        end++;
    while (end > host && strchr(".,;:!?)]}", at(t, end - 1)) != NULL)
        end--;
    strv rest = slice(t, host, end);
    const char *slash = rest.len > 0 ? memchr(rest.ptr, '/', rest.len) : NULL;
    size_t host_len = slash != NULL ? (size_t)(slash - rest.ptr) : rest.len;
    strv name = {rest.ptr, host_len}, path = strv_from(rest, host_len);
    for (size_t i = 0; docs[i] != NULL; i++)
        if (contains(name, docs[i]))
            return;
    size_t from = h->start > 40 ? h->start - 40 : 0;
    strv before = slice(t, from, h->start);
    bool said = false;
    for (size_t i = 0; words[i] != NULL; i++)
        said = said || contains(before, words[i]);
    if (host_len > 0 && (said || personal(name, path)))
        piece_find(t, PRIVACY_URL, RULE_URL_PERSON, 1000, true, h->start, end);
}

/* IMG_0412.jpg, jane-portrait.png */
static void photo(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const words[] = {"face",    "portrait", "photo", "headshot", "selfie",
                                        "mugshot", "retrato",  "foto",  NULL};
    static const char *const cameras[] = {"img", "dsc", "pxl", "dcim", NULL};
    size_t start = h->start > 0 ? h->start - 1 : 0, dot = start;
    if (at(t, dot) != '.' || is_word(at(t, h->end)))
        return;
    while (start > 0 &&
           (is_word(at(t, start - 1)) || at(t, start - 1) == '_' || at(t, start - 1) == '-'))
        start--;
    strv name = slice(t, start, dot);
    bool person = false, digits = name.len > 5 && is_digit(name.ptr[name.len - 1]);
    for (size_t i = 0; words[i] != NULL; i++)
        person = person || contains(name, words[i]);
    for (size_t i = 0; cameras[i] != NULL; i++)
        person = person || (digits && strv_starts(name, strv_of(cameras[i])));
    if (person)
        piece_find(t, PRIVACY_PHOTO, RULE_PHOTO_FILE, 1000, true, start, h->end);
}

/* IMG_2231, PXL_20250311_104455: also without the file's ending. */
static void camera(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t end = h->end;
    while (is_digit(at(t, end)) || (at(t, end) == '_' && is_digit(at(t, end + 1))))
        end++;
    if (at(t, h->end - 1) == '_' && end - h->end >= 4 && !is_letter(at(t, end)))
        piece_find(t, PRIVACY_PHOTO, RULE_PHOTO_FILE, 1000, true, h->start, end);
}

/* ---- ages ---- */

/* The number right before the place, blanks and hyphens left out; its begin, or place. */
static size_t number_before(const struct privacy_piece *t, size_t place, int *value)
{
    size_t end = place;
    while (end > 0 && (at(t, end - 1) == ' ' || at(t, end - 1) == '-') && place - end < 3)
        end--;
    size_t start = end;
    *value = 0;
    while (start > 0 && is_digit(at(t, start - 1)) && end - start < 4)
        start--;
    for (size_t i = start; i < end; i++)
        *value = *value * 10 + at(t, i) - '0';
    bool alone =
        start == 0 || (!is_word(at(t, start - 1)) && strchr(".,/-$#", at(t, start - 1)) == NULL);
    return start < end && alone ? start : place;
}

static void age(struct privacy_piece *t, const struct privacy_hit *h)
{
    int years;
    size_t start = number_before(t, h->start, &years);
    if (start == h->start || years < 90 || years > 125)
        return;
    strv unit = slice(t, h->start, h->end);
    static const char *const doubtful[] = {"m", "f", "yr", "yrs", "years", NULL};
    bool close = h->start - start <= 3; /* "97F", not "97 f" */
    if (one_of(unit, doubtful) &&
        (unit.len > 1 || !close || hit_after(t, PHRASE_COMPLAINT, h->end, 40) == NULL)) {
        if (unit.len > 1 && hit_after(t, PHRASE_COMPLAINT, h->end, 40) == NULL &&
            hit_before(t, PHRASE_PT, start, 20) == NULL)
            return;
        if (unit.len == 1)
            return;
    }
    piece_find(t, PRIVACY_AGE_OVER_89, RULE_AGE_NUMBER, 1000, true, start, h->end);
}

/* ninety-one years old; turns one hundred and one */
static void age_words(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const more[] = {
        "one",   "two",  "three",  "four",   "five",     "six",      "seven",   "eight",
        "nine",  "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "and",
        "y",     "uno",  "un",     "dos",    "tres",     "cuatro",   "cinco",   "seis",
        "siete", "ocho", "nueve",  "diez",   NULL};
    static const char *const units[] = {"year", "years", "yr", "yrs", "yo", "anos", NULL};
    static const char *const not_years[] = {"percent", "patients", "people", "mg", "hours",
                                            "days",    "dollars",  "and",    NULL};
    size_t end = h->end, next = h->end;
    for (int k = 0; k < 3; k++) {
        size_t from = end + 1;
        next = from;
        while (is_word(at(t, next)))
            next++;
        if (next == from || !one_of(slice(t, from, next), more))
            break;
        end = next;
    }
    size_t from = end + (end < t->view->n);
    for (next = from; is_word(at(t, next));)
        next++;
    strv unit = slice(t, from, next);
    bool before = false;
    const struct privacy_hit *label = hit_before(t, PHRASE_AGE, h->start, 3);
    before = label != NULL && !one_of(unit, not_years);
    if (one_of(unit, units) && !strv_eq_cstr(unit, "years"))
        piece_find(t, PRIVACY_AGE_OVER_89, RULE_AGE_WORDS, 1000, true, h->start, next);
    else if (strv_eq_cstr(unit, "years") && hit_after(t, PHRASE_AGE_AFTER, from, 1) != NULL &&
             (strncmp(t->view->folded + from, "years old", 9) == 0 ||
              strncmp(t->view->folded + from, "years of age", 12) == 0))
        piece_find(t, PRIVACY_AGE_OVER_89, RULE_AGE_WORDS, 1000, true, h->start, next);
    else if (before)
        piece_find(t, PRIVACY_AGE_OVER_89, RULE_AGE_WORDS, 1000, true, h->start, end);
}

/* ---- streets ---- */

/* A word of a street's name may not be one of these: "20 minute drive", "3 of the way". */
static const char *const no_street[] = {
    "minute",    "minutes", "min",    "hour",  "hours", "hr",    "day",      "days",    "week",
    "weeks",     "month",   "months", "year",  "years", "mile",  "miles",    "km",      "of",
    "the",       "a",       "an",     "in",    "on",    "per",   "for",      "to",      "and",
    "or",        "is",      "are",    "was",   "at",    "by",    "patients", "patient", "residents",
    "staff",     "people",  "mg",     "ml",    "cc",    "kg",    "percent",  "more",    "less",
    "other",     "than",    "with",   "from",  "call",  "shift", "shifts",   "slot",    "slots",
    "gb",        "tb",      "mb",     "inch",  "point", "step",  "any",      "each",    "pgy",
    "no",        "not",     "if",     "so",    "that",  "this",  "then",     "who",     "when",
    "which",     "it",      "we",     "i",     "you",   "does",  "do",       "can",     "another",
    "different", "new",     "nights", "night", "half",  "way",   "ways",     "rows",    "columns",
    "and",       "same",    "hard",   NULL};

static void street(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const plain[] = {"street",    "avenue", "ave",  "road", "rd",
                                        "boulevard", "blvd",   "lane", "ln",   "terrace",
                                        "parkway",   "pkwy",   NULL};
    size_t start = h->start, words = 0;
    while (words < 4 && start > 1 && at(t, start - 1) == ' ') {
        size_t end = start - 1, from;
        end -= at(t, end - 1) == ',' || at(t, end - 1) == '.';
        for (from = end; from > 0 && (is_word(at(t, from - 1)) || at(t, from - 1) == '\'' ||
                                      at(t, from - 1) == '-');)
            from--;
        strv word = slice(t, from, end);
        if (word.len == 0 || one_of(word, no_street))
            return;
        start = from;
        if (is_digit(word.ptr[0]) &&
            (word.len < 3 || is_digit(word.ptr[word.len - 1]) || words > 0) &&
            (!is_letter(word.ptr[word.len - 1]) || word.len == 1 ||
             is_digit(word.ptr[word.len - 2])))
            break;
        words++;
    }
    if (words == 0 || words > 3 || !is_digit(at(t, start)) || at(t, start - (start > 0)) == '.')
        return;
    for (size_t i = start; is_word(at(t, i)); i++)
        if (i - start > 6)
            return;
    bool sure = one_of(slice(t, h->start, h->end), plain) ||
                label_near(t, LABEL_ADDRESS, start, h->end, 24);
    bool capital = t->view->plain[h->start] != t->view->folded[h->start];
    size_t end = h->end;
    if (at(t, end) == '.')
        end++;
    if (at(t, end) == ' ' && at(t, end + 1) == '#')
        for (end += 2; is_word(at(t, end));)
            end++;
    piece_find(t, PRIVACY_LOCATION, RULE_PLACE_STREET, sure || capital ? 1000 : 600, true, start,
               end);
}

/* Calle Morelos 12, Av. Juarez #4 */
static void street_es(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t i = h->end, words = 0;
    while (words < 6 && (at(t, i) == ' ' || at(t, i) == '.' || at(t, i) == ',')) {
        while (at(t, i) == ' ' || at(t, i) == '.' || at(t, i) == ',' || at(t, i) == '#')
            i++;
        size_t from = i;
        while (is_word(at(t, i)))
            i++;
        if (i == from)
            return;
        if (is_digit(at(t, from)) && words > 0 && i - from <= 5) {
            piece_find(t, PRIVACY_LOCATION, RULE_PLACE_STREET, 1000, true, h->start, i);
            return;
        }
        words++;
    }
}

static void box(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t i = h->end;
    while (at(t, i) == ' ' || at(t, i) == '#' || at(t, i) == '.')
        i++;
    size_t from = i;
    while (is_digit(at(t, i)))
        i++;
    if (i == from)
        return;
    piece_find(t, PRIVACY_LOCATION, RULE_PLACE_BOX, 1000, true, h->start, i);
    size_t k = token_at(t, i); /* and the postal code of the town behind it */
    if (k < t->n_tokens && t->tokens[k].start < i + 40 && t->tokens[k].digits == 5 &&
        t->tokens[k].letters == 0)
        piece_find(t, PRIVACY_ZIP, RULE_ZIP_LABEL, 1000, true, t->tokens[k].start,
                   t->tokens[k].end);
}

/* 39.9612, -82.9988 */
static size_t degrees(const struct privacy_piece *t, size_t i, double *v, size_t *places)
{
    size_t start = i;
    double scale = 1;
    *v = 0;
    *places = 0;
    i += at(t, i) == '-' || at(t, i) == '+';
    for (size_t n = 0; is_digit(at(t, i)) && n < 4; n++)
        *v = *v * 10 + at(t, i++) - '0';
    if (at(t, i) != '.' || i == start)
        return 0;
    for (i++; is_digit(at(t, i)); i++, ++*places)
        *v += (at(t, i) - '0') * (scale /= 10);
    return i;
}

static void point(struct privacy_piece *t, const struct privacy_token *token)
{
    double a, b;
    size_t places_a, places_b, start = token->start;
    size_t i = degrees(t, start, &a, &places_a);
    if (i == 0 || places_a < 3 || a > 90)
        return;
    while (i < token->end + 4 && strchr(" ,;nsNS", at(t, i)) != NULL && at(t, i) != '\n')
        i++;
    size_t end = degrees(t, i, &b, &places_b);
    if (end == 0 || places_b < 3 || b > 180 || i == token->end)
        return;
    bool label = label_near(t, LABEL_ADDRESS, start, end, 30);
    bool minus = start > 0 && at(t, start - 1) == '-';
    if (label || (places_a >= 4 && places_b >= 4 && b >= 20))
        piece_find(t, PRIVACY_LOCATION, RULE_PLACE_POINT, 1000, true, start - minus, end);
}

/* OH 45701, and 43215-3307 */
static void zip(struct privacy_piece *t, const struct privacy_token *token)
{
    size_t start = token->start, n = token->end - start;
    bool nine = n == 10 && token->digits == 9 && at(t, start + 5) == '-';
    if (token->letters > 0 || (!nine && (n != 5 || token->digits != 5)))
        return;
    size_t i = start;
    while (i > 0 && (at(t, i - 1) == ' ' || at(t, i - 1) == ',' || at(t, i - 1) == '^') &&
           start - i < 2)
        i--;
    if (i >= 3 && i < start && valid_state((strv){t->view->plain + i - 2, 2}) &&
        !is_word(at(t, i - 3)))
        piece_find(t, PRIVACY_ZIP, RULE_ZIP_LABEL, 1000, true, start, token->end);
    else if (nine)
        piece_find(t, PRIVACY_ZIP, RULE_ZIP_FORM, 700, true, start, token->end);
}

/* ---- names in systems ---- */

/* Of a text, a line, or something quoted. */
static bool is_begin(const struct privacy_piece *t, size_t place)
{
    return place == 0 || at(t, place - 1) == '\n' || at(t, place - 1) == '"';
}

/* bram#4471, and #66120-77 with nothing before it */
static void hash(struct privacy_piece *t, const struct privacy_hit *h)
{
    size_t end = h->end, start = h->start, digits = 0, signs = 0;
    while (is_digit(at(t, end)) || (at(t, end) == '-' && is_digit(at(t, end + 1)))) {
        digits += is_digit(at(t, end));
        signs += at(t, end++) == '-';
    }
    while (start > 0 && (is_word(at(t, start - 1)) || strchr("._", at(t, start - 1)) != NULL))
        start--;
    if (is_word(at(t, end)) || digits < 4)
        return;
    if (start < h->start && digits == 4 && signs == 0 && is_letter(at(t, start)) &&
        h->start - start >= 3)
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_HANDLE, 1000, true, start, end);
    else if (start == h->start && is_begin(t, start) && (signs > 0 || digits >= 7) && digits >= 5 &&
             digits <= 12)
        piece_find(t, PRIVACY_MRN, RULE_MRN_HASH, 1000, true, h->end, end);
}

/* user=bfashola, login pkhandelwal3: a word that is no account of a program. */
static void login(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const programs[] = {
        "admin",   "root",      "app",   "user",     "system", "test",   "guest",   "nobody",
        "service", "postgres",  "mysql", "www-data", "git",    "ubuntu", "debian",  "deploy",
        "docker",  "anonymous", "none",  "null",     "true",   "false",  "default", "operator",
        "daemon",  "backup",    "nginx", "redis",    "oracle", "sa",     "me",      "you",
        "demo",    "owner",     "role",  "name",     "string", NULL};
    size_t i = h->end;
    bool sign = false;
    for (; strchr(" =:'\"", at(t, i)) != NULL && at(t, i) != '\0' && i - h->end < 4; i++)
        sign = sign || at(t, i) == '=' || at(t, i) == ':';
    size_t end = i, digits = 0, letters = 0;
    while (is_word(at(t, end)) || ((at(t, end) == '.' || at(t, end) == '_' || at(t, end) == '-') &&
                                   is_word(at(t, end + 1)))) {
        digits += is_digit(at(t, end));
        letters += is_letter(at(t, end));
        end++;
    }
    strv word = slice(t, i, end);
    if (i == h->end || letters < 3 || end - i > 32 || one_of(word, programs) || at(t, end) == '(' ||
        at(t, end) == '[' || at(t, end) == '=')
        return;
    bool shape = digits > 0 && digits <= 4 && is_letter(at(t, i)) && is_digit(at(t, end - 1));
    bool log = sign && digits == 0 && letters >= 5 && at(t, h->end) == '=' &&
               is_word(at(t, h->end + 1)) && (h->start == 0 || at(t, h->start - 1) == ' ');
    if (shape || log)
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_HANDLE, 1000, true, i, end);
}

void forms_scan(struct privacy_piece *t)
{
    size_t n = t->n_hits;
    for (size_t i = 0; i < n && !t->failed; i++) {
        struct privacy_hit hit = t->hits[i];
        if (rules_rows[hit.what].act == ACT_MARK && !t->fixed)
            piece_find(t, (enum privacy_kind)privacy_rule_kind(rules_rows[hit.what].what),
                       rules_rows[hit.what].what, 1000, false, hit.start, hit.end);
        if (rules_rows[hit.what].act != ACT_FORM)
            continue;
        switch ((enum rules_form)rules_rows[hit.what].what) {
        case FORM_EMAIL:
            mail(t, &hit);
            break;
        case FORM_EMAIL_WORDS:
            mail_words(t, &hit);
            break;
        case FORM_URL:
            url(t, &hit);
            break;
        case FORM_PHOTO:
            photo(t, &hit);
            break;
        case FORM_CAMERA:
            camera(t, &hit);
            break;
        case FORM_AGE:
            age(t, &hit);
            break;
        case FORM_AGE_WORDS:
            age_words(t, &hit);
            break;
        case FORM_STREET:
            street(t, &hit);
            break;
        case FORM_STREET_ES:
            street_es(t, &hit);
            break;
        case FORM_BOX:
            box(t, &hit);
            break;
        case FORM_HANDLE:
            hash(t, &hit);
            break;
        case FORM_LOGIN:
            login(t, &hit);
            break;
        default:
            break; /* structure.c and house.c */
        }
    }
    for (size_t i = 0; i < t->n_tokens && !t->failed; i++) {
        point(t, &t->tokens[i]);
        zip(t, &t->tokens[i]);
    }
}
