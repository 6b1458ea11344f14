/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - what a report is asked for with, and how it is written for programs; tables for people are the
 * command's.
 *
 * What was saved is computed, never assumed: for each exchange the price of the reference model for the very same
 * tokens, by the list and on the day of the exchange, less what was charged. It is an estimate all the same, and says
 * so: another model's tokenizer counts otherwise and answers at another length, and no part of a prompt that was
 * answered locally counts as cached.
 */
#ifndef LEDGER_REPORT_H
#define LEDGER_REPORT_H

#include "ledger/book.h"
#include "ledger/budget.h"

#define LEDGER_DAYS_SHOWN 30 /* unless asked otherwise */

/* by, since, until as text, STRV_NONE = not told. "2026-11-01", or "7d": seven days, today the last. False with err,
 * whose field is the wrong one. */
bool ledger_query_read(struct ledger_query *out, strv by, strv since, strv until, int64_t today,
                       struct err *err);
/* A JSON object; reference NULL = nothing is compared. The caller closes it: `}` is left out. */
void ledger_report_json(const struct ledger_report *r, const char *reference, struct buf *out);
/* The member "budget" of that object, with a comma before it. */
void ledger_report_budget(const struct ledger_spent spent[LEDGER_SCOPES], struct buf *out);
void ledger_report_csv(const struct ledger_report *r, const char *reference, struct buf *out);
/* "2026-11-23" */
#define LEDGER_DAY_TEXT_MAX 16
const char *ledger_day_text(int64_t day, char out[LEDGER_DAY_TEXT_MAX]);

extern const char ledger_report_note[];

#endif
