// SPDX-License-Identifier: GPL-2.0
/*
 * The map file as a file: it is read, written, sought in, spliced and sent. What
 * is there is what /proc/PID/mem says; a hole ends a transfer, and what was
 * moved before is reported.
 */
#include "fuse.h"
#include "harness.h"

#include "bytes.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
/* Where the view is: before it is a hole, behind it the end. */
#define VIEW (3 * PAGE_SIZE)

/* The error of a call that returns -1, or 0 */
#define ERROR_OF(call) ((call) == -1 ? errno : 0)

FIXTURE(io)
{
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
	unsigned char *bytes; /* what the source has */
	unsigned char *buffer; /* as large */
};

FIXTURE_SETUP(io)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	self->bytes = bytes_make(SIZE, 0);
	self->buffer = bytes_make(SIZE, 99);
	bytes_put(self->source, self->memory, self->bytes, SIZE);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, VIEW, SIZE, 0));
}

FIXTURE_TEARDOWN(io)
{
	source_end(self->source);
	free(self->bytes);
	free(self->buffer);
}

#define SOURCE_HAS(bytes) bytes_are(self->source, self->memory, (bytes), SIZE)

/* Take pages from the source: holes. */
#define TAKE_AWAY(page, nr)                                          \
	source_munmap(self->source, self->memory + (page)*PAGE_SIZE, \
		      (nr)*PAGE_SIZE)

/* Open it again, as programs that want a path do. */
static int open_again(int fd, int oflags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, oflags | O_CLOEXEC);
	if (again < 0)
		fatal("%s: %m", path);
	return again;
}

/* All that is new: a file of the kernel's own */
static int plain_file(void)
{
	int fd = memfd_create("plain", MFD_CLOEXEC);

	if (fd < 0)
		fatal("memfd_create: %m");
	return fd;
}

/* Whether a plain file is these bytes and no more */
static bool file_is(int fd, const void *bytes, size_t size)
{
	unsigned char *seen = malloc(size + 1);
	bool same;

	if (!seen)
		fatal("no memory for %zu bytes", size);
	same = pread(fd, seen, size + 1, 0) == (ssize_t)size &&
	       !memcmp(seen, bytes, size);
	free(seen);
	return same;
}

/* ---- bytes, wherever they are ---------------------------------------------------- */

static const size_t offsets[] = { 0,
				  1,
				  511,
				  PAGE_SIZE - 3,
				  PAGE_SIZE,
				  2 * PAGE_SIZE + 1,
				  17 * PAGE_SIZE - 1,
				  SIZE - 2 * PAGE_SIZE - 5,
				  SIZE - 1 };
static const size_t lengths[] = { 1,
				  2,
				  7,
				  PAGE_SIZE - 1,
				  PAGE_SIZE,
				  PAGE_SIZE + 1,
				  3 * PAGE_SIZE + 11,
				  17 * PAGE_SIZE - 2,
				  SIZE };

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* A stretch of the view: the nth of all these, as far as the view has it */
struct stretch {
	size_t offset;
	size_t length;
};

static bool stretch_nth(size_t n, struct stretch *stretch)
{
	if (n >= COUNT(offsets) * COUNT(lengths))
		return false;
	stretch->offset = offsets[n / COUNT(lengths)];
	stretch->length = lengths[n % COUNT(lengths)];
	if (stretch->length > SIZE - stretch->offset)
		stretch->length = SIZE - stretch->offset;
	return true;
}

TEST_F(io, reads_any_stretch)
{
	struct stretch at;
	size_t n;

	for (n = 0; stretch_nth(n, &at); n++) {
		bool to_end = at.offset + at.length == SIZE;

		memset(self->buffer, 0xee, SIZE);
		/* Of what is asked for behind the end there is nothing. */
		ASSERT_EQ(at.length,
			  pread(self->map, self->buffer,
				to_end ? SIZE : at.length, VIEW + at.offset));
		ASSERT_EQ(0, memcmp(self->buffer, self->bytes + at.offset,
				    at.length))
		TH_LOG("offset %zu, length %zu", at.offset, at.length);
		ASSERT_TRUE(at.length == SIZE ||
			    self->buffer[at.length] == 0xee);
	}
}

TEST_F(io, writes_any_stretch)
{
	struct stretch at;
	size_t n;

	for (n = 0; stretch_nth(n, &at); n++) {
		unsigned char *news = bytes_make(at.length, 1000 * (n + 1));

		ASSERT_EQ(at.length,
			  pwrite(self->map, news, at.length, VIEW + at.offset));
		memcpy(self->bytes + at.offset, news, at.length);
		free(news);
		ASSERT_TRUE(SOURCE_HAS(self->bytes))
		TH_LOG("offset %zu, length %zu", at.offset, at.length);
	}
}

TEST_F(io, reads_on_where_it_was)
{
	size_t done = 0;
	ssize_t moved;

	ASSERT_EQ(VIEW, lseek(self->map, VIEW, SEEK_SET));
	while ((moved = read(self->map, self->buffer + done, 4099)) > 0) {
		done += moved;
		ASSERT_EQ(VIEW + done, lseek(self->map, 0, SEEK_CUR));
	}
	ASSERT_EQ(0, moved);
	ASSERT_EQ(SIZE, done);
	ASSERT_EQ(0, memcmp(self->buffer, self->bytes, SIZE));
	/* pread() leaves the position alone. */
	ASSERT_EQ(1, pread(self->map, self->buffer, 1, VIEW));
	ASSERT_EQ(0, read(self->map, self->buffer, 1));
}

