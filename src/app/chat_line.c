/* SPDX-License-Identifier: Apache-2.0 */
#include "app/chat_line.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LINE_BYTES_MAX    ((size_t)1024 * 1024)
#define HISTORY_LINES     1000
#define HISTORY_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define CTRL_C            3
#define ALIVE_MS          ((uint64_t)3600 * 1000)

struct chat_line {
    struct io_loop *loop;
    EditLine *el;
    History *history;
    struct termios before;
    bool has_before;
    int file; /* of the history; -1 = none */
    const char *prompt;
    struct io_timer alive; /* a loop that has nothing to wait for does not wait */
    pthread_t watcher;
    sem_t look;    /* the watcher is to look at the terminal */
    int quit[2];   /* a pipe that ends its look */
    bool watching; /* it looks */
    bool reading, readable, cancelled, cleared;
};

/* ---- is there a key? ---- */

static void on_readable(void *arg)
{
    struct chat_line *l = arg;
    l->watching = false;
    l->readable = true;
    if (l->reading)
        io_loop_stop(l->loop);
}

static void *watch(void *arg)
{
    struct chat_line *l = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = l->quit[0], .events = POLLIN}};
        while (sem_wait(&l->look) != 0)
            continue;
        while (poll(fds, 2, -1) < 0 && errno == EINTR)
            continue;
        if (fds[1].revents != 0)
            return NULL;
        while (!io_post(l->loop, on_readable, l)) /* memory: there may be some in a while */
            (void)poll(NULL, 0, 100);
    }
}

static void on_alive(void *arg)
{
    struct chat_line *l = arg;
    io_timer_start(l->loop, &l->alive, ALIVE_MS, on_alive, l);
}

/* False: cancelled. */
static bool wait_for_key(struct chat_line *l)
{
    l->readable = false;
    if (!l->watching) {
        l->watching = true;
        sem_post(&l->look);
    }
    while (!l->readable && !l->cancelled)
        io_loop_run(l->loop);
    return !l->cancelled;
}

/* ---- what libedit asks for ---- */

/* The other bytes of a character come with its first: terminals write keys at once. */
static int read_rest(char *bytes, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (read(STDIN_FILENO, bytes + i, 1) != 1)
            return 0;
    return 1;
}

static int read_key(EditLine *el, wchar_t *out)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    struct chat_line *l;
    char c[4];
    el_get(el, EL_CLIENTDATA, &l);
    if (!wait_for_key(l) || read(STDIN_FILENO, c, 1) != 1)
        return 0;
    unsigned char first = (unsigned char)c[0];
    size_t n = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (n > 1 && read_rest(c, n) == 0)
        return 0;
    wchar_t v = first & lead[n];
    for (size_t i = 1; i < n; i++)
        v = v << 6 | (c[i] & 0x3f);
    if (v == CTRL_C) {
        l->cleared = true;
        v = L'\n';
    }
    *out = n > 1 && !utf8_valid((strv){c, n}) ? L'?' : v;
    return 1;
}

static char *prompt_of(EditLine *el)
{
    struct chat_line *l;
    el_get(el, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

/* ---- history ---- */

static int open_history(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        (void)fchmod(fd, 0600);
    return fd;
}

void chat_line_enter(struct chat_line *l, strv line)
{
    HistEvent event;
    char *text = line.len > 0 && line.len < LINE_BYTES_MAX ? mem_alloc(line.len + 1) : NULL;
    if (text == NULL)
        return;
    memcpy(text, line.ptr, line.len);
    text[line.len] = '\0';
    history(l->history, &event, H_ENTER, text);
    mem_free_secret(text, line.len + 1);
}

static void load_history(struct chat_line *l)
{
    struct buf text;
    struct stat st;
    buf_init(&text, HISTORY_BYTES_MAX);
    size_t size = l->file >= 0 && fstat(l->file, &st) == 0 ? (size_t)st.st_size : 0;
    off_t from = size > HISTORY_BYTES_MAX ? (off_t)(size - HISTORY_BYTES_MAX) : 0;
    char *to = size > 0 ? buf_reserve(&text, size - (size_t)from) : NULL;
    ssize_t n = to != NULL ? pread(l->file, to, size - (size_t)from, from) : 0;
    strv rest = {to, n > 0 ? (size_t)n : 0}, line;
    while (rest.len > 0 && strv_cut(&rest, '\n', &line))
        chat_line_enter(l, line);
    buf_fini(&text);
}

void chat_line_keep(struct chat_line *l, strv line)
{
    struct buf text;
    if (l->file < 0 || line.len == 0)
        return;
    buf_init(&text, line.len + 1);
    buf_put_strv(&text, line);
    if (buf_put_char(&text, '\n') && write(l->file, text.data, buf_len(&text)) < 0) {
        close(l->file); /* no room: no history */
        l->file = -1;
    }
    buf_fini(&text);
}

/* ---- the terminal ---- */

/* While a line is edited Ctrl-C is a key; libedit takes over what it finds. */
static void make_interrupt_a_key(struct chat_line *l)
{
    struct termios now = l->before;
    now.c_cc[VINTR] = _POSIX_VDISABLE;
    if (l->has_before)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
}

static void give_back(struct chat_line *l)
{
    if (l->has_before)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &l->before);
}

/* ---- its life ---- */

static void set_up(struct chat_line *l)
{
    HistEvent event;
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_GETCFN, read_key);
    el_set(l->el, EL_PROMPT, prompt_of);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_SIGNAL, 0);
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->el, EL_HIST, history, l->history);
    el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

