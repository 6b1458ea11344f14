/* SPDX-License-Identifier: Apache-2.0 */
/*
 * title - what a conversation is called: the beginning of its first question, then what a local model makes of it, if one is
 * configured for that; or what its user wants.
 */
#include <stdio.h>
#include <string.h>

#include "chat/chat_int.h"

bool session_set_title(struct session *s, strv title)
{
    char clean[TITLE_BYTES + 1];
    size_t n = 0, chars = 0;
    bool blank = false;
    title = strv_trim(title);
    for (size_t i = 0; i < title.len && chars < TITLE_CHARS; chars++) {
        int len = utf8_char(strv_from(title, i));
        if (len <= 0 || n + (size_t)len + 1 > TITLE_BYTES)
            break;
        unsigned char c = (unsigned char)title.ptr[i];
        if (c <= 0x20 || c == 0x7f) { /* one line */
            blank = true;
        } else {
            if (blank)
                clean[n++] = ' ';
            blank = false;
            memcpy(clean + n, title.ptr + i, (size_t)len);
            n += (size_t)len;
        }
        i += (size_t)len;
    }
    return words_set(&s->title, (strv){clean, n});
}

/* The beginning of the first question, cut at a word. */
void title_of_question(struct session *s, strv question)
{
    strv line = strv_trim(question), rest = line;
    size_t chars = 0, at = 0, word = 0;
    (void)strv_cut(&rest, '\n', &line);
    line = strv_trim(line);
    while (at < line.len && chars < TITLE_CHARS) {
        int len = utf8_char(strv_from(line, at));
        if (line.ptr[at] == ' ')
            word = at;
        at += len > 0 ? (size_t)len : 1;
        chars++;
    }
    if (at < line.len && word > 0)
        at = word;
    s->title_wanted = session_set_title(s, (strv){line.ptr, at});
}

static void on_title(void *arg, strv text, strv model)
{
    struct session *s = arg;
    strv rest = strv_trim(text), line;
    (void)model;
    if (rest.len == 0 || !strv_cut(&rest, '\n', &line))
        return;
    line = strv_trim(line);
    while (line.len > 1 && (line.ptr[0] == '"' || line.ptr[0] == '*' || line.ptr[0] == '#'))
        line = strv_trim(strv_from(line, 1));
    while (line.len > 1 && (line.ptr[line.len - 1] == '"' || line.ptr[line.len - 1] == '*' ||
                            line.ptr[line.len - 1] == '.'))
        line.len--;
    if (line.len == 0 || !session_set_title(s, line))
        return;
    s->title_wanted = false;
    session_save(s, NULL, 0);
    session_changed(s);
}

void title_ask(struct session *s, const struct asker *by, uint32_t n)
{
    const struct aside_order order = {
        .s = s,
        .by = by,
        .asked = {.upto = n},
        .order = STRV("Write a title for this conversation: at most six words, in its language, on "
                      "one line, without quotes. Answer with the title alone."),
        .tokens = 32,
        .done = on_title,
        .arg = s,
    };
    if (s->title_wanted && s->room->env.conf->titles != NULL)
        (void)aside_start(&order);
}