TEST_F(io, writes_on_where_it_was)
{
	size_t done;

	ASSERT_EQ(VIEW, lseek(self->map, VIEW, SEEK_SET));
	for (done = 0; done < SIZE; done += PAGE_SIZE / 2)
		ASSERT_EQ(PAGE_SIZE / 2,
			  write(self->map, self->buffer + done, PAGE_SIZE / 2));
	ASSERT_EQ(VIEW + SIZE, lseek(self->map, 0, SEEK_CUR));
	ASSERT_TRUE(SOURCE_HAS(self->buffer));
}

TEST_F(io, vectors_are_filled_in_order)
{
	const size_t pieces[] = { 1, 0, 4095, 2, 8192, 5000, 3, 40000 };
	struct iovec vector[COUNT(pieces)];
	size_t i, total = 0, gap = 64;
	unsigned char *at = self->buffer;

	memset(self->buffer, 0xee, SIZE);
	for (i = 0; i < COUNT(pieces); i++) {
		vector[i] = (struct iovec){ at, pieces[i] };
		at += pieces[i] + gap;
		total += pieces[i];
	}
	ASSERT_EQ(total, preadv(self->map, vector, COUNT(pieces), VIEW + 77));
	for (i = 0, at = self->bytes + 77; i < COUNT(pieces); i++) {
		ASSERT_EQ(0, memcmp(vector[i].iov_base, at, pieces[i]));
		at += pieces[i];
		ASSERT_EQ(0xee,
			  *((unsigned char *)vector[i].iov_base + pieces[i]));
	}
	/* Back, a page further */
	ASSERT_EQ(total, pwritev2(self->map, vector, COUNT(pieces),
				  VIEW + PAGE_SIZE + 77, 0));
	memmove(self->bytes + PAGE_SIZE + 77, self->bytes + 77, total);
	ASSERT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F(io, offset_minus_one_is_the_position)
{
	struct iovec vector = { self->buffer, 100 };

	ASSERT_EQ(VIEW + 5, lseek(self->map, VIEW + 5, SEEK_SET));
	ASSERT_EQ(100, preadv2(self->map, &vector, 1, -1, 0));
	ASSERT_EQ(0, memcmp(self->buffer, self->bytes + 5, 100));
	ASSERT_EQ(VIEW + 105, lseek(self->map, 0, SEEK_CUR));
}

/* Whoever will not wait is told so, in one of the two ways that programs know:
 * a source's page may have to be read in.
 */
#define EXPECT_NO_WAITING(call)                                       \
	do {                                                          \
		int error_ = ERROR_OF(call);                          \
		EXPECT_TRUE(error_ == EAGAIN || error_ == EOPNOTSUPP) \
		TH_LOG("error %d of %s", error_, #call);              \
	} while (0)

TEST_F(io, nowait_is_refused)
{
	struct iovec vector = { self->buffer, PAGE_SIZE };
	unsigned char before = self->buffer[0];

	ASSERT_NE(before, self->bytes[0]);
	ASSERT_EQ(VIEW, lseek(self->map, VIEW, SEEK_SET));
	EXPECT_NO_WAITING(preadv2(self->map, &vector, 1, VIEW, RWF_NOWAIT));
	EXPECT_NO_WAITING(preadv2(self->map, &vector, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(before, self->buffer[0]);
	EXPECT_NO_WAITING(pwritev2(self->map, &vector, 1, VIEW, RWF_NOWAIT));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(VIEW, lseek(self->map, 0, SEEK_CUR));
	/* O_NONBLOCK is of no meaning, as for any file. */
	ASSERT_EQ(0, fcntl(self->map, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(PAGE_SIZE, pread(self->map, self->buffer, PAGE_SIZE, VIEW));
}

TEST_F(io, identity_file_is_read_and_written_at_addresses)
{
	int fd = device_open(O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_GT(0, pread(fd, self->buffer, 1, self->memory));
	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	ASSERT_EQ(SIZE - 1,
		  pread(fd, self->buffer, SIZE - 1, self->memory + 1));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes + 1, SIZE - 1));
	ASSERT_EQ(2, pwrite(fd, "ab", 2, self->memory + PAGE_SIZE - 1));
	memcpy(self->bytes + PAGE_SIZE - 1, "ab", 2);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(fd, self->buffer, 1, 0)));
}

TEST_F(io, mode_is_obeyed)
{
	int reader = open_again(self->map, O_RDONLY);
	int writer = open_again(self->map, O_WRONLY);

	EXPECT_EQ(EBADF, ERROR_OF(pwrite(reader, "x", 1, VIEW)));
	EXPECT_EQ(1, pread(reader, self->buffer, 1, VIEW));
	EXPECT_EQ(EBADF, ERROR_OF(pread(writer, self->buffer, 1, VIEW)));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(1, pwrite(writer, "x", 1, VIEW));
	EXPECT_FALSE(SOURCE_HAS(self->bytes));
}

TEST_F(io, readonly_view_is_not_written)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, VIEW + SIZE, SIZE,
			      PIDFD_MEM_MAP_READONLY));
	EXPECT_EQ(EFAULT, ERROR_OF(pwrite(self->map, "x", 1, VIEW + SIZE)));
	/* Into it from the writable one: what fits there */
	memcpy(self->bytes + SIZE - 3, "abc", 3);
	EXPECT_EQ(3, pwrite(self->map, "abcdef", 6, VIEW + SIZE - 3));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(6, pread(self->map, self->buffer, 6, VIEW + SIZE - 3));
	EXPECT_EQ(0, memcmp(self->buffer, "abc", 3));
	EXPECT_EQ(0, memcmp(self->buffer + 3, self->bytes, 3));
}

/* ---- holes ------------------------------------------------------------------------- */

