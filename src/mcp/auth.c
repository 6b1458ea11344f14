/* SPDX-License-Identifier: Apache-2.0 */
/* auth - see auth.h. Documents and their checks are in oauth.c; here is what is asked next, and of whom. */
#include "mcp/auth.h"

#include <assert.h>
#include <stdio.h>

#define DOCUMENT_MAX ((size_t)64 * 1024)
#define ASK_MS       ((uint64_t)10000)
#define VISIT_MS     ((uint64_t)600000) /* a person finds a password in that time, or never */
#define STEP_UPS_MAX 3                  /* more scope was asked for so often; then no is no */
#define PLACES_MAX   3
#define SECRET_BYTES 32

enum auth_step {
    AUTH_IDLE,
    AUTH_RESOURCE,
    AUTH_SERVER,
    AUTH_REGISTER,
    AUTH_VISIT,
    AUTH_TOKEN,
    AUTH_REFRESH,
    AUTH_DONE, /* it only remains to tell */
};

enum proof { PROOF_NONE, PROOF_BASIC, PROOF_POST };
static const char *const proof_names[] = {"none", "client_secret_basic", "client_secret_post"};

/* What is worth keeping: each a copy of its own, NULL = not known. */
enum kept { ISSUER, ENDPOINT, RESOURCE, CLIENT, SECRET, PROOF, SCOPE, ACCESS, REFRESH, KEPT };
static const char *const kept_names[KEPT] = {"issuer",    "token_endpoint", "resource",
                                             "client_id", "client_secret",  "proof",
                                             "scope",     "access_token",   "refresh_token"};

struct mcp_auth {
    struct mcp_link_env env;
    const struct mcp_server_conf *conf;
    void (*done)(void *arg, bool ok);
    void *arg;
    enum auth_step step;
    bool ok, freed;
    const char *why;
    char *kept[KEPT];
    bool
        refreshed; /* the token of now came by refreshing and was not taken yet: refused, that way is closed */
    uint64_t known; /* digest of what is kept, as it was last read or written */
    unsigned step_ups;

    struct arena flow; /* all below; of one challenge */
    struct oauth_challenge challenge;
    struct oauth_resource resource;
    struct oauth_server server;
    strv url;    /* of the tool server */
    strv issuer; /* looked for */
    bool exact;  /* ... and it must call itself so */
    strv scope;
    const char *places[PLACES_MAX]; /* where a document may be */
    size_t n_places, at;
    char verifier[64], state[64];

    struct http_upstream up;
    struct http_call *call;
    int status;
    struct buf body;
    struct io_timer timer;
    struct io_task task;
};

static const char nobody[] = "nobody has logged in (llm-router mcp login)";

static void look_for_resource(struct mcp_auth *a);
static void look_for_server(struct mcp_auth *a);
static void identify(struct mcp_auth *a);
static void ask_for_token(struct mcp_auth *a, strv code);
static void run_task(struct io_task *task);
static void on_timer(void *arg);

/* ---- what is kept ---- */

static bool keep(struct mcp_auth *a, enum kept what, strv value)
{
    char *copy = NULL;

    if (value.ptr != NULL) {
        copy = mem_alloc(value.len + 1);
        if (copy == NULL)
            return false;
        memcpy(copy, value.ptr, value.len);
        copy[value.len] = '\0';
    }
    if (a->kept[what] != NULL)
        mem_free_secret(a->kept[what], strlen(a->kept[what]));
    a->kept[what] = copy;
    return true;
}

static void forget(struct mcp_auth *a)
{
    for (int i = 0; i < KEPT; i++)
        keep(a, (enum kept)i, STRV_NONE);
}

static void save(struct mcp_auth *a)
{
    const struct mcp_auth_host *host = a->env.auth;
    struct buf out;
    bool first = true;

    if (host == NULL || host->save == NULL)
        return;
    buf_init(&out, DOCUMENT_MAX);
    buf_put_char(&out, '{');
    for (int i = 0; i < KEPT; i++) {
        if (a->kept[i] == NULL)
            continue;
        json_put_key(&out, &first, kept_names[i]);
        json_put_str(&out, strv_of(a->kept[i]));
    }
    if (buf_put_char(&out, '}') && host->save(host->arg, a->conf->name, buf_view(&out)))
        a->known = strv_hash(buf_view(&out), 0);
    if (out.data != NULL)
        mem_wipe(out.data, out.cap);
    buf_fini(&out);
}

