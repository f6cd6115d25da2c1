/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a thread may make. There are three kinds of threads,
 * each with a filter that the kernel applies to it for the rest of its life
 * and to all threads that it makes from then on: for code that a guest
 * managed to have executed in this process, most of the kernel is not there.
 *
 * The lists of calls are one table, in linux/confine_gen.c: a program of the
 * build, which has libseccomp turn them into programs for the kernel
 * (seccomp(2)). Nothing of that library is in what is built.
 *
 * A call that is not on the list is not carried out: the thread gets SIGSYS
 * with code SYS_SECCOMP. All functions may be called on any thread.
 */
#ifndef SQ_OS_CONFINE_H
#define SQ_OS_CONFINE_H

#include <squib/error.h>

enum sq_confine_kind {
    SQ_CONFINE_VMM, /* the event thread, once a guest runs, and its workers */
    SQ_CONFINE_API, /* the API thread */
    SQ_CONFINE_VCPU,
    SQ_CONFINE_COUNT,
};

struct sock_filter; /* linux/filter.h */

struct sq_confine {
    struct {
        const struct sock_filter *insns;
        unsigned short count;
    } program[SQ_CONFINE_COUNT];
};

/* What this build and this host have, or NULL; then `why` is a line for
 * people that says what is missing. `why` may be NULL. */
const struct sq_confine *sq_confine_default(const char **why);

/* Confines the calling thread. NULL does nothing. Once for each thread.
 * Errors: SQUIB_E_OS; the thread is then as before. */
int sq_confine_thread(const struct sq_confine *c, enum sq_confine_kind kind,
                      struct squib_error *err);

/* The name of a system call, NULL if it is not known. Handlers of signals
 * may call this. */
const char *sq_confine_call_name(int number);

#endif
