/* SPDX-License-Identifier: Apache-2.0 */
#include "os/sock.h"

#include <fcntl.h>
#include <stddef.h>

static int prepare(int fd, bool nonblock)
{
    const int on = 1;

    if (fd < 0)
        return fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (nonblock)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
    return fd;
}

int sq_sock_unix(bool nonblock)
{
    return prepare(socket(AF_UNIX, SOCK_STREAM, 0), nonblock);
}

int sq_sock_pair(int fd[2], bool nonblock)
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0)
        return -1;
    prepare(fd[0], nonblock);
    prepare(fd[1], nonblock);
    return 0;
}

int sq_sock_accept(int fd)
{
    return prepare(accept(fd, NULL, NULL), true);
}
