// SPDX-License-Identifier: GPL-2.0
/* See bench.h, which asks for GNU extensions and so comes first. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <remotemap.h>

bool checking;

static const char *unit;
static struct utsname kernel;

/* ---- the run ----------------------------------------------------------------- */

void bench_start(int argc, char **argv)
{
	unit = getenv("BENCH_UNIT");
	if (!unit)
		unit = "ns";
	checking = argc == 2 && !strcmp(argv[1], "--check");
	if (argc > 2 || (argc == 2 && !checking)) {
		fprintf(stderr, "usage: %s [--check]\n", argv[0]);
		exit(2);
	}
	uname(&kernel);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The first call resolves symbols. */
	now();
}

void fatal(const char *format, ...)
{
	int error = errno;
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno: %s)\n", strerror(error));
	exit(1);
}

u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000UL + time.tv_nsec;
}

/* ---- figures ----------------------------------------------------------------- */

void rest(void)
{
	/* The clock of instructions leaps while nothing runs. */
	if (!strcmp(unit, "instructions"))
		sleep(6);
}

bool round_begin(int round)
{
	if (round >= (checking ? 1 : ROUNDS))
		return false;
	rest();
	return true;
}

void figure_add(struct figure *figure, int round, double value)
{
	if (round < 0)
		return;
	must(figure->nr < ROUNDS);
	figure->value[figure->nr++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void figure_sort(const struct figure *figure, double sorted[ROUNDS])
{
	memcpy(sorted, figure->value, sizeof(figure->value));
	qsort(sorted, figure->nr, sizeof(*sorted), compare);
}

/*
 * How far the rounds lie apart, without the lowest and the highest, as a part of
 * the median: work that the kernel has put off disturbs one round now and then.
 */
static double figure_spread(const struct figure *figure)
{
	unsigned int cut = figure->nr > 2;
	double sorted[ROUNDS];

	figure_sort(figure, sorted);
	return (sorted[figure->nr - 1 - cut] - sorted[cut]) /
	       sorted[figure->nr / 2];
}

/* Time has no upper limit on a machine that is shared: the best round tells. */
static double figure_value(const struct figure *figure)
{
	double sorted[ROUNDS];

	figure_sort(figure, sorted);
	return strcmp(unit, "ns") ? sorted[figure->nr / 2] : sorted[0];
}

static void print_head(const char *bench, const char *system)
{
	printf("{\"bench\":\"%s\",\"system\":\"%s\",\"kernel\":\"%s\"", bench,
	       system, kernel.release);
}

static void print_more(const char *more, va_list args)
{
	if (more) {
		printf(",");
		vprintf(more, args);
	}
	printf("}\n");
}

void figure_print(const struct figure *figure, const char *bench,
		  const char *system, const char *per, const char *more, ...)
{
	va_list args;

	must(figure->nr);
	print_head(bench, system);
	printf(",\"unit\":\"%s/%s\",\"value\":%.2f,\"spread\":%.4f", unit, per,
	       figure_value(figure), figure_spread(figure));
	va_start(args, more);
	print_more(more, args);
	va_end(args);
}

void count_print(double value, const char *bench, const char *system,
		 const char *of, const char *more, ...)
{
	va_list args;

	print_head(bench, system);
	printf(",\"unit\":\"%s\",\"value\":%.2f", of, value);
	va_start(args, more);
	print_more(more, args);
	va_end(args);
}

/* ---- processes --------------------------------------------------------------- */

struct order {
	work *function;
	u64 a, b, c;
};

static void serve(int channel)
{
	struct order order;
	u64 result;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(channel, &order, sizeof(order)) == sizeof(order)) {
		result = order.function(order.a, order.b, order.c);
		if (write(channel, &result, sizeof(result)) != sizeof(result))
			break;
	}
	_exit(0);
}

void worker_start(struct worker *worker)
{
	int pair[2];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	fflush(stdout);
	worker->pid = fork();
	must(worker->pid >= 0);
	if (!worker->pid) {
		close(pair[0]);
		serve(pair[1]);
	}
	close(pair[1]);
	worker->channel = pair[0];
}

void worker_end(struct worker *worker)
{
	int status;

	close(worker->channel);
	kill(worker->pid, SIGKILL);
	must(waitpid(worker->pid, &status, 0) == worker->pid);
	worker->pid = 0;
}

void worker_begin(const struct worker *worker, work *function, u64 a, u64 b,
		  u64 c)
{
	struct order order = { function, a, b, c };

	must(write(worker->channel, &order, sizeof(order)) == sizeof(order));
}

u64 worker_finish(const struct worker *worker)
{
	u64 result;

	if (read(worker->channel, &result, sizeof(result)) != sizeof(result))
		fatal("process %d is gone", worker->pid);
	return result;
}

u64 worker_call(const struct worker *worker, work *function, u64 a, u64 b,
		u64 c)
{
	worker_begin(worker, function, a, b, c);
	return worker_finish(worker);
}

void pin_to(unsigned int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	must(!sched_setaffinity(0, sizeof(set), &set));
}

/* ---- memory ------------------------------------------------------------------ */

/* How much of a range of this process is in anonymous 2 MiB pages */
static u64 huge_bytes(u64 address)
{
	unsigned long long start, end, kib;
	bool found = false;
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "r");

	must(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			found = address >= start && address < end;
		else if (found &&
			 sscanf(line, "AnonHugePages: %llu", &kib) == 1)
			break;
	}
	fclose(smaps);
	return found ? kib << 10 : 0;
}

