/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template - the text of a question, from a file and the question's data.
 *
 *   name: suggest            which question it asks
 *   version: 1
 *   models: qwen* *-small    names of models it is for; * = any
 *   ---
 *   what the model is told first (system)
 *   ---
 *   the question:
 *     {{state.best_score}}                     a value; an object or array as JSON; nothing if it is not there
 *     {{coverage_rate|percent}}                a number as 85.0%
 *     {{#last_evaluation}} ... {{/last_evaluation}}     if it is there, not false, not empty; once, or for each element
 *     {{#history:-5}} ... {{/history}}         its last five; {{#violations:5}} its first five
 *     {{^last_evaluation}} ... {{/last_evaluation}}     otherwise
 *     {{!remark}}
 *
 * A section that stands alone on its line takes the line with it. Names are looked for in the innermost section first.
 * {{.}} is the element itself.
 *
 * Values are data: a text is written on one line, as inside of a JSON string, without control characters and cut at 300
 * bytes; it is never read as a template. So nothing in it can begin a line of the question or end its quotes.
 */
#ifndef ADVISOR_TEMPLATE_H
#define ADVISOR_TEMPLATE_H

#include "advisor/schema.h"

#define TEMPLATE_BYTES_MAX ((size_t)64 * 1024)
#define TEMPLATE_OUT_MAX   ((size_t)128 * 1024)

struct template_node;
struct template
{
    strv name; /* "suggest" */
    int64_t version;
    strv models;     /* patterns, blanks between */
    char digest[65]; /* SHA-256 of the file */
    const struct template_node *system, *question;
};

/* Both views into the text, which must live as long as the arena. False with err; err->line tells where. */
bool template_read(struct template *t, strv text, struct arena *arena, struct err *err);
bool template_fits(const struct template *t, enum advice_question q, strv model);
/* Appends. `asked` is the question's data, `more` (may be NULL) is looked at where that has nothing. False: no memory, or
 * longer than `out` takes. */
bool template_write(const struct template_node *n, yyjson_val *asked, yyjson_val *more,
                    struct buf *out);

#endif
