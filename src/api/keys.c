/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys - API keys over HTTP, for the operator's page: what `llm-router keys` does, by the same store.
 *
 *   request > thread: the store is opened, read or written, closed > loop: audit, answer
 *
 * The router sees for itself that the store has changed, within a second. What would lock the operator out, or let
 * everybody in, is left to the command line: a first key without the right admin, and the last key that has it. A secret
 * is told once, in the answer that makes it; digests never are.
 */
#include <pthread.h>
#include <stdio.h>

#include "api/api_int.h"
#include "api/target.h"
#include "api/wait.h"
#include "store/store.h"

#define LIST_MAX     ((size_t)64 << 20)
#define SECRET_CHARS 43 /* 62 to the power of 43 is more than 2 to the power of 256 */
#define ID_CHARS     12
#define DAY_US       ((int64_t)86400 * 1000000)
#define PAST_DAYS    36500

_Static_assert(sizeof API_KEY_PREFIX - 1 + SECRET_CHARS + 1 == API_SECRET_BYTES, "room for one");

/* ---- keys as such ---- */

/* n characters, all 62 equally likely: a byte above the last multiple of 62 is thrown away. */
static bool secret_text(char *out, size_t n)
{
    static const char set[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const unsigned limit = 256 / 62 * 62;
    unsigned char bytes[64];
    size_t done = 0;
    while (done < n) {
        if (!rng_secret(bytes, sizeof bytes))
            return false;
        for (size_t i = 0; i < sizeof bytes && done < n; i++)
            if (bytes[i] < limit)
                out[done++] = set[bytes[i] % 62];
    }
    mem_wipe(bytes, sizeof bytes);
    out[n] = '\0';
    return true;
}

bool api_key_name_ok(strv name)
{
    bool ok = name.len > 0 && name.len < sizeof((struct store_key *)0)->name && utf8_valid(name);
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.ptr[i] >= 0x20 && name.ptr[i] != 0x7f;
    return ok;
}

bool api_key_rules(const struct policy_rules *rules, struct store_key *key, struct err *err)
{
    struct buf text;
    buf_init(&text, sizeof key->rules - 1);
    policy_rules_write(rules, &text);
    bool ok = !text.failed;
    if (ok) {
        memcpy(key->rules, buf_view(&text).ptr, buf_len(&text));
        key->rules[buf_len(&text)] = '\0';
    }
    buf_fini(&text);
    return ok || err_oom(err);
}

bool api_key_make(strv name, const struct policy_rules *rules, int64_t now_us,
                  struct store_key *key, char secret[API_SECRET_BYTES], struct err *err)
{
    *key = (struct store_key){.id = "k_", .created_us = now_us};
    memcpy(key->name, name.ptr, name.len);
    memcpy(secret, API_KEY_PREFIX, sizeof API_KEY_PREFIX);
    if (!secret_text(secret + sizeof API_KEY_PREFIX - 1, SECRET_CHARS) ||
        !secret_text(key->id + 2, ID_CHARS))
        return err_set(err, 0, "the system gives no random numbers");
    policy_key_digest(strv_of(secret), key->digest);
    return api_key_rules(rules, key, err);
}

/* A rule that is not understood is shown as it stands: another version's. */
static void put_rules(const struct store_key *key, struct buf *out)
{
    struct policy_rules rules;
    struct err err = ERR_INIT;
    if (policy_rules_read(strv_of(key->rules), &rules, &err)) {
        policy_rules_json(&rules, out);
    } else {
        buf_put_cstr(out, ",\"rules\":");
        json_put_str(out, strv_of(key->rules));
    }
}

void api_key_json(const struct store_key *key, struct buf *out)
{
    buf_put_cstr(out, "\"id\":");
    json_put_str(out, strv_of(key->id));
    buf_put_cstr(out, ",\"name\":");
    json_put_str(out, strv_of(key->name));
    buf_put_cstr(out, ",\"created\":");
    json_put_time(out, key->created_us, 0);
    buf_put_cstr(out, ",\"revoked\":");
    json_put_time(out, key->revoked_us, 0);
    put_rules(key, out);
}

/* ---- a request on its way ---- */

struct used { /* the last day on which a key asked something */
    char key[32];
    int64_t day;
};

struct key_work {
    struct api_wait wait; /* first */
    struct api *api;
    void (*run)(struct key_work *w, struct store *store);
    struct audit_change change; /* what == NULL: none yet */
    char by[32];
    struct store_at at;
    struct snapshot *snapshot; /* which `at` points into */
    struct store_key key;      /* to be made; id: to be revoked */
    char secret[API_SECRET_BYTES];
    struct used *used;
    size_t n_used;
    struct buf answer;
    int status;
    struct err err;
};

static void work_free(struct key_work *w)
{
    mem_wipe(w->secret, sizeof w->secret);
    if (w->answer.data != NULL)
        mem_wipe(w->answer.data, w->answer.cap);
    buf_fini(&w->answer);
    mem_free(w->used);
    snapshot_unref(w->snapshot);
    mem_free(w);
}

static struct key_work *work_new(struct api *api, struct http_request *req,
                                 void (*run)(struct key_work *w, struct store *store))
{
    struct key_work *w = mem_zalloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->api = api;
    w->run = run;
    w->status = 500;
    buf_init(&w->answer, LIST_MAX);
    w->at = *api->store;
    w->snapshot = snapshot_ref(api->env->snapshot);
    snprintf(w->by, sizeof w->by, "%s", api_key_id(req) != NULL ? api_key_id(req) : "");
    api_wait_begin(&w->wait, req);
    return w;
}

/* One at a time, so that two cannot each take away the last but one key. */
static void on_thread(void *arg)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    struct key_work *w = arg;
    pthread_mutex_lock(&one);
    struct store *store = store_open(&w->at, w->key.name[0] != '\0', &w->err);
    if (store != NULL)
        w->run(w, store);
    store_close(store);
    pthread_mutex_unlock(&one);
}

