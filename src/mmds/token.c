/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token says when it ends and proves that this process made it, so none
 * has to be remembered, however many a guest asks for:
 *
 *   12 random bytes, 8 bytes of expiry (ms of the monotonic clock), and
 *   16 bytes of SipHash-2-4 over both; in base64, 48 characters.
 *
 * The key lives as long as the store: a restored machine has another.
 */
#include "mmds/internal.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/util.h"

#define NONCE_LEN 12u
#define SIGNED_LEN 20u /* nonce and expiry */
#define RAW_LEN 36u

/* ---- SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF"),
 * with 128 bits of output ---- */

static uint64_t rotate(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static void rounds(uint64_t v[4], int n)
{
    while (n--) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void siphash(const uint8_t key[16], const uint8_t *data, size_t len,
                    uint8_t out[16])
{
    uint64_t k0 = sq_ld64(key), k1 = sq_ld64(key + 8), word;
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                     k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    uint8_t last[8] = {0};
    size_t i;

    v[1] ^= 0xee;
    for (i = 0; i + 8 <= len; i += 8) {
        word = sq_ld64(data + i);
        v[3] ^= word;
        rounds(v, 2);
        v[0] ^= word;
    }
    memcpy(last, data + i, len - i);
    last[7] = (uint8_t)len;
    word = sq_ld64(last);
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
    v[2] ^= 0xee;
    rounds(v, 4);
    sq_st64(out, v[0] ^ v[1] ^ v[2] ^ v[3]);
    v[1] ^= 0xdd;
    rounds(v, 4);
    sq_st64(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ---- base64, of whole groups ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789+/";

static bool decode(const char *text, uint8_t raw[RAW_LEN])
{
    for (size_t i = 0; i < RAW_LEN; i += 3) {
        uint32_t group = 0;

        for (int k = 0; k < 4; k++) {
            const char *at = *text ? strchr(digits, *text++) : NULL;

            if (!at)
                return false;
            group = group << 6 | (uint32_t)(at - digits);
        }
        raw[i] = (uint8_t)(group >> 16);
        raw[i + 1] = (uint8_t)(group >> 8);
        raw[i + 2] = (uint8_t)group;
    }
    return !*text;
}

bool sq_mmds_token_make(const uint8_t key[16], uint64_t expiry_ms,
                        char token[SQ_MMDS_TOKEN_LEN + 1])
{
    uint8_t raw[RAW_LEN];

    if (getentropy(raw, NONCE_LEN) != 0)
        return false;
    sq_st64(raw + NONCE_LEN, expiry_ms);
    siphash(key, raw, SIGNED_LEN, raw + SIGNED_LEN);
    for (size_t i = 0; i < RAW_LEN; i += 3) {
        uint32_t group = (uint32_t)raw[i] << 16 |
                         (uint32_t)raw[i + 1] << 8 | raw[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6)
            *token++ = digits[group >> shift & 63];
    }
    *token = '\0';
    return true;
}

bool sq_mmds_token_valid(const uint8_t key[16], const char *token,
                         uint64_t now_ms)
{
    uint8_t raw[RAW_LEN], sum[16], differ = 0;

    if (!decode(token, raw))
        return false;
    siphash(key, raw, SIGNED_LEN, sum);
    for (size_t i = 0; i < sizeof(sum); i++)
        differ |= sum[i] ^ raw[SIGNED_LEN + i];
    return !differ && sq_ld64(raw + NONCE_LEN) > now_ms;
}
