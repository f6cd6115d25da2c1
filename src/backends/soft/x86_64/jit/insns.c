/* SPDX-License-Identifier: Apache-2.0 */
/* One guest instruction to host instructions. */
#include "backends/soft/x86_64/jit/tr.h"

static unsigned size_flags(const struct sq_jit_op *op)
{
    return op->size == 8 ? SQ_E_W : op->size == 2 ? SQ_E_O16 : 0u;
}

/* AH, CH, DH or BH, by its offset in gpr[]. */
static bool is_high(uint8_t off)
{
    return off & 7;
}

bool sq_tr_turns(const struct sq_jit_op *op)
{
    return op->mem && op->reg8 && !op->reg_is_ext && is_high(op->in.reg);
}

/* --- opcode with ModRM --------------------------------------------------- */

/* AH..BH exist only without REX, which some of our registers need. */
static bool encodable(const struct sq_tr *t, const struct sq_jit_op *op)
{
    bool reg_high = op->reg8 && !op->reg_is_ext && is_high(op->in.reg);
    bool rm_high = op->rm8 && !op->mem && is_high(op->in.rm);
    unsigned reg = op->in.reg / 8, rm = op->in.rm / 8;

    if (!reg_high && !rm_high)
        return true;
    if (op->mem) /* but see turn() */
        return t->j->host & SQ_JIT_V3 &&
               (op->opc & 0xfffe) != SQ_OPC(0, 1, 0xb0); /* CMPXCHG */
    if (!reg_high && !op->reg_is_ext &&
        (sq_jit_host(reg) >= 8 || (op->reg8 && reg >= 4)))
        return false;
    if (!rm_high && (sq_jit_host(rm) >= 8 || (op->rm8 && rm >= 4)))
        return false;
    return true;
}

bool sq_tr_native(const struct sq_tr *t, const struct sq_jit_op *op)
{
    if (op->need & ~t->j->host)
        return false;
    if (op->kind == JK_TSC) /* or it is the exact count that matters */
        return !t->c->det && !t->c->lockstep;
    if (op->kind == JK_STI)
        return !t->user && t->c->lapic;
    if (op->kind == JK_CLI || op->kind == JK_SWAPGS ||
        op->kind == JK_READ_CR)
        return !t->user;
    return op->kind != JK_RM || encodable(t, op);
}

/* The host register that stands for register operand `off`, which has been
 * loaded into `scratch` if it lives in memory. */
static unsigned bring(struct sq_tr *t, uint8_t off, unsigned scratch,
                      unsigned role)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned g = off / 8;

    if (!sq_jit_homed(g))
        return sq_jit_host(g);
    if (role & ROLE_R || op->size < 4)
        sq_emit_load(&t->e, scratch, HOME(g));
    return scratch;
}

static unsigned byte_flag(uint8_t off, unsigned *host)
{
    if (is_high(off)) {
        *host += 4;
        return 0;
    }
    return *host >= 4 && *host < 8 ? SQ_E_REX : 0;
}

/* Makes AH..BH the register's low byte, which can be used with REX; and by
 * the rest of 64 bits back again. No flags change. */
static void turn(struct sq_tr *t, unsigned host, uint8_t by)
{
    sq_emit_vex_rr(&t->e, SQ_OPC(0xf2, 3, 0xf0), SQ_E_W, host, 0, host);
    sq_emit_u8(&t->e, by); /* RORX */
}

/* BT and its like with a register count reach beyond a memory operand. */
static bool may_be_memory(const struct sq_jit_op *op)
{
    uint32_t o = op->opc;

    return op->rm_role == ROLE_R && o != SQ_OPC(0, 1, 0xa3);
}

