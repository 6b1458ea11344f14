/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - a value that fits a JSON Schema, as a model that was held to it would write one.
 *
 * Understood: type (also lists of them), properties, required, items, enum, const, anyOf, oneOf, the first of allOf,
 * $ref into $defs or definitions, minimum, maximum (exclusive too), multipleOf, minItems, minLength, maxLength, and
 * the formats date, date-time, time, email, uuid, uri. Not: pattern.
 *
 * Odd values are for the arguments of calls. They are what translators spoil: an integer beyond 2^53, a number with
 * a zero at its end, escapes beside letters of several bytes, members in reverse order with blanks between them.
 */
#include "standin.h"

#include <stdlib.h>

#define DEEP    12
#define MEMBERS 64
#define LONG    (256u << 10) /* a schema that names itself often would else grow for ever */

struct maker {
    struct span root;
    bool odd;
    struct text *t;
    int depth;
};

static void make(struct maker *m, struct span schema);

static struct span follow(struct maker *m, struct span schema)
{
    for (int i = 0; i < 8; i++) {
        struct span ref = scan_member(schema, "$ref");
        if (!span_kind(ref, '"'))
            return schema;
        char path[256], *save, *word;
        scan_string(ref, path, sizeof path);
        schema = m->root;
        word = strtok_r(path, "#/", &save);
        for (; word; word = strtok_r(NULL, "#/", &save))
            schema = scan_member(schema, word);
    }
    return schema;
}

static struct span first_of(struct span list)
{
    struct scan s = scan_open(list);
    struct span none, value = {0};
    while (scan_next(&s, &none, &value))
        if (!span_is_string(scan_member(value, "type"), "null"))
            break;
    return value;
}

static bool listed(struct span list, struct span key)
{
    struct scan s = scan_open(list);
    struct span none, value;
    while (scan_next(&s, &none, &value))
        if (value.n == key.n + 2 && memcmp(value.p + 1, key.p, key.n) == 0)
            return true;
    return false;
}

/* An odd object has what is required, the last first; when nothing says so, all. */
static void make_object(struct maker *m, struct span schema)
{
    struct span required = scan_member(schema, "required"), key, value;
    struct span keys[MEMBERS], values[MEMBERS];
    struct scan s = scan_open(scan_member(schema, "properties"));
    size_t n = 0;
    while (n < MEMBERS && !s.array && scan_next(&s, &key, &value)) {
        if (m->odd && required.p && !listed(required, key))
            continue;
        keys[n] = key;
        values[n++] = value;
    }
    text_lit(m->t, "{");
    for (size_t i = 0; i < n; i++) {
        size_t at = m->odd ? n - 1 - i : i;
        text_str(m->t, i == 0 ? "\"" : m->odd ? ", \"" : ",\"");
        text_add(m->t, keys[at].p, keys[at].n);
        text_lit(m->t, "\":");
        make(m, values[at]);
    }
    text_lit(m->t, "}");
}

static void make_array(struct maker *m, struct span schema)
{
    struct span items = scan_member(schema, "items");
    int64_t n = 1;
    span_int(scan_member(schema, "minItems"), &n);
    if (n < 1)
        n = 1;
    text_lit(m->t, "[");
    for (int64_t i = 0; i < n && i < 16; i++) {
        text_str(m->t, i ? "," : "");
        make(m, items);
    }
    text_lit(m->t, "]");
}

static void make_integer(struct maker *m, struct span schema)
{
    int64_t value = m->odd ? 9007199254740993 : 7, low, high, step;
    if (span_int(scan_member(schema, "exclusiveMinimum"), &low) && value <= low)
        value = low + 1;
    if (span_int(scan_member(schema, "minimum"), &low) && value < low)
        value = low;
    if (span_int(scan_member(schema, "exclusiveMaximum"), &high) && value >= high)
        value = high - 1;
    if (span_int(scan_member(schema, "maximum"), &high) && value > high)
        value = high;
    if (span_int(scan_member(schema, "multipleOf"), &step) && step > 0)
        value -= value % step;
    text_int(m->t, value);
}

static void make_number(struct maker *m, struct span schema)
{
    struct span low = scan_member(schema, "minimum"), high = scan_member(schema, "maximum");
    double value = 1.5;
    if (low.p && strtod(low.p, NULL) > value)
        text_add(m->t, low.p, low.n);
    else if (high.p && strtod(high.p, NULL) < value)
        text_add(m->t, high.p, high.n);
    else
        text_str(m->t, m->odd ? "1.50" : "1.5");
}

