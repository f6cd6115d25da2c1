/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt controllers and timers. Source: SDM vol. 3 chapter 11; Intel
 * 82093AA I/O APIC data sheet. */
#define _GNU_SOURCE
#include "conform.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#define PIN 5u

/* Interrupt handlers: write the vector to port 0xf4, then EOI. */
static const uint8_t handler_code[] = {
    0x50,                          /* push rax */
    0x57,                          /* push rdi */
    0xb0, 0x00,                    /* mov al, 0x00: the vector */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xbf, 0xb0, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee000b0 */
    0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, /* mov dword ptr [rdi], 0 */
    0x5f,                          /* pop rdi */
    0x58,                          /* pop rax */
    0x48, 0xcf,                    /* iretq */
};
#define HANDLER_VECTOR_AT 3

static void put_handler(struct cf *t, uint8_t vector)
{
    uint32_t at = 0x14000u + vector * 32u;
    uint8_t code[sizeof(handler_code)];

    memcpy(code, handler_code, sizeof(code));
    code[HANDLER_VECTOR_AT] = vector;
    CF_PUT(t, at, code);
    cf_gate(t, vector, at, 0);
}

static void set_irq(struct cf *t, bool level)
{
    struct squib_error e;

    CF_OK(squib_vm_irq(t->vm, PIN, level, &e), e);
}

/* The guest sleeps: nothing more may come. */
static void expect_silence(struct cf *t)
{
    cf_cancel_after(t->vcpu, 40);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
}

static const uint8_t ioapic_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xbe, 0x00, 0x00, 0xc0, 0xfe,  /* mov esi, 0xfec00000 */
    0xc7, 0x06, 0x01, 0x00, 0x00, 0x00, /* mov dword ptr [rsi], 1 */
    0x8b, 0x46, 0x10,              /* mov eax, [rsi+0x10] */
    0xc1, 0xe8, 0x10,              /* shr eax, 16 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* mov dword ptr [rsi], 0x1b: pin 5, destination */
    0xc7, 0x06, 0x1b, 0x00, 0x00, 0x00,
    0xc7, 0x46, 0x10, 0x00, 0x00, 0x00, 0x00, /* mov dword ptr [rsi+0x10], 0 */
    /* mov dword ptr [rsi], 0x1a: and the rest */
    0xc7, 0x06, 0x1a, 0x00, 0x00, 0x00,
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov eax, [0x20000] */
    0x89, 0x46, 0x10,              /* mov [rsi+0x10], eax */
    0xfb,                          /* sti */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* sleep: */
    0xf4,                          /* hlt */
    0xeb, 0xfd,                    /* jmp sleep */
};

static void start_ioapic(struct cf *t, uint32_t redirection)
{
    cf_vm(t, 1, true, false);
    put_handler(t, redirection & 0xff);
    cf_put64(t, CF_DATA, redirection);
    CF_LONG(t, ioapic_code);
    CF_OUT(t, 0xf0, 1, 23); /* the highest of 24 pins */
    CF_OUT(t, 0xf0, 1, 1);
}

static void irq_edge(struct cf *t)
{
    start_ioapic(t, 0x45);
    for (int i = 0; i < 2; i++) {
        set_irq(t, true);
        CF_OUT(t, 0xf4, 1, 0x45);
        expect_silence(t); /* a high line is no new edge */
        set_irq(t, false);
    }
    expect_silence(t);
}

static void irq_level(struct cf *t)
{
    start_ioapic(t, 0x8046);
    set_irq(t, true);
    CF_OUT(t, 0xf4, 1, 0x46);
    CF_OUT(t, 0xf4, 1, 0x46); /* again after EOI, the line is still high */
    set_irq(t, false);
    expect_silence(t);
}

static void irq_masked(struct cf *t)
{
    start_ioapic(t, 0x10047);
    set_irq(t, true);
    set_irq(t, false);
    expect_silence(t);
}

static void *raise_later(void *arg)
{
    const struct timespec pause = {0, 30000000};

    nanosleep(&pause, NULL);
    squib_vm_irq(arg, PIN, true, NULL);
    squib_vm_irq(arg, PIN, false, NULL);
    return NULL;
}

