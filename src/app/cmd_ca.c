/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ca - a private authority for a network that no public one knows: made, signs, renews, shown (authority.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/authority.h"
#include "app/command.h"
#include "app/file.h"
#include "app/term.h"

#define DAY_US    ((int64_t)24 * 3600 * 1000000)
#define SOON_DAYS 30
#define DIR_SIZE  4096
#define SEAL_MAX  1024

struct job {
    struct cli *cli;
    struct authority a;
    char dir[DIR_SIZE], seal[SEAL_MAX];
    struct term_table table;
    const char *due[256]; /* names that are to be renewed */
    size_t n_due;
    struct arena arena;
};

static int wrong(const char *what)
{
    term_error("%s; see `llm-router ca --help`", what);
    return EXIT_USAGE;
}

static int told(bool ok, const struct err *err)
{
    if (!ok)
        term_error("%s", err->text);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* The first line of the file. */
static bool read_seal(struct job *j, const char *path, struct err *err)
{
    struct buf text;
    strv rest, line;
    buf_init(&text, (size_t)1024 * 1024);
    bool ok = file_read(path, &text, NULL, err);
    rest = buf_view(&text);
    if (ok && (!strv_cut(&rest, '\n', &line) || line.len == 0 || line.len >= sizeof j->seal))
        ok = err_set(err, 0, "%s holds no passphrase", path);
    if (ok) {
        memcpy(j->seal, line.ptr, line.len);
        j->a.passphrase = j->seal;
    }
    rest = buf_view(&text);
    mem_wipe((char *)(uintptr_t)rest.ptr, rest.len);
    buf_fini(&text);
    return ok;
}

static int prepare(struct job *j)
{
    struct err err = ERR_INIT;
    const char *dir = j->cli->flags[FLAG_DIR], *days = j->cli->flags[FLAG_DAYS],
               *seal = j->cli->flags[FLAG_PASSPHRASE];
    uint64_t n = 0;
    struct config *c = dir == NULL ? command_config(j->cli) : NULL;
    if (dir == NULL && c == NULL)
        return EXIT_USAGE;
    int len = dir != NULL ? snprintf(j->dir, sizeof j->dir, "%s", dir)
                          : snprintf(j->dir, sizeof j->dir, "%s/ca", c->state_dir);
    if (c != NULL)
        config_free(c);
    if (len < 0 || (size_t)len >= sizeof j->dir - 256)
        return wrong("the folder's name is too long");
    if (days != NULL && !strv_u64(strv_of(days), 1, 36500, &n))
        return wrong("--days wants a number of days");
    j->a = (struct authority){
        .dir = j->dir, .wall_us = (int64_t)time(NULL) * 1000000, .days = (int64_t)n};
    return seal == NULL ? EXIT_OK : told(read_seal(j, seal, &err), &err);
}

/* ---- show, and what is to be renewed ---- */

static bool put_row(void *arg, const struct authority_cert *c)
{
    struct job *j = arg;
    int64_t left = (c->until_us - j->a.wall_us) / DAY_US;
    char from[TIMEFMT_MAX], until[TIMEFMT_MAX];
    timefmt_rfc3339(from, c->from_us, 0);
    timefmt_rfc3339(until, c->until_us, 0);
    term_table_cell(&j->table, TERM_PLAIN, "%s", c->name);
    term_table_cell(&j->table, TERM_PLAIN, "%s", c->use);
    term_table_cell(&j->table, TERM_PLAIN, "%.10s", from);
    term_table_cell(&j->table, TERM_PLAIN, "%.10s", until);
    term_table_cell(&j->table, left < SOON_DAYS ? TERM_BAD : TERM_GOOD, "%lld days",
                    (long long)left);
    term_table_cell(&j->table, TERM_DIM, "%s", c->holds);
    return true;
}

static int show(struct job *j)
{
    static const char *const heads[] = {"NAME", "USE", "FROM", "UNTIL", "LEFT", "FOR"};
    struct err err = ERR_INIT;
    struct buf out;
    buf_init(&out, (size_t)1024 * 1024);
    term_table_init(&j->table, 6);
    for (size_t i = 0; i < 6; i++)
        term_table_cell(&j->table, TERM_BOLD, "%s", heads[i]);
    bool ok = authority_each(j->dir, put_row, j, &err);
    term_table_put(&j->table, &out, 0, j->cli->color);
    if (ok)
        return term_write(&out) ? EXIT_OK : EXIT_FAILED;
    buf_fini(&out);
    return told(false, &err);
}

static bool find_due(void *arg, const struct authority_cert *c)
{
    struct job *j = arg;
    bool due = strcmp(c->use, "authority") != 0 && c->until_us - j->a.wall_us < SOON_DAYS * DAY_US;
    if (due && j->n_due < sizeof j->due / sizeof *j->due) {
        j->due[j->n_due] = arena_cstr(&j->arena, strv_of(c->name));
        j->n_due += j->due[j->n_due] != NULL;
    }
    return true;
}

static int renew(struct job *j)
{
    struct err err = ERR_INIT;
    bool ok = true;
    if (j->cli->n_words > 1) {
        for (size_t i = 1; i < j->cli->n_words && ok; i++)
            ok = authority_renew(&j->a, j->cli->words[i], &err);
        return told(ok, &err);
    }
    arena_init(&j->arena, 4096, (size_t)1024 * 1024);
    ok = authority_each(j->dir, find_due, j, &err);
    for (size_t i = 0; i < j->n_due && ok; i++) {
        ok = authority_renew(&j->a, j->due[i], &err);
        if (ok)
            fprintf(stderr, "%s: renewed\n", j->due[i]);
    }
    arena_fini(&j->arena);
    return told(ok, &err);
}

/* ---- the command ---- */

static int act(struct job *j)
{
    struct err err = ERR_INIT;
    const char *what = j->cli->words[0];
    const char *const *names = j->cli->words + 1;
    size_t n = j->cli->n_words - 1;
    if (strcmp(what, "show") == 0 && n == 0)
        return show(j);
    if (strcmp(what, "init") == 0 && n <= 1)
        return told(authority_init(&j->a, n == 1 ? names[0] : "llm-router private CA", &err), &err);
    if (strcmp(what, "server") == 0 && n >= 1)
        return told(authority_server(&j->a, names, n, &err), &err);
    if (strcmp(what, "client") == 0 && n == 1)
        return told(authority_client(&j->a, names[0], &err), &err);
    if (strcmp(what, "renew") == 0)
        return renew(j);
    return wrong("expected init, server, client, renew or show, and names");
}

int command_ca(struct cli *cli)
{
    struct job *j = mem_zalloc(sizeof *j);
    if (j == NULL) {
        term_error("out of memory");
        return EXIT_FAILED;
    }
    j->cli = cli;
    int status = prepare(j);
    if (status == EXIT_OK)
        status = act(j);
    mem_wipe(j->seal, sizeof j->seal);
    mem_free(j);
    return status;
}
