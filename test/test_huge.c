// SPDX-License-Identifier: GPL-2.0
/*
 * Where the source has a huge page, one entry of 2 MiB shows it: what holds of
 * pages of 4 KiB holds of that entry, whatever either side does to all of it or
 * to a part. Each test sees by the counters that the entry was a huge one.
 */
#include "harness.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* The memory of each test: three huge pages, so that one has neighbours */
#define SPAN 512UL
#define HUGES 3UL
#define PAGES (HUGES * SPAN)
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

/* ---- kinds of memory -------------------------------------------------------- */

/**
 * struct kind - memory that comes in huge pages
 * @hugetlb: from the pool: it is never split
 * @shared: memory of a file: a child has the same, not a copy
 * @proof: what smaps calls it as long as it is mapped as huge pages, if it may
 * be otherwise
 */
struct kind {
	bool hugetlb;
	bool shared;
	const char *proof;
};

#define ANONYMOUS                        \
	{                                \
		.proof = "AnonHugePages" \
	}
#define SHMEM                                             \
	{                                                 \
		.shared = true, .proof = "ShmemPmdMapped" \
	}
#define HUGETLB_PRIVATE         \
	{                       \
		.hugetlb = true \
	}
#define HUGETLB_SHARED                          \
	{                                       \
		.hugetlb = true, .shared = true \
	}

/* Room in the pool for the memory, its copies, and as much on the other node */
#define POOL 16

#define TMPFS "/tmp/huge"

static int tmpfs_file(void)
{
	int fd;

	mkdir(TMPFS, 0700);
	if (mount("none", TMPFS, "tmpfs", 0, "huge=always"))
		fatal("tmpfs: %m");
	fd = open(TMPFS, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	/* The file keeps it for as long as it is needed. */
	if (umount2(TMPFS, MNT_DETACH))
		fatal("umount: %m");
	return fd;
}

/* The file of that kind of memory, or -1 */
static int kind_file(const struct kind *kind)
{
	int fd;

	if (!kind->shared)
		return -1;
	fd = kind->hugetlb ? memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB) :
			     tmpfs_file();
	if (fd < 0 || ftruncate(fd, SIZE))
		fatal("a file of huge pages: %m");
	return fd;
}

/* Map [offset, offset + size) of it in a process; address 0: aligned to 2 MiB */
static uint64_t kind_map(const struct kind *kind, struct source *source, int fd,
			 uint64_t address, size_t size, uint64_t offset)
{
	int flags = MAP_FIXED |
		    (kind->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);

	if (!address)
		address = source_anon_aligned(source, size);
	if (kind->hugetlb && !kind->shared)
		flags |= MAP_HUGETLB;
	source_mmap(source, address, size, PROT_READ | PROT_WRITE, flags,
		    kind->shared ? source_take_fd(source, fd) : -1, offset);
	if (!kind->hugetlb &&
	    source_madvise(source, address, size, MADV_HUGEPAGE))
		fatal("MADV_HUGEPAGE");
	return address;
}

/* ---- the fixtures ----------------------------------------------------------- */

/* part: where the source may give up a part of its second huge page, or of a
 * hugetlb page all; both in pages
 */
#define SCENE                    \
	const struct kind *kind; \
	struct source *source;   \
	uint64_t memory;         \
	int fd;                  \
	struct mirror mirror;    \
	size_t part;             \
	size_t part_pages;       \
	uint64_t khugepaged_sleep

struct scene {
	SCENE;
};

#define KHUGEPAGED_SLEEP                       \
	"/sys/kernel/mm/transparent_hugepage/" \
	"khugepaged/scan_sleep_millisecs"

/* What the kernel does when it feels like it would be counted too. */
static void scene_quieten(struct scene *self)
{
	numa_balancing_set(false);
	self->khugepaged_sleep = number_read(KHUGEPAGED_SLEEP);
	text_must_write(KHUGEPAGED_SLEEP, "3600000");
}

static void scene_wake(const struct scene *self)
{
	text_must_write(KHUGEPAGED_SLEEP, "%lu",
			(unsigned long)self->khugepaged_sleep);
}

static bool is_all_huge(const struct scene *self)
{
	const char *proof = self->kind->proof;

	return !proof ||
	       smaps(self->source->pid, self->memory, proof) * 1024 >= SIZE;
}

/* The kernel that checks page tables lets no huge entry of anonymous memory be
 * written: there it enters page by page. Said on the command line, since the
 * kernel tells nobody.
 */
static bool page_tables_checked(void)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "r");

	if (!file || !fgets(line, sizeof(line), file))
		fatal("/proc/cmdline: %m");
	fclose(file);
	return strstr(line, "page_table_check=on") &&
	       !strstr(line, "page_table_check=off");
}

static void scene_open(struct __test_metadata *_metadata, struct scene *self,
		       const struct kind *kind)
{
	if (!kind->shared && page_tables_checked())
		SKIP(return, "page tables are checked");
	if (kind->hugetlb && !hugetlb_reserve(POOL))
		SKIP(return, "no memory for %d huge pages", POOL);
	self->kind = kind;
	self->part = kind->hugetlb ? SPAN : SPAN + 100;
	self->part_pages = kind->hugetlb ? SPAN : 1;
	scene_quieten(self);
	self->source = source_start();
	self->fd = kind_file(kind);
	self->memory = kind_map(kind, self->source, self->fd, 0, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	/* Memory was too much in pieces. */
	if (!is_all_huge(self))
		ASSERT_EQ(0, collapse(self->source, self->memory, SIZE));
	ASSERT_TRUE(is_all_huge(self));
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
}

static void scene_close(struct scene *self)
{
	/* Not opened where the fixture was skipped */
	if (!self->source)
		return;
	mirror_close(&self->mirror);
	source_end(self->source);
	if (self->kind->shared)
		close(self->fd);
	if (self->kind->hugetlb)
		hugetlb_reserve(0);
	scene_wake(self);
}

/* A fixture whose members are at once a struct scene for shared functions */
#define SCENE_FIXTURE(name)                                          \
	FIXTURE(name)                                                \
	{                                                            \
		union {                                              \
			struct scene scene;                          \
			struct {                                     \
				SCENE;                               \
			};                                           \
		};                                                   \
	};                                                           \
	FIXTURE_VARIANT(name)                                        \
	{                                                            \
		struct kind kind;                                    \
	};                                                           \
	FIXTURE_SETUP(name)                                          \
	{                                                            \
		scene_open(_metadata, &self->scene, &variant->kind); \
	}                                                            \
	FIXTURE_TEARDOWN(name)                                       \
	{                                                            \
		scene_close(&self->scene);                           \
	}

/* clang-format off */
SCENE_FIXTURE(huge)
FIXTURE_VARIANT_ADD(huge, anonymous) { .kind = ANONYMOUS };
FIXTURE_VARIANT_ADD(huge, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(huge, hugetlb_private) { .kind = HUGETLB_PRIVATE };
FIXTURE_VARIANT_ADD(huge, hugetlb_shared) { .kind = HUGETLB_SHARED };

/* What may be split */
SCENE_FIXTURE(thp)
FIXTURE_VARIANT_ADD(thp, anonymous) { .kind = ANONYMOUS };
FIXTURE_VARIANT_ADD(thp, shmem) { .kind = SHMEM };

/* What others may have too */
SCENE_FIXTURE(file)
FIXTURE_VARIANT_ADD(file, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(file, hugetlb) { .kind = HUGETLB_SHARED };

SCENE_FIXTURE(anon)
FIXTURE_VARIANT_ADD(anon, memory) { .kind = ANONYMOUS };

SCENE_FIXTURE(pool)
FIXTURE_VARIANT_ADD(pool, private) { .kind = HUGETLB_PRIVATE };
/* clang-format on */

/* What one process wrote to the page is in the other process too, or not. */
#define OTHERS(value, n) (self->kind->shared ? (value) : pattern(SEED, (n)))

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* The first of [first, first + pages) that does not show what the source was
 * filled with, at the beginning and at the end; or -1
 */
static long differs(const char *at, size_t first, size_t pages)
{
	uint64_t value;
	size_t n;

	for (n = 0; n < pages; n++, at += PAGE_SIZE) {
		if (touch_read(at, &value) || value != pattern(SEED, first + n))
			return first + n;
		if (touch_read(at + PAGE_SIZE - 8, &value) ||
		    value != pattern(SEED, first + n))
			return first + n;
	}
	return -1;
}

#define ASSERT_SAME(at, first, pages) \
	ASSERT_EQ(-1, differs((at), (first), (pages)))

/* The statement makes so many huge pages enter a mirror of that file. */
#define ASSERT_HUGE(nr, map, statement)                                      \
	do {                                                                 \
		uint64_t huge_ = counter((map), "huge_pages_mapped");        \
		statement;                                                   \
		ASSERT_EQ(huge_ + (nr), counter((map), "huge_pages_mapped")) \
		TH_LOG("%lu were to enter: %s", (unsigned long)(nr),         \
		       #statement);                                          \
	} while (0)

/* The statement needs so many faults. */
#define ASSERT_FAULTS(nr, map, statement)                           \
	do {                                                        \
		uint64_t faults_ = counter((map), "faults");        \
		statement;                                          \
		ASSERT_EQ(faults_ + (nr), counter((map), "faults")) \
		TH_LOG("%s", #statement);                           \
	} while (0)

#define ASSERT_COHERENT(n)                                                     \
	do {                                                                   \
		source_store(self->source, ADDRESS(n), 0x5011ceULL);           \
		ASSERT_SHOWS(0x5011ceULL, AT(n));                              \
		ASSERT_WRITES(0x71e3e7ULL, AT(n));                             \
		ASSERT_EQ(0x71e3e7ULL, source_load(self->source, ADDRESS(n))); \
	} while (0)

/* All of the memory is in the mirror, by huge pages, and may be written there,
 * so that a stale page could be.
 */
static void enter(struct __test_metadata *_metadata, struct scene *self)
{
	size_t n;

	ASSERT_HUGE(HUGES, self->mirror.map,
		    ASSERT_SAME(self->mirror.at, 0, PAGES));
	for (n = 0; n < PAGES; n += SPAN)
		ASSERT_WRITES(pattern(SEED, n), AT(n));
	ASSERT_FAULTS(0, self->mirror.map, {
		for (n = 0; n < PAGES; n++)
			ASSERT_WRITES(pattern(SEED, n), AT(n));
	});
}

#define ENTER() enter(_metadata, &self->scene)

/* What was not concerned is still in the mirror. */
#define ASSERT_UNTOUCHED(first, pages)     \
	ASSERT_FAULTS(0, self->mirror.map, \
		      ASSERT_SAME(AT(first), (first), (pages)))

/* The source has all that a viewer wrote without pause. */
static void assert_none_lost(struct __test_metadata *_metadata,
			     struct scene *self, struct hammer *hammer)
{
	size_t n;

	WAIT_FOR(hammer_rounds(hammer) > 10);
	hammer_stop(hammer);
	for (n = 0; n < PAGES; n++) {
		ASSERT_EQ(hammer_count(hammer, n),
			  source_load(self->source, ADDRESS(n)));
	}
	hammer_free(hammer);
}

/* A context of its own with one view: its map file */
static int map_of(struct source *source, uint64_t address, uint64_t offset,
		  size_t size, uint32_t flags)
{
	int ctrl, map, error;

	error = context_open(source->pid, O_RDWR, 0, &ctrl, &map);
	if (!error)
		error = view_add(ctrl, address, offset, size, flags);
	if (error)
		fatal("no view: %s", strerror(-error));
	close(ctrl);
	return map;
}

/* Address space that agrees with that address modulo 2 MiB */
static char *reserve(uint64_t address, size_t size)
{
	char *area = mmap(NULL, size + PMD_SIZE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		fatal("no room: %m");
	return area + ((address - (uintptr_t)area) & (PMD_SIZE - 1));
}

/* A mirror that agrees with that address modulo 2 MiB */
static char *map_like(uint64_t address, int map, uint64_t offset, size_t size)
{
	char *at = reserve(address, size);

	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, map,
		 offset) != at)
		fatal("mmap of a map file: %m");
	return at;
}

/* ---- what enters as a huge page ---------------------------------------------- */

TEST_F(huge, one_look_maps_all_of_it)
{
	int map = self->mirror.map;
	size_t n;

	for (n = 0; n < PAGES; n += SPAN) {
		uint64_t mapped = mirror_mapped(&self->mirror);

		ASSERT_FAULTS(1, map,
			      ASSERT_HUGE(1, map,
					  ASSERT_SHOWS(pattern(SEED, n + 100),
						       AT(n + 100))));
		ASSERT_EQ(mapped + SPAN, mirror_mapped(&self->mirror));
		ASSERT_UNTOUCHED(n, SPAN);
	}
}

TEST_F(huge, one_write_maps_all_of_it)
{
	int map = self->mirror.map;
	size_t n;

	ASSERT_FAULTS(1, map, ASSERT_HUGE(1, map, ASSERT_WRITES(1, AT(100))));
	ASSERT_FAULTS(0, map, {
		for (n = 0; n < SPAN; n++)
			ASSERT_WRITES(1000 + n, AT(n));
	});
	for (n = 0; n < SPAN; n++) {
		ASSERT_EQ(1000 + n, source_load(self->source, ADDRESS(n)));
	}
	ASSERT_EQ(pattern(SEED, SPAN),
		  source_load(self->source, ADDRESS(SPAN)));
	ASSERT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, first_write_after_a_look_makes_all_of_it_writable)
{
	/* The source's own may be written from the first look on. */
	bool own = !self->kind->hugetlb && !self->kind->shared;
	int map = self->mirror.map;
	size_t n;

	ASSERT_HUGE(1, map, ASSERT_SAME(AT(0), 0, SPAN));
	ASSERT_HUGE(!own, map, ASSERT_WRITES(1, AT(100)));
	ASSERT_EQ(1, source_load(self->source, ADDRESS(100)));
	ASSERT_FAULTS(0, map, {
		for (n = 0; n < SPAN; n++)
			ASSERT_WRITES(pattern(SEED, n), AT(n));
	});
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory,
					     PMD_SIZE, SEED));
	ASSERT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, a_write_of_either_side_is_seen_by_the_other)
{
	size_t n;

	ENTER();
	ASSERT_FAULTS(0, self->mirror.map, {
		for (n = 0; n < PAGES; n += 37)
			ASSERT_COHERENT(n);
	});
	ASSERT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, advice_on_how_much_to_map_is_none_on_huge_pages)
{
	static const int advices[] = { MADV_RANDOM, MADV_SEQUENTIAL,
				       MADV_NORMAL };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		char *at = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

		ASSERT_EQ(0, madvise(at, SIZE, advices[i]));
		ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(at, 0, PAGES));
	}
}

