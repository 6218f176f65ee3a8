// SPDX-License-Identifier: GPL-2.0
/*
 * See plan.h. What is resident, the map file knows (SEEK_DATA). Of what is not,
 * /proc/PID/pagemap tells whether it is in swap, on its way to another place, or
 * was never touched; where nobody else's memory can be behind it, the last is
 * zeros.
 */
#include "plan.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bits of an entry of /proc/PID/pagemap */
#define PAGE_PRESENT (1ULL << 63)
#define PAGE_SWAPPED (1ULL << 62)

enum whole { WHOLE_NONE, WHOLE_HEADER, WHOLE_ALL };

/* ---- which regions ---------------------------------------------------------- */

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), size = strlen(end);

	return length >= size && !strcmp(text + length - size, end);
}

/* Mapped from a file that has no name any more, as all memory is that processes
 * share without a file
 */
static bool is_nameless(const struct remotemap_region *region)
{
	return ends_in(region->name, " (deleted)");
}

/* Does the file begin like one of ELF? */
static bool has_elf_header(const struct plan *plan,
			   const struct remotemap_region *region)
{
	uint64_t at = region->start;
	char magic[SELFMAG];

	if (region->offset)
		return false;
	if (plan->options.resident)
		at += PLAN_RESIDENT;
	return remotemap_read(plan->handle, magic, SELFMAG, at) == SELFMAG &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

static enum whole file_whole(const struct plan *plan,
			     const struct remotemap_region *region)
{
	unsigned int filter = plan->options.filter;

	if (region->flags & REMOTEMAP_REGION_SHARED)
		filter &= is_nameless(region) ? FILTER_SHARED_ANONYMOUS :
						FILTER_SHARED_FILE;
	else if (region->flags & REMOTEMAP_REGION_MODIFIED)
		filter &= FILTER_FILE | FILTER_ANONYMOUS;
	else
		filter &= FILTER_FILE | FILTER_ELF_HEADERS;
	if (filter == FILTER_ELF_HEADERS)
		return has_elf_header(plan, region) ? WHOLE_HEADER : WHOLE_NONE;
	return filter ? WHOLE_ALL : WHOLE_NONE;
}

/* As the kernel decides it for a core of its own */
static enum whole region_whole(const struct plan *plan,
			       const struct remotemap_region *region)
{
	unsigned int filter = plan->options.filter;
	bool shared = region->flags & REMOTEMAP_REGION_SHARED;

	if (!(region->flags & REMOTEMAP_REGION_SHOWN))
		return WHOLE_NONE;
	/* The vdso: its symbols are nowhere else. */
	if (plan->options.all || region->kind == REMOTEMAP_SPECIAL)
		return WHOLE_ALL;
	if (region->flags & REMOTEMAP_REGION_DONTDUMP)
		return WHOLE_NONE;
	if (region->kind == REMOTEMAP_HUGETLB)
		filter &= shared ? FILTER_SHARED_HUGETLB : FILTER_HUGETLB;
	else if (region->inode)
		return file_whole(plan, region);
	else
		filter &= FILTER_ANONYMOUS;
	return filter ? WHOLE_ALL : WHOLE_NONE;
}

/* Is what was never touched there zeros, and nothing else? */
static bool is_zeros(const struct remotemap_region *region)
{
	if (region->flags & REMOTEMAP_REGION_SHARED)
		return false;
	if (region->kind == REMOTEMAP_HUGETLB)
		return is_nameless(region);
	return !region->inode && region->kind != REMOTEMAP_SPECIAL;
}

/* ---- which bytes ------------------------------------------------------------ */

/* A region that is being looked at; a segment of it may have been begun. */
struct walk {
	struct plan *plan;
	const struct remotemap_region *region;
	uint64_t shift; /* from its addresses to those of pagemap */
	struct core_segment segment;
};

static uint32_t segment_rights(const struct remotemap_region *region)
{
	return (region->flags & REMOTEMAP_REGION_READ ? PF_R : 0) |
	       (region->flags & REMOTEMAP_REGION_WRITE ? PF_W : 0) |
	       (region->flags & REMOTEMAP_REGION_EXEC ? PF_X : 0);
}

/* The segment goes on to end, as zeros so far. */
static void walk_extend(struct walk *walk, uint64_t start, uint64_t end)
{
	if (!walk->segment.memory)
		walk->segment.start = start;
	walk->segment.memory = end - walk->segment.start;
}

static enum status walk_flush(struct walk *walk)
{
	enum status status = STATUS_OK;

	if (walk->segment.memory)
		status = core_add(&walk->plan->core, &walk->segment);
	walk->segment.memory = walk->segment.file = 0;
	return status;
}

static enum status walk_data(struct walk *walk, uint64_t start, uint64_t end)
{
	struct plan *plan = walk->plan;
	struct plan_extent *larger;
	size_t room = plan->room ? 2 * plan->room : 64;

	plan->data += end - start;
	walk_extend(walk, start, end);
	walk->segment.file = end - walk->segment.start;
	if (plan->count && plan->extent[plan->count - 1].end == start &&
	    walk->segment.start < start) {
		plan->extent[plan->count - 1].end = end;
		return STATUS_OK;
	}
	if (plan->count == plan->room) {
		larger = reallocarray(plan->extent, room, sizeof(*larger));
		if (!larger)
			return fail(STATUS_SYSTEM, "out of memory");
		plan->extent = larger;
		plan->room = room;
	}
	plan->extent[plan->count++] = (struct plan_extent){ start, end };
	return STATUS_OK;
}

static void walk_hole(struct walk *walk, uint64_t start, uint64_t end)
{
	walk->plan->holes += end - start;
	walk_extend(walk, start, end);
}

/* What comes next is another segment: between the two the core says nothing. */
static enum status walk_absent(struct walk *walk, uint64_t start, uint64_t end)
{
	walk->plan->absent += end - start;
	return walk_flush(walk);
}

/* What a page is that is not resident, and not somebody else's */
static enum status walk_entry(struct walk *walk, uint64_t entry, uint64_t start,
			      uint64_t end)
{
	if (!(entry & (PAGE_PRESENT | PAGE_SWAPPED))) {
		walk_hole(walk, start, end);
		return STATUS_OK;
	}
	/* Present: it has come, or come back, in between. */
	if (walk->plan->options.resident && !(entry & PAGE_PRESENT))
		return walk_absent(walk, start, end);
	return walk_data(walk, start, end);
}

static enum status walk_pagemap(struct walk *walk, uint64_t at, uint64_t end)
{
	static uint64_t entry[8192];
	enum status status = STATUS_OK;
	ssize_t got;
	size_t wanted, first, i;

	while (at < end && !status) {
		wanted = (end - at) / CORE_PAGE * sizeof(*entry);
		if (wanted > sizeof(entry))
			wanted = sizeof(entry);
		got = pread(walk->plan->pagemap, entry, wanted,
			    (at + walk->shift) / CORE_PAGE * sizeof(*entry));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < (ssize_t)sizeof(*entry))
			return fail(STATUS_ENDED, "process %d has ended",
				    walk->plan->pid);
		wanted = got / sizeof(*entry);
		for (first = i = 0; i < wanted && !status; i++) {
			/* Only these two bits matter: alike are taken at once. */
			entry[i] &= PAGE_PRESENT | PAGE_SWAPPED;
			if (i + 1 < wanted &&
			    (entry[i + 1] & (PAGE_PRESENT | PAGE_SWAPPED)) ==
				    entry[i])
				continue;
			status = walk_entry(walk, entry[i],
					    at + first * CORE_PAGE,
					    at + (i + 1) * CORE_PAGE);
			first = i + 1;
		}
		at += wanted * CORE_PAGE;
	}
	return status;
}

