// SPDX-License-Identifier: GPL-2.0
/*
 * Each thing that can fail in an operation for want of memory fails once, whether
 * the module asks for it or the core on its behalf, and so does each copy from and
 * to user memory: the first of them, then the second, and so on, until the
 * operation is through before it comes to that. Each time it either says why it
 * failed, as the header has it, or was done all the same; then the same operation
 * works, and what is seen is right. In the end the module has nothing left over.
 *
 * This takes a kernel with fault injection; what else may be lost there tells
 * kmemleak, when the run is over.
 */
#include "harness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 16UL
#define SIZE (PAGES * PAGE_SIZE)
/* More than the module copies without memory of its own */
#define LARGE_PAGES 64UL
#define LARGE (LARGE_PAGES * PAGE_SIZE)
#define SEED 1
/* What takes more than this does not come to an end. */
#define NTH_MAX 5000

/* ---- failing on purpose -------------------------------------------------------- */

/* Of the calling thread: which of the failures to come is the one, 0: none. */
static int nth_file(void)
{
	static pid_t owner;
	static int file = -1;

	if (owner == gettid())
		return file;
	owner = gettid();
	file = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return file;
}

static void nth_arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	if (nth && pwrite(nth_file(), text, length, 0) != length)
		fatal("fail-nth: %m");
}

/*
 * Whether the failure has happened. What it takes to ask may fail instead, if it
 * has not.
 */
static bool nth_disarm(unsigned int nth)
{
	char text[16] = "";
	bool failed;

	if (!nth)
		return false;
	failed = pread(nth_file(), text, sizeof(text) - 1, 0) > 0 &&
		 !strtoul(text, NULL, 10);
	while (pwrite(nth_file(), "0", 1, 0) != 1)
		if (errno != EFAULT && errno != ENOMEM)
			fatal("fail-nth: %m");
	return failed;
}

/* Code, from start to before end */
struct code {
	unsigned long start;
	unsigned long end;
};

static const struct code everywhere = { 0, ULONG_MAX }, nowhere;

static void within_set(const char *kind, const char *key, unsigned long value)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kind, key);
	text_must_write(path, "%#lx", value);
}

/* Only what is called from there is to fail, but not from here; depth 0: all */
static void nth_within(struct code there, struct code not_here, int depth)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc",
					     "fail_usercopy" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		within_set(kinds[i], "require-start", there.start);
		within_set(kinds[i], "require-end", there.end);
		within_set(kinds[i], "reject-start", not_here.start);
		within_set(kinds[i], "reject-end", not_here.end);
		within_set(kinds[i], "stacktrace-depth", depth);
	}
}

/* All allocations are to fail in their turn, also those that could wait for
 * memory; and the log is not to be filled with it.
 */
static bool nth_able(void)
{
	static const char *const quiet[] = { "failslab", "fail_page_alloc",
					     "fail_usercopy" };
	char path[64];
	size_t i;

	if (nth_file() < 0 ||
	    text_write("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    text_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait",
		       "N"))
		return false;
	text_must_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem",
			"N");
	text_must_write("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	if (!access("/sys/kernel/debug/failslab/require-start", W_OK))
		nth_within(everywhere, nowhere, 0);
	for (i = 0; i < ARRAY_SIZE(quiet); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose",
			 quiet[i]);
		text_write(path, "0");
	}
	return true;
}

/* ---- the sweep ------------------------------------------------------------------ */

FIXTURE(sweep)
{
	bool able;
	struct source *source;
	uint64_t memory;
	size_t size;
	struct mirror mirror;
	struct mirror other;
	struct source *fresh;
	int file;
	int fds[2];
	void *at;
	unsigned int done; /* steps of the operation */
	unsigned int nth;
	bool injected;
	long objects;
};

#define SWEEP FIXTURE_DATA(sweep)

/* Result of a call that is to fail in its turn: 0 or more, or -errno */
#define INJECT(s, expression)                          \
	({                                             \
		long result_;                          \
		nth_arm((s)->nth);                     \
		result_ = (long)(expression);          \
		if (result_ == -1)                     \
			result_ = -errno;              \
		(s)->injected |= nth_disarm((s)->nth); \
		result_;                               \
	})

struct operation {
	const char *name;
	void (*prepare)(SWEEP *s);
	/* 0, or -errno, as often as it takes */
	long (*run)(SWEEP *s);
	/* It is done; all is as it is to be, or this is fatal. */
	void (*check)(SWEEP *s);
	void (*clean)(SWEEP *s);
	/* What it may say besides ENOMEM and EFAULT */
	int error;
};

static long module_objects(void)
{
	return slab_objects("remote_mapping") +
	       slab_objects("remote_mapping_block") + slab_objects("watch");
}

/* The lowest file number that is free: whether one was lost on the way */
static int file_next(void)
{
	int file = fcntl(0, F_DUPFD, 0);

	close(file);
	return file;
}

static bool is_documented(const struct operation *operation, long ret)
{
	return ret == -ENOMEM || ret == -EFAULT ||
	       (operation->error && ret == -operation->error);
}

/* The operation once, and again without a failure if it failed. Its result */
static long sweep_once(SWEEP *s, const struct operation *operation)
{
	unsigned int nth = s->nth;
	int next = file_next();
	long ret;

	s->injected = false;
	ret = operation->run(s);
	if (!ret)
		return 0;
	if (!s->injected)
		fatal("%s: error %ld without a cause", operation->name, -ret);
	if (!is_documented(operation, ret))
		fatal("%s: error %ld at failure %u", operation->name, -ret,
		      nth);
	if (next != file_next())
		fatal("%s: a file is left over at failure %u", operation->name,
		      nth);
	s->nth = 0;
	if (operation->run(s))
		fatal("%s does not work after failure %u", operation->name,
		      nth);
	s->nth = nth;
	s->injected = true;
	return ret;
}

