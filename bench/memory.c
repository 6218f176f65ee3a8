// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: a mirror takes hardly any memory beside the page tables that every
 * mapping has.
 *
 * What the kernel allocates for the viewer, as its memory cgroup says: slab
 * memory (the module's, with files and mappings) and page tables. For 1 GiB in
 * 4 KiB pages, from before the opening to after the last page's touch; and for
 * mirrors of whole address spaces (64 TiB and more), open and not touched: of
 * so many that the counters' coarseness (a page) does not matter.
 */
#include "walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP "/sys/fs/cgroup/bench"
#define CONTEXTS 64

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fatal("%s: cannot write %s", path, text);
	close(fd);
}

static u64 group_enter(u64 a, u64 b, u64 c)
{
	(void)a;
	(void)b;
	(void)c;
	put(GROUP "/cgroup.procs", "0");
	return 0;
}

/* Of the group, in bytes. The kernel brings it up to date every two seconds. */
struct usage {
	long slab;
	long tables;
};

static struct usage usage(void)
{
	struct usage usage = { -1, -1 };
	char key[64];
	long value;
	FILE *file;

	if (!checking)
		sleep(3);
	file = fopen(GROUP "/memory.stat", "r");
	must(file);
	while (fscanf(file, "%63s %ld", key, &value) == 2) {
		if (!strcmp(key, "slab"))
			usage.slab = value;
		else if (!strcmp(key, "pagetables"))
			usage.tables = value;
	}
	fclose(file);
	must(usage.slab >= 0 && usage.tables >= 0);
	return usage;
}

static void print(const struct usage *before, const char *bench,
		  const char *system, const char *mapped, double mappings)
{
	struct usage after = usage();

	count_print((after.slab - before->slab) / mappings, bench, system,
		    "bytes", "\"mapped\":\"%s\",\"of\":\"slab\"", mapped);
	count_print((after.tables - before->tables) / mappings, bench, system,
		    "bytes", "\"mapped\":\"%s\",\"of\":\"page tables\"",
		    mapped);
}

/* ---- 1 GiB in 4 KiB pages ---------------------------------------------------- */

static u64 viewer_mirror(u64 pid, u64 address, u64 size)
{
	struct way way = { .system = "mirror", .size = size };
	struct course course = { PAGE_SIZE, size / PAGE_SIZE, false };
	struct usage before = usage();
	struct mirror mirror;

	mirror_open(&mirror, pid, address, size, PROT_READ, MADV_NORMAL);
	way.memory = mirror.at;
	walk_memory(&way, &course);
	must(counter(mirror.map, "pages_mapped") == size / PAGE_SIZE);
	must(!counter(mirror.map, "huge_pages_mapped"));
	print(&before, "memory", "mirror", "all pages", 1);
	mirror_close(&mirror);
	return 0;
}

static u64 viewer_memfd(u64 fd, u64 size, u64 unused)
{
	struct way way = { .system = "memfd", .size = size };
	struct course course = { PAGE_SIZE, size / PAGE_SIZE, false };
	struct usage before = usage();

	(void)unused;
	way.memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	must(way.memory != MAP_FAILED);
	walk_memory(&way, &course);
	print(&before, "memory", "memfd", "all pages", 1);
	munmap(way.memory, size);
	return 0;
}

/* ---- whole address spaces ---------------------------------------------------- */

/* Parts of the 128 TiB that a process has, so that all can be mapped at once */
#define PART ((64UL << 40) / CONTEXTS)

static u64 viewer_identity(u64 pid, u64 unused, u64 unused_too)
{
	struct usage before = usage();
	int map[CONTEXTS], i;

	(void)unused;
	(void)unused_too;
	for (i = 0; i < CONTEXTS; i++) {
		map[i] =
			open("/dev/" REMOTE_MAPPING_DEVICE, O_RDWR | O_CLOEXEC);
		must(map[i] >= 0);
		must(!ioctl(map[i], REMOTE_PROC_MAP, pid));
		must(mmap(NULL, PART, PROT_READ, MAP_SHARED, map[i], 0) !=
		     MAP_FAILED);
	}
	print(&before, "memory", "mirror", "whole address space", CONTEXTS);
	return 0;
}

static u64 viewer_memfds(u64 unused, u64 unused_too, u64 unused_either)
{
	struct usage before = usage();
	int fd, i;

	(void)unused;
	(void)unused_too;
	(void)unused_either;
	for (i = 0; i < CONTEXTS; i++) {
		fd = memory_file(PART, 0);
		must(mmap(NULL, PART, PROT_READ, MAP_SHARED, fd, 0) !=
		     MAP_FAILED);
	}
	print(&before, "memory", "memfd", "whole address space", CONTEXTS);
	return 0;
}

/* A viewer of its own, in an empty group, which then is gone */
static void measure(work *viewer, u64 a, u64 b, u64 c)
{
	struct worker worker;

	must(!mkdir(GROUP, 0755));
	worker_start(&worker);
	worker_call(&worker, group_enter, 0, 0, 0);
	/* What a process allocates once */
	worker_call(&worker, memory_make, MEMORY_ANONYMOUS, PMD_SIZE, -1);
	usage();
	worker_call(&worker, viewer, a, b, c);
	worker_end(&worker);
	while (rmdir(GROUP))
		usleep(100000);
}

int main(int argc, char **argv)
{
	struct worker source;
	u64 address, size;
	int fd;

	bench_start(argc, argv);
	size = checking ? 8 * MIB : GIB;
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	fd = memory_file(size, 0);
	worker_start(&source);
	address = worker_call(&source, memory_make, MEMORY_ANONYMOUS, size, -1);
	measure(viewer_mirror, source.pid, address, size);
	measure(viewer_identity, source.pid, 0, 0);
	worker_call(&source, memory_free, address, size, 0);
	worker_call(&source, memory_make, MEMORY_FILE, size, fd);
	measure(viewer_memfd, fd, size, 0);
	measure(viewer_memfds, 0, 0, 0);
	worker_end(&source);
}
