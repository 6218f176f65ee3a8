// SPDX-License-Identifier: GPL-2.0
/*
 * Views: which range of the map file stands for which range of the source.
 *
 * Invariant: a view is in context->views, where faults find it, and in
 * context->addresses, where invalidations find it, or in neither. Once it is dead,
 * and its mirrors are zapped, nothing enters a mirror through it.
 */
#include <linux/lockdep.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "remote_mapping.h"

/* ---- finding --------------------------------------------------------------- */

/* One that is being removed is none, though it may still be found. */
static bool view_hold(struct view *view)
{
	return view && !READ_ONCE(view->dead) &&
	       refcount_inc_not_zero(&view->refs);
}

/* The view that backs this page of the map file, with a reference. */
struct view *view_get(struct context *context, pgoff_t pgoff)
{
	struct view *view;

	/* Pairs with kfree_rcu() in view_put(). */
	rcu_read_lock();
	view = mtree_load(&context->views, pgoff);
	if (!view_hold(view))
		view = NULL;
	rcu_read_unlock();
	return view;
}

void view_put(struct view *view)
{
	if (refcount_dec_and_test(&view->refs))
		kfree_rcu(view, rcu);
}

/*
 * Around a copy from or to pages that it shows, which takes no more than that moment:
 * removal waits for it. false: it shows nothing any more.
 */
bool view_copy_begin(const struct view *view)
{
	down_read(&view->context->moving);
	if (!READ_ONCE(view->dead))
		return true;
	up_read(&view->context->moving);
	return false;
}

void view_copy_end(const struct view *view)
{
	up_read(&view->context->moving);
}

/* Whether there is a view anywhere in [first, last]. */
bool views_touch(struct context *context, pgoff_t first, pgoff_t last)
{
	unsigned long index = first;
	struct view *view;
	bool touch = false;

	rcu_read_lock();
	mt_for_each(&context->views, view, index, last) {
		touch = !READ_ONCE(view->dead);
		if (touch)
			break;
	}
	rcu_read_unlock();
	return touch;
}

/* The first view that ends after this page of the map file, or NULL. */
struct view *view_next(struct context *context, pgoff_t pgoff)
{
	MA_STATE(mas, &context->views, pgoff, pgoff);
	struct view *view;

	rcu_read_lock();
	do {
		view = mas_find(&mas, ULONG_MAX);
	} while (view && !view_hold(view));
	rcu_read_unlock();
	return view;
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
	view->node.start = range->address;
	view->node.last = range->address + (range->size - 1);
	refcount_set(&view->refs, 1);
	return view;
}

static loff_t view_end(const struct view *view)
{
	return (loff_t)(view->pgoff + view->nr_pages) << PAGE_SHIFT;
}

/* fstat shows where the last view ends. */
static void __views_size(struct context *context)
{
	MA_STATE(mas, &context->views, ULONG_MAX, ULONG_MAX);
	struct view *view;

	lockdep_assert_held(&context->mutex);
	rcu_read_lock();
	view = mas_find_rev(&mas, 0);
	rcu_read_unlock();
	/* 6.1 does not find the one entry of a tree that is no tree. */
	if (!view)
		view = mtree_load(&context->views, 0);
	i_size_write(&context->inode, view ? view_end(view) : 0);
}

