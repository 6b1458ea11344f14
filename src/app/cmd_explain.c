/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_explain - where a request would go and why, by the same functions that serve uses: verdict, class, plan.
 *
 * Providers are asked for their model lists, since a plan depends on them; the question itself goes
 * nowhere, and nothing of it is printed. What was spent is read from the ledger's file, and with --key a key's rules
 * from the store. What a running router alone knows (breakers, queues, conversations, how much of its rates a caller
 * has used) is not looked at: POST /router/explain asks the router itself.
 */
#include "app/probe.h"
#include "app/term.h"

#define OUT_BYTES_MAX   ((size_t)1024 * 1024)
#define ARENA_BYTES_MAX ((size_t)512 * 1024 * 1024)
#define BAR_COLUMNS     24
#define SHARE_SHOWN     0.02f /* a class below that is noise */

struct explanation {
    struct probe_set *set;
    struct llm_request r;
    struct exchange_outlook outlook;
    struct err err; /* set: there is no plan */
    struct llm_part part;
    struct llm_message message;
    struct exchange_asker asker;
    struct policy_keys *keys; /* the asker's is one of them; NULL = none was named */
    struct ledger_budget budget;
};

/* ---- who asks, and what was spent ---- */

static bool find_key(struct explanation *x, const char *name, struct err *err)
{
    struct store *store = command_store(x->set->config, false, err);
    x->keys = store != NULL ? command_policy_keys(store, NULL, err) : NULL;
    store_close(store);
    if (x->keys == NULL)
        return false;
    for (size_t i = 0; i < x->keys->n; i++)
        if (strcmp(x->keys->items[i].id, name) == 0 || strcmp(x->keys->items[i].name, name) == 0)
            x->asker.key = &x->keys->items[i];
    return x->asker.key != NULL || err_set(err, LLM_ERR_INVALID_REQUEST,
                                           "--key: there is no key %.64s that is in use", name);
}

static bool find_asker(const struct cli *cli, struct explanation *x)
{
    const char *name = cli->flags[FLAG_KEY_ID];
    if (!command_now(&x->asker.wall_us, &x->err) ||
        !command_budget(x->set->config, x->asker.wall_us, &x->budget, &x->err))
        return false;
    x->asker.budget = &x->budget;
    return name == NULL || find_key(x, name, &x->err);
}

/* ---- the request ---- */

static bool read_door(const char *name, enum llm_dialect *out, struct err *err)
{
    *out = LLM_NATIVE;
    for (int d = 0; name != NULL && d < LLM_DIALECTS; d++)
        if (strcmp(name, llm_dialect_name((enum llm_dialect)d)) == 0) {
            *out = (enum llm_dialect)d;
            return true;
        }
    return name == NULL || err_set(err, LLM_ERR_INVALID_REQUEST,
                                   "--door: native, openai, responses, anthropic or ollama");
}

static bool read_request(struct cli *cli, struct explanation *x, strv text, struct arena *arena)
{
    enum llm_dialect door;
    if (!read_door(cli->flags[FLAG_DOOR], &door, &x->err))
        return false;
    if (x->asker.key != NULL &&
        !policy_key_admits(x->asker.key, (int)door, x->asker.wall_us, &x->err))
        return false;
    if (cli->flags[FLAG_REQUEST] != NULL)
        return dialect_get(door)->decode_request(text, LLM_OP_CHAT, arena, &x->r, &x->err);
    x->part = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    x->message = (struct llm_message){.role = LLM_USER, .parts = &x->part, .n_parts = 1};
    x->r = (struct llm_request){
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = STRV(""),
        .provider = STRV(""),
        .messages = &x->message,
        .n_messages = 1,
        .choices = 1,
    };
    return true;
}

static bool ask_policy(struct cli *cli, struct explanation *x, strv text, struct arena *arena)
{
    const char *const *flags = cli->flags;
    struct exchange_env env = {.snapshot = x->set->config->snapshot};
    if (!find_asker(cli, x) || !read_request(cli, x, text, arena))
        return false;
    x->r.arena = arena;
    if (flags[FLAG_MODEL] != NULL)
        x->r.model = strv_of(flags[FLAG_MODEL]);
    return policy_hints(&x->r, strv_of(flags[FLAG_MODE]),
                        flags[FLAG_PRIVATE] != NULL ? STRV("private") : STRV_NONE,
                        strv_of(flags[FLAG_TASK]), &x->err) &&
           exchange_explain(&env, &x->r, &x->asker, arena, &x->outlook, &x->err);
}

static const struct probe *target_probe(const struct explanation *x, size_t target)
{
    return probe_of(x->set, x->outlook.plan.targets[target].provider);
}

/* What the probe found out about a target, "" when all is well or nothing is known. */
static const char *trouble(const struct probe *probe)
{
    bool fine = probe->state == PROBE_OK || probe->state == PROBE_RUNNING ||
                probe->state == PROBE_NOT_ASKED;
    return fine ? "" : probe->why;
}

