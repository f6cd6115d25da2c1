/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_UTSNAME_H
#define SQ_MACOS_SYS_UTSNAME_H

#include <sq_macos.h>

struct utsname {
    char sysname[256], nodename[256], release[256], version[256];
    char machine[256];
};
int uname(struct utsname *u);

#endif
