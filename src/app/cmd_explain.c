/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_explain - where a request would go and why, by the same policy_run() that serve uses.
 *
 * Providers are asked for their model lists, since a plan depends on them; the question itself goes
 * nowhere. The state of a running router (breakers, queues) is not known here and not part of a plan.
 */
#include "app/probe.h"
#include "app/term.h"

#define OUT_BYTES_MAX   ((size_t)1024 * 1024)
#define ARENA_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct explanation {
    struct probe_set *set;
    struct llm_request r;
    struct policy_plan plan;
    struct err err; /* set: there is no plan */
    struct llm_part part;
    struct llm_message message;
};

static bool ask_policy(struct cli *cli, struct explanation *x, strv question, struct arena *arena)
{
    const char *const *flags = cli->flags;
    struct exchange_env env = {.snapshot = x->set->config->snapshot};
    x->part = (struct llm_part){.kind = LLM_PART_TEXT, .text = question};
    x->message = (struct llm_message){.role = LLM_USER, .parts = &x->part, .n_parts = 1};
    x->r = (struct llm_request){
        .dialect = LLM_NATIVE,
        .op = LLM_OP_CHAT,
        .model = flags[FLAG_MODEL] != NULL ? strv_of(flags[FLAG_MODEL]) : STRV(""),
        .provider = STRV(""),
        .messages = &x->message,
        .n_messages = 1,
        .choices = 1,
    };
    return policy_hints(&x->r, strv_of(flags[FLAG_MODE]),
                        flags[FLAG_PRIVATE] != NULL ? STRV("private") : STRV_NONE,
                        strv_of(flags[FLAG_TASK]), &x->err) &&
           exchange_explain(&env, &x->r, arena, &x->plan, &x->err);
}

static const struct probe *target_probe(const struct explanation *x, size_t target)
{
    return probe_of(x->set, x->plan.targets[target].provider);
}

/* What the probe found out about a target, "" when all is well or nothing is known. */
static const char *trouble(const struct probe *probe)
{
    bool fine = probe->state == PROBE_OK || probe->state == PROBE_RUNNING ||
                probe->state == PROBE_NOT_ASKED;
    return fine ? "" : probe->why;
}

/* ---- for people ---- */

static void put_targets(const struct explanation *x, struct buf *out, bool color)
{
    struct term_table t;
    term_table_init(&t, 5);
    for (size_t i = 0; i < x->plan.n; i++) {
        const struct policy_target *target = &x->plan.targets[i];
        const struct probe *probe = target_probe(x, i);
        term_table_cell(&t, TERM_BOLD, "%zu", i + 1);
        term_table_cell(&t, TERM_BOLD, "%s/" STRV_FMT, probe->p->name, STRV_ARG(target->model));
        term_table_cell(&t, TERM_PLAIN, "%s", probe->p->zone == ZONE_LOCAL ? "local" : "cloud");
        term_table_cell(&t, TERM_PLAIN, "%s", target->why);
        term_table_cell(&t, probe->state == PROBE_FAILED ? TERM_BAD : TERM_DIM, "%s",
                        trouble(probe));
    }
    term_table_put(&t, out, 2, color);
}

static void put_skips(const struct explanation *x, struct buf *out, bool color)
{
    struct term_table t;
    if (x->plan.n_skips == 0)
        return;
    buf_put_cstr(out, "left out\n");
    term_table_init(&t, 2);
    for (size_t i = 0; i < x->plan.n_skips; i++) {
        term_table_cell(&t, TERM_PLAIN, "%s", x->plan.skips[i].candidate);
        term_table_cell(&t, TERM_PLAIN, "%s", x->plan.skips[i].why);
    }
    term_table_put(&t, out, 2, color);
}

static void print_text(const struct explanation *x, struct buf *out, bool color)
{
    const struct policy_plan *plan = &x->plan;
    if (!x->err.set) {
        buf_put_cstr(out, "private  ");
        buf_put_cstr(out, plan->is_private ? "yes: only local providers may see it\n" : "no\n");
        buf_put_cstr(out, "chosen   ");
        term_put(out, color, TERM_PLAIN, plan->reason != NULL ? plan->reason : "");
        buf_put_cstr(out, "\nplan\n");
        put_targets(x, out, color);
    }
    put_skips(x, out, color);
}

