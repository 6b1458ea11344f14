/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - what the files of this folder share.
 *
 *   file.c ---------.
 *   environment.c ---+--> settings (one for each option and name, with its origin) --> providers.c, names.c
 *   --set ----------'                       ^ defaults                                    --> snapshot
 *
 * A setting is the effective value of one option: `providers.ollama.idle` is the option
 * "providers.*.idle" with the name "ollama". Sources are read from the weakest to the strongest; a later
 * one takes the place of an earlier one. When everything is read the missing ones are filled in with
 * defaults, so that building and printing see one complete list and nothing else.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/config.h"

#define CONFIG_FILE_BYTES_MAX (1024 * 1024)
/* Memory of one snapshot: fifty times what a file of the largest size can need. */
#define CONFIG_ARENA_BYTES_MAX (64 * 1024 * 1024)
/* Settings of one configuration, and keys of one file: look-ups are linear. */
#define CONFIG_SETTINGS_MAX 8192
#define CONFIG_KEYS_MAX     4096

/* ---- options.c: the table ---- */

enum option_type { OPT_BOOL, OPT_INT, OPT_MS, OPT_BYTES, OPT_TEXT, OPT_WORD, OPT_LIST };

enum { RELOAD = 0, RESTART = 1 << 0, HUSH = 1 << 1, TIGHTEN = 1 << 2, READS = 1 << 3 };

struct option_word {
    const char *text; /* NULL ends */
    int value;        /* a second word of the same value is a synonym: read, never written */
};

struct option_form {
    const char *expected;            /* "an address such as 127.0.0.1:8484"; NULL = any text */
    bool (*check)(strv text);        /* NULL = any text */
    const struct option_word *words; /* of a WORD */
};

struct option {
    const char *path;
    enum option_type type;
    struct {
        enum { IN_NOTHING, IN_CONFIG, IN_SNAPSHOT, IN_PROVIDER } where;
        size_t offset, size;
    } place;
    uint64_t min, max;
    const char *initial, *example;
    const struct option_form *form;
    uint32_t kinds; /* 1 << enum provider_kind */
    unsigned flags;
    const char *doc;
};
extern const struct option options[];
extern const size_t options_count;

struct value {
    uint64_t number;          /* BOOL, INT, MS, BYTES, WORD */
    const char *text;         /* TEXT */
    const char *const *items; /* LIST, NULL-terminated */
    size_t n_items;
};

/* Room for "not what was expected" texts. */
#define OPTION_WHY_MAX 200

/* The option at "providers.ollama.idle"; *name gets "ollama", or STRV_NONE for a path without a star. */
const struct option *option_find(strv path, strv *name);
/* The option whose row has exactly this path, "providers.*.idle". It must be there. */
const struct option *option_row(const char *path);
/* Is there an option below this row path ("providers.*")? */
bool option_is_section(strv path);
/* May `name` stand for the star of `path`? *why says what is expected. */
bool option_name_ok(strv path, strv name, char why[OPTION_WHY_MAX]);
/* The key that is most like `key` among those that may stand below `path`: "did you mean \"idle\"?", or
 * all of them if none is like it. */
void option_hint(strv path, strv key, char *out, size_t size);
/* False: `why` says what is expected. Memory refused: false with why "". LIST takes n items, everything
 * else one. */
bool option_parse(const struct option *o, const strv *items, size_t n, struct arena *arena,
                  struct value *out, char why[OPTION_WHY_MAX]);
/* One item of a LIST, so that the error can point at it. */
bool option_check_item(const struct option *o, strv item, char why[OPTION_WHY_MAX]);
/* A list written in one line: "a, b" or ["a", "b"]. NULL: memory refused, or no JSON list of texts. */
strv *option_split(strv text, struct arena *arena, size_t *n);
/* As it stands in a file. */
void option_print_value(const struct option *o, const struct value *v, struct buf *out);
bool value_equal(const struct option *o, const struct value *a, const struct value *b);
/* Another default than the row's, for a kind; NULL = the row's. */
const char *option_kind_default(const struct option *o, enum provider_kind kind);
bool option_bool(strv text, bool *out);
/* "80%", "0.8" as 80: whole percents from 1 to 100. */
bool option_share(strv text, int64_t *percent);
/* "a duration with its unit (500ms, 30s, 5m, 1h) from 1ms to 10m" */
void option_expected(const struct option *o, char *out, size_t size);

/* Appends the file's bytes; errno, or 0. EFBIG: more than fit. */
int config_read_file(const char *path, struct buf *out);

/* ---- settings.c ---- */

struct origin {
    enum {
        FROM_DEFAULT,
        FROM_FILE,        /* line, column */
        FROM_ENVIRONMENT, /* text: the variable */
        FROM_SET,         /* text: what was given */
        FROM_MADE_UP      /* text: from what */
    } from;
    size_t line, column;
    const char *text;
};

struct setting {
    struct setting *next;
    const struct option *option;
    const char *name; /* for the star; NULL without one */
    struct value value;
    struct origin origin, instead_of; /* instead_of.from FROM_DEFAULT: of nothing */
};

struct instance { /* a provider that some source mentions */
    struct instance *next;
    const char *name;
    struct origin origin;
    const char *left_out; /* why it is not there; NULL = it is */
    enum provider_kind kind;
};

struct secret {
    struct secret *next;
    char *text;
    size_t len;
};

