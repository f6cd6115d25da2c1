/* SPDX-License-Identifier: Apache-2.0 */
#include "waiting_kernel.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool write_waiting_kernel(const char *path)
{
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph;
        unsigned char code[4096];
    } file = {
        .eh = {
            .e_type = ET_EXEC, .e_machine = EM_X86_64,
            .e_version = EV_CURRENT, .e_entry = 0x1000000,
            .e_phoff = sizeof(Elf64_Ehdr), .e_ehsize = sizeof(Elf64_Ehdr),
            .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,
        },
        .ph = {
            .p_type = PT_LOAD, .p_flags = PF_R | PF_X,
            .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
            .p_vaddr = 0x1000000, .p_paddr = 0x1000000, .p_filesz = 4096,
            .p_memsz = 4096, .p_align = 8,
        },
        .code = {0xfa, 0xf4, 0xeb, 0xfd}, /* cli; hlt; jmp back to it */
    };
    bool ok;
    int fd;

    memcpy(file.eh.e_ident, ELFMAG, SELFMAG);
    file.eh.e_ident[EI_CLASS] = ELFCLASS64;
    file.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    file.eh.e_ident[EI_VERSION] = EV_CURRENT;
    fd = open(path, O_WRONLY | O_CREAT, 0666);
    ok = fd >= 0 && write(fd, &file, sizeof(file)) == sizeof(file);
    if (fd >= 0)
        close(fd);
    return ok;
}
