/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files made here, good and bad, through the loader. With the path of
 * a real kernel in SQUIB_TEST_KERNEL that one is loaded too.
 */
#define _GNU_SOURCE
#include "small_kernel.h"

#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "arch/unpack.h"

enum { BZ_SETUP = 2048, BZ_PAYLOAD = 0x100, BZ_VERSION = 0x400 };

/* A bzImage around a payload, with some bytes of code behind it. */
static uint8_t *make_bzimage(const uint8_t *payload, size_t len,
                             size_t *total)
{
    uint8_t *f;

    *total = BZ_SETUP + BZ_PAYLOAD + len + 64;
    f = calloc(1, *total);
    assert_non_null(f);
    memcpy(f, "MZ", 2);
    f[0x1f1] = BZ_SETUP / 512 - 1;
    sq_st16(f + 0x1fe, 0xaa55);
    memcpy(f + 0x202, "HdrS", 4);
    sq_st16(f + 0x206, 0x020f);
    sq_st16(f + 0x20e, BZ_VERSION - 0x200);
    sq_st16(f + 0x236, 1);
    sq_st32(f + 0x248, BZ_PAYLOAD);
    sq_st32(f + 0x24c, (uint32_t)len);
    strcpy((char *)f + BZ_VERSION, "6.1.0-test (someone@host) #1");
    memcpy(f + BZ_SETUP + BZ_PAYLOAD, payload, len);
    return f;
}

/* The formats, compressed as the kernel's build does it. Each returns the
 * length without the size that is appended. */
static size_t pack_lz4(const uint8_t *src, size_t len, uint8_t *dst,
                       size_t room)
{
    size_t at = 4;

    sq_st32(dst, 0x184c2102);
    while (len) { /* in 8 MiB blocks */
        size_t part = len < 8u << 20 ? len : 8u << 20;
        int n = LZ4_compress_default((const char *)src,
                                     (char *)dst + at + 4, (int)part,
                                     (int)(room - at - 4));

        assert_true(n > 0);
        sq_st32(dst + at, (uint32_t)n);
        at += 4 + (size_t)n;
        src += part;
        len -= part;
    }
    return at;
}

static size_t pack_zstd(const uint8_t *src, size_t len, uint8_t *dst,
                        size_t room)
{
    size_t n = ZSTD_compress(dst, room, src, len, 19);

    assert_false(ZSTD_isError(n));
    return n;
}

static size_t pack_gzip(const uint8_t *src, size_t len, uint8_t *dst,
                        size_t room)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)src,
                  .avail_in = (uInt)len, .next_out = dst,
                  .avail_out = (uInt)room};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8,
                                  Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static size_t pack_xz(const uint8_t *src, size_t len, uint8_t *dst,
                      size_t room)
{
    lzma_options_lzma opt;
    lzma_filter filters[] = {
        {.id = LZMA_FILTER_X86},
        {.id = LZMA_FILTER_LZMA2, .options = &opt},
        {.id = LZMA_VLI_UNKNOWN},
    };
    size_t n = 0;

    assert_false(lzma_lzma_preset(&opt, 6));
    assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32,
                                               NULL, src, len, dst, &n,
                                               room), LZMA_OK);
    return n;
}

static size_t pack_lzma(const uint8_t *src, size_t len, uint8_t *dst,
                        size_t room)
{
    lzma_stream ls = LZMA_STREAM_INIT;
    lzma_options_lzma opt;

    assert_false(lzma_lzma_preset(&opt, 6));
    assert_int_equal(lzma_alone_encoder(&ls, &opt), LZMA_OK);
    ls.next_in = src;
    ls.avail_in = len;
    ls.next_out = dst;
    ls.avail_out = room;
    assert_int_equal(lzma_code(&ls, LZMA_FINISH), LZMA_STREAM_END);
    lzma_end(&ls);
    return room - ls.avail_out;
}

