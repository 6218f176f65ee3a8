// SPDX-License-Identifier: GPL-2.0
/*
 * Views: which range of the map file stands for which range of the source, and
 * what happens when the source changes its memory.
 *
 * Invariant: a page is in a mirror only while the source has it at that
 * address. A page enters under view->lock, after the notifier's sequence was
 * seen unchanged there (mirror.c). Before the source takes a page away, its
 * notifier comes here, moves the sequence on under view->lock, so that nothing
 * of what was seen before can enter, and zaps the mirrors; until the
 * invalidation ends nothing can enter the view at all.
 *
 * A page's bit in view->installed is set when it enters and cleared *after*
 * the zap. Were it cleared before, a second invalidation of the same page
 * would find no bit, return, and let its caller free the page:
 *
 *   invalidation A                   invalidation B
 *   (MADV_FREE, reclaim, ...)        (MADV_DONTNEED of another thread)
 *   clears the bit
 *                                    sees no bit, returns
 *                                    the page is freed and used anew
 *   zaps the mirror                  -- too late
 *
 * Cleared after the zap, B finds the bit and zaps too. Nothing can have
 * entered between A's zap and A's clearing: A's invalidation has not ended.
 *
 * The bits also bound recursion. The zap of a mirror calls the notifiers of
 * the *viewer's* address space, which may be the source of others. But a
 * mirror's own pages never enter another mirror (VM_PFNMAP is refused), so
 * their bits are never set there, and the second level returns at once.
 */
#include <linux/bitmap.h>
#include <linux/lockdep.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "remote_mapping.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* ---- invalidation --------------------------------------------------------- */

/* The pages [first, last] of the source, by number, that a range has here. */
static void view_clip(const struct view *view,
		      const struct mmu_notifier_range *range,
		      unsigned long *first, unsigned long *last)
{
	unsigned long end = view->address + (view->nr_pages << PAGE_SHIFT) - 1;

	*first = max(range->start, view->address) >> PAGE_SHIFT;
	*last = min(range->end - 1, end) >> PAGE_SHIFT;
}

/* The bits [low, high) of chunk number index that stand for [first, last]. */
static void chunk_clip(unsigned long index, unsigned long first,
		       unsigned long last, unsigned int *low,
		       unsigned int *high)
{
	*low = index == first / CHUNK_PAGES ? first % CHUNK_PAGES : 0;
	*high = index == last / CHUNK_PAGES ? last % CHUNK_PAGES + 1 :
					      CHUNK_PAGES;
}

/*
 * Narrow [first, last] to what may be in a mirror; false if nothing is.
 *
 * Needs no lock while the invalidation lasts: no bit can be set then, and one
 * that another invalidation clears meanwhile, it cleared after its zap.
 */
static bool view_installed(struct view *view, unsigned long *first,
			   unsigned long *last)
{
	unsigned long index, from = *first, to = *last;
	unsigned int low, high, bit;
	struct chunk *chunk;
	bool found = false;

	xa_for_each_range(&view->installed, index, chunk, from / CHUNK_PAGES,
			  to / CHUNK_PAGES) {
		chunk_clip(index, from, to, &low, &high);
		bit = data_race(find_next_bit(chunk->pages, high, low));
		if (bit >= high)
			continue;
		if (!found)
			*first = index * CHUNK_PAGES + bit;
		found = true;
		bit = data_race(find_last_bit(chunk->pages, high));
		*last = index * CHUNK_PAGES + min(bit, high - 1);
	}
	return found;
}

/* Nothing of [first, last] is in a mirror any more. */
static void view_forget(struct view *view, unsigned long first,
			unsigned long last)
{
	unsigned int low, high;
	struct chunk *chunk;
	unsigned long index;

	xa_for_each_range(&view->installed, index, chunk, first / CHUNK_PAGES,
			  last / CHUNK_PAGES) {
		chunk_clip(index, first, last, &low, &high);
		spin_lock(&view->lock);
		bitmap_clear(chunk->pages, low, high - low);
		spin_unlock(&view->lock);
	}
}

/* Take the source's pages [first, last] out of all mirrors. */
static void view_zap(struct view *view, unsigned long first,
		     unsigned long last)
{
	pgoff_t pgoff = view->pgoff + first - (view->address >> PAGE_SHIFT);

	unmap_mapping_pages(view->context->inode.i_mapping, pgoff,
			    last - first + 1, true);
}

static bool view_invalidate(struct mmu_interval_notifier *notifier,
			    const struct mmu_notifier_range *range,
			    unsigned long sequence)
{
	struct view *view = container_of(notifier, struct view, notifier);
	unsigned long first, last;
	bool hit;

	view_clip(view, range, &first, &last);

	/* From here on no fault that looked before can let a page enter. */
	spin_lock(&view->lock);
	mmu_interval_set_seq(notifier, sequence);
	view->counters.invalidations++;
	spin_unlock(&view->lock);

	hit = view_installed(view, &first, &last);
	trace_remote_mapping_invalidate(view, range, hit);
	if (!hit)
		return true;
	if (!mmu_notifier_range_blockable(range))
		return false;

	/*
	 * The zap enters the notifiers of the viewer's address space, of the
	 * same lock class as the one we are in. That is no cycle, as said
	 * above: the second level never comes here.
	 */
	lockdep_off();
	view_zap(view, first, last);
	lockdep_on();
	view_forget(view, first, last);

	spin_lock(&view->lock);
	view->counters.invalidations_hit++;
	spin_unlock(&view->lock);
	return true;
}

