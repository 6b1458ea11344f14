/* SPDX-License-Identifier: Apache-2.0 */
/* chat_slash - what can be typed in `chat` besides questions: one row each. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/chat_talk.h"

#define FRAME_MAX ((size_t)1024 * 1024)
#define REPLY_MAX ((size_t)256 * 1024 * 1024)

static void frame_begin(struct buf *b, const char *type)
{
    buf_init(b, FRAME_MAX);
    buf_put_cstr(b, "{\"type\":");
    json_put_str(b, strv_of(type));
}

static void set_text(struct talk *t, const char *key, strv value)
{
    struct buf frame;
    bool first = false;
    frame_begin(&frame, "set");
    term_json_text(&frame, &first, key, value);
    buf_put_char(&frame, '}');
    talk_set(t, &frame);
    buf_fini(&frame);
}

static void tell_settings(struct talk *t)
{
    talk_say("mode %s, model %s, tools %s%s%s", t->view.mode,
             t->view.model[0] != '\0' ? t->view.model : "auto", t->view.tools ? "on" : "off",
             t->view.is_private ? ", private" : "", t->view.kept ? "" : ", not kept");
}

/* ---- the rows ---- */

static void do_mode(struct talk *t, strv rest)
{
    if (rest.len > 0)
        set_text(t, "mode", rest);
    tell_settings(t);
}

static void do_model(struct talk *t, strv rest)
{
    if (rest.len > 0)
        set_text(t, "model", rest);
    tell_settings(t);
}

static void do_system(struct talk *t, strv rest)
{
    set_text(t, "system", rest);
}

static void do_title(struct talk *t, strv rest)
{
    if (rest.len > 0)
        set_text(t, "title", rest);
    talk_say("%s", t->view.title[0] != '\0' ? t->view.title : "(no title yet)");
}

static void do_tools(struct talk *t, strv rest)
{
    struct buf frame;
    bool first = false;
    if (strv_eq_cstr(rest, "on") || strv_eq_cstr(rest, "off")) {
        frame_begin(&frame, "set");
        term_json_bool(&frame, &first, "tools", strv_eq_cstr(rest, "on"));
        buf_put_char(&frame, '}');
        talk_set(t, &frame);
        buf_fini(&frame);
    } else if (rest.len > 0) {
        talk_say("/tools on, or /tools off");
    }
    tell_settings(t);
}

/* While an answer runs that somebody else has asked for. */
static void do_approve(struct talk *t, strv rest)
{
    struct buf frame;
    bool first = false, deny = strv_eq_cstr(rest, "no");
    if (t->view.approval[0] == '\0') {
        talk_say("Nothing waits for approval here.");
        return;
    }
    frame_begin(&frame, "approve");
    term_json_text(&frame, &first, "id", strv_of(t->view.approval));
    term_json_text(&frame, &first, "decision", deny ? STRV("deny") : STRV("approve"));
    buf_put_char(&frame, '}');
    talk_set(t, &frame);
    buf_fini(&frame);
}

static void do_new(struct talk *t, strv rest)
{
    struct rng rng;
    char session[65];
    (void)rest;
    if (!rng_seed_system(&rng))
        return;
    rng_uuid(&rng, session);
    talk_open(t, session);
    if (!t->over)
        talk_say("Conversation %s.", t->session);
}

static void do_retry(struct talk *t, strv rest)
{
    struct buf frame;
    (void)rest;
    if (t->view.answered == 0) {
        talk_say("There is no answer yet.");
        return;
    }
    frame_begin(&frame, "retry");
    buf_printf(&frame, ",\"message\":%u}", (unsigned)t->view.answered);
    talk_turn(t, &frame);
    buf_fini(&frame);
}

static void do_edit(struct talk *t, strv rest)
{
    struct buf frame;
    bool first = false;
    if (t->view.asked == 0 || rest.len == 0) {
        talk_say("/edit TEXT asks TEXT in place of the last question.");
        return;
    }
    frame_begin(&frame, "edit");
    buf_printf(&frame, ",\"message\":%u", (unsigned)t->view.asked);
    term_json_text(&frame, &first, "content", rest);
    buf_put_char(&frame, '}');
    talk_turn(t, &frame);
    buf_fini(&frame);
}

static void do_quit(struct talk *t, strv rest)
{
    (void)rest;
    talk_end(t, EXIT_OK);
}

/* ---- what is kept ---- */

