#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Firecracker's command line: what each flag does, texts, statuses, the log's
# and the metrics' lines.
. "${0%/*}/../boot/lib.sh"
cd "$work" || exit 1
socket=$work/api.sock
stamp='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}'

fc() { # flags: the program, its log in $out
    limited 20 "$SQUIB" serve "$@" </dev/null
}
# It ends at once, with this status and this text in the log.
ends() { # what, status, pattern, flags...
    what=$1 want=$2 text=$3
    shift 3
    fc "$@"
    ended "$what" "$want" || return
    if grep -Eq -e "$text" "$out"; then pass "$what"; else
        fail "$what" "no line like '$text'"
    fi
}
up_or_gone() {
    listens "$socket" || gone "$started_pid"
}
start() { # flags
    rm -f "$socket"
    "$SQUIB" serve --api-sock "$socket" "$@" >"$out" 2>"$err" </dev/null &
    started_pid=$!
    eventually 20 up_or_gone
}
stop() { # what, status, signal
    kill -"$3" "$started_pid"
    wait "$started_pid"
    status=$?
    started_pid=
    if [ "$status" = "$2" ]; then pass "$1"; else
        fail "$1" "status $status, not $2"
    fi
}
get() { # path
    curl -s --unix-socket "$socket" "http://localhost$1"
}
put() { # path, body: the status
    curl -s -o "$work/answer" -w '%{http_code}' --unix-socket "$socket" \
        -X PUT "http://localhost$1" -d "$2"
}
has() { # what, pattern, file
    if grep -Eq -e "$2" "$3"; then pass "$1"; else
        fail "$1" "no line like '$2' in $3: $(cat "$3")"
    fi
}

# --- flags that only tell ----------------------------------------------------
ends "--version" 0 '^Firecracker v[0-9]+\.[0-9]+\.[0-9]+$' --version
ends "--version wins" 0 '^Firecracker v' --nonsense --version --id
ends "--help" 0 '^  --http-api-max-payload-size <N>' --help
ends "-h wins" 0 '^optional arguments:' --nonsense -h
ends "--snapshot-version" 0 '^v[0-9]+\.[0-9]+\.[0-9]+$' --snapshot-version
ends "--describe-snapshot of nothing" 1 \
    'Unable to open snapshot state file: No such file or directory \(os' \
    --describe-snapshot "$work/none"
echo text >"$work/text"
ends "--describe-snapshot of no snapshot" 1 'Invalid data format version' \
    --describe-snapshot "$work/text"
ends "success is logged" 0 \
    "^$stamp \[anonymous-instance:main\] Firecracker exiting successfully. \
exit_code=0$" --version

# --- bad arguments -----------------------------------------------------------
bad='Arguments parsing error: '
ends "an unknown flag" 153 "${bad}Found argument 'x' which wasn't" --x
ends "a word" 153 "${bad}Found argument 'word' which wasn't" word
ends "a value with =" 153 "Found argument 'id=a'" --id=a
ends "a flag twice" 153 "The argument 'id' was provided more than once" \
    --id a --id b
ends "a flag without its value" 153 "'id' requires a value" --id
ends "--no-api alone" 153 "'config-file' required" --no-api
ends "--no-seccomp and --seccomp-filter" 153 \
    "'seccomp-filter' cannot be used together with argument 'no-seccomp'" \
    --no-seccomp --seccomp-filter f
ends "a fault is one line of the log" 153 \
    "^$stamp .*in this context. .n.nFor more information try --help.$" --x
ends "the status is logged" 153 'exiting with error. exit_code=153$' --x
ends "a bad --level" 152 'Invalid value for logger level: .*: loud' \
    --level loud
ends "a bad --id" 134 'Invalid instance ID: ' --id 'a/b'
ends "a long --id" 134 'Invalid instance ID: ' --id "$(printf '%065d' 0)"
ends "a --log-path that cannot be" 1 'Could not initialize logger: Failed' \
    --log-path "$work/no/log"
ends "a --metrics-path that cannot be" 1 'Could not initialize metrics: ' \
    --metrics-path "$work/no/metrics"
