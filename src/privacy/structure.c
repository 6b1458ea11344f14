/* SPDX-License-Identifier: Apache-2.0 */
/*
 * structure - forms that hold data of people: records of HL7, X12, FHIR, calendars, and tables whose head says so.
 *
 * A record is found as such, and its fields get the labels that its standard gives them. A table is a line with
 * labels between separators, and lines below it with as many separators: its cells get the labels of their heads.
 */
#include "privacy/rules.h"

#include <string.h>

/* ---- HL7 version 2 and X12: fields by number ---- */

struct field {
    char segment[4];
    uint8_t number;
    uint8_t kind;
    uint16_t rule;
};
static const struct field hl7_fields[] = {{"pid", 2, PRIVACY_MRN, RULE_MRN_LABEL},
                                          {"pid", 3, PRIVACY_MRN, RULE_MRN_LABEL},
                                          {"pid", 4, PRIVACY_MRN, RULE_MRN_LABEL},
                                          {"pid", 5, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pid", 6, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pid", 7, PRIVACY_DATE, RULE_DATE_STAMP},
                                          {"pid", 9, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pid", 11, PRIVACY_LOCATION, RULE_PLACE_FIELD},
                                          {"pid", 13, PRIVACY_PHONE, RULE_PHONE_LABEL},
                                          {"pid", 14, PRIVACY_PHONE, RULE_PHONE_LABEL},
                                          {"pid", 18, PRIVACY_ACCOUNT, RULE_ACCOUNT_LABEL},
                                          {"pid", 19, PRIVACY_SSN, RULE_SSN_LABEL},
                                          {"pid", 20, PRIVACY_LICENSE, RULE_LICENSE_LABEL},
                                          {"nk1", 2, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"nk1", 4, PRIVACY_LOCATION, RULE_PLACE_FIELD},
                                          {"nk1", 5, PRIVACY_PHONE, RULE_PHONE_LABEL},
                                          {"gt1", 3, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"gt1", 5, PRIVACY_LOCATION, RULE_PLACE_FIELD},
                                          {"gt1", 6, PRIVACY_PHONE, RULE_PHONE_LABEL},
                                          {"gt1", 7, PRIVACY_PHONE, RULE_PHONE_LABEL},
                                          {"gt1", 8, PRIVACY_DATE, RULE_DATE_STAMP},
                                          {"gt1", 12, PRIVACY_SSN, RULE_SSN_LABEL},
                                          {"in1", 16, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"in1", 18, PRIVACY_DATE, RULE_DATE_STAMP},
                                          {"in1", 36, PRIVACY_HEALTH_PLAN_ID, RULE_PLAN_LABEL},
                                          {"pv1", 7, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pv1", 8, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pv1", 9, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pv1", 17, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"pv1", 19, PRIVACY_MRN, RULE_MRN_LABEL},
                                          {"pv1", 44, PRIVACY_DATE, RULE_DATE_STAMP},
                                          {"obr", 16, PRIVACY_NAME, RULE_NAME_FIELD},
                                          {"mrg", 1, PRIVACY_MRN, RULE_MRN_LABEL}};

static bool has_word(const struct privacy_piece *t, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++)
        if (is_word(at(t, i)))
            return true;
    return false;
}

static void hl7_field(struct privacy_piece *t, strv segment, unsigned number, size_t start,
                      size_t end)
{
    for (size_t i = 0; i < sizeof hl7_fields / sizeof hl7_fields[0]; i++) {
        const struct field *f = &hl7_fields[i];
        if (f->number != number || !strv_eq_cstr(segment, f->segment) || !has_word(t, start, end))
            continue;
        if (t->fixed && f->kind == PRIVACY_NAME)
            continue;
        piece_find(t, (enum privacy_kind)f->kind, f->rule, 1000, true, start, end);
        if (f->kind == PRIVACY_LOCATION) { /* the postal code is its fifth part */
            size_t k = token_at(t, end - 1);
            if (k < t->n_tokens && t->tokens[k].start >= start && t->tokens[k].digits >= 5)
                piece_find(t, PRIVACY_ZIP, RULE_ZIP_LABEL, 1000, true, t->tokens[k].start,
                           t->tokens[k].end);
        }
    }
}

static void hl7(struct privacy_piece *t, const struct privacy_hit *h)
{
    strv segment = {t->view->folded + h->start, 3};
    size_t i = h->end, from = h->end;
    unsigned number = 1, full = 0;
    char c = h->start > 0 ? at(t, h->start - 1) : '\n';
    if (is_word(c))
        return;
    for (; i - h->start < 4000; i++) {
        bool line = at(t, i) == '\n' || i >= t->view->n;
        if (at(t, i) != '|' && !line)
            continue;
        full += number > 1 && has_word(t, from, i); /* the first is only counted up */
        hl7_field(t, segment, number++, from, i);
        from = i + 1;
        if (line)
            break;
    }
    if (full >= 2 && number >= 4 && !t->fixed)
        piece_find(t, PRIVACY_STRUCTURE, RULE_RECORD_HL7, 1000, false, h->start, h->end);
}

/* NM1*IL*1*MAYHEW*LUCRETIA****MI*8U96GQ6WR94~ */
static void x12(struct privacy_piece *t, const struct privacy_hit *h)
{
    bool nm1 = strncmp(t->view->folded + h->start, "nm1", 3) == 0;
    bool dmg = strncmp(t->view->folded + h->start, "dmg", 3) == 0;
    size_t from = h->end, signs = 0;
    unsigned number = 1;
    for (size_t i = h->end; i - h->start < 300; i++) {
        char c = at(t, i);
        bool last = c == '~' || c == '\n' || i >= t->view->n;
        if (c != '*' && !last)
            continue;
        signs += c == '*';
        bool word = has_word(t, from, i);
        if (nm1 && word && (number == 3 || number == 4) && !t->fixed)
            piece_find(t, PRIVACY_NAME, RULE_NAME_FIELD, 1000, true, from, i);
        if (nm1 && word && number == 9)
            piece_find(t, PRIVACY_HEALTH_PLAN_ID, RULE_PLAN_LABEL, 1000, true, from, i);
        if (dmg && word && number == 2)
            piece_find(t, PRIVACY_DATE, RULE_DATE_STAMP, 1000, true, from, i);
        number++;
        from = i + 1;
        if (last)
            break;
    }
    if ((nm1 || dmg) && signs >= 2 && !t->fixed)
        piece_find(t, PRIVACY_STRUCTURE, RULE_RECORD_X12, 1000, false, h->start, h->end);
}

/* "resourceType":"Patient" */
static void fhir(struct privacy_piece *t, const struct privacy_hit *h)
{
    static const char *const people[] = {"patient",
                                         "person",
                                         "practitioner",
                                         "practitionerrole",
                                         "relatedperson",
                                         "appointment",
                                         "encounter",
                                         "coverage",
                                         "claim",
                                         "observation",
                                         "condition",
                                         "procedure",
                                         "medicationrequest",
                                         "medicationstatement",
                                         "allergyintolerance",
                                         "immunization",
                                         "diagnosticreport",
                                         "documentreference",
                                         "servicerequest",
                                         "episodeofcare",
                                         "careteam",
                                         "careplan",
                                         "familymemberhistory",
                                         NULL};
    size_t i = h->end;
    while (strchr("\"' :=", at(t, i)) != NULL && i - h->end < 6)
        i++;
    size_t end = i;
    while (is_word(at(t, end)))
        end++;
    for (size_t k = 0; i > h->end && people[k] != NULL; k++)
        if (strv_eq_cstr((strv){t->view->folded + i, end - i}, people[k]) && !t->fixed)
            piece_find(t, PRIVACY_STRUCTURE, RULE_RECORD_FHIR, 1000, false, h->start, end);
}

/* ORGANIZER;CN=Jane Roe:mailto:... */
static void ical(struct privacy_piece *t, const struct privacy_hit *h)
{
    if (at(t, h->end) != ';' && at(t, h->end) != ':')
        return;
    size_t end = h->end;
    while (at(t, end) != '\n' && end - h->start < 200)
        end++;
    strv line = {t->view->folded + h->end, end - h->end};
    const char *cn = memmem(line.ptr, line.len, "cn=", 3);
    if (cn != NULL && !t->fixed) {
        size_t from = (size_t)(cn - t->view->folded) + 3, to = from;
        while (strchr(":;\n", at(t, to)) == NULL)
            to++;
        if (has_word(t, from, to))
            piece_find(t, PRIVACY_NAME, RULE_NAME_FIELD, 1000, true, from, to);
    }
    if (!t->fixed && (cn != NULL || memmem(line.ptr, line.len, "mailto:", 7) != NULL))
        piece_find(t, PRIVACY_STRUCTURE, RULE_RECORD_VCARD, 1000, false, h->start, h->end);
}

/* ---- tables ---- */

enum { COLUMNS_MAX = 64 };

static size_t line_end(const struct privacy_piece *t, size_t i)
{
    const char *p = i < t->view->n ? memchr(t->view->folded + i, '\n', t->view->n - i) : NULL;
    return p != NULL ? (size_t)(p - t->view->folded) : t->view->n;
}

static size_t count(const struct privacy_piece *t, size_t start, size_t end, char sign)
{
    const char *p = t->view->folded + start;
    size_t n = 0;
    while (start < end && (p = memchr(p, sign, (size_t)(t->view->folded + end - p))) != NULL) {
        n++;
        p++;
    }
    return n;
}

/* The label of a cell of the head: of the longest label in it that nearly fills it. */
static enum privacy_label head_label(const struct privacy_piece *t, size_t start, size_t end)
{
    size_t best = 0, letters = 0;
    enum privacy_label label = LABEL_NONE;
    for (size_t i = start; i < end && letters <= 24; i++)
        letters += is_word(at(t, i));
    for (size_t i = hit_index(t, start);
         letters <= 24 && i < t->n_hits && t->hits[i].start < end + 40; i++) {
        const struct privacy_hit *h = &t->hits[i];
        const struct rules_row *row = &rules_rows[h->what];
        bool fit = h->start >= start && h->end <= end && h->end - h->start > best;
        if (fit && (row->act == ACT_LABEL || h->what == PHRASE_NAME)) {
            best = h->end - h->start;
            label = (enum privacy_label)row->what;
        }
    }
    return best * 2 >= letters ? label : LABEL_NONE; /* LABEL_NONE is of length 0 */
}

/* The cells of one line: their labels are read (head) or given. The number of labels of the head. */
static size_t cells(struct privacy_piece *t, size_t start, size_t end, char sign, uint8_t *labels,
                    bool head)
{
    size_t known = 0;
    for (size_t column = 0, from = start; column < COLUMNS_MAX && from <= end; column++) {
        const char *p = memchr(t->view->folded + from, sign, end - from);
        size_t to = p != NULL ? (size_t)(p - t->view->folded) : end;
        if (head) {
            labels[column] = (uint8_t)head_label(t, from, to);
            known += labels[column] != LABEL_NONE;
        } else if (labels[column] != LABEL_NONE && has_word(t, from, to)) {
            struct privacy_value *v = piece_add_value(t);
            if (v == NULL)
                return 0;
            *v = (struct privacy_value){(uint32_t)from, (uint32_t)to, labels[column]};
        }
        from = to + 1;
    }
    return known;
}

/* A table whose head is the line [start, end): adds its cells, returns the end of its last line. */
static size_t table(struct privacy_piece *t, size_t start, size_t end, char sign)
{
    uint8_t labels[COLUMNS_MAX] = {0};
    size_t columns = count(t, start, end, sign), row = end + 1;
    if (columns == 0 || columns >= COLUMNS_MAX || row >= t->view->n ||
        count(t, row, line_end(t, row), sign) != columns ||
        cells(t, start, end, sign, labels, true) == 0)
        return end;
    while (row < t->view->n && !t->failed) {
        size_t row_end = line_end(t, row);
        if (count(t, row, row_end, sign) != columns)
            break;
        cells(t, row, row_end, sign, labels, false);
        end = row_end;
        row = row_end + 1;
    }
    return end;
}

/* A word on one line that may be the head of a column. */
static bool may_head(const struct privacy_piece *t, const struct privacy_hit *h)
{
    return (rules_rows[h->what].act == ACT_LABEL || h->what == PHRASE_NAME) &&
           memchr(t->view->folded + h->start, '\n', h->end - h->start) == NULL;
}

/* The table that has the line [start, end) as its head, with any of the signs; the end of its last line, or `end`. */
static size_t table_below(struct privacy_piece *t, size_t start, size_t end)
{
    static const char signs[] = ",\t|;";
    size_t next = line_end(t, end + 1), last = end;
    if (end + 1 >= t->view->n || next <= end + 2)
        return end; /* no line of another one below it */
    for (size_t k = 0; signs[k] != '\0' && last == end; k++)
        if (memchr(t->view->folded + end + 1, signs[k], next - end - 1) != NULL)
            last = table(t, start, end, signs[k]);
    return last;
}

/* Only lines with such a word can be heads, and hits stand in order of their lines. */
static void tables(struct privacy_piece *t)
{
    const char *p = t->view->folded;
    for (size_t i = 0, seen = 0; i < t->n_hits && !t->failed; i++) {
        const struct privacy_hit *h = &t->hits[i];
        if (h->start < seen || !may_head(t, h))
            continue;
        size_t start = h->start;
        while (start > seen && p[start - 1] != '\n')
            start--;
        seen = table_below(t, start, line_end(t, h->start)) + 1;
    }
}

void structure_scan(struct privacy_piece *t)
{
    size_t n = t->n_hits;
    for (size_t i = 0; i < n && !t->failed; i++) {
        struct privacy_hit h = t->hits[i];
        switch (h.what) {
        case PHRASE_HL7:
            hl7(t, &h);
            break;
        case PHRASE_X12:
            x12(t, &h);
            break;
        case PHRASE_FHIR:
            fhir(t, &h);
            break;
        case PHRASE_ICAL:
            ical(t, &h);
            break;
        default:
            break;
        }
    }
    tables(t);
}
