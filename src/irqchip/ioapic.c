/* SPDX-License-Identifier: Apache-2.0 */
#include "irqchip/ioapic.h"

#include <string.h>

#include "base/err.h"

/* Offsets in the page (82093AA section 3.1) */
#define IOREGSEL 0x00u
#define IOWIN 0x10u
#define EOI_REG 0x40u

/* Indirect registers (section 3.2) */
#define IDX_ID 0x00u
#define IDX_VERSION 0x01u
#define IDX_ARBITRATION 0x02u
#define IDX_REDIR 0x10u

#define VERSION (0x20u | (SQ_IOAPIC_PINS - 1) << 16)
#define ID_BITS 0x0f000000u
#define PIN_BITS ((1u << SQ_IOAPIC_PINS) - 1)

/* Redirection entry (section 3.2.4) */
#define REDIR_LOGICAL (1ull << 11)
#define REDIR_PENDING (1ull << 12) /* delivery status, read-only */
#define REDIR_REMOTE_IRR (1ull << 14)
#define REDIR_LEVEL (1ull << 15)
#define REDIR_MASKED (1ull << 16)
/*
 * Bits 55:49 extend the destination to 15 bits, in step with MSI addresses.
 * Bits 47:17 and 48 are reserved.
 */
#define REDIR_WRITABLE 0xfffe00000001afffull

static uint8_t delivery_of(uint64_t redir)
{
    return redir >> 8 & 7;
}

/* Only these two delivery modes have a level trigger. */
static bool is_level(uint64_t redir)
{
    return (redir & REDIR_LEVEL) && delivery_of(redir) <= SQ_APIC_LOWEST;
}

static int send(struct sq_ioapic *io, uint64_t redir)
{
    struct sq_apic_msg msg = {
        .dest = (uint32_t)(redir >> 56) | (uint32_t)(redir >> 49 & 0x7f) << 8,
        .vector = (uint8_t)redir,
        .delivery = delivery_of(redir),
        .logical = redir & REDIR_LOGICAL,
        .level = is_level(redir),
    };

    if (msg.delivery == SQ_APIC_SIPI)
        return 0; /* reserved here */
    return sq_apic_bus_deliver(io->bus, &msg);
}

/* A level pin: asserted, unmasked and not accepted yet. */
static bool level_due(const struct sq_ioapic *io, uint32_t pin)
{
    uint64_t redir = io->s.redir[pin];

    return is_level(redir) && (io->s.lines >> pin & 1) &&
           !(redir & (REDIR_MASKED | REDIR_REMOTE_IRR));
}

/* Lock held. Remote IRR means: some local APIC holds this interrupt. */
static void service_level(struct sq_ioapic *io, uint32_t pin)
{
    if (level_due(io, pin) && send(io, io->s.redir[pin]))
        io->s.redir[pin] |= REDIR_REMOTE_IRR;
}

static void service_all_levels(struct sq_ioapic *io)
{
    for (uint32_t pin = 0; pin < SQ_IOAPIC_PINS; pin++)
        service_level(io, pin);
}

/* ---- life cycle ---- */

static void reset_locked(struct sq_ioapic *io)
{
    for (uint32_t pin = 0; pin < SQ_IOAPIC_PINS; pin++)
        io->s.redir[pin] = REDIR_MASKED;
    io->s.select = 0;
    io->s.id = 0;
}

int sq_ioapic_init(struct sq_ioapic *io, struct sq_apic_bus *bus,
                   struct squib_error *err)
{
    struct sq_ioapic *expected = NULL;
    int os_errno;

    memset(io, 0, sizeof(*io));
    io->bus = bus;
    reset_locked(io);
    os_errno = pthread_mutex_init(&io->lock, NULL);
    if (os_errno)
        return sq_err_os(err, SQUIB_E_OS, os_errno, "I/O APIC lock");
    if (!atomic_compare_exchange_strong(&bus->ioapic, &expected, io)) {
        pthread_mutex_destroy(&io->lock);
        return sq_err_set(err, SQUIB_E_STATE,
                          "the machine has an I/O APIC already");
    }
    return 0;
}

void sq_ioapic_fini(struct sq_ioapic *io)
{
    atomic_store(&io->bus->ioapic, NULL);
    pthread_mutex_destroy(&io->lock);
}

void sq_ioapic_reset(struct sq_ioapic *io)
{
    pthread_mutex_lock(&io->lock);
    reset_locked(io);
    pthread_mutex_unlock(&io->lock);
}

/* ---- pins ---- */

