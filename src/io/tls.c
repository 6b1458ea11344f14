/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls - a client's TLS over a stream, with OpenSSL between two memory BIOs.
 *
 *   wire --feed--> in --SSL_read--> loop->plain --> on_data
 *   user --write--> SSL_write --> out --io_stream_send--> wire
 *
 * OpenSSL never sees the socket, so it never waits and never writes by itself. Ciphertext stays in `in`
 * only when the user's brake is on, and then the stream reads no more: at most one read buffer of it.
 *
 * A clean end is the peer's close_notify. When TCP ends without it, somebody may have cut the answer:
 * that is IO_TRUNCATED, never IO_EOF (RFC 8446 6.1).
 */
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "io/internal.h"

#define RECORD_BYTES 16384 /* what one TLS record can hold */

struct io_tls {
    SSL_CTX *ctx;
    atomic_uint refs;
};

struct io_tls_conn {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    bool established;
    bool goodbye_said;
};

static struct io_tls *context(const SSL_METHOD *method, struct err *err);
static bool load_files(SSL_CTX *ctx, const struct io_tls_opts *opts, struct err *err);
static bool load_server(SSL_CTX *ctx, const struct io_tls_serve_opts *opts, struct err *err);
static bool tls_err(struct err *err, const char *what, const char *file);
static bool set_name(SSL *ssl, const char *host);
static void handshake(struct io_stream *s);
static void read_plain(struct io_stream *s);
static bool send_out(struct io_stream *s);
static bool encrypt(struct io_stream *s, const char *data, size_t len);

struct io_tls *io_tls_new(const struct io_tls_opts *opts, struct err *err)
{
    struct io_tls *tls = context(TLS_client_method(), err);

    if (tls == NULL)
        return NULL;
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    if (load_files(tls->ctx, opts, err))
        return tls;
    io_tls_unref(tls);
    return NULL;
}

struct io_tls *io_tls_serve(const struct io_tls_serve_opts *opts, struct err *err)
{
    struct io_tls *tls = context(TLS_server_method(), err);

    if (tls == NULL)
        return NULL;
    if (load_server(tls->ctx, opts, err))
        return tls;
    io_tls_unref(tls);
    return NULL;
}

int64_t io_tls_expires_us(const struct io_tls *tls)
{
    const X509 *cert = SSL_CTX_get0_certificate(tls->ctx);
    struct tm end;

    if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1)
        return 0;
    return (int64_t)timegm(&end) * 1000000;
}

/* What both sides want alike. */
static struct io_tls *context(const SSL_METHOD *method, struct err *err)
{
    struct io_tls *tls = mem_zalloc(sizeof *tls);

    if (tls == NULL) {
        err_oom(err);
        return NULL;
    }
    ERR_clear_error();
    atomic_init(&tls->refs, 1);
    tls->ctx = SSL_CTX_new(method);
    if (tls->ctx == NULL) {
        tls_err(err, "cannot start TLS", "");
        mem_free(tls);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls->ctx,
                        SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* An idle connection keeps no record buffers (2 x 17 KB). */
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS);
    return tls;
}

struct io_tls *io_tls_ref(struct io_tls *tls)
{
    if (tls != NULL)
        atomic_fetch_add(&tls->refs, 1);
    return tls;
}

void io_tls_unref(struct io_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub(&tls->refs, 1) != 1)
        return;
    SSL_CTX_free(tls->ctx);
    mem_free(tls);
}

