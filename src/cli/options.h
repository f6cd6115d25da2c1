/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options from a table, which also makes the help text.
 *
 * Understood: --name, --name value, --name=value, -n, -n value, -nvalue,
 * and one-letter flags together (-it). Options end at "--" or at the first
 * word that is none.
 */
#ifndef SQ_CLI_OPTIONS_H
#define SQ_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <squib/error.h>

struct sq_option {
    char letter;      /* 0: none */
    const char *name; /* without the dashes */
    const char *arg;  /* what its value is called in help; NULL: a flag */
    const char *help; /* NULL: accepted but not shown */
    int id;           /* the caller's; see sq_option_fn */
};

/* value is NULL for flags. Returns 0 or fills *err. */
typedef int sq_option_fn(void *ctx, const struct sq_option *option,
                         const char *value, struct squib_error *err);

struct sq_options_end {
    int rest;    /* index in argv of the first word after the options */
    bool dashes; /* the options were ended by "--" */
};

/* Goes through argv[from..argc). Errors: SQUIB_E_INVAL, or what fn gives. */
int sq_options_parse(const struct sq_option *table, size_t count, int argc,
                     char *const argv[], int from, sq_option_fn *fn,
                     void *ctx, struct sq_options_end *end,
                     struct squib_error *err);

/* One line (or more) an option. */
void sq_options_help(const struct sq_option *table, size_t count, FILE *out);

/* Values. Each refuses trailing characters; SQUIB_E_INVAL names `what`. */
int sq_parse_u32(const char *what, const char *text, unsigned *out,
                 struct squib_error *err);
/* "512", "512M" are MiB, "1G" 1024 MiB, "65536K" 64 MiB; binary units. */
int sq_parse_mib(const char *what, const char *text, unsigned *out,
                 struct squib_error *err);
/* "30", "30s", "500ms", "5m", "1h"; more than zero, at most 1000 hours. */
int sq_parse_duration(const char *what, const char *text,
                      unsigned long long *out_ns, struct squib_error *err);

#endif
