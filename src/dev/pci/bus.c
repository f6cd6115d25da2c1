/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_rwlockattr_setkind_np */
#include "dev/pci/bus.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* The host bridge has the identifiers that a Firecracker guest finds. */
#define BRIDGE_VENDOR 0x8086u
#define BRIDGE_DEVICE 0x0d57u
#define BRIDGE_CLASS 0x060000u

#define ADDRESS_ENABLE 0x80000000u
#define FUNCTION_LEN 0x1000u /* of memory-mapped configuration space */

static const struct sq_pci_ops bridge_ops = {0};

void sq_pci_bus_init(struct sq_pci_bus *bus,
                     const struct sq_pci_bus_config *config)
{
    static const struct sq_pci_ids ids = {
        .vendor = BRIDGE_VENDOR,
        .device = BRIDGE_DEVICE,
        .class_code = BRIDGE_CLASS,
    };
    pthread_rwlockattr_t attr;

    memset(bus, 0, sizeof(*bus));
    bus->config = *config;
    pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
    /* vCPUs that read all the time must not keep the event thread out. */
    pthread_rwlockattr_setkind_np(
        &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&bus->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    sq_pci_function_init(&bus->bridge, &bridge_ops, &ids, 0);
    bus->slot[0] = &bus->bridge;
}

void sq_pci_bus_destroy(struct sq_pci_bus *bus)
{
    pthread_rwlock_destroy(&bus->lock);
}

/* --- where functions are decoded; lock held for writing ---------------- */

static uint64_t wanted_base(const struct sq_pci_bus *bus,
                            const struct sq_pci_function *fn)
{
    const struct sq_pci_bus_config *c = &bus->config;
    uint64_t gpa = sq_pci_bar(fn);

    if (!fn->bar_len ||
        !(sq_ld16(fn->reg + SQ_PCI_COMMAND) & SQ_PCI_COMMAND_MEMORY))
        return 0;
    if (gpa < c->window || fn->bar_len > c->window_len ||
        gpa - c->window > c->window_len - fn->bar_len)
        return 0;
    return gpa;
}

static void decode_at(struct sq_pci_function *fn, uint64_t base)
{
    if (base == fn->base)
        return;
    if (fn->base && fn->ops->leaving)
        fn->ops->leaving(fn);
    fn->base = base;
    if (base && fn->ops->arrived)
        fn->ops->arrived(fn);
}

int sq_pci_plug(struct sq_pci_bus *bus, struct sq_pci_function *fn,
                struct squib_error *err)
{
    uint32_t n = 0, tries = SQ_PCI_SLOTS - 1;

    pthread_rwlock_wrlock(&bus->lock);
    do {
        n = bus->last % (SQ_PCI_SLOTS - 1) + 1;
        bus->last = n;
    } while (bus->slot[n] && --tries);
    if (tries) {
        if (fn->bar_len)
            sq_st64(fn->reg + SQ_PCI_BAR,
                    (bus->config.window + n * SQ_PCI_SLOT_LEN) |
                        SQ_PCI_BAR_64BIT);
        bus->slot[n] = fn;
    }
    pthread_rwlock_unlock(&bus->lock);
    if (tries)
        return (int)n;
    return sq_err_set(err, SQUIB_E_RANGE, "all %u places on the PCI bus are "
                      "taken\n  do: take fewer, or unplug one first",
                      SQ_PCI_SLOTS - 1);
}

void sq_pci_unplug(struct sq_pci_bus *bus, struct sq_pci_function *fn)
{
    pthread_rwlock_wrlock(&bus->lock);
    for (uint32_t n = 1; n < SQ_PCI_SLOTS; n++) {
        if (bus->slot[n] != fn)
            continue;
        decode_at(fn, 0);
        bus->slot[n] = NULL;
    }
    pthread_rwlock_unlock(&bus->lock);
}

/* --- configuration space ----------------------------------------------- */

/* The function at a place as memory-mapped accesses name it; only function 0
 * of each device is there. */
static struct sq_pci_function *at(struct sq_pci_bus *bus, uint64_t where)
{
    return where / FUNCTION_LEN % 8 ? NULL
                                    : bus->slot[where / FUNCTION_LEN / 8 %
                                                SQ_PCI_SLOTS];
}

static bool crosses(uint64_t where, unsigned len)
{
    return where % FUNCTION_LEN + len > FUNCTION_LEN;
}

/* Lock held for writing: reading may have effects too. */
static void config_read(struct sq_pci_bus *bus, uint64_t where,
                        uint8_t *data, unsigned len)
{
    struct sq_pci_function *fn = at(bus, where);

    if (!fn || crosses(where, len))
        memset(data, 0xff, len);
    else
        sq_pci_config_read(fn, (unsigned)(where % FUNCTION_LEN), data, len);
}

static void config_write(struct sq_pci_bus *bus, uint64_t where,
                         const uint8_t *data, unsigned len)
{
    struct sq_pci_function *fn = at(bus, where);

    if (!fn || crosses(where, len))
        return;
    sq_pci_config_write(fn, (unsigned)(where % FUNCTION_LEN), data, len);
    decode_at(fn, wanted_base(bus, fn));
}

static void ecam_read(void *ctx, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_pci_bus *bus = ctx;

    pthread_rwlock_wrlock(&bus->lock);
    config_read(bus, off, data, len);
    pthread_rwlock_unlock(&bus->lock);
}

static void ecam_write(void *ctx, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    struct sq_pci_bus *bus = ctx;

    pthread_rwlock_wrlock(&bus->lock);
    config_write(bus, off, data, len);
    pthread_rwlock_unlock(&bus->lock);
}

const struct sq_bus_ops sq_pci_ecam_ops = {ecam_read, ecam_write};

/* --- ports ------------------------------------------------------------- */

/* Where the address register points, as above; false: at no function of bus
 * 0, or it is switched off. */
static bool selected(const struct sq_pci_bus *bus, uint64_t off,
                     uint64_t *where)
{
    uint32_t a = bus->address;

    *where = (uint64_t)(a >> 8 & 0xff) * FUNCTION_LEN + (a & 0xfc) + off - 4;
    return (a & ADDRESS_ENABLE) && (a >> 16 & 0xff) == 0 && off >= 4;
}

static bool is_cf9(const struct sq_pci_bus *bus, uint64_t off, unsigned len)
{
    return off == 1 && len == 1 && bus->config.port_cf9;
}

static void port_read(void *ctx, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_pci_bus *bus = ctx;
    uint64_t where;

    if (is_cf9(bus, off, len)) {
        bus->config.port_cf9->read(bus->config.port_cf9_ctx, 0, data, len);
        return;
    }
    memset(data, 0xff, len);
    pthread_rwlock_wrlock(&bus->lock);
    if (off == 0 && len == 4)
        sq_st32(data, bus->address);
    else if (selected(bus, off, &where))
        config_read(bus, where, data, len);
    pthread_rwlock_unlock(&bus->lock);
}

static void port_write(void *ctx, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    struct sq_pci_bus *bus = ctx;
    uint64_t where;

    if (is_cf9(bus, off, len)) {
        bus->config.port_cf9->write(bus->config.port_cf9_ctx, 0, data, len);
        return;
    }
    pthread_rwlock_wrlock(&bus->lock);
    if (off == 0 && len == 4)
        bus->address = sq_ld32(data);
    else if (selected(bus, off, &where))
        config_write(bus, where, data, len);
    pthread_rwlock_unlock(&bus->lock);
}

const struct sq_bus_ops sq_pci_port_ops = {port_read, port_write};

/* --- memory ------------------------------------------------------------ */

/* Lock held for reading. *off is within the window, then the function. */
static struct sq_pci_function *decode(struct sq_pci_bus *bus, uint64_t *off,
                                      unsigned len)
{
    uint64_t gpa = bus->config.window + *off;

    for (uint32_t n = 1; n < SQ_PCI_SLOTS; n++) {
        struct sq_pci_function *fn = bus->slot[n];

        if (!fn || !fn->base || gpa < fn->base ||
            gpa - fn->base >= fn->bar_len)
            continue;
        *off = gpa - fn->base;
        return *off + len <= fn->bar_len ? fn : NULL;
    }
    return NULL;
}

static void window_read(void *ctx, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_pci_bus *bus = ctx;
    struct sq_pci_function *fn;

    pthread_rwlock_rdlock(&bus->lock);
    fn = decode(bus, &off, len);
    if (fn)
        fn->ops->bar_read(fn, off, data, len);
    else
        memset(data, 0, len);
    pthread_rwlock_unlock(&bus->lock);
}

static void window_write(void *ctx, uint64_t off, const uint8_t *data,
                         unsigned len)
{
    struct sq_pci_bus *bus = ctx;
    struct sq_pci_function *fn;

    pthread_rwlock_rdlock(&bus->lock);
    fn = decode(bus, &off, len);
    if (fn)
        fn->ops->bar_write(fn, off, data, len);
    pthread_rwlock_unlock(&bus->lock);
}

const struct sq_bus_ops sq_pci_window_ops = {window_read, window_write};
