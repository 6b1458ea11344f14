/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_models - what the word `model` of a request may hold, as providers tell it now.
 *
 * A model is printed with its provider in front, as it can be asked for without any doubt. Where the
 * configuration says which models of a provider may be used, those count and not the provider's own list.
 */
#include "app/probe.h"
#include "app/term.h"

#define OUT_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct row {
    const struct probe *probe;
    strv name;
    const struct provider_model *facts; /* NULL = it told nothing about it */
};
typedef void (*row_fn)(void *arg, const struct row *row);

static const struct provider_model *find_facts(const struct probe *probe, const char *name)
{
    for (size_t i = 0; probe->models != NULL && i < probe->models->n; i++)
        if (strcmp(probe->models->items[i].name, name) == 0)
            return &probe->models->items[i];
    return NULL;
}

static void each_row(const struct probe *probe, row_fn fn, void *arg)
{
    const char *const *fixed = probe->p->static_models;
    /* several servers under one name serve the same */
    if (!probe_usable(probe) || probe != probe_of(probe->set, probe->p->index))
        return;
    for (; fixed != NULL && *fixed != NULL; fixed++)
        fn(arg, &(struct row){probe, strv_of(*fixed), find_facts(probe, *fixed)});
    if (probe->p->static_models != NULL && probe->p->static_models[0] != NULL)
        return;
    for (size_t i = 0; probe->models != NULL && i < probe->models->n; i++)
        fn(arg,
           &(struct row){probe, strv_of(probe->models->items[i].name), &probe->models->items[i]});
    if (probe->models == NULL && probe_spawns(probe->p))
        fn(arg, &(struct row){probe, provider_spawn_alias(&probe->p->spawn), NULL});
}

static bool row_is_local(const struct row *row)
{
    return row->probe->p->zone == ZONE_LOCAL && (row->facts == NULL || !row->facts->remote);
}

/* ---- for people ---- */

static const char *notes(const struct row *row)
{
    if (row->probe->state == PROBE_NOT_RUNNING)
        return "not running: serve starts it";
    if (row->probe->state == PROBE_LOADING)
        return "loading";
    if (row->probe->state == PROBE_RUNNING)
        return "loaded";
    if (row->facts == NULL)
        return row->probe->models != NULL ? "not in the provider's list" : "";
    if (row->facts->remote)
        return "served elsewhere";
    return row->facts->loaded ? "loaded" : "";
}

static void table_row(void *arg, const struct row *row)
{
    struct term_table *t = arg;
    char context[24] = "";
    if (row->facts != NULL && row->facts->context > 0)
        snprintf(context, sizeof context, "%lld", (long long)row->facts->context);
    term_table_cell(t, TERM_PLAIN, "%s/" STRV_FMT, row->probe->p->name, STRV_ARG(row->name));
    term_table_cell(t, TERM_PLAIN, "%s", row_is_local(row) ? "local" : "cloud");
    term_table_cell(t, TERM_PLAIN, "%s", context);
    term_table_cell(t, TERM_DIM, "%s", notes(row));
}

static void put_lists(struct buf *out, bool color, const char *title,
                      const struct policy_list *lists, size_t n)
{
    struct term_table t;
    if (n == 0)
        return;
    buf_put_char(out, '\n');
    term_put(out, color, TERM_BOLD, title);
    buf_put_char(out, '\n');
    term_table_init(&t, 2);
    for (size_t i = 0; i < n; i++) {
        struct buf names;
        buf_init(&names, 480);
        for (size_t k = 0; k < lists[i].n; k++)
            buf_printf(&names, "%s%s", k > 0 ? ", " : "", lists[i].names[k].text);
        term_table_cell(&t, TERM_PLAIN, "%s", lists[i].name);
        term_table_cell(&t, TERM_PLAIN, STRV_FMT "%s", STRV_ARG(buf_view(&names)),
                        names.failed ? ", ..." : "");
        buf_fini(&names);
    }
    term_table_put(&t, out, 0, color);
}

static void print_text(struct cli *cli, const struct probe_set *set, struct buf *out)
{
    const struct policy_conf *policy = &set->config->snapshot->policy;
    struct term_table t;
    static const char *const heads[] = {"MODEL", "ZONE", "CONTEXT", "NOTES"};
    term_table_init(&t, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&t, TERM_BOLD, "%s", heads[i]);
    for (size_t i = 0; i < set->n; i++)
        each_row(&set->items[i], table_row, &t);
    if (t.n == t.columns) { /* nothing but its head */
        t.n = 0;
        buf_put_cstr(out, "no models\n");
    }
    term_table_put(&t, out, 0, cli->color);
    put_lists(out, cli->color, "ROLES", policy->roles, policy->n_roles);
    put_lists(out, cli->color, "ALIASES", policy->aliases, policy->n_aliases);
}

