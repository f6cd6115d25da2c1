/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-128-GCM (NIST SP 800-38D), ChaCha20 (RFC 8439) and SHA-256 (FIPS
 * 180-4), as plain code and with the processor's instructions. For
 * measurements alone: nothing here resists a listener to its timing.
 */
#include <errno.h>
#include <immintrin.h>
#include <string.h>

#include "bench.h"

#define TEXT_LEN (64u * 1024)

static struct {
    uint8_t *in, *out;
    uint32_t k[64], h[8]; /* SHA-256's constants */
} g;

static uint32_t load_be32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static void store_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static void store_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

/* --- AES, bytewise ------------------------------------------------------ */

struct aes {
    uint8_t sbox[256];
    uint8_t round_key[11][16];
};

static uint8_t times2(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
}

/* The S-box: the inverse in GF(2^8), found by walking the powers of 3 and of
 * 1/3 side by side, then the affine map. */
static void aes_make_sbox(uint8_t sbox[256])
{
    uint8_t p = 1, q = 1;

    do {
        uint8_t s;

        p = (uint8_t)(p ^ times2(p));
        q ^= (uint8_t)(q << 1);
        q ^= (uint8_t)(q << 2);
        q ^= (uint8_t)(q << 4);
        if (q & 0x80)
            q ^= 0x09;
        s = q;
        for (int i = 1; i <= 4; i++)
            s ^= (uint8_t)(q << i | q >> (8 - i));
        sbox[p] = s ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;
}

static void aes_key(struct aes *aes, const uint8_t key[16])
{
    uint8_t *w = aes->round_key[0], rcon = 1;

    aes_make_sbox(aes->sbox);
    memcpy(w, key, 16);
    for (int i = 16; i < 176; i += 4) {
        uint8_t t[4];

        memcpy(t, w + i - 4, 4);
        if (i % 16 == 0) {
            uint8_t first = t[0];

            t[0] = aes->sbox[t[1]] ^ rcon;
            t[1] = aes->sbox[t[2]];
            t[2] = aes->sbox[t[3]];
            t[3] = aes->sbox[first];
            rcon = times2(rcon);
        }
        for (int k = 0; k < 4; k++)
            w[i + k] = w[i + k - 16] ^ t[k];
    }
}

static void aes_block(const struct aes *aes, const uint8_t in[16],
                      uint8_t out[16])
{
    uint8_t s[16], t[16];

    for (int i = 0; i < 16; i++)
        s[i] = in[i] ^ aes->round_key[0][i];
    for (int round = 1;; round++) {
        for (int i = 0; i < 16; i++)
            t[i] = aes->sbox[s[(i * 5) & 15]];
        if (round == 10)
            break;
        for (int c = 0; c < 16; c += 4) {
            uint8_t all = t[c] ^ t[c + 1] ^ t[c + 2] ^ t[c + 3];

            for (int r = 0; r < 4; r++)
                s[c + r] = t[c + r] ^ all ^
                           times2(t[c + r] ^ t[c + ((r + 1) & 3)]) ^
                           aes->round_key[round][c + r];
        }
    }
    for (int i = 0; i < 16; i++)
        out[i] = t[i] ^ aes->round_key[10][i];
}

/* x * h in GF(2^128), bits in GCM's order; big-endian halves. */
static void gf_times(uint64_t x[2], const uint64_t table[16][2])
{
    /* What four bits that are shifted out come back as. */
    static const uint16_t back[16] = {
        0x0000, 0x1c20, 0x3840, 0x2460, 0x7080, 0x6ca0, 0x48c0, 0x54e0,
        0xe100, 0xfd20, 0xd940, 0xc560, 0x9180, 0x8da0, 0xa9c0, 0xb5e0,
    };
    uint64_t hi = 0, lo = 0;

    for (int i = 0; i < 32; i++) {
        unsigned nibble =
            (unsigned)(x[i < 16] >> (i * 4 & 63)) & 15, out = lo & 15;

        lo = lo >> 4 | hi << 60;
        hi = hi >> 4 ^ (uint64_t)back[out] << 48;
        hi ^= table[nibble][0];
        lo ^= table[nibble][1];
    }
    x[0] = hi;
    x[1] = lo;
}

static void gf_table(const uint8_t h[16], uint64_t table[16][2])
{
    uint64_t hi = (uint64_t)load_be32(h) << 32 | load_be32(h + 4);
    uint64_t lo = (uint64_t)load_be32(h + 8) << 32 | load_be32(h + 12);

    memset(table, 0, 16 * sizeof(table[0]));
    for (int bit = 8; bit > 0; bit >>= 1) {
        uint64_t carry = lo & 1;

        table[bit][0] = hi;
        table[bit][1] = lo;
        lo = lo >> 1 | hi << 63;
        hi = hi >> 1 ^ (carry ? 0xe1ull << 56 : 0);
    }
    for (int i = 2; i < 16; i <<= 1) {
        for (int j = 1; j < i; j++) {
            table[i + j][0] = table[i][0] ^ table[j][0];
            table[i + j][1] = table[i][1] ^ table[j][1];
        }
    }
}

static void gcm_plain(const struct aes *aes, const uint8_t iv[12],
                      const uint8_t *in, uint8_t *out, size_t len,
                      uint8_t tag[16])
{
    uint8_t counter[16], pad[16], h[16] = {0};
    uint64_t table[16][2], y[2] = {0, 0};

    aes_block(aes, h, h);
    gf_table(h, table);
    memcpy(counter, iv, 12);
    for (size_t at = 0; at < len; at += 16) {
        store_be32(counter + 12, (uint32_t)(at / 16) + 2);
        aes_block(aes, counter, pad);
        for (int i = 0; i < 16; i++)
            out[at + i] = in[at + i] ^ pad[i];
        y[0] ^= (uint64_t)load_be32(out + at) << 32 | load_be32(out + at + 4);
        y[1] ^= (uint64_t)load_be32(out + at + 8) << 32 |
                load_be32(out + at + 12);
        gf_times(y, table);
    }
    y[1] ^= (uint64_t)len * 8;
    gf_times(y, table);
    store_be32(counter + 12, 1);
    aes_block(aes, counter, pad);
    store_be64(tag, y[0]);
    store_be64(tag + 8, y[1]);
    for (int i = 0; i < 16; i++)
        tag[i] ^= pad[i];
}

/* --- AES-NI and PCLMULQDQ ------------------------------------------------ */

#define NI __attribute__((target("aes,pclmul,ssse3,sse4.1")))

/* Operands and result with their bytes reversed, so that bit 0 is the power
 * 127: the product is shifted by one, then reduced by 1 + x + x^2 + x^7. */
NI static __m128i ni_times(__m128i a, __m128i b)
{
    __m128i lo = _mm_clmulepi64_si128(a, b, 0x00);
    __m128i hi = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01),
                                _mm_clmulepi64_si128(a, b, 0x10));
    __m128i carry_lo, carry_hi, fold;

    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));

    /* 256 bits to the left by one. */
    carry_lo = _mm_srli_epi64(lo, 63);
    carry_hi = _mm_srli_epi64(hi, 63);
    hi = _mm_or_si128(_mm_slli_epi64(hi, 1), _mm_slli_si128(carry_hi, 8));
    hi = _mm_or_si128(hi, _mm_srli_si128(carry_lo, 8));
    lo = _mm_or_si128(_mm_slli_epi64(lo, 1), _mm_slli_si128(carry_lo, 8));

    /* The low half folds into the high one: first what its low word pushes
     * into its high word, then all of it to the right by 1, 2 and 7. */
    fold = _mm_xor_si128(_mm_slli_epi64(lo, 63), _mm_slli_epi64(lo, 62));
    fold = _mm_xor_si128(fold, _mm_slli_epi64(lo, 57));
    lo = _mm_xor_si128(lo, _mm_slli_si128(fold, 8));
    fold = _mm_xor_si128(_mm_srli_epi64(lo, 1), _mm_srli_epi64(lo, 2));
    fold = _mm_xor_si128(fold, _mm_srli_epi64(lo, 7));
    /* Bits that leave the high word reach the low one's top. */
    fold = _mm_xor_si128(fold, _mm_srli_si128(_mm_xor_si128(
        _mm_xor_si128(_mm_slli_epi64(lo, 63), _mm_slli_epi64(lo, 62)),
        _mm_slli_epi64(lo, 57)), 8));
    return _mm_xor_si128(hi, _mm_xor_si128(lo, fold));
}