static const struct {
    const char *name;
    size_t (*pack)(const uint8_t *, size_t, uint8_t *, size_t);
    bool own_size; /* ends with the unpacked size by itself */
} packers[] = {
    {"lz4", pack_lz4, false},   {"zstd", pack_zstd, false},
    {"gzip", pack_gzip, true},  {"xz", pack_xz, false},
    {"lzma", pack_lzma, false},
};

/* bzImage of the small vmlinux; *payload_len if wanted. */
static uint8_t *packed_bzimage(size_t packer, size_t *total,
                               size_t *payload_len)
{
    uint8_t *elf = make_elf(true), *buf = calloc(2, ELF_LEN), *bz;
    size_t n = packers[packer].pack(elf, ELF_LEN, buf, 2 * ELF_LEN - 4);

    if (!packers[packer].own_size) {
        sq_st32(buf + n, ELF_LEN);
        n += 4;
    }
    bz = make_bzimage(buf, n, total);
    if (payload_len)
        *payload_len = n;
    free(buf);
    free(elf);
    return bz;
}

static int try_bytes(const void *data, size_t len, struct squib_error *err)
{
    struct sq_x86_kernel *k;
    /* At the end of an allocation, so that reading past it is caught. */
    uint8_t *copy = malloc(len ? len : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, data, len);
    *err = (struct squib_error){0};
    rc = sq_x86_kernel_from_bytes("test", copy, len, &k, err);
    assert_int_equal(rc, err->code);
    if (!rc)
        sq_x86_kernel_close(k);
    free(copy);
    return rc;
}

static void expect_bad(const void *data, size_t len, const char *text)
{
    struct squib_error err;

    assert_int_not_equal(try_bytes(data, len, &err), 0);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not contain \"%s\"", err.text, text);
    assert_true(strncmp(err.text, "kernel test: ", 13) == 0);
    assert_non_null(strstr(err.text, "\n  do: "));
}

/* Loads and compares what lies in guest memory with the ELF file. */
static void expect_good(const void *data, size_t len)
{
    uint8_t *elf = make_elf(true);
    struct squib_memory *mem = make_memory(64);
    struct sq_x86_entry entry;
    struct squib_error err = {0};
    struct sq_x86_kernel *k;
    struct sq_x86_boot boot;

    if (sq_x86_kernel_from_bytes("test", data, len, &k, &err))
        fail_msg("%s", err.text);
    boot = boot_of(k);
    if (sq_x86_boot_load(mem, &boot, &entry, &err))
        fail_msg("%s", err.text);
    sq_x86_kernel_close(k);
    assert_int_equal(entry.protocol, SQ_X86_PROTOCOL_PVH);
    assert_int_equal(entry.rip, PVH_GPA);
    assert_memory_equal(sq_memory_ptr(mem, TEXT_GPA, TEXT_LEN),
                        elf + TEXT_OFF, TEXT_LEN);
    assert_memory_equal(sq_memory_ptr(mem, DATA_GPA, DATA_LEN),
                        elf + DATA_OFF, DATA_LEN);
    squib_memory_free(mem);
    free(elf);
}

static void test_elf(void **state)
{
    uint8_t *elf = make_elf(true);
    struct sq_elf e;

    (void)state;
    expect_good(elf, ELF_LEN);
    assert_int_equal(sq_elf_parse(elf, ELF_LEN, &e, NULL), 0);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.seg[0].gpa, TEXT_GPA); /* sorted */
    assert_int_equal(e.seg[1].mem_len, DATA_MEM);
    assert_int_equal(e.pvh_gpa, PVH_GPA);
    assert_int_equal(e.entry_gpa, TEXT_GPA);
    free(elf);
}

static void test_every_packing(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(packers); i++) {
        uint8_t *elf = make_elf(true), *buf = calloc(2, ELF_LEN);
        size_t total, n;
        uint8_t *bz = packed_bzimage(i, &total, NULL);

        print_message("  %s\n", packers[i].name);
        expect_good(bz, total);
        /* The same compressed file without a bzImage around it. */
        n = packers[i].pack(elf, ELF_LEN, buf, 2 * ELF_LEN);
        expect_good(buf, n);
        free(bz);
        free(buf);
        free(elf);
    }
}

