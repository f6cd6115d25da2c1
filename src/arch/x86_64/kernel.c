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
#include "arch/x86_64/multiboot.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define WANTED "a vmlinux or bzImage"

/* Where the ELF file is within a kernel file. */
struct packing {
    enum sq_x86_kernel_kind kind;
    const uint8_t *data;
    size_t len;
    const struct sq_unpack_format *format; /* NULL: not compressed */
    size_t size_hint;                      /* 0: unknown */
    char release[SQ_RELEASE_LEN];
};

struct sq_x86_kernel {
    struct sq_kernelfile file;
    struct packing packing;
    struct sq_unpacked unpacked;
    const uint8_t *image; /* the ELF file: in `file` or `unpacked`; */
    size_t image_len;     /* NULL: still packed */
    struct sq_elf elf;
    bool multiboot;
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
    } else if (!sq_elf_is(d, len) && !sq_multiboot_is(d, len)) {
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

/* Takes k->file apart into k->image and k->elf; what is compressed stays so
 * if it may. */
static int kernel_parse(struct sq_x86_kernel *k, bool may_stay_packed,
                        struct squib_error *err)
{
    struct squib_error e = {0};
    struct packing *p = &k->packing;
    int rc = packing_find(k->file.data, k->file.len, p, &e);

    if (!rc && p->format && may_stay_packed)
        return 0;
    k->image = p->data;
    k->image_len = p->len;
    if (!rc && p->format) {
        rc = unpack(k, p, &e);
        if (rc == SQUIB_E_FORMAT)
            strncat(e.text, "\n  do: copy or download it again",
                    sizeof(e.text) - strlen(e.text) - 1);
    }
    if (!rc) {
        k->multiboot = sq_multiboot_is(k->image, k->image_len);
        rc = k->multiboot
                 ? sq_multiboot_parse(k->image, k->image_len, &k->elf, &e)
                 : sq_elf_parse(k->image, k->image_len, &k->elf, &e);
    }
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

static int kernel_open(const char *path, bool may_stay_packed,
                       struct sq_x86_kernel **out, struct squib_error *err)
{
    struct sq_x86_kernel *k;
    int rc = kernel_new(&k, err);

    if (rc)
        return rc;
    rc = sq_kernelfile_open(&k->file, path, WANTED, err);
    if (!rc)
        rc = kernel_parse(k, may_stay_packed, err);
    if (rc) {
        sq_x86_kernel_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

int sq_x86_kernel_open(const char *path, struct sq_x86_kernel **out,
                       struct squib_error *err)
{
    return kernel_open(path, false, out, err);
}

int sq_x86_kernel_open_packed(const char *path, struct sq_x86_kernel **out,
                              struct squib_error *err)
{
    return kernel_open(path, true, out, err);
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
    rc = kernel_parse(k, false, err);
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

/* --- loading ------------------------------------------------------------ */

/* Whether the tables of the boot protocol leave this range alone. */
static bool is_free(const struct sq_x86_kernel *k,
                    const struct sq_elf_segment *seg)
{
    return seg->gpa >= SQ_X86_HIGH_MEMORY_GPA ||
           (k->multiboot && seg->gpa >= SQ_X86_MULTIBOOT_FREE_GPA &&
            seg->gpa + seg->mem_len <= SQ_X86_MPTABLE_GPA);
}

static uint64_t end_of(const struct sq_elf *elf)
{
    const struct sq_elf_segment *last = &elf->seg[elf->count - 1];

    return last->gpa + last->mem_len;
}

/* Whether all segments have a place in the VM. */
static int check_places(const struct sq_x86_kernel *k,
                        const struct sq_elf *elf, uint64_t ram_end,
                        struct squib_error *err)
{
    uint64_t end = end_of(elf);

    for (size_t i = 0; i < elf->count; i++)
        if (!is_free(k, &elf->seg[i]))
            return sq_err_set(err, SQUIB_E_FORMAT,
                              "kernel %s: it wants to be loaded at %#llx, "
                              "but below 1 MiB lie the boot tables"
                              "\n  do: link it to 1 MiB or above",
                              k->file.name,
                              (unsigned long long)elf->seg[i].gpa);
    if (end > ram_end)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "kernel %s: it needs %llu MiB, the VM has %llu"
                          "\n  do: give the VM more memory", k->file.name,
                          (unsigned long long)((end + 0xfffff) >> 20),
                          (unsigned long long)(ram_end >> 20));
    return 0;
}

static void describe(const struct sq_x86_kernel *k, const struct sq_elf *elf,
                     struct sq_x86_image *out)
{
    *out = (struct sq_x86_image){
        .entry_gpa = elf->entry_gpa,
        .pvh_gpa = elf->pvh_gpa,
        .start_gpa = elf->seg[0].gpa,
        .end_gpa = end_of(elf),
        .multiboot = k->multiboot,
    };
}

static int load_image(const struct sq_x86_kernel *k, struct squib_memory *mem,
                      uint64_t ram_end, struct sq_x86_image *out,
                      struct squib_error *err)
{
    const struct sq_elf *elf = &k->elf;
    bool mapped = k->file.map && !k->unpacked.data;
    int rc = check_places(k, elf, ram_end, err);

    for (size_t i = 0; i < elf->count && !rc; i++)
        rc = sq_memory_load(mem, elf->seg[i].gpa,
                            k->image + elf->seg[i].off,
                            elf->seg[i].file_len, mapped, err);
    if (!rc)
        describe(k, elf, out);
    return rc;
}

/* A compressed kernel on its way into guest memory. */
struct stream {
    const struct sq_x86_kernel *k;
    struct squib_memory *mem;
    uint64_t ram_end;
    struct squib_error *err;
    struct sq_elf elf;
    uint64_t len; /* of what was unpacked so far */
    bool odd; /* not what this is for */
    int rc;
};

/* The part of guest memory that this part of the file is loaded to, or 0. */
static uint64_t loaded_at(const struct sq_elf *elf, uint64_t off,
                          uint64_t len)
{
    for (size_t i = 0; i < elf->count; i++) {
        const struct sq_elf_segment *seg = &elf->seg[i];

        if (off >= seg->off && len <= seg->file_len &&
            off - seg->off <= seg->file_len - len)
            return seg->gpa + (off - seg->off);
    }
    return 0;
}

/* With the first piece. Notes are read where they were loaded to. */
static void stream_begin(struct stream *s, const uint8_t *data, size_t len)
{
    s->odd = !sq_elf_is(data, len) || sq_multiboot_is(data, len) ||
             sq_elf_parse_head(data, len, &s->elf, NULL);
    for (size_t i = 0; i < s->elf.note_count; i++)
        if (!loaded_at(&s->elf, s->elf.note[i].off, s->elf.note[i].len))
            s->odd = true;
    if (!s->odd)
        s->rc = check_places(s->k, &s->elf, s->ram_end, s->err);
}

static bool stream_take(void *ctx, const uint8_t *data, size_t len,
                        size_t used)
{
    struct stream *s = ctx;

    if (s->len == 0)
        stream_begin(s, data, len);
    if (s->len + len > SQ_UNPACK_MAX)
        s->odd = true;
    for (size_t i = 0; i < s->elf.count && !s->odd && !s->rc; i++) {
        const struct sq_elf_segment *seg = &s->elf.seg[i];
        uint64_t from = seg->off > s->len ? seg->off : s->len;
        uint64_t to = seg->off + seg->file_len;

        if (to > s->len + len)
            to = s->len + len;
        if (from < to)
            s->rc = sq_memory_load(s->mem, seg->gpa + (from - seg->off),
                                   data + (from - s->len), to - from, false,
                                   s->err);
    }
    s->len += len;
    if (s->k->file.map)
        sq_memory_forget_file(s->k->file.map, s->k->packing.data + used);
    return !s->odd && !s->rc;
}

/* Whether everything that the headers promised was there. */
static bool stream_complete(const struct stream *s)
{
    const struct packing *p = &s->k->packing;

    for (size_t i = 0; i < s->elf.count; i++)
        if (s->elf.seg[i].off + s->elf.seg[i].file_len > s->len)
            return false;
    return !p->size_hint || p->size_hint == s->len;
}

static int stream_finish(struct stream *s)
{
    for (size_t i = 0; i < s->elf.note_count; i++) {
        uint64_t len = s->elf.note[i].len;
        const uint8_t *note = sq_memory_ptr(
            s->mem, loaded_at(&s->elf, s->elf.note[i].off, len), len);

        if (note)
            sq_elf_note(&s->elf, note, (size_t)len);
    }
    return sq_elf_finish(&s->elf, NULL);
}

/* Unpacked as a whole, which says what is wrong with it. */
static int load_whole(const struct sq_x86_kernel *k, struct squib_memory *mem,
                      uint64_t ram_end, struct sq_x86_image *out,
                      struct squib_error *err)
{
    struct sq_x86_kernel *whole;
    int rc = sq_x86_kernel_from_bytes(k->file.name, k->file.data,
                                      k->file.len, &whole, err);

    if (rc)
        return rc;
    rc = load_image(whole, mem, ram_end, out, err);
    sq_x86_kernel_close(whole);
    return rc;
}

int sq_x86_kernel_load(const struct sq_x86_kernel *kernel,
                       struct squib_memory *mem, uint64_t ram_end,
                       struct sq_x86_image *out, struct squib_error *err)
{
    const struct packing *p = &kernel->packing;
    struct stream s = {.k = kernel, .mem = mem, .ram_end = ram_end,
                       .err = err};
    const struct sq_unpack_sink sink = {stream_take, &s};
    int rc;

    if (kernel->image)
        return load_image(kernel, mem, ram_end, out, err);
    rc = sq_unpack_pieces(p->format, p->data, p->len, &sink, NULL);
    if (s.rc)
        return s.rc;
    if (rc || !stream_complete(&s) || stream_finish(&s))
        return load_whole(kernel, mem, ram_end, out, err);
    describe(kernel, &s.elf, out);
    return 0;
}

/* --- for other purposes ------------------------------------------------- */

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
        rc = kernel_parse(k, false, &e);
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
