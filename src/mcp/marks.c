/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks - "x-mcp-header" in a tool's schema: arguments that are repeated in HTTP headers, so that what stands between
 * can see them. Pure.
 *
 * A mark is sound on a string, integer or boolean that is reached through `properties` alone, if its name is a token
 * and no other mark of the tool has it. A tool with a bad mark is not offered: its calls could not be made right.
 */
#include "mcp/client_int.h"

#define MARK      "x-mcp-header"
#define MARKS_MAX 32
#define DEPTH_MAX 16

struct walk {
    struct err *err;
    strv names[MARKS_MAX];
    size_t n;
    unsigned steps; /* of the search for marks where none may stand */
};

static bool is_token(strv name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return name.len > 0 && name.len <= 100;
}

static bool is_plain(strv type)
{
    return strv_eq(type, STRV("string")) || strv_eq(type, STRV("integer")) ||
           strv_eq(type, STRV("boolean"));
}

static bool take_mark(struct walk *w, yyjson_val *schema, yyjson_val *mark)
{
    strv name = json_str(mark);

    if (!is_token(name))
        return err_set(w->err, 0, MARK " is no name of a header");
    if (!is_plain(json_get_str(schema, "type")))
        return err_set(w->err, 0, MARK " on what is no string, integer or boolean");
    for (size_t i = 0; i < w->n; i++)
        if (strv_eq_nocase(w->names[i], name))
            return err_set(w->err, 0, "two arguments share the name of a header");
    if (w->n == MARKS_MAX)
        return err_set(w->err, 0, "more than %d arguments want headers", MARKS_MAX);
    w->names[w->n++] = name;
    return true;
}

/* Is there a mark anywhere in here? Where one cannot stand. */
static bool has_mark(struct walk *w, yyjson_val *v, unsigned depth)
{
    size_t i, max;
    yyjson_val *key, *child;

    if (depth > JSON_DEPTH_MAX || ++w->steps > 100000)
        return false;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, child) if (has_mark(w, child, depth + 1)) return true;
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, child)
        {
            if (strv_eq(json_str(key), STRV(MARK)) && yyjson_is_str(child))
                return true;
            if (has_mark(w, child, depth + 1))
                return true;
        }
    }
    return false;
}

/* Members of a schema that hold no schemas, so that a mark in them is somebody's data. */
static bool is_data(strv key)
{
    return strv_eq(key, STRV("default")) || strv_eq(key, STRV("examples")) ||
           strv_eq(key, STRV("enum")) || strv_eq(key, STRV("const"));
}

static bool check(struct walk *w, yyjson_val *schema, unsigned depth)
{
    yyjson_val *key, *v, *name, *property;
    size_t i, max, k, kmax;

    if (depth > DEPTH_MAX)
        return !has_mark(w, schema, 0) || err_set(w->err, 0, MARK " too deep in the schema");
    if (!yyjson_is_obj(schema)) /* none at all, or true */
        return true;
    yyjson_obj_foreach(schema, i, max, key, v)
    {
        if (strv_eq(json_str(key), STRV(MARK))) {
            if (!take_mark(w, schema, v))
                return false;
        } else if (strv_eq(json_str(key), STRV("properties")) && yyjson_is_obj(v)) {
            yyjson_obj_foreach(v, k, kmax, name, property)
            {
                if (!check(w, property, depth + 1))
                    return false;
            }
        } else if (!is_data(json_str(key)) && has_mark(w, v, 0)) {
            return err_set(w->err, 0, MARK " where no single argument is meant");
        }
    }
    return true;
}

bool mcp_marks_sound(yyjson_val *schema, bool *any, struct err *err)
{
    struct walk w = {.err = err};
    bool ok = check(&w, schema, 0);

    if (any != NULL)
        *any = w.n > 0;
    return ok;
}

/* ---- the headers of one call ---- */

struct gather {
    const struct json *doc;
    struct arena *arena;
    struct http_header *out;
    size_t n;
};

static bool gather_value(struct gather *g, strv name, yyjson_val *arguments, yyjson_val *value,
                         const char *key)
{
    struct http_header *h = &g->out[g->n];
    const char *full;
    strv text;

    if (yyjson_is_str(value))
        text = arena_strv(g->arena, json_str(value));
    else if ((yyjson_is_int(value) || yyjson_is_bool(value)) &&
             json_raw_member(g->doc, arguments, key, &text))
        text = arena_strv(g->arena, text);
    else
        return true; /* not of the mark's type: the server refuses it by its body */
    full = arena_printf(g->arena, "Mcp-Param-" STRV_FMT, STRV_ARG(name));
    if (full == NULL || text.ptr == NULL)
        return false;
    *h = (struct http_header){.name = strv_of(full), .value = text};
    g->n++;
    return true;
}

static bool gather(struct gather *g, yyjson_val *schema, yyjson_val *arguments, unsigned depth)
{
    yyjson_val *properties = json_get(schema, "properties"), *key, *property;
    size_t i, max;

    if (!yyjson_is_obj(properties) || !yyjson_is_obj(arguments) || depth > DEPTH_MAX)
        return true;
    yyjson_obj_foreach(properties, i, max, key, property)
    {
        const char *name = yyjson_get_str(key);
        yyjson_val *value = json_get(arguments, name);
        strv mark = json_get_str(property, MARK);

        if (value != NULL && is_token(mark) && g->n < MARKS_MAX &&
            !gather_value(g, mark, arguments, value, name))
            return false;
        if (!gather(g, property, value, depth + 1))
            return false;
    }
    return true;
}

bool mcp_marks_headers(yyjson_val *schema, const struct json *doc, yyjson_val *arguments,
                       struct arena *arena, struct http_header **out, size_t *n)
{
    struct gather g = {.doc = doc, .arena = arena};

    g.out = ARENA_ARRAY(arena, struct http_header, MARKS_MAX);
    if (g.out == NULL || !gather(&g, schema, arguments, 0))
        return false;
    *out = g.out;
    *n = g.n;
    return true;
}
