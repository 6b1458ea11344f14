/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_fuzz - any bytes as a configuration file. What is taken must print as a file that is taken too
 * and prints the same again. Errors must say something.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const environment[] = {"HOME=/h", "ANTHROPIC_API_KEY=sk-fuzz", NULL};

static void die(const char *what, const struct err *err, const struct buf *text)
{
    fprintf(stderr, "%s: %s\n%.*s\n", what, err->text, (int)buf_len(text), buf_view(text).ptr);
    abort();
}

/* The file without its comments: they tell origins, which differ. */
static void without_comments(struct buf *out, strv text)
{
    strv line;
    while (strv_cut(&text, '\n', &line)) {
        size_t end = line.len;
        for (size_t i = 0; i + 2 < line.len; i++) {
            if (memcmp(line.ptr + i, " # ", 3) == 0)
                end = i; /* the last one: texts may hold the same */
        }
        buf_put_strv(out, strv_trim((strv){line.ptr, end}));
        buf_put_char(out, '\n');
    }
}

/* False: not taken. The process's memory of providers and engines is cleared: every input is a new life. */
static bool load_and_print(strv text, struct buf *out, struct err *err)
{
    struct config_source source = {.environment = environment};
    struct config *c = config_load_text(&source, text, err);
    bool ok = c != NULL;
    if (ok && !config_print(c, out))
        die("not printed", err, out);
    config_free(c);
    provider_cells_free();
    config_forget();
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first, second, a, b;
    struct err err = ERR_INIT;

    buf_init(&first, 16 << 20);
    buf_init(&second, 16 << 20);
    buf_init(&a, 16 << 20);
    buf_init(&b, 16 << 20);
    if (!load_and_print((strv){(const char *)data, size}, &first, &err)) {
        if (!err.set || err.text[0] == '\0')
            die("refused in silence", &err, &first);
    } else if (size <= 4096) { /* a larger one may print as more keys than a file may have */
        err_clear(&err);
        if (!load_and_print(buf_view(&first), &second, &err))
            die("what was printed is not taken", &err, &first);
        without_comments(&a, buf_view(&first));
        without_comments(&b, buf_view(&second));
        if (!strv_eq(buf_view(&a), buf_view(&b)))
            die("printed differently", &err, &second);
    }
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}
