/* SPDX-License-Identifier: Apache-2.0 */
/* view - see view.h. */
#include "agent/view.h"

#define LEVELS_MAX 8 /* of references and allOf */

static const struct {
    const char *word;
    unsigned bit;
} kinds[] = {{"string", VIEW_STRING},   {"integer", VIEW_INTEGER}, {"number", VIEW_NUMBER},
             {"boolean", VIEW_BOOLEAN}, {"array", VIEW_ARRAY},     {"object", VIEW_OBJECT},
             {"null", VIEW_NULL}};

bool view_is_null(yyjson_val *schema)
{
    return yyjson_equals_str(json_get(schema, "type"), "null");
}

static yyjson_val *resolve(yyjson_val *root, yyjson_val *ref)
{
    strv path = json_str(ref);
    if (path.len < 2 || path.ptr[0] != '#' || path.ptr[1] != '/')
        return NULL; /* of another document: nothing is fetched. "#" alone is endless */
    return yyjson_ptr_getn(root, path.ptr + 1, path.len - 1);
}

static void collect(struct view *v, yyjson_val *root, yyjson_val *schema, bool loose, int level,
                    size_t *steps);

static void collect_ways(struct view *v, yyjson_val *root, yyjson_val *ways, bool loose, int level,
                         size_t *steps)
{
    yyjson_val *way, *only = NULL;
    size_t i, n, solid = 0;
    yyjson_arr_foreach(ways, i, n, way)
    {
        if (view_is_null(way)) {
            v->nullable = true;
        } else {
            only = way;
            solid++;
        }
    }
    *steps += yyjson_arr_size(ways);
    if (solid == 1)
        collect(v, root, only, loose, level + 1, steps);
    else if (solid > 1 && v->ways == NULL)
        v->ways = ways;
}

static void collect(struct view *v, yyjson_val *root, yyjson_val *schema, bool loose, int level,
                    size_t *steps)
{
    yyjson_val *one;
    size_t i, n;
    if (!yyjson_is_obj(schema) || v->n == VIEW_PARTS || level > LEVELS_MAX ||
        ++*steps > VIEW_STEPS_MAX)
        return;
    v->parts[v->n].val = schema;
    v->parts[v->n++].loose = loose;
    v->nullable = v->nullable || yyjson_is_true(json_get(schema, "nullable"));
    collect(v, root, resolve(root, json_get(schema, "$ref")), loose, level + 1, steps);
    yyjson_arr_foreach(json_get(schema, "allOf"), i, n, one)
    {
        collect(v, root, one, loose, level + 1, steps);
    }
    collect_ways(v, root, json_get(schema, "anyOf"), loose, level, steps);
    collect_ways(v, root, json_get(schema, "oneOf"), loose, level, steps);
}

struct view view_of(yyjson_val *root, yyjson_val *schema, size_t *steps)
{
    struct view v = {.n = 0};
    collect(&v, root, schema, false, 0, steps);
    return v;
}

void view_loosen(struct view *v, yyjson_val *root, size_t *steps)
{
    yyjson_val *way;
    size_t i, n;
    yyjson_arr_foreach(v->ways, i, n, way)
    {
        collect(v, root, way, true, 1, steps);
    }
}

yyjson_val *view_get(const struct view *v, const char *key)
{
    for (size_t i = 0; i < v->n; i++) {
        yyjson_val *val = json_get(v->parts[i].val, key);
        if (val != NULL)
            return val;
    }
    return NULL;
}

yyjson_val *view_property(const struct view *v, strv name)
{
    for (size_t i = 0; i < v->n; i++) {
        yyjson_val *all = json_get(v->parts[i].val, "properties");
        yyjson_val *val = yyjson_obj_getn(all, name.ptr, name.len);
        if (val != NULL)
            return val;
    }
    return NULL;
}

bool view_requires(const struct view *v, strv name)
{
    for (size_t i = 0; i < v->n; i++) {
        yyjson_val *one;
        size_t k, n;
        if (v->parts[i].loose)
            continue;
        yyjson_arr_foreach(json_get(v->parts[i].val, "required"), k, n, one)
        {
            if (strv_eq(json_str(one), name))
                return true;
        }
    }
    return false;
}

bool view_type_holds(yyjson_val *type, const char *word)
{
    yyjson_val *one;
    size_t i, n;
    if (yyjson_equals_str(type, word))
        return true;
    yyjson_arr_foreach(type, i, n, one)
    {
        if (yyjson_equals_str(one, word))
            return true;
    }
    return false;
}

unsigned view_kind_of(yyjson_val *val)
{
    int64_t whole;
    switch (yyjson_get_type(val)) {
    case YYJSON_TYPE_STR:
        return VIEW_STRING;
    case YYJSON_TYPE_NUM:
        return yyjson_is_uint(val) || json_is_int(val, &whole) ? VIEW_INTEGER : VIEW_NUMBER;
    case YYJSON_TYPE_BOOL:
        return VIEW_BOOLEAN;
    case YYJSON_TYPE_ARR:
        return VIEW_ARRAY;
    case YYJSON_TYPE_OBJ:
        return VIEW_OBJECT;
    default:
        return VIEW_NULL;
    }
}

static unsigned kinds_of_values(yyjson_val *list)
{
    yyjson_val *one;
    size_t i, n;
    unsigned bits = 0;
    yyjson_arr_foreach(list, i, n, one)
    {
        bits |= view_kind_of(one);
    }
    return bits;
}

static unsigned own_kinds(const struct view *v)
{
    yyjson_val *type = view_get(v, "type"), *constant = view_get(v, "const");
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (type != NULL && view_type_holds(type, kinds[i].word))
            bits |= kinds[i].bit;
    if (bits != 0)
        return bits;
    if (constant != NULL)
        return view_kind_of(constant);
    if (view_get(v, "enum") != NULL)
        return kinds_of_values(view_get(v, "enum"));
    if (view_get(v, "properties") != NULL)
        return VIEW_OBJECT;
    return view_get(v, "items") != NULL ? VIEW_ARRAY : 0;
}

unsigned view_kinds(const struct view *v, yyjson_val *root, size_t *steps)
{
    unsigned bits = own_kinds(v);
    yyjson_val *way;
    size_t i, n;
    if (bits != 0 || v->ways == NULL)
        return bits != 0 && v->nullable ? bits | VIEW_NULL : bits;
    yyjson_arr_foreach(v->ways, i, n, way)
    {
        struct view one = view_of(root, way, steps);
        unsigned more = own_kinds(&one);
        if (more == 0 && !view_is_null(way))
            return 0; /* a way that takes anything */
        bits |= more;
    }
    return v->nullable ? bits | VIEW_NULL : bits;
}
