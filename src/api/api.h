/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's API for one machine: what is configured, the requests that
 * change it, the log and the metrics.
 *
 * Set up on the event thread, then used by the API thread alone, which
 * sq_api_start() makes; sq_api_stop() gives it back.
 */
#ifndef SQ_API_API_H
#define SQ_API_API_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "api/log.h"
#include "api/metrics.h"
#include "api/resources.h"
#include "api/server.h"
#include "mmds/mmds.h"
#include "vmm/control.h"

/* What of a device is counted; see machine_metrics.c. */
#define SQ_API_DEVICES_MAX (SQ_SPEC_DRIVES_MAX + SQ_SPEC_NETS_MAX + \
                            SQ_SPEC_PMEMS_MAX + 5)
#define SQ_API_DEVICE_METRICS 32

struct sq_api {
    char id[65];
    size_t payload_max;
    struct sq_log log;
    struct sq_metrics metrics;
    struct sq_resources resources;
    struct sq_mmds *mmds;
    bool boot_timer;
    struct sq_control *control; /* the owner's */
    const struct sq_confine *confine; /* of the API thread, or NULL; set
                                       * before sq_api_listen() */
    struct sq_api_server *server;
    struct sq_timer flush;
    struct sq_poller *flush_on; /* the server's, or the owner's */
    uint64_t counted[SQ_API_DEVICES_MAX][SQ_API_DEVICE_METRICS];
};

/* The log works from now on; the metadata from sq_api_limit() on. */
int sq_api_init(struct sq_api *api, const char *id, struct squib_error *err);
/* The largest body of a request and the largest metadata, in bytes. Once. */
int sq_api_limit(struct sq_api *api, size_t payload_max, size_t mmds_max,
                 struct squib_error *err);
/* After sq_api_stop(); also if sq_api_limit() was not called. */
void sq_api_fini(struct sq_api *api);

/* Listens on the path; no request is answered yet. Errors: those of
 * sq_api_server_new(). */
int sq_api_listen(struct sq_api *api, const char *path,
                  struct squib_error *err);
/* Starts answering; api->control is set. */
int sq_api_start(struct sq_api *api, struct squib_error *err);
/* Ends the API thread and closes the socket; the control was closed. */
void sq_api_stop(struct sq_api *api);

/* Builds and starts the configured machine with sq_control_start(), or, on
 * the event thread, sq_control_boot(). */
int sq_api_boot(struct sq_api *api,
                int (*boot)(struct sq_control *control,
                            const struct sq_vm_spec *spec,
                            struct squib_error *err),
                struct squib_error *err);

/* Writes a line of metrics; 0 or an errno. API thread, or the event thread
 * while there is none. */
int sq_api_flush_metrics(struct sq_api *api);

/* The n-th device with this virtio identifier is about to be unplugged: what
 * it counted since the last line is not lost. Event thread, while the API
 * thread waits for it. */
void sq_api_device_going(struct sq_api *api, struct sq_vmm *vmm, uint32_t id,
                         uint32_t n);
/* It was unplugged, and is no longer in api->resources. */
void sq_api_device_gone(struct sq_api *api, uint32_t id, uint32_t n);

/* The process got a signal: a line of the log, a metric. Handlers of signals
 * may call this, and the second, which also writes the metrics without asking
 * the devices, for a process that ends here. Any thread. */
void sq_api_signal(struct sq_api *api, int signo, int code);
void sq_api_died(struct sq_api *api, const siginfo_t *info);

/* The guest runs: a line now, and one each minute by flush_on. API thread,
 * or before it is started. */
void sq_api_start_metrics(struct sq_api *api);

/* Answers one request; for the server, and for tests. API thread. */
void sq_api_answer(void *api, const struct sq_http_request *request,
                   struct sq_api_answer *answer);

#endif
