// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that know nothing of any of this: they get the map file as a path,
 * /proc/PID/fd/N, or debug a viewer. What they print and leave behind is what
 * they would of a file, or of memory, with these bytes.
 */
#include "harness.h"

#include "bytes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define PAGES 32UL
#define SIZE (PAGES * PAGE_SIZE)
/* Files that a test's programs share with it */
#define REFERENCE "/tmp/reference" /* what the source has */
#define COPY "/tmp/copy" /* what a program makes */
/* gdb takes seconds to start where nothing is fast. */
#define PATIENCE 100

/* ---- running them ------------------------------------------------------------------ */

static const struct {
	const char *name;
	const char *packages;
} programs[] = {
	{ "cmp", "diffutils" },
	{ "xxd", "xxd" },
	{ "gdb", "gdb-minimal" },
	{ "python3", "python3-minimal --with 'libpython3.11-stdlib!'" },
};

static const char *packages_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (!strcmp(name, programs[i].name))
			return programs[i].packages;
	return "coreutils";
}

/* Whether it is there: itself, not what busybox has under its name */
static bool program_is_there(const char *name)
{
	char path[64], real[PATH_MAX];

	snprintf(path, sizeof(path), "/usr/bin/%s", name);
	return realpath(path, real) && !strstr(real, "busybox");
}

/* What came of one: exit status, or 256 + a signal; the files that its standard
 * output and error went to, and how these begin
 */
struct run {
	int status;
	int out_fd;
	int err_fd;
	char out[2048];
	char err[2048];
};

static void run_keep(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	if (length < 0)
		fatal("what a program wrote cannot be read: %m");
	text[length] = 0;
}

static struct run program_run(char *const argv[])
{
	struct deadline deadline = deadline_in(PATIENCE);
	struct run run = {
		.out_fd = memfd_create("out", MFD_CLOEXEC),
		.err_fd = memfd_create("err", MFD_CLOEXEC),
	};
	pid_t pid = fork();
	int status;

	if (pid < 0)
		fatal("fork: %m");
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
		    dup2(open("/dev/null", O_RDONLY), 0) < 0 ||
		    dup2(run.out_fd, 1) < 0 || dup2(run.err_fd, 2) < 0 ||
		    setenv("LC_ALL", "C", 1))
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (deadline_passed(&deadline))
			fatal("%s has not ended in %d s", argv[0], PATIENCE);
		deadline_nap();
	}
	run.status = WIFEXITED(status) ? WEXITSTATUS(status) :
					 256 + WTERMSIG(status);
	run_keep(run.out_fd, run.out, sizeof(run.out));
	run_keep(run.err_fd, run.err, sizeof(run.err));
	return run;
}

/* Run a program, and have what it says in the log if it was to end otherwise. */
#define RUN(ends, ...)                                                        \
	({                                                                    \
		char *argv_[] = { __VA_ARGS__, NULL };                        \
		struct run run_;                                              \
		if (!program_is_there(argv_[0]))                              \
			SKIP(return, "%s is not there (--with %s)", argv_[0], \
				   packages_of(argv_[0]));                    \
		run_ = program_run(argv_);                                    \
		EXPECT_EQ((ends), run_.status)                                \
		TH_LOG("%s: %s%s", argv_[0], run_.out, run_.err);             \
		run_;                                                         \
	})

#define EXPECT_SAYS(what, where)                 \
	EXPECT_NE(NULL, strstr((where), (what))) \
	TH_LOG("'%s' is not in: %s", (what), (where))

