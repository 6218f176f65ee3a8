// SPDX-License-Identifier: GPL-2.0
/*
 * Every kind of memory that a process can have: a mirror shows it, follows it,
 * and writes where the source itself would write.
 */
#include "harness.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

/* What a test of any fixture works with; third: a third process, which has the
 * same files as the source
 */
#define SCENE                  \
	struct source *source; \
	struct source *third;  \
	uint64_t memory;       \
	struct mirror mirror;  \
	bool mirrored

struct scene {
	SCENE;
};

/* Members of a fixture that are at once a struct scene for shared functions */
#define SCENE_OF_FIXTURE            \
	union {                     \
		struct scene scene; \
		struct {            \
			SCENE;      \
		};                  \
	}

static void scene_open(struct scene *scene)
{
	scene->source = source_start();
	scene->third = source_start();
}

static void scene_close(struct scene *scene)
{
	/* Not opened where the fixture was skipped */
	if (!scene->source)
		return;
	if (scene->mirrored)
		mirror_close(&scene->mirror);
	source_end(scene->third);
	source_end(scene->source);
}

FIXTURE(memory)
{
	SCENE_OF_FIXTURE;
};

FIXTURE_SETUP(memory)
{
	scene_open(&self->scene);
}

FIXTURE_TEARDOWN(memory)
{
	scene_close(&self->scene);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* Mirror what is at an address of the source. */
#define MIRROR(address, size)                                                  \
	do {                                                                   \
		self->memory = (address);                                      \
		self->mirror = mirror_open(self->source->pid, self->memory,    \
					   (size), PROT_READ | PROT_WRITE, 0); \
		self->mirrored = true;                                         \
	} while (0)

#define ASSERT_COHERENT(n)                                                     \
	do {                                                                   \
		source_store(self->source, ADDRESS(n), 0x5011ceULL);           \
		ASSERT_SHOWS(0x5011ceULL, AT(n));                              \
		ASSERT_WRITES(0x71e3e7ULL, AT(n));                             \
		ASSERT_EQ(0x71e3e7ULL, source_load(self->source, ADDRESS(n))); \
	} while (0)

/* ---- anonymous memory and its zero page ------------------------------------- */

TEST_F(memory, zero_page_shows_and_gives_way_to_the_sources_write)
{
	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	ASSERT_EQ(0, source_load(self->source, ADDRESS(2)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_LE(1, mirror_mapped(&self->mirror));
	ASSERT_HITS(&self->mirror, source_store(self->source, ADDRESS(2), 22));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_SHOWS(0, AT(3));
}

TEST_F(memory, zero_page_is_never_written)
{
	uint64_t zeros = source_anon(self->third, SIZE, 0);

	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	ASSERT_EQ(0, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(0, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(0, source_load(self->third, zeros));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(0, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(0, source_load(self->third, zeros));
	ASSERT_EQ(0, source_load(self->third, zeros + PAGE_SIZE));
}

TEST_F(memory, untouched_memory_is_made_by_whoever_touches_it)
{
	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	ASSERT_EQ(0, frame(self->source->pid, ADDRESS(2)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_WRITES(33, AT(3));
	ASSERT_EQ(33, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(0, source_load(self->source, ADDRESS(3) + 8));
	source_store(self->source, ADDRESS(4), 44);
	ASSERT_SHOWS(44, AT(4));
}

TEST_F(memory, locked_memory_is_shown_and_its_discard_followed)
{
	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	ASSERT_EQ(0,
		  source_syscall(self->source, SYS_mlock, self->memory, SIZE));
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_COHERENT(2);
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, self->memory, SIZE));
	ASSERT_HOLE(AT(2));
}

/* ---- memory shared by files in memory ------------------------------------------- */

static int memfd_make(size_t size, unsigned int flags)
{
	int fd = memfd_create("test", flags);

	if (fd < 0 || ftruncate(fd, size))
		fatal("memfd: %m");
	return fd;
}

/* The source and the third process map the same file, shared. */
#define SHARE(file, size, third)                                               \
	do {                                                                   \
		int fd_ = (file);                                              \
                                                                               \
		MIRROR(source_mmap(self->source, 0, (size),                    \
				   PROT_READ | PROT_WRITE, MAP_SHARED,         \
				   source_take_fd(self->source, fd_), 0),      \
		       (size));                                                \
		third = source_mmap(self->third, 0, (size),                    \
				    PROT_READ | PROT_WRITE, MAP_SHARED,        \
				    source_take_fd(self->third, fd_), 0);      \
		source_fill(self->source, self->memory, (size), SEED);         \
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, (size), SEED)); \
	} while (0)

/* What is true of any file that is mapped shared and writable */
static void shared_file_is_one_memory(struct __test_metadata *_metadata,
				      struct scene *self, int fd)
{
	uint64_t third, word = 44;

	SHARE(fd, SIZE, third);
	source_store(self->third, third + 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_WRITES(33, AT(3));
	ASSERT_EQ(33, source_load(self->source, ADDRESS(3)));
	ASSERT_EQ(33, source_load(self->third, third + 3 * PAGE_SIZE));
	ASSERT_EQ(8, pwrite(fd, &word, 8, 4 * PAGE_SIZE));
	ASSERT_SHOWS(44, AT(4));
	ASSERT_WRITES(55, AT(5));
	ASSERT_EQ(8, pread(fd, &word, 8, 5 * PAGE_SIZE));
	ASSERT_EQ(55, word);
	ASSERT_COHERENT(6);
}

/* The third process punches a hole into the file. */
static void shared_file_punched_shows_zeros(struct __test_metadata *_metadata,
					    struct scene *self, int fd)
{
	int there = source_take_fd(self->third, fd);
	uint64_t third;

	SHARE(fd, SIZE, third);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0,
			      source_syscall(self->third, SYS_fallocate, there,
					     FALLOC_FL_PUNCH_HOLE |
						     FALLOC_FL_KEEP_SIZE,
					     2 * PAGE_SIZE, 2 * PAGE_SIZE)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(0, AT(3));
	ASSERT_SHOWS(pattern(SEED, 1), AT(1));
	ASSERT_SHOWS(pattern(SEED, 4), AT(4));
	/* And the new page is the file's. */
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(23, source_load(self->third, third + 2 * PAGE_SIZE));
	ASSERT_COHERENT(3);
}

/* The third process cuts the file, and makes it long again. */
static void shared_file_truncated_is_a_hole(struct __test_metadata *_metadata,
					    struct scene *self, int fd,
					    size_t keep, size_t size)
{
	int there = source_take_fd(self->third, fd);
	uint64_t third, value;
	size_t n = keep / PAGE_SIZE;

	SHARE(fd, size, third);
	ASSERT_WRITES(11, AT(n));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_syscall(self->third, SYS_ftruncate,
						there, keep)));
	ASSERT_HOLE(AT(n));
	ASSERT_EQ(SIGBUS, source_try_load(self->source, ADDRESS(n), &value));
	ASSERT_SHOWS(pattern(SEED, n - 1), AT(n - 1));
	ASSERT_EQ(0, source_syscall(self->third, SYS_ftruncate, there, size));
	ASSERT_SHOWS(0, AT(n));
	ASSERT_WRITES(12, AT(n));
	ASSERT_EQ(12, source_load(self->source, ADDRESS(n)));
	ASSERT_EQ(12, source_load(self->third, third + n * PAGE_SIZE));
	ASSERT_EQ(0, source_syscall(self->third, SYS_ftruncate, there, 0));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(n));
}

TEST_F(memory, memfd_is_one_memory)
{
	shared_file_is_one_memory(_metadata, &self->scene, memfd_make(SIZE, 0));
}

TEST_F(memory, memfd_punched_by_a_third_process_shows_zeros)
{
	shared_file_punched_shows_zeros(_metadata, &self->scene,
					memfd_make(SIZE, 0));
}

TEST_F(memory, memfd_truncated_by_a_third_process_is_a_hole)
{
	shared_file_truncated_is_a_hole(_metadata, &self->scene,
					memfd_make(SIZE, 0), 8 * PAGE_SIZE,
					SIZE);
}

TEST_F(memory, memfd_removed_by_advice_shows_zeros)
{
	uint64_t third;

	SHARE(memfd_make(SIZE, 0), SIZE, third);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->third, third, SIZE,
						MADV_REMOVE)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_COHERENT(2);
}

TEST_F(memory, memfd_discarded_keeps_its_content)
{
	uint64_t third;

	/* For shared memory this is no discard: the page is the file's. */
	SHARE(memfd_make(SIZE, 0), SIZE, third);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	ASSERT_EQ(22, source_load(self->third, third + 2 * PAGE_SIZE));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_COHERENT(2);
}

TEST_F(memory, memfd_mapped_nonlinearly_shows_each_page_where_it_is)
{
	int fd = memfd_make(SIZE, 0), there;
	size_t n;

	there = source_take_fd(self->source, fd);
	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	/* Page n of the memory is page PAGES - 1 - n of the file. */
	for (n = 0; n < PAGES; n++)
		source_mmap(self->source, ADDRESS(n), PAGE_SIZE,
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    there, (PAGES - 1 - n) * PAGE_SIZE);
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	/* Twice the same page: both places show a write to one. */
	source_mmap(self->source, ADDRESS(3), PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, there, (PAGES - 1 - 2) * PAGE_SIZE);
	ASSERT_WRITES(22, AT(2));
	ASSERT_SHOWS(22, AT(3));
	ASSERT_WRITES(33, AT(3));
	ASSERT_SHOWS(33, AT(2));
}

TEST_F(memory, sealed_memfd_is_not_written)
{
	int fd = memfd_make(SIZE, MFD_ALLOW_SEALING), there;
	uint64_t word = 22;

	ASSERT_EQ(8, pwrite(fd, &word, 8, 2 * PAGE_SIZE));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	there = source_take_fd(self->source, fd);
	/* A private mapping may be written: to a page of its own. */
	MIRROR(source_mmap(self->source, 0, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE, there, 0),
	       SIZE);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(23, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(8, pread(fd, &word, 8, 2 * PAGE_SIZE));
	ASSERT_EQ(22, word);
}

TEST_F(memory, sysv_segment_is_one_memory)
{
	int id = shmget(IPC_PRIVATE, SIZE, 0600);
	uint64_t third;

	ASSERT_LE(0, id);
	MIRROR(source_syscall(self->source, SYS_shmat, id, 0, 0), SIZE);
	third = source_syscall(self->third, SYS_shmat, id, 0, 0);
	ASSERT_EQ(0, shmctl(id, IPC_RMID, NULL));
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	source_store(self->third, third + 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_WRITES(33, AT(3));
	ASSERT_EQ(33, source_load(self->third, third + 3 * PAGE_SIZE));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_syscall(self->source, SYS_shmdt,
						self->memory)));
	ASSERT_HOLE(AT(2));
	ASSERT_EQ(33, source_load(self->third, third + 3 * PAGE_SIZE));
}

TEST_F(memory, sysv_segment_attached_for_reading_is_not_written)
{
	int id = shmget(IPC_PRIVATE, SIZE, 0600);
	uint64_t third;

	MIRROR(source_syscall(self->source, SYS_shmat, id, 0, SHM_RDONLY),
	       SIZE);
	third = source_syscall(self->third, SYS_shmat, id, 0, 0);
	ASSERT_EQ(0, shmctl(id, IPC_RMID, NULL));
	source_store(self->third, third, 11);
	ASSERT_SHOWS(11, AT(0));
	ASSERT_NOT_WRITABLE(AT(0));
	ASSERT_EQ(11, source_load(self->third, third));
}

/* ---- files -------------------------------------------------------------------------- */

/* A file of SIZE, filled as source_fill() fills with SEED */
static int file_make(const char *folder, char *path)
{
	uint64_t page[PAGE_SIZE / sizeof(uint64_t)];
	size_t n, i;
	int fd;

	sprintf(path, "%s/test_memory.XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		fatal("%s: %m", path);
	for (n = 0; n < PAGES; n++) {
		for (i = 0; i < PAGE_SIZE / sizeof(uint64_t); i++)
			page[i] = pattern(SEED, n);
		if (write(fd, page, PAGE_SIZE) != PAGE_SIZE)
			fatal("%s: %m", path);
	}
	return fd;
}

static uint64_t file_word(int fd, size_t offset)
{
	uint64_t word;

	if (pread(fd, &word, sizeof(word), offset) != sizeof(word))
		fatal("pread: %m");
	return word;
}

/* One word changed by write(2), as any process may */
static void file_write(int fd, size_t offset, uint64_t word)
{
	if (pwrite(fd, &word, sizeof(word), offset) != sizeof(word))
		fatal("pwrite: %m");
}

FIXTURE(file)
{
	SCENE_OF_FIXTURE;
	const char *folder;
	char path[64];
	int fd;
};

FIXTURE_VARIANT(file)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(file, tmpfs){
	.type = "tmpfs",
};

FIXTURE_VARIANT_ADD(file, ext4){
	.type = "ext4",
};

FIXTURE_VARIANT_ADD(file, xfs){
	.type = "xfs",
};

FIXTURE_SETUP(file)
{
	bool disk = strcmp(variant->type, "tmpfs");

	self->folder = disk ? disk_mount(variant->type) : "/tmp";
	if (!self->folder)
		SKIP(return, "no %s can be made here", variant->type);
	self->fd = file_make(self->folder, self->path);
	scene_open(&self->scene);
}

FIXTURE_TEARDOWN(file)
{
	scene_close(&self->scene);
	if (!self->folder)
		return;
	close(self->fd);
	unlink(self->path);
	if (strcmp(variant->type, "tmpfs"))
		disk_unmount();
}

/* Map the file in the source: flags MAP_SHARED or MAP_PRIVATE; fd: opened how */
#define MAP_FILE_AT(map_prot, flags, fd)                               \
	MIRROR(source_mmap(self->source, 0, SIZE, (map_prot), (flags), \
			   source_take_fd(self->source, (fd)), 0),     \
	       SIZE)

TEST_F(file, shared_is_one_memory)
{
	shared_file_is_one_memory(_metadata, &self->scene, self->fd);
}

TEST_F(file, punched_by_a_third_process_shows_zeros)
{
	/* What busybox makes for ext4 has no extents, so no holes either. */
	if (fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      PAGE_SIZE) &&
	    errno == EOPNOTSUPP)
		SKIP(return, "this file system punches no holes");
	shared_file_punched_shows_zeros(_metadata, &self->scene, self->fd);
}

TEST_F(file, truncated_by_a_third_process_is_a_hole)
{
	shared_file_truncated_is_a_hole(_metadata, &self->scene, self->fd,
					8 * PAGE_SIZE, SIZE);
}

TEST_F(file, cut_within_a_page_shows_zeros_after_its_end)
{
	uint64_t third;

	SHARE(self->fd, SIZE, third);
	ASSERT_EQ(0, ftruncate(self->fd, 8 * PAGE_SIZE + 512));
	ASSERT_SHOWS(pattern(SEED, 8), AT(8));
	ASSERT_SHOWS(0, AT(8) + 512);
	ASSERT_HOLE(AT(9));
	ASSERT_EQ(0, source_load(self->third, third + 8 * PAGE_SIZE + 512));
}

TEST_F(file, written_through_a_mirror_alone_reaches_the_file)
{
	uint64_t third, hits;

	SHARE(self->fd, SIZE, third);
	hits = mirror_hits(&self->mirror);
	/* Writeback makes every page clean and write-protected (tmpfs has no
	 * disk to write to)...
	 */
	ASSERT_EQ(0, fsync(self->fd));
	if (strcmp(variant->type, "tmpfs"))
		ASSERT_LT(hits, mirror_hits(&self->mirror));
	/* ...so that nothing but the mirror makes this one dirty, twice. */
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(22, file_word(self->fd, 2 * PAGE_SIZE));
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(0, source_syscall(self->source, SYS_msync, self->memory, SIZE,
				    MS_SYNC));
	source_munmap(self->third, third, SIZE);
	source_munmap(self->source, self->memory, SIZE);
	drop_caches();
	ASSERT_EQ(23, file_word(self->fd, 2 * PAGE_SIZE));
	ASSERT_EQ(pattern(SEED, 3), file_word(self->fd, 3 * PAGE_SIZE));
}

TEST_F(file, private_shows_the_file_until_the_source_writes)
{
	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	/* The page is still the file's. */
	file_write(self->fd, 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	/* Now it is the source's. */
	ASSERT_HITS(&self->mirror, source_store(self->source, ADDRESS(2), 23));
	ASSERT_SHOWS(23, AT(2));
	ASSERT_EQ(22, file_word(self->fd, 2 * PAGE_SIZE));
	file_write(self->fd, 2 * PAGE_SIZE, 24);
	ASSERT_SHOWS(23, AT(2));
}

TEST_F(file, private_written_by_the_viewer_leaves_the_file_alone)
{
	uint64_t third;

	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd);
	third = source_mmap(self->third, 0, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE, source_take_fd(self->third, self->fd),
			    0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_WRITES(22, AT(2));
	/* Also where neither has looked before */
	ASSERT_EQ(0, source_madvise(self->source, ADDRESS(8), 8 * PAGE_SIZE,
				    MADV_DONTNEED));
	ASSERT_WRITES(99, AT(9));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(99, source_load(self->source, ADDRESS(9)));
	ASSERT_EQ(pattern(SEED, 9), source_load(self->source, ADDRESS(9) + 8));
	ASSERT_EQ(pattern(SEED, 2), file_word(self->fd, 2 * PAGE_SIZE));
	ASSERT_EQ(pattern(SEED, 9), file_word(self->fd, 9 * PAGE_SIZE));
	ASSERT_EQ(-1, source_pattern_differs(self->third, third, SIZE, SEED));
	ASSERT_COHERENT(2);
	ASSERT_COHERENT(9);
	ASSERT_EQ(pattern(SEED, 2), file_word(self->fd, 2 * PAGE_SIZE));
}

TEST_F(file, private_discarded_shows_the_file_again)
{
	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(pattern(SEED, 2), file_word(self->fd, 2 * PAGE_SIZE));
}

TEST_F(file, private_truncated_is_a_hole_even_where_copied)
{
	uint64_t value;

	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_WRITES(99, AT(9));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, ftruncate(self->fd, 8 * PAGE_SIZE)));
	ASSERT_EQ(SIGBUS, source_try_load(self->source, ADDRESS(9), &value));
	ASSERT_HOLE(AT(9));
	ASSERT_HOLE(AT(10));
	ASSERT_SHOWS(pattern(SEED, 7), AT(7));
}

/* A mapping that the source itself may not write */
static void file_is_not_written(struct __test_metadata *_metadata,
				FIXTURE_DATA(file) * self, int prot, int flags,
				int oflags)
{
	char path[64];
	size_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, oflags | O_CLOEXEC);
	ASSERT_LE(0, fd);
	MAP_FILE_AT(prot, flags, fd);
	for (n = 0; n < PAGES; n++) {
		/* Before and after the page is mapped */
		ASSERT_NOT_WRITABLE(AT(n));
		ASSERT_SHOWS(pattern(SEED, n), AT(n));
		ASSERT_NOT_WRITABLE(AT(n));
		ASSERT_EQ(pattern(SEED, n),
			  source_load(self->source, ADDRESS(n)));
		ASSERT_EQ(pattern(SEED, n), file_word(self->fd, n * PAGE_SIZE));
	}
	/* The viewer follows others' writes all the same. */
	file_write(self->fd, 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(22, AT(2));
	close(fd);
}

TEST_F(file, opened_for_reading_is_never_written)
{
	file_is_not_written(_metadata, self, PROT_READ, MAP_SHARED, O_RDONLY);
}

TEST_F(file, mapped_for_reading_is_never_written)
{
	file_is_not_written(_metadata, self, PROT_READ, MAP_SHARED, O_RDWR);
}

TEST_F(file, mapped_private_for_reading_is_never_written)
{
	file_is_not_written(_metadata, self, PROT_READ, MAP_PRIVATE, O_RDONLY);
}

TEST_F(file, opened_for_reading_and_mapped_private_takes_writes_of_its_own)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	ASSERT_EQ(pattern(SEED, 2), file_word(self->fd, 2 * PAGE_SIZE));
	close(fd);
}

