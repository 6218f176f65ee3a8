// SPDX-License-Identifier: GPL-2.0
/*
 * Watches: what happens when the source changes its memory.
 *
 * Invariant: a page is in a mirror only while the source has it at that
 * address. A page enters under watch->lock, when no invalidation of it is under
 * way and none has ended since the source was looked at (mirror.c). Before the
 * source takes a page away, the start of its invalidation is noted under
 * watch->lock, so that nothing of it can enter until the end is noted too, and
 * the mirrors are zapped.
 *
 * A page's bit in watch->installed is set when it enters and cleared *after*
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
 *
 * Plain notifiers, not interval notifiers: to know the end of an invalidation
 * the latter offer only a wait that no signal ends, and that a source which
 * invalidates without pause makes as long as it likes.
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

static struct kmem_cache *watch_cache;

/* ---- which pages are in mirrors -------------------------------------------- */

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
 * Narrow the pages [first, last] to what may be in a mirror; false if nothing
 * is. The lock is not held over all chunks, and need not be: while the
 * invalidation lasts no bit is set, and one that another invalidation clears
 * meanwhile it cleared after its own zap.
 */
static bool watch_installed(struct watch *watch, unsigned long *first,
			    unsigned long *last, bool may_sleep)
{
	unsigned long index, from = *first, to = *last;
	unsigned int low, high, bit;
	struct chunk *chunk;
	bool found = false;

	xa_for_each_range(&watch->installed, index, chunk, from / CHUNK_PAGES,
			  to / CHUNK_PAGES) {
		chunk_clip(index, from, to, &low, &high);
		spin_lock(&watch->lock);
		bit = find_next_bit(chunk->pages, high, low);
		if (bit < high) {
			if (!found)
				*first = index * CHUNK_PAGES + bit;
			found = true;
			bit = find_last_bit(chunk->pages, high);
			*last = index * CHUNK_PAGES + bit;
		}
		spin_unlock(&watch->lock);
		if (may_sleep)
			cond_resched();
	}
	return found;
}

/*
 * Nothing enters there meanwhile: an invalidation lasts, or no view is left. So
 * the bounds, which are the first to go, take no page with them that stays.
 */
static void __watch_forget(struct watch *watch, unsigned long first,
			   unsigned long last, bool may_sleep)
{
	unsigned int low, high;
	struct chunk *chunk;
	unsigned long index;

	spin_lock(&watch->lock);
	if (first <= watch->lowest && watch->highest <= last) {
		watch->lowest = ULONG_MAX;
		watch->highest = 0;
	}
	spin_unlock(&watch->lock);
	xa_for_each_range(&watch->installed, index, chunk, first / CHUNK_PAGES,
			  last / CHUNK_PAGES) {
		chunk_clip(index, first, last, &low, &high);
		spin_lock(&watch->lock);
		bitmap_clear(chunk->pages, low, high - low);
		spin_unlock(&watch->lock);
		if (may_sleep)
			cond_resched();
	}
}

/* The pages [first, last] are in no mirror any more. May sleep. */
void watch_forget(struct watch *watch, unsigned long first,
		  unsigned long last)
{
	__watch_forget(watch, first, last, true);
}

/* The chunk that holds this page's bit, made if need be. May sleep. */
struct chunk *watch_chunk(struct watch *watch, unsigned long address)
{
	unsigned long index = (address >> PAGE_SHIFT) / CHUNK_PAGES;
	struct chunk *chunk = xa_load(&watch->installed, index), *old;

	if (likely(chunk))
		return chunk;
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return NULL;
	old = xa_cmpxchg(&watch->installed, index, NULL, chunk,
			 GFP_KERNEL_ACCOUNT);
	if (!old)
		return chunk;
	/* Another fault was first, or there was no memory. */
	kfree(chunk);
	return xa_is_err(old) ? NULL : old;
}

/* The pages [first, last] enter mirrors. */
void __watch_note(struct watch *watch, unsigned long first, unsigned long last)
{
	lockdep_assert_held(&watch->lock);
	watch->lowest = min(watch->lowest, first);
	watch->highest = max(watch->highest, last);
}

/* ---- invalidations under way and past -------------------------------------- */

static bool span_meets(const struct span *span, unsigned long start,
		       unsigned long end)
{
	return span->start < end && start < span->end;
}

