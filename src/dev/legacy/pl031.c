/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/pl031.h"

#include "base/util.h"
#include "os/clock.h"

/* DDI 0224, 3.1 */
enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14,
       MIS = 0x18, ICR = 0x1c, ID = 0xfe0 };

/* Peripheral and PrimeCell identification, a byte each. */
static const uint8_t id[] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

static int64_t host_now(void *ctx)
{
    (void)ctx;
    return (int64_t)(sq_wall_ns() / 1000000000u);
}

void sq_pl031_init(struct sq_pl031 *r, const struct sq_pl031_config *config)
{
    *r = (struct sq_pl031){.config = *config};
    if (!r->config.now)
        r->config.now = host_now;
}

static uint32_t seconds(struct sq_pl031 *r)
{
    return (uint32_t)r->config.now(r->config.ctx);
}

static uint32_t read_reg(struct sq_pl031 *r, uint64_t off)
{
    switch (off) {
    case DR: return seconds(r) + atomic_load(&r->offset);
    case MR: return atomic_load(&r->match);
    case LR: return atomic_load(&r->load);
    case CR: return 1; /* always on */
    case IMSC: return atomic_load(&r->mask);
    default:
        if (off >= ID && off < ID + 4 * SQ_ARRAY_LEN(id))
            return id[(off - ID) / 4];
        return 0;
    }
}

/* Registers are words; a narrower read gets its part of one. */
static void pl031_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        uint32_t v = read_reg(dev, (off + i) & ~3ull);

        data[i] = (uint8_t)(v >> (off + i) % 4 * 8);
    }
}

static void pl031_write(void *dev, uint64_t off, const uint8_t *data,
                        unsigned len)
{
    struct sq_pl031 *r = dev;
    uint32_t v;

    if (len != 4)
        return;
    v = sq_ld32(data);
    switch (off) {
    case MR: atomic_store(&r->match, v); break;
    case LR:
        atomic_store(&r->load, v);
        atomic_store(&r->offset, v - seconds(r));
        break;
    case IMSC: atomic_store(&r->mask, v & 1); break;
    default: break; /* read-only, or nothing to clear */
    }
}

const struct sq_bus_ops sq_pl031_ops = {pl031_read, pl031_write};
