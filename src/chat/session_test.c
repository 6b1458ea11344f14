/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_test - dialogues with sessions: two rooms on one made-up loop; exchanges, loops with tools, the desk and the file
 * are played by the test, which stands in the linker's place of exchange.c, loop.c, approvals.c and keep.c.
 *
 *   sit() > say(), hears()           a client: every frame is a line of its text
 *   exchange_start() > says(), ends(), breaks()      a model
 *   tools.watch                                      what a loop lets see
 *   kept[]                                           the file, answered a turn later
 */
#include "../test/lib/fake_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat_int.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ID           "0a1b2c3d-session"
#define KEPT_MAX     4
#define LINES_MAX    64

struct exchange {
    struct llm_request *r;
    const struct exchange_sink *sink;
    void *arg;
    bool begun, over, gone, is_private;
    const char *findings;
    bool is_loop;
};
struct agent_loop {
    struct exchange x;
    const struct agent_watch *watch;
    struct agent_loop *next;
};

struct chair {
    struct chat_seat *seat;
    struct buf heard; /* a frame a line */
    unsigned code;
    bool risen;
};

struct row { /* of the file */
    char id[CHAT_SESSION_MAX + 1], user[CHAT_USER_MAX + 1];
    char title[300], mode[16], summary[400];
    uint32_t leaf, summary_to;
    bool is_private;
    size_t n;
    char *lines[LINES_MAX];
};

static struct {
    struct io_loop *loop;
    struct exchange_env ex;
    struct snapshot snapshot;
    struct provider provider;
    struct mcp_conf mcp;
    struct mcp_server_conf server;
    struct agent_env agent;
    struct rng rng;
    struct chat_conf conf;
    struct chat_room *rooms[2];
    struct chair chairs[4];
    struct exchange *x;
    struct agent_loop *l, *made;
    unsigned asked, running;
    int64_t window;
    bool refuses; /* the next exchange fails at once */
    bool unread;  /* and before it has looked for what is private */
    bool private_next;
    struct row kept[KEPT_MAX];
    size_t n_kept;
    bool keeps, keep_fails, keep_closed, seals;
    char decided[64];
} t;

/* ---- a model ---- */

/* It outlives its arena, so that the test can see what became of it. */
static struct agent_loop *made_in(struct arena *arena)
{
    struct agent_loop *l = arena_alloc(arena, 64) != NULL ? calloc(1, sizeof *l) : NULL;
    if (l == NULL)
        return NULL;
    l->next = t.made;
    t.made = l;
    return l;
}

static void fake_exchange(struct exchange *x, struct llm_request *r,
                          const struct exchange_sink *sink, void *arg)
{
    *x = (struct exchange){.r = r, .sink = sink, .arg = arg, .findings = ""};
    x->is_private = r->private_hint || r->mode == LLM_MODE_LOCAL;
    if (t.private_next) {
        x->is_private = true;
        x->findings = "mrn=1";
    }
    t.x = x;
    t.asked++;
    t.running++;
    assert_int_equal(t.running, 1); /* never two for a session */
}

struct exchange *exchange_start(struct exchange_env *env, struct arena *arena,
                                struct llm_request *r, const struct exchange_caller *caller,
                                const struct exchange_sink *sink, void *arg)
{
    struct agent_loop *made = made_in(arena);
    assert_ptr_equal(env, &t.ex);
    assert_non_null(caller->request_id.ptr);
    if (made == NULL)
        return NULL;
    struct exchange *x = &made->x;
    fake_exchange(x, r, sink, arg);
    if (t.refuses) {
        x->over = true;
        t.running--;
        (sink->fail)(arg, x, LLM_ERR_DRAINING, 503, STRV("not now"), STRV_NONE, 7);
    }
    return x;
}

void exchange_caller_gone(struct exchange *x)
{
    assert_false(x->over || x->gone);
    x->gone = true;
    t.running--;
}

const char *exchange_provider(const struct exchange *x)
{
    (void)x;
    return "one";
}

strv exchange_model(const struct exchange *x)
{
    (void)x;
    return STRV("m1");
}

strv exchange_task(const struct exchange *x)
{
    (void)x;
    return STRV("tool_calling");
}

const char *exchange_reason(const struct exchange *x)
{
    (void)x;
    return "default";
}

bool exchange_private(const struct exchange *x)
{
    return x->is_private;
}

bool exchange_judged(const struct exchange *x)
{
    (void)x;
    return !t.unread;
}

const char *exchange_findings(const struct exchange *x)
{
    return x->findings;
}

int exchange_error(const struct exchange *x)
{
    (void)x;
    return LLM_ERR_UPSTREAM_CUT;
}

const char *exchange_waits(const struct exchange *x)
{
    (void)x;
    return "load";
}

void exchange_sum(const struct exchange *x, struct exchange_sums *out)
{
    (void)x;
    *out = (struct exchange_sums){
        .local = true, .usage = LLM_USAGE_NONE, .cost_micro = 3, .saved_micro = 5, .window = 4096};
    out->usage.input = 812;
    out->usage.output = 24;
}

bool exchange_find(struct exchange_env *env, const struct llm_request *r,
                   const struct policy_key *key, struct arena *arena, struct policy_plan *out,
                   struct err *err)
{
    (void)env;
    (void)r;
    (void)key;
    (void)arena;
    (void)err;
    *out = (struct policy_plan){.n = 1};
    out->targets[0] = (struct policy_target){.model = STRV("m1")};
    return true;
}

bool provider_model_facts(const struct provider *p, strv model, struct arena *arena,
                          struct provider_facts *out)
{
    (void)p;
    (void)model;
    (void)arena;
    *out = (struct provider_facts){.context = t.window};
    return true;
}

static bool tell(struct llm_event ev)
{
    struct exchange *x = t.x;
    if (x->over || x->gone)
        return false;
    if (!x->begun)
        x->sink->begin(x->arg, x, 200, "text/event-stream", HTTP_LENGTH_STREAM);
    x->begun = true;
    return x->sink->event(x->arg, &ev);
}

static void breaks(void)
{
    struct exchange *x = t.x;
    if (x->over || x->gone)
        return;
    x->over = true;
    t.running--;
    if (x->begun)
        x->sink->abort(x->arg);
    else
        (x->sink->fail)(x->arg, x, LLM_ERR_INTERNAL, 500, STRV("it broke"), STRV_NONE, 0);
    fake_run(t.loop);
}

static void says(const char *text)
{
    if (!tell((struct llm_event){.kind = LLM_EV_TEXT, .text = strv_of(text)}))
        breaks();
}

static void ends(void)
{
    struct exchange *x = t.x;
    if (x->over || x->gone)
        return;
    x->over = true;
    t.running--;
    if (!x->begun)
        x->sink->begin(x->arg, x, 200, "text/event-stream", HTTP_LENGTH_STREAM);
    x->sink->end(x->arg);
    fake_run(t.loop);
}

static void answers(const char *text)
{
    says(text);
    ends();
}

