/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers - what numbers are by their own form.
 *
 * One walk gathers tokens (words that have a digit) and groups (runs of digits with what joins them to the
 * next), then every group asks: does a number of a known form begin here?  "614 - 555.0143", "(614)5550143"
 * and "6145550143" are the groups 3 3 4, 3 7 and 10.
 */
#include "privacy/rules.h"

#include <string.h>

/* ---- gathering ---- */

/* An O, l or I that stands for a digit: only such letters and digits in the word, and a digit beside it. */
static bool digit_like(char c)
{
    return (c == 'o') | (c == 'l') | (c == 'i');
}

static char as_digit(char c)
{
    return c == 'o' ? '0' : c == 'l' || c == 'i' ? '1' : c;
}

/* The word [start, end) of letters and digits: are its letters misread digits? */
static bool all_digits(const struct privacy_piece *t, size_t start, size_t end)
{
    const char *p = t->view->folded;
    size_t digits = 0, like = 0;
    for (size_t i = start; i < end; i++) {
        digits += is_digit(p[i]);
        like += digit_like(p[i]);
    }
    return digits > 0 && digits + like == end - start && digits >= like;
}

/* What joins two runs of digits, 0 = nothing. Blanks around one sign count as the sign. */
static char gap_of(const struct privacy_piece *t, size_t from, size_t to)
{
    char sign = 0;
    bool blank = false;
    if (to - from > 6)
        return 0;
    for (size_t i = from; i < to; i++) {
        char c = at(t, i);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            blank = true;
        } else if (c == ')' || c == ']') {
            sign = sign == 0 ? ')' : sign == '-' ? 0 : sign;
        } else if (c == '(' && sign == 0) {
            sign = '('; /* 1 (614) */
        } else if (strchr("-./_*~", c) != NULL && (sign == 0 || sign == ')')) {
            sign = sign == ')' ? ')' : c == '_' || c == '*' || c == '~' ? '-' : c;
        } else {
            return 0;
        }
    }
    if (sign == '.' && blank)
        return 0; /* the end of a sentence */
    return sign == '(' ? ' ' : sign != 0 ? sign : blank ? ' ' : 0;
}

static bool add_group(struct privacy_piece *t, size_t start, size_t end)
{
    if (t->n_groups > 0) {
        struct privacy_digits *last = &t->groups[t->n_groups - 1];
        last->gap = gap_of(t, last->end, start);
    }
    struct privacy_digits *g = piece_add_group(t);
    if (g != NULL)
        *g = (struct privacy_digits){(uint32_t)start, (uint32_t)end, 0};
    return g != NULL;
}

/* The groups of one word; a word of misread digits is one. */
static bool add_groups(struct privacy_piece *t, size_t start, size_t end)
{
    const char *p = t->view->folded;
    if (all_digits(t, start, end))
        return add_group(t, start, end);
    for (size_t i = start; i < end;) {
        size_t from = i;
        while (i < end && is_digit(p[i]))
            i++;
        if (i > from && !add_group(t, from, i))
            return false;
        i += i == from;
    }
    return true;
}

static bool joins(const struct privacy_piece *t, size_t i)
{
    char c = at(t, i);
    return ((c == '-') | (c == '.') | (c == '/') | (c == '_')) && is_word(at(t, i + 1));
}

static bool add_token(struct privacy_piece *t, size_t start, size_t end)
{
    struct privacy_token *token = piece_add_token(t);
    if (token == NULL)
        return false;
    const char *p = t->view->folded;
    unsigned digits = 0, letters = 0;
    bool before = false, digit = is_digit(p[start]); /* the byte before is one; this one is */
    for (size_t i = start; i < end; i++) {
        bool after = (i + 1 < end) & is_digit(p[i + 1]); /* a zero stands behind the view */
        bool like = digit_like(p[i]) & (before | after);
        digits += digit | like;
        letters += is_letter(p[i]) & !like;
        before = digit;
        digit = after;
    }
    *token =
        (struct privacy_token){(uint32_t)start, (uint32_t)end, (uint16_t)digits, (uint16_t)letters};
    return true;
}

