/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `squib run`, as a value. */
#ifndef SQ_CLI_RUN_OPTIONS_H
#define SQ_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <squib/error.h>

#include "cli/publish.h"
#include "vmm/config.h"

#define SQ_RUN_ENV_MAX 1024
/* Beside the root's. */
#define SQ_RUN_DISKS_MAX (SQ_SPEC_DRIVES_MAX - 1)

struct sq_run_disk {
    char path[SQ_SPEC_PATH_MAX];
    bool read_only;
};

enum sq_tty_choice { SQ_TTY_AUTO, SQ_TTY_YES, SQ_TTY_NO };

/* Strings point into argv or the environment. */
struct sq_run_options {
    unsigned mem_mib, vcpus;
    const char *backend;
    const char *kernel, *initrd, *append;
    const char *net; /* NULL: none; see net_option.h */
    bool no_host; /* of a user-mode network */
    struct sq_publish_port publish[SQ_PUBLISH_MAX];
    size_t publish_count;
    struct sq_run_disk disk[SQ_RUN_DISKS_MAX];
    size_t disk_count;
    const char *root;    /* NULL: built in */
    const char *workdir; /* NULL: / */
    const char *hostname;
    unsigned uid, gid;
    const char *env[SQ_RUN_ENV_MAX]; /* K=V, or K to pass ours on */
    size_t env_count;
    unsigned long long timeout_ns; /* 0: none */
    const char *timeout_text;
    enum sq_tty_choice tty;
    bool deterministic;
    unsigned seed, jit_limit; /* jit_limit 0: none */
    bool no_seccomp;
    bool pci, console, verbose, quiet, dry_run, help;
    char *const *command; /* NULL-ended; empty: an interactive shell */
};

/* Parses argv[from..argc): options, ROOT, "--", the command. ROOT is a word
 * before "--"; a word after it starts the command. Errors: SQUIB_E_INVAL,
 * SQUIB_E_NOSUPPORT (an option of a later version). */
int sq_run_options_parse(struct sq_run_options *o, int argc,
                         char *const argv[], int from,
                         struct squib_error *err);

void sq_run_options_help(FILE *out);

#endif
