/* SPDX-License-Identifier: Apache-2.0 */
/* prober - who is asked when, what an answer teaches, and what a bad one does not break. */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "provider/provider.h"

#define INTERVAL_MS 30000
#define LIST                                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"              \
    "{\"data\":[{\"id\":\"m-1\"}]}"
#define ERROR_404 "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

struct server {         /* one per provider: answers every request with the same bytes */
    const char *answer; /* NULL = nothing */
    unsigned asked;
    char head[512]; /* the last request */
    char log[1024]; /* "GET /api/tags" of all of them, with bodies */
    struct {
        const char *path,
            *body; /* what is answered at other paths; NULL = 404, "" = nothing at all */
    } routes[4];
};

static bool is_whole(strv got)
{
    if (strv_starts(got, STRV("POST ")))
        return strv_ends(got, STRV("}"));
    return got.len >= 4 && strv_ends(got, STRV("\r\n\r\n"));
}

/* What a server with routes answers: its own body, or 404. */
static const char *find_route(const struct server *s, char out[2048])
{
    for (size_t i = 0; i < 4 && s->routes[i].path != NULL; i++) {
        size_t n = strlen(s->routes[i].path);
        if (strncmp(s->head, s->routes[i].path, n) != 0 || s->head[n] != ' ')
            continue;
        if (s->routes[i].body == NULL)
            return ERROR_404;
        if (s->routes[i].body[0] == '\0')
            return NULL;
        snprintf(out, 2048, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(s->routes[i].body), s->routes[i].body);
        return out;
    }
    return s->answer;
}

struct world {
    struct io_loop *loop;
    struct http_client *client;
    struct provider_prober *prober;
    struct provider p[3];
    struct server servers[3];
    int kept;
};

static void answer(void *arg, struct fake_peer *peer)
{
    struct server *s = arg;
    strv got = fake_peer_received(peer);
    char text[2048];
    if (!is_whole(got))
        return;
    s->asked++;
    snprintf(s->head, sizeof s->head, STRV_FMT, STRV_ARG(got));
    size_t at = strlen(s->log);
    const char *body = strstr(s->head, "\r\n\r\n");
    snprintf(s->log + at, sizeof s->log - at, "%s%.*s%s", at > 0 ? ", " : "",
             (int)strcspn(strchr(s->head, ' ') + 1, " ") + (int)(strchr(s->head, ' ') - s->head) +
                 1,
             s->head, body != NULL ? body + 4 : "");
    fake_peer_eat(peer, got.len);
    const char *answer = find_route(s, text);
    if (answer != NULL)
        fake_peer_send_cstr(peer, answer);
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    fake_peer_watch(peer, answer, arg);
}

static void keep(void *arg, int change)
{
    ((struct world *)arg)->kept += change;
}

/* Any address: which ones are allowed is config's affair. */
static bool allow_any(void *arg, const struct sockaddr *addr)
{
    (void)arg, (void)addr;
    return true;
}

static int open_world(void **state)
{
    static struct world w;
    static const char *const hosts[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
    static const char *const names[] = {"a", "b", "c"};
    struct err err = ERR_INIT;
    w = (struct world){.loop = io_loop_new(&err)};
    w.client = http_client_new(w.loop, 16384);
    w.prober = provider_prober_new(w.loop, w.client, NULL, INTERVAL_MS);
    for (size_t i = 0; i < 3; i++) {
        struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = &w.servers[i]};
        fake_target(w.loop, hosts[i], 80, &rule);
        w.servers[i].answer = LIST;
        w.p[i] = (struct provider){
            .name = names[i],
            .index = i,
            .kind = PROVIDER_OPENAI,
            .dialect = dialect_get(LLM_OPENAI),
            .upstream = {.url = {.host = hosts[i], .port = 80, .authority = hosts[i], .path = ""},
                         .key = hosts[i],
                         .allow = allow_any,
                         .connect_ms = 3000,
                         .idle_ms = 4000,
                         .idle_max = 1},
            .cell = provider_cell_get(names[i], hosts[i]),
        };
    }
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    provider_prober_free(w->prober);
    http_client_free(w->client);
    assert_int_equal(w->kept, 0);
    assert_int_equal(fake_end(w->loop), 0);
    provider_cells_free();
    return 0;
}

