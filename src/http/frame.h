/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - cut a byte stream into server-sent events or JSON lines.
 *
 *   0          used          parsed        filled       cap
 *   |---gone---|---a frame---|---partial---|---free----|      used <= parsed <= filled <= cap
 *
 * Bytes may arrive cut anywhere, also inside CRLF or a UTF-8 character. A frame larger than its maximum
 * is an error, not a bigger buffer. A frame that lies whole in the bytes fed is not copied. After FAILED
 * the framer takes nothing more.
 *
 * SSE as in the WHATWG HTML standard, 9.2.6: line ends LF, CRLF or CR; one blank after the colon is
 * optional; several data lines join with LF; comments (lines that begin with a colon) are skipped. An
 * event at the end of the stream without its blank line is still an event here (real servers do that),
 * and its `raw` gets the line ends it lacks. Events without a data line are none, as in the standard;
 * with `marks` they are told all the same when they set an id or a time, for who must come back later.
 * The same bytes give the same frames however they were cut; for that, an event that ends with CR waits
 * for the next byte, which may be the LF that belongs to it.
 */
#ifndef HTTP_FRAME_H
#define HTTP_FRAME_H

#include <stdbool.h>

#include "base/base.h"

struct http_frame {
    strv name;      /* SSE event name, "" if none */
    strv data;      /* SSE data, or the line without its end; STRV_NONE: a mark only */
    strv raw;       /* the frame's own bytes, its end included: for passing on as it came */
    strv id, retry; /* SSE fields, STRV_NONE if not there; nothing is known of what they hold */
};
/* False = stop; the framer then is FAILED without a word of its own. Views live during the call. */
typedef bool (*http_frame_fn)(void *arg, const struct http_frame *frame);

enum http_framing { HTTP_SSE, HTTP_NDJSON };

struct http_framer {
    enum http_framing framing;
    struct buf partial; /* the beginning of a frame whose end has not come yet */
    struct buf joined;  /* several data lines as one; empty for nearly every stream */
    size_t bytes_max;
    unsigned state; /* how the bytes searched so far ended; see frame.c */
    unsigned bom;   /* bytes of a byte order mark seen at the stream's start; 3 = past it */
    bool marks;     /* set after init: events of an id or a retry without data are told, too */
    bool failed;
};
void http_framer_init(struct http_framer *f, enum http_framing framing, size_t frame_bytes_max);
void http_framer_fini(struct http_framer *f);
/* False: too large, no memory, or fn said stop. Empty lines and comments give no frame. */
bool http_framer_feed(struct http_framer *f, const char *data, size_t len, http_frame_fn fn,
                      void *arg);
/* The stream has ended: gives the last unterminated frame, if any. */
bool http_framer_end(struct http_framer *f, http_frame_fn fn, void *arg);

#endif
