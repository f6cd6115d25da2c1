/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A64 loads and stores by their encoding (Arm Architecture Reference Manual
 * DDI 0487, C4.1.88): what a processor would put into the syndrome of a data
 * abort. Shared by the double that has to make syndromes and by the tests of
 * who reads them. Pure.
 */
#ifndef HVF_A64_H
#define HVF_A64_H

#include <stdbool.h>
#include <stdint.h>

struct a64_access {
    bool isv;   /* one general register, no write-back: described below */
    bool load, store; /* both false: no access of memory */
    uint8_t size; /* log2 of the bytes */
    bool sign;  /* sign-extends */
    bool wide;  /* the register is an X */
    uint8_t reg;
};

void a64_access(uint32_t insn, struct a64_access *out);

/* ESR_EL2 of a data abort from a lower level, by a translation fault of
 * stage 2 at level 3. */
uint64_t a64_abort_syndrome(const struct a64_access *a);

#endif
