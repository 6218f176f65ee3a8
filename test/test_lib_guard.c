// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: the guard. What is not there ends the function and nothing
 * else, and a SIGBUS that is for no guard does what it would have done without
 * one.
 *
 * The handler is the process's: tests that need another one do so in a child.
 */
#include "common.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <ucontext.h>

#include "harness.h"
#include "library.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)

/*
 * Page n of the source has n + 1 in it, and n + 1 everywhere; the page
 * self->hole is not there.
 */
FIXTURE(guard)
{
	struct source *source;
	uint64_t memory;
	struct remotemap *handle;
	char *mirror;
	char *hole;
};

static long fill(void *argument)
{
	char *memory = *(char **)argument;
	size_t page;

	for (page = 0; page < PAGES; page++)
		memset(memory + page * PAGE_SIZE, (int)page + 1, PAGE_SIZE);
	return 0;
}

#define HOLE 40UL

FIXTURE_SETUP(guard)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_call(self->source, fill, &self->memory, sizeof(self->memory));
	source_munmap(self->source, self->memory + HOLE * PAGE_SIZE, PAGE_SIZE);
	self->handle = handle_of(self->source->pid, self->memory, SIZE,
				 REMOTEMAP_WRITE, 0);
	self->mirror = handle_map(self->handle, 0, SIZE, REMOTEMAP_MAP_WRITE);
	self->hole = self->mirror + HOLE * PAGE_SIZE;
}

FIXTURE_TEARDOWN(guard)
{
	remotemap_unmap(self->mirror, SIZE);
	remotemap_close(self->handle);
	source_end(self->source);
}

static int load(void *argument)
{
	return *(volatile unsigned char *)argument;
}

static int store(void *argument)
{
	*(volatile unsigned char *)argument = 77;
	return 0;
}

/* ---- what it does -------------------------------------------------------- */

TEST_F(guard, gives_what_the_function_returned)
{
	void *where = (void *)4712;
	int result = -1;

	EXPECT_EQ(0, CALL(remotemap_guard(self->mirror, SIZE, load,
					  self->mirror + 5 * PAGE_SIZE, &result,
					  &where)));
	EXPECT_EQ(6, result);
	EXPECT_EQ((void *)4712, where);
	EXPECT_EQ(0, CALL(remotemap_guard(self->mirror, SIZE, load,
					  self->mirror, NULL, NULL)));
}

TEST_F(guard, what_is_not_there_is_EFAULT)
{
	void *where = NULL;
	int result = 4712, i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EFAULT, CALL(remotemap_guard(self->mirror, SIZE,
							load, self->hole + 123,
							&result, &where)));
		EXPECT_EQ(4712, result);
		EXPECT_EQ(self->hole + 123, where);
		where = NULL;
		EXPECT_EQ(-EFAULT,
			  CALL(remotemap_guard(self->mirror, SIZE, store,
					       self->hole, NULL, NULL)));
	}
}

TEST_F(guard, sees_the_source_end)
{
	EXPECT_EQ(0, CALL(remotemap_guard(self->mirror, SIZE, load,
					  self->mirror, NULL, NULL)));
	source_kill(self->source);
	EXPECT_EQ(-EFAULT, CALL(remotemap_guard(self->mirror, SIZE, load,
						self->mirror, NULL, NULL)));
}

TEST_F(guard, bad_arguments)
{
	REFUSED(EFAULT,
		remotemap_guard(self->mirror, SIZE, NULL, NULL, NULL, NULL));
	REFUSED(EINVAL, remotemap_guard(self->mirror, SIZE_MAX, load,
					self->mirror, NULL, NULL));
	REFUSED(EINVAL, remotemap_guard_copy(self->mirror, self->mirror,
					     SIZE_MAX / 2 + 1));
	REFUSED(EINVAL,
		remotemap_guard_copy(self->mirror, (void *)-4096L, PAGE_SIZE));
	REFUSED(EFAULT, remotemap_guard_find(self->mirror, SIZE, "a", 1, NULL));
}

/* A vector that is loaded for the first byte may begin in front of it. */
TEST_F(guard, range_is_whole_pages)
{
	void *where = NULL;

	EXPECT_EQ(-EFAULT,
		  CALL(remotemap_guard(self->hole + 100, 8, load,
				       self->hole + 64, NULL, &where)));
	EXPECT_EQ(self->hole + 100, where);
	EXPECT_EQ(-EFAULT,
		  CALL(remotemap_guard(self->hole + 100, 8, load,
				       self->hole + 128, NULL, &where)));
	EXPECT_EQ(self->hole + 128, where);
}

/* ---- nesting ------------------------------------------------------------- */