/* The words of the token [start, end); those with digits have groups. */
static bool add_words(struct privacy_piece *t, size_t start, size_t end)
{
    const char *p = t->view->folded;
    bool digits = false;
    for (size_t word = start, i = start; i <= end; i++) {
        if (i < end && is_word(p[i])) {
            digits |= is_digit(p[i]);
            continue;
        }
        if (digits && !add_groups(t, word, i))
            return false;
        word = i + 1;
        digits = false;
    }
    return add_token(t, start, end);
}

/* The first digit from i on; n: there is none. */
static size_t next_digit(const char *p, size_t i, size_t n)
{
    for (; i + 8 <= n; i += 8) {
        uint64_t digits = eight_between(eight_at(p + i), '0', '9');
        if (digits != 0)
            return i + eight_first(digits);
    }
    while (i < n && !is_digit(p[i]))
        i++;
    return i;
}

/* From digit to digit; a token reaches to both sides of it. */
static bool gather(struct privacy_piece *t)
{
    const char *p = t->view->folded;
    size_t n = t->view->n, last = 0;
    for (size_t i = next_digit(p, 0, n); i < n; i = next_digit(p, i, n)) {
        size_t start = i;
        while (start > last && (is_word(p[start - 1]) ||
                                (start - 1 > last && joins(t, start - 1) && is_word(p[start - 2]))))
            start--;
        while (i < n && (is_word(p[i]) || joins(t, i)))
            i++;
        if (!add_words(t, start, i))
            return false;
        last = i;
    }
    return true;
}

size_t token_at(const struct privacy_piece *t, size_t place)
{
    size_t low = 0, n = t->n_tokens;
    for (; n > 1; n -= n / 2) /* as many steps wherever it is */
        low += t->tokens[low + n / 2 - 1].end <= place ? n / 2 : 0;
    return low + (n == 1 && t->tokens[low].end <= place);
}

size_t squeeze(const struct privacy_piece *t, size_t start, size_t end, bool digits, char *out,
               size_t size)
{
    size_t n = 0;
    for (size_t i = start; i < end && n + 1 < size; i++)
        if (is_word(at(t, i)))
            out[n++] = digits ? as_digit(at(t, i)) : at(t, i);
    out[n] = '\0';
    return n;
}

/* ---- what stands around ---- */

/* Nothing that belongs to the number stands before it. */
static bool free_before(const struct privacy_piece *t, size_t start)
{
    char c = start > 0 ? at(t, start - 1) : ' ', b = start > 1 ? at(t, start - 2) : ' ';
    if (is_letter(c) || is_digit(c) || c == '$')
        return false;
    return !((c == '-' || c == '.' || c == '/' || c == ',') && is_digit(b));
}

static bool free_after(const struct privacy_piece *t, size_t end)
{
    char c = at(t, end), d = at(t, end + 1);
    if ((c == 'x' || c == 'e') && (is_digit(d) || d == 'x'))
        return true; /* an extension */
    if (is_letter(c) || is_digit(c) || c == '%')
        return false;
    return !((c == '-' || c == '.' || c == '/' || c == ',') && is_digit(d));
}

/* A word before it says that the number is of a thing, or one behind it that it is an amount. */
static bool exempt(const struct privacy_piece *t, size_t start, size_t end)
{
    return hit_before(t, PHRASE_EXEMPT, start, 6) != NULL ||
           hit_after(t, PHRASE_EXEMPT, end, 1) != NULL;
}

/* ---- forms of groups ---- */

struct form {
    const struct privacy_piece *t;
    const struct privacy_digits *g; /* the first group */
    size_t left;                    /* groups that are there, this one included */
};

static size_t len(const struct form *f, size_t i)
{
    return i < f->left ? f->g[i].end - f->g[i].start : 0;
}

/* Groups [0, n) have these lengths, and something joins them. */
static bool lens(const struct form *f, size_t n, const unsigned char *want)
{
    for (size_t i = 0; i < n; i++)
        if (len(f, i) != want[i] || (i + 1 < n && f->g[i].gap == 0))
            return false;
    return f->left >= n;
}

