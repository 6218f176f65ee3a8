// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The handle. Invariant: its map file is one, whoever gave it.
 */
#include "internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int handle_new(int ctrl_fd, int map_fd, struct remotemap **handle)
{
	struct remotemap *made;
	int flags = fcntl(map_fd, F_GETFL);

	if (flags < 0)
		return -errno;
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->ctrl_fd = ctrl_fd;
	made->map_fd = map_fd;
	made->writable = (flags & O_ACCMODE) != O_RDONLY;
	*handle = made;
	return 0;
}

/*
 * Either it is a file of the module's own file system, where there is nothing
 * else, or it is the device, which REMOTE_PROC_MAP has made a map file: then it
 * says more of itself than an open device does.
 */
int map_check(int fd)
{
	struct remotemap_stat context;
	struct statfs fs;
	struct stat file;
	char path[64];
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || flags & O_PATH || fstatfs(fd, &fs) || fstat(fd, &file))
		return -EBADF;
	if ((unsigned long)fs.f_type == REMOTE_MAPPING_MAGIC)
		return 0;
	if (!S_ISCHR(file.st_mode))
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	return fdinfo_stat(path, &context) > 0 ? 0 : -EBADF;
}

EXPORTED void remotemap_close(struct remotemap *handle)
{
	KEEP_CALM;

	if (!handle)
		return;
	if (handle->ctrl_fd >= 0)
		close(handle->ctrl_fd);
	close(handle->map_fd);
	free(handle);
}

EXPORTED int remotemap_map_fd(const struct remotemap *handle)
{
	return handle->map_fd;
}

EXPORTED int remotemap_ctrl_fd(const struct remotemap *handle)
{
	return handle->ctrl_fd < 0 ? -EPERM : handle->ctrl_fd;
}

EXPORTED pid_t remotemap_pid(const struct remotemap *handle)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	int err = remotemap_stat(handle, &stat);

	if (err)
		return err;
	return stat.ended || stat.pid <= 0 ? -ESRCH : stat.pid;
}

EXPORTED int remotemap_writable(const struct remotemap *handle)
{
	return handle->writable;
}

EXPORTED int remotemap_wait(const struct remotemap *handle, int timeout)
{
	KEEP_ERRNO;
	struct pollfd end = { .fd = handle->map_fd };
	int n = poll(&end, 1, timeout);

	return n < 0 ? -errno : n;
}

EXPORTED const char *remotemap_version(void)
{
	return REMOTEMAP_VERSION;
}
