/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io - the only folder that touches sockets, time, threads' mailboxes and processes.
 *
 * One io_loop per thread. Everything a loop made belongs to it and is used on its thread only; the two
 * exceptions are io_post() and io_loop_stop(). All callbacks come from io_loop_run().
 *
 *   loop.h    turns, clocks, deferred work, messages from other threads, signals
 *   timer.h   one-shot timers inside the caller's own struct
 *   stream.h  connected byte streams: TCP, UNIX socket, TLS; connecting; listening
 *   child.h   child processes that die with us
 *   pass.h    to another process of this program: messages and descriptors; waits, and is for threads that may
 *
 * Nobody dies inside a callback: io_stream_close() and its like only mark; memory goes at the end of
 * the turn, and no callback comes after the mark.
 *
 * The functions of these headers are implemented twice: in this folder on libuv and OpenSSL, and in
 * test/lib/fake_io.c with a made-up network and clock. The linker chooses; no caller knows.
 */
#ifndef IO_IO_H
#define IO_IO_H

#include "io/child.h"
#include "io/loop.h"
#include "io/pass.h"
#include "io/stream.h"
#include "io/timer.h"

#endif
