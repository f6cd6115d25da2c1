/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux tap interface as a network engine, with checksum and segmentation
 * offload (Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h
 * of Linux).
 */
#ifndef SQ_DEV_HOST_TAP_H
#define SQ_DEV_HOST_TAP_H

#include <squib/error.h>

#include "dev/host/net.h"

/* Without the NUL (IFNAMSIZ - 1). */
#define SQ_TAP_NAME_MAX 15u

enum sq_tap_missing {
    SQ_TAP_REFUSE, /* an interface that does not exist is an error */
    SQ_TAP_CREATE, /* it is made, and goes when the engine is freed */
};

/* Errors, each with what to do: SQUIB_E_INVAL (no possible name, or not a
 * plain tap), SQUIB_E_NOTFOUND (no such interface), SQUIB_E_NOSUPPORT (this
 * kernel has no taps), SQUIB_E_OS (no permission, in use), SQUIB_E_NOMEM.
 * os_errno is kept. Blocks for the length of a few ioctls. */
int sq_tap_open(const char *name, enum sq_tap_missing missing,
                struct sq_net_backend **out, struct squib_error *err);

#endif
