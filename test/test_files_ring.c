// SPDX-License-Identifier: GPL-2.0
/*
 * The map file by way of io_uring: by the caller itself, by a worker, by the
 * kernel's polling thread, and as a registered file.
 */
#include "fuse.h"
#include "harness.h"

#include "bytes.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
/* Where the view is: before it is a hole, behind it the end. */
#define VIEW (3 * PAGE_SIZE)
#define ENTRIES 64U

/* ---- a ring ---------------------------------------------------------------------- */

struct ring {
	int fd;
	unsigned int flags; /* IORING_SETUP_* */
	char *queues; /* of both, as the kernel lays them out */
	struct io_uring_params params;
	struct io_uring_sqe *sqes;
	unsigned int fresh; /* filled, not yet submitted */
};

#define IN_QUEUES(ring, which, field) \
	((unsigned int *)((ring)->queues + (ring)->params.which.field))

/* -errno where there is none */
static int ring_open(struct ring *ring, unsigned int flags)
{
	size_t size;

	memset(ring, 0, sizeof(*ring));
	ring->flags = flags;
	ring->params.flags = flags;
	ring->params.sq_thread_idle = 2000;
	ring->fd = syscall(SYS_io_uring_setup, ENTRIES, &ring->params);
	if (ring->fd < 0)
		return -errno;
	if (!(ring->params.features & IORING_FEAT_SINGLE_MMAP))
		fatal("a ring of an old kernel");
	size = ring->params.cq_off.cqes +
	       ring->params.cq_entries * sizeof(struct io_uring_cqe);
	ring->queues = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->params.sq_entries * sizeof(*ring->sqes),
			  PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			  IORING_OFF_SQES);
	if (ring->queues == MAP_FAILED || ring->sqes == MAP_FAILED)
		fatal("mmap of a ring: %m");
	return 0;
}

/* The next entry, empty */
static struct io_uring_sqe *ring_next(struct ring *ring)
{
	unsigned int tail = *IN_QUEUES(ring, sq_off, tail) + ring->fresh;
	unsigned int mask = *IN_QUEUES(ring, sq_off, ring_mask);
	struct io_uring_sqe *sqe = &ring->sqes[tail & mask];

	IN_QUEUES(ring, sq_off, array)[tail & mask] = tail & mask;
	ring->fresh++;
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

static void ring_submit(struct ring *ring)
{
	unsigned int *tail = IN_QUEUES(ring, sq_off, tail), nr = ring->fresh;
	unsigned int flags = 0;

	__atomic_store_n(tail, *tail + nr, __ATOMIC_RELEASE);
	ring->fresh = 0;
	if (ring->flags & IORING_SETUP_SQPOLL)
		flags = IORING_ENTER_SQ_WAKEUP;
	if (syscall(SYS_io_uring_enter, ring->fd, nr, 0, flags, NULL, 0) !=
	    (long)nr)
		fatal("io_uring_enter: %m");
}

/* Whether something has completed: what, and what it came to */
static bool ring_reap(struct ring *ring, uint64_t *which, int *result)
{
	unsigned int *head = IN_QUEUES(ring, cq_off, head);
	unsigned int mask = *IN_QUEUES(ring, cq_off, ring_mask);
	struct io_uring_cqe *cqes =
		(void *)(ring->queues + ring->params.cq_off.cqes);

	/* Completions of some kinds are put there by who waits for them. */
	if (syscall(SYS_io_uring_enter, ring->fd, 0, 0, IORING_ENTER_GETEVENTS,
		    NULL, 0) < 0)
		fatal("io_uring_enter: %m");
	if (*head ==
	    __atomic_load_n(IN_QUEUES(ring, cq_off, tail), __ATOMIC_ACQUIRE))
		return false;
	*which = cqes[*head & mask].user_data;
	*result = cqes[*head & mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

/* The result of the one that was filled, in bounded time */
static int ring_do(struct ring *ring)
{
	uint64_t which;
	int result;

	ring_submit(ring);
	WAIT_FOR(ring_reap(ring, &which, &result));
	return result;
}

/* ---- each way ----------------------------------------------------------------------- */

FIXTURE(ring)
{
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
	unsigned char *bytes; /* what the source has */
	unsigned char *buffer; /* as large, registered as buffer 0 */
	struct iovec vector; /* of that */
	struct ring ring;
};

FIXTURE_VARIANT(ring)
{
	unsigned int setup; /* IORING_SETUP_* */
	unsigned int flags; /* of entries: IOSQE_* */
};

/* clang-format off */
FIXTURE_VARIANT_ADD(ring, plain) {
	.setup = 0,
};
FIXTURE_VARIANT_ADD(ring, by_a_worker) {
	.flags = IOSQE_ASYNC,
};
FIXTURE_VARIANT_ADD(ring, by_the_polling_thread) {
	.setup = IORING_SETUP_SQPOLL,
};
FIXTURE_VARIANT_ADD(ring, registered_file) {
	.flags = IOSQE_FIXED_FILE,
};
/* clang-format on */

FIXTURE_SETUP(ring)
{
	int error = ring_open(&self->ring, variant->setup);

	if (error == -ENOSYS || error == -EPERM)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, error);
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	self->bytes = bytes_make(SIZE, 0);
	self->buffer = bytes_make(SIZE, 99);
	self->vector = (struct iovec){ self->buffer, SIZE };
	bytes_put(self->source, self->memory, self->bytes, SIZE);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, VIEW, SIZE, 0));
	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->ring.fd,
			     IORING_REGISTER_BUFFERS, &self->vector, 1));
	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->ring.fd,
			     IORING_REGISTER_FILES, &self->map, 1));
}

