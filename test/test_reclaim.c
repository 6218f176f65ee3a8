// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrored memory is reclaimed as if nobody looked, and comes back for whoever
 * looks. What was written through a mirror alone is not lost on the way.
 */
#include "harness.h"

#include <inttypes.h>

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(reclaim)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(reclaim)
{
	swap_on();
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_LE(PAGES, mirror_mapped(&self->mirror));
}

FIXTURE_TEARDOWN(reclaim)
{
	mirror_close(&self->mirror);
	source_end(self->source);
	swap_off();
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

#define ASSERT_PAGED_OUT() \
	ASSERT_TRUE(page_out(self->source, self->memory, SIZE))

/* Write what source_fill() would, through the mirror alone. */
static void fill_through(struct mirror *mirror, uint64_t seed)
{
	volatile uint64_t *word = (uint64_t *)mirror->at;
	size_t i;

	for (i = 0; i < mirror->size / sizeof(*word); i++)
		word[i] = pattern(seed, i * sizeof(*word) / PAGE_SIZE);
}

TEST_F(reclaim, swapped_page_comes_back_through_the_mirror)
{
	ASSERT_HITS(&self->mirror, ASSERT_PAGED_OUT());
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_NE(0, frame(self->source->pid, ADDRESS(2)));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
}

TEST_F(reclaim, swapped_page_is_written_through_the_mirror)
{
	ASSERT_HITS(&self->mirror, ASSERT_PAGED_OUT());
	/* No read first: the write brings it back. */
	ASSERT_WRITES(22, AT(2) + 8);
	ASSERT_EQ(pattern(SEED, 2), source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2) + 8));
}

TEST_F(reclaim, written_through_the_mirror_alone_survives_swap)
{
	uint64_t seed;

	/* The source touches nothing; each round finds clean pages in the swap
	 * cache that only the mirror makes dirty.
	 */
	for (seed = 2; seed < 8; seed++) {
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, seed - 1));
		fill_through(&self->mirror, seed);
		ASSERT_HITS(&self->mirror, ASSERT_PAGED_OUT());
	}
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     seed - 1));
}

TEST_F(reclaim, read_by_the_source_and_written_by_the_viewer_survives_swap)
{
	uint64_t seed;

	for (seed = 2; seed < 6; seed++) {
		ASSERT_PAGED_OUT();
		/* The source has them clean... */
		ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory,
						     SIZE, seed - 1));
		/* ...and knows nothing of the write. */
		fill_through(&self->mirror, seed);
	}
	ASSERT_PAGED_OUT();
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     seed - 1));
}

static bool all_dropped(struct source *source, uint64_t from, uint64_t to)
{
	for (; from < to; from += PAGE_SIZE)
		if (pagemap(source->pid, from) &
		    (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
			return false;
	return true;
}

TEST_F(reclaim, given_up_memory_is_kept_where_the_viewer_writes)
{
	size_t n;

	/* What is still on a processor's own list is not given up, and goes to
	 * swap: have the lists emptied before and after.
	 */
	lru_drain();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_FREE)));
	lru_drain();
	for (n = 0; n < PAGES / 2; n++)
		ASSERT_WRITES(1000 + n, AT(n));
	/* Those that nobody wrote to go: the kernel was given leave. */
	WAIT_FOR(({
		source_madvise(self->source, self->memory, SIZE, MADV_PAGEOUT);
		lru_drain();
		all_dropped(self->source, ADDRESS(PAGES / 2), ADDRESS(PAGES));
	}));
	for (n = 0; n < PAGES / 2; n++) {
		ASSERT_SHOWS(1000 + n, AT(n));
		ASSERT_SHOWS(pattern(SEED, n), AT(n) + 8);
		ASSERT_EQ(1000 + n, source_load(self->source, ADDRESS(n)));
	}
	for (; n < PAGES; n++)
		ASSERT_SHOWS(0, AT(n));
}

TEST_F(reclaim, resident_view_leaves_swapped_pages_swapped)
{
	struct mirror mirror;
	size_t n;

	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	ASSERT_HITS(&mirror, ASSERT_PAGED_OUT());
	for (n = 0; n < PAGES; n++)
		ASSERT_HOLE(mirror.at + n * PAGE_SIZE);
	for (n = 0; n < PAGES; n++) {
		ASSERT_NE(0, pagemap(self->source->pid, ADDRESS(n)) &
				     PAGEMAP_SWAPPED);
	}
	/* The other view, without the flag, brings them back for both. */
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	mirror_close(&mirror);
}

TEST_F(reclaim, swapoff_brings_back_what_the_mirror_shows)
{
	fill_through(&self->mirror, 2);
	ASSERT_PAGED_OUT();
	swap_off();
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, 2));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
}

TEST_F(reclaim, swap_of_memory_shared_by_fork_keeps_the_two_apart)
{
	struct mirror parents, childs;
	struct source *child;
	uint64_t memory, turn;

	/* Memory is the cgroup's whose process touches it first. */
	cgroup_create("test_reclaim", self->source->pid, 0);
	memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, memory, SIZE, SEED);
	child = source_fork(self->source);
	parents = mirror_open(self->source->pid, memory, SIZE,
			      PROT_READ | PROT_WRITE, 0);
	childs = mirror_open(child->pid, memory, SIZE, PROT_READ | PROT_WRITE,
			     0);
	for (turn = 1; turn <= 4; turn++) {
		uint64_t at = turn * PAGE_SIZE;

		ASSERT_EQ(pattern(SEED, 50),
			  source_load(child, memory + 50 * PAGE_SIZE));
		ASSERT_SHOWS(pattern(SEED, 50), parents.at + 50 * PAGE_SIZE);
		ASSERT_SHOWS(pattern(SEED, 50), childs.at + 50 * PAGE_SIZE);
		/* Unlike MADV_PAGEOUT this takes pages that two processes share. */
		ASSERT_HITS(&parents, WAIT_FOR(({
			cgroup_reclaim("test_reclaim", 64 << 20);
			all_swapped(self->source, memory, SIZE);
		})));
		ASSERT_LE(turn, mirror_hits(&childs));
		ASSERT_WRITES(turn * 100 + 1, parents.at + at);
		ASSERT_WRITES(turn * 100 + 2, childs.at + at);
		ASSERT_EQ(turn * 100 + 1,
			  source_load(self->source, memory + at));
		ASSERT_EQ(turn * 100 + 2, source_load(child, memory + at));
	}
	mirror_close(&parents);
	mirror_close(&childs);
	source_end(child);
	source_kill(self->source);
	cgroup_remove("test_reclaim");
}

