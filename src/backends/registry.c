/* SPDX-License-Identifier: Apache-2.0 */
/* The backends of this build, in the order in which `auto` tries them. */
#include "backends/kvm/kvm.h"
#include "backends/soft/soft.h"
#include "core/backend.h"

const struct squib_backend *const sq_backends[] = {
    &sq_backend_kvm,
    &sq_backend_soft,
    NULL,
};
