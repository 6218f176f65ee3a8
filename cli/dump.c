// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap dump: a process's memory as an ELF core.
 *
 * What was begun ends with a file that says what is in it, whatever ends it: a
 * full disk, the source's end, a signal. The source, once held, is let go first.
 *
 * The bytes go from the mirror into the file by write(2): the kernel copies them
 * once, from the source's own page. Both sendfile(2), by pages of a pipe, and a buffer
 * that they are read into copy them twice: they take 2 to 16 per cent more on 6.12,
 * half as much again on 6.1 (bench/command.c, copy_out; only a memfd's pages can
 * sendfile(2) take as they are). Where the source has nothing any more, write(2) ends
 * early, and then fails with EFAULT. So it does on a file system that does not copy but
 * takes the writer's pages as they are (9p): there they are read into a buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "dump_guest.h"
#include "freeze.h"
#include "output.h"
#include "progress.h"
#include "signals.h"

/* As much is mapped at a time, and written at a time: the first costs address
 * space only, after the second the progress is shown and signals are heeded.
 */
#define WINDOW (1UL << 30)
#define CHUNK (4UL << 20)
#define HUGE_PAGE (2UL << 20)

struct dump {
	struct common_options common;
	struct words words;
	struct plan plan;
	const char *file;
	const char *qemu; /* a QMP socket, or NULL */
	bool force, hold, filtered;

	int pidfd;
	struct source guest;
	uint64_t *hosts; /* of a guest's regions */
	struct remotemap_region *regions;
	ssize_t region_count;
	struct output output;
	struct freeze freeze;
	/* A mirror of the addresses from start on */
	char *mirror;
	uint64_t start, size;

	uint64_t written; /* bytes of data */
	uint64_t lost; /* bytes that went away before they were written */
	void *buffer; /* of CHUNK, once it is needed */
	bool partial;
	double seconds;
};

/* ---- the command line ------------------------------------------------------- */

enum { KEY_FORCE = 0x100, KEY_RESIDENT, KEY_FREEZE, KEY_ALL, KEY_FILTER, KEY_QEMU };

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0,
	  "The core; - is standard output, if that is no terminal", 0 },
	{ "force", KEY_FORCE, NULL, 0, "Overwrite FILE", 0 },
	{ "qemu", KEY_QEMU, "SOCKET", 0,
	  "Instead of PID: the physical memory of the guest of the QEMU with that QMP socket",
	  0 },
	{ "resident", KEY_RESIDENT, NULL, 0,
	  "Only what is in memory: the source is never made to fault", 0 },
	{ "freeze", KEY_FREEZE, NULL, 0,
	  "Hold the source still meanwhile (cgroup freezer or SIGSTOP)", 0 },
	{ "all", KEY_ALL, NULL, 0,
	  "All that can be read, files too; of a guest, devices' and non-volatile memory",
	  0 },
	{ "filter", KEY_FILTER, "MASK", 0,
	  "Which kinds of memory, as in /proc/PID/coredump_filter, which holds if this is not given",
	  0 },
	{ 0 },
};

static const char description[] =
	"Write the memory of process PID into an ELF core, which gdb opens: memory and mapped files, no registers.\v"
	"Examples:\n"
	"  remotemap dump 4711 -o core\n"
	"  gdb -c core /proc/4711/exe\n"
	"  remotemap dump --freeze --all 4711 -o - | zstd >core.zst\n"
	"  remotemap dump --resident --json 4711 -o core\n"
	"  remotemap dump --qemu /run/vm/qmp -o core";

