/* SPDX-License-Identifier: Apache-2.0 */
/* note - see note.h. */
#include "agent/note.h"

yyjson_val *agent_note(const struct mcp_tool *t, struct arena *arena)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (t->note.len == 0 || !json_read(&doc, t->note, arena, 0, &err))
        return NULL;
    return yyjson_is_obj(doc.root) ? doc.root : NULL;
}

/* ---- how grave is this call ---- */

static bool approval_word(strv word, enum mcp_approval *out)
{
    static const char *const words[MCP_APPROVALS] = {
        [MCP_AUTO] = "auto", [MCP_ASK] = "ask", [MCP_ASK_ALWAYS] = "ask-always", [MCP_OFF] = "off"};
    for (size_t i = 0; i < MCP_APPROVALS; i++)
        if (strv_eq_cstr(word, words[i])) {
            *out = (enum mcp_approval)i;
            return true;
        }
    return false;
}

static bool is_one_of(yyjson_val *value, yyjson_val *list)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(list, i, n, one) if (yyjson_equals(one, value)) return true;
    return false;
}

/* An argument that is left out has no value here: a rule for a default is the tool's own approval. Servers there are
 * that read names in any case, so every spelling counts. */
static bool rule_fits(yyjson_val *rule, yyjson_val *args)
{
    strv name = json_get_str(rule, "argument");
    yyjson_val *key, *value;
    size_t i, n;
    if (name.ptr == NULL || !yyjson_is_obj(args))
        return false;
    yyjson_obj_foreach(args, i, n, key, value)
    {
        if (strv_eq_nocase(json_str(key), name) && is_one_of(value, json_get(rule, "is")))
            return true;
    }
    return false;
}

enum mcp_approval agent_note_approval(const struct mcp_tool *t, yyjson_val *args,
                                      struct arena *arena)
{
    enum mcp_approval most = t->approval, word;
    yyjson_val *note = agent_note(t, arena), *rule;
    size_t i, n;
    if (note == NULL && arena->failed)
        return most > MCP_ASK_ALWAYS ? most : MCP_ASK_ALWAYS;
    yyjson_arr_foreach(json_get(note, "approval_when"), i, n, rule)
    {
        if (!rule_fits(rule, args))
            continue;
        if (!approval_word(json_get_str(rule, "approval"), &word))
            word = MCP_ASK_ALWAYS; /* a spelling mistake makes nothing laxer */
        most = word > most ? word : most;
    }
    return most;
}

/* ---- secrets ---- */

bool agent_note_hides(yyjson_val *note, strv parameter)
{
    static const char *const secrets[] = {"password", "passwd",  "secret", "api_key", "apikey",
                                          "*_secret", "*_token", "*token", "*Token",  "*_password",
                                          "*_passwd", "*ApiKey", "*Secret"};
    /* A page of a list, a count of words: no secrets. */
    static const char *const harmless[] = {"page_token",       "next_page_token",    "pageToken",
                                           "nextPageToken",    "max_token",          "stop_token",
                                           "cursor_token",     "continuation_token", "start_token",
                                           "continuationToken"};
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(json_get(note, "hide"), i, n, one)
    {
        if (strv_eq(json_str(one), parameter))
            return true;
    }
    for (i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strv_eq_cstr(parameter, harmless[i]))
            return false;
    for (i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (strv_glob(strv_of(secrets[i]), parameter))
            return true;
    return false;
}
