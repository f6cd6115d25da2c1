/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of devices: one for MMIO, one for x86 ports.
 *
 * Devices are added while the machine is built; then the bus is constant
 * and any vCPU thread may use it. A device's callbacks may therefore run on
 * several threads at once and lock for themselves.
 */
#ifndef SQ_DEV_BUS_H
#define SQ_DEV_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#define SQ_BUS_DEVICES_MAX 128

/* `off` is relative to the device's base; len is 1..8 and the access never
 * leaves the device's range. read must fill all of data. Bytes are
 * little-endian. */
struct sq_bus_ops {
    void (*read)(void *dev, uint64_t off, uint8_t *data, unsigned len);
    void (*write)(void *dev, uint64_t off, const uint8_t *data,
                  unsigned len);
};

struct sq_bus_slot {
    uint64_t base, len;
    const struct sq_bus_ops *ops;
    void *dev;
    const char *name; /* static storage, for messages */
};

struct sq_bus {
    size_t count;
    struct sq_bus_slot slot[SQ_BUS_DEVICES_MAX]; /* sorted by base */
};

/* Errors: SQUIB_E_RANGE when it overlaps (names the other) or is full. */
int sq_bus_add(struct sq_bus *bus, const char *name, uint64_t base,
               uint64_t len, const struct sq_bus_ops *ops, void *dev,
               struct squib_error *err);

/* False when no device answers (wholly) there: reads then give all ones,
 * writes are dropped, as on real hardware. */
bool sq_bus_read(const struct sq_bus *bus, uint64_t where, uint8_t *data,
                 unsigned len);
bool sq_bus_write(const struct sq_bus *bus, uint64_t where,
                  const uint8_t *data, unsigned len);

#endif
