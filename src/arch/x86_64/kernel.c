/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of the setup header: Linux Documentation/arch/x86/boot.rst. */
#define _GNU_SOURCE
#include "arch/x86_64/kernel.h"

#include <stdlib.h>
#include <string.h>

#include "arch/kernelfile.h"
#include "arch/unpack.h"
#include "arch/x86_64/elf.h"
#include "arch/x86_64/layout.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define WANTED "a vmlinux or bzImage"

struct sq_x86_kernel {
    struct sq_kernelfile file;
    struct sq_unpacked unpacked;
    const uint8_t *image; /* the ELF file: in `file` or `unpacked` */
    size_t image_len;
    struct sq_elf elf;
};

/* Where the ELF file is within a kernel file. */
struct packing {
    enum sq_x86_kernel_kind kind;
    const uint8_t *data;
    size_t len;
    const struct sq_unpack_format *format; /* NULL: not compressed */
    size_t size_hint;                      /* 0: unknown */
    char release[SQ_RELEASE_LEN];
};

const char *sq_x86_kernel_name(const struct sq_x86_kernel *kernel)
{
    return kernel->file.name;
}

static int bzimage_parse(const uint8_t *d, size_t len, struct packing *p,
                         struct squib_error *err)
{
    size_t setup_len, at;
    uint32_t payload_off, payload_len;

    if (len < 0x260)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is truncated: %zu bytes of a bzImage"
                          "\n  do: copy or download it again", len);
    if (sq_ld16(d + 0x206) < 0x0208)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is a bzImage of boot protocol %u.%02u, older "
                          "than 2.08\n  do: give a newer kernel",
                          d[0x207], d[0x206]);
    if (sq_ld16(d + 0x206) >= 0x020c && !(sq_ld16(d + 0x236) & 1))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is a bzImage for i386 (32-bit x86), the VM "
                          "is x86-64"
                          "\n  do: give a kernel built for x86-64");
    setup_len = ((d[0x1f1] ? d[0x1f1] : 4u) + 1u) * 512u;
    payload_off = sq_ld32(d + 0x248);
    payload_len = sq_ld32(d + 0x24c);
    if (payload_len < 16)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is a bzImage without a payload"
                          "\n  do: copy or download it again");
    if ((uint64_t)setup_len + payload_off + payload_len > len)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is truncated: %zu bytes, but its kernel ends "
                          "at %llu\n  do: copy or download it again", len,
                          (unsigned long long)setup_len + payload_off +
                              payload_len);
    p->kind = SQ_X86_KERNEL_BZIMAGE;
    p->data = d + setup_len + payload_off;
    p->len = payload_len;
    p->size_hint = sq_ld32(p->data + payload_len - 4);
    at = sq_ld16(d + 0x20e);
    if (at && at + 0x200 < setup_len && at + 0x200 < len)
        sq_kernelfile_copy_release(p->release, d + at + 0x200,
                                   len - at - 0x200);
    p->format = sq_unpack_format(p->data, p->len);
    if (!p->format && !sq_elf_is(p->data, p->len))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is a bzImage whose payload is in an unknown "
                          "format (%02x %02x %02x %02x)"
                          "\n  do: copy or download it again",
                          p->data[0], p->data[1], p->data[2], p->data[3]);
    return 0;
}

static int packing_find(const uint8_t *d, size_t len, struct packing *p,
                        struct squib_error *err)
{
    const char *kind;
    int rc = 0;

    *p = (struct packing){.data = d, .len = len};
    if (len == 0)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "it is empty\n  do: copy or download it again");
    if (sq_kernelfile_is_bzimage(d, len)) {
        rc = bzimage_parse(d, len, p, err);
    } else if (!sq_elf_is(d, len)) {
        p->kind = SQ_X86_KERNEL_PACKED;
        p->format = sq_unpack_format(d, len);
        kind = sq_kernelfile_kind(d, len);
        if (!p->format)
            return sq_err_set(
                err, SQUIB_E_FORMAT,
                kind ? "it is %s\n  do: give a vmlinux or bzImage for x86-64"
                     : "it is not a kernel%s (neither ELF nor bzImage)\n  do: "
                       "give a vmlinux or bzImage for x86-64",
                kind ? kind : "");
    }
    if (!rc && p->format && !p->format->unpack)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "it is compressed with %s, which squib does not "
                          "unpack\n  do: give a kernel compressed with lz4, "
                          "zstd, gzip, xz or lzma, or an ELF vmlinux",
                          p->format->name);
    return rc;
}

static int unpack(struct sq_x86_kernel *k, const struct packing *p,
                  struct squib_error *err)
{
    int rc = sq_unpack(p->format, p->data, p->len, p->size_hint,
                       &k->unpacked, err);

    if (rc)
        return rc;
    if (p->size_hint && k->unpacked.len != p->size_hint)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "its %s data unpacks to %zu bytes, not to %zu",
                          p->format->name, k->unpacked.len, p->size_hint);
    k->image = k->unpacked.data;
    k->image_len = k->unpacked.len;
    if (!sq_elf_is(k->image, k->image_len))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "its %s data does not contain an ELF file",
                          p->format->name);
    return 0;
}

