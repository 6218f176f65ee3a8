// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(const char *what, ssize_t result)
{
	printf("%s: %s\n", what, result < 0 ? strerror(-result) : "done");
}

/* add_views PID ADDRESS: one page at two places, then only at one. */
int main(int argc, char **argv)
{
	struct remotemap *source;
	unsigned long address;
	char byte;
	int error;

	if (argc != 3)
		errx(2, "usage: add_views PID ADDRESS");
	address = strtoull(argv[2], NULL, 0) & -4096UL;
	error = remotemap_open_pid(atoi(argv[1]), NULL, &source);
	if (error)
		errx(1, "process %s: %s", argv[1], strerror(-error));
	show("add", remotemap_add(source, 0, address, 4096, 0));
	show("add", remotemap_add(source, 8192, address, 4096,
				  PIDFD_MEM_MAP_RESIDENT));
	show("overlap", remotemap_add(source, 8192, address, 4096, 0));
	show("remove", remotemap_remove(source, 0, 4096));
	show("lock", remotemap_lock(source));
	show("remove", remotemap_remove(source, 8192, 4096));
	show("read at 8192", remotemap_read(source, &byte, 1, 8192));
	show("read at 0", remotemap_read(source, &byte, 1, 0));
	remotemap_close(source);
}
