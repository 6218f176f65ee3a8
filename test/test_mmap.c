// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrors: what mmap of a map file allows and refuses, what a mirror shows of
 * views that come and go, and what the rest of the memory system calls do to
 * it, which is no harm.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "harness.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define PAGES 16
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 0x3117

/* A source with PAGES filled pages, which are the view at offset 0 */
FIXTURE(mirror) {
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
};

FIXTURE_SETUP(mirror)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
}

FIXTURE_TEARDOWN(mirror)
{
	source_end(self->source);
}

static char *map_pages(int fd, int first, int count, int prot)
{
	return mmap(NULL, count * PAGE_SIZE, prot, MAP_SHARED, fd,
		    first * PAGE_SIZE);
}

static char *map_or_die(int fd, int first, int count, int prot)
{
	char *at = map_pages(fd, first, count, prot);

	if (at == MAP_FAILED)
		fatal("mmap of pages %d to %d: %m", first, first + count - 1);
	return at;
}

/* The error of a call that returns -1, or 0 */
#define ERROR_OF(call) ((call) == -1 ? errno : 0)
#define MMAP_ERROR(call) ((call) == MAP_FAILED ? errno : 0)

/* Which page of the source is there; or -signal; -1: no page of it */
static int shown(const char *at)
{
	uint64_t value;
	int page, raised = touch_read(at, &value);

	if (raised)
		return -raised;
	for (page = 0; page < PAGES; page++)
		if (value == pattern(SEED, page))
			return page;
	return -1;
}

/* A process of its own that has nothing of the test's but its files: what
 * function returns there, or 128 + the signal that ended it
 */
static int in_child(int (*function)(void *), void *argument)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(function(argument));
	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid: %m");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

/* ---- what mmap refuses ------------------------------------------------------- */

TEST_F(mirror, private_EINVAL)
{
	EXPECT_EQ(EINVAL, MMAP_ERROR(mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE,
					  self->map, 0)));
	EXPECT_EQ(EINVAL, MMAP_ERROR(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE, self->map, 0)));
	EXPECT_EQ(EINVAL, MMAP_ERROR(mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE,
					  self->map, 0)));
}

TEST_F(mirror, private_of_a_read_only_map_file_EINVAL)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDONLY, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, SIZE, 0));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, map, 0)));
	EXPECT_EQ(EINVAL, MMAP_ERROR(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE, map, 0)));
}

TEST_F(mirror, shared_validate_works_as_shared)
{
	char *at =
		mmap(NULL, SIZE, PROT_READ, MAP_SHARED_VALIDATE, self->map, 0);

	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(EOPNOTSUPP, MMAP_ERROR(mmap(NULL, SIZE, PROT_READ,
					      MAP_SHARED_VALIDATE | MAP_SYNC,
					      self->map, 0)));
}

TEST_F(mirror, executable_EPERM)
{
	int fd = device_open(O_RDWR);

	EXPECT_EQ(EPERM, MMAP_ERROR(map_pages(self->map, 0, 1, PROT_EXEC)));
	EXPECT_EQ(EPERM, MMAP_ERROR(map_pages(self->map, 0, 1,
					      PROT_READ | PROT_EXEC)));
	EXPECT_EQ(EPERM,
		  MMAP_ERROR(map_pages(self->map, 0, 1,
				       PROT_READ | PROT_WRITE | PROT_EXEC)));
	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	EXPECT_EQ(EPERM, MMAP_ERROR(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC,
					 MAP_SHARED, fd, self->memory)));
}

TEST_F(mirror, executable_later_EACCES)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	int fd = device_open(O_RDWR);

	EXPECT_EQ(EACCES, ERROR_OF(mprotect(at, SIZE, PROT_READ | PROT_EXEC)));
	EXPECT_EQ(EACCES, ERROR_OF(mprotect(at, PAGE_SIZE, PROT_EXEC)));
	EXPECT_EQ(0, shown(at));
	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, self->memory);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(EACCES,
		  ERROR_OF(mprotect(at, PAGE_SIZE, PROT_READ | PROT_EXEC)));
}

/* No way to write through a map file that is for reading */
static void expect_read_only(struct __test_metadata *_metadata, int map,
			     uint64_t offset)
{
	char *at;

	EXPECT_EQ(EACCES,
		  MMAP_ERROR(mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, map, offset)));
	EXPECT_EQ(EACCES, MMAP_ERROR(mmap(NULL, PAGE_SIZE, PROT_WRITE,
					  MAP_SHARED, map, offset)));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, map, offset);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(EACCES,
		  ERROR_OF(mprotect(at, PAGE_SIZE, PROT_READ | PROT_WRITE)));
	EXPECT_EQ(SIGSEGV, touch_write(at, 1));
	EXPECT_EQ(0, shown(at));
}

