/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine-gen ARCHITECTURE: a program of the build. Prints a C header with
 * the filters that os/confine.h speaks of, made by libseccomp from the table
 * below, which is the whole policy.
 *
 * A call that some host's C library makes and this table lacks ends the
 * monitor there, so siblings stand together: what an older or newer library
 * uses for the same function, and what another architecture has instead.
 * Names that this libseccomp does not know, and calls that the architecture
 * does not have, are passed over.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine_pid.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* The kinds of threads, in the order of os/confine.h. */
enum { M = 1, A = 2, V = 4 };
static const struct {
    const char *name;
    unsigned bit;
} kinds[] = {{"vmm", M}, {"api", A}, {"vcpu", V}};

/* What an argument must be: (argument & mask) == value. */
struct condition {
    bool is;
    unsigned argument;
    uint64_t mask, value;
};
#define ANY {false, 0, 0, 0}
#define IS(argument, value) {true, argument, UINT32_MAX, value}
#define BITS(argument, mask, value) {true, argument, mask, value}
/* An ioctl by group and number, the lower half of the request: the rest is
 * the size of a struct, which differs between architectures. */
#define REQUEST(group, number) \
    {true, 1, 0xffff, (uint64_t)(group) << 8 | (number)}
#define KVM(number) REQUEST(0xae, number)

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

