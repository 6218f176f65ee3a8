// SPDX-License-Identifier: GPL-2.0
/*
 * A match is printed in one line, whatever bytes are in it: what a terminal could
 * take for a command never gets there.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "search.h"
#include "signals.h"

#define SHOWN_MAX 512U /* bytes of a match */
#define LINE_MAX_BYTES 16U /* of them in a line for people */

/* A match and what is around it */
struct excerpt {
	uint8_t *before, *match, *after;
	size_t before_count, match_count, after_count;
	uint8_t bytes[];
};

bool search_over(const struct search *search)
{
	return signals_caught() || ferror(stdout) ||
		(search->max && search->found >= search->max);
}

static size_t source_bytes(const struct target *target, uint64_t address,
			   uint8_t *bytes, size_t count)
{
	uint64_t offset, length;
	ssize_t n;

	if (!source_offset(&target->source, address, &offset, &length))
		return 0;
	if (count > length)
		count = length;
	n = remotemap_read(target->source.handle, bytes, count, offset);
	return n > 0 ? (size_t)n : 0;
}

/*
 * How many bytes before a match may be looked at: none before its region, if no other
 * is there. To ask for what is right below a stack makes the kernel log it.
 */
static size_t before_room(const struct search *search,
			  const struct target *target, uint64_t address)
{
	size_t room = search->context;
	const struct remotemap_region *region;

	if (room > address)
		room = address;
	region = spans_region(&target->spans, address);
	if (region && room > address - region->start &&
	    !spans_region(&target->spans, address - room))
		room = address - region->start;
	return room;
}

/* What is there now: it may be less than there was. */
static struct excerpt *excerpt_take(const struct search *search,
				    const struct target *target,
				    const struct match *match)
{
	size_t before = before_room(search, target, match->address);
	size_t context = search->context, n;
	struct excerpt *excerpt;

	excerpt = calloc(1, sizeof(*excerpt) + 2 * context + SHOWN_MAX);
	if (!excerpt || match->nowhere)
		return excerpt;
	excerpt->before = excerpt->bytes;
	excerpt->match = excerpt->bytes + context;
	excerpt->after = excerpt->match + SHOWN_MAX;
	n = source_bytes(target, match->address - before, excerpt->before,
			 before);
	/* There is a hole: what is before it does not join on to the match. */
	if (n < before && before > (match->address & 4095)) {
		before = match->address & 4095;
		n = source_bytes(target, match->address - before,
				 excerpt->before, before);
	}
	excerpt->before_count = n == before ? n : 0;
	n = match->length < SHOWN_MAX ? match->length : SHOWN_MAX;
	if (match->bytes) {
		n = match->byte_count < n ? match->byte_count : n;
		memcpy(excerpt->match, match->bytes, n);
	} else {
		n = source_bytes(target, match->address, excerpt->match, n);
	}
	excerpt->match_count = n;
	excerpt->after_count = source_bytes(target, match->address +
					    match->length, excerpt->after,
					    context);
	return excerpt;
}

/* ---- for people ------------------------------------------------------------ */

static void text_print(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		putchar(bytes[i] < 0x80 && isprint(bytes[i]) ? bytes[i] : '.');
}

static void excerpt_print(const struct search *search,
			  const struct excerpt *excerpt)
{
	size_t count = excerpt->match_count;
	bool cut = count > LINE_MAX_BYTES;

	if (cut)
		count = LINE_MAX_BYTES;
	for (size_t i = 0; i < count; i++)
		printf(" %02x", excerpt->match[i]);
	printf("%s  |", cut ? " .." : "");
	text_print(excerpt->before, excerpt->before_count);
	if (search->coloured)
		fputs("\033[1;31m", stdout);
	text_print(excerpt->match, excerpt->match_count);
	if (search->coloured)
		fputs("\033[0m", stdout);
	text_print(excerpt->after, excerpt->after_count);
	putchar('|');
}

static const char *region_name(const struct remotemap_region *region)
{
	if (!region)
		return "-";
	return *region->name ? region->name : span_kind_name(region->kind);
}

static void line_print(const struct search *search,
		       const struct target *target, const struct match *match,
		       const struct excerpt *excerpt)
{
	const struct remotemap_region *region = NULL;

	if (match->nowhere) {
		printf("%d - -", target->source.pid);
	} else {
		region = spans_region(&target->spans, match->address);
		printf("%d 0x%" PRIx64 " %s", target->source.pid,
		       match->address, text_printable(region_name(region)));
	}
	if (match->rule)
		printf(" %s%s%s", text_printable(match->rule),
		       match->string ? ":" : "",
		       match->string ? match->string : "");
	if (match->pattern)
		printf(" %s", text_printable(match->pattern));
	if (!match->nowhere) {
		putchar(' ');
		excerpt_print(search, excerpt);
	}
	putchar('\n');
}

/* ---- for programs ---------------------------------------------------------- */

static json_t *json_hex(const uint8_t *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * count + 1);
	json_t *value;

	if (!text)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	value = json_stringn(text, 2 * count);
	free(text);
	return value;
}

static json_t *json_region(const struct remotemap_region *region)
{
	if (!region)
		return json_null();
	return json_pack("{s:o, s:o, s:s, s:s}", "start",
			 json_address(region->start), "end",
			 json_address(region->end), "kind",
			 span_kind_name(region->kind), "name",
			 text_printable(region->name));
}

static json_t *json_match(const struct target *target,
			  const struct match *match,
			  const struct excerpt *excerpt)
{
	json_t *value = json_object();

	json_object_set_new(value, "pid", json_integer(target->source.pid));
	if (match->rule)
		json_object_set_new(value, "rule",
				    json_text(match->rule));
	if (match->string)
		json_object_set_new(value, "string",
				    json_text(match->string));
	if (match->pattern)
		json_object_set_new(value, "pattern",
				    json_text(match->pattern));
	if (match->nowhere)
		return value;
	json_object_set_new(value, "address", json_address(match->address));
	json_object_set_new(value, "length",
			    json_integer((json_int_t)match->length));
	json_object_set_new(value, "region",
			    json_region(spans_region(&target->spans,
						     match->address)));
	json_object_set_new(value, "before",
			    json_hex(excerpt->before, excerpt->before_count));
	json_object_set_new(value, "bytes",
			    json_hex(excerpt->match, excerpt->match_count));
	json_object_set_new(value, "after",
			    json_hex(excerpt->after, excerpt->after_count));
	return value;
}

bool match_print(struct search *search, struct target *target,
		 const struct match *match)
{
	struct excerpt *excerpt;

	if (search_over(search))
		return false;
	excerpt = excerpt_take(search, target, match);
	if (!excerpt)
		return false;
	progress_hide();
	search->found++;
	if (search->common.json)
		json_print(json_match(target, match, excerpt), true);
	else
		line_print(search, target, match, excerpt);
	free(excerpt);
	return !search_over(search);
}
