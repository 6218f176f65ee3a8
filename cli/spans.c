// SPDX-License-Identifier: GPL-2.0
/*
 * spans_find() either fills in all of a struct spans, or leaves nothing behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spans.h"

/* ---- options --------------------------------------------------------------- */

enum { KEY_REGION = 0x1200, KEY_WRITABLE, KEY_RANGE };

const char *span_kind_name(unsigned int kind)
{
	return kind < SPAN_GUEST ? remotemap_kind_name(kind) :
				   remotemap_qemu_kind_name(kind - SPAN_GUEST);
}

static bool kind_add(const char *name, unsigned int *kinds)
{
	for (unsigned int kind = 0; kind <= SPAN_GUEST + REMOTEMAP_QEMU_DEVICE;
	     kind++) {
		if (strcmp(name, span_kind_name(kind)))
			continue;
		*kinds |= 1U << kind;
		return true;
	}
	return false;
}

static void kinds_take(char *list, struct span_filter *filter,
		       struct argp_state *state)
{
	char *rest = list, *name;

	while ((name = strsep(&rest, ",")))
		if (!kind_add(name, &filter->kinds))
			argp_error(state,
				   "--region: there is no kind '%s'; anonymous, file, shmem, hugetlb, heap, stack, special; of a guest: ram, rom, device",
				   text_printable(name));
}

static void range_take(char *text, struct span_filter *filter,
		       struct argp_state *state)
{
	char *plus = strchr(text, '+');
	uint64_t length;

	if (plus)
		*plus = '\0';
	if (!plus || !number_parse(text, &filter->start) ||
	    !number_parse(plus + 1, &length) || !length ||
	    __builtin_add_overflow(filter->start, length, &filter->end))
		argp_error(state,
			   "--range is ADDRESS+SIZE, such as 0x7f0012340000+64K");
}

