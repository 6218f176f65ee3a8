// SPDX-License-Identifier: GPL-2.0
/*
 * The calls that programs are made of: their names, their arguments' names and
 * what these may be.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <linux/remote_mapping.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- words ------------------------------------------------------------------------ */

#define WORDS(name) static const struct word name[]
#define WORDS_END       \
	{               \
		NULL, 0 \
	}

WORDS(who_words) = {
	{ "s0", WHO_S0 },
	{ "s1", WHO_S1 },
	{ "viewer", WHO_VIEWER },
	{ "self", WHO_SELF },
	{ "child", WHO_CHILD },
	{ "init", WHO_INIT },
	{ "kernel", WHO_KERNEL },
	{ "none", WHO_NONE },
	WORDS_END,
};

WORDS(open_words) = {
	{ "RDWR", O_RDWR },
	{ "RDONLY", O_RDONLY },
	{ "WRONLY", O_WRONLY },
	{ "RDWR_NONBLOCK", O_RDWR | O_NONBLOCK },
	{ "PATH", O_PATH },
	{ "RDWR_TRUNC", O_RDWR | O_TRUNC },
	{ "RDWR_APPEND", O_RDWR | O_APPEND },
	WORDS_END,
};

WORDS(mem_open_words) = {
	{ "RDONLY", PIDFD_MEM_OPEN_RDONLY },
	WORDS_END,
};

WORDS(view_words) = {
	{ "READONLY", PIDFD_MEM_MAP_READONLY },
	{ "RESIDENT", PIDFD_MEM_MAP_RESIDENT },
	WORDS_END,
};

WORDS(call_words) = {
	{ "REMOTE_PROC_MAP", REMOTE_PROC_MAP },
	{ "PIDFD_MEM_OPEN", PIDFD_MEM_OPEN },
	{ "PIDFD_MEM_MAP", PIDFD_MEM_MAP },
	{ "PIDFD_MEM_UNMAP", PIDFD_MEM_UNMAP },
	{ "PIDFD_MEM_LOCK", PIDFD_MEM_LOCK },
	{ "PIDFD_MEM_REMAP", PIDFD_MEM_REMAP },
	{ "FIONREAD", 0x541b },
	{ "FIOASYNC", 0x5452 },
	{ "OPEN_64", _IOC(_IOC_READ | _IOC_WRITE, 'p', 0x10, 64) },
	{ "OPEN_4", _IOC(_IOC_READ | _IOC_WRITE, 'p', 0x10, 4) },
	{ "MAP_SIZE_0", _IOC(_IOC_WRITE, 'p', 0x01, 0) },
	{ "REMAP_32", _IOC(_IOC_WRITE, 'p', 0x04, 4) },
	WORDS_END,
};

WORDS(prot_words) = {
	{ "READ", PROT_READ },
	{ "WRITE", PROT_WRITE },
	{ "EXEC", PROT_EXEC },
	WORDS_END,
};

WORDS(mirror_words) = {
	{ "SHARED", MAP_SHARED },
	{ "FIXED", MAP_FIXED },
	{ "POPULATE", MAP_POPULATE },
	{ "PRIVATE", MAP_PRIVATE },
	{ "LOCKED", MAP_LOCKED },
	{ "NORESERVE", MAP_NORESERVE },
	WORDS_END,
};

WORDS(mmap_words) = {
	{ "PRIVATE", MAP_PRIVATE },
	{ "SHARED", MAP_SHARED },
	{ "ANONYMOUS", MAP_ANONYMOUS },
	{ "POPULATE", MAP_POPULATE },
	{ "HUGETLB", MAP_HUGETLB },
	{ "NORESERVE", MAP_NORESERVE },
	{ "LOCKED", MAP_LOCKED },
	{ "GROWSDOWN", MAP_GROWSDOWN },
	WORDS_END,
};

WORDS(mremap_words) = {
	{ "MAYMOVE", MREMAP_MAYMOVE },
	{ "FIXED", MREMAP_FIXED },
	{ "DONTUNMAP", MREMAP_DONTUNMAP },
	WORDS_END,
};

WORDS(advice_words) = {
	{ "NORMAL", MADV_NORMAL },
	{ "RANDOM", MADV_RANDOM },
	{ "SEQUENTIAL", MADV_SEQUENTIAL },
	{ "WILLNEED", MADV_WILLNEED },
	{ "DONTNEED", MADV_DONTNEED },
	{ "FREE", MADV_FREE },
	{ "REMOVE", MADV_REMOVE },
	{ "DONTFORK", MADV_DONTFORK },
	{ "DOFORK", MADV_DOFORK },
	{ "MERGEABLE", MADV_MERGEABLE },
	{ "UNMERGEABLE", MADV_UNMERGEABLE },
	{ "HUGEPAGE", MADV_HUGEPAGE },
	{ "NOHUGEPAGE", MADV_NOHUGEPAGE },
	{ "DONTDUMP", MADV_DONTDUMP },
	{ "WIPEONFORK", MADV_WIPEONFORK },
	{ "KEEPONFORK", MADV_KEEPONFORK },
	{ "COLD", MADV_COLD },
	{ "PAGEOUT", MADV_PAGEOUT },
	{ "POPULATE_READ", MADV_POPULATE_READ },
	{ "POPULATE_WRITE", MADV_POPULATE_WRITE },
	{ "COLLAPSE", MADV_COLLAPSE },
	WORDS_END,
};

