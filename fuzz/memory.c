// SPDX-License-Identifier: GPL-2.0
/*
 * The calls on memory: what a source does to its own, and a viewer to its
 * mirrors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

/* What is taken away or changed is the arena's. */
static bool in_arena(uint64_t at, uint64_t length)
{
	return at >= ARENA && harmless(at, length);
}

/* ---- mappings ----------------------------------------------------------------------- */

/* A mirror: anywhere, but MAP_FIXED only in the arena */
long call_mirror(const uint64_t *a)
{
	void *at;

	if (a[5] & MAP_FIXED && !in_arena(a[1], a[2]))
		return -EINVAL;
	at = mmap((void *)a[1], a[2], (int)a[4], (int)a[5], place_file(a[0]),
		  (off_t)a[3]);
	return at == MAP_FAILED ? -errno : 0;
}

/* Memory of one's own, of a file if there is one */
long call_mmap(const uint64_t *a)
{
	int file = (int)a[3] & MAP_ANONYMOUS ? -1 : place_file(a[4]);
	void *at;

	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	at = mmap((void *)a[0], a[1], (int)a[2], (int)a[3] | MAP_FIXED, file,
		  (off_t)a[5]);
	return at == MAP_FAILED ? -errno : 0;
}

long call_munmap(const uint64_t *a)
{
	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	return result_of(munmap((void *)a[0], a[1]));
}

long call_mremap(const uint64_t *a)
{
	void *at;

	if (!in_arena(a[0], a[1]) || !in_arena(a[4], a[2]))
		return -EINVAL;
	at = mremap((void *)a[0], a[1], a[2], (int)a[3], (void *)a[4]);
	return at == MAP_FAILED ? -errno : 0;
}

long call_mprotect(const uint64_t *a)
{
	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	return result_of(mprotect((void *)a[0], a[1], (int)a[2]));
}

long call_madvise(const uint64_t *a)
{
	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	return result_of(madvise((void *)a[0], a[1], (int)a[2]));
}

long call_process_madvise(const uint64_t *a)
{
	struct iovec io = { (void *)a[1], a[2] };
	int pidfd;
	long result;

	if (!in_arena(a[1], a[2]) || a[0] == WHO_INIT)
		return -EINVAL;
	pidfd = (int)syscall(SYS_pidfd_open, who_pid(a[0]), 0);
	if (pidfd < 0)
		return -errno;
	result = result_of(
		syscall(SYS_process_madvise, pidfd, &io, 1UL, (int)a[3], 0));
	close(pidfd);
	return result;
}

long call_mlock(const uint64_t *a)
{
	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	if (a[2] > 1)
		return result_of(munlock((void *)a[0], a[1]));
	return result_of(mlock2((void *)a[0], a[1], (int)a[2]));
}

long call_msync(const uint64_t *a)
{
	return result_of(msync((void *)a[0], a[1], (int)a[2]));
}

long call_mincore(const uint64_t *a)
{
	unsigned char pages[ARENA_SIZE / PAGE_SIZE];

	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	return result_of(mincore((void *)a[0], a[1], pages));
}

/* ---- touched -------------------------------------------------------------------------- */

struct touch {
	uint64_t at;
	uint64_t end;
	uint64_t stride;
	uint64_t how;
};

static void touch_work(void *argument)
{
	struct touch *touch = argument;
	uint64_t at;

	for (at = touch->at; at < touch->end; at += touch->stride) {
		uint64_t *word = (uint64_t *)(at & ~7ULL);

		if (touch->how != HOW_WRITE)
			(void)*(volatile uint64_t *)word;
		if (touch->how == HOW_WRITE || touch->how == HOW_BOTH)
			*(volatile uint64_t *)word = at;
		if (touch->how == HOW_EXCHANGE)
			__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
	}
}

