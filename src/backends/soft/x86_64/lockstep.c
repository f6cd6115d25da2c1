/* SPDX-License-Identifier: Apache-2.0 */
/* setjmp() and longjmp() between two stacks: see run.c. */
#undef _FORTIFY_SOURCE

#include "backends/soft/x86_64/lockstep.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/insns.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/overlay.h"
#include "backends/soft/x86_64/run.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/strings.h"
#include "base/err.h"

#define TRIES 4
#define EXPECT_EACH 4 /* pairs of which one compares whole pages */
#define KNOWN_BITS 16

enum phase { PHASE_NONE, PHASE_RECORD, PHASE_CHECK };

struct filled {
    struct sq_tlb_entry *at, then;
    const uint8_t *to_write; /* the page, if it was filled for a write */
};

/* What is known of a block. */
struct known {
    const struct sq_x86_block *block;
    uint64_t pa;
    uint32_t gen;
    uint16_t limit; /* first instruction that cannot be done twice, or n */
    uint16_t live;  /* status flags that are good at its end */
    bool live_known;
};

/* The parts of the CPU that instructions in pairs change. */
#define PARTS(X)                                                           \
    X(gpr, fl)                                                             \
    X(fl, tlb)                                                             \
    X(segbase, attn)                                                       \
    X(code64, jc_key)                                                      \
    X(fetch_base, block)

#define FROM(a) offsetof(struct sq_x86_cpu, a)
enum {
#define PART(a, z) AT_##a, END_##a = AT_##a + (FROM(z) - FROM(a)) - 1,
    PARTS(PART)
#undef PART
    SAVED_LEN
};

struct sq_lockstep {
    enum phase phase;
    bool keep_tlb; /* the translation finds what the interpreter filled */
    bool stray;    /* it wrote where the interpreter did not */
    int32_t alone; /* instruction that stopped the interpreter, or -1 */
    int why[2];    /* how each left: longjmp()'s value, or 0 */
    struct sq_overlay *o; /* what the interpreter wrote */
    struct filled *f;
    size_t f_count, f_room, f_recorded; /* recorded: the interpreter's */
    bool no_room;
    struct sq_lockstep_counts counts;
    uint8_t before[SAVED_LEN], interpreted[SAVED_LEN];
    struct sq_x86_cpu *other; /* the interpreter's result, for comparison */
    jmp_buf leave;
    struct known known[1u << KNOWN_BITS];
    struct sq_tlb_entry none[SQ_TLB_ALL];
    char text[1024];
};

int sq_lockstep_new(struct sq_x86_cpu *c, struct squib_error *err)
{
    struct sq_lockstep *l = calloc(1, sizeof(*l));

    if (l)
        l->other = aligned_alloc(_Alignof(struct sq_x86_cpu),
                                 sizeof(*l->other));
    if (l)
        l->o = sq_overlay_new();
    if (!l || !l->other || !l->o) {
        if (l)
            free(l->other);
        free(l);
        return sq_err_set(err, SQUIB_E_NOMEM, "lockstep: out of memory");
    }
    memset(l->other, 0, sizeof(*l->other));
    for (size_t k = 0; k < SQ_TLB_ALL; k++)
        l->none[k].tag = sq_tlb_no_tag(k);
    c->lockstep = l;
    c->translated = sq_lockstep_run;
    return 0;
}

void sq_lockstep_free(struct sq_x86_cpu *c)
{
    struct sq_lockstep *l = c->lockstep;

    if (!l)
        return;
    c->lockstep = NULL;
    free(l->other);
    sq_overlay_free(l->o);
    free(l->f);
    free(l);
}

struct sq_lockstep_counts sq_lockstep_counts(const struct sq_x86_cpu *c)
{
    return c->lockstep->counts;
}

void sq_lockstep_summary(const struct sq_x86_cpu *c, char *text, size_t len)
{
    const struct sq_lockstep_counts *n = &c->lockstep->counts;

    snprintf(text, len, "lockstep: %llu blocks compared, %llu interpreted "
             "alone, %llu compared again",
             (unsigned long long)n->pairs, (unsigned long long)n->alone,
             (unsigned long long)n->retries);
}

