/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI bus, MSI-X and virtio-pci, driven as a guest would: by accesses to
 * ports, configuration space and the window of the functions' memory. */
#include "virtio_guest.h"

#include <pthread.h>
#include <stdlib.h>

#include "dev/pci/bus.h"
#include "dev/pci/msix.h"
#include "dev/virtio/pci.h"

#define ECAM 0xe0000000ull
#define WINDOW 0xfc00000000ull
#define WINDOW_LEN (1ull << 30)
#define MSI_GPA 0xfee01000ull

/* Registers of the common structure. */
enum {
    C_FEATURES_SEL = 0x00,
    C_FEATURES = 0x04,
    C_DRIVER_SEL = 0x08,
    C_DRIVER = 0x0c,
    C_CONFIG_VECTOR = 0x10,
    C_QUEUES = 0x12,
    C_STATUS = 0x14,
    C_GENERATION = 0x15,
    C_QUEUE_SEL = 0x16,
    C_QUEUE_SIZE = 0x18,
    C_QUEUE_VECTOR = 0x1a,
    C_QUEUE_ENABLE = 0x1c,
    C_QUEUE_NOTIFY_OFF = 0x1e,
    C_DESC = 0x20,
    C_AVAIL = 0x28,
    C_USED = 0x30,
};

/* Two queues; returns every chain. */
struct echo {
    struct sq_virtio_device dev;
    unsigned *freed;
};

static void echo_notify(struct sq_virtio_device *dev, unsigned q)
{
    struct sq_chain c;

    do {
        sq_queue_quiet(&dev->queue[q]);
        while (sq_virtio_pop(dev, q, &c))
            sq_virtio_push(dev, q, &c, 0);
    } while (sq_queue_rearm(&dev->queue[q]));
    sq_virtio_signal(dev, q);
}

static void echo_config(struct sq_virtio_device *dev, unsigned off,
                        unsigned len)
{
    (void)dev;
    assert_true(off + len <= 8);
}

static void echo_free(struct sq_virtio_device *dev)
{
    struct echo *e = SQ_CONTAINER_OF(dev, struct echo, dev);

    ++*e->freed;
    sq_virtio_device_destroy(dev);
    free(e);
}

static const struct sq_virtio_ops echo_ops = {
    .name = "echo",
    .id = 42,
    .queue_count = 2,
    .queue_size = 16,
    .notify = echo_notify,
    .config_written = echo_config,
    .free = echo_free,
};

struct fixture {
    struct guest g; /* memory, loop and rings; its MMIO is not used */
    struct sq_bus mmio, pio;
    struct sq_pci_bus pci;
    struct sq_virtio_device *dev; /* in slot 1 */
    unsigned freed;
    unsigned sent; /* messages, and the last one */
    uint64_t sent_gpa;
    uint32_t sent_data;
    unsigned cf9_writes;
    struct {
        uint64_t gpa;
        bool on;
    } bell[8];
    unsigned bells;
};

static void on_msi(void *ctx, uint64_t gpa, uint32_t data)
{
    struct fixture *f = ctx;

    f->sent++;
    f->sent_gpa = gpa;
    f->sent_data = data;
}

static void on_bell(void *ctx, uint64_t gpa, int fd, bool on)
{
    struct fixture *f = ctx;

    assert_true(fd >= 0);
    if (f->bells == SQ_ARRAY_LEN(f->bell))
        f->bells = 0;
    f->bell[f->bells].gpa = gpa;
    f->bell[f->bells++].on = on;
}

static void cf9_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    assert_int_equal(off, 0);
    assert_int_equal(len, 1);
    data[0] = 0x5a;
}

static void cf9_write(void *dev, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    assert_int_equal(off + len + data[0], 1 + 0x06);
    ++*(unsigned *)dev;
}

static const struct sq_bus_ops cf9_ops = {cf9_read, cf9_write};

