/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - one row per keyword: the form it must have, and what it asks of a value.
 *
 *   schema_valid   walks the schema:  for each member, its form; down into the schemas in it
 *   schema_check   walks the value:   for each member of the schema its check, which calls fits() for
 *                                     the parts; a $ref is resolved when it is met
 *
 * To add a keyword: a row, and its check.
 */
#include "base/schema.h"

#include <stdio.h>

#include "base/json.h"
#include "base/utf8.h"

#define STEPS_MAX  1000000 /* about 0.1 s at worst */
#define LEVELS_MAX 512     /* of schemas in each other; a deep value needs about three a level */
#define HOPS_MAX   64      /* from one $ref straight to the next */
#define NAME_BYTES 60      /* of one name in an error */
#define FAIL_STEPS 20      /* what the text of an error costs; anyOf throws most of them away */

/* The way from the root to here; lives on the stack. */
struct place {
    const struct place *up;
    strv name; /* ptr NULL = an index */
    size_t index;
    unsigned depth;
};

struct walk {
    yyjson_val *root; /* of the schema, for $ref */
    size_t steps;     /* left */
    unsigned levels;
    bool stopped; /* out of steps or levels: no answer counts any more */
    bool in_schema;
    struct err *err;
    unsigned failed_depth; /* of the place err is about */
};

/* A schema and the value it is held against. */
struct pair {
    yyjson_val *schema, *value;
    const struct place *place;
};

enum form {
    FORM_ANY,
    FORM_BOOL,
    FORM_NUMBER,
    FORM_POSITIVE,
    FORM_LIMIT, /* a number, or a boolean as in draft 4 */
    FORM_COUNT,
    FORM_TYPE,
    FORM_NAMES,
    FORM_VALUES,
    FORM_REF,
    FORM_SCHEMA,
    FORM_ITEMS, /* a schema, or an array of them as in draft 7 */
    FORM_SCHEMAS,
    FORM_NAMED_SCHEMAS
};

struct keyword {
    const char *name;
    enum form form;
    /* rule: the keyword's value */
    bool (*check)(struct walk *w, const struct pair *p, yyjson_val *rule);
};