/* From another thread, while the guest sleeps. */
static void irq_wakes_hlt(struct cf *t)
{
    pthread_t thread;

    start_ioapic(t, 0x48);
    CF_CHECK(pthread_create(&thread, NULL, raise_later, t->vm) == 0);
    CF_OUT(t, 0xf4, 1, 0x48);
    pthread_join(thread, NULL);
}

static const uint8_t spin_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xbe, 0x00, 0x00, 0xc0, 0xfe,  /* mov esi, 0xfec00000 */
    0xc7, 0x06, 0x1b, 0x00, 0x00, 0x00, /* mov dword ptr [rsi], 0x1b */
    0xc7, 0x46, 0x10, 0x00, 0x00, 0x00, 0x00, /* mov dword ptr [rsi+0x10], 0 */
    0xc7, 0x06, 0x1a, 0x00, 0x00, 0x00, /* mov dword ptr [rsi], 0x1a */
    /* mov dword ptr [rsi+0x10], 0x49 */
    0xc7, 0x46, 0x10, 0x49, 0x00, 0x00, 0x00,
    0xfb,                          /* sti */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* spin: */
    0xeb, 0xfe,                    /* jmp spin */
};

/* From another thread, while the guest spins. */
static void irq_stops_spinning(struct cf *t)
{
    pthread_t thread;

    cf_vm(t, 1, true, false);
    put_handler(t, 0x49);
    CF_LONG(t, spin_code);
    CF_OUT(t, 0xf0, 1, 1);
    CF_CHECK(pthread_create(&thread, NULL, raise_later, t->vm) == 0);
    CF_OUT(t, 0xf4, 1, 0x49);
    pthread_join(thread, NULL);
}

static void irq_by_eventfd(struct cf *t)
{
    struct squib_error e;
    int fd = eventfd(0, EFD_CLOEXEC);

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_IRQFD))
        cf_skip("the backend has no irqfd");
    start_ioapic(t, 0x4a);
    CF_OK(t->vm->ops->irqfd(t->vm, PIN, fd, true, &e), e);
    CF_CHECK(eventfd_write(fd, 1) == 0);
    CF_OUT(t, 0xf4, 1, 0x4a);
    CF_OK(t->vm->ops->irqfd(t->vm, PIN, fd, false, &e), e);
    CF_CHECK(eventfd_write(fd, 1) == 0);
    expect_silence(t);
}

static const uint8_t io_code[] = {
    0xb8, 0x05, 0x00, 0x00, 0x00,  /* mov eax, 5 */
    0xe7, 0xe8,                    /* out 0xe8, eax */
    0xe6, 0xe9,                    /* out 0xe9, al */
    0xbf, 0x00, 0x00, 0x00, 0xd0,  /* mov edi, 0xd0000000 */
    0x89, 0x07,                    /* mov [rdi], eax */
    0x89, 0x47, 0x04,              /* mov [rdi+4], eax */
    0xf4,                          /* hlt */
};

static void io_by_eventfd(struct cf *t)
{
    static const uint8_t five[] = {5, 0, 0, 0};
    struct squib_error e;
    eventfd_t n;
    int pio = eventfd(0, EFD_CLOEXEC), mmio = eventfd(0, EFD_CLOEXEC);

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_IOEVENTFD))
        cf_skip("the backend has no ioeventfd");
    cf_vm(t, 1, false, false);
    CF_OK(t->vm->ops->ioeventfd(t->vm, true, 0xe8, 4, pio, true, &e), e);
    CF_OK(t->vm->ops->ioeventfd(t->vm, false, CF_MMIO, 4, mmio, true, &e),
          e);
    CF_LONG(t, io_code);
    CF_OUT(t, 0xe9, 1, 5);
    CF_MMIO_WRITE(t, CF_MMIO + 4, five, 4);
    CF_CHECK(eventfd_read(pio, &n) == 0 && n == 1);
    CF_CHECK(eventfd_read(mmio, &n) == 0 && n == 1);
    CF_OK(t->vm->ops->ioeventfd(t->vm, true, 0xe8, 4, pio, false, &e), e);
    CF_LONG(t, io_code);
    CF_OUT(t, 0xe8, 4, 5);
}

/* --- messages -------------------------------------------------------- */

static const uint8_t msi_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xfb,                          /* sti */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* sleep: */
    0xf4,                          /* hlt */
    0xeb, 0xfd,                    /* jmp sleep */
};