/* The text of the n-th message that the model was sent. */
static bool was_sent(const char *text)
{
    for (size_t i = 0; i < t.x->r->n_messages; i++)
        for (size_t k = 0; k < t.x->r->messages[i].n_parts; k++) {
            const struct llm_part *p = &t.x->r->messages[i].parts[k];
            if (strv_contains_nocase(p->text, strv_of(text)))
                return true;
            for (size_t m = 0; m < p->n_parts; m++)
                if (strv_contains_nocase(p->parts[m].text, strv_of(text)))
                    return true;
        }
    return false;
}

/* ---- a loop with tools ---- */

struct agent_loop *agent_start_watched(struct agent_env *env, struct arena *arena,
                                       struct llm_request *r, const struct exchange_caller *caller,
                                       const struct exchange_sink *sink,
                                       const struct agent_watch *watch, void *arg)
{
    struct agent_loop *l = made_in(arena);
    assert_ptr_equal(env, &t.agent);
    (void)caller;
    if (l == NULL)
        return NULL;
    fake_exchange(&l->x, r, sink, arg);
    l->x.is_loop = true;
    l->watch = watch;
    t.l = l;
    return l;
}

void agent_caller_gone(struct agent_loop *l)
{
    exchange_caller_gone(&l->x);
}

struct exchange *agent_exchange(const struct agent_loop *l)
{
    return (struct exchange *)&l->x;
}

void agent_sum(const struct agent_loop *l, struct exchange_sums *out, struct llm_usage *latest)
{
    exchange_sum(&l->x, out);
    *latest = out->usage;
}

bool agent_private(const struct agent_loop *l)
{
    return l->x.is_private;
}

const char *agent_absent(const struct agent_loop *l)
{
    (void)l;
    return NULL;
}

static void calls(const char *id, const char *name, const char *input)
{
    if (!t.x->begun)
        t.x->sink->begin(t.x->arg, t.x, 200, "text/event-stream", HTTP_LENGTH_STREAM);
    t.x->begun = true;
    t.l->watch->begun(t.x->arg, strv_of(id), strv_of(name));
    t.l->watch->called(t.x->arg, strv_of(id), strv_of(name), STRV("sched"), strv_of(input));
}

static void results(const char *id, const char *name, const char *text)
{
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = strv_of(text)};
    const struct agent_outcome o = {
        .part = {.kind = LLM_PART_RESULT, .parts = &part, .n_parts = 1}};
    t.l->watch->result(t.x->arg, strv_of(id), strv_of(name), &o);
}

/* ---- the desk ---- */

const char *agent_decision_name(enum agent_decision d)
{
    return d == AGENT_APPROVED ? "approved" : "denied";
}

bool agent_desk_decide(struct agent_desk *d, strv id, enum agent_decision decision, bool remember,
                       const char *by, struct err *err)
{
    (void)d;
    snprintf(t.decided, sizeof t.decided, STRV_FMT " %s %s%s", STRV_ARG(id),
             agent_decision_name(decision), by, remember ? " for the session" : "");
    return !strv_eq_cstr(id, "ap_none") || err_set(err, 0, "nothing waits under this id");
}

/* ---- the file ---- */

struct errand {
    chat_load_fn load;
    chat_done_fn done;
    void *arg;
    enum chat_kept how;
    struct row *row;
};

static struct row *row_of(const char *id)
{
    for (size_t i = 0; i < t.n_kept; i++)
        if (strcmp(t.kept[i].id, id) == 0)
            return &t.kept[i];
    return NULL;
}

static void carry_out(void *arg)
{
    struct errand e = *(struct errand *)arg;
    struct chat_head head = {.is_private = false};
    strv lines[LINES_MAX];
    size_t n = 0;
    free(arg);
    if (e.done != NULL)
        e.done(e.arg, e.how);
    if (e.load == NULL)
        return;
    if (e.how == CHAT_KEPT_OK) {
        for (size_t i = 0; i < LINES_MAX; i++)
            if (e.row->lines[i] != NULL)
                lines[n++] = strv_of(e.row->lines[i]);
        head = (struct chat_head){.title = strv_of(e.row->title),
                                  .mode = strv_of(e.row->mode),
                                  .summary = strv_of(e.row->summary),
                                  .summary_to = e.row->summary_to,
                                  .leaf = e.row->leaf,
                                  .is_private = e.row->is_private,
                                  .tools = true,
                                  .n_messages = (uint32_t)n};
    }
    e.load(e.arg, e.how, e.how == CHAT_KEPT_OK ? &head : NULL, lines, n);
}

static bool send_errand(struct io_loop *loop, struct errand e)
{
    struct errand *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = e;
    if (io_post(loop, carry_out, copy))
        return true;
    free(copy);
    return false;
}

bool chat_keep_private(const struct chat_keep *k)
{
    assert_true(k == NULL || !t.keep_closed);
    return k != NULL && t.seals;
}

bool chat_keep_load(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                    chat_load_fn fn, void *arg)
{
    assert_false(t.keep_closed);
    struct row *r = row_of(id);
    (void)k;
    enum chat_kept how = t.keep_fails                 ? CHAT_KEPT_FAILED
                         : r == NULL                  ? CHAT_KEPT_NONE
                         : strcmp(r->user, user) == 0 ? CHAT_KEPT_OK
                                                      : CHAT_KEPT_FOREIGN;
    return send_errand(loop, (struct errand){.load = fn, .arg = arg, .how = how, .row = r});
}

bool chat_keep_put(struct chat_keep *k, struct io_loop *loop, const struct chat_head *head,
                   const strv *messages, const uint32_t *numbers, size_t n, chat_done_fn fn,
                   void *arg)
{
    assert_false(t.keep_closed);
    struct row *r = row_of(head->id);
    (void)k;
    if (t.keep_fails || (head->is_private && !t.seals))
        return send_errand(
            loop, (struct errand){.done = fn,
                                  .arg = arg,
                                  .how = t.keep_fails ? CHAT_KEPT_FAILED : CHAT_KEPT_NONE});
    if (r == NULL && head->leaf > 0 && (n == 0 || numbers[0] != 1)) /* not in the middle */
        return send_errand(loop, (struct errand){.done = fn, .arg = arg, .how = CHAT_KEPT_NONE});
    if (r == NULL) {
        assert_true(t.n_kept < KEPT_MAX);
        r = &t.kept[t.n_kept++];
    }
    snprintf(r->id, sizeof r->id, "%s", head->id);
    snprintf(r->user, sizeof r->user, "%s", head->user);
    snprintf(r->title, sizeof r->title, STRV_FMT, STRV_ARG(head->title));
    snprintf(r->mode, sizeof r->mode, STRV_FMT, STRV_ARG(head->mode));
    snprintf(r->summary, sizeof r->summary, STRV_FMT, STRV_ARG(head->summary));
    r->leaf = head->leaf;
    r->summary_to = head->summary_to;
    r->is_private = head->is_private;
    for (size_t i = 0; i < n; i++) {
        assert_true(numbers[i] < LINES_MAX);
        free(r->lines[numbers[i]]);
        r->lines[numbers[i]] = calloc(1, messages[i].len + 1); /* strndup() may look one further */
        memcpy(r->lines[numbers[i]], messages[i].ptr, messages[i].len);
    }
    return send_errand(loop, (struct errand){.done = fn, .arg = arg, .how = CHAT_KEPT_OK});
}

