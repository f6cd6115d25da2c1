/* SPDX-License-Identifier: Apache-2.0 */
#include "a64.h"

#include <string.h>

static uint32_t bits(uint32_t insn, unsigned from, unsigned to)
{
    return insn >> to & ((1u << (from - to + 1)) - 1);
}

/* size and opc of the single-register forms (C4.1.88, "Load/store register"
 * tables): opc 0 store, 1 load, 2 load signed into X, 3 load signed into W. */
static void by_size_opc(uint32_t insn, bool described, struct a64_access *out)
{
    uint32_t size = bits(insn, 31, 30), opc = bits(insn, 23, 22);

    if (size == 3 && opc >= 2)
        return; /* PRFM, or unallocated */
    if (size == 2 && opc == 3)
        return; /* unallocated */
    out->isv = described;
    out->store = opc == 0;
    out->load = opc != 0;
    out->size = (uint8_t)size;
    out->sign = opc >= 2;
    out->wide = opc == 2 || (opc < 2 && size == 3);
    out->reg = (uint8_t)bits(insn, 4, 0);
}

static void load_store_register(uint32_t insn, struct a64_access *out)
{
    uint32_t mode = bits(insn, 11, 10);

    if (bits(insn, 25, 24) == 1) { /* scaled, unsigned offset */
        by_size_opc(insn, true, out);
    } else if (bits(insn, 25, 24) == 0 && !bits(insn, 21, 21)) {
        /* 0 unscaled, 1 post-index, 2 unprivileged, 3 pre-index */
        by_size_opc(insn, mode == 0 || mode == 2, out);
    } else if (bits(insn, 25, 24) == 0 && mode == 2) {
        if (bits(insn, 14, 14)) /* the other extensions are unallocated */
            by_size_opc(insn, true, out);
    } else if (bits(insn, 25, 24) == 0 && mode == 0) {
        out->load = out->store = true; /* an atomic operation */
        if (bits(insn, 23, 10) == 0x2ff0 && bits(insn, 20, 16) == 31) {
            out->isv = true; /* LDAPR */
            out->store = false;
            out->size = (uint8_t)bits(insn, 31, 30);
            out->wide = out->size == 3;
            out->reg = (uint8_t)bits(insn, 4, 0);
        }
    }
}

static void exclusive(uint32_t insn, struct a64_access *out)
{
    out->load = bits(insn, 22, 22);
    out->store = !out->load;
    if (bits(insn, 23, 23) && !bits(insn, 21, 21)) { /* LDAR, STLR and so on */
        out->isv = true;
        out->size = (uint8_t)bits(insn, 31, 30);
        out->wide = out->size == 3;
        out->reg = (uint8_t)bits(insn, 4, 0);
    } else if (bits(insn, 23, 23)) {
        out->load = out->store = true; /* compare and swap */
    }
}

static void literal(uint32_t insn, struct a64_access *out)
{
    uint32_t opc = bits(insn, 31, 30);

    if (opc == 3)
        return; /* PRFM */
    out->isv = out->load = true;
    out->size = opc == 1 ? 3 : 2;
    out->sign = opc == 2;
    out->wide = opc != 0;
    out->reg = (uint8_t)bits(insn, 4, 0);
}

void a64_access(uint32_t insn, struct a64_access *out)
{
    uint32_t group = bits(insn, 29, 27);
    bool vector = bits(insn, 26, 26);

    memset(out, 0, sizeof(*out));
    if (vector && group != 1) {
        if (bits(insn, 27, 27) && !bits(insn, 25, 25))
            out->load = out->store = true; /* some access: never described */
        return;
    }
    if (group == 7)
        load_store_register(insn, out);
    else if (group == 3 && bits(insn, 25, 24) == 0)
        literal(insn, out);
    else if (group == 3 && bits(insn, 25, 24) == 1 && !bits(insn, 21, 21) &&
             bits(insn, 11, 10) == 0)
        by_size_opc(insn, true, out); /* LDAPUR, STLUR */
    else if (group == 1 && !vector && bits(insn, 25, 24) == 0)
        exclusive(insn, out);
    else if (group == 5) /* pairs */
        out->load = out->store = true;
}

uint64_t a64_abort_syndrome(const struct a64_access *a)
{
    uint64_t esr = 0x24ull << 26 | 1u << 25 | 0x07;

    if (a->store)
        esr |= 1u << 6;
    if (a->isv)
        esr |= 1u << 24 | (uint32_t)a->size << 22 |
               (uint32_t)a->sign << 21 | (uint32_t)a->reg << 16 |
               (uint32_t)a->wide << 15;
    return esr;
}