static void op_rm(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    uint16_t after = t->live[t->k + 1];
    unsigned fl = size_flags(op), reg = op->ext, rm = 0;
    struct sq_emit_mem m = {0};
    bool as_memory = false;
    bool turned = sq_tr_turns(op);
    bool flags = op->rd || (op->touches && after & ~op->wr);
    bool r10 = flags || (!op->reg_is_ext && sq_jit_homed(op->in.reg / 8));

    if (op->mem) { /* CMPXCHG16B: #GP comes before page faults */
        m = sq_tr_access(t, (struct sq_tr_how){
                                .write = op->rm_role & ROLE_W, .r10 = r10,
                                .alone = turned,
                                .align = op->mem_size == 16 ? 16 : 0});
        if (op->locked && op->mem_size < 16)
            sq_tr_check_aligned(t, op->mem_size);
    }
    if (flags)
        sq_tr_flags_restore(t);
    if (!op->reg_is_ext) {
        reg = bring(t, op->in.reg, H_10, op->reg_role);
        if (turned)
            turn(t, reg, 8);
        else if (op->reg8)
            fl |= byte_flag(op->in.reg, &reg);
    }
    if (!op->mem) {
        as_memory = sq_jit_homed(op->in.rm / 8) && may_be_memory(op);
        if (!as_memory) {
            rm = bring(t, op->in.rm, H_9, op->rm_role);
            if (op->rm8)
                fl |= byte_flag(op->in.rm, &rm);
        }
    }
    if (op->mem && op->in.flags & IF_LOCK)
        fl |= SQ_E_LOCK;
    if (op->mem)
        sq_emit_rm(e, op->opc, fl, reg, m);
    else if (as_memory)
        sq_emit_rm(e, op->opc, fl, reg, HOME(op->in.rm / 8));
    else
        sq_emit_rr(e, op->opc, fl, reg, rm);
    sq_emit_imm(e, op->in.imm, op->imm_len);
    if (turned)
        turn(t, reg, 64 - 8);
    if (!op->reg_is_ext && op->reg_role & ROLE_W &&
        sq_jit_homed(op->in.reg / 8))
        sq_emit_store(e, HOME(op->in.reg / 8), H_10);
    if (!op->mem && op->rm_role & ROLE_W && sq_jit_homed(op->in.rm / 8))
        sq_emit_store(e, HOME(op->in.rm / 8), H_9);
}

/* BMI. R10 may be the destination and the second source: it is read before
 * it is written. */
static void op_vex_g(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    unsigned reg = op->in.reg / 8, v = op->vvvv, rm = op->in.rm / 8;
    unsigned hreg = op->ext, hv = 0;
    struct sq_emit_mem m = {0};

    if (op->mem) {
        m = sq_tr_access(t, (struct sq_tr_how){
                                .r10 = !op->imm_len && sq_jit_homed(v)});
    } else if (sq_jit_homed(rm)) {
        sq_emit_load(e, H_9, HOME(rm));
    }
    if (!op->reg_is_ext)
        hreg = sq_jit_homed(reg) ? H_10 : sq_jit_host(reg);
    if (!op->imm_len) {
        hv = sq_jit_homed(v) ? H_10 : sq_jit_host(v);
        if (hv == H_10 && !op->reg_is_ext)
            sq_emit_load(e, H_10, HOME(v));
    }
    if (op->mem)
        sq_emit_vex_rm(e, op->opc, op->vex, hreg, hv, m);
    else
        sq_emit_vex_rr(e, op->opc, op->vex, hreg, hv,
                       sq_jit_homed(rm) ? H_9 : sq_jit_host(rm));
    sq_emit_imm(e, op->in.imm, op->imm_len);
    if (!op->reg_is_ext && sq_jit_homed(reg))
        sq_emit_store(e, HOME(reg), H_10);
    if (op->reg_is_ext && sq_jit_homed(v))
        sq_emit_store(e, HOME(v), H_10);
}

/* The offset in bits is signed and counts from the operand's address (SDM
 * vol. 2, 3.1.1.9). */
static void op_bt_m(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    unsigned fl = size_flags(op);
    bool wide = op->size == 8;

    sq_tr_ea(t);
    if (wide)
        sq_emit_mov(e, H_10, bring(t, op->in.reg, H_10, ROLE_R));
    else
        sq_emit_rr(e, SQ_OPC(0, 0, 0x63), SQ_E_W, H_10, /* MOVSXD */
                   bring(t, op->in.reg, H_10, ROLE_R));
    sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), SQ_E_W, 7, H_10); /* SAR */
    sq_emit_u8(e, wide ? 6 : 5);
    sq_emit_lea(e, H_9,
                (struct sq_emit_mem){H_9, H_10, wide ? 3 : 2, 0});
    sq_tr_check_r9(t, op->size, op->rm_role & ROLE_W);
    if (op->locked)
        sq_tr_check_aligned(t, op->size);
    sq_emit_mov(e, H_10, bring(t, op->in.reg, H_10, ROLE_R));
    sq_emit_rr(e, SQ_OPC(0, 0, 0x83), 0, 4, H_10); /* AND */
    sq_emit_u8(e, wide ? 63 : 31);
    if (t->live[t->k + 1] & ~op->wr) { /* ZF stays */
        sq_emit_store(e, sq_jit_cpu(CPU(js.tmp)), H_10);
        sq_tr_flags_restore(t);
        sq_emit_load(e, H_10, sq_jit_cpu(CPU(js.tmp)));
    }
    sq_emit_rm(e, op->opc, fl | (op->in.flags & IF_LOCK ? SQ_E_LOCK : 0u),
               H_10, sq_tr_at_r9);
}