TEST_F(huge, enters_whatever_its_offset_in_the_map_file)
{
	uint64_t offset = 77 * PAGE_SIZE;
	int map = map_of(self->source, self->memory, offset, SIZE, 0);
	char *at = map_like(self->memory, map, offset, SIZE);

	ASSERT_HUGE(HUGES, map, ASSERT_SAME(at, 0, PAGES));
	ASSERT_WRITES(1, at + 700 * PAGE_SIZE);
	/* And is found by that offset when it has to go. */
	source_mprotect(self->source, ADDRESS(SPAN), PMD_SIZE, PROT_NONE);
	ASSERT_HOLE(at + 700 * PAGE_SIZE);
	ASSERT_SAME(at, 0, SPAN);
}

TEST_F(huge, a_readonly_view_shows_it_and_refuses_writes)
{
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE,
					   PIDFD_MEM_MAP_READONLY);

	/* As the first access, and after a look */
	ASSERT_NOT_WRITABLE(mirror.at);
	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	ASSERT_NOT_WRITABLE(mirror.at);
	ASSERT_NOT_WRITABLE(mirror.at + 700 * PAGE_SIZE);
	/* Also where another mirror may write */
	ENTER();
	ASSERT_NOT_WRITABLE(mirror.at + 700 * PAGE_SIZE);
	ASSERT_SAME(mirror.at, 0, PAGES);
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	source_store(self->source, ADDRESS(700), 1);
	ASSERT_SHOWS(1, mirror.at + 700 * PAGE_SIZE);
	mirror_close(&mirror);
}

TEST_F(huge, a_map_file_for_reading_shows_it_and_takes_no_writes)
{
	struct mirror mirror =
		mirror_open_readonly(self->source->pid, self->memory, SIZE);

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	ASSERT_EQ(SIGSEGV, touch_write(mirror.at, 1));
	ASSERT_EQ(-1, mprotect(mirror.at, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(EACCES, errno);
	ASSERT_SAME(mirror.at, 0, PAGES);
	source_store(self->source, ADDRESS(700), 1);
	ASSERT_SHOWS(1, mirror.at + 700 * PAGE_SIZE);
	mirror_close(&mirror);
}

TEST_F(huge, a_resident_view_shows_what_is_there_and_makes_nothing)
{
	uint64_t fresh =
		kind_map(self->kind, self->source,
			 self->kind->shared ? kind_file(self->kind) : -1, 0,
			 PMD_SIZE, 0);
	struct mirror mirror = mirror_open(self->source->pid, fresh, PMD_SIZE,
					   PROT_READ | PROT_WRITE,
					   PIDFD_MEM_MAP_RESIDENT);
	uint64_t faults = minor_faults(self->source->pid);

	ASSERT_HOLE(mirror.at);
	ASSERT_HOLE(mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(0, frame(self->source->pid, fresh));
	ASSERT_EQ(faults, minor_faults(self->source->pid));
	source_fill(self->source, fresh, PMD_SIZE, SEED);
	ASSERT_HUGE(1, mirror.map, ASSERT_SAME(mirror.at, 0, SPAN));
	ASSERT_WRITES(1, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(1, source_load(self->source, fresh + 100 * PAGE_SIZE));
	mirror_close(&mirror);
}

TEST_F(huge, a_resident_view_does_not_break_copy_on_write)
{
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE,
					   PIDFD_MEM_MAP_RESIDENT);
	struct source *child;
	uint64_t before;

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	child = source_fork(self->source);
	before = frame(self->source->pid, ADDRESS(100));
	if (self->kind->shared)
		ASSERT_WRITES(1, mirror.at + 100 * PAGE_SIZE);
	else
		ASSERT_NOT_WRITABLE(mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(before, frame(self->source->pid, ADDRESS(100)));
	/* The source's write breaks it, and then there is nothing to break. */
	source_store(self->source, ADDRESS(100), 2);
	ASSERT_WRITES(3, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(3, source_load(self->source, ADDRESS(100)));
	ASSERT_EQ(OTHERS(3, 100), source_load(child, ADDRESS(100)));
	mirror_close(&mirror);
	source_end(child);
}

/* ---- what enters page by page -------------------------------------------------- */

TEST_F(huge, enters_page_by_page_where_the_addresses_disagree)
{
	int map = self->mirror.map;
	char *at = map_like(self->memory + PAGE_SIZE, map, 0, SIZE);

	ASSERT_HUGE(0, map, ASSERT_SAME(at, 0, PAGES));
	ASSERT_WRITES(1, at + 700 * PAGE_SIZE);
	ASSERT_EQ(1, source_load(self->source, ADDRESS(700)));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(SPAN),
						   PMD_SIZE, PROT_NONE));
	ASSERT_HOLE(at + 700 * PAGE_SIZE);
	ASSERT_SAME(at, 0, SPAN);
}

TEST_F(huge, enters_page_by_page_in_a_view_that_lacks_a_page)
{
	size_t size = PMD_SIZE - PAGE_SIZE;
	int map = map_of(self->source, self->memory, 0, size, 0);
	char *at = map_like(self->memory, map, 0, PMD_SIZE);

	/* The last */
	ASSERT_HUGE(0, map, ASSERT_SAME(at, 0, SPAN - 1));
	ASSERT_HOLE(at + size);
	ASSERT_WRITES(1, at);
	ASSERT_EQ(1, source_load(self->source, self->memory));
	/* The first */
	map = map_of(self->source, ADDRESS(SPAN + 1), PAGE_SIZE, size, 0);
	at = map_like(self->memory, map, 0, PMD_SIZE);
	ASSERT_HUGE(0, map, ASSERT_SAME(at + PAGE_SIZE, SPAN + 1, SPAN - 1));
	ASSERT_HOLE(at);
}

TEST_F(huge, enters_page_by_page_in_two_views_of_a_half)
{
	size_t half = PMD_SIZE / 2;
	int ctrl, map;
	char *at;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, half, 0));
	ASSERT_EQ(0, view_add(ctrl, self->memory + half, half, half, 0));
	at = map_like(self->memory, map, 0, PMD_SIZE);
	ASSERT_HUGE(0, map, ASSERT_SAME(at, 0, SPAN));
	/* One of them goes: the other's pages stay. */
	ASSERT_EQ(0, view_remove(ctrl, half, half));
	ASSERT_FAULTS(0, map, ASSERT_SAME(at, 0, SPAN / 2));
	ASSERT_HOLE(at + half);
}

TEST_F(huge, enters_page_by_page_in_a_mirror_that_lacks_a_page)
{
	size_t size = PMD_SIZE - PAGE_SIZE;
	int map = self->mirror.map;
	char *at = map_like(self->memory, map, 0, size);

	/* The last */
	ASSERT_HUGE(0, map, ASSERT_SAME(at, 0, SPAN - 1));
	ASSERT_WRITES(1, at);
	ASSERT_EQ(1, source_load(self->source, self->memory));
	/* The first */
	at = map_like(self->memory + PAGE_SIZE, map, PMD_SIZE + PAGE_SIZE,
		      size);
	ASSERT_HUGE(0, map, ASSERT_SAME(at, SPAN + 1, SPAN - 1));
}

TEST_F(huge, the_ends_of_a_view_enter_page_by_page_what_is_between_at_once)
{
	uint64_t begin = 300, end = PAGES - 1;
	size_t size = (end - begin) * PAGE_SIZE;
	int map = map_of(self->source, ADDRESS(begin), 0, size, 0);
	char *at = map_like(ADDRESS(begin), map, 0, size);

	ASSERT_HUGE(0, map, ASSERT_SAME(at, begin, SPAN - begin));
	at += (SPAN - begin) * PAGE_SIZE;
	ASSERT_HUGE(1, map, ASSERT_SAME(at, SPAN, SPAN));
	at += PMD_SIZE;
	ASSERT_HUGE(0, map, ASSERT_SAME(at, 2 * SPAN, SPAN - 1));
}

TEST_F(thp, enters_page_by_page_where_the_source_maps_it_so)
{
	int map = self->mirror.map;

	/* It stays one huge page, under a page table. */
	source_mprotect(self->source, ADDRESS(SPAN + 100), PAGE_SIZE,
			PROT_READ);
	ASSERT_HUGE(2, map, ASSERT_SAME(AT(0), 0, PAGES));
	ASSERT_NOT_WRITABLE(AT(SPAN + 100));
	ASSERT_COHERENT(SPAN + 99);
	ASSERT_COHERENT(SPAN + 101);
}

TEST_F(thp, enters_page_by_page_where_the_source_maps_a_part)
{
	int map = self->mirror.map;

	source_munmap(self->source, ADDRESS(SPAN), PAGE_SIZE);
	ASSERT_HUGE(0, map, ASSERT_SAME(AT(SPAN + 1), SPAN + 1, SPAN - 1));
	ASSERT_HOLE(AT(SPAN));
	ASSERT_COHERENT(SPAN + 1);
}

TEST_F(anon, the_huge_zero_page_enters_page_by_page)
{
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);
	struct mirror mirror;
	size_t n;

	ASSERT_EQ(0, source_madvise(self->source, memory, PMD_SIZE,
				    MADV_HUGEPAGE));
	ASSERT_EQ(0, source_load(self->source, memory));
	/* It is there, all of it. */
	ASSERT_NE(0, frame(self->source->pid, memory + 511 * PAGE_SIZE));
	mirror = mirror_open(self->source->pid, memory, PMD_SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_HUGE(0, mirror.map, {
		for (n = 0; n < SPAN; n++)
			ASSERT_SHOWS(0, mirror.at + n * PAGE_SIZE);
	});
	ASSERT_LE(SPAN, mirror_mapped(&mirror));
	/* The source's write makes it a huge page, or a small one. */
	ASSERT_HITS(&mirror, source_store(self->source, memory, 1));
	ASSERT_SHOWS(1, mirror.at);
	ASSERT_SHOWS(0, mirror.at + PAGE_SIZE);
	mirror_close(&mirror);
}

/* ---- where the kernel puts a mirror --------------------------------------------- */

TEST_F(huge, mmap_without_an_address_agrees_with_the_source)
{
	static const size_t firsts[] = { 0, 1, 255, 511, 512 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(firsts); i++) {
		uint64_t offset = i * 5 * PAGE_SIZE;
		size_t size = SIZE - firsts[i] * PAGE_SIZE;
		size_t whole = firsts[i] > SPAN ? 2 * SPAN : SPAN;
		int map = map_of(self->source, ADDRESS(firsts[i]), offset, size,
				 0);
		char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				map, offset);

		ASSERT_NE(MAP_FAILED, at);
		ASSERT_EQ(ADDRESS(firsts[i]) % PMD_SIZE,
			  (uintptr_t)at % PMD_SIZE);
		at += (whole - firsts[i]) * PAGE_SIZE;
		ASSERT_HUGE(1, map, ASSERT_SAME(at, whole, SPAN));
	}
}

