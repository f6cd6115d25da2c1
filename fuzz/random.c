/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer's body on random inputs, where there is no libFuzzer:
 *
 *     fuzz_NAME RUNS [SEED]
 *
 * The same seed gives the same inputs. The last one is printed before it
 * runs when VERBOSE is set, so that a crash can be found again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

int main(int argc, char **argv)
{
    static uint8_t input[INPUT_MAX];
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    for (unsigned long run = 0; run < runs; run++) {
        uint64_t x = (seed + run) * 0x9e3779b97f4a7c15ull | 1;
        size_t len = 1 + (size_t)(next(&x) % INPUT_MAX);

        for (size_t i = 0; i < len; i++)
            input[i] = (uint8_t)(next(&x) >> 24);
        if (getenv("VERBOSE")) {
            printf("# seed %llu, %zu bytes\n",
                   (unsigned long long)(seed + run), len);
            fflush(stdout);
        }
        LLVMFuzzerTestOneInput(input, len);
    }
    printf("ok - %lu random inputs\n", runs);
    return 0;
}
