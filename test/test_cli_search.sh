#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2016,SC2154,SC2317 # rules and patterns; tap.sh; tests calls them by name
#
# remotemap search, on a Python, a shell and a database under load: what is there
# is found, once, wherever it lies; and the source is not disturbed by it.

# shellcheck source=test/tap.sh
. ./tap.sh

holes_stay

# $nobody COMMAND...: as a user who has nothing
nobody=$work/nobody
cat >"$nobody" <<'END'
#!/bin/sh
exec chroot --userspec=1000:1000 --groups= / "$@"
END
chmod 755 "$nobody" "$work"

# ---- programs to look into -------------------------------------------------------

# A Python with 40 MiB of private memory, in two regions that touch. Needles lie
# across borders of pages: the first 15, and each that the command may cut the range
# at. What else is to be found is at known places.
mkfifo "$work/ask" "$work/answer"
cat >"$work/places.py" <<'END'
size, page = 40 << 20, 4096
places = [at - 5 for at in range(page, 65536, page)]
places += [at - 5 for at in range(262144, size, 262144)]
END
cat >"$work/source.py" <<'END'
import mmap, sys
from places import *
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = b"." * size
for at in places:
    memory[at:at + 9] = b"a-needle!"
memory.madvise(mmap.MADV_DONTDUMP, size // 2)
memory[100:124] = "pass w\u00f6rd \U0001f600".encode("utf-16-le")
memory[200:208] = bytes.fromhex("deadbeef01020304")
memory[300:308] = bytes.fromhex("deadbeef01a20304")
memory[400:408] = bytes.fromhex("deadbeef01a3ff04")
for line in sys.stdin:
    print(eval(line), flush=True)
END
exec 8<>"$work/ask" 9<>"$work/answer"
background python3 -B "$work/source.py" <&8 >&9
source=$!

# ask EXPRESSION: what Python says to it
ask() {
	printf '%s\n' "$1" >&8
	read -r answer <&9
	echo "$answer"
}
ask 1 >"$work/ready"

# the first of the two regions of 20 MiB
memory=$(while read -r range _; do
	start=$((0x${range%-*})) end=$((0x${range#*-}))
	[ $((end - start)) != $((20 << 20)) ] || printf '0x%x\n' $start
done <"/proc/$source/maps" | head -n 1)
range=$memory+40M

# at BYTES: an address in it
at() {
	printf '0x%x' $((memory + $1))
}

# found ADDRESS...: these and no others, in any order
found() {
	for address; do
		echo "$address"
	done | sort >"$work/wanted"
	cut -d' ' -f2 "$out" | sort | diff "$work/wanted" -
}

# rules NAME: a file of YARA rules from standard input
rules() {
	cat >"$work/$1.yar"
}
rules needle <<'END'
rule needle { strings: $a = "a-needle!" condition: $a }
END

# ---- what is found ---------------------------------------------------------------

text_is_found() {
	run remotemap search "$source" --range "$memory+1M" --text a-needle! --max 1
	exited 0
	printed "^$source $(at 4091) anonymous  61 2d 6e 65 65 64 6c 65 21  \\|\\.+a-needle!\\.+\\|$"
}

wide_text_is_found() {
	run remotemap search "$source" --range "$range" \
		--wide "$(printf 'pass w\303\266rd \360\237\230\200')"
	exited 0
	found "$(at 100)"
}

hex_with_half_bytes_is_found() {
	run remotemap search "$source" --range "$range" --hex 'DE ad be EF 01 02'
	exited 0
	found "$(at 200)"
	run remotemap search "$source" --range "$range" --hex 'deadbeef01??0304'
	exited 0
	found "$(at 200)" "$(at 300)"
	run remotemap search "$source" --range "$range" --hex '?e ad ?? ef 01 A? ?? 04'
	exited 0
	found "$(at 300)" "$(at 400)"
	# Not one whole byte is given.
	run remotemap search "$source" --range "$memory+4K" --hex 'd? a? b? e? 0? 0?'
	exited 0
	found "$(at 200)"
}

bytes_of_a_file_are_found() {
	printf '\336\255\276\357\001\242' >"$work/bytes"
	run remotemap search "$source" --range "$range" --bytes "$work/bytes"
	exited 0
	found "$(at 300)"
}

several_patterns_tell_which() {
	run remotemap search "$source" --range "$memory+4K" --hex 'deadbeef01a3' \
		--hex 'deadbeef0102'
	exited 0
	printed "^$source $(at 400) anonymous deadbeef01a3 "
	printed "^$source $(at 200) anonymous deadbeef0102 "
}

# each_once: all needles, and nothing else
each_once() {
	cut -d' ' -f2 "$out" >"$work/addresses"
	PYTHONPATH=$work python3 -B - "$memory" "$work/addresses" <<-'END'
		import sys
		from places import *
		start = int(sys.argv[1], 16)
		found = [int(line, 16) - start for line in open(sys.argv[2])]
		assert sorted(found) == places, f"{len(found)}, not {len(places)}"
	END
}

across_pages_pieces_and_regions_each_is_found_once() {
	same 2 "$(grep -c "$(printf '%x' $((memory + (20 << 20))))" "/proc/$source/maps")"
	run remotemap search "$source" --range "$range" --text a-needle!
	exited 0
	each_once
	run remotemap search "$source" --range "$range" --resident --hex '?? 2d 6e 65 65 64 6c 65 21'
	exited 0
	each_once
}

yara_finds_each_once_too() {
	run remotemap search "$source" --range "$range" --yara "$work/needle.yar"
	exited 0
	same "$(wc -l <"$out")" "$(grep -c ' anonymous needle:\$a  61 2d ' "$out")"
	each_once
}

json_is_a_match_a_line() {
	run remotemap search "$source" --range "$memory+64K" --text a-needle! --json
	exited 0
	python3 - "$source" "$memory" "$out" <<-'END'
		import json, sys
		pid, start = int(sys.argv[1]), int(sys.argv[2], 16)
		matches = [json.loads(line) for line in open(sys.argv[3])]
		assert len(matches) == 15
		for n, match in enumerate(matches):
		    assert match["pid"] == pid
		    assert int(match["address"], 16) == start + 4096 * (n + 1) - 5
		    assert bytes.fromhex(match["bytes"]) == b"a-needle!"
		    assert bytes.fromhex(match["before"]) == b"." * 16
		    assert bytes.fromhex(match["after"]) == b"." * 16
		    region = match["region"]
		    assert int(region["start"], 16) <= start < int(region["end"], 16)
		    assert region["kind"] == "anonymous"
	END
}

yara_json_has_rule_and_string() {
	rules two <<-'END'
		rule both { strings: $x = { de ad be ef 01 (a2 | a3) } $y = "a-needle!"
		condition: #x == 2 and $y }
		rule always { condition: true }
		rule never { strings: $z = "a-needle!" condition: not $z }
	END
	run remotemap search "$source" --range "$memory+8K" --yara "$work/two.yar" --json
	exited 0
	python3 - "$memory" "$out" <<-'END'
		import json, sys
		start = int(sys.argv[1], 16)
		matches = [json.loads(line) for line in open(sys.argv[2])]
		told = {(m["rule"], m.get("string"), int(m.get("address", "0"), 16) - start)
		        for m in matches}
		assert told == {("both", "$x", 300), ("both", "$x", 400),
		                ("both", "$y", 4091), ("always", None, -start)}, told
	END
}

a_shell_is_searched() {
	background bash -c 'secret=in-a-$((1 + 1))-shell; read -r line <'"$work/ask2"
	shell=$!
	until_true remotemap search "$shell" --text in-a-2-shell
	run remotemap search "$shell" --text in-a-2-shell --region heap,anonymous --writable
	exited 0
}

# ---- where it looks --------------------------------------------------------------

only_such_regions() {
	run remotemap search "$source" --region stack --hex 00
	exited 0
	same '[stack]' "$(cut -d' ' -f3 "$out" | sort -u)"
	run remotemap search "$source" --region file --range "$range" --text a-needle!
	exited 1
	run remotemap search "$source" --region file --writable --hex 7f454c46
	run remotemap search "$source" --region file --hex 7f454c46
	exited 0
	printed "$source 0x[0-9a-f]+ /usr/bin/python3"
}

no_more_than_asked_for() {
	run remotemap search "$source" --text a-needle! --max 3
	exited 0
	same 3 "$(wc -l <"$out")"
	said '^remotemap search: stopped after 3 matches: --max$'
	run remotemap search "$source" --yara "$work/needle.yar" --max 3
	exited 0
	same 3 "$(wc -l <"$out")"
}

all_processes_but_itself() {
	background bash -c 'secret=in-a-$((1 + 1))-shell; read -r line <'"$work/ask2"
	shell=$!
	until_true remotemap search "$shell" --text in-a-2-shell
	run sh -c 'echo $$ >"$0"; exec remotemap search --all --resident --text in-a-2-shell' \
		"$work/itself"
	exited 0
	printed "^$shell 0x"
	not grep -q "^$(cat "$work/itself") " "$out"
	said '^remotemap search: [0-9]+ processes searched, this one left out; 0 may not be opened$'
	run "$nobody" remotemap search --all --resident --text in-a-2-shell
	exited 1
	said '[1-9][0-9]* may not be opened$'
}

what_was_lent_is_searched() {
	run remotemap lend --uid 1000 --view "0=$memory+64K,ro" "$source" -- \
		remotemap search - --hex deadbeef01a2
	exited 0
	printed " $(at 300) "
}

# ---- the source ------------------------------------------------------------------

# cost PID: page faults of both kinds, and resident memory of each kind
cost() {
	sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f8,10
	grep -E '^(Rss|Swap|Pss_Dirty)' "/proc/$1/smaps_rollup"
}

# A Python that has a file mapped, which may be one of tmpfs, and has touched none
# of it
untouched() {
	dd if=/dev/zero bs=1M count=4 2>/dev/null | tr '\0' x >"$work/file"
	cat >"$work/untouched.py" <<-'END'
		import mmap, sys, time
		file = open(sys.argv[1])
		memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
		memory.madvise(mmap.MADV_RANDOM)
		print("ready", flush=True)
		time.sleep(1000000)
	END
	background python3 -B "$work/untouched.py" "$work/file" >"$work/untouched"
	untouched=$!
	until_true grep -q ready "$work/untouched"
	until_true grep -q '^State:.S' "/proc/$untouched/status"
}

resident_leaves_python_alone() {
	untouched
	before=$(cost "$untouched")
	run remotemap search "$untouched" --resident --text xxxxxxxxxxxxxxxx --region file,shmem
	exited 1
	run remotemap search "$untouched" --resident --text 'sleep(1000000)'
	same "$before" "$(cost "$untouched")"
	run remotemap search "$untouched" --resident --yara "$work/needle.yar"
	exited 1
	rules sleep <<-'END'
		rule sleep { strings: $a = "time.sleep" $b = /mmap\.mmap\([a-z]*/
		condition: $a and $b }
	END
	run remotemap search "$untouched" --resident --yara "$work/sleep.yar"
	same "$before" "$(cost "$untouched")"
	# So it would be seen: without, all of the file is brought in.
	run remotemap search "$untouched" --text xxxxxxxxxxxxxxxx --region file,shmem --max 1
	exited 0
	not same "$before" "$(cost "$untouched")"
}

redis_start() {
	background redis-server --port 0 --unixsocket "$work/redis" --save '' \
		--daemonize no --logfile "$work/redis.log" --dir "$work"
	redis=$!
	until_true redis-cli -s "$work/redis" ping
	same OK "$(redis-cli -s "$work/redis" set key "the-value-$((6 * 7))-is-here")"
	rules redis <<-'END'
		rule value { strings: $a = /the-value-[0-9]+-is-here/ condition: $a }
	END
}

redis_end() {
	kill -KILL "$redis"
	wait "$redis" || true
	rm "$work/redis"
}

resident_leaves_redis_alone() {
	redis_start
	# What it does itself all the time is not to be counted.
	kill -STOP "$redis"
	until_true grep -q '^State:.T' "/proc/$redis/status"
	before=$(cost "$redis")
	run remotemap search "$redis" --resident --text the-value-42-is-here
	exited 0
	run remotemap search "$redis" --resident --yara "$work/redis.yar"
	exited 0
	printed ' value:\$a  74 68 65 2d 76 61 6c 75 65 '
	after=$(cost "$redis")
	kill -CONT "$redis"
	same "$before" "$after"
	same PONG "$(redis-cli -s "$work/redis" ping)"
	redis_end
}

redis_is_searched_under_load() {
	redis_start
	background redis-benchmark -q -s "$work/redis" -l -n 100000 -r 10000 -d 1000 \
		-t set,lpush,lrange_100,mset
	load=$!
	for _ in 1 2 3; do
		run remotemap search "$redis" --resident --yara "$work/redis.yar"
		exited 0
		run remotemap search "$redis" --text the-value-42-is-here
		exited 0
	done
	kill -0 "$load"
	same PONG "$(redis-cli -s "$work/redis" ping)"
	kill "$load"
	redis_end
}

# A Python that gives up pages, and takes them again, all the time: all but the
# last of 16 MiB
what_vanishes_does_not_end_it() {
	cat >"$work/churn.py" <<-'END'
		import mmap
		size = 16 << 20
		memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
		memory[size - 9:size] = b"a-needle!"
		turn = 0
		while True:
		    for at in range(0, size - 4096, 4096):
		        memory[at] = 1
		    memory.madvise(mmap.MADV_DONTNEED, 0, size - 4096)
		    other = mmap.mmap(-1, size)
		    other[0:size:4096] = bytes(size // 4096)
		    other.close()
		    turn += 1
		    if turn == 1:
		        print("ready", flush=True)
	END
	background python3 -B "$work/churn.py" >"$work/churn"
	churn=$!
	until_true grep -q ready "$work/churn"
	for _ in 1 2 3 4; do
		for resident in '' --resident; do
			# shellcheck disable=SC2086 # a word or none
			run remotemap search "$churn" $resident --text a-needle!
			exited 0
			# shellcheck disable=SC2086
			run remotemap search "$churn" $resident --yara "$work/needle.yar"
			exited 0
		done
	done
	kill -KILL "$churn"
}

# It waits in the middle, for its output to be read; what has gone when it goes on
# was there when it last looked. The needles before are told, and none twice.
what_vanishes_is_told() {
	mkfifo "$work/pipe"
	# Opened there: this shell would wait for the reader that it is itself.
	background sh -c 'exec remotemap search "$@" >"$0"' "$work/pipe" "$source" \
		--resident --range "$range" --text a-needle! --context 4096 2>"$err"
	search=$!
	exec 7<"$work/pipe"
	until_true grep -q pipe "/proc/$search/wchan"
	ask 'memory.madvise(mmap.MADV_DONTNEED, 32 << 20, 4 << 20)' >"$work/done"
	cat <&7 >"$out"
	status=0
	wait "$search" || status=$?
	exited 0
	said "^remotemap search: process $source: 4\\.0 MiB in 1 places could not be read: "
	printed "^$source $(at 4091) "
	printed "^$source $(at $((31 * 1048576 - 5))) "
	printed "^$source $(at $((37 * 1048576 - 5))) "
	not grep -q "^$source $(at $((33 * 1048576 - 5))) " "$out"
	same '' "$(cut -d' ' -f2 "$out" | sort | uniq -d)"
}

# ---- what is said, and exit statuses ---------------------------------------------

refused() {
	exited "$1"
	one_line_said
	said "^remotemap search: $2"
}

nothing_found_is_1() {
	run remotemap search "$source" --range "$range" --text not-to-be-found-there
	exited 1
	same '' "$(cat "$out" "$err")"
}

what_makes_no_sense_is_2() {
	run remotemap search "$source"
	refused 2 'what is to be found\?'
	run remotemap search --text x
	refused 2 'which processes\?'
	run remotemap search "$source" --all --text x
	refused 2 'which processes\?'
	run remotemap search "$source" --text ''
	refused 2 '.*no text'
	run remotemap search "$source" --hex 'de a'
	refused 2 'de a: no bytes in hex'
	run remotemap search "$source" --hex '?? ??'
	refused 2 '\?\? \?\?: not one digit'
	run remotemap search "$source" --wide "$(printf '\377')"
	exited 2
	said 'no UTF-8; use --hex'
	run remotemap search "$source" --text x --yara "$work/needle.yar"
	refused 2 '--yara and patterns exclude'
	run remotemap search x --text x
	exited 2
	run remotemap search "$source" --text x --region nonsense
	exited 2
	said "no kind 'nonsense'"
	run remotemap search "$source" --text x --range 4096
	exited 2
	said 'ADDRESS\+SIZE'
}

rules_that_are_none_are_2() {
	printf 'rule a {\n condition:\n nonsense }\n' >"$work/bad.yar"
	run remotemap search "$source" --yara "$work/bad.yar"
	refused 2 ".*/bad.yar, line 3: undefined identifier \"nonsense\""
	run remotemap search "$source" --yara "$work/none.yar"
	refused 5 '.*/none.yar: No such file'
	run remotemap search "$source" --bytes "$work/none"
	refused 5 '.*/none: No such file'
}

who_may_not_is_told_so() {
	run remotemap search 999999 --text x
	refused 3 'process 999999: there is no such process'
	run "$nobody" remotemap search "$source" --text x
	refused 3 "process $source: "
	# The others are searched.
	run remotemap search 999999 "$source" --range "$range" --hex deadbeef0102
	exited 3
	found "$(at 200)"
}

a_source_that_has_ended_is_4() {
	background sleep 1000000
	short=$!
	until_true grep -q '\[heap\]' "/proc/$short/maps"
	heap=$(sed -n 's/^\([0-9a-f]*\)-.*\[heap\]$/0x\1/p' "/proc/$short/maps")
	run remotemap lend --view "0=$heap+4K" "$short" -- sh -c '
		kill -KILL "$0"
		while remotemap read --map-fd 3 "$1" 1; do sleep 0.1; done >&2
		exec remotemap search --map-fd 3 --text x' "$short" "$heap"
	exited 4
	said 'remotemap search: .*the source has ended$'
}

a_full_disk_or_closed_pipe_is_5() {
	status=0
	remotemap search "$source" --text a-needle! >/dev/full 2>"$err" || status=$?
	refused 5 'standard output: '
	{
		remotemap search "$source" --range "$range" --text a-needle! --context 4096 2>"$err" ||
			echo $? >"$work/status"
	} | head -n 1 >"$out"
	status=$(cat "$work/status")
	refused 5 'standard output: Broken pipe'
}

# It is given so much to do that it cannot be through.
a_signal_ends_it() {
	words=$(seq 1 3000 | sed 's/^/--text=not-to-be-found-/')
	# shellcheck disable=SC2086 # words
	background remotemap search "$source" $words >"$out" 2>"$err"
	search=$!
	until_true grep -q remote_mapping "/proc/$search/maps"
	kill -TERM "$search"
	status=0
	wait "$search" || status=$?
	exited 143
	same '' "$(cat "$out" "$err")"
}

mkfifo "$work/ask2"
tests text_is_found wide_text_is_found hex_with_half_bytes_is_found \
	bytes_of_a_file_are_found several_patterns_tell_which \
	across_pages_pieces_and_regions_each_is_found_once yara_finds_each_once_too \
	json_is_a_match_a_line yara_json_has_rule_and_string a_shell_is_searched \
	only_such_regions no_more_than_asked_for all_processes_but_itself \
	what_was_lent_is_searched \
	resident_leaves_python_alone resident_leaves_redis_alone \
	redis_is_searched_under_load what_vanishes_does_not_end_it \
	nothing_found_is_1 what_makes_no_sense_is_2 rules_that_are_none_are_2 \
	who_may_not_is_told_so a_source_that_has_ended_is_4 \
	a_full_disk_or_closed_pipe_is_5 a_signal_ends_it \
	what_vanishes_is_told