TEST_F(huge, mmap_without_an_address_agrees_with_the_first_view_in_it)
{
	uint64_t offset = 33 * PAGE_SIZE;
	int map = map_of(self->source, self->memory, offset, SIZE, 0);
	char *at = mmap(NULL, SIZE + offset, PROT_READ | PROT_WRITE, MAP_SHARED,
			map, 0);

	ASSERT_NE(MAP_FAILED, at);
	ASSERT_HOLE(at);
	ASSERT_HUGE(HUGES, map, ASSERT_SAME(at + offset, 0, PAGES));
}

TEST_F(huge, mmap_with_a_fixed_address_goes_there)
{
	char *room = reserve(self->memory + PAGE_SIZE, SIZE);
	int map = self->mirror.map;

	ASSERT_EQ(room,
		  mmap(room, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, map, 0));
	ASSERT_HUGE(0, map, ASSERT_SAME(room, 0, PAGES));
}

/* ---- fork of the source ------------------------------------------------------------ */

/* A child comes into being: what it has of the source's own leaves the mirror,
 * and is there again, for reading.
 */
static struct source *fork_beside(struct __test_metadata *_metadata,
				  struct scene *self)
{
	struct source *child;

	enter(_metadata, self);
	if (self->kind->shared)
		child = source_fork(self->source);
	else
		ASSERT_HITS(&self->mirror, child = source_fork(self->source));
	ASSERT_HUGE(self->kind->shared ? 0 : HUGES, self->mirror.map,
		    ASSERT_SAME(self->mirror.at, 0, PAGES));
	return child;
}

TEST_F(huge, fork_write_of_parent_shows_in_its_mirror_only)
{
	struct source *child = fork_beside(_metadata, &self->scene);

	if (self->kind->shared)
		source_store(self->source, ADDRESS(100), 1100);
	else
		ASSERT_HITS(&self->mirror,
			    source_store(self->source, ADDRESS(100), 1100));
	ASSERT_SHOWS(1100, AT(100));
	ASSERT_EQ(OTHERS(1100, 100), source_load(child, ADDRESS(100)));
	/* What the viewer writes goes to the new page of the parent alone. */
	ASSERT_WRITES(1101, AT(101));
	ASSERT_EQ(1101, source_load(self->source, ADDRESS(101)));
	ASSERT_EQ(OTHERS(1101, 101), source_load(child, ADDRESS(101)));
	ASSERT_SAME(AT(102), 102, PAGES - 102);
	source_end(child);
	ASSERT_COHERENT(100);
	ASSERT_COHERENT(300);
	ASSERT_COHERENT(700);
}

TEST_F(huge, fork_write_of_child_does_not_reach_parent)
{
	struct source *child = fork_beside(_metadata, &self->scene);
	struct mirror mirror = mirror_open(child->pid, self->memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	if (self->kind->shared)
		source_store(child, ADDRESS(100), 1100);
	else
		ASSERT_HITS(&mirror, source_store(child, ADDRESS(100), 1100));
	ASSERT_SHOWS(1100, mirror.at + 100 * PAGE_SIZE);
	ASSERT_SHOWS(OTHERS(1100, 100), AT(100));
	ASSERT_EQ(OTHERS(1100, 100), source_load(self->source, ADDRESS(100)));

	ASSERT_WRITES(1700, mirror.at + 700 * PAGE_SIZE);
	ASSERT_EQ(1700, source_load(child, ADDRESS(700)));
	ASSERT_SHOWS(OTHERS(1700, 700), AT(700));
	ASSERT_EQ(OTHERS(1700, 700), source_load(self->source, ADDRESS(700)));
	ASSERT_SAME(AT(1024), 1024, SPAN);
	mirror_close(&mirror);
	source_end(child);
	ASSERT_COHERENT(100);
	ASSERT_COHERENT(700);
}

TEST_F(huge, fork_write_of_viewer_does_not_reach_child)
{
	struct source *child = fork_beside(_metadata, &self->scene);
	struct mirror mirror = mirror_open(child->pid, self->memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	ASSERT_WRITES(1100, AT(100));
	ASSERT_EQ(1100, source_load(self->source, ADDRESS(100)));
	ASSERT_EQ(OTHERS(1100, 100), source_load(child, ADDRESS(100)));
	ASSERT_SHOWS(OTHERS(1100, 100), mirror.at + 100 * PAGE_SIZE);
	ASSERT_SAME(mirror.at + 101 * PAGE_SIZE, 101, PAGES - 101);
	ASSERT_SAME(AT(101), 101, PAGES - 101);
	mirror_close(&mirror);
	source_end(child);
	ASSERT_COHERENT(100);
}

TEST_F(huge, fork_leaves_it_to_the_survivor_whole)
{
	struct source *child = fork_beside(_metadata, &self->scene);
	bool shared = self->kind->shared;

	source_exit(child, 0);
	source_end(child);
	/* The source is its only owner again: nothing is copied or split. */
	ASSERT_HUGE(!shared, self->mirror.map, ASSERT_WRITES(1100, AT(100)));
	ASSERT_EQ(1100, source_load(self->source, ADDRESS(100)));
	ASSERT_TRUE(is_all_huge(&self->scene));
	ASSERT_COHERENT(101);
}

TEST_F(huge, fork_child_outlives_parent)
{
	struct source *child = fork_beside(_metadata, &self->scene);
	struct mirror mirror = mirror_open(child->pid, self->memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	source_kill(self->source);
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(700));
	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	ASSERT_WRITES(1100, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(1100, source_load(child, ADDRESS(100)));
	mirror_close(&mirror);
	source_end(child);
}

TEST_F(pool, a_child_loses_its_page_when_the_pool_is_empty)
{
	struct source *child = fork_beside(_metadata, &self->scene);
	struct mirror mirror = mirror_open(child->pid, self->memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	text_must_write("/proc/sys/vm/nr_hugepages", "%lu", HUGES);
	/* The parent's write finds no page for a copy. */
	ASSERT_HITS(&mirror, source_store(self->source, ADDRESS(100), 1100));
	ASSERT_HOLE(mirror.at + 100 * PAGE_SIZE);
	ASSERT_SAME(mirror.at + PMD_SIZE, SPAN, SPAN);
	ASSERT_SHOWS(1100, AT(100));
	ASSERT_COHERENT(100);
	mirror_close(&mirror);
	source_end(child);
}

/* ---- discard, unmap ------------------------------------------------------------------ */

/* What is there when the source has given it up: a file has it still. */
#define REST(n) (self->kind->shared ? pattern(SEED, (n)) : 0)

TEST_F(huge, discarded_whole_shows_what_the_source_has_then)
{
	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(SPAN),
						PMD_SIZE, MADV_DONTNEED)));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	/* The source has a new page first; the write must go to that one. */
	source_store(self->source, ADDRESS(700) + 8, 8);
	ASSERT_WRITES(1700, AT(700));
	ASSERT_EQ(1700, source_load(self->source, ADDRESS(700)));
	ASSERT_EQ(8, source_load(self->source, ADDRESS(700) + 8));
	ASSERT_SHOWS(REST(SPAN), AT(SPAN));
	ASSERT_SHOWS(REST(2 * SPAN - 1), AT(2 * SPAN - 1));
	ASSERT_COHERENT(SPAN + 1);
}

TEST_F(huge, discarded_whole_is_made_anew_by_the_viewers_write)
{
	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(SPAN),
						PMD_SIZE, MADV_DONTNEED)));
	ASSERT_HUGE(1, self->mirror.map, ASSERT_WRITES(1700, AT(700)));
	ASSERT_EQ(1700, source_load(self->source, ADDRESS(700)));
	ASSERT_EQ(REST(700), source_load(self->source, ADDRESS(700) + 8));
	ASSERT_EQ(REST(701), source_load(self->source, ADDRESS(701)));
}