/* Goes on behind each fault, a few times. */
long call_access(const uint64_t *a)
{
	struct touch touch = { a[0], a[0] + a[1], a[2] ?: 8, a[3] };
	int raised = 0, left = 8, signal;

	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	/* A fault takes a millisecond where all is checked. */
	if (touch.stride < a[1] / 32)
		touch.stride = a[1] / 32;
	while (left-- && touch.at < touch.end) {
		struct touch part = touch;

		part.end = left ? touch.at + (touch.end - touch.at) / 2 + 1 :
				  touch.end;
		signal = guarded(touch_work, &part);
		if (signal)
			raised = signal;
		touch.at = part.end;
	}
	return -raised;
}

long call_futex(const uint64_t *a)
{
	static const int calls[] = { FUTEX_WAIT,
				     FUTEX_WAKE,
				     FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
				     FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
				     FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG,
				     FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG };
	struct timespec limit = { .tv_nsec = 5000000 };

	if (!harmless(a[0], 4))
		return -EINVAL;
	return result_of(syscall(SYS_futex, a[0] & ~3ULL,
				 calls[a[1] % ARRAY_SIZE(calls)], a[2], &limit,
				 NULL, 0));
}

long call_process_vm(const uint64_t *a)
{
	struct iovec own = { (void *)a[1], a[3] },
		     theirs = { (void *)a[2], a[3] };
	pid_t pid = who_pid(a[0]);

	if (!in_arena(a[1], a[3]) || !in_arena(a[2], a[3]))
		return -EINVAL;
	return result_of(a[4] ? process_vm_writev(pid, &own, 1, &theirs, 1, 0) :
				process_vm_readv(pid, &own, 1, &theirs, 1, 0));
}

/* ---- files that memory is of ---------------------------------------------------------- */

long call_memfd(const uint64_t *a)
{
	int file = memfd_create("fuzz", (unsigned int)a[1] | MFD_CLOEXEC);

	if (file >= 0 && ftruncate(file, (off_t)(a[2] % (ARENA_SIZE + 1))))
		errno = 0;
	return place_keep(a[0], file);
}

long call_secret(const uint64_t *a)
{
	int file = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

	if (file >= 0 && ftruncate(file, (off_t)(a[1] % (ARENA_SIZE + 1))))
		errno = 0;
	return place_keep(a[0], file);
}

/* On a disk if the machine has one there, else tmpfs */
long call_file(const uint64_t *a)
{
	char path[] = "/tmp/fuzz/fileXXXXXX";
	int file = mkostemp(path, O_CLOEXEC);

	if (file >= 0) {
		unlink(path);
		if (ftruncate(file, (off_t)(a[1] % (ARENA_SIZE + 1))))
			errno = 0;
	}
	return place_keep(a[0], file);
}

long call_truncate(const uint64_t *a)
{
	return result_of(
		ftruncate(place_file(a[0]), (off_t)(a[1] % (ARENA_SIZE + 1))));
}

long call_fallocate(const uint64_t *a)
{
	return result_of(fallocate(place_file(a[0]), (int)a[1],
				   (off_t)(a[2] % ARENA_SIZE),
				   (off_t)(a[3] % ARENA_SIZE)));
}

/* ---- moved ---------------------------------------------------------------------------- */

long call_mbind(const uint64_t *a)
{
	unsigned long nodes = a[3] & 3;

	if (!in_arena(a[0], a[1]))
		return -EINVAL;
	return result_of(syscall(SYS_mbind, a[0], a[1], (int)a[2], &nodes, 3UL,
				 (unsigned int)a[4]));
}

long call_move_pages(const uint64_t *a)
{
	enum { PAGES = 64 };
	void *pages[PAGES];
	int nodes[PAGES], status[PAGES];
	uint64_t nr = a[2] / PAGE_SIZE, i;

	if (a[0] == WHO_INIT || !in_arena(a[1], a[2]))
		return -EINVAL;
	if (nr > PAGES)
		nr = PAGES;
	for (i = 0; i < nr; i++) {
		pages[i] = (void *)(a[1] + i * PAGE_SIZE);
		nodes[i] = (int)((a[3] + (a[3] > 1 ? i : 0)) & 1);
	}
	return result_of(syscall(SYS_move_pages, who_pid(a[0]), nr, pages,
				 nodes, status, MPOL_MF_MOVE));
}

