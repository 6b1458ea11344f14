/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anthropic_request - POST /v1/messages and .../count_tokens, the question: bytes to llm_request.
 *
 * Every member of the root has a row in read_others(). What only the vendor's own service can do (its tools,
 * containers, files, MCP servers) becomes LLM_NEED_ANTHROPIC; what other dialects have no word for is noted
 * as lost for them and survives in the body on the way to an Anthropic upstream. Schemas are kept as the
 * caller wrote them. Texts of errors are worded as Anthropic's own.
 *
 * A count is asked for with the same body, but for the members that no count depends on.
 *
 * Reference: https://docs.anthropic.com/en/api/messages and .../messages-count-tokens.
 */
#include <stdio.h>
#include <stdlib.h>

#include "dialect/anthropic.h"

#define STOPS_MAX  1024 /* the body's size bounds it too; Anthropic names no number */
#define BUDGET_MIN 1024
/* A budget says how much to think in tokens, other dialects in words (translation.md 1). */
#define BUDGET_MEDIUM 4096
#define BUDGET_HIGH   16000

/* ---- sampling ---- */

static bool read_params(struct reading *rd, yyjson_val *root)
{
    struct llm_request *r = rd->r;
    yyjson_val *stops = json_get(root, "stop_sequences"), *v;
    size_t at, n;
    if (json_get(root, "max_tokens") == NULL && r->op != LLM_OP_COUNT)
        return invalid(rd, "max_tokens", "Field required");
    if (!dialect_decode_params(r, LLM_ANTHROPIC, root, "", rd->err))
        return false;
    if (llm_has(r, LLM_P_TEMPERATURE) && r->params[LLM_P_TEMPERATURE] > 1)
        return invalid(rd, "temperature", "must be a number between 0 and 1");
    if (llm_has(r, LLM_P_TOP_K) && r->params[LLM_P_TOP_K] < 0)
        return invalid(rd, "top_k", "must be an integer of at least 0");
    if (stops == NULL)
        return true;
    if (!yyjson_is_arr(stops))
        return invalid(rd, "stop_sequences", "Input should be a valid list");
    yyjson_arr_foreach(stops, at, n, v)
    {
        if (yyjson_is_str(v) && strv_trim(json_str(v)).len == 0)
            return invalid(rd, "stop_sequences", "each stop sequence must contain non-whitespace");
    }
    return dialect_decode_stops(r, stops, "stop_sequences", STOPS_MAX, rd->arena, rd->err);
}

/* ---- thinking and the form of the answer ---- */

static bool read_budget(struct reading *rd, yyjson_val *v)
{
    struct llm_request *r = rd->r;
    int64_t n;
    if (json_get(v, "budget_tokens") == NULL)
        return invalid(rd, "thinking.budget_tokens", "Field required");
    if (!json_is_int(json_get(v, "budget_tokens"), &n) || n < BUDGET_MIN)
        return invalid(rd, "thinking.budget_tokens",
                       "Input should be an integer greater than or equal to 1024");
    if (llm_has(r, LLM_P_MAX_TOKENS) && (double)n >= r->params[LLM_P_MAX_TOKENS])
        return invalid(rd, "max_tokens", "must be greater than thinking.budget_tokens");
    r->think_tokens = n;
    r->effort = n >= BUDGET_HIGH     ? LLM_EFFORT_HIGH
                : n >= BUDGET_MEDIUM ? LLM_EFFORT_MEDIUM
                                     : LLM_EFFORT_LOW;
    return true;
}

/* Who does not ask for thinking is not shown any: its client may not know the blocks. */
static bool read_thinking(struct reading *rd, yyjson_val *v)
{
    struct llm_request *r = rd->r;
    r->hide_reasoning = true;
    if (v == NULL)
        return true;
    strv type = json_get_str(v, "type"), display = json_get_str(v, "display");
    if (!yyjson_is_obj(v) || type.ptr == NULL)
        return invalid(rd, "thinking", "Input should be an object with a type");
    if (strv_eq_cstr(type, "disabled") || strv_eq_cstr(type, "between_tools")) {
        r->effort = LLM_EFFORT_NONE;
        return true;
    }
    if (json_get(v, "display") != NULL && !strv_eq_cstr(display, "summarized") &&
        !strv_eq_cstr(display, "omitted"))
        return invalid(rd, "thinking.display", "Input should be 'summarized' or 'omitted'");
    r->hide_reasoning = strv_eq_cstr(display, "omitted");
    if (strv_eq_cstr(type, "enabled"))
        return read_budget(rd, v);
    if (!strv_eq_cstr(type, "adaptive"))
        return invalid(rd, "thinking.type",
                       "Input should be 'enabled', 'adaptive', 'between_tools' or 'disabled'");
    r->effort = LLM_EFFORT_ON;
    return true;
}

