/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test program expects of the machine under it, as QEMU has it:
 *
 *   0xf4       isa-debug-exit: a write ends the machine with a status
 *   0xe0       pc-testdev: four bytes that read as they were written
 *   0xe4, 0xe8 pc-testdev: "flush a page", which needs nothing here; one
 *              more byte that can be read back
 *   0x2000..   pc-testdev: a port for each interrupt line, its level
 *   0x510      fw_cfg: signature, size of memory, number of CPUs
 *
 * and in memory, at 0xff000000, pc-testdev's 64 KiB that keep what is written
 * although each access goes to the device.
 *
 * (QEMU docs/specs/fw_cfg.rst; hw/misc/debugexit.c, pc-testdev.c for the
 * interface.) Machines have none of it unless they are asked to.
 */
#ifndef SQ_DEV_LEGACY_TESTDEV_H
#define SQ_DEV_LEGACY_TESTDEV_H

#include <pthread.h>
#include <stdint.h>

#include <squib/error.h>

#include "core/irq.h"
#include "dev/bus.h"

#define SQ_TESTDEV_LINES 24
#define SQ_TESTDEV_MEM_GPA 0xff000000u
#define SQ_TESTDEV_MEM_LEN 0x10000u

struct sq_testdev_config {
    uint64_t mem_len; /* bytes of RAM */
    uint32_t vcpus;
    struct sq_irq line[SQ_TESTDEV_LINES];
    /* The guest has ended itself; a vCPU thread. Only the first counts. */
    void (*exit)(void *ctx, uint32_t value);
    void *ctx;
};

struct sq_testdev {
    struct sq_testdev_config config;
    pthread_mutex_t lock; /* a leaf, of all below */
    uint8_t latch[4], byte[4];
    uint8_t *mem; /* SQ_TESTDEV_MEM_LEN bytes */
    uint16_t key; /* of fw_cfg */
    uint32_t at;  /* bytes of it that were read */
};

/* Adds itself to both buses. On error nothing needs to be undone but the
 * buses' entries, which must not be used. */
int sq_testdev_init(struct sq_testdev *t,
                    const struct sq_testdev_config *config,
                    struct sq_bus *ports, struct sq_bus *mmio,
                    struct squib_error *err);
void sq_testdev_fini(struct sq_testdev *t);

#endif
