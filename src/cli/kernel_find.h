/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which guest kernel to boot, where its modules are, and the unpacked image
 * that makes the next start fast.
 *
 * Looked at in this order; the first that exists is taken:
 *
 *   --kernel FILE          (or a directory that holds vmlinux or vmlinuz;
 *                          for arm64 guests Image or vmlinuz)
 *   $SQUIB_KERNEL          the same
 *   the cache              CACHE/kernel/default, or default-aarch64
 *   the host's own         /boot/vmlinuz-VERSION, the newest, where guests
 *                          are of the host's architecture
 *
 * CACHE is ${XDG_CACHE_HOME:-~/.cache}/squib. Its layout, which
 * tools/fetch-kernel and tools/build-kernel fill and this module reads:
 *
 *   CACHE/kernel/VERSION/vmlinuz     a kernel image as packaged, or
 *   CACHE/kernel/VERSION/vmlinux     an ELF image (taken first)
 *   CACHE/kernel/VERSION/modules/    modules.dep, modules.builtin, kernel/...
 *                                    absent for a kernel that needs none
 *   CACHE/kernel/default             symbolic link to VERSION
 *   CACHE/kernel/default-aarch64     the same for arm64 guests
 *   CACHE/unpacked/                  ELF images that squib unpacked itself
 *
 * Modules of any kernel FILE: the directory "modules" beside it, else
 * /lib/modules/RELEASE for the release that the image names. None is fine:
 * then the kernel must have all drivers built in.
 */
#ifndef SQ_CLI_KERNEL_FIND_H
#define SQ_CLI_KERNEL_FIND_H

#include <stdbool.h>

#include <squib/error.h>

#include "arch/guest.h"
#include "cli/paths.h"

struct sq_kernel_choice {
    const struct sq_guest_arch *guest; /* what it is for */
    char path[SQ_PATH_MAX];    /* the image that was found */
    char boot[SQ_PATH_MAX];    /* what to boot: path, or it unpacked */
    char modules[SQ_PATH_MAX]; /* "" when there are none */
    char release[65];          /* "" when the image does not say */
    char tried[2048]; /* every place looked at, a line each, with "  " */
};

/* `option` is --kernel's value or NULL. Finding nothing is SQUIB_E_NOTFOUND
 * with choice->tried complete; a kernel that was named but is not there or
 * is none gives the loader's error. Reads the image's header only. */
int sq_kernel_find(const struct sq_guest_arch *guest, const char *option,
                   struct sq_kernel_choice *choice, struct squib_error *err);

/* The guests of the backend that "auto" takes here. */
const struct sq_guest_arch *sq_kernel_guest(void);

/* Sets choice->boot to an unpacked image in the cache, making it first if
 * need be. Never fails: without a cache the packed image is booted. */
void sq_kernel_unpack(struct sq_kernel_choice *choice);

#endif
