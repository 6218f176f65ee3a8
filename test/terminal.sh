# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154 # tap.sh is read before
#
# A real terminal (tmux) for the command's tests: what is on its screen, and that it
# is afterwards as it was before.

# What stty says before and after the command, its pid and its exit status are in files.
cat >"$work/in-terminal" <<'END_OF_SCRIPT'
#!/bin/sh
work=$1
shift
stty -a >"$work/before"
if [ "$1" = --errors-too ]; then
	shift
	sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" "$@"
else
	sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" "$@" 2>"$work/complaint"
fi
echo $? >"$work/status"
stty -a >"$work/after"
echo left
read -r line
END_OF_SCRIPT

# A server is in a session of its own, and would live on.
terminal_end() {
	tmux -S "$work/tmux" kill-server 2>/dev/null
	tap_end
}
trap terminal_end EXIT

# terminal COLUMNS [--errors-too] COMMAND...: the command in one, whose errors are in
# $work/complaint or on the screen, too
terminal() {
	columns=$1
	shift
	rm -f "$work/status" "$work/after"
	tmux -S "$work/tmux" kill-server 2>/dev/null || true
	# A server that is going takes nobody.
	until_true tmux -S "$work/tmux" -f /dev/null new-session -d -x "$columns" -y 24 \
		sh "$work/in-terminal" "$work" "$@"
}

keys() {
	tmux -S "$work/tmux" send-keys "$@"
}

screen() {
	tmux -S "$work/tmux" capture-pane -p "$@"
}

# shows PATTERN: some line of the screen, soon
shows() {
	until_true screen_has "$1" || {
		screen
		return 1
	}
}

screen_has() {
	screen >"$work/screen"
	grep -Eq -- "$1" "$work/screen"
}

shows_coloured() {
	until_true coloured "$1" || {
		screen -e | cat -v
		return 1
	}
}

coloured() {
	screen -e >"$work/screen"
	grep -q -- "$(printf '\033')$1" "$work/screen"
}

# closes STATUS: it ends with that, and the terminal is as it was
closes() {
	until_true test -s "$work/after"
	same "$1" "$(cat "$work/status")"
	diff "$work/before" "$work/after"
	shows '^left'
	tmux -S "$work/tmux" kill-server
}
