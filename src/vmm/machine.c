/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

const struct sq_machine_ops *sq_machine_ops(const struct squib_backend *be)
{
    static const struct sq_machine_ops *const all[SQUIB_ARCH_COUNT] = {
        [SQUIB_ARCH_X86_64] = &sq_machine_x86_64,
        [SQUIB_ARCH_AARCH64] = &sq_machine_aarch64,
    };

    return all[squib_backend_arch(be)];
}

/* Maps a file; *data is NULL and *len 0 for an empty one. */
static int map_file(const char *path, void **data, size_t *len,
                    struct squib_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int rc = 0;

    *data = NULL;
    *len = 0;
    if (fd < 0)
        return sq_err_os(err, errno == ENOENT ? SQUIB_E_NOTFOUND
                                              : SQUIB_E_OS, errno,
                         "initrd %s", path);
    if (fstat(fd, &st) != 0)
        rc = sq_err_os(err, SQUIB_E_OS, errno, "initrd %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = sq_err_set(err, SQUIB_E_INVAL, "initrd %s is not a file", path);
    else if (st.st_size == 0)
        rc = sq_err_set(err, SQUIB_E_FORMAT, "initrd %s is empty", path);
    if (!rc) {
        *len = (size_t)st.st_size;
        *data = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (*data == MAP_FAILED) {
            *data = NULL;
            rc = sq_err_os(err, SQUIB_E_OS, errno, "initrd %s", path);
        }
    }
    close(fd);
    return rc;
}

int sq_machine_initrd_open(struct sq_machine_initrd *initrd,
                           const struct sq_vm_spec *spec,
                           const struct sq_boot_blob *blobs,
                           size_t blob_count, struct squib_error *err)
{
    int rc = 0;

    *initrd = (struct sq_machine_initrd){0};
    if (spec->initrd[0]) {
        rc = map_file(spec->initrd, &initrd->map, &initrd->map_len, err);
        if (!rc)
            initrd->part[initrd->parts++] = (struct sq_boot_blob){
                initrd->map, initrd->map_len};
    }
    for (size_t i = 0; i < blob_count; i++)
        if (initrd->parts < SQ_MACHINE_INITRD_MAX)
            initrd->part[initrd->parts++] = blobs[i];
    return rc;
}

void sq_machine_initrd_close(struct sq_machine_initrd *initrd)
{
    if (initrd->map)
        munmap(initrd->map, initrd->map_len);
    initrd->map = NULL;
}
