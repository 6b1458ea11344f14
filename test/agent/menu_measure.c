/* SPDX-License-Identifier: Apache-2.0 */
/*
 * menu-measure - how often the right tool is on the menu: the questions of test/data/tools against the scheduler's
 * tools, for its three sizes.
 *
 *   usage: menu-measure [-v]      -v: the questions whose tool was not among 8
 *
 * Parts that are held back are counted and never shown.
 */
#include <string.h>
#include <time.h>

#include "agent/shelf_test.h"

struct tally {
    unsigned asked, at4, at8, at12, tokens_most;
    uint64_t tokens, ns;
    unsigned none, none_tools; /* questions that need no tool; tools offered to them */
    unsigned offers;
};

static bool is_core(yyjson_val *t)
{
    return json_get(json_get(t, "_test"), "armory") == NULL;
}

static bool is_plan(yyjson_val *t)
{
    return yyjson_is_true(json_get(json_get(t, "_test"), "plan"));
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool is_wanted(yyjson_val *tools, strv name)
{
    yyjson_val *one;
    size_t i, n;
    yyjson_arr_foreach(tools, i, n, one)
    {
        if (strv_eq(json_str(one), name))
            return true;
    }
    return false;
}

/* The place of the first tool that answers, from 1; 0 = not offered. */
static size_t place(const struct agent_menu *m, yyjson_val *tools)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->of[i] != NULL && is_wanted(tools, m->of[i]->name))
            return i + 1;
    return 0;
}

static struct agent_menu ask(const struct agent_index *x, strv text, size_t tools_max,
                             int64_t tokens_max, struct arena *arena)
{
    struct agent_menu m;
    struct agent_wish w = {.question = text,
                           .before = STRV(""),
                           .tokens_max = tokens_max,
                           .bytes_max = 90 * 1024,
                           .tools_max = tools_max};
    if (!agent_menu_make(x, &w, arena, &m))
        exit(1);
    return m;
}

static bool is_here(const struct shelf *s, yyjson_val *tools)
{
    for (size_t i = 0; i < s->catalogue->n_tools; i++)
        if (is_wanted(tools, s->catalogue->tools[i].name))
            return true;
    return false;
}

static void count(const struct agent_index *x, yyjson_val *row, struct tally *t, bool tell)
{
    struct arena arena;
    yyjson_val *tools = json_get(row, "tools");
    strv text = json_get_str(row, "text");
    arena_init(&arena, 1 << 16, 1 << 24);
    uint64_t start = now_ns();
    struct agent_menu m = ask(x, text, 8, 800, &arena);
    t->ns += now_ns() - start;
    t->offers++;
    t->tokens += (uint64_t)m.tokens;
    t->tokens_most = m.tokens > t->tokens_most ? (unsigned)m.tokens : t->tokens_most;
    if (yyjson_arr_size(tools) == 0) {
        t->none++;
        t->none_tools += (unsigned)(m.n - m.has_finder);
    } else {
        size_t at8 = place(&m, tools);
        struct agent_menu m4 = ask(x, text, 4, 800, &arena);
        struct agent_menu m12 = ask(x, text, 12, 1200, &arena);
        t->asked++;
        t->at4 += place(&m4, tools) > 0;
        t->at8 += at8 > 0;
        t->at12 += place(&m12, tools) > 0;
        if (tell && at8 == 0)
            printf("  missed: " STRV_FMT "  [" STRV_FMT "]\n", STRV_ARG(text),
                   STRV_ARG(json_str(yyjson_arr_get_first(tools))));
        for (size_t i = 0; tell && at8 == 0 && i < m.n; i++)
            printf("          %s %.2f\n", m.of[i] != NULL ? m.of[i]->id : "-",
                   (double)m.choices[i].score);
    }
    arena_fini(&arena);
}

/* The parts of the questions (test/data/tools/README.md); of some nobody sees what was missed. */
static const struct {
    const char *name;
    bool hidden;
} parts[] = {{"dev", false}, {"held", true}, {"other", false}, {"look", false}, {"final", true}};
#define PARTS (sizeof parts / sizeof *parts)

static size_t part_of(strv word)
{
    size_t i = PARTS - 1;
    while (i > 0 && !strv_eq_cstr(word, parts[i].name))
        i--;
    return i;
}

static double share(unsigned part, unsigned whole)
{
    return whole > 0 ? (double)part / whole : 0;
}

static void measure(const char *name, bool overlay, bool (*keep)(yyjson_val *), bool tell)
{
    struct shelf s;
    struct arena arena;
    struct tally tallies[PARTS];
    memset(tallies, 0, sizeof tallies);
    arena_init(&arena, 1 << 16, 1 << 24);
    shelf_scheduler(&s, overlay, keep);
    uint64_t start = now_ns();
    struct agent_index *x = agent_index_new(s.catalogue);
    uint64_t built = now_ns() - start;
    strv rest = shelf_file("tools", "questions.jsonl", &arena), line;
    while (strv_cut(&rest, '\n', &line)) {
        struct json doc;
        struct err err = ERR_INIT;
        if (line.len == 0 || !json_read(&doc, line, &arena, 0, &err))
            continue;
        size_t part = part_of(json_get_str(doc.root, "part"));
        yyjson_val *tools = json_get(doc.root, "tools");
        if (yyjson_arr_size(tools) == 0 || is_here(&s, tools))
            count(x, doc.root, &tallies[part], tell && !parts[part].hidden);
    }
    for (size_t i = 0; i < PARTS; i++) {
        const struct tally *t = &tallies[i];
        printf("%-22s %-5s %4u questions  at 4: %.3f  at 8: %.3f  at 12: %.3f  tokens: mean %.0f, "
               "most "
               "%u  no tool needed: %.1f offered  %.0f us (index %.1f ms)\n",
               name, parts[i].name, t->asked, share(t->at4, t->asked), share(t->at8, t->asked),
               share(t->at12, t->asked), (double)t->tokens / t->offers, t->tokens_most,
               share(t->none_tools, t->none), (double)t->ns / t->offers / 1000,
               (double)built / 1e6);
    }
    agent_index_unref(x);
    shelf_close(&s);
    arena_fini(&arena);
}

int main(int argc, char **argv)
{
    bool tell = argc > 1 && strcmp(argv[1], "-v") == 0;
    measure("112 tools", true, NULL, tell);
    measure("81 tools, the plan's", true, is_plan, false);
    measure("62 tools, core", true, is_core, false);
    measure("112, no overlay", false, NULL, false);
    return 0;
}
