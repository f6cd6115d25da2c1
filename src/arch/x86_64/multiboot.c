/* SPDX-License-Identifier: Apache-2.0 */
/* Section and field names: Multiboot Specification 0.6.96, chapter 3.1. */
#include "arch/x86_64/multiboot.h"

#include "base/elf.h"
#include "base/err.h"
#include "base/util.h"

#define SEARCH_LEN 8192u
#define HEADER_MAGIC 0x1badb002u

/* Flags: the low half are demands, the high half is advice. */
#define DEMAND_ALIGN 1u  /* modules on page boundaries: they are */
#define DEMAND_MEMORY 2u /* mem_*: always given */
#define DEMANDS 0xffffu
#define HAS_ADDRESSES (1u << 16)

/* The header's offsets. */
enum {
    H_FLAGS = 4,
    H_SUM = 8,
    H_LEN = 12,
    H_HEADER_GPA = 12,
    H_LOAD_GPA = 16,
    H_LOAD_END_GPA = 20,
    H_BSS_END_GPA = 24,
    H_ENTRY_GPA = 28,
    H_ADDRESSES_END = 32,
};

/* Its offset in the file, or `len` when there is none. */
static size_t find(const uint8_t *data, size_t len)
{
    size_t end = len < SEARCH_LEN ? len : SEARCH_LEN;

    for (size_t at = 0; at + H_LEN <= end; at += 4) {
        const uint8_t *h = data + at;

        if (sq_ld32(h) == HEADER_MAGIC &&
            sq_ld32(h) + sq_ld32(h + H_FLAGS) + sq_ld32(h + H_SUM) == 0)
            return at;
    }
    return len;
}

bool sq_multiboot_is(const uint8_t *data, size_t len)
{
    if (sq_elf_is(data, len) && len > EI_CLASS &&
        data[EI_CLASS] == ELFCLASS64)
        return false;
    return find(data, len) < len;
}

/* 3.1.3: one stretch of the file, header and all. */
static int parse_addresses(const uint8_t *data, size_t len, size_t at,
                           struct sq_elf *out, struct squib_error *err)
{
    const uint8_t *h = data + at;
    uint64_t header, load, load_end, bss_end, off, file_len;

    if (len - at < H_ADDRESSES_END)
        return sq_err_set(err, SQUIB_E_FORMAT, "its multiboot header is "
                          "truncated\n  do: copy or download it again");
    header = sq_ld32(h + H_HEADER_GPA);
    load = sq_ld32(h + H_LOAD_GPA);
    load_end = sq_ld32(h + H_LOAD_END_GPA);
    bss_end = sq_ld32(h + H_BSS_END_GPA);
    if (load > header || header - load > at)
        return sq_err_set(err, SQUIB_E_FORMAT, "its multiboot header says "
                          "that the file begins before its first byte"
                          "\n  do: build it again");
    off = at - (header - load);
    file_len = len - off;
    if (load_end) {
        if (load_end < load || load_end - load > file_len)
            return sq_err_set(err, SQUIB_E_FORMAT, "its multiboot header "
                              "asks for more than the file has"
                              "\n  do: copy or download it again");
        file_len = load_end - load;
    }
    if (!bss_end)
        bss_end = load + file_len;
    if (file_len == 0 || bss_end < load + file_len)
        return sq_err_set(err, SQUIB_E_FORMAT, "its multiboot header has "
                          "impossible addresses\n  do: build it again");
    *out = (struct sq_elf){
        .count = 1,
        .seg[0] = {off, file_len, load, bss_end - load},
    };
    if (sq_ld32(h + H_ENTRY_GPA) - load < file_len)
        out->entry_gpa = sq_ld32(h + H_ENTRY_GPA);
    return 0;
}

int sq_multiboot_parse(const uint8_t *data, size_t len, struct sq_elf *out,
                       struct squib_error *err)
{
    size_t at = find(data, len);
    uint32_t flags, unknown;

    if (at == len)
        return sq_err_set(err, SQUIB_E_FORMAT, "it has no multiboot header");
    flags = sq_ld32(data + at + H_FLAGS);
    unknown = flags & DEMANDS & ~(DEMAND_ALIGN | DEMAND_MEMORY);
    if (unknown)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "its multiboot header "
                          "demands what squib does not have (flags %#x)"
                          "\n  do: build it without a video mode", unknown);
    return flags & HAS_ADDRESSES
               ? parse_addresses(data, len, at, out, err)
               : sq_elf_parse32(data, len, out, err);
}
