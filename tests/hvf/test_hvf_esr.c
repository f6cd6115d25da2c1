/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of Hypervisor.framework's exits. Data aborts are held against two
 * decoders of the load and store encodings that know nothing of syndromes:
 * Capstone's text of each instruction, and tests/hvf/a64.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#ifdef HAVE_CAPSTONE
#include <capstone/capstone.h>
#endif

#include "a64.h"
#include "backends/hvf/esr.h"
#include "backends/hvf/hv_api.h"
#include "backends/hvf/inject.h"
#include "squib/aarch64.h"

#define GPA 0x0a000123u
#define GVA 0xffff800012345678ull

static struct sq_hvf_decoded decode(uint64_t esr)
{
    struct sq_hvf_decoded d;

    sq_hvf_decode(HV_EXIT_REASON_EXCEPTION, esr, GVA, GPA, &d);
    return d;
}

/* --- data aborts ------------------------------------------------------ */

/* Every value of the 25 bits, against a second reading of DDI 0487
 * D17.2.37 written as conditions on single bits. */
static void every_data_abort(void **state)
{
    uint64_t mmio = 0;

    (void)state;
    for (uint32_t iss = 0; iss < 1u << 25; iss++) {
        struct sq_hvf_decoded d = decode(0x24ull << 26 | 1u << 25 | iss);
        unsigned fsc = iss % 64, sas = iss / (1 << 22) % 4;
        bool wnr = iss / (1 << 6) % 2, s1ptw = iss / (1 << 7) % 2;
        bool cm = iss / (1 << 8) % 2, isv = iss / (1 << 24) % 2;
        bool external = fsc / 16 == 1 || fsc == 48;
        bool stage2 = fsc / 16 == 0 || fsc == 41 || fsc == 43;
        bool want_mmio = stage2 && !s1ptw && !cm && isv;

        if (external) {
            assert_int_equal(d.action, SQ_HVF_EXIT);
            assert_int_equal(d.exit.kind, SQUIB_EXIT_INTERNAL_ERROR);
            continue;
        }
        if ((d.action == SQ_HVF_MMIO) != want_mmio ||
            d.advance != (stage2 && !s1ptw && (cm || isv)) ||
            d.memory != stage2 || d.gpa != GPA || d.gva != GVA)
            fail_msg("ISS %#x", iss);
        if (stage2 && d.write != (s1ptw || wnr))
            fail_msg("ISS %#x: direction", iss);
        if (!want_mmio) {
            if (d.action != (stage2 && !s1ptw && cm ? SQ_HVF_AGAIN
                                                     : SQ_HVF_ABORT))
                fail_msg("ISS %#x: action", iss);
            continue;
        }
        mmio++;
        if (d.access.len != 1 << sas || d.access.write != wnr ||
            d.access.reg != iss / (1 << 16) % 32 || d.access.gpa != GPA ||
            d.access.sign != iss / (1 << 21) % 2 ||
            d.access.wide != iss / (1 << 15) % 2)
            fail_msg("ISS %#x: access", iss);
    }
    /* 21 free bits less S1PTW and CM, times 18 status codes. */
    assert_int_equal(mmio, (1u << 16) * 18);
}

/* What an instruction does, as its text says it. */
struct meaning {
    bool single; /* loads or stores one general register, no write-back */
    bool load, sign, wide;
    unsigned len, reg;
};

