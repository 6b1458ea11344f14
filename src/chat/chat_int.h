/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_int - what the files behind session.h and seat.h share. Nobody else includes it.
 *
 *   mail.c     letters between workers
 *   seat.c     both ends of a seat: the socket's, and that in its session
 *   room.c     the sessions of a worker: found, loaded, forgotten; renamed and deleted by REST
 *   session.c  one session: made and forgotten, its seats, what they are told
 *   talk.c     what its clients say: questions, the queue, settings, branches
 *   save.c     its way into the file
 *   title.c    what it is called
 *   heard.c    a client's frame as a struct
 *   frames.c   frames to clients
 *   answer.c   one answer: its exchange or loop, and what of it is told
 *   aside.c    what a local model is asked for besides: a title, a summary
 *   rate.c     how many questions a user may ask
 */
#ifndef CHAT_CHAT_INT_H
#define CHAT_CHAT_INT_H

#include <pthread.h>

#include "chat/chat.h"

#define REF_MAX      128  /* bytes of a client's own name for a question */
#define MODEL_MAX    264  /* bytes of a model's name */
#define SAID_MAX     64   /* messages of a client on their way to its session */
#define UNSENT_MAX   8192 /* frames on their way to a socket's worker */
#define UNSENT_BYTES ((size_t)64 * 1024 * 1024) /* of those before one more */
#define TITLE_BYTES  240                        /* and at most 60 characters */
#define TITLE_CHARS  60

/* ---- mail.c ---- */

/* On its way to a room; `read` owns it there. In order, and never refused: only the bell that wakes the other thread needs
 * memory, and is rung again when there is some. */
struct letter {
    struct letter *next;
    void (*read)(struct letter *l, struct chat_room *room);
};
struct mail {
    _Atomic(struct letter *) newest;
    atomic_bool unrung;
    struct io_timer again; /* of the sender's thread: rings where it could not be rung */
};
/* `from`: the room of this thread. */
void mail_send(struct chat_room *from, struct chat_room *to, struct letter *l);
/* Reads what is there now. False: nothing was. */
bool mail_read(struct chat_room *room);

/* ---- texts that change ---- */

struct words {
    char *text; /* NULL = "" */
    size_t len;
};
bool words_set(struct words *w, strv text); /* false: no memory, and it is as it was */
void words_fini(struct words *w);           /* wipes it */
static inline strv words_of(const struct words *w)
{
    return w->text != NULL ? (strv){w->text, w->len} : STRV("");
}

/* ---- rate.c ---- */

struct rates {
    pthread_mutex_t lock;
    struct rate_user *users;
};
bool rates_init(struct rates *r); /* false: no memory */
void rates_fini(struct rates *r);
/* Takes one. False: it is one too many, and *wait_us says when it is not. */
bool rates_take(struct rates *r, const char *user, const struct chat_conf *limits, int64_t now_us,
                int64_t *wait_us);

/* ---- heard.c ---- */

enum heard_kind {
    HEARD_QUESTION,
    HEARD_INTERRUPT,
    HEARD_HISTORY,
    HEARD_SET,
    HEARD_RETRY,
    HEARD_EDIT,
    HEARD_BRANCH,
    HEARD_APPROVE
};
struct params {
    bool has_temperature, has_top_p, has_max_tokens;
    double temperature, top_p, max_tokens;
    enum llm_effort effort;
};
struct heard { /* views into the arena */
    enum heard_kind kind;
    strv content, ref, id;
    uint32_t message;
    struct chat_file files[CHAT_FILES_MAX];
    size_t n_files;
    bool has_params, has_system, has_title, has_model, has_tools;
    struct params params;
    strv system, title, model;
    enum llm_mode mode; /* UNSET = not told */
    bool tools;
    bool approve, remember;
};
/* False with err, whose text is for the client. */
bool heard_read(strv text, size_t content_max, struct arena *arena, struct heard *out,
                struct err *err);

/* ---- the room ---- */

struct session;
struct answer;
struct aside;