static const struct rule {
    unsigned threads;
    const char *calls; /* names, with a space between them */
    struct condition condition;
    const char *reason;
} rules[] = {
    /* --- what every thread may do --- */
    {M | A | V, "futex", ANY, "locks, and waiting for other threads"},
    {M | A | V, "clock_gettime clock_gettime64 gettimeofday time", ANY,
     "clocks, where the kernel does not map them"},
    {M | A | V, "nanosleep clock_nanosleep sched_yield", ANY,
     "short waits"},
    {M | A | V, "poll ppoll", ANY,
     "a vCPU's sleep; a log or terminal that may be full"},
    {M | A | V, "read write readv writev", ANY,
     "wake-ups of threads, the log, the console"},
    {M | A | V, "close", ANY, "descriptors of what is freed"},
    {M | A | V, "fstat", ANY, "the length of a mapped file"},
    {M | A | V, "mmap mprotect", BITS(2, PROT_EXEC, 0),
     "memory, but none that may be executed: translated code has its place "
     "before the filter comes"},
    {M | A | V, "munmap mremap brk madvise", ANY,
     "memory of the C library, tables that grow, memory given back"},
    {M | A | V, "rt_sigreturn rt_sigprocmask sigaltstack rt_sigaction", ANY,
     "handlers of signals: a mapped file that was cut short, the last words "
     "of a process that ends"},
    {M | A | V, "restart_syscall", ANY, "the kernel's, after a stop"},
    {M | A | V, "getpid gettid", ANY, "for the next"},
    {M | A | V, "tgkill", IS(0, SQ_CONFINE_PID),
     "to make a vCPU leave the guest, and abort(): this process alone"},
    {M | A | V, "prctl", IS(0, PR_GET_NAME), "the thread's name in the log"},
    {M | A | V, "prctl", IS(0, PR_SET_VMA), "names of memory"},
    {M | A | V, "getrandom", ANY, "the C library's heap"},
    {M | A | V, "sched_getaffinity", ANY,
     "the C library asks how many CPUs there are"},
    {M | A | V, "exit exit_group", ANY, "the end"},
    /* TCGETS, TCSETS, TCSETSW; with the third version of the struct. */
    {M | A | V, "ioctl", REQUEST('T', 0x01), "a terminal's state,"},
    {M | A | V, "ioctl", REQUEST('T', 0x02), "which is restored on each way"},
    {M | A | V, "ioctl", REQUEST('T', 0x03), "that a process ends"},
    {M | A | V, "ioctl", REQUEST('T', 0x04), "the same"},
    {M | A | V, "ioctl", REQUEST('T', 0x2a), "the same"},
    {M | A | V, "ioctl", REQUEST('T', 0x2b), "the same"},
    {M | A | V, "ioctl", REQUEST('T', 0x2c), "the same"},
    {M | A | V, "ioctl", REQUEST('T', 0x2d), "the same"},

    /* --- KVM --- */
    {V, "ioctl", KVM(0x80), "KVM_RUN"},
    {M | V, "ioctl", KVM(0x61), "KVM_IRQ_LINE"},
    {M | V, "ioctl", KVM(0xa5), "KVM_SIGNAL_MSI; KVM_SET_XSAVE"},
    {V, "ioctl", KVM(0x81), "KVM_GET_REGS"},
    {V, "ioctl", KVM(0x82), "KVM_SET_REGS"},
    {V, "ioctl", KVM(0x83), "KVM_GET_SREGS"},
    {V, "ioctl", KVM(0x84), "KVM_SET_SREGS"},
    {V, "ioctl", KVM(0x88), "KVM_GET_MSRS"},
    {V, "ioctl", KVM(0x89), "KVM_SET_MSRS"},
    {V, "ioctl", KVM(0x8b), "KVM_SET_SIGNAL_MASK"},
    {V, "ioctl", KVM(0x8e), "KVM_GET_LAPIC"},
    {V, "ioctl", KVM(0x8f), "KVM_SET_LAPIC"},
    {V, "ioctl", KVM(0x98), "KVM_GET_MP_STATE"},
    {V, "ioctl", KVM(0x99), "KVM_SET_MP_STATE"},
    {V, "ioctl", KVM(0x9b), "KVM_SET_GUEST_DEBUG"},
    {V, "ioctl", KVM(0x9f), "KVM_GET_VCPU_EVENTS"},
    {V, "ioctl", KVM(0xa0), "KVM_SET_VCPU_EVENTS"},
    {V, "ioctl", KVM(0xa1), "KVM_GET_DEBUGREGS"},
    {V, "ioctl", KVM(0xa2), "KVM_SET_DEBUGREGS"},
    {V, "ioctl", KVM(0xa4), "KVM_GET_XSAVE"},
    {V, "ioctl", KVM(0xa6), "KVM_GET_XCRS"},
    {V, "ioctl", KVM(0xa7), "KVM_SET_XCRS"},
    {V, "ioctl", KVM(0xab), "KVM_GET_ONE_REG"},
    {V, "ioctl", KVM(0xac), "KVM_SET_ONE_REG"},
    {V, "ioctl", KVM(0xae), "KVM_ARM_VCPU_INIT: PSCI turns a CPU on"},
    {M | V, "ioctl", KVM(0x03), "KVM_CHECK_EXTENSION"},
    {M | V, "ioctl", KVM(0x42), "KVM_GET_DIRTY_LOG"},
    {M | V, "ioctl", KVM(0x46), "KVM_SET_USER_MEMORY_REGION"},
    {M | V, "ioctl", KVM(0x6a), "KVM_SET_GSI_ROUTING"},
    {M | V, "ioctl", KVM(0x76), "KVM_IRQFD"},
    {M | V, "ioctl", KVM(0x79), "KVM_IOEVENTFD"},
    {M | V, "ioctl", KVM(0xe1), "KVM_SET_DEVICE_ATTR: the GIC"},
    {M | V, "ioctl", KVM(0xe2), "KVM_GET_DEVICE_ATTR"},
    {V, "rt_sigtimedwait rt_sigtimedwait_time64", ANY,
     "takes the signal that made KVM_RUN return"},

    /* --- files: drives, pmem, the log, the metrics --- */
    {M | A, "openat open openat2", ANY,
     "drives that change or come; a log and metrics that are configured"},
    {M | A, "newfstatat fstatat64 stat lstat statx", ANY, "what they are"},
    {V, "newfstatat", BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH),
     "fstat() of some C libraries"},
    {V, "statx", BITS(2, AT_EMPTY_PATH, AT_EMPTY_PATH), "the same"},
    {M | A, "access faccessat faccessat2 readlink readlinkat", ANY,
     "the same"},
    {M | A, "lseek fcntl flock dup dup3", ANY,
     "lengths, flags, and that nobody else writes"},
    {M | A, "unlink unlinkat", ANY, "sockets and temporary files"},
    {M, "pread64 pwrite64 preadv pwritev preadv2 pwritev2", ANY,
     "disk requests"},
    {M, "fallocate ftruncate fdatasync fsync", ANY,
     "discard, write zeroes, flush; memory that is given back"},
    {M, "io_uring_setup io_uring_enter io_uring_register", ANY,
     "drives with io_engine Async; what is submitted this way is not "
     "filtered"},
    {M, "memfd_create", ANY, "memory that the guest shares"},

    /* --- sockets --- */
    {M | A, "socket socketpair", IS(0, AF_UNIX),
     "vsock, vhost-user, the API: of this host alone"},
    {M | A, "connect bind listen accept accept4 shutdown", ANY,
     "the same; published ports, whose sockets are made before"},
    {M | A, "getsockopt setsockopt getsockname getpeername", ANY,
     "the same"},
    {M | A, "sendto recvfrom sendmsg recvmsg", ANY, "the same"},

    /* --- events and threads --- */
    {M | A, "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait "
     "epoll_pwait2", ANY, "the event loop"},
    {M | A, "eventfd2 pipe2", ANY, "wake-ups"},
    {M, "signalfd4", ANY, "signals as events"},
    {M, "rt_sigtimedwait rt_sigtimedwait_time64 rt_sigpending", ANY,
     "signals"},
    {M, "clone", BITS(0, THREAD_FLAGS, THREAD_FLAGS),
     "disk workers; threads, not processes"},
    {M, "seccomp", ANY, "the API thread adds a filter of its own"},
    {M, "prctl", IS(0, PR_SET_NO_NEW_PRIVS), "the same"},
    {M | A, "set_robust_list rseq", ANY, "the C library, in a new thread"},
    {M | A, "prctl", IS(0, PR_SET_NAME), "the thread's name"},

    /* --- the rest --- */
    {M | A, "ioctl", REQUEST('T', 0xca), "TUNSETIFF: a tap is tried out"},
    {M | A, "ioctl", REQUEST('T', 0xd0), "TUNSETOFFLOAD"},
    {M | A, "ioctl", REQUEST('T', 0xd8), "TUNSETVNETHDRSZ"},
    {M | A, "ioctl", REQUEST(0x89, 0x33), "SIOCGIFINDEX: is there such a tap?"},
    {M, "ioctl", REQUEST('T', 0x13), "TIOCGWINSZ: squib run, a terminal"},
    {M, "kill", BITS(1, UINT32_MAX, 9), "ends the network helper"},
    {M, "wait4 waitid", ANY, "and takes its status"},
    {M | A, "getrusage sysinfo uname getuid geteuid getgid getegid", ANY,
     "metrics; questions of the C library"},
    {M, "getrlimit setrlimit", ANY,
     "no core file when the process ends as a signal would end it"},
    {M, "prlimit64", IS(0, 0), "the same"},
};

