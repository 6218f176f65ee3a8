// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: the source's regions, of every kind that there is.
 */
#include "common.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "harness.h"
#include "library.h"

#define SIZE (8 * PAGE_SIZE)

FIXTURE(regions)
{
	struct source *source;
	pid_t pid;
	struct remotemap_region *all; /* with sizes */
	struct remotemap_region *brief;
	ssize_t nr_all;
	ssize_t nr_brief;
};

FIXTURE_SETUP(regions)
{
	self->source = source_start();
	self->pid = self->source->pid;
}

FIXTURE_TEARDOWN(regions)
{
	remotemap_regions_free(self->all, self->nr_all);
	remotemap_regions_free(self->brief, self->nr_brief);
	source_end(self->source);
}

#define READ()                                                                 \
	do {                                                                   \
		remotemap_regions_free(self->all, self->nr_all);               \
		remotemap_regions_free(self->brief, self->nr_brief);           \
		self->nr_all = CALL(remotemap_regions(self->pid, &self->all)); \
		self->nr_brief = CALL(                                         \
			remotemap_regions_brief(self->pid, &self->brief));     \
		ASSERT_LT(0, self->nr_all);                                    \
		ASSERT_EQ(self->nr_all, self->nr_brief);                       \
	} while (0)

static struct remotemap_region *region_at(struct remotemap_region *regions,
					  ssize_t count, uint64_t address)
{
	ssize_t i;

	for (i = 0; i < count; i++)
		if (regions[i].start <= address && address < regions[i].end)
			return &regions[i];
	fatal("no region at %lx", address);
}

#define ALL(address) region_at(self->all, self->nr_all, (address))
#define BRIEF(address) region_at(self->brief, self->nr_brief, (address))

#define EXPECT_KIND(kind_, address)                                \
	do {                                                       \
		EXPECT_EQ(REMOTEMAP_##kind_, ALL(address)->kind)   \
		TH_LOG("%s", ALL(address)->name);                  \
		EXPECT_EQ(REMOTEMAP_##kind_, BRIEF(address)->kind) \
		TH_LOG("%s", BRIEF(address)->name);                \
	} while (0)

#define EXPECT_SHOWN(address)                                               \
	do {                                                                \
		EXPECT_TRUE(ALL(address)->flags &REMOTEMAP_REGION_SHOWN);   \
		EXPECT_TRUE(BRIEF(address)->flags &REMOTEMAP_REGION_SHOWN); \
	} while (0)
#define EXPECT_NOT_SHOWN(address)                                            \
	do {                                                                 \
		EXPECT_FALSE(ALL(address)->flags &REMOTEMAP_REGION_SHOWN);   \
		EXPECT_FALSE(BRIEF(address)->flags &REMOTEMAP_REGION_SHOWN); \
	} while (0)

/* A file of the test, mapped by the source */
static uint64_t map_file(struct source *source, int fd, int prot, int flags,
			 uint64_t offset)
{
	int number = source_take_fd(source, fd);

	return source_mmap(source, 0, SIZE, prot, flags, number, offset);
}

static int file_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, 4 * SIZE))
		fatal("%s: %m", path);
	return fd;
}

/* ---- what each says ------------------------------------------------------ */

TEST_F(regions, are_those_of_proc_in_their_order)
{
	uint64_t memory = source_anon(self->source, SIZE, 0), start, end;
	char rights[5];
	ssize_t i;

	READ();
	for (i = 0; i < self->nr_all; i++) {
		EXPECT_LT(self->all[i].start, self->all[i].end);
		if (i)
			EXPECT_LE(self->all[i - 1].end, self->all[i].start);
		EXPECT_EQ(self->all[i].start, self->brief[i].start);
		EXPECT_EQ(self->all[i].end, self->brief[i].end);
		EXPECT_STREQ(self->all[i].name, self->brief[i].name);
		EXPECT_EQ(0, self->brief[i].resident);
		EXPECT_EQ(0, self->brief[i].page_size);
	}
	ASSERT_TRUE(mapping_find(self->pid, "[stack]", &start, &end, rights));
	EXPECT_EQ(start, ALL(start)->start);
	EXPECT_EQ(end, ALL(start)->end);
	EXPECT_KIND(STACK, start);
	EXPECT_SHOWN(start);
	EXPECT_KIND(ANONYMOUS, memory);
	EXPECT_STREQ("", ALL(memory)->name);
}