TEST_F(file, dropped_from_the_cache_is_read_again)
{
	MAP_FILE_AT(PROT_READ | PROT_WRITE, MAP_SHARED, self->fd);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	/* The source lets go, so the mirror alone looks at what is cached. */
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						SIZE, MADV_DONTNEED)));
	drop_caches();
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	ASSERT_COHERENT(2);
}

/* ---- pages of 2 MiB ----------------------------------------------------------------- */

#define HUGE_PAGES 4UL
#define HUGE_SIZE (HUGE_PAGES * PMD_SIZE)

FIXTURE(hugetlb)
{
	SCENE_OF_FIXTURE;
};

FIXTURE_SETUP(hugetlb)
{
	if (!hugetlb_reserve(16))
		SKIP(return, "no memory for 16 huge pages");
	scene_open(&self->scene);
}

FIXTURE_TEARDOWN(hugetlb)
{
	scene_close(&self->scene);
	hugetlb_reserve(0);
}

TEST_F(hugetlb, private_is_coherent)
{
	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, HUGE_SIZE, SEED));
	ASSERT_COHERENT(0);
	ASSERT_COHERENT(511);
	ASSERT_COHERENT(512);
	ASSERT_COHERENT(HUGE_SIZE / PAGE_SIZE - 1);
}