/* More than one LZ4 block, and a result larger than the hint says. */
static void test_large_lz4(void **state)
{
    size_t len = (20u << 20) + 123, n;
    uint8_t *src = calloc(1, len), *dst = malloc(len);
    struct sq_unpacked u;

    (void)state;
    assert_non_null(src);
    assert_non_null(dst);
    for (size_t i = 0; i < len; i += 97)
        src[i] = (uint8_t)(i >> 10);
    n = pack_lz4(src, len, dst, len);
    for (size_t hint = 0; hint <= len; hint += len / 2) {
        assert_int_equal(sq_unpack(sq_unpack_format(dst, n), dst, n, hint,
                                   &u, NULL), 0);
        assert_int_equal(u.len, len);
        assert_memory_equal(u.data, src, len);
        sq_unpacked_free(&u);
    }
    free(src);
    free(dst);
}

static void test_truncated(void **state)
{
    struct squib_error err;
    uint8_t *elf = make_elf(true);

    (void)state;
    for (size_t len = 0; len < ELF_LEN; len += len < 600 ? 1 : 61)
        assert_int_equal(try_bytes(elf, len, &err), SQUIB_E_FORMAT);
    expect_bad(elf, 0, "it is empty");
    expect_bad(elf, 63, "truncated");
    expect_bad(elf, ELF_LEN - 1, "truncated");
    free(elf);
    for (size_t i = 0; i < SQ_ARRAY_LEN(packers); i++) {
        size_t total, payload_len, end;
        uint8_t *bz = packed_bzimage(i, &total, &payload_len);

        end = BZ_SETUP + BZ_PAYLOAD + payload_len;
        for (size_t len = 0; len < end; len += len < 0x300 ? 1 : 37)
            assert_int_equal(try_bytes(bz, len, &err), SQUIB_E_FORMAT);
        expect_bad(bz, end - 1, "truncated");
        assert_int_equal(try_bytes(bz, end, &err), 0);
        free(bz);
    }
}

/* The stream cut off within a payload of correct size, and damage. */
static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(packers); i++) {
        struct squib_error err;
        size_t total, n, at = BZ_SETUP + BZ_PAYLOAD;
        uint8_t *bz = packed_bzimage(i, &total, &n);

        print_message("  %s\n", packers[i].name);
        for (size_t cut = 7; cut < n - 4; cut += 211) {
            uint8_t *p = malloc(total);

            memcpy(p, bz, total);
            sq_st32(p + 0x24c, (uint32_t)cut);
            assert_int_not_equal(try_bytes(p, total, &err), 0);
            /* Flipped bits must not hurt; most formats have no check. */
            memcpy(p, bz, total);
            p[at + cut] ^= 0x55;
            try_bytes(p, total, &err);
            free(p);
        }
        /* A size that the data does not have. */
        if (!packers[i].own_size) {
            sq_st32(bz + at + n - 4, ELF_LEN + 1);
            expect_bad(bz, total, "unpacks to");
            sq_st32(bz + at + n - 4, ELF_LEN - 1);
            expect_bad(bz, total, "unpacks to");
            sq_st32(bz + at + n - 4, 0xffffffff);
            expect_bad(bz, total, "unpacks to");
        }
        /* Not a kernel inside. */
        memset(bz + at, 0x42, n);
        expect_bad(bz, total, "unknown format");
        free(bz);
    }
}

