/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read before is not read again, and the verdict is the same: every conversation of the development sets is
 * read with a scratch that has read all the others, and with one that has read nothing.
 */
#include "privacy/memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "privacy/internal.h"

enum { TEXTS_MAX = 2000, TURNS = 5 };

static struct privacy *plain, *with_roster, *no_house;
static struct privacy_scratch *scratch; /* that has read everything */
static struct arena arena;
static strv texts[TEXTS_MAX];
static size_t n_texts;

static const char *data_path(const char *name)
{
    return arena_printf(&arena, "%s/privacy/%s", getenv("TEST_DATA"), name);
}

static struct privacy *detector(const char *roster, uint32_t house_off)
{
    const struct privacy_conf conf = {
        .data = getenv("ROUTER_DATA"), .roster = roster, .house_off = house_off};
    struct err err = ERR_INIT;
    struct privacy *p = privacy_new(&conf, &err);
    assert_non_null(p);
    if (!privacy_ready(p))
        fprintf(stderr, "not ready: %s\n", err.text);
    assert_true(privacy_ready(p));
    return p;
}

static void read_texts(const char *path)
{
    static char line[1 << 16];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while (n_texts < TEXTS_MAX && fgets(line, sizeof line, f) != NULL) {
        struct json doc;
        struct err err = ERR_INIT;
        strv row = strv_trim(strv_of(line));
        if (json_read(&doc, arena_strv(&arena, row), &arena, 0, &err))
            texts[n_texts++] = arena_strv(&arena, json_get_str(doc.root, "text"));
    }
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 65536, (size_t)1 << 28);
    plain = detector(NULL, 0);
    with_roster = detector(data_path("roster-dev.txt"), 0);
    no_house = detector(NULL, UINT32_MAX);
    scratch = privacy_scratch_new();
    read_texts(data_path("phi-dev.jsonl"));
    return n_texts > 100 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    privacy_scratch_free(scratch);
    privacy_unref(plain);
    privacy_unref(with_roster);
    privacy_unref(no_house);
    arena_fini(&arena);
    assert_int_equal(mem_live(), 0);
    return 0;
}

/* A request of `n` turns, and a member before them. */
static void put_request(struct buf *b, const strv *turns, size_t n)
{
    buf_clear(b);
    buf_put_cstr(b, "{\"model\":\"m\",\"user\":\"nobody\",\"messages\":[");
    for (size_t i = 0; i < n; i++) {
        buf_put_cstr(b, i > 0 ? ", {\"role\":" : "{\"role\":");
        buf_put_cstr(b, i % 2 == 0 ? "\"user\",\"content\":" : "\"assistant\",\"content\":");
        json_put_str(b, turns[i]);
        buf_put_char(b, '}');
    }
    buf_put_cstr(b, "]}");
    assert_false(b->failed);
}

static void assert_same(const struct privacy_verdict *a, const struct privacy_verdict *b)
{
    assert_int_equal(a->is_private, b->is_private);
    assert_int_equal(a->score, b->score);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->n_findings, b->n_findings);
    assert_memory_equal(a->counts, b->counts, sizeof a->counts);
    for (size_t i = 0; i < a->n_findings; i++) {
        const struct privacy_finding *x = &a->findings[i], *y = &b->findings[i];
        assert_true(x->kind == y->kind && x->replaceable == y->replaceable && x->rule == y->rule &&
                    x->weight == y->weight && x->start == y->start && x->end == y->end);
    }
}

static void scan(const struct privacy *p, struct privacy_scratch *s, strv body, unsigned how,
                 struct privacy_verdict *v)
{
    privacy_verdict_init(v);
    privacy_scan_json(p, s, body, how, v);
}

/* By the scratch that knows, twice, and by one that does not; the verdict. */
static const struct privacy_verdict *same_both_ways(const struct privacy *p, strv body,
                                                    unsigned how)
{
    static struct privacy_verdict fresh;
    struct privacy_verdict known;
    struct privacy_scratch *s = privacy_scratch_new();
    assert_non_null(s);
    scan(p, s, body, how, &fresh);
    assert_int_equal(s->memo != NULL ? s->memo->hits : 0, 0);
    privacy_scratch_free(s);
    for (int i = 0; i < 2; i++) {
        scan(p, scratch, body, how, &known);
        assert_same(&known, &fresh);
    }
    return &fresh;
}