TEST_F(hugetlb, private_is_copied_on_write_after_fork)
{
	struct source *child;

	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	ASSERT_WRITES(22, AT(2));
	ASSERT_WRITES(600, AT(600));
	ASSERT_HITS(&self->mirror, child = source_fork(self->source));
	ASSERT_SHOWS(22, AT(2));
	source_store(self->source, ADDRESS(2), 23);
	ASSERT_SHOWS(23, AT(2));
	ASSERT_EQ(22, source_load(child, ADDRESS(2)));
	ASSERT_WRITES(601, AT(600));
	ASSERT_EQ(601, source_load(self->source, ADDRESS(600)));
	ASSERT_EQ(600, source_load(child, ADDRESS(600)));
	source_end(child);
	ASSERT_COHERENT(2);
}

TEST_F(hugetlb, untouched_is_made_by_the_viewer)
{
	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	ASSERT_SHOWS(0, AT(2));
	ASSERT_WRITES(600, AT(600));
	ASSERT_EQ(600, source_load(self->source, ADDRESS(600)));
	ASSERT_COHERENT(2);
}

TEST_F(hugetlb, pool_has_its_pages_back_at_once)
{
	const char *free_pages =
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	uint64_t before = number_read(free_pages);

	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, HUGE_SIZE, SEED));
	ASSERT_EQ(before - HUGE_PAGES, number_read(free_pages));
	ASSERT_HITS(&self->mirror,
		    source_munmap(self->source, self->memory, HUGE_SIZE));
	/* The mirror is still mapped, and holds nothing. */
	ASSERT_EQ(before, number_read(free_pages));
	ASSERT_HOLE(AT(2));
}

