# SPDX-License-Identifier: GPL-2.0
"""A Python of its own that does what it is told: the process that is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

PAGE = 4096

# Each line is the repr() of a program; what it leaves in `result` is the answer.
LOOP = """
import ctypes, mmap, os, sys
def address(m):
    return ctypes.addressof(ctypes.c_char.from_buffer(m))
for line in sys.stdin:
    result = None
    exec(eval(line))
    print(repr(result), flush=True)
"""


class Source:
    def __init__(self, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.pid = self.process.pid
        self.run("pass")

    def run(self, program: str) -> Any:
        """What the program leaves in result; the process waits again by then."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(repr(program) + "\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())

    def memory(self, name: str, pages: int, text: bytes = b"") -> int:
        """Make private memory under that name, text in front; its address."""
        address = self.run(
            f"{name} = mmap.mmap(-1, {pages * PAGE}, mmap.MAP_PRIVATE)\n"
            f"{name}[:{len(text)}] = {text!r}\n"
            f"result = address({name})"
        )
        assert isinstance(address, int)
        return address

    def punch(self, name: str, page: int, pages: int = 1) -> None:
        """Take these pages' addresses from it."""
        self.run(
            "munmap = ctypes.CDLL(None).munmap\n"
            "munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]\n"
            f"result = munmap(address({name}) + {page * PAGE}, {pages * PAGE})"
        )

    def execute(self) -> None:
        """Have it become another program, which waits for its input's end."""
        assert self.process.stdin
        self.process.stdin.write(repr("os.execv('/bin/cat', ['cat'])") + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """It is gone, and waited for, when this returns."""
        self.process.kill()
        self.process.communicate()


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
