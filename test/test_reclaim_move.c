// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel moves, merges, splits and collapses mirrored pages as if nobody
 * looked; a mirror shows them where they are, and writes go nowhere else.
 */
#include "harness.h"

#include <inttypes.h>
#include <sched.h>

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(move)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(move)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_LE(PAGES, mirror_mapped(&self->mirror));
}

FIXTURE_TEARDOWN(move)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

#define ASSERT_COHERENT(n)                                                     \
	do {                                                                   \
		source_store(self->source, ADDRESS(n), 0x5011ceULL);           \
		ASSERT_SHOWS(0x5011ceULL, AT(n));                              \
		ASSERT_WRITES(0x71e3e7ULL, AT(n));                             \
		ASSERT_EQ(0x71e3e7ULL, source_load(self->source, ADDRESS(n))); \
	} while (0)

/* ---- migration ---------------------------------------------------------------- */

TEST_F(move, migrated_page_shows_and_takes_writes_where_it_is)
{
	uint64_t before;
	int node;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	for (n = 0; n < PAGES; n++) {
		/* Half of them are installed writable. */
		if (n % 2)
			ASSERT_WRITES(pattern(SEED, n), AT(n));
		before = frame(self->source->pid, ADDRESS(n));
		node = node_of(self->source->pid, ADDRESS(n));
		ASSERT_LE(0, node);
		ASSERT_HITS(&self->mirror,
			    WAIT_FOR(!node_move(self->source->pid, ADDRESS(n),
						!node)));
		ASSERT_NE(before, frame(self->source->pid, ADDRESS(n)));
		ASSERT_SHOWS(pattern(SEED, n), AT(n));
		ASSERT_COHERENT(n);
	}
}

TEST_F(move, migrated_process_stays_in_sight)
{
	const unsigned long nodes[2] = { 1, 2 };
	int turn;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	for (turn = 0; turn < 4; turn++) {
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
		/* From one node to the other, and back */
		ASSERT_LE(0, syscall(SYS_migrate_pages, self->source->pid, 3,
				     &nodes[turn % 2], &nodes[!(turn % 2)]));
		for (n = 0; n < PAGES; n++) {
			ASSERT_EQ(!(turn % 2),
				  node_of(self->source->pid, ADDRESS(n)));
		}
	}
	ASSERT_LT(0, mirror_hits(&self->mirror));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_COHERENT(2);
}

TEST_F_TIMEOUT(move, no_write_is_lost_while_pages_migrate, 60)
{
	struct deadline deadline = deadline_in(2);
	struct hammer *hammer;
	uint64_t moves = 0;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	hammer = hammer_start(self->mirror.at, PAGES);
	while (!deadline_passed(&deadline) || moves < PAGES ||
	       mirror_hits(&self->mirror) < PAGES)
		for (n = 0; n < PAGES; n++)
			moves += !node_move(self->source->pid, ADDRESS(n),
					    !node_of(self->source->pid,
						     ADDRESS(n)));
	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

struct mover {
	pid_t pid;
	uint64_t memory;
	uint64_t seconds;
};

/* In a process of its own: move all pages to the other node and back. */
static long keep_moving(void *arg)
{
	const struct mover *mover = arg;
	struct deadline deadline = deadline_in(mover->seconds);
	uint64_t moves = 0, at;
	size_t n;

	while (!deadline_passed(&deadline) || moves < PAGES) {
		for (n = 0; n < PAGES; n++) {
			at = mover->memory + n * PAGE_SIZE;
			moves += !node_move(mover->pid, at,
					    !node_of(mover->pid, at));
		}
	}
	return moves;
}

TEST_F_TIMEOUT(move, migration_hides_no_resident_page, 60)
{
	struct mover mover = { self->source->pid, self->memory, 3 };
	struct source *other = source_start();
	struct deadline deadline = deadline_in(3);
	struct mirror mirror;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	/* Scans would take pages away too, and that is another test. */
	numa_balancing_set(false);
	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	source_call_begin(other, keep_moving, &mover, sizeof(mover));
	while (!deadline_passed(&deadline))
		for (n = 0; n < PAGES; n++)
			ASSERT_SHOWS(pattern(SEED, n),
				     mirror.at + n * PAGE_SIZE);
	ASSERT_LT(0, source_finish(other));
	ASSERT_LT(0, mirror_hits(&mirror));
	mirror_close(&mirror);
	source_end(other);
}

TEST_F(move, page_taken_offline_is_shown_where_it_went)
{
	uint64_t before = frame(self->source->pid, ADDRESS(2));
	int error;

	ASSERT_WRITES(22, AT(2));
	error = source_madvise(self->source, ADDRESS(2), PAGE_SIZE,
			       MADV_SOFT_OFFLINE);
	if (error == -EINVAL)
		SKIP(return, "no CONFIG_MEMORY_FAILURE");
	ASSERT_EQ(0, error);
	ASSERT_NE(before, frame(self->source->pid, ADDRESS(2)));
	ASSERT_LT(0, mirror_hits(&self->mirror));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_COHERENT(2);
}

static void do_nothing(int signal_number)
{
	(void)signal_number;
}

/* In the source: lose a page. Newer kernels say so at once, by SIGBUS. */
static long lose_page(void *arg)
{
	struct sigaction ignore = { .sa_handler = do_nothing }, old;
	void **page = arg;
	long result;

	sigaction(SIGBUS, &ignore, &old);
	result = madvise(*page, PAGE_SIZE, MADV_HWPOISON) ? -errno : 0;
	sigaction(SIGBUS, &old, NULL);
	return result;
}

TEST_F(move, page_lost_to_a_memory_error_is_a_hole)
{
	uint64_t page = ADDRESS(2), value;
	int error;

	ASSERT_WRITES(22, AT(2));
	error = source_call(self->source, lose_page, &page, sizeof(page));
	if (error == -EINVAL)
		SKIP(return, "no CONFIG_MEMORY_FAILURE");
	ASSERT_EQ(0, error);
	ASSERT_LT(0, mirror_hits(&self->mirror));
	ASSERT_HOLE(AT(2));
	ASSERT_EQ(SIGBUS, source_try_load(self->source, ADDRESS(2), &value));
	ASSERT_COHERENT(1);
	ASSERT_COHERENT(3);
	/* The source gets itself a new page. */
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(2), PAGE_SIZE,
				    MADV_DONTNEED));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_COHERENT(2);
}

