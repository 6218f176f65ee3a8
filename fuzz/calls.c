// SPDX-License-Identifier: GPL-2.0
/*
 * The calls on contexts and their files; those on memory are in memory.c.
 *
 * Invariant: what a call is given it may pass to the kernel as it is, but where
 * the kernel may write, and what it unmaps or changes, lies in the arena, or is no
 * memory at all. Only the processes of the program are seen for writing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/remote_mapping.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"

static int places[PLACES];

void places_clear(void)
{
	unsigned int i;

	for (i = 0; i < PLACES; i++)
		places[i] = -1;
}

int place_file(uint64_t place)
{
	return __atomic_load_n(&places[place % PLACES], __ATOMIC_RELAXED);
}

/* What was there is closed, perhaps while another thread uses it. */
long place_keep(uint64_t place, int file)
{
	int before;

	if (file < 0)
		return -errno;
	before = __atomic_exchange_n(&places[place % PLACES], file,
				     __ATOMIC_RELAXED);
	if (before >= 0)
		close(before);
	return 0;
}

long result_of(long result)
{
	return result < 0 ? -errno : result;
}

/* Memory that the kernel may write to, or none at all */
bool harmless(uint64_t at, uint64_t length)
{
	if (at >= ARENA && at - ARENA <= ARENA_SIZE &&
	    length <= ARENA_SIZE - (at - ARENA))
		return true;
	return at < 65536 || at > 1ULL << 47;
}

pid_t who_pid(uint64_t who)
{
	switch (who) {
	case WHO_S0:
		return shared->actors[ACTOR_S0].pid;
	case WHO_S1:
		return shared->actors[ACTOR_S1].pid;
	case WHO_VIEWER:
		return shared->viewer;
	case WHO_SELF:
		return getpid();
	case WHO_CHILD:
		return shared->actors[current_actor].child;
	case WHO_INIT:
		return 1;
	case WHO_KERNEL:
		return 2;
	case WHO_NONE:
		return 0x3ffffe;
	default:
		return (pid_t)who;
	}
}

struct copy {
	void *to;
	const void *from;
	size_t size;
};

static void copy_work(void *argument)
{
	struct copy *copy = argument;

	memcpy(copy->to, copy->from, copy->size);
}

/* A struct where the program wants it: it may not be there, or a mirror. */
static void *buffer_put(uint64_t at, void *own, size_t size)
{
	struct copy copy = { (void *)at, own, size };

	if (!at)
		return own;
	if (at >= ARENA && harmless(at, size))
		guarded(copy_work, &copy);
	return (void *)at;
}

static void buffer_get(uint64_t at, void *own, size_t size)
{
	struct copy copy = { own, (void *)at, size };

	if (at >= ARENA && harmless(at, size))
		guarded(copy_work, &copy);
}

/* ---- ioctls ----------------------------------------------------------------------- */

long call_device(const uint64_t *a)
{
	return place_keep(a[0], open("/dev/" REMOTE_MAPPING_DEVICE,
				     (int)a[1] | O_CLOEXEC));
}

/* Never init for writing: without it there is no machine. */
long call_mem(const uint64_t *a)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", who_pid(a[1]));
	return place_keep(a[0],
			  open(path, (a[1] == WHO_INIT ? O_RDONLY : (int)a[2]) |
					     O_CLOEXEC));
}

