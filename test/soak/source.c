// SPDX-License-Identifier: GPL-2.0
/*
 * A source: what its memory is, its own reads and writes, and what it does to its
 * memory meanwhile. The mortal one (mortal.c) runs the same code on regions of
 * its own.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Far from where the kernel puts things by itself */
#define SOURCE_BASE 0x200000000000ULL
#define SPARE_BASE 0x210000000000ULL

struct region regions[REGIONS] = {
	[REGION_SMALL] = { "small", KIND_SMALL, WORLD_MAIN, 48, 1 },
	[REGION_HUGE] = { "huge", KIND_HUGE, WORLD_MAIN, 64, 16 },
	[REGION_TWINS] = { "twins", KIND_TWINS, WORLD_MAIN, 16, 1 },
	[REGION_SHARED] = { "shared", KIND_SHARED, WORLD_MAIN, 48, 1 },
	[REGION_FILE] = { "file", KIND_FILE, WORLD_MAIN, 32, 1 },
	[REGION_DECOY] = { "decoy", KIND_DECOY, WORLD_MAIN, 64, 16 },
	[REGION_MORTAL] = { "mortal", KIND_SMALL, WORLD_MORTAL, 32, 1 },
	[REGION_MORTAL_SHARED] = { "mortal_shared", KIND_SHARED, WORLD_MORTAL,
				   16, 1 },
};

bool region_private(const struct region *region)
{
	return region->kind == KIND_SMALL || region->kind == KIND_HUGE ||
	       region->kind == KIND_TWINS;
}

/* Of each spot, by its number */
static unsigned char region_numbers[SPOTS_MAX];

struct region *region_of(unsigned int spot)
{
	return &regions[region_numbers[spot]];
}

size_t cell_offset(unsigned int spot, unsigned int slot)
{
	const struct region *region = region_of(spot);

	return (size_t)(spot - region->first) * region->stride_pages *
		       PAGE_SIZE +
	       slot * (PAGE_SIZE / SLOTS) + sizeof(uint64_t);
}

void *source_cell(unsigned int spot, unsigned int slot)
{
	return (void *)(region_of(spot)->address + cell_offset(spot, slot));
}

void *source_range(unsigned int spot, unsigned int nr, size_t *size)
{
	const struct region *region = region_of(spot);
	uint64_t stride = region->stride_pages * PAGE_SIZE;

	*size = nr * stride;
	return (void *)(region->address + (spot - region->first) * stride);
}

static int file_make(const struct region *region)
{
	char path[64];
	int fd;

	if (region->kind == KIND_SHARED) {
		fd = memfd_create(MEMFD_NAME, MFD_CLOEXEC);
	} else {
		const char *folder = disk_mount("ext4");

		snprintf(path, sizeof(path), "%s/soak",
			 folder ? folder : "/tmp");
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	if (fd < 0 || ftruncate(fd, region->size))
		fatal("no file for %s: %m", region->name);
	return fd;
}

void regions_make(void)
{
	unsigned int i, first = 0;

	for (i = 0; i < REGIONS; i++) {
		struct region *region = &regions[i];

		if (first + region->spots > SPOTS_MAX)
			fatal("more spots than the board has room for");
		region->first = first;
		first += region->spots;
		memset(region_numbers + region->first, i, region->spots);
		region->size = (size_t)region->spots * region->stride_pages *
			       PAGE_SIZE;
		region->address = SOURCE_BASE + REGION_OFFSET(i);
		region->fd = -1;
		if (region->kind == KIND_SHARED || region->kind == KIND_FILE)
			region->fd = file_make(region);
	}
}

/* ---- memory --------------------------------------------------------------------- */

static void advise_kind(enum kind kind, void *at, size_t size)
{
	if (kind == KIND_HUGE)
		madvise(at, size, MADV_HUGEPAGE);
	else
		madvise(at, size, MADV_NOHUGEPAGE);
	if (kind == KIND_TWINS)
		madvise(at, size, MADV_MERGEABLE);
}

/* Map that part of the region, in place of whatever is there. */
static void *map_range(const struct region *region, void *at, size_t size)
{
	int flags = MAP_FIXED;
	off_t offset = 0;
	void *got;

	if (region->fd < 0) {
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	} else {
		flags |= MAP_SHARED;
		offset = (char *)at - (char *)region->address;
	}
	got = mmap(at, size, PROT_READ | PROT_WRITE, flags, region->fd, offset);
	if (got != at)
		fatal("mmap in the source: %m");
	if (region->fd < 0)
		advise_kind(region->kind, at, size);
	return got;
}

static void map_world(enum world world)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		const struct region *region = &regions[i];
		uint64_t *word = (uint64_t *)region->address;
		size_t at;

		if (region->world != world)
			continue;
		map_range(region, word, region->size);
		if (region->kind != KIND_DECOY)
			continue;
		for (at = 0; at < region->size / sizeof(*word); at++)
			word[at] = VALUE(TAG_DECOY, 0, at);
	}
}

