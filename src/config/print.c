/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print - the effective configuration, a sample file and the manual's text, all from the table.
 *
 * What is printed can be read again and gives the same configuration. Secrets do not come near: settings
 * hold names of variables and files only; whether there is a key behind one is told by "***".
 */
#include <ctype.h>

#include "config/internal.h"

#define COMMENT_COLUMN 48

/* ---- the effective configuration ---- */

static const struct whole *whole_of(const struct config *c)
{
    return (const struct whole *)(const void *)((const char *)c - offsetof(struct whole, config));
}

/* A key that YAML and its readers take for nothing else. */
static bool is_plain(strv key)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};
    for (size_t i = 0; i < key.len; i++) {
        if (!isalnum((unsigned char)key.ptr[i]) && key.ptr[i] != '_' && key.ptr[i] != '-')
            return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strv_eq_nocase(key, strv_of(words[i])))
            return false;
    }
    return key.len != 0 && isalpha((unsigned char)key.ptr[0]);
}

static void put_key(struct buf *out, strv key)
{
    if (is_plain(key))
        buf_put_strv(out, key);
    else
        json_put_str(out, key);
    buf_put_char(out, ':');
}

static void indent(struct buf *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buf_put_cstr(out, "  ");
}

/* Blanks up to the column of the comments. */
static void put_comment(struct buf *out, size_t line_start)
{
    size_t used = buf_len(out) - line_start;
    do
        buf_put_char(out, ' ');
    while (++used < COMMENT_COLUMN);
    buf_put_cstr(out, "# ");
}

/* The key stands in the environment or in a file; is there one? */
static void put_secret_comment(const struct whole *w, const struct setting *s, struct buf *out)
{
    const char *path = s->option->path;
    if (strcmp(path, "providers.*.key_env") != 0 && strcmp(path, "providers.*.key_file") != 0)
        return;
    const struct provider *p = NULL;
    for (size_t i = 0; i < w->snapshot.n_providers; i++) {
        if (strcmp(w->snapshot.providers[i].name, s->name) == 0)
            p = &w->snapshot.providers[i];
    }
    buf_put_cstr(out, p != NULL && p->key != NULL ? "; holds ***" : "; no key");
}

static void print_setting(const struct whole *w, const struct setting *s, size_t depth, strv key,
                          struct buf *out)
{
    size_t start = buf_len(out);
    indent(out, depth);
    put_key(out, key);
    buf_put_char(out, ' ');
    option_print_value(s->option, &s->value, out);
    put_comment(out, start);
    origin_print(&s->origin, out);
    if (s->instead_of.from != FROM_DEFAULT) {
        buf_put_cstr(out, " (instead of ");
        origin_print(&s->instead_of, out);
        buf_put_char(out, ')');
    }
    put_secret_comment(w, s, out);
    buf_put_char(out, '\n');
}

/* "spawn.model" below "providers.*." */
static strv last_segment(const char *path)
{
    const char *dot = strrchr(path, '.');
    return strv_of(dot != NULL ? dot + 1 : path);
}

