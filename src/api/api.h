/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - the doors. Each ends in exchange_start(), or only reads; two hand on what an Ollama says of a model's name
 * (relay.h).
 *
 *   head     api_on_head: route, Host, Origin, key; refusals before a body is read
 *   body     api_on_request: the route's handler
 *   reply    the exchange's sink over http_reply_*, with the X-LLM-* headers
 *
 * Every refusal is in the dialect of the route that was meant; on /mcp it is an error of JSON-RPC. A route is a row of app's table; which rows
 * exist is not known here.
 *
 * One struct api per worker; keys and settings are swapped by messages to the worker's loop.
 */
#ifndef API_API_H
#define API_API_H

#include "api/crowd.h"
#include "api/ended.h"
#include "base/base.h"
#include "dialect/dialect.h"
#include "exchange/exchange.h"
#include "gateway/gateway.h"
#include "http/http.h"
#include "llm/llm.h"
#include "policy/policy.h"
#include "provider/provider.h"

struct advisor_conf;
struct agent_env;
struct audit_opts;
struct chat_keep;
struct api;
struct chat_conf;
struct chat_room;
struct whois;
struct api_route {
    enum http_method method;
    const char *path; /* exact; "/v1/models/{id}" takes anything that stands there, slashes too */
    enum llm_dialect door; /* whose errors are spoken here */
    enum llm_op op;
    bool stream; /* a stream whatever the body says (/router/stream) */
    bool open;   /* no key needed */
    bool
        counted; /* within the caller's limits; what asks a model or explains sees to that itself */
    bool socket; /* a WebSocket: who has no key is told so after the upgrade */
    bool
        scheduler; /* of the application's client: there while `sockets.conf->scheduler` is, at its path */
    bool admin; /* tells of every caller: of keys, only those with that right */
    /* One of the two: a door of this folder, or something that only reads (arg is api->admin). */
    void (*run)(struct api *api, struct http_request *req, const struct api_route *route);
    void (*read)(void *arg, struct http_request *req);
    const char *doc;
};

#define API_SCHEDULER_PATH "/api/v1/claude-chat"

struct whois_conf { /* in a snapshot's arena: whom whois.c asks who somebody is */
    struct http_upstream app;
    const char *const *roles; /* that may chat, NULL-terminated */
    uint64_t answer_ms;       /* longest wait for the application */
    uint64_t keep_ms;         /* how long a verdict is good */
};

struct api_scheduler_conf {
    struct whois_conf whois;
    strv path;   /* of its door, in place of API_SCHEDULER_PATH */
    strv secret; /* that its tokens are signed with */
};

struct api_sockets_conf {                       /* of a configuration */
    uint64_t idle_ms;                           /* without a word from either side; 0 = for ever */
    int64_t of_user;                            /* sockets that a user may have open */
    const struct api_scheduler_conf *scheduler; /* NULL = its door is shut */
};

struct api_sockets { /* of a worker */
    struct list all;
    size_t n, max;
    const struct api_sockets_conf *conf;
    struct crowd *crowd; /* of all workers */
    struct whois *whois; /* made when it is first needed */
};

struct api {
    struct exchange_env *env;
    void *admin; /* argument of `read` handlers */
    const struct api_route *routes;
    size_t n_routes;
    struct policy_keys *keys;     /* counted; may be empty */
    bool require_keys;            /* also while there are none */
    const char *const *origins;   /* Origin values that are answered, NULL-terminated */
    const char *const *hosts;     /* Host names besides addresses and localhost, NULL-terminated */
    const uint8_t *cookie_secret; /* 32 bytes that seal logins; NULL = nobody can log in */
    struct ended *ended;     /* logins that are over before their time; there with the secret */
    bool allow_pull;         /* callers may have models downloaded */
    bool page;               /* browsers get the web pages */
    size_t relays;           /* calls of relay.c in progress */
    struct gateway *gateway; /* what /mcp is a face of */
    struct agent_env *agent; /* tools of MCP servers; NULL = there are none */
    const struct advisor_conf *advisor;
    struct chat_keep *keep; /* NULL = no conversation is kept */
    struct chat_room *room; /* NULL = no conversations */
    const struct chat_conf *chat;
    const struct store_at *store;                    /* where the keys are */
    const struct audit_opts *audit;                  /* where the audit is */
    void (*put_state)(void *admin, struct buf *out); /* what /router/events tells, a JSON object */
    struct {
        struct list listeners;
        size_t n;
        struct io_timer timer;
        struct buf told; /* the last event */
    } events;
    struct api_sockets sockets;
};

