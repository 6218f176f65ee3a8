// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that cannot be served at once. The viewer waits, with no lock of its
 * own, or is refused; whatever it does there ends: with the data, with an
 * error, or with SIGKILL.
 */
#include "fuse.h"
#include "harness.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define SEED 1
#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)

/* ---- ways to a page ----------------------------------------------------------- */

/* What an access comes to beside 0, a signal and an errno */
#define WRONG 200

/* Look at the word at offset of the mirror, which is to be want. */
typedef int way(const struct mirror *mirror, size_t offset, uint64_t want);

static int by_load(const struct mirror *mirror, size_t offset, uint64_t want)
{
	uint64_t value;
	int raised = touch_read(mirror->at + offset, &value);

	if (raised)
		return raised;
	return value == want ? 0 : WRONG;
}

static int by_store(const struct mirror *mirror, size_t offset, uint64_t value)
{
	return touch_write(mirror->at + offset, value);
}

/* The kernel reads the mirror. */
static int by_system_call(const struct mirror *mirror, size_t offset,
			  uint64_t want)
{
	uint64_t value = 0;
	int ends[2], error = 0;

	if (pipe(ends))
		fatal("pipe: %m");
	if (write(ends[1], mirror->at + offset, 8) != 8)
		error = errno;
	else if (read(ends[0], &value, 8) != 8 || value != want)
		error = WRONG;
	close(ends[0]);
	close(ends[1]);
	return error;
}

/* The kernel writes it. */
static int by_storing_system_call(const struct mirror *mirror, size_t offset,
				  uint64_t value)
{
	int ends[2], error = 0;

	if (pipe(ends) || write(ends[1], &value, 8) != 8)
		fatal("pipe: %m");
	if (read(ends[0], mirror->at + offset, 8) != 8)
		error = errno;
	close(ends[0]);
	close(ends[1]);
	return error;
}

static int by_pread(const struct mirror *mirror, size_t offset, uint64_t want)
{
	uint64_t value;

	if (pread(mirror->map, &value, 8, offset) != 8)
		return errno;
	return value == want ? 0 : WRONG;
}

static int futex(const char *at, int op, uint32_t value,
		 const struct timespec *timeout)
{
	return syscall(SYS_futex, at, op, value, timeout, NULL, 0) < 0 ? errno :
									 0;
}

/* A private futex that has this value waits for its time to pass. */
static int by_futex_wait(const struct mirror *mirror, size_t offset,
			 uint64_t want)
{
	struct timespec at_once = { .tv_nsec = 1 };
	int error =
		futex(mirror->at + offset, FUTEX_WAIT_PRIVATE, want, &at_once);

	if (error == ETIMEDOUT)
		return 0;
	return error == EAGAIN ? WRONG : error;
}

