/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file that a dump is written to: one with holes, which can be gone over
 * again, or a stream (a pipe, a device), where holes are zeros.
 *
 * What is written comes from where it is, without a copy of the caller's.
 */
#ifndef REMOTEMAP_CLI_OUTPUT_H
#define REMOTEMAP_CLI_OUTPUT_H

#include "common.h"

struct output {
	const char *name; /* "-": standard output */
	int fd;
	bool stream;
	bool made; /* the file was not there before */
	uint64_t position; /* everything before it is in the file */
	uint64_t end; /* how far bytes have been written: the rest is a hole */
};

enum status output_open(struct output *output, const char *name, bool force);
/*
 * Goes on to position, which is not before the present one: a hole. How many of
 * length bytes have been written there, or -errno; -EFAULT: the first cannot be
 * read.
 */
enum status output_seek(struct output *output, uint64_t position);
ssize_t output_write(struct output *output, const void *bytes, size_t length);
/* Those at the file's very beginning, once more. Not of a stream. */
int output_again(struct output *output, const void *bytes, size_t length);
/* The file's size is position from here on. Says what went wrong. */
enum status output_close(struct output *output);
/* What could not be written, and why, and what to do */
enum status output_fail(const struct output *output, int error);

#endif /* REMOTEMAP_CLI_OUTPUT_H */
