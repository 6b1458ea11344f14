/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared_tools - tools in OpenAI's shape, as a caller sends them; Ollama and the native door have the same.
 *
 *   tools        [{"type":"function","function":{"name","description","parameters","strict"}}]
 *   tool_choice  "auto" | "none" | "required" | one function | some of them (allowed_tools)
 *   tool_calls   [{"id","type":"function","function":{"name","arguments"}}]      in the history
 *
 * Schemas and arguments are kept as the caller wrote them: a number of 20 digits and the order of members
 * survive (translation.md 4). Arguments are a text that may be anything; some clients send an object
 * in its place.
 */
#include <stdio.h>

#include "dialect/reading.h"

#define TOOLS_MAX    1024 /* OpenAI takes 128; choosing among them compares each with each */
#define NAME_MAX_LEN 256  /* OpenAI takes 64; longer ones are shortened where they must be */

static bool named(struct reading *rd, const char *field, const char *member, const char *what)
{
    char whole[96];
    snprintf(whole, sizeof whole, "%s%s", field, member);
    return invalid(rd, whole, what);
}

bool dialect_read_name(struct reading *rd, yyjson_val *obj, const char *field, strv *out)
{
    *out = json_get_str(obj, "name");
    if (out->ptr == NULL || out->len == 0 || out->len > NAME_MAX_LEN)
        return named(rd, field, ".name", "must be a string of 1 to 256 bytes");
    return true;
}

bool dialect_read_tool(struct reading *rd, yyjson_val *function, const char *field)
{
    struct llm_tool *tool = &rd->r->tools[rd->r->n_tools];
    yyjson_val *description = json_get(function, "description"),
               *schema = json_get(function, "parameters"), *strict = json_get(function, "strict");
    if (!yyjson_is_obj(function))
        return named(rd, field, "", "must be an object");
    *tool = (struct llm_tool){.description = STRV(""), .schema = STRV("")};
    if (!dialect_read_name(rd, function, field, &tool->name))
        return false;
    if (description != NULL && !yyjson_is_str(description))
        return named(rd, field, ".description", "must be a string");
    if (schema != NULL && !yyjson_is_obj(schema))
        return named(rd, field, ".parameters", "must be an object");
    if (strict != NULL && !yyjson_is_bool(strict))
        return named(rd, field, ".strict", "must be true or false");
    if (description != NULL)
        tool->description = json_str(description);
    if (schema != NULL && !json_raw_member(&rd->r->body, function, "parameters", &tool->schema))
        return named(rd, field, ".parameters", "must be an object");
    tool->strict = yyjson_get_bool(strict);
    rd->r->n_tools++;
    return true;
}

bool dialect_read_tools_room(struct reading *rd, yyjson_val *list, const char *field)
{
    if (!yyjson_is_arr(list))
        return invalid(rd, field, "must be an array");
    if (yyjson_arr_size(list) > TOOLS_MAX)
        return invalid(rd, field, "has more than 1024 members");
    rd->r->tools = ARENA_ARRAY(rd->arena, struct llm_tool, yyjson_arr_size(list) + 1);
    return rd->r->tools != NULL ? true : err_oom(rd->err);
}

/* ---- tools that are run here ---- */

#define MCP_MAX     32  /* entries of one request */
#define ALLOWED_MAX 256 /* names in one of them */

struct llm_mcp *dialect_add_mcp(struct reading *rd, strv server)
{
    if (rd->r->mcp == NULL)
        rd->r->mcp = ARENA_ARRAY(rd->arena, struct llm_mcp, MCP_MAX);
    if (rd->r->mcp == NULL) {
        err_oom(rd->err);
        return NULL;
    }
    if (rd->r->n_mcp == MCP_MAX) {
        invalid(rd, "tools", "has more than 32 entries of the type \"mcp\"");
        return NULL;
    }
    struct llm_mcp *one = &rd->r->mcp[rd->r->n_mcp++];
    *one = (struct llm_mcp){.server = server};
    rd->r->needs |= LLM_NEED_TOOLS;
    return one;
}

