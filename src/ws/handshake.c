/* SPDX-License-Identifier: Apache-2.0 */
/* handshake - the request that opens a WebSocket, and its answer (RFC 6455, 4.2). */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "ws/ws.h"

#define KEY_CHARS 24 /* base64 of 16 bytes */
#define GUID      "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* Is the word one of the comma-separated ones in any header of that name? */
static bool lists(const struct http_request *req, const char *name, const char *word)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        strv rest = req->headers[i].value, item;

        if (!strv_eq_nocase(req->headers[i].name, strv_of(name)))
            continue;
        while (rest.len > 0) {
            if (!strv_cut(&rest, ',', &item)) {
                item = rest;
                rest.len = 0;
            }
            if (strv_eq_nocase(strv_trim(item), strv_of(word)))
                return true;
        }
    }
    return false;
}

static bool is_key(strv key)
{
    if (key.len != KEY_CHARS || key.ptr[22] != '=' || key.ptr[23] != '=')
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

void ws_upgrade(struct http_request *req,
                void (*taken)(struct http_request *req, struct io_stream *s, strv early))
{
    strv key = http_request_header(req, "Sec-WebSocket-Key");
    unsigned char joined[KEY_CHARS + sizeof GUID - 1], digest[SHA_DIGEST_LENGTH];
    unsigned char accept[4 * ((sizeof digest + 2) / 3) + 1];

    memcpy(joined, key.ptr, KEY_CHARS);
    memcpy(joined + KEY_CHARS, GUID, sizeof GUID - 1);
    SHA1(joined, sizeof joined, digest);
    int n = EVP_EncodeBlock(accept, digest, sizeof digest);
    http_reply_header(req, "Sec-WebSocket-Accept", (strv){(const char *)accept, (size_t)n});
    http_reply_upgrade(req, "websocket", taken);
}
