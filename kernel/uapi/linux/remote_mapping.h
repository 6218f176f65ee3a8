/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Remote mapping: the memory of another process, mapped zero-copy and live.
 *
 * A *context* is one opened source: its ctrl file shapes what may be seen, its
 * map file shows it. A *view* is a range of the map file that stands for a
 * range of the source's addresses. A *mirror* is a MAP_SHARED mapping of the
 * map file; its pages are the source's own.
 *
 * General errors, of every call below:
 *
 *  ENOTTY     this file knows no such call
 *  EFAULT     the argument's memory cannot be read or written
 *  EINVAL     an unknown flag, or a reserved field or padding that is not zero
 *  EPERM      PIDFD_MEM_MAP, _UNMAP: the context is locked
 *  ESRCH      the source's address space is gone
 *  ENOMEM     out of memory
 *  EINTR      a fatal signal arrived while waiting
 *
 * What is particular to a call stands with it.
 */
#ifndef _UAPI_LINUX_REMOTE_MAPPING_H
#define _UAPI_LINUX_REMOTE_MAPPING_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The name of the misc device, under /dev. */
#define REMOTE_MAPPING_DEVICE "mirror-proc"

/* f_type of statfs(2) on a map file; nothing else is on that file system. */
#define REMOTE_MAPPING_MAGIC 0x4d495252

/*
 * On an open file of the device: it becomes the map file of the process whose
 * pid (by value, in the caller's pid namespace) is the argument, with one
 * identity view: offset = address, for the whole address space. What may be
 * written is what the device was opened for.
 *
 *  ESRCH          there is no such process
 *  EACCES, EPERM  opening /proc/PID/mem says so
 *  EINVAL         the process has no address space (a kernel thread)
 *  EALREADY       this file has become a map file before
 */
#define REMOTE_PROC_MAP _IOW('r', 0x01, int)

/* pidfd_mem_open.flags: the map file is for reading, whatever mem_fd allows */
#define PIDFD_MEM_OPEN_RDONLY (1U << 0)

/**
 * struct pidfd_mem_open - argument of PIDFD_MEM_OPEN
 * @size: sizeof(struct pidfd_mem_open)
 * @flags: PIDFD_MEM_OPEN_RDONLY or 0
 * @mem_fd: the authority, an open /proc/PID/mem. The map file can be written
 *          where this file can
 * @ctrl_fd: result, the context's ctrl file, close-on-exec
 * @map_fd: result, the context's map file, close-on-exec
 * @reserved: must be 0
 *
 * On an open file of the device, as often as wanted: make a context.
 *
 *  EBADF     mem_fd is no open file, is no /proc/PID/mem, or is not open for
 *            reading
 *  ESRCH     its process is gone
 *  EINVAL    @size is smaller than the first published struct; an unknown
 *            flag; @reserved is not 0
 *  E2BIG     @size is larger than this kernel knows, and what it does not
 *            know is not 0
 *  EALREADY  this file has become a map file (REMOTE_PROC_MAP)
 *  EMFILE, ENFILE  no more files can be opened
 */
struct pidfd_mem_open {
	__u32 size;
	__u32 flags;
	__s32 mem_fd;
	__s32 ctrl_fd;
	__s32 map_fd;
	__u32 reserved[3];
};

#define PIDFD_MEM_OPEN _IOWR('p', 0x10, struct pidfd_mem_open)

/* pidfd_mem_map.flags: no viewer writes through this view */
#define PIDFD_MEM_MAP_READONLY (1U << 0)
/* pidfd_mem_map.flags: what is not in memory is a hole; the source is never
 * made to fault
 */
#define PIDFD_MEM_MAP_RESIDENT (1U << 1)

/**
 * struct pidfd_mem_map - argument of PIDFD_MEM_MAP
 * @address: where the range begins in the source, in bytes
 * @offset: where the view begins in the map file, in bytes
 * @size: of both, in bytes
 * @flags: PIDFD_MEM_MAP_READONLY, PIDFD_MEM_MAP_RESIDENT
 * @padding: must be 0
 *
 * On the ctrl file: add a view. All three numbers are multiples of the page
 * size. Nothing need be mapped there yet, and what is mapped may change: a
 * mirror always shows what the source has at that address.
 *
 *  EINVAL    not page aligned; @size is 0; a sum wraps; beyond the source's
 *            address space or the largest file offset; an unknown flag;
 *            @padding is not 0
 *  EALREADY  [offset, offset + size) overlaps a view
 *  ENOSPC    the context has 262144 views
 *  EPERM     the context is locked
 *  ESRCH     the source's address space is gone
 */
struct pidfd_mem_map {
	__u64 address;
	__u64 offset;
	__u64 size;
	__u32 flags;
	__u32 padding[7];
};

#define PIDFD_MEM_MAP _IOW('p', 0x01, struct pidfd_mem_map)

/**
 * struct pidfd_mem_unmap - argument of PIDFD_MEM_UNMAP
 * @offset: as in the view's pidfd_mem_map
 * @size: as in the view's pidfd_mem_map
 *
 * On the ctrl file: remove exactly that view. Before the call returns mirrors
 * of it have lost its pages; to touch them is SIGBUS from then on. A read or write
 * of the map file that is under way moves nothing through it any more.
 *
 *  EINVAL  there is no such view
 *  EPERM   the context is locked
 *  ENOMEM  the view shows nothing any more, but its range is not free yet: call
 *          again
 */
struct pidfd_mem_unmap {
	__u64 offset;
	__u64 size;
};

#define PIDFD_MEM_UNMAP _IOW('p', 0x02, struct pidfd_mem_unmap)

/*
 * On the ctrl file: from now on no view can be added or removed, for ever. The
 * argument is 0, by value.
 *
 *  EINVAL  the argument is not 0
 */
#define PIDFD_MEM_LOCK _IOW('p', 0x03, int)

/*
 * On the map file: check that a live view backs the mirror at the address that
 * is the argument, by value. A mirror follows the views by itself; this call is
 * kept for callers of the proposal that had it.
 *
 *  EINVAL  no mirror of this context is there, or no view backs it
 */
#define PIDFD_MEM_REMAP _IOW('p', 0x04, unsigned long)

#endif /* _UAPI_LINUX_REMOTE_MAPPING_H */
