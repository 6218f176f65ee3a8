// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: mapping and unmapping.
 */
#include "common.h"

#include "harness.h"
#include "library.h"

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)

FIXTURE(mapping)
{
	struct source *source;
	pid_t pid;
	uint64_t memory;
	struct remotemap *handle;
	void *mirror;
};

FIXTURE_SETUP(mapping)
{
	self->source = source_start();
	self->pid = self->source->pid;
	self->memory = source_anon(self->source, SIZE, 0);
	source_madvise(self->source, self->memory, SIZE, MADV_NOHUGEPAGE);
	source_fill(self->source, self->memory, SIZE, 1);
	self->handle =
		handle_of(self->pid, self->memory, SIZE, REMOTEMAP_WRITE, 0);
	self->mirror = (void *)4712;
}

FIXTURE_TEARDOWN(mapping)
{
	remotemap_close(self->handle);
	source_end(self->source);
}

#define OPTIONS(...)                      \
	(&(struct remotemap_map_options){ \
		.size = sizeof(struct remotemap_map_options), __VA_ARGS__ })

static bool is_mapped(const void *at)
{
	return msync((void *)((uintptr_t)at & -PAGE_SIZE), 1, MS_ASYNC) == 0;
}

/* ---- what it gives ------------------------------------------------------- */

TEST_F(mapping, each_side_sees_what_the_other_writes)
{
	uint64_t *mirror;

	ASSERT_EQ(0, CALL(remotemap_map(self->handle, 0, SIZE,
					OPTIONS(.flags = REMOTEMAP_MAP_WRITE),
					&self->mirror)));
	mirror = self->mirror;
	EXPECT_EQ(pattern(1, 0), mirror[0]);
	source_store(self->source, self->memory, 2);
	EXPECT_EQ(2, mirror[0]);
	mirror[0] = 3;
	EXPECT_EQ(3, source_load(self->source, self->memory));
	EXPECT_EQ(0, CALL(remotemap_unmap(self->mirror, SIZE)));
	EXPECT_FALSE(is_mapped(mirror));
}

TEST_F(mapping, is_for_reading_without_options)
{
	ASSERT_EQ(0, CALL(remotemap_map(self->handle, 0, SIZE, NULL,
					&self->mirror)));
	ASSERT_SHOWS(pattern(1, 0), self->mirror);
	ASSERT_EQ(SIGSEGV, touch_write(self->mirror, 1));
}

TEST_F(mapping, stays_when_the_handle_is_closed)
{
	ASSERT_EQ(0, CALL(remotemap_map(self->handle, 0, SIZE, NULL,
					&self->mirror)));
	remotemap_close(self->handle);
	self->handle = NULL;
	source_store(self->source, self->memory, 9);
	ASSERT_SHOWS(9, self->mirror);
}

/* Whatever the byte: the pages that it is in are mapped, and unmapped. */
TEST_F(mapping, need_not_be_page_aligned)
{
	const struct {
		uint64_t offset;
		size_t length;
		size_t pages;
	} cases[] = {
		{ 5, 1, 1 },
		{ PAGE_SIZE - 1, 2, 2 },
		{ 3 * PAGE_SIZE + 100, PAGE_SIZE, 2 },
		{ 7 * PAGE_SIZE, PAGE_SIZE + 1, 2 },
		{ SIZE - 8, 8, 1 },
	};
	char *mirror, *first, want[8], *copy = malloc(SIZE);
	size_t i, page;

	ASSERT_EQ(SIZE, remotemap_read(self->handle, copy, SIZE, 0));
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ASSERT_EQ(0, CALL(remotemap_map(self->handle, cases[i].offset,
						cases[i].length, NULL,
						&self->mirror)));
		mirror = self->mirror;
		first = (char *)((uintptr_t)mirror & -PAGE_SIZE);
		memcpy(want, copy + cases[i].offset, 1);
		EXPECT_EQ(want[0], mirror[0]);
		EXPECT_EQ(copy[cases[i].offset + cases[i].length - 1],
			  mirror[cases[i].length - 1]);
		EXPECT_EQ(cases[i].offset % PAGE_SIZE,
			  (uintptr_t)mirror % PAGE_SIZE);
		for (page = 0; page < cases[i].pages; page++)
			EXPECT_TRUE(is_mapped(first + page * PAGE_SIZE));
		EXPECT_EQ(0, CALL(remotemap_unmap(mirror, cases[i].length)));
		for (page = 0; page < cases[i].pages; page++)
			EXPECT_FALSE(is_mapped(first + page * PAGE_SIZE));
	}
	free(copy);
}