struct nest {
	char *mirror;
	size_t length;
	char *touch;
	int inner;
	bool went_on;
};

static int guard_inner(void *argument)
{
	struct nest *nest = argument;

	nest->inner = remotemap_guard(nest->mirror, nest->length, load,
				      nest->touch, NULL, NULL);
	nest->went_on = true;
	/* The outer guard holds again. */
	return load(nest->touch);
}

TEST_F(guard, inner_one_ends_and_the_outer_one_holds)
{
	struct nest nest = { .mirror = self->mirror,
			     .length = SIZE,
			     .touch = self->hole };
	void *where;

	EXPECT_EQ(-EFAULT, CALL(remotemap_guard(self->mirror, SIZE, guard_inner,
						&nest, NULL, &where)));
	EXPECT_EQ(-EFAULT, nest.inner);
	EXPECT_TRUE(nest.went_on);
	EXPECT_EQ(self->hole, where);
}

TEST_F(guard, outer_one_ends_where_it_is_its_range)
{
	struct nest nest = { .mirror = self->mirror,
			     .length = PAGE_SIZE,
			     .touch = self->hole,
			     .inner = 4712 };

	EXPECT_EQ(-EFAULT, CALL(remotemap_guard(self->mirror, SIZE, guard_inner,
						&nest, NULL, NULL)));
	EXPECT_EQ(4712, nest.inner);
	EXPECT_FALSE(nest.went_on);
	/* No guard is left that is gone. */
	nest.length = SIZE;
	EXPECT_EQ(-EFAULT, CALL(remotemap_guard(self->mirror, SIZE, guard_inner,
						&nest, NULL, NULL)));
	EXPECT_EQ(-EFAULT, nest.inner);
}

/* ---- the thread's own affairs -------------------------------------------- */

static int block_more_and_load(void *argument)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	return load(argument);
}

TEST_F(guard, signal_mask_is_what_it_was)
{
	sigset_t mask, after;
	int i;

	/* As in a thread that leaves all signals to another one */
	sigfillset(&mask);
	sigdelset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, &after);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	EXPECT_EQ(-EFAULT,
		  CALL(remotemap_guard(self->mirror, SIZE, block_more_and_load,
				       self->hole, NULL, NULL)));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (i = 1; i < NSIG; i++)
		EXPECT_EQ(sigismember(&mask, i), sigismember(&after, i));
	EXPECT_EQ(0, CALL(remotemap_guard(self->mirror, SIZE, load,
					  self->mirror, NULL, NULL)));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	EXPECT_EQ(1, sigismember(&after, SIGBUS));
	EXPECT_EQ(0, sigismember(&after, SIGUSR2));
}

static void expect_guards(struct __test_metadata *_metadata, char *mirror,
			  char *hole, int flags)
{
	stack_t stack = { .ss_sp = malloc(65536),
			  .ss_size = 65536,
			  .ss_flags = flags },
		after;
	int i;

	ASSERT_EQ(0, sigaltstack(&stack, NULL));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EFAULT, remotemap_guard(mirror, SIZE, load, hole,
						   NULL, NULL));
	ASSERT_EQ(0, sigaltstack(NULL, &after));
	EXPECT_EQ(stack.ss_sp, after.ss_sp);
	EXPECT_EQ(stack.ss_size, after.ss_size);
	EXPECT_EQ(flags, after.ss_flags);
}

TEST_F(guard, alternate_signal_stack_stays)
{
	expect_guards(_metadata, self->mirror, self->hole, 0);
	expect_guards(_metadata, self->mirror, self->hole, (int)SS_AUTODISARM);
}

/* ---- threads ------------------------------------------------------------- */

struct toucher {
	pthread_t thread;
	char *mirror;
	char *there;
	char *hole;
	int wrong;
};

static void *touch_often(void *argument)
{
	struct toucher *toucher = argument;
	int i, result;
	void *where;

	for (i = 0; i < repeated(2000); i++) {
		result = 0;
		if (remotemap_guard(toucher->mirror, SIZE, load, toucher->there,
				    &result, NULL) ||
		    result != (toucher->there - toucher->mirror) / 4096 + 1)
			toucher->wrong++;
		if (remotemap_guard(toucher->mirror, SIZE, load, toucher->hole,
				    NULL, &where) != -EFAULT ||
		    where != toucher->hole)
			toucher->wrong++;
	}
	return NULL;
}

