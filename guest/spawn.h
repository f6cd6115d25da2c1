/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and starting the command of a session. */
#ifndef SQUIB_GUEST_SPAWN_H
#define SQUIB_GUEST_SPAWN_H

#include "core/agent_proto.h"
#include "text.h"

#include <sys/types.h>

/* Why there is no command. */
struct spawn_failure {
    enum sq_agent_reason reason;
    int error; /* errno */
    struct text text;
};

/* Starts the command as the leader of a new session with the descriptors
 * stdio[0..2] as its streams; with a tty, stdio[0] also becomes its
 * controlling terminal. argv[0] is looked up along PATH of its own
 * environment; PATH, HOME and (with a tty) TERM get defaults.
 *
 * Returns when the program runs in place of the child: 0 and *pid, or -1
 * and *failure. The caller keeps its descriptors, which must all be
 * close-on-exec and above 2. */
int spawn_command(const struct sq_agent_command *cmd, const int stdio[3],
                  pid_t *pid, struct spawn_failure *failure);

#endif