FIXTURE_TEARDOWN(ring)
{
	if (!self->source)
		return;
	source_end(self->source);
	close(self->ring.fd);
	free(self->bytes);
	free(self->buffer);
}

#define SOURCE_HAS(bytes) bytes_are(self->source, self->memory, (bytes), SIZE)

/* What is to be done to the map file, with memory at at, length of it (or,
 * where op takes a vector, that vector and its length)
 */
static struct io_uring_sqe *prepare(FIXTURE_DATA(ring) * self,
				    const FIXTURE_VARIANT(ring) * variant,
				    unsigned int op, const void *at,
				    unsigned int length, uint64_t offset)
{
	struct io_uring_sqe *sqe = ring_next(&self->ring);

	sqe->opcode = op;
	sqe->flags = variant->flags;
	sqe->fd = variant->flags & IOSQE_FIXED_FILE ? 0 : self->map;
	sqe->addr = (uintptr_t)at;
	sqe->len = length;
	sqe->off = offset;
	return sqe;
}

#define DO(op, at, length, offset)                                      \
	({                                                              \
		prepare(self, variant, (op), (at), (length), (offset)); \
		ring_do(&self->ring);                                   \
	})

static const unsigned int reads[] = { IORING_OP_READ, IORING_OP_READ_FIXED };
static const unsigned int writes[] = { IORING_OP_WRITE, IORING_OP_WRITE_FIXED };

TEST_F(ring, reads)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		memset(self->buffer, 0xee, SIZE);
		ASSERT_EQ(SIZE, DO(reads[i], self->buffer, SIZE, VIEW));
		ASSERT_EQ(0, memcmp(self->buffer, self->bytes, SIZE));
		memset(self->buffer, 0xee, SIZE);
		ASSERT_EQ(8193, DO(reads[i], self->buffer + 3, 8193,
				   VIEW + 4 * PAGE_SIZE - 5));
		ASSERT_EQ(0, memcmp(self->buffer + 3,
				    self->bytes + 4 * PAGE_SIZE - 5, 8193));
		ASSERT_EQ(0xee, self->buffer[2]);
		ASSERT_EQ(0xee, self->buffer[3 + 8193]);
		/* To the end, and there */
		ASSERT_EQ(7, DO(reads[i], self->buffer, 99, VIEW + SIZE - 7));
		ASSERT_EQ(0, DO(reads[i], self->buffer, 99, VIEW + SIZE));
	}
}

