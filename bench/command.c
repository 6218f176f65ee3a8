// SPDX-License-Identifier: GPL-2.0
/*
 * Claims: remotemap dump costs no more than to write the same bytes from a memfd;
 * remotemap search no more than memmem() over one's own memory.
 *
 * What is measured is the processor time of a process, from its start to its end,
 * as the kernel counts it: for the command all of it, with its libraries' loading
 * and the look at the source's regions. A page is one of the source's. Files are
 * tmpfs's, so that no disk is waited for.
 *
 * And why dump writes from the mirror: the same bytes, taken to the same place in
 * each way there is.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "/tmp/bench.out"
#define FILE_NAME FOLDER "/file"
#define CHUNK (4 * MIB)
/* Nowhere in memory that is filled with words, and nothing that looks like it */
#define NEEDLE "nothing that is there"

static u64 size;

/* ---- the time of a process --------------------------------------------------- */

static double nanoseconds(const struct timeval *time)
{
	return time->tv_sec * 1e9 + time->tv_usec * 1e3;
}

static double ended(pid_t pid)
{
	struct rusage usage;
	int status;

	must(pid > 0);
	must(wait4(pid, &status, 0, &usage) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fatal("a program ended with wait status %x", status);
	return nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime);
}

static double command(const char *const argv[])
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		/* What it has to say is no figure. */
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return ended(pid);
}

#define COMMAND(...) command((const char *const[]){ __VA_ARGS__, NULL })

static double call(void (*function)(int fd), int fd)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		function(fd);
		_exit(0);
	}
	return ended(pid);
}

/* ---- ways into a file -------------------------------------------------------- */

static int file_open(void)
{
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0);
	return fd;
}

/* From the map file, or the memfd, by a mapping */
static void by_mapping(int fd)
{
	char *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	int file = file_open();

	must(at != MAP_FAILED);
	must(!madvise(at, size, MADV_SEQUENTIAL));
	for (u64 done = 0; done < size; done += CHUNK)
		must(write(file, at + done, CHUNK) == CHUNK);
}

static void by_buffer(int fd)
{
	char *buffer = malloc(CHUNK);
	int file = file_open();

	must(buffer);
	for (u64 done = 0; done < size; done += CHUNK) {
		must(pread(fd, buffer, CHUNK, done) == CHUNK);
		must(write(file, buffer, CHUNK) == CHUNK);
	}
}

static void by_sendfile(int fd)
{
	int file = file_open();
	off_t offset = 0;

	while (offset < (off_t)size)
		must(sendfile(file, fd, &offset, size - offset) > 0);
}

/* The file holds what was to be written, whatever comes before it. */
static void file_verify(void)
{
	struct stat status;
	u64 *word, i, words, first;
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);

	must(fd >= 0 && !fstat(fd, &status));
	must((u64)status.st_size >= size);
	word = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	must(word != MAP_FAILED);
	words = status.st_size / 8;
	for (first = 0; first < words && word[first] != WORD(0); first += 512)
		;
	must(first + size / 8 <= words);
	for (i = 0; i < size / 8; i++)
		must(word[first + i] == WORD(i));
	munmap(word, status.st_size);
	close(fd);
}

/* ---- dump -------------------------------------------------------------------- */

#define pages() ((double)size / PAGE_SIZE)

static void measure_ways(int fd, const char *system)
{
	static const struct {
		const char *how;
		void (*function)(int fd);
	} ways[] = {
		{ "write from a mapping", by_mapping },
		{ "read, write", by_buffer },
		{ "sendfile", by_sendfile },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct figure figure = {};

		for_each_round(round)
		{
			figure_add(&figure, round,
				   call(ways[i].function, fd) / pages());
			file_verify();
			unlink(FILE_NAME);
		}
		figure_print(&figure, "copy_out", system, "page",
			     "\"how\":\"%s\"", ways[i].how);
	}
}

static void measure_dump(pid_t pid)
{
	struct figure figure = {};
	char number[16];

	snprintf(number, sizeof(number), "%d", pid);
	for_each_round(round)
	{
		figure_add(&figure, round,
			   COMMAND("remotemap", "dump", "--resident", number,
				   "-o", FILE_NAME) /
				   pages());
		file_verify();
		unlink(FILE_NAME);
	}
	figure_print(&figure, "dump", "mirror", "page", NULL);
}

static void measure_memfd(void)
{
	int fd = memory_file(size, 0);
	u64 address = memory_make(MEMORY_FILE, size, fd);
	struct figure figure = {};

	memory_free(address, size, 0);
	for_each_round(round)
	{
		figure_add(&figure, round, call(by_mapping, fd) / pages());
		file_verify();
		unlink(FILE_NAME);
	}
	figure_print(&figure, "dump", "memfd", "page", NULL);
	measure_ways(fd, "memfd");
	close(fd);
}

/* ---- search ------------------------------------------------------------------ */

static u64 work_memmem(u64 address, u64 length, u64 wanted)
{
	struct timespec begin, end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	must(!!memmem((void *)address, length, NEEDLE, strlen(NEEDLE)) ==
	     wanted);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	return (end.tv_sec - begin.tv_sec) * 1000000000UL + end.tv_nsec -
	       begin.tv_nsec;
}

/* At the very end, so that all has been looked at when it is found */
static u64 work_put(u64 address, u64 length, u64 unused)
{
	(void)unused;
	memcpy((char *)address + length - strlen(NEEDLE), NEEDLE,
	       strlen(NEEDLE));
	return 0;
}

static void measure_search(const struct worker *source, u64 address)
{
	struct figure local = {}, mirror = {};
	char number[16];

	snprintf(number, sizeof(number), "%d", source->pid);
	for_each_round(round) figure_add(
		&local, round,
		(double)worker_call(source, work_memmem, address, size, 0) /
			pages());
	figure_print(&local, "search", "local", "page", NULL);
	worker_call(source, work_put, address, size, 0);
	must(worker_call(source, work_memmem, address, size, 1));
	for_each_round(round)
		figure_add(&mirror, round,
			   COMMAND("remotemap", "search", "--resident", number,
				   "--text", NEEDLE) /
				   pages());
	figure_print(&mirror, "search", "mirror", "page", NULL);
}

int main(int argc, char **argv)
{
	struct worker source;
	struct mirror mirror;
	u64 address;

	bench_start(argc, argv);
	size = checking ? 8 * MIB : GIB;
	must(!mkdir(FOLDER, 0700));
	must(!mount("none", FOLDER, "tmpfs", 0, "size=1100M"));
	worker_start(&source);
	address = worker_call(&source, memory_make, MEMORY_ANONYMOUS, size, -1);
	measure_dump(source.pid);
	mirror_open(&mirror, source.pid, address, size, PROT_READ, MADV_NORMAL);
	measure_ways(mirror.map, "mirror");
	mirror_close(&mirror);
	measure_search(&source, address);
	worker_end(&source);
	measure_memfd();
	umount(FOLDER);
	rmdir(FOLDER);
}