static error_t filter_option(int key, char *arg, struct argp_state *state)
{
	struct span_filter *filter = state->input;

	switch (key) {
	case KEY_REGION:
		kinds_take(arg, filter, state);
		return 0;
	case KEY_WRITABLE:
		filter->writable = true;
		return 0;
	case KEY_RANGE:
		range_take(arg, filter, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option filter_options[] = {
	{ "region", KEY_REGION, "KIND[,KIND]...", 0,
	  "Only such regions: anonymous, file, shmem, hugetlb, heap, stack, special; of a guest: ram, rom, device",
	  70 },
	{ "writable", KEY_WRITABLE, NULL, 0,
	  "Only what the source may write itself", 70 },
	{ "range", KEY_RANGE, "ADDRESS+SIZE", 0,
	  "Only addresses in that range", 70 },
	{ 0 },
};

const struct argp span_filter_argp = { .options = filter_options,
				       .parser = filter_option };

/* ---- finding them ---------------------------------------------------------- */

static bool region_wanted(const struct remotemap_region *region,
			  const struct span_filter *filter)
{
	if (!(region->flags & REMOTEMAP_REGION_SHOWN))
		return false;
	if (filter->writable && !(region->flags & REMOTEMAP_REGION_WRITE))
		return false;
	return !filter->kinds || (filter->kinds & (1U << region->kind));
}

/* What of [start, end) the view and the filter leave, joined to what is before it */
static int span_add(struct spans *spans, const struct remotemap_view *view,
		    const struct span_filter *filter, uint64_t start,
		    uint64_t end)
{
	struct span *last = spans->count ? &spans->span[spans->count - 1] : NULL;
	uint64_t view_end = view->address + view->size;
	uint64_t offset;

	if (start < view->address)
		start = view->address;
	if (start < filter->start)
		start = filter->start;
	if (end > view_end)
		end = view_end;
	if (filter->end && end > filter->end)
		end = filter->end;
	if (start >= end)
		return 0;
	offset = view->offset + (start - view->address);
	spans->total += end - start;
	if (last && last->address + last->length == start &&
	    last->offset + last->length == offset) {
		last->length += end - start;
		return 0;
	}
	last = reallocarray(spans->span, spans->count + 1, sizeof(*last));
	if (!last)
		return -ENOMEM;
	spans->span = last;
	last[spans->count++] = (struct span){ start, offset, end - start, NULL };
	return 0;
}

static int view_spans(struct spans *spans, const struct remotemap_view *view,
		      const struct span_filter *filter)
{
	int error = 0;

	if (!spans->regions)
		return span_add(spans, view, filter, view->address,
				view->address + view->size);
	for (ssize_t i = 0; !error && i < spans->region_count; i++) {
		const struct remotemap_region *region = &spans->regions[i];

		if (region_wanted(region, filter))
			error = span_add(spans, view, filter, region->start,
					 region->end);
	}
	return error;
}

/* The ranges of a guest, as regions. Their names stay the source's. */
static ssize_t guest_regions(const struct source *source,
			     struct remotemap_region **regions)
{
	struct remotemap_region *region;

	region = calloc(source->range_count + 1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	*regions = region;
	for (ssize_t i = 0; i < source->range_count; i++, region++) {
		const struct remotemap_qemu_range *range = &source->ranges[i];

		region->start = range->address;
		region->end = range->address + range->size;
		region->kind = SPAN_GUEST + range->kind;
		region->name = (char *)range->name;
		region->flags = REMOTEMAP_REGION_READ;
		if (range->flags & REMOTEMAP_QEMU_SHOWN)
			region->flags |= REMOTEMAP_REGION_SHOWN;
		if (range->kind == REMOTEMAP_QEMU_RAM)
			region->flags |= REMOTEMAP_REGION_WRITE;
	}
	return source->range_count;
}

int spans_find(const struct source *source, const struct span_filter *filter,
	       struct spans *spans)
{
	bool needed = !source->lent || filter->kinds || filter->writable;
	ssize_t count = -ESRCH;
	int error = 0;

	*spans = (struct spans){ 0 };
	if (source->guest)
		count = guest_regions(source, &spans->regions);
	else if (source->pid > 0)
		count = remotemap_regions_brief(source->pid, &spans->regions);
	if (count < 0 && needed)
		return (int)count;
	spans->region_count = count < 0 ? 0 : count;
	for (ssize_t i = 0; !error && i < source->view_count; i++)
		error = view_spans(spans, &source->views[i], filter);
	if (error)
		spans_free(spans);
	return error;
}

void spans_free(struct spans *spans)
{
	for (size_t i = 0; i < spans->count; i++)
		span_unmap(&spans->span[i]);
	free(spans->span);
	remotemap_regions_free(spans->regions, spans->region_count);
	*spans = (struct spans){ 0 };
}

/* ---- looking at one -------------------------------------------------------- */

int span_map(const struct source *source, struct span *span)
{
	struct remotemap_map_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_MAP_SEQUENTIAL,
	};
	void *mirror;
	int error;

	if (span->mirror)
		return 0;
	error = remotemap_map(source->handle, span->offset, span->length,
			      &options, &mirror);
	if (error < 0)
		return error;
	span->mirror = mirror;
	return 0;
}

void span_unmap(struct span *span)
{
	if (span->mirror)
		remotemap_unmap(span->mirror, span->length);
	span->mirror = NULL;
}

int span_data(const struct source *source, const struct span *span,
	      uint64_t *from, uint64_t *to)
{
	uint64_t end = span->offset + span->length;
	int64_t at;

	if (*from >= end)
		return 0;
	at = remotemap_next_data(source->handle, *from);
	if (at == -ENXIO || (at >= 0 && (uint64_t)at >= end))
		return 0;
	if (at < 0)
		return (int)at;
	*from = (uint64_t)at;
	at = remotemap_next_hole(source->handle, *from);
	if (at == -ENXIO)
		at = (int64_t)end;
	if (at < 0)
		return (int)at;
	*to = (uint64_t)at < end ? (uint64_t)at : end;
	return 1;
}

const struct remotemap_region *spans_region(const struct spans *spans,
					    uint64_t address)
{
	ssize_t low = 0, high = spans->region_count;

	while (low < high) {
		ssize_t middle = (low + high) / 2;
		const struct remotemap_region *region = &spans->regions[middle];

		if (address < region->start)
			high = middle;
		else if (address >= region->end)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}