static void set(struct world *w, size_t n, bool cloud)
{
    provider_prober_set(w->prober, w->p, n, cloud, keep, w);
    fake_run(w->loop);
}

static void expect(struct world *w, size_t i, bool available, const char *problem)
{
    const struct provider_cell *c = w->p[i].cell;
    assert_true(c->probed);
    assert_string_equal(c->problem, problem);
    assert_int_equal(c->available, available);
    assert_int_equal(c->breaker, BREAKER_CLOSED);
}

/* ---- tests ---- */

static void everybody_is_asked_at_once_and_again(void **state)
{
    struct world *w = *state;
    fake_set_wall_us(w->loop, 1795359600000000);
    set(w, 3, true);
    for (size_t i = 0; i < 3; i++) {
        expect(w, i, true, "");
        assert_int_equal(w->servers[i].asked, 1);
        assert_true(w->p[i].cell->last_check_wall_us == 1795359600000000);
        assert_string_equal(w->p[i].cell->models->items[0].name, "m-1");
    }
    assert_true(strv_starts(strv_of(w->servers[0].head), STRV("GET /v1/models HTTP/1.1\r\n")));
    fake_advance(w->loop, INTERVAL_MS - 1);
    assert_int_equal(w->servers[0].asked, 1);
    fake_advance(w->loop, 1);
    assert_int_equal(w->servers[0].asked, 2);
}

static void the_cloud_only_when_allowed(void **state)
{
    struct world *w = *state;
    w->p[1].zone = ZONE_CLOUD;
    set(w, 3, false);
    assert_int_equal(w->servers[1].asked, 0);
    assert_false(w->p[1].cell->probed);
    assert_int_equal(w->servers[2].asked, 1);
    set(w, 3, true);
    assert_int_equal(w->servers[1].asked, 1);
}

static void each_in_its_own_way(void **state)
{
    struct world *w = *state;
    w->p[0].kind = PROVIDER_OLLAMA;
    w->p[1].kind = PROVIDER_ANTHROPIC;
    w->p[1].key = "sk-1";
    set(w, 2, true);
    assert_true(strv_starts(strv_of(w->servers[0].head), STRV("GET /api/tags HTTP/1.1\r\n")));
    expect(w, 0, false, "the list of models is malformed"); /* ours is another dialect's */
    assert_true(
        strv_starts(strv_of(w->servers[1].head), STRV("GET /v1/models?limit=1000 HTTP/1.1\r\n")));
    assert_non_null(strstr(w->servers[1].head, "x-api-key: sk-1\r\n"));
    expect(w, 1, true, "");
}

static void an_engine_is_asked_when_it_is_up(void **state)
{
    struct world *w = *state;
    provider_set_state(w->p[0].cell, PROVIDER_LOADING, "loading");
    set(w, 1, true);
    fake_advance(w->loop, 5000);
    assert_int_equal(w->servers[0].asked, 0);
    assert_string_equal(w->p[0].cell->problem, "loading");
    provider_set_state(w->p[0].cell, PROVIDER_UP, NULL);
    fake_advance(w->loop, 100);
    assert_int_equal(w->servers[0].asked, 1);
    expect(w, 0, true, "");
}

