/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_heard - a frame of a client's, which may be anything: a frame a line.
 *
 * A frame is taken or refused with a reason that can be told. What was taken is within its bounds and valid UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat_int.h"

#define CONTENT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_text(strv text, size_t max)
{
    check(text.len <= max && utf8_valid(text));
}

static void check_params(const struct params *p)
{
    check(!p->has_temperature || (p->temperature >= 0 && p->temperature <= 2));
    check(!p->has_top_p || (p->top_p >= 0 && p->top_p <= 1));
    check(!p->has_max_tokens || p->max_tokens >= 1);
    check(p->effort < LLM_EFFORTS);
}

static void look(const struct heard *h)
{
    bool asks = h->kind == HEARD_QUESTION || h->kind == HEARD_EDIT;
    check(h->kind <= HEARD_APPROVE && h->n_files <= CHAT_FILES_MAX);
    check_text(h->content, CONTENT_MAX);
    check(!asks || strv_trim(h->content).len > 0 || h->n_files > 0);
    check_text(h->ref, REF_MAX);
    check_text(h->system, CONTENT_MAX);
    check_text(h->title, TITLE_BYTES);
    check_text(h->model, MODEL_MAX);
    for (size_t i = 0; i < h->n_files; i++)
        check_text(h->files[i].data, SIZE_MAX);
    check_params(&h->params);
    check(h->mode <= LLM_MODE_CLOUD);
    bool numbered = h->kind == HEARD_RETRY || h->kind == HEARD_EDIT || h->kind == HEARD_BRANCH;
    check(!numbered || h->message > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    strv rest = {(const char *)data, size}, line;
    while (size > 0 && strv_cut(&rest, '\n', &line)) {
        struct arena arena;
        struct heard h;
        struct err err = ERR_INIT;
        char *own = malloc(line.len > 0 ? line.len : 1); /* of its very size */
        check(own != NULL);
        if (line.len > 0)
            memcpy(own, line.ptr, line.len);
        arena_init(&arena, 4096, 16 * line.len + (size_t)256 * 1024);
        if (heard_read((strv){own, line.len}, CONTENT_MAX, &arena, &h, &err))
            look(&h);
        else
            check(err.set && err.text[0] != '\0');
        arena_fini(&arena);
        free(own);
    }
    return 0;
}
