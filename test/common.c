// SPDX-License-Identifier: GPL-2.0
/*
 * See common.h.
 *
 * A source runs serve(): one datagram is one order, one datagram answers it.
 * Whatever ends the source closes its end of the socket, which is how a test
 * that waits for an answer learns of it.
 */
#include "common.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define MPOL_MF_MOVE_ALL (1 << 2)

void fatal(const char *format, ...)
{
	va_list arguments;

	fputs("# ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n", stderr);
	_exit(1);
}

/* ---- the viewer's side ---------------------------------------------------- */

int device_open(int oflags)
{
	int fd = open(DEVICE_PATH, oflags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mem_open(pid_t pid, int oflags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, oflags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int context_open(pid_t pid, int mem_oflags, unsigned int open_flags, int *ctrl,
		 int *map)
{
	struct pidfd_mem_open order = { .size = sizeof(order),
					.flags = open_flags };
	int device, error = 0;

	order.mem_fd = mem_open(pid, mem_oflags);
	if (order.mem_fd < 0)
		return order.mem_fd;
	device = device_open(O_RDWR);
	if (device < 0) {
		close(order.mem_fd);
		return device;
	}
	if (ioctl(device, PIDFD_MEM_OPEN, &order))
		error = -errno;
	close(device);
	close(order.mem_fd);
	if (error)
		return error;
	*ctrl = order.ctrl_fd;
	*map = order.map_fd;
	return 0;
}

int view_add(int ctrl, uint64_t address, uint64_t offset, uint64_t size,
	     uint32_t flags)
{
	struct pidfd_mem_map order = {
		.address = address,
		.offset = offset,
		.size = size,
		.flags = flags,
	};

	return ioctl(ctrl, PIDFD_MEM_MAP, &order) ? -errno : 0;
}

int view_remove(int ctrl, uint64_t offset, uint64_t size)
{
	struct pidfd_mem_unmap order = { .offset = offset, .size = size };

	return ioctl(ctrl, PIDFD_MEM_UNMAP, &order) ? -errno : 0;
}

int context_lock(int ctrl)
{
	return ioctl(ctrl, PIDFD_MEM_LOCK, 0) ? -errno : 0;
}

/* Reserve address space so that the mirror agrees with its source modulo 2 MiB,
 * then map over it.
 */
static char *map_aligned(int map, uint64_t address, size_t size, int prot)
{
	size_t room = size + PMD_SIZE;
	char *area, *at;

	area = mmap(NULL, room, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		fatal("no room for a mirror of %zu bytes: %m", size);
	at = area + ((address - (uintptr_t)area) & (PMD_SIZE - 1));
	if (at > area)
		munmap(area, at - area);
	if (at + size < area + room)
		munmap(at + size, area + room - (at + size));
	if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, map, 0) != at)
		fatal("mmap of a map file: %m");
	return at;
}

static struct mirror mirror_make(pid_t pid, uint64_t address, size_t size,
				 int mem_oflags, int prot, uint32_t flags)
{
	struct mirror mirror = { .address = address, .size = size };
	int error;

	error = context_open(pid, mem_oflags, 0, &mirror.ctrl, &mirror.map);
	if (error)
		fatal("no context of process %d: %s", pid, strerror(-error));
	error = view_add(mirror.ctrl, address, 0, size, flags);
	if (error)
		fatal("no view of %#" PRIx64 " of process %d: %s", address, pid,
		      strerror(-error));
	mirror.at = map_aligned(mirror.map, address, size, prot);
	return mirror;
}

struct mirror mirror_open(pid_t pid, uint64_t address, size_t size, int prot,
			  uint32_t flags)
{
	return mirror_make(pid, address, size, O_RDWR, prot, flags);
}

struct mirror mirror_open_readonly(pid_t pid, uint64_t address, size_t size)
{
	return mirror_make(pid, address, size, O_RDONLY, PROT_READ, 0);
}

char *mirror_again(const struct mirror *mirror, int prot)
{
	return map_aligned(mirror->map, mirror->address, mirror->size, prot);
}

void mirror_close(struct mirror *mirror)
{
	munmap(mirror->at, mirror->size);
	close(mirror->map);
	close(mirror->ctrl);
}

static FILE *fdinfo_open(int fd)
{
	char path[40];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	return file;
}

uint64_t counter(int fd, const char *key)
{
	FILE *file = fdinfo_open(fd);
	size_t length = strlen(key);
	uint64_t value = 0;
	bool found = false;
	char line[256];

	while (!found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, length) || line[length] != ':')
			continue;
		value = strtoull(line + length + 1, NULL, 10);
		found = true;
	}
	fclose(file);
	if (!found)
		fatal("fdinfo has no key %s", key);
	return value;
}