static void make_string(struct maker *m, struct span schema)
{
    static const struct {
        const char *format, *value;
    } formats[] = {
        {"date", "2026-11-22"},          {"date-time", "2026-11-22T20:00:00Z"},
        {"time", "20:00:00Z"},           {"email", "a@example.org"},
        {"uri", "https://example.org/"}, {"uuid", "123e4567-e89b-42d3-a456-426614174000"},
    };
    struct span format = scan_member(schema, "format");
    int64_t least = 0, most = INT64_MAX;
    size_t before = m->t->len + 1;
    text_lit(m->t, "\"");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (span_is_string(format, formats[i].format)) {
            text_str(m->t, formats[i].value);
            text_lit(m->t, "\"");
            return;
        }
    span_int(scan_member(schema, "minLength"), &least);
    span_int(scan_member(schema, "maxLength"), &most);
    if (m->odd && most >= 16 && least <= 12)
        text_lit(m->t, "Z\\u00fcrich \\\"\u65e5\\\" \U0001f642");
    else
        text_add(m->t, "text", most < 4 ? (size_t)(most < 0 ? 0 : most) : 4);
    if ((int64_t)(m->t->len - before) < least)
        text_fill(m->t, 'x', (size_t)least - (m->t->len - before));
    text_lit(m->t, "\"");
}

static struct span type_of(struct span schema)
{
    struct span type = scan_member(schema, "type");
    if (span_kind(type, '[')) {
        struct scan s = scan_open(type);
        struct span none;
        while (scan_next(&s, &none, &type) && span_is_string(type, "null"))
            ;
    }
    return type;
}

static void make_typed(struct maker *m, struct span schema)
{
    static const char object[] = "\"object\"", array[] = "\"array\"";
    struct span type = type_of(schema);
    if (type.p == NULL && scan_member(schema, "properties").p)
        type = (struct span){object, sizeof object - 1};
    if (type.p == NULL && scan_member(schema, "items").p)
        type = (struct span){array, sizeof array - 1};
    if (span_is_string(type, "object"))
        make_object(m, schema);
    else if (span_is_string(type, "array"))
        make_array(m, schema);
    else if (span_is_string(type, "integer"))
        make_integer(m, schema);
    else if (span_is_string(type, "number"))
        make_number(m, schema);
    else if (span_is_string(type, "boolean"))
        text_lit(m->t, "true");
    else if (span_is_string(type, "null"))
        text_lit(m->t, "null");
    else
        make_string(m, schema);
}

static void make(struct maker *m, struct span schema)
{
    static const char *const choices[] = {"anyOf", "oneOf", "allOf"};
    struct span value;
    if (m->depth == DEEP || m->t->len > LONG) {
        text_lit(m->t, "null");
        return;
    }
    m->depth++;
    schema = follow(m, schema);
    if ((value = scan_member(schema, "const")).p) {
        text_add(m->t, value.p, value.n);
    } else if ((value = scan_member(schema, "enum")).p) {
        value = first_of(value);
        text_add(m->t, value.p, value.n);
    } else {
        size_t i = 0;
        while (i < 3 && (value = scan_member(schema, choices[i])).p == NULL)
            i++;
        if (i < 3)
            make(m, first_of(value));
        else
            make_typed(m, schema);
    }
    m->depth--;
}

void schema_sample(struct span schema, bool odd, struct text *t)
{
    struct maker m = {.root = schema, .odd = odd, .t = t};
    make(&m, schema);
}

/* llama-server makes a grammar of the schema, and refuses one whose types it does not know. */
bool schema_type_unknown(struct span schema, struct text *which)
{
    static const char *const known[] = {"object", "array",   "string", "integer",
                                        "number", "boolean", "null"};
    struct span type = scan_member(schema, "type"), key, value;
    bool good = !span_kind(type, '"');
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        good |= span_is_string(type, known[i]);
    if (!good) {
        scan_text(type, which);
        return true;
    }
    struct scan s = scan_open(scan_member(schema, "properties"));
    while (scan_next(&s, &key, &value))
        if (schema_type_unknown(value, which))
            return true;
    value = scan_member(schema, "items");
    return value.p && schema_type_unknown(value, which);
}