static bool same_gaps(const struct form *f, size_t n)
{
    for (size_t i = 1; i + 1 < n; i++)
        if (f->g[i].gap != f->g[0].gap)
            return false;
    return true;
}

/* The digits of n groups, if they stand free. */
static size_t digits_of(const struct form *f, size_t n, char *out, size_t size)
{
    if (!free_before(f->t, f->g[0].start) || !free_after(f->t, f->g[n - 1].end))
        return 0;
    return squeeze(f->t, f->g[0].start, f->g[n - 1].end, true, out, size);
}

static size_t try_ssn(struct privacy_piece *t, const struct form *f)
{
    char d[16];
    if (!lens(f, 3, (const unsigned char[]){3, 2, 4}) || !same_gaps(f, 3) || f->g[0].gap == ')' ||
        digits_of(f, 3, d, sizeof d) != 9)
        return 0;
    bool label = label_near(t, LABEL_SSN, f->g[0].start, f->g[2].end, 40);
    if (!label && f->g[0].gap == ' ' && exempt(t, f->g[0].start, f->g[2].end))
        return 0;
    /* numbers that are never given out are still written by people who mean one */
    bool may_be = valid_ssn((strv){d, 9});
    unsigned weight = label || (may_be && f->g[0].gap != ' ') ? 1000
                      : may_be                                ? 1000
                      : f->g[0].gap == '-'                    ? 1000
                                                              : 400;
    piece_find(t, PRIVACY_SSN, RULE_SSN_FORM, weight, true, f->g[0].start, f->g[2].end);
    return 3;
}

static void found_phone(struct privacy_piece *t, size_t start, size_t end, unsigned rule)
{
    bool fax = hit_before(t, PHRASE_FAX, start, 24) != NULL;
    if (start > 0 && at(t, start - 1) == '(')
        start--;
    piece_find(t, fax ? PRIVACY_FAX : PRIVACY_PHONE, fax ? RULE_FAX_LABEL : rule, 1000, true, start,
               end);
}

/* +44 20 7946 0958: a plus, then seven to fifteen digits. */
static size_t try_world(struct privacy_piece *t, const struct form *f)
{
    size_t start = f->g[0].start, n = 0, digits = 0;
    if (start == 0 || at(t, start - 1) != '+' || (start > 1 && is_word(at(t, start - 2))))
        return 0;
    while (n < f->left && digits + len(f, n) <= 15) {
        digits += len(f, n);
        if (f->g[n++].gap == 0)
            break;
    }
    if (digits < 9 || !free_after(t, f->g[n - 1].end))
        return 0;
    found_phone(t, start - 1, f->g[n - 1].end, RULE_PHONE_WORLD);
    return n;
}

static size_t try_phone(struct privacy_piece *t, const struct form *f)
{
    static const unsigned char forms[][4] = {
        {3, 3, 4, 0}, {3, 7, 0, 0}, {6, 4, 0, 0}, {3, 3, 2, 2}};
    size_t country = len(f, 0) == 1 && at(t, f->g[0].start) == '1' && f->g[0].gap != 0;
    struct form rest = {t, f->g + country, f->left - country};
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
        size_t n = 0;
        char d[16];
        while (n < 4 && forms[k][n] != 0)
            n++;
        if (!lens(&rest, n, forms[k]) || (n == 4 && !same_gaps(&rest, n)) ||
            !free_before(t, f->g[0].start) || !free_after(t, rest.g[n - 1].end) ||
            squeeze(t, rest.g[0].start, rest.g[n - 1].end, true, d, sizeof d) != 10)
            continue;
        if (!valid_nanp((strv){d, 10}) &&
            !label_near(t, LABEL_PHONE, rest.g[0].start, rest.g[n - 1].end, 30))
            continue;
        bool plus = f->g[0].start > 0 && at(t, f->g[0].start - 1) == '+';
        if (!valid_nanp_service((strv){d, 10}))
            found_phone(t, f->g[0].start - plus, rest.g[n - 1].end, RULE_PHONE_FORM);
        return n + country;
    }
    return 0;
}