static void put_query(struct buf *b, strv words)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < words.len; i++) {
        unsigned char c = (unsigned char)words.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            buf_put_char(b, (char)c);
        else
            buf_put(b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static void list_sessions(struct talk *t, yyjson_val *list)
{
    struct term_table table;
    struct buf out;
    size_t i, n;
    yyjson_val *one;
    term_table_init(&table, 4);
    t->n_listed = 0;
    yyjson_arr_foreach(list, i, n, one)
    {
        strv id = utf8_cut(json_get_str(one, "session_id"), 64), title = json_get_str(one, "title");
        strv last = utf8_cut(json_get_str(one, "last_activity"), 16);
        if (t->n_listed == TALK_LISTED_MAX || id.len == 0)
            break;
        snprintf(t->listed[t->n_listed++], 65, STRV_FMT, STRV_ARG(id));
        term_table_cell(&table, TERM_PLAIN, "%zu", t->n_listed);
        term_table_cell(&table, TERM_DIM, STRV_FMT, STRV_ARG(last));
        term_table_cell(&table, TERM_DIM, "%s",
                        yyjson_is_true(json_get(one, "private")) ? "private" : "");
        term_table_cell(&table, TERM_PLAIN, STRV_FMT, STRV_ARG(utf8_cut(title, 200)));
    }
    buf_init(&out, FRAME_MAX);
    term_table_put(&table, &out, 0, t->cli->color);
    if (t->n_listed == 0)
        buf_put_cstr(&out, "There are none.\n");
    (void)term_write(&out);
}

static void do_sessions(struct talk *t, strv rest)
{
    struct buf path, reply;
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    buf_init(&path, 4096);
    buf_init(&reply, REPLY_MAX);
    arena_init(&arena, 16 * 1024, REPLY_MAX);
    buf_printf(&path, "/chat/sessions?limit=%d&q=", TALK_LISTED_MAX);
    put_query(&path, rest);
    buf_put_char(&path, '\0');
    if (path.failed)
        talk_say("That is too long to search for.");
    else if (remote_ask(&t->remote, HTTP_GET, path.data, STRV_NONE, &reply) == EXIT_OK) {
        if (json_read(&doc, buf_view(&reply), &arena, 0, &err))
            list_sessions(t, json_get(doc.root, "sessions"));
        else
            talk_say("The router's list cannot be read.");
    }
    arena_fini(&arena);
    buf_fini(&path);
    buf_fini(&reply);
}

static void do_open(struct talk *t, strv rest)
{
    uint64_t n;
    char session[65];
    if (strv_u64(rest, 1, t->n_listed, &n)) {
        memcpy(session, t->listed[n - 1], sizeof session);
    } else if (rest.len >= 8 && rest.len <= 64) {
        snprintf(session, sizeof session, STRV_FMT, STRV_ARG(rest));
    } else {
        talk_say("/open NUMBER of the last /sessions, or /open ID");
        return;
    }
    if (strspn(session, SESSION_CHARACTERS) != strlen(session)) {
        talk_say("An id has letters, digits and hyphens.");
        return;
    }
    talk_open(t, session);
    if (!t->over)
        talk_say("Conversation %s: %s", t->session,
                 t->view.title[0] != '\0' ? t->view.title : "(no title)");
}

/* A file that is there stays. */
static void save(const char *path, strv text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t done = 0;
    while (fd >= 0 && done < text.len) {
        ssize_t n = write(fd, text.ptr + done, text.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (fd < 0 || done < text.len)
        talk_say("%s: %s", path, strerror(errno));
    else
        talk_say("written to %s", path);
    if (fd >= 0)
        close(fd);
}

static void do_export(struct talk *t, strv rest)
{
    char path[200], file[1024];
    struct buf reply, clean;
    bool json = strv_ends(rest, STRV(".json"));
    snprintf(path, sizeof path, "/chat/sessions/%s/export?format=%s", t->session,
             json ? "json" : "markdown");
    snprintf(file, sizeof file, STRV_FMT, STRV_ARG(rest));
    buf_init(&reply, REPLY_MAX);
    buf_init(&clean, REPLY_MAX);
    if (remote_ask(&t->remote, HTTP_GET, path, STRV_NONE, &reply) == EXIT_OK) {
        if (rest.len > 0) {
            save(file, buf_view(&reply));
        } else {
            term_clean(&clean, buf_view(&reply), true);
            (void)term_write(&clean);
        }
    }
    buf_fini(&clean);
    buf_fini(&reply);
}

/* ---- */

static void do_help(struct talk *t, strv rest);

static const struct {
    const char *name, *argument, *doc;
    void (*run)(struct talk *t, strv rest);
} rows[] = {
    {"mode", "local|hybrid|cloud", "how far questions may go from now on", do_mode},
    {"model", "NAME", "who answers from now on; auto = the router chooses", do_model},
    {"tools", "on|off", "whether tools may be called", do_tools},
    {"system", "TEXT", "the system prompt from now on", do_system},
    {"approve", "[no]", "decide about the call that waits", do_approve},
    {"new", "", "begin another conversation", do_new},
    {"sessions", "[WORDS]", "conversations that are kept, those with WORDS in them", do_sessions},
    {"open", "NUMBER|ID", "go on with one of them", do_open},
    {"title", "[TEXT]", "show or change this conversation's title", do_title},
    {"export", "[FILE]", "print it as Markdown, or write it to FILE (.json: as JSON)", do_export},
    {"retry", "", "have the last answer made again", do_retry},
    {"edit", "TEXT", "ask TEXT in place of the last question", do_edit},
    {"help", "", "this list", do_help},
    {"quit", "", "leave; Ctrl-D does, too", do_quit},
};

static void do_help(struct talk *t, strv rest)
{
    struct term_table table;
    struct buf out;
    (void)rest;
    term_table_init(&table, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        term_table_cell(&table, TERM_BOLD, "/%s %s", rows[i].name, rows[i].argument);
        term_table_cell(&table, TERM_PLAIN, "%s", rows[i].doc);
    }
    buf_init(&out, FRAME_MAX);
    term_table_put(&table, &out, 0, t->cli->color);
    buf_put_cstr(&out, "A backslash at the end of a line goes on with the next. Ctrl-C stops an "
                       "answer; at an empty prompt, twice, it leaves.\n");
    (void)term_write(&out);
}

void talk_slash(struct talk *t, strv line)
{
    strv rest = strv_from(line, 1), word;
    if (!strv_cut(&rest, ' ', &word))
        return;
    rest = rest.ptr != NULL ? strv_trim(rest) : STRV("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_cstr(word, rows[i].name)) {
            rows[i].run(t, rest);
            return;
        }
    talk_say("There is no /" STRV_FMT "; /help lists what there is.", STRV_ARG(word));
}