/* The first guards of all, at the same time */
TEST_F(guard, each_thread_has_its_own)
{
	struct toucher touchers[8];
	size_t i;

	for (i = 0; i < 8; i++) {
		touchers[i] = (struct toucher){
			.mirror = self->mirror,
			.there = self->mirror + i * PAGE_SIZE,
			.hole = self->hole + 8 * i,
		};
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL,
					    touch_often, &touchers[i]));
	}
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, pthread_join(touchers[i].thread, NULL));
		EXPECT_EQ(0, touchers[i].wrong);
	}
}

static void *load_alone(void *at)
{
	return (void *)(long)load(at);
}

static int load_in_a_thread(void *argument)
{
	pthread_t thread;

	pthread_create(&thread, NULL, load_alone, argument);
	pthread_join(thread, NULL);
	return 0;
}

/* How a child ends that runs it; core dumps are none of its business. */
#define ENDS_BY(signal, ...)                                       \
	do {                                                       \
		int status_;                                       \
		pid_t pid_ = fork();                               \
		if (!pid_) {                                       \
			prctl(PR_SET_PDEATHSIG, SIGKILL);          \
			prctl(PR_SET_DUMPABLE, 0);                 \
			__VA_ARGS__;                               \
			_exit(99);                                 \
		}                                                  \
		ASSERT_EQ(pid_, waitpid(pid_, &status_, 0));       \
		EXPECT_TRUE(WIFSIGNALED(status_))                  \
		TH_LOG("it exited with %d", WEXITSTATUS(status_)); \
		EXPECT_EQ((signal), WTERMSIG(status_));            \
	} while (0)

/*
 * The mirror is not inherited over fork: what children meet is a file that has
 * become shorter.
 */
static char *short_file(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	char *at;

	if (ftruncate(fd, 2 * PAGE_SIZE))
		fatal("ftruncate: %m");
	at = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  0);
	if (at == MAP_FAILED || ftruncate(fd, PAGE_SIZE))
		fatal("short file: %m");
	close(fd);
	return at;
}

static void guard_once(void)
{
	char *at = short_file();

	if (remotemap_guard(at, 2 * PAGE_SIZE, load, at + PAGE_SIZE, NULL,
			    NULL) != -EFAULT)
		_exit(98);
}

TEST(another_threads_fault_ends_the_process)
{
	char *at = short_file();

	ENDS_BY(SIGBUS, remotemap_guard(at, 2 * PAGE_SIZE, load_in_a_thread,
					at + PAGE_SIZE, NULL, NULL));
}

/* ---- a SIGBUS that is not a guard's -------------------------------------- */

TEST(fault_outside_ends_the_process_by_default)
{
	char *at = short_file(), *other = short_file();

	ENDS_BY(SIGBUS, {
		guard_once();
		load(at + PAGE_SIZE);
	});
	/* Within one, but not in its range */
	ENDS_BY(SIGBUS, remotemap_guard(at, 2 * PAGE_SIZE, load,
					other + PAGE_SIZE, NULL, NULL));
	ENDS_BY(SIGBUS,
		remotemap_guard(at, 0, load, at + PAGE_SIZE, NULL, NULL));
}

TEST(signal_that_was_sent_ends_the_process_by_default)
{
	ENDS_BY(SIGBUS, {
		guard_once();
		kill(getpid(), SIGBUS);
		for (;;)
			pause();
	});
	ENDS_BY(SIGBUS, {
		guard_once();
		raise(SIGBUS);
	});
}

/* It is no fault of what the function touches. */
static int raise_bus(void *argument)
{
	(void)argument;
	return raise(SIGBUS);
}

TEST(signal_that_was_sent_is_for_no_guard)
{
	char *at = short_file();

	ENDS_BY(SIGBUS, remotemap_guard(NULL, SIZE_MAX - PAGE_SIZE, raise_bus,
					at, NULL, NULL));
}

/* As a debugger or a core has it: where it stopped, and why */
TEST(default_end_is_at_the_instruction)
{
	char *at = short_file();
	unsigned long instruction = 0;
	siginfo_t info;
	int status, stops = 0;
	pid_t pid = fork();

	if (!pid) {
		guard_once();
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		load(at + PAGE_SIZE);
		_exit(99);
	}
	/* First the fault, for the handler; then what the handler makes of it */
	for (;;) {
		struct user_regs_struct registers;

		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		ASSERT_EQ(SIGBUS, WSTOPSIG(status));
		ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, pid, NULL, &info));
		EXPECT_EQ(BUS_ADRERR, info.si_code);
		EXPECT_EQ(at + PAGE_SIZE, info.si_addr);
		ASSERT_EQ(0, ptrace(PTRACE_GETREGS, pid, NULL, &registers));
		if (!stops++)
			instruction = registers.rip;
		EXPECT_EQ(instruction, registers.rip);
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, SIGBUS));
	}
	EXPECT_EQ(2, stops);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGBUS, WTERMSIG(status));
}