static bool read_format(struct reading *rd, yyjson_val *v, const char *field)
{
    struct llm_request *r = rd->r;
    char what[64];
    if (v == NULL)
        return true;
    if (r->format == LLM_FORMAT_SCHEMA)
        return invalid(rd, field, "cannot be given beside output_config.format");
    if (!strv_eq_cstr(json_get_str(v, "type"), "json_schema")) {
        snprintf(what, sizeof what, "%s.type", field);
        return invalid(rd, what, "Input should be 'json_schema'");
    }
    if (!yyjson_is_obj(json_get(v, "schema"))) {
        snprintf(what, sizeof what, "%s.schema", field);
        return invalid(rd, what, "Input should be an object");
    }
    r->format = LLM_FORMAT_SCHEMA;
    return json_raw_member(&r->body, v, "schema", &r->schema);
}

static bool read_effort(struct reading *rd, yyjson_val *v)
{
    struct llm_request *r = rd->r;
    enum llm_effort effort;
    if (v == NULL)
        return true;
    if (!yyjson_is_str(v) || !llm_effort_parse(json_str(v), &effort) || effort < LLM_EFFORT_LOW)
        return invalid(rd, "output_config.effort",
                       "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'");
    if (r->effort == LLM_EFFORT_NONE) /* how much to write, then, which others cannot be told */
        beyond(rd, DIALECT_LOSS_EFFORT);
    else
        r->effort = effort;
    return true;
}

static bool read_output_config(struct reading *rd, yyjson_val *root)
{
    yyjson_val *v = json_get(root, "output_config"), *key, *value;
    size_t at, n;
    if (v != NULL) {
        if (!yyjson_is_obj(v))
            return invalid(rd, "output_config", "Input should be an object");
        yyjson_obj_foreach(v, at, n, key, value)
        {
            bool read =
                strv_eq_cstr(json_str(key), "format") || strv_eq_cstr(json_str(key), "effort");
            if (!read && !yyjson_is_null(value))
                beyond(rd, DIALECT_LOSS_OTHER);
        }
    }
    return read_effort(rd, json_get(v, "effort")) &&
           read_format(rd, json_get(v, "format"), "output_config.format") &&
           read_format(rd, json_get(root, "output_format"), "output_format"); /* its name in beta */
}

/* ---- tools ---- */

struct names { /* of all tools, the vendor's own too; sorted */
    strv *of;
    size_t n;
};

/* A member that is neither read nor without a meaning here. */
static void look_at_extras(struct reading *rd, yyjson_val *tool)
{
    static const char *const read[] = {"type",         "name",   "description",
                                       "input_schema", "strict", "cache_control"};
    size_t at, n;
    yyjson_val *key, *value;
    if (!dialect_is_nothing(json_get(tool, "cache_control")))
        beyond(rd, DIALECT_LOSS_CACHE);
    yyjson_obj_foreach(tool, at, n, key, value)
    {
        size_t i = 0;
        while (i < sizeof read / sizeof *read && !strv_eq_cstr(json_str(key), read[i]))
            i++;
        if (i == sizeof read / sizeof *read && !dialect_is_nothing(value))
            beyond(rd, DIALECT_LOSS_OTHER);
    }
}

static bool read_custom(struct reading *rd, yyjson_val *v, const char *field)
{
    struct llm_tool *tool = &rd->r->tools[rd->r->n_tools++];
    yyjson_val *description = json_get(v, "description"), *schema = json_get(v, "input_schema");
    tool->name = json_get_str(v, "name");
    if (description != NULL && !yyjson_is_str(description))
        return invalid(rd, field, "description: Input should be a valid string");
    tool->description = description != NULL ? json_str(description) : STRV("");
    if (schema == NULL)
        return invalid(rd, field, "input_schema: Field required");
    if (!yyjson_is_obj(schema) || !json_raw_member(&rd->r->body, v, "input_schema", &tool->schema))
        return invalid(rd, field, "input_schema: Input should be an object");
    look_at_extras(rd, v);
    return dialect_decode_bool(v, "strict", &tool->strict, rd->err);
}

