/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The consistency checker: what its processes share.
 *
 * The rules of proof. A *spot* is a page that is watched, a *cell* a 64-bit word
 * in it, one for each writer, at the same place in every page. A cell has one
 * writer at a time, which writes values that only grow and that say which page
 * they belong to. What it does it publishes on the *board*, in memory that is
 * mirrored nowhere: `intent` before it writes, `done` after.
 *
 * Who reads takes what is known to be overwritten before he reads, and what may
 * have been written after he has read. So whatever happens in between, and
 * however long it takes, the value must
 *
 *   - belong to that page, and to the process whose memory it is (not to a copy),
 *   - be no older than `done` was before: else it shows a page that is not the
 *     source's any more, or a write was lost,
 *   - be no newer than `intent` is after: else a write came where it must not,
 *   - be none that had been discarded before (`floor`),
 *   - be zero only if a discard began after the last write that was done.
 *
 * A discard counts itself on the board before it begins and after it has ended; a
 * writer notes how many had ended before it wrote. If none more has begun, none
 * can have touched what it wrote.
 *
 * Holes are counted likewise: an access may be refused only if a hole was there at
 * some moment between its beginning and its end; and where there was one all
 * the time, it must be.
 */
#ifndef SOAK_H
#define SOAK_H

#include "../common.h"

#include <pthread.h>

/* Who writes which cell of a page; MOVER and CHILD: who holds a lock for it */
enum slot {
	SLOT_SOURCE,
	SLOT_MOVER,
	SLOT_CHILD,
	SLOT_THIRD,
	SLOT_VIEWER, /* one for each thread of a viewer */
	SLOT_FILE =
		12, /* what a viewer writes by pwrite(), which may be torn */
	SLOTS = 16,
};

#define VIEWERS 3U
#define VIEWER_THREADS 2U
#define MORTAL_VIEWERS 2U

enum tag {
	TAG_LIVE = 0x51,
	TAG_CHILD = 0xc1, /* a child wrote it in its own copy */
	TAG_AWAY = 0xa1, /* written while the page was at another address */
	TAG_DECOY = 0xd1, /* what the decoy is filled with */
	TAG_POISON =
		0xdd, /* what the third process fills its own memory with */
};

#define VALUE(tag, place, seq) \
	((uint64_t)(tag) << 56 | (uint64_t)(place) << 32 | (uint32_t)(seq))

enum kind {
	KIND_SMALL, /* private anonymous memory, small pages */
	KIND_HUGE, /* the same, huge pages */
	KIND_TWINS, /* the same, pages alike, for KSM */
	KIND_SHARED, /* a memfd, which others map too */
	KIND_FILE, /* a file on a disk, mapped shared */
	KIND_DECOY, /* never changes */
};

enum world { WORLD_MAIN, WORLD_MORTAL, WORLDS };

/* One range of a source's memory; the same address in every source */
struct region {
	const char *name;
	enum kind kind;
	enum world world;
	unsigned int spots;
	unsigned int stride_pages; /* from spot to spot */
	unsigned int first; /* spot */
	uint64_t address;
	size_t size;
	int fd; /* of shared ones */
};

enum {
	REGION_SMALL,
	REGION_HUGE,
	REGION_TWINS,
	REGION_SHARED,
	REGION_FILE,
	REGION_DECOY,
	REGION_MORTAL,
	REGION_MORTAL_SHARED,
	REGIONS,
};
extern struct region regions[REGIONS];

bool region_private(const struct region *region);
struct region *region_of(unsigned int spot);
/* Where a spot's cell is, from the beginning of its region, in bytes */
size_t cell_offset(unsigned int spot, unsigned int slot);
void *source_cell(unsigned int spot, unsigned int slot);
/* The range of nr spots, without what lies behind the last */
void *source_range(unsigned int spot, unsigned int nr, size_t *size);

/* ---- the board ---------------------------------------------------------------- */

#define SPOTS_MAX 512U
#define LOG_SIZE 4096U

