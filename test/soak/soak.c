// SPDX-License-Identifier: GPL-2.0
/*
 * The consistency checker: everything that can happen to a source and to its
 * viewers happens at once, by chance, and every value that anybody reads is held
 * against what it must be (soak.h).
 *
 *   soak SECONDS SEED
 *
 * Promises: what each of its processes does is a function of the seed. What is
 * wrong is printed at once, with what happened to that page before. The last line
 * is JSON: operations, events, violations. Exit status 0: nothing was wrong; 1:
 * something was; 2: it could not be told.
 */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONDUCTED_BASE 0x320000000000ULL

/* After that, who does not end is stuck. */
#define STUCK_S 120

uint64_t soak_seed;

static const char *const operation_names[OPS] = {
	[OP_READS] = "mirror_reads",	  [OP_WRITES] = "mirror_writes",
	[OP_FILE_READS] = "file_reads",	  [OP_FILE_WRITES] = "file_writes",
	[OP_OWN_READS] = "source_reads",  [OP_OWN_WRITES] = "source_writes",
	[OP_THIRD_READS] = "third_reads", [OP_THIRD_WRITES] = "third_writes",
	[OP_CHILD_READS] = "child_reads", [OP_CHILD_WRITES] = "child_writes",
	[OP_REFUSED] = "refused",
};

/* ---- actors ----------------------------------------------------------------------- */

pid_t actor_start(void (*run)(void *arg), void *arg)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fatal("fork: %m");
	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	run(arg);
	_exit(0);
}

/* Nothing can be proved any more: say who waits where, and give up. */
static void stuck(pid_t pid) __attribute__((noreturn));
static void stuck(pid_t pid)
{
	char command[512];

	printf("broken: process %d does not end; it, and who waits:\n", pid);
	fflush(stdout);
	snprintf(command, sizeof(command),
		 "for t in /proc/%d/task/* /proc/[0-9]*/task/*; do "
		 "case $t in /proc/%d/*) ;; *) "
		 "grep -q '^State:.D' $t/status || continue ;; esac; "
		 "echo \"# $t $(grep -h -e Name -e State -e Sig -e Shd "
		 "$t/status | tr '\\n\\t' '  ')\"; "
		 "cat $t/wchan $t/syscall; cat $t/stack; done 2>&1; "
		 "cat /proc/%d/fdinfo/* | grep -v view",
		 pid, pid, pid);
	if (system(command))
		printf("# not to be seen\n");
	fflush(stdout);
	_exit(2);
}

int actor_end(pid_t pid)
{
	struct deadline deadline = deadline_in(STUCK_S);
	int status;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		if (running())
			deadline = deadline_in(STUCK_S);
		if (deadline_passed(&deadline))
			stuck(pid);
		nap_ms(2);
	}
}

/* ---- the stage ---------------------------------------------------------------------- */

struct cast {
	pid_t source, third, weather, mortal;
	pid_t viewer_pids[VIEWERS];
	struct viewer viewers[VIEWERS];
	int ctrl[2], map[2]; /* of CONTEXT_SHARED, CONTEXT_LOCKED */
	int broken;
};

/* What the machine is to do by itself */
static void machine_set(void)
{
	/* A busy host lets a processor wait for long. */
	text_write("/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout",
		   "200");
	text_write("/proc/sys/kernel/watchdog_thresh", "60");
	/* Only those whose lot it is are to die of want. */
	text_must_write("/proc/self/oom_score_adj", "-1000");
	swap_on();
	text_must_write("/sys/kernel/mm/ksm/sleep_millisecs", "20");
	text_must_write("/sys/kernel/mm/ksm/pages_to_scan", "200");
	text_must_write("/sys/kernel/mm/ksm/run", "1");
	/* Where there are two nodes pages are moved to where they are used. */
	text_write("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms",
		   "20");
	text_write("/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms",
		   "20");
	text_write("/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms",
		   "200");
	text_must_write("/proc/sys/vm/dirty_writeback_centisecs", "50");
	text_must_write("/proc/sys/vm/dirty_expire_centisecs", "50");
}

