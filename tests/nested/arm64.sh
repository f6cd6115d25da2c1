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
#   --timeout SECONDS for the whole machine (1000)
#   --keep FILE       writes the machine's whole console there
#
# The verdict is what the machine writes to its console, since QEMU's exit
# status says nothing. Exit status: 0 passed, 1 failed, 77 nothing could be
# tested here (the reason is printed).
set -eu
export LC_ALL=C
cpu=neoverse-n1 timeout=1000 keep=

skip() {
    echo "skip: $1"
    exit 77
}

while [ $# -gt 0 ]; do
    case $1 in
    --cpu) cpu=$2; shift ;;
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

for tool in qemu-system-aarch64 cpio; do
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
cp "$init" "$root/init"
cp "$@" "$root/"
cp "$dir/vmlinuz" "$root/kernel/vmlinuz"
# what the guest's agent needs; the rest would only fill memory
(cd "$dir/modules" && find . -name 'modules.*' -o -name '*virtio*.ko' \
    -o -path '*/vmw_vsock/*.ko' -o -path '*/fs/fuse/*.ko' \
    -o -path '*/fs/overlayfs/*.ko' -o -path '*/net/core/failover.ko' \
    -o -name 'net_failover.ko' |
    cpio -pdm --quiet "$root/kernel/modules")
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

# Time is a count of instructions (4 ns each): on a busy machine clocks that
# go by the host's would interrupt an emulated processor, and the guests in
# it, faster than they can answer.
qemu-system-aarch64 -accel tcg,tb-size=256 -icount shift=2,sleep=off \
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
sed -n "/^$name: /p; /^FAIL/p; /^skip/p; /^[0-9]* passed, /p" "$work/text"
if grep -q "^$name: all passed\$" "$work/text"; then
    echo "ok - in $((timeout - left)) s"
    exit 0
fi
echo "FAIL - the machine's last lines:"
tail -n 30 "$work/text"
exit 1
