#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2086 # tests calls them by name; numbers are one word
#
# The command's info, read and write, on programs as they come: what they print
# is what /proc/PID/mem has, what they write the program uses. And what the
# command says, and its exit status, when it cannot do what was asked for.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/programs.sh
. ./programs.sh

source_start

# ---- info ------------------------------------------------------------------------

info_has_the_regions_of_maps() {
	run remotemap info "$source"
	exited 0
	printed '^[0-9]+ regions; .* can be mapped, .*for you: read and write$'
	sed -nE 's/^ *([0-9a-f]+-[0-9a-f]+) .*/\1/p' "$out" >"$work/told"
	[ -s "$work/told" ]
	cut -d' ' -f1 "/proc/$source/maps" | sed 's/^0*//; s/-0*/-/' |
		diff - "$work/told"
}

info_brief_has_them_too() {
	run remotemap info --brief "$source"
	exited 0
	sed -nE 's/^ *([0-9a-f]+-[0-9a-f]+) .*/\1/p' "$out" >"$work/told"
	cut -d' ' -f1 "/proc/$source/maps" | sed 's/^0*//; s/-0*/-/' |
		diff - "$work/told"
	not grep -q RESIDENT "$out"
}

info_json_adds_up() {
	run remotemap info --json "$source"
	exited 0
	rss=$(awk '/^Rss:/ { sum += $2 } END { print sum * 1024 }' \
		"/proc/$source/smaps")
	python3 - "$out" "$source" "$rss" <<-'END'
		import json, sys
		info = json.load(open(sys.argv[1]))
		regions = info["regions"]
		assert info["pid"] == int(sys.argv[2])
		assert info["map_file"] == "read and write"
		assert sum(r["resident"] for r in regions) == int(sys.argv[3])
		names = {r["name"]: r for r in regions}
		assert names["[heap]"]["kind"] == "heap"
		assert names["[heap]"]["shown"]
		assert not names["[vvar]"]["shown"], "device memory is never shown"
	END
}

# ---- read ------------------------------------------------------------------------

read_raw_is_what_mem_has() {
	run remotemap read --raw "$source" "$memory" 64K
	exited 0
	mem "$source" "$memory" 16 | cmp - "$out"
}

read_hex_is_od() {
	run remotemap read "$source" "$(at 3)" 100
	exited 0
	remotemap read --raw "$source" "$(at 3)" 100 | od -An -v -tx1 |
		tr -s ' \n' ' ' >"$work/od"
	sed -e 's/^[0-9a-f]* //' -e 's/|.*//' "$out" | tr -s ' \n' ' ' |
		diff - "$work/od"
	printed '^[0-9a-f]{12} .* \|e 0 .*\|$'
}

read_json_is_the_same() {
	remotemap read --raw "$source" "$memory" 5000 >"$work/raw"
	run remotemap read --json "$source" "$memory" 5000
	exited 0
	python3 - "$out" "$work/raw" <<-'END'
		import json, sys
		said = json.load(open(sys.argv[1]))
		data = b"".join(bytes.fromhex(d["hex"]) for d in said["data"])
		assert data == open(sys.argv[2], "rb").read()
		assert said["holes"] == [] and said["length"] == 5000
	END
}

# The region before the memory's end is known; what follows it is made to be free.
read_tells_holes() {
	hole=$(ask 'globals().update(m=mmap.mmap(-1, 40960)) or 1')
	same "$hole" 1
	start=$(region 40960)
	ask 'm.write(b"x" * 40960)' >"$work/x"
	ask 'm.close()' >"$work/x"
	run remotemap read "$source" "$start" 8192
	exited 1
	printed '^[0-9a-f]{12}  nothing to be read, 8192 bytes \(0x2000\)$'
	one_line_said
	said '8192 of 8192 bytes are nothing that can be read'
}

# Device memory is there and is never shown: [vvar], and after it the vdso
read_raw_puts_zeros_for_holes() {
	vvar=$(sed -n 's/-.* \[vvar\]$//p' "/proc/$source/maps")
	vdso=$(sed -n 's/-.* \[vdso\]$//p' "/proc/$source/maps")
	hole=$((0x$vdso - 0x$vvar))
	run remotemap read --raw "$source" "0x$vvar" $((hole + 4096))
	exited 1
	one_line_said
	said "nothing to be read at 0x$vvar, $hole bytes: zeros stand for it"
	{
		head -c "$hole" /dev/zero
		mem "$source" "0x$vdso" 1
	} | cmp - "$out"
	run remotemap read --json "$source" "0x$vvar" $((hole + 4096))
	exited 1
	python3 - "$out" "0x$vvar" "$hole" <<-'END'
		import json, sys
		assert json.load(open(sys.argv[1]))["holes"] == [
		    {"address": sys.argv[2], "length": int(sys.argv[3])}]
	END
}