static void drop_row(struct row *r)
{
    for (size_t i = 0; i < LINES_MAX; i++)
        free(r->lines[i]);
    *r = (struct row){.n = 0};
}

bool chat_keep_delete(struct chat_keep *k, struct io_loop *loop, const char *user, const char *id,
                      chat_done_fn fn, void *arg)
{
    assert_false(t.keep_closed);
    struct row *r = row_of(id);
    enum chat_kept how = r == NULL                    ? CHAT_KEPT_NONE
                         : strcmp(r->user, user) != 0 ? CHAT_KEPT_FOREIGN
                                                      : CHAT_KEPT_OK;
    (void)k;
    if (how == CHAT_KEPT_OK)
        drop_row(r);
    return send_errand(loop, (struct errand){.done = fn, .arg = arg, .how = how});
}

/* ---- clients ---- */

static void on_frame(void *arg, struct chat_frame *f)
{
    struct chair *c = arg;
    assert_int_equal(c->code, 0); /* nothing comes after shut() */
    assert_int_equal(strlen(f->text), f->len);
    buf_put(&c->heard, f->text, f->len);
    buf_put_char(&c->heard, '\n');
}

static void on_shut(void *arg, unsigned code, const char *reason)
{
    struct chair *c = arg;
    assert_int_equal(c->code, 0);
    assert_true(strlen(reason) <= 123);
    c->code = code;
}

static void on_risen(void *arg)
{
    struct chair *c = arg;
    c->risen = true;
    c->seat = NULL;
}

static const struct chat_seat_ops ops = {on_frame, on_shut, on_risen};

static struct chair *sit_as(size_t i, const char *id, const char *user)
{
    struct chair *c = &t.chairs[i];
    struct chat_sit s = {.model = STRV("")};
    snprintf(s.session, sizeof s.session, "%s", id);
    snprintf(s.user.id, sizeof s.user.id, "%s", user);
    snprintf(s.user.address, sizeof s.user.address, "127.0.0.1:%zu", i);
    buf_fini(&c->heard);
    *c = (struct chair){.seat = NULL};
    buf_init(&c->heard, (size_t)1 << 28);
    c->seat = chat_sit(t.rooms[i % 2], &s, &ops, c);
    return c;
}

static struct chair *sit(size_t i)
{
    struct chair *c = sit_as(i, ID, "local");
    fake_run(t.loop);
    return c;
}

static void leave(struct chair *c)
{
    if (c->seat != NULL)
        chat_rise(c->seat);
    fake_run(t.loop);
    fake_advance(t.loop, 100); /* a bell that could not be rung */
    assert_null(c->seat);
}

static void say(struct chair *c, const char *json)
{
    if (c->seat != NULL)
        (void)chat_say(c->seat, strv_of(json));
    fake_run(t.loop);
}

static void asks(struct chair *c, const char *content)
{
    char json[400];
    snprintf(json, sizeof json, "{\"type\":\"user_message\",\"content\":\"%s\"}", content);
    say(c, json);
}

static const char *text_of(struct chair *c)
{
    buf_put_char(&c->heard, '\0');
    c->heard.end--;
    return buf_view(&c->heard).ptr;
}

static size_t times(struct chair *c, const char *part)
{
    size_t n = 0;
    for (const char *at = text_of(c); (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

/* These, in this order; what was heard before is forgotten. */
static void hears_all(struct chair *c, const char *const *parts, size_t n)
{
    const char *at = text_of(c);
    for (size_t i = 0; i < n; i++) {
        const char *found = strstr(at, parts[i]);
        if (found == NULL)
            fail_msg("%s is not in its place in:\n%s", parts[i], text_of(c));
        at = found + strlen(parts[i]);
    }
    buf_clear(&c->heard);
}
#define hears(c, ...)                                                                              \
    hears_all((c), (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__})))

/* ---- the place ---- */

static void open_rooms(void)
{
    struct chat_room_env env = {.exchange = &t.ex,
                                .agent = &t.agent,
                                .keep = t.keeps ? (struct chat_keep *)(void *)&t.kept : NULL,
                                .conf = &t.conf,
                                .rooms = t.rooms,
                                .n_rooms = 2};
    for (size_t i = 0; i < 2; i++) {
        t.rooms[i] = chat_room_new(&env);
        assert_non_null(t.rooms[i]);
    }
}

static void close_rooms(void)
{
    for (size_t i = 0; i < COUNT(t.chairs); i++)
        if (t.chairs[i].seat != NULL)
            chat_rise(t.chairs[i].seat);
    chat_rooms_settle(t.rooms, 2);
    t.keep_closed = true; /* its last answers come when it is gone */
    fake_run(t.loop);
    t.keep_closed = false;
    for (size_t i = 0; i < 2; i++)
        chat_room_free(t.rooms[i]);
    assert_int_equal(t.running, 0);
}

static int begin(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    memset(&t, 0, sizeof t);
    t.loop = io_loop_new(&err);
    rng_seed(&t.rng, 1);
    fake_set_wall_us(t.loop, (int64_t)1795434000 * 1000000);
    t.snapshot.providers = &t.provider;
    t.snapshot.n_providers = 1;
    t.snapshot.policy.mode = LLM_MODE_CLOUD;
    t.server.name = "sched";
    t.mcp = (struct mcp_conf){.servers = &t.server, .n_servers = 1};
    t.ex = (struct exchange_env){.loop = t.loop, .rng = &t.rng, .snapshot = &t.snapshot};
    arena_init(&t.ex.scratch, 4096, 1 << 20);
    t.agent = (struct agent_env){
        .exchange = &t.ex, .desk = (struct agent_desk *)(void *)&t.agent, .conf = &t.mcp};
    t.conf = (struct chat_conf){.session_bytes_max = 1 << 20,
                                .message_bytes_max = 65536,
                                .sessions_live_max = 3,
                                .quiet_ms = 60000,
                                .messages_min = 10,
                                .messages_hour = 100};
    t.keeps = t.seals = true;
    open_rooms();
    return t.loop == NULL;
}

static int end(void **state)
{
    (void)state;
    close_rooms();
    for (size_t i = 0; i < t.n_kept; i++)
        drop_row(&t.kept[i]);
    for (size_t i = 0; i < COUNT(t.chairs); i++)
        buf_fini(&t.chairs[i].heard);
    arena_fini(&t.ex.scratch);
    while (t.made != NULL) {
        struct agent_loop *l = t.made;
        t.made = l->next;
        free(l);
    }
    return fake_end(t.loop) > 0;
}

static void with_tools(void)
{
    t.agent.hub = (struct mcp_hub *)(void *)&t.mcp;
}

/* ---- an answer ---- */

static void a_question_is_answered(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    hears(c, "{\"type\":\"connected\",\"session_id\":\"" ID "\",\"history_count\":0",
          "\"mode\":\"hybrid\"", "\"private\":false", "\"kept\":true", "\"running\":false}");
    say(c, "{\"type\":\"user_message\",\"content\":\"Any conflicts?\",\"ref\":\"r1\"}");
    hears(c, "\"type\":\"message\"", "\"n\":1", "Any conflicts?", "\"ref\":\"r1\"",
          "\"queued\":false", "{\"type\":\"begin\",\"n\":2,\"parent\":1}");
    says("Two ");
    says("were found.");
    fake_run(t.loop);
    hears(c, "{\"type\":\"token\",\"content\":\"Two \"}\n",
          "{\"type\":\"token\",\"content\":\"were found.\"}\n");
    ends();
    hears(c, "{\"type\":\"complete\",\"n\":2", "\"provider\":\"one\"", "\"model\":\"m1\"",
          "\"zone\":\"local\"", "\"mode\":\"hybrid\"", "\"cost_micro_usd\":3",
          "\"saved_micro_usd\":5", "\"is_privacy_sensitive\":false}\n");
    say(c, "{\"type\":\"get_history\"}");
    hears(c, "\"type\":\"history\"", "Any conflicts?", "Two were found.", "\"state\":\"complete\"",
          "\"leaf\":2}");
    asks(c, "And now?");
    assert_true(was_sent("Any conflicts?") && was_sent("Two were found.") && was_sent("And now?"));
    assert_true(strv_contains_nocase(t.x->r->session, STRV(ID)));
    ends();
    leave(c);
}

static void every_end_is_the_only_one(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "one");
    breaks();
    hears(c, "\"type\":\"begin\"", "{\"type\":\"error\",\"message\":\"it broke\"", "\"n\":2",
          "\"fatal\":false");
    asks(c, "two");
    says("half");
    breaks();
    hears(c, "\"token\"", "\"type\":\"error\"", "\"code\":\"upstream_cut\",\"n\":4");
    t.refuses = true;
    asks(c, "three");
    hears(c, "\"error\",\"message\":\"not now\"", "\"n\":6,\"retry_after\":7");
    t.refuses = false;
    assert_int_equal(times(c, "\"type\""), 0);
    asks(c, "four");
    answers("well");
    hears(c, "\"complete\",\"n\":8");
    leave(c);
}

