/* SPDX-License-Identifier: Apache-2.0 */
/* Magic numbers: Linux Documentation/arch/x86/boot.rst,
 * Documentation/arm64/booting.rst, drivers/firmware/efi/libstub/zboot. */
#define _GNU_SOURCE
#include "arch/kernelfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

/* The end of a long path says more than its beginning. */
static void set_name(struct sq_kernelfile *f, const char *path)
{
    size_t len = strlen(path);

    if (len > SQ_KERNELFILE_NAME_MAX)
        snprintf(f->name, sizeof(f->name), "...%s",
                 path + len - (SQ_KERNELFILE_NAME_MAX - 3));
    else
        memcpy(f->name, path, len + 1);
}

int sq_kernelfile_open(struct sq_kernelfile *f, const char *path,
                       const char *wanted, struct squib_error *err)
{
    struct stat st;
    int rc = 0, fd;

    *f = (struct sq_kernelfile){0};
    set_name(f, path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return sq_err_set(err, SQUIB_E_NOTFOUND,
                          "kernel %s: no such file"
                          "\n  do: give the path of %s", f->name, wanted);
    if (fd < 0)
        return sq_err_set(err, SQUIB_E_OS,
                          "kernel %s: cannot be opened (%s)"
                          "\n  do: make the file readable for you", f->name,
                          strerror(errno));
    if (fstat(fd, &st) != 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "kernel %s: fstat", f->name);
    } else if (!S_ISREG(st.st_mode)) {
        rc = sq_err_set(err, SQUIB_E_FORMAT,
                        "kernel %s: it is %s, not a file"
                        "\n  do: give the path of %s", f->name,
                        S_ISDIR(st.st_mode) ? "a directory" : "special",
                        wanted);
    } else if (st.st_size > 0) {
        f->len = (size_t)st.st_size;
        f->map = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            f->len = 0;
            rc = sq_err_os(err, SQUIB_E_OS, errno,
                           "kernel %s: cannot be mapped", f->name);
        }
    }
    close(fd);
    f->data = f->map;
    return rc;
}

void sq_kernelfile_bytes(struct sq_kernelfile *f, const char *name,
                         const void *data, size_t len)
{
    *f = (struct sq_kernelfile){.data = data, .len = len};
    set_name(f, name);
}

void sq_kernelfile_close(struct sq_kernelfile *f)
{
    if (f->map)
        munmap(f->map, f->len);
    f->map = NULL;
    f->data = NULL;
    f->len = 0;
}

int sq_kernelfile_is_arm64(const uint8_t *d, size_t len)
{
    return len >= 64 && memcmp(d + 56, "ARM\x64", 4) == 0;
}

int sq_kernelfile_is_zboot(const uint8_t *d, size_t len)
{
    return len >= 64 && memcmp(d, "MZ", 2) == 0 &&
           memcmp(d + 4, "zimg", 4) == 0;
}

int sq_kernelfile_is_bzimage(const uint8_t *d, size_t len)
{
    return len >= 0x206 && sq_ld16(d + 0x1fe) == 0xaa55 &&
           memcmp(d + 0x202, "HdrS", 4) == 0;
}

/* An ELF file of a machine that somebody may mistake for this one. */
static const char *elf_kind(const uint8_t *d, size_t len)
{
    if (len < 20 || memcmp(d, "\177ELF", 4) != 0)
        return NULL;
    switch (sq_ld16(d + 18)) {
    case 62: return "an ELF file for x86-64";
    case 183: return "an ELF file for arm64 (aarch64)";
    default: return "an ELF file for another machine";
    }
}

const char *sq_kernelfile_kind(const uint8_t *d, size_t len)
{
    if (sq_kernelfile_is_arm64(d, len))
        return "an arm64 (aarch64) Image";
    if (sq_kernelfile_is_bzimage(d, len))
        return "a bzImage for x86";
    if (len >= 60 && memcmp(d + 56, "RSC\x05", 4) == 0)
        return "a RISC-V Image";
    if (sq_kernelfile_is_zboot(d, len))
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
    return elf_kind(d, len);
}

void sq_kernelfile_copy_release(char out[SQ_RELEASE_LEN], const uint8_t *src,
                                size_t len)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ._+~-";
    size_t n = 0;

    while (n < len && n < SQ_RELEASE_LEN - 1 && src[n] &&
           strchr(allowed, src[n])) {
        out[n] = (char)src[n];
        n++;
    }
    if (n == len || n == SQ_RELEASE_LEN - 1 ||
        (src[n] != ' ' && src[n] != 0) || src[0] < '0' || src[0] > '9')
        n = 0;
    out[n] = 0;
}

void sq_kernelfile_find_release(char out[SQ_RELEASE_LEN],
                                const uint8_t *image, size_t len)
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
            sq_kernelfile_copy_release(out, image, len);
    }
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

int sq_kernelfile_write(const char *out_path, const uint8_t *data, size_t len,
                        struct squib_error *err)
{
    int fd, rc = 0;
    char *tmp;

    if (asprintf(&tmp, "%s.XXXXXX", out_path) < 0)
        return sq_err_set(err, SQUIB_E_NOMEM, "kernel: no memory");
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0644) != 0 || !write_all(fd, data, len) ||
        rename(tmp, out_path) != 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "cannot write %.120s",
                       out_path);
        if (fd >= 0)
            unlink(tmp);
    }
    if (fd >= 0)
        close(fd);
    free(tmp);
    return rc;
}
