// SPDX-License-Identifier: GPL-2.0
/*
 * What a mirror does not show, as /proc/PID/mem does not, and what nobody can
 * do with a mirror: the answer is SIGBUS or an errno, at once.
 */
#include "harness.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1

FIXTURE(refusal)
{
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_SETUP(refusal)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
}

FIXTURE_TEARDOWN(refusal)
{
	mirror_close(&self->mirror);
	source_end(self->source);
}

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)

/* Put a mapping of that file over what is mirrored; the source can read it. */
#define MAP_OVER(prot, flags, fd, offset)                                 \
	ASSERT_HITS(&self->mirror,                                        \
		    source_mmap(self->source, self->memory, SIZE, (prot), \
				(flags) | MAP_FIXED,                      \
				source_take_fd(self->source, (fd)), (offset)))

/* ---- memory that is refused ---------------------------------------------------- */

TEST_F(refusal, secret_memory)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no memfd_secret (boot with secretmem.enable=1)");
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	MAP_OVER(PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_HOLE(AT(0));
	source_store(self->source, ADDRESS(0), 11);
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
	/* Other memory of the same process still shows. */
	source_mmap(self->source, self->memory, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	source_store(self->source, ADDRESS(0), 12);
	ASSERT_SHOWS(12, AT(0));
}

TEST_F(refusal, mirror_of_a_mirror)
{
	struct source *victim = source_start();
	uint64_t memory = source_anon(victim, SIZE, 0);
	struct mirror mirror;

	source_fill(victim, memory, SIZE, SEED + 1);
	mirror = mirror_open(victim->pid, memory, SIZE, PROT_READ | PROT_WRITE,
			     0);
	MAP_OVER(PROT_READ | PROT_WRITE, MAP_SHARED, mirror.map, 0);
	ASSERT_HOLE(AT(0));
	/* Nor where the page is installed in the source */
	ASSERT_EQ(pattern(SEED + 1, 0), source_load(self->source, ADDRESS(0)));
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_EQ(22, source_load(victim, memory + 2 * PAGE_SIZE));
	ASSERT_HOLE(AT(0));
	ASSERT_HOLE(AT(2));
	ASSERT_EQ(22, source_load(victim, memory + 2 * PAGE_SIZE));
	mirror_close(&mirror);
	source_end(victim);
}

TEST_F(refusal, pages_of_the_kernel)
{
	int fd = mem_open(self->source->pid, O_RDONLY);
	uint64_t start, end, value;
	struct mirror mirror;
	char perms[5];

	/* The kernel's clock, mapped into every process */
	ASSERT_TRUE(
		mapping_find(self->source->pid, "[vvar]", &start, &end, perms));
	ASSERT_EQ(0, source_try_load(self->source, start, &value));
	mirror = mirror_open(self->source->pid, start, end - start,
			     PROT_READ | PROT_WRITE, 0);
	/* From 7.0 on these are ordinary pages. */
	if (pread(fd, &value, sizeof(value), start) == sizeof(value)) {
		ASSERT_EQ(0, touch_read(mirror.at, &value));
	} else {
		ASSERT_NOT_READABLE(mirror.at);
	}
	ASSERT_NOT_WRITABLE(mirror.at);
	mirror_close(&mirror);
	close(fd);
}

TEST_F(refusal, memory_of_a_device)
{
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	uint64_t value;

	ASSERT_LE(0, fd);
	/* The firmware, which anyone with that right may map */
	MAP_OVER(PROT_READ, MAP_SHARED, fd, 0xf0000);
	ASSERT_EQ(0, source_try_load(self->source, ADDRESS(0), &value));
	ASSERT_HOLE(AT(0));
	close(fd);
}

TEST_F(refusal, file_in_device_memory)
{
	const char *folder = dax_mount();
	char path[64];
	int fd;

	if (!folder)
		SKIP(return, "no memory as a disk (boot with memmap=64M!2G)");
	snprintf(path, sizeof(path), "%s/test", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	MAP_OVER(PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	source_store(self->source, ADDRESS(0), 11);
	ASSERT_HOLE(AT(0));
	ASSERT_EQ(11, source_load(self->source, ADDRESS(0)));
	source_munmap(self->source, self->memory, SIZE);
	close(fd);
	source_kill(self->source);
	disk_unmount();
}

TEST_F(refusal, memory_without_rights)
{
	ASSERT_HITS(&self->mirror,
		    source_mmap(self->source, self->memory, SIZE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0));
	ASSERT_HOLE(AT(0));
}

TEST_F(refusal, addresses_where_nothing_is)
{
	struct mirror mirror;

	/* The lowest page of all, and one far from everything */
	mirror = mirror_open(self->source->pid, 0, PAGE_SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_HOLE(mirror.at);
	mirror_close(&mirror);
	mirror = mirror_open(self->source->pid, 1UL << 40, SIZE,
			     PROT_READ | PROT_WRITE, 0);
	ASSERT_HOLE(mirror.at);
	ASSERT_EQ(0, mirror_mapped(&mirror));
	mirror_close(&mirror);
}

TEST_F(refusal, address_space_of_ones_own)
{
	int ctrl, map, there, sibling;
	struct source *other;

	ASSERT_EQ(0, context_open(getpid(), O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, (uintptr_t)self->mirror.at, 0, SIZE, 0));
	ASSERT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_SHARED, map, 0));
	ASSERT_EQ(EINVAL, errno);
	close(ctrl);
	close(map);

	/* Nor by a process that shares the source's address space */
	there = source_take_fd(self->source, self->mirror.map);
	ASSERT_EQ(-EINVAL, source_syscall(self->source, SYS_mmap, 0, SIZE,
					  PROT_READ, MAP_SHARED, there, 0));
	other = source_fork_sharing_memory(self->source);
	sibling = source_take_fd(other, self->mirror.map);
	ASSERT_EQ(-EINVAL, source_syscall(other, SYS_mmap, 0, SIZE, PROT_READ,
					  MAP_SHARED, sibling, 0));
	source_end(other);
	/* A child of the source has an address space of its own. */
	other = source_fork(self->source);
	sibling = source_take_fd(other, self->mirror.map);
	source_mmap(other, 0, SIZE, PROT_READ, MAP_SHARED, sibling, 0);
	source_end(other);
}

/* ---- writes that are refused ------------------------------------------------------ */

TEST_F(refusal, write_through_a_read_only_view)
{
	struct mirror mirror;
	size_t n;

	mirror = mirror_open(self->source->pid, self->memory, SIZE,
			     PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_READONLY);
	for (n = 0; n < PAGES; n++) {
		/* Before and after the page is mapped */
		ASSERT_NOT_WRITABLE(mirror.at + n * PAGE_SIZE);
		ASSERT_SHOWS(pattern(SEED, n), mirror.at + n * PAGE_SIZE);
		ASSERT_NOT_WRITABLE(mirror.at + n * PAGE_SIZE);
	}
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_SHOWS(22, mirror.at + 2 * PAGE_SIZE);
	/* The same memory through the other view is not touched by that. */
	ASSERT_WRITES(23, AT(2));
	ASSERT_SHOWS(23, mirror.at + 2 * PAGE_SIZE);
	ASSERT_NOT_WRITABLE(mirror.at + 2 * PAGE_SIZE);
	mirror_close(&mirror);
}

TEST_F(refusal, write_through_a_file_opened_for_reading)
{
	struct mirror mirror =
		mirror_open_readonly(self->source->pid, self->memory, SIZE);

	ASSERT_EQ(-1, pattern_differs(mirror.at, SIZE, SEED));
	ASSERT_EQ(SIGSEGV, touch_write(mirror.at, 1));
	ASSERT_EQ(-1, mprotect(mirror.at, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(EACCES, errno);
	ASSERT_EQ(SIGSEGV, touch_write(mirror.at, 1));
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	source_store(self->source, ADDRESS(2), 22);
	ASSERT_SHOWS(22, mirror.at + 2 * PAGE_SIZE);
	mirror_close(&mirror);
}

TEST_F(refusal, execution)
{
	ASSERT_EQ(-1, mprotect(self->mirror.at, SIZE, PROT_READ | PROT_EXEC));
	ASSERT_EQ(EACCES, errno);
	ASSERT_SHOWS(pattern(SEED, 0), AT(0));
}

/* ---- what would hold the page -------------------------------------------------------- */

TEST_F(refusal, system_calls_that_take_references)
{
	struct iovec here = { .iov_len = 8 }, there = { AT(2), 8 };
	struct iovec buffer = { AT(2), PAGE_SIZE };
	struct io_uring_params params = { 0 };
	uint64_t word;
	int pipes[2], ring;

	here.iov_base = &word;
	ASSERT_EQ(-1, process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, process_vm_writev(getpid(), &here, 1, &there, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(-1, vmsplice(pipes[1], &buffer, 1, 0));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-1, syscall(SYS_futex, AT(2), FUTEX_WAKE, 1, NULL, NULL, 0));
	ASSERT_EQ(EFAULT, errno);
	ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring >= 0) {
		ASSERT_EQ(-1, syscall(SYS_io_uring_register, ring,
				      IORING_REGISTER_BUFFERS, &buffer, 1));
		ASSERT_TRUE(errno == EFAULT || errno == EOPNOTSUPP);
		close(ring);
	}
	/* And nothing has come of it. */
	ASSERT_EQ(1, page_mapcount(self->source->pid, ADDRESS(2)));
	ASSERT_SHOWS(pattern(SEED, 2), AT(2));
	ASSERT_WRITES(22, AT(2));
	ASSERT_EQ(22, source_load(self->source, ADDRESS(2)));
}

TEST_F(refusal, advice_that_would_change_the_source)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE,
				       MADV_REMOVE,   MADV_PAGEOUT,
				       MADV_HUGEPAGE, MADV_MERGEABLE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		/* Most are errors; none may do anything to the source. */
		madvise(self->mirror.at, SIZE, advices[i]);
		ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory,
						     SIZE, SEED));
		ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
	}
}

TEST_F(refusal, growth)
{
	ASSERT_EQ(MAP_FAILED,
		  mremap(self->mirror.at, SIZE, 2 * SIZE, MREMAP_MAYMOVE));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_SHOWS(pattern(SEED, 0), AT(0));
	/* A second mapping of the same pages, by mremap of no length */
	ASSERT_EQ(MAP_FAILED, mremap(self->mirror.at, 0, SIZE, MREMAP_MAYMOVE));
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, SIZE, SEED));
}

TEST_HARNESS_MAIN