/* ---- interrupts ---- */

static void an_interrupt_stops_in_every_state(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    say(c, "{\"type\":\"interrupt\"}");
    hears(c, "\"interrupted\",\"message\":\"There was nothing to stop.\"",
          "\"partial_response\":false}");
    asks(c, "before the first word");
    say(c, "{\"type\":\"interrupt\"}");
    assert_true(t.x->gone);
    hears(c, "\"begin\",\"n\":2", "\"interrupted\"", "\"partial_response\":false,\"n\":2}\n");
    asks(c, "in the middle");
    says("Some");
    say(c, "{\"type\":\"interrupt\"}");
    assert_true(t.x->gone);
    hears(c, "\"token\"", "\"interrupted\"", "\"partial_response\":true,\"n\":4}\n");
    says("more");
    fake_advance(t.loop, 5000);
    assert_int_equal(times(c, "\"type\""), 0); /* nothing of it comes after */
    asks(c, "afterwards");
    assert_true(was_sent("Some [interrupted]"));
    answers("yes");
    say(c, "{\"type\":\"get_history\"}");
    hears(c, "\"complete\"", "\"content\":\"Some\"", "\"state\":\"interrupted\"");
    leave(c);
}

static void an_interrupt_while_it_is_loaded_is_heard_in_order(void **state)
{
    (void)state;
    struct chair *c = sit_as(0, ID, "local");
    assert_true(chat_say(c->seat, STRV("{\"type\":\"user_message\",\"content\":\"x\"}")));
    assert_true(chat_say(c->seat, STRV("{\"type\":\"interrupt\"}")));
    fake_run(t.loop);
    hears(c, "\"connected\"", "\"message\"", "\"begin\"", "\"interrupted\"");
    assert_int_equal(t.running, 0);
    leave(c);
}

static void an_interrupt_stops_tools_and_who_waits_for_a_person(void **state)
{
    const struct agent_petition p = {
        .id = "ap_1", .tool = "move", .server = "sched", .arguments = STRV("{\"a\":1}")};
    struct chair *c = sit(0);
    (void)state;
    with_tools();
    asks(c, "move it");
    calls("call_0", "move", "{\"a\":1}");
    say(c, "{\"type\":\"interrupt\"}");
    hears(c, "tool_call_start", "\"tool_call\"", "\"interrupted\"");
    assert_true(t.x->gone);
    asks(c, "again");
    calls("call_0", "move", "{\"a\":1}");
    t.l->watch->waits(t.x->arg, STRV("call_0"), &p);
    say(c, "{\"type\":\"interrupt\"}");
    hears(c, "\"approval\",\"id\":\"ap_1\",\"call\":\"call_0\"", "\"input\":{\"a\":1}",
          "\"interrupted\"");
    say(c, "{\"type\":\"approve\",\"id\":\"ap_1\",\"decision\":\"approve\"}");
    hears(c, "\"type\":\"error\"", "\"code\":\"not_found\"");
    assert_string_equal(t.decided, "");
    leave(c);
}

static void the_queue_has_one_place(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "first");
    asks(c, "second");
    hears(c, "\"begin\",\"n\":2", "second", "\"queued\":true");
    asks(c, "third");
    hears(c, "\"notice\",\"code\":\"busy\"");
    answers("one");
    hears(c, "\"complete\",\"n\":2", "\"begin\",\"n\":4,\"parent\":3");
    assert_true(was_sent("one") && was_sent("second") && !was_sent("third"));
    asks(c, "fourth");
    says("tw");
    say(c, "{\"type\":\"interrupt\"}");
    hears(c, "fourth", "\"queued\":true", "\"interrupted\"", "\"n\":4,\"dropped\":5}");
    fake_advance(t.loop, 1000);
    assert_int_equal(t.running, 0); /* what was queued went, too */
    say(c, "{\"type\":\"get_history\"}");
    assert_int_equal(times(c, "fourth"), 0);
    asks(c, "fifth");
    answers("five");
    hears(c, "\"complete\",\"n\":6");
    leave(c);
}

/* ---- seats ---- */

static void all_seats_hear_the_same(void **state)
{
    struct chair *a = sit(0), *b = sit(1), *d;
    (void)state;
    buf_clear(&a->heard);
    buf_clear(&b->heard);
    asks(a, "hello");
    says("Hel");
    fake_run(t.loop);
    assert_string_equal(text_of(a), text_of(b));
    leave(a);
    says("lo");
    d = sit(2); /* comes back in mid-answer, and loses nothing */
    hears(d, "\"connected\"", "\"running\":true");
    say(d, "{\"type\":\"get_history\"}");
    hears(d, "\"history\"", "\"content\":\"Hello\"", "\"state\":\"running\"");
    answers("!");
    hears(d, "{\"type\":\"token\",\"content\":\"!\"}", "\"complete\"");
    leave(b);
    leave(d);
}

