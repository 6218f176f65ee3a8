// SPDX-License-Identifier: GPL-2.0
/*
 * Viewers: where the mirrors are in the address spaces of those who look, and
 * the zap that takes pages out of them.
 *
 * A zap happens inside a notifier of the source, and whoever called that may
 * hold the i_mmap_rwsem of any file, or any anon_vma's lock: reclaim and
 * truncation do. So it may take none of these itself: mm_take_all_locks(), by
 * which anybody registers a notifier on a viewer, takes all of a viewer's at
 * once, in an order of its own. The zap has a lock that the core does not know
 * of, and that is all it waits for: context->mirrors_lock.
 *
 * What i_mmap_rwsem would give must then be had otherwise: the page tables and
 * the VMA of a mirror must not go while a zap is at them. They go in munmap,
 * mremap, an mmap over them, or exit. Each tells the notifiers of the viewer's
 * address space before (MMU_NOTIFY_UNMAP, release), while the range is still
 * whole; there viewer_invalidate_start() unlinks its mirrors under
 * mirrors_lock, so that zaps under way have ended and later ones find nothing.
 *
 * Invariant: a mirror with pages in it is linked. A fault links its mirror
 * before it looks at the source. Between that and the page's entry nothing can
 * unlink it: whoever tells MMU_NOTIFY_UNMAP of a VMA has locked it for writing.
 *
 * Lock order: viewer->mutex, context->mirrors_lock. No memory is allocated with
 * either held: reclaim may have to zap.
 */
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "remote_mapping.h"

/**
 * struct viewer - an address space with mirrors in it
 * @notifier: each mirror there has a reference
 * @mutex: protects @mirrors and what says whether a mirror is linked
 * @mirrors: those that are linked, by the addresses they had then
 */
struct viewer {
	struct mmu_notifier notifier;
	struct mutex mutex; /* mirrors linked and unlinked */
	struct rb_root_cached mirrors;
};

/* ---- linked and unlinked ---------------------------------------------------- */

/*
 * The VMA's bounds are stable: the viewer's mmap_lock is held, or the VMA's own
 * lock. Later the VMA can only shrink, when it is split.
 */
static void __mirror_link(struct mirror *mirror)
{
	struct vm_area_struct *vma = mirror->vma;
	struct context *context = mirror->context;

	lockdep_assert_held(&mirror->viewer->mutex);
	mirror->addresses.start = vma->vm_start;
	mirror->addresses.last = vma->vm_end - 1;
	mirror->pages.start = linear_page_index(vma, vma->vm_start);
	mirror->pages.last = mirror->pages.start + vma_pages(vma) - 1;
	interval_tree_insert(&mirror->addresses, &mirror->viewer->mirrors);

	down_write(&context->mirrors_lock);
	interval_tree_insert(&mirror->pages, &context->mirrors);
	up_write(&context->mirrors_lock);
	/* Pairs with mirror_link(). */
	smp_store_release(&mirror->linked, true);
}

static void __mirror_unlink(struct mirror *mirror)
{
	struct context *context = mirror->context;

	lockdep_assert_held(&mirror->viewer->mutex);
	WRITE_ONCE(mirror->linked, false);
	/* Waits for the zaps that are under way. */
	down_write(&context->mirrors_lock);
	interval_tree_remove(&mirror->pages, &context->mirrors);
	up_write(&context->mirrors_lock);
	interval_tree_remove(&mirror->addresses, &mirror->viewer->mirrors);
}

/* Before anything enters: with the viewer's mmap_lock or the VMA's lock held. */
void mirror_link(struct mirror *mirror)
{
	struct viewer *viewer = mirror->viewer;

	/* Pairs with __mirror_link(). */
	if (likely(smp_load_acquire(&mirror->linked)))
		return;
	mutex_lock(&viewer->mutex);
	if (!mirror->linked)
		__mirror_link(mirror);
	mutex_unlock(&viewer->mutex);
}

/* ---- the zap --------------------------------------------------------------- */

/*
 * A VMA may be split meanwhile. The new one was linked before this one shrinks,
 * so all is in one or in both; but what this one was when the zap began may have
 * been too much for it, and then the core does nothing: see what it has become.
 *
 * The core's notifiers of the viewer are called here, possibly inside one of
 * the source: the same to lockdep, and no cycle, as watch.c says.
 */
static void __mirror_zap(struct mirror *mirror, pgoff_t first, pgoff_t last)
{
	struct vm_area_struct *vma = mirror->vma;
	unsigned long start, end, from, to, base;

	base = mirror->addresses.start;
	first = max(first, mirror->pages.start);
	last = min(last, mirror->pages.last);
	from = base + (first - mirror->pages.start) * PAGE_SIZE;
	to = base + (last - mirror->pages.start + 1) * PAGE_SIZE;
	do {
		start = READ_ONCE(vma->vm_start);
		end = READ_ONCE(vma->vm_end);
		if (max(start, from) >= min(end, to))
			continue;
		lockdep_off();
		zap_special_vma_range(vma, max(start, from),
				      min(end, to) - max(start, from));
		lockdep_on();
	} while (start != READ_ONCE(vma->vm_start) ||
		 end != READ_ONCE(vma->vm_end));
}

