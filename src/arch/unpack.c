/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build of Linux appends the unpacked size to every format but gzip, so
 * each unpacker here stops at the end of its own stream and leaves the rest
 * alone.
 */
#define _GNU_SOURCE
#include "arch/unpack.h"

#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "base/err.h"
#include "base/util.h"

/* One text for one condition, so that the caller can tell it apart. */
static const char too_large[] = "its contents are larger than expected";
static const char damaged[] = "the compressed data is damaged";
static const char cut_off[] = "the compressed data ends too early";
static const char no_memory[] = "no memory for the decompressor";
static const char stopped[] = "it was stopped"; /* by the sink */

#define PIECE (1u << 20)

static uint8_t *piece_new(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame"): a magic number,
 * then blocks of a 32-bit length and that many bytes, each of which unpacks
 * to 8 MiB but for the last. There is no end mark: the kernel's appended
 * size looks like the length of a block that is not there. */
#define LZ4_BLOCK (8u << 20)

static const char *lz4_blocks(const uint8_t *src, size_t src_len,
                              uint8_t *piece,
                              const struct sq_unpack_sink *sink)
{
    size_t at = 4;

    while (src_len - at > 4) {
        uint32_t n = sq_ld32(src + at);
        int got;

        at += 4;
        if (n == 0)
            return damaged;
        if (n > src_len - at)
            return cut_off;
        if (n > (uint32_t)LZ4_COMPRESSBOUND(LZ4_BLOCK))
            return damaged;
        got = LZ4_decompress_safe((const char *)src + at, (char *)piece,
                                  (int)n, (int)LZ4_BLOCK);
        if (got < 0)
            return damaged;
        at += n;
        if (got && !sink->take(sink->ctx, piece, (size_t)got, at))
            return stopped;
    }
    return at > 4 ? NULL : cut_off;
}

static const char *unpack_lz4(const uint8_t *src, size_t src_len,
                              const struct sq_unpack_sink *sink)
{
    uint8_t *piece = piece_new(LZ4_BLOCK);
    const char *why;

    if (!piece)
        return no_memory;
    why = lz4_blocks(src, src_len, piece, sink);
    munmap(piece, LZ4_BLOCK);
    return why;
}

static const char *zstd_pieces(ZSTD_DStream *ds, const uint8_t *src,
                               size_t src_len, uint8_t *piece,
                               const struct sq_unpack_sink *sink)
{
    ZSTD_inBuffer in = {src, src_len, 0};
    size_t left;

    ZSTD_DCtx_setParameter(ds, ZSTD_d_windowLogMax, 30);
    do {
        ZSTD_outBuffer out = {piece, PIECE, 0};
        size_t in_was = in.pos;

        left = ZSTD_decompressStream(ds, &out, &in);
        if (ZSTD_isError(left))
            return damaged;
        if (out.pos && !sink->take(sink->ctx, piece, out.pos, in.pos))
            return stopped;
        if (in.pos == in_was && out.pos == 0)
            break;
    } while (left != 0);
    return left ? cut_off : NULL;
}

static const char *unpack_zstd(const uint8_t *src, size_t src_len,
                               const struct sq_unpack_sink *sink)
{
    ZSTD_DStream *ds = ZSTD_createDStream();
    uint8_t *piece = piece_new(PIECE);
    const char *why = no_memory;

    if (ds && piece)
        why = zstd_pieces(ds, src, src_len, piece, sink);
    ZSTD_freeDStream(ds);
    if (piece)
        munmap(piece, PIECE);
    return why;
}

static const char *gzip_pieces(z_stream *z, const uint8_t *src,
                               uint8_t *piece,
                               const struct sq_unpack_sink *sink)
{
    int rc;

    do {
        size_t n;

        z->next_out = piece;
        z->avail_out = PIECE;
        rc = inflate(z, Z_NO_FLUSH);
        n = PIECE - z->avail_out;
        if (n && !sink->take(sink->ctx, piece, n,
                             (size_t)(z->next_in - src)))
            return stopped;
    } while (rc == Z_OK);
    switch (rc) {
    case Z_STREAM_END: return NULL;
    case Z_MEM_ERROR: return no_memory;
    case Z_BUF_ERROR: return cut_off; /* there was room */
    default: return damaged;
    }
}

static const char *unpack_gzip(const uint8_t *src, size_t src_len,
                               const struct sq_unpack_sink *sink)
{
    z_stream z = {0};
    uint8_t *piece;
    const char *why;

    if (src_len > UINT_MAX)
        return too_large;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return no_memory;
    z.next_in = (uint8_t *)(uintptr_t)src;
    z.avail_in = (uInt)src_len;
    piece = piece_new(PIECE);
    why = piece ? gzip_pieces(&z, src, piece, sink) : no_memory;
    if (piece)
        munmap(piece, PIECE);
    inflateEnd(&z);
    return why;
}

static const char *lzma_pieces(lzma_stream *ls, const uint8_t *src,
                               uint8_t *piece,
                               const struct sq_unpack_sink *sink)
{
    lzma_ret rc;

    do {
        size_t n;

        ls->next_out = piece;
        ls->avail_out = PIECE;
        rc = lzma_code(ls, LZMA_RUN);
        n = PIECE - ls->avail_out;
        if (n && !sink->take(sink->ctx, piece, n,
                             (size_t)(ls->next_in - src)))
            return stopped;
    } while (rc == LZMA_OK && (ls->avail_in || !ls->avail_out));
    switch (rc) {
    case LZMA_STREAM_END: return NULL;
    case LZMA_OK:
    case LZMA_BUF_ERROR: return cut_off; /* there was room */
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR: return no_memory;
    default: return damaged;
    }
}

static const char *run_lzma(lzma_stream *ls, const uint8_t *src,
                            size_t src_len, const struct sq_unpack_sink *sink)
{
    uint8_t *piece = piece_new(PIECE);
    const char *why = no_memory;

    ls->next_in = src;
    ls->avail_in = src_len;
    if (piece) {
        why = lzma_pieces(ls, src, piece, sink);
        munmap(piece, PIECE);
    }
    lzma_end(ls);
    return why;
}

/* The kernel's xz has an x86 branch filter, which liblzma undoes by itself.
 * The limit is far above the 32 MiB dictionary that the build uses. */
#define LZMA_MEMORY (512ull << 20)

static const char *unpack_xz(const uint8_t *src, size_t src_len,
                             const struct sq_unpack_sink *sink)
{
    lzma_stream ls = LZMA_STREAM_INIT;

    if (lzma_stream_decoder(&ls, LZMA_MEMORY, 0) != LZMA_OK)
        return no_memory;
    return run_lzma(&ls, src, src_len, sink);
}

static const char *unpack_lzma(const uint8_t *src, size_t src_len,
                               const struct sq_unpack_sink *sink)
{
    lzma_stream ls = LZMA_STREAM_INIT;

    if (lzma_alone_decoder(&ls, LZMA_MEMORY) != LZMA_OK)
        return no_memory;
    return run_lzma(&ls, src, src_len, sink);
}

static const struct sq_unpack_format formats[] = {
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
    {"gzip", {0x1f, 0x8b, 0x08}, 3, unpack_gzip},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0x00}, 6, unpack_xz},
    {"lzma", {0x5d, 0x00, 0x00}, 3, unpack_lzma},
    {"bzip2", {'B', 'Z', 'h'}, 3, NULL},
    {"lzo", {0x89, 'L', 'Z', 'O', 0x00}, 5, NULL},
    {"lz4 frame", {0x04, 0x22, 0x4d, 0x18}, 4, NULL},
};

