/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_STATVFS_H
#define SQ_MACOS_SYS_STATVFS_H

#include <sq_macos.h>

struct statvfs {
    unsigned long f_bsize, f_frsize;
    uint32_t f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail;
    unsigned long f_fsid, f_flag, f_namemax;
};
int statvfs(const char *path, struct statvfs *st);

#endif
