// SPDX-License-Identifier: GPL-2.0
/*
 * Many viewers fault while the source, with threads of its own, takes the
 * memory away and puts it back, and while the viewers' own mirrors and views
 * come and go. What a viewer may see at any moment is known, so that a stale
 * page shows.
 *
 * A third process takes the pages that the source frees, fills them with POISON
 * and looks whether anybody else writes to them.
 */
#include "harness.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define PAGES 32UL
#define SIZE (PAGES * PAGE_SIZE)
#define VIEWERS 64
/* Each race lasts so long and has so many turns, whichever is more. */
#define SECONDS 2
#define TURNS 10
#define POISON 0xdeadbeefdeadbeefULL

/* In each page the source counts in word 0; viewer n writes in word n + 8. */
#define VIEWER_WORD(n) (((n) + 8) * sizeof(uint64_t))

FIXTURE(race)
{
	struct source *source;
	struct source *third;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(race)
{
	self->source = source_start();
	self->third = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
}

FIXTURE_TEARDOWN(race)
{
	mirror_close(&self->mirror);
	source_end(self->third);
	source_end(self->source);
}

/* ---- the source --------------------------------------------------------------- */

struct churn {
	uint64_t memory;
	uint64_t seconds;
	int kind;
};

enum churn_kind {
	CHURN_DISCARD,
	CHURN_MAP,
	CHURN_PROTECT,
	CHURN_MOVE,
	CHURN_FORK,
	CHURN_KINDS,
};

static uint64_t pages_at(const struct churn *churn, size_t page)
{
	return churn->memory + page * PAGE_SIZE;
}

/* Take away and put back a few pages. */
static void churn_once(const struct churn *churn, uint64_t turn, void *spare)
{
	void *at = (void *)pages_at(churn, turn % (PAGES - 4));
	const size_t size = 4 * PAGE_SIZE;
	pid_t child;

	switch (churn->kind) {
	case CHURN_DISCARD:
		madvise(at, size, MADV_DONTNEED);
		break;
	case CHURN_MAP:
		mmap(at, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case CHURN_PROTECT:
		mprotect(at, size, PROT_READ);
		mprotect(at, size, PROT_READ | PROT_WRITE);
		break;
	case CHURN_MOVE:
		/* Away and back; what is left behind for the moment is empty. */
		mremap(at, size, size,
		       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, spare);
		mremap(spare, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, at);
		break;
	case CHURN_FORK:
		child = fork();
		if (!child) {
			/* Copies, which nobody mirrors */
			*(volatile uint64_t *)at = POISON;
			_exit(0);
		}
		waitpid(child, NULL, 0);
		break;
	}
}

static void *discarder(void *arg)
{
	const struct churn *churn = arg;
	struct deadline deadline = deadline_in(churn->seconds);
	uint64_t turn;

	/* Beside the churn: two invalidations of one page at the same time */
	for (turn = 0; !deadline_passed(&deadline); turn += 3)
		madvise((void *)pages_at(churn, turn % PAGES), PAGE_SIZE,
			turn % 2 ? MADV_DONTNEED : MADV_COLD);
	return NULL;
}

/* Count in every page's word 0, so that it only grows or is 0 for a moment. */
static long churn(void *arg)
{
	const struct churn *churn = arg;
	struct deadline deadline = deadline_in(churn->seconds);
	pthread_t thread;
	uint64_t turn;
	void *spare;
	size_t n;

	spare = mmap(NULL, 4 * PAGE_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (spare == MAP_FAILED ||
	    pthread_create(&thread, NULL, discarder, arg))
		return -EAGAIN;
	for (turn = 1; turn <= TURNS || !deadline_passed(&deadline); turn++) {
		for (n = 0; n < PAGES; n++)
			*(volatile uint64_t *)pages_at(churn, n) = turn;
		churn_once(churn, turn, spare);
	}
	pthread_join(thread, NULL);
	return turn;
}

/* In the third process: use memory up and let it go, for that long. */
static long poison(void *arg)
{
	const uint64_t *seconds = arg;
	struct deadline deadline = deadline_in(*seconds);
	const size_t size = 256 * PAGE_SIZE;
	size_t words = size / sizeof(uint64_t), i;
	volatile uint64_t *memory;

	while (!deadline_passed(&deadline)) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return -ENOMEM;
		madvise((void *)memory, size, MADV_NOHUGEPAGE);
		for (i = 0; i < words; i += 8)
			memory[i] = POISON;
		for (i = 0; i < words; i++)
			if (memory[i] != (i % 8 ? 0 : POISON))
				return -EUCLEAN;
		munmap((void *)memory, size);
	}
	return 0;
}

/* ---- the viewers ----------------------------------------------------------------- */

struct viewer {
	pthread_t thread;
	size_t number;
	char *at;
	bool may_be_refused; /* SIGBUS is no error */
	bool may_go_back;
	volatile bool *stop;
	pid_t pid; /* of the source, for who opens it himself */
	uint64_t memory;
	int map;
	int ctrl;
	uint64_t looks;
	uint64_t last[PAGES]; /* what the source's word was at least */
	uint64_t written[PAGES];
};

/* Only zero, or what this viewer wrote last, can be in its own word; where the
 * source puts a page aside and back, also what it wrote before.
 */
static bool viewer_may_see(const struct viewer *viewer, size_t page,
			   uint64_t value)
{
	if (!value || value == viewer->written[page])
		return true;
	return viewer->may_go_back && value >> 48 == viewer->number + 1 &&
	       value < viewer->written[page];
}

static void viewer_write(struct viewer *viewer, size_t page)
{
	char *at = viewer->at + page * PAGE_SIZE + VIEWER_WORD(viewer->number);
	uint64_t value, next;
	int raised;

	raised = touch_read(at, &value);
	if (!raised && !viewer_may_see(viewer, page, value))
		fatal("viewer %zu reads %#lx, wrote %#lx", viewer->number,
		      value, viewer->written[page]);
	next = (viewer->number + 1) << 48 | ++viewer->looks;
	if (!raised)
		raised = touch_write(at, next);
	if (!raised)
		viewer->written[page] = next;
	if (raised && (raised != SIGBUS || !viewer->may_be_refused))
		fatal("viewer %zu: signal %d", viewer->number, raised);
}

static void viewer_read(struct viewer *viewer, size_t page)
{
	uint64_t value;
	int raised = touch_read(viewer->at + page * PAGE_SIZE, &value);

	if (raised) {
		if (raised != SIGBUS || !viewer->may_be_refused)
			fatal("viewer %zu: signal %d", viewer->number, raised);
		return;
	}
	if (value && value < viewer->last[page])
		fatal("page %zu went back from %#lx to %#lx", page,
		      viewer->last[page], value);
	if (value >= 1UL << 40)
		fatal("page %zu shows %#lx, which was never there", page,
		      value);
	if (value)
		viewer->last[page] = value;
}

static void *viewer_run(void *arg)
{
	struct viewer *viewer = arg;
	size_t page;

	/* What one of the same number left there before */
	for (page = 0; page < PAGES; page++)
		touch_read(viewer->at + page * PAGE_SIZE +
				   VIEWER_WORD(viewer->number),
			   &viewer->written[page]);
	page = viewer->number;
	while (!*viewer->stop) {
		page = (page + 1) % PAGES;
		viewer_read(viewer, page);
		viewer_write(viewer, page);
		/* Or the source would hardly get a turn. */
		if (page % 4 == 0)
			deadline_nap();
	}
	return NULL;
}

static volatile bool viewers_stop;

static struct viewer *viewers_start(char *at, size_t number, bool refused,
				    bool back)
{
	struct viewer *viewers = calloc(number, sizeof(*viewers));
	size_t i;

	if (!viewers)
		fatal("no memory");
	viewers_stop = false;
	for (i = 0; i < number; i++) {
		viewers[i].number = i;
		viewers[i].at = at;
		viewers[i].may_be_refused = refused;
		viewers[i].may_go_back = back;
		viewers[i].stop = &viewers_stop;
		if (pthread_create(&viewers[i].thread, NULL, viewer_run,
				   &viewers[i]))
			fatal("pthread_create failed");
	}
	return viewers;
}

/* How often they have looked, all together */
static uint64_t viewers_end(struct viewer *viewers, size_t number)
{
	uint64_t looks = 0;
	size_t i;

	viewers_stop = true;
	for (i = 0; i < number; i++) {
		pthread_join(viewers[i].thread, NULL);
		looks += viewers[i].looks;
	}
	free(viewers);
	return looks;
}

/* The source churns, the third process poisons, the viewers look. */
static void churn_seen_by_many(struct __test_metadata *_metadata,
			       FIXTURE_DATA(race) * self, int kind)
{
	struct churn order = { self->memory, SECONDS, kind };
	uint64_t seconds = SECONDS, looks;
	struct viewer *viewers;
	long turns;

	source_call_begin(self->source, churn, &order, sizeof(order));
	source_call_begin(self->third, poison, &seconds, sizeof(seconds));
	viewers = viewers_start(self->mirror.at, VIEWERS,
				kind != CHURN_DISCARD && kind != CHURN_FORK,
				kind == CHURN_MOVE);
	turns = source_finish(self->source);
	ASSERT_EQ(0, source_finish(self->third));
	looks = viewers_end(viewers, VIEWERS);
	TH_LOG("%ld turns, %lu looks, %lu faults, %lu hits", turns, looks,
	       counter(self->mirror.map, "faults"), mirror_hits(&self->mirror));
	ASSERT_LE(TURNS, turns);
	ASSERT_LT(VIEWERS, looks);
	ASSERT_LT(0, mirror_hits(&self->mirror));
}

TEST_F_TIMEOUT(race, discard_under_many_viewers, 120)
{
	churn_seen_by_many(_metadata, self, CHURN_DISCARD);
}

/* Look at all pages through one new context after the other. */
static void *comer_run(void *arg)
{
	struct viewer *viewer = arg;
	struct mirror mirror;
	size_t page;

	while (!*viewer->stop) {
		mirror = mirror_open(viewer->pid, viewer->memory, SIZE,
				     PROT_READ, 0);
		viewer->at = mirror.at;
		for (page = 0; page < PAGES; page++)
			viewer_read(viewer, page);
		/* Some of it again, which may be there still */
		for (page = 0; page < PAGES; page += 5)
			viewer_read(viewer, page);
		mirror_close(&mirror);
		viewer->looks++;
	}
	return NULL;
}

/* The bits of a block have one owner, then more, then none: see block.c. */
TEST_F_TIMEOUT(race, contexts_come_and_go_while_pages_do, 120)
{
	struct churn order = { self->memory, SECONDS, CHURN_DISCARD };
	struct viewer comers[3] = {}, *viewers;
	uint64_t seconds = SECONDS, looks = 0;
	size_t i;

	source_call_begin(self->source, churn, &order, sizeof(order));
	source_call_begin(self->third, poison, &seconds, sizeof(seconds));
	viewers = viewers_start(self->mirror.at, 2, false, false);
	for (i = 0; i < ARRAY_SIZE(comers); i++) {
		comers[i].pid = self->source->pid;
		comers[i].memory = self->memory;
		comers[i].stop = &viewers_stop;
		ASSERT_EQ(0, pthread_create(&comers[i].thread, NULL, comer_run,
					    &comers[i]));
	}
	ASSERT_LE(TURNS, source_finish(self->source));
	ASSERT_EQ(0, source_finish(self->third));
	viewers_end(viewers, 2);
	for (i = 0; i < ARRAY_SIZE(comers); i++) {
		pthread_join(comers[i].thread, NULL);
		looks += comers[i].looks;
	}
	TH_LOG("%lu contexts", looks);
	ASSERT_LT(ARRAY_SIZE(comers), looks);
}

#define SHARERS 300

/*
 * So many contexts have the same pages that the walk over them pauses, and those
 * where it pauses are closed meanwhile: each is somewhere in the list.
 */
TEST_F_TIMEOUT(race, contexts_are_closed_while_all_of_them_are_zapped, 120)
{
	struct churn order = { self->memory, 2 * SECONDS, CHURN_DISCARD };
	struct deadline deadline = deadline_in(2 * SECONDS);
	static struct mirror mirror[SHARERS];
	uint64_t turn, value;
	size_t i;

	for (i = 0; i < SHARERS; i++)
		mirror[i] = mirror_open(self->source->pid, self->memory, SIZE,
					PROT_READ, 0);
	source_call_begin(self->source, churn, &order, sizeof(order));
	for (turn = 0; turn < 2 * SHARERS || !deadline_passed(&deadline);
	     turn++) {
		i = turn * 7 % SHARERS;
		/* It has pages, no mirror any more, and goes. */
		touch_read(mirror[i].at + turn % PAGES * PAGE_SIZE, &value);
		mirror_close(&mirror[i]);
		mirror[i] = mirror_open(self->source->pid, self->memory, SIZE,
					PROT_READ, 0);
		touch_read(mirror[i].at, &value);
	}
	ASSERT_LE(TURNS, source_finish(self->source));
	for (i = 0; i < SHARERS; i++)
		mirror_close(&mirror[i]);
}

/* Map, look, split and unmap: each of them changes where the mirrors are. */
static void *linker_run(void *arg)
{
	const struct viewer *viewer = arg;
	uint64_t value;
	char *at;

	while (!*viewer->stop) {
		at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  viewer->map, 0);
		if (at == MAP_FAILED)
			fatal("mmap: %m");
		touch_read(at + viewer->number * PAGE_SIZE, &value);
		mprotect(at, SIZE / 2, PROT_READ);
		touch_read(at, &value);
		munmap(at, SIZE);
	}
	return NULL;
}

/* Keep who only tries for the mmap_lock from getting it. */
static void *allocator_run(void *arg)
{
	const struct viewer *viewer = arg;
	void *at;

	while (!*viewer->stop) {
		at = mmap(NULL, PAGE_SIZE, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(at, PAGE_SIZE);
	}
	return NULL;
}

static void *view_changer_run(void *arg)
{
	const struct viewer *viewer = arg;

	while (!*viewer->stop)
		if (view_add(viewer->ctrl, viewer->memory, 2 * SIZE, SIZE, 0) ||
		    view_remove(viewer->ctrl, 2 * SIZE, SIZE))
			fatal("a view is not added and removed");
	return NULL;
}

#define LINKERS 3

static void link_and_unlink(const struct viewer *order, bool change_views)
{
	void *(*run[LINKERS + 2])(void *) = { linker_run, linker_run,
					      linker_run, allocator_run,
					      view_changer_run };
	struct viewer viewer[LINKERS + 2];
	size_t i, nr = change_views ? LINKERS + 2 : LINKERS + 1;

	for (i = 0; i < nr; i++) {
		viewer[i] = *order;
		viewer[i].number = i;
		if (pthread_create(&viewer[i].thread, NULL, run[i],
				   &viewer[i]))
			fatal("pthread_create failed");
	}
	for (i = 0; i < nr; i++)
		pthread_join(viewer[i].thread, NULL);
}

static void *linkers_run(void *arg)
{
	link_and_unlink(arg, true);
	return NULL;
}

/*
 * Zaps of one context beside each other, in two viewers that change where the
 * mirrors are, and views that change: all its locks, in all orders.
 */
TEST_F_TIMEOUT(race, mirrors_come_and_go_while_two_zap, 120)
{
	struct churn order = { self->memory, 2 * SECONDS, CHURN_DISCARD };
	volatile bool *stop = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct viewer viewer = {
		.stop = stop,
		.map = self->mirror.map,
		.ctrl = self->mirror.ctrl,
		.memory = self->memory,
	};
	pthread_t thread;
	pid_t child;

	ASSERT_NE(MAP_FAILED, (void *)stop);
	source_call_begin(self->source, churn, &order, sizeof(order));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		link_and_unlink(&viewer, false);
		_exit(0);
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, linkers_run, &viewer));
	ASSERT_LE(TURNS, source_finish(self->source));
	*stop = true;
	pthread_join(thread, NULL);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	munmap((void *)stop, PAGE_SIZE);
}

