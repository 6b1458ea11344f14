/* SPDX-License-Identifier: Apache-2.0 */
/* admin - the native door's reading side, health and metrics (scheduler-consumers 2.7). */
#include "admin/admin.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_BYTES_MAX ((size_t)16 << 20)

static void reply(struct http_request *req, int status, const char *type, struct buf *b)
{
    http_reply_header(req, "Cache-Control", STRV("no-store"));
    if (b->failed)
        http_reply_whole(req, 500, "application/json",
                         STRV("{\"detail\":\"out of memory\",\"code\":\"internal_error\"}"));
    else
        http_reply_whole(req, status, type, buf_view(b));
    buf_fini(b);
}

/* A breaker that is open ends only with the next call: once that call may come, the provider counts again, or
 * nobody in front of us would ever send it. */
static bool is_available(const struct provider *p, int64_t now_us)
{
    bool yes = false;
    for (size_t i = 0; i < provider_instance_count(p) && !yes; i++) {
        struct provider_cell *c = provider_instance(p, i)->cell;
        pthread_mutex_lock(&c->lock);
        yes = c->available && c->state == PROVIDER_UP &&
              (c->breaker != BREAKER_OPEN || now_us >= c->retry_us);
        pthread_mutex_unlock(&c->lock);
    }
    return yes;
}

static bool is_loading(const struct provider *p)
{
    pthread_mutex_lock(&p->cell->lock);
    bool yes = p->cell->state == PROVIDER_LOADING;
    pthread_mutex_unlock(&p->cell->lock);
    return yes;
}

static const char no_audit[] = "the audit cannot be written";

/* The word of detector and audit about a provider; NULL = requests may go there. */
static const char *refused_why(const struct exchange_env *env, const struct provider *p)
{
    bool local = p->zone == ZONE_LOCAL;
    if ((!local || env->snapshot->audit_all) && !audit_ready(env->audit, NULL, 0))
        return no_audit;
    return local ? NULL : exchange_cloud_refused(env->snapshot, io_wall_us(env->loop));
}

bool admin_ready(const struct exchange_env *env, const char **reason)
{
    const struct snapshot *s = env->snapshot;
    const char *why = NULL;
    if (env->draining || env->leaving)
        why = "shutting down";
    else if (s->n_providers == 0)
        why = "no provider is configured";
    else {
        why = "no provider is available";
        for (size_t i = 0; i < s->n_providers; i++)
            if (is_loading(&s->providers[i]))
                why = "a model is still loading";
            else if (refused_why(env, &s->providers[i]) == no_audit)
                why = "no provider may be asked: the audit cannot be written";
            else if (refused_why(env, &s->providers[i]) != NULL)
                why = "no local provider is available, and the cloud refuses (privacy)";
        for (size_t i = 0; i < s->n_providers; i++)
            if (is_available(&s->providers[i], io_now_us(env->loop)) &&
                refused_why(env, &s->providers[i]) == NULL)
                why = NULL;
    }
    if (why == NULL && s->ledger.required && env->ledger != NULL && ledger_failing(env->ledger))
        why = "the ledger cannot be written";
    if (reason != NULL)
        *reason = why;
    return why == NULL;
}

void admin_healthz(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply_whole(req, 200, "application/json", STRV("{\"status\":\"ok\"}"));
}

/* Ready to serve, but not everybody: the cloud is left out until the detector is well. */
static void put_refused(struct buf *b, const struct exchange_env *env)
{
    const char *why = NULL;
    for (size_t i = 0; i < env->snapshot->n_providers && why == NULL; i++)
        why = refused_why(env, &env->snapshot->providers[i]);
    if (why == NULL)
        return;
    buf_put_cstr(b, ",\"cloud_refused\":");
    json_put_str(b, strv_of(why));
}

void admin_readyz(void *ctx, struct http_request *req)
{
    struct admin *a = ctx;
    struct buf b;
    const char *reason;
    bool ready = admin_ready(a->env, &reason);
    buf_init(&b, PAGE_BYTES_MAX);
    buf_put_cstr(&b, ready ? "{\"ready\":true" : "{\"ready\":false,\"reason\":");
    if (!ready) {
        json_put_str(&b, strv_of(reason));
        http_reply_header(req, "Retry-After", STRV("1"));
    }
    put_refused(&b, a->env);
    buf_put_char(&b, '}');
    reply(req, ready ? 200 : 503, "application/json", &b);
}

void admin_available(void *ctx, struct http_request *req)
{
    struct admin *a = ctx;
    http_reply_whole(req, 200, "application/json",
                     admin_ready(a->env, NULL) ? STRV("{\"available\":true}")
                                               : STRV("{\"available\":false}"));
}

