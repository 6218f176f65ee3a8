/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share: a clock, processes to drive, memory whose every
 * word is known, ways to reach it, and figures as lines of JSON.
 *
 * A benchmark verifies every value it reads while it is measured, and dies of
 * the first wrong one. With --check it does that briefly: its figures mean
 * nothing then. All ways to the memory run the same loop (walk.h).
 *
 * Under test/vm/run --icount a nanosecond of the guest's clock is an
 * instruction; BENCH_UNIT says what it is (instructions, or ns).
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <linux/remote_mapping.h>

typedef uint64_t u64;

#define PAGE_SIZE 4096UL
#define PMD_SIZE (512 * PAGE_SIZE)
#define MIB (1UL << 20)
#define GIB (1UL << 30)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the run ----------------------------------------------------------------- */

/* Asked with --check: small sizes, for correctness only */
extern bool checking;

void bench_start(int argc, char **argv);
void fatal(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* What must work for a benchmark to mean anything */
#define must(condition)          \
	((condition) ? (void)0 : \
		       fatal("%s:%d: %s", __FILE__, __LINE__, #condition))
u64 now(void);

/* ---- figures ----------------------------------------------------------------- */

/* How often a figure is measured, after a round that does not count */
#define ROUNDS 5

struct figure {
	unsigned int nr;
	double value[ROUNDS];
};

/*
 * A loop over rounds: the first, -1, warms up; figure_add() drops its value. Before
 * each the machine rests, if that takes no time.
 */
#define for_each_round(round) for (int round = -1; round_begin(round); round++)
bool round_begin(int round);
/* Let the kernel do what it has put off, such as freeing what RCU readers may
 * still see: it would be done, and counted, while something is measured.
 */
void rest(void);
void figure_add(struct figure *figure, int round, double value);

/*
 * Print it as a line of JSON: the median (of time: the lowest), and the spread of
 * the middle rounds as a part of the median. per: what a value of now() is for.
 * more: further members, printf-like, NULL for none.
 */
void figure_print(const struct figure *figure, const char *bench,
		  const char *system, const char *per, const char *more, ...)
	__attribute__((format(printf, 5, 6)));
/* Something else: unit is all of it. */
void count_print(double value, const char *bench, const char *system,
		 const char *unit, const char *more, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- processes --------------------------------------------------------------- */

/*
 * A child that calls functions of this program, as it is told, and replies with
 * what they return. It has the files of its parent and, since it is a fork,
 * functions and variables at the same addresses. It dies with its parent.
 */
struct worker {
	pid_t pid;
	int channel;
};

typedef u64 work(u64 a, u64 b, u64 c);

void worker_start(struct worker *worker);
void worker_end(struct worker *worker);
u64 worker_call(const struct worker *worker, work *function, u64 a, u64 b,
		u64 c);
/* In two steps, so that many can be at it at a time */
void worker_begin(const struct worker *worker, work *function, u64 a, u64 b,
		  u64 c);
u64 worker_finish(const struct worker *worker);
void pin_to(unsigned int processor);

/* ---- memory ------------------------------------------------------------------ */

/* Word k of all measured memory, once filled */
#define WORD(k) (0x5eed000000000000UL + (k))

enum memory_kind {
	MEMORY_ANONYMOUS, /* 4 KiB pages, MADV_NOHUGEPAGE */
	MEMORY_HUGE, /* anonymous 2 MiB pages; dies if it gets others */
	MEMORY_FILE, /* a shared mapping of a file, see memory_file() */
};

/* For worker_call(): map size bytes, as c: a file's number for MEMORY_FILE, and
 * fill it. Aligned to 2 MiB.
 */
u64 memory_make(u64 kind, u64 size, u64 fd);
u64 memory_free(u64 address, u64 size, u64 unused);
u64 memory_fill(u64 address, u64 size, u64 first);
/* Dies if a word is not as filled */
u64 memory_verify(u64 address, u64 size, u64 first);
/* A memfd of that size, empty; flags: of memfd_create() */
int memory_file(size_t size, unsigned int flags);
/* 2 MiB pages set aside by the kernel, for MFD_HUGETLB */
void huge_pages_reserve(unsigned int nr);

/* ---- mirrors ----------------------------------------------------------------- */

struct mirror {
	int ctrl;
	int map;
	u64 address;
	size_t size;
	char *at;
};

/* A new context with one view, of offset 0, mapped whole. advice: of madvise */
void mirror_open(struct mirror *mirror, pid_t pid, u64 address, size_t size,
		 int prot, int advice);
void mirror_unmap(struct mirror *mirror);
void mirror_close(struct mirror *mirror);
void context_open(pid_t pid, int *ctrl, int *map);
int view_add(int ctrl, u64 address, u64 offset, u64 size);
/* From fdinfo */
u64 counter(int fd, const char *key);

#endif /* BENCH_H */
