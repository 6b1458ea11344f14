/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair - see repair.h.
 *
 *   arguments -> text as JSON -> members by their names -> each value by its schema -> schema_check -> the tool
 *
 * A value that fits the kinds its place takes is passed as it is. One that does not is looked up in a table: what it is,
 * what is due, how the one becomes the other. What no row mends goes on as it is, and the schema refuses it with a
 * sentence that the model can use. The schema is the server's, whole; enums of the overlay count as well. An object that
 * has a name twice is refused.
 */
#include "agent/repair.h"

#include <stdlib.h>

#include "agent/note.h"
#include "agent/view.h"
#include "agent/words.h"

#define DEPTH_MAX   24
#define WORD_LENGTH 64 /* bytes of an enum's word or a name that is compared with others */

static const char *const names[AGENT_REPAIRS] = {
    [AGENT_REPAIR_SYNTAX] = "syntax",   [AGENT_REPAIR_NUMBER] = "number",
    [AGENT_REPAIR_BOOLEAN] = "boolean", [AGENT_REPAIR_NULL] = "null",
    [AGENT_REPAIR_ENUM] = "enum",       [AGENT_REPAIR_NESTED] = "nested",
    [AGENT_REPAIR_LIST] = "list",       [AGENT_REPAIR_MEMBER] = "member",
    [AGENT_REPAIR_DROPPED] = "dropped"};

const char *agent_repair_name(enum agent_repair r)
{
    return names[r];
}

struct mend {
    struct arena *arena;
    yyjson_val *root; /* of the schema */
    yyjson_val *note; /* the overlay's entry, or NULL */
    struct buf out;
    uint32_t *counts;
    bool changed;
    size_t steps;
    int depth;
};

static void count(struct mend *m, enum agent_repair r)
{
    m->counts[r]++;
    m->changed = true;
}

static void put_as_is(struct mend *m, yyjson_val *val)
{
    (void)json_put_val(&m->out, val, m->arena); /* the buffer remembers a refusal */
}

static void put_value(struct mend *m, yyjson_val *schema, yyjson_val *note, yyjson_val *val);

/* ---- text as JSON ---- */

/* The JSON of a text that is nearly JSON; NULL: it is not, or no memory. *mended: something was corrected. */
static yyjson_val *read_nearly(strv text, struct arena *arena, strv *kept, bool *mended)
{
    struct json doc;
    struct err err = ERR_INIT;
    struct json_mend mend;
    struct buf out;
    *mended = false;
    *kept = text;
    if (json_read(&doc, text, arena, 0, &err))
        return doc.root;
    buf_init(&out, 6 * text.len + 1024);
    json_mend_init(&mend);
    bool sound =
        json_mend_feed(&mend, text, &out) && json_mend_end(&mend, &out) != JSON_MEND_FAILED;
    *kept = sound && !out.failed ? arena_strv(arena, buf_view(&out)) : STRV_NONE;
    if (out.failed)
        arena->failed = true;
    buf_fini(&out);
    err_clear(&err);
    *mended = true;
    return kept->ptr != NULL && json_read(&doc, *kept, arena, 0, &err) ? doc.root : NULL;
}

/* ---- words ---- */

static bool is_word(strv text, const char *const *words)
{
    text = strv_trim(text);
    for (; *words != NULL; words++)
        if (strv_eq_nocase(text, strv_of(*words)))
            return true;
    return false;
}

static bool is_null_word(strv text)
{
    static const char *const words[] = {"null", "none", "nil", "undefined", NULL};
    return is_word(text, words);
}

/* Small letters and digits of it; false: too long to be compared. */
static bool bare(strv text, char out[WORD_LENGTH], strv *view)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '_' || c == '-' || c == ' ' || c == '.')
            continue;
        if (n == WORD_LENGTH)
            return false;
        out[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    *view = (strv){out, n};
    return n > 0;
}