static void msi(struct cf *t)
{
    struct squib_error e;

    cf_vm(t, 1, true, false);
    put_handler(t, 0x41);
    put_handler(t, 0x62);
    CF_LONG(t, msi_code);
    CF_OUT(t, 0xf0, 1, 1);
    CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), e);
    CF_OUT(t, 0xf4, 1, 0x41);
    CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), e);
    CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x62, &e), e);
    CF_OUT(t, 0xf4, 1, 0x62); /* the higher one first */
    CF_OUT(t, 0xf4, 1, 0x41);
    expect_silence(t);
    /* to nobody: dropped */
    squib_vm_msi(t->vm, 0xfee07000, 0x41, &e);
    expect_silence(t);
}

static const uint8_t hold_off_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* again: */
    0xfa,                          /* cli */
    0xfb,                          /* sti */
    0x90,                          /* nop */
    /* cmp dword ptr [0x20000], 100 */
    0x81, 0x3c, 0x25, 0x00, 0x00, 0x02, 0x00, 0x64, 0x00, 0x00, 0x00,
    0x72, 0xf0,                    /* jb again */
    0x8b, 0x04, 0x25, 0x04, 0x00, 0x02, 0x00, /* mov eax, [0x20004] */
    0xe7, 0xf0,                    /* out 0xf0, eax */
    0xf4,                          /* hlt */
};
#define HOLD_OFF_NOP (CF_CODE + 21u)
static const uint8_t hold_off_handler[] = {
    0xff, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* inc dword ptr [0x20000] */
    0x81, 0x3c, 0x24,              /* cmp dword ptr [rsp], the NOP */
    HOLD_OFF_NOP & 0xff, HOLD_OFF_NOP >> 8 & 0xff, HOLD_OFF_NOP >> 16, 0x00,
    0x75, 0x07,                    /* jne done */
    0xff, 0x04, 0x25, 0x04, 0x00, 0x02, 0x00, /* inc dword ptr [0x20004] */
    /* done: mov dword ptr [rdi+0xb0], 0 */
    0xc7, 0x87, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x48, 0xcf,                    /* iretq */
};

struct sender {
    struct squib_vm *vm;
    _Atomic bool stop;
};

static void *send_all_the_time(void *arg)
{
    const struct timespec ts = {.tv_nsec = 20 * 1000};
    struct sender *s = arg;
    struct squib_error e;

    while (!s->stop) {
        squib_vm_msi(s->vm, 0xfee00000, 0x41, &e);
        nanosleep(&ts, NULL); /* the guest gets somewhere meanwhile */
    }
    return NULL;
}

/* Whenever they come, the instruction behind STI is executed first. */
static void sti_holds_off(struct cf *t)
{
    struct sender s;
    pthread_t thread;

    if (squib_backend_caps(t->be) & SQUIB_CAP_HARDWARE)
        cf_skip("it is the processor that holds them off");
    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, hold_off_handler);
    cf_gate(t, 0x41, 0x14000, 0);
    CF_LONG(t, hold_off_code);
    CF_OUT(t, 0xf0, 1, 1);
    s = (struct sender){.vm = t->vm};
    CF_CHECK(pthread_create(&thread, NULL, send_all_the_time, &s) == 0);
    CF_OUT(t, 0xf0, 4, 0);
    s.stop = true;
    pthread_join(thread, NULL);
}

static const uint8_t priority_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xb8, 0x04, 0x00, 0x00, 0x00,  /* mov eax, 4 */
    0x44, 0x0f, 0x22, 0xc0,        /* mov cr8, rax */
    0xfb,                          /* sti */
    /* mov dword ptr [rdi+0x300], 0x40041: to itself, class 4: held back */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x41, 0x00, 0x04, 0x00,
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* mov dword ptr [rdi+0x300], 0x40051: class 5 */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x51, 0x00, 0x04, 0x00,
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000: it may take a while */
    /* wait: */
    0xe2, 0xfe,                    /* loop wait */
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* mov eax, [rdi+0x220]: IRR of 0x40..0x5f */
    0x8b, 0x87, 0x20, 0x02, 0x00, 0x00,
    0xe7, 0xf1,                    /* out 0xf1, eax */
    0x8b, 0x87, 0x80, 0x00, 0x00, 0x00, /* mov eax, [rdi+0x80]: TPR is CR8 */
    0xe6, 0xf1,                    /* out 0xf1, al */
    0x31, 0xc0,                    /* xor eax, eax */
    0x44, 0x0f, 0x22, 0xc0,        /* mov cr8, rax */
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000 */
    /* wait2: */
    0xe2, 0xfe,                    /* loop wait2 */
    0xb0, 0x03,                    /* mov al, 3 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xf4,                          /* hlt */
};

