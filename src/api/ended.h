/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ended - logins that were ended before their time.
 *
 * A cookie is good by its seal alone, so a copy of one would outlive the person's logout. Those that were ended are known
 * here by their seals until their time is over, by all workers. There is room for ENDED_MAX; who ends one more ends every
 * login that was made before: whoever has left does not come back. Any thread.
 */
#ifndef API_ENDED_H
#define API_ENDED_H

#include "base/base.h"

#define ENDED_MAX 1024

struct ended;
struct ended *ended_new(void); /* NULL: no memory */
void ended_free(struct ended *e);
/* Of a cookie that is good: its value, and when it would have ended; now. */
void ended_add(struct ended *e, strv cookie, int64_t until_us, int64_t wall_us);
bool ended_has(struct ended *e, strv cookie, int64_t made_us);

#endif