static void bad_answers(void **state)
{
    static const struct {
        const char *answer, *problem;
    } cases[] = {
        {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "auth"},
        {"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", "http_5xx"},
        {"HTTP/1.1 503 No\r\nContent-Length: 38\r\n\r\n{\"error\":{\"message\":\"Loading model\"}} "
         "  ",
         "loading"},
        {"HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "redirect"},
        {ERROR_404, "no list of models at this address"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "the list of models is malformed"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "the list of models is malformed"},
        {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "malformed"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w->servers[0].answer = cases[i].answer;
        set(w, 1, true);
        expect(w, 0, false, cases[i].problem);
    }
    assert_null(w->p[0].cell->models);
}

static void a_known_list_needs_no_answer(void **state)
{
    static const char *const models[] = {"m", NULL};
    struct world *w = *state;
    w->p[0].static_models = models;
    w->servers[0].answer = ERROR_404;
    set(w, 1, true);
    expect(w, 0, true, "");
}

static void an_endless_list_is_cut_off(void **state)
{
    static char big[5 << 20];
    struct world *w = *state;
    int n = snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    memset(big + n, ' ', sizeof big - 1 - (size_t)n);
    w->servers[0].answer = big;
    set(w, 1, true);
    expect(w, 0, false, "the list of models is too large");
}

static void who_does_not_answer_delays_nobody(void **state)
{
    struct world *w = *state;
    w->servers[0].answer = NULL;
    set(w, 2, true);
    expect(w, 1, true, "");
    assert_false(w->p[0].cell->probed);
    fake_advance(w->loop, 4999);
    assert_false(w->p[0].cell->probed);
    fake_advance(w->loop, 1);
    expect(w, 0, false, "no answer in time");
}

static void after_a_failure_it_asks_sooner(void **state)
{
    struct world *w = *state;
    struct fake_rule refuse = {.answer = FAKE_REFUSE};
    fake_target(w->loop, "10.0.0.1", 80, &refuse);
    set(w, 1, true);
    expect(w, 0, false, "connect_refused");
    static const uint64_t waits[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        size_t before = fake_connects(w->loop);
        assert_true(fake_next_timer_ms(w->loop) == waits[i]);
        fake_advance(w->loop, waits[i]);
        assert_int_equal(fake_connects(w->loop), before + 1);
    }
    struct fake_rule rule = {.answer = FAKE_ACCEPT, .on_peer = on_peer, .arg = &w->servers[0]};
    fake_target(w->loop, "10.0.0.1", 80, &rule);
    fake_advance(w->loop, 30000);
    expect(w, 0, true, "");
}

static void a_new_set_takes_over_at_once(void **state)
{
    struct world *w = *state;
    w->servers[0].answer = NULL;
    set(w, 2, true);
    assert_int_equal(w->kept, 1);
    set(w, 1, true); /* while the first hangs */
    assert_int_equal(w->kept, 1);
    w->servers[0].answer = LIST;
    fake_advance(w->loop, 5000);
    fake_advance(w->loop, 1000);
    expect(w, 0, true, "");
    assert_int_equal(w->servers[1].asked, 1); /* not of the set any more */
}

static void refused_memory_is_a_failed_probe(void **state)
{
    struct world *w = *state;
    mem_fail_at(1, false);
    assert_null(provider_prober_new(w->loop, w->client, NULL, 1));
    mem_fail_at(0, false);
    set(w, 1, true);
    for (uint64_t nth = 1; nth < 40; nth++) {
        mem_fail_at(nth, false);
        set(w, 1, true);
        mem_fail_at(0, false);
        fake_advance(w->loop, INTERVAL_MS); /* asked again, and well */
        expect(w, 0, true, "");
    }
}

/* ---- further questions ---- */

static const char two_models[] =
    "{\"models\":[{\"name\":\"a\",\"digest\":\"1\"},{\"name\":\"b:7b\",\"digest\":\"2\"},"
    "{\"name\":\"c\",\"capabilities\":[\"completion\"]},{\"name\":\"d-cloud\"}]}";

static void be_ollama(struct world *w)
{
    struct server *s = &w->servers[0];
    w->p[0].kind = PROVIDER_OLLAMA;
    w->p[0].dialect = dialect_get(LLM_OLLAMA);
    s->routes[0].path = "GET /api/tags";
    s->routes[0].body = two_models;
    s->routes[1].path = "GET /api/ps";
    s->routes[1].body = "{\"models\":[{\"name\":\"a:latest\"}]}";
    s->routes[2].path = "POST /api/show";
    s->routes[2].body = "{\"capabilities\":[\"completion\",\"tools\"]}";
}

static void an_ollama_tells_what_is_loaded_and_what_each_can(void **state)
{
    struct world *w = *state;
    struct arena arena;
    struct provider_facts f;
    arena_init(&arena, 256, 4096);
    be_ollama(w);
    set(w, 1, true);
    expect(w, 0, true, "");
    assert_string_equal(w->servers[0].log, "GET /api/tags, GET /api/ps, POST /api/show{\"model\":"
                                           "\"a\"}, POST /api/show{\"model\":\"b:7b\"}");
    assert_true(provider_model_facts(&w->p[0], STRV("b:7b"), &arena, &f));
    assert_int_equal(f.has, LLM_NEED_TOOLS);
    assert_int_equal(f.warmth, PROVIDER_COLD);
    assert_true(provider_model_facts(&w->p[0], STRV("a"), &arena, &f));
    assert_int_equal(f.warmth, PROVIDER_WARM);
    w->servers[0].log[0] = '\0';
    fake_advance(w->loop, INTERVAL_MS); /* what is known is not asked again */
    assert_string_equal(w->servers[0].log, "GET /api/tags, GET /api/ps");
    arena_fini(&arena);
}

static void a_list_of_many_silent_models_is_asked_bit_by_bit(void **state)
{
    struct world *w = *state;
    static char many[2000];
    size_t at = (size_t)snprintf(many, sizeof many, "{\"models\":[");
    for (int i = 0; i < 20; i++)
        at += (size_t)snprintf(many + at, sizeof many - at, "%s{\"name\":\"m%d\"}",
                               i > 0 ? "," : "", i);
    snprintf(many + at, sizeof many - at, "]}");
    be_ollama(w);
    w->servers[0].routes[0].body = many;
    set(w, 1, true);
    assert_int_equal(w->servers[0].asked, 2 + 8);
    fake_advance(w->loop, INTERVAL_MS);
    assert_int_equal(w->servers[0].asked, 2 * (2 + 8));
    fake_advance(w->loop, INTERVAL_MS);
    assert_int_equal(w->servers[0].asked, 3 * 2 + 20);
    fake_advance(w->loop, INTERVAL_MS);
    assert_int_equal(w->servers[0].asked, 4 * 2 + 20);
}

static void what_is_refused_is_not_asked_again(void **state)
{
    struct world *w = *state;
    be_ollama(w);
    w->servers[0].routes[1].body = NULL;
    w->servers[0].routes[2].body = NULL;
    set(w, 1, true);
    expect(w, 0, true, ""); /* the list decides */
    assert_int_equal(w->servers[0].asked, 4);
    w->servers[0].log[0] = '\0';
    fake_advance(w->loop, INTERVAL_MS);
    assert_string_equal(w->servers[0].log, "GET /api/tags");
}

static void a_further_question_without_an_answer_does_no_harm(void **state)
{
    struct world *w = *state;
    be_ollama(w);
    w->servers[0].routes[1].body = "";
    set(w, 1, true);
    expect(w, 0, true, "");
    fake_advance(w->loop, 5000);
    expect(w, 0, true, "");
    w->servers[0].log[0] = '\0';
    fake_advance(w->loop, INTERVAL_MS - 5000); /* the next list is not late */
    assert_string_equal(w->servers[0].log, "GET /api/tags, GET /api/ps");
}

static void memory_is_asked_for_after_a_call_that_changed_it(void **state)
{
    struct world *w = *state;
    uint64_t ms;
    be_ollama(w);
    set(w, 1, true);
    w->servers[0].log[0] = '\0';
    assert_int_equal(provider_admit(&w->p[0], 5, &ms), ADMIT_GO);
    provider_report(&w->p[0],
                    &(struct provider_report){
                        .outcome = OUTCOME_OK, .now_us = 9, .latency_us = 4, .model = STRV("b:7b")},
                    NULL);
    w->servers[0].routes[1].body = "{\"models\":[{\"name\":\"b:7b\"}]}";
    fake_advance(w->loop, 500);
    assert_string_equal(w->servers[0].log, "GET /api/ps");
    assert_false(provider_is_cold(&w->p[0], STRV("b:7b"), 10));
    assert_true(provider_is_cold(&w->p[0], STRV("a"), 10));
    fake_advance(w->loop, 500);
    assert_string_equal(w->servers[0].log, "GET /api/ps"); /* once */
    fake_advance(w->loop, INTERVAL_MS - 1000);             /* and the list comes when it was due */
    assert_string_equal(w->servers[0].log, "GET /api/ps, GET /api/tags, GET /api/ps");
}

static void openai_s_kin_beside_its_base_path(void **state)
{
    struct world *w = *state;
    struct server *s = &w->servers[0];
    w->p[0].upstream.url.path = "/v1";
    s->routes[0].path = "GET /v1/models";
    s->routes[0].body = "{\"data\":[{\"id\":\"m\",\"owned_by\":\"llamacpp\"}]}";
    s->routes[1].path = "GET /props";
    s->routes[1].body = "{\"total_slots\":3}";
    s->routes[2].path = "GET /slots";
    s->routes[2].body = "[{\"is_processing\":true}]";
    set(w, 1, true);
    expect(w, 0, true, "");
    assert_string_equal(s->log, "GET /v1/models, GET /props, GET /slots");
    assert_int_equal(w->p[0].cell->slots_seen, 3);
    assert_int_equal(w->p[0].cell->busy, 1);
    s->routes[0].body = "{\"data\":[{\"id\":\"m\",\"owned_by\":\"vllm\"}]}";
    s->routes[1].path = "GET /metrics";
    s->routes[1].body = "vllm:num_requests_running 5\nvllm:num_requests_waiting 6\n";
    s->log[0] = '\0';
    fake_advance(w->loop, INTERVAL_MS);
    assert_string_equal(s->log, "GET /v1/models, GET /metrics");
    assert_int_equal(w->p[0].cell->busy, 5);
    assert_int_equal(w->p[0].cell->queued, 6);
}

static void every_server_under_a_name_is_asked(void **state)
{
    struct world *w = *state;
    struct provider row = w->p[0];
    row.instances = w->p;
    row.n_instances = 3;
    provider_prober_set(w->prober, &row, 1, true, keep, w);
    fake_run(w->loop);
    for (size_t i = 0; i < 3; i++)
        expect(w, i, true, "");
}

static void refused_memory_in_further_questions(void **state)
{
    struct world *w = *state;
    be_ollama(w);
    for (uint64_t nth = 1; nth < 80; nth++) {
        mem_fail_at(nth, false);
        set(w, 1, true);
        mem_fail_at(0, false);
        fake_advance(w->loop, INTERVAL_MS);
        expect(w, 0, true, "");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everybody_is_asked_at_once_and_again),
        TEST(the_cloud_only_when_allowed),
        TEST(each_in_its_own_way),
        TEST(an_engine_is_asked_when_it_is_up),
        TEST(bad_answers),
        TEST(a_known_list_needs_no_answer),
        TEST(an_endless_list_is_cut_off),
        TEST(who_does_not_answer_delays_nobody),
        TEST(after_a_failure_it_asks_sooner),
        TEST(a_new_set_takes_over_at_once),
        TEST(refused_memory_is_a_failed_probe),
        TEST(an_ollama_tells_what_is_loaded_and_what_each_can),
        TEST(a_list_of_many_silent_models_is_asked_bit_by_bit),
        TEST(what_is_refused_is_not_asked_again),
        TEST(a_further_question_without_an_answer_does_no_harm),
        TEST(memory_is_asked_for_after_a_call_that_changed_it),
        TEST(openai_s_kin_beside_its_base_path),
        TEST(every_server_under_a_name_is_asked),
        TEST(refused_memory_in_further_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
