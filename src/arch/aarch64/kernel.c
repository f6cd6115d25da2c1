/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets: Linux Documentation/arm64/booting.rst, section 4, and for zboot
 * drivers/firmware/efi/libstub/zboot-header.S; the PE header by Microsoft's
 * PE format specification. */
#include "arch/aarch64/kernel.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "arch/aarch64/layout.h"
#include "arch/kernelfile.h"
#include "arch/unpack.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define WANTED "an arm64 Image"
#define AGAIN "\n  do: copy or download it again"

#define HEADER_LEN 64u
#define FLAG_BIG_ENDIAN 1u
#define OLD_TEXT_OFFSET 0x80000u /* where an Image before Linux 3.17 goes */
#define PE_MACHINE_ARM64 0xaa64u
#define PE_SECTIONS_MAX 16u

struct sq_arm64_kernel {
    struct sq_kernelfile file;
    struct sq_unpacked unpacked;
    const uint8_t *image; /* in `file` or `unpacked` */
    size_t image_len;
    uint64_t text_offset; /* from a multiple of 2 MiB */
    uint64_t claimed_len; /* with what follows the file's bytes */
};

/* An Image with an EFI stub says in its PE header how long the file is; one
 * without does not. Returns 0 if unknown. */
static uint64_t pe_file_len(const uint8_t *d, size_t len)
{
    uint64_t at = sq_ld32(d + 60), end = 0;
    unsigned sections;

    if (memcmp(d, "MZ", 2) != 0 || at > len || len - at < 24 ||
        memcmp(d + at, "PE\0\0", 4) != 0 ||
        sq_ld16(d + at + 4) != PE_MACHINE_ARM64)
        return 0;
    sections = sq_ld16(d + at + 6);
    at += 24 + sq_ld16(d + at + 20);
    if (sections > PE_SECTIONS_MAX || at + sections * 40ull > len)
        return 0;
    for (unsigned i = 0; i < sections; i++, at += 40) {
        uint64_t section_end = (uint64_t)sq_ld32(d + at + 20) +
                               sq_ld32(d + at + 16);

        if (section_end > end)
            end = section_end;
    }
    return end;
}

static int image_parse(struct sq_arm64_kernel *k, struct squib_error *err)
{
    const uint8_t *d = k->image;
    uint64_t want;

    if (sq_ld64(d + 24) & FLAG_BIG_ENDIAN)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "it is a big-endian kernel"
                          "\n  do: give a little-endian one");
    k->text_offset = sq_ld64(d + 8);
    k->claimed_len = sq_ld64(d + 16);
    if (k->claimed_len == 0)
        k->text_offset = OLD_TEXT_OFFSET;
    if (k->text_offset >= SQ_ARM64_KERNEL_ALIGN ||
        k->claimed_len > SQ_UNPACK_MAX)
        return sq_err_set(err, SQUIB_E_FORMAT, "its header is damaged" AGAIN);
    want = pe_file_len(d, k->image_len);
    if (want > k->image_len)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is truncated: %zu bytes, but its kernel ends "
                          "at %llu" AGAIN, k->image_len,
                          (unsigned long long)want);
    if (k->claimed_len < k->image_len)
        k->claimed_len = k->image_len;
    return 0;
}

/* The compressed part of an EFI zboot image. */
static int zboot_payload(const uint8_t **d, size_t *len,
                         struct squib_error *err)
{
    uint64_t at = sq_ld32(*d + 8), size = sq_ld32(*d + 12);

    if (size < 16 || at < HEADER_LEN)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is an EFI zboot image without a payload"
                          AGAIN);
    if (at + size > *len)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is truncated: %zu bytes, but its kernel ends "
                          "at %llu" AGAIN, *len,
                          (unsigned long long)(at + size));
    *d += at;
    *len = (size_t)size;
    return 0;
}

static int not_a_kernel(const uint8_t *d, size_t len, struct squib_error *err)
{
    const char *kind = sq_kernelfile_kind(d, len);

    return sq_err_set(err, SQUIB_E_FORMAT, "it is %s\n  do: give " WANTED
                      " (plain, compressed, or an EFI zboot image)",
                      kind ? kind : "not a kernel for arm64");
}

