// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls: every row of the errno table of the user API, and what each call
 * leaves behind when it fails, which is nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "harness.h"

_Static_assert(sizeof(struct pidfd_mem_map) == 56, "as the proposal has it");
_Static_assert(sizeof(struct pidfd_mem_open) == 32, "published");
_Static_assert(sizeof(struct pidfd_mem_unmap) == 16, "as the proposal has it");
_Static_assert(REMOTE_PROC_MAP == 0x40047201, "as the proposal has it");
_Static_assert(PIDFD_MEM_OPEN == 0xc0207010, "published");
_Static_assert(PIDFD_MEM_MAP == 0x40387001, "as the proposal has it");
_Static_assert(PIDFD_MEM_UNMAP == 0x40107002, "as the proposal has it");
_Static_assert(PIDFD_MEM_LOCK == 0x40047003, "as the proposal has it");
_Static_assert(PIDFD_MEM_REMAP == 0x40087004, "as the proposal has it");

#define PAGES 8
#define SEED 0x5eed

static long call(int fd, unsigned long nr, unsigned long argument)
{
	long result = syscall(SYS_ioctl, fd, nr, argument);

	return result < 0 ? -errno : result;
}

static long call_open(int fd, struct pidfd_mem_open *order)
{
	return call(fd, PIDFD_MEM_OPEN, (unsigned long)order);
}

static long call_map(int fd, struct pidfd_mem_map *map)
{
	return call(fd, PIDFD_MEM_MAP, (unsigned long)map);
}

static long call_unmap(int fd, uint64_t offset, uint64_t size)
{
	struct pidfd_mem_unmap unmap = { .offset = offset, .size = size };

	return call(fd, PIDFD_MEM_UNMAP, (unsigned long)&unmap);
}

/* How many files this process has open */
static int open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* The third lowest number that is free for a file: it is another one after a
 * call that left a file, or no more than a number, behind.
 */
static int free_number(void)
{
	int numbers[3], i;

	for (i = 0; i < 3; i++)
		numbers[i] = dup(0);
	for (i = 0; i < 3; i++)
		close(numbers[i]);
	return numbers[2];
}

/* The pid of a process that has been: reaped, and not used again since */
static pid_t reaped_pid(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return pid;
}

/* A process that has exited and that nobody has waited for */
static pid_t zombie(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		fatal("waitid: %m");
	return pid;
}

/* The source executes a program that stays until it is killed. */
static void become_another_program(struct source *source)
{
	char *arguments[] = { "sh", "-c", "kill -STOP $$", NULL };

	if (source_exec(source, "/bin/sh", arguments))
		fatal("no /bin/sh");
}

/* ---- a file of the device, a source ---------------------------------------- */

FIXTURE(device) {
	int fd;
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(device)
{
	self->source = source_start();
	self->memory = source_anon(self->source, PAGES * PAGE_SIZE, 0);
	source_fill(self->source, self->memory, PAGES * PAGE_SIZE, SEED);
	self->fd = device_open(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
	source_end(self->source);
}

/* ---- REMOTE_PROC_MAP -------------------------------------------------------- */

TEST_F(device, proc_map_offset_is_the_address)
{
	uint64_t last = self->memory + (PAGES - 1) * PAGE_SIZE;
	char *at;

	ASSERT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		  self->fd, self->memory);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(-1, pattern_differs(at, PAGES * PAGE_SIZE, SEED));
	ASSERT_EQ(0, touch_write(at + (PAGES - 1) * PAGE_SIZE, 42));
	EXPECT_EQ(42, source_load(self->source, last));
	EXPECT_EQ(1, counter(self->fd, "views"));
}

TEST_F(device, proc_map_view_is_everything)
{
	uint64_t value;
	char *at;

	ASSERT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	/* The first page and one that no process has */
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(SIGBUS, touch_read(at, &value));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->fd,
		  LONG_MAX & -PAGE_SIZE);
	EXPECT_EQ(MAP_FAILED, at);
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(device, proc_map_takes_the_pid_by_value)
{
	int pid = self->source->pid;

	/* No pid is as large as an address, or as what is left of it. */
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP,
			       (unsigned long)&pid | 0x40000000));
	EXPECT_EQ(0, call(self->fd, REMOTE_PROC_MAP, pid));
}

TEST_F(device, proc_map_no_such_process_ESRCH)
{
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, reaped_pid()));
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, INT_MAX));
}

TEST_F(device, proc_map_pid_zero_or_negative_ESRCH)
{
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, 0));
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, -1));
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, -getpid()));
	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, INT_MIN));
}

TEST_F(device, proc_map_zombie_ESRCH)
{
	pid_t pid = zombie();

	EXPECT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, pid));
	waitpid(pid, NULL, 0);
}

TEST_F(device, proc_map_kernel_thread_EINVAL)
{
	/* kthreadd */
	EXPECT_EQ(-EINVAL, call(self->fd, REMOTE_PROC_MAP, 2));
}

