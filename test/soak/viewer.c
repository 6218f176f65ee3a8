// SPDX-License-Identifier: GPL-2.0
/*
 * A viewer: reads and writes through mirrors and through the map file, while it
 * takes its own mirrors, and views, apart.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VIEW_BASE 0x300000000000ULL
#define VIEW_SPARE 0x310000000000ULL

#define TURN 32U

/* What the threads of one viewer share */
static struct viewing {
	struct viewer *viewer;
	int context;
	int ctrl; /* -1: not its own */
	int map;
	char *at[REGIONS];
} viewing;

struct viewer_thread {
	pthread_t thread;
	unsigned int number;
	struct dice dice;
	char who[32];
};

int context_make(enum world world, int *ctrl, int *map)
{
	unsigned int i;
	int error;

	error = context_open(board->source[world], O_RDWR, 0, ctrl, map);
	for (i = 0; !error && i < REGIONS; i++)
		if (regions[i].world == world && i != REGION_DECOY)
			error = view_add(*ctrl, regions[i].address,
					 REGION_OFFSET(i), regions[i].size, 0);
	return error;
}

/* ---- how it comes by its map file ---------------------------------------------------- */

static void own_context(struct viewer *viewer)
{
	struct window *window;
	unsigned int i;
	int error;

	viewing.context =
		(viewer->world == WORLD_MAIN ? CONTEXT_OWN : CONTEXT_MORTAL) +
		viewer->number;
	/* One before may have been killed in the midst of something. */
	for (i = 0; i < REGIONS; i++) {
		window = &board->windows[viewing.context][i];
		window->hole_end = window->hole_begin;
		window->unreadable += window->unreadable & 1;
	}
	error = context_make(viewer->world, &viewing.ctrl, &viewing.map);
	/* The source may have ended before its viewer began. */
	if (error && (viewer->world == WORLD_MAIN ||
		      (error != -ESRCH && error != -ENOENT)))
		fatal("no context for viewer %u: %s", viewer->number,
		      strerror(-error));
	if (error)
		_exit(0);
	event(EVENT_CONTEXT, 0, 0, 0);
}

static int file_of_holder(struct viewer *viewer, int fd, bool again)
{
	int pidfd, got;
	char path[64];

	if (again) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", viewer->holder,
			 fd);
		event(EVENT_FILE_REOPENED, 0, 0, 0);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	pidfd = syscall(SYS_pidfd_open, viewer->holder, 0);
	got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	event(EVENT_FILE_PASSED, 0, 0, 0);
	return got;
}

static void file_take(struct viewer *viewer, struct dice *dice)
{
	unsigned int way = dice_roll(dice, 6);

	viewing.ctrl = -1;
	if (viewer->world == WORLD_MORTAL || way >= 4) {
		own_context(viewer);
		return;
	}
	viewing.context = way % 2 ? CONTEXT_SHARED : CONTEXT_LOCKED;
	viewing.map = file_of_holder(
		viewer, viewer->map[viewing.context != CONTEXT_SHARED],
		way / 2);
	if (viewing.map < 0 && running())
		fatal("no map file for viewer %u: %m", viewer->number);
	if (viewing.map < 0)
		_exit(0);
}

/* ---- its mirrors --------------------------------------------------------------------- */

static bool has_region(unsigned int region)
{
	return regions[region].world == viewing.viewer->world &&
	       region != REGION_DECOY;
}

/* Where the source has ended there is nothing to map. */
static void mirror_map(void *at, size_t size, uint64_t offset)
{
	void *got = mmap(at, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, viewing.map, offset);

	if (got == at)
		return;
	/* The view is away at the moment: there is nothing until the next time. */
	if (errno == EINVAL && viewing.context == CONTEXT_SHARED)
		munmap(at, size);
	else if (errno == ESRCH || !running())
		_exit(0);
	else
		fatal("viewer %u: mmap: %m", viewing.viewer->number);
}

static void mirrors_map(struct dice *dice)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		if (!has_region(i))
			continue;
		viewing.at[i] = (char *)VIEW_BASE + REGION_OFFSET(i);
		/* One that does not agree modulo 2 MiB has small pages. */
		if (!dice_roll(dice, 3))
			viewing.at[i] += PAGE_SIZE;
		mirror_map(viewing.at[i], regions[i].size, REGION_OFFSET(i));
	}
}

static unsigned int region_choose(struct dice *dice)
{
	unsigned int region;

	do {
		region = dice_roll(dice, REGIONS);
	} while (!has_region(region));
	return region;
}

/* A part of a mirror */
struct part {
	unsigned int region, spot, nr;
	char *at;
	size_t size;
	uint64_t offset;
};

static struct part part_choose(struct dice *dice)
{
	struct part part = { .region = region_choose(dice) };
	const struct region *region = &regions[part.region];
	uint64_t from;

