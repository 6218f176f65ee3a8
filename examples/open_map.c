// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <fcntl.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* open_map PID: from a map file that can be written, one that cannot. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_WRITE,
	};
	struct remotemap *source, *reader;
	char path[64];
	int error, map;

	if (argc != 2)
		errx(2, "usage: open_map PID");
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 remotemap_map_fd(source));
	map = open(path, O_RDONLY | O_CLOEXEC);
	if (map < 0)
		err(1, "%s", path);
	error = remotemap_open_map(map, &reader);
	if (error)
		errx(1, "%s: %s", path, strerror(-error));
	close(map);

	printf("source: writable %d\n", remotemap_writable(source));
	printf("reader: writable %d\n", remotemap_writable(reader));
	error = remotemap_add(reader, 0, 0, 4096, 0);
	printf("a view more: %s\n", strerror(-error));
	remotemap_close(reader);
	remotemap_close(source);
}
