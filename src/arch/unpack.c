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

/* LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame"): a magic number,
 * then blocks of a 32-bit length and that many bytes, each of which unpacks
 * to 8 MiB but for the last. There is no end mark: the kernel's appended
 * size looks like the length of a block that is not there. */
#define LZ4_BLOCK (8u << 20)

static const char *unpack_lz4(const uint8_t *src, size_t src_len,
                              uint8_t *dst, size_t *len)
{
    size_t at = 4, out = 0;

    while (src_len - at > 4) {
        uint32_t n = sq_ld32(src + at);
        size_t room = *len - out;
        int got;

        at += 4;
        if (n == 0)
            return damaged;
        if (n > src_len - at)
            return cut_off;
        if (n > (uint32_t)LZ4_COMPRESSBOUND(LZ4_BLOCK))
            return damaged;
        got = LZ4_decompress_safe((const char *)src + at, (char *)dst + out,
                                  (int)n,
                                  (int)(room < LZ4_BLOCK ? room
                                                         : LZ4_BLOCK));
        if (got < 0)
            return room < LZ4_BLOCK ? too_large : damaged;
        at += n;
        out += (size_t)got;
    }
    *len = out;
    return out ? NULL : cut_off;
}

static const char *unpack_zstd(const uint8_t *src, size_t src_len,
                               uint8_t *dst, size_t *len)
{
    ZSTD_DStream *ds = ZSTD_createDStream();
    ZSTD_inBuffer in = {src, src_len, 0};
    ZSTD_outBuffer out = {dst, *len, 0};
    size_t left;

    if (!ds)
        return no_memory;
    ZSTD_DCtx_setParameter(ds, ZSTD_d_windowLogMax, 30);
    do {
        size_t in_was = in.pos, out_was = out.pos;

        left = ZSTD_decompressStream(ds, &out, &in);
        if (in.pos == in_was && out.pos == out_was)
            break;
    } while (left != 0 && !ZSTD_isError(left));
    ZSTD_freeDStream(ds);
    if (ZSTD_isError(left))
        return out.pos == out.size ? too_large : damaged;
    if (left != 0)
        return out.pos == out.size ? too_large : cut_off;
    *len = out.pos;
    return NULL;
}

static const char *unpack_gzip(const uint8_t *src, size_t src_len,
                               uint8_t *dst, size_t *len)
{
    z_stream z = {0};
    int rc;

    if (src_len > UINT_MAX || *len > UINT_MAX)
        return too_large;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return no_memory;
    z.next_in = (uint8_t *)(uintptr_t)src;
    z.avail_in = (uInt)src_len;
    z.next_out = dst;
    z.avail_out = (uInt)*len;
    rc = inflate(&z, Z_FINISH);
    *len -= z.avail_out;
    inflateEnd(&z);
    if (rc == Z_STREAM_END)
        return NULL;
    if (rc == Z_MEM_ERROR)
        return no_memory;
    if (rc == Z_OK || rc == Z_BUF_ERROR)
        return z.avail_in == 0 ? cut_off : too_large;
    return damaged;
}

static const char *run_lzma(lzma_stream *ls, const uint8_t *src,
                            size_t src_len, uint8_t *dst, size_t *len)
{
    lzma_ret rc;

    ls->next_in = src;
    ls->avail_in = src_len;
    ls->next_out = dst;
    ls->avail_out = *len;
    do {
        rc = lzma_code(ls, LZMA_RUN);
    } while (rc == LZMA_OK && ls->avail_in && ls->avail_out);
    *len -= ls->avail_out;
    lzma_end(ls);
    switch (rc) {
    case LZMA_STREAM_END: return NULL;
    case LZMA_OK:
    case LZMA_BUF_ERROR: return ls->avail_out ? cut_off : too_large;
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR: return no_memory;
    default: return damaged;
    }
}

/* The kernel's xz has an x86 branch filter, which liblzma undoes by itself.
 * The limit is far above the 32 MiB dictionary that the build uses. */
#define LZMA_MEMORY (512ull << 20)

static const char *unpack_xz(const uint8_t *src, size_t src_len,
                             uint8_t *dst, size_t *len)
{
    lzma_stream ls = LZMA_STREAM_INIT;

    if (lzma_stream_decoder(&ls, LZMA_MEMORY, 0) != LZMA_OK)
        return no_memory;
    return run_lzma(&ls, src, src_len, dst, len);
}

static const char *unpack_lzma(const uint8_t *src, size_t src_len,
                               uint8_t *dst, size_t *len)
{
    lzma_stream ls = LZMA_STREAM_INIT;

    if (lzma_alone_decoder(&ls, LZMA_MEMORY) != LZMA_OK)
        return no_memory;
    return run_lzma(&ls, src, src_len, dst, len);
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

static const char *try_unpack(const struct sq_unpack_format *format,
                              const uint8_t *src, size_t src_len,
                              size_t room, struct sq_unpacked *out)
{
    const char *why;

    /* Reserved, not touched: only what is written costs memory. */
    out->map_len = sq_align_up(room, 4096);
    out->data = mmap(NULL, out->map_len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (out->data == MAP_FAILED) {
        out->data = NULL;
        return no_memory;
    }
    out->len = room;
    why = format->unpack(src, src_len, out->data, &out->len);
    if (why)
        sq_unpacked_free(out);
    return why;
}

int sq_unpack(const struct sq_unpack_format *format, const uint8_t *src,
              size_t src_len, size_t size_hint, struct sq_unpacked *out,
              struct squib_error *err)
{
    const char *why = too_large;

    /* The hint is the file's word, not to be believed; lz4 and zstd need no
     * byte of slack, so that an honest one is exact. */
    if (size_hint && size_hint <= SQ_UNPACK_MAX)
        why = try_unpack(format, src, src_len, size_hint, out);
    if (why == too_large)
        why = try_unpack(format, src, src_len, SQ_UNPACK_MAX, out);
    if (why == no_memory)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory to unpack it (%s)",
                          format->name);
    if (why)
        return sq_err_set(err, SQUIB_E_FORMAT, "cannot unpack %s: %s",
                          format->name, why);
    return 0;
}

void sq_unpacked_free(struct sq_unpacked *u)
{
    if (u->data)
        munmap(u->data, u->map_len);
    u->data = NULL;
    u->len = u->map_len = 0;
}
