#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# boot.sh [options] KERNEL_DIR BUSYBOX PROGRAM...
#
# Runs the Hypervisor.framework backend, whose framework is the double on
# KVM, on a processor that QEMU emulates with EL2: static arm64 programs
# (conform-hvf, squib-hvf, squib-hvf-broken) in a machine of Debian's kernel.
#
#   KERNEL_DIR        vmlinuz with modules/ beside it: Linux 6.4 or newer,
#                     which can forward PSCI calls
#   BUSYBOX           a static one for arm64
#   --cpu MODEL       neoverse-n1 (KVM with VHE); cortex-a72 is without
#   --timeout SECONDS for the whole machine (150)
#   --keep FILE       writes the machine's whole console there
#
# The verdict is what the machine writes to its console, since QEMU's exit
# status says nothing. Exit status: 0 passed, 1 failed, 77 nothing could be
# tested here (the reason is printed).
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cpu=neoverse-n1 timeout=150 keep=

skip() {
    echo "skip: $1"
    exit 77
}

while [ $# -gt 0 ]; do
    case $1 in
    --cpu) cpu=$2; shift ;;
    --timeout) timeout=$2; shift ;;
    --keep) keep=$2; shift ;;
    -*) echo "boot.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
[ $# -ge 3 ] || { echo "boot.sh: nothing to run" >&2; exit 2; }
dir=$1 busybox=$2
shift 2

for tool in qemu-system-aarch64 cpio; do
    command -v $tool >/dev/null || skip "no $tool"
done
[ -f "$dir/vmlinuz" ] && [ -d "$dir/modules" ] ||
    skip "no kernel in $dir (tools/fetch-kernel -b -a aarch64)"
[ -f "$busybox" ] ||
    skip "no arm64 busybox (tools/fetch-kernel -b -a aarch64)"
for program; do
    [ -f "$program" ] ||
        skip "no $program (tools/cross-build makes it; make check does)"
done

work=$(mktemp -d)
qemu=
stop() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" \
    "$root/kernel/modules"
cp "$busybox" "$root/bin/busybox"
cp "$here/init" "$root/init"
cp "$@" "$root/"
cp "$dir/vmlinuz" "$root/kernel/vmlinuz"
# what the guest's agent needs; the rest would only fill memory
(cd "$dir/modules" && find . -name 'modules.*' -o -name '*virtio*.ko' \
    -o -path '*/vmw_vsock/*.ko' -o -path '*/fs/fuse/*.ko' \
    -o -path '*/fs/overlayfs/*.ko' -o -path '*/net/core/failover.ko' \
    -o -name 'net_failover.ko' |
    cpio -pdm --quiet "$root/kernel/modules")
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

qemu-system-aarch64 -accel tcg,tb-size=256 \
    -M virt,virtualization=on,gic-version=3 -cpu "$cpu" -smp 1 -m 1024 \
    -nodefaults -no-user-config -display none -no-reboot -monitor none \
    -serial "file:$work/console" -kernel "$dir/vmlinuz" \
    -initrd "$work/initrd" \
    -append "console=ttyAMA0 quiet mitigations=off panic=-1" \
    >"$work/qemu.log" 2>&1 &
qemu=$!
left=$timeout
while kill -0 "$qemu" 2>/dev/null; do
    if [ "$left" -le 0 ]; then
        echo "the machine did not end within $timeout s; its last lines:"
        tail -n 20 "$work/console" 2>/dev/null || true
        exit 1
    fi
    sleep 1
    left=$((left - 1))
done
wait "$qemu" || { cat "$work/qemu.log"; exit 1; }
qemu=
[ -z "$keep" ] || cp "$work/console" "$keep"

tr -d '\r' <"$work/console" >"$work/text"
sed -n '/^hvf: /p; /^FAIL/p; /^skip/p; /^[0-9]* passed, /p' "$work/text"
if grep -q '^hvf: all passed$' "$work/text"; then
    echo "ok - in $((timeout - left)) s"
    exit 0
fi
echo "FAIL - the machine's last lines:"
tail -n 30 "$work/text"
exit 1
