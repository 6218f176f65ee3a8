# SPDX-License-Identifier: GPL-2.0
"""Run the tests and print TAP: python3 tests [-l] [-t WORD]...

A test's name is the promise that it holds. -t: only those whose names hold the
word; -l lists them.
"""

from __future__ import annotations

import faulthandler
import sys
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


class Tap(unittest.TestResult):
    """Each test is one line as soon as it is over, and why it failed before it."""

    number = 0

    def line(self, verdict: str, test: unittest.TestCase, more: str = "") -> None:
        self.number += 1
        name = test.id().split(".", 1)[1].replace("test_", "")
        print(f"{verdict} {self.number} python.{name}{more}", flush=True)

    def tell(self, error: Any) -> None:
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print("#", line)

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.line("ok", test)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.tell(err)
        self.line("not ok", test)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.addError(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.line("ok", test, f" # SKIP {reason}")


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def main(arguments: list[str]) -> int:
    words = [b for a, b in zip(arguments, arguments[1:]) if a == "-t"]
    found = unittest.defaultTestLoader.discover(str(Path(__file__).parent))
    tests = [
        test
        for test in flat(found)
        if not words or any(word in test.id() for word in words)
    ]
    if "-l" in arguments:
        print(*(test.id() for test in tests), sep="\n")
        return 0
    faulthandler.enable()
    print(f"1..{len(tests)}", flush=True)
    result = Tap()
    unittest.TestSuite(tests).run(result)
    return 0 if tests and not result.errors else 1


sys.exit(main(sys.argv[1:]))
