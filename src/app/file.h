/* SPDX-License-Identifier: Apache-2.0 */
/* file - small files whole: read, and replaced so that a reader, or a crash, sees the old one or the new one. */
#ifndef APP_FILE_H
#define APP_FILE_H

#include "base/base.h"

/* False with err, whose text begins with the path; *missing (may be NULL) tells that there is none. */
bool file_read(const char *path, struct buf *out, bool *missing, struct err *err);
/* Written beside (mode 0600), made durable, renamed. */
bool file_replace(const char *path, strv text, struct err *err);

#endif