/* All that wait if they must, and what they say of a page that cannot be had */
static const struct {
	way *way;
	int refusal;
} ways[] = {
	{ by_load, SIGBUS },
	{ by_system_call, EFAULT },
	{ by_pread, EFAULT },
	{ by_futex_wait, EFAULT },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

/* ---- a thread that goes there --------------------------------------------------- */

struct walker {
	pthread_t thread;
	const struct mirror *mirror;
	way *way;
	size_t offset;
	uint64_t word;
	int result;
	bool done;
};

static void *walker_run(void *arg)
{
	struct walker *walker = arg;

	walker->result =
		walker->way(walker->mirror, walker->offset, walker->word);
	__atomic_store_n(&walker->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void walker_start(struct walker *walker, const struct mirror *mirror,
			 way *way, size_t offset, uint64_t word)
{
	*walker = (struct walker){
		.mirror = mirror,
		.way = way,
		.offset = offset,
		.word = word,
	};
	if (pthread_create(&walker->thread, NULL, walker_run, walker))
		fatal("pthread_create failed");
}

static bool walker_done(struct walker *walker)
{
	return __atomic_load_n(&walker->done, __ATOMIC_ACQUIRE);
}

/* What it came to, in bounded time */
static int walker_join(struct walker *walker)
{
	WAIT_FOR(walker_done(walker));
	pthread_join(walker->thread, NULL);
	return walker->result;
}

static int go(const struct mirror *mirror, way *way, size_t offset,
	      uint64_t word)
{
	struct walker walker;

	walker_start(&walker, mirror, way, offset, word);
	return walker_join(&walker);
}

/* ---- a process that does -------------------------------------------------------- */

/* Its exit status is what its way comes to. */
static pid_t viewer_start(const struct mirror *mirror, way *way, size_t offset,
			  uint64_t word)
{
	struct mirror own = *mirror;
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fatal("fork: %m");
	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(WRONG);
	own.at = mirror_again(mirror, PROT_READ | PROT_WRITE);
	_exit(way(&own, offset, word));
}

/* As in /proc/PID/stat */
static char state_of(pid_t pid)
{
	char path[32], text[256], state;
	const char *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(text, sizeof(text), file))
		fatal("%s: %m", path);
	fclose(file);
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %c", &state) != 1)
		fatal("%s cannot be read", path);
	return state;
}

/* Whether it waits for what only SIGKILL, at most, can make it give up */
static bool waits(pid_t pid)
{
	char state = state_of(pid);

	if (state == 'Z')
		fatal("process %d has ended and was to wait", pid);
	return state == 'D';
}

/* How it ends, if in bounded time: its exit status, or 256 + a signal */
static int ending(pid_t pid)
{
	int status;

	WAIT_FOR(waitpid(pid, &status, WNOHANG) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

#define KILLED (256 + SIGKILL)

/* One that waits, on each way, at the same page */
static void viewers_start(pid_t *viewers, const struct mirror *mirror,
			  size_t offset, uint64_t word)
{
	size_t i;

	for (i = 0; i < WAYS; i++)
		viewers[i] = viewer_start(mirror, ways[i].way, offset, word);
	for (i = 0; i < WAYS; i++)
		WAIT_FOR(waits(viewers[i]));
}

static void viewers_must_die_on_sigkill(struct __test_metadata *_metadata,
					const pid_t *viewers)
{
	size_t i;

	for (i = 0; i < WAYS; i++) {
		ASSERT_TRUE(waits(viewers[i]));
		ASSERT_EQ(0, kill(viewers[i], SIGKILL));
		ASSERT_EQ(KILLED, ending(viewers[i])) TH_LOG("way %zu", i);
	}
}

/* ---- a file whose server takes its time ------------------------------------------ */

FIXTURE(file)
{
	uint64_t users; /* of the module, before */
	struct fuse *fuse;
	struct source *source;
	uint64_t memory;
	struct mirror mirror;
};

FIXTURE_VARIANT(file)
{
	int prot;
	int flags;
};

/* clang-format off */
FIXTURE_VARIANT_ADD(file, private) {
	.prot = PROT_READ | PROT_WRITE,
	.flags = MAP_PRIVATE,
};
FIXTURE_VARIANT_ADD(file, shared) {
	.prot = PROT_READ,
	.flags = MAP_SHARED,
};
/* clang-format on */

static uint64_t module_users(void)
{
	return number_read("/sys/module/remote_mapping/refcnt");
}

FIXTURE_SETUP(file)
{
	self->users = module_users();
	self->fuse = fuse_start();
	self->source = source_start();
}

/* Whatever has happened, all of it can be taken down. */
FIXTURE_TEARDOWN(file)
{
	if (self->mirror.at)
		mirror_close(&self->mirror);
	source_end(self->source);
	fuse_end(self->fuse);
	WAIT_FOR(module_users() == self->users);
}

#define SHOW_FILE(file)                                                       \
	do {                                                                  \
		self->memory = fuse_map(self->source, (file), variant->prot,  \
					variant->flags);                      \
		self->mirror = mirror_open(self->source->pid, self->memory,   \
					   FUSE_SIZE, PROT_READ | PROT_WRITE, \
					   0);                                \
	} while (0)

#define AT(n) (self->mirror.at + (n)*PAGE_SIZE)
#define ADDRESS(n) (self->memory + (n)*PAGE_SIZE)
#define IN_FILE(n) pattern(FUSE_SEED, (n))

TEST_F(file, shows_its_bytes)
{
	size_t i;

	SHOW_FILE(FILE_PROMPT);
	ASSERT_EQ(0, fuse_reads(self->fuse, FILE_PROMPT));
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, go(&self->mirror, ways[i].way, i * PAGE_SIZE,
				IN_FILE(i)));
	}
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, FUSE_SIZE, FUSE_SEED));
	ASSERT_LE(1, fuse_reads(self->fuse, FILE_PROMPT));
}

