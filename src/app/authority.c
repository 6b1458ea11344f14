/* SPDX-License-Identifier: Apache-2.0 */
/* authority - see the header. */
#include "app/authority.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/file.h"

#define DAY_S       ((int64_t)24 * 3600)
#define CA_DAYS     3650
#define LEAF_DAYS   397             /* browsers take no server certificate for longer than 398 */
#define EARLY_S     ((int64_t)3600) /* clocks of other machines may be behind */
#define SERIAL_BITS 127
#define PATH_SIZE   4096
#define FILES_MAX   4096

struct pair { /* who signs, or what is signed */
    EVP_PKEY *key;
    X509 *cert;
};

static bool refused(struct err *err)
{
    return err_set(err, 0, "the library for certificates refuses");
}

static void pair_free(struct pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    *p = (struct pair){NULL, NULL};
}

/* ---- names ---- */

/* Becomes part of a path and of a list of names: nothing in it has a meaning there. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= 100 && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:*") ==
               len;
}

static bool check_name(const char *name, struct err *err)
{
    return is_name(name) ||
           err_set(err, 0, "\"%.100s\": a name is made of letters, digits, dots and dashes", name);
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(ip);
    return ip != NULL;
}

/* A star is no letter for a file, nor is a colon. */
static void path_of(char out[PATH_SIZE], const char *dir, const char *name, const char *ending)
{
    int at = snprintf(out, PATH_SIZE, "%s/", dir);
    int len = snprintf(out + at, (size_t)(PATH_SIZE - at), "%s%s", name, ending);
    for (char *c = out + at; c < out + at + len; c++)
        if (*c == '*' || *c == ':')
            *c = '_';
}

/* ---- files ---- */

static bool is_there(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return false;
    err_set(err, 0, "%s is there already and stays as it is", path);
    return true;
}

static bool put_file(const char *path, BIO *text, mode_t mode, struct err *err)
{
    char *data;
    long n = BIO_get_mem_data(text, &data);
    bool ok = n > 0 ? file_replace(path, (strv){data, (size_t)n}, err) : refused(err);
    if (ok && mode != 0600 && chmod(path, mode) != 0)
        ok = err_set(err, 0, "%s: %s", path, strerror(errno));
    if (n > 0)
        mem_wipe(data, (size_t)n);
    return ok;
}

static bool put_key(const struct authority *a, const char *path, EVP_PKEY *key, const char *seal,
                    struct err *err)
{
    BIO *b = BIO_new(BIO_s_mem());
    (void)a;
    bool ok =
        b != NULL && PEM_write_bio_PKCS8PrivateKey(b, key, seal != NULL ? EVP_aes_256_cbc() : NULL,
                                                   NULL, 0, NULL, (void *)(uintptr_t)seal) == 1;
    ok = ok ? put_file(path, b, 0600, err) : refused(err);
    BIO_free(b);
    return ok;
}

static bool put_cert(const char *path, X509 *cert, struct err *err)
{
    BIO *b = BIO_new(BIO_s_mem());
    bool ok = b != NULL && PEM_write_bio_X509(b, cert) == 1;
    ok = ok ? put_file(path, b, 0644, err) : refused(err);
    BIO_free(b);
    return ok;
}

/* Nobody is asked at a terminal. */
static int no_passphrase(char *out, int size, int writing, void *given)
{
    (void)writing;
    if (given == NULL || strlen(given) >= (size_t)size)
        return -1;
    return snprintf(out, (size_t)size, "%s", (const char *)given);
}

static BIO *open_file(const char *path, struct buf *text, struct err *err)
{
    buf_init(text, (size_t)1024 * 1024);
    if (!file_read(path, text, NULL, err))
        return NULL;
    strv v = buf_view(text);
    BIO *b = BIO_new_mem_buf(v.ptr, (int)v.len);
    if (b == NULL)
        err_oom(err);
    return b;
}

static X509 *get_cert(const char *path, struct err *err)
{
    struct buf text;
    BIO *b = open_file(path, &text, err);
    X509 *cert = b != NULL ? PEM_read_bio_X509(b, NULL, no_passphrase, NULL) : NULL;
    if (b != NULL && cert == NULL)
        err_set(err, 0, "%s is no certificate", path);
    BIO_free(b);
    buf_fini(&text);
    return cert;
}

static EVP_PKEY *get_key(const char *path, const char *passphrase, struct err *err)
{
    struct buf text;
    BIO *b = open_file(path, &text, err);
    EVP_PKEY *key =
        b != NULL ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, (void *)(uintptr_t)passphrase)
                  : NULL;
    if (b != NULL && key == NULL)
        err_set(err, 0, "%s: no key, or sealed with another passphrase", path);
    BIO_free(b);
    strv all = buf_view(&text);
    mem_wipe((char *)(uintptr_t)all.ptr, all.len);
    buf_fini(&text);
    return key;
}

