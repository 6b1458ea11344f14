/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy_fuzz - hostile texts and JSON before the parts of the detector that read forms.
 *
 *   first byte   even: plain text; odd: as JSON, whatever it is
 *   the rest     the text
 *
 * Without tables there is no detector, so the harness makes a piece and calls the steps that need none. Places
 * of findings lie inside the text; the same text gives the same verdict.
 */
#include <stdint.h>
#include <stdlib.h>

#include "privacy/detect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static struct privacy *without_words(void)
{
    struct err err = ERR_INIT;
    struct privacy *p = mem_zalloc(sizeof *p);
    check(p != NULL);
    atomic_init(&p->refs, 1);
    p->serial = UINT64_MAX;
    p->rules = rules_new(NULL, &err);
    check(p->rules != NULL);
    p->ready = true;
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct privacy *p;
    static struct privacy_scratch *s;
    struct privacy_verdict one, two;
    if (size == 0)
        return 0;
    if (p == NULL) {
        p = without_words();
        s = privacy_scratch_new();
        check(s != NULL);
    }
    strv text = {(const char *)data + 1, size - 1};
    void (*scan)(const struct privacy *, struct privacy_scratch *, strv, unsigned,
                 struct privacy_verdict *) =
        (data[0] & 1) != 0 ? privacy_scan_json : privacy_scan_text;
    privacy_verdict_init(&one);
    privacy_verdict_init(&two);
    scan(p, s, text, PRIVACY_NORMAL, &one);
    scan(p, s, text, PRIVACY_NORMAL, &two);
    check(one.is_private == two.is_private && one.n_findings == two.n_findings &&
          one.score == two.score);
    check(one.counts[PRIVACY_MEMORY] == 0);
    for (size_t i = 0; i < one.n_findings; i++) {
        check(one.findings[i].start <= one.findings[i].end && one.findings[i].end <= text.len);
        check(i == 0 || one.findings[i - 1].start <= one.findings[i].start);
    }
    return 0;
}
