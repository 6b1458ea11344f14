/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/rules.h"

#include <string.h>

#define RULES_MAX 64

enum sense { ABOVE, AT_LEAST, BELOW, AT_MOST, EQUALS, ABSENT, SENSES };
static const char *const senses[SENSES] = {"above",   "at_least", "below",
                                           "at_most", "equals",   "absent"};

yyjson_val *advice_at(yyjson_val *root, strv path)
{
    strv part;
    yyjson_val *v = root;
    while (v != NULL && strv_cut(&path, '.', &part))
        v = yyjson_is_obj(v) ? yyjson_obj_getn(v, part.ptr, part.len) : NULL;
    return yyjson_is_null(v) ? NULL : v;
}

static enum sense sense_of(strv word)
{
    size_t i = 0;
    while (i < SENSES && !strv_eq_cstr(word, senses[i]))
        i++;
    return (enum sense)i;
}

static bool compare(enum sense sense, yyjson_val *v, yyjson_val *bound)
{
    double a, b;
    if (sense == ABSENT)
        return (v == NULL) == yyjson_get_bool(bound);
    if (v == NULL)
        return false;
    if (sense == EQUALS)
        return yyjson_equals(v, bound) ||
               (json_is_num(v, &a) && json_is_num(bound, &b) && !(a < b) && !(a > b));
    if (!json_is_num(v, &a) || !json_is_num(bound, &b))
        return false;
    return sense == ABOVE ? a > b : sense == AT_LEAST ? a >= b : sense == BELOW ? a < b : a <= b;
}

static bool holds(yyjson_val *when, yyjson_val *asked)
{
    size_t i, n, j, m;
    yyjson_val *path, *conditions, *sense, *bound;
    yyjson_obj_foreach(when, i, n, path, conditions)
    {
        yyjson_val *v = advice_at(asked, json_str(path));
        yyjson_obj_foreach(conditions, j, m, sense, bound)
        {
            if (!compare(sense_of(json_str(sense)), v, bound))
                return false;
        }
    }
    return true;
}

/* Does the rule's suggestion answer this question? One that says "nothing" answers every one. */
static bool answers(const struct advice_schema *s, enum advice_question q, yyjson_val *suggest)
{
    strv type = json_get_str(suggest, "type");
    if (yyjson_is_null(suggest))
        return true;
    for (size_t i = 0; i < s->n_types; i++)
        if (strv_eq(s->types[i].name, type))
            return (s->answers[q] >> i & 1) != 0;
    return false;
}

bool advice_rules_ask(const struct advice_schema *s, enum advice_question q, yyjson_val *asked,
                      yyjson_val *current, struct arena *arena, struct advice *out)
{
    size_t i, max;
    yyjson_val *rule;
    advice_reject(out, ADVICE_REASON_NO_ADVICE);
    if (s->rules == NULL)
        return true;
    yyjson_arr_foreach(s->rules, i, max, rule)
    {
        yyjson_val *suggest = yyjson_obj_get(rule, "suggest");
        if (!answers(s, q, suggest) || !holds(yyjson_obj_get(rule, "when"), asked))
            continue;
        return yyjson_is_null(suggest) || advice_check(s, q, suggest, current, arena, out);
    }
    return true;
}

/* ---- sound? ---- */

static bool conditions_valid(yyjson_val *when)
{
    size_t i, n, j, m;
    yyjson_val *path, *conditions, *sense, *bound;
    if (!yyjson_is_obj(when))
        return false;
    yyjson_obj_foreach(when, i, n, path, conditions)
    {
        if (!yyjson_is_obj(conditions) || yyjson_obj_size(conditions) == 0)
            return false;
        yyjson_obj_foreach(conditions, j, m, sense, bound)
        {
            enum sense which = sense_of(json_str(sense));
            bool fits = which == ABSENT   ? yyjson_is_bool(bound)
                        : which == EQUALS ? !yyjson_is_ctn(bound)
                        : which == SENSES ? false
                                          : yyjson_is_num(bound);
            if (!fits)
                return false;
        }
    }
    return true;
}

static bool rule_valid(const struct advice_schema *s, size_t i, yyjson_val *rule,
                       struct arena *arena, struct err *err)
{
    struct advice a;
    yyjson_val *suggest = yyjson_obj_get(rule, "suggest");
    if (!conditions_valid(yyjson_obj_get(rule, "when")))
        return err_field(err, 0, "rules",
                         "rules[%zu]: when: paths, each with above, at_least, below, at_most, "
                         "equals or absent",
                         i);
    if (yyjson_is_null(suggest))
        return true;
    if (!yyjson_is_obj(suggest))
        return err_field(err, 0, "rules", "rules[%zu]: suggest: expected an object or null", i);
    if (!advice_check(s, ADVICE_SUGGEST, suggest, NULL, arena, &a))
        return err_oom(err);
    return a.accepted ||
           err_field(err, 0, "rules", "rules[%zu]: its own suggestion would not be accepted: %s", i,
                     a.reason);
}

bool advice_rules_valid(const struct advice_schema *s, struct arena *arena, struct err *err)
{
    size_t i, max;
    yyjson_val *rule;
    if (s->rules == NULL)
        return true;
    if (!yyjson_is_arr(s->rules) || yyjson_arr_size(s->rules) > RULES_MAX)
        return err_field(err, 0, "rules", "rules: expected a list of at most 64");
    yyjson_arr_foreach(s->rules, i, max, rule)
    {
        if (!rule_valid(s, i, rule, arena, err))
            return false;
    }
    return true;
}