/* For http_handlers; arg is the struct api. */
bool api_on_head(void *arg, struct http_request *req);
void api_on_request(void *arg, struct http_request *req);
void api_on_bad(void *arg, struct http_request *req, enum http_bad why);

/* Sockets of conversations. After `keys` were swapped: whose key is gone is sent away. */
void api_sockets_init(struct api *api);
void api_sockets_keys(struct api *api);
/* Who is not in a session yet is sent away; chat_room_drain() sees to the others. */
void api_sockets_drain(struct api *api);
/* At once, and without a word; their seats rise. */
void api_sockets_fini(struct api *api);

/* Handlers of rows. */
void api_generate(struct api *api, struct http_request *req,
                  const struct api_route *route); /* chat, messages, ... */
void api_advise(struct api *api, struct http_request *req,
                const struct api_route *route); /* /advisor/... */
void api_explain(struct api *api, struct http_request *req,
                 const struct api_route *route); /* /router/explain */
void api_classify(struct api *api, struct http_request *req,
                  const struct api_route *route); /* /router/classify */
void api_models(struct api *api, struct http_request *req,
                const struct api_route *route); /* /v1/models, both forms */
void api_model(struct api *api, struct http_request *req,
               const struct api_route *route); /* /v1/models/{id}, both forms */
void api_by_provider(struct api *api, struct http_request *req,
                     const struct api_route *route); /* /router/models */
void api_tags(struct api *api, struct http_request *req,
              const struct api_route *route); /* /api/tags */
void api_show(struct api *api, struct http_request *req,
              const struct api_route *route); /* /api/show */
void api_ps(struct api *api, struct http_request *req, const struct api_route *route); /* /api/ps */
void api_pull(struct api *api, struct http_request *req,
              const struct api_route *route); /* /api/pull */
void api_approvals(struct api *api, struct http_request *req,
                   const struct api_route *route); /* GET /router/approvals */
void api_decide(struct api *api, struct http_request *req,
                const struct api_route *route); /* POST /router/approvals/{id} */
void api_usage(struct api *api, struct http_request *req,
               const struct api_route *route); /* /router/usage */
void api_events(struct api *api, struct http_request *req,
                const struct api_route *route); /* /router/events */
void api_traffic(struct api *api, struct http_request *req,
                 const struct api_route *route); /* /router/traffic */
void api_servers(struct api *api, struct http_request *req,
                 const struct api_route *route); /* /router/servers */
/* Once, before any request; and when the worker is to end: those streams end by nothing else. */
void api_events_init(struct api *api);
void api_advice_outcome(struct api *api, struct http_request *req,
                        const struct api_route *route); /* what became of advice */
void api_events_end(struct api *api); /* those that are open; whoever still may comes back */
void api_keys(struct api *api, struct http_request *req,
              const struct api_route *route); /* GET /router/keys */
void api_key_add(struct api *api, struct http_request *req,
                 const struct api_route *route); /* POST /router/keys */
void api_key_revoke(struct api *api, struct http_request *req,
                    const struct api_route *route); /* DELETE /router/keys/{id} */
void api_audit(struct api *api, struct http_request *req,
               const struct api_route *route); /* GET /router/audit */
void api_audit_verify(struct api *api, struct http_request *req,
                      const struct api_route *route); /* POST /router/audit/verify */
/* Who is asked to download the model, and its name there: "provider/model", else the first Ollama of zone local.
 * NULL with err. */
const struct provider *api_pull_provider(const struct snapshot *s, strv name, struct arena *arena,
                                         strv *model, struct err *err);
void api_me(struct api *api, struct http_request *req,
            const struct api_route *route); /* GET /chat/me */
void api_login(struct api *api, struct http_request *req,
               const struct api_route *route); /* POST /chat/login */
void api_logout(struct api *api, struct http_request *req,
                const struct api_route *route); /* POST /chat/logout */
void api_sessions(struct api *api, struct http_request *req,
                  const struct api_route *route); /* GET /chat/sessions */
void api_session(struct api *api, struct http_request *req,
                 const struct api_route *route); /* GET /chat/sessions/{id}, and its export */
void api_session_rename(struct api *api, struct http_request *req,
                        const struct api_route *route); /* POST /chat/sessions/{id} */
void api_session_delete(struct api *api, struct http_request *req,
                        const struct api_route *route); /* DELETE /chat/sessions/{id} */
