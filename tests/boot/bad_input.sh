#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Bad input to `squib run` gets one message that names the fact, the advice
# where there is one, and a documented status; never a crash or a hang.
. "${0%/*}/lib.sh"

run() { # options and command of `squib run`
    limited 20 "$SQUIB" run -q --backend "$backend" "$@" </dev/null
}
with_kernel() { # file, options
    file=$1
    shift
    run -k "$work/$file" "$@" -- true
}
# A file of the bytes of a printf format, filled up with zeros.
bytes() { # file, length, format
    { printf "$3"; head -c "$2" /dev/zero; } | head -c "$2" >"$work/$1"
}
# The header of an ELF file: class, data, machine as two octal bytes.
elf_header() {
    zeros='\0\0\0\0\0\0\0\0\0'
    bytes "$1" 4096 "\\177ELF\\$2\\$3\\1$zeros\\2\\0$4\\1\\0\\0\\0"
}

# --- kernels -----------------------------------------------------------------
with_kernel missing
complains "a kernel that is missing" 125 "no kernel .*missing" ""

: >"$work/empty"
with_kernel empty
complains "an empty kernel" 125 "kernel .*empty: it is empty" \
    "copy or download"

echo 'This is not a kernel.' >"$work/text"
with_kernel text
complains "a text file as the kernel" 125 "not a kernel" "x86-64"

head -c 100000 /dev/urandom >"$work/noise"
printf x | dd of="$work/noise" conv=notrunc status=none
with_kernel noise
complains "random bytes as the kernel" 125 "kernel .*noise: it is" "x86-64"

mkdir "$work/dir"
with_kernel dir
complains "a directory without a kernel in it" 125 "kernel" ""

run -k /dev/null -- true
complains "a device as the kernel" 125 "special, not a file" "vmlinux"

elf_header elf-arm64 2 1 '\267\0'
with_kernel elf-arm64
complains "an ELF kernel for arm64" 125 "is for arm64" "x86-64"
elf_header elf-i386 1 1 '\3\0'
with_kernel elf-i386
complains "an ELF kernel for i386" 125 "is for i386" "x86-64"
elf_header elf-s390 2 2 '\0\26'
with_kernel elf-s390
complains "a big-endian ELF kernel for s390" 125 "is for s390" "x86-64"
elf_header elf-other 2 1 '\376\312'
with_kernel elf-other
complains "an ELF kernel for a processor nobody knows" 125 \
    "another processor" "x86-64"
elf_header elf-none 2 1 '\76\0'
with_kernel elf-none
complains "an ELF file without segments" 125 "kernel .*elf-none: " ""
printf '\177ELF' >"$work/elf-short"
with_kernel elf-short
complains "four bytes of an ELF file" 125 "truncated" "copy or download"

{
    printf 'MZ\0\0'
    head -c 52 /dev/zero
    printf 'ARM\144'
    head -c 4096 /dev/zero
} >"$work/Image"
with_kernel Image
complains "an arm64 Image" 125 "arm64" "x86-64"
gzip -c "$work/Image" >"$work/Image.gz"
with_kernel Image.gz
complains "an arm64 Image.gz" 125 "gzip data" ""
printf '\317\372\355\376' >"$work/macho"
with_kernel macho
complains "a Mach-O file" 125 "Mach-O" "x86-64"

limited 20 env SQUIB_KERNEL="$work/nowhere" "$SQUIB" run -q -- true </dev/null
complains "SQUIB_KERNEL that names nothing" 125 "SQUIB_KERNEL" ""
if [ "$(id -u)" != 0 ]; then
    cp "$work/text" "$work/locked"
    chmod 0 "$work/locked"
    with_kernel locked
    complains "a kernel that may not be read" 125 "cannot be opened" \
        "readable"
fi

# No kernel anywhere: all the places, and what to do. (One in /boot counts.)
mkdir "$work/cache"
if ! ls /boot/vmlinuz-* >/dev/null 2>&1; then
    limited 20 env XDG_CACHE_HOME="$work/cache" "$SQUIB" run -q -- true \
        </dev/null
    complains "no kernel at all" 125 "no guest kernel" "squib kernel fetch"
    grep -q "cache: $work/cache/" "$err" && grep -q '/boot/' "$err" ||
        fail "no kernel at all" "the places are not listed"
fi