ends "a --seccomp-filter that is not there" 1 'Seccomp error: .*open' \
    --seccomp-filter "$work/none"
ends "a --seccomp-filter" 1 'Seccomp error: ' --seccomp-filter "$work/text"
ends "a size that is no number" 134 \
    "'http-api-max-payload-size' parameter expected to be of 'usize' type" \
    --http-api-max-payload-size x
ends "another size" 134 "'mmds-size-limit' parameter expected" \
    --mmds-size-limit -1
ends "a time that is no number" 134 "'start-time-us' parameter .*'u64'" \
    --start-time-us x --api-sock "$socket"
ends "--metadata that is not there" 134 \
    'Unable to open or read from the mmds content file: .*No such file' \
    --metadata "$work/none" --api-sock "$socket"
printf '{"a": ' >"$work/cut.json"
ends "--metadata that is no JSON" 134 \
    'MMDS error: metadata provided not valid json: EOF while parsing' \
    --metadata "$work/cut.json" --api-sock "$socket"
echo '{"latest": {"meta-data": {"ami-id": "abc"}}}' >"$work/data.json"
ends "--metadata beyond --mmds-size-limit" 1 \
    "Populating MMDS from file failed: The MMDS patch request doesn't fit" \
    --metadata "$work/data.json" --mmds-size-limit 30 --api-sock "$socket"
ends "--metadata beyond the limit of requests" 1 "doesn't fit" \
    --metadata "$work/data.json" --http-api-max-payload-size 30 \
    --api-sock "$socket"
ends "a socket that is taken" 1 \
    "Failed to open the API socket at: $work/text. Check that it is not" \
    --api-sock "$work/text"

# --- a program that runs -----------------------------------------------------
need_tool curl jq
start --id vm-1 --level Debug --show-level --show-log-origin \
    --log-path "$work/log" --metrics-path "$work/metrics" --no-seccomp \
    --metadata "$work/data.json" --mmds-size-limit 1000 --boot-timer \
    --start-time-us 1 --start-time-cpu-us 1 --parent-cpu-time-us 1 \
    -- --nonsense
what="the metadata of the file"
if [ "$(get /mmds)" = '{"latest":{"meta-data":{"ami-id":"abc"}}}' ]; then
    pass "$what"
else
    fail "$what" "$(get /mmds)"
fi
what="--metrics-path is PUT /metrics"
put /metrics "{\"metrics_path\": \"$work/other\"}" >/dev/null
has "$what" 'Reinitialization of metrics not allowed' "$work/answer"
has "lines of the log" \
    "^$stamp \[vm-1:main:INFO:cli/serve.c:[0-9]+\] Running Firecracker v" \
    "$work/log"
has "the metadata in the log" 'Successfully added metadata to mmds from' \
    "$work/log"
has "lines of the API" "^$stamp \[vm-1:fc_api:INFO:api/api.c:[0-9]+\] The \
API server received a Get request on \"/mmds\".$" "$work/log"
has "bodies in the log" 'a Put request on "/metrics" with body "\{' \
    "$work/log"
has "refusals in the log" "vm-1:fc_api:ERROR:.*Received Error. Status code: \
400 Bad Request. Message: Metrics error" "$work/log"
put /cpu-config '{}' >/dev/null
has "a CPU template is in the log with --level Debug" \
    'Put request on "/cpu-config" with body "\{\}".$' "$work/log"
put /logger '{"level": "Info"}' >/dev/null
put /cpu-config '{}' >/dev/null
has "and not without" "Put request on \"/cpu-config\". To view the CPU \
template received by the API, configure log-level to DEBUG.$" "$work/log"
put /machine-config '{"vcpu_count": 1, "mem_size_mib": 128,
    "cpu_template": "None"}' >/dev/null
what="a line about deprecation follows what was done"
if tail -n 1 "$work/log" | grep -q 'WARN:.*cpu_template field is deprecated.$'
then pass "$what"; else fail "$what" "$(tail -n 2 "$work/log")"; fi
what="all lines have the form"
if grep -Evq "^$stamp \[vm-1:(main|fc_api):(INFO|WARN|ERROR|DEBUG):" \
    "$work/log"; then
    fail "$what" "$(grep -Ev "^$stamp" "$work/log" | head -n 3)"
