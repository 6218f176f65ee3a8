#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# tests calls functions by name; numbers are one word; others expand
# shellcheck disable=SC2317,SC2086,SC2016
#
# remotemap lend: who is lent something can look at that and at nothing else,
# and nobody else gets it.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/programs.sh
. ./programs.sh

source_start

# lend_run WORD...: two pages at offset 64K, for reading
lend_run() {
	run remotemap lend "$source" --view "64K=$memory+8K,ro" "$@"
}

# ---- to a command ----------------------------------------------------------------

command_sees_the_view() {
	lend_run -- remotemap read --raw - "$memory" 8K
	exited 0
	mem "$source" "$memory" 2 | cmp - "$out"
	lend_run -- remotemap read --raw --map-fd 3 "$memory" 8K
	exited 0
	mem "$source" "$memory" 2 | cmp - "$out"
	lend_run -- remotemap read --raw --offset - 64K 8K
	exited 0
	mem "$source" "$memory" 2 | cmp - "$out"
}

command_sees_nothing_else() {
	lend_run -- remotemap read - "$(at 8184)" 16
	exited 1
	printed "^$(at 8184 | sed 's/0x//')  .*\|\.{8}\|$"
	printed "^$(at 8192 | sed 's/0x//')  nothing to be read, 8 bytes"
	lend_run -- remotemap read - "$(at 12288)" 16
	exited 1
	lend_run -- remotemap read --offset - 0 16
	exited 1
	lend_run -- remotemap read --offset - 72K 16
	exited 1
	printed 'nothing to be read, 16 bytes'
}

# What could it reach in other ways? One file, and nothing of what was open.
command_has_the_map_file_alone() {
	exec 5</dev/null 7<"/proc/$source/mem"
	background remotemap lend "$source" --view "0=$memory+4K,ro" -- \
		sleep 1000
	lent=$!
	until_true grep -q sleep /proc/$lent/comm
	same "$(cd /proc/$lent/fd && echo *)" '0 1 2 3'
	readlink /proc/$lent/fd/3 | grep -q '/remote_mapping'
	tr '\0' '\n' </proc/$lent/environ | grep -x REMOTEMAP_FD=3
	grep -q '^locked:[[:space:]]*1' /proc/$lent/fdinfo/3
	same "$(grep -c '^view:' /proc/$lent/fdinfo/3)" 1
	exec 5<&- 7<&-
	# flags: opened for reading only
	grep -q '^flags:.*0$' /proc/$lent/fdinfo/3
}

read_only_is_read_only() {
	lend_run -- sh -c 'echo 1234 | remotemap write --yes - "$1"' sh "$memory"
	exited 3
	one_line_said
	said 'what was lent is for reading only'
	# One view may be written, so the map file may; and the other may not.
	run remotemap lend "$source" --view "0=$(at 4096)+4K,ro" \
		--view "4K=$(at 8192)+4K" -- sh -c \
		'printf 1234 | remotemap write --yes - "$1"' sh "$(at 4100)"
	exited 1
	said '0 of 4 bytes were written'
	same "$(ask 'memory[4096:4102]')" "b'page 1'"
}

what_is_not_read_only_is_written() {
	run remotemap lend "$source" --view "0=$(at 4096)+4K,ro" \
		--view "4K=$(at 12288)+4K" -- sh -c \
		'printf lent | remotemap write --yes - "$1"' sh "$(at 12292)"
	exited 0
	same "$(ask 'memory[12288:12296]')" "b'pagelent'"
}

views_that_do_not_adjoin_are_found_by_address() {
	run remotemap lend "$source" --view "1M=$(at 16384)+4K,ro" \
		--view "0=$(at 24576)+4K,ro" -- \
		remotemap read --raw - "$(at 16384)" 12K
	exited 1
	said "at $(at 20480), 4096 bytes"
	{
		mem "$source" "$(at 16384)" 1
		head -c 4096 /dev/zero
		mem "$source" "$(at 24576)" 1
	} | cmp - "$out"
}

