// SPDX-License-Identifier: GPL-2.0
/*
 * See fuse.h.
 *
 * The server alone has the /dev/fuse file: its death ends the connection. It
 * never waits but in poll(), so it answers in the order of requests, but for
 * those it holds back.
 */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER "/tmp/fuse"
#define FOREVER 86400

/* What test and server share */
struct shared {
	bool mounted;
	unsigned int reads[FUSE_FILES];
};

struct fuse {
	pid_t server; /* 0: ended and reaped */
	int answer; /* an eventfd */
	struct shared *shared;
};

static const char *const names[FUSE_FILES] = { "prompt", "late", "broken",
					       "never", "held" };

/* ---- the server ------------------------------------------------------------- */

#define HELD_MAX 64

struct server {
	int device;
	struct shared *shared;
	bool late_too;
	unsigned int nr_held;
	struct held {
		uint64_t unique;
		struct fuse_read_in order;
	} held[HELD_MAX];
};

/* The root is node 1. */
#define NODE(file) (FUSE_ROOT_ID + 1 + (file))
#define FILE_OF(node) ((node)-FUSE_ROOT_ID - 1)

static void reply(struct server *server, uint64_t unique, int error,
		  const void *data, size_t size)
{
	struct fuse_out_header header = {
		.len = sizeof(header) + size,
		.error = error,
		.unique = unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)data, .iov_len = size },
	};

	/* ENOENT: who asked has gone. */
	if (writev(server->device, iov, 2) < 0 && errno != ENOENT)
		fatal("write to /dev/fuse: %m");
}

static void reply_init(struct server *server, uint64_t unique,
		       const struct fuse_init_in *in)
{
	/* Reading ahead does not wait for the answer: a reader waits for the
	 * page, and that wait ends with SIGKILL.
	 */
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < FUSE_KERNEL_MINOR_VERSION ?
				 in->minor :
				 FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = FUSE_ASYNC_READ,
		.max_write = PAGE_SIZE,
		.time_gran = 1,
	};

	reply(server, unique, 0, &out, sizeof(out));
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1 };

	if (node == FUSE_ROOT_ID) {
		attr.mode = S_IFDIR | 0755;
	} else {
		attr.mode = S_IFREG | 0644;
		attr.size = FUSE_SIZE;
	}
	return attr;
}

static void reply_lookup(struct server *server, uint64_t unique,
			 const char *name)
{
	struct fuse_entry_out out = {
		.entry_valid = FOREVER,
		.attr_valid = FOREVER,
	};
	int file;

	for (file = 0; file < FUSE_FILES; file++) {
		if (strcmp(name, names[file]))
			continue;
		out.nodeid = NODE(file);
		out.attr = attributes(out.nodeid);
		reply(server, unique, 0, &out, sizeof(out));
		return;
	}
	reply(server, unique, -ENOENT, NULL, 0);
}

static void reply_getattr(struct server *server, uint64_t unique, uint64_t node)
{
	struct fuse_attr_out out = {
		.attr_valid = FOREVER,
		.attr = attributes(node),
	};

	reply(server, unique, 0, &out, sizeof(out));
}

static void reply_data(struct server *server, uint64_t unique,
		       const struct fuse_read_in *order)
{
	static uint64_t words[FUSE_SIZE / sizeof(uint64_t)];
	size_t end = order->offset + order->size, i;

	if (end > FUSE_SIZE)
		end = FUSE_SIZE;
	if (order->offset >= end) {
		reply(server, unique, 0, NULL, 0);
		return;
	}
	for (i = 0; i < FUSE_SIZE / sizeof(uint64_t); i++)
		words[i] = pattern(FUSE_SEED, i * sizeof(uint64_t) / PAGE_SIZE);
	reply(server, unique, 0, (char *)words + order->offset,
	      end - order->offset);
}

static void hold(struct server *server, uint64_t unique,
		 const struct fuse_read_in *order)
{
	if (server->nr_held == HELD_MAX)
		fatal("too many READs that are held back");
	server->held[server->nr_held++] = (struct held){ unique, *order };
}

static void reply_read(struct server *server, uint64_t unique, uint64_t node,
		       const struct fuse_read_in *order)
{
	enum fuse_file file = FILE_OF(node);
	unsigned int before;

	before = __atomic_fetch_add(&server->shared->reads[file], 1,
				    __ATOMIC_RELEASE);
	if (file == FILE_PROMPT || (file == FILE_LATE && server->late_too))
		reply_data(server, unique, order);
	else if (file == FILE_LATE)
		hold(server, unique, order);
	else if (file == FILE_BROKEN || (file == FILE_HELD && before < 2))
		reply(server, unique, -EIO, NULL, 0);
}

static void serve_late(struct server *server)
{
	unsigned int i;

	for (i = 0; i < server->nr_held; i++)
		reply_data(server, server->held[i].unique,
			   &server->held[i].order);
	server->late_too = true;
}

