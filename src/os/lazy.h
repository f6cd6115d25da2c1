/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for large tables of which little is used. */
#ifndef SQ_OS_LAZY_H
#define SQ_OS_LAZY_H

#include <stddef.h>

/* Zeroes that cost nothing until they are touched, or NULL and errno; the
 * caller unmaps them. For decoded and translated code and the maps that go with
 * it: they can be told from all other memory of the process, as children do
 * not get them (flag `dc` in Linux's smaps), and where the kernel gives such
 * memory names it has this one, of letters and dashes. */
void *sq_lazy_new(size_t len, const char *name);

#endif
