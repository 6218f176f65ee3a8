#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2154 # tests calls them by name; tap.sh, guests.sh
#
# A guest in a guest's memory: a second QEMU takes the map file of the first one's
# memory as a memory backend, and its guest finds it behind a device (ivshmem).

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/guests.sh
. ./guests.sh

size=33554432

# first_start: $first is its QEMU, $first_monitor its socket, $host where its guest's
# memory begins in QEMU
first_start() {
	guest_start -M microvm -m 32M
	first=$guest first_monitor=$monitor
	host=$(remotemap info --qemu "$monitor" --json | python3 -c '
import json, sys
print(next(r["host"] for r in json.load(sys.stdin)["ranges"]
           if int(r["start"], 0) == 0))')
}

# second_start VIEW OPTION: of the map file, of the backend; QEMU has the map file as
# its descriptor 3. Where its guest finds it is $window.
second_start() {
	qemu_by="remotemap lend $first --view 0=$host+$size$1 --"
	guest_start -M pc -m 32M -object \
		"memory-backend-file,id=seen,size=$size,mem-path=/proc/self/fd/3,share=on$2" \
		-device ivshmem-plain,memdev=seen
	second=$guest qemu_by=
	window=$(qmp human-monitor-command command-line='info pci' | tr -d '\r' |
		sed -n 's/.*BAR2: .* at \(0x[0-9a-f]*\) .*/\1/p')
	[ -n "$window" ]
}

# By the guest's own loads and stores: what it moves here is gone there.
guest_reads_and_writes_another_guests_memory() {
	first_start
	second_start '' ''
	move $((window + text)) 0x500000 16
	run remotemap read --raw --qemu "$monitor" 0x500000 16
	printed 'a guest was here'
	run remotemap read --raw --qemu "$first_monitor" "$text" 16
	not grep -q 'a guest was here' "$out"
	fill $((window + 0x600000)) 65536
	filled $((window + 0x600000)) 65536 >"$work/wanted"
	remotemap read --raw --qemu "$first_monitor" 0x600000 65536 |
		cmp - "$work/wanted"
	kill -KILL "$second" "$first"
}

# What the map file does not allow, the second guest's stores do not do.
read_only_window_stays_as_it_is() {
	first_start
	second_start ,ro ,readonly=on
	order 2 $((window + text)) 0x500000 16
	run remotemap read --raw --qemu "$monitor" 0x500000 16
	printed 'a guest was here'
	run remotemap read --raw --qemu "$first_monitor" "$text" 16
	printed 'a guest was here'
	kill -KILL "$second" "$first"
}

# A mirror is nobody's memory that could be mirrored: the window is no hole to QEMU,
# and to who looks into the second guest it is.
window_cannot_be_mirrored_again() {
	first_start
	second_start '' ''
	run remotemap read --qemu "$monitor" "$window" 4096
	exited 1
	printed 'nothing to be read'
	kill -KILL "$second" "$first"
}

gone() {
	! kill -0 "$1"
}

# It is SIGBUS, of which QEMU dies.
second_ends_when_it_touches_what_has_ended() {
	first_start
	second_start '' ''
	kill -KILL "$first"
	wait "$first" || true
	guest_goes_on
	put $((page + 0x18)) $((window + text)) 0x500000 16
	put $((page + 0x10)) 2
	until_true gone "$second"
	died=0
	wait "$second" || died=$?
	same "$died" "$((128 + 7))"
}

# refused OPTION: QEMU does not take that as a backend of more than there is
refused() {
	run remotemap lend "$first" --view "0=$host+$size" -- \
		qemu-system-x86_64 -M pc -display none -nodefaults -object \
		"memory-backend-file,id=seen,share=on,$1"
	[ "$status" != 0 ]
}

# It must not be larger than the file, and QEMU has to open it by a path that is one.
what_qemu_does_not_take() {
	first_start
	refused "size=$((2 * size)),mem-path=/proc/self/fd/3"
	said "backing store size .* does not match 'size' option"
	refused "size=$size,mem-path=/dev/fdset/1"
	said "can't open backing store /dev/fdset/1"
	kill -KILL "$first"
}

tests guest_reads_and_writes_another_guests_memory read_only_window_stays_as_it_is \
	window_cannot_be_mirrored_again second_ends_when_it_touches_what_has_ended \
	what_qemu_does_not_take