static void sweep_run(SWEEP *s, const struct operation *operation)
{
	struct timespec begin, end;
	unsigned int failed = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	nth_file();
	s->nth = 0;
	do {
		if (++s->nth > NTH_MAX)
			fatal("%s: there is no end to it", operation->name);
		s->done = 0;
		operation->prepare(s);
		failed += !!sweep_once(s, operation);
		if (operation->check)
			operation->check(s);
		operation->clean(s);
	} while (s->injected);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("# %s: %u failures injected, %u of them told, %ld s\n",
	       operation->name, s->nth - 1, failed, end.tv_sec - begin.tv_sec);
	fflush(stdout);
}

FIXTURE_SETUP(sweep)
{
	self->able = nth_able();
	if (!self->able)
		return;
	self->objects = module_objects();
	self->source = source_start();
	self->size = SIZE;
	self->memory = source_anon(self->source, LARGE, 0);
	source_fill(self->source, self->memory, LARGE, SEED);
}

FIXTURE_TEARDOWN(sweep)
{
	if (!self->able)
		return;
	if (self->mirror.at)
		mirror_close(&self->mirror);
	source_end(self->source);
	/* Those of a source that is gone are not kept. */
	WAIT_FOR(module_objects() <= self->objects);
}

#define TEST_SWEEP(what, ...)                                               \
	TEST_F_TIMEOUT(sweep, what, 240)                                    \
	{                                                                   \
		static const struct operation operation = { .name = #what,  \
							    __VA_ARGS__ };  \
		if (!self->able)                                            \
			SKIP(return, "no fail-nth: a kernel without fault " \
				     "injection");                          \
		sweep_run(self, &operation);                                \
	}

/* ---- what they share ------------------------------------------------------------- */

static void mirror_prepare(SWEEP *s)
{
	s->mirror = mirror_open(s->source->pid, s->memory, s->size,
				PROT_READ | PROT_WRITE, 0);
}

static void mirror_clean(SWEEP *s)
{
	mirror_close(&s->mirror);
	s->mirror.at = NULL;
}

static void mirror_read(SWEEP *s)
{
	uint64_t seen;
	size_t i;

	for (i = 0; i < s->size; i += PAGE_SIZE)
		if (touch_read(s->mirror.at + i, &seen))
			fatal("page %zu of the mirror cannot be read",
			      i / PAGE_SIZE);
}

/* Each page that is looked at is in the mirror what it is in the source. */
static void page_agrees(SWEEP *s, size_t offset)
{
	uint64_t is, seen;
	int hole = source_try_load(s->source, s->memory + offset, &is);
	int raised = touch_read(s->mirror.at + offset, &seen);

	if (!hole != !raised)
		fatal("page %zu: signal %d at failure %u, in the source %d",
		      offset / PAGE_SIZE, raised, s->nth, hole);
	if (!hole && is != seen)
		fatal("page %zu shows %" PRIx64 " at failure %u, not %" PRIx64,
		      offset / PAGE_SIZE, seen, s->nth, is);
}

/* At both ends, and on both sides of where deeds begin and end, see below */
static void mirror_agrees(SWEEP *s)
{
	static const size_t pages[] = { 0, 4, 7, 8, PAGES - 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		page_agrees(s, pages[i] * PAGE_SIZE);
}

/* And what is written on either side is seen on the other. */
static void mirror_is_live(SWEEP *s)
{
	uint64_t at = s->memory + s->size - PAGE_SIZE;

	mirror_agrees(s);
	source_store(s->source, at, s->nth);
	page_agrees(s, at - s->memory);
	if (touch_write(s->mirror.at + s->size - PAGE_SIZE, ~s->nth))
		fatal("the mirror cannot be written");
	page_agrees(s, at - s->memory);
}

static void file_clean(SWEEP *s)
{
	close(s->file);
}

/* A map file shows the source's memory at that offset. */
static void file_shows(SWEEP *s, int file, uint64_t offset)
{
	uint64_t seen;

	if (pread(file, &seen, sizeof(seen), offset) != sizeof(seen) ||
	    seen != source_load(s->source, s->memory))
		fatal("the map file does not show the source");
}

/* ---- to open ----------------------------------------------------------------------- */

static void device_prepare(SWEEP *s)
{
	s->file = device_open(O_RDWR);
}

static long remote_proc_map_run(SWEEP *s)
{
	return INJECT(s, ioctl(s->file, REMOTE_PROC_MAP, s->source->pid));
}

static void remote_proc_map_check(SWEEP *s)
{
	file_shows(s, s->file, s->memory);
}

TEST_SWEEP(remote_proc_map, .prepare = device_prepare,
	   .run = remote_proc_map_run, .check = remote_proc_map_check,
	   .clean = file_clean)

static long open_run(SWEEP *s)
{
	struct pidfd_mem_open open = {
		.size = sizeof(open),
		.mem_fd = s->fds[0],
	};
	long ret = INJECT(s, ioctl(s->file, PIDFD_MEM_OPEN, &open));

	if (!ret) {
		s->mirror.ctrl = open.ctrl_fd;
		s->mirror.map = open.map_fd;
	}
	return ret;
}

static void known_open_prepare(SWEEP *s)
{
	s->other = mirror_open(s->source->pid, s->memory, SIZE, PROT_READ, 0);
	s->file = device_open(O_RDWR);
	s->fds[0] = mem_open(s->source->pid, O_RDWR);
}

static void known_open_check(SWEEP *s)
{
	if (view_add(s->mirror.ctrl, s->memory, 0, SIZE, 0))
		fatal("no view can be added");
	file_shows(s, s->mirror.map, 0);
}

static void known_open_clean(SWEEP *s)
{
	close(s->mirror.ctrl);
	close(s->mirror.map);
	close(s->fds[0]);
	close(s->file);
	mirror_close(&s->other);
}

TEST_SWEEP(open_of_a_known_source, .prepare = known_open_prepare,
	   .run = open_run, .check = known_open_check,
	   .clean = known_open_clean)

/* Nobody has looked at this one yet. */
static void fresh_open_prepare(SWEEP *s)
{
	s->fresh = source_start();
	s->file = device_open(O_RDWR);
	s->fds[0] = mem_open(s->fresh->pid, O_RDWR);
}

static void fresh_open_check(SWEEP *s)
{
	uint64_t memory = source_anon(s->fresh, SIZE, 0), seen;

	source_store(s->fresh, memory, SEED);
	if (view_add(s->mirror.ctrl, memory, 0, SIZE, 0) ||
	    pread(s->mirror.map, &seen, sizeof(seen), 0) != sizeof(seen) ||
	    seen != SEED)
		fatal("the map file does not show a fresh source");
}

static void fresh_open_clean(SWEEP *s)
{
	close(s->mirror.ctrl);
	close(s->mirror.map);
	close(s->fds[0]);
	close(s->file);
	source_end(s->fresh);
}

TEST_SWEEP(open_of_a_fresh_source, .prepare = fresh_open_prepare,
	   .run = open_run, .check = fresh_open_check,
	   .clean = fresh_open_clean)

static long reopen_run(SWEEP *s)
{
	char path[40];
	long ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->mirror.map);
	ret = INJECT(s, open(path, O_RDWR | O_CLOEXEC));
	if (ret < 0)
		return ret;
	s->file = ret;
	return 0;
}

