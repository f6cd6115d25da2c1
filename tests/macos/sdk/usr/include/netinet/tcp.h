/* SPDX-License-Identifier: Apache-2.0 */
#define TCP_NODELAY 0x01
