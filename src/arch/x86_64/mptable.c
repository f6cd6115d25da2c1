/* SPDX-License-Identifier: Apache-2.0 */
/* Intel MultiProcessor Specification 1.4, chapter 4. */
#include "arch/x86_64/mptable.h"

#include <string.h>

#include <squib/vm.h>

#include "base/util.h"

#define FLOATING_LEN 16u
#define HEADER_LEN 44u
#define PROCESSOR_LEN 20u
#define OTHER_LEN 8u

_Static_assert(FLOATING_LEN + HEADER_LEN + SQUIB_VCPUS_MAX * PROCESSOR_LEN +
                       (2 + SQ_X86_IOAPIC_PINS + 2) * OTHER_LEN <=
                   SQ_X86_MPTABLE_LEN,
               "the table outgrows its place");

#define APIC_VERSION 0x14
#define ISA_BUS 0
#define EDGE_HIGH 0x5 /* trigger 01, polarity 01 */

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

static uint8_t *interrupt(uint8_t *e, uint8_t entry, uint8_t type,
                          uint8_t flags, uint8_t irq, uint8_t apic,
                          uint8_t pin)
{
    e[0] = entry;
    e[1] = type; /* 0 INT, 1 NMI, 3 ExtINT */
    sq_st16(e + 2, flags);
    e[4] = ISA_BUS;
    e[5] = irq;
    e[6] = apic;
    e[7] = pin;
    return e + OTHER_LEN;
}

size_t sq_x86_mptable_build(uint32_t vcpus, uint8_t buf[SQ_X86_MPTABLE_LEN])
{
    uint8_t *t = buf + FLOATING_LEN, *e = t + HEADER_LEN;
    uint8_t ioapic_id = (uint8_t)vcpus; /* the first id that is free */
    size_t len;

    memset(buf, 0, SQ_X86_MPTABLE_LEN);
    for (uint32_t i = 0; i < vcpus; i++, e += PROCESSOR_LEN) {
        e[1] = (uint8_t)i;
        e[2] = APIC_VERSION;
        e[3] = i == 0 ? 3 : 1; /* enabled, boot processor */
        sq_st32(e + 4, 0x600); /* a family that has an APIC */
        sq_st32(e + 8, 0x201); /* APIC and FPU on chip */
    }
    e[0] = 1;
    e[1] = ISA_BUS;
    memcpy(e + 2, "ISA   ", 6);
    e += OTHER_LEN;
    e[0] = 2;
    e[1] = ioapic_id;
    e[2] = 0x11;
    e[3] = 1; /* usable */
    sq_st32(e + 4, SQ_X86_IOAPIC_GPA);
    e += OTHER_LEN;
    for (uint8_t pin = 0; pin < SQ_X86_IOAPIC_PINS; pin++)
        e = interrupt(e, 3, 0, EDGE_HIGH, pin, ioapic_id, pin);
    e = interrupt(e, 4, 3, 0, 0, 0xff, 0); /* ExtINT at LINT0 */
    e = interrupt(e, 4, 1, 0, 0, 0xff, 1); /* NMI at LINT1 */
    len = (size_t)(e - t);

    memcpy(t, "PCMP", 4);
    sq_st16(t + 4, (uint16_t)len);
    t[6] = 4; /* version 1.4 */
    memcpy(t + 8, "SQUIB   ", 8);
    memcpy(t + 16, "MICROVM     ", 12);
    sq_st16(t + 34, (uint16_t)(vcpus + 2 + SQ_X86_IOAPIC_PINS + 2));
    sq_st32(t + 36, SQ_X86_LAPIC_GPA);
    t[7] = checksum(t, len);

    memcpy(buf, "_MP_", 4);
    sq_st32(buf + 4, SQ_X86_MPTABLE_GPA + FLOATING_LEN);
    buf[8] = FLOATING_LEN / 16;
    buf[9] = 4;
    buf[10] = checksum(buf, FLOATING_LEN);
    return FLOATING_LEN + len;
}
