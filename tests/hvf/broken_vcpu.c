/* SPDX-License-Identifier: Apache-2.0 */
/* A backend with a mistake, to see it caught: it never moves the program
 * counter on. All else is src/backends/hvf/vcpu.c, in place of which this is
 * linked. */
#define _GNU_SOURCE
#include "backends/hvf/hv_api.h"

#define hv_vcpu_set_reg(vcpu, reg, value)                                  \
    ((reg) == HV_REG_PC ? HV_SUCCESS : (hv_vcpu_set_reg)(vcpu, reg, value))
#include "backends/hvf/vcpu.c"
