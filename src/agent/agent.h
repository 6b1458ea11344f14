/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent - tools for models that have none of their own: a loop on top of the exchange.
 *
 *   note.h       the overlay's entry for a tool
 *   menu.h       which tools a model is offered, and in how many tokens: slim schemas, ranking, a finder
 *   meaning.h    what tools and a question mean, by a local embedding model
 *   repair.h     a small model's arguments made fit for the tool's schema
 *   outcome.h    what a tool answered, made fit for a model: shortened, marked, never without a word
 *   call.h       one tool call, whoever asks for it: policy, approval, gate, hub, audit
 *   approvals.h  calls that wait for a person
 *   sampling.h   a server asks a model by us
 *   loop.h       ask the model, run what it calls, ask again: one answer for the caller
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/approvals.h"
#include "agent/call.h"
#include "agent/loop.h"
#include "agent/meaning.h"
#include "agent/menu.h"
#include "agent/note.h"
#include "agent/outcome.h"
#include "agent/repair.h"
#include "agent/sampling.h"

#endif
