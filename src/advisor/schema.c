/* SPDX-License-Identifier: Apache-2.0 */
#include "advisor/schema.h"

#include <stdio.h>
#include <string.h>

#include "advisor/check.h"
#include "advisor/digest.h"
#include "advisor/rules.h"

#define WORDS_MAX 64
#define NAME_MAX_ 64

static const char *const question_names[ADVICE_QUESTIONS] = {"suggest", "analyze", "strategy",
                                                             "explain"};

const char *advice_question_name(enum advice_question q)
{
    return question_names[q];
}

const struct advice_param *advice_param_find(const struct advice_schema *s, strv name)
{
    for (size_t i = 0; i < s->n_params; i++)
        if (strv_eq(s->params[i].name, name))
            return &s->params[i];
    return NULL;
}

/* ---- reading ---- */

struct reading {
    struct advice_schema *s;
    struct arena *arena;
    struct err *err;
};

static bool wrong(struct reading *r, const char *where, const char *what)
{
    return err_field(r->err, 0, where, "%s: %s", where, what);
}

/* Names of parameters and reasons go into answers, logs and JSON Schemas as they are. */
static bool is_name(strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return text.len > 0 && text.len <= NAME_MAX_;
}

static bool read_words(struct reading *r, const char *where, yyjson_val *list, const strv **out,
                       size_t *n)
{
    size_t i, max, count = yyjson_is_arr(list) ? yyjson_arr_size(list) : 0;
    yyjson_val *v;
    if (count == 0 || count > WORDS_MAX)
        return wrong(r, where, "expected a list of 1 to 64 names");
    strv *words = ARENA_ARRAY(r->arena, strv, count);
    if (words == NULL)
        return err_oom(r->err);
    yyjson_arr_foreach(list, i, max, v)
    {
        words[i] = json_str(v);
        if (words[i].ptr == NULL || !is_name(words[i]))
            return wrong(r, where, "names are letters, digits, _ and -");
    }
    *out = words;
    *n = count;
    return true;
}

static bool read_reason(struct reading *r, yyjson_val *v, const char *key, const char *otherwise,
                        const char **out)
{
    strv word = json_get_str(v, key);
    *out = otherwise;
    if (json_get(v, key) == NULL)
        return true;
    if (word.ptr == NULL || !is_name(word))
        return wrong(r, key, "expected a name");
    *out = arena_cstr(r->arena, word);
    return *out != NULL || err_oom(r->err);
}

static bool read_bounds(struct reading *r, const char *where, yyjson_val *v, struct advice_param *p)
{
    if (!json_is_num(json_get(v, "min"), &p->min) || !json_is_num(json_get(v, "max"), &p->max) ||
        !(p->min <= p->max))
        return wrong(r, where, "expected min and max, min not above max");
    return true;
}

static bool read_kind(struct reading *r, const char *where, strv word, enum advice_kind *out)
{
    static const char *const kinds[] = {"choice", "number", "integer", "boolean", "numbers"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strv_eq_cstr(word, kinds[i])) {
            *out = (enum advice_kind)i;
            return true;
        }
    return wrong(r, where, "kind: choice, number, integer, boolean or numbers");
}

static bool read_param(struct reading *r, yyjson_val *v, struct advice_param *p)
{
    char where[NAME_MAX_ + 16];
    snprintf(where, sizeof where, "params." STRV_FMT, STRV_ARG(p->name));
    if (!yyjson_is_obj(v))
        return wrong(r, where, "expected an object");
    if (!read_kind(r, where, json_get_str(v, "kind"), &p->kind) ||
        !read_reason(r, v, "fault", advice_reason_word(ADVICE_REASON_OUT_OF_RANGE), &p->fault) ||
        !read_reason(r, v, "unknown", advice_reason_word(ADVICE_REASON_UNKNOWN_NAME), &p->unknown))
        return false;
    if (p->kind == ADVICE_CHOICE &&
        !read_words(r, where, json_get(v, "values"), &p->words, &p->n_words))
        return false;
    if (p->kind == ADVICE_NUMBERS &&
        !read_words(r, where, json_get(v, "names"), &p->words, &p->n_words))
        return false;
    return p->kind == ADVICE_CHOICE || p->kind == ADVICE_BOOLEAN || read_bounds(r, where, v, p);
}

