#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The README's C code is examples/peek.c, to the letter. That it compiles, the
# Makefile shows; that it does what it says, test_library does.

set -eu

cd "$(dirname "$0")/.."
awk '/^```$/ { code = 0 } code; /^```c$/ { code = 1 }' README.md |
	diff - examples/peek.c
