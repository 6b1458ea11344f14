/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_int - what the files of the client know of each other.
 *
 *   client.c    the states: era, handshake, requests and their answers, the end
 *   listing.c   lists with their pages, changes, subscriptions
 *   calls.c     calls: time, progress, cancelling, rounds of questions, tasks, lost sessions
 *   question.c  what the server asks
 */
#ifndef MCP_CLIENT_INT_H
#define MCP_CLIENT_INT_H

#include "mcp/client.h"
#include "mcp/marks.h"

#define MCP_ASK_MS      ((uint64_t)30000) /* a request of our own, where nobody has said otherwise */
#define MCP_CALL_MS     ((uint64_t)60000)
#define MCP_TOTAL_MS    ((uint64_t)15 * 60000)
#define MCP_MESSAGE_MAX ((size_t)16 << 20)
#define MCP_TEXT_MAX    ((size_t)400) /* of an error's message of theirs */

enum client_state {
    CLIENT_PROBE,      /* server/discover was asked */
    CLIENT_INITIALIZE, /* initialize was asked */
    CLIENT_LISTING,    /* it has answered; the first lists are on their way */
    CLIENT_READY,
    CLIENT_OVER, /* it is down, or being closed */
    CLIENT_STATES
};

/* How a request of ours ended. */
struct reply {
    const struct mcp_message *m; /* RESULT or ERROR; NULL = no answer came */
    strv result;                 /* RESULT: its bytes */
    enum mcp_fault fault;        /* of no answer, unless `late` */
    bool late;
    int status; /* of HTTP; 0 = none */
    strv body;  /* of a fault, cut */
};

struct request { /* sent, and not answered */
    struct list node;
    struct mcp_client *c;
    uint64_t tag;
    const char *method;
    void (*answered)(struct request *r, const struct reply *reply); /* it is off the list then */
    void *owner;
    struct io_timer limit;
};

struct asking {
    const char *method;
    strv params;                  /* JSON text of an object without _meta; STRV_NONE = {} */
    strv more;                    /* further members, to be put behind a comma; "" = none */
    strv name;                    /* Mcp-Name */
    uint64_t progress;            /* token; 0 = none */
    strv capabilities, log_level; /* as in mcp_call_spec */
    const struct http_header *headers;
    size_t n_headers;
    uint64_t limit_ms; /* 0 = none */
    void (*answered)(struct request *r, const struct reply *reply);
    void *owner;
};

struct paging { /* a list being asked for */
    struct mcp_client *c;
    enum mcp_list_kind kind;
    struct request *request; /* NULL = none */
    struct mcp_list *list;   /* what has come so far */
    size_t pages;
    uint64_t *cursors; /* digests of those that came, to see one again */
    int64_t ttl_ms;
};

struct mcp_client {
    struct mcp_link_env env;
    const struct mcp_server_conf *conf;
    const struct mcp_host *host; /* NULL = none */
    const struct mcp_client_ops *ops;
    void *arg;
    struct mcp_link *link;
    unsigned links; /* not gone yet, the one in use among them */
    void (*gone)(void *arg);
    void *gone_arg;

    enum client_state state;
    enum mcp_era era;     /* in which we speak now */
    enum mcp_era known;   /* what it has turned out to be */
    const char *revision; /* agreed, or proposed by us; NULL = not yet */
    bool assumed;         /* modern, though it could not say so itself */
    bool wavered;         /* the era was given up once; no second time */
    bool was_ready;
    bool checking;        /* a call found nobody there; we look ourselves */
    unsigned renewals;    /* of the session, since it last listed its tools */
    char last_words[120]; /* on standard error, until it was ready for the first time */
    uint64_t last_tag;
    struct list requests, calls, questions;
    struct io_timer start, later; /* `later` tells what must not be told inside a call of ours */
    char why[320];

