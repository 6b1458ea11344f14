/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/shelf_test.h"

static struct shelf shelf;
static struct agent_index *x;
static struct arena arena;

static int open_scheduler(void **state)
{
    (void)state;
    shelf_scheduler(&shelf, true, NULL);
    x = agent_index_new(shelf.catalogue);
    assert_non_null(x);
    return 0;
}

static int close_scheduler(void **state)
{
    (void)state;
    agent_index_unref(x);
    shelf_close(&shelf);
    return 0;
}

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 16, 1 << 24);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct agent_wish wish(const char *question)
{
    return (struct agent_wish){.question = strv_of(question),
                               .before = STRV(""),
                               .tokens_max = 800,
                               .bytes_max = 90 * 1024,
                               .tools_max = 8};
}

static struct agent_menu menu_of(const struct agent_wish *w)
{
    struct agent_menu m;
    assert_true(agent_menu_make(x, w, &arena, &m));
    return m;
}

static bool has(const struct agent_menu *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->of[i] != NULL && strv_eq_cstr(m->of[i]->name, name))
            return true;
    return false;
}

static bool is_answer(yyjson_val *tools, const struct agent_menu *m)
{
    yyjson_val *one;
    size_t i, n;
    yyjson_arr_foreach(tools, i, n, one)
    {
        if (has(m, yyjson_get_str(one)))
            return true;
    }
    return false;
}

/* How many of a hundred must be found at least, a little below what test/agent/menu_measure shows; the target is 95. */
static const struct {
    const char *part;
    unsigned asked, percent;
} floors[] = {
    {"dev", 170, 98}, {"held", 60, 98}, {"other", 45, 95}, {"look", 90, 95}, {"final", 90, 95}};

static size_t floor_of(strv part)
{
    size_t i = 0;
    while (i < sizeof floors / sizeof *floors && !strv_eq_cstr(part, floors[i].part))
        i++;
    assert_true(i < sizeof floors / sizeof *floors);
    return i;
}

static void the_right_tool_is_among_eight(void **state)
{
    (void)state;
    strv rest = shelf_file("tools", "questions.jsonl", &shelf.arena), line;
    unsigned asked[sizeof floors / sizeof *floors] = {0},
                                          found[sizeof floors / sizeof *floors] = {0};
    while (strv_cut(&rest, '\n', &line)) {
        struct json doc;
        struct err err = ERR_INIT;
        if (line.len == 0)
            continue;
        assert_true(json_read(&doc, line, &arena, 0, &err));
        yyjson_val *tools = json_get(doc.root, "tools");
        struct agent_wish w = wish(yyjson_get_str(json_get(doc.root, "text")));
        struct agent_menu m = menu_of(&w);
        assert_true(m.tokens <= 800 && m.n <= 9);
        if (yyjson_arr_size(tools) == 0)
            continue;
        size_t part = floor_of(json_get_str(doc.root, "part"));
        asked[part]++;
        found[part] += is_answer(tools, &m);
    }
    for (size_t i = 0; i < sizeof floors / sizeof *floors; i++) {
        assert_true(asked[i] >= floors[i].asked);
        assert_true(found[i] * 100 >= asked[i] * floors[i].percent);
    }
}

