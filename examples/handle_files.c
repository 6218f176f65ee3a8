// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>

/* handle_files PID ADDRESS LENGTH: what the process has there, to stdout. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	size_t length;
	off_t offset;
	ssize_t n;

	if (argc != 4)
		errx(2, "usage: handle_files PID ADDRESS LENGTH");
	n = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	fprintf(stderr, "process %d, writable %d\n", remotemap_pid(source),
		remotemap_writable(source));
	offset = strtoull(argv[2], NULL, 0);
	/* The map file serves whatever takes a file. */
	for (length = strtoull(argv[3], NULL, 0); length; length -= n) {
		n = sendfile(1, remotemap_map_fd(source), &offset, length);
		if (n < 0)
			err(1, "at %#lx", offset);
		if (n == 0)
			errx(1, "nothing at %#lx", offset);
	}
	remotemap_close(source);
}