WORDS(how_words) = {
	{ "READ", HOW_READ },
	{ "WRITE", HOW_WRITE },
	{ "READ_WRITE", HOW_BOTH },
	{ "EXCHANGE", HOW_EXCHANGE },
	WORDS_END,
};

WORDS(end_words) = {
	{ "EXIT", END_EXIT },
	{ "WRITE", END_WRITE },
	{ "SLEEP", END_SLEEP },
	{ "EXEC", END_EXEC },
	WORDS_END,
};

WORDS(whence_words) = {
	{ "SET", SEEK_SET },   { "CUR", SEEK_CUR },   { "END", SEEK_END },
	{ "DATA", SEEK_DATA }, { "HOLE", SEEK_HOLE }, WORDS_END,
};

WORDS(poll_words) = {
	{ "IN", POLLIN },   { "OUT", POLLOUT }, { "PRI", POLLPRI },
	{ "HUP", POLLHUP }, WORDS_END,
};

WORDS(transfer_words) = {
	{ "NOWAIT", RWF_NOWAIT },
	{ "HIPRI", RWF_HIPRI },
	{ "SYNC", RWF_SYNC },
	{ "APPEND", RWF_APPEND },
	WORDS_END,
};

WORDS(memfd_words) = {
	{ "HUGETLB", MFD_HUGETLB },
	{ "ALLOW_SEALING", MFD_ALLOW_SEALING },
	WORDS_END,
};