TEST_F(device, proc_map_twice_EALREADY)
{
	ASSERT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	EXPECT_EQ(-EALREADY,
		  call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	EXPECT_EQ(-EALREADY, call(self->fd, REMOTE_PROC_MAP, getpid()));
	EXPECT_EQ(self->source->pid, counter(self->fd, "source"));
	source_kill(self->source);
	EXPECT_EQ(-EALREADY, call(self->fd, REMOTE_PROC_MAP, getpid()));
}

TEST_F(device, proc_map_that_failed_can_be_tried_again)
{
	ASSERT_EQ(-ESRCH, call(self->fd, REMOTE_PROC_MAP, reaped_pid()));
	ASSERT_EQ(-EINVAL, call(self->fd, REMOTE_PROC_MAP, 2));
	EXPECT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
}

TEST_F(device, proc_map_after_mem_open_works)
{
	int ctrl, map;
	struct pidfd_mem_open order = {
		.size = sizeof(order),
		.mem_fd = mem_open(self->source->pid, O_RDWR),
	};

	ASSERT_EQ(0, call_open(self->fd, &order));
	ctrl = order.ctrl_fd;
	map = order.map_fd;
	EXPECT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	EXPECT_EQ(0, counter(map, "views"));
	EXPECT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
}

struct racer {
	pthread_barrier_t *barrier;
	int fd;
	pid_t pid;
	long result;
};

static void *race_to_proc_map(void *argument)
{
	struct racer *racer = argument;

	pthread_barrier_wait(racer->barrier);
	racer->result = call(racer->fd, REMOTE_PROC_MAP, racer->pid);
	return NULL;
}

TEST_F(device, proc_map_by_two_threads_succeeds_once)
{
	pthread_barrier_t barrier;
	int round;

	pthread_barrier_init(&barrier, NULL, 2);
	for (round = 0; round < 100; round++) {
		int fd = device_open(O_RDWR);
		struct racer other = { &barrier, fd, self->source->pid, 1 };
		struct racer mine = other;
		pthread_t thread;

		ASSERT_EQ(0, pthread_create(&thread, NULL, race_to_proc_map,
					    &other));
		race_to_proc_map(&mine);
		pthread_join(thread, NULL);
		ASSERT_EQ(-EALREADY, mine.result + other.result)
			TH_LOG("%ld and %ld", mine.result, other.result);
		ASSERT_EQ(1, counter(fd, "views"));
		close(fd);
	}
}

/* ---- PIDFD_MEM_OPEN --------------------------------------------------------- */

/* The struct, then a word that this kernel does not know */
struct larger_open {
	struct pidfd_mem_open known;
	uint64_t tail;
};

static struct pidfd_mem_open open_of(FIXTURE_DATA(device) *self, int oflags)
{
	struct pidfd_mem_open order = {
		.size = sizeof(order),
		.mem_fd = mem_open(self->source->pid, oflags),
		.ctrl_fd = -1,
		.map_fd = -1,
	};

	if (order.mem_fd < 0)
		fatal("/proc/%d/mem: error %d", self->source->pid,
		      order.mem_fd);
	return order;
}

TEST_F(device, mem_open_makes_two_files)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	int before = open_files();

	ASSERT_EQ(0, call_open(self->fd, &order));
	EXPECT_EQ(before + 2, open_files());
	EXPECT_LE(0, order.ctrl_fd);
	EXPECT_LE(0, order.map_fd);
	EXPECT_NE(order.ctrl_fd, order.map_fd);
	EXPECT_EQ(0, view_add(order.ctrl_fd, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(1, counter(order.map_fd, "views"));
}

TEST_F(device, mem_open_leaves_the_other_fields)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	struct pidfd_mem_open before;

	order.flags = PIDFD_MEM_OPEN_RDONLY;
	before = order;
	ASSERT_EQ(0, call_open(self->fd, &order));
	EXPECT_EQ(before.size, order.size);
	EXPECT_EQ(before.flags, order.flags);
	EXPECT_EQ(before.mem_fd, order.mem_fd);
	EXPECT_EQ(0, order.reserved[0] | order.reserved[1] | order.reserved[2]);
}

TEST_F(device, mem_open_files_are_close_on_exec)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);

	ASSERT_EQ(0, call_open(self->fd, &order));
	EXPECT_EQ(FD_CLOEXEC, fcntl(order.ctrl_fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(order.map_fd, F_GETFD));
}

TEST_F(device, mem_open_works_as_often_as_wanted)
{
	struct pidfd_mem_open first = open_of(self, O_RDWR);
	struct pidfd_mem_open second = first;

	ASSERT_EQ(0, call_open(self->fd, &first));
	ASSERT_EQ(0, call_open(self->fd, &second));
	/* Contexts of their own */
	EXPECT_EQ(0, view_add(first.ctrl_fd, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, view_add(second.ctrl_fd, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, context_lock(first.ctrl_fd));
	EXPECT_EQ(0, view_remove(second.ctrl_fd, 0, PAGE_SIZE));
}

TEST_F(device, mem_open_takes_a_thread_s_mem)
{
	char path[64];
	struct pidfd_mem_open order = { .size = sizeof(order) };
	pid_t pid = self->source->pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", pid, pid);
	order.mem_fd = open(path, O_RDWR);
	ASSERT_LE(0, order.mem_fd);
	EXPECT_EQ(0, call_open(self->fd, &order));
}

/* What makes mem_fd wrong, and a name for it */
static void expect_ebadf(struct __test_metadata *_metadata, int device, int fd,
			 const char *what)
{
	struct pidfd_mem_open order = { .size = sizeof(order), .mem_fd = fd };
	int before = free_number();

	EXPECT_EQ(-EBADF, call_open(device, &order))
		TH_LOG("mem_fd is %s", what);
	EXPECT_EQ(before, free_number())
		TH_LOG("mem_fd is %s", what);
}

TEST_F(device, mem_open_no_open_file_EBADF)
{
	int fd = dup(0);

	close(fd);
	expect_ebadf(_metadata, self->fd, -1, "-1");
	expect_ebadf(_metadata, self->fd, INT_MIN, "INT_MIN");
	expect_ebadf(_metadata, self->fd, INT_MAX, "INT_MAX");
	expect_ebadf(_metadata, self->fd, fd, "closed");
}

TEST_F(device, mem_open_other_file_EBADF)
{
	int ends[2];
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pipe(ends));
	expect_ebadf(_metadata, self->fd, fd, "a regular file");
	expect_ebadf(_metadata, self->fd, ends[0], "a pipe");
	expect_ebadf(_metadata, self->fd, self->fd, "the device itself");
	expect_ebadf(_metadata, self->fd, open("/proc/self", O_RDONLY),
		     "a folder");
	expect_ebadf(_metadata, self->fd, open("/dev/zero", O_RDWR),
		     "/dev/zero");
	fd = syscall(SYS_pidfd_open, self->source->pid, 0);
	ASSERT_LE(0, fd);
	expect_ebadf(_metadata, self->fd, fd, "a pidfd");
}

TEST_F(device, mem_open_other_proc_file_EBADF)
{
	static const char *const names[] = { "maps", "smaps", "pagemap",
					     "environ", "auxv" };
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", self->source->pid,
			 names[i]);
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		expect_ebadf(_metadata, self->fd, fd, names[i]);
		close(fd);
	}
}