static size_t try_card(struct privacy_piece *t, const struct form *f)
{
    static const unsigned char forms[][5] = {
        {4, 4, 4, 4, 0}, {4, 6, 5, 0, 0}, {4, 4, 4, 4, 3}, {4, 6, 4, 0, 0}, {4, 4, 5, 0, 0}};
    for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
        size_t n = 0;
        char d[24];
        while (n < 5 && forms[k][n] != 0)
            n++;
        if (!lens(f, n, forms[k]))
            continue;
        size_t digits = digits_of(f, n, d, sizeof d);
        if (digits == 0 || !valid_card((strv){d, digits}))
            continue;
        piece_find(t, PRIVACY_ACCOUNT, RULE_ACCOUNT_CARD, 1000, true, f->g[0].start,
                   f->g[n - 1].end);
        return n;
    }
    return 0;
}

static size_t try_others(struct privacy_piece *t, const struct form *f)
{
    char d[24];
    if (lens(f, 4, (const unsigned char[]){3, 3, 3, 2}) && digits_of(f, 4, d, sizeof d) == 11 &&
        valid_cpf((strv){d, 11})) {
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, 1000, true, f->g[0].start, f->g[3].end);
        return 4;
    }
    if (lens(f, 3, (const unsigned char[]){3, 3, 3}) && digits_of(f, 3, d, sizeof d) == 9 &&
        (valid_luhn((strv){d, 9}) || label_near(t, LABEL_SSN, f->g[0].start, f->g[2].end, 30))) {
        bool label = label_near(t, LABEL_STAFF, f->g[0].start, f->g[2].end, 30) ||
                     label_near(t, LABEL_SSN, f->g[0].start, f->g[2].end, 30);
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, label ? 1000 : 500, true, f->g[0].start,
                   f->g[2].end);
        return 3;
    }
    return 0;
}

/* One digit a group: "4 8 1 5 1 6": the digits of one number, spread. */
static size_t try_spread(struct privacy_piece *t, const struct form *f)
{
    size_t n = 1;
    char d[24];
    while (n < f->left && n < 20 && len(f, n) == 1 && f->g[n - 1].gap == f->g[0].gap)
        n++;
    if (len(f, 0) != 1 || f->g[0].gap == 0 || n < 9 || digits_of(f, n, d, sizeof d) != n)
        return 0;
    strv digits = {d, n};
    size_t start = f->g[0].start, end = f->g[n - 1].end;
    if (n == 9 && valid_ssn(digits))
        piece_find(t, PRIVACY_SSN, RULE_SSN_FORM, 1000, true, start, end);
    else if (n == 10 && valid_nanp(digits))
        found_phone(t, start, end, RULE_PHONE_FORM);
    else if (valid_card(digits))
        piece_find(t, PRIVACY_ACCOUNT, RULE_ACCOUNT_CARD, 1000, true, start, end);
    return n;
}

/* ---- forms of one run of digits ---- */

static void bare_nine(struct privacy_piece *t, strv d, size_t start, size_t end)
{
    if (label_near(t, LABEL_ROUTING, start, end, 30) ||
        label_near(t, LABEL_ACCOUNT, start, end, 20))
        return; /* labels_scan knows better */
    if (valid_ssn(d))
        piece_find(t, PRIVACY_SSN, RULE_SSN_BARE,
                   label_near(t, LABEL_SSN, start, end, 40) || !exempt(t, start, end) ? 1000 : 300,
                   true, start, end);
}

static void bare_ten(struct privacy_piece *t, strv d, size_t start, size_t end)
{
    bool label = label_near(t, LABEL_NPI, start, end, 40);
    if (valid_npi(d) && (label || !exempt(t, start, end)))
        piece_find(t, PRIVACY_NPI, RULE_NPI_CHECK, 1000, true, start, end);
    else if (valid_nanp(d) && !valid_nanp_service(d) && !label &&
             (!exempt(t, start, end) || label_near(t, LABEL_PHONE, start, end, 30)))
        found_phone(t, start, end, RULE_PHONE_FORM);
}