static bool load_files(SSL_CTX *ctx, const struct io_tls_opts *opts, struct err *err)
{
    static const unsigned char http1[] = "\x08http/1.1";

    if (SSL_CTX_set_alpn_protos(ctx, http1, sizeof http1 - 1) != 0)
        return tls_err(err, "cannot set the protocol", "");
    if (opts->ca_file != NULL) {
        if (SSL_CTX_load_verify_file(ctx, opts->ca_file) != 1)
            return tls_err(err, "cannot read certificates of authorities from", opts->ca_file);
    } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return tls_err(err, "cannot read the system's certificates of authorities", "");
    }
    if (opts->cert_file != NULL && SSL_CTX_use_certificate_chain_file(ctx, opts->cert_file) != 1)
        return tls_err(err, "cannot read the client certificate from", opts->cert_file);
    if (opts->key_file != NULL &&
        SSL_CTX_use_PrivateKey_file(ctx, opts->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_err(err, "cannot read the client key from", opts->key_file);
    if (opts->cert_file != NULL && SSL_CTX_check_private_key(ctx) != 1)
        return tls_err(err, "the client key does not belong to", opts->cert_file);
    return true;
}

/* Only HTTP/1.1 is spoken; who offers nothing of the kind is served as well. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char http1[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, http1, sizeof http1 - 1,
                              offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static bool load_server(SSL_CTX *ctx, const struct io_tls_serve_opts *opts, struct err *err)
{
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) /* of TLS 1.2 */
        return tls_err(err, "cannot choose ciphers", "");
    if (SSL_CTX_use_certificate_chain_file(ctx, opts->cert_file) != 1)
        return tls_err(err, "cannot read the certificate from", opts->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, opts->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_err(err, "cannot read the key from", opts->key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return tls_err(err, "the key does not belong to", opts->cert_file);
    if (opts->client_ca_file == NULL)
        return true;
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(opts->client_ca_file));
    if (SSL_CTX_load_verify_file(ctx, opts->client_ca_file) != 1)
        return tls_err(err, "cannot read certificates of authorities from", opts->client_ca_file);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

static bool tls_err(struct err *err, const char *what, const char *file)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    return err_set(err, 0, "%s%s%s: %s", what, *file != '\0' ? " " : "", file,
                   why != NULL ? why : "the file cannot be read");
}

/* ---- one connection ---- */

/* The state of a stream, without a word said yet. */
static bool attach(struct io_stream *s, struct io_tls *tls)
{
    struct io_tls_conn *t;
    BIO *in, *out;

    if (s->loop->plain == NULL)
        s->loop->plain = mem_alloc(RECORD_BYTES);
    t = s->loop->plain != NULL ? mem_zalloc(sizeof *t) : NULL;
    if (t == NULL)
        return false;
    ERR_clear_error();
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    t->ssl = SSL_new(tls->ctx);
    if (in == NULL || out == NULL || t->ssl == NULL) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(t->ssl);
        mem_free(t);
        return false;
    }
    BIO_set_mem_eof_return(in, -1); /* empty means "not yet", not "end" */
    t->in = in;
    t->out = out;
    SSL_set_bio(t->ssl, in, out);
    s->tls = t;
    return true;
}

bool io_tls_accept(struct io_stream *s, struct io_tls *tls)
{
    if (!attach(s, tls))
        return false;
    SSL_set_accept_state(s->tls->ssl);
    return true;
}

bool io_tls_open(struct io_stream *s, struct io_tls *tls, const char *host)
{
    if (!attach(s, tls))
        return false;
    if (!set_name(s->tls->ssl, host)) {
        io_tls_conn_free(s->tls);
        s->tls = NULL;
        return false;
    }
    SSL_set_connect_state(s->tls->ssl);
    s->reading = true;
    io_stream_arm(s);
    handshake(s);
    return true;
}

/* The name that the certificate must carry; for a UNIX socket there is none to compare with. */
static bool set_name(SSL *ssl, const char *host)
{
    struct io_addr literal;

    if (host == NULL)
        return SSL_set1_host(ssl, "localhost") == 1;
    if (io_addr_literal(&literal, host, 0))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

void io_tls_conn_free(struct io_tls_conn *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl); /* and both BIOs */
    mem_free(t);
}

void io_tls_feed(struct io_stream *s, const char *data, size_t len)
{
    size_t taken;

    ERR_clear_error();
    if (len > 0 && (BIO_write_ex(s->tls->in, data, len, &taken) != 1 || taken != len)) {
        io_stream_end(s, IO_NO_MEMORY);
        return;
    }
    if (!s->tls->established)
        handshake(s);
    else
        read_plain(s);
}

