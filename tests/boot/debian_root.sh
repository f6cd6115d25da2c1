# SPDX-License-Identifier: Apache-2.0
#
# Makes a Debian root of a few packages with everything they depend on;
# sourced after lib.sh. Needs neither root nor anything that is installed:
# apt resolves against an empty system and downloads, nothing is configured.
#
#   debian_root PACKAGE...     sets $debian_root, or skips the test
#
# Kept as CACHE/test-root/KEY, where KEY stands for the list of package files,
# so that a new version makes a new root; older ones are removed. Tests that
# use other packages set debian_roots to a name of their own for "test-root".

# The files to fetch, as "'URL' NAME SIZE HASH" lines.
resolve() { # packages
    apt-get $apt --print-uris -y install "$@" 2>"$apt_dir/log" |
        grep "^'.*\.deb " >"$apt_dir/uris"
}

unpack_debs() { # folder of .deb files, folder to make
    mkdir -p "$2/usr"
    for dir in bin sbin lib lib64; do
        mkdir "$2/usr/$dir" && ln -s "usr/$dir" "$2/$dir" || return 1
    done
    for deb in "$1"/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" |
            tar -x -C "$2" --keep-directory-symlink --no-same-owner \
                --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
                --exclude='./usr/share/locale/*' || return 1
    done
    mkdir -p "$2/dev" "$2/proc" "$2/sys" "$2/tmp" "$2/root" "$2/run"
    [ -e "$2/bin/sh" ] || ln -s dash "$2/bin/sh"
}

debian_root() { # packages
    need_tool apt-get dpkg-deb tar
    roots=$cache/${debian_roots:-test-root}
    mkdir -p "$roots" || skip "cannot write $roots"
    apt_dir=$work/apt
    mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
    : >"$apt_dir/status"
    user=
    if [ "$(id -u)" = 0 ]; then user=root; fi
    apt="-q -o APT::Sandbox::User=$user -o Debug::NoLocking=1
        -o APT::Architecture=amd64 -o APT::Install-Recommends=false
        -o Dir::State::status=$apt_dir/status
        -o Dir::State::extended_states=$apt_dir/extended
        -o Dir::Cache=$apt_dir/cache"

    # With the machine's package lists, or with fresh ones of our own.
    if ! resolve "$@"; then
        apt="$apt -o Dir::State::Lists=$apt_dir/lists"
        apt-get $apt update >"$apt_dir/log" 2>&1 && resolve "$@" || {
            if [ -d "$roots/current/usr" ]; then
                debian_root=$(readlink -f "$roots/current")
                return
            fi
            skip "apt cannot resolve the packages: $(grep '^[EW]:' \
                "$apt_dir/log" | head -n 1)"
        }
    fi
    key=$(sed "s/^'[^']*' //" "$apt_dir/uris" | sort | sha256sum |
        cut -c 1-16)
    debian_root=$roots/$key
    if [ ! -d "$debian_root" ]; then
        if ! timeout $((300 * slow)) apt-get $apt -y --download-only install \
            "$@" >"$apt_dir/log" 2>&1; then
            # The lists may name files that are gone.
            apt="$apt -o Dir::State::Lists=$apt_dir/lists"
            { apt-get $apt update &&
                timeout $((300 * slow)) apt-get $apt -y --download-only \
                    install "$@"; } >"$apt_dir/log" 2>&1 ||
                skip "apt cannot download: $(grep '^[EW]:' "$apt_dir/log" |
                    head -n 1)"
        fi
        new=$(mktemp -d "$roots/.new.XXXXXX")
        unpack_debs "$apt_dir/cache/archives" "$new" 2>"$apt_dir/log" || {
            rm -rf "$new"
            echo "not ok - unpack packages: $(tail -n 1 "$apt_dir/log")"
            exit 1
        }
        chmod 755 "$new"
        mv -T "$new" "$debian_root" 2>/dev/null || rm -rf "$new"
    fi
    ln -sfn "$key" "$roots/current"
    for old in "$roots"/*; do
        case $old in
        "$debian_root" | "$roots/current") ;;
        *) rm -rf "$old" ;;
        esac
    done
    rm -rf "$apt_dir"
}
