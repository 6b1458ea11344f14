/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_markdown - a conversation as a text to keep: who said what and when, tools, where each answer came from.
 *
 * What was said stands as it was said, for it is Markdown mostly. What stands around it (title, names) is one line, with
 * the marks that would change its look taken out.
 */
#include <stdio.h>

#include "chat/tree.h"
#include "chat/tree_int.h"

/* One line of plain text. */
static void put_plain(struct buf *out, strv text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > 0x20 && c < 0x7f && strchr("\\`*_[]<>#|", c) != NULL)
            buf_put_char(out, '\\');
        buf_put_char(out, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
}

/* "2026-11-23 10:00" */
static void put_time(struct buf *out, int64_t at_us)
{
    char at[TIMEFMT_MAX];
    timefmt_rfc3339(at, at_us, 0);
    buf_put(out, at, 10);
    buf_put_char(out, ' ');
    buf_put(out, at + 11, 5);
    buf_put_cstr(out, " UTC");
}

/* A block of code, whatever stands in the text: its fence is longer than any in it. */
static void put_block(struct buf *out, strv text)
{
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < text.len; i++) {
        run = text.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    for (size_t i = 0; i <= longest; i++)
        buf_put_char(out, '`');
    buf_put_char(out, '\n');
    buf_put_strv(out, text);
    buf_put_char(out, '\n');
    for (size_t i = 0; i <= longest; i++)
        buf_put_char(out, '`');
    buf_put_cstr(out, "\n\n");
}

static void put_call(struct buf *out, const struct chat_call *c)
{
    buf_put_cstr(out, "Tool **");
    put_plain(out, c->name);
    buf_put_cstr(out, "**");
    if (c->server.len > 0) {
        buf_put_cstr(out, " of ");
        put_plain(out, c->server);
    }
    buf_put_cstr(out, "\n\n");
    put_block(out, c->input);
    if (c->result.ptr == NULL) {
        buf_put_cstr(out, "No result came.\n\n");
        return;
    }
    buf_put_cstr(out, c->is_error ? "It failed:\n\n" : "Result:\n\n");
    if (c->quality.len > 0) {
        buf_put_cstr(out, "(its quality is doubtful: ");
        put_plain(out, c->quality);
        buf_put_cstr(out, ")\n\n");
    }
    put_block(out, c->result);
}

static void put_files(struct buf *out, const struct chat_message *m)
{
    for (size_t i = 0; i < m->n_files; i++) {
        buf_put_cstr(out, "Attached: ");
        put_plain(out, m->files[i].name);
        buf_put_cstr(out, " (");
        put_plain(out, m->files[i].type);
        buf_printf(out, ", %zu bytes)\n\n", tree_file_bytes(&m->files[i]));
    }
}

static void put_fact(struct buf *out, bool *first, strv text)
{
    if (text.len == 0)
        return;
    buf_put_cstr(out, *first ? "*" : ", ");
    *first = false;
    put_plain(out, text);
}

/* "*llama3.2, ollama, local, private, private stays home, $0.002100*" */
static void put_facts(struct buf *out, const struct chat_facts *f)
{
    bool first = true;
    char cost[48];
    put_fact(out, &first, f->model);
    put_fact(out, &first, f->provider);
    put_fact(out, &first, f->zone);
    put_fact(out, &first, f->is_private ? STRV("private") : STRV_NONE);
    put_fact(out, &first, f->why);
    if (f->cost_micro > 0) {
        snprintf(cost, sizeof cost, "$%lld.%06lld", (long long)(f->cost_micro / 1000000),
                 (long long)(f->cost_micro % 1000000));
        put_fact(out, &first, strv_of(cost));
    }
    buf_put_cstr(out, first ? "" : "*\n\n");
}

static void put_message(struct buf *out, const struct chat_message *m)
{
    buf_put_cstr(out, m->assistant ? "## Assistant, " : "## User, ");
    put_time(out, m->at_us);
    buf_put_cstr(out, "\n\n");
    put_files(out, m);
    for (size_t i = 0; i < m->n_calls; i++)
        put_call(out, &m->calls[i]);
    if (buf_len(&m->text) > 0) {
        buf_put_strv(out, buf_view(&m->text));
        buf_put_cstr(out, "\n\n");
    }
    if (m->state == CHAT_INTERRUPTED || m->state == CHAT_RUNNING)
        buf_put_cstr(out, "*The answer was interrupted.*\n\n");
    if (m->state == CHAT_FAILED) {
        buf_put_cstr(out, "*The answer failed: ");
        put_plain(out, m->facts.error);
        buf_put_cstr(out, "*\n\n");
    }
    if (m->assistant)
        put_facts(out, &m->facts);
}

bool chat_tree_markdown(struct chat_tree *t, strv title, struct buf *out)
{
    buf_put_cstr(out, "# ");
    put_plain(out, title.len > 0 ? title : STRV("Conversation"));
    buf_put_cstr(out, "\n\n");
    for (struct node *x = tree_path(t, t->leaf); x != NULL; x = x->down)
        put_message(out, &x->m);
    return !out->failed;
}