/* ---- providers ---- */

/* Models that the configuration names for the provider and that its own list lacks. */
static void put_missing(struct buf *b, const struct snapshot *s, size_t index, struct arena *arena)
{
    const struct provider *p = &s->providers[index];
    bool first = true;
    for (size_t i = 0; i < s->policy.n_roles; i++) {
        for (size_t k = 0; k < s->policy.roles[i].n; k++) {
            const struct policy_name *n = &s->policy.roles[i].names[k];
            if (n->provider == NULL || n->model == NULL || strcmp(n->provider, p->name) != 0 ||
                provider_has_model(p, strv_of(n->model), arena, NULL, NULL))
                continue;
            if (!first)
                buf_put_char(b, ',');
            first = false;
            json_put_str(b, strv_of(n->model));
        }
    }
}

static void put_models(struct buf *b, const struct provider_models *models)
{
    for (size_t i = 0; models != NULL && i < models->n; i++) {
        if (i > 0)
            buf_put_char(b, ',');
        json_put_str(b, strv_of(models->items[i].name));
    }
}

static void put_health(struct buf *b, struct provider_cell *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t sum = 0;
    unsigned n = c->latency_n < 10 ? c->latency_n : 10;
    for (unsigned i = 0; i < n; i++)
        sum += c->latency_us[i];
    buf_put_cstr(b, c->available ? "\"is_available\":true" : "\"is_available\":false");
    buf_put_cstr(b, ",\"last_check\":");
    json_put_time(b, c->last_check_wall_us, 6);
    buf_printf(b, ",\"failure_count\":%lld,\"avg_latency_ms\":", (long long)c->failures);
    if (n > 0)
        buf_printf(b, "%.1f", (double)sum / n / 1000.0);
    else
        buf_put_cstr(b, "null");
    buf_put_cstr(b, ",\"error_message\":");
    if (c->problem[0] != '\0')
        json_put_str(b, strv_of(c->problem));
    else
        buf_put_cstr(b, "null");
    buf_put_cstr(b, ",\"next_retry\":");
    json_put_time(b, c->breaker == BREAKER_CLOSED ? 0 : c->next_retry_wall_us, 6);
    buf_printf(b, ",\"breaker\":\"%s\",\"state\":\"%s\",\"in_flight\":%lld,\"waiting\":%lld",
               breaker_state_name(c->breaker),
               c->state == PROVIDER_UP        ? "up"
               : c->state == PROVIDER_LOADING ? "loading"
                                              : "down",
               (long long)c->in_flight, (long long)c->waiting);
    pthread_mutex_unlock(&c->lock);
}

/* What is told of several servers under one name is told of the one that is best off. */
static struct provider_cell *healthiest(const struct provider *p)
{
    for (size_t i = 0; i < p->n_instances; i++) {
        struct provider_cell *c = p->instances[i].cell;
        pthread_mutex_lock(&c->lock);
        bool well = c->available && c->breaker == BREAKER_CLOSED;
        pthread_mutex_unlock(&c->lock);
        if (well)
            return c;
    }
    return p->cell;
}

static void put_instances(struct buf *b, const struct provider *p)
{
    if (p->n_instances == 0)
        return;
    buf_put_cstr(b, ",\"instances\":[");
    for (size_t i = 0; i < p->n_instances; i++) {
        struct provider_cell *c = p->instances[i].cell;
        struct provider_glance glance;
        provider_look(&p->instances[i], 0, &glance);
        buf_put_cstr(b, i > 0 ? ",{\"instance\":" : "{\"instance\":");
        json_put_str(b, strv_of(c->name));
        buf_printf(b, ",\"calls\":%lld,", (long long)glance.calls);
        put_health(b, c);
        buf_put_char(b, '}');
    }
    buf_put_char(b, ']');
}

void admin_put_providers(const struct exchange_env *env, struct arena *arena, struct buf *b)
{
    const struct snapshot *s = env->snapshot;
    buf_put_char(b, '[');
    for (size_t i = 0; i < s->n_providers; i++) {
        const struct provider *p = &s->providers[i];
        struct provider_models *models = provider_models_any(p);
        buf_put_cstr(b, i > 0 ? ",{\"provider\":" : "{\"provider\":");
        json_put_str(b, strv_of(p->name));
        buf_printf(b, ",\"kind\":\"%s\",\"is_local\":%s,", provider_kind_name(p->kind),
                   p->zone == ZONE_LOCAL ? "true" : "false");
        put_health(b, healthiest(p));
        const char *refused = refused_why(env, p);
        if (refused != NULL) {
            buf_put_cstr(b, ",\"refused\":");
            json_put_str(b, strv_of(refused));
        }
        put_instances(b, p);
        buf_put_cstr(b, ",\"models\":[");
        put_models(b, models);
        buf_put_cstr(b, "],\"missing_models\":[");
        if (models != NULL)
            put_missing(b, s, i, arena);
        buf_put_cstr(b, "]}");
        if (models != NULL)
            provider_models_unref(models);
    }
    buf_put_char(b, ']');
}

