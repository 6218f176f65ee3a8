// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration: a Python interpreter, as Debian ships it, is the source;
 * this program types into it, reads what it prints, and sees and changes its
 * memory through a mirror. Each step checks what it shows: where that is not
 * what was promised, it says so and ends with status 1.
 *
 * It never waits for time to pass, only for something to happen; an alarm ends
 * it if that never does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <remotemap.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
/* All that a process can map without asking for more (5-level page tables) */
#define ADDRESS_SPACE 0x7ffffffff000UL
#define LIMIT 900000000000

static void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list arguments;

	fputs("demo: ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	exit(1);
}

/* ---- the source: python3, and what is typed into it ------------------------ */

struct python {
	pid_t pid;
	FILE *input;
	FILE *output;
};

static const char session[] =
	"import os\n"
	"from array import array\n"
	"work = array('q', [900000000000, 0] + 20000 * [0])\n"
	"def run():\n"
	"    while work[1] < work[0]: work[1] += 1\n"
	"    print(work[1], 'of', work[0], 'done')\n"
	"\n"
	"def fork():\n"
	"    global go\n"
	"    wait, go = os.pipe()\n"
	"    if os.fork() == 0:\n"
	"        os.close(go)\n"
	"        os.read(wait, 1); print(work[0])\n"
	"        work[0] = 111; print(work[0])\n"
	"        os.read(wait, 1); os._exit(0)\n"
	"\n"
	"print('ready')\n";

static struct python python_start(void)
{
	struct python python;
	int input[2], output[2];

	if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC))
		fail("pipe: %m");
	python.pid = fork();
	if (!python.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(input[0], 0);
		dup2(output[1], 1);
		/* The interpreter's prompts */
		dup2(open("/dev/null", O_WRONLY), 2);
		execlp("python3", "python3", "-i", "-q", "-u", NULL);
		_exit(127);
	}
	close(input[0]);
	close(output[1]);
	python.input = fdopen(input[1], "w");
	python.output = fdopen(output[0], "r");
	return python;
}

static void type(const struct python *python, const char *text)
{
	fputs(text, python->input);
	if (fflush(python->input))
		fail("python takes no input: %m");
}

/* The next line that the source prints */
static char *hear(const struct python *python)
{
	static char line[256];

	if (!fgets(line, sizeof(line), python->output))
		fail("python has ended before it should");
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* ---- the viewer ------------------------------------------------------------ */

static sigjmp_buf *volatile guard;
static void *volatile fault_address;

/* Only a load that stands under guard may fail. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!guard) {
		signal(number, SIG_DFL);
		return;
	}
	fault_address = info->si_addr;
	siglongjmp(*guard, 1);
}

/* 0, or -1 if there is nothing to load from (SIGBUS) */
static int load(const volatile uint64_t *at, uint64_t *value)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 1)) {
		guard = NULL;
		return -1;
	}
	guard = &here;
	*value = *at;
	guard = NULL;
	return 0;
}

struct viewer {
	int ctrl;
	int map; /* offset = address: one view over everything */
};

static struct viewer viewer_open(pid_t pid)
{
	struct pidfd_mem_map everything = { .size = ADDRESS_SPACE };
	int pidfd = pidfd_open(pid, 0), fds[2];

	if (pidfd < 0 || pidfd_mem(pidfd, fds, 0))
		fail("pidfd_mem: %m");
	if (ioctl(fds[0], PIDFD_MEM_MAP, &everything))
		fail("PIDFD_MEM_MAP: %m");
	close(pidfd);
	return (struct viewer){ .ctrl = fds[0], .map = fds[1] };
}

static void *mirror(const struct viewer *viewer, uint64_t address, size_t size,
		    int prot)
{
	void *at =
		mmap(NULL, size, prot, MAP_SHARED, viewer->map, (off_t)address);

	if (at == MAP_FAILED)
		fail("mmap of %zu bytes at %#" PRIx64 ": %m", size, address);
	return at;
}

