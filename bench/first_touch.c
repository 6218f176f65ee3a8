// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: the first touch of a source's page costs less than that of a page of a
 * shared memfd; every later one costs the same.
 *
 * What a page costs: a new mapping of memory that its owner has filled is read
 * once a page (first_touch_*), then again (hot). The memfd is in the page cache
 * and in its owner's page tables, and the kernel maps 64 KiB of it a fault as
 * it always does. The peers that copy read eight bytes of each page.
 */
#include "walk.h"

#include <unistd.h>

/* One row of results. */
struct row {
	const char *bench;
	enum memory_kind kind;
	const char *memory;
	unsigned int memfd_flags; /* of the peer, and of a MEMORY_FILE source */
	int advice;
	bool random;
};

static const struct row rows[] = {
	{ "first_touch_4k", MEMORY_ANONYMOUS, "anonymous", 0, MADV_NORMAL,
	  false },
	{ "first_touch_4k", MEMORY_FILE, "memfd", 0, MADV_NORMAL, false },
	{ "first_touch_4k_sequential", MEMORY_ANONYMOUS, "anonymous", 0,
	  MADV_SEQUENTIAL, false },
	{ "first_touch_4k_random", MEMORY_ANONYMOUS, "anonymous", 0,
	  MADV_RANDOM, true },
	{ "first_touch_2m", MEMORY_HUGE, "anonymous 2 MiB", MFD_HUGETLB,
	  MADV_NORMAL, false },
};

static void print(const struct figure *figure, const struct row *row,
		  const char *bench, const char *system)
{
	figure_print(figure, bench, system, "page", "\"memory\":\"%s\"",
		     row->memory);
}

/* Map, walk, walk again, unmap: a new context each time. */
static void measure_mirror(const struct row *row, struct way *way)
{
	struct figure first = {}, again = {}, end = {};
	u64 pages = way->size / PAGE_SIZE, begin, huge = 0, faults = 0;
	struct course course = { PAGE_SIZE, pages, row->random };
	struct mirror mirror;

	way->system = "mirror";
	for_each_round(round) {
		mirror_open(&mirror, way->pid, way->address, way->size,
			    PROT_READ, row->advice);
		way->memory = mirror.at;
		figure_add(&first, round,
			   (double)walk_memory(way, &course) / pages);
		figure_add(&again, round,
			   (double)walk_memory(way, &course) / pages);
		faults = counter(mirror.map, "faults");
		huge = counter(mirror.map, "huge_pages_mapped");
		begin = now();
		mirror_unmap(&mirror);
		figure_add(&end, round, (double)(now() - begin) / pages);
		mirror_close(&mirror);
	}
	if (row->kind == MEMORY_HUGE && huge != way->size / PMD_SIZE)
		fatal("%lu huge pages entered the mirror", huge);
	figure_print(&first, row->bench, way->system, "page",
		     "\"memory\":\"%s\",\"pages_per_fault\":%.1f", row->memory,
		     (double)pages / faults);
	if (row->advice == MADV_NORMAL) {
		print(&again, row, "hot", way->system);
		print(&end, row, "unmap", way->system);
	}
}

static void measure_memfd(const struct row *row, struct way *way, int fd)
{
	struct figure first = {}, again = {}, end = {};
	u64 pages = way->size / PAGE_SIZE, begin;
	struct course course = { PAGE_SIZE, pages, row->random };

	way->system = "memfd";
	for_each_round(round) {
		way->memory =
			mmap(NULL, way->size, PROT_READ, MAP_SHARED, fd, 0);
		must(way->memory != MAP_FAILED);
		must(!madvise(way->memory, way->size, row->advice));
		figure_add(&first, round,
			   (double)walk_memory(way, &course) / pages);
		figure_add(&again, round,
			   (double)walk_memory(way, &course) / pages);
		begin = now();
		munmap(way->memory, way->size);
		figure_add(&end, round, (double)(now() - begin) / pages);
	}
	print(&first, row, row->bench, way->system);
	if (row->advice == MADV_NORMAL) {
		print(&again, row, "hot", way->system);
		print(&end, row, "unmap", way->system);
	}
}

static void measure_peer(const struct row *row, struct way *way,
			 const struct peer *peer)
{
	u64 pages = way->size / PAGE_SIZE / (checking ? 1 : 16);
	struct course course = { PAGE_SIZE, pages, row->random };
	struct figure figure = {};

	way->system = peer->system;
	peer->begin(way);
	for_each_round(round) figure_add(
		&figure, round, (double)peer->walk(way, &course) / pages);
	peer->end(way);
	print(&figure, row, row->bench, way->system);
}

static void measure(const struct row *row, u64 size)
{
	struct way way = { .size = size };
	int fd = memory_file(size, row->memfd_flags);
	struct worker source;

	worker_start(&source);
	way.pid = source.pid;
	/* The memfd's owner is the source too. */
	way.address = worker_call(&source, memory_make, MEMORY_FILE, size, fd);
	measure_memfd(row, &way, fd);
	if (row->kind != MEMORY_FILE) {
		worker_call(&source, memory_free, way.address, size, 0);
		close(fd);
		worker_end(&source);
		worker_start(&source);
		way.pid = source.pid;
		way.address =
			worker_call(&source, memory_make, row->kind, size, -1);
	}
	measure_mirror(row, &way);
	for_each_peer(peer) measure_peer(row, &way, peer);
	worker_end(&source);
	if (row->kind == MEMORY_FILE)
		close(fd);
}

int main(int argc, char **argv)
{
	u64 size;

	bench_start(argc, argv);
	size = checking ? 8 * MIB : 256 * MIB;
	huge_pages_reserve(size / PMD_SIZE);
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		measure(&rows[i], size);
}
