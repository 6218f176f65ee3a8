// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrored memory weighs nothing: no reference, no count and no fault of the
 * source comes of being looked at, and looking breaks no sharing.
 */
#include "harness.h"

#include <linux/kernel-page-flags.h>

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(weight)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(weight)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
}

FIXTURE_TEARDOWN(weight)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* Read and write every page through the mirror. */
#define LOOK_AND_WRITE()                                                     \
	do {                                                                 \
		size_t n_;                                                   \
                                                                             \
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED)); \
		for (n_ = 0; n_ < PAGES; n_++)                               \
			ASSERT_WRITES(pattern(SEED, n_), AT(n_));            \
		ASSERT_LE(PAGES, mirror_mapped(&self->mirror));              \
	} while (0)

TEST_F(weight, no_memory_is_charged_to_either_side)
{
	static const char *const keys[] = { "Rss", "Pss", "Anonymous",
					    "Shared_Clean", "Shared_Dirty" };
	uint64_t rss = process_status(self->source->pid, "VmRSS");
	uint64_t before[ARRAY_SIZE(keys)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		before[i] = smaps(self->source->pid, self->memory, keys[i]);
	LOOK_AND_WRITE();
	EXPECT_EQ(rss, process_status(self->source->pid, "VmRSS"));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_EQ(before[i],
			  smaps(self->source->pid, self->memory, keys[i]))
		TH_LOG("%s of the source", keys[i]);
		EXPECT_EQ(0, smaps(0, (uintptr_t)self->mirror.at, keys[i]))
		TH_LOG("%s of the mirror", keys[i]);
	}
}

TEST_F(weight, no_page_is_counted_twice)
{
	size_t n;

	LOOK_AND_WRITE();
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(1, page_mapcount(self->source->pid, ADDRESS(n)));
	}
}

TEST_F(weight, no_page_moves_or_faults_for_being_looked_at)
{
	uint64_t frames[PAGES], faults;
	size_t n;

	for (n = 0; n < PAGES; n++)
		frames[n] = frame(self->source->pid, ADDRESS(n));
	faults = minor_faults(self->source->pid);
	LOOK_AND_WRITE();
	ASSERT_EQ(faults, minor_faults(self->source->pid));
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(frames[n], frame(self->source->pid, ADDRESS(n)));
	}
}

TEST_F(weight, no_page_flag_remembers_the_viewer)
{
	const uint64_t mask = PAGE_FLAG(KPF_MMAP) | PAGE_FLAG(KPF_ANON) |
			      PAGE_FLAG(KPF_COMPOUND_HEAD) |
			      PAGE_FLAG(KPF_UNEVICTABLE) |
			      PAGE_FLAG(KPF_LOCKED);
	uint64_t before[PAGES];
	size_t n;

	for (n = 0; n < PAGES; n++)
		before[n] = page_flags(self->source->pid, ADDRESS(n)) & mask;
	LOOK_AND_WRITE();
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(before[n],
			  page_flags(self->source->pid, ADDRESS(n)) & mask);
	}
}

/* The amount of memory that nobody uses, in pages, for one of our cgroups */
static uint64_t cgroup_bytes(const char *folder)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/memory.current", folder);
	return number_read(path);
}

TEST_F(weight, memory_goes_back_to_the_system_when_the_source_drops_it)
{
	const size_t size = 16UL << 20;
	struct mirror mirror;
	uint64_t memory;
	const char *folder;

	folder = cgroup_create("test_weight", self->source->pid, 0);
	memory = source_anon(self->source, size, 0);
	ASSERT_EQ(0,
		  source_madvise(self->source, memory, size, MADV_NOHUGEPAGE));
	source_fill(self->source, memory, size, SEED);
	mirror = mirror_open(self->source->pid, memory, size,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(mirror.at, size, SEED));
	ASSERT_LE(size, cgroup_bytes(folder));
	ASSERT_HITS(&mirror, source_munmap(self->source, memory, size));
	/* The mirror is still mapped. Pages on their way to the LRU may be a
	 * few behind.
	 */
	WAIT_FOR(cgroup_bytes(folder) < size / 4);
	mirror_close(&mirror);
	source_kill(self->source);
	cgroup_remove("test_weight");
}

/* ---- sharing ---------------------------------------------------------------- */

TEST_F(weight, reading_does_not_break_copy_on_write)
{
	struct source *child = source_fork(self->source);
	struct mirror mirror = mirror_open(child->pid, self->memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);
	size_t n;

	/* Both mirrors may write, and only look. */
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(frame(self->source->pid, ADDRESS(n)),
			  frame(child->pid, ADDRESS(n)));
		ASSERT_EQ(2, page_mapcount(child->pid, ADDRESS(n)));
	}
	/* A write breaks it for one page. */
	ASSERT_WRITES(22, AT(2));
	ASSERT_NE(frame(self->source->pid, ADDRESS(2)),
		  frame(child->pid, ADDRESS(2)));
	ASSERT_EQ(frame(self->source->pid, ADDRESS(3)),
		  frame(child->pid, ADDRESS(3)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(weight, reading_untouched_memory_takes_the_zero_page_alone)
{
	uint64_t memory = source_anon(self->source, SIZE, 0);
	struct mirror mirror = mirror_open(self->source->pid, memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);
	uint64_t before = process_status(self->source->pid, "RssAnon");
	size_t n;

	ASSERT_EQ(0,
		  source_madvise(self->source, memory, SIZE, MADV_NOHUGEPAGE));
	for (n = 0; n < PAGES; n++)
		ASSERT_SHOWS(0, mirror.at + n * PAGE_SIZE);
	ASSERT_EQ(0, smaps(self->source->pid, memory, "Anonymous"));
	ASSERT_EQ(before, process_status(self->source->pid, "RssAnon"));
	mirror_close(&mirror);
}

/* ---- what is not mirrored ------------------------------------------------------ */

TEST_F(weight, change_of_memory_that_is_not_mirrored_calls_nobody)
{
	uint64_t received = counter(self->mirror.map, "invalidations");

	/* In the view and never touched through the mirror */
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_DONTNEED));
	ASSERT_LT(received, counter(self->mirror.map, "invalidations"));
	ASSERT_EQ(0, mirror_hits(&self->mirror));
}