static uint64_t counter(const struct viewer *viewer, const char *key)
{
	char path[64], line[256];
	uint64_t value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", viewer->map);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		size_t length = strlen(key);

		if (!strncmp(line, key, length) && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

struct search {
	uint64_t wanted;
	uint64_t found; /* the last address that held it */
	unsigned int places;
	unsigned int ranges;
	size_t bytes;
};

static void search_range(const struct viewer *viewer, uint64_t start,
			 size_t size, struct search *search)
{
	const uint64_t *words = mirror(viewer, start, size, PROT_READ);
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++) {
		uint64_t first;

		/* A page may be missing as a whole, and goes only as a whole. */
		if (i % (PAGE / sizeof(*words)) == 0 &&
		    load(words + i, &first)) {
			i += PAGE / sizeof(*words) - 1;
			continue;
		}
		if (words[i] == search->wanted) {
			search->found = start + i * sizeof(*words);
			search->places++;
		}
	}
	munmap((void *)words, size);
	search->ranges++;
	search->bytes += size;
}

/* All that the source can write and nobody else can */
static struct search search(const struct viewer *viewer, pid_t pid,
			    uint64_t wanted)
{
	struct search search = { .wanted = wanted };
	char path[64], line[512], rights[8];
	uint64_t start, end;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		fail("%s: %m", path);
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end,
			   rights) == 3 &&
		    !strcmp(rights, "rw-p"))
			search_range(viewer, start, end - start, &search);
	fclose(maps);
	return search;
}

/* ---- what an access costs -------------------------------------------------- */

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Where it is measured: within the array, in zeros that nobody minds */
struct place {
	pid_t pid;
	uint64_t address; /* page aligned */
	size_t size;
	const struct viewer *viewer;
	char *at; /* a mirror of it */
};

/* A call for size bytes at offset: process_vm_readv or process_vm_writev */
static void by_call(const struct place *place, size_t offset, size_t size,
		    int writes)
{
	static char buffer[PAGE] = { 0 };
	struct iovec here = { buffer, size };
	struct iovec there = { (void *)(place->address + offset), size };
	ssize_t n =
		writes ? process_vm_writev(place->pid, &here, 1, &there, 1, 0) :
			 process_vm_readv(place->pid, &here, 1, &there, 1, 0);

	if (n != (ssize_t)size)
		fail("process_vm_%s: %m", writes ? "writev" : "readv");
}

/* Each cost_*() is the nanoseconds of one access, by the mirror or by a call,
 * as the mean of so many.
 */
typedef double cost(const struct place *place, int mirrored);

static double cost_read(const struct place *place, int mirrored)
{
	const volatile uint64_t *word = (uint64_t *)place->at;
	int i, count = mirrored ? 2000000 : 10000;
	double begin = now_ns();

	for (i = 0; i < count; i++)
		if (mirrored)
			(void)*word;
		else
			by_call(place, 0, sizeof(*word), 0);
	return (now_ns() - begin) / count;
}

static double cost_write(const struct place *place, int mirrored)
{
	volatile uint64_t *word = (uint64_t *)place->at;
	int i, count = mirrored ? 2000000 : 10000;
	double begin = now_ns();

	for (i = 0; i < count; i++)
		if (mirrored)
			*word = (uint64_t)i;
		else
			by_call(place, 0, sizeof(*word), 1);
	return (now_ns() - begin) / count;
}

static double cost_copy(const struct place *place, int mirrored)
{
	static char buffer[PAGE];
	int i, count = mirrored ? 50000 : 10000;
	double begin = now_ns();

	for (i = 0; i < count; i++)
		if (mirrored) {
			memcpy(buffer, place->at, PAGE);
			__asm__ volatile("" : : "r"(buffer) : "memory");
		} else {
			by_call(place, 0, PAGE, 0);
		}
	return (now_ns() - begin) / count;
}