TEST_F(mirror, write_where_mem_fd_is_for_reading_EACCES)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDONLY, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
	expect_read_only(_metadata, map, 0);
}

TEST_F(mirror, write_where_opened_for_reading_EACCES)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR,
				  PIDFD_MEM_OPEN_RDONLY, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
	expect_read_only(_metadata, map, 0);
}

TEST_F(mirror, write_where_the_device_is_open_for_reading_EACCES)
{
	int fd = device_open(O_RDONLY);

	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	expect_read_only(_metadata, fd, self->memory);
}

TEST_F(mirror, no_view_EINVAL)
{
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(self->map, PAGES, 1, PROT_READ)));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(self->map, PAGES, 1000, PROT_READ)));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, (PAGES + 2) * PAGE_SIZE,
			      PAGE_SIZE, 0));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(self->map, PAGES, 2, PROT_READ)));
	EXPECT_EQ(0, MMAP_ERROR(map_pages(self->map, PAGES, 3, PROT_READ)));
	EXPECT_EQ(0,
		  MMAP_ERROR(map_pages(self->map, PAGES + 2, 10, PROT_READ)));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(self->map, PAGES + 3, 10, PROT_READ)));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(self->map, 0, PAGES, PROT_READ)));
}

TEST_F(mirror, a_device_file_without_a_process_cannot_be_mapped)
{
	EXPECT_EQ(MAP_FAILED, map_pages(device_open(O_RDWR), 0, 1, PROT_READ));
}

TEST(own_address_space_EINVAL)
{
	static char own[2 * PAGE_SIZE];
	uint64_t page = ((uint64_t)own + PAGE_SIZE - 1) & -PAGE_SIZE;
	int ctrl, map, fd = device_open(O_RDWR);

	ASSERT_EQ(0, context_open(getpid(), O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, page, 0, PAGE_SIZE, 0));
	EXPECT_EQ(EINVAL, MMAP_ERROR(map_pages(map, 0, 1, PROT_READ)));
	EXPECT_EQ(EINVAL,
		  MMAP_ERROR(map_pages(map, 0, 1, PROT_READ | PROT_WRITE)));
	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, getpid()));
	EXPECT_EQ(EINVAL, MMAP_ERROR(mmap(NULL, PAGE_SIZE, PROT_READ,
					  MAP_SHARED, fd, page)));
}

static int map_and_compare(void *argument)
{
	char *at = map_pages(*(int *)argument, 0, 1, PROT_READ);

	return at == MAP_FAILED ? errno : (int)*(volatile char *)at;
}

TEST(a_child_may_map_its_parent)
{
	char *own = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ctrl, map;

	*own = 99;
	ASSERT_EQ(0, context_open(getpid(), O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, (uint64_t)own, 0, PAGE_SIZE, 0));
	EXPECT_EQ(99, in_child(map_and_compare, &map));
}

/* ---- views under a mirror ------------------------------------------------------ */

TEST_F(mirror, spans_views_and_holes)
{
	char *at;
	int page;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 3 * PAGE_SIZE,
			      (PAGES + 1) * PAGE_SIZE, PAGE_SIZE, 0));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 7 * PAGE_SIZE,
			      (PAGES + 2) * PAGE_SIZE, PAGE_SIZE, 0));
	at = map_or_die(self->map, 0, PAGES + 4, PROT_READ);
	for (page = 0; page < PAGES; page++) {
		EXPECT_EQ(page, shown(at + page * PAGE_SIZE));
	}
	EXPECT_EQ(-SIGBUS, shown(at + PAGES * PAGE_SIZE));
	EXPECT_EQ(3, shown(at + (PAGES + 1) * PAGE_SIZE));
	EXPECT_EQ(7, shown(at + (PAGES + 2) * PAGE_SIZE));
	EXPECT_EQ(-SIGBUS, shown(at + (PAGES + 3) * PAGE_SIZE));
}

TEST_F(mirror, begins_in_a_hole)
{
	char *at;

	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 2 * PAGE_SIZE,
			      PAGE_SIZE, 0));
	at = map_or_die(self->map, 0, 3, PROT_READ | PROT_WRITE);
	EXPECT_EQ(-SIGBUS, shown(at));
	EXPECT_EQ(SIGBUS, touch_write(at + PAGE_SIZE, 1));
	EXPECT_EQ(0, shown(at + 2 * PAGE_SIZE));
}

TEST_F(mirror, shows_a_view_that_is_added_later)
{
	char *at = map_or_die(self->map, 0, PAGES + 2, PROT_READ);

	ASSERT_EQ(-SIGBUS, shown(at + SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 5 * PAGE_SIZE, SIZE,
			      PAGE_SIZE, 0));
	EXPECT_EQ(5, shown(at + SIZE));
	EXPECT_EQ(-SIGBUS, shown(at + SIZE + PAGE_SIZE));
}