/* --- others -------------------------------------------------------------- */

static void op_plain(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);

    if (op->rd || (op->touches && t->live[t->k + 1] & ~op->wr))
        sq_tr_flags_restore(t);
    if (op->size == 2)
        sq_emit_u8(&t->e, 0x66);
    if (op->size == 8)
        sq_emit_u8(&t->e, 0x48);
    sq_emit_u8(&t->e, (uint8_t)op->opc);
}

static void op_movi(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned g = op->in.rm / 8;
    uint64_t v = op->size == 8 ? op->in.imm : (uint32_t)op->in.imm;

    if (!sq_jit_homed(g)) {
        sq_emit_mov_imm(&t->e, sq_jit_host(g), v);
    } else {
        sq_emit_mov_imm(&t->e, H_10, v);
        sq_emit_store(&t->e, HOME(g), H_10);
    }
}

static void op_lea(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit_mem m = sq_tr_operand(t);
    unsigned g = op->in.reg / 8;
    bool homed = sq_jit_homed(g);

    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x8d), size_flags(op),
               homed ? H_9 : sq_jit_host(g), m);
    if (homed)
        sq_emit_rm(&t->e, SQ_OPC(0, 0, 0x89),
                   op->size == 2 ? SQ_E_O16 : SQ_E_W, H_9, HOME(g));
}

static void op_bswap(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned g = op->in.rm / 8;
    unsigned h = bring(t, op->in.rm, H_9, ROLE_RW);
    unsigned rex = (op->size == 8 ? 8u : 0u) | h >> 3;

    if (rex)
        sq_emit_u8(&t->e, (uint8_t)(0x40 | rex));
    sq_emit_u8(&t->e, 0x0f);
    sq_emit_u8(&t->e, (uint8_t)(0xc8 | (h & 7)));
    if (sq_jit_homed(g))
        sq_emit_store(&t->e, HOME(g), H_9);
}

/* The divisor as the last operand of `opc reg, divisor`. */
static void with_divisor(struct sq_tr *t, uint32_t opc, unsigned reg)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned g = op->in.rm / 8, fl = size_flags(op);

    if (op->mem)
        sq_emit_rm(&t->e, opc, fl, reg, sq_tr_at_r9);
    else if (sq_jit_homed(g))
        sq_emit_rm(&t->e, opc, fl, reg, HOME(g));
    else
        sq_emit_rr(&t->e, opc, fl, reg, sq_jit_host(g));
}

/* What might overflow is left to the interpreter, which raises #DE. */
static void op_div(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    unsigned fl = size_flags(op);

    if (op->mem) {
        /* Another processor may change the divisor after the test. */
        sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), fl, H_9,
                   sq_tr_access(t, (struct sq_tr_how){0}));
        sq_emit_store(e, sq_jit_cpu(CPU(js.tmp)), H_9);
        sq_emit_lea(e, H_9, sq_jit_cpu(CPU(js.tmp)));
    }
    if (op->kind == JK_DIV) {
        with_divisor(t, SQ_OPC(0, 0, 0x3b), H_DX); /* CMP: the quotient */
        sq_tr_interp_if(t, 3);                     /* fits if below */
        with_divisor(t, SQ_OPC(0, 0, 0xf7), 6);
    } else {
        /* The dividend is an extension, the divisor not 0 or -1. */
        sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), fl, H_10, H_AX);
        sq_emit_rr(e, SQ_OPC(0, 0, 0xc1), fl, 7, H_10); /* SAR */
        sq_emit_u8(e, op->size == 8 ? 63 : 31);
        sq_emit_rr(e, SQ_OPC(0, 0, 0x3b), fl, H_10, H_DX);
        sq_tr_interp_if(t, 5);
        with_divisor(t, SQ_OPC(0, 0, 0x8b), H_10);
        sq_emit_rr(e, SQ_OPC(0, 0, 0x83), fl, 0, H_10); /* ADD 1 */
        sq_emit_u8(e, 1);
        sq_emit_rr(e, SQ_OPC(0, 0, 0x83), fl, 7, H_10); /* CMP 1 */
        sq_emit_u8(e, 1);
        sq_tr_interp_if(t, 6);
        with_divisor(t, SQ_OPC(0, 0, 0xf7), 7);
    }
}

/* --- the stack ----------------------------------------------------------- */

void sq_tr_move_rsp(struct sq_tr *t, int32_t by)
{
    sq_emit_lea(&t->e, H_11, (struct sq_emit_mem){H_11, H_NONE, 0, by});
}

