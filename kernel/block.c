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
#include <linux/slab.h>

#include "remote_mapping.h"

/**
 * struct share - which pages of a block may be in one context's mirrors
 * @pages: as the block's
 * @context: whose
 * @node: in block->shares
 */
struct share {
	DECLARE_BITMAP(pages, BLOCK_PAGES);
	struct context *context;
	struct hlist_node node;
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

/* The context's bits in the block, or NULL if it has not looked there. */
unsigned long *__block_pages(struct block *block, const struct context *context)
{
	struct share *share;

	lockdep_assert_held(&context->watch->lock);
	if (block->owner == context)
		return block->pages;
	hlist_for_each_entry(share, &block->shares, node)
		if (share->context == context)
			return share->pages;
	return NULL;
}

/*
 * The pages [first, last] are in no mirror of the context any more, and nothing
 * enters meanwhile: an invalidation lasts, or no view is left.
 */
void blocks_forget(struct context *context, unsigned long first,
		   unsigned long last, bool may_sleep)
{
	struct watch *watch = context->watch;
	unsigned long index, *pages;
	unsigned int low, high;
	struct block *block;

	xa_for_each_range(&watch->blocks, index, block, first / BLOCK_PAGES,
			  last / BLOCK_PAGES) {
		block_clip(index, first, last, &low, &high);
		spin_lock(&watch->lock);
		pages = __block_pages(block, context);
		if (pages)
			bitmap_clear(pages, low, high - low);
		spin_unlock(&watch->lock);
		if (may_sleep)
			cond_resched();
	}
}

/* ---- looking at a block for the first time ----------------------------------- */

static struct block *block_add(struct watch *watch, unsigned long index)
{
	struct block *block, *old;

	block = kmem_cache_zalloc(block_cache, GFP_KERNEL_ACCOUNT);
	if (!block)
		return NULL;
	old = xa_cmpxchg(&watch->blocks, index, NULL, block,
			 GFP_KERNEL_ACCOUNT);
	if (!old)
		return block;
	/* Another fault was first, or there was no memory. */
	kmem_cache_free(block_cache, block);
	return xa_is_err(old) ? NULL : old;
}

static void __share_add(struct block *block, struct share *share,
			struct context *context)
{
	share->context = context;
	hlist_add_head(&share->node, &block->shares);
}

/* Whether the context has bits there now; for some it takes new shares. */
static bool __block_join(struct block *block, unsigned long index,
			 struct context *context, struct share *share[2])
{
	struct watch *watch = context->watch;

	if (__block_pages(block, context))
		return true;
	if (!block->owner && hlist_empty(&block->shares)) {
		watch->first = min(watch->first, index * BLOCK_PAGES);
		watch->last = max(watch->last,
				  index * BLOCK_PAGES + BLOCK_PAGES - 1);
		bitmap_zero(block->pages, BLOCK_PAGES);
		WRITE_ONCE(block->owner, context);
		return true;
	}
	if (!share[0] || !share[1])
		return false;
	if (block->owner) {
		bitmap_copy(share[1]->pages, block->pages, BLOCK_PAGES);
		__share_add(block, share[1], block->owner);
		share[1] = NULL;
		WRITE_ONCE(block->owner, NULL);
	}
	__share_add(block, share[0], context);
	share[0] = NULL;
	return true;
}

static bool block_join(struct block *block, unsigned long index,
		       struct context *context)
{
	struct watch *watch = context->watch;
	struct share *share[2] = {};
	bool joined;

	spin_lock(&watch->lock);
	joined = __block_join(block, index, context, share);
	spin_unlock(&watch->lock);
	if (joined)
		return true;

	/* One for the context, one for an owner if there is. */
	share[0] = kzalloc(sizeof(*share[0]), GFP_KERNEL_ACCOUNT);
	share[1] = kzalloc(sizeof(*share[1]), GFP_KERNEL_ACCOUNT);
	spin_lock(&watch->lock);
	joined = __block_join(block, index, context, share);
	spin_unlock(&watch->lock);
	kfree(share[0]);
	kfree(share[1]);
	return joined;
}

/*
 * The block of this address, where the context has bits from now on, as long as
 * it lives; NULL: no memory. May sleep.
 */
struct block *block_get(struct context *context, unsigned long address)
{
	unsigned long index = (address >> PAGE_SHIFT) / BLOCK_PAGES;
	struct watch *watch = context->watch;
	struct block *block = xa_load(&watch->blocks, index);

	if (!block)
		block = block_add(watch, index);
	/* Who was the owner has a share since. */
	if (block && READ_ONCE(block->owner) != context &&
	    !block_join(block, index, context))
		return NULL;
	return block;
}

/* ---- the zap --------------------------------------------------------------- */

/* How many blocks of one owner are zapped at once: 32 MiB. */
#define STRETCH_BLOCKS 16

/* Where more views meet, all mirrors are zapped: too much does no harm. */
#define PLACES 8

/* [first, last] in pages of the map file. */
struct place {
	pgoff_t first;
	pgoff_t last;
};

/**
 * struct sweep - an invalidation's way through the blocks
 * @watch: of the source
 * @range: the core's; NULL: the address space goes
 * @first: page of the source
 * @last: page of it
 * @heard: its number
 * @look_only: it cannot wait
 * @hit: it met a page that a mirror may have
 */
struct sweep {
	struct watch *watch;
	const struct mmu_notifier_range *range;
	unsigned long first;
	unsigned long last;
	unsigned long heard;
	bool look_only;
	bool hit;
};

/* Where the source's pages [first, last] are in the context's map file. */
static unsigned int __context_places(struct context *context,
				     unsigned long first, unsigned long last,
				     struct place *places)
{
	unsigned long start = first << PAGE_SHIFT, from, to;
	unsigned long end = ((last + 1) << PAGE_SHIFT) - 1;
	struct interval_tree_node *node;
	unsigned int nr = 0;
	struct view *view;
	struct place place;

