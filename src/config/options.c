/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the table of options, and what follows from a row: reading a value, saying what was expected,
 * writing it again.
 *
 * Values are read strictly. A number of the wrong size, a duration without its unit and a word that is
 * nearly right are refused with a text that says what would have been right; nothing is rounded or guessed.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/internal.h"

/* ---- forms ---- */

static bool is_address(strv text);
static bool is_network(strv text);
static bool is_url(strv text);
static bool is_variable(strv text);
static bool is_word(strv text);
static bool is_title(strv text);
static bool is_model(strv text);
static bool is_name(strv text);
static bool is_origin(strv text);
static bool is_host(strv text);
static bool is_engine_arg(strv text);
static bool is_claim(strv text);
static bool is_pattern(strv text);
static bool is_digest(strv text);
static bool is_task_class(strv text);
static bool is_price(strv text);
static bool is_sure(strv text);
static bool is_money(strv text);
static bool is_share(strv text);
static bool is_server(strv text);
static bool is_assignment(strv text);
static bool is_header(strv text);
static bool is_rule(strv text);
static bool is_threshold(strv text);

static const struct option_word mode_words[] = {
    {"local", LLM_MODE_LOCAL}, {"hybrid", LLM_MODE_HYBRID}, {"cloud", LLM_MODE_CLOUD}, {NULL, 0}};
static const struct option_word kind_words[] = {{"openai", PROVIDER_OPENAI},
                                                {"ollama", PROVIDER_OLLAMA},
                                                {"anthropic", PROVIDER_ANTHROPIC},
                                                {"llama-server", PROVIDER_LLAMA_SERVER},
                                                {NULL, 0}};
static const struct option_word transport_words[] = {
    {"stdio", MCP_STDIO}, {"http", MCP_HTTP}, {"sse", MCP_SSE}, {NULL, 0}};
static const struct option_word era_words[] = {
    {"auto", MCP_ERA_UNKNOWN}, {"legacy", MCP_ERA_LEGACY}, {"modern", MCP_ERA_MODERN}, {NULL, 0}};
static const struct option_word zone_words[] = {
    {"local", ZONE_LOCAL}, {"cloud", ZONE_CLOUD}, {NULL, 0}};
/* The synonyms are Python's names, which applications set in LOG_LEVEL. */
static const struct option_word level_words[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN},      {"warning", LOG_WARN},
    {"error", LOG_ERROR}, {"off", LOG_OFF},   {"critical", LOG_ERROR}, {NULL, 0}};

static const struct option_form FORM_THRESHOLD = {"a number from 0 to 1, auto or never",
                                                  is_threshold, NULL};
static const struct option_word audit_words[] = {{"cloud", false}, {"all", true}, {NULL, 0}};

static const struct option_word sandbox_words[] = {
    {"on", SANDBOX_ON}, {"workers", SANDBOX_WORKERS}, {"off", SANDBOX_OFF}, {NULL, 0}};

static const struct option_form FORM_NONE = {NULL, NULL, NULL};
static const struct option_form FORM_MODE = {NULL, NULL, mode_words};
static const struct option_form FORM_KIND = {NULL, NULL, kind_words};
static const struct option_form FORM_ZONE = {NULL, NULL, zone_words};
static const struct option_form FORM_TRANSPORT = {NULL, NULL, transport_words};
static const struct option_form FORM_ERA = {NULL, NULL, era_words};
static const struct option_form FORM_LEVEL = {NULL, NULL, level_words};
static const struct option_form FORM_AUDIT = {NULL, NULL, audit_words};
static const struct option_form FORM_SANDBOX = {NULL, NULL, sandbox_words};
static const struct option_form FORM_PATH = {"a path", NULL, NULL};
static const struct option_form FORM_SERVER = {"words of libpq", NULL, NULL};
static const struct option_form FORM_ADDRESS = {
    "an address such as 127.0.0.1:8484, [::1]:8484, tls:0.0.0.0:8443 or "
    "unix:/run/llm-router.sock",
    is_address, NULL};
static const struct option_form FORM_NETWORK = {"a network such as 10.0.0.0/24 or fd00::/8, not "
                                                "link-local, with a prefix of at least 8 (IPv6: 7)",
                                                is_network, NULL};
