// SPDX-License-Identifier: GPL-2.0
/*
 * The files of a context beside ioctl and mmap: what fdinfo tells, how they
 * are opened again, what poll waits for, and the file calls that find nothing
 * to do here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/xattr.h>

#include "harness.h"

#define PAGES 4
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 0xf11e

/* The three kinds of files: of a context, and of the device with a process */
FIXTURE(files) {
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
	int identity;
};

FIXTURE_SETUP(files)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
	self->identity = device_open(O_RDWR);
	ASSERT_LE(0, self->identity);
	ASSERT_EQ(0, ioctl(self->identity, REMOTE_PROC_MAP, self->source->pid));
}

FIXTURE_TEARDOWN(files)
{
	source_end(self->source);
}

/* The error of a call that returns -1, or 0 */
#define ERROR_OF(call) ((call) == -1 ? errno : 0)
#define MMAP_ERROR(call) ((call) == MAP_FAILED ? errno : 0)

static char *map_page(int fd, uint64_t offset, int prot)
{
	return mmap(NULL, PAGE_SIZE, prot, MAP_SHARED, fd, offset);
}

/* Whether the page is the source's first */
static bool shows_first_page(const char *at)
{
	uint64_t value;

	return at != MAP_FAILED && !touch_read(at, &value) &&
	       value == pattern(SEED, 0);
}

static void become_another_program(struct source *source)
{
	char *arguments[] = { "sh", "-c", "kill -STOP $$", NULL };

	if (source_exec(source, "/bin/sh", arguments))
		fatal("no /bin/sh");
}

/* ---- fdinfo --------------------------------------------------------------------- */

TEST_F(files, fdinfo_tells_the_source)
{
	EXPECT_EQ(self->source->pid, counter(self->ctrl, "source"));
	EXPECT_EQ(self->source->pid, counter(self->map, "source"));
	EXPECT_EQ(self->source->pid, counter(self->identity, "source"));
}

TEST_F(files, fdinfo_tells_the_end)
{
	EXPECT_EQ(0, counter(self->ctrl, "ended"));
	EXPECT_EQ(0, counter(self->map, "ended"));
	EXPECT_EQ(0, counter(self->identity, "ended"));
	source_kill(self->source);
	EXPECT_EQ(1, counter(self->ctrl, "ended"));
	EXPECT_EQ(1, counter(self->map, "ended"));
	EXPECT_EQ(1, counter(self->identity, "ended"));
}

TEST_F(files, fdinfo_tells_that_it_executed)
{
	become_another_program(self->source);
	EXPECT_EQ(1, counter(self->ctrl, "ended"));
	EXPECT_EQ(1, counter(self->map, "ended"));
	EXPECT_EQ(1, counter(self->identity, "ended"));
}

TEST_F(files, fdinfo_tells_the_views)
{
	static const uint32_t flags[] = { 0, PIDFD_MEM_MAP_READONLY,
					  PIDFD_MEM_MAP_RESIDENT,
					  PIDFD_MEM_MAP_READONLY |
						  PIDFD_MEM_MAP_RESIDENT };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0,
			  view_add(self->ctrl, self->memory + i * PAGE_SIZE,
				   (20 - i) * PAGE_SIZE, PAGE_SIZE, flags[i]));
	}
	for (i = 0; i < 4; i++) {
		uint64_t offset = (20 - i) * PAGE_SIZE;
		uint64_t address = self->memory + i * PAGE_SIZE;

		EXPECT_TRUE(has_view(self->ctrl, offset, address, PAGE_SIZE,
				     flags[i]));
		EXPECT_TRUE(has_view(self->map, offset, address, PAGE_SIZE,
				     flags[i]));
	}
	EXPECT_EQ(4, counter(self->map, "views"));
	ASSERT_EQ(0, view_remove(self->ctrl, 18 * PAGE_SIZE, PAGE_SIZE));
	EXPECT_FALSE(has_view(self->map, 18 * PAGE_SIZE,
			      self->memory + 2 * PAGE_SIZE, PAGE_SIZE,
			      flags[2]));
	EXPECT_EQ(3, counter(self->map, "views"));
	EXPECT_EQ(1, counter(self->identity, "views"));
}

