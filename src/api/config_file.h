/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's configuration file (--config-file): an object whose keys are
 * those that GET /vm/config shows. Each holds the body of a request, which
 * is read by that request's schema and carried out by its handler; only
 * logging differs. As upstream `boot-source` and `drives` are required and
 * keys that nobody knows are skipped.
 */
#ifndef SQ_API_CONFIG_FILE_H
#define SQ_API_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "api/fault.h"

/* A file larger than this is refused. */
#define SQ_CONFIG_FILE_MAX (1024u * 1024u)

/* Reads a file of at most SQ_CONFIG_FILE_MAX bytes; a NUL follows them. The
 * caller frees *out. 0 or an errno (EFBIG: it is larger). */
int sq_config_file_slurp(const char *path, char **out, size_t *out_len);

/* Configures the machine, the log and the metrics as text[text_len], which a
 * NUL follows, says. False with *fault in upstream's words. What was read
 * before the fault stays configured. Before the API thread runs. */
bool sq_config_file_apply(struct sq_api *api, const char *text,
                          size_t text_len, struct sq_fault *fault);

#endif
