/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command - the command line: one table of commands, one of flags. Parsing, `--help` and the man pages are
 * made from them; a new command is a row and a function.
 */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "app/app.h"
#include "store/store.h"

enum flag {
    FLAG_CONFIG,
    FLAG_SET,
    FLAG_JSON,
    FLAG_MODEL,
    FLAG_SYSTEM,
    FLAG_PRIVATE,
    FLAG_MODE,
    FLAG_TASK,
    FLAG_MAX_TOKENS,
    FLAG_URL,
    FLAG_SAMPLE,
    FLAG_OFFLINE,
    FLAG_REQUEST,
    FLAG_DOOR,
    FLAG_PROVIDER,
    FLAG_BY,
    FLAG_SINCE,
    FLAG_UNTIL,
    FLAG_CSV,
    FLAG_PUBLIC_KEY,
    FLAG_EXPECT,
    FLAG_KEY_ID,
    FLAG_REQUEST_ID,
    FLAG_ZONE,
    FLAG_OUTCOME,
    FLAG_FOLLOW,
    FLAG_AGENT,
    FLAG_FOR,
    FLAG_STDIO,
    FLAG_REMEMBER,
    FLAG_PASTE,
    FLAG_SESSION,
    FLAG_NO_HISTORY,
    FLAG_PROBLEM,
    FLAG_GENERATOR,
    FLAG_EVALUATOR,
    FLAG_ADVISOR,
    FLAG_SEED,
    FLAG_ROUNDS,
    FLAG_STATE,
    FLAG_REPORT,
    FLAG_MISSING,
    FLAG_READY,
    FLAG_FIRST,
    FLAG_INSTALLED,
    FLAG_REPLACE,
    FLAG_TAKE_OVER,
    FLAG_DIR,
    FLAG_DAYS,
    FLAG_PASSPHRASE,
#define POLICY_RULE(id, name, kind, member, min, max, value, doc) FLAG_RULE_##id,
#include "policy/key_rules.def"
#undef POLICY_RULE
    FLAG_HELP,
    FLAGS
};

/* One bit of struct command's flags each; those of a key's rules have one together, since nobody takes only some. */
#define FLAG_RULES (FLAG_RULE_EXPIRES - FLAG_RULE_MODE)
#define FLAG_BIT(flag)                                                                             \
    (UINT64_C(1) << ((flag) < FLAG_RULE_MODE       ? (flag)                                        \
                     : (flag) <= FLAG_RULE_EXPIRES ? FLAG_RULE_MODE                                \
                                                   : (flag)-FLAG_RULES))
_Static_assert(FLAGS - FLAG_RULES <= 64, "there are bits for all");

struct flag_row {
    char letter;       /* 0 = none */
    const char *name;  /* without dashes; no other flag of the same command has it */
    const char *value; /* word for its value in the help; NULL = a switch */
    const char *doc;   /* one or two sentences */
};
extern const struct flag_row flag_rows[FLAGS];

/* Exit statuses of every command (sysexits.h is not used by tools of this kind; these are in the man page). */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_REFUSED = 4,
    EXIT_INTERRUPTED = 130
};

struct cli {
    const struct command *command;
    const char *flags[FLAGS]; /* value, or "" for a switch that is on; NULL = not given */
    const char *set[64];      /* every --set, NULL-terminated */
    size_t n_set;
    const char *const *words; /* what is no flag */
    size_t n_words;
    struct config_source source; /* from --config, --set and the environment */
    bool color;                  /* standard output is a terminal and NO_COLOR is not set */
};

struct command {
    const char *name;
    const char *usage;   /* words after the flags: "\"QUESTION\"" */
    const char *summary; /* one line, lower case, no full stop */
    const char *doc;     /* paragraphs for help and man page, separated by blank lines */
    uint64_t flags;      /* FLAG_BIT(FLAG_x); HELP is always there */
    unsigned words_min, words_max;
    int (*run)(struct cli *cli);
};
extern const struct command commands[];
extern const size_t n_commands;

int command_main(int argc, char **argv);
/* A man page in man(7) source: name NULL = llm-router(1), "llm-router.yaml" = the file's, else a command's. */
bool command_manual(const char *name, struct buf *out);

int command_serve(struct cli *cli);
int command_reload(struct cli *cli);
int command_ca(struct cli *cli);
int command_check(struct cli *cli);
int command_doctor(struct cli *cli);
int command_health(struct cli *cli);
int command_ask(struct cli *cli);
int command_models(struct cli *cli);
int command_pull(struct cli *cli);
int command_explain(struct cli *cli);
int command_keys(struct cli *cli);
int command_chat(struct cli *cli);
int command_chat_key(struct cli *cli);
int command_approvals(struct cli *cli);
int command_usage(struct cli *cli);
int command_audit(struct cli *cli);
int command_bundle(struct cli *cli);
int command_mcp(struct cli *cli);
int command_advise(struct cli *cli);
int command_version(struct cli *cli);
int command_manpage(struct cli *cli);
int command_help(struct cli *cli);

/* Reads `argv` behind the command's name into cli; `words` has room for argc. Not EXIT_OK: it was told why. */
int command_parse(struct cli *cli, int argc, char **argv, const char **words);
/* "usage: ..." on standard error; returns EXIT_USAGE. */
int command_usage_error(const struct cli *cli);
/* Loads the configuration; on failure says why on standard error and returns NULL. */
struct config *command_config(struct cli *cli);
/* The configuration's warnings on standard error. */
void command_warnings(const struct config *config);
#define COMMAND_MODEL_MAX    ((size_t)512) /* characters of a model's name */
#define COMMAND_QUESTION_MAX ((size_t)16 * 1024 * 1024)
/* The words as a question; standard input for "-" or no word, and behind the question for both. Not EXIT_OK: it
 * was told why. */
int command_question(struct cli *cli, struct buf *out);
/* What the file that the first word names holds; standard input for "-". Not EXIT_OK: it was told why. */
int command_request(struct cli *cli, struct buf *out);
/* The URL of a router that listens there. False if that does not tell (port 0). */
bool command_url(const char *listen, char *out, size_t size);
/* The key store of this configuration, which must live as long. NULL with err if it cannot be opened. */
struct store *command_store(const struct config *config, bool create, struct err *err);
/* Its keys that are not revoked; `before`: as policy_keys_new(). NULL store: none. NULL with err: not all of them could
 * be read. */
struct policy_keys *command_policy_keys(struct store *store, const struct policy_keys *before,
                                        struct err *err);
/* What the ledger's file, if there is one, says was spent. The caller frees it with ledger_budget_fini(), also when
 * this fails. */
bool command_budget(const struct config *config, int64_t wall_us, struct ledger_budget *out,
                    struct err *err);
/* The time of day. */
bool command_now(int64_t *wall_us, struct err *err);

#endif
