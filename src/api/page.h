/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page - the files of web/dist, which the program has built in (tools/embed writes the table).
 *
 * Each is there in three forms, and its bytes never change while the program runs: nothing is compressed, and no file
 * is opened, while somebody waits.
 */
#ifndef API_PAGE_H
#define API_PAGE_H

#include "base/base.h"

enum page_form { PAGE_PLAIN, PAGE_GZIP, PAGE_BROTLI, PAGE_FORMS };

struct page_file {
    const char *name; /* "chat.html", "chat-X3KQ2A7B.js" */
    const char *type;
    const char *digest; /* of the plain bytes, for ETag */
    strv bytes[PAGE_FORMS];
};
extern const struct page_file page_files[];
extern const size_t page_n_files;

/* The smallest form that the caller says he reads. */
enum page_form page_form_for(strv accept_encoding);
/* Is the tag, or any at all ("*"), in the value of If-None-Match? */
bool page_tag_listed(strv if_none_match, strv tag);
/* Does the value of Accept name this type? Not by a wildcard: programs send those, too. */
bool page_type_wanted(strv accept, strv type);

#endif
