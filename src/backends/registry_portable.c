/* SPDX-License-Identifier: Apache-2.0 */
/* The backends of a build for a host without a hypervisor that squib knows;
 * registry.c has the others. The build takes one of the two files. */
#include "backends/soft/soft.h"
#include "core/backend.h"

const struct squib_backend *const sq_backends[] = {
    &sq_backend_soft,
    NULL,
};
