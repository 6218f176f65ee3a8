// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Opening a source. Invariant: what proves that the caller may see it is a
 * /proc/PID/mem that the caller could open, and a context is never for less
 * than what was asked for.
 */
#include "internal.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define DEVICE "/dev/" REMOTE_MAPPING_DEVICE

int open_file(const char *path, int flags)
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
 * The number of the pidfd's process in the pid namespace of /proc: where it
 * will be looked up. A thread may have a descriptor table of its own, so it is
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

EXPORTED int pidfd_mem(int pidfd, int *fds, unsigned int flags)
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

/* ---- with a handle ------------------------------------------------------- */

int options_read(void *to, size_t size, size_t first, const void *from)
{
	const unsigned char *bytes = from;
	size_t i, given;

	memset(to, 0, size);
	if (!from)
		return 0;
	memcpy(&given, from, sizeof(given));
	if (given < first)
		return -EINVAL;
	/* A later version's, which asks for what this one does not know. */
	for (i = size; i < given; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(to, from, given < size ? given : size);
	return 0;
}

/* What is the same in all of them, first */
static int open_options(struct remotemap_open_options *to,
			const struct remotemap_open_options *from,
			struct remotemap **handle)
{
	const unsigned int view = REMOTEMAP_READONLY | REMOTEMAP_RESIDENT;
	int err = options_read(to, sizeof(*to), sizeof(*to), from);

	if (err)
		return err;
	if (to->flags & ~(REMOTEMAP_WRITE | REMOTEMAP_IDENTITY | view))
		return -EINVAL;
	if (to->flags & view && !(to->flags & REMOTEMAP_IDENTITY))
		return -EINVAL;
	return handle ? 0 : -EFAULT;
}

static int access_of(const struct remotemap_open_options *options)
{
	return options->flags & REMOTEMAP_WRITE ? O_RDWR : O_RDONLY;
}

/* The sizes of address space that a kernel of x86-64 gives to processes */
static const uint64_t address_spaces[] = {
	(1ULL << 56) - 4096, /* five levels of page tables */
	(1ULL << 47) - 4096, /* four */
	0xffffe000, /* a 32-bit program */
	0xc0000000, /* one with ADDR_LIMIT_3GB */
};

#define ADDRESS_SPACES (sizeof(address_spaces) / sizeof(*address_spaces))

/* The kernel refuses a view that is larger than the source's address space. */
static int identity_add(int ctrl_fd, unsigned int flags)
{
	struct pidfd_mem_map view = { 0 };
	size_t i;
	int err = -EINVAL;

	if (flags & REMOTEMAP_READONLY)
		view.flags |= PIDFD_MEM_MAP_READONLY;
	if (flags & REMOTEMAP_RESIDENT)
		view.flags |= PIDFD_MEM_MAP_RESIDENT;
	for (i = 0; i < ADDRESS_SPACES && err == -EINVAL; i++) {
		view.size = address_spaces[i];
		err = ioctl(ctrl_fd, PIDFD_MEM_MAP, &view) ? -errno : 0;
	}
	return err;
}

/*
 * mmap() first looks whether the range can be in the address space (ENOMEM) and
 * only then what kind of mapping it is to be; none at all is EINVAL. So nothing
 * is ever mapped.
 */
EXPORTED uint64_t remotemap_address_space(void)
{
	KEEP_ERRNO;
	size_t i;

	for (i = 0; i < ADDRESS_SPACES - 1; i++) {
		void *last = (void *)(uintptr_t)(address_spaces[i] - 4096);

		if (address_spaces[i] > UINTPTR_MAX)
			continue;
		if (mmap(last, 4096, PROT_NONE,
			 MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0) == MAP_FAILED &&
		    errno != ENOMEM)
			break;
	}
	return address_spaces[i];
}

/* A handle for the authority, which stays the caller's. */
static int open_handle(int mem_fd, const struct remotemap_open_options *options,
		       struct remotemap **handle)
{
	int fds[2], err;

	err = open_context(
		mem_fd, access_of(options), fds,
		options->flags & REMOTEMAP_WRITE ? 0 : PIDFD_MEM_OPEN_RDONLY);
	if (err)
		return err;
	if (options->flags & REMOTEMAP_IDENTITY)
		err = identity_add(fds[0], options->flags);
	if (!err)
		err = handle_new(fds[0], fds[1], handle);
	if (err) {
		close(fds[0]);
		close(fds[1]);
	}
	return err;
}

/* The same for one that was opened for this: closed in any case */
static int open_handle_of(int mem_fd,
			  const struct remotemap_open_options *options,
			  struct remotemap **handle)
{
	int err;

	if (mem_fd < 0)
		return mem_fd;
	err = open_handle(mem_fd, options, handle);
	close(mem_fd);
	return err;
}

int proc_missing(void)
{
	int fd = open_file("/proc/self", O_PATH);

	if (fd < 0)
		return -ENOENT;
	close(fd);
	return -ESRCH;
}

EXPORTED int remotemap_open_pid(pid_t pid,
				const struct remotemap_open_options *options,
				struct remotemap **handle)
{
	KEEP_CALM;
	struct remotemap_open_options all;
	char path[64];
	int err, fd;

	err = open_options(&all, options, handle);
	if (err)
		return err;
	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open_file(path, access_of(&all));
	return open_handle_of(fd == -ENOENT ? proc_missing() : fd, &all,
			      handle);
}

EXPORTED int remotemap_open_pidfd(int pidfd,
				  const struct remotemap_open_options *options,
				  struct remotemap **handle)
{
	KEEP_CALM;
	struct remotemap_open_options all;
	int err;

	err = open_options(&all, options, handle);
	if (err)
		return err;
	return open_handle_of(open_authority(pidfd, access_of(&all)), &all,
			      handle);
}

EXPORTED int remotemap_open_mem(int mem_fd,
				const struct remotemap_open_options *options,
				struct remotemap **handle)
{
	KEEP_CALM;
	struct remotemap_open_options all;
	int err, flags;

	err = open_options(&all, options, handle);
	if (err)
		return err;
	flags = fcntl(mem_fd, F_GETFL);
	if (flags < 0)
		return -errno;
	/* The kernel would make a map file for reading of it. */
	if (all.flags & REMOTEMAP_WRITE && (flags & O_ACCMODE) == O_RDONLY)
		return -EACCES;
	return open_handle(mem_fd, &all, handle);
}

EXPORTED int remotemap_open_self(const struct remotemap_open_options *options,
				 struct remotemap **handle)
{
	KEEP_CALM;
	struct remotemap_open_options all;
	int err;

	err = open_options(&all, options, handle);
	if (err)
		return err;
	/* The first thread may have ended, and with it what /proc/self has. */
	return open_handle_of(open_file("/proc/thread-self/mem",
					access_of(&all)),
			      &all, handle);
}

EXPORTED int remotemap_open_map(int map_fd, struct remotemap **handle)
{
	KEEP_CALM;
	int err, fd;

	if (!handle)
		return -EFAULT;
	err = map_check(map_fd);
	if (err)
		return err;
	fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = handle_new(-1, fd, handle);
	if (err)
		close(fd);
	return err;
}
