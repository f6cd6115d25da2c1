/* SPDX-License-Identifier: Apache-2.0 */
/* Expands all instruction rows. The includer defines the row macros of the
 * tables that it wants; the others expand to nothing. No include guard: it
 * is included once for each table. */
#ifndef B1
#define B1(...)
#endif
#ifndef B1_GROUP
#define B1_GROUP(...)
#endif
#ifndef B2_GROUP
#define B2_GROUP(...)
#endif
#ifndef B2_F3_GROUP
#define B2_F3_GROUP(...)
#endif
#ifndef B2_66_GROUP
#define B2_66_GROUP(...)
#endif
#ifndef B1X8
#define B1X8(...)
#endif
#ifndef B1X16
#define B1X16(...)
#endif
#ifndef B2
#define B2(...)
#endif
#ifndef B2X8
#define B2X8(...)
#endif
#ifndef B2X16
#define B2X16(...)
#endif
#ifndef B2_NP
#define B2_NP(...)
#endif
#ifndef B2_66
#define B2_66(...)
#endif
#ifndef B2_F3
#define B2_F3(...)
#endif
#ifndef B2_F2
#define B2_F2(...)
#endif
#ifndef B38_NP
#define B38_NP(...)
#endif
#ifndef B38_66
#define B38_66(...)
#endif
#ifndef B38_F2
#define B38_F2(...)
#endif
#ifndef B3A_NP
#define B3A_NP(...)
#endif
#ifndef B3A_66
#define B3A_66(...)
#endif
#ifndef B38_F3
#define B38_F3(...)
#endif
#ifndef V0F_NP
#define V0F_NP(...)
#endif
#ifndef V0F_66
#define V0F_66(...)
#endif
#ifndef V0F_F3
#define V0F_F3(...)
#endif
#ifndef V0F_F2
#define V0F_F2(...)
#endif
#ifndef V38_NP
#define V38_NP(...)
#endif
#ifndef V38_66
#define V38_66(...)
#endif
#ifndef V38_F3
#define V38_F3(...)
#endif
#ifndef V38_F2
#define V38_F2(...)
#endif
#ifndef V3A_NP
#define V3A_NP(...)
#endif
#ifndef V3A_66
#define V3A_66(...)
#endif
#ifndef V3A_F3
#define V3A_F3(...)
#endif
#ifndef V3A_F2
#define V3A_F2(...)
#endif
#ifndef V0F_NP_GROUP
#define V0F_NP_GROUP(...)
#endif
#ifndef V0F_66_GROUP
#define V0F_66_GROUP(...)
#endif
#ifndef V38_NP_GROUP
#define V38_NP_GROUP(...)
#endif
#ifndef G
#define G(...)
#endif
#ifndef GM
#define GM(...)
#endif
#ifndef GR
#define GR(...)
#endif
#ifndef FM
#define FM(...)
#endif
#ifndef FR
#define FR(...)
#endif

#include "backends/soft/x86_64/insns_int.def"
#include "backends/soft/x86_64/insns_sys.def"
#include "backends/soft/x86_64/insns_sse.def"
#include "backends/soft/x86_64/insns_x87.def"
#include "backends/soft/x86_64/insns_bmi.def"
#include "backends/soft/x86_64/insns_avx.def"

#undef B1
#undef B1_GROUP
#undef B2_GROUP
#undef B2_F3_GROUP
#undef B2_66_GROUP
#undef B1X8
#undef B1X16
#undef B2
#undef B2X8
#undef B2X16
#undef B2_NP
#undef B2_66
#undef B2_F3
#undef B2_F2
#undef B38_NP
#undef B38_66
#undef B38_F2
#undef B3A_NP
#undef B3A_66
#undef B38_F3
#undef V0F_NP
#undef V0F_66
#undef V0F_F3
#undef V0F_F2
#undef V38_NP
#undef V38_66
#undef V38_F3
#undef V38_F2
#undef V3A_NP
#undef V3A_66
#undef V3A_F3
#undef V3A_F2
#undef V0F_NP_GROUP
#undef V0F_66_GROUP
#undef V38_NP_GROUP
#undef G
#undef GM
#undef GR
#undef FM
#undef FR
