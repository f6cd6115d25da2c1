/* SPDX-License-Identifier: Apache-2.0 */
/* What files can do beyond POSIX. Functions return 0 or an errno; ENOTSUP
 * where the host or the file system cannot. Any thread. */
#ifndef SQ_OS_FILE_H
#define SQ_OS_FILE_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* Gives a range back to the file system; it reads as zeroes. */
int sq_file_punch(int fd, uint64_t off, uint64_t len);
/* Makes a range zeroes that stay allocated, without writing them. */
int sq_file_zero(int fd, uint64_t off, uint64_t len);
/* What was written survives a loss of power; sizes included. */
int sq_file_sync(int fd);
/* When the contents last changed. */
static inline struct timespec sq_file_mtime(const struct stat *st)
{
#ifdef __APPLE__
    return st->st_mtimespec;
#else
    return st->st_mtim;
#endif
}

/* The process that holds an flock() on the file; 0 if that is not known. */
long sq_file_lock_holder(int fd);

#endif
