/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_chat - a conversation with the running router, by its WebSocket (docs/chat.md).
 *
 *   terminal       prompt > question > answer as it comes > prompt ...      Ctrl-C stops the answer, twice leaves
 *   anything else  standard input is one question, as for `ask`
 *
 * Everything happens on one loop: it runs while a line is typed, and while an answer comes.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/chat_talk.h"

#define FRAME_MAX   ((size_t)64 * 1024 * 1024)
#define PATIENCE_MS 3000

/* ---- what is shown ---- */

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void print(struct talk *t, struct buf *from, size_t len, FILE *to)
{
    strv text = {buf_view(from).ptr, len};
    if (len == 0)
        return;
    if (fwrite(text.ptr, 1, text.len, to) != text.len || fflush(to) != 0)
        talk_end(t, EXIT_FAILED);
    buf_eat(from, len);
}

/* Above a line that is being typed go whole lines only. */
static void show(struct talk *t)
{
    strv text = buf_view(&t->view.answer);
    bool typing = t->line != NULL && chat_line_busy(t->line);
    size_t len = text.len;
    while (typing && len > 0 && text.ptr[len - 1] != '\n')
        len--;
    if (t->view.answer.failed || t->view.note.failed) {
        term_error("out of memory");
        talk_end(t, EXIT_FAILED);
    } else if (len > 0 || buf_len(&t->view.note) > 0) {
        if (typing)
            chat_line_hide(t->line);
        print(t, &t->view.answer, len, stdout);
        print(t, &t->view.note, buf_len(&t->view.note), stderr);
        if (typing)
            chat_line_show(t->line);
    }
}

void talk_say(const char *format, ...)
{
    char text[1024];
    struct buf b;
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    buf_init(&b, sizeof text);
    term_clean(&b, strv_of(text), true);
    fprintf(stderr, STRV_FMT "\n", STRV_ARG(buf_view(&b)));
    buf_fini(&b);
}

void talk_end(struct talk *t, int result)
{
    if (!t->over)
        t->result = result;
    t->over = true;
    if (t->line != NULL)
        chat_line_cancel(t->line);
    if (t->waits)
        io_loop_stop(t->remote.loop);
}

/* ---- what comes ---- */

static void turn_ended(struct talk *t, enum chat_news news)
{
    strv question = buf_view(&t->question);
    t->turn_over = true;
    t->news = news;
    /* what was private, or may have been, is written nowhere */
    if (news == CHAT_NEWS_WHOLE && !t->view.was_private && !t->view.is_private && t->line != NULL)
        chat_line_keep(t->line, question);
    buf_clear(&t->question);
}

static void on_frame(void *arg, yyjson_val *frame, struct arena *scratch)
{
    struct talk *t = arg;
    enum chat_news news = chat_view_take(&t->view, frame, scratch);
    show(t);
    t->replied = true;
    if (news == CHAT_NEWS_CONNECTED &&
        !chat_wire_send(&t->wire, STRV("{\"type\":\"get_history\"}")))
        talk_say("The history cannot be asked for.");
    if (news == CHAT_NEWS_DECIDED && t->line != NULL && t->waits)
        chat_line_cancel(t->line);
    if (news == CHAT_NEWS_WHOLE || news == CHAT_NEWS_STOPPED || news == CHAT_NEWS_FAILED)
        turn_ended(t, news);
    if (t->waits)
        io_loop_stop(t->remote.loop);
}

static void on_lost(void *arg)
{
    (void)arg;
    talk_say("The connection was lost; trying again.");
}