static void __watch_start(struct watch *watch,
			  const struct mmu_notifier_range *range)
{
	unsigned long slot;

	lockdep_assert_held(&watch->lock);
	if (watch->active == BIT(SPANS) - 1) {
		watch->crowded++;
		watch->was_crowded = true;
		return;
	}
	slot = ffz(watch->active);
	watch->active |= BIT(slot);
	watch->key[slot] = range;
	watch->spans[slot].start = range->start;
	watch->spans[slot].end = range->end;
}

static void __watch_end(struct watch *watch,
			const struct mmu_notifier_range *range)
{
	unsigned long slot, left;
	struct span *past;

	lockdep_assert_held(&watch->lock);
	past = &watch->past[watch->ended % SPANS];
	past->start = range->start;
	past->end = range->end;
	for (left = watch->active; left; left &= left - 1) {
		slot = __ffs(left);
		if (watch->key[slot] != range)
			continue;
		*past = watch->spans[slot];
		watch->active &= ~BIT(slot);
		goto out;
	}
	if (watch->crowded)
		watch->crowded--;
out:
	/* Pairs with watch_begin(): who sees this sees the source's change. */
	smp_store_release(&watch->ended, watch->ended + 1);
}

/* Whether an invalidation of [start, end) is under way. */
static bool __watch_busy(const struct watch *watch, unsigned long start,
			 unsigned long end)
{
	unsigned long left;

	lockdep_assert_held(&watch->lock);
	if (watch->crowded)
		return true;
	for (left = watch->active; left; left &= left - 1)
		if (span_meets(&watch->spans[__ffs(left)], start, end))
			return true;
	return false;
}

/* Before a look at the source: what to give to __watch_holds() after it. */
unsigned long watch_begin(const struct watch *watch)
{
	/* Pairs with __watch_end(). */
	return smp_load_acquire(&watch->ended);
}

/* Whether what was seen in [start, end) since then is still so. */
bool __watch_holds(const struct watch *watch, unsigned long since,
		   unsigned long start, unsigned long end)
{
	lockdep_assert_held(&watch->lock);
	if (watch->released || watch->ended - since > SPANS ||
	    __watch_busy(watch, start, end))
		return false;
	for (; since != watch->ended; since++)
		if (span_meets(&watch->past[since % SPANS], start, end))
			return false;
	return true;
}

static bool watch_busy(struct watch *watch, unsigned long address)
{
	bool busy;

	spin_lock(&watch->lock);
	busy = !watch->released &&
	       __watch_busy(watch, address, address + PAGE_SIZE);
	spin_unlock(&watch->lock);
	return busy;
}

/*
 * Wait until no invalidation of the page is under way. Called with mm_users of
 * the source held: when the address space is released, ends are told no more.
 */
int watch_settle(struct watch *watch, unsigned long address,
		 bool interruptible)
{
	if (interruptible)
		return wait_event_interruptible(watch->wait,
						!watch_busy(watch, address));
	return wait_event_killable(watch->wait, !watch_busy(watch, address));
}

/* ---- the zap --------------------------------------------------------------- */

/* Where more views meet, all mirrors are zapped: too much does no harm. */
#define PLACES 8

/* [first, last] in pages of the map file. */
struct place {
	pgoff_t first;
	pgoff_t last;
};

/* Where the source's pages [first, last] are in the map file. */
static unsigned int __watch_places(struct watch *watch, unsigned long first,
				   unsigned long last, struct place *places)
{
	unsigned long start = first << PAGE_SHIFT, from, to;
	unsigned long end = ((last + 1) << PAGE_SHIFT) - 1;
	struct interval_tree_node *node;
	unsigned int nr = 0;
	struct view *view;
	struct place place;

	lockdep_assert_held(&watch->lock);
	for (node = interval_tree_iter_first(&watch->views, start, end); node;
	     node = interval_tree_iter_next(node, start, end)) {
		view = container_of(node, struct view, node);
		from = max(start, view->address) - view->address;
		to = min(end, node->last) - view->address;
		place.first = view->pgoff + (from >> PAGE_SHIFT);
		place.last = view->pgoff + (to >> PAGE_SHIFT);
		if (nr < PLACES) {
			places[nr++] = place;
			continue;
		}
		/* Not to look at each of very many under the lock. */
		places[PLACES - 1].first = 0;
		places[PLACES - 1].last = ULONG_MAX;
		break;
	}
	return nr;
}

