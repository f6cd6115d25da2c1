/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's configuration file (--config-file): the keys are those that
 * GET /vm/config shows. Fields, bounds and refusals follow Firecracker
 * 1.17; its serde texts ("missing field `x`") are kept where clients match
 * on them.
 *
 * Read so far: boot-source, machine-config, drives, network-interfaces,
 * mmds-config, vsock, entropy, balloon, pmem. Other known keys are refused
 * with a clear text unless they are null or empty. Keys nobody knows are
 * refused inside objects and, as upstream, skipped at the top level; `notes`
 * then names them.
 */
#ifndef SQ_VMM_CONFIG_JSON_H
#define SQ_VMM_CONFIG_JSON_H

#include <stddef.h>

#include <squib/error.h>

#include "vmm/config.h"

/* A file larger than this is refused unread. */
#define SQ_CONFIG_FILE_MAX (1024u * 1024u)

/* What Firecracker boots with when boot_args is absent. */
#define SQ_CONFIG_CMDLINE_DEFAULT                                          \
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "   \
    "i8042.dumbkbd swiotlb=noforce"

/* Fills *spec, initialised by the caller, from text. notes (optional,
 * notes_len bytes) receives one line for people, or "". Errors:
 * SQUIB_E_FORMAT (not JSON), SQUIB_E_INVAL, SQUIB_E_NOSUPPORT. The spec is
 * unspecified after an error. */
int sq_config_parse(const char *text, size_t text_len,
                    struct sq_vm_spec *spec, char *notes, size_t notes_len,
                    struct squib_error *err);

/* The same from a file, and then checks that every path in it can be
 * opened. Errors also: SQUIB_E_OS, SQUIB_E_NOTFOUND. */
int sq_config_load(const char *path, struct sq_vm_spec *spec, char *notes,
                   size_t notes_len, struct squib_error *err);

/* Adds what Firecracker adds to the command line: pci=off unless there is
 * PCI, root=... */
int sq_config_finish_cmdline(struct sq_vm_spec *spec,
                             struct squib_error *err);

#endif
