/* SPDX-License-Identifier: Apache-2.0 */
/* handshake - the request that opens a WebSocket, and its answer (RFC 6455, 4.2). */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "ws/ws_int.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool ws_lists(strv value, const char *word)
{
    strv item;

    while (strv_cut(&value, ',', &item))
        if (strv_eq_nocase(strv_trim(item), strv_of(word)))
            return true;
    return false;
}

/* In any header of that name? */
static bool lists(const struct http_request *req, const char *name, const char *word)
{
    for (size_t i = 0; i < req->n_headers; i++)
        if (strv_eq_nocase(req->headers[i].name, strv_of(name)) &&
            ws_lists(req->headers[i].value, word))
            return true;
    return false;
}

static bool is_key(strv key)
{
    if (key.len != WS_KEY_CHARS || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

const char *ws_refusal(struct http_request *req, int *status)
{
    *status = 426;
    if (!lists(req, "Connection", "upgrade") || !lists(req, "Upgrade", "websocket")) {
        http_reply_header(req, "Upgrade", STRV("websocket"));
        return "this address speaks WebSocket only";
    }
    if (http_request_header_count(req, "Sec-WebSocket-Version") != 1 ||
        !strv_eq(http_request_header(req, "Sec-WebSocket-Version"), STRV("13"))) {
        http_reply_header(req, "Sec-WebSocket-Version", STRV("13"));
        return "Sec-WebSocket-Version must be 13";
    }
    *status = 400;
    if (req->method != HTTP_GET)
        return "a WebSocket is opened by GET";
    if (req->body.len > 0)
        return "a request for a WebSocket has no body";
    if (http_request_header_count(req, "Sec-WebSocket-Key") != 1 ||
        !is_key(http_request_header(req, "Sec-WebSocket-Key")))
        return "Sec-WebSocket-Key must be 16 bytes in base64";
    return NULL;
}

void ws_accept_of(const char key[WS_KEY_CHARS], char out[WS_ACCEPT_CHARS + 1])
{
    unsigned char joined[WS_KEY_CHARS + sizeof GUID - 1], digest[SHA_DIGEST_LENGTH];

    memcpy(joined, key, WS_KEY_CHARS);
    memcpy(joined + WS_KEY_CHARS, GUID, sizeof GUID - 1);
    SHA1(joined, sizeof joined, digest);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

void ws_upgrade(struct http_request *req,
                void (*taken)(struct http_request *req, struct io_stream *s, strv early))
{
    char accept[WS_ACCEPT_CHARS + 1];

    ws_accept_of(http_request_header(req, "Sec-WebSocket-Key").ptr, accept);
    http_reply_header(req, "Sec-WebSocket-Accept", strv_of(accept));
    http_reply_upgrade(req, "websocket", taken);
}