static void op_push(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    bool direct = op->kind == JK_PUSH_I ||
                  (op->kind == JK_PUSH && !sq_jit_homed(op->in.rm / 8));
    struct sq_emit_mem m;
    unsigned h = H_10;

    if (op->kind == JK_PUSHF) {
        sq_tr_rflags(t);
        sq_emit_store(&t->e, sq_jit_cpu(CPU(js.tmp)), H_10);
    } else if (op->kind == JK_PUSH_M) {
        sq_emit_load(&t->e, H_9, sq_tr_access(t, (struct sq_tr_how){0}));
        sq_emit_store(&t->e, sq_jit_cpu(CPU(js.tmp)), H_9);
    }
    m = sq_tr_check_stack(
        t, -8, (struct sq_tr_how){.write = true, .r10 = !direct});
    if (op->kind == JK_PUSH_I) {
        sq_emit_rm(&t->e, SQ_OPC(0, 0, 0xc7), SQ_E_W, 0, m);
        sq_emit_u32(&t->e, (uint32_t)op->in.imm);
    } else {
        if (op->kind == JK_PUSH)
            h = bring(t, op->in.rm, H_10, ROLE_R);
        else
            sq_emit_load(&t->e, H_10, sq_jit_cpu(CPU(js.tmp)));
        sq_emit_store(&t->e, m, h);
    }
    sq_tr_move_rsp(t, -8);
}

static void op_pop(struct sq_tr *t)
{
    unsigned g = sq_tr_op(t)->in.rm / 8;
    struct sq_emit_mem m = sq_tr_check_stack(t, 0, (struct sq_tr_how){0});

    if (sq_jit_homed(g)) {
        sq_emit_load(&t->e, H_9, m);
        sq_emit_store(&t->e, HOME(g), H_9);
    } else {
        sq_emit_load(&t->e, sq_jit_host(g), m);
    }
    if (g != R_SP)
        sq_tr_move_rsp(t, 8);
}

static void op_leave(struct sq_tr *t)
{
    struct sq_emit_mem m;

    sq_emit_mov(&t->e, H_9, H_BP);
    m = sq_tr_check(t, (struct sq_emit_mem){H_BP, H_NONE, 0, 0}, 8, false);
    sq_emit_lea(&t->e, H_11, (struct sq_emit_mem){H_BP, H_NONE, 0, 8});
    sq_emit_load(&t->e, H_BP, m);
}

/* --- control flow -------------------------------------------------------- */

static unsigned next_off(const struct sq_tr *t)
{
    return sq_tr_op(t)->in.off + sq_tr_op(t)->in.len;
}

/* Pushes the return address; RSP moves later. */
static void push_return(struct sq_tr *t)
{
    struct sq_emit_mem m = sq_tr_check_stack(
        t, -8, (struct sq_tr_how){.write = true, .r10 = true});

    sq_emit_load(&t->e, H_10, sq_jit_cpu(CPU(js.page)));
    sq_emit_lea(&t->e, H_10,
                (struct sq_emit_mem){H_10, H_NONE, 0, (int32_t)next_off(t)});
    sq_emit_store(&t->e, m, H_10);
}

/* Conditions that are one test of flags in memory. */
static bool test_memory(struct sq_tr *t, unsigned cc)
{
    static const uint8_t mask[8] = {1, 0x01, 0x40, 0x41, 0x80, 0x04, 0, 0};

    if (t->host_ok || !mask[cc >> 1])
        return false;
    sq_emit_rm(&t->e, SQ_OPC(0, 0, 0xf6), 0, 0,
               sq_jit_cpu(CPU(js.flags) + (cc >> 1 != 0)));
    sq_emit_u8(&t->e, mask[cc >> 1]);
    return true;
}

static void op_jcc(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    unsigned cc = op->ext;

    if (test_memory(t, cc))
        cc = cc & 1 ? 4 : 5; /* the bits are set: NZ */
    else
        sq_tr_flags_restore(t);
    sq_tr_jump(t, cc, (int64_t)op->in.imm);
    sq_tr_jump(t, H_NONE, next_off(t));
}

static void op_indirect(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);
    struct sq_emit *e = &t->e;
    bool call = op->kind == JK_CALL_I;

    if (op->mem) {
        sq_emit_load(e, H_9, sq_tr_access(t, (struct sq_tr_how){0}));
        if (call)
            sq_emit_store(e, sq_jit_cpu(CPU(js.tmp)), H_9);
    }
    if (call)
        push_return(t);
    if (!op->mem) {
        unsigned h = bring(t, op->in.rm, H_9, ROLE_R);

        if (h != H_9)
            sq_emit_mov(e, H_9, h);
    } else if (call) {
        sq_emit_load(e, H_9, sq_jit_cpu(CPU(js.tmp)));
    }
    sq_tr_jump_indirect(t, call ? -8 : 0);
}