TEST_F(io, hole_ends_a_read)
{
	TAKE_AWAY(5, 1);
	EXPECT_EQ(5 * PAGE_SIZE, pread(self->map, self->buffer, SIZE, VIEW));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes, 5 * PAGE_SIZE));
	EXPECT_EQ(3,
		  pread(self->map, self->buffer, 10, VIEW + 5 * PAGE_SIZE - 3));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes + 5 * PAGE_SIZE - 3, 3));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 10,
					 VIEW + 5 * PAGE_SIZE)));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 10,
					 VIEW + 6 * PAGE_SIZE - 1)));
	EXPECT_EQ(10, pread(self->map, self->buffer, 10, VIEW + 6 * PAGE_SIZE));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes + 6 * PAGE_SIZE, 10));
	/* The position is behind what was read. */
	ASSERT_EQ(VIEW, lseek(self->map, VIEW, SEEK_SET));
	EXPECT_EQ(5 * PAGE_SIZE, read(self->map, self->buffer, SIZE));
	EXPECT_EQ(VIEW + 5 * PAGE_SIZE, lseek(self->map, 0, SEEK_CUR));
	EXPECT_EQ(EFAULT, ERROR_OF(read(self->map, self->buffer, SIZE)));
	EXPECT_EQ(VIEW + 5 * PAGE_SIZE, lseek(self->map, 0, SEEK_CUR));
}

TEST_F(io, hole_ends_a_write)
{
	const size_t rest = SIZE - 6 * PAGE_SIZE;

	TAKE_AWAY(5, 1);
	EXPECT_EQ(5 * PAGE_SIZE, pwrite(self->map, self->buffer, SIZE, VIEW));
	EXPECT_TRUE(bytes_are(self->source, self->memory, self->buffer,
			      5 * PAGE_SIZE));
	EXPECT_EQ(EFAULT, ERROR_OF(pwrite(self->map, self->buffer, SIZE,
					  VIEW + 5 * PAGE_SIZE)));
	EXPECT_TRUE(bytes_are(self->source, self->memory + 6 * PAGE_SIZE,
			      self->bytes + 6 * PAGE_SIZE, rest));
	EXPECT_EQ(rest,
		  pwrite(self->map, self->buffer, rest, VIEW + 6 * PAGE_SIZE));
	EXPECT_TRUE(bytes_are(self->source, self->memory + 6 * PAGE_SIZE,
			      self->buffer, rest));
}

TEST_F(io, protected_memory_is_a_hole)
{
	source_mprotect(self->source, self->memory + 2 * PAGE_SIZE, PAGE_SIZE,
			PROT_NONE);
	source_mprotect(self->source, self->memory + 4 * PAGE_SIZE, PAGE_SIZE,
			PROT_READ);
	EXPECT_EQ(2 * PAGE_SIZE, pread(self->map, self->buffer, SIZE, VIEW));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 1,
					 VIEW + 2 * PAGE_SIZE)));
	EXPECT_EQ(SIZE - 3 * PAGE_SIZE,
		  pread(self->map, self->buffer, SIZE, VIEW + 3 * PAGE_SIZE));
	EXPECT_EQ(PAGE_SIZE,
		  pwrite(self->map, self->buffer, SIZE, VIEW + 3 * PAGE_SIZE));
	EXPECT_EQ(EFAULT, ERROR_OF(pwrite(self->map, self->buffer, 1,
					  VIEW + 4 * PAGE_SIZE)));
	EXPECT_TRUE(bytes_are(self->source, self->memory + 4 * PAGE_SIZE,
			      self->bytes + 4 * PAGE_SIZE, PAGE_SIZE));
}

TEST_F(io, where_no_view_is_is_a_hole)
{
	/* A gap of a page, and a view that goes on where another ends */
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, VIEW + SIZE + PAGE_SIZE,
			      PAGE_SIZE, 0));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory + 9 * PAGE_SIZE,
			      VIEW + SIZE + 2 * PAGE_SIZE, PAGE_SIZE, 0));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 1, 0)));
	EXPECT_EQ(EFAULT, ERROR_OF(pwrite(self->map, "x", 1, 0)));
	EXPECT_EQ(7, pread(self->map, self->buffer, 99, VIEW + SIZE - 7));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(pread(self->map, self->buffer, 1, VIEW + SIZE)));
	EXPECT_EQ(2 * PAGE_SIZE, pread(self->map, self->buffer, SIZE,
				       VIEW + SIZE + PAGE_SIZE));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes, PAGE_SIZE));
	EXPECT_EQ(0, memcmp(self->buffer + PAGE_SIZE,
			    self->bytes + 9 * PAGE_SIZE, PAGE_SIZE));
	/* The end is no hole to who reads, and nothing to who writes. */
	EXPECT_EQ(0, pread(self->map, self->buffer, 1,
			   VIEW + SIZE + 3 * PAGE_SIZE));
	EXPECT_EQ(EFAULT, ERROR_OF(pwrite(self->map, "x", 1,
					  VIEW + SIZE + 3 * PAGE_SIZE)));
	EXPECT_EQ(EINVAL, ERROR_OF(pread(self->map, self->buffer, 1, -1)));
	ASSERT_EQ(0, view_remove(self->ctrl, VIEW, SIZE));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 1, VIEW)));
}