static uint64_t random64(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

#ifdef HAVE_CAPSTONE
/* The stem of a mnemonic that accesses one register. */
static const char *const stems[] = {
    "ldapur", "ldapr", "ldlar", "ldur", "ldtr", "ldar", "ldr",
    "stlur", "stllr", "stlr", "stur", "sttr", "str",
};

static bool read_text(const char *mnemonic, const char *operands,
                      struct meaning *m)
{
    const char *suffix = NULL;
    unsigned full;

    memset(m, 0, sizeof(*m));
    for (size_t i = 0; i < sizeof(stems) / sizeof(stems[0]) && !suffix; i++)
        if (strncmp(mnemonic, stems[i], strlen(stems[i])) == 0)
            suffix = mnemonic + strlen(stems[i]);
    if (!suffix || (operands[0] != 'w' && operands[0] != 'x'))
        return false;
    m->load = mnemonic[0] == 'l';
    m->wide = operands[0] == 'x';
    m->reg = strncmp(operands + 1, "zr", 2) == 0
                 ? 31u
                 : (unsigned)strtoul(operands + 1, NULL, 10);
    full = m->wide ? 8 : 4;
    m->sign = suffix[0] == 's';
    if (m->sign)
        suffix++;
    m->len = strcmp(suffix, "b") == 0   ? 1
             : strcmp(suffix, "h") == 0 ? 2
             : strcmp(suffix, "w") == 0 ? 4
             : suffix[0] == '\0'        ? full
                                        : 0;
    m->single = m->len && !strchr(operands, '!') && !strstr(operands, "], ");
    return m->single;
}

static uint64_t loaded(const struct meaning *m, const uint8_t bytes[8])
{
    uint64_t v = 0;

    for (unsigned i = 0; i < m->len; i++)
        v += (uint64_t)bytes[i] << (8 * i);
    if (m->sign && bytes[m->len - 1] >= 0x80)
        for (unsigned i = m->len; i < 8; i++)
            v |= 0xffull << (8 * i);
    return m->wide ? v : v & 0xffffffffu;
}

static void check_meaning(uint32_t insn, const struct meaning *m,
                          uint64_t *seed)
{
    struct a64_access a;
    struct sq_hvf_decoded d;
    struct squib_exit e = {0};
    uint64_t value = random64(seed);
    uint8_t bytes[8];

    a64_access(insn, &a);
    if (!a.isv)
        fail_msg("%08x: a single access, says the text", insn);
    d = decode(a64_abort_syndrome(&a));
    if (d.action != SQ_HVF_MMIO || !d.advance || d.access.reg != m->reg ||
        d.access.write != !m->load || d.access.len != m->len)
        fail_msg("%08x: another access", insn);
    sq_hvf_access_exit(&d.access, value, &e);
    assert_int_equal(e.kind, SQUIB_EXIT_MMIO);
    assert_int_equal(e.mmio.gpa, GPA);
    assert_int_equal(e.mmio.len, m->len);
    memcpy(bytes, &value, sizeof(bytes));
    if (!m->load) {
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(e.mmio.data[i], i < m->len ? bytes[i] : 0);
        return;
    }
    memcpy(e.mmio.data, bytes, sizeof(bytes));
    if (sq_hvf_access_value(&d.access, &e) != loaded(m, bytes))
        fail_msg("%08x: loads %#llx", insn,
                 (unsigned long long)sq_hvf_access_value(&d.access, &e));
}

/* The encodings where bits 27 and 25 are 1 and 0: all loads and stores.
 * Every combination of the fields that name the operation and of Rt; the
 * operand fields at random. */
static void text_of_every_encoding(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15ull;
    uint64_t single = 0, other = 0;
    csh cs;

    (void)state;
    assert_int_equal(cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &cs), CS_ERR_OK);
    for (uint32_t fields = 0; fields < 1u << 18; fields++) {
        /* 31:28 26 24 23:21 11:10 4:0, and bits 15:12 half of the time */
        uint32_t insn = (fields >> 14 & 15) << 28 | 1u << 27 |
                        (fields >> 13 & 1) << 26 | (fields >> 12 & 1) << 24 |
                        (fields >> 9 & 7) << 21 | (fields >> 7 & 3) << 10 |
                        (fields & 31);
        struct a64_access a;
        struct meaning m;
        cs_insn *text;

        insn |= ((uint32_t)random64(&seed) & 0x1ff3e0u) |
                (fields >> 5 & 3) << 14;
        if (fields & 1)
            insn |= 0x1ffc00u & ~(3u << 10); /* acquire and release forms */
        a64_access(insn, &a);
        if (cs_disasm(cs, (const uint8_t *)&insn, 4, 0, 1, &text) != 1)
            continue; /* newer than this Capstone, or unallocated */
        if (read_text(text->mnemonic, text->op_str, &m)) {
            check_meaning(insn, &m, &seed);
            single++;
        } else {
            if (a.isv)
                fail_msg("%08x: %s %s is no single access", insn,
                         text->mnemonic, text->op_str);
            other++;
        }
        cs_free(text, 1);
    }
    cs_close(&cs);
    print_message("%llu single accesses, %llu others\n",
                  (unsigned long long)single, (unsigned long long)other);
    assert_true(single > 20000 && other > 20000);
}
#else
static void text_of_every_encoding(void **state)
{
    (void)state;
    print_message("built without Capstone (package libcapstone-dev)\n");
    skip();
}
#endif