static int __view_add(struct context *context, struct view *view)
{
	struct watch *watch = context->watch;
	int ret;

	lockdep_assert_held(&context->mutex);
	if (context->locked)
		return -EPERM;
	if (context_ended(context))
		return -ESRCH;
	if (context->nr_views >= VIEWS_MAX)
		return -ENOSPC;

	/* Invalidations first: a fault may find it as soon as it is there. */
	spin_lock(&watch->lock);
	interval_tree_insert(&view->node, &context->addresses);
	spin_unlock(&watch->lock);
	ret = mtree_insert_range(&context->views, view->pgoff,
				 view->pgoff + view->nr_pages - 1, view,
				 GFP_KERNEL_ACCOUNT);
	if (ret) {
		spin_lock(&watch->lock);
		interval_tree_remove(&view->node, &context->addresses);
		spin_unlock(&watch->lock);
		return ret == -EEXIST ? -EALREADY : ret;
	}
	context->nr_views++;
	if (view_end(view) > i_size_read(&context->inode))
		i_size_write(&context->inode, view_end(view));
	return 0;
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

/*
 * From here on it shows nothing. A fault that found it before either let its page
 * enter before @dead was set, and the zap takes it, or sees @dead.
 */
static int __view_kill(struct view *view)
{
	struct watch *watch = view->context->watch;

	lockdep_assert_held(&view->context->mutex);
	if (!view->dead)
		view->context->nr_views--;
	spin_lock(&watch->lock);
	WRITE_ONCE(view->dead, true);
	spin_unlock(&watch->lock);
	mirrors_zap(view->context, view->pgoff,
		    view->pgoff + view->nr_pages - 1);
	/* Who copies has begun before, or sees @dead. */
	if (down_write_killable(&view->context->moving))
		return -EINTR;
	up_write(&view->context->moving);
	return 0;
}

/*
 * It is dead and out of context->views. Until the zap was done invalidations had
 * to find it: its pages were still in mirrors.
 */
static void __view_bury(struct view *view)
{
	struct context *context = view->context;
	struct watch *watch = context->watch;
	bool shared;

	lockdep_assert_held(&context->mutex);
	spin_lock(&watch->lock);
	interval_tree_remove(&view->node, &context->addresses);
	shared = interval_tree_iter_first(&context->addresses, view->node.start,
					  view->node.last);
	spin_unlock(&watch->lock);
	/* Nobody else's: and no view is added meanwhile. */
	if (!shared)
		blocks_forget(context, view->node.start >> PAGE_SHIFT,
			      view->node.last >> PAGE_SHIFT);
}

/*
 * To take it out of context->views takes memory, too. What it shows is gone before
 * that: who could use up the memory cannot keep what is to be taken from him.
 * (mtree_erase() does not tell if it failed.)
 */
static int __view_remove(struct context *context,
			 const struct pidfd_mem_unmap *range)
{
	struct view *view;
	int ret;

	lockdep_assert_held(&context->mutex);
	if (context->locked)
		return -EPERM;
	view = mtree_load(&context->views, range->offset >> PAGE_SHIFT);
	if (!view || (u64)view->pgoff << PAGE_SHIFT != range->offset ||
	    (u64)view->nr_pages << PAGE_SHIFT != range->size)
		return -EINVAL;
	ret = __view_kill(view);
	if (ret)
		return ret;
	ret = mtree_store_range(&context->views, view->pgoff,
				view->pgoff + view->nr_pages - 1, NULL,
				GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret;
	if (view_end(view) == i_size_read(&context->inode))
		__views_size(context);
	__view_bury(view);
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

static bool __views_show_all(struct context *context)
{
	struct view *view;

	lockdep_assert_held(&context->mutex);
	view = mtree_load(&context->views, 0);
	return view && !view->dead && !view->address &&
	       view->node.last >= context->mm->task_size - 1;
}

static void __views_lock(struct context *context)
{
	struct watch *watch = context->watch;

	lockdep_assert_held(&context->mutex);
	if (context->locked)
		return;
	context->locked = true;
	if (__views_show_all(context))
		return;
	spin_lock(&watch->lock);
	context->heard = watch->heard - context->heard -
			 context->counters.invalidations_hit;
	context->narrow = true;
	spin_unlock(&watch->lock);
}

int views_lock(struct context *context)
{
	int ret = mutex_lock_killable(&context->mutex);

	if (!ret) {
		__views_lock(context);
		mutex_unlock(&context->mutex);
	}
	return ret;
}

/* The last reference is gone: no mirror, no fault, no caller is left. */
void views_free(struct context *context)
{
	unsigned long index = 0;
	struct view *view;

	mt_for_each(&context->views, view, index, ULONG_MAX)
		view_put(view);
	/*
	 * No reader is left either: and in RCU mode the destruction of a deep
	 * tree stumbles on kernels of the 6.12 series.
	 */
	mt_clear_in_rcu(&context->views);
	mtree_destroy(&context->views);
}
