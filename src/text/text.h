/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - what is written, whatever it is written like.
 *
 *   normal.h   a piece of text in the views that detectors read, with the way back to its own bytes
 *   eight.h    eight bytes of it at once
 *   data.h     the data file: read-only tables and weights
 *
 * Pure, but for the reading of the one file.
 */
#ifndef TEXT_TEXT_H
#define TEXT_TEXT_H

#include "text/data.h"
#include "text/eight.h"
#include "text/normal.h"

#endif