static void nobody_gets_into_anothers_session(void **state)
{
    struct chair *a = sit(0), *b = sit_as(1, ID, "key:k_other");
    (void)state;
    fake_run(t.loop);
    assert_int_equal(b->code, 4003);
    assert_int_equal(buf_len(&b->heard), 0);
    asks(b, "whose is it?");
    assert_int_equal(t.asked, 0);
    asks(a, "mine");
    answers("yes");
    leave(a);
    leave(b);
    fake_advance(t.loop, 70000); /* out of memory: the file knows */
    b = sit_as(1, ID, "key:k_other");
    a = sit_as(0, ID, "local"); /* while it is loaded for the other one */
    assert_true(chat_say(a->seat, STRV("{\"type\":\"get_history\"}")));
    fake_run(t.loop);
    assert_int_equal(b->code, 4003);
    hears(a, "\"connected\"", "\"history_count\":2", "\"history\"", "mine");
    leave(a);
    leave(b);
}

static void who_does_not_read_is_shut(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    asks(a, "much");
    for (int i = 0; i < UNSENT_MAX + 10; i++)
        says("x");
    fake_run(t.loop);
    assert_int_equal(a->code, 1013);
    ends();
    leave(a);
    a = sit(0);
    say(a, "{\"type\":\"get_history\"}");
    hears(a, "xxxxxxxx", "\"state\":\"complete\"");
    for (int i = 0; i < SAID_MAX; i++)
        assert_true(chat_say(a->seat, STRV("{}")));
    assert_false(chat_say(a->seat, STRV("{}")));
    leave(a);
}

static void long_histories_do_not_pile_up(void **state)
{
    char *text = malloc(3000001);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', 3000000);
    text[3000000] = '\0';
    t.conf.session_bytes_max = 1 << 22;
    struct chair *a = sit(0);
    asks(a, "much");
    answers(text);
    free(text);
    for (int i = 0; i < 40; i++)
        assert_true(chat_say(a->seat, STRV("{\"type\":\"get_history\"}")));
    fake_run(t.loop);
    assert_int_equal(a->code, 1013);
    assert_true(buf_len(&a->heard) < (size_t)100 * 1000 * 1000);
    leave(a);
}

static void a_flood_is_told_to_wait(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    for (int i = 0; i < 10; i++) {
        asks(a, "again");
        answers("well");
    }
    buf_clear(&a->heard);
    asks(a, "once too often");
    hears(a, "\"type\":\"error\"", "\"code\":\"rate_limited\",\"retry_after\":6,\"fatal\":false");
    fake_advance(t.loop, 6000);
    asks(a, "now");
    answers("yes");
    hears(a, "\"complete\"");
    struct chair *b = sit_as(1, "another-session", "local"); /* his other conversations count */
    fake_run(t.loop);
    asks(b, "and here");
    hears(b, "rate_limited");
    leave(a);
    leave(b);
}

static void what_is_not_understood_is_told_to_him_alone(void **state)
{
    static const char *const rows[] = {
        "",
        "no JSON",
        "[]",
        "{\"type\":\"dance\"}",
        "{\"type\":7}",
        "{\"type\":\"user_message\"}",
        "{\"type\":\"user_message\",\"content\":\"  \"}",
        "{\"type\":\"user_message\",\"content\":5}",
        "{\"type\":\"user_message\",\"content\":\"x\",\"attachments\":{}}",
        "{\"type\":\"user_message\",\"content\":\"x\",\"attachments\":[1]}",
        "{\"type\":\"user_message\",\"content\":\"x\",\"params\":{\"temperature\":9}}",
        "{\"type\":\"user_message\",\"content\":\"x\",\"params\":{\"effort\":\"vast\"}}",
        "{\"type\":\"set\",\"mode\":\"wide\"}",
        "{\"type\":\"set\",\"tools\":\"yes\"}",
        "{\"type\":\"retry\"}",
        "{\"type\":\"retry\",\"message\":77}",
        "{\"type\":\"edit\",\"message\":1}",
        "{\"type\":\"edit\",\"message\":9,\"content\":\"x\"}",
        "{\"type\":\"branch\",\"message\":-1}",
        "{\"type\":\"approve\",\"id\":\"ap_1\"}",
    };
    struct chair *a = sit(0), *b = sit(1);
    (void)state;
    buf_clear(&b->heard);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&a->heard);
        say(a, rows[i]);
        if (times(a, "\"type\":\"error\"") != 1 || times(a, "\"fatal\":false") != 1)
            fail_msg("%s: %s", rows[i], text_of(a));
    }
    assert_int_equal(buf_len(&b->heard), 0);
    assert_int_equal(t.asked, 0);
    leave(a);
    leave(b);
}

/* ---- what is private ---- */

static void private_stays_private(void **state)
{
    struct chair *a = sit(0), *b = sit(1);
    (void)state;
    say(a, "{\"type\":\"set\",\"mode\":\"cloud\"}");
    hears(b, "\"session\",\"mode\":\"cloud\"");
    say(a, "{\"type\":\"set\",\"mode\":\"local\"}");
    asks(a, "at home");
    assert_int_equal(t.x->r->mode, LLM_MODE_LOCAL);
    answers("yes");
    hears(b, "\"mode\":\"local\"", "\"complete\"", "\"private\":false"); /* by his own choice */
    say(a, "{\"type\":\"set\",\"mode\":\"cloud\"}");
    hears(b, "\"session\",\"mode\":\"cloud\"");
    t.private_next = true;
    asks(a, "MRN 123");
    t.private_next = false;
    answers("noted");
    hears(b, "\"session\",\"mode\":\"local\"", "\"private\":true", "\"complete\"",
          "\"private\":true", "\"findings\":\"mrn=1\"");
    say(a, "{\"type\":\"set\",\"mode\":\"hybrid\"}");
    hears(a, "\"notice\",\"code\":\"private\"", "\"session\",\"mode\":\"local\"");
    asks(a, "and now");
    assert_true(t.x->r->private_hint && t.x->r->mode == LLM_MODE_LOCAL);
    ends();
    assert_true(t.kept[0].is_private);
    leave(a);
    leave(b);
}

static void without_a_key_private_is_not_kept_and_it_is_said(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    t.seals = false;
    t.private_next = true;
    asks(a, "MRN 123");
    assert_int_equal(t.n_kept, 0); /* at no moment: it is looked at before */
    answers("noted");
    hears(a, "\"private\":true", "\"kept\":false", "\"complete\"");
    assert_int_equal(t.n_kept, 0);
    leave(a);
}

static void without_a_key_a_question_is_kept_once_it_was_looked_at(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    t.seals = false;
    t.refuses = t.unread = true;
    asks(a, "first");
    say(a, "{\"type\":\"set\",\"mode\":\"local\"}"); /* the title is of the question, too */
    assert_int_equal(t.n_kept, 0);
    hears(a, "\"error\"", "\"kept\":false");
    t.refuses = t.unread = false;
    asks(a, "second");
    assert_true(t.kept[0].lines[1] != NULL && t.kept[0].lines[3] != NULL);
    answers("noted");
    for (size_t i = 1; i <= 4; i++)
        assert_non_null(t.kept[0].lines[i]);
    hears(a, "\"kept\":true");
    leave(a);
}

static void that_it_is_private_is_kept_at_once(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    t.private_next = true;
    asks(a, "MRN 123");
    assert_true(t.kept[0].is_private && t.kept[0].lines[1] != NULL);
    answers("noted");
    leave(a);
}

