/* SPDX-License-Identifier: Apache-2.0 */
/* Looking rows up by opcode. All return NULL for undefined opcodes. */
#ifndef SQ_SOFT_X86_TABLES_H
#define SQ_SOFT_X86_TABLES_H

#include "backends/soft/x86_64/insns.h"

enum sq_x86_table {
    SQ_T_1, SQ_T_2, SQ_T_2_NP, SQ_T_2_66, SQ_T_2_F3, SQ_T_2_F2, SQ_T_38_NP,
    SQ_T_38_66, SQ_T_38_F3, SQ_T_38_F2, SQ_T_3A_NP, SQ_T_3A_66,
    /* by VEX.mmmmm, then VEX.pp */
    SQ_T_VEX_0F_NP, SQ_T_VEX_0F_66, SQ_T_VEX_0F_F3, SQ_T_VEX_0F_F2,
    SQ_T_VEX_38_NP, SQ_T_VEX_38_66, SQ_T_VEX_38_F3, SQ_T_VEX_38_F2,
    SQ_T_VEX_3A_NP, SQ_T_VEX_3A_66, SQ_T_VEX_3A_F3, SQ_T_VEX_3A_F2,
};

const struct sq_x86_row *sq_x86_row_at(enum sq_x86_table t, unsigned op);
const struct sq_x86_row *sq_x86_group_row(unsigned group, bool reg,
                                          unsigned modrm_reg);
const struct sq_x86_row *sq_x86_x87_row(unsigned escape, bool reg,
                                        unsigned modrm_reg);

#endif
