/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_MMAN_H
#define SQ_MACOS_SYS_MMAN_H

#include <sq_macos.h>

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 0x0001
#define MAP_PRIVATE 0x0002
#define MAP_FIXED 0x0010
#define MAP_NORESERVE 0x0040
#define MAP_JIT 0x0800
#define MAP_ANON 0x1000
#define MAP_ANONYMOUS MAP_ANON
#define MAP_FAILED ((void *)-1)
#define MADV_RANDOM 1
#define MADV_SEQUENTIAL 2
#define MADV_WILLNEED 3
#define MADV_DONTNEED 4
#define MADV_FREE 5
#define MS_ASYNC 0x0001
#define MS_INVALIDATE 0x0002
#define MS_SYNC 0x0010
void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int munmap(void *at, size_t len);
int mprotect(void *at, size_t len, int prot);
int madvise(void *at, size_t len, int advice);
int msync(void *at, size_t len, int flags);
int shm_open(const char *name, int flags, ...);
int shm_unlink(const char *name);

#endif
