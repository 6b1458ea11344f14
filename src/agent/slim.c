/* SPDX-License-Identifier: Apache-2.0 */
/* slim - see slim.h. Descriptions and tokens: docstring.c. */
#include "agent/slim.h"

#include "agent/note.h"
#include "agent/view.h"

#define DEPTH_MAX      6   /* levels of objects and arrays that a small model can follow at all */
#define PROPERTIES_MAX 256 /* of one object */
#define ENUM_MAX       64  /* words of one enum */
#define SCHEMA_MAX     ((size_t)48 * 1024)
#define DEFAULT_MAX    40 /* bytes of a default */

struct walk {
    const struct mcp_tool *tool;
    yyjson_val *root; /* of the schema: references lead from here */
    yyjson_val *note; /* the overlay's entry, or NULL */
    enum slim_form form;
    struct arena *arena;
    struct buf out;
    size_t steps;
};

/* ---- writing ---- */

static void put_member(struct walk *w, bool *first, const char *key, yyjson_val *val)
{
    json_put_key(&w->out, first, key);
    (void)json_put_val(&w->out, val, w->arena); /* the buffer remembers a refusal */
}

/* One line of text of ours, the overlay's or the server's. */
static void put_text(struct walk *w, bool *first, const char *key, strv text)
{
    if (text.len == 0)
        return;
    json_put_key(&w->out, first, key);
    json_put_str(&w->out, text);
}

static const char *const known[] = {"string", "integer", "number", "boolean", "array", "object"};

static size_t known_types(yyjson_val *type)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        n += type != NULL && view_type_holds(type, known[i]);
    return n;
}

/* The word, or the list of words; with null only where the parameter must be given and may be null. */
static void put_type(struct walk *w, bool *first, const struct view *v, bool required)
{
    yyjson_val *type = view_get(v, "type");
    bool null = required && (v->nullable || view_type_holds(type, "null"));
    size_t n = known_types(type), put = 0;
    if (n == 0)
        return;
    json_put_key(&w->out, first, "type");
    if (n + null > 1)
        buf_put_char(&w->out, '[');
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (view_type_holds(type, known[i]))
            buf_printf(&w->out, "%s\"%s\"", put++ > 0 ? "," : "", known[i]);
    if (null)
        buf_put_cstr(&w->out, ",\"null\"");
    if (n + null > 1)
        buf_put_char(&w->out, ']');
}

/* Scalars only, null never: an optional parameter is left out instead. */
static void put_enum(struct walk *w, bool *first, yyjson_val *list)
{
    yyjson_val *one;
    size_t i, n, put = 0;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 || yyjson_arr_size(list) > ENUM_MAX)
        return;
    json_put_key(&w->out, first, "enum");
    buf_put_char(&w->out, '[');
    yyjson_arr_foreach(list, i, n, one)
    {
        if (!yyjson_is_str(one) && !yyjson_is_num(one) && !yyjson_is_bool(one))
            continue;
        if (put++ > 0)
            buf_put_char(&w->out, ',');
        (void)json_put_val(&w->out, one, w->arena);
    }
    buf_put_char(&w->out, ']');
}

static void put_schema(struct walk *w, yyjson_val *schema, yyjson_val *note, strv name,
                       bool required, int depth);

/* The overlay's word first: it is ours. */
static yyjson_val *noted(yyjson_val *note, const struct view *v, const char *key)
{
    yyjson_val *own = json_get(note, key);
    return own != NULL ? own : view_get(v, key);
}

static strv describe(struct walk *w, yyjson_val *note, const struct view *v, strv name, int depth)
{
    strv text = json_get_str(note, "note");
    if (text.len == 0)
        text = json_str(view_get(v, "description"));
    if (text.len > 0)
        return slim_description(text, w->arena);
    return depth == 1 && w->note == NULL ? slim_argument(w->tool->description, name, w->arena)
                                         : STRV("");
}

static bool is_small_default(yyjson_val *val)
{
    return yyjson_is_bool(val) || yyjson_is_num(val) ||
           (yyjson_is_str(val) && yyjson_get_len(val) > 0 && yyjson_get_len(val) <= DEFAULT_MAX);
}

/* What tells a model how to fill it in. A date's form needs no words where a note says it already. */
static void put_advice(struct walk *w, bool *first, const struct view *v, yyjson_val *note,
                       strv name, bool required, int depth)
{
    bool full = w->form == SLIM_FULL;
    strv text = full || required ? describe(w, note, v, name, depth) : STRV("");
    yyjson_val *val;
    put_text(w, first, "description", text);
    if (text.len == 0 && required)
        put_text(w, first, "format", json_str(noted(note, v, "format")));
    if (full && yyjson_is_num(val = noted(note, v, "minimum")))
        put_member(w, first, "minimum", val);
    if (full && yyjson_is_num(val = noted(note, v, "maximum")))
        put_member(w, first, "maximum", val);
    if (full && !required && is_small_default(val = noted(note, v, "default")))
        put_member(w, first, "default", val);
}