TEST_F(ring, writes)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(8193, DO(writes[i], self->buffer + 3 + i, 8193,
				   VIEW + 4 * PAGE_SIZE - 5));
		memcpy(self->bytes + 4 * PAGE_SIZE - 5, self->buffer + 3 + i,
		       8193);
		ASSERT_TRUE(SOURCE_HAS(self->bytes));
	}
}

TEST_F(ring, vectors)
{
	struct iovec vector[] = { { self->buffer + 4, 1 },
				  { self->buffer + 1000, PAGE_SIZE },
				  { self->buffer + 3 * PAGE_SIZE, 33333 } };
	const unsigned char *at = self->bytes + 50;

	ASSERT_EQ(1 + PAGE_SIZE + 33333,
		  DO(IORING_OP_READV, vector, 3, VIEW + 50));
	ASSERT_EQ(*at, self->buffer[4]);
	ASSERT_EQ(0, memcmp(self->buffer + 1000, at + 1, PAGE_SIZE));
	ASSERT_EQ(0, memcmp(self->buffer + 3 * PAGE_SIZE, at + 1 + PAGE_SIZE,
			    33333));
	ASSERT_EQ(1 + PAGE_SIZE + 33333,
		  DO(IORING_OP_WRITEV, vector, 3, VIEW + 51));
	memmove(self->bytes + 51, self->bytes + 50, 1 + PAGE_SIZE + 33333);
	ASSERT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F(ring, goes_on_where_the_file_was)
{
	ASSERT_EQ(VIEW + 9, lseek(self->map, VIEW + 9, SEEK_SET));
	ASSERT_EQ(100, DO(IORING_OP_READ, self->buffer, 100, -1));
	ASSERT_EQ(0, memcmp(self->buffer, self->bytes + 9, 100));
	ASSERT_EQ(VIEW + 109, lseek(self->map, 0, SEEK_CUR));
}

TEST_F(ring, serves_many_at_once)
{
	uint64_t which;
	unsigned int i;
	int result;

	memset(self->buffer, 0xee, SIZE);
	for (i = 0; i < ENTRIES; i++)
		prepare(self, variant, reads[i % 2],
			self->buffer + i * PAGE_SIZE, PAGE_SIZE,
			VIEW + i * PAGE_SIZE)
			->user_data = i;
	ring_submit(&self->ring);
	for (i = 0; i < ENTRIES; i++) {
		WAIT_FOR(ring_reap(&self->ring, &which, &result));
		ASSERT_EQ(PAGE_SIZE, result) TH_LOG("page %d", (int)which);
	}
	ASSERT_EQ(0, memcmp(self->buffer, self->bytes, SIZE));
}

TEST_F(ring, hole_ends_a_transfer)
{
	size_t i;

	source_munmap(self->source, self->memory + 5 * PAGE_SIZE, PAGE_SIZE);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-EFAULT, DO(reads[i], self->buffer, 99, 0));
		EXPECT_EQ(-EFAULT, DO(reads[i], self->buffer, PAGE_SIZE,
				      VIEW + 5 * PAGE_SIZE));
		EXPECT_EQ(3, DO(reads[i], self->buffer, PAGE_SIZE,
				VIEW + 5 * PAGE_SIZE - 3));
		EXPECT_EQ(0, memcmp(self->buffer,
				    self->bytes + 5 * PAGE_SIZE - 3, 3));
		EXPECT_EQ(-EFAULT, DO(writes[i], self->buffer, PAGE_SIZE,
				      VIEW + 5 * PAGE_SIZE));
		EXPECT_EQ(3, DO(writes[i], self->buffer, PAGE_SIZE,
				VIEW + 5 * PAGE_SIZE - 3));
	}
	EXPECT_TRUE(bytes_are(self->source, self->memory + 6 * PAGE_SIZE,
			      self->bytes + 6 * PAGE_SIZE,
			      SIZE - 6 * PAGE_SIZE));
}

