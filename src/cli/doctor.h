/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `squib doctor` as data; doctor.c renders them. */
#ifndef SQ_CLI_DOCTOR_H
#define SQ_CLI_DOCTOR_H

#include <stddef.h>

#include "cli/kernel_find.h"

enum sq_check_result { SQ_CHECK_OK, SQ_CHECK_WARN, SQ_CHECK_FAIL };

struct sq_finding {
    enum sq_check_result result;
    char fact[400];
    char remedy[200]; /* "" when there is nothing to do */
};

/* What checks share, found once. */
struct sq_doctor {
    const struct sq_guest_arch *guest; /* what auto's backend runs */
    struct sq_kernel_choice kernel;
    struct squib_error kernel_err; /* code 0: kernel is good */
};

struct sq_check {
    const char *id; /* stable, for --json */
    void (*fn)(const struct sq_doctor *d, struct sq_finding *out);
};

extern const struct sq_check sq_checks[];
extern const size_t sq_check_count;

#endif
