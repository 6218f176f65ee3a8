/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the module share.
 *
 * Lock order, outermost first:
 *
 *   context->mutex                        views added and removed
 *     context->moving                     for writing: until copies are done
 *   viewer's mmap_lock
 *     source's mmap_lock                  only tried, or taken with none held
 *     viewer->mutex                       mirrors linked and unlinked
 *       context->mirrors_lock             for writing
 *     context->mirrors_lock               for writing: a giant page enters
 *       watch->lock
 *         viewer's page-table lock
 *     context->populate                   table or huge page
 *       watch->lock                       spinlock; never held over a zap
 *         viewer's page-table lock
 *     a source's folio lock               only tried: a debugger of the viewer
 *       context->moving                   for reading, for one page
 *
 *   whatever the core holds when it calls a notifier of the source: its
 *   mmap_lock, a file's i_mmap_rwsem, an anon_vma's lock, a folio's; reclaim
 *     watch->lock
 *     context->mirrors_lock               for reading: the zap
 *       map file's i_mmap_rwsem, viewer's mmap_lock     only tried
 *       notifiers of the viewer           which zap nothing (watch.c)
 *       viewer's page-table lock
 *
 *   context->mutex                        a view is removed
 *     context->mirrors_lock               for reading: the zap
 *       map file's i_mmap_rwsem           for reading; or the other way round, if
 *                                         mirrors_lock is then only tried
 *
 *   the viewer's mmap_lock, when the core calls a notifier of the viewer
 *     viewer->mutex
 *       context->mirrors_lock             for writing
 *
 * The notifier side allocates nothing and takes no mmap_lock, no i_mmap_rwsem
 * and no context->mutex. docs/design.md argues each race.
 */
#ifndef _REMOTE_MAPPING_H
#define _REMOTE_MAPPING_H

#include <linux/fs.h>
#include <linux/interval_tree.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "uapi/linux/remote_mapping.h"

struct seq_file;

/* What fdinfo shows; protected by the owner's lock. */
struct counters {
	u64 faults;
	u64 pages_mapped;
	u64 huge_pages_mapped;
	u64 invalidations_hit;
	u64 retries;
};

/* How many invalidations are told apart; more at once are one. */
#define SPANS 16

/* [start, end) of the source's addresses. */
struct span {
	unsigned long start;
	unsigned long end;
};

/* What the last wait of a task for a page of the source came to, if an error. */
struct failure {
	struct task_struct *task; /* compared only */
	unsigned long address;
	vm_fault_t error;
};

#define FAILURES 16

/**
 * struct watch - what is heard of a source, for all contexts that have it open
 * @notifier: hears the start and the end of each invalidation, and the release
 * @veto: hears the start too, and may refuse one that cannot wait; one notifier
 *        cannot both hear ends and refuse. Registered first, so called last
 * @mm: the source's address space, by mmgrab(); constant
 * @hash: finds it by @mm, until it is to go; protected, as @users, by
 *        watches_lock
 * @users: contexts; when there are none, @idle is due
 * @idle: lets go of it
 * @refs: one for each of the notifiers, while the core may call it
 * @wait: for an invalidation to end, for a context's zaps to be none
 * @blocks: struct block by the number of the source's page / BLOCK_PAGES. Empty
 *          ones are added without @lock; all else is under @lock
 * @lock: protects all that follows, what the contexts say of it, and the entry
 *        of pages into mirrors
 * @contexts: those that have it open
 * @first: no page of the source below has a block
 * @last: nor above
 * @released: the address space is gone: no page enters any more
 * @active: which of @spans are under way
 * @key: the core's own range, by which the end finds its start
 * @spans: the invalidations under way
 * @crowded: how many more are under way than fit: any page may be theirs
 * @was_crowded: there were ever more than fit
 * @heard: how many have started
 * @ended: how many have ended; read locklessly, with acquire
 * @cleared: when the last one ended by which a page may be away for a moment, in
 *           jiffies; read locklessly
 * @past: the last ones that ended: number n is past[n % SPANS]
 * @free: when the core has let go of both notifiers
 */