static const struct option_form FORM_URL = {
    "an address such as http://127.0.0.1:11434, without user, password, query or fragment", is_url,
    NULL};
static const struct option_form FORM_VARIABLE = {
    "the name of an environment variable (not the key itself)", is_variable, NULL};
static const struct option_form FORM_WORD = {"a word of letters, digits, dots, - and _", is_word,
                                             NULL};
static const struct option_form FORM_TITLE = {
    "a name of at most 63 letters, digits, - and _, other than \"auto\"", is_title, NULL};
static const struct option_form FORM_MODEL = {"a name without blanks", is_model, NULL};
static const struct option_form FORM_CLAIM = {
    "pattern=words, such as llava*=vision -tools context:8192", is_claim, NULL};
static const struct option_form FORM_PRICE = {
    "in= and out= in dollars, such as in=2 out=10 read=0.20 from=2026-10-07", is_price, NULL};
static const struct option_form FORM_SURE = {"mark= or escalate= and a number from 0 to 1", is_sure,
                                             NULL};
static const struct option_form FORM_MONEY = {"dollars, such as 50 or 12.50", is_money, NULL};
static const struct option_form FORM_SHARE = {"a share, such as 80% or 0.8", is_share, NULL};
static const struct option_form FORM_NAME = {"a role, a model, provider/model or provider/",
                                             is_name, NULL};
static const struct option_form FORM_ORIGIN = {
    "scheme://host or scheme://host:port (\"*\" and \"null\" are not accepted)", is_origin, NULL};
static const struct option_form FORM_HOST = {"a host name, with or without a port", is_host, NULL};
static const struct option_form FORM_ENGINE_ARG = {
    "an argument that the router does not give itself (model, alias, address, key) and that "
    "downloads "
    "nothing",
    is_engine_arg, NULL};
static const struct option_form FORM_TASK = {"a task class", is_task_class, NULL};
static const struct option_form FORM_PATTERN = {"name=regular expression", is_pattern, NULL};
static const struct option_form FORM_DIGEST = {"the 64 hexadecimal digits of a SHA-256 digest",
                                               is_digest, NULL};

static const struct option_form FORM_ARGUMENT = {"a program and its arguments", NULL, NULL};
static const struct option_form FORM_ASSIGNMENT = {"NAME=value or NAME", is_assignment, NULL};
static const struct option_form FORM_HEADER = {"Name=VARIABLE", is_header, NULL};
static const struct option_form FORM_RULE = {"name=words, such as get_*=read,none,auto", is_rule,
                                             NULL};

/* ---- the table ---- */

#define KIND(k)      (1u << PROVIDER_##k)
#define KINDS_REMOTE (KIND(OPENAI) | KIND(OLLAMA) | KIND(ANTHROPIC))
#define KINDS_ALL    (KINDS_REMOTE | KIND(LLAMA_SERVER))

#define NOWHERE                                                                                    \
    {                                                                                              \
        IN_NOTHING, 0, 0                                                                           \
    }
#define CONFIG(field)                                                                              \
    {                                                                                              \
        IN_CONFIG, offsetof(struct config, field), sizeof(((struct config *)0)->field)             \
    }
#define SNAPSHOT(field)                                                                            \
    {                                                                                              \
        IN_SNAPSHOT, offsetof(struct snapshot, field), sizeof(((struct snapshot *)0)->field)       \
    }
#define PROVIDER(field)                                                                            \
    {                                                                                              \
        IN_PROVIDER, offsetof(struct provider, field), sizeof(((struct provider *)0)->field)       \
    }

