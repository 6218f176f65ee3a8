// SPDX-License-Identifier: GPL-2.0
/*
 * A process may end, or close a file, at any time: what is gone when it is
 * looked at was never there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewers.h"

/* Names that the module gives its files, in /proc/PID/fd and /proc/PID/maps */
#define MAP_NAME "/remote_mapping"
#define CTRL_NAME "[pidfd_mem]"
#define DEVICE_NAME "/mirror-proc"

static void command_read_name(pid_t pid, char *name, size_t size)
{
	char path[40];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	*name = '\0';
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(name, (int)size, file))
		name[strcspn(name, "\n")] = '\0';
	else
		*name = '\0';
	fclose(file);
}

static struct viewer *viewer_add(struct viewers *all, pid_t pid)
{
	struct viewer *viewer;

	if (all->count == all->room) {
		size_t room = 2 * all->room + 16;

		viewer = reallocarray(all->viewers, room, sizeof(*viewer));
		if (!viewer)
			return NULL;
		all->viewers = viewer;
		all->room = room;
	}
	viewer = &all->viewers[all->count++];
	*viewer = (struct viewer){ .pid = pid };
	command_read_name(pid, viewer->command, sizeof(viewer->command));
	return viewer;
}

static void viewer_count(struct viewer *viewer,
			 const struct remotemap_stat *stat)
{
	viewer->counted = true;
	viewer->stat = *stat;
	if (stat->pid > 0 && !stat->ended)
		command_read_name(stat->pid, viewer->source_command,
				  sizeof(viewer->source_command));
}

/* A ctrl file has no inode of its own: the same source and counters must do. */
static bool stat_same(const struct remotemap_stat *a,
		      const struct remotemap_stat *b)
{
	return a->pid == b->pid && a->views == b->views &&
	       a->faults == b->faults && a->locked == b->locked &&
	       a->pages_mapped == b->pages_mapped &&
	       a->invalidations == b->invalidations;
}

/* The process's entry of a context: by inode, or else by what it counts */
static struct viewer *viewer_find(struct viewers *all, size_t first,
				  uint64_t inode,
				  const struct remotemap_stat *stat)
{
	for (size_t i = first; i < all->count; i++) {
		struct viewer *viewer = &all->viewers[i];

		if (inode && viewer->inode) {
			if (viewer->inode == inode)
				return viewer;
		} else if (stat && viewer->counted &&
			   stat_same(&viewer->stat, stat)) {
			return viewer;
		}
	}
	return NULL;
}

/* ---- descriptors ----------------------------------------------------------- */

/* Saves asking about each file of a machine */
static bool may_be_context(int folder, const char *name)
{
	char target[64];
	ssize_t n = readlinkat(folder, name, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strstr(target, MAP_NAME) || strstr(target, CTRL_NAME) ||
	       strstr(target, DEVICE_NAME);
}

static int fd_look(struct viewers *all, size_t first, pid_t pid, int folder,
		   const char *name)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct viewer *viewer;
	struct stat file;
	uint64_t inode = 0;
	int kind;

	if (!may_be_context(folder, name))
		return 0;
	kind = remotemap_stat_fd(pid, atoi(name), &stat);
	if (kind <= 0)
		return 0;
	/* The device's own inode is everybody's, and a ctrl file's as well. */
	if (kind == 1 && !fstatat(folder, name, &file, 0) &&
	    S_ISREG(file.st_mode))
		inode = file.st_ino;
	viewer = viewer_find(all, first, inode, &stat);
	if (!viewer)
		viewer = viewer_add(all, pid);
	if (!viewer)
		return -ENOMEM;
	if (kind == 1)
		viewer->maps++;
	else
		viewer->ctrls++;
	if (inode)
		viewer->inode = inode;
	viewer_count(viewer, &stat);
	return 0;
}

static int fds_look(struct viewers *all, size_t first, pid_t pid)
{
	struct dirent *entry;
	char path[32];
	DIR *folder;
	int error = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return -errno;
	/* With the same right as opendir(), so that one refusal is enough. */
	while (!error && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			error = fd_look(all, first, pid, dirfd(folder),
					entry->d_name);
	closedir(folder);
	return error;
}

/* ---- mirrors --------------------------------------------------------------- */

/*
 * The counters of a mirror whose file has been closed: the kernel opens it
 * again for who has CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
 */
static bool mirror_stat(pid_t pid, const struct remotemap_region *region,
			struct remotemap_stat *stat)
{
	char path[80];
	int fd, kind;

	snprintf(path, sizeof(path),
		 "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, region->start,
		 region->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	kind = remotemap_stat_fd(getpid(), fd, stat);
	close(fd);
	return kind == 1;
}

static int mirror_look(struct viewers *all, size_t first, pid_t pid,
		       const struct remotemap_region *region)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	struct viewer *viewer;
	bool counted;

	viewer = viewer_find(all, first, region->inode, NULL);
	if (!viewer) {
		counted = mirror_stat(pid, region, &stat);
		if (counted)
			viewer = viewer_find(all, first, 0, &stat);
		if (!viewer)
			viewer = viewer_add(all, pid);
		if (!viewer)
			return -ENOMEM;
		viewer->inode = region->inode;
		if (counted)
			viewer_count(viewer, &stat);
	}
	viewer->mirrored += region->end - region->start;
	return 0;
}

static int mirrors_look(struct viewers *all, size_t first, pid_t pid)
{
	struct remotemap_region *regions;
	ssize_t count = remotemap_regions_brief(pid, &regions);
	int error = 0;

	if (count < 0)
		return (int)count;
	for (ssize_t i = 0; i < count && !error; i++)
		if (regions[i].kind == REMOTEMAP_DEVICE &&
		    !strncmp(regions[i].name, MAP_NAME, strlen(MAP_NAME)))
			error = mirror_look(all, first, pid, &regions[i]);
	remotemap_regions_free(regions, count);
	return error;
}

/* ---- processes ------------------------------------------------------------- */

static int process_look(struct viewers *all, pid_t pid)
{
	size_t first = all->count;
	int error = fds_look(all, first, pid);

	if (!error)
		error = mirrors_look(all, first, pid);
	if (error == -EACCES || error == -EPERM) {
		all->unseen++;
		return 0;
	}
	/* All else but this is a process that has ended, or a kernel thread. */
	return error == -ENOMEM ? error : 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct viewer *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int viewers_find(struct viewers *viewers)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int error = 0;

	if (!proc)
		return -errno;
	while (!error && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		/* Not oneself: to look opens files. */
		if (pid > 0 && pid != getpid())
			error = process_look(viewers, pid);
	}
	closedir(proc);
	if (viewers->count)
		qsort(viewers->viewers, viewers->count,
		      sizeof(*viewers->viewers), by_pid);
	return error;
}

void viewers_free(struct viewers *viewers)
{
	free(viewers->viewers);
	*viewers = (struct viewers){ 0 };
}
