/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue - made anew from all servers' lists whenever one of them changes; pure.
 *
 * Each entry is judged alone. What is wrong with a tool (its name, its schema, the operator's word) stands in
 * `refused`, and the tool stays visible with it; an entry that is no tool at all is left out, as is a server's whole
 * list if it gave none, and the others never notice.
 */
#include <openssl/sha.h>
#include <stdio.h>

#include "mcp/catalogue_int.h"
#include "mcp/client_int.h"

#define ID_MAX          (MCP_NAME_MAX - 1)
#define HASH_DIGITS     8
#define TOOL_NAME_MAX   128 /* as the standard has it */
#define DESCRIPTION_MAX ((size_t)32 << 10)
#define TITLE_MAX       200
#define SCHEMA_MAX      ((size_t)256 << 10)
#define BYTES_MAX       ((size_t)512 << 20)

static const char *const state_names[] = {"starting", "ready", "down", "disabled"};

const char *mcp_state_name(enum mcp_state s)
{
    return state_names[s];
}

/* ---- a tool's rights ---- */

/* What an annotation says for itself; -1 = nothing. Hints of the server: asked only where the operator said nothing. */
static int annotated_effect(yyjson_val *annotations)
{
    yyjson_val *reads = json_get(annotations, "readOnlyHint"),
               *destroys = json_get(annotations, "destructiveHint"),
               *open = json_get(annotations, "openWorldHint");

    if (yyjson_is_true(open))
        return MCP_EXTERNAL;
    if (yyjson_is_true(reads))
        return MCP_READ;
    if (yyjson_is_true(destroys) || (yyjson_is_false(reads) && destroys == NULL))
        return MCP_DESTRUCTIVE;
    if (yyjson_is_false(reads) || yyjson_is_false(destroys))
        return MCP_WRITE;
    return -1;
}

static int find_word(strv word, const char *(*name)(int), int n)
{
    for (int i = 0; i < n && word.len > 0; i++)
        if (strv_eq_cstr(word, name(i)))
            return i;
    return -1;
}

static const char *effect_word(int i)
{
    return mcp_effect_name((enum mcp_effect)i);
}

static const char *data_word(int i)
{
    return mcp_data_name((enum mcp_data)i);
}

static const char *approval_word(int i)
{
    return mcp_approval_name((enum mcp_approval)i);
}

/* The operator's rules, then the overlay. */
static struct mcp_rule operators_word(const struct mcp_server_conf *conf, strv name,
                                      yyjson_val *note)
{
    struct mcp_rule said = {.effect = -1, .data = -1, .approval = -1};

    for (size_t i = 0; i < conf->n_rules; i++) {
        const struct mcp_rule *r = &conf->rules[i];

        if (!strv_glob(strv_of(r->pattern), name))
            continue;
        said.effect = said.effect < 0 ? r->effect : said.effect;
        said.data = said.data < 0 ? r->data : said.data;
        said.approval = said.approval < 0 ? r->approval : said.approval;
    }
    if (said.effect < 0)
        said.effect = find_word(json_get_str(note, "effect"), effect_word, MCP_EFFECTS);
    if (said.data < 0)
        said.data = find_word(json_get_str(note, "data"), data_word, MCP_DATAS);
    if (said.approval < 0)
        said.approval = find_word(json_get_str(note, "approval"), approval_word, MCP_APPROVALS);
    return said;
}

static void set_rights(struct mcp_tool *t, const struct mcp_server_conf *conf, yyjson_val *entry,
                       yyjson_val *note)
{
    static const enum mcp_approval by_effect[MCP_EFFECTS] = {
        [MCP_READ] = MCP_AUTO,
        [MCP_WRITE] = MCP_ASK,
        [MCP_DESTRUCTIVE] = MCP_ASK_ALWAYS,
        [MCP_EXTERNAL] = MCP_ASK_ALWAYS,
    };
    struct mcp_rule said = operators_word(conf, t->name, note);
    int effect = said.effect >= 0 ? said.effect : annotated_effect(json_get(entry, "annotations"));

    t->effect = effect >= 0 ? (enum mcp_effect)effect : MCP_DESTRUCTIVE;
    t->data = said.data >= 0 ? (enum mcp_data)said.data : MCP_DATA_HEALTH;
    t->approval = said.approval >= 0 ? (enum mcp_approval)said.approval : by_effect[t->effect];
}

static bool fits_any(const char *const *patterns, strv name)
{
    for (; patterns != NULL && *patterns != NULL; patterns++)
        if (strv_glob(strv_of(*patterns), name))
            return true;
    return false;
}

/* ---- a tool's names ---- */

static void put_hash(char *out, const struct mcp_tool *t, unsigned salt)
{
    char whole[300];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int n = snprintf(whole, sizeof whole, "%s/%.*s/%u", t->server->name,
                     t->name.len < 200 ? (int)t->name.len : 200, t->name.ptr, salt);

    SHA256((const unsigned char *)whole, (size_t)n, digest);
    snprintf(out, HASH_DIGITS + 2, "_%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
}

static bool is_taken(const struct mcp_tool *first, const struct mcp_tool *t)
{
    for (; first < t; first++)
        if (strcmp(first->id, t->id) == 0)
            return true;
    return false;
}

/* server__tool, in letters that every API takes; a hash where that is too long, or another tool's already. */
static void set_id(struct mcp_tool *t, const struct mcp_tool *first)
{
    char id[40 + 2 + TOOL_NAME_MAX + 1], hash[HASH_DIGITS + 2];
    int n = snprintf(id, sizeof id, "%.40s__%.*s", t->server->name,
                     t->name.len < TOOL_NAME_MAX ? (int)t->name.len : TOOL_NAME_MAX, t->name.ptr);
    size_t len = (size_t)n;

    for (size_t i = 0; i < len; i++)
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= 'A' && id[i] <= 'Z') ||
              (id[i] >= '0' && id[i] <= '9') || id[i] == '_' || id[i] == '-'))
            id[i] = '_';
    if (len <= ID_MAX) {
        memcpy(t->id, id, len + 1);
        if (!is_taken(first, t))
            return;
    }
    if (len > ID_MAX - HASH_DIGITS - 1)
        len = ID_MAX - HASH_DIGITS - 1;
    for (unsigned salt = 0; salt < 1000; salt++) {
        put_hash(hash, t, salt);
        memcpy(t->id, id, len);
        memcpy(t->id + len, hash, sizeof hash);
        if (!is_taken(first, t))
            return;
    }
}

