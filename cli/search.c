// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap search: find bytes, text or YARA rules in processes.
 *
 * A process that cannot be searched ends nothing if there are others; the exit
 * status tells of the first that was named and could not.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "search.h"
#include "signals.h"

/* ---- the command line ------------------------------------------------------ */

enum {
	KEY_TEXT = 0x2000, KEY_WIDE, KEY_HEX, KEY_BYTES, KEY_YARA, KEY_ALL,
	KEY_MAX, KEY_CONTEXT
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What to find; all but --yara can be given several times:",
	  1 },
	{ "text", KEY_TEXT, "TEXT", 0, "Text, as its bytes are here", 1 },
	{ "wide", KEY_WIDE, "TEXT", 0, "Text in UTF-16, little endian", 1 },
	{ "hex", KEY_HEX, "BYTES", 0,
	  "Bytes such as 'DE AD ?? B? EF'; ? is any half byte", 1 },
	{ "bytes", KEY_BYTES, "FILE", 0, "What FILE holds", 1 },
	{ "yara", KEY_YARA, "FILE", 0,
	  "YARA rules; several files, and nothing beside them", 1 },
	{ NULL, 0, NULL, 0, "Where:", 2 },
	{ "all", KEY_ALL, NULL, 0,
	  "All processes that may be opened, but this command itself", 2 },
	{ NULL, 0, NULL, 0, "What to print:", 3 },
	{ "max", KEY_MAX, "N", 0, "No more than N matches", 3 },
	{ "context", KEY_CONTEXT, "N", 0,
	  "N bytes before and after each match (16)", 3 },
	{ 0 },
};

static const struct argp_child children[] = {
	{ &source_argp, 0, NULL, 0 },
	{ &span_filter_argp, 0, NULL, 0 },
	{ &json_argp, 0, NULL, 0 },
	{ &color_argp, 0, NULL, 0 },
	{ 0 },
};

static const char doc[] =
	"Finds bytes, text or YARA rules in the memory of processes, where they are.\v"
	"A match is a line: process, address, region, what of several patterns or which "
	"rule and string, the bytes, and text around them. The exit status is 0 if something "
	"was found, 1 if not.\n\n"
	"Examples:\n"
	"  remotemap search 4711 --text hunter2\n"
	"  remotemap search --all --resident --hex '7f 45 4c 46 02 ?? 0?'\n"
	"  remotemap search 4711 4712 --yara rules.yar --json\n"
	"  remotemap search --qemu /run/vm/qmp --text 'Linux version' --region ram";

static enum status pattern_take(struct search *search, int key,
				const char *text)
{
	struct pattern *pattern;

	pattern = reallocarray(search->patterns, search->pattern_count + 1,
			       sizeof(*pattern));
	if (!pattern)
		return fail(STATUS_SYSTEM, "out of memory");
	search->patterns = pattern;
	pattern += search->pattern_count;
	/* On failure nothing of it is to be freed. */
	switch (key) {
	case KEY_TEXT:
		if (pattern_text(pattern, text))
			return STATUS_USAGE;
		break;
	case KEY_WIDE:
		if (pattern_wide(pattern, text))
			return STATUS_USAGE;
		break;
	case KEY_HEX:
		if (pattern_hex(pattern, text))
			return STATUS_USAGE;
		break;
	default: {
		enum status status = pattern_file(pattern, text);

		if (status)
			return status;
	}
	}
	search->pattern_count++;
	return STATUS_OK;
}

static void count_take(const char *name, const char *text, uint64_t most,
		       uint64_t *count, struct argp_state *state)
{
	if (!number_parse(text, count) || *count > most)
		argp_error(state, "--%s: '%s' is no number that can be had",
			   name, text_printable(text));
}