TEST_F(mapping, a_part_can_be_unmapped)
{
	char *mirror;

	ASSERT_EQ(0, CALL(remotemap_map(self->handle, 0, 3 * PAGE_SIZE, NULL,
					&self->mirror)));
	mirror = self->mirror;
	EXPECT_EQ(0, CALL(remotemap_unmap(mirror + PAGE_SIZE, PAGE_SIZE)));
	EXPECT_FALSE(is_mapped(mirror + PAGE_SIZE));
	ASSERT_SHOWS(pattern(1, 0), mirror);
	ASSERT_SHOWS(pattern(1, 2), mirror + 2 * PAGE_SIZE);
}

/* ---- how much a fault maps ----------------------------------------------- */

static uint64_t mapped_by_a_touch(struct __test_metadata *_metadata,
				  const struct remotemap *handle,
				  unsigned int flags, uint64_t value)
{
	uint64_t before = handle_stat(handle).pages_mapped, after;
	char *mirror = handle_map(handle, 0, 2 * PMD_SIZE, flags);

	EXPECT_EQ(before, handle_stat(handle).pages_mapped);
	EXPECT_EQ(value, *(volatile uint64_t *)(mirror + PMD_SIZE));
	after = handle_stat(handle).pages_mapped;
	remotemap_unmap(mirror, 2 * PMD_SIZE);
	return after - before;
}

TEST_F(mapping, advice_decides_how_much_a_fault_maps)
{
	uint64_t memory = source_anon_aligned(self->source, 2 * PMD_SIZE);
	uint64_t value = pattern(5, 512), some, many;
	struct remotemap *handle;

	source_madvise(self->source, memory, 2 * PMD_SIZE, MADV_NOHUGEPAGE);
	source_fill(self->source, memory, 2 * PMD_SIZE, 5);
	handle = handle_of(self->pid, memory, 2 * PMD_SIZE, 0, 0);
	EXPECT_EQ(1, mapped_by_a_touch(_metadata, handle, REMOTEMAP_MAP_RANDOM,
				       value));
	some = mapped_by_a_touch(_metadata, handle, 0, value);
	EXPECT_LT(1, some);
	many = mapped_by_a_touch(_metadata, handle, REMOTEMAP_MAP_SEQUENTIAL,
				 value);
	EXPECT_LT(some, many);
	remotemap_close(handle);
}

TEST_F(mapping, populated_mirror_does_not_fault)
{
	struct remotemap_stat before;
	char *mirror;
	size_t page;

	/* Holes do not end it. */
	source_munmap(self->source, self->memory + 5 * PAGE_SIZE, PAGE_SIZE);
	source_mprotect(self->source, self->memory + 9 * PAGE_SIZE, PAGE_SIZE,
			PROT_NONE);
	ASSERT_EQ(0,
		  CALL(remotemap_map(self->handle, 0, SIZE,
				     OPTIONS(.flags = REMOTEMAP_MAP_POPULATE),
				     &self->mirror)));
	mirror = self->mirror;
	before = handle_stat(self->handle);
	EXPECT_EQ(PAGES - 2, before.pages_mapped);
	for (page = 0; page < PAGES; page++)
		if (page != 5 && page != 9)
			ASSERT_SHOWS(pattern(1, page),
				     mirror + page * PAGE_SIZE);
	EXPECT_EQ(before.faults, handle_stat(self->handle).faults);
	ASSERT_NOT_READABLE(mirror + 5 * PAGE_SIZE);
	ASSERT_NOT_READABLE(mirror + 9 * PAGE_SIZE);
}