static error_t option_take(int key, char *arg, struct argp_state *state)
{
	struct dump *dump = state->input;
	uint64_t number;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &dump->common;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&dump->words, state);
		return 0;
	case 'o':
		dump->file = arg;
		return 0;
	case KEY_QEMU:
		dump->qemu = arg;
		return 0;
	case KEY_FORCE:
		dump->force = true;
		return 0;
	case KEY_RESIDENT:
		dump->plan.options.resident = true;
		return 0;
	case KEY_FREEZE:
		dump->hold = true;
		return 0;
	case KEY_ALL:
		dump->plan.options.all = true;
		return 0;
	case KEY_FILTER:
		if (!number_parse(arg, &number) || number > 0x1ff)
			argp_error(
				state,
				"--filter is a mask of up to 0x1ff, not '%s'",
				arg);
		dump->plan.options.filter = number;
		dump->filtered = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static enum status options_parse(struct dump *dump, int argc, char **argv)
{
	static const struct argp_child children[] = { { .argp = &json_argp },
						      { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = option_take,
		.args_doc = "PID -o FILE\n--qemu SOCKET -o FILE",
		.doc = description,
		.children = children,
	};
	enum status status = command_parse(&argp, argc, argv, dump);

	if (!status)
		status = words_check(&dump->words, !dump->qemu, !dump->qemu,
				     dump->qemu ? "-o FILE" : "PID -o FILE");
	if (!status && !dump->file)
		status = fail(STATUS_USAGE,
			      "which file? -o FILE, or -o - for a pipe");
	if (!status && dump->qemu && dump->filtered)
		status = fail(STATUS_USAGE,
			      "--filter is of a process; of a guest there is --all");
	if (!status && !dump->qemu)
		status = pid_take(dump->words.word[0], &dump->plan.pid);
	return status;
}

/* ---- the source ------------------------------------------------------------- */

/* Both views show everything. The one that may make the source fault is not there
 * if it must not.
 */
static enum status source_views(struct dump *dump)
{
	uint64_t space = remotemap_address_space();
	unsigned int flags = PIDFD_MEM_MAP_READONLY;
	int error = 0;

	if (!dump->plan.options.resident)
		error = remotemap_add(dump->plan.handle, 0, 0, space, flags);
	if (!error)
		error = remotemap_add(dump->plan.handle, PLAN_RESIDENT, 0,
				      space, flags | PIDFD_MEM_MAP_RESIDENT);
	return error ? fail_open(dump->plan.pid, error) : STATUS_OK;
}

static enum status guest_take(struct dump *dump)
{
	struct plan *plan = &dump->plan;
	enum status status;

	status = dump_guest_open(dump->qemu, plan->options.resident,
				 &dump->guest);
	if (status)
		return status;
	plan->handle = dump->guest.handle;
	plan->pid = dump->guest.pid;
	dump->pidfd = pidfd_open(plan->pid, 0);
	return dump->pidfd < 0 ? fail_open(plan->pid, errno) : STATUS_OK;
}

static enum status source_take(struct dump *dump)
{
	const struct remotemap_open_options how = { .size = sizeof(how) };
	pid_t pid = dump->plan.pid;
	int error;

	if (dump->qemu)
		return guest_take(dump);
	if (pid == getpid())
		return fail(STATUS_USAGE, "PID %d is this very command", pid);
	dump->pidfd = pidfd_open(pid, 0);
	if (dump->pidfd < 0)
		/* EINVAL: a thread that is not its process's first */
		return fail_open(pid, errno == EINVAL ? ESRCH : errno);
	error = remotemap_open_pidfd(dump->pidfd, &how, &dump->plan.handle);
	return error < 0 ? fail_open(pid, error) : source_views(dump);
}

/* What the source asks for, for cores of itself */
static enum status filter_read(struct dump *dump)
{
	char path[64];
	FILE *file;
	int got;

	if (dump->filtered || dump->plan.options.all)
		return STATUS_OK;
	snprintf(path, sizeof(path), "/proc/%d/coredump_filter",
		 dump->plan.pid);
	file = fopen(path, "re");
	if (!file)
		return fail(errno == ENOENT ? STATUS_ENDED : STATUS_REFUSED,
			    "%s: %s", path, strerror(errno));
	got = fscanf(file, "%x", &dump->plan.options.filter);
	fclose(file);
	if (got != 1)
		return fail(STATUS_ENDED, "process %d has ended",
			    dump->plan.pid);
	return STATUS_OK;
}

static bool source_ended(const struct dump *dump)
{
	return remotemap_wait(dump->plan.handle, 0) == 1;
}

static enum status guest_plan(struct dump *dump)
{
	struct plan *plan = &dump->plan;
	enum status status;

	status = dump_guest_regions(&dump->guest, plan->options.all,
				    &dump->regions, &dump->hosts,
				    &dump->region_count);
	if (status)
		return status;
	if (source_ended(dump))
		return fail_source("reading its regions", ESRCH);
	plan->host = dump->hosts;
	/* All of what was chosen */
	plan->options.all = true;
	return plan_make(plan, dump->regions, dump->region_count);
}

static enum status source_plan(struct dump *dump)
{
	enum status status;

	if (dump->qemu)
		return guest_plan(dump);
	status = filter_read(dump);
	if (status)
		return status;
	dump->region_count = remotemap_regions(dump->plan.pid, &dump->regions);
	/* /proc goes by number, which may be another process's by now. */
	if (source_ended(dump))
		return fail_source("reading its regions", ESRCH);
	if (dump->region_count < 0)
		return fail_source("reading its regions", dump->region_count);
	return plan_make(&dump->plan, dump->regions, dump->region_count);
}

/* ---- memory ----------------------------------------------------------------- */

static void mirror_drop(struct dump *dump)
{
	if (dump->mirror)
		remotemap_unmap(dump->mirror, dump->size);
	dump->mirror = NULL;
}

/* What is at that address, a mirror of at least a page; limit: no further */
static enum status mirror_take(struct dump *dump, uint64_t address,
			       uint64_t limit)
{
	const struct remotemap_map_options how = {
		.size = sizeof(how),
		.flags = REMOTEMAP_MAP_SEQUENTIAL,
	};
	bool resident = dump->plan.options.resident;
	void *mirror;
	int error;

	if (dump->mirror && address >= dump->start &&
	    address < dump->start + dump->size)
		return STATUS_OK;
	mirror_drop(dump);
	dump->start = address;
	dump->size = WINDOW - address % HUGE_PAGE;
	if (dump->size > limit - address)
		dump->size = limit - address;
	error = remotemap_map(dump->plan.handle,
			      address + (resident ? PLAN_RESIDENT : 0),
			      dump->size, &how, &mirror);
	if (error < 0)
		return fail_source("mapping it", error);
	dump->mirror = mirror;
	return STATUS_OK;
}

/*
 * The source has nothing at address any more, or never had: a file's pages past
 * its end. Zeros stand for it. *address: where to go on
 */
static enum status memory_lost(struct dump *dump, uint64_t *address,
			       uint64_t end)
{
	bool resident = dump->plan.options.resident;
	uint64_t view = resident ? PLAN_RESIDENT : 0;
	uint64_t next = (*address / CORE_PAGE + 1) * CORE_PAGE;
	int64_t found;

	if (source_ended(dump))
		return fail(STATUS_ENDED, "process %d has ended",
			    dump->plan.pid);
	found = remotemap_next_data(dump->plan.handle, view + next);
	if (found == -ESRCH)
		return fail(STATUS_ENDED, "process %d has ended",
			    dump->plan.pid);
	if (found >= 0 && found - view < end)
		next = found - view;
	else if (found >= 0 || found == -ENXIO)
		next = end;
	if (next > end)
		next = end;
	dump->lost += next - *address;
	progress_add(next - *address);
	*address = next;
	return STATUS_OK;
}

/* By a buffer. How much was written, -EFAULT: there is nothing, or another error */
static ssize_t memory_copy(struct dump *dump, uint64_t address, size_t length)
{
	bool resident = dump->plan.options.resident;
	ssize_t got;

	if (!dump->buffer)
		dump->buffer = malloc(CHUNK);
	if (!dump->buffer)
		return -ENOMEM;
	got = remotemap_read(dump->plan.handle, dump->buffer, length,
			     address + (resident ? PLAN_RESIDENT : 0));
	/* The source's end is told with what is lost. */
	if (got <= 0)
		return got == -EINTR ? -EINTR : -EFAULT;
	return output_write(&dump->output, dump->buffer, got);
}

/* One write, if the place in the file is reached. *address: where to go on */
static enum status memory_write(struct dump *dump,
				const struct core_segment *segment,
				uint64_t *address, uint64_t end)
{
	uint64_t length = dump->start + dump->size - *address;
	enum status status;
	ssize_t written;

	status = output_seek(&dump->output,
			     segment->offset + (*address - segment->start));
	if (status)
		return status;
	if (length > end - *address)
		length = end - *address;
	if (length > CHUNK)
		length = CHUNK;
	written = output_write(&dump->output,
			       dump->mirror + (*address - dump->start), length);
	if (written == -EFAULT)
		written = memory_copy(dump, *address, length);
	if (written == -EFAULT)
		return memory_lost(dump, address, end);
	if (written == -EINTR)
		return STATUS_OK;
	if (written < 0)
		return output_fail(&dump->output, -written);
	dump->written += written;
	progress_add(written);
	*address += written;
	return STATUS_OK;
}

static enum status interrupted(void)
{
	return signals_caught() ? signals_status() : STATUS_OK;
}

/* A segment and the extents of it, from number *extent on */
static enum status segment_write(struct dump *dump,
				 const struct core_segment *segment,
				 size_t *extent)
{
	uint64_t limit = segment->start + segment->file;
	enum status status = STATUS_OK;
	const struct plan_extent *at;
	uint64_t address;

	for (; *extent < dump->plan.count && !status; ++*extent) {
		at = &dump->plan.extent[*extent];
		if (at->start >= limit)
			break;
		address = at->start;
		while (address < at->end && !status) {
			status = interrupted();
			if (!status)
				status = mirror_take(dump, address, limit);
			if (!status)
				status = memory_write(dump, segment, &address,
						      at->end);
		}
	}
	/* Whatever was lost at its end */
	if (!status)
		status = output_seek(&dump->output,
				     segment->offset + segment->file);
	return status;
}

/* ---- the file --------------------------------------------------------------- */

static enum status headers_write(struct dump *dump)
{
	char *headers = core_headers(&dump->plan.core);
	struct output *output = &dump->output;
	enum status status = STATUS_OK;
	size_t size = dump->plan.core.data;
	ssize_t written;

	if (!headers)
		return STATUS_SYSTEM;
	while (output->position < size && !status) {
		status = interrupted();
		if (status)
			break;
		written = output_write(output, headers + output->position,
				       size - output->position);
		if (written < 0 && written != -EINTR)
			status = output_fail(output, -written);
	}
	free(headers);
	return status;
}

/* The file ends where it ended; its headers are made to say so. */
static void core_cut(struct dump *dump, size_t segment)
{
	struct core *core = &dump->plan.core;
	uint64_t reached = dump->output.end;
	void *headers;
	int error;

	if (dump->output.stream) {
		complain("%s is cut off: its headers say more than is there",
			 dump->output.name);
		return;
	}
	/* Nothing of this segment yet; or a hole was to be next. */
	if (reached < core->segment[segment].offset)
		reached = core->segment[segment].offset;
	reached -= core->segment[segment].offset;
	reached = reached / CORE_PAGE * CORE_PAGE;
	core_truncate(core, segment, reached);
	dump->output.position = core->end;
	dump->output.end = 0;
	headers = core_headers(core);
	error = headers ? output_again(&dump->output, headers, core->data) :
			  -ENOMEM;
	free(headers);
	if (error)
		complain("%s: its headers say more than is there: %s",
			 dump->output.name, strerror(-error));
	else
		complain("%s has %s of %s, and says so", dump->output.name,
			 size_text(dump->written), size_text(dump->plan.data));
}

/* Nothing is in the file that anybody could use. */
static void output_drop(struct dump *dump)
{
	if (dump->output.made)
		unlink(dump->file);
}

static enum status core_write(struct dump *dump)
{
	struct core *core = &dump->plan.core;
	enum status status = headers_write(dump), closed;
	size_t segment, extent = 0;

	if (status) {
		output_drop(dump);
		return status;
	}
	progress_begin("dump", dump->plan.data);
	for (segment = 0; segment < core->count && !status; segment++)
		status = segment_write(dump, &core->segment[segment], &extent);
	mirror_drop(dump);
	progress_end();
	freeze_end(&dump->freeze);
	dump->partial = status != STATUS_OK;
	if (dump->partial)
		core_cut(dump, segment - 1);
	closed = output_close(&dump->output);
	return status ? status : closed;
}

/* ---- all of it -------------------------------------------------------------- */

static void summary_text(const struct dump *dump)
{
	const struct plan *plan = &dump->plan;

	if (dump->partial || dump->output.stream)
		return;
	printf("%s: %s of %zd regions, %s of holes",
	       text_printable(dump->output.name), size_text(dump->written),
	       dump->region_count, size_text(plan->holes));
	if (plan->absent)
		printf(", %s not in memory", size_text(plan->absent));
	if (dump->lost)
		printf(", %s lost meanwhile", size_text(dump->lost));
	printf(", %.1f s\n", dump->seconds);
}

static enum status summary_print(const struct dump *dump)
{
	const struct plan *plan = &dump->plan;
	json_t *json;

	if (!dump->common.json) {
		summary_text(dump);
		return STATUS_OK;
	}
	json = json_pack("{s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:f}",
			 "pid", plan->pid, "file", dump->output.name,
			 "complete", !dump->partial, "regions",
			 (json_int_t)dump->region_count, "segments",
			 (json_int_t)plan->core.count, "bytes",
			 (json_int_t)dump->written, "holes",
			 (json_int_t)plan->holes, "absent",
			 (json_int_t)plan->absent, "lost",
			 (json_int_t)dump->lost, "seconds", dump->seconds);
	return json_print(json, false);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static enum status dump_run(struct dump *dump)
{
	double begin = now();
	enum status status = source_take(dump), printed;

	if (!status)
		status = output_open(&dump->output, dump->file, dump->force);
	if (status)
		return status;
	if (dump->hold)
		status = freeze_begin(&dump->freeze, dump->plan.pid,
				      dump->pidfd);
	if (!status)
		status = source_plan(dump);
	if (!status)
		status = interrupted();
	if (status) {
		freeze_end(&dump->freeze);
		output_drop(dump);
		return status;
	}
	status = core_write(dump);
	freeze_end(&dump->freeze);
	dump->seconds = now() - begin;
	printed = summary_print(dump);
	return status ? status : printed;
}

int command_dump(int argc, char **argv)
{
	struct dump dump = { .pidfd = -1, .output.fd = -1 };
	enum status status = options_parse(&dump, argc, argv), flushed;

	if (status)
		return status;
	if (dump.common.json && !strcmp(dump.file, "-"))
		return fail(
			STATUS_USAGE,
			"--json and the core both go to standard output: leave one away");
	signals_catch();
	signal(SIGXFSZ, SIG_IGN);
	status = dump_run(&dump);
	plan_free(&dump.plan);
	if (dump.regions)
		remotemap_regions_free(dump.regions, dump.region_count);
	free(dump.hosts);
	free(dump.buffer);
	if (dump.qemu)
		source_close(&dump.guest);
	else if (dump.plan.handle)
		remotemap_close(dump.plan.handle);
	if (dump.pidfd >= 0)
		close(dump.pidfd);
	flushed = output_finish();
	return status ? status : flushed;
}
