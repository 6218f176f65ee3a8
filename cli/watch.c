// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap watch: see memory change.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "signals.h"
#include "watch.h"

#define LENGTH_MAX (16UL << 20)

enum { KEY_TYPE = 0x2100, KEY_INTERVAL, KEY_COUNT, KEY_EXIT };

static const struct argp_option options[] = {
	{ "type", KEY_TYPE, "TYPE", 0,
	  "Values, one a line, instead of bytes: u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 ptr str",
	  1 },
	{ "interval", KEY_INTERVAL, "SECONDS", 0,
	  "Look every so many seconds (0.5)", 1 },
	{ "count", KEY_COUNT, "N", 0,
	  "End after N changes; not in the terminal's view", 1 },
	{ "exit", KEY_EXIT, NULL, 0,
	  "In the terminal's view: end as soon as the process does", 1 },
	{ 0 },
};

static const struct argp_child children[] = {
	{ &source_argp, 0, NULL, 0 },
	{ &json_argp, 0, NULL, 0 },
	{ &color_argp, 0, NULL, 0 },
	{ 0 },
};

static const char doc[] =
	"Shows LENGTH bytes at ADDRESS of a process, live, and what of them changes.\v"
	"On a terminal this is a view of them; keys: q quit, p pause, arrows, PgUp, PgDn, "
	"Home and End scroll. Into a pipe or file, and with --json, it is first a line for each 16 "
	"bytes or value, then a line a change: seconds, address, old -> new. What is not "
	"there is --.\n\n"
	"Examples:\n"
	"  remotemap watch 4711 0x5581e0a3f000 256\n"
	"  remotemap watch 4711 0x5581e0a3f010 8 --type u64 --interval 0.1 | tee log";

static void interval_take(struct watch *watch, const char *text,
			  struct argp_state *state)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.01 && seconds <= 86400))
		argp_error(state,
			   "--interval: '%s' is no number of seconds from 0.01 to 86400",
			   text_printable(text));
	watch->interval_ms = (uint64_t)lround(seconds * 1000);
}

static error_t option(int key, char *arg, struct argp_state *state)
{
	struct watch *watch = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &watch->source_options;
		state->child_inputs[1] = &watch->common;
		state->child_inputs[2] = &watch->common;
		return 0;
	case KEY_TYPE:
		watch->type = value_type_find(arg);
		if (!watch->type)
			argp_error(state, "--type: '%s' is none of %s",
				   text_printable(arg), value_type_names());
		return 0;
	case KEY_INTERVAL:
		interval_take(watch, arg, state);
		return 0;
	case KEY_COUNT:
		if (!number_parse(arg, &watch->count) || !watch->count)
			argp_error(state, "--count is a number, at least 1");
		return 0;
	case KEY_EXIT:
		watch->exit = true;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&watch->words, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static enum status range_take(const struct watch *watch, char **word,
			      uint64_t *address, uint64_t *length)
{
	enum status status = number_take(word[0], "ADDRESS", address);

	if (!status)
		status = number_take(word[1], "LENGTH", length);
	if (status)
		return status;
	if (!*length || *length > LENGTH_MAX)
		return fail(STATUS_USAGE, "LENGTH is 1 to %s",
			    size_text(LENGTH_MAX));
	if (watch->type && *length < value_size(watch->type))
		return fail(STATUS_USAGE, "a value of type %s has %zu bytes",
			    value_type_name(watch->type),
			    value_size(watch->type));
	return STATUS_OK;
}

/* "process 4711 (redis-server)" */
static void title_make(struct watch *watch)
{
	char path[32], name[20] = "";
	FILE *file;

	if (watch->source.pid <= 0) {
		snprintf(watch->title, sizeof(watch->title), "source");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", watch->source.pid);
	file = fopen(path, "re");
	if (!file || !fgets(name, sizeof(name), file))
		*name = '\0';
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = '\0';
	snprintf(watch->title, sizeof(watch->title), "process %d%s%s%s",
		 watch->source.pid, *name ? " (" : "",
		 text_printable(name), *name ? ")" : "");
}

static enum status range_watch(struct watch *watch, uint64_t address,
			       uint64_t length)
{
	bool screen = !watch->common.json && isatty(STDOUT_FILENO) &&
		isatty(STDIN_FILENO);
	enum status status;
	int error;

	title_make(watch);
	error = picture_open(&watch->picture, &watch->source, address, length);
	if (error == -EFAULT || error == -EINVAL)
		return fail(STATUS_USAGE,
			    "%s: no view shows all of 0x%llx+0x%llx: see remotemap info",
			    watch->title, (unsigned long long)address,
			    (unsigned long long)length);
	if (error)
		return fail_source(watch->title, error);
	signals_catch();
	status = screen ? watch_screen(watch) : watch_lines(watch);
	picture_close(&watch->picture);
	return status;
}

int command_watch(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = option,
		.args_doc = "PID ADDRESS LENGTH\n--socket PATH ADDRESS LENGTH\n--qemu SOCKET ADDRESS LENGTH",
		.doc = doc, .children = children,
	};
	struct watch watch = {
		.source_options = SOURCE_OPTIONS_INIT, .interval_ms = 500,
	};
	uint64_t address, length;
	enum status status;
	int by_pid;

	status = command_parse(&argp, argc, argv, &watch);
	if (status)
		return status;
	by_pid = source_takes_pid(&watch.source_options);
	status = words_check(&watch.words, by_pid + 2, by_pid + 2,
			     by_pid ? "PID ADDRESS LENGTH" : "ADDRESS LENGTH");
	if (!status)
		status = range_take(&watch, watch.words.word + by_pid, &address,
				    &length);
	if (!status)
		status = source_open(&watch.source_options,
				     watch.words.word[0], 0, &watch.source);
	if (status)
		return status;
	status = range_watch(&watch, address, length);
	source_close(&watch.source);
	return status;
}
