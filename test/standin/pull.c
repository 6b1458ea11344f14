/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull - /api/pull: lines of progress, one event each, so that every knob for events works on them.
 *
 *   pulling manifest
 *   pulling 5f0e..    total 1000000                          nothing has moved yet
 *   pulling 5f0e..    total 1000000  completed 100000        one line for each pull_step
 *   verifying sha256 digest / writing manifest / success
 *
 * What a pull that was cut had told is kept: the next one of that model begins there, as Ollama's blobs do. A model
 * that was pulled is in the lists afterwards.
 */
#include "standin.h"

#define PULLS 32

static struct pulled {
    char model[256];
    int64_t done;
} pulls[PULLS];

/* The name without its knobs; "demo+cut=3" and "demo" are one model. */
static size_t name_length(const char *model)
{
    return strcspn(model, "+");
}

static struct pulled *pulled_of(const struct conn *c)
{
    size_t n = name_length(c->model);
    for (size_t i = 0; i < PULLS; i++)
        if (strlen(pulls[i].model) == n && n > 0 && memcmp(pulls[i].model, c->model, n) == 0)
            return &pulls[i];
    static size_t next;
    struct pulled *p = &pulls[next++ % PULLS];
    memcpy(p->model, c->model, n);
    p->model[n] = 0;
    p->done = 0;
    return p;
}

void pull_forget(void)
{
    memset(pulls, 0, sizeof pulls);
}

static int64_t step_of(const struct conn *c)
{
    return c->k.pull_step > 0 ? c->k.pull_step : 1;
}

void pull_begin(struct conn *c)
{
    int64_t left = c->k.pull_size - pulled_of(c)->done;
    c->event = 0;
    c->k.reasoning = 0;
    c->events = left > 0 && !c->k.pull_missing ? (left + step_of(c) - 1) / step_of(c) : 0;
    c->total = c->events;
}

static void add_line(struct conn *c, struct text *t, const char *status)
{
    text_lit(t, "{\"status\":\"");
    text_str(t, status);
    text_lit(t, "\"}");
    word_eol(c, t);
}

static void add_progress(struct conn *c, struct text *t, int64_t done)
{
    char digest[17];
    snprintf(digest, sizeof digest, "%016llx",
             (unsigned long long)hash_more(HASH_START, c->model, name_length(c->model)));
    text_lit(t, "{\"status\":\"pulling ");
    text_add(t, digest, 12);
    text_lit(t, "\",\"digest\":\"sha256:");
    for (int i = 0; i < 4; i++)
        text_add(t, digest, 16);
    text_lit(t, "\",\"total\":");
    text_int(t, c->k.pull_size);
    if (done > 0) {
        text_lit(t, ",\"completed\":");
        text_int(t, done);
    }
    text_lit(t, "}");
    word_eol(c, t);
}

void pull_start(struct conn *c, struct text *t)
{
    add_line(c, t, "pulling manifest");
    if (!c->k.pull_missing)
        add_progress(c, t, pulled_of(c)->done);
}

void pull_event(struct conn *c, struct text *t)
{
    struct pulled *p = pulled_of(c);
    p->done += step_of(c);
    if (p->done > c->k.pull_size)
        p->done = c->k.pull_size;
    add_progress(c, t, p->done);
}

void pull_finish(struct conn *c, struct text *t)
{
    if (c->k.pull_missing)
        return;
    add_line(c, t, "verifying sha256 digest");
    add_line(c, t, "writing manifest");
}

void pull_done(struct conn *c, struct text *t)
{
    struct pulled *p = pulled_of(c);
    if (c->k.pull_missing) {
        text_lit(t, "{\"error\":\"pull model manifest: file does not exist\"}");
        word_eol(c, t);
        return;
    }
    model_add(p->model);
    p->done = c->k.pull_size; /* asked again, nothing is left to do */
    add_line(c, t, "success");
}
