/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger in a few lines: a guest of a few bytes runs to a breakpoint,
 * and from there step by step; each step is printed with what it left in AX.
 *
 *   cc step.c $(pkg-config --cflags --libs squib) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>
#include <squib/squib.h>

#define GUEST_GPA 0x1000u
#define STOP_GPA (GUEST_GPA + 6) /* where the breakpoint is */

static const uint8_t guest[] = { /* 16-bit code, entered at offset 0 */
    0xb8, 1, 0,  /*        mov   ax, 1   */
    0xb9, 3, 0,  /*        mov   cx, 3   */
    0x01, 0xc0,  /* next:  add   ax, ax  */
    0xe2, 0xfc,  /*        loop  next    */
    0xf4,        /*        hlt           */
};
static const uint8_t int3 = 0xcc;

static struct squib_error err;

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "step: %s\n", err.text);
    exit(1);
}

/* Runs to the next stop; false: the guest has halted. */
static bool run(struct squib_vcpu *vcpu, const char *how)
{
    struct squib_x86_64_state state;
    struct squib_exit *why = squib_vcpu_run(vcpu);

    if (why->kind == SQUIB_EXIT_HLT)
        return false;
    if (why->kind != SQUIB_EXIT_DEBUG) {
        fprintf(stderr, "step: %s\n", squib_exit_name(why->kind));
        exit(1);
    }
    must(squib_vcpu_get_state(vcpu, SQUIB_STATE_REGS, &state, &err));
    printf("%s %#llx ax=%u\n", how, (unsigned long long)why->debug.pc,
           (unsigned)state.gpr[SQUIB_X86_RAX] & 0xffff);
    return true;
}

int main(void)
{
    const struct squib_vm_config config = {.vcpus = 1};
    struct squib_x86_64_state state = {0};
    const struct squib_backend *backend;
    struct squib_memory *memory;
    struct squib_vcpu *vcpu;
    struct squib_vm *vm;

    /* Of all backends this one has the most exact steps. */
    must(squib_backend_choose("soft", &backend, NULL, 0, &err));
    must(squib_memory_new(&memory, &err));
    must(squib_memory_add(memory, (struct squib_range){0, 65536}, &err));
    must(squib_memory_write(memory, GUEST_GPA, guest, sizeof(guest), &err));
    must(squib_vm_new(backend, &config, memory, &vm, &err));
    must(squib_vcpu_new(vm, 0, &vcpu, &err));
    squib_x86_real_mode(&state, GUEST_GPA, 0);
    must(squib_vcpu_set_state(
        vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &state, &err));

    /* A breakpoint is an instruction in the guest's memory. */
    must(squib_memory_write(memory, STOP_GPA, &int3, 1, &err));
    must(squib_vcpu_debug(vcpu, SQUIB_DEBUG_BREAK, &err));
    run(vcpu, "stop");
    /* To go on, the guest's own comes back. */
    must(squib_memory_write(memory, STOP_GPA, &guest[STOP_GPA - GUEST_GPA],
                            1, &err));
    must(squib_vcpu_debug(vcpu, SQUIB_DEBUG_STEP, &err));
    while (run(vcpu, "step"))
        ;

    squib_vcpu_free(vcpu);
    squib_vm_free(vm);
    squib_memory_free(memory);
    return 0;
}