NI static __m128i ni_block(const __m128i key[11], __m128i x)
{
    x = _mm_xor_si128(x, key[0]);
    for (int i = 1; i < 10; i++)
        x = _mm_aesenc_si128(x, key[i]);
    return _mm_aesenclast_si128(x, key[10]);
}

NI static void gcm_ni(const struct aes *aes, const uint8_t iv[12],
                      const uint8_t *in, uint8_t *out, size_t len,
                      uint8_t tag[16])
{
    const __m128i reverse =
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i key[11], h, y = _mm_setzero_si128(), base;
    uint8_t block[16] = {0};
    size_t at = 0;

    memcpy(key, aes->round_key, sizeof(key));
    h = _mm_shuffle_epi8(ni_block(key, _mm_setzero_si128()), reverse);
    memcpy(block, iv, 12);
    base = _mm_loadu_si128((const __m128i *)block);
    while (at < len) {
        /* Four blocks at once keep the pipeline of AESENC busy. */
        const int n = len - at >= 64 ? 4 : 1;
        __m128i x[4];

        for (int i = 0; i < n; i++) {
            uint32_t count = (uint32_t)(at / 16) + 2 + (uint32_t)i;

            x[i] = _mm_insert_epi32(base, (int)__builtin_bswap32(count), 3);
            x[i] = _mm_xor_si128(x[i], key[0]);
        }
        for (int k = 1; k < 10; k++) {
            for (int i = 0; i < n; i++)
                x[i] = _mm_aesenc_si128(x[i], key[k]);
        }
        for (int i = 0; i < n; i++, at += 16) {
            __m128i text = _mm_loadu_si128((const __m128i *)(in + at));

            x[i] = _mm_xor_si128(_mm_aesenclast_si128(x[i], key[10]), text);
            _mm_storeu_si128((__m128i *)(out + at), x[i]);
            y = _mm_xor_si128(y, _mm_shuffle_epi8(x[i], reverse));
            y = ni_times(y, h);
        }
    }
    y = _mm_xor_si128(y, _mm_set_epi64x(0, (long long)len * 8));
    y = ni_times(y, h);
    base = _mm_insert_epi32(base, (int)__builtin_bswap32(1), 3);
    y = _mm_xor_si128(_mm_shuffle_epi8(y, reverse), ni_block(key, base));
    _mm_storeu_si128((__m128i *)tag, y);
}