TEST_F(ring, read_only_is_not_written)
{
	int map = self->map;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", map);
	self->map = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->map);
	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->ring.fd,
			     IORING_UNREGISTER_FILES, NULL, 0));
	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->ring.fd,
			     IORING_REGISTER_FILES, &self->map, 1));
	EXPECT_EQ(-EBADF, DO(IORING_OP_WRITE, self->buffer, 9, VIEW));
	EXPECT_EQ(-EBADF, DO(IORING_OP_WRITE_FIXED, self->buffer, 9, VIEW));
	EXPECT_EQ(9, DO(IORING_OP_READ, self->buffer, 9, VIEW));
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F(ring, splices_to_a_pipe)
{
	struct io_uring_sqe *sqe;
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	sqe = ring_next(&self->ring);
	sqe->opcode = IORING_OP_SPLICE;
	sqe->flags = variant->flags & ~IOSQE_FIXED_FILE;
	sqe->fd = fds[1];
	sqe->off = -1;
	sqe->splice_fd_in = self->map;
	if (variant->flags & IOSQE_FIXED_FILE) {
		sqe->splice_fd_in = 0;
		sqe->splice_flags = SPLICE_F_FD_IN_FIXED;
	}
	sqe->splice_off_in = VIEW + 5;
	sqe->len = 2 * PAGE_SIZE;
	ASSERT_EQ(2 * PAGE_SIZE, ring_do(&self->ring));
	ASSERT_EQ(2 * PAGE_SIZE, read(fds[0], self->buffer, SIZE));
	EXPECT_EQ(0, memcmp(self->buffer, self->bytes + 5, 2 * PAGE_SIZE));
}

/* ---- the source's end ------------------------------------------------------------------ */

TEST_F(ring, ended_source_ESRCH)
{
	source_kill(self->source);
	EXPECT_EQ(-ESRCH, DO(IORING_OP_READ, self->buffer, SIZE, VIEW));
	EXPECT_EQ(-ESRCH, DO(IORING_OP_READ_FIXED, self->buffer, SIZE, VIEW));
	EXPECT_EQ(-ESRCH, DO(IORING_OP_READV, &self->vector, 1, VIEW));
	EXPECT_EQ(-ESRCH, DO(IORING_OP_WRITE, self->buffer, SIZE, VIEW));
	EXPECT_EQ(-ESRCH, DO(IORING_OP_WRITE_FIXED, self->buffer, SIZE, VIEW));
}

/* Each of many reads ends as reads end: all of it, a part, or the source's end. */
TEST_F(ring, source_ends_while_many_read)
{
	unsigned int i, round, ended = 0;
	uint64_t which;
	int result;

	/* Until it has ended, or time is up */
	for (round = 0; !ended; round++) {
		for (i = 0; i < ENTRIES; i++)
			prepare(self, variant, reads[i % 2], self->buffer, SIZE,
				VIEW)
				->user_data = i;
		ring_submit(&self->ring);
		if (round == 1)
			ASSERT_EQ(0, kill(self->source->pid, SIGKILL));
		for (i = 0; i < ENTRIES; i++) {
			WAIT_FOR(ring_reap(&self->ring, &which, &result));
			if (!round)
				ASSERT_EQ(SIZE, result);
			if (result == -ESRCH)
				ended++;
			else
				ASSERT_TRUE(result > 0 && result <= (int)SIZE)
			TH_LOG("round %u: %d", round, result);
		}
	}
}

/* A poll for the end, as other calls wait for theirs */
TEST_F(ring, poll_tells_the_end)
{
	struct io_uring_sqe *sqe =
		prepare(self, variant, IORING_OP_POLL_ADD, NULL, 0, 0);
	uint64_t which;
	int result;

	sqe->poll32_events = POLLHUP;
	ring_submit(&self->ring);
	usleep(20000);
	ASSERT_FALSE(ring_reap(&self->ring, &which, &result));
	source_kill(self->source);
	WAIT_FOR(ring_reap(&self->ring, &which, &result));
	EXPECT_EQ(POLLHUP, result);
}