/* Compaction moves what is low in a zone to where the zone is free above. */
#define ISLE 8UL
#define ISLES 512UL
#define ISLES_SIZE (ISLES * ISLE * PAGE_SIZE)

/* Memory of which every eighth page is there, each the only one around */
static uint64_t isles_make(struct source *source)
{
	uint64_t memory = source_anon(source, ISLES_SIZE, 0);
	size_t n;

	source_madvise(source, memory, ISLES_SIZE, MADV_NOHUGEPAGE);
	source_fill(source, memory, ISLES_SIZE, SEED);
	for (n = 0; n < ISLES; n++)
		if (source_madvise(source, memory + (n * ISLE + 1) * PAGE_SIZE,
				   (ISLE - 1) * PAGE_SIZE, MADV_DONTNEED))
			fatal("madvise in the source failed");
	return memory;
}

/* How many of them are elsewhere than before */
static size_t isles_moved(struct source *source, uint64_t memory,
			  const uint64_t *before)
{
	size_t moved = 0, n;

	for (n = 0; n < ISLES; n++)
		moved += before[n] !=
			 frame(source->pid, memory + n * ISLE * PAGE_SIZE);
	return moved;
}

TEST_F_TIMEOUT(move, compacted_memory_is_shown_where_it_went, 120)
{
	uint64_t before[ISLES], memory = 0;
	struct mirror mirror = { .map = -1 };
	size_t n;

	/* Memory that is low in its zone is what the last compaction freed. */
	WAIT_FOR(({
		compact_memory();
		memory = isles_make(self->source);
		mirror = mirror_open(self->source->pid, memory, ISLES_SIZE,
				     PROT_READ | PROT_WRITE, 0);
		for (n = 0; n < ISLES; n++) {
			uint64_t at = n * ISLE * PAGE_SIZE;

			before[n] = frame(self->source->pid, memory + at);
			ASSERT_WRITES(n, mirror.at + at);
		}
		compact_memory();
		isles_moved(self->source, memory, before) > 0;
	}));
	ASSERT_LT(0, mirror_hits(&mirror));
	for (n = 0; n < ISLES; n++) {
		char *at = mirror.at + n * ISLE * PAGE_SIZE;

		ASSERT_SHOWS(n, at);
		ASSERT_SHOWS(pattern(SEED, n * ISLE), at + 8);
		ASSERT_WRITES(n + 1, at);
		ASSERT_EQ(n + 1, source_load(self->source,
					     memory + n * ISLE * PAGE_SIZE));
	}
	mirror_close(&mirror);
}