/* --- ChaCha20 ----------------------------------------------------------- */

/*
 * A vector holds the same word of several blocks. The code is written once,
 * with the compiler's vectors, and compiled for two sizes of them.
 */
#define CHACHA(NAME, TYPE, LANES, TARGET)                                     \
    TARGET static void NAME(const uint32_t start[16], const uint8_t *in,     \
                            uint8_t *out, size_t len)                        \
    {                                                                         \
        typedef uint32_t TYPE __attribute__((vector_size(4 * LANES)));       \
        TYPE first[16], x[16];                                                \
                                                                              \
        for (int i = 0; i < 16; i++)                                          \
            first[i] = start[i] - (TYPE){0};                                  \
        for (int i = 0; i < LANES; i++)                                       \
            first[12][i] += (uint32_t)i;                                      \
        for (size_t at = 0; at < len; at += 64 * LANES) {                     \
            memcpy(x, first, sizeof(x));                                      \
            for (int i = 0; i < 10; i++) {                                    \
                QUARTER(x[0], x[4], x[8], x[12]);                             \
                QUARTER(x[1], x[5], x[9], x[13]);                             \
                QUARTER(x[2], x[6], x[10], x[14]);                            \
                QUARTER(x[3], x[7], x[11], x[15]);                            \
                QUARTER(x[0], x[5], x[10], x[15]);                            \
                QUARTER(x[1], x[6], x[11], x[12]);                            \
                QUARTER(x[2], x[7], x[8], x[13]);                             \
                QUARTER(x[3], x[4], x[9], x[14]);                             \
            }                                                                 \
            for (int i = 0; i < 16; i++) {                                    \
                x[i] += first[i];                                             \
                for (int lane = 0; lane < LANES; lane++) {                    \
                    size_t where = at + 64 * (size_t)lane + 4 * (size_t)i;   \
                    uint32_t word;                                            \
                                                                              \
                    memcpy(&word, in + where, 4);                             \
                    word ^= x[i][lane];                                       \
                    memcpy(out + where, &word, 4);                            \
                }                                                             \
            }                                                                 \
            first[12] += LANES;                                               \
        }                                                                     \
    }

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d)                                                   \
    (a += b, d ^= a, d = ROTATE(d, 16), c += d, b ^= c, b = ROTATE(b, 12),    \
     a += b, d ^= a, d = ROTATE(d, 8), c += d, b ^= c, b = ROTATE(b, 7))

