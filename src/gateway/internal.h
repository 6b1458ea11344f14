/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the files of this folder share: a call, its words, and whom it is passed to. */
#ifndef GATEWAY_INTERNAL_H
#define GATEWAY_INTERNAL_H

#include <pthread.h>

#include "gateway/gateway.h"

#define GATEWAY_NAME        "llm-router"
#define GATEWAY_ANSWER_MAX  ((size_t)64 << 20) /* bytes of one message of ours */
#define GATEWAY_PAGE        500 /* more than most servers have: few clients turn pages */
#define GATEWAY_DIGEST      16  /* bytes of a signature: 128 bits */
#define GATEWAY_SESSION_MAX 80  /* characters of a session id, and a terminator */

#define META_VERSION      "io.modelcontextprotocol/protocolVersion"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define META_LOG_LEVEL    "io.modelcontextprotocol/logLevel"
#define META_SERVER       "io.modelcontextprotocol/serverInfo"
#define META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

enum { /* what a client can be asked; also in a session id */
       CAN_SAMPLE = 1 << 0,
       CAN_ELICIT = 1 << 1,
       CAN_ELICIT_URL = 1 << 2,
       CAN_ROOTS = 1 << 3,
};

struct gateway {
    struct gateway_env env;
    struct list calls; /* open ones */
    struct list node;  /* in the hall */
    uint64_t number;   /* there */
    size_t listens;
    bool draining;
};

struct gateway_hall {
    pthread_mutex_t lock;
    struct list gateways;
    uint64_t last_number;
    struct list streams;       /* of legacy clients, open now (listen.c) */
    struct list subscriptions; /* the oldest first (subscribe.c) */
    size_t n_subscriptions;
    uint8_t secret[32];
};

struct asking; /* questions of a server to our client, and their answers (questions.c) */

struct gateway_call {
    struct gateway *g;
    struct arena *arena; /* the caller's: what may outlive an answer by a turn */
    struct arena work;   /* the message and what is made of it; goes with the call */
    const struct gateway_message *in;
    struct exchange_caller caller;
    const struct gateway_sink *sink;
    void *arg;
    struct list node; /* in g->calls */

    struct mcp_message m;
    enum mcp_era era;
    strv revision; /* that is spoken */
    bool over;

    /* what the client wants and can do */
    strv token;        /* progressToken, as JSON text; STRV_NONE = none */
    unsigned can;      /* CAN_... */
    strv capabilities; /* the same as JSON text of an object */
    strv log_level;    /* STRV_NONE = it wants none */
    strv session;      /* legacy: its id, checked; STRV_NONE = none */
    strv new_session;  /* for the answer's header */

    /* what runs for it; NULL = nothing to be stopped */
    void (*stop)(struct gateway_call *c);
    void *running;
    struct asking *asking;
    const char *subscribed_at; /* name of the server that is asked for updates */
    double progress;           /* last told */
    int64_t progress_us;       /* when */
};

/* ---- answers (gateway.c); each is the call's last word ---- */

/* `members` of the result, without braces and without those that every result has; "" = none. */
void gateway_result(struct gateway_call *c, strv members);
/* All its members, these too. */
void gateway_result_whole(struct gateway_call *c, strv members);
void gateway_error(struct gateway_call *c, int status, int code, const char *text, strv data);
void gateway_no_memory(struct gateway_call *c);
/* -32602: the params, not the message, are wrong. */
void gateway_bad_params(struct gateway_call *c, const char *text);
/* Ends without a word: the caller is gone, or has cancelled. */
void gateway_drop(struct gateway_call *c);
/* The status of HTTP that goes with an error's code. */
int gateway_status(const struct gateway_call *c, int code);
/* A notification that precedes the answer; params: JSON text of an object. */
void gateway_notify(struct gateway_call *c, const char *method, strv params);
/* Progress of the request, if its client asked for that. Rises strictly, and is told at most fifty times a second. */
void gateway_progress(struct gateway_call *c, double done, double total, strv message);
/* Members that only one era has, of a list or a read: ttlMs and cacheScope, with a comma before them. */
void gateway_put_cache(const struct gateway_call *c, struct buf *b, unsigned ttl_ms);
void gateway_put_server_info(struct buf *b);

bool gateway_has_servers(const struct gateway *g); /* any is configured */
unsigned gateway_can(yyjson_val *capabilities);    /* CAN_... */
/* STRV_NONE: there is none. Two that differ set *twice, which the caller clears before. */
strv gateway_header(const struct gateway_call *c, const char *name, bool *twice);
/* What the head says besides (X-LLM-Sensitivity and its like): it tightens, here as at the other doors. False: it is none,
 * and the call is over. */
bool gateway_hints(struct gateway_call *c, struct llm_request *r);
/* Does the header of that name, decoded, say this? */
bool gateway_header_is(struct gateway_call *c, const char *name, strv value);

/* -32020: the header of that name and the body differ. The call is over; false. */
bool gateway_mismatch(struct gateway_call *c, const char *name);
/* Do the headers repeat the arguments that the tool's schema marks (mirror.c)? False: the call is over. */
bool gateway_mirrored(struct gateway_call *c, const struct mcp_tool *t, yyjson_val *args);

/* ---- methods ---- */

