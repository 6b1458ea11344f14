/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models - the lists of models in every dialect, what each model can do, and which are loaded.
 *
 *   /v1/models /v1/models/ID   OpenAI's, with the extra members of the owner; Anthropic's when the caller is one
 *   /api/tags /api/ps /api/show
 *
 * What a model can do follows from words in its name, so that a test needs no set-up: "qwen-think", "llava-vision",
 * "mini-embed", "old-notools". A name that ends in "-cloud" or has that tag, or stands in "remote", is really
 * elsewhere. Nothing is loaded or unloaded unless a test said what is: until then /api/ps shows all.
 */
#include "standin.h"

#include <stdlib.h>

/* ---- names ---- */

bool next_model(const char **at, struct span *name)
{
    const char *p = *at;
    if (*p == 0)
        return false;
    size_t n = strcspn(p, ",");
    *name = (struct span){p, n};
    *at = p + n + (p[n] == ',');
    return true;
}

static bool list_has(const char *list, const char *model, size_t n)
{
    struct span name;
    while (next_model(&list, &name))
        if (name.n <= n && strncasecmp(name.p, model, name.n) == 0 &&
            (name.n == n || model[name.n] == ':' || model[name.n] == '+'))
            return true;
    return false;
}

bool model_listed(const char *model, size_t n)
{
    return list_has(settings.models, model, n);
}

static bool is_remote(struct span name)
{
    bool tag = name.n > 6 && memcmp(name.p + name.n - 6, "cloud", 5) == 0;
    tag |= name.n > 6 && (memcmp(name.p + name.n - 6, "-cloud", 6) == 0 ||
                          memcmp(name.p + name.n - 6, ":cloud", 6) == 0);
    return tag || list_has(settings.remote, name.p, name.n);
}

static void cut_name(char *out, size_t cap, const char *model)
{
    size_t n = strcspn(model, "+");
    snprintf(out, cap, "%.*s", (int)n, model);
}

void model_add(const char *model)
{
    size_t n = strlen(settings.models);
    if (!model_listed(model, strlen(model)))
        snprintf(settings.models + n, sizeof settings.models - n, "%s%s", n ? "," : "", model);
}

void model_unload(const char *model)
{
    char kept[sizeof settings.loaded] = "", name[256];
    const char *at = settings.loaded;
    size_t n = 0;
    struct span one;
    cut_name(name, sizeof name, model);
    while (next_model(&at, &one))
        if (!(one.n == strlen(name) && strncasecmp(one.p, name, one.n) == 0))
            n += (size_t)snprintf(kept + n, sizeof kept - n, "%s%.*s", n ? "," : "", (int)one.n,
                                  one.p);
    memcpy(settings.loaded, kept, sizeof kept);
}

/* The model goes to the front; what is then too much at the end has to leave. */
bool model_load(const char *model)
{
    char name[256], rest[sizeof settings.loaded];
    cut_name(name, sizeof name, model);
    bool was = list_has(settings.loaded, name, strlen(name));
    model_unload(name);
    memcpy(rest, settings.loaded, sizeof rest);
    snprintf(settings.loaded, sizeof settings.loaded, "%s%s%.3000s", name, rest[0] ? "," : "",
             rest);
    const char *at = settings.loaded;
    struct span one;
    for (int64_t i = 0; settings.loaded_max > 0 && i < settings.loaded_max; i++)
        if (!next_model(&at, &one))
            break;
    if (settings.loaded_max > 0 && *at != 0)
        settings.loaded[at - 1 - settings.loaded] = 0;
    stats.loads += !was;
    return !was;
}

/* ---- abilities ---- */

static bool name_says(struct span name, const char *word)
{
    return span_has(name, word);
}

static bool name_can(struct span name, const char *what)
{
    if (name_says(name, "embed"))
        return strcmp(what, "embedding") == 0;
    if (strcmp(what, "completion") == 0)
        return true;
    if (strcmp(what, "tools") == 0)
        return !name_says(name, "notools");
    if (strcmp(what, "vision") == 0)
        return name_says(name, "vision") || settings.vision;
    return strcmp(what, "thinking") == 0 && name_says(name, "think");
}

static struct span name_of(const struct conn *c)
{
    return (struct span){c->model, strcspn(c->model, "+")};
}

bool model_can(const struct conn *c, const char *what)
{
    const char *caps = knob_text(c->k.caps);
    return caps ? list_has(caps, what, strlen(what)) : name_can(name_of(c), what);
}

