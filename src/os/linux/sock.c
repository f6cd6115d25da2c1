/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/sock.h"

#include <stddef.h>

static int type(bool nonblock)
{
    return SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0);
}

int sq_sock_unix(bool nonblock)
{
    return socket(AF_UNIX, type(nonblock), 0);
}

int sq_sock_pair(int fd[2], bool nonblock)
{
    return socketpair(AF_UNIX, type(nonblock), 0, fd);
}

int sq_sock_accept(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