static struct sq_virtio_device *add_echo(struct fixture *f, bool ring)
{
    struct echo *e = calloc(1, sizeof(*e));
    struct sq_virtio_pci_config config = {
        .mem = f->g.mem,
        .poller = f->g.poller,
        .msi = {on_msi, f},
        .doorbell = ring ? on_bell : NULL,
        .doorbell_ctx = f,
    };
    struct sq_virtio_pci *pci;

    e->freed = &f->freed;
    sq_virtio_device_init(&e->dev, &echo_ops, 1ull << 40);
    e->dev.config_len = 8;
    memcpy(e->dev.config, "abcdefgh", 8);
    config.dev = &e->dev;
    assert_int_equal(sq_virtio_pci_new(&config, &pci, NULL), 0);
    assert_ptr_equal(sq_virtio_pci_of(&e->dev), pci);
    return &e->dev;
}

static int plug(struct fixture *f, struct sq_virtio_device *dev)
{
    return sq_pci_plug(&f->pci,
                       sq_virtio_pci_function(sq_virtio_pci_of(dev)), NULL);
}

static void remove_device(struct fixture *f, struct sq_virtio_device *dev)
{
    sq_pci_unplug(&f->pci, sq_virtio_pci_function(sq_virtio_pci_of(dev)));
    sq_transport_free(dev->transport);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct sq_pci_bus_config config = {
        .window = WINDOW,
        .window_len = WINDOW_LEN,
        .port_cf9 = &cf9_ops,
        .port_cf9_ctx = &f->cf9_writes,
    };

    guest_init(&f->g);
    sq_pci_bus_init(&f->pci, &config);
    sq_bus_add(&f->mmio, "ecam", ECAM, SQ_PCI_ECAM_LEN, &sq_pci_ecam_ops,
               &f->pci, NULL);
    sq_bus_add(&f->mmio, "window", WINDOW, WINDOW_LEN, &sq_pci_window_ops,
               &f->pci, NULL);
    sq_bus_add(&f->pio, "ports", SQ_PCI_PORT, SQ_PCI_PORTS,
               &sq_pci_port_ops, &f->pci, NULL);
    f->dev = add_echo(f, false);
    assert_int_equal(plug(f, f->dev), 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unsigned had = f->freed;

    remove_device(f, f->dev);
    assert_int_equal(f->freed, had + 1);
    sq_pci_bus_destroy(&f->pci);
    guest_fini(&f->g);
    free(f);
    return 0;
}

/* --- a guest's accesses ------------------------------------------------ */

static uint64_t get(struct fixture *f, uint64_t gpa, unsigned len)
{
    uint8_t raw[8] = {0};

    assert_true(sq_bus_read(&f->mmio, gpa, raw, len));
    return sq_ld64(raw);
}

static void put(struct fixture *f, uint64_t gpa, uint64_t v, unsigned len)
{
    uint8_t raw[8];

    sq_st64(raw, v);
    assert_true(sq_bus_write(&f->mmio, gpa, raw, len));
}

static uint64_t config(unsigned slot, unsigned reg)
{
    return ECAM + slot * 0x8000u + reg;
}

static unsigned find_capability(struct fixture *f, uint8_t id, uint8_t type)
{
    unsigned at = (unsigned)get(f, config(1, 0x34), 1), n = 0;

    while (at && n++ < 16) {
        if (get(f, config(1, at), 1) == id &&
            (id != 9 || get(f, config(1, at + 3), 1) == type))
            return at;
        at = (unsigned)get(f, config(1, at + 1), 1);
    }
    return 0;
}

static void decode(struct fixture *f, unsigned slot, bool on)
{
    put(f, config(slot, 4), on ? 6 : 0, 2);
}

static void move(struct fixture *f, unsigned slot, uint64_t gpa)
{
    put(f, config(slot, 0x10), (uint32_t)gpa, 4);
    put(f, config(slot, 0x14), gpa >> 32, 4);
}

#define BAR1 (WINDOW + SQ_PCI_SLOT_LEN)

/* Turns on memory, MSI-X and all vectors. */
static void enable(struct fixture *f)
{
    unsigned msix = find_capability(f, 0x11, 0);

    decode(f, 1, true);
    put(f, config(1, msix + 2), SQ_MSIX_ENABLE, 2);
    for (unsigned v = 0; v < 3; v++) {
        put(f, BAR1 + SQ_VIRTIO_PCI_MSIX + 16 * v, MSI_GPA, 8);
        put(f, BAR1 + SQ_VIRTIO_PCI_MSIX + 16 * v + 8, 0x40 + v, 4);
        put(f, BAR1 + SQ_VIRTIO_PCI_MSIX + 16 * v + 12, 0, 4);
    }
}

/* A driver's start: vector 0 for changes, 1 and 2 for the queues. */
static void start(struct fixture *f)
{
    enable(f);
    put(f, BAR1 + C_STATUS, 0, 1);
    put(f, BAR1 + C_STATUS, 1, 1);
    put(f, BAR1 + C_STATUS, 3, 1);
    put(f, BAR1 + C_DRIVER_SEL, 1, 4);
    put(f, BAR1 + C_DRIVER, 1, 4);
    put(f, BAR1 + C_STATUS, 11, 1);
    put(f, BAR1 + C_CONFIG_VECTOR, 0, 2);
    for (unsigned q = 0; q < 2; q++) {
        guest_queue_place(&f->g, q, 8);
        put(f, BAR1 + C_QUEUE_SEL, q, 2);
        put(f, BAR1 + C_QUEUE_SIZE, 8, 2);
        put(f, BAR1 + C_QUEUE_VECTOR, q + 1, 2);
        put(f, BAR1 + C_DESC, f->g.q[q].desc, 8);
        put(f, BAR1 + C_AVAIL, (uint32_t)f->g.q[q].avail, 4);
        put(f, BAR1 + C_AVAIL + 4, 0, 4);
        put(f, BAR1 + C_USED, f->g.q[q].used, 8);
        put(f, BAR1 + C_QUEUE_ENABLE, 1, 2);
        assert_int_equal(get(f, BAR1 + C_QUEUE_ENABLE, 2), 1);
        assert_int_equal(get(f, BAR1 + C_QUEUE_NOTIFY_OFF, 2), q);
        assert_int_equal(get(f, BAR1 + C_DESC, 8), f->g.q[q].desc);
    }
    put(f, BAR1 + C_STATUS, 15, 1);
    assert_int_equal(get(f, BAR1 + C_STATUS, 1), 15);
    guest_pump(&f->g);
}

static const struct guest_buf one_buf = {GUEST_DATA, 64, true};

static void use(struct fixture *f, unsigned q)
{
    guest_add(&f->g, q, &one_buf, 1);
    put(f, BAR1 + SQ_VIRTIO_PCI_NOTIFY + 4 * q, q, 2);
    guest_pump(&f->g);
}

/* --- configuration space ----------------------------------------------- */

static void identity(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, config(0, 0), 4), 0x0d578086);
    assert_int_equal(get(f, config(0, 8), 4), 0x06000000);
    assert_int_equal(get(f, config(1, 0), 4), 0x106a1af4);
    assert_int_equal(get(f, config(1, 8), 4), 0xff000001);
    assert_int_equal(get(f, config(1, 0x2c), 4), 0x106a1af4);
    assert_int_equal(get(f, config(1, 0x0e), 1), 0); /* header type */
    assert_int_equal(get(f, config(1, 0x3d), 1), 0); /* no interrupt pin */
    assert_int_equal(get(f, config(2, 0), 4), UINT32_MAX);
    assert_int_equal(get(f, config(1, 0x1000), 4), UINT32_MAX);
    assert_int_equal(get(f, config(1, 0x100), 4), 0); /* no more of it */
    put(f, config(1, 0), 0, 8);
    put(f, config(0, 0x10), UINT64_MAX, 8);
    put(f, config(1, 0xffc), UINT64_MAX, 8); /* into function 1 */
    assert_int_equal(get(f, config(1, 0), 4), 0x106a1af4);
    assert_int_equal(get(f, config(0, 0x10), 8), 0);
    for (unsigned type = 1; type <= 5; type++)
        assert_int_not_equal(find_capability(f, 9, (uint8_t)type), 0);
}

