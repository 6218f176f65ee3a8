// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that mirror each other in a ring, and each other's mirrors: what
 * one does to its memory invalidates its neighbour's mirror, which is itself
 * within a view of the next. No invalidation goes round: it ends at the second
 * step, whatever the ring's length.
 */
#include "harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#define RING_MAX 8

/*
 * The same in each process, from BASE: SIZE of memory of its own, and from
 * BASE + STRIDE a mirror of all that the next one has from BASE. So at
 * BASE + k * STRIDE it would see the memory of the k-th next, were a mirror of
 * a mirror possible.
 */
#define BASE (64UL << 30)
#define PAGES 8UL
#define SIZE (PAGES * PAGE_SIZE)
#define STRIDE (1UL << 20)
#define AREA(n) (((n) + 1) * STRIDE)

FIXTURE(ring)
{
	size_t length;
	struct source *member[RING_MAX];
	int map[RING_MAX];
};

FIXTURE_VARIANT(ring)
{
	size_t length;
	bool identity; /* views of whole address spaces (REMOTE_PROC_MAP) */
};

FIXTURE_VARIANT_ADD(ring, of_2){
	.length = 2,
};

FIXTURE_VARIANT_ADD(ring, of_3){
	.length = 3,
};

FIXTURE_VARIANT_ADD(ring, of_8){
	.length = 8,
};

FIXTURE_VARIANT_ADD(ring, of_8_whole){
	.length = 8,
	.identity = true,
};

static int map_of_all(pid_t pid)
{
	int fd = device_open(O_RDWR);

	if (fd < 0 || ioctl(fd, REMOTE_PROC_MAP, (long)pid))
		fatal("REMOTE_PROC_MAP: %m");
	return fd;
}

static int map_of_area(pid_t pid, size_t size)
{
	int ctrl, map, error;

	error = context_open(pid, O_RDWR, 0, &ctrl, &map);
	if (!error)
		error = view_add(ctrl, BASE, 0, size, 0);
	if (error)
		fatal("no context of a member: %s", strerror(-error));
	close(ctrl);
	return map;
}

FIXTURE_SETUP(ring)
{
	size_t n = self->length = variant->length, i;

	for (i = 0; i < n; i++) {
		self->member[i] = source_start();
		source_mmap(self->member[i], BASE, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		source_fill(self->member[i], BASE, SIZE, i);
		self->map[i] =
			variant->identity ?
				map_of_all(self->member[i]->pid) :
				map_of_area(self->member[i]->pid, AREA(n));
	}
	for (i = 0; i < n; i++)
		source_mmap(self->member[i], BASE + STRIDE, AREA(n),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    source_take_fd(self->member[i],
					   self->map[(i + 1) % n]),
			    variant->identity ? BASE : 0);
}

FIXTURE_TEARDOWN(ring)
{
	size_t i;

	for (i = 0; i < self->length; i++) {
		close(self->map[i]);
		source_end(self->member[i]);
	}
}

/* The member that a member mirrors */
#define NEXT(i) (((i) + 1) % self->length)
#define HITS(i) counter(self->map[i], "invalidations_hit")
#define RECEIVED(i) counter(self->map[i], "invalidations")

/* Every member sees the next one's memory and nothing further: not the one
 * after it, nor itself all the way round.
 */
static void look_around(struct __test_metadata *_metadata,
			FIXTURE_DATA(ring) * self)
{
	uint64_t value, at;
	size_t i, depth;

	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(-1,
			  source_pattern_differs(self->member[i], BASE + STRIDE,
						 SIZE, NEXT(i)));
		for (depth = 2; depth <= self->length + 1;
		     depth += self->length - 1) {
			at = BASE + depth * STRIDE;
			ASSERT_EQ(SIGBUS,
				  source_try_load(self->member[i], at, &value));
			ASSERT_EQ(SIGBUS,
				  source_try_store(self->member[i], at, 1));
		}
	}
}

TEST_F(ring, each_sees_the_next_and_nothing_further)
{
	uint64_t word;
	size_t i;

	look_around(_metadata, self);
	/* Also now that all mirrors are full. */
	look_around(_metadata, self);
	for (i = 0; i < self->length; i++) {
		word = 100 + i;
		source_store(self->member[i], BASE + STRIDE + 2 * PAGE_SIZE,
			     word);
		ASSERT_EQ(word, source_load(self->member[NEXT(i)],
					    BASE + 2 * PAGE_SIZE));
	}
}

TEST_F(ring, an_invalidation_ends_at_the_second_step)
{
	uint64_t hits[RING_MAX], received[RING_MAX];
	size_t changed, i;

	for (changed = 0; changed < self->length; changed++) {
		look_around(_metadata, self);
		for (i = 0; i < self->length; i++) {
			hits[i] = HITS(i);
			received[i] = RECEIVED(i);
		}
		ASSERT_EQ(0, source_madvise(self->member[changed], BASE, SIZE,
					    MADV_DONTNEED));
		for (i = 0; i < self->length; i++) {
			/* The member's own mirrors are hit; the member before
			 * it is told that its mirror was emptied, and mirrors
			 * of that there are none.
			 */
			ASSERT_EQ(hits[i] + (i == changed), HITS(i));
			if (i == changed || NEXT(i) == changed)
				ASSERT_LT(received[i], RECEIVED(i));
		}
		source_fill(self->member[changed], BASE, SIZE, changed);
	}
}

/* All of them do the same at the same time. */
static void all_do(FIXTURE_DATA(ring) * self, long nr, const long args[6])
{
	size_t i;

	for (i = 0; i < self->length; i++)
		source_syscall_begin(self->member[i], nr, args);
	for (i = 0; i < self->length; i++)
		if (source_finish(self->member[i]) < 0)
			fatal("system call %ld failed in member %zu", nr, i);
}

