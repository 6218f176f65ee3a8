# SPDX-License-Identifier: LGPL-2.1-or-later
"""Map the memory of another process: zero-copy, live, writable.

    import remotemap

    with remotemap.open(pid) as r:
        r.add(address, size)                # page aligned; offset = address
        view = r.map(address, size)         # a memoryview of that memory itself
        print(bytes(view[:16]))             # what the process has there now

A memoryview that map() returns is the other process's memory, not a copy of it:
it can be sliced, cast, searched, and wrapped by numpy.frombuffer(). It stays
mapped until it and all that was made from it are gone, whatever happens to the
object it came from; close() does not take it away.

**Touching what is not there ends the interpreter.** Where the process has no
memory (any more), where it may not read itself, and everywhere once it has
ended, access through a memoryview raises the signal SIGBUS, which Python cannot
turn into an exception: the interpreter dies. So:

- read() and write() of a Remote copy, and raise HoleError instead;
- copy() and find() work on a memoryview, and are safe: they touch it in C, where
  a SIGBUS is caught;
- views with resident=True never disturb the process, and have more holes;
- touch a memoryview directly only where you know that the process keeps its
  memory, or in a process whose death does no harm.

There is no way to call a Python function with SIGBUS caught: leaving the
interpreter by a jump would break it. remotemap_guard(3) is for C. The first copy()
or find() installs a handler of SIGBUS, which passes on what is not its own. Who
takes that signal afterwards, by faulthandler.enable() or signal.signal(), takes it
from them, too: do that before.

After os.fork() the child has no mirrors: touching one there is SIGSEGV.

Errors of the system are OSError, with errno and a text that says what to do;
arguments of the wrong type or range are TypeError, ValueError, OverflowError.
All calls may be made by any number of threads. Concepts: remote_mapping(7).
"""

from __future__ import annotations

import ctypes
import errno
import math
import mmap
import os
import socket as _socket
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

from . import _library as _lib
from ._library import FileDescriptorLike, HoleError

__all__ = [
    "HoleError",
    "Region",
    "Remote",
    "Stat",
    "View",
    "address_space",
    "copy",
    "find",
    "open",
    "open_map",
    "open_mem",
    "open_pidfd",
    "open_self",
    "receive",
    "regions",
    "stat_fd",
]

__version__: str = _lib.version().decode()

_PAGE = mmap.PAGESIZE


# ---- what is told of a process and of a context ---------------------------------


@dataclass(frozen=True, slots=True)
class Region:
    """A range of a process's addresses. All sizes are in bytes."""

    start: int
    end: int
    #: anonymous, file, shmem, hugetlb, heap, stack, special, device, secret
    kind: str
    read: bool
    write: bool
    exec: bool
    shared: bool
    #: a mirror shows it: it can be read
    shown: bool
    #: MADV_DONTDUMP; and whether it has pages of its own, not its file's
    dontdump: bool
    modified: bool
    resident: int
    #: of what is resident, what is in huge pages
    huge: int
    swapped: int
    #: of the kernel's pages: larger than 4096 with hugetlb
    page_size: int
    #: where it begins in its file
    offset: int
    inode: int
    #: of the file's device: major, minor
    device: tuple[int, int]
    #: path, or a name in brackets, or ""
    name: str

    @property
    def size(self) -> int:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class View:
    """A range of the map file that stands for a range of the source's addresses."""

    offset: int
    address: int
    size: int
    readonly: bool
    resident: bool


@dataclass(frozen=True, slots=True)
class Stat:
    """What the kernel counts of a context, see mirror-proc(4)."""

    #: of the source, or 0 where it is not visible
    pid: int
    ended: bool
    locked: bool
    views: int
    faults: int
    pages_mapped: int
    huge_pages_mapped: int
    invalidations: int
    invalidations_hit: int
    retries: int


