// SPDX-License-Identifier: GPL-2.0
/*
 * Viewers: where the mirrors are in the address spaces of those who look, and
 * the zap that takes pages out of them.
 *
 * A zap happens inside a notifier of the source, and whoever called that may
 * hold the i_mmap_rwsem of any file, or any anon_vma's lock: reclaim and
 * truncation do. So it may wait for none of these: mm_take_all_locks(), by which
 * anybody registers a notifier on a viewer, takes all of a viewer's at once, in
 * an order of its own. The one lock that a zap waits for is one that the core
 * does not know of: context->mirrors_lock.
 *
 * Three things follow.
 *
 * The page tables and the VMA of a mirror must not go while a zap is at them.
 * They go in munmap, mremap, an mmap over them, or exit. Each tells the notifiers
 * of the viewer's address space before (MMU_NOTIFY_UNMAP, release), while the
 * range is still whole; there viewer_unlink() empties its mirrors and unlinks
 * them under mirrors_lock, so that zaps under way have ended and later ones have
 * nothing to find.
 *
 * No notifier may be registered on the viewer while a zap tells its notifiers
 * of a start and an end: it would hear one without the other. What keeps it out
 * is any lock that registration takes, held for reading, if it can be had
 * without waiting; if not, see mirror_zap_aside().
 *
 * Nothing may enter a mirror that zaps do not find. Invariant: a mirror with
 * pages in it is linked, and its bounds do not change as long as it is. A fault
 * links its mirror before it looks at the source. Between that and the page's
 * entry nothing can unlink it: who unmaps or splits a VMA has locked it for
 * writing, and a mirror is emptied before it is unlinked.
 *
 * Lock order: viewer->mutex, context->mirrors_lock, i_mmap_rwsem of the map file.
 * No memory is allocated with any of them held: reclaim may have to zap.
 */
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "remote_mapping.h"

/*
 * To register a notifier takes all locks of an address space. One that has lost
 * its last mirror is kept for a while: those who map, look and unmap come again.
 */
#define IDLE_JIFFIES HZ

/**
 * struct viewer - an address space with mirrors in it
 * @notifier: each mirror there has a reference, or @idle_work has the last
 * @nr: of mirrors; protected, as @idle, by viewers_lock
 * @idle: @idle_work has a reference, and is queued; else it may be, for nothing
 * @idle_work: lets go of it
 * @mutex: protects all that follows, and what says whether a mirror is linked
 * @mirrors: those that are linked, by the addresses they had then
 */
struct viewer {
	struct mmu_notifier notifier;
	unsigned long nr;
	bool idle;
	struct delayed_work idle_work;
	struct mutex mutex; /* all that follows */
	struct rb_root_cached mirrors;
};

/* Not the viewer's own: who unlocks it may have let go of the viewer. */
static DEFINE_SPINLOCK(viewers_lock);

/* ---- linked and unlinked ---------------------------------------------------- */

/* With the viewer's mmap_lock held, or the VMA's own. */
static int __mirror_link(struct mirror *mirror)
{
	struct vm_area_struct *vma = mirror->vma;
	struct context *context = mirror->context;

	lockdep_assert_held(&mirror->viewer->mutex);
	if (down_write_killable(&context->mirrors_lock))
		return -EINTR;
	mirror->pages.start = linear_page_index(vma, vma->vm_start);
	mirror->pages.last = mirror->pages.start + vma_pages(vma) - 1;
	mirror->addresses.start = vma->vm_start;
	mirror->addresses.last = vma->vm_end - 1;
	interval_tree_insert(&mirror->pages, &context->mirrors);
	up_write(&context->mirrors_lock);
	interval_tree_insert(&mirror->addresses, &mirror->viewer->mirrors);
	/* Pairs with mirror_link(). */
	smp_store_release(&mirror->linked, true);
	return 0;
}

