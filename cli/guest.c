// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "source.h"
#include "table.h"

/* ---- opening --------------------------------------------------------------- */

static enum status fail_guest_permission(const char *socket, int error)
{
	if (access(socket, R_OK | W_OK))
		return fail(STATUS_REFUSED,
			    "%s: %s: be the socket's owner, or root (sudo)",
			    socket, strerror(error));
	return fail(STATUS_REFUSED,
		    "%s: %s: QEMU's process may not be looked into: be its user, or root (sudo); see also /proc/sys/kernel/yama/ptrace_scope",
		    socket, strerror(error));
}

enum status fail_guest(const char *socket, int error)
{
	error = abs(error);
	switch (error) {
	case ENOENT:
		return fail(STATUS_REFUSED,
			    "%s: there is no such socket: start QEMU with -qmp unix:%s,server=on,wait=off",
			    socket, socket);
	case ECONNREFUSED:
		return fail(STATUS_REFUSED,
			    "%s: nobody listens there: QEMU has ended, or it is no socket",
			    socket);
	case EBUSY:
		return fail(STATUS_REFUSED,
			    "%s: no greeting: another client is connected, or QEMU is stopped, or it is no QMP socket: give QEMU another -qmp",
			    socket);
	case EPROTO:
	case ECONNRESET:
		return fail(STATUS_REFUSED,
			    "%s: what answers there is no QEMU that speaks QMP: see -qmp in qemu-system(1)",
			    socket);
	case ETIMEDOUT:
	case EAGAIN:
		return fail(STATUS_REFUSED,
			    "%s: QEMU %s: try again", socket,
			    error == EAGAIN ? "moves its memory about" :
					      "does not answer in time");
	case EREMOTE:
		return fail(STATUS_ENDED,
			    "%s: the guest was migrated to another QEMU: look there",
			    socket);
	case ESRCH:
		return fail(STATUS_REFUSED,
			    "%s: QEMU's process is not in this /proc: be in its pid namespace",
			    socket);
	case ENAMETOOLONG:
		return fail(STATUS_USAGE, "%s: %s", socket, strerror(error));
	case EACCES:
	case EPERM:
		return fail_guest_permission(socket, error);
	default:
		return fail_open(0, error);
	}
}

enum status guest_open(const char *socket, unsigned int flags,
		       struct source *source)
{
	struct remotemap_qemu_options options = {
		.size = sizeof(options),
		.flags = flags,
	};
	int error = remotemap_open_qemu(socket, &options, &source->guest);
	pid_t pid;

	if (error < 0)
		return fail_guest(socket, error);
	source->handle = remotemap_qemu_handle(source->guest);
	pid = remotemap_pid(source->handle);
	source->pid = pid > 0 ? pid : 0;
	source->range_count =
		remotemap_qemu_ranges(source->guest, &source->ranges);
	if (source->range_count >= 0)
		return STATUS_OK;
	error = (int)source->range_count;
	source_close(source);
	return fail_guest(socket, error);
}

/* ---- telling --------------------------------------------------------------- */

static bool range_lasting(const struct remotemap_qemu_range *range)
{
	return range->flags & REMOTEMAP_QEMU_LASTING;
}

static json_t *range_json(const struct remotemap_qemu_range *range)
{
	return json_pack(
		"{s:o, s:o, s:I, s:s, s:b, s:b, s:o, s:I, s:o}", "start",
		json_address(range->address), "end",
		json_address(range->address + range->size), "size",
		(json_int_t)range->size, "kind",
		remotemap_qemu_kind_name(range->kind), "non_volatile",
		range_lasting(range), "shown",
		!!(range->flags & REMOTEMAP_QEMU_SHOWN), "host",
		range->host ? json_address(range->host) : json_null(),
		"page_size", (json_int_t)range->page_size, "name",
		json_text(range->name));
}

static enum status print_json(const struct source *source)
{
	json_t *array = json_array();

	for (ssize_t i = 0; i < source->range_count; i++)
		if (json_array_append_new(array, range_json(&source->ranges[i])))
			return fail(STATUS_SYSTEM, "out of memory");
	return json_print(json_pack("{s:o, s:o}", "pid", json_pid(source->pid),
				    "ranges", array),
			  false);
}

/* What a line takes before the name, and what of a name is worth the width */
#define WIDE 83
#define NAME 24

/* Of the terminal; 0: all that there is to tell is printed. */
static bool is_narrow(int columns)
{
	return columns && columns < WIDE + NAME;
}

static void print_head(int columns)
{
	int width = is_narrow(columns) ? 12 : 16;
	struct line line = { 0 };

	line_add(&line, "%*s-%-*s %-3s %-6s %10s %8s", width, "START", width,
		 "END", "MAP", "KIND", "SIZE", "PAGES");
	if (!is_narrow(columns))
		line_add(&line, " %16s", "IN QEMU AT");
	line_add_name(&line, columns, "NAME");
	line_print(&line, columns);
	putchar('\n');
}

static void print_range(const struct remotemap_qemu_range *range, int columns)
{
	const char *kept = range_lasting(range) ? " (non-volatile)" : "";
	bool shown = range->flags & REMOTEMAP_QEMU_SHOWN;
	bool ram = range->kind == REMOTEMAP_QEMU_RAM;
	int width = is_narrow(columns) ? 12 : 16;
	struct line line = { 0 };
	char name[4200];

	line_add(&line, "%*" PRIx64 "-%-*" PRIx64 " %-3s %-6s %10s %8s", width,
		 range->address, width, range->address + range->size,
		 !shown ? "-" : ram ? "rw" : "r",
		 remotemap_qemu_kind_name(range->kind), size_text(range->size),
		 range->page_size ? size_text(range->page_size) : "?");
	if (!is_narrow(columns))
		line_add(&line, " %16" PRIx64, range->host);
	snprintf(name, sizeof(name), "%s%s", range->name, kept);
	line_add_name(&line, columns, name);
	line_print(&line, columns);
	putchar('\n');
}

static void print_table(const struct source *source)
{
	int columns = table_columns();
	uint64_t ram = 0;

	print_head(columns);
	for (ssize_t i = 0; i < source->range_count; i++) {
		print_range(&source->ranges[i], columns);
		if (source->ranges[i].kind == REMOTEMAP_QEMU_RAM)
			ram += source->ranges[i].size;
	}
	printf("%zd ranges of guest-physical addresses; %s of RAM; QEMU is process %d\n",
	       source->range_count, size_text(ram), source->pid);
}

enum status guest_print(const struct source *source, bool json)
{
	if (json)
		return print_json(source);
	print_table(source);
	return STATUS_OK;
}
