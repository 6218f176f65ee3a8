/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of a source that are to be looked through.
 *
 * Spans do not touch each other: what follows on in addresses and in the map file
 * is one span, whatever regions it is made of. So nothing that lies across two
 * regions is missed, and nothing is seen twice.
 */
#ifndef REMOTEMAP_CLI_SPANS_H
#define REMOTEMAP_CLI_SPANS_H

#include "source.h"

struct span_filter {
	unsigned int kinds; /* 1U << a region's kind; 0: all */
	bool writable;	    /* only what the source may write */
	uint64_t start;	    /* of the source's addresses */
	uint64_t end;	    /* 0: to the end */
};

/* A region of a guest has this and an enum remotemap_qemu_kind for its kind. */
#define SPAN_GUEST 16U

struct span {
	uint64_t address; /* in the source */
	uint64_t offset;  /* in the map file */
	uint64_t length;
	uint8_t *mirror;  /* of all of it, or NULL */
};

struct spans {
	struct span *span;
	size_t count;
	uint64_t total; /* their lengths */
	struct remotemap_region *regions; /* NULL: nobody may see them */
	ssize_t region_count;
};

/* To be a child of a command's argp: --region, --writable, --range */
extern const struct argp span_filter_argp;

/* -errno; what was found must be given to spans_free(), then. */
int spans_find(const struct source *source, const struct span_filter *filter,
	       struct spans *spans);
void spans_free(struct spans *spans);

/* -errno. It stays the span's: spans_free() unmaps it, too. */
int span_map(const struct source *source, struct span *span);
void span_unmap(struct span *span);
/*
 * The next part with data at or after offset *from: [*from, *to), in the span. 0:
 * there is none, 1: there is, else -errno.
 */
int span_data(const struct source *source, const struct span *span,
	      uint64_t *from, uint64_t *to);
/* The region at that address, or NULL */
const struct remotemap_region *spans_region(const struct spans *spans,
					    uint64_t address);
/* A word for the kind of one of those regions */
const char *span_kind_name(unsigned int kind);

#endif /* REMOTEMAP_CLI_SPANS_H */
