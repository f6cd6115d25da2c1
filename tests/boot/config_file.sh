#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# `squib --no-api --config-file`: a machine from a Firecracker configuration
# file, its serial console on stdin and stdout, and its drives.
. "${0%/*}/lib.sh"
config=$work/vm.json

serve() { # options
    limited 60 "$SQUIB" --no-api --config-file "$config" --backend "$backend" \
        "$@"
    # Which backend runs is told to everybody.
    sed -i '/^squib: .*, as asked/d' "$err"
}
# A file that is refused.
refused() { # what, fact, file's text
    printf '%s' "$3" >"$config"
    serve </dev/null
    complains "$1" 1 "$2" ""
}

# --- arguments and files that are refused ------------------------------------
limited 20 "$SQUIB" --no-api </dev/null
complains "--no-api without a file" 153 \
    "Argument 'config-file' required, but not found" ""
limited 20 "$SQUIB" --no-api --nonsense </dev/null
complains "an unknown flag" 153 "Found argument 'nonsense' which" ""
limited 20 "$SQUIB" --no-api --level nonsense --config-file x </dev/null
complains "an unknown level" 152 "level filter: nonsense" ""
limited 20 "$SQUIB" --no-api --id 'a b' --config-file "$config" </dev/null
complains "an instance name with a blank" 134 "Invalid instance ID" ""
serve </dev/null
complains "a file that is missing" 134 "Unable to open or read from the \
configuration file: .*vm.json: No such file" ""

refused "an empty file" "Invalid JSON: EOF while parsing" ''
refused "bad JSON" "Invalid JSON: .* at line 2 column" '{"drives": [],
  "boot-source": {]}'
refused "an array" "expected struct VmmConfig" '[]'
refused "no kernel" "missing field .boot-source" '{"drives": []}'
refused "no kernel path" "missing field .kernel_image_path" \
    '{"drives": [], "boot-source": {}}'
refused "an unknown field" "unknown field .kernel_path" \
    '{"drives": [], "boot-source": {"kernel_path": "x"}}'
refused "a kernel that is missing" "No such file" \
    '{"drives": [], "boot-source": {"kernel_image_path": "/no/such"}}'
echo text >"$work/text"
refused "a kernel that is none" "not a kernel" \
    '{"drives": [], "boot-source": {"kernel_image_path": "'"$work"'/text"}}'
with_machine() { # what, fact, machine-config
    refused "$1" "$2" '{"drives": [], "machine-config": '"$3"',
        "boot-source": {"kernel_image_path": "'"$work"'/text"}}'
}
with_machine "0 vCPUs" "number of vCPUs" '{"vcpu_count": 0, "mem_size_mib": 128}'
with_machine "33 vCPUs" "number of vCPUs" '{"vcpu_count": 33, "mem_size_mib": 128}'
with_machine "no memory" "memory size" '{"vcpu_count": 1, "mem_size_mib": 0}'
with_machine "a string as a number" "expected usize" \
    '{"vcpu_count": 1, "mem_size_mib": "128"}'

# --- machines ----------------------------------------------------------------
need_kernel
need_tool cpio mke2fs e2fsck debugfs
busybox=${SQUIB_BUSYBOX:-$(command -v busybox)} || skip "no busybox"
modules=$cache/kernel/default/modules/kernel/drivers
for m in virtio/virtio virtio/virtio_ring virtio/virtio_mmio block/virtio_blk
do
    [ -f "$modules/$m.ko" ] || skip "no module $m beside the kernel"
done

# An initrd with busybox, the modules and an init that obeys the command line.
initrd=$work/initrd
make_initrd() {
    root=$work/initrd.root
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/mnt" "$root/ko"
    cp "$busybox" "$root/bin/busybox"
    cp "$modules"/virtio/virtio.ko "$modules"/virtio/virtio_ring.ko \
        "$modules"/virtio/virtio_mmio.ko "$modules"/block/virtio_blk.ko \
        "$root/ko"
    cat >"$root/init" <<'END'
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
busybox stty -echo -onlcr
for m in virtio_ring virtio virtio_mmio virtio_blk; do
    busybox insmod /ko/$m.ko || echo "no $m"
done
w() { # on the drive that is mounted
    cd /mnt
    busybox mkdir -p many/deep
    busybox seq 1 300000 >numbers
    i=0
    while [ $i -lt 200 ]; do
        echo "file $i" >many/$i
        i=$((i + 1))
    done
    busybox ln -s ../numbers many/deep/link
    busybox chmod 4751 many/7
    busybox mv many/8 eight
    busybox rm from-host many/9
    busybox dd if=/dev/zero of=hole bs=1 count=1 seek=5000000 2>/dev/null
    echo "host wrote: $(busybox cat host/message)"
    cd /
}
case $(busybox cat /proc/cmdline) in
*test=console*)
    echo "ready"
    read -r line
    echo "got [$line] on $(busybox nproc) CPU"
    ;;