TEST_F(device, mem_open_own_files_EBADF)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);

	ASSERT_EQ(0, call_open(self->fd, &order));
	expect_ebadf(_metadata, self->fd, order.ctrl_fd, "a ctrl file");
	expect_ebadf(_metadata, self->fd, order.map_fd, "a map file");
}

TEST_F(device, mem_open_mem_not_readable_EBADF)
{
	expect_ebadf(_metadata, self->fd, mem_open(self->source->pid, O_WRONLY),
		     "O_WRONLY");
	expect_ebadf(_metadata, self->fd, mem_open(self->source->pid, O_PATH),
		     "O_PATH");
}

TEST_F(device, mem_open_process_gone_ESRCH)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	int before = free_number();

	source_kill(self->source);
	EXPECT_EQ(-ESRCH, call_open(self->fd, &order));
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_zombie_ESRCH)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	siginfo_t info;

	kill(self->source->pid, SIGKILL);
	ASSERT_EQ(0,
		  waitid(P_PID, self->source->pid, &info, WEXITED | WNOWAIT));
	EXPECT_EQ(-ESRCH, call_open(self->fd, &order));
}

TEST_F(device, mem_open_process_has_executed_ESRCH)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);

	become_another_program(self->source);
	EXPECT_EQ(-ESRCH, call_open(self->fd, &order));
}

TEST_F(device, mem_open_kernel_thread_ESRCH)
{
	struct pidfd_mem_open order = { .size = sizeof(order),
					.mem_fd = mem_open(2, O_RDONLY) };

	/* Some kernels open it and have no memory to show, some do not open it. */
	if (order.mem_fd < 0) {
		EXPECT_EQ(-ESRCH, order.mem_fd);
	} else {
		EXPECT_EQ(-ESRCH, call_open(self->fd, &order));
	}
}

TEST_F(device, mem_open_unknown_flag_EINVAL)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	int before = free_number();
	int bit;

	for (bit = 0; bit < 32; bit++) {
		order.flags = 1U << bit;
		if (order.flags == PIDFD_MEM_OPEN_RDONLY)
			continue;
		EXPECT_EQ(-EINVAL, call_open(self->fd, &order))
			TH_LOG("bit %d", bit);
		order.flags |= PIDFD_MEM_OPEN_RDONLY;
		EXPECT_EQ(-EINVAL, call_open(self->fd, &order))
			TH_LOG("bit %d and RDONLY", bit);
	}
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_reserved_not_zero_EINVAL)
{
	int before;
	size_t i;

	for (i = 0; i < 3; i++) {
		struct pidfd_mem_open order = open_of(self, O_RDWR);

		before = free_number();
		order.reserved[i] = 1;
		EXPECT_EQ(-EINVAL, call_open(self->fd, &order))
			TH_LOG("reserved[%zu]", i);
		order.reserved[i] = 1U << 31;
		EXPECT_EQ(-EINVAL, call_open(self->fd, &order))
			TH_LOG("reserved[%zu]", i);
		EXPECT_EQ(before, free_number());
	}
}

TEST_F(device, mem_open_smaller_struct_EINVAL)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	int before = free_number();

	for (order.size = 0; order.size < sizeof(order); order.size++) {
		EXPECT_EQ(-EINVAL, call_open(self->fd, &order))
			TH_LOG("size %u", order.size);
	}
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_larger_struct_with_zero_tail_works)
{
	struct larger_open larger = { .known = open_of(self, O_RDWR) };
	char *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pidfd_mem_open *order = (struct pidfd_mem_open *)page;

	larger.known.size = sizeof(larger);
	EXPECT_EQ(0, call_open(self->fd, &larger.known));
	EXPECT_LE(0, larger.known.ctrl_fd);
	EXPECT_LE(0, larger.known.map_fd);

	*order = open_of(self, O_RDWR);
	order->size = sizeof(*order) + 1;
	EXPECT_EQ(0, call_open(self->fd, order));
	order->size = PAGE_SIZE;
	EXPECT_EQ(0, call_open(self->fd, order));
}

TEST_F(device, mem_open_larger_struct_with_tail_E2BIG)
{
	struct larger_open larger = { .known = open_of(self, O_RDWR) };
	int before = free_number();
	int byte;

	larger.known.size = sizeof(larger);
	for (byte = 0; byte < 8; byte++) {
		larger.tail = 1ULL << (8 * byte);
		EXPECT_EQ(-E2BIG, call_open(self->fd, &larger.known))
			TH_LOG("byte %d", byte);
	}
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_absurd_size_fails)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	long result;

	order.size = UINT_MAX;
	result = call_open(self->fd, &order);
	EXPECT_TRUE(result == -E2BIG || result == -EFAULT)
		TH_LOG("%ld", result);
}

/* Two pages, the second with no access: NULL-like ends for structs */
static char *page_before_nothing(void)
{
	char *page = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED ||
	    mprotect(page + PAGE_SIZE, PAGE_SIZE, PROT_NONE))
		fatal("two pages: %m");
	return page;
}

#define KERNEL_ADDRESS 0xffff888000000000UL

TEST_F(device, mem_open_argument_not_readable_EFAULT)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	char *end = page_before_nothing() + PAGE_SIZE;
	int before = free_number();

	EXPECT_EQ(-EFAULT, call(self->fd, PIDFD_MEM_OPEN, 0));
	EXPECT_EQ(-EFAULT, call(self->fd, PIDFD_MEM_OPEN, KERNEL_ADDRESS));
	EXPECT_EQ(-EFAULT, call(self->fd, PIDFD_MEM_OPEN, (unsigned long)end));
	memcpy(end - 16, &order, 16);
	EXPECT_EQ(-EFAULT,
		  call(self->fd, PIDFD_MEM_OPEN, (unsigned long)end - 16));
	/* Whole as this kernel knows it, but it says that it is larger */
	order.size += 8;
	memcpy(end - sizeof(order), &order, sizeof(order));
	EXPECT_EQ(-EFAULT, call(self->fd, PIDFD_MEM_OPEN,
				(unsigned long)end - sizeof(order)));
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_argument_not_writable_EFAULT_and_no_file_left)
{
	struct pidfd_mem_open *order =
		(struct pidfd_mem_open *)page_before_nothing();
	int before;

	*order = open_of(self, O_RDWR);
	ASSERT_EQ(0, mprotect(order, PAGE_SIZE, PROT_READ));
	before = free_number();
	EXPECT_EQ(-EFAULT, call_open(self->fd, order));
	EXPECT_EQ(before, free_number());
}

