/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and addresses of string instructions, for strings.c and io.c. */
#ifndef SQ_SOFT_X86_STRINGS_H
#define SQ_SOFT_X86_STRINGS_H

#include "backends/soft/x86_64/mem.h"

/* rCX in the address size; setting it. */
uint64_t sq_string_count(const struct sq_x86_cpu *c,
                         const struct sq_x86_insn *i);
void sq_string_set_count(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t n);

/* Linear address of seg:[rSI] and ES:[rDI]. */
uint64_t sq_string_src(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len);
uint64_t sq_string_dst(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len, enum sq_access access);

/* Steps rSI or rDI by one element in the direction of DF. */
void sq_string_advance(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned reg, unsigned len);

/* Leaves the block so that instruction i runs again with what is left. */
_Noreturn void sq_string_again(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i);

/* Ends the block before instruction i without a fault. (run.c) */
_Noreturn void sq_x86_stop_at(struct sq_x86_cpu *c,
                              const struct sq_x86_insn *i);

#endif
