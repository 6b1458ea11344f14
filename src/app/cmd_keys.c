/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_keys - the API keys of callers: add, edit, list, revoke.
 *
 *   llmr_ + 43 characters of [0-9A-Za-z]     256 bits from the system; the store keeps their SHA-256
 *
 * The key alone goes to standard output, so that a script can keep it; what else there is to say goes to
 * standard error. A key is not shown again: nobody knows it any more.
 */
#include "app/command.h"
#include "app/file.h"
#include "app/term.h"

#include <string.h>
#include <unistd.h>

#define LIST_MAX ((size_t)64 * 1024 * 1024)

struct store *command_store(const struct config *config, bool create, struct err *err)
{
    return store_open(&config->store, create, err);
}

struct key_list {
    struct policy_key *items;
    size_t n, cap;
    bool failed;
    struct err *err;
};

static bool collect_key(void *arg, const struct store_key *key)
{
    struct key_list *l = arg;
    if (key->revoked_us != 0)
        return true;
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? l->cap * 2 : 16;
        struct policy_key *items = mem_realloc(l->items, cap * sizeof *items);
        l->failed = items == NULL;
        if (l->failed)
            return err_oom(l->err);
        l->items = items;
        l->cap = cap;
    }
    struct policy_key *k = &l->items[l->n++];
    l->failed = !policy_rules_read(strv_of(key->rules), &k->rules, l->err);
    memcpy(k->id, key->id, sizeof k->id);
    memcpy(k->name, key->name, sizeof k->name);
    memcpy(k->digest, key->digest, sizeof k->digest);
    return !l->failed;
}

struct policy_keys *command_policy_keys(struct store *store, const struct policy_keys *before,
                                        struct err *err)
{
    struct key_list list = {.err = err};
    bool ok = store == NULL || store_key_each(store, collect_key, &list, err);
    ok = ok && !list.failed; /* half of the keys are none */
    struct policy_keys *keys = ok ? policy_keys_new(list.items, list.n, before) : NULL;
    mem_free(list.items);
    if (keys == NULL)
        err_oom(err); /* unless it says more already */
    return keys;
}

bool command_now(int64_t *out, struct err *err)
{
    struct io_loop *loop = io_loop_new(err);
    if (loop == NULL)
        return false;
    *out = io_wall_us(loop);
    io_loop_free(loop);
    return true;
}

static void put_key_json(struct buf *out, const struct store_key *key)
{
    buf_put_char(out, '{');
    api_key_json(key, out);
}

/* ---- rules ---- */

static const char *const *rule_flags(const struct cli *cli)
{
    return &cli->flags[FLAG_RULE_MODE];
}

static bool any_rule(const struct cli *cli)
{
    for (unsigned i = 0; i < POLICY_RULES; i++)
        if (rule_flags(cli)[i] != NULL)
            return true;
    return false;
}

/* What the flags say, over what stands there. */
static bool take_rules(const struct cli *cli, struct policy_rules *rules, int64_t now_us,
                       struct err *err)
{
    for (unsigned i = 0; i < POLICY_RULES; i++) {
        const char *text = rule_flags(cli)[i];
        if (text != NULL &&
            !policy_rule_set(rules, (enum policy_rule)i, strv_of(text), now_us, err))
            return false;
    }
    return true;
}

/* ---- add ---- */

static bool note_key(void *arg, const struct store_key *key)
{
    bool *any = arg;
    *any = *any || key->revoked_us == 0;
    return true;
}

static bool to_file(const char *path, struct buf *text)
{
    struct err err = ERR_INIT;
    bool ok = !text->failed && file_replace(path, buf_view(text), &err);
    if (!ok)
        term_error("%s", text->failed ? "out of memory" : err.text);
    mem_wipe((char *)buf_view(text).ptr, buf_len(text));
    buf_fini(text);
    return ok;
}