static enum status walk_not_resident(struct walk *walk, uint64_t start,
				     uint64_t end)
{
	if (start == end)
		return STATUS_OK;
	if (is_zeros(walk->region))
		return walk_pagemap(walk, start, end);
	if (walk->plan->options.resident)
		return walk_absent(walk, start, end);
	return walk_data(walk, start, end);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* seek(): the next, INT64_MAX if none follows, or the error, told */
static enum status seek_next(const struct plan *plan,
			     int64_t (*seek)(const struct remotemap *handle,
					     uint64_t offset),
			     uint64_t at, uint64_t *next)
{
	int64_t found = seek(plan->handle, PLAN_RESIDENT + at);

	*next = INT64_MAX;
	if (found == -ENXIO)
		return STATUS_OK;
	if (found < 0)
		return fail_source("looking for what is in memory", found);
	*next = found - PLAN_RESIDENT;
	return STATUS_OK;
}

/*
 * The next data, as it was when it was last looked for. It is looked for through all
 * regions up to there: if each of them asked anew, many with nothing in them would
 * take time by the square. What has come since, pagemap tells.
 */
static enum status next_data(struct plan *plan, uint64_t at, uint64_t *next)
{
	enum status status = STATUS_OK;

	if (at < plan->looked_from || at > plan->next_data)
		status = seek_next(plan, remotemap_next_data, at,
				   &plan->next_data);
	if (status)
		return status;
	plan->looked_from = at;
	*next = plan->next_data;
	return STATUS_OK;
}

static enum status walk_range(struct walk *walk, uint64_t at, uint64_t end)
{
	struct plan *plan = walk->plan;
	enum status status = STATUS_OK;
	uint64_t data = end, hole = end;

	while (at < end && !status) {
		status = next_data(plan, at, &data);
		data = least(data, end);
		if (!status)
			status = walk_not_resident(walk, at, data);
		if (status || data == end)
			break;
		status = seek_next(plan, remotemap_next_hole, data, &hole);
		hole = least(hole, end);
		/* It has gone in between: it is looked at as what is not there. */
		if (!status && hole == data) {
			hole = data + CORE_PAGE;
			status = walk_not_resident(walk, data, hole);
		} else if (!status) {
			status = walk_data(walk, data, hole);
		}
		at = hole;
	}
	return status;
}

static enum status region_plan(struct plan *plan,
			       const struct remotemap_region *region,
			       uint64_t host)
{
	enum whole whole = region_whole(plan, region);
	uint64_t end = region->end;
	struct walk walk = {
		.plan = plan,
		.region = region,
		.shift = host - region->start,
		.segment = { .rights = segment_rights(region) },
	};
	enum status status;

	if (whole == WHOLE_NONE) {
		walk_extend(&walk, region->start, end);
		return walk_flush(&walk);
	}
	if (whole == WHOLE_HEADER)
		end = least(end, region->start + CORE_PAGE);
	if (plan->options.resident || is_zeros(region))
		status = walk_range(&walk, region->start, end);
	else
		status = walk_data(&walk, region->start, end);
	/* The rest of it, of which nothing is in the file */
	if (!status && end < region->end)
		walk_extend(&walk, end, region->end);
	return status ? status : walk_flush(&walk);
}

enum status plan_make(struct plan *plan, const struct remotemap_region *regions,
		      ssize_t count)
{
	enum status status = STATUS_OK;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", plan->pid);
	plan->looked_from = UINT64_MAX;
	plan->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (plan->pagemap < 0)
		return fail(errno == ENOENT ? STATUS_ENDED : STATUS_REFUSED,
			    "%s: %s", path, strerror(errno));
	for (ssize_t i = 0; i < count && !status; i++)
		status = region_plan(plan, &regions[i],
				     plan->host ? plan->host[i] :
						  regions[i].start);
	close(plan->pagemap);
	plan->core.physical = plan->host;
	if (!status && !plan->host)
		status = core_describe(&plan->core, plan->pid, regions, count);
	if (!status)
		core_layout(&plan->core);
	return status;
}

void plan_free(struct plan *plan)
{
	core_free(&plan->core);
	free(plan->extent);
}