enum event {
	EVENT_DISCARD,
	EVENT_FREE,
	EVENT_FREE_OUT,
	EVENT_PAGEOUT,
	EVENT_COLD,
	EVENT_PROTECT,
	EVENT_MOVE,
	EVENT_MAP,
	EVENT_UNMAP,
	EVENT_FORK,
	EVENT_COLLAPSE,
	EVENT_LOCK,
	EVENT_PUNCH,
	EVENT_TRUNCATE,
	EVENT_SYNC,
	EVENT_MIGRATE,
	EVENT_SPLIT,
	EVENT_COMPACT,
	EVENT_DROP,
	EVENT_RECLAIM,
	EVENT_VIEW_GONE,
	EVENT_VIEW_DECOY,
	EVENT_VIEW_READONLY,
	EVENT_VIEW_RESIDENT,
	EVENT_MIRROR_MAP,
	EVENT_MIRROR_UNMAP,
	EVENT_MIRROR_PROTECT,
	EVENT_MIRROR_MOVE,
	EVENT_MIRROR_ADVISE,
	EVENT_FILE_PASSED,
	EVENT_FILE_REOPENED,
	EVENT_CONTEXT,
	EVENT_SOURCE_EXIT,
	EVENT_SOURCE_KILL,
	EVENT_SOURCE_EXEC,
	EVENT_SOURCE_OOM,
	EVENT_VIEWER_EXIT,
	EVENT_VIEWER_KILL,
	EVENT_VIEWER_OOM,
	EVENTS,
};
extern const char *const event_names[EVENTS];

enum operation {
	OP_READS,
	OP_WRITES,
	OP_FILE_READS,
	OP_FILE_WRITES,
	OP_OWN_READS,
	OP_OWN_WRITES,
	OP_THIRD_READS,
	OP_THIRD_WRITES,
	OP_CHILD_READS,
	OP_CHILD_WRITES,
	OP_REFUSED,
	OPS,
};

struct cell {
	uint64_t intent; /* sequence */
	uint64_t done; /* sequence << 32 | discards ended before it was written */
	uint32_t floor; /* up to here it has been discarded */
};

struct spot {
	/* Counters: begun, ended */
	uint32_t discard_begin, discard_end;
	uint32_t hole_begin, hole_end;
	/* Odd: nothing can be read, or written, until it is even again. */
	uint32_t unreadable, unwritable;
	uint32_t busy; /* somebody maps, moves or protects */
	struct cell cells[SLOTS];
};

/* Contexts: of the viewers of the main source two that many have, and each its
 * own; then the mortal source's.
 */
enum {
	CONTEXT_SHARED,
	CONTEXT_LOCKED,
	CONTEXT_OWN,
	CONTEXT_MORTAL = CONTEXT_OWN + VIEWERS,
	CONTEXTS = CONTEXT_MORTAL + MORTAL_VIEWERS,
};

/* A context's view of a region */
struct window {
	uint32_t hole_begin, hole_end;
	uint32_t unreadable; /* as a spot's */
};

struct entry {
	uint64_t ns;
	uint32_t event;
	uint32_t spot, nr;
	int32_t result;
};

enum stage {
	STAGE_RUN,
	STAGE_QUIET, /* nobody writes, nothing happens any more */
	STAGE_OVER,
};

struct board {
	uint32_t stage;
	uint32_t violations;
	uint32_t ready[WORLDS]; /* incarnation whose memory is there */
	uint32_t ended[WORLDS]; /* incarnation that is over */
	pid_t source[WORLDS];
	uint32_t child_writes; /* lock */
	uint64_t began_ns;
	uint64_t operations[OPS];
	uint64_t events[EVENTS];
	uint64_t logged;
	struct entry log[LOG_SIZE];
	struct window windows[CONTEXTS][REGIONS];
	struct spot spots[SPOTS_MAX];
};
extern struct board *board;

void board_make(void);
enum stage board_stage(void);
static inline bool running(void)
{
	return board_stage() == STAGE_RUN;
}
uint64_t board_ns(void);

void count(enum operation operation, unsigned int times);
/* It has happened, to spots [spot, spot + nr), or to none in particular */
void event(enum event event, unsigned int spot, unsigned int nr, int result);
/* Evidence: printed at once, and everything ends. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- reading -------------------------------------------------------------------- */

/* What is known before an access */
struct bound {
	unsigned int spot, slot;
	int context; /* or one of the two: */
#define IN_SOURCE (-1) /* the source itself */
#define ELSEWHERE (-2) /* another's mapping or copy: holes are not there */
	uint64_t intent, done;
	uint32_t floor;
	uint32_t hole_end, window_end;
	uint32_t unreadable, unwritable, window_unreadable;
};

struct bound bound_take(int context, unsigned int spot, unsigned int slot);
/* The access was a read and succeeded. who: for the evidence */
void value_check(const char *who, const struct bound *bound, uint64_t value);
/* The same where a write that is under way may show in part */
void value_check_torn(const char *who, const struct bound *bound,
		      uint64_t value);