static bool name_is_sound(strv name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= 0x20 || (unsigned char)name.ptr[i] >= 0x7f)
            return false;
    return name.len <= TOOL_NAME_MAX;
}

/* ---- one tool ---- */

struct making {
    struct mcp_catalogue *c;
    struct arena *scratch; /* of the present entry */
    struct mcp_tool *tools;
    const struct mcp_source *source;
    struct mcp_listed *server;
    struct json overlay; /* root NULL = none */
};

static const char *refusal(struct making *mk, const char *what, const char *why)
{
    const char *text = why[0] != '\0' ? arena_printf(&mk->c->arena, "%s: %s", what, why)
                                      : arena_printf(&mk->c->arena, "%s", what);

    return text != NULL ? text : what;
}

/* The schema as models and callers get it: an object's, in any case. NULL: fine. */
static const char *set_schema(struct making *mk, struct mcp_tool *t, const struct json *doc)
{
    yyjson_val *schema = json_get(doc->root, "inputSchema"), *type = json_get(schema, "type");
    struct err err = ERR_INIT;
    strv raw = STRV("{}");

    t->schema = STRV("{\"type\":\"object\"}");
    if (schema == NULL)
        return NULL;
    if (!yyjson_is_obj(schema) || !json_raw_member(doc, doc->root, "inputSchema", &raw))
        return "its schema is no object";
    if (raw.len > SCHEMA_MAX)
        return "its schema is larger than 256 KiB";
    if (type != NULL && !strv_eq(json_str(type), STRV("object")))
        return "its schema is not that of an object";
    if (!schema_valid(schema, &err)) {
        strv clean = mcp_clean(strv_of(err.text), 200, mk->scratch);

        return refusal(mk, "its schema", clean.ptr != NULL ? clean.ptr : "");
    }
    if (type != NULL)
        t->schema = arena_strv(&mk->c->arena, raw);
    else if (yyjson_obj_size(schema) > 0)
        t->schema = strv_of(arena_printf(&mk->c->arena, "{\"type\":\"object\"," STRV_FMT,
                                         STRV_ARG(strv_from(raw, 1))));
    return NULL;
}

