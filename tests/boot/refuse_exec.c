/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse_exec HOW COMMAND...: runs a command on a host that is strict about
 * executable memory.
 *
 *   shared  no shared mapping may be executable (seccomp); programs and
 *           libraries are mapped privately, so they still load
 *   file    no memory files that may be executed, as vm.memfd_noexec=2 has
 *           it (seccomp)
 *   wx      no memory both writable and executable, ever (PR_SET_MDWE)
 *   trap    a memory file is a forbidden call, with SIGSYS (seccomp)
 *
 * Status 77 and a reason on stderr where the kernel cannot do that.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

#define LOAD(what) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define UNLESS_EQ(v, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, 0, skip)
#define UNLESS_SET(v, skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, v, 0, skip)
#define END(what) BPF_STMT(BPF_RET | BPF_K, what)

/* The low halves of arguments hold all bits of protections and flags. */
static const struct sock_filter no_shared[] = {
    LOAD(nr), UNLESS_EQ(__NR_mmap, 5),
    LOAD(args[2]), UNLESS_SET(PROT_EXEC, 3),
    LOAD(args[3]), UNLESS_SET(MAP_SHARED, 1),
    END(SECCOMP_RET_ERRNO | EACCES),
    END(SECCOMP_RET_ALLOW),
};
static const struct sock_filter no_file[] = {
    LOAD(nr), UNLESS_EQ(__NR_memfd_create, 3),
    LOAD(args[1]), UNLESS_SET(MFD_EXEC, 1),
    END(SECCOMP_RET_ERRNO | EACCES),
    END(SECCOMP_RET_ALLOW),
};

static const struct sock_filter trap_file[] = {
    LOAD(nr), UNLESS_EQ(__NR_memfd_create, 1),
    END(SECCOMP_RET_TRAP),
    END(SECCOMP_RET_ALLOW),
};

static int filter(const struct sock_filter *f, size_t n)
{
    struct sock_fprog prog = {(unsigned short)n, (struct sock_filter *)f};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

#define FILTER(f) filter(f, sizeof(f) / sizeof((f)[0]))

int main(int argc, char **argv)
{
    int bad;

    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "shared") == 0)
        bad = FILTER(no_shared);
    else if (strcmp(argv[1], "file") == 0)
        bad = FILTER(no_file);
    else if (strcmp(argv[1], "trap") == 0)
        bad = FILTER(trap_file);
    else
        bad = prctl(PR_SET_MDWE, 1, 0, 0, 0);
    if (bad) {
        fprintf(stderr, "refuse_exec %s: %s\n", argv[1], strerror(errno));
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
