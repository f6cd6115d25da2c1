/* SPDX-License-Identifier: Apache-2.0 */
/* Integer work as programs do it: sorting, hashing, packing, dispatching. */
#include <errno.h>
#include <string.h>

#include "bench.h"

#define SORT_COUNT 30000u
#define HASH_LEN (256u * 1024)
#define LZ_LEN (128u * 1024)
#define LZ_MAX (LZ_LEN + LZ_LEN / 64 + 64)
#define TREE_COUNT 20000u
#define FIB_N 24u

struct node {
    struct node *left, *right;
    uint32_t key;
};

static struct {
    uint32_t *numbers, *work;
    uint8_t *text, *packed, *unpacked;
    uint32_t *table;
    size_t packed_len;
    struct node *nodes;
} g;

/* --- sorting ------------------------------------------------------------ */

static int sort_prepare(void)
{
    uint64_t seed = 42;

    g.numbers = bench_memory_get(SORT_COUNT * sizeof(*g.numbers));
    g.work = bench_memory_get(SORT_COUNT * sizeof(*g.work));
    if (!g.numbers || !g.work)
        return -ENOMEM;
    for (uint32_t i = 0; i < SORT_COUNT; i++)
        g.numbers[i] = (uint32_t)bench_random(&seed);
    return 0;
}

static int less(const void *a, const void *b)
{
    return *(const uint32_t *)a < *(const uint32_t *)b;
}

/* Through a pointer, as qsort() does; volatile so that it stays one. */
static int (*volatile less_than)(const void *, const void *) = less;

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t t = *a;

    *a = *b;
    *b = t;
}

static void quick(uint32_t *v, long n)
{
    int (*lt)(const void *, const void *) = less_than;

    while (n > 12) {
        uint32_t pivot = v[n / 2];
        long i = 0, j = n - 1;

        while (i <= j) {
            while (lt(&v[i], &pivot))
                i++;
            while (lt(&pivot, &v[j]))
                j--;
            if (i <= j)
                swap(&v[i++], &v[j--]);
        }
        /* The smaller part by recursion, the larger one by the loop. */
        if (j + 1 < n - i) {
            quick(v, j + 1);
            v += i;
            n -= i;
        } else {
            quick(v + i, n - i);
            n = j + 1;
        }
    }
    for (long i = 1; i < n; i++) {
        uint32_t x = v[i];
        long j = i;

        for (; j > 0 && lt(&x, &v[j - 1]); j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static int sorted_sum(uint64_t *sum)
{
    for (uint32_t i = 1; i < SORT_COUNT; i++) {
        if (g.work[i - 1] > g.work[i])
            return -EILSEQ;
    }
    bench_fold(sum, g.work, SORT_COUNT * sizeof(*g.work));
    return 0;
}

static int qsort_unit(uint64_t *sum)
{
    memcpy(g.work, g.numbers, SORT_COUNT * sizeof(*g.work));
    quick(g.work, SORT_COUNT);
    return sorted_sum(sum);
}

static void sift(uint32_t *v, uint32_t root, uint32_t n)
{
    uint32_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && v[child] < v[child + 1])
            child++;
        if (v[root] >= v[child])
            return;
        swap(&v[root], &v[child]);
        root = child;
    }
}

static int heapsort_unit(uint64_t *sum)
{
    memcpy(g.work, g.numbers, SORT_COUNT * sizeof(*g.work));
    for (uint32_t i = SORT_COUNT / 2; i-- > 0;)
        sift(g.work, i, SORT_COUNT);
    for (uint32_t n = SORT_COUNT - 1; n > 0; n--) {
        swap(&g.work[0], &g.work[n]);
        sift(g.work, 0, n);
    }
    return sorted_sum(sum);
}

/* --- hashing and packing ------------------------------------------------ */

/* Something like prose: words of few letters, some of them often. */
static void make_text(uint8_t *text, size_t len)
{
    uint64_t seed = 7;
    size_t at = 0;

    while (at < len) {
        uint64_t r = bench_random(&seed);
        unsigned word = (unsigned)(r >> 32) % ((r & 3) == 0 ? 4000 : 60);
        unsigned letters = 2 + word % 7;

        for (unsigned i = 0; i < letters && at < len; i++) {
            text[at++] = (uint8_t)('a' + word % 26);
            word = word * 31 + 17 + i;
        }
        if (at < len)
            text[at++] = (r >> 60) == 0 ? '\n' : ' ';
    }
}

static int hash_prepare(void)
{
    g.text = bench_memory_get(HASH_LEN);
    if (!g.text)
        return -ENOMEM;
    make_text(g.text, HASH_LEN);
    return 0;
}

/* FNV-1a byte by byte, then words that are multiplied and rotated. */
static int hash_unit(uint64_t *sum)
{
    uint64_t fnv = 0xcbf29ce484222325u, mix = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < HASH_LEN; i++)
        fnv = (fnv ^ g.text[i]) * 0x100000001b3u;
    for (size_t i = 0; i < HASH_LEN; i += 8) {
        uint64_t word;

        memcpy(&word, g.text + i, sizeof(word));
        mix ^= word * 0xc2b2ae3d27d4eb4fu;
        mix = (mix << 31 | mix >> 33) * 0x9e3779b185ebca87u;
    }
    *sum += fnv ^ mix;
    return 0;
}