static const struct mmu_interval_notifier_ops view_notifier_ops = {
	.invalidate = view_invalidate,
};

/* ---- the source's end ------------------------------------------------------ */

static bool context_end(struct mmu_interval_notifier *notifier,
			const struct mmu_notifier_range *range,
			unsigned long sequence)
{
	struct context *context =
		container_of(notifier, struct context, end);

	mmu_interval_set_seq(notifier, sequence);
	if (range->event == MMU_NOTIFY_RELEASE) {
		WRITE_ONCE(context->ended, true);
		wake_up_poll(&context->wait, EPOLLHUP);
	}
	return true;
}

static const struct mmu_interval_notifier_ops context_end_ops = {
	.invalidate = context_end,
};

/*
 * Hear of the address space's end: through a notifier for the last page of all
 * addresses, where nothing is ever mapped. It costs the source nothing before.
 * After it views can be added without the source's mmap_lock.
 */
int context_watch(struct context *context)
{
	struct mm_struct *mm = context->mm;
	int ret;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	ret = mmap_write_lock_killable(mm);
	if (!ret) {
		ret = mmu_interval_notifier_insert_locked(&context->end, mm,
							  -PAGE_SIZE, PAGE_SIZE,
							  &context_end_ops);
		mmap_write_unlock(mm);
	}
	mmput_async(mm);
	/*
	 * The very first notifier takes all locks of an mm, and gives way to any
	 * signal: handle it and come again, unseen by the caller.
	 */
	return ret == -EINTR ? -ERESTARTNOINTR : ret;
}

/* ---- finding --------------------------------------------------------------- */

/* The view that backs this page of the map file, with a reference. */
struct view *view_get(struct context *context, pgoff_t pgoff)
{
	struct view *view;

	/* Pairs with kfree_rcu() in view_put(). */
	rcu_read_lock();
	view = mtree_load(&context->views, pgoff);
	if (view && !refcount_inc_not_zero(&view->refs))
		view = NULL;
	rcu_read_unlock();
	return view;
}

void view_put(struct view *view)
{
	struct chunk *chunk;
	unsigned long index;

	if (!refcount_dec_and_test(&view->refs))
		return;
	xa_for_each(&view->installed, index, chunk)
		kfree(chunk);
	xa_destroy(&view->installed);
	kfree_rcu(view, rcu);
}

/* Whether there is a view anywhere in [first, last]. */
bool views_touch(struct context *context, pgoff_t first, pgoff_t last)
{
	unsigned long index = first;

	return mt_find(&context->views, &index, last);
}

/* The first view that ends after this page of the map file, or NULL. */
struct view *view_next(struct context *context, pgoff_t pgoff)
{
	MA_STATE(mas, &context->views, pgoff, pgoff);
	struct view *view;

	rcu_read_lock();
	do {
		view = mas_find(&mas, ULONG_MAX);
	} while (view && !refcount_inc_not_zero(&view->refs));
	rcu_read_unlock();
	return view;
}

/* The chunk that holds this page's bit, made if need be. May sleep. */
struct chunk *view_chunk(struct view *view, unsigned long address)
{
	unsigned long index = (address >> PAGE_SHIFT) / CHUNK_PAGES;
	struct chunk *chunk = xa_load(&view->installed, index), *old;

	if (likely(chunk))
		return chunk;
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return NULL;
	old = xa_cmpxchg(&view->installed, index, NULL, chunk,
			 GFP_KERNEL_ACCOUNT);
	if (!old)
		return chunk;
	/* Another fault was first, or there was no memory. */
	kfree(chunk);
	return xa_is_err(old) ? NULL : old;
}

/* ---- adding and removing ---------------------------------------------------- */

static int view_check(const struct context *context,
		      const struct pidfd_mem_map *range)
{
	u64 end;

	if (range->flags & ~(PIDFD_MEM_MAP_READONLY | PIDFD_MEM_MAP_RESIDENT) ||
	    memchr_inv(range->padding, 0, sizeof(range->padding)))
		return -EINVAL;
	if (!range->size ||
	    !IS_ALIGNED(range->address | range->offset | range->size,
			PAGE_SIZE))
		return -EINVAL;
	if (check_add_overflow(range->address, range->size, &end) ||
	    end > context->mm->task_size)
		return -EINVAL;
	if (check_add_overflow(range->offset, range->size, &end) ||
	    end > MAX_LFS_FILESIZE)
		return -EINVAL;
	return 0;
}