TEST_F(io, resident_view_makes_no_page)
{
	const uint64_t far = 1UL << 40;

	source_madvise(self->source, self->memory + 3 * PAGE_SIZE, PAGE_SIZE,
		       MADV_DONTNEED);
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, far, SIZE,
			      PIDFD_MEM_MAP_RESIDENT));
	EXPECT_EQ(3 * PAGE_SIZE, pread(self->map, self->buffer, SIZE, far));
	EXPECT_EQ(EFAULT, ERROR_OF(pread(self->map, self->buffer, 1,
					 far + 3 * PAGE_SIZE)));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(pwrite(self->map, "x", 1, far + 3 * PAGE_SIZE)));
	EXPECT_EQ(0, pagemap(self->source->pid, self->memory + 3 * PAGE_SIZE) &
			     PAGEMAP_PRESENT);
	EXPECT_EQ(3, pwrite(self->map, "abc", 3, far + 4 * PAGE_SIZE));
	EXPECT_TRUE(bytes_are(self->source, self->memory + 4 * PAGE_SIZE, "abc",
			      3));
}

TEST_F(io, callers_own_memory_ends_a_transfer)
{
	char *own = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, own);
	ASSERT_EQ(0, munmap(own + PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(10, pread(self->map, own + PAGE_SIZE - 10, 99, VIEW + 7));
	EXPECT_EQ(0, memcmp(own + PAGE_SIZE - 10, self->bytes + 7, 10));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(pread(self->map, own + PAGE_SIZE, 99, VIEW)));
	EXPECT_EQ(10, pwrite(self->map, own + PAGE_SIZE - 10, 99, VIEW + 20));
	memcpy(self->bytes + 20, own + PAGE_SIZE - 10, 10);
	EXPECT_EQ(EFAULT,
		  ERROR_OF(pwrite(self->map, own + PAGE_SIZE, 99, VIEW)));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

/* ---- where data is ------------------------------------------------------------------ */

TEST_F(io, seeks_data_and_holes)
{
	TAKE_AWAY(5, 2);
	source_mprotect(self->source, self->memory + 20 * PAGE_SIZE, PAGE_SIZE,
			PROT_NONE);
	EXPECT_EQ(VIEW + SIZE, lseek(self->map, 0, SEEK_END));
	EXPECT_EQ(VIEW + SIZE - 9, lseek(self->map, -9, SEEK_END));
	EXPECT_EQ(VIEW, lseek(self->map, 0, SEEK_DATA));
	EXPECT_EQ(VIEW, lseek(self->map, 0, SEEK_CUR));
	EXPECT_EQ(0, lseek(self->map, 0, SEEK_HOLE));
	EXPECT_EQ(VIEW + 5 * PAGE_SIZE, lseek(self->map, VIEW, SEEK_HOLE));
	EXPECT_EQ(VIEW + 7 * PAGE_SIZE,
		  lseek(self->map, VIEW + 5 * PAGE_SIZE + 1, SEEK_DATA));
	EXPECT_EQ(VIEW + 7 * PAGE_SIZE + 9,
		  lseek(self->map, VIEW + 7 * PAGE_SIZE + 9, SEEK_DATA));
	EXPECT_EQ(VIEW + 20 * PAGE_SIZE,
		  lseek(self->map, VIEW + 7 * PAGE_SIZE, SEEK_HOLE));
	EXPECT_EQ(VIEW + 21 * PAGE_SIZE,
		  lseek(self->map, VIEW + 20 * PAGE_SIZE, SEEK_DATA));
	EXPECT_EQ(VIEW + SIZE,
		  lseek(self->map, VIEW + 21 * PAGE_SIZE, SEEK_HOLE));
	EXPECT_EQ(ENXIO, ERROR_OF(lseek(self->map, VIEW + SIZE, SEEK_DATA)));
	EXPECT_EQ(ENXIO, ERROR_OF(lseek(self->map, VIEW + SIZE, SEEK_HOLE)));
	EXPECT_EQ(EINVAL, ERROR_OF(lseek(self->map, -1, SEEK_SET)));
}

TEST_F(io, seek_in_a_resident_view_finds_what_is_in_memory)
{
	source_madvise(self->source, self->memory + 3 * PAGE_SIZE,
		       2 * PAGE_SIZE, MADV_DONTNEED);
	ASSERT_EQ(0, view_remove(self->ctrl, VIEW, SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, VIEW, SIZE,
			      PIDFD_MEM_MAP_RESIDENT));
	EXPECT_EQ(VIEW + 3 * PAGE_SIZE, lseek(self->map, VIEW, SEEK_HOLE));
	EXPECT_EQ(VIEW + 5 * PAGE_SIZE,
		  lseek(self->map, VIEW + 3 * PAGE_SIZE, SEEK_DATA));
	EXPECT_EQ(0, pagemap(self->source->pid, self->memory + 3 * PAGE_SIZE) &
			     PAGEMAP_PRESENT);
}

/* ---- very much at once --------------------------------------------------------------- */

/* As much as one call moves of any file */
#define MOST 0x7ffff000UL
#define GIB (1UL << 30)
#define FAR (1UL << 40)

/* Of a read of 4 GiB, which all go to the same place */
#define PIECE (GIB / 256)

static void vector_of_4_gib(struct iovec *vector)
{
	char *at = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (at == MAP_FAILED)
		fatal("no memory for a buffer: %m");
	for (i = 0; i < 1024; i++)
		vector[i] = (struct iovec){ at, PIECE };
}

/* 3 GiB of the source's which it has not touched, but for the last byte that
 * one call may move, and the first that it may not
 */
static uint64_t view_of_3_gib(struct source *source, int ctrl)
{
	uint64_t memory = source_anon(source, 3 * GIB, MAP_NORESERVE);

	bytes_put(source, memory + MOST - 1, "AB", 2);
	if (view_add(ctrl, memory, FAR, 3 * GIB, 0))
		fatal("no view of 3 GiB");
	return memory;
}

TEST_F_TIMEOUT(io, moves_2_gib_at_a_time_as_any_file, 120)
{
	struct iovec vector[1024];
	const unsigned char *at;

	vector_of_4_gib(vector);
	at = vector[0].iov_base;
	view_of_3_gib(self->source, self->ctrl);
	ASSERT_EQ(MOST, preadv(self->map, vector, 1024, FAR));
	EXPECT_EQ('A', at[(MOST - 1) % PIECE]);
	EXPECT_EQ(0, at[MOST % PIECE]);
	ASSERT_EQ(10, pread(self->map, vector[0].iov_base, 10, FAR + MOST - 1));
	EXPECT_EQ(0, memcmp(at, "AB", 3));
}

/* Below a stack that could grow there is nothing; and looking does not make it grow. */
TEST_F(io, below_a_stack_is_a_hole)
{
	uint64_t stack = source_mmap(self->source, 0, 1024 * PAGE_SIZE, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char bytes[2 * PAGE_SIZE];

	/* Two pages, a hole that the stack could grow into, a stack of four */
	source_munmap(self->source, stack, 1024 * PAGE_SIZE);
	source_mmap(self->source, stack, 2 * PAGE_SIZE, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	source_mmap(self->source, stack + 512 * PAGE_SIZE, 4 * PAGE_SIZE,
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
		    -1, 0);
	ASSERT_EQ(0, view_add(self->ctrl, stack, FAR, 1024 * PAGE_SIZE, 0));
	EXPECT_EQ(-1, pread(self->map, bytes, 1, FAR + 511 * PAGE_SIZE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(PAGE_SIZE,
		  pread(self->map, bytes, sizeof(bytes), FAR + PAGE_SIZE));
	EXPECT_EQ(1, pread(self->map, bytes, 1, FAR + 512 * PAGE_SIZE));
	EXPECT_EQ(16, smaps(self->source->pid, stack + 512 * PAGE_SIZE, "Size"));
	EXPECT_EQ(-1, pread(self->map, bytes, 1, FAR + 511 * PAGE_SIZE));
}

TEST_F(io, count_of_4_gib_ends_where_memory_does)
{
	char *own = mmap(NULL, 4 * GIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, own);
	source_mmap(self->source, self->memory + SIZE, PAGE_SIZE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, FAR, 4 * GIB, 0));
	ASSERT_EQ(SIZE - 1, pread(self->map, own, 4 * GIB, FAR + 1));
	EXPECT_EQ(0, memcmp(own, self->bytes + 1, SIZE - 1));
	memcpy(own, self->buffer, SIZE);
	ASSERT_EQ(SIZE, pwrite(self->map, own, 4 * GIB, FAR));
	EXPECT_TRUE(SOURCE_HAS(self->buffer));
}

/* ---- in the midst of a large read ---------------------------------------------------- */

/* A reader's memory, shared with the test: of a very large read the first byte
 * and the last, and what came of it when it came back.
 */
struct reader {
	char first;
	char last;
	bool back;
	ssize_t moved;
};

#define MUCH GIB

static struct reader *reader_make(void)
{
	struct reader *reader = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (reader == MAP_FAILED)
		fatal("mmap: %m");
	return reader;
}

/* A view of memory that the source has not touched, but for those two bytes */
static void view_of_much(struct source *source, int ctrl)
{
	uint64_t memory = source_anon(source, MUCH, MAP_NORESERVE);

	bytes_put(source, memory, "A", 1);
	bytes_put(source, memory + MUCH - 1, "B", 1);
	if (view_add(ctrl, memory, FAR, MUCH, 0))
		fatal("no view of 1 GiB");
}

/* It reads once, and waits to be killed. */
static pid_t reader_start(struct reader *reader, int map)
{
	struct iovec vector[1024];
	pid_t pid;

	memset(reader, 0, sizeof(*reader));
	vector_of_4_gib(vector);
	vector[0] = (struct iovec){ &reader->first, 1 };
	vector[MUCH / PIECE].iov_len -= 2;
	vector[MUCH / PIECE + 1] = (struct iovec){ &reader->last, 1 };
	pid = fork();
	if (pid < 0)
		fatal("fork: %m");
	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(1);
	reader->moved = preadv(map, vector, MUCH / PIECE + 2, FAR);
	__atomic_store_n(&reader->back, true, __ATOMIC_RELEASE);
	while (true)
		pause();
}

#define BEGUN(reader) __atomic_load_n(&(reader)->first, __ATOMIC_ACQUIRE)
#define DONE(reader) __atomic_load_n(&(reader)->last, __ATOMIC_ACQUIRE)
#define BACK(reader) __atomic_load_n(&(reader)->back, __ATOMIC_ACQUIRE)

/* A busy machine may let a read come to its end before anything happens to it:
 * then once more. A read that nothing ends is done each time.
 */
#define ROUNDS 20

TEST_F_TIMEOUT(io, sigkill_ends_a_large_read, 120)
{
	struct reader *reader = reader_make();
	bool ended = false;
	int round, status;
	pid_t pid;

	view_of_much(self->source, self->ctrl);
	for (round = 0; !ended && round < ROUNDS; round++) {
		pid = reader_start(reader, self->map);
		WAIT_FOR(BEGUN(reader));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ended = !DONE(reader);
		if (BACK(reader))
			ASSERT_EQ(MUCH, reader->moved);
	}
	EXPECT_TRUE(ended);
}

TEST_F_TIMEOUT(io, end_of_the_source_ends_a_large_read, 120)
{
	struct reader *reader = reader_make();
	bool ended = false;
	struct source *source;
	int round, ctrl, map;
	pid_t pid;

	for (round = 0; !ended && round < ROUNDS; round++) {
		source = source_start();
		ASSERT_EQ(0, context_open(source->pid, O_RDWR, 0, &ctrl, &map));
		view_of_much(source, ctrl);
		pid = reader_start(reader, map);
		WAIT_FOR(BEGUN(reader));
		source_kill(source);
		WAIT_FOR(BACK(reader));
		/* What was read by then is told. */
		ended = !DONE(reader);
		ASSERT_LT(0, reader->moved);
		ASSERT_EQ(ended, reader->moved < (ssize_t)MUCH);
		EXPECT_EQ(ESRCH, ERROR_OF(pread(map, self->buffer, 1, FAR)));
		program_end(pid);
		source_end(source);
		close(ctrl);
		close(map);
	}
	EXPECT_TRUE(ended);
}

/* ---- while a transfer waits ---------------------------------------------------------- */

/* Memory of the caller's own whose pages come when they are given */
struct late {
	char *at;
	int uffd;
};

static struct late late_make(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register order = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct late late = {
		.at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		/* Without O_NONBLOCK poll() tells nothing. */
		.uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK),
	};

	order.range = (struct uffdio_range){ (uintptr_t)late.at, SIZE };
	if (late.at == MAP_FAILED || late.uffd < 0 ||
	    ioctl(late.uffd, UFFDIO_API, &api) ||
	    ioctl(late.uffd, UFFDIO_REGISTER, &order))
		fatal("no userfaultfd: %m");
	return late;
}

/* Whether somebody waits for a page of it */
static bool late_is_awaited(const struct late *late)
{
	struct pollfd pollfd = { .fd = late->uffd, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

static void late_give(const struct late *late, void *bytes)
{
	struct uffdio_copy order = {
		.dst = (uintptr_t)late->at,
		.src = (uintptr_t)bytes,
		.len = SIZE,
	};

	if (ioctl(late->uffd, UFFDIO_COPY, &order))
		fatal("UFFDIO_COPY: %m");
}

struct call {
	int map;
	bool write;
	char *at;
	ssize_t moved;
	int error;
};

static void *call_thread(void *arg)
{
	struct call *call = arg;

	call->moved = call->write ? pwrite(call->map, call->at, SIZE, VIEW) :
				    pread(call->map, call->at, SIZE, VIEW);
	call->error = errno;
	return NULL;
}

/* While the caller's memory is waited for no lock is held, of the source or of the
 * context, nor any page, and the source's address space can come to its end.
 */
static void expect_no_lock(struct __test_metadata *_metadata,
			   FIXTURE_DATA(io) * self, bool write)
{
	struct late late = late_make();
	struct call call = { .map = self->map, .write = write, .at = late.at };
	struct pollfd end = { .fd = self->map };
	unsigned char *seen = bytes_make(SIZE, 0);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, call_thread, &call));
	WAIT_FOR(late_is_awaited(&late));

	/* Of the source: to look at, to change, to wait for what was changed */
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	source_anon(self->source, PAGE_SIZE, 0);
	source_mprotect(self->source, self->memory, SIZE, PROT_READ);
	EXPECT_EQ(SIZE, pread(self->map, seen, SIZE, VIEW));
	EXPECT_EQ(0, memcmp(seen, self->bytes, SIZE));
	source_munmap(self->source, self->memory, SIZE);
	/* Of the context */
	EXPECT_EQ(0, view_remove(self->ctrl, VIEW, SIZE));
	EXPECT_EQ(0, view_add(self->ctrl, self->memory, VIEW, SIZE, 0));
	EXPECT_EQ(1, counter(self->map, "views"));
	/* Of its end */
	source_kill(self->source);
	WAIT_FOR(poll(&end, 1, 0) == 1 && end.revents & POLLHUP);

	late_give(&late, self->buffer);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-1, call.moved);
	EXPECT_EQ(ESRCH, call.error);
	EXPECT_EQ(0, memcmp(late.at, self->buffer, SIZE));
	close(late.uffd);
	free(seen);
}

/* Who lets his own memory wait keeps nothing of a view that is removed meanwhile. */
static void expect_nothing_moved(struct __test_metadata *_metadata,
				 FIXTURE_DATA(io) * self, bool write)
{
	struct late late = late_make();
	struct call call = { .map = self->map, .write = write, .at = late.at };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, call_thread, &call));
	WAIT_FOR(late_is_awaited(&late));
	ASSERT_EQ(0, view_remove(self->ctrl, VIEW, SIZE));
	late_give(&late, self->buffer);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-1, call.moved);
	EXPECT_EQ(EFAULT, call.error);
	EXPECT_EQ(0, memcmp(late.at, self->buffer, SIZE));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	close(late.uffd);
}

