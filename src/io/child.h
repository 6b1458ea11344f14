/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child - a child process that cannot outlive us.
 *
 * The child gets its own session, only the environment it is given, no descriptor but 0 and 1 (the null
 * device, or a stream to us) and 2 (a pipe we read), and SIGKILL from the kernel if our thread dies
 * (PR_SET_PDEATHSIG), also when we are killed with -9. Start children from the main thread only.
 */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

#define IO_CHILD_FILES_MAX 4096

struct io_loop;
struct io_stream;
struct io_child;

struct io_child_opts {
    const char *const *argv; /* argv[0] is looked up on PATH if it has no slash; NULL ends */
    const char *const *envp; /* "NAME=value"; NULL ends */
    const char *cwd;         /* NULL = ours */
    /* A line of its standard error, without the line end, cut to 1 KiB, empty ones left out; may be
     * NULL. */
    void (*on_line)(void *arg, strv line);
    /* It ended: exit status 0..255 and signal 0, or the signal. After this the handle is gone. */
    void (*on_exit)(void *arg, int status, int signal);
    void *arg;
    bool talks; /* its standard input and output are ours: io_child_take_stream() */
    bool
        bounded; /* no core files, which would hold what we told it; IO_CHILD_FILES_MAX open files */
};

/* NULL with err when it cannot even be started (file missing: told here, not by on_exit). */
struct io_child *io_child_start(struct io_loop *loop, const struct io_child_opts *opts,
                                struct err *err);
pid_t io_child_pid(const struct io_child *c);
/* Its standard input and output as one stream; whoever takes it closes it, and may keep it longer than the child
 * lives, for its last words. io_stream_finish() ends its input. NULL: it does not talk, or was taken before. */
struct io_stream *io_child_take_stream(struct io_child *c);
void io_child_signal(struct io_child *c, int signum);
/* SIGTERM, and SIGKILL after grace_ms; on_exit still comes. */
void io_child_stop(struct io_child *c, uint64_t grace_ms);

#endif