TEST_F(mirror, loses_a_removed_view_at_once)
{
	char *first = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	char *second = map_or_die(self->map, 4, 4, PROT_READ);
	int page;

	for (page = 0; page < PAGES; page++) {
		ASSERT_EQ(page, shown(first + page * PAGE_SIZE));
	}
	ASSERT_EQ(0, touch_write(first, pattern(SEED, 0)));
	ASSERT_EQ(4, shown(second));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	for (page = 0; page < PAGES; page++) {
		EXPECT_EQ(-SIGBUS, shown(first + page * PAGE_SIZE));
	}
	EXPECT_EQ(SIGBUS, touch_write(first, 1));
	EXPECT_EQ(-SIGBUS, shown(second));
	EXPECT_EQ(pattern(SEED, 0), source_load(self->source, self->memory));
}

struct other_viewer {
	int map;
	int ready;
	int go;
};

/* Touches a mirror, says so, is told to go on, touches it again */
static int touch_twice(void *argument)
{
	struct other_viewer *viewer = argument;
	char *at = map_or_die(viewer->map, 0, 1, PROT_READ);
	char byte = 0;

	if (shown(at) || write(viewer->ready, &byte, 1) != 1 ||
	    read(viewer->go, &byte, 1) != 1)
		return 1;
	return -shown(at);
}

TEST_F(mirror, other_processes_lose_a_removed_view_too)
{
	struct other_viewer viewer = { .map = self->map };
	int ready[2], go[2], status;
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	viewer.ready = ready[1];
	viewer.go = go[0];
	pid = fork();
	if (!pid)
		_exit(touch_twice(&viewer));
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(1, write(go[1], &byte, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGBUS, WEXITSTATUS(status));
}

TEST_F(mirror, shows_another_view_at_the_same_offset)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(1, shown(at + PAGE_SIZE));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 9 * PAGE_SIZE, 0,
			      PAGE_SIZE, 0));
	EXPECT_EQ(9, shown(at));
	EXPECT_EQ(-SIGBUS, shown(at + PAGE_SIZE));
	ASSERT_EQ(0, touch_write(at, 4711));
	EXPECT_EQ(4711,
		  source_load(self->source, self->memory + 9 * PAGE_SIZE));
	EXPECT_EQ(pattern(SEED, 0), source_load(self->source, self->memory));
}

TEST_F(mirror, keeps_the_neighbour_of_a_removed_view)
{
	char *at;
	uint64_t faults;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, SIZE, PAGE_SIZE, 0));
	at = map_or_die(self->map, 0, PAGES + 1, PROT_READ);
	ASSERT_EQ(15, shown(at + SIZE - PAGE_SIZE));
	faults = counter(self->map, "faults");
	ASSERT_EQ(0, view_remove(self->ctrl, SIZE, PAGE_SIZE));
	EXPECT_EQ(15, shown(at + SIZE - PAGE_SIZE));
	/* It never left. */
	EXPECT_EQ(faults, counter(self->map, "faults"));
}

TEST_F(mirror, two_views_in_one_mirror_show_one_page)
{
	uint64_t value;
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, SIZE, PAGE_SIZE, 0));
	at = map_or_die(self->map, 0, PAGES + 1, PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(0, shown(at + SIZE));
	ASSERT_EQ(0, touch_write(at + SIZE, 5));
	ASSERT_EQ(0, touch_read(at, &value));
	EXPECT_EQ(5, value);
	EXPECT_EQ(5, source_load(self->source, self->memory));
}

TEST_F(mirror, readonly_view_refuses_writes)
{
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, SIZE, PAGE_SIZE,
			      PIDFD_MEM_MAP_READONLY));
	at = map_or_die(self->map, PAGES, 1, PROT_READ | PROT_WRITE);
	/* As the first access, and after a read */
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(pattern(SEED, 0), source_load(self->source, self->memory));
}

TEST_F(mirror, readonly_view_between_writable_ones)
{
	char *at;
	int page;

	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	for (page = 0; page < 3; page++) {
		ASSERT_EQ(0,
			  view_add(self->ctrl, self->memory + page * PAGE_SIZE,
				   page * PAGE_SIZE, PAGE_SIZE,
				   page == 1 ? PIDFD_MEM_MAP_READONLY : 0));
	}
	at = map_or_die(self->map, 0, 3, PROT_READ | PROT_WRITE);
	EXPECT_EQ(0, touch_write(at, pattern(SEED, 0)));
	EXPECT_EQ(SIGBUS, touch_write(at + PAGE_SIZE, 1));
	EXPECT_EQ(0, touch_write(at + 2 * PAGE_SIZE, pattern(SEED, 2)));
	EXPECT_EQ(1, shown(at + PAGE_SIZE));
}

