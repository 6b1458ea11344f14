/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_import - the usual JSON of MCP servers, as desktop applications and bridges have it, into our own file's section.
 *
 *   {"mcpServers":{"Files":{"command":"npx","args":["-y","x"],"env":{"TOKEN":"s3cret"}}}}
 *
 *   mcp_servers:
 *     files:
 *       command: [ "npx", "-y", "x" ]
 *       env: [ "TOKEN" ]
 *
 * Known are the files of Claude, VS Code (servers, inputs; also below mcp in its settings), Cursor, Windsurf and Gemini, and
 * those of the two ollama-mcp-bridges, of which one has settings of its model in it, too.
 *
 * Nothing is started, and nothing is taken over unseen: the operator reads what comes out and puts it into his file. Secrets
 * stand in such files often, so no value of a variable or header is copied; the notes say what must be set, and what has
 * no place here.
 */
#include "app/mcp.h"

#include <ctype.h>
#include <string.h>

#include "app/term.h"

#define FILE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define NAME_MAX_LEN   31

struct import {
    struct arena arena;
    struct buf *out, *notes;
    char names[MCP_SERVERS_MAX][NAME_MAX_LEN + 1];
    size_t n;
};

static bool is_taken(const struct import *im, const char *name)
{
    for (size_t i = 0; i < im->n; i++)
        if (strcmp(im->names[i], name) == 0)
            return true;
    return false;
}

/* "My Files (2)" becomes my-files-2: small letters, digits, single hyphens. */
static void name_for(struct import *im, strv own, char out[NAME_MAX_LEN + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < own.len && n < NAME_MAX_LEN - 3; i++) {
        unsigned char c = (unsigned char)own.ptr[i];
        if (isalnum(c) && c < 0x80)
            out[n++] = (char)tolower(c);
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    if (n == 0)
        n = (size_t)snprintf(out, NAME_MAX_LEN, "server");
    out[n] = '\0';
    for (unsigned k = 2; is_taken(im, out) && k < 100; k++)
        snprintf(out + n, NAME_MAX_LEN + 1 - n, "-%u", k);
}

static void note(struct import *im, const char *name, const char *what, strv detail)
{
    buf_printf(im->notes, "%s: %s", name, what);
    if (detail.len > 0) {
        buf_put_char(im->notes, ' ');
        term_clean(im->notes, utf8_cut(detail, 80), false);
    }
    buf_put_char(im->notes, '\n');
}

static void put_text(struct import *im, const char *key, strv text)
{
    buf_printf(im->out, "    %s: ", key);
    json_put_str(im->out, text);
    buf_put_char(im->out, '\n');
}

/* Applications put something in the place of "${...}"; here nobody does. */
static void tell_unresolved(struct import *im, const char *name, strv text)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.ptr[i] == '$' && text.ptr[i + 1] == '{') {
            note(im, name, "nobody replaces what stands in ${...} here, write it out:", text);
            return;
        }
}

/* "--api-key", "sk-...": an argument is printed by `check` and seen by everybody on the machine. */
static void tell_secret(struct import *im, const char *name, strv text)
{
    static const char *const signs[] = {"key", "token", "secret", "password", "sk-", "ghp_"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strv_contains_nocase(text, strv_of(signs[i]))) {
            note(im, name, "if an argument is a secret, give it by env instead; see",
                 STRV("command"));
            return;
        }
}

/* "${TOKEN}" and "$TOKEN" name a variable; STRV_NONE: anything else. */
static strv variable_of(strv text)
{
    if (!strv_starts(text, STRV("$")))
        return STRV_NONE;
    strv name = strv_from(text, 1);
    if (strv_starts(name, STRV("{")) && strv_ends(name, STRV("}")))
        name = (strv){name.ptr + 1, name.len - 2};
    if (strv_starts(name, STRV("env:")))
        name = strv_from(name, 4);
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.ptr[i]) && name.ptr[i] != '_')
            return STRV_NONE;
    return name.len > 0 ? name : STRV_NONE;
}