TEST_F(hugetlb, discarded_shows_zeros)
{
	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0, source_madvise(self->source, self->memory,
						PMD_SIZE, MADV_DONTNEED)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(pattern(SEED, 512), AT(512));
	ASSERT_COHERENT(2);
}

TEST_F(hugetlb, protected_is_obeyed)
{
	MIRROR(source_anon(self->source, HUGE_SIZE, MAP_HUGETLB), HUGE_SIZE);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror, source_mprotect(self->source, self->memory,
						   PMD_SIZE, PROT_READ));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_NOT_WRITABLE(AT(2));
	ASSERT_COHERENT(600);
	source_mprotect(self->source, self->memory, PMD_SIZE, PROT_NONE);
	ASSERT_HOLE(AT(2));
	source_mprotect(self->source, self->memory, PMD_SIZE,
			PROT_READ | PROT_WRITE);
	ASSERT_COHERENT(2);
}

TEST_F(hugetlb, shared_is_one_memory)
{
	uint64_t third;

	SHARE(memfd_make(HUGE_SIZE, MFD_HUGETLB), HUGE_SIZE, third);
	source_store(self->third, third + 2 * PAGE_SIZE, 22);
	ASSERT_SHOWS(22, AT(2));
	ASSERT_WRITES(600, AT(600));
	ASSERT_EQ(600, source_load(self->third, third + 600 * PAGE_SIZE));
	ASSERT_COHERENT(3);
}

