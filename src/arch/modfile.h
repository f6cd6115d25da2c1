/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a kernel module file. Pure: bytes in, facts out; every
 * length in the file is checked.
 *
 * Sources: include/linux/module_signature.h (the trailer), the ELF-64
 * specification, and modpost's .modinfo section of NAME=VALUE strings.
 */
#ifndef SQ_ARCH_MODFILE_H
#define SQ_ARCH_MODFILE_H

#include <squib/error.h>

#include <stddef.h>
#include <stdint.h>

/* The length of a module without its appended signature, in *bare_len; it
 * is `len` for one that has none. SQUIB_E_FORMAT when the trailer does not
 * fit the file. */
int sq_modfile_bare_len(const uint8_t *data, size_t len, size_t *bare_len,
                        struct squib_error *err);

/* Checks that the bytes are an uncompressed ELF-64 module.
 * SQUIB_E_NOSUPPORT names a compression, SQUIB_E_FORMAT anything else. */
int sq_modfile_check(const uint8_t *data, size_t len,
                     struct squib_error *err);

/* The value of a .modinfo name ("depends"), as a pointer into `data`, NUL-
 * terminated there; NULL in *value when the module does not have it.
 * SQUIB_E_FORMAT, SQUIB_E_NOSUPPORT as above. */
int sq_modfile_info(const uint8_t *data, size_t len, const char *name,
                    const char **value, struct squib_error *err);

#endif