/* What cannot be read is as if nothing were kept. True: it is not what we knew, and holds a token. */
static bool load(struct mcp_auth *a)
{
    const struct mcp_auth_host *host = a->env.auth;
    struct arena arena;
    struct json doc;
    struct buf text;
    bool news = false;

    if (host == NULL || host->load == NULL)
        return false;
    buf_init(&text, DOCUMENT_MAX);
    arena_init(&arena, 4096, 16 * DOCUMENT_MAX);
    if (host->load(host->arg, a->conf->name, &text) && strv_hash(buf_view(&text), 0) != a->known &&
        json_read(&doc, buf_view(&text), &arena, 0, NULL)) {
        a->known = strv_hash(buf_view(&text), 0);
        for (int i = 0; i < KEPT; i++)
            keep(a, (enum kept)i, json_get_str(doc.root, kept_names[i]));
        news = a->kept[ACCESS] != NULL;
    }
    if (text.data != NULL)
        mem_wipe(text.data, text.cap);
    buf_fini(&text);
    arena_fini(&arena);
    return news;
}

/* ---- the interface ---- */

struct mcp_auth *mcp_auth_new(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                              void (*done)(void *arg, bool ok), void *arg)
{
    struct mcp_auth *a = mem_zalloc(sizeof *a);

    if (a == NULL)
        return NULL;
    a->env = *env;
    a->conf = conf;
    a->done = done;
    a->arg = arg;
    a->why = "not tried yet";
    a->task.run = run_task;
    arena_init(&a->flow, 4096, 32 * DOCUMENT_MAX);
    buf_init(&a->body, DOCUMENT_MAX);
    (void)load(a);
    return a;
}

static void stop_asking(struct mcp_auth *a)
{
    http_call_cancel(a->call);
    a->call = NULL;
    io_timer_stop(a->env.loop, &a->timer);
}

void mcp_auth_free(struct mcp_auth *a)
{
    if (a == NULL)
        return;
    stop_asking(a);
    a->freed = true;
    if (a->task.queued) /* it comes here again */
        return;
    forget(a);
    if (a->body.data != NULL)
        mem_wipe(a->body.data, a->body.cap);
    buf_fini(&a->body);
    arena_fini(&a->flow);
    mem_free_secret(a, sizeof *a);
}

const char *mcp_auth_token(const struct mcp_auth *a)
{
    return a != NULL && a->kept[ACCESS] != NULL ? a->kept[ACCESS] : "";
}

bool mcp_auth_busy(const struct mcp_auth *a)
{
    return a != NULL && (a->step != AUTH_IDLE || a->task.queued);
}

void mcp_auth_accepted(struct mcp_auth *a, const char *token)
{
    if (a != NULL && a->kept[ACCESS] != NULL && strcmp(token, a->kept[ACCESS]) == 0)
        a->refreshed = false;
}

const char *mcp_auth_why(const struct mcp_auth *a)
{
    return a->why;
}

/* ---- ends ---- */

static void run_task(struct io_task *task)
{
    struct mcp_auth *a = list_entry(task, struct mcp_auth, task);

    a->step = AUTH_IDLE;
    if (a->freed)
        mcp_auth_free(a);
    else
        a->done(a->arg, a->ok);
}

static void finish(struct mcp_auth *a, bool ok, const char *why)
{
    stop_asking(a);
    a->ok = ok;
    a->why = why;
    a->step = AUTH_DONE;
    mem_wipe(a->verifier, sizeof a->verifier);
    io_defer(a->env.loop, &a->task);
}

static void fail(struct mcp_auth *a, const char *why)
{
    finish(a, false, why);
}

static void on_timer(void *arg)
{
    struct mcp_auth *a = arg;

    fail(a, a->step == AUTH_VISIT ? nobody : "the authorization server does not answer");
}

/* ---- asking ---- */