def _stat(stat: _lib.StatStruct) -> Stat:
    return Stat(
        stat.pid,
        bool(stat.ended),
        bool(stat.locked),
        stat.views,
        stat.faults,
        stat.pages_mapped,
        stat.huge_pages_mapped,
        stat.invalidations,
        stat.invalidations_hit,
        stat.retries,
    )


# ---- mirrors: how long they last ---------------------------------------------------
#
# A mirror replaces a part of a range that an mmap.mmap object has reserved. That
# object is what a memoryview exports: it unmaps the range, and the mirror with it,
# when it is deallocated, and Python's own reference counts see to it that no
# buffer is left by then. No finalizer is involved: the garbage collector may call
# one of those before the last finalizer that can still touch the memory.

_HUGE, _GIANT = 2 << 20, 1 << 30
_MAP_NORESERVE, _MAP_FIXED_NOREPLACE = 0x4000, 0x100000
_PROT_NONE = 0

# Where in its range each reserved object has a mirror: address and size
_mirrors: weakref.WeakKeyDictionary[mmap.mmap, tuple[int, int]]
_mirrors = weakref.WeakKeyDictionary()


def _reserve(size: int, write: bool) -> mmap.mmap:
    """Addresses with room for a mirror of so many bytes that has huge pages."""
    slack = _GIANT if size >= _GIANT else _HUGE if size >= _HUGE else 0
    # Python exports a buffer for writing where both are allowed.
    prot = mmap.PROT_READ | mmap.PROT_WRITE if write else _PROT_NONE
    return mmap.mmap(-1, size + slack, mmap.MAP_PRIVATE | _MAP_NORESERVE, prot)


