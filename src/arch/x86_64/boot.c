/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a guest: three protocols over one memory map.
 *
 * A kernel with a PVH note is entered in 32-bit mode with the address of
 * hvm_start_info in EBX (Xen docs/misc/pvh.pandoc and its public header
 * arch-x86/hvm/start_info.h). A multiboot kernel is entered alike (Multiboot
 * Specification 0.6.96, chapters 3.2 and 3.3). Any other is taken for a
 * Linux image and entered in 64-bit mode at its ELF entry with the zero page
 * in RSI (Linux Documentation/arch/x86/boot.rst, "64-bit boot protocol", and
 * zero-page.rst for the offsets).
 */
#include "arch/x86_64/machine.h"

#include <stdlib.h>
#include <string.h>

#include <squib/vm.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/mptable.h"
#include "arch/x86_64/multiboot.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define MIN_RAM (2ull << 20)
#define MIB(len) ((unsigned long long)(((len) + 0xfffff) >> 20))

/* E820 types (ACPI 6.3, table 15-374). */
#define E820_RAM 1u
#define E820_RESERVED 2u
#define E820_MAX 8

struct e820 {
    size_t count;
    struct {
        uint64_t gpa, len;
        uint32_t type;
    } entry[E820_MAX];
};

int sq_x86_ram_ranges(uint64_t mem_len, struct squib_range out[2], size_t *n,
                      struct squib_error *err)
{
    if (mem_len < MIN_RAM || mem_len > SQ_X86_RAM_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "memory of %llu MiB is not possible"
                          "\n  do: choose between %llu and %llu MiB",
                          (unsigned long long)(mem_len >> 20), MIB(MIN_RAM),
                          MIB(SQ_X86_RAM_MAX));
    if (mem_len % SQUIB_PAGE_SIZE)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "memory of %llu bytes is not whole pages"
                          "\n  do: choose a multiple of 1 MiB",
                          (unsigned long long)mem_len);
    out[0] = (struct squib_range){.gpa = 0, .len = mem_len};
    *n = 1;
    if (mem_len > SQ_X86_LOW_RAM_END) {
        out[0].len = SQ_X86_LOW_RAM_END;
        out[1] = (struct squib_range){
            .gpa = SQ_X86_HIGH_RAM_GPA,
            .len = mem_len - SQ_X86_LOW_RAM_END,
        };
        *n = 2;
    }
    return 0;
}

static void e820_add(struct e820 *map, uint64_t gpa, uint64_t end,
                     uint32_t type)
{
    map->entry[map->count].gpa = gpa;
    map->entry[map->count].len = end - gpa;
    map->entry[map->count].type = type;
    map->count++;
}

static void e820_build(struct e820 *map, uint64_t low_end, uint64_t high_len,
                       bool pci)
{
    map->count = 0;
    e820_add(map, 0, SQ_X86_MPTABLE_GPA, E820_RAM);
    e820_add(map, SQ_X86_MPTABLE_GPA, SQ_X86_HIGH_MEMORY_GPA,
             E820_RESERVED);
    e820_add(map, SQ_X86_HIGH_MEMORY_GPA, low_end, E820_RAM);
    if (pci)
        e820_add(map, SQ_X86_ECAM_GPA, SQ_X86_ECAM_GPA + SQ_X86_ECAM_LEN,
                 E820_RESERVED);
    if (high_len)
        e820_add(map, SQ_X86_HIGH_RAM_GPA, SQ_X86_HIGH_RAM_GPA + high_len,
                 E820_RAM);
}

static int check(const struct sq_x86_boot *boot, struct squib_error *err)
{
    size_t len = boot->cmdline ? strlen(boot->cmdline) : 0;

    if (len >= SQ_X86_CMDLINE_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "the kernel command line has %zu characters"
                          "\n  do: shorten it to %u at most", len,
                          SQ_X86_CMDLINE_MAX - 1);
    if (boot->vcpus < 1 || boot->vcpus > SQUIB_VCPUS_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u vCPUs are not possible"
                          "\n  do: choose between 1 and %d", boot->vcpus,
                          SQUIB_VCPUS_MAX);
    if (boot->device_count > SQ_X86_VIRTIO_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%zu devices are too many"
                          "\n  do: use %u at most", boot->device_count,
                          SQ_X86_VIRTIO_MAX);
    for (size_t i = 0; i < boot->device_count; i++)
        if (boot->devices[i].irq >= SQ_X86_IOAPIC_PINS)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "device %zu: there is no interrupt line %u", i,
                              boot->devices[i].irq);
    return 0;
}