TEST_F(huge, discarded_in_part_shows_what_the_source_has_then)
{
	size_t part = self->part, end = part + self->part_pages;

	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, ADDRESS(part),
						self->part_pages * PAGE_SIZE,
						MADV_DONTNEED)));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	ASSERT_SHOWS(REST(part), AT(part));
	ASSERT_SHOWS(REST(end - 1), AT(end - 1));
	ASSERT_SAME(AT(SPAN), SPAN, part - SPAN);
	ASSERT_SAME(AT(end), end, PAGES - end);
	ASSERT_COHERENT(part);
	ASSERT_COHERENT(part - 1);
	ASSERT_COHERENT(end);
}

TEST_F(huge, unmapped_whole_is_a_hole_until_mapped_again)
{
	ENTER();
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, ADDRESS(SPAN), PMD_SIZE));
	ASSERT_HOLE(AT(SPAN));
	ASSERT_HOLE(AT(700));
	ASSERT_HOLE(AT(2 * SPAN - 1));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	kind_map(self->kind, self->source, self->fd, ADDRESS(SPAN), PMD_SIZE,
		 PMD_SIZE);
	/* A hole has left no page table behind. */
	ASSERT_HUGE(1, self->mirror.map, ASSERT_WRITES(1700, AT(700)));
	ASSERT_EQ(1700, source_load(self->source, ADDRESS(700)));
	ASSERT_SHOWS(REST(SPAN), AT(SPAN));
	ASSERT_SHOWS(REST(701), AT(701));
	ASSERT_COHERENT(701);
}

TEST_F(huge, unmapped_in_part_is_a_hole_until_mapped_again)
{
	size_t part = self->part, pages = self->part_pages, end = part + pages;

	ENTER();
	ASSERT_HITS(&self->mirror, source_munmap(self->source, ADDRESS(part),
						 pages * PAGE_SIZE));
	ASSERT_HOLE(AT(part));
	ASSERT_HOLE(AT(end - 1));
	ASSERT_SAME(AT(0), 0, part);
	ASSERT_SAME(AT(end), end, PAGES - end);
	ASSERT_COHERENT(part - 1);
	ASSERT_COHERENT(end);
	kind_map(self->kind, self->source, self->fd, ADDRESS(part),
		 pages * PAGE_SIZE, part * PAGE_SIZE);
	ASSERT_SHOWS(REST(part), AT(part));
	ASSERT_SHOWS(REST(end - 1), AT(end - 1));
	ASSERT_COHERENT(part);
}

TEST_F(huge, mapped_over_shows_the_new)
{
	ENTER();
	/* Small pages at the place of a huge one */
	ASSERT_HITS(&self->mirror,
		    source_mmap(self->source, ADDRESS(SPAN), PMD_SIZE,
				PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	source_madvise(self->source, ADDRESS(SPAN), PMD_SIZE, MADV_NOHUGEPAGE);
	ASSERT_HUGE(0, self->mirror.map, {
		ASSERT_SHOWS(0, AT(SPAN));
		ASSERT_COHERENT(700);
	});
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
}

TEST_F(huge, comes_where_small_pages_were)
{
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);
	struct mirror mirror;
	char *again;

	source_madvise(self->source, memory, PMD_SIZE, MADV_NOHUGEPAGE);
	source_fill(self->source, memory, PMD_SIZE, SEED + 1);
	mirror = mirror_open(self->source->pid, memory, PMD_SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(mirror.at, PMD_SIZE, SEED + 1));
	ASSERT_WRITES(1, mirror.at);
	/* The page table is there, and stays. */
	ASSERT_HITS(&mirror,
		    ASSERT_EQ(memory,
			      source_syscall(self->source, SYS_mremap,
					     self->memory, PMD_SIZE, PMD_SIZE,
					     MREMAP_MAYMOVE | MREMAP_FIXED,
					     memory)));
	ASSERT_HUGE(0, mirror.map, ASSERT_SAME(mirror.at, 0, SPAN));
	ASSERT_WRITES(1100, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(1100, source_load(self->source, memory + 100 * PAGE_SIZE));
	ASSERT_WRITES(pattern(SEED, 100), mirror.at + 100 * PAGE_SIZE);
	/* A new mirror has none. */
	again = mirror_again(&mirror, PROT_READ | PROT_WRITE);
	ASSERT_HUGE(1, mirror.map, ASSERT_SAME(again, 0, SPAN));
	mirror_close(&mirror);
}

/* ---- mprotect ------------------------------------------------------------------------ */

TEST_F(huge, protected_whole_is_obeyed)
{
	int map = self->mirror.map;

	ENTER();
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(SPAN),
						   PMD_SIZE, PROT_READ));
	ASSERT_NOT_WRITABLE(AT(700));
	ASSERT_HUGE(1, map, ASSERT_SAME(AT(SPAN), SPAN, SPAN));
	ASSERT_NOT_WRITABLE(AT(700));
	ASSERT_EQ(pattern(SEED, 700), source_load(self->source, ADDRESS(700)));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(SPAN),
						   PMD_SIZE, PROT_NONE));
	ASSERT_HOLE(AT(SPAN));
	ASSERT_HOLE(AT(700));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	source_mprotect(self->source, ADDRESS(SPAN), PMD_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_HUGE(1, map, ASSERT_SAME(AT(SPAN), SPAN, SPAN));
	ASSERT_COHERENT(700);
	ASSERT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, protected_in_part_is_obeyed)
{
	size_t part = self->part, end = part + self->part_pages;
	size_t size = self->part_pages * PAGE_SIZE;

	ENTER();
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(part),
						   size, PROT_READ));
	ASSERT_NOT_WRITABLE(AT(part));
	ASSERT_NOT_WRITABLE(AT(end - 1));
	ASSERT_SAME(AT(0), 0, PAGES);
	ASSERT_NOT_WRITABLE(AT(part));
	ASSERT_COHERENT(part - 1);
	ASSERT_COHERENT(end);
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(part),
						   size, PROT_NONE));
	ASSERT_HOLE(AT(part));
	ASSERT_HOLE(AT(end - 1));
	ASSERT_COHERENT(part - 1);
	ASSERT_COHERENT(end);
	source_mprotect(self->source, ADDRESS(part), size,
			PROT_READ | PROT_WRITE);
	ASSERT_SHOWS(pattern(SEED, part), AT(part));
	ASSERT_COHERENT(part);
}

/* ---- mremap ---------------------------------------------------------------------------- */

/* The source moves a part of its memory to an address. */
#define MOVE(n, pages, to, flags)                                              \
	ASSERT_HITS(&self->mirror,                                             \
		    ASSERT_EQ((to),                                            \
			      source_syscall(                                  \
				      self->source, SYS_mremap, ADDRESS(n),    \
				      (pages)*PAGE_SIZE, (pages)*PAGE_SIZE,    \
				      MREMAP_MAYMOVE | MREMAP_FIXED | (flags), \
				      (to))))

TEST_F(huge, moved_whole_leaves_a_hole_and_shows_where_it_went)
{
	uint64_t to = source_anon_aligned(self->source, PMD_SIZE);
	struct mirror mirror = mirror_open(self->source->pid, to, PMD_SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ENTER();
	MOVE(SPAN, SPAN, to, 0);
	ASSERT_HOLE(AT(SPAN));
	ASSERT_HOLE(AT(700));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	ASSERT_HUGE(1, mirror.map, ASSERT_SAME(mirror.at, SPAN, SPAN));
	ASSERT_WRITES(1, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(1, source_load(self->source, to + 100 * PAGE_SIZE));
	mirror_close(&mirror);
}

TEST_F(thp, moved_to_where_it_does_not_fit_shows_page_by_page)
{
	uint64_t to =
		source_anon_aligned(self->source, 2 * PMD_SIZE) + PAGE_SIZE;
	struct mirror mirror = mirror_open(self->source->pid, to, PMD_SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ENTER();
	MOVE(SPAN, SPAN, to, 0);
	ASSERT_HOLE(AT(SPAN));
	ASSERT_HOLE(AT(700));
	ASSERT_HUGE(0, mirror.map, ASSERT_SAME(mirror.at, SPAN, SPAN));
	ASSERT_WRITES(1, mirror.at + 100 * PAGE_SIZE);
	ASSERT_EQ(1, source_load(self->source, to + 100 * PAGE_SIZE));
	mirror_close(&mirror);
}

TEST_F(thp, moved_in_part_leaves_a_hole)
{
	uint64_t to = source_anon(self->source, PAGE_SIZE, 0);
	struct mirror mirror = mirror_open(self->source->pid, to, PAGE_SIZE,
					   PROT_READ | PROT_WRITE, 0);

	ENTER();
	MOVE(SPAN + 100, 1, to, 0);
	ASSERT_HOLE(AT(SPAN + 100));
	ASSERT_SHOWS(pattern(SEED, SPAN + 100), mirror.at);
	ASSERT_COHERENT(SPAN + 99);
	ASSERT_COHERENT(SPAN + 101);
	mirror_close(&mirror);
}

TEST_F(anon, moved_out_of_its_mapping_leaves_it_empty)
{
	uint64_t to = source_anon_aligned(self->source, PMD_SIZE);

	ENTER();
	MOVE(SPAN, SPAN, to, MREMAP_DONTUNMAP);
	ASSERT_WRITES(1, AT(700));
	ASSERT_EQ(1, source_load(self->source, ADDRESS(700)));
	ASSERT_SHOWS(0, AT(701));
	ASSERT_EQ(pattern(SEED, 700),
		  source_load(self->source, to + (700 - SPAN) * PAGE_SIZE));
}

/* ---- split, collapse, swap, migration ------------------------------------------------- */

TEST_F(thp, split_by_the_kernel_shows_page_by_page)
{
	ENTER();
	ASSERT_HITS(&self->mirror,
		    split_huge_pages(self->source->pid, self->memory, SIZE));
	ASSERT_EQ(0, smaps(self->source->pid, self->memory, self->kind->proof));
	ASSERT_HUGE(0, self->mirror.map, ASSERT_SAME(AT(0), 0, PAGES));
	ASSERT_COHERENT(0);
	ASSERT_COHERENT(700);
	ASSERT_COHERENT(PAGES - 1);
}

TEST_F(thp, collapsed_shows_in_the_page_table_that_is_there)
{
	char *again;

	ENTER();
	split_huge_pages(self->source->pid, self->memory, SIZE);
	ASSERT_HUGE(0, self->mirror.map, ASSERT_SAME(AT(0), 0, PAGES));
	ASSERT_WRITES(1700, AT(700));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, collapse(self->source, self->memory, SIZE)));
	ASSERT_TRUE(is_all_huge(&self->scene));
	ASSERT_SHOWS(1700, AT(700));
	ASSERT_WRITES(pattern(SEED, 700), AT(700));
	ASSERT_EQ(pattern(SEED, 700), source_load(self->source, ADDRESS(700)));
	ASSERT_HUGE(0, self->mirror.map, ASSERT_SAME(AT(0), 0, PAGES));
	/* A mirror without one shows it at once. */
	again = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(again, 0, PAGES));
	ASSERT_COHERENT(700);
	ASSERT_SHOWS(0x71e3e7ULL, again + 700 * PAGE_SIZE);
}

