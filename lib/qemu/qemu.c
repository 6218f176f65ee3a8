// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A guest. Invariant: the views of its context are those of its layout, but while
 * remotemap_qemu_sync() makes them so, and after it has failed, until it succeeds.
 */
#include "layout.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT 10000
#define PAGE 4096UL

struct remotemap_qemu {
	struct remotemap *handle;
	unsigned int flags;
	pthread_mutex_t lock; /* of what follows; outside of everything else */
	struct layout layout; /* SHOWN: there is that view */
	struct qmp qmp;	      /* its fd: -1 unless REMOTEMAP_QEMU_FOLLOW */
};

/* ---- options --------------------------------------------------------------- */

static int options_take(struct remotemap_qemu_options *to,
			const struct remotemap_qemu_options *from)
{
	const unsigned char *bytes = (const unsigned char *)from;

	*to = (struct remotemap_qemu_options){ .timeout = TIMEOUT };
	if (!from)
		return 0;
	if (from->size < sizeof(*to))
		return -EINVAL;
	for (size_t i = sizeof(*to); i < from->size; i++)
		if (bytes[i])
			return -E2BIG;
	to->flags = from->flags;
	if (from->timeout)
		to->timeout = from->timeout;
	if (to->timeout < 0 ||
	    to->flags & ~(REMOTEMAP_QEMU_WRITE | REMOTEMAP_QEMU_RESIDENT |
			  REMOTEMAP_QEMU_ALL | REMOTEMAP_QEMU_UNLOCKED |
			  REMOTEMAP_QEMU_FOLLOW))
		return -EINVAL;
	return 0;
}

/* ---- views ----------------------------------------------------------------- */

/* What of a range can be a view: whole pages, where both sides agree */
static bool view_make(const struct remotemap_qemu *qemu,
		      const struct layout_range *from,
		      struct remotemap_view *view)
{
	const struct remotemap_qemu_range *range = &from->range;
	uint64_t skip = -range->address % PAGE;

	*view = (struct remotemap_view){ 0 };
	if (from->hardware || range->size < skip + PAGE ||
	    (range->host - range->address) % PAGE)
		return false;
	if (range->kind != REMOTEMAP_QEMU_RAM &&
	    !(qemu->flags & REMOTEMAP_QEMU_ALL))
		return false;
	view->offset = range->address + skip;
	view->address = range->host + skip;
	view->size = (range->size - skip) / PAGE * PAGE;
	if (range->kind != REMOTEMAP_QEMU_RAM ||
	    !(qemu->flags & REMOTEMAP_QEMU_WRITE))
		view->flags |= PIDFD_MEM_MAP_READONLY;
	if (qemu->flags & REMOTEMAP_QEMU_RESIDENT)
		view->flags |= PIDFD_MEM_MAP_RESIDENT;
	return true;
}

static bool same(const struct remotemap_view *a, const struct remotemap_view *b)
{
	return a->offset == b->offset && a->address == b->address &&
	       a->size == b->size && a->flags == b->flags;
}

/* Does the layout have exactly that view, and is it there? */
static bool view_known(const struct remotemap_qemu *qemu,
		       const struct layout *layout,
		       const struct remotemap_view *view)
{
	struct remotemap_view other;

	for (size_t i = 0; i < layout->count; i++)
		if (layout->range[i].range.flags & REMOTEMAP_QEMU_SHOWN &&
		    view_make(qemu, &layout->range[i], &other) &&
		    same(view, &other))
			return true;
	return false;
}

/* Takes away the views of the old layout that the new one does not have. */
static int views_remove(struct remotemap_qemu *qemu, const struct layout *new)
{
	struct remotemap_view view;
	int removed = 0;

	for (size_t i = 0; i < qemu->layout.count; i++) {
		struct layout_range *range = &qemu->layout.range[i];
		int error;

		if (!(range->range.flags & REMOTEMAP_QEMU_SHOWN) ||
		    !view_make(qemu, range, &view) ||
		    view_known(qemu, new, &view))
			continue;
		error = remotemap_remove(qemu->handle, view.offset, view.size);
		if (error)
			return error;
		range->range.flags &= ~REMOTEMAP_QEMU_SHOWN;
		removed = 1;
	}
	return removed;
}

