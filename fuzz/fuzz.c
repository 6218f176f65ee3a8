// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer: makes up programs, runs each in processes of its own, keeps those
 * that made the module do something new, and changes them.
 *
 * Invariant: what is left of a program is gone before the next one begins; if it
 * does not go, that is a finding. So is a fault in the kernel log. The program
 * that was running stands in OUT/last, even if the kernel stops there.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

/* How long a program may take, and its processes to end when they are killed */
#define PROGRAM_SECONDS 15
#define END_SECONDS 60
#define INPUTS_MAX 4096U
#define CORPUS_MAX 60U
#define TEXT_SIZE 16384U
#define BEFORE 6U

struct input {
	struct program program;
	char name[64];
	unsigned int *edges;
	unsigned int nr_edges;
	bool loaded;
};

static struct input *inputs;
static unsigned int nr_inputs, nr_loaded;
static uint64_t edges_seen[SIGNAL_WORDS];
static unsigned int nr_edges_seen;
static uint64_t executions;
static bool covered;

static struct {
	unsigned int seconds;
	uint64_t seed;
	const char *corpus;
	const char *out;
	const char *blocks;
	unsigned int times;
	bool failures;
	bool save;
	bool minimize;
} options = { .seconds = 60, .seed = 1, .out = "/out", .times = 1 };

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

/* ---- findings -------------------------------------------------------------------- */

static char texts[BEFORE][TEXT_SIZE]; /* of the last programs */
static int last_file = -1, log_file = -1;

static void text_save(const char *name, const char *text)
{
	char path[256];
	FILE *to;

	snprintf(path, sizeof(path), "%s/%s", options.out, name);
	to = fopen(path, "w");
	if (!to)
		err(2, "%s", path);
	fputs(text, to);
	fclose(to);
}

static void finding(const char *what) __attribute__((noreturn));
static void finding(const char *what)
{
	char name[64];
	unsigned int i;

	printf("fuzz: FINDING: %s\nfuzz: in the last program, or one before it (%s/finding.*), execution %" PRIu64
	       ", seed %" PRIu64 "\n%s",
	       what, options.out, executions, options.seed,
	       texts[executions % BEFORE]);
	for (i = 0; i < BEFORE && i < executions; i++) {
		snprintf(name, sizeof(name), "finding.%u", i);
		text_save(name, texts[(executions - i) % BEFORE]);
	}
	fflush(stdout);
	exit(1);
}

/* What test/vm/scan would say of it as well, said at once. */
static bool line_is_fault(const char *line)
{
	static const char *const marks[] = {
		"BUG:",
		"WARNING:",
		"KASAN:",
		"UBSAN:",
		"Oops",
		"kernel BUG",
		"possible circ",
		"possible recurs",
		"inconsistent lock",
		"suspicious RCU",
		"blocked for more",
		"bad unlock balance",
		"ODEBUG",
		"rcu_preempt self",
		"Bad page",
		"Bad rss-counter",
		"held lock freed",
		"refcount_t:",
		"soft lockup",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(marks); i++)
		if (strstr(line, marks[i]))
			return true;
	return false;
}

static void log_open(void)
{
	log_file = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (log_file >= 0)
		lseek(log_file, 0, SEEK_END);
}

static void log_check(void)
{
	char line[2048];
	ssize_t nr;

	while (log_file >= 0 &&
	       ((nr = read(log_file, line, sizeof(line) - 1)) > 0 ||
		(nr < 0 && errno == EPIPE))) {
		if (nr < 0)
			continue;
		line[nr] = 0;
		if (line_is_fault(line))
			finding(strchr(line, ';') ?: line);
	}
}

/* Written over, never cut: one write a program. */
static void last_write(const struct program *program)
{
	static size_t longest;
	char *text = texts[executions % BEFORE];
	FILE *to = fmemopen(text, TEXT_SIZE, "w");
	size_t length;

	if (!to)
		err(2, "fmemopen");
	program_print(program, to);
	fclose(to);
	length = strlen(text);
	if (last_file < 0)
		return;
	if (length > longest)
		longest = length;
	memset(text + length, '\n', longest - length);
	if (pwrite(last_file, text, longest, 0) < 0)
		err(2, "%s/last", options.out);
	text[length] = 0;
}

/* ---- one execution ----------------------------------------------------------------- */

static void stacks_show(void)
{
	char command[] =
		"for p in /proc/[0-9]*; do echo $p $(cat $p/comm); cat $p/task/*/stack; done; echo w >/proc/sysrq-trigger";

	fflush(stdout);
	if (system(command))
		return;
}

/* Reap until it has ended, or all have. */
static bool reap(pid_t wanted, unsigned int seconds)
{
	struct timespec slice = { .tv_nsec = 100000000 };
	double until = now() + seconds;
	sigset_t child;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
			if (pid == wanted)
				return true;
		if (pid < 0)
			return true;
		if (now() >= until)
			return false;
		sigtimedwait(&child, NULL, &slice);
	}
}

