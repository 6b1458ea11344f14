/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - messages in memory: adding, finding, branching, freeing.
 *
 * A message's strings lie in pieces, one for each thing that was added (a file, a call, a result, the facts), so that a
 * thing is taken whole or not at all, and everything can be wiped. Text and reasoning grow while an answer runs.
 */
#include "chat/tree.h"

#include <assert.h>

#include "chat/tree_int.h"

#define SCRATCH_MAX ((size_t)256 * 1024 * 1024)

struct chat_tree *chat_tree_new(size_t bytes_max)
{
    struct chat_tree *t = mem_zalloc(sizeof *t);
    if (t == NULL)
        return NULL;
    t->bytes_max = bytes_max;
    t->leaf = &t->top;
    return t;
}

/* ---- memory ---- */

static bool take_room(struct chat_tree *t, struct node *x, size_t bytes)
{
    if (bytes > t->bytes_max - t->used)
        return false;
    t->used += bytes;
    x->bytes += bytes;
    return true;
}

static void give_room(struct chat_tree *t, struct node *x, size_t bytes)
{
    t->used -= bytes;
    x->bytes -= bytes;
}

static void free_piece(struct piece *p)
{
    if (p != NULL)
        mem_free_secret(p, sizeof *p + p->len);
}

static void wipe_buf(struct buf *b)
{
    if (b->data != NULL)
        mem_wipe(b->data, b->cap);
    buf_fini(b);
}

static void free_node(struct chat_tree *t, struct node *x)
{
    t->used -= x->bytes;
    for (struct piece *p = x->pieces, *next; p != NULL; p = next) {
        next = p->next;
        free_piece(p);
    }
    free_piece(x->facts);
    wipe_buf(&x->m.text);
    wipe_buf(&x->m.reasoning);
    mem_free(x->m.files);
    mem_free(x->m.calls);
    mem_free(x);
}

void chat_tree_free(struct chat_tree *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++)
        free_node(t, t->nodes[i]);
    mem_free(t->nodes);
    mem_free(t);
}

/* Copies all of the texts into one piece and has them point there; what is absent stays absent. `more` bytes beside them
 * are counted, too. NULL: no memory, or too large. */
static struct piece *pack(struct chat_tree *t, struct node *x, strv *const *texts, size_t n,
                          size_t more)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += texts[i]->len;
    if (!take_room(t, x, sizeof(struct piece) + len + more))
        return NULL;
    struct piece *p = mem_alloc(sizeof *p + len);
    if (p == NULL) {
        give_room(t, x, sizeof(struct piece) + len + more);
        return NULL;
    }
    *p = (struct piece){.len = len};
    char *to = p->bytes;
    for (size_t i = 0; i < n; i++) {
        if (texts[i]->ptr == NULL)
            continue;
        if (texts[i]->len > 0)
            memcpy(to, texts[i]->ptr, texts[i]->len);
        texts[i]->ptr = to;
        to += texts[i]->len;
    }
    return p;
}

static void hold(struct node *x, struct piece *p)
{
    p->next = x->pieces;
    x->pieces = p;
}

/* Room for one more at the end of an array whose room doubles. */
static bool one_more(void **array, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0)
        return true;
    void *bigger = mem_realloc(*array, (n > 0 ? 2 * n : 1) * size);
    if (bigger == NULL)
        return false;
    *array = bigger;
    return true;
}

/* ---- messages ---- */

static struct node *find(struct chat_tree *t, uint32_t n)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->nodes[mid]->m.n < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->n && t->nodes[low]->m.n == n ? t->nodes[low] : NULL;
}

struct chat_message *tree_add(struct chat_tree *t, uint32_t n, uint32_t parent, bool assistant,
                              int64_t at_us)
{
    struct node *up = parent == 0 ? &t->top : find(t, parent);
    if (up == NULL || up->n_children >= CHAT_BRANCHES_MAX)
        return NULL;
    if (!one_more((void **)(void *)&t->nodes, t->n, sizeof *t->nodes))
        return NULL;
    struct node *x = mem_zalloc(sizeof *x);
    if (x == NULL)
        return NULL;
    if (!take_room(t, x, sizeof *x + sizeof *t->nodes)) {
        mem_free(x);
        return NULL;
    }
    x->m = (struct chat_message){
        .n = n, .parent = parent, .assistant = assistant, .at_us = at_us, .facts = CHAT_FACTS_NONE};
    buf_init(&x->m.text, t->bytes_max);
    buf_init(&x->m.reasoning, t->bytes_max);
    x->up = up;
    x->older = up->newest;
    up->newest = x;
    up->n_children++;
    t->nodes[t->n++] = x;
    t->leaf = x;
    return &x->m;
}

struct chat_message *chat_tree_add(struct chat_tree *t, uint32_t parent, bool assistant,
                                   int64_t at_us)
{
    uint32_t last = t->n > 0 ? t->nodes[t->n - 1]->m.n : 0;
    return last < UINT32_MAX ? tree_add(t, last + 1, parent, assistant, at_us) : NULL;
}

void chat_tree_drop(struct chat_tree *t, struct chat_message *m)
{
    struct node *x = tree_node(m);
    assert(t->n > 0 && t->nodes[t->n - 1] == x);
    x->up->newest = x->older;
    x->up->n_children--;
    if (t->leaf == x)
        t->leaf = x->up;
    t->n--;
    free_node(t, x);
}

struct chat_message *chat_tree_find(struct chat_tree *t, uint32_t n)
{
    struct node *x = find(t, n);
    return x != NULL ? &x->m : NULL;
}

