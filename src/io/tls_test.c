/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls - against an OpenSSL server in a thread, with authorities and certificates made for the run.
 *
 * The server plays one part per test (enum part) on one connection and then ends; the thread is joined
 * before anything is checked on its side.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/timer.h"

#define GUARD_MS 20000
#define BIG      3000000

enum part {
    ECHO_CLEAN,   /* sends back what it gets, until close_notify, and says goodbye */
    TALK_CLEAN,   /* sends BIG bytes and close_notify */
    TALK_AND_CUT, /* sends "half", then closes TCP without close_notify */
    CUT_HANDSHAKE,
    GARBAGE,      /* answers the ClientHello with text */
    GARBAGE_LATER /* ... after the handshake */
};

static char dir[64];
static char ca_pem[96], cert_pem[96], key_pem[96], other_pem[96], missing_pem[96];

struct fixture {
    struct io_loop *loop;
    struct io_timer guard;
    struct io_tls *tls;
    struct io_target target;
    struct io_stream *stream;
    struct buf got;
    size_t bytes;
    bool keep, connected, wrong_byte, brake_each;
    unsigned ends, drains;
    enum io_end end, why;
    /* the server */
    pthread_t thread;
    bool thread_runs;
    int listener;
    enum part part;
    int max_version;
    bool ask_for_certificate;
    const char *server_address; /* NULL = 127.0.0.1 */
    /* what the thread leaves behind */
    bool handshake_ok, saw_close_notify, saw_certificate, resumed;
    size_t server_bytes;
    char protocol[16];
};

/* ---- certificates ---- */

static X509 *make_cert(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
                       const char *alt)
{
    X509 *x = X509_new();
    X509_NAME *n = X509_get_subject_name(x);
    X509V3_CTX ctx;
    static long serial = 1;

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : n);
    X509_set_pubkey(x, key);
    X509V3_set_ctx(&ctx, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
    X509_EXTENSION *ext =
        alt != NULL ? X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, alt)
                    : X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    X509_sign(x, issuer_key != NULL ? issuer_key : key, EVP_sha256());
    return x;
}

static void write_cert(const char *path, X509 *x)
{
    FILE *f = fopen(path, "w");

    PEM_write_X509(f, x);
    fclose(f);
}

static int make_files(void **state)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = make_cert(ca_key, "test authority", NULL, NULL, NULL);
    X509 *cert = make_cert(key, "server", ca, ca_key, "DNS:localhost,IP:127.0.0.1");
    X509 *other = make_cert(key, "another authority", NULL, NULL, NULL);
    FILE *f;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/io-tls-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(ca_pem, sizeof ca_pem, "%s/ca.pem", dir);
    snprintf(cert_pem, sizeof cert_pem, "%s/cert.pem", dir);
    snprintf(key_pem, sizeof key_pem, "%s/key.pem", dir);
    snprintf(other_pem, sizeof other_pem, "%s/other.pem", dir);
    snprintf(missing_pem, sizeof missing_pem, "%s/missing.pem", dir);
    write_cert(ca_pem, ca);
    write_cert(cert_pem, cert);
    write_cert(other_pem, other);
    f = fopen(key_pem, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(ca);
    X509_free(cert);
    X509_free(other);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(ca_pem);
    unlink(cert_pem);
    unlink(key_pem);
    unlink(other_pem);
    return rmdir(dir);
}

/* ---- the server ---- */

static void echo(struct fixture *f, SSL *ssl)
{
    char data[5000];
    int n;

    while ((n = SSL_read(ssl, data, sizeof data)) > 0) {
        f->server_bytes += (size_t)n;
        if (SSL_write(ssl, data, n) != n)
            return;
    }
    f->saw_close_notify = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
    SSL_shutdown(ssl);
}

static void talk(SSL *ssl)
{
    char data[10000];

    for (size_t sent = 0; sent < BIG; sent += sizeof data) {
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (char)((sent + i) % 251);
        if (SSL_write(ssl, data, sizeof data) != (int)sizeof data)
            return;
    }
    SSL_shutdown(ssl);
}

static int accept_any_certificate(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

static SSL_CTX *server_ctx(const struct fixture *f)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    SSL_CTX_use_certificate_chain_file(ctx, cert_pem);
    SSL_CTX_use_PrivateKey_file(ctx, key_pem, SSL_FILETYPE_PEM);
    if (f->max_version != 0) {
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_max_proto_version(ctx, f->max_version);
    }
    if (f->ask_for_certificate)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any_certificate);
    return ctx;
}