def _keep_places_in_child() -> None:
    """A mirror is not inherited: see that nothing else comes to be in its place.

    Memoryviews that the child still has would show it, and unmap it.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    flags |= _MAP_NORESERVE | _MAP_FIXED_NOREPLACE
    for address, size in list(_mirrors.values()):
        _lib.c_mmap(address, size, _PROT_NONE, flags, -1, 0)


os.register_at_fork(after_in_child=_keep_places_in_child)


# ---- a context ------------------------------------------------------------------------


class _Handle:
    """The library's handle. Who is in a call holds this object, so that close()
    of another thread leaves the handle alone until that call has returned.
    """

    __slots__ = ("pointer",)

    def __init__(self, pointer: int) -> None:
        self.pointer: int | None = pointer

    def __del__(self, close: Any = _lib.close) -> None:
        # The garbage collector may come here while others can still ask.
        pointer, self.pointer = self.pointer, None
        if pointer is not None:
            close(pointer)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open process cannot be pickled or copied")


_NO_SUCH = "the process has ended, has no memory (a kernel thread), or is not in /proc"
_GONE = "the process has ended, or has executed another program"
_LOADED = (
    f"{_lib.DEVICE} is not there: load the module, as root: modprobe remote_mapping"
)
_MAY_NOT = (
    "opening the process's memory takes the right to trace it: the same user and"
    " /proc/sys/kernel/yama/ptrace_scope 0, or root; or let it lend itself"
)
_FILES = "too many open files: close some, or raise the limit (ulimit -n)"
_OPEN = {
    errno.ENODEV: _LOADED,
    errno.ESRCH: _NO_SUCH,
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.ENOENT: "mount /proc",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
}
_NO_CTRL = "the context is locked, or this is its map file alone: whoever made it can"
_VIEW = {
    errno.EPERM: _NO_CTRL,
    errno.ESRCH: _GONE,
    errno.EALREADY: "a view is there already: choose another offset",
    errno.ENOSPC: "a context has at most 262144 views: use fewer, larger ones",
}
_MAP = {
    errno.EACCES: "the map file is only readable: open(..., write=True)",
    errno.EINVAL: "no view is in that range, or it is this process's own memory,"
    " which can be read but not mapped: add() a view first",
    errno.ESRCH: _GONE,
    errno.ENOMEM: "no room for it: map less, or release other views",
}


class Remote:
    """One opened source: its map file, and its ctrl file where it was made here.

    open() and its kin make it. It is a context manager, which closes it.
    """

    __slots__ = ("_handle", "__weakref__")

    def __init__(self) -> None:
        raise TypeError("use remotemap.open() or another call that opens")

    @classmethod
    def _from(cls, pointer: ctypes.c_void_p) -> Remote:
        remote = object.__new__(cls)
        assert pointer.value is not None
        remote._handle = _Handle(pointer.value)
        return remote

    _handle: _Handle | None

    def __enter__(self) -> Remote:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open process cannot be pickled or copied")

    def __repr__(self) -> str:
        if self.closed:
            return "<remotemap.Remote closed>"
        return f"<remotemap.Remote map_fd={self.fileno()} writable={self.writable}>"

    def _open(self) -> tuple[_Handle, int]:
        """The handle: the caller keeps the first as long as it uses the second."""
        handle = self._handle
        pointer = handle.pointer if handle is not None else None
        if handle is None or pointer is None:
            raise ValueError("this Remote is closed")
        return handle, pointer

    def close(self) -> None:
        """Close its files. Memoryviews from map() stay, and stay live."""
        self._handle = None

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle is None

    def fileno(self) -> int:
        """The map file's descriptor, which stays this object's."""
        _handle, pointer = self._open()
        return _lib.check(_lib.map_fd(pointer), {})

    @property
    def ctrl_fd(self) -> int:
        """The ctrl file's descriptor, which stays this object's.

        PermissionError: there is none, for this is an existing map file.
        """
        _handle, pointer = self._open()
        return _lib.check(_lib.ctrl_fd(pointer), {errno.EPERM: _NO_CTRL})

    @property
    def pid(self) -> int:
        """The source's pid. ProcessLookupError: it has ended, or is not in /proc."""
        _handle, pointer = self._open()
        return _lib.check(_lib.pid(pointer), {errno.ESRCH: _NO_SUCH})

    @property
    def writable(self) -> bool:
        """Whether the map file can be written."""
        _handle, pointer = self._open()
        return bool(_lib.writable(pointer))

    # ---- views

    def add(
        self,
        address: SupportsIndex,
        size: SupportsIndex,
        *,
        offset: SupportsIndex | None = None,
        readonly: bool = False,
        resident: bool = False,
    ) -> int:
        """Add a view: show `size` bytes from `address` of the source on.

        It is at `offset` in the map file, by default at the address itself. All
        three are multiples of the page size. Nothing need be there yet.

        readonly: no viewer writes through it, whatever the map file allows.
        resident: it never makes the source fault; what is not in memory is a hole.

        Returns the offset. OSError: EINVAL, EALREADY (a view is there), EPERM
        (locked, or no ctrl file), ENOSPC, ESRCH (the source has ended).
        """
        _handle, pointer = self._open()
        at = _lib.number(address, "address")
        length = _lib.number(size, "size")
        to = at if offset is None else _lib.number(offset, "offset")
        flags = _lib.VIEW_READONLY if readonly else 0
        flags |= _lib.VIEW_RESIDENT if resident else 0
        reason = (
            f"address {at:#x}, size {length:#x} and offset {to:#x} must be multiples"
            f" of {_PAGE}, the size not 0, the end not past {address_space():#x}"
        )
        _lib.check(
            _lib.add(pointer, to, at, length, flags), _VIEW | {errno.EINVAL: reason}
        )
        return to

    def remove(self, offset: SupportsIndex, size: SupportsIndex) -> None:
        """Remove the view of exactly that offset and size.

        To touch a memoryview of it is SIGBUS from then on. OSError: EINVAL (no
        such view), EPERM (locked, or no ctrl file).
        """
        _handle, pointer = self._open()
        at, length = _lib.number(offset, "offset"), _lib.number(size, "size")
        reason = f"no view has offset {at:#x} and size {length:#x}: see views()"
        _lib.check(_lib.remove(pointer, at, length), _VIEW | {errno.EINVAL: reason})

    def lock(self) -> None:
        """From now on no view can be added or removed, for ever, by anybody."""
        _handle, pointer = self._open()
        _lib.check(_lib.lock(pointer), _VIEW)

    def views(self) -> list[View]:
        """All views, in the order of their offsets."""
        _handle, pointer = self._open()
        array = ctypes.POINTER(_lib.ViewStruct)()
        count = _lib.check(_lib.views(pointer, ctypes.byref(array)), {})
        try:
            return [
                View(
                    view.offset,
                    view.address,
                    view.size,
                    bool(view.flags & _lib.VIEW_READONLY),
                    bool(view.flags & _lib.VIEW_RESIDENT),
                )
                for view in array[:count]
            ]
        finally:
            _lib.free(array)

    def stat(self) -> Stat:
        """What the kernel counts of this context."""
        _handle, pointer = self._open()
        stat = _lib.StatStruct(size=ctypes.sizeof(_lib.StatStruct))
        _lib.check(_lib.stat(pointer, ctypes.byref(stat)), {})
        return _stat(stat)

    # ---- mirrors

    def map(
        self,
        offset: SupportsIndex,
        size: SupportsIndex,
        *,
        write: bool = False,
        populate: bool = False,
        sequential: bool = False,
        random: bool = False,
    ) -> memoryview:
        """Map a range of the map file: a memoryview of the source's memory itself.

        It need not be page aligned, and may span views and what lies between.
        TO TOUCH WHAT IS NOT THERE ENDS THE INTERPRETER BY SIGBUS: see the module.

        write: it can be written to, and the source has that at once.
        populate: touch all that is there now.
        sequential, random: how much is mapped at a touch: much, or one page.

        It stays mapped until the memoryview and all that was made from it (slices,
        casts, numpy arrays) are gone or released; close() leaves it alone. OSError:
        EACCES (not opened for writing), EINVAL (no view in the range), ESRCH,
        ENOMEM.
        """
        _handle, pointer = self._open()
        at, length = _lib.number(offset, "offset"), _lib.number(size, "size", 63)
        if not length:
            raise _lib.fail(errno.EINVAL, "the size is 0: map at least a byte")
        if sequential and random:
            raise ValueError("sequential and random exclude each other")
        pages = -(-(at % _PAGE + length) // _PAGE) * _PAGE
        try:
            place = _reserve(pages, write)
        except OverflowError:
            raise _lib.fail(errno.ENOMEM, _MAP[errno.ENOMEM]) from None
        with _lib.memory_of(place) as (reserved, reserved_length):
            options = _lib.MapOptions(
                size=ctypes.sizeof(_lib.MapOptions),
                flags=(write and _lib.MAP_WRITE)
                | (populate and _lib.MAP_POPULATE)
                | (sequential and _lib.MAP_SEQUENTIAL)
                | (random and _lib.MAP_RANDOM),
                reserved=reserved,
                reserved_length=reserved_length,
            )
            mirror = ctypes.c_void_p()
            _lib.check(
                _lib.map_range(
                    pointer, at, length, ctypes.byref(options), ctypes.byref(mirror)
                ),
                _MAP,
            )
        assert mirror.value is not None
        begin = mirror.value - reserved
        _mirrors[place] = (mirror.value - at % _PAGE, pages)
        with memoryview(place) as whole:
            return whole[begin : begin + length]

    # ---- copying

    def read(self, offset: SupportsIndex, size: SupportsIndex) -> bytes:
        """Copy up to `size` bytes out.

        Fewer: a hole or the end of the last view follows. b"": it is at or past
        that end. HoleError: the very first byte is not there.
        """
        data = bytearray(_lib.number(size, "size", 63))
        length = self.readinto(offset, data)
        del data[length:]
        return bytes(data)

    def readinto(self, offset: SupportsIndex, buffer: Any) -> int:
        """Copy into a writable bytes-like object; returns how many bytes, as read()."""
        _handle, pointer = self._open()
        at = _lib.number(offset, "offset")
        with _lib.memory_of(buffer, writable=True) as (address, length):
            result = _lib.read(pointer, address, length, at)
        if result == -errno.EFAULT:
            raise HoleError(
                f"nothing to read at offset {at:#x}: next_data() finds what is there",
                at,
            )
        return _lib.check(result, {errno.ESRCH: _GONE})

    def write(self, offset: SupportsIndex, data: Any) -> int:
        """Copy a bytes-like object to the source; returns how many bytes.

        Fewer than given: what the source may not write, a hole or the end follows.
        HoleError: nothing can be written at the very first byte. OSError: EACCES (not
        opened for writing), ESRCH.
        """
        _handle, pointer = self._open()
        at = _lib.number(offset, "offset")
        with _lib.memory_of(data) as (address, length):
            result = _lib.write(pointer, address, length, at)
        if result == -errno.EFAULT:
            raise HoleError(
                f"nothing can be written at offset {at:#x}: no memory, a readonly view,"
                " or what the process may not write itself",
                at,
            )
        return _lib.check(
            result,
            {
                errno.EACCES: "the map file is only readable: open(..., write=True)",
                errno.ESRCH: _GONE,
            },
        )

    def next_data(self, offset: SupportsIndex) -> int | None:
        """The first offset from there on that can be read; None: none follows."""
        return self._next(_lib.next_data, offset)

    def next_hole(self, offset: SupportsIndex) -> int | None:
        """The first offset from there on that cannot be read.

        The end of the last view counts as one. None: offset is at or past it.
        """
        return self._next(_lib.next_hole, offset)

    def _next(self, call: Any, offset: SupportsIndex) -> int | None:
        _handle, pointer = self._open()
        result = call(pointer, _lib.number(offset, "offset"))
        if result == -errno.ENXIO:
            return None
        return _lib.check(result, {errno.ESRCH: _GONE})

    def extents(
        self, start: SupportsIndex = 0, end: SupportsIndex | None = None
    ) -> Iterator[tuple[int, int]]:
        """All (begin, end) of what can be read now, from start to end.

        The source goes on: by the time you look, it may have changed.
        """
        at = _lib.number(start, "start")
        limit = 1 << 64 if end is None else _lib.number(end, "end")
        while at < limit:
            data = self.next_data(at)
            if data is None or data >= limit:
                return
            hole = self.next_hole(data)
            # What was there a moment ago may be gone, and the last view with it.
            at = max(data + 1, limit if hole is None else min(hole, limit))
            if hole is None or hole > data:
                yield data, at

    # ---- the end, and handing over

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the source's address space is gone: exit or exec.

        timeout is in seconds, None for ever. True: it is gone.
        """
        _handle, pointer = self._open()
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            left: float = 1 << 30
            if limit is not None:
                left = min(left, (limit - time.monotonic()) * 1000)
            result = _lib.wait(pointer, max(math.ceil(left), 0))
            # Interrupted: the interpreter runs the handlers of signals, which may
            # raise, before it comes here.
            if result not in (0, -errno.EINTR):
                return bool(_lib.check(result, {}))
            if limit is not None and time.monotonic() >= limit:
                return False

    def send(self, socket: _socket.socket) -> None:
        """Send the map file, and nothing else, over a connected Unix socket.

        Whoever receives it can see the views, and more are seen if they are added:
        lock() first.
        """
        _handle, pointer = self._open()
        _lib.check(
            _lib.send(_lib.descriptor(socket), pointer),
            {errno.EPIPE: "the other side has closed"},
        )


# ---- opening -------------------------------------------------------------------------


def _options(
    write: bool, identity: bool, readonly: bool, resident: bool
) -> _lib.OpenOptions:
    if (readonly or resident) and not identity:
        raise ValueError(
            "readonly and resident are of the identity view: identity=True; for"
            " other views, give them to add()"
        )
    flags = (
        (write and _lib.OPEN_WRITE)
        | (identity and _lib.OPEN_IDENTITY)
        | (readonly and _lib.OPEN_READONLY)
        | (resident and _lib.OPEN_RESIDENT)
    )
    return _lib.OpenOptions(size=ctypes.sizeof(_lib.OpenOptions), flags=flags)


def _opened(call: Any, *arguments: Any, reasons: dict[int, str] = _OPEN) -> Remote:
    pointer = ctypes.c_void_p()
    _lib.check(call(*arguments, ctypes.byref(pointer)), reasons)
    return Remote._from(pointer)


def open(
    pid: SupportsIndex,
    *,
    write: bool = False,
    identity: bool = False,
    readonly: bool = False,
    resident: bool = False,
) -> Remote:
    """Open a process by its pid.

    write: the map file can be written, too. identity: it has one view, of all
    memory, in which an offset is the source's address; readonly and resident are
    that view's, see Remote.add(). Without it there is no view yet.

    OSError: ESRCH (no such process), EACCES or EPERM (it may not be traced), ENODEV
    (the module is not loaded), EMFILE.
    """
    options = _options(write, identity, readonly, resident)
    number = _lib.number(pid, "pid", 31)
    return _opened(_lib.open_pid, number, ctypes.byref(options))


def open_pidfd(
    pidfd: FileDescriptorLike,
    *,
    write: bool = False,
    identity: bool = False,
    readonly: bool = False,
    resident: bool = False,
) -> Remote:
    """Open a process by what os.pidfd_open() gave: its pid cannot be another's by now.

    The rest as open(). EBADF: that is no pidfd.
    """
    options = _options(write, identity, readonly, resident)
    reasons = _OPEN | {errno.EBADF: "that is no pidfd: os.pidfd_open() makes one"}
    return _opened(
        _lib.open_pidfd, _lib.descriptor(pidfd), ctypes.byref(options), reasons=reasons
    )


def open_mem(
    mem: FileDescriptorLike,
    *,
    write: bool = False,
    identity: bool = False,
    readonly: bool = False,
    resident: bool = False,
) -> Remote:
    """Open a process by an open /proc/PID/mem, which stays the caller's.

    The rest as open(). EBADF: that is no such file, or not open as it takes.
    """
    options = _options(write, identity, readonly, resident)
    reasons = _OPEN | {
        errno.EBADF: "that is no open /proc/PID/mem",
        errno.EACCES: "that file is not open for writing, as write=True takes",
    }
    return _opened(
        _lib.open_mem, _lib.descriptor(mem), ctypes.byref(options), reasons=reasons
    )


def open_self(
    *,
    write: bool = False,
    identity: bool = False,
    readonly: bool = False,
    resident: bool = False,
) -> Remote:
    """Open this process, to lend memory to another by send(): takes no privilege."""
    options = _options(write, identity, readonly, resident)
    return _opened(_lib.open_self, ctypes.byref(options))


def open_map(map_file: FileDescriptorLike) -> Remote:
    """Take an existing map file, which stays the caller's: inherited, or received.

    It has no ctrl file: views cannot be added, removed or locked (EPERM). EBADF: it
    is no map file.
    """
    reasons = {errno.EBADF: "that is no map file", errno.EMFILE: _FILES}
    return _opened(_lib.open_map, _lib.descriptor(map_file), reasons=reasons)


def receive(socket: _socket.socket) -> Remote:
    """Receive a map file from a connected Unix socket: what send() sent.

    OSError: EBADF (no map file came), ENOMSG (no descriptor came), EPIPE (the other
    side has closed).
    """
    reasons = {
        errno.EBADF: "what came is no map file",
        errno.ENOMSG: "no descriptor came: the other side is to send a map file",
        errno.EPIPE: "the other side has closed without sending",
        errno.EMFILE: _FILES,
    }
    return _opened(_lib.receive, _lib.descriptor(socket), reasons=reasons)


# ---- looking at processes ----------------------------------------------------------------


def address_space() -> int:
    """The size of an address space, one past its last byte: of an identity view."""
    return int(_lib.address_space())


def _region(region: _lib.RegionStruct) -> Region:
    flags = region.flags
    return Region(
        region.start,
        region.end,
        _lib.kind_name(region.kind).decode(),
        bool(flags & _lib.REGION_READ),
        bool(flags & _lib.REGION_WRITE),
        bool(flags & _lib.REGION_EXEC),
        bool(flags & _lib.REGION_SHARED),
        bool(flags & _lib.REGION_SHOWN),
        bool(flags & _lib.REGION_DONTDUMP),
        bool(flags & _lib.REGION_MODIFIED),
        region.resident,
        region.huge,
        region.swapped,
        region.page_size,
        region.offset,
        region.inode,
        (region.major, region.minor),
        os.fsdecode(region.name),
    )


def regions(pid: SupportsIndex, *, brief: bool = False) -> list[Region]:
    """What a process has mapped, in the order of its addresses.

    brief: without resident, huge, swapped, page_size, dontdump and modified (they
    are 0 or False), which takes much less time. OSError: ESRCH, EACCES.
    """
    number = _lib.number(pid, "pid", 31)
    array = ctypes.POINTER(_lib.RegionStruct)()
    call = _lib.regions_brief if brief else _lib.regions
    count = _lib.check(call(number, ctypes.byref(array)), _OPEN)
    try:
        return [_region(region) for region in array[:count]]
    finally:
        _lib.regions_free(array, count)


def stat_fd(pid: SupportsIndex, fd: SupportsIndex) -> tuple[str, Stat] | None:
    """What descriptor fd of a process is to this module: who looks at whom.

    "map" or "ctrl", and what the kernel counts of that context; None: neither.
    """
    stat = _lib.StatStruct(size=ctypes.sizeof(_lib.StatStruct))
    kind = _lib.check(
        _lib.stat_fd(
            _lib.number(pid, "pid", 31), _lib.number(fd, "fd", 31), ctypes.byref(stat)
        ),
        _OPEN,
    )
    return (("map", "ctrl")[kind - 1], _stat(stat)) if kind else None


# ---- what is not there: SIGBUS --------------------------------------------------------------


def copy(view: Any) -> bytes:
    """What a memoryview from Remote.map(), or a slice of one, holds: as bytes(view).

    Where it is not there, it ends: what comes before is returned, maybe b"". Never
    SIGBUS.
    """
    with _lib.memory_of(view) as (address, size):
        data = bytearray(size)
        with _lib.memory_of(data, writable=True) as (to, _size):
            length = _lib.check(_lib.guard_copy(to, address, size), {})
    del data[length:]
    return bytes(data)


def find(view: Any, needle: Any, start: SupportsIndex = 0) -> int:
    """Where in a memoryview from Remote.map() the bytes needle begin, from start on.

    -1: nowhere. HoleError: a page is not there before it was found; its offset is
    where that begins, in the view: go on behind it. Never SIGBUS.
    """
    begin = _lib.number(start, "start", 63)
    with _lib.memory_of(view) as (address, size):
        with _lib.memory_of(needle) as (pattern, pattern_size):
            if begin > size:
                return -1
            at = ctypes.c_void_p()
            result = _lib.guard_find(
                address + begin, size - begin, pattern, pattern_size, ctypes.byref(at)
            )
            where = (at.value or address) - address
    if result == -errno.EFAULT:
        # The whole page is not there, wherever in it the search came first.
        where = max(where - (address + where) % _PAGE, begin)
        raise HoleError(f"nothing to read at {where:#x} of this view", where)
    return where if _lib.check(result, {}) else -1


