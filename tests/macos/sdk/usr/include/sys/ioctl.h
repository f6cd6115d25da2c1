/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_IOCTL_H
#define SQ_MACOS_SYS_IOCTL_H

#include <sq_macos.h>

struct winsize {
    unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};
#define TIOCGWINSZ 0x40087468ul
#define FIONREAD 0x4004667ful
int ioctl(int fd, unsigned long request, ...);

#endif
