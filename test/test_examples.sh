#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317,SC2154 # tests calls them by name; tap.sh
#
# The programs in the manual pages do what the pages say, on a shell and a Python
# that know nothing of them.
#
# Promises: every program in examples/ is run, and its exit status and all that it
# prints are looked at. What a process has in its memory is taken from its
# /proc/PID/mem and /proc/PID/maps.

# shellcheck source=test/tap.sh
. ./tap.sh

text=rabbits-and-hares
changed=foxes-and-badgers

# ---- processes to look into --------------------------------------------------

# speaker_start NAME COMMAND...: a program that says what it has when it is asked,
# with descriptors 6 and 7, or 8 and 9, for the two ways
speaker_start() {
	mkfifo "$work/$1.ask" "$work/$1.say"
	speaker=$1
	shift
	if [ "$speaker" = python3 ]; then
		exec 6<>"$work/$speaker.ask" 7<>"$work/$speaker.say"
		background "$@" <&6 >&7
	else
		exec 8<>"$work/$speaker.ask" 9<>"$work/$speaker.say"
		background "$@" <&8 >&9
	fi
	echo $! >"$work/$speaker"
	# It is itself when it has answered, not the shell that was to become it.
	speaker_ask "$speaker" >/dev/null
}

speaker_ask() {
	if [ "$1" = python3 ]; then
		echo say >&6
		read -r said <&7
	else
		echo say >&8
		read -r said <&9
	fi
	echo "$said"
}

speakers=busybox
export secret=$text
# shellcheck disable=SC2016 # its own
speaker_start busybox busybox sh -c \
	'while read -r line; do echo "$secret"; done'
if command -v python3 >/dev/null; then
	speakers="busybox python3"
	speaker_start python3 python3 -c "
while input():
    print('$text', flush=True)"
fi

# each COMMAND...: with each of them, as $name, $pid
each() {
	for name in $speakers; do
		pid=$(cat "$work/$name")
		"$@"
	done
}

# ---- what a process has ------------------------------------------------------

# memory ADDRESS PAGES: its bytes, by the kernel's own way
memory() {
	dd if="/proc/$pid/mem" bs=4096 skip=$(($1 / 4096)) count="$2" 2>/dev/null \
		>"$work/memory"
	[ -s "$work/memory" ]
}

# elf: address of its first mapping, where an ELF file begins
elf() {
	sed -n '1s/^\([^-]*\)-.*/0x\1/p' "/proc/$pid/maps"
}

# ranges: start, end and rights; not as what awk could take for numbers
ranges() {
	sed -E 's/^0*([^-]+)-0*([^ ]+) ([^ ]+)/x\1 x\2 \3/' "/proc/$pid/maps"
}

# last: the last page of memory that can be read, before a gap
last() {
	end=$(ranges | awk '{
		if (end && $1 != end) {
			print "0" end
			exit
		}
		end = $3 ~ /^r/ ? $2 : ""
	}')
	printf '0x%x' $((end - 4096))
}

# readable: the ranges that can be read, adjacent ones as one; but for what the
# kernel shows to nobody else
# From Linux 7 on the kernel's clock is in ordinary pages.
readable() {
	clock='[[]vvar'
	[ "$(uname -r | cut -d. -f1)" -lt 7 ] || clock='[[]vvar_'
	ranges | awk -v clock="$clock" '$3 ~ /^r/ && $0 !~ clock {
		if ($1 != end) {
			if (end)
				print substr(start, 2) "-" substr(end, 2)
			start = $1
		}
		end = $2
	}
	END { print substr(start, 2) "-" substr(end, 2) }'
}

# bytes: how many the ranges in standard input have
bytes() {
	total=0
	while IFS=- read -r start end; do
		total=$((total + 0x$end - 0x$start))
	done
	echo "$total"
}

# ---- what a program prints ---------------------------------------------------

# example NAME ARGUMENT...
example() {
	echo "$1" >>"$work/ran"
	program=examples/$1
	shift
	run "$program" "$@"
}

# says TEXT: that is all, and it succeeded
says() {
	exited 0
	printf '%s\n' "$1" | diff - "$out"
	same "" "$(cat "$err")"
}

# shows: the bytes in $work/memory are all, and it succeeded
shows() {
	exited 0
	cmp "$work/memory" "$out"
}

# ---- opening -----------------------------------------------------------------

read_by_pid() {
	example open_pid "$pid" "$(elf)"
	says "7f 45 4c 46"
	example peek "$pid" "$(elf)" 4
	says "7f 45 4c 46"
	example whole "$pid" "$(elf)"
	says 7f
}

open_pid_peek_and_whole_read() {
	each read_by_pid
}

open_pidfd_knows_the_end() {
	example open_pidfd
	says "opened: the child
ended: No such process"
}

read_as_nobody() {
	example open_mem "$pid" "$(elf)"
	says "user 65534: it is an ELF file"
}

open_mem_reads_without_rights() {
	each read_as_nobody
}

open_for_reading() {
	example open_map "$pid"
	says "source: writable 1
reader: writable 0
a view more: Operation not permitted"
}

open_map_gains_nothing() {
	each open_for_reading
}

close_and_look() {
	example close_handle "$pid" "$(elf)"
	says ELF
}

close_handle_leaves_the_mirror() {
	each close_and_look
}

lend_lends_one_page() {
	example lend
	says "viewer: a page to lend
lender: thank you"
}

give_one_page() {
	example hand_over "$pid" "$(elf)"
	says "user 65534: it is an ELF file
user 65534: a view more: Operation not permitted"
}

hand_over_gives_one_page() {
	each give_one_page
}

# ---- views -------------------------------------------------------------------

