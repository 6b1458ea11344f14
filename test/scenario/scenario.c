/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scenario - plays .scn scripts against one whole worker in process, on a fake network and clock.
 *
 *   scenario [--fault | --judge] FILE.scn ...
 *
 * A script is a list of lines; a file may hold several scenarios. Nothing waits: time is an argument.
 *
 *   scenario "what must hold"            begins one; everything from the last one is gone
 *   config ... end                       YAML of the configuration; without it the one in default.yaml. @DATA@ in
 *                                        it is the path of the build's data file, which is there by itself when
 *                                        nothing is said of privacy
 *   provider NAME accept|refuse|hang|dns|unreachable [n]     how it takes connections (n = the next n)
 *   client NAME METHOD PATH BODY [Header: value]             opens a connection and sends a request; BODY is
 *                                        @file, {json}, or - for none; then an optional header (\r\n in it
 *                                        begins another); @COOKIE@ in it is the last cookie that somebody was given
 *   client NAME again METHOD PATH BODY   the same on the connection that is open
 *   client NAME leave|reset|window N
 *   client NAME expect status N | has TEXT | lacks TEXT | header TEXT | complete | truncated | nothing | closed
 *   socket NAME PATH [Header: value]     opens a WebSocket; @TOKEN:user:seconds[:type]@ in a line is a token of the scheduler's;
 *                                        it answers pings and a close like any browser
 *   socket NAME says TEXT | big N        a message; a user_message with N letters
 *   socket NAME floods N TEXT            the message N times
 *   socket NAME gets {JSON}              the next frame has these members, and others; [list] = these, in this order
 *   socket NAME finds {JSON}             some frame after what was read has them; it and those before it are read now
 *   socket NAME lacks TEXT               no frame so far, read or not, holds it
 *   socket NAME nothing                  there is no frame that is not read
 *   socket NAME closed CODE              the next frame closes it, with this code
 *   socket NAME ends CODE                the same, whatever came before
 *   socket NAME broken                   it ended without a word
 *   socket NAME refused STATUS           it was not opened
 *   socket NAME closes CODE|leaves|cut   it closes, ends or resets the connection
 *   socket NAME reads off|on             it takes nothing more for a while
 *   socket NAME deaf                     it answers no pings from now on
 *   client NAME follows OTHER            OTHER has asked /router/explain what NAME sends: the targets of that plan, one
 *                                        after the other, are who is asked now (each fails), and nobody else; where the
 *                                        answer told an error, so does NAME's
 *   provider NAME models JSON            its list of models, as if the prober had asked for it
 *   provider NAME memory JSON            an Ollama's /api/ps, likewise; then it counts as reached
 *                                        (the 2nd of several servers under one name is NAME#2)
 *   provider NAME expect METHOD PATH     the next request has come; it is the one answered from now on
 *   provider NAME expect body TEXT | nobody TEXT | none | aborted | calls N
 *   provider NAME never TEXT             until the end no byte of this reaches it: with --fault, too
 *   provider NAME reply STATUS TYPE BODY     a whole answer; TYPE json, sse, ndjson, html
 *   provider NAME head STATUS TYPE           an answer in chunks begins
 *   provider NAME header NAME: VALUE         for the next reply or head
 *   provider NAME event TEXT             one SSE event as a chunk; \n in TEXT is a line end
 *   provider NAME line TEXT              one NDJSON line as a chunk
 *   provider NAME bytes TEXT             a chunk of just that
 *   provider NAME raw TEXT               bytes outside of any chunk
 *   provider NAME last|eof|reset
 *   provider NAME answers TEXT           OpenAI's: a text, whole or streamed as it was asked for
 *   provider NAME wants TOOL {ARGS} ; TOOL {ARGS} ; "TEXT"     the same: calls, and a text before them
 *   provider NAME giant N                the beginning of an SSE event, of N bytes, in chunks
 *   provider NAME big N                  a good OpenAI event with N bytes of text
 *   provider NAME wide N                 a line {"status":"xxx"} with N bytes of text
 *   time +N[ms|s|m]
 *   cut N                                every read from now on is at most N bytes
 *   ledger rows N | has TEXT | lacks TEXT    rows so far; the last row's text
 *   ledger keeps                         there is one that counts what is spent: before the first request
 *   state                                the router has a folder for its state, without anything in it
 *   log has TEXT | lacks TEXT            anything that was logged so far
 *   kept USER SESSION TITLE | JSON | ... a conversation of his is kept, sealed, with these messages (docs/chat.md)
 *   audit works|fails|hangs              can its records be made durable; it works until something else is said
 *   audit goes on                        those that it hung with are durable now
 *   audit records N | has TEXT | lacks TEXT  so far; the last one's text
 *   reload PATH=VALUE ...                as SIGHUP does, with these options changed
 *   key SECRET RULE=VALUE ...            as `keys add` and `keys edit` do: there is such a key, with these rules
 *                                        alone; its id is k_SECRET
 *   revoke SECRET                        as `keys revoke` does
 *   tool SERVER/NAME is RULE=VALUE ...   declares a tool: effect, data, approval, zone, schema; before the first request
 *   tool SERVER/NAME expect TEXT         the next call of it has come, with TEXT in its params; it is answered now
 *   tool SERVER/NAME says TEXT | result JSON | refuses TEXT | gone TEXT | late TEXT    the answer
 *   tool SERVER/NAME calls N | cancelled     so far; the one in hand was
 *   server NAME ready|starting|down      a tool server, named by a tool before, is so from now on
 *   question METHOD PARAMS               a server asks us: sampling/createMessage, ...
 *   question has TEXT | waits            what it was told
 *   question withdrawn                   its server does not wait any more
 *   approvals N                          calls that wait for a person
 *   approve|deny [session]               the oldest of them
 *   drain                                as SIGTERM does
 *   stop                                 as a second SIGTERM does
 *
 * With --fault every scenario runs again and again, the 1st, 2nd, ... n-th allocation failing (EACH_UP_TO). Expectations
 * are not looked at then (a refused allocation may well change the answer), but nothing may crash, leak, or
 * stay behind, and every exchange still writes exactly one row.
 *
 * With --judge the scripts are random ones (stories.py, answers.py). What makes no sense in them is passed over, and so are
 * expectations; instead what must hold of any story at all is looked at, see judge().
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/index.h"
#include "app/worker.h"
#include "fake_hub.h"
#include "fake_io.h"

#define PEERS_MAX        64
#define NAMED_MAX        16
#define CONFIG_MAX       16384
#define SCHEDULER_SECRET "a-secret-that-the-scheduler-shares-with-us"
#define SCHEDULER_APP    "app" /* the provider of a script that is the scheduler itself */

struct provider_side {
    char name[64];
    struct fake_peer *peers[PEERS_MAX]; /* every connection of it, in order */
    size_t n, calls;
    struct fake_peer *now; /* whose request is being answered */
    char headers[1024];
    char body[65536]; /* of the request in hand */
    char never[64];   /* "" = anything may come */
};

struct client_side {
    char name[32];
    struct fake_peer *peer;
    char *seen; /* everything received so far */
    size_t len;
    bool slow; /* it did not take all at once */
};

struct socket_side {
    char name[32];
    struct fake_peer *peer;
    char *seen; /* everything received so far */
    size_t len, heard,
        read; /* of it; control frames are answered up to `heard`, the script is at `read` */
    bool deaf;
};

static bool judging;

static struct {
    const char *file, *dir;
    int line;
    char title[256];
    struct io_loop *loop;
    struct worker worker;
    struct gateway_hall *hall;
    struct crowd *crowd;
    struct ended *ended;
    bool up;
    struct policy_keys *keys;
    struct policy_sticky *sticky;
    struct policy_limits *limits;
    struct ledger *ledger;
    struct chat_keep *keep;
    struct chat_room *room;
    char keep_dir[32], state_dir[32], store_path[64];
    struct store_at store;
    struct agent_host *host;
    struct mcp_question *question;
    struct fake_call *called;
    struct audit *audit;
    enum audit_sunk audit_is;
    size_t audit_records;
    char audit_last[4096];
    struct config *config;
    char config_text[CONFIG_MAX];
    struct provider_side providers[NAMED_MAX];
    size_t n_providers;
    struct client_side clients[NAMED_MAX];
    size_t n_clients;
    struct socket_side sockets[NAMED_MAX];
    size_t n_sockets;
    char cookie[256]; /* the last that was given */
    int log_fd;
    size_t cut;
    bool fault; /* expectations are not looked at */
    bool failed;
    char why[1024];
    bool drained;
    int64_t live_before, begun_before, rows_before;
    jmp_buf stop;
} t;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...)
{
    va_list ap;
    if (t.fault || t.failed)
        return;
    t.failed = true;
    int n = snprintf(t.why, sizeof t.why, "%s:%d: ", t.file, t.line);
    va_start(ap, format);
    vsnprintf(t.why + n, sizeof t.why - (size_t)n, format, ap);
    va_end(ap);
}

static void die(const char *what, const char *arg)
{
    fprintf(stderr, "%s:%d: %s %s\n", t.file, t.line, what, arg);
    exit(2);
}

/* ---- words ---- */

static char *word(char **rest)
{
    char *p = *rest + strspn(*rest, " \t");
    char *start = p;
    if (*p == '\0')
        return NULL;
    p += strcspn(p, " \t");
    if (*p != '\0')
        *p++ = '\0';
    *rest = p;
    return start;
}

static char *need(char **rest, const char *what)
{
    char *w = word(rest);
    if (w == NULL)
        die("missing:", what);
    return w;
}

static char *tail(char **rest)
{
    char *p = *rest + strspn(*rest, " \t");
    size_t n = strlen(p);
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        p[--n] = '\0';
    return p;
}

