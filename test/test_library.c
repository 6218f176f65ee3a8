// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap, used on real processes: what pidfd_mem() promises in its header
 * and in pidfd_mem(3), and that the README's example does what it says.
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <pthread.h>
#include <remotemap.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* After <sys/ptrace.h>, whose names it repeats */
#include <linux/ptrace.h>

#include "harness.h"
#include "library.h"

/* ---- what the tests have in common --------------------------------------- */

/* The call fails so, touches no result, and leaves no descriptor behind. */
static void refused(struct __test_metadata *_metadata, int pidfd,
		    unsigned int flags, int error)
{
	int fds[2] = { -7, -8 };
	int before = open_files();

	errno = 0;
	EXPECT_EQ(-1, pidfd_mem(pidfd, fds, flags));
	EXPECT_EQ(error, errno);
	EXPECT_EQ(-7, fds[0]);
	EXPECT_EQ(-8, fds[1]);
	EXPECT_EQ(before, open_files());
}

static void close_both(const int *fds)
{
	close(fds[0]);
	close(fds[1]);
}

/* Whose memory a context's file shows, or -1. The calling thread's descriptor:
 * it may have a table of its own.
 */
static long source_of(int fd)
{
	char path[64], line[256];
	long pid = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "source: %ld", &pid) == 1)
			break;
	fclose(file);
	return pid;
}

static void kill_and_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

FIXTURE(library)
{
	struct source *source;
	pid_t pid;
	int pidfd;
	uint64_t page; /* one page of the source's */
};

FIXTURE_SETUP(library)
{
	self->source = source_start();
	self->pid = self->source->pid;
	self->pidfd = pidfd_open(self->pid, 0);
	ASSERT_LE(0, self->pidfd);
	self->page = source_anon(self->source, PAGE_SIZE, 0);
	source_store(self->source, self->page, 1);
}

FIXTURE_TEARDOWN(library)
{
	source_end(self->source);
}

/* ---- what it gives ------------------------------------------------------- */

TEST_F(library, both_files_are_close_on_exec)
{
	int before = open_files(), fds[2];

	ASSERT_EQ(0, pidfd_mem(self->pidfd, fds, 0));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fds[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fds[1], F_GETFD));
	EXPECT_EQ(self->pid, source_of(fds[0]));
	EXPECT_EQ(self->pid, source_of(fds[1]));
	EXPECT_EQ(before + 2, open_files());
	close_both(fds);
}

TEST_F(library, each_side_sees_what_the_other_writes)
{
	volatile uint64_t *mirror;
	int fds[2];

	ASSERT_EQ(0, pidfd_mem(self->pidfd, fds, 0));
	ASSERT_EQ(0, view_add(fds[0], self->page, 0, PAGE_SIZE, 0));
	mirror = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fds[1], 0);
	ASSERT_NE(MAP_FAILED, (void *)mirror);
	EXPECT_EQ(1, *mirror);
	source_store(self->source, self->page, 2);
	EXPECT_EQ(2, *mirror);
	*mirror = 3;
	EXPECT_EQ(3, source_load(self->source, self->page));
	close_both(fds);
}

TEST_F(library, context_has_no_view_at_first)
{
	int fds[2];

	ASSERT_EQ(0, pidfd_mem(self->pidfd, fds, 0));
	EXPECT_EQ(0, counter(fds[0], "views"));
	EXPECT_EQ(MAP_FAILED,
		  mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fds[1], 0));
	EXPECT_EQ(EINVAL, errno);
	close_both(fds);
}

TEST_F(library, rdonly_map_file_is_for_reading)
{
	volatile uint64_t *mirror;
	int fds[2];

	ASSERT_EQ(0, pidfd_mem(self->pidfd, fds, PIDFD_MEM_OPEN_RDONLY));
	ASSERT_EQ(0, view_add(fds[0], self->page, 0, PAGE_SIZE, 0));
	mirror = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fds[1], 0);
	EXPECT_EQ(MAP_FAILED, (void *)mirror);
	EXPECT_EQ(EACCES, errno);
	mirror = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fds[1], 0);
	ASSERT_NE(MAP_FAILED, (void *)mirror);
	EXPECT_EQ(1, *mirror);
	close_both(fds);
}

/* ---- what it refuses ----------------------------------------------------- */

TEST_F(library, unknown_flag_is_EINVAL)
{
	unsigned int bit;

	for (bit = 1; bit < 32; bit++)
		refused(_metadata, self->pidfd, 1U << bit, EINVAL);
	refused(_metadata, self->pidfd, ~0U, EINVAL);
	refused(_metadata, -1, 2, EINVAL);
}