TEST_F(hugetlb, shared_punched_by_a_third_process_shows_zeros)
{
	int fd = memfd_make(HUGE_SIZE, MFD_HUGETLB), there;
	uint64_t third;

	SHARE(fd, HUGE_SIZE, third);
	there = source_take_fd(self->third, fd);
	ASSERT_WRITES(22, AT(2));
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0,
			      source_syscall(self->third, SYS_fallocate, there,
					     FALLOC_FL_PUNCH_HOLE |
						     FALLOC_FL_KEEP_SIZE,
					     0, PMD_SIZE)));
	ASSERT_SHOWS(0, AT(2));
	ASSERT_SHOWS(pattern(SEED, 512), AT(512));
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(23, source_load(self->third, third + 2 * PAGE_SIZE));
}

TEST_F(hugetlb, shared_truncated_by_a_third_process_is_a_hole)
{
	shared_file_truncated_is_a_hole(_metadata, &self->scene,
					memfd_make(HUGE_SIZE, MFD_HUGETLB),
					2 * PMD_SIZE, HUGE_SIZE);
}

TEST_F(hugetlb, shared_page_tables_are_seen_through)
{
	const size_t size = 1UL << 30;
	int fd = memfd_make(size, MFD_HUGETLB);
	int here = source_take_fd(self->source, fd);
	int there = source_take_fd(self->third, fd);
	uint64_t at = 64UL << 30;

	/* Aligned to 1 GiB and as large: two processes share the page table. */
	source_mmap(self->source, at, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, here, 0);
	source_mmap(self->third, at, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, there, 0);
	MIRROR(at, size);
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_EQ(22, source_load(self->third, ADDRESS(2)));
	ASSERT_SHOWS(22, AT(2));
	ASSERT_WRITES(23, AT(2));
	ASSERT_EQ(23, source_load(self->third, ADDRESS(2)));
	ASSERT_HITS(&self->mirror, ASSERT_EQ(0, ftruncate(fd, 0)));
	ASSERT_HOLE(AT(2));
}

