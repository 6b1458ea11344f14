/* SPDX-License-Identifier: Apache-2.0 */
/* testing - what the unit tests of this folder share. No file is looked for: the text is given. */
#ifndef CONFIG_TESTING_H
#define CONFIG_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "config/internal.h"

#define TESTING_LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* yaml NULL: no file at all. The environment always has a home. */
static inline struct config *testing_load(const char *yaml, const char *const *environment,
                                          const char *const *set, struct err *err)
{
    static const char *const home[] = {"HOME=/home/u", NULL};
    struct config_source source = {.path = "/nonexistent",
                                   .environment = environment != NULL ? environment : home,
                                   .set = set};
    *err = ERR_INIT;
    /* A text without providers is like no file: the environment makes them. */
    return config_load_text(&source, strv_of(yaml != NULL ? yaml : ""), err);
}

static inline struct config *testing_good(const char *yaml, const char *const *environment,
                                          const char *const *set)
{
    struct err err;
    struct config *c = testing_load(yaml, environment, set, &err);
    if (c == NULL)
        fail_msg("%s\n%s", yaml != NULL ? yaml : "", err.text);
    return c;
}

static inline void testing_bad(const char *yaml, const char *const *environment,
                               const char *const *set, const char *text)
{
    struct err err;
    struct config *c = testing_load(yaml, environment, set, &err);
    if (c != NULL)
        fail_msg("was taken, but should be: %s", text);
    assert_string_equal(err.text, text);
}

static inline bool testing_has_warning(const struct config *c, const char *text)
{
    for (const struct config_warning *w = c->warnings; w != NULL; w = w->next) {
        if (strcmp(w->text, text) == 0)
            return true;
    }
    return false;
}

static inline void testing_warns(const struct config *c, const char *text)
{
    if (testing_has_warning(c, text))
        return;
    for (const struct config_warning *w = c->warnings; w != NULL; w = w->next)
        print_message("warning: %s\n", w->text);
    fail_msg("no warning: %s", text);
}

static inline const struct provider *testing_provider(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->snapshot->n_providers; i++) {
        if (strcmp(c->snapshot->providers[i].name, name) == 0)
            return &c->snapshot->providers[i];
    }
    return NULL;
}

/* "ollama/a engine/" */
static inline const char *testing_role(const struct config *c, const char *name, char out[256])
{
    const struct policy_conf *p = &c->snapshot->policy;
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < p->n_roles; i++) {
        if (strcmp(p->roles[i].name, name) != 0)
            continue;
        for (size_t n = 0; n < p->roles[i].n && at < 256; n++)
            at += (size_t)snprintf(out + at, 256 - at, "%s%s", n != 0 ? " " : "",
                                   p->roles[i].names[n].text);
    }
    return out;
}

#endif