TEST_F(device, mem_open_no_more_files_EMFILE_and_no_file_left)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	struct rlimit limit, old;
	int before = free_number();
	int next, room;

	next = dup(0);
	ASSERT_LE(0, next);
	close(next);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	for (room = 0; room < 2; room++) {
		limit = (struct rlimit){ next + room, old.rlim_max };
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		EXPECT_EQ(-EMFILE, call_open(self->fd, &order));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_EQ(before, free_number());
	}
	limit = (struct rlimit){ next + 2, old.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(0, call_open(self->fd, &order));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
}

TEST_F(device, mem_open_on_map_file_EALREADY)
{
	struct pidfd_mem_open order = open_of(self, O_RDWR);
	int before = free_number();

	ASSERT_EQ(0, call(self->fd, REMOTE_PROC_MAP, self->source->pid));
	EXPECT_EQ(-EALREADY, call_open(self->fd, &order));
	EXPECT_EQ(before, free_number());
}

/* ---- a context -------------------------------------------------------------- */

FIXTURE(context) {
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
};

FIXTURE_SETUP(context)
{
	self->source = source_start();
	self->memory = source_anon(self->source, PAGES * PAGE_SIZE, 0);
	source_fill(self->source, self->memory, PAGES * PAGE_SIZE, SEED);
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &self->ctrl,
				  &self->map));
}

FIXTURE_TEARDOWN(context)
{
	source_end(self->source);
}

/* A view of one page that nothing is wrong with */
static struct pidfd_mem_map good_view(FIXTURE_DATA(context) *self)
{
	return (struct pidfd_mem_map){
		.address = self->memory,
		.offset = 16 * PAGE_SIZE,
		.size = PAGE_SIZE,
	};
}

/* Which page of the source shows at the offset, or -1; a page shows nothing */
static long page_shown(FIXTURE_DATA(context) *self, uint64_t offset)
{
	uint64_t value = 0;
	int signal, page;
	char *at =
		mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->map, offset);

	if (at == MAP_FAILED)
		return -1;
	signal = touch_read(at, &value);
	munmap(at, PAGE_SIZE);
	for (page = 0; !signal && page < PAGES; page++)
		if (value == pattern(SEED, page))
			return page;
	return -1;
}

/* ---- PIDFD_MEM_MAP ---------------------------------------------------------- */

TEST_F(context, map_shows_the_range)
{
	EXPECT_EQ(0, view_add(self->ctrl, self->memory + 2 * PAGE_SIZE,
			      5 * PAGE_SIZE, 2 * PAGE_SIZE, 0));
	EXPECT_EQ(-1, page_shown(self, 4 * PAGE_SIZE));
	EXPECT_EQ(2, page_shown(self, 5 * PAGE_SIZE));
	EXPECT_EQ(3, page_shown(self, 6 * PAGE_SIZE));
	EXPECT_EQ(-1, page_shown(self, 7 * PAGE_SIZE));
	EXPECT_EQ(1, counter(self->map, "views"));
	EXPECT_TRUE(has_view(self->map, 5 * PAGE_SIZE,
			     self->memory + 2 * PAGE_SIZE, 2 * PAGE_SIZE, 0));
}

TEST_F(context, map_of_nothing_mapped_works)
{
	source_munmap(self->source, self->memory, PAGE_SIZE);
	EXPECT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(-1, page_shown(self, 0));
	/* What comes there later shows. */
	source_mmap(self->source, self->memory, PAGE_SIZE,
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	source_fill(self->source, self->memory, PAGE_SIZE, SEED);
	EXPECT_EQ(0, page_shown(self, 0));
}

TEST_F(context, map_not_page_aligned_EINVAL)
{
	static const uint64_t amounts[] = { 1, 8, 512, PAGE_SIZE / 2,
					    PAGE_SIZE - 1 };
	size_t i;

	for (i = 0; i < sizeof(amounts) / sizeof(*amounts); i++) {
		struct pidfd_mem_map map = good_view(self);

		map.address += amounts[i];
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
		map = good_view(self);
		map.offset += amounts[i];
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
		map = good_view(self);
		map.size += amounts[i];
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	}
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_zero_size_EINVAL)
{
	struct pidfd_mem_map map = good_view(self);

	map.size = 0;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
}

TEST_F(context, map_address_wraps_EINVAL)
{
	struct pidfd_mem_map map = good_view(self);

	map.address = -PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map)); /* the sum is 0 */
	map.size = 2 * PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	map.address = self->memory;
	map.size = -PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_offset_wraps_EINVAL)
{
	struct pidfd_mem_map map = good_view(self);

	map.offset = -PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	map.size = 2 * PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_beyond_the_largest_offset_EINVAL)
{
	struct pidfd_mem_map map = good_view(self);

	map.offset = 1ULL << 63;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	map.offset = (1ULL << 63) - PAGE_SIZE; /* its last byte is LLONG_MAX */
	map.size = 2 * PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_at_a_large_offset_works)
{
	struct pidfd_mem_map map = good_view(self);

	map.offset = (1ULL << 63) - 2 * PAGE_SIZE;
	ASSERT_EQ(0, call_map(self->ctrl, &map));
	EXPECT_EQ(0, page_shown(self, map.offset));
	EXPECT_EQ(-1, page_shown(self, map.offset - PAGE_SIZE));
	EXPECT_EQ(0, call_unmap(self->ctrl, map.offset, map.size));
}

/* Where the address space of the source ends: after its last page that mmap
 * gives it. With five levels of page tables that is not where it is with four.
 */
static uint64_t address_space_end(struct source *source)
{
	static const uint64_t ends[] = { (1ULL << 56) - PAGE_SIZE,
					 (1ULL << 47) - PAGE_SIZE };
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		long page = source_syscall(
			source, SYS_mmap, ends[i] - PAGE_SIZE, PAGE_SIZE,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0);
		if (page == (long)(ends[i] - PAGE_SIZE))
			return ends[i];
	}
	fatal("the last page cannot be mapped");
}

