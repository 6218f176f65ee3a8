// SPDX-License-Identifier: GPL-2.0
/*
 * Claims: to walk the page tables of a QEMU guest through a mirror takes a 20th, or
 * less, of what it takes with process_vm_readv(); and the guest gets on as well while
 * somebody looks as while nobody does.
 *
 * guest_walk: four levels for random addresses of 512 MiB, each entry verified, in
 * tables that the guest has made, while it is stopped. By QMP, an entry is a command
 * and its answer; what QEMU does for it is counted, as what the kernel does is.
 * guest_progress: what QEMU's processor takes for one turn of the guest's counter.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <remotemap-qemu.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "/tmp/bench.qemu"
#define SOCKET FOLDER "/qmp"
#define SAVED FOLDER "/saved"

/* See test/guest/guest.S. */
#define COUNTER 0x200000UL
#define ORDER 0x200010UL
#define DONE 0x200014UL
#define MAP 4
#define TABLES 0x400000UL
#define FIRST 0x10000000UL

#define RAM (64 * MIB)
#define ENTRY(address, level) ((address) >> (12 + 9 * (level)) & 511)

static u64 mapped;
static pid_t qemu;
static int qmp;
static struct remotemap *handle;
static u64 host; /* where the guest's RAM is in QEMU */
static volatile char *mirror;

/* ---- QEMU ---------------------------------------------------------------------- */

static int connected(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	strcpy(name.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&name, sizeof(name)))
		return fd;
	close(fd);
	return -1;
}

/* One line, which QEMU ends by a carriage return, too */
static size_t line_take(char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = recv(qmp, text + length, size - 1 - length, 0);
		must(n > 0);
		length += (size_t)n;
		must(length < size - 1);
	} while (text[length - 1] != '\n');
	text[length] = '\0';
	return length;
}

/* Whatever events come before it, the answer is in text. */
static void ask(const char *command, char *text, size_t size)
{
	must(send(qmp, command, strlen(command), 0) ==
	     (ssize_t)strlen(command));
	do
		line_take(text, size);
	while (!strstr(text, "\"return\"") && !strstr(text, "\"error\""));
	must(strstr(text, "\"return\""));
}

static void qemu_start(void)
{
	char text[4096];

	qemu = fork();
	must(qemu >= 0);
	if (!qemu) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M",
		       "microvm", "-m", "64M", "-accel", "tcg", "-display",
		       "none", "-nodefaults", "-no-user-config", "-kernel",
		       "/t/guest.bin", "-qmp",
		       "unix:" SOCKET ",server=on,wait=off", "-qmp",
		       "unix:" SOCKET ".other,server=on,wait=off", NULL);
		_exit(127);
	}
	while ((qmp = connected(SOCKET ".other")) < 0) {
		must(!waitpid(qemu, NULL, WNOHANG));
		usleep(100000);
	}
	line_take(text, sizeof(text));
	ask("{\"execute\":\"qmp_capabilities\"}", text, sizeof(text));
}

static void guest_open(void)
{
	struct remotemap_qemu_options options = {
		.size = sizeof(options),
		.flags = REMOTEMAP_QEMU_WRITE,
	};
	struct remotemap_map_options map = {
		.size = sizeof(map),
		.flags = REMOTEMAP_MAP_WRITE,
	};
	struct remotemap_qemu_range *ranges;
	struct remotemap_qemu *guest;
	ssize_t count;
	void *at;

	must(!remotemap_open_qemu(SOCKET, &options, &guest));
	handle = remotemap_qemu_handle(guest);
	count = remotemap_qemu_ranges(guest, &ranges);
	/* All that is looked at is above what is below 1 MiB, and one range. */
	for (ssize_t i = 0; i < count; i++)
		if (ranges[i].address <= MIB &&
		    ranges[i].address + ranges[i].size == RAM)
			host = ranges[i].host - ranges[i].address;
	must(host);
	free(ranges);
	must(!remotemap_map(handle, MIB, RAM - MIB, &map, &at));
	mirror = (char *)at - MIB;
}

static volatile uint32_t *word(u64 address)
{
	return (volatile uint32_t *)(mirror + address);
}

static void tables_make(void)
{
	while (!*word(COUNTER))
		usleep(10000);
	word(ORDER)[2] = FIRST;
	word(ORDER)[3] = TABLES;
	word(ORDER)[4] = (uint32_t)mapped;
	*word(ORDER) = MAP;
	while (*word(DONE) != MAP)
		usleep(10000);
}

/* ---- ways to an entry ------------------------------------------------------------ */

static inline u64 by_mirror(u64 address)
{
	return *(volatile u64 *)(mirror + address);
}

static inline u64 by_process_vm(u64 address)
{
	u64 entry;
	struct iovec here = { &entry, sizeof(entry) };
	struct iovec there = { (void *)(host + address), sizeof(entry) };

	must(process_vm_readv(qemu, &here, 1, &there, 1, 0) == sizeof(entry));
	return entry;
}

static int proc_mem;

static inline u64 by_proc_mem(u64 address)
{
	u64 entry;

	must(pread(proc_mem, &entry, sizeof(entry), (off_t)(host + address)) ==
	     sizeof(entry));
	return entry;
}

static inline u64 by_xp(u64 address)
{
	char command[160], text[4096], *at;

	snprintf(
		command, sizeof(command),
		"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"xp /1gx 0x%lx\"}}",
		address);
	ask(command, text, sizeof(text));
	at = strstr(text, ": 0x");
	must(at);
	return strtoull(at + 2, NULL, 16);
}

