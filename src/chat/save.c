/* SPDX-License-Identifier: Apache-2.0 */
/*
 * save - a session into its file: its head with every change, a message when it is whole.
 *
 * Where only what is not private may be kept, a question waits until it was read for that, and the head with it, whose title
 * is made of the question.
 *
 * What could not be written is remembered, and the next time that something is written all of it is: `kept` says which it
 * is. So is what the file has deleted meanwhile. A private session that may not be kept is told to the file all the same, which then forgets what it had.
 */
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

#define SAVED_MAX ((size_t)1024 * 1024 * 1024) /* of all messages' JSON in one go */

void session_head(struct session *s, struct chat_head *out)
{
    const struct chat_message *leaf = chat_tree_leaf(s->tree);
    if (leaf != NULL && leaf->n == s->next.n) /* not kept before its answer begins */
        leaf = chat_tree_find(s->tree, leaf->parent);
    if (leaf != NULL && leaf->state == CHAT_RUNNING)
        leaf = chat_tree_find(s->tree, leaf->parent);
    *out = (struct chat_head){
        .title = words_of(&s->title),
        .mode = strv_of(mode_name(s->mode)),
        .model = words_of(&s->model),
        .system = words_of(&s->system),
        .summary = words_of(&s->summary),
        .summary_to = s->summary_to,
        .leaf = leaf != NULL ? leaf->n : 0,
        .n_messages = chat_tree_count(s->tree),
        .is_private = s->is_private,
        .tools = s->tools,
        .created_us = s->created_us,
        .last_us = s->last_us,
    };
    memcpy(out->id, s->id, sizeof out->id);
    memcpy(out->user, s->user, sizeof out->user);
}

static void set_kept(struct session *s, bool kept)
{
    bool changed = s->kept != kept;
    s->kept = kept;
    if (changed && !s->gone)
        session_changed(s);
}

static void on_kept(void *arg, enum chat_kept how)
{
    struct session *s = arg;
    bool allowed = !s->is_private || chat_keep_private(s->room->env.keep);
    bool lost = how == CHAT_KEPT_NONE && allowed; /* deleted meanwhile, for room or for its age */
    if (!s->gone) {
        s->save_all = s->save_all || how != CHAT_KEPT_OK;
        if (!lost)
            set_kept(s, how == CHAT_KEPT_OK && !s->save_all);
        if ((lost || how == CHAT_KEPT_OK) && s->save_all) /* it can be written: now all of it */
            session_save(s, NULL, 0);
    }
    session_errand_over(s);
}

struct saving {
    struct buf bytes;
    strv *texts;
    uint32_t *numbers;
    size_t *ends, n;
};

static bool put_message(struct session *s, struct saving *v, uint32_t n)
{
    const struct chat_message *m = chat_tree_find(s->tree, n);
    if (m == NULL || m->state == CHAT_RUNNING || n == s->next.n)
        return true;
    if (!chat_message_json(s->tree, m, true, &v->bytes))
        return false;
    v->numbers[v->n] = n;
    v->ends[v->n++] = buf_len(&v->bytes);
    return true;
}

static bool put_messages(struct session *s, struct saving *v, const uint32_t *numbers, size_t n)
{
    bool ok = v->texts != NULL && v->numbers != NULL && v->ends != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = put_message(s, v, s->save_all ? (uint32_t)i + 1 : numbers[i]);
    for (size_t i = 0; ok && i < v->n; i++) {
        size_t from = i > 0 ? v->ends[i - 1] : 0;
        v->texts[i] = (strv){buf_view(&v->bytes).ptr + from, v->ends[i] - from};
    }
    return ok;
}

static bool is_too_early(const struct session *s)
{
    return s->unread != 0 && !s->is_private && !chat_keep_private(s->room->env.keep);
}

void session_save(struct session *s, const uint32_t *numbers, size_t n)
{
    struct chat_keep *keep = s->room->env.keep;
    struct chat_head head;
    struct saving v = {0};
    if (keep == NULL)
        return;
    if (is_too_early(s)) {
        set_kept(s, false);
        return;
    }
    if (s->is_private && !chat_keep_private(keep)) /* the head alone: then the file forgets it */
        n = 0;
    else if (s->save_all)
        n = s->newest;
    session_head(s, &head);
    buf_init(&v.bytes, SAVED_MAX);
    v.texts = mem_zalloc((n + 1) * sizeof *v.texts);
    v.numbers = mem_zalloc((n + 1) * sizeof *v.numbers);
    v.ends = mem_zalloc((n + 1) * sizeof *v.ends);
    s->errands++;
    bool all = s->save_all;
    if (put_messages(s, &v, numbers, n) &&
        chat_keep_put(keep, s->room->loop, &head, v.texts, v.numbers, v.n, on_kept, s)) {
        s->save_all = false;
    } else {
        s->errands--;
        s->save_all = all || n > 0;
        set_kept(s, false);
    }
    if (v.bytes.data != NULL)
        mem_wipe(v.bytes.data, v.bytes.cap);
    buf_fini(&v.bytes);
    mem_free(v.texts);
    mem_free(v.numbers);
    mem_free(v.ends);
}

void session_save_question(struct session *s, uint32_t n)
{
    if (s->unread == 0)
        s->unread = n;
    if (!is_too_early(s))
        session_save(s, &n, 1);
}

/* All that has waited; where nothing had to, there is nothing to do. */
void session_was_read(struct session *s)
{
    uint32_t first = s->unread;
    bool waited = first != 0 && is_too_early(s);
    s->unread = 0;
    if (!waited)
        return;
    size_t n = s->newest - first + 1;
    uint32_t *numbers = mem_alloc(n * sizeof *numbers);
    for (size_t i = 0; numbers != NULL && i < n; i++)
        numbers[i] = first + (uint32_t)i;
    s->save_all = s->save_all || numbers == NULL; /* more than is needed, then */
    session_save(s, numbers, numbers != NULL ? n : 0);
    mem_free(numbers);
}
