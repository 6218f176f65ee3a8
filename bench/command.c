// SPDX-License-Identifier: GPL-2.0
/*
 * Claims: remotemap dump costs no more than to write the same bytes from a memfd;
 * remotemap search no more than memmem() over one's own memory; and with --resident
 * neither is noticed by the source, nor is a search by YARA rules: it faults nowhere
 * and has as many pages as before, while there are pages that it never touched.
 *
 * What is measured is the processor time of a process, from its start to its end,
 * as the kernel counts it: for the command all of it, with its libraries' loading
 * and the look at the source's regions. A page is one of the source's. Files are
 * tmpfs's, so that no disk is waited for.
 *
 * What the command searches by are vector instructions: each counts as one, and is
 * emulated by a call. Over memory of its own, on a processor, that search took from a
 * hundredth to all of memmem()'s time, by what was looked for in what.
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
#define RULES FOLDER "/rules"
#define SAID FOLDER "/said"
#define CHUNK (4 * MIB)
/* That the source has mapped, and never touched */
#define UNTOUCHED (64 * MIB)
/* Nowhere in memory that is filled with words, and nothing that looks like it */
#define NEEDLE "nothing that is there"

static u64 size;
/* Bytes that go into the file: all of it, or, to compare ways, an eighth */
static u64 copied;

/* ---- the time of a process --------------------------------------------------- */

static double nanoseconds(const struct timeval *time)
{
	return time->tv_sec * 1e9 + time->tv_usec * 1e3;
}

static void file_tell(const char *name)
{
	FILE *file = fopen(name, "r");
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		fputs(line, stderr);
}

/* said: a file with its complaints, or NULL */
static double ended(pid_t pid, const char *said)
{
	struct rusage usage;
	int status;

	must(pid > 0);
	must(wait4(pid, &status, 0, &usage) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		if (said)
			file_tell(said);
		fatal("a program ended with wait status %x", status);
	}
	return nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime);
}

static double command(const char *const argv[])
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		/* What it has to say is no figure. On a terminal it would draw. */
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		dup2(open(SAID, O_WRONLY | O_CREAT | O_TRUNC, 0600),
		     STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return ended(pid, SAID);
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
	return ended(pid, NULL);
}

/* ---- what the source notices ------------------------------------------------- */

struct notice {
	u64 faults, pages;
};

static u64 pages_in_memory(pid_t pid)
{
	unsigned long kib = 0;
	char path[40], line[256];
	bool found = false;
	FILE *file;

	/* Not what /proc/PID/stat has of it: that may lag behind. */
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "r");
	must(file);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "Rss: %lu kB", &kib) == 1;
	fclose(file);
	must(found);
	return kib / 4;
}

static struct notice notice(pid_t pid)
{
	struct notice notice = { .pages = pages_in_memory(pid) };
	unsigned long minor, major;
	char path[40];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	must(file);
	must(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu",
		    &minor, &major) == 2);
	fclose(file);
	notice.faults = minor + major;
	return notice;
}

/* A figure of the command, with what the source noticed of all its rounds */
static void noticed_print(const struct figure *figure, const char *bench,
			  pid_t pid, const struct notice *before)
{
	struct notice after = notice(pid);

	figure_print(figure, bench, "mirror", "page",
		     "\"source_faults\":%lu,\"source_pages\":%lu",
		     after.faults - before->faults,
		     after.pages - before->pages);
}