static void reopen_check(SWEEP *s)
{
	file_shows(s, s->file, 0);
}

static void reopen_clean(SWEEP *s)
{
	close(s->file);
	mirror_clean(s);
}

/* ENOENT: the core, where it has no memory for what stands for /proc/self/fd/N */
TEST_SWEEP(open_again, .prepare = mirror_prepare, .run = reopen_run,
	   .check = reopen_check, .clean = reopen_clean, .error = ENOENT)

/* ---- views ------------------------------------------------------------------------- */

#define VIEWS 100U

static void context_prepare(SWEEP *s)
{
	if (context_open(s->source->pid, O_RDWR, 0, &s->mirror.ctrl,
			 &s->mirror.map))
		fatal("no context");
}

static void context_clean(SWEEP *s)
{
	s->mirror.at = NULL;
	close(s->mirror.ctrl);
	close(s->mirror.map);
}

/* Number i of many, each at another page */
static int numbered_add(SWEEP *s, unsigned int i)
{
	struct pidfd_mem_map map = {
		.address = s->memory + i % LARGE_PAGES * PAGE_SIZE,
		.offset = i * PAGE_SIZE,
		.size = PAGE_SIZE,
	};

	return ioctl(s->mirror.ctrl, PIDFD_MEM_MAP, &map);
}

static int numbered_remove(SWEEP *s, unsigned int i)
{
	struct pidfd_mem_unmap unmap = {
		.offset = i * PAGE_SIZE,
		.size = PAGE_SIZE,
	};

	return ioctl(s->mirror.ctrl, PIDFD_MEM_UNMAP, &unmap);
}

/* From where it stopped, to the last one */
static int numbered_all(SWEEP *s, unsigned int step,
			int (*one)(SWEEP *s, unsigned int i))
{
	for (; s->done < VIEWS; s->done += step)
		if (one(s, s->done))
			return -1;
	return 0;
}

/* Those and no others are there. */
static void numbered_expect(SWEEP *s, bool (*there)(unsigned int i))
{
	unsigned int nr = 0, i;
	uint64_t seen;
	ssize_t ret;

	for (i = 0; i < VIEWS; i++) {
		ret = pread(s->mirror.map, &seen, sizeof(seen), i * PAGE_SIZE);
		nr += there(i);
		if (!there(i) && ret > 0)
			fatal("view %u is there", i);
		if (there(i) && (ret != sizeof(seen) ||
				 seen != pattern(SEED, i % LARGE_PAGES)))
			fatal("view %u shows something else", i);
	}
	if (counter(s->mirror.ctrl, "views") != nr)
		fatal("the number of views is another");
}

static bool all_of_them(unsigned int i)
{
	return i < VIEWS;
}

static bool first_of_them(unsigned int i)
{
	return !i;
}

static long first_view_run(SWEEP *s)
{
	return INJECT(s, numbered_add(s, 0));
}

static void first_view_check(SWEEP *s)
{
	numbered_expect(s, first_of_them);
}

TEST_SWEEP(view_the_first, .prepare = context_prepare, .run = first_view_run,
	   .check = first_view_check, .clean = context_clean)

/*
 * The last of many, one after the other: among them those that make the tree of
 * views grow and its nodes split. What failed is tried again, and it goes on from
 * there.
 */
#define LAST_VIEWS (VIEWS - 20)

static void many_views_prepare(SWEEP *s)
{
	unsigned int i;

	context_prepare(s);
	for (i = 0; i < LAST_VIEWS; i++)
		if (numbered_add(s, i))
			fatal("no view can be added");
	s->done = LAST_VIEWS;
}

static long many_views_run(SWEEP *s)
{
	return INJECT(s, numbered_all(s, 1, numbered_add));
}

static void many_views_check(SWEEP *s)
{
	numbered_expect(s, all_of_them);
}

TEST_SWEEP(view_of_a_hundred, .prepare = many_views_prepare,
	   .run = many_views_run, .check = many_views_check,
	   .clean = context_clean)

/* Between those that are there */
static void gaps_prepare(SWEEP *s)
{
	many_views_prepare(s);
	s->done = LAST_VIEWS + 1;
	if (numbered_all(s, 2, numbered_add))
		fatal("no views can be added");
	s->done = LAST_VIEWS;
}

static long gaps_run(SWEEP *s)
{
	return INJECT(s, numbered_all(s, 2, numbered_add));
}

TEST_SWEEP(view_in_a_gap, .prepare = gaps_prepare, .run = gaps_run,
	   .check = many_views_check, .clean = context_clean)

static void removal_prepare(SWEEP *s)
{
	context_prepare(s);
	if (numbered_all(s, 1, numbered_add))
		fatal("no views can be added");
	s->done = LAST_VIEWS;
}

static bool but_the_last(unsigned int i)
{
	return i < LAST_VIEWS;
}

/* Beside a gap each time, which takes memory. What could not be removed for want of
 * it shows nothing any more, and the next try removes it.
 */
static long removal_run(SWEEP *s)
{
	long ret = INJECT(s, numbered_all(s, 1, numbered_remove));
	char byte;

	if (ret == -ENOMEM &&
	    pread(s->mirror.map, &byte, 1, s->done * PAGE_SIZE) > 0)
		fatal("a view that is being removed shows something");
	return ret;
}

