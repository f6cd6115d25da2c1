/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_NETINET_TCP_H
#define SQ_MACOS_NETINET_TCP_H

#define TCP_NODELAY 0x01

#endif