/* It is empty. */
static void __mirror_unlink(struct mirror *mirror)
{
	lockdep_assert_held(&mirror->viewer->mutex);
	lockdep_assert_held_write(&mirror->context->mirrors_lock);
	WRITE_ONCE(mirror->linked, false);
	interval_tree_remove(&mirror->pages, &mirror->context->mirrors);
	interval_tree_remove(&mirror->addresses, &mirror->viewer->mirrors);
}

/*
 * Before anything enters: with the viewer's mmap_lock held, or the VMA's lock.
 * EINTR: who waited has been killed.
 */
int mirror_link(struct mirror *mirror)
{
	struct viewer *viewer = mirror->viewer;
	int ret = 0;

	/* Pairs with __mirror_link(). */
	if (likely(smp_load_acquire(&mirror->linked)))
		return 0;
	if (mutex_lock_killable(&viewer->mutex))
		return -EINTR;
	if (!mirror->linked)
		ret = __mirror_link(mirror);
	mutex_unlock(&viewer->mutex);
	return ret;
}

/* ---- registration ----------------------------------------------------------- */

/* Who holds a lock and sleeps; how often it had slept or been preempted before. */
struct holder {
	const struct task_struct *task; /* compared only */
	unsigned long switches;
};

/*
 * Registrations of the module's own that are under way; a zap that cannot keep
 * one of these out joins it. Zaps that go on beside another's registration. And
 * the last such registration, which had not moved for long.
 */
static LIST_HEAD(registrations);
static LIST_HEAD(loose_zaps);
static struct holder stuck;
static DEFINE_SPINLOCK(registrations_lock); /* all of these */
static DECLARE_WAIT_QUEUE_HEAD(registrations_wait);

/* Called with the mmap_lock of mm held for writing, which stays. */
void registration_begin(struct registration *registration, struct mm_struct *mm)
{
	registration->mm = mm;
	registration->zaps = 0;
	spin_lock(&registrations_lock);
	list_add(&registration->list, &registrations);
	spin_unlock(&registrations_lock);
}

static bool registration_has_zaps(const struct registration *registration)
{
	struct registration *loose;
	bool has;

	spin_lock(&registrations_lock);
	has = registration->zaps;
	list_for_each_entry(loose, &loose_zaps, list)
		has |= loose->mm == registration->mm;
	spin_unlock(&registrations_lock);
	return has;
}

/*
 * What was registered may have heard the end of a zap without its start, up to
 * now. As long as the mmap_lock is held nobody else can have registered.
 */
void registration_end(struct registration *registration)
{
	spin_lock(&registrations_lock);
	list_del(&registration->list);
	spin_unlock(&registrations_lock);
	wait_event(registrations_wait, !registration_has_zaps(registration));
}

/* Join one of that address space; if there is none, be loose. */
static struct registration *registration_join(struct mm_struct *mm,
					      struct registration *loose)
{
	struct registration *registration;

	spin_lock(&registrations_lock);
	list_for_each_entry(registration, &registrations, list) {
		if (registration->mm != mm)
			continue;
		registration->zaps++;
		spin_unlock(&registrations_lock);
		return registration;
	}
	if (loose) {
		loose->mm = mm;
		list_add(&loose->list, &loose_zaps);
	}
	spin_unlock(&registrations_lock);
	return NULL;
}

static void registration_leave(struct registration *registration,
			       struct registration *loose)
{
	spin_lock(&registrations_lock);
	if (registration)
		registration->zaps--;
	else
		list_del(&loose->list);
	wake_up_all(&registrations_wait);
	spin_unlock(&registrations_lock);
}

static bool holder_is(const struct holder *holder, const struct holder *other)
{
	return holder->task == other->task &&
	       holder->switches == other->switches;
}

/* Zaps that meet the same one, unmoved, need not wait again. */
static void holder_note(const struct holder *holder)
{
	spin_lock(&registrations_lock);
	stuck = *holder;
	spin_unlock(&registrations_lock);
}