static bool any_present(const struct scene *self)
{
	size_t n;

	for (n = 0; n < PAGES; n++)
		if (pagemap(self->source->pid, ADDRESS(n)) & PAGEMAP_PRESENT)
			return true;
	return false;
}

TEST_F(thp, swapped_out_comes_back_with_what_the_viewer_wrote)
{
	uint64_t used;

	swap_on();
	used = swap_used();
	ENTER();
	/* Nothing but the mirror has these. */
	ASSERT_WRITES(1700, AT(700));
	ASSERT_WRITES(1701, AT(701));
	ASSERT_HITS(&self->mirror, WAIT_FOR(({
		source_madvise(self->source, self->memory, SIZE, MADV_PAGEOUT);
		lru_drain();
		!any_present(&self->scene);
	})));
	ASSERT_LE(used + SIZE, swap_used());
	ASSERT_SHOWS(1700, AT(700));
	ASSERT_EQ(1701, source_load(self->source, ADDRESS(701)));
	ASSERT_SHOWS(1701, AT(701));
	ASSERT_COHERENT(700);
	ASSERT_COHERENT(701);
	ASSERT_SAME(AT(0), 0, 700);
	ASSERT_SAME(AT(702), 702, PAGES - 702);
	swap_off();
	ASSERT_SAME(AT(0), 0, 700);
	ASSERT_COHERENT(0);
}

TEST_F(huge, migrated_shows_and_takes_writes_where_it_is)
{
	uint64_t before;
	int node;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	ENTER();
	for (n = 0; n < PAGES; n += SPAN) {
		before = frame(self->source->pid, ADDRESS(n));
		node = node_of(self->source->pid, ADDRESS(n));
		ASSERT_LE(0, node);
		ASSERT_HITS(&self->mirror,
			    WAIT_FOR(!node_move(self->source->pid, ADDRESS(n),
						!node)));
		ASSERT_NE(before, frame(self->source->pid, ADDRESS(n)));
		ASSERT_EQ(!node, node_of(self->source->pid, ADDRESS(n + 511)));
		ASSERT_HUGE(1, self->mirror.map, ASSERT_SAME(AT(n), n, SPAN));
		ASSERT_COHERENT(n + 100);
	}
	ASSERT_TRUE(is_all_huge(&self->scene));
}

static void do_nothing(int signal_number)
{
	(void)signal_number;
}

struct loss {
	void *at;
	size_t size;
	int advice;
};

/* In the source: lose a page. Newer kernels say so at once, by SIGBUS. */
static long lose(void *arg)
{
	struct sigaction ignore = { .sa_handler = do_nothing }, old;
	const struct loss *loss = arg;
	long result;

	sigaction(SIGBUS, &ignore, &old);
	result = madvise(loss->at, loss->size, loss->advice) ? -errno : 0;
	sigaction(SIGBUS, &old, NULL);
	return result;
}

#define LOSE(loss) source_call(self->source, lose, &(loss), sizeof(loss))

TEST_F(huge, taken_offline_is_shown_where_it_went)
{
	struct loss loss = { (void *)ADDRESS(self->part), PAGE_SIZE,
			     MADV_SOFT_OFFLINE };
	uint64_t before = frame(self->source->pid, ADDRESS(self->part));
	long error;

	ENTER();
	ASSERT_HITS(&self->mirror, error = LOSE(loss));
	ASSERT_EQ(0, error);
	ASSERT_NE(before, frame(self->source->pid, ADDRESS(self->part)));
	ASSERT_SAME(AT(0), 0, PAGES);
	ASSERT_COHERENT(self->part);
	ASSERT_COHERENT(self->part - 1);
	ASSERT_COHERENT(SPAN);
}

TEST_F(huge, lost_to_a_memory_error_is_a_hole)
{
	struct loss loss = { (void *)ADDRESS(self->part), PAGE_SIZE,
			     MADV_HWPOISON };
	size_t end = self->part + self->part_pages;
	uint64_t value;
	long error;

	ENTER();
	ASSERT_HITS(&self->mirror, error = LOSE(loss));
	ASSERT_EQ(0, error);
	ASSERT_EQ(SIGBUS,
		  source_try_load(self->source, ADDRESS(self->part), &value));
	ASSERT_HOLE(AT(self->part));
	ASSERT_HOLE(AT(end - 1));
	ASSERT_SAME(AT(0), 0, self->part);
	ASSERT_SAME(AT(end), end, PAGES - end);
	ASSERT_COHERENT(self->part - 1);
	ASSERT_COHERENT(end);
}

/* ---- the file shrinks under it -------------------------------------------------------- */

static int punch(struct source *source, int fd, size_t first, size_t pages)
{
	return source_syscall(source, SYS_fallocate, fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      first * PAGE_SIZE, pages * PAGE_SIZE);
}

TEST_F(file, punched_whole_by_a_third_process_shows_zeros)
{
	struct source *third = source_start();
	uint64_t there = kind_map(self->kind, third, self->fd, 0, SIZE, 0);
	int fd = source_take_fd(third, self->fd);

	ENTER();
	ASSERT_HITS(&self->mirror, ASSERT_EQ(0, punch(third, fd, SPAN, SPAN)));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_UNTOUCHED(2 * SPAN, SPAN);
	/* And the new page is the file's, and huge. */
	ASSERT_HUGE(1, self->mirror.map, ASSERT_WRITES(1700, AT(700)));
	ASSERT_EQ(1700, source_load(third, there + 700 * PAGE_SIZE));
	ASSERT_EQ(1700, source_load(self->source, ADDRESS(700)));
	ASSERT_SHOWS(0, AT(SPAN));
	ASSERT_SHOWS(0, AT(700) + 8);
	ASSERT_SHOWS(0, AT(2 * SPAN - 1));
	source_end(third);
}

TEST_F(file, punched_in_part_by_a_third_process_shows_zeros)
{
	struct source *third = source_start();
	uint64_t there = kind_map(self->kind, third, self->fd, 0, SIZE, 0);
	int fd = source_take_fd(third, self->fd);
	const size_t part = SPAN + 100;

	ENTER();
	/* What hugetlb cannot take out of a page it fills with zeros. */
	ASSERT_EQ(0, punch(third, fd, part, 1));
	ASSERT_SHOWS(0, AT(part));
	ASSERT_SHOWS(0, AT(part) + PAGE_SIZE - 8);
	ASSERT_SAME(AT(0), 0, part);
	ASSERT_SAME(AT(part + 1), part + 1, PAGES - part - 1);
	ASSERT_WRITES(1, AT(part));
	ASSERT_EQ(1, source_load(third, there + part * PAGE_SIZE));
	ASSERT_COHERENT(part - 1);
	ASSERT_COHERENT(part + 1);
	source_end(third);
}

TEST_F(file, removed_by_advice_of_a_third_process_shows_zeros)
{
	struct source *third = source_start();
	uint64_t there = kind_map(self->kind, third, self->fd, 0, SIZE, 0);

	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(third, there + PMD_SIZE,
						PMD_SIZE, MADV_REMOVE)));
	ASSERT_SHOWS(0, AT(SPAN));
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_WRITES(1700, AT(700));
	ASSERT_EQ(1700, source_load(third, there + 700 * PAGE_SIZE));
	source_end(third);
}

/* The third process cuts the file, and makes it long again. */
static void truncated_is_a_hole(struct __test_metadata *_metadata,
				struct scene *self, size_t keep)
{
	struct source *third = source_start();
	uint64_t there = kind_map(self->kind, third, self->fd, 0, SIZE, 0);
	int fd = source_take_fd(third, self->fd);
	uint64_t value;

	enter(_metadata, self);
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_syscall(third, SYS_ftruncate, fd,
						keep * PAGE_SIZE)));
	ASSERT_HOLE(AT(keep));
	ASSERT_HOLE(AT(PAGES - 1));
	ASSERT_EQ(SIGBUS, source_try_load(self->source, ADDRESS(keep), &value));
	ASSERT_SAME(AT(0), 0, keep);
	ASSERT_COHERENT(keep - 1);
	ASSERT_EQ(0, source_syscall(third, SYS_ftruncate, fd, SIZE));
	ASSERT_SHOWS(0, AT(keep));
	ASSERT_SHOWS(0, AT(PAGES - 1));
	ASSERT_WRITES(1, AT(keep));
	ASSERT_EQ(1, source_load(third, there + keep * PAGE_SIZE));
	ASSERT_EQ(0, source_syscall(third, SYS_ftruncate, fd, 0));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(keep));
	source_end(third);
}

TEST_F(file, truncated_between_huge_pages_is_a_hole)
{
	truncated_is_a_hole(_metadata, &self->scene, SPAN);
}

TEST_F(thp, truncated_within_a_huge_page_is_a_hole)
{
	/* Anonymous memory is cut by its owner. */
	if (self->kind->shared) {
		truncated_is_a_hole(_metadata, &self->scene, SPAN + 100);
		return;
	}
	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(self->memory,
			      source_syscall(self->source, SYS_mremap,
					     self->memory, SIZE,
					     (SPAN + 100) * PAGE_SIZE, 0, 0)));
	ASSERT_HOLE(AT(SPAN + 100));
	ASSERT_HOLE(AT(PAGES - 1));
	ASSERT_SAME(AT(0), 0, SPAN + 100);
	ASSERT_COHERENT(SPAN + 99);
}

TEST_F(file, mapped_private_is_copied_before_the_viewer_writes)
{
	struct source *third = source_start();
	uint64_t there = kind_map(self->kind, third, self->fd, 0, SIZE, 0);
	int fd = source_take_fd(self->source, self->fd);
	struct mirror mirror;
	uint64_t at;

	at = source_mmap(self->source, source_anon_aligned(self->source, SIZE),
			 SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
			 fd, 0);
	ASSERT_EQ(-1, source_pattern_differs(self->source, at, PMD_SIZE, SEED));
	mirror = mirror_open(self->source->pid, at, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	/* It is the file's page as long as nobody writes here. */
	ASSERT_HUGE(1, mirror.map, ASSERT_SAME(mirror.at, 0, SPAN));
	source_store(third, there + 50 * PAGE_SIZE, 1050);
	ASSERT_SHOWS(1050, mirror.at + 50 * PAGE_SIZE);
	ASSERT_HITS(&mirror, ASSERT_WRITES(1100, mirror.at + 100 * PAGE_SIZE));
	ASSERT_EQ(1100, source_load(self->source, at + 100 * PAGE_SIZE));
	ASSERT_EQ(pattern(SEED, 100),
		  source_load(third, there + 100 * PAGE_SIZE));
	/* Also as the first access */
	ASSERT_WRITES(1700, mirror.at + 700 * PAGE_SIZE);
	ASSERT_EQ(1700, source_load(self->source, at + 700 * PAGE_SIZE));
	ASSERT_EQ(pattern(SEED, 700),
		  source_load(third, there + 700 * PAGE_SIZE));
	ASSERT_SAME(mirror.at + 101 * PAGE_SIZE, 101, 599);
	mirror_close(&mirror);
	source_end(third);
}

/* ---- the source's life ------------------------------------------------------------------ */

#define ASSERT_ENDED()                                            \
	do {                                                      \
		ASSERT_HOLE(AT(0));                               \
		ASSERT_HOLE(AT(700));                             \
		ASSERT_HOLE(AT(PAGES - 1));                       \
		ASSERT_EQ(1, counter(self->mirror.map, "ended")); \
	} while (0)

TEST_F(huge, exit_ends_the_mirror)
{
	ENTER();
	ASSERT_HITS(&self->mirror, source_exit(self->source, 7));
	ASSERT_ENDED();
}

TEST_F(huge, kill_ends_the_mirror)
{
	ENTER();
	ASSERT_HITS(&self->mirror, source_kill(self->source));
	ASSERT_ENDED();
}

TEST_F(huge, exec_ends_the_mirror)
{
	char *argv[] = { "sleep", "1000", NULL };

	ENTER();
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_exec(self->source,
					     "/usr/lib/busybox/sleep", argv)));
	ASSERT_ENDED();
	ASSERT_EQ(0, kill(self->source->pid, 0));
}