TEST_F(files, fdinfo_counts)
{
	uint64_t invalidations, hits;
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	EXPECT_EQ(0, counter(self->map, "faults"));
	EXPECT_EQ(0, counter(self->map, "pages_mapped"));
	EXPECT_EQ(0, counter(self->map, "huge_pages_mapped"));
	EXPECT_EQ(0, counter(self->map, "retries"));
	at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->map, 0);
	ASSERT_TRUE(shows_first_page(at));
	EXPECT_EQ(1, counter(self->map, "faults"));
	EXPECT_LE(1, counter(self->map, "pages_mapped"));
	EXPECT_GE(PAGES, counter(self->map, "pages_mapped"));

	invalidations = counter(self->ctrl, "invalidations");
	hits = counter(self->ctrl, "invalidations_hit");
	source_munmap(self->source, self->memory, PAGE_SIZE);
	EXPECT_LT(invalidations, counter(self->ctrl, "invalidations"));
	EXPECT_EQ(hits + 1, counter(self->ctrl, "invalidations_hit"));
}

TEST_F(files, fdinfo_counts_on_when_views_go)
{
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->map, 0);
	ASSERT_TRUE(shows_first_page(at));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	EXPECT_EQ(1, counter(self->map, "faults"));
	EXPECT_LE(1, counter(self->map, "pages_mapped"));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	ASSERT_TRUE(shows_first_page(at));
	EXPECT_EQ(2, counter(self->map, "faults"));
}

/* In a pid namespace of its own, where the source has no pid */
static int source_from_outside(int map)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return 250;
	pid = fork();
	if (!pid)
		_exit(counter(map, "source"));
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

TEST_F(files, fdinfo_tells_no_pid_of_another_namespace)
{
	EXPECT_EQ(0, source_from_outside(self->map));
}

/* ---- opened again ------------------------------------------------------------------ */

/* Open a descriptor's file again, as /proc allows. Negative: -errno */
static int open_again(int fd, int oflags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, oflags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

TEST_F(files, map_file_can_be_opened_again)
{
	int fd;
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	fd = open_again(self->map, O_RDWR);
	ASSERT_LE(0, fd);
	at = map_page(fd, 0, PROT_READ | PROT_WRITE);
	EXPECT_TRUE(shows_first_page(at));
	EXPECT_EQ(0, touch_write(at, 8));
	EXPECT_EQ(8, source_load(self->source, self->memory));
	/* It is the same context. */
	EXPECT_EQ(1, counter(fd, "views"));
	ASSERT_EQ(0, view_remove(self->ctrl, 0, SIZE));
	EXPECT_EQ(0, counter(fd, "views"));
	EXPECT_EQ(SIGBUS, touch_write(at, 8));
}

TEST_F(files, opened_again_outlives_the_first)
{
	int fd = open_again(self->map, O_RDONLY);
	char *at;

	ASSERT_LE(0, fd);
	close(self->map);
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	close(self->ctrl);
	at = map_page(fd, 0, PROT_READ);
	EXPECT_TRUE(shows_first_page(at));
	close(fd);
	EXPECT_TRUE(shows_first_page(at));
}

TEST_F(files, opened_again_for_reading_cannot_be_written)
{
	int fd = open_again(self->map, O_RDONLY);
	char *at;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	EXPECT_EQ(EACCES, MMAP_ERROR(map_page(fd, 0, PROT_READ | PROT_WRITE)));
	at = map_page(fd, 0, PROT_READ);
	ASSERT_TRUE(shows_first_page(at));
	EXPECT_EQ(EACCES,
		  ERROR_OF(mprotect(at, PAGE_SIZE, PROT_READ | PROT_WRITE)));
}

/* Root passes every check of a file's mode: the context's right is what holds. */
static void expect_no_gain(struct __test_metadata *_metadata, int map)
{
	EXPECT_EQ(O_RDONLY, fcntl(map, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(-EACCES, open_again(map, O_RDWR));
	EXPECT_EQ(-EACCES, open_again(map, O_WRONLY));
	EXPECT_NE(0, ERROR_OF(fchmod(map, 0666)));
	EXPECT_EQ(-EACCES, open_again(map, O_RDWR));
	/* By way of what was opened as a path, or for reading */
	EXPECT_EQ(-EACCES, open_again(open_again(map, O_PATH), O_RDWR));
	EXPECT_EQ(-EACCES, open_again(open_again(map, O_RDONLY), O_RDWR));
	EXPECT_LE(0, open_again(map, O_RDONLY));
}

TEST_F(files, opened_again_gains_no_right_over_mem_fd)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDONLY, 0, &ctrl, &map));
	expect_no_gain(_metadata, map);
}