/* All of these want the viewer's address space, or the source's, for
 * themselves.
 */
static void must_not_wait(struct __test_metadata *_metadata,
			  struct source *source, const struct mirror *mirror)
{
	uint64_t other;
	void *mine;

	mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mine);
	ASSERT_WRITES(1, mine);
	ASSERT_EQ(0, mprotect(mine, PAGE_SIZE, PROT_READ));
	ASSERT_EQ(0, munmap(mine, SIZE));
	ASSERT_EQ(0, mprotect(mirror->at, PAGE_SIZE, PROT_READ));
	if (!source)
		return;
	other = source_anon(source, SIZE, 0);
	source_store(source, other, 1);
	ASSERT_EQ(0, view_add(mirror->ctrl, other, FUSE_SIZE, SIZE, 0));
	ASSERT_EQ(0, view_remove(mirror->ctrl, FUSE_SIZE, SIZE));
	source_munmap(source, other, SIZE);
}

TEST_F(file, that_answers_late_keeps_nobody_else_waiting)
{
	struct walker walkers[WAYS];
	size_t i;

	SHOW_FILE(FILE_LATE);
	for (i = 0; i < WAYS; i++)
		walker_start(&walkers[i], &self->mirror, ways[i].way, PAGE_SIZE,
			     IN_FILE(1));
	WAIT_FOR(fuse_reads(self->fuse, FILE_LATE));
	must_not_wait(_metadata, self->source, &self->mirror);
	for (i = 0; i < WAYS; i++) {
		ASSERT_FALSE(walker_done(&walkers[i]));
	}
	fuse_answer(self->fuse);
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, walker_join(&walkers[i])) TH_LOG("way %zu", i);
	}
	ASSERT_LE(1, mirror_mapped(&self->mirror));
}

TEST_F(file, that_answers_late_is_written_privately_or_not_at_all)
{
	struct walker walker;

	SHOW_FILE(FILE_LATE);
	walker_start(&walker, &self->mirror, by_store, PAGE_SIZE, 99);
	if (variant->flags == MAP_SHARED) {
		ASSERT_EQ(SIGBUS, walker_join(&walker));
		ASSERT_EQ(0, fuse_reads(self->fuse, FILE_LATE));
		return;
	}
	WAIT_FOR(fuse_reads(self->fuse, FILE_LATE));
	must_not_wait(_metadata, self->source, &self->mirror);
	ASSERT_FALSE(walker_done(&walker));
	fuse_answer(self->fuse);
	ASSERT_EQ(0, walker_join(&walker));
	ASSERT_EQ(99, source_load(self->source, ADDRESS(1)));
	ASSERT_EQ(IN_FILE(1), source_load(self->source, ADDRESS(1) + 8));
	ASSERT_SHOWS(99, AT(1));
	ASSERT_SHOWS(IN_FILE(2), AT(2));
}

TEST_F(file, waiting_viewers_can_be_stopped_and_continued)
{
	pid_t viewers[WAYS];
	int status;
	size_t i;

	SHOW_FILE(FILE_LATE);
	viewers_start(viewers, &self->mirror, PAGE_SIZE, IN_FILE(1));
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, kill(viewers[i], SIGSTOP));
		ASSERT_EQ(0, kill(viewers[i], SIGCONT));
		WAIT_FOR(waits(viewers[i]));
		ASSERT_EQ(0, kill(viewers[i], SIGSTOP));
	}
	fuse_answer(self->fuse);
	for (i = 0; i < WAYS; i++) {
		WAIT_FOR(waitpid(viewers[i], &status, WNOHANG | WUNTRACED) ==
			 viewers[i]);
		ASSERT_TRUE(WIFSTOPPED(status)) TH_LOG("way %zu", i);
		ASSERT_EQ(0, kill(viewers[i], SIGCONT));
		ASSERT_EQ(0, ending(viewers[i])) TH_LOG("way %zu", i);
	}
}

/* To ask the server once more for each try is fair; for ever is not. */
#define READS_MAX 8

