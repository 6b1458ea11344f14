/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - YAML text into settings, through libyaml's events.
 *
 *   { providers: { ollama: { idle: 30s } } }      a mapping is a section, a scalar or list is a value
 *     section      name      option
 *
 * Every key is looked up in the table of options at once, so that what is wrong is told at its own line
 * and column. Refused: unknown keys, a key twice in one mapping, anchors and aliases, a second document.
 * Nesting is as deep as the table, whatever the file holds.
 *
 * libyaml takes its memory from malloc(3) itself; a refusal there is an error like ours, it just cannot be
 * made to happen in a test.
 */
#include <stdio.h>
#include <yaml.h>

#include "config/internal.h"

struct reader {
    struct load *load;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    strv text;
    size_t keys;
};

/* Where in the table we are: "providers.*.spawn" and "ollama". */
struct place {
    char path[96];
    const char *name;
};

struct key_seen {
    struct key_seen *next;
    strv key;
    size_t line;
};

static bool read_section(struct reader *r, const struct place *at);

static struct origin here(const struct reader *r)
{
    return (struct origin){.from = FROM_FILE,
                           .line = r->event.start_mark.line + 1,
                           .column = r->event.start_mark.column + 1};
}

/* Line and column of a byte: for bytes that are no text, libyaml knows only the offset. */
static struct origin at_offset(strv text, size_t offset)
{
    struct origin o = {.from = FROM_FILE, .line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        o.column++;
        if (text.ptr[i] == '\n') {
            o.line++;
            o.column = 1;
        }
    }
    return o;
}

static bool syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    struct origin at = {
        .from = FROM_FILE, .line = p->problem_mark.line + 1, .column = p->problem_mark.column + 1};
    if (p->error == YAML_MEMORY_ERROR)
        return load_oom(r->load);
    if (p->error == YAML_READER_ERROR)
        at = at_offset(r->text, p->problem_offset);
    return load_fail(r->load, &at, NULL, "not YAML: %s%s%s",
                     p->problem != NULL ? p->problem : "unreadable", p->context != NULL ? ", " : "",
                     p->context != NULL ? p->context : "");
}

/* The next event into r->event. Anchors never get further than here. */
static bool next(struct reader *r)
{
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event))
        return syntax_error(r);
    struct origin at = here(r);
    bool anchor =
        r->event.type == YAML_ALIAS_EVENT ||
        (r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.anchor != NULL) ||
        (r->event.type == YAML_SEQUENCE_START_EVENT &&
         r->event.data.sequence_start.anchor != NULL) ||
        (r->event.type == YAML_MAPPING_START_EVENT && r->event.data.mapping_start.anchor != NULL);
    if (anchor)
        return load_fail(r->load, &at, NULL,
                         "anchors and aliases (& and *) are not supported; quote a "
                         "text that begins with one of them");
    return true;
}

/* The n-th event from here. */
static bool skip(struct reader *r, int n)
{
    while (n-- > 0) {
        if (!next(r))
            return false;
    }
    return true;
}

/* The current event's text, in the arena. */
static bool scalar(struct reader *r, strv *out)
{
    *out = arena_strv(r->load->arena, (strv){(const char *)r->event.data.scalar.value,
                                             r->event.data.scalar.length});
    return out->ptr != NULL || load_oom(r->load);
}

