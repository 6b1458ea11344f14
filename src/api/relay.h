/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - one call to one provider whose answer is the caller's answer, byte for byte.
 *
 *   relay_start() -> head 200 -> bytes or whole lines, as they come -> end
 *                 '-> anything else: an error in the caller's dialect, with the provider's words
 *
 * For what is not an exchange: no model is asked, no text of a caller leaves (show, pull). No retry, no other
 * provider. A normal case: the provider answers 200 and its bytes go on. A bad case: it cannot be reached, or
 * says no, or is silent for too long: an error. After the first line: the answer ends with an error line and
 * is cut, so that it never looks complete. The caller leaving ends the call upstream at once; a slow caller
 * slows the provider down.
 */
#ifndef API_RELAY_H
#define API_RELAY_H

#include "api/api_int.h"

struct relay_spec {
    const struct provider *p; /* of the present snapshot, which is kept until the end */
    const char *path;
    strv body;   /* JSON, in the request's arena */
    bool lines;  /* the answer is JSON lines that end with {"status":"success"} or {"error":...} */
    strv model;  /* that the body names, if the configuration or the provider told it */
    bool leaves; /* the server will pass the model's name on to somebody else */
    uint64_t silence_ms; /* longest wait for the next byte */
    const char *event;   /* its name in the log; NULL = it is not worth a line */
    const char *op;      /* its name in the ledger: "show", "pull" */
};

/* Replies in any case: `spec` is copied. */
void relay_start(struct api *api, struct http_request *req, const struct relay_spec *spec);

#endif