TEST_F(reclaim, shared_memory_written_through_the_mirror_alone_survives_swap)
{
	int fd = memfd_create("test", 0);
	uint64_t memory, seed, word;
	struct mirror mirror;
	size_t n;

	ASSERT_EQ(0, ftruncate(fd, SIZE));
	memory = source_mmap(self->source, 0, SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, source_take_fd(self->source, fd), 0);
	/* Charged to the cgroup, since the source is the first to touch it. */
	cgroup_create("test_reclaim", self->source->pid, 0);
	source_fill(self->source, memory, SIZE, 1);
	mirror = mirror_open(self->source->pid, memory, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	for (seed = 2; seed < 6; seed++) {
		ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, seed - 1));
		fill_through(&mirror, seed);
		ASSERT_HITS(&mirror, WAIT_FOR(({
			cgroup_reclaim("test_reclaim", 64 << 20);
			lru_drain();
			swap_used() >= SIZE &&all_dropped(self->source, memory,
							  memory + SIZE);
		})));
	}
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(8, pread(fd, &word, 8, n * PAGE_SIZE));
		ASSERT_EQ(pattern(seed - 1, n), word);
	}
	mirror_close(&mirror);
	source_kill(self->source);
	close(fd);
	cgroup_remove("test_reclaim");
}

TEST_F_TIMEOUT(reclaim, no_write_is_lost_while_pages_go_and_come, 60)
{
	struct deadline deadline = deadline_in(2);
	struct hammer *hammer;
	size_t n;

	hammer = hammer_start(self->mirror.at, PAGES);
	while (!deadline_passed(&deadline) ||
	       mirror_hits(&self->mirror) <= PAGES)
		source_madvise(self->source, self->memory, SIZE, MADV_PAGEOUT);
	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

TEST_F_TIMEOUT(reclaim, no_write_is_lost_beside_memory_that_is_given_up, 60)
{
	struct deadline deadline = deadline_in(2);
	struct hammer *hammer;
	size_t n;

	/* The same page tables, and reclaim of pages with and without swap */
	hammer = hammer_start(self->mirror.at, PAGES / 2);
	while (!deadline_passed(&deadline)) {
		source_madvise(self->source, self->memory, SIZE / 2, MADV_COLD);
		source_madvise(self->source, ADDRESS(PAGES / 2), SIZE / 2,
			       MADV_FREE);
		source_madvise(self->source, self->memory, SIZE, MADV_PAGEOUT);
	}
	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < PAGES / 2; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

TEST_F_TIMEOUT(reclaim, memory_larger_than_its_limit_is_seen_whole, 120)
{
	const size_t limit = 8UL << 20, size = 2 * limit;
	struct mirror mirror;
	uint64_t memory;

	/* The viewer's faults reclaim the source's memory, in the viewer. */
	cgroup_create("test_reclaim", self->source->pid, limit);
	memory = source_anon(self->source, size, 0);
	source_madvise(self->source, memory, size, MADV_NOHUGEPAGE);
	mirror = mirror_open(self->source->pid, memory, size,
			     PROT_READ | PROT_WRITE, 0);
	fill_through(&mirror, 2);
	ASSERT_EQ(-1, pattern_differs(mirror.at, size, 2));
	ASSERT_EQ(-1, source_pattern_differs(self->source, memory, size, 2));
	fill_through(&mirror, 3);
	ASSERT_EQ(-1, source_pattern_differs(self->source, memory, size, 3));
	ASSERT_LT(0, mirror_hits(&mirror));
	mirror_close(&mirror);
	source_kill(self->source);
	cgroup_remove("test_reclaim");
}

TEST_F_TIMEOUT(reclaim, memory_beyond_the_sources_limit_costs_the_source, 60)
{
	const size_t limit = 8UL << 20, size = 4 * limit;
	struct mirror mirror;
	uint64_t memory;
	int raised = 0;
	size_t at;

	swap_off();
	cgroup_create("test_reclaim", self->source->pid, limit);
	memory = source_anon(self->source, size, 0);
	source_madvise(self->source, memory, size, MADV_NOHUGEPAGE);
	mirror = mirror_open(self->source->pid, memory, size,
			     PROT_READ | PROT_WRITE, 0);
	for (at = 0; at < size && !raised; at += PAGE_SIZE)
		raised = touch_write(mirror.at + at, at);
	/* The source was killed for it, as if it had touched the memory; the
	 * viewer lives.
	 */
	ASSERT_EQ(SIGBUS, raised);
	ASSERT_EQ(SIGKILL, WTERMSIG(source_reap(self->source)));
	ASSERT_LT(limit / 4, at);
	mirror_close(&mirror);
	cgroup_remove("test_reclaim");
}

TEST_HARNESS_MAIN