TEST_F(file, that_cannot_be_read_is_refused)
{
	unsigned int before;
	int turn;
	size_t i;

	SHOW_FILE(FILE_BROKEN);
	for (turn = 0; turn < 20; turn++) {
		for (i = 0; i < WAYS; i++) {
			before = fuse_reads(self->fuse, FILE_BROKEN);
			ASSERT_EQ(ways[i].refusal,
				  go(&self->mirror, ways[i].way, PAGE_SIZE,
				     IN_FILE(1)))
			TH_LOG("way %zu", i);
			ASSERT_GE(before + READS_MAX,
				  fuse_reads(self->fuse, FILE_BROKEN));
		}
		ASSERT_EQ(SIGBUS, go(&self->mirror, by_store, PAGE_SIZE, 1));
		ASSERT_EQ(EFAULT, go(&self->mirror, by_storing_system_call,
				     PAGE_SIZE, 1));
	}
	ASSERT_LE(1, fuse_reads(self->fuse, FILE_BROKEN));
	ASSERT_EQ(0, mirror_mapped(&self->mirror));
	must_not_wait(_metadata, self->source, &self->mirror);
}

TEST_F(file, that_cannot_be_read_is_refused_to_many_at_once)
{
	struct walker walkers[4 * WAYS];
	size_t i;

	SHOW_FILE(FILE_BROKEN);
	for (i = 0; i < 4 * WAYS; i++)
		walker_start(&walkers[i], &self->mirror, ways[i % WAYS].way,
			     (i & 1) * PAGE_SIZE, IN_FILE(i & 1));
	for (i = 0; i < 4 * WAYS; i++) {
		ASSERT_EQ(ways[i % WAYS].refusal, walker_join(&walkers[i]));
	}
}

TEST_F(file, that_never_answers_lets_its_viewers_die)
{
	pid_t viewers[WAYS];
	size_t i;

	SHOW_FILE(FILE_NEVER);
	viewers_start(viewers, &self->mirror, PAGE_SIZE, IN_FILE(1));
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, kill(viewers[i], SIGSTOP));
		ASSERT_EQ(0, kill(viewers[i], SIGCONT));
		WAIT_FOR(waits(viewers[i]));
	}
	viewers_must_die_on_sigkill(_metadata, viewers);
	/* Nobody is the worse for it. */
	must_not_wait(_metadata, self->source, &self->mirror);
	viewers_start(viewers, &self->mirror, 2 * PAGE_SIZE, IN_FILE(2));
	viewers_must_die_on_sigkill(_metadata, viewers);
}

TEST_F(file, whose_server_dies_is_refused)
{
	pid_t viewers[WAYS];
	size_t i;

	SHOW_FILE(FILE_NEVER);
	viewers_start(viewers, &self->mirror, PAGE_SIZE, IN_FILE(1));
	fuse_kill(self->fuse);
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(ways[i].refusal, ending(viewers[i]))
		TH_LOG("way %zu", i);
	}
	ASSERT_NOT_READABLE(AT(1));
	ASSERT_EQ(0, counter(self->mirror.map, "ended"));
}

TEST_F(file, of_a_source_that_is_killed_lets_its_viewers_die)
{
	pid_t viewers[WAYS], others[WAYS];
	size_t i;

	SHOW_FILE(FILE_NEVER);
	viewers_start(viewers, &self->mirror, PAGE_SIZE, IN_FILE(1));
	viewers_start(others, &self->mirror, 2 * PAGE_SIZE, IN_FILE(2));
	source_kill(self->source);
	viewers_must_die_on_sigkill(_metadata, viewers);
	for (i = 0; i < WAYS; i++) {
		ASSERT_TRUE(waits(others[i]));
	}
	fuse_kill(self->fuse);
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(ways[i].refusal, ending(others[i]))
		TH_LOG("way %zu", i);
	}
	/* The last who waited let go of the address space. */
	WAIT_FOR(counter(self->mirror.map, "ended") == 1);
	ASSERT_NOT_READABLE(AT(1));
}

/* A dying process looks at its list of robust futexes: no signal reaches it
 * there any more.
 */
static pid_t robust_viewer_start(const struct mirror *mirror)
{
	static struct robust_list_head head;
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fatal("fork: %m");
	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(WRONG);
	head.list.next = (struct robust_list *)mirror_again(mirror, PROT_READ);
	if (syscall(SYS_set_robust_list, &head, sizeof(head)))
		_exit(WRONG);
	for (;;)
		pause();
}

