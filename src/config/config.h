/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - from a YAML file, the environment and the command line to one immutable snapshot.
 *
 *   options.def   every option: name, type, range, default, unit, reload or restart, secret, documentation.
 *                 Parser, range checks, `check`, `--help`, man page and sample file come from its rows.
 *
 * Precedence: command line (--set), environment, file, built-in defaults; airgap is on if any of them says so.
 * Every value remembers where it came from. With no file at all the variables build a complete configuration;
 * a file's providers and roles are its own business: then variables change options and add local servers, never
 * a cloud provider. A wrong file changes nothing: the error has line and column and says what was expected;
 * unknown keys and unknown LLM_* variables are named (keys refuse, variables warn); two variables that mean
 * the same and disagree refuse.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "advisor/advisor.h"
#include "api/api.h"
#include "base/base.h"
#include "chat/chat.h"
#include "exchange/exchange.h"
#include "http/http.h"
#include "mcp/mcp.h"
#include "store/store.h"

struct config_source { /* what to read; all may be NULL / 0 */
    const char *path;  /* YAML file; NULL = $LLM_ROUTER_CONFIG, else ./llm-router.yaml or
                                       /etc/llm-router/llm-router.yaml if there, else none */
    const char *const *environment; /* environ */
    const char *const *set; /* "option=value" from the command line (--set), NULL-terminated */
    int64_t wall_us;
    bool other_side; /* engines' sockets have other names: the process before still uses its own */
};

/* Which threads take rights from themselves: app/sandbox.h. ON: all, or the workers if there are programs to start. */
enum config_sandbox { SANDBOX_OFF, SANDBOX_WORKERS, SANDBOX_ON };

struct config_warning {
    struct config_warning *next;
    const char *text;
};

/* One loaded configuration. `snapshot` is counted on its own and holds what exchanges need; the rest is for
 * app and api and lives in the snapshot's arena too, so keep a reference to the snapshot while using it. */
struct config {
    struct snapshot *snapshot;

    struct privacy_conf privacy; /* what the detector was made of */
    const char *path;            /* file it came from; NULL = none */
    const char *const *listen;   /* addresses, NULL-terminated */
    int64_t workers;             /* threads; 0 = cores */
    const char *state_dir;       /* keys, ledger, audit, conversations; made at need */
    struct store_at store;       /* the keys */
    const char *runtime_dir;     /* the engine's socket */
    struct io_tls_serve_opts tls_files;
    struct io_tls *tls; /* for addresses that begin with "tls:"; NULL = there are none */
    struct http_server_opts server; /* limits of the callers' side */
    const char *const *origins;     /* allowed Origin values, NULL-terminated */
    const char *const *hosts;       /* further allowed Host values, NULL-terminated */
    bool require_keys;              /* API keys demanded even on loopback */
    bool allow_pull;                /* callers may have models downloaded (/api/pull) */
    bool page;                      /* the web pages are served */
    const char *user;               /* to become when started as root; NULL = stay */
    enum config_sandbox sandbox;
    enum log_level log_level;
    uint64_t probe_interval_ms;
    struct { /* the ledger's file; prices and budget are in the snapshot */
        int64_t queue, keep_rows, keep_sums;
        uint64_t interval_ms;
    } ledger;
    struct audit_opts audit;
    struct mcp_conf mcp; /* tool servers, and how tools are used */
    struct advisor_conf advisor;
    bool chat_keep;
    const char *chat_key_file;       /* NULL = nothing is sealed */
    struct chat_keep_conf chat_kept; /* without path and keys */
    struct chat_conf chat;
    struct api_sockets_conf sockets;
    uint64_t drain_ms;       /* longest wait for streams at SIGTERM */
    uint64_t drain_delay_ms; /* before it */
    const struct config_warning *warnings;
};

/* NULL with err if anything is wrong. err->text is complete ("llm-router.yaml:12:5: listen: expected ..."); line
 * and column are set as well if a file is at fault, field where one option is. Does not touch the network;
 * does read key files. */
struct config *config_load(const struct config_source *source, struct err *err);
/* The same with a file's text at hand; source->path is not looked at. */
struct config *config_load_text(const struct config_source *source, strv text, struct err *err);
void config_free(struct config *c); /* drops its reference to the snapshot */

/* The effective configuration as YAML, one option a line with its origin as a comment, secrets masked. */
bool config_print(const struct config *c, struct buf *out);
/* A sample file with every option, its default and its documentation. */
bool config_sample(struct buf *out);
/* Reference text for the man page llm-router.yaml(5), as mdoc/man source body of an OPTIONS section. */
bool config_manual(struct buf *out);
/* The same for the ENVIRONMENT section. */
bool config_manual_environment(struct buf *out);
/* Every file and folder that a router which serves reads because this configuration names it. */
void config_each_file(const struct config *c, void (*each)(void *arg, const char *path), void *arg);
/* The first listening address that is not loopback; NULL = there is none. Such an address needs API keys. */
const char *config_open_address(const struct config *c);
/* What cannot change without a restart and differs between two configurations; NULL-terminated names in the
 * arena of `now`. */
const char *const *config_needs_restart(const struct config *before, const struct config *now);

/* At the program's end: wipes the engines' keys and drops the detector, which otherwise stay over every reload. */
void config_forget(void);

#endif
