/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advice - what a model writes, an operator's templates and advice schemas, and the question's data.
 *
 *   first byte   which reader: reply, template, schema, data of the built-in templates, prose
 *   the rest     what it reads
 *
 * An accepted suggestion keeps the contract's bounds, looked at here without the schema. Where memory is refused there is
 * no verdict, never a wrong one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/advisor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct advisor_conf conf;
static struct arena kept;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_bound(yyjson_val *params, const char *key, double min, double max)
{
    yyjson_val *v = yyjson_obj_get(params, key);
    check(v == NULL || (yyjson_is_num(v) && yyjson_get_num(v) >= min && yyjson_get_num(v) <= max));
}

static void check_contract(const struct advice *a, strv text, struct arena *arena)
{
    struct json doc;
    size_t i, max;
    yyjson_val *key, *v;
    struct err err = ERR_INIT;
    if (!json_read(&doc, text, arena, 0, &err)) {
        check(err.code == ERR_CODE_OOM);
        return;
    }
    check_bound(doc.root, "timeout_seconds", 10, 600);
    check_bound(doc.root, "diversification_factor", 0, 1);
    check(yyjson_obj_get(doc.root, "algorithm") == NULL ||
          yyjson_is_str(yyjson_obj_get(doc.root, "algorithm")));
    yyjson_obj_foreach(yyjson_obj_get(doc.root, "constraint_weights"), i, max, key, v)
    {
        check(yyjson_is_num(v) && yyjson_get_num(v) >= 0 && yyjson_get_num(v) <= 2);
    }
    check(a->confidence >= 0.3 && a->confidence <= 1 && strv_trim(a->reasoning).len > 0);
}

static void read_reply(strv in, struct arena *arena)
{
    struct json doc;
    struct advice a;
    enum advice_reason why;
    if (!advice_read(in, arena, &doc, &why) || why != ADVICE_REASON_OK)
        return;
    check(yyjson_is_obj(doc.root));
    if (!advice_check(conf.schema, ADVICE_SUGGEST, doc.root, NULL, arena, &a) || !a.accepted)
        return;
    check_contract(&a, a.delta, arena);
    check_contract(&a, a.merged, arena);
}

static void read_template(strv in, struct arena *arena)
{
    struct template t;
    struct buf out;
    struct err err = ERR_INIT;
    if (!template_read(&t, in, arena, &err)) {
        check(err.set);
        return;
    }
    buf_init(&out, TEMPLATE_OUT_MAX);
    (void)template_write(t.question, conf.schema->doc.root, NULL, &out);
    check(buf_len(&out) <= TEMPLATE_OUT_MAX);
    buf_fini(&out);
}

static void read_schema(strv in, struct arena *arena)
{
    struct err err = ERR_INIT;
    struct advice_schema *s = advice_schema_read(in, arena, &err);
    struct json form;
    check(s != NULL || err.set);
    for (int q = 0; s != NULL && q < ADVICE_EXPLAIN; q++)
        (void)json_read(&form, s->form[q], arena, 0, NULL);
}

static void read_data(strv in, struct arena *arena)
{
    struct json doc;
    struct advice a;
    struct buf out;
    if (!json_read(&doc, in, arena, 0, NULL) || !yyjson_is_obj(doc.root))
        return;
    for (int q = 0; q < ADVICE_QUESTIONS; q++) {
        buf_init(&out, TEMPLATE_OUT_MAX);
        const struct template *t = advisor_template(&conf, (enum advice_question)q, STRV("m"));
        (void)template_write(t->question, doc.root, conf.schema->doc.root, &out);
        buf_fini(&out);
    }
    if (advice_rules_ask(conf.schema, ADVICE_SUGGEST, doc.root,
                         advice_at(doc.root, STRV("state.current_params")), arena, &a) &&
        a.accepted)
        check_contract(&a, a.delta, arena);
    buf_init(&out, TEMPLATE_OUT_MAX);
    advice_prose_plain(json_get(doc.root, "last_evaluation"), &out);
    check(out.failed || buf_len(&out) > 0);
    advice_findings(json_get(doc.root, "last_evaluation"), json_get(doc.root, "history"), &out);
    buf_fini(&out);
}

static void read_prose(strv in, struct arena *arena)
{
    struct buf out;
    (void)arena;
    buf_init(&out, 4 * ADVICE_PROSE_MAX);
    if (advice_prose(in, NULL, &out) == ADVICE_REASON_OK)
        check(buf_len(&out) > 0 && buf_len(&out) <= ADVICE_PROSE_MAX);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(strv in, struct arena * arena) = {
        read_reply, read_template, read_schema, read_data, read_prose};
    struct arena arena;
    if (size == 0)
        return 0;
    if (conf.schema == NULL) {
        arena_init(&kept, 4096, 1 << 24);
        check(advisor_conf_schema(&conf, STRV_NONE, &kept, NULL) &&
              advisor_conf_built_in(&conf, &kept, NULL));
    }
    arena_init(&arena, 4096, 16 << 20);
    readers[data[0] % 5]((strv){(const char *)data + 1, size - 1}, &arena);
    arena_fini(&arena);
    return 0;
}
