// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which process QEMU is. Invariant: it is the one that holds what was passed to it
 * over its monitor.
 *
 * Who made the socket is only the first to be looked at: libvirt makes it, and lets
 * QEMU inherit it. A pipe is passed by QMP's getfd, and then found among the
 * descriptors of a process; nobody else has that pipe.
 */
#include "peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define NAME "remotemap"

/* 1: the process has the pipe open, 0: it has not, or is not there */
static int process_holds(pid_t pid, ino_t pipe)
{
	char path[64], wanted[64], link[64];
	struct dirent *entry;
	int holds = 0;
	DIR *folder;

	snprintf(wanted, sizeof(wanted), "pipe:[%llu]", (unsigned long long)pipe);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (!holds && (entry = readdir(folder))) {
		ssize_t n = readlinkat(dirfd(folder), entry->d_name, link,
				       sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		holds = !strcmp(link, wanted);
	}
	closedir(folder);
	return holds;
}

/* A pidfd of that process if it holds the pipe; 0: it does not */
static int process_take(pid_t pid, ino_t pipe, int *pidfd)
{
	int holds, fd = pidfd_open(pid, 0);

	if (fd < 0)
		return errno == ESRCH || errno == EINVAL ? 0 : -errno;
	/* Before the look: a number that is given away then is another process's,
	 * which never had the pipe.
	 */
	holds = process_holds(pid, pipe);
	if (holds > 0)
		*pidfd = fd;
	else
		close(fd);
	return holds;
}

static int processes_look(ino_t pipe, int *pidfd)
{
	int found = 0, refused = 0;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return -errno;
	while (!found && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 0 || pid == getpid())
			continue;
		found = process_take(pid, pipe, pidfd);
		if (found == -EACCES || found == -EPERM) {
			refused = found;
			found = 0;
		}
	}
	closedir(proc);
	return found ? found : refused ? refused : -ESRCH;
}

static int holder_find(const struct qmp *qmp, ino_t pipe, int *pidfd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int found = 0;

	if (getsockopt(qmp->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	/* 0: it is not in this pid namespace */
	if (peer.pid > 0 && peer.pid != getpid())
		found = process_take(peer.pid, pipe, pidfd);
	if (!found || found == -EACCES || found == -EPERM)
		found = processes_look(pipe, pidfd);
	return found > 0 ? 0 : found;
}

static int name_call(struct qmp *qmp, const char *command, int fd)
{
	json_t *arguments = json_pack("{s:s}", "fdname", NAME), *nothing;
	int error;

	if (!arguments)
		return -ENOMEM;
	error = qmp_call(qmp, command, arguments, fd, &nothing);
	if (!error)
		json_decref(nothing);
	return error;
}

int peer_open(struct qmp *qmp, int *pidfd)
{
	struct stat status;
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	error = fstat(ends[0], &status) ? -errno : 0;
	if (!error)
		error = name_call(qmp, "getfd", ends[1]);
	if (!error) {
		error = holder_find(qmp, status.st_ino, pidfd);
		name_call(qmp, "closefd", -1);
	}
	close(ends[0]);
	close(ends[1]);
	return error;
}
