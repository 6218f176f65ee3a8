# SPDX-License-Identifier: LGPL-2.1-or-later
"""The C library's calls, and what passes between Python and them.

Invariants of this file: nothing is given to the library that does not fit its
type, for ctypes would cut it to size without a word; a buffer whose address is
given to it is held until the call has returned; each structure is that of
remotemap.h.
"""

from __future__ import annotations

import ctypes
import errno
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_ssize_t
from ctypes import c_uint, c_uint64, c_void_p
from typing import Any, Protocol, SupportsIndex

SONAME = "libremotemap.so.0"
DEVICE = "/dev/mirror-proc"

try:
    lib = ctypes.CDLL(SONAME)
except OSError as error:
    raise ImportError(
        f"{SONAME} cannot be loaded ({error}): install libremotemap0, or after"
        " make install run ldconfig"
    ) from error


class HasFileno(Protocol):
    """What has a descriptor: a file, a socket."""

    def fileno(self) -> int: ...


FileDescriptorLike = int | HasFileno


class HoleError(OSError):
    """What is asked for is not there: nothing to read, or nothing to write to.

    It is an OSError with errno EFAULT. `offset` is where the hole is: in the
    map file, or of copy() and find() in the view.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(errno.EFAULT, message)
        self.offset = offset

    def __reduce__(self) -> tuple[type[HoleError], tuple[str, int]]:
        return HoleError, (str(self.strerror), self.offset)


# ---- structures of remotemap.h ------------------------------------------------


class OpenOptions(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("flags", c_uint)]


class MapOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint),
        ("padding", c_uint),
        ("reserved", c_void_p),
        ("reserved_length", c_size_t),
    ]


class ViewStruct(ctypes.Structure):
    _fields_ = [
        ("offset", c_uint64),
        ("address", c_uint64),
        ("size", c_uint64),
        ("flags", c_uint),
        ("reserved", c_uint),
    ]


class StatStruct(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("pid", c_int),
        ("ended", c_int),
        ("locked", c_int),
        ("reserved", c_int),
        ("views", c_uint64),
        ("faults", c_uint64),
        ("pages_mapped", c_uint64),
        ("huge_pages_mapped", c_uint64),
        ("invalidations", c_uint64),
        ("invalidations_hit", c_uint64),
        ("retries", c_uint64),
    ]


class RegionStruct(ctypes.Structure):
    _fields_ = [
        ("start", c_uint64),
        ("end", c_uint64),
        ("kind", c_int),
        ("flags", c_uint),
        ("resident", c_uint64),
        ("huge", c_uint64),
        ("swapped", c_uint64),
        ("page_size", c_uint64),
        ("offset", c_uint64),
        ("inode", c_uint64),
        ("major", c_uint),
        ("minor", c_uint),
        ("name", c_char_p),
    ]


# enum's values and flags of remotemap.h and linux/remote_mapping.h
OPEN_WRITE, OPEN_IDENTITY, OPEN_READONLY, OPEN_RESIDENT = 1, 2, 4, 8
MAP_WRITE, MAP_POPULATE, MAP_SEQUENTIAL, MAP_RANDOM = 1, 2, 4, 8
VIEW_READONLY, VIEW_RESIDENT = 1, 2
REGION_READ, REGION_WRITE, REGION_EXEC, REGION_SHARED = 1, 2, 4, 8
REGION_SHOWN, REGION_DONTDUMP, REGION_MODIFIED = 16, 32, 64


# ---- calls ----------------------------------------------------------------------


def _declare(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(lib, "remotemap_" + name)
    function.restype = result
    function.argtypes = arguments
    return function


_handle_result = POINTER(c_void_p)

open_pid = _declare("open_pid", c_int, c_int, POINTER(OpenOptions), _handle_result)
open_pidfd = _declare("open_pidfd", c_int, c_int, POINTER(OpenOptions), _handle_result)
open_mem = _declare("open_mem", c_int, c_int, POINTER(OpenOptions), _handle_result)
open_self = _declare("open_self", c_int, POINTER(OpenOptions), _handle_result)
open_map = _declare("open_map", c_int, c_int, _handle_result)
close = _declare("close", None, c_void_p)
map_fd = _declare("map_fd", c_int, c_void_p)
ctrl_fd = _declare("ctrl_fd", c_int, c_void_p)
pid = _declare("pid", c_int, c_void_p)
writable = _declare("writable", c_int, c_void_p)
address_space = _declare("address_space", c_uint64)
add = _declare("add", c_int, c_void_p, c_uint64, c_uint64, c_uint64, c_uint)
remove = _declare("remove", c_int, c_void_p, c_uint64, c_uint64)
lock = _declare("lock", c_int, c_void_p)
views = _declare("views", c_ssize_t, c_void_p, POINTER(POINTER(ViewStruct)))
stat = _declare("stat", c_int, c_void_p, POINTER(StatStruct))
stat_fd = _declare("stat_fd", c_int, c_int, c_int, POINTER(StatStruct))
map_range = _declare(
    "map", c_int, c_void_p, c_uint64, c_size_t, POINTER(MapOptions), POINTER(c_void_p)
)
read = _declare("read", c_ssize_t, c_void_p, c_void_p, c_size_t, c_uint64)
write = _declare("write", c_ssize_t, c_void_p, c_void_p, c_size_t, c_uint64)
next_data = _declare("next_data", c_int64, c_void_p, c_uint64)
next_hole = _declare("next_hole", c_int64, c_void_p, c_uint64)
_regions_result = POINTER(POINTER(RegionStruct))
regions = _declare("regions", c_ssize_t, c_int, _regions_result)
regions_brief = _declare("regions_brief", c_ssize_t, c_int, _regions_result)
regions_free = _declare("regions_free", None, POINTER(RegionStruct), c_ssize_t)
kind_name = _declare("kind_name", c_char_p, c_int)
wait = _declare("wait", c_int, c_void_p, c_int)
send = _declare("send", c_int, c_int, c_void_p)
receive = _declare("receive", c_int, c_int, _handle_result)
guard_copy = _declare("guard_copy", c_ssize_t, c_void_p, c_void_p, c_size_t)
guard_find = _declare(
    "guard_find", c_int, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(c_void_p)
)
version = _declare("version", c_char_p)

_libc = ctypes.CDLL(None)
free = _libc.free
free.restype, free.argtypes = None, [c_void_p]
c_mmap = _libc.mmap
c_mmap.restype = c_void_p
c_mmap.argtypes = [c_void_p, c_size_t, c_int, c_int, c_int, c_int64]


# ---- arguments --------------------------------------------------------------------


def number(value: SupportsIndex, what: str, bits: int = 64) -> int:
    """An unsigned integer of so many bits; OverflowError if it is none."""
    result = operator.index(value)
    if not 0 <= result < 1 << bits:
        raise OverflowError(f"{what} is {result}: it must be from 0 to 2**{bits} - 1")
    return result


def descriptor(file: FileDescriptorLike) -> int:
    """The descriptor of a file, or one given as a number."""
    fd = file if isinstance(file, int) else file.fileno()
    # What is no descriptor for the kernel either.
    return fd if 0 <= fd < 1 << 31 else -1


class _Buffer(ctypes.Structure):
    """Py_buffer, whose layout is part of Python's stable ABI."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, POINTER(_Buffer), c_int]
_get_buffer.restype = c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(_Buffer)]
_release_buffer.restype = None
_PyBUF_SIMPLE, _PyBUF_WRITABLE = 0, 1


@contextmanager
def memory_of(data: Any, writable: bool = False) -> Iterator[tuple[int, int]]:
    """Address and size of what a bytes-like object holds, which stays there."""
    buffer = _Buffer()
    # It raises what is to be raised: TypeError, BufferError, ValueError.
    _get_buffer(
        data, ctypes.byref(buffer), _PyBUF_WRITABLE if writable else _PyBUF_SIMPLE
    )
    try:
        yield buffer.buf or 0, buffer.len
    finally:
        _release_buffer(ctypes.byref(buffer))


# ---- results ------------------------------------------------------------------------

def fail(code: int, explain: str) -> OSError:
    """The OSError, of the class that belongs to its number, that tells a way out."""
    text = os.strerror(code)
    return OSError(code, f"{text}: {explain}" if explain else text)


def check(result: int, reasons: dict[int, str]) -> int:
    """A result of the library: it, or the OSError that it stands for."""
    if result < 0:
        raise fail(-result, reasons.get(-result, ""))
    return result
