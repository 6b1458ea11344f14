/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler_frames - what the scheduler's own chat window can read of what a session says.
 *
 * It knows nine types of frames, ignores members that it does not know, takes any `error` for the end of the running answer,
 * and shows a history's messages as they are.
 */
#ifndef API_SCHEDULER_FRAMES_H
#define API_SCHEDULER_FRAMES_H

#include "base/base.h"

/* May it see a frame of this type? While an answer runs, of errors only that answer's own, which has its number. */
bool scheduler_shows(strv type, bool answering, bool has_number);
/* The messages of a history, with the members that it reads, as a JSON list. */
bool scheduler_messages(yyjson_val *messages, struct buf *out, struct arena *scratch);
/* The frame `history` likewise. False: no memory, or it is none. */
bool scheduler_history(strv frame, struct buf *out);

#endif
