/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/guest.h"

#include <string.h>

#include "arch/aarch64/kernel.h"
#include "arch/agent_blob.h"
#include "arch/x86_64/kernel.h"
#include "base/elf.h"

static int identify_x86(const char *path, struct sq_guest_kernel_id *out,
                        struct squib_error *err)
{
    struct sq_x86_kernel_id id;
    int rc = sq_x86_kernel_identify(path, &id, err);

    if (rc)
        return rc;
    out->packed = id.kind != SQ_X86_KERNEL_ELF;
    memcpy(out->release, id.release, sizeof(out->release));
    return 0;
}

static int identify_arm64(const char *path, struct sq_guest_kernel_id *out,
                          struct squib_error *err)
{
    struct sq_arm64_kernel_id id;
    int rc = sq_arm64_kernel_identify(path, &id, err);

    if (rc)
        return rc;
    out->packed = id.packed;
    memcpy(out->release, id.release, sizeof(out->release));
    return 0;
}

/* Why each word:
 *   panic=-1 reboot=k     a dead guest ends the machine at once, through
 *                         the keyboard controller: no triple fault, which
 *                         would look like a crash (arm64 has PSCI)
 *   cryptomgr.notests     two thirds of a stock kernel's boot
 *   random.trust_cpu=on   RDRAND or the device tree's seed are enough: no
 *   random.trust_bootloader=on  wait for entropy
 *   8250.nr_uarts=1, i8042.*  no probing for what is not there
 */
#define COMMON "console=ttyS0 panic=-1 cryptomgr.notests "                 \
    "random.trust_cpu=on 8250.nr_uarts=1"

static const struct sq_guest_arch archs[SQUIB_ARCH_COUNT] = {
    [SQUIB_ARCH_X86_64] = {
        .arch = SQUIB_ARCH_X86_64,
        .name = "x86-64",
        .elf_machine = EM_X86_64,
        .kernel = "a vmlinux or a bzImage",
        .kernel_files = {"vmlinux", "vmlinuz"},
        .package = "linux-image-cloud-amd64",
        .cache = "kernel/default",
        .cmdline = COMMON " reboot=k i8042.noaux i8042.nomux "
                   "i8042.dumbkbd",
        .agent = sq_agent_x86_64_start,
        .agent_end = sq_agent_x86_64_end,
        .identify = identify_x86,
        .extract = sq_x86_kernel_extract,
    },
    [SQUIB_ARCH_AARCH64] = {
        .arch = SQUIB_ARCH_AARCH64,
        .name = "arm64",
        .elf_machine = EM_AARCH64,
        .kernel = "an arm64 Image",
        .kernel_files = {"Image", "vmlinuz"},
        .package = "linux-image-cloud-arm64",
        .cache = "kernel/default-aarch64",
        .cmdline = COMMON " random.trust_bootloader=on",
        .agent = sq_agent_aarch64_start,
        .agent_end = sq_agent_aarch64_end,
        .identify = identify_arm64,
        .extract = sq_arm64_kernel_extract,
    },
};

const struct sq_guest_arch *sq_guest_arch(enum squib_arch arch)
{
    return &archs[arch];
}