void gateway_initialize(struct gateway_call *c); /* hello.c */
void gateway_discover(struct gateway_call *c);
void gateway_tools_list(struct gateway_call *c); /* lists.c */
void gateway_resources_list(struct gateway_call *c);
void gateway_templates_list(struct gateway_call *c);
void gateway_prompts_list(struct gateway_call *c);
void gateway_tools_call(struct gateway_call *c);     /* own.c */
void gateway_resources_read(struct gateway_call *c); /* passed.c */
void gateway_prompts_get(struct gateway_call *c);
void gateway_complete(struct gateway_call *c);
void gateway_listen(struct gateway_call *c); /* listen.c */
void gateway_listen_legacy(struct gateway_call *c);
void gateway_subscribe(struct gateway_call *c); /* subscribe.c */
void gateway_unsubscribe(struct gateway_call *c);
/* Remembers that the call's session wants to hear of it: false: no memory, or too many. */
bool gateway_subscription_add(const struct gateway_call *c, const char *server, strv uri);
/* True: nobody else wants to hear of it. */
bool gateway_subscription_drop(const struct gateway_call *c, strv uri);
/* The server of that resource, if this client may hear of it. NULL: there is none. */
const struct mcp_listed *gateway_subscribable(const struct gateway_call *c,
                                              const struct mcp_catalogue *cat, strv uri);
/* Does this client's session want to hear of that? */
bool gateway_subscribed(const struct gateway_call *c, const char *server, strv uri);
void gateway_subscriptions_free(struct gateway_hall *h);

/* ---- our own tools (own.c) ---- */

struct own_tool {
    const char *name;
    const char *listed; /* the rest of its entry: members, without braces */
    void (*run)(struct gateway_call *c, yyjson_val *args);
};
extern const struct own_tool own_tools[];
extern const size_t own_tools_n;
bool own_tool_is_offered(const struct gateway *g, const struct own_tool *t);
const struct own_tool *own_tool_find(const struct gateway *g, strv name);
/* The result of a tool: text, and the same as structuredContent where that is an object's JSON text. */
void own_result(struct gateway_call *c, strv text, strv structured);
/* A sentence that tells a person or a model what is wrong: isError. */
void own_failed(struct gateway_call *c, strv sentence);
/* The sentence of an err; `code` for programs. */
void own_refused(struct gateway_call *c, const struct err *err);
void own_generate(struct gateway_call *c, yyjson_val *args); /* ask.c */
void own_classify(struct gateway_call *c, yyjson_val *args);
void own_explain(struct gateway_call *c, yyjson_val *args);
void own_usage(struct gateway_call *c, yyjson_val *args); /* usage.c */

/* ---- the configured servers (offer.c, passed.c) ---- */

/* The catalogue with a reference, or NULL. */
struct mcp_catalogue *gateway_catalogue(const struct gateway *g);
/* May this client see what the server has beside tools: "resources" or "prompts"? */
bool gateway_may_read(const struct gateway_call *c, const struct mcp_listed *server,
                      const char *what);
/* The name under which /mcp offers it; STRV_NONE: it is not offered to this caller, or its name is taken. */
strv gateway_tool_name(const struct gateway_call *c, const struct mcp_catalogue *cat,
                       const struct mcp_tool *t);
strv gateway_prompt_name(struct gateway_call *c, const struct mcp_catalogue *cat,
                         const struct mcp_item *p); /* or no memory */
/* By that name. NULL: this caller is offered none. */
const struct mcp_tool *gateway_tool_find(const struct gateway_call *c,
                                         const struct mcp_catalogue *cat, strv name);
const struct mcp_item *gateway_prompt_find(struct gateway_call *c, const struct mcp_catalogue *cat,
                                           strv name);
const struct mcp_listed *gateway_resource_server(const struct gateway_call *c,
                                                 const struct mcp_catalogue *cat, strv uri);
void gateway_pass_tool(struct gateway_call *c, strv name);
/* A request for that server, whose result is the answer. `params`: members. Before a result goes out, accepted(c) is
 * asked unless it is NULL; false: it has answered itself. The catalogue is taken over. */
void gateway_pass(struct gateway_call *c, struct mcp_catalogue *cat,
                  const struct mcp_listed *server, const char *method, strv params,
                  bool (*accepted)(struct gateway_call *c));

/* ---- signatures (sign.c) ---- */

/* requestState of a server in an envelope: bound to the caller's key, the method, its name and params, and a time. In
 * c->work; STRV_NONE: no memory. */
strv gateway_seal(struct gateway_call *c, strv state);
/* Our envelope opened: *out is the server's own text. False: it is not ours, or not for this request, or too old. */
bool gateway_unseal(struct gateway_call *c, strv sealed, strv *out);
/* A session id that says what its client declared. STRV_NONE: no memory or no random numbers. */
strv gateway_session_new(struct gateway_call *c, unsigned can);
/* False: it is not ours, or another key's. */
bool gateway_session_read(const struct gateway_call *c, strv id, unsigned *can);

/* ---- questions to a legacy client (questions.c) ---- */

/* Asks the client of this call; done(c, arg, result) with JSON text of its result, STRV_NONE: refused, with `why`. NULL:
 * no memory. */
struct question;
struct question *gateway_ask(struct gateway_call *c, const char *method, strv params,
                             void (*done)(struct gateway_call *c, void *arg, strv result, int code,
                                          strv why),
                             void *arg);
void gateway_questions_drop(struct gateway_call *c);
/* A response that came by POST: on this thread, or handed to the worker that asked. */
void gateway_response(struct gateway_call *c);
void gateway_cancelled(struct gateway_call *c);

/* ---- resource addresses (address.c) ---- */

/* Does the URI fit the template (RFC 6570: expressions stand for any text that is not empty, without a slash unless the
 * expression begins with + or #)? */
bool gateway_address_fits(strv template, strv uri);

#endif