static void apic_priority(struct cf *t)
{
    cf_vm(t, 1, true, false);
    put_handler(t, 0x41);
    put_handler(t, 0x51);
    CF_LONG(t, priority_code);
    CF_OUT(t, 0xf0, 1, 1);
    CF_OUT(t, 0xf4, 1, 0x51);
    CF_OUT(t, 0xf0, 1, 2);
    CF_OUT(t, 0xf1, 4, 2);
    CF_OUT(t, 0xf1, 1, 0x40);
    CF_OUT(t, 0xf4, 1, 0x41);
    CF_OUT(t, 0xf0, 1, 3);
}

static const uint8_t x2apic_code[] = {
    0xb9, 0x1b, 0x00, 0x00, 0x00,  /* mov ecx, 0x1b */
    0x0f, 0x32,                    /* rdmsr */
    0x0d, 0x00, 0x04, 0x00, 0x00,  /* or eax, 0x400 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x02, 0x08, 0x00, 0x00,  /* mov ecx, 0x802: ID */
    0x0f, 0x32,                    /* rdmsr */
    0xe7, 0xf1,                    /* out 0xf1, eax */
    0x31, 0xd2,                    /* xor edx, edx */
    0xb9, 0x0f, 0x08, 0x00, 0x00,  /* mov ecx, 0x80f: spurious vector, enable */
    0xb8, 0xff, 0x01, 0x00, 0x00,  /* mov eax, 0x1ff */
    0x0f, 0x30,                    /* wrmsr */
    0xfb,                          /* sti */
    0xb9, 0x3f, 0x08, 0x00, 0x00,  /* mov ecx, 0x83f: self IPI */
    0xb8, 0x56, 0x00, 0x00, 0x00,  /* mov eax, 0x56 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000 */
    /* wait: */
    0xe2, 0xfe,                    /* loop wait */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xf4,                          /* hlt */
};
static const uint8_t x2apic_handler[] = {
    0x51,                          /* push rcx */
    0xb0, 0x56,                    /* mov al, 0x56 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xb9, 0x0b, 0x08, 0x00, 0x00,  /* mov ecx, 0x80b: EOI */
    0x31, 0xc0,                    /* xor eax, eax */
    0x31, 0xd2,                    /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    0x59,                          /* pop rcx */
    0x48, 0xcf,                    /* iretq */
};

static void x2apic(struct cf *t)
{
    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, x2apic_handler);
    cf_gate(t, 0x56, 0x14000, 0);
    CF_LONG(t, x2apic_code);
    CF_OUT(t, 0xf1, 4, 0);
    CF_OUT(t, 0xf4, 1, 0x56);
    CF_OUT(t, 0xf0, 1, 1);
}

static const uint8_t nmi_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    /* mov dword ptr [rdi+0x310], 0 */
    0xc7, 0x87, 0x10, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    /* mov dword ptr [rdi+0x300], 0x4400: NMI to APIC 0, with IF clear */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x00, 0x44, 0x00, 0x00,
    0xb9, 0xe8, 0x03, 0x00, 0x00,  /* mov ecx, 1000 */
    /* wait: */
    0xe2, 0xfe,                    /* loop wait */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xf4,                          /* hlt */
};
static const uint8_t nmi_handler[] = {
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x48, 0xcf,                    /* iretq */
};

static void nmi_by_ipi(struct cf *t)
{
    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, nmi_handler);
    cf_gate(t, 2, 0x14000, 0);
    CF_LONG(t, nmi_code);
    CF_OUT(t, 0xf4, 1, 2);
    CF_OUT(t, 0xf0, 1, 1);
}

/* --- timers ---------------------------------------------------------- */

