/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of remotemap search share: what is looked for, in which process,
 * and what was found.
 *
 * What is found is printed at once, and each match once. A source that ends, or
 * gives up memory that is being looked at, ends nothing here.
 */
#ifndef REMOTEMAP_CLI_SEARCH_H
#define REMOTEMAP_CLI_SEARCH_H

#include "pattern.h"
#include "spans.h"

struct yara;

struct search {
	/* what the command line says */
	struct common_options common;
	struct source_options source;
	struct span_filter filter;
	struct words pids;
	bool all;
	uint64_t max;	  /* matches; 0: all */
	uint64_t context; /* bytes before and after */
	enum status wrong; /* the first of its words that cannot be used */
	/* what is looked for */
	struct pattern *patterns;
	size_t pattern_count;
	struct yara *yara; /* or NULL */
	/* what came of it */
	bool coloured;
	uint64_t found;
};

/* A process that is being searched */
struct target {
	struct source source;
	struct spans spans;
	uint64_t lost; /* bytes that were there and could not be read */
	uint64_t lost_places;
};

struct match {
	uint64_t address;
	uint64_t length;
	bool nowhere;	      /* a rule that matches no bytes: no address */
	const char *pattern;  /* which of several, or NULL */
	const char *rule;     /* and NULL or the string of it that matched */
	const char *string;
	const uint8_t *bytes; /* those that matched then, or NULL: look again */
	size_t byte_count;
};

/* False: enough has been found, or nobody reads it. */
bool match_print(struct search *search, struct target *target,
		 const struct match *match);
/* Has enough been found, or a signal come? */
bool search_over(const struct search *search);

/* -errno: what the source, or memory, is to blame for */
int bytes_search(struct search *search, struct target *target);

/* Compiles rules of one file more; *yara is NULL before the first. */
enum status yara_add(struct yara **yara, const char *path);
enum status yara_ready(struct yara *yara);
void yara_free(struct yara *yara);
/* The same as bytes_search() */
int yara_search(struct search *search, struct target *target);

#endif /* REMOTEMAP_CLI_SEARCH_H */
