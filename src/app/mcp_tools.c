/* SPDX-License-Identifier: Apache-2.0 */
/* mcp_tools - what the servers offer, and what of it a model would be offered with a question. */
#include "agent/agent.h"
#include "app/mcp.h"
#include "app/term.h"

#define OUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* ---- all of them ---- */

static bool is_meant(const struct cli *cli, const struct mcp_tool *t)
{
    return cli->n_words < 2 || strcmp(t->server->name, cli->words[1]) == 0;
}

static void tools_text(struct cli *cli, const struct mcp_catalogue *c, struct buf *out)
{
    static const char *const heads[] = {"TOOL", "DOES", "DATA", "APPROVAL", "DESCRIPTION"};
    struct term_table t;
    term_table_init(&t, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&t, TERM_BOLD, "%s", heads[i]);
    for (size_t i = 0; i < c->n_tools; i++) {
        const struct mcp_tool *tool = &c->tools[i];
        if (!is_meant(cli, tool))
            continue;
        strv line = tool->description, first;
        (void)strv_cut(&line, '\n', &first);
        first = utf8_cut(first, 100);
        term_table_cell(&t, TERM_PLAIN, "%s", tool->id);
        term_table_cell(&t, TERM_PLAIN, "%s", mcp_effect_name(tool->effect));
        term_table_cell(&t, TERM_PLAIN, "%s", mcp_data_name(tool->data));
        term_table_cell(&t, TERM_PLAIN, "%s", mcp_approval_name(tool->approval));
        if (tool->refused != NULL)
            term_table_cell(&t, TERM_BAD, "not offered: %s", tool->refused);
        else
            term_table_cell(&t, TERM_DIM, STRV_FMT, STRV_ARG(first));
    }
    term_table_put(&t, out, 0, cli->color);
}

static void tools_json(struct cli *cli, const struct mcp_catalogue *c, struct buf *out)
{
    bool begun = false;
    buf_put_cstr(out, "{\"tools\":[");
    for (size_t i = 0; i < c->n_tools; i++) {
        const struct mcp_tool *tool = &c->tools[i];
        bool first = true;
        if (!is_meant(cli, tool))
            continue;
        buf_put_cstr(out, begun ? ",{" : "{");
        begun = true;
        term_json_text(out, &first, "name", strv_of(tool->id));
        term_json_text(out, &first, "server", strv_of(tool->server->name));
        term_json_text(out, &first, "tool", tool->name);
        term_json_text(out, &first, "effect", strv_of(mcp_effect_name(tool->effect)));
        term_json_text(out, &first, "data", strv_of(mcp_data_name(tool->data)));
        term_json_text(out, &first, "approval", strv_of(mcp_approval_name(tool->approval)));
        term_json_text(out, &first, "refused", strv_of(tool->refused));
        term_json_text(out, &first, "description", tool->description);
        json_put_key(out, &first, "schema");
        buf_put_strv(out, tool->schema);
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, "]}\n");
}

/* ---- those for a question ---- */

static void menu_text(struct cli *cli, const struct agent_menu *menu, struct buf *out)
{
    static const char *const heads[] = {"", "TOOL", "TOKENS", "SCORE", "WHY"};
    size_t offered = 0;
    struct term_table t;
    term_table_init(&t, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&t, TERM_BOLD, "%s", heads[i]);
    for (size_t i = 0; i < menu->n_choices; i++) {
        const struct agent_choice *c = &menu->choices[i];
        enum term_style style = c->offered ? TERM_PLAIN : TERM_DIM;
        offered += c->offered;
        term_table_cell(&t, TERM_GOOD, "%s", c->offered ? "*" : "");
        term_table_cell(&t, style, "%s", c->tool->id);
        term_table_cell(&t, style, "%lld", (long long)c->tokens);
        term_table_cell(&t, style, "%.2f", (double)c->score);
        term_table_cell(&t, style, "%s", c->why);
    }
    buf_printf(out, "%zu of %zu tools%s, about %lld tokens, %zu bytes\n\n", offered,
               menu->n_choices, menu->has_finder ? " and " AGENT_FINDER : "",
               (long long)menu->tokens, menu->bytes);
    term_table_put(&t, out, 0, cli->color);
    buf_put_cstr(out, "\nAs a model sees them:\n\n");
    for (size_t i = 0; i < menu->n; i++) {
        buf_put_cstr(out, "  ");
        term_clean(out, menu->tools[i].name, false);
        buf_put_cstr(out, ": ");
        term_clean(out, menu->tools[i].description, false);
        buf_put_cstr(out, "\n    ");
        term_clean(out, menu->tools[i].schema, false);
        buf_put_char(out, '\n');
    }
}