/* Whether zero, or a refusal, is explained by what has happened since. */
bool zero_may_be(const struct bound *bound);
void refusal_check(const char *who, const struct bound *bound, int raised);
/* The access was a write and succeeded. */
void written_check(const char *who, const struct bound *bound);

/* ---- writing -------------------------------------------------------------------- */

struct writing {
	struct cell *cell;
	uint32_t seq;
	uint32_t discards;
	uint64_t value;
};

/* seq 0: the next one */
struct writing writing_begin(unsigned int spot, unsigned int slot,
			     uint32_t seq);
/* It is in memory. If it is not known to be, nothing need be called. */
void writing_done(const struct writing *writing);
/* Beyond what may be in any of these spots */
uint32_t writing_next(unsigned int spot, unsigned int nr, unsigned int slot);
/* Whether this writer writes there: not everybody everywhere, so that some pages
 * are written only through a mirror, some never.
 */
bool writes_here(unsigned int slot, unsigned int spot);
/* Read, or write, that cell through at, the source's memory or a mirror. */
void look(const char *who, const void *at, int context, unsigned int spot,
	  unsigned int slot);
void put(const char *who, void *at, int context, unsigned int spot,
	 unsigned int slot, uint32_t seq);

/* ---- what happens to memory ------------------------------------------------------- */

struct discard {
	unsigned int spot, nr;
	uint32_t floors[SPOTS_MAX / 4][SLOTS];
};

void discard_begin(struct discard *discard, unsigned int spot, unsigned int nr);
/* gone: what was there before it began cannot be there any more. */
void discard_end(const struct discard *discard, bool gone);
/* The process is gone, and all who saw it. */
void discard_world(enum world world);

/* Only one may map, move or protect a page at a time: false, and another does. */
bool spots_lock(unsigned int spot, unsigned int nr);
void spots_unlock(unsigned int spot, unsigned int nr);
/* With that lock: from begin to end an access may be refused. */
void hole_begin(unsigned int spot, unsigned int nr);
void hole_end(unsigned int spot, unsigned int nr);
/* Within: from now until it is called again reads, or writes, must be. */
void hole_settled(unsigned int spot, unsigned int nr, bool unreadable);

void window_hole_begin(int context, unsigned int region);
void window_hole_end(int context, unsigned int region);
void window_settled(int context, unsigned int region);

/* ---- chance ------------------------------------------------------------------------- */

/* What each actor does is a function of the seed and its number; when, is not. */
struct dice {
	uint64_t state;
};

struct dice dice_of(uint64_t seed, uint64_t actor);
uint64_t dice_next(struct dice *dice);
unsigned int dice_roll(struct dice *dice, unsigned int sides);
unsigned int dice_spot(struct dice *dice, const struct region *region);
void nap_ms(unsigned int ms);
/* pthread_create(), which has to come about. */
void thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
/* Where processors are few: who makes things happen, before who looks */
void come_first(void);

/* ---- the actors: each a process, which returns when the run is over ------------------- */

#define MEMFD_NAME "soak"
#define MAIN_CGROUP "soak_main"

extern uint64_t soak_seed;

/* Fork one; it dies with whoever starts it. */
pid_t actor_start(void (*run)(void *arg), void *arg);
/* Its wait status; when it does not end, who is stuck where is printed. */
int actor_end(pid_t pid);

void regions_make(void);
void source_run(void *arg);
void source_live(uint32_t incarnation);
void child_run(struct dice *dice, enum world world, const unsigned int *spots,
	       unsigned int nr, struct bound (*bounds)[SLOTS]);
void third_run(void *arg);
void weather_run(void *arg);
void mortal_run(void *arg);

struct viewer {
	unsigned int number; /* in its world */
	enum world world;
	uint32_t incarnation;
	uint64_t life; /* how many of it there were before */
	bool hungry; /* it uses memory up until it is killed */
	int map[2]; /* CONTEXT_SHARED, CONTEXT_LOCKED */
	pid_t holder; /* of those: from whom they can be opened again */
};

void viewer_run(void *arg);
/* A context with a view of each region of the world, at REGION_OFFSET: 0 or
 * -errno
 */
int context_make(enum world world, int *ctrl, int *map);
#define REGION_OFFSET(region) ((uint64_t)(region) << 30)
/* Take a view away and put it back, and perhaps another for a moment. */
void view_event(struct dice *dice, int ctrl, int context, unsigned int region);
/* Read every cell, nothing happening. */
void audit(const char *who, enum world world, char *const at[REGIONS]);
/* Touch memory until the group's limit kills. */
void eat(void);

#endif /* SOAK_H */
