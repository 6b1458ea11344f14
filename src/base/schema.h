/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - does a JSON value fit a JSON Schema, for the part of it that providers accept.
 *
 * Debian has no C library for it that is maintained, and nobody asks a model for more than this:
 *
 *   any value   type enum const anyOf oneOf allOf not $ref nullable (OpenAPI) true false
 *   objects     properties required additionalProperties minProperties maxProperties
 *   arrays      items prefixItems additionalItems minItems maxItems uniqueItems
 *   strings     minLength maxLength (in code points)
 *   numbers     minimum maximum exclusiveMinimum exclusiveMaximum multipleOf; 1.0 is an integer
 *
 * As in draft 2020-12, members beside a $ref count as well. The older forms of items (an array) and of
 * exclusiveMinimum (true) are understood. A $ref is a pointer into the schema itself: "#", "#/$defs/x".
 *
 * Every other member is ignored, above all pattern, format, contains, minContains, maxContains, if, then,
 * else, propertyNames, dependentRequired, dependentSchemas, unevaluatedItems, unevaluatedProperties,
 * patternProperties (where it stands, additionalProperties is ignored too), $dynamicRef, $anchor, $id. So a
 * value may be found to fit though it does not by the full rules; never the other way round, but for a
 * schema that resolves its $refs by $id.
 *
 * The schema is as hostile as the value: both are walked within a budget of steps and levels. An error's
 * code is 0; field and text begin with the place as a JSON pointer, in the value or in the schema
 * ("#/properties/x"). They name rules and what the schema names, never what the value holds: a member that
 * the schema does not name is a * in the pointer.
 */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include <stdbool.h>
#include <yyjson.h>

#include "base/err.h"

/* Whether the schema is one that schema_check() understands. */
bool schema_valid(yyjson_val *schema, struct err *err);
/* Whether the value fits. What schema_valid() would have refused fits nothing or is ignored. */
bool schema_check(yyjson_val *schema, yyjson_val *value, struct err *err);

#endif
