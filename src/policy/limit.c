/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>

#include "policy/policy.h"

/* Buckets count in nanoseconds, so that what rounding gives away is nothing. */
#define MINUTE_NS    INT64_C(60000000000)
#define SHARE_MAX    INT64_C(100000000) /* of one request; times a minute it still fits */
#define BUSY_WAIT_US INT64_C(1000000)   /* when somebody will be done is not known */
#define SETS         512
#define SET_CELLS    8

struct policy_cell {
    atomic_uint refs;
    bool in_table; /* not freed with its last reference, but free to be another's */
    atomic_llong requests_full, tokens_full, wrong_full; /* when each bucket is full again */
    atomic_llong running;
    atomic_bool closed; /* its key was revoked */
};

struct address_set {
    pthread_mutex_t lock; /* over which address has which cell, not over what is in them */
    uint64_t hashes[SET_CELLS];
    struct policy_cell cells[SET_CELLS];
};

struct policy_limits {
    uint64_t seed;
    struct policy_cell all;
    struct address_set sets[SETS];
};

/* ---- cells ---- */

struct policy_cell *policy_cell_new(void)
{
    struct policy_cell *c = mem_zalloc(sizeof *c);
    if (c != NULL)
        atomic_init(&c->refs, 1);
    return c;
}

struct policy_cell *policy_cell_ref(struct policy_cell *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void policy_cell_unref(struct policy_cell *c)
{
    if (c == NULL)
        return;
    bool table = c->in_table; /* another's, perhaps, from the last reference on */
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1 && !table)
        mem_free(c);
}

void policy_cell_close(struct policy_cell *c)
{
    atomic_store_explicit(&c->closed, true, memory_order_relaxed);
}

bool policy_cell_is_closed(const struct policy_cell *c)
{
    return atomic_load_explicit(&c->closed, memory_order_relaxed);
}

struct policy_limits *policy_limits_new(void)
{
    struct policy_limits *l = mem_zalloc(sizeof *l);
    if (l == NULL)
        return NULL;
    /* Who can choose addresses must not choose where they lie; without random numbers he may. */
    if (!rng_secret(&l->seed, sizeof l->seed))
        l->seed = 0;
    l->all.in_table = true;
    for (size_t i = 0; i < SETS; i++) {
        pthread_mutex_init(&l->sets[i].lock, NULL);
        for (size_t k = 0; k < SET_CELLS; k++)
            l->sets[i].cells[k].in_table = true;
    }
    return l;
}

void policy_limits_free(struct policy_limits *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < SETS; i++)
        pthread_mutex_destroy(&l->sets[i].lock);
    mem_free(l);
}

/* ---- addresses ---- */

/* "1.2.3.4:567", "[2001:db8::1]:567": without the port. */
static strv host_of(strv address)
{
    size_t n = address.len;
    if (n > 0 && address.ptr[0] == '[') {
        for (size_t i = 1; i < n; i++)
            if (address.ptr[i] == ']')
                return (strv){address.ptr + 1, i - 1};
        return address;
    }
    while (n > 0 && address.ptr[n - 1] != ':')
        n--;
    return n > 0 ? (strv){address.ptr, n - 1} : address;
}

/* One customer of a network provider has 2^64 addresses of IPv6: they count as one. */
static uint64_t address_hash(uint64_t seed, strv address)
{
    unsigned char ip[16];
    char text[INET6_ADDRSTRLEN];
    strv host = host_of(address);
    if (host.len < sizeof text) {
        memcpy(text, host.ptr, host.len);
        text[host.len] = '\0';
        if (inet_pton(AF_INET6, text, ip) == 1)
            return strv_hash((strv){(const char *)ip, IN6_IS_ADDR_V4MAPPED((void *)ip) ? 16 : 8},
                             seed);
    }
    return strv_hash(host, seed);
}