static bool below(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

/* "spawn" of "providers.*.spawn.model"; STRV_NONE where nothing stands between. */
static strv inner_section(const char *path)
{
    const char *star = strstr(path, "*.");
    strv rest = strv_of(star != NULL ? star + 2 : path), section = STRV_NONE;
    return star != NULL && strv_cut(&rest, '.', &section) && rest.ptr != NULL ? section : STRV_NONE;
}

/* The options below `prefix` ("providers.*.") that have a value for this name. */
static void print_member(const struct whole *w, const char *prefix, const char *name,
                         const char *left_out, struct buf *out)
{
    strv open = STRV_NONE;
    size_t start = buf_len(out);
    indent(out, 1);
    put_key(out, strv_of(name));
    if (left_out != NULL) {
        put_comment(out, start);
        buf_printf(out, "left out: %s", left_out);
    }
    buf_put_char(out, '\n');
    for (size_t i = 0; i < options_count; i++) {
        const struct option *o = &options[i];
        const struct setting *s = below(o->path, prefix) ? setting_find(w, o, name) : NULL;
        if (s == NULL)
            continue;
        strv inner = inner_section(o->path);
        if (inner.ptr != NULL && !strv_eq(inner, open))
            buf_printf(out, "    " STRV_FMT ":\n", STRV_ARG(inner));
        open = inner;
        print_setting(w, s, inner.ptr != NULL ? 3 : 2, last_segment(o->path), out);
    }
}

static void print_providers(const struct whole *w, struct buf *out)
{
    buf_put_cstr(out, "providers:\n");
    for (const struct instance *p = w->instances; p != NULL; p = p->next)
        print_member(w, "providers.*.", p->name, p->left_out, out);
}

static void print_servers(const struct whole *w, struct buf *out)
{
    bool begun = false;
    for (const struct setting *s = w->settings; s != NULL; s = s->next) {
        if (!server_is_first(w, s))
            continue;
        if (!begun)
            buf_put_cstr(out, "mcp_servers:\n");
        begun = true;
        print_member(w, "mcp_servers.*.", s->name, NULL, out);
    }
}

/* roles, routes, aliases: the names are the operator's. */
static void print_named(const struct whole *w, const struct option *o, struct buf *out)
{
    bool begun = false;
    for (const struct setting *s = w->settings; s != NULL; s = s->next) {
        if (s->option != o)
            continue;
        if (!begun)
            buf_printf(out, "%.*s:\n", (int)(strlen(o->path) - 2), o->path);
        begun = true;
        print_setting(w, s, 1, strv_of(s->name), out);
    }
}

/* "server:" before the first of its options. */
static void print_plain(const struct whole *w, const struct option *o, const char **section,
                        struct buf *out)
{
    const struct setting *s = setting_find(w, o, NULL);
    const char *dot = strchr(o->path, '.');
    if (s == NULL)
        return;
    if (dot != NULL && (*section == NULL || !below(*section, o->path) ||
                        strncmp(*section, o->path, (size_t)(dot - o->path) + 1) != 0)) {
        if (*section == NULL || strncmp(*section, o->path, (size_t)(dot - o->path) + 1) != 0)
            buf_printf(out, "%.*s:\n", (int)(dot - o->path), o->path);
        *section = o->path;
    }
    print_setting(w, s, dot != NULL ? 1 : 0, last_segment(o->path), out);
}

bool config_print(const struct config *c, struct buf *out)
{
    const struct whole *w = whole_of(c);
    const char *section = NULL;
    bool providers = false, servers = false;

    buf_printf(out, "# llm-router %s: the effective configuration\n", LLM_ROUTER_VERSION);
    if (c->path != NULL) {
        buf_put_cstr(out, "# file: ");
        json_put_str(out, strv_of(c->path));
        buf_put_char(out, '\n');
    } else {
        buf_put_cstr(out, "# no file\n");
    }
    for (size_t i = 0; i < options_count; i++) {
        const struct option *o = &options[i];
        if (below(o->path, "providers.")) {
            if (!providers)
                print_providers(w, out);
            providers = true;
        } else if (below(o->path, "mcp_servers.")) {
            if (!servers)
                print_servers(w, out);
            servers = true;
        } else if (strchr(o->path, '*') != NULL) {
            print_named(w, o, out);
        } else {
            print_plain(w, o, &section, out);
        }
    }
    return !out->failed;
}

/* ---- the table as text ---- */

/* Words wrapped into lines of at most `width` characters, each behind `prefix`. */
static void put_wrapped(struct buf *out, const char *prefix, const char *text, size_t width)
{
    strv rest = strv_of(text), word;
    size_t used = 0;
    while (strv_cut(&rest, ' ', &word)) {
        if (used != 0 && used + 1 + word.len > width) {
            buf_put_char(out, '\n');
            used = 0;
        }
        if (used == 0)
            buf_put_cstr(out, prefix);
        else
            buf_put_char(out, ' ');
        buf_put_strv(out, word);
        used += (used != 0) + word.len;
    }
    buf_put_char(out, '\n');
}

/* "a whole number from 0 to 256; needs a restart" */
static void put_facts(const struct option *o, struct buf *out)
{
    char expected[200];
    option_expected(o, expected, sizeof expected);
    if (o->type == OPT_LIST)
        buf_put_cstr(out, "list of: ");
    buf_put_cstr(out, expected);
    if (o->flags & RESTART)
        buf_put_cstr(out, "; a change needs a restart");
}

/* Default, or example where there is none, as it stands in a file. */
static void put_initial(const struct option *o, struct buf *out)
{
    const char *text = o->initial != NULL ? o->initial : o->example;
    bool quote = o->type == OPT_TEXT || o->type == OPT_LIST;
    if (text == NULL)
        text = option_kind_default(o, PROVIDER_ANTHROPIC);
    if (o->type == OPT_LIST)
        buf_put_cstr(out, "[ ");
    if (quote)
        json_put_str(out, strv_of(text));
    else
        buf_put_cstr(out, text);
    if (o->type == OPT_LIST)
        buf_put_cstr(out, " ]");
}

/* ---- the sample ---- */

static const char *const kind_names[] = {"openai", "ollama", "anthropic", "llama-server"};

/* Names that stand for the star in the sample. */
static const char *sample_name(const struct option *o)
{
    if (below(o->path, "roles."))
        return "fast";
    if (below(o->path, "routes."))
        return "simple_query";
    return "\"claude-*\"";
}

static void sample_option(const struct option *o, size_t depth, struct buf *out)
{
    char prefix[16];
    struct buf facts;
    size_t pad = depth * 2;

    snprintf(prefix, sizeof prefix, "%*s# ", (int)pad, "");
    put_wrapped(out, prefix, o->doc, 96 - pad);
    buf_init(&facts, 1024);
    put_facts(o, &facts);
    buf_put_char(&facts, '\0');
    if (!facts.failed)
        put_wrapped(out, prefix, buf_view(&facts).ptr, 96 - pad);
    out->failed |= facts.failed;
    buf_fini(&facts);
    if (o->kinds != (1u << PROVIDER_KINDS) - 1) {
        buf_put_cstr(out, prefix);
        buf_put_cstr(out, "only for kind");
        for (unsigned k = 0, n = 0; k < PROVIDER_KINDS; k++)
            if (o->kinds & 1u << k)
                buf_printf(out, "%s %s", n++ != 0 ? "," : "", kind_names[k]);
        buf_put_char(out, '\n');
    }
    bool live = strcmp(o->path, "providers.*.kind") == 0 || strcmp(o->path, "providers.*.url") == 0;
    buf_printf(out, "%*s%s", (int)pad, "", live ? "" : "#");
    if (strchr(o->path, '*') != NULL && !below(o->path, "providers.") &&
        !below(o->path, "mcp_servers."))
        buf_put_cstr(out, sample_name(o));
    else
        buf_put_strv(out, last_segment(o->path));
    buf_put_cstr(out, ": ");
    put_initial(o, out);
    buf_put_cstr(out, "\n\n");
}

/* The headers of the sections that open at this row: "providers:", "  ollama:", "    #spawn:". */
static size_t sample_sections(const struct option *o, strv *open, struct buf *out)
{
    const char *dot = strchr(o->path, '.');
    if (dot == NULL) {
        *open = STRV_NONE;
        return 0;
    }
    strv section = {o->path, (size_t)(dot - o->path)};
    bool provider = strv_eq_cstr(section, "providers");
    bool server = strv_eq_cstr(section, "mcp_servers");
    bool same = open->ptr != NULL && strv_starts(*open, section) &&
                (open->len == section.len || open->ptr[section.len] == '.');
    if (!same) {
        buf_printf(out, "%s" STRV_FMT ":\n", provider ? "" : "#", STRV_ARG(section));
        if (provider)
            buf_put_cstr(out, "  ollama:\n");
        if (server)
            buf_put_cstr(out, "  #scheduler:\n");
        *open = section;
    }
    if (!provider && !server)
        return 1;
    strv inner = inner_section(o->path);
    if (inner.ptr != NULL && open->len == section.len) {
        buf_printf(out, "    #" STRV_FMT ":\n", STRV_ARG(inner));
        *open = (strv){o->path, section.len + 1};
    }
    return inner.ptr != NULL ? 3 : 2;
}

bool config_sample(struct buf *out)
{
    strv open = STRV_NONE;
    buf_put_cstr(out, "# llm-router.yaml: every option. A line that begins with # and no blank is "
                      "switched off and shows "
                      "the default,\n# or an example where there is none.\n\n");
    for (size_t i = 0; i < options_count; i++) {
        size_t depth = sample_sections(&options[i], &open, out);
        sample_option(&options[i], depth, out);
    }
    return !out->failed;
}

/* ---- the manual ---- */

/* Text of a man page: no line may begin with a dot or an apostrophe, a hyphen is a minus. */
void manual_text(struct buf *out, strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool first = i == 0 || text.ptr[i - 1] == '\n';
        if (first && (c == '.' || c == '\''))
            buf_put_cstr(out, "\\&");
        if (c == '\\')
            buf_put_cstr(out, "\\e");
        else if (c == '-')
            buf_put_cstr(out, "\\-");
        else
            buf_put_char(out, c);
    }
}

