/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#define PRId64 "lld"
#define PRIu64 "llu"
#define PRIx64 "llx"
#define PRIX64 "llX"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId32 "d"