static int64_t full_at(const struct policy_cell *c)
{
    int64_t requests = atomic_load_explicit(&c->requests_full, memory_order_relaxed);
    int64_t tokens = atomic_load_explicit(&c->tokens_full, memory_order_relaxed);
    int64_t wrong = atomic_load_explicit(&c->wrong_full, memory_order_relaxed);
    int64_t last = requests > tokens ? requests : tokens;
    return last > wrong ? last : wrong;
}

/* Which cell may become another address's: nobody holds it, and it is full before all others. If every one is
 * held the address shares one. */
static size_t choose_cell(const struct address_set *set)
{
    size_t best = SET_CELLS;
    for (size_t k = 0; k < SET_CELLS; k++)
        if (atomic_load_explicit(&set->cells[k].refs, memory_order_acquire) == 0 &&
            (best == SET_CELLS || full_at(&set->cells[k]) < full_at(&set->cells[best])))
            best = k;
    return best;
}

static struct policy_cell *address_cell(struct policy_limits *l, strv address)
{
    uint64_t hash = address_hash(l->seed, address);
    hash = hash != 0 ? hash : 1; /* 0 = nobody's */
    struct address_set *set = &l->sets[hash % SETS];
    pthread_mutex_lock(&set->lock);
    size_t k = 0;
    while (k < SET_CELLS && set->hashes[k] != hash)
        k++;
    if (k == SET_CELLS) {
        k = choose_cell(set);
        if (k < SET_CELLS) {
            set->hashes[k] = hash;
            atomic_store_explicit(&set->cells[k].requests_full, 0, memory_order_relaxed);
            atomic_store_explicit(&set->cells[k].tokens_full, 0, memory_order_relaxed);
            atomic_store_explicit(&set->cells[k].wrong_full, 0, memory_order_relaxed);
        } else {
            k = hash / SETS % SET_CELLS;
        }
    }
    struct policy_cell *c = policy_cell_ref(&set->cells[k]);
    pthread_mutex_unlock(&set->lock);
    return c;
}

/* ---- buckets ---- */

/* What n of `limit` a minute are, in time; rounded down, so that a full bucket holds all of them. */
static int64_t share_ns(int64_t n, int64_t limit)
{
    return (n < SHARE_MAX ? n : SHARE_MAX) * MINUTE_NS / limit;
}

/* Microseconds until a share fits. */
static int64_t wait_us(int64_t full, int64_t share, int64_t now_us)
{
    int64_t now = now_us * 1000, start = full > now ? full : now;
    int64_t over = start + (share < MINUTE_NS ? share : MINUTE_NS) - (now + MINUTE_NS);
    return over > 0 ? (over + 999) / 1000 : 0;
}

static int64_t bucket_wait(const atomic_llong *bucket, int64_t n, int64_t limit, int64_t now_us)
{
    if (limit == 0)
        return 0;
    return wait_us(atomic_load_explicit(bucket, memory_order_relaxed), share_ns(n, limit), now_us);
}