WORDS(fallocate_words) = {
	{ "PUNCH", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
	{ "ALLOCATE", 0 },
	{ "KEEP_SIZE", FALLOC_FL_KEEP_SIZE },
	{ "ZERO", FALLOC_FL_ZERO_RANGE },
	{ "COLLAPSE", FALLOC_FL_COLLAPSE_RANGE },
	WORDS_END,
};

WORDS(policy_words) = {
	{ "DEFAULT", MPOL_DEFAULT },	   { "BIND", MPOL_BIND },
	{ "INTERLEAVE", MPOL_INTERLEAVE }, { "PREFERRED", MPOL_PREFERRED },
	{ "LOCAL", MPOL_LOCAL },	   WORDS_END,
};

WORDS(bind_words) = {
	{ "MOVE", MPOL_MF_MOVE },
	{ "STRICT", MPOL_MF_STRICT },
	{ "MOVE_ALL", MPOL_MF_MOVE_ALL },
	WORDS_END,
};

WORDS(userfault_words) = {
	{ "MISSING", UFFDIO_REGISTER_MODE_MISSING },
	{ "WP", UFFDIO_REGISTER_MODE_WP },
	{ "MINOR", UFFDIO_REGISTER_MODE_MINOR },
	WORDS_END,
};

WORDS(ring_words) = {
	{ "READ", IORING_OP_READ },
	{ "WRITE", IORING_OP_WRITE },
	{ "POLL_ADD", IORING_OP_POLL_ADD },
	{ "FSYNC", IORING_OP_FSYNC },
	{ "MADVISE", IORING_OP_MADVISE },
	{ "CLOSE", IORING_OP_CLOSE },
	WORDS_END,
};

WORDS(ring_flag_words) = {
	{ "ASYNC", IOSQE_ASYNC },
	{ "DRAIN", IOSQE_IO_DRAIN },
	WORDS_END,
};

WORDS(look_words) = {
	{ "smaps", 0 },	 { "maps", 1 },	   { "numa_maps", 2 },
	{ "status", 3 }, { "pagemap", 4 }, { "clear_refs", 5 },
	WORDS_END,
};

WORDS(signal_words) = {
	{ "STOP", SIGSTOP },
	{ "CONT", SIGCONT },
	{ "KILL", SIGKILL },
	WORDS_END,
};

WORDS(direction_words) = {
	{ "out", 0 },
	{ "in", 1 },
	WORDS_END,
};

WORDS(process_words) = {
	{ "viewer", 0 },
	{ "s0", 1 },
	{ "s1", 2 },
	WORDS_END,
};

/* ---- calls ------------------------------------------------------------------------- */

#define FILE_OF(name, kind)                \
	{                                  \
		name, ARG_FILE, kind, NULL \
	}
#define OUT_OF(name, kind)                \
	{                                 \
		name, ARG_OUT, kind, NULL \
	}
#define MAP_OF                                   \
	{                                        \
		"file", ARG_FILE, FILE_MAP, NULL \
	}
#define AREA(name)                             \
	{                                      \
		name, ARG_AREA, FILE_ANY, NULL \
	}
#define ADDRESS(name)                             \
	{                                         \
		name, ARG_ADDRESS, FILE_ANY, NULL \
	}
#define LENGTH(name)                             \
	{                                        \
		name, ARG_LENGTH, FILE_ANY, NULL \
	}
#define OFFSET(name)                             \
	{                                        \
		name, ARG_OFFSET, FILE_ANY, NULL \
	}
#define BUFFER(name)                             \
	{                                        \
		name, ARG_BUFFER, FILE_ANY, NULL \
	}
#define NUMBER(name)                             \
	{                                        \
		name, ARG_NUMBER, FILE_ANY, NULL \
	}
#define FLAGS(name, words)                       \
	{                                        \
		name, ARG_FLAGS, FILE_ANY, words \
	}
#define WORD(name, words)                       \
	{                                       \
		name, ARG_WORD, FILE_ANY, words \
	}

#define CALL(name, weight, side, ...)                                    \
	{                                                                \
#name, weight, SIDE_##side, { __VA_ARGS__ }, call_##name \
	}

const struct call_type call_types[] = {
	/* Contexts */
	CALL(device, 6, VIEWER, OUT_OF("file", FILE_DEVICE),
	     WORD("mode", open_words)),
	CALL(mem, 6, VIEWER, OUT_OF("file", FILE_MEM), WORD("who", who_words),
	     WORD("mode", open_words)),
	CALL(proc_map, 4, VIEWER, FILE_OF("device", FILE_DEVICE),
	     WORD("who", who_words)),
	CALL(open, 10, VIEWER, FILE_OF("device", FILE_DEVICE),
	     FILE_OF("mem", FILE_MEM), OUT_OF("ctrl", FILE_CTRL),
	     OUT_OF("map", FILE_MAP), NUMBER("size"),
	     FLAGS("flags", mem_open_words), NUMBER("reserved"),
	     BUFFER("struct"), NUMBER("tail")),
	CALL(map, 20, VIEWER, FILE_OF("ctrl", FILE_CTRL), ADDRESS("address"),
	     OFFSET("offset"), LENGTH("size"), FLAGS("flags", view_words),
	     NUMBER("padding"), BUFFER("struct")),
	CALL(unmap, 10, VIEWER, FILE_OF("ctrl", FILE_CTRL), OFFSET("offset"),
	     LENGTH("size"), BUFFER("struct")),
	CALL(lock, 2, VIEWER, FILE_OF("ctrl", FILE_CTRL), NUMBER("argument")),
	CALL(remap, 5, VIEWER, MAP_OF, ADDRESS("address")),
	CALL(ioctl, 3, BOTH, FILE_OF("file", FILE_ANY),
	     WORD("call", call_words), BUFFER("argument")),
	CALL(ioctl32, 3, VIEWER, FILE_OF("file", FILE_CTRL),
	     WORD("call", call_words), ADDRESS("address"), OFFSET("offset"),
	     LENGTH("size")),

	/* The map file */
	CALL(mirror, 25, VIEWER, MAP_OF, AREA("at"), LENGTH("length"),
	     OFFSET("offset"), FLAGS("prot", prot_words),
	     FLAGS("flags", mirror_words)),
	CALL(read, 10, VIEWER, MAP_OF, OFFSET("offset"), LENGTH("length"),
	     AREA("to"), NUMBER("split"), FLAGS("flags", transfer_words)),
	CALL(write, 10, VIEWER, MAP_OF, OFFSET("offset"), LENGTH("length"),
	     AREA("from"), NUMBER("split"), FLAGS("flags", transfer_words)),
	CALL(splice, 4, VIEWER, MAP_OF, OFFSET("offset"), LENGTH("length"),
	     WORD("direction", direction_words), AREA("from")),
	CALL(sendfile, 3, VIEWER, FILE_OF("to", FILE_MEMORY), MAP_OF,
	     OFFSET("offset"), LENGTH("length")),
	CALL(copy_range, 2, VIEWER, FILE_OF("to", FILE_MEMORY), MAP_OF,
	     OFFSET("offset"), OFFSET("to_offset"), LENGTH("length")),
	CALL(seek, 8, VIEWER, MAP_OF, OFFSET("offset"),
	     WORD("whence", whence_words)),
	CALL(poll, 4, VIEWER, MAP_OF, FLAGS("events", poll_words),
	     NUMBER("ms")),
	CALL(fdinfo, 4, VIEWER, MAP_OF),
	CALL(reopen, 4, VIEWER, OUT_OF("to", FILE_MAP), MAP_OF,
	     WORD("mode", open_words)),
	CALL(dup, 2, BOTH, OUT_OF("to", FILE_MAP), MAP_OF),
	CALL(close, 6, BOTH, MAP_OF),
	CALL(status, 2, VIEWER, MAP_OF, NUMBER("which"), NUMBER("value")),
	CALL(send, 3, BOTH, MAP_OF, WORD("to", process_words)),
	CALL(receive, 4, BOTH, OUT_OF("file", FILE_MAP)),
	CALL(take, 1, BOTH, OUT_OF("file", FILE_ANY), WORD("who", who_words),
	     NUMBER("number")),
	CALL(ring, 5, VIEWER, MAP_OF, WORD("operation", ring_words),
	     OFFSET("offset"), LENGTH("length"), AREA("buffer"),
	     FLAGS("flags", ring_flag_words)),
	CALL(look, 4, BOTH, WORD("who", who_words), WORD("which", look_words)),

	/* Memory */
	CALL(access, 40, BOTH, AREA("at"), LENGTH("length"), LENGTH("stride"),
	     WORD("how", how_words)),
	CALL(mmap, 14, SOURCE, AREA("at"), LENGTH("length"),
	     FLAGS("prot", prot_words), FLAGS("flags", mmap_words),
	     FILE_OF("file", FILE_MEMORY), OFFSET("offset")),
	CALL(munmap, 8, BOTH, AREA("at"), LENGTH("length")),
	CALL(mremap, 10, BOTH, AREA("at"), LENGTH("length"),
	     LENGTH("to_length"), FLAGS("flags", mremap_words), AREA("to")),
	CALL(mprotect, 8, BOTH, AREA("at"), LENGTH("length"),
	     FLAGS("prot", prot_words)),
	CALL(madvise, 25, BOTH, AREA("at"), LENGTH("length"),
	     WORD("advice", advice_words)),
	CALL(process_madvise, 2, BOTH, WORD("who", who_words), AREA("at"),
	     LENGTH("length"), WORD("advice", advice_words)),
	CALL(mlock, 3, BOTH, AREA("at"), LENGTH("length"), NUMBER("how")),
	CALL(msync, 1, BOTH, AREA("at"), LENGTH("length"), NUMBER("flags")),
	CALL(mincore, 1, BOTH, AREA("at"), LENGTH("length")),
	CALL(futex, 3, VIEWER, AREA("at"), NUMBER("call"), NUMBER("value")),
	CALL(process_vm, 3, BOTH, WORD("who", who_words), AREA("own"),
	     AREA("theirs"), LENGTH("length"),
	     WORD("direction", direction_words)),
	CALL(memfd, 5, SOURCE, OUT_OF("file", FILE_MEMORY),
	     FLAGS("flags", memfd_words), LENGTH("length")),
	CALL(secret, 1, SOURCE, OUT_OF("file", FILE_MEMORY), LENGTH("length")),
	CALL(file, 3, SOURCE, OUT_OF("file", FILE_MEMORY), LENGTH("length")),
	CALL(truncate, 4, SOURCE, FILE_OF("file", FILE_MEMORY),
	     LENGTH("length")),
	CALL(fallocate, 4, SOURCE, FILE_OF("file", FILE_MEMORY),
	     WORD("mode", fallocate_words), OFFSET("offset"), LENGTH("length")),
	CALL(mbind, 3, SOURCE, AREA("at"), LENGTH("length"),
	     WORD("policy", policy_words), NUMBER("nodes"),
	     FLAGS("flags", bind_words)),
	CALL(move_pages, 4, BOTH, WORD("who", who_words), AREA("at"),
	     LENGTH("length"), NUMBER("node")),
	CALL(userfault, 3, SOURCE, OUT_OF("file", FILE_USERFAULT), AREA("at"),
	     LENGTH("length"), FLAGS("mode", userfault_words)),
	CALL(userfault_fill, 5, SOURCE, FILE_OF("file", FILE_USERFAULT),
	     AREA("at"), LENGTH("length"), NUMBER("how"), NUMBER("mode")),
	CALL(fork, 5, BOTH, WORD("end", end_words), AREA("at"),
	     LENGTH("length")),
	CALL(exec, 1, SOURCE, NUMBER("unused")),
	CALL(exit, 1, SOURCE, NUMBER("status")),
	CALL(kill, 2, VIEWER, WORD("who", who_words),
	     WORD("signal", signal_words)),
	CALL(knob, 1, BOTH, NUMBER("which")),
};

const unsigned int nr_call_types = ARRAY_SIZE(call_types);
