/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_int - what exchange.c (the machine), plan.c and compose.c (whom to ask, and what), judge.c and mask.c (may
 * it leave?), relay.c (the way back), answer.c and form.c (what is said), queue.c, quota.c, record.c (the audit) and
 * account.c share. Nobody else includes it.
 *
 * Callbacks (upstream, timer, caller) come in through enter()/leave() in exchange.c. Inside, code only takes
 * notes: `verdict` (the attempt failed thus), `complete` (the answer is whole), `gone` (the caller left).
 * leave() acts on them, so nothing is torn down under the feet of the code that noticed.
 */
#ifndef EXCHANGE_EXCHANGE_INT_H
#define EXCHANGE_EXCHANGE_INT_H

#include "exchange/exchange.h"
#include "exchange/outlet.h"

enum state {
    EX_ADMIT,   /* may it start at all */
    EX_PLAN,    /* choose the next target */
    EX_QUEUE,   /* wait for a free slot of the target */
    EX_BACKOFF, /* wait before the same target again */
    EX_SEAL,    /* write the request; may exactly these bytes go there? */
    EX_RECORD,  /* it leaves the premises: connect, and wait until its audit record is durable */
    EX_SEND,    /* connecting, sending */
    EX_AWAIT,   /* sent; no response head yet */
    EX_HOLD,    /* head seen; nothing sent to the caller yet */
    EX_STREAM,  /* committed: relaying */
    EX_FINISH,  /* the answer is whole; the upstream's transfer is about to end */
    EX_CLOSE,   /* over; accounting */
    EX_STATES
};

enum step { STEP_AGAIN, STEP_WAIT };

#define EX_HOLD_BYTES_MAX (256 * 1024)
#define EX_ERROR_BODY_MAX (64 * 1024)

#define EX_CALL_IDS 32 /* remembered, so that no id is used twice in an answer */

/* The tool call that is coming in. Most answers have none: it is made with the first. */
struct tool_call {
    bool on;           /* its beginning was seen as events */
    bool ended;        /* its end was seen and not yet told: see answer.c */
    int choice, index; /* of the call: llm_event.choice, .call */
    size_t sent;       /* bytes of `mended` that went on */
    struct json_mend mend;
    struct buf raw, mended;
    uint64_t ids[EX_CALL_IDS]; /* hashes of those used in this answer */
};

/* A question that may be answered from the cache; the answer to one that was not. */
struct recall {
    uint8_t key[CACHE_KEY];
    bool store, hit;
    int64_t age_us;
    struct buf events;     /* as bytes: see recall.c */
    struct llm_event last; /* of them */
    size_t last_at;
    bool ended;
};

enum form { FORM_FITS, FORM_FENCED, FORM_BAD };

struct exchange {
    /* what it is */
    struct exchange_env *env;
    struct snapshot *snapshot;
    struct arena *arena;
    struct llm_request *r;
    const struct llm_request
        *ask; /* what the upstream is asked: r, or r and a second try (form.c) */
    const struct exchange_caller *caller;
    const struct exchange_sink *sink;
    void *sink_arg;
    const struct dialect *door;

    /* the machine */
    enum state state;
    struct io_timer timer;
    unsigned inside; /* depth of enter() */
    bool gone, complete, over;
    int verdict; /* enum outcome the attempt ended with, -1 = none */
    int64_t started_us, deadline_us, attempt_us, sent_us;
    int64_t limit_us; /* when the state's own limit is over */
    int64_t own_us, entered_us, queue_us, queued_us;

    struct recall *recall;    /* NULL = neither from the cache nor into it */
    struct policy_pass quota; /* what it has taken of the caller's quotas */