/* A fresh mirror each round: mmap, the faults and munmap are all in it. */
static double cost_first(const struct place *place, int mirrored)
{
	size_t pages = place->size / PAGE, i;
	int round, rounds = 50;
	double begin = now_ns();

	for (round = 0; round < rounds; round++) {
		const volatile char *at = NULL;

		if (mirrored)
			at = mirror(place->viewer, place->address, place->size,
				    PROT_READ);
		for (i = 0; i < pages; i++)
			if (mirrored)
				(void)at[i * PAGE];
			else
				by_call(place, i * PAGE, 8, 0);
		if (mirrored)
			munmap((void *)at, place->size);
	}
	return (now_ns() - begin) / (rounds * (double)pages);
}

static void print_cost(const char *what, cost *cost, const struct place *place)
{
	double by_mirror, called;

	/* Once without counting: caches, and the emulator's translation. */
	cost(place, 1);
	cost(place, 0);
	by_mirror = cost(place, 1);
	called = cost(place, 0);
	printf("     %-32s %9.1f %9.1f %8.1f x\n", what, by_mirror, called,
	       called / by_mirror);
}

/* ---- the steps ------------------------------------------------------------- */

static void as_an_ordinary_user(void)
{
	if (!geteuid() && (setgid(1000) || setuid(1000)))
		fail("setuid: %m");
}

static void step_watch(const struct python *python,
		       const volatile uint64_t *work)
{
	uint64_t last = 0;
	int i;

	printf("3. WATCH. Python runs:  while work[1] < work[0]: work[1] += 1\n"
	       "   The viewer loads work[1] from its mirror, without a system call:\n"
	       "    ");
	type(python, "run()\n");
	for (i = 0; i < 5; i++) {
		/* Not a pause: it is the source that must get on. */
		while (work[1] < last + 20000)
			sched_yield();
		last = work[1];
		printf(" %" PRIu64 " ...", last);
	}
	puts("");
}

static void step_change(const struct python *python, volatile uint64_t *work)
{
	uint64_t limit = work[1] + 100000, done, of;
	const char *heard;

	work[0] = limit;
	heard = hear(python);
	printf("4. CHANGE. The viewer stores a new limit, %" PRIu64
	       ", in its mirror.\n"
	       "   Python's loop ends, and Python prints:  %s\n",
	       limit, heard);
	/* It may have been past the limit when that arrived. */
	if (sscanf(heard, "%" SCNu64 " of %" SCNu64, &done, &of) != 2 ||
	    of != limit || done < limit)
		fail("expected: %" PRIu64 " of %" PRIu64, limit, limit);
}

static void step_fork(const struct python *python, const struct viewer *viewer,
		      const volatile uint64_t *work)
{
	uint64_t before, child, hits;

	printf("5. FORK. Python forks; parent and child share each page until one writes.\n");
	type(python, "fork(); print('forked')\n");
	hear(python);
	before = work[0]; /* the page that they share is in the mirror now */
	hits = counter(viewer, "invalidations_hit");
	type(python, "work[0] = 222; print(work[0])\n");
	hear(python);
	hits = counter(viewer, "invalidations_hit") - hits;
	printf("   The parent sets work[0] = 222%s:  the mirror shows %" PRIu64
	       "\n",
	       hits ? " (its page moves)" : "", work[0]);
	if (work[0] != 222)
		fail("the mirror lost the parent's page");
	type(python, "_ = os.write(go, b'x')\n");
	child = strtoull(hear(python), NULL, 10);
	if (child != before)
		fail("the child has %" PRIu64 ", not %" PRIu64, child, before);
	child = strtoull(hear(python), NULL, 10);
	printf("   The child sets its own to %" PRIu64
	       ":  the mirror shows %" PRIu64 ", the parent's\n",
	       child, work[0]);
	if (child != 111 || work[0] != 222)
		fail("the mirror shows the child's page");
}