bool has_view(int fd, uint64_t offset, uint64_t address, uint64_t size,
	      uint32_t flags)
{
	FILE *file = fdinfo_open(fd);
	char line[256], wanted[256];
	bool found = false;

	snprintf(wanted, sizeof(wanted),
		 "view:\toffset %016" PRIx64 " address %016" PRIx64
		 " size %016" PRIx64 " flags %s%s\n",
		 offset, address, size,
		 flags & PIDFD_MEM_MAP_READONLY ? "ro" : "rw",
		 flags & PIDFD_MEM_MAP_RESIDENT ? ",resident" : "");
	while (!found && fgets(line, sizeof(line), file))
		found = !strcmp(line, wanted);
	fclose(file);
	return found;
}

uint64_t mirror_mapped(const struct mirror *mirror)
{
	return counter(mirror->map, "pages_mapped");
}

uint64_t mirror_hits(const struct mirror *mirror)
{
	return counter(mirror->map, "invalidations_hit");
}

/* Volatile: the compiler does not see that an access may call the handler. */
static __thread sigjmp_buf *volatile touch_env;
static __thread volatile int touch_si_code;

static void touch_handler(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (!touch_env) {
		/* Not ours: the access is repeated and ends the process. */
		signal(signal_number, SIG_DFL);
		return;
	}
	touch_si_code = info->si_code;
	siglongjmp(*touch_env, signal_number);
}

static void touch_handler_install(void)
{
	/* SA_NODEFER: siglongjmp() then need not restore the signal mask. */
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	if (sigaction(SIGSEGV, &action, NULL) ||
	    sigaction(SIGBUS, &action, NULL))
		fatal("sigaction: %m");
}

static pthread_once_t touch_once = PTHREAD_ONCE_INIT;

int touch_read(const volatile void *at, uint64_t *value)
{
	sigjmp_buf env;
	int raised;

	pthread_once(&touch_once, touch_handler_install);
	raised = sigsetjmp(env, 0);
	if (!raised) {
		touch_env = &env;
		*value = *(const volatile uint64_t *)at;
	}
	touch_env = NULL;
	return raised;
}

int touch_write(volatile void *at, uint64_t value)
{
	sigjmp_buf env;
	int raised;

	pthread_once(&touch_once, touch_handler_install);
	raised = sigsetjmp(env, 0);
	if (!raised) {
		touch_env = &env;
		*(volatile uint64_t *)at = value;
	}
	touch_env = NULL;
	return raised;
}

int touch_code(void)
{
	return touch_si_code;
}

struct hammer {
	pthread_t thread;
	char *at;
	size_t pages;
	uint64_t *counts;
	uint64_t rounds;
	bool stop;
};

static void hammer_strike(struct hammer *hammer, size_t page)
{
	volatile void *word = hammer->at + page * PAGE_SIZE;
	uint64_t seen;
	int raised = touch_read(word, &seen);

	if (!raised && seen != hammer->counts[page])
		fatal("page %zu shows %" PRIu64 ", %" PRIu64
		      " was written last",
		      page, seen, hammer->counts[page]);
	if (!raised)
		raised = touch_write(word, seen + 1);
	if (raised)
		fatal("page %zu raised signal %d", page, raised);
	hammer->counts[page]++;
}

