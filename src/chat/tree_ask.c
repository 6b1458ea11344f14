/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_ask - the path to a question as a request to a model.
 *
 *   user       [summary] [files] question
 *   assistant  CALL a, CALL b                  only where tools were called
 *   user       RESULT a, RESULT b              one that never came is made up later (llm_request_mend)
 *   assistant  the answer, never empty         roles alternate: many models insist
 *
 * Reasoning is not told again: it is no part of what was said. To find out how much a summary must take, the same request
 * is made of views, without copies.
 */
#include "chat/tree.h"

#include "chat/tree_int.h"

#define SCRATCH_MAX  ((size_t)256 * 1024 * 1024)
#define SUMMARY_HEAD "Summary of what was said before:\n"
#define CUT          "[interrupted]"
#define NO_ANSWER    "[no answer]"

struct cut {    /* a place where the rest could begin */
    uint32_t n; /* the last message that is taken */
    size_t from;
};

struct asking {
    struct llm_request *r;
    struct arena *arena;
    struct llm_message *m;
    size_t n;
    bool views;   /* the texts stay where they are */
    strv summary; /* stands in front of the next question; "" = there is none, or it does already */
    struct cut *cuts; /* behind each answer; NULL = nobody asks */
    size_t n_cuts;
};

static strv told(struct asking *k, strv text)
{
    strv copy = k->views ? text : arena_strv(k->arena, text);
    return copy.ptr != NULL ? copy : STRV("");
}

static strv joined(struct asking *k, strv a, strv b)
{
    char *text = arena_alloc(k->arena, a.len + b.len);
    if (text == NULL)
        return STRV("");
    memcpy(text, a.ptr, a.len);
    memcpy(text + a.len, b.ptr, b.len);
    return (strv){text, a.len + b.len};
}

/* A message with room for `n` parts; NULL: no memory. */
static struct llm_part *begin(struct asking *k, enum llm_role role, size_t n)
{
    struct llm_part *parts = ARENA_ARRAY(k->arena, struct llm_part, n);
    k->m[k->n++] = (struct llm_message){role, parts, parts != NULL ? n : 0};
    return parts;
}

static bool say(struct asking *k, enum llm_role role, strv text)
{
    struct llm_part *part = begin(k, role, 1);
    if (part != NULL)
        *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    return part != NULL;
}

static bool tell_file(struct asking *k, const struct chat_file *f, struct llm_part *out)
{
    if (!f->image)
        return llm_part_text_file(k->arena, told(k, f->name), told(k, f->data), out);
    *out = (struct llm_part){.kind = LLM_PART_IMAGE,
                             .type = told(k, f->type),
                             .data = told(k, f->data),
                             .title = STRV("")};
    k->r->needs |= LLM_NEED_IMAGES;
    return true;
}

static bool is_blank(strv text)
{
    return strv_trim(text).len == 0;
}

static bool tell_question(struct asking *k, const struct chat_message *m)
{
    size_t extra = k->summary.len > 0 ? 1 : 0;
    struct llm_part *p = begin(k, LLM_USER, extra + m->n_files + 1);
    if (p == NULL)
        return false;
    if (extra != 0)
        *p++ = (struct llm_part){
            .kind = LLM_PART_TEXT,
            .text = joined(k, joined(k, STRV(SUMMARY_HEAD), k->summary), STRV("\n\n"))};
    k->summary = STRV("");
    for (size_t i = 0; i < m->n_files; i++)
        if (!tell_file(k, &m->files[i], p++))
            return false;
    if (m->n_files > 0 && is_blank(buf_view(&m->text)))
        k->m[k->n - 1].n_parts--; /* the files are the question */
    else
        *p = (struct llm_part){.kind = LLM_PART_TEXT, .text = told(k, buf_view(&m->text))};
    return true;
}

static bool tell_result(struct asking *k, const struct chat_call *c, struct llm_part *out)
{
    struct llm_part *text = ARENA_NEW(k->arena, struct llm_part);
    if (text == NULL)
        return false;
    *text = (struct llm_part){.kind = LLM_PART_TEXT, .text = told(k, c->result)};
    *out = (struct llm_part){.kind = LLM_PART_RESULT,
                             .id = told(k, c->id),
                             .name = told(k, c->name),
                             .is_error = c->is_error,
                             .parts = text,
                             .n_parts = 1};
    return true;
}

static bool tell_results(struct asking *k, const struct chat_message *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_calls; i++)
        n += m->calls[i].result.ptr != NULL;
    struct llm_part *p = n > 0 ? begin(k, LLM_USER, n) : NULL;
    for (size_t i = 0; p != NULL && i < m->n_calls; i++)
        if (m->calls[i].result.ptr != NULL && !tell_result(k, &m->calls[i], p++))
            return false;
    return n == 0 || p != NULL;
}

