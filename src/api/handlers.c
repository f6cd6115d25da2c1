/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that configure and drive the machine. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <squib/squib.h>

#include "api/call.h"
#include "os/clock.h"

bool sq_call_reply(struct sq_call *call, json_t *tree)
{
    call->reply = tree ? sq_json_text(tree) : NULL;
    json_decref(tree);
    return call->reply ? true
                       : sq_fault(&call->fault, "Internal VMM error: out of "
                                  "memory");
}

static bool deprecated(struct sq_call *call, const char *what)
{
    call->deprecated = what;
    sq_metrics_add(&call->api->metrics,
                   SQ_M_deprecated_api_deprecated_http_api_calls, 1);
    return true;
}

/* --- about the machine ------------------------------------------------- */

bool sq_run_get_info(struct sq_call *call)
{
    enum squib_wire_state state = sq_control_state(call->api->control);

    return sq_call_reply(call, json_pack("{s:s, s:s, s:s, s:s}",
                                         "id", call->api->id,
                                         "state", squib_wire_name(state),
                                         "vmm_version", squib_version(),
                                         "app_name", "Firecracker"));
}

bool sq_run_get_version(struct sq_call *call)
{
    return sq_call_reply(call, json_pack("{s:s}", "firecracker_version",
                                         squib_version()));
}

bool sq_run_get_config(struct sq_call *call)
{
    return sq_call_reply(call, sq_resources_show(&call->api->resources,
                                                 call->api->mmds));
}

bool sq_run_get_machine(struct sq_call *call)
{
    return sq_call_reply(call,
                         sq_resources_show_machine(&call->api->resources));
}

/* --- configuration ----------------------------------------------------- */

bool sq_check_machine(struct sq_call *call)
{
    if (call->body.machine.cpu_template.set)
        deprecated(call, "PUT /machine-config: cpu_template field is "
                   "deprecated.");
    return true;
}

bool sq_check_machine_patch(struct sq_call *call)
{
    const struct sq_body_machine *b = &call->body.machine_patch;

    if (!b->vcpu_count.set && !b->mem_size_mib.set && !b->smt.set &&
        !b->cpu_template.set && !b->track_dirty_pages.set &&
        !b->huge_pages.set)
        return sq_fault(&call->fault, "Empty PATCH request.");
    if (b->cpu_template.set)
        deprecated(call, "PATCH /machine-config: cpu_template field is "
                   "deprecated.");
    return true;
}

bool sq_run_machine(struct sq_call *call)
{
    struct sq_body_machine b = call->body.machine;

    if (call->request->method == SQ_HTTP_PUT) {
        b.smt.set = true; /* what is left out is reset */
        b.track_dirty_pages.set = true;
        b.huge_pages.set = true;
    }
    return sq_resources_machine(&call->api->resources, &b, &call->fault);
}

bool sq_run_cpu_config(struct sq_call *call)
{
    return sq_resources_cpu(&call->api->resources, &call->body.cpu_config,
                            &call->fault);
}

bool sq_run_boot_source(struct sq_call *call)
{
    return sq_resources_boot_source(&call->api->resources,
                                    &call->body.boot_source, &call->fault);
}

/* The ID in the path is that in the body. */
static bool same_id(struct sq_call *call, const char *id)
{
    if (strcmp(call->token[1], id) == 0)
        return true;
    return sq_fault(&call->fault, "The id from the path does not match the "
                    "id from the body!");
}

bool sq_check_drive(struct sq_call *call)
{
    return same_id(call, call->body.drive.drive_id);
}

bool sq_check_drive_patch(struct sq_call *call)
{
    return same_id(call, call->body.drive_patch.drive_id);
}

bool sq_check_pmem(struct sq_call *call)
{
    return same_id(call, call->body.pmem.id);
}

bool sq_check_pmem_patch(struct sq_call *call)
{
    return same_id(call, call->body.pmem_patch.id);
}

bool sq_run_drive(struct sq_call *call)
{
    if (call->started && !sq_check_plug(call))
        return false;
    if (call->started && call->body.drive.is_root_device.v)
        return sq_fault(&call->fault, "Drive config error: A root block "
                        "device already exists!");
    return sq_resources_drive(&call->api->resources, &call->body.drive,
                              &call->fault) &&
           (!call->started || sq_run_plug(call));
}

static bool same_iface_id(struct sq_call *call, const char *id)
{
    if (strcmp(call->token[1], id) == 0)
        return true;
    return sq_fault(&call->fault, "The id from the path [%s] does not match "
                    "the id from the body [%s]!", call->token[1], id);
}

