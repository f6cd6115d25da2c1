/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/bus.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

int sq_bus_add(struct sq_bus *bus, const char *name, uint64_t base,
               uint64_t len, const struct sq_bus_ops *ops, void *dev,
               struct squib_error *err)
{
    size_t at = 0;
    uint64_t end;

    if (len == 0 || sq_add_overflow(base, len, &end))
        return sq_err_set(err, SQUIB_E_INVAL, "device %s: bad range", name);
    if (bus->count == SQ_BUS_DEVICES_MAX)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "device %s: more than %d devices on one bus", name,
                          SQ_BUS_DEVICES_MAX);
    for (size_t i = 0; i < bus->count; i++) {
        const struct sq_bus_slot *s = &bus->slot[i];

        if (sq_overlaps(base, len, s->base, s->len))
            return sq_err_set(err, SQUIB_E_RANGE,
                              "device %s at %#llx overlaps device %s", name,
                              (unsigned long long)base, s->name);
        if (s->base < base)
            at = i + 1;
    }
    memmove(&bus->slot[at + 1], &bus->slot[at],
            (bus->count - at) * sizeof(bus->slot[0]));
    bus->slot[at] = (struct sq_bus_slot){base, len, ops, dev, name};
    bus->count++;
    return 0;
}

static const struct sq_bus_slot *find(const struct sq_bus *bus,
                                      uint64_t where, unsigned len)
{
    size_t lo = 0, hi = bus->count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct sq_bus_slot *s = &bus->slot[mid];

        if (where < s->base)
            hi = mid;
        else if (where - s->base >= s->len)
            lo = mid + 1;
        else
            return where - s->base + len <= s->len ? s : NULL;
    }
    return NULL;
}

bool sq_bus_read(const struct sq_bus *bus, uint64_t where, uint8_t *data,
                 unsigned len)
{
    const struct sq_bus_slot *s = find(bus, where, len);

    if (!s) {
        memset(data, 0xff, len);
        return false;
    }
    s->ops->read(s->dev, where - s->base, data, len);
    return true;
}

bool sq_bus_write(const struct sq_bus *bus, uint64_t where,
                  const uint8_t *data, unsigned len)
{
    const struct sq_bus_slot *s = find(bus, where, len);

    if (!s)
        return false;
    s->ops->write(s->dev, where - s->base, data, len);
    return true;
}