TEST(ignored_signal_stays_ignored)
{
	IN_CHILD({
		signal(SIGBUS, SIG_IGN);
		guard_once();
		raise(SIGBUS);
		kill(getpid(), SIGBUS);
	});
	/* A fault cannot be. */
	ENDS_BY(SIGBUS, {
		char *at = short_file();

		signal(SIGBUS, SIG_IGN);
		guard_once();
		load(at + PAGE_SIZE);
	});
}

static sigjmp_buf back;
static volatile sig_atomic_t calls, usr1_blocked, bus_blocked;
static void *volatile address;

static void note(void)
{
	sigset_t mask;

	calls++;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	usr1_blocked = sigismember(&mask, SIGUSR1);
	bus_blocked = sigismember(&mask, SIGBUS);
}

static void plain_handler(int signal)
{
	note();
	if (signal != SIGBUS)
		_exit(97);
	siglongjmp(back, 1);
}

static void info_handler(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	note();
	if (signal != SIGBUS || !interrupted->uc_mcontext.gregs[REG_RIP])
		_exit(97);
	address = info->si_addr;
	siglongjmp(back, 1);
}

static void returning_handler(int signal)
{
	(void)signal;
	note();
}

/* It is called as the kernel would have called it, and guards hold beside it. */
static void expect_handler(struct __test_metadata *_metadata, int flags)
{
	struct sigaction action = { .sa_flags = flags };
	char *at = short_file();

	if (flags & SA_SIGINFO)
		action.sa_sigaction = info_handler;
	else
		action.sa_handler = plain_handler;
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	EXPECT_EQ(0, sigaction(SIGBUS, &action, NULL));
	guard_once();
	EXPECT_EQ(0, calls);
	if (!sigsetjmp(back, 1))
		load(at + PAGE_SIZE);
	EXPECT_EQ(1, calls);
	EXPECT_EQ(1, usr1_blocked);
	EXPECT_EQ(!(flags & SA_NODEFER), bus_blocked);
	if (flags & SA_SIGINFO)
		EXPECT_EQ(at + PAGE_SIZE, (char *)address);
	guard_once();
	EXPECT_EQ(1, calls);
	if (flags & (int)SA_RESETHAND)
		return;
	if (!sigsetjmp(back, 1))
		raise(SIGBUS);
	EXPECT_EQ(2, calls);
}

TEST(earlier_handlers_are_called)
{
	IN_CHILD(expect_handler(_metadata, 0));
	IN_CHILD(expect_handler(_metadata, SA_SIGINFO));
	IN_CHILD(expect_handler(_metadata, SA_NODEFER));
	IN_CHILD(expect_handler(_metadata, SA_SIGINFO | SA_NODEFER));
	IN_CHILD(expect_handler(_metadata, SA_SIGINFO | (int)SA_RESETHAND));
}

TEST(earlier_handler_for_once_is_called_once)
{
	ENDS_BY(SIGBUS, {
		struct sigaction action = { .sa_handler = returning_handler,
					    .sa_flags = (int)SA_RESETHAND };

		sigaction(SIGBUS, &action, NULL);
		guard_once();
		raise(SIGBUS);
		if (calls != 1)
			_exit(97);
		guard_once();
		raise(SIGBUS);
	});
}

TEST(earlier_handler_may_return)
{
	IN_CHILD({
		sigset_t mask;

		signal(SIGBUS, returning_handler);
		guard_once();
		raise(SIGBUS);
		raise(SIGBUS);
		EXPECT_EQ(2, calls);
		EXPECT_EQ(1, bus_blocked);
		pthread_sigmask(SIG_SETMASK, NULL, &mask);
		EXPECT_EQ(0, sigismember(&mask, SIGBUS));
	});
}

static struct sigaction replaced;

static void chaining_handler(int signal, siginfo_t *info, void *context)
{
	note();
	replaced.sa_sigaction(signal, info, context);
}

TEST(guards_hold_under_a_later_handler_that_passes_on)
{
	IN_CHILD({
		struct sigaction action = { .sa_sigaction = chaining_handler,
					    .sa_flags = SA_SIGINFO };
		int i;

		guard_once();
		sigaction(SIGBUS, &action, &replaced);
		for (i = 1; i < 4; i++) {
			guard_once();
			EXPECT_EQ(i, calls);
		}
	});
}

