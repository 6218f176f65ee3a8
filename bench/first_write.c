// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: writing to a mirror's page that was read before costs next to nothing
 * where the source alone owns the page, and a bounded upgrade where it is a
 * file's.
 *
 * A writable mapping is read once a page, which is not measured, then written
 * once a page, then once more (hot_write). The peer is a shared writable mapping
 * of the same file, whose pages their owner has written.
 */
#include "walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct figures {
	struct figure touch; /* written at once, not read before */
	struct figure first;
	struct figure again;
};

static void print(const struct figures *figures, const char *system,
		  const char *memory)
{
	figure_print(&figures->first, "first_write", system, "page",
		     "\"memory\":\"%s\"", memory);
	figure_print(&figures->again, "hot_write", system, "page",
		     "\"memory\":\"%s\"", memory);
	figure_print(&figures->touch, "first_touch_write", system, "page",
		     "\"memory\":\"%s\"", memory);
}

/* The source finds what was written: the complement, a word a page. */
static u64 written(u64 address, u64 size, u64 unused)
{
	const volatile u64 *word = (const u64 *)address;
	u64 k;

	(void)unused;
	for (k = 0; k < size / 8; k++)
		if (word[k] != (k % (PAGE_SIZE / 8) ? WORD(k) : ~WORD(k)))
			fatal("a write to word %lu did not arrive", k);
	return memory_fill(address, size, 0);
}

/* Both mappings are new and of the same memory. */
static void write_mapping(const struct worker *source, struct way *way,
			  struct figures *figures, int round, bool read)
{
	u64 pages = way->size / PAGE_SIZE;
	struct course course = { PAGE_SIZE, pages, false };
	u64 took;

	if (read)
		walk_memory(way, &course);
	took = store_memory(way, &course);
	figure_add(read ? &figures->first : &figures->touch, round,
		   (double)took / pages);
	took = store_memory(way, &course);
	if (read)
		figure_add(&figures->again, round, (double)took / pages);
	worker_call(source, written, way->address, way->size, 0);
}

static void measure_mirror(const struct worker *source, struct way *way,
			   const char *memory)
{
	struct figures figures = {};
	struct mirror mirror;

	way->system = "mirror";
	for_each_round(round) {
		for (int read = 0; read < 2; read++) {
			mirror_open(&mirror, way->pid, way->address, way->size,
				    PROT_READ | PROT_WRITE, MADV_NORMAL);
			way->memory = mirror.at;
			write_mapping(source, way, &figures, round, read);
			mirror_close(&mirror);
		}
	}
	print(&figures, way->system, memory);
}

static void measure_file(const struct worker *source, struct way *way, int fd,
			 const char *memory)
{
	struct figures figures = {};

	way->system = "memfd";
	for_each_round(round) {
		for (int read = 0; read < 2; read++) {
			way->memory = mmap(NULL, way->size,
					   PROT_READ | PROT_WRITE, MAP_SHARED,
					   fd, 0);
			must(way->memory != MAP_FAILED);
			write_mapping(source, way, &figures, round, read);
			munmap(way->memory, way->size);
		}
	}
	print(&figures, way->system, memory);
}

static void measure_peers(const struct worker *source, struct way *way,
			  const char *memory)
{
	u64 pages = way->size / PAGE_SIZE;
	struct course course = { PAGE_SIZE, pages, false };

	for_each_peer(peer) {
		struct figure figure = {};

		way->system = peer->system;
		for_each_round(round) {
			peer->begin(way);
			figure_add(&figure, round,
				   (double)peer->store(way, &course) / pages);
			peer->end(way);
			worker_call(source, written, way->address, way->size,
				    0);
		}
		figure_print(&figure, "first_write", way->system, "page",
			     "\"memory\":\"%s\"", memory);
	}
}

/* fd: of a shared file, or -1 for anonymous memory */
static void measure(enum memory_kind kind, const char *memory, int fd, u64 size)
{
	struct way way = { .size = size };
	struct worker source;

	worker_start(&source);
	way.pid = source.pid;
	way.address = worker_call(&source, memory_make, kind, size, fd);
	measure_mirror(&source, &way, memory);
	if (fd >= 0)
		measure_file(&source, &way, fd, memory);
	measure_peers(&source, &way, memory);
	worker_end(&source);
	if (fd >= 0)
		close(fd);
}

/* ---- a file of ext4, on a RAM disk ------------------------------------------- */

#define DISK "/dev/ram0"
#define FOLDER "/tmp/bench.ext4"

static int run(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		/* What a program has to say is no figure. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	must(waitpid(pid, &status, 0) == pid);
	return status;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static int ext4_file(u64 size)
{
	int fd;

	must(!RUN("modprobe", "brd", "rd_size=262144"));
	must(!RUN("modprobe", "ext4"));
	/* What busybox makes, ext4 mounts. */
	must(!RUN("mkfs.ext4", "-qF", DISK) ||
	     !RUN("mke2fs", "-b", "4096", DISK));
	must(!mkdir(FOLDER, 0700));
	must(!mount(DISK, FOLDER, "ext4", 0, NULL));
	fd = open(FOLDER "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0);
	must(!ftruncate(fd, size));
	return fd;
}

int main(int argc, char **argv)
{
	u64 size;

	bench_start(argc, argv);
	size = checking ? MIB : 32 * MIB;
	measure(MEMORY_ANONYMOUS, "anonymous", -1, size);
	measure(MEMORY_FILE, "tmpfs", memory_file(size, 0), size);
	measure(MEMORY_FILE, "ext4", ext4_file(size), size);
	must(!umount(FOLDER));
	must(!rmdir(FOLDER));
}