static void put_command(struct import *im, const char *name, yyjson_val *entry, strv command)
{
    yyjson_val *args = json_get(entry, "args"), *arg;
    size_t i, n;
    buf_put_cstr(im->out, "    command: [ ");
    json_put_str(im->out, command);
    tell_unresolved(im, name, command);
    yyjson_arr_foreach(args, i, n, arg)
    {
        if (!yyjson_is_str(arg)) {
            note(im, name, "an argument is no text and was left out", STRV_NONE);
            continue;
        }
        buf_put_cstr(im->out, ", ");
        json_put_str(im->out, json_str(arg));
        tell_unresolved(im, name, json_str(arg));
        tell_secret(im, name, json_str(arg));
    }
    buf_put_cstr(im->out, " ]\n");
}

static void put_env(struct import *im, const char *name, yyjson_val *env)
{
    yyjson_val *key, *value;
    size_t i, n;
    bool begun = false;
    if (!yyjson_is_obj(env))
        return;
    yyjson_obj_foreach(env, i, n, key, value)
    {
        strv own = json_str(key), other = variable_of(json_str(value));
        buf_put_cstr(im->out, begun ? ", " : "    env: [ ");
        json_put_str(im->out, own);
        begun = true;
        if (strv_starts(json_str(value), STRV("${input:")))
            note(im, name,
                 "the application asks for it each time; set this variable for the router:", own);
        else if (other.len == 0)
            note(im, name, "set this variable for the router, its value was not copied:", own);
        else if (!strv_eq(own, other))
            note(im, name, "set this variable for the router from the one that was named:", own);
    }
    if (begun)
        buf_put_cstr(im->out, " ]\n");
}

/* The name of a variable for a secret of this server: FILES_AUTHORIZATION. */
static strv made_up_variable(struct import *im, const char *name, strv header)
{
    char *text = arena_printf(&im->arena, "%s_" STRV_FMT, name, STRV_ARG(header));
    for (char *c = text; c != NULL && *c != '\0'; c++)
        *c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
    return text != NULL ? strv_of(text) : STRV("KEY");
}

static void put_headers(struct import *im, const char *name, yyjson_val *headers)
{
    yyjson_val *key, *value;
    size_t i, n;
    struct buf more;
    if (!yyjson_is_obj(headers))
        return;
    buf_init(&more, FILE_BYTES_MAX);
    yyjson_obj_foreach(headers, i, n, key, value)
    {
        strv header = json_str(key), text = json_str(value);
        bool bearer =
            strv_eq_nocase(header, STRV("Authorization")) && strv_starts(text, STRV("Bearer "));
        strv variable = variable_of(bearer ? strv_trim(strv_from(text, 7)) : text);
        if (variable.len == 0) {
            variable = made_up_variable(im, name, header);
            note(im, name,
                 bearer ? "set this variable to the key, which was not copied:"
                        : "set this variable to the header's value, which was not copied:",
                 variable);
        }
        if (bearer) {
            put_text(im, "key_env", variable);
            continue;
        }
        buf_put_cstr(&more, buf_len(&more) > 0 ? ", \"" : "\"");
        json_put_esc(&more, header);
        buf_put_char(&more, '=');
        json_put_esc(&more, variable);
        buf_put_char(&more, '"');
    }
    if (buf_len(&more) > 0)
        buf_printf(im->out, "    headers: [ " STRV_FMT " ]\n", STRV_ARG(buf_view(&more)));
    im->out->failed |= more.failed;
    buf_fini(&more);
}

static void put_list(struct import *im, const char *key, yyjson_val *list)
{
    size_t i, n;
    bool begun = false;
    yyjson_val *item;
    yyjson_arr_foreach(list, i, n, item)
    {
        if (!yyjson_is_str(item))
            continue;
        if (begun)
            buf_put_cstr(im->out, ", ");
        else
            buf_printf(im->out, "%s: [ ", key);
        json_put_str(im->out, json_str(item));
        begun = true;
    }
    if (begun)
        buf_put_cstr(im->out, " ]\n");
}

