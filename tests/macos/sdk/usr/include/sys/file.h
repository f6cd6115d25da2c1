/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_FILE_H
#define SQ_MACOS_SYS_FILE_H

#include <fcntl.h>

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
int flock(int fd, int op);

#endif
