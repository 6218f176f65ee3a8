# SPDX-License-Identifier: GPL-2.0
"""Every call and error of the package, on another Python that is alive.

A test that is to die, or that could take the interpreter with it, does so in a
process of its own.
"""

from __future__ import annotations

import array
import errno
import gc
import os
import pickle
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import unittest
from typing import Any

import remotemap
from source import PAGE, Source, descriptors

TEXT = b"what the source has"
NOBODY = 65534
TABLE = 512  # pages that one page table maps


def mapped(address: int) -> str | None:
    """The line of /proc/self/maps that has this address."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if begin <= address < end:
                return line
    return None


def place(view: memoryview) -> int:
    """Where a memoryview begins."""
    with remotemap._lib.memory_of(view) as (address, _):
        return address


def python(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Another interpreter that runs it to its end."""
    return subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **options,
    )


class Case(unittest.TestCase):
    """One source for all tests of a class; what each of them makes there is new."""

    source: Source

    @classmethod
    def setUpClass(cls) -> None:
        cls.source = Source()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.source.end()

    def says(self, code: int, *words: str) -> Any:
        """What is in the block raises OSError with that number and these words."""
        case = self

        class Says:
            def __enter__(self) -> None:
                pass

            def __exit__(self, kind: Any, value: Any, _: Any) -> bool:
                case.assertIsInstance(value, OSError, "nothing was raised")
                case.assertEqual(code, value.errno, value)
                for word in words:
                    case.assertIn(word, str(value))
                return True

        return Says()

    def show(self, pages: int = 2, **options: Any) -> tuple[remotemap.Remote, int]:
        """New memory of the source, opened and in a view at its address."""
        address = self.source.memory("m", pages, TEXT)
        remote = remotemap.open(self.source.pid, write=options.pop("write", False))
        self.addCleanup(remote.close)
        remote.add(address, pages * PAGE, **options)
        return remote, address


