// SPDX-License-Identifier: GPL-2.0
/*
 * See freeze.h. By the freezer of the process's cgroup, if it is alone there: the
 * process and its parent never know. Else by SIGSTOP and SIGCONT.
 */
#include "freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"

/* How long a thread may take, in turns of 10 milliseconds: it may sleep where no
 * signal wakes it.
 */
#define TURNS 1000

struct hold {
	pid_t pid;
	int pidfd;
	int channel;
	char group[4096]; /* the cgroup's folder; "": by signals */
};

/* ---- the freezer of a cgroup ------------------------------------------------ */

/* The text of FOLDER/NAME without its last newline: false if it has none. */
static bool group_read(const char *folder, const char *name, char *text,
		       size_t size)
{
	char path[4200];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, text, size - 1);
	close(fd);
	if (got < 0)
		return false;
	if (got && text[got - 1] == '\n')
		got--;
	text[got] = '\0';
	return true;
}

static int group_write(const char *folder, const char *name, const char *text)
{
	char path[4200];
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Where the version 2 hierarchy is mounted: false if nowhere */
static bool group_mount(char *mount, size_t size)
{
	char line[4096], root[1024], point[1024], *type;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		type = strstr(line, " - ");
		found = type && !strncmp(type, " - cgroup2 ", 11) &&
			sscanf(line, "%*d %*d %*s %1023s %1023s", root,
			       point) == 2 &&
			!strcmp(root, "/");
	}
	fclose(file);
	return found && snprintf(mount, size, "%s", point) < (int)size;
}

/* The folder of its cgroup: false if it is in none, or in the root */
static bool group_of(pid_t pid, char *folder, size_t size)
{
	char path[64], line[4096], mount[1024];
	bool found = false;
	FILE *file;

	if (!group_mount(mount, sizeof(mount)))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "0::/", 4);
	fclose(file);
	if (!found)
		return false;
	line[strcspn(line, "\n")] = '\0';
	if (!line[4])
		return false;
	return snprintf(folder, size, "%s%s", mount, line + 3) < (int)size;
}

/* Can it be frozen without anybody else? */
static bool group_usable(pid_t pid, const char *folder)
{
	char text[256], alone[32];

	snprintf(alone, sizeof(alone), "%d", pid);
	if (!group_read(folder, "cgroup.procs", text, sizeof(text)) ||
	    strcmp(text, alone))
		return false;
	if (!group_read(folder, "cgroup.stat", text, sizeof(text)) ||
	    strncmp(text, "nr_descendants 0\n", 17))
		return false;
	/* Frozen already: whose that is will thaw it. */
	return group_read(folder, "cgroup.freeze", text, sizeof(text)) &&
	       !strcmp(text, "0");
}

static bool group_frozen(const char *folder)
{
	char text[256];

	return group_read(folder, "cgroup.events", text, sizeof(text)) &&
	       strstr(text, "frozen 1");
}

/* ---- signals ---------------------------------------------------------------- */

/* The state of a thread as /proc/PID/task/TID/stat says, or 0: it is gone */
static char thread_state(pid_t pid, const char *tid)
{
	char path[320], text[512], *rest, state = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	rest = strrchr(text, ')');
	if (rest && sscanf(rest + 1, " %c", &state) != 1)
		return 0;
	return state;
}

