#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# arm64.sh [options] NAME INIT KERNEL_DIR BUSYBOX PROGRAM...
#
# Runs static arm64 programs on a processor that QEMU emulates with EL2, so
# that KVM works there, in a machine of Debian's kernel: the KVM backend
# (init-arm64), and the Hypervisor.framework backend with the framework's
# double (tests/hvf/init).
#
#   NAME              begins the lines that INIT says: "NAME: all passed"
#   INIT              the machine's first process; the programs are in /, the
#                     kernel in /kernel
#   KERNEL_DIR        vmlinuz with modules/ beside it; for the double Linux
#                     6.4 or newer, which can forward PSCI calls
#   BUSYBOX           a static one for arm64
#   --cpu MODEL       neoverse-n1 (KVM with VHE); cortex-a72 is without
#   --packed          the kernel also as Image.gz and as an EFI zboot image, in
#                     /kernel-gz and /kernel-zboot
#   --timeout SECONDS for the whole machine (1000)
#   --keep FILE       writes the machine's whole console there
#
# Exit status: see lib.sh.
set -eu
export LC_ALL=C
. "$(dirname "$0")/lib.sh"
cpu=neoverse-n1 packed= timeout=1000 keep=

while [ $# -gt 0 ]; do
    case $1 in
    --cpu) cpu=$2; shift ;;
    --packed) packed=1 ;;
    --timeout) timeout=$2; shift ;;
    --keep) keep=$2; shift ;;
    -*) echo "arm64.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
[ $# -ge 5 ] || { echo "arm64.sh: nothing to run" >&2; exit 2; }
name=$1 init=$2 dir=$3 busybox=$4
shift 4

for tool in qemu-system-aarch64 cpio ${packed:+gzip zstd}; do
    command -v $tool >/dev/null || skip "no $tool"
done
[ -f "$dir/vmlinuz" ] && [ -d "$dir/modules" ] ||
    skip "no kernel in $dir (make check fetches it)"
[ -f "$busybox" ] ||
    skip "no arm64 busybox (tools/fetch-kernel -a aarch64)"
for program; do
    [ -f "$program" ] ||
        skip "no $program (tools/cross-build makes it; make check does)"
done

begin "$init" "$busybox"
cp "$@" "$root/"
take_modules "$dir/modules"
cp "$dir/vmlinuz" "$root/kernel/vmlinuz"
le32() {
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) \
        $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}
if [ -n "$packed" ]; then
    mkdir "$root/kernel-gz" "$root/kernel-zboot"
    ln -s ../kernel/modules "$root/kernel-gz/modules"
    ln -s ../kernel/modules "$root/kernel-zboot/modules"
    gzip -1 -c "$dir/vmlinuz" >"$root/kernel-gz/vmlinuz"
    zstd -q -1 -c "$dir/vmlinuz" >"$work/zst"
    { # Linux drivers/firmware/efi/libstub/zboot-header.S
        printf 'MZ\0\0zimg'
        le32 64
        le32 "$(wc -c <"$work/zst")"
        printf '\0\0\0\0\0\0\0\0zstd'
        head -c 36 /dev/zero
        cat "$work/zst"
    } >"$root/kernel-zboot/vmlinuz"
fi

# Time is a count of instructions (4 ns each): on a busy machine clocks that
# go by the host's would interrupt an emulated processor, and the guests in
# it, faster than they can answer.
run_machine "$name" "$timeout" "$keep" \
    qemu-system-aarch64 -accel tcg,tb-size=256 -icount shift=2,sleep=off \
    -M virt,virtualization=on,gic-version=3 -cpu "$cpu" -smp 1 -m 1024 \
    -kernel "$dir/vmlinuz" \
    -append "console=ttyAMA0 quiet mitigations=off panic=-1"