TEST_F_TIMEOUT(race, unmap_under_many_viewers, 120)
{
	churn_seen_by_many(_metadata, self, CHURN_MAP);
}

TEST_F_TIMEOUT(race, protection_under_many_viewers, 120)
{
	churn_seen_by_many(_metadata, self, CHURN_PROTECT);
}

TEST_F_TIMEOUT(race, moves_under_many_viewers, 120)
{
	churn_seen_by_many(_metadata, self, CHURN_MOVE);
}

TEST_F_TIMEOUT(race, forks_under_many_viewers, 120)
{
	churn_seen_by_many(_metadata, self, CHURN_FORK);
}

/* ---- views that come and go -------------------------------------------------------- */

/* Two ranges of the source are tagged; a viewer sees one of them or nothing. */
struct tag_looker {
	pthread_t thread;
	char *at;
	volatile bool *stop;
};

#define TAG(n) (0x7a600000ULL + (n))

static void *tag_look(void *arg)
{
	struct tag_looker *looker = arg;
	uint64_t value;
	size_t page = 0;
	int raised;

	while (!*looker->stop) {
		page = (page + 1) % PAGES;
		raised = touch_read(looker->at + page * PAGE_SIZE, &value);
		if (raised ? raised != SIGBUS :
			     value != TAG(0) && value != TAG(1))
			fatal("signal %d, value %#lx", raised, value);
		raised = touch_write(looker->at + page * PAGE_SIZE + 8, value);
		if (raised && raised != SIGBUS)
			fatal("signal %d", raised);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, views_are_exchanged_under_viewers, 120)
{
	struct deadline deadline = deadline_in(SECONDS);
	struct tag_looker lookers[8];
	volatile bool stop = false;
	uint64_t range[2], turn, value;
	size_t i, n;

	range[0] = self->memory;
	range[1] = source_anon(self->source, SIZE, 0);
	for (i = 0; i < 2; i++)
		for (n = 0; n < PAGES; n++)
			source_store(self->source, range[i] + n * PAGE_SIZE,
				     TAG(i));
	for (i = 0; i < 8; i++) {
		lookers[i] = (struct tag_looker){ .at = self->mirror.at,
						  .stop = &stop };
		ASSERT_EQ(0, pthread_create(&lookers[i].thread, NULL, tag_look,
					    &lookers[i]));
	}
	for (turn = 1; turn <= TURNS || !deadline_passed(&deadline); turn++) {
		char *at = self->mirror.at + turn % PAGES * PAGE_SIZE;

		ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
		/* From now on, in all threads */
		ASSERT_EQ(SIGBUS, touch_read(at, &value));
		ASSERT_EQ(0, view_add(self->mirror.ctrl, range[turn % 2], 0,
				      SIZE, 0));
		ASSERT_SHOWS(TAG(turn % 2), at);
	}
	stop = true;
	for (i = 0; i < 8; i++)
		pthread_join(lookers[i].thread, NULL);
}

/* ---- mirrors that come and go --------------------------------------------------------- */

struct mapper {
	pthread_t thread;
	int map;
	volatile bool *stop;
	uint64_t turns;
};

/* Map, look, take apart, unmap, as often as can be. */
static void *mapper_run(void *arg)
{
	struct mapper *mapper = arg;
	uint64_t value;
	char *at, *to;

	while (!*mapper->stop) {
		at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  mapper->map, 0);
		if (at == MAP_FAILED)
			fatal("mmap: %m");
		touch_read(at, &value);
		touch_write(at + 4 * PAGE_SIZE + 8, 1);
		mprotect(at + 8 * PAGE_SIZE, PAGE_SIZE, PROT_READ);
		touch_read(at + 8 * PAGE_SIZE, &value);
		/* The holes are within the mirror and small: another thread's
		 * mmap() finds no room there.
		 */
		munmap(at + 12 * PAGE_SIZE, PAGE_SIZE);
		to = mremap(at + 4 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
			    MREMAP_MAYMOVE | MREMAP_FIXED, at + 16 * PAGE_SIZE);
		if (to == MAP_FAILED)
			fatal("mremap: %m");
		if (touch_read(to, &value) == SIGSEGV)
			fatal("a moved mirror is not there");
		munmap(at, SIZE);
		mapper->turns++;
	}
	return NULL;
}