struct chat_message *chat_tree_leaf(struct chat_tree *t)
{
    return t->leaf != &t->top ? &t->leaf->m : NULL;
}

uint32_t chat_tree_count(const struct chat_tree *t)
{
    return (uint32_t)t->n;
}

bool chat_tree_select(struct chat_tree *t, uint32_t n)
{
    struct node *x = find(t, n);
    if (x == NULL)
        return false;
    while (x->newest != NULL)
        x = x->newest;
    t->leaf = x;
    return true;
}

struct node *tree_path(struct chat_tree *t, struct node *to)
{
    struct node *down = NULL;
    for (struct node *x = to; x != &t->top; x = x->up) {
        x->down = down;
        down = x;
    }
    return down;
}

/* ---- what is in a message ---- */

static bool append(struct chat_tree *t, struct chat_message *m, struct buf *to, strv more)
{
    struct node *x = tree_node(m);
    size_t was = buf_len(to);
    if (!take_room(t, x, more.len))
        return false;
    if (buf_put_strv(to, more))
        return true;
    buf_rewind(to, was);
    give_room(t, x, more.len);
    return false;
}

bool chat_tree_text(struct chat_tree *t, struct chat_message *m, strv more)
{
    return append(t, m, &m->text, more);
}

bool chat_tree_reasoning(struct chat_tree *t, struct chat_message *m, strv more)
{
    return append(t, m, &m->reasoning, more);
}

bool chat_tree_file(struct chat_tree *t, struct chat_message *m, const struct chat_file *f)
{
    struct chat_file kept = *f;
    strv *texts[] = {&kept.name, &kept.type, &kept.data};
    if (m->n_files == CHAT_FILES_MAX)
        return false;
    if (!one_more((void **)(void *)&m->files, m->n_files, sizeof *m->files))
        return false;
    struct piece *p = pack(t, tree_node(m), texts, 3, sizeof kept);
    if (p == NULL)
        return false;
    hold(tree_node(m), p);
    m->files[m->n_files++] = kept;
    return true;
}

/* Members of ours in a result's object; a result that has them itself stays text. */
static const char *const result_names[] = {"tool_name", "text", NULL};

/* The input as an object in any case; notes what the result is. */
static bool make_fit(struct chat_call *c, struct arena *scratch)
{
    bool is = false;
    if (!tree_is_object(c->input, NULL, scratch, &is))
        return false;
    if (!is) {
        struct buf b;
        buf_init(&b, 6 * c->input.len + 64);
        buf_put_cstr(&b, "{\"value\":");
        json_put_str(&b, c->input);
        buf_put_char(&b, '}');
        c->input = arena_strv(scratch, buf_view(&b));
        bool ok = !b.failed && c->input.ptr != NULL;
        buf_fini(&b);
        if (!ok)
            return false;
    }
    c->object = false;
    return c->result.ptr == NULL || tree_is_object(c->result, result_names, scratch, &c->object);
}

static bool keep_call(struct chat_tree *t, struct chat_message *m, struct chat_call *c)
{
    strv *texts[] = {&c->id, &c->name, &c->server, &c->input, &c->result, &c->quality};
    if (!one_more((void **)(void *)&m->calls, m->n_calls, sizeof *m->calls))
        return false;
    struct piece *p = pack(t, tree_node(m), texts, sizeof texts / sizeof *texts, sizeof *c);
    if (p == NULL)
        return false;
    hold(tree_node(m), p);
    m->calls[m->n_calls++] = *c;
    return true;
}

bool chat_tree_call(struct chat_tree *t, struct chat_message *m, const struct chat_call *c)
{
    struct chat_call kept = *c;
    struct arena scratch;
    arena_init(&scratch, 4096, SCRATCH_MAX);
    bool ok = make_fit(&kept, &scratch) && keep_call(t, m, &kept);
    arena_fini(&scratch);
    return ok;
}

bool chat_tree_result(struct chat_tree *t, struct chat_message *m, strv id, strv result,
                      bool is_error, strv quality)
{
    size_t at = 0;
    while (at < m->n_calls && (m->calls[at].result.ptr != NULL || !strv_eq(m->calls[at].id, id)))
        at++;
    if (at == m->n_calls)
        return false;
    struct chat_call *c = &m->calls[at];
    struct arena scratch;
    arena_init(&scratch, 4096, SCRATCH_MAX);
    bool object = false, ok = tree_is_object(result, result_names, &scratch, &object);
    arena_fini(&scratch);
    strv *texts[] = {&result, &quality};
    struct piece *p = ok ? pack(t, tree_node(m), texts, 2, 0) : NULL;
    if (p == NULL)
        return false;
    hold(tree_node(m), p);
    c->result = result;
    c->quality = quality;
    c->is_error = is_error;
    c->object = object;
    return true;
}

bool chat_tree_facts(struct chat_tree *t, struct chat_message *m, const struct chat_facts *f)
{
    struct node *x = tree_node(m);
    struct chat_facts kept = *f;
    strv *texts[] = {&kept.provider, &kept.model, &kept.zone,       &kept.mode, &kept.task,
                     &kept.findings, &kept.why,   &kept.request_id, &kept.error};
    struct piece *p = pack(t, x, texts, sizeof texts / sizeof *texts, 0);
    if (p == NULL)
        return false;
    if (x->facts != NULL)
        give_room(t, x, sizeof *p + x->facts->len);
    free_piece(x->facts);
    x->facts = p;
    m->facts = kept;
    return true;
}
