/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_int - a link over HTTP from inside: http.c sends and owns, http_answer.c reads what comes back.
 *
 *            barrier, login                      no answer, but an id to go on from
 *   WAITS --------------------> OUT ---------------------------> LATER --GET--> OUT
 *                                | \--old transport, sent--> PENDING
 *                                '--answered, failed, abandoned--> DEAD        from every state
 *
 * A post is one message of ours until nobody waits for it any more; the stream for what the server says on its own
 * is a post without a message. It dies only at the end of the turn, so callbacks may do what they like.
 */
#ifndef MCP_HTTP_INT_H
#define MCP_HTTP_INT_H

#include "http/http.h"
#include "mcp/auth.h"
#include "mcp/link_int.h"

enum post_role {
    POST_MESSAGE, /* POST of a message; GET when its answer is read on */
    POST_STREAM,  /* GET of what the server says on its own */
    POST_GOODBYE, /* DELETE of the session */
};
enum post_state { POST_WAITS, POST_OUT, POST_LATER, POST_PENDING, POST_DEAD };
enum post_body { BODY_NONE, BODY_JSON, BODY_EVENTS };

struct http_link {
    struct mcp_link base;
    struct mcp_link_env env;
    const struct mcp_server_conf *conf;
    const struct mcp_link_ops *ops;
    void *arg;
    bool old;          /* the transport of 2024-11-05 */
    struct list posts; /* struct post, those alive */
    struct list dead;  /* freed at the end of the turn */
    size_t n_posts;
    struct post *stream;   /* NULL = none */
    struct post *barrier;  /* the notification that must arrive before anything else is sent */
    char *endpoint;        /* old: where messages go; NULL = not told yet */
    char *session;         /* NULL = none */
    bool session_worked;   /* an answer other than the first one came with it */
    char revision[16];     /* last one agreed; "" = none */
    struct mcp_auth *auth; /* NULL: the operator's headers are all there is */
    bool down;             /* old: its stream has ended, nothing works any more */
    bool stopping;
    void (*gone)(void *arg);
    void *gone_arg;
    struct io_task task;
};

struct post {
    struct list node;
    struct http_link *link;
    enum post_role role;
    enum post_state state;
    struct arena arena; /* the message and what its headers hold */
    strv text;
    enum mcp_kind kind;
    uint64_t tag;
    char id[24]; /* the tag as it stands in the message */
    bool first;  /* initialize: the answer may name a session */
    enum mcp_era era;
    const char *method, *session;
    struct http_header *headers; /* of its own: revision, name, parameters */
    size_t n_headers;

    char *token; /* it went with; NULL = none */
    unsigned refusals;
    bool refused; /* waits for another token */
    struct oauth_challenge challenge;

    struct http_call *call;
    enum post_body body_is;
    int status; /* 0 = no head came yet */
    struct buf body;
    struct http_framer framer;
    struct buf last_id; /* of the events read so far; empty = none */
    uint64_t retry_ms;
    unsigned tries; /* to read on, since the last event */
    int64_t since_us;
    struct io_timer
        timer; /* LATER: when to come back; OUT: how long to wait for what nobody else times */
};

/* ---- http.c ---- */

/* Nothing more will be told of it. */
void post_kill(struct post *p);
/* Kills it and tells so. */
void post_fail(struct post *p, enum mcp_fault fault, strv body);
/* It ended without its answer: reads on later where it can. */
void post_resume(struct post *p);
/* The whole link is of no use any more (old transport). */
void http_link_down(struct http_link *l, enum mcp_fault fault, const char *why);
/* It was refused for want of a token: waits for one, or fails. */
void post_unauthorized(struct post *p, strv body);
/* Posts that wait may go out now. */
void http_link_wake(struct http_link *l);

/* ---- http_answer.c ---- */

extern const struct http_call_ops post_call_ops;
void post_answer_reset(struct post *p);
/* Old transport: the address for messages, from the event that tells it; false: it is not one of this server. */
bool http_endpoint(const struct mcp_server_conf *conf, strv text, struct buf *out);

#endif
