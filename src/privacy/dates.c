/* SPDX-License-Identifier: Apache-2.0 */
/* dates - days in all styles: 2025-06-11, 6/11/25, 20250611, 11JUN2025, June 11th, 11 de junio de 2025. */
#include "privacy/rules.h"

/* One or more digits at *i; their number, -1 = none or too many. Moves behind them. */
static int number(const struct privacy_piece *t, size_t *i, size_t max, size_t *digits)
{
    int v = 0;
    size_t n = 0;
    for (; is_digit(at(t, *i + n)) && n < max; n++)
        v = v * 10 + at(t, *i + n) - '0';
    if (n == 0 || is_digit(at(t, *i + n)))
        return -1;
    *digits = n;
    *i += n;
    return v;
}

static void skip(const struct privacy_piece *t, size_t *i, const char *chars)
{
    while (*i < t->view->n && strchr(chars, at(t, *i)) != NULL)
        ++*i;
}

static bool skip_word(const struct privacy_piece *t, size_t *i, const char *word)
{
    size_t n = strlen(word);
    if (*i + n > t->view->n || memcmp(t->view->folded + *i, word, n) != 0 || is_word(at(t, *i + n)))
        return false;
    *i += n;
    return true;
}

static int month_word(const struct privacy_piece *t, size_t *i)
{
    size_t end = *i;
    while (is_letter(at(t, end)))
        end++;
    int month = valid_month((strv){t->view->folded + *i, end - *i});
    if (month > 0)
        *i = end + (at(t, end) == '.');
    return month;
}

/* "T09:00:00Z", " 14:02", " at 05:50" behind a date belongs to it. */
static size_t with_time(const struct privacy_piece *t, size_t end)
{
    size_t i = end, n;
    skip(t, &i, " ,t");
    if (skip_word(t, &i, "at"))
        skip(t, &i, " ");
    int hour = number(t, &i, 2, &n);
    if (i == end || hour < 0 || hour > 23 || at(t, i) != ':')
        return end;
    while (at(t, i) == ':' || at(t, i) == '.') {
        i++;
        if (number(t, &i, 6, &n) < 0)
            return end;
    }
    return at(t, i) == 'z' ? i + 1 : i;
}

static size_t year_behind(const struct privacy_piece *t, size_t end, int *year)
{
    size_t i = end, n = 0;
    skip(t, &i, " ,.-'");
    if (skip_word(t, &i, "de") || skip_word(t, &i, "del"))
        skip(t, &i, " ");
    int v = number(t, &i, 4, &n);
    if (v < 0 || (n == 4 && (v < 1900 || v > 2099)) || (n != 4 && (n != 2 || at(t, i) == ':')) ||
        is_letter(at(t, i)) || (n == 2 && i - end > 3))
        return end;
    *year = v;
    return i;
}

/* 20250611 and 06112025 */
static size_t packed(const struct privacy_piece *t, size_t place, int *year)
{
    size_t i = place, n = 0;
    int v = number(t, &i, 8, &n);
    if (v < 0 || n != 8)
        return 0;
    if (v / 10000 >= 1900 && valid_date(v / 10000, v / 100 % 100, v % 100)) {
        *year = v / 10000;
        return i;
    }
    if (v % 10000 >= 1900 && (valid_date(v % 10000, v / 1000000, v / 10000 % 100) ||
                              valid_date(v % 10000, v / 10000 % 100, v / 1000000))) {
        *year = v % 10000;
        return i;
    }
    return 0;
}

/* A separator, blanks around it left out; 0 = none. */
static char separator(const struct privacy_piece *t, size_t *i)
{
    size_t from = *i;
    skip(t, i, " ");
    char c = at(t, *i);
    if (c != '-' && c != '/' && c != '.') {
        *i = from;
        return 0;
    }
    ++*i;
    skip(t, i, " ");
    return is_digit(at(t, *i)) ? c : 0;
}

static size_t three(const struct privacy_piece *t, size_t i, int a, size_t n_a, bool loose,
                    int *year)
{
    size_t n_b = 0, n_c = 0;
    char first = separator(t, &i);
    int b = first != 0 ? number(t, &i, 2, &n_b) : -1;
    if (b < 0)
        return 0;
    size_t two = i;
    char second = separator(t, &i);
    int c = second == first ? number(t, &i, 4, &n_c) : -1;
    if (n_a == 4 && c >= 0 && n_c <= 2 && a >= 1900 && valid_date(a, b, c)) {
        *year = a;
        return i;
    }
    if (n_a <= 2 && c >= 0 && (n_c == 4 || n_c == 2) &&
        (valid_date(c, a, b) || valid_date(c, b, a))) {
        *year = n_c == 2 && c == 0 ? 2000 : c;
        return i;
    }
    if (second != 0 || !loose || first == '.' || n_a > 2 || is_word(at(t, two)) ||
        at(t, two) == '%')
        return 0;
    return valid_date(0, a, b) || valid_date(0, b, a) ? two : 0;
}

/* 11 June 2025, 11th of June, 11JUN2025, 9 de enero de 1971 */
static size_t day_month(const struct privacy_piece *t, size_t i, int day, int *year)
{
    static const char *const ends[] = {"st", "nd", "rd", "th", "o"};
    for (size_t k = 0; k < 5; k++)
        if (skip_word(t, &i, ends[k]))
            break;
    skip(t, &i, " -");
    if (skip_word(t, &i, "of") || skip_word(t, &i, "de") || skip_word(t, &i, "del"))
        skip(t, &i, " ");
    int month = month_word(t, &i);
    if (month == 0 || !valid_date(0, month, day))
        return 0;
    return year_behind(t, i, year);
}

size_t date_at(const struct privacy_piece *t, size_t place, bool loose, int *year)
{
    size_t i = place, n = 0;
    *year = 0;
    if (place > 0 &&
        (is_digit(at(t, place - 1)) || ((at(t, place - 1) == '.' || at(t, place - 1) == '-') &&
                                        place > 1 && is_digit(at(t, place - 2)))))
        return 0;
    size_t end = packed(t, i, year);
    int a = end == 0 ? number(t, &i, 4, &n) : -1;
    if (a >= 0) {
        end = three(t, i, a, n, loose, year);
        if (end == 0 && n <= 2)
            end = day_month(t, i, a, year);
    }
    if (end == 0 || is_digit(at(t, end)))
        return 0;
    return with_time(t, end);
}

bool date_around_month(const struct privacy_piece *t, size_t start, size_t end, size_t *from,
                       size_t *to)
{
    int year = 0, month = valid_month((strv){t->view->folded + start, end - start});
    size_t i = end, n = 0;
    skip(t, &i, " .-");
    if (skip_word(t, &i, "the"))
        skip(t, &i, " ");
    int day = number(t, &i, 2, &n);
    if (day <= 0 || !valid_date(0, month, day) || at(t, i) == ':' || at(t, i) == '%')
        return false; /* the day stands before it: date_at() of that number */
    for (size_t k = 0; k < 2 && is_letter(at(t, i)); k++)
        i++;
    if (is_letter(at(t, i)))
        return false;
    *from = start;
    *to = with_time(t, year_behind(t, i, &year));
    return true;
}
