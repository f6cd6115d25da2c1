/* SPDX-License-Identifier: Apache-2.0 */
/* Everything of libsquib. */
#ifndef SQUIB_SQUIB_H
#define SQUIB_SQUIB_H

#include <squib/aarch64.h>
#include <squib/backend.h>
#include <squib/error.h>
#include <squib/exit.h>
#include <squib/lifecycle.h>
#include <squib/memory.h>
#include <squib/vcpu.h>
#include <squib/vm.h>

/* This header's version; squib_version() is the library's. */
#define SQUIB_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
/* The version of the library that runs, "MAJOR.MINOR.PATCH". Static storage,
 * any thread. */
const char *squib_version(void);
#ifdef __cplusplus
}
#endif
#endif
