/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf_test - for tests: a catalogue made of a list of tools and an overlay, as the hub would make it. Included by
 * one source of a program.
 */
#ifndef AGENT_SHELF_TEST_H
#define AGENT_SHELF_TEST_H

#include <stdio.h>
#include <stdlib.h>

#include "agent/menu.h"

struct shelf {
    struct arena arena;
    struct mcp_catalogue *catalogue;
    struct mcp_listed server;
    yyjson_val *list; /* of the file */
};

static inline strv shelf_file(const char *folder, const char *name, struct arena *arena)
{
    char path[1024];
    const char *data = getenv("TEST_DATA");
    snprintf(path, sizeof path, "%s/%s/%s", data != NULL ? data : "test/data", folder, name);
    FILE *f = fopen(path, "rb");
    strv out = STRV_NONE;
    if (f == NULL) {
        fprintf(stderr, "cannot open %s\n", path);
        exit(1);
    }
    if (fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        char *text = size > 0 ? arena_alloc(arena, (size_t)size) : NULL;
        rewind(f);
        if (text != NULL && fread(text, 1, (size_t)size, f) == (size_t)size)
            out = (strv){text, (size_t)size};
    }
    fclose(f);
    if (out.ptr == NULL)
        exit(1);
    return out;
}

static inline void shelf_tool(struct shelf *s, struct mcp_tool *t, const struct json *doc,
                              yyjson_val *val, yyjson_val *notes)
{
    strv name = json_get_str(val, "name");
    yyjson_val *note = notes != NULL ? yyjson_obj_getn(notes, name.ptr, name.len) : NULL;
    memset(t, 0, sizeof *t);
    t->server = &s->server;
    t->name = name;
    snprintf(t->id, sizeof t->id, "%s__" STRV_FMT, s->server.name, STRV_ARG(name));
    t->title = t->output_schema = t->note = STRV("");
    t->description = json_get_str(val, "description");
    if (t->description.ptr == NULL)
        t->description = STRV("");
    (void)json_raw_member(doc, val, "inputSchema", &t->schema);
    if (note != NULL) {
        struct buf b;
        buf_init(&b, 1 << 20);
        json_put_val(&b, note, &s->arena);
        t->note = arena_strv(&s->arena, buf_view(&b));
        buf_fini(&b);
    }
}

/* `keep` says which tools of the file to take; NULL = all. overlay NULL = none. */
static inline void shelf_open(struct shelf *s, const char *server, strv list, strv overlay,
                              bool (*keep)(yyjson_val *tool))
{
    struct json doc, over = {.root = NULL};
    struct err err = ERR_INIT;
    yyjson_val *one;
    size_t i, n;
    if (!json_read(&doc, list, &s->arena, 0, &err) ||
        (overlay.ptr != NULL && !json_read(&over, overlay, &s->arena, 0, &err))) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    s->list = json_get(doc.root, "tools");
    s->server = (struct mcp_listed){.name = server, .overlay = overlay, .state = MCP_READY};
    s->catalogue = mem_zalloc(sizeof *s->catalogue);
    atomic_init(&s->catalogue->refs, 1);
    arena_init(&s->catalogue->arena, 1024, 1 << 20);
    struct mcp_tool *tools = ARENA_ARRAY(&s->arena, struct mcp_tool, yyjson_arr_size(s->list) + 1);
    yyjson_arr_foreach(s->list, i, n, one)
    {
        if (keep == NULL || keep(one))
            shelf_tool(s, &tools[s->catalogue->n_tools++], &doc, one, json_get(over.root, "tools"));
    }
    s->catalogue->tools = tools;
    s->catalogue->servers = &s->server;
    s->catalogue->n_servers = 1;
}

static inline void shelf_scheduler(struct shelf *s, bool with_overlay, bool (*keep)(yyjson_val *))
{
    arena_init(&s->arena, 1 << 16, 1 << 26);
    strv overlay =
        with_overlay ? shelf_file("../../data", "scheduler-overlay.json", &s->arena) : STRV_NONE;
    shelf_open(s, "scheduler", shelf_file("tools", "scheduler.json", &s->arena), overlay, keep);
}

static inline void shelf_text(struct shelf *s, const char *list)
{
    arena_init(&s->arena, 1 << 14, 1 << 26);
    shelf_open(s, "x", strv_of(list), STRV_NONE, NULL);
}

static inline void shelf_close(struct shelf *s)
{
    mcp_catalogue_unref(s->catalogue);
    arena_fini(&s->arena);
}

#endif