CHACHA(chacha_sse, sse_words, 4, )
CHACHA(chacha_avx, avx_words, 8, __attribute__((target("avx2"))))

static void chacha_start(uint32_t x[16], const uint8_t key[32],
                         uint32_t counter, const uint8_t nonce[12])
{
    memcpy(x, "expand 32-byte k", 16);
    memcpy(x + 4, key, 32);
    x[12] = counter;
    memcpy(x + 13, nonce, 12);
}

/* --- SHA-256 ------------------------------------------------------------ */

/* The first 32 bits after the point of the cube roots of the primes, and of
 * the square roots: found by whole-number search instead of a table. */
static uint32_t root_fraction(uint64_t prime, int cube)
{
    uint64_t low = 0, high = 1ull << 36;

    while (high - low > 1) {
        const uint64_t mid = low + (high - low) / 2;
        unsigned __int128 power = (unsigned __int128)mid * mid;
        /* mid is the root times 2^32. */
        const int more = cube
            ? power > ((unsigned __int128)prime << 96) / mid
            : power > (unsigned __int128)prime << 64;

        if (more)
            high = mid;
        else
            low = mid;
    }
    return (uint32_t)low;
}

static void sha256_constants(uint32_t k[64], uint32_t h[8])
{
    int n = 0;

    for (uint32_t p = 2; n < 64; p++) {
        uint32_t d = 2;

        while (d * d <= p && p % d != 0)
            d++;
        if (d * d <= p)
            continue;
        k[n] = root_fraction(p, 1);
        if (n < 8)
            h[n] = root_fraction(p, 0);
        n++;
    }
}

#define RIGHT(x, n) ((x) >> (n) | (x) << (32 - (n)))

/* One round; the caller renames the variables instead of moving them. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                      \
    do {                                                                      \
        uint32_t t1 = h + (RIGHT(e, 6) ^ RIGHT(e, 11) ^ RIGHT(e, 25)) +       \
                      ((e & f) ^ (~e & g)) + k[i] + w[i];                     \
        uint32_t t2 = (RIGHT(a, 2) ^ RIGHT(a, 13) ^ RIGHT(a, 22)) +           \
                      ((a & b) ^ (a & c) ^ (b & c));                          \
                                                                              \
        d += t1;                                                              \
        h = t1 + t2;                                                          \
    } while (0)

static void sha256_block(const uint32_t k[64], uint32_t state[8],
                         const uint8_t *block)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (int i = 0; i < 16; i++)
        w[i] = load_be32(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + w[i - 7] +
               (RIGHT(x, 7) ^ RIGHT(x, 18) ^ x >> 3) +
               (RIGHT(y, 17) ^ RIGHT(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static void sha256(const uint8_t *in, size_t len, uint8_t out[32])
{
    uint32_t h[8];
    uint8_t last[128] = {0};
    const size_t whole = len / 64 * 64, rest = len - whole;
    const size_t end = rest < 56 ? 64 : 128;

    memcpy(h, g.h, sizeof(h));
    for (size_t at = 0; at < whole; at += 64)
        sha256_block(g.k, h, in + at);
    memcpy(last, in + whole, rest);
    last[rest] = 0x80;
    store_be64(last + end - 8, (uint64_t)len * 8);
    for (size_t at = 0; at < end; at += 64)
        sha256_block(g.k, h, last + at);
    for (int i = 0; i < 8; i++)
        store_be32(out + 4 * i, h[i]);
}

/* --- workloads ---------------------------------------------------------- */

static int crypto_prepare(void)
{
    uint64_t seed = 17;

    sha256_constants(g.k, g.h);
    g.in = bench_memory_get(TEXT_LEN);
    g.out = bench_memory_get(TEXT_LEN);
    if (!g.in || !g.out)
        return -ENOMEM;
    for (uint32_t i = 0; i < TEXT_LEN; i++)
        g.in[i] = (uint8_t)(bench_random(&seed) >> 56);
    return 0;
}

static int gcm_unit(uint64_t *sum)
{
    struct aes aes;
    uint8_t tag[16];

    aes_key(&aes, g.in);
    if (bench_has_aes())
        gcm_ni(&aes, g.in + 32, g.in, g.out, TEXT_LEN, tag);
    else
        gcm_plain(&aes, g.in + 32, g.in, g.out, TEXT_LEN, tag);
    bench_fold(sum, tag, sizeof(tag));
    return 0;
}

