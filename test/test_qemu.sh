#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317 # tests calls them by name
#
# remotemap --qemu on running QEMUs of several machines and memory backends: what
# it shows is what the guest wrote, at the guest's own addresses, while it runs.

# shellcheck source=test/tap.sh
. ./tap.sh
# shellcheck source=test/guests.sh
. ./guests.sh

# layout_is_told: info has just the ranges of QEMU's flat view
layout_is_told() {
	layout >"$work/layout"
	[ -s "$work/layout" ]
	run remotemap info --qemu "$monitor" --json
	exited 0
	python3 - "$out" "$work/layout" "$guest" <<-'END'
		import json, sys
		info = json.load(open(sys.argv[1]))
		assert info["pid"] == int(sys.argv[3]), info["pid"]
		told = [(int(r["start"], 0), int(r["end"], 0) - 1, r["name"])
		        for r in info["ranges"]]
		wanted = [(int(start, 16), int(end, 16), name)
		          for start, end, kind, name in map(str.split, open(sys.argv[2]))]
		assert told == wanted, (told, wanted)
		for r, line in zip(info["ranges"], open(sys.argv[2])):
		    kind = line.split()[2]
		    assert r["shown"] and int(r["host"], 0)
		    assert r["kind"] == {"ram": "ram", "rom": "rom"}[kind], r
	END
}

# fill_is_shown ADDRESS...: 16 pages, written by the guest
fill_is_shown() {
	for at; do
		fill "$at" 65536
		has_filled "$at" 65536
	done
}

# saved_is_read ADDRESS LENGTH: QEMU's own copy of it is the same
saved_is_read() {
	qmp stop
	qmp pmemsave val="$(($1))" size="$(($2))" filename="$work/saved"
	remotemap read --raw --qemu "$monitor" "$1" "$2" | cmp - "$work/saved"
	qmp cont
}

pc_shows_what_the_guest_wrote() {
	guest_start -M pc -m 64M
	layout_is_told
	fill_is_shown 0x400000 0x3ff0000
	saved_is_read 0 0xa0000
	saved_is_read 0xe0000 0x800000
	guest_goes_on
	guest_end
}

microvm_shows_what_the_guest_wrote() {
	guest_start -M microvm -m 64M
	layout_is_told
	fill_is_shown 0x400000
	saved_is_read 0xf0000 0x400000
	guest_end
}

# A hole below 4 GiB, RAM above it, memory of its own in each backend
q35_with_two_backends_shows_both() {
	guest_start -M q35,max-ram-below-4g=64M -m 128M \
		-object memory-backend-memfd,id=m0,size=32M \
		-object memory-backend-ram,id=m1,size=96M \
		-numa node,memdev=m0 -numa node,memdev=m1
	layout_is_told
	grep -q ' m0$' "$work/layout"
	grep -q ' m1$' "$work/layout"
	# Across the border of the two
	fill_is_shown 0x1ff8000 0x3ff0000
	printf 'above' | remotemap write --yes --qemu "$monitor" 0x100000000
	qmp human-monitor-command command-line='xp /5c 0x100000000' |
		grep -q "'a' 'b' 'o' 'v' 'e'"
	run remotemap read --qemu "$monitor" 0x4000000 4096
	exited 1
	printed 'nothing to be read'
	guest_end
}

# hugetlb, a file, memfd and anonymous memory
pc_with_four_backends_shows_all() {
	echo 16 >/proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" = 16 ]
	guest_start -M pc -m 64M \
		-object memory-backend-memfd,id=m0,size=16M,hugetlb=on,hugetlbsize=2M \
		-object "memory-backend-file,id=m1,size=16M,mem-path=$work/ram,share=on" \
		-object memory-backend-memfd,id=m2,size=16M,share=off \
		-object memory-backend-ram,id=m3,size=16M,prealloc=on \
		-numa node,memdev=m0 -numa node,memdev=m1 \
		-numa node,memdev=m2 -numa node,memdev=m3
	layout_is_told
	remotemap info --qemu "$monitor" | grep -q ' 2.0 MiB .* m0$'
	fill_is_shown 0x400000 0xff8000 0x1ff8000 0x2ff8000
	saved_is_read 0x100000 0x3f00000
	guest_end
	echo 0 >/proc/sys/vm/nr_hugepages
}

tests pc_shows_what_the_guest_wrote microvm_shows_what_the_guest_wrote \
	q35_with_two_backends_shows_both pc_with_four_backends_shows_all
