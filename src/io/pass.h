/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass - a socket between two processes of the same user on this machine, over which messages and open descriptors go;
 * and the word to the service manager.
 *
 *   old process: io_pass_listen(folder) ... io_pass_accept() <--- io_pass_dial(folder) :new process
 *                io_pass_send(text, descriptors) ----------------> io_pass_recv()
 *
 * All of it waits: it is for a thread that may, never for a loop's. A message arrives whole or not at all
 * (SOCK_SEQPACKET), so there is nothing to parse twice. The other side is another run of this program, perhaps of
 * another version; who is of another user is turned away by both.
 */
#ifndef IO_PASS_H
#define IO_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/base.h"

#define IO_PASS_FDS 64 /* in one message */

/* FOLDER/handover.sock, for this user alone; one that is there makes place. -1: err tells. */
int io_pass_listen(const char *folder, struct err *err);
/* The next caller of the same user; -1 once io_pass_end() was called for `fd`. */
int io_pass_accept(int fd, pid_t *pid);
/* -1 without an error: nobody listens there. */
int io_pass_dial(const char *folder, struct err *err);
bool io_pass_pair(int fds[2]);
/* Whoever waits on it, in any thread, waits no longer. It is still to be closed. */
void io_pass_end(int fd);
/* No message is waited for longer; 0 = for ever. */
void io_pass_limit(int fd, unsigned ms);
bool io_pass_send(int fd, strv text, const int *fds, size_t n_fds);
/* Bytes of the message, at most `size`; 0: the other side has gone; -1: an error, or it took too long. `fds` gets at most
 * IO_PASS_FDS descriptors, which are the caller's then; NULL: none is wanted. */
ssize_t io_pass_recv(int fd, char *text, size_t size, int *fds, size_t *n_fds);
/* Whether the other side has gone; does not wait. */
bool io_pass_gone(int fd);

/* Tells the service manager ($NOTIFY_SOCKET), "READY=1" and the like; without one nobody is told. */
void io_notify(const char *text);

#endif