TEST_F(context, map_of_the_last_page_works)
{
	struct pidfd_mem_map map = good_view(self);

	map.address = address_space_end(self->source) - PAGE_SIZE;
	source_fill(self->source, map.address, PAGE_SIZE, SEED);
	ASSERT_EQ(0, call_map(self->ctrl, &map));
	EXPECT_EQ(0, page_shown(self, map.offset));
}

TEST_F(context, map_beyond_the_address_space_EINVAL)
{
	uint64_t end = address_space_end(self->source);
	uint64_t starts[] = { end, end + PAGE_SIZE, 1ULL << 63, KERNEL_ADDRESS,
			      0xffffffffff600000 /* vsyscall */ };
	struct pidfd_mem_map map = good_view(self);
	size_t i;

	for (i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		map.address = starts[i];
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map))
			TH_LOG("address %llx", map.address);
	}
	map.address = end - PAGE_SIZE;
	map.size = 2 * PAGE_SIZE;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	map.address = 0;
	map.size = end + PAGE_SIZE;
	map.offset = 0;
	EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map));
	map.size = end;
	EXPECT_EQ(0, call_map(self->ctrl, &map));
}

TEST_F(context, map_unknown_flag_EINVAL)
{
	const uint32_t known = PIDFD_MEM_MAP_READONLY | PIDFD_MEM_MAP_RESIDENT;
	struct pidfd_mem_map map = good_view(self);
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (known & (1U << bit))
			continue;
		map.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map))
			TH_LOG("bit %d", bit);
		map.flags |= known;
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map))
			TH_LOG("bit %d and the known", bit);
	}
	EXPECT_EQ(0, counter(self->map, "views"));
	map.flags = known;
	EXPECT_EQ(0, call_map(self->ctrl, &map));
	EXPECT_TRUE(
		has_view(self->map, map.offset, map.address, map.size, known));
}

TEST_F(context, map_padding_not_zero_EINVAL)
{
	size_t i;

	for (i = 0; i < 7; i++) {
		struct pidfd_mem_map map = good_view(self);

		map.padding[i] = 1;
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map))
			TH_LOG("padding[%zu]", i);
		map.padding[i] = 1U << 31;
		EXPECT_EQ(-EINVAL, call_map(self->ctrl, &map))
			TH_LOG("padding[%zu]", i);
	}
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_overlapping_a_view_EALREADY)
{
	/* The view is [16, 20); in pages */
	static const struct {
		int offset, size;
		char what[24];
	} cases[] = {
		{ 16, 4, "the same" },	    { 16, 1, "its first page" },
		{ 19, 1, "its last page" }, { 17, 2, "inside" },
		{ 15, 2, "its left edge" }, { 19, 2, "its right edge" },
		{ 15, 6, "covering it" },   { 0, 17, "far from the left" },
		{ 16, 5, "same start" },    { 15, 5, "same end" },
	};
	size_t i;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 16 * PAGE_SIZE,
			      4 * PAGE_SIZE, 0));
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		EXPECT_EQ(-EALREADY,
			  view_add(self->ctrl, self->memory + PAGE_SIZE,
				   cases[i].offset * PAGE_SIZE,
				   cases[i].size * PAGE_SIZE, 0))
			TH_LOG("%s", cases[i].what);
	}
	EXPECT_EQ(1, counter(self->map, "views"));
	EXPECT_EQ(0, page_shown(self, 16 * PAGE_SIZE));
	EXPECT_EQ(3, page_shown(self, 19 * PAGE_SIZE));
	EXPECT_EQ(-1, page_shown(self, 15 * PAGE_SIZE));
	EXPECT_EQ(-1, page_shown(self, 20 * PAGE_SIZE));
}

TEST_F(context, map_beside_a_view_works)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 16 * PAGE_SIZE,
			      2 * PAGE_SIZE, 0));
	EXPECT_EQ(0, view_add(self->ctrl, self->memory + 4 * PAGE_SIZE,
			      15 * PAGE_SIZE, PAGE_SIZE, 0));
	EXPECT_EQ(0, view_add(self->ctrl, self->memory + 5 * PAGE_SIZE,
			      18 * PAGE_SIZE, PAGE_SIZE, 0));
	EXPECT_EQ(4, page_shown(self, 15 * PAGE_SIZE));
	EXPECT_EQ(0, page_shown(self, 16 * PAGE_SIZE));
	EXPECT_EQ(1, page_shown(self, 17 * PAGE_SIZE));
	EXPECT_EQ(5, page_shown(self, 18 * PAGE_SIZE));
	/* Exactly the room between two */
	EXPECT_EQ(0, view_add(self->ctrl, self->memory, 20 * PAGE_SIZE,
			      PAGE_SIZE, 0));
	EXPECT_EQ(0, view_add(self->ctrl, self->memory + 6 * PAGE_SIZE,
			      19 * PAGE_SIZE, PAGE_SIZE, 0));
	EXPECT_EQ(6, page_shown(self, 19 * PAGE_SIZE));
}

TEST_F(context, map_of_one_range_twice_works)
{
	char *first, *second;
	uint64_t value;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 9 * PAGE_SIZE,
			      PAGE_SIZE, 0));
	first = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     self->map, 0);
	second = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->map,
		      9 * PAGE_SIZE);
	ASSERT_NE(MAP_FAILED, first);
	ASSERT_NE(MAP_FAILED, second);
	ASSERT_EQ(0, touch_write(first, 77));
	ASSERT_EQ(0, touch_read(second, &value));
	EXPECT_EQ(77, value);
}

