/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llm - the vocabulary: what a request, an event, a reply and an error are, in no dialect.
 *
 * Data and a few pure helpers; no sockets, no bytes of any wire format. A dialect turns bytes into these
 * and back; policy, exchange and ledger speak only these. Everything a request holds lives in its arena.
 *
 *   error.h    every error a caller can get, one row each
 *   params.def sampling parameters with their names in each dialect, one row each
 *   request.h  a conversation and what is asked of the model; its history made fit for any dialect
 *   event.h    what comes back, piece by piece, and a whole reply collected from the pieces
 */
#ifndef LLM_LLM_H
#define LLM_LLM_H

#include "llm/error.h"
#include "llm/event.h"
#include "llm/request.h"

#endif
