/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcp_bridge_int - what the files of the bridge know of each other: mcp_bridge.c passes messages, mcp_mend.c does what
 * HTTP needs and pipes do not.
 */
#ifndef APP_MCP_BRIDGE_INT_H
#define APP_MCP_BRIDGE_INT_H

#include "app/mcp_bridge.h"
#include "app/remote.h"
#include "mcp/mcp.h"

#define BRIDGE_REPLY_MAX ((size_t)256 << 20)

struct bridge {
    struct remote remote;
    struct list running;
    size_t n_running;
    struct buf revision, session; /* of a legacy client, once it is initialized */
    struct buf hello;             /* its initialize, as it came */
    struct arena scratch;         /* for one message of the router */
    struct io_timer grace;
    bool ended; /* the input */
    int result;

    /* mcp_mend.c */
    struct sent *errand; /* of our own, that some of those running wait for; NULL = none */
    struct sent *stream; /* what the router says on its own; NULL = none */
    struct io_timer again;
    uint64_t again_ms;
    struct list marked; /* tools whose arguments headers repeat */
};

enum sent_role {
    SENT_MESSAGE, /* of the client */
    SENT_HELLO, /* the client's initialize once more, since the router knows its session no longer */
    SENT_TOOLS,  /* tools/list, for the marks of the tools */
    SENT_STREAM, /* GET */
};

struct sent { /* on its way to the router, and what comes back */
    struct list node;
    struct bridge *b;
    enum sent_role role;
    struct arena arena; /* the message, its headers, what is read of the answer */
    struct mcp_message m;
    strv text;
    struct http_header *headers;
    size_t n_headers;
    struct http_call *call;
    struct http_framer framer;
    struct buf whole;
    bool is_stream, answered;
    enum sent_role needs; /* HELLO, TOOLS: it can be made once more after that; MESSAGE: no */
    bool waits, mended;   /* for the errand; it was made once more */
    int status;
    strv cursor; /* TOOLS: of the next page; ptr NULL = none */
};

/* mcp_bridge.c */
void bridge_say(struct bridge *b, strv text);
/* A message on its way: NULL: no memory. Without `text` there is none. */
struct sent *bridge_sent(struct bridge *b, enum sent_role role, strv text);
bool bridge_post(struct sent *s); /* false: it is over, and it was told why */
void bridge_drop(struct sent *s);
/* Why a request has no answer of the router's own. */
void bridge_fail(struct sent *s, strv text);
bool bridge_header(struct sent *s, strv name, strv value);

/* mcp_mend.c */
/* A refusal of the router: true if it can be mended; it is kept from the client then. */
bool mend_can(struct sent *s, const struct mcp_message *m);
/* The call is over that could be mended: it waits for the errand. */
void mend_begin(struct sent *s);
/* A message that came on an errand's call. */
void mend_take(struct sent *s, const struct mcp_message *m);
/* An errand's call is over. */
void mend_over(struct sent *s);
/* The headers of a call of a tool with marks. */
bool mend_headers(struct sent *s);
/* The client is initialized: from now on it hears what the router says on its own. */
void mend_listen(struct bridge *b);
/* The stream has ended. */
void mend_stream_over(struct sent *s);
void mend_fini(struct bridge *b);

#endif