/* New threads are made with clone(), whose flags a filter can see. */
static const struct rule absent = {
    M, "clone3", ANY, "as if the kernel had none: the C library takes clone",
};

static _Noreturn void die(const char *what, const char *name)
{
    fprintf(stderr, "confine-gen: %s %s\n", what, name);
    exit(1);
}

static void add(scmp_filter_ctx ctx, const struct rule *r, uint32_t action)
{
    const struct condition *c = &r->condition;
    char names[256], *save, *name;

    if (strlen(r->calls) >= sizeof(names))
        die("too long:", r->calls);
    strcpy(names, r->calls);
    for (name = strtok_r(names, " ", &save); name;
         name = strtok_r(NULL, " ", &save)) {
        int call = seccomp_syscall_resolve_name(name), rc;

        if (call == __NR_SCMP_ERROR)
            continue;
        rc = c->is ? seccomp_rule_add(ctx, action, call, 1,
                                      SCMP_CMP(c->argument,
                                               SCMP_CMP_MASKED_EQ, c->mask,
                                               c->value))
                   : seccomp_rule_add(ctx, action, call, 0);
        if (rc)
            die(strerror(-rc), name);
    }
}

static void print_program(scmp_filter_ctx ctx, const char *name)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    struct sock_filter i;

    if (fd < 0 || seccomp_export_bpf(ctx, fd) || lseek(fd, 0, SEEK_SET))
        die("cannot export", name);
    printf("static const struct sock_filter confine_%s[] = {\n", name);
    while (read(fd, &i, sizeof(i)) == (ssize_t)sizeof(i))
        printf("    {0x%02x, %u, %u, 0x%08x},\n", i.code, i.jt, i.jf, i.k);
    printf("};\n");
    close(fd);
}

static void print_filter(uint32_t arch, const char *name, unsigned bit)
{
    /* Also for calls of another architecture's numbers. */
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

    if (!ctx ||
        seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP))
        die("cannot make a filter for", name);
    if (arch != seccomp_arch_native() &&
        (seccomp_arch_remove(ctx, seccomp_arch_native()) ||
         seccomp_arch_add(ctx, arch)))
        die("libseccomp cannot make filters for this", "architecture");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].threads & bit)
            add(ctx, &rules[i], SCMP_ACT_ALLOW);
    if (absent.threads & bit)
        add(ctx, &absent, SCMP_ACT_ERRNO(38)); /* ENOSYS */
    print_program(ctx, name);
    seccomp_release(ctx);
}

/* Names for the last words of a process; see sq_confine_call_name(). */
static void print_names(uint32_t arch)
{
    printf("static const char confine_names[] =\n");
    for (int n = 0; n < 512; n++) {
        char *name = seccomp_syscall_resolve_num_arch(arch, n);

        printf("    \"%s\\0\"\n", name ? name : "");
        free(name);
    }
    printf("    ;\n");
}

int main(int argc, char **argv)
{
    uint32_t arch = argc == 2 ? seccomp_arch_resolve_name(argv[1]) : 0;

    if (!arch)
        die("not an architecture:", argc > 1 ? argv[1] : "");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        print_filter(arch, kinds[i].name, kinds[i].bit);
    print_names(arch);
    return 0;
}
