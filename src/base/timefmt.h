/* SPDX-License-Identifier: Apache-2.0 */
/* timefmt - points in time as text; UTC, RFC 3339. */
#ifndef BASE_TIMEFMT_H
#define BASE_TIMEFMT_H

#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"

#define TIMEFMT_MAX 32
/* "2026-11-22T15:00:00.123456Z"; digits of the fraction 0, 3, 6 or 9. Returns the length. */
size_t timefmt_rfc3339(char out[TIMEFMT_MAX], int64_t unix_us, int digits);
/* An HTTP date (RFC 9110 5.6.7, the IMF-fixdate form) to seconds since 1970, or -1. */
int64_t timefmt_http_date(const char *text, size_t len);
/* "2027-01-31" (its first second) or "2027-01-31T15:00:00Z" to seconds since 1970, or -1. */
int64_t timefmt_read_rfc3339(strv text);

#endif
