/* SPDX-License-Identifier: Apache-2.0 */
/* The page-table walk (SDM vol. 3, chapter 4). */
#ifndef SQ_SOFT_X86_WALK_H
#define SQ_SOFT_X86_WALK_H

#include "backends/soft/x86_64/cpu.h"

enum { WALK_W = 1, WALK_U = 2, WALK_X = 4 };

struct sq_walk {
    uint64_t gpa;   /* of the 4 KiB page that holds the address */
    bool writable;  /* a write would succeed without touching tables: the
                       rights allow it and D is set */
    bool global;
    uint8_t shift; /* of the page that maps it: 12, 21, 22, 30 */
};

/* Translates gva for an access of the given kind (WALK_* bits), setting A
 * and D bits in guest memory as the processor does. Returns true, or false
 * with the #PF error code in *error (the caller sets CR2). gva is canonical
 * in long mode, below 4 GiB otherwise. */
bool sq_x86_walk(struct sq_x86_cpu *c, uint64_t gva, unsigned kind,
                 struct sq_walk *out, uint32_t *error);

/* Loads the four PDPTEs of PAE paging from cr3: false if one has reserved
 * bits set (then #GP is due, SDM 4.4.1). */
bool sq_x86_load_pdptes(struct sq_x86_cpu *c, uint64_t cr3);

#endif
