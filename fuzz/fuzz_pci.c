/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of ill will against the PCI bus, MSI-X and the virtio-pci
 * transport: configuration space through memory and ports, base addresses,
 * registers, vectors, rings and notifications come from the fuzzer, and
 * devices come and go meanwhile. What must hold: no access outside memory or
 * a region, no endless loop, no leak, messages only as the guest wrote them,
 * and a reset always leads back to a working device.
 *
 * Build: clang -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined
 *        -Iinclude -Isrc fuzz/fuzz_pci.c and the sources of base, os,
 *        core/memory.c and dev.
 * Run:   ./fuzz_pci -max_len=4096
 *
 * Input: commands of 12 bytes each, see step(). Slots move on each time that
 * a device comes; commands go to the slot that it is in.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "dev/bus.h"
#include "dev/pci/bus.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/pci.h"
#include "dev/virtio/rng.h"

#define ECAM 0x20000000ull
#define WINDOW 0x4000000000ull
#define WINDOW_LEN 0x4000000ull
#define RAM 0x80000u
#define RING(q) (0x1000u * ((q) + 1))
#define DEVICES 3u

struct machine {
    struct squib_memory *mem;
    struct sq_poller *poller;
    struct sq_bus mmio, pio;
    struct sq_pci_bus pci;
    struct sq_virtio_device *dev[DEVICES];
    unsigned slot[DEVICES]; /* where it is, or was */
    struct sq_work stop;
    unsigned bells;
};

static void stop(void *ctx) { sq_poller_stop(ctx); }

static void on_msi(void *ctx, uint64_t gpa, uint32_t data)
{
    (void)ctx;
    (void)data;
    if (gpa & 3)
        abort(); /* these bits cannot be written */
}

/* Each address rings once at most. */
static void on_bell(void *ctx, uint64_t gpa, int fd, bool on)
{
    struct machine *m = ctx;

    if (fd < 0 || gpa < WINDOW || gpa >= WINDOW + WINDOW_LEN)
        abort();
    m->bells += on ? 1u : -1u;
    if (m->bells > DEVICES * SQ_VIRTIO_QUEUES_MAX)
        abort();
}

/* --- devices ----------------------------------------------------------- */

static void plug(struct machine *m, unsigned n)
{
    const struct sq_virtio_balloon_config balloon = {
        .amount_mib = 1, .reporting = true, .hinting = true,
    };
    struct sq_virtio_pci_config config = {
        .mem = m->mem,
        .poller = m->poller,
        .msi = {on_msi, m},
        .doorbell = n == 1 ? NULL : on_bell,
        .doorbell_ctx = m,
    };
    struct sq_virtio_pci *pci;
    int slot;

    if (m->dev[n])
        return;
    if (n == 0 ? sq_virtio_balloon_new(&balloon, &m->dev[n], NULL)
               : sq_virtio_rng_new(&m->dev[n], NULL))
        abort();
    config.dev = m->dev[n];
    if (sq_virtio_pci_new(&config, &pci, NULL))
        abort();
    slot = sq_pci_plug(&m->pci, sq_virtio_pci_function(pci), NULL);
    if (slot < 1)
        abort();
    m->slot[n] = (unsigned)slot;
}

static void unplug(struct machine *m, unsigned n)
{
    struct sq_virtio_device *dev = m->dev[n];

    if (!dev)
        return;
    m->dev[n] = NULL;
    sq_pci_unplug(&m->pci, sq_virtio_pci_function(sq_virtio_pci_of(dev)));
    sq_transport_free(dev->transport);
}

static void pump(struct machine *m)
{
    sq_poller_post(m->poller, &m->stop);
    sq_poller_run(m->poller, NULL);
}

/* --- the guest --------------------------------------------------------- */

static void put(struct machine *m, uint64_t gpa, uint64_t v, unsigned len)
{
    uint8_t raw[8];

    sq_st64(raw, v);
    sq_bus_write(&m->mmio, gpa, raw, len);
}

static uint64_t get(struct machine *m, uint64_t gpa, unsigned len)
{
    uint8_t raw[8] = {0};

    sq_bus_read(&m->mmio, gpa, raw, len);
    return sq_ld64(raw);
}

/* A driver of device n that knows what it does. */
static void start(struct machine *m, unsigned n, uint32_t features)
{
    const uint64_t config = ECAM + m->slot[n] * 0x8000u;
    const uint64_t bar = WINDOW + m->slot[n] * SQ_PCI_SLOT_LEN;
    unsigned queues;

    put(m, config + 0x10, bar, 8);
    put(m, config + 4, 6, 2);
    put(m, config + 0x42, 0x8000, 2); /* MSI-X */
    put(m, bar + 0x14, 0, 1);
    put(m, bar + 0x14, 3, 1);
    put(m, bar + 0x08, 0, 4);
    put(m, bar + 0x0c, features & (uint32_t)get(m, bar + 0x04, 4), 4);
    put(m, bar + 0x08, 1, 4);
    put(m, bar + 0x0c, 1, 4);
    put(m, bar + 0x14, 11, 1);
    put(m, bar + 0x10, 0, 2);
    queues = (unsigned)get(m, bar + 0x12, 2);
    for (unsigned q = 0; q < queues && q < SQ_VIRTIO_QUEUES_MAX; q++) {
        put(m, bar + SQ_VIRTIO_PCI_MSIX + 16 * q, 0xfee00000 | q << 12, 8);
        put(m, bar + SQ_VIRTIO_PCI_MSIX + 16 * q + 8, 0x30 + q, 8);
        put(m, bar + 0x16, q, 2);
        put(m, bar + 0x18, 8, 2);
        put(m, bar + 0x1a, q, 2);
        put(m, bar + 0x20, RING(q), 8);
        put(m, bar + 0x28, RING(q) + 0x400, 8);
        put(m, bar + 0x30, RING(q) + 0x800, 8);
        put(m, bar + 0x1c, 1, 2);
    }
    put(m, bar + 0x14, 15, 1);
}

