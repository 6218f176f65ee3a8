// SPDX-License-Identifier: GPL-2.0
/*
 * The board: what is known of each cell, and what follows from it. See soak.h.
 *
 * Every access of the board that a proof rests on is sequentially consistent,
 * and so is the order between it and the access of the memory itself (barrier()).
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* More tell nothing new. */
#define VIOLATIONS_SHOWN 8
#define EVENTS_SHOWN 24

struct board *board;

const char *const event_names[EVENTS] = {
	[EVENT_DISCARD] = "discard",
	[EVENT_FREE] = "free",
	[EVENT_FREE_OUT] = "free_and_pageout",
	[EVENT_PAGEOUT] = "pageout",
	[EVENT_COLD] = "cold",
	[EVENT_PROTECT] = "mprotect",
	[EVENT_MOVE] = "mremap",
	[EVENT_MAP] = "mmap",
	[EVENT_UNMAP] = "munmap",
	[EVENT_FORK] = "fork",
	[EVENT_COLLAPSE] = "collapse",
	[EVENT_LOCK] = "mlock",
	[EVENT_PUNCH] = "punch",
	[EVENT_TRUNCATE] = "truncate",
	[EVENT_SYNC] = "sync",
	[EVENT_MIGRATE] = "migrate",
	[EVENT_SPLIT] = "split",
	[EVENT_COMPACT] = "compact",
	[EVENT_DROP] = "drop_caches",
	[EVENT_RECLAIM] = "reclaim",
	[EVENT_VIEW_GONE] = "view_removed",
	[EVENT_VIEW_DECOY] = "view_exchanged",
	[EVENT_VIEW_READONLY] = "view_readonly",
	[EVENT_VIEW_RESIDENT] = "view_resident",
	[EVENT_MIRROR_MAP] = "mirror_mapped_over",
	[EVENT_MIRROR_UNMAP] = "mirror_unmapped",
	[EVENT_MIRROR_PROTECT] = "mirror_split",
	[EVENT_MIRROR_MOVE] = "mirror_moved",
	[EVENT_MIRROR_ADVISE] = "mirror_advised",
	[EVENT_FILE_PASSED] = "file_passed",
	[EVENT_FILE_REOPENED] = "file_reopened",
	[EVENT_CONTEXT] = "context",
	[EVENT_SOURCE_EXIT] = "source_exit",
	[EVENT_SOURCE_KILL] = "source_kill",
	[EVENT_SOURCE_EXEC] = "source_exec",
	[EVENT_SOURCE_OOM] = "source_oom",
	[EVENT_VIEWER_EXIT] = "viewer_exit",
	[EVENT_VIEWER_KILL] = "viewer_kill",
	[EVENT_VIEWER_OOM] = "viewer_oom",
};

static uint32_t load32(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static uint64_t load64(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static void add32(uint32_t *at)
{
	__atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);
}

/* Between the board and the memory itself */
static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void board_make(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (board == MAP_FAILED)
		fatal("no board: %m");
	/* What is on it must not go slow, or away, with the memory around it. */
	if (mlock(board, sizeof(*board)))
		fatal("mlock: %m");
	board->began_ns = clock_ns();
}

enum stage board_stage(void)
{
	return load32(&board->stage);
}

uint64_t board_ns(void)
{
	return clock_ns() - board->began_ns;
}

void count(enum operation operation, unsigned int times)
{
	__atomic_fetch_add(&board->operations[operation], times,
			   __ATOMIC_RELAXED);
}

void event(enum event event, unsigned int spot, unsigned int nr, int result)
{
	uint64_t at = __atomic_fetch_add(&board->logged, 1, __ATOMIC_RELAXED);

	board->log[at % LOG_SIZE] = (struct entry){
		.ns = board_ns(),
		.event = event,
		.spot = spot,
		.nr = nr,
		.result = result,
	};
	if (!result)
		__atomic_fetch_add(&board->events[event], 1, __ATOMIC_RELAXED);
}

/* ---- evidence ------------------------------------------------------------------ */

/* In one piece, past all buffers; the machine may not live long. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list arguments;
	char text[512];
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(text) - 1)
		length = sizeof(text) - 1;
	if (write(STDOUT_FILENO, text, length) != length)
		_exit(1);
}

static void say_events(unsigned int spot)
{
	uint64_t logged = load64(&board->logged), at;
	unsigned int shown = 0, back;

	for (back = 1; back <= logged && back <= LOG_SIZE; back++) {
		const struct entry *entry;

		at = logged - back;
		entry = &board->log[at % LOG_SIZE];
		if (entry->nr &&
		    (spot < entry->spot || spot >= entry->spot + entry->nr))
			continue;
		say("#   %" PRIu64 " us: %s spots %u+%u: %d\n",
		    entry->ns / 1000, event_names[entry->event % EVENTS],
		    entry->spot, entry->nr, entry->result);
		if (++shown == EVENTS_SHOWN)
			break;
	}
}

void violation(const char *format, ...)
{
	uint32_t number;
	va_list arguments;
	char text[400];

	number = __atomic_fetch_add(&board->violations, 1, __ATOMIC_SEQ_CST);
	/* Before another write does more harm */
	__atomic_store_n(&board->stage, STAGE_OVER, __ATOMIC_SEQ_CST);
	if (number >= VIOLATIONS_SHOWN)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	say("violation after %" PRIu64 " ms: %s\n", board_ns() / 1000000, text);
}