static void what_could_not_be_written_is_written_later(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    t.keep_fails = true;
    asks(a, "one");
    answers("two");
    hears(a, "\"kept\":false");
    t.keep_fails = false;
    asks(a, "three");
    answers("four");
    hears(a, "\"kept\":true");
    for (size_t i = 1; i <= 4; i++)
        assert_non_null(t.kept[0].lines[i]);
    leave(a);
}

static void what_the_file_has_lost_is_written_whole(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    asks(a, "one");
    answers("two");
    drop_row(&t.kept[0]); /* for room, or for its age */
    buf_clear(&a->heard);
    asks(a, "three");
    answers("four");
    for (size_t i = 1; i <= 4; i++)
        assert_non_null(row_of(ID)->lines[i]);
    assert_int_equal(times(a, "\"kept\":false"), 0);
    leave(a);
}

/* ---- tools ---- */

static void tools_are_seen_and_are_in_the_history(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    with_tools();
    asks(c, "conflicts?");
    says("Let me see.");
    calls("call_0", "detect_conflicts", "{\"start_date\":\"2026-01-05\"}");
    results("call_0", "detect_conflicts", "{\"summary\":{\"total\":2}}");
    calls("call_0", "health_check", "{}"); /* a later round uses the id again */
    results("call_0", "health_check", "fine");
    says("Two.");
    ends();
    hears(c, "\"tool_call_start\",\"name\":\"detect_conflicts\",\"id\":\"call_0\"}",
          "\"tool_call\",\"name\":\"detect_conflicts\",\"input\":{\"start_date\":\"2026-01-05\"}",
          "\"tool_result\",\"id\":\"call_0\",\"result\":{\"tool_name\":\"detect_conflicts\","
          "\"summary\":{\"total\":2}}",
          "\"id\":\"call_0_2\"", "\"tool_result\",\"id\":\"call_0_2\"", "\"text\":\"fine\"",
          "\"complete\"");
    asks(c, "and?");
    assert_true(was_sent("\"total\":2") && was_sent("2026-01-05") && t.x->r->has_history);
    ends();
    say(c, "{\"type\":\"set\",\"tools\":false}");
    asks(c, "without");
    assert_false(t.x->is_loop);
    ends();
    leave(c);
}

static void a_call_is_approved_by_who_owns_it(void **state)
{
    struct agent_petition p = {.id = "ap_1", .tool = "move", .server = "sched"};
    struct chair *c = sit(0);
    (void)state;
    with_tools();
    asks(c, "move it");
    calls("call_0", "move", "{}");
    t.l->watch->waits(t.x->arg, STRV("call_0"), &p);
    say(c, "{\"type\":\"approve\",\"id\":\"ap_2\",\"decision\":\"approve\"}");
    hears(c, "\"approval\"", "not_found");
    say(c, "{\"type\":\"get_history\"}"); /* who comes back in the meantime is asked, too */
    hears(c, "\"history\"", "\"approval\",\"id\":\"ap_1\"");
    say(c, "{\"type\":\"approve\",\"id\":\"ap_1\",\"decision\":\"approve\",\"remember\":true}");
    hears(c, "{\"type\":\"decided\",\"id\":\"ap_1\",\"decision\":\"approved\",\"by\":\"local\"}");
    assert_string_equal(t.decided, "ap_1 approved local for the session");
    p.decision = AGENT_APPROVED;
    t.l->watch->decided(t.x->arg, STRV("call_0"), &p);
    assert_int_equal(times(c, "decided"), 0); /* told once */
    say(c, "{\"type\":\"get_history\"}");
    assert_int_equal(times(c, "\"approval\""), 0);
    hears(c, "\"history\"");
    results("call_0", "move", "moved");
    answers("done");
    hears(c, "tool_result", "complete");
    leave(c);
}

/* ---- branches ---- */

static void a_question_can_be_asked_anew_and_an_answer_made_again(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "one");
    answers("two");
    say(c, "{\"type\":\"retry\",\"message\":2}");
    hears(c, "\"begin\",\"n\":3,\"parent\":1");
    assert_false(was_sent("two"));
    say(c, "{\"type\":\"edit\",\"message\":1,\"content\":\"busy?\"}");
    hears(c, "\"notice\",\"code\":\"busy\"");
    answers("TWO");
    say(c, "{\"type\":\"edit\",\"message\":1,\"content\":\"uno\"}");
    hears(c, "\"n\":4", "uno", "\"begin\",\"n\":5,\"parent\":4");
    assert_false(was_sent("one"));
    answers("due");
    say(c, "{\"type\":\"branch\",\"message\":2}");
    hears(c, "\"history\"", "\"content\":\"one\"", "\"content\":\"two\"", "\"leaf\":2}");
    say(c, "{\"type\":\"branch\",\"message\":99}");
    hears(c, "not_found");
    leave(c);
}

static void what_was_attached_stays_with_the_question(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    say(c, "{\"type\":\"user_message\",\"content\":\"what is "
           "it?\",\"attachments\":[{\"name\":\"w.csv\","
           "\"type\":\"text/csv\",\"data\":\"a;b\"}]}");
    answers("a list");
    buf_clear(&c->heard);
    say(c, "{\"type\":\"edit\",\"message\":1,\"content\":\"how long is it?\"}");
    assert_true(was_sent("how long") && was_sent("a;b") && !was_sent("what is it"));
    hears(c, "\"n\":3", "how long", "\"attachments\":[{\"name\":\"w.csv\"");
    answers("two");
    leave(c);
}

/* ---- titles and summaries ---- */

static void a_title_is_the_beginning_or_a_models(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c,
         "When does the third rotation of the night shift begin for residents of the first year?");
    hears(c, "\"message\"", "\"session\"",
          "\"title\":\"When does the third rotation of the night shift begin for\"", "\"begin\"");
    answers("soon");
    leave(c);
    t.conf.titles = "fast";
    c = sit_as(0, "second-session", "local");
    fake_run(t.loop);
    asks(c, "When?");
    answers("soon");
    assert_true(t.x->r->private_hint && t.x->r->mode == LLM_MODE_LOCAL && was_sent("title"));
    assert_true(strv_eq_cstr(t.x->r->model, "fast"));
    answers("\"Night shifts\"\nand more");
    hears(c, "\"session\"", "\"title\":\"Night shifts\"");
    assert_string_equal(row_of("second-session")->title, "Night shifts");
    say(c, "{\"type\":\"set\",\"title\":\"<b>Mine</b>\\n\\u0007x\"}");
    hears(c, "\"title\":\"<b>Mine</b> x\"");
    leave(c);
}

static void no_title_is_made_beside_an_answer(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    t.conf.titles = "fast";
    asks(c, "When?");
    answers("soon");
    assert_true(was_sent("title"));
    struct exchange *title = t.x;
    assert_false(title->gone);
    asks(c, "Sure?"); /* fake_exchange() would see two */
    answers("yes");
    breaks(); /* the second try for a title: the question's beginning stays */
    leave(c);
}