static void on_done(void *arg)
{
    struct key_work *w = arg;
    struct http_request *req = api_wait_over(&w->wait);
    if (w->change.what != NULL)
        audit_note_change(w->api->env->audit, &w->change, io_wall_us(w->api->env->loop));
    if (w->err.set && w->status == 500)
        LOG(w->api->env->log, LOG_ERROR, "keys_not_read", LOG_C(REASON, w->err.text));
    if (req != NULL)
        http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (req != NULL && !w->answer.failed && w->status < 300)
        http_reply_whole(req, w->status, w->status == 204 ? NULL : "application/json",
                         buf_view(&w->answer));
    else if (req != NULL)
        api_error(req, LLM_NATIVE,
                  w->status == 404   ? LLM_ERR_NOT_FOUND
                  : w->status == 500 ? LLM_ERR_INTERNAL
                                     : LLM_ERR_INVALID_REQUEST,
                  w->status,
                  w->status == 500 ? STRV("The key store cannot be used now; the log says why.")
                                   : strv_of(w->err.text),
                  STRV_NONE, 0);
    work_free(w);
}

static void no_memory(struct http_request *req, struct key_work *w)
{
    if (w != NULL) {
        api_wait_over(&w->wait);
        work_free(w);
    }
    api_error(req, LLM_NATIVE, LLM_ERR_OVERLOADED, 0, STRV_NONE, STRV_NONE, 1);
}

static void begin(struct key_work *w)
{
    struct http_request *req = w->wait.req;
    if (!io_work(w->api->env->loop, on_thread, on_done, w))
        no_memory(req, w);
}

static void refused(struct key_work *w, int status, const char *why)
{
    w->status = status;
    err_set(&w->err, LLM_ERR_INVALID_REQUEST, "%s", why);
}

/* ---- the list ---- */

static bool put_key(void *arg, const struct store_key *key)
{
    struct key_work *w = arg;
    const struct used *used = NULL;
    char text[TIMEFMT_MAX];
    for (size_t i = 0; i < w->n_used; i++)
        if (strcmp(w->used[i].key, key->id) == 0)
            used = &w->used[i];
    buf_put_cstr(&w->answer, w->status == 200 ? ",{" : "{");
    w->status = 200;
    api_key_json(key, &w->answer);
    if (used == NULL) {
        buf_put_cstr(&w->answer, ",\"last_used\":null}");
        return !w->answer.failed;
    }
    timefmt_rfc3339(text, used->day * DAY_US, 0);
    buf_printf(&w->answer, ",\"last_used\":\"%.10s\"}", text);
    return !w->answer.failed;
}