static bool holder_noted(const struct holder *holder)
{
	bool noted;

	spin_lock(&registrations_lock);
	noted = holder_is(holder, &stuck);
	spin_unlock(&registrations_lock);
	return noted;
}

/* Whether somebody registers, has the map file's lock, and sleeps. */
static bool holder_sleeps(struct address_space *mapping, struct holder *holder)
{
	struct task_struct *task;
	bool sleeps = false;

	if (!test_bit(AS_MM_ALL_LOCKS, &mapping->flags))
		return false;
	/* Who had the lock a moment ago is not freed meanwhile. */
	rcu_read_lock();
	task = compat_rwsem_writer(&mapping->i_mmap_rwsem);
	if (task) {
		sleeps = READ_ONCE(task->__state) == TASK_UNINTERRUPTIBLE;
		holder->task = task;
		holder->switches = READ_ONCE(task->nvcsw) +
				   READ_ONCE(task->nivcsw);
	}
	rcu_read_unlock();
	return sleeps;
}

/* ---- the zap --------------------------------------------------------------- */

/* The entry of 1 GiB for an address, or NULL if there is no table for it. */
pud_t *pud_of(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d))
		return NULL;
	return pud_offset(p4d, address);
}

/*
 * Whether a giant page is there. With mirrors_lock, which keeps others out:
 * mirror.c. A zap of a part of it by the core would need the mmap_lock.
 */
static bool mirror_is_giant(struct mm_struct *mm, unsigned long address)
{
	pud_t *pud = pud_of(mm, address);

	return COMPAT_HAS_GIANTS && pud && pud_leaf(pudp_get(pud));
}

/* To zap is dearer than to look, up to so many pages. */
#define LOOK_PAGES 16

/*
 * Whether no page is in [start, end) of a mirror, a few pages. The tables are
 * there and stay, as for a zap; nothing enters meanwhile that the zap would have
 * to take. One who took entries out may have yet to flush them: it says so
 * before it takes the lock of their table.
 */
static bool mirror_is_empty(struct mm_struct *mm, unsigned long start,
			    unsigned long end)
{
	spinlock_t *lock; /* the page table's */
	pud_t *pud, giant;
	bool empty = true;
	pmd_t *pmd, value;
	pte_t *pte;

	/* Two tables are not worth the trouble. */
	if ((start ^ (end - 1)) & PMD_MASK)
		return false;
	pud = pud_of(mm, start);
	if (!pud)
		return true;
	giant = pudp_get(pud);
	if (pud_none(giant)) {
		spin_unlock(pud_lock(mm, pud));
		return !mm_tlb_flush_pending(mm);
	}
	if (pud_leaf(giant))
		return false;
	pmd = pmd_offset(pud, start);
	value = pmdp_get_lockless(pmd);
	if (pmd_none(value)) {
		spin_unlock(pmd_lock(mm, pmd));
		return !mm_tlb_flush_pending(mm);
	}
	if (pmd_leaf(value))
		return false;
	lock = pte_lockptr(mm, pmd);
	pte = pte_offset_kernel(pmd, start);
	spin_lock(lock);
	for (; empty && start < end; start += PAGE_SIZE, pte++)
		empty = pte_none(ptep_get(pte));
	empty = empty && !mm_tlb_flush_pending(mm);
	spin_unlock(lock);
	return empty;
}

/*
 * The core's notifiers of the viewer are called here, possibly inside one of
 * the source: the same to lockdep, and no cycle, as watch.c says.
 */
static void vma_zap(struct vm_area_struct *vma, unsigned long start,
		    unsigned long last)
{
	lockdep_off();
	zap_special_vma_range(vma, start, last - start + 1);
	lockdep_on();
}

static void mirror_empty(struct mirror *mirror)
{
	vma_zap(mirror->vma, mirror->addresses.start, mirror->addresses.last);
}

