/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written front to back with libfdt's sequential functions. Each returns 0
 * or a negative number, after which the others fail too; so `t->rc` keeps
 * the first and is looked at once, at the end.
 */
#include "arch/aarch64/fdt.h"

#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define PHANDLE_GIC 1u
#define PHANDLE_CLOCK 2u
#define PHANDLE_MSI 3u
#define CLOCK_HZ 24000000u

/* Interrupt specifiers of "arm,gic-v3": kind, number, trigger. */
#define GIC_SPI 0u
#define GIC_PPI 1u
#define EDGE 1u
#define LEVEL 4u
#define GIC_MAINTENANCE_PPI 9u

/* phys.hi of a PCI address: 32-bit memory (IEEE 1275, PCI binding). */
#define PCI_MEMORY_32 0x02000000u

struct tree {
    void *fdt;
    int rc;
};

static void keep(struct tree *t, int rc)
{
    if (!t->rc)
        t->rc = rc;
}

static void begin(struct tree *t, const char *name)
{
    keep(t, fdt_begin_node(t->fdt, name));
}

static void begin_at(struct tree *t, const char *name, uint64_t unit)
{
    char full[48];

    snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)unit);
    begin(t, full);
}

static void end(struct tree *t)
{
    keep(t, fdt_end_node(t->fdt));
}

static void text(struct tree *t, const char *name, const char *value)
{
    keep(t, fdt_property_string(t->fdt, name, value));
}

/* A list of strings, each with its NUL: value has one more at the end. */
static void texts(struct tree *t, const char *name, const char *value,
                  size_t len)
{
    keep(t, fdt_property(t->fdt, name, value, (int)len));
}

static void flag(struct tree *t, const char *name)
{
    keep(t, fdt_property(t->fdt, name, NULL, 0));
}

static void cell(struct tree *t, const char *name, uint32_t value)
{
    keep(t, fdt_property_u32(t->fdt, name, value));
}

static void cells(struct tree *t, const char *name, const uint32_t *value,
                  size_t n)
{
    fdt32_t be[16];

    for (size_t i = 0; i < n && i < SQ_ARRAY_LEN(be); i++)
        be[i] = cpu_to_fdt32(value[i]);
    keep(t, fdt_property(t->fdt, name, be, (int)(n * sizeof(be[0]))));
}

/* Pairs of address and length, two cells each. */
static void reg(struct tree *t, const uint64_t *pairs, size_t n)
{
    uint32_t v[8];

    for (size_t i = 0; i < n; i++) {
        v[2 * i] = (uint32_t)(pairs[i] >> 32);
        v[2 * i + 1] = (uint32_t)pairs[i];
    }
    cells(t, "reg", v, 2 * n);
}

static void interrupt(struct tree *t, uint32_t kind, uint32_t n,
                      uint32_t trigger)
{
    const uint32_t v[] = {kind, n, trigger};

    cells(t, "interrupts", v, SQ_ARRAY_LEN(v));
}

/* --- nodes ------------------------------------------------------------- */

static void chosen(struct tree *t, const struct sq_arm64_boot *boot,
                   const struct sq_arm64_fdt_info *info)
{
    char path[32];

    begin(t, "chosen");
    text(t, "bootargs", boot->cmdline ? boot->cmdline : "");
    if (boot->serial) {
        snprintf(path, sizeof(path), "/serial@%x", SQ_ARM64_SERIAL_GPA);
        text(t, "stdout-path", path);
    }
    if (info->initrd_len) {
        keep(t, fdt_property_u64(t->fdt, "linux,initrd-start",
                                 info->initrd_gpa));
        keep(t, fdt_property_u64(t->fdt, "linux,initrd-end",
                                 info->initrd_gpa + info->initrd_len));
    }
    if (boot->seed) {
        keep(t, fdt_property(t->fdt, "kaslr-seed", boot->seed, 8));
        keep(t, fdt_property(t->fdt, "rng-seed", boot->seed + 8, 24));
    }
    end(t);
}

