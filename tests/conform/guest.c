/* SPDX-License-Identifier: Apache-2.0 */
/* Machines for the tests: memory, tables, start states, expected exits. */
#define _GNU_SOURCE
#include "a64.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "core/memory.h"

/* --- memory ---------------------------------------------------------- */

uint8_t *cf_ram(struct cf *t, uint32_t gpa)
{
    uint8_t *p = sq_memory_ptr(t->mem, gpa, 1);

    CF_CHECK(p != NULL);
    return p;
}

uint32_t cf_ram32(struct cf *t, uint32_t gpa)
{
    return sq_ld32(cf_ram(t, gpa));
}

uint64_t cf_ram64(struct cf *t, uint32_t gpa)
{
    return sq_ld64(cf_ram(t, gpa));
}

void cf_put(struct cf *t, uint32_t gpa, const void *bytes, size_t len)
{
    struct squib_error e;

    CF_OK(squib_memory_write(t->mem, gpa, bytes, len, &e), e);
}

void cf_put64(struct cf *t, uint32_t gpa, uint64_t value)
{
    cf_put(t, gpa, &value, sizeof(value));
}

static void put_page_tables(struct cf *t)
{
    cf_put64(t, CF_PML4, CF_PDPT | 7);
    for (uint32_t i = 0; i < 4; i++)
        cf_put64(t, CF_PDPT + i * 8, (CF_PD + i * 0x1000u) | 7);
    for (uint64_t i = 0; i < 2048; i++)
        cf_put64(t, CF_PD + (uint32_t)i * 8, i << 21 | 0x87);
}

static void put_gdt(struct cf *t)
{
    static const uint64_t gdt[] = {
        0,
        0x00af9b000000ffff, /* 08 64-bit code */
        0x00cf93000000ffff, /* 10 data */
        0x00cf9b000000ffff, /* 18 32-bit code */
        0,
        0x00cff3000000ffff, /* 28 ring 3 data */
        0x00affb000000ffff, /* 30 ring 3 64-bit code */
        0x0000890000000067 | (uint64_t)CF_TSS << 16, /* 38 TSS */
        0,
        0x00009b010000ffff, /* 48 16-bit code at CF_CODE */
        0x000093000000ffff, /* 50 16-bit data */
    };

    CF_PUT(t, CF_GDT, gdt);
    cf_put64(t, CF_TSS + 4, CF_STACK); /* RSP0 */
    cf_put64(t, CF_TSS + 0x60, 0x68ull << 48); /* no I/O bitmap */
}

void cf_gate(struct cf *t, uint8_t vector, uint32_t handler_gpa,
             unsigned dpl)
{
    uint64_t low = (handler_gpa & 0xffffu) | (uint64_t)CF_SEL_CODE64 << 16 |
                   0x8e0000000000ull | (uint64_t)dpl << 45 |
                   (uint64_t)(handler_gpa >> 16) << 48;

    cf_put64(t, CF_IDT + vector * 16u, low);
    cf_put64(t, CF_IDT + vector * 16u + 8, 0);
}

/* Where all stubs meet: vector and error code are on the stack. */
static const uint8_t stub_common[] = {
    0x58,                          /* pop rax */
    0xe7, 0xe0,                    /* out 0xe0, eax */
    0x58,                          /* pop rax */
    0xe7, 0xe1,                    /* out 0xe1, eax */
    0x48, 0x8b, 0x04, 0x24,        /* mov rax, [rsp] */
    0xe7, 0xe2,                    /* out 0xe2, eax */
    0x0f, 0x20, 0xd0,              /* mov rax, cr2 */
    0xe7, 0xe3,                    /* out 0xe3, eax */
    0xf4,                          /* hlt */
};

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void put_stubs(struct cf *t)
{
    const uint32_t common = CF_STUBS + 32 * 16;

    CF_PUT(t, common, stub_common);
    for (unsigned v = 0; v < 32; v++) {
        uint32_t at = CF_STUBS + v * 16;
        uint8_t stub[16] = {0x90, 0x90,           /* nop */
                            0x6a, (uint8_t)v,     /* push vector */
                            0xe9};                /* jmp common */

        if (!has_error_code(v))
            stub[0] = 0x6a, stub[1] = 0;          /* push 0 */
        sq_st32(stub + 5, common - (at + 9));
        CF_PUT(t, at, stub);
        cf_gate(t, (uint8_t)v, at, 0);
    }
}

void cf_use_4k_pages(struct cf *t)
{
    for (uint64_t i = 0; i < 512; i++)
        cf_put64(t, CF_PT + (uint32_t)i * 8, i << 12 | 7);
    cf_put64(t, CF_PD, CF_PT | 7);
}

/* --- machines -------------------------------------------------------- */

bool cf_is_a64(const struct cf *t)
{
    return squib_backend_arch(t->be) == SQUIB_ARCH_AARCH64;
}