/* How far apart two words are: 0 but for spelling, 1 a slip, more = they are different words. */
static size_t apart(strv a, strv b)
{
    char room_a[WORD_LENGTH], room_b[WORD_LENGTH];
    strv bare_a, bare_b;
    if (!bare(a, room_a, &bare_a) || !bare(b, room_b, &bare_b))
        return 9;
    if (strv_eq(bare_a, bare_b))
        return 0;
    return bare_a.len >= 4 && bare_b.len >= 4 && words_near(bare_a, bare_b) ? 1 : 9;
}

/* ---- enums ---- */

static bool holds(yyjson_val *list, yyjson_val *val)
{
    yyjson_val *one;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, one)
    {
        if (yyjson_equals(one, val))
            return true;
    }
    return false;
}

/* The one word of the enum that was meant; NULL: none, or two are as near. */
static yyjson_val *nearest(yyjson_val *list, strv text)
{
    yyjson_val *one, *best = NULL;
    size_t i, n, least = 2;
    yyjson_arr_foreach(list, i, n, one)
    {
        size_t d = yyjson_is_str(one) ? apart(json_str(one), text) : 9;
        if (d < least) {
            least = d;
            best = one;
        } else if (d == least && d < 2) {
            best = NULL;
        }
    }
    return best;
}

static void put_text(struct mend *m, yyjson_val *list, yyjson_val *val)
{
    yyjson_val *meant = list != NULL && !holds(list, val) ? nearest(list, json_str(val)) : NULL;
    if (meant != NULL)
        count(m, AGENT_REPAIR_ENUM);
    put_as_is(m, meant != NULL ? meant : val);
}

/* ---- from one kind to another ---- */

struct turn { /* a value and the place it goes to */
    const struct view *view;
    yyjson_val *schema, *note, *val;
    unsigned due;
};

static bool text_to_number(struct mend *m, const struct turn *t)
{
    strv text = strv_trim(json_str(t->val));
    int64_t whole;
    double d;
    char room[JSON_WORD_ROOM];
    if (!strv_i64(text, &whole) && !strv_double(text, &d))
        return false;
    if (text.len > JSON_WORD_MAX || (text.len > 1 && text.ptr[0] == '0' && text.ptr[1] != '.'))
        return false; /* 02134 is no number but a code */
    text = json_word_value(text, false, room);
    if (text.ptr == NULL || strv_eq(text, STRV("null")))
        return false;
    count(m, AGENT_REPAIR_NUMBER);
    buf_put_strv(&m->out, text);
    return true;
}

static bool text_to_boolean(struct mend *m, const struct turn *t)
{
    static const char *const yes[] = {"true", "yes", "1", "on", NULL};
    static const char *const no[] = {"false", "no", "0", "off", NULL};
    bool is_yes = is_word(json_str(t->val), yes);
    if (!is_yes && !is_word(json_str(t->val), no))
        return false;
    count(m, AGENT_REPAIR_BOOLEAN);
    return buf_put_cstr(&m->out, is_yes ? "true" : "false");
}

static bool text_to_null(struct mend *m, const struct turn *t)
{
    if (!is_null_word(json_str(t->val)))
        return false;
    count(m, AGENT_REPAIR_NULL);
    return buf_put_cstr(&m->out, "null");
}

static bool text_to_inside(struct mend *m, const struct turn *t)
{
    strv text = strv_trim(json_str(t->val)), kept;
    bool mended;
    if (text.len == 0 || (text.ptr[0] != '{' && text.ptr[0] != '['))
        return false;
    yyjson_val *inside = read_nearly(text, m->arena, &kept, &mended);
    if (inside == NULL || (view_kind_of(inside) & t->due) == 0)
        return false;
    count(m, AGENT_REPAIR_NESTED);
    put_value(m, t->schema, t->note, inside);
    return true;
}

