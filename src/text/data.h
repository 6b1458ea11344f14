/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data - the data file: sections of bytes under a name, in memory read-only, guarded by a digest.
 *
 *   magic "LLMR" version:u32 sections:u32 reserved:u32
 *   sections x { name:char[16] offset:u64 length:u64 }      offsets are multiples of 64
 *   ... bytes ...
 *   SHA-256 of everything before it
 *
 * Little-endian. tools/data/pack writes it from data/ in the repository; each section's own form is
 * documented where it is read.
 */
#ifndef TEXT_DATA_H
#define TEXT_DATA_H

#include "base/base.h"

struct text_data; /* counted, immutable */
/* NULL with err: not there, not such a file, another version, a wrong digest. Reads the whole file once. */
struct text_data *text_data_open(const char *path, struct err *err);
struct text_data *text_data_ref(struct text_data *d);
void text_data_unref(struct text_data *d);
strv text_data_section(const struct text_data *d, const char *name); /* STRV_NONE = there is none */
const char *text_data_digest(const struct text_data *d);             /* 64 hexadecimal digits */

#endif
