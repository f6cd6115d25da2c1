/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of the agent protocol (core/agent_proto.h) for one
 * command: answers the guest's connections, starts the command, and passes
 * its streams through to three descriptors of the host.
 *
 * Event thread only. Nothing here touches the virtual machine; the caller
 * learns through `done` that there is nothing more to relay.
 */
#ifndef SQ_CLI_RUN_RELAY_H
#define SQ_CLI_RUN_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "core/agent_proto.h"
#include "dev/virtio/vsock.h"
#include "os/poller.h"

enum sq_relay_end {
    SQ_RELAY_EXITED,   /* the command ran: status is what a shell shows */
    SQ_RELAY_FAILED,   /* it could not be started: status, text */
    SQ_RELAY_LOST,     /* the agent has gone or talks nonsense: text */
    SQ_RELAY_DETACHED, /* the user asked to stop (escape key) */
};

struct sq_relay_config {
    struct sq_poller *poller; /* outlives the relay */
    struct sq_agent_command command; /* session is chosen here; the strings
                                        live until _new() returns */
    int in_fd, out_fd, err_fd; /* borrowed; err_fd unused with a tty */
    /* The command runs. Optional. */
    void (*started)(void *ctx);
    /* Called once. The relay may be freed after it returns. */
    void (*done)(void *ctx, enum sq_relay_end end, int status,
                 const char *text);
    void *ctx;
};

struct sq_relay;

/* For sq_vmm_env.vsock_host, with the relay as vsock_ctx. */
extern const struct sq_vsock_host_ops sq_relay_host_ops;

/* Errors: SQUIB_E_INVAL (the command line and environment exceed what the
 * protocol carries), SQUIB_E_NOMEM. */
int sq_relay_new(const struct sq_relay_config *config, struct sq_relay **out,
                 struct squib_error *err);
/* Closes the guest's connections. NULL is allowed. */
void sq_relay_free(struct sq_relay *relay);

/* The agent has connected. */
bool sq_relay_connected(const struct sq_relay *relay);
/* The command runs, or has run. */
bool sq_relay_started(const struct sq_relay *relay);

/* To the command's process group. Dropped unless it runs. signo is a Linux
 * signal number. */
void sq_relay_signal(struct sq_relay *relay, uint32_t signo);
void sq_relay_winsize(struct sq_relay *relay, uint16_t rows, uint16_t cols);

#endif
