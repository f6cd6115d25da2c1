/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_SOCKET_H
#define SQ_MACOS_SYS_SOCKET_H

#include <sys/uio.h>

typedef uint32_t socklen_t;
typedef uint8_t sa_family_t;
struct sockaddr {
    uint8_t sa_len;
    sa_family_t sa_family;
    char sa_data[14];
};
struct msghdr {
    void *msg_name;
    socklen_t msg_namelen;
    struct iovec *msg_iov;
    int msg_iovlen;
    void *msg_control;
    socklen_t msg_controllen;
    int msg_flags;
};
struct cmsghdr {
    socklen_t cmsg_len;
    int cmsg_level, cmsg_type;
};
#define SCM_RIGHTS 1
#define SQ_CMSG_ALIGN(n) (((n) + 3) & ~(size_t)3)
#define CMSG_DATA(c) ((unsigned char *)((c) + 1))
#define CMSG_LEN(n) (sizeof(struct cmsghdr) + (n))
#define CMSG_SPACE(n) (sizeof(struct cmsghdr) + SQ_CMSG_ALIGN(n))
#define CMSG_FIRSTHDR(m)                                                   \
    ((m)->msg_controllen >= sizeof(struct cmsghdr)                         \
         ? (struct cmsghdr *)(m)->msg_control                              \
         : (struct cmsghdr *)0)
#define SO_RCVTIMEO 0x1006
#define SO_SNDTIMEO 0x1005
#define MSG_WAITALL 0x40
struct sockaddr_storage {
    uint8_t ss_len;
    sa_family_t ss_family;
    char pad[6];
    int64_t align;
    char more[112];
};
#define SO_REUSEADDR 0x0004
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 30
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOL_SOCKET 0xffff
#define SO_SNDBUF 0x1001
#define SO_RCVBUF 0x1002
#define SO_ERROR 0x1007
#define SO_NOSIGPIPE 0x1022
#define SOMAXCONN 128
#define MSG_PEEK 0x2
#define MSG_DONTWAIT 0x80
#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2
int socket(int domain, int type, int protocol);
int socketpair(int domain, int type, int protocol, int fd[2]);
int bind(int fd, const struct sockaddr *to, socklen_t len);
int listen(int fd, int backlog);
int accept(int fd, struct sockaddr *from, socklen_t *len);
int connect(int fd, const struct sockaddr *to, socklen_t len);
int shutdown(int fd, int how);
int getsockname(int fd, struct sockaddr *out, socklen_t *len);
int getpeername(int fd, struct sockaddr *out, socklen_t *len);
int setsockopt(int fd, int level, int name, const void *value,
               socklen_t len);
int getsockopt(int fd, int level, int name, void *value, socklen_t *len);
ssize_t send(int fd, const void *buf, size_t len, int flags);
ssize_t recv(int fd, void *buf, size_t len, int flags);
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t recvmsg(int fd, struct msghdr *msg, int flags);

#endif