/* Take memory until the kernel has had enough. */
static long devour(void *arg)
{
	size_t at;

	(void)arg;
	for (;;) {
		volatile char *memory =
			mmap(NULL, PMD_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return -ENOMEM;
		for (at = 0; at < PMD_SIZE; at += PAGE_SIZE)
			memory[at] = 1;
	}
}

TEST_F(huge, oom_kill_ends_the_mirror)
{
	int status = 0;

	ENTER();
	cgroup_create("test_oom", self->source->pid, 16 * 1024 * 1024);
	ASSERT_HITS(&self->mirror, {
		source_call_begin(self->source, devour, NULL, 0);
		ASSERT_EQ(-EPIPE, source_finish(self->source));
		status = source_reap(self->source);
	});
	cgroup_remove("test_oom");
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
	ASSERT_ENDED();
}

/* ---- what else looks at the source's pages ---------------------------------------------- */

TEST_F(anon, soft_dirty_tracking_sees_the_viewers_writes)
{
	pid_t pid = self->source->pid;
	char path[40];

	ENTER();
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	ASSERT_HITS(&self->mirror, text_must_write(path, "4"));
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(AT(0), 0, PAGES));
	ASSERT_EQ(0, pagemap(pid, ADDRESS(700)) & PAGEMAP_SOFT_DIRTY);
	ASSERT_WRITES(1, AT(700));
	ASSERT_NE(0, pagemap(pid, ADDRESS(700)) & PAGEMAP_SOFT_DIRTY);
	ASSERT_EQ(0, pagemap(pid, ADDRESS(0)) & PAGEMAP_SOFT_DIRTY);
}

/* Look at all pages, and change them, for a while. */
static long be_busy(void *arg)
{
	volatile uint64_t *word = *(uint64_t **)arg;
	struct deadline deadline = deadline_in(3);
	size_t n;

	while (!deadline_passed(&deadline))
		for (n = 0; n < PAGES; n++)
			word[n * PAGE_SIZE / sizeof(*word) + 1]++;
	return 0;
}

static uint64_t vmstat(const char *key)
{
	FILE *file = fopen("/proc/vmstat", "re");
	unsigned long value, found = 0;
	char name[64];

	if (!file)
		fatal("/proc/vmstat: %m");
	while (fscanf(file, "%63s %lu", name, &value) == 2)
		if (!strcmp(name, key))
			found = value;
	fclose(file);
	return found;
}

#define NUMA_KNOBS "/sys/kernel/debug/sched/numa_balancing/"

TEST_F_TIMEOUT(anon, numa_hints_stop_neither_side, 60)
{
	uint64_t before = vmstat("numa_huge_pte_updates");
	int map = self->mirror.map;
	struct hammer *hammer;
	uint64_t huge;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	for (n = 0; n < PAGES; n += SPAN)
		node_move(self->source->pid, ADDRESS(n), n / SPAN % 2);
	ENTER();
	huge = counter(map, "huge_pages_mapped");
	text_must_write(NUMA_KNOBS "scan_delay_ms", "1");
	text_must_write(NUMA_KNOBS "scan_period_min_ms", "20");
	text_must_write(NUMA_KNOBS "scan_period_max_ms", "100");
	numa_balancing_set(true);
	/* The viewer counts in the first word of each page, the source in the
	 * second.
	 */
	hammer = hammer_start(self->mirror.at, PAGES);
	source_call_begin(self->source, be_busy, &self->memory,
			  sizeof(self->memory));
	ASSERT_EQ(0, source_finish(self->source));
	numa_balancing_set(false);
	ASSERT_LT(before, vmstat("numa_huge_pte_updates"));
	ASSERT_LT(huge, counter(map, "huge_pages_mapped"));
	assert_none_lost(_metadata, &self->scene, hammer);
}

struct pinned {
	uint64_t address;
	size_t size;
};

/* In the source: have io_uring pin a buffer for long. */
static long pin(void *arg)
{
	struct pinned *pinned = arg;
	struct io_uring_params params = { 0 };
	struct iovec iov = { (void *)pinned->address, pinned->size };
	int fd = syscall(SYS_io_uring_setup, 4, &params);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &iov,
		    1))
		return -errno;
	return fd;
}

TEST_F(huge, pinned_memory_stays_with_the_process_that_pinned_it)
{
	struct pinned pinned = { ADDRESS(SPAN), PMD_SIZE };
	struct source *child;
	uint64_t before;

	ENTER();
	ASSERT_LE(0, source_call(self->source, pin, &pinned, sizeof(pinned)));
	before = frame(self->source->pid, ADDRESS(700));
	ASSERT_WRITES(1700, AT(700));
	/* A pinned page is copied for the child at once, or split first. */
	child = source_fork(self->source);
	ASSERT_WRITES(1701, AT(700));
	source_store(self->source, ADDRESS(701), 1701);
	ASSERT_SHOWS(1701, AT(701));
	ASSERT_EQ(before, frame(self->source->pid, ADDRESS(700)));
	ASSERT_EQ(self->kind->shared ? 1701 : 1700,
		  source_load(child, ADDRESS(700)));
	ASSERT_EQ(OTHERS(1701, 701), source_load(child, ADDRESS(701)));
	source_end(child);
}

/* ---- what a viewer does to its mirror --------------------------------------------------- */

#define PAGE_OF(at, n) ((at) + (n)*PAGE_SIZE)

/* Wherever the mirror is now, it shows page n and follows the source. */
static void follows(struct __test_metadata *_metadata, struct scene *self,
		    char *at, size_t n)
{
	ASSERT_SHOWS(pattern(SEED, n), at);
	ASSERT_WRITES(1000 + n, at);
	ASSERT_EQ(1000 + n, source_load(self->source, ADDRESS(n)));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, self->memory,
						   SIZE, PROT_NONE));
	ASSERT_HOLE(at);
	source_mprotect(self->source, self->memory, SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_SHOWS(1000 + n, at);
	source_store(self->source, ADDRESS(n), pattern(SEED, n));
	ASSERT_SHOWS(pattern(SEED, n), at);
}

#define ASSERT_FOLLOWS(at, n) follows(_metadata, &self->scene, (at), (n))

TEST_F(huge, mirror_unmapped_in_part_leaves_the_rest_coherent)
{
	/* The first, one in the middle, the last of a huge page */
	static const size_t places[] = { SPAN, SPAN + 256, 2 * SPAN - 1 };
	uint64_t value;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		char *at = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
		int map = self->mirror.map;

		n = places[i];
		ASSERT_HUGE(HUGES, map, ASSERT_SAME(at, 0, PAGES));
		ASSERT_WRITES(pattern(SEED, n), PAGE_OF(at, n));
		ASSERT_EQ(0, munmap(PAGE_OF(at, n), PAGE_SIZE));
		ASSERT_EQ(SIGSEGV, touch_read(PAGE_OF(at, n), &value));
		/* What is whole still comes as such. */
		ASSERT_HUGE(2, map, {
			ASSERT_SAME(at, 0, n);
			ASSERT_SAME(PAGE_OF(at, n + 1), n + 1, PAGES - n - 1);
		});
		ASSERT_FOLLOWS(PAGE_OF(at, n - 1), n - 1);
		ASSERT_FOLLOWS(PAGE_OF(at, n + 1), n + 1);
		ASSERT_EQ(SIGSEGV, touch_read(PAGE_OF(at, n), &value));
		ASSERT_EQ(pattern(SEED, n),
			  source_load(self->source, ADDRESS(n)));
		ASSERT_EQ(0, munmap(at, SIZE));
	}
}

TEST_F(huge, mirror_protected_in_part_is_obeyed)
{
	size_t n = SPAN + 100;
	uint64_t value;

	ENTER();
	ASSERT_EQ(0, mprotect(AT(n), PAGE_SIZE, PROT_READ));
	ASSERT_EQ(SIGSEGV, touch_write(AT(n), 1));
	ASSERT_SHOWS(pattern(SEED, n), AT(n));
	ASSERT_EQ(SIGSEGV, touch_write(AT(n), 1));
	ASSERT_EQ(0, mprotect(AT(n), PAGE_SIZE, PROT_NONE));
	ASSERT_EQ(SIGSEGV, touch_read(AT(n), &value));
	/* The source changes the page while the viewer may not look. */
	source_store(self->source, ADDRESS(n), 1);
	ASSERT_FOLLOWS(AT(n - 1), n - 1);
	ASSERT_FOLLOWS(AT(n + 1), n + 1);
	ASSERT_EQ(0, mprotect(AT(n), PAGE_SIZE, PROT_READ | PROT_WRITE));
	ASSERT_SHOWS(1, AT(n));
	ASSERT_COHERENT(n);
	ASSERT_SAME(AT(0), 0, n);
	ASSERT_SAME(AT(n + 1), n + 1, PAGES - n - 1);
}

TEST_F(huge, mirror_protected_whole_is_obeyed)
{
	int map = self->mirror.map;
	uint64_t value;

	/* Without a VMA being split: the entry itself changes. */
	ENTER();
	ASSERT_EQ(0, mprotect(AT(0), SIZE, PROT_READ));
	ASSERT_SAME(AT(0), 0, PAGES);
	ASSERT_EQ(SIGSEGV, touch_write(AT(700), 1));
	ASSERT_EQ(0, mprotect(AT(0), SIZE, PROT_NONE));
	ASSERT_EQ(SIGSEGV, touch_read(AT(700), &value));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(SPAN),
						   PMD_SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(AT(0), SIZE, PROT_READ | PROT_WRITE));
	ASSERT_SAME(AT(0), 0, PAGES);
	ASSERT_NOT_WRITABLE(AT(700));
	ASSERT_COHERENT(0);
	source_mprotect(self->source, ADDRESS(SPAN), PMD_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_HUGE(1, map, ASSERT_WRITES(1, AT(700)));
}