add_and_lock() {
	example add_views "$pid" "$(elf)"
	says "add: done
add: done
overlap: Operation already in progress
remove: done
lock: done
remove: Operation not permitted
read at 8192: done
read at 0: Bad address"
}

add_views_adds_removes_and_locks() {
	each add_and_lock
}

list_two() {
	example list_views "$pid"
	says "0=0x10000+0x2000,resident
0x3000=0x400000+0x1000,ro"
}

list_views_lists_in_order() {
	each list_two
}

# ---- memory ------------------------------------------------------------------

show_two_pages() {
	memory "$(elf)" 2
	example map_range "$pid" "$(elf)" 8192
	shows
	same "" "$(cat "$err")"
	example handle_files "$pid" "$(elf)" 8192
	shows
	same "process $pid, writable 0" "$(cat "$err")"
	example guard "$pid" "$(elf)" 8192
	says "$(tr -dc '\0' <"$work/memory" | wc -c) are zero"
}

map_range_handle_files_and_guard_have_what_is_there() {
	each show_two_pages
}

show_the_last() {
	memory "$(last)" 1
	example guard "$pid" "$(last)" 8192
	says "nothing at byte 4096"
	example copy_out "$pid" "$(last)" 8192
	shows
	same "4096 of 8192" "$(cat "$err")"
}

guard_and_copy_out_live_with_what_is_not_there() {
	each show_the_last
}

map_aligned_and_reserve_agree_with_the_source() {
	example map_aligned
	says "seen twice, 0 modulo 2 MiB apart
seen twice, 0 modulo 2 MiB apart"
	example reserve
	says "a child's memory, 0 modulo 2 MiB apart"
}

list_some() {
	example list_data "$pid"
	says "$(readable)"
	all=$(bytes <"$out")
	example list_data "$pid" resident
	exited 0
	some=$(bytes <"$out")
	[ "$some" -gt 0 ]
	[ "$some" -lt "$all" ]
}

list_data_finds_what_can_be_read() {
	each list_some
}

list_like_maps() {
	example list_regions "$pid"
	exited 0
	ranges | sed -E 's/x([^ ]*) x([^ ]* [^ ]*).*/\1-\2/' >"$work/maps"
	awk '{ print $1, $2 }' "$out" | diff "$work/maps" -
	printed ' heap [1-9][0-9]* \[heap\]$'
	printed ' stack [1-9][0-9]* \[stack\]$'
	printed ' \(not shown\) \[vvar\]$'
}

list_regions_is_maps_and_more() {
	each list_like_maps
}

# Where a process has a text may be more than once: its script has it, too.
change_the_text() {
	same "$text" "$(speaker_ask "$name")"
	example find_all "$pid" "$text"
	exited 0
	cp "$out" "$work/places"
	[ -s "$work/places" ]
	example find_text "$pid" "$text"
	exited 0
	[ -s "$out" ]
	not grep -vxFf "$work/places" "$out"
	while read -r place; do
		example poke "$pid" "$place" "$changed"
		says "was: $text
written: ${#text} of ${#text}"
	done <"$work/places"
	same "$changed" "$(speaker_ask "$name")"
	example find_all "$pid" "$text"
	exited 0
	same "" "$(cat "$out")"
}

find_all_finds_what_poke_changes() {
	each change_the_text
}

# ---- who looks at whom, and the end ------------------------------------------

count_a_fault() {
	example show_stat "$pid" "$(elf)"
	exited 0
	printed '^byte 7f$'
	printed "^source $pid ended 0 locked 0 views 1\$"
	printed '^faults [1-9][0-9]* pages [1-9][0-9]* huge [0-9]+$'
}

show_stat_counts_a_fault() {
	each count_a_fault
}

# The last one: it ends them.
see_the_end() {
	example find_viewers "$pid"
	exited 0
	same "" "$(cat "$out")"
	echo wait_end >>"$work/ran"
	background examples/wait_end "$pid" >"$work/end" 2>&1
	viewer=$!
	until_true grep -q 'it runs' "$work/end"
	example find_viewers "$pid"
	exited 0
	sed 's/descriptor [0-9]*/descriptor/' "$out" | sort >"$work/viewers"
	same "process $viewer descriptor: ctrl file
process $viewer descriptor: map file" "$(cat "$work/viewers")"
	kill -KILL "$pid"
	wait "$viewer"
	same "it runs
it has ended" "$(cat "$work/end")"
}

find_viewers_sees_wait_end_which_sees_the_end() {
	each see_the_end
}

show_version_is_the_modules() {
	example show_version
	says "libremotemap $(cat /sys/module/remote_mapping/version)"
}

every_example_was_run() {
	for program in examples/*; do
		case $program in
		*.d) continue ;;
		# It takes a virtual machine: test_qemu_change runs it.
		*/guest_follow) continue ;;
		esac
		grep -qxF "${program#examples/}" "$work/ran" || {
			echo "$program was not"
			return 1
		}
	done
}

tests open_pid_peek_and_whole_read open_pidfd_knows_the_end \
	open_mem_reads_without_rights open_map_gains_nothing \
	close_handle_leaves_the_mirror lend_lends_one_page \
	hand_over_gives_one_page add_views_adds_removes_and_locks \
	list_views_lists_in_order \
	map_range_handle_files_and_guard_have_what_is_there \
	guard_and_copy_out_live_with_what_is_not_there \
	map_aligned_and_reserve_agree_with_the_source \
	list_data_finds_what_can_be_read list_regions_is_maps_and_more \
	find_all_finds_what_poke_changes show_stat_counts_a_fault \
	find_viewers_sees_wait_end_which_sees_the_end \
	show_version_is_the_modules every_example_was_run