void admin_providers(void *ctx, struct http_request *req)
{
    struct admin *a = ctx;
    struct buf b;
    buf_init(&b, PAGE_BYTES_MAX);
    admin_put_providers(a->env, &req->arena, &b);
    reply(req, 200, "application/json", &b);
}

static void put_breaker(struct buf *b, struct provider_cell *c, bool first)
{
    buf_put_cstr(b, first ? "{\"provider\":" : ",{\"provider\":");
    json_put_str(b, strv_of(c->name));
    pthread_mutex_lock(&c->lock);
    buf_printf(b, ",\"state\":\"%s\",\"failure_count\":%lld,\"last_failure\":",
               breaker_state_name(c->breaker), (long long)c->failures);
    json_put_time(b, c->last_failure_wall_us, 6);
    buf_put_cstr(b, ",\"next_retry\":");
    json_put_time(b, c->breaker == BREAKER_CLOSED ? 0 : c->next_retry_wall_us, 6);
    pthread_mutex_unlock(&c->lock);
    buf_put_char(b, '}');
}

void admin_breakers(void *ctx, struct http_request *req)
{
    struct admin *a = ctx;
    const struct snapshot *s = a->env->snapshot;
    struct buf b;
    buf_init(&b, PAGE_BYTES_MAX);
    buf_put_char(&b, '[');
    bool first = true;
    for (size_t i = 0; i < s->n_providers; i++)
        for (size_t k = 0; k < provider_instance_count(&s->providers[i]); k++) {
            put_breaker(&b, provider_instance(&s->providers[i], k)->cell, first);
            first = false;
        }
    buf_put_char(&b, ']');
    reply(req, 200, "application/json", &b);
}

/* ---- how things stand ---- */

static int64_t over_providers(enum metric id)
{
    int64_t sum = 0;
    for (unsigned p = 0; p < LEDGER_PROVIDERS_MAX; p++)
        sum += metric_sum(id, p);
    return sum;
}