void io_tls_eof(struct io_stream *s)
{
    io_stream_end(s, s->tls->established ? IO_TRUNCATED : IO_TLS);
}

bool io_tls_has_input(const struct io_stream *s)
{
    return SSL_has_pending(s->tls->ssl) != 0 || BIO_ctrl_pending(s->tls->in) > 0;
}

static void handshake(struct io_stream *s)
{
    struct io_tls_conn *t = s->tls;
    int rc = SSL_do_handshake(t->ssl);
    int what = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);

    if (!send_out(s)) /* also the alert that tells the peer what we do not like */
        return;
    if (rc == 1) {
        t->established = true;
        if (s->connect != NULL)
            io_connect_tls_ready(s->connect);
        else
            read_plain(s); /* what came with the end of the handshake */
    } else if (what != SSL_ERROR_WANT_READ) {
        io_stream_end(s, IO_TLS);
    }
}

static void read_plain(struct io_stream *s)
{
    struct io_tls_conn *t = s->tls;
    size_t n = 0;
    int rc = 1;

    while (rc == 1 && s->reading && !s->closing && !s->ended) {
        rc = SSL_read_ex(t->ssl, s->loop->plain, RECORD_BYTES, &n);
        if (rc == 1)
            s->ops->on_data(s->arg, s->loop->plain, n);
    }
    if (s->closing || s->ended || rc == 1)
        return;
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        send_out(s); /* an answer to a key update, perhaps */
        break;
    case SSL_ERROR_ZERO_RETURN:
        io_stream_end(s, s->write_dead ? IO_RESET : IO_EOF);
        break;
    default:
        send_out(s);
        io_stream_end(s, IO_TLS);
    }
}

bool io_tls_write(struct io_stream *s, const struct iovec *v, int n)
{
    char gather[4096];
    size_t at = 0;
    bool ok = true;

    /* Small pieces (a head, a chunk's frame) go together into one record. */
    for (int i = 0; i < n && ok; i++) {
        if (at > 0 && v[i].iov_len > sizeof gather - at) {
            ok = encrypt(s, gather, at);
            at = 0;
        }
        if (v[i].iov_len > sizeof gather - at) {
            ok = ok && encrypt(s, v[i].iov_base, v[i].iov_len);
        } else if (v[i].iov_len > 0) {
            memcpy(gather + at, v[i].iov_base, v[i].iov_len);
            at += v[i].iov_len;
        }
    }
    if (ok && at > 0)
        ok = encrypt(s, gather, at);
    mem_wipe(gather, sizeof gather); /* it may have held a key */
    return ok && send_out(s);
}

static bool encrypt(struct io_stream *s, const char *data, size_t len)
{
    ERR_clear_error();
    while (len > 0) {
        size_t part = len < RECORD_BYTES ? len : RECORD_BYTES, done = 0;

        if (SSL_write_ex(s->tls->ssl, data, part, &done) != 1 || done != part) {
            io_stream_write_failed(s, IO_TLS);
            return false;
        }
        data += part;
        len -= part;
        if (BIO_ctrl_pending(s->tls->out) >= (size_t)4 * RECORD_BYTES && !send_out(s))
            return false;
    }
    return true;
}

static bool send_out(struct io_stream *s)
{
    char *data;
    long n = BIO_get_mem_data(s->tls->out, &data);
    struct iovec v = {.iov_base = data, .iov_len = (size_t)n};
    bool ok;

    if (n <= 0)
        return true;
    if (s->write_dead)
        return false;
    ok = io_stream_send(s, &v, 1, v.iov_len);
    (void)BIO_reset(s->tls->out);
    return ok;
}

void io_tls_goodbye(struct io_stream *s)
{
    struct io_tls_conn *t = s->tls;

    if (!t->established || t->goodbye_said)
        return;
    t->goodbye_said = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    send_out(s);
    ERR_clear_error();
}