/* Not to be reached by what a server in the cloud has written. */
static bool is_private(const struct sockaddr *addr)
{
    static const char *const ranges[] = {
        "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10", "127.0.0.0/8",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",  "192.168.0.0/16",
        "198.18.0.0/15",  "224.0.0.0/3",   "::/96",         "::ffff:0:0/96",
        "64:ff9b::/96",   "fc00::/7",      "fe80::/10",     "ff00::/8"};
    bool inside;

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (io_sockaddr_in(addr, strv_of(ranges[i]), &inside) && inside)
            return true;
    return false;
}

static bool may_connect(void *arg, const struct sockaddr *addr)
{
    const struct mcp_auth *a = arg;
    const struct http_upstream *up = &a->conf->upstream;

    if (up->allow != NULL && !up->allow(up->allow_arg, addr))
        return false;
    return a->conf->local || !is_private(addr);
}

static void on_head(void *arg, const struct http_answer *answer)
{
    struct mcp_auth *a = arg;

    a->status = answer->status;
}

static void on_body(void *arg, const char *data, size_t len)
{
    struct mcp_auth *a = arg;

    buf_put(&a->body, data, len); /* too large: seen at the end */
}

static void on_end(void *arg, enum http_end how, enum io_end why);
static const struct http_call_ops ask_ops = {on_head, on_body, on_end, NULL};

/* One question; false: it has failed. `body` NULL ptr: GET. Everything lives in the flow's arena. */
static bool ask(struct mcp_auth *a, strv url, const char *type, strv body, const char *proof)
{
    struct oauth_place place;
    struct http_header *h = ARENA_ARRAY(&a->flow, struct http_header, 2);

    if (h == NULL || !oauth_place_read(url, &a->flow, &place)) {
        fail(a, a->flow.failed ? "no memory"
                               : "an address of the authorization server may not be used");
        return false;
    }
    h[0] = (struct http_header){STRV("Accept"), STRV("application/json")};
    if (proof != NULL)
        h[1] = (struct http_header){STRV("Authorization"), strv_of(proof)};
    a->up = (struct http_upstream){
        .url = place.url,
        .tls = a->conf->upstream.tls,
        .key = arena_printf(&a->flow, "login %s %s://%s", a->conf->name,
                            place.url.tls ? "https" : "http", place.url.authority),
        .connect_ms = ASK_MS,
        .allow = may_connect,
        .allow_arg = a,
    };
    if (place.url.tls && a->up.tls == NULL) {
        fail(a, "the login needs TLS and the server has no settings for it");
        return false;
    }
    struct http_call_spec spec = {.upstream = &a->up,
                                  .method = body.ptr != NULL ? HTTP_POST : HTTP_GET,
                                  .path = place.target,
                                  .headers = h,
                                  .n_headers = proof != NULL ? 2 : 1,
                                  .content_type = type,
                                  .body = body};

    buf_clear(&a->body);
    a->status = 0;
    a->call = a->up.key != NULL ? http_call(a->env.client, &spec, &ask_ops, a) : NULL;
    if (a->call == NULL) {
        fail(a, "no memory");
        return false;
    }
    io_timer_start(a->env.loop, &a->timer, ASK_MS, on_timer, a);
    return true;
}

static bool add_place(struct mcp_auth *a, const char *url)
{
    assert(a->n_places < PLACES_MAX);
    if (url != NULL)
        a->places[a->n_places++] = url;
    return url != NULL;
}

/* False: no place is left to look, or it has failed. */
static bool ask_next_place(struct mcp_auth *a)
{
    if (a->at >= a->n_places)
        return false;
    ask(a, strv_of(a->places[a->at++]), NULL, STRV_NONE, NULL);
    return true;
}

/* ---- what the tool server says of itself ---- */

/* "https://host:1" and the path behind it, which may be "". */
static strv origin_of(strv url)
{
    const char *slash = url.len > 8 ? memchr(url.ptr + 8, '/', url.len - 8) : NULL;

    return slash != NULL ? (strv){url.ptr, (size_t)(slash - url.ptr)} : url;
}

