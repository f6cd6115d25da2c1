/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every command gets its answer at once. That matters more than what the
 * answer is: drivers wait for each byte with thousands of status reads.
 */
#include "dev/legacy/i8042.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* Status register. */
#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_UNLOCKED 0x10

/* Command byte. */
#define CTR_KBD_IRQ 0x01
#define CTR_SYSTEM 0x04
#define CTR_KBD_OFF 0x10
#define CTR_AUX_OFF 0x20
#define CTR_TRANSLATE 0x40

/* Controller commands. */
#define CMD_READ_CTR 0x20
#define CMD_WRITE_CTR 0x60
#define CMD_AUX_OFF 0xa7
#define CMD_AUX_ON 0xa8
#define CMD_AUX_TEST 0xa9
#define CMD_SELF_TEST 0xaa
#define CMD_KBD_TEST 0xab
#define CMD_KBD_OFF 0xad
#define CMD_KBD_ON 0xae
#define CMD_READ_INPUT 0xc0
#define CMD_READ_OUTPUT 0xd0
#define CMD_WRITE_OUTPUT 0xd1
#define CMD_KBD_LOOP 0xd2
#define CMD_AUX_LOOP 0xd3
#define CMD_AUX_SEND 0xd4
#define CMD_PULSE 0xf0 /* to 0xff: low nibble = lines not pulsed */

/* Keyboard answers. */
#define KBD_ACK 0xfa
#define KBD_RESEND 0xfe

int sq_i8042_init(struct sq_i8042 *k, const struct sq_i8042_config *config,
                  struct squib_error *err)
{
    int rc;

    memset(k, 0, sizeof(*k));
    k->config = *config;
    k->command_byte = CTR_SYSTEM | CTR_AUX_OFF | CTR_TRANSLATE | CTR_KBD_IRQ;
    rc = pthread_mutex_init(&k->lock, NULL);
    return rc ? sq_err_os(err, SQUIB_E_OS, rc, "i8042: mutex") : 0;
}

void sq_i8042_fini(struct sq_i8042 *k)
{
    pthread_mutex_destroy(&k->lock);
}

static void update_irq(struct sq_i8042 *k)
{
    bool level = k->count && k->command_byte & CTR_KBD_IRQ;

    if (level != k->irq_level) {
        k->irq_level = level;
        sq_irq_set(&k->config.irq, level);
    }
}

static bool queue_put(struct sq_i8042 *k, const uint8_t *data, unsigned len)
{
    if (len > SQ_I8042_QUEUE_MAX - k->count)
        return false;
    for (unsigned i = 0; i < len; i++)
        k->queue[(k->head + k->count++) % SQ_I8042_QUEUE_MAX] = data[i];
    return true;
}

static void answer(struct sq_i8042 *k, uint8_t byte)
{
    queue_put(k, &byte, 1);
}

/* True if the guest asked for a reset. */
static bool command(struct sq_i8042 *k, uint8_t cmd)
{
    k->pending = 0;
    switch (cmd) {
    case CMD_READ_CTR: answer(k, k->command_byte); break;
    case CMD_AUX_OFF: k->command_byte |= CTR_AUX_OFF; break;
    case CMD_AUX_ON: k->command_byte &= (uint8_t)~CTR_AUX_OFF; break;
    case CMD_AUX_TEST: answer(k, 0x01); break; /* clock line stuck: none */
    case CMD_SELF_TEST: answer(k, 0x55); break;
    case CMD_KBD_TEST: answer(k, 0x00); break;
    case CMD_KBD_OFF: k->command_byte |= CTR_KBD_OFF; break;
    case CMD_KBD_ON: k->command_byte &= (uint8_t)~CTR_KBD_OFF; break;
    case CMD_READ_INPUT: answer(k, 0x80); break; /* keyboard not locked */
    case CMD_READ_OUTPUT: answer(k, 0x03); break; /* running, A20 open */
    case CMD_WRITE_CTR:
    case CMD_WRITE_OUTPUT:
    case CMD_KBD_LOOP:
    case CMD_AUX_LOOP:
    case CMD_AUX_SEND: k->pending = cmd; break;
    default:
        /* Line 0 is the processor's reset. */
        return cmd >= CMD_PULSE && !(cmd & 1);
    }
    return false;
}