static bool read_names(struct reading *rd, struct llm_mcp *to, yyjson_val *list, const char *field)
{
    size_t i, max;
    yyjson_val *one;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > ALLOWED_MAX)
        return named(rd, field, ".allowed_tools", "must be an array of at most 256 names");
    to->narrowed = true;
    to->allowed = ARENA_ARRAY(rd->arena, strv, yyjson_arr_size(list) + 1);
    if (to->allowed == NULL)
        return err_oom(rd->err);
    yyjson_arr_foreach(list, i, max, one)
    {
        if (!yyjson_is_str(one))
            return named(rd, field, ".allowed_tools", "must be an array of names");
        to->allowed[to->n_allowed++] = json_str(one);
    }
    return true;
}

/* A list of names, or {"tool_names":[...],"read_only":true}. */
static bool read_allowed(struct reading *rd, struct llm_mcp *to, yyjson_val *v, const char *field)
{
    if (v == NULL)
        return true;
    if (!yyjson_is_obj(v))
        return read_names(rd, to, v, field);
    yyjson_val *names = json_get(v, "tool_names");
    to->read_only = yyjson_is_true(json_get(v, "read_only"));
    return names == NULL || read_names(rd, to, names, field);
}

bool dialect_read_mcp(struct reading *rd, yyjson_val *entry, const char *field)
{
    strv label = json_get_str(entry, "server_label");
    yyjson_val *approval = json_get(entry, "require_approval");
    if (!dialect_is_nothing(json_get(entry, "server_url")) ||
        !dialect_is_nothing(json_get(entry, "connector_id"))) {
        char inner[96];
        snprintf(inner, sizeof inner, "%s.server_url", field);
        return unsupported(rd, inner, "tool servers come from the configuration, by their name");
    }
    if (label.len == 0)
        return named(rd, field, ".server_label", "must name a server of the configuration");
    struct llm_mcp *to = dialect_add_mcp(rd, label);
    if (to == NULL || !read_allowed(rd, to, json_get(entry, "allowed_tools"), field))
        return false;
    if (approval != NULL && !yyjson_is_str(approval) && !yyjson_is_obj(approval))
        return named(rd, field, ".require_approval", "must be always, never or an object");
    /* It only makes things stricter: "never" is the operator's to say. */
    to->ask = strv_eq_cstr(json_str(approval), "always") || json_get(approval, "always") != NULL;
    return true;
}

bool dialect_read_tools(struct reading *rd, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *one;
    if (list == NULL)
        return true;
    if (!dialect_read_tools_room(rd, list, "tools"))
        return false;
    yyjson_arr_foreach(list, i, max, one)
    {
        char field[64];
        strv type = json_get_str(one, "type");
        snprintf(field, sizeof field, "tools[%zu]", i);
        if (strv_eq_cstr(type, "mcp")) {
            if (!dialect_read_mcp(rd, one, field))
                return false;
            continue;
        }
        snprintf(field, sizeof field, "tools[%zu].type", i);
        if (yyjson_is_obj(one) && type.ptr != NULL && !strv_eq_cstr(type, "function"))
            return strv_eq_cstr(type, "custom")
                       ? unsupported(rd, field, "tools of free text are not supported")
                       : unsupported(rd, field, "only the type \"function\" is supported");
        snprintf(field, sizeof field, "tools[%zu]%s", i, yyjson_is_obj(one) ? ".function" : "");
        if (!dialect_read_tool(rd, json_get(one, "function"), field))
            return false;
    }
    if (rd->r->n_tools > 0)
        rd->r->needs |= LLM_NEED_TOOLS;
    return true;
}

/* ---- which of them ---- */

static bool is_offered(const struct llm_request *r, strv name)
{
    for (size_t i = 0; i < r->n_tools; i++)
        if (strv_eq(r->tools[i].name, name))
            return true;
    return false;
}

bool dialect_choose_tool(struct reading *rd, strv name, const char *field)
{
    if (!is_offered(rd->r, name))
        return invalid(rd, field, "names no tool that is offered");
    rd->r->choose = LLM_CHOOSE_ONE;
    rd->r->choose_name = name;
    return true;
}

/* Chat completions nest what is meant below its type, Responses does not. */
static yyjson_val *below(yyjson_val *obj, const char *type)
{
    yyjson_val *inner = json_get(obj, type);
    return inner != NULL ? inner : obj;
}

