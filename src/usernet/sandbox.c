/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SQ_USERNET_SECCOMP
#include <seccomp.h>
#endif

#define NOBODY 65534u
/* Connections of the guest at a time, and a few more. */
#define DESCRIPTORS_MAX 4096u

static void limit(int what, rlim_t most)
{
    struct rlimit r;

    if (getrlimit((__rlimit_resource_t)what, &r) != 0)
        return;
    if (r.rlim_max > most)
        r.rlim_max = most;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit((__rlimit_resource_t)what, &r);
}

/* As root of a container there may be no such user; without capabilities
 * root is hardly more. */
static int drop_root(void)
{
    struct __user_cap_header_struct header = {
        .version = _LINUX_CAPABILITY_VERSION_3,
    };
    const struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

    for (int cap = 0; cap <= 63; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    (void)setgroups(0, NULL);
    if (setresgid(NOBODY, NOBODY, NOBODY) == 0)
        (void)!setresuid(NOBODY, NOBODY, NOBODY);
    return syscall(SYS_capset, &header, none) ? -1 : 0;
}

int sandbox_begin(int last)
{
    if (syscall(SYS_close_range, (unsigned)last + 1, ~0u, 0) != 0)
        for (int fd = last + 1; fd < 65536; fd++)
            close(fd);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
    return geteuid() == 0 ? drop_root() : 0;
}

/* ---- Landlock: files ---- */

static void allow_reading(int ruleset, const char *dir)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
        .parent_fd = open(dir, O_PATH | O_CLOEXEC | O_DIRECTORY),
    };

    if (rule.parent_fd < 0)
        return;
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
                  &rule, 0);
    close(rule.parent_fd);
}

/* No file but those beside the resolver's configuration, which is read
 * again when it changes. */
static int forbid_files(void)
{
    /* All that the first version of Landlock knows. */
    struct landlock_ruleset_attr attr = {.handled_access_fs = (1u << 13) - 1};
    char real[PATH_MAX], *slash;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr,
                               sizeof(attr), 0);
    int rc;

    if (ruleset < 0) /* not in this kernel, or not switched on */
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
    allow_reading(ruleset, "/etc");
    if (realpath("/etc/resolv.conf", real)) {
        slash = strrchr(real, '/');
        if (slash != real) {
            *slash = '\0';
            allow_reading(ruleset, real);
        }
    }
    rc = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
    return rc;
}

/* ---- seccomp: system calls ---- */

#ifdef SQ_USERNET_SECCOMP

static int allow_calls(scmp_filter_ctx ctx)
{
    static const int calls[] = {
        /* memory and the C library */
        SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap),
        SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(rt_sigreturn),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(exit_group), SCMP_SYS(exit),
        SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid),
        SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
        SCMP_SYS(gettimeofday), SCMP_SYS(time),
        /* sockets, after they are made */
        SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
        SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(getsockname),
        SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
        SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
        SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(read),
        SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
        SCMP_SYS(close), SCMP_SYS(fcntl),
        SCMP_SYS(poll), SCMP_SYS(ppoll),
        /* the resolver's configuration */
        SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
        SCMP_SYS(statx), SCMP_SYS(lseek),
    };
    static const int families[] = {AF_INET, AF_INET6};
    /* Not TIOCSTI, for one: standard error may be a terminal. */
    static const unsigned long requests[] = {FIONBIO, FIONREAD};
    int rc = 0;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    for (size_t i = 0; i < 2 && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ,
                                      (uint64_t)families[i], 0));
    for (size_t i = 0; i < 2 && !rc; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_EQ, requests[i], 0));
    if (!rc)
        rc = seccomp_rule_add(
            ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
            SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
                    O_RDONLY));
    /* Memory is never made executable. */
    if (!rc)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
    return rc;
}

/* What is not on the list fails with EPERM, which code that wanted more
 * than it needed survives. */
static int forbid_calls(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc;

    if (!ctx) {
        errno = ENOMEM;
        return -1;
    }
    rc = allow_calls(ctx);
    if (!rc)
        rc = seccomp_load(ctx);
    seccomp_release(ctx);
    errno = -rc;
    return rc ? -1 : 0;
}

#else

static int forbid_calls(void)
{
    return 0;
}

#endif

int sandbox_enter(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return -1;
    return forbid_files() ? -1 : forbid_calls();
}