static void ports(void **state)
{
    struct fixture *f = *state;
    uint8_t raw[4];

    sq_st32(raw, 0x80000800);
    assert_true(sq_bus_write(&f->pio, 0xcf8, raw, 4));
    assert_true(sq_bus_read(&f->pio, 0xcf8, raw, 4));
    assert_int_equal(sq_ld32(raw), 0x80000800);
    assert_true(sq_bus_read(&f->pio, 0xcfc, raw, 4));
    assert_int_equal(sq_ld32(raw), 0x106a1af4);
    sq_bus_read(&f->pio, 0xcfe, raw, 2);
    assert_int_equal(sq_ld16(raw), 0x106a);
    raw[0] = 0xff; /* a byte does not change the address */
    sq_bus_write(&f->pio, 0xcf8, raw, 1);
    sq_bus_read(&f->pio, 0xcfd, raw, 1);
    assert_int_equal(raw[0], 0x1a);
    for (uint32_t a = 0; a < 4; a++) {
        static const uint32_t nobody[] = {
            0x00000800, 0x80010800, 0x80000900, 0x80001000,
        };

        sq_st32(raw, nobody[a]);
        sq_bus_write(&f->pio, 0xcf8, raw, 4);
        sq_bus_write(&f->pio, 0xcfc, raw, 4);
        sq_bus_read(&f->pio, 0xcfc, raw, 4);
        assert_int_equal(sq_ld32(raw), UINT32_MAX);
    }
    raw[0] = 0x06;
    sq_bus_write(&f->pio, 0xcf9, raw, 1);
    sq_bus_read(&f->pio, 0xcf9, raw, 1);
    assert_int_equal(raw[0], 0x5a);
    assert_int_equal(f->cf9_writes, 1);
    assert_false(sq_bus_read(&f->pio, 0xcfe, raw, 4));
}

