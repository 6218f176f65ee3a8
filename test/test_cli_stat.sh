#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2086 # tests calls them by name; numbers are one word
#
# remotemap stat: who maps whom is seen, with what the kernel counts, and what
# cannot be seen is told.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/programs.sh
. ./programs.sh

source_start

# viewer_start SIZE: $viewer has a mirror of that many bytes, and has read them
viewer_start() {
	rm -f "$work/touched"
	background remotemap lend "$source" --view "0=$memory+$1,ro" -- python3 -c '
import mmap, os, sys, time
size = int(sys.argv[1])
mirror = mmap.mmap(3, size, prot=mmap.PROT_READ)
print(sum(mirror[page] for page in range(0, size, 4096)),
      file=open(sys.argv[2], "w"))
if len(sys.argv) > 3:
    os.closerange(3, 20)
    os.rename(sys.argv[2], sys.argv[3])
time.sleep(1000)' "$1" "$work/touched" ${2:+"$2"}
	viewer=$!
	until_true test -s "${2:-$work/touched}"
}

# of_viewer EXPRESSION: of what JSON says of it, as v; all of it is s
of_viewer() {
	remotemap stat --json >"$work/json"
	python3 - "$work/json" "$viewer" "$1" <<-'END'
		import json, sys
		s = json.load(open(sys.argv[1]))
		v, = [v for v in s["viewers"] if v["viewer"] == int(sys.argv[2])]
		print(eval(sys.argv[3]))
	END
}

nobody_maps_anybody() {
	run remotemap stat
	exited 0
	same "$(wc -l <"$out")" 1
	printed '^ VIEWER COMMAND +SOURCE COMMAND +MIRRORED +PAGES +FAULTS +TAKEN'
	[ ! -s "$err" ]
	run remotemap stat --json
	exited 0
	python3 -c 'import json, sys
assert json.load(open(sys.argv[1])) == {"viewers": [], "unseen": 0}' "$out"
}

viewer_and_source_are_shown() {
	viewer_start 12288
	run remotemap stat
	exited 0
	printed "^ *$viewer python3 +$source python3 +12\.0 KiB +[0-9]+ +[1-9][0-9]* +0  map +1 +0 +[0-9]+ locked$"
	same "$(of_viewer 'v["source"], v["source_command"], v["viewer_command"]')" \
		"($source, 'python3', 'python3')"
	same "$(of_viewer 'v["mirrored"], v["map_files"] >= 1, v["ctrl_files"]')" \
		'(12288, True, 0)'
	same "$(of_viewer 'v["locked"], v["ended"], v["views"]')" \
		'(True, False, 1)'
	same "$(of_viewer 'v["pages_mapped"] >= 3, v["faults"] > 0')" '(True, True)'
}

what_the_source_takes_is_counted() {
	viewer_start 12288
	same "$(of_viewer 'v["invalidations_hit"]')" 0
	ask 'memory.madvise(mmap.MADV_REMOVE, 0, 4096)' >"$work/x"
	same "$(of_viewer 'v["invalidations_hit"]')" 1
}

mirror_without_a_file_is_shown() {
	viewer_start 12288 "$work/closed"
	not ls /proc/$viewer/fd/3
	run remotemap stat
	exited 0
	printed "^ *$viewer python3 +$source python3 +12\.0 KiB .* mirror "
	same "$(of_viewer 'v["map_files"], v["ctrl_files"], v["mirrored"]')" \
		'(0, 0, 12288)'
}

server_holds_both_files() {
	background remotemap lend "$source" --view "0=$memory+8K,ro" \
		--socket "$work/socket"
	viewer=$!
	until_true test -S "$work/socket"
	same "$(of_viewer 'v["map_files"], v["ctrl_files"], v["mirrored"]')" \
		'(1, 1, 0)'
	run remotemap stat
	printed "^ *$viewer remotemap .* map,ctrl "
}

end_of_a_source_is_shown() {
	background sleep 1000
	victim=$!
	until_true grep -q sleep /proc/$victim/comm
	background remotemap lend $victim --view 0=0x1000+4K,ro -- sleep 1000
	viewer=$!
	until_true grep -q sleep /proc/$viewer/comm
	same "$(of_viewer 'v["ended"]')" False
	kill -KILL $victim
	shown_as_ended() {
		[ "$(of_viewer 'v["ended"]')" = True ]
	}
	until_true shown_as_ended
	run remotemap stat
	printed "^ *$viewer sleep .* ended$"
}

