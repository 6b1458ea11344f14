/* SPDX-License-Identifier: Apache-2.0 */
/* conf - the advisor's part of a configuration: immutable, in the snapshot's arena. */
#ifndef ADVISOR_CONF_H
#define ADVISOR_CONF_H

#include "advisor/schema.h"
#include "advisor/template.h"

#define ADVISOR_TEMPLATES_MAX 64

struct advisor_conf {
    const char *model;    /* that is asked; NULL = by the class multi_step */
    int64_t max_tokens;   /* of an answer */
    uint64_t question_ms; /* for one question, from its arrival */
    const struct advice_schema *schema;
    struct template *templates; /* the operator's, then the built-in ones */
    size_t n_own, n_templates;
    /* The configuration that all of it belongs to; hold() keeps it while something here is used. */
    void *owner;
    void (*hold)(void *owner);
    void (*drop)(void *owner);
};

/* The files that are built in: data/advice. */
struct advisor_file {
    const char *name, *text;
    size_t len;
};
extern const struct advisor_file advisor_files[];
extern const size_t advisor_n_files;

/* STRV_NONE: the built-in one. What is given must live as long as the arena, here and below. False with err. */
bool advisor_conf_schema(struct advisor_conf *c, strv text, struct arena *arena, struct err *err);
/* One of the operator's; then, once, those that are built in. */
bool advisor_conf_template(struct advisor_conf *c, strv text, struct arena *arena, struct err *err);
bool advisor_conf_built_in(struct advisor_conf *c, struct arena *arena, struct err *err);
/* Which words to use with this model: the operator's before the built-in ones, and those for certain models before those
 * for all. Never NULL: the built-in ones cover every question. */
const struct template *advisor_template(const struct advisor_conf *c, enum advice_question q,
                                        strv model);

#endif