/* Is there an earlier one of that name? Then that one counts. */
static bool is_seen(const struct view *v, size_t part, yyjson_val *key, yyjson_val *val)
{
    for (size_t i = 0; i <= part; i++) {
        yyjson_val *p = json_get(v->parts[i].val, "properties");
        yyjson_val *got = yyjson_obj_getn(p, yyjson_get_str(key), yyjson_get_len(key));
        if (got != NULL)
            return got != val;
    }
    return false;
}

static bool may_show(const struct walk *w, strv name, int depth)
{
    return !agent_note_hides(depth == 0 ? w->note : NULL, name);
}

typedef void (*property_fn)(struct walk *w, const struct view *v, yyjson_val *val, strv name,
                            int depth, bool *first);

static void each_property(struct walk *w, const struct view *v, int depth, property_fn fn,
                          bool *first)
{
    size_t put = 0;
    for (size_t p = 0; p < v->n; p++) {
        yyjson_val *all = json_get(v->parts[p].val, "properties"), *key, *val;
        size_t i, n;
        if (!yyjson_is_obj(all))
            continue;
        yyjson_obj_foreach(all, i, n, key, val)
        {
            if (put >= PROPERTIES_MAX || ++w->steps > VIEW_STEPS_MAX)
                return;
            if (is_seen(v, p, key, val) || !may_show(w, json_str(key), depth))
                continue;
            fn(w, v, val, json_str(key), depth, first);
            put++;
        }
    }
}

static void put_property(struct walk *w, const struct view *v, yyjson_val *val, strv name,
                         int depth, bool *first)
{
    yyjson_val *notes = depth == 0 ? json_get(w->note, "arguments") : NULL;
    yyjson_val *note = notes != NULL ? yyjson_obj_getn(notes, name.ptr, name.len) : NULL;
    if (!*first)
        buf_put_char(&w->out, ',');
    *first = false;
    json_put_str(&w->out, name);
    buf_put_char(&w->out, ':');
    put_schema(w, val, note, name, view_requires(v, name), depth + 1);
}

static void put_required(struct walk *w, const struct view *v, yyjson_val *val, strv name,
                         int depth, bool *first)
{
    (void)val;
    (void)depth;
    if (!view_requires(v, name))
        return;
    buf_put_cstr(&w->out, *first ? ",\"required\":[" : ",");
    *first = false;
    json_put_str(&w->out, name);
}

static void put_object(struct walk *w, const struct view *v, int depth)
{
    bool first = true, none = true;
    buf_put_cstr(&w->out, ",\"properties\":{");
    each_property(w, v, depth, put_property, &first);
    buf_put_char(&w->out, '}');
    each_property(w, v, depth, put_required, &none);
    if (!none)
        buf_put_char(&w->out, ']');
}

/* anyOf of constants is an enum; of anything else what it is. */
static void put_ways(struct walk *w, bool *first, const struct view *v, int depth)
{
    yyjson_val *way;
    size_t i, n, put = 0;
    bool constants = true;
    yyjson_arr_foreach(v->ways, i, n, way)
    {
        constants = constants && (view_is_null(way) || yyjson_is_str(json_get(way, "const")));
    }
    json_put_key(&w->out, first, constants ? "enum" : "anyOf");
    buf_put_char(&w->out, '[');
    yyjson_arr_foreach(v->ways, i, n, way)
    {
        if (view_is_null(way) || put >= ENUM_MAX)
            continue;
        if (put++ > 0)
            buf_put_char(&w->out, ',');
        if (constants)
            (void)json_put_val(&w->out, json_get(way, "const"), w->arena);
        else
            put_schema(w, way, NULL, STRV(""), false, depth + 1);
    }
    buf_put_char(&w->out, ']');
}

static void put_inside(struct walk *w, bool *first, const struct view *v, yyjson_val *note,
                       int depth)
{
    yyjson_val *type = view_get(v, "type");
    yyjson_val *items = view_get(v, "items"), *more = view_get(v, "additionalProperties");
    yyjson_val *own = json_get(note, "items");
    bool untyped = known_types(type) == 0;
    if (view_get(v, "properties") != NULL && (untyped || view_type_holds(type, "object"))) {
        if (untyped) {
            json_put_key(&w->out, first, "type");
            buf_put_cstr(&w->out, "\"object\"");
        }
        put_object(w, v, depth); /* behind the type: its comma is right */
    } else if (view_type_holds(type, "array") && (yyjson_is_obj(items) || own != NULL)) {
        json_put_key(&w->out, first, "items");
        put_schema(w, items != NULL ? items : own, own, STRV(""), false, depth + 1);
    } else if (yyjson_is_obj(more) && yyjson_obj_size(more) > 0) {
        json_put_key(&w->out, first, "additionalProperties");
        put_schema(w, more, NULL, STRV(""), false, depth + 1);
    }
}

