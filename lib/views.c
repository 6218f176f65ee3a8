// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Views, and what the kernel says of a context. Invariant: a file is taken for
 * a context's only if it says all that one says (mirror-proc(4)).
 */
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* ---- changing them ------------------------------------------------------- */

static int ctrl_call(const struct remotemap *handle, unsigned long call,
		     void *argument)
{
	KEEP_ERRNO;

	if (handle->ctrl_fd < 0)
		return -EPERM;
	return ioctl(handle->ctrl_fd, call, argument) < 0 ? -errno : 0;
}

EXPORTED int remotemap_add(struct remotemap *handle, uint64_t offset,
			   uint64_t address, uint64_t size, unsigned int flags)
{
	struct pidfd_mem_map view = {
		.address = address,
		.offset = offset,
		.size = size,
		.flags = flags,
	};

	return ctrl_call(handle, PIDFD_MEM_MAP, &view);
}

EXPORTED int remotemap_remove(struct remotemap *handle, uint64_t offset,
			      uint64_t size)
{
	struct pidfd_mem_unmap view = { .offset = offset, .size = size };

	return ctrl_call(handle, PIDFD_MEM_UNMAP, &view);
}

EXPORTED int remotemap_lock(struct remotemap *handle)
{
	return ctrl_call(handle, PIDFD_MEM_LOCK, NULL);
}

/* ---- fdinfo -------------------------------------------------------------- */

struct stat_reader {
	struct remotemap_stat stat;
	unsigned int seen;
};

static int stat_line(void *context, const char *text)
{
	struct stat_reader *reader = context;
	struct remotemap_stat *stat = &reader->stat;
	unsigned long long value;
	char key[32];
	const char *const keys[] = {
		"source",
		"ended",
		"locked",
		"views",
		"faults",
		"pages_mapped",
		"huge_pages_mapped",
		"invalidations",
		"invalidations_hit",
		"retries",
	};
	uint64_t *const counters[] = {
		&stat->views,	      &stat->faults,
		&stat->pages_mapped,  &stat->huge_pages_mapped,
		&stat->invalidations, &stat->invalidations_hit,
		&stat->retries,
	};
	unsigned int i;

	if (!strncmp(text, "view:", strlen("view:")))
		return 0;
	if (sscanf(text, "%31[a-z_]: %llu", key, &value) != 2)
		return 1;
	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcmp(key, keys[i]))
			continue;
		reader->seen |= 1U << i;
		if (i == 0)
			stat->pid = (pid_t)value;
		else if (i == 1)
			stat->ended = value != 0;
		else if (i == 2)
			stat->locked = value != 0;
		else
			*counters[i - 3] = value;
	}
	return 1;
}

int fdinfo_stat(const char *path, struct remotemap_stat *stat)
{
	struct stat_reader reader = { .stat.size = sizeof(*stat) };
	int err = lines_read(path, stat_line, &reader);

	if (err < 0)
		return err;
	if (reader.seen != (1U << 10) - 1)
		return 0;
	*stat = reader.stat;
	return 1;
}

/* As much of ours as the caller knows; what is beyond ours is 0. */
static int stat_give(struct remotemap_stat *to,
		     const struct remotemap_stat *ours)
{
	size_t size = to->size;

	if (size > sizeof(*ours))
		memset((char *)to + sizeof(*ours), 0, size - sizeof(*ours));
	memcpy(to, ours, size < sizeof(*ours) ? size : sizeof(*ours));
	to->size = size;
	return 0;
}

static int stat_check(const struct remotemap_stat *stat)
{
	if (!stat)
		return -EFAULT;
	return stat->size < sizeof(*stat) ? -EINVAL : 0;
}

static void fdinfo_path(char path[64], int fd)
{
	snprintf(path, 64, "/proc/thread-self/fdinfo/%d", fd);
}

EXPORTED int remotemap_stat(const struct remotemap *handle,
			    struct remotemap_stat *stat)
{
	KEEP_CALM;
	struct remotemap_stat ours;
	char path[64];
	int ret = stat_check(stat);

	if (ret)
		return ret;
	fdinfo_path(path, handle->map_fd);
	ret = fdinfo_stat(path, &ours);
	if (ret < 0)
		return ret;
	return ret ? stat_give(stat, &ours) : -EBADF;
}

EXPORTED int remotemap_stat_fd(pid_t pid, int fd, struct remotemap_stat *stat)
{
	KEEP_CALM;
	const char *ctrl = "anon_inode:[pidfd_mem]";
	struct remotemap_stat ours;
	char path[64], link[64];
	ssize_t length;
	int ret = stat_check(stat);

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	ret = fdinfo_stat(path, &ours);
	if (ret == -ENOENT) {
		snprintf(path, sizeof(path), "/proc/%d", pid);
		return access(path, F_OK) ? proc_missing() : -EBADF;
	}
	if (ret <= 0)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	length = readlink(path, link, sizeof(link));
	if (length < 0)
		return errno == ENOENT ? -EBADF : -errno;
	stat_give(stat, &ours);
	return (size_t)length == strlen(ctrl) && !memcmp(link, ctrl, length) ?
		       2 :
		       1;
}

/* ---- reading them -------------------------------------------------------- */

struct view_reader {
	struct remotemap_view *views;
	size_t count;
	size_t room;
};

static int view_line(void *context, const char *text)
{
	struct view_reader *reader = context;
	unsigned long long offset, address, size;
	struct remotemap_view *view;
	char flags[32];

	if (sscanf(text, "view: offset %llx address %llx size %llx flags %31s",
		   &offset, &address, &size, flags) != 4)
		return 1;
	if (reader->count == reader->room) {
		size_t room = reader->room ? 2 * reader->room : 16;

		view = realloc(reader->views, room * sizeof(*view));
		if (!view)
			return -ENOMEM;
		reader->views = view;
		reader->room = room;
	}
	view = &reader->views[reader->count++];
	*view = (struct remotemap_view){
		.offset = offset,
		.address = address,
		.size = size,
	};
	if (!strncmp(flags, "ro", 2))
		view->flags |= PIDFD_MEM_MAP_READONLY;
	if (strstr(flags, ",resident"))
		view->flags |= PIDFD_MEM_MAP_RESIDENT;
	return 1;
}

EXPORTED ssize_t remotemap_views(const struct remotemap *handle,
				 struct remotemap_view **views)
{
	KEEP_CALM;
	struct view_reader reader = { 0 };
	char path[64];
	int err;

	if (!views)
		return -EFAULT;
	fdinfo_path(path, handle->map_fd);
	err = lines_read(path, view_line, &reader);
	if (err < 0) {
		free(reader.views);
		return err;
	}
	*views = reader.views;
	return (ssize_t)reader.count;
}