/* Take the source's pages [first, last] out of all mirrors. */
static void watch_zap(struct watch *watch, unsigned long first,
		      unsigned long last,
		      const struct mmu_notifier_range *range)
{
	struct context *context;
	struct place places[PLACES];
	unsigned int i, nr = 0;

	spin_lock(&watch->lock);
	context = watch->context;
	if (context) {
		nr = __watch_places(watch, first, last, places);
		WRITE_ONCE(watch->zaps, watch->zaps + 1);
		/* The bits of a view that was removed stay until now. */
		if (nr)
			watch->counters.invalidations_hit++;
	}
	spin_unlock(&watch->lock);
	if (!context)
		return;

	for (i = 0; i < nr; i++)
		mirrors_invalidate(context, places[i].first, places[i].last,
				   range);
	watch_forget(watch, first, last);

	spin_lock(&watch->lock);
	WRITE_ONCE(watch->zaps, watch->zaps - 1);
	if (!watch->context)
		wake_up_all(&watch->wait);
	spin_unlock(&watch->lock);
}

/* ---- what the core calls --------------------------------------------------- */

static int watch_invalidate_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long last = (range->end - 1) >> PAGE_SHIFT;
	bool may_sleep = mmu_notifier_range_blockable(range);
	bool viewed, noted, hit;

	/* From here on no fault that looked before can let a page enter. */
	spin_lock(&watch->lock);
	__watch_start(watch, range);
	viewed = interval_tree_iter_first(&watch->views, range->start,
					  range->end - 1);
	watch->counters.invalidations += viewed;
	first = max(first, watch->lowest);
	last = min(last, watch->highest);
	noted = first <= last;
	spin_unlock(&watch->lock);
	if (!viewed) {
		/*
		 * No view, no mirror; but a view that was removed may have left
		 * bits. They must not outlive what was mapped here: a mirror
		 * may come next, and its pages are never noted.
		 */
		if (noted)
			__watch_forget(watch, first, last, may_sleep);
		return 0;
	}

	hit = noted && watch_installed(watch, &first, &last, may_sleep);
	trace_remote_mapping_invalidate(watch, range, hit);
	/* One that cannot wait is refused by watch_veto(), called after this. */
	if (hit && may_sleep)
		watch_zap(watch, first, last, range);
	return 0;
}

static void watch_invalidate_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);

	mirrors_invalidated(range);
	spin_lock(&watch->lock);
	__watch_end(watch, range);
	spin_unlock(&watch->lock);
	if (wq_has_sleeper(&watch->wait))
		wake_up_all(&watch->wait);
}

/* The last one before the address space goes; no mm_users are left. */
static void watch_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);
	unsigned long first = 0, last = ULONG_MAX >> PAGE_SHIFT;

	spin_lock(&watch->lock);
	watch->released = true;
	spin_unlock(&watch->lock);
	if (watch_installed(watch, &first, &last, true))
		watch_zap(watch, first, last, NULL);

	spin_lock(&watch->lock);
	if (watch->context) {
		WRITE_ONCE(watch->context->ended, true);
		wake_up_poll(&watch->context->poll, EPOLLHUP);
	}
	spin_unlock(&watch->lock);
	wake_up_all(&watch->wait);
}

static int watch_veto(struct mmu_notifier *notifier,
		      const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, veto);
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long last = (range->end - 1) >> PAGE_SHIFT;

	if (likely(mmu_notifier_range_blockable(range)))
		return 0;
	/* Its start is noted: what is not in a mirror now cannot enter. */
	return watch_installed(watch, &first, &last, false) ? -EAGAIN : 0;
}

static void watch_free(struct work_struct *work)
{
	struct watch *watch = container_of(work, struct watch, free);
	struct chunk *chunk;
	unsigned long index;

	xa_for_each(&watch->installed, index, chunk) {
		kfree(chunk);
		cond_resched();
	}
	xa_destroy(&watch->installed);
	kmem_cache_free(watch_cache, watch);
	live_put();
}

/* The core calls this with softirqs off: there may be much to free. */
static void watch_put(struct watch *watch)
{
	if (refcount_dec_and_test(&watch->refs))
		queue_work(live_queue, &watch->free);
}