/* No thread of it runs, because all are stopped, by a signal or a tracer. */
static bool all_stopped(pid_t pid)
{
	char path[64], state;
	struct dirent *entry;
	bool stopped = true;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return false;
	while (stopped && (entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		state = thread_state(pid, entry->d_name);
		stopped = !state || strchr("TtXZ", state);
	}
	closedir(tasks);
	return stopped;
}

/* ---- the keeper ------------------------------------------------------------- */

/* Has the caller said that it is enough, or gone, within these milliseconds? */
static bool released(int channel, int milliseconds)
{
	struct pollfd wait = { .fd = channel, .events = POLLIN };

	return poll(&wait, 1, milliseconds) > 0;
}

static void hold_release(const struct hold *hold)
{
	if (hold->group[0])
		group_write(hold->group, "cgroup.freeze", "0");
	else
		pidfd_send_signal(hold->pidfd, SIGCONT, NULL, 0);
}

static enum status hold_wait(const struct hold *hold)
{
	for (int turn = 0; turn < TURNS; turn++) {
		if (hold->group[0] ? group_frozen(hold->group) :
				     all_stopped(hold->pid))
			return STATUS_OK;
		/* Signal 0: is it there at all? */
		if (pidfd_send_signal(hold->pidfd, 0, NULL, 0) &&
		    errno == ESRCH)
			return fail(STATUS_ENDED, "process %d has ended",
				    hold->pid);
		if (released(hold->channel, 10))
			return STATUS_NOTHING;
	}
	return fail(
		STATUS_SYSTEM,
		"process %d does not stop: a thread of it waits where nothing wakes it; try without --freeze",
		hold->pid);
}

/* *held: it is to be let go later on, whatever is returned. */
static enum status hold_begin(struct hold *hold, bool *held)
{
	*held = false;
	if (group_of(hold->pid, hold->group, sizeof(hold->group)) &&
	    group_usable(hold->pid, hold->group)) {
		*held = !group_write(hold->group, "cgroup.freeze", "1");
		if (*held)
			return hold_wait(hold);
	}
	hold->group[0] = '\0';
	if (all_stopped(hold->pid))
		return STATUS_OK;
	if (pidfd_send_signal(hold->pidfd, SIGSTOP, NULL, 0))
		return fail(errno == ESRCH ? STATUS_ENDED : STATUS_REFUSED,
			    "cannot stop process %d: %s", hold->pid,
			    strerror(errno));
	*held = true;
	return hold_wait(hold);
}

static void keep(struct hold *hold)
{
	enum status status;
	sigset_t all;
	bool held;

	/* What is typed in the terminal is for the caller. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	status = hold_begin(hold, &held);
	if (send(hold->channel, &status, sizeof(status), MSG_NOSIGNAL) ==
		    sizeof(status) &&
	    !status)
		while (!released(hold->channel, -1))
			;
	if (held)
		hold_release(hold);
	_exit(0);
}

/* Files of the caller's, such as a pipe that it writes to, are not the keeper's. */
static void close_others(int one, int other)
{
	int low = one < other ? one : other, high = one < other ? other : one;

	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
}

enum status freeze_begin(struct freeze *freeze, pid_t pid, int pidfd)
{
	struct hold hold = { .pid = pid, .pidfd = pidfd };
	enum status status;
	ssize_t got;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fail(STATUS_SYSTEM, "socketpair: %s", strerror(errno));
	fflush(NULL);
	freeze->keeper = fork();
	if (freeze->keeper < 0) {
		freeze->keeper = 0;
		close(pair[0]);
		close(pair[1]);
		return fail(STATUS_SYSTEM, "fork: %s", strerror(errno));
	}
	if (!freeze->keeper) {
		hold.channel = pair[1];
		close(pair[0]);
		close_others(pidfd, pair[1]);
		keep(&hold);
	}
	close(pair[1]);
	freeze->channel = pair[0];
	do
		got = read(pair[0], &status, sizeof(status));
	while (got < 0 && errno == EINTR && !signals_caught());
	if (got == sizeof(status) && !status)
		return STATUS_OK;
	freeze_end(freeze);
	if (got < 0 && signals_caught())
		return signals_status();
	if (got != sizeof(status))
		return fail(STATUS_SYSTEM, "who was to stop process %d is gone",
			    pid);
	return status;
}

void freeze_end(struct freeze *freeze)
{
	if (!freeze->keeper)
		return;
	close(freeze->channel);
	while (waitpid(freeze->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	freeze->keeper = 0;
}