    /* the plan */
    struct policy_plan *plan; /* in the request's arena; NULL once committed */
    strv model;               /* of the current target */
    strv task;                /* of the plan, STRV_NONE = none */
    const char *reason;       /* how the list was found; NULL = none was */
    const char *rules;        /* those that had a say, in order, blanks between */
    strv session;             /* the caller's name for the conversation, STRV_NONE = none */
    float complexity;         /* 0..1, below 0 = not classified */
    bool is_judged;           /* judge_request() was asked */
    bool is_private;
    bool replan;       /* it became private under way: the plan was made for another request */
    struct mask *mask; /* a private request goes out under pseudonyms; NULL = it stays at home */
    struct privacy_verdict *judged;     /* in the request's arena; NULL once committed */
    struct classify_result *classified; /* the same; NULL = there is none */
    const char *findings;               /* its words */
    uint32_t tried;                     /* bit per target that is used up */
    uint32_t spent;                     /* bit per instance of the target's provider that is */
    int target;                         /* current, -1 = none */
    int64_t tries;                      /* on the current target */
    uint64_t backoff_ms;
    uint64_t wait_hint_ms; /* shortest wait that a provider asked for */
    struct attempt {
        const struct provider *p;
        strv model;
        enum outcome outcome;
        int64_t us;
    } attempts[LEDGER_ATTEMPTS_MAX];
    size_t n_attempts; /* those that were only looked at, too */
    size_t calls;      /* those that were not */
    struct list queue_node;
    unsigned overtaken;    /* times, in the queue: see queue.c */
    struct list live_node; /* env->live */

    /* the attempt */
    const struct provider *p;
    struct dialect_target up;
    bool slot; /* a slot of p is ours */
    bool cold; /* the model had to be loaded, as far as was known when the attempt began */
    struct http_call *call;
    struct buf body;             /* request to the upstream; freed at commit */
    const char *path;            /* of it */
    struct egress_pass permit;   /* for x->body, to x->p */
    struct audit_ticket *ticket; /* its record is on its way; NULL = it is not */
    bool recorded;               /* durable, for this attempt's connection */
    bool held;                   /* there is one, and nothing is on it yet */
    char address[64];            /* its other end */
    uint32_t losses;
    struct llm_rename *renames; /* tool names that the upstream knows otherwise */
    size_t n_renames;
    bool pass;   /* same dialect: frames go on as they came */
    bool framed; /* the upstream's answer is a stream of frames */
    int status;  /* of the upstream's answer */
    uint64_t retry_after_ms;
    strv upstream_message; /* for the caller only */
    bool upstream_loading;

    /* the answer */
    bool relaying; /* what follows was made by relay_begin() */
    struct http_framer framer;
    struct dialect_in in;
    struct dialect_out out;
    struct llm_reply reply; /* collected for a caller who wants it whole */
    struct buf answer;      /* a whole upstream body, or an error body */
    struct buf hold;        /* output not yet committed */
    bool committed, content, finished, ended, paused;
    bool frame_only_usage; /* the present frame told nothing but usage */
    unsigned frame_events;
    struct kept_event *kept,
        **kept_end; /* of the present frame or body while it passes; in scratch */
    size_t n_kept;
    strv up_id, up_model; /* of a passing answer, should it have to be written on here */
    int64_t up_created;
    struct tool_call *tool; /* NULL = none yet */
    int n_calls;
    bool called;           /* it holds a call */
    uint64_t called_in[2]; /* a bit per choice that does */
    bool altered;          /* answer.c changed something */
    bool bad_call;         /* arguments that nobody understands */
    enum llm_finish finish;
    enum llm_format form; /* asked for; schema and text collected in order to check it */
    strv schema, unfenced;
    struct buf formed;
    struct llm_usage usage;
    int64_t content_bytes; /* of text and arguments, for an estimate of their tokens */
    int64_t first_us;      /* first content of the whole exchange */
    int64_t token_us;      /* last content */
    int64_t last_us;       /* last sign of life from the upstream */
    int64_t last_out_us;
    int64_t bytes_out;
    struct outlet_check check;
    struct bill { /* account.c */
        struct ledger_hold hold;
        bool open;     /* an attempt is under way whose cost is not settled */
        bool fast, us; /* what it asks of the vendor that has another price */
        bool estimated;
        struct llm_usage usage; /* of all attempts */
        int64_t micro;
        uint64_t wait_s; /* until the budget that stopped us is a new one */
    } bill;
    struct sure { /* sure.c */
        struct policy_sure below;
        bool refused; /* the target does not tell it */
        bool given;   /* the answer is `kept` */
        struct kept_answer *kept;
    } sure;
    int sent_status;
    int error; /* enum llm_error told to the caller */
};

