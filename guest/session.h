/* SPDX-License-Identifier: Apache-2.0 */
/* One command: from the RUN message to the moment before its end is
 * reported. */
#ifndef SQUIB_GUEST_SESSION_H
#define SQUIB_GUEST_SESSION_H

#include "core/agent_proto.h"

#include <stdbool.h>

/* Reads RUN from `control`, runs the command and relays its streams until
 * it has ended and all its output is delivered. As PID 1, all processes
 * left behind by the command are killed then; else its process group.
 *
 * 0: *last is the message to send, EXITED or FAILED. -1: the host closed
 * control or broke the protocol; the command was killed. Once a process. */
int session_run(int control, struct sq_agent_msg *last);

/* A command that the initramfs brings (/squib/run: the payload of a RUN
 * message), for a machine without a host that sends one. Reads it; whether
 * there is one. Before the root is mounted. */
bool session_read_alone(void);
/* Runs it on the serial console, to its end. */
void session_alone(void);

#endif
