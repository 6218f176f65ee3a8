// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: taking away a page costs the source an amount for each viewer that has
 * it in a mirror, and nothing for those that do not.
 *
 * 1, 8 and 64 viewers, each a process, map the source's memory: through one map
 * file (shared), or each through a context of its own (own). All of them, one or
 * none have touched the page that the source discards. The source measures its
 * call. "none" is a source that nobody has opened.
 */
#include "walk.h"

#include <stdio.h>
#include <unistd.h>

#define VIEWERS 64
#define SIZE MIB
/* So many discards of a page are one figure's value. */
#define SAMPLES 8

static struct mirror mirror; /* in each viewer: its own */

static u64 viewer_map(u64 pid, u64 address, u64 shared_map)
{
	if (!shared_map) {
		mirror_open(&mirror, pid, address, SIZE, PROT_READ,
			    MADV_RANDOM);
		return 0;
	}
	mirror.size = SIZE;
	mirror.map = shared_map;
	mirror.at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, shared_map, 0);
	must(mirror.at != MAP_FAILED);
	must(!madvise(mirror.at, SIZE, MADV_RANDOM));
	return 0;
}

static u64 viewer_touch(u64 page, u64 unused, u64 unused_too)
{
	(void)unused;
	(void)unused_too;
	if (*(const volatile u64 *)(mirror.at + page * PAGE_SIZE) !=
	    WORD(page * PAGE_SIZE / 8))
		fatal("a wrong value was read");
	return 0;
}

/* Returns what the discard alone took. */
static u64 discard(u64 address, u64 page, u64 unused)
{
	char *at = (char *)address + page * PAGE_SIZE;
	u64 begin = now();

	(void)unused;
	must(!madvise(at, PAGE_SIZE, MADV_DONTNEED));
	begin = now() - begin;
	memory_fill((u64)at, PAGE_SIZE, page * PAGE_SIZE / 8);
	return begin;
}

/* have: how many of the viewers have the page */
static void measure(const struct worker *source, u64 address,
		    const struct worker *viewer, unsigned int nr,
		    unsigned int have, const char *contexts)
{
	struct figure figure = {};
	unsigned int i, page;
	u64 took;

	for_each_round(round) {
		took = 0;
		for (page = 0; page < SAMPLES; page++) {
			for (i = 0; i < have; i++)
				worker_call(&viewer[i], viewer_touch, page, 0,
					    0);
			took += worker_call(source, discard, address, page, 0);
		}
		figure_add(&figure, round, (double)took / SAMPLES);
	}
	figure_print(&figure, "viewers", nr ? "mirror" : "none", "page",
		     "\"viewers\":%u,\"have\":%u,\"contexts\":\"%s\"", nr, have,
		     contexts);
}

static void measure_viewers(unsigned int nr, bool shared)
{
	const char *contexts = shared ? "shared" : "own";
	struct worker source, viewer[VIEWERS];
	int ctrl = -1, map = 0;
	unsigned int i;
	u64 address;

	worker_start(&source);
	address = worker_call(&source, memory_make, MEMORY_ANONYMOUS, SIZE, -1);
	if (shared && nr) {
		context_open(source.pid, &ctrl, &map);
		must(!view_add(ctrl, address, 0, SIZE));
	}
	for (i = 0; i < nr; i++) {
		worker_start(&viewer[i]);
		worker_call(&viewer[i], viewer_map, source.pid, address, map);
		/* Another page, so that each has a page table there */
		worker_call(&viewer[i], viewer_touch, SAMPLES, 0, 0);
	}
	measure(&source, address, viewer, nr, 0, contexts);
	if (nr > 1)
		measure(&source, address, viewer, nr, 1, contexts);
	if (nr)
		measure(&source, address, viewer, nr, nr, contexts);
	for (i = 0; i < nr; i++)
		worker_end(&viewer[i]);
	if (map) {
		close(map);
		close(ctrl);
	}
	worker_end(&source);
}

int main(int argc, char **argv)
{
	static const unsigned int numbers[] = { 1, 8, 64 };

	bench_start(argc, argv);
	measure_viewers(0, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		measure_viewers(numbers[i], true);
		measure_viewers(numbers[i], false);
	}
}