/* Many servers have the same tools: five file servers shall not fill the menu with one tool each of five. */
static void look_alikes_do_not_take_every_place(void **state)
{
    (void)state;
    struct shelf s;
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_put_cstr(&b, "{\"tools\":[");
    for (int i = 0; i < 8; i++)
        buf_printf(
            &b,
            "{\"name\":\"read_file_%d\",\"description\":\"Read the text of a file, whole or in "
            "part.\",\"inputSchema\":{\"properties\":{\"path\":{\"type\":\"string\"}}}},",
            i);
    buf_put_cstr(
        &b,
        "{\"name\":\"count_lines\",\"description\":\"Count lines of text.\",\"inputSchema\":{}},"
        "{\"name\":\"send_mail\",\"description\":\"Send a letter.\",\"inputSchema\":{}}]}");
    buf_put_char(&b, '\0');
    shelf_text(&s, buf_view(&b).ptr);
    struct agent_index *own = agent_index_new(s.catalogue);
    struct agent_wish w = wish("read the text of that file");
    struct agent_menu m;
    w.tools_max = 6;
    assert_true(agent_menu_make(own, &w, &arena, &m));
    assert_int_equal(m.n, 7);
    assert_true(has(&m, "read_file_0") && has(&m, "read_file_1"));
    assert_true(has(&m, "count_lines"));
    assert_false(has(&m, "send_mail"));
    static const char *const used[] = {"x__read_file_5", "x__read_file_6", "x__read_file_7", NULL};
    w.used = used; /* what is in use stays, alike or not */
    assert_true(agent_menu_make(own, &w, &arena, &m));
    assert_true(has(&m, "read_file_5") && has(&m, "read_file_6") && has(&m, "read_file_7"));
    agent_index_unref(own);
    shelf_close(&s);
    buf_fini(&b);
}

static void everyday_words_need_no_overlay(void **state)
{
    (void)state;
    struct shelf s;
    shelf_text(
        &s,
        "{\"tools\":["
        "{\"name\":\"delete_document\",\"description\":\"Delete it.\",\"inputSchema\":{}},"
        "{\"name\":\"list_repositories\",\"description\":\"All of them.\",\"inputSchema\":{}},"
        "{\"name\":\"restore_version\",\"description\":\"An older one.\",\"inputSchema\":{}}]}");
    static const struct {
        const char *question, *tool;
    } cases[] = {{"get rid of that file", "delete_document"},
                 {"show my repos", "list_repositories"},
                 {"undo it", "restore_version"}};
    struct agent_index *own = agent_index_new(s.catalogue);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct agent_wish w = wish(cases[i].question);
        struct agent_menu m;
        w.tools_max = 1;
        assert_true(agent_menu_make(own, &w, &arena, &m));
        assert_true(has(&m, cases[i].tool));
    }
    agent_index_unref(own);
    shelf_close(&s);
}

static void the_same_question_gives_the_same_menu(void **state)
{
    (void)state;
    struct agent_wish w = wish("Are there ACGME violations next week?");
    struct agent_menu a = menu_of(&w), b = menu_of(&w);
    assert_true(has(&a, "validate_schedule_tool"));
    assert_true(a.has_finder);
    assert_string_equal(arena_cstr(&arena, a.tools[a.n - 1].name), AGENT_FINDER);
    assert_null(a.of[a.n - 1]);
    assert_int_equal(a.n, b.n);
    for (size_t i = 0; i < a.n; i++) {
        assert_true(strv_eq(a.tools[i].name, b.tools[i].name));
        assert_true(strv_eq(a.tools[i].schema, b.tools[i].schema));
    }
    assert_int_equal(a.n_choices, 112);
}

static void small_talk_gets_the_finder_alone(void **state)
{
    (void)state;
    struct agent_wish w = wish("hi!");
    struct agent_menu m = menu_of(&w);
    assert_int_equal(m.n, 1);
    assert_true(m.has_finder);
}

static void what_was_used_stays_and_what_is_named_comes(void **state)
{
    (void)state;
    static const char *const used[] = {"scheduler__rag_health", NULL};
    struct agent_wish w = wish("Please run validate schedule by id on the list of backups");
    w.used = used;
    struct agent_menu m = menu_of(&w);
    assert_true(strv_eq_cstr(m.of[0]->name, "rag_health"));
    assert_string_equal(m.choices[0].why, "used before");
    assert_true(strv_eq_cstr(m.of[1]->name, "validate_schedule_by_id_tool"));
    assert_string_equal(m.choices[1].why, "named in the question");
    assert_true(has(&m, "list_backups_tool"));
}

static void what_was_said_before_counts_less(void **state)
{
    (void)state;
    struct agent_wish w = wish("and how large are they?");
    w.before = STRV("Which backups do we have?");
    struct agent_menu m = menu_of(&w);
    assert_true(has(&m, "list_backups_tool") || has(&m, "get_backup_status_tool"));
    w = wish("who is too tired?");
    w.before = STRV("Which backups do we have?");
    m = menu_of(&w);
    assert_true(has(&m, "scan_team_fatigue_tool"));
}

