/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advisor - the next step of an optimisation, suggested by a model and never trusted.
 *
 *   question (JSON) --template--> a local model --read--> an object --check--> advice, or a reason why not
 *            `------------------ rules -------------------------------^
 *
 *   schema.h     what may be advised: names, bounds, types, rules; a file of the operator's, or the scheduler's
 *   template.h   the words of a question, from files
 *   read.h       the suggestion in what a model wrote
 *   check.h      may it be followed? each reason why not
 *   rules.h      advice without a model
 *   prose.h      explanations
 *   loop.h       a loop that asks: its rounds, its adapter, its record
 *   ask.h        a question put to a model, as an exchange like any other
 *
 * A normal case: the caller tells state, evaluation and history; a local model answers within the question's time; what
 * it says passes the check and is given back with the parameters as they would be. Any bad case ends as "no advice, and
 * this is why", or with what the rules say if the caller asked for that: an optimiser never fails because of its adviser.
 *
 * Every question is private, whatever its text: messages of violations hold people's names.
 */
#ifndef ADVISOR_ADVISOR_H
#define ADVISOR_ADVISOR_H

#include "advisor/ask.h"
#include "advisor/check.h"
#include "advisor/conf.h"
#include "advisor/digest.h"
#include "advisor/loop.h"
#include "advisor/prose.h"
#include "advisor/read.h"
#include "advisor/rules.h"
#include "advisor/schema.h"
#include "advisor/template.h"

#endif
