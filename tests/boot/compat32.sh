#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A 32-bit program in the guest (compat32.c). What it must print is written
# here; x86 processors print the same where their kernel runs such programs.
here=${0%/*}
. "$here/lib.sh"
need_guest
need_tool mke2fs
cc=${CC:-cc}
mkdir "$work/root"
$cc -m32 -O1 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie \
    -no-pie -o "$work/root/compat32" "$here/compat32.c" 2>"$work/log" ||
    skip "the compiler makes no 32-bit programs: $(tail -n 1 "$work/log")"

expected='entry 00000001
through the fast entry
daa 00000014
aas 00000109
aad 0000000f
aam 00000c03
pusha 00000008
enter 00000014
set_thread_area 00000000
gs 12345678
lsl ffffffff
cs 00000023
arpl 00000013
div 00002763
rem 69d033c1
fsqrt 544b2fba
fcw 0000037f
xlat 0000002d
mmx 03030404
lea16 00000006
64-bit 22222222
'
squib_run -k "$kernel" "$work/root" /compat32 </dev/null
check "a 32-bit program" 42 "$expected" || {
    printf %s "$expected" >"$work/expected"
    diff "$work/expected" "$out" | sed 's/^/    /'
}
finish