static void on_closed(void *arg, int status, unsigned code, enum io_end why)
{
    struct talk *t = arg;
    if (code == 4001 || status == 401) {
        term_error("not logged in: the key is taken from $LLM_ROUTER_KEY; make one with "
                   "`llm-router keys add NAME`");
        talk_end(t, EXIT_REFUSED);
    } else if (code == 4003) {
        term_error("this conversation is another user's, or chat is not allowed with this key");
        talk_end(t, EXIT_REFUSED);
    } else if (status > 0) {
        remote_refused(&t->remote, status, STRV(""), "");
        talk_end(t, EXIT_REFUSED);
    } else if (code > 0) {
        term_error("the router has ended the conversation's connection (code %u)", code);
        talk_end(t, EXIT_FAILED);
    } else {
        remote_unreachable(&t->remote, why);
        talk_end(t, EXIT_UNREACHABLE);
    }
}

static void on_patience(void *arg)
{
    struct talk *t = arg;
    t->late = true;
    if (t->waits)
        io_loop_stop(t->remote.loop);
}

static void on_signal(void *arg, int signum)
{
    struct talk *t = arg;
    bool first = signum == SIGINT && t->waits && t->interrupts++ == 0;
    if (!first || !chat_wire_send(&t->wire, STRV("{\"type\":\"interrupt\"}")))
        talk_end(t, 128 + signum);
}

static void run_loop(struct talk *t)
{
    t->waits = true;
    io_loop_run(t->remote.loop);
    t->waits = false;
}

/* ---- a session ---- */

void talk_open(struct talk *t, const char *session)
{
    const char *const *flags = t->cli->flags;
    const char *mode = flags[FLAG_MODE] != NULL ? flags[FLAG_MODE] : "";
    const char *model = flags[FLAG_MODEL] != NULL ? flags[FLAG_MODEL] : "";
    bool terminal = isatty(STDOUT_FILENO) == 1;
    chat_wire_close(&t->wire);
    chat_view_fini(&t->view);
    chat_view_init(&t->view, t->cli->color, terminal, terminal ? terminal_width() : 0);
    snprintf(t->session, sizeof t->session, "%s", session);
    t->wire = (struct chat_wire){
        .remote = &t->remote, .frame = on_frame, .lost = on_lost, .closed = on_closed, .arg = t};
    if (!chat_wire_open(&t->wire, session, mode, model)) {
        term_error("--model is too long, or there is no memory");
        talk_end(t, EXIT_USAGE);
    }
    while (!t->over && t->view.session[0] == '\0')
        run_loop(t);
    if (t->over || flags[FLAG_SYSTEM] == NULL)
        return;
    struct buf frame;
    bool first = false;
    buf_init(&frame, FRAME_MAX);
    buf_put_cstr(&frame, "{\"type\":\"set\"");
    term_json_text(&frame, &first, "system", strv_of(flags[FLAG_SYSTEM]));
    buf_put_char(&frame, '}');
    talk_set(t, &frame);
    buf_fini(&frame);
}

bool talk_send(struct talk *t, struct buf *frame)
{
    while (!t->over && t->wire.ws == NULL && !frame->failed)
        run_loop(t); /* it comes back, or says that it does not */
    if (t->over)
        return false;
    if (frame->failed)
        term_error("out of memory");
    else if (chat_wire_send(&t->wire, buf_view(frame)))
        return true;
    else
        term_error("that could not be sent: it is too long");
    return false;
}

void talk_set(struct talk *t, struct buf *frame)
{
    t->replied = t->late = false;
    if (!talk_send(t, frame))
        return;
    io_timer_start(t->remote.loop, &t->patience, PATIENCE_MS, on_patience, t);
    while (!t->over && !t->replied && !t->late)
        run_loop(t);
    io_timer_stop(t->remote.loop, &t->patience);
}

/* ---- a turn ---- */

static void send_decision(struct talk *t, const char *decision, bool remember)
{
    struct buf frame;
    bool first = false;
    buf_init(&frame, 1024);
    buf_put_cstr(&frame, "{\"type\":\"approve\"");
    term_json_text(&frame, &first, "id", strv_of(t->view.approval));
    term_json_text(&frame, &first, "decision", strv_of(decision));
    if (remember)
        term_json_bool(&frame, &first, "remember", true);
    buf_put_char(&frame, '}');
    t->view.approval[0] = '\0';
    (void)talk_send(t, &frame);
    buf_fini(&frame);
}

