/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to an answer. The order of the steps is part of what
 * clients see: path and method, the ID, the body, and only then whether the
 * machine is in a state for it.
 */
#define _GNU_SOURCE
#include "api/api.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define BAD_BODY "An error occurred when deserializing the json body of a " \
                 "request: %s."

/* --- finding the row --------------------------------------------------- */

/* Cuts the path at slashes; leading ones and a trailing one do not count. */
static void split(struct sq_call *call)
{
    char *p = call->path;

    snprintf(call->path, sizeof(call->path), "%s",
             call->request->path + strspn(call->request->path, "/"));
    for (size_t i = 0; *p && i < SQ_CALL_TOKENS_MAX; i++) {
        call->token[i] = p;
        p += strcspn(p, "/");
        if (*p)
            *p++ = '\0';
    }
    if (!call->token[0])
        call->token[0] = call->path; /* "" */
}

static bool part_fits(const char *want, const char *have)
{
    return !want || (have && strcmp(want, have) == 0);
}

static bool row_fits(const struct sq_endpoint *e, const struct sq_call *call)
{
    bool has_body = call->request->body != NULL;

    return e->method == call->request->method &&
           (e->body == SQ_MAYBE_BODY || has_body == (e->body == SQ_BODY)) &&
           part_fits(e->first, call->token[0]) &&
           part_fits(e->second, call->token[1]) &&
           part_fits(e->third, call->token[2]);
}

static bool find_row(struct sq_call *call)
{
    static const char *const wrong_body[] = {
        [SQ_HTTP_GET] = "GET request cannot have a body.",
        [SQ_HTTP_PUT] = "Empty PUT request.",
        [SQ_HTTP_PATCH] = "Empty PATCH request.",
        [SQ_HTTP_DELETE] = "Empty Delete request.",
    };
    enum sq_http_method method = call->request->method;
    bool wants_body = method == SQ_HTTP_PUT || method == SQ_HTTP_PATCH;

    for (size_t i = 0; i < sq_endpoint_count; i++) {
        if (row_fits(&sq_endpoints[i], call)) {
            call->endpoint = &sq_endpoints[i];
            return true;
        }
    }
    if (wants_body != (call->request->body != NULL))
        return sq_fault(&call->fault, "%s", wrong_body[method]);
    return sq_fault(&call->fault, "Invalid request method and/or path: %s "
                    "%s.", sq_http_method_name(method), call->token[0]);
}

/* --- checking the request ---------------------------------------------- */

static bool check_id(struct sq_call *call)
{
    const char *id = call->token[1];

    if (!call->endpoint->id)
        return true;
    if (!id || !id[0])
        return sq_fault(&call->fault, "The ID cannot be empty.");
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return sq_fault(&call->fault, "API Resource IDs can only "
                            "contain alphanumeric characters and "
                            "underscores.");
    return true;
}

static bool read_body(struct sq_call *call)
{
    char why[SQ_JSON_ERROR_MAX];

    if (!call->endpoint->schema || !call->request->body)
        return true;
    call->tree = sq_json_read(call->endpoint->schema, call->request->body,
                              call->request->body_len, &call->body, why);
    return call->tree ? true : sq_fault(&call->fault, BAD_BODY, why);
}

static bool check_state(struct sq_call *call)
{
    unsigned states = call->endpoint->states;

    if (call->endpoint->states_of)
        states = call->endpoint->states_of(call);
    if (states & (call->started ? SQ_POST : SQ_PRE))
        return true;
    return sq_fault(&call->fault, "The requested operation is not supported "
                    "%s starting the microVM.",
                    call->started ? "after" : "before");
}

static bool carry_out(struct sq_call *call)
{
    struct sq_metrics *metrics = &call->api->metrics;

    if (!find_row(call))
        return false;
    sq_metrics_add(metrics, call->endpoint->count, 1);
    if (!check_id(call) || !read_body(call) ||
        (call->endpoint->check && !call->endpoint->check(call))) {
        sq_metrics_add(metrics, call->endpoint->fails, 1);
        return false;
    }
    return check_state(call) && call->endpoint->run(call);
}

/* --- answering --------------------------------------------------------- */

static void log_request(struct sq_call *call)
{
    static const char *const names[] = {
        [SQ_HTTP_GET] = "Get",
        [SQ_HTTP_PUT] = "Put",
        [SQ_HTTP_PATCH] = "Patch",
        [SQ_HTTP_DELETE] = "Delete",
    };
    const struct sq_http_request *r = call->request;
    json_t *body = NULL, *path = json_string(r->path);
    char *quoted, *where = json_dumps(path, JSON_ENCODE_ANY);
    bool template = r->body && strcmp(r->path, "/cpu-config") == 0 &&
                    call->api->log.level < SQ_LOG_DEBUG;

    /* What the guest is told is not for the log. */
    if (r->body && strcmp(r->path, "/mmds") != 0 && !template)
        body = json_stringn(r->body, r->body_len);
    quoted = body ? json_dumps(body, JSON_ENCODE_ANY) : NULL;
    sq_log_info(&call->api->log, "The API server received a %s request on "
                "%s%s%s%s.", names[r->method], where ? where : "?",
                quoted ? " with body " : "", quoted ? quoted : "",
                template ? ". To view the CPU template received by the API, "
                           "configure log-level to DEBUG" : "");
    free(quoted);
    free(where);
    json_decref(body);
    json_decref(path);
}

static const char *status_name(unsigned status)
{
    return status == 413 ? "Payload too large" : "Bad Request";
}