TEST_F(huge, mirror_made_writable_does_not_write_a_shared_page)
{
	struct source *child = source_fork(self->source);
	char *at = mirror_again(&self->mirror, PROT_READ);

	/* It entered for a look, in a mapping that may not write yet. */
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(at, 0, PAGES));
	ASSERT_EQ(0, mprotect(at, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_WRITES(1700, PAGE_OF(at, 700));
	ASSERT_EQ(1700, source_load(self->source, ADDRESS(700)));
	ASSERT_EQ(OTHERS(1700, 700), source_load(child, ADDRESS(700)));
	source_end(child);
}

TEST_F(huge, mirror_moved_to_where_it_agrees_is_huge_again)
{
	char *to = reserve(self->memory, SIZE);
	uint64_t value;

	ENTER();
	ASSERT_EQ(to,
		  mremap(AT(0), SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(SIGSEGV, touch_read(AT(700), &value));
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(to, 0, PAGES));
	ASSERT_FOLLOWS(PAGE_OF(to, 700), 700);
	ASSERT_EQ(0, munmap(to, SIZE));
}

TEST_F(huge, mirror_moved_to_where_it_disagrees_is_small)
{
	char *to = reserve(self->memory + PAGE_SIZE, SIZE);
	uint64_t value;

	ENTER();
	ASSERT_EQ(to,
		  mremap(AT(0), SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(SIGSEGV, touch_read(AT(700), &value));
	ASSERT_HUGE(0, self->mirror.map, ASSERT_SAME(to, 0, PAGES));
	ASSERT_FOLLOWS(PAGE_OF(to, 700), 700);
	ASSERT_EQ(0, munmap(to, SIZE));
}

TEST_F(huge, mirror_moved_in_part_is_coherent_in_both_places)
{
	char *whole = reserve(self->memory, PMD_SIZE);
	char *page = reserve(self->memory, PAGE_SIZE);

	ENTER();
	ASSERT_EQ(whole, mremap(AT(0), PMD_SIZE, PMD_SIZE,
				MREMAP_MAYMOVE | MREMAP_FIXED, whole));
	ASSERT_EQ(page, mremap(AT(700), PAGE_SIZE, PAGE_SIZE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, page));
	ASSERT_HUGE(2, self->mirror.map, {
		ASSERT_SAME(whole, 0, SPAN);
		ASSERT_SAME(AT(SPAN), SPAN, 700 - SPAN);
		ASSERT_SHOWS(pattern(SEED, 700), page);
		ASSERT_SAME(AT(701), 701, PAGES - 701);
	});
	ASSERT_FOLLOWS(PAGE_OF(whole, 100), 100);
	ASSERT_FOLLOWS(page, 700);
	ASSERT_FOLLOWS(AT(701), 701);
	ASSERT_EQ(0, munmap(whole, PMD_SIZE));
	ASSERT_EQ(0, munmap(page, PAGE_SIZE));
}

TEST_F(huge, mirror_that_shrinks_keeps_the_rest)
{
	size_t pages = SPAN + 100;
	uint64_t value;

	ENTER();
	ASSERT_EQ(AT(0), mremap(AT(0), SIZE, pages * PAGE_SIZE, 0));
	ASSERT_EQ(SIGSEGV, touch_read(AT(pages), &value));
	ASSERT_HUGE(1, self->mirror.map, ASSERT_SAME(AT(0), 0, pages));
	ASSERT_FOLLOWS(AT(pages - 1), pages - 1);
}

TEST_F(huge, mirror_gives_way_to_another_mapping)
{
	uint64_t value;

	ENTER();
	/* In a page, and in all of a huge page */
	ASSERT_EQ(AT(100),
		  mmap(AT(100), PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_EQ(AT(SPAN),
		  mmap(AT(SPAN), PMD_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	ASSERT_WRITES(1, AT(100));
	ASSERT_WRITES(2, AT(700));
	ASSERT_SAME(AT(0), 0, 100);
	ASSERT_SAME(AT(101), 101, SPAN - 101);
	ASSERT_HUGE(1, self->mirror.map,
		    ASSERT_SAME(AT(2 * SPAN), 2 * SPAN, SPAN));
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	ASSERT_FOLLOWS(AT(101), 101);
	/* What is not a mirror any more loses nothing with the view. */
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
	ASSERT_EQ(0, touch_read(AT(100), &value));
	ASSERT_EQ(1, value);
	ASSERT_EQ(0, touch_read(AT(700), &value));
	ASSERT_EQ(2, value);
	ASSERT_HOLE(AT(101));
	ASSERT_HOLE(AT(2 * SPAN));
}

TEST_F(huge, mirror_takes_the_place_of_huge_pages_of_the_viewer)
{
	char *at = reserve(self->memory, SIZE);

	ASSERT_EQ(at, mmap(at, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	madvise(at, SIZE, MADV_HUGEPAGE);
	memset(at, 1, SIZE);
	ASSERT_EQ(PAGE_OF(at, SPAN),
		  mmap(PAGE_OF(at, SPAN), PMD_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, self->mirror.map, PMD_SIZE));
	ASSERT_HUGE(1, self->mirror.map,
		    ASSERT_SAME(PAGE_OF(at, SPAN), SPAN, SPAN));
	ASSERT_SHOWS(0x0101010101010101ULL, PAGE_OF(at, SPAN - 1));
	ASSERT_SHOWS(0x0101010101010101ULL, PAGE_OF(at, 2 * SPAN));
	ASSERT_FOLLOWS(PAGE_OF(at, 700), 700);
	ASSERT_EQ(0, munmap(at, SIZE));
}

TEST_F(huge, two_mirrors_of_it_are_both_coherent)
{
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
	char *small =
		map_like(self->memory + PAGE_SIZE, self->mirror.map, 0, SIZE);
	struct mirror third = mirror_open(self->source->pid, self->memory, SIZE,
					  PROT_READ | PROT_WRITE, 0);

	ENTER();
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(second, 0, PAGES));
	ASSERT_HUGE(0, self->mirror.map, ASSERT_SAME(small, 0, PAGES));
	ASSERT_HUGE(HUGES, third.map, ASSERT_SAME(third.at, 0, PAGES));
	ASSERT_WRITES(1, AT(700));
	ASSERT_SHOWS(1, PAGE_OF(second, 700));
	ASSERT_SHOWS(1, PAGE_OF(small, 700));
	ASSERT_SHOWS(1, PAGE_OF(third.at, 700));
	ASSERT_WRITES(2, PAGE_OF(second, 700));
	ASSERT_WRITES(3, PAGE_OF(small, 701));
	ASSERT_WRITES(4, PAGE_OF(third.at, 702));
	ASSERT_SHOWS(2, AT(700));
	ASSERT_SHOWS(3, AT(701));
	ASSERT_SHOWS(4, AT(702));
	ASSERT_HITS(&third,
		    ASSERT_HITS(&self->mirror,
				source_mprotect(self->source, ADDRESS(SPAN),
						PMD_SIZE, PROT_NONE)));
	ASSERT_HOLE(AT(700));
	ASSERT_HOLE(PAGE_OF(second, 700));
	ASSERT_HOLE(PAGE_OF(small, 700));
	ASSERT_HOLE(PAGE_OF(third.at, 700));
	ASSERT_UNTOUCHED(0, SPAN);
	/* One mirror less takes nothing from the other. */
	ASSERT_EQ(0, munmap(second, SIZE));
	ASSERT_UNTOUCHED(0, SPAN);
	mirror_close(&third);
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_EQ(0, munmap(small, SIZE));
}

TEST_F(huge, one_huge_page_in_two_views_is_coherent_in_both)
{
	char *second;

	/* The second shows the same memory at another place of the map file. */
	ASSERT_EQ(0, view_add(self->mirror.ctrl, self->memory,
			      SIZE + 3 * PAGE_SIZE, SIZE, 0));
	second = map_like(self->memory, self->mirror.map, SIZE + 3 * PAGE_SIZE,
			  SIZE);
	ENTER();
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(second, 0, PAGES));
	ASSERT_WRITES(1, PAGE_OF(second, 700));
	ASSERT_SHOWS(1, AT(700));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, ADDRESS(SPAN),
						   PMD_SIZE, PROT_NONE));
	ASSERT_HOLE(AT(700));
	ASSERT_HOLE(PAGE_OF(second, 700));
	/* One of them goes: the other's pages stay. */
	ASSERT_EQ(0,
		  view_remove(self->mirror.ctrl, SIZE + 3 * PAGE_SIZE, SIZE));
	ASSERT_HOLE(second);
	ASSERT_UNTOUCHED(0, SPAN);
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, self->memory,
						   PMD_SIZE, PROT_NONE));
	ASSERT_HOLE(AT(0));
}

TEST_F(huge, removed_view_takes_it_before_the_call_returns)
{
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

	ENTER();
	ASSERT_SAME(second, 0, PAGES);
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, SIZE));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(700));
	ASSERT_HOLE(PAGE_OF(second, 700));
	/* Another huge page at the same place of the map file, then a part */
	ASSERT_EQ(0,
		  view_add(self->mirror.ctrl, ADDRESS(SPAN), 0, PMD_SIZE, 0));
	ASSERT_HUGE(1, self->mirror.map, ASSERT_SAME(AT(0), SPAN, SPAN));
	ASSERT_HOLE(AT(SPAN));
	ASSERT_EQ(0, view_remove(self->mirror.ctrl, 0, PMD_SIZE));
	ASSERT_EQ(0,
		  view_add(self->mirror.ctrl, ADDRESS(700), 0, PAGE_SIZE, 0));
	ASSERT_HUGE(0, self->mirror.map,
		    ASSERT_SHOWS(pattern(SEED, 700), AT(0)));
	ASSERT_HOLE(AT(1));
}

static int child_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_F(huge, fork_of_the_viewer_inherits_none_and_takes_none)
{
	uint64_t value;
	pid_t child;

	ENTER();
	child = fork();
	if (!child)
		_exit(touch_read(AT(700), &value));
	ASSERT_EQ(SIGSEGV, child_status(child));
	ASSERT_UNTOUCHED(0, PAGES);
	/* What the child maps itself is its own to unmap. */
	child = fork();
	if (!child) {
		char *at = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);

		if (differs(at, 0, PAGES) != -1)
			_exit(1);
		_exit(touch_write(PAGE_OF(at, 700), 1));
	}
	ASSERT_EQ(0, child_status(child));
	ASSERT_FAULTS(0, self->mirror.map, ASSERT_SHOWS(1, AT(700)));
}

TEST_F(huge, mirror_outlives_its_files)
{
	char *at = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE, 0);

	ASSERT_HUGE(HUGES, mirror.map, ASSERT_SAME(mirror.at, 0, PAGES));
	close(mirror.ctrl);
	close(mirror.map);
	ASSERT_HUGE(HUGES, self->mirror.map, ASSERT_SAME(at, 0, PAGES));
	ASSERT_WRITES(1, PAGE_OF(mirror.at, 700));
	ASSERT_SHOWS(1, PAGE_OF(at, 700));
	source_kill(self->source);
	ASSERT_HOLE(PAGE_OF(mirror.at, 700));
	ASSERT_EQ(0, munmap(mirror.at, SIZE));
	ASSERT_EQ(0, munmap(at, SIZE));
}

/* ---- what the system calls do to it ------------------------------------------------------ */