bool model_caps_known(const struct conn *c)
{
    struct span name = name_of(c);
    return knob_text(c->k.caps) || name_says(name, "embed") || name_says(name, "notools") ||
           name_says(name, "think") || name_says(name, "vision");
}

static void add_caps(const struct conn *c, struct text *t, struct span name)
{
    static const char *const all[] = {"completion", "tools", "vision", "thinking", "embedding"};
    const char *caps = knob_text(c->k.caps), *comma = "";
    text_lit(t, "\"capabilities\":[");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!(caps ? list_has(caps, all[i], strlen(all[i])) : name_can(name, all[i])))
            continue;
        text_str(t, comma);
        text_lit(t, "\"");
        text_str(t, all[i]);
        text_lit(t, "\"");
        comma = ",";
    }
    text_lit(t, "]");
}

/* ---- OpenAI ---- */

static void add_llama(struct text *t, struct span name)
{
    text_lit(t, ",\"aliases\":[],\"tags\":[],\"architecture\":{\"input_modalities\":[\"text\"");
    if (name_can(name, "vision"))
        text_lit(t, ",\"image\"");
    text_lit(t, "],\"output_modalities\":[\"text\"]},\"owned_by\":\"llamacpp\",\"meta\":{"
                "\"vocab_type\":2,\"n_vocab\":281,\"n_ctx\":");
    text_int(t, settings.n_ctx);
    text_lit(t, ",\"n_ctx_train\":131072,\"n_embd\":64,\"n_params\":100224,\"size\":107428,"
                "\"ftype\":\"Q8_0\"}");
}

static void add_owner(const struct conn *c, struct text *t, struct span name)
{
    switch (c->k.owner) {
    case OWNER_LOCALAI: /* no more than id and object */
        break;
    case OWNER_LLAMACPP:
        text_lit(t, ",\"created\":1795359600");
        add_llama(t, name);
        break;
    case OWNER_VLLM:
        text_lit(t, ",\"created\":1795359600,\"owned_by\":\"vllm\",\"root\":\"");
        text_json(t, name.p, name.n);
        text_lit(t, "\",\"parent\":null,\"max_model_len\":");
        text_int(t, settings.n_ctx);
        break;
    case OWNER_DOCKER:
        text_lit(t, ",\"created\":1795359600,\"owned_by\":\"docker\",\"dmr\":{\"context_window\":");
        text_int(t, settings.n_ctx);
        text_lit(t, ",\"architecture\":\"llama\",\"parameters\":\"3.2B\",\"quantization\":"
                    "\"Q4_K_M\",\"size\":\"2.02GB\"}");
        break;
    default:
        text_str(t, c->k.owner == OWNER_OPENAI
                        ? ",\"created\":1795359600,\"owned_by\":\"openai\""
                        : ",\"created\":1795359600,\"owned_by\":\"standin\"");
    }
}

static void openai_item(const struct conn *c, struct text *t, struct span name)
{
    text_lit(t, "{\"id\":\"");
    text_json(t, name.p, name.n);
    text_lit(t, "\",\"object\":\"model\"");
    add_owner(c, t, name);
    text_lit(t, "}");
}

/* ---- Anthropic ---- */

static void add_support(struct text *t, const char *name, bool yes)
{
    text_lit(t, "\"");
    text_str(t, name);
    text_str(t, yes ? "\":{\"supported\":true}," : "\":{\"supported\":false},");
}

static enum claude claude_named(struct span name)
{
    static const struct {
        const char *part;
        enum claude claude;
    } parts[] = {{"opus-5-5", CLAUDE_5_5}, {"sonnet-5-5", CLAUDE_5_5}, {"-4-8", CLAUDE_4_7},
                 {"-4-7", CLAUDE_4_7},     {"-4-6", CLAUDE_4_6},       {"-4-5", CLAUDE_4_5},
                 {"-5", CLAUDE_4_7}};
    if (!span_begins(name, "claude-"))
        return CLAUDE_ANY;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (span_has(name, parts[i].part))
            return parts[i].claude;
    return CLAUDE_ANY;
}

enum claude claude_of(const struct conn *c)
{
    return c->k.claude != CLAUDE_ANY ? (enum claude)c->k.claude
           : settings.strict         ? claude_named(name_of(c))
                                     : CLAUDE_ANY;
}

