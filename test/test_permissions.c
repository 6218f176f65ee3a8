// SPDX-License-Identifier: GPL-2.0
/*
 * Who may see whose memory: exactly those whom the kernel would let open
 * /proc/PID/mem, when they ask, and those to whom such a file, or a map file
 * made from it, was given.
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "harness.h"

#include "permissions.h"

#define SIZE (4 * PAGE_SIZE)
#define SEED 0xacce55

/* A source of an ordinary user, under no restriction of Yama's */
FIXTURE(user) {
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(user)
{
	if (has_yama())
		yama_set(0);
	self->source = source_of(USER);
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
}

FIXTURE_TEARDOWN(user)
{
	source_end(self->source);
	if (has_yama())
		yama_set(0);
}

/* ---- users ----------------------------------------------------------------------- */

TEST_F(user, its_own_processes_may_be_seen)
{
	EXPECT_EQ(0, ask_as(USER, self->source->pid));
}

TEST_F(user, others_may_not_be_seen)
{
	pid_t parent = getpid();

	EXPECT_EQ(EACCES, ask_as(NOBODY, self->source->pid));
	EXPECT_EQ(EACCES, ask_as(USER, parent));
	EXPECT_EQ(EACCES, ask_as(USER, 1));
}

TEST_F(user, root_may_see_all)
{
	EXPECT_EQ(0, ask(self->source->pid));
	EXPECT_EQ(0, ask(1));
}

static int ask_without_ptrace_capability(void *argument)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3,
						   0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return BROKEN;
	data[0].effective &= ~(1U << CAP_SYS_PTRACE);
	data[0].permitted &= ~(1U << CAP_SYS_PTRACE);
	if (syscall(SYS_capset, &header, data))
		return BROKEN;
	return ask(*(pid_t *)argument);
}

TEST_F(user, root_is_nothing_without_the_capability)
{
	EXPECT_EQ(EACCES,
		  as(0, ask_without_ptrace_capability, &self->source->pid));
}

static long ask_about_itself(void *argument)
{
	(void)argument;
	return ask(getpid());
}

TEST_F(user, a_process_may_see_itself)
{
	EXPECT_EQ(0, source_call(self->source, ask_about_itself, NULL, 0));
}

TEST(device_is_for_everybody)
{
	struct stat status;

	ASSERT_EQ(0, stat(DEVICE_PATH, &status));
	EXPECT_EQ(S_IFCHR | 0666, status.st_mode);
}

/* A child of the caller's: it waits to be killed. */
static pid_t child_of_mine(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int ask_about_a_child(void *argument)
{
	pid_t pid = child_of_mine();
	int answer = ask(pid);

	(void)argument;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return answer;
}

TEST(device_refuses_no_user)
{
	EXPECT_EQ(0, as(NOBODY, ask_about_a_child, NULL));
	EXPECT_EQ(0, as(USER, ask_about_a_child, NULL));
	EXPECT_EQ(0, as(0, ask_about_a_child, NULL));
}

TEST_F(user, undumpable_source_may_not_be_seen)
{
	ASSERT_EQ(0,
		  source_syscall(self->source, SYS_prctl, PR_SET_DUMPABLE, 0));
	EXPECT_EQ(EACCES, ask_as(USER, self->source->pid));
	EXPECT_EQ(0, ask(self->source->pid));
	ASSERT_EQ(0,
		  source_syscall(self->source, SYS_prctl, PR_SET_DUMPABLE, 1));
	EXPECT_EQ(0, ask_as(USER, self->source->pid));
}

TEST_F(user, source_that_changed_its_user_may_not_be_seen)
{
	struct source *source = source_start();

	/* As a daemon that drops its privileges: the secrets of before remain. */
	ASSERT_EQ(0, source_syscall(source, SYS_setresgid, USER, USER, USER));
	ASSERT_EQ(0, source_syscall(source, SYS_setresuid, USER, USER, USER));
	EXPECT_EQ(EACCES, ask_as(USER, source->pid));
	source_end(source);
}

/* ---- LSMs ------------------------------------------------------------------------- */

TEST_F(user, yama_1_lets_nobody_see_a_stranger)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	yama_set(1);
	EXPECT_EQ(EACCES, ask_as(USER, self->source->pid));
	EXPECT_EQ(0, ask(self->source->pid));
}

TEST_F(user, yama_1_lets_a_parent_see_its_child)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	yama_set(1);
	EXPECT_EQ(0, as(USER, ask_about_a_child, NULL));
}

