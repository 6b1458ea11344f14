/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members - what the members of a request to a model are, and which of their values say nothing about anybody.
 *
 * Roles, types, identifiers of calls would only get in the way of the text between them. They are left out of it by
 * what they are, never by where they stand alone: a value that is not one of the API's own words, or does not look
 * as machines write identifiers, is text like any other. Callers can write anything anywhere.
 */
#ifndef PRIVACY_MEMBERS_H
#define PRIVACY_MEMBERS_H

#include "base/base.h"

enum { /* members.def says what each means */
       MEMBER_API = 1 << 0,
       MEMBER_SCHEMA = 1 << 1,
       MEMBER_WORD = 1 << 2,
       MEMBER_ID = 1 << 3,
       MEMBER_SETTING = 1 << 4,
       MEMBER_DATA = 1 << 5,
       MEMBER_SCHEMAS = 1 << 6,
       MEMBER_TOOLS = 1 << 7,
       MEMBER_PROPERTIES = 1 << 8,
       MEMBER_TURNS = 1 << 9,
};

unsigned member_is(strv name); /* 0: no API has it */
/* Of a member's value, as it stands in JSON: */
bool member_is_word(strv value);
bool member_is_machine_id(strv value); /* call_..., toolu_..., a UUID */
bool member_is_model(strv value);      /* letters, digits and signs, its version may be a date */

#endif
