// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: views, and what the kernel says of a context.
 */
#include "common.h"

#include <sys/ioctl.h>

#include "harness.h"
#include "library.h"

#define SIZE (16 * PAGE_SIZE)

FIXTURE(views)
{
	struct source *source;
	pid_t pid;
	uint64_t memory;
	struct remotemap *handle;
	struct remotemap *viewer; /* without a ctrl file */
};

FIXTURE_SETUP(views)
{
	self->source = source_start();
	self->pid = self->source->pid;
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, 1);
	self->handle = handle_open(self->pid, REMOTEMAP_WRITE);
	ASSERT_EQ(0, remotemap_open_map(remotemap_map_fd(self->handle),
					&self->viewer));
}

FIXTURE_TEARDOWN(views)
{
	remotemap_close(self->viewer);
	remotemap_close(self->handle);
	source_end(self->source);
}

/* ---- adding and removing ------------------------------------------------- */

TEST_F(views, none_at_first)
{
	struct remotemap_view *views = (void *)4712;

	EXPECT_EQ(0, CALL(remotemap_views(self->handle, &views)));
	EXPECT_EQ(NULL, views);
}

TEST_F(views, are_told_in_the_order_of_their_offsets)
{
	const struct remotemap_view wanted[] = {
		{ 0, self->memory + PAGE_SIZE, PAGE_SIZE, 0, 0 },
		{ PAGE_SIZE, self->memory, 2 * PAGE_SIZE,
		  PIDFD_MEM_MAP_READONLY, 0 },
		{ 8 * PAGE_SIZE, 0, PAGE_SIZE, PIDFD_MEM_MAP_RESIDENT, 0 },
		{ 1ULL << 62, self->memory, PAGE_SIZE,
		  PIDFD_MEM_MAP_READONLY | PIDFD_MEM_MAP_RESIDENT, 0 },
	};
	const size_t order[] = { 2, 0, 3, 1 };
	struct remotemap_view *views;
	size_t i;

	for (i = 0; i < 4; i++) {
		const struct remotemap_view *view = &wanted[order[i]];

		ASSERT_EQ(0, CALL(remotemap_add(self->handle, view->offset,
						view->address, view->size,
						view->flags)));
	}
	ASSERT_EQ(4, CALL(remotemap_views(self->handle, &views)));
	EXPECT_EQ(0, memcmp(wanted, views, sizeof(wanted)));
	free(views);
	/* Who has the map file alone is told, too. */
	ASSERT_EQ(4, CALL(remotemap_views(self->viewer, &views)));
	EXPECT_EQ(0, memcmp(wanted, views, sizeof(wanted)));
	free(views);
	EXPECT_EQ(4, handle_stat(self->viewer).views);
}

TEST_F(views, what_is_removed_is_gone)
{
	struct remotemap_view *views;
	char *mirror;

	ASSERT_EQ(0,
		  remotemap_add(self->handle, 0, self->memory, PAGE_SIZE, 0));
	ASSERT_EQ(0, remotemap_add(self->handle, PAGE_SIZE,
				   self->memory + PAGE_SIZE, PAGE_SIZE, 0));
	mirror = handle_map(self->handle, 0, 2 * PAGE_SIZE, 0);
	ASSERT_SHOWS(pattern(1, 0), mirror);
	ASSERT_EQ(0, CALL(remotemap_remove(self->handle, 0, PAGE_SIZE)));
	ASSERT_NOT_READABLE(mirror);
	ASSERT_SHOWS(pattern(1, 1), mirror + PAGE_SIZE);
	ASSERT_EQ(1, CALL(remotemap_views(self->handle, &views)));
	EXPECT_EQ(PAGE_SIZE, views[0].offset);
	free(views);
	/* And can be something else. */
	ASSERT_EQ(0, CALL(remotemap_add(self->handle, 0,
					self->memory + 5 * PAGE_SIZE, PAGE_SIZE,
					0)));
	ASSERT_SHOWS(pattern(1, 5), mirror);
}

