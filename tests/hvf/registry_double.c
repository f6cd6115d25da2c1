/* SPDX-License-Identifier: Apache-2.0 */
/* The backends of a program that is linked with a double of
 * Hypervisor.framework: in place of src/backends/registry.c. */
#include "backends/hvf/hvf.h"
#include "core/backend.h"

const struct squib_backend *const sq_backends[] = {
    &sq_backend_hvf,
    NULL,
};