const struct sq_unpack_format *sq_unpack_format(const uint8_t *src,
                                                size_t len)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(formats); i++)
        if (len >= formats[i].magic_len &&
            memcmp(src, formats[i].magic, formats[i].magic_len) == 0)
            return &formats[i];
    return NULL;
}

static int report(const struct sq_unpack_format *format, const char *why,
                  struct squib_error *err)
{
    if (why == no_memory)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory to unpack it (%s)",
                          format->name);
    if (why)
        return sq_err_set(err, SQUIB_E_FORMAT, "cannot unpack %s: %s",
                          format->name, why);
    return 0;
}

int sq_unpack_pieces(const struct sq_unpack_format *format,
                     const uint8_t *src, size_t src_len,
                     const struct sq_unpack_sink *sink,
                     struct squib_error *err)
{
    return report(format, format->unpack(src, src_len, sink), err);
}

/* A sink that puts the pieces together. */
static bool gather(void *ctx, const uint8_t *data, size_t len, size_t used)
{
    struct sq_unpacked *out = ctx;

    (void)used;
    if (len > out->map_len - out->len)
        return false;
    memcpy(out->data + out->len, data, len);
    out->len += len;
    return true;
}

static const char *try_unpack(const struct sq_unpack_format *format,
                              const uint8_t *src, size_t src_len,
                              size_t room, struct sq_unpacked *out)
{
    const struct sq_unpack_sink sink = {gather, out};
    const char *why;

    /* Reserved, not touched: only what is written costs memory. */
    out->len = 0;
    out->map_len = sq_align_up(room, 4096);
    out->data = piece_new(out->map_len);
    if (!out->data)
        return no_memory;
    why = format->unpack(src, src_len, &sink);
    if (why)
        sq_unpacked_free(out);
    return why == stopped ? too_large : why;
}

int sq_unpack(const struct sq_unpack_format *format, const uint8_t *src,
              size_t src_len, size_t size_hint, struct sq_unpacked *out,
              struct squib_error *err)
{
    const char *why = too_large;

    /* The hint is the file's word, not to be believed. */
    if (size_hint && size_hint <= SQ_UNPACK_MAX)
        why = try_unpack(format, src, src_len, size_hint, out);
    if (why == too_large)
        why = try_unpack(format, src, src_len, SQ_UNPACK_MAX, out);
    return report(format, why, err);
}

void sq_unpacked_free(struct sq_unpacked *u)
{
    if (u->data)
        munmap(u->data, u->map_len);
    u->data = NULL;
    u->len = u->map_len = 0;
}
