/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_TERMIOS_H
#define SQ_MACOS_TERMIOS_H

#include <sq_macos.h>

typedef unsigned long tcflag_t, speed_t;
struct termios {
    tcflag_t c_iflag, c_oflag, c_cflag, c_lflag;
    unsigned char c_cc[20];
    speed_t c_ispeed, c_ospeed;
};
#define TCSANOW 0
#define TCSADRAIN 1
#define TCSAFLUSH 2
#define VMIN 16
#define VTIME 17
#define ECHO 0x00000008u
#define ISIG 0x00000080u
#define ICANON 0x00000100u
#define IEXTEN 0x00000400u
#define OPOST 0x00000001u
#define ICRNL 0x00000100u
#define IXON 0x00000200u
int tcgetattr(int fd, struct termios *t);
int tcsetattr(int fd, int when, const struct termios *t);
void cfmakeraw(struct termios *t);

#endif