void api_socket(struct api *api, struct http_request *req,
                const struct api_route *route); /* /ws/{session} */
void api_scheduler(struct api *api, struct http_request *req,
                   const struct api_route *route); /* the scheduler's client */
void api_scheduler_sessions(struct api *api, struct http_request *req,
                            const struct api_route *route); /* its REST */
void api_mcp(struct api *api, struct http_request *req, const struct api_route *route); /* /mcp */
void api_mcp_stream(struct api *api, struct http_request *req, const struct api_route *route);
/* What Ollama does to its own files: push, create, copy, delete, blobs. */
void api_unserved(struct api *api, struct http_request *req, const struct api_route *route);
void api_version(struct api *api, struct http_request *req,
                 const struct api_route *route); /* /api/version */
/* The web pages (page.c). */
void api_root(struct api *api, struct http_request *req, const struct api_route *route); /* / */
void api_page_chat(struct api *api, struct http_request *req,
                   const struct api_route *route); /* /chat */
void api_page_operator(struct api *api, struct http_request *req,
                       const struct api_route *route); /* /operator */
void api_page_asset(struct api *api, struct http_request *req,
                    const struct api_route *route); /* /assets/{name} */

/* A whole error reply in the door's dialect. status 0 = the row's; empty message = the row's. */
void api_error(struct http_request *req, enum llm_dialect door, int error, int status, strv message,
               strv field, uint64_t retry_after_s);
/* The same from an err, counted as a request that was turned down. */
void api_refuse(struct api *api, struct http_request *req, enum llm_dialect door,
                const struct err *err);
/* Whose errors the request is answered with: its route's door, and on paths that two dialects share the one
 * that its headers tell. */
enum llm_dialect api_door(const struct http_request *req);
/* Hints of the headers into r. Each may come more than once (a proxy in front adds its own): all of them count, so
 * that the tightest one does. */
bool api_hints(struct llm_request *r, const struct http_request *req, struct err *err);

/* Every model name a caller can use, without doubles: roles, aliases that are no patterns, models of all
 * providers. */
struct api_model {
    const char *name, *owner;
    const struct provider *p;           /* who lists it; NULL for roles and aliases */
    const struct provider_model *facts; /* NULL = no list tells any */
};
struct api_model_list {
    struct api_model *items;
    size_t n;
    struct provider_models *held[PROVIDERS_MAX]; /* lists the items point into */
};
/* Of a key's holder (NULL: of everybody) only those that he may use. */
bool api_model_list(struct exchange_env *env, const struct policy_key *key, struct arena *arena,
                    struct api_model_list *out);
void api_model_list_fini(struct api_model_list *list);
/* The same as a JSON array: name, owner, and is_local where a provider lists it. */
void api_put_models(struct exchange_env *env, const struct policy_key *key, struct arena *arena,
                    struct buf *b);
/* Does the key let its holder use what a request with this in `model` would get? Whether it is there is another
 * question. */
bool api_may_use(struct exchange_env *env, const struct policy_key *key, strv name);

/* The model that a request with this name in `model`, and the same hints, would be sent to first. */
struct api_found {
    const struct provider *p; /* of the present snapshot */
    strv model;               /* its name there, with a terminator */
    bool by_name;             /* the caller named this very model, not a role, alias or auto */
    const struct provider_model *facts; /* NULL = the provider's list does not hold it */
    struct provider_facts known;        /* from all sources */
    struct provider_models *held;
};
/* False with err as for such a request: MODEL_NOT_FOUND, PROVIDER_FORBIDDEN, ... */
bool api_find(struct api *api, const struct http_request *req, strv name, struct arena *arena,
              struct api_found *out, struct err *err);
void api_found_fini(struct api_found *found);

/* ---- API keys, which the command line makes, too ---- */

struct store_key;
#define API_KEY_PREFIX "llmr_"
#define API_SECRET_BYTES                                                                           \
    49 /* llmr_, 43 characters of [0-9A-Za-z]: 256 bits from the system; and a terminator */
bool api_key_name_ok(strv name);
/* A new one; nobody knows the secret again. The name is one that is ok. */
bool api_key_make(strv name, const struct policy_rules *rules, int64_t now_us,
                  struct store_key *key, char secret[API_SECRET_BYTES], struct err *err);
bool api_key_rules(const struct policy_rules *rules, struct store_key *key, struct err *err);
/* Members of a JSON object, without braces; no digest. */
void api_key_json(const struct store_key *key, struct buf *out);

#endif
