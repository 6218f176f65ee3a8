#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# docs/tutorial.md, done as it says: files saved, commands typed, in one shell, and
# each output compared with what the page shows.
#
# Promises: a block of commands is a test. It fails where its last command fails, or
# its output is not the block marked `output` that follows it: line by line, … in a
# line for anything, a line of … for any lines. A page without commands fails.

here=$(realpath "$(dirname "$0")")
page=$here/docs/tutorial.md
folder=/tmp/tutorial
export PATH="$here/examples:$PATH" PYTHONPATH="$here/python" PYTHONDONTWRITEBYTECODE=1

real=$(realpath "$(command -v python3)" 2>/dev/null)
case ${real##*/} in
python3*) ;;
*)
	echo "1..0 # SKIP python3 is not there (--with python3-minimal)"
	exit 4
	;;
esac

rm -rf $folder
mkdir -p $folder/blocks
cd $folder || exit 1

# Files under their names; the block of commands N as blocks/N, its output as
# blocks/N.output.
awk '
/^```$/ { to = "" }
to { print >to }
/^```[a-z]+ file=/ { to = substr($2, 6); printf "" >to }
/^```sh run$/ { to = "blocks/" ++n; printf "" >to }
/^```text output$/ { to = "blocks/" n ".output"; printf "" >to }
' "$page"
cp "$here/examples/find_text" .

# like PATTERNS FILE: whether the file has these lines
like() {
	LC_ALL=C awk -v any='…' '
	function line_like(pattern, text,   part, count, i, at) {
		count = split(pattern, part, any)
		if (count == 1)
			return pattern == text
		if (part[1] != "" && index(text, part[1]) != 1)
			return 0
		text = substr(text, length(part[1]) + 1)
		for (i = 2; i < count; i++) {
			at = index(text, part[i])
			if (part[i] != "" && !at)
				return 0
			if (part[i] != "")
				text = substr(text, at + length(part[i]))
		}
		return length(text) >= length(part[count]) &&
			substr(text, length(text) - length(part[count]) + 1) == \
			part[count]
	}
	# pattern p on, line l on
	function all_like(p, l) {
		if (p > patterns)
			return l > lines
		if (pattern[p] == any)
			return all_like(p + 1, l) ||
				(l <= lines && all_like(p, l + 1))
		return l <= lines && line_like(pattern[p], line[l]) &&
			all_like(p + 1, l + 1)
	}
	NR == FNR { pattern[++patterns] = $0; next }
	{ line[++lines] = $0 }
	END { exit !all_like(1, 1) }' "$1" "$2"
}

count=$(find blocks -type f ! -name '*.*' | wc -l)
echo "1..$count"
[ "$count" -gt 0 ] || echo "# $page has no commands"
failed=0 number=0
# Variables and jobs are the blocks' own: what is typed is typed in one shell.
while [ $number -lt "$count" ]; do
	number=$((number + 1))
	set --
	# shellcheck disable=SC1090
	. ./blocks/$number >blocks/$number.said 2>&1
	status=$?
	verdict=ok
	if [ $status != 0 ]; then
		verdict='not ok'
		echo "# exit status $status"
	elif [ -e blocks/$number.output ] &&
		! like blocks/$number.output blocks/$number.said; then
		verdict='not ok'
		echo "# this was to be its output:"
		sed 's/^/#   /' blocks/$number.output
	fi
	[ "$verdict" = ok ] || {
		failed=$((failed + 1))
		echo "# it said:"
		sed 's/^/#   /' blocks/$number.said
	}
	echo "$verdict $number tutorial: $(head -n 1 blocks/$number)"
done
[ "$count" -gt 0 ] && [ $failed = 0 ]