TEST_F(files, opened_again_gains_no_right_over_open_rdonly)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR,
				  PIDFD_MEM_OPEN_RDONLY, &ctrl, &map));
	expect_no_gain(_metadata, map);
}

/* /proc/self/map_files leads to a mirror's file as /proc/self/fd to an open one. */
static int open_mirror(const char *at, int oflags)
{
	unsigned long start = (unsigned long)at;
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start,
		 start + PAGE_SIZE);
	fd = open(path, oflags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

TEST_F(files, opened_through_a_mirror_gains_no_right)
{
	int ctrl, map, fd = device_open(O_RDONLY);
	char *at;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDONLY, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
	at = map_page(map, 0, PROT_READ);
	ASSERT_TRUE(shows_first_page(at));
	EXPECT_EQ(-EACCES, open_mirror(at, O_RDWR));
	EXPECT_LE(0, open_mirror(at, O_RDONLY));

	ASSERT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, self->source->pid));
	at = map_page(fd, self->memory, PROT_READ);
	ASSERT_TRUE(shows_first_page(at));
	EXPECT_EQ(-EACCES, open_mirror(at, O_RDWR));
	EXPECT_LE(0, open_mirror(at, O_RDONLY));
}

TEST_F(files, opened_again_is_no_ctrl_file)
{
	int fd = open_again(self->map, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTTY, view_add(fd, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(-ENOTTY, view_remove(fd, 0, PAGE_SIZE));
	EXPECT_EQ(-ENOTTY, context_lock(fd));
}

TEST_F(files, ctrl_file_cannot_be_opened_again)
{
	EXPECT_GT(0, open_again(self->ctrl, O_RDONLY));
	EXPECT_GT(0, open_again(self->ctrl, O_RDWR));
}

TEST_F(files, device_opened_again_is_a_fresh_one)
{
	int fd = open_again(self->identity, O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, map_page(fd, self->memory, PROT_READ));
	/* So it can become another process's. */
	EXPECT_EQ(0, ioctl(fd, REMOTE_PROC_MAP, getppid()));
	EXPECT_EQ(self->source->pid, counter(self->identity, "source"));
}

/* ---- what the file is ------------------------------------------------------------------ */

TEST_F(files, map_file_ends_where_the_last_view_ends)
{
	struct stat status;

	ASSERT_EQ(0, fstat(self->map, &status));
	EXPECT_EQ(0, status.st_size);
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 7 * PAGE_SIZE,
			      2 * PAGE_SIZE, 0));
	ASSERT_EQ(0,
		  view_add(self->ctrl, self->memory, PAGE_SIZE, PAGE_SIZE, 0));
	ASSERT_EQ(0, fstat(self->map, &status));
	EXPECT_EQ(9 * PAGE_SIZE, status.st_size);
	ASSERT_EQ(0, view_remove(self->ctrl, 7 * PAGE_SIZE, 2 * PAGE_SIZE));
	ASSERT_EQ(0, fstat(self->map, &status));
	EXPECT_EQ(2 * PAGE_SIZE, status.st_size);
	ASSERT_EQ(0, view_remove(self->ctrl, PAGE_SIZE, PAGE_SIZE));
	ASSERT_EQ(0, fstat(self->map, &status));
	EXPECT_EQ(0, status.st_size);
}

TEST_F(files, map_files_of_two_contexts_are_two_files)
{
	struct stat first, second;
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, fstat(self->map, &first));
	ASSERT_EQ(0, fstat(map, &second));
	EXPECT_EQ(first.st_dev, second.st_dev);
	EXPECT_NE(first.st_ino, second.st_ino);
}

TEST_F(files, map_file_belongs_to_its_opener_alone)
{
	struct stat status;

	ASSERT_EQ(0, fstat(self->map, &status));
	EXPECT_EQ(getuid(), status.st_uid);
	EXPECT_EQ(0, status.st_mode & 0177);
}

