# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Completion of remotemap's words in bash. What there is to complete is what the
# command's own help says, so that this text never lags behind it.

# _remotemap_options COMMAND: its long options
_remotemap_options() {
	remotemap "$1" --help 2>/dev/null |
		sed -nE 's/^ +(-.*, )?(--[a-z-]+).*/\2/p'
}

_remotemap_commands() {
	remotemap --help 2>/dev/null | sed -nE 's/^  ([a-z]+) +[a-z].*/\1/p' |
		grep -vx remotemap
}

_remotemap_pids() {
	local folder
	for folder in /proc/[0-9]*; do
		printf '%s\n' "${folder#/proc/}"
	done
}

# _remotemap_value OPTION WORD: the values that one takes; false: it takes none
_remotemap_value() {
	case $1 in
	--color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$2") ;;
	--uid | -u) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
	--socket | -s | --output | -o | --yara | --bytes)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
		;;
	--type)
		mapfile -t COMPREPLY < <(compgen -W \
			'u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 ptr str' -- "$2")
		;;
	--region)
		mapfile -t COMPREPLY < <(compgen -W \
			'anonymous file shmem hugetlb heap stack special' -- "$2")
		;;
	--view | -v | --map-fd | --interval | -i | --text | --wide | --hex | \
		--range | --max | --context | --count) COMPREPLY=() ;;
	*) return 1 ;;
	esac
}

# _remotemap_command_at: the index of the word -- before the cursor, or nothing
_remotemap_separator() {
	local n
	for ((n = 2; n < COMP_CWORD; n++)); do
		[[ ${COMP_WORDS[n]} != -- ]] || {
			echo "$n"
			return
		}
	done
}

_remotemap() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} separator
	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_remotemap_commands) --help --version" -- "$word")
		return
	fi
	# --option=value comes as three words.
	[[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD - 2]}
	if [[ $word == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 1]} word=
	fi
	separator=$(_remotemap_separator)
	if [[ $command == lend && -n $separator ]]; then
		if [[ $COMP_CWORD -eq $((separator + 1)) ]]; then
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
		fi
		return
	fi
	! _remotemap_value "$before" "$word" || return 0
	case $command in
	help)
		mapfile -t COMPREPLY < <(compgen -W "$(_remotemap_commands)" -- \
			"$word")
		;;
	*)
		if [[ $word == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W \
				"$(_remotemap_options "$command")" -- "$word")
		elif [[ $command != stat ]]; then
			mapfile -t COMPREPLY < <(compgen -W \
				"$(_remotemap_pids)" -- "$word")
		fi
		;;
	esac
}

complete -F _remotemap remotemap