static int views_add(struct remotemap_qemu *qemu, struct layout *new)
{
	struct remotemap_view view;
	int added = 0;

	for (size_t i = 0; i < new->count; i++) {
		struct layout_range *range = &new->range[i];
		int error;

		if (!(range->range.flags & REMOTEMAP_QEMU_SHOWN) ||
		    !view_make(qemu, range, &view) ||
		    view_known(qemu, &qemu->layout, &view))
			continue;
		error = remotemap_add(qemu->handle, view.offset, view.address,
				      view.size, view.flags);
		if (error)
			return error;
		added = 1;
	}
	return added;
}

/* What is to be shown of it */
static void layout_mark(const struct remotemap_qemu *qemu, struct layout *layout)
{
	struct remotemap_view view;

	for (size_t i = 0; i < layout->count; i++)
		if (view_make(qemu, &layout->range[i], &view))
			layout->range[i].range.flags |= REMOTEMAP_QEMU_SHOWN;
}

/* ---- asking QEMU ----------------------------------------------------------- */

/* 1: the guest is here, 0: that is just being decided, -EREMOTE: it is elsewhere */
static int presence_ask(struct qmp *qmp)
{
	const char *status;
	json_t *result;
	int here = 1;
	int error;

	error = qmp_call(qmp, "query-status", NULL, -1, &result);
	if (error)
		return error;
	status = json_string_value(json_object_get(result, "status"));
	if (!status)
		here = -EPROTO;
	else if (!strcmp(status, "postmigrate"))
		here = -EREMOTE;
	else if (!strcmp(status, "finish-migrate"))
		here = 0;
	json_decref(result);
	return here;
}

/*
 * A guest that runs somewhere else has left its memory behind. QEMU tells by an
 * event when the last part of a migration begins, and by none when it is over.
 */
