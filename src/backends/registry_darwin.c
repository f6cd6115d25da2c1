/* SPDX-License-Identifier: Apache-2.0 */
/* The backends of a build for macOS on Apple silicon; see registry.c. */
#include "backends/hvf/hvf.h"
#include "backends/soft/soft.h"
#include "core/backend.h"

const struct squib_backend *const sq_backends[] = {
    &sq_backend_hvf,
    &sq_backend_soft,
    NULL,
};