/* ---- KSM ------------------------------------------------------------------------ */

FIXTURE(ksm)
{
	struct source *source;
	struct source *other;
	uint64_t memory;
	uint64_t others;
	struct mirror mirror;
};

/* Each process has KSM_PAGES pages of the same content as the other's. */
#define KSM_PAGES 8UL
#define KSM_SIZE (KSM_PAGES * PAGE_SIZE)

FIXTURE_SETUP(ksm)
{
	self->source = source_start();
	self->other = source_start();
	self->memory = source_anon(self->source, KSM_SIZE, 0);
	self->others = source_anon(self->other, KSM_SIZE, 0);
	source_fill(self->source, self->memory, KSM_SIZE, SEED);
	source_fill(self->other, self->others, KSM_SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, KSM_SIZE,
				   PROT_READ | PROT_WRITE, 0);
	/* Installed writable, so that a stale page could be written. */
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, KSM_SIZE, SEED));
	ASSERT_WRITES(pattern(SEED, 2), AT(2));
	ASSERT_EQ(0, source_madvise(self->source, self->memory, KSM_SIZE,
				    MADV_MERGEABLE));
	ASSERT_EQ(0, source_madvise(self->other, self->others, KSM_SIZE,
				    MADV_MERGEABLE));
	ASSERT_HITS(&self->mirror, ksm_run());
	ksm_stop();
}

FIXTURE_TEARDOWN(ksm)
{
	ksm_stop();
	mirror_close(&self->mirror);
	source_end(self->other);
	source_end(self->source);
}

static bool merged(const FIXTURE_DATA(ksm) * self, size_t n)
{
	return frame(self->source->pid, self->memory + n * PAGE_SIZE) ==
	       frame(self->other->pid, self->others + n * PAGE_SIZE);
}

TEST_F_TIMEOUT(ksm, reading_does_not_unmerge, 120)
{
	size_t n;

	for (n = 0; n < KSM_PAGES; n++) {
		ASSERT_TRUE(merged(self, n));
	}
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, KSM_SIZE, SEED));
	for (n = 0; n < KSM_PAGES; n++) {
		ASSERT_TRUE(merged(self, n));
	}
}

TEST_F_TIMEOUT(ksm, write_of_the_viewer_unmerges_that_page, 120)
{
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(pattern(SEED, 2),
		  source_load(self->other, self->others + 2 * PAGE_SIZE));
	ASSERT_FALSE(merged(self, 2));
	ASSERT_TRUE(merged(self, 3));
	ASSERT_COHERENT(2);
}

TEST_F_TIMEOUT(ksm, write_of_the_source_unmerges_and_shows, 120)
{
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_HITS(&self->mirror, source_store(self->source, ADDRESS(2), 22));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_EQ(pattern(SEED, 2),
		  source_load(self->other, self->others + 2 * PAGE_SIZE));
}

TEST_F_TIMEOUT(ksm, write_of_the_other_does_not_show, 120)
{
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	source_store(self->other, self->others + 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_COHERENT(2);
	ASSERT_EQ(22, source_load(self->other, self->others + 2 * PAGE_SIZE));
}

TEST_F_TIMEOUT(ksm, unmerged_on_demand_stays_coherent, 120)
{
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, KSM_SIZE, SEED));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						KSM_SIZE, MADV_UNMERGEABLE)));
	ASSERT_FALSE(merged(self, 2));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, KSM_SIZE, SEED));
	ASSERT_COHERENT(2);
	ASSERT_EQ(pattern(SEED, 2),
		  source_load(self->other, self->others + 2 * PAGE_SIZE));
}

/* ---- transparent huge pages ---------------------------------------------------------- */

#define THP_SIZE (2 * PMD_SIZE)
#define THP_PAGES (THP_SIZE / PAGE_SIZE)

FIXTURE(thp)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

#define KHUGEPAGED "/sys/kernel/mm/transparent_hugepage/khugepaged/"

/* It scans once when it is told so: before there is anything to find. */
static void khugepaged_sleep(unsigned long ms)
{
	if (number_read(KHUGEPAGED "scan_sleep_millisecs") != ms)
		text_must_write(KHUGEPAGED "scan_sleep_millisecs", "%lu", ms);
}

