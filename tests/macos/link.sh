#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# link.sh BUILD_DIR: compiles and links the whole squib program for macOS on
# Apple silicon, with clang and lld, as Meson would on a Mac. In place of
# Apple's SDK it takes the declarations and symbol lists of sdk/, so that a
# call that macOS has not, or has otherwise, is found without a Mac. The
# program is looked at, but nothing here can run it.
#
# When it fails for a call that is new in squib: what macOS has as well goes
# into sdk/ (headers in usr/include, names in usr/lib/libSystem.tbd); what it
# has not goes behind a name of src/os.
#
# Exit status: 0 passed, 1 failed, 77 nothing could be tested here (the
# reason is printed).
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$1

skip() {
    echo "skip: $1"
    exit 77
}

# Debian's tools may have their version in the name alone.
mkdir -p "$build/bin"
for tool in ld64.lld llvm-ar llvm-nm llvm-strip llvm-objdump; do
    found=$(command -v $tool ||
        ls /usr/bin/$tool-[0-9]* 2>/dev/null | tail -n 1) || true
    [ -n "$found" ] || skip "no $tool (packages lld and llvm)"
    ln -sf "$found" "$build/bin/$tool"
done
for tool in clang meson ninja pkg-config; do
    command -v $tool >/dev/null || skip "no $tool"
done
export PATH="$build/bin:$PATH"

# The sysroot: ours, and the headers of the libraries, which are the same on
# every system.
root=$build/root
rm -rf "$root"
mkdir -p "$root"
cp -r "$here/sdk/." "$root"
mkdir -p "$root/usr/local/include" "$root/usr/local/lib/pkgconfig"
for header in jansson.h jansson_config.h lz4.h zstd.h zstd_errors.h zlib.h \
    zconf.h lzma.h lzma libfdt.h libfdt_env.h fdt.h; do
    for dir in /usr/include /usr/include/*-linux-gnu; do
        [ ! -e "$dir/$header" ] || cp -r "$dir/$header" \
            "$root/usr/local/include/"
    done
done
for lib in liblz4:lz4 libzstd:zstd zlib:z liblzma:lzma jansson:jansson; do
    {
        echo "Name: ${lib%:*}"
        echo "Description: for linking alone"
        echo "Version: 9"
        echo "Libs: -l${lib#*:}"
    } >"$root/usr/local/lib/pkgconfig/${lib%:*}.pc"
done
printf "[constants]\nroot = '%s'\n" "$root" >"$build/paths.ini"

[ -f "$build/build/build.ninja" ] ||
    meson setup "$build/build" "$source" --cross-file "$build/paths.ini" \
        --cross-file "$source/cross/arm64-apple-macos.ini" \
        -Doptimization=0 -Ddebug=false -Dwerror=true -Dtests=disabled \
        -Dprogram=enabled -Dusernet=disabled >"$build/setup.log" 2>&1 || {
    tail -n 20 "$build/setup.log"
    exit 1
}
ninja -C "$build/build" squib >"$build/ninja.log" 2>&1 || {
    grep -E -A 5 'error|FAILED|undefined' "$build/ninja.log" | head -n 40
    exit 1
}

# What came out.
program=$build/build/squib
llvm-objdump --macho --private-headers "$program" >"$build/headers"
expect() {
    grep -q "$1" "$build/headers" || { echo "FAIL $2"; exit 1; }
    echo "ok - $2"
}
expect 'MH_MAGIC_64 *ARM64 .* EXECUTE' 'a Mach-O program for arm64'
expect '/Hypervisor.framework/Versions/A/Hypervisor ' \
    'linked with Hypervisor.framework'
expect 'cmd LC_CODE_SIGNATURE' 'with room for its signature'
expect 'minos 15' 'for macOS 15 and newer'
calls=$(llvm-nm -u "$program" | grep -c '_hv_')
[ "$calls" -gt 30 ] || { echo "FAIL only $calls calls of the framework"; exit 1; }
echo "ok - with $calls functions of the framework"

# A call that the framework has not must not go unnoticed.
cat >"$build/wrong.c" <<'END'
int hv_vm_protekt(void);
int main(void) { return hv_vm_protekt(); }
END
if clang --target=arm64-apple-macos15 -fuse-ld=lld -isysroot "$root" \
    -framework Hypervisor -o "$build/wrong" "$build/wrong.c" \
    >"$build/wrong.log" 2>&1; then
    echo "FAIL a misspelt call was linked"
    exit 1
fi
grep -q 'undefined symbol: _hv_vm_protekt' "$build/wrong.log" || {
    cat "$build/wrong.log"
    echo "FAIL the link fails otherwise than it should"
    exit 1
}
echo "ok - and no others"
