/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that no child inherits and that raise no SIGPIPE, on every host.
 * As the calls of the same name: a descriptor, or -1 and errno.
 */
#ifndef SQ_OS_SOCK_H
#define SQ_OS_SOCK_H

#include <stdbool.h>
#include <sys/socket.h>

/* For send() and sendmsg(). Where the flag does not exist, the sockets made
 * here have the option instead. */
#ifdef MSG_NOSIGNAL
#define SQ_MSG_NOSIGNAL MSG_NOSIGNAL
#else
#define SQ_MSG_NOSIGNAL 0
#endif

/* A stream socket of AF_UNIX. */
int sq_sock_unix(bool nonblock);
/* Two of them, connected; 0 or -1. */
int sq_sock_pair(int fd[2], bool nonblock);
/* Always non-blocking. */
int sq_sock_accept(int fd);

#endif
