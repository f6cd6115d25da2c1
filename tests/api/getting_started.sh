#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A Debian kernel through the API with curl, in the steps of Firecracker's
# getting-started guide: start the program, describe boot source, drive and
# log, start, look, press Ctrl-Alt-Del. Also: that the socket answers while
# the guest is busy, a configuration file beside the API, and a socket
# that is taken.
. "${0%/*}/../boot/lib.sh"
command -v curl >/dev/null || skip "there is no curl here"
need_kernel
need_tool cpio
busybox=${SQUIB_BUSYBOX:-$(command -v busybox)} || skip "no busybox"

socket=$work/firecracker.socket
program=

fail() { # what
    echo "not ok - $1"
    failed=1
}
check() { # what, then a command
    what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what"; fi
}
stop_program() {
    [ -z "$program" ] || kill -TERM "$program" 2>/dev/null
}
trap 'stop_program; cleanup' EXIT

# An init that says that it is there, counts for a while, and reboots.
root=$work/initrd.root
mkdir -p "$root/bin" "$root/dev" "$root/proc"
cp "$busybox" "$root/bin/busybox"
cat >"$root/init" <<'END'
#!/bin/busybox sh
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo "guest is up: $(busybox cat /proc/cmdline)"
echo "/bin/busybox reboot -f" >/cad; busybox chmod 755 /cad
while read -r line; do
    case $line in
    count*) i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done
        echo "done ${line#count}" ;;
    reboot) busybox reboot -f ;;
    esac
done
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd" ||
    skip "cpio failed"
mkfifo "$work/keys"

start_program() { # options
    rm -f "$work/console"
    "$SQUIB" serve --api-sock "$socket" --backend "$backend" "$@" \
        <"$work/keys" >"$work/console" 2>"$err" &
    program=$!
    exec 3>"$work/keys"
    eventually 20 listens "$socket" || {
        fail "the socket comes up"
        exit 1
    }
}
wait_end() { # what, status
    exec 3>&-
    wait "$program"
    got=$?
    program=
    check "$1 (status $got)" [ "$got" = "$2" ]
}
wait_for() { # text on the console
    eventually 60 grep -q "$1" "$work/console"
}
api() { # method, path, body: prints the answer's body, then its status
    curl -s --unix-socket "$socket" -w '%{http_code}' -X "$1" \
        -H 'Accept: application/json' -H 'Content-Type: application/json' \
        "http://localhost$2" ${3:+-d "$3"}
}
is() { # what, wanted, then the arguments of api
    what=$1 want=$2
    shift 2
    got=$(api "$@")
    if [ "$got" = "$want" ]; then pass "$what"; else
        fail "$what: $got"
    fi
}

# --- the guide's steps -------------------------------------------------------
start_program --id guide
is "the log" 204 PUT /logger \
    "{\"log_path\": \"$work/log\", \"level\": \"Debug\", \"show_level\": true,
      \"show_log_origin\": true}"
is "the boot source" 204 PUT /boot-source \
    "{\"kernel_image_path\": \"$kernel\", \"initrd_path\": \"$work/initrd\",
      \"boot_args\": \"console=ttyS0 reboot=k panic=1 pci=off quiet\"}"
head -c 1048576 /dev/zero >"$work/disk"
is "a drive" 204 PUT /drives/rootfs \
    "{\"drive_id\": \"rootfs\", \"path_on_host\": \"$work/disk\",
      \"is_root_device\": false, \"is_read_only\": false}"
is "the machine" 204 PUT /machine-config \
    '{"vcpu_count": 1, "mem_size_mib": 256}'
is "metrics" 204 PUT /metrics "{\"metrics_path\": \"$work/metrics\"}"
is "the start" 204 PUT /actions '{"action_type": "InstanceStart"}'
check "the guest is up" wait_for "guest is up: .*pci=off"
is "it runs" "{\"id\":\"guide\",\"state\":\"Running\",\"vmm_version\":\
\"$("$SQUIB" serve --version | sed -n 's/^Firecracker v//p')\",\"app_name\":\
\"Firecracker\"}200" GET /

# --- the socket while the guest is busy --------------------------------------
echo "count one" >&3
median=$(for i in 1 2 3 4 5 6 7 8 9 10; do
    curl -s -f -o /dev/null --unix-socket "$socket" -w '%{time_total}\n' \
        http://localhost/ || break
done | sort -n | awk 'NR == 5 { m = $1 } END { if (NR == 10) print m }')
echo "# the median of 10 answers beside a busy guest took $median s"
check "it answers beside a busy guest" [ -n "$median" ]
check "which is done some time" wait_for "^done  *one"

# --- pause and resume --------------------------------------------------------
is "paused" 204 PATCH /vm '{"state": "Paused"}'
before=$(wc -c <"$work/console")
echo "count two" >&3
sleep 0.5
check "a paused guest says nothing" \
    [ "$(wc -c <"$work/console")" = "$before" ]
is "resumed" 204 PATCH /vm '{"state": "Resumed"}'
check "it goes on" wait_for "^done  *two"
lines=$(wc -l <"$work/metrics")
is "metrics are flushed" 204 PUT /actions '{"action_type": "FlushMetrics"}'
check "a line of metrics" [ "$(wc -l <"$work/metrics")" -gt "$lines" ]
check "metrics count the guest's exits" \
    sh -c "tail -n 1 '$work/metrics' | grep -q '\"exit_io_out\":[1-9]'"
check "the log has lines" \
    grep -q "^20.*\[guide:fc_api:INFO:api/api.c:[0-9]*\] The API server" \
    "$work/log"
echo reboot >&3
wait_end "the guest reboots: the program ends" 0
lines=$(wc -l <"$work/metrics")
check "the last line of metrics ($lines in all)" [ "$lines" -ge 3 ]
check "which counts the reset" \
    sh -c "tail -n 1 '$work/metrics' | grep -q '\"reset_count\":1,'"
check "the socket is gone" [ ! -e "$socket" ]

# --- a configuration file beside the API -------------------------------------
cat >"$work/vm.json" <<END
{"boot-source": {"kernel_image_path": "$kernel",
                 "initrd_path": "$work/initrd",
                 "boot_args": "console=ttyS0 reboot=k panic=1 quiet"},
 "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 256}}
END
start_program --config-file "$work/vm.json"
check "a guest from a file is up" wait_for "guest is up"
is "it shows its machine" '{"vcpu_count":1,"mem_size_mib":256,"smt":false,'\
'"track_dirty_pages":false,"huge_pages":"None"}200' GET /machine-config
is "it was started" '{"fault_message":"The requested operation is not '\
'supported after starting the microVM."}400' PUT /actions \
    '{"action_type": "InstanceStart"}'
limited 20 "$SQUIB" serve --api-sock "$socket" </dev/null
complains "a socket that is taken" 1 \
    "Failed to open the API socket at: $socket. Check that it is not" ""
kill -TERM "$program"
wait_end "SIGTERM ends it" 143
finish
