/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's command line (1.17: src/firecracker/src/main.rs and
 * src/utils/src/arg_parser.rs): flags and values are words of their own, no
 * flag comes twice, what follows "--" is not looked at, and --help and
 * --version win over whatever else is there.
 */
#ifndef SQ_CLI_SERVE_OPTIONS_H
#define SQ_CLI_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include <squib/error.h>

#include "cli/options.h"

/* In the order of the table, which is that of --help. */
enum sq_serve_flag {
    SQ_SERVE_API_SOCK,
    SQ_SERVE_BACKEND,
    SQ_SERVE_BOOT_TIMER,
    SQ_SERVE_CONFIG_FILE,
    SQ_SERVE_DESCRIBE_SNAPSHOT,
    SQ_SERVE_ENABLE_PCI,
    SQ_SERVE_HTTP_API_MAX_PAYLOAD_SIZE,
    SQ_SERVE_ID,
    SQ_SERVE_LEVEL,
    SQ_SERVE_LOG_PATH,
    SQ_SERVE_METADATA,
    SQ_SERVE_METRICS_PATH,
    SQ_SERVE_MMDS_SIZE_LIMIT,
    SQ_SERVE_MODULE,
    SQ_SERVE_NO_API,
    SQ_SERVE_NO_SECCOMP,
    SQ_SERVE_PARENT_CPU_TIME_US,
    SQ_SERVE_SECCOMP_FILTER,
    SQ_SERVE_SHOW_LEVEL,
    SQ_SERVE_SHOW_LOG_ORIGIN,
    SQ_SERVE_SNAPSHOT_VERSION,
    SQ_SERVE_START_TIME_CPU_US,
    SQ_SERVE_START_TIME_US,
    SQ_SERVE_VERSION,
    SQ_SERVE_HELP,
    SQ_SERVE_COUNT
};

/* The flags, SQ_SERVE_COUNT rows; `id` is the row's number. */
extern const struct sq_option sq_serve_flags[];

struct sq_serve_options {
    /* Of flags with a value: it, or the default, or NULL. Of others: "" when
     * the flag is there, else NULL. Borrowed from argv. */
    const char *value[SQ_SERVE_COUNT];
};

/* Errors: SQUIB_E_INVAL with upstream's words. With --help or --version
 * only that is set. */
int sq_serve_options_parse(int argc, char *const argv[],
                           struct sq_serve_options *out,
                           struct squib_error *err);

/* "optional arguments:" and a line a flag. */
void sq_serve_options_help(FILE *out);

#endif
