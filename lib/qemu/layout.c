// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * See layout.h. QMP has no command of its own for this, so three of the human
 * monitor's are asked, which have been the same since QEMU 3.0:
 *
 * info mtree -f -o: the flat view, which is what the guest sees once aliases,
 * overlaps and holes are resolved, with each range's type and owner;
 * gpa2hva: where in QEMU's address space a guest-physical address is;
 * info ramblock: how large the pages of a piece of QEMU's memory are.
 */
#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 16

/* ---- the flat view --------------------------------------------------------- */

static const struct {
	const char *text;
	enum remotemap_qemu_kind kind;
	unsigned int flags;
	bool hardware;
} types[] = {
	{ "ram", REMOTEMAP_QEMU_RAM, 0, false },
	{ "rom", REMOTEMAP_QEMU_ROM, 0, false },
	{ "romd", REMOTEMAP_QEMU_ROM, 0, false },
	{ "ramd", REMOTEMAP_QEMU_DEVICE, 0, true },
	{ "nv-ram", REMOTEMAP_QEMU_RAM, REMOTEMAP_QEMU_LASTING, false },
	{ "nv-rom", REMOTEMAP_QEMU_ROM, REMOTEMAP_QEMU_LASTING, false },
};

/* False: what does not answer as memory does */
static bool type_find(const char *text, struct layout_range *range)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (strcmp(text, types[i].text))
			continue;
		range->range.kind = types[i].kind;
		range->range.flags = types[i].flags;
		range->hardware = types[i].hardware;
		return true;
	}
	return false;
}

static struct layout_range *range_new(struct layout *layout)
{
	size_t room = layout->room ? 2 * layout->room : 32;
	struct layout_range *range = layout->range;

	if (layout->count == layout->room) {
		range = reallocarray(range, room, sizeof(*range));
		if (!range)
			return NULL;
		layout->range = range;
		layout->room = room;
	}
	range += layout->count++;
	*range = (struct layout_range){ 0 };
	return range;
}

/*
 * "  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @... owner:{obj ...}"
 * The last address is part of it. 0, also of what is no memory; or -errno
 */
static int line_parse(struct layout *layout, const char *line)
{
	struct layout_range *range, *before;
	uint64_t first, last;
	char type[16];
	int end = -1;

	if (sscanf(line, " %" SCNx64 "-%" SCNx64 " (prio %*d, %15[^)]): %n",
		   &first, &last, type, &end) != 3 || end < 0 || last < first)
		return -EPROTO;
	range = range_new(layout);
	if (!range)
		return -ENOMEM;
	if (!type_find(type, range)) {
		layout->count--;
		return 0;
	}
	before = layout->count > 1 ? range - 1 : NULL;
	if (before && before->range.address + before->range.size > first)
		return -EPROTO;
	range->range.address = first;
	/* All 2^64 of it would be no size. */
	if (__builtin_add_overflow(last - first, 1, &range->range.size))
		return -EPROTO;
	/* Video memory is RAM to QEMU; what it belongs to, is a device. */
	if (range->range.kind == REMOTEMAP_QEMU_RAM &&
	    strstr(line + end, " owner:{dev "))
		range->range.kind = REMOTEMAP_QEMU_DEVICE;
	snprintf(range->name, sizeof(range->name), "%.*s",
		 (int)strcspn(line + end, " "), line + end);
	return 0;
}

/*
 * The view of the address space that all processors see, of which there is one;
 * views of devices, of I/O ports and of system management mode are others.
 */
static int view_parse(struct layout *layout, char *text)
{
	const char *const wanted = " AS \"memory\", root: system";
	bool in = false, found = false;
	char *rest = text, *line;
	int error = 0;

	while (!error && (line = strsep(&rest, "\n"))) {
		line[strcspn(line, "\r")] = '\0';
		if (!strncmp(line, "FlatView #", strlen("FlatView #")))
			in = false;
		else if (!strncmp(line, wanted, strlen(wanted)))
			in = found = true;
		else if (in && !strncmp(line, "  No rendered", 13))
			return -EPROTO;
		else if (in && line[0] == ' ' && line[1] == ' ')
			error = line_parse(layout, line);
	}
	return error ? error : found ? 0 : -EPROTO;
}

/* ---- host addresses -------------------------------------------------------- */

/*
 * "Host virtual address for 0x0 (pc.ram) is 0x7f9b6be00000": 1; 0: it is no memory
 * any more, or whatever else QEMU says
 */
static int host_ask(struct qmp *qmp, uint64_t address, uint64_t *host)
{
	char line[40], *text, *at;
	int error;

	snprintf(line, sizeof(line), "gpa2hva 0x%" PRIx64, address);
	error = qmp_monitor(qmp, line, &text);
	if (error)
		return error;
	/* A name can hold anything, so the last of them counts. */
	at = strrchr(text, ')');
	error = !strncmp(text, "Host virtual address", 20) && at &&
		sscanf(at, ") is 0x%" SCNx64, host) == 1;
	free(text);
	return error;
}