/* How many pages are taken out without a pause: 32 MiB, */
#define ZAP_PAGES 8192UL
/* and where a lock cannot be had that ought to be. */
#define ZAP_PAGES_ASIDE 512UL

/**
 * struct zap - which pages of the map file are to be taken out of mirrors
 * @context: whose
 * @first: page of the part that is taken out now
 * @last: page of it
 * @empty: there are no page tables for it in any mirror
 * @mapped: i_mmap_rwsem of the map file is held
 * @look_first: many mirrors are concerned, and few pages
 */
struct zap {
	struct context *context;
	pgoff_t first;
	pgoff_t last;
	bool empty;
	bool mapped;
	bool look_first;
};

/*
 * Where nothing is found, another may have taken a huge page out and not have
 * flushed it yet: who splits one (a walk of the page table) does both with the lock
 * of its table, and tells nobody. A zap passes over what is empty without it.
 * Another zap says so before it takes the lock, and may flush long after.
 */
static void mirror_flushed(struct mm_struct *mm, unsigned long start,
			   unsigned long end)
{
	unsigned long next;
	pud_t *pud, value;
	pmd_t *pmd;

	for (; start < end; start = next) {
		if (!(start & ~PUD_MASK))
			cond_resched();
		next = ALIGN(start + 1, P4D_SIZE);
		pud = pud_of(mm, start);
		if (!pud)
			continue;
		next = ALIGN(start + 1, PUD_SIZE);
		value = pudp_get(pud);
		if (pud_none(value) || pud_leaf(value)) {
			spin_unlock(pud_lock(mm, pud));
			continue;
		}
		next = ALIGN(start + 1, PMD_SIZE);
		pmd = pmd_offset(pud, start);
		if (pmd_none(pmdp_get_lockless(pmd)))
			spin_unlock(pmd_lock(mm, pmd));
	}
}

/*
 * A giant page is taken out whole: to take out too much does no harm. It lies in
 * the mirror. What of it was not to go stays noted.
 */
static void mirror_zap(struct mirror *mirror, const struct zap *zap)
{
	struct mm_struct *mm = mirror->vma->vm_mm;
	pgoff_t first = max(zap->first, mirror->pages.start);
	pgoff_t last = min(zap->last, mirror->pages.last);
	unsigned long start, end;

	start = mirror->addresses.start +
		(first - mirror->pages.start) * PAGE_SIZE;
	end = start + (last - first + 1) * PAGE_SIZE;
	if (zap->empty) {
		mirror_flushed(mm, start, end);
		if (!mm_tlb_flush_pending(mm))
			return;
	}
	if (zap->look_first && mirror_is_empty(mm, start, end))
		return;
	if (mirror_is_giant(mm, start))
		start = ALIGN_DOWN(start, PUD_SIZE);
	if (mirror_is_giant(mm, end - 1))
		end = ALIGN(end, PUD_SIZE);
	vma_zap(mirror->vma, start, end - 1);
	mirror_flushed(mm, start, end);
}

/* How long another's registration must not have moved to be passed. */
#define PATIENCE (HZ / 4)

/* Try for a lock that keeps registrations on the viewer out, and zap. */
static bool mirror_zap_locked(struct mirror *mirror, struct zap *zap)
{
	struct mm_struct *mm = mirror->vma->vm_mm;

	if (i_mmap_trylock_read(zap->context->inode.i_mapping)) {
		zap->mapped = true;
		mirror_zap(mirror, zap);
		return true;
	}
	if (mmap_read_trylock(mm)) {
		mirror_zap(mirror, zap);
		mmap_read_unlock(mm);
		return true;
	}
	return false;
}

/* For so many pages, from this one of the file on, a mirror has no page tables. */
static unsigned long tables_missing(const struct mirror *mirror, pgoff_t pgoff)
{
	unsigned long address = mirror->addresses.start +
				(pgoff - mirror->pages.start) * PAGE_SIZE;
	pud_t *pud = pud_of(mirror->vma->vm_mm, address);

	if (!pud)
		return (ALIGN(address + 1, P4D_SIZE) - address) >> PAGE_SHIFT;
	if (pud_none(pudp_get(pud)))
		return (ALIGN(address + 1, PUD_SIZE) - address) >> PAGE_SHIFT;
	return 0;
}

