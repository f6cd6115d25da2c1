/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile_guest KIND FILE: writes a kernel of a few bytes that misbehaves.
 *
 * An x86-64 ELF file with one segment and the note that names a PVH entry
 * (type 18 of the owner "Xen": the physical address to enter at). The entry
 * is called in 32-bit protected mode with flat segments, without paging.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LOAD_GPA 0x100000u
/* Above the memory of every guest that the tests make, below the devices. */
#define NOWHERE 0x00, 0x00, 0x00, 0xa0

struct kind {
    const char *name, *what;
    uint8_t code[48];
    size_t len;
};

#define CODE(...)                                                          \
    {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static const struct kind kinds[] = {
    {"triple", "an exception without an IDT", CODE(
        0x0f, 0x01, 0x1d, 0x40, 0x00, 0x10, 0x00, /* lidt [0x100040]: 0s */
        0x0f, 0x0b)},                             /* ud2 */
    {"nowhere", "a jump to where no memory is", CODE(
        0xb8, NOWHERE,   /* mov eax, NOWHERE */
        0xff, 0xe0)},    /* jmp eax */
    {"tables", "page tables where no memory is", CODE(
        0xb8, NOWHERE,             /* mov eax, NOWHERE */
        0x0f, 0x22, 0xd8,          /* mov cr3, eax */
        0x0f, 0x20, 0xc0,          /* mov eax, cr0 */
        0x0d, 0x00, 0x00, 0x00, 0x80, /* or eax, 1 << 31 */
        0x0f, 0x22, 0xc0,          /* mov cr0, eax */
        0xeb, 0xfe)},              /* jmp . */
    {"halt", "a halt for ever", CODE(
        0xfa,            /* cli */
        0xf4,            /* hlt */
        0xeb, 0xfd)},    /* jmp to the hlt */
    {"spin", "a loop for ever", CODE(
        0xeb, 0xfe)},    /* jmp . */
    {"flood", "the serial port written to without a pause", CODE(
        0x66, 0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
        0xb0, 0x78,             /* mov al, 'x' */
        0xee,                   /* out dx, al */
        0xeb, 0xfd)},           /* jmp to the out */
    {"reads", "reads of what is neither memory nor device", CODE(
        0xa1, NOWHERE,          /* mov eax, [NOWHERE] */
        0xa3, NOWHERE,          /* mov [NOWHERE], eax */
        0xeb, 0xf4)},           /* jmp to the first */
    {"reset", "a reset through the keyboard controller", CODE(
        0xb0, 0xfe,      /* mov al, 0xfe */
        0xe6, 0x64,      /* out 0x64, al */
        0xeb, 0xfc)},    /* jmp to the out */
    {"startups", "start-up interrupts for all others without a pause", CODE(
        /* mov dword [0xfee00300], INIT, all but this one */
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x00, 0x45, 0x0c, 0x00,
        /* mov dword [0xfee00300], start-up at 0x9f000 */
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x9f, 0x46, 0x0c, 0x00,
        0xeb, 0xea)},    /* jmp to the first */
};

struct image {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
    struct {
        Elf64_Nhdr h;
        char name[4];
        uint32_t entry_gpa;
    } note;
    uint8_t code[0x1000];
};

static int write_image(const struct kind *k, const char *path)
{
    static struct image im;
    FILE *f = fopen(path, "wb");
    int bad;

    memcpy(im.eh.e_ident, ELFMAG, SELFMAG);
    im.eh.e_ident[EI_CLASS] = ELFCLASS64;
    im.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    im.eh.e_ident[EI_VERSION] = EV_CURRENT;
    im.eh.e_type = ET_EXEC;
    im.eh.e_machine = EM_X86_64;
    im.eh.e_version = EV_CURRENT;
    im.eh.e_entry = LOAD_GPA;
    im.eh.e_phoff = offsetof(struct image, ph);
    im.eh.e_ehsize = sizeof(im.eh);
    im.eh.e_phentsize = sizeof(im.ph[0]);
    im.eh.e_phnum = 2;
    im.ph[0] = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_W | PF_X,
        .p_offset = offsetof(struct image, code),
        .p_vaddr = LOAD_GPA,
        .p_paddr = LOAD_GPA,
        .p_filesz = sizeof(im.code),
        .p_memsz = sizeof(im.code),
        .p_align = 1,
    };
    im.ph[1] = (Elf64_Phdr){
        .p_type = PT_NOTE,
        .p_offset = offsetof(struct image, note),
        .p_filesz = sizeof(im.note),
        .p_memsz = sizeof(im.note),
        .p_align = 4,
    };
    im.note.h = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 4, .n_type = 18};
    memcpy(im.note.name, "Xen", 4);
    im.note.entry_gpa = LOAD_GPA;
    memcpy(im.code, k->code, k->len);
    if (!f) {
        perror(path);
        return 1;
    }
    bad = fwrite(&im, sizeof(im), 1, f) != 1;
    bad |= fclose(f) != 0;
    if (bad)
        perror(path);
    return bad;
}

int main(int argc, char *argv[])
{
    for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, argv[1]) == 0)
            return write_image(&kinds[i], argv[2]);
    fputs("usage: hostile_guest KIND FILE\n", stderr);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        fprintf(stderr, "  %-9s %s\n", kinds[i].name, kinds[i].what);
    return 2;
}