static void menu_json(const struct agent_menu *menu, struct buf *out)
{
    bool first = true;
    buf_printf(out, "{\"tokens\":%lld,\"bytes\":%zu,\"finder\":%s,\"tools\":[",
               (long long)menu->tokens, menu->bytes, menu->has_finder ? "true" : "false");
    for (size_t i = 0; i < menu->n_choices; i++) {
        const struct agent_choice *c = &menu->choices[i];
        first = true;
        buf_put_cstr(out, i > 0 ? ",{" : "{");
        term_json_text(out, &first, "name", strv_of(c->tool->id));
        term_json_bool(out, &first, "offered", c->offered);
        json_put_key(out, &first, "tokens");
        buf_put_i64(out, c->tokens);
        json_put_key(out, &first, "score");
        json_put_num(out, (double)c->score);
        term_json_text(out, &first, "why", strv_of(c->why));
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, "],\"offer\":[");
    for (size_t i = 0; i < menu->n; i++) {
        first = true;
        buf_put_cstr(out, i > 0 ? ",{" : "{");
        term_json_text(out, &first, "name", menu->tools[i].name);
        term_json_text(out, &first, "description", menu->tools[i].description);
        json_put_key(out, &first, "parameters");
        buf_put_strv(out, menu->tools[i].schema.len > 0 ? menu->tools[i].schema : STRV("{}"));
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, "]}\n");
}

static bool is_of_server(void *arg, const struct mcp_tool *t)
{
    return is_meant(arg, t) && t->refused == NULL;
}

static bool print_menu(struct cli *cli, struct mcp_visit *v, struct buf *out)
{
    const struct mcp_conf *conf = &v->config->mcp;
    struct agent_index *index = agent_index_new(v->catalogue);
    struct arena arena;
    struct agent_menu menu;
    const struct agent_wish wish = {
        .question = strv_of(cli->flags[FLAG_FOR]),
        .before = STRV(""),
        .tokens_max = conf->offer_tokens,
        .bytes_max = conf->offer_bytes,
        .tools_max = conf->offer_max,
        .may = is_of_server,
        .arg = cli,
    };
    arena_init(&arena, 64 * 1024, OUT_BYTES_MAX);
    bool ok = index != NULL && agent_menu_make(index, &wish, &arena, &menu);
    if (ok && cli->flags[FLAG_JSON] != NULL)
        menu_json(&menu, out);
    else if (ok)
        menu_text(cli, &menu, out);
    else
        term_error("out of memory");
    arena_fini(&arena);
    agent_index_unref(index);
    return ok;
}

int mcp_tools(struct cli *cli)
{
    struct mcp_visit v;
    int status = mcp_visit_open(&v, cli);
    if (status == EXIT_OK && cli->n_words > 1 &&
        mcp_catalogue_server(v.catalogue, strv_of(cli->words[1])) == NULL) {
        term_error("there is no MCP server %s", cli->words[1]);
        status = EXIT_USAGE;
    }
    if (status == EXIT_OK) {
        struct buf out;
        bool ok = true;
        buf_init(&out, OUT_BYTES_MAX);
        if (cli->flags[FLAG_FOR] != NULL)
            ok = print_menu(cli, &v, &out);
        else if (cli->flags[FLAG_JSON] != NULL)
            tools_json(cli, v.catalogue, &out);
        else
            tools_text(cli, v.catalogue, &out);
        status = term_write(&out) && ok ? EXIT_OK : EXIT_FAILED;
    }
    mcp_visit_close(&v);
    return status;
}
