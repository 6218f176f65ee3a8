// SPDX-License-Identifier: GPL-2.0
/*
 * Many at once, and often; and when all is over the memory is back where it was.
 */
#include "harness.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES 32UL
#define SIZE (PAGES * PAGE_SIZE)
#define SEED 1
#define MANY 256

FIXTURE(load)
{
	struct source *source;
	uint64_t memory;
};

FIXTURE_SETUP(load)
{
	struct rlimit limit = { 8 * MANY, 8 * MANY };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	source_fill(self->source, self->memory, SIZE, SEED);
}

FIXTURE_TEARDOWN(load)
{
	source_end(self->source);
}

/* ---- what is in use ---------------------------------------------------------- */

/* The module's own caches; and the general ones that its smaller structs are in,
 * others' as well.
 */
static const char *const caches[] = {
	"remote_mapping", "remote_mapping_block", "watch",
	"kmalloc-cg-96",  "kmalloc-cg-128",	  "kmalloc-cg-192",
	"kmalloc-cg-256", "kmalloc-cg-512",
};
#define OWN_CACHES 3

/*
 * What may differ afterwards without being lost to the module:
 * - of the objects in caches that all of the kernel uses, a sixteenth of what one
 *   object a viewer would come to;
 * - of the kernel's memory, slabs that are not full: after hundreds of processes
 *   what lives on (and a slab of 32 KiB stays for one object) lies scattered;
 * - of all memory, pages at hand for each processor, which count as used. A page
 *   a cycle would be many times that.
 */
#define NOISE_OBJECTS (MANY / 16)
#define NOISE_KERNEL_KIB 4096
#define NOISE_ALL_KIB 32768

struct usage {
	long objects[ARRAY_SIZE(caches)];
	long kernel_kib;
	long all_kib;
};

/* A line of /proc/meminfo, in KiB */
static long meminfo(const char *key)
{
	char name[64];
	long value, found = -1;
	FILE *file = fopen("/proc/meminfo", "re");

	if (!file)
		fatal("/proc/meminfo: %m");
	while (fscanf(file, "%63[^:]: %ld%*[^\n]\n", name, &value) == 2)
		if (!strcmp(name, key))
			found = value;
	fclose(file);
	if (found < 0)
		fatal("/proc/meminfo has no %s", key);
	return found;
}

static struct usage usage_now(void)
{
	struct usage usage;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(caches); i++)
		usage.objects[i] = slab_objects(caches[i]);
	usage.kernel_kib = meminfo("SUnreclaim") + meminfo("PageTables") +
			   meminfo("KernelStack");
	usage.all_kib = meminfo("MemTotal") - meminfo("MemFree") -
			meminfo("Buffers") - meminfo("Cached") -
			meminfo("SReclaimable");
	return usage;
}

/*
 * KASAN keeps what was freed for a while, and kmemleak notes all that is in use.
 * There it is the objects that count, and what kmemleak finds.
 */
static bool keeps_what_is_freed(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

/* Whether no more is in use than before, but for noise. */
static bool usage_is_back(const struct usage *before)
{
	struct usage now = usage_now();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(caches); i++)
		if (now.objects[i] >
		    before->objects[i] + (i < OWN_CACHES ? 0 : NOISE_OBJECTS))
			return false;
	return keeps_what_is_freed() ||
	       (now.kernel_kib <= before->kernel_kib + NOISE_KERNEL_KIB &&
		now.all_kib <= before->all_kib + NOISE_ALL_KIB);
}

static void usage_print(const char *when, const struct usage *before)
{
	struct usage now = usage_now();
	size_t i;

	printf("# %s: kernel %+ld KiB, all %+ld KiB;", when,
	       now.kernel_kib - before->kernel_kib,
	       now.all_kib - before->all_kib);
	for (i = 0; i < ARRAY_SIZE(caches); i++)
		printf(" %s %+ld", caches[i],
		       now.objects[i] - before->objects[i]);
	printf("\n");
}

/* What is idle goes after a second, what RCU guards a little later. */
static void usage_wait(const struct usage *before)
{
	struct deadline deadline = deadline_in(patience(20));

	while (!usage_is_back(before)) {
		if (deadline_passed(&deadline)) {
			usage_print("left over", before);
			fatal("memory did not come back");
		}
		deadline_nap();
	}
	usage_print("at the end", before);
}