TEST_F(weight, change_of_memory_beside_what_is_mirrored_calls_nobody)
{
	uint64_t hits;

	/* One page, and nothing around it. */
	ASSERT_EQ(0, madvise(self->mirror.at, SIZE, MADV_RANDOM));
	ASSERT_SHOWS(pattern(SEED, 20), AT(20));
	ASSERT_EQ(1, mirror_mapped(&self->mirror));
	hits = mirror_hits(&self->mirror);
	ASSERT_EQ(0, source_madvise(self->source, self->memory, 20 * PAGE_SIZE,
				    MADV_DONTNEED));
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(21),
				    SIZE - 21 * PAGE_SIZE, MADV_DONTNEED));
	ASSERT_EQ(hits, mirror_hits(&self->mirror));
	ASSERT_SHOWS(pattern(SEED, 20), AT(20));
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(20), PAGE_SIZE,
				    MADV_DONTNEED));
	ASSERT_EQ(hits + 1, mirror_hits(&self->mirror));
}

TEST_F(weight, change_of_memory_outside_of_all_views_calls_nobody)
{
	uint64_t other = source_mmap(self->source, 64UL << 30, SIZE,
				     PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t hits;

	/* It would change the views' memory too, in its own time. */
	numa_balancing_set(false);
	sleep(1);
	source_fill(self->source, other, SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	hits = mirror_hits(&self->mirror);
	ASSERT_EQ(0, source_madvise(self->source, other, SIZE, MADV_DONTNEED));
	EXPECT_EQ(hits, mirror_hits(&self->mirror));
}

TEST_F(weight, a_second_change_of_the_same_memory_calls_nobody)
{
	uint64_t hits;

	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	hits = mirror_hits(&self->mirror);
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_DONTNEED));
	ASSERT_EQ(hits, mirror_hits(&self->mirror));
}

TEST_F(weight, memory_is_not_counted_as_mirrored_once_the_view_is_gone)
{
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
	ASSERT_EQ(0, view_add(self->mirror.ctrl, self->memory, 0, SIZE, 0));
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_DONTNEED));
	ASSERT_EQ(0, mirror_hits(&self->mirror));
}

/* ---- views of what is resident ---------------------------------------------------- */

TEST_F(weight, resident_view_never_makes_the_source_fault)
{
	uint64_t memory = source_anon(self->source, SIZE, 0);
	struct mirror mirror;
	uint64_t faults;
	size_t n;

	for (n = 0; n < PAGES; n += 2)
		source_store(self->source, memory + n * PAGE_SIZE, n);
	mirror = mirror_open(self->source->pid, memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	faults = minor_faults(self->source->pid);
	for (n = 0; n < PAGES; n++) {
		if (n % 2) {
			ASSERT_HOLE(mirror.at + n * PAGE_SIZE);
			ASSERT_EQ(0, frame(self->source->pid,
					   memory + n * PAGE_SIZE));
		} else {
			ASSERT_SHOWS(n, mirror.at + n * PAGE_SIZE);
			ASSERT_WRITES(n + 1, mirror.at + n * PAGE_SIZE);
		}
	}
	ASSERT_EQ(faults, minor_faults(self->source->pid));
	/* What becomes resident shows. */
	source_store(self->source, memory + PAGE_SIZE, 11);
	ASSERT_SHOWS(11, mirror.at + PAGE_SIZE);
	ASSERT_EQ(0, source_madvise(self->source, memory, PAGE_SIZE,
				    MADV_DONTNEED));
	ASSERT_HOLE(mirror.at);
	ASSERT_EQ(0, frame(self->source->pid, memory));
	mirror_close(&mirror);
}

TEST_F(weight, resident_view_does_not_break_copy_on_write)
{
	struct source *child = source_fork(self->source);
	struct mirror mirror;
	uint64_t faults;

	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
	/* After the second order the source has its own stack again. */
	source_load(self->source, ADDRESS(0));
	source_load(self->source, ADDRESS(0));
	faults = minor_faults(self->source->pid);
	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	/* A write would make the source fault: a copy for it. */
	ASSERT_NOT_WRITABLE(mirror.at + 2 * PAGE_SIZE);
	ASSERT_EQ(faults, minor_faults(self->source->pid));
	ASSERT_EQ(frame(self->source->pid, ADDRESS(2)),
		  frame(child->pid, ADDRESS(2)));
	/* Once the source has its copy there is nothing to break. */
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_WRITES(23, mirror.at + 2 * PAGE_SIZE);
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(pattern(SEED, 2), source_load(child, ADDRESS(2)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_HARNESS_MAIN
