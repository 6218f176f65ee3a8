// SPDX-License-Identifier: GPL-2.0
/* The loops: see walk.h. */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define always_inline inline __attribute__((always_inline))

typedef u64 load(const struct way *way, u64 offset);
typedef void store(const struct way *way, u64 offset, u64 value);

/*
 * x -> a * x + 1 runs through all numbers below a power of 2, each once, if
 * a - 1 is a multiple of 4: in order for 1, far apart for a large one. Here
 * times the stride, so that the loop has nothing else to reckon.
 */
#define FACTOR 0xd1342543de82ef95UL

static always_inline u64 step(const struct course *course, u64 x)
{
	return (course->random ? FACTOR * x : x) + course->stride;
}

/* What the loop below adds up to when every value is right */
static u64 expected(const struct way *way, const struct course *course)
{
	u64 sum = 0, x = 0, i;

	for (i = 0; i < course->visits; i++, x = step(course, x))
		sum += WORD((x & (way->size - 1)) / 8);
	return sum;
}

static always_inline u64 loop(const struct way *way,
			      const struct course *course, load *load,
			      store *store)
{
	const u64 mask = way->size - 1, stride = course->stride;
	const u64 factor = course->random ? FACTOR : 1;
	u64 begin, end, sum = 0, x = 0, i;

	/* Not volatile, so that it is one instruction; but read now. */
	asm volatile("" : : : "memory");
	begin = now();
	for (i = course->visits; i; i--) {
		if (load)
			sum += load(way, x & mask);
		else
			store(way, x & mask, ~WORD((x & mask) / 8));
		x = factor * x + stride;
	}
	end = now();
	if (load && sum != expected(way, course))
		fatal("%s: a wrong value was read", way->system);
	return end - begin;
}

/* ---- a mapping: a mirror, a memfd -------------------------------------------- */

static always_inline u64 load_memory(const struct way *way, u64 offset)
{
	return *(const u64 *)(way->memory + offset);
}

static always_inline void put_memory(const struct way *way, u64 offset,
				     u64 value)
{
	*(volatile u64 *)(way->memory + offset) = value;
}

u64 walk_memory(const struct way *way, const struct course *course)
{
	return loop(way, course, load_memory, NULL);
}

u64 store_memory(const struct way *way, const struct course *course)
{
	return loop(way, course, NULL, put_memory);
}

/* ---- process_vm_readv -------------------------------------------------------- */

static always_inline u64 load_process_vm(const struct way *way, u64 offset)
{
	u64 value = 0;
	struct iovec here = { &value, sizeof(value) };
	struct iovec there = { (void *)(way->address + offset), sizeof(value) };

	process_vm_readv(way->pid, &here, 1, &there, 1, 0);
	return value;
}

static always_inline void put_process_vm(const struct way *way, u64 offset,
					 u64 value)
{
	struct iovec here = { &value, sizeof(value) };
	struct iovec there = { (void *)(way->address + offset), sizeof(value) };

	must(process_vm_writev(way->pid, &here, 1, &there, 1, 0) == 8);
}

static u64 walk_process_vm(const struct way *way, const struct course *course)
{
	return loop(way, course, load_process_vm, NULL);
}

static u64 store_process_vm(const struct way *way, const struct course *course)
{
	return loop(way, course, NULL, put_process_vm);
}

/* ---- /proc/PID/mem ----------------------------------------------------------- */

static always_inline u64 load_proc_mem(const struct way *way, u64 offset)
{
	u64 value = 0;

	if (pread(way->fd, &value, sizeof(value), way->address + offset) != 8)
		return 0;
	return value;
}

static always_inline void put_proc_mem(const struct way *way, u64 offset,
				       u64 value)
{
	must(pwrite(way->fd, &value, sizeof(value), way->address + offset) ==
	     8);
}

static u64 walk_proc_mem(const struct way *way, const struct course *course)
{
	return loop(way, course, load_proc_mem, NULL);
}

static u64 store_proc_mem(const struct way *way, const struct course *course)
{
	return loop(way, course, NULL, put_proc_mem);
}

static void begin_proc_mem(struct way *way)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", way->pid);
	way->fd = open(path, O_RDWR | O_CLOEXEC);
	must(way->fd >= 0);
}

static void end_proc_mem(struct way *way)
{
	close(way->fd);
}

/* ---- ptrace ------------------------------------------------------------------ */

static always_inline u64 load_ptrace(const struct way *way, u64 offset)
{
	return ptrace(PTRACE_PEEKDATA, way->pid, way->address + offset, NULL);
}

static always_inline void put_ptrace(const struct way *way, u64 offset,
				     u64 value)
{
	must(!ptrace(PTRACE_POKEDATA, way->pid, way->address + offset, value));
}

static u64 walk_ptrace(const struct way *way, const struct course *course)
{
	return loop(way, course, load_ptrace, NULL);
}

static u64 store_ptrace(const struct way *way, const struct course *course)
{
	return loop(way, course, NULL, put_ptrace);
}

/* The source stands still from here to the end. */
static void begin_ptrace(struct way *way)
{
	must(!ptrace(PTRACE_SEIZE, way->pid, NULL, NULL));
	must(!ptrace(PTRACE_INTERRUPT, way->pid, NULL, NULL));
	must(waitpid(way->pid, NULL, __WALL) == way->pid);
}

static void end_ptrace(struct way *way)
{
	must(!ptrace(PTRACE_DETACH, way->pid, NULL, NULL));
}

/* ---- all of them ------------------------------------------------------------- */

static void nothing(struct way *way)
{
	(void)way;
}

const struct peer peers[3] = {
	{ "process_vm_readv", walk_process_vm, store_process_vm, nothing,
	  nothing },
	{ "proc_mem", walk_proc_mem, store_proc_mem, begin_proc_mem,
	  end_proc_mem },
	{ "ptrace", walk_ptrace, store_ptrace, begin_ptrace, end_ptrace },
};
