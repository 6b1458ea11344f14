/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bundle - make, check and install what is carried to a machine without a network (bundle/bundle.h).
 *
 * Problems go to standard error as they are found, a bar to a terminal, and a sum to standard output. No configuration is
 * read: it may be what is being carried.
 */
#include "app/command.h"
#include "app/progress.h"
#include "app/term.h"
#include "bundle/bundle.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS_MAX 200
#define OUT_MAX   ((size_t)64 * 1024 * 1024)
#define REDRAW_US 100000

struct showing {
    const char *verb;
    bool json, drawn, first;
    size_t width; /* of the bar, 0 = none */
    int64_t drawn_us;
    struct progress progress;
    struct buf problems;             /* JSON */
    uint64_t copied, kept, replaced; /* files */
};

/* ---- telling ---- */

static void clear_bar(struct showing *s)
{
    if (s->drawn)
        fputs("\r\033[K", stdout);
    if (s->drawn)
        fflush(stdout);
    s->drawn = false;
}

static void on_moved(void *arg, const char *path, uint64_t bytes, uint64_t total)
{
    struct showing *s = arg;
    struct err err = ERR_INIT;
    struct buf out;
    int64_t now_us = 0;
    (void)path;
    if (s->width == 0 || !command_now(&now_us, &err))
        return;
    if (s->drawn_us == 0)
        progress_begin(&s->progress, now_us);
    progress_moved(&s->progress, (int64_t)bytes, (int64_t)total, now_us);
    if (now_us - s->drawn_us < REDRAW_US && bytes < total)
        return;
    s->drawn_us = now_us;
    buf_init(&out, 4096);
    buf_put_char(&out, '\r');
    progress_put_bar(&out, &s->progress, s->verb, s->width);
    buf_put_cstr(&out, "\033[K");
    if (!out.failed)
        fwrite(buf_view(&out).ptr, 1, buf_len(&out), stdout);
    fflush(stdout);
    s->drawn = true;
    buf_fini(&out);
}

static void on_problem(void *arg, const char *path, const char *what)
{
    struct showing *s = arg;
    bool first = true;
    clear_bar(s);
    term_error("%s: %s", path, what);
    if (!s->json)
        return;
    buf_put_cstr(&s->problems, s->first ? "{" : ",{");
    term_json_text(&s->problems, &first, "path", strv_of(path));
    term_json_text(&s->problems, &first, "problem", strv_of(what));
    buf_put_char(&s->problems, '}');
    s->first = false;
}

static void on_done(void *arg, const char *path, const char *what)
{
    struct showing *s = arg;
    (void)path;
    s->copied += strcmp(what, "copied") == 0;
    s->kept += strcmp(what, "kept") == 0;
    s->replaced += strcmp(what, "replaced") == 0;
}

static struct bundle_watch watch_with(struct cli *cli, struct showing *s, const char *verb)
{
    *s = (struct showing){.verb = verb, .json = cli->flags[FLAG_JSON] != NULL, .first = true};
    s->width = s->json ? 0 : term_bar();
    buf_init(&s->problems, OUT_MAX);
    return (struct bundle_watch){
        .problem = on_problem, .done = on_done, .moved = on_moved, .arg = s};
}

static void put_number(struct buf *out, bool *first, const char *key, uint64_t n)
{
    json_put_key(out, first, key);
    buf_put_u64(out, n);
}

static void put_json(struct buf *out, const struct showing *s, const struct bundle *b,
                     const struct bundle_watch *w)
{
    bool first = true;
    buf_put_char(out, '{');
    term_json_bool(out, &first, "ok", w->problems == 0);
    term_json_text(out, &first, "version", strv_of(b->version));
    term_json_text(out, &first, "created", strv_of(b->created));
    put_number(out, &first, "files", b->n);
    put_number(out, &first, "bytes", b->bytes);
    put_number(out, &first, "copied", s->copied);
    put_number(out, &first, "kept", s->kept);
    put_number(out, &first, "replaced", s->replaced);
    json_put_key(out, &first, "problems");
    buf_put_char(out, '[');
    buf_put_strv(out, buf_view(&s->problems));
    buf_put_cstr(out, "]}\n");
    out->failed = out->failed || s->problems.failed;
}

