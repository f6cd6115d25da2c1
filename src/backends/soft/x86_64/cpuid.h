/* SPDX-License-Identifier: Apache-2.0 */
/* The software CPU's CPUID leaves. */
#ifndef SQ_SOFT_X86_CPUID_H
#define SQ_SOFT_X86_CPUID_H

#include "backends/soft/x86_64/cpu.h"

#define SQ_SOFT_PHYS_BITS 40
#define SQ_KVM_SEND_IPI_BIT 11 /* of leaf 0x40000001's EAX */

enum sq_soft_level { SQ_SOFT_V2, SQ_SOFT_V3 }; /* x86-64-v2, x86-64-v3 */

/* squib_backend_cpuid() of the software backend at that level. `native`: not
 * what the host's processor lacks, so that translated code can use it. */
int sq_soft_cpuid(enum sq_soft_level level, bool native,
                  struct squib_x86_cpuid *leaves, size_t *n,
                  struct squib_error *err);

#endif