/* "a, b" where a list of words of an enum is due, and each is one. */
static bool text_to_words(struct mend *m, const struct turn *t)
{
    yyjson_val *items = view_get(t->view, "items"), *own = json_get(t->note, "items");
    struct view v = view_of(m->root, items, &m->steps);
    yyjson_val *list = json_get(own, "enum") != NULL ? json_get(own, "enum") : view_get(&v, "enum");
    strv rest = json_str(t->val), part;
    size_t n = 0;
    if (list == NULL || memchr(rest.ptr, ',', rest.len) == NULL)
        return false;
    while (strv_cut(&rest, ',', &part))
        if (nearest(list, strv_trim(part)) == NULL)
            return false;
    count(m, AGENT_REPAIR_LIST);
    rest = json_str(t->val);
    buf_put_char(&m->out, '[');
    while (strv_cut(&rest, ',', &part)) {
        if (n++ > 0)
            buf_put_char(&m->out, ',');
        put_as_is(m, nearest(list, strv_trim(part)));
    }
    return buf_put_char(&m->out, ']');
}

static bool one_to_list(struct mend *m, const struct turn *t)
{
    if (view_kind_of(t->val) == VIEW_NULL)
        return false;
    count(m, AGENT_REPAIR_LIST);
    buf_put_char(&m->out, '[');
    put_value(m, view_get(t->view, "items"), json_get(t->note, "items"), t->val);
    return buf_put_char(&m->out, ']');
}

static bool list_to_one(struct mend *m, const struct turn *t)
{
    yyjson_val *first = yyjson_arr_get_first(t->val);
    if (yyjson_arr_size(t->val) != 1 || view_kind_of(first) == VIEW_ARRAY)
        return false;
    count(m, AGENT_REPAIR_LIST);
    put_value(m, t->schema, t->note, first);
    return true;
}

static bool number_to_text(struct mend *m, const struct turn *t)
{
    count(m, AGENT_REPAIR_NUMBER);
    buf_put_char(&m->out, '"');
    put_as_is(m, t->val);
    return buf_put_char(&m->out, '"');
}

static bool number_to_boolean(struct mend *m, const struct turn *t)
{
    int64_t whole;
    if (!json_is_int(t->val, &whole) || whole < 0 || whole > 1)
        return false;
    count(m, AGENT_REPAIR_BOOLEAN);
    return buf_put_cstr(&m->out, whole == 1 ? "true" : "false");
}

static bool boolean_to_text(struct mend *m, const struct turn *t)
{
    count(m, AGENT_REPAIR_BOOLEAN);
    return buf_put_cstr(&m->out, yyjson_is_true(t->val) ? "\"true\"" : "\"false\"");
}

/* The first row that mends it is taken. */
static const struct {
    unsigned from, due;
    bool (*mend)(struct mend *m, const struct turn *t);
} turns[] = {
    {VIEW_STRING, VIEW_INTEGER | VIEW_NUMBER, text_to_number},
    {VIEW_STRING, VIEW_BOOLEAN, text_to_boolean},
    {VIEW_STRING, VIEW_ARRAY | VIEW_OBJECT, text_to_inside},
    {VIEW_STRING, VIEW_NULL, text_to_null},
    {VIEW_STRING, VIEW_ARRAY, text_to_words},
    {VIEW_INTEGER | VIEW_NUMBER, VIEW_BOOLEAN, number_to_boolean},
    {VIEW_INTEGER | VIEW_NUMBER, VIEW_STRING, number_to_text},
    {VIEW_BOOLEAN, VIEW_STRING, boolean_to_text},
    {VIEW_ARRAY, ~(unsigned)VIEW_ARRAY, list_to_one},
    {~(unsigned)VIEW_ARRAY, VIEW_ARRAY, one_to_list},
};

/* ---- members ---- */

static bool is_free(const struct view *v)
{
    yyjson_val *more = view_get(v, "additionalProperties");
    return view_get(v, "properties") == NULL || yyjson_is_true(more) || yyjson_is_obj(more);
}

