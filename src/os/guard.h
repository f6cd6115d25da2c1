/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapped files that somebody may cut short.
 *
 * Touching a page of a mapping that its file no longer has, or that cannot be
 * read, raises SIGBUS. Where such memory belongs to a guest that must not end
 * the process: within a guarded range, a handler puts memory that reads as
 * zeroes in place of what is lost, notes that, and the access is repeated.
 *
 * A signal belongs to the whole process, so this is the one part of libsquib
 * that keeps state of the process: the table of guarded ranges and the action
 * that was there before. The handler is installed with a range, if it is not
 * there, and stays; a SIGBUS for any other reason goes to the action before.
 */
#ifndef SQ_OS_GUARD_H
#define SQ_OS_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "os/wake.h"

#define SQ_GUARDS_MAX 256u

/* The owner fills hva, len and fd before sq_guard_add(). */
struct sq_guard {
    uint8_t *hva; /* where the file is mapped, from its begin */
    uint64_t len; /* bytes of the mapping; up to a page's end is taken */
    int fd;
    _Atomic bool lost;   /* something is; read by any thread */
    struct sq_wake wake; /* rings the first time; for pollers */

    /* The handler's own. */
    uint64_t page_len;
    uint64_t left; /* bytes from hva that are still the file's */
    atomic_flag busy;
};

/* Guards a range until it is removed, which comes before it is unmapped and
 * while nobody touches it. Errors: SQUIB_E_OS, SQUIB_E_RANGE (too many). */
int sq_guard_add(struct sq_guard *g, struct squib_error *err);
void sq_guard_remove(struct sq_guard *g);

/* Looks whether the file is shorter than the mapping, and deals with it as
 * if that had been touched. Returns g->lost. Any thread. */
bool sq_guard_check(struct sq_guard *g);

/* Whether there are guarded ranges at all: cheap. */
bool sq_guard_any(void);

/* Whether all of [hva, hva + len) is guarded: may be touched without fear. Any
 * thread. */
bool sq_guard_covers(const void *hva, uint64_t len);

/* For those who cannot be told by a signal, because a hypervisor touches the
 * memory for them: checks all ranges; whether anything was lost, here or by
 * others, since the call before with the same *seen (0 at first). Any
 * thread. */
bool sq_guard_mend(uint32_t *seen);

#endif
