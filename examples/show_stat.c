// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* show_stat PID ADDRESS: touch a page there, see what the kernel counted. */
int main(int argc, char **argv)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_IDENTITY,
	};
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct remotemap *source;
	void *mirror;
	int error;

	if (argc != 3)
		errx(2, "usage: show_stat PID ADDRESS");
	error = remotemap_open_pid(atoi(argv[1]), &options, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	error = remotemap_map(source, strtoull(argv[2], NULL, 0), 1, NULL,
			      &mirror);
	if (error)
		errx(1, "%s: %s", argv[2], strerror(-error));
	printf("byte %02x\n", *(unsigned char *)mirror);
	error = remotemap_stat(source, &stat);
	if (error)
		errx(1, "stat: %s", strerror(-error));
	printf("source %d ended %d locked %d views %" PRIu64 "\n", stat.pid,
	       stat.ended, stat.locked, stat.views);
	printf("faults %" PRIu64 " pages %" PRIu64 " huge %" PRIu64 "\n",
	       stat.faults, stat.pages_mapped, stat.huge_pages_mapped);
	remotemap_unmap(mirror, 1);
	remotemap_close(source);
}