const struct option options[] = {
#define OPTION(path, type, place, min, max, initial, example, form, kinds, flags, doc)             \
    {path, OPT_##type, place, min, max, initial, example, &form, kinds, flags, doc},
#include "config/options.def"
#undef OPTION
};
const size_t options_count = sizeof options / sizeof *options;

/* Where a kind needs another default than the row's. */
static const struct {
    enum provider_kind kind;
    const char *path, *text;
} kind_defaults[] = {
    /* No head before the model is loaded and the request's turn has come: it waits as long as loading
     * may take. One call at a time: Ollama's own default (OLLAMA_NUM_PARALLEL). */
    {PROVIDER_OLLAMA, "providers.*.head", "300s"},
    {PROVIDER_OLLAMA, "providers.*.concurrency", "1"},
    {PROVIDER_OLLAMA, "providers.*.pool_idle", "60s"}, /* it never closes an idle connection */
    /* It notices a caller who left only between the events of a stream. */
    {PROVIDER_LLAMA_SERVER, "providers.*.stream_always", "true"},
    {PROVIDER_ANTHROPIC, "providers.*.url", "https://api.anthropic.com"},
    {PROVIDER_ANTHROPIC, "providers.*.anthropic_version", "2023-06-01"},
    {PROVIDER_ANTHROPIC, "providers.*.max_tokens", "4096"}, /* its interface demands a value */
    {PROVIDER_ANTHROPIC, "providers.*.connect", "10s"},
    {PROVIDER_ANTHROPIC, "providers.*.head", "60s"},
    {PROVIDER_ANTHROPIC, "providers.*.first_token", "60s"},
    {PROVIDER_ANTHROPIC, "providers.*.cold_first_token", "60s"},
    {PROVIDER_ANTHROPIC, "providers.*.pool_idle", "60s"},
};

const char *option_kind_default(const struct option *o, enum provider_kind kind)
{
    for (size_t i = 0; i < sizeof kind_defaults / sizeof *kind_defaults; i++) {
        if (kind_defaults[i].kind == kind && strcmp(kind_defaults[i].path, o->path) == 0)
            return kind_defaults[i].text;
    }
    return NULL;
}

/* ---- looking up ---- */

const struct option *option_row(const char *path)
{
    for (size_t i = 0; i < options_count; i++) {
        if (strcmp(options[i].path, path) == 0)
            return &options[i];
    }
    return NULL;
}

/* Does `path` fit the row? The star takes one segment, or all that is left if the row ends with it: names
 * of models have dots. */
static bool row_fits(const char *row, strv path, strv *name)
{
    const char *star = strchr(row, '*');
    *name = STRV_NONE;
    if (star == NULL)
        return strv_eq_cstr(path, row);
    strv head = {row, (size_t)(star - row)};
    strv tail = strv_of(star + 1);
    if (!strv_starts(path, head) || !strv_ends(path, tail) || path.len <= head.len + tail.len)
        return false;
    *name = (strv){path.ptr + head.len, path.len - head.len - tail.len};
    return tail.len == 0 || memchr(name->ptr, '.', name->len) == NULL;
}

const struct option *option_find(strv path, strv *name)
{
    for (size_t i = 0; i < options_count; i++) {
        if (row_fits(options[i].path, path, name))
            return &options[i];
    }
    return NULL;
}

bool option_is_section(strv path)
{
    for (size_t i = 0; i < options_count; i++) {
        strv row = strv_of(options[i].path);
        if (row.len > path.len && strv_starts(row, path) &&
            (path.len == 0 || row.ptr[path.len] == '.'))
            return true;
    }
    return false;
}

/* The segment of `row` that stands below `path`, or STRV_NONE. */
static strv segment_below(const char *row, strv path)
{
    strv rest = strv_of(row), segment;
    if (path.len != 0) {
        if (!strv_starts(rest, path) || rest.len <= path.len || rest.ptr[path.len] != '.')
            return STRV_NONE;
        rest = strv_from(rest, path.len + 1);
    }
    return strv_cut(&rest, '.', &segment) ? segment : STRV_NONE;
}

bool option_name_ok(strv path, strv name, char why[OPTION_WHY_MAX])
{
    if (strv_eq_cstr(path, "aliases") || strv_eq_cstr(path, "prices") ||
        strv_eq_cstr(path, "confidence")) {
        snprintf(why, OPTION_WHY_MAX,
                 "a model's name or pattern of at most 200 characters, without blanks");
        return name.len <= 200 && is_model(name);
    }
    if (strv_eq_cstr(path, "mcp_servers")) {
        snprintf(why, OPTION_WHY_MAX,
                 "a name of at most 31 small letters, digits and -, beginning with no -");
        return is_server(name);
    }
    if (strv_eq_cstr(path, "routes")) {
        size_t at = (size_t)snprintf(why, OPTION_WHY_MAX, "one of");
        for (size_t i = 0; policy_tasks[i] != NULL; i++) {
            if (strv_eq_cstr(name, policy_tasks[i]))
                return true;
            if (at < OPTION_WHY_MAX)
                at += (size_t)snprintf(why + at, OPTION_WHY_MAX - at, "%s %s", i != 0 ? "," : "",
                                       policy_tasks[i]);
        }
        return false;
    }
    snprintf(why, OPTION_WHY_MAX, "%s", FORM_TITLE.expected);
    return is_title(name);
}

/* Edit distance, given up above `limit`. */
static size_t distance(strv a, strv b, size_t limit)
{
    size_t row[64];
    if (a.len >= 64 || b.len >= 64 || (a.len > b.len ? a.len - b.len : b.len - a.len) > limit)
        return limit + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            int ca = tolower((unsigned char)a.ptr[i - 1]),
                cb = tolower((unsigned char)b.ptr[j - 1]);
            size_t best = diagonal + (ca != cb);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.len];
}