static struct view *view_new(struct context *context,
			     const struct pidfd_mem_map *range)
{
	struct view *view = kzalloc(sizeof(*view), GFP_KERNEL_ACCOUNT);

	if (!view)
		return NULL;
	view->context = context;
	view->pgoff = range->offset >> PAGE_SHIFT;
	view->nr_pages = range->size >> PAGE_SHIFT;
	view->address = range->address;
	view->flags = range->flags;
	refcount_set(&view->refs, 1);
	spin_lock_init(&view->lock);
	xa_init(&view->installed);
	return view;
}

/* fstat shows where the last view ends. */
static void __views_changed(struct context *context)
{
	MA_STATE(mas, &context->views, ULONG_MAX, ULONG_MAX);
	loff_t end = 0;

	lockdep_assert_held(&context->mutex);
	rcu_read_lock();
	if (mas_find_rev(&mas, 0))
		end = (loff_t)(mas.last + 1) << PAGE_SHIFT;
	rcu_read_unlock();
	i_size_write(&context->inode, end);
}

static int __view_add(struct context *context, struct view *view)
{
	int ret;

	lockdep_assert_held(&context->mutex);
	if (context->locked)
		return -EPERM;
	if (!mmget_not_zero(context->mm))
		return -ESRCH;

	/* Takes no lock of the source: context_watch() was first. */
	ret = mmu_interval_notifier_insert(&view->notifier, context->mm,
					   view->address,
					   view->nr_pages << PAGE_SHIFT,
					   &view_notifier_ops);
	if (ret)
		goto out_mm;
	ret = mtree_insert_range(&context->views, view->pgoff,
				 view->pgoff + view->nr_pages - 1, view,
				 GFP_KERNEL_ACCOUNT);
	if (ret) {
		mmu_interval_notifier_remove(&view->notifier);
		ret = ret == -EEXIST ? -EALREADY : ret;
		goto out_mm;
	}
	context->nr_views++;
	__views_changed(context);
out_mm:
	mmput_async(context->mm);
	return ret;
}

int view_add(struct context *context, const struct pidfd_mem_map *range)
{
	struct view *view;
	int ret = view_check(context, range);

	if (ret)
		return ret;
	view = view_new(context, range);
	if (!view)
		return -ENOMEM;
	ret = mutex_lock_killable(&context->mutex);
	if (!ret) {
		ret = __view_add(context, view);
		mutex_unlock(&context->mutex);
	}
	if (ret)
		view_put(view);
	return ret;
}

void counters_add(struct counters *sum, const struct counters *more)
{
	sum->faults += more->faults;
	sum->pages_mapped += more->pages_mapped;
	sum->huge_pages_mapped += more->huge_pages_mapped;
	sum->invalidations += more->invalidations;
	sum->invalidations_hit += more->invalidations_hit;
	sum->retries += more->retries;
}

/*
 * The view is out of the tree. A fault that found it before either let its
 * page enter before @dead was set, and the zap takes it, or sees @dead.
 */
static void view_kill(struct view *view)
{
	unsigned long first = view->address >> PAGE_SHIFT;

	spin_lock(&view->lock);
	view->dead = true;
	spin_unlock(&view->lock);
	view_zap(view, first, first + view->nr_pages - 1);
	mmu_interval_notifier_remove(&view->notifier);
}

static int __view_remove(struct context *context,
			 const struct pidfd_mem_unmap *range)
{
	struct view *view;

	lockdep_assert_held(&context->mutex);
	if (context->locked)
		return -EPERM;
	view = mtree_load(&context->views, range->offset >> PAGE_SHIFT);
	if (!view || (u64)view->pgoff << PAGE_SHIFT != range->offset ||
	    (u64)view->nr_pages << PAGE_SHIFT != range->size)
		return -EINVAL;
	mtree_erase(&context->views, view->pgoff);
	context->nr_views--;
	__views_changed(context);
	view_kill(view);
	spin_lock(&view->lock);
	counters_add(&context->past, &view->counters);
	spin_unlock(&view->lock);
	view_put(view);
	return 0;
}

int view_remove(struct context *context, const struct pidfd_mem_unmap *range)
{
	int ret = mutex_lock_killable(&context->mutex);

	if (!ret) {
		ret = __view_remove(context, range);
		mutex_unlock(&context->mutex);
	}
	return ret;
}

int views_lock(struct context *context)
{
	int ret = mutex_lock_killable(&context->mutex);

	if (!ret) {
		context->locked = true;
		mutex_unlock(&context->mutex);
	}
	return ret;
}

/* The last reference is gone: no mirror, no fault, no caller is left. */
void context_unwatch(struct context *context)
{
	unsigned long index = 0;
	struct view *view;

	mt_for_each(&context->views, view, index, ULONG_MAX) {
		mmu_interval_notifier_remove(&view->notifier);
		view_put(view);
	}
	/*
	 * No reader is left either: and in RCU mode the destruction of a deep
	 * tree stumbles on kernels of the 6.12 series.
	 */
	mt_clear_in_rcu(&context->views);
	mtree_destroy(&context->views);
	mmu_interval_notifier_remove(&context->end);
}