TEST_F_TIMEOUT(race, mirrors_come_and_go_while_the_source_changes, 120)
{
	struct churn order = { self->memory, SECONDS, CHURN_DISCARD };
	struct mapper mappers[4];
	volatile bool stop = false;
	size_t i;

	source_call_begin(self->source, churn, &order, sizeof(order));
	for (i = 0; i < 4; i++) {
		mappers[i] = (struct mapper){ .map = self->mirror.map,
					      .stop = &stop };
		ASSERT_EQ(0, pthread_create(&mappers[i].thread, NULL,
					    mapper_run, &mappers[i]));
	}
	ASSERT_LE(TURNS, source_finish(self->source));
	stop = true;
	for (i = 0; i < 4; i++) {
		pthread_join(mappers[i].thread, NULL);
		ASSERT_LT(0, mappers[i].turns);
	}
}

#define AHEAD (128UL << 20)

struct publish {
	uint64_t memory;
	uint64_t counter; /* where all see it */
	uint64_t seconds;
};

/*
 * Count in new pages each time; say so when they all have the count. What is
 * freed here is taken again here, for another page most likely: each has its
 * number too.
 */
static long publish(void *arg)
{
	const struct publish *order = arg;
	struct deadline deadline = deadline_in(order->seconds);
	uint64_t *counter = (uint64_t *)order->counter;
	uint64_t turn;
	size_t n;

	for (turn = 1; turn <= TURNS || !deadline_passed(&deadline); turn++) {
		for (n = 0; n < PAGES; n++)
			*(volatile uint64_t *)(order->memory + n * PAGE_SIZE) =
				turn << 8 | n;
		__atomic_store_n(counter, turn, __ATOMIC_RELEASE);
		madvise((void *)order->memory, SIZE, MADV_DONTNEED);
	}
	return turn;
}

