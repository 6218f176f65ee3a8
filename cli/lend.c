// SPDX-License-Identifier: GPL-2.0
/*
 * remotemap lend: who gets the map file gets it after all views are there and
 * the context is locked, and gets nothing beside it: no ctrl file, no authority.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "signals.h"
#include "source.h"

#define LENT_FD 3 /* COMMAND's */
#define VARIABLE "REMOTEMAP_FD"

/* env(1)'s, for what is executed */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127

struct lend {
	struct remotemap_view *views;
	size_t view_count;
	const char *socket;
	const char *user; /* NULL: whoever calls */
	uid_t uid;
	gid_t gid;
	struct words words;
	pid_t pid;
	const char *qemu; /* a QMP socket: a guest is lent, or NULL */
	struct source guest;
};

enum { KEY_VIEW = 'v', KEY_SOCKET = 's', KEY_UID = 'u', KEY_QEMU = 0x100 };

/* ---- the command line ------------------------------------------------------ */

static bool flags_parse(char *text, unsigned int *flags)
{
	char *word, *rest;

	for (word = strtok_r(text, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		if (!strcmp(word, "ro"))
			*flags |= PIDFD_MEM_MAP_READONLY;
		else if (!strcmp(word, "resident"))
			*flags |= PIDFD_MEM_MAP_RESIDENT;
		else
			return false;
	}
	return true;
}

/* OFFSET=ADDR+SIZE[,ro][,resident] */
static bool view_parse(const char *text, struct remotemap_view *view)
{
	char *copy = strdup(text), *address, *size, *flags;
	bool good = false;

	if (!copy)
		return false;
	*view = (struct remotemap_view){ 0 };
	address = strchr(copy, '=');
	size = address ? strchr(address, '+') : NULL;
	if (!size)
		goto out;
	*address++ = '\0';
	*size++ = '\0';
	flags = strchr(size, ',');
	if (flags)
		*flags++ = '\0';
	good = number_parse(copy, &view->offset) &&
	       number_parse(address, &view->address) &&
	       number_parse(size, &view->size) &&
	       (!flags || flags_parse(flags, &view->flags));
out:
	free(copy);
	return good;
}

static void view_take(struct lend *lend, const char *text,
		      struct argp_state *state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct remotemap_view view, *views;

	if (!view_parse(text, &view))
		argp_error(state,
			   "a view is OFFSET=ADDR+SIZE[,ro][,resident], as 0=0x7f0000000000+64K,ro, not '%s'",
			   text);
	if ((view.offset | view.address | view.size) % page || !view.size)
		argp_error(state,
			   "view '%s': OFFSET, ADDR and SIZE are multiples of %" PRIu64
			   ", and SIZE is not 0",
			   text, page);
	views = realloc(lend->views, (lend->view_count + 1) * sizeof(view));
	if (!views)
		argp_failure(state, STATUS_SYSTEM, 0, "out of memory");
	lend->views = views;
	lend->views[lend->view_count++] = view;
}

static void end_check(const struct lend *lend, struct argp_state *state)
{
	int pid = !lend->qemu;

	if (lend->words.count < pid)
		argp_error(state, "whose memory is to be lent? PID is missing");
	if (!lend->view_count && !lend->qemu)
		argp_error(state,
			   "nothing is lent: it takes a --view at least");
	if (lend->socket && lend->words.count > pid)
		argp_error(state, "--socket and COMMAND exclude each other");
	if (!lend->socket && lend->words.count <= pid)
		argp_error(state,
			   "to whom? it takes -- COMMAND, or --socket PATH");
}

static error_t lend_option(int key, char *arg, struct argp_state *state)
{
	struct lend *lend = state->input;

	switch (key) {
	case KEY_VIEW:
		view_take(lend, arg, state);
		return 0;
	case KEY_SOCKET:
		lend->socket = arg;
		return 0;
	case KEY_UID:
		lend->user = arg;
		return 0;
	case KEY_QEMU:
		lend->qemu = arg;
		return 0;
	case ARGP_KEY_ARGS:
		words_take(&lend->words, state);
		return 0;
	case ARGP_KEY_END:
		end_check(lend, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "view", KEY_VIEW, "OFFSET=ADDR+SIZE[,ro][,resident]", 0,
	  "What is lent, and where in the map file; may be repeated", 0 },
	{ "qemu", KEY_QEMU, "SOCKET", 0,
	  "Instead of PID: the guest of the QEMU with that QMP socket: all of its memory, read-only, or views whose ADDR is guest-physical",
	  0 },
	{ "socket", KEY_SOCKET, "PATH", 0,
	  "Serve it there, until the process ends", 0 },
	{ "uid", KEY_UID, "USER", 0,
	  "The one user that is served, or that COMMAND runs as: a name or number; else the caller",
	  0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = lend_option,
	.args_doc = "PID --view VIEW... -- COMMAND [ARGUMENT]...\n"
		    "PID --view VIEW... --socket PATH [--uid USER]\n"
		    "--qemu SOCKET [--view VIEW]... -- COMMAND [ARGUMENT]...",
	.doc =
		"Give some of a process's memory to a program or a user who needs no right to all of it.\v"
		"COMMAND gets the map file as descriptor 3, which " VARIABLE
		" names in its environment, "
		"and no other beyond 2. If all views are ro, it can only be read.\n\n"
		"Examples:\n"
		"  remotemap lend 4711 --view 0=0x7f0012340000+64K,ro --uid nobody -- ./analyser\n"
		"  remotemap lend 4711 --view 0=0x7f0012340000+64K,ro -- remotemap read - 0x7f0012340000 64\n"
		"  remotemap lend --qemu /run/vm/qmp --uid nobody -- ./analyser",
};

/* ---- the context ----------------------------------------------------------- */

static enum status user_find(struct lend *lend)
{
	struct passwd *entry = NULL;
	uint64_t number;

	lend->uid = geteuid();
	lend->gid = getegid();
	if (!lend->user)
		return STATUS_OK;
	if (number_parse(lend->user, &number) && number < UINT32_MAX) {
		lend->uid = (uid_t)number;
		lend->gid = (gid_t)number;
		entry = getpwuid(lend->uid);
	} else {
		entry = getpwnam(lend->user);
		if (!entry)
			return fail(STATUS_USAGE, "there is no user '%s'",
				    lend->user);
		lend->uid = entry->pw_uid;
	}
	if (entry)
		lend->gid = entry->pw_gid;
	return STATUS_OK;
}

static enum status view_add(struct remotemap *handle,
			    const struct remotemap_view *view)
{
	int error = remotemap_add(handle, view->offset, view->address,
				  view->size, view->flags);

	if (error == -EALREADY)
		return fail(STATUS_USAGE,
			    "view at offset 0x%" PRIx64 ": it overlaps another",
			    view->offset);
	if (error == -EINVAL)
		return fail(STATUS_USAGE,
			    "view at offset 0x%" PRIx64
			    ": it goes beyond the addresses that a process can have",
			    view->offset);
	if (error < 0)
		return fail_source("view", error);
	return STATUS_OK;
}

/* The part of a view that is in that range of the guest */
static enum status part_add(struct remotemap *handle,
			    const struct remotemap_view *view,
			    const struct remotemap_qemu_range *range,
			    uint64_t *covered)
{
	uint64_t start = range->address, end = range->address + range->size;
	struct remotemap_view part = *view;

	if (start < view->address)
		start = view->address;
	if (end > view->address + view->size)
		end = view->address + view->size;
	if (start >= end || !(range->flags & REMOTEMAP_QEMU_SHOWN))
		return STATUS_OK;
	part.offset = view->offset + (start - view->address);
	part.address = range->host + (start - range->address);
	part.size = end - start;
	*covered += part.size;
	return view_add(handle, &part);
}

static enum status guest_view_add(const struct source *guest,
				  const struct remotemap_view *view)
{
	enum status status = STATUS_OK;
	uint64_t covered = 0;

	if (view->address + view->size < view->address)
		return fail(STATUS_USAGE, "view 0x%" PRIx64
			    ": it goes beyond all addresses", view->address);
	for (ssize_t i = 0; i < guest->range_count && !status; i++)
		status = part_add(guest->handle, view, &guest->ranges[i],
				  &covered);
	if (!status && covered != view->size)
		status = fail(STATUS_USAGE,
			      "view 0x%" PRIx64 ": of its %s the guest has %s as memory: see remotemap info --qemu",
			      view->address, size_text(view->size),
			      size_text(covered));
	return status;
}

/* Views of the whole guest make way for those that were asked for. */
static enum status guest_views_cut(const struct lend *lend)
{
	struct remotemap *handle = lend->guest.handle;
	enum status status = STATUS_OK;
	struct remotemap_view *views;
	ssize_t count = remotemap_views(handle, &views);
	int error = count < 0 ? (int)count : 0;

	for (ssize_t i = 0; i < count && !error; i++)
		error = remotemap_remove(handle, views[i].offset,
					 views[i].size);
	if (count > 0)
		free(views);
	if (error)
		return fail_source("views", error);
	for (size_t i = 0; i < lend->view_count && !status; i++)
		status = guest_view_add(&lend->guest, &lend->views[i]);
	return status;
}

static enum status guest_context_open(struct lend *lend,
				      struct remotemap **handle)
{
	unsigned int flags = REMOTEMAP_QEMU_ALL | REMOTEMAP_QEMU_UNLOCKED;
	enum status status;
	int error;

	for (size_t i = 0; i < lend->view_count; i++)
		if (!(lend->views[i].flags & PIDFD_MEM_MAP_READONLY))
			flags |= REMOTEMAP_QEMU_WRITE;
	status = guest_open(lend->qemu, flags, &lend->guest);
	if (status)
		return status;
	lend->pid = lend->guest.pid;
	*handle = lend->guest.handle;
	if (lend->view_count)
		status = guest_views_cut(lend);
	error = status ? 0 : remotemap_lock(*handle);
	if (error < 0)
		status = fail_source("lock", error);
	if (status)
		source_close(&lend->guest);
	return status;
}

static enum status context_open(const struct lend *lend,
				struct remotemap **handle)
{
	struct remotemap_open_options options = { .size = sizeof(options) };
	enum status status = STATUS_OK;
	int error;

	for (size_t i = 0; i < lend->view_count; i++)
		if (!(lend->views[i].flags & PIDFD_MEM_MAP_READONLY))
			options.flags = REMOTEMAP_WRITE;
	error = remotemap_open_pid(lend->pid, &options, handle);
	if (error < 0)
		return fail_open(lend->pid, error);
	for (size_t i = 0; i < lend->view_count && !status; i++)
		status = view_add(*handle, &lend->views[i]);
	if (!status) {
		error = remotemap_lock(*handle);
		if (error < 0)
			status = fail_source("lock", error);
	}
	if (status)
		remotemap_close(*handle);
	return status;
}

/* ---- to a command ---------------------------------------------------------- */

static enum status user_become(const struct lend *lend)
{
	if (!lend->user || (lend->uid == getuid() && lend->uid == geteuid()))
		return STATUS_OK;
	if (setgroups(0, NULL) || setresgid(lend->gid, lend->gid, lend->gid) ||
	    setresuid(lend->uid, lend->uid, lend->uid))
		return fail(STATUS_REFUSED,
			    "to run it as uid %u: %s: be root (sudo)",
			    lend->uid, strerror(errno));
	return STATUS_OK;
}

/* The map file becomes LENT_FD, the only one beyond standard error. */
static enum status descriptors_cut(const struct remotemap *handle)
{
	int fd = remotemap_map_fd(handle);
	int done;

	if (fd == LENT_FD)
		done = fcntl(fd, F_SETFD, 0);
	else
		done = dup2(fd, LENT_FD);
	if (done < 0 || close_range(LENT_FD + 1, ~0U, 0))
		return fail(STATUS_SYSTEM, "descriptors: %s", strerror(errno));
	return STATUS_OK;
}

/* This process becomes COMMAND: its exit status and its signals are its own. */
static int command_run(const struct lend *lend, const struct remotemap *handle)
{
	char **command = lend->words.word + !lend->qemu;
	char number[12];
	enum status status;
	int error;

	status = descriptors_cut(handle);
	if (!status)
		status = user_become(lend);
	if (status)
		return status;
	snprintf(number, sizeof(number), "%d", LENT_FD);
	if (setenv(VARIABLE, number, 1))
		return fail(STATUS_SYSTEM, "environment: %s", strerror(errno));
	execvp(command[0], command);
	error = errno;
	complain("%s: %s", command[0], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* ---- to a user ------------------------------------------------------------- */

/*
 * The socket belongs to whom it serves, if we may give it away; else everybody
 * may knock, and peer_serve() decides. By descriptor: what the path names may
 * have been changed by somebody.
 */
static int socket_give(const struct lend *lend)
{
	int fd = open(lend->socket, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[64];
	struct stat status;
	int error = 0;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &status))
		error = -errno;
	else if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
		error = -EEXIST;
	else if (fchownat(fd, "", lend->uid, (gid_t)-1, AT_EMPTY_PATH) &&
		 chmod(path, 0666))
		error = -errno;
	close(fd);
	return error;
}

static enum status fail_socket(const struct lend *lend, int error)
{
	if (error == EADDRINUSE)
		return fail(STATUS_IO,
			    "%s: it is there already: take another, or remove it if nobody serves it",
			    lend->socket);
	return fail(STATUS_IO, "%s: %s", lend->socket, strerror(error));
}

static enum status socket_open(const struct lend *lend, int *fd)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	mode_t mask;
	int error;

	if (strlen(lend->socket) >= sizeof(name.sun_path))
		return fail(STATUS_USAGE,
			    "%s: a socket's path has at most %zu characters",
			    lend->socket, sizeof(name.sun_path) - 1);
	strcpy(name.sun_path, lend->socket);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return fail(STATUS_SYSTEM, "socket: %s", strerror(errno));
	mask = umask(0177);
	error = bind(*fd, (struct sockaddr *)&name, sizeof(name)) ? errno : 0;
	umask(mask);
	if (error) {
		close(*fd);
		return fail_socket(lend, error);
	}
	if (lend->uid != geteuid())
		error = -socket_give(lend);
	if (!error && listen(*fd, 16))
		error = errno;
	if (!error)
		return STATUS_OK;
	unlink(lend->socket);
	close(*fd);
	return fail_socket(lend, error);
}

static void peer_serve(const struct lend *lend, const struct remotemap *handle,
		       int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int error = 0;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		complain("a peer: %s", strerror(errno));
	else if (peer.uid != lend->uid)
		complain("refused: process %d of uid %u", peer.pid, peer.uid);
	else
		error = remotemap_send(fd, handle);
	if (error < 0)
		complain("process %d: %s", peer.pid, strerror(-error));
	close(fd);
}

static enum status serve(const struct lend *lend,
			 const struct remotemap *handle, int listener)
{
	struct pollfd wait[] = {
		{ .fd = listener, .events = POLLIN },
		{ .fd = remotemap_map_fd(handle) },
		{ .fd = signals_fd(), .events = POLLIN },
	};

	for (;;) {
		if (poll(wait, 3, -1) < 0 && errno != EINTR)
			return fail(STATUS_SYSTEM, "poll: %s", strerror(errno));
		if (signals_caught())
			return (enum status)signals_status();
		if (wait[1].revents & POLLHUP)
			return fail(STATUS_ENDED, "process %d has ended",
				    lend->pid);
		if (wait[0].revents)
			peer_serve(lend, handle, listener);
	}
}

static enum status socket_serve(const struct lend *lend,
				const struct remotemap *handle)
{
	enum status status;
	int fd = -1;

	signals_catch();
	status = socket_open(lend, &fd);
	if (status)
		return status;
	status = serve(lend, handle, fd);
	unlink(lend->socket);
	close(fd);
	return status;
}

int command_lend(int argc, char **argv)
{
	struct lend lend = { 0 };
	struct remotemap *handle;
	int status = STATUS_USAGE;

	if (command_parse(&argp, argc, argv, &lend) ||
	    (!lend.qemu && pid_take(lend.words.word[0], &lend.pid)) ||
	    user_find(&lend))
		goto out;
	if (lend.qemu)
		status = guest_context_open(&lend, &handle);
	else
		status = context_open(&lend, &handle);
	if (status)
		goto out;
	status = lend.socket ? (int)socket_serve(&lend, handle) :
			       command_run(&lend, handle);
	if (lend.qemu)
		source_close(&lend.guest);
	else
		remotemap_close(handle);
out:
	free(lend.views);
	return status;
}