static void the_verdict_is_the_same(void **state)
{
    const struct privacy *const detectors[] = {plain, with_roster, no_house};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 22);
    for (size_t i = 0; i < n_texts; i++) {
        size_t from = i * 7 % n_texts, n = 1 + i % TURNS;
        if (from + n > n_texts)
            from = n_texts - n;
        for (size_t k = 1; k <= n; k++) { /* it grows */
            put_request(&b, texts + from, k);
            same_both_ways(detectors[(i + k) % 3], buf_view(&b),
                           i % 8 == 0 ? PRIVACY_STRICT : PRIVACY_NORMAL);
        }
    }
    assert_true(scratch->memo->hits > n_texts);
    buf_fini(&b);
}

static void a_known_turn_is_not_read(void **state)
{
    const strv talk[] = {STRV("which block is next?"), STRV("The block after this one is 7."),
                         STRV("and then?"), STRV("Then comes block 8.")};
    struct privacy_scratch *s = privacy_scratch_new();
    struct privacy_verdict v;
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    for (size_t n = 1; n <= 4; n++) {
        put_request(&b, talk, n);
        scan(plain, s, buf_view(&b), PRIVACY_NORMAL, &v);
        assert_int_equal(s->memo->hits, n * (n - 1) / 2); /* all but the last one */
    }
    scan(with_roster, s, buf_view(&b), PRIVACY_NORMAL, &v); /* another detector has read nothing */
    assert_int_equal(s->memo->hits, 6);
    scan(plain, s, buf_view(&b), PRIVACY_STRICT, &v); /* nor was it read so strictly */
    assert_int_equal(s->memo->hits, 6);
    scan(plain, s, buf_view(&b), PRIVACY_NORMAL, &v);
    assert_int_equal(s->memo->hits, 10);
    buf_fini(&b);
    privacy_scratch_free(s);
}

/* The same turn behind another one may mean something else. */
static void the_turn_before_counts(void **state)
{
    const strv asked[] = {STRV("what is his phone?"), STRV("155-123-4567")},
               other[] = {STRV("what is its length?"), STRV("155-123-4567")};
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    for (int round = 0; round < 2; round++) {
        put_request(&b, other, 2);
        assert_int_equal(same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->counts[PRIVACY_PHONE],
                         0);
        put_request(&b, asked, 2);
        assert_int_equal(same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->counts[PRIVACY_PHONE],
                         1);
    }
    buf_fini(&b);
}

/* Two parts of one turn are read together, whatever was read before. */
static void parts_of_a_turn_belong_together(void **state)
{
    static const strv alone = STRV("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                                   "\"text\",\"text\":\"481516\"}]}]}");
    static const strv both = STRV(
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"his MRN\"},"
        "{\"type\":\"text\",\"text\":\"481516\"}]}]}");
    static const strv data =
        STRV("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{"
             "\"name\":\"f\",\"arguments\":{\"mrn\":\"481516\"}}}]}]}");
    (void)state;
    assert_false(same_both_ways(plain, alone, PRIVACY_NORMAL)->is_private);
    assert_int_equal(same_both_ways(plain, both, PRIVACY_NORMAL)->counts[PRIVACY_MRN], 1);
    assert_int_equal(same_both_ways(plain, data, PRIVACY_NORMAL)->counts[PRIVACY_MRN], 1);
    assert_false(same_both_ways(plain, alone, PRIVACY_NORMAL)->is_private);
}

/* Weak evidence of two turns is strong enough, also when each was known by itself. */
static void evidence_adds_up(void **state)
{
    const strv talk[] = {STRV("the appointment is on 03/14/2025"), STRV("thank you"),
                         STRV("the other appointment is on 05/16/2025")};
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    put_request(&b, talk, 1);
    assert_false(same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->is_private);
    put_request(&b, talk + 2, 1);
    assert_false(same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->is_private);
    put_request(&b, talk, 3);
    assert_true(same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->is_private);
    buf_fini(&b);
}

