/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_approvals - calls of tools that wait for a person, at the terminal of the router's host.
 *
 * Reads and writes the store, as `keys` does; a running router sees a decision within a moment. What a model or a tool
 * server wrote is shown whole, since that is what is decided upon, but without control characters.
 */
#include "app/command.h"
#include "app/term.h"

#include <string.h>

#include "agent/agent.h"

#define LIST_MAX ((size_t)64 * 1024 * 1024)

static bool wall_us(int64_t *out, struct err *err)
{
    struct io_loop *loop = io_loop_new(err);
    if (loop == NULL)
        return false;
    *out = io_wall_us(loop);
    io_loop_free(loop);
    return true;
}

struct listing {
    struct buf out;
    bool json, color;
    int64_t now_us;
    size_t n;
};

static void put_moment(struct buf *out, bool *first, const char *key, int64_t us)
{
    char text[TIMEFMT_MAX];
    term_json_text(out, first, key, (strv){text, timefmt_rfc3339(text, us, 0)});
}

static void put_json(struct listing *l, const struct store_approval *a)
{
    bool first = true;
    buf_put_cstr(&l->out, l->n > 0 ? ",{" : "{");
    term_json_text(&l->out, &first, "id", strv_of(a->id));
    term_json_text(&l->out, &first, "server", strv_of(a->server));
    term_json_text(&l->out, &first, "tool", strv_of(a->tool));
    term_json_text(&l->out, &first, "effect", strv_of(mcp_effect_name((enum mcp_effect)a->effect)));
    term_json_text(&l->out, &first, "key", strv_of(a->key));
    put_moment(&l->out, &first, "asked", a->asked_us);
    put_moment(&l->out, &first, "until", a->until_us);
    term_json_bool(&l->out, &first, "rememberable", !a->always && a->session[0] != '\0');
    buf_put_cstr(&l->out, ",\"arguments\":");
    buf_put_cstr(&l->out, a->arguments);
    buf_put_char(&l->out, '}');
}

static void put_words(struct listing *l, const struct store_approval *a)
{
    char until[TIMEFMT_MAX];
    timefmt_rfc3339(until, a->until_us, 0);
    term_put(&l->out, l->color, TERM_BOLD, a->id);
    buf_put_cstr(&l->out, "  ");
    term_put(&l->out, l->color, TERM_PLAIN, a->server);
    buf_put_char(&l->out, '/');
    term_put(&l->out, l->color, TERM_PLAIN, a->tool);
    buf_printf(&l->out, "  (%s%s)  until %s", mcp_effect_name((enum mcp_effect)a->effect),
               a->always ? ", each time" : "", until);
    if (a->key[0] != '\0')
        buf_printf(&l->out, "  key %s", a->key);
    buf_put_cstr(&l->out, "\n    ");
    term_clean(&l->out, strv_of(a->arguments), false);
    buf_put_char(&l->out, '\n');
}

static bool list_one(void *arg, const struct store_approval *a)
{
    struct listing *l = arg;
    if (a->decision != AGENT_PENDING || a->until_us <= l->now_us || a->effect < 0 ||
        a->effect >= MCP_EFFECTS)
        return true;
    if (l->json)
        put_json(l, a);
    else
        put_words(l, a);
    l->n++;
    return true;
}

static int list(struct cli *cli, struct store *store)
{
    struct err err = ERR_INIT;
    struct listing l = {.json = cli->flags[FLAG_JSON] != NULL, .color = cli->color};
    buf_init(&l.out, LIST_MAX);
    if (l.json)
        buf_put_cstr(&l.out, "{\"approvals\":[");
    bool ok = wall_us(&l.now_us, &err) && store_approval_each(store, list_one, &l, &err);
    if (l.json)
        buf_put_cstr(&l.out, "]}\n");
    else if (ok && l.n == 0)
        fputs("no call waits for an approval\n", stderr);
    if (!ok) {
        term_error("%s", err.text);
        buf_fini(&l.out);
        return EXIT_FAILED;
    }
    return term_write(&l.out) ? EXIT_OK : EXIT_FAILED;
}

/* May a decision about it be remembered? */
struct looking {
    const char *id;
    bool rememberable;
};

static bool look(void *arg, const struct store_approval *a)
{
    struct looking *l = arg;
    if (strcmp(a->id, l->id) != 0)
        return true;
    l->rememberable = !a->always && a->session[0] != '\0';
    return false;
}

static int decide(struct cli *cli, struct store *store, enum agent_decision decision)
{
    struct err err = ERR_INIT;
    struct buf out;
    int64_t now_us;
    bool remember = cli->flags[FLAG_REMEMBER] != NULL;
    struct looking l = {cli->words[1], false};
    bool ok = wall_us(&now_us, &err) && (!remember || store_approval_each(store, look, &l, &err));
    if (ok && remember && (!l.rememberable || decision != AGENT_APPROVED))
        ok = err_set(&err, 0,
                     "only an approval of a call that names a session, and need not be "
                     "approved each time, can be remembered");
    if (!ok || !store_approval_decide(store, cli->words[1], (int)decision, remember, "terminal",
                                      now_us, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    buf_init(&out, 4096);
    if (cli->flags[FLAG_JSON] != NULL) {
        bool first = true;
        buf_put_char(&out, '{');
        term_json_text(&out, &first, "id", strv_of(cli->words[1]));
        term_json_text(&out, &first, "decision", strv_of(agent_decision_name(decision)));
        buf_put_cstr(&out, "}\n");
    } else {
        buf_printf(&out, "%s ", agent_decision_name(decision));
        term_clean(&out, strv_of(cli->words[1]), false);
        buf_put_char(&out, '\n');
    }
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}

int command_approvals(struct cli *cli)
{
    struct err err = ERR_INIT;
    const char *verb = cli->n_words > 0 ? cli->words[0] : "list";
    bool lists = strcmp(verb, "list") == 0, yes = strcmp(verb, "approve") == 0;
    if ((lists ? cli->n_words > 1 : cli->n_words != 2) ||
        (!lists && !yes && strcmp(verb, "deny") != 0) ||
        (lists && cli->flags[FLAG_REMEMBER] != NULL))
        return command_usage_error(cli);
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    struct store *store = command_store(config, false, &err);
    int status = EXIT_FAILED;
    if (store == NULL)
        term_error("%s", err.text);
    else
        status = lists ? list(cli, store) : decide(cli, store, yes ? AGENT_APPROVED : AGENT_DENIED);
    store_close(store);
    config_free(config);
    return status;
}
