// SPDX-License-Identifier: GPL-2.0
/*
 * Sources that end, one after the other: they exit, are killed, become another
 * program, use up their memory. Their viewers look until they are refused, or are
 * killed, or use up theirs.
 *
 * Nothing can be asked of a mirror in the moment of the end but that it shows
 * what was there or nothing: the memory of a source that has ended is everybody's.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCE_CGROUP "soak_source"
#define VIEWER_CGROUP "soak_viewer"
#define SOURCE_BYTES (24UL << 20)
#define VIEWER_BYTES (24UL << 20)

static const enum event ends[] = { EVENT_SOURCE_EXIT, EVENT_SOURCE_KILL,
				   EVENT_SOURCE_EXEC, EVENT_SOURCE_OOM };

struct mortal {
	uint32_t incarnation;
	enum event end;
	unsigned int life_ms;
};

static void confine(const char *name, size_t limit_bytes)
{
	char path[96];

	text_must_write("/proc/self/oom_score_adj", "0");
	cgroup_create(name, getpid(), limit_bytes);
	/* Or it would fill the swap first. */
	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/memory.swap.max", name);
	text_write(path, "0");
}

static void mortal_source(void *arg)
{
	struct mortal *mortal = arg;

	if (mortal->end == EVENT_SOURCE_OOM)
		confine(SOURCE_CGROUP, SOURCE_BYTES);
	source_live(mortal->incarnation);
	nap_ms(mortal->life_ms);
	switch (mortal->end) {
	case EVENT_SOURCE_EXEC:
		execl("/proc/self/exe", "soak", "linger", NULL);
		fatal("exec: %m");
	case EVENT_SOURCE_OOM:
		eat();
		break;
	case EVENT_SOURCE_KILL:
		raise(SIGKILL);
		break;
	default:
		_exit(0);
	}
}

static void mortal_viewer(void *arg)
{
	struct viewer *viewer = arg;

	if (viewer->hungry)
		confine(VIEWER_CGROUP, VIEWER_BYTES);
	viewer_run(arg);
}

/* Its address space is gone, or going: an exec shows in the name. */
static bool has_ended(pid_t pid, int *status)
{
	char path[40], name[16] = "";
	bool ended;
	FILE *file;

	if (waitpid(pid, status, WNOHANG) == pid)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	*status = -1;
	/* "soak", "linger" */
	ended = fread(name, 1, sizeof(name) - 1, file) >= 12 &&
		!strcmp(name + 5, "linger");
	fclose(file);
	return ended;
}

static bool wait_ready(pid_t pid, uint32_t incarnation)
{
	int status;

	while (__atomic_load_n(&board->ready[WORLD_MORTAL], __ATOMIC_SEQ_CST) !=
	       incarnation) {
		if (!running() || waitpid(pid, &status, WNOHANG) == pid)
			return false;
		nap_ms(1);
	}
	return true;
}

static void viewer_reap(pid_t pid, const struct viewer *viewer)
{
	int status = actor_end(pid);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		event(viewer->hungry ? EVENT_VIEWER_OOM : EVENT_VIEWER_KILL, 0,
		      0, 0);
	else if (status && running())
		fatal("a viewer of a source that ended: status %#x", status);
	else
		event(EVENT_VIEWER_EXIT, 0, 0, 0);
}

/* Whether it is still there, as another program */
static bool source_wait(pid_t pid, const struct mortal *mortal)
{
	int status;

	while (!has_ended(pid, &status)) {
		if (!running())
			kill(pid, SIGKILL);
		nap_ms(2);
	}
	__atomic_store_n(&board->ended[WORLD_MORTAL], mortal->incarnation,
			 __ATOMIC_SEQ_CST);
	event(mortal->end, 0, 0, 0);
	if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status))
		fatal("a source ended with status %#x", status);
	return status == -1;
}

static void mortal_turn(struct dice *dice, uint32_t incarnation)
{
	const struct region *shared = &regions[REGION_MORTAL_SHARED];
	struct mortal mortal = { .incarnation = incarnation };
	struct viewer viewers[MORTAL_VIEWERS] = { 0 };
	pid_t source, pids[MORTAL_VIEWERS];
	unsigned int i, victim;
	bool lingers;

	discard_world(WORLD_MORTAL);
	if (ftruncate(shared->fd, 0) || ftruncate(shared->fd, shared->size))
		fatal("ftruncate: %m");
	mortal.end = ends[dice_roll(dice, 4)];
	mortal.life_ms = 200 + dice_roll(dice, 800);
	victim = dice_roll(dice, 8);
	source = actor_start(mortal_source, &mortal);
	board->source[WORLD_MORTAL] = source;
	if (!wait_ready(source, incarnation)) {
		kill(source, SIGKILL);
		actor_end(source);
		return;
	}
	for (i = 0; i < MORTAL_VIEWERS; i++) {
		viewers[i] = (struct viewer){ .number = i,
					      .world = WORLD_MORTAL,
					      .incarnation = incarnation,
					      .life = incarnation,
					      .hungry = victim == i };
		pids[i] = actor_start(mortal_viewer, &viewers[i]);
	}
	if (victim == 4) {
		nap_ms(mortal.life_ms / 2);
		kill(pids[0], SIGKILL);
	}
	lingers = source_wait(source, &mortal);
	for (i = 0; i < MORTAL_VIEWERS; i++)
		viewer_reap(pids[i], &viewers[i]);
	if (lingers) {
		kill(source, SIGKILL);
		actor_end(source);
	}
}

void mortal_run(void *arg)
{
	struct dice dice = dice_of(soak_seed, 12);
	uint32_t incarnation;

	(void)arg;
	for (incarnation = 1; running(); incarnation++)
		mortal_turn(&dice, incarnation);
}
