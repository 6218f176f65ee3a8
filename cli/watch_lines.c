// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap watch into a pipe or a file: a line a change, when it is seen.
 *
 * The first lines tell what was there at first: they have no value before, and
 * count as no change. Bytes that change side by side are one change, within a row
 * of 16.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "signals.h"
#include "watch.h"

#define ROW 16U

struct lines {
	struct watch *watch;
	int64_t begin_ms;
	uint64_t told; /* changes */
};

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static bool enough(const struct lines *lines)
{
	return lines->watch->count && lines->told >= lines->watch->count;
}

static bool all_there(const bool *there, size_t count)
{
	while (count--)
		if (!*there++)
			return false;
	return true;
}

static void bytes_print(const uint8_t *bytes, const bool *there, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (there[i])
			printf(" %02x", bytes[i]);
		else
			fputs(" --", stdout);
	}
}

static void state_print(const struct watch *watch, const uint8_t *bytes,
			const bool *there, size_t count)
{
	char text[4096];

	if (!watch->type)
		bytes_print(bytes, there, count);
	else if (!all_there(there, count))
		fputs(" --", stdout);
	else
		printf(" %s", value_text(watch->type, bytes, count, text,
					 sizeof(text)));
}

/* Bytes in hex, with -- for what is not there; a value, or null */
static json_t *state_json(const struct watch *watch, const uint8_t *bytes,
			  const bool *there, size_t count)
{
	char text[2 * ROW + 1] = "";

	if (watch->type)
		return all_there(there, count) ?
			value_json(watch->type, bytes, count) : json_null();
	for (size_t i = 0; i < count; i++) {
		if (there[i])
			snprintf(text + 2 * i, 3, "%02x", bytes[i]);
		else
			snprintf(text + 2 * i, 3, "--");
	}
	return json_string(text);
}

static void json_line(const struct lines *lines, size_t at, size_t count,
		      bool first, double seconds)
{
	const struct watch *watch = lines->watch;
	const struct picture *picture = &watch->picture;
	json_t *line = json_object();

	json_object_set_new(line, "time", json_real(seconds));
	json_object_set_new(line, "address", json_address(picture->address + at));
	if (watch->type)
		json_object_set_new(line, "type",
				    json_string(value_type_name(watch->type)));
	if (!first)
		json_object_set_new(line, "old",
				    state_json(watch, picture->before + at,
					       picture->there_before + at,
					       count));
	json_object_set_new(line, "new",
			    state_json(watch, picture->bytes + at,
				       picture->there + at, count));
	json_print(line, true);
}

static void line_print(const struct lines *lines, size_t at, size_t count,
		       bool first)
{
	const struct picture *picture = &lines->watch->picture;
	double seconds = (double)(now_ms() - lines->begin_ms) / 1000;

	if (lines->watch->common.json) {
		json_line(lines, at, count, first, seconds);
		return;
	}
	printf("%.3f 0x%" PRIx64, seconds, picture->address + at);
	if (!first) {
		state_print(lines->watch, picture->before + at,
			    picture->there_before + at, count);
		fputs(" ->", stdout);
	}
	state_print(lines->watch, picture->bytes + at, picture->there + at,
		    count);
	putchar('\n');
}

static void change_print(struct lines *lines, size_t at, size_t count)
{
	if (enough(lines))
		return;
	line_print(lines, at, count, false);
	lines->told++;
}

/* What changed in [at, at + count), byte by byte, as few changes as it can be */
static void row_compare(struct lines *lines, size_t at, size_t count)
{
	const struct picture *picture = &lines->watch->picture;
	size_t run = 0;

	for (size_t i = 0; i < count; i++) {
		if (picture_changed(picture, at + i, 1)) {
			run++;
			continue;
		}
		if (run)
			change_print(lines, at + i - run, run);
		run = 0;
	}
	if (run)
		change_print(lines, at + count - run, run);
}

static void picture_tell(struct lines *lines, bool first)
{
	const struct watch *watch = lines->watch;
	size_t length = watch->picture.length, step = ROW, count;

	if (watch->type)
		step = value_size(watch->type) ?: length;
	for (size_t at = 0; at < length && !enough(lines); at += count) {
		count = step < length - at ? step : length - at;
		/* What is left at the end is no value. */
		if (watch->type && count < step)
			break;
		if (first)
			line_print(lines, at, count, true);
		else if (!watch->type)
			row_compare(lines, at, count);
		else if (picture_changed(&watch->picture, at, count))
			change_print(lines, at, count);
	}
	fflush(stdout);
}

enum status watch_lines(struct watch *watch)
{
	struct lines lines = { .watch = watch, .begin_ms = now_ms() };
	int error = 0;

	for (bool first = true; !signals_caught(); first = false) {
		error = picture_take(&watch->picture);
		if (error)
			break;
		picture_tell(&lines, first);
		if (enough(&lines) || ferror(stdout))
			break;
		/* The end is told by the next picture. */
		remotemap_wait(watch->source.handle, (int)watch->interval_ms);
	}
	if (signals_caught())
		return (enum status)signals_status();
	if (output_finish())
		return STATUS_IO;
	return error ? fail_source(watch->title, error) : STATUS_OK;
}