TEST_F(context, map_argument_not_readable_EFAULT)
{
	struct pidfd_mem_map map = good_view(self);
	char *end = page_before_nothing() + PAGE_SIZE;

	EXPECT_EQ(-EFAULT, call(self->ctrl, PIDFD_MEM_MAP, 0));
	EXPECT_EQ(-EFAULT, call(self->ctrl, PIDFD_MEM_MAP, KERNEL_ADDRESS));
	EXPECT_EQ(-EFAULT, call(self->ctrl, PIDFD_MEM_MAP, (unsigned long)end));
	memcpy(end - 32, &map, 32);
	EXPECT_EQ(-EFAULT,
		  call(self->ctrl, PIDFD_MEM_MAP, (unsigned long)end - 32));
	/* It is only read. */
	memcpy(end - sizeof(map), &map, sizeof(map));
	ASSERT_EQ(0, mprotect(end - PAGE_SIZE, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(0, call(self->ctrl, PIDFD_MEM_MAP,
			  (unsigned long)end - sizeof(map)));
}

TEST_F(context, map_source_gone_ESRCH)
{
	source_kill(self->source);
	EXPECT_EQ(-ESRCH, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, counter(self->map, "views"));
}

TEST_F(context, map_source_has_executed_ESRCH)
{
	become_another_program(self->source);
	EXPECT_EQ(-ESRCH, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
}

TEST_F(context, map_locked_EPERM)
{
	ASSERT_EQ(0, context_lock(self->ctrl));
	EXPECT_EQ(-EPERM, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, counter(self->map, "views"));
}

/* ---- PIDFD_MEM_UNMAP -------------------------------------------------------- */

TEST_F(context, unmap_removes_the_view)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, 2 * PAGE_SIZE, 0));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 2 * PAGE_SIZE,
			      PAGE_SIZE, 0));
	EXPECT_EQ(0, call_unmap(self->ctrl, 0, 2 * PAGE_SIZE));
	EXPECT_EQ(1, counter(self->map, "views"));
	EXPECT_EQ(-1, page_shown(self, 0));
	EXPECT_EQ(0, page_shown(self, 2 * PAGE_SIZE));
	/* Its place is free again, its neighbour's is not. */
	EXPECT_EQ(-EALREADY,
		  view_add(self->ctrl, self->memory, 0, 3 * PAGE_SIZE, 0));
	EXPECT_EQ(0,
		  view_add(self->ctrl, self->memory, PAGE_SIZE, PAGE_SIZE, 0));
}

TEST_F(context, unmap_not_exactly_a_view_EINVAL)
{
	/* The views are [4, 8) and [8, 10); in pages */
	static const struct {
		int offset, size;
		char what[24];
	} cases[] = {
		{ 4, 3, "its beginning" }, { 5, 3, "its end" },
		{ 5, 1, "inside" },	   { 4, 6, "both" },
		{ 4, 5, "too large" },	   { 3, 5, "too early" },
		{ 0, 16, "around both" },  { 0, 1, "nothing there" },
		{ 10, 1, "after them" },   { 4, 0, "empty" },
		{ 6, 4, "parts of both" },
	};
	size_t i;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 4 * PAGE_SIZE,
			      4 * PAGE_SIZE, 0));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 8 * PAGE_SIZE,
			      2 * PAGE_SIZE, 0));
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		EXPECT_EQ(-EINVAL,
			  call_unmap(self->ctrl, cases[i].offset * PAGE_SIZE,
				     cases[i].size * PAGE_SIZE))
			TH_LOG("%s", cases[i].what);
	}
	EXPECT_EQ(2, counter(self->map, "views"));
	EXPECT_EQ(3, page_shown(self, 7 * PAGE_SIZE));
	EXPECT_EQ(0, page_shown(self, 8 * PAGE_SIZE));
}

TEST_F(context, unmap_strange_numbers_EINVAL)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, 1, PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, 0, PAGE_SIZE - 1));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, 0, PAGE_SIZE + 1));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, 0, -PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, -PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, -PAGE_SIZE, 2 * PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, UINT64_MAX, UINT64_MAX));
	EXPECT_EQ(1, counter(self->map, "views"));
}

TEST_F(context, unmap_twice_EINVAL)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, call_unmap(self->ctrl, 0, PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, 0, PAGE_SIZE));
}

TEST_F(context, unmap_argument_not_readable_EFAULT)
{
	char *end = page_before_nothing() + PAGE_SIZE;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(-EFAULT, call(self->ctrl, PIDFD_MEM_UNMAP, 0));
	EXPECT_EQ(-EFAULT, call(self->ctrl, PIDFD_MEM_UNMAP, KERNEL_ADDRESS));
	EXPECT_EQ(-EFAULT,
		  call(self->ctrl, PIDFD_MEM_UNMAP, (unsigned long)end - 8));
	EXPECT_EQ(1, counter(self->map, "views"));
}

TEST_F(context, unmap_locked_EPERM)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	ASSERT_EQ(0, context_lock(self->ctrl));
	EXPECT_EQ(-EPERM, call_unmap(self->ctrl, 0, PAGE_SIZE));
	EXPECT_EQ(0, page_shown(self, 0));
}

TEST_F(context, unmap_works_when_the_source_is_gone)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	source_kill(self->source);
	EXPECT_EQ(-EINVAL, call_unmap(self->ctrl, PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(0, call_unmap(self->ctrl, 0, PAGE_SIZE));
	EXPECT_EQ(0, counter(self->map, "views"));
}

/* ---- PIDFD_MEM_LOCK --------------------------------------------------------- */

TEST_F(context, lock_keeps_what_is_there)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(0, counter(self->map, "locked"));
	EXPECT_EQ(0, call(self->ctrl, PIDFD_MEM_LOCK, 0));
	EXPECT_EQ(1, counter(self->map, "locked"));
	EXPECT_EQ(1, counter(self->ctrl, "locked"));
	EXPECT_EQ(0, page_shown(self, 0));
}

TEST_F(context, lock_twice_works)
{
	EXPECT_EQ(0, call(self->ctrl, PIDFD_MEM_LOCK, 0));
	EXPECT_EQ(0, call(self->ctrl, PIDFD_MEM_LOCK, 0));
	EXPECT_EQ(-EPERM, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
}

TEST_F(context, lock_argument_not_zero_EINVAL)
{
	EXPECT_EQ(-EINVAL, call(self->ctrl, PIDFD_MEM_LOCK, 1));
	EXPECT_EQ(-EINVAL, call(self->ctrl, PIDFD_MEM_LOCK, -1));
	EXPECT_EQ(-EINVAL, call(self->ctrl, PIDFD_MEM_LOCK, 1U << 31));
	EXPECT_EQ(-EINVAL, call(self->ctrl, PIDFD_MEM_LOCK, 1UL << 32));
	EXPECT_EQ(0, counter(self->map, "locked"));
	EXPECT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
}

TEST_F(context, lock_works_when_the_source_is_gone)
{
	source_kill(self->source);
	EXPECT_EQ(0, call(self->ctrl, PIDFD_MEM_LOCK, 0));
	EXPECT_EQ(1, counter(self->map, "locked"));
}

TEST_F(context, lock_is_of_this_context_alone)
{
	int ctrl, map;

	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, context_lock(self->ctrl));
	EXPECT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
}

