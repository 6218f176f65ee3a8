#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2086 # tests are called by name; numbers need no quotes
#
# remotemap dump, on programs from the distribution: bash, python3, redis-server.
# gdb opens what it writes, and every byte of it is compared with the source's.
#
# Promises: each test is a shell of its own; what it started is gone after it.
# usage: test_cli_dump [-l] [-t NAME]

work=/tmp/dump
core=$work/core
patience=${TEST_PATIENCE:-1}

# ---- what tests are made of -----------------------------------------------------

# Where standard output is a file, too
note() {
	echo "# $*" >&9
}

# A test ends with the first thing that is not so.
die() {
	note "$*"
	exit 1
}

# status N COMMAND...: it ends with that exit status; its errors are in $work/said
status() {
	wanted=$1 got=0
	shift
	"$@" 2>"$work/said" || got=$?
	[ "$got" = "$wanted" ] ||
		die "exit status $got, not $wanted: $*: $(cat "$work/said")"
}

# said TEXT: those errors have it, and are one line
said() {
	grep -qF -- "$1" "$work/said" || die "no '$1' in: $(cat "$work/said")"
}

lines_said() {
	[ "$(wc -l <"$work/said")" = "$1" ] ||
		die "not $1 lines: $(cat "$work/said")"
}

# until COMMAND...: soon. The limit is none that a working test comes near.
until_so() {
	turns=$((300 * patience))
	until "$@" >/dev/null 2>&1; do
		turns=$((turns - 1))
		[ "$turns" -gt 0 ] || die "waited in vain: $*"
		sleep 0.1
	done
}

# start COMMAND...: in the background, $source is its pid; it ends with the test
start() {
	"$@" &
	source=$!
	started="$started $source"
}

finish() {
	for pid in $started; do
		kill -KILL "$pid" 2>/dev/null
		kill -CONT "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	[ -z "$swap" ] || swapoff "$swap"
	! is_mounted "$work/small" || umount "$work/small"
	[ -z "$group" ] || until_so rmdir "$group"
	rm -rf "$work"
}

# python: a program on standard input, until it has said "ready" to be a source;
# what it says before is in $work/ready
python_source() {
	cat >"$work/source.py"
	start python3 -B "$work/source.py" >"$work/ready"
	until_so grep -q ready "$work/ready"
}

# It waits for what comes out of a pipe.
waits_in_pipe() {
	grep -q pipe "/proc/$1/wchan"
}

# The state of a process: R, S, T ...
state() {
	sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status"
}

is_mounted() {
	grep -q " $1 " /proc/mounts
}

is_in() {
	case $2 in
	*"$1"*) ;;
	*) return 1 ;;
	esac
}

# has TEXT FILE: of any bytes; busybox's grep sees none of a line behind a zero
has() {
	tr '\0' '\n' <"$2" | grep -qF -- "$1"
}

is_stopped() {
	[ "$(state "$1")" = T ]
}

runs() {
	[ "$(state "$1")" != T ]
}

# compare PID CORE [at least this many MiB of data]: the core is well-formed, and
# says of the process's memory what /proc/PID/mem says
compare() {
	python3 -B "$work/compare.py" "$@" || die "$2 is not what process $1 has"
}

# gdb_says EXECUTABLE [COMMAND TEXT]...: of the core; one gdb is told all commands, and
# says that text after each
gdb_says() {
	executable=$1 answers=0
	shift
	set -- "$@" --
	while [ "$1" != -- ]; do
		answers=$((answers + 1))
		echo "$2" >"$work/answer$answers"
		set -- "$@" -ex "echo \n@$answers\n" -ex "$1"
		shift 2
	done
	shift
	gdb -nx -batch "$@" "$executable" "$core" >"$work/gdb" 2>&1
	while [ $answers -gt 0 ]; do
		sed -n "/^@$answers\$/,/^@/p" "$work/gdb" |
			grep -qF -f "$work/answer$answers" || {
			sed 's/^/# gdb: /' "$work/gdb" >&9
			die "gdb does not say '$(cat "$work/answer$answers")'"
		}
		answers=$((answers - 1))
	done
}