struct last_looker {
	pthread_t thread;
	char *at;
	const uint64_t *counter;
	volatile bool *stop;
	uint64_t looks;
};

static void *last_looker_run(void *arg)
{
	struct last_looker *looker = arg;
	uint64_t value, least;
	size_t page = 0;

	while (!*looker->stop) {
		page = (page + 1) % PAGES;
		least = __atomic_load_n(looker->counter, __ATOMIC_ACQUIRE);
		if (touch_read(looker->at + page * PAGE_SIZE, &value))
			continue; /* it has been unmapped */
		if (value && (value >> 8 < least || (value & 0xff) != page))
			fatal("page %zu shows %#lx after %lu", page, value,
			      least);
		looker->looks++;
	}
	return NULL;
}

/*
 * One munmap() takes away much memory and then the mirror: for as long as it is
 * at the former, the latter has its page tables, and others look.
 */
TEST_F_TIMEOUT(race, a_mirror_is_unmapped_behind_much_memory, 120)
{
	struct publish order = { .memory = self->memory,
				 .seconds = 4 * SECONDS };
	struct deadline deadline = deadline_in(3 * SECONDS);
	volatile bool stop = false;
	struct last_looker looker = { .stop = &stop };
	uint64_t turn, looks = 0;
	int fd = memfd_create("counter", MFD_CLOEXEC);

	ASSERT_EQ(0, ftruncate(fd, PAGE_SIZE));
	looker.counter = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, looker.counter);
	order.counter = source_mmap(self->source, 0, PAGE_SIZE,
				    PROT_READ | PROT_WRITE, MAP_SHARED,
				    source_take_fd(self->source, fd), 0);
	source_call_begin(self->source, publish, &order, sizeof(order));
	for (turn = 0; turn < 3 || !deadline_passed(&deadline); turn++) {
		char *at = mmap(NULL, AHEAD + SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, at);
		/* The more pages, the longer */
		ASSERT_EQ(0, madvise(at, AHEAD, MADV_NOHUGEPAGE));
		ASSERT_EQ(0, madvise(at, AHEAD, MADV_POPULATE_WRITE));
		looker.at = at + AHEAD;
		ASSERT_EQ(looker.at, mmap(looker.at, SIZE, PROT_READ,
					  MAP_SHARED | MAP_FIXED,
					  self->mirror.map, 0));
		ASSERT_EQ(0, pthread_create(&looker.thread, NULL,
					    last_looker_run, &looker));
		WAIT_FOR(looker.looks > looks + PAGES);
		ASSERT_EQ(0, munmap(at, AHEAD + SIZE));
		stop = true;
		pthread_join(looker.thread, NULL);
		stop = false;
		looks = looker.looks;
	}
	ASSERT_LE(TURNS, source_finish(self->source));
	TH_LOG("%lu turns, %lu looks", turn, looks);
	close(fd);
}