/* exchange.c */
void exchange_enter(struct exchange *x);
void exchange_leave(struct exchange *x);
/* The attempt ended thus; acted on in leave(). The first verdict counts. */
void exchange_verdict(struct exchange *x, enum outcome outcome);
void exchange_go(struct exchange *x, enum state state);
void exchange_arm(struct exchange *x, uint64_t limit_ms);

/* The class of a conversation or prompt. False: it is neither, or there is no classifier. */
bool exchange_classify(const struct exchange_env *env, const struct snapshot *s,
                       const struct llm_request *r, struct classify_result *out);

/* plan.c */
/* Judges and classifies the request and makes its list of targets. Whoever asks is told the error. */
bool plan_first(struct exchange *x, struct err *err);
/* The list only, by what is known of the request now. */
bool plan_make(struct exchange *x, struct err *err);
bool plan_has(const struct exchange *x, size_t target); /* is it there, and not used up? */
/* The next target in order, -1 = none; after a missing model, one of the same provider first. */
int plan_next(const struct exchange *x);
/* Takes a slot at one of the target's servers, from x->attempt_us on; sets x->p. BUSY: at the best of them. */
enum admit plan_admit(struct exchange *x, uint64_t *wait_ms);
/* The call failed in a way that another server under the same name may not; false = there is none. */
bool plan_other_instance(struct exchange *x, enum outcome o);
/* A provider asks to be left alone for so long. */
void plan_wait_hint(struct exchange *x, uint64_t ms);

/* compose.c */
/* The request for x->p: x->body, x->path, x->up. False without an error: no memory. */
bool compose_request(struct exchange *x, struct err *err);

/* queue.c */
void queue_join(struct exchange *x);
void queue_leave(struct exchange *x); /* does nothing if it is in none */

/* judge.c */
/* All that tells whether a request of this key's holder is private: what it holds, hints, the key, the conversation's
 * past. */
void judge_whole(const struct exchange_env *env, const struct snapshot *s,
                 const struct llm_request *r, const struct policy_key *key, int64_t now_us,
                 struct privacy_verdict *out);
/* Before there is a plan. False: no memory. */
bool judge_request(struct exchange *x);
/* A private request meets only local providers, and there only models that are served there. */
bool judge_may_go(const struct exchange *x, const struct provider *p);
/* Reads x->body once more if it would leave; makes x->permit. Otherwise the attempt has its outcome. */
bool judge_seal(struct exchange *x);

/* mask.c */
/* Would it, if there is memory for it? */
bool mask_wanted(const struct snapshot *s, const struct llm_request *r,
                 const struct exchange_basis *basis);
/* Might this private request leave under pseudonyms? Then x->mask is set, and the plan is that of a clean one. */
bool mask_begin(struct exchange *x);
/* It stays at home after all; or the exchange is over. */
void mask_drop(struct exchange *x);
void mask_off(struct exchange *x); /* the present attempt's bytes are the original ones */
/* Replaces in x->body and makes x->permit for the result; nothing is changed unless it is SEALED. */
enum egress_sealed mask_seal(struct exchange *x, const struct egress_judge *by);
bool mask_is_on(const struct exchange *x);
/* An event of an answer with placeholders: undone, handed on with go(x). */
bool mask_event(struct exchange *x, const struct llm_event *ev, llm_emit_fn go);

/* quota.c */
/* False: one of the caller's limits is reached; nothing was taken. */
bool quota_enter(struct exchange *x, uint64_t *wait_ms, struct err *err);
/* What a request takes of its caller's tokens before its answer is known. */
int64_t quota_tokens(const struct policy_pass *pass, const struct llm_request *r);
void quota_leave(struct exchange *x, const struct llm_usage *usage);

