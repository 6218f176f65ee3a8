# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154 # tap.sh is read before
#
# Programs as they come, for the command's tests to look into.

# $nobody COMMAND...: as a user who has nothing
nobody=$work/nobody
cat >"$nobody" <<'END'
#!/bin/sh
exec chroot --userspec=1000:1000 --groups= / "$@"
END
chmod +x "$nobody"
chmod 755 "$work"

# source_start: $source is a Python that answers. It has 17 pages at $memory,
# each of which begins with its number; their rest is zeros.
source_start() {
	holes_stay
	rm -f "$work/ask" "$work/answer"
	mkfifo "$work/ask" "$work/answer"
	exec 8<>"$work/ask" 9<>"$work/answer"
	background python3 -c '
import mmap, sys
memory = mmap.mmap(-1, 17 * 4096, flags=mmap.MAP_SHARED)
for page in range(17):
    memory[page * 4096:page * 4096 + 16] = b"page %-11d" % page
for line in sys.stdin:
    print(eval(line), flush=True)' <&8 >&9
	source=$!
	ask 1 >"$work/ready"
	memory=$(region $((17 * 4096)))
}

# ask EXPRESSION: what that Python says to it
ask() {
	echo "$1" >&8
	read -r answer <&9
	echo "$answer"
}

# region SIZE: where its shared memory of that many bytes begins
region() {
	remotemap info --json "$source" | python3 -c '
import json, sys
for region in json.load(sys.stdin)["regions"]:
    if region["kind"] == "shmem" and region["size"] == int(sys.argv[1]):
        print(region["start"])' "$1"
}

# at BYTES: that far into $memory
at() {
	printf '0x%x' $((memory + $1))
}

# mem PID ADDRESS PAGES: as /proc/PID/mem has it
mem() {
	dd if="/proc/$1/mem" bs=4096 skip=$(($2 / 4096)) count="$3" 2>/dev/null
}

# nobodys_start: $sleeper is a process of that user
nobodys_start() {
	background "$nobody" sleep 1000
	sleeper=$!
	until_true nobodys_runs
}

nobodys_runs() {
	[ "$(stat -c %u "/proc/$sleeper")" = 1000 ] &&
		[ "$(cat "/proc/$sleeper/comm")" = sleep ]
}
