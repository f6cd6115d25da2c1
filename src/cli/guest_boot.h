/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the options of `run` to something that boots: kernel, initramfs with
 * agent, modules and busybox, command line, drives.
 */
#ifndef SQ_CLI_GUEST_BOOT_H
#define SQ_CLI_GUEST_BOOT_H

#include <squib/backend.h>

#include "arch/initramfs.h"
#include "cli/kernel_find.h"
#include "cli/root.h"
#include "cli/run_options.h"
#include "core/agent_proto.h"
#include "vmm/config.h"

struct sq_guest_boot {
    struct sq_kernel_choice kernel;
    struct sq_root root;
    struct sq_initramfs initramfs;
    size_t module_count;
};

/* Fills *spec and *boot. alone: the initramfs brings this command with it
 * (NULL: the host sends one). Errors name the file and the remedy; *boot needs
 * sq_guest_boot_release() even then. */
int sq_guest_boot_prepare(const struct sq_run_options *o,
                          const struct squib_backend *backend,
                          const struct sq_agent_command *alone,
                          struct sq_guest_boot *boot,
                          struct sq_vm_spec *spec, struct squib_error *err);

/* Once the machine is built, or to give up; twice is fine. */
void sq_guest_boot_release(struct sq_guest_boot *boot);

/* The modules that a guest with this root's file system (NULL: built-in
 * root), with further disks, a network and PCI or without, cannot do without;
 * for doctor. Returns how many were written. */
#define SQ_GUEST_MODULES_MAX 8
size_t sq_guest_modules(const char *fstype, bool disks, bool net, bool pci,
                        const char *out[SQ_GUEST_MODULES_MAX]);

#endif