static const uint8_t oneshot_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    /* mov dword ptr [rdi+0x3e0], 0xb: divide by 1 */
    0xc7, 0x87, 0xe0, 0x03, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00,
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov eax, [0x20000] */
    0x89, 0x87, 0x20, 0x03, 0x00, 0x00, /* mov [rdi+0x320], eax: vector, mode */
    0xfb,                          /* sti */
    /* mov dword ptr [rdi+0x380], 5000000 */
    0xc7, 0x87, 0x80, 0x03, 0x00, 0x00, 0x40, 0x4b, 0x4c, 0x00,
    /* sleep: */
    0xf4,                          /* hlt */
    0xeb, 0xfd,                    /* jmp sleep */
};

static void timer_oneshot(struct cf *t)
{
    cf_vm(t, 1, true, false);
    put_handler(t, 0x52);
    cf_put64(t, CF_DATA, 0x52);
    CF_LONG(t, oneshot_code);
    CF_OUT(t, 0xf4, 1, 0x52);
    expect_silence(t);
}

static void timer_periodic(struct cf *t)
{
    cf_vm(t, 1, true, false);
    put_handler(t, 0x53);
    cf_put64(t, CF_DATA, 0x20053);
    CF_LONG(t, oneshot_code);
    for (int i = 0; i < 4; i++)
        CF_OUT(t, 0xf4, 1, 0x53);
}

static const uint8_t deadline_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    /* mov dword ptr [rdi+0x320], 0x40054: TSC deadline mode */
    0xc7, 0x87, 0x20, 0x03, 0x00, 0x00, 0x54, 0x00, 0x04, 0x00,
    0x0f, 0xae, 0xf0,              /* mfence */
    0xfb,                          /* sti */
    0x0f, 0x31,                    /* rdtsc */
    0x05, 0xc0, 0xc6, 0x2d, 0x00,  /* add eax, 3000000 */
    0x83, 0xd2, 0x00,              /* adc edx, 0 */
    0x41, 0x89, 0xc0,              /* mov r8d, eax */
    0x41, 0x89, 0xd1,              /* mov r9d, edx */
    0xb9, 0xe0, 0x06, 0x00, 0x00,  /* mov ecx, 0x6e0 */
    0x0f, 0x30,                    /* wrmsr */
    /* sleep: */
    0xf4,                          /* hlt */
    0xeb, 0xfd,                    /* jmp sleep */
};
static const uint8_t deadline_handler[] = {
    0x0f, 0x31,                    /* rdtsc */
    0x44, 0x29, 0xc0,              /* sub eax, r8d */
    0x44, 0x19, 0xca,              /* sbb edx, r9d: not before its time */
    0x89, 0xd0,                    /* mov eax, edx */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    /* mov ecx, 0x6e0: and it has disarmed itself */
    0xb9, 0xe0, 0x06, 0x00, 0x00,
    0x0f, 0x32,                    /* rdmsr */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xbf, 0xb0, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee000b0 */
    0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, /* mov dword ptr [rdi], 0 */
    0x48, 0xcf,                    /* iretq */
};

static void timer_tsc_deadline(struct cf *t)
{
    const struct squib_exit *e;

    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, deadline_handler);
    cf_gate(t, 0x54, 0x14000, 0);
    CF_LONG(t, deadline_code);
    e = CF_KIND(t, SQUIB_EXIT_PIO);
    CF_CHECK(!(e->pio.data[3] & 0x80));
    CF_OUT(t, 0xf4, 4, 0);
    expect_silence(t);
}

/* --- a second vCPU --------------------------------------------------- */

