/* SPDX-License-Identifier: Apache-2.0 */
/* `squib run --dry-run`: the machine as Firecracker's configuration file. */
#ifndef SQ_CLI_DRY_RUN_H
#define SQ_CLI_DRY_RUN_H

#include <squib/error.h>

#include "cli/guest_boot.h"
#include "cli/run_options.h"
#include "vmm/config.h"

/* What has no equal in such a file. Errors: SQUIB_E_NOSUPPORT. */
int sq_dry_run_check(const struct sq_run_options *o,
                     struct squib_error *err);

/* Keeps the initramfs (and a packed root) in the cache and prints the
 * machine on standard output. The initramfs holds the command, which runs on
 * the serial console. Errors: SQUIB_E_OS, SQUIB_E_NOTFOUND (no cache),
 * SQUIB_E_NOMEM. */
int sq_dry_run_print(struct sq_guest_boot *boot,
                     const struct sq_vm_spec *spec, struct squib_error *err);

#endif