/* Lays the parts down below low_end; *gpa is 0 if there are none. */
static int load_initrd(struct squib_memory *mem,
                       const struct sq_x86_boot *boot, uint64_t kernel_end,
                       uint64_t low_end, uint64_t *gpa, uint64_t *len,
                       struct squib_error *err)
{
    uint64_t at, free_gpa = sq_align_up(kernel_end, SQUIB_PAGE_SIZE);

    *gpa = *len = 0;
    for (size_t i = 0; i < boot->initrd_parts; i++)
        if (sq_add_overflow(sq_align_up(*len, 4), boot->initrd[i].len, len) ||
            *len > SQ_X86_LOW_RAM_END)
            return sq_err_set(err, SQUIB_E_RANGE,
                              "the initrd is larger than 3 GiB"
                              "\n  do: use a smaller one");
    if (*len == 0)
        return 0;
    if (free_gpa > low_end || *len > low_end - free_gpa)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "kernel (up to %llu MiB) and initrd (%llu MiB) do "
                          "not fit into the VM's %llu MiB"
                          "\n  do: give the VM more memory",
                          MIB(kernel_end), MIB(*len), MIB(low_end));
    *gpa = (low_end - *len) & ~(uint64_t)(SQUIB_PAGE_SIZE - 1);
    at = *gpa;
    for (size_t i = 0; i < boot->initrd_parts; i++) {
        int rc;

        at = sq_align_up(at, 4);
        rc = sq_memory_load(mem, at, boot->initrd[i].data,
                            boot->initrd[i].len,
                            i == 0 && boot->initrd_mapped, err);
        if (rc)
            return rc;
        at += boot->initrd[i].len;
    }
    return 0;
}

/* What both protocols hand to the kernel. */
struct handover {
    struct e820 map;
    uint64_t initrd_gpa, initrd_len;
    uint64_t cmdline_len;
};

static int write_pvh(struct squib_memory *mem, const struct handover *h,
                     struct squib_error *err)
{
    enum { START = 0, MODULE = 64, MAP = 128 };
    uint8_t page[MAP + E820_MAX * 24] = {0};

    sq_st32(page + 0, 0x336ec578); /* magic */
    sq_st32(page + 4, 1);          /* version with a memory map */
    if (h->initrd_len) {
        sq_st32(page + 12, 1);
        sq_st64(page + 16, SQ_X86_PVH_GPA + MODULE);
        sq_st64(page + MODULE, h->initrd_gpa);
        sq_st64(page + MODULE + 8, h->initrd_len);
    }
    sq_st64(page + 24, SQ_X86_CMDLINE_GPA);
    sq_st64(page + 32, SQ_X86_ACPI_GPA);
    sq_st64(page + 40, SQ_X86_PVH_GPA + MAP);
    sq_st32(page + 48, (uint32_t)h->map.count);
    for (size_t i = 0; i < h->map.count; i++) {
        uint8_t *e = page + MAP + i * 24;

        sq_st64(e, h->map.entry[i].gpa);
        sq_st64(e + 8, h->map.entry[i].len);
        sq_st32(e + 16, h->map.entry[i].type);
    }
    return squib_memory_write(mem, SQ_X86_PVH_GPA, page, sizeof(page), err);
}

static int write_multiboot(struct squib_memory *mem,
                           const struct handover *h, uint64_t low_end,
                           struct squib_error *err)
{
    enum {
        MEMORY = 1 << 0, CMDLINE = 1 << 2, MODULES = 1 << 3, MMAP = 1 << 6,
        LOADER = 1 << 9,
    };
    enum { MODULE = 96, NAME = 112, MAP = 128, ENTRY = 24 };
    const uint32_t gpa = SQ_X86_MULTIBOOT_GPA;
    uint8_t page[MAP + E820_MAX * ENTRY] = {0};

