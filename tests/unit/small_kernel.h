/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's file, made here, and a machine to load it into. */
#ifndef SQ_TESTS_SMALL_KERNEL_H
#define SQ_TESTS_SMALL_KERNEL_H

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/elf.h"
#include "arch/x86_64/machine.h"
#include "base/util.h"
#include "core/memory.h"

#define TEXT_GPA 0x1000000u
#define DATA_GPA 0x1200000u
#define PVH_GPA (TEXT_GPA + 0x40)
#define BANNER "Linux version 6.1.0-test (someone) #1 SMP"

enum { PHDRS = 3, NOTE_OFF = 0x200, TEXT_OFF = 0x1000, TEXT_LEN = 0x3000,
       DATA_OFF = 0x5000, DATA_LEN = 0x1234, DATA_MEM = 0x8000,
       ELF_LEN = DATA_OFF + DATA_LEN };

/* A small vmlinux: text, data with bss, PVH note. */
static inline uint8_t *make_elf(bool pvh)
{
    uint8_t *f = calloc(1, ELF_LEN);
    Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                    ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
        .e_entry = TEXT_GPA, .e_phoff = sizeof(eh),
        .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = PHDRS,
    };
    const Elf64_Phdr ph[PHDRS] = {
        {.p_type = PT_LOAD, .p_offset = DATA_OFF, .p_paddr = DATA_GPA,
         .p_vaddr = 0xffffffff82000000, .p_filesz = DATA_LEN,
         .p_memsz = DATA_MEM},
        {.p_type = PT_LOAD, .p_offset = TEXT_OFF, .p_paddr = TEXT_GPA,
         .p_vaddr = 0xffffffff81000000, .p_filesz = TEXT_LEN,
         .p_memsz = TEXT_LEN},
        {.p_type = PT_NOTE, .p_offset = NOTE_OFF, .p_filesz = 52},
    };
    uint8_t *note = f + NOTE_OFF;
    uint32_t noise = 1;

    assert_non_null(f);
    memcpy(f, &eh, sizeof(eh));
    memcpy(f + sizeof(eh), ph, sizeof(ph));
    sq_st32(note, 4); /* another note first, of odd length */
    sq_st32(note + 4, 5);
    sq_st32(note + 8, 18);
    memcpy(note + 12, "GNU", 4);
    note += 24;
    sq_st32(note, 4);
    sq_st32(note + 4, 8);
    sq_st32(note + 8, pvh ? 18 : 17);
    memcpy(note + 12, "Xen", 4);
    sq_st64(note + 16, PVH_GPA);
    for (size_t i = TEXT_OFF; i < ELF_LEN; i++) {
        noise = noise * 1103515245 + 12345;
        /* Half noise, half runs, so that it compresses a little. */
        f[i] = i & 0x100 ? (uint8_t)(noise >> 16) : (uint8_t)(i >> 9);
    }
    memcpy(f + TEXT_OFF + 0x800, BANNER, sizeof(BANNER));
    return f;
}

static inline void set_ph(uint8_t *elf, int i, size_t field,
                          uint64_t value)
{
    sq_st64(elf + sizeof(Elf64_Ehdr) + (size_t)i * sizeof(Elf64_Phdr) +
                field, value);
}
#define PH(field) offsetof(Elf64_Phdr, field)

static inline struct squib_memory *make_memory(uint64_t mib)
{
    struct squib_range r[2];
    struct squib_memory *mem;
    size_t n;

    assert_int_equal(sq_x86_ram_ranges(mib << 20, r, &n, NULL), 0);
    assert_int_equal(squib_memory_new(&mem, NULL), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(squib_memory_add(mem, r[i], NULL), 0);
    return mem;
}

static inline struct sq_x86_boot boot_of(const struct sq_x86_kernel *k)
{
    return (struct sq_x86_boot){.kernel = k, .vcpus = 1, .serial = true,
                                .cmdline = "console=ttyS0"};
}

#endif