static void put_counts(struct buf *b, const struct admin *a)
{
    bool desk = a->agent != NULL && a->agent->desk != NULL;
    const struct {
        const char *name;
        int64_t n;
    } counts[] = {
        {"in_flight", metric_sum(METRIC_ACTIVE, 0)},
        {"streams", metric_sum(METRIC_STREAMS, 0)},
        {"answers", over_providers(METRIC_SUCCESS)},
        {"failures", metric_sum(METRIC_FAILURE, 0)},
        {"private", metric_sum(METRIC_PRIVATE, 0)},
        {"input_tokens", over_providers(METRIC_INPUT_TOKENS)},
        {"output_tokens", over_providers(METRIC_OUTPUT_TOKENS)},
        {"cost_micro_usd", over_providers(METRIC_COST)},
        {"approvals", desk ? (int64_t)agent_desk_waiting(a->agent->desk) : 0},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        buf_printf(b, ",\"%s\":%lld", counts[i].name, (long long)counts[i].n);
}

void admin_put_state(void *ctx, struct buf *b)
{
    const struct admin *a = ctx;
    const struct exchange_env *env = a->env;
    const char *reason;
    struct arena arena;
    arena_init(&arena, 4096, PAGE_BYTES_MAX);
    bool ready = admin_ready(env, &reason);
    buf_printf(b, "{\"ready\":%s,\"reason\":", ready ? "true" : "false");
    if (ready)
        buf_put_cstr(b, "null");
    else
        json_put_str(b, strv_of(reason));
    put_counts(b, a);
    buf_printf(b, ",\"audit_ready\":%s,\"ledger_failing\":%s,\"providers\":",
               audit_ready(env->audit, NULL, 0) ? "true" : "false",
               env->ledger != NULL && ledger_failing(env->ledger) ? "true" : "false");
    admin_put_providers(env, &arena, b);
    buf_put_char(b, '}');
    arena_fini(&arena);
}

void admin_config(void *ctx, struct http_request *req)
{
    struct admin *a = ctx;
    struct buf b;
    buf_init(&b, PAGE_BYTES_MAX);
    b.failed = !a->put_config(a->config, &b) || b.failed;
    reply(req, 200, "text/plain; charset=utf-8", &b);
}

/* ---- statistics and metrics ---- */

void admin_stats(void *ctx, struct http_request *req)
{
    (void)ctx;
    struct ledger_stats st;
    struct buf b;
    bool first = true;
    ledger_stats_get(&st);
    buf_init(&b, PAGE_BYTES_MAX);
    buf_printf(&b, "{\"total_requests\":%lld,\"requests_by_provider\":{", (long long)st.total);
    for (unsigned i = 0; i < LEDGER_PROVIDERS_MAX; i++) {
        if (st.by_provider[i] == 0)
            continue;
        if (!first)
            buf_put_char(&b, ',');
        first = false;
        json_put_str(&b, strv_of(ledger_provider_name(i)));
        buf_printf(&b, ":%lld", (long long)st.by_provider[i]);
    }
    buf_put_cstr(&b, "},\"requests_by_task_type\":{");
    first = true;
    for (unsigned i = 0; ledger_task_name(i) != NULL; i++) {
        if (st.by_task[i] == 0)
            continue;
        if (!first)
            buf_put_char(&b, ',');
        first = false;
        json_put_str(&b, strv_of(ledger_task_name(i)));
        buf_printf(&b, ":%lld", (long long)st.by_task[i]);
    }
    buf_printf(&b, "},\"fallback_count\":%lld,\"failed_attempts\":%lld,\"total_tokens_used\":%lld,",
               (long long)st.fallbacks, (long long)st.failed_attempts, (long long)st.tokens);
    buf_printf(
        &b, "\"avg_latency_ms\":%.1f,\"error_count\":%lld,\"success_count\":%lld,\"uptime_start\":",
        st.success > 0 ? (double)st.latency_us_sum / (double)st.success / 1000.0 : 0.0,
        (long long)st.failure, (long long)st.success);
    json_put_time(&b, st.started_wall_us, 6);
    buf_put_char(&b, '}');
    reply(req, 200, "application/json", &b);
}

static int64_t resident_bytes(void)
{
    long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lld %lld", &pages, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int64_t open_descriptors(void)
{
    int64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 3; /* ".", ".." and the directory itself */
}

static void set_gauges(struct metrics *m, struct provider_cell *c)
{
    unsigned label = (unsigned)c->index;
    pthread_mutex_lock(&c->lock);
    int64_t breaker = c->breaker == BREAKER_CLOSED ? 0 : c->breaker == BREAKER_HALF_OPEN ? 1 : 2;
    int64_t available = c->available, in_flight = c->in_flight, restarts = c->restarts;
    pthread_mutex_unlock(&c->lock);
    metric_set(m, METRIC_BREAKER, label, breaker);
    metric_set(m, METRIC_AVAILABLE, label, available);
    metric_set(m, METRIC_IN_FLIGHT, label, in_flight);
    metric_set(m, METRIC_ENGINE_RESTARTS, label, restarts);
}

static void take_ledger(struct metrics *m, const struct exchange_env *env)
{
    struct ledger_counts counts;
    struct ledger_spent spent;
    if (env->ledger == NULL)
        return;
    ledger_count(env->ledger, &counts);
    metric_set(m, METRIC_LEDGER_WRITTEN, 0, counts.written);
    metric_set(m, METRIC_LEDGER_WAITING, 0, counts.waiting);
    metric_set(m, METRIC_LEDGER_FAILING, 0, ledger_failing(env->ledger));
    for (unsigned scope = 0; scope < LEDGER_SCOPES; scope++) {
        ledger_budget_look(ledger_budget_of(env->ledger), &env->snapshot->ledger.budget,
                           (enum ledger_scope)scope, io_wall_us(env->loop), &spent);
        metric_set(m, METRIC_BUDGET_SPENT, scope, spent.spent);
        metric_set(m, METRIC_BUDGET_LIMIT, scope, spent.limit);
        metric_set(m, METRIC_BUDGET_LEVEL, scope, spent.level);
    }
}

/* Gauges that nobody keeps up to date are set when they are read; they belong to the process. */
static void take_gauges(struct admin *a)
{
    struct metrics *m = metrics_process();
    const struct snapshot *s = a->env->snapshot;
    for (size_t i = 0; i < s->n_providers; i++)
        for (size_t k = 0; k < provider_instance_count(&s->providers[i]); k++)
            set_gauges(m, provider_instance(&s->providers[i], k)->cell);
    take_ledger(m, a->env);
    metric_set(m, METRIC_MEMORY, 0, resident_bytes());
    metric_set(m, METRIC_DESCRIPTORS, 0, open_descriptors());
}

void admin_metrics(void *ctx, struct http_request *req)
{
    struct buf b;
    take_gauges(ctx);
    buf_init(&b, PAGE_BYTES_MAX);
    metrics_print(&b);
    reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}