TEST_F(views, flags_hold)
{
	char *mirror;

	ASSERT_EQ(0, remotemap_add(self->handle, 0, self->memory, PAGE_SIZE,
				   PIDFD_MEM_MAP_READONLY));
	mirror = handle_map(self->handle, 0, PAGE_SIZE, REMOTEMAP_MAP_WRITE);
	ASSERT_SHOWS(pattern(1, 0), mirror);
	ASSERT_NOT_WRITABLE(mirror);
}

TEST_F(views, bad_ones_are_EINVAL)
{
	struct remotemap *handle = self->handle;
	uint64_t end = remotemap_address_space();

	REFUSED(EINVAL, remotemap_add(handle, 1, self->memory, PAGE_SIZE, 0));
	REFUSED(EINVAL,
		remotemap_add(handle, 0, self->memory + 8, PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, self->memory, 100, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, self->memory, 0, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, -PAGE_SIZE, 2 * PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, -PAGE_SIZE, 0, 2 * PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, 0, end + PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, end, PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, 1ULL << 63, 0, PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_add(handle, 0, self->memory, PAGE_SIZE, 4));
	REFUSED(EINVAL,
		remotemap_add(handle, 0, self->memory, PAGE_SIZE, 1U << 31));
	EXPECT_EQ(0, CALL(remotemap_add(handle, 0, 0, end, 0)));
	REFUSED(EINVAL, remotemap_remove(handle, PAGE_SIZE, PAGE_SIZE));
	REFUSED(EINVAL, remotemap_remove(handle, 0, PAGE_SIZE));
}

TEST_F(views, overlapping_ones_are_EALREADY)
{
	ASSERT_EQ(0, remotemap_add(self->handle, PAGE_SIZE, self->memory,
				   2 * PAGE_SIZE, 0));
	REFUSED(EALREADY,
		remotemap_add(self->handle, 0, self->memory, 2 * PAGE_SIZE, 0));
	REFUSED(EALREADY,
		remotemap_add(self->handle, 2 * PAGE_SIZE, 0, PAGE_SIZE, 0));
	/* The same memory may be seen twice. */
	EXPECT_EQ(0, CALL(remotemap_add(self->handle, 0, self->memory,
					PAGE_SIZE, 0)));
}

TEST_F(views, locked_is_for_ever)
{
	ASSERT_EQ(0,
		  remotemap_add(self->handle, 0, self->memory, PAGE_SIZE, 0));
	EXPECT_EQ(0, handle_stat(self->viewer).locked);
	EXPECT_EQ(0, CALL(remotemap_lock(self->handle)));
	EXPECT_EQ(1, handle_stat(self->viewer).locked);
	REFUSED(EPERM, remotemap_add(self->handle, PAGE_SIZE, self->memory,
				     PAGE_SIZE, 0));
	REFUSED(EPERM, remotemap_remove(self->handle, 0, PAGE_SIZE));
	EXPECT_EQ(0, CALL(remotemap_lock(self->handle)));
	EXPECT_EQ(1, handle_stat(self->handle).views);
}

TEST_F(views, map_file_alone_changes_none)
{
	ASSERT_EQ(0,
		  remotemap_add(self->handle, 0, self->memory, PAGE_SIZE, 0));
	REFUSED(EPERM, remotemap_add(self->viewer, PAGE_SIZE, self->memory,
				     PAGE_SIZE, 0));
	REFUSED(EPERM, remotemap_remove(self->viewer, 0, PAGE_SIZE));
	REFUSED(EPERM, remotemap_lock(self->viewer));
	EXPECT_EQ(1, handle_stat(self->handle).views);
	EXPECT_EQ(0, handle_stat(self->handle).locked);
}

TEST_F(views, of_a_source_that_ended)
{
	ASSERT_EQ(0,
		  remotemap_add(self->handle, 0, self->memory, PAGE_SIZE, 0));
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_add(self->handle, PAGE_SIZE, self->memory,
				     PAGE_SIZE, 0));
	EXPECT_EQ(1, handle_stat(self->handle).ended);
	EXPECT_EQ(0, CALL(remotemap_remove(self->handle, 0, PAGE_SIZE)));
}

