/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's socket: a listener, up to ten connections, and a thread of its
 * own that reads requests, has them answered one after the other, and writes
 * the answers. A client that reads slowly, or sends half a request, holds up
 * nobody but itself.
 */
#ifndef SQ_API_SERVER_H
#define SQ_API_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include <squib/error.h>

#include "api/http.h"
#include "os/confine.h"
#include "os/poller.h"

#define SQ_API_CONNECTIONS_MAX 10

struct sq_api_answer {
    unsigned status;
    bool deprecated;
    char *body; /* from malloc(), or NULL for none; the server frees it */
};

struct sq_api_server_config {
    const char *path;   /* of the socket */
    size_t payload_max; /* of a request's body, in bytes */
    /* API thread. Fills *answer, which is zeroed. */
    void (*answer)(void *ctx, const struct sq_http_request *request,
                   struct sq_api_answer *answer);
    void *ctx;
    const struct sq_confine *confine; /* of the thread; outlives it; or NULL */
};

struct sq_api_server;

/* Listens; clients can connect from now on. Errors: SQUIB_E_STATE (the path
 * is taken), SQUIB_E_INVAL (too long), SQUIB_E_OS, SQUIB_E_NOMEM. */
int sq_api_server_new(const struct sq_api_server_config *config,
                      struct sq_api_server **out, struct squib_error *err);

/* For timers of whoever answers; they run on the API thread. */
struct sq_poller *sq_api_server_poller(struct sq_api_server *s);

/* Starts the API thread, and returns when it is confined. Errors:
 * SQUIB_E_OS. */
int sq_api_server_start(struct sq_api_server *s, struct squib_error *err);

/* Ends the thread once the request at hand is answered. Not on the API
 * thread. */
void sq_api_server_stop(struct sq_api_server *s);

/* Stops, closes everything and removes the socket file if it is still ours.
 * NULL is allowed. */
void sq_api_server_free(struct sq_api_server *s);

#endif
