/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one exit costs, for every backend that runs here: from the guest to
 * the caller of squib_vcpu_run() and back, with nothing done in between.
 * Also the plain speed of a loop that never leaves the guest.
 *
 * The figure is the fastest of several rounds: what disturbs a round only
 * makes it slower.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <squib/squib.h>

#define ROUNDS 7
#define ROUND_NS 50000000u
#define CODE_GPA 0x1000u
#define LOOP_COUNT 2000000u

/* 16-bit code; memory ends at 64 KiB, so that 0x20000 is MMIO. */
static const uint8_t pio_write[] = {
    0xe6, 0x80, /* out 0x80, al */
    0xeb, 0xfc, /* jmp start    */
};
static const uint8_t pio_read[] = {
    0xe4, 0x80, /* in al, 0x80 */
    0xeb, 0xfc, /* jmp start   */
};
static const uint8_t mmio_write[] = {
    0xb8, 0x00, 0x20, 0x8e, 0xd8, /* mov ax, 0x2000; mov ds, ax */
    0xa2, 0x00, 0x00,             /* mov [0], al                */
    0xeb, 0xfb,                   /* jmp back to the store      */
};
static const uint8_t mmio_read[] = {
    0xb8, 0x00, 0x20, 0x8e, 0xd8, /* mov ax, 0x2000; mov ds, ax */
    0xa0, 0x00, 0x00,             /* mov al, [0]                */
    0xeb, 0xfb,                   /* jmp back to the load       */
};
static const uint8_t count_down[] = {
    0x66, 0xb9, 0x80, 0x84, 0x1e, 0x00, /* mov ecx, 2000000 */
    0x66, 0x49,                         /* dec ecx          */
    0x75, 0xfc,                         /* jnz back         */
    0xf4,                               /* hlt              */
    0xeb, 0xf3,                         /* jmp start        */
};

struct guest {
    struct squib_memory *memory;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void guest_free(struct guest *g)
{
    squib_vcpu_free(g->vcpu);
    squib_vm_free(g->vm);
    squib_memory_free(g->memory);
    memset(g, 0, sizeof(*g));
}

static int guest_new(const struct squib_backend *be, const uint8_t *code,
                     size_t len, struct guest *g, struct squib_error *err)
{
    const struct squib_vm_config config = {.vcpus = 1};
    struct squib_x86_64_state *st = calloc(1, sizeof(*st));
    int rc;

    memset(g, 0, sizeof(*g));
    if (!st)
        return SQUIB_E_NOMEM;
    squib_x86_real_mode(st, CODE_GPA, 0);
    rc = squib_memory_new(&g->memory, err);
    if (!rc)
        rc = squib_memory_add(g->memory, (struct squib_range){0, 65536}, err);
    if (!rc)
        rc = squib_memory_write(g->memory, CODE_GPA, code, len, err);
    if (!rc)
        rc = squib_vm_new(be, &config, g->memory, &g->vm, err);
    if (!rc)
        rc = squib_vcpu_new(g->vm, 0, &g->vcpu, err);
    if (!rc)
        rc = squib_vcpu_set_state(
            g->vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, st, err);
    free(st);
    return rc;
}

/* Nanoseconds an exit of the wanted kind, or a negative number. */
static double exit_ns(const struct squib_backend *be, const uint8_t *code,
                      size_t len, enum squib_exit_kind kind)
{
    /* A round looks at the clock now and then; HLT ends a long loop. */
    const int batch = kind == SQUIB_EXIT_HLT ? 1 : 64;
    struct squib_error err = {0};
    double best = -1;
    struct guest g;

    if (guest_new(be, code, len, &g, &err) != 0) {
        fprintf(stderr, "exit_cost: %s\n", err.text);
        guest_free(&g);
        return -1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns(), end = start, n = 0;
        double ns;

        while (end - start < ROUND_NS) {
            for (int i = 0; i < batch; i++) {
                if (squib_vcpu_run(g.vcpu)->kind != kind) {
                    guest_free(&g);
                    return -1;
                }
            }
            n += (uint64_t)batch;
            end = now_ns();
        }
        ns = (double)(end - start) / (double)n;
        if (best < 0 || ns < best)
            best = ns;
    }
    guest_free(&g);
    return best;
}

static void report(const char *backend, const char *what, double value,
                   const char *unit)
{
    if (value < 0)
        printf("%-6s %-22s not available\n", backend, what);
    else
        printf("%-6s %-22s %10.1f %s\n", backend, what, value, unit);
}

static void measure(const struct squib_backend *be)
{
    static const struct {
        const char *what;
        const uint8_t *code;
        size_t len;
        enum squib_exit_kind kind;
    } rows[] = {
        {"PIO write", pio_write, sizeof(pio_write), SQUIB_EXIT_PIO},
        {"PIO read", pio_read, sizeof(pio_read), SQUIB_EXIT_PIO},
        {"MMIO write", mmio_write, sizeof(mmio_write), SQUIB_EXIT_MMIO},
        {"MMIO read", mmio_read, sizeof(mmio_read), SQUIB_EXIT_MMIO},
    };
    const char *name = squib_backend_name(be);
    double loop_ns;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        report(name, rows[i].what,
               exit_ns(be, rows[i].code, rows[i].len, rows[i].kind),
               "ns an exit");
    /* Elsewhere the loop would measure the host's CPU, not the backend. */
    if (!(squib_backend_caps(be) & SQUIB_CAP_INSN_COUNT))
        return;
    loop_ns = exit_ns(be, count_down, sizeof(count_down), SQUIB_EXIT_HLT);
    report(name, "two-instruction loop",
           loop_ns < 0 ? -1 : (2.0 * LOOP_COUNT + 3) * 1e3 / loop_ns,
           "M instructions/s");
}

int main(int argc, char **argv)
{
    const struct squib_backend *be;

    for (size_t i = 0; (be = squib_backend_at(i)) != NULL; i++) {
        const char *name = squib_backend_name(be);
        struct squib_error err = {0};

        if (argc > 1 && strcmp(argv[1], name) != 0)
            continue;
        /* Scripted, not executed. */
        if (strcmp(name, "mock") == 0)
            continue;
        if (squib_backend_arch(be) != SQUIB_ARCH_X86_64) {
            printf("%-6s not measured: its guests are not x86-64\n", name);
            continue;
        }
        /* Named explicitly, a backend that cannot run Linux is measured
         * as far as it goes. */
        if (argc == 1 && squib_backend_probe(be, &err) != 0) {
            printf("%-6s not measured: %.*s\n", name,
                   (int)strcspn(err.text, "\n"), err.text);
            continue;
        }
        measure(be);
    }
    return 0;
}