static void budgets_are_kept(void **state)
{
    (void)state;
    struct agent_wish w = wish("Are there ACGME violations next week?");
    for (int64_t tokens = 0; tokens < 2000; tokens += 50) {
        w.tokens_max = tokens;
        w.tools_max = 12;
        assert_true(menu_of(&w).tokens <= tokens);
    }
    w.tokens_max = INT64_MAX;
    for (size_t bytes = 0; bytes < 8000; bytes += 500) {
        w.bytes_max = bytes;
        assert_true(menu_of(&w).bytes <= bytes);
    }
    w.bytes_max = SIZE_MAX;
    w.tools_max = SIZE_MAX;
    struct agent_menu m = menu_of(&w);
    assert_true(m.n >= 112 && m.bytes <= 96000); /* what llama.cpp takes, whatever was said */
    for (w.tools_max = 0; w.tools_max < 12; w.tools_max++) {
        m = menu_of(&w);
        assert_true(m.n - m.has_finder <= w.tools_max);
    }
}

static bool only_backups(void *arg, const struct mcp_tool *t)
{
    (void)arg;
    return strv_contains_nocase(t->name, STRV("backup"));
}

static void what_may_not_be_seen_is_not_even_named(void **state)
{
    (void)state;
    static const char *const two[] = {"scheduler/list_b*", "scheduler__get_backup_status_tool",
                                      NULL};
    struct agent_wish w = wish("validate the schedule");
    struct buf b;
    w.may = only_backups;
    struct agent_menu m = menu_of(&w);
    assert_int_equal(m.n_choices, 5);
    for (size_t i = 0; i < m.n; i++)
        assert_true(m.of[i] == NULL || only_backups(NULL, m.of[i]));
    w.only = two;
    m = menu_of(&w);
    assert_int_equal(m.n, 2); /* all fit: no finder */
    assert_false(m.has_finder);
    assert_string_equal(m.choices[0].why, "all fit");
    assert_null(agent_menu_nearest(x, &w, STRV("validate_schedule_tool")));
    assert_non_null(agent_menu_nearest(x, &w, STRV("list_backup")));
    buf_init(&b, 1 << 16);
    assert_true(agent_menu_find(x, &w, 5, &b));
    assert_false(strv_contains_nocase(buf_view(&b), STRV("validate")));
    buf_fini(&b);
}

static void the_finder_finds_what_is_not_on_the_menu(void **state)
{
    (void)state;
    struct agent_wish w = wish("swap candidates");
    struct buf b;
    buf_init(&b, 1 << 16);
    assert_true(agent_menu_find(x, &w, 3, &b));
    assert_true(strv_starts(buf_view(&b), STRV("scheduler__analyze_swap_candidates_tool: Rank")));
    assert_true(strv_contains_nocase(buf_view(&b), STRV("requester_person_id")));
    buf_clear(&b);
    w = wish("qwertzuiop");
    assert_true(agent_menu_find(x, &w, 3, &b));
    assert_true(strv_starts(buf_view(&b), STRV("No tool was found")));
    buf_fini(&b);
}

/* Whatever the room is, what is found stands in it whole. */
static void the_finder_keeps_to_its_room(void **state)
{
    (void)state;
    struct agent_wish w = wish("swap candidates");
    for (size_t room = 256; room < 8192; room += 100) {
        struct buf b;
        buf_init(&b, room);
        assert_true(agent_menu_find(x, &w, 5, &b));
        assert_true(strv_ends(buf_view(&b), STRV("by their names now.")) ||
                    strv_starts(buf_view(&b), STRV("No tool was found")));
        buf_fini(&b);
    }
}