/* Up to which page a zap goes in one part, without a lock that it ought to have. */
static pgoff_t zap_step(const struct mirror *mirror, pgoff_t first)
{
	return first + (tables_missing(mirror, first) ?: ZAP_PAGES_ASIDE) - 1;
}

/*
 * Somebody has the map file's i_mmap_rwsem for writing, or waits for it. One who
 * links or unlinks a VMA will be done in a moment, and no more of them come as
 * long as context->aside says that somebody is here. One who registers a notifier
 * says so in the mapping's flags, and may wait for a lock that our caller has, and
 * so for us. Then:
 *
 * - It is not on this viewer: its mmap_lock can be had, unless a giant page is
 *   about to enter there and waits for us (mirror.c).
 * - It is the module's own registration: it is joined.
 * - It is another's, and has slept for a while, without having run in between. It
 *   has the map file's lock, and the mutex of all registrations: there is only
 *   this one. That it waits for us is as good as sure, and as long as it does it
 *   is no danger. We go on without a lock. If after all it waits for another, and
 *   is woken while we zap, what it registers may hear an end without a start.
 */
static void mirror_zap_aside(struct mirror *mirror, struct zap *zap)
{
	struct address_space *mapping = zap->context->inode.i_mapping;
	struct holder holder, last = {};
	struct registration *registration, loose;
	unsigned long since = jiffies;
	bool is_stuck;

	while (!mirror_zap_locked(mirror, zap)) {
		is_stuck = false;
		if (!holder_sleeps(mapping, &holder)) {
			last.task = NULL;
		} else if (!holder_is(&holder, &last)) {
			last = holder;
			since = jiffies;
			is_stuck = holder_noted(&holder);
		} else {
			is_stuck = time_after(jiffies, since + PATIENCE) ||
				   holder_noted(&holder);
		}
		registration = registration_join(mirror->vma->vm_mm,
						 is_stuck ? &loose : NULL);
		if (registration || is_stuck) {
			/* What had no tables may have since; not from now on. */
			if (!registration)
				zap->last = min(zap->last,
						zap_step(mirror, zap->first));
			mirror_zap(mirror, zap);
			registration_leave(registration, &loose);
			if (!registration)
				holder_note(&holder);
			return;
		}
		fsleep(50);
	}
}

/*
 * Before the map file's i_mmap_rwsem is taken for writing, by the core, in mmap,
 * munmap, mremap, a split, or exit, soon or in a while: those who try for it
 * come first. It helps them to get their turn, and no more.
 */
static void mirrors_give_way(struct context *context)
{
	wait_event_timeout(context->aside_wait, !atomic_read(&context->aside),
			   HZ);
}

static void aside_begin(struct context *context)
{
	atomic_inc(&context->aside);
}

static void aside_end(struct context *context)
{
	if (atomic_dec_and_test(&context->aside))
		wake_up_all(&context->aside_wait);
}

/* Little by little: who was in the way may be gone each time. */
static void mirrors_zap_aside(struct mirror *mirror, struct zap *zap)
{
	pgoff_t last = min(zap->last, mirror->pages.last);
	struct zap part = *zap;

	aside_begin(zap->context);
	part.first = max(zap->first, mirror->pages.start);
	while (part.first <= last) {
		part.last = last;
		if (part.mapped) {
			mirror_zap(mirror, &part);
			break;
		}
		part.last = min(last, zap_step(mirror, part.first));
		mirror_zap_aside(mirror, &part);
		part.first = part.last + 1;
	}
	zap->mapped = part.mapped;
	aside_end(zap->context);
}