/* Only names of Claude have them filled, others are as empty as a gateway leaves them. */
static void add_capabilities(const struct conn *c, struct text *t, struct span name)
{
    enum claude claude = c->k.claude != CLAUDE_ANY ? (enum claude)c->k.claude : claude_named(name);
    if (claude == CLAUDE_ANY)
        return;
    add_support(t, "batch", true);
    add_support(t, "citations", true);
    add_support(t, "image_input", true);
    add_support(t, "pdf_input", true);
    add_support(t, "structured_outputs", true);
    text_lit(t, "\"effort\":{\"supported\":true,");
    add_support(t, "low", true);
    add_support(t, "medium", true);
    add_support(t, "high", true);
    add_support(t, "max", claude != CLAUDE_4_5);
    text_lit(t, "\"xhigh\":null},\"thinking\":{\"supported\":true,\"types\":{");
    add_support(t, "enabled", claude != CLAUDE_5_5);
    add_support(t, "disabled", claude != CLAUDE_5_5);
    add_support(t, "adaptive", claude != CLAUDE_4_5);
    add_support(t, "between_tools", claude == CLAUDE_5_5);
    t->len--;
    text_lit(t, "}}");
}

static void anthropic_item(const struct conn *c, struct text *t, struct span name)
{
    text_lit(t, "{\"type\":\"model\",\"id\":\"");
    text_json(t, name.p, name.n);
    text_lit(t, "\",\"display_name\":\"");
    text_json(t, name.p, name.n);
    text_lit(t, "\",\"created_at\":\"2026-09-28T00:00:00Z\",\"max_input_tokens\":200000,"
                "\"max_tokens\":64000,"
                "\"lifecycle\":\"active\",\"capabilities\":{");
    add_capabilities(c, t, name);
    text_lit(t, "}}");
}

/* The value of a word in the query, or nothing. */
static struct span query_of(const struct request *r, const char *name)
{
    const char *p = r->path.p + r->path.n, *end = r->target.p + r->target.n;
    size_t n = strlen(name);
    while (p < end) {
        const char *stop = memchr(p + 1, '&', (size_t)(end - p - 1));
        if (stop == NULL)
            stop = end;
        if ((size_t)(stop - p) > n + 1 && memcmp(p + 1, name, n) == 0 && p[n + 1] == '=')
            return (struct span){p + n + 2, (size_t)(stop - p) - n - 2};
        p = stop;
    }
    return (struct span){0};
}

static void add_id_or_null(struct text *t, const char *name, struct span id)
{
    text_str(t, name);
    if (id.p) {
        text_lit(t, "\"");
        text_json(t, id.p, id.n);
        text_lit(t, "\"");
    } else {
        text_lit(t, "null");
    }
}

/* In pages, when the caller asks for them: its first and last ids are null otherwise, as they always were. */
static void anthropic_list(const struct conn *c, const struct request *r, struct text *t)
{
    struct span limit = query_of(r, "limit"), after = query_of(r, "after_id"), name;
    struct span first = {0}, last = {0};
    const char *at = settings.models;
    int64_t most = 1000, n = 0;
    bool paged = limit.p || after.p, begun = after.p == NULL, more = false;
    span_int(limit, &most);
    text_lit(t, "{\"data\":[");
    while (next_model(&at, &name)) {
        if (begun && n == most) {
            more = true;
            break;
        }
        if (begun) {
            text_str(t, n++ ? "," : "");
            anthropic_item(c, t, name);
            first = first.p ? first : name;
            last = name;
        }
        begun |= name.n == after.n && memcmp(name.p, after.p, after.n) == 0;
    }
    text_str(t, more ? "],\"has_more\":true" : "],\"has_more\":false");
    add_id_or_null(t, ",\"first_id\":", paged ? first : (struct span){0});
    add_id_or_null(t, ",\"last_id\":", paged ? last : (struct span){0});
    text_lit(t, "}");
}

/* ---- Ollama ---- */

static void add_digest(struct text *t)
{
    text_lit(t, "a80c4f17acd5a80c4f17acd5a80c4f17acd5a80c4f17acd5a80c4f17acd5a80c");
}

static void add_remote(struct text *t, struct span name)
{
    if (!is_remote(name))
        return;
    text_lit(t, ",\"remote_model\":\"");
    text_json(t, name.p, name.n);
    text_lit(t, "\",\"remote_host\":\"https://ollama.com:443\"");
}