TEST_F(huge, madvise_does_no_harm)
{
	static const int advices[] = {
		MADV_WILLNEED,	    MADV_DONTNEED,	 MADV_FREE,
		MADV_REMOVE,	    MADV_COLD,		 MADV_PAGEOUT,
		MADV_HUGEPAGE,	    MADV_COLLAPSE,	 MADV_NOHUGEPAGE,
		MADV_MERGEABLE,	    MADV_DONTFORK,	 MADV_DOFORK,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_SOFT_OFFLINE,
		MADV_HWPOISON,
	};
	size_t i;

	ENTER();
	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		/* On all, and on a page within a huge page */
		madvise(AT(0), SIZE, advices[i]);
		ASSERT_EQ(-1, differs(AT(0), 0, PAGES))
		TH_LOG("after advice %d", advices[i]);
		madvise(AT(700), PAGE_SIZE, advices[i]);
		ASSERT_EQ(-1, differs(AT(0), 0, PAGES))
		TH_LOG("after advice %d on a page", advices[i]);
	}
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	ASSERT_TRUE(is_all_huge(&self->scene));
	ASSERT_COHERENT(700);
}

TEST_F(huge, other_calls_do_no_harm)
{
	unsigned char resident[PAGES];
	void *address = AT(700);
	unsigned long nodes = 1;
	int status;

	ENTER();
	mincore(AT(0), SIZE, resident);
	msync(AT(0), SIZE, MS_SYNC | MS_INVALIDATE);
	mlock(AT(700), PAGE_SIZE);
	munlock(AT(700), PAGE_SIZE);
	ASSERT_SAME(AT(0), 0, PAGES);
	syscall(SYS_move_pages, 0, 1, &address, NULL, &status, 0);
	syscall(SYS_mbind, AT(0), SIZE, 2 /* MPOL_BIND */, &nodes, 64,
		6 /* MOVE, MOVE_ALL */);
	ASSERT_SAME(AT(0), 0, PAGES);
	/* The viewer's own: what is in it has no weight. */
	ASSERT_EQ(0, smaps(0, (uintptr_t)AT(0), "Rss"));
	pagemap(getpid(), (uintptr_t)AT(700));
	text_must_write("/proc/self/clear_refs", "1");
	text_must_write("/proc/self/clear_refs", "4");
	ASSERT_SAME(AT(0), 0, PAGES);
	ASSERT_COHERENT(700);
	ASSERT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, no_call_gets_a_reference_through_it)
{
	struct io_uring_params parameters = { 0 };
	struct iovec piece = { AT(700), PAGE_SIZE };
	struct iovec whole = { AT(SPAN), PMD_SIZE };
	uint64_t value = 7;
	struct iovec local = { &value, 8 };
	int ends[2], ring;

	ENTER();
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(-1, vmsplice(ends[1], &piece, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, process_vm_readv(getpid(), &local, 1, &piece, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(7, value);
	ring = syscall(SYS_io_uring_setup, 1, &parameters);
	ASSERT_LE(0, ring);
	ASSERT_EQ(-1, syscall(SYS_io_uring_register, ring,
			      IORING_REGISTER_BUFFERS, &whole, 1));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_UNTOUCHED(0, PAGES);
}

static bool kernel_before(int major, int minor)
{
	struct utsname name;
	int is[2];

	if (uname(&name) || sscanf(name.release, "%d.%d", &is[0], &is[1]) != 2)
		fatal("which kernel is this?");
	return is[0] < major || (is[0] == major && is[1] < minor);
}

TEST_F(huge, system_calls_copy_from_and_to_it)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	int mem = mem_open(getpid(), O_RDWR);
	uint64_t word = 0;
	bool refused;
	size_t n;

	/* Nothing has been touched: the copies take the faults. */
	ASSERT_HUGE(HUGES, self->mirror.map,
		    ASSERT_EQ(SIZE, write(fd, AT(0), SIZE)));
	for (n = 0; n < PAGES; n += 100) {
		ASSERT_EQ(8, pread(fd, &word, 8, n * PAGE_SIZE));
		ASSERT_EQ(pattern(SEED, n), word);
	}
	word = 1;
	ASSERT_EQ(8, pwrite(fd, &word, 8, 0));
	ASSERT_EQ(8, pread(fd, AT(700), 8, 0));
	ASSERT_EQ(1, source_load(self->source, ADDRESS(700)));
	/* As a debugger looks at the viewer, and writes. Before 6.6 the kernel has
	 * no way to ask for a page of hugetlb without faulting it in.
	 */
	ASSERT_EQ(8, pread(mem, &word, 8, (uintptr_t)AT(701)));
	ASSERT_EQ(pattern(SEED, 701), word);
	refused = self->kind->hugetlb && kernel_before(6, 6);
	ASSERT_EQ(refused ? -1 : 8, pwrite(mem, &word, 8, (uintptr_t)AT(702)));
	ASSERT_EQ(pattern(SEED, refused ? 702 : 701),
		  source_load(self->source, ADDRESS(702)));
	ASSERT_SHOWS(pattern(SEED, refused ? 702 : 701), AT(702));
	close(mem);
	close(fd);
}

/* ---- weight ---------------------------------------------------------------------------- */

TEST_F(huge, the_sources_huge_page_weighs_what_it_weighed)
{
	static const char *const keys[] = { "Rss",	    "Pss",
					    "Anonymous",    "Shared_Clean",
					    "Shared_Dirty", "Private_Hugetlb" };
	pid_t pid = self->source->pid;
	uint64_t rss = process_status(pid, "VmRSS");
	uint64_t before[ARRAY_SIZE(keys)], frames[HUGES], counts[HUGES];
	uint64_t faults = minor_faults(pid);
	char *second = mirror_again(&self->mirror, PROT_READ | PROT_WRITE);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		before[i] = smaps(pid, self->memory, keys[i]);
	for (i = 0; i < HUGES; i++) {
		frames[i] = frame(pid, ADDRESS(i * SPAN));
		counts[i] = page_mapcount(pid, ADDRESS(i * SPAN));
		ASSERT_EQ(1, counts[i]);
	}
	ENTER();
	ASSERT_SAME(second, 0, PAGES);
	EXPECT_EQ(rss, process_status(pid, "VmRSS"));
	EXPECT_EQ(faults, minor_faults(pid));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_EQ(before[i], smaps(pid, self->memory, keys[i]))
		TH_LOG("%s of the source", keys[i]);
		EXPECT_EQ(0, smaps(0, (uintptr_t)AT(0), keys[i]))
		TH_LOG("%s of the mirror", keys[i]);
	}
	EXPECT_EQ(0, smaps(0, (uintptr_t)AT(0), "AnonHugePages"));
	EXPECT_EQ(0, smaps(0, (uintptr_t)AT(0), "ShmemPmdMapped"));
	for (i = 0; i < HUGES; i++) {
		EXPECT_EQ(frames[i], frame(pid, ADDRESS(i * SPAN)));
		EXPECT_EQ(counts[i], page_mapcount(pid, ADDRESS(i * SPAN)));
		EXPECT_EQ(counts[i],
			  page_mapcount(pid, ADDRESS(i * SPAN + 511)));
	}
	EXPECT_TRUE(is_all_huge(&self->scene));
}

TEST_F(huge, change_beside_it_calls_nobody)
{
	uint64_t hits;

	ASSERT_SAME(AT(0), 0, SPAN);
	hits = mirror_hits(&self->mirror);
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(SPAN), PMD_SIZE,
				    MADV_DONTNEED));
	ASSERT_EQ(hits, mirror_hits(&self->mirror));
	/* Nor does a second change of what has been taken out. */
	source_mprotect(self->source, self->memory, PMD_SIZE, PROT_READ);
	ASSERT_EQ(hits + 1, mirror_hits(&self->mirror));
	source_mprotect(self->source, self->memory, PMD_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_EQ(hits + 1, mirror_hits(&self->mirror));
}

/* ---- under a viewer that writes without pause --------------------------------------------- */

/* The mirror loses its page tables, and what is huge may be so in it again. */
static void mirror_renew(const struct mirror *mirror)
{
	if (mmap(mirror->at, SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, mirror->map, 0) != mirror->at)
		fatal("mmap over a mirror: %m");
}

TEST_F_TIMEOUT(thp, no_write_is_lost_while_it_splits_and_collapses, 60)
{
	int map = self->mirror.map;
	uint64_t collapses = 0, turns = 0, huge;
	struct deadline deadline = deadline_in(3);
	struct hammer *hammer;

	ENTER();
	huge = counter(map, "huge_pages_mapped");
	hammer = hammer_start(self->mirror.at, PAGES);
	while (!deadline_passed(&deadline) || collapses < 3 ||
	       counter(map, "huge_pages_mapped") < huge + 3 * HUGES) {
		uint64_t rounds = hammer_rounds(hammer);

		split_huge_pages(self->source->pid, self->memory, SIZE);
		WAIT_FOR(hammer_rounds(hammer) > rounds);
		collapses += !collapse(self->source, self->memory, SIZE);
		mirror_renew(&self->mirror);
		/* While it is huge, and while it is about to be */
		if (turns++ % 2)
			WAIT_FOR(hammer_rounds(hammer) > rounds + 1);
	}
	assert_none_lost(_metadata, &self->scene, hammer);
}

TEST_F_TIMEOUT(huge, no_write_is_lost_while_it_moves_and_is_protected, 60)
{
	int map = self->mirror.map, prot = PROT_READ | PROT_WRITE;
	struct deadline deadline = deadline_in(2);
	uint64_t huge, moves = 0;
	struct hammer *hammer;
	size_t n;

	if (node_count() < 2)
		SKIP(return, "one memory node (boot with numa=fake=2)");
	ENTER();
	huge = counter(map, "huge_pages_mapped");
	hammer = hammer_start(self->mirror.at, PAGES);
	while (!deadline_passed(&deadline) || moves < 3 * HUGES ||
	       counter(map, "huge_pages_mapped") < huge + 10 * HUGES) {
		for (n = 0; n < PAGES; n += SPAN)
			moves += !node_move(self->source->pid, ADDRESS(n),
					    !node_of(self->source->pid,
						     ADDRESS(n)));
		source_mprotect(self->source, ADDRESS(SPAN), PMD_SIZE,
				prot | PROT_EXEC);
		source_mprotect(self->source, ADDRESS(SPAN), PMD_SIZE, prot);
	}
	assert_none_lost(_metadata, &self->scene, hammer);
}

TEST_F_TIMEOUT(pool, no_write_is_lost_while_children_come_and_go, 60)
{
	int map = self->mirror.map;
	struct deadline deadline = deadline_in(2);
	struct hammer *hammer;
	uint64_t forks, huge;

	ENTER();
	huge = counter(map, "huge_pages_mapped");
	hammer = hammer_start(self->mirror.at, PAGES);
	for (forks = 0; !deadline_passed(&deadline) || forks < 3 ||
			counter(map, "huge_pages_mapped") <= huge + HUGES;
	     forks++) {
		struct source *child = source_fork(self->source);
		/* What the child has does not change under it. */
		uint64_t seen = source_load(child, ADDRESS(100));
		uint64_t rounds = hammer_rounds(hammer);

		source_store(child, ADDRESS(101), 0xbad);
		ASSERT_EQ(seen, source_load(child, ADDRESS(100)));
		source_end(child);
		/* However little of a processor it gets */
		WAIT_FOR(hammer_rounds(hammer) > rounds);
	}
	assert_none_lost(_metadata, &self->scene, hammer);
}

TEST_HARNESS_MAIN
