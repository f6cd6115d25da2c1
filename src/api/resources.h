/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine as the API's client has described it so far: checked with
 * upstream's bounds and words, shown by GET /vm/config, and handed to
 * sq_vmm_new() when it starts. After the start it is what the client sees of
 * the machine, kept up to date by the requests that change devices.
 *
 * Belongs to the API thread (before that thread runs, to whoever sets it
 * up). Files are opened only to learn whether they can be; the vsock's
 * socket and taps are held until the machine takes them.
 */
#ifndef SQ_API_RESOURCES_H
#define SQ_API_RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <squib/error.h>

#include "api/fault.h"
#include "api/schemas.h"
#include "dev/host/net.h"
#include "mmds/mmds.h"
#include "vmm/config.h"

struct sq_resources {
    /* The command line in it is the client's; drives have the root first. */
    struct sq_vm_spec *spec;
    uint64_t mem_mib; /* may be more than any machine can have */
    bool has_boot_args, smt;
    int uds_fd; /* holds the vsock's path; -1: nothing does */
    struct sq_net_backend *held[SQ_SPEC_NETS_MAX]; /* taps, or NULL */
    /* Of pmem devices upstream shows what was asked for. */
    struct sq_body_limiter pmem_limit[SQ_SPEC_PMEMS_MAX];
    /* Something was configured that a loaded snapshot brings itself. */
    bool boot_path;
};

int sq_resources_init(struct sq_resources *r, struct squib_error *err);
void sq_resources_fini(struct sq_resources *r);

/* Each is one request. False: refused, nothing has changed (but for a vsock
 * or an interface that was to be replaced) and *fault is filled. */
bool sq_resources_machine(struct sq_resources *r,
                          const struct sq_body_machine *b,
                          struct sq_fault *fault);
/* cpu_config.c. A CPU template; it takes the place of a named one. */
bool sq_resources_cpu(struct sq_resources *r,
                      const struct sq_body_cpu_config *b,
                      struct sq_fault *fault);
bool sq_resources_boot_source(struct sq_resources *r,
                              const struct sq_body_boot_source *b,
                              struct sq_fault *fault);
bool sq_resources_drive(struct sq_resources *r,
                        const struct sq_body_drive *b,
                        struct sq_fault *fault);
bool sq_resources_net(struct sq_resources *r, const struct sq_body_net *b,
                      struct sq_fault *fault);
bool sq_resources_pmem(struct sq_resources *r, const struct sq_body_pmem *b,
                       struct sq_fault *fault);
/* Which interfaces the metadata service answers on; the rest of the body is
 * the caller's. */
bool sq_resources_mmds(struct sq_resources *r,
                       const struct sq_body_mmds_config *b,
                       struct sq_fault *fault);
bool sq_resources_vsock(struct sq_resources *r,
                        const struct sq_body_vsock *b,
                        struct sq_fault *fault);
bool sq_resources_balloon(struct sq_resources *r,
                          const struct sq_body_balloon *b,
                          struct sq_fault *fault);
bool sq_resources_entropy(struct sq_resources *r,
                          const struct sq_body_entropy *b,
                          struct sq_fault *fault);
bool sq_resources_hotplug(struct sq_resources *r,
                          const struct sq_body_hotplug *b,
                          struct sq_fault *fault);
bool sq_resources_serial(struct sq_resources *r,
                         const struct sq_body_serial *b,
                         struct sq_fault *fault);

/* The number of the drive or interface with this ID, -1: there is none. */
int sq_resources_find_drive(const struct sq_resources *r, const char *id);
int sq_resources_find_net(const struct sq_resources *r, const char *id);
int sq_resources_find_pmem(const struct sq_resources *r, const char *id);
/* The n-th pmem device has left the spec. */
void sq_resources_pmem_gone(struct sq_resources *r, uint32_t n);
/* Whether the metadata service answers anywhere. */
bool sq_resources_has_mmds(const struct sq_resources *r);

/* A limiter with the buckets that the body names replaced. */
void sq_limiter_update(struct sq_ratelimit_config *limit,
                       const struct sq_body_limiter *b);

/* New references; NULL without memory. show_balloon: there is one. mmds is
 * the service's settings or NULL. */
json_t *sq_resources_show_machine(const struct sq_resources *r);
json_t *sq_resources_show_balloon(const struct sq_resources *r);
json_t *sq_resources_show(const struct sq_resources *r,
                          struct sq_mmds *mmds);

/* A spec for sq_vmm_new(), its command line complete. */
int sq_resources_to_spec(const struct sq_resources *r,
                         struct sq_vm_spec *spec, struct squib_error *err);

/* Lets go of the socket and the taps, for the machine to take; and takes
 * the socket again if the machine could not start. */
void sq_resources_release(struct sq_resources *r);
void sq_resources_retake(struct sq_resources *r);

#endif
