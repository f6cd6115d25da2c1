/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_WAIT_H
#define SQ_MACOS_SYS_WAIT_H

#include <sq_macos.h>

#define WNOHANG 1
#define WIFEXITED(s) (((s) & 0x7f) == 0)
#define WEXITSTATUS(s) ((s) >> 8 & 0xff)
#define WIFSIGNALED(s) (((s) & 0x7f) != 0 && ((s) & 0x7f) != 0x7f)
#define WTERMSIG(s) ((s) & 0x7f)
pid_t waitpid(pid_t pid, int *status, int options);

#endif
