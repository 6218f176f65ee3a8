// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Invariants of this file:
 *
 * A static function returns a value >= 0 or -errno and leaves errno alone for
 * whoever called; only what is API sets errno. What a function opened and does
 * not return it has closed. Results are written when nothing can fail any more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remotemap.h"

#define DEVICE "/dev/" REMOTE_MAPPING_DEVICE

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* As much of the file as fits, as a string. */
static int read_file(int fd, char *text, size_t size)
{
	size_t length = 0;

	while (length < size - 1) {
		ssize_t n = read(fd, text + length, size - 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	text[length] = '\0';
	return 0;
}

/*
 * The number of the pidfd's process in the pid namespace of /proc: where it will
 * be looked up. A thread may have a descriptor table of its own, so it is
 * thread-self that knows the caller's descriptors.
 */
static int pidfd_pid(int pidfd)
{
	/* The line wanted is among the first few, however many follow. */
	char path[64], text[1024];
	const char *line;
	long pid;
	int fd, err;

	if (fcntl(pidfd, F_GETFD) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", pidfd);
	fd = open_file(path, O_RDONLY);
	if (fd < 0)
		return fd;
	err = read_file(fd, text, sizeof(text));
	close(fd);
	if (err)
		return err;
	line = strstr(text, "\nPid:");
	if (!line)
		return -EBADF;
	/* -1: it was reaped. 0: it is outside of that pid namespace. */
	pid = strtol(line + strlen("\nPid:"), NULL, 10);
	return pid > 0 && pid <= INT_MAX ? (int)pid : -ESRCH;
}

/*
 * 0 as long as the process lives. It is asked of the descriptor, not by
 * sending signal 0: a zombie has no memory, and a seccomp filter that refuses
 * that call with EPERM would look like a process of somebody else.
 */
static int pidfd_alive(int pidfd)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&ended, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? -ESRCH : 0;
}

/*
 * The authority: the process's /proc/PID/mem. Whoever has got the number by
 * the time it is opened, the process was not reaped, and so its number not
 * given away, if it is alive after that.
 */
static int open_authority(int pidfd, int access)
{
	char path[64];
	int pid, fd, err;

	pid = pidfd_pid(pidfd);
	if (pid < 0)
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open_file(path, access);
	/* /proc was there a moment ago: it is the process that is not. */
	if (fd == -ENOENT)
		return -ESRCH;
	if (fd < 0)
		return fd;
	err = pidfd_alive(pidfd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int open_device(int access)
{
	int fd = open_file(DEVICE, access);

	/* No node, or one that a module now gone has left behind. */
	if (fd == -ENOENT || fd == -ENXIO)
		return -ENODEV;
	return fd;
}

static int open_context(int mem_fd, int access, int *fds, unsigned int flags)
{
	struct pidfd_mem_open arg = {
		.size = sizeof(arg),
		.flags = flags,
		.mem_fd = mem_fd,
	};
	int device, err;

	device = open_device(access);
	if (device < 0)
		return device;
	/* A process's first context gives way to a signal on its way. */
	do
		err = ioctl(device, PIDFD_MEM_OPEN, &arg) < 0 ? -errno : 0;
	while (err == -EINTR);
	close(device);
	if (err)
		return err;
	fds[0] = arg.ctrl_fd;
	fds[1] = arg.map_fd;
	return 0;
}

static int open_process(int pidfd, int *fds, unsigned int flags)
{
	int access = (flags & PIDFD_MEM_OPEN_RDONLY) ? O_RDONLY : O_RDWR;
	int mem_fd, err;

	if (flags & ~PIDFD_MEM_OPEN_RDONLY)
		return -EINVAL;
	if (!fds)
		return -EFAULT;
	mem_fd = open_authority(pidfd, access);
	if (mem_fd < 0)
		return mem_fd;
	err = open_context(mem_fd, access, fds, flags);
	close(mem_fd);
	return err;
}

int pidfd_mem(int pidfd, int *fds, unsigned int flags)
{
	int err, cancel;

	/* A thread that ends half way would leave descriptors behind. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = open_process(pidfd, fds, flags);
	pthread_setcancelstate(cancel, NULL);
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

#define HUGE_SIZE (2UL << 20)
#define GIANT_SIZE (1UL << 30)

/*
 * The first address from start on that agrees with like modulo 2 MiB; modulo 1 GiB
 * if it is as large and there is room for it so in length.
 */
static uintptr_t congruent(uintptr_t start, size_t length, size_t size,
			   uintptr_t like)
{
	size_t skip;

	if (size < HUGE_SIZE)
		return start;
	skip = (like - start) & (GIANT_SIZE - 1);
	if (size < GIANT_SIZE || skip > length || length - skip < size)
		skip &= HUGE_SIZE - 1;
	return start + skip;
}

static int map_reserved(uintptr_t reserved, size_t length, size_t size,
			int prot, int map_fd, off_t offset, void **mirror)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t place;
	void *first;

	if (!reserved || reserved % page || !size ||
	    length > UINTPTR_MAX - reserved)
		return -EINVAL;
	if (size > length)
		return -ENOMEM;
	/* The kernel knows the source's addresses and places it so; then move. */
	first = mmap(NULL, size, prot, MAP_SHARED, map_fd, offset);
	if (first == MAP_FAILED)
		return -errno;
	size = (size + page - 1) / page * page;
	place = congruent(reserved, length, size, (uintptr_t)first);
	if (place - reserved > length || length - (place - reserved) < size) {
		munmap(first, size);
		return -ENOMEM;
	}
	*mirror = mremap(first, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			 (void *)place);
	if (*mirror == MAP_FAILED) {
		int err = -errno;

		munmap(first, size);
		return err;
	}
	return 0;
}

void *pidfd_mem_mmap(void *reserved, size_t length, size_t size, int prot,
		     int map_fd, off_t offset)
{
	void *mirror = MAP_FAILED;
	int err = map_reserved((uintptr_t)reserved, length, size, prot, map_fd,
			       offset, &mirror);

	if (!err)
		return mirror;
	errno = -err;
	return MAP_FAILED;
}