/* ---- PIDFD_MEM_REMAP -------------------------------------------------------- */

TEST_F(context, remap_of_a_mirror_works)
{
	uint64_t value;
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, 2 * PAGE_SIZE, 0));
	at = mmap(NULL, 2 * PAGE_SIZE, PROT_READ, MAP_SHARED, self->map, 0);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP, (unsigned long)at));
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP,
			  (unsigned long)at + PAGE_SIZE));
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP,
			  (unsigned long)at + 2 * PAGE_SIZE - 1));
	/* It follows the views by itself: nothing has to be done for it. */
	ASSERT_EQ(0, view_remove(self->ctrl, 0, 2 * PAGE_SIZE));
	ASSERT_EQ(0, view_add(self->ctrl, self->memory + PAGE_SIZE, 0,
			      PAGE_SIZE, 0));
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP, (unsigned long)at));
	ASSERT_EQ(0, touch_read(at, &value));
	EXPECT_EQ(pattern(SEED, 1), value);
}

TEST_F(context, remap_without_a_view_EINVAL)
{
	unsigned long at;

	ASSERT_EQ(0,
		  view_add(self->ctrl, self->memory, PAGE_SIZE, PAGE_SIZE, 0));
	at = (unsigned long)mmap(NULL, 3 * PAGE_SIZE, PROT_READ, MAP_SHARED,
				 self->map, 0);
	ASSERT_NE((unsigned long)MAP_FAILED, at);
	EXPECT_EQ(-EINVAL, call(self->map, PIDFD_MEM_REMAP, at));
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP, at + PAGE_SIZE));
	EXPECT_EQ(-EINVAL,
		  call(self->map, PIDFD_MEM_REMAP, at + 2 * PAGE_SIZE));
	ASSERT_EQ(0, view_remove(self->ctrl, PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(-EINVAL, call(self->map, PIDFD_MEM_REMAP, at + PAGE_SIZE));
}

TEST_F(context, remap_not_a_mirror_of_this_context_EINVAL)
{
	int ctrl, map;
	char *other;
	void *own = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	ASSERT_EQ(0, context_open(self->source->pid, O_RDWR, 0, &ctrl, &map));
	ASSERT_EQ(0, view_add(ctrl, self->memory, 0, PAGE_SIZE, 0));
	other = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, map, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(-EINVAL,
		  call(self->map, PIDFD_MEM_REMAP, (unsigned long)other));
	EXPECT_EQ(0, call(map, PIDFD_MEM_REMAP, (unsigned long)other));
	munmap(other, PAGE_SIZE);
	EXPECT_EQ(-EINVAL, call(map, PIDFD_MEM_REMAP, (unsigned long)other));
	EXPECT_EQ(-EINVAL, call(map, PIDFD_MEM_REMAP, (unsigned long)own));
	EXPECT_EQ(-EINVAL, call(map, PIDFD_MEM_REMAP, 0));
	EXPECT_EQ(-EINVAL, call(map, PIDFD_MEM_REMAP, KERNEL_ADDRESS));
	EXPECT_EQ(-EINVAL, call(map, PIDFD_MEM_REMAP, ULONG_MAX));
}

TEST_F(context, remap_just_before_a_mirror_EINVAL)
{
	/* The next mapping above an address is not the one at the address. */
	char *room = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = room + PAGE_SIZE;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, 3 * PAGE_SIZE, 0));
	munmap(room, 3 * PAGE_SIZE);
	ASSERT_EQ(at, mmap(at, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
			   self->map, PAGE_SIZE));
	EXPECT_EQ(0, call(self->map, PIDFD_MEM_REMAP, (unsigned long)at));
	EXPECT_EQ(-EINVAL,
		  call(self->map, PIDFD_MEM_REMAP, (unsigned long)at - 1));
	EXPECT_EQ(-EINVAL, call(self->map, PIDFD_MEM_REMAP,
				(unsigned long)at + PAGE_SIZE));
}

TEST_F(context, remap_source_gone_fails)
{
	char *at;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->map, 0);
	ASSERT_NE(MAP_FAILED, at);
	source_kill(self->source);
	EXPECT_EQ(-ESRCH, call(self->map, PIDFD_MEM_REMAP, (unsigned long)at));
}

TEST_F(context, remap_on_an_identity_map_file_works)
{
	int fd = device_open(O_RDWR);
	char *at;

	ASSERT_EQ(0, call(fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, self->memory);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, call(fd, PIDFD_MEM_REMAP, (unsigned long)at));
}

/* ---- calls that a file does not know ----------------------------------------- */

static void expect_enotty(struct __test_metadata *_metadata, int fd,
			  unsigned long nr, const char *what)
{
	struct pidfd_mem_map argument = { 0 };

	EXPECT_EQ(-ENOTTY, call(fd, nr, (unsigned long)&argument))
		TH_LOG("%s", what);
}

