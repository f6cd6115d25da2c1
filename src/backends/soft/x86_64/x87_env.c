/* SPDX-License-Identifier: Apache-2.0 */
/* x87 control: control and status words, the environment, whole state. */
#include "backends/soft/x86_64/x87.h"

_Noreturn void sq_x87_refuse(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i)
{
    sq_x86_raise(c, i, c->cr0 & (CR0_EM | CR0_TS) ? EXC_NM : EXC_MF,
                 NO_ERROR_CODE);
}

uint16_t sq_x87_ftw(const struct sq_x86_cpu *c)
{
    enum { VALID, ZERO, SPECIAL, EMPTY };
    unsigned ftw = 0;

    for (unsigned n = 0; n < 8; n++) {
        uint64_t sig = c->x87.st[n].sig;
        unsigned e = c->x87.st[n].se & 0x7fff, tag;

        if (c->x87.empty >> n & 1)
            tag = EMPTY;
        else if (e == 0 && sig == 0)
            tag = ZERO;
        else if (e == 0 || e == 0x7fff || !(sig >> 63))
            tag = SPECIAL;
        else
            tag = VALID;
        ftw |= tag << (2 * n);
    }
    return (uint16_t)ftw;
}

/* What the words say of registers that are not empty is not believed: the
 * registers themselves tell. */
static void set_ftw(struct sq_x86_cpu *c, uint16_t ftw)
{
    c->x87.empty = 0;
    for (unsigned n = 0; n < 8; n++)
        if ((ftw >> (2 * n) & 3) == 3)
            c->x87.empty |= (uint8_t)(1u << n);
}

void sq_x87_init(struct sq_x86_cpu *c)
{
    c->x87.fcw = FCW_INIT;
    c->x87.fsw = 0;
    c->x87.top = 0;
    c->x87.empty = 0xff;
    c->x87.fop = 0;
    c->x87.fip = c->x87.fdp = 0;
    c->x87.fcs = c->x87.fds = 0;
}

/* --- words ----------------------------------------------------------- */

OP(fldcw)
{
    uint16_t v;

    sq_x87_begin(c, i);
    v = LD(16, sq_ea(c, i, 2, ACCESS_R));
    sq_x87_set_words(c, v, sq_x87_fsw(c));
    NEXT;
}
OP(fnstcw)
{
    sq_x87_begin_nowait(c, i);
    ST(16, sq_ea(c, i, 2, ACCESS_W), c->x87.fcw);
    NEXT;
}
OP(fnstsw)
{
    sq_x87_begin_nowait(c, i);
    ST(16, sq_ea(c, i, 2, ACCESS_W), sq_x87_fsw(c));
    NEXT;
}
OP(fnstsw_ax)
{
    if (i->rm & 7)
        sq_x86_ud(c, i);
    sq_x87_begin_nowait(c, i);
    WR(16, GPR_OFF(R_AX), sq_x87_fsw(c));
    NEXT;
}
FAM1(fldcw, NULL, fldcw)
FAM1(fnstcw, NULL, fnstcw)
FAM1(fnstsw, NULL, fnstsw)
FAM1(fnstsw_ax, fnstsw_ax, NULL)

/* DB E0..E7; FNENI, FNDISI and FNSETPM have no effect since the 80387. */
OP(fgroup_db_4)
{
    if ((i->rm & 7) > 4)
        sq_x86_ud(c, i);
    sq_x87_begin_nowait(c, i);
    switch (i->rm & 7) {
    case 2: /* FNCLEX */
        c->x87.fsw &= (uint16_t)~(SQ_FP_ALL | FSW_SF | FSW_ES | FSW_B);
        break;
    case 3: sq_x87_init(c); break;
    default: break;
    }
    NEXT;
}
FAM1(fgroup_db_4, fgroup_db_4, NULL)

OP(fwait)
{
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        sq_x86_raise(c, i, EXC_NM, NO_ERROR_CODE);
    if (c->x87.fsw & FSW_ES)
        sq_x86_raise(c, i, EXC_MF, NO_ERROR_CODE);
    NEXT;
}
FAM1(fwait, fwait, NULL)

/* --- the environment (SDM vol. 1, 8.1.10) ---------------------------- */

#define REGS_LEN 80 /* ST(0) to ST(7), ten bytes each */
#define ENV_LEN_MAX 28

static bool wide(const struct sq_x86_insn *i)
{
    return i->osz != 1;
}

static unsigned env_len(const struct sq_x86_insn *i)
{
    return wide(i) ? 28 : 14;
}

/* Real and virtual-8086 mode have linear addresses instead of pointers. */
static bool linear_pointers(const struct sq_x86_cpu *c)
{
    return !(c->cr0 & CR0_PE) || c->rflags & FL_VM;
}

