// SPDX-License-Identifier: GPL-2.0
/*
 * A user without privileges who tries to gain: to see a process that took the
 * place of his own, to write what he may only read, to have the kernel take
 * nonsense, to use up its memory, to hold others up.
 */
#include "harness.h"

#include "permissions.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1
/* What the user's own process has, and what nobody else may see */
#define PUBLIC 0x0123456789abcdefULL
#define SECRET 0xfedcba9876543210ULL
/* Where both have it */
#define PLACE ((uint64_t *)0x100000000000UL)

/* What a user's process comes to */
enum { HELD = 0, GAINED = 1, NEVER_TRIED = 2 };

/* The state of a process: 'S' sleeps, 'T' stopped, 'Z' dead */
static char state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state;
}

/* ---- another process in the place of one's own ---------------------------------- */

static void place_fill(uint64_t value)
{
	size_t i;

	if (mmap(PLACE, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != PLACE)
		fatal("mmap: %m");
	for (i = 0; i < SIZE / sizeof(value); i++)
		PLACE[i] = value;
}

#define STOP (-1)

struct attack {
	const volatile pid_t *pid; /* whom to open; 0: nobody; STOP */
	volatile uint64_t *opened; /* how often that went well */
};

/* Whether memory of that context is anything but the user's own, or nothing. */
static bool shows_a_secret(int map)
{
	uint64_t value = 0, *at;
	bool gained = false;

	if (pread(map, &value, sizeof(value), (off_t)PLACE) > 0)
		gained = value != PUBLIC;
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, map, (off_t)PLACE);
	if (at == MAP_FAILED)
		return gained;
	if (!touch_read(at, &value))
		gained |= value != PUBLIC;
	sched_yield();
	if (!touch_read(at, &value))
		gained |= value != PUBLIC;
	munmap(at, PAGE_SIZE);
	return gained;
}

/* As the user: open it again and again, by pid and by an open file. */
static int attack_run(void *argument)
{
	const struct attack *attack = argument;
	int result = HELD, ctrl, map, fd;
	pid_t pid;

	while (result == HELD && (pid = *attack->pid) != STOP) {
		if (!pid) {
			sched_yield();
			continue;
		}
		fd = device_open(O_RDWR);
		if (!ioctl(fd, REMOTE_PROC_MAP, pid)) {
			++*attack->opened;
			if (shows_a_secret(fd))
				result = GAINED;
		}
		close(fd);
		if (context_open(pid, O_RDWR, 0, &ctrl, &map))
			continue;
		++*attack->opened;
		if (!view_add(ctrl, (uint64_t)PLACE, (uint64_t)PLACE, SIZE,
			      0) &&
		    shows_a_secret(map))
			result = GAINED;
		close(ctrl);
		close(map);
	}
	return result;
}

FIXTURE(place)
{
	volatile pid_t *pid; /* shared with the attacker */
	volatile uint64_t *opened;
	pid_t attacker;
};

FIXTURE_SETUP(place)
{
	void *shared = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, shared);
	self->pid = shared;
	self->opened = (uint64_t *)shared + 1;
}

FIXTURE_TEARDOWN(place)
{
	munmap((void *)self->pid, PAGE_SIZE);
}

static pid_t attack_start(volatile pid_t *pid, volatile uint64_t *opened)
{
	struct attack attack = { pid, opened };
	pid_t attacker = fork();

	if (!attacker) {
		become(USER);
		_exit(attack_run(&attack));
	}
	return attacker;
}

