/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timefmt - the proleptic Gregorian calendar in a few lines.
 *
 * Not gmtime_r(3) and timegm(3): glibc takes one process-wide lock for the time zone there, and
 * every log line of every worker comes through here. The arithmetic counts years from March, so
 * that the leap day is the last day of a year
 * (http://howardhinnant.github.io/date_algorithms.html).
 */
#include "base/timefmt.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define US_PER_S  1000000
#define S_PER_DAY 86400
/* RFC 3339 has four digits for the year: 0000-01-01 to 9999-12-31. */
#define UNIX_US_MIN (-62167219200 * US_PER_S)
#define UNIX_US_MAX (253402300800 * US_PER_S - 1)

static int64_t days_from_date(int64_t year, int64_t month, int64_t day);
static void date_from_days(int64_t days, int *year, int *month, int *day);

/* Not snprintf: every record of every exchange has a time in it. */
static void put_digits(char *to, size_t n, int value)
{
    for (; n > 0; value /= 10)
        to[--n] = (char)('0' + value % 10);
}

size_t timefmt_rfc3339(char out[TIMEFMT_MAX], int64_t unix_us, int digits)
{
    assert(digits == 0 || digits == 3 || digits == 6 || digits == 9);
    if (unix_us < UNIX_US_MIN)
        unix_us = UNIX_US_MIN;
    if (unix_us > UNIX_US_MAX)
        unix_us = UNIX_US_MAX;
    int64_t since = unix_us - UNIX_US_MIN; /* not negative: / and % round down */
    int64_t s = since / US_PER_S;
    int ns = (int)(since % US_PER_S) * 1000, tod = (int)(s % S_PER_DAY);
    int year, month, day;
    date_from_days(s / S_PER_DAY + UNIX_US_MIN / US_PER_S / S_PER_DAY, &year, &month, &day);
    static const char form[] = "0000-00-00T00:00:00";
    size_t n = sizeof form - 1;
    memcpy(out, form, n);
    put_digits(out, 4, year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, tod / 3600);
    put_digits(out + 14, 2, tod / 60 % 60);
    put_digits(out + 17, 2, tod % 60);
    if (digits > 0) {
        out[n++] = '.';
        put_digits(out + n, 9, ns);
        n += (size_t)digits;
    }
    out[n] = 'Z';
    out[n + 1] = '\0';
    return n + 1;
}

static int64_t number(const char *text, size_t n)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        v = v * 10 + (text[i] - '0');
    }
    return v;
}

/* Which of the three-letter names in `names` stands at text, 0 = the first; -1 = none. */
static int name(const char *text, const char *names)
{
    for (int i = 0; names[i * 3] != '\0'; i++) {
        if (memcmp(text, names + i * 3, 3) == 0)
            return i;
    }
    return -1;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool has_shape(const char *text, const char *shape)
{
    for (; *shape != '\0'; shape++, text++)
        if (*shape != 'a' && *shape != '0' && *shape != *text)
            return false;
    return true;
}

/* Whole parts of a moment, each checked; -1 = there is no such one. */
static int64_t seconds(int64_t year, int64_t month, int64_t day, int64_t hour, int64_t minute,
                       int64_t second)
{
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return -1;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
        second > 60) /* 60: leap */
        return -1;
    return days_from_date(year, month, day) * S_PER_DAY + hour * 3600 + minute * 60 + second;
}

/*  2027-01-31T15:00:00Z
 *  0    5  8  11 14 17  */
int64_t timefmt_read_rfc3339(strv v)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    const char *t = v.ptr;
    if (v.len != 10 && v.len != sizeof shape - 1)
        return -1;
    if (!has_shape(t, v.len == 10 ? "0000-00-00" : shape))
        return -1;
    bool day = v.len == 10;
    return seconds(number(t, 4), number(t + 5, 2), number(t + 8, 2), day ? 0 : number(t + 11, 2),
                   day ? 0 : number(t + 14, 2), day ? 0 : number(t + 17, 2));
}

/*  Sun, 06 Nov 1994 08:49:37 GMT
 *  0    5  8   12   17 20 23 26     The day's name is not checked against the date. */
int64_t timefmt_http_date(const char *text, size_t len)
{
    static const char shape[] = "aaa, 00 aaa 0000 00:00:00 GMT";
    if (len != sizeof(shape) - 1 || name(text, "MonTueWedThuFriSatSun") < 0)
        return -1;
    if (!has_shape(text, shape))
        return -1;
    int64_t day = number(text + 5, 2),
            month = name(text + 8, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
    return seconds(number(text + 12, 4), month, day, number(text + 17, 2), number(text + 20, 2),
                   number(text + 23, 2));
}

/* Days since 1970-01-01; year >= 0. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year; /* the year that began in March */
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468; /* since 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153; /* 0 = March */
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}
