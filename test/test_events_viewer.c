// SPDX-License-Identifier: GPL-2.0
/*
 * What a viewer does to its own mirrors: mirrors are found by whatever
 * invalidates them wherever they have gone, and only there.
 */
#include "harness.h"

#include <sys/ioctl.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(viewer)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(viewer)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
}

FIXTURE_TEARDOWN(viewer)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* The source's memory empties; whatever is mirrored must see it. */
#define DISCARD()                                                           \
	ASSERT_HITS(&self->mirror,                                          \
		    ASSERT_EQ(0, source_madvise(self->source, self->memory, \
						SIZE, MADV_DONTNEED)))

TEST_F(viewer, partial_unmap_of_a_mirror_leaves_the_rest_coherent)
{
	uint64_t value;

	ASSERT_EQ(0, munmap(AT(4), 4 * PAGE_SIZE));
	ASSERT_EQ(SIGSEGV, touch_read(AT(4), &value));
	ASSERT_SHOWS(pattern(SEED, 3), AT(3));
	ASSERT_SHOWS(pattern(SEED, 8), AT(8));
	DISCARD();
	ASSERT_SHOWS(0, AT(3));
	ASSERT_SHOWS(0, AT(8));
	ASSERT_WRITES(88, AT(8));
	ASSERT_EQ(88, source_load(self->source, ADDRESS(8)));
	ASSERT_EQ(SIGSEGV, touch_read(AT(4), &value));
}

TEST_F(viewer, mprotect_of_a_mirror_is_obeyed)
{
	uint64_t value;

	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(0, mprotect(AT(2), PAGE_SIZE, PROT_READ));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_EQ(SIGSEGV, touch_write(AT(2), 23));
	ASSERT_EQ(0, mprotect(AT(2), PAGE_SIZE, PROT_NONE));
	ASSERT_EQ(SIGSEGV, touch_read(AT(2), &value));
	/* The source changes the page while the viewer may not look. */
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(2), PAGE_SIZE,
				    MADV_DONTNEED));
	source_store(self->source, ADDRESS(2) + 8, 28);
	ASSERT_EQ(0, mprotect(AT(2), PAGE_SIZE, PROT_READ | PROT_WRITE));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(28, AT(2) + 8);
	ASSERT_WRITES(24, AT(2));
	ASSERT_EQ(24, source_load(self->source, ADDRESS(2)));
}