/* 1: all of it is known, 0: it has changed meanwhile */
static int hosts_ask(struct qmp *qmp, struct layout *layout)
{
	uint64_t last;
	int known = 1;

	for (size_t i = 0; i < layout->count && known > 0; i++) {
		struct remotemap_qemu_range *range = &layout->range[i].range;

		if (layout->range[i].hardware)
			continue;
		known = host_ask(qmp, range->address, &range->host);
		if (known > 0)
			known = host_ask(qmp, range->address + range->size - 1,
					 &last);
		if (known > 0 && last != range->host + range->size - 1)
			known = 0;
	}
	return known;
}

/* ---- pieces of QEMU's memory ----------------------------------------------- */

static bool size_parse(const char *number, const char *unit, uint64_t *size)
{
	*size = strtoull(number, NULL, 10);
	switch (*unit) {
	case 'K':
		*size <<= 10;
		return true;
	case 'M':
		*size <<= 20;
		return true;
	case 'G':
		*size <<= 30;
		return true;
	default:
		return false;
	}
}

/* Is that block the range's? Its name may have a path before it. */
static bool name_fits(const char *block, const char *name)
{
	const char *base = strrchr(block, '/');

	return !strcmp(block, name) || (base && !strcmp(base + 1, name));
}

/* "  0000:00:01.0/vga.vram    4 KiB  0x... 0x... 0x...": a device's has its path */
static void block_parse(struct layout *layout, const char *line)
{
	char block[256], number[16], unit[8];
	uint64_t size;

	if (sscanf(line, " %255s %15[0-9] %7s 0x", block, number, unit) != 3 ||
	    !size_parse(number, unit, &size))
		return;
	for (size_t i = 0; i < layout->count; i++) {
		struct remotemap_qemu_range *range = &layout->range[i].range;

		if (!name_fits(block, layout->range[i].name))
			continue;
		/* Two of that name: it may be either. */
		if (range->page_size && range->page_size != size)
			size = 1;
		range->page_size = size;
		if (block[0] != '/' && strchr(block, '/') &&
		    range->kind == REMOTEMAP_QEMU_RAM)
			range->kind = REMOTEMAP_QEMU_DEVICE;
	}
}

static int blocks_ask(struct qmp *qmp, struct layout *layout)
{
	char *text, *rest, *line;
	int error = qmp_monitor(qmp, "info ramblock", &text);

	if (error)
		return error;
	rest = text;
	while ((line = strsep(&rest, "\n")))
		block_parse(layout, line);
	free(text);
	for (size_t i = 0; i < layout->count; i++)
		if (layout->range[i].range.page_size == 1)
			layout->range[i].range.page_size = 0;
	return 0;
}

/* ---- all of it ------------------------------------------------------------- */

static int view_read(struct qmp *qmp, struct layout *layout)
{
	char *text;
	int error = qmp_monitor(qmp, "info mtree -f -o", &text);

	*layout = (struct layout){ 0 };
	if (error)
		return error;
	error = view_parse(layout, text);
	free(text);
	if (error)
		layout_free(layout);
	return error;
}

static bool same(const struct layout *a, const struct layout *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct layout_range *at = &a->range[i];
		const struct layout_range *other = &b->range[i];

		if (at->range.address != other->range.address ||
		    at->range.size != other->range.size ||
		    at->range.kind != other->range.kind ||
		    at->range.flags != other->range.flags ||
		    strcmp(at->name, other->name))
			return false;
	}
	return true;
}

/* 1: it is so, 0: it changed while it was asked for */
static int layout_try(struct qmp *qmp, struct layout *layout)
{
	struct layout after;
	int done;

	done = view_read(qmp, layout);
	if (done)
		return done;
	done = hosts_ask(qmp, layout);
	if (done <= 0)
		return done;
	done = view_read(qmp, &after);
	if (done)
		return done;
	done = same(layout, &after);
	layout_free(&after);
	if (!done)
		return 0;
	done = blocks_ask(qmp, layout);
	return done ? done : 1;
}

int layout_read(struct qmp *qmp, struct layout *layout)
{
	int done = 0;

	for (int i = 0; i < ATTEMPTS && !done; i++) {
		done = layout_try(qmp, layout);
		if (done <= 0)
			layout_free(layout);
	}
	return done > 0 ? 0 : done < 0 ? done : -EAGAIN;
}

void layout_free(struct layout *layout)
{
	free(layout->range);
	*layout = (struct layout){ 0 };
}
