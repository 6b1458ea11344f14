/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_check - is the configuration right, and what does it come to.
 *
 * The effective configuration goes to standard output and can be used as a file itself (without the masked
 * secrets); warnings go to standard error.
 */
#include "app/command.h"
#include "app/term.h"

#define PRINT_BYTES_MAX ((size_t)16 * 1024 * 1024)

static bool count_key(void *arg, const struct store_key *key)
{
    size_t *n = arg;
    *n += key->revoked_us == 0;
    return true;
}

/* serve refuses to start like this: without keys everybody who reaches the address may use the models. */
static void warn_exposed(const struct config *config)
{
    struct err err = ERR_INIT;
    struct store *store = command_store(config, false, &err);
    size_t keys = 0;
    if (store == NULL || !store_key_each(store, count_key, &keys, &err)) {
        term_warn(err.text);
        keys = 1; /* not known; no second warning about what may well be there */
    }
    if (store != NULL)
        store_close(store);
    for (const char *const *a = config->listen; keys == 0 && *a != NULL; a++) {
        char text[400];
        bool loopback;
        struct err bad = ERR_INIT;
        if (io_address_is_loopback(strv_of(*a), &loopback, &bad) && loopback)
            continue;
        snprintf(
            text, sizeof text,
            "listen address %s is not loopback and there are no API keys: serve would refuse to "
            "start. Make a key with `llm-router keys add NAME`, or listen on 127.0.0.1.",
            *a);
        term_warn(bad.set ? bad.text : text);
    }
}

int command_check(struct cli *cli)
{
    struct buf out;
    buf_init(&out, PRINT_BYTES_MAX);
    if (cli->flags[FLAG_SAMPLE] != NULL) {
        out.failed = !config_sample(&out) || out.failed;
        return term_write(&out) ? EXIT_OK : EXIT_FAILED;
    }
    struct config *config = command_config(cli);
    if (config == NULL)
        return EXIT_USAGE;
    command_warnings(config);
    warn_exposed(config);
    out.failed = !config_print(config, &out) || out.failed;
    config_free(config);
    return term_write(&out) ? EXIT_OK : EXIT_FAILED;
}