static void memory(struct tree *t, const struct sq_arm64_fdt_info *info)
{
    const uint64_t r[] = {SQ_ARM64_RAM_GPA, info->ram_len};

    begin_at(t, "memory", SQ_ARM64_RAM_GPA);
    text(t, "device_type", "memory");
    reg(t, r, 2);
    end(t);
}

static void cpus(struct tree *t, uint32_t n)
{
    begin(t, "cpus");
    cell(t, "#address-cells", 1);
    cell(t, "#size-cells", 0);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t mpidr = (uint32_t)squib_aarch64_mpidr(i);

        begin_at(t, "cpu", mpidr);
        text(t, "device_type", "cpu");
        text(t, "compatible", "arm,armv8");
        text(t, "enable-method", "psci");
        cell(t, "reg", mpidr);
        end(t);
    }
    end(t);
    begin(t, "psci");
    texts(t, "compatible", "arm,psci-1.0\0arm,psci-0.2",
          sizeof("arm,psci-1.0\0arm,psci-0.2"));
    text(t, "method", "hvc");
    end(t);
}

/* Where devices on PCI write their interrupts; which ones the frame says. */
static void msi(struct tree *t)
{
    const uint64_t r[] = {SQ_ARM64_MSI_GPA, SQUIB_AARCH64_MSI_LEN};

    cell(t, "#address-cells", 2);
    cell(t, "#size-cells", 2);
    flag(t, "ranges");
    begin_at(t, "v2m", SQ_ARM64_MSI_GPA);
    text(t, "compatible", "arm,gic-v2m-frame");
    flag(t, "msi-controller");
    reg(t, r, 2);
    cell(t, "phandle", PHANDLE_MSI);
    end(t);
}

static void gic(struct tree *t, bool with_msi)
{
    const uint64_t r[] = {SQ_ARM64_GICD_GPA, SQUIB_AARCH64_GICD_LEN,
                          SQ_ARM64_GICR_GPA, SQ_ARM64_GICR_ROOM_LEN};

    begin_at(t, "interrupt-controller", SQ_ARM64_GICD_GPA);
    text(t, "compatible", "arm,gic-v3");
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 3);
    reg(t, r, SQ_ARRAY_LEN(r));
    interrupt(t, GIC_PPI, GIC_MAINTENANCE_PPI, LEVEL);
    cell(t, "phandle", PHANDLE_GIC);
    if (with_msi)
        msi(t);
    end(t);
}

/* One bus. Functions have messages and no lines. */
static void pci(struct tree *t)
{
    const uint64_t r[] = {SQ_ARM64_ECAM_GPA, SQ_ARM64_ECAM_LEN};
    const uint32_t ranges[] = {PCI_MEMORY_32, 0, SQ_ARM64_PCI_GPA,
                               0, SQ_ARM64_PCI_GPA, 0, SQ_ARM64_PCI_LEN};
    const uint32_t buses[] = {0, 0};

    begin_at(t, "pcie", SQ_ARM64_ECAM_GPA);
    text(t, "compatible", "pci-host-ecam-generic");
    text(t, "device_type", "pci");
    cell(t, "#address-cells", 3);
    cell(t, "#size-cells", 2);
    reg(t, r, 2);
    cells(t, "ranges", ranges, SQ_ARRAY_LEN(ranges));
    cells(t, "bus-range", buses, SQ_ARRAY_LEN(buses));
    cell(t, "msi-parent", PHANDLE_MSI);
    flag(t, "dma-coherent");
    end(t);
}

static void timer(struct tree *t)
{
    static const uint32_t v[] = {
        GIC_PPI, SQUIB_AARCH64_PPI_TIMER_SECURE, LEVEL,
        GIC_PPI, SQUIB_AARCH64_PPI_TIMER_PHYSICAL, LEVEL,
        GIC_PPI, SQUIB_AARCH64_PPI_TIMER_VIRTUAL, LEVEL,
        GIC_PPI, SQUIB_AARCH64_PPI_TIMER_HYP, LEVEL,
    };

    begin(t, "timer");
    text(t, "compatible", "arm,armv8-timer");
    cells(t, "interrupts", v, SQ_ARRAY_LEN(v));
    flag(t, "always-on");
    end(t);
}