/* ---- for programs ---- */

static void json_target(const struct explanation *x, size_t i, struct buf *out)
{
    const struct probe *probe = target_probe(x, i);
    bool first = true;
    buf_put_cstr(out, i > 0 ? ",{" : "{");
    term_json_text(out, &first, "provider", strv_of(probe->p->name));
    term_json_text(out, &first, "model", x->plan.targets[i].model);
    term_json_text(out, &first, "zone",
                   probe->p->zone == ZONE_LOCAL ? STRV("local") : STRV("cloud"));
    term_json_text(out, &first, "why", strv_of(x->plan.targets[i].why));
    term_json_text(out, &first, "state", strv_of(probe_state_name(probe->state)));
    buf_put_char(out, '}');
}

static void json_error(const struct err *err, struct buf *out, bool *first)
{
    bool first_fact = true;
    json_put_key(out, first, "error");
    buf_put_char(out, '{');
    term_json_text(out, &first_fact, "code", strv_of(llm_error_row(err->code)->code));
    term_json_text(out, &first_fact, "message", strv_of(err->text));
    buf_put_char(out, '}');
}

static void print_json(const struct explanation *x, struct buf *out)
{
    const struct policy_plan *plan = &x->plan;
    bool first = true;
    buf_put_char(out, '{');
    term_json_bool(out, &first, "is_private", plan->is_private);
    term_json_bool(out, &first, "explicit", plan->explicit_choice);
    term_json_text(out, &first, "task", plan->task);
    term_json_text(out, &first, "reason", strv_of(plan->reason));
    json_put_key(out, &first, "plan");
    buf_put_char(out, '[');
    for (size_t i = 0; i < plan->n && !x->err.set; i++)
        json_target(x, i, out);
    buf_put_char(out, ']');
    json_put_key(out, &first, "skipped");
    buf_put_char(out, '[');
    for (size_t i = 0; i < plan->n_skips; i++) {
        bool first_fact = true;
        buf_put_cstr(out, i > 0 ? ",{" : "{");
        term_json_text(out, &first_fact, "candidate", strv_of(plan->skips[i].candidate));
        term_json_text(out, &first_fact, "why", strv_of(plan->skips[i].why));
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
    if (x->err.set)
        json_error(&x->err, out, &first);
    buf_put_cstr(out, "}\n");
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

static int explain(struct cli *cli, struct explanation *x, strv question)
{
    struct arena arena;
    struct buf out;
    arena_init(&arena, 16 * 1024, ARENA_BYTES_MAX);
    buf_init(&out, OUT_BYTES_MAX);
    if (!ask_policy(cli, x, question, &arena))
        err_oom(&x->err); /* unless it says more already */
    if (cli->flags[FLAG_JSON] != NULL)
        print_json(x, &out);
    else
        print_text(x, &out, cli->color);
    bool written = term_write(&out);
    arena_fini(&arena);
    for (size_t i = 0; x->err.set && i < x->set->n; i++)
        if (x->set->items[i].state == PROBE_FAILED)
            term_error("%s: %s", x->set->items[i].p->cell->name, x->set->items[i].why);
    if (x->err.set)
        term_error("%s", x->err.text);
    return written ? status_of(x) : EXIT_FAILED;
}

int command_explain(struct cli *cli)
{
    struct explanation x = {.err = ERR_INIT};
    struct buf question;
    buf_init(&question, COMMAND_QUESTION_MAX);
    int status = command_question(cli, &question);
    struct config *config = status == EXIT_OK ? command_config(cli) : NULL;
    if (config != NULL) {
        x.set = probe_all(config, cli->flags[FLAG_OFFLINE] != NULL, &x.err);
        if (x.set != NULL) {
            status = explain(cli, &x, buf_view(&question));
            probe_free(x.set);
        } else {
            term_error("%s", x.err.text);
            status = EXIT_FAILED;
        }
        config_free(config);
    } else if (status == EXIT_OK) {
        status = EXIT_USAGE;
    }
    buf_fini(&question);
    return status;
}
