/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from one descriptor to another through a bounded buffer, driven by
 * the poller: 8-bit clean, with back-pressure, ends passed on.
 *
 *   source ends      what is buffered goes out, then the sink is shut down
 *                    for writing (if it is a socket of ours)
 *   sink goes away   the source is closed for reading, so that its writer
 *                    learns of it; the buffer is dropped
 *
 * Descriptors that squib was started with are never made non-blocking,
 * because that would change them for the other processes that share them.
 * They are only touched when poll() says that they will not block.
 *
 * Event thread only.
 */
#ifndef SQ_CLI_STREAM_H
#define SQ_CLI_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/poller.h"

#define SQ_STREAM_BUFFER 65536u

struct sq_stream;

/* A descriptor and the streams at it: one that reads it, one that writes
 * it, either may be absent. */
struct sq_end {
    int fd; /* -1: closed */
    bool ours;    /* non-blocking socket that we close */
    bool file;    /* poll cannot watch it: always ready */
    bool watched;
    unsigned events;
    struct sq_poller *poller;
    struct sq_stream *reader, *writer;
    struct sq_work again; /* for files */
};

struct sq_stream {
    struct sq_end *source, *sink;
    size_t head, tail; /* the buffer holds [head, tail) */
    bool source_ended; /* end of file, or nobody wants more */
    bool done;         /* all is delivered, or the sink is gone */
    size_t skip;       /* bytes at the start that are not passed on ... */
    size_t skipped;
    uint8_t prefix[16]; /* ... but kept here (at most 16) */
    uint64_t moved;     /* bytes read so far */
    /* Optional. Looks at bytes just read and may remove some; returns how
     * many stay. */
    size_t (*filter)(void *ctx, uint8_t *bytes, size_t len);
    /* Optional. The prefix is complete; false ends the stream. */
    bool (*prefix_ok)(void *ctx, const uint8_t *prefix);
    /* Optional, called once when done. May free nothing of the stream. */
    void (*on_done)(void *ctx);
    void *ctx;
    uint8_t buffer[SQ_STREAM_BUFFER];
};

/* ours: the end owns fd, a non-blocking socket. */
void sq_end_init(struct sq_end *end, struct sq_poller *poller, int fd,
                 bool ours);
/* Stops watching; closes fd if it is ours. */
void sq_end_close(struct sq_end *end);

/* Connects the two ends; the callbacks have been set (zero the struct
 * before). Bytes move from the next round of the poller on. */
void sq_stream_start(struct sq_stream *s, struct sq_end *source,
                     struct sq_end *sink);

/* Takes no more from the source and drops what is buffered. */
void sq_stream_abandon(struct sq_stream *s);

#endif