TEST_F(io, read_that_waits_has_nothing_of_a_removed_view)
{
	expect_nothing_moved(_metadata, self, false);
}

TEST_F(io, write_that_waits_does_not_reach_what_was_removed)
{
	expect_nothing_moved(_metadata, self, true);
}

TEST_F(io, no_lock_is_held_while_a_reader_is_waited_for)
{
	expect_no_lock(_metadata, self, false);
}

TEST_F(io, no_lock_is_held_while_a_writer_is_waited_for)
{
	expect_no_lock(_metadata, self, true);
}

/* A file system that never answers, behind what the source has there */
TEST_F(io, sigkill_ends_a_read_that_waits_for_the_source)
{
	struct fuse *fuse = fuse_start();
	uint64_t memory =
		fuse_map(self->source, FILE_NEVER, PROT_READ, MAP_SHARED);
	pid_t pid;

	ASSERT_EQ(0, view_add(self->ctrl, memory, FAR, FUSE_SIZE, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		pread(self->map, self->buffer, FUSE_SIZE, FAR);
		_exit(1);
	}
	WAIT_FOR(fuse_reads(fuse, FILE_NEVER));
	ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	WAIT_FOR(waitpid(pid, NULL, WNOHANG) == pid);
	/* It has the file mapped. */
	source_kill(self->source);
	fuse_end(fuse);
}

/* ---- splice ------------------------------------------------------------------------- */

struct ends {
	int in;
	int out;
};

static struct ends pipe_of(size_t size)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) || fcntl(fds[0], F_SETPIPE_SZ, size) < 0)
		fatal("pipe: %m");
	return (struct ends){ fds[1], fds[0] };
}