TEST_F(library, no_result_is_EFAULT)
{
	EXPECT_EQ(-1, pidfd_mem(self->pidfd, NULL, 0));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(library, closed_descriptor_is_EBADF)
{
	int fd = dup(self->pidfd);

	ASSERT_EQ(0, close(fd));
	refused(_metadata, fd, 0, EBADF);
	refused(_metadata, -1, 0, EBADF);
	refused(_metadata, 1 << 30, 0, EBADF);
}

TEST_F(library, other_files_are_EBADF)
{
	int fds[] = {
		open("/dev/null", O_RDWR),	open("/proc/self", O_DIRECTORY),
		open("/proc/self/mem", O_RDWR), epoll_create1(0),
		self->source->channel,		open(DEVICE_PATH, O_RDWR),
	};
	int context[2];
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		ASSERT_LE(0, fds[i]);
		refused(_metadata, fds[i], 0, EBADF);
	}
	ASSERT_EQ(0, pidfd_mem(self->pidfd, context, 0));
	refused(_metadata, context[0], 0, EBADF);
	refused(_metadata, context[1], 0, EBADF);
}

TEST_F(library, zombie_is_ESRCH)
{
	kill_and_keep(self->pid);
	refused(_metadata, self->pidfd, 0, ESRCH);
}

TEST_F(library, reaped_process_is_ESRCH)
{
	source_kill(self->source);
	refused(_metadata, self->pidfd, 0, ESRCH);
	refused(_metadata, self->pidfd, PIDFD_MEM_OPEN_RDONLY, ESRCH);
}

TEST(kernel_thread_is_ESRCH)
{
	int kthreadd = pidfd_open(2, 0);

	ASSERT_LE(0, kthreadd);
	refused(_metadata, kthreadd, 0, ESRCH);
}

TEST_F(library, other_users_process_is_EACCES)
{
	IN_CHILD({
		EXPECT_EQ(0, setresgid(1000, 1000, 1000));
		EXPECT_EQ(0, setresuid(1000, 1000, 1000));
		refused(_metadata, self->pidfd, 0, EACCES);
		refused(_metadata, self->pidfd, PIDFD_MEM_OPEN_RDONLY, EACCES);
	});
}

TEST_F(library, process_outside_of_the_pid_namespace_is_ESRCH)
{
	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	IN_CHILD({
		EXPECT_EQ(0, mount("proc", "/proc", "proc", 0, NULL));
		refused(_metadata, self->pidfd, 0, ESRCH);
	});
}

TEST_F(library, missing_device_is_ENODEV)
{
	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, mount("none", "/dev", "tmpfs", 0, NULL));
	refused(_metadata, self->pidfd, 0, ENODEV);
	/* A node of a driver that is not there, as an unloaded module leaves. */
	ASSERT_EQ(0, mknod(DEVICE_PATH, S_IFCHR | 0666, makedev(10, 254)));
	refused(_metadata, self->pidfd, 0, ENODEV);
}

TEST_F(library, missing_proc_is_ENOENT)
{
	ASSERT_EQ(0, leave_mounts());
	ASSERT_EQ(0, umount2("/proc", MNT_DETACH));
	refused(_metadata, self->pidfd, 0, ENOENT);
}

/* A limit lowered step by step makes each open in turn the one that fails. */
TEST_F(library, full_descriptor_table_is_EMFILE)
{
	struct rlimit limit;
	int lowest, fds[2], refusals = 0;
	rlim_t all;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	all = limit.rlim_cur;
	lowest = dup(0);
	ASSERT_EQ(0, close(lowest));
	for (limit.rlim_cur = lowest;; limit.rlim_cur++) {
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		if (limit.rlim_cur == (rlim_t)lowest + 4)
			break;
		refused(_metadata, self->pidfd, 0, EMFILE);
		refusals++;
	}
	/* mem, device, ctrl, map: the most it has open at a time */
	EXPECT_EQ(4, refusals);
	EXPECT_EQ(0, pidfd_mem(self->pidfd, fds, 0));
	close_both(fds);
	limit.rlim_cur = all;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

/* ---- a pid that is given away in the middle ------------------------------ */

static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (unsigned long)&pid,
		.set_tid_size = 1,
	};
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return child;
}