/* ---- for people ---- */

static void put_head(struct buf *out, bool color, const char *name)
{
    term_put(out, color, TERM_DIM, name);
    buf_printf(out, "%*s", (int)(10 - strlen(name)), "");
}

static void put_verdict(const struct explanation *x, struct buf *out, bool color)
{
    const struct privacy_verdict *v = &x->outlook.verdict;
    bool yes = v->is_private || x->outlook.plan.is_private;
    struct term_table t;
    put_head(out, color, "private");
    term_put(out, color, yes ? TERM_BAD : TERM_GOOD,
             x->outlook.pseudonyms ? "yes: it may leave under pseudonyms"
             : yes                 ? "yes: only local providers may see it"
                                   : "no");
    buf_put_char(out, '\n');
    term_table_init(&t, 3);
    for (size_t i = 0; i < PRIVACY_KINDS; i++)
        if (v->counts[i] > 0) {
            term_table_cell(&t, TERM_BOLD, "%s", privacy_kinds[i].name);
            term_table_cell(&t, TERM_PLAIN, "%u", (unsigned)v->counts[i]);
            term_table_cell(&t, TERM_DIM, "%s", privacy_kinds[i].doc);
        }
    term_table_put(&t, out, 10, color);
}

static void put_scores(const struct classify_result *c, struct buf *out, bool color)
{
    static const char bar[BAR_COLUMNS + 1] = "########################";
    struct term_table t;
    term_table_init(&t, 3);
    for (size_t i = 0; i < CLASSIFY_TASKS; i++)
        if (c->scores[i] >= SHARE_SHOWN) {
            bool best = i == (size_t)c->task;
            float share = c->scores[i] < 1 ? c->scores[i] : 1;
            term_table_cell(&t, best ? TERM_BOLD : TERM_PLAIN, "%s", policy_tasks[i]);
            term_table_cell(&t, TERM_PLAIN, "%3.0f %%", (double)share * 100);
            term_table_cell(&t, best ? TERM_GOOD : TERM_DIM, "%.*s",
                            (int)(share * BAR_COLUMNS + 0.5f), bar);
        }
    term_table_put(&t, out, 10, color);
}

static void put_class(const struct explanation *x, struct buf *out, bool color)
{
    const struct classify_result *c = &x->outlook.classified;
    strv task = x->outlook.plan.task;
    char line[160];
    if (task.ptr == NULL)
        return;
    put_head(out, color, "class");
    snprintf(line, sizeof line, STRV_FMT, STRV_ARG(task));
    term_put(out, color, TERM_BOLD, line);
    if (!x->outlook.has_class) {
        buf_put_char(out, '\n');
        return;
    }
    bool said = !strv_eq_cstr(task, policy_tasks[c->task]);
    snprintf(line, sizeof line, "%s, complexity %.2f, %s",
             said      ? ", as the caller says"
             : c->sure ? ", sure"
                       : ", not sure: the default serves",
             (double)c->complexity,
             c->needs_cloud >= 0.5f ? "hard for a small model" : "a small model will do");
    term_put(out, color, TERM_PLAIN, line);
    buf_put_char(out, '\n');
    put_scores(c, out, color);
}

static void put_rules(const struct explanation *x, struct buf *out, bool color)
{
    const struct policy_plan *plan = &x->outlook.plan;
    struct term_table t;
    if (plan->reason != NULL) {
        put_head(out, color, "chosen");
        term_put(out, color, TERM_BOLD, plan->reason);
        buf_put_char(out, '\n');
    }
    if (plan->n_steps == 0)
        return;
    term_put(out, color, TERM_DIM, "rules");
    buf_put_char(out, '\n');
    term_table_init(
        &t, 2); /* what each looks at is in --json and docs/routing.md: lines are long enough */
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct policy_order *o = &policy_orders[plan->steps[i]];
        term_table_cell(&t, TERM_BOLD, "%s", o->name);
        term_table_cell(&t, TERM_PLAIN, "%s", o->does);
    }
    term_table_put(&t, out, 2, color);
}

static void put_sure(const struct explanation *x, struct buf *out, bool color)
{
    const struct policy_sure *sure = &x->outlook.plan.sure;
    char line[128];
    if (sure->mark <= 0 && sure->escalate <= 0)
        return;
    put_head(out, color, "sure");
    snprintf(line, sizeof line, "marked below %.3g, the next is asked below %.3g%s", sure->mark,
             sure->escalate, x->outlook.plan.is_private ? ", but not for a private request" : "");
    term_put(out, color, TERM_PLAIN, line);
    buf_put_char(out, '\n');
}

