/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MERGED_MAX ((size_t)4 * 1024 * 1024)

static const char *const words[ADVICE_REASONS] = {
#define ADVICE_REASON(id, word, doc) [ADVICE_REASON_##id] = (word),
#include "advisor/reasons.def"
#undef ADVICE_REASON
};

const char *advice_reason_word(enum advice_reason r)
{
    return words[r];
}

void advice_reject(struct advice *a, enum advice_reason why)
{
    *a = (struct advice){.reason = words[why], .analysis = STRV_NONE};
}

struct check {
    const struct advice_schema *s;
    const char *root; /* of fields: "params", "merged_params" */
    struct advice *out;
    struct arena *arena;
};

static bool fault(struct advice *out, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fault(struct advice *out, const char *reason, const char *format, ...)
{
    va_list ap;
    out->reason = reason;
    va_start(ap, format);
    vsnprintf(out->field, sizeof out->field, format, ap);
    va_end(ap);
    out->field[utf8_whole(strv_of(out->field))] = '\0';
    return false;
}

/* ---- parameters ---- */

static bool is_word(const struct advice_param *p, strv text)
{
    for (size_t i = 0; i < p->n_words; i++)
        if (strv_eq(p->words[i], text))
            return true;
    return false;
}

/* A number within the bounds? `field` is what stands behind the root. */
static bool check_number(const struct check *c, const struct advice_param *p, yyjson_val *v,
                         strv member)
{
    double number;
    int64_t whole;
    const char *dot = member.len > 0 ? "." : "";
    strv name = utf8_cut(member, 48);
    const char *reason = !json_is_num(v, &number) ? words[ADVICE_REASON_BAD_TYPE]
                         : p->kind == ADVICE_INTEGER && !json_is_int(v, &whole)
                             ? words[ADVICE_REASON_BAD_TYPE]
                         : !(number >= p->min && number <= p->max) ? p->fault
                                                                   : NULL;
    return reason == NULL || fault(c->out, reason, "%s." STRV_FMT "%s" STRV_FMT, c->root,
                                   STRV_ARG(p->name), dot, STRV_ARG(name));
}

static bool check_numbers(const struct check *c, const struct advice_param *p, yyjson_val *v)
{
    size_t i, max;
    yyjson_val *key, *one;
    if (!yyjson_is_obj(v))
        return fault(c->out, words[ADVICE_REASON_BAD_TYPE], "%s." STRV_FMT, c->root,
                     STRV_ARG(p->name));
    yyjson_obj_foreach(v, i, max, key, one)
    {
        strv name = json_str(key);
        if (!is_word(p, name)) {
            strv shown = utf8_cut(name, 48);
            return fault(c->out, p->unknown, "%s." STRV_FMT "." STRV_FMT, c->root,
                         STRV_ARG(p->name), STRV_ARG(shown));
        }
        if (!check_number(c, p, one, name))
            return false;
    }
    return true;
}

static bool check_param(const struct check *c, const struct advice_param *p, yyjson_val *v)
{
    const char *reason = NULL;
    switch (p->kind) {
    case ADVICE_CHOICE:
        reason = !yyjson_is_str(v)          ? words[ADVICE_REASON_BAD_TYPE]
                 : !is_word(p, json_str(v)) ? p->fault
                                            : NULL;
        break;
    case ADVICE_BOOLEAN:
        reason = yyjson_is_bool(v) ? NULL : words[ADVICE_REASON_BAD_TYPE];
        break;
    case ADVICE_NUMBER:
    case ADVICE_INTEGER:
        return check_number(c, p, v, STRV(""));
    case ADVICE_NUMBERS:
        return check_numbers(c, p, v);
    }
    return reason == NULL || fault(c->out, reason, "%s." STRV_FMT, c->root, STRV_ARG(p->name));
}

/* What the reply names: nothing but what may be advised. */
static bool check_delta(const struct check *c, yyjson_val *params)
{
    size_t i, max;
    yyjson_val *key, *v;
    if (params == NULL)
        return true;
    if (!yyjson_is_obj(params))
        return fault(c->out, words[ADVICE_REASON_BAD_TYPE], "params");
    yyjson_obj_foreach(params, i, max, key, v)
    {
        const struct advice_param *p = advice_param_find(c->s, json_str(key));
        strv shown = utf8_cut(json_str(key), 48);
        if (p == NULL)
            return fault(c->out, words[ADVICE_REASON_FORBIDDEN_PARAM], "params." STRV_FMT,
                         STRV_ARG(shown));
        if (!check_param(c, p, v))
            return false;
    }
    return true;
}

static bool names_something(const struct advice_param *p, yyjson_val *v)
{
    return v != NULL && (p->kind != ADVICE_NUMBERS || yyjson_obj_size(v) > 0);
}

static bool check_needs(const struct check *c, const struct advice_type *t, yyjson_val *params)
{
    bool any = false, it = false;
    for (size_t i = 0; params != NULL && i < c->s->n_params; i++) {
        const struct advice_param *p = &c->s->params[i];
        bool named = names_something(p, yyjson_obj_getn(params, p->name.ptr, p->name.len));
        any = any || named;
        it = it || (named && p == t->param);
    }
    c->out->changes = any;
    if ((t->needs == ADVICE_NEEDS_ANY && !any) || (t->needs == ADVICE_NEEDS_ONE && !it))
        return fault(c->out, words[ADVICE_REASON_EMPTY_PARAMS], "params");
    return true;
}

/* ---- delta and merged set, as text ---- */

struct joint {
    struct buf b;
    struct arena *arena;
};

static void put_member(struct joint *j, bool *first, strv key, yyjson_val *v)
{
    if (!*first)
        buf_put_char(&j->b, ',');
    *first = false;
    json_put_str(&j->b, key);
    buf_put_char(&j->b, ':');
    if (v != NULL && !json_put_val(&j->b, v, j->arena))
        j->b.failed = true;
}

static yyjson_val *member(yyjson_val *obj, strv key)
{
    return yyjson_is_obj(obj) ? yyjson_obj_getn(obj, key.ptr, key.len) : NULL;
}

/* Every member of `under`, those of `over` in their place or behind; either may be NULL. Two objects are joined one level
 * deep, so that one weight that is named leaves the others as they were. */
static void put_joined(struct joint *j, yyjson_val *under, yyjson_val *over, bool deep);

static void put_under(struct joint *j, bool *first, yyjson_val *under, yyjson_val *over, bool deep)
{
    size_t i, max;
    yyjson_val *key, *v;
    yyjson_obj_foreach(under, i, max, key, v)
    {
        yyjson_val *new = member(over, json_str(key));
        bool both = deep && yyjson_is_obj(new) && yyjson_is_obj(v);
        put_member(j, first, json_str(key), both ? NULL : new != NULL ? new : v);
        if (both)
            put_joined(j, v, new, false);
    }
}

static void put_behind(struct joint *j, bool *first, yyjson_val *under, yyjson_val *over)
{
    size_t i, max;
    yyjson_val *key, *v;
    yyjson_obj_foreach(over, i, max, key, v)
    {
        if (member(under, json_str(key)) == NULL)
            put_member(j, first, json_str(key), v);
    }
}

static void put_joined(struct joint *j, yyjson_val *under, yyjson_val *over, bool deep)
{
    bool first = true;
    buf_put_char(&j->b, '{');
    if (under != NULL)
        put_under(j, &first, under, over, deep);
    if (over != NULL)
        put_behind(j, &first, under, over);
    buf_put_char(&j->b, '}');
}

strv advice_join(struct arena *arena, yyjson_val *under, yyjson_val *over)
{
    struct joint j = {.arena = arena};
    buf_init(&j.b, MERGED_MAX);
    put_joined(&j, under, over, true);
    strv text = j.b.failed ? STRV_NONE : arena_strv(arena, buf_view(&j.b));
    buf_fini(&j.b);
    return text;
}

/* The whole set, as the optimiser would have it. A parameter that is null is not set. */
static bool check_merged(struct check *c, bool *ok)
{
    struct err err = ERR_INIT;
    struct json doc;
    *ok = false;
    c->root = "merged_params";
    if (!json_read(&doc, c->out->merged, c->arena, 0, &err))
        return false;
    for (size_t i = 0; i < c->s->n_params; i++) {
        const struct advice_param *p = &c->s->params[i];
        yyjson_val *v = member(doc.root, p->name);
        if (v != NULL && !yyjson_is_null(v) && !check_param(c, p, v))
            return true;
    }
    *ok = true;
    return true;
}

/* ---- the suggestion ---- */

static const struct advice_type *check_type(const struct check *c, enum advice_question q,
                                            yyjson_val *v)
{
    strv word = json_str(v);
    if (v == NULL) {
        fault(c->out, words[ADVICE_REASON_MISSING_TYPE], "type");
        return NULL;
    }
    for (size_t i = 0; word.ptr != NULL && i < c->s->n_types; i++)
        if (strv_eq(c->s->types[i].name, word) && (c->s->answers[q] >> i & 1) != 0)
            return &c->s->types[i];
    fault(c->out, words[ADVICE_REASON_UNKNOWN_TYPE], "type");
    return NULL;
}

static bool check_words(const struct check *c, yyjson_val *reply)
{
    struct advice *out = c->out;
    double confidence;
    strv reasoning = json_get_str(reply, "reasoning");
    if (!json_is_num(json_get(reply, "confidence"), &confidence) ||
        !(confidence >= 0 && confidence <= 1))
        return fault(out, words[ADVICE_REASON_BAD_CONFIDENCE], "confidence");
    if (confidence < c->s->floor)
        return fault(out, words[ADVICE_REASON_LOW_CONFIDENCE], "confidence");
    if (reasoning.ptr == NULL || strv_trim(reasoning).len == 0)
        return fault(out, words[ADVICE_REASON_MISSING_REASONING], "reasoning");
    if (reasoning.len > ADVICE_REASONING_MAX)
        return fault(out, words[ADVICE_REASON_TOO_LARGE], "reasoning");
    out->confidence = confidence;
    out->reasoning = reasoning;
    return true;
}

/* JSON text of an object, "{}" for none. */
static strv text_of(struct arena *arena, yyjson_val *obj)
{
    return advice_join(arena, NULL, obj);
}

bool advice_check(const struct advice_schema *s, enum advice_question q, yyjson_val *reply,
                  yyjson_val *current, struct arena *arena, struct advice *out)
{
    struct check c = {.s = s, .root = "params", .out = out, .arena = arena};
    yyjson_val *params = json_get(reply, "params"), *analysis = json_get(reply, "analysis");
    bool ok = false;

    *out = (struct advice){.reason = words[ADVICE_REASON_OK], .analysis = STRV_NONE};
    const struct advice_type *t = check_type(&c, q, json_get(reply, "type"));
    if (t == NULL || !check_words(&c, reply) || !check_delta(&c, params) ||
        !check_needs(&c, t, params))
        return true;
    if (analysis != NULL && !yyjson_is_obj(analysis)) {
        fault(out, words[ADVICE_REASON_BAD_TYPE], "analysis");
        return true;
    }
    out->type = t->name;
    out->delta = text_of(arena, params);
    out->merged = advice_join(arena, yyjson_is_obj(current) ? current : NULL, params);
    if (analysis != NULL)
        out->analysis = text_of(arena, analysis);
    if (out->delta.ptr == NULL || out->merged.ptr == NULL ||
        (analysis != NULL && out->analysis.ptr == NULL))
        return false;
    if (out->changes && !check_merged(&c, &ok))
        return false;
    out->accepted = ok || !out->changes;
    return true;
}
