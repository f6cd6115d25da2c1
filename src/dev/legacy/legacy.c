/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/legacy.h"

#include <string.h>

#include "base/util.h"

/* Ports with nothing behind them but a fixed answer. */
static void ones_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0xff, len);
}

static void zero_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0, len);
}

/* System port B: the interval timer's second output is high. */
static void gate_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0x20, len);
}

static void sink_write(void *dev, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    (void)dev;
    (void)off;
    (void)data;
    (void)len;
}

static const struct sq_bus_ops ones_ops = {ones_read, sink_write};
static const struct sq_bus_ops zero_ops = {zero_read, sink_write};
static const struct sq_bus_ops gate_ops = {gate_read, sink_write};

enum stand_in { ALWAYS, NO_PIC, NO_PIT };

static const struct {
    const char *name;
    uint16_t port, len;
    const struct sq_bus_ops *ops;
    enum stand_in when;
} quiet[] = {
    {"PIC 1 (none)", 0x20, 2, &ones_ops, NO_PIC},
    {"PIC 2 (none)", 0xa0, 2, &ones_ops, NO_PIC},
    {"ELCR (none)", 0x4d0, 2, &zero_ops, NO_PIC},
    {"PIT (none)", 0x40, 4, &zero_ops, NO_PIT},
    {"system port B", 0x61, 1, &gate_ops, NO_PIT},
    {"POST code", 0x80, 1, &ones_ops, ALWAYS},
    {"I/O delay", 0xed, 1, &ones_ops, ALWAYS},
};

static int add_quiet(const struct sq_legacy_config *c, struct sq_bus *ports,
                     struct squib_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < SQ_ARRAY_LEN(quiet) && !rc; i++) {
        if ((quiet[i].when == NO_PIC && c->real_pic) ||
            (quiet[i].when == NO_PIT && c->real_pit))
            continue;
        rc = sq_bus_add(ports, quiet[i].name, quiet[i].port, quiet[i].len,
                        quiet[i].ops, NULL, err);
    }
    return rc;
}

static int add_real(struct sq_legacy *l, const struct sq_legacy_config *c,
                    struct sq_bus *ports, struct squib_error *err)
{
    const struct {
        const char *name;
        uint16_t port, len;
        const struct sq_bus_ops *ops;
        void *dev;
    } real[] = {
        {"serial port", c->serial_port, SQ_SERIAL_PORTS, &sq_serial_ops,
         &l->serial},
        {"i8042 data", SQ_I8042_DATA_PORT, 1, &sq_i8042_data_ops, &l->i8042},
        {"i8042 command", SQ_I8042_COMMAND_PORT, 1, &sq_i8042_command_ops,
         &l->i8042},
        {"RTC", SQ_RTC_PORT, SQ_RTC_PORTS, &sq_rtc_ops, &l->rtc},
        {"sleep control", c->sleep_port, SQ_POWER_SLEEP_PORTS,
         &sq_power_sleep_ops, &l->power},
        {"system port A", SQ_POWER_PORT_A, 1, &sq_power_port_a_ops,
         &l->power},
        {"reset control", SQ_POWER_RESET_CONTROL, 1,
         &sq_power_reset_control_ops, &l->power},
    };
    int rc = 0;

    for (size_t i = 0; i < SQ_ARRAY_LEN(real) && !rc; i++) {
        if ((real[i].dev == &l->serial && !l->has_serial) ||
            (real[i].port == SQ_POWER_RESET_CONTROL && c->pci_ports))
            continue;
        rc = sq_bus_add(ports, real[i].name, real[i].port, real[i].len,
                        real[i].ops, real[i].dev, err);
    }
    return rc;
}

int sq_legacy_init(struct sq_legacy *l, const struct sq_legacy_config *config,
                   struct sq_bus *ports, struct squib_error *err)
{
    const struct sq_i8042_config i8042 = {
        .irq = config->keyboard_irq,
        .reset = config->reset,
        .ctx = config->ctx,
    };
    const struct sq_rtc_config rtc = {0};
    int rc;

    memset(l, 0, sizeof(*l));
    l->power = (struct sq_power){
        .shutdown = config->shutdown,
        .reset = config->reset,
        .ctx = config->ctx,
        .sleep_type_off = config->sleep_type_off,
    };
    rc = sq_i8042_init(&l->i8042, &i8042, err);
    if (rc)
        return rc;
    rc = sq_rtc_init(&l->rtc, &rtc, err);
    if (rc)
        goto fail_rtc;
    if (config->serial_port) {
        rc = sq_serial_init(&l->serial, &config->serial, err);
        if (rc)
            goto fail_serial;
        l->has_serial = true;
    }
    rc = add_real(l, config, ports, err);
    if (!rc)
        rc = add_quiet(config, ports, err);
    if (rc)
        sq_legacy_fini(l);
    return rc;

fail_serial:
    sq_rtc_fini(&l->rtc);
fail_rtc:
    sq_i8042_fini(&l->i8042);
    return rc;
}

void sq_legacy_fini(struct sq_legacy *l)
{
    if (l->has_serial)
        sq_serial_fini(&l->serial);
    sq_rtc_fini(&l->rtc);
    sq_i8042_fini(&l->i8042);
}