bool sq_check_net(struct sq_call *call)
{
    return same_iface_id(call, call->body.net.iface_id);
}

bool sq_check_net_patch(struct sq_call *call)
{
    return same_iface_id(call, call->body.net_patch.iface_id);
}

bool sq_run_net(struct sq_call *call)
{
    if (call->started && !sq_check_plug(call))
        return false;
    return sq_resources_net(&call->api->resources, &call->body.net,
                            &call->fault) &&
           (!call->started || sq_run_plug(call));
}

bool sq_run_pmem(struct sq_call *call)
{
    if (call->started && !sq_check_plug(call))
        return false;
    if (call->started && call->body.pmem.root_device.v)
        return sq_fault(&call->fault, "Pmem config error: Attempt to add "
                        "pmem as a root device while the root device "
                        "defined as a block device");
    return sq_resources_pmem(&call->api->resources, &call->body.pmem,
                             &call->fault) &&
           (!call->started || sq_run_plug(call));
}

bool sq_run_balloon(struct sq_call *call)
{
    return sq_resources_balloon(&call->api->resources, &call->body.balloon,
                                &call->fault);
}

bool sq_check_vsock(struct sq_call *call)
{
    if (call->body.vsock.vsock_id)
        deprecated(call, "PUT /vsock: vsock_id field is deprecated.");
    return true;
}

bool sq_run_vsock(struct sq_call *call)
{
    return sq_resources_vsock(&call->api->resources, &call->body.vsock,
                              &call->fault);
}

bool sq_run_entropy(struct sq_call *call)
{
    return sq_resources_entropy(&call->api->resources, &call->body.entropy,
                                &call->fault);
}

bool sq_run_serial(struct sq_call *call)
{
    return sq_resources_serial(&call->api->resources, &call->body.serial,
                               &call->fault);
}

bool sq_run_logger(struct sq_call *call)
{
    const struct sq_body_logger *b = &call->body.logger;
    struct sq_log_change change = {
        .path = b->log_path,
        .module = b->module,
        .level = b->level ? sq_log_level(b->level) : -1,
        .show_level = b->show_level.set ? (int)b->show_level.v : -1,
        .show_origin = b->show_log_origin.set ? (int)b->show_log_origin.v
                                              : -1,
    };
    int e = sq_log_configure(&call->api->log, &change);

    if (!e)
        return true;
    return sq_fault(&call->fault, "Logger error: Failed to open target "
                    "file: %s", sq_os_text(e).text);
}

bool sq_run_metrics(struct sq_call *call)
{
    return sq_metrics_configure(&call->api->metrics, &call->body.metrics,
                                &call->fault);
}

/* --- metadata ---------------------------------------------------------- */

bool sq_check_mmds(struct sq_call *call)
{
    char why[SQ_JSON_ERROR_MAX];

    call->tree = sq_json_read_any(call->request->body,
                                  call->request->body_len, why);
    if (call->tree)
        return true;
    return sq_fault(&call->fault, "An error occurred when deserializing the "
                    "json body of a request: %s.", why);
}

bool sq_check_mmds_path(struct sq_call *call)
{
    if (call->token[1])
        return sq_fault(&call->fault, "Unrecognized PUT request path `%s`.",
                        call->token[1]);
    return sq_check_mmds(call);
}

bool sq_check_mmds_config(struct sq_call *call)
{
    if (call->body.mmds_config.version.v == SQ_MMDS_V1)
        deprecated(call, "PUT /mmds/config: V1 is deprecated. Use V2 "
                   "instead.");
    return true;
}

bool sq_run_mmds_config(struct sq_call *call)
{
    const struct sq_body_mmds_config *b = &call->body.mmds_config;
    struct sq_mmds_config config = {
        .version = (enum sq_mmds_version)b->version.v,
        .ipv4 = {169, 254, 169, 254},
        .imds_compat = b->imds_compat.v,
    };

    call->api->resources.boot_path = true;
    if (b->ipv4_address && !sq_mmds_parse_ipv4(b->ipv4_address, config.ipv4))
        return sq_fault(&call->fault, "MMMDS config error: The MMDS IPv4 "
                        "address is not link local.");
    if (!sq_resources_mmds(&call->api->resources, b, &call->fault))
        return false;
    sq_mmds_configure(call->api->mmds, &config);
    return true;
}

/* Once the guest runs, the data is there only if a device shows it. */
static bool mmds_reachable(struct sq_call *call)
{
    if (!call->started || sq_resources_has_mmds(&call->api->resources))
        return true;
    return sq_fault(&call->fault, "MMDS error: The MMDS data store is not "
                    "initialized.");
}

