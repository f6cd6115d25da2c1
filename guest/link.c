/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef SQ_AGENT_TEST

#include <sys/un.h>

static const char *link_directory = ".";

void link_use_directory(const char *directory)
{
    link_directory = directory;
}

static int make(uint32_t port, struct sockaddr_un *name, struct text *path)
{
    memset(name, 0, sizeof(*name));
    name->sun_family = AF_UNIX;
    text_set(path, link_directory, "/", NULL);
    text_add_number(path, port);
    if (path->len < sizeof(name->sun_path))
        strcpy(name->sun_path, path->s);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int link_listen(uint32_t port, struct text *why)
{
    struct sockaddr_un name;
    struct text path;
    int fd = make(port, &name, &path);

    if (fd >= 0 && !bind(fd, (struct sockaddr *)&name, sizeof(name)) &&
        !listen(fd, 16))
        return fd;
    text_set(why, "cannot listen on ", path.s, NULL);
    text_add_errno(why, errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

int link_connect(uint32_t port, struct text *why)
{
    struct sockaddr_un name;
    struct text path;
    int fd = make(port, &name, &path);

    if (fd >= 0 && !connect(fd, (struct sockaddr *)&name, sizeof(name)))
        return fd;
    text_set(why, "cannot connect to ", path.s, NULL);
    text_add_errno(why, errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

#else

/* linux/vm_sockets.h; the C library used here has no kernel headers. */
struct sockaddr_vsock {
    sa_family_t family;
    uint16_t reserved;
    uint32_t port;
    uint32_t cid;
    uint8_t zero[4]; /* to the size of struct sockaddr */
};

#ifndef SQ_AGENT_CID
#define SQ_AGENT_CID SQ_AGENT_HOST_CID
#endif

#define ANY_CID 0xffffffffu

int link_listen(uint32_t port, struct text *why)
{
    struct sockaddr_vsock name = {
        .family = AF_VSOCK,
        .port = port,
        .cid = ANY_CID,
    };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && !bind(fd, (struct sockaddr *)&name, sizeof(name)) &&
        !listen(fd, 128))
        return fd;
    text_set(why, "cannot listen on vsock port ", NULL);
    text_add_number(why, port);
    text_add_errno(why, errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The kernel gives up a connection after 2 s of guest time, which a busy
 * host may need; then it is tried again. */
enum { CONNECT_TRIES = 5 };

int link_connect(uint32_t port, struct text *why)
{
    struct sockaddr_vsock name = {
        .family = AF_VSOCK,
        .port = port,
        .cid = SQ_AGENT_CID,
    };
    int tries = 0, error, fd;

    fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error = errno;
        text_set(why, "the guest kernel has no vsock (module vsock)", NULL);
        text_add_errno(why, error);
        return -1;
    }
    while (connect(fd, (struct sockaddr *)&name, sizeof(name))) {
        error = errno;
        if (error == EINTR ||
            (error == ETIMEDOUT && ++tries < CONNECT_TRIES))
            continue;
        close(fd);
        text_set(why, "cannot connect to the host on vsock port ", NULL);
        text_add_number(why, port);
        if (error == ENODEV || error == EADDRNOTAVAIL)
            text_add(why, ": no vsock device (module "
                          "vmw_vsock_virtio_transport)");
        else if (error == ECONNRESET)
            text_add(why, ": nobody listens there");
        text_add_errno(why, error);
        return -1;
    }
    return fd;
}

#endif

int link_send(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int link_recv(int fd, void *bytes, size_t len)
{
    char *at = bytes;

    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int link_send_msg(int fd, const struct sq_agent_msg *msg)
{
    uint8_t wire[SQ_AGENT_SMALL_MAX];

    return link_send(fd, wire, sq_agent_encode(msg, wire));
}

_Static_assert(sizeof(((struct text *)0)->s) <= SQ_AGENT_TEXT_MAX,
               "a line fits its message");

void link_fill_failed(struct sq_agent_msg *msg, uint32_t session,
                      enum sq_agent_reason reason, int error,
                      const struct text *text)
{
    memset(msg, 0, sizeof(*msg));
    msg->type = SQ_AGENT_FAILED;
    msg->failed.session = session;
    msg->failed.reason = reason;
    msg->failed.guest_errno = (uint32_t)error;
    strcpy(msg->failed.text, text->s);
}
