/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_test - the section scheduler: what is built of it, what is refused. */
#include "config/testing.h"

#define BASE   "providers:\n  ollama: { kind: ollama, url: \"http://127.0.0.1:11434\" }\n"
#define SECRET "0123456789abcdef0123456789abcdef"

static void without_an_address_there_is_no_door(void **state)
{
    (void)state;
    struct config *c = testing_good(BASE, TESTING_LIST("SECRET_KEY=" SECRET), NULL);
    assert_null(c->sockets.scheduler);
    assert_int_equal(c->sockets.of_user, 64);
    assert_int_equal(c->sockets.idle_ms, 3600000);
    config_free(c);
}

static void with_one_the_defaults_are_the_applications_own(void **state)
{
    (void)state;
    struct config *c = testing_good(BASE "scheduler: { app_url: \"http://127.0.0.1:8000\" }\n",
                                    TESTING_LIST("SECRET_KEY=" SECRET), NULL);
    const struct api_scheduler_conf *s = c->sockets.scheduler;
    assert_non_null(s);
    assert_true(strv_eq_cstr(s->secret, SECRET));
    assert_true(strv_eq_cstr(s->path, "/api/v1/claude-chat"));
    assert_string_equal(s->whois.roles[0], "admin");
    assert_string_equal(s->whois.roles[1], "coordinator");
    assert_null(s->whois.roles[2]);
    assert_int_equal(s->whois.app.url.port, 8000);
    assert_non_null(s->whois.app.allow);
    assert_int_equal(s->whois.answer_ms, 2000);
    assert_int_equal(s->whois.keep_ms, 60000);
    assert_null(c->warnings);
    config_free(c);
}

static void without_a_secret_the_door_is_shut(void **state)
{
    (void)state;
    struct config *c =
        testing_good(BASE "scheduler: { app_url: \"http://127.0.0.1:8000\" }\n", NULL, NULL);
    assert_null(c->sockets.scheduler);
    testing_warns(c, "scheduler: nobody gets in, for the variable SECRET_KEY is not set");
    config_free(c);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const env[] = {"HOME=/h", "SECRET_KEY=" SECRET, "SHORT=0123456789", NULL};
    testing_bad(BASE "scheduler: { app_url: \"http://203.0.113.7:8000\" }\n", env, NULL,
                "file:3:23: scheduler.app_url: 203.0.113.7 is neither loopback nor in "
                "local_networks");
    testing_bad(BASE "scheduler: { app_url: \"http://127.0.0.1\", secret_env: SHORT }\n", env, NULL,
                "file:3:55: scheduler: the secret is shorter than 16 bytes: its "
                "tokens could be forged");
    testing_bad(BASE "scheduler: { app_url: \"http://127.0.0.1\", path: \"/x/\" }\n", env, NULL,
                "file:3:49: scheduler.path: expected a path that begins with a slash "
                "and ends without one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_address_there_is_no_door),
        cmocka_unit_test(with_one_the_defaults_are_the_applications_own),
        cmocka_unit_test(without_a_secret_the_door_is_shut),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