static void ask_person(struct talk *t)
{
    t->waits = true; /* so that a decision from elsewhere takes the question back */
    enum chat_typed how = chat_line_read(t->line, "Allow it? [y]es, [n]o, [a]lways: ", &t->typed);
    t->waits = false;
    strv answer = strv_trim(buf_view(&t->typed));
    char c = answer.len > 0 ? (char)(answer.ptr[0] | 0x20) : 0;
    if (how == CHAT_CANCELLED) {
        fputs("\r\033[K", stderr);
    } else if (how != CHAT_LINE) {
        send_decision(t, "deny", false);
        chat_wire_send(&t->wire, STRV("{\"type\":\"interrupt\"}"));
    } else if (c == 'y' || c == 'a') {
        send_decision(t, "approve", c == 'a');
    } else if (c == 'n') {
        send_decision(t, "deny", false);
    }
}

void talk_turn(struct talk *t, struct buf *frame)
{
    t->turn_over = false;
    t->interrupts = 0;
    t->view.waits = true;
    chat_view_width(&t->view, isatty(STDOUT_FILENO) ? terminal_width() : 0);
    if (!talk_send(t, frame))
        return;
    while (!t->over && !t->turn_over)
        if (t->view.approval[0] != '\0' && t->line != NULL)
            ask_person(t);
        else
            run_loop(t);
    t->interrupts = 0;
}

static void ask(struct talk *t, strv question)
{
    struct buf frame;
    bool first = false;
    buf_init(&frame, FRAME_MAX);
    buf_put_cstr(&frame, "{\"type\":\"user_message\"");
    term_json_text(&frame, &first, "content", question);
    buf_put_char(&frame, '}');
    buf_clear(&t->question);
    buf_put_strv(&t->question, question);
    talk_turn(t, &frame);
    buf_fini(&frame);
}

/* ---- a person at a terminal ---- */

/* A backslash at its end goes on with the next line. */
static enum chat_typed read_question(struct talk *t, struct buf *out)
{
    char prompt[64];
    enum chat_typed how;
    buf_clear(out);
    snprintf(prompt, sizeof prompt, "%s%s> ", t->view.is_private ? "private, " : "", t->view.mode);
    do {
        strv so_far = buf_view(out);
        if (so_far.len > 0) {
            buf_rewind(out, so_far.len - 1);
            buf_put_char(out, '\n');
        }
        how = chat_line_read(t->line, so_far.len > 0 ? "... " : prompt, &t->typed);
        buf_put_strv(out, buf_view(&t->typed));
    } while (how == CHAT_LINE && buf_len(out) > 0 && buf_view(out).ptr[buf_len(out) - 1] == '\\');
    return how;
}

static void take_line(struct talk *t, strv line)
{
    t->interrupts = 0;
    if (strv_trim(line).len == 0)
        return;
    if (memchr(line.ptr, '\n', line.len) == NULL)
        chat_line_enter(t->line, line);
    if (line.ptr[0] == '/')
        talk_slash(t, strv_trim(line));
    else if (!utf8_valid(line))
        term_error("that is not valid UTF-8 text");
    else
        ask(t, line);
}

static void converse(struct talk *t)
{
    struct buf line;
    buf_init(&line, COMMAND_QUESTION_MAX);
    talk_say("Conversation %s. /help tells what can be typed; Ctrl-D leaves.", t->session);
    while (!t->over) {
        enum chat_typed how = read_question(t, &line);
        if (how == CHAT_END)
            talk_end(t, EXIT_OK);
        else if (how == CHAT_CLEARED && buf_len(&line) == 0 && ++t->interrupts == 2)
            talk_end(t, EXIT_OK);
        else if (how == CHAT_LINE && line.failed)
            term_error("out of memory, or that is too long");
        else if (how == CHAT_LINE)
            take_line(t, buf_view(&line));
        show(t);
    }
    buf_fini(&line);
}

