/* SPDX-License-Identifier: Apache-2.0 */
/* Ready-made start states (SDM vol. 3, chapters 3 and 9). */
#include <squib/vcpu.h>

#include <string.h>

#define CR0_PE 0x1u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

/* present, S=1; code: execute/read, accessed; data: read/write, accessed */
#define ATTR_CODE 0x9bu
#define ATTR_DATA 0x93u
#define ATTR_L 0x2000u
#define ATTR_DB 0x4000u
#define ATTR_G 0x8000u

static void common(struct squib_x86_64_state *st, uint64_t rip,
                   uint16_t cs_sel, uint16_t ds_sel, uint32_t code,
                   uint32_t data, uint32_t limit)
{
    memset(st->gpr, 0, sizeof(st->gpr));
    st->rip = rip;
    st->rflags = 2;
    for (int i = 0; i <= SQUIB_X86_GS; i++)
        st->seg[i] = (struct squib_x86_seg){
            .limit = limit, .attr = data, .selector = ds_sel};
    st->seg[SQUIB_X86_CS].attr = code;
    st->seg[SQUIB_X86_CS].selector = cs_sel;
    st->seg[SQUIB_X86_LDTR] = (struct squib_x86_seg){
        .limit = 0xffff, .attr = 0x82};
    st->seg[SQUIB_X86_TR] = (struct squib_x86_seg){
        .limit = 0xffff, .attr = 0x8b};
    st->gdt = (struct squib_x86_table){.limit = 0xffff};
    st->idt = (struct squib_x86_table){.limit = 0xffff};
    st->cr0 = CR0_ET | CR0_NE;
    st->cr2 = st->cr3 = st->cr4 = st->cr8 = st->efer = 0;
    st->xcr0 = 1;
    memset(st->dr, 0, sizeof(st->dr));
    st->dr6 = 0xffff0ff0;
    st->dr7 = 0x400;
}

void squib_x86_real_mode(struct squib_x86_64_state *st, uint32_t cs_base,
                         uint16_t ip)
{
    common(st, ip, (uint16_t)(cs_base >> 4), 0, ATTR_CODE, ATTR_DATA,
           0xffff);
    st->seg[SQUIB_X86_CS].base = cs_base;
}

void squib_x86_flat32(struct squib_x86_64_state *st, uint32_t eip)
{
    common(st, eip, 0x08, 0x10, ATTR_CODE | ATTR_DB | ATTR_G,
           ATTR_DATA | ATTR_DB | ATTR_G, 0xffffffff);
    st->cr0 |= CR0_PE;
}

void squib_x86_long_mode(struct squib_x86_64_state *st, uint64_t rip,
                         uint64_t cr3)
{
    common(st, rip, 0x08, 0x10, ATTR_CODE | ATTR_L | ATTR_G,
           ATTR_DATA | ATTR_DB | ATTR_G, 0xffffffff);
    st->cr0 |= CR0_PE | CR0_PG;
    st->cr3 = cr3;
    st->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    st->efer = EFER_LME | EFER_LMA;
}