/* ---- transparent huge pages of files in memory ---------------------------------------- */

TEST_F(memory, memfd_of_huge_pages_is_one_memory)
{
	const char *knob = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	uint64_t third, at = 64UL << 30;
	int fd, here, there;

	text_must_write(knob, "force");
	fd = memfd_make(HUGE_SIZE, 0);
	here = source_take_fd(self->source, fd);
	there = source_take_fd(self->third, fd);
	MIRROR(source_mmap(self->source, at, HUGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED_NOREPLACE, here, 0),
	       HUGE_SIZE);
	third = source_mmap(self->third, 0, HUGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED, there, 0);
	source_fill(self->source, self->memory, HUGE_SIZE, SEED);
	text_must_write(knob, "never");
	ASSERT_LT(0, smaps(self->source->pid, self->memory, "ShmemPmdMapped"));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, HUGE_SIZE, SEED));
	ASSERT_WRITES(600, AT(600));
	ASSERT_EQ(600, source_load(self->third, third + 600 * PAGE_SIZE));
	ASSERT_COHERENT(2);
	/* A hole within the huge page splits it. */
	ASSERT_HITS(&self->mirror,
		    ASSERT_EQ(0,
			      source_syscall(self->third, SYS_fallocate, there,
					     FALLOC_FL_PUNCH_HOLE |
						     FALLOC_FL_KEEP_SIZE,
					     600 * PAGE_SIZE, PAGE_SIZE)));
	ASSERT_SHOWS(0, AT(600));
	ASSERT_SHOWS(pattern(SEED, 599), AT(599));
	ASSERT_SHOWS(pattern(SEED, 601), AT(601));
	ASSERT_COHERENT(600);
	ASSERT_EQ(0, ftruncate(fd, PMD_SIZE + 8 * PAGE_SIZE));
	ASSERT_SHOWS(pattern(SEED, 519), AT(519));
	ASSERT_HOLE(AT(520));
}