static int in_pipe(struct ends ends)
{
	int bytes = -1;

	ioctl(ends.out, FIONREAD, &bytes);
	return bytes;
}

TEST_F(io, splices_to_a_pipe)
{
	struct ends ends = pipe_of(4 * SIZE);
	loff_t offset = VIEW + 5;
	size_t done = 0;
	ssize_t moved;

	while (done < SIZE - 5) {
		moved = splice(self->map, &offset, ends.in, NULL, SIZE, 0);
		ASSERT_LT(0, moved);
		done += moved;
		ASSERT_EQ(VIEW + 5 + done, offset);
	}
	ASSERT_EQ(SIZE - 5, in_pipe(ends));
	ASSERT_EQ(0, splice(self->map, &offset, ends.in, NULL, SIZE, 0));
	ASSERT_EQ(SIZE - 5, read(ends.out, self->buffer, SIZE));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes + 5, SIZE - 5));
}

/* A pipe has the bytes, not the source's pages. */
TEST_F(io, spliced_bytes_stay_what_they_were)
{
	struct ends ends = pipe_of(4 * SIZE);
	loff_t offset = VIEW;

	ASSERT_EQ(4 * PAGE_SIZE, splice(self->map, &offset, ends.in, NULL,
					4 * PAGE_SIZE, SPLICE_F_MOVE));
	bytes_put(self->source, self->memory, self->buffer, SIZE);
	ASSERT_EQ(4 * PAGE_SIZE, read(ends.out, self->buffer, SIZE));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes, 4 * PAGE_SIZE));
}

