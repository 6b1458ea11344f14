/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub - all servers of the program: starts them, starts them again, keeps the catalogue, carries calls.
 *
 *   any thread: mcp_call() --io_post--> main loop: client, link, server --io_post--> ops on the caller's loop
 *
 * A normal case: a server starts, says what it has, a new catalogue is published; a call goes there and its result
 * comes back. A bad case: a server dies. Its running calls end with DOWN, the others go on, it is started again after
 * 1 s, then 2, up to 60; its tools stand in the catalogue meanwhile, since a model was told of them, and a call says
 * that the server is down.
 */
#ifndef MCP_HUB_H
#define MCP_HUB_H

#include "io/io.h"
#include "mcp/catalogue.h"

struct mcp_hub;
struct mcp_auth_host;

/* A question that a server asks of us: sampling/createMessage, elicitation/create, roots/list. Answered exactly once,
 * from any thread. */
struct mcp_question;
struct mcp_host {
    /* On the main thread; params is JSON text, valid during the call. */
    void (*ask)(void *arg, struct mcp_question *q, const char *server, strv method, strv params);
    void *arg;
    bool sampling, elicitation, roots; /* what we declare */
};
void mcp_answer_question(struct mcp_question *q, strv result);               /* copied */
void mcp_refuse_question(struct mcp_question *q, int code, const char *why); /* the same */
/* Nobody waits for the answer any more: its server died or took it back. Until it is answered; from any thread. */
bool mcp_question_unwanted(const struct mcp_question *q);

struct mcp_hub_env {
    struct io_loop *loop;
    struct http_client *client;
    struct rng *rng;
    struct log *log;
    struct metrics *metrics;          /* NULL = none */
    const struct mcp_auth_host *auth; /* as in struct mcp_link_env; NULL = nobody */
};
struct mcp_hub *mcp_hub_new(const struct mcp_hub_env *env, const struct mcp_host *host,
                            struct err *err);
/* Servers as in `conf`, which is held as it says itself: what did not change goes on running. Main thread. */
bool mcp_hub_configure(struct mcp_hub *h, const struct mcp_conf *conf, struct err *err);
/* A server is begun anew at once, because `why`: what it was waiting for has come, or its rights were taken. Its calls
 * end. Nothing happens where there is no such server. */
void mcp_hub_again(struct mcp_hub *h, const char *name, const char *why);
/* Ends all servers; `stopped` is called when they are gone. Then mcp_hub_free(). Calls still open end as GONE. Before it
 * is freed, every other thread has ended its calls, watches and questions. */
void mcp_hub_stop(struct mcp_hub *h, void (*stopped)(void *arg), void *arg);
void mcp_hub_free(struct mcp_hub *h);

/* As it stands now, with a reference. Any thread. Never NULL. */
struct mcp_catalogue *mcp_hub_catalogue(struct mcp_hub *h);
/* fn(arg) is called on `loop` whenever another catalogue was published (storms are joined: at most five a second).
 * Told by the handle when no longer wanted; NULL: no memory. */
struct mcp_watch;
struct mcp_watch *mcp_watch(struct mcp_hub *h, struct io_loop *loop, void (*fn)(void *arg),
                            void *arg);
void mcp_unwatch(struct mcp_watch *w); /* on its loop; fn is not called after this */
/* The same for updates of resources that a server was asked to tell of (a call of "resources/subscribe"). */
struct mcp_watch *mcp_watch_updates(struct mcp_hub *h, struct io_loop *loop,
                                    void (*fn)(void *arg, const char *server, strv uri), void *arg);

enum mcp_end {
    MCP_OK,      /* result */
    MCP_REFUSED, /* the server answered with a JSON-RPC error: code, text */
    MCP_GONE,    /* it was down, or went down: text says why */
    MCP_LATE,    /* time is over */
    MCP_BAD,     /* its answer was not the protocol's, or too large */
    MCP_MEMORY,
};
struct mcp_answer {
    enum mcp_end end;
    strv result; /* JSON text of the result object */
    int code;
    strv text;     /* for a person or a model: never holds arguments; cleaned */
    strv data;     /* REFUSED: JSON text, "" = none */
    int64_t us;    /* from mcp_call() to here */
    bool repeated; /* the session was lost on the way, and the call made again */
};
struct mcp_call_ops {
    void (*done)(void *arg, const struct mcp_answer *a); /* exactly once, unless cancelled */
    void (*progress)(void *arg, double done, double total,
                     strv message); /* total < 0: unknown; may be NULL */
    /* What the server logs about this call: params of notifications/message, JSON text. Only where it can be about no
     * other: it came on the call's own stream, or no other call runs at that server. May be NULL. */
    void (*said)(void *arg, strv params);
    /* The server asks something on behalf of this call (same rule), and spec->capabilities hold it: answer or refuse
     * `q`, now or later. Every other question, and all of them while this is NULL, goes to the hub's host. */
    void (*ask)(void *arg, struct mcp_question *q, strv method, strv params);
};
struct mcp_call_spec {
    const char *server;
    const char *method; /* "tools/call", "resources/read", "prompts/get", "completion/complete" */
    strv params;        /* JSON text of an object, without _meta; copied */
    bool repeatable;    /* may be made again after a lost session: it only reads */
    bool
        may_leave; /* it has passed the gate: it may go to a server of zone cloud. Else one that is there now, whatever
                       the catalogue said when the call was thought of, is none for it. */
    uint64_t call_ms, total_ms; /* 0 = the server's own */
    /* Of the client that stands behind this call (gateway/), JSON text of an object; "" = there is none. A server of
     * the modern era is told these with this request, and its result "input_required" comes back as it is, as MCP_OK:
     * whoever called asks, and calls again with inputResponses and requestState among the params. "" = our own, and
     * the host answers what the server asks. */
    strv capabilities;
    strv log_level; /* "info": what a modern server shall say of this request; "" = nothing */
};
struct mcp_call;
/* NULL: no memory. No callback comes from inside. `ops` run on `loop`, which is the caller's own. */
struct mcp_call *mcp_call(struct mcp_hub *h, struct io_loop *loop, const struct mcp_call_spec *spec,
                          const struct mcp_call_ops *ops, void *arg);
/* The server is told, too. No callback comes after this. On the caller's loop. */
void mcp_cancel(struct mcp_call *c);

#endif
