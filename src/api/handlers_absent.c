/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about devices and features that this machine cannot have yet:
 * they are checked like all others, and then refused with a word on what is
 * missing. Requests to change such a device find that it is not there.
 */
#include <string.h>

#include "api/call.h"

/* --- balloon ----------------------------------------------------------- */

bool sq_check_balloon_path(struct sq_call *call)
{
    const char *second = call->token[1];

    if (!second)
        return true;
    if (strcmp(second, "hinting") == 0)
        return sq_fault(&call->fault, "Unrecognized GET request path "
                        "`/hinting/%s`.",
                        call->token[2] ? call->token[2] : "");
    return sq_fault(&call->fault, "Unrecognized GET request path `%s`.",
                    second);
}

bool sq_check_hinting_path(struct sq_call *call)
{
    return sq_fault(&call->fault, "Unrecognized PATCH request path "
                    "`/hinting/%s`.", call->token[2] ? call->token[2] : "");
}

bool sq_check_hinting(struct sq_call *call)
{
    char why[SQ_JSON_ERROR_MAX];

    if (!call->request->body)
        return true;
    call->tree = sq_json_read(&sq_balloon_hinting_schema,
                              call->request->body, call->request->body_len,
                              &call->body, why);
    if (call->tree)
        return true;
    return sq_fault(&call->fault, "An error occurred when deserializing the "
                    "json body of a request: %s.", why);
}

/* --- snapshots --------------------------------------------------------- */

bool sq_check_snapshot_path(struct sq_call *call)
{
    if (!call->token[1])
        return sq_fault(&call->fault, "Missing snapshot operation type.");
    return sq_fault(&call->fault, "Invalid request method and/or path: PUT "
                    "/snapshot/%s.", call->token[1]);
}

bool sq_check_snapshot_load(struct sq_call *call)
{
    static const char before[] = "An error occurred when deserializing the "
                                 "json body of a request: ";
    const struct sq_body_snapshot_load *b = &call->body.snapshot_load;

    if (b->mem_backend.part.set && b->mem_file_path)
        return sq_fault(&call->fault, "%stoo many fields: either "
                        "`mem_backend` or `mem_file_path` exclusively is "
                        "required.", before);
    if (!b->mem_backend.part.set && !b->mem_file_path)
        return sq_fault(&call->fault, "%smissing field: either "
                        "`mem_backend` or `mem_file_path` is required.",
                        before);
    if (b->mem_file_path || b->enable_diff_snapshots.v) {
        call->deprecated = "PUT /snapshot/load: mem_file_path and "
                           "enable_diff_snapshots fields are deprecated.";
        sq_metrics_add(&call->api->metrics,
                       SQ_M_deprecated_api_deprecated_http_api_calls, 1);
    }
    return true;
}

bool sq_run_snapshot_create(struct sq_call *call)
{
    if (sq_control_state(call->api->control) != SQUIB_WIRE_PAUSED)
        return sq_fault(&call->fault, "Create snapshot error: Cannot save "
                        "the microVM state: Operation not allowed: "
                        "save/restore unavailable while running");
    return sq_fault(&call->fault, "Create snapshot error: snapshots are not "
                    "supported yet");
}

bool sq_run_snapshot_load(struct sq_call *call)
{
    if (call->api->resources.boot_path)
        return sq_fault(&call->fault, "Load snapshot error: Loading a "
                        "microVM snapshot not allowed after configuring "
                        "boot-specific resources.");
    return sq_fault(&call->fault, "Load snapshot error: snapshots are not "
                    "supported yet");
}