/* Where a turn stands is part of it: a tool's own words are no data. */
static void places_differ(void **state)
{
    static const strv bodies[] = {
        STRV("{\"messages\":[{\"name\":\"maria_lopez\",\"role\":\"user\",\"content\":\"x\"}]}"),
        STRV("{\"tools\":[{\"name\":\"maria_lopez\",\"role\":\"user\",\"content\":\"x\"}]}"),
        STRV("{\"input\":[{\"name\":\"maria_lopez\",\"role\":\"user\",\"content\":\"x\"}]}"),
        STRV("{\"x\":{\"messages\":[{\"name\":\"maria_lopez\",\"role\":\"user\",\"content\":\"x\"}]"
             "}}"),
    };
    (void)state;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
            same_both_ways(plain, bodies[i], PRIVACY_NORMAL);
}

/* Long turns, many findings, and what cannot be read. */
static void what_does_not_fit_is_read_again(void **state)
{
    struct buf b, long_text;
    (void)state;
    buf_init(&b, 1 << 22);
    buf_init(&long_text, 1 << 20);
    for (int i = 0; i < 40; i++)
        buf_printf(&long_text, "call 808-555-%04d or look at line %d of the very long file. ",
                   1000 + 7 * i, i);
    while (buf_len(&long_text) < 40000)
        buf_put_cstr(&long_text, "Nothing is here but words about the weather and the sea. ");
    const strv talk[] = {buf_view(&long_text), STRV("ok"), STRV("call 808-555-0143"),
                         buf_view(&long_text)};
    for (size_t n = 1; n <= 4; n++) {
        put_request(&b, talk, n);
        same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL);
    }
    buf_clear(&long_text);
    for (int i = 0; i < 100; i++)
        buf_put_cstr(&long_text, "aB3xY9Qk");
    const strv blob[] = {STRV("hello"), buf_view(&long_text), STRV("hello again")};
    put_request(&b, blob, 3);
    assert_int_equal(
        same_both_ways(plain, buf_view(&b), PRIVACY_NORMAL)->counts[PRIVACY_UNREADABLE], 1);
    buf_fini(&long_text);
    buf_fini(&b);
}

/* More turns than there are places: the table stays what it is. */
static void it_is_bounded(void **state)
{
    struct memo *m = memo_new();
    struct memo_facts facts = {.n = 1}, got;
    uint64_t n = (uint64_t)MEMO_BUCKETS * MEMO_WAYS * 3;
    (void)state;
    assert_non_null(m);
    for (uint64_t i = 0; i < n; i++) {
        facts.found[0].start = (uint32_t)i;
        memo_put(m, (const uint64_t[2]){i, i << 8}, &facts);
    }
    for (uint64_t i = 0; i < n; i++) {
        bool found = memo_find(m, (const uint64_t[2]){i, i << 8}, &got);
        assert_int_equal(found, i >= n / 3 * 2);
        assert_true(!found || (got.n == 1 && got.found[0].start == i && !got.unreadable));
        assert_false(memo_find(m, (const uint64_t[2]){i, i << 8 ^ 0x100}, &got));
    }
    memo_free(m);
}

/* What is used stays, what is not goes. */
static void the_oldest_goes(void **state)
{
    struct memo *m = memo_new();
    struct memo_facts facts = {.unreadable = true}, got;
    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        memo_put(m, (const uint64_t[2]){i * MEMO_BUCKETS, 0}, &facts);
        assert_true(memo_find(m, (const uint64_t[2]){0, 0}, &got));
        assert_true(got.unreadable && got.n == 0);
    }
    assert_false(memo_find(m, (const uint64_t[2]){MEMO_BUCKETS, 0}, &got));
    memo_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_verdict_is_the_same),
        cmocka_unit_test(a_known_turn_is_not_read),
        cmocka_unit_test(the_turn_before_counts),
        cmocka_unit_test(parts_of_a_turn_belong_together),
        cmocka_unit_test(evidence_adds_up),
        cmocka_unit_test(places_differ),
        cmocka_unit_test(what_does_not_fit_is_read_again),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