static void ollama_item(const struct conn *c, struct text *t, struct span name, bool loaded)
{
    for (int i = 0; i < 2; i++) {
        text_str(t, i ? "\",\"model\":\"" : "{\"name\":\"");
        text_json(t, name.p, name.n);
        if (memchr(name.p, ':', name.n) == NULL)
            text_lit(t, ":latest");
    }
    text_lit(
        t, "\",\"modified_at\":\"2026-05-04T17:37:44.7-07:00\",\"size\":2019393189,\"digest\":\"");
    add_digest(t);
    text_lit(
        t,
        "\",\"details\":{\"parent_model\":\"\","
        "\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\"parameter_size\":\"3."
        "2B\","
        "\"quantization_level\":\"Q4_K_M\",\"context_length\":131072");
    if (name_can(name, "embedding"))
        text_lit(t, ",\"embedding_length\":384");
    text_lit(t, "},");
    add_caps(c, t, name);
    add_remote(t, name);
    if (loaded) {
        text_lit(t, ",\"expires_at\":\"2026-11-22T23:00:00Z\",\"size_vram\":2019393189,"
                    "\"context_length\":");
        text_int(t, settings.n_ctx);
    }
    text_lit(t, "}");
}

static void list(const struct conn *c, struct text *t, const char *before, int kind)
{
    const char *at = kind == 'p' && settings.loaded_known ? settings.loaded : settings.models;
    const char *comma = "";
    struct span name;
    text_str(t, before);
    while (next_model(&at, &name)) {
        text_str(t, comma);
        comma = ",";
        if (kind == 'o')
            openai_item(c, t, name);
        else
            ollama_item(c, t, name, kind == 'p');
    }
    text_lit(t, "]}");
}

/* `demo` and names without a word of their own have the body that they always had. */
static int64_t show(const struct conn *c, const struct request *r, struct text *t)
{
    struct span value = scan_member(r->body, "model");
    char word[256];
    if (value.p == NULL)
        value = scan_member(r->body, "name"); /* older clients */
    size_t n = scan_string(value, word, sizeof word);
    struct span name = {word, n};
    if (settings.strict && !model_listed(word, n)) {
        text_lit(t, "{\"error\":\"model '");
        text_json(t, word, n);
        text_lit(t, "' not found\"}");
        return 404;
    }
    text_lit(t, "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"{{ .Prompt "
                "}}\",\"details\":{\"parent_model\":"
                "\"\",\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],"
                "\"parameter_size\":\"3.2B\","
                "\"quantization_level\":\"Q4_K_M\"},\"model_info\":{\"general.architecture\":"
                "\"llama\","
                "\"llama.context_length\":131072,\"llama.embedding_length\":3072},");
    add_caps(c, t, name);
    add_remote(t, name);
    text_lit(t, ",\"modified_at\":\"2026-05-04T17:37:44.7-07:00\"}");
    return 200;
}

/* ---- */

/* /v1/models/ID: the id raw or percent-encoded, with slashes and colons. */
static int64_t one(const struct conn *c, const struct request *r, struct span id, struct text *t)
{
    char word[256];
    const char *at = settings.models;
    size_t n = 0;
    struct span name;
    for (size_t i = 0; i < id.n && n + 1 < sizeof word; i++) {
        char hex[3] = {0};
        word[n++] = id.p[i];
        if (id.p[i] != '%' || id.n - i < 3)
            continue;
        memcpy(hex, id.p + i + 1, 2);
        word[n - 1] = (char)strtoul(hex, NULL, 16);
        i += 2;
    }
    while (next_model(&at, &name)) {
        if (name.n != n || memcmp(name.p, word, n) != 0)
            continue;
        if (r->anthropic)
            anthropic_item(c, t, name);
        else
            openai_item(c, t, name);
        return 200;
    }
    word[n] = 0;
    dialect_error(r->anthropic ? ANTHROPIC : OPENAI, 404, FORM_DIALECT, "model not found", t);
    return 404;
}

int64_t models_other(const struct conn *c, const struct request *r, struct text *t)
{
    struct span path = r->path;
    if (span_is(r->method, "POST") && span_is(path, "/api/show"))
        return show(c, r, t);
    if (!span_is(r->method, "GET") && !span_is(r->method, "HEAD"))
        return 0;
    const char *item = memmem(path.p, path.n, "/models/", 8);
    if (item && path.p + path.n > item + 8)
        return one(c, r, (struct span){item + 8, (size_t)(path.p + path.n - item) - 8}, t);
    if (path_ends(path, "/models") && r->anthropic)
        anthropic_list(c, r, t);
    else if (path_ends(path, "/models"))
        list(c, t, "{\"object\":\"list\",\"data\":[", 'o');
    else if (span_is(path, "/api/tags"))
        list(c, t, "{\"models\":[", 't');
    else if (span_is(path, "/api/ps"))
        list(c, t, "{\"models\":[", 'p');
    else
        return 0;
    return 200;
}
