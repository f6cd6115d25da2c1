/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for the process's number in the programs of confine_gen.c, until a
 * thread is confined. No process has it: the kernel's limit is 2^22. */
#ifndef SQ_OS_LINUX_CONFINE_PID_H
#define SQ_OS_LINUX_CONFINE_PID_H

#define SQ_CONFINE_PID 0x7e57a11du

#endif
