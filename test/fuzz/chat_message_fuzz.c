/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_message - a conversation as its file keeps it, changed by anybody: a message a line.
 *
 * A line is taken or refused; one that is refused leaves nothing behind. What was taken is written and read again: all of
 * it is taken, and gives the same bytes. Requests, lists and exports can be made of it, within its own size and a little.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chat/tree.h"

#define TREE_MAX ((size_t)1 << 20)
#define TEXT_MAX ((size_t)1 << 26)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* Numbers may have gaps: they are told by the lines that were taken. */
static bool read_line(struct chat_tree *t, strv line, uint32_t *n)
{
    struct err err = ERR_INIT;
    uint32_t before = chat_tree_count(t);
    struct chat_message *leaf = chat_tree_leaf(t);
    bool ok = chat_tree_read(t, line, &err);
    check(ok || err.set);
    check(chat_tree_count(t) == before + (ok ? 1 : 0));
    check(ok || chat_tree_leaf(t) == leaf);
    *n = ok ? chat_tree_leaf(t)->n : 0;
    return ok;
}

static void again_the_same(struct chat_tree *t, struct chat_tree *again, uint32_t n)
{
    struct buf first, second;
    uint32_t same;
    buf_init(&first, TEXT_MAX);
    buf_init(&second, TEXT_MAX);
    check(chat_message_json(t, chat_tree_find(t, n), true, &first));
    check(read_line(again, buf_view(&first), &same) && same == n);
    /* siblings that come later are not known yet */
    check(chat_message_json(again, chat_tree_find(again, n), true, &second));
    check(strv_eq(buf_view(&first), buf_view(&second)));
    buf_fini(&first);
    buf_fini(&second);
}

static void use(struct chat_tree *t, uint32_t upto)
{
    struct arena arena;
    struct buf out;
    struct chat_asked asked = {
        .system = STRV("s"), .summary = STRV("x"), .summary_to = 2, .upto = upto};
    arena_init(&arena, 4096, TEXT_MAX);
    struct llm_request r = {.arena = &arena};
    check(chat_tree_request(t, &asked, &r) && llm_request_mend(&r));
    for (size_t i = 0; i < r.n_messages; i++)
        check(r.messages[i].n_parts > 0);
    check(chat_tree_oldest(t, &asked, 50) < upto);
    buf_init(&out, TEXT_MAX);
    check(chat_tree_json(t, true, &out) && chat_tree_json(t, false, &out));
    check(chat_tree_select(t, upto) && chat_tree_markdown(t, STRV("t"), &out));
    check(utf8_valid(buf_view(&out)));
    buf_fini(&out);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_tree *t = chat_tree_new(TREE_MAX), *again = chat_tree_new(4 * TREE_MAX);
    strv rest = {(const char *)data, size}, line;
    uint32_t n, last = 0;
    check(t != NULL && again != NULL);
    while (size > 0 && strv_cut(&rest, '\n', &line)) {
        char *own = malloc(line.len > 0 ? line.len : 1); /* of its very size */
        check(own != NULL);
        if (line.len > 0)
            memcpy(own, line.ptr, line.len);
        if (read_line(t, (strv){own, line.len}, &n)) {
            again_the_same(t, again, n);
            last = n;
        }
        free(own);
    }
    if (last > 0)
        use(t, last);
    chat_tree_free(t);
    chat_tree_free(again);
    return 0;
}
