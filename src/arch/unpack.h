/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression of the formats in which kernels are packed.
 */
#ifndef SQ_ARCH_UNPACK_H
#define SQ_ARCH_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

/* No kernel unpacks to more than this. */
#define SQ_UNPACK_MAX ((size_t)1 << 30)

/* Takes the result piece by piece, in order. `used`: so many bytes of the
 * source are not needed any more. False: stop. */
struct sq_unpack_sink {
    bool (*take)(void *ctx, const uint8_t *data, size_t len, size_t used);
    void *ctx;
};

struct sq_unpack_format {
    const char *name; /* "lz4" */
    uint8_t magic[6];
    uint8_t magic_len;
    /* Unpacks src; bytes after the end of the stream are ignored. Returns a
     * text that says what is wrong, or NULL. The function is NULL for a
     * format that is known but not supported. */
    const char *(*unpack)(const uint8_t *src, size_t src_len,
                          const struct sq_unpack_sink *sink);
};

/* By the magic number at the start, or NULL. */
const struct sq_unpack_format *sq_unpack_format(const uint8_t *src,
                                                size_t len);

/* Unpacks with a format that has a function, to a sink. A piece has at most
 * 8 MiB, and no more memory than for one is used, beside the format's window.
 * Errors (without a file name): SQUIB_E_FORMAT, also if the sink stopped it;
 * SQUIB_E_NOMEM. */
int sq_unpack_pieces(const struct sq_unpack_format *format,
                     const uint8_t *src, size_t src_len,
                     const struct sq_unpack_sink *sink,
                     struct squib_error *err);

/* An anonymous mapping. */
struct sq_unpacked {
    uint8_t *data;
    size_t len;      /* bytes of the result */
    size_t map_len;
};

/* Unpacks with a format that has a function. `size_hint` is the expected
 * size, or 0 if unknown; a wrong hint costs a second try at most. The
 * caller frees *out. Errors (without a file name): SQUIB_E_FORMAT,
 * SQUIB_E_NOMEM. */
int sq_unpack(const struct sq_unpack_format *format, const uint8_t *src,
              size_t src_len, size_t size_hint, struct sq_unpacked *out,
              struct squib_error *err);
void sq_unpacked_free(struct sq_unpacked *u);

#endif