/* --- registers ----------------------------------------------------------- */

static void save(const struct sq_x86_cpu *c, uint8_t *to)
{
#define PART(a, z)                                                         \
    memcpy(to + AT_##a, (const uint8_t *)c + FROM(a), FROM(z) - FROM(a));
    PARTS(PART)
#undef PART
}

static void restore(struct sq_x86_cpu *c, const uint8_t *from)
{
#define PART(a, z)                                                         \
    memcpy((uint8_t *)c + FROM(a), from + AT_##a, FROM(z) - FROM(a));
    PARTS(PART)
#undef PART
}

struct sq_tlb_entry *sq_lockstep_tlb(struct sq_x86_cpu *c)
{
    return c->lockstep->phase == PHASE_RECORD ? c->lockstep->none
                                              : c->tlbs[c->cpl == 3];
}

/* Enters a phase, with what depends on it and on registers. */
static void set_phase(struct sq_x86_cpu *c, enum phase phase)
{
    c->lockstep->phase = phase;
    sq_x86_set_cpl(c, c->cpl);
}

/* --- hooks --------------------------------------------------------------- */

static bool grow(void **list, size_t *room, size_t count, size_t each)
{
    size_t n = *room ? *room * 2 : 256;
    void *p;

    if (count < *room)
        return true;
    p = realloc(*list, n * each);
    if (!p)
        return false;
    *list = p;
    *room = n;
    return true;
}

bool sq_lockstep_write(struct sq_x86_cpu *c, uint8_t *host, const void *src,
                       unsigned len)
{
    struct sq_lockstep *l = c->lockstep;

    if (l->phase == PHASE_CHECK && !sq_overlay_has(l->o, host, len))
        l->stray = true;
    if (l->phase != PHASE_RECORD)
        return false;
    if (!sq_overlay_put(l->o, host, src, len, true))
        l->no_room = true; /* the pair does not count */
    return true;
}

bool sq_lockstep_mark(struct sq_x86_cpu *c, uint8_t *host, uint64_t entry,
                      unsigned len)
{
    struct sq_lockstep *l = c->lockstep;
    bool written = l->phase != PHASE_NONE && sq_overlay_has(l->o, host, len);

    if (l->phase == PHASE_CHECK && !written)
        l->stray = true;
    /* What the TLB keeps is not marked again: now, in memory. An entry that
     * the block has written itself is not there yet. */
    if (l->phase != PHASE_RECORD || (l->keep_tlb && !written))
        return false;
    l->keep_tlb = false;
    if (!sq_overlay_put(l->o, host, &entry, len, false))
        l->no_room = true;
    return true;
}

void sq_lockstep_read(struct sq_x86_cpu *c, const uint8_t *host, void *to,
                      unsigned len)
{
    if (c->lockstep->phase == PHASE_RECORD)
        sq_overlay_get(c->lockstep->o, host, to, len);
}

bool sq_lockstep_holds(struct sq_x86_cpu *c, const uint8_t *host,
                       unsigned len, bool write)
{
    struct sq_lockstep *l = c->lockstep;

    return l->phase == PHASE_RECORD &&
           (write || sq_overlay_has(l->o, host, len));
}

void sq_lockstep_fill(struct sq_x86_cpu *c, struct sq_tlb_entry *e)
{
    struct sq_lockstep *l = c->lockstep;

    if (l->phase == PHASE_NONE)
        return;
    if (!grow((void **)&l->f, &l->f_room, l->f_count, sizeof(*l->f)))
        l->no_room = true;
    else
        l->f[l->f_count++] = (struct filled){.at = e, .then = *e};
}

static void write_protect(struct sq_x86_cpu *c, struct sq_tlb_entry *e)
{
    size_t k = (size_t)(e - c->tlbs[0]) % SQ_TLB_ALL;

    if (k >= SQ_TLB_SIZE)
        e->tag = sq_tlb_no_tag(k);
}

/* Whether the interpreter wrote to a page, or wanted to. */
static bool may_write(const struct sq_lockstep *l, const uint8_t *page)
{
    if (sq_overlay_has_page(l->o, page))
        return true;
    for (size_t k = l->f_recorded; k-- > 0;)
        if (l->f[k].to_write == page)
            return true;
    return false;
}

/* Write mappings exist within pairs only, and in the translation's half for
 * pages that the interpreter wanted to write to: what goes elsewhere is
 * seen. */
void sq_lockstep_filled(struct sq_x86_cpu *c, struct sq_tlb_entry *e,
                        bool write)
{
    struct sq_lockstep *l = c->lockstep;

    if (l->phase == PHASE_RECORD) {
        if (write && l->f_count)
            l->f[l->f_count - 1].to_write = e->host;
    } else if (l->phase == PHASE_NONE) {
        write_protect(c, e);
    } else if (e->host && !may_write(l, e->host)) {
        write_protect(c, e);
        l->stray |= write;
    }
}

void sq_lockstep_alone(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    struct sq_lockstep *l = c->lockstep;

    if (l->phase == PHASE_NONE)
        return;
    if (l->phase == PHASE_RECORD)
        l->alone = i ? (int32_t)(i - c->block->insn) : 0;
    else
        l->stray = true;
    sq_x86_stop_at(c, i);
}

/* --- which instructions --------------------------------------------------- */

/* Whether an instruction's whole effect is on registers and memory. */
static bool can_be_twice(const struct sq_x86_row *row, const uint8_t *bytes,
                         unsigned len)
{
    static const char *const once[] = {
        "in", "out", "ins", "outs", "hlt", "wrmsr", "rdmsr", "rdtsc",
        "rdpmc", "lmsw", "invlpg", "vmcall", "vmmcall", "monitor", "xgetbv",
        "rdrand", "rdseed", "rsm"};

    if (!(row->attr & A_PRIV))
        return true;
    if (row->form == FORM_CRE && row->attr & A_END) /* to CRn, DRn */
        return false;
    if (strcmp(row->name, "swapgs") == 0) /* or RDTSCP */
        return bytes[len - 1] == 0xf8;
    for (size_t k = 0; k < SQ_ARRAY_LEN(once); k++)
        if (strcmp(row->name, once[k]) == 0)
            return false;
    return true;
}

static unsigned limit_of(struct sq_x86_cpu *c, const struct sq_x86_block *b)
{
    const struct sq_soft_slot *s = sq_soft_slot_of(c->vm, b->pa);
    const uint8_t *bytes = s ? s->hva + (b->pa - s->gpa) : NULL;
    unsigned room = 4096 - (unsigned)(b->pa & 0xfff), k = 0;

    for (unsigned off = 0; bytes && k < b->n; k++) {
        struct sq_decode_in in = {.bytes = bytes + off, .avail = room - off,
                                  .mode = MODE_64};
        const struct sq_x86_row *row;
        struct sq_x86_insn i;

        if (sq_x86_decode(&in, &i, &row) != DECODE_OK ||
            !can_be_twice(row, bytes + off, i.len))
            break;
        off += i.len;
    }
    return k;
}

static struct known *look_up(struct sq_x86_cpu *c,
                             const struct sq_x86_block *b)
{
    struct known *k = &c->lockstep->known[(b->pa ^ b->pa >> KNOWN_BITS) &
                                          ((1u << KNOWN_BITS) - 1)];

    if (k->block != b || k->pa != b->pa || k->gen != b->gen)
        *k = (struct known){.block = b, .pa = b->pa, .gen = b->gen,
                            .limit = (uint16_t)limit_of(c, b)};
    return k;
}

/* --- both halves ---------------------------------------------------------- */

static void interpret(struct sq_x86_cpu *c, struct sq_x86_block *b,
                      unsigned limit)
{
    struct sq_lockstep *l = c->lockstep;
    sq_x86_exec *exec = b->insn[limit].exec;

    sq_overlay_clear(l->o);
    l->f_count = 0;
    l->alone = -1;
    l->no_room = l->stray = false;
    if (limit < b->n)
        b->insn[limit].exec = sq_x86_exec_stop;
    set_phase(c, PHASE_RECORD);
    l->why[0] = setjmp(c->leave);
    if (l->why[0] == 0) {
        c->block = b;
        c->icount += b->n;
        b->insn[0].exec(c, b->insn);
    }
    set_phase(c, PHASE_NONE);
    if (limit < b->n)
        b->insn[limit].exec = exec;
}

static void translated(struct sq_x86_cpu *c, struct sq_x86_block *b,
                       unsigned limit)
{
    struct sq_lockstep *l = c->lockstep;

    set_phase(c, PHASE_CHECK);
    c->block = b;
    c->js.stop = limit;
    l->why[1] = setjmp(c->leave);
    if (l->why[1] == 0)
        sq_jit_enter(c, b, b->n);
    c->js.stop = UINT32_MAX;
    set_phase(c, PHASE_NONE);
}

static void undo_tlb(struct sq_x86_cpu *c)
{
    struct sq_lockstep *l = c->lockstep;

    for (size_t k = l->f_count; k-- > 0;) {
        struct sq_tlb_entry *e = l->f[k].at;

        if (!l->keep_tlb)
            *e = l->f[k].then;
        else if (!may_write(l, e->host))
            write_protect(c, e);
    }
}

/* --- comparison ----------------------------------------------------------- */

static void note(struct sq_lockstep *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct sq_lockstep *l, const char *fmt, ...)
{
    size_t used = strlen(l->text);
    va_list args;

    va_start(args, fmt);
    vsnprintf(l->text + used, sizeof(l->text) - used, fmt, args);
    va_end(args);
}

/* Status flags that are good where the translation left. */
static uint32_t live_flags(struct sq_x86_cpu *c, struct sq_x86_block *b,
                           uint64_t index)
{
    struct known *k = look_up(c, b);

    if (index > b->n)
        return 0;
    if (index < b->n)
        return sq_jit_live(c, b, (unsigned)index);
    if (!k->live_known) {
        k->live = sq_jit_live(c, b, b->n);
        k->live_known = true;
    }
    return k->live;
}

/* What is compared by bytes. */
static const struct field {
    const char *name;
    uint16_t off, len;
} fields[] = {
#define F(name, member)                                                    \
    {name, offsetof(struct sq_x86_cpu, member),                            \
     sizeof(((struct sq_x86_cpu *)0)->member)}
    F("rax", gpr[0]), F("rcx", gpr[1]), F("rdx", gpr[2]), F("rbx", gpr[3]),
    F("rsp", gpr[4]), F("rbp", gpr[5]), F("rsi", gpr[6]), F("rdi", gpr[7]),
    F("r8", gpr[8]), F("r9", gpr[9]), F("r10", gpr[10]), F("r11", gpr[11]),
    F("r12", gpr[12]), F("r13", gpr[13]), F("r14", gpr[14]),
    F("r15", gpr[15]), F("rip", gpr[SQ_RIP]), F("instructions", icount),
    F("rflags", rflags), F("mxcsr", mxcsr), F("cpl", cpl), F("mode", mode),
    F("interrupt shadow", irq_shadow), F("fs base", segbase[SEG_FS]),
    F("gs base", segbase[SEG_GS]),
    F("ymm0", ymm[0]), F("ymm1", ymm[1]), F("ymm2", ymm[2]),
    F("ymm3", ymm[3]), F("ymm4", ymm[4]), F("ymm5", ymm[5]),
    F("ymm6", ymm[6]), F("ymm7", ymm[7]), F("ymm8", ymm[8]),
    F("ymm9", ymm[9]), F("ymm10", ymm[10]), F("ymm11", ymm[11]),
    F("ymm12", ymm[12]), F("ymm13", ymm[13]), F("ymm14", ymm[14]),
    F("ymm15", ymm[15]),
#define ST(n)                                                              \
    F("fpr" #n, x87.st[n].sig), F("fpr" #n " exponent", x87.st[n].se)
    ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
#undef ST
    F("fcw", x87.fcw), F("fsw", x87.fsw), F("top", x87.top),
    F("tags", x87.empty), F("fop", x87.fop), F("fip", x87.fip),
    F("fdp", x87.fdp),
    F("cr0", cr0), F("cr2", cr2), F("cr3", cr3), F("cr4", cr4),
    F("efer", efer), F("xcr0", xcr0),
    F("kernel gs base", kernel_gs_base),
#define SEG(name, n) F(name, seg[n].sel), F(name " base", seg[n].base)
    SEG("es", SEG_ES), SEG("cs", SEG_CS), SEG("ss", SEG_SS),
    SEG("ds", SEG_DS), SEG("fs", SEG_FS), SEG("gs", SEG_GS),
    SEG("ldtr", SEG_LDTR), SEG("tr", SEG_TR),
#undef SEG
#undef F
};

static void note_bytes(struct sq_lockstep *l, const char *name,
                       const uint8_t *a, const uint8_t *b, size_t len)
{
    note(l, "; %s is ", name);
    for (size_t k = len; k-- > 0;)
        note(l, "%02x", b[k]);
    note(l, ", not ");
    for (size_t k = len; k-- > 0;)
        note(l, "%02x", a[k]);
}

/* Each register by itself. */
static bool registers_differ(struct sq_x86_cpu *c)
{
    struct sq_lockstep *l = c->lockstep;
    bool bad = false;

    restore(l->other, l->interpreted);
    for (size_t k = 0; k < SQ_ARRAY_LEN(fields); k++) {
        const uint8_t *a = (const uint8_t *)l->other + fields[k].off;
        const uint8_t *b = (const uint8_t *)c + fields[k].off;

        if (memcmp(a, b, fields[k].len) == 0)
            continue;
        bad = true;
        note_bytes(l, fields[k].name, a, b, fields[k].len);
    }
    if ((l->why[0] == LEAVE_FAULT) != (l->why[1] == LEAVE_FAULT)) {
        bad = true;
        note(l, "; %s", l->why[0] == LEAVE_FAULT ? "no fault" : "a fault");
    } else if (l->why[0] == LEAVE_FAULT &&
               (c->fault_vector != l->other->fault_vector ||
                c->fault_error != l->other->fault_error)) {
        bad = true;
        note(l, "; fault %u (%#x), not %u (%#x)", c->fault_vector,
             c->fault_error, l->other->fault_vector, l->other->fault_error);
    }
    return bad;
}

static bool flags_differ(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    struct sq_lockstep *l = c->lockstep;
    uint32_t x, y, live;
    uint64_t then;

    memcpy(&l->other->fl, l->interpreted + AT_fl, sizeof(c->fl));
    x = sq_status(l->other);
    y = sq_status(c);
    if (x == y)
        return false;
    memcpy(&then, l->before + AT_code64 + (FROM(icount) - FROM(code64)),
           sizeof(then));
    live = live_flags(c, b, c->icount - then);
    if (((x ^ y) & live) == 0)
        return false;
    note(l, "; flags are %#x, not %#x", y & live, x & live);
    return true;
}

static bool memory_differs(struct sq_lockstep *l)
{
    const struct sq_overlay_word *w = sq_overlay_differs(l->o);
    bool elsewhere = l->stray || (!w && sq_overlay_stray(l->o));

    if (elsewhere)
        note(l, "; it wrote elsewhere");
    if (w)
        note_bytes(l, "memory", w->now, w->host, sizeof(w->now));
    return elsewhere || w;
}

/* Fast when all is well. */
static bool differs(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    struct sq_lockstep *l = c->lockstep;
    bool same = (l->why[0] == LEAVE_FAULT) == (l->why[1] == LEAVE_FAULT);
    bool bad = false;

    l->text[0] = '\0';
#define PART(a, z)                                                         \
    same = same && (AT_##a == AT_fl ||                                     \
                    memcmp(l->interpreted + AT_##a,                        \
                           (const uint8_t *)c + FROM(a),                   \
                           FROM(z) - FROM(a)) == 0);
    PARTS(PART)
#undef PART
    if (!same)
        bad = registers_differ(c);
    bad |= flags_differ(c, b);
    return memory_differs(l) || bad;
}

/* Leaves with the differences that are in the text. */
static void report(struct sq_x86_cpu *c, const struct sq_x86_block *b)
{
    struct sq_lockstep *l = c->lockstep;
    const struct sq_soft_slot *s = sq_soft_slot_of(c->vm, b->pa);
    char found[sizeof(l->text)];
    unsigned len = b->insn[b->n].off;
    uint64_t rip;

    memcpy(found, l->text, sizeof(found));
    memcpy(&rip, l->before + AT_gpr + SQ_RIP * 8, sizeof(rip));
    l->text[0] = '\0';
    note(l, "the translated block at %#llx does not do as interpreted%s",
         (unsigned long long)rip, found);
    note(l, "; its code:");
    for (unsigned k = 0; s && k < len; k++)
        note(l, " %02x", s->hva[b->pa - s->gpa + k]);
    c->exit->kind = SQUIB_EXIT_INTERNAL_ERROR;
    c->exit->internal_error = (struct squib_exit_internal_error){
        .text = l->text, .detail = {rip, b->pa}};
}

/* --- a pair --------------------------------------------------------------- */

enum result { SAME, DIFFERENT, ALONE };

static enum result pair(struct sq_x86_cpu *c, struct sq_x86_block *b,
                        unsigned *limit)
{
    struct sq_lockstep *l = c->lockstep;
    uint32_t attn = atomic_exchange(&c->attn, 0);
    bool bad;

    l->keep_tlb = l->counts.pairs & 1;
    save(c, l->before);
    interpret(c, b, *limit);
    attn |= atomic_exchange(&c->attn, 0);
    save(c, l->interpreted);
    l->f_recorded = l->f_count;
    undo_tlb(c);
    restore(c, l->before);
    set_phase(c, PHASE_NONE);
    if (l->alone < 0 && !l->no_room) {
        /* Devices on other threads would be taken for the translation. */
        if (c->det && l->counts.pairs % EXPECT_EACH == 0)
            sq_overlay_expect(l->o);
        translated(c, b, *limit);
        bad = differs(c, b);
        for (size_t k = 0; k < l->f_count; k++)
            write_protect(c, l->f[k].at);
        if (bad)
            sq_overlay_undo(l->o);
        restore(c, bad ? l->before : l->interpreted);
        set_phase(c, PHASE_NONE);
    } else {
        bad = true;
        for (size_t k = 0; k < l->f_count; k++)
            write_protect(c, l->f[k].at);
        *limit = l->no_room ? 0 : (unsigned)l->alone;
    }
    atomic_fetch_or(&c->attn, attn);
    if (l->alone >= 0 || l->no_room)
        return ALONE;
    return bad ? DIFFERENT : SAME;
}

bool sq_lockstep_run(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    struct sq_lockstep *l = c->lockstep;
    int32_t budget = c->budget;
    enum result r = ALONE;
    unsigned limit = 0;

    if (b->mode == MODE_64 && !b->crosses)
        limit = look_up(c, b)->limit;
    if (!limit || !sq_jit_ready(c, b)) {
        l->counts.alone++;
        c->js.link = 0;
        return false;
    }
    memcpy(&l->leave, &c->leave, sizeof(l->leave));
    for (unsigned tries = 0; tries < TRIES && limit && r != SAME;) {
        if (!sq_turn_try(&c->vm->turn)) {
            r = ALONE; /* a device is at guest memory */
            break;
        }
        r = pair(c, b, &limit);
        sq_turn_give(&c->vm->turn);
        if (r == DIFFERENT) {
            l->counts.retries++;
            tries++;
        }
    }
    memcpy(&c->leave, &l->leave, sizeof(l->leave));
    c->budget = budget;
    if (r == ALONE) {
        l->counts.alone++;
        c->js.link = 0;
        return false;
    }
    if (r == DIFFERENT) {
        report(c, b);
        sq_x86_leave_again(c, LEAVE_EXIT);
    }
    l->counts.pairs++;
    if (l->why[0])
        sq_x86_leave_again(c, l->why[0]);
    return true;
}