    sq_st32(page + 0, MEMORY | CMDLINE | MODULES | MMAP | LOADER);
    sq_st32(page + 4, SQ_X86_MPTABLE_GPA >> 10);
    sq_st32(page + 8, (uint32_t)((low_end - SQ_X86_HIGH_MEMORY_GPA) >> 10));
    sq_st32(page + 16, SQ_X86_MULTIBOOT_CMDLINE_GPA);
    if (h->initrd_len) {
        sq_st32(page + 20, 1);
        sq_st32(page + 24, gpa + MODULE);
        sq_st32(page + MODULE, (uint32_t)h->initrd_gpa);
        sq_st32(page + MODULE + 4, (uint32_t)(h->initrd_gpa +
                                              h->initrd_len));
    }
    sq_st32(page + 44, (uint32_t)h->map.count * ENTRY);
    sq_st32(page + 48, gpa + MAP);
    sq_st32(page + 64, gpa + NAME);
    memcpy(page + NAME, "squib", sizeof("squib"));
    for (size_t i = 0; i < h->map.count; i++) {
        uint8_t *e = page + MAP + i * ENTRY;

        sq_st32(e, ENTRY - 4); /* of what follows */
        sq_st64(e + 4, h->map.entry[i].gpa);
        sq_st64(e + 12, h->map.entry[i].len);
        sq_st32(e + 20, h->map.entry[i].type);
    }
    return squib_memory_write(mem, gpa, page, sizeof(page), err);
}

static int write_zero_page(struct squib_memory *mem,
                           const struct handover *h, struct squib_error *err)
{
    uint8_t page[SQUIB_PAGE_SIZE] = {0};

    sq_st64(page + 0x070, SQ_X86_ACPI_GPA); /* acpi_rsdp_addr */
    page[0x1e8] = (uint8_t)h->map.count;
    sq_st16(page + 0x1fe, 0xaa55);
    memcpy(page + 0x202, "HdrS", 4);
    sq_st16(page + 0x206, 0x020f); /* protocol 2.15 */
    page[0x210] = 0xff;            /* loader without a number */
    page[0x211] = 0x01;            /* the kernel is loaded high */
    sq_st32(page + 0x218, (uint32_t)h->initrd_gpa);
    sq_st32(page + 0x21c, (uint32_t)h->initrd_len);
    sq_st32(page + 0x228, SQ_X86_CMDLINE_GPA);
    sq_st32(page + 0x230, 0x1000000); /* kernel_alignment */
    sq_st32(page + 0x238, (uint32_t)h->cmdline_len);
    for (size_t i = 0; i < h->map.count; i++) {
        uint8_t *e = page + 0x2d0 + i * 20;

        sq_st64(e, h->map.entry[i].gpa);
        sq_st64(e + 8, h->map.entry[i].len);
        sq_st32(e + 16, h->map.entry[i].type);
    }
    return squib_memory_write(mem, SQ_X86_ZERO_PAGE_GPA, page, sizeof(page),
                              err);
}

/* Identity map of the first 4 GiB in 2 MiB pages (SDM vol. 3, 4.5), and the
 * two flat segments that the protocol asks for at 0x10 and 0x18. */
static int write_long_mode(struct squib_memory *mem, struct squib_error *err)
{
    static const uint64_t gdt[4] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
    };
    uint64_t table[512] = {0};
    uint64_t gpa = SQ_X86_PAGE_TABLES_GPA;
    int rc;

    rc = squib_memory_write(mem, SQ_X86_GDT_GPA, gdt, sizeof(gdt), err);
    table[0] = (gpa + SQUIB_PAGE_SIZE) | 3;
    if (!rc)
        rc = squib_memory_write(mem, gpa, table, sizeof(table), err);
    for (unsigned i = 0; i < 4; i++)
        table[i] = (gpa + (2 + i) * SQUIB_PAGE_SIZE) | 3;
    if (!rc)
        rc = squib_memory_write(mem, gpa + SQUIB_PAGE_SIZE, table,
                                sizeof(table), err);
    for (unsigned i = 0; i < 4 && !rc; i++) {
        for (unsigned j = 0; j < 512; j++)
            table[j] = ((uint64_t)i << 30 | (uint64_t)j << 21) | 0x83;
        rc = squib_memory_write(mem, gpa + (2 + i) * SQUIB_PAGE_SIZE, table,
                                sizeof(table), err);
    }
    return rc;
}

static int write_tables(struct squib_memory *mem,
                        const struct sq_x86_boot *boot,
                        struct squib_error *err)
{
    uint8_t mp[SQ_X86_MPTABLE_LEN];
    size_t len = sq_x86_mptable_build(boot->vcpus, mp);
    uint8_t *acpi;
    int rc;

