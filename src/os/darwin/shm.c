/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory is a POSIX shared memory object whose name is taken away at
 * once. Code is memory of the kind MAP_JIT (with the entitlement
 * com.apple.security.cs.allow-jit under the hardened runtime), which each
 * thread sees either writable or executable: both addresses are one.
 */
#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <libkern/OSCacheControl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int shm_object(void)
{
    char name[24];
    int fd;

    do {
        snprintf(name, sizeof(name), "/squib-%08x", arc4random());
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    } while (fd < 0 && errno == EEXIST);
    if (fd >= 0) {
        shm_unlink(name);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
}

int sq_shm_new(uint64_t len, enum sq_shm_pages pages, int *fd, void **hva)
{
    int error;

    if (pages == SQ_PAGES_2M)
        return ENOTSUP;
    *fd = shm_object();
    if (*fd < 0)
        return errno;
    *hva = MAP_FAILED;
    if (ftruncate(*fd, (off_t)len) == 0)
        *hva = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (*hva != MAP_FAILED)
        return 0;
    error = errno;
    close(*fd);
    return error;
}

void sq_shm_write(int fd, void *hva, uint64_t off, const void *src,
                  size_t len)
{
    (void)fd; /* objects cannot be written to */
    memcpy((uint8_t *)hva + off, src, len);
}

/* Objects have no holes. What was zeroed and is free to be dropped reads as
 * zeroes whether it was dropped or not. */
int sq_shm_discard(int fd, void *hva, uint64_t off, uint64_t len)
{
    uint8_t *at = (uint8_t *)hva + off;

    (void)fd;
    memset(at, 0, len);
    return madvise(at, len, MADV_FREE) == 0 ? 0 : errno;
}

int sq_code_new(size_t len, uint8_t **rw, const uint8_t **rx)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_JIT, -1, 0);

    *rw = NULL;
    *rx = NULL;
    if (p == MAP_FAILED)
        return errno;
    *rw = p;
    *rx = p;
    return 0;
}

void sq_code_free(uint8_t *rw, const uint8_t *rx, size_t len)
{
    (void)rx;
    if (rw)
        munmap(rw, len);
}

void sq_code_begin(void)
{
    pthread_jit_write_protect_np(0);
}

void sq_code_end(const uint8_t *rx, size_t len)
{
    pthread_jit_write_protect_np(1);
    sys_icache_invalidate((void *)(uintptr_t)rx, len);
}
