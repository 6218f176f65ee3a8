// SPDX-License-Identifier: GPL-2.0
/*
 * YARA rules over a mirror, where the source's bytes are, without a copy.
 *
 * libyara is given pieces of the mirror that have data. A page that vanishes while
 * it is looked at reads as zeros from then on: the handler of SIGBUS here puts
 * zeros in its place in this process's mirror, and libyara goes on; nothing is left
 * half done, as it would be by a jump out of libyara, and one page costs one page.
 * libyara's own handler would end the whole scan, so it is switched off.
 *
 * A match lies within one piece; pieces overlap, so one of up to OVERLAP bytes is
 * in one of them as a whole. libyara knows matches by their addresses: what is in
 * two pieces it counts once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <yara.h>

#include "progress.h"
#include "search.h"
#include "signals.h"

#define PIECE (32UL << 20)
#define OVERLAP (1UL << 20)
#define PAGE 4096UL

struct yara {
	YR_COMPILER *compiler;
	YR_RULES *rules;
	bool told; /* what is wrong with a file of rules */
};

/* A part of a span that had data when it was found */
struct piece {
	const uint8_t *mirror;
	uint64_t address;
	size_t length;
};

/* Goes over the pieces: at first they are found, then they are known. */
struct scan {
	struct search *search;
	struct target *target;
	struct piece *pieces;
	size_t count, next;
	size_t span;	 /* which one the search for data is at, */
	uint64_t offset; /* and where in it */
	bool complete;
	bool stopped; /* nothing more is to be printed */
	int error;    /* -errno */
	YR_MEMORY_BLOCK block;
};

/* ---- what vanishes --------------------------------------------------------- */

/* The scan that the handler of SIGBUS works for; there is one thread. */
static struct scan *volatile scan_now;

static struct span *span_at(struct scan *scan, const uint8_t *at)
{
	struct spans *spans = &scan->target->spans;

	for (size_t i = 0; i < spans->count; i++) {
		struct span *span = &spans->span[i];

		if (span->mirror && at >= span->mirror &&
		    at < span->mirror + span->length)
			return span;
	}
	return NULL;
}

/* Zeros from the page at to the next data; the calls are safe in a handler. */
static bool zeros_put(struct scan *scan, uint8_t *at)
{
	struct span *span = span_at(scan, at);
	uint8_t *page = (uint8_t *)((uintptr_t)at & -PAGE);
	uint64_t offset, end, size = PAGE;
	int64_t data;

	if (!span)
		return false;
	offset = span->offset + (uint64_t)(page - span->mirror);
	end = (span->offset + span->length + PAGE - 1) & -PAGE;
	data = remotemap_next_data(scan->target->source.handle, offset + PAGE);
	if (data < 0 || (uint64_t)data > end)
		size = end - offset;
	else
		size = ((uint64_t)data & -PAGE) - offset;
	scan->target->lost += size;
	scan->target->lost_places++;
	return mmap(page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	int error = errno;

	(void)context;
	/* What is not in a mirror is this program's fault: it ends by it. */
	if (!scan_now || info->si_code <= 0 ||
	    !zeros_put(scan_now, info->si_addr))
		signal(number, SIG_DFL);
	errno = error;
}

/* ---- pieces ---------------------------------------------------------------- */

static bool piece_add(struct scan *scan, const struct span *span,
		      uint64_t from, uint64_t to)
{
	struct piece *pieces = scan->pieces;

	/* Twice as many each time */
	if (!(scan->count & (scan->count - 1))) {
		pieces = reallocarray(pieces, scan->count ? 2 * scan->count : 1,
				      sizeof(*pieces));
		if (!pieces) {
			scan->error = -ENOMEM;
			return false;
		}
		scan->pieces = pieces;
	}
	pieces[scan->count++] = (struct piece){
		.mirror = span->mirror + (from - span->offset),
		.address = span->address + (from - span->offset),
		.length = to - from,
	};
	return true;
}

/* The next in this span; false: there is none, or an error */
static bool piece_in_span(struct scan *scan, struct span *span)
{
	uint64_t from = scan->offset, to;
	int more = span_data(&scan->target->source, span, &from, &to);

	if (more <= 0) {
		progress_add(span->offset + span->length - scan->offset);
		scan->error = more;
		return false;
	}
	progress_add(from - scan->offset);
	if (to - from > PIECE) {
		to = from + PIECE;
		scan->offset = to - OVERLAP;
	} else {
		scan->offset = to;
	}
	progress_add(scan->offset - from);
	return piece_add(scan, span, from, to);
}

static bool piece_find(struct scan *scan)
{
	struct spans *spans = &scan->target->spans;

	while (!scan->error && scan->span < spans->count &&
	       !search_over(scan->search)) {
		struct span *span = &spans->span[scan->span];

		if (!span->mirror) {
			scan->error = span_map(&scan->target->source, span);
			scan->offset = span->offset;
		}
		if (!scan->error && piece_in_span(scan, span))
			return true;
		scan->span++;
	}
	scan->complete = true;
	return false;
}

static const uint8_t *block_data(YR_MEMORY_BLOCK *block)
{
	return block->context;
}

static YR_MEMORY_BLOCK *block_next(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct scan *scan = iterator->context;
	const struct piece *piece;

	iterator->last_error = ERROR_SUCCESS;
	if (scan->next == scan->count &&
	    (scan->complete || !piece_find(scan))) {
		if (scan->error || signals_caught())
			iterator->last_error = ERROR_CALLBACK_ERROR;
		return NULL;
	}
	piece = &scan->pieces[scan->next++];
	scan->block = (YR_MEMORY_BLOCK){
		.size = piece->length,
		.base = piece->address,
		.context = (void *)piece->mirror,
		.fetch_data = block_data,
	};
	return &scan->block;
}

static YR_MEMORY_BLOCK *block_first(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
	struct scan *scan = iterator->context;

	scan->next = 0;
	return block_next(iterator);
}

/* ---- what it finds --------------------------------------------------------- */

static bool string_print(struct scan *scan, YR_SCAN_CONTEXT *context,
			 const YR_RULE *rule, const YR_STRING *string,
			 bool *any)
{
	const YR_MATCH *match;

	yr_string_matches_foreach(context, string, match) {
		struct match found = {
			.address = (uint64_t)(match->base + match->offset),
			.length = (uint64_t)match->match_length,
			.rule = rule->identifier,
			.string = string->identifier,
			.bytes = match->data,
			.byte_count = (size_t)match->data_length,
		};

		*any = true;
		if (!match_print(scan->search, scan->target, &found))
			return false;
	}
	return true;
}

static bool rule_print(struct scan *scan, YR_SCAN_CONTEXT *context,
		       const YR_RULE *rule)
{
	const YR_STRING *string;
	bool any = false;

	yr_rule_strings_foreach(rule, string) {
		if (!string_print(scan, context, rule, string, &any))
			return false;
	}
	if (!any) {
		struct match match = {
			.nowhere = true,
			.rule = rule->identifier,
		};

		return match_print(scan->search, scan->target, &match);
	}
	return true;
}

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data,
		      void *argument)
{
	struct scan *scan = argument;

	switch (message) {
	case CALLBACK_MSG_RULE_MATCHING:
		scan->stopped = !rule_print(scan, context, data);
		return scan->stopped ? CALLBACK_ABORT : CALLBACK_CONTINUE;
	case CALLBACK_MSG_TOO_MANY_MATCHES:
		complain("%s matches very often: not all of it is told",
			 ((const YR_STRING *)data)->identifier);
		return CALLBACK_CONTINUE;
	default:
		return CALLBACK_CONTINUE;
	}
}