static void put_schema(struct walk *w, yyjson_val *schema, yyjson_val *note, strv name,
                       bool required, int depth)
{
    struct view v = view_of(w->root, schema, &w->steps);
    yyjson_val *words, *constant;
    bool first = true;
    buf_put_char(&w->out, '{');
    if (v.n > 0 && depth <= DEPTH_MAX && w->steps <= VIEW_STEPS_MAX) {
        if (v.ways != NULL)
            put_ways(w, &first, &v, depth);
        else
            put_type(w, &first, &v, required);
        put_advice(w, &first, &v, note, name, required, depth);
        words = noted(note, &v, "enum");
        constant = view_get(&v, "const");
        if (words != NULL && v.ways == NULL)
            put_enum(w, &first, words);
        else if (yyjson_is_str(constant) || yyjson_is_num(constant) || yyjson_is_bool(constant))
            put_member(w, &first, "const", constant);
        put_inside(w, &first, &v, note, depth);
    }
    buf_put_char(&w->out, '}');
}

/* The root is an object whatever it says, and one of several ways stands in the middle of the others. */
static void put_root(struct walk *w)
{
    struct view v = view_of(w->root, w->root, &w->steps);
    view_loosen(&v, w->root, &w->steps);
    buf_put_cstr(&w->out, "{\"type\":\"object\"");
    put_object(w, &v, 0);
    buf_put_char(&w->out, '}');
}

/* ---- a tool ---- */

static size_t escaped_bytes(strv text)
{
    size_t n = 0;
    char room[6];
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        n += c == '"' || c == '\\' || (unsigned char)c < 0x20 ? json_escape(c, room) : 1;
    }
    return n;
}

/* {"type":"function","function":{"name":"","description":"","parameters":}} and a comma */
#define AROUND_BYTES  75
#define AROUND_TOKENS 16

void slim_measure(struct slim *s)
{
    const struct llm_tool *t = &s->tool;
    s->bytes = AROUND_BYTES + t->name.len + escaped_bytes(t->description) + t->schema.len;
    s->tokens =
        AROUND_TOKENS + slim_tokens(t->name) + slim_tokens(t->description) + slim_tokens(t->schema);
}

/* A mark like [MOCK] at the head of the server's own words; "" = none. */
static strv mark_of(strv description)
{
    const char *end = memchr(description.ptr, ']', description.len < 32 ? description.len : 32);
    if (description.len == 0 || description.ptr[0] != '[' || end == NULL)
        return STRV("");
    for (const char *c = description.ptr + 1; c < end; c++)
        if ((*c < 'A' || *c > 'Z') && *c != ' ' && *c != '-')
            return STRV("");
    return (strv){description.ptr, (size_t)(end + 1 - description.ptr)};
}

static bool describe_tool(const struct mcp_tool *t, yyjson_val *note, struct arena *arena,
                          strv *out)
{
    strv own = json_get_str(note, "note"), mark = json_get_str(note, "mark");
    strv given = strv_trim(t->description);
    if (given.len > 0 && mark_of(given).len > 0)
        mark = mark_of(given);
    *out = slim_description(own.len > 0 ? own : given, arena);
    if (out->ptr != NULL && mark.len > 0 && !strv_starts(*out, mark)) {
        const char *both = arena_printf(arena, STRV_FMT " " STRV_FMT, STRV_ARG(utf8_cut(mark, 64)),
                                        STRV_ARG(*out));
        *out = strv_of(both);
    }
    if (out->len == 0 && out->ptr != NULL && t->title.len > 0)
        *out = slim_description(t->title, arena);
    return out->ptr != NULL;
}

bool slim_make(const struct mcp_tool *t, enum slim_form form, struct arena *arena, struct slim *out)
{
    struct walk w = {.tool = t, .form = form, .arena = arena};
    struct json doc;
    struct err err = ERR_INIT;
    bool sound = json_read(&doc, t->schema, arena, 0, &err) && yyjson_is_obj(doc.root);
    *out = (struct slim){.tool = {.name = strv_of(t->id)}};
    w.note = agent_note(t, arena);
    if (arena->failed || !describe_tool(t, w.note, arena, &out->tool.description))
        return false;
    buf_init(&w.out, SCHEMA_MAX);
    if (buf_reserve(&w.out, SCHEMA_MAX) == NULL) /* from here on a refusal means: too large */
        return false;
    w.root = sound ? doc.root : NULL;
    put_root(&w);
    out->tool.schema = w.out.failed ? STRV("{\"type\":\"object\"}") : buf_view(&w.out);
    out->tool.schema = arena_strv(arena, out->tool.schema);
    buf_fini(&w.out);
    slim_measure(out);
    return !arena->failed;
}
