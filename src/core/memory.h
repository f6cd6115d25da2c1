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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/memory.h>

#define SQ_MEMORY_REGIONS_MAX 64

struct sq_memory_region {
    uint64_t gpa;
    uint64_t len;
    uint8_t *hva;
    int fd; /* memfd that backs it at offset 0, for sharing */
};

/* Told after the host wrote guest memory. Any thread. */
struct sq_memory_watcher {
    void (*wrote)(void *ctx, uint64_t gpa, uint64_t len);
    void *ctx;
};

size_t sq_memory_region_count(const struct squib_memory *mem);
const struct sq_memory_region *
sq_memory_region_at(const struct squib_memory *mem, size_t i);

/* Pointer to [gpa, gpa + len) if it lies within one region, else NULL. A
 * zero len is allowed anywhere within a region. Valid as long as mem. */
void *sq_memory_ptr(const struct squib_memory *mem, uint64_t gpa,
                    uint64_t len);

/* Reports a write done through a pointer. Any thread, cheap. */
void sq_memory_wrote(struct squib_memory *mem, uint64_t gpa, uint64_t len);

/* Installs (or with wrote == NULL removes) the one watcher: the VM's
 * backend. Not while other threads write. */
void sq_memory_watch(struct squib_memory *mem,
                     struct sq_memory_watcher watcher);

#endif
