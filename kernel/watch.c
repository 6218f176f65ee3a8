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
 * Which pages are in mirrors is block.c's.
 *
 * One watch serves all contexts of a source: however many they are, the source
 * calls two notifiers.
 *
 * Plain notifiers, not interval notifiers: to know the end of an invalidation
 * the latter offer only a wait that no signal ends, and that a source which
 * invalidates without pause makes as long as it likes.
 */
#include <linux/hashtable.h>
#include <linux/lockdep.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "remote_mapping.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/*
 * To register takes all locks of the source. Who closes its last context may
 * open it again soon.
 */
#define IDLE_JIFFIES HZ

static struct kmem_cache *watch_cache;
static DEFINE_HASHTABLE(watches, 6);
static DEFINE_SPINLOCK(watches_lock);

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
	watch->heard++;
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
	if (range->event == MMU_NOTIFY_CLEAR ||
	    range->event == MMU_NOTIFY_MIGRATE)
		WRITE_ONCE(watch->cleared, jiffies);
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

/* ---- what the core calls --------------------------------------------------- */

static int watch_invalidate_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long last = (range->end - 1) >> PAGE_SHIFT;
	unsigned long heard;
	bool hit = false;

	/* From here on no fault that looked before can let a page enter. */
	spin_lock(&watch->lock);
	__watch_start(watch, range);
	heard = watch->heard;
	first = max(first, watch->first);
	last = min(last, watch->last);
	spin_unlock(&watch->lock);
	/* One that cannot wait may be refused by watch_veto(), called next. */
	if (!mmu_notifier_range_blockable(range))
		return 0;
	if (first <= last)
		hit = blocks_zap(watch, first, last, heard);
	trace_remote_mapping_invalidate(watch, range, hit);
	return 0;
}

static void watch_invalidate_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);

	spin_lock(&watch->lock);
	__watch_end(watch, range);
	spin_unlock(&watch->lock);
	if (wq_has_sleeper(&watch->wait))
		wake_up_all(&watch->wait);
}

/* One context less. */
static void watch_leave(struct watch *watch)
{
	spin_lock(&watches_lock);
	if (!--watch->users)
		mod_delayed_work(live_queue, &watch->idle,
				 READ_ONCE(watch->released) ? 0 : IDLE_JIFFIES);
	spin_unlock(&watches_lock);
}

/* If it is idle, it need not be any more. */
static void watch_hurry(struct watch *watch)
{
	spin_lock(&watches_lock);
	if (!watch->users && hash_hashed(&watch->hash))
		mod_delayed_work(live_queue, &watch->idle, 0);
	spin_unlock(&watches_lock);
}

/* Tell the contexts, of which nobody knows how many there are. */
static void watch_tell(struct watch *watch)
{
	struct context *context;

	spin_lock(&watch->lock);
	list_for_each_entry(context, &watch->contexts, opened) {
		/* Nobody is left to be told, and it is not to be kept. */
		if (context->going)
			continue;
		WRITE_ONCE(context->ended, true);
		context->zaps++;
		spin_unlock(&watch->lock);
		wake_up_poll(&context->poll, EPOLLHUP);
		cond_resched();
		spin_lock(&watch->lock);
		if (!--context->zaps && context->going)
			wake_up_all(&watch->wait);
	}
	spin_unlock(&watch->lock);
}

/* The last one before the address space goes; no mm_users are left. */
static void watch_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct watch *watch = container_of(notifier, struct watch, notifier);

	spin_lock(&watch->lock);
	WRITE_ONCE(watch->released, true);
	spin_unlock(&watch->lock);
	blocks_zap(watch, 0, ULONG_MAX >> PAGE_SHIFT, ULONG_MAX);
	watch_tell(watch);
	wake_up_all(&watch->wait);
	watch_hurry(watch);
}

static int watch_veto(struct mmu_notifier *notifier,
		      const struct mmu_notifier_range *range)
{
	struct watch *watch = container_of(notifier, struct watch, veto);
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long last = (range->end - 1) >> PAGE_SHIFT;

	bool hit;

	if (likely(mmu_notifier_range_blockable(range)))
		return 0;
	/* Its start is noted: what is not in a mirror now cannot enter. */
	hit = blocks_mirrored(watch, first, last);
	trace_remote_mapping_invalidate(watch, range, hit);
	return hit ? -EAGAIN : 0;
}

