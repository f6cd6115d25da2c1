/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/sigfd.h"

#include <sys/signalfd.h>
#include <unistd.h>

int sq_sigfd_open(const sigset_t *set)
{
    return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int sq_sigfd_read(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)
               ? (int)info.ssi_signo
               : 0;
}