/* One command: an operation, a small number, a halfword, eight bytes. */
static void step(struct machine *m, const uint8_t *c)
{
    unsigned op = c[0], n = c[1] % DEVICES, len = c[1] / 16 % 8 + 1;
    uint16_t h = sq_ld16(c + 2);
    const uint64_t config = ECAM + m->slot[n] * 0x8000u;
    const uint64_t bar = WINDOW + m->slot[n] * SQ_PCI_SLOT_LEN;
    uint8_t raw[8];
    uint8_t *ring = sq_memory_ptr(m->mem, RING(h % 4), 0x1000);

    memcpy(raw, c + 4, 8);
    switch (op % 14) {
    case 0: sq_bus_write(&m->mmio, config + h % 0x110, raw, len); break;
    case 1: sq_bus_read(&m->mmio, config + h % 0x110, raw, len); break;
    case 2: /* anywhere in configuration space */
        sq_bus_read(&m->mmio, ECAM + sq_ld32(raw) % 0x100000, raw, len);
        break;
    case 3:
        if (h & 0x8000)
            sq_bus_read(&m->pio, 0xcf8 + h % 8, raw, len);
        else
            sq_bus_write(&m->pio, 0xcf8 + h % 8, raw, len);
        break;
    case 4: sq_bus_write(&m->mmio, bar + h % 0x9000, raw, len); break;
    case 5: sq_bus_read(&m->mmio, bar + h % 0x9000, raw, len); break;
    case 6: /* a register of the common structure, of its own width */
        put(m, bar + h % 0x38, sq_ld64(raw), 1u << len % 4);
        break;
    case 7: /* the table of vectors */
        put(m, bar + SQ_VIRTIO_PCI_MSIX + h % 0x80 / 4 * 4, sq_ld64(raw),
            len & 1 ? 4 : 8);
        break;
    case 8: /* the base address: into the window, mostly */
        put(m, config + 0x10,
            len == 1 ? sq_ld64(raw)
                     : WINDOW + sq_ld32(raw) % (uint32_t)WINDOW_LEN, 8);
        break;
    case 9: put(m, config + 4, h, 2); break;
    case 10: start(m, n, sq_ld32(raw)); break;
    case 11: /* a chain */
        sq_st64(ring + 16 * (len - 1), sq_ld32(raw) % (RAM + 64));
        sq_st32(ring + 16 * (len - 1) + 8, h);
        sq_st16(ring + 16 * (len - 1) + 12, raw[4] % 8);
        sq_st16(ring + 16 * (len - 1) + 14, raw[5] % 9);
        sq_st16(ring + 0x404 + 2 * (sq_ld16(ring + 0x402) % 8),
                (uint16_t)(len - 1));
        sq_st16(ring + 0x402, (uint16_t)(sq_ld16(ring + 0x402) + 1));
        break;
    case 12: put(m, bar + SQ_VIRTIO_PCI_NOTIFY + 4 * (h % 9), h, 2); break;
    case 13:
        if (h & 1)
            plug(m, n);
        else
            unplug(m, n);
        break;
    }
    if (op >= 0x80)
        pump(m);
}

/* Whatever was done, a new device can be started. */
static void check_alive(struct machine *m)
{
    static const uint8_t zero[0x6000];

    for (unsigned n = 0; n < DEVICES; n++)
        unplug(m, n);
    if (m->bells)
        abort();
    plug(m, 0);
    memcpy(sq_memory_ptr(m->mem, RING(0), sizeof(zero)), zero,
           sizeof(zero));
    start(m, 0, UINT32_MAX);
    pump(m);
    if (get(m, WINDOW + m->slot[0] * SQ_PCI_SLOT_LEN + 0x14, 1) != 15)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine m = {0};
    const struct sq_pci_bus_config config = {
        .window = WINDOW,
        .window_len = WINDOW_LEN,
    };

    if (squib_memory_new(&m.mem, NULL) != 0)
        return 0;
    if (squib_memory_add(m.mem, (struct squib_range){0, RAM}, NULL) ||
        sq_poller_new(&m.poller, NULL))
        abort();
    m.stop = (struct sq_work){.fn = stop, .ctx = m.poller};
    sq_pci_bus_init(&m.pci, &config);
    if (sq_bus_add(&m.mmio, "ecam", ECAM, SQ_PCI_ECAM_LEN, &sq_pci_ecam_ops,
                   &m.pci, NULL) ||
        sq_bus_add(&m.mmio, "window", WINDOW, WINDOW_LEN,
                   &sq_pci_window_ops, &m.pci, NULL) ||
        sq_bus_add(&m.pio, "ports", SQ_PCI_PORT, SQ_PCI_PORTS,
                   &sq_pci_port_ops, &m.pci, NULL))
        abort();
    for (unsigned n = 0; n < DEVICES; n++) {
        plug(&m, n);
        start(&m, n, UINT32_MAX);
    }
    for (size_t at = 0; at + 12 <= size; at += 12)
        step(&m, data + at);
    pump(&m);
    pump(&m);
    check_alive(&m);
    unplug(&m, 0);
    sq_pci_bus_destroy(&m.pci);
    sq_poller_free(m.poller);
    squib_memory_free(m.mem);
    return 0;
}