class Opening(Case):
    def sees(self, remote: remotemap.Remote) -> None:
        with remote:
            address = self.source.memory("m", 1, TEXT)
            remote.add(address, PAGE)
            self.assertEqual(TEXT, remote.read(address, len(TEXT)))
            self.assertEqual(self.source.pid, remote.pid)

    def test_pid(self) -> None:
        self.sees(remotemap.open(self.source.pid))

    def test_pidfd(self) -> None:
        pidfd = os.pidfd_open(self.source.pid)
        self.sees(remotemap.open_pidfd(pidfd))
        os.close(pidfd)

    def test_mem_given_as_a_file(self) -> None:
        with open(f"/proc/{self.source.pid}/mem", "rb") as mem:
            self.sees(remotemap.open_mem(mem))
            self.assertFalse(mem.closed)

    def test_identity_view_has_addresses_for_offsets(self) -> None:
        address = self.source.memory("m", 1, TEXT)
        with remotemap.open(self.source.pid, identity=True) as remote:
            self.assertEqual(TEXT, remote.read(address, len(TEXT)))
            self.assertEqual(
                [remotemap.View(0, 0, remotemap.address_space(), False, False)],
                remote.views(),
            )

    def test_identity_view_readonly_and_resident(self) -> None:
        with remotemap.open(
            self.source.pid, write=True, identity=True, readonly=True, resident=True
        ) as remote:
            self.assertTrue(remote.writable)
            self.assertTrue(remote.views()[0].readonly)
            self.assertTrue(remote.views()[0].resident)

    def test_readonly_without_identity_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "identity=True"):
            remotemap.open(self.source.pid, readonly=True)

    def test_no_such_process(self) -> None:
        source = Source()
        source.end()
        with self.says(errno.ESRCH, "ended"):
            remotemap.open(source.pid)
        self.assertRaises(ProcessLookupError, remotemap.open, source.pid)

    def test_kernel_thread_has_no_memory(self) -> None:
        with self.says(errno.ESRCH, "kernel thread"):
            remotemap.open(2)

    def test_what_is_no_pid(self) -> None:
        self.assertRaises(OverflowError, remotemap.open, -1)
        self.assertRaises(OverflowError, remotemap.open, 1 << 32 | self.source.pid)
        self.assertRaises(TypeError, remotemap.open, str(self.source.pid))

    def test_without_the_right_says_what_it_takes(self) -> None:
        seen = python(
            f"import remotemap; remotemap.open({self.source.pid})", user=NOBODY
        )
        self.assertEqual(1, seen.returncode)
        self.assertRegex(seen.stderr, "PermissionError: .*ptrace_scope")

    def test_without_the_module_says_what_to_do(self) -> None:
        os.rename("/dev/mirror-proc", "/dev/mirror-proc.away")
        try:
            with self.says(errno.ENODEV, "modprobe remote_mapping"):
                remotemap.open(self.source.pid)
        finally:
            os.rename("/dev/mirror-proc.away", "/dev/mirror-proc")

    def test_too_many_files(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors(), hard))
        try:
            with self.says(errno.EMFILE, "ulimit"):
                remotemap.open(self.source.pid)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_pidfd_that_is_none(self) -> None:
        with open("/dev/null", "rb") as null:
            with self.says(errno.EBADF, "pidfd"):
                remotemap.open_pidfd(null)
        with self.says(errno.EBADF):
            remotemap.open_pidfd(-1)

    def test_mem_that_is_none(self) -> None:
        with open("/dev/zero", "rb") as zero:
            with self.says(errno.EBADF, "/proc/PID/mem"):
                remotemap.open_mem(zero)

    def test_mem_for_reading_cannot_be_opened_for_writing(self) -> None:
        with open(f"/proc/{self.source.pid}/mem", "rb") as mem:
            self.assertRaises(OSError, remotemap.open_mem, mem, write=True)

    def test_oneself_is_read_and_not_mapped(self) -> None:
        memory = bytearray(TEXT)
        with remotemap.open_self(identity=True) as remote:
            with remotemap._lib.memory_of(memory) as (address, size):
                self.assertEqual(TEXT, remote.read(address, size))
                with self.says(errno.EINVAL, "own memory"):
                    remote.map(address, size)

    def test_map_file_that_is_none(self) -> None:
        with open("/dev/zero", "rb") as zero:
            with self.says(errno.EBADF, "no map file"):
                remotemap.open_map(zero)

    def test_map_file_alone_shows_and_is_not_shaped(self) -> None:
        owner, address = self.show()
        with remotemap.open_map(owner) as remote:
            self.assertEqual(TEXT, remote.read(address, len(TEXT)))
            self.assertEqual(owner.views(), remote.views())
            for call in (
                lambda: remote.add(address, PAGE, offset=0),
                lambda: remote.remove(address, 2 * PAGE),
                remote.lock,
                lambda: remote.ctrl_fd,
            ):
                with self.says(errno.EPERM, "whoever made it"):
                    call()
        # What was given stays its owner's.
        self.assertEqual(TEXT, owner.read(address, len(TEXT)))

    def test_closed_is_said(self) -> None:
        remote, address = self.show()
        self.assertFalse(remote.closed)
        remote.close()
        remote.close()
        self.assertTrue(remote.closed)
        self.assertIn("closed", repr(remote))
        for call in (
            remote.fileno,
            remote.views,
            lambda: remote.map(address, 1),
            lambda: remote.read(address, 1),
            lambda: remote.wait(0),
            remote.__enter__,
        ):
            self.assertRaisesRegex(ValueError, "closed", call)

    def test_files_are_closed(self) -> None:
        self.show()[0].close()
        before = descriptors()
        for _ in range(3):
            remote, address = self.show()
            view = remote.map(address, PAGE)
            remote.close()
        self.assertEqual(before, descriptors())
        view.release()

    def test_is_not_inherited_by_a_program(self) -> None:
        remote, _ = self.show()
        for fd in (remote.fileno(), remote.ctrl_fd):
            self.assertFalse(os.get_inheritable(fd))

    def test_is_made_by_calls_only(self) -> None:
        remote, _ = self.show()
        self.assertRaises(TypeError, remotemap.Remote)
        self.assertRaises(TypeError, pickle.dumps, remote)
        self.assertRaises(TypeError, pickle.dumps, remote._handle)


class Views(Case):
    def test_are_listed(self) -> None:
        remote, address = self.show(4)
        remote.remove(address, 4 * PAGE)
        self.assertEqual(0, remote.add(address, PAGE, offset=0))
        self.assertEqual(
            8 * PAGE, remote.add(address + PAGE, PAGE, offset=8 * PAGE, readonly=True)
        )
        self.assertEqual(address, remote.add(address, PAGE, resident=True))
        self.assertEqual(
            [
                remotemap.View(0, address, PAGE, False, False),
                remotemap.View(8 * PAGE, address + PAGE, PAGE, True, False),
                remotemap.View(address, address, PAGE, False, True),
            ],
            remote.views(),
        )
        self.assertEqual(TEXT, remote.read(0, len(TEXT)))

    def test_not_page_aligned(self) -> None:
        remote, address = self.show()
        with self.says(errno.EINVAL, hex(address + 1), "multiples of 4096"):
            remote.add(address + 1, PAGE)
        with self.says(errno.EINVAL):
            remote.add(address, 0, offset=0)

    def test_what_does_not_fit_is_not_cut(self) -> None:
        remote, address = self.show()
        self.assertRaises(OverflowError, remote.add, 1 << 64 | address, PAGE)
        self.assertRaises(OverflowError, remote.add, address, -PAGE)
        self.assertRaises(OverflowError, remote.read, 1 << 64 | address, 1)
        self.assertRaises(TypeError, remote.add, float(address), PAGE)

    def test_overlap(self) -> None:
        remote, address = self.show()
        with self.says(errno.EALREADY, "another offset"):
            remote.add(address, PAGE)

    def test_remove_makes_a_hole(self) -> None:
        remote, address = self.show()
        remote.add(address, PAGE, offset=0)
        remote.remove(0, PAGE)
        self.assertRaises(remotemap.HoleError, remote.read, 0, 1)

    def test_remove_what_is_not_there(self) -> None:
        remote, address = self.show()
        with self.says(errno.EINVAL, "views()"):
            remote.remove(address, PAGE)

    def test_lock_is_for_ever(self) -> None:
        remote, address = self.show()
        remote.lock()
        self.assertTrue(remote.stat().locked)
        with self.says(errno.EPERM, "locked"):
            remote.add(address, PAGE, offset=0)
        with self.says(errno.EPERM, "locked"):
            remote.remove(address, 2 * PAGE)

    def test_of_what_has_ended(self) -> None:
        source = Source()
        with remotemap.open(source.pid) as remote:
            source.end()
            self.assertTrue(remote.wait())
            with self.says(errno.ESRCH, "ended"):
                remote.add(0, PAGE)