long call_proc_map(const uint64_t *a)
{
	int file = place_file(a[0]);

	if (a[1] == WHO_INIT && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return -EPERM;
	return result_of(ioctl(file, REMOTE_PROC_MAP, (long)who_pid(a[1])));
}

long call_open(const uint64_t *a)
{
	char own[2 * PAGE_SIZE] = {};
	struct pidfd_mem_open *open = (void *)own;
	uint64_t at = a[7];
	unsigned int call = PIDFD_MEM_OPEN;
	long result;

	open->size = a[4];
	open->flags = a[5];
	open->mem_fd = place_file(a[1]);
	open->reserved[a[6] % 3] = a[6];
	if (a[8]) {
		/* A longer struct of days to come */
		own[sizeof(*open) + a[8] % 64] = (char)a[8];
		call = _IOC(_IOC_READ | _IOC_WRITE, 'p', 0x10,
			    sizeof(*open) + 64);
	}
	open = buffer_put(at, own, sizeof(*open));
	result = ioctl(place_file(a[0]), call, open);
	if (result)
		return result_of(result);
	buffer_get(at, own, sizeof(*open));
	open = (void *)own;
	place_keep(a[2], open->ctrl_fd);
	return place_keep(a[3], open->map_fd);
}

long call_map(const uint64_t *a)
{
	struct pidfd_mem_map map = {
		.address = a[1],
		.offset = a[2],
		.size = a[3],
		.flags = a[4],
	};

	map.padding[a[5] % 7] = a[5];
	return result_of(ioctl(place_file(a[0]), PIDFD_MEM_MAP,
			       buffer_put(a[6], &map, sizeof(map))));
}

long call_unmap(const uint64_t *a)
{
	struct pidfd_mem_unmap unmap = { .offset = a[1], .size = a[2] };

	return result_of(ioctl(place_file(a[0]), PIDFD_MEM_UNMAP,
			       buffer_put(a[3], &unmap, sizeof(unmap))));
}

long call_lock(const uint64_t *a)
{
	return result_of(ioctl(place_file(a[0]), PIDFD_MEM_LOCK, a[1]));
}

long call_remap(const uint64_t *a)
{
	return result_of(ioctl(place_file(a[0]), PIDFD_MEM_REMAP, a[1]));
}

/* Any number, of any of the files */
long call_ioctl(const uint64_t *a)
{
	if (!harmless(a[2], PAGE_SIZE))
		return -EINVAL;
	return result_of(ioctl(place_file(a[0]), a[1], a[2]));
}

/* As a 32-bit program makes it: what it is given must lie low, as static data does. */
long call_ioctl32(const uint64_t *a)
{
	static struct pidfd_mem_map map;
	static struct pidfd_mem_unmap unmap;
	uint64_t argument = a[2];
	long result = 54; /* ioctl, there */

	if (a[1] == PIDFD_MEM_MAP) {
		map.address = a[2];
		map.offset = a[3];
		map.size = a[4];
		argument = (uintptr_t)&map;
	} else if (a[1] == PIDFD_MEM_UNMAP) {
		unmap.offset = a[3];
		unmap.size = a[4];
		argument = (uintptr_t)&unmap;
	}
	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"(place_file(a[0])), "c"((uint32_t)a[1]),
			   "d"((uint32_t)argument)
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)result;
}

/* ---- the map file as a file ------------------------------------------------------- */

/* Into or out of two pieces of the arena */
struct pieces {
	struct iovec io[2];
	bool ok;
};

static struct pieces pieces_at(uint64_t at, uint64_t length, uint64_t split)
{
	struct pieces pieces = { .ok = harmless(at, length) };

	split %= length + 1;
	pieces.io[0].iov_base = (void *)at;
	pieces.io[0].iov_len = split;
	pieces.io[1].iov_base = (void *)(at + split);
	pieces.io[1].iov_len = length - split;
	return pieces;
}

long call_read(const uint64_t *a)
{
	struct pieces to = pieces_at(a[3], a[2], a[4]);

	if (!to.ok)
		return -EINVAL;
	if (a[1] == OFFSET_CURRENT)
		return result_of(readv(place_file(a[0]), to.io, 2));
	return result_of(
		preadv2(place_file(a[0]), to.io, 2, (off_t)a[1], (int)a[5]));
}

long call_write(const uint64_t *a)
{
	struct pieces from = pieces_at(a[3], a[2], a[4]);

	if (a[1] == OFFSET_CURRENT)
		return result_of(writev(place_file(a[0]), from.io, 2));
	return result_of(
		pwritev2(place_file(a[0]), from.io, 2, (off_t)a[1], (int)a[5]));
}