static int presence_check(struct qmp *qmp)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int here;

	for (int turns = qmp->timeout / 10; turns >= 0; turns--) {
		here = presence_ask(qmp);
		if (here)
			return here < 0 ? here : 0;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

static int context_open(struct remotemap_qemu *qemu)
{
	struct remotemap_open_options options = { .size = sizeof(options) };
	int pidfd, error;

	if (qemu->flags & REMOTEMAP_QEMU_WRITE)
		options.flags |= REMOTEMAP_WRITE;
	error = peer_open(&qemu->qmp, &pidfd);
	if (error)
		return error;
	error = remotemap_open_pidfd(pidfd, &options, &qemu->handle);
	close(pidfd);
	return error;
}

/* 1: the views have changed, 0: they have not */
static int layout_take(struct remotemap_qemu *qemu)
{
	struct layout new = { 0 };
	int removed, added, error;

	error = presence_check(&qemu->qmp);
	if (!error)
		error = layout_read(&qemu->qmp, &new);
	if (error && error != -EREMOTE)
		return error;
	layout_mark(qemu, &new);
	removed = views_remove(qemu, &new);
	added = removed < 0 ? removed : views_add(qemu, &new);
	if (added < 0) {
		/* What of it is there is not known any more: none of it. */
		views_remove(qemu, &(struct layout){ 0 });
		layout_free(&qemu->layout);
		layout_free(&new);
		return added;
	}
	layout_free(&qemu->layout);
	qemu->layout = new;
	return error ? error : removed || added;
}

/* ---- a guest --------------------------------------------------------------- */

static int guest_open(struct remotemap_qemu *qemu, const char *path, int timeout)
{
	int error;

	error = qmp_open(&qemu->qmp, path, timeout);
	if (!error)
		error = context_open(qemu);
	if (!error)
		error = layout_take(qemu);
	if (error > 0)
		error = 0;
	if (!error && !(qemu->flags &
			(REMOTEMAP_QEMU_UNLOCKED | REMOTEMAP_QEMU_FOLLOW)))
		error = remotemap_lock(qemu->handle);
	if (!error && !(qemu->flags & REMOTEMAP_QEMU_FOLLOW))
		qmp_close(&qemu->qmp);
	return error;
}

EXPORTED int remotemap_open_qemu(const char *path,
				 const struct remotemap_qemu_options *options,
				 struct remotemap_qemu **qemu)
{
	KEEP_CALM;
	struct remotemap_qemu_options all;
	struct remotemap_qemu *made;
	int error = options_take(&all, options);

	if (error)
		return error;
	if (!path || !qemu)
		return -EFAULT;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->flags = all.flags;
	made->qmp.fd = -1;
	pthread_mutex_init(&made->lock, NULL);
	error = guest_open(made, path, all.timeout);
	if (error)
		remotemap_qemu_close(made);
	else
		*qemu = made;
	return error;
}

EXPORTED void remotemap_qemu_close(struct remotemap_qemu *qemu)
{
	KEEP_CALM;

	if (!qemu)
		return;
	qmp_close(&qemu->qmp);
	remotemap_close(qemu->handle);
	layout_free(&qemu->layout);
	pthread_mutex_destroy(&qemu->lock);
	free(qemu);
}

EXPORTED struct remotemap *
remotemap_qemu_handle(const struct remotemap_qemu *qemu)
{
	return qemu->handle;
}

/*
 * Ended, or only not to be spoken with any more? Who ends gives its memory up
 * before its files, but somebody else may be looking into it at that moment.
 */
static int end_tell(const struct remotemap_qemu *qemu, int error)
{
	if (error == -ECONNRESET && remotemap_wait(qemu->handle, 1000) == 1)
		return -ESRCH;
	return error;
}

EXPORTED int remotemap_qemu_sync(struct remotemap_qemu *qemu)
{
	KEEP_CALM;
	int changed;

	if (!(qemu->flags & REMOTEMAP_QEMU_FOLLOW))
		return -EPERM;
	pthread_mutex_lock(&qemu->lock);
	changed = layout_take(qemu);
	pthread_mutex_unlock(&qemu->lock);
	return end_tell(qemu, changed);
}

EXPORTED int remotemap_qemu_wait(struct remotemap_qemu *qemu, int timeout)
{
	KEEP_CALM;
	int changed;

	if (!(qemu->flags & REMOTEMAP_QEMU_FOLLOW))
		return -EPERM;
	pthread_mutex_lock(&qemu->lock);
	changed = qmp_wait(&qemu->qmp, timeout);
	pthread_mutex_unlock(&qemu->lock);
	return end_tell(qemu, changed);
}

/* ---- its layout ------------------------------------------------------------ */

EXPORTED ssize_t remotemap_qemu_ranges(struct remotemap_qemu *qemu,
				       struct remotemap_qemu_range **ranges)
{
	KEEP_ERRNO;
	struct remotemap_qemu_range *copy = NULL;
	size_t count;
	char *names;

	if (!ranges)
		return -EFAULT;
	pthread_mutex_lock(&qemu->lock);
	count = qemu->layout.count;
	if (count)
		copy = calloc(count, sizeof(*copy) + NAME_SIZE);
	names = (char *)(copy + count);
	for (size_t i = 0; copy && i < count; i++, names += NAME_SIZE) {
		copy[i] = qemu->layout.range[i].range;
		copy[i].name = strcpy(names, qemu->layout.range[i].name);
	}
	pthread_mutex_unlock(&qemu->lock);
	if (count && !copy)
		return -ENOMEM;
	*ranges = copy;
	return (ssize_t)count;
}

EXPORTED const char *remotemap_qemu_kind_name(enum remotemap_qemu_kind kind)
{
	switch (kind) {
	case REMOTEMAP_QEMU_RAM:
		return "ram";
	case REMOTEMAP_QEMU_ROM:
		return "rom";
	case REMOTEMAP_QEMU_DEVICE:
		return "device";
	}
	return "unknown";
}
