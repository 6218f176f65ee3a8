#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317 # tests calls them by name
#
# What bash offers after remotemap is what the command has.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=cli/completion.bash
. ./cli/completion.bash

# offered WORD...: what it offers for the last of them, a line each
offered() {
	COMP_WORDS=(remotemap "$@")
	COMP_CWORD=$#
	_remotemap
	printf '%s\n' "${COMPREPLY[@]}"
}

# offers WANT WORD...: exactly that
offers() {
	local want=$1
	shift
	same "$(offered "$@" | sort | tr '\n' ' ')" "$want "
}

commands_are_offered() {
	offers '--help --version dump help info lend read search stat watch write' ''
	offers 'search stat' s
	offers 'dump help info lend read search stat watch write' help ''
	offers 'lend' help l
}

# Each command's, from its own help
options_are_offered() {
	local command option
	for command in dump info lend read search stat watch write; do
		offered "$command" -- >"$work/offered"
		grep -qx -- --help "$work/offered"
		while read -r option; do
			# That it is an option, the command's parser says. Where
			# it takes a value, that is the first --help.
			remotemap "$command" "$option" --help --help \
				2>"$err" >"$out" </dev/null || :
			not grep -q unrecognized "$err"
		done < <(grep -v '^--usage$' "$work/offered")
	done
	offers '--raw --resident' read --r
	offers '--interval' stat --i
}

processes_are_offered() {
	offered info '' >"$work/offered"
	grep -qx $$ "$work/offered"
	offers $$ read $$
	offers '' stat ''
}

values_are_offered() {
	touch "$work/file.here"
	offers "$work/file.here" read --socket "$work/file"
	offers root lend --uid roo
	offers 'always auto' search --color = a
	offers 'always auto never' search --color =
	offers '' lend --view ''
}

commands_to_lend_to_are_offered() {
	offered lend 1 --view 0=0+4K -- remotem >"$work/offered"
	grep -qx remotemap "$work/offered"
	offers "$work/stdout" lend 1 -- remotemap "$work/stdou"
}

bash_uses_it() {
	complete -p remotemap | grep -q 'complete -F _remotemap remotemap'
}

tests commands_are_offered options_are_offered processes_are_offered \
	values_are_offered commands_to_lend_to_are_offered bash_uses_it