    struct arena facts; /* texts of these */
    strv title, version, instructions;
    bool completions, logging, subscribe, tasks;
    unsigned offers, notifies; /* bits of enum mcp_list_kind */

    unsigned pending, dirty; /* bits: asked for now; to be asked for again */
    struct paging paging[MCP_LISTS];
    struct mcp_list *lists[MCP_LISTS];
    bool list_news;
    struct mcp_listing *listing;
    struct io_timer join, refresh, again;
    struct request *listen; /* the open subscription of the modern era */
    uint64_t again_ms;
    char **uris; /* modern: resources that it is to tell of */
    size_t n_uris;
};

/* client.c */
struct request *mcp_request(struct mcp_client *c, const struct asking *a); /* NULL: not sent */
void mcp_request_drop(struct request *r, const char *reason); /* NULL = the server need not know */
bool mcp_notify(struct mcp_client *c, const char *method, strv params);
bool mcp_respond(struct mcp_client *c, strv id, strv result);
bool mcp_respond_error(struct mcp_client *c, strv id, int code, const char *text);
/* As a sentence for whoever waits. In the arena; never NULL. */
const char *mcp_reply_text(const struct reply *reply, struct arena *arena);
void mcp_session_lost(struct mcp_client *c);
void mcp_check_alive(struct mcp_client *c);
void mcp_client_down(struct mcp_client *c, const char *why);
bool mcp_is_over_http(const struct mcp_client *c);
void mcp_era_was_wrong(struct mcp_client *c); /* it is not modern after all */

/* listing.c */
struct mcp_list *mcp_list_new(void); /* NULL: no memory */
/* Pure: takes in the entries of one page. False: it must not go on, l->why says why. */
bool mcp_list_add_page(struct mcp_list *l, enum mcp_list_kind kind, size_t entries_max,
                       const struct json *doc, yyjson_val *result);
void mcp_lists_ask(struct mcp_client *c, unsigned kinds);
void mcp_lists_stop(struct mcp_client *c);
void mcp_lists_changed(struct mcp_client *c, unsigned kinds); /* the server says so */
void mcp_lists_done(struct mcp_client *c);                    /* in client.c: all have come */
/* The stream of changes of the modern era, with all that is wanted now; one that is open goes when the new one is. */
void mcp_subscribe(struct mcp_client *c);
/* Modern: from now on it tells of this resource, or no longer. False: no memory, or too many. */
bool mcp_subscribe_uri(struct mcp_client *c, strv uri, bool on);
void mcp_uris_forget(struct mcp_client *c);
const struct mcp_entry *mcp_listed_tool(const struct mcp_client *c, strv name);

/* calls.c */
void mcp_calls_go_on(struct mcp_client *c); /* those that waited for READY */
void mcp_calls_end(struct mcp_client *c, const char *why, bool silent);
void mcp_call_progress(struct mcp_client *c, const struct mcp_message *m);
void mcp_call_said(struct mcp_client *c, uint64_t about, strv params);
/* The one call this can be about; NULL = none, or one cannot know. */
struct mcp_client_call *mcp_call_about(struct mcp_client *c, uint64_t about);
/* The call wants to be asked this itself. */
bool mcp_call_asks(struct mcp_client_call *call, struct mcp_question *q, strv method, strv params);
/* The host's answer to one of the questions of a round; refused: why is not NULL. */
void mcp_call_answered(struct mcp_client_call *call, size_t index, strv result, const char *why);

/* question.c */
void mcp_question_come(struct mcp_client *c, const struct mcp_message *m, strv params,
                       uint64_t about);
void mcp_question_withdrawn(struct mcp_client *c, strv id);
/* One of a round's questions, for the host. False: we never said that we would answer this, or no memory. */
bool mcp_question_ask(struct mcp_client *c, struct mcp_client_call *call, size_t index, strv method,
                      strv params);
void mcp_questions_forget(struct mcp_client *c, const struct mcp_client_call *call); /* NULL: all */

#endif