/* ---- a source's page that takes its time ------------------------------------------------ */

FIXTURE(wait)
{
	struct fuse *fuse;
	struct source *source;
	int ctrl;
	int map;
	unsigned char *buffer;
	struct ring ring;
};

FIXTURE_SETUP(wait)
{
	int error = ring_open(&self->ring, 0);

	if (error == -ENOSYS || error == -EPERM)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, error);
	self->fuse = fuse_start();
	self->source = source_start();
	self->buffer = bytes_make(FUSE_SIZE, 0);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDONLY, 0, &self->ctrl,
				  &self->map));
}

FIXTURE_TEARDOWN(wait)
{
	if (!self->source)
		return;
	source_end(self->source);
	fuse_end(self->fuse);
	close(self->ring.fd);
	free(self->buffer);
}

static void show_file(FIXTURE_DATA(wait) * self, enum fuse_file file)
{
	uint64_t memory = fuse_map(self->source, file, PROT_READ, MAP_SHARED);

	if (view_add(self->ctrl, memory, VIEW, FUSE_SIZE, 0))
		fatal("no view of a file");
}

static void begin_read(FIXTURE_DATA(wait) * self)
{
	struct io_uring_sqe *sqe = ring_next(&self->ring);

	sqe->opcode = IORING_OP_READ;
	sqe->fd = self->map;
	sqe->addr = (uintptr_t)self->buffer;
	sqe->len = FUSE_SIZE;
	sqe->off = VIEW;
	ring_submit(&self->ring);
}

/* To submit never waits for the source. */
TEST_F(wait, read_completes_when_the_page_is_there)
{
	uint64_t which;
	int result;

	show_file(self, FILE_LATE);
	begin_read(self);
	WAIT_FOR(fuse_reads(self->fuse, FILE_LATE));
	ASSERT_FALSE(ring_reap(&self->ring, &which, &result));
	fuse_answer(self->fuse);
	WAIT_FOR(ring_reap(&self->ring, &which, &result));
	ASSERT_EQ(FUSE_SIZE, result);
	EXPECT_EQ(-1, pattern_differs(self->buffer, FUSE_SIZE, FUSE_SEED));
}

TEST_F(wait, page_that_cannot_be_had_EFAULT)
{
	uint64_t which;
	int result;

	show_file(self, FILE_BROKEN);
	begin_read(self);
	WAIT_FOR(ring_reap(&self->ring, &which, &result));
	EXPECT_EQ(-EFAULT, result);
}

TEST_F(wait, source_that_ends_meanwhile_ends_the_read)
{
	uint64_t which;
	int result;

	show_file(self, FILE_NEVER);
	begin_read(self);
	WAIT_FOR(fuse_reads(self->fuse, FILE_NEVER));
	source_kill(self->source);
	ASSERT_FALSE(ring_reap(&self->ring, &which, &result));
	fuse_kill(self->fuse);
	WAIT_FOR(ring_reap(&self->ring, &which, &result));
	EXPECT_TRUE(result == -EFAULT || result == -ESRCH)
	TH_LOG("result %d", result);
	EXPECT_EQ(-1, pread(self->map, self->buffer, 1, VIEW));
	EXPECT_EQ(ESRCH, errno);
}

/* The ring goes with its process; a read that waits for the source does not hold
 * that up.
 */
TEST_F(wait, sigkill_ends_who_submitted)
{
	pid_t pid;

	show_file(self, FILE_NEVER);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
		    ring_open(&self->ring, 0))
			_exit(1);
		begin_read(self);
		pause();
		_exit(2);
	}
	WAIT_FOR(fuse_reads(self->fuse, FILE_NEVER));
	ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	WAIT_FOR(waitpid(pid, NULL, WNOHANG) == pid);
}

TEST_HARNESS_MAIN