static void *hammer_run(void *arg)
{
	struct hammer *hammer = arg;
	size_t page;

	while (!__atomic_load_n(&hammer->stop, __ATOMIC_RELAXED)) {
		for (page = 0; page < hammer->pages; page++)
			hammer_strike(hammer, page);
		__atomic_fetch_add(&hammer->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

struct hammer *hammer_start(char *at, size_t pages)
{
	struct hammer *hammer = calloc(1, sizeof(*hammer));
	size_t page;

	if (hammer)
		hammer->counts = calloc(pages, sizeof(*hammer->counts));
	if (!hammer || !hammer->counts)
		fatal("no memory");
	hammer->at = at;
	hammer->pages = pages;
	for (page = 0; page < pages; page++)
		if (touch_read(at + page * PAGE_SIZE, &hammer->counts[page]))
			fatal("page %zu cannot be read", page);
	if (pthread_create(&hammer->thread, NULL, hammer_run, hammer))
		fatal("pthread_create failed");
	return hammer;
}

uint64_t hammer_rounds(struct hammer *hammer)
{
	return __atomic_load_n(&hammer->rounds, __ATOMIC_RELAXED);
}

void hammer_stop(struct hammer *hammer)
{
	__atomic_store_n(&hammer->stop, true, __ATOMIC_RELAXED);
	pthread_join(hammer->thread, NULL);
}

uint64_t hammer_count(struct hammer *hammer, size_t page)
{
	return hammer->counts[page];
}

void hammer_free(struct hammer *hammer)
{
	free(hammer->counts);
	free(hammer);
}

/* ---- the source: what it does ---------------------------------------------- */

enum op {
	OP_SYSCALL,
	OP_LOAD,
	OP_STORE,
	OP_CALL,
	OP_FORK,
	OP_FORK_SHARING,
	OP_TAKE_FD,
	OP_EXEC,
	OP_EXIT,
};

struct order {
	enum op op;
	long nr;
	long args[6];
	source_function *function;
	char data[CALL_SIZE];
};

struct answer {
	long result;
	uint64_t value;
};

/* The source's end of the socket, so that a forked source needs not be told */
#define SOURCE_CHANNEL 3

#define SHARING_STACK_SIZE (64 * 1024UL)

static int receive(int channel, struct order *order, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = order, .iov_len = sizeof(*order) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t got;

	*fd = -1;
	do {
		got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(*order))
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return 0;
}

static void serve(void) __attribute__((noreturn));

/* What a new source does first, forked from the test or from a source */
static void settle(int channel, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		fatal("prctl: %m");
	if (getppid() != parent)
		_exit(1);
	if (channel != SOURCE_CHANNEL) {
		if (dup3(channel, SOURCE_CHANNEL, O_CLOEXEC) < 0)
			fatal("dup3: %m");
		close(channel);
	}
}

struct sharing {
	int channel;
	pid_t parent;
};

static int serve_sharing(void *arg)
{
	struct sharing *sharing = arg;

	settle(sharing->channel, sharing->parent);
	serve();
}

/* CLONE_PARENT: the child is the test's, so that the test can reap it and it
 * dies with the test, not with this process.
 */
static long serve_fork(int channel)
{
	pid_t parent = getppid();
	long pid;

	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		settle(channel, parent);
		serve();
	}
	return pid < 0 ? -errno : pid;
}

/* The child's stack is never freed: it goes with the address space. */
static long serve_fork_sharing(int channel)
{
	static struct sharing sharing;
	char *stack;
	int pid;

	stack = mmap(NULL, SHARING_STACK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sharing = (struct sharing){ .channel = channel, .parent = getppid() };
	pid = clone(serve_sharing, stack + SHARING_STACK_SIZE,
		    CLONE_VM | CLONE_PARENT | SIGCHLD, &sharing);
	return pid < 0 ? -errno : pid;
}

static long serve_exec(char *data)
{
	char *argv[16] = { NULL };
	const char *path = data;
	size_t i;

	for (i = 0; i < 15; i++) {
		data += strlen(data) + 1;
		if (!*data)
			break;
		argv[i] = data;
	}
	execv(path, argv);
	return -errno;
}

static struct answer obey(struct order *order, int fd)
{
	struct answer answer = { 0 };
	const long *args = order->args;

	switch (order->op) {
	case OP_SYSCALL:
		answer.result = syscall(order->nr, args[0], args[1], args[2],
					args[3], args[4], args[5]);
		if (answer.result == -1)
			answer.result = -errno;
		break;
	case OP_LOAD:
		answer.result = touch_read((void *)args[0], &answer.value);
		break;
	case OP_STORE:
		answer.result = touch_write((void *)args[0], args[1]);
		break;
	case OP_CALL:
		answer.result = order->function(order->data);
		break;
	case OP_FORK:
		answer.result = serve_fork(fd);
		close(fd);
		break;
	case OP_FORK_SHARING:
		answer.result = serve_fork_sharing(fd);
		close(fd);
		break;
	case OP_TAKE_FD:
		answer.result = fd;
		break;
	case OP_EXEC:
		answer.result = serve_exec(order->data);
		break;
	case OP_EXIT:
		_exit((int)args[0]);
	}
	return answer;
}

static void serve(void)
{
	struct answer answer;
	struct order order;
	int fd;

	while (!receive(SOURCE_CHANNEL, &order, &fd)) {
		answer = obey(&order, fd);
		if (send(SOURCE_CHANNEL, &answer, sizeof(answer),
			 MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

/* ---- the source: how it is driven ------------------------------------------- */

static void send_order(struct source *source, struct order *order, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = order, .iov_len = sizeof(*order) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	if (sendmsg(source->channel, &message, MSG_NOSIGNAL) < 0)
		fatal("source %d takes no orders: %m", source->pid);
}

static struct answer take_answer(struct source *source)
{
	struct answer answer;
	ssize_t got;

	do {
		got = recv(source->channel, &answer, sizeof(answer), 0);
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(answer))
		answer = (struct answer){ .result = -EPIPE };
	return answer;
}

static struct answer ask(struct source *source, struct order *order, int fd)
{
	struct answer answer;

	send_order(source, order, fd);
	answer = take_answer(source);
	if (answer.result == -EPIPE)
		fatal("source %d ended when it should have answered",
		      source->pid);
	return answer;
}

static struct source *source_new(int channel)
{
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		fatal("no memory");
	source->channel = channel;
	return source;
}

static void channel_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		fatal("socketpair: %m");
}

struct source *source_start(void)
{
	pid_t parent = getpid();
	struct source *source;
	int pair[2];

	channel_pair(pair);
	source = source_new(pair[0]);
	source->pid = fork();
	if (source->pid < 0)
		fatal("fork: %m");
	if (!source->pid) {
		settle(pair[1], parent);
		/* None of the test's files, above all no map file of its own */
		close_range(SOURCE_CHANNEL + 1, ~0U, 0);
		serve();
	}
	close(pair[1]);
	return source;
}

int source_reap(struct source *source)
{
	int status;

	while (waitpid(source->pid, &status, 0) < 0) {
		if (errno != EINTR)
			fatal("waitpid(%d): %m", source->pid);
	}
	source->pid = 0;
	return status;
}

void source_end(struct source *source)
{
	if (source->pid) {
		kill(source->pid, SIGKILL);
		source_reap(source);
	}
	close(source->channel);
	free(source);
}

void source_exit(struct source *source, int code)
{
	struct order order = { .op = OP_EXIT, .args = { code } };
	int status;

	send_order(source, &order, -1);
	status = source_reap(source);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		fatal("a source that was to exit with %d ended with status %#x",
		      code, status);
}

void source_kill(struct source *source)
{
	kill(source->pid, SIGKILL);
	source_reap(source);
}

int source_exec(struct source *source, const char *path, char *const argv[])
{
	struct order order = { .op = OP_EXEC };
	size_t used = strlen(path) + 1, length;

	memcpy(order.data, path, used);
	for (; *argv; argv++, used += length) {
		length = strlen(*argv) + 1;
		if (used + length >= sizeof(order.data))
			fatal("too long a command line");
		memcpy(order.data + used, *argv, length);
	}
	send_order(source, &order, -1);
	/* The channel is close-on-exec: no answer is the good one. */
	return take_answer(source).result == -EPIPE ? 0 : -ENOEXEC;
}

static struct source *fork_by(struct source *source, enum op op)
{
	struct order order = { .op = op };
	struct source *child;
	int pair[2];

	channel_pair(pair);
	child = source_new(pair[0]);
	child->pid = ask(source, &order, pair[1]).result;
	if (child->pid < 0)
		fatal("a source cannot fork: %s", strerror(-child->pid));
	close(pair[1]);
	return child;
}

struct source *source_fork(struct source *source)
{
	return fork_by(source, OP_FORK);
}

struct source *source_fork_sharing_memory(struct source *source)
{
	return fork_by(source, OP_FORK_SHARING);
}

void source_syscall_begin(struct source *source, long nr, const long args[6])
{
	struct order order = { .op = OP_SYSCALL, .nr = nr };

	memcpy(order.args, args, sizeof(order.args));
	send_order(source, &order, -1);
}

long source_syscall_array(struct source *source, long nr, const long args[6])
{
	struct order order = { .op = OP_SYSCALL, .nr = nr };

	memcpy(order.args, args, sizeof(order.args));
	return ask(source, &order, -1).result;
}

int source_take_fd(struct source *source, int fd)
{
	struct order order = { .op = OP_TAKE_FD };

	return ask(source, &order, fd).result;
}

int source_try_load(struct source *source, uint64_t address, uint64_t *value)
{
	struct order order = { .op = OP_LOAD, .args = { address } };
	struct answer answer = ask(source, &order, -1);

	*value = answer.value;
	return answer.result;
}

int source_try_store(struct source *source, uint64_t address, uint64_t value)
{
	struct order order = { .op = OP_STORE, .args = { address, value } };

	return ask(source, &order, -1).result;
}

uint64_t source_load(struct source *source, uint64_t address)
{
	uint64_t value;
	int raised = source_try_load(source, address, &value);

	if (raised)
		fatal("the source's load of %#" PRIx64 " raised signal %d",
		      address, raised);
	return value;
}

void source_store(struct source *source, uint64_t address, uint64_t value)
{
	int raised = source_try_store(source, address, value);

	if (raised)
		fatal("the source's store to %#" PRIx64 " raised signal %d",
		      address, raised);
}

void source_load_begin(struct source *source, uint64_t address)
{
	struct order order = { .op = OP_LOAD, .args = { address } };

	send_order(source, &order, -1);
}

void source_store_begin(struct source *source, uint64_t address, uint64_t value)
{
	struct order order = { .op = OP_STORE, .args = { address, value } };

	send_order(source, &order, -1);
}

static struct order call_order(source_function *function, const void *arg,
			       size_t size)
{
	struct order order = { .op = OP_CALL, .function = function };

	if (size > sizeof(order.data))
		fatal("too large an argument for a call");
	if (size)
		memcpy(order.data, arg, size);
	return order;
}

void source_call_begin(struct source *source, source_function *function,
		       const void *arg, size_t size)
{
	struct order order = call_order(function, arg, size);

	send_order(source, &order, -1);
}

long source_call(struct source *source, source_function *function,
		 const void *arg, size_t size)
{
	struct order order = call_order(function, arg, size);

	return ask(source, &order, -1).result;
}

long source_finish(struct source *source)
{
	return take_answer(source).result;
}

/* ---- the source: its memory -------------------------------------------------- */

uint64_t source_mmap(struct source *source, uint64_t address, size_t size,
		     int prot, int flags, int fd, uint64_t offset)
{
	long result = source_syscall(source, SYS_mmap, address, size, prot,
				     flags, fd, offset);

	if (result < 0 && result > -4096)
		fatal("mmap of %zu bytes in the source: %s", size,
		      strerror(-result));
	return result;
}

uint64_t source_anon(struct source *source, size_t size, int flags)
{
	return source_mmap(source, 0, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

uint64_t source_anon_aligned(struct source *source, size_t size)
{
	uint64_t area = source_anon(source, size + PMD_SIZE, 0);
	uint64_t aligned = (area + PMD_SIZE - 1) & ~(PMD_SIZE - 1);

	if (aligned > area)
		source_munmap(source, area, aligned - area);
	if (aligned < area + PMD_SIZE)
		source_munmap(source, aligned + size,
			      area + PMD_SIZE - aligned);
	return aligned;
}

void source_munmap(struct source *source, uint64_t address, size_t size)
{
	long result = source_syscall(source, SYS_munmap, address, size);

	if (result)
		fatal("munmap in the source: %s", strerror(-result));
}

void source_mprotect(struct source *source, uint64_t address, size_t size,
		     int prot)
{
	long result = source_syscall(source, SYS_mprotect, address, size, prot);

	if (result)
		fatal("mprotect in the source: %s", strerror(-result));
}

int source_madvise(struct source *source, uint64_t address, size_t size,
		   int advice)
{
	return source_syscall(source, SYS_madvise, address, size, advice);
}

/* Odd factors keep pages and seeds apart. */
uint64_t pattern(uint64_t seed, size_t page)
{
	return (seed + 1) * 0x9e3779b97f4a7c15ULL +
	       page * 0xbf58476d1ce4e5b9ULL;
}

struct range {
	uint64_t address;
	size_t size;
	uint64_t seed;
};

#define PAGE_WORDS (PAGE_SIZE / sizeof(uint64_t))

static long fill(void *arg)
{
	struct range *range = arg;
	uint64_t *word = (uint64_t *)range->address;
	size_t page, i;

	for (page = 0; page < range->size / PAGE_SIZE; page++)
		for (i = 0; i < PAGE_WORDS; i++)
			*word++ = pattern(range->seed, page);
	return 0;
}

void source_fill(struct source *source, uint64_t address, size_t size,
		 uint64_t seed)
{
	struct range range = { address, size, seed };

	source_call(source, fill, &range, sizeof(range));
}

static bool page_is(const volatile uint64_t *word, uint64_t wanted)
{
	uint64_t seen;
	size_t i;

	for (i = 0; i < PAGE_WORDS; i++)
		if (touch_read(word + i, &seen) || seen != wanted)
			return false;
	return true;
}

long pattern_differs(const volatile void *at, size_t size, uint64_t seed)
{
	const volatile uint64_t *word = at;
	size_t page;

	for (page = 0; page < size / PAGE_SIZE; page++)
		if (!page_is(word + page * PAGE_WORDS, pattern(seed, page)))
			return page;
	return -1;
}

static long range_differs(void *arg)
{
	struct range *range = arg;

	/* -1 would look like an error, -EPERM, to nobody: it is no system call. */
	return pattern_differs((void *)range->address, range->size,
			       range->seed);
}

long source_pattern_differs(struct source *source, uint64_t address,
			    size_t size, uint64_t seed)
{
	struct range range = { address, size, seed };

	return source_call(source, range_differs, &range, sizeof(range));
}

/* ---- unmodified programs ----------------------------------------------------- */

pid_t program_start(const char *path, char *const argv[])
{
	pid_t parent = getpid(), pid;
	int input[2], null;

	if (pipe2(input, O_CLOEXEC))
		fatal("pipe: %m");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid = fork();
	if (pid < 0)
		fatal("fork: %m");
	if (!pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(126);
		dup2(input[0], STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		/* Nothing else but the writing end, which it keeps open itself. */
		fcntl(input[1], F_SETFD, 0);
		execv(path, argv);
		_exit(127);
	}
	close(null);
	close(input[0]);
	close(input[1]);
	return pid;
}

void program_end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

bool mapping_find(pid_t pid, const char *name, uint64_t *start, uint64_t *end,
		  char perms[5])
{
	char path[32], line[512];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, name) &&
			sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", start, end,
			       perms) == 3;
	fclose(file);
	return found;
}

/* ---- what the kernel says ---------------------------------------------------- */

static void process_path(char *path, size_t size, pid_t pid, const char *name)
{
	if (pid)
		snprintf(path, size, "/proc/%d/%s", pid, name);
	else
		snprintf(path, size, "/proc/self/%s", name);
}

static bool line_value(const char *line, const char *key, uint64_t *value)
{
	size_t length = strlen(key);

	if (strncmp(line, key, length) || line[length] != ':')
		return false;
	*value = strtoull(line + length + 1, NULL, 10);
	return true;
}

uint64_t process_status(pid_t pid, const char *key)
{
	char path[40], line[256];
	bool found = false;
	uint64_t value;
	FILE *file;

	process_path(path, sizeof(path), pid, "status");
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	while (!found && fgets(line, sizeof(line), file))
		found = line_value(line, key, &value);
	fclose(file);
	if (!found)
		fatal("%s has no %s", path, key);
	return value;
}

uint64_t smaps(pid_t pid, uint64_t address, const char *key)
{
	bool inside = false, found = false;
	uint64_t start, end, value;
	char path[40], line[512];
	FILE *file;

	process_path(path, sizeof(path), pid, "smaps");
	file = fopen(path, "re");
	if (!file)
		fatal("%s: %m", path);
	while (!found && fgets(line, sizeof(line), file)) {
		/* Keys begin with a capital letter, ranges with a small hex digit. */
		if (!isupper(line[0]) &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			inside = start <= address && address < end;
		else if (inside)
			found = line_value(line, key, &value);
	}
	fclose(file);
	if (!found)
		fatal("%s has no %s at %#" PRIx64, path, key, address);
	return value;
}

uint64_t minor_faults(pid_t pid)
{
	char path[40], text[1024];
	uint64_t faults;
	const char *at;
	ssize_t got;
	int fd;

	process_path(path, sizeof(path), pid, "stat");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got < 0)
		fatal("%s: %m", path);
	close(fd);
	text[got] = '\0';
	/* The program's name may hold anything; the last ) ends it. */
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %" SCNu64,
			  &faults) != 1)
		fatal("%s cannot be read", path);
	return faults;
}

static uint64_t word_at(const char *path, uint64_t index)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t word;

	if (fd < 0)
		fatal("%s: %m", path);
	if (pread(fd, &word, sizeof(word), index * sizeof(word)) !=
	    (ssize_t)sizeof(word))
		fatal("%s: word %" PRIu64 " cannot be read", path, index);
	close(fd);
	return word;
}

uint64_t pagemap(pid_t pid, uint64_t address)
{
	char path[40];

	process_path(path, sizeof(path), pid, "pagemap");
	return word_at(path, address / PAGE_SIZE);
}

uint64_t frame(pid_t pid, uint64_t address)
{
	uint64_t entry = pagemap(pid, address);

	return (entry & PAGEMAP_PRESENT) ? entry & ((1ULL << 55) - 1) : 0;
}

static uint64_t must_have_frame(pid_t pid, uint64_t address)
{
	uint64_t pfn = frame(pid, address);

	if (!pfn)
		fatal("no page at %#" PRIx64 " of process %d", address, pid);
	return pfn;
}

uint64_t page_mapcount(pid_t pid, uint64_t address)
{
	return word_at("/proc/kpagecount", must_have_frame(pid, address));
}

uint64_t page_flags(pid_t pid, uint64_t address)
{
	return word_at("/proc/kpageflags", must_have_frame(pid, address));
}

int text_write(const char *path, const char *text)
{
	ssize_t length = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, length) != length)
		error = -errno;
	close(fd);
	return error;
}

void text_must_write(const char *path, const char *format, ...)
{
	va_list arguments;
	char text[256];
	int error;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	error = text_write(path, text);
	if (error)
		fatal("%s does not take '%s': %s", path, text,
		      strerror(-error));
}

uint64_t number_read(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t number;

	if (!file)
		fatal("%s: %m", path);
	if (fscanf(file, "%" SCNu64, &number) != 1)
		fatal("%s holds no number", path);
	fclose(file);
	return number;
}

long slab_objects(const char *cache)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	if (text_write(path, "1"))
		return 0;
	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/objects", cache);
	return number_read(path);
}

bool numa_balancing_set(bool on)
{
	static const char *const knob = "/proc/sys/kernel/numa_balancing";

	if (access(knob, F_OK))
		return false;
	if (number_read(knob) != on)
		text_must_write(knob, "%d", on);
	return true;
}

/* ---- what the kernel can be made to do ---------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

unsigned int slower(void)
{
	const char *factor = getenv("TEST_PATIENCE");

	return factor ? strtoul(factor, NULL, 10) : 1;
}

unsigned int patience(unsigned int seconds)
{
	/* An emulated machine stands for a minute or two now and then (see
	 * test/vm/run), and its clock goes on.
	 */
	return seconds * 8 * slower();
}