/* ---- events ---------------------------------------------------------------------- */

struct source_thread {
	pthread_t thread;
	struct dice dice;
	enum world world;
	unsigned int number;
	char who[24];
};

/* Some spots of a region: few, or now and then a whole huge page */
struct run {
	const struct region *region;
	unsigned int spot, nr;
	void *at;
	size_t size;
};

/*
 * MADV_FREE is for private memory, and not for what KSM merges. The kernel itself
 * loses that, with no mirror anywhere (6.1, 6.12): a merged page that one process is
 * left with is given up, and merged with another's, which was not; both are dropped.
 */
static bool may_be_freed(const struct region *region)
{
	return region_private(region) && region->kind != KIND_TWINS;
}

static struct run run_choose(struct dice *dice, enum world world, bool to_free)
{
	struct run run;

	do {
		run.region = &regions[dice_roll(dice, REGIONS)];
	} while (run.region->world != world || run.region->kind == KIND_DECOY ||
		 (to_free && !may_be_freed(run.region)));
	run.spot = dice_spot(dice, run.region);
	run.nr = 1 + dice_roll(dice, 4);
	if (run.region->kind == KIND_HUGE && !dice_roll(dice, 3)) {
		run.nr = PMD_SIZE / PAGE_SIZE / run.region->stride_pages;
		run.spot -= (run.spot - run.region->first) % run.nr;
	}
	if (run.spot + run.nr > run.region->first + run.region->spots)
		run.nr = run.region->first + run.region->spots - run.spot;
	run.at = source_range(run.spot, run.nr, &run.size);
	return run;
}

static int answer(int result)
{
	return result ? -errno : 0;
}

static void some_ms(struct dice *dice)
{
	nap_ms(dice_roll(dice, 4));
}

/* Memory of one's own is empty after it, memory that others have is only away. */
static void do_discard(struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);
	bool private = region_private(run.region);
	struct discard discard;
	int result;

	if (private)
		discard_begin(&discard, run.spot, run.nr);
	result = answer(madvise(run.at, run.size, MADV_DONTNEED));
	if (private)
		discard_end(&discard, !result);
	event(EVENT_DISCARD, run.spot, run.nr, result);
}

/* It may be dropped from now on, until it is written to. */
static void do_free(struct dice *dice, enum world world, bool out)
{
	struct run run = run_choose(dice, world, true);
	struct discard discard;
	int result;

	discard_begin(&discard, run.spot, run.nr);
	result = answer(madvise(run.at, run.size, MADV_FREE));
	discard_end(&discard, false);
	if (out) {
		lru_drain();
		some_ms(dice);
		madvise(run.at, run.size, MADV_PAGEOUT);
	}
	event(out ? EVENT_FREE_OUT : EVENT_FREE, run.spot, run.nr, result);
}

