// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* list_data PID [resident]: the ranges that can be read. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	int64_t data, hole = 0;
	int error;

	if (argc < 2)
		errx(2, "usage: list_data PID [resident]");
	if (argc > 2)
		options.flags |= REMOTEMAP_RESIDENT;
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	for (;;) {
		data = remotemap_next_data(source, hole);
		if (data < 0)
			break;
		hole = remotemap_next_hole(source, data);
		if (hole < 0)
			break;
		printf("%" PRIx64 "-%" PRIx64 "\n", data, hole);
	}
	if (data != -ENXIO)
		errx(1, "%s", strerror(data < 0 ? -data : -hole));
	remotemap_close(source);
}