static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;
    uint8_t raw[8];

    decode(f, 1, true);
    for (unsigned len = 1; len <= 8; len++) {
        for (uint64_t off = 0; off + len <= 0x110; off++) {
            memset(raw, 0xaa, sizeof(raw));
            assert_true(sq_bus_read(&f->mmio, config(1, 0) + off, raw, len));
            if (len < 8)
                assert_int_equal(raw[len], 0xaa);
        }
        for (uint64_t off = 0; off + len <= SQ_VIRTIO_PCI_BAR_LEN; off++) {
            memset(raw, 0xaa, sizeof(raw));
            assert_true(sq_bus_read(&f->mmio, BAR1 + off, raw, len));
            if (len < 8)
                assert_int_equal(raw[len], 0xaa);
            if (len == 3 || off % len)
                assert_true(sq_bus_write(&f->mmio, BAR1 + off, raw, len));
        }
        memset(raw, 0xaa, sizeof(raw)); /* across the end */
        sq_bus_read(&f->mmio, BAR1 + SQ_VIRTIO_PCI_BAR_LEN - 1, raw, len);
        assert_int_equal(raw[0], 0);
    }
    assert_int_equal(get(f, BAR1 + C_STATUS, 1), 0);
    assert_int_equal(get(f, BAR1 + C_STATUS, 4), 0); /* not its width */
    assert_int_equal(get(f, BAR1 + C_QUEUE_SIZE, 2), 16);
    assert_int_equal(f->sent, 0);
}

static void bar_tells_its_length(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, config(1, 0x10), 8), BAR1 | 4);
    move(f, 1, UINT64_MAX);
    assert_int_equal(get(f, config(1, 0x10), 4),
                     ~(SQ_VIRTIO_PCI_BAR_LEN - 1) | 4u);
    assert_int_equal(get(f, config(1, 0x14), 4), UINT32_MAX);
    assert_int_equal(get(f, config(1, 0x18), 4), 0);
    move(f, 1, BAR1);
    assert_int_equal(get(f, config(1, 0x10), 8), BAR1 | 4);
}

