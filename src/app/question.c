/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question - what ask and explain are about, from the words and standard input.
 *
 *   ask "why?"          the word                 ask < file         standard input
 *   ask "why?" - < f    both, the word first     ask -              standard input
 *
 * Standard input is never read unasked: a script's loop would lose it to the first question.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/term.h"

/* Appends all of it. errno, or 0. */
static int read_all(int fd, struct buf *out)
{
    for (;;) {
        char *at = buf_reserve(out, 4096);
        if (at == NULL)
            return buf_len(out) + 4096 > out->max ? EFBIG : ENOMEM;
        ssize_t n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        buf_added(out, (size_t)n);
    }
}

/* Appends standard input without the line ends at its end. errno, or 0. */
static int read_input(struct buf *out)
{
    size_t before = buf_len(out);
    if (isatty(STDIN_FILENO))
        fputs("Type the question; Ctrl-D on a line of its own ends it.\n", stderr);
    int why = read_all(STDIN_FILENO, out);
    if (why != 0)
        return why;
    strv text = buf_view(out);
    while (text.len > before && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    buf_rewind(out, text.len);
    return 0;
}

static bool put_words(struct cli *cli, struct buf *out, bool *input)
{
    bool given = false;
    *input = cli->n_words == 0;
    for (size_t i = 0; i < cli->n_words; i++) {
        if (strcmp(cli->words[i], "-") == 0) {
            *input = true;
        } else if (given) {
            term_error("more than one question: put it in quotes");
            return false;
        } else {
            given = true;
            buf_put_cstr(out, cli->words[i]);
        }
    }
    if (given && *input)
        buf_put_cstr(out, "\n\n");
    return true;
}

int command_question(struct cli *cli, struct buf *out)
{
    bool input;
    if (!put_words(cli, out, &input))
        return EXIT_USAGE;
    int why = input ? read_input(out) : 0;
    if (why != 0) {
        term_error("standard input: %s", why == EFBIG ? "too long for a question" : strerror(why));
        return EXIT_FAILED;
    }
    if (out->failed) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    if (strv_trim(buf_view(out)).len == 0) {
        term_error("the question is empty");
        return EXIT_USAGE;
    }
    if (!utf8_valid(buf_view(out))) {
        term_error("the question is not valid UTF-8 text");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int command_request(struct cli *cli, struct buf *out)
{
    const char *path = cli->words[0];
    bool input = strcmp(path, "-") == 0;
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int why = fd >= 0 ? read_all(fd, out) : errno;
    if (!input && fd >= 0)
        close(fd);
    if (why != 0)
        term_error("%s: %s", input ? "standard input" : path,
                   why == EFBIG ? "too long for a request" : strerror(why));
    return why == 0 ? EXIT_OK : EXIT_FAILED;
}
