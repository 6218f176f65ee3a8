// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <inttypes.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* list_views PID: what a handle's context shows. */
int main(int argc, char **argv)
{
	struct remotemap *source;
	struct remotemap_view *views;
	ssize_t n;

	if (argc != 2)
		errx(2, "usage: list_views PID");
	n = remotemap_open_pid(atoi(argv[1]), NULL, &source);
	if (n)
		errx(1, "process %s: %s", argv[1], strerror(-n));
	remotemap_add(source, 0x3000, 0x400000, 0x1000, PIDFD_MEM_MAP_READONLY);
	remotemap_add(source, 0, 0x10000, 0x2000, PIDFD_MEM_MAP_RESIDENT);
	n = remotemap_views(source, &views);
	if (n < 0)
		errx(1, "views: %s", strerror(-n));
	for (ssize_t i = 0; i < n; i++)
		printf("%#" PRIx64 "=%#" PRIx64 "+%#" PRIx64 "%s%s\n",
		       views[i].offset, views[i].address, views[i].size,
		       views[i].flags & PIDFD_MEM_MAP_READONLY ? ",ro" : "",
		       views[i].flags & PIDFD_MEM_MAP_RESIDENT ? ",resident" :
								 "");
	free(views);
	remotemap_close(source);
}