*test=flags*)
    busybox grep -q -w aes /proc/cpuinfo && echo "has aes"
    busybox grep -q -w ssse3 /proc/cpuinfo && echo "has ssse3"
    busybox grep -q -w rdseed /proc/cpuinfo && echo "has rdseed"
    busybox awk '/^model\t/ { print "model " $3; exit }' /proc/cpuinfo
    ;;
*test=write*)
    busybox mount -t ext4 /dev/vda /mnt && w
    busybox umount /mnt && echo "unmounted"
    ;;
*test=sync*)
    busybox mount -t ext4 /dev/vda /mnt && w
    busybox sync && echo "synced"
    ;;
*test=readonly*)
    # mount(8) itself turns to reading when it must.
    busybox mount -t ext4 /dev/vda /mnt
    busybox cat /mnt/host/message
    echo x 2>/dev/null >/mnt/new && echo "made a file"
    busybox umount /mnt
    busybox dd if=/dev/zero of=/dev/vda bs=4096 count=1 conv=fsync \
        2>/dev/null && echo "wrote to the device"
    ;;
esac
busybox reboot -f
END
    chmod 755 "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet) >"$initrd" ||
        skip "cpio failed"
}
make_initrd

image=$work/disk.ext4
make_image() { # contents that the guest finds
    rm -rf "$work/disk.root" "$image"
    mkdir -p "$work/disk.root/host"
    echo "hello" >"$work/disk.root/host/message"
    echo "to be removed" >"$work/disk.root/from-host"
    mke2fs -q -t ext4 -d "$work/disk.root" "$image" 64M >"$work/mke2fs" 2>&1 ||
        skip "mke2fs: $(tail -n 1 "$work/mke2fs")"
}

machine() { # word for init, vcpus, read only
    words="console=ttyS0 quiet loglevel=0 panic=-1 reboot=k test=$1"
    cat >"$config" <<END
{
  "boot-source": {
    "kernel_image_path": "$kernel",
    "initrd_path": "$initrd",
    "boot_args": "$words cryptomgr.notests i8042.noaux"
  },
  "drives": [{
    "drive_id": "disk", "path_on_host": "$image",
    "is_root_device": false, "is_read_only": $3
  }],
  "machine-config": {"vcpu_count": $2, "mem_size_mib": 256}
}
END
}
# The serial console's text without its carriage returns.
console() {
    tr -d '\r' <"$out" | grep -Fqx -e "$1"
}

make_image
what="the serial console on stdin and stdout, 2 vCPUs"
machine console "$(cpus 2)" false
mkfifo "$work/stdin"
exec 3<>"$work/stdin"
: >"$out"
timeout --foreground -k 5 $((60 * slow * patience)) "$SQUIB" --no-api \
    --config-file "$config" --backend "$backend" \
    <"$work/stdin" >"$out" 2>"$err" 3<&- &
started_pid=$!
until grep -q ready "$out"; do
    kill -0 "$started_pid" 2>/dev/null || break
    sleep 0.1
done
echo "some words" >&3
wait "$started_pid"
status=$?
hung=
started_pid=
exec 3<&-
if ended "$what" 0; then
    if console 'got [some words] on '"$(cpus 2)"' CPU'; then
        pass "$what"
    else
        fail "$what" "the guest did not answer"
    fi
fi

# --- the CPU -----------------------------------------------------------------
what="a CPU as the machine has it"
machine flags 1 false
serve </dev/null
if ended "$what" 0; then
    console 'has ssse3' || fail "$what" "no flags"
    console 'has aes' && pass "$what"
fi
what="a CPU template"
bits=xxxxxx0xxxxxxxxxxxxxxxxxxxxxxxxx
cat >"$work/cpu.json" <<END
{"cpuid_modifiers": [{"leaf": "0x1", "subleaf": "0x0", "flags": 0,
    "modifiers": [{"register": "ecx", "bitmap": "0b$bits"}]}]}