static void put_part(struct buf *b, strv part)
{
    buf_printf(b, "%zu:", part.len);
    buf_put_strv(b, part);
}

/* Whose tool it is: a name that leads to another server after a reload is another one. */
static void put_way(struct buf *b, const struct mcp_server_conf *conf)
{
    const struct http_url *url = &conf->upstream.url;
    const char *const parts[] = {conf->local ? "local" : "cloud", url->tls ? "tls" : "",
                                 url->authority, url->unix_path, conf->path};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        put_part(b, strv_of(parts[i] != NULL ? parts[i] : ""));
    for (size_t i = 0; conf->argv != NULL && conf->argv[i] != NULL; i++)
        put_part(b, strv_of(conf->argv[i]));
}

static bool digest_of(struct mcp_tool *t, const struct mcp_server_conf *conf,
                      const struct json *doc)
{
    strv parts[4] = {t->name, json_get_str(doc->root, "description"), STRV(""), STRV("")};
    struct buf b;
    bool ok;

    json_raw_member(doc, doc->root, "inputSchema", &parts[2]);
    json_raw_member(doc, doc->root, "outputSchema", &parts[3]);
    buf_init(&b, BYTES_MAX);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        put_part(&b, parts[i]);
    put_way(&b, conf);
    ok = !b.failed;
    if (ok)
        SHA256((const unsigned char *)buf_view(&b).ptr, buf_len(&b), t->digest);
    buf_fini(&b);
    return ok;
}

static const char *judge(struct making *mk, const struct mcp_tool *t, yyjson_val *entry,
                         bool listed_before)
{
    const struct mcp_server_conf *conf = mk->source->conf;
    bool open = conf->allow == NULL || conf->allow[0] == NULL;
    struct err err = ERR_INIT;

    if (!name_is_sound(t->name))
        return "its name holds characters that no name may have, or is too long";
    if (listed_before)
        return "the server lists this name twice";
    if (fits_any(conf->deny, t->name))
        return "denied by the configuration";
    if (!open && !fits_any(conf->allow, t->name))
        return "not among those that the configuration allows";
    if (t->approval == MCP_OFF)
        return "switched off by a rule or the overlay";
    if (conf->transport == MCP_HTTP && mk->server->era == MCP_ERA_MODERN &&
        !mcp_marks_sound(json_get(entry, "inputSchema"), NULL, &err))
        return refusal(mk, "its schema", err.text);
    return NULL;
}

static bool was_listed(const struct making *mk, const struct mcp_tool *t)
{
    for (const struct mcp_tool *other = mk->tools; other < t; other++)
        if (other->server == t->server && strv_eq(other->name, t->name))
            return true;
    return false;
}

static void set_note(struct making *mk, struct mcp_tool *t, yyjson_val **note)
{
    yyjson_val *tools = json_get(mk->overlay.root, "tools"), *key, *v;
    size_t i, max;
    strv raw;

    t->note = STRV("");
    if (!yyjson_is_obj(tools))
        return;
    yyjson_obj_foreach(tools, i, max, key, v)
    {
        if (!strv_eq(json_str(key), t->name) || !yyjson_is_obj(v) ||
            !json_raw_value(&mk->overlay, key, &raw))
            continue;
        t->note = arena_strv(&mk->c->arena, raw);
        *note = v;
        return;
    }
}

