/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_int - what the files of the hub know of each other.
 *
 *   hub.c    servers, configurations, the catalogue       main thread
 *   uris.c   which resources a server was asked to tell of
 *   carry.c  calls and watches across threads             their two ends
 */
#ifndef MCP_HUB_INT_H
#define MCP_HUB_INT_H

#include <pthread.h>

#include "ledger/ledger.h"
#include "mcp/catalogue_int.h"
#include "mcp/client.h"
#include "mcp/hub.h"

struct mcp_pin { /* rows of a configuration, held */
    unsigned refs;
    struct mcp_conf conf;
};

struct mcp_closing { /* a client on its way out, and the rows it still needs */
    struct mcp_hub *hub;
    struct mcp_pin *pin;
};

struct mcp_server {
    struct mcp_hub *hub;
    const struct mcp_server_conf *conf; /* rules for its tools, as they stand now */
    const struct mcp_server_conf *run;  /* what it was started from */
    struct mcp_pin *conf_pin, *run_pin;
    struct mcp_client *client; /* NULL: it is not running */
    struct mcp_closing *to_close;
    struct mcp_listing *listing; /* the last there was */
    struct list
        uris; /* resources that it was asked to tell of; a server begun anew is asked again */
    size_t n_uris;
    enum mcp_state state;
    char why[320];
    enum mcp_era known;
    bool patient; /* DOWN, but calls may wait for it this once */
    unsigned restarts, label;
    uint64_t backoff_ms;
    int64_t ready_us;
    struct io_timer timer;
};

struct mcp_hub {
    struct mcp_hub_env env;
    struct mcp_host host;
    bool has_host, stopping, news;
    struct mcp_server **servers;
    size_t n_servers;
    size_t closing;    /* clients that are not gone yet */
    struct list calls; /* struct mcp_call that have not ended */
    struct io_timer publish;
    uint64_t version;
    struct io_task stop_task;
    void (*stopped)(void *arg);
    void *stopped_arg;
    pthread_mutex_t lock; /* of the two below */
    struct mcp_catalogue *catalogue;
    struct list watches;
};

/* hub.c */
struct mcp_server *mcp_hub_server(struct mcp_hub *h, const char *name); /* NULL: there is none */
bool mcp_server_takes_calls(const struct mcp_server *s);
void mcp_hub_news(struct mcp_hub *h); /* the catalogue is to be made anew */

/* uris.c */
void mcp_uris_note(struct mcp_server *s,
                   const struct mcp_call_spec *spec); /* a call that went well */
void mcp_uris_renew(struct mcp_server *s);
void mcp_uris_free(struct mcp_server *s);

/* carry.c */
void mcp_hub_end_calls(struct mcp_server *s, const char *why);
/* Under the lock. False: not all could be told. */
bool mcp_hub_tell_watches(struct mcp_hub *h);
void mcp_hub_tell_update(struct mcp_hub *h, const char *server, strv uri);

#endif