TEST_F(mirror, readonly_view_becomes_writable_and_back)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, touch_write(at, pattern(SEED, 0)));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE,
			      PIDFD_MEM_MAP_READONLY));
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
	EXPECT_EQ(0, shown(at));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	EXPECT_EQ(0, touch_write(at, 1));
	EXPECT_EQ(1, source_load(self->source, self->memory));
}

TEST_F(mirror, resident_view_never_makes_the_source_fault)
{
	uint64_t fresh = source_anon(self->source, 2 * PAGE_SIZE, 0);
	char *at;

	source_store(self->source, fresh + PAGE_SIZE, pattern(SEED, 1));
	ASSERT_EQ(0, view_add(self->ctrl, fresh, SIZE, 2 * PAGE_SIZE,
			      PIDFD_MEM_MAP_RESIDENT));
	at = map_or_die(self->map, PAGES, 2, PROT_READ | PROT_WRITE);
	EXPECT_EQ(-SIGBUS, shown(at));
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
	EXPECT_EQ(1, shown(at + PAGE_SIZE));
	EXPECT_EQ(0, pagemap(self->source->pid, fresh) & PAGEMAP_PRESENT);
	source_store(self->source, fresh, pattern(SEED, 8));
	EXPECT_EQ(8, shown(at));
}

TEST_F(mirror, of_the_last_offset_works)
{
	uint64_t last = (1ULL << 63) - 2 * PAGE_SIZE;
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 4 * PAGE_SIZE, last,
			      PAGE_SIZE, 0));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->map, last);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(4, shown(at));
	ASSERT_EQ(0, view_remove(self->ctrl, last, PAGE_SIZE));
	EXPECT_EQ(-SIGBUS, shown(at));
}

TEST_F(mirror, of_a_terabyte_costs_nothing)
{
	uint64_t terabyte = 1ULL << 40;
	uint64_t start = self->memory & -terabyte;
	int fd = device_open(O_RDWR);
	char *at;

	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, 2 * terabyte, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  start);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(7, shown(at + (self->memory - start) + 7 * PAGE_SIZE));
	EXPECT_EQ(0, munmap(at, 2 * terabyte));
}

/* ---- what a viewer may do with a mirror ------------------------------------------ */

TEST_F(mirror, can_be_unmapped_in_part)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);
	int page;

	ASSERT_EQ(4, shown(at + 4 * PAGE_SIZE));
	ASSERT_EQ(0, munmap(at + 4 * PAGE_SIZE, 2 * PAGE_SIZE));
	for (page = 0; page < PAGES; page++) {
		EXPECT_EQ(page == 4 || page == 5 ? -SIGSEGV : page,
			  shown(at + page * PAGE_SIZE));
	}
	/* Both halves follow the views. */
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	EXPECT_EQ(-SIGBUS, shown(at + 3 * PAGE_SIZE));
	EXPECT_EQ(-SIGBUS, shown(at + 6 * PAGE_SIZE));
}