static void put_text(struct buf *out, struct cli *cli, const struct showing *s,
                     const struct bundle *b, const struct bundle_watch *w)
{
    buf_printf(out, "llm-router %s, made %s: %zu files, ", b->version, b->created, b->n);
    progress_put_bytes(out, (int64_t)b->bytes);
    buf_put_char(out, '\n');
    if (s->copied + s->kept + s->replaced > 0)
        buf_printf(out, "%llu copied, %llu kept, %llu replaced\n", (unsigned long long)s->copied,
                   (unsigned long long)s->kept, (unsigned long long)s->replaced);
    if (w->problems > 0)
        buf_printf(out, "%llu ", (unsigned long long)w->problems);
    term_put(out, cli->color, w->problems > 0 ? TERM_BAD : TERM_GOOD,
             w->problems > 1    ? "problems"
             : w->problems == 1 ? "problem"
                                : "all is as the manifest says");
    buf_put_char(out, '\n');
}

/* Frees b and what `s` holds. */
static int tell(struct cli *cli, struct showing *s, struct bundle *b, const struct bundle_watch *w,
                bool ok, const struct err *err)
{
    struct buf out;
    clear_bar(s);
    buf_init(&out, 2 * OUT_MAX);
    if (!ok)
        term_error("%s", err->text);
    else if (s->json)
        put_json(&out, s, b, w);
    else
        put_text(&out, cli, s, b, w);
    ok = ok && w->problems == 0;
    bundle_fini(b);
    buf_fini(&s->problems);
    return term_write(&out) && ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- keygen ---- */

static int keygen(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct buf pem, out;
    if (cli->n_words != 2)
        return command_usage_error(cli);
    buf_init(&pem, 4096);
    buf_init(&out, 8192);
    bool ok = bundle_key_make(cli->words[1], &pem, &err);
    if (!ok) {
        term_error("%s", err.text);
    } else if (cli->flags[FLAG_JSON] != NULL) {
        bool first = true;
        buf_put_char(&out, '{');
        term_json_text(&out, &first, "public_key", buf_view(&pem));
        buf_put_cstr(&out, "}\n");
    } else {
        buf_put_strv(&out, buf_view(&pem));
    }
    buf_fini(&pem);
    return term_write(&out) && ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- create ---- */

struct parts {
    struct bundle_part list[PARTS_MAX + 3];
    size_t n;
    struct arena arena;
};

static bool add(struct parts *parts, const char *place, const char *source)
{
    for (size_t i = 0; i < parts->n; i++)
        if (strcmp(parts->list[i].place, place) == 0)
            return true; /* it was named on the command line */
    parts->list[parts->n++] = (struct bundle_part){place, source};
    return place != NULL && source != NULL;
}

/* The program that runs, and the data file that it reads: beside it in a build folder, else as it is installed. The list of
 * its parts only where it is installed. */
static bool add_ourselves(struct parts *parts, struct err *err)
{
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return err_set(err, 0, "/proc/self/exe cannot be read");
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    int folder = slash != NULL ? (int)(slash - program) : 0;
    const char *data = arena_printf(&parts->arena, "%.*s/llm-router.data", folder, program);
    if (data != NULL && access(data, R_OK) != 0)
        data = arena_printf(&parts->arena, "%.*s/../share/llm-router/llm-router.data", folder,
                            program);
    const char *sbom =
        arena_printf(&parts->arena, "%.*s/../share/llm-router/sbom.spdx.json", folder, program);
    const char *self = arena_cstr(&parts->arena, strv_of(program));
    if (parts->arena.failed)
        return err_oom(err);
    return add(parts, "bin/llm-router", self) &&
           add(parts, "share/llm-router/llm-router.data", data) &&
           (access(sbom, R_OK) != 0 || add(parts, "share/llm-router/sbom.spdx.json", sbom));
}

static bool read_parts(struct cli *cli, struct parts *parts, struct err *err)
{
    for (size_t i = 3; i < cli->n_words; i++) {
        strv rest = strv_of(cli->words[i]), place;
        if (!strv_cut(&rest, '=', &place) || rest.ptr == NULL || rest.len == 0)
            return err_set(err, 0, "%.200s: PLACE=PATH was expected", cli->words[i]);
        /* A slash at the end means nothing, as in other programs. */
        while (place.len > 1 && place.ptr[place.len - 1] == '/')
            place.len--;
        while (rest.len > 1 && rest.ptr[rest.len - 1] == '/')
            rest.len--;
        const char *where = arena_cstr(&parts->arena, place);
        const char *from = arena_cstr(&parts->arena, rest);
        if (parts->arena.failed)
            return err_oom(err);
        parts->list[parts->n++] = (struct bundle_part){where, from};
    }
    return add_ourselves(parts, err);
}

/* $SOURCE_DATE_EPOCH: the same bundle again has the same bytes. */
static bool set_created(struct bundle *b, struct err *err)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t seconds;
    int64_t now_us;
    if (epoch != NULL && strv_u64(strv_of(epoch), 0, 100000000000, &seconds))
        now_us = (int64_t)seconds * 1000000;
    else if (!command_now(&now_us, err))
        return false;
    timefmt_rfc3339(b->created, now_us, 0);
    snprintf(b->version, sizeof b->version, "%s", LLM_ROUTER_VERSION);
    return true;
}

static int create(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct showing s;
    struct bundle b;
    struct parts parts = {.n = 0};
    if (cli->n_words < 3)
        return command_usage_error(cli);
    struct bundle_watch watch = watch_with(cli, &s, "copying");
    bundle_init(&b);
    arena_init(&parts.arena, 4096, (size_t)2 << 20);
    bool ok = read_parts(cli, &parts, &err) && set_created(&b, &err) &&
              bundle_create(cli->words[1], cli->words[2], parts.list, parts.n, &b, &watch, &err);
    arena_fini(&parts.arena);
    return tell(cli, &s, &b, &watch, ok, &err);
}

/* ---- verify, install ---- */

static bool has_key(struct cli *cli)
{
    if (cli->flags[FLAG_PUBLIC_KEY] != NULL)
        return true;
    term_error("--public-key is missing: the key that you trust, from elsewhere than the bundle");
    return false;
}

static int verify(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct showing s;
    struct bundle b;
    bool installed = cli->flags[FLAG_INSTALLED] != NULL, ok;
    const char *key = cli->flags[FLAG_PUBLIC_KEY];
    if (!installed && cli->n_words != 2)
        return command_usage_error(cli);
    if (!has_key(cli))
        return EXIT_USAGE;
    struct bundle_watch watch = watch_with(cli, &s, "checking");
    bundle_init(&b);
    if (installed)
        ok = bundle_verify_installed(cli->words[1], key, cli->words + 2, cli->n_words - 2, &b,
                                     &watch, &err);
    else
        ok = bundle_verify(cli->words[1], key, &b, &watch, &err);
    return tell(cli, &s, &b, &watch, ok, &err);
}

static int install(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct showing s;
    struct bundle b;
    if (cli->n_words != 3)
        return command_usage_error(cli);
    if (!has_key(cli))
        return EXIT_USAGE;
    struct bundle_watch watch = watch_with(cli, &s, "installing");
    bundle_init(&b);
    bool ok = bundle_install(cli->words[1], cli->flags[FLAG_PUBLIC_KEY], cli->words[2],
                             cli->flags[FLAG_REPLACE] != NULL, &b, &watch, &err);
    return tell(cli, &s, &b, &watch, ok, &err);
}

/* ---- */

static const struct {
    const char *name;
    int (*run)(struct cli *cli);
} verbs[] = {{"keygen", keygen}, {"create", create}, {"verify", verify}, {"install", install}};

int command_bundle(struct cli *cli)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(cli->words[0], verbs[i].name) == 0)
            return verbs[i].run(cli);
    return command_usage_error(cli);
}
