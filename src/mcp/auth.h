/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - gets a token for one tool server by OAuth 2.1 (mcp.md 15), and keeps it.
 *
 *             .--refresh token--> REFRESH --refused--.
 *   challenge-+                                      v
 *             '-----------------> RESOURCE --> SERVER --> (REGISTER) --> VISIT --> TOKEN --> done
 *                                                 '--client credentials------------^
 *
 * One at a time: whoever is refused meanwhile waits for the same token. A person takes part by `visit`, who shows the
 * address or opens it, and by mcp_auth_redirected(), when the browser has come back; without one only a kept refresh
 * token or client credentials help.
 *
 * What we are known by at one authorization server is never shown to another: when the tool server names a different
 * one, everything kept is forgotten. Tokens go into the header of calls to this tool server and nowhere else.
 *
 * What is kept is kept for other processes, too: before a token is refreshed or given up, it is looked whether
 * somebody has left a newer one there (a person who logs in, a command beside the running router).
 *
 * Fetching what a server names is a hole for forged requests: https, or http on this machine; only addresses that the
 * server's zone allows, and no private ones from a server in the cloud; no redirects; 64 KiB; 10 seconds.
 */
#ifndef MCP_AUTH_H
#define MCP_AUTH_H

#include "mcp/link.h"
#include "mcp/oauth.h"

struct mcp_auth;

/* What the program does for a login. All on the link's loop. */
struct mcp_auth_host {
    const char *
        redirect; /* where the browser comes back: "http://127.0.0.1:PORT/..."; NULL = nobody is here */
    void (*visit)(void *arg, struct mcp_auth *a, const char *server, const char *url);
    /* What is kept between runs; both may be NULL. The text is a secret. False: there is nothing, or it failed. */
    bool (*load)(void *arg, const char *server, struct buf *out);
    bool (*save)(void *arg, const char *server, strv text);
    void *arg;
};

/* done(arg, ok): a challenge was dealt with; never from inside a function of this header. NULL: no memory. */
struct mcp_auth *mcp_auth_new(const struct mcp_link_env *env, const struct mcp_server_conf *conf,
                              void (*done)(void *arg, bool ok), void *arg);
void mcp_auth_free(struct mcp_auth *a); /* NULL is fine; not from inside visit */

/* For the header Authorization: Bearer; "" = none yet. */
const char *mcp_auth_token(const struct mcp_auth *a);
bool mcp_auth_busy(const struct mcp_auth *a);
/* The server has refused a call that went with the token of now (status 401, or 403 for its scope). True: done() will
 * come. False: nothing can be done about it. */
bool mcp_auth_challenged(struct mcp_auth *a, int status, const struct oauth_challenge *c);
/* The server has taken a call that went with this token. */
void mcp_auth_accepted(struct mcp_auth *a, const char *token);
/* The browser has come back with this query. False: it does not belong to the login that runs. */
bool mcp_auth_redirected(struct mcp_auth *a, strv query);
/* Why the last one failed: a constant, fit for logs and people. */
const char *mcp_auth_why(const struct mcp_auth *a);

#endif