static void end_all(pid_t group)
{
	double until = now() + END_SECONDS;

	do {
		/* One may have been forked as the others were killed. */
		kill(-group, SIGKILL);
		if (reap(0, 1))
			return;
	} while (now() < until);
	stacks_show();
	finding("hang: its processes do not end when they are killed");
}

static void score_set(const char *score)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (write(file, score, strlen(score)) < 0)
		warn("oom_score_adj");
	close(file);
}

static void run(const struct program *program)
{
	pid_t pid;

	executions++;
	last_write(program);
	memset(shared->signal, 0, sizeof(shared->signal));
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		score_set("500");
		execute(program);
	}
	setpgid(pid, pid);
	reap(pid, PROGRAM_SECONDS);
	end_all(pid);
	log_check();
}

/* ---- what is new --------------------------------------------------------------------- */

static unsigned int edges_take(unsigned int **edges, bool fresh_only)
{
	static unsigned int found[SIGNAL_BITS];
	unsigned int i, nr = 0;

	for (i = 0; i < SIGNAL_WORDS; i++) {
		uint64_t left = shared->signal[i];

		if (fresh_only)
			left &= ~edges_seen[i];
		for (; left; left &= left - 1)
			found[nr++] = i * 64 + __builtin_ctzll(left);
	}
	*edges = NULL;
	if (!nr)
		return 0;
	*edges = malloc(nr * sizeof(**edges));
	if (!*edges)
		err(2, "malloc");
	memcpy(*edges, found, nr * sizeof(**edges));
	return nr;
}

static unsigned int edges_fresh(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < SIGNAL_WORDS; i++)
		nr += __builtin_popcountll(shared->signal[i] & ~edges_seen[i]);
	return nr;
}

static void edges_note(void)
{
	unsigned int i;

	nr_edges_seen += edges_fresh();
	for (i = 0; i < SIGNAL_WORDS; i++)
		edges_seen[i] |= shared->signal[i];
}