struct watch {
	struct mmu_notifier notifier;
	struct mmu_notifier veto;
	struct mm_struct *mm;
	struct hlist_node hash;
	unsigned long users;
	struct delayed_work idle;
	refcount_t refs;
	wait_queue_head_t wait;
	struct xarray blocks;
	spinlock_t lock; /* all that follows */
	struct list_head contexts;
	unsigned long first;
	unsigned long last;
	bool released;
	unsigned long active;
	const void *key[SPANS];
	struct span spans[SPANS];
	unsigned int crowded;
	bool was_crowded;
	unsigned long heard;
	unsigned long ended;
	unsigned long cleared;
	struct span past[SPANS];
	struct work_struct free;
};

/**
 * struct context - one opened source
 * @inode: the map file's; lives as long as the context, and its references are
 *         the context's
 * @mm: the source's address space, by mmgrab(); constant
 * @watch: outlives the context; constant
 * @snapshot: names @mm to hmm_range_fault(); never registered; constant
 * @pid: whose address space it was when opened, for fdinfo; constant
 * @pin: keeps the module while the inode lives (see pin_fops); constant
 * @writable: the map file may be opened for writing; constant
 * @ended: the address space is gone; set once, read locklessly
 * @opened: in watch->contexts; protected, as all down to @failures, by
 *          watch->lock
 * @going: the last file is closed: there is no mirror left
 * @zaps: invalidations that are zapping mirrors
 * @narrow: it is locked and does not show all of the source: what else the source
 *          does is no affair of who only has the map file
 * @heard: watch->heard when it was opened; once @narrow, how much had been heard
 *         by then, less what had hit
 * @hit: watch->heard of the last invalidation that hit
 * @emptied: of the last one that emptied all mirrors
 * @shares: of blocks that others have looked at too
 * @owned_first: no block before this one was ever its own
 * @owned_last: nor after
 * @addresses: the views by their range in the source
 * @counters: for fdinfo
 * @failures: by task
 * @poll: poll waits here for @ended
 * @populate: decides what an empty 2 MiB of a mirror becomes, a page table or a
 *            huge page; never taken by an invalidation
 * @mirrors_lock: a zap holds it for reading; a giant page enters with it held for
 *                writing
 * @mirrors: those that pages may be in, by page offset in the map file; changed
 *           with @mirrors_lock held for writing
 * @aside: how many zaps try for a lock (viewer.c)
 * @aside_wait: until there are none
 * @moving: who copies from or to the source holds it for reading, for that moment;
 *          taken for writing to have them done
 * @mutex: serialises all that changes the fields below
 * @locked: no view can be added or removed any more
 * @nr_views: in @views
 * @views: by page offset in the map file; changed under @mutex, read under RCU
 */
struct context {
	struct inode inode;
	struct mm_struct *mm;
	struct watch *watch;
	struct mmu_interval_notifier snapshot;
	struct pid *pid;
	struct file *pin;
	bool writable;
	bool ended;
	struct list_head opened;
	bool going;
	bool narrow;
	unsigned int zaps;
	unsigned long heard;
	unsigned long hit;
	unsigned long emptied;
	struct rb_root shares;
	unsigned long owned_first;
	unsigned long owned_last;
	struct rb_root_cached addresses;
	struct counters counters;
	struct failure failures[FAILURES];
	wait_queue_head_t poll;
	struct mutex populate; /* table or huge page */
	struct rw_semaphore mirrors_lock;
	struct rb_root_cached mirrors;
	atomic_t aside;
	wait_queue_head_t aside_wait;
	struct rw_semaphore moving;
	struct mutex mutex; /* all that follows */
	bool locked;
	unsigned long nr_views;
	struct maple_tree views;
};

/**
 * struct view - a range of the map file that stands for one of the source
 * @context: lives longer; constant
 * @node: in context->addresses, [address, last byte]; protected by watch->lock
 * @pgoff: where it begins in the map file, in pages; constant
 * @nr_pages: constant
 * @address: where it begins in the source; constant
 * @flags: PIDFD_MEM_MAP_*; constant
 * @refs: the tree has one, each fault under way has one
 * @rcu: for those who found it in the tree a moment ago
 * @dead: nothing may enter a mirror any more: it is removed, or will be, or could
 *        not be taken out of the tree for want of memory; watch->lock
 */
struct view {
	struct context *context;
	struct interval_tree_node node;
	pgoff_t pgoff;
	unsigned long nr_pages;
	unsigned long address;
	u32 flags;
	refcount_t refs;
	struct rcu_head rcu;
	bool dead;
};

