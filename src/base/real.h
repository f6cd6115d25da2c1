/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with a fraction as JSON text. Any thread, no shared state. */
#ifndef SQ_BASE_REAL_H
#define SQ_BASE_REAL_H

#define SQ_REAL_TEXT_MAX 32u /* with the NUL */

/* The fewest digits that mean v again, written as Firecracker writes them
 * (serde_json): 0.1, 1000.0, 0.00001, 1e-6, 1000000000000000.0, 1e+16. v is
 * finite. */
void sq_real_text(double v, char out[SQ_REAL_TEXT_MAX]);

#endif