void option_hint(strv path, strv key, char *out, size_t size)
{
    size_t limit = key.len < 4 ? 1 : key.len / 3 + 1, best = limit + 1, at = 0;
    strv nearest = STRV_NONE, last = STRV_NONE;

    for (size_t i = 0; i < options_count; i++) {
        strv segment = segment_below(options[i].path, path);
        size_t d = segment.ptr != NULL ? distance(key, segment, limit) : limit + 1;
        if (d < best) {
            best = d;
            nearest = segment;
        }
    }
    if (nearest.ptr != NULL) {
        snprintf(out, size, "did you mean \"" STRV_FMT "\"?", STRV_ARG(nearest));
        return;
    }
    at = (size_t)snprintf(out, size, "known here:");
    for (size_t i = 0; i < options_count; i++) {
        strv segment = segment_below(options[i].path, path);
        if (segment.ptr == NULL || strv_eq(segment, last))
            continue;
        if (at + segment.len + sizeof ", , ..." > size) {
            snprintf(out + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(out + at, size - at, "%s " STRV_FMT, last.ptr != NULL ? "," : "",
                               STRV_ARG(segment));
        last = segment;
    }
}

/* ---- reading values ---- */

struct unit {
    const char *name;
    uint64_t factor;
};
/* From the largest to the smallest: printing takes the first that leaves no remainder. */
static const struct unit time_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {
    {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {"B", 1}};
#define UNITS 4

static const struct unit *units_of(const struct option *o)
{
    return o->type == OPT_MS ? time_units : size_units;
}

/* The largest unit that leaves no remainder. */
static size_t print_units(const struct unit units[UNITS], uint64_t v, char *out, size_t size)
{
    size_t i = 0;
    if (v == 0)
        return (size_t)snprintf(out, size, "0");
    while (v % units[i].factor != 0)
        i++;
    return (size_t)snprintf(out, size, "%llu%s", (unsigned long long)(v / units[i].factor),
                            units[i].name);
}

static void print_number(const struct option *o, uint64_t v, char *out, size_t size)
{
    if (o->type == OPT_INT)
        snprintf(out, size, "%llu", (unsigned long long)v);
    else
        print_units(units_of(o), v, out, size);
}

/* "1.5s": digits, perhaps a fraction, a unit. Nothing is nothing in any. */
static bool parse_units(const struct unit units[UNITS], strv text, uint64_t *out)
{
    size_t digits = 0;
    double number;

    *out = 0;
    if (strv_eq(text, STRV("0")))
        return true;
    while (digits < text.len &&
           (isdigit((unsigned char)text.ptr[digits]) || text.ptr[digits] == '.'))
        digits++;
    strv unit = strv_trim(strv_from(text, digits));
    if (digits == 0 || !strv_double((strv){text.ptr, digits}, &number) || number < 0)
        return false;
    for (size_t i = 0; i < UNITS; i++) {
        if (!strv_eq_cstr(unit, units[i].name))
            continue;
        number *= (double)units[i].factor;
        if (number > 1e15 || number != (double)(uint64_t)number)
            return false; /* half a millisecond, half a byte */
        *out = (uint64_t)number;
        return true;
    }
    return false;
}

bool option_share(strv text, int64_t *percent)
{
    int64_t micro;
    bool sign = strv_ends(text, STRV("%"));
    if (sign)
        text.len--;
    int64_t one = sign ? 1000000 : 10000; /* micro of a percent */
    if (!ledger_money_parse(text, one * 100, &micro) || micro % one != 0 || micro == 0)
        return false;
    *percent = micro / one;
    return true;
}

bool option_bool(strv text, bool *out)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        for (int v = 0; v < 2; v++) {
            if (strv_eq_nocase(text, strv_of(words[i][v]))) {
                *out = v == 1;
                return true;
            }
        }
    }
    return false;
}

static bool parse_word(const struct option *o, strv text, uint64_t *out)
{
    for (const struct option_word *w = o->form->words; w->text != NULL; w++) {
        if (strv_eq_nocase(text, strv_of(w->text))) {
            *out = (uint64_t)w->value;
            return true;
        }
    }
    return false;
}

static bool is_synonym(const struct option_word *words, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (words[i].value == words[at].value)
            return true;
    }
    return false;
}