TEST_F(io, splices_from_a_pipe)
{
	struct ends ends = pipe_of(4 * SIZE);
	size_t done = 0, length = 20 * PAGE_SIZE + 3;
	loff_t offset = VIEW + 77;
	ssize_t moved;

	ASSERT_EQ(length, write(ends.in, self->buffer, length));
	while (done < length) {
		moved = splice(ends.out, NULL, self->map, &offset,
			       length - done, 0);
		ASSERT_LT(0, moved);
		done += moved;
		ASSERT_EQ(VIEW + 77 + done, offset);
	}
	memcpy(self->bytes + 77, self->buffer, length);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(0, in_pipe(ends));
}

TEST_F(io, splice_moves_the_position)
{
	struct ends ends = pipe_of(4 * SIZE);

	ASSERT_EQ(VIEW + 1, lseek(self->map, VIEW + 1, SEEK_SET));
	ASSERT_EQ(100, splice(self->map, NULL, ends.in, NULL, 100, 0));
	ASSERT_EQ(VIEW + 101, lseek(self->map, 0, SEEK_CUR));
	ASSERT_EQ(100, splice(ends.out, NULL, self->map, NULL, 100, 0));
	ASSERT_EQ(VIEW + 201, lseek(self->map, 0, SEEK_CUR));
	memmove(self->bytes + 101, self->bytes + 1, 100);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F(io, hole_ends_a_splice)
{
	struct ends ends = pipe_of(4 * SIZE);
	loff_t offset = VIEW + 4 * PAGE_SIZE - 3;

	TAKE_AWAY(4, 1);
	EXPECT_EQ(3, splice(self->map, &offset, ends.in, NULL, 99, 0));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(splice(self->map, &offset, ends.in, NULL, 99, 0)));
	EXPECT_EQ(VIEW + 4 * PAGE_SIZE, offset);
	EXPECT_EQ(3, in_pipe(ends));
	/* To there: what was not written stays in the pipe. */
	ASSERT_EQ(97, write(ends.in, self->buffer, 97));
	EXPECT_EQ(EFAULT,
		  ERROR_OF(splice(ends.out, NULL, self->map, &offset, 100, 0)));
	EXPECT_EQ(100, in_pipe(ends));
	offset = VIEW + 4 * PAGE_SIZE - 10;
	EXPECT_EQ(10, splice(ends.out, NULL, self->map, &offset, 100, 0));
	EXPECT_EQ(90, in_pipe(ends));
	ASSERT_EQ(90, read(ends.out, self->bytes, 100));
	EXPECT_EQ(0, memcmp(self->bytes, self->buffer + 7, 90));
}

TEST_F(io, splice_obeys_the_mode)
{
	struct ends ends = pipe_of(PAGE_SIZE);
	loff_t offset = VIEW;

	ASSERT_EQ(1, write(ends.in, "x", 1));
	EXPECT_EQ(EBADF, ERROR_OF(splice(ends.out, NULL,
					 open_again(self->map, O_RDONLY),
					 &offset, 1, 0)));
	EXPECT_EQ(EBADF, ERROR_OF(splice(open_again(self->map, O_WRONLY),
					 &offset, ends.in, NULL, 1, 0)));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

/* ---- sendfile ------------------------------------------------------------------------ */

/* Two ends of a stream: of this machine, or as if over a network */
static struct ends stream_local(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		fatal("socketpair: %m");
	return (struct ends){ fds[0], fds[1] };
}

static struct ends stream_tcp(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ends ends;

	ends.in = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, length) ||
	    listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(ends.in, (struct sockaddr *)&address, length))
		fatal("no TCP to oneself: %m");
	ends.out = accept(listener, NULL, NULL);
	close(listener);
	return ends;
}

