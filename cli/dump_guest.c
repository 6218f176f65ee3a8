// SPDX-License-Identifier: GPL-2.0
/*
 * See dump_guest.h. Where guest memory is, QEMU has said; what kind of mapping it
 * is there, and so whether what was never touched is zeros, /proc says.
 */
#include <stdlib.h>
#include <string.h>

#include "dump_guest.h"

static enum status resident_views_add(const struct source *source)
{
	const unsigned int flags = PIDFD_MEM_MAP_READONLY |
				   PIDFD_MEM_MAP_RESIDENT;
	struct remotemap_view *views;
	ssize_t count = remotemap_views(source->handle, &views);
	int error = 0;

	if (count < 0)
		return fail_source("views", (int)count);
	for (ssize_t i = 0; i < count && !error; i++)
		error = remotemap_add(source->handle,
				      PLAN_RESIDENT + views[i].offset,
				      views[i].address, views[i].size, flags);
	free(views);
	return error ? fail_source("views", error) : STATUS_OK;
}

enum status dump_guest_open(const char *socket, bool resident,
			    struct source *source)
{
	unsigned int flags = REMOTEMAP_QEMU_ALL | REMOTEMAP_QEMU_UNLOCKED;
	enum status status;

	if (resident)
		flags |= REMOTEMAP_QEMU_RESIDENT;
	status = guest_open(socket, flags, source);
	if (!status)
		status = resident_views_add(source);
	return status;
}

static bool range_wanted(const struct remotemap_qemu_range *range, bool all)
{
	if (!(range->flags & REMOTEMAP_QEMU_SHOWN))
		return false;
	return all || (range->kind != REMOTEMAP_QEMU_DEVICE &&
		       !(range->flags & REMOTEMAP_QEMU_LASTING));
}

struct pieces {
	struct remotemap_region *regions;
	uint64_t *hosts;
	size_t count, room;
};

static bool piece_add(struct pieces *pieces,
		      const struct remotemap_region *region, uint64_t host)
{
	size_t room = pieces->room ? 2 * pieces->room : 32;
	void *larger;

	if (pieces->count == pieces->room) {
		larger = reallocarray(pieces->regions, room, sizeof(*region));
		if (!larger)
			return false;
		pieces->regions = larger;
		larger = reallocarray(pieces->hosts, room, sizeof(host));
		if (!larger)
			return false;
		pieces->hosts = larger;
		pieces->room = room;
	}
	pieces->regions[pieces->count] = *region;
	pieces->hosts[pieces->count++] = host;
	return true;
}

/* What of that range is in this region of QEMU's, with the guest's addresses */
static bool range_cut(struct pieces *pieces,
		      const struct remotemap_qemu_range *range,
		      const struct remotemap_region *region)
{
	uint64_t start = range->host, end = range->host + range->size;
	struct remotemap_region piece = *region;

	if (start < region->start)
		start = region->start;
	if (end > region->end)
		end = region->end;
	if (start >= end)
		return true;
	piece.start = range->address + (start - range->host);
	piece.end = range->address + (end - range->host);
	/* Whether the file has a name is all that is to be known of it. */
	piece.name = strstr(region->name, " (deleted)") ? " (deleted)" : "";
	return piece_add(pieces, &piece, start);
}

enum status dump_guest_regions(const struct source *source, bool all,
			       struct remotemap_region **regions,
			       uint64_t **hosts, ssize_t *count)
{
	struct remotemap_region *process;
	struct pieces pieces = { 0 };
	ssize_t number = remotemap_regions(source->pid, &process);
	bool done = true;

	if (number < 0)
		return fail_source("reading QEMU's regions", (int)number);
	for (ssize_t i = 0; i < source->range_count; i++)
		for (ssize_t k = 0; k < number && done; k++)
			if (range_wanted(&source->ranges[i], all))
				done = range_cut(&pieces, &source->ranges[i],
						 &process[k]);
	remotemap_regions_free(process, number);
	*regions = pieces.regions;
	*hosts = pieces.hosts;
	*count = (ssize_t)pieces.count;
	return done ? STATUS_OK : fail(STATUS_SYSTEM, "out of memory");
}
