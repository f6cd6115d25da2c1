/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/acpi.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86_64/aml.h"
#include "base/err.h"
#include "base/util.h"

#define HEADER_LEN 36u
#define FADT_LEN 276u
#define RSDP_LEN 36u

/* FADT feature flags (ACPI 6.3, table 5-35). */
#define FADT_WBINVD (1u << 0)
#define FADT_PWR_BUTTON (1u << 4) /* no fixed-hardware button */
#define FADT_SLP_BUTTON (1u << 5)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED (1u << 20)
/* IA-PC boot architecture flags (table 5-36). */
#define BOOT_8042 (1u << 1)
#define BOOT_NO_VGA (1u << 2)

/* All tables one after the other, as offsets into the image. */
struct image {
    uint8_t *buf;
    size_t cap, len;
};

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

/* Fills the common header (5.2.6) of a table whose body is in place, and
 * takes it into the image. */
static uint64_t finish(struct image *img, const char *signature,
                       uint8_t revision, size_t len)
{
    uint8_t *p = img->buf + img->len;
    uint64_t gpa = SQ_X86_ACPI_GPA + img->len;

    memcpy(p, signature, 4);
    sq_st32(p + 4, (uint32_t)len);
    p[8] = revision;
    p[9] = 0;
    memcpy(p + 10, "SQUIB ", 6);
    memcpy(p + 16, "SQUIBVM ", 8);
    sq_st32(p + 24, 1);
    memcpy(p + 28, "SQUI", 4);
    sq_st32(p + 32, 1);
    p[9] = checksum(p, len);
    img->len = (size_t)sq_align_up(img->len + len, 16);
    return gpa;
}

static void com1_device(struct sq_aml *a)
{
    size_t dev = sq_aml_device(a, "COM1"), crs;

    sq_aml_name(a, "_HID");
    sq_aml_eisa_id(a, "PNP0501");
    sq_aml_name(a, "_UID");
    sq_aml_integer(a, 1);
    sq_aml_name(a, "_CRS");
    crs = sq_aml_resources(a);
    sq_aml_io(a, SQ_X86_COM1_PORT, 8);
    sq_aml_interrupt(a, SQ_X86_COM1_GSI);
    sq_aml_resources_end(a, crs);
    sq_aml_end(a, dev);
}

static void rtc_device(struct sq_aml *a)
{
    size_t dev = sq_aml_device(a, "RTC"), crs;

    sq_aml_name(a, "_HID");
    sq_aml_eisa_id(a, "PNP0B00");
    sq_aml_name(a, "_CRS");
    crs = sq_aml_resources(a);
    sq_aml_io(a, SQ_X86_RTC_PORT, 2);
    sq_aml_resources_end(a, crs);
    sq_aml_end(a, dev);
}

static void keyboard_device(struct sq_aml *a)
{
    size_t dev = sq_aml_device(a, "KBD"), crs;

    sq_aml_name(a, "_HID");
    sq_aml_eisa_id(a, "PNP0303");
    sq_aml_name(a, "_CRS");
    crs = sq_aml_resources(a);
    sq_aml_io(a, 0x60, 1);
    sq_aml_io(a, 0x64, 1);
    sq_aml_interrupt(a, SQ_X86_KBD_GSI);
    sq_aml_resources_end(a, crs);
    sq_aml_end(a, dev);
}

/* The identifier under which Linux looks for virtio-mmio devices. */
static void virtio_device(struct sq_aml *a, unsigned uid,
                          const struct sq_boot_device *d)
{
    char name[8];
    size_t dev, crs;

    snprintf(name, sizeof(name), "VR%02X", uid & 0xff);
    dev = sq_aml_device(a, name);
    sq_aml_name(a, "_HID");
    sq_aml_string(a, "LNRO0005");
    sq_aml_name(a, "_UID");
    sq_aml_integer(a, uid);
    sq_aml_name(a, "_CCA"); /* DMA is cache-coherent */
    sq_aml_integer(a, 1);
    sq_aml_name(a, "_CRS");
    crs = sq_aml_resources(a);
    sq_aml_memory32(a, (uint32_t)d->gpa, d->len);
    sq_aml_interrupt(a, d->irq);
    sq_aml_resources_end(a, crs);
    sq_aml_end(a, dev);
}

/* The VM generation identifier (Microsoft's specification of 2012): where it
 * lies. A change is told by the event device below. */
static void vmgenid_device(struct sq_aml *a)
{
    size_t dev = sq_aml_device(a, "VGEN"), pkg;

    sq_aml_name(a, "_HID");
    sq_aml_string(a, "SQUIB001");
    sq_aml_name(a, "_CID");
    sq_aml_string(a, "VM_Gen_Counter");
    sq_aml_name(a, "_DDN");
    sq_aml_string(a, "VM_Gen_Counter");
    sq_aml_name(a, "ADDR");
    pkg = sq_aml_package(a, 2);
    sq_aml_integer(a, SQ_X86_VMGENID_GPA);
    sq_aml_integer(a, 0); /* the upper half */
    sq_aml_end(a, pkg);
    sq_aml_end(a, dev);
}

