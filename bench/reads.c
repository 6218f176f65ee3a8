// SPDX-License-Identifier: GPL-2.0
/*
 * Claims: reading eight bytes of a mirror is a load, where others make a system
 * call; and reading the map file in bulk costs no more than process_vm_readv().
 *
 * read_8b: eight bytes at random places of memory that has been touched before,
 * with the loop and the making of the random numbers. bulk_read: many bytes in
 * one call, into memory that has been written before.
 */
#include "walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- eight bytes ------------------------------------------------------------- */

static void random_reads(const struct way *way, walk *walk, u64 visits)
{
	struct course course = { 8, visits, true };
	struct figure figure = {};

	for_each_round(round)
		figure_add(&figure, round, (double)walk(way, &course) / visits);
	figure_print(&figure, "read_8b", way->system, "read", NULL);
}

static void read_words(struct way *way, const struct mirror *mirror, int memfd)
{
	u64 visits = checking ? 1000 : 100000;
	struct course all = { PAGE_SIZE, way->size / PAGE_SIZE, false };

	way->system = "mirror";
	way->memory = mirror->at;
	walk_memory(way, &all);
	random_reads(way, walk_memory, visits * 10);

	way->system = "memfd";
	way->memory = mmap(NULL, way->size, PROT_READ, MAP_SHARED, memfd, 0);
	must(way->memory != MAP_FAILED);
	walk_memory(way, &all);
	random_reads(way, walk_memory, visits * 10);
	munmap(way->memory, way->size);

	for_each_peer(peer) {
		way->system = peer->system;
		peer->begin(way);
		random_reads(way, peer->walk, visits);
		peer->end(way);
	}
}

/* ---- in bulk ----------------------------------------------------------------- */

typedef ssize_t bulk(const struct way *way, void *to, size_t size,
		     off_t offset);

static ssize_t bulk_pread(const struct way *way, void *to, size_t size,
			  off_t offset)
{
	return pread(way->fd, to, size, offset);
}

static ssize_t bulk_proc_mem(const struct way *way, void *to, size_t size,
			     off_t offset)
{
	return pread(way->fd, to, size, way->address + offset);
}

static ssize_t bulk_process_vm(const struct way *way, void *to, size_t size,
			       off_t offset)
{
	struct iovec here = { to, size };
	struct iovec there = { (void *)(way->address + offset), size };

	return process_vm_readv(way->pid, &here, 1, &there, 1, 0);
}

static ssize_t bulk_memcpy(const struct way *way, void *to, size_t size,
			   off_t offset)
{
	memcpy(to, way->memory + offset, size);
	return size;
}

static void bulk_reads(const struct way *way, const char *how, bulk *bulk,
		       size_t size)
{
	u64 offset, begin, took, reads = way->size / size, first;
	struct figure figure = {};
	char *to =
		aligned_alloc(PAGE_SIZE, size < PAGE_SIZE ? PAGE_SIZE : size);

	must(to);
	memset(to, 1, size);
	if (reads > 64)
		reads = 64;
	for_each_round(round) {
		took = 0;
		for (offset = 0; offset < reads * size; offset += size) {
			begin = now();
			must(bulk(way, to, size, offset) == (ssize_t)size);
			took += now() - begin;
			first = offset / 8;
			memory_verify((u64)to, size, first);
		}
		figure_add(&figure, round, (double)took / reads);
	}
	figure_print(&figure, "bulk_read", way->system, "read",
		     "\"bytes\":%zu,\"how\":\"%s\"", size, how);
	free(to);
}

static void read_bulks(struct way *way, const struct mirror *mirror, int memfd,
		       size_t size)
{
	way->system = "mirror";
	way->fd = mirror->map;
	way->memory = mirror->at;
	bulk_reads(way, "pread", bulk_pread, size);
	bulk_reads(way, "memcpy", bulk_memcpy, size);

	way->system = "memfd";
	way->fd = memfd;
	bulk_reads(way, "pread", bulk_pread, size);

	way->system = "process_vm_readv";
	bulk_reads(way, "call", bulk_process_vm, size);

	way->system = "proc_mem";
	peers[1].begin(way);
	bulk_reads(way, "pread", bulk_proc_mem, size);
	peers[1].end(way);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 8, 4 << 10, 64 << 10, 1 << 20 };
	struct worker source;
	struct mirror mirror;
	struct way way = {};
	int memfd;

	bench_start(argc, argv);
	way.size = checking ? 4 * MIB : 64 * MIB;
	memfd = memory_file(way.size, 0);
	worker_start(&source);
	way.pid = source.pid;
	worker_call(&source, memory_make, MEMORY_FILE, way.size, memfd);
	way.address = worker_call(&source, memory_make, MEMORY_ANONYMOUS,
				  way.size, -1);
	mirror_open(&mirror, source.pid, way.address, way.size, PROT_READ,
		    MADV_NORMAL);
	read_words(&way, &mirror, memfd);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		read_bulks(&way, &mirror, memfd, sizes[i]);
	mirror_close(&mirror);
	worker_end(&source);
}