resident_does_not_disturb() {
	ask 'globals().update(lazy=mmap.mmap(-1, 1 << 20, flags=mmap.MAP_SHARED)) or 1' \
		>"$work/x"
	lazy=$(region $((1 << 20)))
	run remotemap lend "$source" --view "0=$lazy+1M,ro,resident" -- \
		remotemap read - "$lazy" 1M
	exited 1
	printed 'nothing to be read, 1048576 bytes'
	run remotemap lend "$source" --view "0=$lazy+1M,ro" -- \
		remotemap read --raw - "$lazy" 1M
	exited 0
}

exit_status_is_the_commands() {
	lend_run -- sh -c 'exit 42'
	exited 42
	lend_run -- sh -c 'kill -KILL $$'
	exited 137
	lend_run -- /none
	exited 127
	one_line_said
	said '/none: No such file or directory'
	lend_run -- /proc
	exited 126
	one_line_said
	lend_run -- sh -c 'echo "$@"' sh --view x
	exited 0
	printed '^--view x$'
}

command_runs_as_that_user() {
	lend_run --uid 1000 -- sh -c 'id -u; id -g; id -G'
	exited 0
	same "$(tr '\n' ' ' <"$out")" '1000 1000 1000 '
	lend_run --uid 1000 -- sh -c '/t/cli/remotemap read --raw - "$1" 4; cat /proc/$2/maps' \
		sh "$memory" "$source"
	exited 1
	same "$(cat "$out")" page
	said 'Permission denied'
	lend_run --uid nouser -- true
	exited 2
	said "there is no user 'nouser'"
	before=$(cat /proc/sys/kernel/yama/ptrace_scope)
	echo 0 >/proc/sys/kernel/yama/ptrace_scope
	nobodys_start
	run "$nobody" /t/cli/remotemap lend $sleeper --view 0=0+4K,ro \
		--uid 1001 -- true
	echo "$before" >/proc/sys/kernel/yama/ptrace_scope
	exited 3
	said 'to run it as uid 1001: Operation not permitted: be root'
}

views_that_cannot_be_are_told() {
	run remotemap lend "$source" --view "0=$memory+8K" \
		--view "4K=$memory+4K" -- true
	exited 2
	one_line_said
	said 'view at offset 0x1000: it overlaps another'
	run remotemap lend "$source" --view 0=0xfffffffff000+4K -- true
	exited 2
	said 'beyond the addresses'
	run remotemap lend 4194303 --view 0=0+4K -- true
	exited 3
	said 'process 4194303: there is no such process'
	run "$nobody" /t/cli/remotemap lend "$source" --view 0=0+4K -- true
	exited 3
	said 'it belongs to uid 0'
}

source_that_has_ended_is_told() {
	background sleep 1000
	victim=$!
	until_true grep -q sleep /proc/$victim/comm
	start=$(sed -n 's/-.*\[stack\]$//p' /proc/$victim/maps)
	run remotemap lend $victim --view "0=0x$start+4K,ro" -- sh -c '
		kill -KILL $1
		while [ -d /proc/$1 ] &&
			! grep -q "^State:.Z" /proc/$1/status 2>/dev/null; do
			sleep 0.1
		done
		remotemap read - $2 16' sh $victim "0x$start"
	exited 4
	one_line_said
	said "^remotemap read: 0x$start: the source has ended$"
}

# ---- to a user ---------------------------------------------------------------------

# serve WORD...: $server serves $socket, and what it says is in $work/served
serve() {
	socket=$work/socket.$$.$(wc -l <"$work/pids")
	background remotemap lend "$@" --socket "$socket" 2>"$work/served"
	server=$!
	until_true listening
}

listening() {
	grep -q " $socket$" /proc/net/unix && [ -S "$socket" ]
}

ended() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