static bool tell_calls(struct asking *k, const struct chat_message *m)
{
    struct llm_part *p = begin(k, LLM_ASSISTANT, m->n_calls);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < m->n_calls; i++)
        p[i] = (struct llm_part){.kind = LLM_PART_CALL,
                                 .text = told(k, m->calls[i].input),
                                 .id = told(k, m->calls[i].id),
                                 .name = told(k, m->calls[i].name)};
    k->r->has_history = true;
    k->r->needs |= LLM_NEED_TOOLS;
    return tell_results(k, m);
}

static bool tell_answer(struct asking *k, const struct chat_message *m)
{
    strv text = buf_view(&m->text);
    if (m->n_calls > 0 && !tell_calls(k, m))
        return false;
    if (is_blank(text))
        text = m->state == CHAT_WHOLE ? STRV(NO_ANSWER) : STRV(CUT);
    else
        text = m->state == CHAT_WHOLE ? told(k, text) : joined(k, text, STRV(" " CUT));
    return say(k, LLM_ASSISTANT, text);
}

/* The first message of the path that no summary holds, and whether there is such a summary. */
static struct node *after_summary(struct node *root, const struct chat_asked *asked, bool *is)
{
    *is = false;
    if (asked->summary.len == 0 || asked->summary_to == 0)
        return root;
    for (struct node *x = root; x != NULL; x = x->down)
        if (x->m.n == asked->summary_to && x->down != NULL) {
            *is = true;
            return x->down;
        }
    return root;
}

static bool tell_all(struct asking *k, struct node *first, strv system)
{
    size_t n = 1;
    for (struct node *x = first; x != NULL; x = x->down)
        n += x->m.n_calls > 0 ? 3 : 1;
    k->m = ARENA_ARRAY(k->arena, struct llm_message, n);
    if (k->m == NULL || (system.len > 0 && !say(k, LLM_SYSTEM, told(k, system))))
        return false;
    for (struct node *x = first; x != NULL; x = x->down) {
        if (!(x->m.assistant ? tell_answer(k, &x->m) : tell_question(k, &x->m)))
            return false;
        if (k->cuts != NULL && x->m.assistant && x->down != NULL)
            k->cuts[k->n_cuts++] = (struct cut){x->m.n, k->n};
    }
    k->r->messages = k->m;
    k->r->n_messages = k->n;
    return !k->arena->failed;
}

static struct node *path_of(struct chat_tree *t, const struct chat_asked *asked)
{
    struct chat_message *to = chat_tree_find(t, asked->upto);
    return to != NULL ? tree_path(t, tree_node(to)) : NULL;
}

bool chat_tree_request(struct chat_tree *t, const struct chat_asked *asked, struct llm_request *r)
{
    struct node *root = path_of(t, asked);
    struct asking k = {.r = r, .arena = r->arena};
    bool has_summary;
    if (root == NULL)
        return false;
    struct node *first = after_summary(root, asked, &has_summary);
    k.summary = has_summary ? asked->summary : STRV("");
    return tell_all(&k, first, asked->system);
}

/* ---- what a summary should take ---- */

/* Tokens of the request without its messages from `head` to `from`. */
static int64_t tokens_without(const struct llm_request *r, size_t head, size_t from)
{
    struct llm_request system = *r, rest = *r, nothing = *r;
    system.n_messages = head;
    rest.messages += from;
    rest.n_messages -= from;
    nothing.n_messages = 0;
    return llm_request_estimate_tokens(&system) + llm_request_estimate_tokens(&rest) -
           llm_request_estimate_tokens(&nothing);
}

static uint32_t choose_cut(const struct asking *k, size_t head, int64_t tokens)
{
    size_t low = 0, high = k->n_cuts; /* the first that makes it fit */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (tokens_without(k->r, head, k->cuts[mid].from) < tokens)
            high = mid;
        else
            low = mid + 1;
    }
    return low < k->n_cuts ? k->cuts[low].n : 0;
}

uint32_t chat_tree_oldest(struct chat_tree *t, const struct chat_asked *asked, int64_t tokens)
{
    struct node *root = path_of(t, asked);
    struct arena arena;
    bool has_summary;
    uint32_t found = 0;
    if (root == NULL)
        return 0;
    arena_init(&arena, 16 * 1024, SCRATCH_MAX);
    struct llm_request r = {.arena = &arena};
    struct asking k = {.r = &r, .arena = &arena, .views = true};
    struct node *first = after_summary(root, asked, &has_summary);
    k.summary = has_summary ? asked->summary : STRV("");
    k.cuts = ARENA_ARRAY(&arena, struct cut, t->n);
    if (k.cuts != NULL && tell_all(&k, first, asked->system) &&
        llm_request_estimate_tokens(&r) >= tokens)
        found = choose_cut(&k, asked->system.len > 0 ? 1 : 0, tokens);
    arena_fini(&arena);
    return found;
}
