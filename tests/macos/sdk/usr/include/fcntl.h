/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_FCNTL_H
#define SQ_MACOS_FCNTL_H

#include <sq_macos.h>

#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_ACCMODE 3
#define O_NONBLOCK 0x0004
#define O_APPEND 0x0008
#define O_NOFOLLOW 0x0100
#define O_CREAT 0x0200
#define O_TRUNC 0x0400
#define O_EXCL 0x0800
#define O_NOCTTY 0x20000
#define O_DIRECTORY 0x100000
#define O_CLOEXEC 0x1000000
#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_FULLFSYNC 51
#define F_DUPFD_CLOEXEC 67
#define F_PUNCHHOLE 99
#define FD_CLOEXEC 1
struct fpunchhole {
    unsigned fp_flags, reserved;
    off_t fp_offset, fp_length;
};
int open(const char *path, int flags, ...);
int openat(int dir, const char *path, int flags, ...);
int fcntl(int fd, int command, ...);
#define AT_FDCWD (-2)
#define AT_REMOVEDIR 0x0080

#endif