static void do_advise(struct dice *dice, enum world world, int advice,
		      enum event which)
{
	struct run run = run_choose(dice, world, false);

	event(which, run.spot, run.nr,
	      answer(madvise(run.at, run.size, advice)));
}

static void do_lock(struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);
	int result;

	/* What moves meanwhile would stay locked. */
	if (!spots_lock(run.spot, run.nr))
		return;
	result = answer(mlock(run.at, run.size));
	some_ms(dice);
	munlock(run.at, run.size);
	spots_unlock(run.spot, run.nr);
	event(EVENT_LOCK, run.spot, run.nr, result);
}

/*
 * While nobody but viewers could write, and they must not: what they wrote stays
 * as it is, in memory that begins at at. It may be dropped.
 */
static void must_stay(const char *who, const struct run *run, const char *at,
		      struct dice *dice)
{
	unsigned int spot = run->spot + dice_roll(dice, run->nr), slot;
	size_t from = (const char *)run->at - (char *)run->region->address;
	struct bound bounds[SLOTS];
	uint64_t seen[SLOTS], value;

	/* A pwrite() that has begun holds its page until it is done. */
	for (slot = SLOT_VIEWER; slot < SLOT_FILE; slot++) {
		bounds[slot] = bound_take(ELSEWHERE, spot, slot);
		if (touch_read(at + cell_offset(spot, slot) - from,
			       &seen[slot]))
			return;
	}
	some_ms(dice);
	for (slot = SLOT_VIEWER; slot < SLOT_FILE; slot++) {
		if (touch_read(at + cell_offset(spot, slot) - from, &value))
			return;
		if (value == seen[slot] ||
		    (!value && zero_may_be(&bounds[slot])))
			continue;
		violation("%s: %#lx became %#lx in %s spot %u slot %u, which "
			  "nobody may write",
			  who, seen[slot], value, run->region->name, spot,
			  slot);
	}
}

static void do_protect(const char *who, struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);
	bool readable = dice_roll(dice, 2);
	int result;

	if (!spots_lock(run.spot, run.nr))
		return;
	hole_begin(run.spot, run.nr);
	result = answer(
		mprotect(run.at, run.size, readable ? PROT_READ : PROT_NONE));
	if (!result) {
		hole_settled(run.spot, run.nr, !readable);
		if (readable && region_private(run.region))
			must_stay(who, &run, run.at, dice);
		else
			some_ms(dice);
		hole_settled(run.spot, run.nr, !readable);
	}
	if (mprotect(run.at, run.size, PROT_READ | PROT_WRITE))
		fatal("mprotect back: %m");
	hole_end(run.spot, run.nr);
	spots_unlock(run.spot, run.nr);
	event(EVENT_PROTECT, run.spot, run.nr, result);
}

/* While the pages are elsewhere, what is written there is not for viewers. */
static void mark_away(const struct run *run, char *spare, bool away)
{
	size_t from = (char *)run->at - (char *)run->region->address;
	unsigned int spot;

	for (spot = run->spot; spot < run->spot + run->nr; spot++) {
		uint64_t *word =
			(uint64_t *)(spare + cell_offset(spot, SLOT_MOVER) -
				     from);
		struct writing writing;

		if (away) {
			*(volatile uint64_t *)word = VALUE(TAG_AWAY, spot, 0);
			continue;
		}
		writing = writing_begin(spot, SLOT_MOVER, 0);
		*(volatile uint64_t *)word = writing.value;
		writing_done(&writing);
	}
}

static void must_move(void *from, size_t size, void *to)
{
	if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		fatal("mremap back: %m");
}

/* What is in several pieces by now cannot be moved at once: false. */
static bool move_away(struct run *run, void *spare)
{
	if (mremap(run->at, run->size, run->size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   spare) == spare)
		return true;
	if (errno != EFAULT)
		fatal("mremap away: %m");
	return false;
}

