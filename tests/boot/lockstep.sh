#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Debian's kernel boots and runs programs while the interpreter checks every
# block that the translator made. With --long the programs do more.
. "${0%/*}/lib.sh"
long=
[ "${1-}" != --long ] || long=1
need_guest
backend=soft,jit=lockstep,cpu=v3
limited 20 "$SQUIB" run --backend "$backend" -- true </dev/null
if [ "$status" != 0 ] && grep -q 'interpreting, as' "$err"; then
    skip "$(sed -n 's/^squib: interpreting, as //p' "$err")"
fi

job='echo hello | md5sum; i=0
while [ $i -lt 50 ]; do i=$((i + 1)); done; echo $i
dd if=/dev/zero bs=4096 count=200 2>/dev/null | gzip | gunzip | sha256sum
awk "BEGIN { for (x = 1; x < 200; x++) s += x * 1.25 / (x + 3); print s }"'
if [ "$long" ]; then
    job="$job"'
find / -xdev -type f 2>/dev/null | sort | head -n 2000 | md5sum
awk "BEGIN { for (x = 1; x < 300000; x++) s += (x % 7) / x; print s }"
dd if=/dev/urandom bs=65536 count=100 2>/dev/null >/tmp/x
gzip -9 </tmp/x | gunzip | cmp - /tmp/x && echo same
for n in 1 2 3 4 5 6 7 8 9; do (sh -c "echo $n | sha512sum") & done; wait'
fi
# Deterministic, so that whole pages are compared, and no device changes what
# a block reads between its two runs.
limited 600 "$SQUIB" run -v --deterministic --timeout 590 --backend "$backend" -- sh -c "$job" \
    </dev/null
what="a boot in lockstep"
ended "$what" 0 || finish
cp "$out" "$work/lockstep"
pass "$what"

# How much was compared: nearly all.
set -- $(sed -n 's/^squib: lockstep: \([0-9]*\) blocks compared, \([0-9]*\) interpreted alone, \([0-9]*\) .*/\1 \2 \3/p' "$err")
what="nearly all blocks were compared"
if [ $# != 3 ] || [ "$1" -lt 20000000 ]; then
    fail "$what" "compared: ${1-none}"
elif [ $(($2 * 50)) -gt "$1" ]; then
    fail "$what" "$2 were not, $1 were"
elif [ "$3" != 0 ]; then
    fail "$what" "$3 differed for once"
else
    pass "$what ($1, but for $2)"
fi

what="the programs print the same as interpreted"
backend=soft,jit=off,cpu=v3
squib_run --deterministic -- sh -c "$job" </dev/null
if ended "$what" 0; then
    if cmp -s "$out" "$work/lockstep"; then
        pass "$what"
    else
        fail "$what" "they do not"
    fi
fi
finish
