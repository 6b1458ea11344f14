/* SPDX-License-Identifier: Apache-2.0 */
/* testing - what the tests of this folder share: the built-in schema, JSON at hand. */
#ifndef ADVISOR_TESTING_H
#define ADVISOR_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/conf.h"
#include "advisor/read.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct arena arena;
static struct advisor_conf conf;

static inline int open_all(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    arena_init(&arena, 4096, (size_t)1 << 30);
    conf = (struct advisor_conf){0};
    if (!advisor_conf_schema(&conf, STRV_NONE, &arena, &err) ||
        !advisor_conf_built_in(&conf, &arena, &err))
        fail_msg("%s", err.text);
    return 0;
}

static inline int close_all(void **state)
{
    (void)state;
    arena_fini(&arena);
    assert_int_equal(mem_live(), 0);
    return 0;
}

static inline yyjson_val *parse(strv text)
{
    struct json doc;
    struct err err = ERR_INIT;
    if (!json_read(&doc, text, &arena, 1, &err))
        fail_msg(STRV_FMT ": %s", STRV_ARG(text), err.text);
    return doc.root;
}

/* Reads and judges, as a question does. */
static inline struct advice judge(strv reply, yyjson_val *current)
{
    struct json doc;
    struct advice a;
    enum advice_reason why;
    assert_true(advice_read(reply, &arena, &doc, &why));
    if (why == ADVICE_REASON_OK)
        assert_true(advice_check(conf.schema, ADVICE_SUGGEST, doc.root, current, &arena, &a));
    else
        advice_reject(&a, why);
    return a;
}

#endif