/* The include and exclude lists of bridges and applications. */
static void put_filter(struct import *im, yyjson_val *entry)
{
    yyjson_val *filter = json_get(entry, "toolFilter");
    bool deny = strv_eq_cstr(json_get_str(filter, "mode"), "exclude");
    put_list(im, deny ? "    deny" : "    allow", json_get(filter, "tools"));
    if (filter != NULL)
        return;
    put_list(im, "    allow", json_get(entry, "includeTools"));
    put_list(im, "    deny",
             json_get(entry, "excludeTools") != NULL ? json_get(entry, "excludeTools")
                                                     : json_get(entry, "disabledTools"));
}

/* Cursor's auth, Claude's oauth: what the client is known by. */
static void put_oauth(struct import *im, const char *name, yyjson_val *entry)
{
    yyjson_val *auth = json_get(entry, "auth"), *oauth = json_get(entry, "oauth");
    strv id = json_get_str(auth, "CLIENT_ID").len > 0 ? json_get_str(auth, "CLIENT_ID")
                                                      : json_get_str(oauth, "clientId");
    bool secret = json_get_str(auth, "CLIENT_SECRET").len > 0;
    int64_t port = json_get_int(oauth, "callbackPort", 0);
    if (id.len == 0)
        return;
    buf_put_cstr(im->out, "    oauth:\n      client_id: ");
    json_put_str(im->out, id);
    buf_put_char(im->out, '\n');
    tell_unresolved(im, name, id);
    if (secret) {
        strv variable = made_up_variable(im, name, STRV("client_secret"));
        buf_printf(im->out, "      secret_env: \"" STRV_FMT "\"\n", STRV_ARG(variable));
        note(im, name, "set this variable to the client's secret, which was not copied:", variable);
    }
    if (port > 0 && port < 65536)
        buf_printf(im->out, "      port: %d\n", (int)port);
    put_list(im, "      scopes", json_get(auth, "scopes"));
    note(im, name, "log in once with: llm-router mcp login", strv_of(name));
}

static void tell_unknown(struct import *im, const char *name, yyjson_val *entry)
{
    static const char *const known[] = {"command",
                                        "args",
                                        "env",
                                        "cwd",
                                        "url",
                                        "serverUrl",
                                        "httpUrl",
                                        "type",
                                        "headers",
                                        "auth",
                                        "oauth",
                                        "toolFilter",
                                        "includeTools",
                                        "excludeTools",
                                        "disabledTools",
                                        "disabled",
                                        "enabled",
                                        "transport",
                                        NULL};
    yyjson_val *key, *value;
    size_t i, n;
    yyjson_obj_foreach(entry, i, n, key, value)
    {
        bool found = false;
        for (size_t k = 0; known[k] != NULL; k++)
            found = found || strv_eq_cstr(json_str(key), known[k]);
        if (!found)
            note(im, name, "left out, there is no such option:", json_str(key));
    }
}

static strv first_text(yyjson_val *entry, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (json_get_str(entry, *keys).len > 0)
            return json_get_str(entry, *keys);
    return STRV_NONE;
}

/* Without what a key often hides in: our own addresses have neither a user nor a query. */
static strv bare_url(struct import *im, const char *name, strv url)
{
    const char *query = memchr(url.ptr, '?', url.len), *at = memchr(url.ptr, '@', url.len);
    const char *scheme = memmem(url.ptr, url.len, "://", 3);
    if (query != NULL) {
        note(im, name, "what stands behind ? in its address was not copied; give a key by key_env",
             STRV_NONE);
        url.len = (size_t)(query - url.ptr);
    }
    if (at == NULL || at >= url.ptr + url.len || scheme == NULL || at < scheme)
        return url;
    note(im, name, "name and password in its address were not copied", STRV_NONE);
    char *text = arena_printf(&im->arena, "%.*s" STRV_FMT, (int)(scheme + 3 - url.ptr), url.ptr,
                              STRV_ARG(strv_from(url, (size_t)(at + 1 - url.ptr))));
    return text != NULL ? strv_of(text) : STRV("");
}