/*
 * Where mirrors are large and have little, it is not to take the time that it
 * takes to go through all of them. Up to where, from zap->first on and to last,
 * no mirror has page tables: at zap->last or beyond, or 0. Mirrors come in the
 * order of their first pages.
 */
static pgoff_t __mirrors_empty(const struct zap *zap, pgoff_t last)
{
	struct interval_tree_node *node;
	struct mirror *mirror;
	pgoff_t first, until;

	for (node = interval_tree_iter_first(&zap->context->mirrors, zap->first,
					     last);
	     node && node->start <= last;
	     node = interval_tree_iter_next(node, zap->first, last)) {
		if (node->start > zap->last) {
			last = node->start - 1;
			break;
		}
		mirror = container_of(node, struct mirror, pages);
		first = max(zap->first, node->start);
		until = first + tables_missing(mirror, first);
		if (until <= node->last)
			last = min(last, until - 1);
		if (until == first || last < zap->last)
			return 0;
	}
	return last;
}

/*
 * Take out the first part of [first, last]; where the next begins, or 0. Called
 * with mirrors_lock, and zap->mapped.
 */
static pgoff_t __mirrors_zap_part(struct zap *zap, pgoff_t first, pgoff_t last)
{
	struct context *context = zap->context;
	struct interval_tree_node *node, *next;
	struct mirror *mirror;
	pgoff_t empty = 0;

	node = interval_tree_iter_first(&context->mirrors, first, last);
	if (!node)
		return 0;
	zap->first = max(first, node->start);
	zap->last = min(last - zap->first, ZAP_PAGES - 1) + zap->first;
	if (zap->last != last)
		empty = __mirrors_empty(zap, last);
	zap->empty = empty;
	zap->last = max(zap->last, empty);
	/* Somebody has the page. Of many, most may not. */
	next = interval_tree_iter_next(node, zap->first, zap->last);
	zap->look_first = next && zap->last - zap->first < LOOK_PAGES;
	while (node) {
		next = interval_tree_iter_next(node, zap->first, zap->last);
		mirror = container_of(node, struct mirror, pages);
		if (zap->mapped)
			mirror_zap(mirror, zap);
		else
			mirrors_zap_aside(mirror, zap);
		node = next;
	}
	return zap->last == last ? 0 : zap->last + 1;
}

/*
 * Take the pages [first, last] of the map file out of all mirrors. Called in a
 * notifier of the source. May sleep.
 *
 * Who has mirrors_lock tries for i_mmap_rwsem until it is had (mirror_zap_aside),
 * which is to wait for it: so nobody waits for mirrors_lock with i_mmap_rwsem.
 */
void mirrors_invalidate(struct context *context, pgoff_t first, pgoff_t last)
{
	struct address_space *mapping = context->inode.i_mapping;
	struct zap zap = { .context = context };

	do {
		down_read(&context->mirrors_lock);
		zap.mapped = i_mmap_trylock_read(mapping);
		first = __mirrors_zap_part(&zap, first, last);
		if (zap.mapped)
			i_mmap_unlock_read(mapping);
		up_read(&context->mirrors_lock);
	} while (first);
}

/*
 * The same of all pages. It takes the time that the page tables take which are there,
 * however large the mirrors are.
 */
void mirrors_invalidate_all(struct context *context)
{
	struct address_space *mapping = context->inode.i_mapping;
	struct zap zap = { .context = context, .last = ULONG_MAX };
	struct interval_tree_node *node;
	struct mirror *mirror;

	down_read(&context->mirrors_lock);
	zap.mapped = i_mmap_trylock_read(mapping);
	for (node = interval_tree_iter_first(&context->mirrors, 0, ULONG_MAX);
	     node; node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		mirror = container_of(node, struct mirror, pages);
		if (zap.mapped)
			mirror_zap(mirror, &zap);
		else
			mirrors_zap_aside(mirror, &zap);
		cond_resched();
	}
	if (zap.mapped)
		i_mmap_unlock_read(mapping);
	up_read(&context->mirrors_lock);
}

