/* SPDX-License-Identifier: Apache-2.0 */
/*
 * absent - the detector before there is one: it reads nothing and finds nothing.
 *
 * The gate asks it, so that the gate can be built and tested; requests are as private as their callers say. This
 * file goes with the first real detector, which defines the same functions in detect.c.
 */
#include "privacy/privacy.h"

struct privacy {
    bool ready;
};
struct privacy_scratch {
    bool used;
};
static struct privacy nobody = {true};

struct privacy *privacy_new(const struct privacy_conf *conf, struct err *err)
{
    (void)conf, (void)err;
    return &nobody;
}

struct privacy *privacy_ref(struct privacy *p)
{
    return p;
}

void privacy_unref(struct privacy *p)
{
    (void)p;
}

bool privacy_ready(const struct privacy *p)
{
    return p->ready;
}

const char *privacy_digest(const struct privacy *p)
{
    (void)p;
    return "";
}

size_t privacy_roster_size(const struct privacy *p)
{
    (void)p;
    return 0;
}

bool privacy_stale(const struct privacy *p)
{
    return !p->ready;
}

struct privacy_scratch *privacy_scratch_new(void)
{
    return mem_zalloc(sizeof(struct privacy_scratch));
}

void privacy_scratch_free(struct privacy_scratch *s)
{
    mem_free(s);
}

void privacy_scan_json(const struct privacy *p, struct privacy_scratch *s, strv json, unsigned how,
                       struct privacy_verdict *out)
{
    (void)json, (void)how;
    s->used = true;
    if (!p->ready)
        privacy_verdict_add(out, PRIVACY_NOT_READY);
}