static bool get_pair(const struct authority *a, const char *name, const char *passphrase,
                     struct pair *out, struct err *err)
{
    char path[PATH_SIZE];
    path_of(path, a->dir, name, ".pem");
    out->cert = get_cert(path, err);
    path_of(path, a->dir, name, ".key");
    out->key = out->cert != NULL ? get_key(path, passphrase, err) : NULL;
    if (out->key != NULL && X509_check_private_key(out->cert, out->key) != 1)
        err_set(err, 0, "%s does not belong to its certificate", path);
    if (out->key != NULL && !err->set)
        return true;
    pair_free(out);
    return false;
}

/* ---- certificates ---- */

static bool extend(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = x != NULL && X509_add_ext(cert, x, -1) == 1;
    X509_EXTENSION_free(x);
    return ok;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *n = BN_new();
    bool ok = n != NULL && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static bool set_dates(const struct authority *a, X509 *cert, int64_t usual, const X509 *by)
{
    time_t now = (time_t)(a->wall_us / 1000000);
    time_t until = now + (time_t)((a->days > 0 ? a->days : usual) * DAY_S);
    struct tm last;
    /* Nothing holds longer than who has signed it. */
    if (by != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(by), &last) == 1 && timegm(&last) < until)
        until = timegm(&last);
    return ASN1_TIME_set(X509_getm_notBefore(cert), now - EARLY_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), until) != NULL;
}

static bool set_subject(X509 *cert, const char *title)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)title, -1, -1, 0) == 1;
}

/* What a certificate is for, and the names in it; NULL = an authority. */
static bool set_extensions(X509 *cert, X509 *by, const char *use, const char *names)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, by, cert, NULL, NULL, 0);
    if (use == NULL)
        return extend(cert, &ctx, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               extend(cert, &ctx, NID_key_usage, "critical,keyCertSign,cRLSign") &&
               extend(cert, &ctx, NID_subject_key_identifier, "hash");
    return extend(cert, &ctx, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(cert, &ctx, NID_key_usage, "critical,digitalSignature") &&
           extend(cert, &ctx, NID_ext_key_usage, use) &&
           extend(cert, &ctx, NID_subject_key_identifier, "hash") &&
           extend(cert, &ctx, NID_authority_key_identifier, "keyid:always") &&
           (names == NULL || extend(cert, &ctx, NID_subject_alt_name, names));
}

static bool make_ca(const struct authority *a, const char *title, struct pair *ca)
{
    ca->key = EVP_EC_gen("P-256");
    ca->cert = X509_new();
    return ca->key != NULL && ca->cert != NULL && X509_set_version(ca->cert, X509_VERSION_3) == 1 &&
           set_serial(ca->cert) && set_dates(a, ca->cert, CA_DAYS, NULL) &&
           set_subject(ca->cert, title) &&
           X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1 &&
           X509_set_pubkey(ca->cert, ca->key) == 1 &&
           set_extensions(ca->cert, ca->cert, NULL, NULL) &&
           X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
}

static bool make_leaf(const struct authority *a, const struct pair *ca, const char *title,
                      const char *use, const char *names, struct pair *leaf)
{
    leaf->key = EVP_EC_gen("P-256");
    leaf->cert = X509_new();
    return leaf->key != NULL && leaf->cert != NULL &&
           X509_set_version(leaf->cert, X509_VERSION_3) == 1 && set_serial(leaf->cert) &&
           set_dates(a, leaf->cert, LEAF_DAYS, ca->cert) && set_subject(leaf->cert, title) &&
           X509_set_issuer_name(leaf->cert, X509_get_subject_name(ca->cert)) == 1 &&
           X509_set_pubkey(leaf->cert, leaf->key) == 1 &&
           set_extensions(leaf->cert, ca->cert, use, names) &&
           X509_sign(leaf->cert, ca->key, EVP_sha256()) > 0;
}

/* ---- what the commands do ---- */

bool authority_init(const struct authority *a, const char *title, struct err *err)
{
    char key[PATH_SIZE], cert[PATH_SIZE];
    struct pair ca = {NULL, NULL};
    if (mkdir(a->dir, 0700) != 0 && errno != EEXIST)
        return err_set(err, 0, "%s: %s", a->dir, strerror(errno));
    path_of(key, a->dir, AUTHORITY_CA, ".key");
    path_of(cert, a->dir, AUTHORITY_CA, ".pem");
    if (is_there(key, err) || is_there(cert, err))
        return false;
    bool ok = make_ca(a, title, &ca) || refused(err);
    ok = ok && put_key(a, key, ca.key, a->passphrase, err) && put_cert(cert, ca.cert, err);
    pair_free(&ca);
    return ok;
}

static bool issue(const struct authority *a, const char *name, const char *use, const char *names,
                  struct err *err)
{
    char key[PATH_SIZE], cert[PATH_SIZE];
    struct pair ca = {NULL, NULL}, leaf = {NULL, NULL};
    path_of(key, a->dir, name, ".key");
    path_of(cert, a->dir, name, ".pem");
    if (is_there(key, err) || is_there(cert, err) ||
        !get_pair(a, AUTHORITY_CA, a->passphrase, &ca, err))
        return false;
    bool ok = make_leaf(a, &ca, name, use, names, &leaf) || refused(err);
    ok = ok && put_key(a, key, leaf.key, NULL, err) && put_cert(cert, leaf.cert, err);
    pair_free(&leaf);
    pair_free(&ca);
    return ok;
}

bool authority_server(const struct authority *a, const char *const *names, size_t n,
                      struct err *err)
{
    struct buf list;
    buf_init(&list, 4096);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        ok = check_name(names[i], err);
        buf_printf(&list, "%s%s:%s", i > 0 ? "," : "", is_address(names[i]) ? "IP" : "DNS",
                   names[i]);
    }
    buf_put_char(&list, '\0');
    ok = ok && (!list.failed || err_oom(err)) &&
         issue(a, names[0], "serverAuth", buf_view(&list).ptr, err);
    buf_fini(&list);
    return ok;
}

