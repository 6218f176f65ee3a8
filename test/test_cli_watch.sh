#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2016,SC2154,SC2317 # for python; tap.sh; tests calls them by name
#
# remotemap watch, on a Python whose memory changes when it is told to: in lines,
# and in a real terminal (tmux) of 80 and of 200 columns.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/terminal.sh
. ./terminal.sh

holes_stay

# ---- what is watched -------------------------------------------------------------

mkfifo "$work/ask" "$work/answer"
cat >"$work/source.py" <<'END'
import mmap, struct, sys
memory = mmap.mmap(-1, 5 << 12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for row in range(5 << 8):
    memory[row * 16:row * 16 + 16] = b"row %-11d\0" % row
def put(at, data):
    memory[at:at + len(data)] = data
def drop(page):
    memory.madvise(mmap.MADV_DONTNEED, page << 12, 4096)
for line in sys.stdin:
    print(eval(line), flush=True)
END

# source_start: $source, and $memory, which is of a size that nothing else has
source_start() {
	exec 8<>"$work/ask" 9<>"$work/answer"
	background python3 -B "$work/source.py" <&8 >&9
	source=$!
	ask 1 >"$work/ready"
	memory=$(while read -r range _; do
		start=$((0x${range%-*})) end=$((0x${range#*-}))
		[ $((end - start)) != 20480 ] || printf '0x%x\n' $start
	done <"/proc/$source/maps" | head -n 1)
}

# ask EXPRESSION: what Python says to it
ask() {
	printf '%s\n' "$1" >&8
	read -r answer <&9
	echo "$answer"
}

# does EXPRESSION: it is done then
does() {
	ask "$1" >"$work/done"
}

# at BYTES: an address in it
at() {
	printf '0x%x' $((memory + $1))
}

# ---- lines -----------------------------------------------------------------------

# watch ARGUMENT...: $watch; what it prints is in $out
watch() {
	background remotemap watch "$@" >"$out" 2>"$err"
	watch=$!
}

# ended STATUS: watch has
ended() {
	status=0
	wait "$watch" || status=$?
	exited "$1"
}

a_line_a_change() {
	does 'put(0, b"row 0          \0")'
	watch "$source" "$memory" 32 --interval 0.02 --count 3
	until_true grep -q " $(at 16) " "$out"
	printed "^[0-9.]+ $(at 0) 72 6f 77 20 30( 20){10} 00$"
	printed "^[0-9.]+ $(at 16) 72 6f 77 20 31( 20){10} 00$"
	does 'put(4, b"12")'
	until_true grep -Eq "^[0-9.]+ $(at 4) 30 20 -> 31 32$" "$out"
	# Two that do not touch are two.
	does 'put(15, b"x") or put(17, b"y")'
	ended 0
	printed "^[0-9.]+ $(at 15) 00 -> 78$"
	printed "^[0-9.]+ $(at 17) 6f -> 79$"
	same 5 "$(wc -l <"$out")"
	does 'put(15, b"\0row 1")'
}

# typed TYPE FORMAT VALUE SHOWN: what the source puts there is shown so
typed() {
	does "put(64, struct.pack('<$2', $3))"
	watch "$source" "$(at 64)" 8 --type "$1" --interval 0.02
	until_true grep -Eq "^[0-9.]+ $(at 64) $4\$" "$out"
	kill "$watch"
	wait "$watch" || true
}

values_of_each_type() {
	typed u8 B 200 200
	typed i8 b -100 -100
	typed u16 H 65535 65535
	typed i16 h -2 -2
	typed u32 I 4000000000 4000000000
	typed i32 i -2000000000 -2000000000
	typed u64 Q '2**64-1' 18446744073709551615
	typed i64 q '-2**63' -9223372036854775808
	typed f32 f 0.5 0.5
	typed f64 d -1e300 '-1e\+300'
	typed ptr Q 0x7f0012345678 0x7f0012345678
	typed str 8s 'b"a\xff\0bcdef"' '"a\\xff"'
}

values_that_change() {
	does 'put(128, struct.pack("<Qd", 7, 0.25))'
	watch "$source" "$(at 128)" 8 --type u64 --interval 0.02 --count 2
	until_true grep -q " 7$" "$out"
	does 'put(128, struct.pack("<Q", 8))'
	until_true grep -Eq "^[0-9.]+ $(at 128) 7 -> 8$" "$out"
	does 'put(128, struct.pack("<Q", 9))'
	ended 0
	printed "^[0-9.]+ $(at 128) 8 -> 9$"
}

json_is_a_change_a_line() {
	does 'put(128, struct.pack("<Qd", 7, 0.25))'
	watch "$source" "$(at 128)" 16 --type f64 --interval 0.02 --count 1 --json
	until_true grep -q 0.25 "$out"
	does 'put(136, struct.pack("<d", -0.5))'
	ended 0
	python3 - "$(at 136)" "$out" <<-'END'
		import json, sys
		lines = [json.loads(line) for line in open(sys.argv[2])]
		assert len(lines) == 3
		assert lines[1]["new"] == 0.25 and "old" not in lines[1]
		last = lines[2]
		assert last["address"] == sys.argv[1] and last["type"] == "f64"
		assert last["old"] == 0.25 and last["new"] == -0.5 and last["time"] >= 0
	END
}

what_is_not_there_is_dashes() {
	does 'put(4096 * 3, b"ABCD")'
	watch "$source" "$(at $((4096 * 3 - 2)))" 6 --resident --interval 0.02 --count 2
	until_true grep -q ' 41 42 43 44$' "$out"
	does 'drop(3)'
	until_true grep -q "$(at $((4096 * 3))) 41 42 43 44 -> -- -- -- --$" "$out"
	does 'put(4096 * 3, b"EF")'
	ended 0
	printed "$(at $((4096 * 3))) -- -- -- -- -> 45 46 00 00$"
}

resident_does_not_disturb() {
	before=$(sed 's/.*) //' "/proc/$source/stat" | cut -d' ' -f8,10
		grep ^Rss "/proc/$source/smaps_rollup")
	watch "$source" "$(at $((4096 * 3)))" 4096 --resident --interval 0.01
	until_true grep -q . "$out"
	kill "$watch"
	ended 143
	same "$before" "$(sed 's/.*) //' "/proc/$source/stat" | cut -d' ' -f8,10
		grep ^Rss "/proc/$source/smaps_rollup")"
}

the_end_of_the_source_is_4() {
	background sleep 1000000
	short=$!
	until_true grep -q '\[heap\]' "/proc/$short/maps"
	heap=$(sed -n 's/^\([0-9a-f]*\)-.*\[heap\]$/0x\1/p' "/proc/$short/maps")
	watch "$short" "$heap" 16 --interval 1000
	until_true grep -q "$heap" "$out"
	kill -KILL "$short"
	ended 4
	said "^remotemap watch: process $short \\(sleep\\): the source has ended$"
	one_line_said
}

# refused STATUS TEXT
refused() {
	exited "$1"
	one_line_said
	said "^remotemap watch: $2"
}

what_makes_no_sense_is_2() {
	run remotemap watch "$source" "$memory"
	refused 2 'too few words'
	run remotemap watch "$source" "$memory" 0
	refused 2 'LENGTH is 1 to 16.0 MiB'
	run remotemap watch "$source" "$memory" 17M
	refused 2 'LENGTH is 1 to 16.0 MiB'
	run remotemap watch "$source" "$memory" 7 --type u64
	refused 2 'a value of type u64 has 8 bytes'
	run remotemap watch "$source" 0xfffffffffffff000 16
	refused 2 "process $source \\(python3\\): no view shows all of"
	run remotemap watch "$source" nonsense 16
	refused 2 "ADDRESS is a number .*'nonsense'"
	run remotemap watch "$source" "$memory" 16 --type u9
	exited 2
	said "'u9' is none of u8 u16"
	run remotemap watch "$source" "$memory" 16 --interval 0
	exited 2
	said "'0' is no number of seconds"
	run remotemap watch 999999 "$memory" 16
	refused 3 'process 999999: there is no such process'
}

a_closed_pipe_is_5() {
	{
		remotemap watch "$source" "$memory" 20K --count 1 2>"$err" ||
			echo $? >"$work/status"
	} | head -n 1 >"$out"
	status=$(cat "$work/status")
	refused 5 'standard output: Broken pipe'
}

# ---- in a terminal ---------------------------------------------------------------

in_80_columns() {
	does 'put(0, b"row 0          \0")'
	terminal 80 remotemap watch "$source" "$memory" 4K --interval 0.1
	shows "^process $source \\(python3\\)  $memory\\+4096  every 0.1 s .* live$"
	shows "^$(printf '%012x' "$memory")  72 6f 77 20 30 20 20 20  20 20 20 20 20 20 20 00  row 0 {10}\\.\$"
	shows '^q quit  p pause  .*  bytes 0-335 of 4096  0 changed'
	not screen_has 'row 21 '
	keys q
	closes 0
}

in_200_columns() {
	terminal 200 remotemap watch "$source" "$memory" 4K --interval 0.1
	shows '  row 0 {10}\.row 1 {10}\.$'
	shows 'bytes 0-671 of 4096'
	keys q
	closes 0
}

in_few_columns() {
	terminal 40 remotemap watch "$source" "$memory" 64 --interval 0.1
	shows "^$(printf '%012x' "$memory")  72 6f 77 20  row\$"
	keys q
	closes 0
}

changes_stand_out() {
	does 'put(32, b"row 2           ")'
	terminal 80 remotemap watch "$source" "$memory" 4K --interval 2
	shows 'row 2$'
	does 'put(32, b"ROW")'
	shows 'ROW 2$'
	shows_coloured '\[[0-9;]*31m52'
	# Then fainter, then no more.
	shows_coloured '\[[0-9;]*33m52'
	shows '3 changed'
	keys q
	closes 0
}

without_colours_they_stand_out_too() {
	does 'put(32, b"row")'
	terminal 80 remotemap watch "$source" "$memory" 4K --interval 2 --color=never
	shows 'row 2$'
	does 'put(32, b"ROW")'
	shows_coloured '\[[0-9;]*7m52'
	not coloured '\[[0-9;]*3[1-7]m'
	keys q
	closes 0
}

keys_scroll_and_pause() {
	terminal 80 remotemap watch "$source" "$memory" 4K --interval 0.1
	shows 'row 0 '
	keys NPage
	shows 'bytes 336-671 of 4096'
	screen_has 'row 21 '
	keys Down
	shows 'bytes 352-687 of 4096'
	keys End
	shows 'bytes 3760-4095 of 4096'
	screen_has 'row 255 '
	keys Home
	shows 'bytes 0-335 of 4096'
	keys p
	shows ' paused$'
	does 'put(48, b"NEW")'
	keys Down
	shows 'bytes 16-351 of 4096'
	screen_has 'row 3 '
	keys p
	shows 'NEW 3 '
	does 'put(48, b"row")'
	keys q
	closes 0
}

values_one_a_line() {
	does 'put(64, struct.pack("<4I", 1, 2, 3, 4000000000))'
	terminal 80 remotemap watch "$source" "$(at 64)" 18 --type u32 --interval 0.1
	shows "^$(printf '%012x' $((memory + 76))) +4000000000\$"
	does 'put(64, struct.pack("<I", 17))'
	shows "^$(printf '%012x' $((memory + 64))) +17\$"
	keys q
	closes 0
}

a_new_size_is_followed() {
	terminal 80 remotemap watch "$source" "$memory" 4K --interval 0.1
	shows 'row 0 {10}\.$'
	tmux -S "$work/tmux" resize-window -x 200 -y 30
	shows '  row 0 {10}\.row 1 {10}\.$'
	shows 'bytes 0-863 of 4096'
	tmux -S "$work/tmux" resize-window -x 80 -y 24
	shows 'bytes 0-335 of 4096'
	keys q
	closes 0
}

# It stays, with what was there last, until it is closed.
the_end_is_shown() {
	background bash -c 'secret=in-a-$((1 + 1))-shell; read -r line <'"$work/ask2"
	shell=$!
	until_true remotemap search "$shell" --text in-a-2-shell --region heap
	secret=$(remotemap search "$shell" --text in-a-2-shell --region heap --max 1 2>"$err" |
		cut -d' ' -f2)
	terminal 80 remotemap watch "$shell" "$secret" 64 --interval 0.1
	shows 'in-a-2-shell'
	kill -KILL "$shell"
	shows ' ended$'
	shows '^the source has ended: q quit'
	screen_has 'in-a-2-shell'
	keys q
	closes 4
	grep -q "^remotemap watch: process $shell (bash): the source has ended$" "$work/complaint"
}

exit_ends_with_the_source() {
	background sleep 1000000
	short=$!
	until_true grep -q '\[heap\]' "/proc/$short/maps"
	heap=$(sed -n 's/^\([0-9a-f]*\)-.*\[heap\]$/0x\1/p' "/proc/$short/maps")
	terminal 80 remotemap watch "$short" "$heap" 64 --exit --interval 1000
	shows ' live$'
	kill -KILL "$short"
	closes 4
}

signals_leave_the_terminal_as_it_was() {
	for signal in INT:130 TERM:143 HUP:129 QUIT:131; do
		terminal 80 remotemap watch "$source" "$memory" 64
		shows ' live$'
		kill -"${signal%:*}" "$(cat "$work/pid")"
		closes "${signal#*:}"
	done
}

# A value that redis keeps by itself, being so long, and so changes where it is.
# Copies in its buffers have no such head: length, room, type.
a_database_is_watched() {
	background redis-server --port 0 --unixsocket "$work/redis" --save '' \
		--daemonize no --logfile "$work/redis.log" --dir "$work"
	redis=$!
	until_true redis-cli -s "$work/redis" ping
	text=the-value-42-is-longer-than-those-that-are-kept-in-its-object
	redis-cli -s "$work/redis" set key "$text" >"$work/told"
	value=$(remotemap search "$redis" --text "$text" --writable --json |
		python3 -c '
import json, sys
for match in map(json.loads, sys.stdin):
    before, after = (bytes.fromhex(match[side]) for side in ("before", "after"))
    if before[-3] == match["length"] and before[-1] == 1 and after[0] == 0:
        print(match["address"])')
	terminal 80 remotemap watch "$redis" "$value" 64 --interval 0.1
	shows 'the-value-42-is'
	redis-cli -s "$work/redis" setrange key 4 VALUE >"$work/told"
	shows 'the-VALUE-42-is'
	keys q
	closes 0
	kill -KILL "$redis"
}

mkfifo "$work/ask2"
source_start
tests a_line_a_change values_of_each_type values_that_change json_is_a_change_a_line \
	what_is_not_there_is_dashes resident_does_not_disturb \
	the_end_of_the_source_is_4 what_makes_no_sense_is_2 a_closed_pipe_is_5 \
	in_80_columns in_200_columns in_few_columns changes_stand_out \
	without_colours_they_stand_out_too keys_scroll_and_pause values_one_a_line \
	a_new_size_is_followed the_end_is_shown exit_ends_with_the_source \
	signals_leave_the_terminal_as_it_was a_database_is_watched
