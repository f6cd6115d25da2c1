/* SPDX-License-Identifier: Apache-2.0 */
/* The software CPU's CPUID leaves. */
#ifndef SQ_SOFT_X86_CPUID_H
#define SQ_SOFT_X86_CPUID_H

#include "backends/soft/x86_64/cpu.h"

#define SQ_SOFT_PHYS_BITS 40

/* squib_backend_cpuid() of the software backend. */
int sq_soft_cpuid(struct squib_x86_cpuid *leaves, size_t *n,
                  struct squib_error *err);

#endif