static void decoding_is_switched_and_moved(void **state)
{
    struct fixture *f = *state;
    const uint64_t there = WINDOW + WINDOW_LEN - SQ_VIRTIO_PCI_BAR_LEN;

    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 0);
    decode(f, 1, true);
    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 2);
    decode(f, 1, false);
    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 0);
    decode(f, 1, true);
    move(f, 1, there);
    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 0);
    assert_int_equal(get(f, there + C_QUEUES, 2), 2);
    /* Onto RAM, the configuration space, the end of everything, or half out
     * of the window: it is nowhere, and nothing else has changed. */
    static const uint64_t bad[] = {
        0, 0x100000, ECAM, UINT64_MAX - 0x7fff,
        WINDOW - SQ_VIRTIO_PCI_BAR_LEN, WINDOW + WINDOW_LEN,
    };
    for (unsigned i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        move(f, 1, bad[i]);
        assert_int_equal(get(f, there + C_QUEUES, 2), 0);
        assert_int_equal(get(f, config(0, 0), 4), 0x0d578086);
        assert_int_equal(get(f, config(1, 0), 4), 0x106a1af4);
    }
    move(f, 1, WINDOW);
    assert_int_equal(get(f, WINDOW + C_QUEUES, 2), 2);
}

static void overlapping_functions(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_device *other = add_echo(f, false);

    assert_int_equal(plug(f, other), 2);
    decode(f, 1, true);
    decode(f, 2, true);
    put(f, BAR1 + C_QUEUE_SEL, 1, 2);
    move(f, 2, BAR1);
    assert_int_equal(get(f, BAR1 + C_QUEUE_SEL, 2), 1);
    move(f, 1, BAR1 + SQ_VIRTIO_PCI_BAR_LEN);
    assert_int_equal(get(f, BAR1 + C_QUEUE_SEL, 2), 0);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_BAR_LEN + C_QUEUE_SEL, 2),
                     1);
    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 2);
    remove_device(f, other);
    assert_int_equal(get(f, BAR1 + C_QUEUES, 2), 0);
}

static void slots_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_device *dev[SQ_PCI_SLOTS];
    struct squib_error err = {0};

    for (unsigned i = 2; i < SQ_PCI_SLOTS; i++) {
        dev[i] = add_echo(f, false);
        assert_int_equal(plug(f, dev[i]), i);
    }
    dev[0] = add_echo(f, false);
    assert_int_equal(
        sq_pci_plug(&f->pci,
                    sq_virtio_pci_function(sq_virtio_pci_of(dev[0])), &err),
        SQUIB_E_RANGE);
    assert_non_null(strstr(err.text, "unplug"));
    decode(f, 7, true);
    assert_int_equal(get(f, WINDOW + 7 * SQ_PCI_SLOT_LEN + C_QUEUES, 2), 2);
    remove_device(f, dev[7]);
    assert_int_equal(get(f, config(7, 0), 4), UINT32_MAX);
    assert_int_equal(get(f, WINDOW + 7 * SQ_PCI_SLOT_LEN + C_QUEUES, 2), 0);
    assert_int_equal(plug(f, dev[0]), 7);
    assert_int_equal(get(f, config(7, 4), 2), 0);
    dev[7] = dev[0];
    for (unsigned i = 2; i < SQ_PCI_SLOTS; i++)
        remove_device(f, dev[i]);
}

