/* SPDX-License-Identifier: Apache-2.0 */
/* config_test - files on disk, zones, keys, what is left out, refused memory. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/testing.h"

/* ---- files ---- */

struct place {
    char folder[64], path[96], back[1024];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/llm-router-config-XXXXXX");
    if (mkdtemp(p->folder) == NULL || getcwd(p->back, sizeof p->back) == NULL ||
        chdir(p->folder) != 0)
        return -1;
    snprintf(p->path, sizeof p->path, "%s/x.yaml", p->folder);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    int status = chdir(p->back) != 0 || system(command) != 0;
    free(p);
    return status;
}

static void write_file(const char *path, const char *text, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct config *load(const char *path, const char *const *environment, struct err *err)
{
    struct config_source source = {.path = path, .environment = environment};
    *err = ERR_INIT;
    return config_load(&source, err);
}

static void the_file_is_found(void **state)
{
    struct place *p = *state;
    char variable[160];
    struct err err;
    snprintf(variable, sizeof variable, "LLM_ROUTER_CONFIG=%s", p->path);
    write_file("llm-router.yaml", "workers: 1", 10, 0644);
    write_file(p->path, "workers: 2", 10, 0644);
    write_file("third.yaml", "workers: 3", 10, 0644);

    struct config *c = load(NULL, NULL, &err);
    assert_int_equal(c->workers, 1);
    assert_string_equal(c->path, "./llm-router.yaml");
    config_free(c);
    c = load(NULL, TESTING_LIST(variable), &err);
    assert_int_equal(c->workers, 2);
    config_free(c);
    c = load("third.yaml", TESTING_LIST(variable), &err);
    assert_int_equal(c->workers, 3);
    assert_null(c->warnings);
    config_free(c);
    assert_int_equal(chmod("third.yaml", 0666), 0);
    c = load("third.yaml", NULL, &err);
    testing_warns(c, "third.yaml can be written by everyone; chmod o-w it");
    config_free(c);
}

static void unreadable_files_are_told(void **state)
{
    struct place *p = *state;
    struct err err;
    char text[256];
    assert_null(load("none.yaml", NULL, &err));
    assert_string_equal(err.text, "none.yaml: No such file or directory");
    assert_null(load(p->folder, NULL, &err));
    snprintf(text, sizeof text, "%s: Is a directory", p->folder);
    assert_string_equal(err.text, text);
    write_file("x.yaml", "mode: maybe\n", 12, 0644);
    assert_null(load("x.yaml", NULL, &err));
    assert_string_equal(err.text,
                        "x.yaml:1:7: mode: expected one of local, hybrid, cloud, not \"maybe\"");
    assert_string_equal(err.field, "mode");

    char *large = calloc(1, CONFIG_FILE_BYTES_MAX + 65536);
    memset(large, '#', CONFIG_FILE_BYTES_MAX + 65536);
    write_file("x.yaml", large, CONFIG_FILE_BYTES_MAX + 65536, 0644);
    free(large);
    assert_null(load("x.yaml", NULL, &err));
    assert_string_equal(err.text, "x.yaml: File too large");
}

static void key_files(void **state)
{
    struct place *p = *state;
    char yaml[512], text[256];
    struct err err;
    snprintf(yaml, sizeof yaml, "providers: { a: { kind: anthropic, key_file: '%s/key' } }\n",
             p->folder);

    write_file("key", " sk-1\n", 6, 0600);
    struct config *c = testing_good(yaml, NULL, NULL);
    assert_string_equal(testing_provider(c, "a")->key, "sk-1");
    assert_null(c->warnings);
    config_free(c);

    write_file("key", "sk-2", 4, 0644);
    c = testing_good(yaml, NULL, NULL);
    assert_string_equal(testing_provider(c, "a")->key, "sk-2");
    snprintf(text, sizeof text,
             "providers.a.key_file: %s/key can be used by others than its owner; chmod 600 it",
             p->folder);
    testing_warns(c, text);
    config_free(c);

    static const char *const bad[] = {"", "\n", "two words", "line\nline"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("key", bad[i], strlen(bad[i]), 0600);
        assert_null(testing_load(yaml, NULL, NULL, &err));
        assert_non_null(strstr(err.text, "key does not hold a key: visible ASCII characters only"));
    }
    unlink("key");
    assert_int_equal(mkdir("key", 0700), 0);
    assert_null(testing_load(yaml, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "key: Invalid argument"));
}

/* ---- zones ---- */

static bool allowed(const struct zone_rule *rule, const char *host)
{
    bool yes;
    if (!zone_literal(host, rule, &yes))
        fail_msg("%s is not an address", host);
    return yes;
}

static void local_is_kept_where_connections_are_made(void **state)
{
    (void)state;
    struct config *c = testing_good("local_networks: [ 10.1.0.0/16, 'fd12::/16', 192.0.2.9 ]\n"
                                    "providers:\n"
                                    "  l: { kind: openai, url: 'http://name:1', zone: local }\n"
                                    "  c: { kind: openai, url: 'https://name:1', zone: cloud }\n",
                                    NULL, NULL);
    const struct zone_rule *local = testing_provider(c, "l")->upstream.allow_arg,
                           *cloud = testing_provider(c, "c")->upstream.allow_arg;
    static const struct {
        const char *host;
        bool local, cloud;
    } cases[] = {
        {"127.0.0.1", true, true},
        {"127.255.0.9", true, true},
        {"::1", true, true},
        {"::ffff:127.0.0.1", true, true},
        {"10.1.255.255", true, true},
        {"10.2.0.1", false, true},
        {"::ffff:10.1.0.1", true, true},
        {"fd12::9", true, true},
        {"fd13::9", false, true},
        {"192.0.2.9", true, true},
        {"192.0.2.8", false, true},
        {"0.0.0.0", false, true},
        {"8.8.8.8", false, true},
        {"2001:db8::1", false, true},
        {"169.254.169.254", false, false},
        {"::ffff:169.254.169.254", false, false},
        {"fe80::1", false, false},
        {"fd00:ec2::254", false, false},
        {"100.100.100.200", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (allowed(local, cases[i].host) != cases[i].local ||
            allowed(cloud, cases[i].host) != cases[i].cloud)
            fail_msg("%s", cases[i].host);
    }
    assert_true(testing_provider(c, "l")->upstream.allow == zone_allow);
    struct sockaddr unix_socket = {.sa_family = AF_UNIX};
    assert_true(zone_allow(testing_provider(c, "l")->upstream.allow_arg, &unix_socket));
    config_free(c);
}

static void zones_follow_from_addresses(void **state)
{
    (void)state;
    struct config *c =
        testing_good("local_networks: [ 10.1.0.0/16 ]\n"
                     "providers:\n"
                     "  a: { kind: openai, url: 'http://localhost:1' }\n"
                     "  b: { kind: openai, url: 'http://[::1]:1' }\n"
                     "  c: { kind: openai, url: 'http://10.1.2.3' }\n"
                     "  d: { kind: openai, url: 'unix:/run/x.sock' }\n"
                     "  e: { kind: openai, url: 'http://me.localhost' }\n"
                     "  f: { kind: anthropic, url: 'http://127.0.0.1:9', zone: local }\n"
                     "  g: { kind: openai, url: 'http://10.1.2.3', zone: cloud }\n"
                     "  h: { kind: openai, url: 'http://127.0.0.1:9', zone: cloud }\n",
                     NULL, NULL);
    for (const char *name = "abcdef"; *name != '\0'; name++)
        assert_int_equal(testing_provider(c, (char[]){*name, '\0'})->zone, ZONE_LOCAL);
    assert_int_equal(testing_provider(c, "g")->zone, ZONE_CLOUD);
    assert_true(c->snapshot->policy_providers[0].local);
    assert_false(c->snapshot->policy_providers[6].local);
    assert_string_equal(testing_provider(c, "d")->upstream.unix_path, "/run/x.sock");
    /* one that was allowed as cloud is never reused as local */
    assert_string_not_equal(testing_provider(c, "c")->upstream.key,
                            testing_provider(c, "g")->upstream.key);
    testing_warns(c, "providers.g: 10.1.2.3 is reached without TLS: requests travel in clear");
    assert_null(c->warnings->next);
    config_free(c);
}

/* llama-server's default moved from 8080 to 9931 within a year. */
static void trap_37_no_port_is_ever_assumed(void **state)
{
    (void)state;
    testing_bad("providers:\n  a: { kind: openai, zone: local }\n", NULL, NULL,
                "file:2:3: providers.a.url: is missing: the provider's base address");
}

static void several_servers_under_one_name(void **state)
{
    (void)state;
    struct config *c = testing_good("providers:\n"
                                    "  a: { kind: openai, urls: [ 'http://127.0.0.1:1/v1', "
                                    "'unix:/run/x.sock', 'http://localhost:3' ] }\n"
                                    "  b: { kind: ollama, urls: 'http://127.0.0.1:4' }\n",
                                    NULL, NULL);
    const struct provider *a = testing_provider(c, "a"), *b = testing_provider(c, "b");
    assert_int_equal(provider_instance_count(a), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct provider *one = provider_instance(a, i);
        char name[8];
        snprintf(name, sizeof name, "a#%zu", i + 1);
        assert_string_equal(one->name, "a");
        assert_string_equal(one->cell->name, name);
        assert_int_equal(one->instance, i);
        assert_int_equal(one->index, a->index);
        assert_int_equal(one->zone, ZONE_LOCAL);
        assert_true(one->upstream.allow == zone_allow);
    }
    assert_ptr_equal(a->cell, provider_instance(a, 0)->cell);
    assert_int_equal(provider_instance(a, 0)->upstream.url.port, 1);
    assert_string_equal(provider_instance(a, 1)->upstream.unix_path, "/run/x.sock");
    assert_null(provider_instance(a, 2)->upstream.unix_path);
    assert_string_not_equal(provider_instance(a, 0)->upstream.key,
                            provider_instance(a, 2)->upstream.key);
    assert_int_equal(provider_instance_count(b), 1); /* one of them is as if it were url */
    assert_string_equal(b->cell->name, "b");
    config_free(c);
    testing_bad("providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', urls: [ "
                "'http://127.0.0.1:2' ] }\n",
                NULL, NULL, "file:2:55: providers.a.url: url and urls are both given; keep one");
    testing_bad("providers:\n  a: { kind: openai, urls: [ 'http://127.0.0.1:2', "
                "'http://127.0.0.1:2' ] }\n",
                NULL, NULL, "file:2:28: providers.a.urls: an address stands twice");
    testing_bad("providers:\n  a: { kind: openai, urls: [ 'http://127.0.0.1:2', "
                "'http://192.0.2.1' ] }\n",
                NULL, NULL,
                "file:2:28: providers.a.url: zone is local, but 192.0.2.1 is neither loopback nor "
                "in local_networks");
}

static void what_the_operator_says_of_models(void **state)
{
    (void)state;
    struct config *c = testing_good(
        "strict: yes\nproviders:\n  a: { kind: openai, url: 'http://127.0.0.1:1', links: true, "
        "capabilities: [ 'm*=vision -tools', 'n=context:4096' ] }\n"
        "  b: { kind: anthropic, url: 'http://127.0.0.1:2', zone: local }\n",
        NULL, NULL);
    const struct provider *a = testing_provider(c, "a"), *b = testing_provider(c, "b");
    assert_int_equal(a->n_claims, 2);
    assert_string_equal(a->claims[0].pattern, "m*");
    assert_int_equal(a->claims[0].has, LLM_NEED_IMAGES);
    assert_int_equal(a->claims[0].lacks, LLM_NEED_TOOLS);
    assert_int_equal(a->claims[1].context, 4096);
    assert_int_equal(b->n_claims, 0);
    assert_true(c->snapshot->strict);
    assert_false(c->snapshot->repair);
    assert_int_equal(c->snapshot->policy_providers[0].can, provider_can(a));
    config_free(c);
    testing_bad(
        "providers:\n  a: { kind: openai, url: 'http://127.0.0.1:1', "
        "capabilities: [ 'm=flying' ] }\n",
        NULL, NULL,
        "file:2:65: providers.a.capabilities: expected pattern=words, such as llava*=vision "
        "-tools context:8192, not \"m=flying\"");
}

static void a_change_of_networks_empties_the_pools(void **state)
{
    (void)state;
    static const char one[] =
        "providers: { o: { kind: ollama, url: 'http://h:1', zone: local } }\n";
    char two[160];
    snprintf(two, sizeof two, "%slocal_networks: [ 10.0.0.0/8 ]\n", one);
    struct config *a = testing_good(one, NULL, NULL), *b = testing_good(two, NULL, NULL),
                  *again = testing_good(two, NULL, NULL);
    assert_string_not_equal(testing_provider(a, "o")->upstream.key,
                            testing_provider(b, "o")->upstream.key);
    assert_string_equal(testing_provider(again, "o")->upstream.key,
                        testing_provider(b, "o")->upstream.key);
    assert_ptr_equal(testing_provider(a, "o")->cell, testing_provider(b, "o")->cell);
    config_free(a);
    config_free(b);
    config_free(again);
}

/* ---- engine, TLS, lists ---- */

#define ENGINE "providers: { e: { kind: llama-server, spawn: { model: x.gguf } } }\n"

static void the_engines_key_stays(void **state)
{
    (void)state;
    struct config *a = testing_good(ENGINE, NULL, NULL), *b = testing_good(ENGINE, NULL, NULL);
    struct config *c = testing_good(
        "providers: { f: { kind: llama-server, spawn: { model: x.gguf } } }\n", NULL, NULL);
    assert_string_equal(testing_provider(a, "e")->key, testing_provider(b, "e")->key);
    assert_int_equal(testing_provider(a, "e")->spawn.threads, 1);
    assert_string_not_equal(testing_provider(a, "e")->key, testing_provider(c, "f")->key);
    config_free(a);
    config_free(b);
    config_free(c);
    testing_bad(ENGINE
                "runtime_dir: "
                "/run/0123456789012345678901234567890123456789012345678901234567890123456789012"
                "3456789012345678901234567890\n",
                NULL, NULL,
                "file:2:14: providers.e: the engine's socket "
                "/run/0123456789012345678901234567890123456789012345678901234... has too long a "
                "path; shorten "
                "runtime_dir");
}

static void tls_is_shared(void **state)
{
    (void)state;
    struct config *c = testing_good("providers:\n"
                                    "  a: { kind: openai, url: 'https://localhost:1' }\n"
                                    "  b: { kind: openai, url: 'https://localhost:2' }\n"
                                    "  c: { kind: openai, url: 'http://localhost:3' }\n",
                                    NULL, NULL);
    assert_non_null(testing_provider(c, "a")->upstream.tls);
    assert_ptr_equal(testing_provider(c, "a")->upstream.tls,
                     testing_provider(c, "b")->upstream.tls);
    assert_null(testing_provider(c, "c")->upstream.tls);
    config_free(c);
    struct err err;
    assert_null(testing_load(
        "providers: { a: { kind: openai, url: 'https://localhost', ca_file: /none } }\n", NULL,
        NULL, &err));
    assert_non_null(strstr(err.text, "providers.a: TLS: "));
}

static void entries_of_what_is_left_out_go_too(void **state)
{
    (void)state;
    struct config *c = testing_good("mode: local\n"
                                    "providers:\n"
                                    "  o: { kind: ollama, url: 'http://localhost:1' }\n"
                                    "  a: { kind: anthropic }\n"
                                    "roles:\n"
                                    "  fast: [ a/claude, o/x, qwen/qwen3, o ]\n"
                                    "  code: a/\n"
                                    "aliases: { 'claude-*': a/claude }\n",
                                    TESTING_LIST("ANTHROPIC_API_KEY=k"), NULL);
    char role[256];
    assert_string_equal(testing_role(c, "fast", role), "o/x qwen/qwen3 o");
    assert_string_equal(testing_role(c, "code", role), "");
    assert_string_equal(testing_role(c, "general", role), "o/");
    assert_int_equal(c->snapshot->policy.n_aliases, 0);
    testing_warns(c, "roles.fast: a/claude is not used: mode is local");
    testing_warns(
        c, "roles.fast: o is taken for a model's name; for the provider's default model write o/");
    testing_warns(c, "roles.code is left out: nothing of its list is there");
    testing_warns(c, "aliases.claude-* is left out: nothing of its list is there");
    config_free(c);
}

static void confidence_is_of_a_list_that_exists(void **state)
{
    (void)state;
    struct config *c =
        testing_good("providers: { o: { kind: ollama, url: 'http://127.0.0.1:1' } }\n"
                     "roles: { fast: o/x }\n"
                     "aliases: { 'gpt-*': fast }\n"
                     "confidence:\n"
                     "  fast: mark=0.7\n"
                     "  'gpt-*': [ mark=0.8, escalate=0.5 ]\n",
                     NULL, NULL);
    const struct policy_conf *p = &c->snapshot->policy;
    assert_string_equal(p->roles[0].name, "fast");
    assert_true(p->roles[0].sure.mark > 0.69 && p->roles[0].sure.mark < 0.71);
    assert_true(p->roles[0].sure.escalate <= 0);
    assert_true(p->aliases[0].sure.mark > 0.79 && p->aliases[0].sure.escalate < 0.51);
    config_free(c);
    testing_bad("providers: { o: { kind: ollama, url: 'http://127.0.0.1:1' } }\n"
                "confidence: { quick: mark=1 }\n",
                NULL, NULL, "file:2:22: confidence.quick: there is no role, route or alias quick");
}

static void an_open_address_is_found(void **state)
{
    (void)state;
    struct config *c = testing_good(
        "listen: [ 127.0.0.1:1, 'unix:/x.sock', 0.0.0.0:1, 10.0.0.1:1 ]\n", NULL, NULL);
    assert_string_equal(config_open_address(c), "0.0.0.0:1");
    config_free(c);
}

/* ---- memory ---- */

static const char everything[] =
    "providers:\n"
    "  o: { kind: ollama, url: 'https://localhost:1', key_env: K }\n"
    "  a: { kind: anthropic }\n"
    "  e: { kind: llama-server, spawn: { model: x.gguf, args: [ a, b ] } }\n"
    "roles: { fast: [ o/x, e/ ] }\n"
    "aliases: { 'claude-*': a/claude }\n"
    "airgap: true\n";

static void refused_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const environment[] = {
        "K=k",     "MLX_URL=http://localhost:2",  "MLX_DEFAULT_MODEL=m",
        "LLM_X=1", "CORS_ORIGINS=[\"http://a\"]", NULL};
    static const char *const set[] = {"listen=127.0.0.1:1,127.0.0.1:2", "airgap=no", NULL};
    config_free(testing_good(everything, environment, set)); /* makes the cells, which stay */
    int64_t live = mem_live();
    uint64_t n = 0;

    for (int forever = 0; forever < 2; forever++) {
        struct config *c = NULL;
        for (n = 1; c == NULL; n++) {
            struct err err;
            mem_fail_at(n, forever != 0);
            c = testing_load(everything, environment, set, &err);
            mem_fail_at(0, false);
            if (c == NULL) {
                if (err.code != ERR_CODE_OOM)
                    fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
                assert_int_equal(mem_live(), live);
            }
        }
        config_free(c);
        assert_int_equal(mem_live(), live);
    }
    assert_true(n > 5);
}

/* The arena takes memory in blocks, so the test above meets few of the places where it can end. */
static void an_arena_may_end_anywhere(void **state)
{
    (void)state;
    static const char *const environment[] = {
        "K=k",     "MLX_URL=http://localhost:2",  "MLX_DEFAULT_MODEL=m",
        "LLM_X=1", "CORS_ORIGINS=[\"http://a\"]", NULL};
    static const char *const set[] = {"listen=127.0.0.1:1,127.0.0.1:2", "airgap=no",
                                      "roles.x=[\"o/\"]", NULL};
    struct config_source source = {.environment = environment, .set = set};
    char yaml[sizeof everything];
    memcpy(yaml, everything, sizeof yaml);
    memmove(strstr(yaml, "https") + 4, strstr(yaml, "https") + 5,
            strlen(strstr(yaml, "https")) - 4);
    strv text = strv_of(yaml);
    struct err err = ERR_INIT;
    config_free(load_within(&source, &text, CONFIG_ARENA_BYTES_MAX, &err)); /* makes the cells */
    assert_false(err.set);
    int64_t live = mem_live();
    struct config *c = NULL;
    size_t max = 64, step = getenv("UNDER_VALGRIND") != NULL ? 496 : 16;

    for (; c == NULL; max += step) {
        err = ERR_INIT;
        c = load_within(&source, &text, max, &err);
        if (c == NULL && err.code != ERR_CODE_OOM)
            fail_msg("%zu bytes: %s", max, err.text);
        if (c == NULL)
            assert_int_equal(mem_live(), live);
    }
    assert_true(max > 16 * 1024);
    config_free(c);
    assert_int_equal(mem_live(), live);
}

/* A sparse file of the size of a real model. */
static void large_models_get_the_cores(void **state)
{
    (void)state;
    write_file("x.gguf", "", 0, 0600);
    assert_int_equal(truncate("x.gguf", 100 * 1000 * 1000), 0);
    struct config *c = testing_good(ENGINE, NULL, NULL);
    cpu_set_t cores;
    assert_int_equal(sched_getaffinity(0, sizeof cores, &cores), 0);
    int64_t n = CPU_COUNT(&cores);
    assert_int_equal(testing_provider(c, "e")->spawn.threads, n > 1 ? n - 1 : 1);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unreadable_files_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(key_files, set_up, tear_down),
        cmocka_unit_test(local_is_kept_where_connections_are_made),
        cmocka_unit_test(zones_follow_from_addresses),
        cmocka_unit_test(trap_37_no_port_is_ever_assumed),
        cmocka_unit_test(several_servers_under_one_name),
        cmocka_unit_test(what_the_operator_says_of_models),
        cmocka_unit_test(a_change_of_networks_empties_the_pools),
        cmocka_unit_test(the_engines_key_stays),
        cmocka_unit_test_setup_teardown(large_models_get_the_cores, set_up, tear_down),
        cmocka_unit_test(tls_is_shared),
        cmocka_unit_test(entries_of_what_is_left_out_go_too),
        cmocka_unit_test(confidence_is_of_a_list_that_exists),
        cmocka_unit_test(an_open_address_is_found),
        cmocka_unit_test(refused_memory_is_an_error),
        cmocka_unit_test(an_arena_may_end_anywhere),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    provider_cells_free();
    return failed;
}
