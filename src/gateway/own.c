/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own - our own tools: what they are called, what they take and give, and who runs them. To add one: a row.
 *
 * Arguments that do not fit the schema are the tool's own error (isError), so that a model can mend its call.
 */
#include "gateway/internal.h"

#define READS                                                                                      \
    "\"annotations\":{\"readOnlyHint\":true,\"destructiveHint\":false,\"idempotentHint\":true,"    \
    "\"openWorldHint\":false}"

#define CONVERSATION                                                                               \
    "\"prompt\":{\"type\":\"string\",\"description\":\"The question. Give this or messages.\"},"   \
    "\"messages\":{\"type\":\"array\",\"minItems\":1,\"description\":\"A conversation, oldest "    \
    "first.\",\"items\":{\"type\":\"object\",\"properties\":{\"role\":{\"type\":\"string\","       \
    "\"enum\":[\"system\",\"user\",\"assistant\"]},\"content\":{\"type\":\"string\"}},"            \
    "\"required\":[\"role\",\"content\"]}},"                                                       \
    "\"system\":{\"type\":\"string\",\"description\":\"Instructions that stand before it.\"},"     \
    "\"model\":{\"type\":\"string\",\"description\":\"A model, role or alias (list_models tells "  \
    "them). Left out: the router chooses.\"},"                                                     \
    "\"private\":{\"type\":\"boolean\",\"description\":\"true: only local models may see it. The " \
    "router decides so by itself as well; false never opens anything.\"},"                         \
    "\"task\":{\"type\":\"string\",\"description\":\"Its class, if known: explain_route tells "    \
    "the "                                                                                         \
    "names.\"}"

static const char generate_listed[] =
    "\"title\":\"Ask a model\",\"description\":\"Asks a language model and returns its answer, "
    "with who gave it and "
    "why. Private text stays with local "
    "models.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{" CONVERSATION
    ",\"max_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100000},"
    "\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":2}},\"additionalProperties\":"
    "false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},"
    "\"provider\":{\"type\":\"string\"},\"model\":{\"type\":\"string\"},\"private\":{\"type\":"
    "\"boolean\"},"
    "\"why\":{\"type\":\"string\"},\"task\":{\"type\":\"string\"},\"finish_reason\":{\"type\":"
    "\"string\"},"
    "\"input_tokens\":{\"type\":\"integer\"},\"output_tokens\":{\"type\":\"integer\"}},"
    "\"required\":[\"text\",\"provider\",\"model\",\"private\",\"why\"]},"
    "\"annotations\":{\"readOnlyHint\":true,\"destructiveHint\":false,\"idempotentHint\":false,"
    "\"openWorldHint\":true}";

static const char classify_listed[] =
    "\"title\":\"Classify a question\",\"description\":\"Which kind of task a question is, how "
    "hard, whether it is "
    "private, and who would answer it. Nothing is sent to a "
    "model.\",\"inputSchema\":{\"type\":\"object\","
    "\"properties\":{" CONVERSATION "},\"additionalProperties\":false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"task_type\":{\"type\":\"string\"},"
    "\"complexity_score\":{\"type\":\"number\"},\"recommended_provider\":{\"type\":\"string\"},"
    "\"recommended_model\":{\"type\":\"string\"},\"reasoning\":{\"type\":\"string\"},"
    "\"requires_tools\":{\"type\":\"boolean\"},\"is_privacy_sensitive\":{\"type\":\"boolean\"},"
    "\"findings\":{\"type\":\"object\"},\"class\":{\"type\":\"string\"},\"sure\":{\"type\":"
    "\"boolean\"},"
    "\"needs_cloud\":{\"type\":\"number\"}},\"required\":[\"task_type\",\"is_privacy_sensitive\"]}"
    "," READS;

static const char explain_listed[] =
    "\"title\":\"Explain a route\",\"description\":\"What would become of a question: the privacy "
    "verdict, its class, "
    "the models in the order they would be asked, those left out, and the rules that said so. "
    "Nothing is sent to a "
    "model.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{" CONVERSATION
    "},\"additionalProperties\":false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"is_private\":{\"type\":\"boolean\"},"
    "\"findings\":{\"type\":\"object\"},\"explicit\":{\"type\":\"boolean\"},"
    "\"rules\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
    "\"plan\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
    "\"skipped\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"error\":{\"type\":"
    "\"object\"}},"
    "\"required\":[\"is_private\",\"plan\"]}," READS;

static const char models_listed[] =
    "\"title\":\"List models\",\"description\":\"Every name that `model` may hold: roles, aliases, "
    "models of all "
    "providers.\",\"inputSchema\":{\"type\":\"object\",\"additionalProperties\":false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"models\":{\"type\":\"array\","
    "\"items\":"
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"owner\":{\"type\":"
    "\"string\"},"
    "\"is_local\":{\"type\":\"boolean\"}},\"required\":[\"name\",\"owner\"]}}},\"required\":["
    "\"models\"]}," READS;

static const char health_listed[] =
    "\"title\":\"Provider health\",\"description\":\"Which providers can answer now, and what is "
    "wrong with the "
    "others.\",\"inputSchema\":{\"type\":\"object\",\"additionalProperties\":false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"providers\":{\"type\":\"array\","
    "\"items\":"
    "{\"type\":\"object\",\"properties\":{\"provider\":{\"type\":\"string\"},\"is_local\":{"
    "\"type\":\"boolean\"},"
    "\"is_available\":{\"type\":\"boolean\"}},\"required\":[\"provider\",\"is_available\"]}}},"
    "\"required\":[\"providers\"]}," READS;

