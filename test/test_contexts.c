// SPDX-License-Identifier: GPL-2.0
/*
 * Many contexts of one source: what one of them has and does is no affair of the
 * others, and the source notices one as much as a thousand.
 */
#include "harness.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1
/* Of them all */
#define MANY 1000
/* How long the module keeps what it had to register, with room to spare */
#define IDLE_S 2

FIXTURE(contexts)
{
	struct source *source;
	uint64_t memory;
	struct mirror a;
	struct mirror b;
};

/* One fault maps one page. */
static struct mirror open_one(pid_t pid, uint64_t memory)
{
	struct mirror mirror = mirror_open(pid, memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	if (madvise(mirror.at, SIZE, MADV_RANDOM))
		fatal("madvise: %m");
	return mirror;
}

FIXTURE_SETUP(contexts)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->a = open_one(self->source->pid, self->memory);
	self->b = open_one(self->source->pid, self->memory);
}

FIXTURE_TEARDOWN(contexts)
{
	mirror_close(&self->a);
	mirror_close(&self->b);
	source_end(self->source);
}

#define A(n) (self->a.at + (n)*PAGE_SIZE)
#define B(n) (self->b.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)
#define DISCARD(n, number)                                      \
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(n),   \
				    (number)*PAGE_SIZE, MADV_DONTNEED))

TEST_F(contexts, a_page_goes_from_the_one_that_has_it)
{
	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	ASSERT_SHOWS(pattern(SEED, 2), B(2));
	DISCARD(1, 1);
	EXPECT_EQ(1, mirror_hits(&self->a));
	EXPECT_EQ(0, mirror_hits(&self->b));
	DISCARD(2, 1);
	EXPECT_EQ(1, mirror_hits(&self->a));
	EXPECT_EQ(1, mirror_hits(&self->b));
	ASSERT_SHOWS(0, A(1));
	ASSERT_SHOWS(0, B(1));
	ASSERT_SHOWS(0, A(2));
	ASSERT_SHOWS(0, B(2));
	ASSERT_SHOWS(pattern(SEED, 3), A(3));
	ASSERT_SHOWS(pattern(SEED, 3), B(3));
}

TEST_F(contexts, a_page_goes_from_all_that_have_it)
{
	/* The first had it alone, before there was another. */
	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	ASSERT_SHOWS(pattern(SEED, 2), B(2));
	DISCARD(0, PAGES);
	EXPECT_EQ(1, mirror_hits(&self->a));
	EXPECT_EQ(1, mirror_hits(&self->b));
	ASSERT_SHOWS(0, A(1));
	ASSERT_SHOWS(0, B(1));
	ASSERT_SHOWS(0, B(2));
	DISCARD(3, PAGES - 3);
	EXPECT_EQ(1, mirror_hits(&self->a));
	EXPECT_EQ(1, mirror_hits(&self->b));
}

TEST_F(contexts, one_that_closes_leaves_the_other)
{
	uint64_t hits;

	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	mirror_close(&self->a);
	DISCARD(1, 1);
	EXPECT_EQ(1, mirror_hits(&self->b));
	ASSERT_SHOWS(0, B(1));
	source_store(self->source, ADDRESS(1), 11);
	ASSERT_SHOWS(11, B(1));
	hits = mirror_hits(&self->b);
	DISCARD(1, 1);
	EXPECT_EQ(hits + 1, mirror_hits(&self->b));
	ASSERT_SHOWS(0, B(1));

	/* The other way round */
	self->a = open_one(self->source->pid, self->memory);
	ASSERT_SHOWS(0, A(1));
	mirror_close(&self->b);
	source_store(self->source, ADDRESS(1), 12);
	ASSERT_SHOWS(12, A(1));
	hits = mirror_hits(&self->a);
	DISCARD(1, 1);
	EXPECT_EQ(hits + 1, mirror_hits(&self->a));
	ASSERT_SHOWS(0, A(1));
	self->b = open_one(self->source->pid, self->memory);
}

TEST_F(contexts, one_after_the_other_starts_with_nothing)
{
	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	mirror_close(&self->a);
	mirror_close(&self->b);
	self->a = open_one(self->source->pid, self->memory);
	self->b = open_one(self->source->pid, self->memory);
	DISCARD(1, 1);
	EXPECT_EQ(0, mirror_hits(&self->a));
	EXPECT_EQ(0, mirror_hits(&self->b));
	ASSERT_SHOWS(0, A(1));
	DISCARD(1, 1);
	EXPECT_EQ(1, mirror_hits(&self->a));
}

TEST_F(contexts, a_view_that_one_removes_stays_the_others)
{
	uint64_t value;

	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	ASSERT_EQ(0, view_remove(self->a.ctrl, 0, SIZE));
	EXPECT_EQ(SIGBUS, touch_read(A(1), &value));
	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	DISCARD(1, 1);
	EXPECT_EQ(0, mirror_hits(&self->a));
	EXPECT_EQ(1, mirror_hits(&self->b));
	ASSERT_SHOWS(0, B(1));
}