static void op_ret(struct sq_tr *t)
{
    sq_emit_load(&t->e, H_9, sq_tr_check_stack(t, 0, (struct sq_tr_how){0}));
    sq_tr_jump_indirect(t, 8 + (int32_t)(uint16_t)sq_tr_op(t)->in.imm);
}

/* --- all ----------------------------------------------------------------- */

/* Whether flags in the host's register are lost on the way. */
static bool loses_flags(const struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);

    switch (op->kind) {
    case JK_LEA:
    case JK_NOP:
    case JK_MOVI:
    case JK_BSWAP:
    case JK_PLAIN:
    case JK_SWAPGS:
    case JK_JCC:
    case JK_JMP: return false;
    case JK_RM:
    case JK_VEX_G:
    case JK_SSE: return op->mem && !t->run;
    default: return true;
    }
}

static void emit(struct sq_tr *t)
{
    const struct sq_jit_op *op = sq_tr_op(t);

    switch (op->kind) {
    case JK_RM: op_rm(t); break;
    case JK_PLAIN: op_plain(t); break;
    case JK_MOVI: op_movi(t); break;
    case JK_LEA: op_lea(t); break;
    case JK_NOP:
        if (op->ext) { /* LFENCE, MFENCE, SFENCE */
            sq_emit_u8(&t->e, 0x0f);
            sq_emit_u8(&t->e, 0xae);
            sq_emit_u8(&t->e, op->ext);
        }
        break;
    case JK_BSWAP: op_bswap(t); break;
    case JK_DIV:
    case JK_IDIV: op_div(t); break;
    case JK_VEX_G: op_vex_g(t); break;
    case JK_BT_M: op_bt_m(t); break;
    case JK_REP: sq_tr_rep(t); break;
    case JK_CLI:
    case JK_CLD: sq_tr_clear(t, op->kind == JK_CLI ? FL_IF : FL_DF); break;
    case JK_STI:
        sq_tr_sti(t);
        sq_tr_jump(t, H_NONE, next_off(t));
        break;
    case JK_SWAPGS: sq_tr_swapgs(t); break;
    case JK_TSC: sq_tr_tsc(t); break;
    case JK_READ_SEL:
    case JK_READ_CR: sq_tr_read(t); break;
    case JK_READ_BASE:
    case JK_WRITE_BASE: sq_tr_base(t); break;
    case JK_PUSH:
    case JK_PUSH_I:
    case JK_PUSHF:
    case JK_PUSH_M: op_push(t); break;
    case JK_POP: op_pop(t); break;
    case JK_LEAVE: op_leave(t); break;
    case JK_SSE: sq_tr_sse(t); break;
    case JK_JCC: op_jcc(t); break;
    case JK_JMP: sq_tr_jump(t, H_NONE, (int64_t)op->in.imm); break;
    case JK_CALL:
        push_return(t);
        sq_tr_move_rsp(t, -8);
        sq_tr_jump(t, H_NONE, (int64_t)op->in.imm);
        break;
    case JK_CALL_I:
    case JK_JMP_I: op_indirect(t); break;
    default: op_ret(t); break;
    }
}

void sq_tr_insn(struct sq_tr *t)
{
    struct sq_jit_op *op = &t->op[t->k];
    uint16_t after = t->live[t->k + 1];
    uint32_t first = t->j->site_count;

    if (op->kind == JK_INTERP || op->kind == JK_INTERP_END) {
        if (t->live[t->k])
            sq_tr_flags_save(t);
        sq_tr_interp_if(t, H_NONE);
        t->host_ok = false;
        t->mem_ok = true;
        t->xmm_in = false; /* it may have unmasked exceptions */
        t->j->sites[first].done = (uint32_t)(t->e.at - t->j->rw);
        return;
    }
    if (loses_flags(t) ? t->live[t->k] : sq_jit_ends(op) && after)
        sq_tr_flags_save(t);
    emit(t);
    if (op->touches) {
        t->host_ok = true;
        t->mem_ok = false;
    }
    for (uint32_t s = first; s < t->j->site_count; s++)
        t->j->sites[s].done = (uint32_t)(t->e.at - t->j->rw);
    if (first < t->j->site_count && t->host_ok && after &&
        !sq_jit_ends(op)) {
        struct sq_tr_cold *cold = sq_tr_cold(t, COLD_DONE, NULL);

        cold->site = first;
        cold->to = t->k;
        cold->back = t->e.at;
    }
}