struct viewer;

/**
 * struct mirror - a VMA that shows a map file; its vm_private_data
 * @context: the file keeps it; constant
 * @vma: constant
 * @viewer: the address space it is in; constant
 * @linked: it is in the two trees; changed under viewer->mutex
 * @pages: in context->mirrors: its pages of the map file when it was linked
 * @addresses: in viewer->mirrors: its addresses then
 */
struct mirror {
	struct context *context;
	struct vm_area_struct *vma;
	struct viewer *viewer;
	bool linked;
	struct interval_tree_node pages;
	struct interval_tree_node addresses;
};

/* A registration of a notifier that is under way, see viewer.c */
struct registration {
	struct list_head list;
	struct mm_struct *mm;
	unsigned int zaps;
};

/* Views a context may have: an invalidation may have to look at each. */
#define VIEWS_MAX 262144UL

#define BLOCK_PAGES 512UL

/**
 * struct block - which pages of 2 MiB of the source may be in mirrors
 * @pages: in the owner's; without an owner in anybody's, and perhaps in none
 * @rcu: once it is out of sight
 * @owner: the one context that has looked here, or NULL
 * @shares: each of them, if there were more
 */
struct block {
	union {
		DECLARE_BITMAP(pages, BLOCK_PAGES);
		struct rcu_head rcu;
	};
	struct context *owner;
	struct hlist_head shares;
};

static inline unsigned long block_index(unsigned long address)
{
	return address >> PAGE_SHIFT >> ilog2(BLOCK_PAGES);
}

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

/* main.c */
void live_get(void);
void live_put(void);
extern struct workqueue_struct *live_queue;

/* access.c */
int access_init(void);
bool access_is_mem(const struct file *file);
struct file *access_open(pid_t nr, bool write);

/* watch.c */
int watch_init(void);
void watch_exit(void);
int context_watch(struct context *context);
void context_unwatch(struct context *context);
unsigned long watch_begin(const struct watch *watch);
bool __watch_holds(const struct watch *watch, unsigned long since,
		   unsigned long start, unsigned long end);
int watch_settle(struct watch *watch, unsigned long address,
		 bool interruptible);

/* block.c */
int blocks_init(void);
void blocks_exit(void);
struct block *block_get(struct context *context, unsigned long address);
unsigned long *__block_pages(struct block *block, const struct context *context,
			     unsigned long address);
void blocks_forget(struct context *context, unsigned long first,
		   unsigned long last);
void blocks_leave(struct context *context);
bool blocks_zap(struct watch *watch, unsigned long first, unsigned long last,
		unsigned long heard);
bool blocks_mirrored(struct watch *watch, unsigned long first,
		     unsigned long last);

/* view.c */
int view_add(struct context *context, const struct pidfd_mem_map *range);
int view_remove(struct context *context,
		const struct pidfd_mem_unmap *range);
int views_lock(struct context *context);
void views_free(struct context *context);
struct view *view_get(struct context *context, pgoff_t pgoff);
struct view *view_next(struct context *context, pgoff_t pgoff);
void view_put(struct view *view);
bool view_copy_begin(const struct view *view);
void view_copy_end(const struct view *view);
bool views_touch(struct context *context, pgoff_t first, pgoff_t last);

/* viewer.c */
int mirror_add(struct context *context, struct vm_area_struct *vma);
void mirror_copy(struct vm_area_struct *vma);
void mirror_remove(struct vm_area_struct *vma);
pud_t *pud_of(struct mm_struct *mm, unsigned long address);
int mirror_link(struct mirror *mirror);
void mirrors_invalidate(struct context *context, pgoff_t first, pgoff_t last);
void mirrors_invalidate_all(struct context *context);
void mirrors_zap(struct context *context, pgoff_t first, pgoff_t last);
void registration_begin(struct registration *registration, struct mm_struct *mm);
void registration_end(struct registration *registration);

/* mirror.c */
bool source_may_read(const struct vm_area_struct *vma);
bool source_may_write(const struct vm_area_struct *vma);
bool source_is_prompt(struct vm_area_struct *vma);
bool source_peek(struct context *context, unsigned long address,
		 struct page **page);
bool resident_page(struct mm_struct *mm, unsigned long address,
		   struct page **page);
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
