// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: reading, writing and seeking. What was moved is told.
 */
#include "common.h"

#include <limits.h>
#include <sys/time.h>

#include "harness.h"
#include "library.h"

#define PAGES 32UL
#define SIZE (PAGES * PAGE_SIZE)

/*
 * Two views with a gap of two pages between them: the first 16 pages of the
 * source at offset 0, the others at 18 pages. The pages 8 and 9 of the source
 * are a hole.
 */
FIXTURE(transfer)
{
	struct source *source;
	uint64_t memory;
	struct remotemap *handle;
	char *buffer;
};

FIXTURE_SETUP(transfer)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, 1);
	source_munmap(self->source, self->memory + 8 * PAGE_SIZE,
		      2 * PAGE_SIZE);
	self->handle = handle_of(self->source->pid, self->memory,
				 16 * PAGE_SIZE, REMOTEMAP_WRITE, 0);
	ASSERT_EQ(0, remotemap_add(self->handle, 18 * PAGE_SIZE,
				   self->memory + 16 * PAGE_SIZE,
				   16 * PAGE_SIZE, PIDFD_MEM_MAP_READONLY));
	self->buffer = calloc(1, 64 * PAGE_SIZE);
}

FIXTURE_TEARDOWN(transfer)
{
	free(self->buffer);
	remotemap_close(self->handle);
	source_end(self->source);
}

/* ---- reading ------------------------------------------------------------- */

TEST_F(transfer, read_is_the_sources)
{
	EXPECT_EQ(8 * PAGE_SIZE, CALL(remotemap_read(self->handle, self->buffer,
						     8 * PAGE_SIZE, 0)));
	EXPECT_EQ(-1, pattern_differs(self->buffer, 8 * PAGE_SIZE, 1));
	EXPECT_EQ(3, CALL(remotemap_read(self->handle, self->buffer, 3,
					 PAGE_SIZE + 5)));
	EXPECT_EQ(0, CALL(remotemap_read(self->handle, self->buffer, 0, 0)));
}

TEST_F(transfer, read_ends_before_a_hole)
{
	EXPECT_EQ(8 * PAGE_SIZE - 9,
		  CALL(remotemap_read(self->handle, self->buffer, SIZE, 9)));
	/* The gap between views */
	EXPECT_EQ(6 * PAGE_SIZE, CALL(remotemap_read(self->handle, self->buffer,
						     SIZE, 10 * PAGE_SIZE)));
	REFUSED(EFAULT, remotemap_read(self->handle, self->buffer, 8,
				       8 * PAGE_SIZE + 1));
	REFUSED(EFAULT,
		remotemap_read(self->handle, self->buffer, 8, 17 * PAGE_SIZE));
	REFUSED(EFAULT, remotemap_read(self->handle, (void *)8, 8, 0));
}

TEST_F(transfer, read_ends_with_the_last_view)
{
	EXPECT_EQ(100, CALL(remotemap_read(self->handle, self->buffer, SIZE,
					   34 * PAGE_SIZE - 100)));
	EXPECT_EQ(0, CALL(remotemap_read(self->handle, self->buffer, SIZE,
					 34 * PAGE_SIZE)));
	EXPECT_EQ(0, CALL(remotemap_read(self->handle, self->buffer, SIZE,
					 INT64_MAX)));
}

static void count(int signal)
{
	(void)signal;
}