static bool add_tool(struct making *mk, const struct mcp_entry *e)
{
    struct mcp_tool *t = &mk->tools[mk->c->n_tools];
    struct arena *a = &mk->c->arena;
    struct err err = ERR_INIT;
    yyjson_val *note = NULL;
    struct json doc;
    strv out, title;
    const char *bad;

    if (!json_read(&doc, e->raw, mk->scratch, 0, &err))
        return false; /* it was read before: this is want of memory */
    t->server = mk->server;
    t->name = arena_strv(a, e->name);
    t->raw = arena_strv(a, e->raw);
    title = json_get_str(doc.root, "title");
    if (title.ptr == NULL)
        title = json_get_str(json_get(doc.root, "annotations"), "title");
    t->title = mcp_clean(title, TITLE_MAX, a);
    t->description = mcp_clean(json_get_str(doc.root, "description"), DESCRIPTION_MAX, a);
    t->task_required = e->task_required;
    t->output_schema = STRV("");
    if (yyjson_is_obj(json_get(doc.root, "outputSchema")) &&
        json_raw_member(&doc, doc.root, "outputSchema", &out))
        t->output_schema = arena_strv(a, out);
    bad = set_schema(mk, t, &doc);
    if (a->failed || !digest_of(t, mk->source->conf, &doc))
        return false;
    set_note(mk, t, &note);
    set_rights(t, mk->source->conf, doc.root, note);
    set_id(t, mk->tools);
    t->refused = judge(mk, t, doc.root, was_listed(mk, t));
    if (t->refused == NULL)
        t->refused = bad;
    mk->c->n_tools++;
    return !a->failed;
}

/* ---- one server ---- */

static const char *copy_text(struct arena *a, const char *text)
{
    return text != NULL ? arena_cstr(a, strv_of(text)) : NULL;
}

static const char *why_of(struct making *mk)
{
    const struct mcp_source *s = mk->source;
    const struct mcp_list *tools = s->listing != NULL ? s->listing->lists[MCP_TOOLS] : NULL;

    if (s->why != NULL)
        return copy_text(&mk->c->arena, s->why);
    if (tools == NULL || (tools->why == NULL && tools->bad == 0))
        return NULL;
    if (tools->why != NULL)
        return arena_printf(&mk->c->arena, "its list of tools: %s", tools->why);
    return arena_printf(&mk->c->arena, "%zu entries of its list of tools are none", tools->bad);
}

static void add_server(struct making *mk)
{
    const struct mcp_source *s = mk->source;
    const struct mcp_listing *l = s->listing;
    struct arena *a = &mk->c->arena;

    *mk->server = (struct mcp_listed){
        .name = copy_text(a, s->conf->name),
        .local = s->conf->local,
        .bare_names = s->conf->bare_names,
        .transport = s->conf->transport,
        .state = s->state,
        .why = why_of(mk),
        .era = l != NULL ? l->era : s->era,
        .revision = l != NULL && l->revision != NULL ? l->revision : "",
        .title = l != NULL ? arena_strv(a, l->title) : STRV(""),
        .version = l != NULL ? arena_strv(a, l->version) : STRV(""),
        .instructions = l != NULL ? arena_strv(a, l->instructions) : STRV(""),
        .overlay = s->conf->overlay_text.len > 0 ? arena_strv(a, s->conf->overlay_text) : STRV(""),
        .completions = l != NULL && l->completions,
        .logging = l != NULL && l->logging,
        .subscribe = l != NULL && l->subscribe,
        .restarts = s->restarts,
    };
}