static const uint8_t bsp_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    /* mov dword ptr [rdi+0x310], 0x1000000: to APIC 1 */
    0xc7, 0x87, 0x10, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    /* mov dword ptr [rdi+0x300], 0x4500: INIT */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x00, 0x45, 0x00, 0x00,
    /* mov dword ptr [rdi+0x300], 0x4612: start at 0x12000 */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x12, 0x46, 0x00, 0x00,
    /* mov dword ptr [rdi+0x300], 0x4612 */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x12, 0x46, 0x00, 0x00,
    /* wait: */
    0xf3, 0x90,                    /* pause */
    /* cmp word ptr [0x20000], 0x5a5a */
    0x66, 0x81, 0x3c, 0x25, 0x00, 0x00, 0x02, 0x00, 0x5a, 0x5a,
    0x75, 0xf2,                    /* jne wait */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* mov dword ptr [rdi+0x300], 0x4055: a plain interrupt to it */
    0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x55, 0x40, 0x00, 0x00,
    /* wait2: */
    0xf3, 0x90,                    /* pause */
    /* cmp word ptr [0x20002], 0xa5a5 */
    0x66, 0x81, 0x3c, 0x25, 0x02, 0x00, 0x02, 0x00, 0xa5, 0xa5,
    0x75, 0xf2,                    /* jne wait2 */
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xf4,                          /* hlt */
};
static const uint8_t ap_code[] = {
    0x8c, 0xc8,                    /* mov ax, cs */
    0xe7, 0xf5,                    /* out 0xf5, ax */
    0x31, 0xc0,                    /* xor ax, ax */
    0x8e, 0xd8,                    /* mov ds, ax */
    0x8e, 0xd0,                    /* mov ss, ax */
    0xbc, 0x00, 0x08,              /* mov sp, 0x800 */
    /* mov word ptr [0x154], 0x100: vector 0x55: 1200:0100 */
    0xc7, 0x06, 0x54, 0x01, 0x00, 0x01,
    0xc7, 0x06, 0x56, 0x01, 0x00, 0x12, /* mov word ptr [0x156], 0x1200 */
    /* mov ecx, 0x1b: real mode reaches its APIC by MSR only */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00,
    0x0f, 0x32,                    /* rdmsr */
    0x80, 0xcc, 0x04,              /* or ah, 4 */
    0x0f, 0x30,                    /* wrmsr */
    0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00, /* mov ecx, 0x80f */
    0x66, 0xb8, 0xff, 0x01, 0x00, 0x00, /* mov eax, 0x1ff */
    0x66, 0x31, 0xd2,              /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    0xb8, 0x00, 0x20,              /* mov ax, 0x2000 */
    0x8e, 0xd8,                    /* mov ds, ax */
    0xc7, 0x06, 0x00, 0x00, 0x5a, 0x5a, /* mov word ptr [0], 0x5a5a */
    0xfb,                          /* sti */
    /* sleep: */
    0xf4,                          /* hlt */
    0xeb, 0xfd,                    /* jmp sleep */
};
static const uint8_t ap_handler[] = {
    0xc7, 0x06, 0x02, 0x00, 0xa5, 0xa5, /* mov word ptr [2], 0xa5a5 */
    0x66, 0xb9, 0x0b, 0x08, 0x00, 0x00, /* mov ecx, 0x80b */
    0x66, 0x31, 0xc0,              /* xor eax, eax */
    0x66, 0x31, 0xd2,              /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    0xcf,                          /* iret */
};

struct ap {
    struct cf *t;
    pthread_barrier_t ready;
    _Atomic uint16_t cs;
    uint8_t run_state;
};

static void *ap_thread(void *arg)
{
    struct ap *ap = arg;
    struct squib_x86_64_state st = {0};
    struct squib_vcpu *vcpu;
    struct squib_error e;

    CF_OK(squib_vcpu_new(ap->t->vm, 1, &vcpu, &e), e);
    CF_OK(squib_vcpu_get_state(vcpu, SQUIB_STATE_EVENTS, &st, &e), e);
    ap->run_state = st.run_state;
    pthread_barrier_wait(&ap->ready);
    for (;;) {
        const struct squib_exit *x = cf_run_vcpu(vcpu);

        if (x->kind != SQUIB_EXIT_PIO || x->pio.port != 0xf5)
            CF_FAIL("vCPU 1: %s", cf_describe(x));
        ap->cs = (uint16_t)(x->pio.data[0] | x->pio.data[1] << 8);
    }
    return NULL;
}

/* INIT, SIPI, SIPI start it in real mode; then an interrupt wakes it. */
static void second_vcpu(struct cf *t)
{
    struct ap ap = {.t = t};
    pthread_t thread;

    cf_vm(t, 2, true, false);
    CF_PUT(t, CF_CODE2, ap_code);
    CF_PUT(t, CF_CODE2 + 0x100, ap_handler);
    CF_CHECK(pthread_barrier_init(&ap.ready, NULL, 2) == 0);
    CF_CHECK(pthread_create(&thread, NULL, ap_thread, &ap) == 0);
    pthread_barrier_wait(&ap.ready);
    CF_EQ(ap.run_state, SQUIB_X86_WAIT_SIPI);
    CF_LONG(t, bsp_code);
    CF_OUT(t, 0xf0, 1, 1);
    CF_EQ(ap.cs, CF_CODE2 >> 4);
    CF_OUT(t, 0xf0, 1, 2);
}

