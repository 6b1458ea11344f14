/* SPDX-License-Identifier: Apache-2.0 */
/* conf - words of the configuration: ways to a server, effects, data classes, approvals, and the rules made of them. */
#include "mcp/conf.h"

static const char *const transports[MCP_TRANSPORTS] = {"stdio", "http", "sse"};
static const char *const effects[MCP_EFFECTS] = {"read", "write", "destructive", "external"};
static const char *const datas[MCP_DATAS] = {"none", "staff", "health"};
static const char *const approvals[MCP_APPROVALS] = {"auto", "ask", "ask-always", "off"};

const char *mcp_transport_name(enum mcp_transport t)
{
    return transports[t];
}

const char *mcp_effect_name(enum mcp_effect e)
{
    return effects[e];
}

const char *mcp_data_name(enum mcp_data d)
{
    return datas[d];
}

const char *mcp_approval_name(enum mcp_approval a)
{
    return approvals[a];
}

/* Sets *out to the word's place; false: it is none of them, or one of the kind was said before. */
static bool take(strv word, const char *const *words, int n, int *out)
{
    for (int i = 0; i < n; i++) {
        if (!strv_eq_cstr(word, words[i]))
            continue;
        bool first = *out < 0;
        *out = i;
        return first;
    }
    return false;
}

bool mcp_rule_parse(strv text, struct arena *arena, struct mcp_rule *out)
{
    strv rest = text, pattern, word;
    *out = (struct mcp_rule){.pattern = "", .effect = -1, .data = -1, .approval = -1};
    if (!strv_cut(&rest, '=', &pattern) || pattern.len == 0 || rest.len == 0)
        return false;
    while (strv_cut(&rest, ',', &word)) {
        word = strv_trim(word);
        if (!take(word, effects, MCP_EFFECTS, &out->effect) &&
            !take(word, datas, MCP_DATAS, &out->data) &&
            !take(word, approvals, MCP_APPROVALS, &out->approval))
            return false;
    }
    if (arena == NULL)
        return true;
    out->pattern = arena_cstr(arena, strv_trim(pattern));
    return out->pattern != NULL;
}
