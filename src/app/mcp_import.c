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
 * Nothing is started, and nothing is taken over unseen: the operator reads what comes out and puts it into his file. Secrets
 * stand in such files often, so no value of a variable or header is copied; the notes say what must be set.
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
    yyjson_arr_foreach(args, i, n, arg)
    {
        if (!yyjson_is_str(arg)) {
            note(im, name, "an argument is no text and was left out", STRV_NONE);
            continue;
        }
        buf_put_cstr(im->out, ", ");
        json_put_str(im->out, json_str(arg));
    }
    buf_put_cstr(im->out, " ]\n");
}

static void put_env(struct import *im, const char *name, yyjson_val *env)
{
    yyjson_val *key, *value;
    size_t i, n;
    bool begun = false;
    yyjson_obj_foreach(env, i, n, key, value)
    {
        strv own = json_str(key), other = variable_of(json_str(value));
        buf_put_cstr(im->out, begun ? ", " : "    env: [ ");
        json_put_str(im->out, own);
        begun = true;
        if (other.len == 0)
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

/* The include and exclude lists that bridges have. */
static void put_filter(struct import *im, yyjson_val *entry)
{
    yyjson_val *filter = json_get(entry, "toolFilter");
    yyjson_val *tools =
                   filter != NULL ? json_get(filter, "tools") : json_get(entry, "disabledTools"),
               *tool;
    bool deny = filter == NULL || strv_eq_cstr(json_get_str(filter, "mode"), "exclude");
    size_t i, n;
    bool begun = false;
    yyjson_arr_foreach(tools, i, n, tool)
    {
        if (!yyjson_is_str(tool))
            continue;
        buf_put_cstr(im->out, begun ? ", " : deny ? "    deny: [ " : "    allow: [ ");
        json_put_str(im->out, json_str(tool));
        begun = true;
    }
    if (begun)
        buf_put_cstr(im->out, " ]\n");
}

static void tell_unknown(struct import *im, const char *name, yyjson_val *entry)
{
    static const char *const known[] = {
        "command",       "args",     "env",     "cwd",       "url",
        "serverUrl",     "httpUrl",  "type",    "headers",   "toolFilter",
        "disabledTools", "disabled", "enabled", "transport", NULL};
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

static void put_server(struct import *im, strv own, yyjson_val *entry)
{
    static const char *const urls[] = {"url", "serverUrl", "httpUrl", NULL};
    static const char *const types[] = {"type", "transport", NULL};
    char name[NAME_MAX_LEN + 1];
    name_for(im, own, name);
    strv command = json_get_str(entry, "command"), url = first_text(entry, urls);
    if (!yyjson_is_obj(entry) || (command.len == 0 && url.len == 0)) {
        note(im, name, "left out: neither command nor url", STRV_NONE);
        return;
    }
    memcpy(im->names[im->n++], name, sizeof name);
    buf_printf(im->out, "  %s:\n", name);
    if (!strv_eq_cstr(own, name))
        note(im, name, "this is its new name; the old one was", own);
    if (command.len > 0) {
        put_command(im, name, entry, command);
        put_env(im, name, json_get(entry, "env"));
        if (json_get_str(entry, "cwd").len > 0)
            put_text(im, "cwd", json_get_str(entry, "cwd"));
    } else {
        put_text(im, "url", url);
        if (strv_eq_nocase(first_text(entry, types), STRV("sse")))
            buf_put_cstr(im->out, "    transport: sse\n");
        put_headers(im, name, json_get(entry, "headers"));
    }
    if (yyjson_is_true(json_get(entry, "disabled")) || yyjson_is_false(json_get(entry, "enabled")))
        buf_put_cstr(im->out, "    enabled: false\n");
    put_filter(im, entry);
    tell_unknown(im, name, entry);
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
    if (ok && servers == NULL)
        servers = json_get(doc.root, "servers");
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