TEST_F(user, yama_1_lets_those_whom_the_source_names)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	yama_set(1);
	ASSERT_EQ(0, source_syscall(self->source, SYS_prctl, PR_SET_PTRACER,
				    PR_SET_PTRACER_ANY));
	EXPECT_EQ(0, ask_as(USER, self->source->pid));
	EXPECT_EQ(EACCES, ask_as(NOBODY, self->source->pid));
}

TEST_F(user, yama_2_lets_root_alone)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	yama_set(2);
	EXPECT_EQ(EACCES, ask_as(USER, self->source->pid));
	EXPECT_EQ(EACCES, as(USER, ask_about_a_child, NULL));
	EXPECT_EQ(0, ask(self->source->pid));
}

static int ask_from_landlock_domain(void *argument)
{
	struct landlock_ruleset_attr rules = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	int fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

	if (fd < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
		return KSFT_SKIP;
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, fd, 0))
		return BROKEN;
	if (ask_about_a_child(NULL))
		return BROKEN;
	return ask(*(pid_t *)argument);
}

TEST_F(user, landlock_domain_ends_at_its_border)
{
	int answer = as(USER, ask_from_landlock_domain, &self->source->pid);

	if (answer == KSFT_SKIP)
		SKIP(return, "no Landlock");
	EXPECT_EQ(EACCES, answer);
	EXPECT_EQ(EACCES, as(0, ask_from_landlock_domain, &self->source->pid));
}

/* ---- authority is what was opened ---------------------------------------------------- */

static int see_through_context(int ctrl, int map, uint64_t memory)
{
	char *at;
	int error = view_add(ctrl, memory, 0, SIZE, 0);

	if (error)
		return -error;
	at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, map, 0);
	if (at == MAP_FAILED)
		return errno;
	return pattern_differs(at, SIZE, SEED) == -1 ? 0 : BROKEN;
}

static int see_through_mem_fd(int mem_fd, uint64_t memory)
{
	struct pidfd_mem_open order = { .size = sizeof(order),
					.mem_fd = mem_fd };
	int fd = device_open(O_RDWR);

	if (fd < 0)
		return -fd;
	if (ioctl(fd, PIDFD_MEM_OPEN, &order))
		return errno;
	return see_through_context(order.ctrl_fd, order.map_fd, memory);
}

struct opened {
	pid_t source;
	uint64_t memory;
	int mem_fd;
	int ctrl;
	int map;
	char *at;
	int ready;
	int go;
};

static int use_mem_fd(void *argument)
{
	struct opened *opened = argument;

	/* What was opened is kept; nothing else is gained. */
	if (ask(opened->source) != EACCES)
		return BROKEN;
	return see_through_mem_fd(opened->mem_fd, opened->memory);
}

static int use_context(void *argument)
{
	struct opened *opened = argument;

	if (ask(opened->source) != EACCES)
		return BROKEN;
	return see_through_context(opened->ctrl, opened->map, opened->memory);
}

TEST_F(user, privileges_dropped_after_open_keep_what_was_opened)
{
	struct opened opened = { .memory = self->memory,
				 .source = self->source->pid };

	opened.mem_fd = mem_open(self->source->pid, O_RDWR);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &opened.ctrl,
				  &opened.map));
	EXPECT_EQ(0, as(NOBODY, use_mem_fd, &opened));
	EXPECT_EQ(0, as(NOBODY, use_context, &opened));
}

TEST_F(user, source_that_shuts_itself_later_is_still_seen)
{
	struct opened opened = { .memory = self->memory,
				 .source = self->source->pid };

	opened.mem_fd = mem_open(self->source->pid, O_RDWR);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &opened.ctrl,
				  &opened.map));
	ASSERT_EQ(0,
		  source_syscall(self->source, SYS_prctl, PR_SET_DUMPABLE, 0));
	/* As a /proc/PID/mem that is open can still be read */
	EXPECT_EQ(0, as(USER, use_mem_fd, &opened));
	EXPECT_EQ(0, as(USER, use_context, &opened));
}

TEST_F(user, source_may_lend_itself)
{
	EXPECT_EQ(0, lend_to_nobody(self->source, self->memory, SIZE, SEED));
}

TEST_F(user, source_may_lend_itself_under_yama_2)
{
	if (!has_yama())
		SKIP(return, "no Yama");
	yama_set(2);
	EXPECT_EQ(0, lend_to_nobody(self->source, self->memory, SIZE, SEED));
}

struct opener {
	int channel;
	pid_t source;
	uint64_t memory;
};