static void run_list(struct key_work *w, struct store *store)
{
    buf_put_cstr(&w->answer, "{\"keys\":[");
    bool ok = store_key_each(store, put_key, w, &w->err);
    buf_put_cstr(&w->answer, "]}");
    w->status = ok ? 200 : 500;
}

static void after_ledger(void *arg) /* the loop again */
{
    struct key_work *w = arg;
    if (w->wait.req != NULL)
        begin(w);
    else
        work_free(w);
}

/* The ledger's thread. Without its figures, or memory for them, the keys are told all the same. */
static void on_report(void *arg, const struct ledger_report *report, const struct err *err)
{
    struct key_work *w = arg;
    size_t n = err == NULL ? report->n : 0;
    w->used = n > 0 ? mem_alloc(n * sizeof *w->used) : NULL;
    for (; w->used != NULL && w->n_used < n; w->n_used++) {
        const struct ledger_line *l = &report->lines[w->n_used];
        snprintf(w->used[w->n_used].key, sizeof w->used->key, "%.31s", l->name);
        w->used[w->n_used].day = l->last_day;
    }
    (void)io_post(w->api->env->loop, after_ledger, w); /* refused: the caller's time-out ends it */
}

void api_keys(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct key_work *w = work_new(api, req, run_list);
    int64_t today = ledger_day(io_wall_us(api->env->loop));
    const struct ledger_query query = {
        .by = LEDGER_BY_KEY, .since = today - PAST_DAYS, .until = today + 1};
    (void)route;
    if (w == NULL)
        no_memory(req, w);
    else if (api->env->ledger == NULL || !ledger_ask(api->env->ledger, &query, on_report, w))
        begin(w);
}

/* ---- a new one ---- */

/* "60", true, "fast,general" or ["fast","general"], as the command line has it. */
static bool rule_text(yyjson_val *v, struct buf *out)
{
    size_t i, n;
    yyjson_val *one;
    double number;
    int64_t whole;
    if (yyjson_is_bool(v))
        return buf_put_cstr(out, yyjson_get_bool(v) ? "yes" : "no");
    if (json_is_int(v, &whole))
        return buf_put_i64(out, whole);
    if (json_is_num(v, &number))
        return json_put_num(out, number);
    if (yyjson_is_str(v))
        return buf_put_strv(out, json_str(v));
    if (!yyjson_is_arr(v))
        return false;
    yyjson_arr_foreach(v, i, n, one)
    {
        if (!yyjson_is_str(one) || (i > 0 && !buf_put_char(out, ',')) ||
            !buf_put_strv(out, json_str(one)))
            return false;
    }
    return true;
}

/* "tokens_min" or "tokens-min" */
static bool is_rule(strv name, enum policy_rule rule)
{
    strv own = strv_of(policy_rule_name(rule));
    bool same = own.len == name.len;
    for (size_t i = 0; same && i < own.len; i++)
        same = own.ptr[i] == name.ptr[i] || (own.ptr[i] == '-' && name.ptr[i] == '_');
    return same;
}

static bool read_rule(strv name, yyjson_val *v, int64_t now_us, struct policy_rules *rules,
                      struct err *err)
{
    unsigned rule = 0;
    struct buf text;
    while (rule < POLICY_RULES && !is_rule(name, (enum policy_rule)rule))
        rule++;
    if (rule == POLICY_RULES)
        return err_field(err, LLM_ERR_INVALID_REQUEST, "rules", "rules: there is no such rule");
    if (yyjson_is_null(v))
        return true;
    buf_init(&text, POLICY_MODELS_MAX * 2);
    bool ok = rule_text(v, &text)
                  ? policy_rule_set(rules, (enum policy_rule)rule, buf_view(&text), now_us, err)
                  : err_field(err, LLM_ERR_INVALID_REQUEST, "rules",
                              "%s: a text, a number or a boolean is expected",
                              policy_rule_name((enum policy_rule)rule));
    buf_fini(&text);
    return ok;
}