static void do_move(const char *who, struct dice *dice, enum world world,
		    unsigned int number)
{
	struct run run = run_choose(dice, world, false);
	char *spare = (char *)SPARE_BASE + number * (64UL << 20);
	bool private = region_private(run.region) &&
		       run.region->kind != KIND_TWINS;
	bool moved;

	/* Huge pages stay huge, or do not. */
	if (dice_roll(dice, 2))
		spare += PAGE_SIZE;
	if (!spots_lock(run.spot, run.nr))
		return;
	hole_begin(run.spot, run.nr);
	moved = move_away(&run, spare);
	if (moved) {
		hole_settled(run.spot, run.nr, true);
		if (private) {
			mark_away(&run, spare, true);
			must_stay(who, &run, spare, dice);
			mark_away(&run, spare, false);
		} else {
			some_ms(dice);
		}
		hole_settled(run.spot, run.nr, true);
		must_move(spare, run.size, run.at);
	}
	hole_end(run.spot, run.nr);
	spots_unlock(run.spot, run.nr);
	event(EVENT_MOVE, run.spot, run.nr, moved ? 0 : -EFAULT);
}

static void do_map(struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);
	bool private = region_private(run.region);
	struct discard discard;

	if (!spots_lock(run.spot, run.nr))
		return;
	if (private)
		discard_begin(&discard, run.spot, run.nr);
	map_range(run.region, run.at, run.size);
	if (private)
		discard_end(&discard, true);
	spots_unlock(run.spot, run.nr);
	event(EVENT_MAP, run.spot, run.nr, 0);
}

static void do_unmap(struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);
	bool private = region_private(run.region);
	struct discard discard;

	if (!spots_lock(run.spot, run.nr))
		return;
	hole_begin(run.spot, run.nr);
	if (private)
		discard_begin(&discard, run.spot, run.nr);
	if (munmap(run.at, run.size))
		fatal("munmap: %m");
	hole_settled(run.spot, run.nr, true);
	some_ms(dice);
	hole_settled(run.spot, run.nr, true);
	map_range(run.region, run.at, run.size);
	if (private)
		discard_end(&discard, true);
	hole_end(run.spot, run.nr);
	spots_unlock(run.spot, run.nr);
	event(EVENT_UNMAP, run.spot, run.nr, 0);
}

#define FORK_SPOTS 6U

