// SPDX-License-Identifier: GPL-2.0
/*
 * Many views of one page, and views of far more than anybody has: each mirror loses
 * what it must lose, and nobody waits for what is not there.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>

#define VIEWS 100UL
/* Where the views of one page are in the map file: beyond those of everything */
#define OFFSET(n) (FAR + (n)*PAGE_SIZE)
#define FAR (1UL << 47)
#define WHOLE (FAR - PAGE_SIZE)
#define LARGE (16UL << 40)
#define SEED 1

FIXTURE(views)
{
	struct source *source;
	uint64_t page;
	int ctrl;
	int map;
	char *at;
};

/* One page of the source, seen a hundred times in a row */
FIXTURE_SETUP(views)
{
	self->source = source_start();
	self->page = source_anon(self->source, PAGE_SIZE, 0);
	source_fill(self->source, self->page, PAGE_SIZE, SEED);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
	for (size_t n = 0; n < VIEWS; n++)
		ASSERT_EQ(0, view_add(self->ctrl, self->page, OFFSET(n),
				      PAGE_SIZE, 0));
	self->at = mmap(NULL, VIEWS * PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED, self->map, OFFSET(0));
	ASSERT_NE(MAP_FAILED, self->at);
}

FIXTURE_TEARDOWN(views)
{
	munmap(self->at, VIEWS * PAGE_SIZE);
	close(self->map);
	close(self->ctrl);
	source_end(self->source);
}

#define AT(n) (self->at + (n)*PAGE_SIZE)
#define HITS() counter(self->map, "invalidations_hit")
#define DISCARD()                                                        \
	ASSERT_EQ(0, source_madvise(self->source, self->page, PAGE_SIZE, \
				    MADV_DONTNEED))

TEST_F(views, each_of_a_page_loses_it)
{
	for (uint64_t round = 1; round <= 20; round++) {
		source_store(self->source, self->page, round);
		for (size_t n = 0; n < VIEWS; n++)
			ASSERT_SHOWS(round, AT(n));
		DISCARD();
		/* A page that stayed in one of them would show the old number. */
		for (size_t n = 0; n < VIEWS; n++)
			ASSERT_SHOWS(0, AT(n));
	}
	ASSERT_LE(20, HITS());
}

TEST_F(views, each_that_is_written_through_writes_the_same_page)
{
	for (size_t n = 0; n < VIEWS; n++) {
		ASSERT_WRITES(n + 1, AT(n));
		ASSERT_EQ(n + 1, source_load(self->source, self->page));
		if (n % 10 == 9) {
			DISCARD();
			ASSERT_SHOWS(0, AT((n + 1) % VIEWS));
		}
	}
}

struct changer {
	int ctrl;
	uint64_t page;
	bool stop;
	unsigned long changes;
};

/* Every second view comes and goes. */
static void *views_change(void *arg)
{
	struct changer *changer = arg;
	size_t n;

	while (!__atomic_load_n(&changer->stop, __ATOMIC_RELAXED)) {
		for (n = 1; n < VIEWS; n += 2)
			if (view_remove(changer->ctrl, OFFSET(n), PAGE_SIZE))
				fatal("a view cannot be removed");
		for (n = 1; n < VIEWS; n += 2)
			if (view_add(changer->ctrl, changer->page, OFFSET(n),
				     PAGE_SIZE, 0))
				fatal("a view cannot be added again");
		__atomic_fetch_add(&changer->changes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F_TIMEOUT(views, none_shows_what_is_over_while_others_come_and_go, 60)
{
	struct changer changer = { .ctrl = self->ctrl, .page = self->page };
	uint64_t round = 0, seen;
	pthread_t thread;
	size_t n;

	ASSERT_EQ(0, pthread_create(&thread, NULL, views_change, &changer));
	while (__atomic_load_n(&changer.changes, __ATOMIC_RELAXED) <
	       repeated(40)) {
		DISCARD();
		source_store(self->source, self->page, ++round);
		for (n = 0; n < VIEWS; n++) {
			if (n % 2 && touch_read(AT(n), &seen) == SIGBUS)
				continue;
			ASSERT_SHOWS(round, AT(n & ~1UL));
			if (!(n % 2) || !touch_read(AT(n), &seen))
				touch_read(AT(n & ~1UL), &seen);
			ASSERT_EQ(round, seen);
		}
	}
	__atomic_store_n(&changer.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ASSERT_LT(0, round);
}

/* Everything, in mirrors of far more than the source has */
static void large_begin(struct __test_metadata *_metadata,
			FIXTURE_DATA(views) * self, char **large, size_t nr)
{
	ASSERT_EQ(0, view_add(self->ctrl, 0, 0, WHOLE, 0));
	for (size_t n = 0; n < nr; n++) {
		large[n] = mmap(NULL, LARGE, PROT_READ, MAP_SHARED, self->map,
				self->page & -LARGE);
		ASSERT_NE(MAP_FAILED, large[n]);
		ASSERT_SHOWS(pattern(SEED, 0), large[n] + self->page % LARGE);
	}
}

TEST_F_TIMEOUT(views, what_is_large_and_empty_costs_an_invalidation_nothing, 30)
{
	char *large[4];

	large_begin(_metadata, self, large, 4);
	for (uint64_t round = 1; round <= 400; round++) {
		source_store(self->source, self->page, round);
		ASSERT_SHOWS(round, AT(round % VIEWS));
		ASSERT_SHOWS(round, large[round % 4] + self->page % LARGE);
		DISCARD();
		ASSERT_SHOWS(0, large[round % 4] + self->page % LARGE);
	}
	for (size_t n = 0; n < 4; n++)
		munmap(large[n], LARGE);
}

TEST_F_TIMEOUT(views, what_is_large_and_empty_is_removed_at_once, 30)
{
	char *large[4];

	large_begin(_metadata, self, large, 4);
	for (int round = 0; round < 100; round++) {
		ASSERT_EQ(0, view_remove(self->ctrl, 0, WHOLE));
		for (size_t n = 0; n < 4; n++)
			ASSERT_NOT_READABLE(large[n] + self->page % LARGE);
		ASSERT_EQ(0, view_add(self->ctrl, 0, 0, WHOLE, 0));
		for (size_t n = 0; n < 4; n++)
			ASSERT_SHOWS(pattern(SEED, 0),
				     large[n] + self->page % LARGE);
	}
	for (size_t n = 0; n < 4; n++)
		munmap(large[n], LARGE);
}

TEST_HARNESS_MAIN
