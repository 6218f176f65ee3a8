// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: a source hardly notices that it is looked at; it pays for pages that
 * are in a mirror when it takes them away, and only for those.
 *
 * The source discards a part of its memory (MADV_DONTNEED) and writes to each
 * page again, and measures itself. source_idle: nobody has opened it; or there
 * is an open context whose mirror spans all of its memory and has been touched
 * everywhere but in that part. source_hot: the part too is touched again before
 * each measured round. Every discard is one call for pages_per_call pages.
 */
#include "walk.h"

#include <fcntl.h>
#include <string.h>

/* The two parts of a source's memory */
struct parts {
	u64 address;
	u64 elsewhere; /* bytes from address on that stay */
	u64 size; /* of what is discarded behind them */
};

static u64 discard_refill(u64 address, u64 size, u64 call)
{
	u64 begin = now(), part, page;

	for (part = address; part < address + size; part += call) {
		if (madvise((void *)part, call, MADV_DONTNEED))
			fatal("madvise");
		for (page = part; page < part + call; page += PAGE_SIZE)
			*(volatile u64 *)page = 1;
	}
	return now() - begin;
}

/* As it was, with its measure, so that viewers can verify what they read */
static u64 churn(u64 address, u64 size, u64 call)
{
	u64 took = discard_refill(address, size, call);

	memory_fill(address, size, 0);
	return took;
}

/* hot: a way to the part that is discarded, to touch it each time before */
static void rounds_of(struct figure *figure, const struct worker *source,
		      const struct parts *parts, u64 call,
		      const struct way *hot)
{
	u64 pages = parts->size / PAGE_SIZE, took;
	struct course course = { PAGE_SIZE, pages, false };

	for_each_round(round) {
		if (hot)
			walk_memory(hot, &course);
		took = worker_call(source, churn,
				   parts->address + parts->elsewhere,
				   parts->size, call);
		figure_add(figure, round, (double)took / pages);
	}
}

static void print(const struct figure *figure, const char *bench,
		  const char *system, u64 call)
{
	figure_print(figure, bench, system, "page", "\"pages_per_call\":%lu",
		     call / PAGE_SIZE);
}

/* Everything but the part that the source discards is in the mirror. */
static void watch(const struct worker *source, const struct parts *parts,
		  struct mirror *mirror)
{
	struct way way = {
		.system = "mirror",
		.size = parts->elsewhere,
	};
	struct course course = { PAGE_SIZE, way.size / PAGE_SIZE, false };

	mirror_open(mirror, source->pid, parts->address,
		    parts->elsewhere + parts->size, PROT_READ, MADV_NORMAL);
	way.memory = mirror->at;
	walk_memory(&way, &course);
}

static void measure(const struct parts *sizes, u64 call)
{
	struct figure without = {}, idle = {}, hot = {};
	struct parts parts = *sizes;
	struct mirror mirror;
	struct worker source;
	struct way way;
	u64 hits;

	worker_start(&source);
	parts.address = worker_call(&source, memory_make, MEMORY_ANONYMOUS,
				    parts.elsewhere + parts.size, -1);
	worker_call(&source, memory_fill, parts.address + parts.elsewhere,
		    parts.size, 0);
	rounds_of(&without, &source, &parts, call, NULL);

	watch(&source, &parts, &mirror);
	rounds_of(&idle, &source, &parts, call, NULL);
	hits = counter(mirror.map, "invalidations_hit");
	if (hits)
		fatal("%lu pages were taken from a mirror without them", hits);

	way = (struct way){
		.system = "mirror",
		.size = parts.size,
		.memory = mirror.at + parts.elsewhere,
	};
	rounds_of(&hot, &source, &parts, call, &way);
	if (counter(mirror.map, "invalidations_hit") <
	    (hot.nr + 1) * (parts.size / call))
		fatal("not all discarded pages were in the mirror");
	print(&without, "source_idle", "none", call);
	print(&idle, "source_idle", "mirror", call);
	print(&without, "source_hot", "none", call);
	print(&hot, "source_hot", "mirror", call);
	mirror_close(&mirror);
	worker_end(&source);
}

int main(int argc, char **argv)
{
	static const u64 calls[] = { 1, 16, 512, 4096 };
	struct parts sizes = {};

	bench_start(argc, argv);
	sizes.elsewhere = checking ? MIB : 256 * MIB;
	sizes.size = 16 * MIB;
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		measure(&sizes, calls[i] * PAGE_SIZE);
}
