/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals - calls that wait for a person. Kept in the store, so they outlive the process; the desk belongs to the
 * main thread, workers speak to it by messages.
 *
 *   wait --approve/deny (another person, /router/approvals, llm-router approvals)--> decided
 *        --approval_ms--> expired
 *
 * Decisions come from other threads (/router/approvals) or other processes (the command line writes into the store, which
 * is looked at again and again).
 *
 * An approval is for exactly these arguments (their digest) of exactly this tool (its digest): if the server changes
 * the tool's description or schema meanwhile, it counts for nothing. It is for one call: the same call made twice at once
 * is asked for twice.
 */
#ifndef AGENT_APPROVALS_H
#define AGENT_APPROVALS_H

#include "io/io.h"
#include "mcp/mcp.h"
#include "store/store.h"

struct agent_desk;

enum agent_decision { AGENT_PENDING, AGENT_APPROVED, AGENT_DENIED, AGENT_EXPIRED, AGENT_NO_DESK };
const char *agent_decision_name(enum agent_decision d);

struct agent_petition {
    char id[32]; /* "ap_..." */
    char server[32], tool[129];
    strv arguments; /* JSON text: shown to who decides */
    uint8_t arguments_digest[32], tool_digest[32];
    char key[32]; /* id of the caller's key, "" = none */
    strv session;
    enum mcp_effect effect;
    bool always;                            /* may not be remembered for the session */
    int64_t asked_us, until_us, decided_us; /* wall clock */
    enum agent_decision decision;
    char decided_by[64]; /* id of the key, or "terminal" */
};

struct agent_desk_env {
    struct io_loop *loop; /* the main thread's */
    struct store *store;  /* of the same thread; NULL: nothing outlives the process */
    struct log *log;
};
/* Takes up what the store holds. NULL: no memory. */
struct agent_desk *agent_desk_new(const struct agent_desk_env *env);
/* Main thread, when nobody can wait any more: after the workers' end. What was decided last is written. NULL is fine. */
void agent_desk_free(struct agent_desk *d);
/* {"approvals":[...]}: what waits, and what was decided lately. Any thread. */
void agent_desk_json(struct agent_desk *d, struct buf *out);
/* How many wait for a person. Any thread. */
size_t agent_desk_waiting(struct agent_desk *d);
/* APPROVED or DENIED. remember: for the session, where that may be. False with err: nothing waits under this id, or it
 * may not be remembered. Any thread. */
bool agent_desk_decide(struct agent_desk *d, strv id, enum agent_decision decision, bool remember,
                       const char *by, struct err *err);

struct agent_wait;
/* Any thread, which is that of `loop`. Asks; done(arg, decision, by) on `loop` when it is decided. A decision for the same tool and arguments that has
 * not been used yet counts at once; so does one for the session unless the tool is ASK_ALWAYS. NULL: no memory. */
struct agent_wait *agent_ask(struct agent_desk *d, struct io_loop *loop,
                             const struct agent_petition *p,
                             void (*done)(void *arg, enum agent_decision d, const char *by),
                             void *arg);
/* Of the petition: under which it is decided upon. */
const char *agent_ask_id(const struct agent_wait *w);
void agent_ask_cancel(
    struct agent_wait *w); /* nobody waits any more; the petition stays until it expires */

#endif