TEST_F(file, that_never_answers_keeps_no_dying_viewer)
{
	pid_t viewer;

	SHOW_FILE(FILE_NEVER);
	viewer = robust_viewer_start(&self->mirror);
	WAIT_FOR(state_of(viewer) == 'S');
	ASSERT_EQ(0, kill(viewer, SIGKILL));
	ASSERT_EQ(KILLED, ending(viewer));
}

/*
 * FUSE heeds no signal once its server has taken a READ that is more than
 * reading ahead: whoever waits for that page, here or at the source, waits for
 * the server. It is then a matter of that process alone, and ends with the
 * server.
 */
TEST_F(file, whose_server_holds_a_read_back_holds_no_lock_of_the_viewer)
{
	struct walker walker;
	pid_t viewer;

	SHOW_FILE(FILE_HELD);
	walker_start(&walker, &self->mirror, by_load, PAGE_SIZE, IN_FILE(1));
	WAIT_FOR(fuse_reads(self->fuse, FILE_HELD) == 3);
	must_not_wait(_metadata, NULL, &self->mirror);
	viewer =
		viewer_start(&self->mirror, by_load, 2 * PAGE_SIZE, IN_FILE(2));
	WAIT_FOR(fuse_reads(self->fuse, FILE_HELD) == 4);
	ASSERT_EQ(0, kill(viewer, SIGKILL));
	ASSERT_FALSE(walker_done(&walker));
	fuse_kill(self->fuse);
	ASSERT_EQ(SIGBUS, walker_join(&walker));
	ASSERT_EQ(KILLED, ending(viewer));
}

/* ---- a source whose mmap_lock is busy --------------------------------------------- */

FIXTURE(busy)
{
	struct fuse *fuse;
	struct source *source;
	struct source *sharer;
	uint64_t memory;
	struct mirror mirror;
};

/*
 * One thread of the source faults in a page, holds the lock for reading, and
 * waits for the server. Another wants it for writing: now nobody gets it.
 */
FIXTURE_SETUP(busy)
{
	const long args[6] = { 0,	  PAGE_SIZE,
			       PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1,	  0 };
	uint64_t file;

	self->fuse = fuse_start();
	self->source = source_start();
	self->sharer = source_fork_sharing_memory(self->source);
	self->memory = source_anon(self->source, SIZE, 0);
	source_store(self->source, self->memory, 0);
	self->mirror = mirror_open(self->source->pid, self->memory, SIZE,
				   PROT_READ | PROT_WRITE, 0);
	file = fuse_map(self->source, FILE_HELD, PROT_READ, MAP_PRIVATE);
	source_load_begin(self->source, file);
	WAIT_FOR(fuse_reads(self->fuse, FILE_HELD) == 3);
	source_syscall_begin(self->sharer, SYS_mmap, args);
	WAIT_FOR(waits(self->sharer->pid));
}

FIXTURE_TEARDOWN(busy)
{
	mirror_close(&self->mirror);
	fuse_kill(self->fuse);
	source_end(self->sharer);
	source_end(self->source);
	fuse_end(self->fuse);
}

static void no_longer_busy(struct __test_metadata *_metadata,
			   FIXTURE_DATA(busy) * self)
{
	/* Nothing before this has waited for it. */
	ASSERT_TRUE(waits(self->sharer->pid));
	fuse_kill(self->fuse);
	ASSERT_EQ(SIGBUS, source_finish(self->source));
	ASSERT_LT(0, source_finish(self->sharer));
}

/* These fault their page in by means that cannot wait, or look for a page that
 * they can hold.
 */
static const int futexes_that_cannot_wait[] = {
	FUTEX_LOCK_PI_PRIVATE, FUTEX_TRYLOCK_PI_PRIVATE, FUTEX_WAIT, FUTEX_WAKE,
	FUTEX_LOCK_PI,	       FUTEX_TRYLOCK_PI,
};

#define FUTEXES \
	(sizeof(futexes_that_cannot_wait) / sizeof(*futexes_that_cannot_wait))

static int wake_op(const char *at)
{
	int op = FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0);

	return syscall(SYS_futex, at, FUTEX_WAKE_OP_PRIVATE, 1, 1, at, op) < 0 ?
		       errno :
		       0;
}