else
    pass "$what"
fi
what="nothing of it on standard output"
if [ -s "$out" ]; then fail "$what" "there is"; else pass "$what"; fi
stop "SIGTERM" 143 TERM
# The sanitizer would take two of them for crashes.
asan=${ASAN_OPTIONS-}
export ASAN_OPTIONS="${asan:+$asan:}handle_segv=0:handle_sigbus=0"
today=$(date +%F)
for s in HUP:156:sighup XCPU:154:sigxcpu XFSZ:151:sigxfsz ILL:157:sigill \
    BUS:149:sigbus SEGV:150:sigsegv; do
    rm -f "$work/log" "$work/metrics"
    start --id vm-2 --log-path "$work/log" --metrics-path "$work/metrics"
    name=${s%%:*} metric=${s##*:} s=${s#*:}
    stop "SIG$name" "${s%:*}" "$name"
    has "SIG$name in the log" "^$stamp \[vm-2:main\] Shutting down VM after \
intercepting signal [0-9]+, code 0\.$" "$work/log"
    # The handler has a calendar of its own; midnight may pass.
    what="SIG$name, the date"
    if grep Shutting "$work/log" | grep -q "^$today\|^$(date +%F)"; then
        pass "$what"
    else
        fail "$what" "$(grep Shutting "$work/log")"
    fi
    what="SIG$name in the metrics"
    if jq -se "length == 1 and
        (.[0].signals | .$metric == 1 and add == 1)" \
        "$work/metrics" >/dev/null; then pass "$what"; else
        fail "$what" "$(cat "$work/metrics")"
    fi
done
start
stop "SIGSYS that is not for a call" 2 SYS
rm -f "$work/log" "$work/metrics"
start --log-path "$work/log"
put /metrics "{\"metrics_path\": \"$work/metrics\", \"emit_id\": true,
    \"properties\": {\"a\": \"b \\\" c\"}}" >/dev/null
kill -PIPE "$started_pid"
what="SIGPIPE does no harm"
if eventually 20 grep -q 'Received signal 13, code 0\.' "$work/log" &&
    get / | grep -q 'Not started'; then pass "$what"; else
    fail "$what" "$(cat "$work/log")"
fi
stop "and the next one ends it" 150 SEGV
what="the last line has what was counted before it"
if jq -se '.[0] | .signals.sigpipe == 1 and .signals.sigsegv == 1 and
    .put_api_requests.metrics_count == 1 and .properties.a == "b \" c" and
    .id == "anonymous-instance" and .api_server.process_startup_time_us == 0 and
    .vcpu.exit_io_in_agg.sum_us == 0' "$work/metrics" >/dev/null
then
    pass "$what"
else
    fail "$what" "$(cat "$work/metrics")"
fi
start --module mmds
get / >/dev/null
stop "--module: other parts are silent" 143 TERM
what="--module"
if grep -q 'api/\|API server' "$out"; then fail "$what" "it logs"; else
    pass "$what"
fi
ln -s "$SQUIB" "$work/firecracker"
limited 20 "$work/firecracker" --version </dev/null
what="the program under the name firecracker"
ended "$what" 0 && has "$what" '^Firecracker v' "$out"
ends "--enable-pci is taken" 1 'Failed to open the API socket' \
    --enable-pci --api-sock "$work/text"

# --- a FIFO that nobody reads ------------------------------------------------
mkfifo "$work/fifo"
start --log-path "$work/fifo" --level Debug
what="a FIFO full of log lines does not stop the API"
i=0
while [ $i -lt 40 ]; do
    i=$((i + 1))
    head -c 3000 /dev/zero | tr '\0' 'x' |
        curl -s -o /dev/null -m 120 --unix-socket "$socket" -X PUT \
            http://localhost/actions --data-binary @- || break
done
if [ $i = 40 ] && get / | grep -q 'Not started'; then pass "$what"; else
    fail "$what" "stuck after $i requests"
fi
stop "and it ends" 143 TERM
finish