static void bare(struct privacy_piece *t, const struct form *f)
{
    char digits[24];
    size_t start = f->g[0].start, end = f->g[0].end;
    size_t n = len(f, 0) >= 9 && len(f, 0) <= 19 ? digits_of(f, 1, digits, sizeof digits) : 0;
    strv d = {digits, n};
    if (n == 9)
        bare_nine(t, d, start, end);
    else if (n == 10)
        bare_ten(t, d, start, end);
    else if (n == 11 && digits[0] == '1' && valid_nanp((strv){digits + 1, 10}) &&
             !valid_nanp_service((strv){digits + 1, 10}) && !exempt(t, start, end))
        found_phone(t, start, end, RULE_PHONE_FORM);
    else if (n == 11 && valid_cpf(d))
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, 1000, true, start, end);
    else if (n >= 13 && valid_card(d) && !exempt(t, start, end))
        piece_find(t, PRIVACY_ACCOUNT, RULE_ACCOUNT_CARD, 1000, true, start, end);
    else if (n == 15 && valid_imei(d) && label_near(t, LABEL_DEVICE, start, end, 30))
        piece_find(t, PRIVACY_DEVICE, RULE_DEVICE_LABEL, 1000, true, start, end);
}

/* Most numbers are short and alone. No form begins with so many digits. */
static bool is_nothing(const struct form *f)
{
    size_t n = len(f, 0);
    if (n >= 9)
        return false;
    if (f->g[0].gap == 0)
        return true;
    bool plus = f->g[0].start > 0 && at(f->t, f->g[0].start - 1) == '+';
    return n != 1 && n != 3 && n != 4 && n != 6 && !plus;
}

static void check_groups(struct privacy_piece *t)
{
    for (size_t i = 0; i < t->n_groups;) {
        struct form f = {t, &t->groups[i], t->n_groups - i};
        if (is_nothing(&f)) {
            i++;
            continue;
        }
        size_t used = try_world(t, &f);
        used = used > 0 ? used : try_ssn(t, &f);
        used = used > 0 ? used : try_card(t, &f);
        used = used > 0 ? used : try_phone(t, &f);
        used = used > 0 ? used : try_others(t, &f);
        used = used > 0 ? used : try_spread(t, &f);
        if (used == 0)
            bare(t, &f);
        i += used > 0 ? used : 1;
    }
}

/* ---- forms of one token, letters among digits ---- */

static void try_mbi(struct privacy_piece *t, size_t i)
{
    char text[16];
    size_t start = t->tokens[i].start, end = t->tokens[i].end;
    for (size_t k = i; k < t->n_tokens && k < i + 3; k++) {
        if (k > i && t->tokens[k].start != t->tokens[k - 1].end + 1)
            return;
        end = t->tokens[k].end;
        if (end - start <= 13 && squeeze(t, start, end, false, text, sizeof text) == 11 &&
            valid_mbi((strv){text, 11}))
            piece_find(t, PRIVACY_HEALTH_PLAN_ID, RULE_PLAN_MBI, 1000, true, start, end);
    }
}

/* Blocks of four with blanks between them, or all in one. */
static void try_iban(struct privacy_piece *t, size_t start)
{
    char text[40];
    size_t n = 0, i = start;
    while (n + 1 < sizeof text && (is_digit(at(t, i)) || (is_letter(at(t, i)) && at(t, i) > 0) ||
                                   (at(t, i) == ' ' && n % 4 == 0))) {
        if (at(t, i) != ' ')
            text[n++] = at(t, i);
        i++;
        bool ends = !is_word(at(t, i));
        if (ends && n >= 15 && valid_iban((strv){text, n})) {
            piece_find(t, PRIVACY_ACCOUNT, RULE_ACCOUNT_IBAN, 1000, true, start, i);
            return;
        }
    }
}