static int yara_error(const struct scan *scan, int error)
{
	if (scan->error || scan->stopped || search_over(scan->search))
		return scan->error;
	switch (error) {
	case ERROR_SUCCESS:
		return 0;
	case ERROR_INSUFFICIENT_MEMORY:
		return -ENOMEM;
	default:
		complain("YARA: error %d", error);
		return -EIO;
	}
}

static int scan_run(struct scan *scan, YR_SCANNER *scanner)
{
	YR_MEMORY_BLOCK_ITERATOR iterator = {
		.context = scan,
		.first = block_first,
		.next = block_next,
	};
	struct sigaction old, action = {
		.sa_sigaction = on_bus_error,
		.sa_flags = SA_SIGINFO,
	};
	int error;

	yr_scanner_set_callback(scanner, on_message, scan);
	yr_scanner_set_flags(scanner, SCAN_FLAGS_PROCESS_MEMORY |
			     SCAN_FLAGS_NO_TRYCATCH |
			     SCAN_FLAGS_REPORT_RULES_MATCHING);
	scan_now = scan;
	sigaction(SIGBUS, &action, &old);
	error = yr_scanner_scan_mem_blocks(scanner, &iterator);
	sigaction(SIGBUS, &old, NULL);
	scan_now = NULL;
	return yara_error(scan, error);
}

int yara_search(struct search *search, struct target *target)
{
	struct scan scan = { .search = search, .target = target };
	YR_SCANNER *scanner;
	int error;

	if (yr_scanner_create(search->yara->rules, &scanner))
		return -ENOMEM;
	error = scan_run(&scan, scanner);
	yr_scanner_destroy(scanner);
	free(scan.pieces);
	return error;
}

/* ---- rules ----------------------------------------------------------------- */

static void on_compiler(int level, const char *file, int line,
			const YR_RULE *rule, const char *message, void *data)
{
	struct yara *yara = data;

	(void)rule;
	if (level == YARA_ERROR_LEVEL_ERROR && yara->told)
		return;
	complain("%s, line %d: %s%s", file ? text_printable(file) : "rules",
		 line, level == YARA_ERROR_LEVEL_ERROR ? "" : "warning: ",
		 text_printable(message));
	if (level == YARA_ERROR_LEVEL_ERROR)
		yara->told = true;
}

static enum status yara_new(struct yara **yara)
{
	if (yr_initialize())
		return fail(STATUS_SYSTEM, "libyara does not start");
	*yara = calloc(1, sizeof(**yara));
	if (!*yara || yr_compiler_create(&(*yara)->compiler)) {
		free(*yara);
		*yara = NULL;
		yr_finalize();
		return fail(STATUS_SYSTEM, "out of memory");
	}
	yr_compiler_set_callback((*yara)->compiler, on_compiler, *yara);
	return STATUS_OK;
}

enum status yara_add(struct yara **yara, const char *path)
{
	enum status status = *yara ? STATUS_OK : yara_new(yara);
	FILE *file;

	if (status)
		return status;
	file = fopen(path, "re");
	if (!file)
		return fail(STATUS_IO, "%s: %s", text_printable(path),
			    strerror(errno));
	/* Each file has its own names. */
	if (yr_compiler_add_file((*yara)->compiler, file, path, path)) {
		if (!(*yara)->told)
			complain("%s: no YARA rules", text_printable(path));
		status = STATUS_USAGE;
	}
	fclose(file);
	return status;
}

enum status yara_ready(struct yara *yara)
{
	if (yr_compiler_get_rules(yara->compiler, &yara->rules))
		return fail(STATUS_SYSTEM, "out of memory");
	return STATUS_OK;
}

void yara_free(struct yara *yara)
{
	if (!yara)
		return;
	if (yara->rules)
		yr_rules_destroy(yara->rules);
	yr_compiler_destroy(yara->compiler);
	free(yara);
	yr_finalize();
}
