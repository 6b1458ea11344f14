/* SPDX-License-Identifier: Apache-2.0 */
/* timefmt: known moments, the edges of the calendar, refused dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/timefmt.h"

static void known_moments_are_printed(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        int digits;
        const char *text;
    } cases[] = {
        {0, 0, "1970-01-01T00:00:00Z"},
        {0, 3, "1970-01-01T00:00:00.000Z"},
        {-1, 6, "1969-12-31T23:59:59.999999Z"},
        {-1, 0, "1969-12-31T23:59:59Z"},
        {1795359600123456, 0, "2026-11-22T15:00:00Z"},
        {1795359600123456, 3, "2026-11-22T15:00:00.123Z"},
        {1795359600123456, 6, "2026-11-22T15:00:00.123456Z"},
        {1795359600123456, 9, "2026-11-22T15:00:00.123456000Z"},
        {951782399000000, 0, "2000-02-28T23:59:59Z"},
        {951782400000000, 0, "2000-02-29T00:00:00Z"},
        {951868800000000, 0, "2000-03-01T00:00:00Z"},
        {4107542399999999, 6, "2100-02-28T23:59:59.999999Z"},
        {4107542400000000, 6, "2100-03-01T00:00:00.000000Z"},
        {253402300799999999, 6, "9999-12-31T23:59:59.999999Z"},
        {253402300800000000, 6, "9999-12-31T23:59:59.999999Z"}, /* held at the last year */
        {INT64_MAX, 9, "9999-12-31T23:59:59.999999000Z"},
        {-62167219200000000, 0, "0000-01-01T00:00:00Z"},
        {-62167219200000001, 0, "0000-01-01T00:00:00Z"},
        {INT64_MIN, 9, "0000-01-01T00:00:00.000000000Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[TIMEFMT_MAX];
        size_t n = timefmt_rfc3339(out, cases[i].us, cases[i].digits);
        assert_string_equal(out, cases[i].text);
        assert_int_equal(n, strlen(out));
    }
}

/* Every 11 hours or so from year 0 to 9999 against the C library, and back through the other function. */
static void agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t s = -62167219200; s < 253402300800; s += 39916801) {
        struct tm tm;
        time_t t = (time_t)s;
        char want[TIMEFMT_MAX + 32], got[TIMEFMT_MAX];
        assert_non_null(gmtime_r(&t, &tm));
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        timefmt_rfc3339(got, s * 1000000, 0);
        assert_string_equal(got, want);
        size_t n = strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (s >= 0)
            assert_int_equal(timefmt_http_date(want, n), s);
    }
}

static void http_dates_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800}, /* a leap second */
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"", -1},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {"Thu, 29 Feb 1900 00:00:00 GMT", -1},
        {"Mon, 29 Feb 2100 00:00:00 GMT", -1},
        {"Thu, 29 Feb 2001 00:00:00 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 GM", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun 06 Nov 1994 08:49:37 GMT", -1},
        {"xxx, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 xxx 1994 08:49:37 GMT", -1},
        {"Sun, 06 nov 1994 08:49:37 GMT", -1},
        {"Sun, -6 Nov 1994 08:49:37 GMT", -1},
        {"Sun,  6 Nov 1994 08:49:37 GMT", -1},
        {"Sunday, 06-Nov-94 08:49:37 GMT", -1}, /* obsolete forms */
        {"Sun Nov  6 08:49:37 1994", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (timefmt_http_date(cases[i].text, strlen(cases[i].text)) != cases[i].want)
            fail_msg("'%s'", cases[i].text);
    }
}

static void any_broken_byte_of_an_http_date_is_refused(void **state)
{
    (void)state;
    static const char good[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        char bad[sizeof(good)];
        memcpy(bad, good, sizeof(bad));
        bad[i] = '\0';
        assert_int_equal(timefmt_http_date(bad, sizeof(good) - 1), -1);
        bad[i] = 'z';
        assert_int_equal(timefmt_http_date(bad, sizeof(good) - 1), -1);
        assert_int_equal(timefmt_http_date(good, i), -1);
    }
}

static void moments_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds; /* -1 = refused */
    } cases[] = {
        {"1970-01-01", 0},
        {"2026-11-22T15:00:00Z", 1795359600},
        {"2000-02-29", 951782400},
        {"2026-11-22T23:59:60Z", 1795392000},
        {"2100-02-29", -1},
        {"1969-12-31", -1},
        {"2026-13-01", -1},
        {"2026-00-01", -1},
        {"2026-01-00", -1},
        {"2026-01-32", -1},
        {"2026-11-22T24:00:00Z", -1},
        {"2026-11-22T15:60:00Z", -1},
        {"2026-11-22T15:00:61Z", -1},
        {"2026-11-22T15:00:00", -1},
        {"2026-11-22 15:00:00Z", -1},
        {"2026-11-22T15:00:00.0Z", -1},
        {"2026-1-22", -1},
        {"20x6-11-22", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(timefmt_read_rfc3339(strv_of(cases[i].text)), cases[i].seconds);
    assert_int_equal(timefmt_read_rfc3339(STRV_NONE), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_moments_are_printed),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(http_dates_are_strict),
        cmocka_unit_test(moments_are_read),
        cmocka_unit_test(any_broken_byte_of_an_http_date_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
