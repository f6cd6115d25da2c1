/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/confine.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/linux/confine_pid.h"

#ifdef SQ_HAVE_CONFINE
#include "confine_programs.h"
#endif

/* Kernels since 4.17. */
#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW 4u
#endif

/* The kernel's limit. */
#define INSNS_MAX 4096u

#ifdef SQ_HAVE_CONFINE

#define PROGRAM(name) {confine_##name, SQ_ARRAY_LEN(confine_##name)}

static const struct sq_confine built_in = {
    .program = {
        [SQ_CONFINE_VMM] = PROGRAM(vmm),
        [SQ_CONFINE_API] = PROGRAM(api),
        [SQ_CONFINE_VCPU] = PROGRAM(vcpu),
    },
};

static const char *missing(void)
{
    const unsigned trap = SECCOMP_RET_TRAP;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) == 0
               ? NULL
               : "this kernel does not filter system calls (seccomp)";
}

const struct sq_confine *sq_confine_default(const char **why)
{
    const char *text = missing();

    if (why)
        *why = text;
    return text ? NULL : &built_in;
}

/* The numbers' names, one after the other, unused numbers empty. */
const char *sq_confine_call_name(int number)
{
    const char *name = confine_names;
    const char *end = confine_names + sizeof(confine_names) - 1;

    if (number < 0)
        return NULL;
    while (number-- && name < end)
        name += strlen(name) + 1;
    return name < end && *name ? name : NULL;
}

#else

#ifndef SQ_NO_CONFINE /* Meson knows why */
#define SQ_NO_CONFINE "this squib was built without filters of system calls"
#endif

const struct sq_confine *sq_confine_default(const char **why)
{
    if (why)
        *why = SQ_NO_CONFINE;
    return NULL;
}

const char *sq_confine_call_name(int number)
{
    (void)number;
    return NULL;
}

#endif

/* Mitigations of speculation are not part of this: by default kernels before
 * 5.16 would switch one on that makes every store and load after it slow. */
static int set_filter(const struct sock_fprog *prog)
{
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_SPEC_ALLOW, prog) == 0)
        return 0;
    return errno == EINVAL ? (int)syscall(SYS_seccomp,
                                          SECCOMP_SET_MODE_FILTER, 0, prog)
                           : -1;
}

int sq_confine_thread(const struct sq_confine *c, enum sq_confine_kind kind,
                      struct squib_error *err)
{
    struct sock_filter insns[INSNS_MAX];
    struct sock_fprog prog = {.filter = insns};

    if (!c)
        return 0;
    prog.len = c->program[kind].count;
    if (prog.len > INSNS_MAX)
        return sq_err_set(err, SQUIB_E_RANGE, "the filter of system calls "
                          "has %u instructions; the kernel takes %u",
                          prog.len, INSNS_MAX);
    memcpy(insns, c->program[kind].insns, prog.len * sizeof(insns[0]));
    for (unsigned i = 0; i < prog.len; i++)
        if (BPF_CLASS(insns[i].code) == BPF_JMP &&
            insns[i].k == SQ_CONFINE_PID)
            insns[i].k = (uint32_t)getpid();
    /* The C library reads the time zone's file once, which the thread could
     * not do later. */
    tzset();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && set_filter(&prog) == 0)
        return 0;
    return sq_err_os(err, SQUIB_E_OS, errno,
                     "the filter of system calls is refused"
                     "\n  do: give --no-seccomp to run without one");
}
