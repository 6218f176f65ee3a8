/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test programs share: contexts and mirrors on the viewer's side, a
 * source process that does what it is told, and ways to make a kernel do to
 * memory what it does by itself when it feels like it.
 *
 * Two manners of failing: what a test may want to see fail returns -errno;
 * what must work for the test to mean anything ends the test (fatal()).
 */
#ifndef TEST_COMMON_H
#define TEST_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <linux/remote_mapping.h>

#define DEVICE_PATH "/dev/" REMOTE_MAPPING_DEVICE

#define PAGE_SIZE 4096UL
#define PMD_SIZE (512 * PAGE_SIZE)

/* Print why as a TAP comment and end the test as failed. */
void fatal(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* ---- the viewer's side ---------------------------------------------------- */

/* All of these return 0 (device_open: the file) or -errno. */
int device_open(int oflags);
int mem_open(pid_t pid, int oflags);
/* mem_oflags: how to open /proc/PID/mem; open_flags: PIDFD_MEM_OPEN_* */
int context_open(pid_t pid, int mem_oflags, unsigned int open_flags, int *ctrl,
		 int *map);
int view_add(int ctrl, uint64_t address, uint64_t offset, uint64_t size,
	     uint32_t flags);
int view_remove(int ctrl, uint64_t offset, uint64_t size);
int context_lock(int ctrl);

/* A context with one view, mapped whole; offset 0 is the view's address. */
struct mirror {
	int ctrl;
	int map;
	char *at;
	uint64_t address;
	size_t size;
};

/* prot: of the mapping; flags: of the view. The mirror's address agrees with
 * the source's modulo 2 MiB.
 */
struct mirror mirror_open(pid_t pid, uint64_t address, size_t size, int prot,
			  uint32_t flags);
/* The same with O_RDONLY /proc/PID/mem and PROT_READ */
struct mirror mirror_open_readonly(pid_t pid, uint64_t address, size_t size);
/* One more mapping of the same map file */
char *mirror_again(const struct mirror *mirror, int prot);
void mirror_close(struct mirror *mirror);
/* Its counters: pages ever mapped, invalidations that took a page from it */
uint64_t mirror_mapped(const struct mirror *mirror);
uint64_t mirror_hits(const struct mirror *mirror);

/* From /proc/self/fdinfo/FD: of a ctrl file, a map file */
uint64_t counter(int fd, const char *key);
bool has_view(int fd, uint64_t offset, uint64_t address, uint64_t size,
	      uint32_t flags);

/* Touch memory and live: 0, or the signal that it raised (SIGSEGV, SIGBUS).
 * Any number of threads may.
 */
int touch_read(const volatile void *at, uint64_t *value);
int touch_write(volatile void *at, uint64_t value);
/* si_code of the last signal that this thread's touch_*() caught */
int touch_code(void);

/*
 * A thread that writes through a mirror without pause while a test makes
 * things happen: it counts each page's first word up by one and knows what must
 * be there. A value that it did not write, or a signal, ends the test.
 */
struct hammer;
struct hammer *hammer_start(char *at, size_t pages);
/* How often it has been around all its pages so far */
uint64_t hammer_rounds(struct hammer *hammer);
/* Stop. Page n's first word is hammer_count(hammer, n) now. */
void hammer_stop(struct hammer *hammer);
uint64_t hammer_count(struct hammer *hammer, size_t page);
void hammer_free(struct hammer *hammer);

/* ---- the source ------------------------------------------------------------ */

/*
 * A child of the test, forked before it does anything: the test's code and
 * constants are at the same addresses in it. It waits for orders on a socket,
 * on its own stack, and does nothing else. It dies with the test. One thread
 * at a time may drive a source.
 */
struct source {
	pid_t pid; /* 0: ended and reaped */
	int channel;
};

struct source *source_start(void);
/* Kill it if it lives, reap it, free the struct. */
void source_end(struct source *source);
/* End as a program ends; returns when it is reaped. */
void source_exit(struct source *source, int code);
/* SIGKILL; returns when it is reaped. */
void source_kill(struct source *source);
/* Reap a source that ends by itself: its wait status */
int source_reap(struct source *source);
/* It becomes PATH (arguments: NULL-terminated, the first is argv[0]), keeps
 * its pid and takes no more orders. 0 or -errno.
 */
int source_exec(struct source *source, const char *path, char *const argv[]);
/* The source forks: its child, driven like itself, is reaped by the test. */
struct source *source_fork(struct source *source);
/* The same as vfork would: address space shared (CLONE_VM), own process */
struct source *source_fork_sharing_memory(struct source *source);

/* Any system call: its result or -errno. A pointer is an address in the
 * source; string literals of the test are good ones.
 */
#define source_syscall(source, nr, ...) \
	source_syscall_array(source, nr, (const long[6]){ __VA_ARGS__ })
long source_syscall_array(struct source *source, long nr, const long args[6]);

/* Give the source a file: its number there. */
int source_take_fd(struct source *source, int fd);

uint64_t source_load(struct source *source, uint64_t address);
void source_store(struct source *source, uint64_t address, uint64_t value);
/* 0, or the signal that it raised there */
int source_try_load(struct source *source, uint64_t address, uint64_t *value);
int source_try_store(struct source *source, uint64_t address, uint64_t value);

/* Call a function of the test in the source. arg is copied there (size up to
 * CALL_SIZE), what the function does to it is not copied back.
 */
#define CALL_SIZE 256
typedef long source_function(void *arg);
long source_call(struct source *source, source_function *function,
		 const void *arg, size_t size);
/* In two steps: the source is at it between them. */
void source_call_begin(struct source *source, source_function *function,
		       const void *arg, size_t size);
void source_syscall_begin(struct source *source, long nr, const long args[6]);
void source_load_begin(struct source *source, uint64_t address);
void source_store_begin(struct source *source, uint64_t address,
			uint64_t value);
/* The result, or -EPIPE if the source has ended instead */
long source_finish(struct source *source);

/* mmap in the source; fatal if it fails */
uint64_t source_mmap(struct source *source, uint64_t address, size_t size,
		     int prot, int flags, int fd, uint64_t offset);
/* Private anonymous memory, readable and writable; flags: more MAP_* */
uint64_t source_anon(struct source *source, size_t size, int flags);
/* The same, aligned to 2 MiB */
uint64_t source_anon_aligned(struct source *source, size_t size);
void source_munmap(struct source *source, uint64_t address, size_t size);
void source_mprotect(struct source *source, uint64_t address, size_t size,
		     int prot);
int source_madvise(struct source *source, uint64_t address, size_t size,
		   int advice);

/* Each word of the page number i of a filled range is pattern(seed, i). */
uint64_t pattern(uint64_t seed, size_t page);
void source_fill(struct source *source, uint64_t address, size_t size,
		 uint64_t seed);
/* The first page of [at, at + size) that is not so filled, or -1. A page that
 * cannot be read is not.
 */
long pattern_differs(const volatile void *at, size_t size, uint64_t seed);
long source_pattern_differs(struct source *source, uint64_t address,
			    size_t size, uint64_t seed);

/* Start an unmodified program; its standard input is one end of a pipe that
 * stays open and empty, its output /dev/null. It dies with the test.
 */
pid_t program_start(const char *path, char *const argv[]);
/* Kill and reap. */
void program_end(pid_t pid);
/* The first mapping in /proc/PID/maps whose line contains name: its range and
 * permissions ("rw-p"). False if there is none.
 */
bool mapping_find(pid_t pid, const char *name, uint64_t *start, uint64_t *end,
		  char perms[5]);

/* ---- what the kernel says -------------------------------------------------- */

/* A key of /proc/PID/status or of the mapping of address in /proc/PID/smaps,
 * in KiB or whatever it is in. pid 0: self
 */
uint64_t process_status(pid_t pid, const char *key);
uint64_t smaps(pid_t pid, uint64_t address, const char *key);
uint64_t minor_faults(pid_t pid);

#define PAGEMAP_SOFT_DIRTY (1ULL << 55)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define PAGEMAP_PRESENT (1ULL << 63)
uint64_t pagemap(pid_t pid, uint64_t address);
/* The page frame of a present page; 0 if it is absent */
uint64_t frame(pid_t pid, uint64_t address);
/* How often the page at that address is mapped, as rmap counts it */
uint64_t page_mapcount(pid_t pid, uint64_t address);
/* KPF_* bits of /proc/kpageflags */
uint64_t page_flags(pid_t pid, uint64_t address);
#define PAGE_FLAG(bit) (1ULL << (bit))

/* /proc and /sys files; text_write returns 0 or -errno. */
int text_write(const char *path, const char *text);
void text_must_write(const char *path, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
uint64_t number_read(const char *path);
/* How many objects of a slab cache are in use, to the object: what is only kept at
 * hand is given back first. 0 if there is no such cache.
 */
long slab_objects(const char *cache);
/* Whether the kernel moves pages to where they are used (NUMA balancing): false
 * if it never does. Only what differs is written, and tests leave it off: the
 * switch patches the kernel's code, and an emulated processor that has an old
 * translation of it at hand when it is thrown may run into the patch's int3.
 */
bool numa_balancing_set(bool on);

/* ---- what the kernel can be made to do ------------------------------------- */

/* How many times slower than a stock kernel this one is: TEST_PATIENCE */
unsigned int slower(void);

/* How long to wait for what takes at most that many seconds on a stock kernel in
 * an idle host: it only ends what would never come. Not for what a test does for a
 * while.
 */
unsigned int patience(unsigned int seconds);

/*
 * How many times to do what shows something when it is done times times: fewer
 * where each takes longer, by TEST_PATIENCE. On stock kernels all of them are done.
 */
int repeated(int times);

/* Wait until condition holds: fatal when it does not in the time of patience(20). */
#define WAIT_FOR(condition)                                            \
	do {                                                           \
		struct deadline deadline_ = deadline_in(patience(20)); \
		while (!(condition)) {                                 \
			if (deadline_passed(&deadline_))               \
				fatal("%s:%d: waited in vain for %s",  \
				      __FILE__, __LINE__, #condition); \
			deadline_nap();                                \
		}                                                      \
	} while (0)

struct deadline {
	uint64_t ns;
};

struct deadline deadline_in(unsigned int seconds);
bool deadline_passed(const struct deadline *deadline);
void deadline_nap(void);

/* /dev/ramN, N of 0 to 3, 384 MiB each, as needed; loads the driver */
const char *ram_disk(int number);
/* Swap on /dev/ram0 until swap_off(). */
void swap_on(void);
void swap_off(void);
/* Whether all of these pages are in swap */
bool all_swapped(struct source *source, uint64_t address, size_t size);
/* Push the pages out (MADV_PAGEOUT by process_madvise) until all of them are
 * swapped. A page that is mapped elsewhere stays: false.
 */
bool page_out(struct source *source, uint64_t address, size_t size);
/* Have a cgroup's processes give up that much, also shared pages. */
void cgroup_reclaim(const char *name, size_t bytes);
/* Bytes of swap in use */
uint64_t swap_used(void);
/* Mount a file system of that type ("ext4", "xfs") on /dev/ram1: the folder, or
 * NULL where there is no such file system.
 */
const char *disk_mount(const char *type);
void disk_unmount(void);
/* The same for memory that is a disk (/dev/pmem0, boot with memmap=64M!2G), so
 * that files are mapped from it with no page cache between; NULL without one
 */
const char *dax_mount(void);
void drop_caches(void);
/* Have pages leave the processors' own lists for the LRU, where reclaim looks. */
void lru_drain(void);
void compact_memory(void);
/* Let ksmd run until it has been over all memory twice. */
void ksm_run(void);
void ksm_stop(void);
/* nr huge pages of 2 MiB in the pool; false: there is no memory for them */
bool hugetlb_reserve(unsigned int nr);
/* Collapse to a huge page; 0 or -errno (MADV_COLLAPSE). */
int collapse(struct source *source, uint64_t address, size_t size);
/* Whether a huge page of anonymous memory is there (smaps) */
bool is_huge(struct source *source, uint64_t address);
/* Split every huge page of the process in that range (debugfs). */
void split_huge_pages(pid_t pid, uint64_t address, size_t size);
/* Memory nodes: how many; where a page is; move it there (0 or -errno). */
unsigned int node_count(void);
int node_of(pid_t pid, uint64_t address);
int node_move(pid_t pid, uint64_t address, int node);
/* A memory cgroup of its own for pid, with memory.max = limit_bytes (0: none) */
const char *cgroup_create(const char *name, pid_t pid, size_t limit_bytes);
void cgroup_remove(const char *name);

#endif /* TEST_COMMON_H */