/* The root of PCI. Each slot is a device of its own, so that a Notify of
 * the root makes the guest look into all of them (ACPI 6.3, 5.6.6: a bus
 * check); what is there it finds out by itself. */
static void pci_device(struct sq_aml *a)
{
    size_t dev = sq_aml_device(a, "PCI0"), inner;

    sq_aml_name(a, "_HID");
    sq_aml_eisa_id(a, "PNP0A08");
    sq_aml_name(a, "_CID");
    sq_aml_eisa_id(a, "PNP0A03");
    sq_aml_name(a, "_SEG");
    sq_aml_integer(a, 0);
    sq_aml_name(a, "_BBN");
    sq_aml_integer(a, 0);
    sq_aml_name(a, "_UID");
    sq_aml_integer(a, 0);
    sq_aml_name(a, "_CCA"); /* DMA is cache-coherent */
    sq_aml_integer(a, 1);
    sq_aml_name(a, "_CRS");
    inner = sq_aml_resources(a);
    sq_aml_window_buses(a, 1);
    sq_aml_io(a, SQ_X86_PCI_PORT, 8);
    sq_aml_window64(a, SQ_X86_PCI_GPA, SQ_X86_PCI_LEN);
    sq_aml_resources_end(a, inner);
    for (unsigned i = 1; i < SQ_X86_PCI_SLOTS; i++) {
        char name[8];

        snprintf(name, sizeof(name), "S%02X", i & 0xff);
        inner = sq_aml_device(a, name);
        sq_aml_name(a, "_ADR");
        sq_aml_integer(a, i << 16);
        sq_aml_end(a, inner);
    }
    sq_aml_end(a, dev);

    /* Configuration space as a resource of the board, without which Linux
     * does not believe the MCFG table. */
    dev = sq_aml_device(a, "MCFG");
    sq_aml_name(a, "_HID");
    sq_aml_eisa_id(a, "PNP0C02");
    sq_aml_name(a, "_CRS");
    inner = sq_aml_resources(a);
    sq_aml_memory32(a, SQ_X86_ECAM_GPA, SQ_X86_ECAM_LEN);
    sq_aml_resources_end(a, inner);
    sq_aml_end(a, dev);
}

/* Generic event device (5.6.9): interrupts that stand for a Notify. */
static void event_device(struct sq_aml *a, const struct sq_x86_boot *boot)
{
    size_t dev = sq_aml_device(a, "GED"), inner;

    sq_aml_name(a, "_HID");
    sq_aml_string(a, "ACPI0013");
    sq_aml_name(a, "_UID");
    sq_aml_integer(a, 0);
    sq_aml_name(a, "_CRS");
    inner = sq_aml_resources(a);
    if (boot->vmgenid)
        sq_aml_interrupt(a, SQ_X86_VMGENID_GSI);
    if (boot->pci)
        sq_aml_interrupt(a, SQ_X86_PCI_GSI);
    sq_aml_resources_end(a, inner);
    inner = sq_aml_method(a, "_EVT", 1);
    if (boot->vmgenid)
        sq_aml_notify_if(a, SQ_X86_VMGENID_GSI, "\\_SB.VGEN", 0x80);
    if (boot->pci)
        sq_aml_notify_if(a, SQ_X86_PCI_GSI, "\\_SB.PCI0", 0);
    sq_aml_end(a, inner);
    sq_aml_end(a, dev);
}

static int dsdt(struct image *img, const struct sq_x86_boot *boot,
                uint64_t *gpa, struct squib_error *err)
{
    struct sq_aml a = {.buf = img->buf + img->len,
                       .cap = img->cap - img->len - 16,
                       .len = HEADER_LEN};
    size_t scope = sq_aml_scope(&a, "\\_SB"), s5;

    if (boot->serial)
        com1_device(&a);
    rtc_device(&a);
    if (boot->keyboard)
        keyboard_device(&a);
    if (boot->vmgenid)
        vmgenid_device(&a);
    if (boot->pci)
        pci_device(&a);
    if (boot->vmgenid || boot->pci)
        event_device(&a, boot);
    for (size_t i = 0; i < boot->device_count; i++)
        virtio_device(&a, (unsigned)i, &boot->devices[i]);
    sq_aml_end(&a, scope);

    sq_aml_name(&a, "\\_S5");
    s5 = sq_aml_package(&a, 4);
    sq_aml_integer(&a, SQ_X86_SLEEP_S5);
    for (int i = 0; i < 3; i++)
        sq_aml_integer(&a, 0);
    sq_aml_end(&a, s5);
    if (a.full)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "ACPI tables: %zu devices need too much room",
                          boot->device_count);
    *gpa = finish(img, "DSDT", 6, a.len);
    return 0;
}

