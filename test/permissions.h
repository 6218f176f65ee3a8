/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Users, and who may see whose memory: for test_permissions and test_yama3.
 *
 * The module's promise is to say what opening /proc/PID/mem says. So the tests
 * ask both, as whoever they are about, and compare.
 */
#ifndef TEST_PERMISSIONS_H
#define TEST_PERMISSIONS_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define USER 1000
#define NOBODY 65534

/* What a process of its own may come to beside an errno */
#define DISAGREE 200
#define BROKEN 201

/* Become that user, for good, as a login would: an ordinary process. */
static inline void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
	    setresuid(uid, uid, uid))
		fatal("cannot become user %d: %m", uid);
	/* A change of user leaves a process undumpable. */
	if (prctl(PR_SET_DUMPABLE, 1))
		fatal("prctl: %m");
}

/* Run function as that user in a process of its own: what it returned. A
 * signal is BROKEN.
 */
static inline int as(uid_t uid, int (*function)(void *), void *argument)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		become(uid);
		_exit(function(argument));
	}
	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

/* The source's own part of become() */
static inline long become_in_source(void *argument)
{
	become(*(uid_t *)argument);
	return 0;
}

static inline struct source *source_of(uid_t uid)
{
	struct source *source = source_start();

	source_call(source, become_in_source, &uid, sizeof(uid));
	return source;
}

/* What the kernel answers: 0 or an errno */
static inline int ask_kernel(pid_t pid, int oflags)
{
	int fd = mem_open(pid, oflags);

	if (fd < 0)
		return -fd;
	close(fd);
	return 0;
}

/* What the module answers */
static inline int ask_module(pid_t pid, int oflags)
{
	int fd = device_open(oflags);
	int error;

	if (fd < 0)
		return -fd;
	error = ioctl(fd, REMOTE_PROC_MAP, pid) ? errno : 0;
	close(fd);
	return error;
}

/* Both, for reading and for writing: their answer, or DISAGREE */
static inline int ask(pid_t pid)
{
	static const int oflags[] = { O_RDONLY, O_RDWR };
	int answer = 0, i;

	for (i = 0; i < 2; i++) {
		int kernel = ask_kernel(pid, oflags[i]);
		int module = ask_module(pid, oflags[i]);

		if (kernel != module) {
			fprintf(stderr, "# /proc/PID/mem: %s; the module: %s\n",
				strerror(kernel), strerror(module));
			return DISAGREE;
		}
		answer = kernel;
	}
	return answer;
}

static inline int ask_there(void *argument)
{
	return ask(*(pid_t *)argument);
}

static inline int ask_as(uid_t uid, pid_t pid)
{
	return as(uid, ask_there, &pid);
}

#define YAMA "/proc/sys/kernel/yama/ptrace_scope"

static inline bool has_yama(void)
{
	return !access(YAMA, F_OK);
}

static inline void yama_set(int scope)
{
	text_must_write(YAMA, "%d", scope);
}

static inline int send_fd(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(channel, &message, 0) == 1 ? 0 : -errno;
}

static inline int receive_fd(int channel)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    !CMSG_FIRSTHDR(&message))
		return -EIO;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* ---- a source that lends itself ------------------------------------------------ */

struct lent {
	int channel;
	uint64_t memory;
	size_t size;
};

/* In the source: show one range, for reading, to whoever is at the other end. */
static inline long lend(void *argument)
{
	struct lent *lent = argument;
	int ctrl, map, error;

	error = context_open(getpid(), O_RDONLY, 0, &ctrl, &map);
	if (!error)
		error = view_add(ctrl, lent->memory, 0, lent->size, 0);
	if (!error)
		error = context_lock(ctrl);
	if (!error)
		error = send_fd(lent->channel, map);
	if (!error) {
		close(ctrl);
		close(map);
	}
	return error;
}

struct borrower {
	int channel;
	size_t size;
	uint64_t seed;
	pid_t source;
};

/* 0, or which promise does not hold */
static inline int borrow(void *argument)
{
	struct borrower *borrower = argument;
	int map = receive_fd(borrower->channel);
	char *at;

	if (map < 0)
		return 1;
	at = mmap(NULL, borrower->size, PROT_READ, MAP_SHARED, map, 0);
	if (at == MAP_FAILED ||
	    pattern_differs(at, borrower->size, borrower->seed) != -1)
		return 2;
	/* That, and nothing else of the source */
	if (mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, map, borrower->size) !=
	    MAP_FAILED)
		return 3;
	if (mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0) !=
	    MAP_FAILED)
		return 4;
	if (view_add(map, 0, borrower->size, PAGE_SIZE, 0) != -ENOTTY)
		return 5;
	if (ask(borrower->source) != EACCES)
		return 6;
	return 0;
}

/* The source lends its memory to nobody, who may not see it otherwise. */
static inline int lend_to_nobody(struct source *source, uint64_t memory, size_t size,
			  uint64_t seed)
{
	struct borrower borrower = { .size = size,
				     .seed = seed,
				     .source = source->pid };
	struct lent lent = { .memory = memory, .size = size };
	int channel[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel))
		fatal("socketpair: %m");
	lent.channel = source_take_fd(source, channel[0]);
	borrower.channel = channel[1];
	error = source_call(source, lend, &lent, sizeof(lent));
	if (error)
		fatal("a process cannot lend itself: %s", strerror(-error));
	error = as(NOBODY, borrow, &borrower);
	close(channel[0]);
	close(channel[1]);
	return error;
}

#endif /* TEST_PERMISSIONS_H */
