/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair - arguments of a call as a small model writes them, made fit for the tool's schema. Pure.
 *
 * Only what cannot change the meaning: a number in quotes to a number, "null" or "None" for an optional one to absent, a
 * near-miss of an enum's word, JSON in a string to the JSON, a single value where a list of one is due, a member's name
 * in another spelling (startDate, start_date). Then the schema decides. Each repair is counted by its kind.
 */
#ifndef AGENT_REPAIR_H
#define AGENT_REPAIR_H

#include "mcp/mcp.h"

enum agent_repair {                      /* names for the metric: agent_repair_name() */
                    AGENT_REPAIR_SYNTAX, /* text that was no JSON (base/json_mend.h) */
                    AGENT_REPAIR_NUMBER,
                    AGENT_REPAIR_BOOLEAN,
                    AGENT_REPAIR_NULL,
                    AGENT_REPAIR_ENUM,
                    AGENT_REPAIR_NESTED,
                    AGENT_REPAIR_LIST,
                    AGENT_REPAIR_MEMBER,
                    AGENT_REPAIR_DROPPED, /* a member the schema forbids */
                    AGENT_REPAIRS
};
const char *agent_repair_name(enum agent_repair r);

/* `args`: JSON text of an object, or whatever stood in its place; empty = {}. True: *out fits the schema (in the arena;
 * it is `args` itself where nothing was mended). False: err->text tells a model what is wrong, naming the parameter and
 * what it takes; never memory alone (arena->failed tells that). `counts` is added to. */
bool agent_repair_args(const struct mcp_tool *t, strv args, struct arena *arena, strv *out,
                       uint32_t counts[AGENT_REPAIRS], struct err *err);

#endif
