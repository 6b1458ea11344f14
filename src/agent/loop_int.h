/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_int - what loop.c (question after question), turn.c (the calls of one answer), speak.c (the caller's side) and
 * model.c (what the models can take) share. Nobody else includes it.
 */
#ifndef AGENT_LOOP_INT_H
#define AGENT_LOOP_INT_H

#include "agent/loop.h"
#include "agent/meaning.h"
#include "agent/menu.h"

#define LOOP_CALLS_MAX 16 /* of one answer; what is beyond gets a sentence for a result */
#define LOOP_SEEN_MAX  256
#define LOOP_SAME_MAX  3 /* the third identical call is not made */

struct loop_job { /* a call of the present answer */
    strv id, name, args;
    const struct mcp_tool *tool; /* NULL = answered here */
    bool ask;
    struct agent_call *call;               /* it runs */
    const struct agent_petition *petition; /* a person was asked; NULL = nobody was */
    bool petition_told, decision_told;
    bool begun, over;
    struct agent_outcome outcome;
    struct agent_loop *loop;
};

struct agent_loop {
    struct agent_env *env;
    struct exchange_env *ex;
    struct llm_request *r; /* the caller's */
    const struct exchange_caller *caller;
    const struct exchange_sink *sink;
    const struct agent_watch *watch; /* all of its functions are there */
    void *sink_arg;
    const struct dialect *door;
    struct arena own; /* of all rounds: until the end */
    struct snapshot *snapshot;
    struct agent_index *index; /* NULL: there are no tools */
    struct meaning *meaning;   /* it is asked for, before there is a menu; NULL = it is not */
    struct agent_menu menu;
    unsigned rounds_max;
    int64_t menu_tokens;
    size_t result_bytes;
    int64_t deadline_us; /* from here on no call is made */
    int64_t wait_us;     /* until then servers that start are waited for */
    const char *absent;  /* servers that are not there: "a, b"; NULL = all are */
    struct io_timer next, tick;
    struct io_task burial;
    bool over;

    /* the round */
    struct exchange *x; /* the latest; NULL before each */
    bool asking;        /* it is not over */
    struct exchange_caller as;
    struct llm_request ask;
    struct llm_reply reply;
    struct llm_usage usage, total;
    int64_t cost_micro, saved_micro; /* of the rounds before */
    int theirs, ours;                /* calls of the caller's own tools, and the others */
    bool open_theirs;                /* the call that comes in is one of them */
    bool text_now;                   /* this answer has text */
    bool last;                       /* no tools of ours any more */
    bool sees;                       /* the model that answered takes pictures */
    enum llm_finish finish;
    strv stop_sequence, raw_finish;

    struct exchange_sums round; /* what its exchange came to ... */
    bool summed;                /* ... once it is over; then it is in the sums of the rounds, too */

    /* what it has come to */
    struct llm_message *messages;
    size_t n_messages, room;
    unsigned rounds, calls;
    bool is_private;
    bool pictures; /* some result has one */
    struct loop_job *jobs;
    size_t n_jobs;
    uint64_t seen[LOOP_SEEN_MAX];
    size_t n_seen;

    /* the caller's side: speak.c */
    bool begun, text_before;
    bool broken; /* something of the stream could not be written: only its failure can be */
    struct dialect_out out;
    struct llm_reply whole;
    struct buf bytes;
    struct outlet_check check;
    int64_t spoke_us;
};

/* loop.c */
bool loop_may(void *arg, const struct mcp_tool *t, bool *ask); /* ask may be NULL */
void loop_wish(struct agent_loop *l, struct agent_wish *out);
/* May anything of it go to a server of zone cloud? */
bool loop_may_leave(const struct agent_loop *l);
void loop_pin(struct agent_loop *l); /* the conversation is private from here on */
void loop_soon(struct agent_loop *l, void (*fn)(void *arg));
/* All calls have their results: the next question. */
void loop_ask(void *arg);
/* The one end that is no answer. */
void loop_fail(struct agent_loop *l, int error, int status, strv message, strv field,
               uint64_t retry_after_s);
void loop_over(struct agent_loop *l);

/* model.c */
/* Makes both smaller where a model's window is. */
void model_room(struct agent_loop *l, int64_t *menu_tokens, size_t *result_bytes);
bool model_sees(struct agent_loop *l);

/* absent.c */
bool absent_starting(const struct agent_loop *l); /* a server that it would use may come */
/* Tells the model which are not there. False: no memory. */
bool absent_tell(struct agent_loop *l);

/* turn.c */
void turn_begin(void *arg);
void turn_cancel(struct agent_loop *l);
/* Time is over: what still runs gets a sentence for a result. */
void turn_stop(struct agent_loop *l);
bool turn_runs(const struct agent_loop *l);
/* Tells the caller of those who wait for a person, once each, and of what was decided. */
void turn_tell_waits(struct agent_loop *l);

/* speak.c */
bool speak_init(struct agent_loop *l);
void speak_fini(struct agent_loop *l);
/* An event for the caller. False: no memory. */
bool speak(struct agent_loop *l, const struct llm_event *ev);
bool speak_text(struct agent_loop *l, strv text); /* of this round */
/* Nothing was said for a while. */
void speak_keepalive(struct agent_loop *l);
/* A call waits for a person's decision. */
void speak_wait(struct agent_loop *l, const struct agent_petition *p);
/* The answer is complete. False: no memory, and nothing of its end was told. */
bool speak_end(struct agent_loop *l, enum llm_finish finish);
void speak_failure(struct agent_loop *l, int error);

#endif