/* The tracee is about to open a file whose name ends so. */
static int opens(pid_t pid, const char *ending)
{
	struct __ptrace_syscall_info info;
	char path[64] = "";
	struct iovec to = { path, sizeof(path) - 1 },
		     from = { NULL, to.iov_len };
	size_t length;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_openat)
		return 0;
	from.iov_base = (void *)(unsigned long)info.entry.args[1];
	if (process_vm_readv(pid, &to, 1, &from, 1, 0) <= 0)
		return 0;
	length = strlen(path);
	return length >= strlen(ending) &&
	       !strcmp(path + length - strlen(ending), ending);
}

/*
 * Runs the tracee until it ends, and replaces the source by another process of
 * the same number just before its /proc/PID/mem is opened. Returns what the
 * tracee exited with, or -1 if the replacement did not come about.
 */
static int replace_in_the_middle(pid_t viewer, pid_t source)
{
	int status, replaced = 0;

	while (waitpid(viewer, &status, 0) == viewer) {
		if (WIFEXITED(status))
			return replaced ? WEXITSTATUS(status) : -1;
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGSTOP)
			ptrace(PTRACE_SETOPTIONS, viewer, NULL,
			       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
		if (!replaced && WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    opens(viewer, "/mem")) {
			kill_and_reap(source);
			replaced = fork_as(source) == source;
		}
		if (ptrace(PTRACE_SYSCALL, viewer, NULL, NULL))
			break;
	}
	return -1;
}

TEST_F(library, reused_pid_is_ESRCH)
{
	pid_t viewer = fork();
	int fds[2];

	if (!viewer) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
			_exit(255);
		if (!pidfd_mem(self->pidfd, fds, 0))
			_exit(0);
		_exit(errno);
	}
	EXPECT_EQ(ESRCH, replace_in_the_middle(viewer, self->pid));
}

/* ---- less than all rights ------------------------------------------------ */

/* From now on this process and its children open nothing for writing. */
static int only_read(void)
{
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE,
	};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr,
				 sizeof(attr), 0);

	if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_landlock_restrict_self, rules, 0) ? -errno :
							       close(rules);
}

TEST(who_may_only_read_must_ask_for_that)
{
	struct source *source;
	int fds[2], pidfd, err;

	err = only_read();
	if (err == -ENOSYS || err == -EOPNOTSUPP)
		SKIP(return, "this kernel has no Landlock");
	ASSERT_EQ(0, err);
	/* Landlock lets it see only processes under the same rules. */
	source = source_start();
	pidfd = pidfd_open(source->pid, 0);
	refused(_metadata, pidfd, 0, EACCES);
	ASSERT_EQ(0, pidfd_mem(pidfd, fds, PIDFD_MEM_OPEN_RDONLY));
	close_both(fds);
	source_end(source);
}

/* ---- threads and signals ------------------------------------------------- */

struct caller {
	pthread_t thread;
	struct source *source;
	int pidfd;
	int wrong;
	int fds[2];
};

static void *call_often(void *data)
{
	struct caller *caller = data;
	int i, fds[2];

	for (i = 0; i < 100; i++) {
		if (pidfd_mem(caller->pidfd, fds, 0)) {
			caller->wrong++;
			continue;
		}
		caller->wrong += source_of(fds[1]) != caller->source->pid;
		close_both(fds);
	}
	return NULL;
}

TEST(threads_do_not_disturb_each_other)
{
	struct caller callers[4] = {};
	int before, i;

	for (i = 0; i < 4; i++) {
		callers[i].source = source_start();
		callers[i].pidfd = pidfd_open(callers[i].source->pid, 0);
	}
	before = open_files();
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL,
					    call_often, &callers[i]));
	for (i = 0; i < 4; i++)
		pthread_join(callers[i].thread, NULL);
	EXPECT_EQ(before, open_files());
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, callers[i].wrong);
		source_end(callers[i].source);
	}
}

/* The descriptors of the process as a whole are other ones than this thread's. */
static void *call_alone(void *data)
{
	struct caller *caller = data;
	int fds[2], pidfd;

	caller->wrong = 1;
	if (unshare(CLONE_FILES))
		return NULL;
	pidfd = fcntl(caller->pidfd, F_DUPFD_CLOEXEC, 500);
	caller->wrong = pidfd < 0 || pidfd_mem(pidfd, fds, 0) ||
			source_of(fds[1]) != caller->source->pid;
	return NULL;
}

TEST_F(library, thread_with_its_own_descriptors_can_call)
{
	struct caller caller = { .source = self->source, .pidfd = self->pidfd };

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, call_alone, &caller));
	pthread_join(caller.thread, NULL);
	EXPECT_EQ(0, caller.wrong);
}

