// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that a userfaultfd of the source provides or write-protects: a viewer
 * waits as the source itself would, and harms nobody while it waits.
 */
#include "harness.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>

#define PAGES 8UL
#define SIZE (PAGES * PAGE_SIZE)

FIXTURE(userfault)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
	int uffd; /* the source's */
};

struct registration {
	uint64_t start;
	uint64_t size;
	uint64_t mode;
};

/* In the source: the userfaultfd, registered, or -errno */
static long uffd_make(void *arg)
{
	struct registration *registration = arg;
	struct uffdio_register order = {
		.range = { registration->start, registration->size },
		.mode = registration->mode,
	};
	struct uffdio_api api = { .api = UFFD_API };
	/* Without O_NONBLOCK poll() tells nothing. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &order))
		return -errno;
	return fd;
}

static int uffd_open(struct source *source, uint64_t start, size_t size,
		     uint64_t mode)
{
	struct registration registration = { start, size, mode };
	int pidfd, fd;

	fd = source_call(source, uffd_make, &registration,
			 sizeof(registration));
	if (fd < 0)
		fatal("no userfaultfd in the source: %s", strerror(-fd));
	pidfd = pidfd_open(source->pid, 0);
	fd = pidfd_getfd(pidfd, fd, 0);
	if (fd < 0)
		fatal("pidfd_getfd: %m");
	close(pidfd);
	return fd;
}

FIXTURE_SETUP(userfault)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
}

FIXTURE_TEARDOWN(userfault)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* Wait for the fault that somebody waits in: its address, and whether it is a
 * write to a protected page.
 */
static uint64_t uffd_wait(int uffd, bool *protected)
{
	struct pollfd pollfd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg message;

	if (poll(&pollfd, 1, patience(20) * 1000) != 1)
		fatal("nobody waits for the userfaultfd");
	if (read(uffd, &message, sizeof(message)) != sizeof(message))
		fatal("read of a userfaultfd: %m");
	if (message.event != UFFD_EVENT_PAGEFAULT)
		fatal("not a page fault: event %u", message.event);
	*protected = message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP;
	return message.arg.pagefault.address;
}

static void uffd_copy(int uffd, uint64_t address, uint64_t value)
{
	uint64_t page[PAGE_SIZE / sizeof(uint64_t)] = { value };
	struct uffdio_copy order = {
		.dst = address,
		.src = (uintptr_t)page,
		.len = PAGE_SIZE,
	};

	if (ioctl(uffd, UFFDIO_COPY, &order))
		fatal("UFFDIO_COPY: %m");
}

static void uffd_protect(int uffd, uint64_t address, size_t size, bool protect)
{
	struct uffdio_writeprotect order = {
		.range = { address, size },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &order))
		fatal("UFFDIO_WRITEPROTECT: %m");
}

/* A thread of the viewer that touches one word and waits there if it must */
struct toucher {
	pthread_t thread;
	volatile void *at;
	bool write;
	uint64_t value;
	int raised;
	bool done;
};

static void *toucher_run(void *arg)
{
	struct toucher *toucher = arg;

	if (toucher->write)
		toucher->raised = touch_write(toucher->at, toucher->value);
	else
		toucher->raised = touch_read(toucher->at, &toucher->value);
	__atomic_store_n(&toucher->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void toucher_start(struct toucher *toucher, volatile void *at,
			  bool write, uint64_t value)
{
	*toucher = (struct toucher){ .at = at, .write = write, .value = value };
	if (pthread_create(&toucher->thread, NULL, toucher_run, toucher))
		fatal("pthread_create failed");
}

static bool toucher_done(struct toucher *toucher)
{
	return __atomic_load_n(&toucher->done, __ATOMIC_ACQUIRE);
}

static void toucher_join(struct toucher *toucher)
{
	WAIT_FOR(toucher_done(toucher));
	pthread_join(toucher->thread, NULL);
}

TEST_F(userfault, viewer_waits_for_a_page_that_is_delivered_late)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	ASSERT_FALSE(toucher_done(&toucher));
	uffd_copy(uffd, ADDRESS(2), 22);
	toucher_join(&toucher);
	ASSERT_EQ(0, toucher.raised);
	ASSERT_EQ(22, toucher.value);
	ASSERT_LE(1, mirror_mapped(&self->mirror));
	source_store(self->source, ADDRESS(2), 23);
	ASSERT_SHOWS(23, AT(2));
}

TEST_F(userfault, viewers_write_waits_for_a_page_and_goes_into_it)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), true, 99);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	ASSERT_FALSE(toucher_done(&toucher));
	uffd_copy(uffd, ADDRESS(2), 22);
	toucher_join(&toucher);
	ASSERT_EQ(0, toucher.raised);
	ASSERT_EQ(99, source_load(self->source, ADDRESS(2)));
}