class Mirrors(Case):
    def test_are_the_memory_itself(self) -> None:
        remote, address = self.show(write=True)
        view = remote.map(address, 2 * PAGE, write=True)
        self.assertEqual(TEXT, bytes(view[: len(TEXT)]))
        self.source.run("m[0:4] = b'WHAT'")
        self.assertEqual(b"WHAT", bytes(view[:4]))
        view[5:8] = b"THE"
        self.assertEqual(b"WHAT THE", self.source.run("result = m[:8]"))
        self.assertEqual("B", view.format)
        self.assertEqual(2 * PAGE, len(view))

    def test_begin_at_any_byte(self) -> None:
        remote, address = self.show()
        view = remote.map(address + 5, 3)
        self.assertEqual(b"the", bytes(view))
        self.assertEqual(3, view.nbytes)
        view = remote.map(address + PAGE - 1, 2)
        self.assertEqual(b"\0\0", bytes(view))

    def test_for_reading_are_readonly(self) -> None:
        remote, address = self.show(write=True)
        view = remote.map(address, PAGE)
        self.assertTrue(view.readonly)
        with self.assertRaises(TypeError):
            view[0] = 1
        with self.assertRaises(TypeError):
            memoryview(view.obj)[0] = 1  # type: ignore[arg-type]

    def test_for_writing_take_a_file_for_writing(self) -> None:
        remote, address = self.show()
        with self.says(errno.EACCES, "write=True"):
            remote.map(address, PAGE, write=True)

    def test_of_no_view(self) -> None:
        remote, _ = self.show()
        with self.says(errno.EINVAL, "add()"):
            remote.map(0, PAGE)

    def test_of_no_size(self) -> None:
        remote, address = self.show()
        with self.says(errno.EINVAL, "at least a byte"):
            remote.map(address, 0)

    def test_larger_than_there_is_room_for(self) -> None:
        with remotemap.open(self.source.pid, identity=True) as remote:
            for bits in (48, 62):
                with self.says(errno.ENOMEM):
                    remote.map(0, 1 << bits)

    def test_of_what_has_ended(self) -> None:
        source = Source()
        address = source.memory("m", 1)
        with remotemap.open(source.pid) as remote:
            remote.add(address, PAGE)
            source.end()
            remote.wait()
            with self.says(errno.ESRCH, "ended"):
                remote.map(address, PAGE)

    def pages(self, **options: Any) -> tuple[int, int]:
        """How many pages a mirror has when it is made, and when one is touched.

        They are one page table of the source, and that one is in its middle: however
        the mirror lies to its own page tables, half of them are in one with it.
        """
        address = self.source.memory("m", 2 * TABLE)
        begin = -(-address // (TABLE * PAGE)) * TABLE * PAGE
        self.source.run(
            "m.madvise(mmap.MADV_NOHUGEPAGE)\n"
            "for n in range(0, len(m), 4096): m[n] = 1"
        )
        with remotemap.open(self.source.pid) as remote:
            remote.add(begin, TABLE * PAGE)
            with remote.map(begin, TABLE * PAGE, **options) as view:
                made = remote.stat().pages_mapped
                self.assertEqual(1, view[TABLE // 2 * PAGE])
                return made, remote.stat().pages_mapped

    def test_populate_maps_all(self) -> None:
        self.assertEqual((TABLE, TABLE), self.pages(populate=True))

    def test_random_maps_one_page(self) -> None:
        self.assertEqual((0, 1), self.pages(random=True))

    def test_sequential_maps_more_than_usual(self) -> None:
        usual = self.pages()
        much = self.pages(sequential=True)
        self.assertEqual(0, usual[0])
        self.assertGreater(usual[1], 1)
        self.assertEqual(0, much[0])
        self.assertGreater(much[1], usual[1])

    def test_sequential_and_random_exclude_each_other(self) -> None:
        remote, address = self.show()
        with self.assertRaises(ValueError):
            remote.map(address, PAGE, sequential=True, random=True)

    def test_huge_pages_of_the_source_are_huge_pages(self) -> None:
        huge = 2 << 20
        with open("/sys/kernel/mm/transparent_hugepage/enabled", "rb") as enabled:
            if b"[never]" in enabled.read():
                self.skipTest("no huge pages here")
        address = self.source.run(
            f"h = mmap.mmap(-1, {4 * huge}, mmap.MAP_PRIVATE)\n"
            "h.madvise(mmap.MADV_HUGEPAGE)\n"
            f"for n in range(0, len(h), 4096): h[n] = 1\n"
            "result = address(h)"
        )
        begin = -(-address // huge) * huge
        if not any(
            region.huge >= 3 * huge
            for region in remotemap.regions(self.source.pid)
            if region.start <= begin < region.end
        ):
            self.skipTest("the source got no huge pages")
        with remotemap.open(self.source.pid) as remote:
            remote.add(begin, 3 * huge)
            with remote.map(begin, 3 * huge) as view:
                self.assertEqual(1, view[huge])
                self.assertEqual(begin % huge, place(view) % huge)
            self.assertEqual(1, remote.stat().huge_pages_mapped)

    def test_cast_and_array(self) -> None:
        remote, address = self.show(write=True)
        self.source.run("import struct; m[:16] = struct.pack('QQ', 7, 8)")
        view = remote.map(address, PAGE, write=True)
        words = view.cast("Q")
        self.assertEqual([7, 8], list(words[:2]))
        words[1] = 9
        self.assertEqual(9, self.source.run("result = m[8]"))
        numbers = array.array("Q")
        numbers.frombytes(view[:16])
        self.assertEqual(array.array("Q", [7, 9]), numbers)

    def test_numpy(self) -> None:
        try:
            import numpy
        except ImportError as error:
            self.skipTest(f"numpy is not there: {error}")
        remote, address = self.show(write=True)
        numbers = numpy.frombuffer(remote.map(address, PAGE, write=True), "u8")
        where = numbers.ctypes.data
        self.source.run("m[8:16] = (77).to_bytes(8, 'little')")
        self.assertEqual(77, numbers[1])
        numbers[2] = 78
        self.assertEqual(78, self.source.run("result = m[16]"))
        remote.close()
        self.assertEqual(77, numbers[1])
        part = numbers[1:]
        del numbers
        self.assertIsNotNone(mapped(where))
        del part
        self.assertIsNone(mapped(where))
        fixed = numpy.frombuffer(self.show()[0].map(self.source.run(
            "result = address(m)"), PAGE), "u1")
        with self.assertRaises(ValueError):
            fixed[0] = 1
        with self.assertRaises(ValueError):
            fixed.flags.writeable = True


class Lifetime(Case):
    def test_release_unmaps(self) -> None:
        remote, address = self.show()
        view = remote.map(address, PAGE)
        where = place(view)
        self.assertIsNotNone(mapped(where))
        view.release()
        self.assertIsNone(mapped(where))
        with self.assertRaises(ValueError):
            bytes(view)

    def test_block_unmaps(self) -> None:
        remote, address = self.show()
        with remote.map(address, PAGE) as view:
            where = place(view)
        self.assertIsNone(mapped(where))

    def test_view_outlives_close(self) -> None:
        remote, address = self.show()
        view = remote.map(address, PAGE)
        remote.close()
        del remote
        gc.collect()
        self.source.run("m[0:4] = b'more'")
        self.assertEqual(b"more", bytes(view[:4]))

    def test_slice_and_cast_keep_it(self) -> None:
        remote, address = self.show()
        view = remote.map(address, PAGE)
        where = place(view)
        part = view[8:16].cast("Q")
        view.release()
        del view
        gc.collect()
        self.assertIsNotNone(mapped(where))
        part[0]
        del part
        self.assertIsNone(mapped(where))

    def test_owner_cannot_be_closed_below_a_view(self) -> None:
        remote, address = self.show()
        view = remote.map(address, PAGE)
        with self.assertRaises(BufferError):
            view.obj.close()  # type: ignore[attr-defined]
        self.assertEqual(TEXT[0], view[0])

    def test_reserved_room_goes_with_it(self) -> None:
        remote, address = self.show(1024)
        view = remote.map(address, 1024 * PAGE)
        first = place(memoryview(view.obj))
        last = first + len(view.obj) - 1  # type: ignore[arg-type]
        self.assertIsNotNone(mapped(last))
        del view
        self.assertIsNone(mapped(first))
        self.assertIsNone(mapped(last))

    def test_failure_leaves_nothing_mapped(self) -> None:
        remote, _ = self.show()

        def lines() -> int:
            with open("/proc/self/maps", "rb") as maps:
                return len(maps.readlines())

        def fails() -> None:
            with self.says(errno.EINVAL):
                remote.map(0, 1 << 30)

        fails()
        before = lines()
        for _ in range(10):
            fails()
        self.assertLess(lines(), before + 10)

    def test_last_finalizer_of_a_cycle_still_sees_it(self) -> None:
        remote, address = self.show()
        seen = []

        class Node:
            def __del__(self) -> None:
                seen.append(bytes(self.view[: len(TEXT)]))

        nodes = [Node() for _ in range(10)]
        view = remote.map(address, PAGE)
        where = place(view)
        for node, other in zip(nodes, nodes[1:] + nodes[:1]):
            node.other = other  # type: ignore[attr-defined]
            node.view = view  # type: ignore[attr-defined]
            node.all = nodes  # type: ignore[attr-defined]
        del view, nodes, node, other
        gc.collect()
        self.assertEqual([TEXT] * 10, seen)
        self.assertIsNone(mapped(where))

    def test_handle_in_a_cycle_is_closed_or_whole(self) -> None:
        said = []

        class Node:
            def __del__(self) -> None:
                try:
                    said.append(len(self.remote.views()))
                except ValueError as error:
                    said.append(str(error))

        for _ in range(10):
            node = Node()
            node.remote, _address = self.show()  # type: ignore[attr-defined]
            self.doCleanups()
            node.remote = remotemap.open(self.source.pid)  # type: ignore[attr-defined]
            node.itself = node  # type: ignore[attr-defined]
        del node
        gc.collect()
        self.assertEqual(10, len(said))
        self.assertLessEqual(set(said), {0, "this Remote is closed"})

    def test_close_while_another_thread_waits(self) -> None:
        source = Source()
        remote = remotemap.open(source.pid)
        before = threading.Event()
        result = []

        def wait() -> None:
            before.set()
            result.append(remote.wait())

        thread = threading.Thread(target=wait)
        thread.start()
        before.wait()
        remote.close()
        source.end()
        thread.join()
        # It had begun by then, or was told; it never used what was gone.
        self.assertIn(result, ([True], []))

    def test_threads_map_and_release_at_once(self) -> None:
        remote, address = self.show()
        wrong = []

        def work() -> None:
            for _ in range(50):
                view = remote.map(address, PAGE)
                if bytes(view[: len(TEXT)]) != TEXT:
                    wrong.append(bytes(view))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)

    def child(self, view: memoryview, touch: bool) -> int:
        """What becomes of a child that has this view: the status of waitpid()."""
        pid = os.fork()
        if not pid:
            try:
                signal.signal(signal.SIGSEGV, signal.SIG_DFL)
                if touch:
                    view[0]
                    os._exit(1)
                line = mapped(place(view)) or ""
                kept = "---p" in line
                where = place(view)
                view.release()
                os._exit(0 if kept and mapped(where) is None else 2)
            finally:
                os._exit(3)
        return os.waitpid(pid, 0)[1]

    def test_child_has_nothing_in_its_place(self) -> None:
        for write in (False, True):
            remote, address = self.show(write=True)
            view = remote.map(address, PAGE, write=write)
            self.assertEqual(0, os.waitstatus_to_exitcode(self.child(view, False)))
            # The parent's is as it was.
            self.assertEqual(TEXT[0], view[0])

    def test_child_that_touches_it_dies(self) -> None:
        remote, address = self.show()
        status = self.child(remote.map(address, PAGE), True)
        self.assertEqual(-signal.SIGSEGV, os.waitstatus_to_exitcode(status))


class Copying(Case):
    def test_read_and_write(self) -> None:
        remote, address = self.show(write=True)
        self.assertEqual(b"source", remote.read(address + 9, 6))
        self.assertEqual(3, remote.write(address + 9, b"SOU"))
        self.assertEqual(b"SOUrce", self.source.run("result = m[9:15]"))
        self.assertEqual(2, remote.write(address, memoryview(b"abcd")[::1][:2]))
        self.assertEqual(b"", remote.read(address, 0))

    def test_readinto(self) -> None:
        remote, address = self.show()
        data = bytearray(b"." * 8)
        self.assertEqual(4, remote.readinto(address, memoryview(data)[2:6]))
        self.assertEqual(b"..what..", data)
        self.assertRaises(BufferError, remote.readinto, address, b"fixed")
        self.assertRaises(TypeError, remote.readinto, address, 4)

    def test_a_hole_ends_it(self) -> None:
        remote, address = self.show(3)
        self.source.punch("m", 1)
        data = remote.read(address, 3 * PAGE)
        self.assertEqual(PAGE, len(data))
        self.assertTrue(data.startswith(TEXT))

    def test_a_hole_first_is_an_error(self) -> None:
        remote, address = self.show(3, write=True)
        self.source.punch("m", 1)
        with self.assertRaises(remotemap.HoleError) as hole:
            remote.read(address + PAGE + 5, 10)
        self.assertEqual(errno.EFAULT, hole.exception.errno)
        self.assertEqual(address + PAGE + 5, hole.exception.offset)
        self.assertIn(hex(address + PAGE + 5), str(hole.exception))
        with self.assertRaises(remotemap.HoleError):
            remote.write(address + PAGE, b"x")
        again = pickle.loads(pickle.dumps(hole.exception))
        self.assertEqual(hole.exception.offset, again.offset)
        self.assertEqual(str(hole.exception), str(again))

    def test_the_end_is_no_error(self) -> None:
        remote, address = self.show()
        self.assertEqual(b"", remote.read(address + 2 * PAGE, 10))
        self.assertEqual(PAGE, len(remote.read(address + PAGE, 2 * PAGE)))

    def test_write_takes_a_file_for_writing(self) -> None:
        remote, address = self.show()
        with self.says(errno.EACCES, "write=True"):
            remote.write(address, b"x")

    def test_write_to_a_readonly_view(self) -> None:
        remote, address = self.show(write=True, readonly=True)
        with self.assertRaisesRegex(remotemap.HoleError, "readonly"):
            remote.write(address, b"x")

    def test_data_and_holes(self) -> None:
        remote, address = self.show(5)
        self.source.punch("m", 1, 2)
        end = address + 5 * PAGE
        self.assertEqual(address, remote.next_data(0))
        self.assertEqual(address + PAGE, remote.next_hole(address))
        self.assertEqual(address + 3 * PAGE, remote.next_data(address + PAGE))
        self.assertEqual(end, remote.next_hole(address + 3 * PAGE))
        self.assertIsNone(remote.next_data(end))
        self.assertIsNone(remote.next_hole(end))
        self.assertEqual(
            [(address, address + PAGE), (address + 3 * PAGE, end)],
            list(remote.extents()),
        )
        self.assertEqual(
            [(address + 5, address + 7)], list(remote.extents(address + 5, address + 7))
        )

    def test_resident_view_has_what_is_in_memory(self) -> None:
        remote, address = self.show(4, resident=True)
        self.source.run("m[8192] = 1")
        self.assertEqual(
            [
                (address, address + PAGE),
                (address + 2 * PAGE, address + 3 * PAGE),
            ],
            list(remote.extents()),
        )
        self.assertRaises(remotemap.HoleError, remote.read, address + PAGE, 1)

    def test_of_what_has_ended(self) -> None:
        source = Source()
        address = source.memory("m", 1)
        with remotemap.open(source.pid, write=True) as remote:
            remote.add(address, PAGE)
            source.end()
            remote.wait()
            for call in (
                lambda: remote.read(address, 1),
                lambda: remote.write(address, b"x"),
                lambda: remote.next_data(address),
                lambda: remote.next_hole(address),
                lambda: remote.pid,
            ):
                with self.says(errno.ESRCH, "ended"):
                    call()


class End(Case):
    def test_wait_is_false_as_long_as_it_lives(self) -> None:
        remote, _ = self.show()
        self.assertIs(False, remote.wait(0))
        self.assertIs(False, remote.wait(0.01))
        self.assertIs(False, remote.stat().ended)

    def test_exit(self) -> None:
        source = Source()
        with remotemap.open(source.pid) as remote:
            source.process.kill()
            self.assertIs(True, remote.wait(float("inf")))
            self.assertIs(True, remote.wait(0))
            self.assertIs(True, remote.stat().ended)
        source.end()

    def test_exec(self) -> None:
        source = Source()
        with remotemap.open(source.pid) as remote:
            source.execute()
            self.assertIs(True, remote.wait(60))
        source.end()

    def test_a_signal_is_handled_and_wait_goes_on(self) -> None:
        source = Source()
        seen = []

        def handler(number: int, _frame: Any) -> None:
            seen.append(number)
            source.process.kill()

        before = signal.signal(signal.SIGALRM, handler)
        try:
            with remotemap.open(source.pid) as remote:
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                self.assertIs(True, remote.wait())
        finally:
            signal.signal(signal.SIGALRM, before)
        self.assertEqual([signal.SIGALRM], seen)
        source.end()

    def test_a_handler_that_raises_ends_wait(self) -> None:
        remote, _ = self.show()

        def handler(_number: int, _frame: Any) -> None:
            raise InterruptedError

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            self.assertRaises(InterruptedError, remote.wait)
        finally:
            signal.signal(signal.SIGALRM, before)


class HandingOver(Case):
    def test_map_file_goes_over_a_socket(self) -> None:
        remote, address = self.show()
        remote.lock()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            remote.send(ours)
            with remotemap.receive(theirs) as received:
                self.assertEqual(TEXT, received.read(address, len(TEXT)))
                self.assertFalse(os.get_inheritable(received.fileno()))
                with self.says(errno.EPERM):
                    received.lock()

    def test_a_process_lends_itself_to_one_without_rights(self) -> None:
        memory = bytearray(2 * PAGE)
        with remotemap._lib.memory_of(memory) as (begin, _):
            page = -(-begin // PAGE) * PAGE
            memory[page - begin : page - begin + len(TEXT)] = TEXT
            ours, theirs = socket.socketpair()
            with remotemap.open_self() as remote, ours, theirs:
                remote.add(page, PAGE, offset=0)
                remote.lock()
                remote.send(ours)
                seen = python(
                    "import remotemap, socket\n"
                    f"r = remotemap.receive(socket.socket(fileno={theirs.fileno()}))\n"
                    f"print(bytes(r.map(0, {len(TEXT)})))",
                    user=NOBODY,
                    pass_fds=[theirs.fileno()],
                )
        self.assertEqual(repr(TEXT), seen.stdout.strip(), seen.stderr)

    def test_what_is_no_map_file(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, open("/dev/null", "rb") as null:
            socket.send_fds(ours, [b"x"], [null.fileno()])
            before = descriptors()
            with self.says(errno.EBADF, "no map file"):
                remotemap.receive(theirs)
            self.assertEqual(before, descriptors())

    def test_no_descriptor(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.send(b"x")
            with self.says(errno.ENOMSG, "no descriptor"):
                remotemap.receive(theirs)

    def test_closed_by_the_other_side(self) -> None:
        remote, _ = self.show()
        ours, theirs = socket.socketpair()
        with ours:
            theirs.close()
            with self.says(errno.EPIPE, "closed"):
                remotemap.receive(ours)
            with self.says(errno.EPIPE, "closed"):
                remote.send(ours)


class Looking(Case):
    def test_regions(self) -> None:
        address = self.source.memory("m", 8, TEXT)
        self.source.run("m.madvise(mmap.MADV_NOHUGEPAGE); m[:] = bytes(range(256)) * 128")
        regions = remotemap.regions(self.source.pid)
        self.assertEqual(regions, sorted(regions, key=lambda region: region.start))
        one = next(r for r in regions if r.start <= address < r.end)
        self.assertEqual("anonymous", one.kind)
        self.assertTrue(one.read and one.write and one.shown)
        self.assertFalse(one.exec or one.shared)
        self.assertGreaterEqual(one.size, 8 * PAGE)
        self.assertGreaterEqual(one.resident, 8 * PAGE)
        self.assertEqual(PAGE, one.page_size)
        kinds = {region.kind for region in regions}
        self.assertLessEqual({"anonymous", "file", "heap", "stack", "special"}, kinds)
        program = os.path.realpath(sys.executable)
        code = next(r for r in regions if r.name == program and r.exec)
        status = os.stat(program)
        self.assertEqual("file", code.kind)
        self.assertEqual(status.st_ino, code.inode)
        self.assertEqual(
            (os.major(status.st_dev), os.minor(status.st_dev)), code.device
        )

    def test_brief_regions_have_no_sizes(self) -> None:
        full = remotemap.regions(self.source.pid)
        brief = remotemap.regions(self.source.pid, brief=True)
        self.assertEqual(
            [(r.start, r.end, r.name) for r in full],
            [(r.start, r.end, r.name) for r in brief],
        )
        self.assertEqual(0, sum(r.resident for r in brief))

    def test_regions_of_nobody(self) -> None:
        source = Source()
        source.end()
        with self.says(errno.ESRCH):
            remotemap.regions(source.pid)

    def test_regions_without_the_right(self) -> None:
        seen = python(
            f"import remotemap; remotemap.regions({self.source.pid})", user=NOBODY
        )
        self.assertIn("PermissionError", seen.stderr)

    def test_stat_counts(self) -> None:
        remote, address = self.show()
        before = remote.stat()
        self.assertEqual((self.source.pid, 1), (before.pid, before.views))
        with remote.map(address, PAGE) as view:
            view[0]
        after = remote.stat()
        self.assertEqual(before.faults + 1, after.faults)
        self.assertGreater(after.pages_mapped, before.pages_mapped)

    def test_stat_of_a_descriptor(self) -> None:
        remote, _ = self.show()
        seen = remotemap.stat_fd(os.getpid(), remote.fileno())
        assert seen
        self.assertEqual("map", seen[0])
        self.assertEqual(remote.stat().views, seen[1].views)
        seen = remotemap.stat_fd(os.getpid(), remote.ctrl_fd)
        assert seen
        self.assertEqual(("ctrl", self.source.pid), (seen[0], seen[1].pid))
        with open("/dev/null", "rb") as null:
            self.assertIsNone(remotemap.stat_fd(os.getpid(), null.fileno()))

    def test_version(self) -> None:
        self.assertRegex(remotemap.__version__, r"^\d+\.\d+\.\d+$")

    def test_all_that_is_public_has_a_docstring(self) -> None:
        for name in remotemap.__all__:
            self.assertTrue(getattr(remotemap, name).__doc__, name)
        for name, value in vars(remotemap.Remote).items():
            if not name.startswith("_"):
                self.assertTrue(value.__doc__, name)


class Guard(Case):
    def test_copy_ends_where_nothing_is(self) -> None:
        remote, address = self.show(4)
        view = remote.map(address, 4 * PAGE)
        self.assertEqual(bytes(view), remotemap.copy(view))
        self.source.punch("m", 2)
        data = remotemap.copy(view)
        self.assertEqual(2 * PAGE, len(data))
        self.assertTrue(data.startswith(TEXT))
        self.assertEqual(b"", remotemap.copy(view[2 * PAGE :]))
        self.assertEqual(PAGE, len(remotemap.copy(view[3 * PAGE :])))

    def test_find(self) -> None:
        remote, address = self.show(4)
        view = remote.map(address, 4 * PAGE)
        self.source.run("m[8190:8195] = b'needl'; m[3*4096] = 7")
        self.assertEqual(8190, remotemap.find(view, b"needl"))
        self.assertEqual(-1, remotemap.find(view, b"needl", 8191))
        self.assertEqual(8190, remotemap.find(view, b"needl", 8190))
        self.assertEqual(-1, remotemap.find(view, b"haystack"))
        self.assertEqual(-1, remotemap.find(view, b"x", 4 * PAGE + 1))
        self.source.punch("m", 1)
        self.assertEqual(5, remotemap.find(view, b"the"))
        with self.assertRaises(remotemap.HoleError) as hole:
            remotemap.find(view, b"haystack")
        self.assertEqual(PAGE, hole.exception.offset)
        self.assertEqual(3 * PAGE, remotemap.find(view, b"\7", 2 * PAGE))

    def test_survives_the_end_of_the_source(self) -> None:
        source = Source()
        address = source.memory("m", 1, TEXT)
        with remotemap.open(source.pid) as remote:
            remote.add(address, PAGE)
            view = remote.map(address, PAGE, populate=True)
            source.end()
            remote.wait()
            self.assertEqual(b"", remotemap.copy(view))
            self.assertRaises(remotemap.HoleError, remotemap.find, view, b"x")

    def test_takes_contiguous_buffers_only(self) -> None:
        self.assertRaises(BufferError, remotemap.copy, memoryview(b"abcd")[::2])
        self.assertRaises(TypeError, remotemap.copy, 5)
        self.assertEqual(b"abcd", remotemap.copy(b"abcd"))

    def dies(self, touch: str, after: str = "") -> None:
        seen = python(
            "import remotemap\n"
            f"r = remotemap.open({self.source.pid})\n"
            f"r.add({self.source.memory('m', 1)}, {PAGE}, offset=0)\n"
            f"r.add({self.source.run('result = address(m)')}, {PAGE}, offset={PAGE})\n"
            f"view = r.map(0, {2 * PAGE})\n"
            f"{after}\n"
            f"r.remove({PAGE}, {PAGE})\n"
            f"print(view[0], flush=True)\n"
            f"{touch}\n"
        )
        self.assertEqual("0\n", seen.stdout, seen.stderr)
        self.assertEqual(-signal.SIGBUS, seen.returncode)

    def test_a_bare_touch_of_a_hole_is_the_end(self) -> None:
        self.dies(f"view[{PAGE}]")

    def test_the_guard_is_over_after_the_call(self) -> None:
        self.dies(f"assert not remotemap.copy(view[{PAGE}:]); view[{PAGE}]")

    def test_faulthandler_still_tells_of_a_bare_touch(self) -> None:
        seen = python(
            "import faulthandler, remotemap\n"
            "faulthandler.enable()\n"
            f"r = remotemap.open({self.source.pid}, identity=True)\n"
            "view = r.map(0, 4096)\n"
            "assert remotemap.copy(view) == b''\n"
            "view[0]\n"
        )
        self.assertEqual(-signal.SIGBUS, seen.returncode, seen.stderr)
        self.assertRegex(seen.stderr, re.compile("Bus error.*line 6", re.DOTALL))


if __name__ == "__main__":
    unittest.main()