static bool read_params(struct reading *r, yyjson_val *list)
{
    struct advice_schema *s = r->s;
    size_t i, max;
    yyjson_val *key, *v;
    if (!yyjson_is_obj(list) || yyjson_obj_size(list) == 0 ||
        yyjson_obj_size(list) > ADVICE_PARAMS_MAX)
        return wrong(r, "params", "expected an object of 1 to 32 parameters");
    yyjson_obj_foreach(list, i, max, key, v)
    {
        strv name = json_str(key);
        if (!is_name(name) || advice_param_find(s, name) != NULL)
            return wrong(r, "params", "names are letters, digits, _ and -, each once");
        s->params[s->n_params].name = name;
        if (!read_param(r, v, &s->params[s->n_params]))
            return false;
        s->n_params++;
    }
    return true;
}

static bool read_needs(struct reading *r, yyjson_val *v, struct advice_type *t)
{
    strv needs = json_get_str(v, "needs");
    if (!yyjson_is_obj(v))
        return wrong(r, "types", "expected an object for each type");
    if (json_get(v, "needs") == NULL)
        return true;
    t->needs = strv_eq_cstr(needs, "any") ? ADVICE_NEEDS_ANY : ADVICE_NEEDS_ONE;
    t->param = t->needs == ADVICE_NEEDS_ONE ? advice_param_find(r->s, needs) : NULL;
    return t->needs == ADVICE_NEEDS_ANY || t->param != NULL ||
           wrong(r, "types", "needs: \"any\" or the name of a parameter");
}

static int find_type(const struct advice_schema *s, strv name)
{
    for (size_t i = 0; i < s->n_types; i++)
        if (strv_eq(s->types[i].name, name))
            return (int)i;
    return -1;
}

static bool read_types(struct reading *r, yyjson_val *list)
{
    struct advice_schema *s = r->s;
    size_t i, max;
    yyjson_val *key, *v;
    if (!yyjson_is_obj(list) || yyjson_obj_size(list) == 0 ||
        yyjson_obj_size(list) > ADVICE_TYPES_MAX)
        return wrong(r, "types", "expected an object of 1 to 32 types");
    yyjson_obj_foreach(list, i, max, key, v)
    {
        struct advice_type *t = &s->types[s->n_types];
        t->name = json_str(key);
        if (!is_name(t->name) || find_type(s, t->name) >= 0)
            return wrong(r, "types", "names are letters, digits, _ and -, each once");
        if (!read_needs(r, v, t))
            return false;
        s->n_types++;
    }
    return true;
}

static bool read_questions(struct reading *r, yyjson_val *list)
{
    struct advice_schema *s = r->s;
    for (size_t q = 0; q < ADVICE_EXPLAIN; q++) {
        const strv *words = NULL;
        size_t n = 0;
        if (!read_words(r, "questions", json_get(list, question_names[q]), &words, &n))
            return false;
        for (size_t i = 0; i < n; i++) {
            int type = find_type(s, words[i]);
            if (type < 0)
                return wrong(r, "questions", "names a type that is not among types");
            s->answers[q] |= (uint32_t)1 << type;
        }
    }
    return true;
}

static bool read_form(struct reading *r, yyjson_val *root, const char *key, yyjson_val **out)
{
    struct err why = ERR_INIT;
    *out = json_get(root, key);
    return *out == NULL || schema_valid(*out, &why) || wrong(r, key, "is no JSON Schema");
}

/* ---- the form of an answer, for servers that hold a model to it ---- */

static void put_words(struct buf *b, const strv *words, size_t n)
{
    buf_put_cstr(b, "{\"enum\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_char(b, ',');
        json_put_str(b, words[i]);
    }
    buf_put_cstr(b, "]}");
}

static void put_number(struct buf *b, const struct advice_param *p)
{
    buf_put_cstr(b, p->kind == ADVICE_INTEGER ? "{\"type\":\"integer\",\"minimum\":"
                                              : "{\"type\":\"number\",\"minimum\":");
    json_put_num(b, p->min);
    buf_put_cstr(b, ",\"maximum\":");
    json_put_num(b, p->max);
    buf_put_char(b, '}');
}

static void put_numbers(struct buf *b, const struct advice_param *p)
{
    bool first = true;
    buf_put_cstr(b, "{\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < p->n_words; i++) {
        if (!first)
            buf_put_char(b, ',');
        first = false;
        json_put_str(b, p->words[i]);
        buf_put_char(b, ':');
        put_number(b, p);
    }
    buf_put_cstr(b, "},\"additionalProperties\":false}");
}

