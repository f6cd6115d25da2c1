/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multiboot program that looks at what it was handed and at the test
 * device, says so on the serial port, and ends with the status that its
 * last argument names: a digit, or h to halt for good, or t for a triple
 * fault. -DADDRESSES: the header says where the file goes.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef ADDRESSES
#define FLAGS "0x10003"
#define PLACES ".long header, header, 0, end_of_bss, start\n"
#else
#define FLAGS "3"
#define PLACES
#endif
__asm__(".section .text.first, \"ax\"\n"
        "header: .long 0x1badb002, " FLAGS ", -(0x1badb002 + " FLAGS ")\n"
        PLACES
        ".globl start\n"
        "start: mov $stack_top, %esp\n"
        "push %ebx\n"
        "push %eax\n"
        "call body\n"
        ".text\n"
        ".bss\n"
        ".skip 8192\n"
        "stack_top: .long 0\n"
        ".text\n");

void body(u32 magic, const u32 *info);

static u8 never_written[64];

static void out8(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static void out16(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static void out32(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static u8 in8(u16 port)
{
    u8 v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static u32 in32(u16 port)
{
    u32 v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void text(const char *s)
{
    while (*s)
        out8(0x3f8, (u8)*s++);
}

static void line(const char *what, u32 v)
{
    text(what);
    text(" ");
    for (int shift = 28; shift >= 0; shift -= 4)
        out8(0x3f8, (u8)"0123456789abcdef"[v >> shift & 15]);
    text("\n");
}

static u32 fw_cfg(u16 key, int len)
{
    u32 v = 0;

    out16(0x510, key);
    for (int i = 0; i < len; i++)
        v |= (u32)in8(0x511) << 8 * i;
    return v;
}

/* RAM above 1 MiB by the memory map, in KiB. */
static u32 upper(const u32 *info)
{
    const u8 *p = (const u8 *)(unsigned long)info[12], *end = p + info[11];
    u32 sum = 0;

    for (; p < end; p += *(const u32 *)(unsigned long)p + 4)
        if (*(const u32 *)(p + 20) == 1 && *(const u64 *)(p + 4) >= 1u << 20)
            sum += (u32)(*(const u64 *)(p + 12) >> 10);
    return sum;
}

void body(u32 magic, const u32 *info)
{
    volatile u64 *device = (volatile u64 *)0xff000008u;
    const char *args = (const char *)(unsigned long)info[4];
    u32 cr0, used = 0;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    line("magic", magic);
    line("paging and protection", cr0 & 0x80000001);
    line("flags", info[0] & 0x245);
    line("lower KiB", info[1]);
    line("upper KiB", info[2]);
    line("mapped KiB", upper(info));
    line("modules", info[5]);
    if (info[5]) {
        const u32 *m = (const u32 *)(unsigned long)info[6];

        line("module bytes", m[1] - m[0]);
        line("module", *(const u32 *)(unsigned long)m[0]);
    }
    text((const char *)(unsigned long)info[16]);
    text("\n");
    for (u32 i = 0; i < sizeof(never_written); i++)
        used |= never_written[i];
    line("bss", used);
    line("signature", fw_cfg(0, 4));
    line("CPUs", fw_cfg(5, 2));
    line("MiB", fw_cfg(3, 4) >> 20);
    out32(0xe0, 0x12345678);
    line("latch", in32(0xe0));
    *device = 0x1122334455667788;
    line("device", (u32)(*device >> 16));
    while (*args && *args != ' ')
        args++;
    text("arguments:");
    text(args);
    text("\n");
    while (args[0] && args[1])
        args++;
    if (*args == 'h')
        for (;;)
            __asm__ volatile("cli; hlt");
    if (*args == 't') {
        static const u16 none[3];

        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    out32(0xf4, (u32)(*args - '0'));
    for (;;)
        __asm__ volatile("hlt");
}
