/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/aarch64/machine.h"

#include <stdlib.h>
#include <string.h>

#include <squib/vm.h>

#include "arch/aarch64/fdt.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define RAM_MIN (8ull << 20)
/* Linux maps the device tree and finds it in pieces of this size; an initrd
 * may share none of them with the kernel. */
#define PAGE 0x1000ull

int sq_arm64_ram_range(uint64_t mem_len, struct squib_range *out,
                       struct squib_error *err)
{
    if (mem_len < RAM_MIN || mem_len > SQ_ARM64_RAM_MAX ||
        mem_len % SQUIB_PAGE_SIZE != 0)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%llu bytes of memory: between %llu and %llu MiB "
                          "are possible, in whole pages",
                          (unsigned long long)mem_len, RAM_MIN >> 20,
                          SQ_ARM64_RAM_MAX >> 20);
    *out = (struct squib_range){SQ_ARM64_RAM_GPA, mem_len};
    return 0;
}

void sq_arm64_gic(struct squib_aarch64_gic *out)
{
    *out = (struct squib_aarch64_gic){
        .dist_gpa = SQ_ARM64_GICD_GPA,
        .redist_gpa = SQ_ARM64_GICR_GPA,
        .redist_len = SQ_ARM64_GICR_ROOM_LEN,
        .msi_gpa = SQ_ARM64_MSI_GPA,
        .spis = SQ_ARM64_SPIS,
        .msi_spis = SQ_ARM64_MSI_SPIS,
    };
}

static int check(const struct sq_arm64_boot *boot, struct squib_error *err)
{
    uint32_t room = SQ_ARM64_GICR_ROOM_LEN / SQUIB_AARCH64_GICR_LEN;
    size_t len = boot->cmdline ? strlen(boot->cmdline) : 0;

    if (boot->vcpus < 1 || boot->vcpus > room)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u vCPUs: the interrupt controller has room for "
                          "1 to %u redistributors"
                          "\n  do: choose a number in between", boot->vcpus,
                          room);
    if (len >= SQ_ARM64_CMDLINE_MAX)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "the kernel command line has %zu bytes, at most %u "
                          "are possible\n  do: give a shorter one", len,
                          SQ_ARM64_CMDLINE_MAX - 1);
    if (boot->device_count > SQ_ARM64_VIRTIO_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "%zu devices: at most %u are "
                          "possible\n  do: give fewer, or use --pci",
                          boot->device_count, SQ_ARM64_VIRTIO_MAX);
    return 0;
}

/* All of RAM: one range from SQ_ARM64_RAM_GPA on. */
static uint64_t ram_len_of(const struct squib_memory *mem)
{
    for (size_t i = 0; i < sq_memory_region_count(mem); i++) {
        const struct sq_memory_region *r = sq_memory_region_at(mem, i);

        if (r->gpa == SQ_ARM64_RAM_GPA)
            return r->len;
    }
    return 0;
}

static int load_initrd(struct squib_memory *mem,
                       const struct sq_arm64_boot *boot, uint64_t gpa,
                       uint64_t ram_end, struct sq_arm64_fdt_info *info,
                       struct squib_error *err)
{
    uint64_t len = 0;
    int rc = 0;

    /* Each part fits the host's address space, which is below 2^56. */
    for (size_t i = 0; i < boot->initrd_parts && len < 1ull << 56; i++)
        len = sq_align_up(len, 4) + boot->initrd[i].len;
    if (len > ram_end - gpa)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "the initrd has %llu KiB, but behind the kernel "
                          "are %llu KiB of memory left"
                          "\n  do: give the VM more memory",
                          (unsigned long long)(len >> 10),
                          (unsigned long long)((ram_end - gpa) >> 10));
    info->initrd_gpa = gpa;
    info->initrd_len = len;
    for (size_t i = 0; i < boot->initrd_parts && !rc; i++) {
        gpa = sq_align_up(gpa, 4);
        rc = sq_memory_load(mem, gpa, boot->initrd[i].data,
                            boot->initrd[i].len,
                            i == 0 && boot->initrd_mapped, err);
        gpa += boot->initrd[i].len;
    }
    return rc;
}

static int load_fdt(struct squib_memory *mem,
                    const struct sq_arm64_boot *boot,
                    const struct sq_arm64_fdt_info *info,
                    struct squib_error *err)
{
    void *buf = calloc(1, SQ_ARM64_FDT_MAX);
    size_t len;
    int rc;

    if (!buf)
        return sq_err_set(err, SQUIB_E_NOMEM, "device tree: no memory");
    rc = sq_arm64_fdt_build(boot, info, buf, SQ_ARM64_FDT_MAX, &len, err);
    if (!rc)
        rc = squib_memory_write(mem, SQ_ARM64_FDT_GPA, buf, len, err);
    free(buf);
    return rc;
}

int sq_arm64_boot_load(struct squib_memory *mem,
                       const struct sq_arm64_boot *boot,
                       struct sq_arm64_entry *out, struct squib_error *err)
{
    struct sq_arm64_fdt_info info = {.ram_len = ram_len_of(mem)};
    uint64_t ram_end = SQ_ARM64_RAM_GPA + info.ram_len;
    struct sq_arm64_image image;
    int rc = check(boot, err);

    if (!rc && info.ram_len < RAM_MIN)
        rc = sq_err_set(err, SQUIB_E_RANGE, "there is no RAM at %#llx",
                        (unsigned long long)SQ_ARM64_RAM_GPA);
    if (!rc)
        rc = sq_arm64_kernel_load(boot->kernel, mem, SQ_ARM64_KERNEL_GPA,
                                  ram_end, &image, err);
    if (!rc)
        rc = load_initrd(mem, boot, sq_align_up(image.end_gpa, PAGE),
                         ram_end, &info, err);
    if (!rc)
        rc = load_fdt(mem, boot, &info, err);
    if (!rc)
        *out = (struct sq_arm64_entry){.pc = image.entry_gpa,
                                       .fdt_gpa = SQ_ARM64_FDT_GPA};
    return rc;
}

void sq_arm64_entry_state(const struct sq_arm64_entry *entry,
                          struct squib_aarch64_state *st)
{
    squib_aarch64_el1(st, entry->pc, entry->fdt_gpa);
}
