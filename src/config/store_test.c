/* SPDX-License-Identifier: Apache-2.0 */
/* store - where the keys are, what an address of a server may say, and what is refused beside it. */
#include "config/testing.h"

static void keys_are_in_a_file(void **state)
{
    (void)state;
    struct config *c = testing_good("state_dir: /s\n", NULL, NULL);
    assert_string_equal(c->store.path, "/s/llm-router.db");
    assert_null(c->store.server.address);
    assert_int_equal(c->snapshot->quotas.replicas, 1);
    assert_int_equal(c->snapshot->ledger.budget.replicas, 1);
    config_free(c);
}

static void replicas_are_told_to_all_who_count(void **state)
{
    (void)state;
    struct config *c = testing_good("store: { replicas: 3 }\n", NULL, NULL);
    assert_int_equal(c->snapshot->quotas.replicas, 3);
    assert_int_equal(c->snapshot->ledger.budget.replicas, 3);
    config_free(c);
}

/* A build without libpq refuses every address, in other words. */
static bool knows_servers(void)
{
    struct err err = ERR_INIT;
    return store_server_ok("host=/run/postgresql", &err);
}

static void a_server_needs_a_guarded_way(void **state)
{
    static const struct {
        const char *address, *wrong; /* NULL = it is taken */
    } cases[] = {
        {"host=/run/postgresql dbname=llm_router", NULL},
        {"dbname=llm_router", NULL},
        {"host=localhost", NULL},
        {"host=127.0.0.1,::1 port=5433", NULL},
        {"postgresql:///llm_router?host=/run/postgresql", NULL},
        {"host=db sslmode=verify-full sslrootcert=/etc/ca.pem passfile=/run/pass", NULL},
        {"host=db sslmode=disable", NULL}, /* said on purpose */
        {"host=db", "another machine"},
        {"host=localhost,db", "another machine"},
        {"hostaddr=10.0.0.5", "another machine"},
        {"host=/run/postgresql password=hunter2", "no password here"},
        {"postgresql://u:hunter2@localhost/x", "no password here"},
        {"service=x", "no service here"},
        {"hunter2", "expected words of libpq"},
        {"host=localhost hunter2=1", "expected words of libpq"},
    };
    (void)state;
    if (!knows_servers())
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[200];
        struct err err;
        snprintf(yaml, sizeof yaml, "chat: { keep: false }\nstore: { postgres: '%s' }\n",
                 cases[i].address);
        struct config *c = testing_load(yaml, NULL, NULL, &err);
        if ((c == NULL) != (cases[i].wrong != NULL))
            fail_msg("%s: %s", cases[i].address, err.text);
        if (c != NULL) {
            assert_string_equal(c->store.server.address, cases[i].address);
            assert_non_null(c->store.server.allow);
            config_free(c);
            continue;
        }
        if (strstr(err.text, cases[i].wrong) == NULL || strstr(err.text, "hunter2") != NULL)
            fail_msg("%s", err.text);
        assert_int_equal(err.line, 2);
    }
}

static void note_file(void *arg, const char *path)
{
    char *all = arg;
    size_t n = strlen(all);
    snprintf(all + n, 200 - n, "%s ", path);
}

/* For the sandbox: what is not told cannot be opened when the connection is made again. */
static void files_of_a_server_are_told(void **state)
{
    char files[200] = "";
    (void)state;
    if (!knows_servers())
        skip();
    store_server_files("host=db sslmode=verify-full sslrootcert=/a/ca.pem passfile=/b/pass",
                       note_file, files);
    assert_non_null(strstr(files, "/a/ca.pem "));
    assert_non_null(strstr(files, "/b/pass "));
}

static void what_is_not_shared_is_refused(void **state)
{
    (void)state;
    if (!knows_servers())
        skip();
    testing_bad(
        "store: { postgres: 'host=localhost' }\n", NULL, NULL,
        "file:1:20: store.postgres: conversations are kept by each router alone, not on the "
        "server: chat.keep must be false");
    testing_bad("chat: { keep: false }\nstore: { postgres: 'host=localhost' }\n"
                "mcp_servers: { x: { command: [ /bin/true ] } }\n",
                NULL, NULL,
                "file:2:20: store.postgres: calls of tools wait for approval at one router alone, "
                "not on the server: there must be no mcp_servers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_in_a_file),
        cmocka_unit_test(replicas_are_told_to_all_who_count),
        cmocka_unit_test(a_server_needs_a_guarded_way),
        cmocka_unit_test(files_of_a_server_are_told),
        cmocka_unit_test(what_is_not_shared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