/* `key:` with nothing behind it, or with YAML's words for nothing. */
static bool is_nothing(const struct reader *r)
{
    const yaml_event_t *e = &r->event;
    if (e->type != YAML_SCALAR_EVENT || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    strv text = {(const char *)e->data.scalar.value, e->data.scalar.length};
    return text.len == 0 || strv_eq_cstr(text, "~") || strv_eq_nocase(text, STRV("null"));
}

static const char *event_name(const struct reader *r)
{
    switch (r->event.type) {
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    default:
        return is_nothing(r) ? "nothing" : "a text";
    }
}

static bool wrong_shape(struct reader *r, const struct option *o, const char *name)
{
    char path[160], expected[160];
    struct origin at = here(r);
    option_expected(o, expected, sizeof expected);
    return load_fail(r->load, &at, setting_path(o, name, path, sizeof path),
                     "expected %s%s, not %s", o->type == OPT_LIST ? "a list of: " : "", expected,
                     event_name(r));
}

static bool read_list(struct reader *r, const struct option *o, const char *name)
{
    struct origin at = here(r);
    strv items[256];
    size_t n = 0;
    char path[280], why[OPTION_WHY_MAX];

    for (;;) {
        if (!next(r))
            return false;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (r->event.type != YAML_SCALAR_EVENT || is_nothing(r))
            return wrong_shape(r, o, name);
        if (n == sizeof items / sizeof *items)
            return load_fail(r->load, &at, setting_path(o, name, path, sizeof path),
                             "expected at most %llu items", (unsigned long long)o->max);
        struct origin item = here(r);
        if (!scalar(r, &items[n]))
            return false;
        if (!option_check_item(o, items[n++], why))
            return load_fail(r->load, &item, setting_path(o, name, path, sizeof path), "%s", why);
    }
    return setting_put(r->load, o, name, items, n, &at);
}

/* The value of an option; r->event is its first event. */
static bool read_value(struct reader *r, const struct option *o, const char *name)
{
    struct origin at = here(r);
    strv text;

    if (o->type == OPT_LIST && r->event.type == YAML_SEQUENCE_START_EVENT)
        return read_list(r, o, name);
    if (r->event.type != YAML_SCALAR_EVENT || is_nothing(r))
        return wrong_shape(r, o, name);
    return scalar(r, &text) && setting_put(r->load, o, name, &text, 1, &at);
}

static bool unknown_key(struct reader *r, const struct place *at, strv key,
                        const struct origin *where)
{
    char hint[160];
    strv shown = utf8_cut(key, 40);
    if (strncmp(at->path, "providers.*", 11) == 0 &&
        (strv_eq_nocase(key, STRV("key")) || strv_eq_nocase(key, STRV("api_key"))))
        return load_fail(r->load, where, NULL,
                         "unknown key \"" STRV_FMT
                         "\": keys never stand in this file; name a variable with "
                         "key_env or a file with key_file",
                         STRV_ARG(shown));
    option_hint(strv_of(at->path), key, hint, sizeof hint);
    return load_fail(r->load, where, NULL, "unknown key \"" STRV_FMT "\"; %s", STRV_ARG(shown),
                     hint);
}

static bool name_allowed(struct reader *r, const struct place *at, strv key,
                         const struct origin *where)
{
    char why[OPTION_WHY_MAX];
    strv shown = utf8_cut(key, 40);
    if (option_name_ok(strv_of(at->path), key, why))
        return true;
    return load_fail(r->load, where, at->path, "expected %s, not \"" STRV_FMT "\"", why,
                     STRV_ARG(shown));
}

/* One key and its value. The key is either a name that the operator chose, or a segment of the table. */
static bool read_member(struct reader *r, const struct place *at, strv key,
                        const struct origin *where)
{
    struct place below = {.name = at->name};
    const char *dot = at->path[0] != '\0' ? "." : "";
    bool star = snprintf(below.path, sizeof below.path, "%s%s*", at->path, dot) > 0 &&
                (option_row(below.path) != NULL || option_is_section(strv_of(below.path)));

    if (star) {
        if (!name_allowed(r, at, key, where))
            return false;
        below.name = key.ptr; /* in the arena, with a terminator */
        if (strcmp(at->path, "providers") == 0 && instance_put(r->load, key, where) == NULL)
            return false;
    } else if (key.len > 63 || memchr(key.ptr, '.', key.len) != NULL ||
               memchr(key.ptr, '*', key.len) != NULL) {
        return unknown_key(r, at, key, where);
    } else {
        snprintf(below.path, sizeof below.path, "%.30s%s" STRV_FMT, at->path, dot, STRV_ARG(key));
    }
    const struct option *o = option_row(below.path);
    if (o == NULL && !option_is_section(strv_of(below.path)))
        return unknown_key(r, at, key, where);
    if (!next(r))
        return false;
    if (o != NULL)
        return read_value(r, o, below.name);
    return read_section(r, &below);
}

/* A mapping; r->event is its first event. */
static bool read_section(struct reader *r, const struct place *at)
{
    struct key_seen *seen = NULL;
    struct origin where = here(r);

    if (is_nothing(r))
        return true;
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return load_fail(r->load, &where, at->path[0] != '\0' ? at->path : NULL,
                         "expected a mapping (lines of \"key: value\"), not %s", event_name(r));
    if (strcmp(at->path, "roles") == 0)
        r->load->file_roles = true;
    for (;;) {
        strv key;
        if (!next(r))
            return false;
        where = here(r);
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (r->event.type != YAML_SCALAR_EVENT)
            return load_fail(r->load, &where, NULL, "expected a key, not %s", event_name(r));
        if (!scalar(r, &key))
            return false;
        for (const struct key_seen *s = seen; s != NULL; s = s->next) {
            if (strv_eq(s->key, key)) {
                strv shown = utf8_cut(key, 40);
                return load_fail(r->load, &where, NULL,
                                 "\"" STRV_FMT "\" stands here twice; first in line %zu",
                                 STRV_ARG(shown), s->line);
            }
        }
        struct key_seen *s = ARENA_NEW(r->load->arena, struct key_seen);
        if (s == NULL)
            return load_oom(r->load);
        *s = (struct key_seen){seen, key, where.line};
        seen = s;
        if (++r->keys > CONFIG_KEYS_MAX)
            return load_fail(r->load, &where, NULL, "more than %d keys", CONFIG_KEYS_MAX);
        if (!read_member(r, at, key, &where))
            return false;
    }
}

/* stream-start (document-start mapping document-end)? stream-end */
static bool read_stream(struct reader *r)
{
    struct place root = {.path = ""};
    if (!skip(r, 2))
        return false;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return true;
    if (!skip(r, 1) || !read_section(r, &root) || !skip(r, 2))
        return false;
    struct origin at = here(r);
    if (r->event.type != YAML_STREAM_END_EVENT)
        return load_fail(r->load, &at, NULL, "a second document; one file is one document");
    return true;
}

bool file_take(struct load *l, strv text)
{
    struct reader r = {.load = l, .text = text};
    if (!yaml_parser_initialize(&r.parser))
        return load_oom(l);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.ptr, text.len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    bool ok = read_stream(&r);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return ok;
}