static void test_unsupported_packing(void **state)
{
    struct squib_error err;
    uint8_t payload[64] = "BZh9";
    size_t total;
    uint8_t *bz = make_bzimage(payload, sizeof(payload), &total);

    (void)state;
    assert_int_equal(try_bytes(bz, total, &err), SQUIB_E_NOSUPPORT);
    expect_bad(bz, total, "compressed with bzip2");
    memcpy(bz + BZ_SETUP + BZ_PAYLOAD, "\x89LZO\0", 5);
    expect_bad(bz, total, "compressed with lzo");
    free(bz);
}

static void test_wrong_architecture(void **state)
{
    uint8_t *elf = make_elf(true), image[4096] = {0};
    uint8_t payload[64] = {0x02, 0x21, 0x4c, 0x18};
    size_t total;
    uint8_t *bz = make_bzimage(payload, sizeof(payload), &total);

    (void)state;
    sq_st16(elf + 18, EM_AARCH64);
    expect_bad(elf, ELF_LEN, "it is for arm64 (aarch64)");
    sq_st16(elf + 18, EM_386);
    elf[EI_CLASS] = ELFCLASS32;
    expect_bad(elf, ELF_LEN, "it is for i386");
    sq_st16(elf + 18, EM_X86_64);
    expect_bad(elf, ELF_LEN, "32-bit ELF");
    elf[EI_DATA] = ELFDATA2MSB;
    elf[18] = 0;
    elf[19] = EM_S390;
    expect_bad(elf, ELF_LEN, "it is for s390");
    sq_st16(elf + 18, 0x7fff);
    expect_bad(elf, ELF_LEN, "another processor");

    memcpy(image + 56, "ARM\x64", 4);
    expect_bad(image, sizeof(image), "arm64 (aarch64) Image");
    memcpy(image, "MZ\0\0zimg", 8);
    memset(image + 56, 0, 4);
    expect_bad(image, sizeof(image), "zboot");
    memset(image, 0, 8);
    sq_st32(image, 0xfeedfacf);
    expect_bad(image, sizeof(image), "Mach-O");
    memcpy(image, "070701", 6);
    expect_bad(image, sizeof(image), "initrd");
    memset(image, 'x', sizeof(image));
    expect_bad(image, sizeof(image), "neither ELF nor bzImage");

    sq_st16(bz + 0x236, 0);
    expect_bad(bz, total, "for i386");
    sq_st16(bz + 0x206, 0x0207);
    expect_bad(bz, total, "older than 2.08");
    free(bz);
    free(elf);
}

static void expect_bad_ph(int i, size_t field, uint64_t value,
                          const char *text)
{
    uint8_t *elf = make_elf(true);

    set_ph(elf, i, field, value);
    expect_bad(elf, ELF_LEN, text);
    free(elf);
}

