/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_LIBKERN_OSCACHECONTROL_H
#define SQ_MACOS_LIBKERN_OSCACHECONTROL_H

#include <sq_macos.h>

void sys_icache_invalidate(void *at, size_t len);

#endif