static void step_cost(const struct place *place)
{
	printf("6. COST of one access, in ns, this run. The machine is emulated: only the\n"
	       "   ratios say something.             mirror    call*   call/mirror\n");
	print_cost("8 bytes, read", cost_read, place);
	print_cost("8 bytes, written", cost_write, place);
	print_cost("4096 bytes, copied", cost_copy, place);
	print_cost("a page for the first time**", cost_first, place);
	printf("   *  process_vm_readv, process_vm_writev\n"
	       "   ** mmap, the share of a fault, and munmap, against a call for 8 bytes\n");
}

static void step_exit(struct python *python, const struct viewer *viewer,
		      const volatile uint64_t *work)
{
	struct pollfd map = { .fd = viewer->map };
	uint64_t value;

	printf("7. EXIT. Python ends");
	type(python, "exit()\n");
	if (poll(&map, 1, -1) != 1 || !(map.revents & POLLHUP))
		fail("\npoll: %m");
	printf(": poll() on the map file reports POLLHUP.\n");
	waitpid(python->pid, NULL, 0);
	if (!load(work, &value))
		fail("the mirror shows memory that is gone");
	printf("   A load from the mirror is SIGBUS at %p, which the viewer caught.\n",
	       (void *)fault_address);
	if (fault_address != work)
		fail("the mirror is at %p", (void *)work);
	printf("   In all: %" PRIu64 " faults for %" PRIu64 " pages; %" PRIu64
	       " changes of Python's memory were told\n"
	       "   to the module, %" PRIu64
	       " of them touched what was mirrored.\n",
	       counter(viewer, "faults"), counter(viewer, "pages_mapped"),
	       counter(viewer, "invalidations"),
	       counter(viewer, "invalidations_hit"));
}

int main(void)
{
	struct sigaction bus = { .sa_sigaction = on_sigbus,
				 .sa_flags = SA_SIGINFO };
	struct viewer viewer;
	struct python python;
	struct search result;
	struct utsname kernel;
	struct place place;
	volatile uint64_t *work;
	char *at;

	alarm(120);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGBUS, &bus, NULL);
	as_an_ordinary_user();
	uname(&kernel);
	printf("A viewer looks into a running program. Linux %s, uid %d.\n\n",
	       kernel.release, (int)getuid());

	python = python_start();
	type(&python, session);
	hear(&python);
	printf("1. THE SOURCE is Debian's python3, unmodified, pid %d. In it:\n"
	       "     work = array('q', [%lld, 0] + 20000 * [0])\n"
	       "   work[0] is a limit, work[1] says how much is done.\n",
	       (int)python.pid, LIMIT + 0LL);

	viewer = viewer_open(python.pid);
	result = search(&viewer, python.pid, LIMIT);
	printf("2. FIND. The viewer calls pidfd_mem(), makes one view of the whole address\n"
	       "   space, maps %u ranges, %.1f MiB, and searches them as its own memory:\n"
	       "     the limit is at %#" PRIx64 ", and nowhere else.\n",
	       result.ranges, (double)result.bytes / 1048576, result.found);
	if (result.places != 1)
		fail("it was found %u times", result.places);

	at = mirror(&viewer, result.found & -PAGE, PAGE,
		    PROT_READ | PROT_WRITE);
	work = (uint64_t *)(at + result.found % PAGE);
	place = (struct place){
		.pid = python.pid,
		.address = (result.found & -PAGE) + PAGE,
		.size = 32 * PAGE,
		.viewer = &viewer,
	};
	place.at = mirror(&viewer, place.address, place.size,
			  PROT_READ | PROT_WRITE);

	step_watch(&python, work);
	step_change(&python, work);
	step_fork(&python, &viewer, work);
	step_cost(&place);
	step_exit(&python, &viewer, work);
	return 0;
}