/* What a view does not make the source fault for, populating does not, either. */
TEST_F(mapping, populating_a_resident_view_does_not_disturb_the_source)
{
	uint64_t memory = source_anon(self->source, SIZE, 0), faults;
	struct remotemap *handle;
	char *mirror;

	source_store(self->source, memory + 7 * PAGE_SIZE, 1);
	source_store(self->source, memory + 30 * PAGE_SIZE, 2);
	handle = handle_of(self->pid, memory, SIZE, 0, PIDFD_MEM_MAP_RESIDENT);
	faults = minor_faults(self->pid);
	mirror = handle_map(handle, 0, SIZE, REMOTEMAP_MAP_POPULATE);
	EXPECT_EQ(faults, minor_faults(self->pid));
	EXPECT_EQ(2 * PAGE_SIZE / 1024, smaps(self->pid, memory, "Rss"));
	EXPECT_EQ(2, handle_stat(handle).pages_mapped);
	ASSERT_SHOWS(1, mirror + 7 * PAGE_SIZE);
	ASSERT_SHOWS(2, mirror + 30 * PAGE_SIZE);
	remotemap_close(handle);
}

/* More pages than one call touches, and an offset in the middle of a page */
TEST_F(mapping, populating_much)
{
	const size_t size = 2 * PMD_SIZE;
	uint64_t memory = source_anon(self->source, size, 0);
	struct remotemap *handle;
	uint64_t faults;
	char *mirror;

	source_madvise(self->source, memory, size, MADV_NOHUGEPAGE);
	source_fill(self->source, memory, size, 4);
	handle = handle_of(self->pid, memory, size, 0, 0);
	mirror = handle_map(handle, 100, size - 200, REMOTEMAP_MAP_POPULATE);
	EXPECT_EQ(size / PAGE_SIZE, handle_stat(handle).pages_mapped);
	faults = handle_stat(handle).faults;
	EXPECT_EQ(-1, pattern_differs(mirror - 100, size, 4));
	EXPECT_EQ(faults, handle_stat(handle).faults);
	remotemap_close(handle);
}

/* ---- into a reserved range ----------------------------------------------- */

TEST_F(mapping, reserved_range_is_mapped_into)
{
	const size_t room = 4 * PMD_SIZE;
	char *range =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t memory = source_anon(self->source, 2 * PMD_SIZE, 0);
	struct remotemap *handle =
		handle_of(self->pid, memory, 2 * PMD_SIZE, 0, 0);
	char *mirror;

	/* Less than 2 MiB: where the range begins; the byte at the offset */
	ASSERT_EQ(0, CALL(remotemap_map(self->handle, PAGE_SIZE + 5, PAGE_SIZE,
					OPTIONS(.reserved = range,
						.reserved_length = room),
					&self->mirror)));
	EXPECT_EQ(range + 5, self->mirror);
	ASSERT_SHOWS(pattern(1, 1), range);
	ASSERT_EQ(SIGSEGV, touch_read(range + 2 * PAGE_SIZE, &(uint64_t){ 0 }));
	/* As much or more: where it agrees with the source */
	source_store(self->source, memory, 0xabc);
	ASSERT_EQ(0, CALL(remotemap_map(handle, 0, 2 * PMD_SIZE,
					OPTIONS(.reserved = range,
						.reserved_length = room),
					&self->mirror)));
	mirror = self->mirror;
	EXPECT_EQ(memory % PMD_SIZE, (uintptr_t)mirror % PMD_SIZE);
	EXPECT_LE(range, mirror);
	EXPECT_GE(range + room, mirror + 2 * PMD_SIZE);
	ASSERT_SHOWS(0xabc, mirror);
	remotemap_close(handle);
}