TEST_F(userfault, a_waiting_viewer_blocks_neither_process)
{
	struct toucher toucher;
	uint64_t other;
	bool protected;
	void *mine;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));

	/* All of these want an address space for themselves. */
	mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mine);
	ASSERT_EQ(0, mprotect(mine, PAGE_SIZE, PROT_READ));
	ASSERT_EQ(0, munmap(mine, SIZE));
	ASSERT_EQ(0, mprotect(AT(4), PAGE_SIZE, PROT_READ));
	other = source_anon(self->source, SIZE, 0);
	source_store(self->source, other, 1);
	source_munmap(self->source, other, SIZE);
	ASSERT_EQ(0, view_add(self->mirror.ctrl, self->memory, SIZE, SIZE, 0));
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, SIZE, SIZE));

	/* A page that is there can be had meanwhile. */
	uffd_copy(uffd, ADDRESS(5), 55);
	ASSERT_SHOWS(55, AT(5));
	ASSERT_FALSE(toucher_done(&toucher));
	uffd_copy(uffd, ADDRESS(2), 22);
	toucher_join(&toucher);
	ASSERT_EQ(22, toucher.value);
}

TEST_F(userfault, a_waiting_viewer_sees_a_view_that_is_removed)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
	uffd_copy(uffd, ADDRESS(2), 22);
	toucher_join(&toucher);
	ASSERT_EQ(SIGBUS, toucher.raised);
}

TEST_F(userfault, a_waiting_viewer_sees_its_source_die)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	/* The waiting fault may hold the address space until it is woken. */
	source_kill(self->source);
	close(uffd);
	toucher_join(&toucher);
	ASSERT_EQ(SIGBUS, toucher.raised);
	/* The viewer let go of the address space; a worker takes it down. */
	WAIT_FOR(counter(self->mirror.map, "ended") == 1);
}

TEST_F(userfault, a_waiting_viewer_sees_its_source_exec)
{
	char *argv[] = { "sleep", "1000", NULL };
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	ASSERT_EQ(0, source_exec(self->source, "/usr/lib/busybox/sleep", argv));
	close(uffd);
	toucher_join(&toucher);
	ASSERT_EQ(SIGBUS, toucher.raised);
}

/* A process of its own that maps the map file and touches one page */
static pid_t viewer_start(int map, size_t offset, bool write)
{
	pid_t pid = fork();
	uint64_t value;
	char *at;

	if (pid)
		return pid;
	at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (at == MAP_FAILED)
		_exit(1);
	if (write)
		touch_write(at + offset, 1);
	else
		touch_read(at + offset, &value);
	_exit(2);
}

static void viewer_must_die_on_sigkill(struct __test_metadata *_metadata,
				       pid_t viewer)
{
	int status;

	/* It waits, and has not ended by itself. */
	ASSERT_EQ(0, waitpid(viewer, &status, WNOHANG));
	ASSERT_EQ(0, kill(viewer, SIGKILL));
	WAIT_FOR(waitpid(viewer, &status, WNOHANG) == viewer);
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_F(userfault, viewer_of_a_page_that_never_comes_dies_on_sigkill)
{
	bool protected;
	pid_t viewer;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	viewer = viewer_start(self->mirror.map, 2 * PAGE_SIZE, false);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	viewer_must_die_on_sigkill(_metadata, viewer);
	viewer = viewer_start(self->mirror.map, 3 * PAGE_SIZE, true);
	ASSERT_EQ(ADDRESS(3), uffd_wait(uffd, &protected));
	viewer_must_die_on_sigkill(_metadata, viewer);
	/* The source is none the worse. */
	uffd_copy(uffd, ADDRESS(2), 22);
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_SHOWS(22, AT(2));
}

TEST_F(userfault, many_viewers_wait_for_one_page)
{
	struct toucher toucher[8];
	bool protected;
	size_t i;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	for (i = 0; i < 8; i++)
		toucher_start(&toucher[i], AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	uffd_copy(uffd, ADDRESS(2), 22);
	for (i = 0; i < 8; i++) {
		toucher_join(&toucher[i]);
		ASSERT_EQ(0, toucher[i].raised);
		ASSERT_EQ(22, toucher[i].value);
	}
}

TEST_F(userfault, the_source_and_a_viewer_wait_for_one_page)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	source_store_begin(self->source, ADDRESS(2), 24);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	toucher_start(&toucher, AT(2) + 8, false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected) & ~(PAGE_SIZE - 1));
	uffd_copy(uffd, ADDRESS(2), 22);
	ASSERT_EQ(0, source_finish(self->source));
	toucher_join(&toucher);
	ASSERT_EQ(0, toucher.value);
	ASSERT_SHOWS(24, AT(2));
}

