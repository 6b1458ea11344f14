/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - a place of a JSON Schema with its $ref, its allOf and the one way that is not null of its anyOf or oneOf, read
 * as one. Pure, no memory. Inside src/agent only. What is said twice counts as it was said first.
 *
 * The schema is hostile: at most VIEW_PARTS parts, nothing of other documents, and the caller's budget of steps.
 */
#ifndef AGENT_VIEW_H
#define AGENT_VIEW_H

#include "base/base.h"

#define VIEW_PARTS     12
#define VIEW_STEPS_MAX 20000 /* values looked at; the largest of 112 real tools needs 300 */

struct view {
    struct {
        yyjson_val *val;
        bool loose; /* one of several ways: what it requires is not required */
    } parts[VIEW_PARTS];
    size_t n;
    yyjson_val *ways; /* anyOf or oneOf of more than one kind of value; NULL = none */
    bool nullable;
};

/* Bits of a value's kinds. */
enum {
    VIEW_STRING = 1,
    VIEW_INTEGER = 2,
    VIEW_NUMBER = 4,
    VIEW_BOOLEAN = 8,
    VIEW_ARRAY = 16,
    VIEW_OBJECT = 32,
    VIEW_NULL = 64
};

struct view view_of(yyjson_val *root, yyjson_val *schema, size_t *steps);
/* Adds the ways of v->ways as loose parts. */
void view_loosen(struct view *v, yyjson_val *root, size_t *steps);
/* The member of the first part that has it, null counting as absent; NULL = none has. */
yyjson_val *view_get(const struct view *v, const char *key);
yyjson_val *view_property(const struct view *v, strv name);
bool view_requires(const struct view *v, strv name);
bool view_is_null(yyjson_val *schema); /* {"type":"null"} */
/* Does "type", a word or a list of words, hold this one? */
bool view_type_holds(yyjson_val *type, const char *word);
/* The kinds that fit by type, enum, const and the ways; 0 = any. */
unsigned view_kinds(const struct view *v, yyjson_val *root, size_t *steps);
unsigned view_kind_of(yyjson_val *val); /* one bit; an integer is VIEW_INTEGER alone */

#endif