TEST_F(files, map_file_cannot_be_changed_as_a_file)
{
	EXPECT_NE(0, ERROR_OF(ftruncate(self->map, 0)));
	EXPECT_NE(0, ERROR_OF(ftruncate(self->map, 1 << 20)));
	EXPECT_NE(0, ERROR_OF(fallocate(self->map, 0, 0, PAGE_SIZE)));
	EXPECT_NE(0,
		  ERROR_OF(fallocate(self->map,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     0, PAGE_SIZE)));
	EXPECT_NE(0, ERROR_OF(fchmod(self->map, 0666)));
	EXPECT_NE(0, ERROR_OF(fchown(self->map, 1000, 1000)));
	EXPECT_GT(0, open_again(self->map, O_RDWR | O_TRUNC));
}

TEST_F(files, map_file_cannot_be_executed)
{
	static char *const nothing[] = { NULL };

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	EXPECT_EQ(EACCES, ERROR_OF(fexecve(open_again(self->map, O_RDONLY),
					   nothing, nothing)));
}

/* Calls for regular files that have nothing to do with this one */
static void call_what_files_know(int fd)
{
	char path[32];
	int number = 1, other = memfd_create("other", MFD_CLOEXEC);
	struct file_clone_range clone = { .src_fd = fd };

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	syncfs(fd);
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	readahead(fd, 0, 1 << 20);
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	copy_file_range(fd, NULL, other, NULL, PAGE_SIZE, 0);
	fcntl(fd, F_SETLEASE, F_WRLCK);
	fcntl(fd, F_SETLEASE, F_UNLCK);
	fcntl(fd, F_NOTIFY, 0);
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	fcntl(fd, F_SETFL, O_DIRECT | O_ASYNC | O_NONBLOCK);
	fcntl(fd, F_SETFL, 0);
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
	fsetxattr(fd, "user.name", "value", 5, 0);
	fsetxattr(fd, "trusted.name", "value", 5, 0);
	ioctl(fd, FIBMAP, &number);
	ioctl(fd, FIONREAD, &number);
	ioctl(fd, FS_IOC_GETFLAGS, &number);
	ioctl(fd, FS_IOC_SETFLAGS, &number);
	ioctl(fd, FICLONE, other);
	ioctl(other, FICLONERANGE, &clone);
	ioctl(fd, FIFREEZE, 0);
	ioctl(fd, FITHAW, 0);
	swapon(path, 0);
	mount(path, "/tmp", NULL, MS_BIND, NULL);
	linkat(fd, "", AT_FDCWD, "/tmp/linked", AT_EMPTY_PATH);
	syscall(SYS_finit_module, fd, "", 0);
	close(other);
}

TEST_F(files, other_file_calls_do_no_harm)
{
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, SIZE, 0));
	at = map_page(self->map, 0, PROT_READ | PROT_WRITE);
	ASSERT_TRUE(shows_first_page(at));
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	call_what_files_know(self->map);
	call_what_files_know(self->ctrl);
	call_what_files_know(self->identity);
	EXPECT_TRUE(shows_first_page(at));
	EXPECT_EQ(0, touch_write(at, pattern(SEED, 0)));
	EXPECT_EQ(-1, source_pattern_differs(self->source, self->memory, SIZE,
					     SEED));
	EXPECT_EQ(1, counter(self->map, "views"));
}

/* ---- poll ------------------------------------------------------------------------------ */

/* What poll says at once */
static int polled(int fd, int events)
{
	struct pollfd file = { .fd = fd, .events = events };

	if (poll(&file, 1, 0) < 0)
		fatal("poll: %m");
	return file.revents;
}

TEST_F(files, poll_says_nothing_while_the_source_lives)
{
	EXPECT_EQ(0,
		  polled(self->ctrl, POLLIN | POLLOUT | POLLPRI | POLLRDHUP));
	EXPECT_EQ(0, polled(self->map, POLLIN | POLLOUT | POLLPRI | POLLRDHUP));
	EXPECT_EQ(0, polled(self->identity,
			    POLLIN | POLLOUT | POLLPRI | POLLRDHUP));
	/* Whatever it does, short of exec and exit */
	source_munmap(self->source, self->memory, SIZE);
	source_end(source_fork(self->source));
	EXPECT_EQ(0, polled(self->ctrl, POLLIN | POLLOUT));
	EXPECT_EQ(0, polled(self->map, POLLIN | POLLOUT));
	EXPECT_EQ(0, polled(self->identity, POLLIN | POLLOUT));
}

