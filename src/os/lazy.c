/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/lazy.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>

/* Linux 5.17 */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#endif

void *sq_lazy_new(size_t len, const char *name)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
#ifdef __linux__
    /* Neither is worth failing for. */
    (void)madvise(p, len, MADV_DONTFORK);
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)(uintptr_t)p,
                (unsigned long)len, (unsigned long)(uintptr_t)name);
#else
    (void)name; /* this host's mappings have none */
#endif
    (void)name; /* for hosts that have no names */
    return p;
}
