/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat - conversations that live longer than a request: who speaks in them, what was said, the answer that runs.
 *
 *   socket (any worker) = SEAT --io_post--> HOME worker of the session = SESSION: tree of messages, answer, queue of one
 *                              <--io_post-- frames, as counted texts that all seats share
 *
 * A session's home is a worker chosen by its name, so all of a session happens on one thread, without a lock. A seat may
 * sit on any. The protocol is docs/chat.md.
 *
 *   tree.h     what was said: messages and branches; a conversation as a request to a model, as JSON, and back
 *   session.h  the state machine on its home worker
 *   seat.h     a socket's end of it
 *   keep.h     sessions in a file: sealed, listed, searched, deleted
 *   seal.h     keys, and what they seal
 */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include "chat/keep.h"
#include "chat/seal.h"
#include "chat/seat.h"
#include "chat/session.h"
#include "chat/tree.h"

#endif
