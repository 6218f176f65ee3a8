# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154 # tap.sh is read before
#
# QEMU with the small guest of test/guest/guest.S, or with Linux and the /init of
# test/guest/init.c, for tests of --qemu.
#
# $monitor is the QMP socket that remotemap is given, `qmp` speaks through another
# one, and $monitor.third is for who keeps it. Where the guest's words are: see guest.S.

page=0x200000
text=0x200030

# qemu_start ARGUMENT...: $guest is its pid. $qemu_by: words before the command
qemu_start() {
	guest_number=$((${guest_number:-0} + 1))
	monitor=$work/qmp$guest_number
	# shellcheck disable=SC2086 # words
	background ${qemu_by:-} qemu-system-x86_64 "$@" -accel tcg -display none -nodefaults \
		-no-user-config \
		-qmp "unix:$monitor,server=on,wait=off" \
		-qmp "unix:$monitor.other,server=on,wait=off" \
		-qmp "unix:$monitor.third,server=on,wait=off" \
		>"$work/qemu" 2>&1
	guest=$!
}

# guest_start ARGUMENT...: for QEMU, -M MACHINE first
guest_start() {
	qemu_start "$@" -kernel guest.bin
	until_true guest_runs || {
		cat "$work/qemu"
		return 1
	}
}

guest_runs() {
	remotemap read --raw --qemu "$monitor" $text 16 |
		grep -q 'a guest was here'
}

# linux_start ARGUMENT...: the kernel that runs here, too, once more; $linux_said is
# what it and its /init print. Its clock counts instructions: by a real one, it would
# do nothing but take timer interrupts, so slow is it here.
linux_start() {
	linux_said=$work/console
	linux_archive
	qemu_start "$@" -icount shift=0 -kernel linux -initrd "$work/initrd" \
		-append 'console=ttyS0 panic=-1 mitigations=off no_timer_check tsc=reliable' \
		-serial "file:$linux_said"
}

# /init and the modules of virtio that it loads, in that order
linux_archive() {
	mkdir -p "$work/root/dev"
	cp guest-init "$work/root/init"
	for linux_module in virtio_ring virtio virtio_mmio virtio_balloon; do
		linux_file=$(find "/lib/modules/$(uname -r)/" \
			-name "$linux_module.ko")
		# It may be in the kernel.
		[ -n "$linux_file" ] || continue
		cp "$linux_file" "$work/root/"
		echo "/$linux_module.ko" >>"$work/root/modules"
	done
	(cd "$work/root" && find . | cpio -o -H newc) >"$work/initrd" 2>/dev/null
}

linux_runs() {
	grep -q 'init: ready' "$linux_said"
}

guest_end() {
	kill -KILL "$guest"
	wait "$guest" 2>/dev/null || true
}

# qmp COMMAND [NAME=VALUE]...
qmp() {
	python3 qmp.py "$monitor.other" "$@"
}

# word ADDRESS: the 32 bits that are there, decimal
word() {
	remotemap read --raw --qemu "$monitor" "$1" 4 | od -An -tu4 | tr -d ' '
}

# put ADDRESS NUMBER...: 32 bits each
put() {
	put_at=$1
	shift
	for put_word; do
		for put_shift in 0 8 16 24; do
			# shellcheck disable=SC2059 # it is the byte
			printf "\\$(printf %03o $(((put_word >> put_shift) & 255)))"
		done
	done | remotemap write --yes --qemu "$monitor" "$put_at"
}

# order NUMBER FROM TO LENGTH: and it is done when this returns
order() {
	put $((page + 0x14)) 0
	put $((page + 0x18)) "$2" "$3" "$4"
	put $((page + 0x10)) "$1"
	until_true ordered "$1"
}

ordered() {
	[ "$(word $((page + 0x14)))" = "$1" ]
}

fill() {
	order 1 0 "$1" "$2"
}

move() {
	order 2 "$1" "$2" "$3"
}

eject() {
	order 3 "$1" 0 0
}

# filled ADDRESS LENGTH: what fill() makes there
filled() {
	python3 -c '
import struct, sys
start, length = (int(word, 0) for word in sys.argv[1:])
sys.stdout.buffer.write(b"".join(struct.pack("<I", ~at & 0xffffffff)
                        for at in range(start, start + length, 4)))' "$1" "$2"
}

# has_filled ADDRESS LENGTH [PLACE]: it is there, or at PLACE
has_filled() {
	filled "$1" "$2" >"$work/wanted"
	remotemap read --raw --qemu "$monitor" "${3:-$1}" "$2" |
		cmp - "$work/wanted"
}

# guest_goes_on: its counter grows
guest_goes_on() {
	goes_before=$(word $page)
	until_true guest_counts "$goes_before"
}

guest_counts() {
	[ "$(word $page)" != "$1" ]
}

# layout: START END KIND NAME of what is memory, by QEMU's own flat view
layout() {
	qmp human-monitor-command command-line='info mtree -f' | tr -d '\r' |
		awk '/^FlatView/ { in_view = 0 }
			/^ AS "memory", root: system/ { in_view = 1 }
			in_view && /^  [0-9a-f]+-[0-9a-f]+ \(prio/ && !/i\/o\)/ {
				sub(/\(prio [^,]*, /, "")
				sub(/\):/, "")
				sub(/-/, " ")
				print $1, $2, $3, $4
			}'
}