void cf_memory(struct cf *t)
{
    struct squib_error e;

    CF_OK(squib_memory_new(&t->mem, &e), e);
    CF_OK(squib_memory_add(t->mem, (struct squib_range){0, CF_HOLE}, &e), e);
    CF_OK(squib_memory_add(t->mem,
                           (struct squib_range){CF_HIGH_RAM,
                                                CF_RAM_END - CF_HIGH_RAM},
                           &e), e);
    if (cf_is_a64(t)) {
        cf_a64_vectors(t);
        return;
    }
    put_page_tables(t);
    put_gdt(t);
    put_stubs(t);
}

void cf_vm_on_memory(struct cf *t, uint32_t vcpus, bool irqchip,
                     bool dirty_log)
{
    struct squib_vm_config config = {
        .vcpus = vcpus, .irqchip = irqchip, .dirty_log = dirty_log};
    struct squib_error e;

    if (vcpus > 1 && !(squib_backend_caps(t->be) & SQUIB_CAP_SMP))
        cf_skip("the backend has one vCPU");
    if (cf_is_a64(t))
        cf_a64_config(&config);
    CF_OK(squib_vm_new(t->be, &config, t->mem, &t->vm, &e), e);
    CF_OK(squib_vcpu_new(t->vm, 0, &t->vcpu, &e), e);
}

void cf_vm(struct cf *t, uint32_t vcpus, bool irqchip, bool dirty_log)
{
    cf_memory(t);
    cf_vm_on_memory(t, vcpus, irqchip, dirty_log);
}

void cf_free(struct cf *t)
{
    squib_vcpu_free(t->vcpu);
    squib_vm_free(t->vm);
    squib_memory_free(t->mem);
    t->vcpu = NULL;
    t->vm = NULL;
    t->mem = NULL;
}

static void start(struct cf *t, const struct squib_x86_64_state *st,
                  const void *code, size_t len)
{
    struct squib_error e;

    cf_put(t, CF_CODE, code, len);
    CF_OK(squib_vcpu_set_state(t->vcpu,
                               SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, st,
                               &e), e);
}

void cf_real(struct cf *t, const void *code, size_t len)
{
    struct squib_x86_64_state st = {0};

    squib_x86_real_mode(&st, CF_CODE, 0);
    st.seg[SQUIB_X86_DS].base = st.seg[SQUIB_X86_ES].base = CF_DATA;
    st.seg[SQUIB_X86_DS].selector = CF_DATA >> 4;
    st.seg[SQUIB_X86_ES].selector = CF_DATA >> 4;
    st.seg[SQUIB_X86_SS].base = CF_STACK - 0x8000;
    st.seg[SQUIB_X86_SS].selector = (CF_STACK - 0x8000) >> 4;
    st.gpr[SQUIB_X86_RSP] = 0x8000;
    st.idt.limit = 0x3ff;
    start(t, &st, code, len);
}

void cf_prot(struct cf *t, const void *code, size_t len)
{
    struct squib_x86_64_state st = {0};

    squib_x86_flat32(&st, CF_CODE);
    st.gdt = (struct squib_x86_table){.base = CF_GDT, .limit = 0x57};
    st.seg[SQUIB_X86_CS].selector = CF_SEL_CODE32;
    st.gpr[SQUIB_X86_RSP] = CF_STACK;
    start(t, &st, code, len);
}

void cf_long_state(struct squib_x86_64_state *st)
{
    squib_x86_long_mode(st, CF_CODE, CF_PML4);
    st->gdt = (struct squib_x86_table){.base = CF_GDT, .limit = 0x57};
    st->idt = (struct squib_x86_table){.base = CF_IDT, .limit = 0xfff};
    st->seg[SQUIB_X86_TR] = (struct squib_x86_seg){
        .base = CF_TSS, .limit = 0x67, .attr = 0x8b,
        .selector = CF_SEL_TSS};
    st->gpr[SQUIB_X86_RSP] = CF_STACK;
}

void cf_long(struct cf *t, const void *code, size_t len)
{
    struct squib_x86_64_state st = {0};

    cf_long_state(&st);
    start(t, &st, code, len);
}

uint64_t cf_gpr(struct cf *t, enum squib_x86_gpr r)
{
    struct squib_x86_64_state st;
    struct squib_error e;

    CF_OK(squib_vcpu_get_state(t->vcpu, SQUIB_STATE_REGS, &st, &e), e);
    return st.gpr[r];
}

/* --- exits ----------------------------------------------------------- */

