// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap info: what there is, from /proc/PID/smaps, so the process notices
 * no more than it does of that. That it can be mapped at all is tried: without
 * a view, so nothing of it is looked at.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "source.h"
#include "table.h"

struct info {
	struct common_options common;
	bool brief;
	const char *qemu;
	struct words words;
};

enum { KEY_BRIEF = 'b', KEY_QEMU = 0x100 };

static error_t info_option(int key, char *arg, struct argp_state *state)
{
	struct info *info = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &info->common;
		return 0;
	case KEY_BRIEF:
		info->brief = true;
		return 0;
	case KEY_QEMU:
		info->qemu = arg;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&info->words, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "brief", KEY_BRIEF, NULL, 0,
	  "Without what is in memory, which is cheaper to find out", 0 },
	{ "qemu", KEY_QEMU, "SOCKET", 0,
	  "The physical memory of the guest of the QEMU with that QMP socket", 0 },
	{ 0 },
};

static const struct argp_child children[] = { { .argp = &json_argp }, { 0 } };

static const struct argp argp = {
	.options = options,
	.parser = info_option,
	.children = children,
	.args_doc = "PID\n--qemu SOCKET",
	.doc =
		"Show the regions of a process's memory and what of them can be mapped.\v"
		"A region with - under MAP can never be seen through a mirror: device memory, "
		"secret memory, and what the process itself may not read.\n\n"
		"Example:\n"
		"  remotemap info --json $(pidof sqlite3) | jq '.regions[] | select(.kind == \"heap\")'\n"
		"  remotemap info --qemu /run/vm/qmp",
};

/* "rw-p" as in /proc/PID/maps */
static const char *rights_text(unsigned int flags, char *text)
{
	text[0] = flags & REMOTEMAP_REGION_READ ? 'r' : '-';
	text[1] = flags & REMOTEMAP_REGION_WRITE ? 'w' : '-';
	text[2] = flags & REMOTEMAP_REGION_EXEC ? 'x' : '-';
	text[3] = flags & REMOTEMAP_REGION_SHARED ? 's' : 'p';
	text[4] = '\0';
	return text;
}

/* What a mirror gives: "rw", "r" or "-" */
static const char *map_text(unsigned int flags)
{
	if (!(flags & REMOTEMAP_REGION_SHOWN))
		return "-";
	return flags & REMOTEMAP_REGION_WRITE ? "rw" : "r";
}

static json_t *region_json(const struct remotemap_region *region, bool brief)
{
	char rights[5];
	json_t *json = json_pack(
		"{s:o, s:o, s:I, s:s, s:s, s:b, s:o}", "start",
		json_address(region->start), "end", json_address(region->end),
		"size", (json_int_t)(region->end - region->start), "rights",
		rights_text(region->flags, rights), "kind",
		remotemap_kind_name(region->kind), "shown",
		!!(region->flags & REMOTEMAP_REGION_SHOWN), "name",
		json_text(region->name));

	if (!json)
		return NULL;
	json_object_set_new(json, "offset",
			    json_integer((json_int_t)region->offset));
	json_object_set_new(json, "inode",
			    json_integer((json_int_t)region->inode));
	if (brief)
		return json;
	json_object_set_new(json, "resident",
			    json_integer((json_int_t)region->resident));
	json_object_set_new(json, "huge",
			    json_integer((json_int_t)region->huge));
	json_object_set_new(json, "swapped",
			    json_integer((json_int_t)region->swapped));
	json_object_set_new(json, "page_size",
			    json_integer((json_int_t)region->page_size));
	return json;
}

static enum status print_json(pid_t pid, const struct remotemap_region *regions,
			      ssize_t count, bool brief, const char *access)
{
	json_t *array = json_array();

	for (ssize_t i = 0; i < count; i++)
		if (json_array_append_new(array,
					  region_json(&regions[i], brief)))
			return fail(STATUS_SYSTEM, "out of memory");
	return json_print(json_pack("{s:i, s:s?, s:o}", "pid", pid, "map_file",
				    access, "regions", array),
			  false);
}

/* ---- the table -------------------------------------------------------------- */

/* What a line takes before the name, and what of a name is worth the width */
#define WIDE 96
#define WIDE_BRIEF 63
#define NAME 24

struct table {
	bool brief;
	int columns; /* of the terminal, 0: there is none */
	bool narrow; /* addresses of 12 digits, and two sizes less */
};

static void sizes_add(const struct table *table, struct line *line,
		      const char *const sizes[4])
{
	int count = table->brief ? 1 : table->narrow ? 2 : 4;
	int width = table->narrow ? 9 : 10;
	int column = table->narrow ? 44 : 52;

	for (int i = 0; i < count; i++) {
		column += 1 + width;
		line_add_until(line, column, sizes[i]);
	}
}

