// SPDX-License-Identifier: GPL-2.0
/*
 * Who is no viewer: a child of the source, a third process that maps the same
 * files and takes memory that others gave back, and the weather, which is what
 * comes over a source from outside.
 */
#include "soak.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a child ------------------------------------------------------------------ */

#define CHILD_LOOKS 4U

struct child {
	unsigned int spot;
	bool there[SLOTS];
	uint64_t seen[SLOTS];
};

/* What it got at the fork is what was there, with all that had been written. */
static void child_first(struct child *child, const struct bound *bounds)
{
	unsigned int slot;

	for (slot = 0; slot < SLOTS; slot++) {
		child->there[slot] = !touch_read(source_cell(child->spot, slot),
						 &child->seen[slot]);
		/* The source may be in the midst of a move. */
		if (!child->there[slot])
			continue;
		if (slot >= SLOT_FILE)
			value_check_torn("a child", &bounds[slot],
					 child->seen[slot]);
		else
			value_check("a child", &bounds[slot],
				    child->seen[slot]);
	}
}

/* In its own copy a mark; in what it shares with the source a proper write */
static void child_write(struct child *child, enum world world, bool lock)
{
	void *at = source_cell(child->spot, SLOT_CHILD);
	uint64_t mark = VALUE(TAG_CHILD, child->spot, getpid());
	struct writing writing;

	if (region_private(region_of(child->spot))) {
		if (!touch_write(at, mark) && child->there[SLOT_CHILD])
			child->seen[SLOT_CHILD] = mark;
	} else if (lock && world == WORLD_MAIN) {
		writing = writing_begin(child->spot, SLOT_CHILD, 0);
		if (!touch_write(at, writing.value))
			writing_done(&writing);
	}
	count(OP_CHILD_WRITES, 1);
}

/* Nobody writes to its copy but itself. What was given up may be dropped. */
static void child_again(struct child *child, const struct bound *bounds)
{
	unsigned int slot;
	uint64_t value;

	for (slot = 0; slot < SLOTS; slot++) {
		uint64_t *seen = &child->seen[slot];

		if (!child->there[slot] ||
		    touch_read(source_cell(child->spot, slot), &value) ||
		    value == *seen)
			continue;
		if (!value && *seen >> 56 != TAG_CHILD &&
		    zero_may_be(&bounds[slot])) {
			*seen = 0;
			continue;
		}
		violation("a write reached a child: %#" PRIx64
			  " became %#" PRIx64 " in spot %u slot %u",
			  *seen, value, child->spot, slot);
	}
}

void child_run(struct dice *dice, enum world world, const unsigned int *spots,
	       unsigned int nr, struct bound (*bounds)[SLOTS])
{
	struct child children[8] = { 0 };
	uint32_t free = 0;
	bool lock = __atomic_compare_exchange_n(&board->child_writes, &free, 1,
						false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST);
	unsigned int i, turn;

	for (i = 0; i < nr; i++) {
		children[i].spot = spots[i];
		child_first(&children[i], bounds[i]);
	}
	for (turn = 0; turn < CHILD_LOOKS && running(); turn++) {
		for (i = 0; turn == 1 && i < nr; i++)
			child_write(&children[i], world, lock);
		nap_ms(dice_roll(dice, 8));
		for (i = 0; i < nr; i++)
			if (region_private(region_of(spots[i])))
				child_again(&children[i], bounds[i]);
		count(OP_CHILD_READS, nr * SLOTS);
	}
	if (lock)
		__atomic_store_n(&board->child_writes, 0, __ATOMIC_SEQ_CST);
}

/* ---- a third process --------------------------------------------------------------- */

#define THIRD_BASE 0x220000000000ULL

/* Use memory up that others have freed, and see whether it stays as it is. */
static void *poison_run(void *arg)
{
	const size_t size = 128 * PAGE_SIZE, words = size / sizeof(uint64_t);
	const uint64_t poison = VALUE(TAG_POISON, 0, 0);
	volatile uint64_t *memory;
	size_t i;

	while (running()) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			fatal("no memory: %m");
		madvise((void *)memory, size, MADV_NOHUGEPAGE);
		for (i = 0; i < words; i += PAGE_SIZE / SLOTS / sizeof(*memory))
			memory[i + 1] = poison;
		nap_ms(1);
		for (i = 0; i < words; i++)
			if (memory[i] !=
			    (i % (PAGE_SIZE / SLOTS / sizeof(*memory)) == 1 ?
				     poison :
				     0))
				violation("a write reached a third process: "
					  "%#" PRIx64 " in word %zu",
					  memory[i], i);
		munmap((void *)memory, size);
	}
	return arg;
}

static char *third_map(const struct region *region)
{
	char *at = mmap((void *)(THIRD_BASE + region->address), region->size,
			PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);

	if (at == MAP_FAILED)
		fatal("mmap in the third process: %m");
	return at;
}