void option_expected(const struct option *o, char *out, size_t size)
{
    char low[32], high[32];
    print_number(o, o->min, low, sizeof low);
    print_number(o, o->max, high, sizeof high);
    switch (o->type) {
    case OPT_BOOL:
        snprintf(out, size, "true or false");
        break;
    case OPT_INT:
        snprintf(out, size, "a whole number from %s to %s", low, high);
        break;
    case OPT_MS:
        snprintf(out, size, "a duration with its unit (500ms, 30s, 5m, 1h) from %s to %s", low,
                 high);
        break;
    case OPT_BYTES:
        snprintf(out, size, "a size with its unit (64KiB, 32MiB) from %s to %s", low, high);
        break;
    case OPT_WORD: {
        size_t at = (size_t)snprintf(out, size, "one of");
        const struct option_word *words = o->form->words;
        for (size_t i = 0; words[i].text != NULL && at < size; i++) {
            if (!is_synonym(words, i))
                at += (size_t)snprintf(out + at, size - at, "%s %s", i != 0 ? "," : "",
                                       words[i].text);
        }
        break;
    }
    case OPT_TEXT:
    case OPT_LIST:
        snprintf(out, size, "%s", o->form->expected != NULL ? o->form->expected : "a text");
        break;
    }
}

/* Always false. The value at fault is quoted only if it cannot be a secret, and cut. */
static bool refuse(const struct option *o, strv text, char why[OPTION_WHY_MAX])
{
    char expected[160];
    option_expected(o, expected, sizeof expected);
    text = utf8_cut(text, 32);
    if (o->flags & HUSH)
        snprintf(why, OPTION_WHY_MAX, "expected %s", expected);
    else
        snprintf(why, OPTION_WHY_MAX, "expected %s, not \"" STRV_FMT "\"", expected,
                 STRV_ARG(text));
    return false;
}

static bool has_controls(strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static bool text_ok(const struct option *o, strv text)
{
    size_t max = o->type == OPT_TEXT ? (size_t)o->max : 1024;
    return text.len >= 1 && text.len <= max && !has_controls(text) && utf8_valid(text) &&
           (o->form->check == NULL || o->form->check(text));
}

bool option_check_item(const struct option *o, strv item, char why[OPTION_WHY_MAX])
{
    return text_ok(o, item) || refuse(o, item, why);
}

static bool parse_list(const struct option *o, const strv *items, size_t n, struct arena *arena,
                       struct value *out, char why[OPTION_WHY_MAX])
{
    if (n < o->min || n > o->max) {
        snprintf(why, OPTION_WHY_MAX, "expected %llu to %llu items, not %zu",
                 (unsigned long long)o->min, (unsigned long long)o->max, n);
        return false;
    }
    const char **list = ARENA_ARRAY(arena, const char *, n + 1);
    if (list == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!text_ok(o, items[i]))
            return refuse(o, items[i], why);
        list[i] = arena_cstr(arena, items[i]);
        if (list[i] == NULL)
            return false;
    }
    out->items = list;
    out->n_items = n;
    return true;
}

bool option_parse(const struct option *o, const strv *items, size_t n, struct arena *arena,
                  struct value *out, char why[OPTION_WHY_MAX])
{
    bool yes = false, ok = false;

