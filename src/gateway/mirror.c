/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror - do the headers Mcp-Param-* repeat the arguments that a tool's schema marks with x-mcp-header?
 *
 * Modern era, HTTP. A proxy in front may decide by them, so they must say what the body says: a marked argument has
 * its header, with the same value; one that is absent or null has none. Marks are found through `properties` only.
 */
#include "gateway/internal.h"

#include <stdio.h>

#define DEPTH_MAX 16

struct mirror {
    struct gateway_call *c;
    const char *wrong; /* name of the first header that does not fit */
};

/* Integers are compared as numbers, so that 07 and 7 are the same. */
static bool is_integer(strv text, int64_t value)
{
    int64_t given;
    return strv_i64(text, &given) && given == value;
}

static bool says(struct mirror *m, const char *name, yyjson_val *value)
{
    struct gateway_call *c = m->c;
    bool twice = false;
    int64_t whole;
    strv raw = gateway_header(c, name, &twice), text;
    if (value == NULL || yyjson_is_null(value))
        return raw.ptr == NULL;
    if (yyjson_is_str(value))
        return gateway_header_is(c, name, json_str(value));
    if (raw.ptr == NULL || twice || !mcp_header_decode(raw, &c->work, &text))
        return false;
    if (yyjson_is_bool(value))
        return strv_eq_cstr(text, yyjson_get_bool(value) ? "true" : "false");
    return json_is_int(value, &whole) && is_integer(text, whole);
}

static void walk(struct mirror *m, yyjson_val *schema, yyjson_val *args, unsigned depth)
{
    yyjson_val *properties = json_get(schema, "properties"), *key, *property;
    size_t i, max;
    if (!yyjson_is_obj(properties) || depth > DEPTH_MAX)
        return;
    yyjson_obj_foreach(properties, i, max, key, property)
    {
        yyjson_val *value = yyjson_is_obj(args)
                                ? yyjson_obj_getn(args, yyjson_get_str(key), yyjson_get_len(key))
                                : NULL;
        strv mark = json_get_str(property, "x-mcp-header");
        char name[160];
        walk(m, property, value, depth + 1);
        if (mark.len == 0 || mark.len > 128)
            continue;
        snprintf(name, sizeof name, "Mcp-Param-" STRV_FMT, STRV_ARG(mark));
        if (m->wrong == NULL && !says(m, name, value))
            m->wrong = arena_printf(&m->c->work, "%s", name);
    }
}

bool gateway_mirrored(struct gateway_call *c, const struct mcp_tool *t, yyjson_val *args)
{
    struct mirror m = {c, NULL};
    struct json json;
    struct err err = ERR_INIT;
    if (c->era != MCP_ERA_MODERN || c->in->headers == NULL ||
        !strv_contains_nocase(t->schema, STRV("x-mcp-header")))
        return true;
    if (!json_read(&json, t->schema, &c->work, 0, &err)) {
        gateway_no_memory(c);
        return false;
    }
    walk(&m, json.root, args, 0);
    if (c->work.failed) {
        gateway_no_memory(c);
        return false;
    }
    return m.wrong == NULL || gateway_mismatch(c, m.wrong);
}