/* Both locks, for who may wait for either and holds none. */
static void mirrors_lock_both(struct context *context)
{
	struct address_space *mapping = context->inode.i_mapping;

	/* Or those who link and unlink mirrors might be first every time. */
	aside_begin(context);
	i_mmap_lock_read(mapping);
	while (!down_read_trylock(&context->mirrors_lock)) {
		i_mmap_unlock_read(mapping);
		down_read(&context->mirrors_lock);
		if (i_mmap_trylock_read(mapping))
			break;
		up_read(&context->mirrors_lock);
		i_mmap_lock_read(mapping);
	}
	aside_end(context);
}

/* The same, called with no lock of the core's memory management held. */
void mirrors_zap(struct context *context, pgoff_t first, pgoff_t last)
{
	struct address_space *mapping = context->inode.i_mapping;
	struct zap zap = { .context = context, .mapped = true };

	do {
		mirrors_lock_both(context);
		first = __mirrors_zap_part(&zap, first, last);
		i_mmap_unlock_read(mapping);
		up_read(&context->mirrors_lock);
		cond_resched();
	} while (first);
}

/* ---- what the core tells of a viewer ---------------------------------------- */

/*
 * Mirrors in [start, last] are about to lose their pages and page tables. What
 * the core would take out of them later is taken out now: from when they are
 * unlinked on, zaps do not find it.
 */
static void viewer_unlink(struct viewer *viewer, unsigned long start,
			  unsigned long last)
{
	struct interval_tree_node *node, *next;
	struct context *context = NULL;
	struct mirror *mirror;

	mutex_lock(&viewer->mutex);
	for (node = interval_tree_iter_first(&viewer->mirrors, start, last);
	     node; node = interval_tree_iter_next(node, start, last)) {
		mirror = container_of(node, struct mirror, addresses);
		mirrors_give_way(mirror->context);
		mirror_empty(mirror);
	}

	node = interval_tree_iter_first(&viewer->mirrors, start, last);
	while (node) {
		next = interval_tree_iter_next(node, start, last);
		mirror = container_of(node, struct mirror, addresses);
		/* Waits for the zaps that are under way: not once a mirror. */
		if (mirror->context != context) {
			if (context)
				up_write(&context->mirrors_lock);
			context = mirror->context;
			down_write(&context->mirrors_lock);
		}
		__mirror_unlink(mirror);
		node = next;
	}
	if (context)
		up_write(&context->mirrors_lock);
	mutex_unlock(&viewer->mutex);
}

/*
 * Only what unmaps frees page tables. Who says so of a mirror holds the mmap_lock,
 * for writing or since it did; nobody can fault there, nor register. Some say it
 * who do not: the OOM reaper, which cannot wait, but passes mirrors over and
 * frees no table; and truncation of hugetlbfs, of its own VMAs.
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
	struct viewer *viewer = container_of(notifier, struct viewer, notifier);

	viewer_unlink(viewer, 0, ULONG_MAX);
	spin_lock(&viewers_lock);
	if (viewer->idle)
		mod_delayed_work(live_queue, &viewer->idle_work, 0);
	spin_unlock(&viewers_lock);
}

static void viewer_idle(struct work_struct *work)
{
	struct viewer *viewer = container_of(to_delayed_work(work),
					     struct viewer, idle_work);
	bool idle;

	spin_lock(&viewers_lock);
	/* If it was queued again while this waited, that one does it. */
	idle = viewer->idle && !delayed_work_pending(&viewer->idle_work);
	if (idle)
		viewer->idle = false;
	spin_unlock(&viewers_lock);
	if (idle)
		mmu_notifier_put(&viewer->notifier);
}

static struct mmu_notifier *viewer_alloc(struct mm_struct *mm)
{
	struct viewer *viewer = kzalloc(sizeof(*viewer), GFP_KERNEL_ACCOUNT);

