/* SPDX-License-Identifier: Apache-2.0 */
#include "app/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* 2nd version */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* 3rd */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* 5th */
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1) /* 6th */
#endif

#define READ_FILES   ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE)
#define READ_FOLDERS (READ_FILES | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_FOLDERS                                                                              \
    (READ_FOLDERS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |                  \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define SOCKET_FOLDERS (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)

/* As the kernel's newest version of it; older ones are told a shorter size. */
struct ruleset_attr {
    uint64_t files, net, scopes;
};

/* What the C library and OpenSSL read of a system, also later: names of hosts, certificates, modules for looking up
 * names, the time zone. All of /etc, because what they want there is named nowhere and is put there anew, under the
 * same names, when the network changes. Whatever is not there is left out. */
static const char *const system_reads[] = {"/etc",
                                           "/usr",
                                           "/lib",
                                           "/lib64",
                                           "/run/systemd/resolve",
                                           "/run/NetworkManager",
                                           "/run/resolvconf",
                                           "/var/lib/ca-certificates",
                                           "/proc/self",
                                           "/proc/meminfo",
                                           "/proc/stat",
                                           "/proc/cpuinfo",
                                           "/proc/sys/vm/overcommit_memory",
                                           "/sys/devices/system/cpu",
                                           "/dev/urandom"};

/* ---- rules ---- */

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static int new_ruleset(long version)
{
    struct ruleset_attr attr = {.files =
                                    LANDLOCK_ACCESS_FS_EXECUTE | WRITE_FOLDERS |
                                    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM};
    size_t size = version < 4 ? sizeof(uint64_t) : version < 6 ? 2 * sizeof(uint64_t) : sizeof attr;
    if (version >= 2)
        attr.files |= LANDLOCK_ACCESS_FS_REFER;
    if (version < 3)
        attr.files &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    if (version >= 5)
        attr.files |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    if (version >= 6)
        attr.scopes = LANDLOCK_SCOPE_SIGNAL;
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

/* A path that is not there needs no rule: opening it fails by itself. */
static void allow(const struct sandbox *s, const char *path, uint64_t access)
{
    struct stat st;
    int fd = path != NULL ? open(path, O_PATH | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        access &= READ_FILES;
    if (s->version < 3)
        access &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (access != 0)
        (void)syscall(SYS_landlock_add_rule, s->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

/* A file is replaced by a new one of the same name, which only its folder's rule holds for. The root is never the
 * folder that is meant. */
static void allow_folder_of(const struct sandbox *s, const char *path, uint64_t access)
{
    char folder[PATH_MAX];
    struct stat st;
    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return;
    char *slash = strrchr(folder, '/');
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        allow(s, path, access);
    else if (slash == NULL)
        allow(s, ".", access);
    else if (slash == folder)
        allow(s, path, access);
    else {
        *slash = '\0';
        allow(s, folder, access);
    }
}

/* Where it is said to lie, and where it lies: a link may lead elsewhere. */
static void allow_read(void *arg, const char *path)
{
    const struct sandbox *s = arg;
    char *real = realpath(path, NULL);
    allow_folder_of(s, path, READ_FOLDERS);
    if (real != NULL && strcmp(real, path) != 0)
        allow_folder_of(s, real, READ_FOLDERS);
    free(real); /* the C library's own */
}

static void make_folders(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s/", path) >= (int)sizeof part)
        return;
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0700); /* there, or not to be had: whoever needs it says so */
        *slash = '/';
    }
}

static void collect_rules(struct sandbox *s, const struct config *c, bool make)
{
    static const char *const variables[] = {"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"};
    const char *const folders[] = {c->state_dir, c->audit.dir};
    for (size_t i = 0; i < sizeof system_reads / sizeof *system_reads; i++)
        allow(s, system_reads[i], READ_FOLDERS);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i]) != NULL)
            allow_read(s, getenv(variables[i]));
    config_each_file(c, allow_read, s);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (make)
            make_folders(folders[i]);
        allow(s, folders[i], WRITE_FOLDERS);
    }
    allow_folder_of(s, c->audit.key, WRITE_FOLDERS);
    for (const char *const *a = c->listen; *a != NULL; a++)
        if (strncmp(*a, "unix:", 5) == 0)
            allow_folder_of(s, *a + 5, SOCKET_FOLDERS);
}

/* ---- who we are ---- */

bool sandbox_become(const char *user, struct err *err)
{
    if (user == NULL || geteuid() != 0)
        return true;
    const struct passwd *who = getpwnam(user);
    if (who == NULL)
        return err_set(err, LLM_ERR_INVALID_REQUEST, "user: there is no user %s", user);
    if (initgroups(user, who->pw_gid) != 0 ||
        setresgid(who->pw_gid, who->pw_gid, who->pw_gid) != 0 ||
        setresuid(who->pw_uid, who->pw_uid, who->pw_uid) != 0)
        return err_set(err, LLM_ERR_INTERNAL, "user: cannot become %s: %s", user, strerror(errno));
    assert(who->pw_uid == 0 || setuid(0) != 0); /* there is no way back */
    return true;
}

/* ---- what holds ---- */

bool sandbox_starts_programs(const struct config *c)
{
    for (size_t i = 0; i < c->snapshot->n_providers; i++)
        if (c->snapshot->providers[i].spawn.model != NULL)
            return true;
    for (size_t i = 0; i < c->mcp.n_servers; i++)
        if (c->mcp.servers[i].transport == MCP_STDIO)
            return true;
    return false;
}

void sandbox_prepare(struct sandbox *s, const struct config *c, bool make)
{
    *s = (struct sandbox){.ruleset = -1, .scope = c->sandbox};
    if (s->scope == SANDBOX_OFF)
        return;
    if (sandbox_starts_programs(c))
        s->scope = SANDBOX_WORKERS;
    s->version = landlock_version();
    if (s->version < 1)
        s->no_files = "this kernel has no Landlock, or somebody forbids to use it";
    else if ((s->ruleset = new_ruleset(s->version)) < 0)
        s->no_files = "the kernel refuses a Landlock ruleset";
    else
        collect_rules(s, c, make);
    s->no_calls = sandbox_calls_refused();
    s->calls = s->no_calls == NULL;
}

bool sandbox_enter(const struct sandbox *s)
{
    if (s->ruleset < 0 && !s->calls)
        return true;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           (s->ruleset < 0 || syscall(SYS_landlock_restrict_self, s->ruleset, 0) == 0) &&
           (!s->calls || sandbox_filter_calls());
}

void sandbox_describe(const struct sandbox *s, char *out, size_t size)
{
    const char *threads = s->scope == SANDBOX_ON ? "all threads" : "the workers";
    if (s->scope == SANDBOX_OFF)
        snprintf(out, size, "off, as configured");
    else if (s->ruleset < 0 && !s->calls)
        snprintf(out, size, "none: %s; %s", s->no_files, s->no_calls);
    else
        snprintf(out, size, "%s: %s%s%s%s%s", threads, s->ruleset >= 0 ? "files" : "",
                 s->ruleset >= 0 && s->calls ? ", " : "", s->calls ? "system calls" : "",
                 s->ruleset >= 0 && s->calls ? "" : "; not the other: ",
                 s->ruleset < 0 ? s->no_files
                 : !s->calls    ? s->no_calls
                                : "");
}

void sandbox_fini(struct sandbox *s)
{
    if (s->ruleset >= 0)
        close(s->ruleset);
    s->ruleset = -1;
}