static void check_word(struct privacy_piece *t, const struct privacy_token *token)
{
    char text[24];
    size_t start = token->start, end = token->end;
    size_t n = end - start <= 22 ? squeeze(t, start, end, false, text, sizeof text) : 0;
    strv w = {text, n};
    if (n == 17 && token->letters > 0 && valid_vin(w))
        piece_find(t, PRIVACY_VEHICLE, RULE_VEHICLE_VIN, 1000, true, start, end);
    else if (n == 9 && end - start <= 10 && valid_dea(w))
        piece_find(t, PRIVACY_DEA, RULE_DEA_CHECK, 1000, true, start, end);
    else if (n == 18 && valid_curp(w))
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, 1000, true, start, end);
    else if (n == 9 && valid_dni(w) && end - start <= 10)
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, 1000, true, start, end);
    else if (n == 9 && valid_nino(w))
        piece_find(t, PRIVACY_OTHER_ID, RULE_ID_NATIONAL, 1000, true, start, end);
}

static void try_ip4(struct privacy_piece *t, const struct privacy_token *token)
{
    size_t n = token->end - token->start, dots = 0;
    for (size_t i = token->start; i < token->end; i++)
        dots += at(t, i) == '.';
    if (dots != 3 || n > 18 || token->letters > 0)
        return;
    strv text = {t->view->folded + token->start, n};
    const char *slash = memchr(text.ptr, '/', n); /* a network: 24.210.77.0/24 */
    text.len = slash != NULL ? (size_t)(slash - text.ptr) : n;
    if (valid_ip4_public(text) && hit_before(t, PHRASE_EXEMPT, token->start, 3) == NULL)
        piece_find(t, PRIVACY_IP, RULE_IP_PUBLIC, 1000, true, token->start,
                   token->start + text.len);
}

/* Runs of hexadecimal digits and colons: addresses of networks and of their devices. */
static size_t try_colons(struct privacy_piece *t, size_t i)
{
    size_t start = i, end = i, colons = 0;
    while (start > 0 && (strv_hex(at(t, start - 1)) >= 0 || at(t, start - 1) == ':'))
        start--;
    while (end < t->view->n && (strv_hex(at(t, end)) >= 0 || at(t, end) == ':'))
        colons += at(t, end++) == ':';
    size_t next = end;
    while (start < end && at(t, start) == ':' && at(t, start + 1) != ':')
        start++;
    while (end > start && at(t, end - 1) == ':' && (end < start + 2 || at(t, end - 2) != ':'))
        end--;
    strv text = {t->view->folded + start, end - start};
    if (colons < 2 || (start > 0 && is_letter(at(t, start - 1))) || is_letter(at(t, end)))
        return next;
    if (valid_mac(text))
        piece_find(t, PRIVACY_DEVICE, RULE_DEVICE_MAC, 1000, true, start, end);
    else if (valid_ip6_public(text))
        piece_find(t, PRIVACY_IP, RULE_IP_PUBLIC, 1000, true, start, end);
    return next;
}

static void check_tokens(struct privacy_piece *t)
{
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct privacy_token *token = &t->tokens[i];
        strv text = {t->view->folded + token->start, token->end - token->start};
        if (token->letters > 0) {
            check_word(t, token);
            try_mbi(t, i);
            if (valid_mac(text))
                piece_find(t, PRIVACY_DEVICE, RULE_DEVICE_MAC, 1000, true, token->start,
                           token->end);
            if (text.len > 3 && is_letter(text.ptr[0]) && is_digit(text.ptr[2]))
                try_iban(t, token->start);
        } else {
            try_ip4(t, token);
        }
    }
    const char *p = t->view->folded, *colon = p;
    while ((colon = memchr(colon, ':', t->view->n - (size_t)(colon - p))) != NULL) {
        size_t i = (size_t)(colon - p);
        bool hex = strv_hex(at(t, i + 1)) >= 0 || at(t, i + 1) == ':';
        colon = p + (hex ? try_colons(t, i) : i + 1);
    }
}

void numbers_scan(struct privacy_piece *t)
{
    if (!gather(t))
        return;
    check_groups(t);
    check_tokens(t);
}