	if (!viewer)
		return ERR_PTR(-ENOMEM);
	live_get();
	mutex_init(&viewer->mutex);
	INIT_DELAYED_WORK(&viewer->idle_work, viewer_idle);
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

/* A mirror has come, with a reference of its own. */
static void viewer_count(struct viewer *viewer)
{
	bool idle;

	spin_lock(&viewers_lock);
	viewer->nr++;
	idle = viewer->idle;
	viewer->idle = false;
	spin_unlock(&viewers_lock);
	if (idle)
		mmu_notifier_put(&viewer->notifier); /* not the last */
}

/*
 * One has gone. Its reference is the viewer's last, and left to the work; or is
 * not, and given back.
 */
static void viewer_discount(struct viewer *viewer)
{
	bool last;

	spin_lock(&viewers_lock);
	last = !--viewer->nr;
	viewer->idle = last;
	/* Who exits does not come again. */
	if (last)
		mod_delayed_work(live_queue, &viewer->idle_work,
				 atomic_read(&viewer->notifier.mm->mm_users) ?
				 IDLE_JIFFIES : 0);
	spin_unlock(&viewers_lock);
	if (!last)
		mmu_notifier_put(&viewer->notifier);
}

/* The VMA is new, and nobody can fault in it yet. */
int mirror_add(struct context *context, struct vm_area_struct *vma)
{
	struct registration registration;
	struct mmu_notifier *notifier;
	struct mirror *mirror = kzalloc(sizeof(*mirror), GFP_KERNEL_ACCOUNT);

	if (!mirror)
		return -ENOMEM;
	mirrors_give_way(context);
	registration_begin(&registration, vma->vm_mm);
	notifier = mmu_notifier_get_locked(&viewer_ops, vma->vm_mm);
	registration_end(&registration);
	if (IS_ERR(notifier)) {
		kfree(mirror);
		/* See context_watch(). */
		return PTR_ERR(notifier) == -EINTR ? -ERESTARTNOINTR :
						     PTR_ERR(notifier);
	}
	mirror->context = context;
	mirror->vma = vma;
	mirror->viewer = container_of(notifier, struct viewer, notifier);
	viewer_count(mirror->viewer);
	vma->vm_private_data = mirror;
	return 0;
}

/*
 * The VMA is a copy: the part that is split off one, or the place where one is
 * about to be moved. Called with the mmap_lock held for writing, before either
 * of the two is changed. It cannot fail.
 *
 * The old one is emptied and unlinked. Its bounds are about to change, which a
 * zap must not see; and while entries move from table to table, one could pass
 * between the two.
 */
void mirror_copy(struct vm_area_struct *vma)
{
	struct mirror *old = vma->vm_private_data;
	struct viewer *viewer = old->viewer;
	struct mirror *mirror;

	mirror = kzalloc(sizeof(*mirror), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mirror->context = old->context;
	mirror->vma = vma;
	mirror->viewer = viewer;
	vma->vm_private_data = mirror;
	/* Found: the old one has a reference. */
	WARN_ON_ONCE(IS_ERR(mmu_notifier_get_locked(&viewer_ops,
						    vma->vm_mm)));
	viewer_count(viewer);

	mirrors_give_way(old->context);
	/* No fault links it again before the mmap_lock is released. */
	vma_start_write(old->vma);
	mutex_lock(&viewer->mutex);
	if (old->linked) {
		mirror_empty(old);
		down_write(&old->context->mirrors_lock);
		__mirror_unlink(old);
		up_write(&old->context->mirrors_lock);
	}
	mutex_unlock(&viewer->mutex);
}

/* The VMA goes. If it was ever in use it was unlinked before. */
void mirror_remove(struct vm_area_struct *vma)
{
	struct mirror *mirror = vma->vm_private_data;

	WARN_ON_ONCE(READ_ONCE(mirror->linked));
	viewer_discount(mirror->viewer);
	kfree(mirror);
}