static bool start_watcher(struct chat_line *l)
{
    if (sem_init(&l->look, 0, 0) != 0)
        return false;
    if (pipe2(l->quit, O_CLOEXEC) == 0) {
        if (pthread_create(&l->watcher, NULL, watch, l) == 0)
            return true;
        close(l->quit[0]);
        close(l->quit[1]);
    }
    sem_destroy(&l->look);
    return false;
}

struct chat_line *chat_line_open(struct io_loop *loop, const char *history, struct err *err)
{
    struct chat_line *l = mem_zalloc(sizeof *l);
    if (l == NULL) {
        err_oom(err);
        return NULL;
    }
    /* what goes over the wire is UTF-8, whatever the terminal is told to be */
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    l->loop = loop;
    l->has_before = tcgetattr(STDIN_FILENO, &l->before) == 0;
    l->file = history != NULL ? open_history(history) : -1;
    l->history = history_init();
    l->el = l->history != NULL
                ? el_init("llm-router", stdin, isatty(STDOUT_FILENO) ? stdout : stderr, stderr)
                : NULL;
    if (l->el == NULL || !start_watcher(l)) {
        err_set(err, 0, "the terminal cannot be used for typing: %s", strerror(errno));
        if (l->el != NULL)
            el_end(l->el);
        if (l->history != NULL)
            history_end(l->history);
        if (l->file >= 0)
            close(l->file);
        mem_free(l);
        return NULL;
    }
    set_up(l);
    load_history(l);
    on_alive(l);
    return l;
}

void chat_line_close(struct chat_line *l)
{
    if (l == NULL)
        return;
    (void)!write(l->quit[1], "", 1);
    sem_post(&l->look);
    pthread_join(l->watcher, NULL);
    close(l->quit[0]);
    close(l->quit[1]);
    sem_destroy(&l->look);
    io_timer_stop(l->loop, &l->alive);
    el_end(l->el);
    history_end(l->history);
    give_back(l);
    if (l->file >= 0)
        close(l->file);
    mem_free(l);
}

/* ---- a line ---- */

enum chat_typed chat_line_read(struct chat_line *l, const char *prompt, struct buf *out)
{
    int n = 0;
    buf_clear(out);
    l->prompt = prompt;
    l->cancelled = l->cleared = false;
    l->reading = true;
    make_interrupt_a_key(l);
    el_resize(l->el);
    const char *text = el_gets(l->el, &n);
    l->reading = false;
    give_back(l);
    if (l->cancelled)
        return CHAT_CANCELLED;
    if (text == NULL || n <= 0)
        return CHAT_END;
    strv line = {text, (size_t)n};
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    buf_put_strv(out, line);
    return l->cleared ? CHAT_CLEARED : CHAT_LINE;
}

void chat_line_cancel(struct chat_line *l)
{
    l->cancelled = true;
    if (l->reading)
        io_loop_stop(l->loop);
}

bool chat_line_busy(const struct chat_line *l)
{
    return l->reading;
}

void chat_line_hide(struct chat_line *l)
{
    (void)l;
    fputs("\r\033[K", stdout);
    fflush(stdout);
}

void chat_line_show(struct chat_line *l)
{
    el_set(l->el, EL_REFRESH);
}
