// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: which pages of a source may be in mirrors, of which contexts, and how
 * an invalidation takes them out.
 *
 * Most memory is looked at through one context: it owns the block, and the
 * block's bits are its own. Where more look, each has a share with bits of its
 * own, and the block's are those of all, or more. So an invalidation of what no
 * mirror has looks at the block alone, however many contexts there are; and
 * memory that nobody looked at has no block.
 *
 * A page's bit is set when it enters, under watch->lock, and cleared *after* the
 * zap. Were it cleared before, a second invalidation of the same page would find
 * no bit, return, and let its caller free the page:
 *
 *   invalidation A                   invalidation B
 *   (MADV_FREE, reclaim, ...)        (MADV_DONTNEED of another thread)
 *   clears the bit
 *                                    sees no bit, returns
 *                                    the page is freed and used anew
 *   zaps the mirror                  -- too late
 *
 * Cleared after the zap, B finds the bit and zaps too. Nothing can have entered
 * between A's zap and A's clearing: A's invalidation has not ended. The same
 * holds of the bits of all, which are cleared when every context has been seen
 * to.
 *
 * The bits also bound recursion. The zap of a mirror calls the notifiers of
 * the *viewer's* address space, which may be the source of others. But a
 * mirror's own pages never enter another mirror (VM_PFNMAP is refused), so
 * their bits are never set there, and the second level returns at once.
 */
#include <linux/bitmap.h>
#include <linux/lockdep.h>
#include <linux/rbtree.h>
#include <linux/slab.h>

#include "remote_mapping.h"

/**
 * struct share - which pages of a block may be in one context's mirrors
 * @pages: as the block's
 * @context: whose
 * @index: the block's number
 * @in_block: in block->shares
 * @in_context: in context->shares, by @index
 */
struct share {
	DECLARE_BITMAP(pages, BLOCK_PAGES);
	struct context *context;
	unsigned long index;
	struct hlist_node in_block;
	struct rb_node in_context;
};

static struct kmem_cache *block_cache;

/* ---- a context's bits ------------------------------------------------------- */

/* The bits [low, high) of block number index that stand for [first, last]. */
static void block_clip(unsigned long index, unsigned long first,
		       unsigned long last, unsigned int *low,
		       unsigned int *high)
{
	*low = index == first / BLOCK_PAGES ? first % BLOCK_PAGES : 0;
	*high = index == last / BLOCK_PAGES ? last % BLOCK_PAGES + 1 :
					      BLOCK_PAGES;
}

static int share_compare(const void *key, const struct rb_node *node)
{
	const struct share *share = rb_entry(node, struct share, in_context);
	const unsigned long *index = key;

	return *index < share->index ? -1 : *index > share->index;
}

static int share_order(struct rb_node *node, const struct rb_node *other)
{
	return share_compare(&rb_entry(node, struct share, in_context)->index,
			     other);
}

static struct share *share_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct share, in_context);
}

static struct share *__share_find(const struct context *context,
				  unsigned long index)
{
	return share_of(rb_find(&index, &context->shares, share_compare));
}

/* The first one from that block on. */
static struct share *__share_from(const struct context *context,
				  unsigned long index)
{
	struct rb_node *node = context->shares.rb_node, *found = NULL;

	while (node) {
		if (share_of(node)->index < index) {
			node = node->rb_right;
		} else {
			found = node;
			node = node->rb_left;
		}
	}
	return share_of(found);
}

/* The bits of a context that has looked there. */
unsigned long *__block_pages(struct block *block, const struct context *context,
			     unsigned long address)
{
	lockdep_assert_held(&context->watch->lock);
	if (block->owner == context)
		return block->pages;
	return __share_find(context, block_index(address))->pages;
}

static void blocks_forget_owned(struct context *context, unsigned long first,
				unsigned long last)
{
	struct watch *watch = context->watch;
	unsigned int low, high;
	struct block *block;
	unsigned long index;

	xa_for_each_range(&watch->blocks, index, block,
			  max(first / BLOCK_PAGES, context->owned_first),
			  min(last / BLOCK_PAGES, context->owned_last)) {
		block_clip(index, first, last, &low, &high);
		spin_lock(&watch->lock);
		block = xa_load(&watch->blocks, index);
		if (block && block->owner == context)
			bitmap_clear(block->pages, low, high - low);
		spin_unlock(&watch->lock);
		cond_resched();
	}
}

