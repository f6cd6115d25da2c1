/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/power.h"

#include <string.h>

#define SLP_TYP_SHIFT 2
#define SLP_TYP_MASK 7
#define SLP_EN 0x20
#define PORT_A_RESET 0x01
#define PORT_A_A20 0x02
#define RESET_CPU 0x04

static void call(void (*fn)(void *), void *ctx)
{
    if (fn)
        fn(ctx);
}

static void sleep_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0, len); /* awake, nothing to tell */
}

static void sleep_write(void *dev, uint64_t off, const uint8_t *data,
                        unsigned len)
{
    const struct sq_power *p = dev;

    (void)len;
    if (off == 0 && data[0] & SLP_EN &&
        (data[0] >> SLP_TYP_SHIFT & SLP_TYP_MASK) == p->sleep_type_off)
        call(p->shutdown, p->ctx);
}

const struct sq_bus_ops sq_power_sleep_ops = {sleep_read, sleep_write};

static void port_a_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    (void)len;
    data[0] = PORT_A_A20; /* the address line is always open */
}

static void port_a_write(void *dev, uint64_t off, const uint8_t *data,
                         unsigned len)
{
    const struct sq_power *p = dev;

    (void)off;
    (void)len;
    if (data[0] & PORT_A_RESET)
        call(p->reset, p->ctx);
}

const struct sq_bus_ops sq_power_port_a_ops = {port_a_read, port_a_write};

static void reset_control_read(void *dev, uint64_t off, uint8_t *data,
                               unsigned len)
{
    (void)dev;
    (void)off;
    (void)len;
    data[0] = 0;
}

/* The type of reset in bit 1 makes no difference here. */
static void reset_control_write(void *dev, uint64_t off, const uint8_t *data,
                                unsigned len)
{
    const struct sq_power *p = dev;

    (void)off;
    (void)len;
    if (data[0] & RESET_CPU)
        call(p->reset, p->ctx);
}

const struct sq_bus_ops sq_power_reset_control_ops = {
    reset_control_read,
    reset_control_write,
};
