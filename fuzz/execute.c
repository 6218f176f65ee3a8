// SPDX-License-Identifier: GPL-2.0
/*
 * Running one program: its actors, who does what when, and what ran of the
 * module.
 *
 * Invariant: what an actor does to its memory cannot keep the others from going
 * on. They share nothing but `shared`, and nobody waits without an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kcov.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

/* How long a call is waited for, and how long all of them. */
#define CALL_MS 200
#define PROGRAM_MS 4000

struct shared *shared;
__thread enum actor current_actor;
int channels[PROCESSES][2];

static const struct program *running;

unsigned int actor_process(enum actor actor)
{
	return actor < ACTOR_S0 ? 0 : 1 + actor - ACTOR_S0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* ---- faults -------------------------------------------------------------------- */

static __thread sigjmp_buf way_out;
static __thread volatile sig_atomic_t armed;

static void on_fault(int signal)
{
	if (!armed)
		_exit(3);
	armed = 0;
	siglongjmp(way_out, signal);
}

int guarded(void (*work)(void *), void *argument)
{
	int raised = sigsetjmp(way_out, 1);

	if (raised)
		return raised;
	armed = 1;
	work(argument);
	armed = 0;
	return 0;
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- coverage -------------------------------------------------------------------- */

#define KCOV_ENTRIES (1U << 14)

static int kcov_file[ACTORS];
static uint64_t *kcov_area[ACTORS];
static uint64_t text_start;

static uint64_t section_address(const char *name)
{
	char path[128], line[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/remote_mapping/sections/%s",
		 name);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	return strtoull(line, NULL, 16);
}

/* The areas are made once: tasks come and go, and each enables its own. */
bool execute_init(void)
{
	size_t size = KCOV_ENTRIES * sizeof(uint64_t);
	unsigned int i;

	text_start = section_address(".text");
	for (i = 0; i < ACTORS; i++) {
		kcov_file[i] = open("/sys/kernel/debug/kcov", O_RDWR);
		if (kcov_file[i] < 0)
			return false;
		if (ioctl(kcov_file[i], KCOV_INIT_TRACE, KCOV_ENTRIES))
			return false;
		kcov_area[i] = mmap(NULL, size, PROT_READ | PROT_WRITE,
				    MAP_SHARED, kcov_file[i], 0);
		if (kcov_area[i] == MAP_FAILED) {
			kcov_area[i] = NULL;
			return false;
		}
	}
	return text_start;
}

static void kcov_start(void)
{
	int tries = 100;

	if (!kcov_area[current_actor] || !text_start)
		return;
	/* The one of the program before may be on its way out still. */
	while (ioctl(kcov_file[current_actor], KCOV_ENABLE, KCOV_TRACE_PC) &&
	       errno == EBUSY && tries--)
		usleep(1000);
	__atomic_store_n(&kcov_area[current_actor][0], 0, __ATOMIC_RELAXED);
}

static void set_bit(uint64_t *words, uint64_t bit)
{
	uint64_t mask = 1ULL << bit % 64;

	/* Most are set already. */
	if (!(__atomic_load_n(&words[bit / 64], __ATOMIC_RELAXED) & mask))
		__atomic_fetch_or(&words[bit / 64], mask, __ATOMIC_RELAXED);
}

static void signal_add(uint64_t a, uint64_t b)
{
	uint64_t hash = (a * 0x9e3779b97f4a7c15ULL) ^ b;

	hash *= 0xff51afd7ed558ccdULL;
	set_bit(shared->signal, (hash >> 40) % SIGNAL_BITS);
}

/* What has run in this call. */
static void kcov_take(unsigned int type, long result)
{
	uint64_t *area = kcov_area[current_actor], nr, i, at, before = 0;

	if (!area || !text_start) {
		signal_add(type, result < 0 ? (uint64_t)result : 0);
		return;
	}
	nr = __atomic_load_n(&area[0], __ATOMIC_RELAXED);
	for (i = 1; i <= nr && i < KCOV_ENTRIES; i++) {
		at = area[i] - text_start;
		if (at >= TEXT_BYTES)
			continue;
		set_bit(shared->text, at);
		signal_add(before + 1, at);
		before = at;
	}
	__atomic_store_n(&area[0], 0, __ATOMIC_RELAXED);
}

/* ---- actors ------------------------------------------------------------------------ */

static void wait_word(uint32_t *word, uint32_t value, unsigned int ms)
{
	struct timespec limit = { .tv_nsec = ms * 1000000L };

	syscall(SYS_futex, word, FUTEX_WAIT, value, ms ? &limit : NULL, NULL,
		0);
}

static void wake_word(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void fail_set(unsigned int nth)
{
	int file = open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC);
	char text[16];

	if (file < 0)
		return;
	if (write(file, text, snprintf(text, sizeof(text), "%u", nth)) < 0)
		errno = 0;
	close(file);
}

static void make_call(unsigned int index)
{
	const struct call *call = &running->calls[index];
	const struct call_type *type = &call_types[call->type];
	unsigned int i;
	long result = 0;

	for (i = 0; i < call->repeat; i++) {
		if (call->fail)
			fail_set(call->fail + i);
		result = type->make(call->args);
		if (call->fail)
			fail_set(0);
		kcov_take(call->type, result);
	}
	shared->results[index] = result < 0 ? result : 0;
	__atomic_fetch_add(&shared->made, call->repeat, __ATOMIC_RELAXED);
}

static void actor_run(void)
{
	struct actor_state *me = &shared->actors[current_actor];
	uint32_t asked;

	kcov_start();
	for (;;) {
		asked = __atomic_load_n(&me->asked, __ATOMIC_ACQUIRE);
		if (asked == me->done) {
			wait_word(&me->asked, asked, 0);
			continue;
		}
		make_call(me->call);
		__atomic_store_n(&me->done, asked, __ATOMIC_RELEASE);
		wake_word(&me->done);
	}
}

static void *thread_run(void *argument)
{
	current_actor = (enum actor)(uintptr_t)argument;
	actor_run();
	return NULL;
}

static pid_t source_start(enum actor actor)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	current_actor = actor;
	places_clear();
	actor_run();
	_exit(0);
}

/* It makes calls, or is named in some. */
static bool program_uses(enum actor actor)
{
	unsigned int i, j;

	for (i = 0; i < running->nr; i++) {
		const struct call *call = &running->calls[i];

		if (call->actor == actor)
			return true;
		for (j = 0; j < ARGS_MAX; j++)
			if (actor >= ACTOR_S0 &&
			    call->args[j] == WHO_S0 + actor - ACTOR_S0)
				return true;
	}
	return false;
}

/* Sources first: they are forked from a process of one thread. */
static void actors_start(void)
{
	struct actor_state *state = shared->actors;
	pthread_attr_t small;
	pthread_t thread;
	unsigned int i;

	memset(state, 0, sizeof(shared->actors));
	for (i = ACTOR_S0; i < ACTORS; i++) {
		if (program_uses(i))
			state[i].pid = source_start(i);
		if (state[i].pid <= 0)
			state[i].gone = 1;
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	for (i = 0; i < THREADS; i++) {
		state[i].pid = getpid();
		if (program_uses(i) &&
		    pthread_create(&thread, &small, thread_run,
				   (void *)(uintptr_t)i))
			state[i].gone = 1;
	}
}

/* It has made all that it was given, within that time. */
static bool actor_idle(enum actor actor, unsigned int ms)
{
	struct actor_state *state = &shared->actors[actor];
	uint64_t until = now_ms() + ms;
	uint32_t done;

	for (;;) {
		done = __atomic_load_n(&state->done, __ATOMIC_ACQUIRE);
		if (done == state->asked)
			return !state->gone;
		if (now_ms() >= until || state->gone)
			return false;
		wait_word(&state->done, done, 10);
		if (actor >= ACTOR_S0 &&
		    waitpid(state->pid, NULL, WNOHANG) == state->pid)
			state->gone = 1;
	}
}

static void calls_make(void)
{
	uint64_t until = now_ms() + PROGRAM_MS;
	unsigned int i;

	for (i = 0; i < running->nr && now_ms() < until; i++) {
		const struct call *call = &running->calls[i];
		struct actor_state *state = &shared->actors[call->actor];

		if (!actor_idle(call->actor, CALL_MS / 3))
			continue;
		state->call = i;
		__atomic_store_n(&state->asked, state->asked + 1,
				 __ATOMIC_RELEASE);
		wake_word(&state->asked);
		if (!call->async)
			actor_idle(call->actor, CALL_MS);
	}
	for (i = 0; i < ACTORS; i++)
		actor_idle(i, CALL_MS / 3);
}

void execute(const struct program *program)
{
	struct rlimit none = {};
	unsigned int i;

	setrlimit(RLIMIT_CORE, &none);
	running = program;
	shared->viewer = getpid();
	places_clear();
	catch_faults();
	for (i = 0; i < PROCESSES; i++)
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0,
			       channels[i]))
			_exit(2);
	actors_start();
	calls_make();
	_exit(0);
}
