/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - a line of the audit's files, as somebody may have changed it, and the members that are read back.
 *
 * What is taken from a line lies in it, and nothing behind it is looked at.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/audit_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool is_in(strv part, strv whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void read_members(strv content)
{
    static const char *const names[] = {"seq",   "file", "records", "request", "sha256",
                                        "bytes", "sig",  "prev",    "key"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t number;
        uint8_t digest[AUDIT_HASH];
        strv text = STRV_NONE;
        (void)audit_member_u64(content, names[i], &number);
        (void)audit_member_hex(content, names[i], digest, sizeof digest);
        if (audit_member_text(content, names[i], &text))
            check(is_in(text, content));
    }
}

static void read_line(strv text)
{
    struct audit_line line;
    uint8_t sig[AUDIT_SIG];
    strv rest;
    if (!audit_parse(text, &line))
        return;
    check(is_in(line.content, text) && line.content.ptr == text.ptr);
    check(is_in(line.type, line.content));
    if (audit_parse_sig(line.content, &rest, sig))
        check(rest.ptr == text.ptr && rest.len < line.content.len);
    read_members(line.content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line =
        malloc(size > 0 ? size : 1); /* of its very size: what is read behind it is found */
    check(line != NULL);
    if (size > 0)
        memcpy(line, data, size);
    read_line((strv){line, size});
    free(line);
    return 0;
}