/*
 * Packed form: a byte below 0x80 is a run of that many + 1 literals; any other
 * byte is a match of its low seven bits + 4 bytes, at the distance that the
 * two bytes after it give.
 */
static size_t lz_pack(const uint8_t *in, size_t len, uint8_t *out)
{
    size_t at = 0, to = 0, literals = 0;

    memset(g.table, 0, 4096 * sizeof(*g.table));
    while (at < len) {
        size_t match = 0, from = 0;

        if (at + 4 <= len) {
            uint32_t four, slot;

            memcpy(&four, in + at, 4);
            slot = four * 2654435761u >> 20;
            from = g.table[slot];
            g.table[slot] = (uint32_t)at + 1;
            if (from-- > 0 && at - from < 65536) {
                while (match < 131 && at + match < len &&
                       in[from + match] == in[at + match])
                    match++;
            }
        }
        if (match < 4 && literals < 128) {
            literals++;
            at++;
            if (at < len)
                continue;
        }
        if (literals > 0) {
            out[to++] = (uint8_t)(literals - 1);
            memcpy(out + to, in + at - literals, literals);
            to += literals;
            literals = 0;
        }
        if (match >= 4) {
            out[to++] = (uint8_t)(0x80 | (match - 4));
            out[to++] = (uint8_t)(at - from);
            out[to++] = (uint8_t)((at - from) >> 8);
            at += match;
        }
    }
    return to;
}

static size_t lz_unpack(const uint8_t *in, size_t len, uint8_t *out)
{
    size_t at = 0, to = 0;

    while (at < len) {
        size_t n = in[at++];

        if (n < 0x80) {
            memcpy(out + to, in + at, n + 1);
            to += n + 1;
            at += n + 1;
        } else {
            size_t distance = in[at] | (size_t)in[at + 1] << 8;

            at += 2;
            for (n = (n & 0x7f) + 4; n > 0; n--, to++)
                out[to] = out[to - distance];
        }
    }
    return to;
}

static int lz_prepare(void)
{
    g.text = bench_memory_get(LZ_LEN);
    g.packed = bench_memory_get(LZ_MAX);
    g.unpacked = bench_memory_get(LZ_LEN);
    g.table = bench_memory_get(4096 * sizeof(*g.table));
    if (!g.text || !g.packed || !g.unpacked || !g.table)
        return -ENOMEM;
    make_text(g.text, LZ_LEN);
    g.packed_len = lz_pack(g.text, LZ_LEN, g.packed);
    return 0;
}

static int lz_pack_unit(uint64_t *sum)
{
    bench_fold(sum, g.packed, lz_pack(g.text, LZ_LEN, g.packed));
    return 0;
}

static int lz_unpack_unit(uint64_t *sum)
{
    size_t len = 0;

    for (int i = 0; i < 8; i++)
        len += lz_unpack(g.packed, g.packed_len, g.unpacked);
    if (len != 8u * LZ_LEN || memcmp(g.text, g.unpacked, LZ_LEN) != 0)
        return -EILSEQ;
    bench_fold(sum, g.unpacked, LZ_LEN);
    return 0;
}

/* --- dispatching -------------------------------------------------------- */

enum { V_LOAD, V_ADD, V_MUL, V_XOR, V_SHIFT, V_STORE, V_DEC, V_JNZ, V_END };

/* One accumulator, eight cells; a loop of 13 instructions. */
static const uint8_t vm_program[] = {
    V_LOAD,  0, V_MUL,   1, V_ADD,   2, V_STORE, 0, V_SHIFT, 7,
    V_XOR,   3, V_STORE, 3, V_LOAD,  4, V_ADD,   3, V_XOR,   0,
    V_STORE, 4, V_DEC,   5, V_JNZ,   0, V_END,   0,
};