static bool read_key(struct http_request *req, int64_t now_us, strv *name,
                     struct policy_rules *rules, struct err *err)
{
    struct json doc;
    size_t i, n;
    yyjson_val *key, *v;
    *rules = (struct policy_rules){.mode = LLM_MODE_UNSET};
    if (!dialect_root(&doc, req->body, &req->arena, err))
        return false;
    *name = strv_trim(json_get_str(doc.root, "name"));
    if (!api_key_name_ok(*name))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "name",
                         "name: 1 to 63 bytes without control characters are expected");
    yyjson_val *said = json_get(doc.root, "rules");
    if (said != NULL && !yyjson_is_obj(said))
        return err_field(err, LLM_ERR_INVALID_REQUEST, "rules", "rules: an object is expected");
    yyjson_obj_foreach(said, i, n, key, v)
    {
        if (!read_rule(json_str(key), v, now_us, rules, err))
            return false;
    }
    return true;
}

struct census { /* of the keys that are good */
    const char *id;
    int64_t now_us;
    size_t keys, admins;
    bool there, is_admin; /* the one of this id */
};

/* Has it the right admin, and can it be used for that? */
static bool is_admin(const struct store_key *key, int64_t now_us)
{
    struct policy_key k = {.id = ""};
    struct err err = ERR_INIT;
    return policy_rules_read(strv_of(key->rules), &k.rules, &err) && k.rules.admin &&
           policy_key_admits(&k, LLM_NATIVE, now_us, &err);
}

static bool count_key(void *arg, const struct store_key *key)
{
    struct census *c = arg;
    bool admin = is_admin(key, c->now_us);
    if (key->revoked_us != 0)
        return true;
    c->keys++;
    c->admins += admin;
    if (strcmp(key->id, c->id) == 0) {
        c->there = true;
        c->is_admin = admin;
    }
    return true;
}

static void run_add(struct key_work *w, struct store *store)
{
    struct census c = {.id = "", .now_us = w->key.created_us};
    if (!store_key_each(store, count_key, &c, &w->err))
        return;
    if (c.keys == 0 && !is_admin(&w->key, c.now_us)) {
        refused(
            w, 409,
            "The first key must have the right admin, and be good for these pages: from then on "
            "nobody gets in without a key.");
        return;
    }
    if (!store_key_add(store, &w->key, &w->err))
        return;
    w->change = (struct audit_change){
        .what = "key added", .subject = w->key.id, .by = w->by[0] != '\0' ? w->by : NULL};
    buf_put_cstr(&w->answer, "{\"id\":");
    json_put_str(&w->answer, strv_of(w->key.id));
    buf_put_cstr(&w->answer, ",\"name\":");
    json_put_str(&w->answer, strv_of(w->key.name));
    buf_printf(&w->answer, ",\"key\":\"%s\"}", w->secret);
    w->status = 201;
}

void api_key_add(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct err err = ERR_INIT;
    struct policy_rules rules;
    strv name;
    int64_t now_us = io_wall_us(api->env->loop);
    if (!read_key(req, now_us, &name, &rules, &err)) {
        api_refuse(api, req, route->door, &err);
        return;
    }
    struct key_work *w = work_new(api, req, run_add);
    if (w == NULL || !api_key_make(name, &rules, now_us, &w->key, w->secret, &err))
        no_memory(req, w);
    else
        begin(w);
}

/* ---- one less ---- */

static void run_revoke(struct key_work *w, struct store *store)
{
    struct census c = {.id = w->key.id, .now_us = w->key.created_us};
    if (!store_key_each(store, count_key, &c, &w->err))
        return;
    if (!c.there) {
        refused(w, 404, "There is no such key, or it is revoked already.");
    } else if (c.is_admin && c.admins == 1) {
        refused(w, 409, "It is the last key with the right admin; llm-router keys revoke does it.");
    } else if (store_key_revoke(store, w->key.id, w->key.created_us, &w->err)) {
        w->change = (struct audit_change){
            .what = "key revoked", .subject = w->key.id, .by = w->by[0] != '\0' ? w->by : NULL};
        w->status = 204;
    }
}

void api_key_revoke(struct api *api, struct http_request *req, const struct api_route *route)
{
    strv id;
    if (!target_name(route->path, req->path, &req->arena, &id) ||
        id.len >= sizeof((struct store_key *)0)->id) {
        api_error(req, route->door, LLM_ERR_NOT_FOUND, 0, STRV("There is no such key."), STRV_NONE,
                  0);
        return;
    }
    struct key_work *w = work_new(api, req, run_revoke);
    if (w == NULL) {
        no_memory(req, w);
        return;
    }
    memcpy(w->key.id, id.ptr, id.len);
    w->key.created_us = io_wall_us(api->env->loop); /* when it is revoked */
    begin(w);
}