	part.spot = dice_spot(dice, region);
	part.nr = 1 + dice_roll(dice, 8);
	if (part.spot + part.nr > region->first + region->spots)
		part.nr = region->first + region->spots - part.spot;
	from = (uint64_t)source_range(part.spot, part.nr, &part.size) -
	       region->address;
	part.at = viewing.at[part.region] + from;
	part.offset = REGION_OFFSET(part.region) + from;
	return part;
}

static void move(struct viewer_thread *me)
{
	struct part part = part_choose(&me->dice);
	char *spare = (char *)VIEW_SPARE;
	unsigned int slot = dice_roll(&me->dice, SLOTS), turn;

	if (mremap(part.at, part.size, part.size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   spare) != spare) {
		/* It consists of several by now. */
		event(EVENT_MIRROR_MOVE, part.spot, part.nr, -errno);
		return;
	}
	for (turn = 0; turn < 8; turn++)
		look(me->who, spare + (cell_offset(part.spot, slot) & 0xfff),
		     viewing.context, part.spot, slot);
	if (mremap(spare, part.size, part.size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   part.at) != part.at)
		fatal("mremap of a mirror back: %m");
	event(EVENT_MIRROR_MOVE, part.spot, part.nr, 0);
}

static void protect(struct viewer_thread *me)
{
	struct part part = part_choose(&me->dice);

	mprotect(part.at, part.size, PROT_READ);
	nap_ms(dice_roll(&me->dice, 2));
	event(EVENT_MIRROR_PROTECT, part.spot, part.nr,
	      mprotect(part.at, part.size, PROT_READ | PROT_WRITE) ? -errno :
								     0);
}

static void unmap(struct viewer_thread *me)
{
	struct part part = part_choose(&me->dice);

	munmap(part.at, part.size);
	nap_ms(dice_roll(&me->dice, 2));
	mirror_map(part.at, part.size, part.offset);
	event(EVENT_MIRROR_UNMAP, part.spot, part.nr, 0);
}

static void reshape(struct viewer_thread *me)
{
	static const int advices[] = { MADV_NORMAL, MADV_RANDOM,
				       MADV_SEQUENTIAL };
	struct dice *dice = &me->dice;
	unsigned int region = region_choose(dice);

	switch (dice_roll(dice, 8)) {
	case 0:
		return move(me);
	case 1:
		return protect(me);
	case 2:
		return unmap(me);
	case 3:
		event(EVENT_MIRROR_ADVISE, regions[region].first,
		      regions[region].spots,
		      madvise(viewing.at[region], regions[region].size,
			      advices[dice_roll(dice, 3)]) ?
			      -errno :
			      0);
		return;
	case 4:
		if (viewing.ctrl >= 0 && viewing.viewer->world == WORLD_MAIN)
			return view_event(dice, viewing.ctrl, viewing.context,
					  region);
		__attribute__((fallthrough));
	default:
		mirror_map(viewing.at[region], regions[region].size,
			   REGION_OFFSET(region));
		event(EVENT_MIRROR_MAP, regions[region].first,
		      regions[region].spots, 0);
	}
}

/* ---- reads and writes ------------------------------------------------------------------ */

static uint64_t file_offset(unsigned int spot, unsigned int slot)
{
	return REGION_OFFSET(region_of(spot) - regions) +
	       cell_offset(spot, slot);
}

/*
 * A read of the map file holds the page for the moment of the copy. The source may
 * be rid of it meanwhile, and who has it then may write to it; what others write
 * to their copies stands in cells of their own, which are left out.
 */
static void file_look(struct viewer_thread *me, unsigned int spot,
		      unsigned int slot)
{
	struct bound bound;
	uint64_t value;

	if (slot == SLOT_CHILD || slot == SLOT_MOVER)
		return;
	bound = bound_take(viewing.context, spot, slot);
	if (pread(viewing.map, &value, sizeof(value),
		  file_offset(spot, slot)) == sizeof(value))
		value_check_torn(me->who, &bound, value);
	count(OP_FILE_READS, 1);
}

static void file_put(struct viewer_thread *me, unsigned int spot)
{
	unsigned int slot = SLOT_FILE + viewing.viewer->number;
	struct bound bound = bound_take(viewing.context, spot, slot);
	struct writing writing;

	if (me->number || !running() || !writes_here(slot, spot))
		return;
	writing = writing_begin(spot, slot, 0);
	if (pwrite(viewing.map, &writing.value, sizeof(writing.value),
		   file_offset(spot, slot)) == sizeof(writing.value)) {
		writing_done(&writing);
		written_check(me->who, &bound);
	}
	count(OP_FILE_WRITES, 1);
}

