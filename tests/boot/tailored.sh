#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The streams test with the tailored kernel, from $SQUIB_TAILORED_KERNEL or
# where `make kernel` puts it.
tailored=${SQUIB_TAILORED_KERNEL-}
if [ -z "$tailored" ]; then
    case ${XDG_CACHE_HOME-} in
    /*) tailored=$XDG_CACHE_HOME/squib/kernel/squib-6.1/vmlinux ;;
    *) tailored=$HOME/.cache/squib/kernel/squib-6.1/vmlinux ;;
    esac
    if [ ! -r "$tailored" ]; then
        echo "skip: no tailored kernel at $tailored (make kernel)"
        exit 77
    fi
fi
status=0
"${0%/*}/streams.sh" 1 "$tailored" || status=$?
"${0%/*}/streams.sh" --short 2 "$tailored" || status=$?
"${0%/*}/streams.sh" --short --pci 2 "$tailored" || status=$?
exit $status
