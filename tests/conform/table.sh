#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# table.sh CONFORM [-w]: the table in docs/backends.md must be the one that
# CONFORM makes of kinds.def; -w writes it there.
set -eu
conform=$1
page=${SQUIB_SOURCE_ROOT:-.}/docs/backends.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT

sed '/^<!-- table -->$/q' "$page" >"$new"
"$conform" -m >>"$new"
sed -n '/^<!-- end -->$/,$p' "$page" >>"$new"
if [ "${2-}" = -w ]; then
    cat "$new" >"$page"
elif ! diff -u "$page" "$new"; then
    echo "not ok - docs/backends.md is stale"
    echo "  do: sh tests/conform/table.sh $conform -w"
    exit 1
fi
echo "ok - docs/backends.md has the table of kinds.def"
