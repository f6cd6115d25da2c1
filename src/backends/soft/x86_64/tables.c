/* SPDX-License-Identifier: Apache-2.0 */
/* The opcode tables, made from the instruction rows at compile time. */
#include "backends/soft/x86_64/tables.h"

/* Every family is declared, whichever table its row is in. */
#define FAMILY(op, name, form, attr, family, undef)                        \
    extern const struct sq_x86_family sq_f_##family;
#define FAMILY_G(g, op, name, form, attr, family, undef)                   \
    extern const struct sq_x86_family sq_f_##family;
#define B1 FAMILY
#define B1X8 FAMILY
#define B1X16 FAMILY
#define B2 FAMILY
#define B2X8 FAMILY
#define B2X16 FAMILY
#define B2_NP FAMILY
#define B2_66 FAMILY
#define B2_F3 FAMILY
#define B2_F2 FAMILY
#define B38_NP FAMILY
#define B38_66 FAMILY
#define B38_F3 FAMILY
#define B38_F2 FAMILY
#define B3A_NP FAMILY
#define B3A_66 FAMILY
#define V0F_NP FAMILY
#define V0F_66 FAMILY
#define V0F_F3 FAMILY
#define V0F_F2 FAMILY
#define V38_NP FAMILY
#define V38_66 FAMILY
#define V38_F3 FAMILY
#define V38_F2 FAMILY
#define V3A_NP FAMILY
#define V3A_66 FAMILY
#define V3A_F3 FAMILY
#define V3A_F2 FAMILY
#define G FAMILY_G
#define GM FAMILY_G
#define GR FAMILY_G
#define FM FAMILY_G
#define FR FAMILY_G
#include "backends/soft/x86_64/insns_rows.h"

#define ROW(name_, form_, attr_, family_, undef_)                          \
    {.name = name_, .family = &sq_f_##family_, .form = FORM_##form_,       \
     .attr = attr_, .undefined = undef_}
#define GROUP_ROW(attr_, group_)                                           \
    {.name = "", .form = FORM_EGV, .group = group_, .attr = (attr_) | A_GROUP}
#define ONE(op, ...) [op] = ROW(__VA_ARGS__),
#define EIGHT(op, ...) [op ... (op) + 7] = ROW(__VA_ARGS__),
#define SIXTEEN(op, ...) [op ... (op) + 15] = ROW(__VA_ARGS__),
#define GROUP(op, attr, group) [op] = GROUP_ROW(attr, group),

