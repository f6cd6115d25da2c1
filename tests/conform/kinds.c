/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of exits: those that a run saw, and the table of all backends. */
#define _GNU_SOURCE
#include "kinds.h"

#include <stdio.h>
#include <sys/mman.h>

#include "base/util.h"

#define BIT(name, text) name = 1u << SQUIB_EXIT_##name,
enum { SQUIB_EXIT_LIST(BIT) ALL = (1u << SQUIB_EXIT_COUNT) - 1 };
#undef BIT

static const struct {
    const char *backend, *arch;
    uint32_t suite, unit;
} rows[] = {
#define KINDS(backend, arch, suite, unit) {backend, arch, suite, unit},
#include "kinds.def"
#undef KINDS
};

_Atomic uint32_t *cf_kinds_new(void)
{
    void *p = mmap(NULL, sizeof(uint32_t), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void print_names(uint32_t kinds)
{
    for (unsigned k = 0; k < SQUIB_EXIT_COUNT; k++)
        if (kinds >> k & 1)
            printf(" %s", squib_exit_name(k));
}

bool cf_kinds_check(const struct squib_backend *be, uint32_t seen)
{
    const char *name = squib_backend_name(be);
    size_t len = strcspn(name, ","); /* settings are not in the table */

    for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++) {
        if (strncmp(rows[i].backend, name, len) != 0 ||
            rows[i].backend[len] ||
            strcmp(rows[i].arch, squib_arch_name(be->arch)) != 0)
            continue;
        if ((seen & ~rows[i].unit) == rows[i].suite) {
            printf("ok           kinds:");
            print_names(seen);
            printf("\n");
            return true;
        }
        printf("FAIL         kinds: the run saw");
        print_names(seen);
        printf("; kinds.def says");
        print_names(rows[i].suite);
        printf("\n");
        return false;
    }
    return true;
}

void cf_kinds_table(void)
{
    printf("| exit |");
    for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++)
        printf(" %s, %s |", rows[i].backend, rows[i].arch);
    printf("\n|---|");
    for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++)
        printf("---|");
    printf("\n");
    for (unsigned k = 0; k < SQUIB_EXIT_COUNT; k++) {
        printf("| %s |", squib_exit_name(k));
        for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++)
            printf(" %s |", rows[i].suite >> k & 1  ? "suite"
                            : rows[i].unit >> k & 1 ? "unit" : "-");
        printf("\n");
    }
}