    *out = (struct value){0};
    why[0] = '\0';
    if (o->type == OPT_LIST)
        return parse_list(o, items, n, arena, out, why);
    switch (o->type) {
    case OPT_BOOL:
        ok = option_bool(items[0], &yes);
        out->number = yes;
        break;
    case OPT_INT:
        ok = strv_u64(items[0], o->min, o->max, &out->number);
        break;
    case OPT_MS:
    case OPT_BYTES:
        ok = parse_units(units_of(o), items[0], &out->number) && out->number >= o->min &&
             out->number <= o->max;
        break;
    case OPT_WORD:
        ok = parse_word(o, items[0], &out->number);
        break;
    case OPT_TEXT:
    case OPT_LIST:
        ok = text_ok(o, items[0]);
        if (ok) {
            out->text = arena_cstr(arena, items[0]);
            return out->text != NULL;
        }
        break;
    }
    return ok || refuse(o, items[0], why);
}

/* ["a", "b"] */
static strv *split_json(strv text, struct arena *arena, size_t *n)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, text, arena, 0, &err) || !yyjson_is_arr(doc.root))
        return NULL;
    *n = yyjson_arr_size(doc.root);
    strv *items = ARENA_ARRAY(arena, strv, *n + 1);
    for (size_t i = 0; items != NULL && i < *n; i++) {
        items[i] = json_str(yyjson_arr_get(doc.root, i));
        if (items[i].ptr == NULL || i > 1024)
            return NULL;
    }
    return items;
}

strv *option_split(strv text, struct arena *arena, size_t *n)
{
    strv rest = strv_trim(text), part;
    size_t commas = 0;

    if (rest.len != 0 && rest.ptr[0] == '[' && rest.ptr[rest.len - 1] == ']')
        return split_json(rest, arena, n);
    for (size_t i = 0; i < rest.len; i++)
        commas += rest.ptr[i] == ',';
    strv *items = ARENA_ARRAY(arena, strv, commas + 1);
    *n = 0;
    while (items != NULL && strv_cut(&rest, ',', &part)) {
        part = strv_trim(part);
        if (part.len != 0)
            items[(*n)++] = part;
    }
    return items;
}

/* ---- writing values ---- */

void option_print_value(const struct option *o, const struct value *v, struct buf *out)
{
    char text[32];
    switch (o->type) {
    case OPT_BOOL:
        buf_put_cstr(out, v->number ? "true" : "false");
        break;
    case OPT_INT:
    case OPT_MS:
    case OPT_BYTES:
        print_number(o, v->number, text, sizeof text);
        buf_put_cstr(out, text);
        break;
    case OPT_WORD:
        for (const struct option_word *w = o->form->words; w->text != NULL; w++) {
            if ((uint64_t)w->value == v->number) {
                buf_put_cstr(out, w->text);
                break;
            }
        }
        break;
    case OPT_TEXT:
        json_put_str(out, strv_of(v->text));
        break;
    case OPT_LIST:
        buf_put_char(out, '[');
        for (size_t i = 0; i < v->n_items; i++) {
            if (i != 0)
                buf_put_cstr(out, ", ");
            json_put_str(out, strv_of(v->items[i]));
        }
        buf_put_char(out, ']');
        break;
    }
}

bool value_equal(const struct option *o, const struct value *a, const struct value *b)
{
    if (o->type == OPT_TEXT)
        return strcmp(a->text, b->text) == 0;
    if (o->type != OPT_LIST)
        return a->number == b->number;
    if (a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

/* ---- forms ---- */

static bool all_in(strv text, const char *more)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) &&
            (text.ptr[i] == '\0' || !strchr(more, text.ptr[i])))
            return false;
    }
    return text.len != 0;
}

static bool is_address(strv text)
{
    bool loopback;
    return io_address_is_loopback(text, &loopback, NULL);
}

static bool is_network(strv text)
{
    return zone_network_ok(text);
}

/* What it is made of is http_url_parse()'s business; here only what must never be repeated. */
static bool is_url(strv text)
{
    return memchr(text.ptr, '@', text.len) == NULL && memchr(text.ptr, '?', text.len) == NULL &&
           memchr(text.ptr, '#', text.len) == NULL &&
           (strv_starts(text, STRV("http://")) || strv_starts(text, STRV("https://")) ||
            strv_starts(text, STRV("unix:/")));
}