TEST_F(regions, rights)
{
	const struct {
		int prot;
		int flags;
		unsigned int want;
	} cases[] = {
		{ PROT_NONE, MAP_PRIVATE, 0 },
		{ PROT_READ, MAP_PRIVATE,
		  REMOTEMAP_REGION_READ | REMOTEMAP_REGION_SHOWN },
		{ PROT_READ | PROT_WRITE, MAP_SHARED,
		  REMOTEMAP_REGION_READ | REMOTEMAP_REGION_WRITE |
			  REMOTEMAP_REGION_SHARED | REMOTEMAP_REGION_SHOWN },
		{ PROT_READ | PROT_EXEC, MAP_PRIVATE,
		  REMOTEMAP_REGION_READ | REMOTEMAP_REGION_EXEC |
			  REMOTEMAP_REGION_SHOWN },
		{ PROT_EXEC, MAP_PRIVATE, REMOTEMAP_REGION_EXEC },
	};
	uint64_t at[5];
	size_t i;

	for (i = 0; i < 5; i++)
		at[i] = source_mmap(self->source, 0, PAGE_SIZE, cases[i].prot,
				    cases[i].flags | MAP_ANONYMOUS, -1, 0);
	READ();
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(cases[i].want, ALL(at[i])->flags);
		EXPECT_EQ(cases[i].want, BRIEF(at[i])->flags);
	}
}

TEST_F(regions, sizes)
{
	uint64_t memory = source_mmap(self->source, 0, SIZE,
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	source_store(self->source, memory, 1);
	source_store(self->source, memory + 3 * PAGE_SIZE, 1);
	READ();
	EXPECT_EQ(2 * PAGE_SIZE, ALL(memory)->resident);
	EXPECT_EQ(PAGE_SIZE, ALL(memory)->page_size);
	EXPECT_EQ(0, ALL(memory)->huge);
	EXPECT_EQ(0, ALL(memory)->swapped);
}

TEST_F(regions, huge_pages)
{
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);

	source_madvise(self->source, memory, PMD_SIZE, MADV_HUGEPAGE);
	source_fill(self->source, memory, PMD_SIZE, 1);
	if (collapse(self->source, memory, PMD_SIZE))
		SKIP(return, "no huge page was to be had");
	READ();
	EXPECT_EQ(PMD_SIZE, ALL(memory)->huge);
	EXPECT_EQ(PMD_SIZE, ALL(memory)->resident);
}

TEST_F(regions, swapped_pages)
{
	uint64_t memory = source_anon(self->source, SIZE, 0);

	source_fill(self->source, memory, SIZE, 1);
	swap_on();
	ASSERT_TRUE(page_out(self->source, memory, SIZE));
	READ();
	EXPECT_EQ(SIZE, ALL(memory)->swapped);
	EXPECT_EQ(0, ALL(memory)->resident);
	swap_off();
}

/* What a core leaves out */
TEST_F(regions, what_is_not_dumped_and_what_was_changed)
{
	uint64_t memory = source_anon(self->source, SIZE, 0), file;
	int fd = file_make("/tmp/changed");

	file = map_file(self->source, fd, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			0);
	source_madvise(self->source, memory, SIZE, MADV_DONTDUMP);
	READ();
	EXPECT_TRUE(ALL(memory)->flags & REMOTEMAP_REGION_DONTDUMP);
	EXPECT_FALSE(BRIEF(memory)->flags & REMOTEMAP_REGION_DONTDUMP);
	EXPECT_FALSE(ALL(file)->flags & REMOTEMAP_REGION_DONTDUMP);
	EXPECT_FALSE(ALL(file)->flags & REMOTEMAP_REGION_MODIFIED);
	source_store(self->source, file, 1);
	READ();
	EXPECT_TRUE(ALL(file)->flags & REMOTEMAP_REGION_MODIFIED);
	EXPECT_FALSE(BRIEF(file)->flags & REMOTEMAP_REGION_MODIFIED);
	unlink("/tmp/changed");
}

TEST_F(regions, files)
{
	const char *folder = disk_mount("ext4");
	char path[128], name[160];
	struct remotemap_region *region;
	struct stat file;
	uint64_t at;
	int fd;

	if (!folder)
		SKIP(return, "this kernel has no ext4");
	snprintf(path, sizeof(path), "%s/a file\nwith a newline", folder);
	fd = file_make(path);
	ASSERT_EQ(0, fstat(fd, &file));
	at = map_file(self->source, fd, PROT_READ, MAP_PRIVATE, SIZE);
	READ();
	EXPECT_KIND(FILE, at);
	EXPECT_SHOWN(at);
	region = ALL(at);
	snprintf(name, sizeof(name), "%s/a file\\012with a newline", folder);
	EXPECT_STREQ(name, region->name);
	EXPECT_EQ(SIZE, region->offset);
	EXPECT_EQ(file.st_ino, region->inode);
	EXPECT_EQ(major(file.st_dev), region->major);
	EXPECT_EQ(minor(file.st_dev), region->minor);
	ASSERT_EQ(0, unlink(path));
	READ();
	EXPECT_KIND(FILE, at);
	strcat(name, " (deleted)");
	EXPECT_STREQ(name, ALL(at)->name);
	source_munmap(self->source, at, SIZE);
}