/* ---- userfaultfd ------------------------------------------------------------------------ */

long call_userfault(const uint64_t *a)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { a[1], a[2] },
		.mode = a[3],
	};
	int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	long result;

	if (file < 0)
		return -errno;
	if (!in_arena(a[1], a[2]) || ioctl(file, UFFDIO_API, &api)) {
		close(file);
		return -EINVAL;
	}
	result = result_of(ioctl(file, UFFDIO_REGISTER, &range));
	place_keep(a[0], file);
	return result;
}

/* In any process that has the file: it names the memory, not its own. */
long call_userfault_fill(const uint64_t *a)
{
	static char from[PAGE_SIZE] __attribute__((aligned(4096)));
	struct uffdio_copy copy = { a[1], (uint64_t)from, PAGE_SIZE, a[4], 0 };
	struct uffdio_zeropage zero = { { a[1], a[2] }, a[4], 0 };
	struct uffdio_writeprotect protect = { { a[1], a[2] }, a[4] };
	struct uffdio_range range = { a[1], a[2] };
	int file = place_file(a[0]);

	if (!in_arena(a[1], a[2]))
		return -EINVAL;
	switch (a[3] % 5) {
	case 0:
		return result_of(ioctl(file, UFFDIO_COPY, &copy));
	case 1:
		return result_of(ioctl(file, UFFDIO_ZEROPAGE, &zero));
	case 2:
		return result_of(ioctl(file, UFFDIO_WRITEPROTECT, &protect));
	case 3:
		return result_of(ioctl(file, UFFDIO_WAKE, &range));
	default:
		return result_of(ioctl(file, UFFDIO_UNREGISTER, &range));
	}
}

/* ---- processes -------------------------------------------------------------------------- */

static void become_another(void)
{
	execl("/proc/self/exe", "fuzz", "--sleep", (char *)NULL);
}

long call_fork(const uint64_t *a)
{
	struct touch touch = { a[1], a[1] + a[2], PAGE_SIZE * 64, HOW_BOTH };
	pid_t pid;

	if (!in_arena(a[1], a[2]))
		return -EINVAL;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		shared->actors[current_actor].child = pid;
		return 0;
	}
	if (a[0] == END_WRITE || a[0] == END_SLEEP)
		guarded(touch_work, &touch);
	if (a[0] == END_SLEEP)
		pause();
	if (a[0] == END_EXEC)
		become_another();
	_exit(0);
}

long call_exec(const uint64_t *a)
{
	(void)a;
	if (current_actor >= ACTOR_S0)
		shared->actors[current_actor].gone = 1;
	become_another();
	return -errno;
}

/* A source; a thread of the viewer takes all others with it. */
long call_exit(const uint64_t *a)
{
	if (current_actor >= ACTOR_S0)
		shared->actors[current_actor].gone = 1;
	_exit((int)a[0]);
}

long call_kill(const uint64_t *a)
{
	if (a[0] != WHO_S0 && a[0] != WHO_S1 && a[0] != WHO_CHILD)
		return -EINVAL;
	if (who_pid(a[0]) <= 1)
		return -ESRCH;
	if (a[1] == SIGKILL && a[0] != WHO_CHILD)
		shared->actors[ACTOR_S0 + a[0] - WHO_S0].gone = 1;
	return result_of(kill(who_pid(a[0]), (int)a[1]));
}

long call_knob(const uint64_t *a)
{
	static const char *const knobs[][2] = {
		{ "/proc/sys/vm/compact_memory", "1" },
		{ "/proc/sys/vm/drop_caches", "1" },
		{ "/sys/kernel/mm/ksm/run", "1" },
		{ "/sys/kernel/mm/ksm/run", "2" },
		{ "/sys/fs/cgroup/fuzz/memory.reclaim", "4M" },
	};
	const char *const *knob = knobs[a[0] % ARRAY_SIZE(knobs)];
	int file = open(knob[0], O_WRONLY | O_CLOEXEC);
	long result;

	if (file < 0)
		return -errno;
	result = result_of(write(file, knob[1], strlen(knob[1])));
	close(file);
	return result;
}