static bool is_variable(strv text)
{
    return all_in(text, "_") && !isdigit((unsigned char)text.ptr[0]);
}

static bool is_word(strv text)
{
    return all_in(text, "._-");
}

/* Of a provider or a role. */
static bool is_title(strv text)
{
    return text.len <= 63 && all_in(text, "_-") && !strv_eq_cstr(text, "auto");
}

static bool is_model(strv text)
{
    return text.len != 0 && memchr(text.ptr, ' ', text.len) == NULL && !has_controls(text);
}

static bool is_name(strv text)
{
    return text.len <= 200 && is_model(text) && text.ptr[0] != '/';
}

static bool is_origin(strv text)
{
    const char *colon = memchr(text.ptr, ':', text.len);
    if (colon == NULL)
        return false;
    size_t scheme = (size_t)(colon - text.ptr);
    strv rest = strv_from(text, scheme);
    return all_in((strv){text.ptr, scheme}, "+.-") && strv_starts(rest, STRV("://")) &&
           is_host(strv_from(rest, 3));
}

static bool is_threshold(strv text)
{
    double n;
    return strv_eq(text, STRV("auto")) || strv_eq(text, STRV("never")) ||
           (strv_double(text, &n) && n >= 0 && n <= 1);
}

static bool is_claim(strv text)
{
    struct provider_claim claim;
    return provider_claim_parse(text, NULL, &claim);
}

/* The expression itself is compiled with the detector, which says what is wrong with it. */
static bool is_pattern(strv text)
{
    strv rest = text, name;
    return strv_cut(&rest, '=', &name) && rest.len > 0 && is_word(name);
}

static bool is_digest(strv text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isxdigit((unsigned char)text.ptr[i]))
            return false;
    return text.len == 64;
}

static bool is_task_class(strv text)
{
    for (size_t i = 0; policy_tasks[i] != NULL; i++)
        if (strv_eq_cstr(text, policy_tasks[i]))
            return true;
    return false;
}

static bool is_price(strv text)
{
    struct ledger_price price;
    const char *why;
    return ledger_price_parse(text, &price, &why);
}

static bool is_sure(strv text)
{
    struct policy_sure sure;
    return policy_sure_parse(text, &sure);
}

static bool is_money(strv text)
{
    int64_t micro;
    return ledger_money_parse(text, LEDGER_LIMIT_MAX, &micro);
}

static bool is_share(strv text)
{
    int64_t percent;
    return option_share(text, &percent);
}

static bool is_server(strv text)
{
    for (size_t i = 0; i < text.len; i++)
        if (isupper((unsigned char)text.ptr[i]))
            return false;
    return text.len <= 31 && all_in(text, "-") && text.ptr[0] != '-';
}

static bool is_assignment(strv text)
{
    strv rest = text, name;
    return strv_cut(&rest, '=', &name) && name.len > 0 && is_variable(name);
}

static bool is_header(strv text)
{
    strv rest = text, name;
    return strv_cut(&rest, '=', &name) && name.len > 0 && all_in(name, "-_") && rest.len > 0 &&
           is_variable(rest);
}

static bool is_rule(strv text)
{
    struct mcp_rule rule;
    return mcp_rule_parse(text, NULL, &rule);
}

static bool is_host(strv text)
{
    return all_in(text, ".-_:[]") && text.ptr[0] != ':';
}

/* What the engine's start gives itself, and what would make it fetch something (airgap by construction). */
static bool is_engine_arg(strv text)
{
    static const char *const ours[] = {"-m",
                                       "--model",
                                       "-a",
                                       "--alias",
                                       "--host",
                                       "--port",
                                       "--api-key",
                                       "--api-key-file",
                                       "-mu",
                                       "--model-url",
                                       "-hf",
                                       "-hfr",
                                       "--hf-repo",
                                       "-hfd",
                                       "--hf-repo-draft",
                                       "-hff",
                                       "--hf-file",
                                       "-hfv",
                                       "--hf-repo-v",
                                       "-hffv",
                                       "--hf-file-v",
                                       "-hft",
                                       "--hf-token",
                                       "-dr",
                                       "--docker-repo"};
    strv rest = text, name;
    if (!strv_cut(&rest, '=', &name))
        return false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strv_eq_cstr(name, ours[i]))
            return false;
    }
    return true;
}
