// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* poke PID ADDRESS TEXT: write it there, say what was there. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_WRITE | REMOTEMAP_IDENTITY,
	};
	struct remotemap *source;
	unsigned long address;
	size_t length;
	char old[64];
	ssize_t n;

	if (argc != 4 || strlen(argv[3]) > sizeof(old))
		errx(2, "usage: poke PID ADDRESS TEXT (of up to 64 bytes)");
	address = strtoull(argv[2], NULL, 0);
	length = strlen(argv[3]);
	n = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	n = remotemap_read(source, old, length, address);
	if (n < 0)
		errx(1, "read %s: %s", argv[2], strerror(-n));
	printf("was: %.*s\n", (int)n, old);
	n = remotemap_write(source, argv[3], length, address);
	if (n < 0)
		errx(1, "write %s: %s", argv[2], strerror(-n));
	printf("written: %zd of %zu\n", n, length);
	remotemap_close(source);
}
