/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/serial.h"

#include <string.h>

#include "base/err.h"

/* Registers. With DLAB set, 0 and 1 are the divisor. */
enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR,
       REG_SCRATCH };

#define IER_RX 0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08

#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_THRE 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80

int sq_serial_init(struct sq_serial *s, const struct sq_serial_config *config,
                   struct squib_error *err)
{
    int rc;

    memset(s, 0, sizeof(*s));
    s->config = *config;
    s->divisor = 1; /* 115200 baud */
    rc = pthread_mutex_init(&s->lock, NULL);
    return rc ? sq_err_os(err, SQUIB_E_OS, rc, "serial port: mutex") : 0;
}

void sq_serial_fini(struct sq_serial *s)
{
    pthread_mutex_destroy(&s->lock);
}

/* The interrupt of highest priority that waits (data sheet, table IV). */
static uint8_t pending(const struct sq_serial *s)
{
    static const uint8_t trigger[4] = {1, 4, 8, 14};

    if (s->ier & IER_LINE && s->overrun)
        return IIR_LINE;
    if (s->ier & IER_RX && s->count) {
        /* Fewer bytes than the trigger level are told by the time-out,
         * which is immediate here. */
        if (s->fcr & FCR_ENABLE && s->count < trigger[s->fcr >> 6])
            return IIR_TIMEOUT;
        return IIR_RX;
    }
    if (s->ier & IER_THRE && s->thre_pending)
        return IIR_THRE;
    if (s->ier & IER_MODEM && s->msr_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

/* The line follows the state; in loopback the chip's output is off. */
static void update_irq(struct sq_serial *s)
{
    bool level = !(s->mcr & MCR_LOOP) && pending(s) != IIR_NONE;

    if (level != s->irq_level) {
        s->irq_level = level;
        sq_irq_set(&s->config.irq, level);
    }
}

static bool queue_put(struct sq_serial *s, uint8_t byte)
{
    if (s->count == SQ_SERIAL_INPUT_MAX)
        return false;
    s->input[(s->head + s->count++) % SQ_SERIAL_INPUT_MAX] = byte;
    return true;
}

static uint8_t queue_get(struct sq_serial *s)
{
    uint8_t byte = s->input[s->head];

    if (s->count == 0)
        return 0;
    s->head = (s->head + 1) % SQ_SERIAL_INPUT_MAX;
    s->count--;
    return byte;
}

static uint8_t modem_lines(const struct sq_serial *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS; /* a peer that is ready */
    return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) |
                     (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
                     (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_mcr(struct sq_serial *s, uint8_t value)
{
    uint8_t before = modem_lines(s), changed;

    s->mcr = value & 0x1f;
    changed = before ^ modem_lines(s);
    /* Ring tells its falling edge only. */
    if (changed & MSR_RI && !(before & MSR_RI))
        changed &= (uint8_t)~MSR_RI;
    s->msr_delta |= changed >> 4;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void transmit(struct sq_serial *s, uint8_t byte)
{
    if (s->mcr & MCR_LOOP) {
        if (!queue_put(s, byte))
            s->overrun = true;
    } else if (s->config.out) {
        count(&s->counters.sent);
        s->config.out(s->config.ctx, &byte, 1);
    }
    s->thre_pending = true; /* sent already: room for the next */
}

static void write_fcr(struct sq_serial *s, uint8_t value)
{
    /* Switching the FIFO on or off empties it. */
    if (value & FCR_CLEAR_RX || (value ^ s->fcr) & FCR_ENABLE)
        s->head = s->count = 0;
    s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
}

static void write_reg(struct sq_serial *s, unsigned reg, uint8_t value)
{
    bool dlab = s->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        if (dlab)
            s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
        else
            transmit(s, value);
        break;
    case REG_IER:
        if (dlab) {
            s->divisor = (uint16_t)((s->divisor & 0xff) | value << 8);
            break;
        }
        /* Enabling it tells an empty transmitter at once: drivers start
         * output that way and test for it. */
        if (value & IER_THRE && !(s->ier & IER_THRE))
            s->thre_pending = true;
        s->ier = value & 0x0f;
        break;
    case REG_IIR: write_fcr(s, value); break;
    case REG_LCR: s->lcr = value; break;
    case REG_MCR: write_mcr(s, value); break;
    case REG_SCRATCH: s->scratch = value; break;
    default: break; /* LSR and MSR are the chip's */
    }
}

static uint8_t read_iir(struct sq_serial *s)
{
    uint8_t id = pending(s);

    if (id == IIR_THRE)
        s->thre_pending = false;
    return (uint8_t)(id | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct sq_serial *s)
{
    uint8_t v = LSR_THRE | LSR_TEMT;

    if (s->count)
        v |= LSR_DATA;
    if (s->overrun)
        v |= LSR_OVERRUN;
    s->overrun = false;
    return v;
}

static uint8_t read_msr(struct sq_serial *s)
{
    uint8_t v = modem_lines(s) | s->msr_delta;

    s->msr_delta = 0;
    return v;
}

static uint8_t read_reg(struct sq_serial *s, unsigned reg)
{
    bool dlab = s->lcr & LCR_DLAB;

    switch (reg) {
    case REG_DATA:
        if (dlab)
            return (uint8_t)s->divisor;
        if (s->count)
            count(&s->counters.received);
        return queue_get(s);
    case REG_IER: return dlab ? (uint8_t)(s->divisor >> 8) : s->ier;
    case REG_IIR: return read_iir(s);
    case REG_LCR: return s->lcr;
    case REG_MCR: return s->mcr;
    case REG_LSR: return read_lsr(s);
    case REG_MSR: return read_msr(s);
    default: return s->scratch;
    }
}

static void serial_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_serial *s = dev;
    bool drained = false;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < len; i++)
        data[i] = read_reg(s, (unsigned)(off + i) & 7);
    if (s->was_full && s->count == 0) {
        s->was_full = false;
        drained = true;
    }
    update_irq(s);
    pthread_mutex_unlock(&s->lock);
    if (drained && s->config.drained)
        s->config.drained(s->config.ctx);
}

static void serial_write(void *dev, uint64_t off, const uint8_t *data,
                         unsigned len)
{
    struct sq_serial *s = dev;
    bool drained = false;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < len; i++)
        write_reg(s, (unsigned)(off + i) & 7, data[i]);
    if (s->was_full && s->count == 0) {
        s->was_full = false; /* the guest threw it away */
        drained = true;
    }
    update_irq(s);
    pthread_mutex_unlock(&s->lock);
    if (drained && s->config.drained)
        s->config.drained(s->config.ctx);
}

const struct sq_bus_ops sq_serial_ops = {serial_read, serial_write};

size_t sq_serial_input(struct sq_serial *s, const uint8_t *data, size_t len)
{
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    /* In loopback the line is cut. */
    if (!(s->mcr & MCR_LOOP))
        while (n < len && queue_put(s, data[n]))
            n++;
    if (n < len)
        s->was_full = true;
    update_irq(s);
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t sq_serial_room(struct sq_serial *s)
{
    size_t room;

    pthread_mutex_lock(&s->lock);
    room = s->mcr & MCR_LOOP ? 0 : SQ_SERIAL_INPUT_MAX - s->count;
    pthread_mutex_unlock(&s->lock);
    return room;
}
