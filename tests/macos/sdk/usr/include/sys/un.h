/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_UN_H
#define SQ_MACOS_SYS_UN_H

#include <sys/socket.h>

struct sockaddr_un {
    uint8_t sun_len;
    sa_family_t sun_family;
    char sun_path[104];
};

#endif