/* False when the connection has ended */
static bool serve_one(struct server *server)
{
	static struct {
		struct fuse_in_header header;
		char data[64 * 1024];
	} in;
	uint64_t unique;

	if (read(server->device, &in, sizeof(in)) < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOENT;
	unique = in.header.unique;
	switch (in.header.opcode) {
	case FUSE_INIT:
		reply_init(server, unique, (void *)in.data);
		break;
	case FUSE_LOOKUP:
		reply_lookup(server, unique, in.data);
		break;
	case FUSE_GETATTR:
		reply_getattr(server, unique, in.header.nodeid);
		break;
	case FUSE_OPEN:
		reply(server, unique, 0, &(struct fuse_open_out){ 0 },
		      sizeof(struct fuse_open_out));
		break;
	case FUSE_READ:
		reply_read(server, unique, in.header.nodeid, (void *)in.data);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_DESTROY:
		reply(server, unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* nobody waits for an answer */
	default:
		reply(server, unique, -ENOSYS, NULL, 0);
	}
	return true;
}

static void serve(struct server *server, int answer) __attribute__((noreturn));
static void serve(struct server *server, int answer)
{
	struct pollfd polls[2] = {
		{ .fd = server->device, .events = POLLIN },
		{ .fd = answer, .events = POLLIN },
	};

	while (poll(polls, 2, -1) > 0) {
		if (polls[1].revents) {
			serve_late(server);
			polls[1].fd = -1;
		}
		if (polls[0].revents && !serve_one(server))
			break;
	}
	_exit(0);
}

static void server_run(struct shared *shared, int answer, pid_t parent)
	__attribute__((noreturn));
static void server_run(struct shared *shared, int answer, pid_t parent)
{
	struct server server = { .shared = shared };
	char options[64];

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	/* None of the test's files, above all no map file */
	if (dup2(answer, 3) != 3 || close_range(4, ~0U, 0))
		fatal("the server's files: %m");
	server.device = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (server.device < 0)
		fatal("/dev/fuse: %m");
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", server.device);
	if (mount("test", FOLDER, "fuse", MS_NOSUID | MS_NODEV, options))
		fatal("mount of fuse: %m");
	__atomic_store_n(&shared->mounted, true, __ATOMIC_RELEASE);
	serve(&server, 3);
}

/* ---- the test's side --------------------------------------------------------- */

struct fuse *fuse_start(void)
{
	struct fuse *fuse = calloc(1, sizeof(*fuse));
	pid_t parent = getpid();

	if (!fuse)
		fatal("no memory");
	/* The output is for TAP alone. */
	if (access("/dev/fuse", F_OK) &&
	    system("modprobe fuse >/dev/null 2>&1"))
		fatal("no FUSE: modprobe fuse failed");
	WAIT_FOR(!access("/dev/fuse", F_OK));
	/* From a test that was cut short */
	umount2(FOLDER, MNT_DETACH);
	if (mkdir(FOLDER, 0755) && errno != EEXIST)
		fatal("mkdir " FOLDER ": %m");
	fuse->shared = mmap(NULL, sizeof(*fuse->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fuse->answer = eventfd(0, EFD_CLOEXEC);
	if (fuse->shared == MAP_FAILED || fuse->answer < 0)
		fatal("no memory");
	fuse->server = fork();
	if (fuse->server < 0)
		fatal("fork: %m");
	if (!fuse->server)
		server_run(fuse->shared, fuse->answer, parent);
	WAIT_FOR(__atomic_load_n(&fuse->shared->mounted, __ATOMIC_ACQUIRE));
	return fuse;
}

void fuse_kill(struct fuse *fuse)
{
	if (!fuse->server)
		return;
	kill(fuse->server, SIGKILL);
	while (waitpid(fuse->server, NULL, 0) < 0)
		if (errno != EINTR)
			fatal("waitpid: %m");
	fuse->server = 0;
}

void fuse_end(struct fuse *fuse)
{
	fuse_kill(fuse);
	/* An address space that has just lost its last user is taken down by a
	 * worker, and its files after it.
	 */
	WAIT_FOR(!umount2(FOLDER, 0));
	munmap(fuse->shared, sizeof(*fuse->shared));
	close(fuse->answer);
	free(fuse);
}

uint64_t fuse_map(struct source *source, enum fuse_file file, int prot,
		  int flags)
{
	char path[32];
	uint64_t at;
	int fd, there;

	snprintf(path, sizeof(path), FOLDER "/%s", names[file]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fatal("%s: %m", path);
	there = source_take_fd(source, fd);
	at = source_mmap(source, 0, FUSE_SIZE, prot, flags, there, 0);
	source_syscall(source, SYS_close, there);
	close(fd);
	return at;
}

unsigned int fuse_reads(struct fuse *fuse, enum fuse_file file)
{
	return __atomic_load_n(&fuse->shared->reads[file], __ATOMIC_ACQUIRE);
}

void fuse_answer(struct fuse *fuse)
{
	if (eventfd_write(fuse->answer, 1))
		fatal("eventfd: %m");
}