static void *call_cancelled(void *data)
{
	struct caller *caller = data;

	pthread_cancel(pthread_self());
	caller->wrong = pidfd_mem(caller->pidfd, caller->fds, 0);
	pthread_testcancel();
	caller->wrong = 1;
	return NULL;
}

TEST_F(library, call_is_no_cancellation_point)
{
	struct caller caller = { .source = self->source,
				 .pidfd = self->pidfd,
				 .wrong = 1 };
	int before = open_files();
	void *result;

	ASSERT_EQ(0, pthread_create(&caller.thread, NULL, call_cancelled,
				    &caller));
	pthread_join(caller.thread, &result);
	EXPECT_EQ(PTHREAD_CANCELED, result);
	ASSERT_EQ(0, caller.wrong);
	close_both(caller.fds);
	EXPECT_EQ(before, open_files());
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
	(void)signal;
	alarms++;
}

TEST_F(library, signals_do_not_disturb_a_call)
{
	struct sigaction action = { .sa_handler = count_alarm };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = {};
	int calls, fds[2], before = open_files();

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	for (calls = 0; alarms < 200; calls++) {
		ASSERT_EQ(0, pidfd_mem(self->pidfd, fds, 0));
		close_both(fds);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(before, open_files());
}

/* ---- the README's example ------------------------------------------------ */

/* What the example prints, and its wait status. */
static int peek(pid_t pid, uint64_t address, size_t size, char *text,
		size_t space)
{
	char command[128];
	size_t length;
	FILE *file;

	snprintf(command, sizeof(command), "peek %d %#lx %zu 2>&1", pid,
		 address, size);
	file = popen(command, "re");
	if (!file)
		return -1;
	length = fread(text, 1, space - 1, file);
	text[length] = '\0';
	return pclose(file);
}

/* ---- into a reserved range ---------------------------------------------------------- */

#define RESERVED (4 * PMD_SIZE)

FIXTURE(reserved)
{
	struct source *source;
	uint64_t memory; /* 2 MiB, not aligned to that */
	struct mirror mirror; /* of it, mapped elsewhere */
	char *range;
};

FIXTURE_SETUP(reserved)
{
	self->source = source_start();
	self->memory = source_anon_aligned(self->source, 2 * PMD_SIZE) +
		       5 * PAGE_SIZE;
	source_fill(self->source, self->memory, PMD_SIZE, 7);
	self->mirror = mirror_open(self->source->pid, self->memory, PMD_SIZE,
				   PROT_READ | PROT_WRITE, 0);
	self->range = mmap(NULL, RESERVED, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->range);
}

FIXTURE_TEARDOWN(reserved)
{
	munmap(self->range, RESERVED);
	mirror_close(&self->mirror);
	source_end(self->source);
}

static bool is_reserved(const char *at)
{
	uint64_t value;

	return touch_read(at, &value) == SIGSEGV;
}

static uint64_t mappings_with(const char *text)
{
	char line[256];
	uint64_t nr = 0;
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof(line), maps))
		nr += strstr(line, text) != NULL;
	if (maps)
		fclose(maps);
	return nr;
}

TEST_F(reserved, mirror_agrees_with_the_source_modulo_2_MiB)
{
	size_t start;

	/* Wherever the range begins, the mirror begins at the first such place. */
	for (start = 0; start < 20; start += 3) {
		char *from = self->range + start * PAGE_SIZE;
		char *at = pidfd_mem_mmap(from, RESERVED - start * PAGE_SIZE,
					  PMD_SIZE, PROT_READ | PROT_WRITE,
					  self->mirror.map, 0);

		ASSERT_NE(MAP_FAILED, at);
		ASSERT_EQ(self->memory % PMD_SIZE, (uintptr_t)at % PMD_SIZE);
		ASSERT_LE(from, at);
		ASSERT_GT(PMD_SIZE, (size_t)(at - from));
		ASSERT_EQ(-1, pattern_differs(at, PMD_SIZE, 7));
		if (at > from) {
			ASSERT_TRUE(is_reserved(at - PAGE_SIZE));
		}
		ASSERT_TRUE(is_reserved(at + PMD_SIZE));
		ASSERT_EQ(2, mappings_with("remote_mapping"));
		ASSERT_EQ(at, mmap(at, PMD_SIZE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0));
	}
}

