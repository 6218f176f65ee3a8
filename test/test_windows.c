// SPDX-License-Identifier: GPL-2.0
/*
 * How many pages one fault of a viewer maps: what the source has around the page,
 * as madvise() says or as the viewer has gone so far, and never what it has not.
 */
#include "harness.h"

#define BLOCK (PMD_SIZE / PAGE_SIZE)
#define BLOCKS 4UL
#define PAGES (BLOCKS * BLOCK)
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1
/* As in kernel/mirror.c */
#define WINDOW 64UL
#define FIRST 16UL

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

FIXTURE(windows)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

/* A mirror of small pages, whose 2 MiB are the source's */
FIXTURE_SETUP(windows)
{
	uint64_t area;

	self->source = source_start();
	area = source_anon(self->source, SIZE + PMD_SIZE, 0);
	self->memory = (area + PMD_SIZE - 1) & -PMD_SIZE;
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_NOHUGEPAGE));
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ, 0);
	ASSERT_EQ(0, (uintptr_t)self->mirror.at % PMD_SIZE);
}

FIXTURE_TEARDOWN(windows)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define FAULTS() counter(self->mirror.map, "faults")
#define FILL() source_fill(self->source, self->memory, SIZE, SEED)
#define ADVISE(advice) ASSERT_EQ(0, madvise(AT(0), SIZE, (advice)))
#define WALK(first, end)                                         \
	do {                                                     \
		size_t n_;                                       \
		for (n_ = (first); n_ < (end); n_++)             \
			ASSERT_SHOWS(pattern(SEED, n_), AT(n_)); \
	} while (0)

TEST_F(windows, who_goes_in_order_has_whole_ones)
{
	FILL();
	WALK(0, PAGES);
	/* The first is small, and what it lacks of a whole one comes next. */
	ASSERT_EQ(PAGES / WINDOW + 1, FAULTS());
	ASSERT_EQ(PAGES, mirror_mapped(&self->mirror));
}

TEST_F(windows, one_look_has_few_pages)
{
	FILL();
	ASSERT_SHOWS(pattern(SEED, BLOCK + 100), AT(BLOCK + 100));
	ASSERT_EQ(FIRST, mirror_mapped(&self->mirror));
	/* The next look in these 2 MiB has more. */
	ASSERT_SHOWS(pattern(SEED, BLOCK + 300), AT(BLOCK + 300));
	ASSERT_EQ(FIRST + WINDOW, mirror_mapped(&self->mirror));
	ASSERT_EQ(2, FAULTS());
}

TEST_F(windows, random_ones_are_a_page)
{
	FILL();
	ADVISE(MADV_RANDOM);
	WALK(0, WINDOW);
	ASSERT_EQ(WINDOW, FAULTS());
	ASSERT_EQ(WINDOW, mirror_mapped(&self->mirror));
}

TEST_F(windows, sequential_ones_are_two_mib)
{
	FILL();
	ADVISE(MADV_SEQUENTIAL);
	WALK(0, PAGES);
	ASSERT_EQ(BLOCKS, FAULTS());
	ASSERT_EQ(PAGES, mirror_mapped(&self->mirror));
}

TEST_F(windows, neighbours_that_the_source_has_not_stay_away)
{
	static const int advices[] = { MADV_NORMAL, MADV_SEQUENTIAL };
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		n = i * BLOCK + 200;
		source_store(self->source, ADDRESS(n), pattern(SEED, n));
		ADVISE(advices[i]);
		ASSERT_SHOWS(pattern(SEED, n), AT(n));
		ASSERT_EQ(i + 1, mirror_mapped(&self->mirror));
		ASSERT_EQ(0, frame(self->source->pid, ADDRESS(n - 1)));
		ASSERT_EQ(0, frame(self->source->pid, ADDRESS(n + 1)));
	}
}

TEST_HARNESS_MAIN
