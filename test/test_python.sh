#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The Python package, under the Python that Debian has: python/tests. Says so, and
# skips, where there is none.

here=$(dirname "$0")
real=$(realpath "$(command -v python3)" 2>/dev/null)
case ${real##*/} in
python3*) ;;
*)
	echo "1..0 # SKIP python3 is not there (--with python3-minimal)"
	exit 4
	;;
esac
# Where update-alternatives would make links, which nothing ran here
LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/usr/lib/x86_64-linux-gnu/blas
LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/usr/lib/x86_64-linux-gnu/lapack
export LD_LIBRARY_PATH
PYTHONPATH=$here/python exec python3 -B "$here/python/tests" "$@"
