/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libremotemap: map the memory of another process, zero-copy and live.
 *
 * Nothing here prints, exits, installs a signal handler or keeps state between
 * calls. Every call may be made by any number of threads at the same time.
 * Descriptors that a call returns are close-on-exec and the caller's to close.
 *
 * What to do with a context's files: <linux/remote_mapping.h>, mirror-proc(4).
 */
#ifndef REMOTEMAP_H
#define REMOTEMAP_H

#include <linux/remote_mapping.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * pidfd_mem() - open the memory of a process
 * @pidfd: stands for the source, as pidfd_open(2) returned it
 * @fds: on success fds[0] is the new context's ctrl file, fds[1] its map file;
 *       not touched on failure
 * @flags: 0, or PIDFD_MEM_OPEN_RDONLY: the map file is for reading
 *
 * The context has no view yet. The caller must be allowed to open the source's
 * /proc/PID/mem for what it asks: for reading and writing, or with
 * PIDFD_MEM_OPEN_RDONLY for reading. Who may only read must say so: the call
 * never gives less than what was asked for.
 *
 * MT-Safe. Not a cancellation point.
 *
 * Return: 0, or -1 with errno:
 *  EINVAL         an unknown flag
 *  EFAULT         @fds is NULL
 *  EBADF          @pidfd is not open, or is no pidfd
 *  ESRCH          the process has ended, has no address space (a kernel
 *                 thread), or is not visible in /proc
 *  EACCES, EPERM  opening /proc/PID/mem says so; or EACCES, opening the device
 *  ENODEV         there is no /dev/mirror-proc: the module is not loaded
 *  ENOENT         /proc is not mounted
 *  EMFILE, ENFILE no more files can be opened
 *  ENOMEM         out of memory
 */
int pidfd_mem(int pidfd, int *fds, unsigned int flags);

/**
 * pidfd_mem_mmap() - map a part of a map file into a reserved range
 * @reserved: where the range begins, page aligned; usually a PROT_NONE mapping
 * @length: of the range, in bytes
 * @size: how much to map, in bytes; as in mmap(2)
 * @prot: PROT_READ or PROT_READ | PROT_WRITE, as in mmap(2)
 * @map_fd: the map file
 * @offset: in the map file, in bytes, page aligned
 *
 * The mirror begins at the first address in the range that agrees modulo 2 MiB
 * with the source's address for @offset, so that huge pages of the source can be
 * huge pages in it. Something smaller than 2 MiB begins where the range does;
 * something of 1 GiB or more at the first that agrees modulo 1 GiB, if it fits
 * there. What was mapped in its place is replaced, at once and as a whole; the
 * rest of the range is left alone. Reserve 2 MiB more than @size and it always
 * fits, 1 GiB more and it may have pages of 1 GiB.
 *
 * MT-Safe, as long as nobody else maps or unmaps in the range.
 *
 * Return: the mirror's address, or MAP_FAILED with errno:
 *  EINVAL         @reserved is NULL or not page aligned, @size is 0, the range
 *                 wraps
 *  ENOMEM         @size does not fit into the range, there with that agreement
 *  others         as mmap(2) of the map file says, see mirror-proc(4)
 */
void *pidfd_mem_mmap(void *reserved, size_t length, size_t size, int prot,
		     int map_fd, off_t offset);

#ifdef __cplusplus
}
#endif

#endif /* REMOTEMAP_H */
