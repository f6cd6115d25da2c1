/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory inside the monitor: the one place where a guest-physical
 * address becomes a pointer, always with a length, always checked.
 *
 * Whoever writes through such a pointer says so afterwards with
 * sq_memory_wrote(): the dirty log and the software CPU's decoded code
 * depend on it.
 */
#ifndef SQ_CORE_MEMORY_H
#define SQ_CORE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/memory.h>

#include "os/shm.h"

#define SQ_MEMORY_REGIONS_MAX 64

struct sq_memory_region {
    uint64_t gpa;
    uint64_t len;
    uint8_t *hva;
    int fd; /* backs it at offset 0, for sharing; -1: lent */
    /* Not RAM but memory of a device, which maps and unmaps it: it counts
     * in no size and is never given back. */
    bool lent;
    /* RAM that comes and goes: it counts in no size, and while it is hidden
     * no pointer to it is given out. Any thread reads it. */
    bool reserved;
    _Atomic bool hidden;
};

/* Told after the host wrote guest memory. Any thread. */
struct sq_memory_watcher {
    void (*wrote)(void *ctx, uint64_t gpa, uint64_t len);
    void *ctx;
};

/* Of ranges that are added from now on. */
void sq_memory_set_pages(struct squib_memory *mem,
                         enum sq_shm_pages pages);

size_t sq_memory_region_count(const struct squib_memory *mem);
const struct sq_memory_region *
sq_memory_region_at(const struct squib_memory *mem, size_t i);

/* Pointer to [gpa, gpa + len) if it lies within one region, else NULL. A
 * zero len is allowed anywhere within a region. Valid as long as mem. */
void *sq_memory_ptr(const struct squib_memory *mem, uint64_t gpa,
                    uint64_t len);

/* Pointer to as much of [gpa, gpa + *len) as lies in the region of its first
 * byte, whose length is then *len. NULL where there is no memory. */
void *sq_memory_piece(const struct squib_memory *mem, uint64_t gpa,
                      uint64_t *len);

/* Reports a write done through a pointer. Any thread, cheap. */
void sq_memory_wrote(struct squib_memory *mem, uint64_t gpa, uint64_t len);

/* Adds memory of a device at hva, so that other devices can transfer to and
 * from it. It must be writable for the host and stay there until it is taken
 * back, which names its gpa. For the guest the VM maps it (squib_vm_map()).
 * While no other thread uses `mem`. Errors: SQUIB_E_INVAL, SQUIB_E_RANGE as
 * squib_memory_add(). */
int sq_memory_lend(struct squib_memory *mem, struct squib_range range,
                   void *hva, struct squib_error *err);
void sq_memory_take_back(struct squib_memory *mem, uint64_t gpa);

/* Adds memory that is hidden at first; *hva is where it will be. The VM does
 * not map it. While no other thread uses `mem`. Errors: as
 * squib_memory_add(). */
int sq_memory_reserve(struct squib_memory *mem, struct squib_range range,
                      void **hva, struct squib_error *err);
/* Hides or shows the reserved range at gpa. Any thread. */
void sq_memory_show(struct squib_memory *mem, uint64_t gpa, bool shown);

/* Bytes of RAM at this moment: squib_memory_size() and the reserved ranges
 * that are shown. Any thread. */
uint64_t sq_memory_present(const struct squib_memory *mem);

/* As squib_memory_write(), for large pieces of what the guest starts with:
 * memory that is still all zero, so pages of zeroes are left alone and cost
 * nothing. `mapped`: src lies in a mapping of a file, and its pages are given
 * up as soon as they are copied, before the next are touched. */
int sq_memory_load(struct squib_memory *mem, uint64_t gpa, const void *src,
                   size_t len, bool mapped, struct squib_error *err);

/* Gives up the pages of [from, to), which lies in a mapping of a file that
 * nobody writes to: they come back when they are read again. */
void sq_memory_forget_file(const void *from, const void *to);

/* Gives [gpa, gpa + len) back to the host: it reads as zeroes afterwards and
 * costs no memory until it is written again. Only whole host pages that are
 * guest RAM; the rest of the range is left alone. Reported like a write.
 * Returns the bytes given back, or SQUIB_E_OS when the host refused (pages
 * may be gone by then). Any thread. */
int64_t sq_memory_discard(struct squib_memory *mem, uint64_t gpa,
                          uint64_t len, struct squib_error *err);

/* Installs (or with wrote == NULL removes) the one watcher: the VM's
 * backend. Not while other threads write. */
void sq_memory_watch(struct squib_memory *mem,
                     struct sq_memory_watcher watcher);

#endif