static void test_hostile_elf(void **state)
{
    uint8_t *elf = make_elf(true);
    struct squib_error err;

    (void)state;
    expect_bad_ph(0, PH(p_offset), UINT64_MAX, "truncated");
    expect_bad_ph(0, PH(p_offset), ELF_LEN, "truncated");
    expect_bad_ph(0, PH(p_filesz), UINT64_MAX, "truncated");
    expect_bad_ph(0, PH(p_filesz), 1ull << 63, "truncated");
    expect_bad_ph(2, PH(p_filesz), UINT64_MAX, "truncated");
    expect_bad_ph(0, PH(p_memsz), 1, "impossible");
    expect_bad_ph(0, PH(p_memsz), UINT64_MAX, "impossible");
    expect_bad_ph(0, PH(p_paddr), UINT64_MAX - 5, "impossible");
    expect_bad_ph(0, PH(p_paddr), TEXT_GPA + 0x2fff, "overlap");
    expect_bad_ph(1, PH(p_paddr), 0x2000000, "PVH entry");

    sq_st64(elf + offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX - 8);
    expect_bad(elf, ELF_LEN, "truncated");
    sq_st64(elf + offsetof(Elf64_Ehdr, e_phoff), sizeof(Elf64_Ehdr));
    sq_st16(elf + offsetof(Elf64_Ehdr, e_phnum), 0xffff);
    expect_bad(elf, ELF_LEN, "program headers");
    sq_st16(elf + offsetof(Elf64_Ehdr, e_phnum), 0);
    expect_bad(elf, ELF_LEN, "program headers");
    sq_st16(elf + offsetof(Elf64_Ehdr, e_phnum), PHDRS);
    sq_st16(elf + offsetof(Elf64_Ehdr, e_type), ET_REL);
    expect_bad(elf, ELF_LEN, "not an executable");
    free(elf);

    /* Any byte of the headers and notes changed: no crash. */
    for (size_t at = 0; at < NOTE_OFF + 64; at++) {
        elf = make_elf(true);
        elf[at] ^= 0xff;
        try_bytes(elf, ELF_LEN, &err);
        free(elf);
    }
    for (size_t at = 0x1f0; at < 0x268; at++) {
        size_t total;

        elf = packed_bzimage(0, &total, NULL);
        elf[at] ^= 0xff;
        try_bytes(elf, total, &err);
        free(elf);
    }
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void test_files(void **state)
{
    char dir[] = "/tmp/squib-test-XXXXXX", in[64], out[64], gone[64];
    struct sq_x86_kernel_id id;
    struct squib_error err = {0};
    struct sq_x86_kernel *k;
    struct stat st;
    size_t total;
    uint8_t *bz = packed_bzimage(1, &total, NULL), *elf = make_elf(true);

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(in, sizeof(in), "%s/vmlinuz", dir);
    snprintf(out, sizeof(out), "%s/vmlinux", dir);
    snprintf(gone, sizeof(gone), "%s/none/x", dir);
    write_file(in, bz, total);
    assert_int_equal(sq_x86_kernel_identify(in, &id, &err), 0);
    assert_int_equal(id.kind, SQ_X86_KERNEL_BZIMAGE);
    assert_string_equal(id.packing, "zstd");
    assert_string_equal(id.release, "6.1.0-test");

    assert_int_equal(sq_x86_kernel_extract(in, out, &err), 0);
    assert_int_equal(sq_x86_kernel_identify(out, &id, &err), 0);
    assert_int_equal(id.kind, SQ_X86_KERNEL_ELF);
    assert_string_equal(id.packing, "");
    assert_string_equal(id.release, "6.1.0-test");
    assert_int_equal(stat(out, &st), 0);
    assert_int_equal(st.st_size, ELF_LEN);
    assert_int_equal(st.st_mode & 0777, 0644);
    /* Over an existing file, too. */
    assert_int_equal(sq_x86_kernel_extract(in, out, &err), 0);
    assert_int_equal(sq_x86_kernel_extract(in, gone, &err), SQUIB_E_OS);
    assert_int_equal(err.os_errno, 2);

    /* A release that would leave its folder is none. */
    memcpy(elf + TEXT_OFF + 0x800, "Linux version 6/../../x (", 25);
    write_file(out, elf, ELF_LEN);
    assert_int_equal(sq_x86_kernel_identify(out, &id, &err), 0);
    assert_string_equal(id.release, "");

    assert_int_equal(sq_x86_kernel_open(gone, &k, &err), SQUIB_E_NOTFOUND);
    assert_non_null(strstr(err.text, "no such file\n  do: "));
    assert_int_equal(sq_x86_kernel_open(dir, &k, &err), SQUIB_E_FORMAT);
    assert_non_null(strstr(err.text, "directory"));
    assert_int_equal(sq_x86_kernel_open("/dev/null", &k, &err),
                     SQUIB_E_FORMAT);
    write_file(out, "", 0);
    assert_int_equal(sq_x86_kernel_open(out, &k, &err), SQUIB_E_FORMAT);
    assert_non_null(strstr(err.text, "it is empty\n  do: "));
    assert_int_equal(unlink(in), 0);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
    free(bz);
    free(elf);
}

/* --- compressed kernels, loaded piece by piece ------------------------- */

enum { NOTE_LEN = 52, WIDE_DATA = (8 << 20) - 0x234,
       WIDE_LEN = WIDE_DATA + DATA_LEN };

/* The small vmlinux with its note in the text, as Linux has it, and its data
 * far behind and across what is unpacked at a time. */
static uint8_t *make_wide_elf(void)
{
    uint8_t *small = make_elf(true), *f = calloc(1, WIDE_LEN);

    assert_non_null(f);
    memcpy(f, small, TEXT_OFF + TEXT_LEN);
    memcpy(f + TEXT_OFF + 0x1000, small + NOTE_OFF, NOTE_LEN);
    memcpy(f + WIDE_DATA, small + DATA_OFF, DATA_LEN);
    set_ph(f, 0, PH(p_offset), WIDE_DATA);
    set_ph(f, 2, PH(p_offset), TEXT_OFF + 0x1000);
    free(small);
    return f;
}

/* Loads a file that stays packed until then, into `mib` MiB. */
static int load_packed(const void *data, size_t len, uint64_t mib,
                       struct squib_memory **mem, struct sq_x86_entry *entry,
                       struct squib_error *err)
{
    char path[] = "/tmp/squib-test-XXXXXX";
    struct sq_x86_kernel *k;
    struct sq_x86_boot boot;
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0);
    close(fd);
    write_file(path, data, len);
    *mem = make_memory(mib);
    *err = (struct squib_error){0};
    rc = sq_x86_kernel_open_packed(path, &k, err);
    assert_int_equal(unlink(path), 0);
    if (rc)
        return rc;
    boot = boot_of(k);
    rc = sq_x86_boot_load(*mem, &boot, entry, err);
    sq_x86_kernel_close(k);
    return rc;
}