/* ---- memory that something has pinned ---------------------------------------------------- */

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

TEST_F(memory, pinned_memory_stays_with_the_process_that_pinned_it)
{
	struct pinned pinned;
	struct source *child;
	uint64_t pfn;
	long result;

	MIRROR(source_anon(self->source, SIZE, 0), SIZE);
	source_fill(self->source, self->memory, SIZE, SEED);
	pinned = (struct pinned){ self->memory, SIZE };
	result = source_call(self->source, pin, &pinned, sizeof(pinned));
	if (result == -ENOSYS || result == -EPERM)
		SKIP(return, "no io_uring here");
	ASSERT_LE(0, result);
	pfn = frame(self->source->pid, ADDRESS(2));
	ASSERT_WRITES(22, AT(2));
	/* A pinned page is copied for the child at once, and stays writable. */
	child = source_fork(self->source);
	ASSERT_WRITES(23, AT(2));
	source_store(self->source, ADDRESS(3), 33);
	ASSERT_SHOWS(33, AT(3));
	ASSERT_EQ(pfn, frame(self->source->pid, ADDRESS(2)));
	ASSERT_EQ(22, source_load(child, ADDRESS(2)));
	ASSERT_EQ(pattern(SEED, 3), source_load(child, ADDRESS(3)));
	source_end(child);
}