TEST_F(mapping, bad_reserved_ranges)
{
	char *range = mmap(NULL, 4 * PAGE_SIZE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REFUSED(EINVAL, remotemap_map(self->handle, 0, PAGE_SIZE,
				      OPTIONS(.reserved = range + 1,
					      .reserved_length = PAGE_SIZE),
				      &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, 0, PAGE_SIZE,
				      OPTIONS(.reserved = range,
					      .reserved_length = SIZE_MAX),
				      &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, 0, PAGE_SIZE,
				      OPTIONS(.reserved_length = PAGE_SIZE),
				      &self->mirror));
	REFUSED(ENOMEM, remotemap_map(self->handle, 1, PAGE_SIZE,
				      OPTIONS(.reserved = range,
					      .reserved_length = PAGE_SIZE),
				      &self->mirror));
	EXPECT_EQ((void *)4712, self->mirror);
	EXPECT_EQ(SIGSEGV, touch_read(range, &(uint64_t){ 0 }));
}

/* ---- what is refused ----------------------------------------------------- */

TEST_F(mapping, bad_options)
{
	struct {
		struct remotemap_map_options known;
		char later[8];
	} later = { .known.size = sizeof(later), .later = { 1 } };
	unsigned int bit;

	for (bit = 4; bit < 32; bit++)
		REFUSED(EINVAL, remotemap_map(self->handle, 0, SIZE,
					      OPTIONS(.flags = 1U << bit),
					      &self->mirror));
	REFUSED(EINVAL,
		remotemap_map(self->handle, 0, SIZE,
			      OPTIONS(.flags = REMOTEMAP_MAP_SEQUENTIAL |
					       REMOTEMAP_MAP_RANDOM),
			      &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, 0, SIZE,
				      OPTIONS(.padding = 1), &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, 0, SIZE,
				      &(struct remotemap_map_options){ 0 },
				      &self->mirror));
	REFUSED(E2BIG, remotemap_map(self->handle, 0, SIZE, &later.known,
				     &self->mirror));
	later.later[0] = 0;
	EXPECT_EQ(0, CALL(remotemap_map(self->handle, 0, SIZE, &later.known,
					&self->mirror)));
}

TEST_F(mapping, bad_ranges_are_EINVAL)
{
	REFUSED(EINVAL, remotemap_map(self->handle, 0, 0, NULL, &self->mirror));
	REFUSED(EINVAL,
		remotemap_map(self->handle, 1, SIZE_MAX, NULL, &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, UINT64_MAX, 1, NULL,
				      &self->mirror));
	REFUSED(EINVAL, remotemap_map(self->handle, 1ULL << 63, PAGE_SIZE, NULL,
				      &self->mirror));
	/* No view is there. */
	REFUSED(EINVAL, remotemap_map(self->handle, SIZE, PAGE_SIZE, NULL,
				      &self->mirror));
	REFUSED(EINVAL, remotemap_unmap(NULL, PAGE_SIZE));
	REFUSED(EINVAL, remotemap_unmap((void *)PAGE_SIZE, 0));
	REFUSED(EINVAL, remotemap_unmap((void *)PAGE_SIZE, SIZE_MAX));
	EXPECT_EQ((void *)4712, self->mirror);
}

TEST_F(mapping, refusals)
{
	struct remotemap *handle =
		handle_of(self->pid, self->memory, PAGE_SIZE, 0, 0);

	REFUSED(EFAULT, remotemap_map(self->handle, 0, SIZE, NULL, NULL));
	REFUSED(EACCES, remotemap_map(handle, 0, PAGE_SIZE,
				      OPTIONS(.flags = REMOTEMAP_MAP_WRITE),
				      &self->mirror));
	remotemap_close(handle);
	/* Oneself */
	ASSERT_EQ(0, remotemap_open_self(NULL, &handle));
	ASSERT_EQ(0, remotemap_add(handle, 0, 0, remotemap_address_space(), 0));
	REFUSED(EINVAL,
		remotemap_map(handle, 0, PAGE_SIZE, NULL, &self->mirror));
	remotemap_close(handle);
	source_kill(self->source);
	REFUSED(ESRCH,
		remotemap_map(self->handle, 0, SIZE, NULL, &self->mirror));
}

TEST_HARNESS_MAIN
