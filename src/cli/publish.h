/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `-p [IP:]HOST:GUEST`: TCP ports of this host that lead into the guest.
 *
 * A connection to the host's port becomes, as it is, the host's end of a
 * vsock connection to the agent, which connects to the guest's loopback
 * (guest/forward.h). No network device is needed. Event thread only.
 */
#ifndef SQ_CLI_PUBLISH_H
#define SQ_CLI_PUBLISH_H

#include <stdint.h>
#include <sys/socket.h>

#include <squib/error.h>

#include "core/agent_proto.h"
#include "os/poller.h"
#include "vmm/vmm.h"

#define SQ_PUBLISH_MAX SQ_AGENT_FORWARD_MAX

struct sq_publish_port {
    struct sockaddr_storage host; /* default 127.0.0.1; port 0: any */
    socklen_t host_len;
    uint16_t guest;
};

/* "8080:80", "0.0.0.0:8080:80", "[::1]:0:80". Errors: SQUIB_E_INVAL. */
int sq_publish_parse(const char *text, struct sq_publish_port *out,
                     struct squib_error *err);

/* The ports for the agent: "80,443", at most len - 1 bytes. */
void sq_publish_setting(const struct sq_publish_port *ports, size_t count,
                        char *out, size_t len);

struct sq_publish;

/* Takes the host's ports; clients wait until sq_publish_start(). say is told
 * which port was taken for each that asked for any. Errors: SQUIB_E_OS,
 * SQUIB_E_NOMEM. */
int sq_publish_new(const struct sq_publish_port *ports, size_t count,
                   struct sq_poller *poller, struct sq_publish **out,
                   struct squib_error *err);
/* The agent listens: lets clients in. */
void sq_publish_start(struct sq_publish *p, struct sq_vmm *vmm);
/* Closes the ports. NULL is allowed. */
void sq_publish_free(struct sq_publish *p);

#endif