TEST_F(views, no_result_is_EFAULT)
{
	REFUSED(EFAULT, remotemap_views(self->handle, NULL));
	REFUSED(EFAULT, remotemap_stat(self->handle, NULL));
	REFUSED(EFAULT, remotemap_stat_fd(self->pid, 0, NULL));
}

/* As many as there can be: all of them are told. (Where each takes its time, many.) */
TEST_F(views, more_than_there_can_be_are_ENOSPC)
{
	const size_t max = slower() > 1 ? 20000 : 262144;
	struct remotemap_view *views;
	size_t i;

	for (i = 0; i < max; i++)
		if (remotemap_add(self->handle, 2 * i * PAGE_SIZE, self->memory,
				  PAGE_SIZE, 0))
			break;
	ASSERT_EQ(max, i);
	if (slower() == 1)
		REFUSED(ENOSPC,
			remotemap_add(self->handle, 2 * max * PAGE_SIZE,
				      self->memory, PAGE_SIZE, 0));
	ASSERT_EQ(max, CALL(remotemap_views(self->viewer, &views)));
	for (i = 0; i < max; i++)
		if (views[i].offset != 2 * i * PAGE_SIZE ||
		    views[i].address != self->memory)
			break;
	EXPECT_EQ(max, i);
	free(views);
	EXPECT_EQ(max, handle_stat(self->viewer).views);
}

/* ---- stat ---------------------------------------------------------------- */

TEST_F(views, stat_counts)
{
	struct remotemap_stat stat;
	char *mirror;

	ASSERT_EQ(0, remotemap_add(self->handle, 0, self->memory, SIZE, 0));
	stat = handle_stat(self->handle);
	EXPECT_EQ(sizeof(stat), stat.size);
	EXPECT_EQ(self->pid, stat.pid);
	EXPECT_EQ(0, stat.ended);
	EXPECT_EQ(0, stat.locked);
	EXPECT_EQ(0, stat.reserved);
	EXPECT_EQ(1, stat.views);
	EXPECT_EQ(0, stat.faults);
	EXPECT_EQ(0, stat.pages_mapped);
	EXPECT_EQ(0, stat.huge_pages_mapped);
	mirror = handle_map(self->handle, 0, SIZE, 0);
	ASSERT_SHOWS(pattern(1, 0), mirror);
	source_munmap(self->source, self->memory, PAGE_SIZE);
	stat = handle_stat(self->handle);
	EXPECT_LE(1, stat.faults);
	EXPECT_LE(1, stat.pages_mapped);
	EXPECT_LE(1, stat.invalidations);
	EXPECT_LE(1, stat.invalidations_hit);
	/* Each is the kernel's of that name. */
	EXPECT_EQ(counter(remotemap_map_fd(self->handle), "faults"),
		  stat.faults);
	EXPECT_EQ(counter(remotemap_map_fd(self->handle), "pages_mapped"),
		  stat.pages_mapped);
	EXPECT_EQ(counter(remotemap_map_fd(self->handle), "invalidations"),
		  stat.invalidations);
	EXPECT_EQ(counter(remotemap_map_fd(self->handle), "invalidations_hit"),
		  stat.invalidations_hit);
	EXPECT_EQ(counter(remotemap_map_fd(self->handle), "retries"),
		  stat.retries);
}

TEST_F(views, stat_counts_huge_pages)
{
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);
	struct remotemap *handle;
	char *mirror;

	source_fill(self->source, memory, PMD_SIZE, 2);
	collapse(self->source, memory, PMD_SIZE);
	if (!is_huge(self->source, memory))
		SKIP(return, "no huge page was to be had");
	handle = handle_of(self->pid, memory, PMD_SIZE, 0, 0);
	mirror = handle_map(handle, 0, PMD_SIZE, 0);
	ASSERT_SHOWS(pattern(2, 0), mirror);
	EXPECT_EQ(1, handle_stat(handle).huge_pages_mapped);
	remotemap_close(handle);
}

