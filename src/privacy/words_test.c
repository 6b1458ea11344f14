/* SPDX-License-Identifier: Apache-2.0 */
/* words_test - whole texts: names where names stand, words where words stand, the roster, other languages, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "privacy/privacy.h"

struct place {
    char path[64];
    struct privacy *plain, *known;
    struct privacy_scratch *scratch;
    struct privacy_verdict v;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct err err = ERR_INIT;
    struct privacy_conf conf = {.data = getenv("ROUTER_DATA")};
    snprintf(p->path, sizeof p->path, "/tmp/llm-router-words-XXXXXX");
    int fd = mkstemp(p->path);
    const char *roster = "Odilia Vanterpool; id S-77123; login ovp\nHope Qarsala\n";
    if (fd < 0 || write(fd, roster, strlen(roster)) != (ssize_t)strlen(roster) || close(fd) != 0)
        return -1;
    p->plain = privacy_new(&conf, &err);
    conf.roster = p->path;
    p->known = privacy_new(&conf, &err);
    p->scratch = privacy_scratch_new();
    *state = p;
    return privacy_ready(p->plain) && privacy_ready(p->known) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    privacy_unref(p->plain);
    privacy_unref(p->known);
    privacy_scratch_free(p->scratch);
    int status = unlink(p->path);
    free(p);
    return status;
}

static bool is_private(struct place *p, const struct privacy *with, const char *text)
{
    privacy_verdict_init(&p->v);
    privacy_scan_text(with, p->scratch, strv_of(text), PRIVACY_NORMAL, &p->v);
    return p->v.is_private;
}

static void names_where_names_stand(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"Dr. Ramirez is on vacation",
                                        "ask Rose about the grid",
                                        "tell joy thanks",
                                        "PLEASE REMIND MICHAEL TODAY",
                                        "resident,hours\nRamirez,71\nJohnson,66",
                                        "{\"name\": \"Ana Ramirez\"}",
                                        "la doctora Ramirez pide vacaciones",
                                        "m i c h a e l called",
                                        "if name == 'Johnson': pass"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(is_private(p, p->plain, texts[i]));
        assert_true(p->v.counts[PRIVACY_NAME] > 0);
    }
}

static void words_where_words_stand(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"Parkinson disease stages",
                                        "the rose garden opens in june",
                                        "mark the exam room doors",
                                        "who was Virginia Apgar",
                                        "Kaplan-Meier curve in R",
                                        "install Docker and Kafka",
                                        "SELECT name FROM residents ORDER BY name",
                                        "explica la regla de 80 horas",
                                        "PGY1-02 swaps with PGY1-05"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        is_private(p, p->plain, texts[i]);
        assert_int_equal(p->v.counts[PRIVACY_NAME], 0);
        assert_int_equal(p->v.counts[PRIVACY_LANGUAGE], 0);
    }
}

static void the_roster_is_found_in_any_place(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"table of vanterpool data", "odilla",
                                        "ovanterpool is a key",     "owner=ovp",
                                        "vanterpoolodilia",         "box S77123"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(is_private(p, p->known, texts[i]));
        assert_string_equal(privacy_rule_name(p->v.findings[0].rule), "name.roster");
    }
    assert_false(is_private(p, p->known, "we hope for the best"));
    assert_int_equal(privacy_roster_size(p->known), 2);
    assert_int_equal(privacy_roster_size(p->plain), 0);
}

static void put_roster(const struct place *p, const char *mode, const char *text)
{
    FILE *f = fopen(p->path, mode);
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_changed_roster_is_stale(void **state)
{
    struct place *p = *state;
    assert_false(privacy_stale(p->known));
    put_roster(p, "ab", "Another Person\n");
    assert_true(privacy_stale(p->known));
    assert_false(privacy_stale(p->plain));
}

/* Else everything stays private until somebody says reload. */
static void a_mended_roster_is_noticed(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    const struct privacy_conf conf = {.data = getenv("ROUTER_DATA"), .roster = p->path};
    put_roster(p, "wb", "; nobody\n");
    struct privacy *broken = privacy_new(&conf, &err);
    assert_non_null(broken);
    assert_false(privacy_ready(broken));
    assert_false(privacy_stale(broken));
    put_roster(p, "wb", "Ida Ngo\n");
    assert_true(privacy_stale(broken));
    privacy_unref(broken);
}

static void other_languages_stay(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"Wie kann ich das f\xc3\xbcr die Klinik machen",
                                        "\xd0\x93\xd1\x80\xd0\xb0\xd1\x84\xd0\xb8\xd0\xba",
                                        "co to jest dy\xc5\xbcur",
                                        "\xe5\xbd\x93\xe7\x9b\xb4\xe3\x81\xa8\xe3\x81\xaf"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(is_private(p, p->plain, texts[i]));
        assert_int_equal(p->v.counts[PRIVACY_LANGUAGE], 1);
    }
    assert_false(is_private(p, p->plain, "p below 0.05 with \xce\xb1 = 0.05"));
}

static void no_memory_is_private(void **state)
{
    struct place *p = *state;
    struct privacy_scratch *fresh = privacy_scratch_new();
    for (uint64_t nth = 1;; nth++) {
        privacy_verdict_init(&p->v);
        mem_fail_at(nth, true);
        privacy_scan_text(p->plain, fresh, STRV("sort a list of blocks"), PRIVACY_NORMAL, &p->v);
        bool done = mem_count() < nth;
        mem_fail_at(0, false);
        if (done)
            break;
        assert_true(p->v.is_private);
    }
    assert_false(p->v.is_private);
    privacy_scratch_free(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_where_names_stand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_where_words_stand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_roster_is_found_in_any_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_roster_is_stale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mended_roster_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_languages_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory_is_private, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