/* Named after what it says */
static void input_name(struct input *input)
{
	char text[TEXT_SIZE];
	FILE *to = fmemopen(text, sizeof(text), "w");
	uint64_t hash = 0xcbf29ce484222325ULL;
	const char *at;

	if (!to)
		err(2, "fmemopen");
	program_print(&input->program, to);
	fclose(to);
	for (at = text; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 0x100000001b3ULL;
	snprintf(input->name, sizeof(input->name), "%08x.prog",
		 (unsigned int)(hash >> 32));
}

static void input_keep(const struct program *program, const char *name)
{
	struct input *input;

	if (nr_inputs == INPUTS_MAX)
		return;
	input = &inputs[nr_inputs++];
	input->program = *program;
	input->nr_edges = edges_take(&input->edges, false);
	input->loaded = name;
	if (name)
		snprintf(input->name, sizeof(input->name), "%s", name);
	else
		input_name(input);
}

/* Most of the edges: what threads do beside each other is never the same twice. */
static bool edges_kept(const unsigned int *edges, unsigned int nr)
{
	unsigned int i, kept = 0;

	for (i = 0; i < nr; i++)
		kept += shared->signal[edges[i] / 64] >> edges[i] % 64 & 1;
	return kept * 10 >= nr * 9;
}

/* Take out of it what the new edges do not need, in large pieces first. */
static void program_minimize(struct program *program, double until)
{
	unsigned int *edges, nr = edges_take(&edges, true);
	unsigned int piece, at, i, left = 10;
	struct program shorter;

	for (piece = program->nr / 2; piece; piece /= 2)
		for (at = 0; at + piece <= program->nr && left && now() < until;
		     left--) {
			shorter = *program;
			for (i = 0; i < piece && shorter.nr > 1; i++)
				program_remove(&shorter, at);
			run(&shorter);
			if (edges_kept(edges, nr))
				*program = shorter;
			else
				at += piece;
		}
	free(edges);
	run(program);
}

static void try(struct program *program, const char *name, double until)
{
	run(program);
	if (!edges_fresh() && !name)
		return;
	if (!name && options.minimize)
		program_minimize(program, until);
	input_keep(program, name);
	edges_note();
}

/* ---- the corpus ----------------------------------------------------------------------- */

static bool program_load(struct program *program, const char *path)
{
	char why[256];
	FILE *from = fopen(path, "r");
	bool good;

	if (!from)
		err(2, "%s", path);
	good = program_parse(program, from, why, sizeof(why));
	fclose(from);
	if (!good)
		warnx("%s: %s", path, why);
	return good;
}

static int is_program(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return end && !strcmp(end, ".prog");
}

/*
 * In an order of chance: on a slow machine, where they would take more than half
 * of the time, the others are only there to be changed.
 */
static void corpus_load(double half)
{
	struct dirent **names, *swap;
	struct program program;
	char path[512];
	int nr, i, other;

	nr = scandir(options.corpus, &names, is_program, alphasort);
	if (nr < 0)
		err(2, "%s", options.corpus);
	for (i = 0; i < nr; i++) {
		other = i + (int)chance(nr - i);
		swap = names[i];
		names[i] = names[other];
		names[other] = swap;
		snprintf(path, sizeof(path), "%s/%s", options.corpus,
			 names[i]->d_name);
		if (!program_load(&program, path))
			exit(2);
		if (now() < half || options.save)
			try(&program, names[i]->d_name, 0);
		else
			input_keep(&program, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	nr_loaded = nr_inputs;
}

static void input_save(const struct input *input)
{
	char path[512];
	FILE *to;

	snprintf(path, sizeof(path), "%s/corpus/%s", options.out, input->name);
	to = fopen(path, "w");
	if (!to)
		err(2, "%s", path);
	program_print(&input->program, to);
	fclose(to);
}

/* The input that adds most to what is covered already, for its length. */
static struct input *input_best(const uint64_t *have, unsigned int *gain)
{
	struct input *best = NULL;
	unsigned int i, j, adds;

	*gain = 0;
	for (i = 0; i < nr_inputs; i++) {
		struct input *input = &inputs[i];

		for (j = adds = 0; j < input->nr_edges; j++)
			adds += !(have[input->edges[j] / 64] >>
					  input->edges[j] % 64 &
				  1);
		if (adds > *gain || (best && adds == *gain && adds &&
				     input->program.nr < best->program.nr)) {
			*gain = adds;
			best = input;
		}
	}
	return best;
}

/* As few inputs as cover all edges, by taking the best one each time */
static void corpus_save(void)
{
	static uint64_t have[SIGNAL_WORDS];
	unsigned int nr = 0, gain, j;
	struct input *input;
	char path[256];

	snprintf(path, sizeof(path), "%s/corpus", options.out);
	mkdir(path, 0755);
	while (nr < CORPUS_MAX && (input = input_best(have, &gain))) {
		for (j = 0; j < input->nr_edges; j++)
			have[input->edges[j] / 64] |= 1ULL
						      << input->edges[j] % 64;
		input_save(input);
		nr++;
	}
	printf("fuzz: %u inputs saved in %s\n", nr, path);
}

/* ---- figures ---------------------------------------------------------------------------- */

/* FILE COVERED ALL, for those that the list of blocks names */
static void blocks_show(void)
{
	struct {
		char file[32];
		unsigned int all, ran;
	} parts[32] = {};
	unsigned int nr = 0, i, all = 0, ran = 0, at;
	char line[256], file[32];
	FILE *from = fopen(options.blocks, "r");

	if (!from)
		err(2, "%s", options.blocks);
	while (fgets(line, sizeof(line), from)) {
		if (sscanf(line, "%x %31s", &at, file) != 2 || at >= TEXT_BYTES)
			continue;
		for (i = 0; i < nr && strcmp(parts[i].file, file); i++)
			;
		if (i == ARRAY_SIZE(parts))
			continue;
		if (i == nr)
			snprintf(parts[nr++].file, sizeof(parts->file), "%s",
				 file);
		parts[i].all++;
		all++;
		if (shared->text[at / 64] >> at % 64 & 1) {
			parts[i].ran++;
			ran++;
		}
	}
	fclose(from);
	for (i = 0; i < nr; i++)
		printf("fuzz: %-12s %4u of %4u blocks, %3u %%\n", parts[i].file,
		       parts[i].ran, parts[i].all,
		       100 * parts[i].ran / parts[i].all);
	printf("fuzz: %-12s %4u of %4u blocks, %3u %%\n", "all", ran, all,
	       all ? 100 * ran / all : 0);
}

/* Which code ran, for those who look for what did not */
static void text_dump(void)
{
	char path[256];
	unsigned int i;
	FILE *to;

	snprintf(path, sizeof(path), "%s/covered", options.out);
	to = fopen(path, "w");
	if (!to)
		return;
	for (i = 0; i < TEXT_BYTES; i++)
		if (shared->text[i / 64] >> i % 64 & 1)
			fprintf(to, "%x\n", i);
	fclose(to);
}

static void figures(double seconds)
{
	if (covered && options.blocks)
		blocks_show();
	if (covered)
		text_dump();
	printf("fuzz: seed %" PRIu64 ", %.0f s, %" PRIu64
	       " executions, %.1f a second, %" PRIu64 " calls\n",
	       options.seed, seconds, executions, executions / seconds,
	       shared->made);
	printf("fuzz: %u inputs, %u of them new, %u %s\n", nr_inputs,
	       nr_inputs - nr_loaded, nr_edges_seen,
	       covered ? "edges of the module" : "results (no KCOV here)");
	fflush(stdout);
}

/* ---- what is done ---------------------------------------------------------------------- */

static const struct program *input_any(void)
{
	/* The newer ones twice as often */
	unsigned int at = chance(nr_inputs);

	if (one_in(2) && at < nr_inputs / 2)
		at += nr_inputs / 2;
	return &inputs[at].program;
}

static void fuzz(void)
{
	double begin = now(), until = begin + options.seconds, shown = begin;
	struct program program;

	if (options.corpus)
		corpus_load(begin + options.seconds / 2.0);
	printf("fuzz: %u inputs from %s, %u edges\n", nr_inputs,
	       options.corpus ?: "nowhere", nr_edges_seen);
	fflush(stdout);
	while (now() < until) {
		if (!nr_inputs || one_in(4)) {
			program_generate(&program, options.failures);
		} else {
			program = *input_any();
			program_mutate(&program, input_any(), options.failures);
		}
		try(&program, NULL, until);
		if (now() > shown + 30) {
			shown = now();
			printf("fuzz: %.0f s, %" PRIu64
			       " executions, %u inputs, %u edges\n",
			       shown - begin, executions, nr_inputs,
			       nr_edges_seen);
			fflush(stdout);
		}
	}
	figures(now() - begin);
	if (options.save)
		corpus_save();
}

/* An access has no result but the signal that it raised. */
static void result_show(const struct program *program, unsigned int at)
{
	const char *name = call_types[program->calls[at].type].name;
	int result = -shared->results[at];

	printf("fuzz: %u: %s: %s\n", at, name,
	       result && !strcmp(name, "access") ? strsignal(result) :
						   strerror(result));
}

static void replay(char **paths)
{
	struct program program;
	double begin = now();
	unsigned int i, j;

	for (; *paths; paths++) {
		if (!program_load(&program, *paths))
			exit(2);
		printf("fuzz: %s\n", *paths);
		for (i = 0; i < options.times; i++) {
			try(&program, *paths, 0);
			for (j = 0; j < program.nr && !i; j++)
				result_show(&program, j);
		}
	}
	figures(now() - begin);
}

static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: fuzz [OPTION]...\n"
		"       fuzz [OPTION]... --replay FILE...\n"
		"  --seconds N     how long (60)\n"
		"  --seed N        what happens (1)\n"
		"  --corpus DIR    programs to begin with\n"
		"  --out DIR       where findings and results go (/out)\n"
		"  --save          leave a small corpus in OUT/corpus\n"
		"  --minimize      take out of programs what they do not need\n"
		"  --fail-nth      let allocations fail\n"
		"  --blocks FILE   what code there is: lines \"OFFSET FILE\"\n"
		"  --times N       how often to replay each (1)\n"
		"Exit status: 0, 1 for a finding, 2 if it cannot run.\n");
	exit(status);
}

static bool options_read(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seconds", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "out", required_argument, NULL, 'o' },
		{ "save", no_argument, NULL, 'w' },
		{ "minimize", no_argument, NULL, 'm' },
		{ "fail-nth", no_argument, NULL, 'f' },
		{ "blocks", required_argument, NULL, 'b' },
		{ "times", required_argument, NULL, 't' },
		{ "replay", no_argument, NULL, 'r' },
		{ "sleep", no_argument, NULL, 'z' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool again = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (option) {
		case 'n':
			options.seconds = strtoul(optarg, NULL, 0);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			options.corpus = optarg;
			break;
		case 'o':
			options.out = optarg;
			break;
		case 'w':
			options.save = true;
			break;
		case 'm':
			options.minimize = true;
			break;
		case 'f':
			options.failures = true;
			break;
		case 'b':
			options.blocks = optarg;
			break;
		case 't':
			options.times = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			again = true;
			break;
		case 'z':
			usleep(300000);
			_exit(0);
		case 'h':
			usage(0);
			break;
		default:
			usage(2);
		}
	}
	if (again != (optind < argc))
		usage(2);
	return again;
}

int main(int argc, char **argv)
{
	bool again = options_read(argc, argv);
	sigset_t child;
	char path[256];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	inputs = calloc(INPUTS_MAX, sizeof(*inputs));
	if (shared == MAP_FAILED || !inputs)
		err(2, "memory");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	score_set("-1000");
	snprintf(path, sizeof(path), "%s/last", options.out);
	last_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (last_file < 0)
		err(2, "%s", path);
	covered = execute_init();
	if (!covered)
		printf("fuzz: no KCOV: guided by the calls' results\n");
	log_open();
	chance_seed(options.seed);
	if (again)
		replay(argv + optind);
	else
		fuzz();
	return 0;
}