static void print_head(const struct table *table)
{
	static const char *const sizes[] = { "SIZE", "RESIDENT", "HUGE",
					     "SWAPPED" };
	int width = table->narrow ? 12 : 16;
	struct line line = { 0 };

	line_add(&line, "%*s-%-*s %-4s %-3s %-9s", width, "START", width, "END",
		 "MAY", "MAP", "KIND");
	sizes_add(table, &line, sizes);
	line_add_name(&line, table->columns, "NAME");
	line_print(&line, table->columns);
	putchar('\n');
}

static void print_region(const struct table *table,
			 const struct remotemap_region *region)
{
	const char *const sizes[] = {
		size_text(region->end - region->start),
		size_text(region->resident),
		size_text(region->huge),
		size_text(region->swapped),
	};
	int width = table->narrow ? 12 : 16;
	struct line line = { 0 };
	char rights[5];

	line_add(&line, "%*" PRIx64 "-%-*" PRIx64 " %s %-3s %-9s", width,
		 region->start, width, region->end,
		 rights_text(region->flags, rights), map_text(region->flags),
		 remotemap_kind_name(region->kind));
	sizes_add(table, &line, sizes);
	line_add_name(&line, table->columns, region->name);
	line_print(&line, table->columns);
	putchar('\n');
}

static void print_table(const struct remotemap_region *regions, ssize_t count,
			bool brief, const char *access)
{
	struct table table = { .brief = brief, .columns = table_columns() };
	uint64_t shown = 0, resident = 0, swapped = 0;

	table.narrow = table.columns &&
		table.columns < (brief ? WIDE_BRIEF : WIDE) + NAME;
	print_head(&table);
	for (ssize_t i = 0; i < count; i++) {
		print_region(&table, &regions[i]);
		if (!(regions[i].flags & REMOTEMAP_REGION_SHOWN))
			continue;
		shown += regions[i].end - regions[i].start;
		resident += regions[i].resident;
		swapped += regions[i].swapped;
	}
	printf("%zd regions; %s can be mapped", count, size_text(shown));
	if (!brief)
		printf("%s%s are in memory%s%s swapped out",
		       table.narrow ? ":\n" : ", of which ",
		       size_text(resident), table.narrow ? ", " : " and ",
		       size_text(swapped));
	if (access)
		printf("; for you: %s", access);
	putchar('\n');
}

/* What may the caller have: -errno: nothing, and why */
static int access_find(pid_t pid, const char **access)
{
	struct remotemap_open_options options = { .size = sizeof(options),
						  .flags = REMOTEMAP_WRITE };
	struct remotemap *handle;
	int error = remotemap_open_pid(pid, &options, &handle);

	*access = "read and write";
	if (error == -EACCES || error == -EPERM) {
		options.flags = 0;
		*access = "read";
		error = remotemap_open_pid(pid, &options, &handle);
	}
	if (error < 0) {
		*access = NULL;
		return error;
	}
	remotemap_close(handle);
	return 0;
}

static enum status guest_tell(const struct info *info)
{
	struct source source = { 0 };
	enum status status, end;

	status = guest_open(info->qemu, REMOTEMAP_QEMU_ALL, &source);
	if (status)
		return status;
	status = guest_print(&source, info->common.json);
	source_close(&source);
	end = output_finish();
	return status ? status : end;
}

static enum status process_tell(const struct info *info, pid_t pid)
{
	struct remotemap_region *regions;
	const char *access;
	enum status status, end;
	ssize_t count;
	int error;

	count = info->brief ? remotemap_regions_brief(pid, &regions) :
			     remotemap_regions(pid, &regions);
	if (count < 0)
		return fail_open(pid, (int)count);
	error = access_find(pid, &access);
	status = STATUS_OK;
	if (info->common.json)
		status = print_json(pid, regions, count, info->brief, access);
	else
		print_table(regions, count, info->brief, access);
	remotemap_regions_free(regions, count);
	end = output_finish();
	if (status || end)
		return status ? status : end;
	return error ? fail_open(pid, error) : STATUS_OK;
}

int command_info(int argc, char **argv)
{
	struct info info = { 0 };
	int pid_words;
	pid_t pid;

	if (command_parse(&argp, argc, argv, &info))
		return STATUS_USAGE;
	pid_words = !info.qemu;
	if (words_check(&info.words, pid_words, pid_words,
			pid_words ? "PID" : "no PID beside --qemu"))
		return STATUS_USAGE;
	if (info.qemu)
		return guest_tell(&info);
	if (pid_take(info.words.word[0], &pid))
		return STATUS_USAGE;
	return process_tell(&info, pid);
}
