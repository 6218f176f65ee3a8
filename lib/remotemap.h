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

#ifdef __cplusplus
}
#endif

#endif /* REMOTEMAP_H */
