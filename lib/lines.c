// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading what /proc says. Invariant: a file is read to its end, or to where
 * the reader has enough, or that is an error.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_SIZE 32768

int lines_read(const char *path, line_function *line, void *context)
{
	FILE *file = fopen(path, "re");
	char *text = NULL, *buffer;
	size_t room = 0;
	int ret = 1;

	if (!file)
		return -errno;
	/* /proc says that 1 KiB is a good size, and takes its locks a read. */
	buffer = malloc(READ_SIZE);
	if (buffer)
		setvbuf(file, buffer, _IOFBF, READ_SIZE);
	while (ret > 0) {
		errno = 0;
		if (getline(&text, &room, file) < 0) {
			ret = errno ? -errno : 0;
			break;
		}
		ret = line(context, text);
	}
	free(text);
	fclose(file);
	free(buffer);
	return ret;
}