const char *cf_describe(const struct squib_exit *e)
{
    static char text[200];
    const char *name = squib_exit_name(e->kind);

    switch (e->kind) {
    case SQUIB_EXIT_PIO:
        snprintf(text, sizeof(text), "%s port %#x %u bytes %#x",
                 e->pio.write ? "out" : "in", e->pio.port, e->pio.len,
                 sq_ld32(e->pio.data));
        break;
    case SQUIB_EXIT_MMIO:
        snprintf(text, sizeof(text), "mmio %s %#llx %u bytes %#llx",
                 e->mmio.write ? "write" : "read",
                 (unsigned long long)e->mmio.gpa, e->mmio.len,
                 (unsigned long long)sq_ld64(e->mmio.data));
        break;
    case SQUIB_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text), "%s: %s", name, e->internal_error.text);
        break;
    case SQUIB_EXIT_SHUTDOWN:
        snprintf(text, sizeof(text), "%s, fault %d", name,
                 e->shutdown.fault);
        break;
    default:
        snprintf(text, sizeof(text), "%s", name);
    }
    return text;
}

struct squib_exit *cf_run_vcpu(struct squib_vcpu *vcpu)
{
    for (;;) {
        struct squib_exit *e = squib_vcpu_run(vcpu);

        cf_seen(e);
        if (!vcpu->vm->config.irqchip ||
            (e->kind != SQUIB_EXIT_HLT && e->kind != SQUIB_EXIT_WFI))
            return e;
        squib_vcpu_park(vcpu, e->idle.deadline_ns);
    }
}

struct squib_exit *cf_run(struct cf *t)
{
    return cf_run_vcpu(t->vcpu);
}

struct squib_exit *cf_kind(const char *file, int line, struct cf *t,
                           enum squib_exit_kind kind)
{
    struct squib_exit *e = cf_run(t);

    if (e->kind != kind)
        cf_fail(file, line, "expected %s, got %s", squib_exit_name(kind),
                cf_describe(e));
    return e;
}

static struct squib_exit *expect_pio(const char *file, int line,
                                     struct cf *t, bool write, uint16_t port,
                                     uint8_t len)
{
    struct squib_exit *e = cf_run(t);

    if (e->kind != SQUIB_EXIT_PIO || e->pio.write != write ||
        e->pio.port != port || e->pio.len != len)
        cf_fail(file, line, "expected %s port %#x %u bytes, got %s",
                write ? "out" : "in", port, len, cf_describe(e));
    return e;
}

void cf_out(const char *file, int line, struct cf *t, uint16_t port,
            uint8_t len, uint32_t value)
{
    const struct squib_exit *e = expect_pio(file, line, t, true, port, len);
    uint32_t got = 0;

    memcpy(&got, e->pio.data, len);
    if (got != value)
        cf_fail(file, line, "port %#x: expected %#x, got %#x", port, value,
                got);
}

void cf_in(const char *file, int line, struct cf *t, uint16_t port,
           uint8_t len, uint32_t answer)
{
    struct squib_exit *e = expect_pio(file, line, t, false, port, len);

    memcpy(e->pio.data, &answer, len);
}

void cf_mmio(const char *file, int line, struct cf *t, uint64_t gpa,
             bool write, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t done = 0; done < len;) {
        struct squib_exit *e = cf_run(t);

        if (e->kind != SQUIB_EXIT_MMIO || e->mmio.write != write ||
            e->mmio.gpa != gpa + done || e->mmio.len < 1 ||
            e->mmio.len > 8 || e->mmio.len > len - done)
            cf_fail(file, line, "expected mmio %s at %#llx, %zu bytes at "
                    "most, got %s", write ? "write" : "read",
                    (unsigned long long)gpa + done, len - done,
                    cf_describe(e));
        if (!write)
            memcpy(e->mmio.data, bytes + done, e->mmio.len);
        else if (memcmp(e->mmio.data, bytes + done, e->mmio.len) != 0)
            cf_fail(file, line, "wrong data in %s", cf_describe(e));
        done += e->mmio.len;
    }
}

void cf_exception(const char *file, int line, struct cf *t, uint8_t vector,
                  uint32_t error, uint32_t rip, uint32_t cr2)
{
    cf_out(file, line, t, CF_PORT_VECTOR, 4, vector);
    cf_out(file, line, t, CF_PORT_ERROR, 4, error);
    cf_out(file, line, t, CF_PORT_RIP, 4, CF_CODE + rip);
    if (vector == 14)
        cf_out(file, line, t, CF_PORT_CR2, 4, cr2);
    else
        expect_pio(file, line, t, true, CF_PORT_CR2, 4);
}

struct cancel_arg {
    struct squib_vcpu *vcpu;
    unsigned ms;
};

static void *cancel_thread(void *p)
{
    struct cancel_arg *a = p;
    const struct timespec pause = {a->ms / 1000, a->ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
    squib_vcpu_cancel(a->vcpu);
    free(a);
    return NULL;
}

void cf_cancel_after(struct squib_vcpu *vcpu, unsigned ms)
{
    struct cancel_arg *a = malloc(sizeof(*a));
    pthread_t thread;

    CF_CHECK(a != NULL);
    *a = (struct cancel_arg){vcpu, ms};
    CF_CHECK(pthread_create(&thread, NULL, cancel_thread, a) == 0);
    pthread_detach(thread);
}
