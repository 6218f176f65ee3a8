#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2016,SC2154,SC2317 # another shell; tap.sh; tests calls them by name
#
# What info, stat and dump show on a terminal (tmux) of 80 and of 200 columns is made
# for it: a line of a table is one of the screen, and the bar of dump's progress stays
# where it is. (watch: test_cli_watch.)

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/programs.sh
. ./programs.sh
# shellcheck source=test/terminal.sh
. ./terminal.sh

source_start

regions=$(wc -l <"/proc/$source/maps")

# lines_taken PATTERN: that many lines of the screen, where each stands on one
lines_taken() {
	screen >"$work/screen"
	grep -Ec -- "$1" "$work/screen" || true
}

# ---- info ------------------------------------------------------------------------

# tall: a table is longer than the screen
tall() {
	tmux -S "$work/tmux" resize-window -y 200
}

# info_on COLUMNS ARGUMENT...: all of its table is on the screen
info_on() {
	columns=$1
	shift
	terminal "$columns" sh -c 'read -r go; exec "$@"' sh remotemap info "$@" "$source"
	tall
	keys Enter
	closes_not
	same "$regions" "$(lines_taken '^ *[0-9a-f]+-[0-9a-f]+ +[r-][w-][x-][ps] ')"
	# What wraps would be a line of its own.
	shows 'for you: read and write$'
	same 0 "$(sed -e '1,/NAME$/d' -e '/ regions; /,$d' "$work/screen" |
		grep -Evc '^ *[0-9a-f]+-[0-9a-f]+ ')"
}

# closes_not: it has ended well, and what it printed stays
closes_not() {
	until_true test -s "$work/after"
	same 0 "$(cat "$work/status")"
	shows '^left'
}

info_in_80_columns() {
	info_on 80
	screen_has '^ +START-END +MAY  MAP KIND +SIZE  RESIDENT  NAME$'
	screen_has '^ *[0-9a-f]+-[0-9a-f]+ +rw-p rw  heap .* \[heap\]$'
	# The end of a name tells more than its beginning.
	screen_has ' \.\.\..*libc\.so\.6$'
	not screen_has /libc.so.6/
}

info_in_200_columns() {
	info_on 200
	screen_has ' SIZE +RESIDENT +HUGE +SWAPPED  NAME$'
	screen_has ' /.*/libc\.so\.6$'
	not screen_has '  \.\.\.'
}

info_brief_in_80_columns() {
	info_on 80 --brief
	screen_has ' KIND +SIZE  NAME$'
}

# ---- stat ------------------------------------------------------------------------

# viewer_start: $viewer holds a map file of the source
viewer_start() {
	background remotemap lend "$source" --view "0=$memory+8K,ro" -- sleep 100000
	viewer=$!
	until_true grep -q sleep "/proc/$viewer/comm"
}

stat_in_80_columns() {
	viewer_start
	terminal 80 remotemap stat
	closes_not
	screen_has '^ VIEWER COMMAND .* FAULTS +TAKEN$'
	same 1 "$(lines_taken "^ *$viewer sleep +$source python3 +0 B +0 +[0-9]+ +0\$")"
	not screen_has 'RETRIES'
}

stat_in_200_columns() {
	viewer_start
	terminal 200 remotemap stat
	closes_not
	screen_has ' TAKEN  HOLDS +VIEWS +HUGE RETRIES STATE$'
	screen_has "^ *$viewer sleep +$source python3 .* map +1 +0 +0 locked\$"
}

# follow_in COLUMNS HEAD LINE: the screen, and that it goes on
follow_in() {
	terminal "$1" remotemap stat --follow --interval 0.2
	shows '^remotemap stat  ..:..:..  every 0\.2 s  [0-9]+ viewers  q quits$'
	shows "$2"
	shows "$3"
	kill -KILL "$viewer"
	gone() {
		! screen_has "^ *$viewer "
	}
	until_true gone
	keys q
	closes 0
}

follow_in_80_columns() {
	viewer_start
	follow_in 80 '^ VIEWER COMMAND .* FAULTS +TAKEN$' \
		"^ *$viewer sleep +$source python3 +0 B +0 +[0-9]+ +0\$"
}

follow_in_200_columns() {
	viewer_start
	follow_in 200 ' HOLDS +VIEWS +HUGE RETRIES STATE$' \
		"^ *$viewer sleep +$source python3 .* map +1 +0 +0 locked\$"
}

# A line as long as the screen is wide keeps its last character: of this head, an S.
follow_shows_the_last_column() {
	viewer_start
	terminal 86 remotemap stat --follow --interval 0.2
	shows ' TAKEN  HOLDS$'
	keys q
	closes 0
}

# ---- dump's bar ------------------------------------------------------------------

# big_start: $big has 64 MiB that are not zeros
big_start() {
	background python3 -c '
import sys, time
memory = b"x" * (64 << 20)
open(sys.argv[1], "w").write("ready")
time.sleep(100000)' "$work/big"
	big=$!
	until_true test -s "$work/big"
}

# The reader takes some, slowly, and then waits, so that there is something to see.
bar_in() {
	big_start
	rm -f "$work/core"
	terminal "$1" --errors-too sh -c '
		remotemap dump "$1" -o - | {
			for turn in 1 2 3; do
				dd bs=4k count=2048 iflag=fullblock >>"$2"
				sleep 0.3
			done
			read -r go <"$3"
			cat >>"$2"
		} 2>"$2.said"' sh "$big" "$work/core" "$work/go"
	shows "^dump \\[#+\\.+\\]  [0-9.]+ MiB of [0-9.]+ MiB  [0-9.]+ [KMG]iB/s  [0-9:]+ left\$"
	same 1 "$(lines_taken 'dump \[')"
	length=$(screen | sed -n 's/^dump \[\([#.]*\)\].*/\1/p' | wc -c)
	echo go >"$work/go"
	closes_not
	# It is gone, and nothing of it is left behind.
	not screen_has 'dump \['
	[ "$(head -c 4 "$work/core" | tr -d '\177')" = ELF ]
	[ "$(stat -c %s "$work/core")" -gt $((64 << 20)) ]
	kill -KILL "$big"
}

bar_in_80_columns() {
	bar_in 80
	[ "$length" -ge 6 ] && [ "$length" -le 40 ]
}

bar_in_200_columns() {
	bar_in 200
	same 61 "$length"
}

mkfifo "$work/go"
tests info_in_80_columns info_in_200_columns info_brief_in_80_columns \
	stat_in_80_columns stat_in_200_columns follow_in_80_columns \
	follow_in_200_columns follow_shows_the_last_column bar_in_80_columns \
	bar_in_200_columns