/* The property that a member's name in another spelling stands for: one that is missing; STRV_NONE: none. */
static strv meant_property(struct mend *m, const struct view *v, yyjson_val *given, strv name)
{
    strv best = STRV_NONE;
    size_t least = 2;
    for (size_t p = 0; p < v->n; p++) {
        yyjson_val *all = json_get(v->parts[p].val, "properties"), *key, *val;
        size_t i, n;
        if (!yyjson_is_obj(all))
            continue;
        yyjson_obj_foreach(all, i, n, key, val)
        {
            strv one = json_str(key);
            size_t d = apart(one, name);
            if (++m->steps > VIEW_STEPS_MAX)
                return STRV_NONE;
            if (d >= least || yyjson_obj_getn(given, one.ptr, one.len) != NULL)
                continue;
            least = d;
            best = one;
        }
    }
    return best;
}

/* Left out: a null, or the word for it, where nothing need be. */
static bool is_nothing(struct mend *m, const struct view *v, yyjson_val *schema, yyjson_val *note,
                       strv name, yyjson_val *val)
{
    struct view own = view_of(m->root, schema, &m->steps);
    unsigned due = view_kinds(&own, m->root, &m->steps);
    if (schema == NULL || view_requires(v, name))
        return false;
    if (yyjson_is_null(val))
        return due != 0 && (due & VIEW_NULL) == 0;
    if (!yyjson_is_str(val) || holds(view_get(&own, "enum"), val) ||
        holds(json_get(note, "enum"), val))
        return false;
    if (yyjson_get_len(val) == 0)
        return due != 0 && (due & VIEW_STRING) == 0;
    return is_null_word(json_str(val));
}

struct members {
    const struct view *view;
    yyjson_val *given;
    bool first;
};

static void put_member(struct mend *m, struct members *in, strv name, yyjson_val *val)
{
    bool top = m->depth == 1;
    yyjson_val *notes = top ? json_get(m->note, "arguments") : NULL;
    yyjson_val *schema = view_property(in->view, name), *more;
    if (schema == NULL && !is_free(in->view)) {
        strv meant = meant_property(m, in->view, in->given, name);
        if (meant.ptr != NULL) {
            count(m, AGENT_REPAIR_MEMBER);
            name = meant;
            schema = view_property(in->view, name);
        }
    }
    bool hidden = top && agent_note_hides(m->note, name);
    bool forbidden = schema == NULL && yyjson_is_false(view_get(in->view, "additionalProperties"));
    if (hidden || forbidden) {
        count(m, AGENT_REPAIR_DROPPED);
        return;
    }
    yyjson_val *note = notes != NULL ? yyjson_obj_getn(notes, name.ptr, name.len) : NULL;
    if (is_nothing(m, in->view, schema, note, name, val)) {
        count(m, AGENT_REPAIR_NULL);
        return;
    }
    if (!in->first)
        buf_put_char(&m->out, ',');
    in->first = false;
    json_put_str(&m->out, name);
    buf_put_char(&m->out, ':');
    more = view_get(in->view, "additionalProperties");
    put_value(m, schema != NULL ? schema : more, note, val);
}

static void put_object(struct mend *m, const struct view *v, yyjson_val *val)
{
    struct members in = {v, val, true};
    yyjson_val *key, *one;
    size_t i, n;
    buf_put_char(&m->out, '{');
    yyjson_obj_foreach(val, i, n, key, one)
    {
        put_member(m, &in, json_str(key), one);
    }
    buf_put_char(&m->out, '}');
}

static void put_array(struct mend *m, const struct view *v, yyjson_val *note, yyjson_val *val)
{
    yyjson_val *one, *items = view_get(v, "items"), *own = json_get(note, "items");
    size_t i, n;
    buf_put_char(&m->out, '[');
    yyjson_arr_foreach(val, i, n, one)
    {
        if (i > 0)
            buf_put_char(&m->out, ',');
        put_value(m, yyjson_is_obj(items) ? items : NULL, own, one);
    }
    buf_put_char(&m->out, ']');
}

