// SPDX-License-Identifier: GPL-2.0
/*
 * What the files of a context do beside ioctl and mmap.
 */
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "remote_mapping.h"

__poll_t context_poll(struct context *context, struct file *file,
		      struct poll_table_struct *table)
{
	poll_wait(file, &context->wait, table);
	return context_ended(context) ? EPOLLHUP : 0;
}

static void view_show(const struct view *view, struct seq_file *m)
{
	seq_printf(m, "view:\toffset %016llx address %016lx size %016llx flags %s%s\n",
		   (u64)view->pgoff << PAGE_SHIFT, view->address,
		   (u64)view->nr_pages << PAGE_SHIFT,
		   view->flags & PIDFD_MEM_MAP_READONLY ? "ro" : "rw",
		   view->flags & PIDFD_MEM_MAP_RESIDENT ? ",resident" : "");
}

/* /proc/PID/fdinfo/N, of all files of the context. */
void context_show(struct context *context, struct seq_file *m)
{
	struct counters sum;
	unsigned long index = 0;
	struct view *view;

	mutex_lock(&context->mutex);
	sum = context->past;
	mt_for_each(&context->views, view, index, ULONG_MAX) {
		spin_lock(&view->lock);
		counters_add(&sum, &view->counters);
		spin_unlock(&view->lock);
	}
	seq_printf(m, "source:\t%d\n",
		   pid_nr_ns(context->pid, task_active_pid_ns(current)));
	seq_printf(m, "ended:\t%d\n", context_ended(context));
	seq_printf(m, "locked:\t%d\n", context->locked);
	seq_printf(m, "views:\t%lu\n", context->nr_views);
	seq_printf(m, "faults:\t%llu\n", sum.faults);
	seq_printf(m, "pages_mapped:\t%llu\n", sum.pages_mapped);
	seq_printf(m, "huge_pages_mapped:\t%llu\n", sum.huge_pages_mapped);
	seq_printf(m, "invalidations:\t%llu\n", sum.invalidations);
	seq_printf(m, "invalidations_hit:\t%llu\n", sum.invalidations_hit);
	seq_printf(m, "retries:\t%llu\n", sum.retries);
	index = 0;
	mt_for_each(&context->views, view, index, ULONG_MAX)
		view_show(view, m);
	mutex_unlock(&context->mutex);
}