/* \n, \r and \\ in place */
static char *unescape(char *text)
{
    char *out = text;
    for (char *p = text; *p != '\0'; p++) {
        if (p[0] == '\\' && (p[1] == 'n' || p[1] == 'r' || p[1] == '\\')) {
            p++;
            *out++ = *p == 'n' ? '\n' : *p == 'r' ? '\r' : '\\';
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
    return text;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die("cannot open", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *text = malloc((size_t)n + 1);
    if (fread(text, 1, (size_t)n, f) != (size_t)n)
        die("cannot read", path);
    text[n] = '\0';
    fclose(f);
    return text;
}

/* "@file", "-" or the text itself; malloc'ed */
static char *body_of(const char *spec)
{
    char path[8192];
    if (strcmp(spec, "-") == 0)
        return strdup("");
    if (spec[0] != '@')
        return strdup(spec);
    snprintf(path, sizeof path, "%s/%s", t.dir, spec + 1);
    return read_file(path);
}

/* ---- the program ---- */

static void on_drained(void *arg, struct worker *w)
{
    (void)arg;
    (void)w;
    t.drained = true;
}

static struct provider_side *provider_side(const char *name)
{
    for (size_t i = 0; i < t.n_providers; i++)
        if (strcmp(t.providers[i].name, name) == 0)
            return &t.providers[i];
    die("no such provider in the configuration:", name);
    return NULL;
}

static void on_peer(void *arg, struct fake_peer *peer)
{
    struct provider_side *p = arg;
    assert(p->n < PEERS_MAX);
    fake_peer_cut(peer, t.cut);
    p->peers[p->n++] = peer;
}

/* The n-th server of the configuration, several under one name each by itself; NULL = there are no more. */
static const struct provider *server(size_t n)
{
    for (size_t i = 0; i < t.config->snapshot->n_providers; i++) {
        const struct provider *p = &t.config->snapshot->providers[i];
        if (n < provider_instance_count(p))
            return provider_instance(p, n);
        n -= provider_instance_count(p);
    }
    return NULL;
}

static void set_rule(struct provider_side *side, enum fake_answer answer, unsigned times)
{
    const struct provider *p;
    const struct api_scheduler_conf *scheduler = t.config->sockets.scheduler;
    struct fake_rule rule = {.answer = answer, .times = times, .on_peer = on_peer, .arg = side};
    for (size_t i = 0; (p = server(i)) != NULL; i++)
        if (strcmp(p->cell->name, side->name) == 0)
            fake_target(t.loop, p->upstream.url.host, p->upstream.url.port, &rule);
    if (scheduler != NULL && strcmp(side->name, SCHEDULER_APP) == 0)
        fake_target(t.loop, scheduler->whois.app.url.host, scheduler->whois.app.url.port, &rule);
}

/* The build's data file: ../../src/llm-router.data from this program. */
static const char *data_path(void)
{
    static char path[4096];
    if (path[0] != '\0')
        return path;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    for (int up = 0; up < 3 && n > 0; up++)
        while (n > 0 && path[--n] != '/')
            ;
    strcpy(path + (n > 0 ? n : 0), "/src/llm-router.data");
    return path;
}

static void write_config(int fd)
{
    const char *rest = t.config_text, *at;
    while ((at = strstr(rest, "@DATA@")) != NULL) {
        dprintf(fd, "%.*s%s", (int)(at - rest), rest, data_path());
        rest = at + 6;
    }
    dprintf(fd, "%s", rest);
    if (strstr(t.config_text, "privacy:") == NULL && strstr(t.config_text, "\"privacy\":") == NULL)
        dprintf(fd, "\nprivacy: { data: \"%s\" }\n", data_path());
}

/* NULL only in --fault runs */
static struct config *read_config(const char *const *set)
{
    char path[] = "/tmp/scenario-XXXXXX";
    struct err err = ERR_INIT;
    int fd = mkstemp(path);
    if (fd < 0)
        die("cannot write", path);
    write_config(fd);
    close(fd);
    const char *environment[] = {"KEY=k", "SECRET_KEY=" SCHEDULER_SECRET, NULL};
    struct config_source source = {.path = path, .environment = environment, .set = set};
    struct config *config = config_load(&source, &err);
    unlink(path);
    if (config == NULL && (!t.fault || judging))
        die("configuration:", err.text);
    return config;
}

static enum audit_sunk take_record(void *arg, strv record)
{
    (void)arg;
    if (record.ptr != NULL && t.audit_is != AUDIT_SUNK_NO) {
        t.audit_records++;
        snprintf(t.audit_last, sizeof t.audit_last, STRV_FMT, STRV_ARG(record));
    }
    return t.audit_is;
}

static bool start_program(void)
{
    struct err err = ERR_INIT;
    const char *bound, *none[] = {NULL};
    t.config = read_config(none);
    if (t.config == NULL)
        return false;
    t.keys = policy_keys_new(NULL, 0, NULL);
    t.sticky = policy_sticky_new();
    t.limits = policy_limits_new();
    t.audit_is = AUDIT_SUNK_YES;
    t.audit = audit_open_sink(take_record, NULL);
    t.hall = gateway_hall_new(&err);
    t.crowd = crowd_new();
    t.ended = ended_new();
    if (t.hall == NULL || t.crowd == NULL || t.ended == NULL || t.sticky == NULL ||
        t.limits == NULL || t.audit == NULL || t.keys == NULL ||
        !worker_init(&t.worker, 0, t.config, t.keys, LOG_INFO, &err) ||
        !worker_open_gateway(&t.worker, t.hall, &err) ||
        !worker_open_room(&t.worker, NULL, &t.room, 1, &err) ||
        !worker_listen(&t.worker, STRV("127.0.0.1:8484"), false, &bound, &err)) {
        if (!t.fault)
            die("worker:", err.text);
        return false;
    }
    t.room = t.worker.room;
    t.worker.api.sockets.crowd = t.crowd;
    t.worker.api.ended = t.ended;
    t.worker.env.limits = t.limits;
    t.worker.log.fd = t.log_fd;
    t.worker.env.sticky = t.sticky;
    t.worker.env.audit = t.audit;
    t.worker.api.cookie_secret = (const uint8_t *)"a secret of these scenarios only";
    t.worker.on_drained = on_drained;
    t.loop = t.worker.loop;
    rng_seed(&t.worker.rng, 1);
    const struct provider *p;
    for (size_t i = 0; (p = server(i)) != NULL; i++) {
        struct provider_side *side = &t.providers[t.n_providers++];
        snprintf(side->name, sizeof side->name, "%s", p->cell->name);
        set_rule(side, FAKE_ACCEPT, 0);
    }
    if (t.config->sockets.scheduler != NULL) {
        struct provider_side *side = &t.providers[t.n_providers++];
        snprintf(side->name, sizeof side->name, SCHEDULER_APP);
        set_rule(side, FAKE_ACCEPT, 0);
    }
    return true;
}

/* ---- rows of the ledger: lines of the log ---- */

static char *log_text(void)
{
    log_flush(&t.worker.log);
    off_t n = lseek(t.log_fd, 0, SEEK_CUR);
    char *text = malloc((size_t)n + 1);
    if (pread(t.log_fd, text, (size_t)n, 0) != n)
        die("cannot read", "the log");
    text[n] = '\0';
    return text;
}

static size_t ledger_rows(char *text, char **last)
{
    size_t rows = 0;
    *last = NULL;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strstr(line, "\"event\":\"exchange\"") != NULL) {
            rows++;
            *last = line;
        }
    return rows;
}

/* ---- steps ---- */

static struct client_side *client_side(const char *name, bool make)
{
    for (size_t i = 0; i < t.n_clients; i++)
        if (strcmp(t.clients[i].name, name) == 0)
            return &t.clients[i];
    if (!make || t.n_clients == NAMED_MAX)
        die("no such client:", name);
    struct client_side *c = &t.clients[t.n_clients++];
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static void keep_cookie(const struct client_side *c)
{
    const char *at = c->seen != NULL ? strstr(c->seen, "\r\nSet-Cookie: ") : NULL;
    int n = at != NULL ? (int)strcspn(at + 14, ";\r") : 0;
    if (n > 0 && at[14 + n - 1] != '=') /* one that is taken back is not given */
        snprintf(t.cookie, sizeof t.cookie, "%.*s", n, at + 14);
}

static void collect(struct client_side *c)
{
    if (c->peer == NULL)
        return;
    strv got = fake_peer_received(c->peer);
    c->seen = realloc(c->seen, c->len + got.len + 1);
    memcpy(c->seen + c->len, got.ptr, got.len);
    c->len += got.len;
    c->seen[c->len] = '\0';
    keep_cookie(c);
    fake_peer_eat(c->peer, got.len);
}

/* Private requests hold one of these words, and no other does. */
static const char *const private_words[] = {"PRIVATE-WORD", "00481516", "219-09-9999"};

static bool is_cloud(const char *name)
{
    const struct provider *p;
    for (size_t i = 0; (p = server(i)) != NULL; i++)
        if (strcmp(p->cell->name, name) == 0 && p->zone == ZONE_CLOUD)
            return true;
    return name[0] == 'x'; /* stories.py's names, also of those that a reload has taken away */
}

static bool holds_private_word(strv text)
{
    for (size_t i = 0; i < sizeof private_words / sizeof *private_words; i++)
        if (strv_contains_nocase(text, strv_of(private_words[i])))
            return true;
    return false;
}

/* Whatever the script expects, and whichever allocation was refused. */
static void watch_private(void)
{
    for (size_t i = 0; i < t.n_providers; i++) {
        bool cloud = is_cloud(t.providers[i].name);
        bool ollama = strncmp(t.providers[i].name, "hol", 3) == 0;
        for (size_t k = 0; k < t.providers[i].n; k++) {
            strv got = fake_peer_received(t.providers[i].peers[k]);
            if (holds_private_word(got) &&
                (cloud || (ollama && strv_contains_nocase(got, STRV("\"far")))))
                die("a private request left the premises, to", t.providers[i].name);
        }
    }
}

static void settle(void)
{
    fake_run(t.loop);
    for (size_t i = 0; i < t.n_clients; i++)
        collect(&t.clients[i]);
    watch_private();
}

/* Appends to a head what a line of the script says of it. */
static size_t put_headers(char *head, size_t n, size_t size, const char *text)
{
    const char *at, *end = text[0] != '\0' ? "\r\n" : "";
    while ((at = strstr(text, "@COOKIE@")) != NULL) {
        n += (size_t)snprintf(head + n, size - n, "%.*s%s", (int)(at - text), text, t.cookie);
        text = at + 8;
    }
    return n + (size_t)snprintf(head + n, size - n, "%s%s\r\n", text, end);
}

static size_t put_base64url(char *out, const void *data, size_t n)
{
    size_t k = (size_t)EVP_EncodeBlock((unsigned char *)out, data, (int)n);
    while (k > 0 && out[k - 1] == '=')
        k--;
    for (size_t i = 0; i < k; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    out[k] = '\0';
    return k;
}

/* "user:seconds[:type]" */
static size_t put_token(char *out, const char *spec, size_t n)
{
    char words[128], claims[512], type[64] = "";
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    snprintf(words, sizeof words, "%.*s", (int)n, spec);
    char *rest = words, *user = strsep(&rest, ":"), *life = strsep(&rest, ":");
    if (rest != NULL)
        snprintf(type, sizeof type, ",\"type\":\"%s\"", rest);
    int k = snprintf(claims, sizeof claims, "{\"sub\":\"%s\",\"exp\":%lld%s}", user,
                     (long long)(io_wall_us(t.loop) / 1000000 + atoll(life)), type);
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    size_t at = put_base64url(out, head, sizeof head - 1);
    out[at++] = '.';
    at += put_base64url(out + at, claims, (size_t)k);
    HMAC(EVP_sha256(), SCHEDULER_SECRET, sizeof SCHEDULER_SECRET - 1, (const unsigned char *)out,
         at, mac, &mac_len);
    out[at++] = '.';
    return at + put_base64url(out + at, mac, mac_len);
}

/* The line with every @TOKEN...@ made; a static text. */
static char *with_tokens(const char *line)
{
    static char out[8192];
    size_t at = 0;
    const char *mark;
    while ((mark = strstr(line, "@TOKEN:")) != NULL) {
        const char *end = strchr(mark + 1, '@');
        if (end == NULL || strlen(line) > sizeof out / 2)
            die("a token ends with @:", mark);
        memcpy(out + at, line, (size_t)(mark - line));
        at += (size_t)(mark - line);
        at += put_token(out + at, mark + 7, (size_t)(end - mark - 7));
        line = end + 1;
    }
    snprintf(out + at, sizeof out - at, "%s", line);
    return out;
}

static void send_request(struct client_side *c, const char *method, char *rest)
{
    char head[4096];
    char *path = need(&rest, "path");
    char *spec = tail(&rest);
    const char *header = "";
    if (spec[0] == '{') { /* a header may follow the closing brace */
        char *end = strrchr(spec, '}');
        if (end != NULL && end[1] != '\0') {
            end[1] = '\0';
            header = unescape(end + 2);
        }
    } else if (strchr(spec, ' ') != NULL) {
        char *blank = strchr(spec, ' ');
        *blank = '\0';
        header = unescape(blank + 1);
    }
    char *body = body_of(spec);
    size_t n = (size_t)snprintf(head, sizeof head,
                                "%s %s HTTP/1.1\r\nHost: 127.0.0.1:8484\r\nContent-Length: %zu\r\n",
                                method, path, strlen(body));
    n = put_headers(head, n, sizeof head, with_tokens(header));
    fake_peer_send(c->peer, head, n);
    fake_peer_send(c->peer, body, strlen(body));
    free(body);
}

/* ---- WebSockets ---- */

static struct socket_side *socket_side(const char *name)
{
    for (size_t i = 0; i < t.n_sockets; i++)
        if (strcmp(t.sockets[i].name, name) == 0)
            return &t.sockets[i];
    return NULL;
}

/* As a client must: masked, here with zeros. */
static void send_frame(struct socket_side *s, unsigned opcode, const char *data, size_t n)
{
    unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
    size_t k = 2;
    head[1] = (unsigned char)(0x80 | (n < 126 ? n : n < 65536 ? 126 : 127));
    if (n >= 126)
        for (int shift = n < 65536 ? 8 : 56; shift >= 0; shift -= 8)
            head[k++] = (unsigned char)((uint64_t)n >> shift);
    memset(head + k, 0, 4);
    fake_peer_send(s->peer, head, k + 4);
    fake_peer_send(s->peer, data, n);
}

struct frame {
    unsigned opcode;
    const char *data;
    size_t n, whole; /* whole: with its head */
};

/* The frame at this place, if all of it has come. */
static bool frame_at(const struct socket_side *s, size_t at, struct frame *out)
{
    const unsigned char *p = (const unsigned char *)s->seen + at;
    size_t left = s->len - at, head = 2;
    if (left < head)
        return false;
    uint64_t n = p[1] & 127;
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    if (left < head + more)
        return false;
    if (more > 0)
        for (n = 0; head < 2 + more; head++)
            n = n << 8 | p[head];
    if (left - head < n)
        return false;
    *out = (struct frame){p[0] & 15, (const char *)p + head, n, head + n};
    return true;
}

static void socket_hears(void *arg, struct fake_peer *peer)
{
    struct socket_side *s = arg;
    struct frame f;
    strv got = fake_peer_received(peer);
    s->seen = realloc(s->seen, s->len + got.len + 1);
    memcpy(s->seen + s->len, got.ptr, got.len);
    s->len += got.len;
    s->seen[s->len] = '\0';
    fake_peer_eat(peer, got.len);
    if (s->heard == 0 && strncmp(s->seen, "HTTP/1.1 101", 12) == 0) {
        const char *end = strstr(s->seen, "\r\n\r\n");
        s->heard = s->read = end != NULL ? (size_t)(end + 4 - s->seen) : 0;
    }
    for (; s->heard > 0 && frame_at(s, s->heard, &f); s->heard += f.whole) {
        if (f.opcode == 9 && !s->deaf)
            send_frame(s, 10, f.data, f.n);
        else if (f.opcode == 8)
            send_frame(s, 8, f.data, f.n < 2 ? 0 : 2);
    }
}

static void open_socket(const char *name, char *path, char *header)
{
    struct socket_side *s = socket_side(name);
    char head[8192];
    if (s == NULL && t.n_sockets == NAMED_MAX)
        die("too many sockets:", name);
    if (s == NULL)
        s = &t.sockets[t.n_sockets++];
    if (s->peer != NULL)
        fake_peer_watch(s->peer, NULL, NULL);
    free(s->seen);
    *s = (struct socket_side){.peer = fake_client_connect(t.loop, "127.0.0.1:8484", NULL)};
    snprintf(s->name, sizeof s->name, "%s", name);
    if (s->peer == NULL) {
        fail("nobody listens");
        return;
    }
    fake_peer_cut(s->peer, t.cut);
    fake_peer_watch(s->peer, socket_hears, s);
    size_t n = (size_t)snprintf(head, sizeof head,
                                "GET %s HTTP/1.1\r\nHost: 127.0.0.1:8484\r\nConnection: Upgrade\r\n"
                                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                                with_tokens(path));
    n = put_headers(head, n, sizeof head, unescape(header));
    fake_peer_send(s->peer, head, n);
}

/* Everything that `want` says is in `got`. */
static bool is_part(yyjson_val *want, yyjson_val *got)
{
    size_t i, n;
    yyjson_val *key, *v;
    if (yyjson_is_obj(want)) {
        yyjson_obj_foreach(want, i, n, key,
                           v) if (!is_part(v, yyjson_is_obj(got)
                                                  ? yyjson_obj_get(got, yyjson_get_str(key))
                                                  : NULL)) return false;
        return yyjson_is_obj(got);
    }
    if (yyjson_is_arr(want)) {
        if (!yyjson_is_arr(got) || yyjson_arr_size(want) != yyjson_arr_size(got))
            return false;
        yyjson_arr_foreach(want, i, n, v) if (!is_part(v, yyjson_arr_get(got, i))) return false;
        return true;
    }
    return got != NULL && yyjson_equals(want, got);
}

static bool frame_has(const struct frame *f, const char *want)
{
    yyjson_doc *a = yyjson_read(want, strlen(want), 0), *b = yyjson_read(f->data, f->n, 0);
    if (a == NULL)
        die("no JSON:", want);
    bool has =
        f->opcode == 1 && b != NULL && is_part(yyjson_doc_get_root(a), yyjson_doc_get_root(b));
    yyjson_doc_free(a);
    yyjson_doc_free(b);
    return has;
}

/* The next that is no ping or pong. */
static bool read_frame(struct socket_side *s, struct frame *f)
{
    while (s->read > 0 && frame_at(s, s->read, f)) {
        s->read += f->whole;
        if (f->opcode < 9)
            return true;
    }
    return false;
}

static const char *frame_text(const struct frame *f)
{
    static char text[900];
    if (f->opcode == 8)
        snprintf(text, sizeof text, "close %d %.*s",
                 f->n < 2 ? 0 : (unsigned char)f->data[0] << 8 | (unsigned char)f->data[1],
                 f->n < 2 ? 0 : (int)f->n - 2, f->data + 2);
    else
        snprintf(text, sizeof text, "%.*s", (int)f->n, f->data);
    return text;
}

static void socket_expect(struct socket_side *s, const char *what, char *arg)
{
    struct frame f = {0};
    bool any, found = false;
    if (strcmp(what, "lacks") == 0) {
        if (s->seen != NULL && strstr(s->seen, arg) != NULL)
            fail("socket %s: not expected: %s", s->name, arg);
    } else if (strcmp(what, "nothing") == 0) {
        if (read_frame(s, &f))
            fail("socket %s: expected no frame, got: %s", s->name, frame_text(&f));
    } else if (strcmp(what, "refused") == 0) {
        if (s->seen == NULL || strncmp(s->seen, "HTTP/1.1 ", 9) != 0 ||
            strncmp(s->seen + 9, arg, 3) != 0)
            fail("socket %s: expected status %s, got: %.200s", s->name, arg, s->seen);
    } else if (strcmp(what, "closed") == 0 || strcmp(what, "ends") == 0) {
        any = read_frame(s, &f);
        while (what[0] == 'e' && any && f.opcode != 8)
            any = read_frame(s, &f);
        if (!any || f.opcode != 8 || strncmp(frame_text(&f) + 6, arg, strlen(arg)) != 0)
            fail("socket %s: expected close %s, got: %s", s->name, arg,
                 any ? frame_text(&f)
                 : s->peer != NULL && fake_peer_state(s->peer) == FAKE_OPEN
                     ? "nothing"
                     : "the connection's end");
    } else if (strcmp(what, "broken") == 0) {
        if (fake_peer_state(s->peer) == FAKE_OPEN || read_frame(s, &f))
            fail("socket %s: expected an end without a word, got: %s", s->name, frame_text(&f));
    } else if (strcmp(what, "gets") == 0) {
        any = read_frame(s, &f);
        if (!any || !frame_has(&f, arg))
            fail("socket %s: expected %s, got: %s", s->name, arg, any ? frame_text(&f) : "nothing");
    } else if (strcmp(what, "finds") == 0) {
        while (!found && read_frame(s, &f))
            found = frame_has(&f, arg);
        if (!found)
            fail("socket %s: expected %s, the last frame was: %s", s->name, arg, frame_text(&f));
    } else {
        die("unknown step of a socket:", what);
    }
}

static void say_often(struct socket_side *s, char *rest)
{
    size_t n = strtoul(need(&rest, "how often"), NULL, 10);
    char *text = tail(&rest);
    for (size_t i = 0; i < n; i++)
        send_frame(s, 1, text, strlen(text));
}

static void say_large(struct socket_side *s, size_t n)
{
    char *text = malloc(n + 64);
    size_t at = (size_t)sprintf(text, "{\"type\":\"user_message\",\"content\":\"");
    memset(text + at, 'x', n);
    at += n;
    at += (size_t)sprintf(text + at, "\"}");
    send_frame(s, 1, text, at);
    free(text);
}

static void do_socket(char *rest)
{
    char *name = need(&rest, "name"), *what = need(&rest, "what"), *arg = tail(&rest);
    struct socket_side *s = socket_side(name);
    if (what[0] == '/') {
        open_socket(name, what, arg);
        settle();
        return;
    }
    if (s == NULL)
        die("no such socket:", name);
    if (s->peer == NULL)
        return;
    if (strcmp(what, "says") == 0)
        send_frame(s, 1, arg, strlen(arg));
    else if (strcmp(what, "binary") == 0)
        send_frame(s, 2, arg, strlen(arg));
    else if (strcmp(what, "big") == 0)
        say_large(s, strtoul(arg, NULL, 10));
    else if (strcmp(what, "floods") == 0)
        say_often(s, arg);
    else if (strcmp(what, "closes") == 0)
        send_frame(s, 8, (char[]){(char)(atoi(arg) >> 8), (char)atoi(arg)}, 2);
    else if (strcmp(what, "leaves") == 0)
        fake_peer_eof(s->peer, false);
    else if (strcmp(what, "cut") == 0)
        fake_peer_reset(s->peer);
    else if (strcmp(what, "reads") == 0)
        fake_peer_window(s->peer, strcmp(arg, "on") == 0 ? FAKE_UNLIMITED : 0);
    else if (strcmp(what, "deaf") == 0)
        s->deaf = true;
    else
        socket_expect(s, what, arg);
    settle();
}

static const char *find_body(const struct client_side *c)
{
    const char *end = c->seen != NULL ? strstr(c->seen, "\r\n\r\n") : NULL;
    return end != NULL ? end + 4 : "";
}

static bool complete(const struct client_side *c)
{
    if (c->seen == NULL || strstr(c->seen, "\r\n\r\n") == NULL)
        return false;
    if (strstr(c->seen, "Transfer-Encoding: chunked") != NULL)
        return c->len >= 5 && memcmp(c->seen + c->len - 5, "0\r\n\r\n", 5) == 0;
    const char *length = strstr(c->seen, "Content-Length: ");
    return length != NULL && strlen(find_body(c)) == strtoul(length + 16, NULL, 10);
}

static void client_expect(struct client_side *c, char *rest)
{
    char *what = need(&rest, "expectation");
    char *arg = unescape(tail(&rest));
    const char *seen = c->seen != NULL ? c->seen : "";
    bool gone = c->peer != NULL && fake_peer_state(c->peer) != FAKE_OPEN;
    if (strcmp(what, "status") == 0) {
        if (strncmp(seen, "HTTP/1.1 ", 9) != 0 || strncmp(seen + 9, arg, 3) != 0)
            fail("expected status %s, got: %.200s", arg, seen);
    } else if (strcmp(what, "has") == 0) {
        if (strstr(find_body(c), arg) == NULL)
            fail("expected in the body: %s, got: %.700s", arg, find_body(c));
    } else if (strcmp(what, "lacks") == 0) {
        if (strstr(find_body(c), arg) != NULL)
            fail("not expected in the body: %s", arg);
    } else if (strcmp(what, "header") == 0) {
        const char *at = strstr(seen, arg);
        if (at == NULL || at > find_body(c))
            fail("expected in the head: %s, got: %.600s", arg, seen);
    } else if (strcmp(what, "noheader") == 0) {
        const char *at = strstr(seen, arg);
        if (at != NULL && at < find_body(c))
            fail("not expected in the head: %s", arg);
    } else if (strcmp(what, "complete") == 0) {
        if (!complete(c))
            fail("expected a complete reply, got: %.700s", seen);
    } else if (strcmp(what, "truncated") == 0) {
        if (complete(c) || !gone)
            fail("expected a reply that is broken off%s",
                 gone ? ", and it looks complete" : ", and the connection is open");
    } else if (strcmp(what, "nothing") == 0) {
        if (c->len > 0)
            fail("expected nothing yet, got: %.200s", seen);
    } else if (strcmp(what, "closed") == 0) {
        if (!gone)
            fail("expected a closed connection");
    } else {
        die("unknown expectation", what);
    }
}

static bool next_request(struct provider_side *p, const char *method, const char *path);
static void say_head(struct provider_side *p, const char *status, const char *type,
                     const char *framing);

/* The next request is for this target; it fails. */
static void follow_target(yyjson_val *target)
{
    char model[256];
    struct provider_side *p = provider_side(yyjson_get_str(json_get(target, "provider")));
    p->now = NULL;
    snprintf(model, sizeof model, "\"model\":\"%s\"", yyjson_get_str(json_get(target, "model")));
    if (!next_request(p, "POST", NULL)) {
        fail("explain told %s of %s, and it was not asked", model, p->name);
        return;
    }
    if (strstr(p->body, model) == NULL)
        fail("explain told %s of %s, and it was asked for: %.200s", model, p->name, p->body);
    say_head(p, "500", "json", "Content-Length: 2");
    fake_peer_send(p->now, "{}", 2);
    settle();
}

static void do_follow(struct client_side *c, const struct client_side *told)
{
    struct json doc;
    struct arena arena;
    struct err err = ERR_INIT;
    size_t i, n;
    yyjson_val *target;
    arena_init(&arena, 4096, 1 << 20);
    if (json_read(&doc, strv_of(find_body(told)), &arena, 0, &err)) {
        strv code = json_get_str(json_get(doc.root, "error"), "code");
        yyjson_arr_foreach(json_get(doc.root, "plan"), i, n, target) follow_target(target);
        for (i = 0; i < t.n_providers; i++)
            if (next_request(&t.providers[i], "POST", NULL))
                fail("%s was asked, and explain did not tell so", t.providers[i].name);
        collect(c);
        if (!complete(c))
            fail("client %s: its request is not over", c->name);
        else if (code.len > 0 && strstr(find_body(c), arena_cstr(&arena, code)) == NULL)
            fail("explain told " STRV_FMT ", and the answer is %s", STRV_ARG(code), find_body(c));
    } else {
        fail("client %s was told no plan: %s", told->name, told->seen);
    }
    arena_fini(&arena);
}

static void do_client(char *rest)
{
    char *name = need(&rest, "name");
    char *what = need(&rest, "what");
    if (strcmp(what, "again") == 0) {
        struct client_side *c = client_side(name, false);
        c->len = 0;
        char *method = need(&rest, "method");
        send_request(c, method, rest);
    } else if (isupper((unsigned char)what[0])) {
        struct client_side *c = client_side(name, true);
        c->peer = fake_client_connect(t.loop, "127.0.0.1:8484", NULL);
        if (c->peer == NULL) {
            fail("nobody listens");
            return;
        }
        fake_peer_cut(c->peer, t.cut);
        send_request(c, what, rest);
    } else {
        struct client_side *c = client_side(name, false);
        if (c->peer == NULL || (judging && fake_peer_over(c->peer)))
            return;
        if (strcmp(what, "leave") == 0)
            fake_peer_eof(c->peer, false);
        else if (strcmp(what, "reset") == 0)
            fake_peer_reset(c->peer);
        else if (strcmp(what, "follows") == 0)
            do_follow(c, client_side(need(&rest, "another client"), false));
        else if (strcmp(what, "window") == 0) {
            char *n = need(&rest, "bytes");
            c->slow = c->slow || strcmp(n, "all") != 0;
            fake_peer_window(c->peer,
                             strcmp(n, "all") == 0 ? FAKE_UNLIMITED : strtoul(n, NULL, 10));
        } else if (strcmp(what, "expect") == 0)
            client_expect(c, rest);
        else
            die("unknown step", what);
    }
    settle();
}

/* Whatever fails meanwhile. */
static void check_never(const struct provider_side *p)
{
    for (size_t i = 0; i < p->n && p->never[0] != '\0'; i++) {
        strv got = fake_peer_received(p->peers[i]);
        if (memmem(got.ptr, got.len, p->never, strlen(p->never)) == NULL)
            continue;
        bool quiet = t.fault;
        t.fault = false;
        fail("provider %s was sent what it must never have: %s", p->name, p->never);
        t.fault = quiet;
    }
}

/* The oldest connection of the provider that holds a whole request. */
static bool next_request(struct provider_side *p, const char *method, const char *path)
{
    char want[512];
    check_never(p);
    for (size_t i = 0; i < p->n; i++) {
        strv got = fake_peer_received(p->peers[i]);
        char *text = malloc(got.len + 1); /* no terminator is promised */
        memcpy(text, got.ptr, got.len);
        text[got.len] = '\0';
        char *end = strstr(text, "\r\n\r\n");
        char *length = strcasestr(text, "Content-Length: ");
        size_t body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (end == NULL || (size_t)(end + 4 - text) + body > got.len) {
            free(text);
            continue;
        }
        snprintf(want, sizeof want, path != NULL ? "%s %s HTTP/1.1\r\n" : "%s ", method, path);
        if (strncmp(text, want, strlen(want)) != 0)
            fail("provider %s expected %s %s, got: %.100s", p->name, method, path, text);
        snprintf(p->body, sizeof p->body, "%.*s", (int)body, end + 4);
        p->now = p->peers[i];
        p->calls++;
        fake_peer_eat(p->now, (size_t)(end + 4 - text) + body);
        free(text);
        return true;
    }
    return false;
}

static void provider_expect(struct provider_side *p, char *rest)
{
    char *what = need(&rest, "expectation");
    char *arg = unescape(tail(&rest));
    if (isupper((unsigned char)what[0])) {
        p->now = NULL;
        if (!next_request(p, what, arg))
            fail("provider %s expected a request and there is none", p->name);
    } else if (strcmp(what, "body") == 0) {
        if (strstr(p->body, arg) == NULL)
            fail("expected in the request: %s, got: %.600s", arg, p->body);
    } else if (strcmp(what, "nobody") == 0) {
        if (strstr(p->body, arg) != NULL)
            fail("not expected in the request: %s", arg);
    } else if (strcmp(what, "none") == 0) {
        for (size_t i = 0; i < p->n; i++)
            if (fake_peer_received(p->peers[i]).len > 0)
                fail("provider %s expected no request", p->name);
    } else if (strcmp(what, "aborted") == 0) {
        if (p->now == NULL || fake_peer_state(p->now) == FAKE_OPEN)
            fail("provider %s expected its connection to be closed", p->name);
    } else if (strcmp(what, "calls") == 0) {
        if (p->calls != strtoul(arg, NULL, 10))
            fail("provider %s had %zu calls", p->name, p->calls);
    } else {
        die("unknown expectation", what);
    }
}

static const char *type_of(const char *word)
{
    return strcmp(word, "sse") == 0      ? "text/event-stream"
           : strcmp(word, "ndjson") == 0 ? "application/x-ndjson"
           : strcmp(word, "html") == 0   ? "text/html"
                                         : "application/json";
}

static void say_head(struct provider_side *p, const char *status, const char *type,
                     const char *framing)
{
    char head[2048];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s X\r\nContent-Type: %s\r\n%s%s\r\n\r\n", status,
                     type_of(type), p->headers, framing);
    p->headers[0] = '\0';
    fake_peer_send(p->now, head, (size_t)n);
}

static void say_chunk(struct provider_side *p, const char *data, size_t n)
{
    char size[32];
    fake_peer_send(p->now, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
    fake_peer_send(p->now, data, n);
    fake_peer_send(p->now, "\r\n", 2);
}

static void say_giant(struct provider_side *p, size_t n)
{
    char block[4096];
    memset(block, 'x', sizeof block);
    say_chunk(p, "data: {\"x\":\"", 12);
    for (; n > 0; n -= n < sizeof block ? n : sizeof block)
        say_chunk(p, block, n < sizeof block ? n : sizeof block);
}

static void say_big(struct provider_side *p, size_t n)
{
    char *text = malloc(n + 256);
    size_t at = (size_t)sprintf(
        text, "data: {\"id\":\"u1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
    memset(text + at, 'x', n);
    at += n;
    at += (size_t)sprintf(text + at, "\"},\"finish_reason\":null}]}\n\n");
    say_chunk(p, text, at);
    free(text);
}

static void say_wide(struct provider_side *p, size_t n)
{
    char *text = malloc(n + 64);
    size_t at = (size_t)sprintf(text, "{\"status\":\"");
    memset(text + at, 'x', n);
    at += n;
    at += (size_t)sprintf(text + at, "\"}\n");
    say_chunk(p, text, at);
    free(text);
}

/* Into a JSON string; no memory that could be refused. */
static void put_escaped(char *out, size_t size, const char *text, size_t n)
{
    size_t at = strlen(out);
    for (size_t i = 0; i < n && at + 3 < size; i++) {
        if (text[i] == '"' || text[i] == '\\')
            out[at++] = '\\';
        out[at++] = text[i];
    }
    out[at] = '\0';
}

struct wanted {
    char text[1024], calls[8192]; /* inside of a string; members of tool_calls */
    size_t n;
};

static void read_wanted(struct wanted *w, const char *spec)
{
    while (*spec != '\0') {
        const char *end = strstr(spec, " ; ");
        size_t n = end != NULL ? (size_t)(end - spec) : strlen(spec);
        const char *args = memchr(spec, ' ', n);
        if (spec[0] == '"') {
            put_escaped(w->text, sizeof w->text, spec + 1, n - 2);
        } else {
            size_t name = args != NULL ? (size_t)(args - spec) : n, at = strlen(w->calls);
            snprintf(w->calls + at, sizeof w->calls - at,
                     "%s{\"index\":%zu,\"id\":\"call_%zu\",\"type\":\"function\",\"function\":{"
                     "\"name\":\"%.*s\",\"arguments\":\"",
                     w->n > 0 ? "," : "", w->n, w->n, (int)name, spec);
            if (args != NULL)
                put_escaped(w->calls, sizeof w->calls, args + 1, n - name - 1);
            at = strlen(w->calls);
            snprintf(w->calls + at, sizeof w->calls - at, "\"}}");
            w->n++;
        }
        spec += n + (end != NULL ? 3 : 0);
    }
}

#define OF_OPENAI(object)                                                                          \
    "{\"id\":\"u1\",\"object\":\"" object "\",\"created\":1,\"model\":\"m1\",\"choices\":["
#define USED "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12}}"

static void say_openai(struct provider_side *p, const struct wanted *w)
{
    static char out[16384];
    bool stream = strstr(p->body, "\"stream\":true") != NULL;
    const char *finish = w->n > 0 ? "tool_calls" : "stop";
    say_head(p, "200", stream ? "sse" : "json", "Transfer-Encoding: chunked");
    if (stream)
        snprintf(out, sizeof out,
                 "data: " OF_OPENAI(
                     "chat.completion.chunk") "{\"index\":0,\"delta\":{\"role\":"
                                              "\"assistant\",\"content\":\"%s\"},\"finish_reason\":"
                                              "null}]}\n\n"
                                              "data: " OF_OPENAI(
                                                  "chat.completion.chunk") "{\"index\":0,\"delta\":"
                                                                           "{%s%s%s},"
                                                                           "\"finish_reason\":\"%"
                                                                           "s\"}]}\n\ndata:"
                                                                           " " OF_OPENAI(
                                                                               "chat.completion."
                                                                               "chunk") "]," USED
                                                                                        "\n\ndata: "
                                                                                        "[DONE]"
                                                                                        "\n\n",
                 w->text, w->n > 0 ? "\"tool_calls\":[" : "", w->calls, w->n > 0 ? "]" : "",
                 finish);
    else
        snprintf(
            out, sizeof out,
            OF_OPENAI(
                "chat.completion") "{\"index\":0,\"message\":{\"role\":\"assistant\","
                                   "\"content\":\"%s\"%s%s%s},\"finish_reason\":\"%s\"}]," USED,
            w->text, w->n > 0 ? ",\"tool_calls\":[" : "", w->calls, w->n > 0 ? "]" : "", finish);
    say_chunk(p, out, strlen(out));
    say_chunk(p, "", 0);
}

static void take_models(const struct provider_side *side, const char *list)
{
    struct err err = ERR_INIT;
    const struct provider *p;
    for (size_t i = 0; (p = server(i)) != NULL; i++) {
        if (strcmp(p->cell->name, side->name) == 0 &&
            !provider_models_take(p->cell, p->kind, strv_of(list), &err))
            fail("the list of models of %s: %s", p->name, err.text);
    }
}

static void take_memory(const struct provider_side *side, const char *list)
{
    const struct provider *p;
    for (size_t i = 0; (p = server(i)) != NULL; i++) {
        if (strcmp(p->cell->name, side->name) != 0)
            continue;
        pthread_mutex_lock(&p->cell->lock);
        p->cell->probed = p->cell->available = true;
        pthread_mutex_unlock(&p->cell->lock);
        if (!provider_learn_loaded(p->cell, strv_of(list)))
            fail("what %s has in memory was not understood", p->name);
    }
}

static void do_provider(char *rest)
{
    static const struct {
        const char *word;
        enum fake_answer answer;
    } answers[] = {{"accept", FAKE_ACCEPT},
                   {"refuse", FAKE_REFUSE},
                   {"hang", FAKE_HANG},
                   {"dns", FAKE_NO_NAME},
                   {"unreachable", FAKE_UNREACHABLE}};
    struct provider_side *p = provider_side(need(&rest, "provider"));
    char *what = need(&rest, "what");
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (strcmp(what, answers[i].word) == 0) {
            char *n = word(&rest);
            set_rule(p, answers[i].answer, n != NULL ? (unsigned)strtoul(n, NULL, 10) : 0);
            return;
        }
    }
    if (strcmp(what, "expect") == 0) {
        provider_expect(p, rest);
        return;
    }
    if (strcmp(what, "never") == 0) {
        snprintf(p->never, sizeof p->never, "%s", unescape(tail(&rest)));
        return;
    }
    if (strcmp(what, "header") == 0) {
        size_t n = strlen(p->headers);
        snprintf(p->headers + n, sizeof p->headers - n, "%s\r\n", tail(&rest));
        return;
    }
    if (strcmp(what, "models") == 0) {
        take_models(p, tail(&rest));
        return;
    }
    if (strcmp(what, "memory") == 0) {
        take_memory(p, tail(&rest));
        return;
    }
    if (p->now == NULL) {
        fail("provider %s has no request in hand", p->name);
        if (!t.fault)
            return;
        if (!next_request(p, "POST",
                          "")) /* with failing memory the script may be ahead of the program */
            return;
    }
    if (judging && fake_peer_over(p->now))
        return;
    if (strcmp(what, "reply") == 0) {
        char framing[64];
        char *status = need(&rest, "status"), *type = need(&rest, "type");
        char *body = body_of(unescape(tail(&rest)));
        snprintf(framing, sizeof framing, "Content-Length: %zu", strlen(body));
        say_head(p, status, type, framing);
        fake_peer_send(p->now, body, strlen(body));
        free(body);
    } else if (strcmp(what, "head") == 0) {
        char *status = need(&rest, "status"), *type = need(&rest, "type");
        say_head(p, status, type, "Transfer-Encoding: chunked");
    } else if (strcmp(what, "event") == 0 || strcmp(what, "line") == 0 ||
               strcmp(what, "bytes") == 0) {
        char *text = unescape(tail(&rest));
        char *chunk = malloc(strlen(text) + 16);
        size_t n = (size_t)sprintf(chunk, "%s%s%s",
                                   what[0] == 'e' ? (text[0] == 'e' ? "" : "data: ") : "", text,
                                   what[0] == 'e'   ? "\n\n"
                                   : what[0] == 'l' ? "\n"
                                                    : "");
        say_chunk(p, chunk, n);
        free(chunk);
    } else if (strcmp(what, "answers") == 0) {
        struct wanted w = {.n = 0};
        char *text = tail(&rest);
        put_escaped(w.text, sizeof w.text, text, strlen(text));
        say_openai(p, &w);
    } else if (strcmp(what, "wants") == 0) {
        struct wanted w = {.n = 0};
        read_wanted(&w, tail(&rest));
        say_openai(p, &w);
    } else if (strcmp(what, "raw") == 0) {
        fake_peer_send_cstr(p->now, unescape(tail(&rest)));
    } else if (strcmp(what, "last") == 0) {
        fake_peer_send_cstr(p->now, "0\r\n\r\n");
    } else if (strcmp(what, "eof") == 0) {
        fake_peer_eof(p->now, false);
    } else if (strcmp(what, "reset") == 0) {
        fake_peer_reset(p->now);
    } else if (strcmp(what, "giant") == 0) {
        say_giant(p, strtoul(need(&rest, "bytes"), NULL, 10));
    } else if (strcmp(what, "big") == 0) {
        say_big(p, strtoul(need(&rest, "bytes"), NULL, 10));
    } else if (strcmp(what, "wide") == 0) {
        say_wide(p, strtoul(need(&rest, "bytes"), NULL, 10));
    } else {
        die("unknown step", what);
    }
    settle();
}

/* Without a file, since nothing here runs its thread; what was spent is counted all the same. */
static void keep_ledger(void)
{
    struct err err = ERR_INIT;
    const struct ledger_setup setup = {.path = "/dev/null/ledger.db",
                                       .queue = 256,
                                       .interval_ms = 1000,
                                       .wall_us = io_wall_us(t.loop),
                                       .log_fd = -1,
                                       .log_level = LOG_OFF};
    t.ledger = ledger_new(&setup, &err);
    t.worker.env.ledger = t.ledger;
}

static void do_ledger(char *rest)
{
    char *what = need(&rest, "expectation");
    char *arg = tail(&rest);
    char *last, *text = log_text();
    size_t rows = ledger_rows(text, &last);
    if (strcmp(what, "keeps") == 0) {
        free(text);
        keep_ledger();
        return;
    }
    if (strcmp(what, "rows") == 0) {
        if (rows != strtoul(arg, NULL, 10))
            fail("expected %s rows in the ledger, there are %zu", arg, rows);
    } else if (last == NULL) {
        fail("the ledger has no row");
    } else if (strcmp(what, "has") == 0) {
        if (strstr(last, arg) == NULL)
            fail("expected in the row: %s, got: %s", arg, last);
    } else if (strcmp(what, "lacks") == 0) {
        if (strstr(last, arg) != NULL)
            fail("not expected in the row: %s", arg);
    } else {
        die("unknown expectation", what);
    }
    free(text);
}

/* Everything that is asked of it is done at once. */
static void open_keep(void)
{
    struct err err = ERR_INIT;
    struct chat_keys keys = {.key = {{1}}, .id = {{1}}, .n = 1};
    char path[64];
    snprintf(t.keep_dir, sizeof t.keep_dir, "/tmp/kept-XXXXXX");
    if (mkdtemp(t.keep_dir) == NULL)
        die("cannot make", t.keep_dir);
    snprintf(path, sizeof path, "%s/chat.db", t.keep_dir);
    const struct chat_keep_conf kept = {.path = path, .keys = &keys, .no_thread = true};
    t.keep = chat_keep_open(&kept, NULL, &err);
    chat_rooms_settle(&t.room, 1); /* the one without a file */
    chat_room_free(t.room);
    t.worker.room = NULL;
    (void)worker_open_room(&t.worker, t.keep, &t.room, 1, &err);
    t.room = t.worker.room;
    t.worker.api.keep = t.keep;
}

static void close_keep(void)
{
    char path[64];
    static const char *const ends[] = {"", "-wal", "-shm"};
    chat_keep_close(t.keep);
    for (size_t i = 0; t.keep_dir[0] != '\0' && i < 3; i++) {
        snprintf(path, sizeof path, "%s/chat.db%s", t.keep_dir, ends[i]);
        unlink(path);
    }
    if (t.keep_dir[0] != '\0')
        rmdir(t.keep_dir);
}

static void do_kept(char *rest)
{
    struct chat_head head = {.mode = STRV("hybrid"), .model = STRV("auto"), .tools = true};
    strv messages[16];
    uint32_t numbers[16];
    snprintf(head.user, sizeof head.user, "%s", need(&rest, "user"));
    snprintf(head.id, sizeof head.id, "%s", need(&rest, "session"));
    strv text = strv_of(tail(&rest)), part;
    strv_cut(&text, '|', &part);
    head.title = strv_trim(part);
    for (; head.n_messages < 16 && strv_cut(&text, '|', &part); head.n_messages++) {
        messages[head.n_messages] = strv_trim(part);
        numbers[head.n_messages] = head.n_messages + 1;
    }
    head.leaf = head.n_messages;
    head.created_us = head.last_us = io_wall_us(t.loop);
    if (t.keep_dir[0] == '\0')
        open_keep();
    if (t.keep != NULL)
        chat_keep_put(t.keep, t.loop, &head, messages, numbers, head.n_messages, NULL, NULL);
    settle();
}

static void make_state(void)
{
    snprintf(t.state_dir, sizeof t.state_dir, "/tmp/state-XXXXXX");
    if (mkdtemp(t.state_dir) == NULL)
        die("cannot make", t.state_dir);
    snprintf(t.store_path, sizeof t.store_path, "%s/llm-router.db", t.state_dir);
    t.store = (struct store_at){.path = t.store_path};
    t.worker.api.store = &t.store;
}

static void drop_state(void)
{
    char path[64];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; t.state_dir[0] != '\0' && i < 3; i++) {
        snprintf(path, sizeof path, "%s/llm-router.db%s", t.state_dir, ends[i]);
        unlink(path);
    }
    if (t.state_dir[0] != '\0')
        rmdir(t.state_dir);
}

static void do_log(char *rest)
{
    char *what = need(&rest, "expectation"), *arg = tail(&rest), *text = log_text();
    bool wanted = strcmp(what, "has") == 0;
    if ((strstr(text, arg) != NULL) != wanted)
        fail("%s in the log: %s", wanted ? "expected" : "not expected", arg);
    free(text);
}

static void do_time(char *rest)
{
    char *arg = need(&rest, "time");
    char *unit;
    uint64_t ms = strtoul(arg[0] == '+' ? arg + 1 : arg, &unit, 10);
    if (strcmp(unit, "s") == 0)
        ms *= 1000;
    else if (strcmp(unit, "m") == 0)
        ms *= 60000;
    fake_advance(t.loop, ms);
    settle();
}

/* The servers that were declared stand in the configuration's place. */
static void use_servers(struct config *c)
{
    if (t.worker.agent.hub != NULL)
        c->mcp.servers = fake_hub_servers(&c->mcp.n_servers);
}

static void do_reload(char *rest)
{
    const char *set[16] = {NULL};
    for (size_t n = 0; n + 1 < sizeof set / sizeof *set && (set[n] = word(&rest)) != NULL; n++)
        set[n + 1] = NULL;
    struct config *now = read_config(set);
    if (now == NULL)
        return;
    use_servers(now);
    (void)worker_take_config(&t.worker, now); /* refused memory: the old one stays */
    config_free(t.config);
    t.config = now;
    settle();
}

static void read_rule(struct policy_rules *rules, char *text)
{
    struct err err = ERR_INIT;
    char *value = strchr(text, '=');
    if (value == NULL)
        die("RULE=VALUE expected:", text);
    *value++ = '\0';
    for (unsigned i = 0; i < POLICY_RULES; i++)
        if (strcmp(policy_rule_name((enum policy_rule)i), text) == 0 &&
            policy_rule_set(rules, (enum policy_rule)i, strv_of(value), io_wall_us(t.loop), &err))
            return;
    die("wrong rule:", text);
}

static void do_key(char *rest)
{
    struct policy_key items[16], *k = items;
    size_t n = t.keys->n;
    char *secret = need(&rest, "secret"), *rule;
    memcpy(items, t.keys->items, n * sizeof *items);
    while (k < items + n && strcmp(k->id + 2, secret) != 0)
        k++;
    if (n == sizeof items / sizeof *items)
        die("too many keys:", secret);
    n += k == items + n;
    *k = (struct policy_key){.id = ""};
    snprintf(k->id, sizeof k->id, "k_%s", secret);
    policy_key_digest(strv_of(secret), k->digest);
    while ((rule = word(&rest)) != NULL)
        read_rule(&k->rules, rule);
    struct policy_keys *keys = policy_keys_new(items, n, t.keys);
    if (keys == NULL) /* refused memory: the old ones stay */
        return;
    (void)worker_take_keys(&t.worker, keys);
    policy_keys_unref(t.keys);
    t.keys = keys;
    settle();
}

static void do_revoke(const char *secret)
{
    struct policy_key items[16];
    size_t n = 0;
    for (size_t i = 0; i < t.keys->n; i++)
        if (strcmp(t.keys->items[i].id + 2, secret) != 0)
            items[n++] = t.keys->items[i];
    struct policy_keys *keys = policy_keys_new(items, n, t.keys);
    if (keys == NULL)
        return;
    (void)worker_take_keys(&t.worker, keys);
    policy_keys_unref(t.keys);
    t.keys = keys;
    settle();
}

static void do_audit(char *rest)
{
    char *verb = need(&rest, "what of the audit");
    char *arg = tail(&rest);
    if (strcmp(verb, "works") == 0 || strcmp(verb, "fails") == 0 || strcmp(verb, "hangs") == 0) {
        t.audit_is = verb[0] == 'w'   ? AUDIT_SUNK_YES
                     : verb[0] == 'f' ? AUDIT_SUNK_NO
                                      : AUDIT_SUNK_LATER;
    } else if (strcmp(verb, "goes") == 0) {
        t.audit_is = AUDIT_SUNK_YES;
        audit_sink_tell(t.audit, true);
        settle();
    } else if (strcmp(verb, "records") == 0) {
        if (t.audit_records != strtoul(arg, NULL, 10))
            fail("expected %s records in the audit, there are %zu, the last: %s", arg,
                 t.audit_records, t.audit_last);
    } else if ((strstr(t.audit_last, arg) != NULL) != (strcmp(verb, "has") == 0)) {
        fail("the last record of the audit: %s", t.audit_last);
    }
}

/* ---- tools ---- */

/* Whenever one more is declared. */
static void use_tools(void)
{
    const struct agent_desk_env desk = {t.loop, NULL, &t.worker.log};
    struct agent_env *agent = &t.worker.agent;
    agent_index_unref(agent->index);
    agent->hub = fake_hub();
    use_servers(t.config);
    agent->index = fake_hub_index();
    if (agent->desk == NULL)
        agent->desk = agent_desk_new(&desk);
    if (t.host == NULL && (t.host = agent_host_new()) != NULL)
        (void)agent_host_add(t.host, agent);
}

static void answer_tool(enum mcp_end end, strv result, strv text)
{
    if (t.called == NULL) {
        fail("no call is in hand");
        return;
    }
    struct fake_call *c = t.called;
    t.called = NULL;
    fake_call_answer(c, &(struct mcp_answer){.end = end,
                                             .result = result,
                                             .text = text,
                                             .data = STRV(""),
                                             .code = end == MCP_REFUSED ? -32000 : 0});
    settle();
}

static void say_tool(const char *text)
{
    struct buf b;
    char result[8192];
    buf_init(&b, sizeof result);
    json_put_str(&b, strv_of(text));
    snprintf(result, sizeof result, "{\"content\":[{\"type\":\"text\",\"text\":%.*s}]}",
             (int)buf_len(&b), buf_view(&b).ptr);
    buf_fini(&b);
    answer_tool(MCP_OK, strv_of(result), STRV(""));
}

static void expect_tool(const char *name, const char *text)
{
    t.called = fake_hub_next(name);
    if (t.called == NULL)
        fail("tool %s expected a call and there is none", name);
    else if (strstr(fake_call_params(t.called), text) == NULL)
        fail("tool %s: expected %s in its params: %s", name, text, fake_call_params(t.called));
}

static void do_tool(char *rest)
{
    char *name = need(&rest, "a tool's name"), *verb = need(&rest, "what of the tool");
    char *arg = unescape(tail(&rest));
    if (strcmp(verb, "is") == 0) {
        if (!fake_hub_tool(name, arg))
            die("wrong tool:", name);
        use_tools();
    } else if (strcmp(verb, "expect") == 0)
        expect_tool(name, arg);
    else if (strcmp(verb, "says") == 0)
        say_tool(arg);
    else if (strcmp(verb, "result") == 0)
        answer_tool(MCP_OK, strv_of(arg), STRV(""));
    else if (strcmp(verb, "refuses") == 0)
        answer_tool(MCP_REFUSED, STRV(""), strv_of(arg));
    else if (strcmp(verb, "gone") == 0)
        answer_tool(MCP_GONE, STRV(""), strv_of(arg));
    else if (strcmp(verb, "late") == 0)
        answer_tool(MCP_LATE, STRV(""), strv_of(arg));
    else if (strcmp(verb, "calls") == 0) {
        if (fake_hub_calls(name) != strtoul(arg, NULL, 10))
            fail("tool %s: expected %s calls, there were %zu", name, arg, fake_hub_calls(name));
    } else if (strcmp(verb, "cancelled") == 0) {
        if (t.called == NULL || !fake_call_cancelled(t.called))
            fail("tool %s: its call was not cancelled", name);
        t.called = NULL;
    } else
        die("unknown word of a tool:", verb);
}

static void do_question(char *rest)
{
    char *what = need(&rest, "a method"), *arg = tail(&rest);
    const char *said = t.question != NULL ? fake_question_answer(t.question) : NULL;
    if (strcmp(what, "waits") == 0) {
        if (said != NULL)
            fail("the question was answered: %s", said);
    } else if (strcmp(what, "has") == 0) {
        if (said == NULL || strstr(said, arg) == NULL)
            fail("expected in the answer: %s, got: %s", arg, said != NULL ? said : "nothing");
    } else if (strcmp(what, "withdrawn") == 0) {
        if (t.question != NULL)
            fake_question_withdraw(t.question);
    } else if (t.host != NULL) {
        const struct mcp_host *host = agent_host_of(t.host);
        t.question = fake_hub_question();
        host->ask(host->arg, t.question, "sched", strv_of(what), strv_of(arg));
        settle();
    }
}

/* Of the oldest call that waits; how many there are. */
static size_t pending(char id[32])
{
    struct buf b;
    size_t n = 0;
    static const char mark[] = "{\"id\":\"", wait[] = "\",\"decision\":\"pending\"";
    buf_init(&b, 1 << 20);
    if (t.worker.agent.desk != NULL)
        agent_desk_json(t.worker.agent.desk, &b);
    buf_put_char(&b, '\0');
    for (const char *at = b.failed ? "" : buf_view(&b).ptr; (at = strstr(at, mark)) != NULL; at++) {
        const char *begin = at + sizeof mark - 1, *end = strchr(begin, '"');
        if (end == NULL || strncmp(end, wait, sizeof wait - 1) != 0)
            continue;
        if (n++ == 0)
            snprintf(id, 32, "%.*s", (int)(end - begin), begin);
    }
    buf_fini(&b);
    return n;
}

static void do_decide(bool yes, char *rest)
{
    struct err err = ERR_INIT;
    char id[32] = "", *how = word(&rest);
    if (pending(id) == 0)
        fail("no call waits for an approval");
    else if (!agent_desk_decide(t.worker.agent.desk, strv_of(id),
                                yes ? AGENT_APPROVED : AGENT_DENIED, how != NULL, "k_boss", &err))
        fail("%s", err.text);
    settle();
}

static void do_approvals(char *rest)
{
    char id[32], *n = need(&rest, "a number");
    if (pending(id) != strtoul(n, NULL, 10))
        fail("expected %s calls that wait, there are %zu", n, pending(id));
}

static void do_line(char *line)
{
    char *rest = line;
    char *verb = word(&rest);
    if (verb == NULL || verb[0] == '#')
        return;
    if (!t.up) {
        t.up = start_program();
        if (!t.up)
            longjmp(t.stop, 1);
    }
    if (strcmp(verb, "client") == 0)
        do_client(rest);
    else if (strcmp(verb, "socket") == 0)
        do_socket(rest);
    else if (strcmp(verb, "provider") == 0)
        do_provider(rest);
    else if (strcmp(verb, "time") == 0)
        do_time(rest);
    else if (strcmp(verb, "ledger") == 0)
        do_ledger(rest);
    else if (strcmp(verb, "state") == 0)
        make_state();
    else if (strcmp(verb, "log") == 0)
        do_log(rest);
    else if (strcmp(verb, "kept") == 0)
        do_kept(rest);
    else if (strcmp(verb, "audit") == 0)
        do_audit(rest);
    else if (strcmp(verb, "server") == 0) {
        char *name = need(&rest, "a server's name");
        if (!fake_hub_state(name, need(&rest, "its state")))
            die("unknown state of a server:", name);
    } else if (strcmp(verb, "tool") == 0)
        do_tool(rest);
    else if (strcmp(verb, "question") == 0)
        do_question(rest);
    else if (strcmp(verb, "approvals") == 0)
        do_approvals(rest);
    else if (strcmp(verb, "approve") == 0 || strcmp(verb, "deny") == 0)
        do_decide(verb[0] == 'a', rest);
    else if (strcmp(verb, "cut") == 0) {
        t.cut = strtoul(need(&rest, "bytes"), NULL, 10);
        fake_cut(t.loop, t.cut);
    } else if (strcmp(verb, "reload") == 0) {
        do_reload(rest);
    } else if (strcmp(verb, "key") == 0) {
        do_key(rest);
    } else if (strcmp(verb, "revoke") == 0) {
        do_revoke(need(&rest, "a key"));
    } else if (strcmp(verb, "drain") == 0) {
        worker_drain(&t.worker, 0);
        settle();
    } else if (strcmp(verb, "stop") == 0) {
        chat_room_stop(t.room);
        exchange_stop_all(&t.worker.env);
        settle();
    } else
        die("unknown line:", verb);
}

/* ---- one scenario ---- */

struct script {
    char title[256];
    char config[CONFIG_MAX];
    char **lines;
    int *numbers;
    size_t n;
};

static int64_t exchanges_begun(void)
{
    int64_t n = 0;
    for (unsigned d = 0; d < LLM_DIALECTS; d++)
        n += metric_sum(METRIC_REQUESTS, d);
    return n;
}

static int64_t rows_written(void)
{
    struct ledger_stats st;
    ledger_stats_get(&st);
    return st.total;
}

static void begin(const struct script *s, bool fault)
{
    const char *file = t.file, *dir = t.dir;
    memset(&t, 0, sizeof t);
    fake_hub_begin();
    t.file = file;
    t.dir = dir;
    t.fault = fault || judging;
    t.log_fd = memfd_create("log", 0);
    snprintf(t.title, sizeof t.title, "%s", s->title);
    snprintf(t.config_text, sizeof t.config_text, "%s", s->config);
    t.live_before = mem_live();
    t.begun_before = exchanges_begun();
    t.rows_before = rows_written();
}

/* All time has passed: what holds whatever the story was. */
static void judge_client(const struct client_side *c)
{
    const char *body = find_body(c);
    if (c->seen == NULL || strncmp(c->seen, "HTTP/1.1 200", 12) != 0 ||
        strstr(c->seen, "Transfer-Encoding: chunked") == NULL)
        return; /* whole answers are compared with their length by the HTTP layer */
    bool marked = strstr(body, "[DONE]") != NULL || strstr(body, "message_stop") != NULL ||
                  strstr(body, "\"done\":true") != NULL ||
                  strstr(body, "event: response.completed") != NULL ||
                  strstr(body, "event: response.incomplete") != NULL;
    bool failed = strstr(body, "\"error\":{") != NULL || strstr(body, "\"error\":\"") != NULL ||
                  strstr(body, "event: error") != NULL;
    if (complete(c) && (!marked || failed))
        fail("client %s: shown as complete, and it is not: %s", c->name, c->seen);
    if (marked && failed)
        fail("client %s: both an end and an error: %s", c->name, c->seen);
    if (!complete(c) && !failed && !c->slow && !fake_peer_over(c->peer))
        fail("client %s: broken off without a word: %s", c->name, c->seen);
}

static void judge(void)
{
    for (size_t i = 0; i < t.n_clients; i++)
        if (t.clients[i].peer != NULL)
            fake_peer_window(t.clients[i].peer, FAKE_UNLIMITED);
    for (int s = 0; s < 100; s++) { /* stories.py sets a deadline of 40 s */
        fake_advance(t.loop, 1000);
        settle();
    }
    t.fault = false;
    if (t.worker.env.active > 0)
        fail("%zu exchanges are past every limit", t.worker.env.active);
    const struct provider *p;
    for (size_t i = 0; (p = server(i)) != NULL; i++) {
        const struct provider_cell *c = p->cell;
        if (c->in_flight != 0 || c->waiting != 0 || c->trial)
            fail("provider %s: %lld in flight, %lld waiting%s", c->name, (long long)c->in_flight,
                 (long long)c->waiting, c->trial ? ", a trial" : "");
    }
    for (size_t i = 0; i < t.n_clients; i++)
        judge_client(&t.clients[i]);
    t.fault = true;
}

/* Everybody leaves; then nothing may be left, and every exchange has its row. */
static void finish(void)
{
    if (judging && t.up)
        judge();
    for (size_t i = 0; i < t.n_clients; i++)
        if (t.clients[i].peer != NULL && fake_peer_state(t.clients[i].peer) == FAKE_OPEN)
            fake_peer_reset(t.clients[i].peer);
    for (size_t i = 0; i < t.n_sockets; i++)
        if (t.sockets[i].peer != NULL && fake_peer_state(t.sockets[i].peer) == FAKE_OPEN)
            fake_peer_reset(t.sockets[i].peer);
    if (t.loop != NULL)
        fake_run(t.loop);
    mem_fail_at(0, false);
    for (size_t i = 0; i < t.n_providers; i++)
        check_never(&t.providers[i]);
    api_sockets_fini(&t.worker.api);
    if (t.room != NULL) /* a conversation is answered though nobody listens */
        chat_rooms_settle(&t.room, 1);
    if (t.loop != NULL)
        fake_run(t.loop);
    bool has_env = t.worker.env.waits != NULL;
    size_t active = has_env ? t.worker.env.active : 0;
    if (active == 1 && t.worker.agent.index != NULL &&
        atomic_load(&t.worker.agent.index->learning)) {
        exchange_stop_all(&t.worker.env); /* asked for nobody: it ends with the process */
        fake_run(t.loop);
        active = t.worker.env.active;
    }
    if (active > 0) {
        t.fault = false;
        fail("%zu exchanges are still active after every caller left", active);
        printf("not ok %s # %s\n", t.title, t.why);
        exit(1); /* what follows would trip over it */
    }
    struct io_loop *loop = t.worker.loop;
    if (t.worker.log.fd != t.log_fd)
        t.worker.log.fd = t.log_fd;
    t.worker.loop = NULL; /* fake_end() frees it and counts what was forgotten */
    if (loop != NULL)     /* a drain that could not be told became a stop */
        io_timer_stop(loop, &t.worker.leave);
    if (loop != NULL && t.worker.server != NULL)
        http_server_free(t.worker.server);
    t.worker.server = NULL;
    if (loop != NULL)
        fake_run(loop);
    close_keep();
    drop_state();
    if (loop != NULL)
        fake_run(loop);
    agent_host_free(t.host);
    agent_desk_free(t.worker.agent.desk);
    worker_fini(&t.worker);
    gateway_hall_free(t.hall);
    crowd_free(t.crowd);
    ended_free(t.ended);
    if (t.keys != NULL)
        policy_keys_unref(t.keys);
    policy_sticky_free(t.sticky);
    policy_limits_free(t.limits);
    ledger_free(t.ledger);
    audit_close(t.audit);
    config_free(t.config);
    size_t forgotten = loop != NULL ? fake_end(loop) : 0;
    provider_cells_free();
    int64_t live = mem_live();
    bool quiet = t.fault;
    t.fault = false;
    if (forgotten > 0)
        fail("%zu objects of the loop were forgotten", forgotten);
    if (live != t.live_before)
        fail("%lld blocks of memory leaked", (long long)(live - t.live_before));
    if (exchanges_begun() - t.begun_before != rows_written() - t.rows_before)
        fail("%lld exchanges wrote %lld rows", (long long)(exchanges_begun() - t.begun_before),
             (long long)(rows_written() - t.rows_before));
    t.fault = quiet;
    close(t.log_fd);
    for (size_t i = 0; i < t.n_clients; i++)
        free(t.clients[i].seen);
    for (size_t i = 0; i < t.n_sockets; i++)
        free(t.sockets[i].seen);
}

/* The detector is made once and kept by config/: it must not count as left over by a scenario. */
static void make_detector(const struct script *s)
{
    const char *none[] = {NULL};
    begin(s, true);
    config_free(read_config(none));
    provider_cells_free();
    close(t.log_fd);
}

static bool play(const struct script *s, uint64_t fail_at, uint64_t *allocations)
{
    if (fail_at <= 1) /* the first of either kind */
        make_detector(s);
    begin(s, fail_at > 0);
    mem_fail_at(fail_at, false);
    if (setjmp(t.stop) == 0) {
        for (size_t i = 0; i < s->n && !t.failed; i++) {
            static char line[65536]; /* longjmp may leave do_line() */
            t.line = s->numbers[i];
            snprintf(line, sizeof line, "%s", s->lines[i]);
            do_line(line);
        }
    }
    if (allocations != NULL)
        *allocations = mem_count();
    finish();
    return !t.failed;
}

/* A script with so many lets the clock tick through an hour, and a tick is like the one before it. */
enum { EACH_UP_TO = 500, THEN_EVERY = 11 };

static void run_script(const struct script *s, bool fault, int *passed, int *failed)
{
    uint64_t allocations = 0, refused = 0;
    bool ok = play(s, 0, &allocations);
    for (uint64_t n = 1; ok && fault && n <= allocations; n += n < EACH_UP_TO ? 1 : THEN_EVERY) {
        ok = play(s, n, NULL);
        refused++;
        if (!ok) {
            char which[64];
            snprintf(which, sizeof which, " (allocation %llu of %llu refused)",
                     (unsigned long long)n, (unsigned long long)allocations);
            strncat(t.why, which, sizeof t.why - strlen(t.why) - 1);
        }
    }
    ok ? ++*passed : ++*failed;
    if (ok && fault)
        printf("ok %s # %llu of %llu allocations refused in turn\n", s->title,
               (unsigned long long)refused, (unsigned long long)allocations);
    else if (ok)
        printf("ok %s\n", s->title);
    else
        printf("not ok %s # %s\n", s->title, t.why);
    fflush(stdout);
}

static void clear_script(struct script *s, const char *default_config)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->lines[i]);
    s->n = 0;
    s->title[0] = '\0';
    snprintf(s->config, sizeof s->config, "%s", default_config);
}

static void add_line(struct script *s, const char *line, int number)
{
    s->lines = realloc(s->lines, (s->n + 1) * sizeof *s->lines);
    s->numbers = realloc(s->numbers, (s->n + 1) * sizeof *s->numbers);
    s->lines[s->n] = strdup(line);
    s->numbers[s->n++] = number;
}

static void run_file(const char *path, bool fault, int *passed, int *failed)
{
    char dir[4096], *text = read_file(path), *rest = text, *line;
    struct script s = {0};
    bool in_config = false;
    int number = 0;
    snprintf(dir, sizeof dir, "%s", path);
    *(strrchr(dir, '/') != NULL ? strrchr(dir, '/') : dir) = '\0';
    t.file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    t.dir = dir;
    char beside[4200]; /* random scripts have none and need none */
    snprintf(beside, sizeof beside, "%s/default.yaml", dir);
    char *default_config = access(beside, R_OK) == 0 ? read_file(beside) : strdup("");
    clear_script(&s, default_config);
    while ((line = strsep(&rest, "\n")) != NULL) {
        number++;
        t.line = number;
        char *trimmed = line + strspn(line, " \t");
        if (in_config) {
            if (strcmp(trimmed, "end") == 0) {
                in_config = false;
                continue;
            }
            strncat(s.config, line, sizeof s.config - strlen(s.config) - 2);
            strcat(s.config, "\n");
        } else if (strncmp(trimmed, "scenario ", 9) == 0) {
            if (s.title[0] != '\0')
                run_script(&s, fault, passed, failed);
            clear_script(&s, default_config);
            char *open = strchr(trimmed, '"'), *close = strrchr(trimmed, '"');
            if (open == NULL || close == open)
                die("a title in quotes is missing:", trimmed);
            snprintf(s.title, sizeof s.title, "%s: %.*s", t.file, (int)(close - open - 1),
                     open + 1);
        } else if (strcmp(trimmed, "config") == 0) {
            in_config = true;
            s.config[0] = '\0';
        } else if (trimmed[0] != '\0' && trimmed[0] != '#') {
            add_line(&s, trimmed, number);
        }
    }
    if (s.title[0] != '\0')
        run_script(&s, fault, passed, failed);
    clear_script(&s, "");
    free(s.lines);
    free(s.numbers);
    free(default_config);
    free(text);
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, i = 1;
    bool fault = argc > 1 && strcmp(argv[1], "--fault") == 0;
    judging = argc > 1 && strcmp(argv[1], "--judge") == 0;
    for (i += fault || judging; i < argc; i++)
        run_file(argv[i], fault, &passed, &failed);
    printf("# %d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
