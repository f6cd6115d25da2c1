/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/serial_input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static void end_input(struct sq_serial_input *in)
{
    if (in->watched)
        sq_poller_del(in->poller, in->fd);
    in->watched = false;
    in->fd = -1;
}

/* False when there is nothing to read now. */
static bool pump(struct sq_serial_input *in)
{
    uint8_t buf[SQ_SERIAL_INPUT_MAX];
    size_t room = sq_serial_room(in->serial);
    ssize_t n;

    if (room == 0) {
        in->waiting = true;
        if (in->watched)
            sq_poller_mod(in->poller, in->fd, 0);
        /* It may have emptied before `waiting` was set. */
        if (sq_serial_room(in->serial))
            sq_poller_post(in->poller, &in->drained);
        return false;
    }
    n = read(in->fd, buf, room < sizeof(buf) ? room : sizeof(buf));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n <= 0) {
        end_input(in);
        return false;
    }
    sq_serial_input(in->serial, buf, (size_t)n);
    return true;
}

static void on_readable(void *ctx, int fd, unsigned events)
{
    struct sq_serial_input *in = ctx;

    (void)fd;
    if (in->waiting) {
        /* Only a hang-up is reported now; it would be for ever. */
        if (events & SQ_POLL_HUP) {
            sq_poller_del(in->poller, in->fd);
            in->watched = false;
        }
        return;
    }
    pump(in);
}

static void on_more(void *ctx)
{
    struct sq_serial_input *in = ctx;

    if (in->fd >= 0 && !in->waiting && pump(in))
        sq_poller_post(in->poller, &in->more);
}

static void on_drained(void *ctx)
{
    struct sq_serial_input *in = ctx;

    if (in->fd < 0 || !in->waiting)
        return;
    in->waiting = false;
    if (in->watched)
        sq_poller_mod(in->poller, in->fd, SQ_POLL_IN);
    else
        sq_poller_post(in->poller, &in->more);
}

int sq_serial_input_init(struct sq_serial_input *in, struct sq_poller *poller,
                         struct sq_serial *serial, int fd,
                         struct squib_error *err)
{
    struct squib_error why = {0};

    memset(in, 0, sizeof(*in));
    in->poller = poller;
    in->serial = serial;
    in->fd = fd;
    in->drained.fn = on_drained;
    in->drained.ctx = in;
    in->more.fn = on_more;
    in->more.ctx = in;
    if (fd < 0)
        return 0;
    if (sq_poller_add(poller, fd, SQ_POLL_IN, on_readable, in, &why) == 0) {
        in->watched = true;
    } else if (why.os_errno == EPERM) {
        sq_poller_post(poller, &in->more); /* a regular file */
    } else if (why.os_errno == EBADF) {
        in->fd = -1; /* closed standard input */
    } else {
        if (err)
            *err = why;
        return sq_err_prefix(err, "serial input: ");
    }
    return 0;
}

void sq_serial_input_fini(struct sq_serial_input *in)
{
    end_input(in);
    sq_poller_unpost(in->poller, &in->drained);
    sq_poller_unpost(in->poller, &in->more);
}

void sq_serial_input_drained(struct sq_serial_input *in)
{
    sq_poller_post(in->poller, &in->drained);
}
