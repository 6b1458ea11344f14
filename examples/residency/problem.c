/* SPDX-License-Identifier: Apache-2.0 */
/* problem - problems, parameters and rosters as JSON, and the lines on the pipes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "residency.h"

static int number(yyjson_val *obj, const char *key, int min, int max, int otherwise)
{
    yyjson_val *v = yyjson_obj_get(obj, key);
    if (!yyjson_is_int(v))
        return otherwise;
    int64_t n = yyjson_get_sint(v);
    return n < min ? min : n > max ? max : (int)n;
}

static double real(yyjson_val *obj, const char *key, double min, double max, double otherwise)
{
    yyjson_val *v = yyjson_obj_get(obj, key);
    return yyjson_is_num(v) ? fmax(min, fmin(max, yyjson_get_num(v))) : otherwise;
}

/* Days from a list of numbers. */
static int read_days(yyjson_val *list, bool out[DAYS])
{
    size_t i, max;
    yyjson_val *v;
    int n = 0;
    yyjson_arr_foreach(list, i, max, v)
    {
        int64_t day = yyjson_is_int(v) ? yyjson_get_sint(v) : -1;
        if (day < 0 || day >= DAYS || out[day])
            continue;
        out[day] = true;
        n++;
    }
    return n;
}

const char *read_problem(yyjson_val *root, struct residency *p)
{
    yyjson_val *from = yyjson_obj_get(root, "residency"), *list = yyjson_obj_get(from, "residents"),
               *v;
    yyjson_val *rules = yyjson_obj_get(from, "rules");
    size_t i, max;
    memset(p, 0, sizeof *p);
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) < 2 || yyjson_arr_size(list) > RESIDENTS_MAX)
        return "problem: residency.residents: expected a list of 2 to 96";
    yyjson_arr_foreach(list, i, max, v)
    {
        struct resident *r = &p->residents[p->n++];
        const char *name = yyjson_get_str(yyjson_obj_get(v, "name"));
        snprintf(r->name, sizeof r->name, "%s", name != NULL ? name : "?");
        r->year = number(v, "year", 1, 9, 2);
        read_days(yyjson_obj_get(v, "leave"), r->leave);
        p->wishes += read_days(yyjson_obj_get(v, "wishes_free"), r->wish);
    }
    p->slots = number(from, "places", 1, SLOTS_MAX, 2);
    p->faculty = number(from, "faculty", 1, SLOTS_MAX, 1);
    p->shift_hours = number(rules, "shift_hours", 1, 16, 12);
    p->call_hours = number(rules, "call_hours", 12, 28, 24);
    p->handover_hours = number(rules, "handover_hours", 0, 4, 4);
    p->week_hours_max = number(rules, "weekly_hours_max", 1, 168, 80);
    p->weeks = number(rules, "averaging_weeks", 1, 4, 4);
    p->calls_max = number(rules, "calls_max", 1, DAYS, 9);
    p->duty_days_max = number(rules, "consecutive_duty_days_max", 1, DAYS - 1, 6);
    p->units_per_faculty = number(rules, "supervision_units_per_faculty", 1, 99, 4);
    p->units_first_year = number(rules, "units_first_year", 0, 99, 2);
    p->units_other = number(rules, "units_other", 0, 99, 1);
    return NULL;
}

void read_wishes(yyjson_val *asked, struct wishes *out)
{
    yyjson_val *params = yyjson_obj_get(asked, "params"),
               *weights = yyjson_obj_get(params, "constraint_weights");
    yyjson_val *seed = yyjson_obj_get(asked, "seed");
    const char *algorithm = yyjson_get_str(yyjson_obj_get(params, "algorithm"));
    snprintf(out->algorithm, sizeof out->algorithm, "%s", algorithm != NULL ? algorithm : "greedy");
    out->timeout_seconds = real(params, "timeout_seconds", 1, 600, 60);
    out->diversification = real(params, "diversification_factor", 0, 1, 0);
    out->neighborhood = number(params, "neighborhood_size", 1, 100, 10);
    out->restarts = number(params, "max_restarts", 1, 10, 1);
    for (int i = 0; i < PARTS; i++)
        out->weights[i] = real(weights, part_names[i], 0, 2, 1);
    out->seed = yyjson_is_int(seed) ? (uint64_t)yyjson_get_sint(seed) : 0;
}

