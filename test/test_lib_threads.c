// SPDX-License-Identifier: GPL-2.0
/*
 * libremotemap: any number of threads may make any calls at the same time, with
 * the same handle, while views come and go and the source changes its memory
 * and ends.
 */
#include "common.h"

#include <pthread.h>
#include <sys/socket.h>

#include "harness.h"
#include "library.h"

#define PAGES 32UL
#define SIZE (PAGES * PAGE_SIZE)
#define THREADS 8

/* The view at 0 stays, the one at MOVING comes and goes. */
#define MOVING (64 * PAGE_SIZE)

struct shared {
	struct remotemap *handle;
	pid_t pid;
	uint64_t memory;
	int pair[2];
	bool stop;
	bool ended; /* then all may fail with ESRCH */
};

struct worker {
	pthread_t thread;
	struct shared *shared;
	const char *wrong;
	unsigned long rounds;
};

#define MUST(condition)                                                      \
	do {                                                                 \
		if (!(condition) && !__atomic_load_n(&worker->shared->ended, \
						     __ATOMIC_ACQUIRE))      \
			worker->wrong = #condition;                          \
	} while (0)

static bool stopped(const struct worker *worker)
{
	return worker->wrong ||
	       __atomic_load_n(&worker->shared->stop, __ATOMIC_ACQUIRE);
}

/* ---- what each does ------------------------------------------------------ */

/* The first word of page n of the source is n, the rest does not matter. */
static void copy_round(struct worker *worker, uint64_t *buffer)
{
	struct remotemap *handle = worker->shared->handle;
	size_t page;
	ssize_t n;

	MUST(remotemap_read(handle, buffer, SIZE, 0) == SIZE);
	for (page = 0; page < PAGES; page++)
		MUST(buffer[page * PAGE_SIZE / 8] == page);
	MUST(remotemap_write(handle, buffer + 1, 8, 8) == 8);
	n = remotemap_read(handle, buffer, 8, MOVING);
	/* It goes away before the call, or in the middle of it. */
	MUST(n == 8 || n == 0 || n == -EFAULT);
	MUST(remotemap_next_data(handle, 5) == 5);
	MUST(remotemap_next_hole(handle, 0) == SIZE);
}

static void map_round(struct worker *worker, uint64_t *buffer)
{
	struct remotemap_map_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_MAP_WRITE | REMOTEMAP_MAP_POPULATE,
	};
	const void *at;
	void *mirror;
	uint64_t three = 3;
	int err;

	err = remotemap_map(worker->shared->handle, 0, SIZE, &options, &mirror);
	MUST(!err);
	if (err)
		return;
	MUST(remotemap_guard_copy(buffer, mirror, SIZE) == SIZE);
	MUST(buffer[5 * PAGE_SIZE / 8] == 5);
	MUST(remotemap_guard_find(mirror, SIZE, &three, 8, &at) == 1);
	MUST(!remotemap_unmap(mirror, SIZE));
	/* All of both views and the gap between them */
	options.flags = 0;
	if (remotemap_map(worker->shared->handle, 0, MOVING + SIZE, &options,
			  &mirror))
		return;
	MUST(remotemap_guard_copy(buffer, mirror, MOVING) == SIZE);
	MUST(remotemap_guard_copy(buffer, (char *)mirror + MOVING, 8) <= 8);
	remotemap_unmap(mirror, MOVING + SIZE);
}

static void ask_round(struct worker *worker, uint64_t *buffer)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct remotemap_region *regions;
	struct remotemap_view *views = NULL;
	ssize_t count;

	(void)buffer;
	MUST(!remotemap_stat(worker->shared->handle, &stat));
	MUST(stat.views == 1 || stat.views == 2);
	MUST(remotemap_pid(worker->shared->handle) == worker->shared->pid);
	count = remotemap_views(worker->shared->handle, &views);
	MUST(count == 1 || count == 2);
	MUST(count >= 1 && views[0].address == worker->shared->memory);
	free(views);
	count = remotemap_regions_brief(worker->shared->pid, &regions);
	MUST(count > 5);
	if (count >= 0)
		remotemap_regions_free(regions, count);
	MUST(remotemap_stat_fd(getpid(),
			       remotemap_ctrl_fd(worker->shared->handle),
			       &stat) == 2);
	MUST(remotemap_wait(worker->shared->handle, 0) == 0);
}

