// SPDX-License-Identifier: GPL-2.0
/*
 * A pattern that a function here returns is complete: what is missing in it makes
 * the function fail, and then there is nothing to be freed.
 *
 * bytes_find() finds the anchor, the longest run of bytes that are given as a whole, so
 * a pattern with wildcards costs little more than one without.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pattern.h"

/* More of a file than anybody looks for */
#define FILE_MAX (64UL << 20)

static enum status pattern_new(struct pattern *pattern, const char *label,
			       size_t size)
{
	*pattern = (struct pattern){
		.label = strdup(label),
		.value = calloc(1, size ? size : 1),
	};
	if (pattern->label && pattern->value)
		return STATUS_OK;
	pattern_free(pattern);
	return fail(STATUS_SYSTEM, "out of memory");
}

static enum status refuse(struct pattern *pattern, const char *why)
{
	complain("%s: %s", text_printable(pattern->label), why);
	pattern_free(pattern);
	return STATUS_USAGE;
}

void pattern_free(struct pattern *pattern)
{
	free(pattern->label);
	free(pattern->value);
	free(pattern->mask);
	*pattern = (struct pattern){ 0 };
}

static void anchor_choose(struct pattern *pattern)
{
	size_t run = 0;

	for (size_t i = 0; i < pattern->length; i++) {
		run = !pattern->mask || pattern->mask[i] == 0xff ? run + 1 : 0;
		if (run > pattern->anchor_length) {
			pattern->anchor_length = run;
			pattern->anchor = i + 1 - run;
		}
	}
	bytes_prepare(&pattern->bytes, pattern->value + pattern->anchor,
		      pattern->anchor_length);
}

enum status pattern_text(struct pattern *pattern, const char *text)
{
	size_t length = strlen(text);
	enum status status = pattern_new(pattern, text, length);

	if (status)
		return status;
	if (!length)
		return refuse(pattern, "no text to look for");
	memcpy(pattern->value, text, length);
	pattern->length = length;
	anchor_choose(pattern);
	return STATUS_OK;
}

/* One code point of UTF-8, or -1: it is none. *text moves on. */
static int32_t code_point(const char **text)
{
	const unsigned char *at = (const unsigned char *)*text;
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t point;
	int more;

	if (*at < 0x80) {
		(*text)++;
		return *at;
	}
	more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
	if (*at < 0xc2 || *at > 0xf4)
		return -1;
	point = *at & (0x3fU >> more);
	for (int i = 1; i <= more; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return -1;
		point = point << 6 | (at[i] & 0x3f);
	}
	if (point < least[more] || point > 0x10ffff ||
	    (point >= 0xd800 && point < 0xe000))
		return -1;
	*text += more + 1;
	return (int32_t)point;
}

static void unit_add(struct pattern *pattern, uint32_t unit)
{
	pattern->value[pattern->length++] = (uint8_t)unit;
	pattern->value[pattern->length++] = (uint8_t)(unit >> 8);
}

enum status pattern_wide(struct pattern *pattern, const char *text)
{
	enum status status = pattern_new(pattern, text, 2 * strlen(text));

	if (status)
		return status;
	while (*text) {
		int32_t point = code_point(&text);

		if (point < 0)
			return refuse(pattern,
				      "no UTF-8; use --hex for other bytes");
		if (point < 0x10000) {
			unit_add(pattern, (uint32_t)point);
			continue;
		}
		unit_add(pattern, 0xd800 + ((uint32_t)(point - 0x10000) >> 10));
		unit_add(pattern, 0xdc00 + ((uint32_t)point & 0x3ff));
	}
	if (!pattern->length)
		return refuse(pattern, "no text to look for");
	anchor_choose(pattern);
	return STATUS_OK;
}

/* Half a byte: 0 to 15, -1: anything, -2: none */
static int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at;

	if (c == '?')
		return -1;
	at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
	return at ? (int)(at - digits) : -2;
}

static bool wildcards_only(const struct pattern *pattern)
{
	for (size_t i = 0; i < pattern->length; i++)
		if (pattern->mask[i])
			return false;
	return true;
}

enum status pattern_hex(struct pattern *pattern, const char *hex)
{
	enum status status = pattern_new(pattern, hex, strlen(hex) / 2 + 1);
	size_t n = 0;

	if (status)
		return status;
	pattern->mask = calloc(1, strlen(hex) / 2 + 1);
	if (!pattern->mask) {
		pattern_free(pattern);
		return fail(STATUS_SYSTEM, "out of memory");
	}
	for (; *hex; hex++) {
		int high, low;

		if (isspace((unsigned char)*hex))
			continue;
		high = nibble(hex[0]);
		low = nibble(hex[1]);
		if (high < -1 || low < -1)
			return refuse(pattern,
				      "no bytes in hex: 'DE AD ?? B? EF'");
		pattern->mask[n] = (uint8_t)((high < 0 ? 0 : 0xf0) |
					     (low < 0 ? 0 : 0x0f));
		pattern->value[n++] = (uint8_t)((high < 0 ? 0 : high << 4) |
						(low < 0 ? 0 : low));
		hex++;
	}
	pattern->length = n;
	if (wildcards_only(pattern))
		return refuse(pattern, "not one digit is given");
	anchor_choose(pattern);
	return STATUS_OK;
}

static enum status file_read(struct pattern *pattern, FILE *file,
			     const char *path, size_t size)
{
	enum status status = pattern_new(pattern, path, size);

	if (status)
		return status;
	pattern->length = fread(pattern->value, 1, size, file);
	if (ferror(file)) {
		pattern_free(pattern);
		return fail(STATUS_IO, "%s: %s", text_printable(path),
			    strerror(EIO));
	}
	if (!pattern->length)
		return refuse(pattern, "the file is empty");
	anchor_choose(pattern);
	return STATUS_OK;
}

enum status pattern_file(struct pattern *pattern, const char *path)
{
	FILE *file = fopen(path, "rbe");
	enum status status;
	struct stat stat;

	if (!file || fstat(fileno(file), &stat)) {
		status = fail(STATUS_IO, "%s: %s", text_printable(path),
			      strerror(errno));
		if (file)
			fclose(file);
		return status;
	}
	if (!S_ISREG(stat.st_mode))
		status = fail(STATUS_IO, "%s: not a file of bytes",
			      text_printable(path));
	else if ((uint64_t)stat.st_size > FILE_MAX)
		status = fail(STATUS_USAGE, "%s: larger than %s",
			      text_printable(path), size_text(FILE_MAX));
	else
		status = file_read(pattern, file, path, (size_t)stat.st_size);
	fclose(file);
	return status;
}

static bool equals(const struct pattern *pattern, const uint8_t *at)
{
	for (size_t i = 0; i < pattern->length; i++)
		if ((at[i] & pattern->mask[i]) != pattern->value[i])
			return false;
	return true;
}

const uint8_t *pattern_find(const struct pattern *pattern, const uint8_t *from,
			    const uint8_t *end)
{
	size_t after = pattern->length - pattern->anchor;

	while ((size_t)(end - from) >= pattern->length) {
		const uint8_t *at = from + pattern->anchor;
		/* What follows the anchor has room, too. */
		size_t room = (size_t)(end - at) - after +
			pattern->anchor_length;

		at = bytes_find(&pattern->bytes, at, room);
		if (!at)
			return NULL;
		at -= pattern->anchor;
		if (!pattern->mask || equals(pattern, at))
			return at;
		from = at + 1;
	}
	return NULL;
}