/* Through a pipe that nobody else has: it never blocks for long. */
long call_splice(const uint64_t *a)
{
	off_t offset = (off_t)a[1];
	int pipe[2], file = place_file(a[0]);
	size_t length = a[2] % (16 * PAGE_SIZE);
	struct iovec io = { (void *)a[4], length };
	long result;

	if (pipe2(pipe, O_NONBLOCK | O_CLOEXEC))
		return -errno;
	if (a[3]) {
		result = harmless(a[4], length) ?
				 vmsplice(pipe[1], &io, 1, SPLICE_F_NONBLOCK) :
				 -1;
		result = splice(pipe[0], NULL, file, &offset, length,
				SPLICE_F_NONBLOCK);
	} else {
		result = splice(file, &offset, pipe[1], NULL, length,
				SPLICE_F_NONBLOCK);
	}
	result = result_of(result);
	close(pipe[0]);
	close(pipe[1]);
	return result;
}

long call_sendfile(const uint64_t *a)
{
	off_t offset = (off_t)a[2];

	return result_of(sendfile(place_file(a[0]), place_file(a[1]), &offset,
				  a[3] % (64 * PAGE_SIZE)));
}

long call_copy_range(const uint64_t *a)
{
	loff_t from = (loff_t)a[2], to = (loff_t)a[3];

	return result_of(copy_file_range(place_file(a[1]), &from,
					 place_file(a[0]), &to, a[4], 0));
}

long call_seek(const uint64_t *a)
{
	return result_of(lseek(place_file(a[0]), (off_t)a[1], (int)a[2]));
}

long call_poll(const uint64_t *a)
{
	struct pollfd poll_for = { place_file(a[0]), (short)a[1], 0 };

	return result_of(poll(&poll_for, 1, (int)(a[2] % 50)));
}

static long read_through(const char *path)
{
	static __thread char text[8192];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	long nr, sum = 0;

	if (file < 0)
		return -errno;
	while ((nr = read(file, text, sizeof(text))) > 0 && sum < 1 << 20)
		sum += nr;
	nr = nr < 0 ? -errno : sum;
	close(file);
	return nr;
}

long call_fdinfo(const uint64_t *a)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", place_file(a[0]));
	return read_through(path);
}

long call_reopen(const uint64_t *a)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", place_file(a[1]));
	return place_keep(a[0], open(path, (int)a[2] | O_CLOEXEC));
}

long call_dup(const uint64_t *a)
{
	return place_keep(a[0], fcntl(place_file(a[1]), F_DUPFD_CLOEXEC, 0));
}

/* The number stays where it was: it may come to be another file's. */
long call_close(const uint64_t *a)
{
	int file = place_file(a[0]);

	/* Those below are the fuzzer's. */
	return file < 0 ? -EBADF : result_of(close(file));
}

long call_status(const uint64_t *a)
{
	int file = place_file(a[0]);
	struct stat status;

	switch (a[1] % 7) {
	case 0:
		return result_of(fstat(file, &status));
	case 1:
		return result_of(ftruncate(file, (off_t)a[2]));
	case 2:
		return result_of(fchmod(file, a[2] & 07777));
	case 3:
		return result_of(fsync(file));
	case 4:
		return result_of(fcntl(file, F_SETFL, (int)a[2]));
	case 5:
		return result_of(fchown(file, 1000, 1000));
	default:
		return result_of(posix_fadvise(file, 0, 0, (int)a[2]));
	}
}

/* ---- handed over ------------------------------------------------------------------- */

long call_send(const uint64_t *a)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec io = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int file = place_file(a[0]);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	return result_of(
		sendmsg(channels[a[1] % PROCESSES][0], &message, MSG_DONTWAIT));
}