static int gcm_plain_unit(uint64_t *sum)
{
    struct aes aes;
    uint8_t tag[16];

    aes_key(&aes, g.in);
    gcm_plain(&aes, g.in + 32, g.in, g.out, TEXT_LEN, tag);
    bench_fold(sum, tag, sizeof(tag));
    return 0;
}

static const char *gcm_variant(void)
{
    return bench_has_aes() ? "AES-NI, PCLMULQDQ"
                           : "tables (CPUID has no AES+PCLMULQDQ)";
}

static int chacha_unit(uint64_t *sum)
{
    uint32_t start[16];

    chacha_start(start, g.in, 1, g.in + 32);
    if (bench_has_avx2_fma())
        chacha_avx(start, g.in, g.out, TEXT_LEN);
    else
        chacha_sse(start, g.in, g.out, TEXT_LEN);
    bench_fold(sum, g.out + TEXT_LEN - 256, 256);
    return 0;
}

static const char *chacha_variant(void)
{
    return bench_has_avx2_fma() ? "AVX2" : "SSE2 (CPUID has no AVX2+FMA)";
}

static int sha256_unit(uint64_t *sum)
{
    uint8_t digest[32];

    sha256(g.in, TEXT_LEN, digest);
    bench_fold(sum, digest, sizeof(digest));
    return 0;
}

const struct workload bench_crypto[] = {
    {"AES-GCM", "crypto", "byte", TEXT_LEN, 150, crypto_prepare, gcm_unit,
     gcm_variant},
    {"AES-GCM tables", "crypto", "byte", TEXT_LEN, 10, crypto_prepare,
     gcm_plain_unit, NULL},
    {"ChaCha20", "crypto", "byte", TEXT_LEN, 150, crypto_prepare,
     chacha_unit, chacha_variant},
    {"SHA-256", "crypto", "byte", TEXT_LEN, 50, crypto_prepare, sha256_unit,
     NULL},
    {0},
};

/* --- known answers ------------------------------------------------------ */

/* SP 800-38D's case 2: key, nonce and 16 bytes of text all zero. */
static const uint8_t gcm_zero_tag[16] = {
    0xab, 0x6e, 0x47, 0xd4, 0x2c, 0xec, 0x13, 0xbd,
    0xf5, 0x3a, 0x67, 0xb2, 0x12, 0x57, 0xbd, 0xdf,
};
/* RFC 8439, 2.3.2: the first words of the block. */
static const uint8_t chacha_first[8] = {
    0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15,
};
/* FIPS 180-4's "abc". */
static const uint8_t sha256_abc[8] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
};

const char *bench_crypto_check(void)
{
    static const uint8_t nonce[12] = {0, 0, 0, 9, 0, 0, 0, 0x4a};
    static uint8_t zero[1024], one[1024], two[1024];
    uint8_t tag[16], other[16], key[32], digest[32];
    uint32_t start[16];
    struct aes aes;

    aes_key(&aes, zero);
    gcm_plain(&aes, zero, zero, one, 16, tag);
    if (memcmp(tag, gcm_zero_tag, 16) != 0)
        return "AES-GCM by tables";
    if (bench_has_aes()) {
        gcm_ni(&aes, zero, zero, one, 16, tag);
        if (memcmp(tag, gcm_zero_tag, 16) != 0)
            return "AES-GCM by AES-NI";
        memset(zero, 0x5a, sizeof(zero));
        gcm_plain(&aes, zero, zero, one, 1008, tag);
        gcm_ni(&aes, zero, zero, two, 1008, other);
        if (memcmp(one, two, 1008) != 0 || memcmp(tag, other, 16) != 0)
            return "AES-GCM by AES-NI and by tables differ";
        memset(zero, 0, sizeof(zero));
    }
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    chacha_start(start, key, 1, nonce);
    chacha_sse(start, zero, one, sizeof(one));
    if (memcmp(one, chacha_first, sizeof(chacha_first)) != 0)
        return "ChaCha20 by SSE2";
    if (bench_has_avx2_fma()) {
        chacha_avx(start, zero, two, sizeof(two));
        if (memcmp(one, two, sizeof(one)) != 0)
            return "ChaCha20 by SSE2 and by AVX2 differ";
    }
    sha256_constants(g.k, g.h);
    sha256((const uint8_t *)"abc", 3, digest);
    if (memcmp(digest, sha256_abc, sizeof(sha256_abc)) != 0)
        return "SHA-256";
    return NULL;
}