static int open_and_send(void *argument)
{
	struct opener *opener = argument;
	int ctrl, map;

	if (context_open(opener->source, O_RDWR, 0, &ctrl, &map) ||
	    view_add(ctrl, opener->memory, 0, SIZE, 0) || context_lock(ctrl))
		return 1;
	return send_fd(opener->channel, map) ? 2 : 0;
}

TEST_F(user, map_file_outlives_its_opener)
{
	struct opener opener = { .source = self->source->pid,
				 .memory = self->memory };
	int channel[2], map;
	char *at;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel));
	opener.channel = channel[0];
	ASSERT_EQ(0, as(USER, open_and_send, &opener));
	map = receive_fd(channel[1]);
	ASSERT_LE(0, map);
	at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(-1, pattern_differs(at, SIZE, SEED));
	EXPECT_EQ(0, touch_write(at, 1));
	EXPECT_EQ(1, source_load(self->source, self->memory));
	EXPECT_EQ(1, counter(map, "locked"));
}

static int open_map_file_again(void *argument)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *(int *)argument);
	return open(path, O_RDWR) < 0 ? errno : 0;
}

/* A descriptor for reading that was given away stays one for reading. */
TEST_F(user, map_file_given_away_is_not_opened_again_by_others)
{
	int ctrl, map, for_reading;
	char path[32];

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map);
	for_reading = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, for_reading);
	EXPECT_EQ(EACCES, as(NOBODY, open_map_file_again, &for_reading));
}

/* ---- user namespaces ------------------------------------------------------------------ */

static int ask_from_user_namespace(void *argument)
{
	if (unshare(CLONE_NEWUSER))
		return errno == ENOSYS || errno == EPERM ? KSFT_SKIP : BROKEN;
	if (ask_about_a_child(NULL))
		return BROKEN;
	return ask(*(pid_t *)argument);
}

TEST_F(user, root_of_a_user_namespace_sees_that_alone)
{
	int answer = as(USER, ask_from_user_namespace, &self->source->pid);

	if (answer == KSFT_SKIP)
		SKIP(return, "users may not make user namespaces");
	/* The same user, but outside */
	EXPECT_EQ(EACCES, answer);
	EXPECT_EQ(EACCES,
		  as(NOBODY, ask_from_user_namespace, &self->source->pid));
}

/* ---- pid namespaces --------------------------------------------------------------------- */

/* Run function in a process of its own, the first of a pid namespace, with
 * mounts of its own: what it returned. A signal is BROKEN.
 */
static int in_namespace(int flags, int (*function)(void *), void *argument)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (unshare(CLONE_NEWNS | flags) ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(BROKEN);
		pid = flags & CLONE_NEWPID ? fork() : 0;
		if (!pid)
			_exit(function(argument));
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN);
	}
	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static int map_in_own_namespace(void *argument)
{
	uint64_t memory, value;
	struct source *source;
	int result = 0, fd;
	char *at;

	(void)argument;
	if (mount("proc", "/proc", "proc", 0, NULL))
		return BROKEN;
	source = source_start();
	memory = source_anon(source, PAGE_SIZE, 0);
	source_store(source, memory, 4711);
	fd = device_open(O_RDWR);
	if (ioctl(fd, REMOTE_PROC_MAP, source->pid))
		return 1;
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, memory);
	if (at == MAP_FAILED || touch_read(at, &value) || value != 4711)
		result = 2;
	else if ((pid_t)counter(fd, "source") != source->pid)
		result = 3;
	source_end(source);
	return result;
}

TEST(pid_is_one_of_the_callers_namespace)
{
	EXPECT_EQ(0, in_namespace(CLONE_NEWPID, map_in_own_namespace, NULL));
}

/* Its /proc is still that of outside, where the same number is another's. */
static int map_with_foreign_proc(void *argument)
{
	pid_t child = child_of_mine();
	int outside = *(pid_t *)argument;
	int result = 0;

	if (ask_module(1, O_RDONLY) != ESRCH || ask_module(1, O_RDWR) != ESRCH)
		result = 1;
	else if (ask_module(child, O_RDONLY) != ESRCH ||
		 ask_module(child, O_RDWR) != ESRCH)
		result = 2;
	else if (ask_module(outside, O_RDONLY) != ESRCH)
		result = 3;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return result;
}

TEST_F(user, pid_of_another_namespace_ESRCH)
{
	EXPECT_EQ(0, in_namespace(CLONE_NEWPID, map_with_foreign_proc,
				  &self->source->pid));
}

