/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep - sessions in a file, by a thread of their own: workers ask, and are told on their loops.
 *
 *   chat.db  chat_sessions (name, owner, sealed head, its sealed key, times)   chat_messages (session, n, sealed message)
 *
 * Sealed: AES-256-GCM. Each session has a key of its own, which the master key (chat.key_file) seals; a message is bound to
 * its session and number. To delete a session is to delete its key and its rows, with the file's free pages overwritten
 * and the log beside it emptied. Without a master key a private session is not kept, unless chat.keep_unsealed says so;
 * others are kept in clear. Titles and texts are sealed, so a search reads all of a user's sessions one after another, on
 * this thread.
 */
#ifndef CHAT_KEEP_H
#define CHAT_KEEP_H

#include "base/base.h"
#include "chat/seal.h"
#include "io/io.h"

#define CHAT_SESSION_MAX 64
#define CHAT_USER_MAX    96 /* "local", "key:k_...", "app:UUID" */

struct chat_keep_conf {           /* copied */
    const char *path;             /* chat.db */
    const struct chat_keys *keys; /* NULL = none */
    bool unsealed_private;
    size_t sessions_max; /* of a user: the one that was quiet longest goes; 0 = any number */
    uint64_t idle_days;  /* 0 = for ever */
    uint64_t bytes_max;  /* of the file; 0 = without end */
    bool no_thread;      /* for tests: each call does its work at once */
};
struct chat_keep;
/* NULL with err: no memory, no thread. A file that cannot be used (damaged, another program's, sealed with another key)
 * is told in the log and tried again with every call: the chat goes on, and nothing is kept meanwhile. */
struct chat_keep *chat_keep_open(const struct chat_keep_conf *conf, const struct log *log,
                                 struct err *err);
/* What waits is written and told to the loops, which must still be there (but for those that have no memory to be told);
 * then the thread ends. NULL is fine. */
void chat_keep_close(struct chat_keep *k);
/* May a private session be kept? NULL is fine. */
bool chat_keep_private(const struct chat_keep *k);
/* The last attempt to use the file failed. NULL: true. */
bool chat_keep_failing(const struct chat_keep *k);

struct chat_head { /* of a session; views live during the call that gives them */
    char id[CHAT_SESSION_MAX + 1], user[CHAT_USER_MAX + 1];
    strv title, mode, model, system; /* "" = none */
    strv summary;
    uint32_t summary_to, leaf, n_messages;
    bool is_private, tools;
    int64_t created_us, last_us;
};

/* What a list tells of it: members of a JSON object, without braces. */
void chat_head_json(const struct chat_head *h, struct buf *out);

enum chat_kept { CHAT_KEPT_NONE, CHAT_KEPT_OK, CHAT_KEPT_FOREIGN, CHAT_KEPT_FAILED };

/* All of these: any thread; the answer comes on `loop`, once, also when it fails. False: no memory or too much waits;
 * then it does not come. */

/* A session with its messages, as chat_tree_read() reads them, in order. FOREIGN: it is another user's. */
typedef void (*chat_load_fn)(void *arg, enum chat_kept how, const struct chat_head *head,
                             const strv *messages, size_t n);
bool chat_keep_load(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                    chat_load_fn fn, void *arg);
/* The head as it is now, and messages that are new or changed. Written in the order given. fn may be NULL.
 * NONE: a private session, which may not be kept; what was kept of it is deleted. Or it is not there any more, and these
 * messages do not begin with its first: then nothing is written, and all of it is to be put. */
typedef void (*chat_done_fn)(void *arg, enum chat_kept how);
bool chat_keep_put(struct chat_keep *k, struct io_loop *loop, const struct chat_head *head,
                   const strv *messages, const uint32_t *numbers, size_t n, chat_done_fn fn,
                   void *arg);
/* A user's sessions as JSON (docs/chat.md), newest first: only those whose title or text has `search` in it, if it is not
 * empty, whatever the case and the marks of letters. A search reads 256 MiB and no more. */
typedef void (*chat_text_fn)(void *arg, enum chat_kept how, strv json);
bool chat_keep_list(struct chat_keep *k, struct io_loop *loop, const char *user, strv search,
                    size_t limit, int64_t before_us, chat_text_fn fn, void *arg);
bool chat_keep_delete(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                      chat_done_fn fn, void *arg);

#endif
