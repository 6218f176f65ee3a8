// SPDX-License-Identifier: GPL-2.0
/*
 * Finds patterns in a mirror, where they are, without a copy.
 *
 * The part of a span that has data is looked through in pieces that stay in the
 * processor's cache while one pattern after the other is looked for. A match
 * belongs to the piece that it begins in, however far it reaches; so it is found
 * once. next[] has where each pattern is to go on: when memory vanishes under a
 * piece, it is looked at again up to there, and nothing is found twice.
 */
#include <errno.h>
#include <stdlib.h>

#include "progress.h"
#include "search.h"

#define PIECE (1UL << 20)
#define PAGE 4096UL

struct hunt {
	struct search *search;
	struct target *target;
	struct span *span;
	const uint8_t **next; /* one a pattern */
};

struct find {
	const struct pattern *pattern;
	const uint8_t *from, *end;
	const uint8_t *found;
};

static int find(void *argument)
{
	struct find *find = argument;

	find->found = pattern_find(find->pattern, find->from, find->end);
	return !!find->found;
}

static const uint8_t *at_most(const uint8_t *at, size_t more,
			      const uint8_t *limit)
{
	return (size_t)(limit - at) > more ? at + more : limit;
}

static bool found(struct hunt *hunt, size_t pattern, const uint8_t *at)
{
	struct search *search = hunt->search;
	struct match match = {
		.address = hunt->span->address + (size_t)(at - hunt->span->mirror),
		.length = search->patterns[pattern].length,
	};

	if (search->pattern_count > 1)
		match.pattern = search->patterns[pattern].label;
	return match_print(search, hunt->target, &match);
}

/*
 * Matches of one pattern that begin in [start, stop) and end before limit. Returns
 * NULL, or the page that is not there.
 */
static const uint8_t *pattern_search(struct hunt *hunt, size_t i,
				     const uint8_t *start, const uint8_t *stop,
				     const uint8_t *limit)
{
	const struct pattern *pattern = &hunt->search->patterns[i];
	struct find look = {
		.pattern = pattern,
		.end = at_most(stop, pattern->length - 1, limit),
	};
	void *where;

	if (hunt->next[i] < start)
		hunt->next[i] = start;
	while (hunt->next[i] < stop) {
		look.from = hunt->next[i];
		look.found = NULL;
		if (remotemap_guard(hunt->span->mirror, hunt->span->length, find,
				    &look, NULL, &where) < 0)
			return (const uint8_t *)((uintptr_t)where & -PAGE);
		hunt->next[i] = look.found ? look.found + 1 : stop;
		if (look.found && !found(hunt, i, look.found))
			return NULL;
	}
	return NULL;
}

/*
 * Looks through [from, limit), which had data a moment ago. Returns limit, or the
 * page that is gone; what is before it has been looked through.
 */
static const uint8_t *part_search(struct hunt *hunt, const uint8_t *from,
				  const uint8_t *limit)
{
	const uint8_t *stop, *gone = NULL;

	while (from < limit && !search_over(hunt->search)) {
		stop = at_most(from, PIECE, limit);
		for (size_t i = 0; !gone && i < hunt->search->pattern_count; i++)
			gone = pattern_search(hunt, i, from, stop, limit);
		if (gone) {
			limit = gone > from ? gone : from;
			gone = NULL;
			continue;
		}
		progress_add((uint64_t)(stop - from));
		from = stop;
	}
	return limit;
}

/* Where [from, to) of the map file ceased to be readable, or to */
static uint64_t range_search(struct hunt *hunt, uint64_t from, uint64_t to)
{
	const struct span *span = hunt->span;
	const uint8_t *start = span->mirror + (from - span->offset);
	const uint8_t *limit = start + (to - from);

	return to - (uint64_t)(limit - part_search(hunt, start, limit));
}

/* [from, to) was there a moment ago; from on it is not, until next. */
static void lost_add(struct target *target, uint64_t from, uint64_t to,
		     uint64_t next)
{
	target->lost_places++;
	target->lost += (next < to ? next : to) - from;
}

static int span_search(struct hunt *hunt)
{
	struct target *target = hunt->target;
	const struct span *span = hunt->span;
	uint64_t end = span->offset + span->length;
	uint64_t at = span->offset, reached = at, before = at;

	while (!search_over(hunt->search)) {
		uint64_t from = at, to;
		int more = span_data(&target->source, span, &from, &to);

		if (more < 0)
			return more;
		if (!more)
			from = end;
		if (reached < before)
			lost_add(target, reached, before, from);
		progress_add(from - at);
		if (!more)
			break;
		reached = range_search(hunt, from, to);
		before = to;
		/* It is not looked at again: it would take its time, again. */
		at = reached < to ? (reached & -PAGE) + PAGE : to;
		if (at > end)
			at = end;
	}
	return 0;
}

int bytes_search(struct search *search, struct target *target)
{
	struct hunt hunt = { .search = search, .target = target };
	int error = 0;

	hunt.next = calloc(search->pattern_count, sizeof(*hunt.next));
	if (!hunt.next)
		return -ENOMEM;
	for (size_t i = 0; !error && i < target->spans.count; i++) {
		hunt.span = &target->spans.span[i];
		error = span_map(&target->source, hunt.span);
		if (error)
			break;
		for (size_t n = 0; n < search->pattern_count; n++)
			hunt.next[n] = hunt.span->mirror;
		error = span_search(&hunt);
		span_unmap(hunt.span);
		if (search_over(search))
			break;
	}
	free(hunt.next);
	return error;
}