long call_receive(const uint64_t *a)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec io = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int file;

	if (recvmsg(channels[actor_process(current_actor)][1], &message,
		    MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -ENODATA;
	memcpy(&file, CMSG_DATA(header), sizeof(file));
	return place_keep(a[0], file);
}

/* As a debugger would, without asking; not what the fuzzer has for itself */
long call_take(const uint64_t *a)
{
	int pidfd = (int)syscall(SYS_pidfd_open, who_pid(a[1]), 0);
	long result;

	if (pidfd < 0)
		return -errno;
	result = place_keep(a[0], (int)syscall(SYS_pidfd_getfd, pidfd,
					       20 + (int)(a[2] % 16), 0));
	close(pidfd);
	return result;
}

/* ---- io_uring ------------------------------------------------------------------------ */

static void ring_entry(struct io_uring_sqe *entry, const uint64_t *a)
{
	entry->opcode = a[1];
	entry->fd = place_file(a[0]);
	entry->off = a[2];
	entry->addr = a[4];
	entry->len = (uint32_t)a[3];
	if (entry->opcode == IORING_OP_POLL_ADD) {
		entry->off = entry->addr = entry->len = 0;
		entry->poll32_events = POLLIN;
	}
	entry->flags = a[5] & (IOSQE_ASYNC | IOSQE_IO_DRAIN);
}

/* One request, which is given up with the ring if it takes longer. */
static long ring_submit(int ring, struct io_uring_params *params,
			const uint64_t *a)
{
	size_t size = params->cq_off.cqes +
		      params->cq_entries * sizeof(struct io_uring_cqe);
	char *queue = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
			   IORING_OFF_SQ_RING);
	struct io_uring_sqe *entries =
		mmap(NULL, params->sq_entries * sizeof(*entries),
		     PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	long result = -ENOMEM;

	if (queue != MAP_FAILED && entries != MAP_FAILED) {
		ring_entry(entries, a);
		((uint32_t *)(queue + params->sq_off.array))[0] = 0;
		__atomic_store_n((uint32_t *)(queue + params->sq_off.tail), 1,
				 __ATOMIC_RELEASE);
		result = result_of(
			syscall(SYS_io_uring_enter, ring, 1,
				entries->opcode == IORING_OP_POLL_ADD ? 0 : 1,
				IORING_ENTER_GETEVENTS, NULL, 0));
		if (result > 0)
			result = ((struct io_uring_cqe *)(queue +
							  params->cq_off.cqes))
					 ->res;
	}
	if (queue != MAP_FAILED)
		munmap(queue, size);
	if (entries != MAP_FAILED)
		munmap(entries, params->sq_entries * sizeof(*entries));
	return result;
}

long call_ring(const uint64_t *a)
{
	struct io_uring_params params = {};
	long result;
	int ring;

	if (!harmless(a[4], a[3]))
		return -EINVAL;
	ring = (int)syscall(SYS_io_uring_setup, 2, &params);
	if (ring < 0)
		return -errno;
	result = ring_submit(ring, &params, a);
	close(ring);
	return result;
}

/* ---- what the kernel shows ----------------------------------------------------------- */

long call_look(const uint64_t *a)
{
	static const char *const names[] = {
		"smaps", "maps", "numa_maps", "status", "pagemap", "clear_refs"
	};
	uint64_t which = a[1] % ARRAY_SIZE(names);
	char path[48];
	long result;
	int file;

	if (a[0] == WHO_KERNEL || a[0] == WHO_NONE)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/%s", who_pid(a[0]),
		 names[which]);
	if (which < 4)
		return read_through(path);
	file = open(path, (which == 5 ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	if (file < 0)
		return -errno;
	if (which == 5) {
		result = result_of(write(file, "4", 1));
	} else {
		uint64_t entries[512];

		result = result_of(pread(file, entries, sizeof(entries),
					 ARENA / PAGE_SIZE * 8));
	}
	close(file);
	return result;
}