static void removal_check(SWEEP *s)
{
	numbered_expect(s, but_the_last);
}

TEST_SWEEP(view_removed, .prepare = removal_prepare, .run = removal_run,
	   .check = removal_check, .clean = context_clean)

static long all_removed_run(SWEEP *s)
{
	struct pidfd_mem_unmap unmap = { .size = SIZE };

	return INJECT(s, ioctl(s->mirror.ctrl, PIDFD_MEM_UNMAP, &unmap));
}

static void all_removed_prepare(SWEEP *s)
{
	mirror_prepare(s);
	mirror_read(s);
}

static void all_removed_check(SWEEP *s)
{
	uint64_t seen;

	if (touch_read(s->mirror.at, &seen) != SIGBUS)
		fatal("what was removed is still there");
	if (view_add(s->mirror.ctrl, s->memory, 0, SIZE, 0))
		fatal("it cannot be added again");
	mirror_is_live(s);
}

TEST_SWEEP(view_removed_under_a_mirror, .prepare = all_removed_prepare,
	   .run = all_removed_run, .check = all_removed_check,
	   .clean = mirror_clean)

static long lock_run(SWEEP *s)
{
	return INJECT(s, ioctl(s->mirror.ctrl, PIDFD_MEM_LOCK, 0));
}

static void lock_check(SWEEP *s)
{
	if (view_remove(s->mirror.ctrl, 0, SIZE) != -EPERM)
		fatal("it is not locked");
	mirror_is_live(s);
}

TEST_SWEEP(lock, .prepare = mirror_prepare, .run = lock_run,
	   .check = lock_check, .clean = mirror_clean)

static long remap_run(SWEEP *s)
{
	return INJECT(s, ioctl(s->mirror.map, PIDFD_MEM_REMAP, s->mirror.at));
}

TEST_SWEEP(remap, .prepare = mirror_prepare, .run = remap_run,
	   .check = mirror_is_live, .clean = mirror_clean)

/* ---- to map ------------------------------------------------------------------------ */

/* One who has a mirror already, of the same or another source. */
static void mmap_prepare(SWEEP *s)
{
	mirror_prepare(s);
	s->at = MAP_FAILED;
}

static long mmap_run(SWEEP *s)
{
	long ret = INJECT(s, mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, s->mirror.map, 0));

	if (ret < 0 && ret > -4096)
		return ret;
	s->at = (void *)ret;
	return 0;
}

static void mmap_check(SWEEP *s)
{
	if (pattern_differs(s->at, SIZE, SEED) != -1)
		fatal("a second mirror shows something else");
}

static void mmap_clean(SWEEP *s)
{
	munmap(s->at, SIZE);
	mirror_clean(s);
}

TEST_SWEEP(mmap_of_the_map_file, .prepare = mmap_prepare, .run = mmap_run,
	   .check = mmap_check, .clean = mmap_clean)

static void only_views_prepare(SWEEP *s)
{
	context_prepare(s);
	if (view_add(s->mirror.ctrl, s->memory, 0, SIZE, 0))
		fatal("no view can be added");
}