static void play(struct fixture *f, SSL *ssl, int fd)
{
    f->handshake_ok = SSL_accept(ssl) == 1;
    if (!f->handshake_ok)
        return;
    f->resumed = SSL_session_reused(ssl) != 0;
    f->saw_certificate = SSL_get0_peer_certificate(ssl) != NULL;
    snprintf(f->protocol, sizeof f->protocol, "%s", SSL_get_version(ssl));
    if (f->part == ECHO_CLEAN)
        echo(f, ssl);
    else if (f->part == TALK_CLEAN)
        talk(ssl);
    else if (f->part == TALK_AND_CUT)
        SSL_write(ssl, "half", 4);
    else if (f->part == GARBAGE_LATER)
        (void)!write(fd, "this is not a TLS record at all", 31);
}

static void *serve(void *arg)
{
    struct fixture *f = arg;
    SSL_CTX *ctx = server_ctx(f);
    SSL *ssl = SSL_new(ctx);
    int fd = accept(f->listener, NULL, NULL);
    char drop[4096];

    if (f->part == GARBAGE)
        (void)!write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    if (f->part != GARBAGE && f->part != CUT_HANDSHAKE) {
        SSL_set_fd(ssl, fd);
        play(f, ssl, fd);
    }
    shutdown(fd, SHUT_WR); /* the client shall see an end, not a reset */
    while (f->part != CUT_HANDSHAKE && read(fd, drop, sizeof drop) > 0)
        continue;
    close(fd);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
}

static void start_server(struct fixture *f, enum part part)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;

    f->part = part;
    in.sin_addr.s_addr = inet_addr(f->server_address != NULL ? f->server_address : "127.0.0.1");
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(f->listener, 1), 0);
    getsockname(f->listener, (struct sockaddr *)&in, &len);
    f->target.port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    f->thread_runs = true;
}

static void join_server(struct fixture *f)
{
    if (!f->thread_runs)
        return;
    pthread_join(f->thread, NULL);
    f->thread_runs = false;
    close(f->listener);
}

/* ---- the client ---- */

static void on_data(void *arg, const char *data, size_t len)
{
    struct fixture *f = arg;

    for (size_t i = 0; i < len && f->part == TALK_CLEAN; i++)
        f->wrong_byte |= data[i] != (char)((f->bytes + i) % 251);
    f->bytes += len;
    if (f->keep)
        buf_put(&f->got, data, len);
    if (f->brake_each)
        io_stream_read(f->stream, false);
    io_loop_stop(f->loop);
}

static void on_end(void *arg, enum io_end end)
{
    struct fixture *f = arg;

    f->ends++;
    f->end = end;
    io_loop_stop(f->loop);
}

static void on_drain(void *arg)
{
    struct fixture *f = arg;

    f->drains++;
    io_loop_stop(f->loop);
}

static const struct io_stream_ops ops = {on_data, on_end, on_drain};

static void on_connect(void *arg, struct io_stream *s, enum io_end why)
{
    struct fixture *f = arg;

    assert_false(f->connected);
    f->connected = true;
    f->why = why;
    f->stream = s;
    if (s != NULL) {
        io_stream_bind(s, &ops, f);
        io_stream_read(s, true);
    }
    io_loop_stop(f->loop);
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for %d ms", GUARD_MS);
}

#define until(f, condition)                                                                        \
    do {                                                                                           \
        io_timer_start((f)->loop, &(f)->guard, GUARD_MS, on_guard, NULL);                          \
        while (!(condition))                                                                       \
            io_loop_run((f)->loop);                                                                \
        io_timer_stop((f)->loop, &(f)->guard);                                                     \
    } while (0)

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);

    if (f == NULL)
        return -1;
    f->loop = io_loop_new(&ERR_INIT);
    f->keep = true;
    buf_init(&f->got, 1 << 20);
    f->target = (struct io_target){.host = "localhost", .connect_ms = GUARD_MS};
    *state = f;
    return f->loop == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    io_stream_close(f->stream);
    join_server(f);
    io_tls_unref(f->tls);
    buf_fini(&f->got);
    io_loop_free(f->loop);
    mem_free(f);
    return mem_live() == 0 ? 0 : -1;
}

static void use(struct fixture *f, const struct io_tls_opts *opts)
{
    struct err err = ERR_INIT;

    f->tls = io_tls_new(opts, &err);
    if (f->tls == NULL)
        fail_msg("%s", err.text);
    f->target.tls = f->tls;
}

static void connect_to(struct fixture *f, enum part part)
{
    if (f->tls == NULL)
        use(f, &(struct io_tls_opts){.ca_file = ca_pem});
    start_server(f, part);
    f->connected = false;
    assert_non_null(io_connect(f->loop, &f->target, on_connect, f));
    until(f, f->connected);
}

static void expect_failure(struct fixture *f, enum part part, enum io_end why)
{
    connect_to(f, part);
    assert_null(f->stream);
    assert_string_equal(io_end_name(f->why), io_end_name(why));
    join_server(f);
}