prepare() {
	rm -rf "$work"
	mkdir -p "$work/small"
	cat >"$work/compare.py" <<'END'
# compare.py PID CORE [LEAST]: PID 0: only the core's own form
import os, struct, sys

pid, name = int(sys.argv[1]), sys.argv[2]
least = int(sys.argv[3]) << 20 if len(sys.argv) > 3 else 1
core = open(name, "rb", 0)
size = os.fstat(core.fileno()).st_size


def get(offset, count):
    got = os.pread(core.fileno(), count, offset)
    assert len(got) == count, f"{count} bytes at {offset:x}: {len(got)}"
    return got


head = struct.unpack("<16sHHIQQQIHHHHHH", get(0, 64))
assert head[0][:7] == b"\x7fELF\2\1\1" and head[1:4] == (4, 62, 1), head
count, sections = head[10], head[6]
if count == 0xFFFF:
    assert head[12] == 1, head
    count = struct.unpack("<IIQQQQIIQQ", get(sections, 64))[7]
table = get(head[5], 56 * count)
loads, notes = [], b""
for i in range(count):
    kind, flags, offset, address, _, filesz, memsz, _ = struct.unpack_from(
        "<IIQQQQQQ", table, 56 * i)
    assert offset + filesz <= size, f"segment {i} is not all there"
    if kind == 4:
        notes = get(offset, filesz)
    elif kind == 1:
        assert filesz <= memsz and offset % 4096 == 0
        assert not loads or loads[-1][0] + loads[-1][2] <= address
        loads.append((address, filesz, memsz, offset, flags))
    else:
        assert kind == 0 and not filesz and not memsz, kind
found, at = {}, 0
while at < len(notes):
    names, length, kind = struct.unpack_from("<III", notes, at)
    at += 12 + (names + 3 & ~3)
    found[kind] = notes[at:at + length]
    at += length + 3 & ~3
assert set(found) == {3, 6, 0x46494C45}, found.keys()
data = sum(load[1] for load in loads)
assert data >= least, f"{data} bytes"
print(f"# {count} headers, {data} bytes")
if not pid:
    sys.exit()
assert struct.unpack_from("<i", found[3], 24)[0] == pid
assert found[6] == open(f"/proc/{pid}/auxv", "rb").read()
maps = {}
for line in open(f"/proc/{pid}/maps"):
    word = line.split(None, 5)
    start, end = (int(x, 16) for x in word[0].split("-"))
    maps[start] = (end, word[1], int(word[2], 16), word[5].rstrip() if len(word) > 5 else "")
files = struct.unpack_from("<Q", found[0x46494C45])[0]
names = found[0x46494C45][16 + 24 * files:].split(b"\0")
named = [(s, m[0], m[2] // 4096, m[3]) for s, m in maps.items() if m[3][:1] == "/"]
assert files == len(named), (files, len(named))
for i, want in enumerate(named):
    got = struct.unpack_from("<QQQ", found[0x46494C45], 16 + 24 * i)
    assert got + (names[i].decode(),) == want, (got, want)
memory = open(f"/proc/{pid}/mem", "rb", 0)
for address, filesz, memsz, offset, flags in loads:
    if address in maps:
        rights = maps[address][1]
        assert flags == (4 * (rights[0] == "r") | 2 * (rights[1] == "w") |
                         (rights[2] == "x")), (hex(address), rights, flags)
    for done in range(0, filesz, 1 << 20):
        length = min(1 << 20, filesz - done)
        want = os.pread(memory.fileno(), length, address + done)
        if get(offset + done, length) != want:
            sys.exit(f"# memory at {address + done:x} differs")
END
}

# A source that writes down what it has, and does nothing else any more
sleeping_python() {
	python_source <<'END'
import mmap, sys, time
# Each page another; every second one is never touched.
memory = mmap.mmap(-1, 64 << 20)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, len(memory) // 4096, 2):
    memory[page * 4096:page * 4096 + 8] = page.to_bytes(8, "little")
private = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
private.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, len(private) // 4096, 2):
    private[page * 4096:page * 4096 + 8] = page.to_bytes(8, "little")
needle = b"needle in a haystack of Python"
# As CPython has bytes: the text comes after a header of 32 bytes.
print(hex(id(needle) + 32))
print("ready", flush=True)
while True:
    time.sleep(1000)
END
}

# A source with this many MiB of its own that are touched
large_python() {
	python_source <<END
import mmap, time
private = mmap.mmap(-1, $1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
block = bytes(range(1, 129)) * 8192
for at in range(0, len(private), len(block)):
    private[at:at + len(block)] = block
print("ready", flush=True)
while True:
    time.sleep(1000)
END
}

# ---- gdb opens it ----------------------------------------------------------------

gdb_reads_bash() {
	mkfifo "$work/fifo"
	start bash -c 'secret="needle of a shell"; read -r x <>'"$work/fifo"
	until_so waits_in_pipe "$source"
	status 0 remotemap dump "$source" -o "$core"
	lines_said 0
	compare "$source" "$core"
	has "needle of a shell" "$core" || die "the shell's text is not there"
	# There is no debugging information: what symbols say, and libraries'
	gdb_says /bin/bash 'info proc mappings' "/usr/bin/bash" \
		'x/s *(char **)&dollar_vars' '"bash"' \
		'p &malloc' "<malloc>" \
		'info sharedlibrary' "libc.so.6" \
		'info auxv' "AT_ENTRY"
}

gdb_reads_python() {
	sleeping_python
	status 0 remotemap dump "$source" -o "$core"
	compare "$source" "$core" 64
	gdb_says "$python" "x/s $(head -n 1 "$work/ready")" \
		'"needle in a haystack of Python"' \
		'p &PyObject_Repr' "<PyObject_Repr>"
}

gdb_reads_redis_under_load() {
	redis-server --port 7777 --save '' --daemonize no >"$work/redis" 2>&1 &
	server=$!
	started="$started $server"
	until_so redis-cli -p 7777 ping
	redis-cli -p 7777 set needle "in a database server" >/dev/null
	start redis-benchmark -p 7777 -t set,get,lpush -r 100000 -n 100000000 \
		-c 10 -q >/dev/null 2>&1
	until_so loaded
	status 0 remotemap dump --freeze "$server" -o "$core"
	compare 0 "$core"
	is_in PONG "$(redis-cli -p 7777 ping)" || die "it does not answer"
	has "in a database server" "$core" || die "the value is not there"
	mv "$core" "$work/frozen"
	# Running, with all that may change meanwhile
	status 0 remotemap dump "$server" -o "$core"
	compare 0 "$core"
	status 0 remotemap dump --resident --all --force "$server" -o "$core"
	compare 0 "$core"
	is_in PONG "$(redis-cli -p 7777 ping)" || die "it does not answer"
	# gdb has the processors to itself.
	kill "$source"
	mv "$work/frozen" "$core"
	gdb_says "$(readlink -f "$(command -v redis-server)")" \
		'info proc mappings' "redis"
}

loaded() {
	[ "$(redis-cli -p 7777 dbsize)" -gt 100 ]
}

# ---- which bytes -----------------------------------------------------------------

# faults PID: minor and major, and Rss
weight() {
	sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f8,10
	grep -E '^(VmRSS|RssAnon|RssFile|RssShmem|VmSwap|VmPTE):' "/proc/$1/status"
}

resident_leaves_the_source_alone() {
	sleeping_python
	weight "$source" >"$work/before"
	status 0 remotemap dump --resident --all --json "$source" -o "$core" \
		>"$work/json"
	weight "$source" >"$work/after"
	diff "$work/before" "$work/after" || die "the source has changed"
	compare "$source" "$core" 32
	grep -q '"absent": [1-9]' "$work/json" || die "all was in memory?"
	# The same look that is not so careful is noticed: the files' pages come.
	status 0 remotemap dump --all --force "$source" -o "$core"
	weight "$source" >"$work/after"
	! diff "$work/before" "$work/after" >"$work/diff" ||
		die "this test would notice nothing"
}

holes_are_holes() {
	sleeping_python
	status 0 remotemap dump --filter 1 --json "$source" -o "$core" >"$work/json"
	compare "$source" "$core" 60
	grep -q '"complete": true' "$work/json" || die "$(cat "$work/json")"
	# 64 MiB, half of them never touched
	# shellcheck disable=SC2046
	set -- $(stat -c '%s %b %B' "$core")
	[ "$1" -gt $((60 << 20)) ] || die "only $1 bytes"
	[ $(($2 * $3)) -lt $((50 << 20)) ] || die "$(($2 * $3)) bytes are taken"
	holes=$(sed -n 's/.*"holes": \([0-9]*\),.*/\1/p' "$work/json")
	[ "$holes" -ge $((30 << 20)) ] || die "holes: $holes"
}

swapped_memory_is_there_unless_resident() {
	# As other tests load it
	[ -e /dev/ram0 ] || modprobe brd rd_nr=4 rd_size=393216
	until_so [ -e /dev/ram0 ]
	mkswap /dev/ram0 >/dev/null 2>&1 || die "mkswap"
	swap=/dev/ram0
	swapon $swap || die "swapon"
	python_source <<'END'
import mmap, time
private = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
private.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(len(private) // 4096):
    private[page * 4096:page * 4096 + 8] = (page + 1).to_bytes(8, "little")
private.madvise(21, 0, 4 << 20) # MADV_PAGEOUT
print("ready", flush=True)
while True:
    time.sleep(1000)
END
	grep -q '^VmSwap:.*[1-9]' "/proc/$source/status" ||
		die "nothing was swapped: is there swap?"
	status 0 remotemap dump --resident --json "$source" -o "$core" >"$work/json"
	absent=$(sed -n 's/.*"absent": \([0-9]*\),.*/\1/p' "$work/json")
	[ "$absent" -ge $((3 << 20)) ] || die "absent: $absent"
	grep -q '^VmSwap:.*[1-9]' "/proc/$source/status" || die "it is back"
	# What is absent is said nothing of, so all that is said is true.
	compare "$source" "$core" 4
	status 0 remotemap dump --force "$source" -o "$core"
	compare "$source" "$core" 8
}

filter_chooses() {
	sleeping_python
	status 0 remotemap dump --filter 0 --json "$source" -o "$core" >"$work/json"
	none=$(sed -n 's/.*"bytes": \([0-9]*\),.*/\1/p' "$work/json")
	[ "$none" -le 16384 ] || die "$none bytes of a vdso"
	status 0 remotemap dump --filter 2 --json "$source" --force -o "$core" \
		>"$work/json"
	shared=$(sed -n 's/.*"bytes": \([0-9]*\),.*/\1/p' "$work/json")
	[ "$shared" -ge $((64 << 20)) ] || die "$shared bytes of shared memory"
	compare "$source" "$core" 64
	# The source's own wish is what holds, if nothing is said.
	echo 0x2 >"/proc/$source/coredump_filter"
	status 0 remotemap dump --json "$source" --force -o "$core" >"$work/json"
	same=$(sed -n 's/.*"bytes": \([0-9]*\),.*/\1/p' "$work/json")
	[ "$same" = "$shared" ] || die "$same bytes, not $shared"
	status 2 remotemap dump --filter x "$source" -o "$core" --force
}

more_regions_than_65535() {
	old=$(cat /proc/sys/vm/max_map_count)
	echo 200000 >/proc/sys/vm/max_map_count
	python_source <<'END'
import mmap, time
# Neighbours with other rights are regions of their own.
kept = []
for i in range(66000):
    rights = mmap.PROT_READ | (mmap.PROT_WRITE if i % 2 else 0)
    kept.append(mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, rights))
kept[12345][:6] = b"middle"
print("ready", flush=True)
while True:
    time.sleep(1000)
END
	echo "$old" >/proc/sys/vm/max_map_count
	status 0 remotemap dump "$source" -o "$core"
	compare "$source" "$core"
	[ "$(od -An -tu2 -j56 -N2 "$core" | tr -d ' ')" = 65535 ] || die "no PN_XNUM"
	gdb_says "$python" 'info proc mappings' "/usr/bin/python3"
}

# ---- held still ------------------------------------------------------------------

# A dump that is held up: nobody reads what it writes. $dump is its pid
held_up_dump() {
	mkfifo "$work/pipe"
	# Open it for both, or it would wait for a reader.
	# A shell's background ignores SIGINT.
	# shellcheck disable=SC2094
	env --default-signal=INT remotemap dump "$@" -o - 3<>"$work/pipe" >"$work/pipe" 2>"$work/said" &
	dump=$!
	started="$started $dump"
}

# Both ways to be held, and all ways to end
freeze_ends() {
	way=$1 signal=$2 wanted=$3
	large_python 2
	if [ "$way" = group ]; then
		make_group
		still="grep -q 'frozen 1' $group/cgroup.events"
	else
		still="is_stopped $source"
	fi
	held_up_dump --freeze "$source"
	until_so eval "$still"
	kill "-$signal" "$dump"
	wait "$dump"
	got=$?
	until_so eval "! $still"
	runs "$source" || die "it is stopped"
	[ $got = "$wanted" ] || die "exit status $got, not $wanted: $(cat "$work/said")"
}

make_group() {
	is_mounted /sys/fs/cgroup ||
		mount -t cgroup2 none /sys/fs/cgroup || die "no cgroups"
	group=/sys/fs/cgroup/dump.$$
	mkdir "$group"
	echo "$source" >"$group/cgroup.procs"
}

stopped_source_goes_on_after_sigint() {
	freeze_ends signal INT 130
}

stopped_source_goes_on_after_sigterm() {
	freeze_ends signal TERM 143
}

stopped_source_goes_on_after_sigkill() {
	freeze_ends signal KILL 137
}

frozen_group_goes_on_after_sigint() {
	freeze_ends group INT 130
}

frozen_group_goes_on_after_sigkill() {
	freeze_ends group KILL 137
}

freeze_holds_and_lets_go() {
	# Threads, each of which counts: in a core that is taken while they are held,
	# it is what it is after that in memory, until they go on.
	python_source <<'END'
import mmap, threading
memory = mmap.mmap(-1, 8192)
def count(at):
    n = 0
    while True:
        n += 1
        memory[at:at + 8] = n.to_bytes(8, "little")
print("ready", flush=True)
for at in (0, 4096):
    threading.Thread(target=count, args=(at,)).start()
END
	held_up_dump --freeze "$source"
	until_so is_stopped "$source"
	for task in "/proc/$source/task/"*; do
		grep -q '^State:.T' "$task/status" || die "a thread runs"
	done
	cat "$work/pipe" >"$core" &
	wait "$dump" || die "exit status $?: $(cat "$work/said")"
	runs "$source" || die "it is still stopped"
}

a_stopped_source_stays_stopped() {
	large_python 2
	kill -STOP "$source"
	until_so is_stopped "$source"
	status 0 remotemap dump --freeze "$source" -o "$core"
	is_stopped "$source" || die "it goes on"
	compare "$source" "$core" 2
	make_group
	status 0 remotemap dump --freeze --force "$source" -o "$core"
	is_stopped "$source" || die "it goes on"
	! grep -q 'frozen 1' "$group/cgroup.events" || die "it is frozen"
}

a_failed_dump_lets_go() {
	large_python 8
	mount -t tmpfs -o size=1M none "$work/small"
	status 5 remotemap dump --freeze "$source" -o "$work/small/core"
	runs "$source" || die "it is still stopped"
	status 5 remotemap dump --freeze "$source" -o "$core/not/there"
	runs "$source" || die "it is still stopped"
	# Its end while it is held
	held_up_dump --freeze "$source"
	until_so waits_in_pipe "$dump"
	is_stopped "$source" || die "it runs"
	kill -KILL "$source"
	cat "$work/pipe" >"$core" &
	wait "$dump"
	got=$?
	[ $got = 4 ] || die "exit status $got: $(cat "$work/said")"
	said "process $source has ended"
}

# A file system that does not copy what is written, but hands the writer's pages on
where_nothing_is_written_from_a_mirror_all_is_copied() {
	grep -q ' /out 9p ' /proc/mounts || die "no 9p here"
	large_python 8
	file=/out/core.dumped
	rm -f "$file"
	status 0 remotemap dump "$source" -o "$file"
	compare "$source" "$file" 8
	status 0 remotemap dump --resident --force "$source" -o "$file"
	compare "$source" "$file" 8
	rm -f "$file"
}

# ---- what ends a dump early --------------------------------------------------------

disk_full_leaves_a_usable_file() {
	large_python 8
	mount -t tmpfs -o size=4M none "$work/small"
	status 5 remotemap dump "$source" -o "$work/small/core"
	said "No space left on device"
	said "and says so"
	lines_said 2
	mv "$work/small/core" "$core"
	compare "$source" "$core" 2
	gdb_says "$python" 'info proc mappings' "/usr/bin/python3"
	# Not even the headers
	mount -t tmpfs -o remount,size=4k none "$work/small"
	status 5 remotemap dump "$source" -o "$work/small/core"
	lines_said 1
	[ ! -e "$work/small/core" ] || die "an empty file is left"
	(
		ulimit -f 2048
		status 5 remotemap dump "$source" --force -o "$core"
		said "ulimit -f"
	) || exit 1
	compare "$source" "$core"
}

# A dump that is stopped halfway. It is quick: if it was quicker, once more.
halfway() {
	tries=20
	large_python 256
	while [ $tries -gt 0 ]; do
		tries=$((tries - 1))
		rm -f "$core"
		env --default-signal=INT remotemap dump "$source" -o "$core" \
			2>"$work/said" >"$work/text" &
		dump=$!
		started="$started $dump"
		until [ "$(stat -c %s "$core" 2>/dev/null || echo 0)" -gt 5000000 ]; do
			kill -0 $dump 2>/dev/null || break
		done
		kill -STOP $dump 2>/dev/null
		until_so is_ended_or_stopped $dump
		size=$(stat -c %s "$core")
		[ "$size" -gt 200000000 ] || return 0
		kill -CONT $dump 2>/dev/null
		wait $dump
	done
	die "it was too quick each time"
}

is_ended_or_stopped() {
	! kill -0 "$1" 2>/dev/null || [ "$(state "$1")" = T ] ||
		[ "$(state "$1")" = Z ]
}

sigint_leaves_a_usable_file() {
	halfway
	kill -INT "$dump"
	kill -CONT "$dump"
	wait "$dump"
	got=$?
	[ $got = 130 ] || die "exit status $got: $(cat "$work/said")"
	said "and says so"
	lines_said 1
	compare "$source" "$core" 4
	gdb_says "$python" 'info proc mappings' "/usr/bin/python3"
}

the_sources_end_leaves_a_usable_file() {
	halfway
	kill -KILL "$source"
	wait "$source"
	kill -CONT "$dump"
	wait "$dump"
	got=$?
	[ $got = 4 ] || die "exit status $got: $(cat "$work/said")"
	said "process $source has ended"
	said "and says so"
	lines_said 2
	compare 0 "$core" 4
	gdb_says "$python" 'info proc mappings' "/usr/bin/python3"
}

# ---- where it goes -----------------------------------------------------------------

a_file_is_not_overwritten() {
	large_python 2
	echo precious >"$core"
	status 5 remotemap dump "$source" -o "$core"
	said "--force"
	lines_said 1
	[ "$(cat "$core")" = precious ] || die "it is"
	status 0 remotemap dump --force "$source" -o "$core"
	compare "$source" "$core" 2
	rm "$core"
	(umask 0 && status 0 remotemap dump "$source" -o "$core") || exit 1
	[ "$(stat -c %a "$core")" = 600 ] || die "others may read it"
}

a_pipe_gets_all_of_it() {
	sleeping_python
	remotemap dump "$source" -o - | cat >"$core"
	compare "$source" "$core" 64
	status 5 pipe_closed
	said "the reader has closed it"
	status 5 remotemap dump "$source" -o /dev/full --force
	said "No space left on device"
}

pipe_closed() {
	mkfifo "$work/closed"
	head -c 100 <"$work/closed" >/dev/null &
	remotemap dump "$source" -o - >"$work/closed"
}

bad_words_are_told() {
	status 2 remotemap dump
	status 2 remotemap dump $$
	said "-o FILE"
	status 2 remotemap dump x -o "$core"
	status 2 remotemap dump $$ $$ -o "$core"
	status 2 remotemap dump --json $$ -o -
	lines_said 1
	status 3 remotemap dump 4194303 -o "$core"
	lines_said 1
	# A kernel thread
	status 3 remotemap dump 2 -o "$core"
	lines_said 1
	[ ! -e "$core" ] || die "a file is left"
	status 5 remotemap dump $$ -o "$work/no/such/folder"
	said "No such file or directory"
}

no_right_is_told() {
	large_python 2
	chmod 777 "$work"
	status 3 chroot --userspec=1000:1000 --groups= / /t/cli/remotemap dump "$source" -o "$core"
	said "be that user, or root"
	lines_said 1
	[ ! -e "$core" ] || die "a file is left"
}

# ---- the run -----------------------------------------------------------------------

tests='gdb_reads_bash gdb_reads_python gdb_reads_redis_under_load
resident_leaves_the_source_alone holes_are_holes
swapped_memory_is_there_unless_resident filter_chooses more_regions_than_65535
stopped_source_goes_on_after_sigint stopped_source_goes_on_after_sigterm
stopped_source_goes_on_after_sigkill frozen_group_goes_on_after_sigint
frozen_group_goes_on_after_sigkill freeze_holds_and_lets_go
a_stopped_source_stays_stopped a_failed_dump_lets_go
where_nothing_is_written_from_a_mirror_all_is_copied
disk_full_leaves_a_usable_file sigint_leaves_a_usable_file
the_sources_end_leaves_a_usable_file a_file_is_not_overwritten
a_pipe_gets_all_of_it bad_words_are_told no_right_is_told'

only=
while getopts lt: option; do
	case $option in
	l) echo "$tests" | tr ' ' '\n' && exit ;;
	t) only="$only $OPTARG" ;;
	*) exit 2 ;;
	esac
done

for program in python3 gdb bash redis-server redis-cli; do
	command -v $program >/dev/null || {
		echo "1..0 # SKIP $program is not there"
		exit
	}
done

python=$(readlink -f "$(command -v python3)")
# khugepaged fills what is next to memory with zeros, and it becomes memory.
echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none

# shellcheck disable=SC2086 # words
set -- ${only:-$tests}
exec 9>&1
echo "TAP version 13"
echo "1..$#"
number=0 failed=0
for test; do
	number=$((number + 1))
	if (
		started='' group='' swap=''
		prepare
		trap finish EXIT
		$test
	) </dev/null; then
		echo "ok $number $test"
	else
		echo "not ok $number $test"
		failed=1
	fi
done
exit $failed