static void a_full_window_is_summarised_first(void **state)
{
    struct chair *c = sit(0);
    char text[3000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    t.window = 4096;
    for (int i = 0; i < 2; i++) {
        asks(c, "more");
        says(text);
        answers(text);
    }
    asks(c, "and the end?");
    while (!was_sent("Summarise")) { /* how many fit is the tree's business */
        says(text);
        answers(text);
        asks(c, "and the end?");
    }
    assert_true(t.x->r->private_hint && t.x->r->mode == LLM_MODE_LOCAL);
    buf_clear(&c->heard);
    answers("They spoke of a.");
    hears(c, "\"type\":\"summary\"", "\"model\":\"m1\"");
    assert_true(was_sent("They spoke of a.") && was_sent("and the end?"));
    say(c, "{\"type\":\"interrupt\"}");
    for (int i = 0; i < 3; i++) {
        asks(c, "go on");
        if (was_sent("Summarise"))
            break;
        says(text);
        answers(text);
    }
    assert_true(was_sent("Summarise"));
    buf_clear(&c->heard);
    breaks();
    hears(c, "\"type\":\"summary\"", "\"model\":null");
    assert_true(was_sent("was left out"));
    ends();
    asks(c, "again");
    while (!was_sent("Summarise")) {
        fake_advance(t.loop, 30000);
        says(text);
        answers(text);
        asks(c, "again");
    }
    say(c, "{\"type\":\"interrupt\"}"); /* while the summary is made */
    assert_int_equal(t.running, 0);
    hears(c, "\"interrupted\"");
    leave(c);
}

/* ---- time ---- */

static void a_quiet_session_goes_and_comes_back(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "one");
    answers("two");
    say(c, "{\"type\":\"set\",\"mode\":\"local\"}");
    leave(c);
    fake_advance(t.loop, 61000);
    assert_int_equal(t.rooms[0]->n_sessions + t.rooms[1]->n_sessions, 0);
    close_rooms(); /* a restart */
    open_rooms();
    c = sit(1);
    hears(c, "\"connected\"", "\"history_count\":2", "\"mode\":\"local\"", "\"title\":\"one\"");
    asks(c, "three");
    assert_true(was_sent("one") && was_sent("two"));
    ends();
    leave(c);
}

static void an_answer_goes_on_without_seats(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "one");
    says("tw");
    leave(c);
    fake_advance(t.loop, 100000);
    answers("o");
    c = sit(0);
    say(c, "{\"type\":\"get_history\"}");
    hears(c, "\"content\":\"two\"", "\"state\":\"complete\"");
    leave(c);
}

static void too_many_sessions_make_room_or_have_none(void **state)
{
    char id[32];
    (void)state;
    t.conf.sessions_live_max = 1;
    struct chair *c = sit(0);
    size_t refused = 0;
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "other-session-%d", i);
        struct chair *d = sit_as(1, id, "local");
        fake_run(t.loop);
        refused += d->code == 1013;
        leave(d);
    }
    assert_true(refused > 0 && refused < 8); /* those whose home is that room */
    leave(c);
    c = sit_as(1, "yet-another-one", "local"); /* quiet ones make room */
    fake_run(t.loop);
    hears(c, "connected");
    leave(c);
}

static void a_login_ends_after_the_answer(void **state)
{
    struct chair *c = &t.chairs[0];
    struct chat_sit s = {.session = ID, .user = {.id = "local"}, .model = STRV("")};
    (void)state;
    s.user.until_us = io_wall_us(t.loop) + 60 * 1000000;
    buf_init(&c->heard, 1 << 20);
    c->seat = chat_sit(t.rooms[0], &s, &ops, c);
    fake_run(t.loop);
    asks(c, "one");
    fake_advance(t.loop, 61000);
    assert_int_equal(c->code, 0);
    asks(c, "too late");
    say(c, "{\"type\":\"set\",\"mode\":\"cloud\"}");
    answers("two");
    assert_int_equal(times(c, "too late") + times(c, "\"mode\":\"cloud\""), 0);
    hears(c, "\"complete\"");
    assert_int_equal(c->code, 1001);
    assert_int_equal(t.asked, 1);
    leave(c);
}

static void a_wait_for_the_model_is_said(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "one");
    fake_advance(t.loop, 10000);
    assert_int_equal(times(c, "model_loading"), 1);
    answers("two");
    leave(c);
}

/* ---- REST ---- */

static enum chat_kept rest_how;
static int rest_told;

static void on_rest(void *arg, enum chat_kept how)
{
    (void)arg;
    rest_how = how;
    rest_told++;
}

static void expect_rest(bool sent, enum chat_kept how)
{
    assert_true(sent);
    fake_run(t.loop);
    assert_int_equal(rest_told, 1);
    assert_int_equal(rest_how, how);
    rest_told = 0;
}

static bool rename_as(const char *user, const char *id)
{
    return chat_room_rename(t.rooms[0], user, id, STRV("New name"), on_rest, NULL);
}

static bool delete_as(const char *user, const char *id)
{
    return chat_room_delete(t.rooms[1], user, id, on_rest, NULL);
}

static void sessions_are_renamed_and_deleted_by_their_owner(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    rest_told = 0;
    asks(c, "one");
    expect_rest(rename_as("local", ID), CHAT_KEPT_FAILED); /* it is being answered */
    expect_rest(delete_as("local", ID), CHAT_KEPT_FAILED);
    answers("two");
    expect_rest(rename_as("key:k_x", ID), CHAT_KEPT_FOREIGN);
    expect_rest(delete_as("key:k_x", ID), CHAT_KEPT_FOREIGN);
    buf_clear(&c->heard);
    expect_rest(rename_as("local", ID), CHAT_KEPT_OK);
    hears(c, "\"session\"", "\"title\":\"New name\"");
    leave(c);
    fake_advance(t.loop, 70000);
    expect_rest(rename_as("key:k_x", ID), CHAT_KEPT_FOREIGN); /* and of the file alone */
    expect_rest(rename_as("local", ID), CHAT_KEPT_OK);
    expect_rest(rename_as("local", "none-of-this-name"), CHAT_KEPT_NONE);
    assert_string_equal(t.kept[0].title, "New name");
    c = sit(0);
    expect_rest(delete_as("local", ID), CHAT_KEPT_OK);
    assert_int_equal(c->code, 1000);
    assert_null(t.kept[0].lines[1]);
    expect_rest(delete_as("local", ID), CHAT_KEPT_NONE);
    leave(c);
}

static void its_owner_renames_what_another_wants_to_enter(void **state)
{
    struct chair *a = sit(0), *b;
    (void)state;
    rest_told = 0;
    asks(a, "one");
    answers("two");
    leave(a);
    fake_advance(t.loop, 70000);
    b = sit_as(1, ID, "key:k_other"); /* it is loaded for him */
    expect_rest(rename_as("local", ID), CHAT_KEPT_OK);
    assert_int_equal(b->code, 4003);
    leave(b);
    fake_advance(t.loop, 70000);
    b = sit_as(1, ID, "key:k_other");
    expect_rest(rename_as("key:k_other", ID), CHAT_KEPT_FOREIGN);
    leave(b);
}