static bool put(struct fixture *f, const char *a, const char *b)
{
    struct iovec v[2] = {{(char *)(uintptr_t)a, strlen(a)}, {(char *)(uintptr_t)b, strlen(b)}};

    return io_stream_write(f->stream, v, 2);
}

static void test_bytes_go_both_ways_and_end_cleanly(void **state)
{
    struct fixture *f = *state;

    connect_to(f, ECHO_CLEAN);
    assert_non_null(f->stream);
    assert_true(put(f, "hel", "lo"));
    until(f, strv_eq_cstr(buf_view(&f->got), "hello"));
    assert_true(put(f, "", ", world"));
    until(f, strv_eq_cstr(buf_view(&f->got), "hello, world"));
    io_stream_finish(f->stream, GUARD_MS);
    f->stream = NULL;
    io_loop_run(f->loop);
    join_server(f);
    assert_true(f->saw_close_notify);
    assert_int_equal(f->server_bytes, 12);
    assert_string_equal(f->protocol, "TLSv1.3");
    assert_false(f->resumed);
}

static void test_tls_1_2_is_spoken_too(void **state)
{
    struct fixture *f = *state;

    f->max_version = TLS1_2_VERSION;
    connect_to(f, ECHO_CLEAN);
    assert_true(put(f, "x", "y"));
    until(f, f->bytes == 2);
    io_stream_close(f->stream); /* says goodbye as well */
    f->stream = NULL;
    io_loop_run(f->loop);
    join_server(f);
    assert_string_equal(f->protocol, "TLSv1.2");
    assert_true(f->saw_close_notify);
}

static void test_older_protocols_are_refused(void **state)
{
    struct fixture *f = *state;

    f->max_version = TLS1_1_VERSION;
    expect_failure(f, ECHO_CLEAN, IO_TLS);
    assert_false(f->handshake_ok);
}

static void test_much_data_comes_whole_and_its_end_is_clean(void **state)
{
    struct fixture *f = *state;

    f->keep = false;
    connect_to(f, TALK_CLEAN);
    until(f, f->ends == 1);
    assert_int_equal(f->end, IO_EOF);
    assert_int_equal(f->bytes, BIG);
    assert_false(f->wrong_byte);
}

static void test_the_brake_holds_decrypted_data_too(void **state)
{
    struct fixture *f = *state;

    f->keep = false;
    f->brake_each = true; /* every call to on_data puts it on */
    connect_to(f, TALK_CLEAN);
    while (f->ends == 0) {
        size_t before = f->bytes;

        io_stream_read(f->stream, true);
        until(f, f->bytes > before || f->ends > 0);
    }
    assert_int_equal(f->end, IO_EOF);
    assert_int_equal(f->bytes, BIG);
    assert_false(f->wrong_byte);
}

static void test_much_output_is_kept_and_drained(void **state)
{
    struct fixture *f = *state;
    char *zeros = mem_zalloc(BIG);
    struct iovec v = {zeros, BIG};

    f->keep = false;
    connect_to(f, ECHO_CLEAN);
    io_stream_read(f->stream, false);
    for (int i = 0; i < 5; i++)
        assert_true(io_stream_write(f->stream, &v, 1));
    assert_true(io_stream_pending(f->stream) > 0);
    io_stream_read(f->stream, true);
    until(f, f->bytes == (size_t)5 * BIG);
    assert_int_equal(f->drains, 1);
    mem_free(zeros);
}

static void test_an_end_without_goodbye_is_truncation(void **state)
{
    struct fixture *f = *state;

    connect_to(f, TALK_AND_CUT);
    until(f, f->ends == 1);
    assert_true(strv_eq_cstr(buf_view(&f->got), "half"));
    assert_int_equal(f->end, IO_TRUNCATED);
}

static void test_a_broken_record_is_an_error(void **state)
{
    struct fixture *f = *state;

    connect_to(f, GARBAGE_LATER);
    until(f, f->ends == 1);
    assert_int_equal(f->end, IO_TLS);
    assert_int_equal(f->bytes, 0);
}

static void test_a_server_that_speaks_no_tls_is_told(void **state)
{
    expect_failure(*state, GARBAGE, IO_TLS);
}

static void test_a_server_that_hangs_up_in_the_handshake_is_told(void **state)
{
    struct fixture *f = *state;

    connect_to(f, CUT_HANDSHAKE);
    assert_null(f->stream);
    assert_true(f->why == IO_TLS || f->why == IO_RESET);
}