static int attack_end(volatile pid_t *pid, pid_t attacker)
{
	int status;

	*pid = STOP;
	waitpid(attacker, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : GAINED;
}

static void wait_ns(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	nanosleep(&time, NULL);
}

/* A process of that number, the user's or nobody's business */
static pid_t victim_start(pid_t number, bool users)
{
	pid_t pid;

	if (number)
		text_must_write("/proc/sys/kernel/ns_last_pid", "%d",
				number - 1);
	pid = fork();
	if (pid)
		return pid;
	place_fill(users ? PUBLIC : SECRET);
	if (users)
		become(USER);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(place, number_of_a_dead_process_is_taken_by_another, 60)
{
	struct deadline deadline = deadline_in(4);
	pid_t number = 0, pid, attacker;
	uint64_t reused = 0, turn, seen;

	if (access("/proc/sys/kernel/ns_last_pid", W_OK))
		SKIP(return, "this kernel lets nobody choose a pid");
	attacker = attack_start(self->pid, self->opened);
	for (turn = 0; !deadline_passed(&deadline) || reused < 20; turn++) {
		pid = victim_start(number, turn % 2 == 0);
		reused += pid == number;
		number = pid;
		*self->pid = pid;
		seen = *self->opened;
		/* The user's own is seen; the other one has its time too. */
		if (turn % 2 == 0)
			WAIT_FOR(*self->opened > seen ||
				 state_of(attacker) == 'Z');
		else
			wait_ns(1000000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	TH_LOG("%lu turns, %lu of them with the same number, opened %lu times",
	       turn, reused, *self->opened);
	EXPECT_LT(0, *self->opened);
	EXPECT_EQ(HELD, attack_end(self->pid, attacker));
}

#define SUID_PROGRAM "/remote_mapping_hostile"

static void install_suid_program(void)
{
	static char buffer[1 << 16];
	int from = open("/proc/self/exe", O_RDONLY);
	int to = open(SUID_PROGRAM, O_CREAT | O_TRUNC | O_WRONLY, 0755);
	ssize_t length;

	while ((length = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, length) != length)
			fatal("%s: %m", SUID_PROGRAM);
	close(from);
	if (to < 0 || length < 0 || fchmod(to, 04755) || close(to))
		fatal("%s: %m", SUID_PROGRAM);
}

/* What the setuid program does */
static void hold_a_secret(void)
{
	place_fill(SECRET);
	wait_ns(3000000);
	_exit(geteuid() ? 1 : 0);
}

TEST_F_TIMEOUT(place, process_becomes_a_setuid_program, 60)
{
	char *arguments[] = { SUID_PROGRAM, "--secret", NULL };
	struct deadline deadline = deadline_in(4);
	uint64_t turn;
	pid_t attacker, pid;
	int status;

	install_suid_program();
	attacker = attack_start(self->pid, self->opened);
	for (turn = 0; !deadline_passed(&deadline) || turn < 20; turn++) {
		uint64_t seen = *self->opened;

		pid = fork();
		if (!pid) {
			place_fill(PUBLIC);
			become(USER);
			/* Not before it is looked at, nor always after it */
			while (*self->opened < seen + turn % 3)
				sched_yield();
			execv(SUID_PROGRAM, arguments);
			_exit(2);
		}
		*self->pid = pid;
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		ASSERT_EQ(0, WEXITSTATUS(status));
	}
	TH_LOG("%lu turns, opened %lu times", turn, *self->opened);
	EXPECT_LT(0, *self->opened);
	EXPECT_EQ(HELD, attack_end(self->pid, attacker));
	unlink(SUID_PROGRAM);
}

/* ---- writing what may only be read --------------------------------------------- */

FIXTURE(lender)
{
	struct source *source; /* the user's */
	uint64_t memory;
	int map; /* lent: locked, to be read */
	int mode;
};

FIXTURE_VARIANT(lender)
{
	int oflags; /* of the context */
	uint32_t flags; /* of the view */
};

FIXTURE_VARIANT_ADD(lender, file){ .oflags = O_RDONLY };
FIXTURE_VARIANT_ADD(lender, view){ .oflags = O_RDWR,
				   .flags = PIDFD_MEM_MAP_READONLY };

FIXTURE_SETUP(lender)
{
	int ctrl;

	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(0, context_open(self->source->pid, variant->oflags, 0, &ctrl,
				  &self->map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, SIZE, variant->flags));
	ASSERT_EQ(0, context_lock(ctrl));
	close(ctrl);
}

FIXTURE_TEARDOWN(lender)
{
	close(self->map);
	source_end(self->source);
}

/* In whatever way a file or memory is written */
static void write_all_ways(int map)
{
	struct iovec local = { &(uint64_t){ SECRET }, sizeof(uint64_t) };
	struct iovec remote = local;
	int protections[] = { PROT_READ, PROT_READ | PROT_WRITE }, pipes[2], i;
	char path[64];
	pid_t child;
	void *at;
	int fd;

	if (pwrite(map, local.iov_base, 8, 0) > 0 ||
	    pwritev(map, &local, 1, 0) > 0)
		return;
	if (pipe(pipes) || write(pipes[1], local.iov_base, 8) != 8)
		fatal("pipe: %m");
	splice(pipes[0], NULL, map, &(loff_t){ 0 }, 8, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map);
	fd = open(path, O_RDWR);
	if (fd >= 0)
		pwrite(fd, local.iov_base, 8, 0);
	for (i = 0; i < 4; i++) {
		at = mmap(NULL, SIZE, protections[i % 2], MAP_SHARED,
			  i < 2 || fd < 0 ? map : fd, 0);
		if (at == MAP_FAILED)
			continue;
		mprotect(at, SIZE, PROT_READ | PROT_WRITE);
		touch_write(at, SECRET);
		remote.iov_base = at;
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
		/* The kernel on one's behalf */
		if (write(pipes[1], local.iov_base, 8) == 8)
			read(pipes[0], at, 8);
		madvise(at, SIZE, MADV_POPULATE_WRITE);
		madvise(at, SIZE, MADV_REMOVE);
		madvise(at, SIZE, MADV_DONTNEED);
		/* A debugger on one's behalf */
		child = fork();
		if (!child) {
			at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, map, 0);
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
			_exit(0);
		}
		waitpid(child, NULL, WUNTRACED);
		ptrace(PTRACE_POKEDATA, child, at, (void *)SECRET);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		munmap(at, SIZE);
	}
	close(fd);
	ftruncate(map, 0);
	fallocate(map, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE);
}

static int write_as(void *argument)
{
	write_all_ways(*(int *)argument);
	return HELD;
}

TEST_F(lender, nothing_that_may_only_be_read_is_written)
{
	/* Also by root: what was given to be read was given to be read. */
	EXPECT_EQ(HELD, as(USER, write_as, &self->map));
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	write_all_ways(self->map);
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
}

/* ---- nonsense ------------------------------------------------------------------- */

static const uint64_t extremes[] = {
	0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 1UL << 32,
	(1UL << 47) - 2 * PAGE_SIZE, (1UL << 47) - PAGE_SIZE, 1UL << 47,
	INT64_MAX - PAGE_SIZE + 1 - 4095, (uint64_t)INT64_MAX + 1,
	INT64_MAX & ~4095UL, -PAGE_SIZE, UINT64_MAX,
};

static bool is_aligned(uint64_t value)
{
	return value % PAGE_SIZE == 0;
}

/* As DESIGN has it, in numbers that do not wrap */
static bool view_is_sane(uint64_t offset, uint64_t address, uint64_t size,
			 uint32_t flags)
{
	const unsigned __int128 addresses = (1UL << 47) - PAGE_SIZE;

	return is_aligned(offset) && is_aligned(address) && is_aligned(size) &&
	       size && !(flags & ~3U) &&
	       (unsigned __int128)address + size <= addresses &&
	       (unsigned __int128)offset + size <= INT64_MAX;
}

static int take_nonsense(void *argument)
{
	static const uint32_t flags[] = { 0, 1, 2, 3, 4, 1U << 31, ~0U };
	const size_t nr = ARRAY_SIZE(extremes);
	size_t o, a, s, f, added = 0;
	int ctrl, map, error;

	if (context_open(*(pid_t *)argument, O_RDWR, 0, &ctrl, &map))
		return NEVER_TRIED;
	for (o = 0; o < nr; o++)
		for (a = 0; a < nr; a++)
			for (s = 0; s < nr; s++)
				for (f = 0; f < ARRAY_SIZE(flags); f++) {
					error = view_add(ctrl, extremes[a],
							 extremes[o],
							 extremes[s], flags[f]);
					if (!error !=
					    view_is_sane(extremes[o],
							 extremes[a],
							 extremes[s],
							 flags[f])) {
						fprintf(stderr,
							"# offset %#lx address %#lx size %#lx flags %#x: %s\n",
							extremes[o], extremes[a],
							extremes[s], flags[f],
							strerror(-error));
						return GAINED;
					}
					if (error)
						continue;
					added++;
					if (view_remove(ctrl, extremes[o],
							extremes[s]))
						return GAINED;
				}
	close(ctrl);
	close(map);
	return added ? HELD : NEVER_TRIED;
}

TEST(no_number_is_taken_that_makes_no_sense)
{
	struct source *source = source_of(USER);

	EXPECT_EQ(HELD, as(USER, take_nonsense, &source->pid));
	source_end(source);
}

/* ---- using up the kernel's memory ------------------------------------------------ */

#define GROUP "hostile"

/* What the kernel has allocated for those in the group, in bytes */
static uint64_t group_slab(const char *folder)
{
	uint64_t value, found = 0;
	char path[160], key[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	while (fscanf(file, "%63s %lu", key, &value) == 2)
		if (!strcmp(key, "slab"))
			found = value;
	fclose(file);
	return found;
}

struct greed {
	pid_t pid;
	uint64_t memory;
	int go[2]; /* the test says when */
	int done[2]; /* and is told how many there are */
	unsigned int number;
};

static int greed_report(const struct greed *greed, unsigned int number)
{
	char byte;

	if (write(greed->done[1], &number, sizeof(number)) != sizeof(number) ||
	    read(greed->go[0], &byte, 1) != 1)
		return GAINED;
	return HELD;
}

static int want_views(void *argument)
{
	const struct greed *greed = argument;
	unsigned int i;
	int ctrl, map;
	char byte;

	if (read(greed->go[0], &byte, 1) != 1 ||
	    context_open(greed->pid, O_RDWR, 0, &ctrl, &map))
		return NEVER_TRIED;
	for (i = 0; i < greed->number; i++)
		if (view_add(ctrl, i * PAGE_SIZE, 2UL * i * PAGE_SIZE,
			     PAGE_SIZE, 0))
			break;
	return greed_report(greed, i);
}

static int want_contexts(void *argument)
{
	const struct greed *greed = argument;
	unsigned int i;
	int ctrl, map;
	char byte;

	if (read(greed->go[0], &byte, 1) != 1)
		return NEVER_TRIED;
	for (i = 0; i < greed->number; i++)
		if (context_open(greed->pid, O_RDWR, 0, &ctrl, &map))
			break;
	return greed_report(greed, i);
}

/* What the module notes of a page, and the table where it is found, if no other page
 * of these 128 MiB was ever mapped
 */
#define NOTE_STRIDE (128UL << 20)

static int want_notes(void *arg)
{
	const struct greed *greed = arg;
	unsigned int i;
	uint64_t seen;
	char *mirror;
	int ctrl, map;
	char byte;

	if (context_open(greed->pid, O_RDWR, 0, &ctrl, &map) ||
	    view_add(ctrl, greed->memory, 0, greed->number * NOTE_STRIDE, 0))
		return NEVER_TRIED;
	mirror = mmap(NULL, greed->number * NOTE_STRIDE, PROT_READ, MAP_SHARED,
		      map, 0);
	if (mirror == MAP_FAILED ||
	    madvise(mirror, greed->number * NOTE_STRIDE, MADV_RANDOM) ||
	    read(greed->go[0], &byte, 1) != 1)
		return NEVER_TRIED;
	for (i = 0; i < greed->number; i++)
		if (touch_read(mirror + i * NOTE_STRIDE, &seen) || seen)
			break;
	return greed_report(greed, i);
}

/*
 * A user's process in a group of its own wants a number of things: how many it
 * got, and what the group is charged for them.
 */
static unsigned int be_greedy(struct greed *greed, int (*want)(void *),
			      size_t limit, uint64_t *charged)
{
	const char *folder;
	unsigned int got = 0;
	pid_t child;

	if (pipe(greed->go) || pipe(greed->done))
		fatal("pipe: %m");
	child = fork();
	if (!child) {
		close(greed->done[0]);
		become(USER);
		_exit(want(greed));
	}
	close(greed->done[1]);
	folder = cgroup_create(GROUP, child, limit);
	*charged = group_slab(folder);
	if (write(greed->go[1], "", 1) != 1)
		fatal("write: %m");
	if (read(greed->done[0], &got, sizeof(got)) == sizeof(got)) {
		*charged = group_slab(folder) - *charged;
		if (write(greed->go[1], "", 1) != 1)
			fatal("write: %m");
	}
	waitpid(child, NULL, 0);
	close(greed->go[0]);
	close(greed->go[1]);
	close(greed->done[0]);
	cgroup_remove(GROUP);
	return got;
}

FIXTURE(greedy)
{
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(greedy)
{
	struct rlimit limit = { 30000, 30000 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	self->source = source_of(USER);
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
}

FIXTURE_TEARDOWN(greedy)
{
	source_end(self->source);
}

TEST_F_TIMEOUT(greedy, a_hundred_thousand_views_are_charged, 120)
{
	struct greed greed = { .pid = self->source->pid,
			       .number = repeated(100000) };
	uint64_t charged;

	ASSERT_EQ(greed.number, be_greedy(&greed, want_views, 0, &charged));
	/* A view is more than a hundred bytes. */
	EXPECT_LT(greed.number * 100UL, charged);
	TH_LOG("%lu bytes a view", charged / greed.number);
}

TEST_F_TIMEOUT(greedy, what_is_noted_of_mapped_pages_is_charged, 120)
{
	struct greed greed = { .pid = self->source->pid, .number = 4000 };
	uint64_t charged;

	greed.memory = source_mmap(self->source, 0, greed.number * NOTE_STRIDE,
				   PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				   -1, 0);
	ASSERT_EQ(greed.number, be_greedy(&greed, want_notes, 0, &charged));
	/* A note is 80 bytes, a node of the kernel's arrays 576. */
	EXPECT_LT(greed.number * 600UL, charged);
	TH_LOG("%lu bytes a page", charged / greed.number);
}

TEST_F_TIMEOUT(greedy, views_end_where_the_groups_memory_does, 120)
{
	struct greed greed = { .pid = self->source->pid, .number = 200000 };
	uint64_t charged;

	/* The rest is refused, or whoever asks is killed. */
	EXPECT_GT(greed.number,
		  be_greedy(&greed, want_views, 8 << 20, &charged));
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
}

TEST_F_TIMEOUT(greedy, there_are_so_many_views_and_no_more, 240)
{
	struct greed greed = { .pid = self->source->pid, .number = 300000 };
	uint64_t charged;

	if (slower() > 1)
		SKIP(return, "so many views take minutes on this kernel");
	EXPECT_EQ(262144, be_greedy(&greed, want_views, 0, &charged));
}

TEST_F_TIMEOUT(greedy, ten_thousand_contexts_are_charged, 240)
{
	struct greed greed = { .pid = self->source->pid,
			       .number = repeated(10000) };
	uint64_t charged;

	ASSERT_EQ(greed.number, be_greedy(&greed, want_contexts, 0, &charged));
	/* An inode and two files each */
	EXPECT_LT(greed.number * 1500UL, charged);
	TH_LOG("%lu bytes a context", charged / greed.number);
}

TEST_F_TIMEOUT(greedy, contexts_end_where_files_do, 60)
{
	struct greed greed = { .pid = self->source->pid, .number = 10000 };
	struct rlimit limit = { 1000, 1000 };
	uint64_t charged;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_GT(500, be_greedy(&greed, want_contexts, 0, &charged));
}

/* ---- holding others up ------------------------------------------------------------ */

static long uffd_make(void *argument)
{
	const uint64_t *range = argument;
	struct uffdio_register order = {
		.range = { range[0], range[1] },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &order))
		return -errno;
	return fd;
}

/*
 * A viewer is stopped while it waits for a page that never comes: a fault of a
 * user's access gives way to the signal. Neither it nor the source holds the
 * other up, and what was held is let go of.
 */
TEST_F(greedy, viewer_stopped_in_a_fault_holds_nobody_up)
{
	uint64_t range[2] = { source_anon(self->source, SIZE, 0), SIZE };
	uint64_t retries, value;
	struct mirror mirror;
	pid_t viewer;
	int status;

	text_must_write("/proc/sys/vm/unprivileged_userfaultfd", "1");
	ASSERT_LE(0, source_call(self->source, uffd_make, range,
				 sizeof(range)));
	mirror = mirror_open(self->source->pid, range[0], SIZE, PROT_READ, 0);
	retries = counter(mirror.map, "retries");
	viewer = fork();
	if (!viewer) {
		char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, mirror.map,
				0);

		_exit(touch_read(at, &value));
	}
	/* It waits. */
	WAIT_FOR(counter(mirror.map, "retries") > retries);
	ASSERT_EQ(0, kill(viewer, SIGSTOP));
	WAIT_FOR(state_of(viewer) == 'T');
	/* The source changes all its memory, forks, and looks at itself. */
	ASSERT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
				    MADV_DONTNEED));
	source_end(source_fork(self->source));
	source_munmap(self->source, range[0], SIZE);
	/* What it waited for is gone: it is told so when it goes on. */
	ASSERT_EQ(0, kill(viewer, SIGCONT));
	ASSERT_EQ(viewer, waitpid(viewer, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(SIGBUS, WEXITSTATUS(status));
	mirror_close(&mirror);
}

TEST_F(greedy, viewer_stopped_in_a_fault_can_be_killed)
{
	uint64_t range[2] = { source_anon(self->source, SIZE, 0), SIZE };
	uint64_t retries, value;
	struct mirror mirror;
	pid_t viewer;
	int status;

	text_must_write("/proc/sys/vm/unprivileged_userfaultfd", "1");
	ASSERT_LE(0, source_call(self->source, uffd_make, range,
				 sizeof(range)));
	mirror = mirror_open(self->source->pid, range[0], SIZE, PROT_READ, 0);
	retries = counter(mirror.map, "retries");
	viewer = fork();
	if (!viewer) {
		char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, mirror.map,
				0);

		_exit(touch_read(at, &value));
	}
	WAIT_FOR(counter(mirror.map, "retries") > retries);
	ASSERT_EQ(0, kill(viewer, SIGSTOP));
	WAIT_FOR(state_of(viewer) == 'T');
	source_kill(self->source);
	ASSERT_EQ(0, kill(viewer, SIGKILL));
	ASSERT_EQ(viewer, waitpid(viewer, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	mirror_close(&mirror);
}

#define VIEWERS 64

static void look_until_the_end(int map)
{
	uint64_t value;
	size_t n;

	for (n = 0;; n++) {
		char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				map, 0);
		char *page = at + n % PAGES * PAGE_SIZE;

		/* The source has ended, and is not mapped any more. */
		if (at == MAP_FAILED)
			_exit(errno != ESRCH);
		if (touch_read(page, &value) || touch_write(page + 8, n))
			_exit(0);
		munmap(at, SIZE);
	}
}

TEST_F_TIMEOUT(greedy, source_exits_while_64_viewers_fault, 60)
{
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ | PROT_WRITE, 0);
	uint64_t faults = counter(mirror.map, "faults");
	pid_t viewer[VIEWERS];
	int status, i;

	for (i = 0; i < VIEWERS; i++) {
		viewer[i] = fork();
		ASSERT_LE(0, viewer[i]);
		if (!viewer[i])
			look_until_the_end(mirror.map);
	}
	WAIT_FOR(counter(mirror.map, "faults") > faults + VIEWERS);
	source_exit(self->source, 0);
	for (i = 0; i < VIEWERS; i++) {
		ASSERT_EQ(viewer[i], waitpid(viewer[i], &status, 0));
		ASSERT_TRUE(WIFEXITED(status));
		EXPECT_EQ(0, WEXITSTATUS(status));
	}
	EXPECT_EQ(1, counter(mirror.map, "ended"));
	mirror_close(&mirror);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--secret"))
		hold_a_secret();
	return test_harness_run(argc, argv);
}
