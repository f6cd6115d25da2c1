/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/elf.h"

#include <string.h>

#include "base/elf.h"
#include "base/err.h"
#include "base/util.h"

#define PVH_NOTE_TYPE 18u /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PHDRS_MAX 128u    /* bounds the work on a hostile file */
#define GPA_MAX (1ull << 46)

static const char do_copy_again[] = "\n  do: copy or download it again";

bool sq_elf_is(const uint8_t *data, size_t len)
{
    return len >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

static const char *machine_name(uint16_t machine)
{
    switch (machine) {
    case EM_386: return "i386 (32-bit x86)";
    case EM_ARM: return "32-bit ARM";
    case EM_AARCH64: return "arm64 (aarch64)";
    case EM_RISCV: return "RISC-V";
    case EM_PPC:
    case EM_PPC64: return "PowerPC";
    case EM_S390: return "s390";
    case EM_MIPS: return "MIPS";
    case EM_LOONGARCH: return "LoongArch";
    case EM_SPARC:
    case EM_SPARCV9: return "SPARC";
    default: return NULL;
    }
}

static int check_machine(const uint8_t *data, struct squib_error *err)
{
    bool big = data[EI_DATA] == ELFDATA2MSB;
    uint16_t machine = big ? (uint16_t)(data[18] << 8 | data[19])
                           : sq_ld16(data + 18);
    const char *name = machine_name(machine);

    if (name)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is for %s, the VM is x86-64"
                          "\n  do: give a kernel built for x86-64",
                          name);
    if (machine != EM_X86_64)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is for another processor (ELF machine %u)"
                          "\n  do: give a kernel built for x86-64",
                          machine);
    if (data[EI_CLASS] != ELFCLASS64 || big)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is a 32-bit ELF file, not a 64-bit one"
                          "\n  do: give a kernel built for x86-64");
    return 0;
}

/* Notes are 4-byte aligned triples of name, type and contents. One that
 * does not fit ends the search: a kernel can do without. */
static void find_pvh(const uint8_t *p, uint64_t len, struct sq_elf *out)
{
    while (len >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr h;
        uint64_t name_len, desc_len;

        memcpy(&h, p, sizeof(h));
        p += sizeof(h);
        len -= sizeof(h);
        name_len = sq_align_up(h.n_namesz, 4);
        desc_len = sq_align_up(h.n_descsz, 4);
        if (name_len > len || desc_len > len - name_len)
            return;
        if (h.n_type == PVH_NOTE_TYPE && h.n_namesz == 4 &&
            memcmp(p, "Xen", 4) == 0 &&
            (h.n_descsz == 4 || h.n_descsz == 8)) {
            out->pvh_gpa = h.n_descsz == 4 ? sq_ld32(p + name_len)
                                           : sq_ld64(p + name_len);
            return;
        }
        p += name_len + desc_len;
        len -= name_len + desc_len;
    }
}

static int truncated(size_t len, uint64_t need, struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_FORMAT,
                      "it is truncated: %zu bytes, but at least %llu are "
                      "needed%s",
                      len, (unsigned long long)need, do_copy_again);
}

static int add_segment(const Elf64_Phdr *ph, struct sq_elf *out,
                       struct squib_error *err)
{
    size_t at = out->count;
    uint64_t end;

    if (ph->p_memsz < ph->p_filesz ||
        sq_add_overflow(ph->p_paddr, ph->p_memsz, &end) || end > GPA_MAX)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has a segment of impossible size or address "
                          "(%#llx+%#llx)%s",
                          (unsigned long long)ph->p_paddr,
                          (unsigned long long)ph->p_memsz, do_copy_again);
    if (out->count == SQ_ELF_SEGMENTS_MAX)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has more than %d segments"
                          "\n  do: give a Linux vmlinux or bzImage",
                          SQ_ELF_SEGMENTS_MAX);
    for (size_t i = 0; i < out->count; i++)
        if (sq_overlaps(ph->p_paddr, ph->p_memsz, out->seg[i].gpa,
                        out->seg[i].mem_len))
            return sq_err_set(err, SQUIB_E_FORMAT,
                              "its segments at %#llx and %#llx overlap%s",
                              (unsigned long long)out->seg[i].gpa,
                              (unsigned long long)ph->p_paddr,
                              do_copy_again);
    while (at && out->seg[at - 1].gpa > ph->p_paddr) {
        out->seg[at] = out->seg[at - 1];
        at--;
    }
    out->seg[at] = (struct sq_elf_segment){
        .off = ph->p_offset,
        .file_len = ph->p_filesz,
        .gpa = ph->p_paddr,
        .mem_len = ph->p_memsz,
    };
    out->count++;
    return 0;
}

static bool in_file_part(const struct sq_elf *elf, uint64_t gpa)
{
    for (size_t i = 0; i < elf->count; i++)
        if (gpa >= elf->seg[i].gpa &&
            gpa - elf->seg[i].gpa < elf->seg[i].file_len)
            return true;
    return false;
}

static void add_note(const Elf64_Phdr *ph, struct sq_elf *out)
{
    if (out->note_count == SQ_ELF_NOTES_MAX)
        return;
    out->note[out->note_count].off = ph->p_offset;
    out->note[out->note_count++].len = ph->p_filesz;
}

/* Headers lie within the `len` bytes of data, all else within `file_len`. */
static int parse(const uint8_t *data, size_t len, uint64_t file_len,
                 struct sq_elf *out, struct squib_error *err)
{
    Elf64_Ehdr eh;
    uint64_t end;
    int rc;

