#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Print the processes of a Linux guest, while it runs: pid and name of each.

    remotemap lend --qemu SOCKET --uid nobody -- python3 guest_tasks.py

All it is given is the map file: nothing of QEMU, nothing of the guest but its
physical memory. It takes no symbols and no debug information either: the kernel
(x86-64, since 6.0, with BTF) has both in its memory. VMCOREINFO, a text that it
keeps for the case of a crash, says where its page tables are and its table of
symbols; BTF says where in a task_struct is what.
"""

import os
import struct
import sys

PAGE = 4096
CHUNK = 4 << 20
KERNEL_MAP = 0xFFFFFFFF80000000
NOTE = b"VMCOREINFO\0\0OSRELEASE="
PRESENT, LARGE = 1, 1 << 7
ADDRESS_BITS = 0x000FFFFFFFFFF000
STRUCT = 4

memory = int(os.environ.get("REMOTEMAP_FD", "3"))


def number(data, at, kind):
    return struct.unpack_from("<" + kind, data, at)[0]


# ---- physical memory -----------------------------------------------------------


def physical(address, size):
    """It is copied, so that what is not there is an error and not a signal."""
    data = b""
    while len(data) < size:
        part = os.pread(memory, size - len(data), address + len(data))
        if not part:
            sys.exit(f"the guest has no memory at {address + len(data):#x}")
        data += part
    return data


def data_ranges():
    """(start, end) of what is there"""
    end = 0
    while True:
        try:
            start = os.lseek(memory, end, os.SEEK_DATA)
            end = os.lseek(memory, start, os.SEEK_HOLE)
        except OSError:
            return
        yield start, end


def crash_information():
    """VMCOREINFO, as a dictionary"""
    for start, end in data_ranges():
        for at in range(start, end, CHUNK):
            # What begins here may end in the next one.
            size = min(CHUNK + PAGE, end - at)
            try:
                data = os.pread(memory, size, at)
            except OSError:
                continue
            found = data.find(NOTE)
            if found >= 0:
                text = data[found + 12 : found + 12 + PAGE].split(b"\0")[0]
                lines = text.decode("ascii", "replace").splitlines()
                return dict(line.split("=", 1) for line in lines if "=" in line)
    sys.exit("no Linux 6.0 or newer: it has no VMCOREINFO in its memory")


# ---- the kernel's addresses ----------------------------------------------------


class Kernel:
    def __init__(self):
        self.information = crash_information()
        self.base = int(self.information["NUMBER(phys_base)"])
        five = self.information.get("NUMBER(pgtable_l5_enabled)") == "1"
        self.top = 48 if five else 39
        self.root = self.symbol("swapper_pg_dir") - KERNEL_MAP + self.base

    def symbol(self, name):
        return int(self.information[f"SYMBOL({name})"], 16)

    def translate(self, address):
        """Its page tables, walked: a physical address, and how far it goes on"""
        table, shift = self.root, self.top
        while True:
            at = table + (address >> shift & 511) * 8
            entry = number(physical(at, 8), 0, "Q")
            if not entry & PRESENT:
                sys.exit(f"the guest's kernel has nothing at {address:#x}")
            size = 1 << shift
            if shift == 12 or (shift <= 30 and entry & LARGE):
                inside = address & (size - 1)
                start = entry & ADDRESS_BITS & ~(size - 1)
                return start + inside, size - inside
            table, shift = entry & ADDRESS_BITS, shift - 9

    def read(self, address, size):
        data = b""
        while len(data) < size:
            at, room = self.translate(address + len(data))
            data += physical(at, min(room, size - len(data)))
        return data

    def value(self, address, kind):
        return number(self.read(address, struct.calcsize(kind)), 0, kind)


# ---- its symbols ----------------------------------------------------------------


def symbols_find(kernel, wanted):
    """kallsyms: each name is a length and that many numbers of tokens"""
    count = kernel.value(kernel.symbol("kallsyms_num_syms"), "I")
    index = kernel.read(kernel.symbol("kallsyms_token_index"), 512)
    starts = struct.unpack("<256H", index)
    table = kernel.read(kernel.symbol("kallsyms_token_table"), starts[255] + 256)
    tokens = [table[at : table.index(b"\0", at)] for at in starts]
    base = kernel.value(kernel.symbol("kallsyms_relative_base"), "Q")
    offsets = kernel.symbol("kallsyms_offsets")
    names = kernel.symbol("kallsyms_names")
    # Long enough for all, as long as it is there: they are 10 bytes on average.
    data, at, found = kernel.read(names, count * 10), 0, {}
    for number_ in range(count):
        if at + 1024 > len(data):
            data += kernel.read(names + len(data), PAGE)
        length = data[at]
        at += 1
        if length & 0x80:
            length = length & 0x7F | data[at] << 7
            at += 1
        name = b"".join([tokens[byte] for byte in data[at : at + length]])
        at += length
        # Its first letter is the symbol's type.
        if name[1:] in wanted:
            offset = kernel.value(offsets + 4 * number_, "i")
            found[name[1:]] = offset if offset >= 0 else base - 1 - offset
            if len(found) == len(wanted):
                return [found[name] for name in wanted]
    sys.exit(f"the kernel has not all of these symbols: {wanted}")


# ---- its types --------------------------------------------------------------------

# How many bytes follow a type of that kind: once, and for each of its members
EXTRA = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8)}
EXTRA |= {14: (4, 0), 15: (0, 12), 17: (4, 0), 19: (0, 12)}


def members_find(btf, wanted):
    """Of the structure of that name: the offset of each member, in bytes"""
    header, types, length, strings = struct.unpack_from("<4I", btf, 4)
    types, strings = header + types, header + strings
    name = btf.index(b"\0" + wanted + b"\0", strings) + 1 - strings
    at, end = types, types + length
    while at < end:
        name_at, info, _ = struct.unpack_from("<3I", btf, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        at += 12
        if kind == STRUCT and name_at == name:
            break
        once, each = EXTRA.get(kind, (0, 0))
        at += once + each * count
    offsets = {}
    for member in range(at, at + 12 * count, 12):
        name_at, _, offset = struct.unpack_from("<3I", btf, member)
        start = strings + name_at
        offsets[btf[start : btf.index(b"\0", start)]] = (offset & 0xFFFFFF) // 8
    return offsets


def main():
    kernel = Kernel()
    print(f"Linux {kernel.information['OSRELEASE']}")
    init, start, end = symbols_find(
        kernel, [b"init_task", b"__start_BTF", b"__stop_BTF"]
    )
    offset = members_find(kernel.read(start, end - start), b"task_struct")
    task = init
    # It runs meanwhile: a list that changes may lead nowhere.
    for _ in range(1 << 16):
        pid = kernel.value(task + offset[b"pid"], "i")
        name = kernel.read(task + offset[b"comm"], 16).split(b"\0")[0]
        print(f"{pid:7} {name.decode('utf-8', 'replace')}")
        task = kernel.value(task + offset[b"tasks"], "Q") - offset[b"tasks"]
        if task == init:
            return
    sys.exit("the list of processes has no end")


if __name__ == "__main__":
    main()