/* ---- kinds --------------------------------------------------------------- */

static long heap_grow(void *argument)
{
	(void)argument;
	return (long)sbrk(SIZE);
}

TEST_F(regions, heap)
{
	long heap = source_call(self->source, heap_grow, NULL, 0);

	READ();
	EXPECT_KIND(HEAP, heap);
	EXPECT_SHOWN(heap);
}

static long attach(void *argument)
{
	int segment = shmget(IPC_PRIVATE, SIZE, 0600);
	void *at = shmat(segment, NULL, 0);

	(void)argument;
	shmctl(segment, IPC_RMID, NULL);
	return (long)at;
}

TEST_F(regions, shared_memory)
{
	int prot = PROT_READ | PROT_WRITE, fd = memfd_create("name", 0);
	uint64_t anonymous, memfd, tmpfs, sysv;

	ASSERT_EQ(0, ftruncate(fd, SIZE));
	memfd = map_file(self->source, fd, prot, MAP_SHARED, 0);
	anonymous = source_mmap(self->source, 0, SIZE, prot,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sysv = source_call(self->source, attach, NULL, 0);
	ASSERT_TRUE(!mkdir("/tmp/shmem", 0700) || errno == EEXIST);
	ASSERT_EQ(0, mount("none", "/tmp/shmem", "tmpfs", 0, NULL));
	tmpfs = map_file(self->source, file_make("/tmp/shmem/file"), prot,
			 MAP_PRIVATE, 0);
	READ();
	EXPECT_KIND(SHMEM, memfd);
	EXPECT_STREQ("/memfd:name (deleted)", ALL(memfd)->name);
	EXPECT_KIND(SHMEM, anonymous);
	EXPECT_KIND(SHMEM, sysv);
	EXPECT_KIND(SHMEM, tmpfs);
	EXPECT_SHOWN(memfd);
	EXPECT_SHOWN(anonymous);
	EXPECT_SHOWN(sysv);
	EXPECT_SHOWN(tmpfs);
	umount2("/tmp/shmem", MNT_DETACH);
}

TEST_F(regions, hugetlb)
{
	int prot = PROT_READ | PROT_WRITE;
	int fd = memfd_create("huge", MFD_HUGETLB);
	uint64_t memory, memfd;

	if (!hugetlb_reserve(4))
		SKIP(return, "no memory for huge pages");
	ASSERT_EQ(0, ftruncate(fd, PMD_SIZE));
	memory = source_mmap(self->source, 0, 2 * PMD_SIZE, prot,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	memfd = source_mmap(self->source, 0, PMD_SIZE, prot, MAP_SHARED,
			    source_take_fd(self->source, fd), 0);
	source_store(self->source, memory, 1);
	READ();
	EXPECT_KIND(HUGETLB, memory);
	EXPECT_SHOWN(memory);
	EXPECT_EQ(PMD_SIZE, ALL(memory)->page_size);
	EXPECT_EQ(PMD_SIZE, ALL(memory)->resident);
	EXPECT_EQ(PMD_SIZE, ALL(memory)->huge);
	EXPECT_EQ(REMOTEMAP_HUGETLB, ALL(memfd)->kind);
	EXPECT_EQ(0, ALL(memfd)->resident);
	source_munmap(self->source, memory, 2 * PMD_SIZE);
}

TEST_F(regions, the_kernels_own)
{
	uint64_t start, end;
	char rights[5];

	ASSERT_TRUE(mapping_find(self->pid, "[vdso]", &start, &end, rights));
	READ();
	EXPECT_KIND(SPECIAL, start);
	EXPECT_SHOWN(start);
	ASSERT_TRUE(mapping_find(self->pid, "[vvar]", &start, &end, rights));
	EXPECT_KIND(SPECIAL, start);
	EXPECT_NOT_SHOWN(start);
	if (mapping_find(self->pid, "[vsyscall]", &start, &end, rights)) {
		EXPECT_KIND(SPECIAL, start);
		EXPECT_NOT_SHOWN(start);
	}
}

/* A mirror that the source has of somebody else */
TEST_F(regions, mirrors_are_a_device)
{
	struct source *other = source_start();
	uint64_t memory = source_anon(other, SIZE, 0), at;
	struct remotemap *handle = handle_of(other->pid, memory, SIZE, 0, 0);

	at = source_mmap(self->source, 0, SIZE, PROT_READ, MAP_SHARED,
			 source_take_fd(self->source, remotemap_map_fd(handle)),
			 0);
	READ();
	EXPECT_KIND(DEVICE, at);
	EXPECT_NOT_SHOWN(at);
	remotemap_close(handle);
	source_end(other);
}

TEST_F(regions, secret_memory)
{
	long fd = source_syscall(self->source, SYS_memfd_secret, 0);
	uint64_t at;

	if (fd == -ENOSYS)
		SKIP(return, "this kernel was booted without memfd_secret");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, source_syscall(self->source, SYS_ftruncate, fd, SIZE));
	at = source_mmap(self->source, 0, SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
	READ();
	EXPECT_KIND(SECRET, at);
	EXPECT_NOT_SHOWN(at);
}

TEST(kinds_have_names)
{
	const char *const names[] = { "anonymous", "file",   "shmem",
				      "hugetlb",   "heap",   "stack",
				      "special",   "device", "secret" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		EXPECT_STREQ(names[i], remotemap_kind_name(i));
	EXPECT_STREQ("unknown", remotemap_kind_name(i));
	EXPECT_STREQ("unknown", remotemap_kind_name(-1));
}

/* Of a program as it comes: what is said to be shown is, what is not is not. */
TEST(shown_is_what_a_mirror_shows)
{
	pid_t pid = program_start("/bin/sh", (char *[]){ "sh", NULL });
	struct remotemap_region *regions;
	struct remotemap *handle;
	ssize_t i, count;
	int shown = 0;
	char byte;

	/* Until it has become that program what is opened is soon over. */
	WAIT_FOR(mapping_find(pid, "/bin/", &(uint64_t){ 0 }, &(uint64_t){ 0 },
			      (char[5]){ 0 }) &&
		 mapping_find(pid, "[heap]", &(uint64_t){ 0 }, &(uint64_t){ 0 },
			      (char[5]){ 0 }));
	handle = handle_open(pid, REMOTEMAP_IDENTITY);
	count = CALL(remotemap_regions(pid, &regions));
	ASSERT_LT(5, count);
	for (i = 0; i < count; i++) {
		ssize_t n = remotemap_read(handle, &byte, 1, regions[i].start);
		bool is = regions[i].flags & REMOTEMAP_REGION_SHOWN;

		shown += is;
		/* No address space of a process, and no offset of a file */
		if (regions[i].start >= remotemap_address_space()) {
			EXPECT_EQ(-EINVAL, n);
			continue;
		}
		EXPECT_EQ(is ? 1 : -EFAULT, n)
		TH_LOG("%lx %s", regions[i].start, regions[i].name);
	}
	EXPECT_LT(5, shown);
	remotemap_regions_free(regions, count);
	remotemap_close(handle);
	program_end(pid);
}

/* ---- what is refused ----------------------------------------------------- */

TEST_F(regions, refusals)
{
	struct remotemap_region *none = (void *)4712;

	REFUSED(EFAULT, remotemap_regions(self->pid, NULL));
	REFUSED(EFAULT, remotemap_regions_brief(self->pid, NULL));
	REFUSED(ESRCH, remotemap_regions(0, &none));
	REFUSED(ESRCH, remotemap_regions(-5, &none));
	REFUSED(ESRCH, remotemap_regions(0x7fffffff, &none));
	REFUSED(ESRCH, remotemap_regions_brief(0x7fffffff, &none));
	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		REFUSED(EACCES, remotemap_regions(self->pid, &none));
		REFUSED(EACCES, remotemap_regions_brief(self->pid, &none));
	});
	EXPECT_EQ((void *)4712, none);
	/* A kernel thread has none. */
	EXPECT_EQ(0, CALL(remotemap_regions(2, &none)));
	EXPECT_EQ(NULL, none);
	kill_and_keep(self->pid);
	EXPECT_EQ(0, CALL(remotemap_regions_brief(self->pid, &none)));
	source_kill(self->source);
	REFUSED(ESRCH, remotemap_regions(self->pid, &none));
	remotemap_regions_free(NULL, 0);
}

TEST_HARNESS_MAIN
