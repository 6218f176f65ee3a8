// SPDX-License-Identifier: GPL-2.0
/*
 * A mirror never shows or changes a page that the source no longer has at that
 * address: what a process itself does to its private memory and to its life.
 *
 * Each test has read through the mirror before the event, asserts that the
 * event took an installed page from it, and looks on both sides afterwards.
 */
#include "harness.h"

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(event)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(event)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_LE(PAGES, mirror_mapped(&self->mirror));
}

FIXTURE_TEARDOWN(event)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* Both sides see the source's memory and each other's writes, now. */
#define ASSERT_COHERENT(n)                                                     \
	do {                                                                   \
		source_store(self->source, ADDRESS(n), 0x5011ceULL);           \
		ASSERT_SHOWS(0x5011ceULL, AT(n));                              \
		ASSERT_WRITES(0x71e3e7ULL, AT(n));                             \
		ASSERT_EQ(0x71e3e7ULL, source_load(self->source, ADDRESS(n))); \
	} while (0)

/* ---- both sides, no event --------------------------------------------------- */

TEST_F(event, a_write_of_either_side_is_seen_by_the_other)
{
	size_t n;

	for (n = 0; n < PAGES; n++)
		ASSERT_COHERENT(n);
	/* And none touched what it was not for. */
	for (n = 0; n < PAGES; n++)
		ASSERT_SHOWS(pattern(SEED, n), AT(n) + 8);
}

TEST_F(event, a_mapped_page_costs_no_second_fault)
{
	uint64_t faults = counter(self->mirror.map, "faults");

	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(faults, counter(self->mirror.map, "faults"));
}

/* ---- copy-on-write after fork ------------------------------------------------- */