static void cell_violation(const char *what, const char *who,
			   const struct bound *bound, uint64_t value)
{
	const struct region *region = region_of(bound->spot);
	const struct spot *spot = &board->spots[bound->spot];
	const struct cell *cell = &spot->cells[bound->slot];
	bool first = !load32(&board->violations);

	violation("%s: %s reads %#" PRIx64 " in %s spot %u slot %u context %d; "
		  "before: done %" PRIu64 " intent %" PRIu64 " floor %u "
		  "discards %u; after: done %" PRIu64 " intent %" PRIu64
		  " floor %u discards %u/%u holes %u/%u",
		  what, who, value, region->name, bound->spot, bound->slot,
		  bound->context, bound->done >> 32, bound->intent,
		  bound->floor, (uint32_t)bound->done, cell->done >> 32,
		  cell->intent, cell->floor, spot->discard_begin,
		  spot->discard_end, spot->hole_begin, spot->hole_end);
	if (first)
		say_events(bound->spot);
}

/* ---- reading -------------------------------------------------------------------- */

struct bound bound_take(int context, unsigned int spot, unsigned int slot)
{
	struct spot *at = &board->spots[spot];
	struct cell *cell = &at->cells[slot];
	struct bound bound = {
		.spot = spot,
		.slot = slot,
		.context = context,
		.done = load64(&cell->done),
		.floor = load32(&cell->floor),
		.hole_end = load32(&at->hole_end),
		.unreadable = load32(&at->unreadable),
		.unwritable = load32(&at->unwritable),
	};

	/* Not before done: a write that is under way in between shows. */
	bound.intent = load64(&cell->intent);
	if (context >= 0) {
		struct window *window =
			&board->windows[context][region_of(spot) - regions];

		bound.window_end = load32(&window->hole_end);
		bound.window_unreadable = load32(&window->unreadable);
	}
	barrier();
	return bound;
}

bool zero_may_be(const struct bound *bound)
{
	return !(bound->done >> 32) ||
	       load32(&board->spots[bound->spot].discard_begin) !=
		       (uint32_t)bound->done;
}

static bool window_changed(const struct bound *bound)
{
	return bound->context >= 0 &&
	       load32(&board->windows[bound->context]
				     [region_of(bound->spot) - regions]
					     .hole_begin) != bound->window_end;
}

/* Whether there was no view all the time */
static bool was_no_view(const struct bound *bound)
{
	const struct window *window;

	if (bound->context < 0)
		return false;
	window = &board->windows[bound->context]
				[region_of(bound->spot) - regions];
	return bound->window_unreadable & 1 &&
	       load32(&window->unreadable) == bound->window_unreadable;
}

/* Whether all the time the source had nothing there to be read, or written */
static bool was_hole(const struct bound *bound, bool write)
{
	const struct spot *spot = &board->spots[bound->spot];

	if (bound->context == ELSEWHERE)
		return false;
	if (bound->unreadable & 1 &&
	    load32(&spot->unreadable) == bound->unreadable)
		return true;
	return write && bound->unwritable & 1 &&
	       load32(&spot->unwritable) == bound->unwritable;
}

/* What is wrong with it, or NULL */
static const char *value_fault(const struct bound *bound, uint64_t value)
{
	const struct region *region = region_of(bound->spot);
	const struct cell *cell = &board->spots[bound->spot].cells[bound->slot];
	unsigned int place = region->kind == KIND_TWINS ? region->first :
							  bound->spot;
	uint64_t intent = load64(&cell->intent);
	uint32_t seq = value;

	if (was_no_view(bound))
		return "there is no view";
	if (value >> 56 == TAG_DECOY)
		return window_changed(bound) ? NULL : "of a view that is gone";
	if (was_hole(bound, false))
		return "there is nothing to read";
	if (!value)
		return zero_may_be(bound) ? NULL : "zero, but it was written";
	if (value >> 56 == TAG_CHILD)
		return "of a child";
	if (value >> 56 == TAG_AWAY)
		return "of another address";
	if (value >> 56 != TAG_LIVE || (value >> 32 & 0xffffff) != place)
		return "of another page";
	if (seq > intent)
		return "nobody has written it here";
	if (seq < bound->done >> 32)
		return "old";
	if (seq <= bound->floor)
		return "was discarded";
	return NULL;
}

