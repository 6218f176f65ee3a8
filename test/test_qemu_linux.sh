#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2154 # tests calls them by name; tap.sh, guests.sh
#
# remotemap --qemu on a stock Linux kernel, the one that runs here, as the guest: its
# banner, its processes, its memory while a balloon takes it. One guest for all
# tests, which comes up slowly: two processors are emulated, one inside the other.
# The kernel is ./linux.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/guests.sh
. ./guests.sh

patience=$((900 * ${TEST_PATIENCE:-1}))
size=$((160 << 20))
release=$(uname -r | sed 's/[.+]/[&]/g')
banner="Linux version $(uname -r) ("
ready="the guest's processes are there"

linux_starts() {
	until_true linux_runs || {
		cat "$work/qemu"
		tail -n 20 "$linux_said"
		return 1
	}
}

banner_is_found_in_running_linux() {
	run remotemap search --qemu "$monitor" --region ram --text "$banner"
	exited 0
	printed "^$guest 0x[0-9a-f]+ microvm.ram "
	cat >"$work/rules" <<-END_OF_RULES
		rule linux { strings: \$banner = "$banner" condition: \$banner }
		rule other { strings: \$here = "no guest" condition: \$here }
	END_OF_RULES
	run remotemap search --qemu "$monitor" --region ram --yara "$work/rules"
	exited 0
	printed "^$guest 0x[0-9a-f]+ microvm.ram linux:\\\$banner"
	not grep -q 'other:' "$out"
}

# Its user has neither the socket nor QEMU's process: the map file alone
processes_are_listed_by_who_has_the_map_file_alone() {
	chmod 755 "$work"
	run remotemap lend --qemu "$monitor" --uid 1000 -- \
		python3 guest_tasks.py
	exited 0
	printed "^Linux $release\$"
	printed '^ +0 swapper'
	printed '^ +1 init$'
	printed '^ +2 kthreadd$'
	for name in guest-alpha guest-beta guest-gamma; do
		printed "^ +[0-9]+ $name\$"
	done
}

# counter: /init's, which is at the beginning of a page; its text is in /init's file
# and elsewhere, too
counter() {
	remotemap search --qemu "$monitor" --region ram --text "$ready" |
		awk '$2 ~ /000$/ { print $2 }' >"$work/pages"
	while read -r page; do
		remotemap read --raw --qemu "$monitor" $((page + 64)) 8 |
			od -An -tu8 | tr -d ' '
	done <"$work/pages" | sort -n | tail -n 1
}

linux_goes_on_while_it_is_searched() {
	before=$(counter)
	[ "$before" -gt 0 ]
	after=$(counter)
	[ "$after" -gt "$before" ]
}

dump_of_linux_is_a_core_that_gdb_reads() {
	run remotemap search --qemu "$monitor" --region ram --text "$banner"
	at=$(awk 'NR == 1 { print $2 }' "$out")
	run remotemap dump --qemu "$monitor" -o "$work/core"
	exited 0
	run gdb -batch -nx -c "$work/core" -ex "x/s $at"
	printed "\"Linux version $release "
	rm -f "$work/core"
}

# hold: a mirror of all RAM above the first MiB, touched, which says of each file of
# that length that it is given what is not the same
hold() {
	rm -f "$work/ask"
	mkfifo "$work/ask"
	exec 7<>"$work/ask"
	: >"$work/held"
	background remotemap lend --qemu "$monitor" -- python3 -c '
import mmap, os, sys
start, size, step = 1 << 20, int(sys.argv[1]) - (1 << 20), 4096
memory = mmap.mmap(int(os.environ["REMOTEMAP_FD"]), size, mmap.MAP_SHARED,
                   mmap.PROT_READ, offset=start)
touched = sum(memory[at] for at in range(0, size, step))
print("held", flush=True)
for line in sys.stdin:
    file = open(line.strip(), "rb").read()
    differ = [at for at in range(0, size, step)
              if memory[at:at + step] != file[at:at + step]]
    print("differ", len(differ), flush=True)
' "$size" <&7 >"$work/held"
	until_true grep -q held "$work/held"
}

ballooned() {
	[ "$(qmp query-balloon)" = "{\"actual\": $1}" ]
}

# What the guest has given back is QEMU's no more: a mirror that showed it shows what
# QEMU itself finds there.
balloon_takes_memory_from_the_mirror() {
	hold
	balloon=$((112 << 20))
	before=$(resident)
	qmp balloon value="$balloon"
	until_true ballooned "$balloon"
	qmp stop
	qmp pmemsave val=$((1 << 20)) size=$((size - (1 << 20))) \
		filename="$work/saved"
	echo "$work/saved" >&7
	until_true grep -q differ "$work/held"
	same "$(tail -n 1 "$work/held")" 'differ 0'
	after=$(resident)
	echo "resident KiB: $before, $after"
	[ "$after" -lt $((before - 16384)) ]
	qmp cont
	rm -f "$work/saved"
	# And what it gets again is shown.
	qmp balloon value="$size"
	until_true ballooned "$size"
	linux_goes_on_while_it_is_searched
}

# typed: what docs/look-into-a-vm.md has one type as root, a command a line; and its
# rules, as the file that it names
typed() {
	awk -v folder="$work/page/" '
		/^```$/ && to { close(to); to = ""; next }
		to { print >to }
		/^```[a-z]+ file=/ { to = folder substr($2, 6) }
		/^# remotemap |^# gdb / { line = substr($0, 3); on = 1 }
		on {
			if (line == "")
				line = $0
			if (sub(/\\$/, "", line)) {
				whole = whole line
				line = ""
				next
			}
			print whole line
			whole = line = ""
			on = 0
		}' docs/look-into-a-vm.md
}

# Its commands, as they stand there, one after the other. Those that go on until
# they are ended are ended.
page_does_what_it_says() {
	mkdir -p "$work/page" /run/vm
	chmod 755 "$work" "$work/page"
	ln -sfn "$monitor" /run/vm/qmp
	typed >"$work/typed"
	[ "$(wc -l <"$work/typed")" -ge 9 ]
	cp guest_tasks.py "$work/page"
	cat >"$work/page/analyser" <<-'END_OF_ANALYSER'
		#!/bin/sh
		[ "$(id -un)" = nobody ] && [ "$REMOTEMAP_FD" = 3 ] &&
			[ -e /proc/self/fd/3 ] && [ ! -e /proc/self/fd/4 ]
	END_OF_ANALYSER
	chmod 755 "$work/page/analyser"
	while read -r command; do
		echo "$command"
		case $command in
		*' watch '*)
			run sh -c "cd $work/page && timeout 20 $command"
			printed 7c00
			;;
		*)
			run sh -c "cd $work/page && $command"
			exited 0
			;;
		esac
	done <"$work/typed"
	rm -rf "$work/page"
}

# resident: KiB of QEMU's
resident() {
	awk '/^RssAnon/ { print $2 }' "/proc/$guest/status"
}

linux_start -M microvm -m $((size >> 20))M -device virtio-balloon-device

tests linux_starts banner_is_found_in_running_linux \
	processes_are_listed_by_who_has_the_map_file_alone \
	linux_goes_on_while_it_is_searched dump_of_linux_is_a_core_that_gdb_reads \
	page_does_what_it_says balloon_takes_memory_from_the_mirror