/* As the source does: twins_write() */
static void twins_put(struct viewer_thread *me, unsigned int slot)
{
	const struct region *region = &regions[REGION_TWINS];
	char *base = viewing.at[REGION_TWINS];
	uint32_t seq = writing_next(region->first, region->spots, slot);
	unsigned int spot = dice_spot(&me->dice, region);

	if (dice_roll(&me->dice, 4)) {
		put(me->who, base + cell_offset(spot, slot), viewing.context,
		    spot, slot, seq);
		return;
	}
	for (spot = region->first; spot < region->first + region->spots; spot++)
		put(me->who, base + cell_offset(spot, slot), viewing.context,
		    spot, slot, seq);
}

static void act(struct viewer_thread *me, unsigned int region)
{
	unsigned int spot = dice_spot(&me->dice, &regions[region]);
	unsigned int slot = dice_roll(&me->dice, SLOTS);
	unsigned int own = SLOT_VIEWER +
			   viewing.viewer->number * VIEWER_THREADS + me->number;
	unsigned int chance = dice_roll(&me->dice, 32);
	char *base = viewing.at[region];

	if (!chance) {
		file_look(me, spot, slot);
		return;
	}
	if (regions[region].kind == KIND_TWINS) {
		if (own == SLOT_VIEWER && !dice_roll(&me->dice, 256))
			twins_put(me, own);
	} else if (chance == 1) {
		file_put(me, spot);
	} else if (chance < 16 && writes_here(own, spot)) {
		/* Half of the time the page comes in for reading first. */
		if (chance % 2)
			look(me->who, base + cell_offset(spot, own),
			     viewing.context, spot, own);
		put(me->who, base + cell_offset(spot, own), viewing.context,
		    spot, own, 0);
		count(OP_WRITES, 1);
		return;
	}
	look(me->who, base + cell_offset(spot, slot), viewing.context, spot,
	     slot);
	count(OP_READS, 1);
}

/* ---- from its beginning to its end -------------------------------------------------------- */

/* Whether the source has ended and its memory is gone from the mirror too */
static bool source_gone(void)
{
	enum world world = viewing.viewer->world;
	uint64_t value;

	return board->ended[world] >= viewing.viewer->incarnation &&
	       touch_read(viewing.at[REGION_MORTAL], &value) == SIGBUS;
}

void eat(void)
{
	const size_t size = 1UL << 20;
	unsigned int turn;

	for (turn = 0; turn < 256; turn++) {
		char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
				0);

		if (at == MAP_FAILED)
			break;
		memset(at, 1, size);
	}
	raise(SIGKILL);
}

static void *thread_run(void *arg)
{
	struct viewer_thread *me = arg;
	struct viewer *viewer = viewing.viewer;
	uint64_t turns = 500 + dice_roll(&me->dice, 4000), turn;
	unsigned int i, region;

	for (turn = 0; running(); turn++) {
		if (viewer->world == WORLD_MAIN ? turn > turns : source_gone())
			break;
		if (viewer->hungry && turn > 4 && !me->number)
			eat();
		region = region_choose(&me->dice);
		for (i = 0; i < TURN && running(); i++)
			act(me, region);
		if (!me->number && !dice_roll(&me->dice, 4))
			reshape(me);
		if (!dice_roll(&me->dice, 8))
			nap_ms(1);
	}
	return NULL;
}

void viewer_run(void *arg)
{
	struct viewer_thread threads[VIEWER_THREADS];
	struct viewer *viewer = arg;
	struct dice dice;
	unsigned int i;

	viewing.viewer = viewer;
	dice = dice_of(soak_seed, 1000000 + viewer->life * 64 +
					  viewer->world * 32 + viewer->number);
	file_take(viewer, &dice);
	mirrors_map(&dice);
	for (i = 0; i < VIEWER_THREADS; i++) {
		threads[i].number = i;
		threads[i].dice = (struct dice){ dice_next(&dice) };
		snprintf(threads[i].who, sizeof(threads[i].who),
			 "viewer %d.%u.%u", viewer->world, viewer->number, i);
		thread_start(&threads[i].thread, thread_run, &threads[i]);
	}
	for (i = 0; i < VIEWER_THREADS; i++)
		pthread_join(threads[i].thread, NULL);
}

void audit(const char *who, enum world world, char *const at[REGIONS])
{
	unsigned int i, spot, slot;

	for (i = 0; i < REGIONS; i++) {
		if (regions[i].world != world || i == REGION_DECOY)
			continue;
		for (spot = regions[i].first;
		     spot < regions[i].first + regions[i].spots; spot++)
			for (slot = 0; slot < SLOTS; slot++)
				look(who, at[i] + cell_offset(spot, slot),
				     ELSEWHERE, spot, slot);
	}
}