/* Text made in place, for an argument; it lives as long as the test. */
static char *text(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static char *text(const char *format, ...)
{
	va_list arguments;
	char *made;

	va_start(arguments, format);
	if (vasprintf(&made, format, arguments) < 0)
		fatal("no memory");
	va_end(arguments);
	return made;
}

/* ---- the map file, under a name ------------------------------------------------------ */

FIXTURE(client)
{
	struct source *source;
	uint64_t memory;
	int ctrl;
	int map;
	unsigned char *bytes; /* what the source has */
	char *path; /* of the map file */
};

static void file_make(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		fatal("%s: %m", path);
	close(fd);
}

static void show(FIXTURE_DATA(client) * self, int oflags)
{
	if (context_open(self->source->pid, oflags, 0, &self->ctrl,
			 &self->map) ||
	    view_add(self->ctrl, self->memory, 0, SIZE, 0))
		fatal("no context");
	self->path = text("/proc/%d/fd/%d", getpid(), self->map);
}

FIXTURE_SETUP(client)
{
	self->source = source_start();
	self->memory = source_anon(self->source, SIZE, 0);
	self->bytes = bytes_make(SIZE, 0);
	bytes_put(self->source, self->memory, self->bytes, SIZE);
	file_make(REFERENCE, self->bytes, SIZE);
	unlink(COPY);
	show(self, O_RDWR);
}

FIXTURE_TEARDOWN(client)
{
	source_end(self->source);
	free(self->bytes);
}

#define SOURCE_HAS(bytes) bytes_are(self->source, self->memory, (bytes), SIZE)

/* Take pages from the source; a program that passes over them has zeros. */
static void make_hole(FIXTURE_DATA(client) * self, size_t page, size_t nr)
{
	source_munmap(self->source, self->memory + page * PAGE_SIZE,
		      nr * PAGE_SIZE);
	memset(self->bytes + page * PAGE_SIZE, 0, nr * PAGE_SIZE);
}

/* Whether an open file is these bytes and no more */
static bool fd_is(int fd, const void *bytes, size_t size)
{
	unsigned char *seen = malloc(size + 1);
	bool same;

	if (!seen)
		fatal("no memory for %zu bytes", size);
	same = pread(fd, seen, size + 1, 0) == (ssize_t)size &&
	       !memcmp(seen, bytes, size);
	free(seen);
	return same;
}

static bool copy_is(const void *bytes, size_t size)
{
	int fd = open(COPY, O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0 && fd_is(fd, bytes, size);

	close(fd);
	return same;
}

#define IN text("if=%s", self->path)
#define OUT text("of=%s", self->path)

/* ---- dd ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(client, dd_reads_it_whole, PATIENCE)
{
	struct run run = RUN(0, "dd", IN, "of=" COPY, "bs=10000");

	EXPECT_SAYS("131072 bytes", run.err);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
}

TEST_F_TIMEOUT(client, dd_reads_a_part, PATIENCE)
{
	RUN(0, "dd", IN, "of=" COPY, "bs=1000", "skip=4093", "count=9001",
	    "iflag=skip_bytes,count_bytes");
	EXPECT_TRUE(copy_is(self->bytes + 4093, 9001));
}

TEST_F_TIMEOUT(client, dd_writes_a_part, PATIENCE)
{
	unsigned char *news = bytes_make(9001, 5000);

	file_make(COPY, news, 9001);
	RUN(0, "dd", "if=" COPY, OUT, "bs=1000", "seek=4093",
	    "oflag=seek_bytes", "conv=notrunc");
	memcpy(self->bytes + 4093, news, 9001);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F_TIMEOUT(client, dd_fails_at_a_hole, PATIENCE)
{
	struct run run;

	make_hole(self, 5, 2);
	run = RUN(1, "dd", IN, "of=" COPY, "bs=4096");
	EXPECT_SAYS("Bad address", run.err);
	EXPECT_TRUE(copy_is(self->bytes, 5 * PAGE_SIZE));
	/* A block that begins before it is cut. */
	run = RUN(1, "dd", IN, "of=" COPY, "bs=10000");
	EXPECT_SAYS("2+1 records in", run.err);
	EXPECT_TRUE(copy_is(self->bytes, 5 * PAGE_SIZE));
}

TEST_F_TIMEOUT(client, dd_passes_over_holes_when_told_to, PATIENCE)
{
	struct run run;

	make_hole(self, 5, 2);
	run = RUN(0, "dd", IN, "of=" COPY, "bs=4096", "conv=noerror,sync");
	EXPECT_SAYS("Bad address", run.err);
	EXPECT_SAYS("30+2 records in", run.err);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
}

TEST_F_TIMEOUT(client, dd_gains_no_right_to_write, PATIENCE)
{
	struct run run;

	close(self->map);
	show(self, O_RDONLY);
	file_make(COPY, "news", 4);
	run = RUN(1, "dd", "if=" COPY, OUT, "conv=notrunc");
	EXPECT_SAYS("Permission denied", run.err);
	/* As it would for reading and writing, which cp and shells do */
	run = RUN(1, "cp", COPY, self->path);
	EXPECT_SAYS("Permission denied", run.err);
	run = RUN(1, "tee", "-a", self->path);
	EXPECT_SAYS("Permission denied", run.err);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	RUN(0, "dd", IN, "of=" COPY);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
}

TEST_F_TIMEOUT(client, dd_is_told_of_the_end, PATIENCE)
{
	struct run run;

	source_kill(self->source);
	run = RUN(1, "dd", IN, "of=" COPY);
	EXPECT_SAYS("No such process", run.err);
	EXPECT_TRUE(copy_is("", 0));
}

/* ---- cmp ----------------------------------------------------------------------------- */

TEST_F_TIMEOUT(client, cmp_finds_it_the_same, PATIENCE)
{
	struct run run = RUN(0, "cmp", self->path, REFERENCE);

	EXPECT_STREQ("", run.out);
	EXPECT_STREQ("", run.err);
}

TEST_F_TIMEOUT(client, cmp_finds_a_difference, PATIENCE)
{
	unsigned char other = ~self->bytes[70000];
	struct run run;

	bytes_put(self->source, self->memory + 70000, &other, 1);
	run = RUN(1, "cmp", "-l", self->path, REFERENCE);
	/* It counts from one, in octal. */
	EXPECT_STREQ(text(" 70001 %3o %3o\n", other, self->bytes[70000]),
		     text(" %s", run.out + strspn(run.out, " ")));
}

TEST_F_TIMEOUT(client, cmp_is_told_of_a_hole, PATIENCE)
{
	struct run run;

	make_hole(self, 9, 1);
	run = RUN(2, "cmp", self->path, REFERENCE);
	EXPECT_SAYS("Bad address", run.err);
}

/* ---- cp and cat ---------------------------------------------------------------------- */

TEST_F_TIMEOUT(client, cp_copies_it, PATIENCE)
{
	RUN(0, "cp", self->path, COPY);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
}

/* It asks where data is, and reads nothing else. */
TEST_F_TIMEOUT(client, cp_leaves_holes_holes, PATIENCE)
{
	struct stat copy;

	make_hole(self, 5, 2);
	make_hole(self, PAGES - 1, 1);
	RUN(0, "cp", self->path, COPY);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
	ASSERT_EQ(0, stat(COPY, &copy));
	EXPECT_EQ((PAGES - 3) * PAGE_SIZE / 512, copy.st_blocks);
	RUN(0, "cp", "--sparse=never", self->path, COPY);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
}

TEST_F_TIMEOUT(client, cp_sparse_makes_holes_of_zeros, PATIENCE)
{
	struct stat copy;

	memset(self->bytes + 8 * PAGE_SIZE, 0, 16 * PAGE_SIZE);
	bytes_put(self->source, self->memory, self->bytes, SIZE);
	make_hole(self, 2, 1);
	RUN(0, "cp", "--sparse=always", self->path, COPY);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
	ASSERT_EQ(0, stat(COPY, &copy));
	EXPECT_EQ((PAGES - 17) * PAGE_SIZE / 512, copy.st_blocks);
}

TEST_F_TIMEOUT(client, cat_copies_it, PATIENCE)
{
	struct run run = RUN(0, "cat", self->path);

	EXPECT_TRUE(fd_is(run.out_fd, self->bytes, SIZE));
	make_hole(self, 5, 1);
	run = RUN(1, "cat", self->path);
	EXPECT_SAYS("Bad address", run.err);
	EXPECT_TRUE(fd_is(run.out_fd, self->bytes, 5 * PAGE_SIZE));
}

/* ---- programs that look at a part ------------------------------------------------------ */

TEST_F_TIMEOUT(client, stat_and_wc_tell_the_size, PATIENCE)
{
	struct run run = RUN(0, "stat", "-L", "-c", "%s %F", self->path);

	EXPECT_STREQ("131072 regular file\n", run.out);
	run = RUN(0, "wc", "-c", self->path);
	EXPECT_STREQ(text("131072 %s\n", self->path), run.out);
}

TEST_F_TIMEOUT(client, tail_and_head_show_the_ends, PATIENCE)
{
	struct run run = RUN(0, "tail", "-c", "5001", self->path);

	EXPECT_TRUE(fd_is(run.out_fd, self->bytes + SIZE - 5001, 5001));
	run = RUN(0, "tail", "-c", "+100001", self->path);
	EXPECT_TRUE(fd_is(run.out_fd, self->bytes + 100000, SIZE - 100000));
	run = RUN(0, "head", "-c", "5001", self->path);
	EXPECT_TRUE(fd_is(run.out_fd, self->bytes, 5001));
	run = RUN(0, "head", "-c", "-5001", self->path);
	EXPECT_TRUE(fd_is(run.out_fd, self->bytes, SIZE - 5001));
}

/* The last bytes are there to be had whatever is before them. */
TEST_F_TIMEOUT(client, tail_needs_only_the_end, PATIENCE)
{
	struct run run;

	make_hole(self, 0, PAGES - 2);
	run = RUN(0, "tail", "-c", "5001", self->path);
	EXPECT_TRUE(fd_is(run.out_fd, self->bytes + SIZE - 5001, 5001));
}

TEST_F_TIMEOUT(client, od_and_xxd_show_bytes, PATIENCE)
{
	const unsigned char *at = self->bytes + 4093;
	struct run run = RUN(0, "od", "-A", "d", "-t", "x1", "-j", "4093", "-N",
			     "6", self->path);

	EXPECT_STREQ(text("0004093 %02x %02x %02x %02x %02x %02x\n0004099\n",
			  at[0], at[1], at[2], at[3], at[4], at[5]),
		     run.out);
	run = RUN(0, "xxd", "-p", "-s", "4093", "-l", "6", self->path);
	EXPECT_STREQ(text("%02x%02x%02x%02x%02x%02x\n", at[0], at[1], at[2],
			  at[3], at[4], at[5]),
		     run.out);
}

TEST_F_TIMEOUT(client, sha256sum_is_that_of_the_bytes, PATIENCE)
{
	struct run map = RUN(0, "sha256sum", self->path);
	struct run file = RUN(0, "sha256sum", REFERENCE);

	EXPECT_EQ(' ', map.out[64]);
	EXPECT_EQ(0, strncmp(file.out, map.out, 65));
}

/* ---- Python -------------------------------------------------------------------------- */

/* What each script begins with */
#define PYTHON                                        \
	"import errno, os, sys\n"                     \
	"path = sys.argv[1]\n"                        \
	"want = open('" REFERENCE "', 'rb').read()\n" \
	"def error_of(call, *arguments):\n"           \
	"    try: call(*arguments)\n"                 \
	"    except OSError as error:\n"              \
	"        return errno.errorcode[error.errno]\n"

TEST_F_TIMEOUT(client, python_reads_and_writes_the_file, PATIENCE)
{
	struct run run =
		RUN(0, "python3", "-c",
		    PYTHON
		    "fd = os.open(path, os.O_RDWR)\n"
		    "assert os.pread(fd, 5000, 4093) == want[4093:9093]\n"
		    "one, two = bytearray(7), bytearray(9000)\n"
		    "print(os.preadv(fd, [one, two], 1))\n"
		    "assert one + two == want[1:9008]\n"
		    "print(error_of(os.preadv, fd, [one], 0, os.RWF_NOWAIT)\n"
		    "      in ('EAGAIN', 'EOPNOTSUPP', 'ENOTSUP'))\n"
		    "assert open(path, 'rb').read() == want\n"
		    "assert open(path, 'rb', buffering=0).read() == want\n"
		    "print(os.pwrite(fd, b'python', 4094))\n"
		    "with open(path, 'r+b') as file:\n"
		    "    file.seek(-6, os.SEEK_END)\n"
		    "    file.write(b'buffer')\n",
		    self->path);

	EXPECT_STREQ("9007\nTrue\n6\n", run.out);
	memcpy(self->bytes + 4094, "python", 6);
	memcpy(self->bytes + SIZE - 6, "buffer", 6);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F_TIMEOUT(client, python_finds_data_and_holes, PATIENCE)
{
	struct run run;

	make_hole(self, 5, 2);
	run = RUN(0, "python3", "-c",
		  PYTHON
		  "fd = os.open(path, os.O_RDONLY)\n"
		  "hole = os.lseek(fd, 0, os.SEEK_HOLE)\n"
		  "print(hole, os.lseek(fd, hole, os.SEEK_DATA))\n"
		  "print(len(os.pread(fd, 1 << 20, 0)))\n"
		  "print(error_of(os.pread, fd, 1, hole))\n"
		  "print(os.sendfile(os.memfd_create('to'), fd, 0, 99999))\n",
		  self->path);
	EXPECT_STREQ("20480 28672\n20480\nEFAULT\n20480\n", run.out);
}

TEST_F_TIMEOUT(client, python_gains_no_right, PATIENCE)
{
	struct run run;

	close(self->map);
	show(self, O_RDONLY);
	run = RUN(0, "python3", "-c",
		  PYTHON "print(error_of(os.open, path, os.O_RDWR),\n"
			 "      error_of(os.open, path, os.O_WRONLY),\n"
			 "      error_of(os.chmod, path, 0o666) is not None,\n"
			 "      error_of(os.open, path, os.O_RDWR))\n"
			 "fd = os.open(path, os.O_RDONLY)\n"
			 "print(error_of(os.pwrite, fd, b'x', 0))\n"
			 "assert os.pread(fd, len(want), 0) == want\n",
		  self->path);
	EXPECT_STREQ("EACCES EACCES True EACCES\nEBADF\n", run.out);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

#define WITH_MMAP PYTHON "import mmap\n"

TEST_F_TIMEOUT(client, python_maps_it, PATIENCE)
{
	struct run run = RUN(
		0, "python3", "-c",
		WITH_MMAP
		"fd = os.open(path, os.O_RDWR)\n"
		"mirror = mmap.mmap(fd, 0)\n"
		"assert len(mirror) == len(want) and mirror[:] == want\n"
		"print(mirror.find(want[5000:5064]))\n"
		"mirror[4094:4100] = b'mapped'\n"
		"assert os.pread(fd, 6, 4094) == b'mapped'\n"
		"os.pwrite(fd, b'live', 9000)\n"
		"print(mirror[9000:9004])\n"
		"part = mmap.mmap(fd, 8192, offset=4096, prot=mmap.PROT_READ)\n"
		"print(part[0:4])\n"
		"print(error_of(mmap.mmap, fd, 0, mmap.MAP_PRIVATE),\n"
		"      error_of(mmap.mmap, fd, 0, mmap.MAP_SHARED,\n"
		"               mmap.PROT_READ | mmap.PROT_EXEC))\n"
		"part.close()\n"
		"mirror.close()\n",
		self->path);

	EXPECT_STREQ("5000\nb'live'\nb'pped'\nEINVAL EPERM\n", run.out);
	memcpy(self->bytes + 4094, "mapped", 6);
	memcpy(self->bytes + 9000, "live", 4);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
}

TEST_F_TIMEOUT(client, python_dies_in_a_hole, PATIENCE)
{
	struct run run;

	make_hole(self, 5, 2);
	run = RUN(256 + SIGBUS, "python3", "-uc",
		  WITH_MMAP
		  "mirror = mmap.mmap(os.open(path, os.O_RDONLY), 0,\n"
		  "                   prot=mmap.PROT_READ)\n"
		  "assert mirror[:20480] == want[:20480]\n"
		  "print('now')\n"
		  "print(mirror[20480])\n",
		  self->path);
	EXPECT_STREQ("now\n", run.out);
}

/* ---- gdb, attached to a viewer -------------------------------------------------------- */

/* A process that has a mirror and does nothing: its pid, and where */
static pid_t viewer_start(int map, size_t size, int prot, uint64_t *at)
{
	pid_t parent = getpid(), pid;
	uint64_t *shared = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		fatal("mmap: %m");
	pid = fork();
	if (pid < 0)
		fatal("fork: %m");
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		__atomic_store_n(shared,
				 (uintptr_t)mmap(NULL, size, prot, MAP_SHARED,
						 map, 0),
				 __ATOMIC_RELEASE);
		while (true)
			pause();
	}
	WAIT_FOR(__atomic_load_n(shared, __ATOMIC_ACQUIRE));
	*at = *shared;
	if (*at == (uintptr_t)MAP_FAILED)
		fatal("the viewer has no mirror");
	return pid;
}

#define GDB(ends, pid, ...)                                                   \
	RUN((ends), "gdb", "-nx", "-batch", "-iex",                           \
	    "set debuginfod enabled off", "-iex", "set auto-load no", "-iex", \
	    "set auto-solib-add off", "-p", text("%d", (pid)), __VA_ARGS__)
#define EX(...) "-ex", text(__VA_ARGS__)

TEST_F_TIMEOUT(client, gdb_reads_a_mirror, PATIENCE)
{
	const unsigned char *at = self->bytes + 4094;
	struct run run;
	uint64_t mirror;
	pid_t viewer;

	bytes_put(self->source, self->memory + 77, "hello, debugger", 16);
	memcpy(self->bytes + 77, "hello, debugger", 16);
	viewer = viewer_start(self->map, SIZE, PROT_READ, &mirror);
	run = GDB(0, viewer, EX("x/4xb %#" PRIx64, mirror + 4094),
		  EX("x/s %#" PRIx64, mirror + 77),
		  EX("print/x *(unsigned int *)%#" PRIx64, mirror + 4094),
		  EX("dump binary memory " COPY " %#" PRIx64 " %#" PRIx64,
		     mirror, mirror + SIZE));
	EXPECT_SAYS(text("%#" PRIx64 ":\t0x%02x\t0x%02x\t0x%02x\t0x%02x\n",
			 mirror + 4094, at[0], at[1], at[2], at[3]),
		    run.out);
	EXPECT_SAYS("\"hello, debugger\"", run.out);
	EXPECT_SAYS(text("$1 = 0x%x\n", at[0] | at[1] << 8 | at[2] << 16 |
						(unsigned int)at[3] << 24),
		    run.out);
	EXPECT_TRUE(copy_is(self->bytes, SIZE));
	/* It has not been harmed, and let go. */
	EXPECT_EQ(0, waitpid(viewer, NULL, WNOHANG));
	EXPECT_EQ(0, process_status(viewer, "TracerPid"));
	program_end(viewer);
}

TEST_F_TIMEOUT(client, gdb_writes_a_mirror, PATIENCE)
{
	unsigned char *news = bytes_make(9001, 5000);
	uint64_t mirror;
	pid_t viewer =
		viewer_start(self->map, SIZE, PROT_READ | PROT_WRITE, &mirror);

	file_make(COPY, news, 9001);
	/* Within a page, over the edge of one, and much */
	GDB(0, viewer,
	    EX("set var *(unsigned long *)%#" PRIx64 " = 0x1122334455667788",
	       mirror + 8),
	    EX("set var *(unsigned int *)%#" PRIx64 " = 0x64636261",
	       mirror + 8190),
	    EX("restore " COPY " binary %#" PRIx64, mirror + 50000));
	memcpy(self->bytes + 8, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	memcpy(self->bytes + 8190, "abcd", 4);
	memcpy(self->bytes + 50000, news, 9001);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	EXPECT_EQ(0, waitpid(viewer, NULL, WNOHANG));
	program_end(viewer);
}

TEST_F_TIMEOUT(client, gdb_is_refused_what_a_viewer_is, PATIENCE)
{
	struct run run;
	uint64_t mirror;
	pid_t viewer;

	/* Behind what is writable, what is not */
	ASSERT_EQ(0, view_add(self->ctrl, self->memory, SIZE, SIZE,
			      PIDFD_MEM_MAP_READONLY));
	make_hole(self, 5, 1);
	viewer = viewer_start(self->map, 2 * SIZE, PROT_READ | PROT_WRITE,
			      &mirror);
	run = GDB(1, viewer, EX("x/xb %#" PRIx64, mirror + 5 * PAGE_SIZE));
	EXPECT_SAYS(text("Cannot access memory at address %#" PRIx64,
			 mirror + 5 * PAGE_SIZE),
		    run.err);
	run = GDB(1, viewer,
		  EX("set var *(char *)%#" PRIx64 " = 1",
		     mirror + 5 * PAGE_SIZE));
	EXPECT_SAYS("Cannot access memory", run.err);
	run = GDB(1, viewer, EX("x/xb %#" PRIx64, mirror + SIZE + 9),
		  EX("set var *(char *)%#" PRIx64 " = %d", mirror + SIZE + 9,
		     self->bytes[9] ^ 1));
	EXPECT_SAYS(text(":\t0x%02x\n", self->bytes[9]), run.out);
	EXPECT_SAYS("Cannot access memory", run.err);
	EXPECT_TRUE(bytes_are(self->source, self->memory, self->bytes,
			      5 * PAGE_SIZE));
	program_end(viewer);
}

TEST_F_TIMEOUT(client, gdb_makes_a_page_where_the_view_may, PATIENCE)
{
	const uint64_t absent = self->memory + 3 * PAGE_SIZE;
	struct run run;
	uint64_t mirror;
	pid_t viewer;

	ASSERT_EQ(0, view_add(self->ctrl, self->memory, SIZE, SIZE,
			      PIDFD_MEM_MAP_RESIDENT));
	source_madvise(self->source, absent, PAGE_SIZE, MADV_DONTNEED);
	viewer = viewer_start(self->map, 2 * SIZE, PROT_READ | PROT_WRITE,
			      &mirror);
	mirror += SIZE;
	run = GDB(1, viewer, EX("x/xb %#" PRIx64, mirror + 9),
		  EX("x/xb %#" PRIx64, mirror + 3 * PAGE_SIZE));
	EXPECT_SAYS(text(":\t0x%02x\n", self->bytes[9]), run.out);
	EXPECT_SAYS("Cannot access memory", run.err);
	GDB(1, viewer,
	    EX("set var *(char *)%#" PRIx64 " = 1", mirror + 3 * PAGE_SIZE));
	EXPECT_EQ(0, pagemap(self->source->pid, absent) & PAGEMAP_PRESENT);
	mirror -= SIZE;
	run = GDB(0, viewer, EX("x/xb %#" PRIx64, mirror + 3 * PAGE_SIZE));
	EXPECT_SAYS(":\t0x00\n", run.out);
	program_end(viewer);
}

TEST_F_TIMEOUT(client, gdb_gains_no_right_to_write, PATIENCE)
{
	struct run run;
	uint64_t mirror;
	pid_t viewer;

	close(self->map);
	show(self, O_RDONLY);
	viewer = viewer_start(self->map, SIZE, PROT_READ, &mirror);
	run = GDB(1, viewer, EX("x/xb %#" PRIx64, mirror + 9),
		  EX("set var *(char *)%#" PRIx64 " = %d", mirror + 9,
		     self->bytes[9] ^ 1));
	EXPECT_SAYS(text(":\t0x%02x\n", self->bytes[9]), run.out);
	EXPECT_SAYS("Cannot access memory", run.err);
	EXPECT_TRUE(SOURCE_HAS(self->bytes));
	program_end(viewer);
}

TEST_F_TIMEOUT(client, gdb_is_told_of_the_end, PATIENCE)
{
	struct run run;
	uint64_t mirror;
	pid_t viewer = viewer_start(self->map, SIZE, PROT_READ, &mirror);

	source_kill(self->source);
	run = GDB(1, viewer, EX("x/xb %#" PRIx64, mirror));
	EXPECT_SAYS("Cannot access memory", run.err);
	EXPECT_EQ(0, waitpid(viewer, NULL, WNOHANG));
	program_end(viewer);
}

TEST_HARNESS_MAIN
