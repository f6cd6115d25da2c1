#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [options] KERNEL_DIR
#
# Tests the KVM backend on the real kvm-amd of a Linux kernel, on machines
# without virtualization hardware: QEMU emulates a processor that has SVM,
# boots Debian's cloud kernel on it, and that loads its KVM modules and runs
# the programs given here.
#
#   KERNEL_DIR        vmlinuz with modules/ beside it (squib's kernel cache),
#                     or an unpacked linux-image package (boot/, lib/modules/)
#   --conform FILE    a static conformance program: runs "FILE kvm"
#   --squib FILE      a static squib: boots the same kernel as its guest
#   --api FILE        a static client of its API: devices that come and go
#   --timeout SECONDS for the whole machine (1000)
#   --no-npt          without nested paging, so with KVM's shadow pages
#   --tests WORDS     only these conformance tests
#   --keep FILE       writes the machine's whole console there
#
# Exit status: see lib.sh.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
conform= squib= api= timeout=1000 npt=1 tests= keep= dir=

while [ $# -gt 0 ]; do
    case $1 in
    --conform) conform=$2; shift ;;
    --squib) squib=$2; shift ;;
    --api) api=$2; shift ;;
    --timeout) timeout=$2; shift ;;
    --tests) tests=$2; shift ;;
    --keep) keep=$2; shift ;;
    --no-npt) npt=0 ;;
    -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) dir=$1 ;;
    esac
    shift
done
[ -n "$conform$squib" ] || { echo "run.sh: nothing to run" >&2; exit 2; }

for tool in qemu-system-x86_64 cpio busybox; do
    command -v $tool >/dev/null || skip "no $tool"
done
[ -n "$dir" ] && [ -d "$dir" ] || skip "no kernel directory '$dir'"
vmlinuz= modules=
for f in "$dir/vmlinuz" "$dir"/boot/vmlinuz-*; do
    [ -f "$f" ] && vmlinuz=$f
done
for d in "$dir/modules" "$dir"/lib/modules/*; do
    [ -d "$d/kernel" ] && modules=$d
done
[ -n "$vmlinuz" ] || skip "no vmlinuz in $dir"
[ -f "$modules/kernel/arch/x86/kvm/kvm-amd.ko" ] ||
    skip "no kvm-amd.ko in $dir"

busybox=$(command -v busybox)
if file=$(ldd "$busybox" 2>/dev/null) && [ -n "$file" ]; then
    case $file in
    *"not a dynamic"* | *"statically linked"*) ;;
    *) skip "busybox is not static (package busybox-static)" ;;
    esac
fi
begin "$here/init" "$busybox"

# --- the kernel, unpacked -------------------------------------------------
# QEMU enters an ELF image by PVH, which spares the emulated processor the
# decompression. Offsets: Linux Documentation/x86/boot.rst. What cannot be
# unpacked here boots as it is, only slower.
field() { # offset, bytes
    od -An -t "u$2" -j "$1" -N "$2" "$vmlinuz" | tr -d ' '
}
unpack() {
    at=$((($(field 497 1) + 1) * 512 + $(field 584 4)))
    len=$(field 588 4)
    tail -c +$((at + 1)) "$vmlinuz" | head -c "$len" >"$work/payload"
    case $(od -An -t x1 -N 4 "$work/payload" | tr -d ' ') in
    02214c18) # the last four bytes are the size, not LZ4
        head -c $((len - 4)) "$work/payload" | lz4 -dc ;;
    28b52ffd) zstd -dc <"$work/payload" ;;
    1f8b*) gzip -dc <"$work/payload" 2>/dev/null || true ;;
    fd377a58) xz -dc --single-stream <"$work/payload" ;;
    *) return 1 ;;
    esac >"$work/vmlinux" 2>"$work/unpack.log"
}
image=$vmlinuz
if unpack && [ "$(head -c 4 "$work/vmlinux" | tail -c 3)" = ELF ]; then
    image=$work/vmlinux
else
    rm -f "$work/vmlinux"
fi

# --- the machine's files ---------------------------------------------------
mkdir "$root/ko"
cp "$modules/kernel/virt/lib/irqbypass.ko" \
    "$modules/kernel/arch/x86/kvm/kvm.ko" \
    "$modules/kernel/arch/x86/kvm/kvm-amd.ko" "$root/ko/"
[ -z "$conform" ] || cp "$conform" "$root/conform"
if [ -n "$squib" ]; then
    cp "$squib" "$root/squib"
    take_modules "$modules"
    if [ -f "$work/vmlinux" ]; then
        ln "$work/vmlinux" "$root/kernel/vmlinux"
    else
        cp "$vmlinuz" "$root/kernel/vmlinuz"
    fi
fi
if [ -n "$squib" ] && [ -n "$api" ]; then
    cp "$api" "$root/api"
    hot=$work/hot
    mkdir -p "$hot/bin" "$hot/dev" "$hot/proc" "$hot/sys" "$hot/tmp" "$hot/ko"
    cp "$busybox" "$hot/bin/busybox"
    cp "$here/hot-init" "$hot/init"
    chmod 755 "$hot/init"
    # What a driver needs comes first: insmod resolves nothing.
    for d in virtio_pci virtio_blk virtio_pmem nd_pmem; do
        line=$(grep "/$d\.ko:" "$modules/modules.dep") ||
            skip "no module $d beside the kernel"
        for m in $(echo "${line#*:}" | tr ' ' '\n' | tac) "${line%%:*}"; do
            [ -e "$hot/ko/${m##*/}" ] || echo "${m##*/}" >>"$hot/ko/order"
            cp "$modules/$m" "$hot/ko/"
        done
    done
    (cd "$hot" && find . | cpio -o -H newc --quiet) >"$root/hot.initrd"
fi

# --- run --------------------------------------------------------------------
# An unknown word with "=" on the command line is a variable of init.
[ -z "$tests" ] || tests="tests=$(echo "$tests" | tr ' ' ,)"
run_machine nested "$timeout" "$keep" \
    qemu-system-x86_64 -accel tcg,tb-size=256 -M q35 \
    -cpu EPYC-v3,+svm,+npt -smp 1 -m 512 -kernel "$image" \
    -append "console=ttyS0 quiet mitigations=off panic=-1 npt=$npt $tests"
