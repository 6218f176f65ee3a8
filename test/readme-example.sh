#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The C code that README and the tutorial show is that of examples/, to the letter.
# That it compiles, the Makefile shows; that it does what it says, test_library and
# test_tutorial do.

set -eu

cd "$(dirname "$0")/.."
awk '/^```$/ { code = 0 } code; /^```c$/ { code = 1 }' README.md |
	diff - examples/peek.c
awk '/^```$/ { code = 0 } code; /^```c file=find_text.c$/ { code = 1 }' \
	docs/tutorial.md | diff - examples/find_text.c