static void viewer_start(struct cast *cast, unsigned int number)
{
	struct viewer *viewer = &cast->viewers[number];

	viewer->number = number;
	viewer->world = WORLD_MAIN;
	viewer->incarnation = 1;
	viewer->life++;
	memcpy(viewer->map, cast->map, sizeof(cast->map));
	viewer->holder = getpid();
	cast->viewer_pids[number] = actor_start(viewer_run, viewer);
}

static void cast_start(struct cast *cast)
{
	unsigned int i;
	int error = 0;

	cast->source = actor_start(source_run, NULL);
	board->source[WORLD_MAIN] = cast->source;
	cgroup_create(MAIN_CGROUP, cast->source, 0);
	WAIT_FOR(board->ready[WORLD_MAIN]);
	for (i = 0; i < 2 && !error; i++)
		error = context_make(WORLD_MAIN, &cast->ctrl[i], &cast->map[i]);
	if (!error)
		error = context_lock(cast->ctrl[1]);
	if (error)
		fatal("no context: %s", strerror(-error));
	cast->third = actor_start(third_run, NULL);
	cast->weather = actor_start(weather_run, &cast->ctrl[0]);
	cast->mortal = actor_start(mortal_run, NULL);
	for (i = 0; i < VIEWERS; i++)
		viewer_start(cast, i);
}

static void must_run(struct cast *cast, pid_t *pid, const char *name)
{
	int status;

	if (!*pid || waitpid(*pid, &status, WNOHANG) != *pid)
		return;
	*pid = 0;
	if (!running())
		return;
	printf("broken: %s ended with status %#x\n", name, status);
	cast->broken = 1;
}

/* A viewer that has ended comes again. */
static void viewers_tend(struct cast *cast, struct dice *dice)
{
	unsigned int i;
	int status;

	if (!dice_roll(dice, 100)) {
		i = dice_roll(dice, VIEWERS);
		kill(cast->viewer_pids[i], SIGKILL);
	}
	for (i = 0; i < VIEWERS; i++) {
		if (waitpid(cast->viewer_pids[i], &status, WNOHANG) !=
		    cast->viewer_pids[i])
			continue;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
			event(EVENT_VIEWER_KILL, 0, 0, 0);
		} else if (status) {
			printf("broken: viewer %u ended with status %#x\n", i,
			       status);
			cast->broken = 1;
		} else {
			event(EVENT_VIEWER_EXIT, 0, 0, 0);
		}
		viewer_start(cast, i);
	}
}

static void conduct(struct cast *cast, unsigned int seconds)
{
	struct deadline deadline = deadline_in(seconds);
	struct dice dice = dice_of(soak_seed, 1);

	while (!deadline_passed(&deadline) && running() && !cast->broken) {
		viewers_tend(cast, &dice);
		must_run(cast, &cast->source, "the source");
		must_run(cast, &cast->third, "the third process");
		must_run(cast, &cast->weather, "the weather");
		must_run(cast, &cast->mortal, "the sources that end");
		nap_ms(30);
	}
}

/* ---- the end ------------------------------------------------------------------------- */