	lockdep_assert_held(&context->watch->lock);
	for (node = interval_tree_iter_first(&context->addresses, start, end);
	     node; node = interval_tree_iter_next(node, start, end)) {
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

/*
 * Take the source's pages [first, last] out of the context's mirrors. The lock
 * is dropped meanwhile; the context, and what it has in blocks, stays. A view
 * that was removed may have left bits: they must not outlive what was mapped
 * here, for a mirror may come next, and its pages are never noted.
 */
static void __context_zap(struct context *context, unsigned long first,
			  unsigned long last, struct sweep *sweep)
	__must_hold(&sweep->watch->lock)
{
	struct watch *watch = sweep->watch;
	struct place places[PLACES];
	unsigned int i, nr;

	nr = __context_places(context, first, last, places);
	sweep->hit |= nr;
	if (nr && sweep->look_only)
		return;
	if (nr && context->hit != sweep->heard) {
		context->hit = sweep->heard;
		context->counters.invalidations_hit++;
	}
	context->zaps++;
	spin_unlock(&watch->lock);

	for (i = 0; i < nr; i++)
		mirrors_invalidate(context, places[i].first, places[i].last,
				   sweep->range);
	blocks_forget(context, first, last, !sweep->look_only);

	spin_lock(&watch->lock);
	if (!--context->zaps && context->going)
		wake_up_all(&watch->wait);
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

/* What the context may have of bits [low, high) of a block. */
static void __context_sweep(struct context *context, const struct block *block,
			    const unsigned long *pages, unsigned long index,
			    unsigned int low, unsigned int high,
			    struct sweep *sweep)
{
	unsigned long last, first = find_next_bit(pages, high, low);

	/* Who goes has no mirror, and is not to be kept. */
	if (first >= high || context->going)
		return;
	first += index * BLOCK_PAGES;
	last = index * BLOCK_PAGES + find_last_bit(pages, high);
	if (block->owner)
		last = __owner_stretch(sweep, index, context, last);
	__context_zap(context, first, last, sweep);
}

static void block_sweep(struct block *block, unsigned long index,
			struct sweep *sweep)
{
	struct watch *watch = sweep->watch;
	unsigned int low, high;
	struct share *share;

	block_clip(index, sweep->first, sweep->last, &low, &high);
	spin_lock(&watch->lock);
	if (find_next_bit(block->pages, high, low) >= high)
		goto out;
	if (block->owner) {
		__context_sweep(block->owner, block, block->pages, index, low,
				high, sweep);
		goto out;
	}
	hlist_for_each_entry(share, &block->shares, node) {
		__context_sweep(share->context, block, share->pages, index, low,
				high, sweep);
		if (sweep->hit && sweep->look_only)
			goto out;
	}
	bitmap_clear(block->pages, low, high - low);
out:
	spin_unlock(&watch->lock);
}

static void blocks_sweep(struct sweep *sweep)
{
	unsigned long index = sweep->first / BLOCK_PAGES;
	unsigned long end = sweep->last / BLOCK_PAGES;
	struct xarray *blocks = &sweep->watch->blocks;
	struct block *block;

	if (index == end) {
		block = xa_load(blocks, index);
		if (block)
			block_sweep(block, index, sweep);
		return;
	}
	xa_for_each_range(blocks, index, block, index, end) {
		block_sweep(block, index, sweep);
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
		const struct mmu_notifier_range *range, unsigned long heard)
{
	struct sweep sweep = {
		.watch = watch,
		.range = range,
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

static struct share *__block_leave(struct block *block,
				   const struct context *context)
{
	struct share *share;

	if (block->owner == context)
		WRITE_ONCE(block->owner, NULL);
	hlist_for_each_entry(share, &block->shares, node) {
		if (share->context != context)
			continue;
		hlist_del(&share->node);
		return share;
	}
	return NULL;
}

/* The context goes, and no invalidation is at it. */
void blocks_leave(struct context *context)
{
	struct watch *watch = context->watch;
	struct share *share;
	struct block *block;
	unsigned long index;

	xa_for_each(&watch->blocks, index, block) {
		spin_lock(&watch->lock);
		share = __block_leave(block, context);
		spin_unlock(&watch->lock);
		kfree(share);
		cond_resched();
	}
}

/* No context is left. */
void blocks_free(struct watch *watch)
{
	struct block *block;
	unsigned long index;

	xa_for_each(&watch->blocks, index, block) {
		kmem_cache_free(block_cache, block);
		cond_resched();
	}
	xa_destroy(&watch->blocks);
}

int __init blocks_init(void)
{
	block_cache = kmem_cache_create("remote_mapping_block",
					sizeof(struct block), 0, SLAB_ACCOUNT,
					NULL);
	return block_cache ? 0 : -ENOMEM;
}

/* All watches are freed. */
void blocks_exit(void)
{
	kmem_cache_destroy(block_cache);
}
