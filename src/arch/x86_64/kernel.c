/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of the setup header: Linux Documentation/arch/x86/boot.rst. */
#define _GNU_SOURCE
#include "arch/x86_64/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/x86_64/elf.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/unpack.h"
#include "base/err.h"
#include "base/util.h"
#include "core/memory.h"

#define NAME_MAX_SHOWN 80

struct sq_x86_kernel {
    char name[NAME_MAX_SHOWN + 1];
    void *map; /* the file, or NULL if the caller keeps the bytes */
    size_t map_len;
    const uint8_t *file;
    size_t file_len;
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
    char release[65];
};

const char *sq_x86_kernel_name(const struct sq_x86_kernel *kernel)
{
    return kernel->name;
}

/* The end of a long path says more than its beginning. */
static void set_name(struct sq_x86_kernel *k, const char *path)
{
    size_t len = strlen(path);

    if (len > NAME_MAX_SHOWN)
        snprintf(k->name, sizeof(k->name), "...%s",
                 path + len - (NAME_MAX_SHOWN - 3));
    else
        memcpy(k->name, path, len + 1);
}

/* Copies a release up to the first byte that does not belong to one. It
 * becomes part of a path, so nothing but these may pass. */
static void copy_release(char out[65], const uint8_t *src, size_t len)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ._+~-";
    size_t n = 0;

    while (n < len && n < 64 && src[n] && strchr(allowed, src[n])) {
        out[n] = (char)src[n];
        n++;
    }
    if (n == len || n == 64 || (src[n] != ' ' && src[n] != 0) ||
        src[0] < '0' || src[0] > '9')
        n = 0;
    out[n] = 0;
}

static void find_release(char out[65], const uint8_t *image, size_t len)
{
    static const char banner[] = "Linux version ";
    const size_t banner_len = sizeof(banner) - 1;

    out[0] = 0;
    while (!out[0]) {
        const uint8_t *hit = memmem(image, len, banner, banner_len);

        if (!hit)
            return;
        len -= (size_t)(hit - image) + banner_len;
        image = hit + banner_len;
        if (len)
            copy_release(out, image, len);
    }
}

/* What a file is that is no kernel for this machine, for the message. */
static const char *foreign_kind(const uint8_t *d, size_t len)
{
    if (len >= 60 && memcmp(d + 56, "ARM\x64", 4) == 0)
        return "an arm64 (aarch64) Image";
    if (len >= 60 && memcmp(d + 56, "RSC\x05", 4) == 0)
        return "a RISC-V Image";
    if (len >= 8 && memcmp(d, "MZ", 2) == 0 && memcmp(d + 4, "zimg", 4) == 0)
        return "an EFI zboot image, which x86-64 does not use";
    if (len >= 4 && (sq_ld32(d) == 0xfeedfacfu || sq_ld32(d) == 0xfeedfaceu ||
                     sq_ld32(d) == 0xbebafecau))
        return "a Mach-O file (macOS program)";
    if (len >= 4 && sq_ld32(d) == 0x56190527u)
        return "a U-Boot image";
    if (len >= 6 && memcmp(d, "07070", 5) == 0)
        return "a cpio archive (an initrd)";
    if (len >= 8 && memcmp(d, "!<arch>\n", 8) == 0)
        return "an archive (.deb or .a)";
    if (len >= 0x43a && sq_ld16(d + 0x438) == 0xef53)
        return "an ext2/3/4 file system image";
    if (len >= 2 && memcmp(d, "MZ", 2) == 0)
        return "a Windows or EFI program";
    return NULL;
}

static bool bzimage_is(const uint8_t *d, size_t len)
{
    return len >= 0x206 && sq_ld16(d + 0x1fe) == 0xaa55 &&
           memcmp(d + 0x202, "HdrS", 4) == 0;
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
        copy_release(p->release, d + at + 0x200, len - at - 0x200);
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
    if (bzimage_is(d, len)) {
        rc = bzimage_parse(d, len, p, err);
    } else if (!sq_elf_is(d, len)) {
        p->kind = SQ_X86_KERNEL_PACKED;
        p->format = sq_unpack_format(d, len);
        kind = foreign_kind(d, len);
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
    int rc = packing_find(k->file, k->file_len, &p, &e);

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
        sq_err_prefix(&e, "kernel %s: ", k->name);
        if (err)
            *err = e;
    }
    return rc;
}

