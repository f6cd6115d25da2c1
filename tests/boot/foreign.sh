#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# foreign.sh WRAPPER SQUIB: x86-64 guests on an arm64 host. A static squib for
# arm64 boots Debian's x86-64 kernel on the software CPU, itself under the
# user emulation WRAPPER.
set -eu
wrapper=$1 squib=$2
kernel=${XDG_CACHE_HOME:-$HOME/.cache}/squib/kernel/default
[ -d "$kernel" ] || { echo "skip: no kernel in $kernel"; exit 77; }
command -v "$wrapper" >/dev/null || { echo "skip: no $wrapper"; exit 77; }
[ -x /bin/busybox ] || { echo "skip: no /bin/busybox"; exit 77; }

err=$(mktemp)
trap 'rm -f "$err"' EXIT
status=0
said=$("$wrapper" "$squib" run --backend soft --kernel "$kernel" \
    --timeout 280 -- sh -c 'uname -sm; exit 7' 2>"$err") || status=$?
if [ "$said" != "Linux x86_64" ] || [ $status != 7 ]; then
    echo "not ok - it said '$said', status $status"
    sed 's/^/  /' "$err"
    exit 1
fi
echo "ok - an x86-64 guest on an arm64 host"
