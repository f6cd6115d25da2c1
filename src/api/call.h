/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way through the API; for src/api alone. */
#ifndef SQ_API_CALL_H
#define SQ_API_CALL_H

#include "api/api.h"
#include "api/fault.h"
#include "api/schemas.h"

#define SQ_CALL_TOKENS_MAX 4

/* Bits of sq_endpoint.states. */
enum { SQ_PRE = 1, SQ_POST = 2 };

enum sq_body_rule {
    SQ_NO_BODY,
    SQ_BODY,
    SQ_MAYBE_BODY,
};

struct sq_call;

/* One row of the table in endpoints.c. */
struct sq_endpoint {
    enum sq_http_method method;
    /* The first parts of the path. NULL at the end matches whatever
     * follows. */
    const char *first, *second, *third;
    unsigned states;
    /* Optional: the states of a request whose body decides on them. */
    unsigned (*states_of)(const struct sq_call *call);
    enum sq_body_rule body;
    const struct sq_json_schema *schema; /* NULL: the check reads the body */
    bool id; /* the second part of the path is an ID */
    /* Optional: what else makes a request malformed, whatever the state. */
    bool (*check)(struct sq_call *call);
    /* Carries it out. False with call->fault filled. */
    bool (*run)(struct sq_call *call);
    /* Metrics, SQ_M_NONE for none: requests, and malformed ones. */
    enum sq_metric count, fails;
};

struct sq_call {
    struct sq_api *api;
    const struct sq_http_request *request;
    const struct sq_endpoint *endpoint;
    char path[SQ_HTTP_LINE_MAX]; /* cut into tokens */
    const char *token[SQ_CALL_TOKENS_MAX]; /* NULL: there is none */
    union sq_body body;
    json_t *tree; /* of the body; or NULL */
    bool started; /* the guest was, when the request came */
    /* The answer. */
    struct sq_fault fault;
    const char *deprecated; /* why it is, or NULL */
    const char *timed; /* "pause vm": the log tells how long it took */
    char *reply; /* JSON for status 200; NULL: 204 */
};

extern const struct sq_endpoint sq_endpoints[];
extern const size_t sq_endpoint_count;

/* The tree, which is taken over, as the reply. False: out of memory. */
bool sq_call_reply(struct sq_call *call, json_t *tree);

/* handlers*.c: what the table refers to. */
unsigned sq_states_of_action(const struct sq_call *call);

bool sq_check_balloon_path(struct sq_call *call);
bool sq_check_drive(struct sq_call *call);
bool sq_check_drive_patch(struct sq_call *call);
bool sq_check_hinting(struct sq_call *call);
bool sq_check_hinting_path(struct sq_call *call);
bool sq_check_machine(struct sq_call *call);
bool sq_check_machine_patch(struct sq_call *call);
bool sq_check_mmds(struct sq_call *call);
bool sq_check_mmds_config(struct sq_call *call);
bool sq_check_mmds_path(struct sq_call *call);
bool sq_check_net(struct sq_call *call);
bool sq_check_net_patch(struct sq_call *call);
bool sq_check_pmem(struct sq_call *call);
bool sq_check_pmem_patch(struct sq_call *call);
bool sq_check_snapshot_load(struct sq_call *call);
bool sq_check_snapshot_path(struct sq_call *call);
bool sq_check_vsock(struct sq_call *call);

bool sq_run_action(struct sq_call *call);
bool sq_run_boot_source(struct sq_call *call);
bool sq_run_cpu_config(struct sq_call *call);
bool sq_run_drive(struct sq_call *call);
bool sq_run_entropy(struct sq_call *call);
bool sq_run_get_config(struct sq_call *call);
bool sq_run_get_info(struct sq_call *call);
bool sq_run_get_machine(struct sq_call *call);
bool sq_run_get_version(struct sq_call *call);
bool sq_run_logger(struct sq_call *call);
bool sq_run_machine(struct sq_call *call);
bool sq_run_metrics(struct sq_call *call);
bool sq_run_mmds_get(struct sq_call *call);
bool sq_run_mmds_patch(struct sq_call *call);
bool sq_run_mmds_put(struct sq_call *call);
bool sq_run_serial(struct sq_call *call);
bool sq_run_vm_state(struct sq_call *call);
bool sq_run_vsock(struct sq_call *call);

bool sq_run_balloon(struct sq_call *call);
bool sq_run_net(struct sq_call *call);

bool sq_run_balloon_get(struct sq_call *call);
bool sq_run_balloon_interval(struct sq_call *call);
bool sq_run_balloon_patch(struct sq_call *call);
bool sq_run_balloon_stats(struct sq_call *call);
bool sq_run_hinting_start(struct sq_call *call);
bool sq_run_hinting_status(struct sq_call *call);
bool sq_run_hinting_stop(struct sq_call *call);
bool sq_run_drive_patch(struct sq_call *call);
bool sq_run_net_patch(struct sq_call *call);

/* After the start: whether the device may come, and that it came. */
bool sq_check_plug(struct sq_call *call);
bool sq_run_plug(struct sq_call *call);
bool sq_run_unplug(struct sq_call *call);

bool sq_run_hotplug(struct sq_call *call);
bool sq_run_hotplug_get(struct sq_call *call);
bool sq_run_hotplug_patch(struct sq_call *call);
bool sq_run_mmds_config(struct sq_call *call);
bool sq_run_pmem(struct sq_call *call);
bool sq_run_pmem_patch(struct sq_call *call);
bool sq_run_snapshot_create(struct sq_call *call);
bool sq_run_snapshot_load(struct sq_call *call);

#endif
