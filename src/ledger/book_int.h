/* SPDX-License-Identifier: Apache-2.0 */
/* book_int - which statements the ledger's file has; their words are in book.c. */
#ifndef LEDGER_BOOK_INT_H
#define LEDGER_BOOK_INT_H

#include "ledger/book.h"

enum book_statement {
    BOOK_BEGIN,
    BOOK_COMMIT,
    BOOK_ROLLBACK,
    BOOK_ROW_ADD,
    BOOK_SUM_ADD,
    BOOK_LAST_PUT,
    BOOK_SPENT,
    BOOK_PAST_DAY,
    BOOK_TRIM_ROWS,
    BOOK_TRIM_SUMS,
    BOOK_TRIM_LAST,
    BOOK_TRIM_DECISIONS,
    BOOK_DECISION_ADD,
    BOOK_OUTCOME_PUT,
    BOOK_DECISIONS,
    BOOK_REFUSALS,
    BOOK_REPORT, /* and one for each enum ledger_by */
    BOOK_STATEMENTS = BOOK_REPORT + LEDGER_BYS
};

#endif
