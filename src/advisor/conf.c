/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/conf.h"

#include <assert.h>
#include <string.h>

bool advisor_conf_schema(struct advisor_conf *c, strv text, struct arena *arena, struct err *err)
{
    for (size_t i = 0; text.ptr == NULL && i < advisor_n_files; i++)
        if (strcmp(advisor_files[i].name, "scheduler.json") == 0)
            text = (strv){advisor_files[i].text, advisor_files[i].len};
    c->schema = advice_schema_read(text, arena, err);
    return c->schema != NULL;
}

/* ---- templates ---- */

bool advisor_conf_template(struct advisor_conf *c, strv text, struct arena *arena, struct err *err)
{
    if (c->templates == NULL)
        c->templates = ARENA_ARRAY(arena, struct template, ADVISOR_TEMPLATES_MAX);
    if (c->templates == NULL)
        return err_oom(err);
    if (c->n_templates == ADVISOR_TEMPLATES_MAX)
        return err_set(err, 0, "more than %d templates", ADVISOR_TEMPLATES_MAX);
    if (!template_read(&c->templates[c->n_templates], text, arena, err))
        return false;
    c->n_templates++;
    return true;
}

bool advisor_conf_built_in(struct advisor_conf *c, struct arena *arena, struct err *err)
{
    c->n_own = c->n_templates;
    for (size_t i = 0; i < advisor_n_files; i++) {
        const struct advisor_file *f = &advisor_files[i];
        if (strv_ends(strv_of(f->name), STRV(".txt")) &&
            !advisor_conf_template(c, (strv){f->text, f->len}, arena, err))
            return false;
    }
    return true;
}

/* The first of a range that fits; those for every model only if `all`. */
static const struct template *fitting(const struct advisor_conf *c, size_t from, size_t to,
                                      bool all, enum advice_question q, strv model)
{
    for (size_t i = from; i < to; i++)
        if (strv_eq_cstr(c->templates[i].models, "*") == all &&
            template_fits(&c->templates[i], q, model))
            return &c->templates[i];
    return NULL;
}

const struct template *advisor_template(const struct advisor_conf *c, enum advice_question q,
                                        strv model)
{
    const struct template *t = fitting(c, 0, c->n_own, false, q, model);
    if (t == NULL)
        t = fitting(c, 0, c->n_own, true, q, model);
    if (t == NULL)
        t = fitting(c, c->n_own, c->n_templates, false, q, model);
    if (t == NULL)
        t = fitting(c, c->n_own, c->n_templates, true, q, model);
    assert(t != NULL);
    return t;
}
