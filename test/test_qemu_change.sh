#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317 # tests calls them by name
#
# What becomes of a guest's memory while somebody looks: the guest moves it about,
# memory modules come and go, the guest is reset, QEMU ends. And what remotemap says
# of a socket that is no good.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/guests.sh
. ./guests.sh

# ---- while it runs ---------------------------------------------------------------

search_follows_what_the_guest_moves() {
	guest_start -M microvm -m 32M
	move "$text" 0x500000 16
	run remotemap search --qemu "$monitor" --range 0x200000+16M \
		--text 'a guest was here'
	exited 0
	printed "^$guest 0x500000 microvm.ram "
	same "$(wc -l <"$out")" 1
	cat >"$work/rules" <<-'END'
		rule guest { strings: $here = "a guest was here" condition: $here }
	END
	run remotemap search --qemu "$monitor" --region ram --yara "$work/rules"
	exited 0
	printed "^$guest 0x500000 microvm.ram guest:\\\$here"
	guest_goes_on
	guest_end
}

write_reaches_the_guest_and_read_only_views_do_not() {
	guest_start -M microvm -m 32M
	fill 0x400000 4096
	has_filled 0x400000 4096
	run remotemap lend --qemu "$monitor" --uid 1000 -- \
		remotemap read --offset --raw - "$text" 16
	exited 0
	printed 'a guest was here'
	run sh -c "echo | remotemap lend --qemu '$monitor' -- \
		remotemap write --yes --offset - $text"
	exited 3
	said 'for reading only'
	guest_end
}

dump_is_a_core_that_gdb_reads() {
	guest_start -M pc -m 32M
	fill 0x400000 65536
	qmp stop
	run remotemap dump --qemu "$monitor" -o "$work/core"
	exited 0
	run gdb -batch -nx -c "$work/core" -ex "x/s $text" -ex 'x/xw 0x400004'
	printed 'a guest was here'
	printed '0x400004:.*0xffbffffb'
	rm -f "$work/core"
	guest_end
}

# ---- change ----------------------------------------------------------------------

# follow ADDRESS: guest_follow's lines are in $work/followed, $follower is it
follow() {
	: >"$work/followed"
	background guest_follow "$monitor.third" "$1" >"$work/followed"
	follower=$!
	until_true [ -s "$work/followed" ]
}

followed() {
	[ "$(tail -n 1 "$work/followed")" = "$1" ]
}

# Plugging in is no event of itself; stop is one.
views_follow_memory_that_comes_and_goes() {
	guest_start -M pc -m 32M,slots=2,maxmem=1G
	follow 0x100000000
	followed nothing
	qmp object-add qom-type=memory-backend-ram id=more size=134217728
	qmp device_add driver=pc-dimm id=module memdev=more
	qmp stop
	until_true followed 00
	qmp cont
	printf 'Z' | remotemap write --yes --qemu "$monitor" 0x100000000
	qmp stop
	until_true followed 5a
	qmp cont
	qmp device_del id=module
	eject 0
	until_true followed nothing
	qmp object-del id=more
	run remotemap read --qemu "$monitor" 0x100000000 16
	exited 1
	not grep -q module "$out"
	guest_goes_on
	guest_end
	until_true followed 'No such process'
	wait "$follower"
}

memory_is_still_shown_after_a_reset() {
	guest_start -M pc -m 32M
	follow "$text"
	followed 61
	# It has moved away; when the guest has begun anew, it is there again.
	move "$text" 0x500000 16
	qmp stop
	until_true followed 00
	qmp system_reset
	qmp cont
	until_true guest_runs
	qmp stop
	until_true followed 61
	guest_end
}

# Its QEMU still runs and has the memory, which is nobody's any more.
guest_that_has_migrated_is_not_shown() {
	guest_start -M microvm -m 32M
	follow "$text"
	qmp migrate 'uri=exec:cat >/dev/null'
	until_true followed 'Object is remote'
	run remotemap read --qemu "$monitor" "$text" 16
	exited 4
	one_line_said
	said 'was migrated to another QEMU'
	kill -0 "$guest"
	guest_end
}

# ---- sockets that are no good ------------------------------------------------------

no_socket_is_told() {
	run remotemap info --qemu "$work/none"
	exited 3
	one_line_said
	said 'no such socket: start QEMU with -qmp'
	: >"$work/file"
	run remotemap info --qemu "$work/file"
	exited 3
	one_line_said
	said 'nobody listens there'
}

# One that another client keeps, QEMU that is stopped, one whose QEMU was killed
busy_and_dead_sockets_are_told() {
	guest_start -M microvm -m 32M
	background python3 qmp.py "$monitor" hold >"$work/held"
	holder=$!
	until_true grep -q held "$work/held"
	run remotemap read --qemu "$monitor" "$text" 16
	exited 3
	one_line_said
	said 'another client is connected'
	kill "$holder"
	until_true guest_runs
	kill -KILL "$guest"
	wait "$guest" || true
	run remotemap read --qemu "$monitor" "$text" 16
	exited 3
	one_line_said
	said 'nobody listens there: QEMU has ended'
}

# What answers is remotemap itself, which hands a map file over.
foreign_socket_is_told() {
	background remotemap lend $$ --view 0=0x10000+4K,ro --socket "$work/lent"
	until_true [ -S "$work/lent" ]
	run remotemap info --qemu "$work/lent"
	exited 3
	one_line_said
	said 'no QEMU that speaks QMP'
}

# Another user: first the socket, then the process
rights_are_told() {
	guest_start -M microvm -m 32M
	chmod 755 "$work"
	run chroot --userspec=1000:1000 --groups= / \
		/t/cli/remotemap info --qemu "$monitor"
	exited 3
	one_line_said
	said "be the socket's owner"
	chmod 666 "$monitor"
	run chroot --userspec=1000:1000 --groups= / \
		/t/cli/remotemap info --qemu "$monitor"
	exited 3
	one_line_said
	said "QEMU's process may not be looked into"
	guest_end
}

# As libvirt does it: whoever made the socket is not QEMU.
socket_that_was_inherited_leads_to_qemu() {
	cat >"$work/start.py" <<-'END'
		import socket, subprocess, sys, time
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		listener.listen(1)
		fd = listener.fileno()
		qemu = subprocess.Popen(
		    ["qemu-system-x86_64", "-M", "microvm", "-m", "32M", "-accel", "tcg",
		     "-display", "none", "-nodefaults", "-kernel", "guest.bin",
		     "-chardev", f"socket,id=m,fd={fd},server=on,wait=off",
		     "-mon", "chardev=m,mode=control"], pass_fds=[fd])
		listener.close()
		print(qemu.pid, flush=True)
		qemu.wait()
	END
	monitor=$work/inherited
	background python3 "$work/start.py" "$monitor" >"$work/pid"
	until_true guest_runs
	run remotemap info --qemu "$monitor"
	exited 0
	printed "QEMU is process $(cat "$work/pid")\$"
	kill -KILL "$(cat "$work/pid")"
}

tests search_follows_what_the_guest_moves \
	write_reaches_the_guest_and_read_only_views_do_not \
	dump_is_a_core_that_gdb_reads views_follow_memory_that_comes_and_goes \
	memory_is_still_shown_after_a_reset guest_that_has_migrated_is_not_shown \
	no_socket_is_told busy_and_dead_sockets_are_told foreign_socket_is_told \
	rights_are_told socket_that_was_inherited_leads_to_qemu