static void put_targets(const struct explanation *x, struct buf *out, bool color)
{
    const struct policy_plan *plan = &x->outlook.plan;
    struct term_table t;
    if (x->err.set)
        return;
    term_put(out, color, TERM_DIM, "plan");
    buf_put_char(out, '\n');
    term_table_init(&t, 5);
    for (size_t i = 0; i < plan->n; i++) {
        const struct policy_target *target = &plan->targets[i];
        const struct probe *probe = target_probe(x, i);
        bool local = probe->p->zone == ZONE_LOCAL;
        term_table_cell(&t, TERM_BOLD, "%zu", i + 1);
        term_table_cell(&t, TERM_BOLD, "%s/" STRV_FMT, probe->p->name, STRV_ARG(target->model));
        term_table_cell(&t, local ? TERM_GOOD : TERM_PLAIN, "%s", local ? "local" : "cloud");
        term_table_cell(&t, TERM_PLAIN, "%s", target->why);
        term_table_cell(&t, probe->state == PROBE_FAILED ? TERM_BAD : TERM_DIM, "%s",
                        trouble(probe));
    }
    term_table_put(&t, out, 2, color);
}

static void put_skips(const struct explanation *x, struct buf *out, bool color)
{
    const struct policy_plan *plan = &x->outlook.plan;
    struct term_table t;
    if (plan->n_skips == 0)
        return;
    term_put(out, color, TERM_DIM, "left out");
    buf_put_char(out, '\n');
    term_table_init(&t, 2);
    for (size_t i = 0; i < plan->n_skips; i++) {
        term_table_cell(&t, TERM_PLAIN, "%s", plan->skips[i].candidate);
        term_table_cell(&t, TERM_DIM, "%s", plan->skips[i].why);
    }
    term_table_put(&t, out, 2, color);
}

static void print_text(const struct explanation *x, struct buf *out, bool color)
{
    put_verdict(x, out, color);
    put_class(x, out, color);
    put_rules(x, out, color);
    put_sure(x, out, color);
    put_targets(x, out, color);
    put_skips(x, out, color);
}

/* ---- for programs ---- */

static const char *state_of(void *arg, size_t provider)
{
    return probe_state_name(probe_of(((struct explanation *)arg)->set, provider)->state);
}

static void print_json(struct explanation *x, struct buf *out)
{
    const struct exchange_states states = {state_of, x};
    exchange_outlook_json(x->set->config->snapshot, &x->outlook, &x->err, &states, out);
    buf_put_char(out, '\n');
}

/* ---- */

static int status_of(const struct explanation *x)
{
    size_t reached = 0;
    if (!x->err.set)
        return EXIT_OK;
    for (size_t i = 0; i < x->set->n; i++)
        reached += probe_usable(&x->set->items[i]);
    if (x->err.code == ERR_CODE_OOM)
        return EXIT_FAILED;
    if (x->err.code == LLM_ERR_INVALID_REQUEST)
        return EXIT_USAGE;
    return reached > 0 ? EXIT_REFUSED : EXIT_UNREACHABLE;
}

static int explain(struct cli *cli, struct explanation *x, strv text)
{
    struct arena arena;
    struct buf out;
    arena_init(&arena, 16 * 1024, ARENA_BYTES_MAX);
    buf_init(&out, OUT_BYTES_MAX);
    if (!ask_policy(cli, x, text, &arena))
        err_oom(&x->err); /* unless it says more already */
    if (cli->flags[FLAG_JSON] != NULL)
        print_json(x, &out);
    else if (x->err.code != ERR_CODE_OOM && x->err.code != LLM_ERR_INVALID_REQUEST)
        print_text(x, &out, cli->color);
    bool written = term_write(&out);
    arena_fini(&arena);
    policy_keys_unref(x->keys);
    ledger_budget_fini(&x->budget);
    for (size_t i = 0; x->err.set && i < x->set->n; i++)
        if (x->set->items[i].state == PROBE_FAILED)
            term_error("%s: %s", x->set->items[i].p->cell->name, x->set->items[i].why);
    if (x->err.set)
        term_error("%s", x->err.text);
    return written ? status_of(x) : EXIT_FAILED;
}

int command_explain(struct cli *cli)
{
    struct explanation *x = mem_zalloc(sizeof *x);
    struct buf text;
    if (x == NULL) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    buf_init(&text, COMMAND_QUESTION_MAX);
    int status = cli->flags[FLAG_REQUEST] != NULL ? command_request(cli, &text)
                                                  : command_question(cli, &text);
    struct config *config = status == EXIT_OK ? command_config(cli) : NULL;
    if (config != NULL) {
        x->set = probe_all(config, cli->flags[FLAG_OFFLINE] != NULL, &x->err);
        if (x->set != NULL) {
            status = explain(cli, x, buf_view(&text));
            probe_free(x->set);
        } else {
            term_error("%s", x->err.text);
            status = EXIT_FAILED;
        }
        config_free(config);
    } else if (status == EXIT_OK) {
        status = EXIT_USAGE;
    }
    buf_fini(&text);
    mem_free(x);
    return status;
}
