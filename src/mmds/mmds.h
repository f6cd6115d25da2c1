/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service: a JSON document that the host sets and the guest
 * reads over HTTP at a link-local address, answered inside the network
 * device. Behaviour and texts are those of Firecracker's MMDS (its
 * docs/mmds/mmds-user-guide.md).
 *
 *   struct sq_mmds      the document, its settings and tokens: one a machine
 *   struct sq_mmds_net  an address that answers on one interface
 *
 * Threads: sq_mmds may be used from any; `mutex` inside it is a leaf.
 * sq_mmds_net belongs to the event thread.
 */
#ifndef SQ_MMDS_MMDS_H
#define SQ_MMDS_MMDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <squib/error.h>

#define SQ_MMDS_LIMIT_DEFAULT 51200u /* bytes of compact JSON */
#define SQ_MMDS_TTL_MAX_S 21600u

enum sq_mmds_version {
    SQ_MMDS_V1, /* anyone may read */
    SQ_MMDS_V2, /* a token is needed, got by PUT /latest/api/token */
};

struct sq_mmds_config {
    enum sq_mmds_version version;
    uint8_t ipv4[4];  /* see sq_mmds_parse_ipv4() */
    bool imds_compat; /* always the IMDS text format */
};

/* Only ever grow; named as Firecracker's metrics. */
struct sq_mmds_counters {
    _Atomic uint64_t rx_accepted, rx_accepted_err, rx_accepted_unusual;
    _Atomic uint64_t rx_bad_eth, rx_invalid_token, rx_no_token, rx_count;
    _Atomic uint64_t tx_bytes, tx_count, tx_errors, tx_frames;
    _Atomic uint64_t connections_created, connections_destroyed;
};

struct sq_mmds;

/* An empty store for documents of up to limit_len bytes, V1 at
 * 169.254.169.254. Errors: SQUIB_E_NOMEM, SQUIB_E_OS (no random bytes). */
int sq_mmds_new(size_t limit_len, struct sq_mmds **out,
                struct squib_error *err);
/* After every sq_mmds_net of it. NULL is allowed. */
void sq_mmds_free(struct sq_mmds *m);

/* Takes effect for requests that follow. The defaults are what sq_mmds_new()
 * sets. */
void sq_mmds_configure(struct sq_mmds *m,
                       const struct sq_mmds_config *config);
struct sq_mmds_config sq_mmds_config(struct sq_mmds *m);

/* "169.254.x.y", x from 1 to 254; false for anything else. */
bool sq_mmds_parse_ipv4(const char *text, uint8_t ipv4[4]);

/* Replaces the document; any JSON value, which is copied. Errors:
 * SQUIB_E_RANGE (larger than the limit), SQUIB_E_NOMEM. Texts are upstream's
 * and need only its prefix. */
int sq_mmds_put(struct sq_mmds *m, const json_t *value,
                struct squib_error *err);
/* Merges into it (RFC 7396); all or nothing. Errors also: SQUIB_E_STATE
 * (nothing was put yet). */
int sq_mmds_patch(struct sq_mmds *m, const json_t *patch,
                  struct squib_error *err);
/* sq_mmds_put() of a text, as of --metadata. Errors also: SQUIB_E_FORMAT. */
int sq_mmds_load(struct sq_mmds *m, const char *text, size_t len,
                 struct squib_error *err);
/* The document as compact JSON with sorted keys, "{}" before there is one;
 * NUL-terminated, for the caller to free(). NULL: out of memory. */
char *sq_mmds_get(struct sq_mmds *m);
bool sq_mmds_initialized(struct sq_mmds *m);

const struct sq_mmds_counters *sq_mmds_counters(const struct sq_mmds *m);

/* ---- On an interface ---- */

struct sq_mmds_net;

/* Errors: SQUIB_E_NOMEM. */
int sq_mmds_net_new(struct sq_mmds *m, struct sq_mmds_net **out,
                    struct squib_error *err);
void sq_mmds_net_free(struct sq_mmds_net *net);

/* How many bytes of a frame sq_mmds_net_wants() looks at. */
#define SQ_MMDS_HEAD_LEN 42u

/* Whether an Ethernet frame of the guest that begins with these bytes is
 * for the service: ARP that asks for its address, or IPv4 to it. */
bool sq_mmds_net_wants(struct sq_mmds_net *net, const uint8_t *head,
                       size_t len);
/* Such a frame, whole. Checksums are not looked at: the guest may have left
 * them to its device, and memory does not lose bits. */
void sq_mmds_net_take(struct sq_mmds_net *net, const uint8_t *frame,
                      size_t len);
/* Writes the next frame for the guest and returns its length; 0: none. To
 * be called after each take() until it says 0. cap is at least 9100. */
size_t sq_mmds_net_next(struct sq_mmds_net *net, uint8_t *frame, size_t cap);

#endif