/* An address range of its own, on a 2 MiB border */
static char *reserve(u64 size)
{
	char *at = mmap(NULL, size + 2 * PMD_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(at != MAP_FAILED);
	return (char *)(((u64)at + 2 * PMD_SIZE - 1) & -PMD_SIZE);
}

u64 memory_make(u64 kind, u64 size, u64 fd)
{
	char *at = reserve(size);

	if (kind == MEMORY_FILE)
		at = mmap(at, size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, fd, 0);
	else
		at = mmap(at, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	must(at != MAP_FAILED);
	if (kind != MEMORY_FILE)
		must(!madvise(at, size,
			      kind == MEMORY_HUGE ? MADV_HUGEPAGE :
						    MADV_NOHUGEPAGE));
	memory_fill((u64)at, size, 0);
	if (kind == MEMORY_HUGE && huge_bytes((u64)at) < size)
		fatal("only %lu of %lu bytes are in huge pages",
		      huge_bytes((u64)at), size);
	return (u64)at;
}

u64 memory_free(u64 address, u64 size, u64 unused)
{
	(void)unused;
	must(!munmap((void *)address, size));
	return 0;
}

u64 memory_fill(u64 address, u64 size, u64 first)
{
	u64 *word = (u64 *)address, k;

	for (k = 0; k < size / 8; k++)
		word[k] = WORD(first + k);
	return 0;
}

u64 memory_verify(u64 address, u64 size, u64 first)
{
	const u64 *word = (const u64 *)address;
	u64 k, bad = 0;

	for (k = 0; k < size / 8; k++)
		bad |= word[k] ^ WORD(first + k);
	if (bad)
		fatal("memory at %lx is not as it was filled", address);
	return 0;
}

void huge_pages_reserve(unsigned int nr)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "r+");
	unsigned int got = 0;

	must(file);
	must(fprintf(file, "%u\n", nr) > 0 && !fflush(file));
	rewind(file);
	must(fscanf(file, "%u", &got) == 1);
	fclose(file);
	if (got < nr)
		fatal("only %u of %u huge pages could be had", got, nr);
}

int memory_file(size_t size, unsigned int flags)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | flags);

	must(fd >= 0);
	must(!ftruncate(fd, size));
	return fd;
}

/* ---- mirrors ----------------------------------------------------------------- */

void context_open(pid_t pid, int *ctrl, int *map)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fds[2];

	must(pidfd >= 0);
	if (pidfd_mem(pidfd, fds, 0))
		fatal("pidfd_mem");
	close(pidfd);
	*ctrl = fds[0];
	*map = fds[1];
}

int view_add(int ctrl, u64 address, u64 offset, u64 size)
{
	struct pidfd_mem_map view = {
		.address = address,
		.offset = offset,
		.size = size,
	};

	return ioctl(ctrl, PIDFD_MEM_MAP, &view);
}

void mirror_open(struct mirror *mirror, pid_t pid, u64 address, size_t size,
		 int prot, int advice)
{
	mirror->address = address;
	mirror->size = size;
	context_open(pid, &mirror->ctrl, &mirror->map);
	must(!view_add(mirror->ctrl, address, 0, size));
	mirror->at = mmap(NULL, size, prot, MAP_SHARED, mirror->map, 0);
	must(mirror->at != MAP_FAILED);
	must(!madvise(mirror->at, size, advice));
}

void mirror_unmap(struct mirror *mirror)
{
	must(!munmap(mirror->at, mirror->size));
	mirror->at = NULL;
}

void mirror_close(struct mirror *mirror)
{
	if (mirror->at)
		mirror_unmap(mirror);
	close(mirror->map);
	close(mirror->ctrl);
}

u64 counter(int fd, const char *key)
{
	unsigned long long value = 0;
	char path[40], line[256];
	bool found = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "r");
	must(info);
	while (!found && fgets(line, sizeof(line), info))
		found = !strncmp(line, key, strlen(key)) &&
			sscanf(line + strlen(key), ":\t%llu", &value) == 1;
	fclose(info);
	if (!found)
		fatal("fdinfo has no %s", key);
	return value;
}