/*
 * The pages [first, last] are in no mirror of the context any more, and nothing
 * enters meanwhile: an invalidation lasts, or no view is left. May sleep.
 */
void blocks_forget(struct context *context, unsigned long first,
		   unsigned long last)
{
	struct watch *watch = context->watch;
	unsigned long index = first / BLOCK_PAGES;
	unsigned int low, high;
	struct share *share;

	/* Who owned one before this and has a share since is found below. */
	blocks_forget_owned(context, first, last);
	do {
		spin_lock(&watch->lock);
		share = __share_from(context, index);
		index = share ? share->index : ULONG_MAX;
		if (index <= last / BLOCK_PAGES) {
			block_clip(index, first, last, &low, &high);
			bitmap_clear(share->pages, low, high - low);
		}
		spin_unlock(&watch->lock);
		cond_resched();
	} while (index++ < last / BLOCK_PAGES);
}

/* ---- looking at a block for the first time ----------------------------------- */

static bool block_add(struct watch *watch, unsigned long index)
{
	struct block *block, *old;

	block = kmem_cache_zalloc(block_cache, GFP_KERNEL_ACCOUNT);
	if (!block)
		return false;
	old = xa_cmpxchg(&watch->blocks, index, NULL, block,
			 GFP_KERNEL_ACCOUNT);
	if (!old)
		return true;
	/* Another fault was first, or there was no memory. */
	kmem_cache_free(block_cache, block);
	return !xa_is_err(old);
}

static void __block_own(struct block *block, unsigned long index,
			struct context *context)
{
	struct watch *watch = context->watch;

	context->owned_first = min(context->owned_first, index);
	context->owned_last = max(context->owned_last, index);
	watch->first = min(watch->first, index * BLOCK_PAGES);
	watch->last = max(watch->last, index * BLOCK_PAGES + BLOCK_PAGES - 1);
	WRITE_ONCE(block->owner, context);
}

static void __share_add(struct block *block, unsigned long index,
			struct share *share, struct context *context)
{
	share->context = context;
	share->index = index;
	hlist_add_head(&share->in_block, &block->shares);
	rb_find_add(&share->in_context, &context->shares, share_order);
}

/* Whether the context has bits there now; for some it takes new shares. */
static bool __block_join(struct block *block, unsigned long index,
			 struct context *context, struct share *share[2])
{
	lockdep_assert_held(&context->watch->lock);
	if (block->owner == context || __share_find(context, index))
		return true;
	if (!block->owner && hlist_empty(&block->shares)) {
		__block_own(block, index, context);
		return true;
	}
	if (!share[0] || !share[1])
		return false;
	if (block->owner) {
		bitmap_copy(share[1]->pages, block->pages, BLOCK_PAGES);
		__share_add(block, index, share[1], block->owner);
		share[1] = NULL;
		WRITE_ONCE(block->owner, NULL);
	}
	__share_add(block, index, share[0], context);
	share[0] = NULL;
	return true;
}

static struct block *block_join(struct context *context, unsigned long index)
{
	struct watch *watch = context->watch;
	struct share *share[2] = {};
	bool joined, enough = true;
	struct block *block;

	do {
		/* A block that all have left goes: it may have to be added again. */
		spin_lock(&watch->lock);
		block = xa_load(&watch->blocks, index);
		joined = block && __block_join(block, index, context, share);
		spin_unlock(&watch->lock);
		if (joined)
			break;
		if (!block) {
			enough = block_add(watch, index);
			continue;
		}
		/* One for the context, one for an owner if there is. */
		share[0] = kzalloc(sizeof(*share[0]), GFP_KERNEL_ACCOUNT);
		share[1] = kzalloc(sizeof(*share[1]), GFP_KERNEL_ACCOUNT);
		enough = share[0] && share[1];
	} while (enough);
	kfree(share[0]);
	kfree(share[1]);
	return joined ? block : NULL;
}

/*
 * The block of this address, where the context has bits from now on, as long as
 * it lives; NULL: no memory. May sleep.
 */
struct block *block_get(struct context *context, unsigned long address)
{
	unsigned long index = block_index(address);
	struct block *block;
	bool mine;

