// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: what a view costs does not depend on how many there are.
 *
 * A context gets 1 to 100,000 views of a page each, at places of the source and
 * of the map file that run against each other. Measured are adding one more,
 * removing it, and the fault of a page in a view that has been touched before
 * (fault) and in one that has not (first_fault). The page tables are there.
 */
#include "bench.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* So many operations are one figure's value. */
#define SAMPLES 256

struct context {
	int ctrl;
	int map;
	u64 address; /* of the source's page 0 */
	u64 pages; /* of the source: more than there are views */
	u64 views;
};

/* View i: the source's pages from below, the map file's from above */
static u64 view_offset(const struct context *context, u64 i)
{
	return (2 * context->pages - 2 * i) * PAGE_SIZE;
}

static void add(const struct context *context, u64 i)
{
	must(!view_add(context->ctrl, context->address + i * PAGE_SIZE,
		       view_offset(context, i), PAGE_SIZE));
}

static void remove_(const struct context *context, u64 i)
{
	struct pidfd_mem_unmap view = {
		.offset = view_offset(context, i),
		.size = PAGE_SIZE,
	};

	must(!ioctl(context->ctrl, PIDFD_MEM_UNMAP, &view));
}

/*
 * Map one page each of the given views and touch them: what the touches took.
 * Between two mirrors a page of other memory, touched before, so that no
 * mirrors become one mapping and the page table is there.
 */
static u64 touch(const struct context *context, const u64 *view,
		 unsigned int nr)
{
	u64 size = 2 * SAMPLES * PAGE_SIZE, begin, sum = 0, expected = 0;
	unsigned int i;
	char *at;

	at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(at != MAP_FAILED);
	for (i = 0; i < nr; i++) {
		must(mmap(at + 2 * i * PAGE_SIZE, PAGE_SIZE, PROT_READ,
			  MAP_SHARED | MAP_FIXED, context->map,
			  view_offset(context, view[i])) != MAP_FAILED);
		expected += WORD(view[i] * PAGE_SIZE / 8);
	}
	begin = now();
	for (i = 0; i < nr; i++)
		sum += *(const volatile u64 *)(at + 2 * i * PAGE_SIZE);
	begin = now() - begin;
	if (sum != expected)
		fatal("a wrong value was read");
	munmap(at, size);
	return begin;
}

/* Views that lie far apart; with fewer views than samples, some more often */
static void choose(const struct context *context, u64 *view)
{
	for (unsigned int i = 0; i < SAMPLES; i++)
		view[i] = i * 0x9e3779b1UL % context->views;
}

static void measure(const struct context *context)
{
	struct figure add_one = {}, remove_one = {}, fault = {}, first = {};
	u64 view[SAMPLES], took, begin, i;

	for_each_round(round) {
		choose(context, view);
		touch(context, view, SAMPLES);
		rest();
		took = touch(context, view, SAMPLES);
		figure_add(&fault, round, (double)took / SAMPLES);

		rest();
		begin = now();
		for (i = context->views; i < context->views + SAMPLES; i++)
			add(context, i);
		figure_add(&add_one, round, (double)(now() - begin) / SAMPLES);
		for (i = 0; i < SAMPLES; i++)
			view[i] = context->views + i;
		rest();
		took = touch(context, view, SAMPLES);
		figure_add(&first, round, (double)took / SAMPLES);
		rest();
		begin = now();
		for (i = context->views; i < context->views + SAMPLES; i++)
			remove_(context, i);
		figure_add(&remove_one, round,
			   (double)(now() - begin) / SAMPLES);
	}
#define PRINT(figure, bench)                                           \
	figure_print(figure, bench, "mirror", "view", "\"views\":%lu", \
		     context->views)
	PRINT(&fault, "views_fault");
	PRINT(&first, "views_first_fault");
	PRINT(&add_one, "views_add");
	PRINT(&remove_one, "views_remove");
}

int main(int argc, char **argv)
{
	static const u64 numbers[] = { 1, 100, 10000, 100000 };
	struct context context = {};
	struct worker source;

	bench_start(argc, argv);
	context.pages = (checking ? 1000 : 100000) + SAMPLES;
	worker_start(&source);
	context.address = worker_call(&source, memory_make, MEMORY_ANONYMOUS,
				      context.pages * PAGE_SIZE, -1);
	context_open(source.pid, &context.ctrl, &context.map);
	for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (numbers[i] + SAMPLES > context.pages)
			break;
		for (; context.views < numbers[i]; context.views++)
			add(&context, context.views);
		measure(&context);
	}
	close(context.map);
	close(context.ctrl);
	worker_end(&source);
}
