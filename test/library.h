/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of libremotemap's calls share. After harness.h.
 *
 * CALL() is how a test makes a call: whatever it returns, errno must be what it
 * was, and a call that is REFUSED() leaves no descriptor behind.
 */
#ifndef TEST_LIBRARY_H
#define TEST_LIBRARY_H

#include <fcntl.h>
#include <remotemap.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(...)                           \
	({                                  \
		long ret_;                  \
		errno = 4711;               \
		ret_ = (long)(__VA_ARGS__); \
		EXPECT_EQ(4711, errno)      \
		TH_LOG("%s", #__VA_ARGS__); \
		ret_;                       \
	})

#define REFUSED(error, ...)                            \
	do {                                           \
		int open_ = open_files();              \
		EXPECT_EQ(-(error), CALL(__VA_ARGS__)) \
		TH_LOG("%s", #__VA_ARGS__);            \
		EXPECT_EQ(open_, open_files())         \
		TH_LOG("%s", #__VA_ARGS__);            \
	} while (0)

static inline int open_files(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/*
 * In a child, so that the test keeps what the child gives up. An ASSERT_*()
 * would leave by the test's own exit: only EXPECT_*() there.
 */
#define IN_CHILD(...)                                             \
	do {                                                      \
		int status_;                                      \
		pid_t pid_ = fork();                              \
		if (!pid_) {                                      \
			__VA_ARGS__;                              \
			_exit(_metadata->exit_code == KSFT_FAIL); \
		}                                                 \
		ASSERT_EQ(pid_, waitpid(pid_, &status_, 0));      \
		EXPECT_EQ(0, status_);                            \
	} while (0)

/* A mount namespace of one's own, so that mounts can be covered. */
static inline int leave_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		return -1;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Ended, but not reaped: a zombie */
static inline void kill_and_keep(pid_t pid)
{
	siginfo_t info;

	kill(pid, SIGKILL);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
}

/* No memory is left to malloc(), as far as this process is concerned. */
static inline void exhaust_memory(void)
{
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = 0 };
	size_t size;

	setrlimit(RLIMIT_AS, &limit);
	for (size = 1UL << 20; size >= 8; size /= 2)
		/* cppcheck-suppress leakNoVarFunctionCall; that is what it is for */
		while (malloc(size))
			;
}

/* ---- a source with a handle on it ---------------------------------------- */

static inline struct remotemap *handle_open(pid_t pid, unsigned int flags)
{
	struct remotemap_open_options options = {
		.size = sizeof(options),
		.flags = flags,
	};
	struct remotemap *handle;
	int err = remotemap_open_pid(pid, &options, &handle);

	if (err)
		fatal("remotemap_open_pid: %s", strerror(-err));
	return handle;
}

/* The same with one view at offset 0 */
static inline struct remotemap *handle_of(pid_t pid, uint64_t address,
					  size_t size, unsigned int flags,
					  unsigned int view_flags)
{
	struct remotemap *handle = handle_open(pid, flags);
	int err = remotemap_add(handle, 0, address, size, view_flags);

	if (err)
		fatal("remotemap_add: %s", strerror(-err));
	return handle;
}

static inline char *handle_map(const struct remotemap *handle, uint64_t offset,
			       size_t length, unsigned int flags)
{
	struct remotemap_map_options options = {
		.size = sizeof(options),
		.flags = flags,
	};
	void *mirror;
	int err = remotemap_map(handle, offset, length, &options, &mirror);

	if (err)
		fatal("remotemap_map: %s", strerror(-err));
	return mirror;
}

static inline struct remotemap_stat handle_stat(const struct remotemap *handle)
{
	struct remotemap_stat stat = { .size = sizeof(stat) };
	int err = remotemap_stat(handle, &stat);

	if (err)
		fatal("remotemap_stat: %s", strerror(-err));
	return stat;
}

#endif /* TEST_LIBRARY_H */