TEST_F_TIMEOUT(race, contexts_come_and_go_while_the_source_changes, 120)
{
	struct churn order = { self->memory, SECONDS, CHURN_MAP };
	struct deadline deadline = deadline_in(SECONDS);
	struct mirror mirror;
	uint64_t value, turn;

	source_call_begin(self->source, churn, &order, sizeof(order));
	for (turn = 0; turn < TURNS || !deadline_passed(&deadline); turn++) {
		mirror = mirror_open(self->source->pid, self->memory, SIZE,
				     PROT_READ | PROT_WRITE, 0);
		touch_read(mirror.at, &value);
		touch_write(mirror.at + PAGE_SIZE + 8, value);
		/* Half of the time the files go before the mirror. */
		if (turn % 2) {
			close(mirror.ctrl);
			close(mirror.map);
			touch_read(mirror.at + 2 * PAGE_SIZE, &value);
			munmap(mirror.at, SIZE);
		} else {
			mirror_close(&mirror);
		}
	}
	ASSERT_LE(TURNS, source_finish(self->source));
}

/* ---- notifiers of the viewer ------------------------------------------------------ */

struct punch {
	int file;
	uint64_t seconds;
};

/* In the third process: each punch holds the lock of all the file's mappings. */
static long punch(void *arg)
{
	const struct punch *order = arg;
	struct deadline deadline = deadline_in(order->seconds);
	long turn;

	for (turn = 0; turn < TURNS || !deadline_passed(&deadline); turn++)
		if (fallocate(order->file,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      SIZE))
			return -errno;
	return turn;
}

