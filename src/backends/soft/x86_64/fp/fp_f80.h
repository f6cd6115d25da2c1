/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_SOFT_X86_64_FP_F80_H
#define SQ_SOFT_X86_64_FP_F80_H

/* What the x87 files share with each other. */
#include "backends/soft/x86_64/fp/fp_internal.h"

static inline struct sq_f80 sq_fp_invalid80(struct sq_fp_env *env)
{
    sq_fp_raise(env, SQ_FP_IE);
    return sq_fp_pack80(sq_fp_indefinite());
}

/*
 * Opens an operation: clears C1 and unpacks. False when a NaN or unsupported
 * operand settles it; `*out` is then the result, flags included. An operation
 * of one operand passes it twice.
 */
bool sq_fp_begin80(struct sq_f80 x, struct sq_f80 y, struct sq_fp_parts *a,
                   struct sq_fp_parts *b, struct sq_f80 *out,
                   struct sq_fp_env *env);

#define SQ_FP_U128(hi, lo) ((sq_fp_u128)(hi) << 64 | (lo))

/* Product of two fixed-point numbers with 128 fraction bits, rounded down. */
static inline sq_fp_u128 sq_fp_mul_fixed(sq_fp_u128 a, sq_fp_u128 b)
{
    bool lost;

    return sq_fp_mul_high(a, b, &lost);
}

/* |r| < 1 with 128 fraction bits, rounded down. */
static inline sq_fp_u128 sq_fp_fixed(struct sq_fp_raw r)
{
    return r.exp < -128 ? 0 : r.sig >> (-1 - r.exp);
}

#endif