static inline u64 by_pmemsave(u64 address)
{
	char command[160], text[4096];
	u64 entry;
	int fd;

	snprintf(
		command, sizeof(command),
		"{\"execute\":\"pmemsave\",\"arguments\":{\"val\":%lu,\"size\":8,\"filename\":\"" SAVED
		"\"}}",
		address);
	ask(command, text, sizeof(text));
	fd = open(SAVED, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && read(fd, &entry, sizeof(entry)) == sizeof(entry));
	close(fd);
	return entry;
}

/* ---- the walk ---------------------------------------------------------------------- */

/* The same loop for each, compiled with its way in it */
static inline __attribute__((always_inline)) void walk(u64 (*entry)(u64),
						       u64 walks)
{
	u64 random = 88172645463325252UL;

	for (u64 i = 0; i < walks; i++) {
		u64 address, table = TABLES;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		address = random & (mapped - 1) & ~(PAGE_SIZE - 1);
		for (int level = 3; level >= 0; level--) {
			u64 found = entry(table + 8 * ENTRY(address, level));

			must(found & 1);
			table = found & ~(PAGE_SIZE - 1);
		}
		must(table == FIRST + address);
	}
}

#define WALK(name)                         \
	static void walk_##name(u64 walks) \
	{                                  \
		walk(by_##name, walks);    \
	}

WALK(mirror)
WALK(process_vm)
WALK(proc_mem)
WALK(xp)
WALK(pmemsave)

static void walks_measure(void)
{
	static const struct {
		const char *system;
		void (*walk)(u64 walks);
		u64 walks;
	} ways[] = {
		{ "mirror", walk_mirror, 100000 },
		{ "process_vm_readv", walk_process_vm, 10000 },
		{ "proc_mem", walk_proc_mem, 10000 },
		{ "xp", walk_xp, 20 },
		{ "pmemsave", walk_pmemsave, 20 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		u64 walks = checking ? 20 : ways[i].walks;
		struct figure figure = {};

		for_each_round(round)
		{
			u64 begin = now();

			ways[i].walk(walks);
			figure_add(&figure, round,
				   (double)(now() - begin) / walks);
		}
		figure_print(&figure, "guest_walk", ways[i].system, "walk",
			     NULL);
	}
}

/* ---- the guest's progress ------------------------------------------------------------ */

/* What QEMU's busiest thread, which is the guest's processor, has had by now */
static u64 processor_time(void)
{
	char path[300];
	struct dirent *entry;
	u64 most = 0, time;
	DIR *tasks;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task", qemu);
	tasks = opendir(path);
	must(tasks);
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", qemu,
			 entry->d_name);
		file = fopen(path, "r");
		must(file && fscanf(file, "%lu", &time) == 1);
		fclose(file);
		if (time > most)
			most = time;
	}
	closedir(tasks);
	return most;
}

static void nobody(void)
{
	for (;;)
		pause();
}

/* All of memory, word after word, again and again */
static void watcher(void)
{
	for (u64 at = MIB;; at = at + 64 < RAM ? at + 64 : MIB)
		by_mirror(at);
}

static void searcher(void)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = fork();
		if (!pid) {
			dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
			execlp("remotemap", "remotemap", "search", "--qemu",
			       SOCKET, "--text", "nothing that is there", NULL);
			_exit(127);
		}
		must(pid > 0 && waitpid(pid, &status, 0) == pid);
		/* It has looked at all, and found nothing. */
		must(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
}

static double progress(void (*beside)(void), u64 length)
{
	u64 begin, time;
	uint32_t turns;
	pid_t pid;

	pid = fork();
	must(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		if (beside == watcher)
			guest_open();
		beside();
	}
	usleep(checking ? 10000 : 1000000);
	turns = *word(COUNTER);
	time = processor_time();
	for (begin = now(); now() - begin < length;)
		usleep(50000);
	turns = *word(COUNTER) - turns;
	time = processor_time() - time;
	must(turns);
	/* Who looks has not died of a wrong value meanwhile. */
	must(!waitpid(pid, NULL, WNOHANG));
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return (double)time / turns;
}

static void progress_measure(void)
{
	static const struct {
		const char *how;
		const char *system;
		void (*beside)(void);
	} ways[] = {
		{ "unwatched", "none", nobody },
		{ "watched", "mirror", watcher },
		{ "searched", "mirror", searcher },
	};
	u64 length = checking ? 200000000 : 5000000000;
	struct figure figures[ARRAY_SIZE(ways)] = {};

	/* By turns, so that what changes with time is in all of them */
	for_each_round(round) for (unsigned int i = 0; i < ARRAY_SIZE(ways);
				   i++)
		figure_add(&figures[i], round,
			   progress(ways[i].beside, length));
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++)
		figure_print(&figures[i], "guest_progress", ways[i].system,
			     "turn", "\"how\":\"%s\"", ways[i].how);
}

int main(int argc, char **argv)
{
	char text[4096];

	bench_start(argc, argv);
	mapped = checking ? 32 * MIB : 512 * MIB;
	must(!mkdir(FOLDER, 0700) || errno == EEXIST);
	qemu_start();
	guest_open();
	tables_make();
	snprintf(text, sizeof(text), "/proc/%d/mem", qemu);
	proc_mem = open(text, O_RDONLY | O_CLOEXEC);
	must(proc_mem >= 0);
	ask("{\"execute\":\"stop\"}", text, sizeof(text));
	walks_measure();
	ask("{\"execute\":\"cont\"}", text, sizeof(text));
	progress_measure();
	kill(qemu, SIGKILL);
	waitpid(qemu, NULL, 0);
}