static void expect_packed(const void *data, size_t len, const uint8_t *text,
                          const uint8_t *contents)
{
    struct squib_memory *mem;
    struct sq_x86_entry entry;
    struct squib_error err;

    if (load_packed(data, len, 64, &mem, &entry, &err))
        fail_msg("%s", err.text);
    assert_int_equal(entry.protocol, SQ_X86_PROTOCOL_PVH);
    assert_int_equal(entry.rip, PVH_GPA);
    assert_memory_equal(sq_memory_ptr(mem, TEXT_GPA, TEXT_LEN), text,
                        TEXT_LEN);
    assert_memory_equal(sq_memory_ptr(mem, DATA_GPA, DATA_LEN), contents,
                        DATA_LEN);
    squib_memory_free(mem);
}

static void expect_packed_bad(const void *data, size_t len, uint64_t mib,
                              int code, const char *text)
{
    struct squib_memory *mem;
    struct sq_x86_entry entry;
    struct squib_error err;

    assert_int_equal(load_packed(data, len, mib, &mem, &entry, &err), code);
    if (!strstr(err.text, text) || !strstr(err.text, "\n  do: "))
        fail_msg("\"%s\" does not contain \"%s\" and a remedy", err.text,
                 text);
    assert_int_equal(strncmp(err.text, "kernel ", 7), 0);
    squib_memory_free(mem);
}

static uint8_t *pack_wide(size_t packer, const uint8_t *elf, uint32_t hint,
                          size_t *total)
{
    uint8_t *buf = malloc(2 * WIDE_LEN), *bz;
    size_t n;

    assert_non_null(buf);
    n = packers[packer].pack(elf, WIDE_LEN, buf, 2 * WIDE_LEN - 4);
    if (!packers[packer].own_size) {
        sq_st32(buf + n, hint);
        n += 4;
    }
    bz = make_bzimage(buf, n, total);
    free(buf);
    return bz;
}

