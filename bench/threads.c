// SPDX-License-Identifier: GPL-2.0
/*
 * No claim: how faults of several threads go together, and how they fare with a
 * source that changes its mappings all the time.
 *
 * threads: 1, 2 and 4 threads, each on its own processor, touch a new mapping,
 * each a part of its own (different) or all the same pages (same): the time
 * until the last is done, by the pages that one touched. lock_writers: one
 * thread touches, while threads of the source map and unmap a page without
 * pause; the faults that had to wait are in "retries".
 */
#include "walk.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

static pthread_barrier_t barrier;

struct toucher {
	pthread_t thread;
	unsigned int processor;
	const volatile char *memory;
	u64 first; /* the word there */
	u64 pages;
	u64 begin;
	u64 end;
};

static void *touch(void *data)
{
	struct toucher *toucher = data;
	u64 i, k, bad = 0;

	pin_to(toucher->processor);
	pthread_barrier_wait(&barrier);
	toucher->begin = now();
	for (i = 0; i < toucher->pages; i++) {
		k = i * PAGE_SIZE / 8;
		bad |= ((const volatile u64 *)toucher->memory)[k] ^
		       WORD(toucher->first + k);
	}
	toucher->end = now();
	if (bad)
		fatal("a wrong value was read");
	return NULL;
}

/* What it took from the first one's begin to the last one's end, by the pages of
 * one thread
 */
static double touch_all(char *memory, u64 size, unsigned int nr, bool same)
{
	u64 part = same ? size : size / nr, begin = UINT64_MAX, end = 0;
	struct toucher toucher[THREADS];
	unsigned int i;

	must(!pthread_barrier_init(&barrier, NULL, nr));
	for (i = 0; i < nr; i++) {
		toucher[i] = (struct toucher){
			.processor = i,
			.memory = memory + (same ? 0 : i * part),
			.first = same ? 0 : i * part / 8,
			.pages = part / PAGE_SIZE,
		};
		must(!pthread_create(&toucher[i].thread, NULL, touch,
				     &toucher[i]));
	}
	for (i = 0; i < nr; i++) {
		must(!pthread_join(toucher[i].thread, NULL));
		begin = toucher[i].begin < begin ? toucher[i].begin : begin;
		end = toucher[i].end > end ? toucher[i].end : end;
	}
	pthread_barrier_destroy(&barrier);
	return (double)(end - begin) / (part / PAGE_SIZE);
}

static void measure_threads(const struct way *way, int memfd, unsigned int nr,
			    bool same)
{
	struct figure mirrors = {}, memfds = {};
	struct mirror mirror;
	char *memory;

	for_each_round(round) {
		mirror_open(&mirror, way->pid, way->address, way->size,
			    PROT_READ, MADV_NORMAL);
		figure_add(&mirrors, round,
			   touch_all(mirror.at, way->size, nr, same));
		mirror_close(&mirror);
		memory = mmap(NULL, way->size, PROT_READ, MAP_SHARED, memfd, 0);
		must(memory != MAP_FAILED);
		figure_add(&memfds, round,
			   touch_all(memory, way->size, nr, same));
		munmap(memory, way->size);
	}
	figure_print(&mirrors, "threads", "mirror", "page",
		     "\"threads\":%u,\"ranges\":\"%s\"", nr,
		     same ? "same" : "different");
	figure_print(&memfds, "threads", "memfd", "page",
		     "\"threads\":%u,\"ranges\":\"%s\"", nr,
		     same ? "same" : "different");
}

/* ---- a restless source ------------------------------------------------------- */

static bool writing;
static pthread_t writer[THREADS];

static void *write_lock(void *unused)
{
	(void)unused;
	while (__atomic_load_n(&writing, __ATOMIC_RELAXED)) {
		void *at = mmap(NULL, PAGE_SIZE, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		must(at != MAP_FAILED);
		must(!munmap(at, PAGE_SIZE));
	}
	return NULL;
}

static u64 writers_start(u64 nr, u64 unused, u64 unused_too)
{
	(void)unused;
	(void)unused_too;
	__atomic_store_n(&writing, true, __ATOMIC_RELAXED);
	for (u64 i = 0; i < nr; i++)
		must(!pthread_create(&writer[i], NULL, write_lock, NULL));
	return 0;
}

static u64 writers_stop(u64 nr, u64 unused, u64 unused_too)
{
	(void)unused;
	(void)unused_too;
	__atomic_store_n(&writing, false, __ATOMIC_RELAXED);
	for (u64 i = 0; i < nr; i++)
		must(!pthread_join(writer[i], NULL));
	return 0;
}

static void measure_writers(const struct worker *source, struct way *way,
			    unsigned int nr)
{
	struct course course = { PAGE_SIZE, way->size / PAGE_SIZE, false };
	struct figure mirrors = {}, calls = {};
	struct mirror mirror;
	u64 retries = 0, faults = 0;

	worker_call(source, writers_start, nr, 0, 0);
	for_each_round(round) {
		mirror_open(&mirror, way->pid, way->address, way->size,
			    PROT_READ, MADV_NORMAL);
		way->system = "mirror";
		way->memory = mirror.at;
		figure_add(&mirrors, round,
			   (double)walk_memory(way, &course) / course.visits);
		retries = counter(mirror.map, "retries");
		faults = counter(mirror.map, "faults");
		mirror_close(&mirror);
		way->system = peers[0].system;
		figure_add(&calls, round,
			   (double)peers[0].walk(way, &course) / course.visits);
	}
	worker_call(source, writers_stop, nr, 0, 0);
	figure_print(&mirrors, "lock_writers", "mirror", "page",
		     "\"writers\":%u,\"faults\":%lu,\"retries\":%lu", nr,
		     faults, retries);
	figure_print(&calls, "lock_writers", peers[0].system, "page",
		     "\"writers\":%u", nr);
}

int main(int argc, char **argv)
{
	unsigned int processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct worker source;
	struct way way = {};
	int memfd;

	bench_start(argc, argv);
	way.size = checking ? 4 * MIB : 128 * MIB;
	memfd = memory_file(way.size, 0);
	worker_start(&source);
	way.pid = source.pid;
	worker_call(&source, memory_make, MEMORY_FILE, way.size, memfd);
	way.address = worker_call(&source, memory_make, MEMORY_ANONYMOUS,
				  way.size, -1);
	for (unsigned int nr = 1; nr <= processors && nr <= THREADS; nr *= 2) {
		measure_threads(&way, memfd, nr, false);
		measure_threads(&way, memfd, nr, true);
	}
	for (unsigned int nr = 0; nr < processors && nr <= 2; nr++)
		measure_writers(&source, &way, nr);
	worker_end(&source);
}