TEST_F(contexts, each_hears_what_happened_since_it_was_opened)
{
	uint64_t heard;

	DISCARD(1, 1);
	heard = counter(self->a.map, "invalidations");
	ASSERT_LT(0, heard);
	mirror_close(&self->b);
	self->b = open_one(self->source->pid, self->memory);
	EXPECT_GT(heard, counter(self->b.map, "invalidations"));
	EXPECT_EQ(0, counter(self->b.map, "faults"));
}

TEST_F(contexts, one_that_is_locked_hears_of_its_own_views)
{
	uint64_t heard;

	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	ASSERT_EQ(0, context_lock(self->b.ctrl));
	heard = counter(self->b.map, "invalidations");
	DISCARD(2, 1);
	EXPECT_EQ(heard, counter(self->b.map, "invalidations"));
	EXPECT_LT(heard, counter(self->a.map, "invalidations"));
	DISCARD(1, 1);
	EXPECT_EQ(heard + 1, counter(self->b.map, "invalidations"));
	/* To lock it again changes nothing. */
	ASSERT_EQ(0, context_lock(self->b.ctrl));
	EXPECT_EQ(heard + 1, counter(self->b.map, "invalidations"));
}

TEST_F(contexts, all_are_told_of_the_end)
{
	uint64_t value;

	ASSERT_SHOWS(pattern(SEED, 1), A(1));
	ASSERT_SHOWS(pattern(SEED, 1), B(1));
	source_kill(self->source);
	WAIT_FOR(counter(self->a.map, "ended"));
	EXPECT_EQ(1, counter(self->b.map, "ended"));
	EXPECT_EQ(SIGBUS, touch_read(A(1), &value));
	EXPECT_EQ(SIGBUS, touch_read(B(1), &value));
}

TEST_F_TIMEOUT(contexts, a_source_may_be_opened_again_at_any_time, 60)
{
	uint64_t word = 100;
	int i;

	/* Just closed; and when nothing of it is left in the module */
	for (i = 0; i < 10; i++) {
		mirror_close(&self->a);
		mirror_close(&self->b);
		if (i >= 8)
			sleep(IDLE_S);
		self->a = open_one(self->source->pid, self->memory);
		ASSERT_SHOWS(i ? word : pattern(SEED, 5), A(5));
		source_store(self->source, ADDRESS(5), ++word);
		ASSERT_SHOWS(word, A(5));
		self->b = open_one(self->source->pid, self->memory);
		ASSERT_SHOWS(word, B(5));
		DISCARD(5, 1);
		ASSERT_SHOWS(0, A(5));
		ASSERT_SHOWS(0, B(5));
		ASSERT_WRITES(++word, B(5));
		ASSERT_SHOWS(word, A(5));
	}
}

TEST_F_TIMEOUT(contexts, a_source_may_end_when_it_was_just_closed, 60)
{
	int i;

	for (i = 0; i < 50; i++) {
		struct source *child = source_fork(self->source);
		struct mirror mirror = open_one(child->pid, self->memory);

		ASSERT_SHOWS(pattern(SEED, 1), mirror.at + PAGE_SIZE);
		if (i % 2)
			source_kill(child);
		mirror_close(&mirror);
		source_end(child);
	}
}

TEST_F_TIMEOUT(contexts, a_thousand_are_as_good_as_one, 120)
{
	static struct mirror mirror[MANY];
	struct rlimit limit = { 3 * MANY + 100, 3 * MANY + 100 };
	size_t i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < MANY; i++) {
		mirror[i] = open_one(self->source->pid, self->memory);
		/* Each its own page, and some all */
		ASSERT_SHOWS(pattern(SEED, i % PAGES),
			     mirror[i].at + i % PAGES * PAGE_SIZE);
		if (i % 10 == 0)
			ASSERT_EQ(-1, pattern_differs(mirror[i].at, SIZE,
						      SEED));
	}
	DISCARD(3, 1);
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(i % 10 == 0 || i % PAGES == 3,
			  mirror_hits(&mirror[i]));
		ASSERT_SHOWS(0, mirror[i].at + 3 * PAGE_SIZE);
	}
	/* Every second one goes. */
	for (i = 0; i < MANY; i += 2)
		mirror_close(&mirror[i]);
	source_fill(self->source, self->memory, SIZE, SEED + 1);
	DISCARD(4, 1);
	for (i = 1; i < MANY; i += 2) {
		ASSERT_SHOWS(pattern(SEED + 1, 3), mirror[i].at + 3 * PAGE_SIZE);
		ASSERT_SHOWS(0, mirror[i].at + 4 * PAGE_SIZE);
		mirror_close(&mirror[i]);
	}
}

TEST_HARNESS_MAIN