static void test_in_pieces(void **state)
{
    uint8_t *elf = make_wide_elf(), *small = make_elf(true);

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(packers); i++) {
        size_t total;
        uint8_t *bz = pack_wide(i, elf, WIDE_LEN, &total);

        print_message("  %s\n", packers[i].name);
        expect_packed(bz, total, elf + TEXT_OFF, elf + WIDE_DATA);
        expect_packed_bad(bz, total, 18, SQUIB_E_RANGE, "it needs 19 MiB");
        free(bz);
        /* Its note is in no segment, which the pieces do not allow for. */
        bz = packed_bzimage(i, &total, NULL);
        expect_packed(bz, total, small + TEXT_OFF, small + DATA_OFF);
        free(bz);
    }
    free(small);
    free(elf);
}

static void test_bad_pieces(void **state)
{
    uint8_t *elf = make_wide_elf(), *bz;
    size_t total;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(packers); i++) {
        bz = pack_wide(i, elf, WIDE_LEN + 1, &total);
        if (!packers[i].own_size)
            expect_packed_bad(bz, total, 64, SQUIB_E_FORMAT, "unpacks to");
        /* What the stream would go on with is not in the payload. */
        sq_st32(bz + 0x24c, sq_ld32(bz + 0x24c) / 2);
        expect_packed_bad(bz, total, 64, SQUIB_E_FORMAT, "cannot unpack");
        free(bz);
    }
    set_ph(elf, 0, PH(p_filesz), DATA_LEN + 1);
    bz = pack_wide(0, elf, WIDE_LEN, &total);
    expect_packed_bad(bz, total, 64, SQUIB_E_FORMAT, "truncated");
    free(bz);
    set_ph(elf, 0, PH(p_filesz), DATA_LEN);
    set_ph(elf, 0, PH(p_paddr), 0x9000);
    bz = pack_wide(0, elf, WIDE_LEN, &total);
    expect_packed_bad(bz, total, 64, SQUIB_E_FORMAT, "below 1 MiB");
    free(bz);
    set_ph(elf, 0, PH(p_paddr), DATA_GPA);
    sq_st64(elf + TEXT_OFF + 0x1000 + 40, DATA_GPA - 1); /* the PVH entry */
    bz = pack_wide(0, elf, WIDE_LEN, &total);
    expect_packed_bad(bz, total, 64, SQUIB_E_FORMAT, "PVH entry");
    free(bz);
    free(elf);
}

static void test_long_name(void **state)
{
    struct squib_error err = {0};
    struct sq_x86_kernel *k;
    char path[300];

    (void)state;
    memset(path, 'd', sizeof(path));
    strcpy(path + 280, "/vmlinux");
    assert_int_not_equal(sq_x86_kernel_from_bytes(path, "", 0, &k, &err), 0);
    assert_non_null(strstr(err.text, "kernel ...d"));
    assert_non_null(strstr(err.text, "/vmlinux: it is empty\n  do: "));
}

static void test_real_kernel(void **state)
{
    const char *path = getenv("SQUIB_TEST_KERNEL");
    struct squib_memory *mem;
    struct sq_x86_kernel_id id;
    struct sq_x86_entry entry;
    struct squib_error err = {0};
    struct sq_x86_kernel *k = NULL;
    struct sq_x86_boot boot;

    (void)state;
    if (!path) {
        print_message("  SQUIB_TEST_KERNEL is not set\n");
        skip();
    }
    if (sq_x86_kernel_identify(path, &id, &err) ||
        sq_x86_kernel_open_packed(path, &k, &err))
        fail_msg("%s", err.text);
    print_message("  %s %s\n", id.release, id.packing);
    mem = make_memory(256);
    boot = boot_of(k);
    if (sq_x86_boot_load(mem, &boot, &entry, &err))
        fail_msg("%s", err.text);
    assert_int_equal(entry.protocol, SQ_X86_PROTOCOL_PVH);
    sq_x86_kernel_close(k);
    squib_memory_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf),
        cmocka_unit_test(test_every_packing),
        cmocka_unit_test(test_large_lz4),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_unsupported_packing),
        cmocka_unit_test(test_wrong_architecture),
        cmocka_unit_test(test_hostile_elf),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_bad_pieces),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_real_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