END
sed -i "2i \"cpu-config\": \"$work/cpu.json\"," "$config"
serve </dev/null
if ended "$what" 0; then
    if console 'has aes' || ! console 'has ssse3'; then
        fail "$what" "flags"
    else
        pass "$what"
    fi
fi
what="a CPU template that the software CPU cannot have"
if [ "$backend" = soft ]; then
    # VMX
    sed -i "s/0b$bits/0bxxxxxxxxxxxxxxxxxxxxxxxxxx1xxxxx/" "$work/cpu.json"
    serve </dev/null
    complains "$what" 1 "does not have bits" "leave them"
fi

# Upstream's, by name.
template() { # name
    machine flags 1 false
    sed -i "s/\"vcpu_count\"/\"cpu_template\": \"$1\", &/" "$config"
    serve </dev/null
}
if [ "$backend" = soft ]; then
    what="the CPU template T2"
    template T2
    if ended "$what" 0; then
        if ! console 'model 63' || ! console 'has aes' ||
            console 'has rdseed'
        then
            fail "$what" "flags"
        else
            pass "$what"
        fi
    fi
    template T2S
    complains "a template with an MSR that the software CPU does not have" \
        1 "Register Address: 10a" ""
    template T2A
    complains "a template for another vendor's processors" 1 \
        "CPU vendor mismatched" ""
fi

# --- drives ------------------------------------------------------------------
read_back() { # path: contents of a file of the image
    debugfs -R "cat $1" "$image" 2>/dev/null
}
judge_image() { # what
    bad=
    e2fsck -fn "$image" >"$work/fsck" 2>&1 || bad="e2fsck finds errors"
    seq 1 300000 >"$work/numbers"
    read_back /numbers | cmp -s - "$work/numbers" || bad="numbers differ"
    for i in 0 5 7 199; do
        [ "$(read_back /many/$i)" = "file $i" ] || bad="many/$i differs"
    done
    [ "$(read_back /eight)" = "file 8" ] || bad="the renamed file differs"
    [ -z "$(read_back /from-host)$(read_back /many/9)" ] ||
        bad="a removed file is there"
    [ "$(read_back /host/message)" = hello ] || bad="the host's file differs"
    { head -c 5000000 /dev/zero; printf '\0'; } >"$work/zeros"
    read_back /hole | cmp -s - "$work/zeros" || bad="hole differs"
    debugfs -R "stat /many/7" "$image" 2>/dev/null | grep -q 'Mode:  *04751' ||
        bad="the mode of many/7 differs"
    debugfs -R "stat /many/deep/link" "$image" 2>/dev/null |
        grep -q '\.\./numbers' || bad="the symbolic link differs"
    if [ -n "$bad" ]; then
        tail -n 15 "$work/fsck" | sed 's/^/    | /'
        fail "$1" "$bad"
    else
        pass "$1"
    fi
}

what="a drive that the guest wrote and unmounted"
machine write 1 false
serve </dev/null
if ended "$what" 0; then
    if console 'host wrote: hello' && console unmounted; then
        judge_image "$what"
    else
        fail "$what" "the guest could not use it"
    fi
fi

# Nothing is written after the sync; the journal holds what is missing.
what="a drive that the guest wrote and synced, not unmounted"
make_image
machine sync "$(cpus 2)" false
serve </dev/null
if ended "$what" 0; then
    if console synced; then
        e2fsck -fy "$image" >"$work/replay" 2>&1
        replayed=$?
        # 0 clean, 1 corrected: the journal's replay counts as such, and the
        # sums in the superblock, which ext4 brings up to date at the umount.
        if [ $replayed -gt 1 ] || ! awk '
            /[?] yes/ && last !~ /count wrong/ { bad = 1 }
            { last = $0 }
            END { exit bad }' "$work/replay"; then
            sed 's/^/    | /' "$work/replay"
            fail "$what" "more than a journal to replay"
        else
            judge_image "$what"
        fi
    else
        fail "$what" "the guest could not use it"
    fi
fi

what="a read-only drive stays as it is"
make_image
cp "$image" "$work/before"
machine readonly 1 true
serve </dev/null
if ended "$what" 0; then
    if ! console hello; then
        fail "$what" "the guest could not read it"
    elif console 'made a file' || console 'wrote to the device'
    then
        fail "$what" "the guest could write"
    elif ! cmp -s "$image" "$work/before"; then
        fail "$what" "it was written"
    else
        pass "$what"
    fi
fi

what="a drive that is missing"
rm "$image"
machine write 1 false
serve </dev/null
complains "$what" 1 "disk.ext4" ""

finish