FIXTURE_SETUP(thp)
{
	khugepaged_sleep(3600000);
	self->source = source_start();
	self->memory = source_anon_aligned(self->source, THP_SIZE);
	ASSERT_EQ(0, source_madvise(self->source, self->memory, THP_SIZE,
				    MADV_HUGEPAGE));
	source_fill(self->source, self->memory, THP_SIZE, SEED);
	if (!is_huge(self->source, self->memory))
		ASSERT_EQ(0, collapse(self->source, self->memory, THP_SIZE));
	ASSERT_TRUE(is_huge(self->source, self->memory));
	self->mirror = mirror_open(self->source->pid, self->memory, THP_SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	/* Installed writable, so that a stale page could be written. */
	ASSERT_WRITES(pattern(SEED, 0), AT(0));
	ASSERT_WRITES(pattern(SEED, 100), AT(100));
	ASSERT_WRITES(pattern(SEED, 700), AT(700));
	/* To be looked at is no reason to split. */
	ASSERT_TRUE(is_huge(self->source, self->memory));
}

FIXTURE_TEARDOWN(thp)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

TEST_F(thp, huge_page_is_coherent)
{
	size_t n;

	for (n = 0; n < THP_PAGES; n += 37)
		ASSERT_COHERENT(n);
	ASSERT_TRUE(is_huge(self->source, self->memory));
}

TEST_F(thp, split_by_unmap)
{
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, ADDRESS(100), PAGE_SIZE));
	ASSERT_HOLE(AT(100));
	ASSERT_SHOWS(pattern(SEED, 99), AT(99));
	ASSERT_SHOWS(pattern(SEED, 101), AT(101));
	ASSERT_SHOWS(pattern(SEED, 700), AT(700));
	ASSERT_COHERENT(99);
	ASSERT_COHERENT(101);
}

TEST_F(thp, split_by_discard)
{
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(100),
						PAGE_SIZE, MADV_DONTNEED)));
	ASSERT_SHOWS(0, AT(100));
	ASSERT_SHOWS(pattern(SEED, 99), AT(99));
	ASSERT_COHERENT(100);
	ASSERT_COHERENT(101);
}

TEST_F(thp, split_by_protection)
{
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(100),
						   PAGE_SIZE, PROT_READ));
	ASSERT_SHOWS(pattern(SEED, 100), AT(100));
	ASSERT_NOT_WRITABLE(AT(100));
	ASSERT_COHERENT(99);
	ASSERT_COHERENT(101);
	source_mprotect(self->source, ADDRESS(100), PAGE_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_COHERENT(100);
}

TEST_F(thp, split_by_moving_a_part)
{
	uint64_t to = source_anon(self->source, PAGE_SIZE, 0);

	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(to, source_syscall(
					  self->source, SYS_mremap,
					  ADDRESS(100), PAGE_SIZE, PAGE_SIZE,
					  MREMAP_MAYMOVE | MREMAP_FIXED, to)));
	ASSERT_HOLE(AT(100));
	ASSERT_EQ(pattern(SEED, 100), source_load(self->source, to));
	ASSERT_COHERENT(99);
}

TEST_F(thp, split_by_the_kernel)
{
	ASSERT_HITS(&self->mirror, split_huge_pages(self->source->pid,
						    self->memory, THP_SIZE));
	ASSERT_FALSE(is_huge(self->source, self->memory));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	ASSERT_COHERENT(100);
}

TEST_F(thp, whole_huge_page_discarded)
{
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						PMD_SIZE, MADV_DONTNEED)));
	ASSERT_SHOWS(0, AT(0));
	ASSERT_SHOWS(0, AT(511));
	ASSERT_SHOWS(pattern(SEED, 512), AT(512));
	ASSERT_COHERENT(0);
}

TEST_F(thp, whole_huge_page_moved)
{
	uint64_t to = source_anon_aligned(self->source, PMD_SIZE);
	struct mirror mirror = mirror_open(self->source->pid, to, PMD_SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ASSERT_SHOWS(0, mirror.at);
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(to, source_syscall(
					  self->source, SYS_mremap,
					  self->memory, PMD_SIZE, PMD_SIZE,
					  MREMAP_MAYMOVE | MREMAP_FIXED, to)));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(511));
	ASSERT_EQ(-1, pattern_differs(mirror.at, PMD_SIZE, SEED));
	ASSERT_SHOWS(pattern(SEED, 512), AT(512));
	mirror_close(&mirror);
}

