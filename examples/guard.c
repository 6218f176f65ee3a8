// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <errno.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
	const unsigned char *bytes;
	size_t length;
};

static int count_zeros(void *argument)
{
	const struct range *range = argument;
	int zeros = 0;

	for (size_t i = 0; i < range->length; i++)
		zeros += range->bytes[i] == 0;
	return zeros;
}

/* guard PID ADDRESS LENGTH: how many bytes of these are zero? */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	struct range range;
	int error, zeros;
	void *mirror, *where;

	if (argc != 4)
		errx(2, "usage: guard PID ADDRESS LENGTH");
	range.length = strtoull(argv[3], NULL, 0);
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	error = remotemap_map(source, strtoull(argv[2], NULL, 0), range.length,
			      NULL, &mirror);
	if (error)
		errx(1, "%s: %s", argv[2], strerror(-error));
	range.bytes = mirror;
	error = remotemap_guard(mirror, range.length, count_zeros, &range,
				&zeros, &where);
	if (error == -EFAULT)
		printf("nothing at byte %td\n", (char *)where - (char *)mirror);
	else if (error)
		errx(1, "guard: %s", strerror(-error));
	else
		printf("%d are zero\n", zeros);
	remotemap_unmap(mirror, range.length);
	remotemap_close(source);
}