static strv path_of(strv url)
{
    strv path = strv_from(url, origin_of(url).len);
    const char *query = path.len > 0 ? memchr(path.ptr, '?', path.len) : NULL;

    if (query != NULL)
        path.len = (size_t)(query - path.ptr);
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static void begin(struct mcp_auth *a, const struct oauth_challenge *c)
{
    const struct http_url *up = &a->conf->upstream.url;

    arena_reset(&a->flow);
    a->flow.failed = false;
    a->challenge = (struct oauth_challenge){.bearer = c->bearer,
                                            .metadata = arena_strv(&a->flow, c->metadata),
                                            .scope = arena_strv(&a->flow, c->scope)};
    a->url = strv_of(arena_printf(
        &a->flow, "%s://%s%s%s%s", up->tls ? "https" : "http", up->authority, up->path,
        a->conf->path[0] == '/' || a->conf->path[0] == '\0' ? "" : "/", a->conf->path));
}

static void look_for_resource(struct mcp_auth *a)
{
    static const char known[] = "/.well-known/oauth-protected-resource";
    strv origin = origin_of(a->url), path = path_of(a->url);

    a->step = AUTH_RESOURCE;
    a->n_places = a->at = 0;
    a->resource = (struct oauth_resource){0};
    if (a->challenge.metadata.ptr != NULL &&
        strv_eq(origin_of(a->challenge.metadata), origin)) { /* it speaks for itself only */
        add_place(a, arena_cstr(&a->flow, a->challenge.metadata));
    } else {
        if (path.len > 0)
            add_place(a, arena_printf(&a->flow, STRV_FMT "%s" STRV_FMT, STRV_ARG(origin), known,
                                      STRV_ARG(path)));
        add_place(a, arena_printf(&a->flow, STRV_FMT "%s", STRV_ARG(origin), known));
    }
    if (!ask_next_place(a))
        fail(a, "no memory");
}

/* The authorization server that the operator has named; STRV_NONE: whichever the tool server names. */
static strv own_issuer(const struct mcp_auth *a)
{
    const struct mcp_oauth_conf *own = a->conf->oauth;

    return own != NULL && own->issuer != NULL ? strv_of(own->issuer) : STRV_NONE;
}

/* Servers of 2025-03-26 are their own authorization servers and have no such document. */
static void got_no_resource(struct mcp_auth *a)
{
    a->issuer = own_issuer(a);
    a->exact = a->issuer.ptr != NULL;
    if (!a->exact && !a->challenge.bearer) {
        fail(a, "the server wants a key: it offers no login");
        return;
    }
    if (!a->exact)
        a->issuer = origin_of(a->url);
    look_for_server(a);
}

static void got_resource(struct mcp_auth *a)
{
    if (a->status != 200) {
        if (!ask_next_place(a))
            got_no_resource(a);
        return;
    }
    if (!oauth_resource_read(buf_view(&a->body), a->url, own_issuer(a), &a->flow, &a->resource,
                             NULL))
        fail(a, "what the server says of its login is not about this server");
    else if (a->resource.issuer.ptr == NULL)
        fail(a, "the server names no authorization server that may be used");
    else {
        a->issuer = a->resource.issuer;
        a->exact = true;
        look_for_server(a);
    }
}

/* ---- the authorization server ---- */

static bool is_person_here(const struct mcp_auth *a)
{
    const struct mcp_auth_host *host = a->env.auth;

    return host != NULL && host->redirect != NULL && host->visit != NULL;
}

static void look_for_server(struct mcp_auth *a)
{
    static const char oauth[] = "/.well-known/oauth-authorization-server",
                      openid[] = "/.well-known/openid-configuration";
    strv origin = origin_of(a->issuer), path = path_of(a->issuer), own = own_issuer(a);
    struct arena *f = &a->flow;

    if (own.ptr != NULL && !strv_eq(a->issuer, own)) {
        fail(a, "the server names another authorization server than the configuration");
        return;
    }
    if (!is_person_here(a) && (a->conf->oauth == NULL || !a->conf->oauth->client_credentials)) {
        fail(a, nobody);
        return;
    }
    a->step = AUTH_SERVER;
    a->n_places = a->at = 0;
    add_place(a, arena_printf(f, STRV_FMT "%s" STRV_FMT, STRV_ARG(origin), oauth, STRV_ARG(path)));
    add_place(a, arena_printf(f, STRV_FMT "%s" STRV_FMT, STRV_ARG(origin), openid, STRV_ARG(path)));
    if (path.len > 0)
        add_place(
            a, arena_printf(f, STRV_FMT STRV_FMT "%s", STRV_ARG(origin), STRV_ARG(path), openid));
    if (!ask_next_place(a))
        fail(a, "no memory");
}

/* The addresses that 2025-03-26 lays down for a server that tells none. */
static bool assume_server(struct mcp_auth *a)
{
    struct arena *f = &a->flow;
    strv o = a->issuer;

    a->server = (struct oauth_server){
        .issuer = o,
        .authorization = strv_of(arena_printf(f, STRV_FMT "/authorize", STRV_ARG(o))),
        .token = strv_of(arena_printf(f, STRV_FMT "/token", STRV_ARG(o))),
        .registration = strv_of(arena_printf(f, STRV_FMT "/register", STRV_ARG(o))),
        .basic = true,
        .none = true,
    };
    return !f->failed;
}

static void got_server(struct mcp_auth *a)
{
    if (a->status != 200 && ask_next_place(a))
        return;
    if (a->status == 200 &&
        !oauth_server_read(buf_view(&a->body), a->issuer, a->exact, &a->flow, &a->server, NULL)) {
        fail(a, "what the authorization server says of itself cannot be used");
        return;
    }
    if (a->status != 200 && (a->exact || !assume_server(a))) {
        fail(a, "the authorization server says nothing of itself");
        return;
    }
    if (a->kept[ISSUER] != NULL && !strv_eq_cstr(a->server.issuer, a->kept[ISSUER]))
        forget(a); /* known there is not known here */
    identify(a);
}

/* ---- who we are to it ---- */

static enum proof proof_of(const struct mcp_auth *a)
{
    for (int i = PROOF_NONE; i <= PROOF_POST && a->kept[PROOF] != NULL; i++)
        if (strcmp(proof_names[i], a->kept[PROOF]) == 0)
            return (enum proof)i;
    return PROOF_NONE;
}

/* The best that the server takes. With a secret, it is shown; a program on somebody's desk has none by itself. */
static const char *best_proof(const struct oauth_server *s, bool secret)
{
    if (s->none && !secret)
        return proof_names[PROOF_NONE];
    return proof_names[s->basic ? PROOF_BASIC : s->post ? PROOF_POST : PROOF_NONE];
}

static bool is_scope_wanted(const struct mcp_auth *a)
{
    return a->scope.ptr != NULL && a->scope.len > 0;
}

static void choose_scope(struct mcp_auth *a)
{
    const struct mcp_oauth_conf *own = a->conf->oauth;

    a->scope = a->challenge.scope.ptr != NULL ? a->challenge.scope : a->resource.scopes;
    if (own != NULL && own->scope != NULL)
        a->scope = oauth_scopes(strv_of(own->scope), a->challenge.scope, &a->flow);
    if (a->kept[SCOPE] != NULL) /* what was granted before is not given up for more */
        a->scope = oauth_scopes(strv_of(a->kept[SCOPE]), a->scope, &a->flow);
    if (a->server.offline && is_scope_wanted(a))
        a->scope = oauth_scopes(a->scope, STRV("offline_access"), &a->flow);
}

static bool keep_place(struct mcp_auth *a)
{
    strv resource = a->resource.resource.ptr != NULL ? a->resource.resource : a->url;

    return keep(a, ISSUER, a->server.issuer) && keep(a, ENDPOINT, a->server.token) &&
           keep(a, RESOURCE, resource);
}

static bool keep_client(struct mcp_auth *a, strv id, strv secret, const char *proof)
{
    return keep(a, CLIENT, id) && keep(a, SECRET, secret) && keep(a, PROOF, strv_of(proof));
}

static void register_us(struct mcp_auth *a)
{
    struct buf out;
    strv body;

    buf_init(&out, 4096);
    buf_put_cstr(&out,
                 "{\"client_name\":\"llm-router\",\"application_type\":\"native\",\"grant_types\":"
                 "[\"authorization_code\",\"refresh_token\"],\"response_types\":[\"code\"],"
                 "\"redirect_uris\":[");
    json_put_str(&out, strv_of(a->env.auth->redirect));
    buf_put_cstr(&out, "],\"token_endpoint_auth_method\":");
    json_put_str(&out, strv_of(best_proof(&a->server, false)));
    buf_put_char(&out, '}');
    body = arena_strv(&a->flow, buf_view(&out));
    if (out.failed)
        body = STRV_NONE;
    buf_fini(&out);
    a->step = AUTH_REGISTER;
    if (body.ptr == NULL)
        fail(a, "no memory");
    else
        ask(a, a->server.registration, "application/json", body, NULL);
}

static void visit(struct mcp_auth *a);

static void got_client(struct mcp_auth *a)
{
    struct json doc;
    strv id, secret, proof;

    if ((a->status != 200 && a->status != 201) ||
        !json_read(&doc, buf_view(&a->body), &a->flow, 0, NULL) ||
        (id = json_get_str(doc.root, "client_id")).ptr == NULL || id.len == 0) {
        fail(a, "the authorization server does not register us");
        return;
    }
    secret = json_get_str(doc.root, "client_secret");
    proof = json_get_str(doc.root, "token_endpoint_auth_method");
    if (!keep_client(a, id, secret, best_proof(&a->server, false)) ||
        (proof.ptr != NULL && !keep(a, PROOF, proof)))
        fail(a, "no memory");
    else
        visit(a);
}

static void identify(struct mcp_auth *a)
{
    static const struct mcp_oauth_conf none;
    const struct mcp_oauth_conf *own = a->conf->oauth != NULL ? a->conf->oauth : &none;
    const char *proof = best_proof(&a->server, own->client_secret != NULL);

    choose_scope(a);
    if (!keep_place(a)) {
        fail(a, "no memory");
    } else if (own->client_id != NULL &&
               !keep_client(a, strv_of(own->client_id), strv_of(own->client_secret), proof)) {
        fail(a, "no memory");
    } else if (own->client_credentials && own->client_id != NULL) {
        ask_for_token(a, STRV_NONE);
    } else if (!is_person_here(a)) {
        fail(a, nobody);
    } else if (a->server.authorization.ptr == NULL) {
        fail(a, "the authorization server has no page for a login");
    } else if (own->client_id != NULL) {
        visit(a);
    } else if (own->document != NULL && a->server.documents) {
        if (keep_client(a, strv_of(own->document), STRV_NONE, proof_names[PROOF_NONE]))
            visit(a);
        else
            fail(a, "no memory");
    } else if (a->kept[CLIENT] != NULL) {
        visit(a);
    } else if (a->server.registration.ptr != NULL) {
        register_us(a);
    } else {
        fail(a, "the authorization server registers nobody: configure a client id");
    }
}

/* ---- the person ---- */

static bool make_secret(char *out, size_t size)
{
    unsigned char bytes[SECRET_BYTES];
    struct buf text;
    bool ok;

    buf_init(&text, size - 1);
    ok = rng_secret(bytes, sizeof bytes) &&
         oauth_put_base64url(&text, (strv){(const char *)bytes, sizeof bytes});
    if (ok)
        snprintf(out, size, STRV_FMT, STRV_ARG(buf_view(&text)));
    buf_fini(&text);
    mem_wipe(bytes, sizeof bytes);
    return ok;
}

static void visit(struct mcp_auth *a)
{
    const struct mcp_auth_host *host = a->env.auth;
    struct buf url, challenge;
    char *text = NULL;

    buf_init(&url, 16384);
    buf_init(&challenge, 64);
    if (make_secret(a->verifier, sizeof a->verifier) && make_secret(a->state, sizeof a->state) &&
        oauth_put_challenge(&challenge, strv_of(a->verifier))) {
        buf_put_strv(&url, a->server.authorization);
        if (memchr(a->server.authorization.ptr, '?', a->server.authorization.len) == NULL)
            buf_put_char(&url, '?');
        oauth_put_pair(&url, "response_type", STRV("code"));
        oauth_put_pair(&url, "client_id", strv_of(a->kept[CLIENT]));
        oauth_put_pair(&url, "redirect_uri", strv_of(host->redirect));
        if (is_scope_wanted(a))
            oauth_put_pair(&url, "scope", a->scope);
        oauth_put_pair(&url, "state", strv_of(a->state));
        oauth_put_pair(&url, "code_challenge", buf_view(&challenge));
        oauth_put_pair(&url, "code_challenge_method", STRV("S256"));
        if (oauth_put_pair(&url, "resource", strv_of(a->kept[RESOURCE])))
            text = arena_cstr(&a->flow, buf_view(&url));
    }
    buf_fini(&url);
    buf_fini(&challenge);
    if (text == NULL) {
        fail(a, "no memory");
        return;
    }
    a->step = AUTH_VISIT;
    io_timer_start(a->env.loop, &a->timer, VISIT_MS, on_timer, a);
    host->visit(host->arg, a, a->conf->name, text);
}

/* Who answers is who was asked: RFC 9207. */
static bool is_from(const struct mcp_auth *a, const struct oauth_redirect *r)
{
    return r->iss.ptr == NULL ? !a->server.says_iss : strv_eq(r->iss, a->server.issuer);
}

bool mcp_auth_redirected(struct mcp_auth *a, strv query)
{
    struct oauth_redirect r;

    if (a->step != AUTH_VISIT || !oauth_redirect_read(query, &a->flow, &r) || r.state.ptr == NULL ||
        !strv_eq_cstr(r.state, a->state))
        return false;
    io_timer_stop(a->env.loop, &a->timer);
    if (!is_from(a, &r))
        fail(a, "the answer to the login came from another authorization server");
    else if (r.error.ptr != NULL || r.code.ptr == NULL)
        fail(a, "the authorization server has refused the login");
    else
        ask_for_token(a, r.code);
    return true;
}

/* ---- tokens ---- */

/* The header's value; NULL: no memory. */
static const char *basic_proof(struct mcp_auth *a)
{
    struct buf pair, out;
    const char *text = NULL;

    buf_init(&pair, 4096);
    buf_init(&out, 8192);
    oauth_put_encoded(&pair, strv_of(a->kept[CLIENT]));
    buf_put_char(&pair, ':');
    oauth_put_encoded(&pair, strv_of(a->kept[SECRET] != NULL ? a->kept[SECRET] : ""));
    buf_put_cstr(&out, "Basic ");
    if (!pair.failed && media_base64_put(&out, buf_view(&pair)))
        text = arena_cstr(&a->flow, buf_view(&out));
    buf_fini(&pair);
    buf_fini(&out);
    return text;
}

/* The body so far is what is asked for; who asks comes here. Takes the buffer. */
static void send_token_request(struct mcp_auth *a, enum auth_step step, struct buf *out)
{
    enum proof how = proof_of(a);
    const char *proof = how == PROOF_BASIC ? basic_proof(a) : NULL;
    strv body;

    if (how != PROOF_BASIC)
        oauth_put_pair(out, "client_id", strv_of(a->kept[CLIENT]));
    if (how == PROOF_POST && a->kept[SECRET] != NULL)
        oauth_put_pair(out, "client_secret", strv_of(a->kept[SECRET]));
    oauth_put_pair(out, "resource", strv_of(a->kept[RESOURCE]));
    body = out->failed ? STRV_NONE : arena_strv(&a->flow, buf_view(out));
    if (out->data != NULL)
        mem_wipe(out->data, out->cap);
    buf_fini(out);
    a->step = step;
    if (body.ptr == NULL || (how == PROOF_BASIC && proof == NULL))
        fail(a, "no memory");
    else
        ask(a, strv_of(a->kept[ENDPOINT]), "application/x-www-form-urlencoded", body, proof);
}

/* code: STRV_NONE = by client credentials. */
static void ask_for_token(struct mcp_auth *a, strv code)
{
    struct buf out;

    buf_init(&out, 16384);
    if (code.ptr != NULL) {
        oauth_put_pair(&out, "grant_type", STRV("authorization_code"));
        oauth_put_pair(&out, "code", code);
        oauth_put_pair(&out, "redirect_uri", strv_of(a->env.auth->redirect));
        oauth_put_pair(&out, "code_verifier", strv_of(a->verifier));
    } else {
        oauth_put_pair(&out, "grant_type", STRV("client_credentials"));
        if (is_scope_wanted(a))
            oauth_put_pair(&out, "scope", a->scope);
    }
    send_token_request(a, AUTH_TOKEN, &out);
}

static void refresh(struct mcp_auth *a)
{
    struct buf out;

    buf_init(&out, 32768);
    oauth_put_pair(&out, "grant_type", STRV("refresh_token"));
    oauth_put_pair(&out, "refresh_token", strv_of(a->kept[REFRESH]));
    send_token_request(a, AUTH_REFRESH, &out);
}

/* A refresh token that is refused is worth nothing any more, here and for whoever reads what is kept. */
static void got_no_token(struct mcp_auth *a)
{
    if (a->step == AUTH_REFRESH && load(a)) { /* another process was faster */
        finish(a, true, "");
        return;
    }
    keep(a, ACCESS, STRV_NONE);
    keep(a, REFRESH, STRV_NONE);
    if (a->step == AUTH_REFRESH) {
        save(a);
        look_for_resource(a);
    } else {
        fail(a, "the authorization server gave no token");
    }
}

static void got_token(struct mcp_auth *a)
{
    bool again = a->step == AUTH_REFRESH;
    struct oauth_token t;

    if (a->status >= 500 || a->status == 429 || a->status == 408) {
        fail(a, "the authorization server gives no token at the moment");
        return;
    }
    if (a->status != 200 || !oauth_token_read(buf_view(&a->body), &a->flow, &t, NULL)) {
        got_no_token(a);
        return;
    }
    if (!keep(a, ACCESS, t.access) || (t.refresh.ptr != NULL && !keep(a, REFRESH, t.refresh)) ||
        (!again && is_scope_wanted(a) && !keep(a, SCOPE, a->scope))) {
        fail(a, "no memory");
        return;
    }
    a->refreshed = again;
    save(a);
    finish(a, true, "");
}

/* ---- answers, and what comes next ---- */

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    static void (*const next[])(struct mcp_auth * a) = {
        [AUTH_RESOURCE] = got_resource, [AUTH_SERVER] = got_server, [AUTH_REGISTER] = got_client,
        [AUTH_TOKEN] = got_token,       [AUTH_REFRESH] = got_token,
    };
    struct mcp_auth *a = arg;

    a->call = NULL;
    io_timer_stop(a->env.loop, &a->timer);
    if (how == HTTP_CONNECT && why == IO_NOT_ALLOWED)
        fail(a, "the authorization server is not at an address that is allowed");
    else if (how != HTTP_DONE && how != HTTP_DONE_AT_EOF)
        fail(a, "the authorization server cannot be reached");
    else if (a->body.failed)
        fail(a, "a document of the authorization server is too large");
    else
        next[a->step](a);
}