TEST_F(event, fork_write_of_parent_shows_in_its_mirror_only)
{
	struct source *child;
	struct mirror mirror;

	child = source_fork(self->source);
	mirror = mirror_open(child->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));

	ASSERT_HITS(&self->mirror, source_store(self->source, ADDRESS(3), 33));
	ASSERT_SHOWS(33, AT(3));
	ASSERT_SHOWS(pattern(SEED, 3), mirror.at + 3 * PAGE_SIZE);
	ASSERT_EQ(pattern(SEED, 3), source_load(child, ADDRESS(3)));

	/* What the viewer writes goes to the new page of the parent alone. */
	ASSERT_WRITES(34, AT(3));
	ASSERT_EQ(34, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(pattern(SEED, 3), source_load(child, ADDRESS(3)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(event, fork_write_of_child_does_not_reach_parent)
{
	struct source *child;
	struct mirror mirror;

	child = source_fork(self->source);
	mirror = mirror_open(child->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));

	ASSERT_HITS(&mirror, source_store(child, ADDRESS(3), 33));
	ASSERT_SHOWS(33, mirror.at + 3 * PAGE_SIZE);
	ASSERT_SHOWS(pattern(SEED, 3), AT(3));
	ASSERT_WRITES(34, mirror.at + 3 * PAGE_SIZE);
	ASSERT_EQ(34, source_load(child, ADDRESS(3)));
	ASSERT_EQ(pattern(SEED, 3), source_load(self->source, ADDRESS(3)));
	ASSERT_SHOWS(pattern(SEED, 3), AT(3));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(event, fork_write_of_viewer_reaches_one_process_only)
{
	struct source *child;
	struct mirror mirror;

	/* The mirror's page is installed writable when the fork comes. */
	ASSERT_WRITES(30, AT(3));
	ASSERT_WRITES(50, AT(5));
	ASSERT_HITS(&self->mirror, child = source_fork(self->source));
	mirror = mirror_open(child->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, 0);

	ASSERT_WRITES(31, AT(3));
	ASSERT_EQ(31, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(30, source_load(child, ADDRESS(3)));
	ASSERT_SHOWS(30, mirror.at + 3 * PAGE_SIZE);

	ASSERT_WRITES(51, mirror.at + 5 * PAGE_SIZE);
	ASSERT_EQ(51, source_load(child, ADDRESS(5)));
	ASSERT_EQ(50, source_load(self->source, ADDRESS(5)));
	ASSERT_SHOWS(50, AT(5));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(event, fork_leaves_the_page_to_the_survivor)
{
	struct source *child = source_fork(self->source);

	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	source_store(child, ADDRESS(2), 22);
	source_exit(child, 0);
	source_end(child);
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	/* The parent now owns the page alone and writes to it in place. */
	ASSERT_COHERENT(2);
}

TEST_F(event, fork_child_outlives_parent)
{
	struct source *child = source_fork(self->source);
	struct mirror mirror;

	mirror = mirror_open(child->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	source_kill(self->source);
	ASSERT_HOLE(AT(0));
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	ASSERT_WRITES(11, mirror.at + PAGE_SIZE);
	ASSERT_EQ(11, source_load(child, ADDRESS(1)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(event, fork_of_many_generations)
{
	struct source *generation[6];
	struct mirror mirror[6];
	size_t i, j;

	generation[0] = self->source;
	mirror[0] = self->mirror;
	for (i = 1; i < 6; i++) {
		generation[i] = source_fork(generation[i - 1]);
		mirror[i] = mirror_open(generation[i]->pid, self->memory, SIZE,
					PROT_READ | PROT_WRITE, 0);
		ASSERT_EQ(-1, pattern_differs(mirror[i].at, SIZE, SEED));
	}
	/* Each writes its own page, one by itself, the next by the viewer. */
	for (i = 0; i < 6; i++) {
		if (i % 2)
			ASSERT_WRITES(100 + i, mirror[i].at + i * PAGE_SIZE);
		else
			source_store(generation[i], ADDRESS(i), 100 + i);
	}
	for (i = 0; i < 6; i++)
		for (j = 0; j < 6; j++)
			ASSERT_SHOWS(i == j ? 100 + i : pattern(SEED, j),
				     mirror[i].at + j * PAGE_SIZE);
	for (i = 1; i < 6; i++) {
		mirror_close(&mirror[i]);
		source_end(generation[i]);
	}
}

/* ---- unmap ------------------------------------------------------------------- */

TEST_F(event, unmapped_memory_is_a_hole)
{
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, self->memory, SIZE));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(PAGES - 1));
}

TEST_F(event, partial_unmap_takes_those_pages_only)
{
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, ADDRESS(4), 3 * PAGE_SIZE));
	ASSERT_SHOWS(pattern(SEED, 3), AT(3));
	ASSERT_HOLE(AT(4));
	ASSERT_HOLE(AT(5));
	ASSERT_HOLE(AT(6));
	ASSERT_SHOWS(pattern(SEED, 7), AT(7));
	ASSERT_COHERENT(3);
	ASSERT_COHERENT(7);
}

TEST_F(event, memory_mapped_again_shows_without_a_call)
{
	uint64_t again;

	source_munmap(self->source, self->memory, SIZE);
	ASSERT_HOLE(AT(0));
	again = source_mmap(self->source, self->memory, SIZE,
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(self->memory, again);
	ASSERT_SHOWS(0, AT(1));
	source_fill(self->source, self->memory, SIZE, SEED + 1);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED + 1));
	ASSERT_COHERENT(0);
}

TEST_F(event, memory_mapped_over_shows_the_new)
{
	ASSERT_HITS(&self->mirror,
		    source_mmap(self->source, ADDRESS(2), 2 * PAGE_SIZE,
				PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(0, AT(3));
	ASSERT_SHOWS(pattern(SEED, 4), AT(4));
	ASSERT_COHERENT(2);
}

/* ---- mremap ------------------------------------------------------------------ */

static uint64_t move(struct source *source, uint64_t from, size_t from_size,
		     size_t to_size, int flags, uint64_t to)
{
	long result = source_syscall(source, SYS_mremap, from, from_size,
				     to_size, flags, to);

	if (result < 0 && result > -4096)
		fatal("mremap in the source: %s", strerror(-result));
	return result;
}

TEST_F(event, mremap_away_leaves_a_hole_and_shows_at_the_new_address)
{
	uint64_t to = source_mmap(self->source, 0, SIZE, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mirror mirror = mirror_open(self->source->pid, to, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ASSERT_HOLE(mirror.at);
	/* Writable here, so that a stale page could be written. */
	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror, move(self->source, self->memory, SIZE, SIZE,
					MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	ASSERT_SHOWS(pattern(SEED, 0), mirror.at);
	ASSERT_SHOWS(11, mirror.at + PAGE_SIZE);
	ASSERT_WRITES(12, mirror.at + PAGE_SIZE);
	ASSERT_EQ(12, source_load(self->source, to + PAGE_SIZE));
	mirror_close(&mirror);
}

TEST_F(event, mremap_onto_the_view_replaces_what_it_shows)
{
	uint64_t from = source_anon(self->source, SIZE, 0);

	source_fill(self->source, from, SIZE, SEED + 1);
	ASSERT_HITS(&self->mirror,
		    move(self->source, from, SIZE, SIZE,
			 MREMAP_MAYMOVE | MREMAP_FIXED, self->memory));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED + 1));
	ASSERT_COHERENT(1);
}

TEST_F(event, mremap_that_leaves_the_mapping_shows_it_empty)
{
	uint64_t to = source_mmap(self->source, 0, SIZE, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror,
		    move(self->source, self->memory, SIZE, SIZE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to));
	ASSERT_SHOWS(0, AT(1));
	ASSERT_WRITES(12, AT(1));
	ASSERT_EQ(12, source_load(self->source, ADDRESS(1)));
	ASSERT_EQ(11, source_load(self->source, to + PAGE_SIZE));
}

TEST_F(event, mremap_shrink_cuts_the_tail_off)
{
	ASSERT_HITS(&self->mirror, move(self->source, self->memory, SIZE,
					SIZE - 4 * PAGE_SIZE, 0, 0));
	ASSERT_SHOWS(pattern(SEED, PAGES - 5), AT(PAGES - 5));
	ASSERT_HOLE(AT(PAGES - 4));
	ASSERT_HOLE(AT(PAGES - 1));
}

TEST_F(event, mremap_grow_shows_what_was_a_hole)
{
	source_munmap(self->source, ADDRESS(8), 8 * PAGE_SIZE);
	ASSERT_HOLE(AT(8));
	move(self->source, self->memory, 8 * PAGE_SIZE, SIZE, 0, 0);
	ASSERT_SHOWS(pattern(SEED, 7), AT(7));
	ASSERT_SHOWS(0, AT(8));
	ASSERT_COHERENT(8);
}

/* ---- mprotect ------------------------------------------------------------------ */

TEST_F(event, mprotect_to_none_takes_the_page_from_the_viewer)
{
	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, self->memory,
						   SIZE, PROT_NONE));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	source_mprotect(self->source, self->memory, SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_SHOWS(pattern(SEED, 0), AT(0));
	ASSERT_SHOWS(11, AT(1));
	ASSERT_COHERENT(1);
}

TEST_F(event, mprotect_to_read_refuses_the_viewers_writes)
{
	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(1),
						   PAGE_SIZE, PROT_READ));
	ASSERT_SHOWS(11, AT(1));
	ASSERT_NOT_WRITABLE(AT(1));
	ASSERT_SHOWS(11, AT(1));
	ASSERT_EQ(11, source_load(self->source, ADDRESS(1)));
	ASSERT_COHERENT(0);
	ASSERT_COHERENT(2);
	source_mprotect(self->source, ADDRESS(1), PAGE_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_COHERENT(1);
}

TEST_F(event, mprotect_back_and_forth)
{
	int turn;

	for (turn = 0; turn < 50; turn++) {
		source_mprotect(self->source, self->memory, SIZE, PROT_READ);
		ASSERT_NOT_WRITABLE(AT(turn % PAGES));
		source_mprotect(self->source, self->memory, SIZE,
				PROT_READ | PROT_WRITE);
		ASSERT_WRITES(turn, AT(turn % PAGES));
		ASSERT_EQ(turn,
			  source_load(self->source, ADDRESS(turn % PAGES)));
	}
}

/* ---- discard --------------------------------------------------------------------- */

TEST_F(event, discarded_memory_shows_zeros)
{
	size_t n;

	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	for (n = 0; n < PAGES; n++)
		ASSERT_SHOWS(0, AT(n));
	ASSERT_COHERENT(0);
}

TEST_F(event, discarded_memory_is_not_written_by_the_viewer)
{
	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	/* The source has a new page first; the write must go to that one. */
	source_store(self->source, ADDRESS(1) + 8, 18);
	ASSERT_WRITES(12, AT(1));
	ASSERT_EQ(12, source_load(self->source, ADDRESS(1)));
	ASSERT_EQ(18, source_load(self->source, ADDRESS(1) + 8));
	/* Here the viewer's write makes the new page. */
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(0, source_load(self->source, ADDRESS(2) + 8));
}

TEST_F(event, discard_of_one_page_leaves_its_neighbours)
{
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(5),
						PAGE_SIZE, MADV_DONTNEED)));
	ASSERT_SHOWS(pattern(SEED, 4), AT(4));
	ASSERT_SHOWS(0, AT(5));
	ASSERT_SHOWS(pattern(SEED, 6), AT(6));
}

/* ---- the heap and the stack ---------------------------------------------------------- */

TEST_F(event, brk_that_shrinks_leaves_a_hole)
{
	uint64_t start = source_syscall(self->source, SYS_brk, 0);
	struct mirror mirror;

	start = (start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	ASSERT_EQ(start + SIZE,
		  source_syscall(self->source, SYS_brk, start + SIZE));
	source_fill(self->source, start, SIZE, SEED);
	mirror = mirror_open(self->source->pid, start, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	ASSERT_HITS(&mirror, source_syscall(self->source, SYS_brk,
					    start + 4 * PAGE_SIZE));
	ASSERT_SHOWS(pattern(SEED, 3), mirror.at + 3 * PAGE_SIZE);
	ASSERT_HOLE(mirror.at + 4 * PAGE_SIZE);
	ASSERT_EQ(start + SIZE,
		  source_syscall(self->source, SYS_brk, start + SIZE));
	ASSERT_SHOWS(0, mirror.at + 4 * PAGE_SIZE);
	mirror_close(&mirror);
}

static long stack_pointer(void *arg)
{
	(void)arg;
	return (long)__builtin_frame_address(0);
}

#define DEEP (1024 * 1024UL)

/* Use the stack down to DEEP bytes below. */
static long stack_grow(void *arg)
{
	volatile uint64_t deep[(DEEP + 64 * 1024) / sizeof(uint64_t)];
	size_t i;

	(void)arg;
	for (i = sizeof(deep) / sizeof(deep[0]); i > 0; i--)
		deep[i - 1] = 0x57ac;
	return (long)&deep[0];
}

TEST_F(event, stack_shows_when_it_has_grown)
{
	uint64_t top = source_call(self->source, stack_pointer, NULL, 0);
	uint64_t low = (top - DEEP) & ~(PAGE_SIZE - 1);
	uint64_t start, end, before;
	struct mirror mirror;
	char perms[5];

	ASSERT_TRUE(mapping_find(self->source->pid, "[stack]", &before, &end,
				 perms));
	ASSERT_LT(low, before);
	mirror = mirror_open(self->source->pid, low, DEEP, PROT_READ, 0);
	/* A look does not make it grow. */
	ASSERT_NOT_READABLE(mirror.at);
	ASSERT_TRUE(mapping_find(self->source->pid, "[stack]", &start, &end,
				 perms));
	ASSERT_EQ(before, start);
	ASSERT_GE(low, source_call(self->source, stack_grow, NULL, 0));
	ASSERT_SHOWS(0x57ac, mirror.at);
	mirror_close(&mirror);
}

/* ---- soft-dirty tracking ---------------------------------------------------------------- */

TEST_F(event, soft_dirty_tracking_sees_the_viewers_writes)
{
	char path[40];

	ASSERT_WRITES(11, AT(1));
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", self->source->pid);
	ASSERT_HITS(&self->mirror, text_must_write(path, "4"));
	ASSERT_EQ(0,
		  pagemap(self->source->pid, ADDRESS(1)) & PAGEMAP_SOFT_DIRTY);
	ASSERT_SHOWS(11, AT(1));
	ASSERT_EQ(0,
		  pagemap(self->source->pid, ADDRESS(1)) & PAGEMAP_SOFT_DIRTY);
	ASSERT_WRITES(12, AT(1));
	ASSERT_NE(0,
		  pagemap(self->source->pid, ADDRESS(1)) & PAGEMAP_SOFT_DIRTY);
	ASSERT_EQ(0,
		  pagemap(self->source->pid, ADDRESS(2)) & PAGEMAP_SOFT_DIRTY);
}

/* ---- the source's life --------------------------------------------------------------------- */

TEST_F(event, exit_ends_the_mirror)
{
	ASSERT_WRITES(11, AT(1));
	ASSERT_EQ(0, counter(self->mirror.map, "ended"));
	ASSERT_HITS(&self->mirror, source_exit(self->source, 7));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
}

TEST_F(event, kill_ends_the_mirror)
{
	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror, source_kill(self->source));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
}

TEST_F(event, exec_ends_the_mirror)
{
	char *argv[] = { "sleep", "1000", NULL };
	uint64_t mapped;

	ASSERT_WRITES(11, AT(1));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_exec(self->source,
					     "/usr/lib/busybox/sleep", argv)));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
	/* Nor does the new program show where its memory happens to be. */
	mapped = mirror_mapped(&self->mirror);
	ASSERT_HOLE(AT(2));
	ASSERT_EQ(mapped, mirror_mapped(&self->mirror));
	ASSERT_EQ(0, kill(self->source->pid, 0));
}