#define ROOM_SLOTS 1024
struct chat_room {
    struct chat_room_env env;
    struct exchange_env *ex;
    struct io_loop *loop;
    struct mail mail;
    struct rates rates; /* of the users whose names fall to this room; every room asks */
    struct list slots[ROOM_SLOTS];
    struct list
        quiet; /* sessions that could be forgotten: empty ones, then the longest quiet first */
    size_t n_sessions, n_seats, n_busy;
    struct buf text; /* of the frame that is being written */
    bool draining, stopped;
    bool settled; /* the threads have ended: nothing is sent to another room any more */
    void (*on_empty)(void *arg);
    void *on_empty_arg;
};
struct chat_room *room_of(const struct chat_room *any, strv session); /* its home */
/* It may have become empty. */
void room_look(struct chat_room *r);
/* Letters that waited, in their order. */
void room_hear(struct chat_room *r, struct letter *l);
/* The session by name, of memory; NULL = it is not there. */
struct session *room_find(struct chat_room *r, strv id);
/* NULL: no room or no memory. Begins to be loaded. */
struct session *room_open(struct chat_room *r, const char *id, const char *user);

/* ---- seats ---- */

struct chat_seat {
    struct chat_room *here, *home;
    struct chat_user user;
    char id[CHAT_SESSION_MAX + 1];
    char model[MODEL_MAX + 1];
    enum llm_mode mode;
    atomic_uint said, unsent;
    atomic_size_t unsent_bytes;
    struct letter to_sit, to_rise, to_shut, to_go;
    /* the socket's thread */
    const struct chat_seat_ops *ops;
    void *arg;
    bool rising;
    /* home's thread, but for the letters' content */
    struct list node; /* of the session's seats */
    struct session *session;
    struct io_timer until; /* the login's end */
    bool late;             /* it is over, and an answer still runs */
    bool shut;
    unsigned shut_code;
    const char *shut_reason;
};
void seat_tell(struct chat_seat *seat, struct chat_frame *f); /* home; refs it */
void seat_shut(struct chat_seat *seat, unsigned code, const char *reason);
/* Is the letter one of this user's (NULL: anybody's) who wants a seat? Then it is shut. */
bool seat_refused(struct letter *l, const char *user, unsigned code, const char *reason);
/* It has left, and nothing here knows it any more. */
void seat_gone(struct chat_seat *seat);

/* A client's message, as it goes to its session. */
struct said {
    struct letter letter;
    struct chat_seat *seat;
    size_t len;
    char text[];
};

/* ---- a session ---- */

enum stage {
    SESSION_LOADING, /* what is said waits */
    SESSION_IDLE,
    SESSION_ANSWER, /* an answer is being made; or a summary, before it */
    SESSION_NEXT    /* it is over, and a question waits: its answer begins at once */
};

struct asker { /* for as long as his question needs it */
    struct policy_keys *keys;
    const struct policy_key *key;
    char address[64];
};
struct question {
    uint32_t n; /* 0 = none */
    struct asker by;
    struct params params; /* what is not told here is the session's */
    struct words system;
    bool has_system;
};

struct session {
    struct chat_room *room;
    struct list slot, quiet_node;
    char id[CHAT_SESSION_MAX + 1], user[CHAT_USER_MAX + 1];
    enum stage stage;
    struct list seats;
    struct letter *waiting, **waiting_end; /* while it is loaded */
    struct chat_tree *tree;                /* NULL only while it is loaded */
    struct words title, model, system, summary;
    uint32_t summary_to;
    enum llm_mode mode;
    bool is_private, tools;
    bool kept;       /* what was said last is in the file, as far as is known */
    bool save_all;   /* something of it could not be written */
    uint32_t newest; /* highest number of a message, so far */
    uint32_t
        unread; /* 0, or from this number on nobody has looked yet whether it may be kept in clear */
    bool title_wanted;
    struct params params;
    int64_t created_us, last_us;
    struct question now, next;
    struct answer *answer;
    struct aside *aside;
    struct io_timer soon, quiet;
    unsigned errands; /* calls of the file's that are not answered yet */
    bool gone;        /* the room has forgotten it; it lives for its errands */
};
struct session *session_new(struct chat_room *r, const char *id, const char *user);
bool session_is_of(const struct session *s, const char *user);
/* What the file had is there now, or nothing: what waited is heard. */
void session_begin(struct session *s);
/* While it is loaded: the letter is kept and read again. False: it is not being loaded, or there is none. */
bool session_waits(struct session *s, struct letter *l);
void session_take_seat(struct session *s, struct chat_seat *seat);
void session_lose_seat(struct session *s, struct chat_seat *seat);
void session_hear(struct session *s, struct chat_seat *seat, strv text);
/* Nothing looks at it and nothing runs in it: then it goes out of memory after a while. To be asked after each change. */
void session_rest(struct session *s);
void session_stage(struct session *s, enum stage stage);
void question_fini(struct question *q);
/* The running answer ends as interrupted; what waits in the queue goes. */
void session_interrupt(struct session *s);
/* It goes out of memory. Its seats must be gone or shut. */
void session_forget(struct session *s);
void session_errand_over(struct session *s);
/* To the file: the head, and these messages. */
void session_save(struct session *s, const uint32_t *numbers, size_t n);
/* The same for a question; where what is private may not be kept, once it is known whether it is. */
void session_save_question(struct session *s, uint32_t n);
void session_was_read(struct session *s);                   /* it is known */
void session_tell(struct session *s, struct chat_frame *f); /* takes it; NULL: no memory for it */
void session_tell_one(struct chat_seat *seat, struct chat_frame *f); /* the same */
void session_changed(struct session *s);                             /* frame `session` */
void session_made_private(struct session *s);
/* The widest mode that this session's next answer may have. */
enum llm_mode session_mode(const struct session *s, const struct policy_key *key);
/* answer.c has told the end. */
void session_answered(struct session *s, uint32_t n, bool whole);
void session_head(struct session *s, struct chat_head *out);

