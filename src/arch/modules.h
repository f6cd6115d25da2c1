/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a module tree to load, and in which order, to have a set
 * of drivers.
 *
 * A tree is what a kernel package installs as /lib/modules/VERSION. The
 * dependencies come from its modules.dep; a tree that was only unpacked has
 * none yet, and then modules.order lists the files and each module's own
 * .modinfo says what it depends on.
 */
#ifndef SQ_ARCH_MODULES_H
#define SQ_ARCH_MODULES_H

#include <squib/error.h>

#include <stddef.h>

/* The answer. Owned by the caller: sq_modules_free. */
struct sq_module_list {
    char **paths; /* host paths in load order, each once */
    size_t count;
    char **missing; /* wanted names that are neither files nor built in */
    size_t missing_count;
};

/* Resolves the `wanted` names with all their dependencies, dependencies
 * first, otherwise in the order of `wanted`. '-' and '_' are the same in a
 * name. Modules built into the kernel (modules.builtin) are skipped.
 *
 * A wanted name that does not exist is not an error but is listed in
 * out->missing: only the caller knows which it can do without. Errors:
 * SQUIB_E_NOTFOUND no such tree, or a dependency is absent; SQUIB_E_FORMAT
 * a dependency cycle or a damaged file; SQUIB_E_NOSUPPORT a compressed
 * module; SQUIB_E_NOMEM, SQUIB_E_OS. On error *out is empty.
 *
 * Blocking file access; any thread. */
int sq_modules_resolve(const char *tree, const char *const *wanted,
                       size_t wanted_count, struct sq_module_list *out,
                       struct squib_error *err);

/* Releases a list; an empty (zeroed) one is fine. */
void sq_modules_free(struct sq_module_list *list);

#endif
