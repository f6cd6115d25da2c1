#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs programs whose output depends on nothing but the processor doing what
# it should. Runs in a Debian root, once on the host and once in the guest;
# the two outputs must be the same. "== NAME" begins a section.
#
# Results that are long are shown as their SHA-256, with enough beside it to
# see where a difference begins.
set -u
export LC_ALL=C PYTHONHASHSEED=0 PATH=/usr/bin:/bin:/usr/sbin:/sbin
here=${0%/*}
cd "$(mktemp -d)" || exit 1
sum() {
    sha256sum | cut -d ' ' -f 1
}

echo "== coreutils"
seq 1 60000 >numbers
mawk 'BEGIN { for (i = 0; i < 60000; i++) {
    x = (x * 1103515245 + 12345) % 2147483648
    printf "%d %x %c%c\n", x, i * i, 33 + x % 90, 40 + i % 80 } }' >mixed
for tool in md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum \
    cksum sum; do
    echo "$tool $($tool <mixed)"
done
cksum -a crc <numbers
sort -n -k 2 mixed | sum
sort -R --random-source=mixed numbers | head -n 3
tr -d '0-4' <mixed | sum
tac mixed | cut -c 2-9 | sort | uniq -c | sort -rn | head -n 5 | sum
od -A x -t fD -t dL -N 400 mixed
base64 mixed | sum
factor 18446744073709551557 618970019642690137449562111 \
    1152921504606846975 1000000016000000063
seq 0.1 0.007 0.2 | sum
env printf '%.30f %.20e %.17g %a\n' 0.1 1e-320 3.14159265358979 2.5 1e4000 \
    1e-4930 7 1e22
numfmt --to=iec 123456789 98765432109876
expr 123456789012345678 '*' 998877665544332211 2>&1
date -u -d '2031-02-03 04:05:06 +3 days' '+%s %A %j'

echo "== gzip"
gzip -9 -n <mixed >mixed.gz
sum <mixed.gz
gzip -d <mixed.gz | cmp - mixed && echo same
gzip -1 -n <numbers | sum

echo "== xz, bzip2, zstd"
xz -2 -T 1 -C crc64 <mixed >mixed.xz
sum <mixed.xz
xz -dc mixed.xz | cmp - mixed && echo same
bzip2 -c numbers >numbers.bz2
sum <numbers.bz2
bzip2 -dc numbers.bz2 | cmp - numbers && echo same
zstd -q -9 -c --single-thread mixed >mixed.zst
sum <mixed.zst
zstd -q -dc mixed.zst | cmp - mixed && echo same

echo "== bc"
bc -l <<END
scale=60
4*a(1)
e(1)
s(1)+c(2)+l(3)
sqrt(2)
2^521-1
(2^521-1)%1000003
END

echo "== awk"
for awk in mawk gawk; do
    echo $awk
    $awk 'BEGIN {
        for (i = 1; i <= 40; i++) {
            x = i * 1.37 - 20.5
            printf "%.17g %.17g %.17g %.17g %.17g %.17g %d %x %e %g\n", x,
                sin(x), cos(x * x), exp(x / 3), atan2(x, i), log(i) / x,
                x * 1e5, i * 123457, x / 7, x ^ 9
        }
        for (i = 1; i < 60000; i++)
            s += 1 / (i * i)
        printf "%.17g %.17g\n", s, sqrt(6 * s)
        print 1e300 * 1e10, -1e300 * 1e10, 2 ^ 53 + 1, 0.1 + 0.2, int(-3.7)
        print length("abc"), substr("hello", 2, 3), toupper("xyz"), 1e6, 1e-5
    }'
    $awk '{ n += $1 % 7; h[length($2)]++; if ($3 ~ /[A-F]+[0-9]/) m++ }
        END { print n, m, h[1], h[5], h[7] }' mixed
done

echo "== perl"
perl "$here/work.pl"

echo "== openssl digests"
for digest in md5 sha1 sha256 sha512 sha512-256 sha3-256 sha3-512 shake256 \
    blake2b512 blake2s256 sm3 ripemd160; do
    openssl dgst -$digest mixed 2>&1
done
openssl dgst -sha256 -hmac key mixed
openssl dgst -mac poly1305 -macopt \
    hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
    mixed

echo "== openssl ciphers"
key=00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef
iv=0f0e0d0c0b0a09080706050403020100
for cipher in aes-128-cbc aes-256-cbc aes-192-cfb aes-256-ctr aes-256-ofb \
    aes-256-ecb camellia-256-cbc chacha20 aria-128-cbc sm4-ctr; do
    length=64
    case $cipher in
    *-128-* | sm4-*) length=32 ;;
    *-192-*) length=48 ;;
    esac
    k=$(echo $key | cut -c 1-$length)
    vector="-iv $iv"
    case $cipher in *-ecb) vector= ;; esac
    openssl enc -$cipher -K "$k" $vector -in mixed -out encrypted 2>&1
    openssl enc -d -$cipher -K "$k" $vector -in encrypted 2>&1 |
        cmp - mixed && echo "$cipher $(sum <encrypted)"
done
openssl enc -aes-256-cbc -pbkdf2 -iter 3000 -S 0102030405060708 -k secret \
    -in numbers | sum

echo "== openssl signatures"
openssl dgst -sha256 -sign "$here/rsa.pem" mixed | sum
openssl rsa -in "$here/rsa.pem" -pubout -out rsa.pub 2>log
openssl dgst -sha256 -verify rsa.pub -signature "$here/rsa.sig" "$here/message"
openssl pkeyutl -sign -inkey "$here/ed25519.pem" -rawin -in "$here/message" |
    od -A n -t x1
openssl pkey -in "$here/ed25519.pem" -pubout -out ed.pub
openssl pkeyutl -verify -pubin -inkey ed.pub -rawin -in "$here/message" \
    -sigfile "$here/ed25519.sig"
openssl pkey -in "$here/ec.pem" -pubout -out ec.pub
openssl dgst -sha384 -verify ec.pub -signature "$here/ec.sig" "$here/message"
openssl dgst -sha384 -sign "$here/ec.pem" -out own.sig "$here/message"
openssl dgst -sha384 -verify ec.pub -signature own.sig "$here/message"
openssl pkeyutl -derive -inkey "$here/x25519.pem" -peerkey "$here/x25519.pub" |
    od -A n -t x1
openssl prime -generate -bits 64 >prime && openssl prime "$(cat prime)" |
    grep -c 'is prime'

echo "== python3"
python3 "$here/work.py"
echo "status $?"