what_cannot_be_seen_is_told() {
	viewer_start 4096
	run "$nobody" /t/cli/remotemap stat
	exited 0
	same "$(wc -l <"$out")" 1
	one_line_said
	said '^remotemap stat: [1-9][0-9]* processes are not yours to look at: be root'
	run "$nobody" /t/cli/remotemap stat --json
	exited 0
	python3 -c 'import json, sys
assert json.load(open(sys.argv[1]))["unseen"] > 1' "$out"
}

follow_json_is_a_line_each_time() {
	viewer_start 4096
	run python3 - <<-'END'
		import json, signal, subprocess, sys
		stat = subprocess.Popen(["remotemap", "stat", "--json", "--follow",
		    "--interval", "0.1"], stdout=subprocess.PIPE)
		for turn in range(3):
		    assert len(json.loads(stat.stdout.readline())["viewers"]) > 0
		stat.send_signal(signal.SIGINT)
		assert stat.wait() == 130
	END
	exited 0
}

follow_ends_with_its_reader() {
	{
		status=0
		remotemap stat --follow --interval 0.1 2>"$err" || status=$?
		echo $status >"$work/status"
	} | head -n 1 >"$work/first"
	same "$(cat "$work/status")" 5
	said 'standard output: Broken pipe'
}

# screen COLUMNS END: what --follow draws in a terminal until that ends it: q, or
# SIGINT by ^C; its exit status
screen() {
	python3 - "$@" <<-'END'
		import fcntl, os, pty, struct, sys, termios
		columns, end = int(sys.argv[1]), sys.argv[2]
		pid, terminal = pty.fork()
		if pid == 0:
		    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
		    before = termios.tcgetattr(0)
		    status = os.spawnvp(os.P_WAIT, "remotemap",
		        ["remotemap", "stat", "--follow", "--interval", "0.2"])
		    print("\n" + ("restored" if termios.tcgetattr(0) == before else "changed"))
		    sys.exit(status)
		said = b""
		while said.count(b"\033[J") < 3:
		    said += os.read(terminal, 10000)
		os.write(terminal, end.encode())
		try:
		    while True:
		        more = os.read(terminal, 10000)
		        if not more:
		            break
		        said += more
		except OSError:
		    pass
		sys.stdout.buffer.write(said)
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
}

# screen_lines: what was printed, a line each, without what moves the cursor
screen_lines() {
	escape=$(printf '\033')
	tr -d '\r' <"$out" | sed -e "s/$escape\[H/\n/g" \
		-e "s/$escape\[[0-9;?]*[a-zA-Z]//g"
}

follow_draws_and_restores_the_terminal() {
	viewer_start 12288
	for columns in 80 200; do
		run screen $columns q
		exited 0
		printed restored
		# The other screen, and back
		grep -q "$(printf '\033\[?1049h')" "$out"
		grep -q "$(printf '\033\[?1049l')" "$out"
		screen_lines >"$work/lines"
		grep -q "remotemap stat  ..:..:..  every 0.2 s" "$work/lines"
		grep -Eq "^ *$viewer python3 +$source python3 +12\.0 KiB" "$work/lines"
		awk -v columns=$columns 'length > columns {
			print length ": " $0
			bad = 1
		} END { exit bad }' "$work/lines"
	done
	grep -q ' locked$' "$work/lines"
}

interrupted_it_restores_the_terminal() {
	# The terminal's ^C reaches the Python around it, too.
	run python3 - <<-'END'
		import os, pty, signal, subprocess, sys, termios, time
		terminal, its = pty.openpty()
		before = termios.tcgetattr(its)
		stat = subprocess.Popen(["remotemap", "stat", "--follow"], stdin=its,
		    stdout=its, stderr=its)
		said = b""
		while b"\033[J" not in said:
		    said += os.read(terminal, 10000)
		assert termios.tcgetattr(its) != before
		stat.send_signal(signal.SIGTERM)
		assert stat.wait() == 143, stat.returncode
		assert termios.tcgetattr(its) == before
		while b"\033[?1049l" not in said:
		    said += os.read(terminal, 10000)
		assert b"\033[?25h" in said
	END
	exited 0
}

tests nobody_maps_anybody viewer_and_source_are_shown \
	what_the_source_takes_is_counted mirror_without_a_file_is_shown \
	server_holds_both_files end_of_a_source_is_shown \
	what_cannot_be_seen_is_told follow_json_is_a_line_each_time \
	follow_ends_with_its_reader follow_draws_and_restores_the_terminal \
	interrupted_it_restores_the_terminal