/* Without mapping anything: the access capability. */
static void access_capability(void **state)
{
    struct fixture *f = *state;
    unsigned cap = find_capability(f, 9, 5);
    static const struct {
        uint32_t bar, off, len, expected;
    } bad[] = {
        {1, C_QUEUES, 2, 0}, {0, C_QUEUES + 1, 2, 0}, {0, C_QUEUES, 3, 0},
        {0, C_QUEUES, 0, 0}, {0, SQ_VIRTIO_PCI_BAR_LEN, 4, 0},
        {0, UINT32_MAX & ~3u, 4, 0},
    };

    put(f, config(1, cap + 4), 0, 1);
    put(f, config(1, cap + 8), C_QUEUES, 4);
    put(f, config(1, cap + 12), 2, 4);
    assert_int_equal(get(f, config(1, cap + 16), 4), 2);
    put(f, config(1, cap + 8), C_QUEUE_SEL, 4);
    put(f, config(1, cap + 16), 1, 4);
    decode(f, 1, true);
    assert_int_equal(get(f, BAR1 + C_QUEUE_SEL, 2), 1);
    for (unsigned i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        put(f, config(1, cap + 4), bad[i].bar, 1);
        put(f, config(1, cap + 8), bad[i].off, 4);
        put(f, config(1, cap + 12), bad[i].len, 4);
        put(f, config(1, cap + 16), 0x77, 4);
        assert_int_equal(get(f, config(1, cap + 16), 4), 0x77);
    }
    assert_int_equal(get(f, BAR1 + C_QUEUE_SEL, 2), 1);
}

/* --- MSI-X ------------------------------------------------------------- */

static void each_queue_has_its_vector(void **state)
{
    struct fixture *f = *state;

    start(f);
    use(f, 0);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->sent_gpa, MSI_GPA);
    assert_int_equal(f->sent_data, 0x41);
    use(f, 1);
    assert_int_equal(f->sent, 2);
    assert_int_equal(f->sent_data, 0x42);
    sq_virtio_config_changed(f->dev);
    assert_int_equal(f->sent_data, 0x40);
    assert_int_equal(get(f, BAR1 + C_GENERATION, 1), 1);
    /* Nothing of it in the register for those without MSI-X. */
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_ISR, 1), 0);
    /* A vector that is not there is none, and none is quiet. */
    put(f, BAR1 + C_QUEUE_SEL, 0, 2);
    put(f, BAR1 + C_QUEUE_VECTOR, 3, 2);
    assert_int_equal(get(f, BAR1 + C_QUEUE_VECTOR, 2), 0xffff);
    use(f, 0);
    assert_int_equal(f->sent, 3);
}

static void masked_vectors_wait(void **state)
{
    struct fixture *f = *state;
    unsigned cap = find_capability(f, 0x11, 0);
    const uint64_t mask1 = BAR1 + SQ_VIRTIO_PCI_MSIX + 16 + 12;

    start(f);
    put(f, mask1, 1, 4);
    use(f, 0);
    use(f, 0);
    assert_int_equal(f->sent, 0);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_PENDING, 8), 2);
    put(f, BAR1 + SQ_VIRTIO_PCI_PENDING, 0, 8); /* cannot be written */
    use(f, 1);
    assert_int_equal(f->sent, 1);
    /* The message may be another one by the time it is unmasked. */
    put(f, mask1 - 4, 0x99, 4);
    put(f, mask1, 0, 4);
    assert_int_equal(f->sent, 2);
    assert_int_equal(f->sent_data, 0x99);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_PENDING, 4), 0);
    /* All at once. */
    put(f, config(1, cap + 2), SQ_MSIX_ENABLE | SQ_MSIX_MASK_ALL, 2);
    use(f, 0);
    use(f, 1);
    assert_int_equal(f->sent, 2);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_PENDING, 4), 6);
    put(f, config(1, cap + 2), SQ_MSIX_ENABLE, 2);
    assert_int_equal(f->sent, 4);
}

static void without_msix_there_is_a_register(void **state)
{
    struct fixture *f = *state;
    unsigned cap = find_capability(f, 0x11, 0);

    start(f);
    put(f, config(1, cap + 2), 0, 2);
    use(f, 1);
    sq_virtio_config_changed(f->dev);
    assert_int_equal(f->sent, 0);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_ISR, 1), 3);
    assert_int_equal(get(f, BAR1 + SQ_VIRTIO_PCI_ISR, 1), 0);
}