static const char usage_listed[] =
    "\"title\":\"Usage report\",\"description\":\"Requests, tokens, cost and savings. A key "
    "without the right `admin` "
    "sees its own figures only.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{"
    "\"by\":{\"type\":\"string\",\"enum\":[\"day\",\"class\",\"model\",\"key\",\"provider\"]},"
    "\"since\":{\"type\":\"string\",\"description\":\"A day such as 2026-11-01, or a number of "
    "days such as 7d.\"},"
    "\"until\":{\"type\":\"string\",\"description\":\"A day such as "
    "2026-11-30.\"}},\"additionalProperties\":false},"
    "\"outputSchema\":{\"type\":\"object\",\"properties\":{\"by\":{\"type\":\"string\"},"
    "\"total\":{\"type\":\"object\"}}}," READS;

static void list_models(struct gateway_call *c, yyjson_val *args);
static void provider_health(struct gateway_call *c, yyjson_val *args);

const struct own_tool own_tools[] = {
    {"generate", generate_listed, own_generate},
    {"classify", classify_listed, own_classify},
    {"explain_route", explain_listed, own_explain},
    {"list_models", models_listed, list_models},
    {"provider_health", health_listed, provider_health},
    {"usage_report", usage_listed, own_usage},
};
const size_t own_tools_n = sizeof own_tools / sizeof *own_tools;

bool own_tool_is_offered(const struct gateway *g, const struct own_tool *t)
{
    return t->run == list_models       ? g->env.models != NULL
           : t->run == provider_health ? g->env.providers != NULL
           : t->run == own_usage       ? g->env.exchange->ledger != NULL
                                       : true;
}

const struct own_tool *own_tool_find(const struct gateway *g, strv name)
{
    for (size_t i = 0; i < own_tools_n; i++)
        if (strv_eq_cstr(name, own_tools[i].name) && own_tool_is_offered(g, &own_tools[i]))
            return &own_tools[i];
    return NULL;
}

/* ---- results ---- */

static void put_result(struct gateway_call *c, strv text, strv structured, bool failed)
{
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    buf_put_cstr(&b, "\"content\":[{\"type\":\"text\",\"text\":");
    json_put_str(&b, text);
    buf_put_cstr(&b, "}]");
    if (structured.len > 0) {
        buf_put_cstr(&b, ",\"structuredContent\":");
        buf_put_strv(&b, structured);
    }
    if (failed)
        buf_put_cstr(&b, ",\"isError\":true");
    if (b.failed)
        gateway_no_memory(c);
    else
        gateway_result(c, buf_view(&b));
    buf_fini(&b);
}

void own_result(struct gateway_call *c, strv text, strv structured)
{
    put_result(c, text, structured, false);
}

void own_failed(struct gateway_call *c, strv sentence)
{
    put_result(c, sentence, STRV_NONE, true);
}

void own_refused(struct gateway_call *c, const struct err *err)
{
    if (err->code == ERR_CODE_OOM)
        gateway_no_memory(c);
    else
        own_failed(c, strv_of(err->text[0] != '\0' ? err->text : llm_error_row(err->code)->text));
}

/* A whole JSON text that somebody else wrote: as structured content, and the same as text. */
static void tell(struct gateway_call *c, void (*put)(void *arg, const struct policy_key *key,
                                                     struct arena *arena, struct buf *out))
{
    struct buf b;
    buf_init(&b, GATEWAY_ANSWER_MAX);
    put(c->g->env.arg, c->caller.holder, &c->work, &b);
    if (b.failed)
        gateway_no_memory(c);
    else
        own_result(c, buf_view(&b), buf_view(&b));
    buf_fini(&b);
}

static void list_models(struct gateway_call *c, yyjson_val *args)
{
    (void)args;
    tell(c, c->g->env.models);
}

static void provider_health(struct gateway_call *c, yyjson_val *args)
{
    (void)args;
    tell(c, c->g->env.providers);
}

/* ---- calls ---- */

/* Do the arguments fit what is listed? False: the call is over. */
static bool fits(struct gateway_call *c, const struct own_tool *t, yyjson_val *args)
{
    struct err err = ERR_INIT;
    struct json json;
    char *entry = arena_printf(&c->work, "{%s}", t->listed);
    if (entry == NULL || !json_read(&json, strv_of(entry), &c->work, 0, &err)) {
        gateway_no_memory(c);
        return false;
    }
    if (schema_check(json_get(json.root, "inputSchema"), args, &err))
        return true;
    own_refused(c, &err);
    return false;
}

static void call_own(struct gateway_call *c, const struct own_tool *t)
{
    yyjson_val *args = json_get(c->m.params, "arguments");
    struct json json;
    struct err err = ERR_INIT;
    if (args == NULL) { /* left out by many clients */
        if (!json_read(&json, STRV("{}"), &c->work, 0, &err)) {
            gateway_no_memory(c);
            return;
        }
        args = json.root;
    }
    if (fits(c, t, args))
        t->run(c, args);
}

void gateway_tools_call(struct gateway_call *c)
{
    strv name = json_get_str(c->m.params, "name");
    yyjson_val *args = json_get(c->m.params, "arguments");
    const struct own_tool *own = own_tool_find(c->g, name);
    if (name.ptr == NULL || (args != NULL && !yyjson_is_obj(args)))
        gateway_bad_params(c, "tools/call: name must be a string, arguments an object.");
    else if (own != NULL)
        call_own(c, own);
    else
        gateway_pass_tool(c, name);
}
