/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What of a process goes into a core: which regions, and of them which bytes.
 *
 * Three kinds of bytes: data, which is to be copied; holes, which are zeros at
 * the source and take no room in the file; and what is absent, which the core
 * says nothing of. Nothing is taken for zeros that might be something else.
 */
#ifndef REMOTEMAP_CLI_PLAN_H
#define REMOTEMAP_CLI_PLAN_H

#include "core.h"

/* Bits of a filter: those of /proc/PID/coredump_filter, see core(5) */
#define FILTER_ANONYMOUS (1U << 0)
#define FILTER_SHARED_ANONYMOUS (1U << 1)
#define FILTER_FILE (1U << 2)
#define FILTER_SHARED_FILE (1U << 3)
#define FILTER_ELF_HEADERS (1U << 4)
#define FILTER_HUGETLB (1U << 5)
#define FILTER_SHARED_HUGETLB (1U << 6)

/*
 * Where the two views of a dump's context are in the map file: address A of the
 * source is at A in the one, and at PLAN_RESIDENT + A in the one that never makes
 * the source fault.
 */
#define PLAN_RESIDENT (1UL << 60)

struct plan_options {
	unsigned int filter;
	bool all; /* all that can be read, whatever filter says */
	bool resident; /* only what is in memory: the other view is not there */
};

/* Data: a range of addresses, within one segment */
struct plan_extent {
	uint64_t start, end;
};

struct plan {
	struct plan_options options;
	struct remotemap *handle;
	pid_t pid;
	/* Of a guest: where each region begins in QEMU; else NULL */
	const uint64_t *host;
	struct core core;
	struct plan_extent *extent; /* in order */
	size_t count, room;
	uint64_t data; /* bytes, of all extents */
	uint64_t holes; /* bytes that are zeros */
	uint64_t absent; /* bytes that are not in memory */
	int pagemap; /* /proc/PID/pagemap, or -1 */
	/* From looked_from on, what is in memory begins at next_data. */
	uint64_t looked_from, next_data;
};

/* Segments and extents for these regions. plan: options, handle and pid are set. */
enum status plan_make(struct plan *plan, const struct remotemap_region *regions,
		      ssize_t count);
void plan_free(struct plan *plan);

#endif /* REMOTEMAP_CLI_PLAN_H */
