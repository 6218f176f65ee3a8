// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* map_range PID ADDRESS LENGTH: what the process has there, to stdout. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	/* All of it will be read once, from the beginning to the end. */
	struct remotemap_map_options how = {
		.size = sizeof(how),
		.flags = REMOTEMAP_MAP_SEQUENTIAL | REMOTEMAP_MAP_POPULATE,
	};
	struct remotemap *source;
	size_t length;
	void *mirror;
	int error;

	if (argc != 4)
		errx(2, "usage: map_range PID ADDRESS LENGTH");
	length = strtoull(argv[3], NULL, 0);
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	error = remotemap_map(source, strtoull(argv[2], NULL, 0), length, &how,
			      &mirror);
	if (error)
		errx(1, "%s: %s", argv[2], strerror(-error));
	/* Where the process has nothing, a system call ends or fails. */
	if (write(1, mirror, length) != (ssize_t)length)
		errx(1, "not all was there, or could be written");
	remotemap_unmap(mirror, length);
	remotemap_close(source);
}
