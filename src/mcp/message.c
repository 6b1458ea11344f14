/* SPDX-License-Identifier: Apache-2.0 */
/* message - what a line or a body says by JSON-RPC 2.0, and texts of a server made harmless. */
#include "mcp/message.h"

const char *const mcp_revisions[] = {MCP_MODERN,   MCP_LEGACY,   "2025-06-18",
                                     "2025-03-26", "2024-11-05", NULL};

enum mcp_era mcp_revision_era(strv revision)
{
    for (size_t i = 0; mcp_revisions[i] != NULL; i++)
        if (strv_eq_cstr(revision, mcp_revisions[i]))
            return i == 0 ? MCP_ERA_MODERN : MCP_ERA_LEGACY;
    return MCP_ERA_UNKNOWN;
}

/* ---- reading ---- */

/* A string or an integer, as text: its value is never looked at, so 2^53 and "\u0031" stay what they are. */
static bool id_is_sound(strv id)
{
    size_t i = id.len > 0 && id.ptr[0] == '-' ? 1 : 0;

    if (id.len > 0 && id.ptr[0] == '"')
        return true;
    if (i == id.len)
        return false;
    for (; i < id.len; i++)
        if (id.ptr[i] < '0' || id.ptr[i] > '9')
            return false;
    return true;
}

static bool read_call(struct mcp_message *m, yyjson_val *root, bool has_id, struct err *err)
{
    yyjson_val *params = json_get(root, "params");

    if (m->method.ptr == NULL)
        return err_set(err, 0, "method is not a string");
    if (params != NULL && !yyjson_is_obj(params))
        return err_set(err, 0, "params is not an object");
    m->params = params;
    m->kind = has_id ? MCP_REQUEST : MCP_NOTIFICATION;
    return true;
}

static bool read_error(struct mcp_message *m, yyjson_val *error, struct err *err)
{
    int64_t code;

    if (!yyjson_is_obj(error))
        return err_set(err, 0, "error is not an object");
    m->kind = MCP_ERROR;
    m->code = json_is_int(json_get(error, "code"), &code) && code >= INT32_MIN && code <= INT32_MAX
                  ? (int)code
                  : MCP_INTERNAL; /* a server that forgets its code has failed all the same */
    m->text = json_get_str(error, "message");
    if (m->text.ptr == NULL)
        m->text = STRV("");
    m->data = json_get(error, "data");
    return true;
}

static bool read_answer(struct mcp_message *m, yyjson_val *root, struct err *err)
{
    yyjson_val *result = json_get(root, "result"), *error = json_get(root, "error");

    if ((result == NULL) == (error == NULL))
        return err_set(err, 0, "a message has a method, a result or an error");
    if (error != NULL)
        return read_error(m, error, err);
    if (!yyjson_is_obj(result))
        return err_set(err, 0, "result is not an object");
    if (m->id.ptr == NULL)
        return err_set(err, 0, "a result without an id");
    m->kind = MCP_RESULT;
    m->result = result;
    return true;
}

bool mcp_message_read(strv text, struct arena *arena, struct mcp_message *out, int *code,
                      struct err *err)
{
    struct mcp_message *m = out;
    yyjson_val *root;
    strv id = STRV_NONE;
    bool has_id;

    *m = (struct mcp_message){.id = STRV_NONE, .method = STRV_NONE, .text = STRV("")};
    *code = MCP_PARSE_ERROR;
    if (!json_read(&m->json, text, arena, 0, err))
        return false;
    *code = MCP_INVALID_REQUEST;
    root = m->json.root;
    if (!yyjson_is_obj(root))
        return err_set(err, 0, "not an object; batches are not taken");
    has_id = json_raw_member(&m->json, root, "id", &id);
    if (has_id && id_is_sound(id))
        m->id = id;
    if (!strv_eq(json_get_str(root, "jsonrpc"), STRV("2.0")))
        return err_set(err, 0, "jsonrpc is not \"2.0\"");
    if (has_id && m->id.ptr == NULL &&
        (!strv_eq(id, STRV("null")) || json_get(root, "error") == NULL))
        return err_set(err, 0, "id is neither a string nor an integer");
    m->method = json_get_str(root, "method");
    if (json_get(root, "method") != NULL)
        return read_call(m, root, has_id, err);
    return read_answer(m, root, err);
}

/* ---- harmless texts ---- */

static uint32_t code_point(const char *p, int len)
{
    static const uint8_t first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)p[0] & first[len];

    for (int i = 1; i < len; i++)
        c = c << 6 | ((uint8_t)p[i] & 0x3f);
    return c;
}

/* What a terminal obeys, what turns the order of text around, and what no person sees but a model reads.
 * The joiners U+200C and U+200D stay: scripts and emoji need them. */
static bool is_harmful(uint32_t c)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {
        {0x00, 0x08},     {0x0b, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},     {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f},   {0x202a, 0x202e}, {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

/* Length of the terminal's command at the start of text, ESC [ ... letter; its visible part would be litter. */
static size_t escape_length(strv text)
{
    size_t n = 2;

    if (text.len < 2 || text.ptr[0] != '\x1b' || text.ptr[1] != '[')
        return 0;
    while (n < text.len && text.ptr[n] >= 0x20 && text.ptr[n] <= 0x3f)
        n++;
    return n < text.len && text.ptr[n] >= 0x40 && text.ptr[n] <= 0x7e ? n + 1 : n;
}

strv mcp_clean(strv text, size_t max, struct arena *arena)
{
    size_t room = text.len < max ? text.len : max, n = 0, i = 0;
    char *out = arena_alloc(arena, room + 1);

    if (out == NULL)
        return STRV_NONE;
    while (i < text.len) {
        strv rest = strv_from(text, i);
        size_t skip = escape_length(rest);
        int len = skip == 0 ? utf8_char(rest) : 0;

        if (len <= 0) { /* a command, or bytes that are no character */
            i += skip > 0 ? skip : 1;
            continue;
        }
        if (!is_harmful(code_point(rest.ptr, len))) {
            if (n + (size_t)len > room)
                break;
            memcpy(out + n, rest.ptr, (size_t)len);
            n += (size_t)len;
        }
        i += (size_t)len;
    }
    out[n] = '\0';
    return (strv){out, n};
}
