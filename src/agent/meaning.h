/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meaning - what tools and a question mean, as a local embedding model sees it: the ranking's second opinion.
 *
 *   a catalogue comes > agent_learn() > name and note of each tool, some at a time > vectors, kept with the index
 *   a question        > meaning_ask() > its vector, if it comes in time > agent_wish.meaning > index_resemble()
 *
 * Asked is the role `embedding`, by exchanges like any other that are private and local: a note of a tool and what
 * somebody wants of it stay on the premises. Where that role is not configured, where its model is down or too slow,
 * nothing happens: words alone rank, and nobody is told. A model that was too slow is left alone for a while.
 */
#ifndef AGENT_MEANING_H
#define AGENT_MEANING_H

#include "agent/call.h"
#include "agent/menu.h"

/* Gets the vectors of env->index in the background, unless somebody has or does. Those of tools that `before` (NULL =
 * none) had in the same words are taken over. Call it when a catalogue is new; later calls are cheap. */
void agent_learn(struct agent_env *env, const struct agent_index *before);

struct meaning;
/* The question's vector, of length one, or NULL when there is none in time; exactly once unless cancelled, and never
 * from inside meaning_ask(). Valid during the call. */
typedef void (*meaning_fn)(void *arg, const float *vector, size_t n);
/* NULL: words alone have to do, now. */
struct meaning *meaning_ask(struct agent_env *env, struct agent_index *index, strv question,
                            const struct exchange_caller *caller, meaning_fn done, void *arg);
void meaning_cancel(struct meaning *m);

#endif
