// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <err.h>
#include <remotemap.h>
#include <stdio.h>
#include <stdlib.h>

/* What process viewer has open */
static void look_at(pid_t viewer, pid_t source)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct dirent *entry;
	char path[64];
	DIR *dir;
	int kind;

	snprintf(path, sizeof(path), "/proc/%d/fd", viewer);
	dir = opendir(path);
	if (!dir)
		return; /* it has ended, or is somebody else's */
	while ((entry = readdir(dir))) {
		kind = remotemap_stat_fd(viewer, atoi(entry->d_name), &stat);
		if (kind > 0 && stat.pid == source)
			printf("process %d descriptor %s: %s file\n", viewer,
			       entry->d_name, kind == 1 ? "map" : "ctrl");
	}
	closedir(dir);
}

/* find_viewers PID: who has that process open? */
int main(int argc, char **argv)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (argc != 2)
		errx(2, "usage: find_viewers PID");
	if (!proc)
		err(1, "/proc");
	while ((entry = readdir(proc)))
		if (atoi(entry->d_name) > 0)
			look_at(atoi(entry->d_name), atoi(argv[1]));
	closedir(proc);
}