/* Takes k->file apart into k->image and k->elf. */
static int kernel_parse(struct sq_x86_kernel *k, struct squib_error *err)
{
    struct squib_error e = {0};
    struct packing p;
    int rc = packing_find(k->file.data, k->file.len, &p, &e);

    k->image = p.data;
    k->image_len = p.len;
    if (!rc && p.format) {
        rc = unpack(k, &p, &e);
        if (rc == SQUIB_E_FORMAT)
            strncat(e.text, "\n  do: copy or download it again",
                    sizeof(e.text) - strlen(e.text) - 1);
    }
    if (!rc)
        rc = sq_elf_parse(k->image, k->image_len, &k->elf, &e);
    if (rc) {
        sq_err_prefix(&e, "kernel %s: ", k->file.name);
        if (err)
            *err = e;
    }
    return rc;
}

static int kernel_new(struct sq_x86_kernel **out, struct squib_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return sq_err_set(err, SQUIB_E_NOMEM, "kernel: no memory");
    return 0;
}

int sq_x86_kernel_open(const char *path, struct sq_x86_kernel **out,
                       struct squib_error *err)
{
    struct sq_x86_kernel *k;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_open(&k->file, path, WANTED, err);
    if (!rc)
        rc = kernel_parse(k, err);
    if (rc) {
        sq_x86_kernel_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

int sq_x86_kernel_from_bytes(const char *name, const void *data, size_t len,
                             struct sq_x86_kernel **out,
                             struct squib_error *err)
{
    struct sq_x86_kernel *k;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    sq_kernelfile_bytes(&k->file, name, data, len);
    rc = kernel_parse(k, err);
    if (rc) {
        sq_x86_kernel_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void sq_x86_kernel_close(struct sq_x86_kernel *kernel)
{
    if (!kernel)
        return;
    sq_unpacked_free(&kernel->unpacked);
    sq_kernelfile_close(&kernel->file);
    free(kernel);
}

int sq_x86_kernel_load(const struct sq_x86_kernel *kernel,
                       struct squib_memory *mem, uint64_t ram_end,
                       struct sq_x86_image *out, struct squib_error *err)
{
    const struct sq_elf *elf = &kernel->elf;
    const struct sq_elf_segment *last = &elf->seg[elf->count - 1];
    uint64_t end = last->gpa + last->mem_len;

    if (elf->seg[0].gpa < SQ_X86_HIGH_MEMORY_GPA)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "kernel %s: it wants to be loaded at %#llx, but "
                          "below 1 MiB lie the boot tables"
                          "\n  do: link it to 1 MiB or above",
                          kernel->file.name,
                          (unsigned long long)elf->seg[0].gpa);
    if (end > ram_end)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "kernel %s: it needs %llu MiB, the VM has %llu"
                          "\n  do: give the VM more memory", kernel->file.name,
                          (unsigned long long)((end + 0xfffff) >> 20),
                          (unsigned long long)(ram_end >> 20));
    for (size_t i = 0; i < elf->count; i++) {
        const struct sq_elf_segment *seg = &elf->seg[i];
        int rc = squib_memory_write(mem, seg->gpa,
                                    kernel->image + seg->off, seg->file_len,
                                    err);

        if (rc)
            return rc;
    }
    *out = (struct sq_x86_image){
        .entry_gpa = elf->entry_gpa,
        .pvh_gpa = elf->pvh_gpa,
        .start_gpa = elf->seg[0].gpa,
        .end_gpa = end,
    };
    return 0;
}

int sq_x86_kernel_identify(const char *path, struct sq_x86_kernel_id *out,
                           struct squib_error *err)
{
    struct squib_error e = {0};
    struct sq_x86_kernel *k;
    struct packing p;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_open(&k->file, path, WANTED, &e);
    if (!rc) {
        rc = packing_find(k->file.data, k->file.len, &p, &e);
        if (rc)
            sq_err_prefix(&e, "kernel %s: ", k->file.name);
    }
    if (!rc && (p.kind != SQ_X86_KERNEL_BZIMAGE || !p.release[0])) {
        rc = kernel_parse(k, &e);
        if (!rc)
            sq_kernelfile_find_release(p.release, k->image,
                                       k->image_len);
    }
    sq_x86_kernel_close(k);
    if (rc) {
        if (err)
            *err = e;
        return rc;
    }
    *out = (struct sq_x86_kernel_id){
        .kind = p.kind,
        .packing = p.format ? p.format->name : "",
    };
    memcpy(out->release, p.release, sizeof(out->release));
    return 0;
}

int sq_x86_kernel_extract(const char *path, const char *out_path,
                          struct squib_error *err)
{
    struct sq_x86_kernel *k;
    int rc = sq_x86_kernel_open(path, &k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_write(out_path, k->image, k->image_len, err);
    sq_x86_kernel_close(k);
    return rc;
}
