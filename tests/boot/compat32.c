/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 32-bit Linux program without a library, for the guest: compatibility
 * mode, both ways into the kernel, and instructions that 64-bit code cannot
 * have. Prints one line for each thing; compat32.sh knows what is right.
 *
 *   cc -m32 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie
 */
#include <stdint.h>

#define AT_SYSINFO 32 /* the kernel's own entry: sysenter, if it may */
#define SYS_exit 1
#define SYS_write 4
#define SYS_getpid 20
#define SYS_set_thread_area 243

static uint32_t vsyscall;

static int int80(int nr, int a, int b, int c)
{
    int r;

    __asm__ volatile("int $0x80"
                     : "=a"(r)
                     : "a"(nr), "b"(a), "c"(b), "d"(c)
                     : "memory");
    return r;
}

static int fast(int nr, int a, int b, int c)
{
    int r;

    __asm__ volatile("call *%1"
                     : "=a"(r)
                     : "m"(vsyscall), "a"(nr), "b"(a), "c"(b), "d"(c)
                     : "memory");
    return r;
}

static void say(const char *name, uint32_t value)
{
    char line[64];
    int n = 0;

    while (*name)
        line[n++] = *name++;
    line[n++] = ' ';
    for (int shift = 28; shift >= 0; shift -= 4)
        line[n++] = "0123456789abcdef"[value >> shift & 15];
    line[n++] = '\n';
    int80(SYS_write, 1, (int)(uintptr_t)line, n);
}

static void decimal_adjust(void)
{
    uint32_t a = 0x79, b = 0x0235, c = 0x0105, d = 123;

    __asm__("add $0x35, %%al\n\tdaa" : "+a"(a) : : "cc");
    say("daa", a); /* 79 + 35 = 114 */
    __asm__("sub $6, %%al\n\taas" : "+a"(b) : : "cc");
    say("aas", b & 0xffff);
    __asm__("aad" : "+a"(c) : : "cc");
    say("aad", c & 0xffff); /* 15 */
    __asm__("aam" : "+a"(d) : : "cc");
    say("aam", d & 0xffff); /* 12, 3 */
}

static void stack(void)
{
    uint32_t before, after, sum, frame;

    __asm__ volatile("mov %%esp, %0\n\t"
                     "mov $1, %%eax\n\tmov $2, %%ecx\n\tmov $3, %%edx\n\t"
                     "pusha\n\t"
                     "xor %%eax, %%eax\n\tmov %%eax, %%ecx\n\tmov %%eax, "
                     "%%edx\n\t"
                     "popa\n\t"
                     "lea (%%eax, %%ecx, 2), %2\n\tadd %%edx, %2\n\t"
                     "mov %%esp, %1"
                     : "=&S"(before), "=&D"(after), "=&b"(sum)
                     :
                     : "eax", "ecx", "edx", "memory", "cc");
    say("pusha", before - after + sum); /* 1 + 2 * 2 + 3 */
    __asm__ volatile("mov %%esp, %1\n\t"
                     "enter $16, $0\n\t"
                     "sub %%esp, %1\n\t"
                     "leave\n\t"
                     "mov %1, %0"
                     : "=&S"(frame), "=&D"(after)
                     :
                     : "memory", "cc");
    say("enter", frame); /* 4 + 16 */
}

static void segments(void)
{
    static uint32_t word = 0x12345678;
    struct {
        uint32_t entry, base, limit, flags;
    } area = {0xffffffff, (uint32_t)(uintptr_t)&word, 0xfffff, 0x51};
    uint32_t value, limit;
    uint16_t selector;

    say("set_thread_area",
        (uint32_t)int80(SYS_set_thread_area, (int)(uintptr_t)&area, 0, 0));
    selector = (uint16_t)(area.entry << 3 | 3);
    __asm__ volatile("mov %2, %%gs\n\t"
                     "mov %%gs:0, %0\n\t"
                     "lsl %k2, %1"
                     : "=&r"(value), "=&r"(limit)
                     : "r"((uint32_t)selector));
    say("gs", value);
    say("lsl", limit);
    __asm__ volatile("push %%cs\n\tpop %0" : "=r"(value));
    say("cs", value);
    value = 0x10;
    __asm__("arpl %w1, %w0" : "+r"(value) : "r"(0x3u) : "cc");
    say("arpl", value);
}

/* The 64-bit code segment from here, and back. */
static void long_mode(void)
{
    uint32_t high = 0;

    __asm__ volatile("lcall $0x33, $1f\n\t"
                     "jmp 2f\n"
                     "1:\n\t"
                     ".byte 0x48, 0xb8\n\t"  /* mov rax, imm64 */
                     ".long 0x11111111, 0x22222222\n\t"
                     ".byte 0x48, 0xc1, 0xe8, 0x20\n\t" /* shr rax, 32 */
                     ".byte 0xcb\n"          /* retf, 4-byte operands */
                     "2:"
                     : "+a"(high)
                     :
                     : "memory", "cc");
    say("64-bit", high);
}

static void arithmetic(void)
{
    uint32_t low = 0xfffffff1, high = 0x1234, root, control;
    uint16_t word;
    double two = 2.0, big = 1e9;
    uint8_t table[256];

    __asm__("divl %2" : "+a"(low), "+d"(high) : "r"(0x76543210u) : "cc");
    say("div", low);
    say("rem", high);
    __asm__("fldl %1\n\tfsqrt\n\tfmull %2\n\tfistpl %0"
            : "=m"(root)
            : "m"(two), "m"(big));
    say("fsqrt", root); /* 1414213562 */
    __asm__("fnstcw %0" : "=m"(word));
    control = word;
    say("fcw", control);
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)(i ^ 0x5a);
    low = 0x77;
    __asm__("xlat" : "+a"(low) : "b"(table), "m"(table));
    say("xlat", low);
    low = 0x01020304;
    high = 0;
    __asm__("movd %1, %%mm0\n\tpunpcklbw %%mm0, %%mm0\n\t"
            "movd %%mm0, %0\n\temms"
            : "=r"(high)
            : "r"(low));
    say("mmx", high);
    /* 16-bit addressing wraps within 64 KiB. */
    __asm__("mov $0x8001, %%bx\n\tmov $0x8005, %%si\n\t"
            ".byte 0x67, 0x8d, 0x00" /* lea eax, [bx + si] */
            : "=a"(low)
            :
            : "ebx", "esi");
    say("lea16", low);
}

__attribute__((used)) static void program(uint32_t *sp)
{
    static const char text[] = "through the fast entry\n";

    sp += 1 + sp[0] + 1; /* argc, argv, NULL */
    while (*sp++)
        ; /* the environment */
    for (; sp[0]; sp += 2)
        if (sp[0] == AT_SYSINFO)
            vsyscall = sp[1];
    say("entry", vsyscall != 0);
    if (vsyscall) {
        fast(SYS_write, 1, (int)(uintptr_t)text, sizeof(text) - 1);
        for (int i = 0; i < 1000; i++)
            if (fast(SYS_getpid, 0, 0, 0) != int80(SYS_getpid, 0, 0, 0))
                say("getpid differs", (uint32_t)i);
    }
    decimal_adjust();
    stack();
    segments();
    arithmetic();
    long_mode();
    int80(SYS_exit, 42, 0, 0);
}

__asm__(".globl _start\n"
        "_start:\n\t"
        "mov %esp, %eax\n\t"
        "and $-16, %esp\n\t"
        "sub $12, %esp\n\t"
        "push %eax\n\t"
        "call program\n\t"
        "hlt\n");
