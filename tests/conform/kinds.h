/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CF_KINDS_H
#define CF_KINDS_H

#include "conform.h"

/* A set of kinds that the processes of all tests share. */
_Atomic uint32_t *cf_kinds_new(void);

/* Whether a whole run saw what the table says; prints a line. */
bool cf_kinds_check(const struct squib_backend *be, uint32_t seen);

/* The table of docs/backends.md. */
void cf_kinds_table(void);

#endif