int repeated(int times)
{
	return (times - 1) / (int)slower() + 1;
}

struct deadline deadline_in(unsigned int seconds)
{
	return (struct deadline){ now_ns() + seconds * 1000000000ULL };
}

bool deadline_passed(const struct deadline *deadline)
{
	return now_ns() > deadline->ns;
}

void deadline_nap(void)
{
	struct timespec nap = { .tv_nsec = 1000000 };

	nanosleep(&nap, NULL);
}

/* Run a program to its end; its exit status */
static int run(const char *const argv[])
{
	pid_t pid = fork();
	int status, null;

	if (pid < 0)
		fatal("fork: %m");
	if (!pid) {
		/* Standard output is for TAP alone. */
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fatal("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

const char *ram_disk(int number)
{
	static char path[16];

	snprintf(path, sizeof(path), "/dev/ram%d", number);
	if (access(path, F_OK) &&
	    RUN("modprobe", "brd", "rd_nr=4", "rd_size=393216"))
		fatal("no RAM disks: modprobe brd failed");
	WAIT_FOR(!access(path, F_OK));
	return path;
}

void swap_on(void)
{
	const char *disk = ram_disk(0);

	/* It may still be on, from a test that was cut short. */
	swapoff(disk);
	if (RUN("mkswap", disk))
		fatal("mkswap %s failed", disk);
	if (swapon(disk, 0))
		fatal("swapon %s: %m", disk);
}

void swap_off(void)
{
	swapoff(ram_disk(0));
}

uint64_t swap_used(void)
{
	FILE *file = fopen("/proc/swaps", "re");
	uint64_t used = 0, kib;
	char line[256];

	if (!file)
		fatal("/proc/swaps: %m");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s %*s %*u %" SCNu64, &kib) == 1)
			used += kib * 1024;
	fclose(file);
	return used;
}

bool all_swapped(struct source *source, uint64_t address, size_t size)
{
	uint64_t at;

	for (at = address; at < address + size; at += PAGE_SIZE)
		if (!(pagemap(source->pid, at) & PAGEMAP_SWAPPED))
			return false;
	return true;
}

bool page_out(struct source *source, uint64_t address, size_t size)
{
	int turn, error;

	for (turn = 0; turn < 20; turn++) {
		error = source_madvise(source, address, size, MADV_PAGEOUT);
		if (error)
			fatal("MADV_PAGEOUT: %s", strerror(-error));
		if (all_swapped(source, address, size))
			return true;
		lru_drain();
	}
	return false;
}

#define DISK_FOLDER "/tmp/disk"

/* What mke2fs of busybox makes ext4 mounts, but new files have no extents (and
 * cannot be punched) unless the superblock says so.
 */
static void ext4_use_extents(const char *disk)
{
	const off_t feature_incompat = 1024 + 0x60;
	int fd = open(disk, O_RDWR | O_CLOEXEC);
	uint32_t features;

	if (pread(fd, &features, 4, feature_incompat) != 4)
		fatal("%s: %m", disk);
	features |= 0x40;
	if (pwrite(fd, &features, 4, feature_incompat) != 4)
		fatal("%s: %m", disk);
	close(fd);
}

const char *disk_mount(const char *type)
{
	const char *disk = ram_disk(1);

	disk_unmount();
	RUN("modprobe", type);
	if (!strcmp(type, "ext4")) {
		if (RUN("mke2fs", "-b", "4096", disk))
			return NULL;
		ext4_use_extents(disk);
	} else if (RUN("mkfs.xfs", "-q", "-f", disk)) {
		return NULL;
	}
	if (mkdir(DISK_FOLDER, 0755) && errno != EEXIST)
		fatal("mkdir " DISK_FOLDER ": %m");
	if (mount(disk, DISK_FOLDER, type, 0, NULL))
		return NULL;
	return DISK_FOLDER;
}

const char *dax_mount(void)
{
	const char *disk = "/dev/pmem0";

	RUN("modprobe", "nd_e820");
	RUN("modprobe", "nd_pmem");
	RUN("modprobe", "ext4");
	if (access(disk, F_OK) || RUN("mke2fs", "-b", "4096", disk))
		return NULL;
	disk_unmount();
	if (mkdir(DISK_FOLDER, 0755) && errno != EEXIST)
		fatal("mkdir " DISK_FOLDER ": %m");
	return mount(disk, DISK_FOLDER, "ext4", 0, "dax=always") ? NULL :
								   DISK_FOLDER;
}

void disk_unmount(void)
{
	umount2(DISK_FOLDER, MNT_DETACH);
}

void drop_caches(void)
{
	text_must_write("/proc/sys/vm/drop_caches", "1");
}

void lru_drain(void)
{
	const unsigned long node = 1;

	/* From a node to itself: nothing moves, but the lists are emptied. */
	if (syscall(SYS_migrate_pages, 0, 2, &node, &node) < 0)
		fatal("migrate_pages: %m");
}

void compact_memory(void)
{
	text_must_write("/proc/sys/vm/compact_memory", "1");
}

#define KSM "/sys/kernel/mm/ksm/"

void ksm_run(void)
{
	uint64_t before;

	text_must_write(KSM "sleep_millisecs", "0");
	text_must_write(KSM "pages_to_scan", "10000");
	before = number_read(KSM "full_scans");
	text_must_write(KSM "run", "1");
	/* The scan that is under way, one that notes checksums, one that merges */
	WAIT_FOR(number_read(KSM "full_scans") >= before + 4);
}

void ksm_stop(void)
{
	text_must_write(KSM "run", "0");
}

bool hugetlb_reserve(unsigned int nr)
{
	int turn;

	for (turn = 0; turn < 10; turn++) {
		text_must_write("/proc/sys/vm/nr_hugepages", "%u", nr);
		if (number_read("/proc/sys/vm/nr_hugepages") >= nr)
			return true;
		compact_memory();
	}
	return false;
}

int collapse(struct source *source, uint64_t address, size_t size)
{
	return source_madvise(source, address, size, MADV_COLLAPSE);
}

bool is_huge(struct source *source, uint64_t address)
{
	return smaps(source->pid, address, "AnonHugePages") > 0;
}

void split_huge_pages(pid_t pid, uint64_t address, size_t size)
{
	text_must_write("/sys/kernel/debug/split_huge_pages",
			"%d,0x%" PRIx64 ",0x%" PRIx64, pid, address,
			address + size);
}

unsigned int node_count(void)
{
	DIR *folder = opendir("/sys/devices/system/node");
	unsigned int count = 0, node;
	struct dirent *entry;

	if (!folder)
		return 1;
	while ((entry = readdir(folder)))
		count += sscanf(entry->d_name, "node%u", &node) == 1;
	closedir(folder);
	return count;
}

static int page_to_node(pid_t pid, uint64_t address, const int *node)
{
	void *page = (void *)address;
	int status = -ENOENT;
	long result;

	result = syscall(SYS_move_pages, (long)pid, 1L, &page, node, &status,
			 (long)MPOL_MF_MOVE_ALL);
	if (result < 0)
		return -errno;
	return status;
}

int node_of(pid_t pid, uint64_t address)
{
	return page_to_node(pid, address, NULL);
}

int node_move(pid_t pid, uint64_t address, int node)
{
	int status = page_to_node(pid, address, &node);

	if (status < 0)
		return status;
	return status == node ? 0 : -EBUSY;
}

#define CGROUP "/sys/fs/cgroup"

const char *cgroup_create(const char *name, pid_t pid, size_t limit_bytes)
{
	static char folder[128];
	char path[160];

	text_must_write(CGROUP "/cgroup.subtree_control", "+memory");
	snprintf(folder, sizeof(folder), CGROUP "/%s", name);
	if (mkdir(folder, 0755) && errno != EEXIST)
		fatal("mkdir %s: %m", folder);
	if (limit_bytes) {
		snprintf(path, sizeof(path), "%s/memory.max", folder);
		text_must_write(path, "%zu", limit_bytes);
	}
	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	text_must_write(path, "%d", pid);
	return folder;
}

void cgroup_reclaim(const char *name, size_t bytes)
{
	char path[128], text[32];
	int error;

	snprintf(path, sizeof(path), CGROUP "/%s/memory.reclaim", name);
	snprintf(text, sizeof(text), "%zu", bytes);
	error = text_write(path, text);
	/* EAGAIN: it could not all be had, which is for the test to judge. */
	if (error && error != -EAGAIN)
		fatal("%s: %s", path, strerror(-error));
}

void cgroup_remove(const char *name)
{
	char folder[128];

	snprintf(folder, sizeof(folder), CGROUP "/%s", name);
	/* A process that has just been reaped may still be leaving it. */
	WAIT_FOR(!rmdir(folder) || errno == ENOENT);
}