static void all_fill(FIXTURE_DATA(ring) * self)
{
	size_t i;

	for (i = 0; i < self->length; i++)
		source_fill(self->member[i], BASE, SIZE, i);
}

TEST_F(ring, all_discard_at_once)
{
	const long discard[6] = { BASE, SIZE, MADV_DONTNEED };
	size_t i;
	int turn;

	for (turn = 0; turn < 5; turn++) {
		all_fill(self);
		look_around(_metadata, self);
		all_do(self, SYS_madvise, discard);
		for (i = 0; i < self->length; i++) {
			ASSERT_EQ(0,
				  source_load(self->member[i], BASE + STRIDE));
		}
	}
}

TEST_F(ring, all_unmap_and_map_at_once)
{
	const long unmap[6] = { BASE, SIZE };
	const long map[6] = { BASE,
			      SIZE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			      -1,
			      0 };
	uint64_t value;
	size_t i;
	int turn;

	for (turn = 0; turn < 5; turn++) {
		look_around(_metadata, self);
		all_do(self, SYS_munmap, unmap);
		for (i = 0; i < self->length; i++) {
			ASSERT_EQ(SIGBUS,
				  source_try_load(self->member[i],
						  BASE + STRIDE, &value));
		}
		all_do(self, SYS_mmap, map);
		all_fill(self);
	}
}

TEST_F(ring, all_unmap_memory_and_mirror_at_once)
{
	const long unmap[6] = { BASE, STRIDE + AREA(self->length) };

	look_around(_metadata, self);
	all_do(self, SYS_munmap, unmap);
}

TEST_F(ring, all_fork_at_once)
{
	struct source *child[RING_MAX];
	size_t i;

	look_around(_metadata, self);
	for (i = 0; i < self->length; i++) {
		child[i] = source_fork(self->member[i]);
		source_store(self->member[i], BASE, 1000 + i);
	}
	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(1000 + NEXT(i),
			  source_load(self->member[i], BASE + STRIDE));
		ASSERT_EQ(pattern(i, 0), source_load(child[i], BASE));
		source_end(child[i]);
	}
}

TEST_F(ring, all_exit_at_once)
{
	const long code[6] = { 0 };
	size_t i;

	look_around(_metadata, self);
	for (i = 0; i < self->length; i++)
		source_syscall_begin(self->member[i], SYS_exit_group, code);
	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(0, source_reap(self->member[i]));
	}
	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(1, counter(self->map[i], "ended"));
	}
}

TEST_F(ring, all_are_killed_at_once)
{
	size_t i;

	look_around(_metadata, self);
	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(0, kill(self->member[i]->pid, SIGKILL));
	}
	for (i = 0; i < self->length; i++) {
		ASSERT_EQ(SIGKILL, WTERMSIG(source_reap(self->member[i])));
	}
}

TEST_F(ring, one_leaves_and_the_rest_goes_on)
{
	uint64_t value;

	look_around(_metadata, self);
	source_kill(self->member[0]);
	ASSERT_EQ(SIGBUS, source_try_load(self->member[self->length - 1],
					  BASE + STRIDE, &value));
	if (self->length == 2)
		return;
	ASSERT_EQ(-1, source_pattern_differs(self->member[1], BASE + STRIDE,
					     SIZE, 2));
	source_store(self->member[1], BASE + STRIDE, 22);
	ASSERT_EQ(22, source_load(self->member[2], BASE));
}

/* In a member: a while of everything at once. The word that it shows to the
 * member before it only grows, or is 0 for a moment.
 */
static long churn(void *arg)
{
	const uint64_t *seconds = arg;
	struct deadline deadline = deadline_in(*seconds);
	volatile uint64_t *own = (uint64_t *)BASE;
	volatile uint64_t *nexts = (uint64_t *)(BASE + STRIDE);
	uint64_t turn, seen, last = 0, value;
	int raised;

	*own = 1;
	/* So long, or so often, whichever is more */
	for (turn = 2; turn <= 20 || !deadline_passed(&deadline); turn++) {
		if (touch_read(nexts, &seen))
			return -EFAULT;
		/* Those that all began with, from before the churn */
		if (seen && seen < 1000000) {
			if (seen < last)
				return -ERANGE;
			last = seen;
		}
		/* A mirror's mirror is looked at in vain. */
		if (touch_read((void *)(BASE + 2 * STRIDE), &value) != SIGBUS)
			return -EEXIST;
		/* Another word than the one that the next counts in; refused
		 * while the next may not write there itself
		 */
		raised = touch_write(nexts + 1 + turn % 100, turn);
		if (raised && raised != SIGBUS)
			return -EFAULT;
		switch (turn % 4) {
		case 0:
			madvise((void *)BASE, SIZE, MADV_DONTNEED);
			break;
		case 1:
			mprotect((void *)BASE, SIZE, PROT_READ);
			mprotect((void *)BASE, SIZE, PROT_READ | PROT_WRITE);
			break;
		case 2:
			madvise((void *)BASE, SIZE, MADV_COLD);
			break;
		}
		*own = turn;
	}
	return 0;
}

TEST_F_TIMEOUT(ring, all_do_everything_at_once, 120)
{
	uint64_t seconds = 2, member;
	size_t i;

	for (i = 0; i < self->length; i++)
		source_store(self->member[i], BASE, 1);
	for (i = 0; i < self->length; i++)
		source_call_begin(self->member[i], churn, &seconds,
				  sizeof(seconds));
	for (member = 0; member < self->length; member++) {
		EXPECT_EQ(0, source_finish(self->member[member]));
	}
	for (i = 0; i < self->length; i++) {
		ASSERT_LT(0, HITS(i));
	}
}

TEST_HARNESS_MAIN
