/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe - ask every provider for its models, all at once, in one process that ends soon.
 *
 * What they answer goes to their cells, so that policy afterwards plans as the router would. A provider that
 * configuration keeps from being used (airgap, mode local) is not asked: nothing goes there, no probe either.
 */
#ifndef APP_PROBE_H
#define APP_PROBE_H

#include "app/command.h"

enum probe_state {
    PROBE_OK,          /* it told its models */
    PROBE_NO_LIST,     /* it answers but has no list; the configuration names its models */
    PROBE_LOADING,     /* it answers, and asks to wait */
    PROBE_RUNNING,     /* our own engine, started by a router: only that one has its key */
    PROBE_NOT_RUNNING, /* our own engine while no router runs */
    PROBE_FAILED,
    PROBE_NOT_ASKED, /* --offline */
    PROBE_FORBIDDEN, /* airgap or mode local: never contacted */
    PROBE_STATES
};
const char *probe_state_name(enum probe_state s);

struct probe {
    const struct provider *p; /* of several servers under one name, each has a probe */
    enum probe_state state;
    char why[200];                  /* for people; "" when there is nothing to say */
    int64_t latency_us;             /* until the list was read; 0 = none came */
    struct provider_models *models; /* what it told; NULL = nothing */

    struct probe_set *set;
    struct http_call *call;
    struct arena arena;
    struct buf body;
    int status;
    bool sent;
};

struct probe_set {
    struct probe items[PROVIDERS_MAX];
    size_t n;
    struct config *config; /* borrowed */
    struct io_loop *loop;
    struct http_client *client;
    struct io_timer limit;
    size_t open; /* calls that are not over */
    int64_t started_us;
    bool stuck; /* a name look-up is still under way */
};

/* NULL: memory or the loop was refused. Free before the configuration. */
struct probe_set *probe_all(struct config *config, bool offline, struct err *err);
void probe_free(struct probe_set *set);

/* The best of a provider's: the first of its servers that is usable, or just the first. */
const struct probe *probe_of(const struct probe_set *set, size_t provider);
/* May anything be sent there at all? */
bool probe_allowed(const struct config *config, const struct provider *p);
/* "https://api.example.org", "unix:/run/x.sock" */
void probe_address(const struct provider *p, char *out, size_t size);
/* The same of any server and a path. */
void probe_address_of(const struct http_upstream *up, const char *path, char *out, size_t size);
/* An engine that serve starts. */
bool probe_spawns(const struct provider *p);
/* Could a request go there now, or after serve has started it? */
bool probe_usable(const struct probe *probe);
/* Does its own list hold the model? Not known (no list) counts as yes. */
bool probe_lists(const struct probe *probe, strv model);

#endif