TEST_F(mirror, can_be_protected)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, touch_write(at + PAGE_SIZE, pattern(SEED, 1)));
	ASSERT_EQ(0, mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(SIGSEGV, touch_write(at + PAGE_SIZE, 1));
	EXPECT_EQ(1, shown(at + PAGE_SIZE));
	EXPECT_EQ(0, touch_write(at + 2 * PAGE_SIZE, pattern(SEED, 2)));
	ASSERT_EQ(0, mprotect(at + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	EXPECT_EQ(-SIGSEGV, shown(at + PAGE_SIZE));
	ASSERT_EQ(0, mprotect(at, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, touch_write(at + PAGE_SIZE, 33));
	EXPECT_EQ(33, source_load(self->source, self->memory + PAGE_SIZE));
}

TEST_F(mirror, protected_at_first_shows_when_opened)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_NONE);

	ASSERT_EQ(-SIGSEGV, shown(at));
	ASSERT_EQ(0, mprotect(at, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(0, touch_write(at, 2));
	EXPECT_EQ(2, source_load(self->source, self->memory));
}

/* A write must not slip through a page-table entry that mprotect made writable
 * again while the source's page is shared with a child.
 */
TEST_F(mirror, protected_and_opened_again_does_not_write_to_a_shared_page)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);
	struct source *child;

	ASSERT_EQ(0, shown(at));
	child = source_fork(self->source);
	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(0, mprotect(at, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, touch_write(at, 6));
	EXPECT_EQ(6, source_load(self->source, self->memory));
	EXPECT_EQ(pattern(SEED, 0), source_load(child, self->memory));
	source_end(child);
}

TEST_F(mirror, can_be_moved)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	char *to =
		mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int page;

	ASSERT_EQ(0, touch_write(at, pattern(SEED, 0)));
	ASSERT_EQ(to,
		  mremap(at, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(-SIGSEGV, shown(at));
	for (page = 0; page < PAGES; page++) {
		EXPECT_EQ(page, shown(to + page * PAGE_SIZE));
	}
	EXPECT_EQ(0, ioctl(self->map, PIDFD_MEM_REMAP, to));
	EXPECT_EQ(EINVAL, ERROR_OF(ioctl(self->map, PIDFD_MEM_REMAP, at)));
	/* Moved pages are still the mirror's: they are found when views go. */
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	EXPECT_EQ(-SIGBUS, shown(to));
}

TEST_F(mirror, can_be_moved_in_part)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);
	char *to =
		mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(5, shown(at + 5 * PAGE_SIZE));
	ASSERT_EQ(to, mremap(at + 5 * PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(5, shown(to));
	EXPECT_EQ(6, shown(to + PAGE_SIZE));
	EXPECT_EQ(4, shown(at + 4 * PAGE_SIZE));
	EXPECT_EQ(-SIGSEGV, shown(at + 5 * PAGE_SIZE));
	EXPECT_EQ(7, shown(at + 7 * PAGE_SIZE));
}

TEST_F(mirror, can_shrink)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);

	ASSERT_EQ(3, shown(at + 3 * PAGE_SIZE));
	ASSERT_EQ(at, mremap(at, SIZE, 2 * PAGE_SIZE, 0));
	EXPECT_EQ(1, shown(at + PAGE_SIZE));
	EXPECT_EQ(-SIGSEGV, shown(at + 2 * PAGE_SIZE));
}

TEST_F(mirror, does_not_grow)
{
	char *at = map_or_die(self->map, 0, 2, PROT_READ);

	ASSERT_EQ(0, shown(at));
	EXPECT_NE(0, MMAP_ERROR(mremap(at, 2 * PAGE_SIZE, 4 * PAGE_SIZE, 0)));
	EXPECT_NE(0, MMAP_ERROR(mremap(at, 2 * PAGE_SIZE, 4 * PAGE_SIZE,
				       MREMAP_MAYMOVE)));
	/* Nor does it double. */
	EXPECT_NE(0, MMAP_ERROR(mremap(at, 0, 2 * PAGE_SIZE, MREMAP_MAYMOVE)));
	EXPECT_NE(0, MMAP_ERROR(mremap(at, 2 * PAGE_SIZE, 2 * PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_DONTUNMAP)));
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(1, shown(at + PAGE_SIZE));
}

TEST_F(mirror, gives_way_to_another_mapping)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value;

	ASSERT_EQ(1, shown(at + PAGE_SIZE));
	ASSERT_EQ(at + PAGE_SIZE,
		  mmap(at + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(0, touch_write(at + PAGE_SIZE, 12));
	EXPECT_EQ(pattern(SEED, 1),
		  source_load(self->source, self->memory + PAGE_SIZE));
	/* What is not a mirror any more loses nothing with the view. */
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, touch_read(at + PAGE_SIZE, &value));
	EXPECT_EQ(12, value);
	EXPECT_EQ(-SIGBUS, shown(at));
}

TEST_F(mirror, replaces_another_mapping)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(at, 1, SIZE);
	ASSERT_EQ(at + PAGE_SIZE, mmap(at + PAGE_SIZE, PAGE_SIZE, PROT_READ,
				       MAP_SHARED | MAP_FIXED, self->map, 0));
	EXPECT_EQ(0, shown(at + PAGE_SIZE));
	EXPECT_EQ(1, *(volatile char *)at);
}

/* ---- what the memory system calls do to a mirror --------------------------------- */

/* The mirror shows every page, and the source has them still. */
static void expect_unharmed(struct __test_metadata *_metadata,
			    FIXTURE_DATA(mirror) *self, const char *at,
			    const char *after)
{
	int page;

	for (page = 0; page < PAGES; page++) {
		EXPECT_EQ(page, shown(at + page * PAGE_SIZE))
			TH_LOG("after %s", after);
	}
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED))
		TH_LOG("after %s", after);
}

TEST_F(mirror, populate_does_no_harm)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, self->map, 0);

	ASSERT_NE(MAP_FAILED, at);
	expect_unharmed(_metadata, self, at, "MAP_POPULATE");
}

TEST_F(mirror, populate_of_holes_does_no_harm)
{
	char *at = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_POPULATE, self->map, 0);

	ASSERT_NE(MAP_FAILED, at);
	expect_unharmed(_metadata, self, at, "MAP_POPULATE");
	EXPECT_EQ(-SIGBUS, shown(at + SIZE));
}