bool authority_client(const struct authority *a, const char *name, struct err *err)
{
    return check_name(name, err) && issue(a, name, "clientAuth", NULL, err);
}

bool authority_renew(const struct authority *a, const char *name, struct err *err)
{
    char path[PATH_SIZE];
    struct pair ca = {NULL, NULL};
    X509 *cert = NULL;
    if (!check_name(name, err))
        return false;
    if (strcmp(name, AUTHORITY_CA) == 0)
        return err_set(err, 0,
                       "the authority itself is not renewed: make a new one in another "
                       "folder, and trust both until all have changed");
    path_of(path, a->dir, name, ".pem");
    if (!get_pair(a, AUTHORITY_CA, a->passphrase, &ca, err))
        return false;
    cert = get_cert(path, err);
    bool ok = cert != NULL;
    if (ok && X509_verify(cert, X509_get0_pubkey(ca.cert)) != 1)
        ok = err_set(err, 0, "%s was not signed by this authority", path);
    ok = ok && ((set_serial(cert) && set_dates(a, cert, LEAF_DAYS, ca.cert) &&
                 X509_sign(cert, ca.key, EVP_sha256()) > 0) ||
                refused(err));
    ok = ok && put_cert(path, cert, err);
    X509_free(cert);
    pair_free(&ca);
    return ok;
}

/* ---- looking ---- */

static int64_t us_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000000 : 0;
}

static void put_names(X509 *cert, struct authority_cert *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t at = 0;
    out->holds[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && at < sizeof out->holds; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        BIO *b = BIO_new(BIO_s_mem());
        char *text;
        long n = b != NULL && GENERAL_NAME_print(b, (GENERAL_NAME *)(uintptr_t)g) == 1
                     ? BIO_get_mem_data(b, &text)
                     : 0;
        if (n > 0)
            at += (size_t)snprintf(out->holds + at, sizeof out->holds - at, "%s%.*s",
                                   at > 0 ? ", " : "", (int)n, text);
        BIO_free(b);
    }
    GENERAL_NAMES_free(all);
    if (at == 0)
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out->holds,
                                  sizeof out->holds);
}

static bool describe(const char *dir, const char *file, struct authority_cert *out)
{
    char path[PATH_SIZE];
    struct err err = ERR_INIT;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    X509 *cert = get_cert(path, &err);
    if (cert == NULL)
        return false;
    snprintf(out->name, sizeof out->name, "%.*s", (int)(strlen(file) - 4), file);
    out->use = X509_check_ca(cert) != 0                                    ? "authority"
               : (X509_get_extended_key_usage(cert) & XKU_SSL_SERVER) != 0 ? "server"
                                                                           : "client";
    out->from_us = us_of(X509_get0_notBefore(cert));
    out->until_us = us_of(X509_get0_notAfter(cert));
    put_names(cert, out);
    X509_free(cert);
    return true;
}

static int is_pem(const struct dirent *e)
{
    size_t len = strlen(e->d_name);
    return len > 4 && len < 120 && e->d_name[0] != '.' && strcmp(e->d_name + len - 4, ".pem") == 0;
}

bool authority_each(const char *dir, bool (*fn)(void *arg, const struct authority_cert *c),
                    void *arg, struct err *err)
{
    struct dirent **found;
    int n = scandir(dir, &found, is_pem, alphasort);
    bool going = true;
    if (n < 0)
        return err_set(err, 0, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct authority_cert c;
        if (going && describe(dir, found[i]->d_name, &c))
            going = fn(arg, &c);
        free(found[i]); /* scandir's own */
    }
    free(found);
    return true;
}