TEST_F(files, poll_hangs_up_after_exit)
{
	source_exit(self->source, 3);
	EXPECT_EQ(POLLHUP, polled(self->ctrl, 0));
	EXPECT_EQ(POLLHUP, polled(self->map, 0));
	EXPECT_EQ(POLLHUP, polled(self->identity, 0));
}

TEST_F(files, poll_hangs_up_after_kill)
{
	source_kill(self->source);
	EXPECT_EQ(POLLHUP, polled(self->ctrl, 0));
	EXPECT_EQ(POLLHUP, polled(self->map, 0));
	EXPECT_EQ(POLLHUP, polled(self->identity, 0));
}

TEST_F(files, poll_hangs_up_after_exec)
{
	become_another_program(self->source);
	EXPECT_EQ(POLLHUP, polled(self->ctrl, 0));
	EXPECT_EQ(POLLHUP, polled(self->map, 0));
	EXPECT_EQ(POLLHUP, polled(self->identity, 0));
}

TEST_F(files, poll_waits_for_the_last_that_shares_the_memory)
{
	struct source *sharer = source_fork_sharing_memory(self->source);

	source_kill(self->source);
	EXPECT_EQ(0, polled(self->map, 0));
	source_kill(sharer);
	EXPECT_EQ(POLLHUP, polled(self->map, 0));
	source_end(sharer);
}

static int sleep_in_poll(int fd)
{
	struct pollfd file = { .fd = fd, .events = POLLIN };

	return poll(&file, 1, -1) == 1 ? file.revents : 0;
}

static int sleep_in_epoll(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return 0;
	return epoll_wait(epoll, &event, 1, -1) == 1 ? event.events : 0;
}

/* Whether the process sleeps in that system call */
static bool sleeps_in(pid_t pid, long nr)
{
	char path[32];
	long current = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	if (fscanf(file, "%ld", &current) != 1)
		current = -1;
	fclose(file);
	return current == nr;
}

/* Sleepers on all three files, in both calls, woken by what the source does */
static void expect_wake(struct __test_metadata *_metadata,
			FIXTURE_DATA(files) *self,
			void (*end)(struct source *source))
{
	const int fds[] = { self->ctrl, self->map, self->identity };
	pid_t sleepers[9];
	int i, status;

	for (i = 0; i < 9; i++) {
		sleepers[i] = fork();
		if (sleepers[i])
			continue;
		if (i < 3)
			_exit(sleep_in_poll(fds[i]));
		_exit(sleep_in_epoll(fds[i % 3],
				     i < 6 ? 0 : EPOLLIN | EPOLLET));
	}
	for (i = 0; i < 9; i++)
		WAIT_FOR(sleeps_in(sleepers[i],
				   i < 3 ? SYS_poll : SYS_epoll_wait));
	end(self->source);
	for (i = 0; i < 9; i++) {
		ASSERT_EQ(sleepers[i], waitpid(sleepers[i], &status, 0));
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_EQ(EPOLLHUP, WEXITSTATUS(status))
			TH_LOG("file %d, sleeper %d", i % 3, i / 3);
	}
}

TEST_F(files, poll_wakes_when_the_source_is_killed)
{
	expect_wake(_metadata, self, source_kill);
}

static void source_exits(struct source *source)
{
	source_exit(source, 0);
}

TEST_F(files, poll_wakes_when_the_source_exits)
{
	expect_wake(_metadata, self, source_exits);
}

TEST_F(files, poll_wakes_when_the_source_executes)
{
	expect_wake(_metadata, self, become_another_program);
}

TEST_F(files, poll_of_a_file_that_is_closed_meanwhile)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->ctrl, &event));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->map, &event));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->identity, &event));
	close(self->ctrl);
	close(self->map);
	close(self->identity);
	source_kill(self->source);
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
}

TEST_HARNESS_MAIN