	/* Pairs with block_free(). What is the context's stays. */
	rcu_read_lock();
	block = xa_load(&context->watch->blocks, index);
	mine = block && READ_ONCE(block->owner) == context;
	rcu_read_unlock();
	/* Who was the owner has a share since. */
	return likely(mine) ? block : block_join(context, index);
}

/* ---- the zap --------------------------------------------------------------- */

/* How many blocks of one owner are zapped at once: 32 MiB. */
#define STRETCH_BLOCKS 16

/* In so many places one page is looked for. */
#define PLACES 16

/* [first, last] in pages of the map file. */
struct place {
	pgoff_t first;
	pgoff_t last;
};

/**
 * struct sweep - an invalidation's way through the blocks
 * @watch: of the source
 * @first: page of the source
 * @last: page of it
 * @heard: its number
 * @look_only: it cannot wait
 * @hit: it met a page that a mirror may have
 */
struct sweep {
	struct watch *watch;
	unsigned long first;
	unsigned long last;
	unsigned long heard;
	bool look_only;
	bool hit;
};

/**
 * struct places - where a range of the source is in a context's map file
 * @last: the last page of that range
 * @nr: of @at; PLACES_MANY: of its first page alone there are more
 * @at: each in another view
 */
struct places {
	unsigned long last;
	unsigned int nr;
	struct place at[PLACES];
};

#define PLACES_MANY (PLACES + 1)

static struct view *__view_at(struct interval_tree_node *node)
{
	return node ? container_of(node, struct view, node) : NULL;
}

/*
 * Of [first, last], or of as much of it as there is room for: views come in the
 * order in which they start.
 */
static void __places_find(struct context *context, struct places *places,
			  unsigned long first, unsigned long last)
{
	unsigned long start = first << PAGE_SHIFT;
	unsigned long end = ((last + 1) << PAGE_SHIFT) - 1;
	struct view *view, *found[PLACES];
	struct interval_tree_node *node;
	struct place *place;
	unsigned int i;

	lockdep_assert_held(&context->watch->lock);
	places->nr = 0;
	node = interval_tree_iter_first(&context->addresses, start, end);
	for (view = __view_at(node); view && places->nr < PLACES;
	     view = __view_at(node)) {
		found[places->nr++] = view;
		node = interval_tree_iter_next(node, start, end);
	}
	places->last = last;
	if (view && view->address <= start) {
		places->nr = PLACES_MANY;
		return;
	}
	if (view) {
		end = view->address - 1;
		places->last = end >> PAGE_SHIFT;
	}
	/* Each page of each view once, however many parts there are. */
	for (i = 0; i < places->nr; i++) {
		place = &places->at[i];
		place->first = found[i]->pgoff;
		if (found[i]->address < start)
			place->first += (start - found[i]->address) >>
					PAGE_SHIFT;
		place->last = found[i]->pgoff +
			((min(end, found[i]->node.last) - found[i]->address) >>
			 PAGE_SHIFT);
	}
}

/* Zap them. Whether that was all of the context's pages. */
static bool places_zap(struct context *context, const struct places *places)
{
	unsigned int i;

	if (places->nr == PLACES_MANY) {
		mirrors_invalidate_all(context);
		return true;
	}
	for (i = 0; i < places->nr; i++)
		mirrors_invalidate(context, places->at[i].first,
				   places->at[i].last);
	cond_resched();
	return false;
}

/*
 * Called with the lock, which is dropped meanwhile. The context stays: but one that
 * goes may not look again whether it is kept.
 */
static void __context_keep(struct context *context)
	__releases(&context->watch->lock)
{
	WARN_ON_ONCE(context->going);
	context->zaps++;
	spin_unlock(&context->watch->lock);
}

static void __context_let_go(struct context *context)
	__acquires(&context->watch->lock)
{
	spin_lock(&context->watch->lock);
	if (!--context->zaps && context->going)
		wake_up_all(&context->watch->wait);
}

/*
 * Take the source's pages [first, last] out of the context's mirrors. The lock is
 * dropped meanwhile; the context, and what it has in blocks, stays. Whether all
 * of them may be forgotten: so may those of a view that was removed, and must
 * not outlive what was mapped here, for a mirror may come next, and its pages are
 * never noted.
 *
 * A view that is added meanwhile has none of these pages: they are invalid. One that
 * goes meanwhile has its own zap. Where more views show one page than there is room
 * for, all mirrors are emptied, once an invalidation: to go through the mirrors once
 * for each view would have the work grow with the product of both, and whoever may add
 * views choose it.
 */
