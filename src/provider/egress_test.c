/* SPDX-License-Identifier: Apache-2.0 */
/* egress - what a pass opens, and everything that it does not. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "provider/provider.h"

#define CLEAN STRV("{\"messages\":[{\"role\":\"user\",\"content\":\"Explain the 80-hour rule.\"}]}")
#define PRIVATE                                                                                    \
    STRV("{\"messages\":[{\"role\":\"user\",\"content\":\"SSN 219-09-9999 of the patient\"}]}")

struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct provider near, far, other;
    struct privacy *detector;
    struct privacy_scratch *scratch;
    struct privacy_verdict found;
    struct egress_pass pass;
    size_t connections;
    bool deny;
};

static bool allow(void *arg, const struct sockaddr *addr)
{
    (void)addr;
    return !((struct world *)arg)->deny;
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    (void)peer;
    ((struct world *)arg)->connections++;
}

static void make_provider(struct world *w, struct provider *p, const char *host,
                          enum provider_zone zone)
{
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = w};
    *p = (struct provider){
        .name = host,
        .zone = zone,
        .upstream = {.url = {.host = host, .port = 80, .authority = host, .path = ""},
                     .key = host,
                     .connect_ms = 1000,
                     .idle_ms = 1000,
                     .allow = allow,
                     .allow_arg = w},
    };
    fake_target(w->loop, host, 80, &rule);
}

static int open_world(void **state)
{
    static struct world w;
    struct err err = ERR_INIT;
    const char *none[] = {NULL};
    const struct privacy_conf conf = {.data = getenv("ROUTER_DATA"),
                                      .patterns = none,
                                      .fixed = none,
                                      .bytes_max = 1 << 20,
                                      .budget_us = 10000000};
    w = (struct world){.loop = io_loop_new(&err)};
    w.client = http_client_new(w.loop, 16384);
    w.detector = privacy_new(&conf, &err);
    w.scratch = privacy_scratch_new();
    assert_non_null(w.detector);
    assert_non_null(w.scratch);
    make_provider(&w, &w.near, "10.0.0.1", ZONE_LOCAL);
    make_provider(&w, &w.far, "203.0.113.1", ZONE_CLOUD);
    make_provider(&w, &w.other, "203.0.113.2", ZONE_CLOUD);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    http_client_free(w->client);
    privacy_scratch_free(w->scratch);
    privacy_unref(w->detector);
    assert_int_equal(fake_end(w->loop), 0);
    return 0;
}

static struct egress_judge judge_of(const struct world *w)
{
    return (struct egress_judge){.detector = w->detector, .scratch = w->scratch};
}

static enum egress_sealed seal(struct world *w, const struct provider *p, strv body)
{
    const struct egress_judge judge = judge_of(w);
    return egress_seal(&w->pass, p, false, body, &judge, &w->found);
}

static void on_end(void *arg, enum http_end how, enum io_end why)
{
    (void)arg, (void)how, (void)why;
}

/* Does this pass let these bytes go to this provider? Counts connections that came of it. */
static bool opens(struct world *w, const struct egress_pass *pass, const struct http_upstream *up,
                  strv body)
{
    static const struct http_call_ops ops = {NULL, NULL, on_end, NULL};
    struct http_call_spec spec = {.upstream = up,
                                  .method = HTTP_POST,
                                  .path = "/v1/chat/completions",
                                  .content_type = "application/json",
                                  .body = body};
    bool withheld = false;
    size_t before = w->connections;
    struct http_call *call = egress_call(w->client, pass, &spec, &ops, w, &withheld);
    fake_run(w->loop);
    assert_int_equal(withheld, call == NULL);
    assert_int_equal(w->connections - before, call != NULL && !w->deny);
    if (call != NULL && !w->deny)
        http_call_cancel(call);
    fake_run(w->loop);
    return call != NULL;
}

static void sealed_bytes_go_to_their_provider(void **state)
{
    struct world *w = *state;
    assert_int_equal(seal(w, &w->near, PRIVATE), EGRESS_SEALED); /* it stays here */
    assert_true(opens(w, &w->pass, &w->near.upstream, PRIVATE));
    if (!privacy_ready(w->detector))
        skip();
    assert_int_equal(seal(w, &w->far, CLEAN), EGRESS_SEALED);
    assert_true(opens(w, &w->pass, &w->far.upstream, CLEAN));
}

static void private_bytes_are_not_sealed(void **state)
{
    struct world *w = *state;
    if (privacy_digest(w->detector)[0] == '\0')
        skip();
    assert_int_equal(seal(w, &w->far, PRIVATE), EGRESS_PRIVATE);
    assert_true(w->found.is_private);
    assert_null(w->pass.p);
    assert_false(opens(w, &w->pass, &w->far.upstream, PRIVATE));
    /* Also where only the model is elsewhere, and where only somebody has said so. */
    struct egress_judge judge = judge_of(w);
    assert_int_equal(egress_seal(&w->pass, &w->near, true, PRIVATE, &judge, &w->found),
                     EGRESS_PRIVATE);
    judge.is_private = true;
    assert_int_equal(egress_seal(&w->pass, &w->far, false, CLEAN, &judge, &w->found),
                     EGRESS_PRIVATE);
}

