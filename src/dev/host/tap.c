/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

struct tap {
    struct sq_net_backend net;
    uint8_t in[SQ_NET_HEADER_LEN + SQ_NET_FRAME_MAX];
};

static enum sq_net_sent tap_send(struct sq_net_backend *net,
                                 struct iovec *iov, unsigned iov_count,
                                 size_t len)
{
    (void)len;
    for (;;) {
        ssize_t n = writev(net->fd, iov, (int)iov_count);

        if (n >= 0)
            return SQ_NET_SENT;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return SQ_NET_BUSY;
        /* EIO: the interface is down. EINVAL: the kernel did not like the
         * guest's header. */
        return errno == EBADFD ? SQ_NET_DEAD : SQ_NET_FAILED;
    }
}

static int tap_recv(struct sq_net_backend *net, struct sq_net_frame *frame)
{
    struct tap *tap = SQ_CONTAINER_OF(net, struct tap, net);
    ssize_t n;

    do
        n = read(net->fd, tap->in, sizeof(tap->in));
    while ((n < 0 && errno == EINTR) ||
           (n >= 0 && (size_t)n <= SQ_NET_HEADER_LEN));
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    frame->header = tap->in;
    frame->data = tap->in + SQ_NET_HEADER_LEN;
    frame->len = (size_t)n - SQ_NET_HEADER_LEN;
    return 1;
}

static void tap_set_offloads(struct sq_net_backend *net, unsigned offloads)
{
    static const struct {
        unsigned ours, kernels;
    } map[] = {
        {SQ_NET_GUEST_CSUM, TUN_F_CSUM},
        {SQ_NET_GUEST_TSO4, TUN_F_TSO4},
        {SQ_NET_GUEST_TSO6, TUN_F_TSO6},
        {SQ_NET_GUEST_ECN, TUN_F_TSO_ECN},
        {SQ_NET_GUEST_UFO, TUN_F_UFO},
    };
    unsigned long flags = 0;

    /* All of them depend on the first. */
    for (size_t i = 0; i < SQ_ARRAY_LEN(map); i++)
        if ((offloads & SQ_NET_GUEST_CSUM) && (offloads & map[i].ours))
            flags |= map[i].kernels;
    /* What a kernel refuses it does not use: first UFO, which came and
     * went, then all; plain frames are taken by every guest. */
    if (ioctl(net->fd, TUNSETOFFLOAD, flags) != 0 &&
        ioctl(net->fd, TUNSETOFFLOAD, flags & ~(unsigned long)TUN_F_UFO))
        (void)ioctl(net->fd, TUNSETOFFLOAD, 0ul);
}

static void tap_free(struct sq_net_backend *net)
{
    close(net->fd);
    free(SQ_CONTAINER_OF(net, struct tap, net));
}

static const struct sq_net_backend_ops tap_ops = {
    .send = tap_send,
    .recv = tap_recv,
    .set_offloads = tap_set_offloads,
    .free = tap_free,
};

static int cannot_open_tun(int e, struct squib_error *err)
{
    if (e == ENOENT || e == ENODEV || e == ENXIO)
        return sq_err_os(err, SQUIB_E_NOSUPPORT, e,
                         "taps need /dev/net/tun\n  do: modprobe tun, or "
                         "take a user-mode network");
    return sq_err_os(err, SQUIB_E_OS, e, "cannot open /dev/net/tun");
}

static int cannot_attach(const char *name, bool exists, int e,
                         struct squib_error *err)
{
    if (e == EPERM && !exists)
        return sq_err_os(err, SQUIB_E_NOTFOUND, e,
                         "there is no tap %s, and making one needs "
                         "privileges\n  do: sudo ip tuntap add %s mode tap "
                         "user $USER", name, name);
    if (e == EPERM)
        return sq_err_os(err, SQUIB_E_OS, e,
                         "tap %s belongs to another user\n  do: as root, "
                         "delete it and ip tuntap add %s mode tap user "
                         "$USER", name, name);
    if (e == EBUSY)
        return sq_err_os(err, SQUIB_E_OS, e,
                         "tap %s is in use by another program", name);
    if (e == EINVAL)
        return sq_err_os(err, SQUIB_E_INVAL, e,
                         "%s is not a plain tap interface\n  do: ip tuntap "
                         "add NAME mode tap, without multi_queue", name);
    return sq_err_os(err, SQUIB_E_OS, e, "cannot attach to tap %s", name);
}

static int attach(int fd, const char *name, bool exists,
                  struct squib_error *err)
{
    struct ifreq request = {
        .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
    };
    int header_len = SQ_NET_HEADER_LEN;

    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(fd, TUNSETIFF, &request) != 0)
        return cannot_attach(name, exists, errno, err);
    if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) != 0)
        return sq_err_os(err, SQUIB_E_NOSUPPORT, errno,
                         "tap %s: header length", name);
    return 0;
}

int sq_tap_open(const char *name, enum sq_tap_missing missing,
                struct sq_net_backend **out, struct squib_error *err)
{
    bool exists;
    struct tap *tap;
    int fd, rc;

    if (!name[0] || strlen(name) > SQ_TAP_NAME_MAX ||
        strcspn(name, "/% \t\n") != strlen(name))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "'%.40s' cannot be an interface's name\n  do: use "
                          "1 to %u characters without /, %% and blanks",
                          name, SQ_TAP_NAME_MAX);
    exists = if_nametoindex(name) != 0;
    if (!exists && missing == SQ_TAP_REFUSE)
        return sq_err_os(err, SQUIB_E_NOTFOUND, ENODEV,
                         "there is no tap %s\n  do: sudo ip tuntap add %s "
                         "mode tap user $USER", name, name);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return cannot_open_tun(errno, err);
    rc = attach(fd, name, exists, err);
    tap = rc ? NULL : calloc(1, sizeof(*tap));
    if (!rc && !tap)
        rc = sq_err_set(err, SQUIB_E_NOMEM, "tap %s: out of memory", name);
    if (rc) {
        close(fd);
        return rc;
    }
    tap->net = (struct sq_net_backend){&tap_ops, fd, SQ_NET_HEADERS};
    *out = &tap->net;
    return 0;
}