/* In a process that has no mirror yet: its result, by its exit status */
static long first_mmap_run(SWEEP *s)
{
	pid_t pid = fork();
	int status;
	long ret;

	if (pid < 0)
		fatal("fork: %m");
	if (!pid) {
		ret = mmap_run(s);
		status = s->injected << 7 | (int)-ret;
		s->nth = 0;
		if (ret && mmap_run(s))
			fatal("no mirror can be made after a failure");
		mmap_check(s);
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		fatal("who made a first mirror has died");
	s->injected = WEXITSTATUS(status) >> 7;
	return -(WEXITSTATUS(status) & 0x7f);
}

TEST_SWEEP(mmap_in_a_fresh_viewer, .prepare = only_views_prepare,
	   .run = first_mmap_run, .clean = context_clean)

/* What splits a mirror needs memory for another. */
static long partly_unmap_run(SWEEP *s)
{
	return INJECT(s, munmap(s->mirror.at + 4 * PAGE_SIZE, PAGE_SIZE));
}

static void touched_prepare(SWEEP *s)
{
	mirror_prepare(s);
	mirror_read(s);
}

static void partly_unmap_check(SWEEP *s)
{
	uint64_t seen;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (i == 4 ? touch_read(s->mirror.at + i * PAGE_SIZE, &seen) !=
				     SIGSEGV :
			     (page_agrees(s, i * PAGE_SIZE), false))
			fatal("page %zu is still mapped", i);
}

TEST_SWEEP(munmap_of_a_part, .prepare = touched_prepare,
	   .run = partly_unmap_run, .check = partly_unmap_check,
	   .clean = mirror_clean)

static long mprotect_run(SWEEP *s)
{
	return INJECT(s, mprotect(s->mirror.at + 4 * PAGE_SIZE, PAGE_SIZE,
				  PROT_READ));
}

static void mprotect_check(SWEEP *s)
{
	if (!touch_write(s->mirror.at + 4 * PAGE_SIZE, 1))
		fatal("what is protected can be written");
	mirror_is_live(s);
}

TEST_SWEEP(mprotect_of_a_part, .prepare = touched_prepare, .run = mprotect_run,
	   .check = mprotect_check, .clean = mirror_clean)

static long mremap_run(SWEEP *s)
{
	return INJECT(s, mremap(s->mirror.at, SIZE, SIZE,
				MREMAP_MAYMOVE | MREMAP_FIXED,
				s->at) == MAP_FAILED ?
				 -1 :
				 0);
}

static void mremap_prepare(SWEEP *s)
{
	touched_prepare(s);
	s->at = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void mremap_check(SWEEP *s)
{
	char *old = s->mirror.at;
	uint64_t seen;

	if (touch_read(old, &seen) != SIGSEGV)
		fatal("the mirror is where it was, too");
	s->mirror.at = s->at;
	mirror_is_live(s);
}

TEST_SWEEP(mremap_elsewhere, .prepare = mremap_prepare, .run = mremap_run,
	   .check = mremap_check, .clean = mirror_clean)

static long fork_run(SWEEP *s)
{
	long pid = INJECT(s, fork());

	if (!pid)
		_exit(0);
	if (pid < 0)
		return pid;
	return waitpid(pid, NULL, 0) == pid ? 0 : -errno;
}

TEST_SWEEP(fork_of_the_viewer, .prepare = touched_prepare, .run = fork_run,
	   .check = mirror_is_live, .clean = mirror_clean, .error = EAGAIN)

static long unmap_run(SWEEP *s)
{
	return INJECT(s, munmap(s->mirror.at, SIZE));
}

static void unmap_check(SWEEP *s)
{
	uint64_t seen;

	if (touch_read(s->mirror.at, &seen) != SIGSEGV)
		fatal("the mirror is still there");
	file_shows(s, s->mirror.map, 0);
}

TEST_SWEEP(munmap_of_all, .prepare = touched_prepare, .run = unmap_run,
	   .check = unmap_check, .clean = context_clean)

/* To close cannot fail. */
static void close_prepare(SWEEP *s)
{
	touched_prepare(s);
	munmap(s->mirror.at, SIZE);
	s->mirror.at = NULL;
}

static long close_run(SWEEP *s)
{
	if (INJECT(s, close(s->mirror.map) | close(s->mirror.ctrl)))
		fatal("a file cannot be closed");
	return 0;
}

static void close_check(SWEEP *s)
{
	WAIT_FOR(module_objects() <= s->objects);
}

static void nothing(SWEEP *s)
{
	(void)s;
}

TEST_SWEEP(close_of_both_files, .prepare = close_prepare, .run = close_run,
	   .check = close_check, .clean = nothing)

/* ---- faults ------------------------------------------------------------------------ */

/*
 * A fault has no error for want of memory: the core tries again. So it is done in
 * the end, whatever fails.
 */
static long touched(int raised)
{
	errno = EIO;
	return raised ? -1 : 0;
}

static long read_run(SWEEP *s)
{
	uint64_t seen;

	return INJECT(s, touched(touch_read(s->mirror.at, &seen)));
}

static long write_run(SWEEP *s)
{
	return INJECT(s, touched(touch_write(s->mirror.at, s->nth)));
}

/* The source has nothing there yet. */
static void absent_prepare(SWEEP *s)
{
	if (source_madvise(s->source, s->memory, s->size, MADV_DONTNEED))
		fatal("MADV_DONTNEED: %m");
	mirror_prepare(s);
}

static void advised_prepare(SWEEP *s, int advice)
{
	absent_prepare(s);
	source_fill(s->source, s->memory, s->size, SEED);
	if (madvise(s->mirror.at, s->size, advice))
		fatal("madvise: %m");
}

static void random_prepare(SWEEP *s)
{
	advised_prepare(s, MADV_RANDOM);
}

static void sequential_prepare(SWEEP *s)
{
	advised_prepare(s, MADV_SEQUENTIAL);
}

/* Another context has looked at the same 2 MiB. */
static void shared_prepare(SWEEP *s)
{
	uint64_t seen;

	s->other = mirror_open(s->source->pid, s->memory, SIZE, PROT_READ, 0);
	if (touch_read(s->other.at, &seen))
		fatal("the other context does not see it");
	mirror_prepare(s);
}

static void shared_check(SWEEP *s)
{
	mirror_is_live(s);
	if (pattern_differs(s->other.at, SIZE - PAGE_SIZE, SEED) != -1)
		fatal("the other context does not see it any more");
}

static void shared_clean(SWEEP *s)
{
	mirror_clean(s);
	mirror_close(&s->other);
}

static void resident_prepare(SWEEP *s)
{
	s->mirror = mirror_open(s->source->pid, s->memory, s->size,
				PROT_READ | PROT_WRITE, PIDFD_MEM_MAP_RESIDENT);
}

#define TEST_FAULT(what, how, do_run)                           \
	TEST_SWEEP(fault_##what, .prepare = how, .run = do_run, \
		   .check = mirror_is_live, .clean = mirror_clean)

TEST_FAULT(read, mirror_prepare, read_run)
TEST_FAULT(write, mirror_prepare, write_run)
TEST_FAULT(read_of_what_is_absent, absent_prepare, read_run)
TEST_FAULT(write_of_what_is_absent, absent_prepare, write_run)
TEST_FAULT(with_a_window_of_one_page, random_prepare, read_run)
TEST_FAULT(with_a_window_of_2_MiB, sequential_prepare, read_run)
TEST_FAULT(in_a_resident_view, resident_prepare, read_run)
TEST_SWEEP(fault_in_a_shared_block, .prepare = shared_prepare, .run = read_run,
	   .check = shared_check, .clean = shared_clean)

/* ---- faults, of huge pages ---------------------------------------------------------- */

static void huge_prepare(SWEEP *s)
{
	if (s->size == SIZE) {
		s->size = PMD_SIZE;
		s->memory = source_anon_aligned(s->source, PMD_SIZE);
		source_madvise(s->source, s->memory, PMD_SIZE, MADV_HUGEPAGE);
		source_store(s->source, s->memory, SEED);
	}
	mirror_prepare(s);
}

static void huge_absent_prepare(SWEEP *s)
{
	huge_prepare(s);
	source_madvise(s->source, s->memory, PMD_SIZE, MADV_DONTNEED);
}

TEST_FAULT(huge, huge_prepare, read_run)
TEST_FAULT(huge_write, huge_prepare, write_run)
TEST_FAULT(huge_of_what_is_absent, huge_absent_prepare, write_run)

static void hugetlb_prepare(SWEEP *s)
{
	if (s->size == SIZE) {
		if (!hugetlb_reserve(4))
			fatal("no memory for huge pages");
		s->size = PMD_SIZE;
		s->memory = source_mmap(
			s->source, 0, PMD_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		source_store(s->source, s->memory, SEED);
	}
	mirror_prepare(s);
}

static void hugetlb_absent_prepare(SWEEP *s)
{
	hugetlb_prepare(s);
	source_madvise(s->source, s->memory, PMD_SIZE, MADV_REMOVE);
}

TEST_FAULT(hugetlb, hugetlb_prepare, read_run)
TEST_FAULT(hugetlb_write, hugetlb_prepare, write_run)
TEST_FAULT(hugetlb_of_what_is_absent, hugetlb_absent_prepare, write_run)

/* ---- the first write to what entered read-only --------------------------------------- */

static void read_first(SWEEP *s)
{
	uint64_t seen;

	if (touch_read(s->mirror.at, &seen))
		fatal("it cannot be read");
}

/* The zero page, which the write replaces */
static void zero_upgrade_prepare(SWEEP *s)
{
	absent_prepare(s);
	read_first(s);
}

/* A page that the source's child has, too */
static void cow_upgrade_prepare(SWEEP *s)
{
	s->fresh = source_fork(s->source);
	touched_prepare(s);
}

static void cow_upgrade_check(SWEEP *s)
{
	if (source_load(s->fresh, s->memory) != pattern(SEED, 0))
		fatal("the child sees the write");
	mirror_is_live(s);
	source_fill(s->source, s->memory, SIZE, SEED);
}

static void cow_upgrade_clean(SWEEP *s)
{
	mirror_clean(s);
	source_end(s->fresh);
}

static void file_upgrade_prepare(SWEEP *s)
{
	int file = memfd_create("sweep", MFD_CLOEXEC);

	if (file < 0 || ftruncate(file, SIZE))
		fatal("memfd_create: %m");
	source_mmap(s->source, s->memory, SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, source_take_fd(s->source, file), 0);
	close(file);
	mirror_prepare(s);
	read_first(s);
}

static void huge_upgrade_prepare(SWEEP *s)
{
	huge_prepare(s);
	read_first(s);
}

static void hugetlb_upgrade_prepare(SWEEP *s)
{
	hugetlb_prepare(s);
	read_first(s);
}

TEST_FAULT(upgrade_of_the_zero_page, zero_upgrade_prepare, write_run)
TEST_SWEEP(fault_upgrade_with_copy_on_write, .prepare = cow_upgrade_prepare,
	   .run = write_run, .check = cow_upgrade_check,
	   .clean = cow_upgrade_clean)
TEST_FAULT(upgrade_of_a_file, file_upgrade_prepare, write_run)
TEST_FAULT(upgrade_of_a_huge_page, huge_upgrade_prepare, write_run)
TEST_FAULT(upgrade_of_hugetlb, hugetlb_upgrade_prepare, write_run)

/* ---- read, write, and what else is done with files ------------------------------------ */

static char buffer[LARGE];

/* All pages of the source are as they were at first. */
static void transfer_prepare(SWEEP *s)
{
	s->size = LARGE;
	source_fill(s->source, s->memory, LARGE, SEED);
	memset(buffer, 0, LARGE);
	only_views_prepare(s);
	if (view_add(s->mirror.ctrl, s->memory, LARGE, LARGE, 0))
		fatal("no view can be added");
}

/* What was read is right as far as it went; an early end comes of a failure. */
static long was_read(SWEEP *s, long ret, size_t size)
{
	size_t full = ret > 0 ? ret & ~(PAGE_SIZE - 1) : 0;

	if (full && pattern_differs(buffer, full, SEED) != -1)
		fatal("something else was read at failure %u", s->nth);
	if (ret >= 0 && ret != (long)size && !s->injected)
		fatal("only %ld bytes were read", ret);
	return ret < 0 ? ret : 0;
}

static long pread_run(SWEEP *s)
{
	return was_read(s, INJECT(s, pread(s->mirror.map, buffer, SIZE, LARGE)),
			SIZE);
}

static long large_pread_run(SWEEP *s)
{
	return was_read(s,
			INJECT(s, pread(s->mirror.map, buffer, LARGE, LARGE)),
			LARGE);
}

static long readv_run(SWEEP *s)
{
	struct iovec parts[] = {
		{ buffer, 100 },
		{ buffer + 100, LARGE / 2 },
		{ buffer + 100 + LARGE / 2, LARGE / 2 - 100 },
	};

	return was_read(s,
			INJECT(s, preadv2(s->mirror.map, parts, 3, LARGE, 0)),
			LARGE);
}

static void transfer_check(SWEEP *s)
{
	if (pread(s->mirror.map, buffer, LARGE, LARGE) != (ssize_t)LARGE ||
	    pattern_differs(buffer, LARGE, SEED) != -1)
		fatal("the map file does not show the source");
}

/* Where the source has to be made to fault */
static void absent_transfer_prepare(SWEEP *s)
{
	transfer_prepare(s);
	source_madvise(s->source, s->memory, LARGE, MADV_DONTNEED);
}

static void pattern_make(uint64_t seed)
{
	uint64_t *word = (uint64_t *)buffer;
	size_t i;

	for (i = 0; i < LARGE / sizeof(*word); i++)
		word[i] = pattern(seed, i * sizeof(*word) / PAGE_SIZE);
}

static long pwrite_run(SWEEP *s)
{
	size_t full;
	long ret;

	pattern_make(SEED + 1);
	ret = INJECT(s, pwrite(s->mirror.map, buffer, LARGE, LARGE));
	full = ret > 0 ? ret & ~(PAGE_SIZE - 1) : 0;
	if (ret >= 0 && ret != (long)LARGE && !s->injected)
		fatal("only %ld bytes were written", ret);
	if (full &&
	    source_pattern_differs(s->source, s->memory, full, SEED + 1) != -1)
		fatal("something else was written at failure %u", s->nth);
	return ret < 0 ? ret : 0;
}

static void pwrite_check(SWEEP *s)
{
	pattern_make(SEED + 2);
	if (pwrite(s->mirror.map, buffer, LARGE, LARGE) != (ssize_t)LARGE ||
	    source_pattern_differs(s->source, s->memory, LARGE, SEED + 2) != -1)
		fatal("the map file cannot be written");
}

static void splice_prepare(SWEEP *s)
{
	transfer_prepare(s);
	if (pipe2(s->fds, O_CLOEXEC | O_NONBLOCK))
		fatal("pipe: %m");
}

/* What is not told because the new offset cannot be is in the pipe all the same. */
static long splice_run(SWEEP *s)
{
	loff_t offset = LARGE;
	long ret;

	while (read(s->fds[0], buffer, LARGE) > 0)
		;
	ret = INJECT(s,
		     splice(s->mirror.map, &offset, s->fds[1], NULL, SIZE, 0));
	if (ret > 0 && read(s->fds[0], buffer, SIZE) != ret)
		fatal("what was spliced is not in the pipe");
	return was_read(s, ret, SIZE);
}

static void splice_clean(SWEEP *s)
{
	close(s->fds[0]);
	close(s->fds[1]);
	context_clean(s);
}

#define TEST_TRANSFER(what, how, do_run, do_check)                         \
	TEST_SWEEP(what, .prepare = how, .run = do_run, .check = do_check, \
		   .clean = context_clean)

TEST_TRANSFER(read_of_a_few_pages, transfer_prepare, pread_run, transfer_check)
TEST_TRANSFER(read_of_many_pages, transfer_prepare, large_pread_run,
	      transfer_check)
TEST_TRANSFER(read_in_parts, transfer_prepare, readv_run, transfer_check)
TEST_TRANSFER(write_of_many_pages, transfer_prepare, pwrite_run, pwrite_check)
TEST_TRANSFER(write_where_nothing_is, absent_transfer_prepare, pwrite_run,
	      pwrite_check)
TEST_SWEEP(splice_to_a_pipe, .prepare = splice_prepare, .run = splice_run,
	   .check = transfer_check, .clean = splice_clean)

/* A read of what is absent finds zeros. */
static long absent_pread_run(SWEEP *s)
{
	long ret = INJECT(s, pread(s->mirror.map, buffer, LARGE, LARGE));
	long i;

	for (i = 0; i < ret; i++)
		if (buffer[i])
			fatal("something else was read at failure %u", s->nth);
	return ret < 0 ? ret : 0;
}

TEST_TRANSFER(read_where_nothing_is, absent_transfer_prepare, absent_pread_run,
	      NULL)

static void seek_prepare(SWEEP *s)
{
	context_prepare(s);
	if (view_add(s->mirror.ctrl, s->memory, SIZE, SIZE,
		     PIDFD_MEM_MAP_RESIDENT))
		fatal("no view can be added");
}

static long seek_data_run(SWEEP *s)
{
	long ret = INJECT(s, lseek(s->mirror.map, 0, SEEK_DATA));

	if (ret >= 0 && ret != (long)SIZE)
		fatal("data is said to be at %ld", ret);
	return ret < 0 ? ret : 0;
}

static long seek_hole_run(SWEEP *s)
{
	long ret = INJECT(s, lseek(s->mirror.map, SIZE, SEEK_HOLE));

	if (ret >= 0 && ret != (long)(2 * SIZE))
		fatal("a hole is said to be at %ld", ret);
	return ret < 0 ? ret : 0;
}

TEST_TRANSFER(seek_of_data, seek_prepare, seek_data_run, NULL)
TEST_TRANSFER(seek_of_a_hole, seek_prepare, seek_hole_run, NULL)

static void fdinfo_prepare(SWEEP *s)
{
	char path[40];

	context_prepare(s);
	s->done = 0;
	if (numbered_all(s, 1, numbered_add))
		fatal("no views can be added");
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s->mirror.map);
	s->file = open(path, O_RDONLY | O_CLOEXEC);
	if (s->file < 0)
		fatal("%s: %m", path);
}

/* All of it at once, which takes a larger buffer than one page. */
static long fdinfo_run(SWEEP *s)
{
	long ret = INJECT(s, pread(s->file, buffer, LARGE, 0));

	if (ret < 0)
		return ret;
	buffer[ret] = '\0';
	if (!s->injected && !strstr(buffer, "views:\t100\n"))
		fatal("fdinfo does not tell of the views");
	return 0;
}

static void fdinfo_check(SWEEP *s)
{
	numbered_expect(s, all_of_them);
}

static void fdinfo_clean(SWEEP *s)
{
	close(s->file);
	context_clean(s);
}

TEST_SWEEP(fdinfo, .prepare = fdinfo_prepare, .run = fdinfo_run,
	   .check = fdinfo_check, .clean = fdinfo_clean)

static long poll_run(SWEEP *s)
{
	struct pollfd files[] = {
		{ .fd = s->mirror.map, .events = POLLIN },
		{ .fd = s->mirror.ctrl, .events = POLLIN },
	};
	long ret = INJECT(s, poll(files, 2, 0));

	if (ret > 0)
		fatal("the end has not come");
	return ret;
}

TEST_SWEEP(poll_of_both_files, .prepare = mirror_prepare, .run = poll_run,
	   .check = mirror_is_live, .clean = mirror_clean)

static void epoll_prepare(SWEEP *s)
{
	mirror_prepare(s);
	s->file = epoll_create1(EPOLL_CLOEXEC);
}

static long epoll_run(SWEEP *s)
{
	struct epoll_event event = { .events = EPOLLIN };

	return INJECT(s,
		      epoll_ctl(s->file, EPOLL_CTL_ADD, s->mirror.map, &event));
}

static void epoll_check(SWEEP *s)
{
	struct epoll_event event;

	if (epoll_wait(s->file, &event, 1, 0))
		fatal("the end has not come");
}

static void epoll_clean(SWEEP *s)
{
	close(s->file);
	mirror_clean(s);
}

TEST_SWEEP(epoll_of_the_map_file, .prepare = epoll_prepare, .run = epoll_run,
	   .check = epoll_check, .clean = epoll_clean)

/* ---- a debugger of the viewer ---------------------------------------------------------- */

static void debugger_prepare(SWEEP *s)
{
	absent_prepare(s);
	s->file = mem_open(getpid(), O_RDWR);
}

static long debugger_read_run(SWEEP *s)
{
	long ret =
		INJECT(s, pread(s->file, buffer, 8, (uintptr_t)s->mirror.at));

	return ret < 0 ? ret : 0;
}

static long debugger_write_run(SWEEP *s)
{
	long ret;

	memset(buffer, 1, 8);
	ret = INJECT(s, pwrite(s->file, buffer, 8, (uintptr_t)s->mirror.at));
	return ret < 0 ? ret : 0;
}

static void debugger_clean(SWEEP *s)
{
	close(s->file);
	mirror_clean(s);
}

TEST_SWEEP(debugger_reads, .prepare = debugger_prepare,
	   .run = debugger_read_run, .check = mirror_is_live,
	   .clean = debugger_clean, .error = EIO)
TEST_SWEEP(debugger_writes, .prepare = debugger_prepare,
	   .run = debugger_write_run, .check = mirror_is_live,
	   .clean = debugger_clean, .error = EIO)

/* ---- what the source does --------------------------------------------------------------- */

enum deed {
	DEED_DISCARD,
	DEED_UNMAP,
	DEED_PROTECT,
	DEED_MOVE,
	DEED_FORK,
};

struct order {
	enum deed deed;
	unsigned int nth;
	uint64_t memory;
};

static long fork_and_reap(void)
{
	long pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static long deed_do(const struct order *order)
{
	char *at = (char *)order->memory + 4 * PAGE_SIZE;

	switch (order->deed) {
	case DEED_DISCARD:
		return madvise(at, 4 * PAGE_SIZE, MADV_DONTNEED);
	case DEED_UNMAP:
		return munmap(at, 4 * PAGE_SIZE);
	case DEED_PROTECT:
		return mprotect(at, 4 * PAGE_SIZE, PROT_NONE);
	case DEED_MOVE:
		/* Where the first of what was moved is seen again */
		return mremap(at, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
			      MREMAP_MAYMOVE | MREMAP_FIXED,
			      at + 4 * PAGE_SIZE) == MAP_FAILED ?
			       -1 :
			       0;
	case DEED_FORK:
		return fork_and_reap();
	}
	return -1;
}

/* In the source: the error, and whether a failure was injected */
static long source_deed(void *arg)
{
	struct order *order = arg;
	struct order *s = order;
	bool injected;
	long ret;

	nth_arm(s->nth);
	ret = deed_do(order) ? errno : 0;
	injected = nth_disarm(s->nth);
	while (order->deed == DEED_FORK && waitpid(-1, NULL, 0) > 0)
		;
	return injected << 16 | ret;
}

static long deed_run(SWEEP *s, enum deed deed)
{
	struct order order = {
		.deed = deed,
		.nth = s->nth,
		.memory = s->memory,
	};
	long ret = source_call(s->source, source_deed, &order, sizeof(order));

	s->injected |= ret >> 16;
	return -(ret & 0xffff);
}

static void deed_prepare(SWEEP *s)
{
	source_mmap(s->source, s->memory, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	source_fill(s->source, s->memory, SIZE, SEED);
	if (!s->mirror.at)
		mirror_prepare(s);
	mirror_read(s);
}

/* Pages that are left are where the source has them; one is written there. */
static void deed_check(SWEEP *s)
{
	mirror_agrees(s);
	source_store(s->source, s->memory, s->nth);
	mirror_agrees(s);
	if (touch_write(s->mirror.at, ~s->nth))
		fatal("the mirror cannot be written");
	mirror_agrees(s);
}

#define TEST_DEED(what, deed, ...)                                   \
	static long what##_run(SWEEP *s)                             \
	{                                                            \
		return deed_run(s, deed);                            \
	}                                                            \
	TEST_SWEEP(what, .prepare = deed_prepare, .run = what##_run, \
		   .check = deed_check, .clean = nothing, __VA_ARGS__)

TEST_DEED(the_source_discards, DEED_DISCARD)
TEST_DEED(the_source_unmaps, DEED_UNMAP)
TEST_DEED(the_source_protects, DEED_PROTECT)
TEST_DEED(the_source_moves, DEED_MOVE)
TEST_DEED(the_source_forks, DEED_FORK, .error = EAGAIN)

/* ---- the module itself -------------------------------------------------------------- */

/* Where the code of a function of the kernel is, up to the next one */
static bool function_find(const char *name, struct code *code)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[256], symbol[128];
	unsigned long address;

	*code = (struct code){ 0, ULONG_MAX };
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %*c %127s", &address, symbol) != 2)
			continue;
		if (!strcmp(symbol, name))
			code->start = address;
		else if (code->start && address > code->start &&
			 address < code->end)
			code->end = address;
	}
	if (file)
		fclose(file);
	if (!code->start)
		code->end = 0;
	return code->start;
}

static void module_remove(void)
{
	WAIT_FOR(!syscall(SYS_delete_module, "remote_mapping", O_NONBLOCK));
}

static void module_prepare(SWEEP *s)
{
	char path[256] = "";
	FILE *file = fopen("/run/vm/module", "re");

	if (!file || fscanf(file, "%255s", path) != 1)
		fatal("nobody says where the module is");
	fclose(file);
	s->file = open(path, O_RDONLY | O_CLOEXEC);
	if (s->file < 0)
		fatal("%s: %m", path);
}

static long module_run(SWEEP *s)
{
	return INJECT(s, syscall(SYS_finit_module, s->file, "", 0));
}

/* No more than that: what is left of a context would let the removal wait. */
static void module_check(SWEEP *s)
{
	(void)s;
	close(device_open(O_RDWR));
}

static void module_clean(SWEEP *s)
{
	close(s->file);
	module_remove();
}

/*
 * What the core does to load any module is not ours: only what its start asks for.
 * Nor are a cache's many files in sysfs, without which the core does, too.
 */
TEST_F_TIMEOUT(sweep, module_is_loaded, 240)
{
	static const struct operation operation = {
		.name = "module_is_loaded",
		.prepare = module_prepare,
		.run = module_run,
		.check = module_check,
		.clean = module_clean,
	};
	struct code begin, files;

	if (!self->able)
		SKIP(return, "no fail-nth: a kernel without fault injection");
	if (access("/run/vm/module", R_OK) ||
	    access("/sys/kernel/debug/failslab/require-start", W_OK) ||
	    !function_find("do_one_initcall", &begin))
		SKIP(return, "no way to let only the module's start fail");
	function_find("sysfs_slab_add", &files);
	module_remove();
	nth_within(begin, files, 32);
	sweep_run(self, &operation);
	nth_within(everywhere, nowhere, 0);
	module_prepare(self);
	self->nth = 0;
	ASSERT_EQ(0, module_run(self));
	close(self->file);
	mirror_prepare(self);
	mirror_is_live(self);
}

TEST_HARNESS_MAIN