/* Whoever opens many conversations and says nothing in them drives nobody's out. */
static void empty_sessions_are_the_first_to_go(void **state)
{
    struct chair *c;
    char id[32];
    (void)state;
    t.seals = false;
    t.private_next = true;
    c = sit(0);
    asks(c, "MRN 123");
    t.private_next = false;
    answers("noted");
    leave(c);
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "nothing-said-%d", i);
        c = sit_as(1, id, "key:k_other");
        fake_run(t.loop);
        leave(c);
    }
    c = sit(0);
    hears(c, "\"connected\"", "\"history_count\":2");
    leave(c);
}

static void what_was_queued_is_kept_when_its_answer_begins(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "first");
    asks(c, "second");
    assert_null(t.kept[0].lines[3]);
    answers("one");
    assert_non_null(t.kept[0].lines[3]);
    answers("two");
    leave(c);
    fake_advance(t.loop, 3700000);
    c = sit(0); /* out of the file */
    assert_int_equal(c->code, 0);
    hears(c, "\"connected\"", "\"history_count\":4");
    leave(c);
}

static void what_is_queued_in_a_drain_is_not_the_leaf(void **state)
{
    struct chair *c = sit(0);
    (void)state;
    asks(c, "first");
    asks(c, "second");
    for (size_t i = 0; i < 2; i++)
        chat_room_drain(t.rooms[i], NULL, NULL);
    answers("one");
    assert_int_equal(t.running, 0);
    assert_null(t.kept[0].lines[3]);
    assert_int_equal(t.kept[0].leaf, 2);
    leave(c);
}

/* ---- the end ---- */

static void count_empty(void *arg)
{
    ++*(int *)arg;
}

static void a_drain_lets_answers_end(void **state)
{
    struct chair *a = sit(0), *b = sit_as(1, "idle-session", "local");
    int empty = 0;
    (void)state;
    asks(a, "one");
    for (size_t i = 0; i < 2; i++)
        chat_room_drain(t.rooms[i], count_empty, &empty);
    fake_run(t.loop);
    assert_int_equal(b->code, 1001);
    assert_int_equal(a->code, 0);
    leave(b);
    answers("two");
    hears(a, "\"complete\"");
    assert_int_equal(a->code, 1001);
    leave(a);
    assert_int_equal(empty, 2);
    a = sit(0);
    assert_int_equal(a->code, 1001);
    leave(a);
}

static void a_stop_keeps_what_was_said(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    asks(a, "one");
    asks(a, "queued");
    says("ha");
    chat_room_stop(t.rooms[0]);
    chat_room_stop(t.rooms[1]);
    fake_run(t.loop);
    hears(a, "\"interrupted\"", "\"partial_response\":true");
    assert_int_equal(a->code, 1001);
    assert_non_null(strstr(t.kept[0].lines[2], "interrupted"));
    assert_null(t.kept[0].lines[3]);
    leave(a);
}

/* What the file has to say last comes when it is closed: nothing is asked of it, and nothing given to it. */
static void the_file_is_closed_before_its_last_answers_come(void **state)
{
    struct chair *a = sit(0);
    (void)state;
    asks(a, "one");
    answers("two");
    drop_row(&t.kept[0]); /* so that it wants all of it */
    t.private_next = true;
    asks(a, "MRN 123");
    t.private_next = false;
    says("ha");
    close_rooms();
    buf_fini(&a->heard);
    open_rooms();
}

/* ---- memory ---- */

static void dialogue(void)
{
    struct chair *a = sit(0), *b = sit(1);
    struct exchange *x = t.x;
    asks(a, "one");
    asks(a, "two");
    if (t.x != x)
        says("ha");
    if (t.x != x)
        ends();
    x = t.x;
    say(b, "{\"type\":\"get_history\"}");
    say(b, "{\"type\":\"interrupt\"}");
    say(b, "{\"type\":\"set\",\"system\":\"be brief\",\"title\":\"x\"}");
    with_tools();
    asks(b, "three");
    if (t.x != x && t.x != NULL && !t.x->over && !t.x->gone && t.x->is_loop) {
        calls("c", "move", "{}");
        results("c", "move", "moved");
        answers("done");
    }
    leave(a);
    leave(b);
    while (t.running > 0) /* where a bell could not be rung it began late */
        ends();
}

/* However memory is refused: every seat rises, nothing runs on, nothing stays. */
static void memory_may_be_refused_at_any_step(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        mem_fail_at(nth, false);
        dialogue();
        bool done = mem_count() < nth;
        mem_fail_at(0, false);
        fake_run(t.loop);
        assert_int_equal(t.running, 0);
        assert_int_equal(t.rooms[0]->n_busy + t.rooms[1]->n_busy, 0);
        assert_int_equal(t.rooms[0]->n_seats + t.rooms[1]->n_seats, 0);
        fake_advance(t.loop, 3700000);
        assert_int_equal(t.rooms[0]->n_sessions + t.rooms[1]->n_sessions, 0);
        t.agent.hub = NULL;
        if (t.n_kept > 0)
            drop_row(&t.kept[0]);
        t.n_kept = 0;
        if (done)
            break;
        assert_true(nth < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
        TEST(a_question_is_answered),
        TEST(every_end_is_the_only_one),
        TEST(an_interrupt_stops_in_every_state),
        TEST(an_interrupt_while_it_is_loaded_is_heard_in_order),
        TEST(an_interrupt_stops_tools_and_who_waits_for_a_person),
        TEST(the_queue_has_one_place),
        TEST(what_was_queued_is_kept_when_its_answer_begins),
        TEST(what_is_queued_in_a_drain_is_not_the_leaf),
        TEST(all_seats_hear_the_same),
        TEST(nobody_gets_into_anothers_session),
        TEST(who_does_not_read_is_shut),
        TEST(long_histories_do_not_pile_up),
        TEST(a_flood_is_told_to_wait),
        TEST(what_is_not_understood_is_told_to_him_alone),
        TEST(private_stays_private),
        TEST(without_a_key_private_is_not_kept_and_it_is_said),
        TEST(without_a_key_a_question_is_kept_once_it_was_looked_at),
        TEST(that_it_is_private_is_kept_at_once),
        TEST(what_could_not_be_written_is_written_later),
        TEST(what_the_file_has_lost_is_written_whole),
        TEST(tools_are_seen_and_are_in_the_history),
        TEST(a_call_is_approved_by_who_owns_it),
        TEST(a_question_can_be_asked_anew_and_an_answer_made_again),
        TEST(what_was_attached_stays_with_the_question),
        TEST(a_title_is_the_beginning_or_a_models),
        TEST(no_title_is_made_beside_an_answer),
        TEST(a_full_window_is_summarised_first),
        TEST(a_quiet_session_goes_and_comes_back),
        TEST(an_answer_goes_on_without_seats),
        TEST(too_many_sessions_make_room_or_have_none),
        TEST(a_login_ends_after_the_answer),
        TEST(a_wait_for_the_model_is_said),
        TEST(sessions_are_renamed_and_deleted_by_their_owner),
        TEST(its_owner_renames_what_another_wants_to_enter),
        TEST(empty_sessions_are_the_first_to_go),
        TEST(a_drain_lets_answers_end),
        TEST(a_stop_keeps_what_was_said),
        TEST(the_file_is_closed_before_its_last_answers_come),
        TEST(memory_may_be_refused_at_any_step),
#undef TEST
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