/* recall.c */
/* True: the answer is on its way, or there was no memory for it and x->verdict says so. */
bool recall_answer(struct exchange *x);
void recall_again(struct exchange *x); /* a new attempt begins */
void recall_note(struct exchange *x, const struct llm_event *ev);
void recall_keep(struct exchange *x);
void recall_fini(struct exchange *x);

/* record.c */
/* Asks for the record of the call that is about to be made; x->recorded when it is durable. */
void record_intent(struct exchange *x);
void record_forget(struct exchange *x);      /* does nothing if there is none */
bool record_ready(const struct exchange *x); /* can a record be made durable, as far as is known? */
/* May a call be made at all, as far as the audit is concerned? */
bool record_allows(const struct exchange *x);
/* The record of an exchange that is over. */
void record_close(struct exchange *x, const struct ledger_row *row);

/* account.c */
/* A call that could be made. */
struct account_offer {
    const struct snapshot *snapshot;
    const struct llm_request *r;
    const struct policy_key *key; /* NULL = none */
    strv task;                    /* of the plan */
    const struct provider *p;
    strv model;
};
/* Would the budgets let it? NULL budget: there is none. *wait_s: when it will be another day or month. */
bool account_affords(const struct account_offer *o, struct ledger_budget *budget, int64_t wall_us,
                     uint64_t *wait_s);
/* An attempt at x->p is about to be made: false, it would be above a budget. */
bool account_open(struct exchange *x);
/* It is over, and what it cost is known as well as it will ever be. */
void account_settle(struct exchange *x, int64_t wall_us);
/* Is this model's name one that the configuration or the provider told, and not the caller alone? */
bool account_knows(const struct snapshot *s, struct arena *arena, const struct provider *p,
                   strv model);
/* The one row of the ledger. */
void account_close(struct exchange *x, int64_t now_us);
/* Native door: fills x->out.route_json, once, when the answer is about to be whole. */
void account_describe(struct exchange *x);

/* answer.c */
void answer_begin(struct exchange *x);
void answer_fini(struct exchange *x);
/* An event on its way to relay_deliver(), mended. False: no memory, or too much. */
bool answer_take(struct exchange *x, const struct llm_event *ev);
enum llm_finish answer_finish(const struct exchange *x, int choice, enum llm_finish told);

/* form.c */
/* Looks at the whole text. BAD: x->upstream_message says why. FENCED: x->unfenced is what was inside. */
enum form form_check(struct exchange *x);
/* Makes x->ask the question of a second try; false = there is none. */
bool form_ask_again(struct exchange *x, enum outcome why);

/* sure.c */
bool sure_asks(const struct exchange *x); /* is the call of x->up to tell how sure it is? */
/* The target would not tell: the call is made once more, without. */
bool sure_refused(struct exchange *x, enum outcome o);
/* The whole answer is in x->reply: too unsure, and somebody else is left? Then it is kept, and the attempt is over. */
bool sure_escalates(struct exchange *x);
/* Nobody else had an answer: the kept one goes out. False: there is none. */
bool sure_gives_back(struct exchange *x);
void sure_fini(struct exchange *x);

/* relay.c */
bool relay_deliver(struct exchange *x, const struct llm_event *ev);
extern const struct http_call_ops relay_ops;
/* Of a call that leaves the premises: it has a connection, and waits for its record. */
void relay_on_ready(void *arg, const char *address);
/* An answer that is not of an upstream: its beginning, each of its events, its end. */
bool relay_replay_begin(struct exchange *x);
void relay_replay(struct exchange *x, const struct llm_event *ev);
void relay_replay_end(struct exchange *x);
/* The same of one that was collected before: `reply` becomes the exchange's. */
void relay_give(struct exchange *x, struct llm_reply *reply);
/* Ready to take the answer of a new attempt; drops what the last one left. */
bool relay_begin(struct exchange *x);
void relay_fini(struct exchange *x);
/* The stream failed after its first byte: say so in the caller's dialect. */
void relay_fail_inband(struct exchange *x, int error);
void relay_keepalive(struct exchange *x);
/* The answer is whole and the upstream's transfer over, or not worth waiting for. */
void relay_finish(struct exchange *x);

#endif