static bool __context_zap(struct context *context, unsigned long first,
			  unsigned long last, struct sweep *sweep)
	__must_hold(&context->watch->lock)
{
	struct places places;
	bool all;

	/* Nothing of what is invalid has entered since. */
	if (!sweep->look_only && context->emptied == sweep->heard)
		return true;
	__places_find(context, &places, first, last);
	if (!places.nr)
		return true;
	sweep->hit = true;
	if (sweep->look_only)
		return false;
	/* Beside another invalidation one may count twice. */
	if (context->hit != sweep->heard) {
		context->hit = sweep->heard;
		context->counters.invalidations_hit++;
	}
	do {
		__context_keep(context);
		all = places_zap(context, &places);
		__context_let_go(context);
		if (all)
			context->emptied = sweep->heard;
		if (all || places.last == last)
			break;
		__places_find(context, &places, places.last + 1, last);
		/* Who goes has no mirror any more, and may not be kept. */
	} while (places.nr && !context->going);
	return true;
}

/* To where the owner of a block, who has pages up to last, has more beyond it. */
static unsigned long __owner_stretch(struct sweep *sweep, unsigned long index,
				     const struct context *owner,
				     unsigned long last)
{
	unsigned long end = min(index + STRETCH_BLOCKS - 1,
				sweep->last / BLOCK_PAGES);
	unsigned int low, high, bit;
	struct block *block;

	while (++index <= end) {
		block = xa_load(&sweep->watch->blocks, index);
		if (!block || block->owner != owner)
			break;
		block_clip(index, sweep->first, sweep->last, &low, &high);
		bit = find_last_bit(block->pages, high);
		if (bit == high)
			break;
		last = index * BLOCK_PAGES + bit;
	}
	return last;
}

/* The pages [first, last] of an owner, in a few blocks, are in no mirror. */
static void __owner_forget(struct context *owner, unsigned long first,
			   unsigned long last)
{
	unsigned long *pages, index;
	unsigned int low, high;
	struct block *block;
	struct share *share;

	for (index = first / BLOCK_PAGES; index <= last / BLOCK_PAGES;
	     index++) {
		/* Others may look there too since. */
		block = xa_load(&owner->watch->blocks, index);
		share = __share_find(owner, index);
		pages = share ? share->pages :
			block && block->owner == owner ? block->pages : NULL;
		block_clip(index, first, last, &low, &high);
		if (pages)
			bitmap_clear(pages, low, high - low);
	}
}

static void __owner_sweep(struct block *block, unsigned long index,
			  unsigned int low, unsigned int high,
			  struct sweep *sweep)
	__must_hold(&sweep->watch->lock)
{
	struct context *owner = block->owner;
	unsigned long first = find_next_bit(block->pages, high, low);
	unsigned long last;

	first += index * BLOCK_PAGES;
	last = index * BLOCK_PAGES + find_last_bit(block->pages, high);
	last = __owner_stretch(sweep, index, owner, last);
	if (__context_zap(owner, first, last, sweep))
		__owner_forget(owner, first, last);
}

/* How many shares are looked at with the lock held all the time. */
#define SHARES_AT_ONCE 256

static void __shares_sweep(struct block *block, unsigned long index,
			   unsigned int low, unsigned int high,
			   struct sweep *sweep)
	__must_hold(&sweep->watch->lock)
{
	unsigned long first, base = index * BLOCK_PAGES;
	struct context *context;
	unsigned int nr = 0;
	struct share *share;

	hlist_for_each_entry(share, &block->shares, in_block) {
		context = share->context;
		first = find_next_bit(share->pages, high, low);
		/* Who goes has no mirror, and is not to be kept. */
		if (first < high && !context->going) {
			if (!__context_zap(context, base + first,
					   base + find_last_bit(share->pages,
								high), sweep))
				return;
			bitmap_clear(share->pages, low, high - low);
		}
		/* Nor who goes since. */
		if (++nr < SHARES_AT_ONCE || context->going)
			continue;
		nr = 0;
		__context_keep(context);
		if (!sweep->look_only)
			cond_resched();
		__context_let_go(context);
	}
	/* Who came meanwhile has nothing in the range, which is invalid. */
	bitmap_clear(block->pages, low, high - low);
}