TEST_F(views, stat_of_other_sizes)
{
	struct {
		struct remotemap_stat known;
		char later[40];
		char behind[8];
	} stat;
	const char zeros[40] = { 0 };

	memset(&stat, 0xaa, sizeof(stat));
	stat.known.size = sizeof(stat.known) + sizeof(stat.later);
	ASSERT_EQ(0, CALL(remotemap_stat(self->handle, &stat.known)));
	EXPECT_EQ(sizeof(stat.known) + sizeof(stat.later), stat.known.size);
	EXPECT_EQ(self->pid, stat.known.pid);
	EXPECT_EQ(0, memcmp(stat.later, zeros, sizeof(zeros)));
	EXPECT_EQ((char)0xaa, stat.behind[0]);
	stat.known.size = sizeof(stat.known) - 1;
	REFUSED(EINVAL, remotemap_stat(self->handle, &stat.known));
	REFUSED(EINVAL, remotemap_stat_fd(self->pid, 0, &stat.known));
}

/* ---- who looks at whom --------------------------------------------------- */

TEST_F(views, stat_fd_knows_files_of_contexts)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	int device = device_open(O_RDWR), map, ctrl;
	struct source *other = source_start();

	ASSERT_EQ(0,
		  remotemap_add(self->handle, 0, self->memory, PAGE_SIZE, 0));
	map = source_take_fd(other, remotemap_map_fd(self->handle));
	ctrl = source_take_fd(other, remotemap_ctrl_fd(self->handle));
	EXPECT_EQ(1, CALL(remotemap_stat_fd(other->pid, map, &stat)));
	EXPECT_EQ(self->pid, stat.pid);
	EXPECT_EQ(1, stat.views);
	memset(&stat, 0, sizeof(stat));
	stat.size = sizeof(stat);
	EXPECT_EQ(2, CALL(remotemap_stat_fd(other->pid, ctrl, &stat)));
	EXPECT_EQ(self->pid, stat.pid);
	EXPECT_EQ(1, stat.views);
	/* An open device is none, until it becomes one. */
	stat.pid = 4712;
	EXPECT_EQ(0, CALL(remotemap_stat_fd(getpid(), device, &stat)));
	ASSERT_EQ(0, ioctl(device, REMOTE_PROC_MAP, self->pid));
	EXPECT_EQ(4712, stat.pid);
	EXPECT_EQ(1, CALL(remotemap_stat_fd(getpid(), device, &stat)));
	EXPECT_EQ(self->pid, stat.pid);
	source_end(other);
}

TEST_F(views, stat_fd_knows_no_other_files)
{
	struct remotemap_stat stat = { .size = sizeof(stat), .pid = 4712 };
	int fds[] = {
		open("/dev/null", O_RDWR),
		memfd_create("remote_mapping", 0),
		self->source->channel,
		pidfd_open(self->pid, 0),
		mem_open(self->pid, O_RDONLY),
	};
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		EXPECT_EQ(0, CALL(remotemap_stat_fd(getpid(), fds[i], &stat)));
	EXPECT_EQ(4712, stat.pid);
}

TEST_F(views, stat_fd_refusals)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	int map = remotemap_map_fd(self->handle);
	pid_t test = getpid();

	REFUSED(EBADF, remotemap_stat_fd(test, 1000, &stat));
	REFUSED(EBADF, remotemap_stat_fd(test, -1, &stat));
	REFUSED(ESRCH, remotemap_stat_fd(0x7fffffff, 0, &stat));
	REFUSED(ESRCH, remotemap_stat_fd(0, 0, &stat));
	REFUSED(ESRCH, remotemap_stat_fd(-1, 0, &stat));
	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		REFUSED(EACCES, remotemap_stat_fd(test, map, &stat));
	});
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_stat_fd(self->pid, 0, &stat));
}

TEST_HARNESS_MAIN
