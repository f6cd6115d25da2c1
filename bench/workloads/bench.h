/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs that the benchmark runs natively and in guests: one static
 * binary for all of them.
 *
 * A workload is measured in units: a fixed amount of work that begins from the
 * same state every time, so that each unit gives the same checksum wherever
 * it runs. A slow machine runs fewer units, never smaller ones.
 */
#ifndef SQUIB_BENCH_WORKLOADS_H
#define SQUIB_BENCH_WORKLOADS_H

#include <stddef.h>
#include <stdint.h>

struct workload {
    const char *name;
    const char *group;
    const char *op; /* what one operation is */
    uint32_t ops;   /* operations in a unit */
    uint32_t units; /* of a full measurement */
    /* Puts the memory in order that units need; may be NULL. 0 or -errno. */
    int (*prepare)(void);
    /* 0 or -errno; adds what was computed to *sum. */
    int (*unit)(uint64_t *sum);
    /* Which code runs here, and why if that is not the best; may be NULL. */
    const char *(*variant)(void);
};

/* Each table ends with a row without a name. */
extern const struct workload bench_integer[];
extern const struct workload bench_float[];
extern const struct workload bench_crypto[];
extern const struct workload bench_memory[];
extern const struct workload bench_system[];

struct result {
    uint64_t sum, wall_ns, cpu_ns;
};

uint64_t bench_now_ns(void);

/* Obeys a command for devices (devices.c); sum is the bytes moved. NULL, or
 * what went wrong; "" when the line is no such command. */
const char *bench_device(const char *line, struct result *r);

/* Loads the modules that a guest's initramfs brings: /ko/0, /ko/1 ... */
void bench_load_modules(void);

/* Memory of the running workload: zeroed, page aligned, touched; NULL when
 * there is none left. All of it is given back before the next workload. */
void *bench_memory_get(size_t len);

/* The same random numbers everywhere (xorshift64*); the seed is not 0. */
uint64_t bench_random(uint64_t *state);

/* Folds `len` bytes into *sum. */
void bench_fold(uint64_t *sum, const void *data, size_t len);

/* The processor, and its kernel, have it. */
int bench_has_avx2_fma(void);
int bench_has_aes(void);

/* Known answers, and each variant against the others: the first that is
 * wrong, or NULL. */
const char *bench_crypto_check(void);

#endif