static void futexes_must_EFAULT(struct __test_metadata *_metadata,
				const char *at)
{
	size_t i;

	for (i = 0; i < FUTEXES; i++) {
		ASSERT_EQ(EFAULT,
			  futex(at, futexes_that_cannot_wait[i], 0, NULL))
		TH_LOG("operation %d", futexes_that_cannot_wait[i]);
	}
	ASSERT_EQ(EFAULT, wake_op(at));
}

TEST_F(busy, futexes_that_cannot_wait_EFAULT)
{
	futexes_must_EFAULT(_metadata, AT(0));
	futexes_must_EFAULT(_metadata, AT(1));
	/* Private, and no look at the word */
	ASSERT_EQ(0, futex(AT(0), FUTEX_WAKE_PRIVATE, 1, NULL));
	no_longer_busy(_metadata, self);

	/* That was all that was against them. */
	ASSERT_EQ(0, futex(AT(0), FUTEX_LOCK_PI_PRIVATE, 0, NULL));
	ASSERT_EQ(gettid(), source_load(self->source, ADDRESS(0)));
	ASSERT_EQ(EDEADLK, futex(AT(0), FUTEX_LOCK_PI_PRIVATE, 0, NULL));
	ASSERT_EQ(0, futex(AT(0), FUTEX_UNLOCK_PI_PRIVATE, 0, NULL));
	ASSERT_EQ(0, source_load(self->source, ADDRESS(0)));
	ASSERT_EQ(0, wake_op(AT(1)));
	ASSERT_EQ(1, source_load(self->source, ADDRESS(1)));
}

TEST_F(busy, waiting_viewers_die_on_sigkill)
{
	pid_t viewers[WAYS];

	viewers_start(viewers, &self->mirror, 0, 0);
	viewers_must_die_on_sigkill(_metadata, viewers);
	viewers_start(viewers, &self->mirror, PAGE_SIZE, 0);
	viewers_must_die_on_sigkill(_metadata, viewers);
	no_longer_busy(_metadata, self);
}

TEST_F(busy, waiting_viewers_get_the_data_in_the_end)
{
	pid_t viewers[WAYS], storer;
	size_t i;

	viewers_start(viewers, &self->mirror, 0, 0);
	storer = viewer_start(&self->mirror, by_store, PAGE_SIZE, 11);
	WAIT_FOR(waits(storer));
	no_longer_busy(_metadata, self);
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, ending(viewers[i])) TH_LOG("way %zu", i);
	}
	ASSERT_EQ(0, ending(storer));
	ASSERT_EQ(11, source_load(self->source, ADDRESS(1)));
}

TEST_F(file, that_never_answers_EFAULT_to_futexes_that_cannot_wait)
{
	SHOW_FILE(FILE_NEVER);
	futexes_must_EFAULT(_metadata, AT(1));
	/* Not even asked for */
	ASSERT_EQ(0, fuse_reads(self->fuse, FILE_NEVER));
}

/* ---- a source that takes its pages away without pause --------------------------------- */

static long discard_for_ever(void *arg)
{
	void *at = *(void **)arg;

	for (;;)
		madvise(at, PAGE_SIZE, MADV_DONTNEED);
	return 0;
}

static long map_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		munmap(mmap(NULL, PAGE_SIZE, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		       PAGE_SIZE);
	return 0;
}

/* A process of its own that takes the lock without pause. The word is its
 * number, or 0 as soon as the source has thrown it away.
 */
static pid_t locker_start(const struct mirror *mirror, unsigned int *count)
{
	pid_t parent = getpid(), pid = fork();
	int error;
	char *at;

	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(WRONG);
	at = mirror_again(mirror, PROT_READ | PROT_WRITE);
	for (;;) {
		error = futex(at, FUTEX_LOCK_PI_PRIVATE, 0, NULL);
		if (error && error != EDEADLK && error != EFAULT)
			_exit(error);
		error = futex(at, FUTEX_WAIT_PRIVATE, 1, NULL);
		if (error != EAGAIN)
			_exit(error ? error : WRONG);
		__atomic_fetch_add(count, 1, __ATOMIC_RELEASE);
	}
}

