/* SPDX-License-Identifier: Apache-2.0 */
/* Port input and output. */
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/strings.h"

/* IOPL, else the TSS's permission bitmap (SDM vol. 1, 19.5). */
static void check_port(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint16_t port, unsigned len)
{
    const struct sq_x86_segreg *tr = &c->seg[SEG_TR];
    uint32_t map, bits;

    if (!(c->cr0 & CR0_PE))
        return;
    if (!(c->rflags & FL_VM) && c->cpl <= (c->rflags & FL_IOPL) >> 12)
        return;
    if (!(tr->attr & 8) || tr->limit < 103)
        sq_x86_gp(c, i, 0);
    map = sq_sys_ld16(c, i, tr->base + 102) + port / 8u;
    if (map + 1 > tr->limit)
        sq_x86_gp(c, i, 0);
    bits = sq_sys_ld16(c, i, tr->base + map) >> port % 8;
    if (bits & ((1u << len) - 1))
        sq_x86_gp(c, i, 0);
}

/* Port I/O ends the block: it leaves for the monitor anyway. */
static void done(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    c->gpr[SQ_RIP] = sq_next_rip(c, i);
}

static unsigned io_len(const struct sq_x86_insn *i)
{
    return i->osz == 0 ? 1 : i->osz == 1 ? 2 : 4;
}

static void in(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
               uint16_t port)
{
    unsigned len = io_len(i);
    uint32_t v;

    check_port(c, i, port, len);
    v = sq_x86_port_in(c, i, port, len);
    if (len == 1)
        WR(8, 0, v);
    else if (len == 2)
        WR(16, 0, v);
    else
        WR(32, 0, v);
}
static void out(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                uint16_t port)
{
    unsigned len = io_len(i);
    uint32_t v = RD(32, 0);

    check_port(c, i, port, len);
    sq_x86_port_out(c, i, port, len,
                    len == 4 ? v : v & ((1u << 8 * len) - 1));
}
OP(in_I)
{
    in(c, i, (uint16_t)i->imm);
    done(c, i);
}
OP(in_D)
{
    in(c, i, RD(16, GPR_OFF(R_DX)));
    done(c, i);
}
OP(out_I)
{
    out(c, i, (uint16_t)i->imm);
    done(c, i);
}
OP(out_D)
{
    out(c, i, RD(16, GPR_OFF(R_DX)));
    done(c, i);
}
FAM1(in_I, in_I, NULL)
FAM1(in_D, in_D, NULL)
FAM1(out_I, out_I, NULL)
FAM1(out_D, out_D, NULL)

/* One element. The memory side is probed before the device sees it. */
static void ins_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    unsigned len)
{
    uint64_t dst = sq_string_dst(c, i, len, ACCESS_W);
    uint32_t v;

    sq_x86_probe_write(c, i, dst, len);
    v = sq_x86_port_in(c, i, RD(16, GPR_OFF(R_DX)), len);
    sq_st_bytes(c, i, dst, &v, len);
    sq_string_advance(c, i, R_DI, len);
}
static void outs_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint32_t v = 0;

    sq_ld_bytes(c, i, sq_string_src(c, i, len), &v, len);
    sq_x86_port_out(c, i, RD(16, GPR_OFF(R_DX)), len, v);
    sq_string_advance(c, i, R_SI, len);
}

static void string_io(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      void (*one)(struct sq_x86_cpu *,
                                  const struct sq_x86_insn *, unsigned))
{
    unsigned len = io_len(i);
    uint64_t n = 1;
    bool rep = i->flags & (IF_REP | IF_REPNE);

    check_port(c, i, RD(16, GPR_OFF(R_DX)), len);
    if (rep)
        n = sq_string_count(c, i);
    if (!n)
        return;
    one(c, i, len);
    if (rep) {
        sq_string_set_count(c, i, n - 1);
        /* Each element is an exit anyway: look around in between. */
        if (n > 1)
            sq_string_again(c, i);
    }
}
OP(ins)
{
    string_io(c, i, ins_one);
    done(c, i);
}
OP(outs)
{
    string_io(c, i, outs_one);
    done(c, i);
}
FAM1(ins, ins, NULL)
FAM1(outs, outs, NULL)