resident_reads_what_is_there_and_no_more() {
	ask 'globals().update(lazy=mmap.mmap(-1, 32768, flags=mmap.MAP_PRIVATE)) or 1' \
		>"$work/x"
	ask 'lazy.write(b"first page")' >"$work/x"
	start=$(remotemap info --json "$source" | python3 -c '
import json, sys
print(*[r["start"] for r in json.load(sys.stdin)["regions"]
        if r["kind"] == "anonymous" and r["resident"] == 4096 and r["size"] >= 32768])')
	found=
	for at in $start; do
		remotemap read --raw "$source" "$at" 10 | grep -q 'first page' ||
			continue
		found=$at
	done
	[ -n "$found" ]
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$source/status")
	run remotemap read --resident --raw "$source" "$found" 32768
	exited 1
	said ' 28672 bytes: zeros stand for it'
	same "$before" "$(awk '/^VmRSS/ { print $2 }' "/proc/$source/status")"
}

# ---- write -----------------------------------------------------------------------

write_is_seen_by_the_process() {
	printf 'page zero' >"$work/in"
	remotemap write --yes "$source" "$memory" <"$work/in"
	same "$(ask 'memory[0:9]')" "b'page zero'"
}

write_across_pages() {
	head -c 9000 /dev/urandom >"$work/in"
	remotemap write --yes --json "$source" "$(at 4000)" <"$work/in" >"$out"
	printed '"written": 9000'
	remotemap read --raw "$source" "$(at 4000)" 9000 | cmp - "$work/in"
}

write_tells_how_much_was_written() {
	echo 123456789 >"$work/in"
	status=0
	remotemap write --yes "$source" "$(at 69628)" \
		<"$work/in" >"$out" 2>"$err" || status=$?
	exited 1
	one_line_said
	said "4 of 10 bytes were written: at $(at 69632) "
	same "$(ask 'memory[69628:]')" "b'1234'"
}

write_obeys_the_rights_of_the_process() {
	text=$(sed -n '/r-xp.*python/{s/-.*//p;q}' "/proc/$source/maps")
	status=0
	echo 1234 | remotemap write --yes "$source" "0x$text" \
		>"$out" 2>"$err" || status=$?
	exited 1
	one_line_said
	said '^remotemap write: 0 of 5 bytes were written'
}

write_asks_nobody_nothing_is_written() {
	status=0
	printf XXXX | remotemap write "$source" "$(at 8)" \
		>"$out" 2>"$err" || status=$?
	exited 2
	one_line_said
	said 'no terminal to ask at, nothing was written: say --yes'
	same "$(ask 'memory[8:12] == b"XXXX"')" False
}

# on_terminal ANSWER COMMAND...: with a controlling terminal, at which that is typed
on_terminal() {
	python3 - "$@" <<-'END'
		import os, pty, sys
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execvp(sys.argv[2], sys.argv[2:])
		said = b""
		while b"[y/N]" not in said:
		    said += os.read(terminal, 1000)
		os.write(terminal, sys.argv[1].encode() + b"\n")
		try:
		    while True:
		        more = os.read(terminal, 1000)
		        if not more:
		            break
		        said += more
		except OSError:
		    pass
		print(said.decode())
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
}

write_asks_on_the_terminal() {
	run on_terminal n sh -c "printf nnnn | remotemap write $source $(at 8)"
	exited 1
	printed "Write 4 bytes at $(at 8) of process $source\\? \\[y/N\\]"
	printed 'nothing was written'
	same "$(ask 'memory[8:12] == b"nnnn"')" False
	run on_terminal y sh -c "printf yyyy | remotemap write $source $(at 8)"
	exited 0
	same "$(ask 'memory[8:12]')" "b'yyyy'"
}

# ---- programs of the distribution --------------------------------------------------

# replace PID OLD NEW: wherever that text is in what the program has allocated
replace() {
	remotemap info --json "$1" >"$work/info"
	python3 - "$@" "$work/info" <<-'END'
		import json, re, subprocess, sys
		pid, old, new, info = sys.argv[1:]
		done = 0
		for region in json.load(open(info))["regions"]:
		    if region["kind"] not in ("heap", "anonymous") or \
		            not region["shown"] or not region["resident"]:
		        continue
		    start = int(region["start"], 16)
		    data = subprocess.run(["remotemap", "read", "--raw", pid,
		        hex(start), str(region["size"])], capture_output=True).stdout
		    for found in re.finditer(re.escape(old.encode()), data):
		        subprocess.run(["remotemap", "write", "--yes", pid,
		            hex(start + found.start())], input=new.encode(), check=True)
		        done += 1
		assert done, "it is not there"
	END
}

# shell_variable_changes COMMAND...: of a shell, from outside
shell_variable_changes() {
	mkfifo "$work/$1.in" "$work/$1.out"
	exec 6<>"$work/$1.in" 7<>"$work/$1.out"
	background "$@" <&6 >&7 2>&1
	shell=$!
	# Not as a word of it: the variable has what is computed.
	# shellcheck disable=SC2016 # that shell expands it
	echo 'v=be; v=$v-fore-it-changed; echo $v' >&6
	read -r said <&7
	same "$said" be-fore-it-changed
	replace "$shell" be-fore-it-changed now-it-has-changed
	# shellcheck disable=SC2016 # that shell expands it
	echo 'echo $v; exit' >&6
	read -r said <&7
	same "$said" now-it-has-changed
}

bash_variable_changes() {
	shell_variable_changes bash
}

busybox_variable_changes() {
	shell_variable_changes busybox sh
}

sqlite_row_changes() {
	mkfifo "$work/sql" "$work/rows"
	exec 6<>"$work/sql" 7<>"$work/rows"
	background sqlite3 :memory: <&6 >&7
	database=$!
	echo "create table t (v text); insert into t values (replace('kept-ABC-memory', 'ABC', 'in'));
		select v from t;" >&6
	read -r row <&7
	same "$row" kept-in-memory
	replace "$database" kept-in-memory seen-in-mirror
	echo "select v from t;" >&6
	read -r row <&7
	same "$row" seen-in-mirror
}

sqlite_under_load_is_read() {
	mkfifo "$work/load" "$work/done"
	exec 6<>"$work/load" 7<>"$work/done"
	background sqlite3 :memory: <&6 >&7
	database=$!
	echo "create table t (v); with recursive n(i) as (select 1 union all
		select i + 1 from n where i < 1000000)
		insert into t select 'row ' || i from n; select count(*) from t;" >&6
	heap=
	find_heap() {
		heap=$(remotemap info --json "$database" | python3 -c '
import json, sys
for r in json.load(sys.stdin)["regions"]:
    if r["kind"] == "heap" and r["size"] > 1 << 20:
        print(r["start"], r["size"])')
		[ -n "$heap" ]
	}
	until_true find_heap
	turn=0
	while [ $turn -lt 5 ]; do
		# shellcheck disable=SC2086 # two words
		remotemap read --raw "$database" $heap >"$work/heap"
		grep -q 'row [0-9]' "$work/heap"
		turn=$((turn + 1))
	done
	read -r rows <&7
	same "$rows" 1000000
}

# ---- what goes wrong ---------------------------------------------------------------

# Each row: exit status; what the one line says; the command's words
bad_input_is_told() {
	kernel_thread=2 gone=4194303
	while IFS='|' read -r want text words; do
		# shellcheck disable=SC2086 # words
		run remotemap $words
		exited "$want" || {
			echo "remotemap $words"
			return 1
		}
		said "$text"
		one_line_said
		[ ! -s "$out" ]
	done <<-END
		2|there is no command 'nothing': see remotemap --help|nothing
		2|there is no command 'nothing'|help nothing
		2|too few words: it takes PID; see remotemap help info|info
		2|'2' is one word too many|info 1 2
		2|PID is the number of a process, not 'x'|info x
		2|PID is the number of a process, not '0'|info 0
		2|PID is the number of a process, not '-1'|info -- -1
		2|PID is the number of a process, not '1K'|info 1K
		2|PID is the number of a process, not '99999999999'|info 99999999999
		2|too few words: it takes PID ADDR LEN|read $source 0x1000
		2|ADDR is a number such as 4096, 0x1000 or 4K, not '12z'|read $source 12z 1
		2|ADDR is a number|read $source 0x 1
		2|ADDR is a number|read $source 0x12345678123456789 1
		2|LEN is a number|read $source $memory 1.5
		2|LEN is a number|read $source $memory 99999999999T
		2|LEN is at least 1|read $source $memory 0
		2|ADDR . LEN is an address|read $source 0xffffffffffffffff 2
		2|'5' is one word too many: it takes ADDR LEN|read --map-fd 3 3 4 5
		2|REMOTEMAP_FD is not set|read - 1 1
		2|a socket's path has at most 107 characters|read --socket /$(printf '%0120d' 0) 1 1
		3|/none: No such file or directory: is remotemap lend --socket running there|read --socket $work/none 1 1
		3|descriptor 0 is no map file: run this under remotemap lend|read --map-fd 0 1 1
		3|process $gone: there is no such process|info $gone
		3|process $gone: there is no such process|read $gone $memory 1
		3|process $gone: there is no such process|write --yes $gone $memory
		3|no memory of its own|read $kernel_thread $memory 1
		2|'x' is one word too many: it takes no word|stat x
	END
}

# argp says these, with where to find more
bad_options_are_told() {
	while IFS='|' read -r want text words; do
		# shellcheck disable=SC2086 # words
		run remotemap $words
		exited "$want" || {
			echo "remotemap $words"
			return 1
		}
		said "$text"
		said "Try .remotemap ${words%% *} --help' or"
	done <<-END
		2|remotemap read: unrecognized option '--none'|read --none
		2|--raw and --json exclude each other|read --raw --json 1 1 1
		2|--socket, --map-fd and --qemu exclude each other|read --socket x --map-fd 3 1 1
		2|--map-fd is a descriptor's number, not 'x'|read --map-fd x 1 1
		2|option '--socket' requires an argument|read --socket
		2|--interval is seconds, 0.1 to 3600, not '0'|stat --interval 0
		2|--interval is seconds, 0.1 to 3600, not 'nan'|stat --interval nan
		2|whose memory is to be lent|lend --view 0=0+4K
		2|it takes a --view at least|lend 1 -- true
		2|to whom. it takes -- COMMAND, or --socket PATH|lend --view 0=0+4K 1
		2|--socket and COMMAND exclude each other|lend --view 0=0+4K --socket x 1 -- true
		2|a view is OFFSET=ADDR.SIZE|lend --view 0:0+4K 1 -- true
		2|a view is OFFSET=ADDR.SIZE|lend --view 0=0+4K,rw 1 -- true
		2|multiples of 4096|lend --view 1=0+4K 1 -- true
		2|multiples of 4096, and SIZE is not 0|lend --view 0=0+0 1 -- true
	END
}

nothing_there_is_told() {
	run remotemap read "$source" 0 4096
	exited 1
	printed '^000000000000  nothing to be read, 4096 bytes'
	# Beyond the addresses that a process can have
	run remotemap read "$source" 0x7fffffffffff0000 16
	exited 1
}

who_may_not_is_told_why() {
	run "$nobody" /t/cli/remotemap read "$source" "$memory" 16
	exited 3
	one_line_said
	said "process $source: (Permission denied|Operation not permitted): it belongs to uid 0: be that user, or root"
	run "$nobody" /t/cli/remotemap info "$source"
	exited 3
	one_line_said
	said 'it belongs to uid 0'
	[ ! -s "$out" ]
}

yama_is_told_of() {
	nobodys_start
	scope=/proc/sys/kernel/yama/ptrace_scope
	before=$(cat $scope)
	echo 1 >$scope
	run "$nobody" /t/cli/remotemap read "$sleeper" "$memory" 16
	one=$status
	cp "$err" "$work/one"
	echo 2 >$scope
	run "$nobody" /t/cli/remotemap read "$sleeper" "$memory" 16
	echo "$before" >$scope
	exited 3
	one_line_said
	said 'ptrace_scope is 2, which leaves it to root: be root'
	same "$one" 3
	cp "$work/one" "$err"
	one_line_said
	said 'ptrace_scope is 1, which leaves only its ancestors to open it: be root'
	# Where Yama lets him, he may.
	echo 0 >$scope
	run "$nobody" /t/cli/remotemap info "$sleeper"
	echo "$before" >$scope
	exited 0
}

a_device_that_is_closed_is_told_of() {
	chmod 0600 /dev/mirror-proc
	echo 0 >/proc/sys/kernel/yama/ptrace_scope
	nobodys_start
	run "$nobody" /t/cli/remotemap read "$sleeper" 0x1000 16
	chmod 0666 /dev/mirror-proc
	exited 3
	one_line_said
	said '/dev/mirror-proc: Permission denied: its mode is 0666 unless'
}

full_disk_is_told() {
	for words in "info $source" "info --json $source" "read $source $memory 4K" \
		"read --raw $source $memory 64K" "read --json $source $memory 64K" \
		stat "stat --json" help --version "help read" "read --usage"; do
		status=0
		# shellcheck disable=SC2086 # words
		remotemap $words >/dev/full 2>"$err" || status=$?
		exited 5 || {
			echo "remotemap $words"
			return 1
		}
		one_line_said
		said 'standard output: No space left on device'
	done
}

closed_pipe_is_told() {
	{
		status=0
		remotemap read --raw "$source" 0 16M 2>"$err" || status=$?
		echo $status >"$work/status"
	} | head -c 1 >"$work/first"
	same "$(cat "$work/status")" 5
	said 'standard output: Broken pipe'
}

# Into a pipe that nobody reads: it waits there.
signals_end_it() {
	for signal in 2 15 1; do
		rm -f "$work/pipe"
		mkfifo "$work/pipe"
		exec 6<>"$work/pipe"
		# A shell without job control lets it ignore SIGINT.
		background python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' remotemap read --raw "$source" 0 1T \
			>&6 2>"$err"
		reader=$!
		until_true grep -q 'write\|pipe' /proc/$reader/wchan
		until_true grep -q remotemap /proc/$reader/comm
		kill -$signal $reader
		status=0
		wait $reader || status=$?
		exec 6>&-
		exited $((128 + signal))
		not grep -v 'zeros stand for it' "$err"
	done
}

missing_module_is_told() {
	rmmod remote_mapping
	for words in "read $source $memory 1" "write --yes $source $memory" \
		"info $source" stat "lend $source --view 0=0+4K -- true"; do
		# shellcheck disable=SC2086 # words
		run remotemap $words
		[ "$status" = 3 ] || break
		said 'the module remote_mapping is not loaded: as root, modprobe remote_mapping' ||
			break
		one_line_said || break
		words=
	done
	insmod "$(cat /run/vm/module)"
	[ -z "$words" ] || {
		echo "remotemap $words: exit status $status"
		return 1
	}
}

closed_descriptors_do_no_harm() {
	status=0
	remotemap read "$source" "$memory" 16 2>"$err" >&- || status=$?
	exited 0
	status=0
	remotemap read "$source" "$memory" 16 <&- >"$out" 2>&- || status=$?
	exited 0
	printed '\|page '
}

# ---- help ------------------------------------------------------------------------

help_is_there() {
	run remotemap --help
	exited 0
	printed '^usage: remotemap COMMAND'
	commands=$(sed -nE 's/^  ([a-z]+) .*/\1/p' "$out" | grep -vE 'help|remotemap')
	[ "$(echo "$commands" | wc -l)" = 8 ]
	for command in $commands; do
		run remotemap help "$command"
		exited 0
		printed "^Usage: remotemap $command"
		printed '^Examples?:'
		cp "$out" "$work/help"
		run remotemap "$command" --help
		exited 0
		cmp "$out" "$work/help"
	done
	run remotemap
	exited 2
	said '^usage: remotemap COMMAND'
	run remotemap --version
	exited 0
	printed '^remotemap [0-9.]+ \(libremotemap [0-9.]+\)$'
}

tests info_has_the_regions_of_maps info_brief_has_them_too info_json_adds_up \
	read_raw_is_what_mem_has read_hex_is_od read_json_is_the_same \
	read_tells_holes read_raw_puts_zeros_for_holes \
	resident_reads_what_is_there_and_no_more \
	write_is_seen_by_the_process write_across_pages \
	write_tells_how_much_was_written write_obeys_the_rights_of_the_process \
	write_asks_nobody_nothing_is_written write_asks_on_the_terminal \
	bash_variable_changes busybox_variable_changes sqlite_row_changes \
	sqlite_under_load_is_read \
	bad_input_is_told bad_options_are_told nothing_there_is_told \
	who_may_not_is_told_why yama_is_told_of a_device_that_is_closed_is_told_of \
	full_disk_is_told closed_pipe_is_told signals_end_it \
	missing_module_is_told closed_descriptors_do_no_harm help_is_there
