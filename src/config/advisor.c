/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advisor - from the options advisor.* to what may be advised, and in which words models are asked.
 *
 * Files are read here, so that advisor/ needs no disk.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "config/internal.h"

/* Its text, in the arena; NULL text with an error that names the file. */
static bool take_file(struct load *l, const struct setting *s, const char *path, size_t max,
                      strv *out)
{
    struct buf b;
    buf_init(&b, max + 32 * 1024); /* the reader reserves more than it reads */
    int why = config_read_file(path, &b);
    *out = why == 0 ? arena_strv(l->arena, buf_view(&b)) : STRV_NONE;
    buf_fini(&b);
    if (why == ENOMEM || (why == 0 && out->ptr == NULL))
        return load_oom(l);
    return why == 0 || load_fail(l, &s->origin, s->option->path, "%s: %s", path, strerror(why));
}

static bool refuse(struct load *l, const struct setting *s, const char *path, const struct err *why)
{
    return why->code == ERR_CODE_OOM
               ? load_oom(l)
               : load_fail(l, &s->origin, s->option->path, "%s: %s", path, why->text);
}

static bool take_schema(struct load *l, struct advisor_conf *c)
{
    const struct setting *s = setting_get(l->whole, "advisor.schema", NULL);
    struct err why = ERR_INIT;
    strv text = STRV_NONE;
    if (s == NULL)
        return advisor_conf_schema(c, text, l->arena, &why) || load_oom(l);
    return take_file(l, s, s->value.text, ADVICE_BYTES_MAX, &text) &&
           (advisor_conf_schema(c, text, l->arena, &why) || refuse(l, s, s->value.text, &why));
}

static bool take_template(struct load *l, struct advisor_conf *c, const struct setting *s,
                          const char *name)
{
    struct err why = ERR_INIT;
    strv text;
    if (!strv_ends(strv_of(name), STRV(".txt")))
        return true;
    const char *path = arena_printf(l->arena, "%s/%s", s->value.text, name);
    if (path == NULL)
        return load_oom(l);
    return take_file(l, s, path, TEMPLATE_BYTES_MAX, &text) &&
           (advisor_conf_template(c, text, l->arena, &why) || refuse(l, s, path, &why));
}

/* In the order of their names. */
static bool take_folder(struct load *l, struct advisor_conf *c, const struct setting *s)
{
    struct dirent **files;
    bool ok = true;
    int n = scandir(s->value.text, &files, NULL, alphasort);
    if (n < 0)
        return load_fail(l, &s->origin, s->option->path, "%s: %s", s->value.text, strerror(errno));
    for (int i = 0; i < n; i++) {
        ok = ok && take_template(l, c, s, files[i]->d_name);
        free(files[i]);
    }
    free(files);
    return ok;
}

bool advisor_build(struct load *l)
{
    struct advisor_conf *c = &l->whole->config.advisor;
    const struct setting *folder = setting_get(l->whole, "advisor.templates", NULL);
    return take_schema(l, c) && (folder == NULL || take_folder(l, c, folder)) &&
           (advisor_conf_built_in(c, l->arena, NULL) || load_oom(l));
}
