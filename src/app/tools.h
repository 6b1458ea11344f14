/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools - the main thread's side of tools: the hub of MCP servers, and the index of what they offer, made once for all
 * workers whenever the catalogue changes.
 */
#ifndef APP_TOOLS_H
#define APP_TOOLS_H

#include "app/logins.h"
#include "app/worker.h"

struct tools {
    struct io_loop *loop;
    struct log *log;
    struct rng rng;
    struct agent_host *host; /* whom servers ask; its workers are added as they are made */
    struct mcp_hub *hub;
    struct mcp_watch *watch;
    struct agent_index *index;
    struct logins logins;
    struct tools_login { /* what its file was like when it was last looked at */
        char name[32];
        uint64_t mark;
    } seen[MCP_SERVERS_MAX];
    size_t n_seen;
    struct worker *workers; /* told of every new index; NULL until they are there */
    unsigned n_workers;
    bool stopping, stopped;
    void (*on_stopped)(void *arg);
    void *arg;
};

/* Without servers yet. */
bool tools_open(struct tools *t, struct io_loop *loop, struct http_client *client, struct log *log,
                const char *state_dir, struct err *err);
/* Now and then: has somebody logged in or out? */
void tools_look(struct tools *t);
/* Servers as in this configuration. What cannot be done is logged; the others run. */
void tools_configure(struct tools *t, const struct config *c);
/* From now on these are told; they get what is known already. */
void tools_tell(struct tools *t, struct worker *workers, unsigned n);
/* Ends the servers. on_stopped(arg) when they are gone. */
void tools_stop(struct tools *t, void (*on_stopped)(void *arg), void *arg);
void tools_close(struct tools *t); /* after the workers' end */

#endif