/* ---- values ---- */

/* Of several ways the first that takes this kind of value. */
static struct view view_for(struct mend *m, yyjson_val *schema, unsigned kind)
{
    struct view v = view_of(m->root, schema, &m->steps);
    yyjson_val *way;
    size_t i, n;
    if (view_get(&v, "type") != NULL)
        return v;
    yyjson_arr_foreach(v.ways, i, n, way)
    {
        struct view one = view_of(m->root, way, &m->steps);
        if ((view_kinds(&one, m->root, &m->steps) & kind) != 0)
            return one;
    }
    return v;
}

static void put_fitting(struct mend *m, yyjson_val *schema, yyjson_val *note, yyjson_val *val)
{
    struct view v = view_for(m, schema, view_kind_of(val));
    yyjson_val *list = json_get(note, "enum");
    if (list == NULL)
        list = view_get(&v, "enum");
    if (yyjson_is_obj(val))
        put_object(m, &v, val);
    else if (yyjson_is_arr(val))
        put_array(m, &v, note, val);
    else if (yyjson_is_str(val))
        put_text(m, list, val);
    else
        put_as_is(m, val);
}

static void put_turned(struct mend *m, const struct turn *t)
{
    unsigned kind = view_kind_of(t->val);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        size_t before = buf_len(&m->out);
        if ((turns[i].from & kind) == 0 || (turns[i].due & t->due) == 0)
            continue;
        if (turns[i].mend(m, t) || m->out.failed)
            return;
        buf_rewind(&m->out, before);
    }
    put_as_is(m, t->val);
}

static void put_value(struct mend *m, yyjson_val *schema, yyjson_val *note, yyjson_val *val)
{
    struct view v = view_of(m->root, schema, &m->steps);
    unsigned due = view_kinds(&v, m->root, &m->steps), kind = view_kind_of(val);
    m->depth++;
    if (m->depth > DEPTH_MAX || m->steps > VIEW_STEPS_MAX)
        put_as_is(m, val);
    else if (due == 0 || (due & kind) != 0 || (kind == VIEW_INTEGER && (due & VIEW_NUMBER) != 0))
        put_fitting(m, schema, note, val);
    else
        put_turned(m, &(struct turn){&v, schema, note, val, due});
    m->depth--;
}

/* ---- the whole ---- */

/* {"arguments": {...}}, {"name": "x", "parameters": {...}}: the call where only its arguments belong. */
static yyjson_val *unwrapped(struct mend *m, yyjson_val *val)
{
    static const char *const covers[] = {"arguments", "parameters", "args", "params", "input"};
    struct view v = view_of(m->root, m->root, &m->steps);
    size_t others = yyjson_obj_get(val, "name") != NULL && view_property(&v, STRV("name")) == NULL;
    if (yyjson_is_str(val)) { /* JSON in a string */
        bool mended;
        strv kept;
        yyjson_val *inside = read_nearly(json_str(val), m->arena, &kept, &mended);
        if (!yyjson_is_obj(inside))
            return val;
        count(m, AGENT_REPAIR_NESTED);
        return inside;
    }
    for (size_t i = 0; i < sizeof covers / sizeof *covers; i++) {
        yyjson_val *inside = yyjson_obj_get(val, covers[i]);
        if (yyjson_is_obj(inside) && yyjson_obj_size(val) == 1 + others &&
            view_property(&v, strv_of(covers[i])) == NULL && view_get(&v, "properties") != NULL) {
            count(m, AGENT_REPAIR_MEMBER);
            return inside;
        }
    }
    return val;
}