/* ---- an unmodified program ------------------------------------------------------------------ */

TEST_F(memory, unmodified_program_is_seen_whole)
{
	static const char *const parts[] = { "[stack]", "[heap]", "[vdso]",
					     "busybox" };
	char *argv[] = { "sleep", "1000", NULL };
	pid_t pid = program_start("/usr/lib/busybox/sleep", argv);
	uint64_t start, end, value;
	struct mirror mirror;
	char perms[5];
	size_t i;

	/* Before it is itself it is a copy of the test, which has a heap too. */
	WAIT_FOR(mapping_find(pid, "busybox", &start, &end, perms) &&
		 mapping_find(pid, "[heap]", &start, &end, perms));
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		ASSERT_TRUE(mapping_find(pid, parts[i], &start, &end, perms));
		mirror = mirror_open(pid, start, end - start,
				     PROT_READ | PROT_WRITE, 0);
		/* The top page of a stack always holds something. */
		ASSERT_EQ(0, touch_read(mirror.at + (end - start) - PAGE_SIZE,
					&value));
		ASSERT_LT(0, mirror_mapped(&mirror));
		if (i >= 2)
			ASSERT_EQ(0x464c457f, *(volatile uint32_t *)mirror.at);
		if (perms[1] == '-')
			ASSERT_NOT_WRITABLE(mirror.at);
		mirror_close(&mirror);
	}
	program_end(pid);
}

TEST_HARNESS_MAIN