static bool mmds_result(struct sq_call *call, int rc,
                        const struct squib_error *err)
{
    if (rc == SQUIB_E_RANGE) {
        sq_fault(&call->fault, "MMDS limit exceeded error: %s", err->text);
        call->fault.status = 413;
        return false;
    }
    return rc ? sq_fault(&call->fault, "MMDS error: %s", err->text) : true;
}

bool sq_run_mmds_get(struct sq_call *call)
{
    if (!mmds_reachable(call))
        return false;
    call->reply = sq_mmds_get(call->api->mmds);
    return call->reply ? true : sq_fault(&call->fault, "MMDS error: out of "
                                         "memory");
}

bool sq_run_mmds_put(struct sq_call *call)
{
    struct squib_error err = {0};

    return mmds_reachable(call) &&
           mmds_result(call, sq_mmds_put(call->api->mmds, call->tree, &err),
                       &err);
}

bool sq_run_mmds_patch(struct sq_call *call)
{
    struct squib_error err = {0};

    return mmds_reachable(call) &&
           mmds_result(call,
                       sq_mmds_patch(call->api->mmds, call->tree, &err),
                       &err);
}

/* --- actions ----------------------------------------------------------- */

static bool start(struct sq_call *call)
{
    struct squib_error err = {0};

    if (sq_api_boot(call->api, sq_control_start, &err))
        return sq_fault(&call->fault, "Start microvm error: %s", err.text);
    sq_api_start_metrics(call->api);
    return true;
}

static bool flush_now(struct sq_call *call)
{
    int e = sq_api_flush_metrics(call->api);

    if (!e)
        return true;
    return sq_fault(&call->fault, "Internal VMM error: Metrics error: "
                    "Failed to write metrics: %s", sq_os_text(e).text);
}

static bool ctrl_alt_del(struct sq_call *call)
{
    struct sq_vmm *vmm = sq_control_vmm(call->api->control);

    if (vmm && sq_vmm_ctrl_alt_del(vmm))
        return true;
    /* Upstream types into the buffer whether or not anybody reads it. */
    sq_log_warn(&call->api->log, "The guest does not read its keyboard.");
    return true;
}

unsigned sq_states_of_action(const struct sq_call *call)
{
    return call->body.action.action_type.v == SQ_INSTANCE_START ? SQ_PRE
                                                                : SQ_POST;
}

bool sq_run_action(struct sq_call *call)
{
    switch ((enum sq_action)call->body.action.action_type.v) {
    case SQ_INSTANCE_START: return start(call);
    case SQ_FLUSH_METRICS: return flush_now(call);
    case SQ_CTRL_ALT_DEL: return ctrl_alt_del(call);
    }
    return false;
}

/* Event thread. Pausing what is paused is fine, and so is resuming. */
static int pause_now(struct sq_vmm *vmm, void *data, struct squib_error *err)
{
    (void)data;
    return sq_vmm_phase(vmm) == SQUIB_PHASE_PAUSED ? 0
                                                   : sq_vmm_pause(vmm, err);
}

static int resume_now(struct sq_vmm *vmm, void *data,
                      struct squib_error *err)
{
    (void)data;
    return sq_vmm_phase(vmm) == SQUIB_PHASE_RUNNING
               ? 0
               : sq_vmm_resume(vmm, err);
}

bool sq_run_vm_state(struct sq_call *call)
{
    bool pause = call->body.vm_state.state.v == SQ_VM_PAUSED;
    uint64_t since_ns = sq_now_ns(), us;
    struct squib_error err = {0};
    int rc = sq_control_call(call->api->control,
                             pause ? pause_now : resume_now, NULL, 0, &err);

    if (rc)
        return sq_fault(&call->fault, "Internal VMM error: Failed to %s the "
                        "vCPUs: %s", pause ? "pause" : "resume", err.text);
    us = (sq_now_ns() - since_ns) / 1000;
    sq_metrics_set(&call->api->metrics, pause ? SQ_M_latencies_us_pause_vm
                                              : SQ_M_latencies_us_resume_vm,
                   us);
    sq_metrics_set(&call->api->metrics,
                   pause ? SQ_M_latencies_us_vmm_pause_vm
                         : SQ_M_latencies_us_vmm_resume_vm, us);
    call->timed = pause ? "pause vm" : "resume vm";
    sq_log_info(&call->api->log, "'%s vm' VMM action took %" PRIu64 " us.",
                pause ? "pause" : "resume", us);
    return true;
}