static void test_the_handshake_has_a_limit(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    use(f, &(struct io_tls_opts){.ca_file = ca_pem});
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 1), 0); /* the kernel accepts, nobody answers */
    getsockname(fd, (struct sockaddr *)&in, &len);
    f->target.port = ntohs(in.sin_port);
    f->target.connect_ms = 50;
    assert_non_null(io_connect(f->loop, &f->target, on_connect, f));
    until(f, f->connected);
    assert_null(f->stream);
    assert_int_equal(f->why, IO_TIMEOUT);
    close(fd);
}

static void test_an_unknown_authority_is_refused(void **state)
{
    struct fixture *f = *state;

    use(f, &(struct io_tls_opts){.ca_file = other_pem});
    expect_failure(f, ECHO_CLEAN, IO_TLS);
}

static void test_the_systems_authorities_do_not_know_ours(void **state)
{
    struct fixture *f = *state;

    use(f, &(struct io_tls_opts){0});
    expect_failure(f, ECHO_CLEAN, IO_TLS);
}

static void test_an_address_is_compared_with_the_certificate(void **state)
{
    struct fixture *f = *state;

    f->target.host = "127.0.0.1";
    connect_to(f, ECHO_CLEAN);
    assert_non_null(f->stream);
    assert_true(put(f, "o", "k"));
    until(f, f->bytes == 2);
}

static void test_another_address_is_refused(void **state)
{
    struct fixture *f = *state;

    f->server_address = f->target.host = "127.0.0.2"; /* not in the certificate */
    expect_failure(f, ECHO_CLEAN, IO_TLS);
    assert_false(f->saw_close_notify);
}

static void test_a_client_certificate_is_shown(void **state)
{
    struct fixture *f = *state;

    f->ask_for_certificate = true;
    use(f, &(struct io_tls_opts){.ca_file = ca_pem, .cert_file = cert_pem, .key_file = key_pem});
    connect_to(f, ECHO_CLEAN);
    assert_true(put(f, "o", "k"));
    until(f, f->bytes == 2);
    io_stream_close(f->stream);
    f->stream = NULL;
    io_loop_run(f->loop);
    join_server(f);
    assert_true(f->saw_certificate);
}

static void test_files_that_do_not_fit_are_named(void **state)
{
    static const struct {
        struct io_tls_opts opts;
        const char *text;
    } cases[] = {
        {{.ca_file = missing_pem}, "missing.pem"},
        {{.ca_file = key_pem}, "key.pem"},
        {{.ca_file = ca_pem, .cert_file = missing_pem}, "missing.pem"},
        {{.ca_file = ca_pem, .cert_file = cert_pem, .key_file = missing_pem}, "missing.pem"},
        {{.ca_file = ca_pem, .cert_file = ca_pem, .key_file = key_pem}, "key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;

        assert_null(io_tls_new(&cases[i].opts, &err));
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s", err.text);
    }
}

static void test_refused_memory_fails_the_connection_only(void **state)
{
    struct fixture *f = *state;

    for (uint64_t nth = 1; nth < 8; nth++) {
        start_server(f, ECHO_CLEAN);
        if (f->tls == NULL)
            use(f, &(struct io_tls_opts){.ca_file = ca_pem});
        f->connected = false;
        mem_fail_at(nth, false);
        if (io_connect(f->loop, &f->target, on_connect, f) != NULL)
            until(f, f->connected);
        mem_fail_at(0, false);
        io_stream_close(f->stream);
        f->stream = NULL;
        /* Whatever happened, the server must get a connection that ends. */
        f->connected = false;
        if (nth == 1) {
            assert_non_null(io_connect(f->loop, &f->target, on_connect, f));
            until(f, f->connected);
            io_stream_close(f->stream);
            f->stream = NULL;
        }
        io_loop_run(f->loop);
        shutdown(f->listener, SHUT_RDWR); /* wakes an accept that nobody came to */
        join_server(f);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_bytes_go_both_ways_and_end_cleanly),
        T(test_tls_1_2_is_spoken_too),
        T(test_older_protocols_are_refused),
        T(test_much_data_comes_whole_and_its_end_is_clean),
        T(test_the_brake_holds_decrypted_data_too),
        T(test_much_output_is_kept_and_drained),
        T(test_an_end_without_goodbye_is_truncation),
        T(test_a_broken_record_is_an_error),
        T(test_a_server_that_speaks_no_tls_is_told),
        T(test_a_server_that_hangs_up_in_the_handshake_is_told),
        T(test_the_handshake_has_a_limit),
        T(test_an_unknown_authority_is_refused),
        T(test_the_systems_authorities_do_not_know_ours),
        T(test_an_address_is_compared_with_the_certificate),
        T(test_another_address_is_refused),
        T(test_a_client_certificate_is_shown),
        T(test_files_that_do_not_fit_are_named),
        T(test_refused_memory_fails_the_connection_only),
    };
#undef T

    signal(SIGPIPE, SIG_IGN); /* the server thread writes with write(2) */
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
