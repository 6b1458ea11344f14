/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target - what a request's path and query say, percent-encoding taken off.
 *
 * Names of models have slashes and colons. Some clients encode them and some do not: both mean the same
 * here. What cannot be a name (control characters, broken escapes, broken UTF-8) is refused, so that it
 * can go into answers.
 */
#ifndef API_TARGET_H
#define API_TARGET_H

#include "base/base.h"

/* Does the path fit a route's? "/v1/models/{id}" takes everything that begins with "/v1/models/" and has
 * something behind it. */
bool target_fits(const char *route, strv path);
/* What stands in place of the name in braces. False: it is no text, or no memory. */
bool target_name(const char *route, strv path, struct arena *arena, strv *out);
/* The value of a query's first member of that name; STRV_NONE in *out if there is none. False as above. */
bool target_query(strv query, const char *name, struct arena *arena, strv *out);

#endif