/* ---- rosters: {"nights": [["R01", "R07"], ...]} ---- */

static int find(const struct residency *p, const char *name)
{
    for (int who = 0; name != NULL && who < p->n; who++)
        if (strcmp(p->residents[who].name, name) == 0)
            return who;
    return -1;
}

bool read_roster(const struct residency *p, yyjson_val *v, struct roster *out)
{
    yyjson_val *nights = yyjson_obj_get(v, "nights"), *night, *name;
    size_t day, days, i, n;
    memset(out, 0, sizeof *out);
    if (!yyjson_is_arr(nights) || yyjson_arr_size(nights) != DAYS)
        return false;
    yyjson_arr_foreach(nights, day, days, night)
    {
        if (!yyjson_is_arr(night))
            return false;
        yyjson_arr_foreach(night, i, n, name)
        {
            int who = find(p, yyjson_get_str(name));
            if (who < 0 || out->on[who][day])
                return false;
            out->on[who][day] = true;
        }
    }
    return true;
}

yyjson_mut_val *write_roster(const struct residency *p, const struct roster *r, yyjson_mut_doc *doc)
{
    yyjson_mut_val *v = yyjson_mut_obj(doc), *nights = yyjson_mut_arr(doc);
    for (int day = 0; day < DAYS; day++) {
        yyjson_mut_val *night = yyjson_mut_arr(doc);
        for (int who = 0; who < p->n; who++)
            if (r->on[who][day])
                yyjson_mut_arr_add_str(doc, night, p->residents[who].name);
        yyjson_mut_arr_append(nights, night);
    }
    yyjson_mut_obj_add_val(doc, v, "nights", nights);
    return v;
}

/* ---- lines ---- */

/* NULL: there is none (*end), or it is no JSON. */
static yyjson_doc *next_line(bool *end)
{
    static char *line;
    static size_t size;
    ssize_t n = getline(&line, &size, stdin);
    *end = n < 0;
    return n < 0 ? NULL : yyjson_read(line, (size_t)n, 0);
}

bool answer(yyjson_mut_doc *doc)
{
    char *text = yyjson_mut_write(doc, 0, NULL);
    yyjson_mut_doc_free(doc);
    if (text == NULL)
        return false;
    bool ok = puts(text) >= 0 && fflush(stdout) == 0;
    free(text);
    return ok;
}

bool answer_error(const char *text)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (doc == NULL)
        return false;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strcpy(doc, root, "error", text);
    return answer(doc);
}

int answer_lines(const char *op, bool (*fn)(const struct residency *p, yyjson_val *asked))
{
    static struct residency problem;
    bool end = false, ready = false, ok = true;
    while (ok) {
        yyjson_doc *doc = next_line(&end);
        if (end)
            break;
        yyjson_val *asked = yyjson_doc_get_root(doc);
        if (yyjson_equals_str(yyjson_obj_get(asked, "op"), "problem")) {
            const char *wrong = read_problem(yyjson_obj_get(asked, "problem"), &problem);
            ready = wrong == NULL;
            ok = ready ? puts("{\"ready\":true}") >= 0 && fflush(stdout) == 0 : answer_error(wrong);
        } else if (doc == NULL) {
            ok = answer_error("no JSON");
        } else if (!ready) {
            ok = answer_error("the problem comes first");
        } else {
            ok = yyjson_equals_str(yyjson_obj_get(asked, "op"), op) ? fn(&problem, asked)
                                                                    : answer_error("no such op");
        }
        yyjson_doc_free(doc);
    }
    return ok ? 0 : 1;
}