/* The seven fields in their order: FCW, FSW, FTW, then the pointers. */
static void env_save(const struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint8_t *buf)
{
    const struct sq_x87 *x = &c->x87;
    uint32_t f[7] = {x->fcw, sq_x87_fsw(c), sq_x87_ftw(c)};
    uint32_t ip = (uint32_t)x->fip, dp = (uint32_t)x->fdp;

    if (linear_pointers(c)) {
        ip += (uint32_t)x->fcs << 4;
        dp += (uint32_t)x->fds << 4;
        f[3] = ip & 0xffff;
        f[4] = (ip >> 16 << 12) | x->fop;
        f[5] = dp & 0xffff;
        f[6] = dp >> 16 << 12;
    } else {
        f[3] = ip;
        f[4] = x->fcs | (wide(i) ? (uint32_t)x->fop << 16 : 0);
        f[5] = dp;
        f[6] = x->fds;
    }
    for (unsigned n = 0; n < 7; n++) {
        /* the upper halves of these fields read as ones */
        bool ones = n < 3 || (n == 6 && !linear_pointers(c));

        if (wide(i))
            sq_st32(buf + 4 * n, f[n] | (ones ? 0xffff0000u : 0));
        else
            sq_st16(buf + 2 * n, (uint16_t)f[n]);
    }
}

static void env_load(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     const uint8_t *buf)
{
    struct sq_x87 *x = &c->x87;
    uint32_t f[7];

    for (unsigned n = 0; n < 7; n++)
        f[n] = wide(i) ? sq_ld32(buf + 4 * n) : sq_ld16(buf + 2 * n);
    sq_x87_set_words(c, (uint16_t)f[0], (uint16_t)f[1]);
    set_ftw(c, (uint16_t)f[2]);
    if (linear_pointers(c)) {
        x->fip = (f[3] & 0xffff) | (f[4] >> 12 & 0xffff) << 16;
        x->fdp = (f[5] & 0xffff) | (f[6] >> 12 & 0xffff) << 16;
        x->fcs = x->fds = 0;
        x->fop = f[4] & 0x7ff;
    } else {
        x->fip = f[3];
        x->fcs = (uint16_t)f[4];
        x->fop = f[4] >> 16 & 0x7ff;
        x->fdp = f[5];
        x->fds = (uint16_t)f[6];
    }
}

/* Also masks all exceptions, for the handler that saves it. */
OP(fnstenv)
{
    uint8_t buf[ENV_LEN_MAX];

    sq_x87_begin_nowait(c, i);
    env_save(c, i, buf);
    sq_x86_put_area(c, i, sq_ea(c, i, env_len(i), ACCESS_W), buf,
                    env_len(i));
    c->x87.fcw |= SQ_FP_ALL;
    sq_x87_summarize(c);
    NEXT;
}

OP(fldenv)
{
    uint8_t buf[ENV_LEN_MAX];

    sq_x87_begin(c, i);
    sq_x86_get_area(c, i, sq_ea(c, i, env_len(i), ACCESS_R), buf,
                    env_len(i));
    env_load(c, i, buf);
    NEXT;
}

OP(fnsave)
{
    uint8_t buf[ENV_LEN_MAX + REGS_LEN], *p = buf + env_len(i);
    unsigned len = env_len(i) + REGS_LEN;

    sq_x87_begin_nowait(c, i);
    env_save(c, i, buf);
    for (unsigned n = 0; n < 8; n++, p += 10) {
        struct sq_f80 v = sq_x87_get(c, n);

        sq_st64(p, v.sig);
        sq_st16(p + 8, v.se);
    }
    sq_x86_put_area(c, i, sq_ea(c, i, len, ACCESS_W), buf, len);
    sq_x87_init(c);
    NEXT;
}

OP(frstor)
{
    uint8_t buf[ENV_LEN_MAX + REGS_LEN], *p = buf + env_len(i);
    unsigned len = env_len(i) + REGS_LEN;

    sq_x87_begin(c, i);
    sq_x86_get_area(c, i, sq_ea(c, i, len, ACCESS_R), buf, len);
    env_load(c, i, buf);
    for (unsigned n = 0; n < 8; n++, p += 10) {
        unsigned r = sq_x87_phys(c, n);

        c->x87.st[r].sig = sq_ld64(p);
        c->x87.st[r].se = sq_ld16(p + 8);
    }
    NEXT;
}
FAM1(fnstenv, NULL, fnstenv)
FAM1(fldenv, NULL, fldenv)
FAM1(fnsave, NULL, fnsave)
FAM1(frstor, NULL, frstor)