static int unpack(struct sq_arm64_kernel *k, struct squib_error *err)
{
    const uint8_t *d = k->file.data;
    size_t len = k->file.len;
    const struct sq_unpack_format *format;
    bool zboot = sq_kernelfile_is_zboot(d, len);
    int rc = zboot ? zboot_payload(&d, &len, err) : 0;

    if (rc)
        return rc;
    format = sq_unpack_format(d, len);
    if (!format && zboot)
        return sq_err_set(err, SQUIB_E_FORMAT, "it is an EFI zboot image "
                          "whose payload is in an unknown format (%02x %02x "
                          "%02x %02x)" AGAIN, d[0], d[1], d[2], d[3]);
    if (!format)
        return not_a_kernel(d, len, err);
    if (!format->unpack)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "it is compressed with %s, which squib does not "
                          "unpack\n  do: give a kernel compressed with lz4, "
                          "zstd, gzip, xz or lzma, or an Image",
                          format->name);
    rc = sq_unpack(format, d, len, 0, &k->unpacked, err);
    if (rc == SQUIB_E_FORMAT && err)
        strncat(err->text, AGAIN, sizeof(err->text) - strlen(err->text) - 1);
    if (rc)
        return rc;
    k->image = k->unpacked.data;
    k->image_len = k->unpacked.len;
    if (!sq_kernelfile_is_arm64(k->image, k->image_len))
        return not_a_kernel(k->image, k->image_len, err);
    return 0;
}

static int kernel_parse(struct sq_arm64_kernel *k, struct squib_error *err)
{
    struct squib_error e = {0};
    int rc = 0;

    k->image = k->file.data;
    k->image_len = k->file.len;
    if (k->file.len == 0)
        rc = sq_err_set(&e, SQUIB_E_FORMAT, "it is empty" AGAIN);
    else if (!sq_kernelfile_is_arm64(k->image, k->image_len))
        rc = unpack(k, &e);
    if (!rc)
        rc = image_parse(k, &e);
    if (rc) {
        sq_err_prefix(&e, "kernel %s: ", k->file.name);
        if (err)
            *err = e;
    }
    return rc;
}

static int kernel_new(struct sq_arm64_kernel **out, struct squib_error *err)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : sq_err_set(err, SQUIB_E_NOMEM, "kernel: no memory");
}

int sq_arm64_kernel_open(const char *path, struct sq_arm64_kernel **out,
                         struct squib_error *err)
{
    struct sq_arm64_kernel *k;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_open(&k->file, path, WANTED, err);
    if (!rc)
        rc = kernel_parse(k, err);
    if (rc) {
        sq_arm64_kernel_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

int sq_arm64_kernel_from_bytes(const char *name, const void *data, size_t len,
                               struct sq_arm64_kernel **out,
                               struct squib_error *err)
{
    struct sq_arm64_kernel *k;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    sq_kernelfile_bytes(&k->file, name, data, len);
    rc = kernel_parse(k, err);
    if (rc) {
        sq_arm64_kernel_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void sq_arm64_kernel_close(struct sq_arm64_kernel *kernel)
{
    if (!kernel)
        return;
    sq_unpacked_free(&kernel->unpacked);
    sq_kernelfile_close(&kernel->file);
    free(kernel);
}

int sq_arm64_kernel_load(const struct sq_arm64_kernel *kernel,
                         struct squib_memory *mem, uint64_t gpa,
                         uint64_t ram_end, struct sq_arm64_image *out,
                         struct squib_error *err)
{
    uint64_t at = sq_align_up(gpa, SQ_ARM64_KERNEL_ALIGN) +
                  kernel->text_offset;
    uint64_t end = at + kernel->claimed_len;

    if (end > ram_end)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "kernel %s: it needs %llu MiB, the VM has %llu"
                          "\n  do: give the VM more memory",
                          kernel->file.name,
                          (unsigned long long)((end - SQ_ARM64_RAM_GPA +
                                                0xfffff) >> 20),
                          (unsigned long long)((ram_end - SQ_ARM64_RAM_GPA) >>
                                               20));
    *out = (struct sq_arm64_image){.entry_gpa = at, .end_gpa = end};
    return sq_memory_load(mem, at, kernel->image, kernel->image_len,
                          kernel->file.map && !kernel->unpacked.data, err);
}

int sq_arm64_kernel_identify(const char *path, struct sq_arm64_kernel_id *out,
                             struct squib_error *err)
{
    struct sq_arm64_kernel *k;
    int rc = sq_arm64_kernel_open(path, &k, err);

    if (rc)
        return rc;
    *out = (struct sq_arm64_kernel_id){.packed = k->unpacked.data != NULL};
    sq_kernelfile_find_release(out->release, k->image, k->image_len);
    sq_arm64_kernel_close(k);
    return 0;
}

int sq_arm64_kernel_extract(const char *path, const char *out_path,
                            struct squib_error *err)
{
    struct sq_arm64_kernel *k;
    int rc = sq_arm64_kernel_open(path, &k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_write(out_path, k->image, k->image_len, err);
    sq_arm64_kernel_close(k);
    return rc;
}