static bool is_here(strv url)
{
    static const char *const here[] = {"://localhost", "://127.", "://[::1]"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        if (strv_contains_nocase(url, strv_of(here[i])))
            return true;
    return false;
}

/* Which zone it is of, nobody has said: on this machine it is local, and else the operator has to. */
static void put_zone(struct import *im, const char *name, strv url)
{
    if (is_here(url))
        return;
    buf_put_cstr(im->out, "    zone: cloud\n");
    note(im, name,
         "taken for one outside: if it is on the premises, say zone: local, and local_networks",
         STRV_NONE);
}

/* A child with an address among its arguments passes on what it is told: mcp-remote, supergateway. */
static void put_zone_of_child(struct import *im, const char *name, yyjson_val *args)
{
    size_t i, n;
    yyjson_val *arg;
    yyjson_arr_foreach(args, i, n, arg)
    {
        strv text = json_str(arg);
        if (!strv_contains_nocase(text, STRV("://")) || is_here(text))
            continue;
        buf_put_cstr(im->out, "    zone: cloud\n");
        note(im, name,
             "has an address among its arguments, so it is taken for one outside: if that "
             "is on the premises, say zone: local",
             STRV_NONE);
        return;
    }
}

static void put_remote(struct import *im, const char *name, yyjson_val *entry, strv url, strv type)
{
    url = bare_url(im, name, url);
    put_text(im, "url", url);
    tell_unresolved(im, name, url);
    if (strv_eq_nocase(type, STRV("sse")))
        buf_put_cstr(im->out, "    transport: sse\n");
    put_zone(im, name, url);
    put_headers(im, name, json_get(entry, "headers"));
    put_oauth(im, name, entry);
}

/* Why nothing here can be this server; NULL = it can. */
static const char *unfit(yyjson_val *entry, strv command, strv url, strv type)
{
    if (!yyjson_is_obj(entry) || (command.len == 0 && url.len == 0))
        return "left out: neither command nor url";
    if (strv_starts(type, STRV("ws")) || strv_eq_nocase(type, STRV("websocket")) ||
        strv_starts(url, STRV("ws")))
        return "left out: servers by WebSocket are not reached";
    return NULL;
}

static void put_server(struct import *im, strv own, yyjson_val *entry)
{
    static const char *const urls[] = {"url", "serverUrl", "httpUrl", NULL};
    static const char *const types[] = {"type", "transport", NULL};
    char name[NAME_MAX_LEN + 1];
    name_for(im, own, name);
    strv command = json_get_str(entry, "command"), url = first_text(entry, urls);
    const char *why = unfit(entry, command, url, first_text(entry, types));
    if (why != NULL) {
        note(im, name, why, STRV_NONE);
        return;
    }
    memcpy(im->names[im->n++], name, sizeof name);
    buf_printf(im->out, "  %s:\n", name);
    if (!strv_eq_cstr(own, name))
        note(im, name, "this is its new name; the old one was", own);
    if (command.len > 0) {
        put_command(im, name, entry, command);
        put_zone_of_child(im, name, json_get(entry, "args"));
        put_env(im, name, json_get(entry, "env"));
        if (json_get_str(entry, "cwd").len > 0)
            put_text(im, "cwd", json_get_str(entry, "cwd"));
        tell_unresolved(im, name, json_get_str(entry, "cwd"));
    } else {
        put_remote(im, name, entry, url, first_text(entry, types));
    }
    if (yyjson_is_true(json_get(entry, "disabled")) || yyjson_is_false(json_get(entry, "enabled")))
        buf_put_cstr(im->out, "    enabled: false\n");
    put_filter(im, entry);
    tell_unknown(im, name, entry);
}

/* ---- the rest of such a file ---- */

/* A bridge's model is a provider and the role for tools here, which the alias agent leads to. */
static void put_model(struct import *im, yyjson_val *llm)
{
    static const char *const unfit_here[] = {"temperature", "maxTokens", NULL};
    strv model = json_get_str(llm, "model"), url = json_get_str(llm, "baseUrl");
    if (!yyjson_is_obj(llm))
        return;
    buf_put_cstr(im->out, "providers:\n  ollama:\n    kind: ollama\n    url: ");
    json_put_str(im->out, url.len > 0 ? bare_url(im, "llm", url) : STRV("http://127.0.0.1:11434"));
    buf_put_char(im->out, '\n');
    if (model.len > 0) {
        buf_put_cstr(im->out, "roles:\n  tools: [ \"ollama/");
        json_put_esc(im->out, model);
        buf_put_cstr(im->out, "\" ]\n");
    }
    if (json_get_str(llm, "apiKey").len > 0)
        note(im, "llm", "its key was not copied; where one is needed, set providers.ollama.key_env",
             STRV_NONE);
    for (size_t i = 0; unfit_here[i] != NULL; i++)
        if (json_get(llm, unfit_here[i]) != NULL)
            note(im, "llm", "left out, each request says it itself:", strv_of(unfit_here[i]));
}

static void tell_rest(struct import *im, yyjson_val *root)
{
    static const char *const known[] = {"mcpServers", "servers", "inputs", "mcp",
                                        "llm",        "$schema", NULL};
    yyjson_val *key, *value;
    size_t i, n;
    yyjson_obj_foreach(root, i, n, key, value)
    {
        bool found = json_get(root, "mcp") != NULL; /* settings of a whole application */
        for (size_t k = 0; known[k] != NULL; k++)
            found = found || strv_eq_cstr(json_str(key), known[k]);
        if (strv_eq_cstr(json_str(key), "systemPrompt"))
            note(im, "file", "left out, each request says it itself:", STRV("systemPrompt"));
        else if (!found)
            note(im, "file", "left out, there is nothing like it here:", json_str(key));
    }
    yyjson_arr_foreach(json_get(root, "inputs"), i, n, value)
        note(im, "file",
             "the application asks for this, here it is a variable:", json_get_str(value, "id"));
}

bool mcp_import_text(strv text, struct buf *out, struct buf *notes, struct err *err)
{
    struct import *im = mem_zalloc(sizeof *im);
    struct json doc;
    yyjson_val *key, *value;
    size_t i, n;
    if (im == NULL)
        return err_oom(err);
    im->out = out;
    im->notes = notes;
    arena_init(&im->arena, 4096, 8 * FILE_BYTES_MAX);
    bool ok = json_read(&doc, text, &im->arena, 0, err);
    yyjson_val *servers = ok ? json_get(doc.root, "mcpServers") : NULL;
    yyjson_val *root = ok ? doc.root : NULL;
    if (servers == NULL && json_get(json_get(root, "mcp"), "servers") != NULL)
        root = json_get(root, "mcp");
    if (ok && servers == NULL)
        servers = json_get(root, "servers");
    if (ok && !yyjson_is_obj(servers))
        ok = err_set(err, 0, "expected an object with mcpServers (or servers)");
    if (ok)
        buf_put_cstr(out, "mcp_servers:\n");
    yyjson_obj_foreach(ok ? servers : NULL, i, n, key, value)
    {
        if (im->n == MCP_SERVERS_MAX) {
            note(im, "mcp_servers", "too many; the rest was left out", STRV_NONE);
            break;
        }
        put_server(im, json_str(key), value);
    }
    if (ok) {
        put_model(im, json_get(root, "llm"));
        tell_rest(im, root);
    }
    if (ok && (out->failed || notes->failed || im->arena.failed))
        ok = err_oom(err);
    arena_fini(&im->arena);
    mem_free(im);
    return ok;
}

int mcp_import(struct cli *cli)
{
    struct buf text, out, notes;
    struct err err = ERR_INIT;
    struct cli rest = *cli; /* the file is the first of the words that are left */
    rest.words++;
    rest.n_words--;
    buf_init(&text, FILE_BYTES_MAX);
    buf_init(&out, 2 * FILE_BYTES_MAX);
    buf_init(&notes, 2 * FILE_BYTES_MAX);
    int status = command_request(&rest, &text);
    if (status == EXIT_OK && !mcp_import_text(buf_view(&text), &out, &notes, &err)) {
        term_error("%s: %s", rest.words[0], err.text);
        status = EXIT_FAILED;
    }
    if (status == EXIT_OK) {
        fwrite(buf_view(&notes).ptr, 1, buf_len(&notes), stderr);
        status = term_write(&out) ? EXIT_OK : EXIT_FAILED;
    }
    buf_fini(&text);
    buf_fini(&notes);
    return status;
}