/* ---- /proc is what the caller sees of it -------------------------------------------------- */

struct two {
	pid_t pid;
	pid_t other;
};

static int map_with_swapped_proc(void *argument)
{
	struct two *two = argument;
	char path[32], other[32];

	snprintf(path, sizeof(path), "/proc/%d", two->pid);
	snprintf(other, sizeof(other), "/proc/%d", two->other);
	if (mount(other, path, NULL, MS_BIND, NULL))
		return BROKEN;
	if (ask_module(two->pid, O_RDONLY) != ESRCH ||
	    ask_module(two->pid, O_RDWR) != ESRCH)
		return 1;
	return ask_module(two->other, O_RDWR);
}

TEST_F(user, another_process_laid_over_a_pid_ESRCH)
{
	struct two two = { .pid = self->source->pid };
	struct source *other = source_start();

	two.other = other->pid;
	EXPECT_EQ(0, in_namespace(0, map_with_swapped_proc, &two));
	source_end(other);
}

/* The process's real mem file, at /tmp/proc; and /proc/PID that is a folder
 * of the caller's making, with path for a file in it
 */
static void fake_proc(pid_t pid, char path[32])
{
	snprintf(path, 32, "/proc/%d", pid);
	if ((mkdir("/tmp/proc", 0700) && errno != EEXIST) ||
	    mount("/proc", "/tmp/proc", NULL, MS_BIND, NULL) ||
	    mount("tmpfs", "/proc", "tmpfs", 0, NULL) || mkdir(path, 0700))
		fatal("a fake /proc: %m");
	strcat(path, "/mem");
}

static int map_with_file_for_mem(void *argument)
{
	pid_t pid = *(pid_t *)argument;
	char path[32];

	fake_proc(pid, path);
	if (ask_module(pid, O_RDONLY) != ESRCH)
		return 1;
	close(open(path, O_CREAT | O_RDWR, 0600));
	if (text_write(path, "some text"))
		return BROKEN;
	return ask_module(pid, O_RDONLY) == ESRCH &&
			       ask_module(pid, O_RDWR) == ESRCH ?
		       0 :
		       2;
}

TEST_F(user, ordinary_file_for_mem_ESRCH)
{
	EXPECT_EQ(0,
		  in_namespace(0, map_with_file_for_mem, &self->source->pid));
}

static int map_with_other_things_for_mem(void *argument)
{
	pid_t pid = *(pid_t *)argument;
	char path[32], mem[32];

	fake_proc(pid, path);
	/* A folder, a link, a device with private data of its own, itself */
	if (mkdir(path, 0700) || !ask_module(pid, O_RDONLY) ||
	    !ask_module(pid, O_RDWR) || rmdir(path))
		return 1;
	snprintf(mem, sizeof(mem), "/tmp/proc/%d/mem", pid);
	if (symlink(mem, path) || !ask_module(pid, O_RDONLY) || unlink(path))
		return 2;
	close(open(path, O_CREAT | O_RDWR, 0600));
	if (mount("/dev/zero", path, NULL, MS_BIND, NULL) ||
	    !ask_module(pid, O_RDWR) || umount(path))
		return 3;
	if (mount(DEVICE_PATH, path, NULL, MS_BIND, NULL) ||
	    !ask_module(pid, O_RDWR) || umount(path))
		return 4;
	/* The real one is what the caller could open anyway. */
	if (mount(mem, path, NULL, MS_BIND, NULL) || ask_module(pid, O_RDWR))
		return 5;
	return 0;
}

TEST_F(user, other_things_for_mem_gain_nothing)
{
	EXPECT_EQ(0, in_namespace(0, map_with_other_things_for_mem,
				  &self->source->pid));
}

static int another_mem_for_mem(void *argument)
{
	struct two *two = argument;
	char path[32], mem[32];

	fake_proc(two->pid, path);
	snprintf(mem, sizeof(mem), "/tmp/proc/%d/mem", two->other);
	close(open(path, O_CREAT | O_RDWR, 0600));
	if (mount(mem, path, NULL, MS_BIND, NULL))
		return BROKEN;
	return ask_module(two->pid, O_RDWR);
}

TEST_F(user, another_processes_mem_for_mem_ESRCH)
{
	struct two two = { .pid = self->source->pid, .other = getpid() };

	EXPECT_EQ(ESRCH, in_namespace(0, another_mem_for_mem, &two));
}

