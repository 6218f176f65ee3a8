# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# For the shell tests: a test is a function, and its name is the promise. It
# fails if a command in it does, as under set -e, and then what it printed is
# shown. Read this file, define functions, call tests with their names.
#
# run COMMAND... keeps what a command printed and its exit status, for the
# others below to look at. $work is a folder of the test program's own; what
# `background` started is ended with it.

work=$(mktemp -d "${TMPDIR:-/tmp}/test.XXXXXX")
patience=$((60 * ${TEST_PATIENCE:-1}))
out=$work/stdout err=$work/stderr status=
: >"$work/pids"

# shellcheck disable=SC2317 # a trap calls it
tap_end() {
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null
	done <"$work/pids"
	rm -rf "$work"
}
trap tap_end EXIT
trap 'exit 143' TERM INT HUP

# background COMMAND...: $! is it. Its standard input is the caller's; else a shell
# would make it /dev/null.
background() {
	{ "$@" <&5 5<&- & } 5<&0
	echo $! >>"$work/pids"
}

# run COMMAND...: never fails
run() {
	status=0
	"$@" >"$out" 2>"$err" </dev/null || status=$?
}

# exited STATUS
exited() {
	[ "$status" = "$1" ] && return
	echo "exit status $status, not $1; it said:"
	head -c 500 "$err"
	return 1
}

# printed PATTERN, said PATTERN: a line of standard output, error; extended
# regular expressions
printed() {
	grep -Eq -- "$1" "$out" && return
	echo "it did not print '$1', but:"
	head -c 500 "$out"
	return 1
}

said() {
	grep -Eq -- "$1" "$err" && return
	echo "it did not say '$1', but:"
	head -c 500 "$err"
	return 1
}

# not COMMAND...: fails if that does not; ! would never end a test
not() {
	if "$@"; then
		echo "it was not to succeed: $*"
		return 1
	fi
}

# one_line_said: what is wrong is told in one line
one_line_said() {
	[ "$(wc -l <"$err")" = 1 ] && return
	echo "not one line on standard error:"
	head -c 500 "$err"
	return 1
}

# same A B: text
same() {
	[ "$1" = "$2" ] && return
	echo "'$1' is not '$2'" | head -c 500
	return 1
}

# until_true COMMAND...: waits for it
until_true() {
	tap_until=$(($(cut -d. -f1 /proc/uptime) + patience))
	until "$@" 2>/dev/null; do
		if [ "$(cut -d. -f1 /proc/uptime)" -gt $tap_until ]; then
			echo "in $patience s it never was true: $*"
			return 1
		fi
		sleep 0.1
	done
}

# holes_stay: khugepaged, every ten seconds, makes a huge page of what has but one
# page, and fills the rest with zeros: a process had more memory then, without having
# done anything, and what it gave up came back. From now on it leaves that alone.
holes_stay() {
	echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none
}

# tests NAME...: prints TAP, and ends
tests() {
	tap_failed=0 tap_count=0
	echo "TAP version 13"
	echo "1..$#"
	for tap_name; do
		tap_count=$((tap_count + 1))
		# Not in a condition: there, set -e has no effect.
		(
			set -e
			"$tap_name"
		) >"$work/said" 2>&1
		tap_status=$?
		if [ $tap_status = 0 ]; then
			echo "ok $tap_count $tap_name"
		else
			sed 's/^/# /' "$work/said"
			echo "not ok $tap_count $tap_name"
			tap_failed=1
		fi
	done
	exit $tap_failed
}
