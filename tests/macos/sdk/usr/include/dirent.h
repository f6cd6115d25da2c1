/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_DIRENT_H
#define SQ_MACOS_DIRENT_H

#include <sq_macos.h>

struct dirent {
    uint64_t d_ino, d_seekoff;
    uint16_t d_reclen, d_namlen;
    uint8_t d_type;
    char d_name[1024];
};
typedef struct sq_dir DIR;
DIR *opendir(const char *path);
DIR *fdopendir(int fd);
struct dirent *readdir(DIR *d);
int closedir(DIR *d);

int dirfd(DIR *d);

#endif