static bool read_tool(struct reading *rd, yyjson_val *v, size_t at, struct names *names)
{
    char field[32];
    snprintf(field, sizeof field, "tools.%zu", at);
    if (!yyjson_is_obj(v))
        return invalid(rd, field, "Input should be an object");
    yyjson_val *type = json_get(v, "type");
    strv name = json_get_str(v, "name");
    if (type != NULL && !yyjson_is_str(type))
        return invalid(rd, field, "type: Input should be a valid string");
    if (name.len > 0)
        names->of[names->n++] = name;
    /* Beside mcp_servers it is the vendor that calls them. */
    if (type != NULL && strv_eq_cstr(json_str(type), "mcp_toolset") &&
        dialect_is_nothing(json_get(rd->r->body.root, "mcp_servers"))) {
        strv server = json_get_str(v, "mcp_server_name");
        return server.len > 0 ? dialect_add_mcp(rd, server) != NULL
                              : invalid(rd, field, "mcp_server_name: Field required");
    }
    if (type != NULL && !strv_eq_cstr(json_str(type), "custom")) {
        rd->r->needs |= LLM_NEED_ANTHROPIC; /* web_search_..., bash_...: it has no schema */
        return true;
    }
    if (name.len == 0)
        return invalid(rd, field, "name: Field required");
    return read_custom(rd, v, field);
}

static int name_order(const void *a, const void *b)
{
    return strv_cmp(*(const strv *)a, *(const strv *)b);
}

static bool read_tools(struct reading *rd, yyjson_val *list, struct names *names)
{
    size_t at, n;
    yyjson_val *v;
    if (list == NULL)
        return true;
    if (!yyjson_is_arr(list))
        return invalid(rd, "tools", "Input should be a valid list");
    rd->r->tools = ARENA_ARRAY(rd->arena, struct llm_tool, yyjson_arr_size(list) + 1);
    names->of = ARENA_ARRAY(rd->arena, strv, yyjson_arr_size(list) + 1);
    if (rd->r->tools == NULL || names->of == NULL)
        return err_oom(rd->err);
    yyjson_arr_foreach(list, at, n, v)
    {
        if (!read_tool(rd, v, at, names))
            return false;
    }
    qsort(names->of, names->n, sizeof *names->of, name_order);
    for (size_t i = 1; i < names->n; i++)
        if (strv_eq(names->of[i - 1], names->of[i]))
            return invalid(rd, "tools", "Tool names must be unique");
    if (rd->r->n_tools > 0)
        rd->r->needs |= LLM_NEED_TOOLS;
    return true;
}

static bool read_tool_choice(struct reading *rd, yyjson_val *root, const struct names *names)
{
    static const char *const types[] = {
        [LLM_CHOOSE_AUTO] = "auto",
        [LLM_CHOOSE_NONE] = "none",
        [LLM_CHOOSE_ANY] = "any",
        [LLM_CHOOSE_ONE] = "tool",
    };
    struct llm_request *r = rd->r;
    yyjson_val *v = json_get(root, "tool_choice");
    strv type = json_get_str(v, "type");
    size_t i = 0;
    if (v == NULL)
        return true;
    while (i < sizeof types / sizeof *types && !strv_eq_cstr(type, types[i]))
        i++;
    if (i == sizeof types / sizeof *types)
        return invalid(rd, "tool_choice", "type: Input should be 'auto', 'any', 'tool' or 'none'");
    if (yyjson_arr_size(json_get(root, "tools")) == 0)
        return invalid(rd, "tool_choice", "may only be specified while providing tools");
    r->choose = (enum llm_tool_choice)i;
    if (r->choose == LLM_CHOOSE_ONE) {
        r->choose_name = json_get_str(v, "name");
        if (r->choose_name.len == 0)
            return invalid(rd, "tool_choice", "name: Field required");
        if (bsearch(&r->choose_name, names->of, names->n, sizeof *names->of, name_order) == NULL)
            return invalid(rd, "tool_choice", "the named tool is not among the provided tools");
    }
    return dialect_decode_bool(v, "disable_parallel_tool_use", &r->one_call, rd->err);
}