static void put_params(struct buf *b, const struct advice_schema *s)
{
    buf_put_cstr(b, "{\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < s->n_params; i++) {
        const struct advice_param *p = &s->params[i];
        if (i > 0)
            buf_put_char(b, ',');
        json_put_str(b, p->name);
        buf_put_char(b, ':');
        if (p->kind == ADVICE_CHOICE)
            put_words(b, p->words, p->n_words);
        else if (p->kind == ADVICE_BOOLEAN)
            buf_put_cstr(b, "{\"type\":\"boolean\"}");
        else if (p->kind == ADVICE_NUMBERS)
            put_numbers(b, p);
        else
            put_number(b, p);
    }
    buf_put_cstr(b, "},\"additionalProperties\":false}");
}

/* Only an analysis has findings to tell; elsewhere the member would only cost tokens. */
#define ANALYSIS                                                                                   \
    ",\"analysis\":{\"type\":\"object\",\"properties\":{\"primary\":{\"type\":\"string\"},"        \
    "\"causes\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":5},"              \
    "\"action\":{\"type\":\"string\"}},\"required\":[\"primary\"],\"additionalProperties\":false}"

static bool make_form(struct reading *r, enum advice_question q)
{
    struct advice_schema *s = r->s;
    strv words[ADVICE_TYPES_MAX];
    size_t n = 0;
    struct buf b;
    buf_init(&b, ADVICE_BYTES_MAX);
    for (size_t i = 0; i < s->n_types; i++)
        if ((s->answers[q] >> i & 1) != 0)
            words[n++] = s->types[i].name;
    buf_put_cstr(&b, "{\"type\":\"object\",\"properties\":{\"type\":");
    put_words(&b, words, n);
    buf_put_cstr(&b, ",\"confidence\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},"
                     "\"reasoning\":{\"type\":\"string\"}");
    if (q == ADVICE_ANALYZE) {
        buf_put_cstr(&b, ANALYSIS);
    } else {
        buf_put_cstr(&b, ",\"params\":");
        put_params(&b, s);
    }
    buf_put_cstr(&b, "},\"required\":[\"type\",\"confidence\",\"reasoning\"],"
                     "\"additionalProperties\":false}");
    s->form[q] = b.failed ? STRV_NONE : arena_strv(r->arena, buf_view(&b));
    buf_fini(&b);
    return s->form[q].ptr != NULL || err_oom(r->err);
}

/* ---- all of it ---- */

static bool read_head(struct reading *r, yyjson_val *root)
{
    struct advice_schema *s = r->s;
    s->name = json_get_str(root, "name");
    s->version = json_get_int(root, "version", 0);
    if (s->name.ptr == NULL || !is_name(s->name) || s->version < 1)
        return wrong(r, "name", "expected a name, and a version from 1");
    s->floor = 0.3;
    if (json_get(root, "confidence_floor") != NULL &&
        (!json_is_num(json_get(root, "confidence_floor"), &s->floor) || s->floor < 0 ||
         s->floor > 1))
        return wrong(r, "confidence_floor", "expected a number from 0 to 1");
    return true;
}

static bool read_all(struct reading *r, strv text)
{
    struct advice_schema *s = r->s;
    if (text.len > ADVICE_BYTES_MAX)
        return err_set(r->err, 0, "it is larger than 256 KiB");
    if (!json_read(&s->doc, text, r->arena, 0, r->err))
        return false;
    yyjson_val *root = s->doc.root;
    if (!yyjson_is_obj(root))
        return err_set(r->err, 0, "expected a JSON object");
    digest_hex(text, s->digest);
    s->rules = json_get(root, "rules");
    if (!read_head(r, root) || !read_params(r, json_get(root, "params")) ||
        !read_types(r, json_get(root, "types")) ||
        !read_questions(r, json_get(root, "questions")) ||
        !read_form(r, root, "state", &s->state) ||
        !read_form(r, root, "evaluation", &s->evaluation) ||
        !read_form(r, root, "record", &s->record))
        return false;
    for (int q = 0; q < ADVICE_EXPLAIN; q++)
        if (!make_form(r, (enum advice_question)q))
            return false;
    return advice_rules_valid(s, r->arena, r->err);
}

struct advice_schema *advice_schema_read(strv text, struct arena *arena, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct reading r = {.s = ARENA_NEW(arena, struct advice_schema),
                        .arena = arena,
                        .err = err != NULL ? err : &ignored};
    if (r.s == NULL) {
        err_oom(r.err);
        return NULL;
    }
    return read_all(&r, text) ? r.s : NULL;
}
