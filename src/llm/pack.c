/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - events as bytes, for those that must wait: the struct, its vector, its texts one behind the other. Each begins
 * at a multiple of ALIGN, counted from the beginning of the bytes. Never written down for another process.
 */
#include <string.h>

#include "llm/event.h"

#define ALIGN 16
#define TEXTS 6

static void texts_of(struct llm_event *ev, strv *texts[TEXTS])
{
    strv *const all[TEXTS] = {&ev->text,          &ev->id,        &ev->name, &ev->model,
                              &ev->stop_sequence, &ev->raw_finish};
    memcpy(texts, all, sizeof all);
}

void llm_event_pad(struct buf *b)
{
    static const char zeros[ALIGN];
    buf_put(b, zeros, (ALIGN - buf_len(b) % ALIGN) % ALIGN);
}

bool llm_event_pack(struct buf *b, const struct llm_event *ev)
{
    struct llm_event copy = *ev;
    strv *texts[TEXTS];
    texts_of(&copy, texts);
    llm_event_pad(b);
    buf_put(b, &copy, sizeof copy);
    if (copy.n_vector > 0)
        buf_put(b, copy.vector, copy.n_vector * sizeof *copy.vector);
    for (size_t i = 0; i < TEXTS; i++)
        buf_put_strv(b, *texts[i]);
    return !b->failed;
}

void llm_event_unpack(strv bytes, size_t *at, struct llm_event *ev)
{
    strv *texts[TEXTS];
    size_t pos = (*at + ALIGN - 1) / ALIGN * ALIGN;
    memcpy(ev, bytes.ptr + pos, sizeof *ev);
    pos += sizeof *ev;
    ev->vector = ev->n_vector > 0 ? (const float *)(const void *)(bytes.ptr + pos) : NULL;
    pos += ev->n_vector * sizeof *ev->vector;
    texts_of(ev, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        if (texts[i]->ptr != NULL)
            texts[i]->ptr = bytes.ptr + pos;
        pos += texts[i]->len;
    }
    *at = pos;
}
