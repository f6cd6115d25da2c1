#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# in_guest.sh SQUIB_BENCH: what the benchmark measures computes the same in
# guests, interpreted and translated, as it does natively.
. "${0%/*}/../../tests/boot/lib.sh"
need_guest
need_tool cpio
"$1" check >"$work/native" || {
    cat "$work/native"
    exit 1
}
mkdir "$work/root"
cp "$1" "$work/root/squib-bench"
(cd "$work/root" && echo squib-bench | cpio -o -H newc --quiet) \
    >"$work/initrd" || skip "cpio failed"
for backend in soft,jit=off soft,jit=on; do
    what="checksums on $backend"
    limited 120 "$SQUIB" run -q --backend "$backend" -m 768M \
        --initrd "$work/initrd" -- /squib-bench check </dev/null
    ended "$what" 0 || continue
    if cmp -s "$out" "$work/native"; then
        pass "$what: $(wc -l <"$out") as natively"
    else
        diff "$work/native" "$out" | head -n 20
        fail "$what" "not as natively"
    fi
done
finish