static const uint8_t pv_ipi_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xb8, 0x01, 0x00, 0x00, 0x40,  /* mov eax, 0x40000001 */
    0x31, 0xc9,                    /* xor ecx, ecx */
    0x0f, 0xa2,                    /* cpuid */
    0xe7, 0xf0,                    /* out 0xf0, eax */
    0xbb, 0x03, 0x00, 0x00, 0x00,  /* mov ebx, 0x3 */
    0x31, 0xc9,                    /* xor ecx, ecx */
    0x31, 0xd2,                    /* xor edx, edx */
    0xbe, 0x41, 0x00, 0x00, 0x00,  /* mov esi, 0x41 */
    0xb8, 0x0a, 0x00, 0x00, 0x00,  /* mov eax, 0xa */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xe7, 0xf0,                    /* out 0xf0, eax */
    0xfb,                          /* sti */
    0x90,                          /* nop */
    0xfa,                          /* cli */
    0xbe, 0x41, 0x00, 0x04, 0x00,  /* mov esi, 0x40041 */
    0xb8, 0x0a, 0x00, 0x00, 0x00,  /* mov eax, 0xa */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xe7, 0xf0,                    /* out 0xf0, eax */
    0xbe, 0x41, 0x00, 0x00, 0x00,  /* mov esi, 0x41 */
    0xba, 0xff, 0xff, 0xff, 0xff,  /* mov edx, 0xffffffff */
    0xb8, 0x0a, 0x00, 0x00, 0x00,  /* mov eax, 0xa */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xe7, 0xf0,                    /* out 0xf0, eax */
    0xf4,                          /* hlt */
};

/* One hypercall for many APICs, where CPUID offers it. */
static void pv_ipi(struct cf *t)
{
    uint32_t features = 0;
    struct squib_exit *e;

    cf_vm(t, 1, true, false);
    put_handler(t, 0x41);
    CF_LONG(t, pv_ipi_code);
    e = CF_KIND(t, SQUIB_EXIT_PIO);
    memcpy(&features, e->pio.data, 4);
    if (!(features >> 11 & 1))
        cf_skip("CPUID offers no hypercall for IPIs");
    CF_OUT(t, 0xf0, 4, 1); /* of two, one is there */
    CF_OUT(t, 0xf4, 1, 0x41);
    CF_OUT(t, 0xf0, 4, (uint32_t)-22); /* a shorthand */
    CF_OUT(t, 0xf0, 4, 0); /* IDs beyond the last one */
}

const struct cf_test cf_tests_irq[] = {
    {"irq_edge", irq_edge, CF_EXEC | CF_IRQ},
    {"irq_level", irq_level, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"irq_masked", irq_masked, CF_EXEC | CF_IRQ},
    {"irq_wakes_hlt", irq_wakes_hlt, CF_EXEC | CF_IRQ},
    {"irq_stops_spinning", irq_stops_spinning, CF_EXEC | CF_IRQ},
    {"irq_by_eventfd", irq_by_eventfd, CF_EXEC | CF_IRQ},
    {"io_by_eventfd", io_by_eventfd, CF_EXEC},
    {"msi", msi, CF_EXEC | CF_IRQ},
    {"sti_holds_off", sti_holds_off, CF_EXEC | CF_IRQ},
    {"apic_priority", apic_priority, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"x2apic", x2apic, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"pv_ipi", pv_ipi, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"nmi_by_ipi", nmi_by_ipi, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"timer_oneshot", timer_oneshot, CF_EXEC | CF_IRQ},
    {"timer_periodic", timer_periodic, CF_EXEC | CF_IRQ},
    {"timer_tsc_deadline", timer_tsc_deadline, CF_EXEC | CF_IRQ},
    {"second_vcpu", second_vcpu, CF_EXEC | CF_IRQ},
    {0},
};
