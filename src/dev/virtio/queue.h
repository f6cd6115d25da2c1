/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, device side (virtio 1.2, section 2.7).
 *
 * The guest owns every byte of the rings and is not trusted. Each ring
 * field is read once, into host memory, before it is checked; a chain comes
 * out as arrays of host pointers that lie within guest memory for sure.
 * Contents of the buffers are the device's business.
 *
 * A queue has no lock: its device's mutex covers it (see device.h).
 */
#ifndef SQ_DEV_VIRTIO_QUEUE_H
#define SQ_DEV_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/memory.h"

/* The largest queue a device may offer, and the most descriptors that one
 * chain may have, indirect ones included. */
#define SQ_QUEUE_SIZE_MAX 256u

/* Pieces of one chain: a descriptor that crosses from one memory region
 * into an adjacent one gives two. */
#define SQ_CHAIN_PIECES_MAX (SQ_QUEUE_SIZE_MAX + 32u)

struct sq_queue {
    /* Set by the transport while the queue is not ready. */
    uint16_t size_max; /* offered; power of two <= SQ_QUEUE_SIZE_MAX */
    uint16_t size;     /* chosen by the driver */
    uint64_t desc_gpa, avail_gpa, used_gpa;

    /* Set by sq_queue_start(). */
    bool ready;
    bool broken; /* the driver broke the rules: silent until reset */
    bool event_idx, indirect; /* negotiated features */
    struct squib_memory *mem;
    uint8_t *desc, *avail, *used;

    uint16_t next_avail; /* free-running, as in the rings */
    uint16_t next_used;
    uint16_t signalled; /* next_used when the driver was last told */
    bool quiet;         /* the driver was asked not to notify */
};

/*
 * One chain of descriptors. The first `readable` pieces are for the device
 * to read, the others for it to write (2.7.4.2 demands that order).
 * Zero-length descriptors are left out. Pointers stay valid until the
 * chain is pushed; after a reset they still point into guest memory.
 */
struct sq_chain {
    uint16_t head;
    uint16_t count;
    uint16_t readable;
    uint64_t readable_len; /* bytes */
    uint64_t writable_len;
    struct iovec iov[SQ_CHAIN_PIECES_MAX];
    uint64_t gpa[SQ_CHAIN_PIECES_MAX]; /* of iov[i].iov_base */
};

/* What sq_queue_pop() found. */
enum sq_queue_result {
    SQ_QUEUE_EMPTY = 0,
    SQ_QUEUE_CHAIN = 1,
    SQ_QUEUE_BROKEN = -1,
};

/* Back to the state after reset; size_max is kept. */
void sq_queue_reset(struct sq_queue *q);

/* Checks size, alignment and that all three rings are guest memory, and
 * starts the queue. False when the driver's values are not acceptable. */
bool sq_queue_start(struct sq_queue *q, struct squib_memory *mem,
                    bool event_idx, bool indirect);

/* Whether the queue runs and has a ring in that range. */
bool sq_queue_lies_in(const struct sq_queue *q, struct squib_range range);

/* Takes the next available chain. SQ_QUEUE_BROKEN for an index jump, a bad
 * head, a loop, a chain or indirect table that is too long, a buffer
 * outside memory, nested indirection or readable after writable; the queue
 * then stays broken. SQ_QUEUE_EMPTY also when it is not ready. */
enum sq_queue_result sq_queue_pop(struct sq_queue *q,
                                  struct sq_chain *chain);

/* How many chains the driver has made available beyond the last pop: what it
 * says, which is at most as many as it can. */
uint16_t sq_queue_waiting(const struct sq_queue *q);

/* Gives back the chain that the last pop took, as if it had not. */
void sq_queue_unpop(struct sq_queue *q);

/* Returns a chain to the driver; `written` is the number of bytes the
 * device wrote, counted from the start of the writable part. */
void sq_queue_push(struct sq_queue *q, uint16_t head, uint32_t written);

/* What a device returns: a chain's head and the bytes written to it. */
struct sq_used {
    uint16_t head;
    uint32_t written;
};

/* Returns several chains, which the driver sees all at once. */
void sq_queue_push_all(struct sq_queue *q, const struct sq_used *used,
                       unsigned count);

/* Whether the driver wants an interrupt for what was pushed since the last
 * call (2.7.7, 2.7.10). Call once after a batch. */
bool sq_queue_needs_interrupt(struct sq_queue *q);

/* Asks the driver not to notify: the device is looking anyway. */
void sq_queue_quiet(struct sq_queue *q);

/* Asks for a notification of the next chain. True when chains are already
 * there, which need no notification: pop them. */
bool sq_queue_rearm(struct sq_queue *q);

/* Copies bytes [off, off + len) of the readable part out. Returns how many
 * there were. */
size_t sq_chain_read(const struct sq_chain *chain, uint64_t off, void *dst,
                     size_t len);

/* Copies into bytes [off, off + len) of the writable part and reports the
 * write to `mem`. Returns how many fitted. */
size_t sq_chain_write(const struct sq_chain *chain, struct squib_memory *mem,
                      uint64_t off, const void *src, size_t len);

/* Reports a write that was done through the iovecs. */
void sq_chain_wrote(const struct sq_chain *chain, struct squib_memory *mem,
                    uint64_t off, uint64_t len);

/* The pieces that make up bytes [off, off + len) of the readable or the
 * writable part, in out[SQ_CHAIN_PIECES_MAX]. Returns their number. */
unsigned sq_chain_slice(const struct sq_chain *chain, bool writable,
                        uint64_t off, uint64_t len, struct iovec *out);

#endif
