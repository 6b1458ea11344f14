/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - one server by its protocol: finds out its era, lists what it has and hears of changes, makes calls, answers
 * what it asks. Owned and used by one loop, the link's.
 *
 *   new -> changed (it has answered and is listed) -> changed ... -> down -> close
 *
 * It does not start again after down: that is the hub's part, which makes a new one. Down comes once, and every call
 * has ended before it. A call made before the first `changed` waits for it within its own time.
 */
#ifndef MCP_CLIENT_H
#define MCP_CLIENT_H

#include "mcp/hub.h"
#include "mcp/link.h"

enum mcp_list_kind { MCP_TOOLS, MCP_RESOURCES, MCP_TEMPLATES, MCP_PROMPTS, MCP_LISTS };
extern const char *const mcp_list_methods[MCP_LISTS]; /* "tools/list" ... */
extern const char *const mcp_list_members[MCP_LISTS]; /* "tools" ..., as in the result */

struct mcp_entry {      /* of a list */
    strv raw;           /* JSON text of an object */
    strv name;          /* by which it is asked for: name, uri or uriTemplate */
    bool task_required; /* a tool that runs only as a task */
    bool marked;        /* a tool with arguments that go into headers, too (x-mcp-header) */
};
/* One list as the server gave it, all pages; immutable and counted. */
struct mcp_list {
    unsigned refs;
    struct arena arena;
    struct mcp_entry *items;
    size_t n, room;
    size_t bad;      /* entries that were none, and are left out */
    const char *why; /* it is not whole: the reason; NULL = it is */
};
struct mcp_list *mcp_list_ref(struct mcp_list *l);
void mcp_list_unref(struct mcp_list *l); /* NULL is fine */

/* What a server says of itself, and its lists. Immutable and counted; outlives its client. */
struct mcp_listing {
    unsigned refs;
    struct arena arena;
    enum mcp_era era;
    const char *revision;
    strv title, version, instructions; /* cleaned; "" = none */
    bool completions, logging, subscribe, tasks;
    struct mcp_list *lists[MCP_LISTS]; /* NULL: the server has none of them */
};
struct mcp_listing *mcp_listing_ref(struct mcp_listing *l);
void mcp_listing_unref(struct mcp_listing *l); /* NULL is fine */

struct mcp_client_opts {
    struct mcp_link_env env;
    const struct mcp_server_conf *conf; /* must live until the client is gone */
    /* The same; NULL = nobody answers questions. A server of zone cloud is answered none: an answer would leave without
     * having passed the gate. */
    const struct mcp_host *host;
    enum mcp_era known; /* what it turned out to be the last time */
};
struct mcp_client_ops {
    void (*changed)(void *arg);
    void (*down)(void *arg, const char *why);
    void (*updated)(void *arg, strv uri); /* a resource; NULL = nobody wants to know */
    /* After `changed`: it knows nothing of what it was asked to tell of before (its first time, or its session was lost).
     * NULL = nobody wants to know. */
    void (*fresh)(void *arg);
};

struct mcp_client;
/* NULL with err: not even begun. No callback comes from inside. */
struct mcp_client *mcp_client_new(const struct mcp_client_opts *opts,
                                  const struct mcp_client_ops *ops, void *arg, struct err *err);
/* NULL before the first `changed`. Lent; take a reference to keep it. */
struct mcp_listing *mcp_client_listing(const struct mcp_client *c);
/* What it has turned out to be so far. */
enum mcp_era mcp_client_era(const struct mcp_client *c);
/* Ends all calls without a word, the server politely; no callback but `gone`, when nothing of it is left. */
void mcp_client_close(struct mcp_client *c, void (*gone)(void *arg), void *arg);

/* As mcp_call(), on the client's own loop and with ops called there. */
struct mcp_client_call;
struct mcp_client_call *mcp_client_call(struct mcp_client *c, const struct mcp_call_spec *spec,
                                        const struct mcp_call_ops *ops, void *arg);
void mcp_client_cancel(struct mcp_client_call *call); /* no callback after this */

#endif
