/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_calls - the system calls that a serving router makes, as a filter of the kernel's (seccomp).
 *
 * A list of what is allowed, because a list of what is evil is never complete. All else is answered with ENOSYS, as
 * a kernel answers that does not have the call: the C library then takes an older one, so that a library's next
 * version finds a way, and whoever broke in finds none. Killing the process instead would make every such novelty
 * an outage.
 *
 * clone3() is refused because its flags lie in memory, where a filter cannot see them; clone() is what libraries fall
 * back to, and only threads are allowed there.
 */
#include "app/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__ && defined __LP64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__ && defined __LP64__ && !defined __AARCH64EB__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined OUR_ARCH && !defined SANITIZED

static const int allowed[] = {
#define CALL(name) SYS_##name,
#include "app/calls.def"
#undef CALL
};

static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

#define MOST (sizeof allowed / sizeof *allowed * 2 + 64)

struct program {
    struct sock_filter code[MOST];
    unsigned short n;
};

static void put(struct program *p, struct sock_filter f)
{
    p->code[p->n++] = f;
}

static void load(struct program *p, size_t offset)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void answer(struct program *p, unsigned what)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

/* Is what was loaded this? Then the next `n` instructions, else over them. */
static void if_is(struct program *p, unsigned value, unsigned char n)
{
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n));
}

/* The lower half of an argument; both processors are little endian. */
static void load_argument(struct program *p, unsigned n)
{
    load(p, offsetof(struct seccomp_data, args) + n * sizeof(uint64_t));
}

/* Each of these loads an argument and ends in an answer, so that what follows may be jumped to. */
static void put_judged(struct program *p)
{
    const unsigned refused = SECCOMP_RET_ERRNO | ENOSYS;
    size_t n = sizeof families / sizeof *families;
    if_is(p, SYS_socket, (unsigned char)(2 + 2 * n));
    load_argument(p, 0);
    for (size_t i = 0; i < n; i++) {
        if_is(p, families[i], 1);
        answer(p, SECCOMP_RET_ALLOW);
    }
    answer(p, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    if_is(p, SYS_clone, 4);
    load_argument(p, 0);
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, refused);
    if_is(p, SYS_ioctl, 4); /* not into the terminal that we were started from */
    load_argument(p, 1);
    if_is(p, TIOCSTI, 1);
    answer(p, refused);
    answer(p, SECCOMP_RET_ALLOW);
}

static void build(struct program *p)
{
    p->n = 0;
    load(p, offsetof(struct seccomp_data, arch));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0));
    answer(p, SECCOMP_RET_KILL_PROCESS); /* 32-bit calls have other numbers */
    load(p, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if_is(p, (unsigned)allowed[i], 1);
        answer(p, SECCOMP_RET_ALLOW);
    }
    put_judged(p);
    answer(p, SECCOMP_RET_ERRNO | ENOSYS);
}

const char *sandbox_calls_refused(void)
{
    unsigned action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0
               ? NULL
               : "this kernel has no seccomp filters";
}

/* SPEC_ALLOW: older kernels else slow every thread down by a switch that is of use to browsers. */
bool sandbox_filter_calls(void)
{
    struct program p;
    build(&p);
    struct sock_fprog filter = {.len = p.n, .filter = p.code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) ==
               0 ||
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

#else

const char *sandbox_calls_refused(void)
{
#ifdef SANITIZED
    return "this build has a sanitizer, which makes calls of its own";
#else
    return "the calls of this processor are not listed";
#endif
}

bool sandbox_filter_calls(void)
{
    return false;
}

#endif
