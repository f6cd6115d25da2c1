#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Real programs from a Debian root print in the guest what the same files
# print on the host: coreutils, gzip, bc, awk, perl, openssl, python3.
#
#   programs.sh [v3]     with the CPU that has AVX2 and the like
here=${0%/*}
. "$here/lib.sh"
. "$here/debian_root.sh"
[ "$(uname -m)" = x86_64 ] || skip "the host is no x86-64: nothing to compare"
need_guest
need_tool mke2fs

# Programs are run on the host inside the same root.
if [ "$(id -u)" = 0 ]; then
    enter=chroot
elif unshare -r chroot / /bin/true 2>/dev/null; then
    enter='unshare -r chroot'
else
    skip "not root, and no user namespaces: cannot run them on the host"
fi

debian_root dash coreutils diffutils grep sed gzip xz-utils bzip2 zstd \
    bc mawk gawk perl-base openssl python3
echo "# root $debian_root"
root=$work/root
cp -a "$debian_root" "$root"
mkdir "$root/job"
cp "$here"/programs/work.* "$root/job/"

# Keys and signatures of this run, made on the host.
cat >"$root/job/keys.sh" <<'END'
set -e
cd /job
echo "a message" >message
openssl genpkey -quiet -algorithm RSA -out rsa.pem
openssl genpkey -algorithm ED25519 -out ed25519.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ec.pem
openssl genpkey -algorithm X25519 -out x25519.pem
openssl genpkey -algorithm X25519 | openssl pkey -pubout -out x25519.pub
openssl dgst -sha256 -sign rsa.pem -out rsa.sig message
openssl pkeyutl -sign -inkey ed25519.pem -rawin -in message -out ed25519.sig
openssl dgst -sha384 -sign ec.pem -out ec.sig message
printf '[req]\ndistinguished_name = dn\n[dn]\n' >req.conf
openssl req -x509 -new -key rsa.pem -subj /CN=squib -out cert.pem \
    -days 36500 -config req.conf
END
# The host's C library would choose other variants of sin() and so on for
# processors with FMA, whose last bit may differ: both take the plain ones.
# With v3 both have FMA, and the host does without what comes after it.
if [ "${1:-}" = v3 ]; then
    for f in avx2 fma bmi2 f16c abm; do
        grep -qw "$f" /proc/cpuinfo || skip "the host has no $f to compare"
    done
    backend=$backend,cpu=v3
    tunables=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-FMA4
else
    tunables=glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX,-AVX512F
fi
on_host() {
    env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin GLIBC_TUNABLES=$tunables \
        timeout $((120 * slow * patience)) $enter "$root" "$@"
}
on_host sh /job/keys.sh >"$out" 2>"$err" </dev/null || {
    show_streams
    skip "the programs do not run on the host"
}
on_host sh /job/work.sh >"$work/host" 2>"$err" </dev/null
status=$?
cp "$work/host" "$out"
if [ "$status" != 0 ] || [ -s "$err" ] ||
    ! tail -n 1 "$work/host" | grep -qx 'status 0'; then
    fail "on the host" "the programs failed"
    finish
fi

limited 300 "$SQUIB" run -q --backend "$backend" \
    -e GLIBC_TUNABLES=$tunables "$root" sh /job/work.sh </dev/null
ended "the programs in the guest" 0 || finish
[ ! -s "$err" ] || fail "the programs in the guest" "stderr is not empty"

# One case for each section.
section() { # name, file
    sed -n "/^== $1\$/,/^== /p" "$2"
}
sed -n 's/^== //p' "$work/host" >"$work/sections"
while read -r name; do
    section "$name" "$work/host" >"$work/a"
    section "$name" "$out" >"$work/b"
    if cmp -s "$work/a" "$work/b"; then
        pass "$name: $(($(wc -l <"$work/a") - 2)) lines as on the host"
    else
        diff "$work/a" "$work/b" | head -n 20 | cut -c 1-300
        echo "not ok - $name: differs from the host (<)"
        failed=1
    fi
done <"$work/sections"
cmp -s "$work/host" "$out" || failed=1
finish
