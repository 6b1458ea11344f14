/* SPDX-License-Identifier: Apache-2.0 */
/* evaluator - answers {"op":"evaluate",...} with what the roster is worth, and every rule that it breaks, by name. */
#include <stdio.h>

#include "residency.h"

#define VIOLATIONS_MAX 200

struct report {
    const struct residency *p;
    yyjson_mut_doc *doc;
    yyjson_mut_val *violations;
    int n;
};

static void put_message(const struct report *r, enum fault f, int who, int day, int amount,
                        char *out, size_t size)
{
    const char *name = who >= 0 ? r->p->residents[who].name : "";
    switch (f) {
    case FAULT_HOURS:
        snprintf(out, size, "%s: %.1f hours/week (limit: %d)", name, (double)amount / r->p->weeks,
                 r->p->week_hours_max);
        break;
    case FAULT_REST:
        snprintf(out, size, "%s: a call on day %d without rest before it, or on leave", name,
                 day + 1);
        break;
    case FAULT_SUPERVISION:
        snprintf(out, size, "night %d: %d units for %d faculty, or nobody beyond the first year",
                 day + 1, amount, r->p->faculty);
        break;
    case FAULT_NIGHTS:
        snprintf(out, size, "%s: %d nights on call (limit: %d)", name, amount, r->p->calls_max);
        break;
    case FAULT_DAY_OFF:
        snprintf(out, size, "%s: %d days on duty without a free one, up to day %d", name, amount,
                 day + 1);
        break;
    case FAULT_GAP:
        snprintf(out, size, "night %d: %d places are empty", day + 1, amount);
        break;
    case FAULT_N1:
    case FAULT_N2:
        snprintf(out, size, "night %d: nobody could take a place, if %s fell ill", day + 1,
                 f == FAULT_N1 ? "one" : "two");
        break;
    default:
        snprintf(out, size, "%d%% of all nights that may be worked are", amount);
    }
}

static void on_fault(void *arg, enum fault f, int who, int day, int amount)
{
    struct report *r = arg;
    char text[160];
    if (r->n++ >= VIOLATIONS_MAX)
        return;
    put_message(r, f, who, day, amount, text, sizeof text);
    yyjson_mut_val *v = yyjson_mut_obj(r->doc);
    yyjson_mut_obj_add_str(r->doc, v, "type", fault_rows[f].type);
    yyjson_mut_obj_add_str(r->doc, v, "severity", fault_rows[f].severity);
    yyjson_mut_obj_add_strcpy(r->doc, v, "message", text);
    if (who >= 0)
        yyjson_mut_obj_add_str(r->doc, v, "person_id", r->p->residents[who].name);
    yyjson_mut_arr_append(r->violations, v);
}

static void put_parts(yyjson_mut_doc *doc, yyjson_mut_val *e, const struct judgement *j)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, e, "components");
    for (int i = 0; i < PARTS; i++) {
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, v, "name", part_names[i]);
        yyjson_mut_obj_add_real(doc, v, "weight", part_weights[i]);
        yyjson_mut_obj_add_real(doc, v, "raw_value", j->part[i]);
        yyjson_mut_obj_add_real(doc, v, "weighted_value", part_weights[i] * j->part[i]);
    }
}

static bool evaluate(const struct residency *p, yyjson_val *asked)
{
    struct roster roster;
    struct judgement j;
    if (!read_roster(p, yyjson_obj_get(asked, "candidate"), &roster))
        return answer_error("the candidate is no roster of this problem");
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (doc == NULL)
        return false;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *e = yyjson_mut_obj_add_obj(doc, root, "evaluation");
    struct report r = {p, doc, yyjson_mut_arr(doc), 0};
    judge(p, &roster, on_fault, &r, &j);
    yyjson_mut_obj_add_bool(doc, e, "valid", j.critical == 0);
    yyjson_mut_obj_add_real(doc, e, "score", j.score);
    yyjson_mut_obj_add_real(doc, e, "soft_score", j.soft);
    yyjson_mut_obj_add_real(doc, e, "coverage_rate", j.part[COVERAGE]);
    yyjson_mut_obj_add_int(doc, e, "critical_violations", j.critical);
    yyjson_mut_obj_add_int(doc, e, "total_violations", j.total);
    yyjson_mut_obj_add_val(doc, e, "violations", r.violations);
    put_parts(doc, e, &j);
    yyjson_mut_obj_add_real(doc, root, "seconds", 0);
    return answer(doc);
}

int main(void)
{
    return answer_lines("evaluate", evaluate);
}