static void keyboard(struct sq_i8042 *k, uint8_t byte)
{
    static const uint8_t reset[] = {KBD_ACK, 0xaa};
    static const uint8_t identity[] = {KBD_ACK, 0xab, 0x83};
    static const uint8_t code_set[] = {KBD_ACK, 0x02};
    uint8_t pending = k->kbd_pending;

    k->kbd_pending = 0;
    if (pending == 0xf0 && byte == 0) { /* which code set? */
        queue_put(k, code_set, sizeof(code_set));
        return;
    }
    if (pending) {
        answer(k, KBD_ACK);
        return;
    }
    switch (byte) {
    case 0xff: queue_put(k, reset, sizeof(reset)); break;
    case 0xf2: queue_put(k, identity, sizeof(identity)); break;
    case 0xee: answer(k, 0xee); break; /* echo */
    case 0xed:                         /* lights */
    case 0xf0:                         /* code set */
    case 0xf3:                         /* repeat rate */
        k->kbd_pending = byte;
        answer(k, KBD_ACK);
        break;
    case 0xf4: case 0xf5: case 0xf6: case 0xf7: case 0xf8: case 0xf9:
    case 0xfa:
        answer(k, KBD_ACK);
        break;
    default: answer(k, KBD_RESEND); break;
    }
}

static bool data(struct sq_i8042 *k, uint8_t byte)
{
    uint8_t pending = k->pending;

    k->pending = 0;
    switch (pending) {
    case 0:
        k->command_byte &= (uint8_t)~CTR_KBD_OFF; /* as the chip does */
        keyboard(k, byte);
        break;
    case CMD_WRITE_CTR: k->command_byte = byte & 0x7f; break;
    case CMD_WRITE_OUTPUT: return !(byte & 1);
    case CMD_KBD_LOOP:
    case CMD_AUX_LOOP: answer(k, byte); break; /* never as a mouse's byte */
    default: break; /* to the mouse, which is not there */
    }
    return false;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void data_read(void *dev, uint64_t off, uint8_t *out, unsigned len)
{
    struct sq_i8042 *k = dev;

    (void)off;
    (void)len; /* one port */
    count(&k->counters.reads);
    pthread_mutex_lock(&k->lock);
    out[0] = k->count ? k->queue[k->head] : 0;
    if (k->count) {
        k->head = (k->head + 1) % SQ_I8042_QUEUE_MAX;
        k->count--;
        /* The next byte is a new edge. */
        if (k->irq_level) {
            k->irq_level = false;
            sq_irq_set(&k->config.irq, false);
        }
    }
    update_irq(k);
    pthread_mutex_unlock(&k->lock);
}

static void status_read(void *dev, uint64_t off, uint8_t *out, unsigned len)
{
    struct sq_i8042 *k = dev;

    (void)off;
    (void)len;
    count(&k->counters.reads);
    pthread_mutex_lock(&k->lock);
    out[0] = (uint8_t)(STATUS_UNLOCKED | (k->command_byte & STATUS_SYSTEM) |
                       (k->count ? STATUS_OUTPUT_FULL : 0));
    pthread_mutex_unlock(&k->lock);
}

static void write_byte(struct sq_i8042 *k, uint8_t byte,
                       bool (*handle)(struct sq_i8042 *, uint8_t))
{
    bool reset;

    count(&k->counters.writes);
    pthread_mutex_lock(&k->lock);
    reset = handle(k, byte);
    update_irq(k);
    pthread_mutex_unlock(&k->lock);
    if (reset)
        count(&k->counters.resets);
    if (reset && k->config.reset)
        k->config.reset(k->config.ctx);
}

static void data_write(void *dev, uint64_t off, const uint8_t *in,
                       unsigned len)
{
    (void)off;
    (void)len;
    write_byte(dev, in[0], data);
}

static void command_write(void *dev, uint64_t off, const uint8_t *in,
                          unsigned len)
{
    (void)off;
    (void)len;
    write_byte(dev, in[0], command);
}

const struct sq_bus_ops sq_i8042_data_ops = {data_read, data_write};
const struct sq_bus_ops sq_i8042_command_ops = {status_read, command_write};

bool sq_i8042_ctrl_alt_del(struct sq_i8042 *k)
{
    /* Press and release, as the keyboard sends them and as the controller
     * translates them. */
    static const uint8_t raw[] = {
        0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14,
    };
    static const uint8_t translated[] = {
        0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d,
    };
    bool done = false;

    pthread_mutex_lock(&k->lock);
    if (!(k->command_byte & CTR_KBD_OFF))
        done = k->command_byte & CTR_TRANSLATE
                   ? queue_put(k, translated, sizeof(translated))
                   : queue_put(k, raw, sizeof(raw));
    update_irq(k);
    pthread_mutex_unlock(&k->lock);
    return done;
}