/* Take the pages [first, last] of the map file out of all mirrors. May sleep. */
void mirrors_zap(struct context *context, pgoff_t first, pgoff_t last)
{
	struct interval_tree_node *node;

	down_read(&context->mirrors_lock);
	for (node = interval_tree_iter_first(&context->mirrors, first, last);
	     node; node = interval_tree_iter_next(node, first, last))
		__mirror_zap(container_of(node, struct mirror, pages), first,
			     last);
	up_read(&context->mirrors_lock);
}

/* ---- what the core tells of a viewer ---------------------------------------- */

/* Mirrors in [start, last] are about to lose their page tables. */
static void viewer_unlink(struct viewer *viewer, unsigned long start,
			  unsigned long last)
{
	struct interval_tree_node *node, *next;
	struct mirror *mirror;

	mutex_lock(&viewer->mutex);
	for (node = interval_tree_iter_first(&viewer->mirrors, start, last);
	     node; node = next) {
		next = interval_tree_iter_next(node, start, last);
		mirror = container_of(node, struct mirror, addresses);
		/* It may have been split, and this be the other part's. */
		if (mirror->vma->vm_start <= last &&
		    mirror->vma->vm_end > start)
			__mirror_unlink(mirror);
	}
	mutex_unlock(&viewer->mutex);
}

/*
 * Only what unmaps frees page tables. It holds the mmap_lock, for writing or
 * since it did: VMAs are as they are, and the bounds of those it has taken out
 * of the address space too. The OOM reaper says the same and cannot wait, but
 * passes mirrors over and frees no table.
 */
static int viewer_invalidate_start(struct mmu_notifier *notifier,
				   const struct mmu_notifier_range *range)
{
	if (range->event == MMU_NOTIFY_UNMAP &&
	    mmu_notifier_range_blockable(range))
		viewer_unlink(container_of(notifier, struct viewer, notifier),
			      range->start, range->end - 1);
	return 0;
}

/* The address space goes: nobody faults in it any more. */
static void viewer_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	viewer_unlink(container_of(notifier, struct viewer, notifier), 0,
		      ULONG_MAX);
}

static struct mmu_notifier *viewer_alloc(struct mm_struct *mm)
{
	struct viewer *viewer = kzalloc(sizeof(*viewer), GFP_KERNEL_ACCOUNT);

	if (!viewer)
		return ERR_PTR(-ENOMEM);
	live_get();
	mutex_init(&viewer->mutex);
	viewer->mirrors = RB_ROOT_CACHED;
	return &viewer->notifier;
}

static void viewer_free(struct mmu_notifier *notifier)
{
	kfree(container_of(notifier, struct viewer, notifier));
	live_put();
}

static const struct mmu_notifier_ops viewer_ops = {
	.invalidate_range_start = viewer_invalidate_start,
	.release = viewer_release,
	.alloc_notifier = viewer_alloc,
	.free_notifier = viewer_free,
};

/* ---- mirrors come and go ---------------------------------------------------- */

/* The VMA is new, and nobody can fault in it yet. */
int mirror_add(struct context *context, struct vm_area_struct *vma)
{
	struct mmu_notifier *notifier;
	struct mirror *mirror = kzalloc(sizeof(*mirror), GFP_KERNEL_ACCOUNT);

	if (!mirror)
		return -ENOMEM;
	notifier = mmu_notifier_get_locked(&viewer_ops, vma->vm_mm);
	if (IS_ERR(notifier)) {
		kfree(mirror);
		/* See context_watch(). */
		return PTR_ERR(notifier) == -EINTR ? -ERESTARTNOINTR :
						     PTR_ERR(notifier);
	}
	mirror->context = context;
	mirror->vma = vma;
	mirror->viewer = container_of(notifier, struct viewer, notifier);
	vma->vm_private_data = mirror;
	return 0;
}

/*
 * The VMA is a copy: the part that is split off one, or the place where one is
 * about to be moved. Called with the mmap_lock held for writing, before either
 * of the two is changed. It cannot fail.
 */
void mirror_copy(struct vm_area_struct *vma)
{
	struct mirror *old = vma->vm_private_data;
	struct mirror *mirror;

	mirror = kzalloc(sizeof(*mirror), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mirror->context = old->context;
	mirror->vma = vma;
	mirror->viewer = old->viewer;
	vma->vm_private_data = mirror;
	/* Found: the old one has a reference. */
	WARN_ON_ONCE(IS_ERR(mmu_notifier_get_locked(&viewer_ops,
						    vma->vm_mm)));

	if (vma->vm_start - vma->vm_pgoff * PAGE_SIZE ==
	    old->vma->vm_start - old->vma->vm_pgoff * PAGE_SIZE) {
		/* Split: some of the pages are this one's from now on. */
		mirror_link(mirror);
		return;
	}
	/*
	 * Moved. While entries move from table to table a zap could pass between
	 * the two: there shall be none to move.
	 */
	zap_special_vma_range(old->vma, old->vma->vm_start,
			      old->vma->vm_end - old->vma->vm_start);
}

/* The VMA goes. Where it was in use it was unlinked before. */
void mirror_remove(struct vm_area_struct *vma)
{
	struct mirror *mirror = vma->vm_private_data;
	struct viewer *viewer = mirror->viewer;

	mutex_lock(&viewer->mutex);
	if (mirror->linked)
		__mirror_unlink(mirror);
	mutex_unlock(&viewer->mutex);
	mmu_notifier_put(&viewer->notifier);
	kfree(mirror);
}