/* ---- for programs ---- */

struct json_rows {
    struct buf *out;
    size_t n;
};

static void json_number(struct buf *out, bool *first, const char *key, int64_t value)
{
    json_put_key(out, first, key);
    if (value > 0)
        buf_put_i64(out, value);
    else
        buf_put_cstr(out, "null");
}

static void json_row(void *arg, const struct row *row)
{
    struct json_rows *rows = arg;
    struct buf *out = rows->out;
    const struct provider_model *facts = row->facts;
    bool first = true;
    buf_put_cstr(out, rows->n++ > 0 ? ",{" : "{");
    json_put_key(out, &first, "id");
    buf_put_char(out, '"');
    json_put_esc(out, strv_of(row->probe->p->name));
    buf_put_char(out, '/');
    json_put_esc(out, row->name);
    buf_put_char(out, '"');
    term_json_text(out, &first, "provider", strv_of(row->probe->p->name));
    term_json_text(out, &first, "model", row->name);
    term_json_bool(out, &first, "is_local", row_is_local(row));
    term_json_bool(out, &first, "loaded", facts != NULL && facts->loaded);
    json_number(out, &first, "context", facts != NULL ? facts->context : 0);
    json_number(out, &first, "size_bytes", facts != NULL ? facts->size_bytes : 0);
    buf_put_char(out, '}');
}

static void json_lists(struct buf *out, bool *first, const char *key,
                       const struct policy_list *lists, size_t n)
{
    bool first_list = true;
    json_put_key(out, first, key);
    buf_put_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        json_put_key(out, &first_list, lists[i].name);
        buf_put_char(out, '[');
        for (size_t k = 0; k < lists[i].n; k++) {
            if (k > 0)
                buf_put_char(out, ',');
            json_put_str(out, strv_of(lists[i].names[k].text));
        }
        buf_put_char(out, ']');
    }
    buf_put_char(out, '}');
}

static void print_json(const struct probe_set *set, struct buf *out)
{
    const struct policy_conf *policy = &set->config->snapshot->policy;
    struct json_rows rows = {.out = out};
    bool first = true, first_provider = true;
    buf_put_char(out, '{');
    json_put_key(out, &first, "models");
    buf_put_char(out, '[');
    for (size_t i = 0; i < set->n; i++)
        each_row(&set->items[i], json_row, &rows);
    buf_put_char(out, ']');
    json_lists(out, &first, "roles", policy->roles, policy->n_roles);
    json_lists(out, &first, "aliases", policy->aliases, policy->n_aliases);
    json_put_key(out, &first, "providers");
    buf_put_char(out, '{');
    for (size_t i = 0; i < set->n; i++) {
        bool first_fact = true;
        json_put_key(out, &first_provider, set->items[i].p->cell->name);
        buf_put_char(out, '{');
        term_json_text(out, &first_fact, "state", strv_of(probe_state_name(set->items[i].state)));
        term_json_text(out, &first_fact, "why", strv_of(set->items[i].why));
        buf_put_char(out, '}');
    }
    buf_put_cstr(out, "}}\n");
}

/* ---- */

int command_models(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct buf out;
    struct config *config = command_config(cli);
    size_t usable = 0;
    if (config == NULL)
        return EXIT_USAGE;
    struct probe_set *set = probe_all(config, false, &err);
    if (set == NULL) {
        term_error("%s", err.text);
        config_free(config);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < set->n; i++) {
        const struct probe *probe = &set->items[i];
        usable += probe_usable(probe);
        if (!probe_usable(probe))
            term_error("%s: %s", probe->p->cell->name, probe->why);
    }
    if (set->n == 0)
        term_error("no provider is configured");
    buf_init(&out, OUT_BYTES_MAX);
    if (cli->flags[FLAG_JSON] != NULL)
        print_json(set, &out);
    else
        print_text(cli, set, &out);
    bool written = term_write(&out);
    probe_free(set);
    config_free(config);
    return !written ? EXIT_FAILED : usable > 0 ? EXIT_OK : EXIT_UNREACHABLE;
}