static int vm_unit(uint64_t *sum)
{
    uint64_t cell[8] = {1, 6364136223846793005u, 1442695040888963407u, 0, 0,
                        40000};
    uint64_t acc = 0;
    size_t pc = 0;

    for (;;) {
        unsigned arg = vm_program[pc + 1];

        switch (vm_program[pc]) {
        case V_LOAD:
            acc = cell[arg];
            break;
        case V_ADD:
            acc += cell[arg];
            break;
        case V_MUL:
            acc *= cell[arg];
            break;
        case V_XOR:
            acc ^= cell[arg];
            break;
        case V_SHIFT:
            acc >>= arg;
            break;
        case V_STORE:
            cell[arg] = acc;
            break;
        case V_DEC:
            acc = --cell[arg];
            break;
        case V_JNZ:
            if (acc != 0) {
                pc = arg;
                continue;
            }
            break;
        default:
            *sum += cell[4];
            return 0;
        }
        pc += 2;
    }
}

static uint64_t call_add(uint64_t x) { return x + 0x9e3779b9u; }
static uint64_t call_xor(uint64_t x) { return x ^ x >> 13; }
static uint64_t call_mul(uint64_t x) { return x * 0xff51afd7ed558ccdu; }
static uint64_t call_not(uint64_t x) { return ~x; }
static uint64_t call_rot(uint64_t x) { return x << 11 | x >> 53; }
static uint64_t call_sub(uint64_t x) { return x - (x >> 7); }
static uint64_t call_swap(uint64_t x) { return __builtin_bswap64(x); }
static uint64_t call_neg(uint64_t x) { return 3 - x; }

static uint64_t (*const volatile calls[8])(uint64_t) = {
    call_add, call_xor, call_mul, call_not,
    call_rot, call_sub, call_swap, call_neg,
};

static int indirect_unit(uint64_t *sum)
{
    uint64_t x = 1;

    for (uint32_t i = 0; i < 400000; i++)
        x = calls[(i * 5 + (i >> 3)) & 7](x);
    *sum += x;
    return 0;
}

static int tree_prepare(void)
{
    g.nodes = bench_memory_get(TREE_COUNT * sizeof(*g.nodes));
    return g.nodes ? 0 : -ENOMEM;
}

/* A search tree is grown from random keys; then all are looked up. */
static int tree_unit(uint64_t *sum)
{
    struct node *root = NULL;
    uint64_t seed = 99, depth = 0;

    for (uint32_t i = 0; i < TREE_COUNT; i++) {
        struct node *n = &g.nodes[i], **to = &root;

        n->key = (uint32_t)bench_random(&seed);
        n->left = n->right = NULL;
        while (*to)
            to = n->key < (*to)->key ? &(*to)->left : &(*to)->right;
        *to = n;
    }
    seed = 99;
    for (uint32_t i = 0; i < TREE_COUNT; i++) {
        uint32_t key = (uint32_t)bench_random(&seed);
        const struct node *n = root;

        for (; n && n->key != key; depth++)
            n = key < n->key ? n->left : n->right;
        if (!n)
            return -EILSEQ;
    }
    *sum += depth;
    return 0;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
    uint32_t a, b;

    if (n < 2)
        return n;
    a = fib(n - 1);
    /* Keeps the compiler from making a loop of the calls. */
    __asm__ volatile("" : "+r"(a));
    b = fib(n - 2);
    return a + b;
}

static volatile uint32_t fib_n = FIB_N;

static int fib_unit(uint64_t *sum)
{
    for (int i = 0; i < 10; i++)
        *sum += fib(fib_n);
    return 0;
}

const struct workload bench_integer[] = {
    {"qsort", "integer", "number", SORT_COUNT, 6, sort_prepare, qsort_unit,
     NULL},
    {"heap sort", "integer", "number", SORT_COUNT, 6, sort_prepare,
     heapsort_unit, NULL},
    {"hash", "integer", "byte", HASH_LEN, 40, hash_prepare, hash_unit, NULL},
    {"LZ pack", "integer", "byte", LZ_LEN, 20, lz_prepare, lz_pack_unit,
     NULL},
    {"LZ unpack", "integer", "byte", 8 * LZ_LEN, 10, lz_prepare,
     lz_unpack_unit, NULL},
    {"interpreter", "integer", "instruction", 40000 * 13, 10, NULL, vm_unit,
     NULL},
    {"indirect calls", "integer", "call", 400000, 10, NULL, indirect_unit,
     NULL},
    {"tree", "integer", "key", TREE_COUNT, 4, tree_prepare, tree_unit, NULL},
    {"fib", "integer", "call", 10 * 150049, 8, NULL, fib_unit, NULL},
    {0},
};