static void watch_free_notifier(struct mmu_notifier *notifier)
{
	watch_put(container_of(notifier, struct watch, notifier));
}

static void watch_free_veto(struct mmu_notifier *notifier)
{
	watch_put(container_of(notifier, struct watch, veto));
}

static const struct mmu_notifier_ops watch_notifier_ops = {
	.invalidate_range_start = watch_invalidate_start,
	.invalidate_range_end = watch_invalidate_end,
	.release = watch_release,
	.free_notifier = watch_free_notifier,
};

static const struct mmu_notifier_ops watch_veto_ops = {
	.invalidate_range_start = watch_veto,
	.free_notifier = watch_free_veto,
};

/* ---- beginning and end ----------------------------------------------------- */

static struct watch *watch_new(struct context *context)
{
	struct watch *watch = kmem_cache_zalloc(watch_cache, GFP_KERNEL_ACCOUNT);

	if (!watch)
		return NULL;
	live_get();
	watch->notifier.ops = &watch_notifier_ops;
	watch->veto.ops = &watch_veto_ops;
	INIT_WORK(&watch->free, watch_free);
	refcount_set(&watch->refs, 1);
	init_waitqueue_head(&watch->wait);
	spin_lock_init(&watch->lock);
	watch->context = context;
	watch->views = RB_ROOT_CACHED;
	watch->lowest = ULONG_MAX;
	xa_init(&watch->installed);
	return watch;
}

/*
 * The later one registered is called first. The core holds all locks of the
 * address space meanwhile: no invalidation is under way.
 */
static int __watch_register(struct watch *watch, struct mm_struct *mm)
{
	int ret = __mmu_notifier_register(&watch->veto, mm);

	if (ret) {
		watch_put(watch);
		return ret;
	}
	ret = __mmu_notifier_register(&watch->notifier, mm);
	if (ret)
		mmu_notifier_put(&watch->veto);
	else
		refcount_inc(&watch->refs);
	return ret;
}

static void watch_end(struct watch *watch)
{
	spin_lock(&watch->lock);
	watch->context = NULL;
	watch->views = RB_ROOT_CACHED;
	spin_unlock(&watch->lock);
	wait_event(watch->wait, !READ_ONCE(watch->zaps));
	mmu_notifier_put(&watch->notifier);
	mmu_notifier_put(&watch->veto);
}

/* With the mmap_lock held for writing. */
static struct watch *__context_watch(struct context *context)
{
	struct registration registration;
	struct watch *watch;
	int ret;

	watch = watch_new(context);
	if (!watch)
		return ERR_PTR(-ENOMEM);
	registration_begin(&registration, context->mm);
	ret = __watch_register(watch, context->mm);
	registration_end(&registration);
	return ret ? ERR_PTR(ret) : watch;
}

int context_watch(struct context *context)
{
	struct mm_struct *mm = context->mm;
	struct watch *watch;
	int ret;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	ret = mmap_write_lock_killable(mm);
	if (ret)
		goto out_mm;
	watch = __context_watch(context);
	/*
	 * Up to now it may have heard ends without their starts. That is none
	 * the worse for it, unless it had to tell them by their number.
	 */
	while (!IS_ERR(watch) && READ_ONCE(watch->was_crowded)) {
		watch_end(watch);
		watch = __context_watch(context);
	}
	mmap_write_unlock(mm);
	ret = PTR_ERR_OR_ZERO(watch);
	if (!ret)
		context->watch = watch;
out_mm:
	mmput_async(mm);
	/*
	 * Registering takes all locks of the address space, and gives way to
	 * any signal: handle it and come again, unseen by the caller.
	 */
	return ret == -EINTR ? -ERESTARTNOINTR : ret;
}

/*
 * No mirror of the context is left, no fault, no caller. An invalidation may
 * still be about to zap, and find nothing; the core lets go of the watch later.
 */
void context_unwatch(struct context *context)
{
	watch_end(context->watch);
}

int __init watch_init(void)
{
	watch_cache = KMEM_CACHE(watch, SLAB_ACCOUNT);
	return watch_cache ? 0 : -ENOMEM;
}

/* All watches are freed. */
void watch_exit(void)
{
	kmem_cache_destroy(watch_cache);
}
