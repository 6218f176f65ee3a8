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

/* ---- beside invalidations ----------------------------------------------------- */

struct discards {
	uint64_t page;
	uint64_t stop; /* address of a word */
};

/* In the source: give the page up, again and again */
static long discards_run(void *arg)
{
	struct discards *discards = arg;
	volatile uint64_t *stop = (uint64_t *)discards->stop;

	while (!*stop)
		if (madvise((void *)discards->page, PAGE_SIZE, MADV_DONTNEED))
			return -errno;
	return 0;
}

struct discarding {
	struct source *source;
	struct mirror stop;
};

static struct discarding discards_begin(struct source *source, uint64_t page)
{
	struct discards discards = {
		.page = page,
		.stop = source_anon(source, PAGE_SIZE, 0),
	};
	struct discarding discarding = {
		.source = source,
		.stop = mirror_open(source->pid, discards.stop, PAGE_SIZE,
				    PROT_READ | PROT_WRITE, 0),
	};

	source_call_begin(source, discards_run, &discards, sizeof(discards));
	return discarding;
}

static void discards_end(struct discarding *discarding)
{
	if (touch_write(discarding->stop.at, 1))
		fatal("the source cannot be told to stop");
	if (source_finish(discarding->source))
		fatal("the source could not give its page up");
	mirror_close(&discarding->stop);
}

/* Its views show the page, in a mirror that is gone when it is closed. */
static void context_flits(struct __test_metadata *_metadata,
			  FIXTURE_DATA(views) * self)
{
	int ctrl, map;
	uint64_t seen;
	char *at;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	for (size_t n = 0; n < VIEWS; n++)
		ASSERT_EQ(0, view_add(ctrl, self->page, OFFSET(n), PAGE_SIZE,
				      0));
	at = mmap(NULL, VIEWS * PAGE_SIZE, PROT_READ, MAP_SHARED, map,
		  OFFSET(0));
	ASSERT_NE(MAP_FAILED, at);
	for (size_t n = 0; n < VIEWS; n += 10)
		ASSERT_EQ(0, touch_read(at + n * PAGE_SIZE, &seen));
	ASSERT_EQ(0, munmap(at, VIEWS * PAGE_SIZE));
	close(map);
	close(ctrl);
}

TEST_F_TIMEOUT(views, contexts_of_many_go_beside_invalidations, 60)
{
	struct discarding discarding;
	uint64_t seen;

	/* Another that looks there: each has notes of its own. */
	ASSERT_EQ(0, touch_read(AT(0), &seen));
	discarding = discards_begin(self->source, self->page);
	for (int round = 0; round < repeated(100); round++)
		context_flits(_metadata, self);
	discards_end(&discarding);
}

struct refused {
	int ctrl;
	uint64_t page;
	bool stop;
	int err;
};

/* One whose place is taken: invalidations may find it for a moment. */
static void *views_refused(void *arg)
{
	struct refused *refused = arg;

	do {
		refused->err = view_add(refused->ctrl, refused->page, OFFSET(0),
					PAGE_SIZE, 0);
	} while (refused->err == -EALREADY &&
		 !__atomic_load_n(&refused->stop, __ATOMIC_RELAXED));
	return NULL;
}

TEST_F_TIMEOUT(views, refused_ones_are_not_met_again, 60)
{
	struct refused refused = { .ctrl = self->ctrl, .page = self->page };
	struct discarding discarding;
	pthread_t thread;
	uint64_t seen;

	/* The one that is refused is a multiple of eight and one. */
	for (size_t n = 96; n < VIEWS; n++)
		ASSERT_EQ(0, view_remove(self->ctrl, OFFSET(n), PAGE_SIZE));
	discarding = discards_begin(self->source, self->page);
	ASSERT_EQ(0, pthread_create(&thread, NULL, views_refused, &refused));
	for (int round = 0; round < repeated(20000); round++)
		ASSERT_EQ(0, touch_read(AT(round % 96), &seen));
	__atomic_store_n(&refused.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	discards_end(&discarding);
	ASSERT_EQ(-EALREADY, refused.err);
}

#define STACKED 2000UL

/* As many mirrors: an invalidation does not go through their product. */
TEST_F_TIMEOUT(views, as_many_mirrors_do_not_hold_an_invalidation_up, 30)
{
	const size_t size = STACKED * PAGE_SIZE;
	uint64_t seen;
	char **at;

	at = calloc(STACKED, sizeof(*at));
	for (size_t n = VIEWS; n < STACKED; n++)
		ASSERT_EQ(0, view_add(self->ctrl, self->page, OFFSET(n),
				      PAGE_SIZE, 0));
	for (size_t n = 0; n < STACKED; n++) {
		at[n] = mmap(NULL, size, PROT_READ, MAP_SHARED, self->map,
			     OFFSET(0));
		ASSERT_NE(MAP_FAILED, at[n]);
		ASSERT_EQ(0, touch_read(at[n] + n * PAGE_SIZE, &seen));
	}
	for (uint64_t round = 1; round <= 40; round++) {
		source_store(self->source, self->page, round);
		for (size_t n = round; n < STACKED; n += 100)
			ASSERT_SHOWS(round, at[n] + n * PAGE_SIZE);
		DISCARD();
		for (size_t n = round; n < STACKED; n += 100)
			ASSERT_SHOWS(0, at[n] + n * PAGE_SIZE);
	}
	for (size_t n = 0; n < STACKED; n++)
		munmap(at[n], size);
	free(at);
}

/* Views side by side, of which a range has many, each its own page */
TEST_F(views, side_by_side_lose_what_the_range_has)
{
	const size_t size = 1000 * PAGE_SIZE;
	uint64_t memory = source_anon(self->source, size, 0);
	uint64_t seen;
	char *at;

	source_fill(self->source, memory, size, SEED);
	/* In the reverse order, so that none follows another */
	for (size_t n = 0; n < 1000; n++)
		ASSERT_EQ(0, view_add(self->ctrl, memory + n * PAGE_SIZE,
				      OFFSET(5000 - n), PAGE_SIZE, 0));
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, self->map,
		  OFFSET(5000 - 999));
	ASSERT_NE(MAP_FAILED, at);
	for (size_t n = 0; n < 1000; n++)
		ASSERT_SHOWS(pattern(SEED, n), at + (999 - n) * PAGE_SIZE);
	ASSERT_EQ(0, touch_read(AT(0), &seen));
	ASSERT_EQ(0, source_madvise(self->source, memory + 3 * PAGE_SIZE,
				    900 * PAGE_SIZE, MADV_DONTNEED));
	for (size_t n = 0; n < 1000; n++)
		ASSERT_SHOWS(n < 3 || n >= 903 ? pattern(SEED, n) : 0,
			     at + (999 - n) * PAGE_SIZE);
	munmap(at, size);
}

TEST_HARNESS_MAIN