static void table_has_an_end(void **state)
{
    struct fixture *f = *state;
    unsigned cap = find_capability(f, 0x11, 0);
    const uint64_t table = BAR1 + SQ_VIRTIO_PCI_MSIX;

    enable(f);
    assert_int_equal(get(f, config(1, cap + 2), 2) & 0x7ff, 2);
    put(f, config(1, cap + 2), 0x7ff | SQ_MSIX_ENABLE, 2);
    assert_int_equal(get(f, config(1, cap + 2), 2), 2 | SQ_MSIX_ENABLE);
    assert_int_equal(get(f, table + 16, 8), MSI_GPA);
    for (uint64_t off = 3 * 16; off + 8 <= 0x1000; off += 8) {
        put(f, table + off, UINT64_MAX, 8);
        assert_int_equal(get(f, table + off, 8), 0);
    }
    put(f, table + 16, 0, 1);
    put(f, table + 16 + 2, 0, 4);
    put(f, table + 16 + 4, 0, 8);
    assert_int_equal(get(f, table + 16, 8), MSI_GPA);
    assert_int_equal(get(f, table + 17, 1), 0);
    put(f, table, 0xfee00003, 4); /* the lowest bits are none */
    assert_int_equal(get(f, table, 4), 0xfee00000);
}

/* --- life -------------------------------------------------------------- */

static void registers_stand_still(void **state)
{
    struct fixture *f = *state;
    uint64_t errors;

    start(f);
    errors = atomic_load(&f->dev->counters.guest_errors);
    put(f, BAR1 + C_QUEUE_SEL, 1, 2);
    put(f, BAR1 + C_QUEUE_SIZE, 4, 2);
    put(f, BAR1 + C_DESC, 0x123000, 8);
    put(f, BAR1 + C_QUEUE_ENABLE, 0, 2);
    assert_int_equal(get(f, BAR1 + C_QUEUE_SIZE, 2), 8);
    assert_int_equal(get(f, BAR1 + C_QUEUE_ENABLE, 2), 1);
    assert_true(atomic_load(&f->dev->counters.guest_errors) >= errors + 4);
    put(f, BAR1 + C_QUEUE_SEL, 2, 2); /* there is none */
    assert_int_equal(get(f, BAR1 + C_QUEUE_SIZE, 2), 0);
    assert_int_equal(get(f, BAR1 + C_QUEUE_VECTOR, 2), 0xffff);
    put(f, BAR1 + C_QUEUE_VECTOR, 0, 2);
    put(f, BAR1 + SQ_VIRTIO_PCI_NOTIFY + 8, 2, 2);
    use(f, 0);
    assert_int_equal(f->sent, 1);
}

static void reset_forgets(void **state)
{
    struct fixture *f = *state;

    start(f);
    put(f, BAR1 + C_STATUS, 0, 1);
    assert_int_equal(get(f, BAR1 + C_STATUS, 1), 0);
    assert_int_equal(get(f, BAR1 + C_CONFIG_VECTOR, 2), 0xffff);
    assert_int_equal(get(f, BAR1 + C_QUEUE_VECTOR, 2), 0xffff);
    assert_int_equal(get(f, BAR1 + C_QUEUE_SIZE, 2), 16);
    assert_int_equal(get(f, BAR1 + C_QUEUE_ENABLE, 2), 0);
    use(f, 0);
    assert_int_equal(f->sent, 0);
    start(f);
    use(f, 0);
    assert_int_equal(f->sent, 1);
    /* A queue of an impossible size. */
    put(f, BAR1 + C_STATUS, 0, 1);
    put(f, BAR1 + C_STATUS, 3, 1);
    put(f, BAR1 + C_DRIVER_SEL, 1, 4);
    put(f, BAR1 + C_DRIVER, 1, 4);
    put(f, BAR1 + C_STATUS, 11, 1);
    put(f, BAR1 + C_QUEUE_SIZE, 17, 2);
    put(f, BAR1 + C_QUEUE_ENABLE, 1, 2);
    assert_int_equal(get(f, BAR1 + C_STATUS, 1), 11 | SQ_VIRTIO_NEEDS_RESET);
}