static int map_file(struct sq_x86_kernel *k, const char *path,
                    struct squib_error *err)
{
    struct stat st;
    int rc = 0, fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return sq_err_set(err, SQUIB_E_NOTFOUND,
                          "kernel %s: no such file"
                          "\n  do: give the path of a vmlinux or bzImage",
                          k->name);
    if (fd < 0)
        return sq_err_set(err, SQUIB_E_OS,
                          "kernel %s: cannot be opened (%s)"
                          "\n  do: make the file readable for you", k->name,
                          strerror(errno));
    if (fstat(fd, &st) != 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "kernel %s: fstat", k->name);
    } else if (!S_ISREG(st.st_mode)) {
        rc = sq_err_set(err, SQUIB_E_FORMAT,
                        "kernel %s: it is %s, not a file"
                        "\n  do: give the path of a vmlinux or bzImage",
                        k->name,
                        S_ISDIR(st.st_mode) ? "a directory" : "special");
    } else if (st.st_size > 0) {
        k->map_len = (size_t)st.st_size;
        k->map = mmap(NULL, k->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (k->map == MAP_FAILED) {
            k->map = NULL;
            rc = sq_err_os(err, SQUIB_E_OS, errno,
                           "kernel %s: cannot be mapped", k->name);
        }
    }
    close(fd);
    k->file = k->map;
    k->file_len = k->map_len;
    return rc;
}

static int kernel_new(const char *name, struct sq_x86_kernel **out,
                      struct squib_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return sq_err_set(err, SQUIB_E_NOMEM, "kernel: no memory");
    set_name(*out, name);
    return 0;
}

int sq_x86_kernel_open(const char *path, struct sq_x86_kernel **out,
                       struct squib_error *err)
{
    struct sq_x86_kernel *k;
    int rc = kernel_new(path, &k, err);

    if (rc)
        return rc;
    rc = map_file(k, path, err);
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
    int rc = kernel_new(name, &k, err);

    if (rc)
        return rc;
    k->file = data;
    k->file_len = len;
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
    if (kernel->map)
        munmap(kernel->map, kernel->map_len);
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
                          "\n  do: link it to 1 MiB or above", kernel->name,
                          (unsigned long long)elf->seg[0].gpa);
    if (end > ram_end)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "kernel %s: it needs %llu MiB, the VM has %llu"
                          "\n  do: give the VM more memory", kernel->name,
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
    int rc = kernel_new(path, &k, err);

    if (rc)
        return rc;
    rc = map_file(k, path, &e);
    if (!rc) {
        rc = packing_find(k->file, k->file_len, &p, &e);
        if (rc)
            sq_err_prefix(&e, "kernel %s: ", k->name);
    }
    if (!rc && (p.kind != SQ_X86_KERNEL_BZIMAGE || !p.release[0])) {
        rc = kernel_parse(k, &e);
        if (!rc)
            find_release(p.release, k->image, k->image_len);
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

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int sq_x86_kernel_extract(const char *path, const char *out_path,
                          struct squib_error *err)
{
    struct sq_x86_kernel *k;
    char *tmp;
    int fd, rc = sq_x86_kernel_open(path, &k, err);

    if (rc)
        return rc;
    if (asprintf(&tmp, "%s.XXXXXX", out_path) < 0) {
        sq_x86_kernel_close(k);
        return sq_err_set(err, SQUIB_E_NOMEM, "kernel: no memory");
    }
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0644) != 0 ||
        write_all(fd, k->image, k->image_len) != 0 ||
        rename(tmp, out_path) != 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "cannot write %.120s",
                       out_path);
        if (fd >= 0)
            unlink(tmp);
    }
    if (fd >= 0)
        close(fd);
    free(tmp);
    sq_x86_kernel_close(k);
    return rc;
}