/* More scope is worth a login only where it is more: a server that asks for what was asked for already will not be
 * content the next time either. */
static bool may_step_up(struct mcp_auth *a, const struct oauth_challenge *c)
{
    strv had = strv_of(a->kept[SCOPE]), all;

    if (!strv_eq(c->error, STRV("insufficient_scope")) || a->step_ups++ >= STEP_UPS_MAX)
        return false;
    arena_reset(&a->flow);
    all = oauth_scopes(had, c->scope, &a->flow);
    return c->scope.ptr == NULL || all.len > had.len;
}

bool mcp_auth_challenged(struct mcp_auth *a, int status, const struct oauth_challenge *c)
{
    if (mcp_auth_busy(a))
        return true; /* its token will be ours, too */
    if (status == 403 && !may_step_up(a, c)) {
        a->why = "the server does not let us do this";
        return false;
    }
    begin(a, c);
    if (a->url.ptr == NULL) {
        a->why = "no memory";
        return false;
    }
    if (status == 401 && load(a)) {
        a->refreshed = false;
        finish(a, true, "");
        return true;
    }
    if (status == 401 && a->kept[REFRESH] != NULL && a->kept[ENDPOINT] != NULL &&
        a->kept[CLIENT] != NULL && a->kept[RESOURCE] != NULL && !a->refreshed) {
        refresh(a);
        return true;
    }
    a->refreshed = false;
    keep(a, ACCESS, STRV_NONE);
    look_for_resource(a);
    return true;
}