static int map_with_pipe_for_mem(void *argument)
{
	pid_t pid = *(pid_t *)argument;
	char path[32];

	fake_proc(pid, path);
	if (mkfifo(path, 0600))
		return BROKEN;
	/* Opening a pipe's end waits for the other; a signal ends that. */
	signal(SIGALRM, SIG_DFL);
	alarm(1);
	ask_module(pid, O_RDONLY);
	return 0;
}

TEST_F(user, named_pipe_for_mem_is_no_hang)
{
	int result = in_namespace(0, map_with_pipe_for_mem, &self->source->pid);

	/* Refused, or ended by the signal: but here again */
	EXPECT_TRUE(result == 0 || result == BROKEN);
}

static int map_without_proc(void *argument)
{
	if (mkdir("/tmp/root", 0700) && errno != EEXIST)
		return BROKEN;
	if (mount("tmpfs", "/tmp/root", "tmpfs", 0, NULL) ||
	    mkdir("/tmp/root/dev", 0700) ||
	    mount("/dev", "/tmp/root/dev", NULL, MS_BIND, NULL) ||
	    chroot("/tmp/root"))
		return BROKEN;
	return ask_module(*(pid_t *)argument, O_RDWR);
}

TEST_F(user, without_proc_ESRCH)
{
	EXPECT_EQ(ESRCH, in_namespace(0, map_without_proc, &self->source->pid));
}

static int ask_module_there(void *argument)
{
	return ask_module(*(pid_t *)argument, O_RDWR);
}

static int map_with_hidepid(void *argument)
{
	pid_t pid = *(pid_t *)argument;

	if (mount("proc", "/proc", "proc", 0, "hidepid=2"))
		return BROKEN;
	/* A user sees what is his, and nothing that says that the rest is there. */
	if (ask_as(USER, pid))
		return 1;
	return as(NOBODY, ask_module_there, &pid);
}

TEST_F(user, hidden_process_ESRCH)
{
	EXPECT_EQ(ESRCH, in_namespace(0, map_with_hidepid, &self->source->pid));
}

/* ---- exec of a program with another user's rights ------------------------------------------- */

#define SUID_PROGRAM "/remote_mapping_suid"

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

static int suid_program_is_out_of_reach(void *argument)
{
	struct opened *opened = argument;
	uint64_t value;

	/* No new image in the mirror, no view of it, no context from old rights */
	if (touch_read(opened->at, &value) != SIGBUS)
		return 1;
	if (view_add(opened->ctrl, opened->memory, SIZE, PAGE_SIZE, 0) !=
	    -ESRCH)
		return 2;
	if (see_through_mem_fd(opened->mem_fd, opened->memory) != ESRCH)
		return 3;
	return 0;
}

static int open_then_exec(void *argument)
{
	struct opened *opened = argument;
	char byte = 0;

	opened->mem_fd = mem_open(opened->source, O_RDWR);
	if (context_open(opened->source, O_RDWR, 0, &opened->ctrl,
			 &opened->map) ||
	    view_add(opened->ctrl, opened->memory, 0, SIZE, 0))
		return BROKEN;
	opened->at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, opened->map, 0);
	if (opened->at == MAP_FAILED ||
	    pattern_differs(opened->at, SIZE, SEED) != -1)
		return BROKEN;
	if (write(opened->ready, &byte, 1) != 1 ||
	    read(opened->go, &byte, 1) != 1)
		return BROKEN;
	if (ask(opened->source) != EACCES)
		return 4;
	return suid_program_is_out_of_reach(opened);
}

TEST_F(user, setuid_program_is_not_seen_through_what_was_opened_before)
{
	struct opened opened = { .memory = self->memory,
				 .source = self->source->pid };
	char *arguments[] = { "suid", "--wait", NULL };
	int ready[2], go[2], status;
	char byte = 0;
	pid_t viewer;

	install_suid_program();
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	opened.ready = ready[1];
	opened.go = go[0];
	viewer = fork();
	if (!viewer) {
		become(USER);
		_exit(open_then_exec(&opened));
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_EQ(0, source_exec(self->source, SUID_PROGRAM, arguments));
	ASSERT_EQ(1, write(go[1], &byte, 1));
	ASSERT_EQ(viewer, waitpid(viewer, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	/* Root may see it, as it is now. */
	EXPECT_EQ(0, ask(self->source->pid));
	unlink(SUID_PROGRAM);
}

int main(int argc, char **argv)
{
	/* What the setuid program does */
	if (argc == 2 && !strcmp(argv[1], "--wait"))
		for (;;)
			pause();
	return test_harness_run(argc, argv);
}