/* ---- the rest ---- */

static bool read_metadata(struct reading *rd, yyjson_val *v)
{
    size_t at, n;
    yyjson_val *key, *value;
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v))
        return invalid(rd, "metadata", "Input should be an object");
    yyjson_val *id = json_get(v, "user_id");
    if (id != NULL && !yyjson_is_str(id))
        return invalid(rd, "metadata.user_id", "Input should be a valid string");
    rd->r->user = json_str(id);
    yyjson_obj_foreach(v, at, n, key, value)
    {
        if (!strv_eq_cstr(json_str(key), "user_id") && !yyjson_is_null(value))
            beyond(rd, DIALECT_LOSS_METADATA);
    }
    return true;
}

/* One without a row is kept for an Anthropic upstream and lost for any other. */
static bool read_others(struct reading *rd, yyjson_val *root)
{
    enum member {
        READ,  /* by the functions above */
        CACHE, /* of no meaning to anybody but Anthropic, and its loss changes no answer */
        TIER,
        VENDOR, /* nobody else can do it */
    };
    static const struct {
        const char *key;
        enum member member;
    } rows[] = {
        {"model", READ},          {"messages", READ},      {"max_tokens", READ},
        {"system", READ},         {"stream", READ},        {"stop_sequences", READ},
        {"temperature", READ},    {"top_p", READ},         {"top_k", READ},
        {"thinking", READ},       {"output_config", READ}, {"output_format", READ},
        {"metadata", READ},       {"tools", READ},         {"tool_choice", READ},
        {"cache_control", CACHE}, {"service_tier", TIER},  {"speed", TIER},
        {"mcp_servers", VENDOR},  {"container", VENDOR},
    };
    size_t at, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, at, n, key, value)
    {
        size_t i = 0;
        while (i < sizeof rows / sizeof *rows && !strv_eq_cstr(json_str(key), rows[i].key))
            i++;
        if (i == sizeof rows / sizeof *rows) {
            if (!yyjson_is_null(value))
                beyond(rd, DIALECT_LOSS_OTHER);
        } else if (rows[i].member != READ && !dialect_is_nothing(value)) {
            if (rows[i].member == VENDOR)
                rd->r->needs |= LLM_NEED_ANTHROPIC;
            else
                beyond(rd, rows[i].member == CACHE ? DIALECT_LOSS_CACHE : DIALECT_LOSS_TIER);
        }
    }
    return true;
}

bool anthropic_decode_request(strv body, enum llm_op op, struct arena *arena,
                              struct llm_request *out, struct err *err)
{
    struct reading rd = {out, arena, err};
    struct names names = {NULL, 0};
    *out = (struct llm_request){
        .arena = arena, .dialect = LLM_ANTHROPIC, .op = op, .choices = 1, .user = STRV_NONE};
    if (op == LLM_OP_COUNT)
        out->needs = LLM_NEED_COUNT;
    if (!dialect_root(&out->body, body, arena, err))
        return false;
    yyjson_val *root = out->body.root, *model = json_get(root, "model");
    if (model != NULL && !yyjson_is_str(model))
        return invalid(&rd, "model", "Input should be a valid string");
    out->model = model != NULL ? json_str(model) : STRV("");
    /* Conversations that the vendor keeps: the next turn may go to another provider, and would find a request
     * without its past there. Anthropic's clients know this refusal and send all messages from then on. */
    if (!dialect_is_nothing(json_get(root, ANTHROPIC_THREAD)))
        return unsupported(&rd, ANTHROPIC_THREAD,
                           "conversations are not kept here, all messages must be sent");
    return read_params(&rd, root) && anthropic_read_messages(&rd, root) &&
           dialect_decode_bool(root, "stream", &out->stream, err) &&
           read_thinking(&rd, json_get(root, "thinking")) && read_output_config(&rd, root) &&
           read_tools(&rd, json_get(root, "tools"), &names) &&
           read_tool_choice(&rd, root, &names) && read_metadata(&rd, json_get(root, "metadata")) &&
           read_others(&rd, root);
}