TEST_F(thp, copied_on_write_after_fork)
{
	struct source *child;

	ASSERT_HITS(&self->mirror, child = source_fork(self->source));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	ASSERT_TRUE(is_huge(self->source, self->memory));
	ASSERT_WRITES(1100, AT(100));
	source_store(self->source, ADDRESS(700), 1700);
	ASSERT_SHOWS(1700, AT(700));
	ASSERT_EQ(1100, source_load(self->source, ADDRESS(100)));
	ASSERT_EQ(-1,
		  source_pattern_differs(child, self->memory, THP_SIZE, SEED));
	source_store(child, ADDRESS(300), 1300);
	ASSERT_SHOWS(pattern(SEED, 300), AT(300));
	source_end(child);
	ASSERT_COHERENT(300);
}

TEST_F(thp, collapse_of_small_pages)
{
	split_huge_pages(self->source->pid, self->memory, THP_SIZE);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	ASSERT_WRITES(1100, AT(100));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0,
			      collapse(self->source, self->memory, THP_SIZE)));
	ASSERT_TRUE(is_huge(self->source, self->memory));
	ASSERT_SHOWS(1100, AT(100));
	ASSERT_WRITES(1101, AT(100));
	ASSERT_EQ(1101, source_load(self->source, ADDRESS(100)));
	ASSERT_WRITES(pattern(SEED, 100), AT(100));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
}

TEST_F(thp, collapse_by_khugepaged)
{
	split_huge_pages(self->source->pid, self->memory, THP_SIZE);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	ASSERT_FALSE(is_huge(self->source, self->memory));
	text_must_write(KHUGEPAGED "pages_to_scan", "100000");
	ASSERT_HITS(&self->mirror, {
		khugepaged_sleep(10);
		WAIT_FOR(is_huge(self->source, self->memory));
	});
	khugepaged_sleep(3600000);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, THP_SIZE, SEED));
	ASSERT_COHERENT(100);
}