    *out = (struct sq_elf){0};
    if (len < 20)
        return truncated(len, sizeof(eh), err);
    rc = check_machine(data, err);
    if (rc)
        return rc;
    if (len < sizeof(eh))
        return truncated(len, sizeof(eh), err);
    memcpy(&eh, data, sizeof(eh));
    if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is not an executable ELF file (type %u)"
                          "\n  do: give a Linux vmlinux or bzImage",
                          eh.e_type);
    if (eh.e_phnum == 0 || eh.e_phnum > PHDRS_MAX ||
        eh.e_phentsize != sizeof(Elf64_Phdr))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has no usable program headers%s",
                          do_copy_again);
    if (sq_add_overflow(eh.e_phoff, eh.e_phnum * sizeof(Elf64_Phdr), &end) ||
        end > len)
        return truncated(len, end, err);
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr ph;

        memcpy(&ph, data + eh.e_phoff + i * sizeof(ph), sizeof(ph));
        if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE)
            continue;
        if (ph.p_memsz == 0 && ph.p_filesz == 0)
            continue;
        if (sq_add_overflow(ph.p_offset, ph.p_filesz, &end) ||
            end > file_len)
            return truncated(len, end, err);
        if (ph.p_type == PT_LOAD)
            rc = add_segment(&ph, out, err);
        else
            add_note(&ph, out);
        if (rc)
            return rc;
    }
    if (out->count == 0)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has nothing to load (no PT_LOAD segment)"
                          "\n  do: give a Linux vmlinux or bzImage");
    if (in_file_part(out, eh.e_entry))
        out->entry_gpa = eh.e_entry;
    return 0;
}

int sq_elf_parse_head(const uint8_t *data, size_t len, struct sq_elf *out,
                      struct squib_error *err)
{
    return parse(data, len, UINT64_MAX, out, err);
}

void sq_elf_note(struct sq_elf *out, const uint8_t *data, size_t len)
{
    if (!out->pvh_gpa)
        find_pvh(data, len, out);
}

int sq_elf_finish(struct sq_elf *out, struct squib_error *err)
{
    if (out->pvh_gpa && !in_file_part(out, out->pvh_gpa))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "its PVH entry %#llx is in none of its segments%s",
                          (unsigned long long)out->pvh_gpa, do_copy_again);
    return 0;
}

int sq_elf_parse(const uint8_t *data, size_t len, struct sq_elf *out,
                 struct squib_error *err)
{
    int rc = parse(data, len, len, out, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < out->note_count; i++)
        sq_elf_note(out, data + out->note[i].off, (size_t)out->note[i].len);
    return sq_elf_finish(out, err);
}

/* Offsets of the 32-bit headers (System V ABI, figures 4-3 and 5-1). */
enum {
    EH32_TYPE = 16, EH32_MACHINE = 18, EH32_ENTRY = 24, EH32_PHOFF = 28,
    EH32_PHENTSIZE = 42, EH32_PHNUM = 44, EH32_LEN = 52,
    PH32_TYPE = 0, PH32_OFFSET = 4, PH32_PADDR = 12, PH32_FILESZ = 16,
    PH32_MEMSZ = 20, PH32_LEN = 32,
};

int sq_elf_parse32(const uint8_t *data, size_t len, struct sq_elf *out,
                   struct squib_error *err)
{
    unsigned count;
    uint64_t at;

    *out = (struct sq_elf){0};
    if (len < EH32_LEN)
        return truncated(len, EH32_LEN, err);
    if (!sq_elf_is(data, len) || data[EI_CLASS] != ELFCLASS32 ||
        data[EI_DATA] == ELFDATA2MSB ||
        sq_ld16(data + EH32_TYPE) != ET_EXEC ||
        sq_ld16(data + EH32_MACHINE) != EM_386)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is not an ELF32 executable for i386"
                          "\n  do: link it as elf32-i386");
    count = sq_ld16(data + EH32_PHNUM);
    at = sq_ld32(data + EH32_PHOFF);
    if (count == 0 || count > PHDRS_MAX ||
        sq_ld16(data + EH32_PHENTSIZE) != PH32_LEN)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has no usable program headers%s",
                          do_copy_again);
    if (at + count * PH32_LEN > len)
        return truncated(len, at + count * PH32_LEN, err);
    for (unsigned i = 0; i < count; i++, at += PH32_LEN) {
        const Elf64_Phdr ph = {
            .p_type = sq_ld32(data + at + PH32_TYPE),
            .p_offset = sq_ld32(data + at + PH32_OFFSET),
            .p_paddr = sq_ld32(data + at + PH32_PADDR),
            .p_filesz = sq_ld32(data + at + PH32_FILESZ),
            .p_memsz = sq_ld32(data + at + PH32_MEMSZ),
        };
        int rc;

        if (ph.p_type != PT_LOAD || (!ph.p_memsz && !ph.p_filesz))
            continue;
        if (ph.p_offset + ph.p_filesz > len)
            return truncated(len, ph.p_offset + ph.p_filesz, err);
        rc = add_segment(&ph, out, err);
        if (rc)
            return rc;
    }
    if (out->count == 0)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it has nothing to load (no PT_LOAD segment)"
                          "%s", do_copy_again);
    if (in_file_part(out, sq_ld32(data + EH32_ENTRY)))
        out->entry_gpa = sq_ld32(data + EH32_ENTRY);
    return 0;
}