static void *looker_run(void *arg)
{
	struct viewer *viewer = arg;
	uint64_t value;
	size_t page;

	while (!*viewer->stop)
		for (page = 0; page < PAGES; page++)
			if (touch_read(viewer->at + page * PAGE_SIZE, &value))
				fatal("a page is not there");
	return NULL;
}

/* Others look at the viewer: the module itself registers a notifier on it. */
static pid_t open_without_end(pid_t viewer)
{
	pid_t opener = fork();
	int map, ctrl;

	if (opener)
		return opener;
	for (;;) {
		if (context_open(viewer, O_RDONLY, 0, &ctrl, &map))
			_exit(1);
		close(ctrl);
		close(map);
	}
}

/* The viewer makes virtual machines: KVM registers one. -1: it cannot */
static int kvm_open(void)
{
	if (system("modprobe -q kvm-amd || modprobe -q kvm-intel"))
		return -1;
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

struct creator {
	pthread_t thread;
	int kvm;
	volatile bool *stop;
	uint64_t turns;
};

static void *create_without_end(void *arg)
{
	struct creator *creator = arg;

	while (!*creator->stop) {
		int machine = ioctl(creator->kvm, KVM_CREATE_VM, 0);

		if (machine < 0)
			fatal("KVM_CREATE_VM: %m");
		close(machine);
		creator->turns++;
	}
	return NULL;
}

/*
 * To register a notifier takes the locks of all that an address space maps at
 * once. Here that is the viewer's, which maps a file that the source maps too,
 * above the mirror, while a third process makes holes in the file: what it
 * holds then is a lock of that file.
 */
static void registration_beside_zaps(struct __test_metadata *_metadata,
				     FIXTURE_DATA(race) * self, int kvm)
{
	volatile bool stop = false;
	struct viewer viewer = { .stop = &stop };
	struct creator creator = { .kvm = kvm, .stop = &stop };
	struct punch order = { .seconds = 2 * SECONDS };
	struct mirror mirror;
	pid_t opener = 0;
	uint64_t file_at;
	int fd, status;
	char *file;

	fd = memfd_create("file", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	file_at = source_mmap(self->source, 0, SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, source_take_fd(self->source, fd), 0);
	file = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	mirror = mirror_open(self->source->pid, file_at, SIZE, PROT_READ, 0);
	viewer.at = mirror.at;
	if (viewer.at > file)
		viewer.at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, mirror.map,
				 0);
	ASSERT_LT(viewer.at, file);

	if (kvm < 0)
		opener = open_without_end(getpid());
	else
		ASSERT_EQ(0, pthread_create(&creator.thread, NULL,
					    create_without_end, &creator));
	order.file = source_take_fd(self->third, fd);
	source_call_begin(self->third, punch, &order, sizeof(order));
	ASSERT_EQ(0, pthread_create(&viewer.thread, NULL, looker_run, &viewer));
	ASSERT_LE(TURNS, source_finish(self->third));
	stop = true;
	pthread_join(viewer.thread, NULL);
	if (kvm < 0) {
		ASSERT_EQ(0, kill(opener, SIGKILL));
		ASSERT_EQ(opener, waitpid(opener, &status, 0));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	} else {
		pthread_join(creator.thread, NULL);
		TH_LOG("%lu machines, %lu hits", creator.turns,
		       mirror_hits(&mirror));
		ASSERT_LT(0, creator.turns);
	}
	ASSERT_LT(0, mirror_hits(&mirror));
	mirror_close(&mirror);
	close(fd);
}

TEST_F_TIMEOUT(race, the_viewer_is_opened_while_its_mirror_is_zapped, 120)
{
	registration_beside_zaps(_metadata, self, -1);
}

TEST_F_TIMEOUT(race, the_viewer_makes_machines_while_its_mirror_is_zapped, 120)
{
	int kvm = kvm_open(), ready[2];
	pid_t keeper;
	char byte;

	if (kvm < 0)
		SKIP(return, "there is no KVM in this machine");
	ASSERT_EQ(0, pipe(ready));
	/* While there is one, no other makes the kernel write over its code. */
	keeper = fork();
	if (!keeper) {
		ioctl(kvm, KVM_CREATE_VM, 0);
		write(ready[1], "", 1);
		pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	registration_beside_zaps(_metadata, self, kvm);
	ASSERT_EQ(0, kill(keeper, SIGKILL));
	ASSERT_EQ(keeper, waitpid(keeper, NULL, 0));
	close(kvm);
}

TEST_F_TIMEOUT(race, viewers_look_while_the_source_dies, 120)
{
	struct viewer *viewers;
	uint64_t value;
	int turn;

	for (turn = 0; turn < 10; turn++) {
		struct source *source = source_fork(self->source);
		struct mirror mirror = mirror_open(source->pid, self->memory,
						   SIZE, PROT_READ | PROT_WRITE,
						   0);

		viewers = viewers_start(mirror.at, 8, true, false);
		WAIT_FOR(mirror_mapped(&mirror) >= PAGES);
		if (turn % 2)
			source_kill(source);
		else
			source_exit(source, 0);
		viewers_end(viewers, 8);
		/*
		 * A look in progress keeps the memory until it is over; if it
		 * was the last to hold it, a worker tears it down.
		 */
		WAIT_FOR(touch_read(mirror.at, &value) == SIGBUS);
		mirror_close(&mirror);
		source_end(source);
	}
}

TEST_F_TIMEOUT(race, viewers_are_killed_while_they_look, 120)
{
	struct churn order = { self->memory, SECONDS, CHURN_DISCARD };
	struct deadline deadline = deadline_in(SECONDS);
	uint64_t turn;
	int status;

	source_call_begin(self->source, churn, &order, sizeof(order));
	for (turn = 0; turn < TURNS || !deadline_passed(&deadline); turn++) {
		pid_t viewer = fork();

		if (!viewer) {
			/* The parent's mirror was not inherited. */
			char *at = mirror_again(&self->mirror,
						PROT_READ | PROT_WRITE);

			struct viewer *viewers =
				viewers_start(at, 4, true, false);

			pause();
			viewers_end(viewers, 4);
			_exit(0);
		}
		deadline_nap();
		ASSERT_EQ(0, kill(viewer, SIGKILL));
		ASSERT_EQ(viewer, waitpid(viewer, &status, 0));
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
	}
	ASSERT_LE(TURNS, source_finish(self->source));
}

TEST_HARNESS_MAIN