static void third_turn(struct dice *dice, char *const at[REGIONS])
{
	const struct region *region =
		&regions[dice_roll(dice, 2) ? REGION_SHARED : REGION_FILE];
	unsigned int spot = dice_spot(dice, region);
	unsigned int slot = dice_roll(dice, SLOTS);
	char *base = at[region - regions];

	if (writes_here(SLOT_THIRD, spot)) {
		put("the third process", base + cell_offset(spot, SLOT_THIRD),
		    ELSEWHERE, spot, SLOT_THIRD, 0);
		count(OP_THIRD_WRITES, 1);
	}
	/* What only one viewer writes is to be dirty through its mirror alone. */
	if (spot % 4 == 2 && dice_roll(dice, 16))
		return;
	look("the third process", base + cell_offset(spot, slot), ELSEWHERE,
	     spot, slot);
	count(OP_THIRD_READS, 1);
}

void third_run(void *arg)
{
	struct dice dice = dice_of(soak_seed, 10);
	char *at[REGIONS] = { NULL };
	pthread_t poisoner;

	(void)arg;
	at[REGION_SHARED] = third_map(&regions[REGION_SHARED]);
	at[REGION_FILE] = third_map(&regions[REGION_FILE]);
	thread_start(&poisoner, poison_run, NULL);
	while (running()) {
		third_turn(&dice, at);
		if (!dice_roll(&dice, 64))
			nap_ms(1);
	}
	pthread_join(poisoner, NULL);
}

/* ---- the weather --------------------------------------------------------------------- */

static unsigned int any_spot(struct dice *dice)
{
	const struct region *region;

	do {
		region = &regions[dice_roll(dice, REGIONS)];
	} while (region->world != WORLD_MAIN);
	return dice_spot(dice, region);
}

static void split(struct dice *dice)
{
	const struct region *region = &regions[REGION_HUGE];
	unsigned int spot = dice_spot(dice, region);
	uint64_t at = (uint64_t)source_cell(spot, 0) & ~(PMD_SIZE - 1);
	char order[96];

	snprintf(order, sizeof(order), "%d,0x%" PRIx64 ",0x%" PRIx64,
		 board->source[WORLD_MAIN], at, at + PMD_SIZE);
	event(EVENT_SPLIT, spot, 1,
	      text_write("/sys/kernel/debug/split_huge_pages", order));
}

static void migrate(struct dice *dice)
{
	unsigned int spot = any_spot(dice), node = dice_roll(dice, 2);
	uint64_t at = (uint64_t)source_cell(spot, 0) & ~(PAGE_SIZE - 1);

	event(EVENT_MIGRATE, spot, 1,
	      node_move(board->source[WORLD_MAIN], at, node));
}

void view_event(struct dice *dice, int ctrl, int context, unsigned int region)
{
	static const enum event events[] = { EVENT_VIEW_GONE, EVENT_VIEW_DECOY,
					     EVENT_VIEW_READONLY,
					     EVENT_VIEW_RESIDENT };
	static const uint32_t flags[] = { 0, PIDFD_MEM_MAP_READONLY,
					  PIDFD_MEM_MAP_READONLY,
					  PIDFD_MEM_MAP_RESIDENT };
	const struct region *at = &regions[region];
	unsigned int way = dice_roll(dice, 4);
	uint64_t address = way == 1 ? regions[REGION_DECOY].address :
				      at->address;
	int error;

	window_hole_begin(context, region);
	error = view_remove(ctrl, REGION_OFFSET(region), at->size);
	if (!error) {
		window_settled(context, region);
		nap_ms(dice_roll(dice, 3));
		window_settled(context, region);
	}
	if (way && !error) {
		error = view_add(ctrl, address, REGION_OFFSET(region), at->size,
				 flags[way]);
		nap_ms(dice_roll(dice, 6));
		if (!error)
			error = view_remove(ctrl, REGION_OFFSET(region),
					    at->size);
	}
	if (!error)
		error = view_add(ctrl, at->address, REGION_OFFSET(region),
				 at->size, 0);
	window_hole_end(context, region);
	if (error && board_stage() != STAGE_OVER)
		fatal("a view of %s: error %d", at->name, error);
	event(events[way], at->first, at->spots, error);
}

/* arg: the ctrl file of CONTEXT_SHARED */
static void weather_turn(struct dice *dice, int ctrl)
{
	unsigned int chance = dice_roll(dice, 64);

	switch (chance) {
	case 0:
		compact_memory();
		return event(EVENT_COMPACT, 0, 0, 0);
	case 1 ... 3:
		drop_caches();
		return event(EVENT_DROP, 0, 0, 0);
	case 4 ... 11:
		cgroup_reclaim(MAIN_CGROUP, (1 + dice_roll(dice, 64)) << 14);
		return event(EVENT_RECLAIM, 0, 0, 0);
	case 12 ... 17:
		return split(dice);
	case 18 ... 23:
		return view_event(dice, ctrl, CONTEXT_SHARED,
				  dice_roll(dice, REGION_DECOY));
	default:
		return migrate(dice);
	}
}

void weather_run(void *arg)
{
	struct dice dice = dice_of(soak_seed, 11);

	come_first();
	while (running()) {
		weather_turn(&dice, *(int *)arg);
		nap_ms(dice_roll(&dice, 6));
	}
}
