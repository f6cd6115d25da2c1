/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression of the formats in which kernels are packed.
 */
#ifndef SQ_ARCH_UNPACK_H
#define SQ_ARCH_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

/* No kernel unpacks to more than this. */
#define SQ_UNPACK_MAX ((size_t)1 << 30)

struct sq_unpack_format {
    const char *name; /* "lz4" */
    uint8_t magic[6];
    uint8_t magic_len;
    /* Unpacks src to dst[0..*len), *len being the room on entry and the
     * result on return; bytes after the end of the stream are ignored.
     * Returns a text that says what is wrong, or NULL. The function is NULL
     * for a format that is known but not supported. */
    const char *(*unpack)(const uint8_t *src, size_t src_len, uint8_t *dst,
                          size_t *len);
};

/* By the magic number at the start, or NULL. */
const struct sq_unpack_format *sq_unpack_format(const uint8_t *src,
                                                size_t len);

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
