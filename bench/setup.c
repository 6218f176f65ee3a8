// SPDX-License-Identifier: GPL-2.0
/*
 * Claim: to open a process, see one byte of it and let go of it costs less than
 * a fraction of a millisecond.
 *
 * All steps from a pid to the first byte and back, and each step by itself. The
 * source is new, or has been opened before: the first who ever watches an
 * address space makes the kernel take all its locks once. The peers do what
 * they need for one byte.
 */
#include "walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE MIB

enum step { OPEN, CONTEXT, VIEW, MAP, READ, UNMAP, CLOSE, STEPS };

static const char *const names[STEPS] = {
	"open", "context", "view", "mmap", "read", "munmap", "close",
};

static void expect(u64 value)
{
	if (value != WORD(0))
		fatal("a wrong value was read");
}

/* at: what the clock says before each step, and after the last */
static void mirror_steps(pid_t pid, u64 address, u64 at[STEPS + 1])
{
	struct pidfd_mem_open open_ = { .size = sizeof(open_) };
	const volatile u64 *memory;
	char path[32];
	int device;
	u64 value;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	at[OPEN] = now();
	open_.mem_fd = open(path, O_RDWR | O_CLOEXEC);
	device = open("/dev/" REMOTE_MAPPING_DEVICE, O_RDWR | O_CLOEXEC);
	at[CONTEXT] = now();
	must(!ioctl(device, PIDFD_MEM_OPEN, &open_));
	at[VIEW] = now();
	must(!view_add(open_.ctrl_fd, address, 0, SIZE));
	at[MAP] = now();
	memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, open_.map_fd, 0);
	must(memory != MAP_FAILED);
	at[READ] = now();
	value = *memory;
	at[UNMAP] = now();
	must(!munmap((void *)memory, SIZE));
	at[CLOSE] = now();
	close(open_.map_fd);
	close(open_.ctrl_fd);
	close(open_.mem_fd);
	close(device);
	at[STEPS] = now();
	expect(value);
}

/* The same without a look at the clock between */
static u64 mirror_once(pid_t pid, u64 address)
{
	struct mirror mirror;
	u64 begin = now(), value;

	mirror_open(&mirror, pid, address, SIZE, PROT_READ, MADV_NORMAL);
	value = *(const volatile u64 *)mirror.at;
	mirror_close(&mirror);
	begin = now() - begin;
	expect(value);
	return begin;
}

static u64 source_new(struct worker *source)
{
	worker_start(source);
	return worker_call(source, memory_make, MEMORY_ANONYMOUS, SIZE, -1);
}

static void measure_new(void)
{
	struct figure figure = {};
	struct worker source;
	u64 address, at[STEPS + 1];

	for_each_round(round) {
		address = source_new(&source);
		mirror_steps(source.pid, address, at);
		figure_add(&figure, round, at[STEPS] - at[0]);
		worker_end(&source);
	}
	figure_print(&figure, "setup", "mirror", "setup",
		     "\"source\":\"new\",\"step\":\"all\"");
}

static void measure_again(pid_t pid, u64 address)
{
	struct figure all = {}, again = {}, library = {}, step[STEPS] = {};
	u64 at[STEPS + 1];

	for_each_round(round) {
		/* The module lets go of an address space after a second. */
		sleep(2);
		mirror_steps(pid, address, at);
		figure_add(&all, round, at[STEPS] - at[0]);
		mirror_steps(pid, address, at);
		figure_add(&again, round, at[STEPS] - at[0]);
		for (int i = 0; i < STEPS; i++)
			figure_add(&step[i], round, at[i + 1] - at[i]);
		figure_add(&library, round, mirror_once(pid, address));
	}
	figure_print(&all, "setup", "mirror", "setup",
		     "\"source\":\"seen\",\"step\":\"all\"");
	figure_print(&again, "setup", "mirror", "setup",
		     "\"source\":\"just closed\",\"step\":\"all\"");
	figure_print(&library, "setup", "mirror", "setup",
		     "\"source\":\"just closed\",\"step\":\"all with pidfd_mem\"");
	for (int i = 0; i < STEPS; i++)
		figure_print(&step[i], "setup", "mirror", "setup",
			     "\"source\":\"just closed\",\"step\":\"%s\"",
			     names[i]);
}

/* As another process finds a memfd: through /proc */
static void measure_memfd(pid_t pid, int fd)
{
	struct figure figure = {};
	const volatile u64 *memory;
	u64 begin, value;
	char path[40];
	int file;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	for_each_round(round) {
		begin = now();
		file = open(path, O_RDWR | O_CLOEXEC);
		memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
		must(memory != MAP_FAILED);
		value = *memory;
		must(!munmap((void *)memory, SIZE));
		close(file);
		figure_add(&figure, round, now() - begin);
		expect(value);
	}
	figure_print(&figure, "setup", "memfd", "setup",
		     "\"source\":\"seen\",\"step\":\"all\"");
}

static void measure_peers(pid_t pid, u64 address)
{
	struct course course = { 8, 1, false };
	struct way way = { .pid = pid, .address = address, .size = SIZE };

	for_each_peer(peer) {
		struct figure figure = {};
		u64 begin;

		way.system = peer->system;
		for_each_round(round) {
			begin = now();
			peer->begin(&way);
			peer->walk(&way, &course);
			peer->end(&way);
			figure_add(&figure, round, now() - begin);
		}
		figure_print(&figure, "setup", way.system, "setup",
			     "\"source\":\"seen\",\"step\":\"all\"");
	}
}

int main(int argc, char **argv)
{
	struct worker source;
	u64 address;
	int fd;

	bench_start(argc, argv);
	measure_new();
	fd = memory_file(SIZE, 0);
	address = source_new(&source);
	measure_again(source.pid, address);
	worker_call(&source, memory_make, MEMORY_FILE, SIZE, fd);
	measure_memfd(source.pid, fd);
	measure_peers(source.pid, address);
	worker_end(&source);
}
