/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generator - answers {"op":"generate",...} with a roster, by the method that the parameters name:
 *
 *   greedy   night after night, whoever is free        hybrid   greedy or the best so far, then local search
 *   cp_sat   exact, as an integer program (GLPK)       pulp     its relaxation, rounded (GLPK), then local search
 */
#include <stdio.h>
#include <string.h>

#include "residency.h"

/* Where a local search begins: at the best roster so far unless it is to look far away. */
static bool begin(const struct residency *p, const struct wishes *w, const struct roster *best,
                  struct roster *out, long *steps)
{
    if (best != NULL && w->diversification < 0.8) {
        *out = *best;
        return true;
    }
    return greedy(p, w, out, steps);
}

static bool make(const struct residency *p, struct wishes w, const struct roster *best,
                 struct roster *out, long *steps, const char **why)
{
    if (strcmp(w.algorithm, "greedy") == 0)
        return greedy(p, &w, out, steps);
    if (strcmp(w.algorithm, "hybrid") == 0)
        return begin(p, &w, best, out, steps) && improve(p, &w, out, steps);
    if (strcmp(w.algorithm, "cp_sat") == 0)
        return exact(p, &w, out, steps, why);
    if (strcmp(w.algorithm, "pulp") != 0) {
        *why = "there is no such method";
        return false;
    }
    return relaxed(p, &w, out, steps, why) && improve(p, &w, out, steps);
}

static bool generate(const struct residency *p, yyjson_val *asked)
{
    struct wishes w;
    struct roster best, made;
    long steps = 0;
    const char *why = "";
    read_wishes(asked, &w);
    bool has_best = read_roster(p, yyjson_obj_get(asked, "best"), &best);
    bool ok = make(p, w, has_best ? &best : NULL, &made, &steps, &why);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (doc == NULL)
        return false;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "candidate",
                           ok ? write_roster(p, &made, doc) : yyjson_mut_null(doc));
    yyjson_mut_obj_add_real(doc, root, "seconds", (double)steps / STEPS_PER_SECOND);
    if (!ok)
        yyjson_mut_obj_add_str(doc, root, "note", why);
    return answer(doc);
}

int main(void)
{
    return answer_lines("generate", generate);
}