TEST_F(mirror, mlock_does_no_harm)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	EXPECT_EQ(0, mlock(at, SIZE));
	expect_unharmed(_metadata, self, at, "mlock");
	EXPECT_EQ(0, munlock(at, SIZE));
	EXPECT_EQ(0, mlock2(at, SIZE, MLOCK_ONFAULT));
	expect_unharmed(_metadata, self, at, "mlock2");
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	expect_unharmed(_metadata, self, at, "mlockall");
	EXPECT_EQ(0, munlockall());
	/* The source's memory is not locked, nor pinned, by that. */
	EXPECT_EQ(0, process_status(self->source->pid, "VmLck"));
	EXPECT_EQ(0, process_status(self->source->pid, "VmPin"));
}

TEST_F(mirror, madvise_does_no_harm)
{
	static const struct {
		int advice;
		char name[24];
	} cases[] = {
		{ MADV_NORMAL, "NORMAL" },
		{ MADV_RANDOM, "RANDOM" },
		{ MADV_SEQUENTIAL, "SEQUENTIAL" },
		{ MADV_WILLNEED, "WILLNEED" },
		{ MADV_DONTNEED, "DONTNEED" },
		{ MADV_FREE, "FREE" },
		{ MADV_REMOVE, "REMOVE" },
		{ MADV_COLD, "COLD" },
		{ MADV_PAGEOUT, "PAGEOUT" },
		{ MADV_HUGEPAGE, "HUGEPAGE" },
		{ MADV_COLLAPSE, "COLLAPSE" },
		{ MADV_NOHUGEPAGE, "NOHUGEPAGE" },
		{ MADV_MERGEABLE, "MERGEABLE" },
		{ MADV_UNMERGEABLE, "UNMERGEABLE" },
		{ MADV_WIPEONFORK, "WIPEONFORK" },
		{ MADV_POPULATE_READ, "POPULATE_READ" },
		{ MADV_POPULATE_WRITE, "POPULATE_WRITE" },
		{ MADV_DONTFORK, "DONTFORK" },
		{ MADV_DONTDUMP, "DONTDUMP" },
	};
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* Some are refused, some do nothing, some drop page tables. */
		madvise(at, SIZE, cases[i].advice);
		expect_unharmed(_metadata, self, at, cases[i].name);
	}
}

TEST_F(mirror, memory_failure_is_not_injected_through_it)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, shown(at));
	EXPECT_NE(0, ERROR_OF(madvise(at, PAGE_SIZE, MADV_SOFT_OFFLINE)));
	EXPECT_NE(0, ERROR_OF(madvise(at, PAGE_SIZE, MADV_HWPOISON)));
	expect_unharmed(_metadata, self, at, "MADV_HWPOISON");
}

TEST_F(mirror, other_calls_do_no_harm)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	unsigned char resident[PAGES];
	void *address = at;
	unsigned long nodes = 1;
	int status;

	expect_unharmed(_metadata, self, at, "nothing");
	mincore(at, SIZE, resident);
	msync(at, SIZE, MS_SYNC);
	msync(at, SIZE, MS_ASYNC);
	msync(at, SIZE, MS_SYNC | MS_INVALIDATE);
	expect_unharmed(_metadata, self, at, "msync");
	syscall(SYS_move_pages, 0, 1, &address, NULL, &status, 0);
	syscall(SYS_mbind, at, SIZE, 2 /* MPOL_BIND */, &nodes, 64,
		6 /* MOVE, MOVE_ALL */);
	expect_unharmed(_metadata, self, at, "mbind");
	syscall(SYS_remap_file_pages, at, PAGE_SIZE, 0, 1, 0);
	at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	expect_unharmed(_metadata, self, at, "remap_file_pages");
}

TEST_F(mirror, userfaultfd_cannot_register_it)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (unsigned long)at, SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	EXPECT_EQ(EINVAL, ERROR_OF(ioctl(fd, UFFDIO_REGISTER, &range)));
	EXPECT_EQ(0, shown(at));
}

/* Whether the line of flags of the mapping holds that one */
static bool has_flag(const char *at, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long start = 0, end = 0;
	char line[512];
	bool found = false;

	while (fgets(line, sizeof(line), file)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			start = from;
			end = to;
		} else if ((unsigned long)at >= start &&
			   (unsigned long)at < end &&
			   !strncmp(line, "VmFlags:", 8)) {
			found = strstr(line, flag);
			break;
		}
	}
	fclose(file);
	return found;
}

