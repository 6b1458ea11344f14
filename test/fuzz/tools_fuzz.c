/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools - a tool from any server, a call from any model, an answer from any tool.
 *
 *   the schema, a line end, the overlay's entry, a line end, the arguments, a line end, the description
 *
 * Slim schemas are JSON of an object and a second slimming keeps them; mended arguments are an object that the schema
 * takes, and mending them again changes nothing; a refusal says why. The arguments stand for a result as well.
 */
#include <stdint.h>
#include <stdlib.h>

#include "agent/outcome.h"
#include "agent/repair.h"
#include "agent/slim.h"
#include "agent/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static yyjson_val *object(strv text, struct arena *arena)
{
    struct json doc;
    check(json_read(&doc, text, arena, 0, NULL) && yyjson_is_obj(doc.root));
    return doc.root;
}

static void slim(const struct mcp_tool *t, struct arena *arena)
{
    struct slim full, lean, again;
    struct mcp_tool second = *t;
    check(slim_make(t, SLIM_FULL, arena, &full) && slim_make(t, SLIM_LEAN, arena, &lean));
    (void)object(full.tool.schema, arena);
    (void)object(lean.tool.schema, arena);
    check(utf8_valid(full.tool.description) && full.tool.description.len < 400);
    second.schema = full.tool.schema;
    check(slim_make(&second, SLIM_FULL, arena, &again));
    check(again.tokens <= full.tokens + 8);
}

static void repair(const struct mcp_tool *t, strv args, struct arena *arena)
{
    uint32_t counts[AGENT_REPAIRS] = {0}, more[AGENT_REPAIRS] = {0};
    struct err err = ERR_INIT, err2 = ERR_INIT;
    strv out, again;
    if (!agent_repair_args(t, args, arena, &out, counts, &err)) {
        check(err.set && err.text[0] != '\0' && utf8_valid(strv_of(err.text)));
        return;
    }
    (void)object(out, arena);
    check(agent_repair_args(t, out, arena, &again, more, &err2));
}

static void outcome(const struct mcp_tool *t, strv result, struct arena *arena)
{
    struct agent_outcome o;
    struct agent_outcome_opts opts = {.bytes_max = 300, .images = true};
    struct mcp_answer a = {.end = MCP_OK, .result = result, .text = STRV("")};
    check(agent_outcome_make(t, &a, &opts, arena, &o));
    check(o.part.n_parts > 0 && utf8_valid(o.part.parts[0].text));
    check(o.part.parts[0].text.len < 700);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct mcp_tool t = {.id = "x__t", .name = STRV("t"), .title = STRV("")};
    strv rest = {(const char *)data, size}, args = STRV("");
    struct word w;
    if (size == 0 || !strv_cut(&rest, '\n', &t.schema) || !strv_cut(&rest, '\n', &t.note) ||
        !strv_cut(&rest, '\n', &args))
        return 0;
    t.description = rest.ptr != NULL ? rest : STRV("");
    arena_init(&arena, 4096, 1 << 29);
    slim(&t, &arena);
    repair(&t, args, &arena);
    outcome(&t, args, &arena);
    for (strv text = t.description; words_next(&text, &w);)
        check(w.len > 0 && w.len <= WORD_MAX && w.stem_len <= w.len);
    arena_fini(&arena);
    return 0;
}
