/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is looked for: bytes, of which half a byte or a whole one may be anything.
 *
 * A pattern has at least one half byte that is given. A struct pattern that is all
 * zero may be freed.
 */
#ifndef REMOTEMAP_CLI_PATTERN_H
#define REMOTEMAP_CLI_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "common.h"

struct pattern {
	char *label;	/* as the user gave it */
	uint8_t *value; /* with 0 where mask has it */
	uint8_t *mask;	/* the bits that count; NULL: all of them */
	size_t length;
	size_t anchor;	/* the longest run of whole bytes: where, how long */
	size_t anchor_length;
	struct bytes bytes; /* those of the anchor */
};

/* Of what the command line says; told, if it says nothing that can be found. */
enum status pattern_text(struct pattern *pattern, const char *text);
/* The same in UTF-16, little endian; text is in UTF-8. */
enum status pattern_wide(struct pattern *pattern, const char *text);
/* 'DE AD ?? B? EF', with blanks or without */
enum status pattern_hex(struct pattern *pattern, const char *hex);
/* What that file holds */
enum status pattern_file(struct pattern *pattern, const char *path);
void pattern_free(struct pattern *pattern);

/* The first place in [from, end), or NULL. What it reads may change meanwhile. */
const uint8_t *pattern_find(const struct pattern *pattern, const uint8_t *from,
			    const uint8_t *end);

#endif /* REMOTEMAP_CLI_PATTERN_H */