TEST_F(viewer, mprotect_to_write_does_not_write_a_shared_page)
{
	struct mirror mirror;
	struct source *child;

	/* Installed by reads, in a mapping that may not write yet, of pages that
	 * are shared with a child: the right to write must not come by mprotect.
	 */
	child = source_fork(self->source);
	mirror = mirror_open(self->source->pid, self->memory, SIZE, PROT_READ,
			     0);
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	ASSERT_EQ(0, mprotect(mirror.at, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_WRITES(22, mirror.at + 2 * PAGE_SIZE);
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(pattern(SEED, 2), source_load(child, ADDRESS(2)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(viewer, moved_mirror_stays_coherent)
{
	uint64_t value;
	char *to, *at;

	ASSERT_WRITES(22, AT(2));
	to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, to);
	at = mremap(self->mirror.at, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to);
	ASSERT_EQ(to, at);
	ASSERT_EQ(SIGSEGV, touch_read(AT(2), &value));
	ASSERT_SHOWS(22, at + 2 * PAGE_SIZE);
	DISCARD();
	ASSERT_SHOWS(0, at + 2 * PAGE_SIZE);
	ASSERT_WRITES(23, at + 2 * PAGE_SIZE);
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));
	self->mirror.at = at;
}

TEST_F(viewer, part_of_a_mirror_moves_alone)
{
	char *to, *at;

	to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, to);
	at = mremap(AT(4), 4 * PAGE_SIZE, 4 * PAGE_SIZE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, at);
	ASSERT_SHOWS(pattern(SEED, 3), AT(3));
	ASSERT_SHOWS(pattern(SEED, 4), at);
	ASSERT_SHOWS(pattern(SEED, 8), AT(8));
	DISCARD();
	ASSERT_SHOWS(0, AT(3));
	ASSERT_SHOWS(0, at);
	ASSERT_SHOWS(0, AT(8));
	ASSERT_WRITES(44, at);
	ASSERT_EQ(44, source_load(self->source, ADDRESS(4)));
}

TEST_F(viewer, two_mirrors_of_one_page_are_both_coherent)
{
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
	struct mirror third = mirror_open(self->source->pid, self->memory, SIZE,
					  PROT_READ | PROT_WRITE, 0);

	ASSERT_WRITES(22, AT(2));
	ASSERT_SHOWS(22, second + 2 * PAGE_SIZE);
	ASSERT_SHOWS(22, third.at + 2 * PAGE_SIZE);
	ASSERT_WRITES(23, second + 2 * PAGE_SIZE);
	ASSERT_WRITES(24, third.at + 2 * PAGE_SIZE);
	ASSERT_SHOWS(24, AT(2));
	DISCARD();
	ASSERT_LT(0, mirror_hits(&third));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(0, second + 2 * PAGE_SIZE);
	ASSERT_SHOWS(0, third.at + 2 * PAGE_SIZE);
	mirror_close(&third);
	ASSERT_EQ(0, munmap(second, SIZE));
}

TEST_F(viewer, one_page_in_two_views_is_coherent_in_both)
{
	char *second;

	/* The second view shows the memory shifted by one page. */
	ASSERT_EQ(0, view_add(self->mirror.ctrl, ADDRESS(1), SIZE,
			      SIZE - PAGE_SIZE, 0));
	second = mmap(NULL, SIZE - PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED, self->mirror.map, SIZE);
	ASSERT_NE(MAP_FAILED, second);
	ASSERT_WRITES(22, AT(2));
	ASSERT_SHOWS(22, second + PAGE_SIZE);
	ASSERT_WRITES(23, second + PAGE_SIZE);
	ASSERT_SHOWS(23, AT(2));
	DISCARD();
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(0, second + PAGE_SIZE);
	ASSERT_EQ(0, munmap(second, SIZE - PAGE_SIZE));
}

TEST_F(viewer, mirror_spans_views_and_holes)
{
	uint64_t other = source_anon(self->source, 2 * PAGE_SIZE, 0);
	char *at;

	source_store(self->source, other, 111);
	/* [0, SIZE) as in the fixture, a hole of four pages, two pages more */
	ASSERT_EQ(0, view_add(self->mirror.ctrl, other, SIZE + 4 * PAGE_SIZE,
			      2 * PAGE_SIZE, 0));
	at = mmap(NULL, SIZE + 8 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_SHARED, self->mirror.map, 0);
	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(-1, pattern_differs(at, SIZE, SEED));
	ASSERT_HOLE(at + SIZE);
	ASSERT_HOLE(at + SIZE + 3 * PAGE_SIZE);
	ASSERT_SHOWS(111, at + SIZE + 4 * PAGE_SIZE);
	ASSERT_HOLE(at + SIZE + 6 * PAGE_SIZE);
	/* A view added later shows in a mirror that was there before. */
	ASSERT_EQ(0, view_add(self->mirror.ctrl, other, SIZE, PAGE_SIZE, 0));
	ASSERT_SHOWS(111, at + SIZE);
	ASSERT_EQ(0, munmap(at, SIZE + 8 * PAGE_SIZE));
}

TEST_F(viewer, removed_view_takes_its_pages_before_the_call_returns)
{
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

	ASSERT_WRITES(22, AT(2));
	ASSERT_WRITES(23, second + 2 * PAGE_SIZE);
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
	ASSERT_HOLE(AT(2));
	ASSERT_HOLE(second + 2 * PAGE_SIZE);
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));
	/* Another range of the source at the same place of the map file */
	ASSERT_EQ(0, view_add(self->mirror.ctrl, ADDRESS(8), 0, PAGE_SIZE, 0));
	ASSERT_SHOWS(pattern(SEED, 8), AT(0));
	ASSERT_SHOWS(pattern(SEED, 8), second);
	ASSERT_HOLE(AT(1));
	ASSERT_EQ(0, munmap(second, SIZE));
}

TEST_F(viewer, mirror_outlives_its_files)
{
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE, 0);

	ASSERT_SHOWS(pattern(SEED, 2), mirror.at + 2 * PAGE_SIZE);
	close(mirror.ctrl);
	close(mirror.map);
	ASSERT_SHOWS(pattern(SEED, 3), mirror.at + 3 * PAGE_SIZE);
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_DONTNEED));
	ASSERT_SHOWS(0, mirror.at + 2 * PAGE_SIZE);
	ASSERT_WRITES(22, mirror.at + 2 * PAGE_SIZE);
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	source_kill(self->source);
	ASSERT_HOLE(mirror.at + 2 * PAGE_SIZE);
	ASSERT_EQ(0, munmap(mirror.at, SIZE));
}

TEST_F(viewer, one_mirror_less_takes_nothing_from_the_other)
{
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

	ASSERT_EQ(-1, pattern_differs(second, SIZE, SEED));
	ASSERT_EQ(0, munmap(second, SIZE));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	DISCARD();
	ASSERT_SHOWS(0, AT(2));
}

TEST_F(viewer, advice_on_how_much_to_map_keeps_it_coherent)
{
	static const int advices[] = { MADV_RANDOM, MADV_SEQUENTIAL,
				       MADV_NORMAL };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		DISCARD();
		source_fill(self->source, self->memory, SIZE, SEED + i);
		ASSERT_EQ(0, madvise(self->mirror.at, SIZE, advices[i]));
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED + i));
	}
}

