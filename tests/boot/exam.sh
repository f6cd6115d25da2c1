#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `squib exam`: multiboot programs, the test device, and the status that they
# end with (exam.c). No Linux is needed.
here=${0%/*}
. "$here/lib.sh"
cc=${CC:-cc}
build() { # output, flags
    to=$1
    shift
    $cc -m32 -O1 -static -nostdlib -ffreestanding -fno-stack-protector \
        -fno-pie -no-pie -Wl,-N -Wl,--build-id=none -Wl,-e,start "$@" \
        -o "$to" "$here/exam.c" 2>"$work/log" ||
        skip "the compiler makes no 32-bit programs: $(tail -n 1 "$work/log")"
}
# The header is to come first; the linker sorts nothing by itself.
cat >"$work/script" <<'SCRIPT'
SECTIONS
{
    . = PLACE;
    .text : { *(.text.first) *(.text*) *(.rodata*) *(.data*) }
    .bss : { *(.bss*) end_of_bss = .; }
    /DISCARD/ : { *(.note*) *(.eh_frame) *(.comment) }
}
SCRIPT
sed 's/PLACE/0x100000/' "$work/script" >"$work/high.ld"
sed 's/PLACE/0x8000/' "$work/script" >"$work/low.ld"
sed 's/PLACE/0x1000/' "$work/script" >"$work/tables.ld"
build "$work/high" "-Wl,-T,$work/high.ld"
build "$work/low" "-Wl,-T,$work/low.ld"
build "$work/tables" "-Wl,-T,$work/tables.ld"
build "$work/addresses.elf" -DADDRESSES "-Wl,-T,$work/high.ld"
objcopy -O binary "$work/addresses.elf" "$work/addresses" ||
    skip "no objcopy"
printf 'unit' >"$work/module"

exam() { # words
    timeout $((60 * slow * patience)) "$SQUIB" exam --backend "$backend" "$@" \
        </dev/null >"$out" 2>"$err"
    status=$?
}
expected() { # CPUs, MiB, KiB above 1 MiB, modules' lines, arguments
    printf '%s\n' "magic 2badb002" "paging and protection 00000001" \
        "flags 00000245" "lower KiB 0000027f" "upper KiB $3" \
        "mapped KiB $3"
    printf %b "$4"
    printf '%s\n' squib "bss 00000000" "signature 554d4551" "CPUs 0000000$1" \
        "MiB $2" "latch 12345678" "device 33445566" "arguments:$5"
}
same() { # what, status, expected output
    if [ "$status" = "$2" ] && [ "$(cat "$out")" = "$3" ]; then
        echo "ok - $1"
        return
    fi
    echo "not ok - $1: status $status, not $2"
    printf '%s\n' "$3" | diff - "$out" | sed 's/^/    /'
    sed 's/^/    /' "$err"
    failed=1
}
said() { # what, status, words of the error
    if [ "$status" = "$2" ] && grep -q -e "$3" "$err"; then
        echo "ok - $1"
        return
    fi
    echo "not ok - $1: status $status, not $2, or not '$3'"
    sed 's/^/    /' "$err"
    failed=1
}

one=$(expected 1 00000080 0001fc00 'modules 00000000\n' ' a b 0')
exam "$work/high" a b 0
same "a program of ELF32" 1 "$one"
exam "$work/low" a b 0
same "one below 1 MiB" 1 "$one"
exam "$work/addresses" a b 0
same "a flat one, by its header's addresses" 1 "$one"
exam --memory 64M --cpus "$(cpus 2)" --initrd "$work/module" "$work/high" 3
same "a module, two CPUs, a failure" 7 "$(expected "$(cpus 2)" 00000040 0000fc00 \
    'modules 00000001\nmodule bytes 00000004\nmodule 74696e75\n' ' 3')"
exam "$work/high" t
said "a triple fault is no status" 125 'triple fault'
exam --timeout 2s "$work/high" h
said "a program that never ends" 124 'time limit'
exam "$work/tables" 0
said "one where the boot tables lie" 125 'boot tables'
head -c 600 "$work/high" >"$work/cut"
exam "$work/cut"
said "half a program" 125 'truncated'
exam
said "no program" 125 'which program'
finish