static void manual_option(const struct option *o, struct buf *out)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_put_cstr(&text, o->doc);
    buf_put_cstr(&text, "\nValue: ");
    put_facts(o, &text);
    buf_put_cstr(&text, ".");
    if (o->initial != NULL) {
        buf_put_cstr(&text, "\nDefault: ");
        put_initial(o, &text);
        for (int k = 0; k < PROVIDER_KINDS; k++) {
            const char *other = option_kind_default(o, (enum provider_kind)k);
            if (other != NULL)
                buf_printf(&text, "; for %s %s", kind_names[k], other);
        }
        buf_put_char(&text, '.');
    }
    buf_put_cstr(out, ".TP\n.B ");
    manual_text(out, strv_of(o->path));
    buf_put_char(out, '\n');
    manual_text(out, buf_view(&text));
    buf_put_char(out, '\n');
    out->failed |= text.failed;
    buf_fini(&text);
}

bool config_manual(struct buf *out)
{
    for (size_t i = 0; i < options_count; i++)
        manual_option(&options[i], out);
    return !out->failed;
}

/* ---- reload ---- */

static bool changed(const struct setting *s, const struct whole *other)
{
    const struct setting *o = setting_find(other, s->option, s->name);
    return o == NULL || !value_equal(s->option, &s->value, &o->value);
}

/* Settings of `a` that differ in or are missing from `b` (only the missing ones if `gone`). */
static bool collect(const struct whole *a, const struct whole *b, bool gone, struct arena *arena,
                    const char **names, size_t *n)
{
    for (const struct setting *s = a->settings; s != NULL; s = s->next) {
        char path[280];
        if ((s->option->flags & RESTART) == 0 || !changed(s, b) ||
            (gone && setting_find(b, s->option, s->name) != NULL))
            continue;
        setting_path(s->option, s->name, path, sizeof path);
        if ((names[*n] = arena_cstr(arena, strv_of(path))) == NULL)
            return false;
        ++*n;
    }
    return true;
}

const char *const *config_needs_restart(const struct config *before, const struct config *now)
{
    const struct whole *a = whole_of(before), *b = whole_of(now);
    struct arena *arena = &now->snapshot->arena;
    const char **names = ARENA_ARRAY(arena, const char *, a->n_settings + b->n_settings + 1);
    size_t n = 0;
    if (names == NULL || !collect(b, a, false, arena, names, &n) ||
        !collect(a, b, true, arena, names, &n))
        return NULL;
    return names;
}