static void hand_round(struct worker *worker, uint64_t *buffer)
{
	struct remotemap *other;

	MUST(!remotemap_send(worker->shared->pair[0], worker->shared->handle));
	MUST(!remotemap_receive(worker->shared->pair[1], &other));
	MUST(remotemap_read(other, buffer, 8, PAGE_SIZE) == 8);
	MUST(buffer[0] == 1);
	remotemap_close(other);
	if (remotemap_open_pid(worker->shared->pid, NULL, &other)) {
		MUST(false);
		return;
	}
	MUST(!remotemap_add(other, 0, worker->shared->memory, SIZE, 0));
	remotemap_close(other);
}

typedef void round_function(struct worker *worker, uint64_t *buffer);

static void *work(void *argument)
{
	static round_function *const rounds[] = { copy_round, map_round,
						  ask_round, hand_round };
	struct worker *worker = argument;
	uint64_t *buffer = malloc(MOVING + SIZE);

	while (!stopped(worker)) {
		rounds[worker->rounds % 4](worker, buffer);
		__atomic_add_fetch(&worker->rounds, 1, __ATOMIC_RELEASE);
	}
	free(buffer);
	return NULL;
}

/* ---- the test ------------------------------------------------------------ */

static unsigned long least_rounds(struct worker *workers)
{
	unsigned long least = ~0UL;
	size_t i;

	for (i = 0; i < THREADS; i++) {
		unsigned long rounds =
			__atomic_load_n(&workers[i].rounds, __ATOMIC_ACQUIRE);

		if (workers[i].wrong)
			fatal("a thread: %s", workers[i].wrong);
		if (rounds < least)
			least = rounds;
	}
	return least;
}

TEST(calls_of_many_threads)
{
	struct source *source = source_start();
	struct worker workers[THREADS];
	struct shared shared = { .pid = source->pid };
	int before = open_files();
	size_t i;

	shared.memory = source_anon(source, SIZE, 0);
	for (i = 0; i < PAGES; i++)
		source_store(source, shared.memory + i * PAGE_SIZE, i);
	shared.handle =
		handle_of(source->pid, shared.memory, SIZE, REMOTEMAP_WRITE, 0);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, shared.pair));
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .shared = &shared };
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, work,
					    &workers[i]));
	}
	/* Views come and go, pages of the source go away and come back. */
	while (least_rounds(workers) < (unsigned long)repeated(40)) {
		ASSERT_EQ(0, remotemap_add(shared.handle, MOVING, shared.memory,
					   SIZE, PIDFD_MEM_MAP_RESIDENT));
		source_mprotect(source, shared.memory + PAGE_SIZE,
				SIZE - PAGE_SIZE, PROT_READ);
		source_mprotect(source, shared.memory + PAGE_SIZE,
				SIZE - PAGE_SIZE, PROT_READ | PROT_WRITE);
		ASSERT_EQ(0, remotemap_remove(shared.handle, MOVING, SIZE));
	}
	/* The end comes in the middle of it. */
	__atomic_store_n(&shared.ended, true, __ATOMIC_RELEASE);
	source_kill(source);
	usleep(10000);
	__atomic_store_n(&shared.stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i].thread, NULL));
		EXPECT_EQ(NULL, workers[i].wrong)
		TH_LOG("%s", workers[i].wrong);
	}
	remotemap_close(shared.handle);
	close(shared.pair[0]);
	close(shared.pair[1]);
	/* The source's own channel is open still. */
	EXPECT_EQ(before, open_files());
	source_end(source);
}

TEST_HARNESS_MAIN