void value_check(const char *who, const struct bound *bound, uint64_t value)
{
	const char *fault;

	barrier();
	fault = value_fault(bound, value);
	if (fault)
		cell_violation(fault, who, bound, value);
}

void value_check_torn(const char *who, const struct bound *bound,
		      uint64_t value)
{
	const struct cell *cell = &board->spots[bound->spot].cells[bound->slot];

	barrier();
	if (bound->done >> 32 == bound->intent &&
	    load64(&cell->intent) == bound->intent)
		value_check(who, bound, value);
}

/*
 * Whether the main source still has memory: if it has none it broke off, which is
 * the test's fault.
 */
static bool source_lives(void)
{
	char path[40];
	unsigned long pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm",
		 board->source[WORLD_MAIN]);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

void refusal_check(const char *who, const struct bound *bound, int raised)
{
	const struct spot *spot = &board->spots[bound->spot];

	barrier();
	count(OP_REFUSED, 1);
	if (region_of(bound->spot)->world == WORLD_MORTAL ||
	    load32(&spot->hole_begin) != bound->hole_end ||
	    window_changed(bound) || board_stage() == STAGE_OVER)
		return;
	/* In the viewer that maps and unmaps its mirrors itself */
	if (bound->context >= 0 && (raised == SIGSEGV || !source_lives()))
		return;
	cell_violation("refused", who, bound, raised);
}

void written_check(const char *who, const struct bound *bound)
{
	barrier();
	if (was_no_view(bound) || was_hole(bound, true))
		cell_violation("was written though it cannot be", who, bound,
			       0);
}

void look(const char *who, const void *at, int context, unsigned int spot,
	  unsigned int slot)
{
	struct bound bound = bound_take(context, spot, slot);
	uint64_t value;
	int raised;

	raised = touch_read(at, &value);
	if (raised)
		refusal_check(who, &bound, raised);
	else if (slot >= SLOT_FILE)
		value_check_torn(who, &bound, value);
	else
		value_check(who, &bound, value);
}

/* ---- writing -------------------------------------------------------------------- */

uint32_t writing_next(unsigned int spot, unsigned int nr, unsigned int slot)
{
	uint64_t next = 0, intent;
	unsigned int i;

	for (i = spot; i < spot + nr; i++) {
		intent = load64(&board->spots[i].cells[slot].intent);
		if (next < intent)
			next = intent;
	}
	if (next >= UINT32_MAX - 1)
		fatal("the sequence is used up");
	return next + 1;
}

struct writing writing_begin(unsigned int spot, unsigned int slot, uint32_t seq)
{
	const struct region *region = region_of(spot);
	struct spot *at = &board->spots[spot];
	struct writing writing = { .cell = &at->cells[slot] };

	writing.seq = seq ? seq : writing_next(spot, 1, slot);
	writing.value = VALUE(TAG_LIVE,
			      region->kind == KIND_TWINS ? region->first : spot,
			      writing.seq);
	writing.discards = load32(&at->discard_end);
	__atomic_store_n(&writing.cell->intent, writing.seq, __ATOMIC_SEQ_CST);
	barrier();
	return writing;
}

void writing_done(const struct writing *writing)
{
	barrier();
	__atomic_store_n(&writing->cell->done,
			 (uint64_t)writing->seq << 32 | writing->discards,
			 __ATOMIC_SEQ_CST);
}

bool writes_here(unsigned int slot, unsigned int spot)
{
	bool viewer = slot >= SLOT_VIEWER;

	switch (spot % 4) {
	case 0:
		return true;
	case 1: /* only viewers */
		return viewer;
	case 2: /* only one of them */
		return viewer && slot < SLOT_FILE &&
		       spot / 4 % (VIEWERS * VIEWER_THREADS) ==
			       slot - SLOT_VIEWER;
	default: /* only others */
		return !viewer;
	}
}

void put(const char *who, void *at, int context, unsigned int spot,
	 unsigned int slot, uint32_t seq)
{
	struct bound bound = bound_take(context, spot, slot);
	struct writing writing;
	int raised;

	if (!running())
		return;
	writing = writing_begin(spot, slot, seq);
	raised = touch_write(at, writing.value);
	if (raised) {
		refusal_check(who, &bound, raised);
		return;
	}
	writing_done(&writing);
	written_check(who, &bound);
}

