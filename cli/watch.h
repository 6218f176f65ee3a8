/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of remotemap watch share.
 *
 * A struct picture is what a range of the source held when it was looked at last,
 * and the time before that. Bytes that are not there count as zero, and as other
 * than any that are.
 */
#ifndef REMOTEMAP_CLI_WATCH_H
#define REMOTEMAP_CLI_WATCH_H

#include "source.h"

/* ---- types ----------------------------------------------------------------- */

struct value_type;

/* NULL: there is none of that name */
const struct value_type *value_type_find(const char *name);
const char *value_type_names(void);
const char *value_type_name(const struct value_type *type);
/* In bytes; 0: all that there are */
size_t value_size(const struct value_type *type);
/* In one line, cut to size; returns text. */
const char *value_text(const struct value_type *type, const uint8_t *bytes,
		       size_t length, char *text, size_t size);
json_t *value_json(const struct value_type *type, const uint8_t *bytes,
		   size_t length);

/* ---- pictures -------------------------------------------------------------- */

#define AGE_MAX 255

struct picture {
	const struct source *source;
	uint64_t address;
	uint64_t offset; /* in the map file */
	size_t length;
	uint8_t *mirror;
	uint8_t *bytes, *before; /* now, and the last time */
	bool *there, *there_before;
	uint8_t *age; /* how many pictures ago it changed, up to AGE_MAX */
	uint64_t taken;
};

/* -errno, or -EFAULT: no view shows all of it */
int picture_open(struct picture *picture, const struct source *source,
		 uint64_t address, size_t length);
void picture_close(struct picture *picture);
/* Looks again. -ESRCH: the source has ended, and the picture is as it was. */
int picture_take(struct picture *picture);
bool picture_there(const struct picture *picture, size_t at, size_t count);
/* Did any of these change between the last picture and this one? */
bool picture_changed(const struct picture *picture, size_t at, size_t count);

/* ---- the command ----------------------------------------------------------- */

struct watch {
	struct common_options common;
	struct source_options source_options;
	struct words words;
	const struct value_type *type; /* NULL: bytes */
	uint64_t interval_ms;
	uint64_t count; /* of changes; 0: no end */
	bool exit;	/* with the source */
	struct source source;
	struct picture picture;
	char title[64]; /* of the process */
};

/* On a terminal, until the user or a signal ends it */
enum status watch_screen(struct watch *watch);
/* A line a change, on standard output */
enum status watch_lines(struct watch *watch);

#endif /* REMOTEMAP_CLI_WATCH_H */