TEST(handler_is_installed_by_the_first_guard)
{
	IN_CHILD({
		struct sigaction before, after;
		struct remotemap *handle;

		sigaction(SIGBUS, NULL, &before);
		EXPECT_EQ(SIG_DFL, before.sa_handler);
		if (!remotemap_open_self(NULL, &handle))
			remotemap_close(handle);
		sigaction(SIGBUS, NULL, &after);
		EXPECT_EQ(SIG_DFL, after.sa_handler);
		guard_once();
		sigaction(SIGBUS, NULL, &after);
		EXPECT_NE(SIG_DFL, after.sa_handler);
	});
}

/* ---- copying ------------------------------------------------------------- */

TEST_F(guard, copy_is_all_that_is_before_the_hole)
{
	const size_t starts[] = { 0, 1, PAGE_SIZE - 1, 3 * PAGE_SIZE + 77 };
	char *copy = malloc(SIZE);
	size_t i, n;

	for (i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		size_t want = HOLE * PAGE_SIZE - starts[i];

		memset(copy, 0, SIZE);
		EXPECT_EQ(want, CALL(remotemap_guard_copy(
					copy, self->mirror + starts[i],
					SIZE - starts[i])));
		for (n = 0; n < want; n++)
			ASSERT_EQ((starts[i] + n) / PAGE_SIZE + 1,
				  (unsigned char)copy[n]);
	}
	/* With nothing missing, and with nothing there */
	EXPECT_EQ(10000,
		  CALL(remotemap_guard_copy(copy, self->mirror + 50, 10000)));
	EXPECT_EQ(0, CALL(remotemap_guard_copy(copy, self->hole + 5, 100)));
	EXPECT_EQ(0, CALL(remotemap_guard_copy(copy, self->mirror, 0)));
	free(copy);
}

/* More than one piece, of a large mirror */
TEST_F(guard, copy_of_much)
{
	const size_t size = 3 * PMD_SIZE;
	uint64_t memory = source_anon(self->source, size, 0);
	struct remotemap *handle;
	char *mirror, *copy = malloc(size), *want = malloc(size);

	source_fill(self->source, memory, size, 7);
	handle = handle_of(self->source->pid, memory, size, 0, 0);
	/* Not pattern_differs(): it installs a handler that passes nothing on. */
	ASSERT_EQ(size, remotemap_read(handle, want, size, 0));
	mirror = handle_map(handle, 0, size, 0);
	EXPECT_EQ(size, CALL(remotemap_guard_copy(copy, mirror, size)));
	EXPECT_EQ(0, memcmp(copy, want, size));
	source_munmap(self->source, memory + 2 * PMD_SIZE + PAGE_SIZE,
		      PAGE_SIZE);
	memset(copy, 0, size);
	EXPECT_EQ(2 * PMD_SIZE + PAGE_SIZE,
		  CALL(remotemap_guard_copy(copy, mirror, size)));
	EXPECT_EQ(0, memcmp(copy, want, 2 * PMD_SIZE + PAGE_SIZE));
	remotemap_close(handle);
	free(copy);
	free(want);
}

/* ---- finding ------------------------------------------------------------- */

TEST_F(guard, find)
{
	const void *at = (void *)4712;
	char needle[2] = { 3, 4 };

	/* Where page 2 ends and page 3 begins */
	EXPECT_EQ(1, CALL(remotemap_guard_find(self->mirror, SIZE, needle, 2,
					       &at)));
	EXPECT_EQ(self->mirror + 3 * PAGE_SIZE - 1, at);
	needle[1] = 5;
	at = (void *)4712;
	EXPECT_EQ(0, CALL(remotemap_guard_find(self->mirror, HOLE * PAGE_SIZE,
					       needle, 2, &at)));
	EXPECT_EQ((void *)4712, at);
	EXPECT_EQ(1, CALL(remotemap_guard_find(self->mirror + 9, SIZE, "", 0,
					       &at)));
	EXPECT_EQ(self->mirror + 9, at);
}

TEST_F(guard, find_stops_at_the_hole)
{
	const char *at = NULL;
	char needle[40];
	size_t length;

	/* What is behind it is not found, what is right before it is. */
	for (length = 1; length <= sizeof(needle); length++) {
		memset(needle, HOLE + 5, length);
		EXPECT_EQ(-EFAULT, CALL(remotemap_guard_find(
					   self->mirror + 13, SIZE - 13, needle,
					   length, (const void **)&at)));
		EXPECT_LE(self->hole, at);
		EXPECT_GT(self->hole + PAGE_SIZE, at);
		memset(needle, HOLE, length);
		EXPECT_EQ(1, CALL(remotemap_guard_find(
				     self->hole - length, PAGE_SIZE, needle,
				     length, (const void **)&at)));
		EXPECT_EQ(self->hole - length, at);
	}
}

TEST_HARNESS_MAIN