static bool add_tools(struct making *mk)
{
    const struct mcp_list *tools = mk->source->listing->lists[MCP_TOOLS];
    struct arena scratch, overlay;
    struct err err = ERR_INIT;
    bool ok = true;

    arena_init(&scratch, 16384, BYTES_MAX);
    arena_init(&overlay, 16384, BYTES_MAX);
    mk->scratch = &scratch;
    mk->overlay = (struct json){0};
    if (mk->source->conf->overlay_text.len > 0 &&
        !json_read(&mk->overlay, mk->source->conf->overlay_text, &overlay, 0, &err)) {
        mk->overlay.root = NULL; /* the configuration has complained */
        ok = err.code != ERR_CODE_OOM;
    }
    for (size_t i = 0; ok && tools != NULL && i < tools->n; i++) {
        ok = add_tool(mk, &tools->items[i]);
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    arena_fini(&overlay);
    mk->scratch = NULL;
    mk->overlay = (struct json){0};
    return ok;
}

static bool add_items(struct making *mk, enum mcp_list_kind kind, struct mcp_item *items, size_t *n)
{
    const struct mcp_list *list = mk->source->listing->lists[kind];

    for (size_t i = 0; list != NULL && i < list->n; i++)
        items[(*n)++] = (struct mcp_item){.server = mk->server,
                                          .name = arena_strv(&mk->c->arena, list->items[i].name),
                                          .raw = arena_strv(&mk->c->arena, list->items[i].raw)};
    return !mk->c->arena.failed;
}

/* ---- all of them ---- */

static size_t count_of(const struct mcp_source *sources, size_t n, enum mcp_list_kind kind)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const struct mcp_listing *l = sources[i].listing;

        if (l != NULL && l->lists[kind] != NULL)
            sum += l->lists[kind]->n;
    }
    return sum;
}

static bool fill(struct mcp_catalogue *c, const struct mcp_source *sources, size_t n)
{
    struct arena *a = &c->arena;
    struct mcp_listed *servers = ARENA_ARRAY(a, struct mcp_listed, n + 1);
    struct mcp_item *items[MCP_LISTS] = {NULL};
    size_t *counts[MCP_LISTS] = {NULL, &c->n_resources, &c->n_templates, &c->n_prompts};
    struct making mk = {
        .c = c, .tools = ARENA_ARRAY(a, struct mcp_tool, count_of(sources, n, MCP_TOOLS) + 1)};

    for (int k = MCP_RESOURCES; k < MCP_LISTS; k++)
        items[k] = ARENA_ARRAY(a, struct mcp_item, count_of(sources, n, (enum mcp_list_kind)k) + 1);
    if (a->failed)
        return false;
    c->servers = servers;
    c->tools = mk.tools;
    c->resources = items[MCP_RESOURCES];
    c->templates = items[MCP_TEMPLATES];
    c->prompts = items[MCP_PROMPTS];
    for (size_t i = 0; i < n; i++) {
        mk.source = &sources[i];
        mk.server = &servers[c->n_servers++];
        add_server(&mk);
        if (a->failed || (sources[i].listing != NULL && !add_tools(&mk)))
            return false;
        for (int k = MCP_RESOURCES; sources[i].listing != NULL && k < MCP_LISTS; k++)
            if (!add_items(&mk, (enum mcp_list_kind)k, items[k], counts[k]))
                return false;
    }
    return true;
}

struct mcp_catalogue *mcp_catalogue_make(const struct mcp_source *sources, size_t n,
                                         uint64_t version)
{
    struct mcp_catalogue *c = mem_zalloc(sizeof *c);

    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, 16384, BYTES_MAX);
    c->version = version;
    if (!fill(c, sources, n)) {
        mcp_catalogue_unref(c);
        return NULL;
    }
    return c;
}

/* ---- using it ---- */

struct mcp_catalogue *mcp_catalogue_ref(struct mcp_catalogue *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void mcp_catalogue_unref(struct mcp_catalogue *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&c->arena);
    mem_free(c);
}

const struct mcp_tool *mcp_catalogue_tool(const struct mcp_catalogue *c, strv id)
{
    for (size_t i = 0; i < c->n_tools; i++) {
        const struct mcp_tool *t = &c->tools[i];
        size_t n = strlen(t->server->name);

        if (strv_eq_cstr(id, t->id) ||
            (id.len == n + 1 + t->name.len && memcmp(id.ptr, t->server->name, n) == 0 &&
             id.ptr[n] == '/' && memcmp(id.ptr + n + 1, t->name.ptr, t->name.len) == 0))
            return t;
    }
    return NULL;
}

const struct mcp_listed *mcp_catalogue_server(const struct mcp_catalogue *c, strv name)
{
    for (size_t i = 0; i < c->n_servers; i++)
        if (strv_eq_cstr(name, c->servers[i].name))
            return &c->servers[i];
    return NULL;
}
