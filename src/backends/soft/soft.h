/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software backend: x86-64 guests on any 64-bit little-endian host.
 * It needs nothing from the host but memory, so its probe always passes.
 */
#ifndef SQ_SOFT_SOFT_H
#define SQ_SOFT_SOFT_H

#include "core/backend.h"

extern const struct squib_backend sq_backend_soft;

#endif