static void stage_set(enum stage stage)
{
	uint32_t old = __atomic_load_n(&board->stage, __ATOMIC_SEQ_CST);

	/* It never goes back. */
	while (old < stage &&
	       !__atomic_compare_exchange_n(&board->stage, &old, stage, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static void end(pid_t *pid)
{
	if (!*pid)
		return;
	if (board_stage() == STAGE_OVER)
		kill(*pid, SIGKILL);
	actor_end(*pid);
	*pid = 0;
}

/* No write was lost: the source and a new mirror show the last of each. */
static void last_look(struct cast *cast)
{
	char *at[REGIONS] = { NULL };
	int ctrl, map, error;
	unsigned int i;

	error = context_make(WORLD_MAIN, &ctrl, &map);
	if (error)
		fatal("no context: %s", strerror(-error));
	for (i = 0; i < REGION_DECOY; i++) {
		at[i] = mmap((void *)(CONDUCTED_BASE + REGION_OFFSET(i)),
			     regions[i].size, PROT_READ, MAP_SHARED, map,
			     REGION_OFFSET(i));
		if (at[i] == MAP_FAILED)
			fatal("mmap: %m");
	}
	audit("a mirror at the end", WORLD_MAIN, at);
	__atomic_store_n(&board->ended[WORLD_MAIN], 1, __ATOMIC_SEQ_CST);
	while (board_stage() != STAGE_OVER && board->ended[WORLD_MAIN] != 2 &&
	       !cast->broken) {
		must_run(cast, &cast->source, "the source");
		nap_ms(5);
	}
}

static void cast_end(struct cast *cast)
{
	unsigned int i;

	stage_set(cast->broken ? STAGE_OVER : STAGE_QUIET);
	for (i = 0; i < VIEWERS; i++)
		end(&cast->viewer_pids[i]);
	end(&cast->third);
	end(&cast->weather);
	end(&cast->mortal);
	if (board_stage() != STAGE_OVER)
		last_look(cast);
	stage_set(STAGE_OVER);
	end(&cast->source);
}

/* What the kernel says that it did, to know that the events were some */
static const char *const machine_names[] = {
	"pswpin",
	"pswpout",
	"pgmigrate_success",
	"numa_hint_faults",
	"thp_fault_alloc",
	"thp_collapse_alloc",
	"thp_split_page",
	"thp_split_pmd",
	"ksm_swpin_copy",
	"cow_ksm",
	"pglazyfreed",
	"oom_kill",
	"compact_success",
	"workingset_refault_anon",
};

#define MACHINE_NAMES (sizeof(machine_names) / sizeof(machine_names[0]))

static void machine_read(uint64_t values[MACHINE_NAMES])
{
	FILE *file = fopen("/proc/vmstat", "re");
	char name[64];
	uint64_t value;
	size_t i;

	if (!file)
		fatal("/proc/vmstat: %m");
	while (fscanf(file, "%63s %" SCNu64, name, &value) == 2)
		for (i = 0; i < MACHINE_NAMES; i++)
			if (!strcmp(name, machine_names[i]))
				values[i] = value;
	fclose(file);
}

static void report_machine(const uint64_t before[MACHINE_NAMES])
{
	uint64_t now[MACHINE_NAMES] = { 0 };
	const char *comma = "";
	size_t i;

	machine_read(now);
	printf("\"machine\": {");
	for (i = 0; i < MACHINE_NAMES; i++, comma = ", ")
		printf("%s\"%s\": %" PRIu64, comma, machine_names[i],
		       now[i] - before[i]);
	printf("}, ");
}

static void report(unsigned int seconds, const uint64_t before[MACHINE_NAMES])
{
	struct utsname name;
	const char *comma = "";
	unsigned int i;

	uname(&name);
	printf("{\"kernel\": \"%s\", \"seed\": %" PRIu64 ", \"seconds\": %u, "
	       "\"ran_ms\": %" PRIu64 ", \"operations\": {",
	       name.release, soak_seed, seconds, board_ns() / 1000000);
	for (i = 0; i < OPS; i++, comma = ", ")
		printf("%s\"%s\": %" PRIu64, comma, operation_names[i],
		       board->operations[i]);
	printf("}, \"events\": {");
	for (i = 0, comma = ""; i < EVENTS; i++, comma = ", ")
		printf("%s\"%s\": %" PRIu64, comma, event_names[i],
		       board->events[i]);
	printf("}, ");
	report_machine(before);
	printf("\"violations\": %u}\n", board->violations);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct cast cast;
	uint64_t before[MACHINE_NAMES] = { 0 };
	unsigned int seconds;

	if (argc == 2 && !strcmp(argv[1], "linger"))
		return pause();
	if (argc != 3) {
		fprintf(stderr, "usage: soak SECONDS SEED\n");
		return 2;
	}
	seconds = strtoul(argv[1], NULL, 0);
	soak_seed = strtoull(argv[2], NULL, 0);
	machine_set();
	regions_make();
	board_make();
	printf("# soak: %u s, seed %" PRIu64 "\n", seconds, soak_seed);
	machine_read(before);
	cast_start(&cast);
	conduct(&cast, seconds);
	cast_end(&cast);
	report(seconds, before);
	swap_off();
	disk_unmount();
	if (board->violations)
		return 1;
	return cast.broken || !board->operations[OP_READS] ? 2 : 0;
}