/* ---- what happens to memory ------------------------------------------------------- */

void discard_begin(struct discard *discard, unsigned int spot, unsigned int nr)
{
	unsigned int i, slot;

	discard->spot = spot;
	discard->nr = nr;
	for (i = 0; i < nr; i++) {
		struct spot *at = &board->spots[spot + i];

		for (slot = 0; slot < SLOTS; slot++)
			discard->floors[i][slot] =
				load64(&at->cells[slot].done) >> 32;
		add32(&at->discard_begin);
	}
	barrier();
}

static void floor_raise(uint32_t *at, uint32_t to)
{
	uint32_t old = load32(at);

	while (old < to &&
	       !__atomic_compare_exchange_n(at, &old, to, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

void discard_end(const struct discard *discard, bool gone)
{
	unsigned int i, slot;

	barrier();
	for (i = 0; i < discard->nr; i++) {
		struct spot *at = &board->spots[discard->spot + i];

		for (slot = 0; gone && slot < SLOTS; slot++)
			floor_raise(&at->cells[slot].floor,
				    discard->floors[i][slot]);
		add32(&at->discard_end);
	}
}

void discard_world(enum world world)
{
	unsigned int i, spot, slot;

	for (i = 0; i < REGIONS; i++) {
		if (regions[i].world != world)
			continue;
		for (spot = regions[i].first;
		     spot < regions[i].first + regions[i].spots; spot++) {
			struct spot *at = &board->spots[spot];

			add32(&at->discard_begin);
			for (slot = 0; slot < SLOTS; slot++)
				at->cells[slot].floor = at->cells[slot].intent;
			/* Whoever did not come to that is gone. */
			at->discard_end = at->discard_begin;
			at->hole_end = at->hole_begin;
			at->unreadable += at->unreadable & 1;
			at->unwritable += at->unwritable & 1;
			at->busy = 0;
		}
	}
}

bool spots_lock(unsigned int spot, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint32_t free = 0;

		if (__atomic_compare_exchange_n(
			    &board->spots[spot + i].busy, &free, 1, false,
			    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			continue;
		spots_unlock(spot, i);
		return false;
	}
	return true;
}

void spots_unlock(unsigned int spot, unsigned int nr)
{
	while (nr--)
		__atomic_store_n(&board->spots[spot + nr].busy, 0,
				 __ATOMIC_SEQ_CST);
}

void hole_begin(unsigned int spot, unsigned int nr)
{
	unsigned int i;

	for (i = spot; i < spot + nr; i++)
		add32(&board->spots[i].hole_begin);
	barrier();
}

void hole_end(unsigned int spot, unsigned int nr)
{
	unsigned int i;

	barrier();
	for (i = spot; i < spot + nr; i++)
		add32(&board->spots[i].hole_end);
}

void hole_settled(unsigned int spot, unsigned int nr, bool unreadable)
{
	unsigned int i;

	barrier();
	for (i = spot; i < spot + nr; i++)
		add32(unreadable ? &board->spots[i].unreadable :
				   &board->spots[i].unwritable);
	barrier();
}

void window_hole_begin(int context, unsigned int region)
{
	add32(&board->windows[context][region].hole_begin);
	barrier();
}

void window_hole_end(int context, unsigned int region)
{
	barrier();
	add32(&board->windows[context][region].hole_end);
}

void window_settled(int context, unsigned int region)
{
	barrier();
	add32(&board->windows[context][region].unreadable);
	barrier();
}

/* ---- chance ------------------------------------------------------------------------- */

struct dice dice_of(uint64_t seed, uint64_t actor)
{
	struct dice dice = { seed ^ actor * 0xd1342543de82ef95ULL };

	dice_next(&dice);
	return dice;
}

/* splitmix64 */
uint64_t dice_next(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

unsigned int dice_roll(struct dice *dice, unsigned int sides)
{
	return (dice_next(dice) >> 32) * sides >> 32;
}

unsigned int dice_spot(struct dice *dice, const struct region *region)
{
	return region->first + dice_roll(dice, region->spots);
}

/* The kernel knows a thread's own niceness. */
void come_first(void)
{
	setpriority(PRIO_PROCESS, gettid(), -5);
}

void nap_ms(unsigned int ms)
{
	struct timespec nap = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&nap, NULL);
}

void thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	unsigned int tries = 0;
	int err;

	/* Memory is short here, on purpose: a stack may have to wait for it. */
	do {
		err = pthread_create(thread, NULL, run, arg);
		if (err == EAGAIN)
			nap_ms(10);
	} while (err == EAGAIN && ++tries < 1000);
	if (err)
		fatal("pthread_create: %s", strerror(err));
}