static int key_make(struct cli *cli, struct store *store)
{
    struct err err = ERR_INIT;
    struct store_key key;
    struct policy_rules rules = {.mode = LLM_MODE_UNSET};
    struct buf out;
    char text[API_SECRET_BYTES];
    const char *first = cli->flags[FLAG_FIRST];
    int64_t now_us;
    if (!command_now(&now_us, &err) || !take_rules(cli, &rules, now_us, &err) ||
        !api_key_make(strv_of(cli->words[1]), &rules, now_us, &key, text, &err) ||
        !store_key_add(store, &key, &err)) {
        mem_wipe(text, sizeof text);
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    buf_init(&out, 4096);
    if (cli->flags[FLAG_JSON] != NULL) {
        put_key_json(&out, &key);
        buf_printf(&out, ",\"key\":\"%s\"}\n", text);
    } else {
        buf_printf(&out, "%s\n", text);
        fprintf(stderr, "key %s for \"%s\"; it is %s, keep it\n", key.id, key.name,
                first != NULL ? "in the file alone" : "shown this once");
    }
    mem_wipe(text, sizeof text);
    if (first != NULL ? to_file(first, &out) : term_write(&out))
        return EXIT_OK;
    /* Nobody has seen it: it must not lie about unknown. */
    store_key_revoke(store, key.id, key.created_us, &err);
    return EXIT_FAILED;
}

static int key_add(struct cli *cli, struct store *store)
{
    struct err err = ERR_INIT;
    bool any = false;
    if (cli->flags[FLAG_FIRST] != NULL && !store_key_each(store, note_key, &any, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    if (any)
        fputs("there is a key already\n", stderr);
    return any ? EXIT_OK : key_make(cli, store);
}

/* ---- edit ---- */

struct search {
    const char *id;
    struct store_key key;
    bool found;
};

static bool look_for(void *arg, const struct store_key *key)
{
    struct search *s = arg;
    s->found = strcmp(key->id, s->id) == 0;
    if (s->found)
        s->key = *key;
    return !s->found;
}

static bool edit(struct cli *cli, struct store *store, struct search *s, struct err *err)
{
    struct policy_rules rules;
    int64_t now_us;
    if (!command_now(&now_us, err) || !store_key_each(store, look_for, s, err))
        return false;
    if (!s->found)
        return err_set(err, 0, "there is no key %.31s", s->id);
    return policy_rules_read(strv_of(s->key.rules), &rules, err) &&
           take_rules(cli, &rules, now_us, err) && api_key_rules(&rules, &s->key, err) &&
           store_key_edit(store, s->key.id, s->key.rules, err);
}

static int key_edit(struct cli *cli, struct store *store)
{
    struct err err = ERR_INIT;
    struct search s = {.id = cli->words[1]};
    struct buf out;
    if (!edit(cli, store, &s, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    buf_init(&out, 8192);
    if (cli->flags[FLAG_JSON] != NULL) {
        put_key_json(&out, &s.key);
        buf_put_cstr(&out, "}\n");
    } else {
        buf_printf(&out, "changed %s\n%s", s.key.id, s.key.rules);
    }
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}

/* ---- list ---- */

struct listing {
    bool json;
    size_t n;
    struct buf out;
    struct term_table table;
};

static void cell_time(struct term_table *t, int64_t us)
{
    char text[TIMEFMT_MAX] = "";
    if (us != 0)
        timefmt_rfc3339(text, us, 0);
    term_table_cell(t, TERM_PLAIN, "%s", text);
}

/* "mode=local rpm=60" */
static void cell_rules(struct term_table *t, const char *rules)
{
    char text[STORE_RULES_MAX];
    size_t n = strlen(rules);
    memcpy(text, rules, n + 1);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    term_table_cell(t, TERM_PLAIN, "%s", text);
}

static bool list_key(void *arg, const struct store_key *key)
{
    struct listing *l = arg;
    if (l->json) {
        if (l->n > 0)
            buf_put_char(&l->out, ',');
        put_key_json(&l->out, key);
        buf_put_char(&l->out, '}');
    } else {
        term_table_cell(&l->table, TERM_PLAIN, "%s", key->id);
        term_table_cell(&l->table, TERM_PLAIN, "%s", key->name);
        cell_time(&l->table, key->created_us);
        cell_time(&l->table, key->revoked_us);
        cell_rules(&l->table, key->rules);
    }
    l->n++;
    return true;
}

static int key_list(struct cli *cli, struct store *store)
{
    static const char *const heads[] = {"ID", "NAME", "CREATED", "REVOKED", "RULES"};
    struct err err = ERR_INIT;
    struct listing l = {.json = cli->flags[FLAG_JSON] != NULL};
    buf_init(&l.out, LIST_MAX);
    term_table_init(&l.table, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        term_table_cell(&l.table, TERM_BOLD, "%s", heads[i]);
    if (l.json)
        buf_put_cstr(&l.out, "{\"keys\":[");
    bool ok = store_key_each(store, list_key, &l, &err);
    if (l.json)
        buf_put_cstr(&l.out, "]}\n");
    if (!ok)
        term_error("%s", err.text);
    else if (l.n == 0 && !l.json)
        fputs("there are no keys; make one with: llm-router keys add NAME\n", stderr);
    if (l.json || l.n == 0)
        l.table.n = 0;
    term_table_put(&l.table, &l.out, 0, cli->color);
    if (!ok)
        buf_fini(&l.out);
    return ok && term_write(&l.out) ? EXIT_OK : EXIT_FAILED;
}

/* ---- revoke ---- */

static int key_revoke(struct cli *cli, struct store *store)
{
    struct err err = ERR_INIT;
    struct buf out;
    int64_t now_us;
    if (!command_now(&now_us, &err) || !store_key_revoke(store, cli->words[1], now_us, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    buf_init(&out, 4096);
    if (cli->flags[FLAG_JSON] != NULL) {
        buf_put_cstr(&out, "{\"id\":");
        json_put_str(&out, strv_of(cli->words[1]));
        buf_put_cstr(&out, ",\"revoked\":");
        json_put_time(&out, now_us, 0);
        buf_put_cstr(&out, "}\n");
    } else {
        buf_printf(&out, "revoked %s\n", cli->words[1]);
    }
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}

/* ---- */

static const struct {
    const char *name;
    size_t words; /* with its own */
    bool create;  /* makes the store if there is none */
    bool rules;   /* takes the flags of rules */
    int (*run)(struct cli *cli, struct store *store);
} verbs[] = {
    {"add", 2, true, true, key_add},
    {"edit", 2, false, true, key_edit},
    {"list", 1, false, false, key_list},
    {"revoke", 2, false, false, key_revoke},
};

/* What is wrong with the words is said before anything is opened. */
static bool words_ok(struct cli *cli, size_t verb)
{
    struct err err = ERR_INIT;
    struct policy_rules rules = {.mode = LLM_MODE_UNSET};
    if (!verbs[verb].rules && any_rule(cli))
        term_error("keys %s takes no rules", verbs[verb].name);
    else if (verbs[verb].run != key_add && cli->flags[FLAG_FIRST] != NULL)
        term_error("--first belongs to keys add");
    else if (verbs[verb].run == key_edit && !any_rule(cli))
        term_error("keys edit: say what to change, as --rpm 60");
    else if (verbs[verb].run == key_add && !api_key_name_ok(strv_of(cli->words[1])))
        term_error("a key's name has 1 to 63 bytes and no control characters");
    else if (!take_rules(cli, &rules, 0, &err))
        term_error("--%s", err.text);
    else
        return true;
    return false;
}

int command_keys(struct cli *cli)
{
    struct err err = ERR_INIT;
    size_t v = 0, n_verbs = sizeof verbs / sizeof *verbs;
    while (v < n_verbs && strcmp(cli->words[0], verbs[v].name) != 0)
        v++;
    if (v == n_verbs || cli->n_words != verbs[v].words)
        return command_usage_error(cli);
    if (!words_ok(cli, v))
        return EXIT_USAGE;
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    struct store *store = command_store(config, verbs[v].create, &err);
    if (store == NULL)
        term_error("%s", err.text);
    int status = store != NULL ? verbs[v].run(cli, store) : EXIT_FAILED;
    store_close(store);
    config_free(config);
    return status;
}