TEST_F_TIMEOUT(thp, no_write_is_lost_while_huge_pages_come_and_go, 60)
{
	struct deadline deadline = deadline_in(3);
	uint64_t collapses = 0, turn;
	struct hammer *hammer;
	size_t n;

	hammer = hammer_start(self->mirror.at, THP_PAGES);
	for (turn = 0; !deadline_passed(&deadline) || collapses < 3; turn++) {
		switch (turn % 3) {
		case 0:
			split_huge_pages(self->source->pid, self->memory,
					 THP_SIZE);
			break;
		case 1:
			collapses +=
				!collapse(self->source, self->memory, THP_SIZE);
			break;
		case 2:
			/* There and back, or there is no mapping to collapse. */
			source_mprotect(self->source, ADDRESS(turn % THP_PAGES),
					PAGE_SIZE,
					PROT_READ | PROT_WRITE | PROT_EXEC);
			source_mprotect(self->source, ADDRESS(turn % THP_PAGES),
					PAGE_SIZE, PROT_READ | PROT_WRITE);
			break;
		}
	}
	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < THP_PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

TEST_F_TIMEOUT(thp, no_write_is_lost_while_children_come_and_go, 60)
{
	struct deadline deadline = deadline_in(3);
	struct hammer *hammer;
	uint64_t forks = 0;
	size_t n;

	hammer = hammer_start(self->mirror.at, THP_PAGES);
	while (!deadline_passed(&deadline) || forks < 3) {
		struct source *child = source_fork(self->source);

		/* What the child has does not change under it. */
		uint64_t seen = source_load(child, ADDRESS(100));

		source_store(child, ADDRESS(101), 0xbad);
		ASSERT_EQ(seen, source_load(child, ADDRESS(100)));
		source_end(child);
		forks++;
	}
	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < THP_PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

TEST_F(thp, huge_zero_page_is_never_written)
{
	struct source *other = source_start();
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);
	uint64_t others = source_anon_aligned(other, PMD_SIZE);
	struct mirror mirror;
	size_t n;

	ASSERT_EQ(0, source_madvise(self->source, memory, PMD_SIZE,
				    MADV_HUGEPAGE));
	ASSERT_EQ(0, source_madvise(other, others, PMD_SIZE, MADV_HUGEPAGE));
	ASSERT_EQ(0, source_load(self->source, memory));
	ASSERT_EQ(0, source_load(other, others));
	/* It is in place, and the same for both. */
	ASSERT_EQ(frame(self->source->pid, memory + 100 * PAGE_SIZE),
		  frame(other->pid, others + 100 * PAGE_SIZE));
	mirror = mirror_open(self->source->pid, memory, PMD_SIZE,
			     PROT_READ | PROT_WRITE, 0);
	for (n = 0; n < 512; n++)
		ASSERT_SHOWS(0, mirror.at + n * PAGE_SIZE);
	ASSERT_WRITES(22, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(22, source_load(self->source, memory + 100 * PAGE_SIZE));
	ASSERT_SHOWS(22, mirror.at + 100 * PAGE_SIZE);
	ASSERT_SHOWS(0, mirror.at + 101 * PAGE_SIZE);
	source_store(self->source, memory + 101 * PAGE_SIZE, 23);
	ASSERT_SHOWS(23, mirror.at + 101 * PAGE_SIZE);
	for (n = 0; n < 512; n++) {
		ASSERT_EQ(0, source_load(other, others + n * PAGE_SIZE));
	}
	mirror_close(&mirror);
	source_end(other);
}

/* ---- NUMA balancing ---------------------------------------------------------------------- */

/* Look at all pages, and change them, for a while. */
static long be_busy(void *arg)
{
	const uint64_t *range = arg;
	volatile uint64_t *word = (uint64_t *)range[0];
	struct deadline deadline = deadline_in(range[2]);
	size_t pages = range[1] / PAGE_SIZE, n;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	while (!deadline_passed(&deadline))
		for (n = 0; n < pages; n++)
			word[n * PAGE_SIZE / sizeof(*word) + 1]++;
	return 0;
}

static uint64_t vmstat(const char *key)
{
	FILE *file = fopen("/proc/vmstat", "re");
	char name[64];
	uint64_t value, found = 0;

	if (!file)
		fatal("/proc/vmstat: %m");
	while (fscanf(file, "%63s %" SCNu64, name, &value) == 2)
		if (!strcmp(name, key))
			found = value;
	fclose(file);
	return found;
}

/* Have the kernel take pages away all the time, to see who misses them. */
static bool numa_hints_start(void)
{
	const char *knob = "/sys/kernel/debug/sched/numa_balancing/";
	char path[128];

	if (node_count() < 2 || !numa_balancing_set(true))
		return false;
	snprintf(path, sizeof(path), "%sscan_delay_ms", knob);
	text_must_write(path, "1");
	snprintf(path, sizeof(path), "%sscan_period_min_ms", knob);
	text_must_write(path, "20");
	snprintf(path, sizeof(path), "%sscan_period_max_ms", knob);
	text_must_write(path, "100");
	return true;
}

static void numa_hints_stop(void)
{
	numa_balancing_set(false);
}

TEST_F_TIMEOUT(move, numa_hints_stop_neither_side, 60)
{
	uint64_t range[3] = { self->memory, SIZE, 4 };
	uint64_t before = vmstat("numa_pte_updates");
	struct hammer *hammer;
	size_t n;

	if (!numa_hints_start())
		SKIP(return, "no NUMA balancing (boot with numa=fake=2)");
	for (n = 0; n < PAGES; n++)
		node_move(self->source->pid, ADDRESS(n), n % 2);
	/* The viewer counts in the first word of each page, the source in the
	 * second.
	 */
	hammer = hammer_start(self->mirror.at, PAGES);
	source_call_begin(self->source, be_busy, range, sizeof(range));
	ASSERT_EQ(0, source_finish(self->source));
	hammer_stop(hammer);
	numa_hints_stop();
	ASSERT_LT(before, vmstat("numa_pte_updates"));
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

TEST_F_TIMEOUT(move, numa_hints_hide_no_resident_page, 60)
{
	uint64_t range[3] = { self->memory, SIZE, 4 };
	uint64_t before = vmstat("numa_pte_updates"), value;
	struct deadline deadline = deadline_in(4);
	struct mirror mirror;
	size_t n;

	if (!numa_hints_start())
		SKIP(return, "no NUMA balancing (boot with numa=fake=2)");
	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	source_call_begin(self->source, be_busy, range, sizeof(range));
	/* Such a page is in memory, and so never a hole. */
	while (!deadline_passed(&deadline))
		for (n = 0; n < PAGES; n++) {
			ASSERT_EQ(0, touch_read(mirror.at + n * PAGE_SIZE,
						&value));
		}
	ASSERT_EQ(0, source_finish(self->source));
	numa_hints_stop();
	ASSERT_LT(before, vmstat("numa_pte_updates"));
	mirror_close(&mirror);
}

TEST_HARNESS_MAIN
