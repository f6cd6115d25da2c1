/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_MACH_O_DYLD_H
#define SQ_MACOS_MACH_O_DYLD_H

#include <sq_macos.h>

int _NSGetExecutablePath(char *buf, uint32_t *len);

#endif