static bool check_type(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_enum(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_const(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_any_of(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_one_of(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_all_of(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_not(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_ref(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_properties(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_additional(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_required(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_min_properties(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_max_properties(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_prefix(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_items(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_more_items(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_min_items(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_max_items(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_unique(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_min_length(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_max_length(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_minimum(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_maximum(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_above(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_below(struct walk *w, const struct pair *p, yyjson_val *rule);
static bool check_multiple(struct walk *w, const struct pair *p, yyjson_val *rule);

static const struct keyword keywords[] = {
    {"type", FORM_TYPE, check_type},
    {"properties", FORM_NAMED_SCHEMAS, check_properties},
    {"required", FORM_NAMES, check_required},
    {"additionalProperties", FORM_SCHEMA, check_additional},
    {"items", FORM_ITEMS, check_items},
    {"enum", FORM_VALUES, check_enum},
    {"const", FORM_ANY, check_const},
    {"$ref", FORM_REF, check_ref},
    {"$defs", FORM_NAMED_SCHEMAS, NULL},
    {"definitions", FORM_NAMED_SCHEMAS, NULL},
    {"anyOf", FORM_SCHEMAS, check_any_of},
    {"oneOf", FORM_SCHEMAS, check_one_of},
    {"allOf", FORM_SCHEMAS, check_all_of},
    {"not", FORM_SCHEMA, check_not},
    {"nullable", FORM_BOOL, NULL}, /* see fits() */
    {"minimum", FORM_NUMBER, check_minimum},
    {"maximum", FORM_NUMBER, check_maximum},
    {"exclusiveMinimum", FORM_LIMIT, check_above},
    {"exclusiveMaximum", FORM_LIMIT, check_below},
    {"multipleOf", FORM_POSITIVE, check_multiple},
    {"minLength", FORM_COUNT, check_min_length},
    {"maxLength", FORM_COUNT, check_max_length},
    {"minItems", FORM_COUNT, check_min_items},
    {"maxItems", FORM_COUNT, check_max_items},
    {"uniqueItems", FORM_BOOL, check_unique},
    {"prefixItems", FORM_SCHEMAS, check_prefix},
    {"additionalItems", FORM_SCHEMA, check_more_items},
    {"minProperties", FORM_COUNT, check_min_properties},
    {"maxProperties", FORM_COUNT, check_max_properties},
};

static bool valid(struct walk *w, yyjson_val *schema, const struct place *place);
static bool fits(struct walk *w, yyjson_val *schema, yyjson_val *value, const struct place *place);

bool schema_valid(yyjson_val *schema, struct err *err)
{
    struct walk w = {.root = schema, .steps = STEPS_MAX, .in_schema = true, .err = err};
    if (valid(&w, schema, NULL))
        return true;
    return err_field(err, 0, "#", "#: the schema is too large or too deep");
}

bool schema_check(yyjson_val *schema, yyjson_val *value, struct err *err)
{
    struct err why = ERR_INIT;
    struct walk w = {.root = schema, .steps = STEPS_MAX, .err = &why};
    if (value == NULL)
        return err_field(err, 0, "", "there is no value");
    bool ok = fits(&w, schema, value, NULL);
    if (w.stopped)
        return err_field(err, 0, "", "the schema is too complex to check this value");
    return ok || err_field(err, 0, why.field, "%s", why.text);
}

/* ---- budget, places, errors ---- */

static bool spend(struct walk *w, size_t steps)
{
    if (w->stopped || steps > w->steps) {
        w->stopped = true;
        return false;
    }
    w->steps -= steps;
    return true;
}

/* Looking a name up costs as much as the object is long. */
static yyjson_val *find(struct walk *w, yyjson_val *obj, strv name)
{
    if (!spend(w, 1 + yyjson_obj_size(obj) / 8))
        return NULL;
    return yyjson_obj_getn(obj, name.ptr, name.len);
}

static struct place below(const struct place *up, strv name, size_t index)
{
    return (struct place){
        .up = up, .name = name, .index = index, .depth = up != NULL ? up->depth + 1 : 1};
}

static unsigned depth(const struct place *place)
{
    return place != NULL ? place->depth : 0;
}

/* A part of an error's text: of a stated length, whatever is added. */
struct line {
    char text[160]; /* always terminated */
    size_t len;
    bool cut; /* it ends with ... */
};

static void add(struct line *line, char c)
{
    if (line->cut)
        return;
    if (line->len + sizeof "..." < sizeof line->text) {
        line->text[line->len++] = c;
        return;
    }
    line->len = utf8_whole((strv){line->text, line->len});
    memcpy(line->text + line->len, "...", sizeof "...");
    line->cut = true;
}

/* A name of the schema's, without what breaks a line. */
static void add_name(struct line *line, strv name, size_t max, bool pointer)
{
    strv head = utf8_cut(name, max);
    for (size_t i = 0; i < head.len; i++) {
        unsigned char c = (unsigned char)head.ptr[i];
        bool escape = pointer && (c == '~' || c == '/');
        add(line, escape ? '~' : c < 0x20 || c == 0x7f ? '?' : (char)c);
        if (escape)
            add(line, c == '~' ? '0' : '1');
    }
    for (int dots = 0; head.len < name.len && dots < 3; dots++)
        add(line, '.');
}

static void add_pointer(struct line *line, const struct place *place)
{
    const struct place *way[24]; /* the nearest ones; who nests deeper sees the end of the way */
    size_t steps = 0;
    for (; place != NULL && steps < sizeof way / sizeof *way; place = place->up)
        way[steps++] = place;
    if (place != NULL)
        add_name(line, STRV("/..."), SIZE_MAX, false);
    while (steps > 0) {
        const struct place *at = way[--steps];
        char digits[24];
        snprintf(digits, sizeof digits, "%zu", at->index);
        add(line, '/');
        add_name(line, at->name.ptr != NULL ? at->name : strv_of(digits), NAME_BYTES, true);
    }
}

/* Always false. `name` is one of the schema's, or absent. */
static bool fail(struct walk *w, const struct place *place, const char *what, strv name)
{
    struct line pointer = {0}, quoted = {0};
    if (!spend(w, FAIL_STEPS))
        return false;
    if (w->in_schema)
        add(&pointer, '#');
    add_pointer(&pointer, place);
    if (name.ptr != NULL) {
        add_name(&quoted, STRV(" \""), SIZE_MAX, false);
        add_name(&quoted, name, NAME_BYTES, false);
        add(&quoted, '"');
    }
    w->failed_depth = depth(place);
    return err_field(w->err, 0, pointer.text, "%s%s%s%s", pointer.text, pointer.len > 0 ? ": " : "",
                     what, quoted.text);
}

static const struct keyword *find_keyword(strv name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strv_eq_cstr(name, keywords[i].name))
            return &keywords[i];
    return NULL;
}

static bool is_schema(yyjson_val *v)
{
    return yyjson_is_obj(v) || yyjson_is_bool(v);
}

/* ---- $ref ---- */

/* One part of a pointer: %XX as in an address, then ~0 and ~1. A name too long is none of ours. */
static bool decode_part(strv part, char *out, size_t room, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        if (n == room)
            return false;
        if (c == '%') {
            if (i + 2 >= part.len || strv_hex(part.ptr[i + 1]) < 0 || strv_hex(part.ptr[i + 2]) < 0)
                return false;
            c = (char)(strv_hex(part.ptr[i + 1]) << 4 | strv_hex(part.ptr[i + 2]));
            i += 2;
        }
        if (n > 0 && out[n - 1] == '~' && (c == '0' || c == '1'))
            out[n - 1] = c == '0' ? '\x01' : '/'; /* \x01: a tilde that begins no escape */
        else
            out[n++] = c;
    }
    for (size_t i = 0; i < n; i++)
        if (out[i] == '\x01')
            out[i] = '~';
    *len = n;
    return true;
}

/* NULL if it leads nowhere, or to what is no schema. */
static yyjson_val *resolve(struct walk *w, yyjson_val *ref)
{
    strv rest = json_str(ref), part;
    yyjson_val *at = w->root;
    char name[256];
    size_t len;
    if (rest.len == 0 || rest.ptr[0] != '#' || (rest.len > 1 && rest.ptr[1] != '/'))
        return NULL;
    rest = rest.len > 1 ? strv_from(rest, 2) : STRV_NONE;
    while (strv_cut(&rest, '/', &part)) {
        uint64_t index;
        if (!decode_part(part, name, sizeof name, &len))
            return NULL;
        if (yyjson_is_obj(at))
            at = find(w, at, (strv){name, len});
        else if (yyjson_is_arr(at) && strv_u64((strv){name, len}, 0, UINT32_MAX, &index) &&
                 spend(w, yyjson_arr_size(at) / 8))
            at = yyjson_arr_get(at, (size_t)index);
        else
            return NULL;
    }
    return is_schema(at) ? at : NULL;
}

/* ---- is it a schema? ---- */

static bool is_type(yyjson_val *v)
{
    static const char *const types[] = {"object",  "array",   "string", "number",
                                        "integer", "boolean", "null"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (yyjson_equals_str(v, types[i]))
            return true;
    return false;
}

static bool valid_type(struct walk *w, yyjson_val *rule, const struct place *place)
{
    size_t at, max;
    yyjson_val *one;
    bool ok = yyjson_is_arr(rule) ? yyjson_arr_size(rule) > 0 : is_type(rule);
    yyjson_arr_foreach(rule, at, max, one)
    {
        ok = ok && spend(w, 1) && is_type(one);
    }
    return ok || fail(w, place, "must be the name of a type, or an array of names", STRV_NONE);
}

static bool valid_names(struct walk *w, yyjson_val *rule, const struct place *place)
{
    size_t at, max;
    yyjson_val *one;
    bool ok = yyjson_is_arr(rule);
    yyjson_arr_foreach(rule, at, max, one)
    {
        ok = ok && spend(w, 1) && yyjson_is_str(one);
    }
    return ok || fail(w, place, "must be an array of strings", STRV_NONE);
}

static bool valid_ref(struct walk *w, yyjson_val *rule, const struct place *place)
{
    yyjson_val *target = NULL;
    if (!yyjson_is_str(rule))
        return fail(w, place, "must be a string", STRV_NONE);
    if (yyjson_get_len(rule) == 0 || yyjson_get_str(rule)[0] != '#')
        return fail(w, place, "must be a pointer into this schema, as \"#/$defs/name\"", STRV_NONE);
    for (int hops = 0; yyjson_is_str(rule); hops++) {
        target = resolve(w, rule);
        if (target == NULL)
            return fail(w, place, "leads to no schema", STRV_NONE);
        if (hops == HOPS_MAX)
            return fail(w, place, "leads in a circle", STRV_NONE);
        rule = find(w, target, STRV("$ref"));
    }
    return true;
}

static bool valid_list(struct walk *w, yyjson_val *rule, const struct place *place)
{
    size_t at, max;
    yyjson_val *one;
    if (!yyjson_is_arr(rule) || yyjson_arr_size(rule) == 0)
        return fail(w, place, "must be an array of schemas", STRV_NONE);
    yyjson_arr_foreach(rule, at, max, one)
    {
        struct place here = below(place, STRV_NONE, at);
        if (!valid(w, one, &here))
            return false;
    }
    return true;
}

static bool valid_named(struct walk *w, yyjson_val *rule, const struct place *place)
{
    size_t at, max;
    yyjson_val *key, *one;
    if (!yyjson_is_obj(rule))
        return fail(w, place, "must be an object of schemas", STRV_NONE);
    yyjson_obj_foreach(rule, at, max, key, one)
    {
        struct place here = below(place, json_str(key), 0);
        if (!valid(w, one, &here))
            return false;
    }
    return true;
}

static bool valid_number(struct walk *w, enum form form, yyjson_val *rule,
                         const struct place *place)
{
    double d = 0;
    int64_t count = 0;
    switch (form) {
    case FORM_POSITIVE:
        return (json_is_num(rule, &d) && d > 0) ||
               fail(w, place, "must be a number above 0", STRV_NONE);
    case FORM_COUNT:
        return (json_is_int(rule, &count) && count >= 0) ||
               fail(w, place, "must be an integer of at least 0", STRV_NONE);
    case FORM_LIMIT:
        if (yyjson_is_bool(rule))
            return true;
        break;
    default:
        break;
    }
    return json_is_num(rule, &d) || fail(w, place, "must be a number", STRV_NONE);
}

static bool valid_form(struct walk *w, enum form form, yyjson_val *rule, const struct place *place)
{
    switch (form) {
    case FORM_ANY:
        return true;
    case FORM_BOOL:
        return yyjson_is_bool(rule) || fail(w, place, "must be true or false", STRV_NONE);
    case FORM_NUMBER:
    case FORM_POSITIVE:
    case FORM_LIMIT:
    case FORM_COUNT:
        return valid_number(w, form, rule, place);
    case FORM_TYPE:
        return valid_type(w, rule, place);
    case FORM_NAMES:
        return valid_names(w, rule, place);
    case FORM_VALUES:
        return yyjson_arr_size(rule) > 0 ||
               fail(w, place, "must be an array of at least one value", STRV_NONE);
    case FORM_REF:
        return valid_ref(w, rule, place);
    case FORM_SCHEMA:
        return valid(w, rule, place);
    case FORM_ITEMS:
        return yyjson_is_arr(rule) ? valid_list(w, rule, place) : valid(w, rule, place);
    case FORM_SCHEMAS:
        return valid_list(w, rule, place);
    case FORM_NAMED_SCHEMAS:
        return valid_named(w, rule, place);
    }
    return false;
}

static bool valid(struct walk *w, yyjson_val *schema, const struct place *place)
{
    size_t at, max;
    yyjson_val *key, *rule;
    bool ok = true;
    if (!spend(w, 1) || w->levels == LEVELS_MAX)
        return false;
    if (!is_schema(schema))
        return fail(w, place, "must be a schema: an object, true or false", STRV_NONE);
    w->levels++;
    yyjson_obj_foreach(schema, at, max, key, rule)
    {
        struct place here = below(place, json_str(key), 0);
        const struct keyword *row = find_keyword(json_str(key));
        ok = spend(w, 1) && (row == NULL || valid_form(w, row->form, rule, &here));
        if (!ok)
            break;
    }
    w->levels--;
    return ok;
}

/* ---- does the value fit? ---- */

static bool fits(struct walk *w, yyjson_val *schema, yyjson_val *value, const struct place *place)
{
    size_t at, max;
    yyjson_val *key, *rule;
    bool ok = true;
    if (w->levels == LEVELS_MAX)
        w->stopped = true;
    if (!spend(w, 1))
        return false;
    if (yyjson_is_true(schema))
        return true;
    if (!yyjson_is_obj(schema))
        return fail(w, place, "nothing is allowed here by the schema", STRV_NONE);
    if (yyjson_is_null(value) && yyjson_is_true(find(w, schema, STRV("nullable"))))
        return true;
    struct pair p = {schema, value, place};
    w->levels++;
    yyjson_obj_foreach(schema, at, max, key, rule)
    {
        const struct keyword *row = find_keyword(json_str(key));
        ok = spend(w, 1) && (row == NULL || row->check == NULL || row->check(w, &p, rule));
        if (!ok)
            break;
    }
    w->levels--;
    return ok;
}

/* The same for a question whose answer "no" is no error. */
static bool tries(struct walk *w, yyjson_val *schema, const struct pair *p, struct err *why)
{
    struct err *outer = w->err;
    w->err = why;
    bool ok = fits(w, schema, p->value, p->place);
    w->err = outer;
    return ok;
}

/* ---- any value ---- */

static bool is_whole(yyjson_val *v)
{
    double d = yyjson_get_real(v);
    if (!yyjson_is_real(v))
        return yyjson_is_int(v);
    /* from 2^53 on there are no others */
    return !(d > -0x1p53 && d < 0x1p53) || d == (double)(int64_t)d;
}

static bool has_type(yyjson_val *v, yyjson_val *type)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_OBJ:
        return yyjson_equals_str(type, "object");
    case YYJSON_TYPE_ARR:
        return yyjson_equals_str(type, "array");
    case YYJSON_TYPE_STR:
        return yyjson_equals_str(type, "string");
    case YYJSON_TYPE_BOOL:
        return yyjson_equals_str(type, "boolean");
    case YYJSON_TYPE_NULL:
        return yyjson_equals_str(type, "null");
    default:
        return yyjson_equals_str(type, "number") ||
               (yyjson_equals_str(type, "integer") && is_whole(v));
    }
}

static bool check_type(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *one;
    if (yyjson_is_str(rule))
        return has_type(p->value, rule) || fail(w, p->place, "must be of type", json_str(rule));
    yyjson_arr_foreach(rule, at, max, one)
    {
        if (spend(w, 1) && has_type(p->value, one))
            return true;
    }
    return fail(w, p->place, "must be of one of the types in \"type\"", STRV_NONE);
}

static bool is_negative(yyjson_val *whole)
{
    return yyjson_is_sint(whole) && yyjson_get_sint(whole) < 0;
}

static int order_whole(yyjson_val *a, yyjson_val *b)
{
    uint64_t x = yyjson_get_uint(a),
             y = yyjson_get_uint(b); /* two's complement keeps the order below 0 */
    if (is_negative(a) != is_negative(b))
        return is_negative(a) ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Between a whole number and any other, by the whole part first: no rounding. */
static int order_mixed(yyjson_val *whole, double real)
{
    if (real >= 0x1p64 || (is_negative(whole) && real >= 0))
        return -1;
    if (real < -0x1p63 || (!is_negative(whole) && real < 0))
        return 1;
    if (real >= 0) {
        uint64_t v = yyjson_get_uint(whole), part = (uint64_t)real;
        return v != part ? (v < part ? -1 : 1) : real > (double)part ? -1 : 0;
    }
    int64_t v = yyjson_get_sint(whole), part = (int64_t)real;
    return v != part ? (v < part ? -1 : 1) : real < (double)part ? 1 : 0;
}

/* Below 0, 0, above 0: exactly, also beyond 2^53. */
static int order(yyjson_val *a, yyjson_val *b)
{
    if (yyjson_is_int(a) && yyjson_is_int(b))
        return order_whole(a, b);
    if (yyjson_is_int(a))
        return order_mixed(a, yyjson_get_real(b));
    if (yyjson_is_int(b))
        return -order_mixed(b, yyjson_get_real(a));
    double x = yyjson_get_real(a), y = yyjson_get_real(b);
    return x < y ? -1 : x > y;
}

/* 1 is 1.0, and the order of members does not count. */
static bool equal(struct walk *w, yyjson_val *a, yyjson_val *b)
{
    size_t at, max;
    yyjson_val *key, *one;
    if (!spend(w, 1))
        return false;
    if (yyjson_is_num(a) && yyjson_is_num(b))
        return order(a, b) == 0;
    if (!yyjson_is_ctn(a) || !yyjson_is_ctn(b))
        return yyjson_get_type(a) == yyjson_get_type(b) && yyjson_equals(a, b);
    if (yyjson_get_type(a) != yyjson_get_type(b) ||
        unsafe_yyjson_get_len(a) != unsafe_yyjson_get_len(b))
        return false;
    yyjson_obj_foreach(a, at, max, key, one)
    {
        yyjson_val *other = find(w, b, json_str(key));
        if (other == NULL || !equal(w, one, other))
            return false;
    }
    yyjson_val *other = yyjson_arr_get_first(b);
    yyjson_arr_foreach(a, at, max, one)
    {
        if (!equal(w, one, other))
            return false;
        other = unsafe_yyjson_get_next(other);
    }
    return true;
}

static bool check_enum(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *one;
    yyjson_arr_foreach(rule, at, max, one)
    {
        if (equal(w, one, p->value))
            return true;
    }
    return fail(w, p->place, "must be one of the values in \"enum\"", STRV_NONE);
}

static bool check_const(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return equal(w, rule, p->value) ||
           fail(w, p->place, "must be the value of \"const\"", STRV_NONE);
}

/* How many of the schemas fit, counted up to two. `why` gets the error of the one that came furthest into
 * the value, if any came further than here: most likely that one was meant. */
static int alternatives(struct walk *w, const struct pair *p, yyjson_val *list, int enough,
                        struct err *why)
{
    size_t at, max;
    yyjson_val *one;
    int fit = 0;
    unsigned furthest = depth(p->place);
    yyjson_arr_foreach(list, at, max, one)
    {
        struct err reason = ERR_INIT;
        if (tries(w, one, p, &reason)) {
            if (++fit == enough)
                return fit;
        } else if (!w->stopped && w->failed_depth > furthest) {
            furthest = w->failed_depth;
            *why = reason;
        }
    }
    w->failed_depth = furthest;
    return fit;
}

/* Passes the error of an alternative on. */
static bool fail_inside(struct walk *w, const struct err *why)
{
    return err_field(w->err, 0, why->field, "%s", why->text);
}

static bool check_any_of(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    struct err why = ERR_INIT;
    if (!yyjson_is_arr(rule) || alternatives(w, p, rule, 1, &why) == 1)
        return true;
    if (why.set)
        return fail_inside(w, &why);
    return fail(w, p->place, "must fit one of the schemas in \"anyOf\"", STRV_NONE);
}

static bool check_one_of(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    struct err why = ERR_INIT;
    int fit = yyjson_is_arr(rule) ? alternatives(w, p, rule, 2, &why) : 1;
    if (fit == 1)
        return true;
    if (fit == 0 && why.set)
        return fail_inside(w, &why);
    return fail(w, p->place,
                fit == 0 ? "must fit one of the schemas in \"oneOf\""
                         : "must fit only one of the schemas in \"oneOf\"",
                STRV_NONE);
}

static bool check_all_of(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *one;
    yyjson_arr_foreach(rule, at, max, one)
    {
        if (!fits(w, one, p->value, p->place))
            return false;
    }
    return true;
}

static bool check_not(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    struct err why = ERR_INIT;
    if (!tries(w, rule, p, &why))
        return !w->stopped;
    return fail(w, p->place, "must not fit the schema in \"not\"", STRV_NONE);
}

static bool check_ref(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    yyjson_val *target = resolve(w, rule);
    if (target == NULL)
        return fail(w, p->place, "\"$ref\" leads to no schema", STRV_NONE);
    return fits(w, target, p->value, p->place);
}

/* ---- objects ---- */

static bool check_properties(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(p->value, at, max, key, value)
    {
        yyjson_val *schema = find(w, rule, json_str(key));
        struct place here = below(p->place, json_str(key), 0);
        if (schema != NULL && !fits(w, schema, value, &here))
            return false;
    }
    return !w->stopped;
}

/* A name that the schema does not know may be a content; so it is not told. */
static bool check_additional(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *key, *value;
    yyjson_val *known = find(w, p->schema, STRV("properties"));
    if (find(w, p->schema, STRV("patternProperties")) != NULL)
        return true;
    yyjson_obj_foreach(p->value, at, max, key, value)
    {
        struct place here = below(p->place, STRV("*"), 0);
        if (find(w, known, json_str(key)) != NULL)
            continue;
        if (yyjson_is_false(rule))
            return fail(w, p->place, "has a property that \"additionalProperties\" forbids",
                        STRV_NONE);
        if (!fits(w, rule, value, &here))
            return false;
    }
    return !w->stopped;
}

static bool check_required(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *name;
    if (!yyjson_is_obj(p->value))
        return true;
    yyjson_arr_foreach(rule, at, max, name)
    {
        if (yyjson_is_str(name) && find(w, p->value, json_str(name)) == NULL)
            return fail(w, p->place, "lacks the required property", json_str(name));
    }
    return true;
}

/* ---- arrays ---- */

/* Elements from `from` on, all against one schema. */
static bool check_rest(struct walk *w, const struct pair *p, size_t from, yyjson_val *schema)
{
    size_t at, max;
    yyjson_val *one;
    yyjson_arr_foreach(p->value, at, max, one)
    {
        struct place here = below(p->place, STRV_NONE, at);
        if (at >= from && !fits(w, schema, one, &here))
            return false;
    }
    return true;
}

static bool check_prefix(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *schema;
    yyjson_val *one = yyjson_arr_get_first(p->value);
    yyjson_arr_foreach(rule, at, max, schema)
    {
        if (at >= yyjson_arr_size(p->value))
            break;
        struct place here = below(p->place, STRV_NONE, at);
        if (!fits(w, schema, one, &here))
            return false;
        one = unsafe_yyjson_get_next(one);
    }
    return true;
}

static bool check_items(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    if (yyjson_is_arr(rule))
        return check_prefix(w, p, rule);
    return check_rest(w, p, yyjson_arr_size(find(w, p->schema, STRV("prefixItems"))), rule);
}

/* Counts only beside the old form of items. */
static bool check_more_items(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    yyjson_val *items = find(w, p->schema, STRV("items"));
    return !yyjson_is_arr(items) || check_rest(w, p, yyjson_arr_size(items), rule);
}

static bool check_unique(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    size_t at, max;
    yyjson_val *one;
    if (!yyjson_is_true(rule))
        return true;
    yyjson_arr_foreach(p->value, at, max, one)
    {
        yyjson_val *other = one;
        for (size_t next = at + 1; next < max; next++) {
            other = unsafe_yyjson_get_next(other);
            if (equal(w, one, other))
                return fail(w, p->place, "has equal items, \"uniqueItems\" forbids it", STRV_NONE);
            if (w->stopped)
                return false;
        }
    }
    return true;
}

/* ---- sizes ---- */

/* Whether size is within the rule, which may be no count at all in a schema that is not valid. */
static bool at_least(size_t size, yyjson_val *rule)
{
    int64_t count;
    return !json_is_int(rule, &count) || count < 0 || size >= (uint64_t)count;
}

static bool at_most(size_t size, yyjson_val *rule)
{
    int64_t count;
    return !json_is_int(rule, &count) || count < 0 || size <= (uint64_t)count;
}

static bool check_min_properties(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_obj(p->value) || at_least(yyjson_obj_size(p->value), rule) ||
           fail(w, p->place, "has too few properties (\"minProperties\")", STRV_NONE);
}

static bool check_max_properties(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_obj(p->value) || at_most(yyjson_obj_size(p->value), rule) ||
           fail(w, p->place, "has too many properties (\"maxProperties\")", STRV_NONE);
}

static bool check_min_items(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_arr(p->value) || at_least(yyjson_arr_size(p->value), rule) ||
           fail(w, p->place, "has too few items (\"minItems\")", STRV_NONE);
}

static bool check_max_items(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_arr(p->value) || at_most(yyjson_arr_size(p->value), rule) ||
           fail(w, p->place, "has too many items (\"maxItems\")", STRV_NONE);
}

static size_t letters(struct walk *w, yyjson_val *v)
{
    strv text = json_str(v);
    size_t n = 0;
    spend(w, text.len / 64);
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool check_min_length(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_str(p->value) || at_least(letters(w, p->value), rule) ||
           fail(w, p->place, "is too short (\"minLength\")", STRV_NONE);
}

static bool check_max_length(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_str(p->value) || at_most(letters(w, p->value), rule) ||
           fail(w, p->place, "is too long (\"maxLength\")", STRV_NONE);
}

/* ---- numbers ---- */

static bool check_minimum(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    if (!yyjson_is_num(p->value) || !yyjson_is_num(rule))
        return true;
    bool strict = yyjson_is_true(find(w, p->schema, STRV("exclusiveMinimum")));
    int way = order(p->value, rule);
    return way > 0 || (way == 0 && !strict) || fail(w, p->place, "is below \"minimum\"", STRV_NONE);
}

static bool check_maximum(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    if (!yyjson_is_num(p->value) || !yyjson_is_num(rule))
        return true;
    bool strict = yyjson_is_true(find(w, p->schema, STRV("exclusiveMaximum")));
    int way = order(p->value, rule);
    return way < 0 || (way == 0 && !strict) || fail(w, p->place, "is above \"maximum\"", STRV_NONE);
}

static bool check_above(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_num(p->value) || !yyjson_is_num(rule) || order(p->value, rule) > 0 ||
           fail(w, p->place, "is not above \"exclusiveMinimum\"", STRV_NONE);
}

static bool check_below(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_num(p->value) || !yyjson_is_num(rule) || order(p->value, rule) < 0 ||
           fail(w, p->place, "is not below \"exclusiveMaximum\"", STRV_NONE);
}

/* 0.3 is a multiple of 0.1 to everyone but a computer. What is too large to tell is taken for one. */
static bool is_multiple(yyjson_val *value, yyjson_val *rule)
{
    if (yyjson_is_int(value) && yyjson_is_int(rule)) {
        uint64_t v = yyjson_get_uint(value);
        if (yyjson_is_sint(value) && yyjson_get_sint(value) < 0)
            v = 0 - v;
        return v % yyjson_get_uint(rule) == 0;
    }
    double times = yyjson_get_num(value) / yyjson_get_num(rule);
    times = times < 0 ? -times : times;
    if (!(times < 0x1p53))
        return true;
    double off = times - (double)(int64_t)(times + 0.5);
    double slack = times > 1 ? times * 1e-12 : 1e-12;
    return off <= slack && off >= -slack;
}

static bool check_multiple(struct walk *w, const struct pair *p, yyjson_val *rule)
{
    return !yyjson_is_num(p->value) || !yyjson_is_num(rule) || !(yyjson_get_num(rule) > 0) ||
           is_multiple(p->value, rule) ||
           fail(w, p->place, "is no multiple of \"multipleOf\"", STRV_NONE);
}