TEST_F(mirror, is_not_copied_not_grown_not_dumped)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	EXPECT_TRUE(has_flag(at, " sh "));
	EXPECT_TRUE(has_flag(at, " dc ")); /* not copied on fork */
	EXPECT_TRUE(has_flag(at, " de ")); /* not expanded */
	EXPECT_TRUE(has_flag(at, " dd ")); /* not dumped */
	EXPECT_TRUE(has_flag(at, " pf ")); /* no struct pages */
	EXPECT_FALSE(has_flag(at, " me ")); /* not executable */
	EXPECT_EQ(EINVAL, ERROR_OF(madvise(at, SIZE, MADV_DODUMP)));
	EXPECT_TRUE(has_flag(at, " dd "));
}

TEST_F(mirror, adds_nothing_to_rss)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t before = smaps(self->source->pid, self->memory, "Rss");
	int page;

	ASSERT_EQ(SIZE / 1024, before);
	for (page = 0; page < PAGES; page++) {
		ASSERT_EQ(0, touch_write(at + page * PAGE_SIZE,
					 pattern(SEED, page)));
	}
	EXPECT_EQ(0, smaps(0, (uint64_t)at, "Rss"));
	EXPECT_EQ(before, smaps(self->source->pid, self->memory, "Rss"));
	EXPECT_EQ(before, smaps(self->source->pid, self->memory, "Pss"));
	EXPECT_EQ(before,
		  smaps(self->source->pid, self->memory, "Private_Dirty"));
	EXPECT_EQ(1, page_mapcount(self->source->pid, self->memory));
}

/* ---- fork ----------------------------------------------------------------------- */

static int load_byte(void *at)
{
	return *(volatile unsigned char *)at;
}

TEST_F(mirror, is_not_inherited)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, touch_write(at, 1));
	EXPECT_EQ(128 + SIGSEGV, in_child(load_byte, at));
	EXPECT_EQ(128 + SIGSEGV, in_child(load_byte, at + SIZE - 1));
	EXPECT_EQ(1, load_byte(at));
}

TEST_F(mirror, is_not_inherited_after_madvise_either)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, touch_write(at, 1));
	EXPECT_EQ(EINVAL, ERROR_OF(madvise(at, SIZE, MADV_DOFORK)));
	EXPECT_EQ(EINVAL, ERROR_OF(madvise(at, PAGE_SIZE, MADV_DOFORK)));
	EXPECT_TRUE(has_flag(at, " dc "));
	EXPECT_EQ(128 + SIGSEGV, in_child(load_byte, at));
	EXPECT_EQ(1, load_byte(at));
}

/* ---- system calls that are given a mirror ---------------------------------------- */

TEST_F(mirror, can_be_written_from)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ);
	char *copy = malloc(SIZE);
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(3 * PAGE_SIZE, write(ends[1], at, 3 * PAGE_SIZE));
	ASSERT_EQ(3 * PAGE_SIZE, read(ends[0], copy, SIZE));
	EXPECT_EQ(-1, pattern_differs(copy, 3 * PAGE_SIZE, SEED));
	free(copy);
}

TEST_F(mirror, can_be_read_into)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value = 0x1122334455667788;
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(8, write(ends[1], &value, 8));
	ASSERT_EQ(8, read(ends[0], at + 5 * PAGE_SIZE, 8));
	EXPECT_EQ(value,
		  source_load(self->source, self->memory + 5 * PAGE_SIZE));
	/* Over the edge of two pages */
	ASSERT_EQ(8, write(ends[1], &value, 8));
	ASSERT_EQ(8, read(ends[0], at + 7 * PAGE_SIZE - 4, 8));
	EXPECT_EQ(0x11223344,
		  source_load(self->source, self->memory + 7 * PAGE_SIZE) &
			  0xffffffff);
}

TEST_F(mirror, hole_given_to_a_system_call_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES + 1, PROT_READ | PROT_WRITE);
	char *hole = at + SIZE;
	int file = memfd_create("file", MFD_CLOEXEC);
	uint64_t value;

	ASSERT_LE(0, file);
	EXPECT_EQ(EFAULT, ERROR_OF(write(file, hole, 8)));
	/* Up to the hole */
	EXPECT_EQ(8, write(file, hole - 8, 16));
	ASSERT_EQ(8, pread(file, &value, 8, 0));
	EXPECT_EQ(pattern(SEED, PAGES - 1), value);
	EXPECT_EQ(EFAULT, ERROR_OF(pread(file, hole, 8, 0)));
	EXPECT_EQ(4, pread(file, hole - 4, 8, 0));
}