/* ---- system calls on a mirror ------------------------------------------------------ */

TEST_F(viewer, system_calls_copy_from_and_to_a_mirror)
{
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE, 0);
	uint64_t words[PAGE_SIZE / 8];
	int fd = memfd_create("test", 0);
	size_t n;

	/* Nothing of this mirror has been touched: the copies take its faults. */
	ASSERT_EQ(SIZE, write(fd, mirror.at, SIZE));
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(PAGE_SIZE,
			  pread(fd, words, PAGE_SIZE, n * PAGE_SIZE));
		ASSERT_EQ(pattern(SEED, n), words[0]);
		ASSERT_EQ(pattern(SEED, n), words[511]);
	}
	words[0] = 22;
	ASSERT_EQ(PAGE_SIZE, pwrite(fd, words, PAGE_SIZE, 0));
	ASSERT_EQ(PAGE_SIZE, pread(fd, mirror.at, PAGE_SIZE, 0));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(0)));
	/* A hole is an error or an end, no signal. */
	source_munmap(self->source, ADDRESS(1), PAGE_SIZE);
	ASSERT_EQ(-1, pwrite(fd, mirror.at + PAGE_SIZE, 8, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, pread(fd, mirror.at + PAGE_SIZE, 8, 0));
	ASSERT_EQ(EFAULT, errno);
	close(fd);
	mirror_close(&mirror);
}

/* ---- fork of the viewer --------------------------------------------------------- */

static int child_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_F(viewer, mirrors_are_not_inherited)
{
	uint64_t value;
	pid_t child = fork();

	if (!child)
		_exit(touch_read(AT(2), &value));
	ASSERT_EQ(SIGSEGV, child_status(child));
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
}

TEST_F(viewer, mirrors_are_not_inherited_on_demand_either)
{
	uint64_t value;
	pid_t child;

	ASSERT_EQ(-1, madvise(self->mirror.at, SIZE, MADV_DOFORK));
	ASSERT_EQ(EINVAL, errno);
	child = fork();
	if (!child)
		_exit(touch_read(AT(2), &value));
	ASSERT_EQ(SIGSEGV, child_status(child));
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
}

TEST_F(viewer, child_maps_the_inherited_file_anew)
{
	uint64_t value;
	pid_t child = fork();

	if (!child) {
		char *at = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

		if (touch_read(at + 2 * PAGE_SIZE, &value) ||
		    value != pattern(SEED, 2))
			_exit(1);
		_exit(touch_write(at + 2 * PAGE_SIZE, 22));
	}
	ASSERT_EQ(0, child_status(child));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	DISCARD();
	ASSERT_SHOWS(0, AT(2));
}

/* ---- several viewers ---------------------------------------------------------------- */

#define VIEWERS 8

/* A viewer process: one step an order, then a byte as answer. */
static void many_viewer(int map, int orders, int answers)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	uint64_t wanted, value;

	if (at == MAP_FAILED)
		_exit(1);
	while (read(orders, &wanted, sizeof(wanted)) == sizeof(wanted)) {
		if (touch_read(at + 2 * PAGE_SIZE, &value) || value != wanted)
			_exit(2);
		if (write(answers, "x", 1) != 1)
			_exit(3);
	}
	_exit(0);
}

TEST_F(viewer, many_viewers_of_one_page_see_every_change)
{
	int orders[VIEWERS][2], answers[VIEWERS][2];
	pid_t viewer[VIEWERS];
	uint64_t turn;
	size_t i, j;
	char byte;

	for (i = 0; i < VIEWERS; i++) {
		ASSERT_EQ(0, pipe(orders[i]));
		ASSERT_EQ(0, pipe(answers[i]));
		viewer[i] = fork();
		if (!viewer[i]) {
			for (j = 0; j <= i; j++)
				close(orders[j][1]);
			many_viewer(self->mirror.map, orders[i][0],
				    answers[i][1]);
		}
	}
	for (turn = 1; turn <= 50; turn++) {
		if (turn % 5 == 0)
			DISCARD();
		source_store(self->source, ADDRESS(2), turn);
		for (i = 0; i < VIEWERS; i++) {
			ASSERT_EQ(sizeof(turn),
				  write(orders[i][1], &turn, sizeof(turn)));
		}
		for (i = 0; i < VIEWERS; i++) {
			ASSERT_EQ(1, read(answers[i][0], &byte, 1));
		}
		ASSERT_SHOWS(turn, AT(2));
	}
	for (i = 0; i < VIEWERS; i++)
		close(orders[i][1]);
	for (i = 0; i < VIEWERS; i++) {
		ASSERT_EQ(0, child_status(viewer[i]));
	}
}

TEST_HARNESS_MAIN