TEST(futexes_in_memory_that_is_taken_away_without_pause_return)
{
	unsigned int *count = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct source *source = source_start(), *sharer;
	uint64_t memory = source_anon(source, SIZE, 0);
	struct mirror mirror;
	pid_t locker;

	sharer = source_fork_sharing_memory(source);
	mirror = mirror_open(source->pid, memory, SIZE, PROT_READ | PROT_WRITE,
			     0);
	source_call_begin(source, discard_for_ever, &memory, sizeof(memory));
	source_call_begin(sharer, map_for_ever, NULL, 0);
	locker = locker_start(&mirror, count);
	/* A hundred may pass before the source has its turn. */
	WAIT_FOR(__atomic_load_n(count, __ATOMIC_ACQUIRE) >= 100 &&
		 mirror_hits(&mirror));
	ASSERT_EQ(0, kill(locker, SIGKILL));
	ASSERT_EQ(KILLED, ending(locker));
	mirror_close(&mirror);
	source_end(sharer);
	source_end(source);
}

/* ---- userfaultfd marks in a mirror ------------------------------------------------------ */

/*
 * Since 6.7 memory of any kind can be write-protected so, without a wait
 * (UFFD_FEATURE_WP_ASYNC): absent pages get a mark in the page table. What a
 * mirror shows there is not promised, but that an access ends is.
 */
FIXTURE(marks)
{
	int uffd;
	struct source *source;
	uint64_t memory;
	size_t size;
	struct mirror mirror;
};

FIXTURE_VARIANT(marks)
{
	bool huge;
};

/* clang-format off */
FIXTURE_VARIANT_ADD(marks, pages) {
	.huge = false,
};
FIXTURE_VARIANT_ADD(marks, huge) {
	.huge = true,
};
/* clang-format on */

static int marks_open(void)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_WP_ASYNC };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		fatal("userfaultfd: %m");
	if (!ioctl(uffd, UFFDIO_API, &api))
		return uffd;
	close(uffd);
	return -1;
}

/* False: later kernels (7.x) refuse a mirror. */
static bool marks_register(int uffd, const struct mirror *mirror)
{
	struct uffdio_register order = {
		.range = { (uintptr_t)mirror->at, mirror->size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (!ioctl(uffd, UFFDIO_REGISTER, &order))
		return true;
	if (errno != EINVAL)
		fatal("a mirror cannot be registered: %m");
	return false;
}

static void marks_set(int uffd, const struct mirror *mirror)
{
	struct uffdio_writeprotect order = {
		.range = { (uintptr_t)mirror->at, mirror->size },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &order))
		fatal("UFFDIO_WRITEPROTECT: %m");
}

static void marks_unregister(int uffd, const struct mirror *mirror)
{
	struct uffdio_range range = { (uintptr_t)mirror->at, mirror->size };

	if (ioctl(uffd, UFFDIO_UNREGISTER, &range))
		fatal("UFFDIO_UNREGISTER: %m");
}

FIXTURE_SETUP(marks)
{
	self->uffd = marks_open();
	if (self->uffd < 0)
		SKIP(return, "this kernel protects no mirrors");
	self->source = source_start();
	self->size = variant->huge ? PMD_SIZE : SIZE;
	self->memory = source_anon_aligned(self->source, PMD_SIZE);
	if (variant->huge &&
	    source_madvise(self->source, self->memory, PMD_SIZE, MADV_HUGEPAGE))
		fatal("MADV_HUGEPAGE");
	source_fill(self->source, self->memory, self->size, SEED);
	if (variant->huge && !is_huge(self->source, self->memory))
		SKIP(return, "no huge page could be had");
	self->mirror = mirror_open(self->source->pid, self->memory, self->size,
				   PROT_READ | PROT_WRITE, 0);
	if (!marks_register(self->uffd, &self->mirror))
		SKIP(return, "this kernel protects no mirrors");
}

FIXTURE_TEARDOWN(marks)
{
	close(self->uffd);
	mirror_close(&self->mirror);
	source_end(self->source);
}

/* Data that is shown is right, and data that is written arrives. */
static void looks_must_end(struct __test_metadata *_metadata,
			   FIXTURE_DATA(marks) * self, size_t page,
			   uint64_t word)
{
	size_t i;
	int result;

	for (i = 0; i < WAYS; i++) {
		result = go(&self->mirror, ways[i].way, page * PAGE_SIZE, word);
		if (result) {
			ASSERT_EQ(ways[i].refusal, result)
			TH_LOG("way %zu", i);
		}
	}
}

static void stores_must_end(struct __test_metadata *_metadata,
			    FIXTURE_DATA(marks) * self, size_t page,
			    uint64_t was)
{
	const struct mirror *mirror = &self->mirror;
	size_t offset = page * PAGE_SIZE;
	int result;

	result = go(mirror, by_store, offset, 22);
	if (result) {
		ASSERT_EQ(SIGBUS, result);
	}
	ASSERT_EQ(result ? was : 22, source_load(self->source, ADDRESS(page)));
	result = go(mirror, by_storing_system_call, offset, 33);
	if (result) {
		ASSERT_EQ(EFAULT, result);
	}
	if (!result) {
		ASSERT_EQ(33, source_load(self->source, ADDRESS(page)));
	}
	source_store(self->source, ADDRESS(page), 0);
	result = futex(AT(page), FUTEX_LOCK_PI_PRIVATE, 0, NULL);
	if (result) {
		ASSERT_EQ(EFAULT, result);
	}
	ASSERT_EQ(result ? 0 : gettid(),
		  source_load(self->source, ADDRESS(page)));
	source_store(self->source, ADDRESS(page), was);
}

static void all_must_be_well(struct __test_metadata *_metadata,
			     FIXTURE_DATA(marks) * self)
{
	marks_unregister(self->uffd, &self->mirror);
	source_fill(self->source, self->memory, self->size, SEED + 1);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, self->size, SEED + 1));
	ASSERT_WRITES(44, AT(3));
	ASSERT_EQ(44, source_load(self->source, ADDRESS(3)));
}