static void the_nearest_name_is_found_and_no_far_one(void **state)
{
    (void)state;
    static const struct {
        const char *written, *name;
    } cases[] = {
        {"validate_schedul", "validate_schedule_tool"},
        {"scheduler.validate_schedule_tool", "validate_schedule_tool"},
        {"scheduler__validate_schedule_tool", "validate_schedule_tool"},
        {"ValidateSchedule", "validate_schedule_tool"},
        {"functions.rag_serach", "rag_search"},
        {"listBackups", "list_backups_tool"},
        {"send_email", NULL},
        {"", NULL},
        {"x", NULL},
    };
    struct agent_wish w = wish("");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mcp_tool *t = agent_menu_nearest(x, &w, strv_of(cases[i].written));
        if (cases[i].name == NULL)
            assert_null(t);
        else
            assert_string_equal(arena_cstr(&arena, t->name), cases[i].name);
    }
}

static void a_long_question_is_no_burden(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_put_cstr(&b, "Which backups are there? ");
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "zyx%d ", i);
    struct agent_wish w = wish("");
    w.question = buf_view(&b);
    struct agent_menu m = menu_of(&w);
    assert_true(has(&m, "list_backups_tool"));
    buf_fini(&b);
}

static void refused_tools_are_not_offered(void **state)
{
    (void)state;
    struct shelf s;
    shelf_text(&s, "{\"tools\":[{\"name\":\"a_b\",\"inputSchema\":{}},{\"name\":\"c_d\","
                   "\"inputSchema\":7}]}");
    ((struct mcp_tool *)(uintptr_t)&s.catalogue->tools[0])->refused = "denied";
    struct agent_index *own = agent_index_new(s.catalogue);
    struct agent_wish w = wish("a b c d");
    struct agent_menu m;
    assert_true(agent_menu_make(own, &w, &arena, &m));
    assert_int_equal(m.n, 1);
    assert_int_equal(m.n_choices, 1);
    agent_index_unref(own);
    shelf_close(&s);
}

static void an_empty_catalogue_has_an_empty_menu(void **state)
{
    (void)state;
    struct shelf s;
    shelf_text(&s, "{\"tools\":[]}");
    struct agent_index *own = agent_index_new(s.catalogue);
    struct agent_wish w = wish("anything");
    struct agent_menu m;
    assert_true(agent_menu_make(own, &w, &arena, &m));
    assert_int_equal(m.n, 0);
    assert_false(m.has_finder);
    agent_index_unref(own);
    shelf_close(&s);
}

static void no_memory_is_told(void **state)
{
    (void)state;
    struct shelf s;
    struct agent_wish w = wish("c d");
    shelf_text(&s, "{\"tools\":[{\"name\":\"c_d\",\"description\":\"x\",\"inputSchema\":{}}]}");
    for (uint64_t nth = 1;; nth++) {
        struct agent_menu m;
        struct arena a;
        arena_init(&a, 64, 1 << 20);
        mem_fail_at(nth, true);
        struct agent_index *own = agent_index_new(s.catalogue);
        bool made = own != NULL && agent_menu_make(own, &w, &a, &m);
        bool reached = mem_count() >= nth;
        mem_fail_at(0, false);
        assert_true(made != reached);
        agent_index_unref(own);
        arena_fini(&a);
        if (!reached)
            break;
        assert_in_range(nth, 1, 1000);
    }
    shelf_close(&s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_right_tool_is_among_eight),
        TEST(look_alikes_do_not_take_every_place),
        TEST(everyday_words_need_no_overlay),
        TEST(the_same_question_gives_the_same_menu),
        TEST(small_talk_gets_the_finder_alone),
        TEST(what_was_used_stays_and_what_is_named_comes),
        TEST(what_was_said_before_counts_less),
        TEST(budgets_are_kept),
        TEST(what_may_not_be_seen_is_not_even_named),
        TEST(the_finder_finds_what_is_not_on_the_menu),
        TEST(the_finder_keeps_to_its_room),
        TEST(the_nearest_name_is_found_and_no_far_one),
        TEST(a_long_question_is_no_burden),
        TEST(refused_tools_are_not_offered),
        TEST(an_empty_catalogue_has_an_empty_menu),
        TEST(no_memory_is_told),
    };
    return cmocka_run_group_tests(tests, open_scheduler, close_scheduler);
}