struct tls_use { /* providers with the same files share one */
    struct tls_use *next;
    struct io_tls *tls;
    const char *key;
};

/* Everything of one configuration. The snapshot's arena holds all but this struct itself. */
struct whole {
    struct snapshot snapshot;
    struct config config;
    struct setting *settings, **settings_end;
    size_t n_settings;
    struct instance *instances, **instances_end;
    size_t n_instances;
    struct config_warning **warnings_end;
    struct secret *secrets;
    struct tls_use *tls;
    const char *const *networks; /* NULL-terminated; what `allow` checks */
};

struct env_role { /* a model that a variable puts into a role */
    struct env_role *next;
    const char *role, *provider, *model, *variable;
    bool spare; /* after the provider's own */
};

/* One run of config_load(). */
struct load {
    const struct config_source *source;
    struct whole *whole;
    struct arena *arena;
    struct err *err;
    bool have_file;
    bool file_roles; /* the file has a section `roles` */
    struct env_role *roles, **roles_end;
};

/* config_load() or, with a text, config_load_text(), in so much memory: a test makes it end anywhere. */
struct config *load_within(const struct config_source *source, const strv *text,
                           size_t arena_bytes_max, struct err *err);
/* Sets err to "where: key: text"; always false. key may be NULL. */
bool load_fail(struct load *l, const struct origin *at, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool load_oom(struct load *l);
/* False when memory is refused, with err set. */
bool load_warn(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "providers.ollama.idle" for messages. */
const char *setting_path(const struct option *o, const char *name, char *out, size_t size);
/* Reads the items for the option and keeps them, instead of what a weaker source said. */
bool setting_put(struct load *l, const struct option *o, const char *name, const strv *items,
                 size_t n, const struct origin *origin);
/* The same for one text, split if the option is a list. */
bool setting_put_text(struct load *l, const struct option *o, const char *name, strv text,
                      const struct origin *origin);
struct setting *setting_find(const struct whole *w, const struct option *o, const char *name);
/* The same by the row's path. */
struct setting *setting_get(const struct whole *w, const char *path, const char *name);
struct instance *instance_find(const struct whole *w, strv name);
/* Finds or makes; NULL when memory is refused or there are too many, with err set. */
struct instance *instance_put(struct load *l, strv name, const struct origin *origin);
/* Writes the value to the option's field. */
void setting_apply(const struct setting *s, struct whole *w, struct provider *p);
/* "file line 12", "environment OLLAMA_URL", "default" */
void origin_print(const struct origin *o, struct buf *out);

/* ---- sources ---- */

/* Reads YAML text into settings. */
bool file_take(struct load *l, strv text);
/* Variables into settings; after the file. */
bool environment_take(struct load *l);
bool environment_set(struct load *l, const char *assignment); /* --set option=value */
/* The variable's value, trimmed; STRV_NONE if it is not set or blank. */
strv environment_get(const struct config_source *source, const char *name);

/* print.c: text of a man page, escaped. */
void manual_text(struct buf *out, strv text);

/* ---- builders ---- */

bool providers_build(struct load *l);
bool names_build(struct load *l);
bool privacy_build(
    struct load *l); /* after the providers: whether there is a cloud decides what is said */

/* privacy.c: drops the detector that is kept for the next load. */
void privacy_forget(void);
bool money_build(struct load *l);
bool advisor_build(struct load *l);
bool chat_build(struct load *l);
bool store_build(struct load *l);     /* after the servers */
bool scheduler_build(struct load *l); /* after the providers, whose networks count */
bool servers_build(
    struct load *l); /* MCP; after the providers, whose networks count, before names */

/* Is it the first that is said of an MCP server? So servers keep the order of the file. */
bool server_is_first(const struct whole *w, const struct setting *s);

/* zone.c: the promise about local providers, kept where connections are made. */
struct zone_rule {
    enum provider_zone zone;
    const char *const *networks;
};
bool zone_allow(void *rule, const struct sockaddr *addr);
/* A literal address (no name) and what zone_allow() would say. */
bool zone_literal(const char *host, const struct zone_rule *rule, bool *allowed);
bool zone_network_ok(strv network);

/* way.c: how an address is reached, whoever lives there. */
struct way_owner {
    const char *section,
        *name;               /* "providers", "ollama": whose options zone, ca_file ... are read */
    const struct origin *at; /* of the address */
    bool cloud;              /* its zone, if nobody names one */
    bool has_key;            /* for what is said of it */
};
/* The zone if nobody named it, and whether the address can be what is claimed. url NULL: it has none, it is here. */
bool way_settle_zone(struct load *l, const struct way_owner *o, const struct http_url *url);
bool way_is_local(const struct load *l, const struct way_owner *o);
/* Certificates, the rule of the zone, what makes connections exchangeable; up->url is set. */
bool way_build(struct load *l, const struct way_owner *o, struct http_upstream *up);
/* The same for an address that is always on the premises, without a section of options of its own. */
bool way_build_local(struct load *l, const struct setting *s, const char *ca_file,
                     struct http_upstream *up);
/* Wiped with the configuration. */
bool way_keep_secret(struct load *l, strv text, const char **out);
/* *key stays as it is if the variable is not set. */
bool way_key_from_env(struct load *l, const struct setting *s, const char *variable,
                      const char **key);
bool way_key_from_file(struct load *l, const struct setting *s, const char **key);

#endif
