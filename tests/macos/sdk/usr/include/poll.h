/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_POLL_H
#define SQ_MACOS_POLL_H

#include <sq_macos.h>

struct pollfd {
    int fd;
    short events, revents;
};
typedef unsigned nfds_t;
#define POLLIN 0x0001
#define POLLOUT 0x0004
#define POLLERR 0x0008
#define POLLHUP 0x0010
#define POLLNVAL 0x0020
int poll(struct pollfd *fds, nfds_t n, int timeout_ms);

#endif
