/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking away from this process what a user-mode network has no use for.
 * It faces packets of a guest; what it keeps is sockets of the Internet
 * families and reading the resolver's configuration.
 */
#ifndef SQ_USERNET_SANDBOX_H
#define SQ_USERNET_SANDBOX_H

/* First thing: closes every descriptor above `last`, sets limits, and, for
 * root, becomes nobody without capabilities. 0, or -1 with errno. */
int sandbox_begin(int last);

/* When everything is set up, before the first packet: no new privileges,
 * Landlock where the kernel has it, and a list of system calls where this
 * program was built with libseccomp. 0, or -1 with errno. */
int sandbox_enter(void);

#endif