void sq_api_answer(void *ctx, const struct sq_http_request *request,
                   struct sq_api_answer *answer)
{
    struct sq_api *api = ctx;
    struct sq_call *call = calloc(1, sizeof(*call));
    uint64_t began_ns;
    json_t *fault;

    if (!call) {
        answer->status = 400;
        return;
    }
    call->api = api;
    call->request = request;
    call->started = sq_control_started(api->control);
    began_ns = sq_now_ns();
    split(call);
    log_request(call);
    if (carry_out(call)) {
        answer->status = call->reply ? 200 : 204;
        answer->body = call->reply;
        sq_log_info(&api->log, "The request was executed successfully. "
                    "Status code: %s.", call->reply ? "200 OK"
                                                    : "204 No Content");
        if (call->timed)
            sq_log_info(&api->log, "'%s' API request took %" PRIu64 " us.",
                        call->timed, (sq_now_ns() - began_ns) / 1000);
    } else {
        sq_log_error(&api->log, "Received Error. Status code: %u %s. "
                     "Message: %s", call->fault.status,
                     status_name(call->fault.status), call->fault.text);
        answer->status = call->fault.status;
        fault = json_pack("{s:s}", "fault_message", call->fault.text);
        answer->body = fault ? json_dumps(fault, JSON_COMPACT) : NULL;
        json_decref(fault);
    }
    if (call->deprecated)
        sq_log_warn(&api->log, "%s", call->deprecated);
    answer->deprecated = call->deprecated != NULL;
    json_decref(call->tree);
    free(call);
}

/* --- life -------------------------------------------------------------- */

int sq_api_init(struct sq_api *api, const char *id, struct squib_error *err)
{
    memset(api, 0, sizeof(*api));
    snprintf(api->id, sizeof(api->id), "%s", id);
    sq_log_init(&api->log, id);
    sq_metrics_init(&api->metrics, id);
    return sq_resources_init(&api->resources, err);
}

int sq_api_limit(struct sq_api *api, size_t payload_max, size_t mmds_max,
                 struct squib_error *err)
{
    api->payload_max = payload_max;
    return sq_mmds_new(mmds_max, &api->mmds, err);
}

void sq_api_fini(struct sq_api *api)
{
    sq_mmds_free(api->mmds);
    sq_resources_fini(&api->resources);
    sq_metrics_fini(&api->metrics);
    sq_log_fini(&api->log);
}

int sq_api_listen(struct sq_api *api, const char *path,
                  struct squib_error *err)
{
    struct sq_api_server_config config = {
        .path = path,
        .payload_max = api->payload_max,
        .answer = sq_api_answer,
        .ctx = api,
        .confine = api->confine,
    };

    int rc = sq_api_server_new(&config, &api->server, err);

    if (!rc)
        api->flush_on = sq_api_server_poller(api->server);
    return rc;
}

/* Puts upstream's words for the part that failed in front. */
static void name_part(struct squib_error *err)
{
    static const struct {
        const char *starts, *part;
    } parts[] = {
        {"kernel ", "System configuration error: Cannot load kernel due to "
                    "invalid memory configuration or invalid kernel image: "},
        {"initrd ", "Error with initrd initialization: Cannot load initrd "
                    "due to an invalid image: "},
        {"pmem ", "Cannot create pmem device: Error accessing backing file: "},
        {"at most 19 virtio devices ", "Could not attach device: Could not "
                                       "allocate GSI: The requested resource "
                                       "is not available. "},
        {"all 31 places on the PCI bus ", "Could not attach device: Could not "
                                          "find an available device slot on "
                                          "the PCI bus. "},
        {"the kernel command line ", "Invalid kernel command line: Inserting "
                                     "string would make command line too "
                                     "long. "},
        {"cannot open serial output ", "Failed to create device manager: "},
    };

    for (size_t i = 0; i < SQ_ARRAY_LEN(parts); i++) {
        if (strncmp(err->text, parts[i].starts,
                    strlen(parts[i].starts)) == 0) {
            sq_err_prefix(err, "%s", parts[i].part);
            return;
        }
    }
}

int sq_api_boot(struct sq_api *api,
                int (*boot)(struct sq_control *control,
                            const struct sq_vm_spec *spec,
                            struct squib_error *err),
                struct squib_error *err)
{
    struct sq_vm_spec *spec = calloc(1, sizeof(*spec));
    int rc;

    if (!spec)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = sq_resources_to_spec(&api->resources, spec, err);
    if (!rc) {
        spec->boot_timer = api->boot_timer;
        sq_resources_release(&api->resources);
        rc = boot(api->control, spec, err);
        if (rc)
            sq_resources_retake(&api->resources);
    }
    if (rc)
        name_part(err);
    free(spec);
    return rc;
}

static void on_flush(void *ctx, uint64_t now_ns)
{
    struct sq_api *api = ctx;

    if (sq_api_flush_metrics(api))
        sq_log_error(&api->log, "Failed to write metrics.");
    if (api->flush_on)
        sq_timer_arm(api->flush_on, &api->flush,
                     now_ns + SQ_METRICS_PERIOD_NS);
}

void sq_api_start_metrics(struct sq_api *api)
{
    if (api->flush.fn)
        return;
    api->flush.fn = on_flush;
    api->flush.ctx = api;
    on_flush(api, sq_now_ns());
}

int sq_api_start(struct sq_api *api, struct squib_error *err)
{
    if (sq_control_started(api->control))
        sq_api_start_metrics(api);
    return sq_api_server_start(api->server, err);
}

void sq_api_stop(struct sq_api *api)
{
    if (!api->server)
        return;
    api->flush_on = NULL;
    sq_api_server_free(api->server);
    api->server = NULL;
}
