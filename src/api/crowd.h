/* SPDX-License-Identifier: Apache-2.0 */
/* crowd - how many sockets each user has open, over all workers. Any thread. */
#ifndef API_CROWD_H
#define API_CROWD_H

#include <stdbool.h>
#include <stddef.h>

struct crowd;
struct crowd *crowd_new(void);    /* NULL: no memory */
void crowd_free(struct crowd *c); /* nobody may be in; NULL is fine */
/* One more of this user. False: he has `max` already, or no memory. */
bool crowd_enter(struct crowd *c, const char *user, size_t max);
void crowd_leave(struct crowd *c, const char *user);

#endif