static void serial(struct tree *t)
{
    const uint64_t r[] = {SQ_ARM64_SERIAL_GPA, SQ_ARM64_SERIAL_LEN};

    begin_at(t, "serial", SQ_ARM64_SERIAL_GPA);
    text(t, "compatible", "ns16550a");
    reg(t, r, 2);
    interrupt(t, GIC_SPI, SQ_ARM64_SERIAL_SPI, LEVEL);
    cell(t, "clock-frequency", SQ_ARM64_SERIAL_HZ);
    end(t);
}

/* PrimeCells have a bus clock, which a driver wants to switch on. */
static void rtc(struct tree *t)
{
    const uint64_t r[] = {SQ_ARM64_RTC_GPA, SQ_ARM64_RTC_LEN};

    begin(t, "apb-clock");
    text(t, "compatible", "fixed-clock");
    cell(t, "#clock-cells", 0);
    cell(t, "clock-frequency", CLOCK_HZ);
    cell(t, "phandle", PHANDLE_CLOCK);
    end(t);
    begin_at(t, "rtc", SQ_ARM64_RTC_GPA);
    texts(t, "compatible", "arm,pl031\0arm,primecell",
          sizeof("arm,pl031\0arm,primecell"));
    reg(t, r, 2);
    interrupt(t, GIC_SPI, SQ_ARM64_RTC_SPI, LEVEL);
    cell(t, "clocks", PHANDLE_CLOCK);
    text(t, "clock-names", "apb_pclk");
    end(t);
}

static void vmgenid(struct tree *t)
{
    const uint64_t r[] = {SQ_ARM64_VMGENID_GPA, 0x1000};

    begin_at(t, "vmgenid", SQ_ARM64_VMGENID_GPA);
    text(t, "compatible", "microsoft,vmgenid");
    reg(t, r, 2);
    interrupt(t, GIC_SPI, SQ_ARM64_VMGENID_SPI, EDGE);
    end(t);
}

static void virtio(struct tree *t, const struct sq_boot_device *d)
{
    const uint64_t r[] = {d->gpa, d->len};

    begin_at(t, "virtio_mmio", d->gpa);
    text(t, "compatible", "virtio,mmio");
    reg(t, r, 2);
    interrupt(t, GIC_SPI, d->irq, EDGE);
    flag(t, "dma-coherent");
    end(t);
}

int sq_arm64_fdt_build(const struct sq_arm64_boot *boot,
                       const struct sq_arm64_fdt_info *info, void *buf,
                       size_t room, size_t *len, struct squib_error *err)
{
    struct tree t = {.fdt = buf};

    keep(&t, fdt_create(buf, (int)room));
    if (boot->vmgenid) /* Linux leaves the page alone */
        keep(&t, fdt_add_reservemap_entry(buf, SQ_ARM64_VMGENID_GPA,
                                          0x1000));
    keep(&t, fdt_finish_reservemap(buf));
    begin(&t, "");
    text(&t, "compatible", "linux,dummy-virt");
    text(&t, "model", "squib");
    cell(&t, "#address-cells", 2);
    cell(&t, "#size-cells", 2);
    cell(&t, "interrupt-parent", PHANDLE_GIC);
    chosen(&t, boot, info);
    memory(&t, info);
    cpus(&t, boot->vcpus);
    gic(&t, boot->pci);
    timer(&t);
    if (boot->serial)
        serial(&t);
    if (boot->rtc)
        rtc(&t);
    if (boot->vmgenid)
        vmgenid(&t);
    if (boot->pci)
        pci(&t);
    for (size_t i = 0; i < boot->device_count; i++)
        virtio(&t, &boot->devices[i]);
    end(&t);
    keep(&t, fdt_finish(buf));
    if (t.rc == -FDT_ERR_NOSPACE)
        return sq_err_set(err, SQUIB_E_RANGE, "the device tree does not fit "
                          "into its %zu bytes\n  do: give fewer devices or a "
                          "shorter command line", room);
    if (t.rc)
        return sq_err_set(err, SQUIB_E_INTERNAL, "device tree: %s",
                          fdt_strerror(t.rc));
    *len = fdt_totalsize(buf);
    return 0;
}
