/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox - what the process takes from itself once it knows its configuration, so that a mistake of ours in reading
 * what strangers sent cannot become a way into the machine.
 *
 *   files     Landlock: the folders of the files that the configuration names and those of the system are read; the
 *             folders for state are written; nothing else of the file system can be opened
 *   calls     seccomp: the system calls that serving needs; no program is started, no other process is touched
 *
 * Both hold for a thread and all that it starts, and nothing takes them back. Which threads:
 *
 *   all       no program is to be started: the whole process, from before its first thread on
 *   workers   the configuration has local engines or tool servers that are programs: they would inherit both, and
 *             could neither open their models nor run. The main thread, which starts them and hears no caller, stays
 *             as it is. That stops a request that was led to a wrong file; it does not stop somebody who runs code
 *             of his own in the process, because its threads share one memory.
 *
 * A kernel that has neither is no reason not to serve: the log and doctor say what holds.
 */
#ifndef APP_SANDBOX_H
#define APP_SANDBOX_H

#include "config/config.h"

struct sandbox {
    enum config_sandbox scope;
    long version;                    /* of the kernel's Landlock */
    int ruleset;                     /* of it; -1 = files are not restricted */
    bool calls;                      /* system calls are */
    const char *no_files, *no_calls; /* constants: why not */
};

/* Does a serving router start programs by this configuration? */
bool sandbox_starts_programs(const struct config *c);
/* Finds out what will hold; makes the folders for state if `make`. Nothing holds yet. */
void sandbox_prepare(struct sandbox *s, const struct config *c, bool make);
/* From root to this user, for good; before there is another thread. Who is not root stays who he is. */
bool sandbox_become(const char *user, struct err *err);
/* For this thread and all that it starts from now on. False: refused by the kernel, although it had promised. */
bool sandbox_enter(const struct sandbox *s);
/* "all threads: files, system calls" */
void sandbox_describe(const struct sandbox *s, char *out, size_t size);
void sandbox_fini(struct sandbox *s);

/* sandbox_calls.c: NULL, or a constant that says why the filter cannot be had. */
const char *sandbox_calls_refused(void);
bool sandbox_filter_calls(void);

#endif
