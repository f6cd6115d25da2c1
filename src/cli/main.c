/* SPDX-License-Identifier: Apache-2.0 */
/* The squib program: finds the verb. The only place that ends the process.
 */
#include <stdio.h>
#include <string.h>

#include <squib/squib.h>

#include "base/util.h"
#include "cli/report.h"
#include "cli/run_options.h"
#include "cli/verbs.h"

static int verb_version(int argc, char *argv[]);
static int verb_help(int argc, char *argv[]);

static const struct {
    const char *name;
    const char *summary; /* NULL: not shown */
    int (*fn)(int argc, char *argv[]);
} verbs[] = {
    {"run", "run a command in a fresh virtual machine", sq_verb_run},
    {"doctor", "check what squib needs here", sq_verb_doctor},
    {"kernel", "show or fetch the guest kernel", sq_verb_kernel},
    {"exam", "run a program that tests the machine, with its test devices",
     sq_verb_exam},
    {"serve", "Firecracker's command line (also: squib --no-api "
     "--config-file F)", sq_verb_serve},
    {"help", "show help, also for one verb", verb_help},
    {"version", "print the version", verb_version},
    {"--version", NULL, verb_version},
    {"-V", NULL, verb_version},
    {"--help", NULL, verb_help},
    {"-h", NULL, verb_help},
};

static int verb_version(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    printf("squib %s\n", squib_version());
    return SQ_STATUS_OK;
}

static void show_help(FILE *out)
{
    fputs("usage: squib VERB [OPTIONS] [ARGUMENTS]\n"
          "\n"
          "Boots a Linux virtual machine in a blink, on hardware where there "
          "is any and\non squib's own software CPU where there is none.\n"
          "\n"
          "  squib run -- uname -a\n"
          "\n", out);
    for (size_t i = 0; i < SQ_ARRAY_LEN(verbs); i++)
        if (verbs[i].summary)
            fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].summary);
    fputs("\nsquib help VERB tells more.\n", out);
}

static int dispatch(int argc, char *argv[])
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(verbs); i++)
        if (strcmp(argv[0], verbs[i].name) == 0)
            return verbs[i].fn(argc, argv);
    sq_say("there is no verb '%s'\n  do: squib help (or: squib run -- %s)",
           argv[0], argv[0]);
    return SQ_STATUS_USAGE;
}

static int verb_help(int argc, char *argv[])
{
    static char help[] = "--help";

    if (argc > 1 && strcmp(argv[1], "help") != 0 &&
        strcmp(argv[1], "version") != 0) {
        char *again[] = {argv[1], help, NULL};

        return dispatch(2, again);
    }
    show_help(stdout);
    return SQ_STATUS_OK;
}

/* Firecracker's flags without a verb, or its name for the program. */
static bool is_firecracker(int argc, char *argv[])
{
    const char *name = argc ? strrchr(argv[0], '/') : NULL;

    name = name ? name + 1 : argc ? argv[0] : "";
    if (strcmp(name, "firecracker") == 0)
        return true;
    if (argc < 2 || strncmp(argv[1], "--", 2) != 0)
        return false;
    return strcmp(argv[1], "--help") != 0 &&
           strcmp(argv[1], "--version") != 0;
}

int main(int argc, char *argv[])
{
    int status;

    if (is_firecracker(argc, argv)) {
        status = sq_verb_serve(argc, argv);
    } else if (argc < 2) {
        show_help(stderr);
        status = SQ_STATUS_USAGE;
    } else {
        status = dispatch(argc - 1, argv + 1);
    }
    if (fflush(stdout) != 0 && status == SQ_STATUS_OK)
        status = SQ_STATUS_FAILED;
    return status;
}