TEST_F(marks, where_no_page_was_end_no_access_in_a_loop)
{
	marks_set(self->uffd, &self->mirror);
	looks_must_end(_metadata, self, 1, pattern(SEED, 1));
	stores_must_end(_metadata, self, 2, pattern(SEED, 2));
	looks_must_end(_metadata, self, 2, pattern(SEED, 2));
	all_must_be_well(_metadata, self);
}

TEST_F(marks, on_pages_end_no_access_in_a_loop)
{
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, self->size, SEED));
	marks_set(self->uffd, &self->mirror);
	looks_must_end(_metadata, self, 1, pattern(SEED, 1));
	stores_must_end(_metadata, self, 2, pattern(SEED, 2));
	looks_must_end(_metadata, self, 2, pattern(SEED, 2));
	all_must_be_well(_metadata, self);
}

TEST_F(marks, that_a_page_leaves_behind_end_no_access_in_a_loop)
{
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, self->size, SEED));
	ASSERT_WRITES(pattern(SEED, 2), AT(2));
	marks_set(self->uffd, &self->mirror);
	ASSERT_EQ(0, source_madvise(self->source, self->memory, self->size,
				    MADV_DONTNEED));
	looks_must_end(_metadata, self, 1, 0);
	stores_must_end(_metadata, self, 2, 0);
	looks_must_end(_metadata, self, 2, 0);
	all_must_be_well(_metadata, self);
}

TEST_F(marks, over_a_file_that_must_be_read_end_no_access_in_a_loop)
{
	struct fuse *fuse = fuse_start();
	uint64_t file = fuse_map(self->source, FILE_PROMPT,
				 PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct mirror mirror = mirror_open(self->source->pid, file, FUSE_SIZE,
					   PROT_READ | PROT_WRITE, 0);
	int result;
	size_t i;

	ASSERT_TRUE(marks_register(self->uffd, &mirror));
	marks_set(self->uffd, &mirror);
	for (i = 0; i < WAYS; i++) {
		result = go(&mirror, ways[i].way, i * PAGE_SIZE, IN_FILE(i));
		if (result) {
			ASSERT_EQ(ways[i].refusal, result);
		}
	}
	result = go(&mirror, by_store, 5 * PAGE_SIZE, 55);
	ASSERT_EQ(result ? IN_FILE(5) : 55,
		  source_load(self->source, file + 5 * PAGE_SIZE));
	mirror_close(&mirror);
	source_munmap(self->source, file, FUSE_SIZE);
	fuse_end(fuse);
}

TEST_HARNESS_MAIN