TEST_F(reserved, small_mirror_begins_where_the_range_does)
{
	char *at = pidfd_mem_mmap(self->range, PAGE_SIZE, 10, PROT_READ,
				  self->mirror.map, PAGE_SIZE);

	ASSERT_EQ(self->range, at);
	ASSERT_EQ(-1, pattern_differs(self->mirror.at, PMD_SIZE, 7));
	ASSERT_EQ(0, memcmp(at, self->mirror.at + PAGE_SIZE, PAGE_SIZE));
	ASSERT_TRUE(is_reserved(at + PAGE_SIZE));
}

TEST_F(reserved, source_in_huge_pages_is_huge_in_the_mirror)
{
	uint64_t memory = source_anon_aligned(self->source, PMD_SIZE);
	struct mirror mirror;
	uint64_t before;
	char *at;

	source_madvise(self->source, memory, PMD_SIZE, MADV_HUGEPAGE);
	source_fill(self->source, memory, PMD_SIZE, 8);
	if (!is_huge(self->source, memory))
		SKIP(return, "no huge page could be had");
	mirror = mirror_open(self->source->pid, memory, PMD_SIZE, PROT_READ, 0);
	before = counter(mirror.map, "huge_pages_mapped");
	at = pidfd_mem_mmap(self->range + 3 * PAGE_SIZE, 3 * PMD_SIZE, PMD_SIZE,
			    PROT_READ, mirror.map, 0);
	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(-1, pattern_differs(at, PMD_SIZE, 8));
	ASSERT_EQ(before + 1, counter(mirror.map, "huge_pages_mapped"));
	mirror_close(&mirror);
}

/* Refused, and nothing is mapped or unmapped by it. */
#define REFUSES(error, ...)                                         \
	do {                                                        \
		errno = 0;                                          \
		ASSERT_EQ(MAP_FAILED, pidfd_mem_mmap(__VA_ARGS__)); \
		ASSERT_EQ(error, errno);                            \
		ASSERT_EQ(1, mappings_with("remote_mapping"));      \
		ASSERT_TRUE(is_reserved(self->range));              \
	} while (0)

TEST_F(reserved, bad_ranges_are_EINVAL)
{
	int map = self->mirror.map;

	REFUSES(EINVAL, NULL, RESERVED, PAGE_SIZE, PROT_READ, map, 0);
	REFUSES(EINVAL, self->range + 8, PMD_SIZE, PAGE_SIZE, PROT_READ, map, 0);
	REFUSES(EINVAL, self->range, RESERVED, 0, PROT_READ, map, 0);
	REFUSES(EINVAL, self->range, SIZE_MAX, PAGE_SIZE, PROT_READ, map, 0);
}

TEST_F(reserved, what_does_not_fit_is_ENOMEM)
{
	int map = self->mirror.map;

	REFUSES(ENOMEM, self->range, PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ, map,
		0);
	/* Five pages more than there is room for, to agree */
	REFUSES(ENOMEM, (char *)((uintptr_t)(self->range + PMD_SIZE - 1) &
				 -PMD_SIZE),
		PMD_SIZE + 4 * PAGE_SIZE, PMD_SIZE, PROT_READ, map, 0);
}

TEST_F(reserved, refusals_of_mmap_are_passed_on)
{
	int map = self->mirror.map;

	REFUSES(EBADF, self->range, RESERVED, PAGE_SIZE, PROT_READ, -1, 0);
	REFUSES(EPERM, self->range, RESERVED, PAGE_SIZE, PROT_EXEC, map, 0);
	REFUSES(EINVAL, self->range, RESERVED, PAGE_SIZE, PROT_READ, map, 1);
	REFUSES(EINVAL, self->range, RESERVED, PAGE_SIZE, PROT_READ, map,
		1UL << 40);
}

TEST_F(library, example_prints_the_range)
{
	char text[256];

	source_store(self->source, self->page, 0x0807060504030201);
	EXPECT_EQ(0, peek(self->pid, self->page, 20, text, sizeof(text)));
	EXPECT_STREQ("01 02 03 04 05 06 07 08 00 00 00 00 00 00 00 00\n"
		     "00 00 00 00\n",
		     text);
	EXPECT_EQ(0, peek(self->pid, self->page + 3, 2, text, sizeof(text)));
	EXPECT_STREQ("04 05\n", text);
}

TEST_F(library, example_says_why_it_cannot)
{
	char text[256], expected[64];
	int status;

	kill_and_keep(self->pid);
	status = peek(self->pid, self->page, 4, text, sizeof(text));
	EXPECT_EQ(1, WEXITSTATUS(status));
	snprintf(expected, sizeof(expected),
		 "peek: process %d: No such process\n", self->pid);
	EXPECT_STREQ(expected, text);
}

TEST_HARNESS_MAIN