TEST_F(userfault, discarded_memory_is_asked_for_again)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	uffd_copy(uffd, ADDRESS(2), 22);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(2),
						PAGE_SIZE, MADV_DONTNEED)));
	toucher_start(&toucher, AT(2), false, 0);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	uffd_copy(uffd, ADDRESS(2), 23);
	toucher_join(&toucher);
	ASSERT_EQ(23, toucher.value);
}

TEST_F(userfault, resident_view_does_not_wait)
{
	struct mirror mirror;
	struct pollfd pollfd;
	int uffd;

	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_MISSING);
	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	ASSERT_HOLE(mirror.at + 2 * PAGE_SIZE);
	pollfd = (struct pollfd){ .fd = uffd, .events = POLLIN };
	ASSERT_EQ(0, poll(&pollfd, 1, 0));
	uffd_copy(uffd, ADDRESS(2), 22);
	ASSERT_SHOWS(22, mirror.at + 2 * PAGE_SIZE);
	mirror_close(&mirror);
}

/* ---- write protection --------------------------------------------------------- */

TEST_F(userfault, write_protection_catches_the_viewers_write)
{
	struct toucher toucher;
	bool protected;
	int uffd;

	source_fill(self->source, self->memory, SIZE, 1);
	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_WP);
	ASSERT_WRITES(22, AT(2));
	ASSERT_WRITES(33, AT(3));
	ASSERT_HITS(&self->mirror,
		    uffd_protect(uffd, self->memory, SIZE, true));
	/* Looking is free. */
	ASSERT_SHOWS(22, AT(2));

	toucher_start(&toucher, AT(2), true, 23);
	ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
	ASSERT_TRUE(protected);
	ASSERT_FALSE(toucher_done(&toucher));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	uffd_protect(uffd, ADDRESS(2), PAGE_SIZE, false);
	toucher_join(&toucher);
	ASSERT_EQ(0, toucher.raised);
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));

	/* The page beside it is still protected, for both. */
	source_store_begin(self->source, ADDRESS(3), 34);
	ASSERT_EQ(ADDRESS(3), uffd_wait(uffd, &protected));
	ASSERT_TRUE(protected);
	ASSERT_SHOWS(33, AT(3));
	uffd_protect(uffd, ADDRESS(3), PAGE_SIZE, false);
	ASSERT_EQ(0, source_finish(self->source));
	ASSERT_SHOWS(34, AT(3));
}

TEST_F(userfault, write_protection_again_and_again)
{
	struct toucher toucher;
	bool protected;
	int uffd, turn;

	source_fill(self->source, self->memory, SIZE, 1);
	uffd = uffd_open(self->source, self->memory, SIZE,
			 UFFDIO_REGISTER_MODE_WP);
	for (turn = 1; turn <= 20; turn++) {
		uffd_protect(uffd, ADDRESS(2), PAGE_SIZE, true);
		toucher_start(&toucher, AT(2), true, turn);
		ASSERT_EQ(ADDRESS(2), uffd_wait(uffd, &protected));
		uffd_protect(uffd, ADDRESS(2), PAGE_SIZE, false);
		toucher_join(&toucher);
		ASSERT_EQ(turn, source_load(self->source, ADDRESS(2)));
	}
}

/* ---- UFFDIO_MOVE (since 6.8) ----------------------------------------------------- */

#ifndef UFFDIO_MOVE
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

/* In the source, since the kernel moves pages of the caller alone */
static long uffd_move(void *arg)
{
	struct {
		int fd;
		struct uffdio_move order;
	} *call = arg;

	return ioctl(call->fd, UFFDIO_MOVE, &call->order) ? -errno : 0;
}

TEST_F(userfault, a_page_that_userfaultfd_moves_shows_where_it_is)
{
	struct registration registration = { self->memory, SIZE,
					     UFFDIO_REGISTER_MODE_MISSING };
	uint64_t from = source_anon(self->source, SIZE, 0);
	struct {
		int fd;
		struct uffdio_move order;
	} call = { .order = { .dst = ADDRESS(2),
			      .src = from + 2 * PAGE_SIZE,
			      .len = PAGE_SIZE } };
	struct mirror mirror;
	long result;

	source_fill(self->source, from, SIZE, 1);
	mirror = mirror_open(self->source->pid, from, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_WRITES(22, mirror.at + 2 * PAGE_SIZE);
	call.fd = source_call(self->source, uffd_make, &registration,
			      sizeof(registration));
	ASSERT_LE(0, call.fd);
	result = source_call(self->source, uffd_move, &call, sizeof(call));
	if (result == -EINVAL || result == -ENOTTY)
		SKIP(return, "this kernel has no UFFDIO_MOVE");
	ASSERT_EQ(0, result);
	ASSERT_LT(0, mirror_hits(&mirror));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_SHOWS(0, mirror.at + 2 * PAGE_SIZE);
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(0, source_load(self->source, from + 2 * PAGE_SIZE));
	mirror_close(&mirror);
}

TEST_HARNESS_MAIN