/* An 8-bit register in port space (Generic Address Structure, 5.2.3.2). */
static void port_register(uint8_t *gas, uint16_t port)
{
    gas[0] = 1; /* system I/O */
    gas[1] = 8; /* bits */
    gas[2] = 0;
    gas[3] = 1; /* byte access */
    sq_st64(gas + 4, port);
}

static uint64_t fadt(struct image *img, const struct sq_x86_boot *boot,
                     uint64_t dsdt_gpa)
{
    uint8_t *p = img->buf + img->len;

    memset(p, 0, FADT_LEN);
    sq_st32(p + 40, (uint32_t)dsdt_gpa);
    p[108] = SQ_X86_RTC_CENTURY;
    sq_st16(p + 109, BOOT_NO_VGA | (boot->keyboard ? BOOT_8042 : 0));
    sq_st32(p + 112, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
                         FADT_RESET_REG_SUP | FADT_HW_REDUCED);
    port_register(p + 116, SQ_X86_RESET_PORT);
    p[128] = SQ_X86_RESET_VALUE;
    p[131] = 3; /* minor version of ACPI 6.3 */
    sq_st64(p + 140, dsdt_gpa);
    port_register(p + 244, SQ_X86_POWER_PORT);     /* sleep control */
    port_register(p + 256, SQ_X86_POWER_PORT + 1); /* sleep status */
    memcpy(p + 268, "SQUIB   ", 8);                /* hypervisor */
    return finish(img, "FACP", 6, FADT_LEN);
}

static uint64_t madt(struct image *img, const struct sq_x86_boot *boot)
{
    uint8_t *p = img->buf + img->len, *e = p + HEADER_LEN;

    sq_st32(e, SQ_X86_LAPIC_GPA);
    sq_st32(e + 4, 0); /* flags: there is no PC-AT interrupt controller */
    e += 8;
    for (uint32_t i = 0; i < boot->vcpus; i++, e += 8) {
        e[0] = 0; /* processor local APIC */
        e[1] = 8;
        e[2] = e[3] = (uint8_t)i; /* processor uid, APIC id */
        sq_st32(e + 4, 1);        /* enabled */
    }
    e[0] = 1; /* I/O APIC */
    e[1] = 12;
    e[2] = e[3] = 0;
    sq_st32(e + 4, SQ_X86_IOAPIC_GPA);
    sq_st32(e + 8, 0); /* first interrupt */
    e += 12;
    e[0] = 4; /* local APIC NMI */
    e[1] = 6;
    e[2] = 0xff; /* on all processors */
    sq_st16(e + 3, 0);
    e[5] = 1; /* LINT1 */
    e += 6;
    return finish(img, "APIC", 5, (size_t)(e - p));
}

/* Where configuration space is (PCI Firmware 3.2, 4.1.2). */
static uint64_t mcfg(struct image *img)
{
    uint8_t *p = img->buf + img->len, *e = p + HEADER_LEN + 8;

    sq_st64(p + HEADER_LEN, 0);
    sq_st64(e, SQ_X86_ECAM_GPA);
    sq_st64(e + 8, 0); /* segment 0, buses 0 to 0 */
    return finish(img, "MCFG", 1, HEADER_LEN + 24);
}

/* The tables that there are; 0 for one that is not. */
static uint64_t xsdt(struct image *img, const uint64_t *table_gpa, size_t n)
{
    uint8_t *p = img->buf + img->len;
    size_t len = HEADER_LEN;

    for (size_t i = 0; i < n; i++) {
        if (!table_gpa[i])
            continue;
        sq_st64(p + len, table_gpa[i]);
        len += 8;
    }
    return finish(img, "XSDT", 1, len);
}

static void rsdp(uint8_t *p, uint64_t xsdt_gpa)
{
    memset(p, 0, RSDP_LEN);
    memcpy(p, "RSD PTR ", 8);
    memcpy(p + 9, "SQUIB ", 6);
    p[15] = 2; /* revision */
    sq_st32(p + 20, RSDP_LEN);
    sq_st64(p + 24, xsdt_gpa);
    p[8] = checksum(p, 20);
    p[32] = checksum(p, RSDP_LEN);
}

int sq_x86_acpi_build(const struct sq_x86_boot *boot, uint8_t *buf,
                      size_t *len, struct squib_error *err)
{
    struct image img = {
        .buf = buf,
        /* What follows the DSDT is of known size: well below 2 KiB. */
        .cap = SQ_X86_ACPI_LEN - 2048,
        .len = (size_t)sq_align_up(RSDP_LEN, 16),
    };
    uint64_t dsdt_gpa = 0, table[3] = {0};
    int rc = dsdt(&img, boot, &dsdt_gpa, err);

    if (rc)
        return rc;
    table[0] = fadt(&img, boot, dsdt_gpa);
    table[1] = madt(&img, boot);
    if (boot->pci)
        table[2] = mcfg(&img);
    rsdp(buf, xsdt(&img, table, SQ_ARRAY_LEN(table)));
    *len = img.len;
    return 0;
}
