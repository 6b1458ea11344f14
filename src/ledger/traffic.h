/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic - the last day, minute by minute: how much was asked, how long it took, where it went, what it cost. For an
 * operator's charts; nothing is written to a disk, and a restart begins anew.
 *
 *   metrics --about once a second--> what came since --> the minute it is --> ring of a day
 *
 * It is read off the counters of metrics.h, so nobody who serves a request does anything for it, and the two agree.
 * Quantiles are those of the histograms' buckets, with a straight line inside of one: good to about a tenth. Within
 * the minute a bucket is counted; of a minute that is over only its quantiles are kept.
 */
#ifndef LEDGER_TRAFFIC_H
#define LEDGER_TRAFFIC_H

#include "base/base.h"

#define TRAFFIC_MINUTES 1440

/* Which zone the provider with this index of metrics has; those of no known zone count as local. Any thread. */
void traffic_zone(unsigned provider, bool cloud);
/* Main thread, about once a second. The first call begins the day: what was counted before is not told. */
void traffic_tick(int64_t wall_us);
/* The last `minutes`, the present one included, oldest first: an object of lists of the same length. Any thread. */
void traffic_json(int64_t wall_us, unsigned minutes, struct buf *out);

#endif