static bool bucket_take(atomic_llong *bucket, int64_t n, int64_t limit, int64_t now_us)
{
    if (limit == 0)
        return true;
    int64_t share = share_ns(n, limit), now = now_us * 1000;
    long long full = atomic_load_explicit(bucket, memory_order_relaxed), next;
    do {
        if (wait_us(full, share, now_us) > 0)
            return false;
        next = (full > now ? full : now) + share;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &full, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* What was taken and not used; negative n = used beyond what was taken. */
static void bucket_return(atomic_llong *bucket, int64_t n, int64_t limit)
{
    if (limit == 0)
        return;
    int64_t share = n >= 0 ? share_ns(n, limit) : -share_ns(-n, limit);
    atomic_fetch_sub_explicit(bucket, share, memory_order_relaxed);
}

static void bucket_level(const atomic_llong *bucket, int64_t limit, int64_t now_us,
                         struct policy_level *out)
{
    int64_t full = atomic_load_explicit(bucket, memory_order_relaxed), now = now_us * 1000;
    int64_t used = full > now ? full - now : 0, left = used < MINUTE_NS ? MINUTE_NS - used : 0;
    /* In microseconds, begun ones counted: more would not fit into 64 bits. */
    int64_t remaining = (left + 999) / 1000 * limit / (MINUTE_NS / 1000);
    if (out->limit == 0 || remaining < out->remaining)
        *out = (struct policy_level){limit, remaining, (used + 999) / 1000};
}

bool policy_wrong_key(struct policy_limits *l, strv address, int64_t limit, int64_t now_us,
                      int64_t *wait)
{
    if (l == NULL || limit == 0)
        return true;
    struct policy_cell *c = address_cell(l, address);
    bool within = bucket_take(&c->wrong_full, 1, limit, now_us);
    if (!within)
        *wait = bucket_wait(&c->wrong_full, 1, limit, now_us);
    policy_cell_unref(c);
    return within;
}

/* ---- passes ---- */

/* No limit stays none, and nobody's part is nothing. */
static int64_t part_of(int64_t limit, int64_t replicas)
{
    int64_t part = replicas > 1 ? limit / replicas : limit;
    return part > 0 || limit <= 0 ? part : 1;
}

static void add_share(struct policy_pass *pass, struct policy_cell *cell,
                      const struct policy_quota *quota, int64_t replicas, const char *who)
{
    assert(pass->n < sizeof pass->shares / sizeof *pass->shares);
    const struct policy_quota part = {.requests_min = part_of(quota->requests_min, replicas),
                                      .tokens_min = part_of(quota->tokens_min, replicas),
                                      .concurrent = part_of(quota->concurrent, replicas)};
    pass->shares[pass->n++] = (struct policy_share){cell, part, who};
}

static bool is_limited(const struct policy_quota *q)
{
    return q->requests_min > 0 || q->tokens_min > 0 || q->concurrent > 0;
}

void policy_pass_init(struct policy_pass *pass, struct policy_limits *limits,
                      const struct policy_quotas *quotas, const struct policy_key *key,
                      strv address)
{
    *pass = (struct policy_pass){.n = 0};
    if (limits != NULL && is_limited(&quotas->all))
        add_share(pass, policy_cell_ref(&limits->all), &quotas->all, quotas->replicas,
                  "all callers together");
    if (key != NULL) {
        const struct policy_rules *own = &key->rules;
        const struct policy_quota *rest = &quotas->key;
        struct policy_quota q = {
            .requests_min = own->requests_min > 0 ? own->requests_min : rest->requests_min,
            .tokens_min = own->tokens_min > 0 ? own->tokens_min : rest->tokens_min,
            .concurrent = own->concurrent > 0 ? own->concurrent : rest->concurrent,
        };
        if (is_limited(&q) && key->cell != NULL)
            add_share(pass, policy_cell_ref(key->cell), &q, quotas->replicas, "this API key");
    } else if (limits != NULL && is_limited(&quotas->peer)) {
        add_share(pass, address_cell(limits, address), &quotas->peer, quotas->replicas,
                  "this address");
    }
}

enum want { WANT_PLACE, WANT_REQUESTS, WANT_TOKENS, WANTS };

static bool take_place(struct policy_share *s)
{
    atomic_llong *running = &s->cell->running;
    if (s->quota.concurrent == 0 ||
        atomic_fetch_add_explicit(running, 1, memory_order_relaxed) < s->quota.concurrent)
        return true;
    atomic_fetch_sub_explicit(running, 1, memory_order_relaxed);
    return false;
}

static bool take(struct policy_share *s, enum want want, int64_t tokens, int64_t now_us)
{
    struct policy_cell *c = s->cell;
    return want == WANT_PLACE ? take_place(s)
           : want == WANT_REQUESTS
               ? bucket_take(&c->requests_full, 1, s->quota.requests_min, now_us)
               : bucket_take(&c->tokens_full, tokens, s->quota.tokens_min, now_us);
}

static void give(struct policy_share *s, enum want want, int64_t tokens)
{
    struct policy_cell *c = s->cell;
    if (want == WANT_TOKENS)
        bucket_return(&c->tokens_full, tokens, s->quota.tokens_min);
    else if (want == WANT_REQUESTS)
        bucket_return(&c->requests_full, 1, s->quota.requests_min);
    else if (s->quota.concurrent > 0)
        atomic_fetch_sub_explicit(&c->running, 1, memory_order_relaxed);
}

/* How long until all of it fits everywhere: to come again for the first thing that was missing and then be refused
 * for the second would be no honest advice. */
static int64_t longest_wait(const struct policy_pass *pass, int64_t tokens, int64_t now_us)
{
    int64_t longest = 0;
    for (size_t i = 0; i < pass->n; i++) {
        const struct policy_share *s = &pass->shares[i];
        const struct policy_cell *c = s->cell;
        int64_t a = bucket_wait(&c->requests_full, 1, s->quota.requests_min, now_us);
        int64_t b = bucket_wait(&c->tokens_full, tokens, s->quota.tokens_min, now_us);
        a = a > b ? a : b;
        longest = a > longest ? a : longest;
    }
    return longest;
}

static bool say(const struct policy_share *s, enum want want, struct err *err)
{
    static const char *const words[] = {"requests at the same time", "requests a minute",
                                        "tokens a minute"};
    const int64_t limits[] = {s->quota.concurrent, s->quota.requests_min, s->quota.tokens_min};
    return err_set(err, LLM_ERR_RATE_LIMITED, "The limit of %s is %lld %s.", s->who,
                   (long long)limits[want], words[want]);
}

bool policy_pass_enter(struct policy_pass *pass, int64_t tokens, int64_t now_us, int64_t *wait,
                       struct err *err)
{
    size_t n = 0, end = pass->n * WANTS; /* n counts what was taken, over all shares */
    assert(!pass->entered);
    while (n < end && take(&pass->shares[n / WANTS], (enum want)(n % WANTS), tokens, now_us))
        n++;
    pass->entered = n == end;
    pass->tokens = tokens;
    if (pass->entered)
        return true;
    size_t missing = n;
    while (n-- > 0)
        give(&pass->shares[n / WANTS], (enum want)(n % WANTS), tokens);
    *wait = longest_wait(pass, tokens, now_us);
    if (*wait == 0) /* a place, or another was quicker in the meantime */
        *wait = BUSY_WAIT_US;
    return say(&pass->shares[missing / WANTS], (enum want)(missing % WANTS), err);
}

bool policy_pass_fits(const struct policy_pass *pass, int64_t tokens, int64_t now_us, int64_t *wait,
                      struct err *err)
{
    for (size_t i = 0; i < pass->n; i++) {
        const struct policy_share *s = &pass->shares[i];
        *wait = bucket_wait(&s->cell->tokens_full, tokens, s->quota.tokens_min, now_us);
        if (*wait > 0)
            return say(s, WANT_TOKENS, err);
    }
    return true;
}

void policy_pass_leave(struct policy_pass *pass, int64_t tokens)
{
    for (size_t i = 0; i < pass->n; i++) {
        if (pass->entered) {
            give(&pass->shares[i], WANT_TOKENS, pass->tokens - tokens);
            give(&pass->shares[i], WANT_PLACE, 0);
        }
        policy_cell_unref(pass->shares[i].cell);
    }
    *pass = (struct policy_pass){.n = 0};
}

void policy_pass_levels(const struct policy_pass *pass, int64_t now_us,
                        struct policy_level *requests, struct policy_level *tokens)
{
    *requests = *tokens = (struct policy_level){0, 0, 0};
    for (size_t i = 0; i < pass->n; i++) {
        const struct policy_share *s = &pass->shares[i];
        if (s->quota.requests_min > 0)
            bucket_level(&s->cell->requests_full, s->quota.requests_min, now_us, requests);
        if (s->quota.tokens_min > 0)
            bucket_level(&s->cell->tokens_full, s->quota.tokens_min, now_us, tokens);
    }
}