/* Everything that is missing at once, so that one more try is enough. */
static bool has_required(const struct mend *m, const struct view *v, yyjson_val *val,
                         struct err *err)
{
    struct buf missing;
    yyjson_val *one;
    size_t i, n, lacks = 0;
    buf_init(&missing, 200);
    for (size_t p = 0; p < v->n; p++)
        yyjson_arr_foreach(json_get(v->parts[p].val, "required"), i, n, one)
        {
            strv name = json_str(one);
            if (name.len == 0 || yyjson_obj_getn(val, name.ptr, name.len) != NULL)
                continue;
            if (agent_note_hides(m->note, name)) {
                buf_fini(&missing);
                return err_set(err, 0,
                               "This tool needs a secret that only a person may give (" STRV_FMT
                               "). It cannot be called from here.",
                               STRV_ARG(utf8_cut(name, 64)));
            }
            buf_printf(&missing, "%s" STRV_FMT, lacks++ > 0 ? ", " : "", STRV_ARG(name));
        }
    if (lacks > 0)
        err_set(err, 0,
                "Missing required argument%s: " STRV_FMT ". Call the tool again with all of them.",
                lacks > 1 ? "s" : "", STRV_ARG(buf_view(&missing)));
    buf_fini(&missing);
    return lacks == 0;
}

static void put_choices(struct buf *b, yyjson_val *list)
{
    yyjson_val *one;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, one)
    {
        if (yyjson_is_str(one))
            buf_printf(b, "%s" STRV_FMT, i > 0 ? ", " : "", STRV_ARG(json_str(one)));
    }
}

/* What the overlay knows and the server's schema does not say: better told here than failed there. */
static bool fits_note(const struct mend *m, yyjson_val *val, struct err *err)
{
    yyjson_val *key, *one;
    size_t i, n;
    yyjson_obj_foreach(val, i, n, key, one)
    {
        yyjson_val *notes = json_get(m->note, "arguments");
        yyjson_val *note = yyjson_obj_getn(notes, yyjson_get_str(key), yyjson_get_len(key));
        yyjson_val *list = json_get(note, "enum");
        struct buf words;
        if (list == NULL || !yyjson_is_str(one) || holds(list, one))
            continue;
        buf_init(&words, 220);
        put_choices(&words, list);
        err_set(err, 0, "Argument " STRV_FMT " must be one of: " STRV_FMT ".",
                STRV_ARG(utf8_cut(json_str(key), 48)), STRV_ARG(buf_view(&words)));
        buf_fini(&words);
        return false;
    }
    return true;
}

/* The schema's own words, and of the argument at fault what it takes. */
static bool refuse(const struct mend *m, const struct view *v, const struct err *why,
                   struct err *err)
{
    strv path = strv_of(why->field), name, rest;
    size_t steps = 0;
    if (path.len > 0 && path.ptr[0] == '/')
        path = strv_from(path, 1);
    rest = path;
    if (!strv_cut(&rest, '/', &name))
        name = STRV("");
    struct view own = view_of(m->root, view_property(v, name), &steps);
    yyjson_val *list = view_get(&own, "enum"), *type = view_get(&own, "type");
    struct buf takes;
    buf_init(&takes, 160);
    if (list != NULL)
        put_choices(&takes, list);
    else if (yyjson_is_str(type))
        buf_put_strv(&takes, json_str(type));
    err_set(err, 0, "The arguments do not fit the tool's schema: %s.%s" STRV_FMT, why->text,
            buf_len(&takes) > 0 ? " It takes: " : "", STRV_ARG(buf_view(&takes)));
    buf_fini(&takes);
    return false;
}

static int by_text(const void *a, const void *b)
{
    const strv *x = a, *y = b;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->len > 0 ? memcmp(x->ptr, y->ptr, x->len) : 0;
}

/* A name that an object has twice: of the two values one reader takes the first, another the last, and what was judged
 * and approved would not be what is done. STRV_NONE: there is none. */