served_to_that_user_alone() {
	serve "$source" --view "0=$memory+8K,ro" --uid 1000
	until_true same "$(stat -c '%a %u' "$socket")" '600 1000'
	run "$nobody" /t/cli/remotemap read --raw --socket "$socket" "$memory" 8K
	exited 0
	mem "$source" "$memory" 2 | cmp - "$out"
	# Root may connect, and is not who it is for.
	run remotemap read --socket "$socket" "$memory" 16
	exited 3
	one_line_said
	said 'it gave nothing: it serves another user \(remotemap lend --uid 0\)'
	grep -Eq '^remotemap lend: refused: process [0-9]+ of uid 0$' "$work/served"
	# And somebody else may not even connect.
	run chroot --userspec=1001:1001 --groups= / /t/cli/remotemap read \
		--socket "$socket" "$memory" 16
	exited 3
	said "$socket: Permission denied"
}

served_to_the_caller_else() {
	serve "$source" --view "0=$memory+8K,ro"
	same "$(stat -c '%a %u' "$socket")" '600 0'
	run remotemap read --raw --socket "$socket" "$memory" 8K
	exited 0
	mem "$source" "$memory" 2 | cmp - "$out"
	run "$nobody" /t/cli/remotemap read --socket "$socket" "$memory" 16
	exited 3
	said "$socket: Permission denied"
}

# Without root the socket cannot be given away, so all may knock.
served_by_who_is_not_root() {
	before=$(cat /proc/sys/kernel/yama/ptrace_scope)
	echo 0 >/proc/sys/kernel/yama/ptrace_scope
	nobodys_start
	start=$(sed -n 's/-.*\[stack\]$//p' /proc/$sleeper/maps)
	mkdir -p "$work/his"
	chown 1000 "$work/his"
	socket=$work/his/socket
	background "$nobody" /t/cli/remotemap lend $sleeper \
		--view "0=0x$start+4K,ro" --uid 0 --socket "$socket" \
		2>"$work/served"
	until_true listening
	echo "$before" >/proc/sys/kernel/yama/ptrace_scope
	run remotemap read --resident --raw --socket "$socket" "0x$start" 4K
	exited 0
	run "$nobody" /t/cli/remotemap read --socket "$socket" "0x$start" 16
	exited 3
	said 'it serves another user'
	grep -q 'refused: process [0-9]* of uid 1000' "$work/served"
}

stopped_it_leaves_no_socket() {
	serve "$source" --view "0=$memory+8K,ro"
	remotemap read --socket "$socket" "$memory" 16 >"$out"
	kill -TERM $server
	status=0
	wait $server || status=$?
	exited 143
	[ ! -e "$socket" ]
	[ ! -s "$work/served" ]
	run remotemap read --socket "$socket" "$memory" 16
	exited 3
	said 'is remotemap lend --socket running there'
}

source_ends_and_so_does_it() {
	background sleep 1000
	victim=$!
	until_true grep -q sleep /proc/$victim/comm
	start=$(sed -n 's/-.*\[stack\]$//p' /proc/$victim/maps)
	serve $victim --view "0=0x$start+4K,ro"
	kill -KILL $victim
	status=0
	wait $server || status=$?
	exited 4
	[ ! -e "$socket" ]
	grep -qx "remotemap lend: process $victim has ended" "$work/served"
}

socket_that_is_there_is_left_alone() {
	echo mine >"$work/file"
	lend_run --socket "$work/file"
	exited 5
	one_line_said
	said "$work/file: it is there already: take another"
	same "$(cat "$work/file")" mine
	lend_run --socket /none/socket
	exited 5
	one_line_said
	said '/none/socket: No such file or directory'
	lend_run --socket "/$(printf '%0120d' 0)"
	exited 2
	one_line_said
}

tests command_sees_the_view command_sees_nothing_else \
	command_has_the_map_file_alone read_only_is_read_only \
	what_is_not_read_only_is_written \
	views_that_do_not_adjoin_are_found_by_address resident_does_not_disturb \
	exit_status_is_the_commands command_runs_as_that_user \
	views_that_cannot_be_are_told source_that_has_ended_is_told \
	served_to_that_user_alone served_to_the_caller_else \
	served_by_who_is_not_root stopped_it_leaves_no_socket \
	source_ends_and_so_does_it socket_that_is_there_is_left_alone