static void block_sweep(unsigned long index, struct sweep *sweep)
{
	struct watch *watch = sweep->watch;
	unsigned int low, high;
	struct block *block;

	block_clip(index, sweep->first, sweep->last, &low, &high);
	spin_lock(&watch->lock);
	block = xa_load(&watch->blocks, index);
	if (!block || find_next_bit(block->pages, high, low) >= high)
		goto out;
	if (!block->owner)
		__shares_sweep(block, index, low, high, sweep);
	else if (!block->owner->going)
		__owner_sweep(block, index, low, high, sweep);
out:
	spin_unlock(&watch->lock);
}

static void blocks_sweep(struct sweep *sweep)
{
	unsigned long index = sweep->first / BLOCK_PAGES;
	unsigned long end = sweep->last / BLOCK_PAGES;
	struct block *block;

	if (index == end) {
		block_sweep(index, sweep);
		return;
	}
	xa_for_each_range(&sweep->watch->blocks, index, block, index, end) {
		block_sweep(index, sweep);
		if (!sweep->look_only)
			cond_resched();
		else if (sweep->hit)
			break;
	}
}

/*
 * Take the source's pages [first, last] out of all mirrors, in an invalidation
 * of them that may sleep: the one of that number. Whether there was one.
 */
bool blocks_zap(struct watch *watch, unsigned long first, unsigned long last,
		unsigned long heard)
{
	struct sweep sweep = {
		.watch = watch,
		.first = first,
		.last = last,
		.heard = heard,
	};

	blocks_sweep(&sweep);
	return sweep.hit;
}

/* Whether a mirror may have one of them: for one that may not sleep. */
bool blocks_mirrored(struct watch *watch, unsigned long first,
		     unsigned long last)
{
	struct sweep sweep = {
		.watch = watch,
		.first = first,
		.last = last,
		.look_only = true,
	};

	blocks_sweep(&sweep);
	return sweep.hit;
}

/* ---- beginning and end ----------------------------------------------------- */

static void block_free(struct rcu_head *rcu)
{
	kmem_cache_free(block_cache, container_of(rcu, struct block, rcu));
}

/* The context, or its share, has left it. */
static void __block_left(struct watch *watch, struct block *block,
			 unsigned long index)
{
	if (block->owner || !hlist_empty(&block->shares))
		return;
	xa_erase(&watch->blocks, index);
	if (xa_empty(&watch->blocks)) {
		watch->first = ULONG_MAX;
		watch->last = 0;
	}
	/* Pairs with block_get(). */
	call_rcu(&block->rcu, block_free);
}

static void blocks_leave_owned(struct context *context)
{
	struct watch *watch = context->watch;
	struct block *block;
	unsigned long index;

	xa_for_each_range(&watch->blocks, index, block, context->owned_first,
			  context->owned_last) {
		spin_lock(&watch->lock);
		block = xa_load(&watch->blocks, index);
		if (block && block->owner == context) {
			WRITE_ONCE(block->owner, NULL);
			__block_left(watch, block, index);
		}
		spin_unlock(&watch->lock);
		cond_resched();
	}
}

/* The context goes, and no invalidation is at it. */
void blocks_leave(struct context *context)
{
	struct watch *watch = context->watch;
	struct share *share;

	/* Who owned one before this and has a share since is found below. */
	blocks_leave_owned(context);
	do {
		spin_lock(&watch->lock);
		share = share_of(rb_first(&context->shares));
		if (share) {
			rb_erase(&share->in_context, &context->shares);
			hlist_del(&share->in_block);
			__block_left(watch, xa_load(&watch->blocks, share->index),
				     share->index);
		}
		spin_unlock(&watch->lock);
		kfree(share);
		cond_resched();
	} while (share);
}

int __init blocks_init(void)
{
	block_cache = kmem_cache_create("remote_mapping_block",
					sizeof(struct block), 0, SLAB_ACCOUNT,
					NULL);
	return block_cache ? 0 : -ENOMEM;
}

/* All watches are freed, and the core's callbacks are done. */
void blocks_exit(void)
{
	kmem_cache_destroy(block_cache);
}