    rc = squib_memory_write(mem, SQ_X86_MPTABLE_GPA, mp, len, err);
    if (rc)
        return rc;
    acpi = calloc(1, SQ_X86_ACPI_LEN);
    if (!acpi)
        return sq_err_set(err, SQUIB_E_NOMEM, "ACPI tables: no memory");
    rc = sq_x86_acpi_build(boot, acpi, &len, err);
    if (!rc)
        rc = squib_memory_write(mem, SQ_X86_ACPI_GPA, acpi, len, err);
    free(acpi);
    return rc;
}

int sq_x86_boot_load(struct squib_memory *mem, const struct sq_x86_boot *boot,
                     struct sq_x86_entry *out, struct squib_error *err)
{
    const struct sq_memory_region *low;
    const char *cmdline = boot->cmdline ? boot->cmdline : "";
    struct sq_x86_image image;
    struct handover h;
    int rc = check(boot, err);

    if (rc)
        return rc;
    low = sq_memory_region_count(mem) ? sq_memory_region_at(mem, 0) : NULL;
    if (!low || low->gpa != 0 || low->len < MIN_RAM ||
        low->len > SQ_X86_LOW_RAM_END)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "guest memory is not laid out for x86-64");
    e820_build(&h.map, low->len, squib_memory_size(mem) - low->len,
               boot->pci);
    rc = sq_x86_kernel_load(boot->kernel, mem, low->len, &image, err);
    if (!rc)
        rc = load_initrd(mem, boot, image.end_gpa, low->len, &h.initrd_gpa,
                         &h.initrd_len, err);
    h.cmdline_len = strlen(cmdline);
    if (!rc)
        rc = squib_memory_write(mem, image.multiboot
                                    ? SQ_X86_MULTIBOOT_CMDLINE_GPA
                                    : SQ_X86_CMDLINE_GPA,
                                cmdline, h.cmdline_len + 1, err);
    if (!rc)
        rc = write_tables(mem, boot, err);
    if (rc)
        return rc;
    if (image.pvh_gpa) {
        *out = (struct sq_x86_entry){
            .protocol = SQ_X86_PROTOCOL_PVH,
            .rip = image.pvh_gpa,
            .info_gpa = SQ_X86_PVH_GPA,
        };
        return write_pvh(mem, &h, err);
    }
    if (!image.entry_gpa && image.multiboot)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "kernel %s: its entry is not within it"
                          "\n  do: link it again",
                          sq_x86_kernel_name(boot->kernel));
    if (image.multiboot) {
        *out = (struct sq_x86_entry){
            .protocol = SQ_X86_PROTOCOL_MULTIBOOT,
            .rip = image.entry_gpa,
            .info_gpa = SQ_X86_MULTIBOOT_GPA,
        };
        return write_multiboot(mem, &h, low->len, err);
    }
    if (!image.entry_gpa)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "kernel %s: it has no PVH entry and its ELF entry "
                          "is not a physical address within it"
                          "\n  do: build it with CONFIG_PVH=y",
                          sq_x86_kernel_name(boot->kernel));
    *out = (struct sq_x86_entry){
        .protocol = SQ_X86_PROTOCOL_LINUX64,
        .rip = image.entry_gpa,
        .info_gpa = SQ_X86_ZERO_PAGE_GPA,
        .cr3 = SQ_X86_PAGE_TABLES_GPA,
    };
    rc = write_zero_page(mem, &h, err);
    return rc ? rc : write_long_mode(mem, err);
}

void sq_x86_entry_state(const struct sq_x86_entry *entry,
                        struct squib_x86_64_state *st)
{
    if (entry->protocol != SQ_X86_PROTOCOL_LINUX64) {
        squib_x86_flat32(st, (uint32_t)entry->rip);
        if (entry->protocol == SQ_X86_PROTOCOL_MULTIBOOT)
            st->gpr[SQUIB_X86_RAX] = SQ_MULTIBOOT_MAGIC;
        st->gpr[SQUIB_X86_RBX] = entry->info_gpa;
        return;
    }
    squib_x86_long_mode(st, entry->rip, entry->cr3);
    st->gpr[SQUIB_X86_RSI] = entry->info_gpa;
    st->gdt = (struct squib_x86_table){.base = SQ_X86_GDT_GPA, .limit = 31};
    for (int i = 0; i <= SQUIB_X86_GS; i++)
        st->seg[i].selector = i == SQUIB_X86_CS ? 0x10 : 0x18;
}