static void device_configuration(void **state)
{
    struct fixture *f = *state;
    const uint64_t at = BAR1 + SQ_VIRTIO_PCI_DEVICE;

    decode(f, 1, true);
    assert_int_equal(get(f, at, 8), 0x6867666564636261);
    put(f, at + 1, 0x5958, 2);
    put(f, at + 7, 0x5958, 2); /* beyond its end */
    assert_int_equal(get(f, at, 8), 0x6867666564595861);
    assert_int_equal(get(f, at + 6, 4), 0x6867);
}

static void doorbells_follow(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_device *dev = add_echo(f, true);
    const uint64_t was = WINDOW + 2 * SQ_PCI_SLOT_LEN;

    assert_int_equal(plug(f, dev), 2);
    assert_int_equal(f->bells, 0);
    decode(f, 2, true);
    assert_int_equal(f->bells, 2);
    assert_int_equal(f->bell[1].gpa, was + SQ_VIRTIO_PCI_NOTIFY + 4);
    assert_true(f->bell[0].on && f->bell[1].on);
    put(f, config(2, 0x10), (uint32_t)was + 0x10000, 4);
    assert_int_equal(f->bells, 6);
    assert_int_equal(f->bell[2].gpa, was + SQ_VIRTIO_PCI_NOTIFY);
    assert_false(f->bell[2].on || f->bell[3].on);
    assert_int_equal(f->bell[4].gpa, was + 0x10000 + SQ_VIRTIO_PCI_NOTIFY);
    assert_true(f->bell[4].on && f->bell[5].on);
    remove_device(f, dev);
    assert_int_equal(f->bells, 8);
    assert_false(f->bell[6].on || f->bell[7].on);
}

/* vCPUs that use whatever is in a slot while it comes and goes. */
struct vcpu {
    struct fixture *f;
    atomic_uint slot; /* 0: stop */
};

static void *touch(void *arg)
{
    struct vcpu *v = arg;
    unsigned slot;

    while ((slot = atomic_load(&v->slot)) != 0) {
        const uint64_t bar = WINDOW + slot * SQ_PCI_SLOT_LEN;

        decode(v->f, slot, true);
        put(v->f, bar + C_STATUS, 3, 1);
        get(v->f, bar + C_QUEUES, 2);
        put(v->f, bar + SQ_VIRTIO_PCI_MSIX, MSI_GPA, 8);
        put(v->f, bar + C_STATUS, 0, 1);
        put(v->f, config(slot, 0x10), (uint32_t)bar, 4);
    }
    return NULL;
}

static void unplugging_waits_for_vcpus(void **state)
{
    struct fixture *f = *state;
    struct vcpu v = {.f = f, .slot = 2};
    pthread_t t[2];

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, touch, &v), 0);
    for (int i = 0; i < 500; i++) {
        struct sq_virtio_device *dev = add_echo(f, false);
        int slot = plug(f, dev);

        assert_in_range(slot, 2, SQ_PCI_SLOTS - 1);
        atomic_store(&v.slot, (unsigned)slot);
        guest_pump(&f->g);
        remove_device(f, dev);
    }
    atomic_store(&v.slot, 0);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(f->freed, 500);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(identity),
        T(ports),
        T(odd_accesses_are_harmless),
        T(bar_tells_its_length),
        T(decoding_is_switched_and_moved),
        T(overlapping_functions),
        T(slots_come_and_go),
        T(access_capability),
        T(each_queue_has_its_vector),
        T(masked_vectors_wait),
        T(without_msix_there_is_a_register),
        T(table_has_an_end),
        T(registers_stand_still),
        T(reset_forgets),
        T(device_configuration),
        T(doorbells_follow),
        T(unplugging_waits_for_vcpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