TEST_F(event, memory_shared_by_two_processes_lives_until_both_are_gone)
{
	struct source *other = source_fork_sharing_memory(self->source);

	source_kill(self->source);
	ASSERT_EQ(0, counter(self->mirror.map, "ended"));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	source_store(other, ADDRESS(1), 11);
	ASSERT_SHOWS(11, AT(1));
	ASSERT_WRITES(12, AT(1));
	ASSERT_EQ(12, source_load(other, ADDRESS(1)));
	source_kill(other);
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
	ASSERT_HOLE(AT(1));
	source_end(other);
}

TEST_F(event, exec_of_one_of_two_processes_leaves_the_mirror_to_the_other)
{
	struct source *other = source_fork_sharing_memory(self->source);
	char *argv[] = { "sleep", "1000", NULL };

	ASSERT_EQ(0, source_exec(other, "/usr/lib/busybox/sleep", argv));
	ASSERT_EQ(0, counter(self->mirror.map, "ended"));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_COHERENT(1);
	source_end(other);
}

/* Take memory until the kernel has had enough. */
static long devour(void *arg)
{
	const size_t chunk = 1024 * 1024;
	size_t at;

	(void)arg;
	for (;;) {
		volatile char *memory;

		memory = mmap(NULL, chunk, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return -ENOMEM;
		for (at = 0; at < chunk; at += PAGE_SIZE)
			memory[at] = 1;
	}
}

TEST_F(event, oom_kill_ends_the_mirror)
{
	int status;

	ASSERT_WRITES(11, AT(1));
	cgroup_create("test_oom", self->source->pid, 16 * 1024 * 1024);
	ASSERT_HITS(&self->mirror, {
		source_call_begin(self->source, devour, NULL, 0);
		ASSERT_EQ(-EPIPE, source_finish(self->source));
		status = source_reap(self->source);
	});
	cgroup_remove("test_oom");
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(1));
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
}

TEST_F(event, pid_used_again_shows_nothing)
{
	pid_t pid = self->source->pid;
	int tries;

	source_kill(self->source);
	/*
	 * Ask for that very number, as the kernel would give it one day. Somebody
	 * else may be quicker, the kernel's own threads too.
	 */
	for (tries = 0; tries < 20; tries++) {
		text_must_write("/proc/sys/kernel/ns_last_pid", "%d", pid - 1);
		self->source->pid = fork();
		if (!self->source->pid) {
			pause();
			_exit(0);
		}
		if (self->source->pid == pid)
			break;
		source_kill(self->source);
	}
	ASSERT_EQ(pid, self->source->pid);
	ASSERT_HOLE(AT(0));
	ASSERT_EQ(1, counter(self->mirror.map, "ended"));
}

TEST_HARNESS_MAIN
