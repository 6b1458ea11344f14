/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules - advice without a model: the first rule of the advice schema whose conditions hold.
 *
 *   {"when": {"state.iterations_since_improvement": {"above": 10}}, "suggest": {...} or null}
 *
 * Conditions (above, at_least, below, at_most, equals, absent) look at the question; all of a rule must hold. What is
 * not there fulfils none but absent. A rule's suggestion passes the same check as a model's. Same question, same answer.
 */
#ifndef ADVISOR_RULES_H
#define ADVISOR_RULES_H

#include "advisor/check.h"

/* Of a schema that is read otherwise: are its rules sound, and would each one's suggestion be accepted? */
bool advice_rules_valid(const struct advice_schema *s, struct arena *arena, struct err *err);
/* `asked` is the question's body. No rule: NO_ADVICE. False: no memory. */
bool advice_rules_ask(const struct advice_schema *s, enum advice_question q, yyjson_val *asked,
                      yyjson_val *current, struct arena *arena, struct advice *out);
/* The value at a dotted path, "state.best_score"; NULL = there is none, or null. */
yyjson_val *advice_at(yyjson_val *root, strv path);

#endif