static const struct sq_x86_row one_byte[256] = {
#define B1 ONE
#define B1X8 EIGHT
#define B1X16 SIXTEEN
#define B1_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row two_byte[256] = {
#define B2 ONE
#define B2X8 EIGHT
#define B2X16 SIXTEEN
#define B2_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row two_byte_np[256] = {
#define B2_NP ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row two_byte_66[256] = {
#define B2_66 ONE
#define B2_66_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row two_byte_f3[256] = {
#define B2_F3 ONE
#define B2_F3_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row two_byte_f2[256] = {
#define B2_F2 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b38_np[256] = {
#define B38_NP ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b38_66[256] = {
#define B38_66 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b38_f3[256] = {
#define B38_F3 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b38_f2[256] = {
#define B38_F2 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b3a_np[256] = {
#define B3A_NP ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row b3a_66[256] = {
#define B3A_66 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_0f_np[256] = {
#define V0F_NP ONE
#define V0F_NP_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_0f_66[256] = {
#define V0F_66 ONE
#define V0F_66_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_0f_f3[256] = {
#define V0F_F3 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_0f_f2[256] = {
#define V0F_F2 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_38_np[256] = {
#define V38_NP ONE
#define V38_NP_GROUP GROUP
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_38_66[256] = {
#define V38_66 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_38_f3[256] = {
#define V38_F3 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_38_f2[256] = {
#define V38_F2 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_3a_np[256] = {
#define V3A_NP ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_3a_66[256] = {
#define V3A_66 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_3a_f3[256] = {
#define V3A_F3 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct sq_x86_row vex_3a_f2[256] = {
#define V3A_F2 ONE
#include "backends/soft/x86_64/insns_rows.h"
};

/* [memory operand: 0, register: 1] */
#define GROUP_BOTH(g, r, ...) [g][0][r] = ROW(__VA_ARGS__),                \
                              [g][1][r] = ROW(__VA_ARGS__),
#define GROUP_MEM(g, r, ...) [g][0][r] = ROW(__VA_ARGS__),
#define GROUP_REG(g, r, ...) [g][1][r] = ROW(__VA_ARGS__),

static const struct sq_x86_row groups[G_COUNT][2][8] = {
#define G GROUP_BOTH
#define GM GROUP_MEM
#define GR GROUP_REG
#include "backends/soft/x86_64/insns_rows.h"
};

#define X87_MEM(e, r, ...) [(e) - 0xd8][0][r] = ROW(__VA_ARGS__),
#define X87_REG(e, r, ...) [(e) - 0xd8][1][r] = ROW(__VA_ARGS__),

static const struct sq_x86_row x87[8][2][8] = {
#define FM X87_MEM
#define FR X87_REG
#include "backends/soft/x86_64/insns_rows.h"
};

static const struct {
    const char *name;
    const struct sq_x86_row *rows;
} tables[] = {
    [SQ_T_1] = {"", one_byte},
    [SQ_T_2] = {"0F", two_byte},
    [SQ_T_2_NP] = {"NP 0F", two_byte_np},
    [SQ_T_2_66] = {"66 0F", two_byte_66},
    [SQ_T_2_F3] = {"F3 0F", two_byte_f3},
    [SQ_T_2_F2] = {"F2 0F", two_byte_f2},
    [SQ_T_38_NP] = {"NP 0F38", b38_np},
    [SQ_T_38_66] = {"66 0F38", b38_66},
    [SQ_T_38_F3] = {"F3 0F38", b38_f3},
    [SQ_T_38_F2] = {"F2 0F38", b38_f2},
    [SQ_T_3A_NP] = {"NP 0F3A", b3a_np},
    [SQ_T_3A_66] = {"66 0F3A", b3a_66},
    [SQ_T_VEX_0F_NP] = {"VEX NP 0F", vex_0f_np},
    [SQ_T_VEX_0F_66] = {"VEX 66 0F", vex_0f_66},
    [SQ_T_VEX_0F_F3] = {"VEX F3 0F", vex_0f_f3},
    [SQ_T_VEX_0F_F2] = {"VEX F2 0F", vex_0f_f2},
    [SQ_T_VEX_38_NP] = {"VEX NP 0F38", vex_38_np},
    [SQ_T_VEX_38_66] = {"VEX 66 0F38", vex_38_66},
    [SQ_T_VEX_38_F3] = {"VEX F3 0F38", vex_38_f3},
    [SQ_T_VEX_38_F2] = {"VEX F2 0F38", vex_38_f2},
    [SQ_T_VEX_3A_NP] = {"VEX NP 0F3A", vex_3a_np},
    [SQ_T_VEX_3A_66] = {"VEX 66 0F3A", vex_3a_66},
    [SQ_T_VEX_3A_F3] = {"VEX F3 0F3A", vex_3a_f3},
    [SQ_T_VEX_3A_F2] = {"VEX F2 0F3A", vex_3a_f2},
};

static bool used(const struct sq_x86_row *row)
{
    return row->family || row->attr & A_GROUP;
}

const struct sq_x86_row *sq_x86_row_at(enum sq_x86_table t, unsigned op)
{
    const struct sq_x86_row *row = &tables[t].rows[op & 0xff];

    return used(row) ? row : NULL;
}

const struct sq_x86_row *sq_x86_group_row(unsigned group, bool reg,
                                          unsigned modrm_reg)
{
    const struct sq_x86_row *row = &groups[group][reg][modrm_reg & 7];

    return row->family ? row : NULL;
}

const struct sq_x86_row *sq_x86_x87_row(unsigned escape, bool reg,
                                        unsigned modrm_reg)
{
    const struct sq_x86_row *row = &x87[escape & 7][reg][modrm_reg & 7];

    return row->family ? row : NULL;
}

void sq_x86_each_row(sq_x86_row_fn *fn, void *ctx)
{
    for (size_t t = 0; t < SQ_ARRAY_LEN(tables); t++) {
        for (unsigned op = 0; op < 256; op++) {
            const struct sq_x86_row *row = &tables[t].rows[op];

            if (row->attr & A_GROUP) {
                for (int r = 0; r < 8; r++) {
                    const struct sq_x86_row *mem =
                        &groups[row->group][0][r];
                    const struct sq_x86_row *reg =
                        &groups[row->group][1][r];

                    if (mem->family)
                        fn(ctx, tables[t].name, op, r, mem);
                    if (reg->family && reg->family != mem->family)
                        fn(ctx, tables[t].name, op, r, reg);
                }
            } else if (row->family) {
                fn(ctx, tables[t].name, op, -1, row);
            }
        }
    }
    for (unsigned e = 0; e < 8; e++)
        for (int reg = 0; reg < 2; reg++)
            for (int r = 0; r < 8; r++)
                if (x87[e][reg][r].family)
                    fn(ctx, reg ? "x87 reg" : "x87 mem", 0xd8 + e, r,
                       &x87[e][reg][r]);
}
