/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest useful embedder of libsquib: a guest of a few bytes that
 * writes a text to a port, byte by byte, and halts.
 *
 *   cc embed.c $(pkg-config --cflags --libs squib) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>
#include <squib/squib.h>

#define GUEST_GPA 0x1000u

static const uint8_t guest[] = { /* 16-bit code, entered at offset 0 */
    0xbe, 14, 0, /*        mov   si, text     */
    0x2e, 0xac,  /* next:  lodsb al, cs:[si]  */
    0x84, 0xc0,  /*        test  al, al       */
    0x74, 0x04,  /*        jz    done         */
    0xe6, 0xe9,  /*        out   0xe9, al     */
    0xeb, 0xf6,  /*        jmp   next         */
    0xf4,        /* done:  hlt                */
    'H', 'e', 'l', 'l', 'o', ' ', 'f', 'r', 'o', 'm', ' ', 't', 'h', 'e',
    ' ', 'g', 'u', 'e', 's', 't', '\n', 0, /* text: */
};

static struct squib_error err;

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "embed: %s\n", err.text);
    exit(1);
}

int main(void)
{
    const struct squib_vm_config config = {.vcpus = 1};
    struct squib_x86_64_state state = {0};
    const struct squib_backend *backend;
    struct squib_memory *memory;
    struct squib_exit *why;
    bool halted;
    struct squib_vcpu *vcpu;
    struct squib_vm *vm;

    must(squib_backend_choose("auto", &backend, NULL, 0, &err));
    must(squib_memory_new(&memory, &err));
    must(squib_memory_add(memory, (struct squib_range){0, 65536}, &err));
    must(squib_memory_write(memory, GUEST_GPA, guest, sizeof(guest), &err));
    must(squib_vm_new(backend, &config, memory, &vm, &err));
    must(squib_vcpu_new(vm, 0, &vcpu, &err));
    squib_x86_real_mode(&state, GUEST_GPA, 0);
    must(squib_vcpu_set_state(
        vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &state, &err));

    while ((why = squib_vcpu_run(vcpu))->kind == SQUIB_EXIT_PIO)
        if (why->pio.write && why->pio.port == 0xe9)
            putchar(why->pio.data[0]);
    halted = why->kind == SQUIB_EXIT_HLT;
    if (!halted)
        fprintf(stderr, "embed: %s\n", squib_exit_name(why->kind));

    squib_vcpu_free(vcpu);
    squib_vm_free(vm);
    squib_memory_free(memory);
    return halted ? 0 : 1;
}