/* What the child must see, or less, is taken before it is there. */
static void do_fork(struct dice *dice, enum world world)
{
	struct bound bounds[FORK_SPOTS][SLOTS];
	unsigned int spots[FORK_SPOTS], i, slot;
	struct dice own = *dice;
	pid_t child;
	int status;

	for (i = 0; i < FORK_SPOTS; i++) {
		struct run run = run_choose(dice, world, false);

		spots[i] = run.spot;
		for (slot = 0; slot < SLOTS; slot++)
			bounds[i][slot] = bound_take(ELSEWHERE, run.spot, slot);
	}
	child = fork();
	if (!child) {
		child_run(&own, world, spots, FORK_SPOTS, bounds);
		_exit(0);
	}
	if (child < 0) {
		event(EVENT_FORK, 0, 0, -errno);
		return;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	event(EVENT_FORK, 0, 0, status);
}

static void do_collapse(struct dice *dice, enum world world)
{
	const struct region *region = &regions[REGION_HUGE];
	size_t size;
	void *at;
	unsigned int nr = PMD_SIZE / PAGE_SIZE / region->stride_pages;
	unsigned int spot =
		region->first + dice_roll(dice, region->spots / nr) * nr;

	if (world != WORLD_MAIN)
		return;
	at = source_range(spot, nr, &size);
	event(EVENT_COLLAPSE, spot, nr,
	      answer(madvise(at, size, MADV_COLLAPSE)));
}

/* The memory of a memfd or a file, with a hole in it or cut off */
static const struct region *shared_choose(struct dice *dice, enum world world)
{
	if (world == WORLD_MORTAL)
		return &regions[REGION_MORTAL_SHARED];
	return &regions[dice_roll(dice, 2) ? REGION_SHARED : REGION_FILE];
}

static void do_punch(struct dice *dice, enum world world)
{
	const struct region *region = shared_choose(dice, world);
	unsigned int spot = dice_spot(dice, region);
	unsigned int nr = 1 + dice_roll(dice, 4);
	struct discard discard;
	int result;

	if (spot + nr > region->first + region->spots)
		nr = region->first + region->spots - spot;
	discard_begin(&discard, spot, nr);
	result = answer(fallocate(
		region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(spot - region->first) * PAGE_SIZE, nr * PAGE_SIZE));
	discard_end(&discard, !result);
	event(EVENT_PUNCH, spot, nr, result);
}

static void do_truncate(struct dice *dice, enum world world)
{
	const struct region *region = shared_choose(dice, world);
	unsigned int nr = 1 + dice_roll(dice, 8);
	unsigned int spot = region->first + region->spots - nr;
	struct discard discard;

	if (!spots_lock(spot, nr))
		return;
	hole_begin(spot, nr);
	discard_begin(&discard, spot, nr);
	if (ftruncate(region->fd, region->size - nr * PAGE_SIZE))
		fatal("ftruncate: %m");
	hole_settled(spot, nr, true);
	some_ms(dice);
	hole_settled(spot, nr, true);
	if (ftruncate(region->fd, region->size))
		fatal("ftruncate back: %m");
	discard_end(&discard, true);
	hole_end(spot, nr);
	spots_unlock(spot, nr);
	event(EVENT_TRUNCATE, spot, nr, 0);
}

static void do_sync(struct dice *dice, enum world world)
{
	struct run run = run_choose(dice, world, false);

	if (world == WORLD_MAIN && !dice_roll(dice, 4))
		event(EVENT_SYNC, 0, 0,
		      answer(syncfs(regions[REGION_FILE].fd)));
	else
		event(EVENT_SYNC, run.spot, run.nr,
		      answer(msync(run.at, run.size, MS_SYNC)));
}

static void something(struct source_thread *me)
{
	struct dice *dice = &me->dice;
	enum world world = me->world;

	switch (dice_roll(dice, 20)) {
	case 0 ... 2:
		return do_discard(dice, world);
	case 3:
		return do_free(dice, world, false);
	case 4:
	case 5:
		return do_free(dice, world, true);
	case 6:
	case 7:
		return do_advise(dice, world, MADV_PAGEOUT, EVENT_PAGEOUT);
	case 8:
		return do_advise(dice, world, MADV_COLD, EVENT_COLD);
	case 9:
	case 10:
		return do_protect(me->who, dice, world);
	case 11:
	case 12:
		return do_move(me->who, dice, world, me->number);
	case 13:
		return do_map(dice, world);
	case 14:
		return do_unmap(dice, world);
	case 15:
		return do_fork(dice, world);
	case 16:
		return do_collapse(dice, world);
	case 17:
		return do_punch(dice, world);
	case 18:
		return do_truncate(dice, world);
	default:
		return dice_roll(dice, 2) ? do_lock(dice, world) :
					    do_sync(dice, world);
	}
}

static void *events_run(void *arg)
{
	struct source_thread *me = arg;

	come_first();
	while (running()) {
		something(me);
		if (!dice_roll(&me->dice, 4))
			some_ms(&me->dice);
	}
	return NULL;
}

/* ---- its own reads and writes ------------------------------------------------------ */

/* Make the twins alike, for KSM; and now and then one of them not. */
static void twins_write(const char *who, struct dice *dice)
{
	const struct region *region = &regions[REGION_TWINS];
	uint32_t seq = writing_next(region->first, region->spots, SLOT_SOURCE);
	unsigned int spot;

	if (dice_roll(dice, 4)) {
		spot = dice_spot(dice, region);
		put(who, source_cell(spot, SLOT_SOURCE), IN_SOURCE, spot,
		    SLOT_SOURCE, seq);
		return;
	}
	for (spot = region->first; spot < region->first + region->spots; spot++)
		put(who, source_cell(spot, SLOT_SOURCE), IN_SOURCE, spot,
		    SLOT_SOURCE, seq);
}

static void own_turn(struct source_thread *me)
{
	struct dice *dice = &me->dice;
	const struct region *region;
	unsigned int spot, slot, turn;

	do {
		region = &regions[dice_roll(dice, REGIONS)];
	} while (region->world != me->world || region->kind == KIND_DECOY);
	for (turn = 0; turn < 16; turn++) {
		spot = dice_spot(dice, region);
		slot = dice_roll(dice, SLOTS);
		if (region->kind != KIND_TWINS &&
		    writes_here(SLOT_SOURCE, spot)) {
			put(me->who, source_cell(spot, SLOT_SOURCE), IN_SOURCE,
			    spot, SLOT_SOURCE, 0);
			count(OP_OWN_WRITES, 1);
		}
		/* What only one viewer writes the source seldom touches. */
		if (spot % 4 == 2 && dice_roll(dice, 16))
			continue;
		look(me->who, source_cell(spot, slot), IN_SOURCE, spot, slot);
		count(OP_OWN_READS, 1);
	}
	if (region->kind == KIND_TWINS && !dice_roll(dice, 64))
		twins_write(me->who, dice);
}

static void *own_run(void *arg)
{
	struct source_thread *me = arg;

	while (running()) {
		own_turn(me);
		if (!dice_roll(&me->dice, 8))
			nap_ms(1);
	}
	return NULL;
}

/* ---- from its beginning to its end ---------------------------------------------------- */

#define EVENT_THREADS 3U

static void threads_start(struct source_thread *threads, enum world world,
			  uint64_t incarnation)
{
	unsigned int i;

	for (i = 0; i <= EVENT_THREADS; i++) {
		struct source_thread *thread = &threads[i];

		thread->world = world;
		thread->number = i;
		thread->dice = dice_of(soak_seed, 100 + world * 50 + i +
							  incarnation * 1000);
		snprintf(thread->who, sizeof(thread->who), "source %d.%u",
			 world, i);
		thread_start(&thread->thread, i ? events_run : own_run, thread);
	}
}

struct source_life {
	enum world world;
	uint32_t incarnation;
};

static void *life(void *arg)
{
	static struct source_thread threads[EVENT_THREADS + 1];
	const struct source_life *life = arg;
	unsigned int i;

	map_world(life->world);
	__atomic_store_n(&board->ready[life->world], life->incarnation,
			 __ATOMIC_SEQ_CST);
	threads_start(threads, life->world, life->incarnation);
	for (i = 0; i <= EVENT_THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	return NULL;
}

/* The main source: arg is not used. It lives until all have looked at it. */
void source_run(void *arg)
{
	static struct source_life main_life = { WORLD_MAIN, 1 };
	static char *at[REGIONS];
	unsigned int i;

	(void)arg;
	life(&main_life);
	/* All else has ended: what is there is what there will be. */
	while (board_stage() != STAGE_OVER && !board->ended[WORLD_MAIN])
		nap_ms(5);
	if (board_stage() == STAGE_OVER)
		return;
	for (i = 0; i < REGIONS; i++)
		at[i] = (char *)regions[i].address;
	audit("the source at its end", WORLD_MAIN, at);
	__atomic_store_n(&board->ended[WORLD_MAIN], 2, __ATOMIC_SEQ_CST);
	while (board_stage() != STAGE_OVER)
		nap_ms(5);
}

/* The mortal one begins to live in a thread; its end is mortal.c's. */
void source_live(uint32_t incarnation)
{
	static struct source_life mortal_life = { .world = WORLD_MORTAL };
	pthread_t thread;

	mortal_life.incarnation = incarnation;
	thread_start(&thread, life, &mortal_life);
}