static strv twin(struct mend *m, yyjson_val *val)
{
    yyjson_val *key, *one;
    size_t i, max, n = 0;
    strv found = STRV_NONE;
    strv *all = yyjson_is_obj(val) ? ARENA_ARRAY(m->arena, strv, yyjson_obj_size(val) + 1) : NULL;
    if (yyjson_is_obj(val) && all == NULL)
        return STRV(""); /* arena->failed tells */
    yyjson_arr_foreach(val, i, max, one)
    {
        if (found.ptr == NULL)
            found = twin(m, one);
    }
    if (!yyjson_is_obj(val))
        return found;
    yyjson_obj_foreach(val, i, max, key, one)
    {
        all[n++] = json_str(key);
        if (found.ptr == NULL)
            found = twin(m, one);
    }
    qsort(all, n, sizeof *all, by_text);
    for (i = 1; i < n && found.ptr == NULL; i++)
        if (strv_eq(all[i - 1], all[i]))
            found = all[i];
    return found;
}

static bool is_plain(struct mend *m, yyjson_val *val, struct err *err)
{
    strv name = twin(m, val);
    return name.ptr == NULL ||
           err_set(err, 0,
                   "The arguments name " STRV_FMT " twice. Call the tool again and name it once.",
                   STRV_ARG(utf8_cut(name, 64)));
}

static bool check(struct mend *m, yyjson_val *val, struct err *err)
{
    struct err why = ERR_INIT;
    struct view v = view_of(m->root, m->root, &m->steps);
    if (!is_plain(m, val, err) || !has_required(m, &v, val, err) || !fits_note(m, val, err))
        return false;
    /* a schema that is none cannot be obeyed: the server decides then */
    if (m->root == NULL || schema_check(m->root, val, &why) ||
        !schema_valid(m->root, &(struct err){0}))
        return true;
    return refuse(m, &v, &why, err);
}

/* The arguments as they stand, or what became of them. */
static yyjson_val *mend_all(struct mend *m, strv args, strv *text, struct err *err)
{
    struct json doc;
    struct err why = ERR_INIT;
    bool mended;
    yyjson_val *val = read_nearly(args, m->arena, text, &mended);
    if (val == NULL) {
        err_set(err, 0,
                "The arguments are not a JSON object. Call the tool again with valid JSON.");
        return NULL;
    }
    if (mended)
        count(m, AGENT_REPAIR_SYNTAX);
    if (yyjson_is_null(val)) {
        count(m, AGENT_REPAIR_NULL);
        *text = STRV("{}");
        return json_read(&doc, *text, m->arena, 0, &why) ? doc.root : NULL;
    }
    val = unwrapped(m, val);
    if (!yyjson_is_obj(val)) {
        err_set(err, 0,
                "The arguments must be a JSON object with the tool's parameters as members.");
        return NULL;
    }
    m->depth = 0;
    put_value(m, m->root, NULL, val);
    if (!m->changed)
        return val;
    *text = m->out.failed ? STRV_NONE : arena_strv(m->arena, buf_view(&m->out));
    if (text->ptr == NULL || !json_read(&doc, *text, m->arena, 0, &why)) {
        m->arena->failed = true; /* what we write can be read: there was no memory */
        err_oom(err);
        return NULL;
    }
    return doc.root;
}

bool agent_repair_args(const struct mcp_tool *t, strv args, struct arena *arena, strv *out,
                       uint32_t counts[AGENT_REPAIRS], struct err *err)
{
    struct json schema = {.root = NULL};
    struct err ignored = ERR_INIT;
    struct mend m = {.arena = arena, .counts = counts};
    strv text;
    args = strv_trim(args);
    if (args.len == 0)
        args = STRV("{}");
    m.root = json_read(&schema, t->schema, arena, 0, &ignored) && yyjson_is_obj(schema.root)
                 ? schema.root
                 : NULL;
    m.note = agent_note(t, arena);
    buf_init(&m.out, 6 * args.len + 4096);
    yyjson_val *val = !arena->failed ? mend_all(&m, args, &text, err) : NULL;
    bool ok = val != NULL && check(&m, val, err);
    buf_fini(&m.out);
    if (arena->failed)
        return err_oom(err);
    if (ok)
        *out = m.changed ? text : args;
    return ok;
}