/* What the first one of all brings about, once and for all, is there. */
static struct usage usage_before(struct source *source, uint64_t memory)
{
	struct mirror mirror = mirror_open(source->pid, memory, SIZE,
					   PROT_READ | PROT_WRITE, 0);
	uint64_t seen;

	if (touch_read(mirror.at, &seen))
		fatal("a mirror shows nothing");
	mirror_close(&mirror);
	WAIT_FOR(!slab_objects("watch"));
	return usage_now();
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* ---- many at once -------------------------------------------------------------- */

struct viewer {
	pid_t pid;
	int channel; /* a socket; the viewer's end is the other one */
};

/* An order to look: whether all pages show this seed. 0: end, as programs end. */
static void viewer_run(int channel, pid_t source, uint64_t memory)
{
	struct mirror mirror =
		mirror_open(source, memory, SIZE, PROT_READ | PROT_WRITE, 0);
	unsigned char seed, answer;

	while (read(channel, &seed, 1) == 1 && seed) {
		answer = pattern_differs(mirror.at, SIZE, seed) == -1;
		if (write(channel, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

/* It has the others' ends of sockets too: not by their closing does it end. */
static void viewer_start(struct viewer *viewer, pid_t source, uint64_t memory)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		fatal("socketpair: %m");
	viewer->pid = fork();
	if (viewer->pid < 0)
		fatal("fork: %m");
	if (!viewer->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		viewer_run(ends[1], source, memory);
	}
	close(ends[1]);
	viewer->channel = ends[0];
}

static void viewer_order(const struct viewer *viewer, unsigned char seed)
{
	if (write(viewer->channel, &seed, 1) != 1)
		fatal("a viewer takes no orders: %m");
}

static void viewer_end(struct viewer *viewer, bool by_force)
{
	if (by_force)
		kill(viewer->pid, SIGKILL);
	else
		viewer_order(viewer, 0);
	if (waitpid(viewer->pid, NULL, 0) != viewer->pid)
		fatal("waitpid: %m");
	close(viewer->channel);
}

/* All of them look, at once. */
static void viewers_expect(struct __test_metadata *_metadata,
			   const struct viewer *viewer, unsigned char seed)
{
	unsigned char answer;
	int i;

	for (i = 0; i < MANY; i++)
		viewer_order(&viewer[i], seed);
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(1, read(viewer[i].channel, &answer, 1));
		ASSERT_EQ(1, answer);
	}
}

TEST_F_TIMEOUT(load, two_hundred_and_fifty_six_viewers_of_one_source, 240)
{
	static struct viewer viewer[MANY];
	struct usage before = usage_before(self->source, self->memory);
	double begin = seconds_now(), invalidation = 0;
	int i, turn;

	for (i = 0; i < MANY; i++)
		viewer_start(&viewer[i], self->source->pid, self->memory);
	for (turn = 0; turn < 2; turn++) {
		source_fill(self->source, self->memory, SIZE, SEED + turn);
		viewers_expect(_metadata, viewer, SEED + turn);
		if (!turn)
			usage_print("all there", &before);
		/* All pages go from all of them, and others come. */
		invalidation -= seconds_now();
		ASSERT_EQ(0, source_madvise(self->source, self->memory, SIZE,
					    MADV_DONTNEED));
		invalidation += seconds_now();
	}
	for (i = 0; i < MANY; i++)
		viewer_end(&viewer[i], i % 2);
	printf("# %d viewers: %.1f s; to take %lu pages from all of them %.1f ms\n",
	       MANY, seconds_now() - begin, PAGES, invalidation / 2 * 1000);
	usage_wait(&before);
}

#define FEW (SIZE / 4)

static void source_is_seen(struct __test_metadata *_metadata,
			   struct source *source, const struct mirror *mirror,
			   uint64_t seed)
{
	source_fill(source, mirror->address, FEW, seed);
	ASSERT_EQ(-1, pattern_differs(mirror->at, FEW, seed));
	ASSERT_WRITES(seed, mirror->at + PAGE_SIZE);
	ASSERT_EQ(seed, source_load(source, mirror->address + PAGE_SIZE));
	ASSERT_EQ(0,
		  source_madvise(source, mirror->address, FEW, MADV_DONTNEED));
}

TEST_F_TIMEOUT(load, one_viewer_of_two_hundred_and_fifty_six_sources, 240)
{
	static struct source *source[MANY];
	static struct mirror mirror[MANY];
	struct usage before = usage_before(self->source, self->memory);
	double begin = seconds_now();
	int i, turn;

	for (i = 0; i < MANY; i++) {
		source[i] = source_start();
		mirror[i] = mirror_open(source[i]->pid,
					source_anon(source[i], FEW, 0), FEW,
					PROT_READ | PROT_WRITE, 0);
	}
	for (turn = 0; turn < 2; turn++)
		for (i = 0; i < MANY; i++)
			source_is_seen(_metadata, source[i], &mirror[i],
				       SEED + turn + i);
	usage_print("all there", &before);
	/* Some end first, some are closed first. */
	for (i = 0; i < MANY; i++) {
		if (i % 2)
			source_end(source[i]);
		mirror_close(&mirror[i]);
		if (i % 2 == 0)
			source_end(source[i]);
	}
	printf("# %d sources: %.1f s\n", MANY, seconds_now() - begin);
	usage_wait(&before);
}

/* ---- often -------------------------------------------------------------------- */

/*
 * As many as a thousand a second come to in a minute; where the processor is
 * emulated, at least a tenth of that, and what can be done in some seconds.
 */
#define CYCLES 60000
#define CYCLES_LEAST (CYCLES / 10)
#define CYCLES_SECONDS 8

static bool cycles_go_on(long done, double begin)
{
	return done < repeated(CYCLES_LEAST) ||
	       (done < CYCLES && seconds_now() - begin < CYCLES_SECONDS);
}

static void cycles_print(const char *what, long done, double begin)
{
	printf("# %ld times %s, %.0f a second\n", done, what,
	       done / (seconds_now() - begin));
}

TEST_F_TIMEOUT(load, mirrors_that_come_and_go_leave_nothing, 240)
{
	struct usage before = usage_before(self->source, self->memory);
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ, 0);
	double begin = seconds_now();
	long i;

	for (i = 0; cycles_go_on(i, begin); i++) {
		char *at =
			mmap(NULL, SIZE, PROT_READ, MAP_SHARED, mirror.map, 0);

		ASSERT_NE(MAP_FAILED, at);
		ASSERT_SHOWS(pattern(SEED, i % PAGES),
			     at + i % PAGES * PAGE_SIZE);
		ASSERT_EQ(0, munmap(at, SIZE));
	}
	cycles_print("mapped and unmapped", i, begin);
	mirror_close(&mirror);
	usage_wait(&before);
}

TEST_F_TIMEOUT(load, views_that_come_and_go_leave_nothing, 240)
{
	struct usage before = usage_before(self->source, self->memory);
	struct mirror mirror = mirror_open(self->source->pid, self->memory,
					   SIZE, PROT_READ, 0);
	double begin = seconds_now();
	long i;

	for (i = 0; cycles_go_on(i, begin); i++) {
		ASSERT_SHOWS(pattern(SEED, i % PAGES),
			     mirror.at + i % PAGES * PAGE_SIZE);
		ASSERT_EQ(0, view_remove(mirror.ctrl, 0, SIZE));
		ASSERT_NOT_READABLE(mirror.at + i % PAGES * PAGE_SIZE);
		ASSERT_EQ(0, view_add(mirror.ctrl, self->memory, 0, SIZE, 0));
	}
	cycles_print("a view removed and added", i, begin);
	mirror_close(&mirror);
	usage_wait(&before);
}

TEST_F_TIMEOUT(load, contexts_that_come_and_go_leave_nothing, 240)
{
	struct usage before = usage_before(self->source, self->memory);
	struct mirror mirror;
	double begin = seconds_now();
	long i;

	for (i = 0; i < repeated(CYCLES_LEAST / 2); i++) {
		mirror = mirror_open(self->source->pid, self->memory, SIZE,
				     PROT_READ, 0);
		ASSERT_SHOWS(pattern(SEED, i % PAGES),
			     mirror.at + i % PAGES * PAGE_SIZE);
		mirror_close(&mirror);
	}
	cycles_print("opened and closed", i, begin);
	usage_wait(&before);
}

TEST_HARNESS_MAIN
