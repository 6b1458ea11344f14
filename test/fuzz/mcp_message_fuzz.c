/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_message - what an MCP server may send: messages, pages of lists, and the catalogue made of them.
 *
 *   each line is a message; results are taken as pages of each kind of list, the first line with a NUL in front as an
 *   overlay
 *
 * A message is read or says what it is not. A catalogue is made of whatever was listed: names of models are unique,
 * of few letters, at most 64, and lead back to their tool; schemas are those of objects; texts are clean.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mcp/catalogue_int.h"
#include "mcp/client_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void take_line(strv line, struct mcp_listing *listing)
{
    struct mcp_message m;
    struct arena arena;
    struct err err = ERR_INIT;
    int code = 0;

    arena_init(&arena, 4096, 1 << 26);
    bool ok = mcp_message_read(line, &arena, &m, &code, &err);
    check(ok != err.set && (ok || code == MCP_PARSE_ERROR || code == MCP_INVALID_REQUEST));
    check(m.id.ptr == NULL || (m.id.ptr >= line.ptr && m.id.ptr + m.id.len <= line.ptr + line.len));
    for (int k = 0; ok && m.kind == MCP_RESULT && k < MCP_LISTS; k++)
        mcp_list_add_page(listing->lists[k], (enum mcp_list_kind)k, 50, &m.json, m.result);
    strv clean = mcp_clean(line, 100, &arena);
    check(clean.len <= 100 && utf8_valid(clean) && memchr(clean.ptr, 0x1b, clean.len) == NULL);
    arena_fini(&arena);
}

static void check_tool(const struct mcp_catalogue *c, const struct mcp_tool *t)
{
    struct arena arena;
    struct json doc;
    size_t len = strlen(t->id);

    check(len > 0 && len < MCP_NAME_MAX && mcp_catalogue_tool(c, strv_of(t->id)) == t);
    check(strspn(t->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len);
    check(utf8_valid(t->description) && utf8_valid(t->title));
    arena_init(&arena, 4096, 1 << 26);
    check(json_read(&doc, t->schema, &arena, 0, NULL) &&
          strv_eq(json_get_str(doc.root, "type"), STRV("object")));
    if (t->note.len > 0)
        check(json_read(&doc, t->note, &arena, 0, NULL) && yyjson_is_obj(doc.root));
    arena_fini(&arena);
}

static void make_catalogue(struct mcp_listing *listing, strv overlay)
{
    struct mcp_server_conf conf = {
        .name = "s", .transport = MCP_HTTP, .overlay_text = overlay, .local = true};
    struct mcp_source source = {.conf = &conf, .listing = listing, .state = MCP_READY};
    struct mcp_catalogue *c = mcp_catalogue_make(&source, 1, 1);

    check(c != NULL && c->n_tools == listing->lists[MCP_TOOLS]->n);
    for (size_t i = 0; i < c->n_tools; i++)
        check_tool(c, &c->tools[i]);
    mcp_catalogue_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mcp_listing *listing = mem_zalloc(sizeof *listing);
    strv rest = {(const char *)data, size}, line, overlay = STRV("");

    check(listing != NULL);
    listing->refs = 1;
    listing->era = MCP_ERA_MODERN;
    listing->title = listing->version = listing->instructions = STRV("");
    arena_init(&listing->arena, 1024, 1 << 20);
    for (int k = 0; k < MCP_LISTS; k++)
        check((listing->lists[k] = mcp_list_new()) != NULL);
    if (size > 0 && data[0] == 0 && strv_cut(&rest, '\n', &line))
        overlay = strv_from(line, 1);
    while (size > 0 && strv_cut(&rest, '\n', &line))
        take_line(line, listing);
    make_catalogue(listing, overlay);
    mcp_listing_unref(listing);
    check(mem_live() == 0);
    return 0;
}