/* Much of it, while signals arrive all the time */
TEST_F(transfer, signals_shorten_nothing)
{
	const size_t size = 8 * PMD_SIZE;
	uint64_t memory = source_anon(self->source, size, 0);
	struct sigaction action = { .sa_handler = count };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	char *buffer = malloc(size);
	struct remotemap *handle;

	source_fill(self->source, memory, size, 3);
	handle = handle_of(self->source->pid, memory, size, REMOTEMAP_WRITE, 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	EXPECT_EQ(size, CALL(remotemap_read(handle, buffer, size, 0)));
	EXPECT_EQ(size, CALL(remotemap_write(handle, buffer, size, 0)));
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(-1, pattern_differs(buffer, size, 3));
	remotemap_close(handle);
	free(buffer);
}

/* ---- writing ------------------------------------------------------------- */

TEST_F(transfer, write_is_seen_by_the_source)
{
	uint64_t value = 0x5151;

	EXPECT_EQ(8, CALL(remotemap_write(self->handle, &value, 8, PAGE_SIZE)));
	EXPECT_EQ(0x5151, source_load(self->source, self->memory + PAGE_SIZE));
}

TEST_F(transfer, write_ends_before_a_hole)
{
	EXPECT_EQ(8 * PAGE_SIZE - 9,
		  CALL(remotemap_write(self->handle, self->buffer, SIZE, 9)));
	REFUSED(EFAULT,
		remotemap_write(self->handle, self->buffer, 8, 8 * PAGE_SIZE));
	/* A view that is not written through; past the last one */
	REFUSED(EFAULT,
		remotemap_write(self->handle, self->buffer, 8, 18 * PAGE_SIZE));
	REFUSED(EFAULT,
		remotemap_write(self->handle, self->buffer, 8, 34 * PAGE_SIZE));
	/* What the source may not write */
	source_mprotect(self->source, self->memory + 4 * PAGE_SIZE, PAGE_SIZE,
			PROT_READ);
	EXPECT_EQ(4 * PAGE_SIZE,
		  CALL(remotemap_write(self->handle, self->buffer, SIZE, 0)));
}

TEST_F(transfer, write_of_a_map_file_for_reading_is_EACCES)
{
	struct remotemap *handle =
		handle_of(self->source->pid, self->memory, PAGE_SIZE, 0, 0);

	REFUSED(EACCES, remotemap_write(handle, self->buffer, 8, 0));
	remotemap_close(handle);
}

/* ---- seeking ------------------------------------------------------------- */

TEST_F(transfer, data_and_holes_take_turns)
{
	const struct {
		uint64_t data;
		uint64_t hole;
	} extents[] = { { 0, 8 }, { 10, 16 }, { 18, 34 } };
	uint64_t at = 0;
	size_t i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(extents[i].data * PAGE_SIZE,
			  CALL(remotemap_next_data(self->handle, at)));
		at = extents[i].data * PAGE_SIZE;
		EXPECT_EQ(at, CALL(remotemap_next_data(self->handle, at)));
		EXPECT_EQ(at + 7,
			  CALL(remotemap_next_data(self->handle, at + 7)));
		EXPECT_EQ(extents[i].hole * PAGE_SIZE,
			  CALL(remotemap_next_hole(self->handle, at)));
		at = extents[i].hole * PAGE_SIZE;
	}
	REFUSED(ENXIO, remotemap_next_data(self->handle, at));
	REFUSED(ENXIO, remotemap_next_hole(self->handle, at));
	EXPECT_EQ(9 * PAGE_SIZE,
		  CALL(remotemap_next_hole(self->handle, 9 * PAGE_SIZE)));
	REFUSED(ENXIO, remotemap_next_data(self->handle, UINT64_MAX));
	REFUSED(ENXIO, remotemap_next_hole(self->handle, 1ULL << 63));
}

TEST_F(transfer, data_of_a_resident_view_is_what_is_in_memory)
{
	uint64_t memory = source_anon(self->source, 8 * PAGE_SIZE, 0);
	struct remotemap *handle;

	source_store(self->source, memory + 3 * PAGE_SIZE, 1);
	handle = handle_of(self->source->pid, memory, 8 * PAGE_SIZE, 0,
			   PIDFD_MEM_MAP_RESIDENT);
	EXPECT_EQ(3 * PAGE_SIZE, CALL(remotemap_next_data(handle, 0)));
	EXPECT_EQ(4 * PAGE_SIZE,
		  CALL(remotemap_next_hole(handle, 3 * PAGE_SIZE)));
	REFUSED(ENXIO, remotemap_next_data(handle, 4 * PAGE_SIZE));
	remotemap_close(handle);
}

/* ---- what is refused ----------------------------------------------------- */

TEST_F(transfer, absurd_sizes_are_EINVAL)
{
	REFUSED(EINVAL, remotemap_read(self->handle, self->buffer,
				       (size_t)SSIZE_MAX + 1, 0));
	REFUSED(EINVAL,
		remotemap_read(self->handle, self->buffer, 8, 1ULL << 63));
	REFUSED(EINVAL,
		remotemap_write(self->handle, self->buffer, SIZE_MAX, 0));
	REFUSED(EINVAL,
		remotemap_write(self->handle, self->buffer, 8, UINT64_MAX));
}

TEST_F(transfer, of_a_source_that_ended_is_ESRCH)
{
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_read(self->handle, self->buffer, 8, 0));
	REFUSED(ESRCH, remotemap_write(self->handle, self->buffer, 8, 0));
	REFUSED(ESRCH, remotemap_next_data(self->handle, 0));
	REFUSED(ESRCH, remotemap_next_hole(self->handle, 0));
}

TEST_HARNESS_MAIN