/* Only those in the list may be called, so only those are offered. */
static bool narrow(struct reading *rd, yyjson_val *allowed)
{
    struct llm_request *r = rd->r;
    yyjson_val *list = json_get(allowed, "tools"), *one;
    size_t i, max, kept = 0;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > TOOLS_MAX)
        return invalid(rd, "tool_choice.tools", "must be an array of at most 1024 tools");
    bool keep[TOOLS_MAX] = {false};
    yyjson_arr_foreach(list, i, max, one)
    {
        strv name = json_get_str(below(one, "function"), "name");
        if (name.ptr == NULL || !is_offered(r, name))
            return invalid(rd, "tool_choice.tools", "names no tool that is offered");
        for (size_t k = 0; k < r->n_tools; k++)
            keep[k] = keep[k] || strv_eq(r->tools[k].name, name);
    }
    for (size_t k = 0; k < r->n_tools; k++)
        if (keep[k])
            r->tools[kept++] = r->tools[k];
    r->n_tools = kept;
    return true;
}

static bool choose_by_word(struct reading *rd, strv word, const char *field)
{
    if (strv_eq_cstr(word, "auto"))
        rd->r->choose = LLM_CHOOSE_AUTO;
    else if (strv_eq_cstr(word, "none"))
        rd->r->choose = LLM_CHOOSE_NONE;
    else if (strv_eq_cstr(word, "required"))
        rd->r->choose = LLM_CHOOSE_ANY;
    else
        return invalid(rd, field, "must be none, auto, required or an object");
    if (rd->r->choose == LLM_CHOOSE_ANY && rd->r->n_tools + rd->r->n_mcp == 0)
        return invalid(rd, field, "needs tools to choose from");
    return true;
}

bool dialect_read_tool_choice(struct reading *rd, yyjson_val *choice)
{
    strv type = json_get_str(choice, "type"), word = json_str(choice);
    if (choice == NULL)
        return true;
    if (yyjson_is_str(choice))
        return choose_by_word(rd, word, "tool_choice");
    if (strv_eq_cstr(type, "function"))
        return dialect_choose_tool(rd, json_get_str(below(choice, "function"), "name"),
                                   "tool_choice.function.name");
    if (strv_eq_cstr(type, "allowed_tools")) {
        yyjson_val *allowed = below(choice, "allowed_tools");
        return narrow(rd, allowed) &&
               choose_by_word(rd, json_get_str(allowed, "mode"), "tool_choice.mode");
    }
    if (strv_eq_cstr(type, "custom"))
        return unsupported(rd, "tool_choice.type", "tools of free text are not supported");
    return invalid(rd, "tool_choice", "must be none, auto, required or an object");
}

/* ---- calls in the history ---- */

bool dialect_read_arguments(struct reading *rd, yyjson_val *obj, const char *field, strv *out)
{
    yyjson_val *v = json_get(obj, "arguments");
    *out = STRV("");
    if (v == NULL)
        return true;
    if (yyjson_is_str(v)) {
        *out = json_str(v);
        return true;
    }
    if (yyjson_is_obj(v) && json_raw_member(&rd->r->body, obj, "arguments", out))
        return true;
    return named(rd, field, ".arguments", "must be a string");
}

bool dialect_read_call(struct reading *rd, yyjson_val *call, const char *field,
                       struct llm_part *out)
{
    yyjson_val *id = json_get(call, "id"), *function = json_get(call, "function");
    strv type = json_get_str(call, "type");
    char inner[80];
    if (!yyjson_is_obj(call))
        return named(rd, field, "", "must be an object");
    if (type.ptr != NULL && !strv_eq_cstr(type, "function")) {
        snprintf(inner, sizeof inner, "%s.type", field);
        return unsupported(rd, inner, "only the type \"function\" is supported");
    }
    if (id != NULL && !yyjson_is_str(id))
        return named(rd, field, ".id", "must be a string");
    snprintf(inner, sizeof inner, "%s.function", field);
    if (!yyjson_is_obj(function))
        return named(rd, inner, "", "must be an object");
    *out = (struct llm_part){.kind = LLM_PART_CALL, .id = id != NULL ? json_str(id) : STRV("")};
    rd->r->has_history = true;
    rd->r->needs |= LLM_NEED_TOOLS;
    return dialect_read_name(rd, function, inner, &out->name) &&
           dialect_read_arguments(rd, function, inner, &out->text);
}