/* Random syndromes, all classes: nothing but the union's kinds comes out,
 * and texts are there. */
static void random_syndromes(void **state)
{
    uint64_t seed = 12345;

    (void)state;
    for (int i = 0; i < 2000000; i++) {
        uint64_t esr = random64(&seed), gpa = random64(&seed);
        struct sq_hvf_decoded d;

        sq_hvf_decode(esr >> 60 & 3, esr, ~gpa, gpa, &d);
        if (d.action == SQ_HVF_EXIT) {
            assert_true(d.exit.kind == SQUIB_EXIT_DEBUG ||
                        d.exit.kind == SQUIB_EXIT_INTERNAL_ERROR);
            assert_false(d.advance);
            if (d.exit.kind == SQUIB_EXIT_INTERNAL_ERROR)
                assert_true(d.exit.internal_error.text[0] != '\0');
        }
        if (d.action == SQ_HVF_MMIO)
            assert_true(d.access.len >= 1 && d.access.len <= 8);
    }
}

/* --- other classes ------------------------------------------------------ */

static void classes(void **state)
{
    static const struct {
        uint8_t ec;
        int action;
        bool advance;
        int kind; /* of an exit, or -1 */
    } rows[] = {
        {0x00, SQ_HVF_UNDEF, false, -1},
        {0x01, SQ_HVF_IDLE, true, SQUIB_EXIT_WFI},
        {0x07, SQ_HVF_UNDEF, false, -1},
        {0x09, SQ_HVF_UNDEF, false, -1},
        {0x0a, SQ_HVF_UNDEF, false, -1},
        {0x0d, SQ_HVF_UNDEF, false, -1},
        {0x0e, SQ_HVF_UNDEF, false, -1},
        {0x16, SQ_HVF_CALL, false, -1},
        {0x17, SQ_HVF_CALL, true, -1},
        {0x18, SQ_HVF_SYSREG, true, -1},
        {0x19, SQ_HVF_UNDEF, false, -1},
        {0x1d, SQ_HVF_UNDEF, false, -1},
        {0x20, SQ_HVF_ABORT, false, -1},
        {0x24, SQ_HVF_ABORT, false, -1},
        {0x30, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x31, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x32, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x33, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x34, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x35, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
        {0x3c, SQ_HVF_EXIT, false, SQUIB_EXIT_DEBUG},
    };
    unsigned row = 0;

    (void)state;
    for (unsigned ec = 0; ec < 64; ec++) {
        uint64_t esr = (uint64_t)ec << 26 | 1u << 25 | 4;
        struct sq_hvf_decoded d = decode(esr);

        if (row == sizeof(rows) / sizeof(rows[0]) || rows[row].ec != ec) {
            assert_int_equal(d.action, SQ_HVF_EXIT);
            assert_int_equal(d.exit.kind, SQUIB_EXIT_INTERNAL_ERROR);
            assert_int_equal(d.exit.internal_error.detail[0], esr);
            continue;
        }
        assert_int_equal(d.action, rows[row].action);
        assert_int_equal(d.advance, rows[row].advance);
        if (rows[row].kind >= 0)
            assert_int_equal(d.exit.kind, rows[row].kind);
        if (rows[row].kind == SQUIB_EXIT_DEBUG)
            assert_int_equal(d.exit.debug.syndrome, esr);
        row++;
    }
    assert_int_equal(row, sizeof(rows) / sizeof(rows[0]));
}

static void waiting(void **state)
{
    (void)state;
    /* TI: WFI, WFE, WFIT, WFET */
    assert_int_equal(decode(0x06000000).exit.kind, SQUIB_EXIT_WFI);
    assert_int_equal(decode(0x06000001).exit.kind, SQUIB_EXIT_WFE);
    assert_int_equal(decode(0x06000002).exit.kind, SQUIB_EXIT_WFI);
    assert_int_equal(decode(0x06000003).exit.kind, SQUIB_EXIT_WFE);
}

static void reasons(void **state)
{
    struct sq_hvf_decoded d;

    (void)state;
    sq_hvf_decode(HV_EXIT_REASON_CANCELED, 0, 0, 0, &d);
    assert_int_equal(d.action, SQ_HVF_CANCELED);
    sq_hvf_decode(HV_EXIT_REASON_VTIMER_ACTIVATED, 0, 0, 0, &d);
    assert_int_equal(d.action, SQ_HVF_VTIMER);
    sq_hvf_decode(HV_EXIT_REASON_UNKNOWN, 1, 0, 0, &d);
    assert_int_equal(d.exit.kind, SQUIB_EXIT_INTERNAL_ERROR);
    sq_hvf_decode(99, 0, 0, 0, &d);
    assert_int_equal(d.exit.kind, SQUIB_EXIT_INTERNAL_ERROR);
    assert_int_equal(d.exit.internal_error.detail[0], 99);
}

/* All names, registers and directions: made as an assembler makes MRS and
 * MSR, which is where the fields of the syndrome come from. */
static void every_sysreg(void **state)
{
    (void)state;
    for (uint32_t insn = 0; insn < 1u << 22; insn++) {
        /* L op0 op1 CRn CRm op2 Rt at 21, 20:19, 18:16, 15:12, 11:8, 7:5,
         * 4:0 of the instruction */
        uint32_t rt = insn & 31, op2 = insn >> 5 & 7, crm = insn >> 8 & 15;
        uint32_t crn = insn >> 12 & 15, op1 = insn >> 16 & 7;
        uint32_t op0 = insn >> 19 & 3, read = insn >> 21;
        struct sq_hvf_decoded d =
            decode(0x18ull << 26 | 1u << 25 | op0 << 20 | op2 << 17 |
                   op1 << 14 | crn << 10 | rt << 5 | crm << 1 | read);

        if (d.action != SQ_HVF_SYSREG || d.sysreg.reg != rt ||
            d.sysreg.read != read ||
            d.sysreg.id != SQUIB_AARCH64_SYSREG(op0, op1, crn, crm, op2))
            fail_msg("%#x", insn);
    }
}

/* --- exceptions for the guest ------------------------------------------- */

static void exception_entry(void **state)
{
    static const struct {
        uint64_t cpsr, offset;
        bool lower;
    } from[] = {
        {0x600003c5, 0x200, false}, /* EL1h */
        {0x800000c4, 0x000, false}, /* EL1t */
        {0x20000000, 0x400, true},  /* EL0 */
        {0x00000010, 0x600, true},  /* EL0, AArch32 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        struct sq_hvf_decoded d = {.action = SQ_HVF_UNDEF, .gva = GVA};
        struct sq_hvf_el1 r = {
            .pc = 0x1234, .cpsr = from[i].cpsr, .vbar = 0x80000, .far = 7,
            .sctlr = 1u << 23};
        uint64_t el1 = from[i].lower ? 0 : 1ull << 26;

        assert_true(sq_hvf_inject(&d, &r));
        assert_int_equal(r.pc, 0x80000 + from[i].offset);
        assert_int_equal(r.elr, 0x1234);
        assert_int_equal(r.spsr, from[i].cpsr);
        assert_int_equal(r.esr, 0x02000000);
        assert_int_equal(r.far, 7);
        assert_int_equal(r.cpsr, (from[i].cpsr & 0xf0000000) | 0x3c5);

        /* SPAN clear: PAN is set; DSSBS: SSBS is. */
        r = (struct sq_hvf_el1){.pc = 0x1234, .cpsr = from[i].cpsr,
                                .vbar = 0x80000, .sctlr = 1ull << 44};
        d = (struct sq_hvf_decoded){
            .action = SQ_HVF_ABORT, .write = true, .gva = GVA};
        assert_true(sq_hvf_inject(&d, &r));
        assert_int_equal(r.esr, (0x24ull << 26 | 0x02000050) + el1);
        assert_int_equal(r.far, GVA);
        assert_int_equal(r.cpsr, (from[i].cpsr & 0xf0000000) | 0x4013c5);

        r.pc = 0x1234;
        r.cpsr = from[i].cpsr;
        d = (struct sq_hvf_decoded){
            .action = SQ_HVF_ABORT, .fetch = true, .gva = GVA};
        assert_true(sq_hvf_inject(&d, &r));
        assert_int_equal(r.esr, (0x20ull << 26 | 0x02000010) + el1);

        /* A vector that cannot be fetched. */
        r = (struct sq_hvf_el1){.pc = 0x80000 + from[i].offset,
                                .cpsr = from[i].cpsr, .vbar = 0x80000};
        assert_false(sq_hvf_inject(&d, &r));
        assert_int_equal(r.pc, 0x80000 + from[i].offset);
        assert_int_equal(r.elr, 0);

        /* A debug exception of its own: BRK has one class for all. */
        r.pc = 0x1234;
        r.cpsr = from[i].cpsr;
        d = (struct sq_hvf_decoded){.action = SQ_HVF_OWN, .gva = GVA};
        d.exit.debug.syndrome = 0xf2000007;
        assert_true(sq_hvf_inject(&d, &r));
        assert_int_equal(r.esr, 0xf2000007);
        r.cpsr = from[i].cpsr;
        d.exit.debug.syndrome = 0xd2000022; /* a watchpoint */
        assert_true(sq_hvf_inject(&d, &r));
        assert_int_equal(r.esr, 0xd2000022 + el1);
        assert_int_equal(r.far, GVA);
    }
}

static void sysreg_answers(void **state)
{
    static const struct {
        uint16_t id;
        bool known;
        uint64_t value;
    } rows[] = {
        {SQUIB_AARCH64_SYSREG(2, 0, 1, 1, 4), true, 8}, /* OSLSR_EL1 */
        {SQUIB_AARCH64_SYSREG(2, 0, 1, 3, 4), true, 0}, /* OSDLR_EL1 */
        {SQUIB_AARCH64_SYSREG(2, 0, 0, 5, 7), true, 0}, /* DBGWCR5_EL1 */
        {SQUIB_AARCH64_SYSREG(3, 3, 9, 14, 0), true, 0}, /* PMUSERENR_EL0 */
        {SQUIB_AARCH64_SYSREG(3, 3, 14, 0, 1), true, 4711}, /* CNTPCT_EL0 */
        {SQUIB_AARCH64_SYSREG(1, 0, 7, 6, 2), true, 0}, /* DC ISW */
        {SQUIB_AARCH64_SYSREG(3, 0, 12, 11, 5), false, 0}, /* ICC_SGI1R */
        {SQUIB_AARCH64_SYSREG(3, 0, 1, 0, 0), false, 0}, /* SCTLR_EL1 */
        {SQUIB_AARCH64_SYSREG(1, 0, 8, 7, 0), false, 0}, /* TLBI VMALLE1 */
        {SQUIB_AARCH64_SYSREG(3, 7, 15, 15, 7), false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sq_hvf_sysreg s = {.id = rows[i].id, .read = true};
        uint64_t value = 1;

        assert_int_equal(sq_hvf_sysreg_answer(&s, 4711, &value),
                         rows[i].known);
        if (rows[i].known)
            assert_int_equal(value, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_data_abort),
        cmocka_unit_test(text_of_every_encoding),
        cmocka_unit_test(random_syndromes),
        cmocka_unit_test(classes),
        cmocka_unit_test(waiting),
        cmocka_unit_test(reasons),
        cmocka_unit_test(every_sysreg),
        cmocka_unit_test(exception_entry),
        cmocka_unit_test(sysreg_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