TEST_F(mirror, read_only_given_to_a_writing_system_call_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value = 0;
	int ends[2];

	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE,
			      PIDFD_MEM_MAP_READONLY));
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(8, write(ends[1], &value, 8));
	EXPECT_EQ(EFAULT, ERROR_OF(read(ends[0], at, 8)));
	EXPECT_EQ(0, shown(at));
	EXPECT_EQ(pattern(SEED, 0), source_load(self->source, self->memory));
}

static long futex(char *at, int op, uint32_t value,
		  const struct timespec *timeout)
{
	return ERROR_OF(syscall(SYS_futex, at, op, value, timeout, NULL, 0));
}

TEST_F(mirror, private_futex_works)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	struct timespec at_once = { .tv_nsec = 1 };

	source_store(self->source, self->memory, 5);
	EXPECT_EQ(EAGAIN, futex(at, FUTEX_WAIT_PRIVATE, 4, NULL));
	EXPECT_EQ(ETIMEDOUT, futex(at, FUTEX_WAIT_PRIVATE, 5, &at_once));
	/* Not touched before: the kernel faults it in. */
	EXPECT_EQ(EAGAIN,
		  futex(at + 9 * PAGE_SIZE, FUTEX_WAIT_PRIVATE, 0, NULL));
	EXPECT_EQ(0, futex(at, FUTEX_WAKE_PRIVATE, 1, NULL));
}

/* A shared futex is found by its page, which a mirror must not pin. */
TEST_F(mirror, shared_futex_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, shown(at));
	EXPECT_EQ(EFAULT, futex(at, FUTEX_WAKE, 1, NULL));
	EXPECT_EQ(EFAULT, futex(at, FUTEX_WAIT, 1, NULL));
}

TEST_F(mirror, process_vm_of_a_mirror_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value = 7;
	struct iovec local = { &value, 8 }, remote = { at, 8 };

	ASSERT_EQ(0, shown(at));
	EXPECT_EQ(EFAULT, ERROR_OF(process_vm_readv(getpid(), &local, 1,
						    &remote, 1, 0)));
	EXPECT_EQ(EFAULT, ERROR_OF(process_vm_writev(getpid(), &local, 1,
						     &remote, 1, 0)));
	EXPECT_EQ(7, value);
	EXPECT_EQ(0, shown(at));
}

TEST_F(mirror, process_vm_into_a_mirror_works)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	uint64_t value = 7;
	struct iovec local = { at, 8 }, remote = { &value, 8 };

	EXPECT_EQ(8, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(7, source_load(self->source, self->memory));
}

TEST_F(mirror, vmsplice_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	struct iovec piece = { at, PAGE_SIZE };
	int ends[2];

	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(0, pipe(ends));
	EXPECT_EQ(EFAULT, ERROR_OF(vmsplice(ends[1], &piece, 1, 0)));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(vmsplice(ends[1], &piece, 1, SPLICE_F_GIFT)));
}

TEST_F(mirror, fixed_io_uring_buffer_EFAULT)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	struct iovec buffer = { at, SIZE };
	struct io_uring_params parameters = { 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &parameters);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		SKIP(return, "no io_uring");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, shown(at));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(syscall(SYS_io_uring_register, fd,
				   IORING_REGISTER_BUFFERS, &buffer, 1)));
}

/* ---- the source's end -------------------------------------------------------------- */

TEST_F(mirror, raises_sigbus_after_the_source_s_end)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);

	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(0, touch_write(at + PAGE_SIZE, 1));
	source_kill(self->source);
	EXPECT_EQ(-SIGBUS, shown(at));
	EXPECT_EQ(-SIGBUS, shown(at + PAGE_SIZE));
	EXPECT_EQ(-SIGBUS, shown(at + 2 * PAGE_SIZE));
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
	EXPECT_EQ(0, munmap(at, SIZE));
}

TEST_F(mirror, raises_sigbus_after_the_source_has_executed)
{
	char *at = map_or_die(self->map, 0, PAGES, PROT_READ | PROT_WRITE);
	char *arguments[] = { "sh", "-c", "kill -STOP $$", NULL };

	ASSERT_EQ(0, shown(at));
	ASSERT_EQ(0, source_exec(self->source, "/bin/sh", arguments));
	EXPECT_EQ(-SIGBUS, shown(at));
	EXPECT_EQ(-SIGBUS, shown(at + 2 * PAGE_SIZE));
	EXPECT_EQ(SIGBUS, touch_write(at, 1));
}

TEST_F(mirror, made_after_the_source_s_end_shows_nothing)
{
	char *at;

	source_kill(self->source);
	at = map_pages(self->map, 0, PAGES, PROT_READ);
	/* Refused, or a mirror of nothing */
	if (at == MAP_FAILED) {
		EXPECT_EQ(ESRCH, errno);
	} else {
		EXPECT_EQ(-SIGBUS, shown(at));
	}
}

TEST_HARNESS_MAIN