TEST_F(context, unknown_call_ENOTTY)
{
	static const unsigned long unknown[] = {
		_IO('p', 0),
		_IO('r', 1),
		_IOW('r', 2, int),
		_IOW('p', 5, int),
		_IOR('p', 1, struct pidfd_mem_map),
		_IOW('p', 1, struct pidfd_mem_unmap),
		_IOWR('p', 1, struct pidfd_mem_map),
		_IOW('p', 2, struct pidfd_mem_map),
		_IOW('p', 0x10, struct pidfd_mem_open),
		_IOW('P', 1, struct pidfd_mem_map),
		0x5401 /* TCGETS */,
	};
	int fd = device_open(O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		expect_enotty(_metadata, self->ctrl, unknown[i], "ctrl");
		expect_enotty(_metadata, self->map, unknown[i], "map");
		expect_enotty(_metadata, fd, unknown[i], "device");
	}
	ASSERT_EQ(0, call(fd, REMOTE_PROC_MAP, self->source->pid));
	for (i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		expect_enotty(_metadata, fd, unknown[i], "identity map");
}

TEST_F(context, call_on_the_wrong_file_ENOTTY)
{
	int fd = device_open(O_RDWR);

	expect_enotty(_metadata, fd, PIDFD_MEM_MAP, "MAP on the device");
	expect_enotty(_metadata, fd, PIDFD_MEM_UNMAP, "UNMAP on the device");
	expect_enotty(_metadata, fd, PIDFD_MEM_LOCK, "LOCK on the device");
	expect_enotty(_metadata, self->map, PIDFD_MEM_MAP,
		      "MAP on the map file");
	expect_enotty(_metadata, self->map, PIDFD_MEM_UNMAP,
		      "UNMAP on the map file");
	expect_enotty(_metadata, self->map, PIDFD_MEM_LOCK,
		      "LOCK on the map file");
	expect_enotty(_metadata, self->map, PIDFD_MEM_OPEN,
		      "OPEN on the map file");
	expect_enotty(_metadata, self->map, REMOTE_PROC_MAP,
		      "PROC_MAP on the map file");
	expect_enotty(_metadata, self->ctrl, PIDFD_MEM_REMAP,
		      "REMAP on the ctrl file");
	expect_enotty(_metadata, self->ctrl, PIDFD_MEM_OPEN,
		      "OPEN on the ctrl file");
	expect_enotty(_metadata, self->ctrl, REMOTE_PROC_MAP,
		      "PROC_MAP on the ctrl file");
	ASSERT_EQ(0, call(fd, REMOTE_PROC_MAP, self->source->pid));
	expect_enotty(_metadata, fd, PIDFD_MEM_MAP,
		      "MAP on an identity map file");
	expect_enotty(_metadata, fd, PIDFD_MEM_UNMAP,
		      "UNMAP on an identity map file");
	expect_enotty(_metadata, fd, PIDFD_MEM_LOCK,
		      "LOCK on an identity map file");
}

TEST_F(context, ctrl_file_cannot_be_mapped)
{
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, 0, PAGE_SIZE, 0));
	EXPECT_EQ(MAP_FAILED,
		  mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, self->ctrl, 0));
	EXPECT_EQ(ENODEV, errno);
}

/* ---- 32-bit programs --------------------------------------------------------- */

#ifdef __x86_64__
/* A system call as 32-bit programs make it, which a 64-bit one can make too */
static int call32(int nr, uint32_t first, uint32_t second, uint32_t third)
{
	int result;

	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"(nr), "b"(first), "c"(second), "d"(third)
		     : "memory", "r8", "r9", "r10", "r11");
	return result;
}

#define GETPID_32 20
#define IOCTL_32 54
/* long is half as long there, and the number says so. */
#define REMAP_32 _IOW('p', 0x04, uint32_t)

/* In a process of its own, since where they are switched off it is a signal */
static bool has_32_bit_calls(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(call32(GETPID_32, 0, 0, 0) != getpid());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static int ioctl32(int fd, uint32_t nr, const void *argument)
{
	return call32(IOCTL_32, fd, nr, (uintptr_t)argument);
}

/* Memory that a 32-bit pointer reaches */
static void *low_page(void)
{
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (page == MAP_FAILED)
		fatal("no memory below 2 GiB: %m");
	return page;
}

TEST_F(context, a_32_bit_program_can_make_every_call)
{
	struct pidfd_mem_open *order;
	struct pidfd_mem_map *map;
	struct pidfd_mem_unmap *unmap;
	uint64_t value;
	char *at;

	if (!has_32_bit_calls())
		SKIP(return, "no 32-bit system calls here");
	order = low_page();
	order->size = sizeof(*order);
	order->mem_fd = mem_open(self->source->pid, O_RDWR);
	ASSERT_EQ(0, ioctl32(device_open(O_RDWR), PIDFD_MEM_OPEN, order));
	map = low_page();
	*map = good_view(self);
	ASSERT_EQ(0, ioctl32(order->ctrl_fd, PIDFD_MEM_MAP, map));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_32BIT,
		  order->map_fd, map->offset);
	ASSERT_NE(MAP_FAILED, at);
	ASSERT_EQ(0, touch_read(at, &value));
	EXPECT_EQ(pattern(SEED, 0), value);
	EXPECT_EQ(0, ioctl32(order->map_fd, REMAP_32, at));
	unmap = low_page();
	*unmap = (struct pidfd_mem_unmap){ map->offset, map->size };
	EXPECT_EQ(0, ioctl32(order->ctrl_fd, PIDFD_MEM_UNMAP, unmap));
	EXPECT_EQ(-EINVAL, ioctl32(order->map_fd, REMAP_32, at));
	EXPECT_EQ(0, ioctl32(order->ctrl_fd, PIDFD_MEM_LOCK, NULL));
	EXPECT_EQ(-EPERM, ioctl32(order->ctrl_fd, PIDFD_MEM_MAP, map));
	EXPECT_EQ(-ENOTTY, ioctl32(order->ctrl_fd, REMAP_32, at));
}

TEST_F(context, a_32_bit_program_can_name_a_pid)
{
	int fd = device_open(O_RDWR);
	char *at;

	if (!has_32_bit_calls())
		SKIP(return, "no 32-bit system calls here");
	EXPECT_EQ(-ENOTTY, ioctl32(fd, REMAP_32, NULL));
	EXPECT_EQ(-ESRCH, call32(IOCTL_32, fd, REMOTE_PROC_MAP, -1));
	EXPECT_EQ(-ESRCH, call32(IOCTL_32, fd, REMOTE_PROC_MAP, 0));
	EXPECT_EQ(0, call32(IOCTL_32, fd, REMOTE_PROC_MAP, self->source->pid));
	at = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_32BIT, fd,
		  self->memory);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_EQ(0, ioctl32(fd, REMAP_32, at));
}
#endif

TEST_HARNESS_MAIN
