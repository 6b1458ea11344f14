/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_relay - what two processes say about records while one takes over from the other.
 *
 *   old:  R<content of a record>  ...  L<how many were lost>  E        new:  Y (durable) or N (not one of them)
 *
 * Each is one message. The content is what stands behind `{"seq":N,`: the number, the digest and the signature are the
 * writer's.
 */
#include "ledger/audit_int.h"

#include <stdio.h>
#include <string.h>

enum { RECORD = 'R', LOST = 'L', END = 'E', YES = 'Y', NO = 'N' };

bool audit_relay_record(int fd, strv body)
{
    char text[AUDIT_LINE_MAX + 1];
    if (body.len >= sizeof text)
        return false;
    text[0] = RECORD;
    memcpy(text + 1, body.ptr, body.len);
    return io_pass_send(fd, (strv){text, body.len + 1}, NULL, 0);
}

bool audit_relay_lost(int fd, uint64_t n)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%c%llu", LOST, (unsigned long long)n);
    return io_pass_send(fd, (strv){text, (size_t)len}, NULL, 0);
}

enum audit_relayed audit_relay_end(int fd)
{
    char answer = END;
    if (!io_pass_send(fd, (strv){&answer, 1}, NULL, 0) ||
        io_pass_recv(fd, &answer, 1, NULL, NULL) != 1)
        return AUDIT_RELAY_GONE;
    return answer == YES ? AUDIT_RELAY_YES : AUDIT_RELAY_NO;
}

void audit_relay_next(int fd, struct audit_relay_in *in)
{
    ssize_t len = io_pass_recv(fd, in->text, sizeof in->text, NULL, NULL);
    in->what = AUDIT_IN_GONE;
    if (len <= 0)
        return;
    in->body = (strv){in->text + 1, (size_t)len - 1};
    if (in->text[0] == RECORD)
        in->what = AUDIT_IN_RECORD;
    else if (in->text[0] == LOST && strv_u64(in->body, 0, UINT64_MAX, &in->n))
        in->what = AUDIT_IN_LOST;
    else if (in->text[0] == END)
        in->what = AUDIT_IN_END;
}

bool audit_relay_answer(int fd, bool ok)
{
    char answer = ok ? YES : NO;
    return io_pass_send(fd, (strv){&answer, 1}, NULL, 0);
}
