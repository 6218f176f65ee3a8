/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the module share.
 *
 * Lock order, outermost first:
 *
 *   context->mutex                          views added and removed
 *   viewer's mmap_lock
 *     source's mmap_lock                    only tried, or taken with none held
 *     [an invalidation of the source ends]  mmu_interval_read_begin()
 *     context->populate                     table or huge page
 *       view->lock                          spinlock; never held over a zap
 *         viewer's page-table lock
 *
 *   notifier of the source                  possibly under reclaim
 *     view->lock
 *     context->inode's i_mmap_rwsem         the zap
 *       viewer's page-table lock
 *
 * The notifier side allocates nothing and takes no mmap_lock and no
 * context->mutex. docs/design.md argues each race.
 */
#ifndef _REMOTE_MAPPING_H
#define _REMOTE_MAPPING_H

#include <linux/fs.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "uapi/linux/remote_mapping.h"

struct seq_file;

/* What fdinfo shows; protected by the owner's lock. */
struct counters {
	u64 faults;
	u64 pages_mapped;
	u64 huge_pages_mapped;
	u64 invalidations;
	u64 invalidations_hit;
	u64 retries;
};

/**
 * struct context - one opened source
 * @inode: the map file's; lives as long as the context. Its i_mmap holds all
 *         mirrors, and its references are the context's
 * @mm: the source's address space, by mmgrab(); constant
 * @pid: whose address space it was when opened, for fdinfo; constant
 * @pin: keeps the module while the inode lives (see context_pin()); constant
 * @writable: the map file may be opened for writing; constant
 * @ended: the address space is gone; set once, by @end, read locklessly
 * @end: a notifier for an address nobody can map: hears of the end alone
 * @wait: poll waits here for @ended
 * @populate: decides what an empty 2 MiB of a mirror becomes, a page table or a
 *            huge page; never taken by an invalidation
 * @mutex: serialises all that changes the fields below
 * @locked: no view can be added or removed any more
 * @nr_views: in @views
 * @past: counters of the views that were removed
 * @views: by page offset in the map file; changed under @mutex, read under RCU
 */
struct context {
	struct inode inode;
	struct mm_struct *mm;
	struct pid *pid;
	struct file *pin;
	bool writable;
	bool ended;
	struct mmu_interval_notifier end;
	wait_queue_head_t wait;
	struct mutex populate;
	struct mutex mutex;
	bool locked;
	unsigned long nr_views;
	struct counters past;
	struct maple_tree views;
};

/**
 * struct view - a range of the map file that stands for one of the source
 * @context: lives longer; constant
 * @notifier: hears what the source does to the range. Its sequence is written
 *            under @lock and compared under @lock
 * @pgoff: where it begins in the map file, in pages; constant
 * @nr_pages: constant
 * @address: where it begins in the source; constant
 * @flags: PIDFD_MEM_MAP_*; constant
 * @refs: the tree has one, each fault under way has one
 * @rcu: for those who found it in the tree a moment ago
 * @lock: protects what follows, and the entry of pages into mirrors
 * @dead: it was removed: nothing may enter a mirror any more
 * @counters: since it was added
 * @error: what the last wait for a page of the source came to, for the task
 *         that waited and will ask again (see source_wait())
 * @error_task: that task, compared only
 * @error_address: that page's address in the source
 * @installed: which pages may be in a mirror: struct chunk by the number of
 *             the source's page / CHUNK_PAGES, so that a huge page is one chunk.
 *             Chunks are added without @lock and stay
 */
struct view {
	struct context *context;
	struct mmu_interval_notifier notifier;
	pgoff_t pgoff;
	unsigned long nr_pages;
	unsigned long address;
	u32 flags;
	refcount_t refs;
	struct rcu_head rcu;
	spinlock_t lock;
	bool dead;
	struct counters counters;
	vm_fault_t error;
	struct task_struct *error_task;
	unsigned long error_address;
	struct xarray installed;
};

#define CHUNK_PAGES 512UL

/* Bits change under view->lock; set while a mirror may hold the page. */
struct chunk {
	DECLARE_BITMAP(pages, CHUNK_PAGES);
};

static inline struct context *context_of(const struct inode *inode)
{
	return container_of(inode, struct context, inode);
}

/* The page of the source behind a page of the view. */
static inline unsigned long view_address(const struct view *view, pgoff_t pgoff)
{
	return view->address + ((pgoff - view->pgoff) << PAGE_SHIFT);
}

static inline bool context_ended(const struct context *context)
{
	return READ_ONCE(context->ended);
}

/* access.c */
int access_init(void);
bool access_is_mem(const struct file *file);
struct file *access_open(pid_t nr, bool write);

/* view.c */
int context_watch(struct context *context);
void context_unwatch(struct context *context);
void counters_add(struct counters *sum, const struct counters *more);
int view_add(struct context *context, const struct pidfd_mem_map *range);
int view_remove(struct context *context,
		const struct pidfd_mem_unmap *range);
int views_lock(struct context *context);
struct view *view_get(struct context *context, pgoff_t pgoff);
void view_put(struct view *view);
bool views_touch(struct context *context, pgoff_t first, pgoff_t last);
struct view *view_next(struct context *context, pgoff_t pgoff);
struct chunk *view_chunk(struct view *view, unsigned long address);

/* mirror.c */
bool source_may_read(const struct vm_area_struct *vma);
bool source_may_write(const struct vm_area_struct *vma);
bool source_is_prompt(struct vm_area_struct *vma);
int mirror_mmap(struct context *context, struct vm_area_struct *vma);
unsigned long mirror_place(struct context *context, struct file *file,
			   unsigned long length, pgoff_t pgoff,
			   unsigned long flags);
int mirror_check(struct context *context, unsigned long address);

/* io.c */
ssize_t context_read(struct context *context, struct kiocb *iocb,
		     struct iov_iter *to);
ssize_t context_write(struct context *context, struct kiocb *iocb,
		      struct iov_iter *from);
loff_t context_seek(struct context *context, struct file *file, loff_t offset,
		    int whence);
ssize_t view_access(struct view *view, unsigned long address, void *buffer,
		    size_t length, bool write);
__poll_t context_poll(struct context *context, struct file *file,
		      struct poll_table_struct *table);
void context_show(struct context *context, struct seq_file *m);

#endif /* _REMOTE_MAPPING_H */