/* ---- one question ---- */

static void ask_once(struct talk *t, strv question)
{
    ask(t, question);
    if (t->turn_over && !t->over)
        talk_end(t, t->news == CHAT_NEWS_WHOLE     ? EXIT_OK
                    : t->news == CHAT_NEWS_STOPPED ? EXIT_INTERRUPTED
                                                   : EXIT_FAILED);
}

/* ---- */

/* The file's folder is made if it is not there; false: no history then. */
static bool history_path(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[400];
    int n = 0;
    if (state != NULL && state[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/llm-router", state);
    else if (home != NULL && home[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/.local/state/llm-router", home);
    if (n <= 0 || n >= (int)sizeof folder)
        return false;
    for (char *c = folder + 1; *c != '\0'; c++)
        if (*c == '/') {
            *c = '\0';
            (void)mkdir(folder, 0700);
            *c = '/';
        }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return false;
    return snprintf(out, size, "%s/chat-history", folder) < (int)size;
}

static int open_terminal(struct talk *t)
{
    char path[512];
    struct err err = ERR_INIT;
    bool keeps = t->cli->flags[FLAG_NO_HISTORY] == NULL && history_path(path, sizeof path);
    t->line = chat_line_open(t->remote.loop, keeps ? path : NULL, &err);
    if (t->line == NULL)
        term_error("%s", err.text);
    return t->line != NULL ? EXIT_OK : EXIT_FAILED;
}

static int choose_session(struct talk *t, char out[65])
{
    struct rng rng;
    const char *given = t->cli->flags[FLAG_SESSION];
    size_t n = given != NULL ? strlen(given) : 0;
    if (given != NULL && (n < 8 || n > 64 || strspn(given, SESSION_CHARACTERS) != n)) {
        term_error("--session takes 8 to 64 letters, digits and hyphens");
        return EXIT_USAGE;
    }
    if (given == NULL && !rng_seed_system(&rng)) {
        term_error("the system gives no random numbers");
        return EXIT_FAILED;
    }
    if (given != NULL)
        memcpy(out, given, n + 1);
    else
        rng_uuid(&rng, out);
    return EXIT_OK;
}

static int run(struct talk *t, struct buf *question)
{
    struct err err = ERR_INIT;
    char session[65];
    bool typed = t->cli->n_words == 0 && isatty(STDIN_FILENO) == 1;
    int status = choose_session(t, session);
    if (status == EXIT_OK && !typed)
        status = command_question(t->cli, question);
    if (status == EXIT_OK && typed)
        status = open_terminal(t);
    if (status != EXIT_OK)
        return status;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of fwrite() */
    if (!io_on_signal(t->remote.loop, SIGINT, on_signal, t, &err) ||
        !io_on_signal(t->remote.loop, SIGTERM, on_signal, t, &err)) {
        term_error("%s", err.text);
        return EXIT_FAILED;
    }
    talk_open(t, session);
    if (!t->over && typed)
        converse(t);
    else if (!t->over)
        ask_once(t, buf_view(question));
    return t->result;
}

int command_chat(struct cli *cli)
{
    struct talk t = {.cli = cli};
    struct buf question;
    buf_init(&question, COMMAND_QUESTION_MAX);
    buf_init(&t.typed, COMMAND_QUESTION_MAX);
    buf_init(&t.question, COMMAND_QUESTION_MAX);
    chat_view_init(&t.view, false, false, 0);
    int status = remote_open(&t.remote, cli);
    if (status == EXIT_OK)
        status = run(&t, &question);
    chat_line_close(t.line);
    chat_wire_close(&t.wire);
    chat_view_fini(&t.view);
    buf_fini(&t.typed);
    buf_fini(&t.question);
    buf_fini(&question);
    remote_close(&t.remote);
    return status;
}