static void watch_free(struct work_struct *work)
{
	struct watch *watch = container_of(work, struct watch, free);

	xa_destroy(&watch->blocks); /* empty */
	mmdrop(watch->mm);
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

/* Nobody can find it any more, and it has no contexts. */
static void watch_end(struct watch *watch)
{
	mmu_notifier_put(&watch->notifier);
	mmu_notifier_put(&watch->veto);
}

static void watch_idle(struct work_struct *work)
{
	struct watch *watch = container_of(to_delayed_work(work), struct watch,
					   idle);
	bool idle;

	spin_lock(&watches_lock);
	/* If it was queued again while this waited, that one does it. */
	idle = !watch->users && !delayed_work_pending(&watch->idle);
	if (idle)
		hash_del(&watch->hash);
	spin_unlock(&watches_lock);
	if (idle)
		watch_end(watch);
}

static struct watch *watch_new(struct mm_struct *mm)
{
	struct watch *watch = kmem_cache_zalloc(watch_cache, GFP_KERNEL_ACCOUNT);

	if (!watch)
		return NULL;
	live_get();
	watch->notifier.ops = &watch_notifier_ops;
	watch->veto.ops = &watch_veto_ops;
	mmgrab(mm);
	watch->mm = mm;
	INIT_DELAYED_WORK(&watch->idle, watch_idle);
	INIT_WORK(&watch->free, watch_free);
	refcount_set(&watch->refs, 1);
	init_waitqueue_head(&watch->wait);
	/* What GFP_KERNEL_ACCOUNT does not: nodes that are there at once. */
	xa_init_flags(&watch->blocks, XA_FLAGS_ACCOUNT);
	spin_lock_init(&watch->lock);
	INIT_LIST_HEAD(&watch->contexts);
	watch->first = ULONG_MAX;
	watch->cleared = jiffies - HZ;
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

static struct watch *watch_try_register(struct mm_struct *mm)
{
	struct registration registration;
	struct watch *watch;
	int ret;

	watch = watch_new(mm);
	if (!watch)
		return ERR_PTR(-ENOMEM);
	registration_begin(&registration, mm);
	ret = __watch_register(watch, mm);
	registration_end(&registration);
	return ret ? ERR_PTR(ret) : watch;
}

/* With the mmap_lock held for writing. */
static struct watch *watch_register(struct mm_struct *mm)
{
	struct watch *watch = watch_try_register(mm);

	/*
	 * Up to now it may have heard ends without their starts. That is none
	 * the worse for it, unless it had to tell them by their number.
	 */
	while (!IS_ERR(watch) && READ_ONCE(watch->was_crowded)) {
		watch_end(watch);
		watch = watch_try_register(mm);
	}
	if (!IS_ERR(watch)) {
		watch->users = 1;
		spin_lock(&watches_lock);
		hash_add(watches, &watch->hash, (unsigned long)mm);
		spin_unlock(&watches_lock);
	}
	return watch;
}

/* The one that others have of this source, or had a moment ago, or NULL. */
static struct watch *watch_find(struct mm_struct *mm)
{
	struct watch *watch;

	spin_lock(&watches_lock);
	hash_for_each_possible(watches, watch, hash, (unsigned long)mm) {
		if (watch->mm != mm)
			continue;
		watch->users++;
		break;
	}
	spin_unlock(&watches_lock);
	return watch;
}

/* One is registered only by who holds the mmap_lock: there are never two. */
static struct watch *watch_get(struct mm_struct *mm)
{
	struct watch *watch = watch_find(mm);
	int ret;

	if (watch)
		return watch;
	ret = mmap_write_lock_killable(mm);
	if (ret)
		return ERR_PTR(ret);
	watch = watch_find(mm) ?: watch_register(mm);
	mmap_write_unlock(mm);
	return watch;
}

int context_watch(struct context *context)
{
	struct mm_struct *mm = context->mm;
	struct watch *watch;

	/* It is not released before the context is in its list. */
	if (!mmget_not_zero(mm))
		return -ESRCH;
	watch = watch_get(mm);
	if (!IS_ERR(watch)) {
		context->watch = watch;
		spin_lock(&watch->lock);
		list_add(&context->opened, &watch->contexts);
		context->heard = watch->heard;
		spin_unlock(&watch->lock);
	}
	mmput_async(mm);
	/*
	 * Registering takes all locks of the address space, and gives way to
	 * any signal: handle it and come again, unseen by the caller.
	 */
	if (watch == ERR_PTR(-EINTR))
		return -ERESTARTNOINTR;
	return PTR_ERR_OR_ZERO(watch);
}

/*
 * No mirror of the context is left, no fault, no caller. An invalidation may
 * still be about to zap, and find nothing.
 */
void context_unwatch(struct context *context)
{
	struct watch *watch = context->watch;

	spin_lock(&watch->lock);
	context->going = true;
	spin_unlock(&watch->lock);
	/* None begins from now on. The last may still have the lock. */
	wait_event(watch->wait, !READ_ONCE(context->zaps));
	blocks_leave(context);
	spin_lock(&watch->lock);
	list_del(&context->opened);
	spin_unlock(&watch->lock);
	watch_leave(watch);
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
