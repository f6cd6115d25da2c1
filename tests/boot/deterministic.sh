#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Deterministic machines: Debian's kernel boots to the same memory and
# registers each time, interpreted and translated alike; another seed leads
# elsewhere.
. "${0%/*}/lib.sh"
root=${SQUIB_SOURCE_ROOT:-${0%/*}/../..}
need_guest

hash_of() { # backend, options and command of squib run
    backend=$1
    shift
    limited 120 "$SQUIB" run -v --deterministic --backend "$backend" "$@" \
        </dev/null
    hash=$(sed -n 's/^squib: .*state hash \([0-9a-f]* after [0-9]*\) .*/\1/p' \
        "$err")
    ended "a run ($backend, $*)" 0 || return 1
    [ -n "$hash" ] || {
        fail "a run ($backend, $*)" "no hash"
        return 1
    }
}
same() { # what
    if [ "$hash" = "$first" ]; then
        pass "$1"
    else
        fail "$1" "$hash, not $first"
    fi
}

hash_of soft,jit=off,cpu=v2 -- true || finish
first=$hash
echo "# $first"
hash_of soft,jit=off,cpu=v2 -- true && same "two boots end in the same state"
hash_of soft,jit=on,cpu=v2 -- true && same "translated it is that state, too"
hash_of soft,jit=on,cpu=v2 --seed 7 -- true || finish
if [ "$hash" != "$first" ]; then
    pass "another seed, another state"
else
    fail "another seed, another state" "the same"
fi

# Time: what the guest sleeps takes none outside, and begins at its date.
job='date +%Y-%m; a=$(date +%s); sleep 3000; b=$(date +%s)
[ $((b - a)) -ge 3000 ] && [ $((b - a)) -lt 3010 ] && echo slept
head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id'
hash_of soft,jit=on,cpu=v2 -- sh -c "$job" || finish
first=$hash
cp "$out" "$work/first"
hash_of soft,jit=eager,cpu=v2 -- sh -c "$job" &&
    same "a job that sleeps repeats, all of it translated"
what="it prints the same, random numbers too"
if cmp -s "$out" "$work/first" && grep -qx slept "$out" &&
    grep -qx 2026-01 "$out"; then
    pass "$what"
else
    fail "$what" "it does not"
fi

# Programs, and the wider registers that v3 adds, if this host has them all:
# else the translator offers less than the interpreter.
job='for i in 1 2 3; do ls -lR /proc/self /bin /etc | md5sum; sleep 1; done
seq 20000 | sha256sum; awk "BEGIN { for (i = 1; i < 20000; i++) s += sin(i)
print s }"; dd if=/dev/urandom bs=64k count=8 2>/dev/null | gzip | wc -c'
level=v3
for flag in avx2 bmi2 fma f16c movbe abm sha_ni adx erms fsrm rdpid; do
    grep -qw "$flag" /proc/cpuinfo || level=v2
done
hash_of "soft,jit=off,cpu=$level" -- sh -c "$job" || finish
first=$hash
cp "$out" "$work/first"
hash_of "soft,jit=on,cpu=$level" -- sh -c "$job" &&
    same "programs end in the same state, interpreted and translated ($level)"
what="they print the same"
if cmp -s "$out" "$work/first"; then
    pass "$what"
else
    fail "$what" "they do not"
fi

limited 20 "$SQUIB" run -q --deterministic --backend soft -c 2 -- true \
    </dev/null
complains "two vCPUs are refused" 125 "one vCPU, not 2" ""
mkdir "$work/root"
limited 60 "$SQUIB" run -q --deterministic --backend soft --net user -- true \
    </dev/null
complains "a network is refused" 125 "no drives, networks" "built-in"

what="the search for wrong blocks"
limited 300 env SQUIB="$SQUIB" "$root/tools/jit-bisect" -- true
if ended "$what" 0; then
    if [ "$(tail -n 1 "$out")" = "no difference" ]; then
        pass "$what finds no difference"
    else
        fail "$what" "$(tail -n 1 "$out")"
    fi
fi
finish