/* A model's name that only the caller has told is text, and is read. */
static void a_model_s_name_is_read_unless_it_was_told(void **state)
{
    struct world *w = *state;
    strv body = STRV("{\"model\":\"ssn-219-09-9999\",\"input\":\"one\"}");
    struct egress_judge judge = judge_of(w);
    if (!privacy_ready(w->detector))
        skip();
    assert_int_equal(egress_seal(&w->pass, &w->far, false, body, &judge, &w->found),
                     EGRESS_PRIVATE);
    judge.model = STRV("other");
    assert_int_equal(egress_seal(&w->pass, &w->far, false, body, &judge, &w->found),
                     EGRESS_PRIVATE);
    judge.model = STRV("ssn-219-09-9999");
    assert_int_equal(egress_seal(&w->pass, &w->far, false, body, &judge, &w->found), EGRESS_SEALED);
}

static void without_a_detector_everything_is(void **state)
{
    struct world *w = *state;
    struct egress_judge judge = {.scratch = w->scratch};
    assert_int_equal(egress_seal(&w->pass, &w->far, false, CLEAN, &judge, &w->found),
                     EGRESS_PRIVATE);
    assert_int_equal(w->found.counts[PRIVACY_NOT_READY], 1);
    judge = (struct egress_judge){.detector = w->detector};
    assert_int_equal(egress_seal(&w->pass, &w->far, false, CLEAN, &judge, &w->found),
                     EGRESS_PRIVATE);
    assert_int_equal(w->found.counts[PRIVACY_MEMORY], 1);
}

static void a_pass_is_for_these_bytes_only(void **state)
{
    struct world *w = *state;
    char body[] = "{\"model\":\"m\",\"input\":\"one\"}";
    strv text = STRV("{\"model\":\"m\",\"input\":\"one\"}");
    struct egress_pass none = {0};
    if (!privacy_ready(w->detector))
        skip();
    assert_int_equal(seal(w, &w->far, text), EGRESS_SEALED);
    for (size_t i = 0; i < text.len; i++) { /* whichever byte */
        body[i] ^= 1;
        assert_false(opens(w, &w->pass, &w->far.upstream, (strv){body, text.len}));
        body[i] ^= 1;
    }
    assert_false(opens(w, &w->pass, &w->far.upstream, (strv){body, text.len - 1}));
    assert_false(opens(w, &w->pass, &w->far.upstream, STRV("")));
    assert_false(opens(w, NULL, &w->far.upstream, text));
    assert_false(opens(w, &none, &w->far.upstream, text));
    assert_true(opens(w, &w->pass, &w->far.upstream, (strv){body, text.len}));
}

/* What stays is known by where it lies; nothing of it can be said where it would leave. */
static void a_pass_that_stays_is_for_these_bytes_too(void **state)
{
    struct world *w = *state;
    char body[] = "{\"model\":\"m\",\"input\":\"one\"}";
    strv text = {body, sizeof body - 1};
    assert_int_equal(seal(w, &w->near, text), EGRESS_SEALED);
    assert_false(opens(w, &w->pass, &w->near.upstream, CLEAN));
    assert_false(opens(w, &w->pass, &w->near.upstream, (strv){body, text.len - 1}));
    assert_true(opens(w, &w->pass, &w->near.upstream, text));
    assert_true(egress_seal_own(&w->pass, &w->near, text));
    assert_true(opens(w, &w->pass, &w->near.upstream, text));
    w->near.zone = ZONE_CLOUD; /* no digest was made */
    assert_false(opens(w, &w->pass, &w->near.upstream, text));
}

static void a_pass_is_for_this_provider_only(void **state)
{
    struct world *w = *state;
    assert_int_equal(seal(w, &w->near, CLEAN), EGRESS_SEALED);
    assert_false(opens(w, &w->pass, &w->far.upstream, CLEAN));
    struct http_upstream copy = w->near.upstream; /* another base path is the same place */
    copy.url.path = "/v1";
    assert_true(opens(w, &w->pass, &copy, CLEAN));
    copy.url.host = "203.0.113.1";
    assert_false(opens(w, &w->pass, &copy, CLEAN));
    copy = w->near.upstream;
    copy.url.port = 81;
    assert_false(opens(w, &w->pass, &copy, CLEAN));
    copy = w->near.upstream;
    copy.key = "another pool";
    assert_false(opens(w, &w->pass, &copy, CLEAN));
    copy = w->near.upstream;
    copy.allow = NULL; /* nobody would look at the address */
    assert_false(opens(w, &w->pass, &copy, CLEAN));
    /* What was sealed as staying does not leave because the row says something else by now. */
    w->near.zone = ZONE_CLOUD;
    assert_false(opens(w, &w->pass, &w->near.upstream, CLEAN));
}

static void own_questions_need_a_pass_too(void **state)
{
    struct world *w = *state;
    assert_true(egress_seal_own(&w->pass, &w->far, STRV("")));
    assert_true(opens(w, &w->pass, &w->far.upstream, STRV("")));
    assert_false(opens(w, &w->pass, &w->far.upstream, CLEAN));
    assert_false(opens(w, &w->pass, &w->other.upstream, STRV("")));
}

static void the_address_is_asked_about(void **state)
{
    struct world *w = *state;
    assert_int_equal(seal(w, &w->near, CLEAN), EGRESS_SEALED);
    w->deny = true;
    assert_true(opens(w, &w->pass, &w->near.upstream, CLEAN)); /* a call, and no connection */
    assert_int_equal(w->connections, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sealed_bytes_go_to_their_provider),
        TEST(private_bytes_are_not_sealed),
        TEST(without_a_detector_everything_is),
        TEST(a_pass_is_for_these_bytes_only),
        TEST(a_pass_that_stays_is_for_these_bytes_too),
        TEST(a_pass_is_for_this_provider_only),
        TEST(own_questions_need_a_pass_too),
        TEST(the_address_is_asked_about),
        TEST(a_model_s_name_is_read_unless_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
