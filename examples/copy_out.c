// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* copy_out PID ADDRESS LENGTH: copy what is there, as far as it goes. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	size_t length;
	void *mirror;
	char *copy;
	ssize_t n;

	if (argc != 4)
		errx(2, "usage: copy_out PID ADDRESS LENGTH");
	length = strtoull(argv[3], NULL, 0);
	copy = malloc(length);
	if (!copy)
		err(1, "%zu bytes", length);
	n = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	n = remotemap_map(source, strtoull(argv[2], NULL, 0), length, NULL,
			  &mirror);
	if (n)
		errx(1, "%s: %s", argv[2], strerror(-n));
	n = remotemap_guard_copy(copy, mirror, length);
	if (n < 0)
		errx(1, "copy: %s", strerror(-n));
	fprintf(stderr, "%zd of %zu\n", n, length);
	if (fwrite(copy, 1, (size_t)n, stdout) < (size_t)n || fflush(stdout))
		err(1, "stdout");
	remotemap_unmap(mirror, length);
	remotemap_close(source);
	free(copy);
}