static error_t option(int key, char *arg, struct argp_state *state)
{
	struct search *search = state->input;
	enum status status = STATUS_OK;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &search->source;
		state->child_inputs[1] = &search->filter;
		state->child_inputs[2] = &search->common;
		state->child_inputs[3] = &search->common;
		break;
	case KEY_TEXT:
	case KEY_WIDE:
	case KEY_HEX:
	case KEY_BYTES:
		status = pattern_take(search, key, arg);
		break;
	case KEY_YARA:
		status = yara_add(&search->yara, arg);
		break;
	case KEY_ALL:
		search->all = true;
		break;
	case KEY_MAX:
		count_take("max", arg, UINT64_MAX, &search->max, state);
		if (!search->max)
			argp_error(state, "--max is at least 1");
		break;
	case KEY_CONTEXT:
		count_take("context", arg, 4096, &search->context, state);
		break;
	case ARGP_KEY_ARGS:
		words_take(&search->pids, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (!search->wrong)
		search->wrong = status;
	return 0;
}

static enum status search_check(const struct search *search)
{
	bool lent = !source_takes_pid(&search->source);
	unsigned int guests = -1U << SPAN_GUEST;

	if (!search->pattern_count && !search->yara)
		return fail(STATUS_USAGE,
			    "what is to be found? --text, --wide, --hex, --bytes or --yara");
	if (search->pattern_count && search->yara)
		return fail(STATUS_USAGE,
			    "--yara and patterns exclude each other: put them into the rules");
	if (search->filter.kinds & (search->source.qemu ? ~guests : guests))
		return fail(STATUS_USAGE,
			    "--region: ram, rom and device are a guest's (--qemu), the others are not");
	if (search->all + lent + (search->pids.count > 0) == 1)
		return STATUS_OK;
	return fail(STATUS_USAGE,
		    "which processes? PID... or --all or --socket or --map-fd or --qemu");
}

/* ---- one process ----------------------------------------------------------- */

static void lost_tell(const struct target *target)
{
	if (!target->lost)
		return;
	progress_hide();
	complain("process %d: %s in %llu places could not be read: gone meanwhile",
		 target->source.pid, size_text(target->lost),
		 (unsigned long long)target->lost_places);
}

/* -errno; the source is closed in any case. */
static int target_search(struct search *search, struct target *target)
{
	char what[32];
	int error = spans_find(&target->source, &search->filter,
			       &target->spans);

	if (!error) {
		snprintf(what, sizeof(what), "process %d", target->source.pid);
		progress_begin(what, target->spans.total);
		error = search->yara ? yara_search(search, target) :
				       bytes_search(search, target);
		progress_end();
		lost_tell(target);
		spans_free(&target->spans);
	}
	source_close(&target->source);
	return error;
}

static enum status named_search(struct search *search, const char *word)
{
	struct target target = { 0 };
	char name[32] = "search";
	enum status status;
	int error;

	status = source_open(&search->source, word, 0, &target.source);
	if (status)
		return status;
	if (target.source.pid > 0)
		snprintf(name, sizeof(name), "process %d", target.source.pid);
	error = target_search(search, &target);
	return error ? fail_source(name, error) : STATUS_OK;
}

static enum status named_all(struct search *search)
{
	enum status first = STATUS_OK;

	if (!source_takes_pid(&search->source))
		return named_search(search, NULL);
	for (int i = 0; i < search->pids.count && !search_over(search); i++) {
		enum status status = named_search(search, search->pids.word[i]);

		if (!first)
			first = status;
	}
	return first;
}

/* ---- all of them ----------------------------------------------------------- */

struct tally {
	unsigned int searched, refused, failed;
};

static enum status other_search(struct search *search, pid_t pid,
				struct tally *tally)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY | REMOTEMAP_READONLY,
	};
	struct target target = { .source.pid = pid };
	int error;

	if (search->source.resident)
		options.flags |= REMOTEMAP_RESIDENT;
	error = remotemap_open_pid(pid, &options, &target.source.handle);
	/* A kernel thread, a zombie; or it has ended. */
	if (error == -ESRCH || error == -EINVAL)
		return STATUS_OK;
	if (error == -EACCES || error == -EPERM) {
		tally->refused++;
		return STATUS_OK;
	}
	if (error < 0)
		return fail_open(pid, error);
	target.source.view_count = remotemap_views(target.source.handle,
						   &target.source.views);
	if (target.source.view_count < 0)
		error = (int)target.source.view_count;
	if (error < 0)
		source_close(&target.source);
	else
		error = target_search(search, &target);
	tally->searched += !error;
	tally->failed += error && error != -ESRCH;
	return error == -ENOMEM ? fail_source("search", error) : STATUS_OK;
}

static enum status all_search(struct search *search)
{
	struct tally tally = { 0 };
	enum status status = STATUS_OK;
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return fail_open(0, ENOENT);
	while (!status && !search_over(search) && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		/* What is looked for is in this process for sure. */
		if (isdigit((unsigned char)entry->d_name[0]) && pid != getpid())
			status = other_search(search, pid, &tally);
	}
	closedir(proc);
	complain("%u processes searched, this one left out; %u may not be opened%s",
		 tally.searched, tally.refused,
		 tally.failed ? "; some could not be searched" : "");
	return status;
}

/* ---- the command ----------------------------------------------------------- */

static enum status search_run(struct search *search)
{
	enum status status = search->wrong;

	if (!status)
		status = search_check(search);
	if (!status && search->yara)
		status = yara_ready(search->yara);
	if (status)
		return status;
	signals_catch();
	search->coloured = color_wanted(search->common.color, STDOUT_FILENO);
	status = search->all ? all_search(search) : named_all(search);
	if (signals_caught()) {
		fflush(stdout);
		return (enum status)signals_status();
	}
	if (output_finish())
		return STATUS_IO;
	if (search->max && search->found >= search->max)
		complain("stopped after %llu matches: --max",
			 (unsigned long long)search->found);
	if (status)
		return status;
	return search->found ? STATUS_OK : STATUS_NOTHING;
}

int command_search(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = option,
		.args_doc = "PID...\n--all\n--qemu SOCKET", .doc = doc, .children = children,
	};
	struct search search = { .source = SOURCE_OPTIONS_INIT, .context = 16 };
	enum status status = command_parse(&argp, argc, argv, &search);

	if (!status)
		status = search_run(&search);
	for (size_t i = 0; i < search.pattern_count; i++)
		pattern_free(&search.patterns[i]);
	free(search.patterns);
	yara_free(search.yara);
	return status;
}
