/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy - from the options privacy.* to the detector of a snapshot, and to its classifier, whose weights are in
 * the same file.
 *
 * Reading tables and compiling patterns takes a good part of a second, and most reloads change neither: the last
 * detector is kept, and taken again while its options are the same and its files unchanged. One that is not ready
 * is never taken again.
 *
 * A detector that is not ready is no error of the configuration: everything counts as private then, the local
 * providers go on serving, and whoever looks (log, /readyz, doctor) is told why the cloud refuses.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/internal.h"

#define DATA_NAME "llm-router.data"

static struct {
    pthread_mutex_t lock;
    struct privacy *detector;
    struct classify *classify; /* NULL = the file has none */
    char *made_of;             /* its options, as text */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void drop_kept(void) /* under the lock */
{
    privacy_unref(kept.detector);
    classify_unref(kept.classify);
    mem_free(kept.made_of);
    kept.detector = NULL;
    kept.classify = NULL;
    kept.made_of = NULL;
}

void privacy_forget(void)
{
    pthread_mutex_lock(&kept.lock);
    drop_kept();
    pthread_mutex_unlock(&kept.lock);
}

/* ---- what it is made of ---- */

static const struct value *value_of(const struct load *l, const char *path)
{
    const struct setting *s = setting_get(l->whole, path, NULL);
    return s != NULL ? &s->value : NULL;
}

static const char *text_of(const struct load *l, const char *path)
{
    const struct value *v = value_of(l, path);
    return v != NULL ? v->text : NULL;
}

static const char *const *list_of(const struct load *l, const char *path)
{
    static const char *const none[] = {NULL};
    const struct value *v = value_of(l, path);
    return v != NULL ? v->items : none;
}

/* Beside the program, as in a build folder; else where an installation has it. */
static const char *usual_data(struct load *l)
{
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return "/usr/share/llm-router/" DATA_NAME;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL)
        *slash = '\0';
    const char *beside = arena_printf(l->arena, "%s/" DATA_NAME, program);
    if (beside == NULL || access(beside, R_OK) == 0)
        return beside;
    return arena_printf(l->arena, "%s/../share/llm-router/" DATA_NAME, program);
}

static uint32_t houses_off(const struct load *l)
{
    static const struct {
        const char *path;
        enum privacy_kind kind;
    } rows[] = {{"privacy.house_cases", PRIVACY_CASE},
                {"privacy.house_health_facts", PRIVACY_HEALTH_FACT},
                {"privacy.house_movements", PRIVACY_MOVEMENT},
                {"privacy.house_records", PRIVACY_RECORDS},
                {"privacy.house_placeholders", PRIVACY_PLACEHOLDER}};
    uint32_t off = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (value_of(l, rows[i].path)->number == 0)
            off |= (uint32_t)1 << rows[i].kind;
    return off;
}

static bool read_options(struct load *l, struct privacy_conf *conf)
{
    const char *data = text_of(l, "privacy.data");
    *conf = (struct privacy_conf){
        .data = data != NULL ? data : usual_data(l),
        .roster = text_of(l, "privacy.roster"),
        .patterns = list_of(l, "privacy.patterns"),
        .fixed = list_of(l, "privacy.fixed_texts"),
        .house_off = houses_off(l),
        .bytes_max = value_of(l, "privacy.bytes_max")->number,
        .budget_us = value_of(l, "privacy.budget")->number * 1000,
    };
    return conf->data != NULL || load_oom(l);
}

/* Two detectors with the same text are the same, as long as their files are. */
static bool describe(const struct privacy_conf *conf, struct buf *out)
{
    buf_printf(out, "%s\n%s\n%u %zu %llu\n", conf->data, conf->roster != NULL ? conf->roster : "",
               (unsigned)conf->house_off, conf->bytes_max, (unsigned long long)conf->budget_us);
    for (size_t i = 0; conf->patterns[i] != NULL; i++)
        buf_printf(out, "p %s\n", conf->patterns[i]);
    for (size_t i = 0; conf->fixed[i] != NULL; i++)
        buf_printf(out, "f %s\n", conf->fixed[i]);
    return buf_put_char(out, '\0');
}

/* ---- the detector ---- */

static void keep(const struct snapshot *s, const char *made_of, size_t len) /* under the lock */
{
    drop_kept();
    if (!privacy_ready(s->privacy) || (kept.made_of = mem_alloc(len)) == NULL)
        return; /* the next load makes another one */
    memcpy(kept.made_of, made_of, len);
    kept.detector = privacy_ref(s->privacy);
    kept.classify = classify_ref(s->classify);
}

/* s->privacy stays NULL: no memory. */
static void take_readers(struct snapshot *s, const struct privacy_conf *conf, struct err *why)
{
    struct buf made_of;
    buf_init(&made_of, SIZE_MAX / 4);
    pthread_mutex_lock(&kept.lock);
    if (!describe(conf, &made_of)) {
        s->privacy = NULL;
    } else if (kept.detector != NULL && strcmp(kept.made_of, buf_view(&made_of).ptr) == 0 &&
               !privacy_stale(kept.detector)) {
        s->privacy = privacy_ref(kept.detector);
        s->classify = classify_ref(kept.classify);
    } else if ((s->privacy = privacy_new(conf, why)) != NULL) {
        s->classify = classify_new(privacy_data(s->privacy));
        keep(s, buf_view(&made_of).ptr, buf_len(&made_of));
    }
    pthread_mutex_unlock(&kept.lock);
    buf_fini(&made_of);
}

static uint32_t pseudonym_tasks(const struct load *l)
{
    uint32_t bits = 0;
    for (const char *const *name = list_of(l, "privacy.pseudonyms"); *name != NULL; name++)
        for (unsigned i = 0; policy_tasks[i] != NULL; i++)
            if (strcmp(*name, policy_tasks[i]) == 0)
                bits |= 1u << i;
    return bits;
}

/* ---- what is said of it ---- */

static bool has_cloud(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (s->providers[i].zone == ZONE_CLOUD)
            return true;
    return false;
}

static bool note_roster(struct load *l)
{
    struct snapshot *s = &l->whole->snapshot;
    const char *path = l->whole->config.privacy.roster;
    uint64_t max_ms = value_of(l, "privacy.roster_max_age")->number;
    struct stat st;
    if (path == NULL || max_ms == 0 || stat(path, &st) != 0)
        return true;
    s->roster_until_us = (int64_t)st.st_mtime * 1000000 + (int64_t)max_ms * 1000;
    if (l->source->wall_us <= s->roster_until_us)
        return true;
    return load_warn(l, "privacy.roster: %s was not changed for longer than roster_max_age", path);
}

bool privacy_build(struct load *l)
{
    struct snapshot *s = &l->whole->snapshot;
    struct err why = ERR_INIT;
    if (!read_options(l, &l->whole->config.privacy))
        return false;
    s->pseudonym_tasks = pseudonym_tasks(l);
    take_readers(s, &l->whole->config.privacy, &why);
    if (s->privacy == NULL)
        return load_oom(l);
    if (!privacy_ready(s->privacy)) {
        s->privacy_why = arena_printf(l->arena, "the detector is not ready: %s", why.text);
        if (s->privacy_why == NULL)
            return load_oom(l);
        if (has_cloud(s) && !load_warn(l, "no provider in the cloud is asked: %s", s->privacy_why))
            return false;
    }
    return note_roster(l);
}