static u64 work_untouched(u64 unused, u64 unused_too, u64 unused_either)
{
	(void)unused;
	(void)unused_too;
	(void)unused_either;
	must(mmap(NULL, UNTOUCHED, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	return 0;
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
	char *at = mmap(NULL, copied, PROT_READ, MAP_SHARED, fd, 0);
	int file = file_open();

	must(at != MAP_FAILED);
	must(!madvise(at, copied, MADV_SEQUENTIAL));
	for (u64 done = 0; done < copied; done += CHUNK)
		must(write(file, at + done, CHUNK) == CHUNK);
}

static void by_buffer(int fd)
{
	char *buffer = malloc(CHUNK);
	int file = file_open();

	must(buffer);
	for (u64 done = 0; done < copied; done += CHUNK) {
		must(pread(fd, buffer, CHUNK, done) == CHUNK);
		must(write(file, buffer, CHUNK) == CHUNK);
	}
}

static void by_sendfile(int fd)
{
	int file = file_open();
	off_t offset = 0;

	while (offset < (off_t)copied)
		must(sendfile(file, fd, &offset, copied - offset) > 0);
}

/* The file holds what was to be written, whatever comes before it. */
static void file_verify(void)
{
	struct stat status;
	u64 *word, i, words, first;
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);

	must(fd >= 0 && !fstat(fd, &status));
	must((u64)status.st_size >= copied);
	word = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	must(word != MAP_FAILED);
	words = status.st_size / 8;
	for (first = 0; first < words && word[first] != WORD(0); first += 512)
		;
	must(first + copied / 8 <= words);
	for (i = 0; i < copied / 8; i++)
		must(word[first + i] == WORD(i));
	munmap(word, status.st_size);
	close(fd);
}

/* ---- dump -------------------------------------------------------------------- */

#define pages() ((double)copied / PAGE_SIZE)

/* The round that does not count says whether it is right. */
static void file_end(int round)
{
	if (round < 0)
		file_verify();
	unlink(FILE_NAME);
}

static void measure_ways(int fd, const char *system)
{
	static const struct {
		const char *how;
		void (*function)(int fd);
	} ways[] = {
		{ "write from a mapping", by_mapping },
		{ "read and write", by_buffer },
		{ "sendfile", by_sendfile },
	};

	copied = size / 8;
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct figure figure = {};

		for_each_round(round)
		{
			figure_add(&figure, round,
				   call(ways[i].function, fd) / pages());
			file_end(round);
		}
		figure_print(&figure, "copy_out", system, "page",
			     "\"how\":\"%s\"", ways[i].how);
	}
	copied = size;
}

static void measure_dump(pid_t pid)
{
	struct notice before = notice(pid);
	struct figure figure = {};
	char number[16];

	snprintf(number, sizeof(number), "%d", pid);
	for_each_round(round)
	{
		figure_add(&figure, round,
			   COMMAND("remotemap", "dump", "--resident", number,
				   "-o", FILE_NAME) /
				   pages());
		file_end(round);
	}
	noticed_print(&figure, "dump", pid, &before);
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
		file_end(round);
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
	struct notice before;
	char number[16];

	snprintf(number, sizeof(number), "%d", source->pid);
	for_each_round(round) figure_add(
		&local, round,
		(double)worker_call(source, work_memmem, address, size, 0) /
			pages());
	figure_print(&local, "search", "local", "page", NULL);
	worker_call(source, work_put, address, size, 0);
	must(worker_call(source, work_memmem, address, size, 1));
	before = notice(source->pid);
	for_each_round(round)
		figure_add(&mirror, round,
			   COMMAND("remotemap", "search", "--resident", number,
				   "--text", NEEDLE) /
				   pages());
	noticed_print(&mirror, "search", source->pid, &before);
}

/* Once: what it takes is libyara's affair. */
static void measure_yara(pid_t pid)
{
	struct notice before = notice(pid);
	struct figure figure = {};
	FILE *rules = fopen(RULES, "w");
	char number[16];

	must(rules);
	fprintf(rules, "rule needle { strings: $a = \"%s\" condition: $a }\n",
		NEEDLE);
	must(!fclose(rules));
	snprintf(number, sizeof(number), "%d", pid);
	rest();
	figure_add(&figure, 0,
		   COMMAND("remotemap", "search", "--resident", number, "--yara",
			   RULES) / pages());
	noticed_print(&figure, "search_yara", pid, &before);
	unlink(RULES);
}

int main(int argc, char **argv)
{
	struct worker source;
	struct mirror mirror;
	u64 address;

	bench_start(argc, argv);
	size = checking ? 32 * MIB : GIB;
	copied = size;
	must(!mkdir(FOLDER, 0700));
	must(!mount("none", FOLDER, "tmpfs", 0, "size=1100M"));
	worker_start(&source);
	address = worker_call(&source, memory_make, MEMORY_ANONYMOUS, size, -1);
	worker_call(&source, work_untouched, 0, 0, 0);
	measure_dump(source.pid);
	mirror_open(&mirror, source.pid, address, size, PROT_READ, MADV_NORMAL);
	measure_ways(mirror.map, "mirror");
	mirror_close(&mirror);
	measure_search(&source, address);
	measure_yara(source.pid);
	worker_end(&source);
	measure_memfd();
	umount(FOLDER);
	rmdir(FOLDER);
}
