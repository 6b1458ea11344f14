/* SPDX-License-Identifier: Apache-2.0 */
/* loop_int - what the parts of the loop share. */
#ifndef ADVISOR_LOOP_INT_H
#define ADVISOR_LOOP_INT_H

#include "advisor/loop.h"

/* What an evaluation says; its texts in the loop's arena. False with err: it cannot be used. */
bool loop_read_verdict(struct loop *l, yyjson_val *evaluation, struct loop_verdict *out,
                       struct err *err);
/* Room for one more, blank; it counts when n_records or n_advice is raised. NULL: no memory. */
struct loop_record *loop_next_record(struct loop *l);
struct loop_advice *loop_next_advice(struct loop *l);

#endif
