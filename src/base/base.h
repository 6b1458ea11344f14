/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base - what every other folder stands on: memory, text, numbers, errors, log lines.
 *
 * Knows nothing of the product and opens no sockets. The three habits that matter everywhere:
 *
 *   - Memory comes from mem_alloc() (or an arena or a buffer on top of it) and may be refused, for
 * real or by a test. A refusal is a value, never an abort.
 *   - Arenas and buffers fail sticky: append as often as you like, look at `failed` once at the
 * end. Both know their largest size from birth.
 *   - Text is a view (`strv`): pointer and length, no terminator, owned by someone else.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_mend.h"
#include "base/json_word.h"
#include "base/list.h"
#include "base/log.h"
#include "base/media.h"
#include "base/rng.h"
#include "base/schema.h"
#include "base/siphash.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#endif
