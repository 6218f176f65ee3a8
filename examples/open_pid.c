// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* open_pid PID ADDRESS: print the four bytes that the process has there. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	unsigned char bytes[4];
	ssize_t n;

	if (argc != 3)
		errx(2, "usage: open_pid PID ADDRESS");
	n = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	/* One view shows everything: offsets are addresses. */
	n = remotemap_read(source, bytes, sizeof(bytes),
			   strtoull(argv[2], NULL, 0));
	if (n < 0)
		errx(1, "%s: %s", argv[2], strerror(-n));
	for (ssize_t i = 0; i < n; i++)
		printf("%02x%c", bytes[i], i == n - 1 ? '\n' : ' ');
	remotemap_close(source);
}