/* Who receives is another process: it finds that the bytes are these, or not. */
static pid_t receiver_start(struct ends ends, const unsigned char *bytes,
			    size_t size)
{
	unsigned char *seen;
	size_t done = 0;
	ssize_t got;
	pid_t pid = fork();

	if (pid < 0)
		fatal("fork: %m");
	if (pid)
		return pid;
	close(ends.in);
	seen = malloc(size + 1);
	while (seen && done <= size &&
	       (got = read(ends.out, seen + done, size + 1 - done)) > 0)
		done += got;
	_exit(done == size && !memcmp(seen, bytes, size) ? 0 : 1);
}

static void expect_sent(struct __test_metadata *_metadata,
			FIXTURE_DATA(io) * self, struct ends ends)
{
	pid_t receiver = receiver_start(ends, self->bytes + 9, SIZE - 9);
	off_t offset = VIEW + 9;
	ssize_t moved;
	int status;

	close(ends.out);
	while ((moved = sendfile(ends.in, self->map, &offset, SIZE)) > 0)
		continue;
	EXPECT_EQ(0, moved);
	EXPECT_EQ(VIEW + SIZE, offset);
	close(ends.in);
	ASSERT_EQ(receiver, waitpid(receiver, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(io, sendfile_to_a_local_socket)
{
	expect_sent(_metadata, self, stream_local());
}

TEST_F(io, sendfile_to_a_tcp_socket)
{
	expect_sent(_metadata, self, stream_tcp());
}

TEST_F(io, sendfile_to_a_file)
{
	int file = plain_file();

	ASSERT_EQ(VIEW, lseek(self->map, VIEW, SEEK_SET));
	ASSERT_EQ(SIZE, sendfile(file, self->map, NULL, 2 * SIZE));
	EXPECT_EQ(VIEW + SIZE, lseek(self->map, 0, SEEK_CUR));
	EXPECT_TRUE(file_is(file, self->bytes, SIZE));
}

TEST_F(io, sendfile_from_a_file)
{
	int file = plain_file();
	off_t offset = 10;

	ASSERT_EQ(SIZE, write(file, self->buffer, SIZE));
	ASSERT_EQ(VIEW + 3, lseek(self->map, VIEW + 3, SEEK_SET));
	ASSERT_EQ(SIZE - 10, sendfile(self->map, file, &offset, SIZE - 10));
	memcpy(self->bytes + 3, self->buffer + 10, SIZE - 10);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F(io, hole_ends_a_sendfile)
{
	int file = plain_file();
	off_t offset = VIEW;

	TAKE_AWAY(30, 1);
	EXPECT_EQ(30 * PAGE_SIZE, sendfile(file, self->map, &offset, SIZE));
	EXPECT_EQ(VIEW + 30 * PAGE_SIZE, offset);
	EXPECT_TRUE(file_is(file, self->bytes, 30 * PAGE_SIZE));
	EXPECT_EQ(EFAULT, ERROR_OF(sendfile(file, self->map, &offset, SIZE)));
	EXPECT_EQ(VIEW + 30 * PAGE_SIZE, offset);
	EXPECT_TRUE(file_is(file, self->bytes, 30 * PAGE_SIZE));
}

/* ---- the source's end ------------------------------------------------------------------ */

static void expect_ESRCH(struct __test_metadata *_metadata,
			 FIXTURE_DATA(io) * self)
{
	struct iovec vector = { self->buffer, SIZE };
	struct ends ends = pipe_of(PAGE_SIZE);
	loff_t offset = VIEW;

	EXPECT_EQ(ESRCH, ERROR_OF(pread(self->map, self->buffer, SIZE, VIEW)));
	EXPECT_EQ(ESRCH, ERROR_OF(pread(self->map, self->buffer, 1, 0)));
	EXPECT_EQ(ESRCH,
		  ERROR_OF(pread(self->map, self->buffer, 1, VIEW + SIZE)));
	EXPECT_EQ(ESRCH, ERROR_OF(pwrite(self->map, self->buffer, SIZE, VIEW)));
	EXPECT_EQ(ESRCH, ERROR_OF(preadv2(self->map, &vector, 1, VIEW, 0)));
	EXPECT_EQ(ESRCH, ERROR_OF(read(self->map, self->buffer, 1)));
	EXPECT_EQ(ESRCH, ERROR_OF(lseek(self->map, 0, SEEK_DATA)));
	EXPECT_EQ(ESRCH, ERROR_OF(lseek(self->map, VIEW, SEEK_HOLE)));
	EXPECT_EQ(ESRCH,
		  ERROR_OF(sendfile(plain_file(), self->map, &offset, SIZE)));
	EXPECT_EQ(ESRCH,
		  ERROR_OF(splice(self->map, &offset, ends.in, NULL, SIZE, 0)));
	ASSERT_EQ(1, write(ends.in, "x", 1));
	EXPECT_EQ(ESRCH,
		  ERROR_OF(splice(ends.out, NULL, self->map, &offset, 1, 0)));
	EXPECT_EQ(1, in_pipe(ends));
	EXPECT_EQ(VIEW, offset);
	/* What needs no source */
	EXPECT_EQ(VIEW + SIZE, lseek(self->map, 0, SEEK_END));
	EXPECT_LE(0, open_again(self->map, O_RDWR));
}

TEST_F(io, ended_source_ESRCH)
{
	source_kill(self->source);
	expect_ESRCH(_metadata, self);
}

TEST_F(io, executed_source_ESRCH)
{
	char *arguments[] = { "sh", "-c", "kill -STOP $$", NULL };

	ASSERT_EQ(0, source_exec(self->source, "/bin/sh", arguments));
	expect_ESRCH(_metadata, self);
}

TEST_HARNESS_MAIN
