/* SPDX-License-Identifier: Apache-2.0 */
/* Memory files. Code is one that is mapped twice, once to be written and
 * once to be executed, so that no page is ever both. */
#define _GNU_SOURCE
#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Hosts may be set up to make no memory file executable that does not ask
 * for it; kernels before 6.3 do not know the flag. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

int sq_shm_new(uint64_t len, enum sq_shm_pages pages, int *fd, void **hva)
{
    bool pool = pages == SQ_PAGES_2M;
    int error;

    *fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING |
                       (pool ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
    if (*fd < 0)
        return errno;
    *hva = MAP_FAILED;
    /* Whoever it is shared with could else cut it short, and the next access
     * of ours would be our end. */
    if (ftruncate(*fd, (off_t)len) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
            0)
        /* Pages of the pool are reserved: none may be missing later. */
        *hva = mmap(NULL, len, PROT_READ | PROT_WRITE,
                    MAP_SHARED | (pool ? 0 : MAP_NORESERVE), *fd, 0);
    if (*hva != MAP_FAILED && pages == SQ_PAGES_TRANSPARENT)
        (void)madvise(*hva, len, MADV_HUGEPAGE); /* advice */
    if (*hva != MAP_FAILED)
        return 0;
    error = errno;
    close(*fd);
    return error;
}

/* Memory of huge pages cannot be written to. */
void sq_shm_write(int fd, void *hva, uint64_t off, const void *src,
                  size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(fd, (const uint8_t *)src + done, len - done,
                           (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < len)
        memcpy((uint8_t *)hva + off + done, (const uint8_t *)src + done,
               len - done);
}

int sq_shm_discard(int fd, void *hva, uint64_t off, uint64_t len)
{
    int rc;

    (void)hva;
    do
        rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       (off_t)off, (off_t)len);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

static int code_file(void)
{
    int fd = memfd_create("squib-code", MFD_CLOEXEC | MFD_EXEC);

    return fd < 0 && errno == EINVAL ? memfd_create("squib-code", MFD_CLOEXEC)
                                     : fd;
}

static void *map_file(int fd, size_t len, int prot)
{
    void *p = mmap(NULL, len, PROT_READ | prot, MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

int sq_code_new(size_t len, uint8_t **rw, const uint8_t **rx)
{
    int fd = code_file(), error = 0;

    *rw = NULL;
    *rx = NULL;
    if (fd < 0 || ftruncate(fd, (off_t)len) ||
        !(*rw = map_file(fd, len, PROT_WRITE)) ||
        !(*rx = map_file(fd, len, PROT_EXEC)))
        error = errno;
    if (fd >= 0)
        close(fd);
    if (error) {
        sq_code_free(*rw, *rx, len);
        *rw = NULL;
        *rx = NULL;
    }
    return error;
}

void sq_code_free(uint8_t *rw, const uint8_t *rx, size_t len)
{
    if (rw)
        munmap(rw, len);
    if (rx)
        munmap((void *)(uintptr_t)rx, len);
}

void sq_code_begin(void)
{
}

void sq_code_end(const uint8_t *rx, size_t len)
{
    /* Nothing on x86; elsewhere the instruction cache. */
    __builtin___clear_cache((char *)(uintptr_t)rx,
                            (char *)(uintptr_t)rx + len);
}