# --- the command line --------------------------------------------------------
run -c 0 -- true
complains "0 vCPUs" 125 "0 vCPUs asked for; 1 to 32" ""
run -c 33 -- true
complains "33 vCPUs" 125 "33 vCPUs asked for; 1 to 32" ""
run -c x -- true
complains "vCPUs that are no number" 125 "'x'" ""
run -c -1 -- true
complains "-1 vCPUs" 125 "-1" ""
run -m garbage -- true
complains "a memory size that is none" 125 "garbage" ""
run -m 99999999999999999999 -- true
complains "a memory size that no number holds" 125 "--memory" ""
run -m 8 -- true
complains "8 MiB of memory" 125 "8 MiB of memory asked for; 16 to" ""
run -m 1000G -- true
complains "1000 GiB of memory" 125 "memory asked for" ""
run --timeout soon -- true
complains "a time that is none" 125 "soon" ""
run --workdir here -- true
complains "a relative --workdir" 125 "absolute" ""
run --env =x -- true
complains "a variable without a name" 125 "no name" ""
run --nonsense -- true
complains "an unknown option" 125 "nonsense" "squib help run"
run -k
complains "an option without its value" 125 "value|argument" ""
limited 20 "$SQUIB" run -q --backend nonsense -- true </dev/null
complains "an unknown backend" 125 "nonsense" ""
run --volume a:b -- true
complains "an option that is not in this version" 125 \
    "volume is not in this version" "leave it away"
limited 20 "$SQUIB" nonsense </dev/null
complains "an unknown verb" 2 "nonsense" "squib help"

# --- roots -------------------------------------------------------------------
need_guest
run "$work/no-root" true
complains "a ROOT that does not exist" 125 "no root .*no-root" \
    "did you mean: squib run -- "
run uname -a
complains "a command instead of ROOT" 125 "no root uname" \
    "did you mean: squib run -- uname"
run "$work/empty" true
complains "an empty file as ROOT" 125 "empty" ""
run "$work/text" true
complains "a text file as ROOT" 125 "no file system" ""
tar cf "$work/root.tar" -C "$work" text
run "$work/root.tar" true
complains "a tar archive as ROOT" 125 "tar archive" "unpack it"
run /dev/null true
complains "a device as ROOT" 125 "neither a directory nor an image" ""
if [ "$(id -u)" != 0 ]; then
    run "$work/locked" true
    complains "an image that may not be read" 125 "cannot open" ""
fi

# --- kernels that are damaged, small machines --------------------------------
half=$(($(wc -c <"$kernel") / 2))
head -c $half "$kernel" >"$work/half"
with_kernel half
complains "half a bzImage" 125 "truncated: $half bytes" "copy or download"
head -c 560 "$kernel" >"$work/head"
with_kernel head
complains "560 bytes of a bzImage" 125 "truncated|not a kernel" ""
cp "$kernel" "$work/hole"
dd if=/dev/urandom of="$work/hole" bs=4096 seek=1500 count=100 conv=notrunc \
    status=none
with_kernel hole
complains "a bzImage with a damaged payload" 125 "kernel .*hole: " \
    "copy or download"

run -k "$kernel" -m 32 -- true
complains "memory that the kernel does not fit in" 125 \
    "needs [0-9]+ MiB, the VM has 32" "more memory"
run -k "$kernel" --initrd "$work/empty" -- true
complains "an empty initrd" 125 "initrd .* is empty" ""
run -k "$kernel" --initrd "$work/missing" -- true
complains "an initrd that is missing" 125 "initrd .*missing" ""
head -c 83886080 /dev/zero >"$work/large"
run -k "$kernel" -m 128 --initrd "$work/large" -- true
complains "an initrd that does not fit in" 125 "MiB|memory" "more memory"
rm "$work/large"
append=$(head -c 9000 /dev/zero | tr '\0' x)
run -k "$kernel" --append "$append" -- true
complains "a command line that is too long" 125 "command line is too long" ""

# --- guests that do not get to the command -----------------------------------
squib_run -k "$kernel" --append 'rdinit=/no-such-init init=/neither' -- true \
    </dev/null
what="a kernel that finds no init"
if complains "$what" 125 "panicked before its agent answered" ""; then
    grep -q '^  | .*panic' "$err" ||
        fail "$what" "the console's last lines are not shown"
fi
# A few MiB beside the kernel: it panics, waits for memory for ever, or just
# manages.
squib_run -k "$kernel" -m 66 --timeout 10 -- true </dev/null
what="memory that the kernel barely fits in"
if [ "$status" = 0 ] || [ "$status" = 124 ]; then
    pass "$what"
else
    complains "$what" 125 "panicked|initrd" ""
fi

# A root without what the command needs.
mkdir -p "$work/bare/etc"
squib_run -k "$kernel" "$work/bare" sh -c 'echo hello' </dev/null
complains "a ROOT without a shell" 127 "sh" ""
printf 'no program\n' >"$work/bare/etc/tool"
squib_run -k "$kernel" "$work/bare" /etc/tool </dev/null
complains "a file that is not executable" 126 "/etc/tool" ""

finish