void sq_ioapic_set_line(struct sq_ioapic *io, uint32_t pin, bool asserted)
{
    uint32_t bit;
    bool rising;

    if (pin >= SQ_IOAPIC_PINS)
        return;
    bit = 1u << pin;
    pthread_mutex_lock(&io->lock);
    rising = asserted && !(io->s.lines & bit);
    if (asserted)
        io->s.lines |= bit;
    else
        io->s.lines &= ~bit;
    if (is_level(io->s.redir[pin]))
        service_level(io, pin);
    else if (rising && !(io->s.redir[pin] & REDIR_MASKED))
        send(io, io->s.redir[pin]); /* a masked edge is lost (3.2.4) */
    pthread_mutex_unlock(&io->lock);
}

void sq_ioapic_eoi(struct sq_ioapic *io, uint8_t vector)
{
    pthread_mutex_lock(&io->lock);
    for (uint32_t pin = 0; pin < SQ_IOAPIC_PINS; pin++) {
        uint64_t redir = io->s.redir[pin];

        if ((uint8_t)redir != vector || !(redir & REDIR_REMOTE_IRR))
            continue;
        io->s.redir[pin] = redir & ~REDIR_REMOTE_IRR;
        service_level(io, pin); /* still asserted: again */
    }
    pthread_mutex_unlock(&io->lock);
}

void sq_ioapic_retry(struct sq_ioapic *io)
{
    pthread_mutex_lock(&io->lock);
    service_all_levels(io);
    pthread_mutex_unlock(&io->lock);
}

/* ---- registers ---- */

static void write_redir(struct sq_ioapic *io, uint32_t index, uint32_t value)
{
    uint32_t pin = index / 2;
    unsigned shift = (index & 1) * 32;
    uint64_t writable = REDIR_WRITABLE & 0xffffffffull << shift;
    uint64_t redir = io->s.redir[pin] & ~writable;

    redir |= (uint64_t)value << shift & writable;
    if (!is_level(redir))
        redir &= ~REDIR_REMOTE_IRR; /* undefined for edge; guests rely on
                                       edge mode dropping a stuck bit */
    io->s.redir[pin] = redir;
    service_level(io, pin);
}

static uint32_t read_redir(const struct sq_ioapic *io, uint32_t index)
{
    uint64_t redir = io->s.redir[index / 2];

    if (level_due(io, index / 2))
        redir |= REDIR_PENDING;
    return (uint32_t)(redir >> (index & 1) * 32);
}

static bool is_redir(uint32_t select)
{
    return select >= IDX_REDIR && select < IDX_REDIR + SQ_IOAPIC_PINS * 2;
}

static uint32_t read_window(const struct sq_ioapic *io)
{
    switch (io->s.select) {
    case IDX_ID:
    case IDX_ARBITRATION:
        return io->s.id;
    case IDX_VERSION:
        return VERSION;
    default:
        if (is_redir(io->s.select))
            return read_redir(io, io->s.select - IDX_REDIR);
        return 0;
    }
}

uint32_t sq_ioapic_mmio_read(struct sq_ioapic *io, uint32_t offset)
{
    uint32_t value = 0;

    pthread_mutex_lock(&io->lock);
    if (offset == IOREGSEL)
        value = io->s.select;
    else if (offset == IOWIN)
        value = read_window(io);
    pthread_mutex_unlock(&io->lock);
    return value;
}

void sq_ioapic_mmio_write(struct sq_ioapic *io, uint32_t offset,
                          uint32_t value)
{
    if (offset == EOI_REG) {
        sq_ioapic_eoi(io, (uint8_t)value);
        return;
    }
    pthread_mutex_lock(&io->lock);
    if (offset == IOREGSEL)
        io->s.select = value & 0xff;
    else if (offset == IOWIN && io->s.select == IDX_ID)
        io->s.id = value & ID_BITS;
    else if (offset == IOWIN && is_redir(io->s.select))
        write_redir(io, io->s.select - IDX_REDIR, value);
    pthread_mutex_unlock(&io->lock);
}

/* ---- saving and loading ---- */

void sq_ioapic_save(struct sq_ioapic *io, struct sq_ioapic_state *state)
{
    pthread_mutex_lock(&io->lock);
    *state = io->s;
    pthread_mutex_unlock(&io->lock);
}

void sq_ioapic_load(struct sq_ioapic *io,
                    const struct sq_ioapic_state *state)
{
    pthread_mutex_lock(&io->lock);
    io->s.select = state->select & 0xff;
    io->s.id = state->id & ID_BITS;
    io->s.lines = state->lines & PIN_BITS;
    for (uint32_t pin = 0; pin < SQ_IOAPIC_PINS; pin++) {
        uint64_t redir = state->redir[pin];

        redir &= REDIR_WRITABLE | (is_level(redir) ? REDIR_REMOTE_IRR : 0);
        io->s.redir[pin] = redir;
    }
    service_all_levels(io);
    pthread_mutex_unlock(&io->lock);
}
