// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* close_handle PID ADDRESS: a mirror needs its handle no longer. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	void *mirror;
	int error;

	if (argc != 3)
		errx(2, "usage: close_handle PID ADDRESS");
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	error = remotemap_map(source, strtoull(argv[2], NULL, 0), 4, NULL,
			      &mirror);
	remotemap_close(source);
	if (error)
		errx(1, "%s: %s", argv[2], strerror(-error));
	printf("%.3s\n", (char *)mirror + 1);
	remotemap_unmap(mirror, 4);
}
