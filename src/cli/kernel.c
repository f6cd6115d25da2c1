/* SPDX-License-Identifier: Apache-2.0 */
/* `squib kernel`: which guest kernel is used, and fetching one. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/kernel_find.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "os/host.h"

static int show(void)
{
    struct sq_kernel_choice *c = calloc(1, sizeof(*c));
    struct squib_error err = {0};
    int rc;

    if (!c)
        return SQ_STATUS_FAILED;
    rc = sq_kernel_find(sq_kernel_guest(), NULL, c, &err);
    printf("looked at:\n%s", c->tried);
    if (!rc)
        printf("kernel:  %s\nrelease: %s\nmodules: %s\n", c->path,
               c->release[0] ? c->release : "(unknown)",
               c->modules[0] ? c->modules : "(none: all built in)");
    else
        sq_say_error(&err);
    free(c);
    return rc ? SQ_STATUS_FAILED : SQ_STATUS_OK;
}

/* The script is installed with squib; in a build tree it is in tools/. */
static int fetch(int argc, char *argv[])
{
    char *full[8];
    char option[] = "-a", arch[16];
    int n = 0;
    static const char *const places[] = {
        "%s/../libexec/squib/fetch-kernel",
        "%s/../lib/squib/fetch-kernel",
        "%s/../share/squib/fetch-kernel",
        "%s/../tools/fetch-kernel",
    };
    char self[PATH_MAX], path[SQ_PATH_MAX];
    char *slash;

    sq_host_self(self, sizeof(self));
    /* For the guests that run here, unless another is asked for. */
    while (n < argc && n < 5) {
        full[n] = argv[n];
        n++;
    }
    snprintf(arch, sizeof(arch), "%s",
             squib_arch_name(sq_kernel_guest()->arch));
    if (argc <= 2) {
        full[n++] = option;
        full[n++] = arch;
    }
    full[n] = NULL;
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < SQ_ARRAY_LEN(places) && slash; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (sq_path_format(path, NULL, places[i], self) ||
            access(path, X_OK) != 0)
            continue;
#pragma GCC diagnostic pop
        execv(path, full);
        sq_say("cannot run %s: %s", path, strerror(errno));
        return SQ_STATUS_FAILED;
    }
    sq_say("the script that fetches a kernel is not installed\n  do: apt "
           "install %s, or use --kernel FILE", sq_kernel_guest()->package);
    return SQ_STATUS_FAILED;
}

int sq_verb_kernel(int argc, char *argv[])
{
    const char *verb = argc > 1 ? argv[1] : "show";

    if (strcmp(verb, "show") == 0 && argc <= 2)
        return show();
    if (strcmp(verb, "fetch") == 0)
        return fetch(argc - 1, argv + 1);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        puts("usage: squib kernel [show | fetch [-f] [-a ARCH]]\n\n"
             "  show   where the guest kernel was looked for and found\n"
             "  fetch  get Debian's cloud kernel into the cache with apt "
             "(no root needed);\n         -f takes a newer one; ARCH is x86_64 "
             "or aarch64");
        return SQ_STATUS_OK;
    }
    sq_say("kernel: there is no '%s'\n  do: squib kernel --help", verb);
    return SQ_STATUS_USAGE;
}