/* ---- title.c ---- */

bool session_set_title(struct session *s, strv title); /* one line of it; false: no memory */
void title_of_question(struct session *s, strv question);
/* A model is asked for one, if none of a model's or of the user's is there. n: the answer just made. */
void title_ask(struct session *s, const struct asker *by, uint32_t n);

/* ---- answer.c ---- */

/* Makes the answer `n` to s->now; s->answer is set until session_answered(). */
void answer_start(struct session *s, uint32_t n);
/* At once, without session_answered(). */
void answer_interrupt(struct answer *a);
uint32_t answer_number(const struct answer *a);
/* Is this petition one of its calls'? */
bool answer_petitions(const struct answer *a, strv id);
/* What waits for a person, to one who was not there when it was told. */
void answer_tell_pending(const struct answer *a, struct chat_seat *seat);
void answer_decided(struct answer *a, strv id, const char *decision, const char *by);

/* ---- aside.c ---- */

struct aside_order {
    struct session *s;
    const struct asker *by;
    struct chat_asked asked; /* what it is about */
    strv order;              /* what is to be done with it */
    int64_t tokens;          /* of the answer */
    /* Once: the text, or STRV_NONE where there is none. model: who made it. */
    void (*done)(void *arg, strv text, strv model);
    void *arg;
};
/* False: it cannot be asked for; done() does not come. */
bool aside_start(const struct aside_order *o);
void aside_cancel(struct session *s); /* s->aside, if there is one */

/* ---- frames.c: NULL = no memory ---- */

struct chat_frame *frame_connected(struct session *s);
struct chat_frame *frame_session(struct session *s);
struct chat_frame *frame_history(struct session *s);
struct chat_frame *frame_message(struct session *s, const struct chat_message *m, strv ref,
                                 bool queued);
struct chat_frame *frame_begin(struct session *s, uint32_t n, uint32_t parent);
struct chat_frame *frame_piece(struct session *s, const char *type, strv content);
struct chat_frame *frame_call_start(struct session *s, strv name, strv id);
struct chat_frame *frame_call(struct session *s, const struct chat_call *c);
struct chat_frame *frame_result(struct session *s, const struct chat_call *c);
struct chat_frame *frame_approval(struct session *s, strv call, const struct agent_petition *p);
struct chat_frame *frame_decided(struct session *s, strv id, const char *decision, const char *by);
struct chat_frame *frame_complete(struct session *s, uint32_t n, const struct chat_facts *f);
struct chat_frame *frame_interrupted(struct session *s, uint32_t n, bool partial, uint32_t dropped);
/* n 0: it ends no answer */
struct chat_frame *frame_error(struct session *s, strv message, const char *code, uint32_t n,
                               uint64_t retry_after_s);
struct chat_frame *frame_summary(struct session *s, uint32_t messages, int64_t tokens, strv model);
struct chat_frame *frame_notice(struct session *s, const char *code, strv message);

const char *mode_name(enum llm_mode mode);

#endif
