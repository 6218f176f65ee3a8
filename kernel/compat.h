/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that differs between the kernels this module builds for, and
 * nothing else: one helper a difference, under the newest kernel's name and
 * signature. The rest of the code is written for the newest kernel.
 *
 * Vendors backport: what can be tested for is tested for, and a version is
 * compared only where nothing else tells.
 */
#ifndef _REMOTE_MAPPING_COMPAT_H
#define _REMOTE_MAPPING_COMPAT_H

#include <linux/mm.h>
#include <linux/page_table_check.h>
#include <linux/sched/mm.h>
#include <linux/pgtable.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/version.h>

#ifndef CONFIG_HMM_MIRROR
#error "this kernel lacks CONFIG_HMM_MIRROR: remote mapping needs hmm_range_fault()"
#endif

#ifndef CONFIG_ARCH_HAS_PTE_SPECIAL
#error "this architecture has no special page-table entries"
#endif

/* 6.3: vma->vm_flags became read-only, to be changed by these alone. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set,
				vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* 6.3: inode operations take an idmap where they took a user namespace. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define mnt_idmap user_namespace
#endif

/*
 * 6.6: pte_mkwrite() asks the VMA for a shadow stack, and is not exported; this
 * is the plain one. A mirror is no shadow stack.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define pte_mkwrite_novma(pte) pte_mkwrite(pte)
#endif

/* 6.6: shadow stacks are writable only by the CPU's own call instructions. */
static inline bool compat_vma_is_shadow_stack(const struct vm_area_struct *vma)
{
#ifdef VM_SHADOW_STACK
	return vma->vm_flags & VM_SHADOW_STACK;
#else
	return false;
#endif
}

/* Who has the lock for writing, or waits for its readers; NULL: perhaps nobody. */
static inline struct task_struct *compat_rwsem_writer(struct rw_semaphore *sem)
{
#ifdef CONFIG_PREEMPT_RT
	return (void *)((unsigned long)READ_ONCE(sem->rwbase.rtmutex.owner) &
			~1UL);
#else
	unsigned long owner = atomic_long_read(&sem->owner);

	/* The low bits: readers have it, and nobody spins for it. */
	return owner & 1 ? NULL : (void *)(owner & ~3UL);
#endif
}

/* Memory that the source maps with other caching than the usual one. */
static inline bool compat_vma_is_cached(const struct vm_area_struct *vma)
{
#ifdef CONFIG_X86
	return !(pgprot_val(vma->vm_page_prot) & _PAGE_CACHE_MASK);
#else
	return !(vma->vm_flags & VM_MIXEDMAP);
#endif
}

#ifndef PMD_ORDER
#define PMD_ORDER (PMD_SHIFT - PAGE_SHIFT)
#endif
#ifndef PUD_ORDER
#define PUD_ORDER (PUD_SHIFT - PAGE_SHIFT)
#endif

/*
 * CONFIG_PAGE_TABLE_CHECK stops the kernel when an anonymous page is in two
 * page tables and one may be written: a mirror by its nature. It passes over
 * entries marked special, but only single ones, and not on all kernels.
 */
static inline bool compat_page_tables_checked(void)
{
#ifdef CONFIG_PAGE_TABLE_CHECK
	return !static_branch_likely(&page_table_check_disabled);
#else
	return false;
#endif
}

static inline bool compat_page_tables_usable(void)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0) ||
	       !compat_page_tables_checked();
}

/*
 * Whether one entry may map this huge page. The architecture must have a mark
 * for it, below, and do without a page table in reserve: to make one takes
 * memory, and it is inserted under a spinlock.
 */
#if defined(CONFIG_TRANSPARENT_HUGEPAGE) &&	\
	(defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP) ||	\
	 defined(CONFIG_ARCH_HAS_PTE_DEVMAP))
static inline bool compat_pmd_mappable(struct folio *folio, bool may_write)
{
	return !arch_needs_pgtable_deposit() &&
	       !(may_write && compat_page_tables_checked() &&
		 folio_test_anon(folio));
}
#else
static inline bool compat_pmd_mappable(struct folio *folio, bool may_write)
{
	return false;
}
#endif

/*
 * 6.17: without pfn_t. 6.12: exported, and the entry is marked special,
 * so that get_user_pages_fast() refuses it. Before, there is no special mark for
 * huge entries: one of device memory is refused as well, unless the page frame
 * is a device's, and these are not (mirror.c).
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/huge_mm.h>
#include <linux/pfn_t.h>
static inline vm_fault_t compat_insert_pfn_pmd(struct vm_fault *vmf,
					       unsigned long pfn, bool write)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	return vmf_insert_pfn_pmd(vmf, __pfn_to_pfn_t(pfn, 0), write);
#else
	return vmf_insert_pfn_pmd(vmf, __pfn_to_pfn_t(pfn, PFN_DEV | PFN_MAP),
				  write);
#endif
}

#define vmf_insert_pfn_pmd(vmf, pfn, write) \
	compat_insert_pfn_pmd(vmf, pfn, write)
#endif

/*
 * One entry may map 1 GiB, a giant page, where the core has a special mark for it
 * (6.12), and asks huge_fault() about an empty 1 GiB of a VM_PFNMAP VMA (6.6).
 */
#if defined(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP) &&	\
	defined(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
#define COMPAT_HAS_GIANTS 1
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define vmf_insert_pfn_pud(vmf, pfn, write) \
	vmf_insert_pfn_pud(vmf, __pfn_to_pfn_t(pfn, 0), write)
#endif
#else
#define COMPAT_HAS_GIANTS 0
#define vmf_insert_pfn_pud(vmf, pfn, write) ((void)(pfn), VM_FAULT_FALLBACK)
#endif

/* 6.8: pudp_get(). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define pudp_get(pudp) READ_ONCE(*(pudp))
#endif

/*
 * Whether an entry that is there may be written over, to allow more, without a
 * flush: on x86 a fault drops the stale one. Elsewhere that depends.
 */
static inline bool compat_pte_upgradable(void)
{
	return IS_ENABLED(CONFIG_X86);
}

/* 7.1: zap_vma_ptes() under another name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 1, 0)
#define zap_special_vma_range(vma, address, size) \
	zap_vma_ptes(vma, address, size)
#endif

/* 6.6: huge_fault() is told an order; before, one of three sizes. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define compat_define_huge_fault(name)					\
static vm_fault_t name##_sized(struct vm_fault *vmf,			\
			       enum page_entry_size size)		\
{									\
	return name(vmf, size == PE_SIZE_PMD ? PMD_ORDER : 0);		\
}									\
static vm_fault_t name##_sized(struct vm_fault *vmf,			\
			       enum page_entry_size size)
#define compat_huge_fault(name) name##_sized
#else
#define compat_define_huge_fault(name)					\
static vm_fault_t name(struct vm_fault *vmf, unsigned int order)
#define compat_huge_fault(name) name
#endif

/* 6.6: pmdp_get_lockless() under this name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define pmdp_get_lockless(pmdp) READ_ONCE(*(pmdp))
#endif

/* 6.4: a fault may hold the VMA's lock alone; 6.7: that of a file, too. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define FAULT_FLAG_VMA_LOCK 0
#define vma_start_write(vma) do { } while (0)
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
#define release_fault_lock(vmf) mmap_read_unlock((vmf)->vma->vm_mm)
#endif

#ifdef CONFIG_HIGHPTE
#error "page tables in high memory are not supported"
#endif

/* 6.10: mm_get_unmapped_area(); 6.19: without its mm, which is current's. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define mm_get_unmapped_area(file, address, length, pgoff, flags)	\
	(current->mm->get_unmapped_area(file, address, length, pgoff, flags))
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define mm_get_unmapped_area(file, address, length, pgoff, flags)	\
	mm_get_unmapped_area(current->mm, file, address, length, pgoff, flags)
#endif

/* 6.5: get_user_pages_remote() and its kin lost their argument for VMAs. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define get_user_pages_remote(mm, start, nr, flags, pages, locked)	\
	get_user_pages_remote(mm, start, nr, flags, pages, NULL, locked)
#define pin_user_pages_remote(mm, start, nr, flags, pages, locked)	\
	pin_user_pages_remote(mm, start, nr, flags, pages, NULL, locked)
#endif

/* 6.6: get_user_pages() heeds FOLL_NOFAULT for hugetlb too. */
static inline bool compat_gup_may_fault(struct vm_area_struct *vma)
{
	return LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0) &&
	       vma->vm_flags & VM_HUGETLB;
}

/* 6.5: copy_splice_read(), which reads into pages of its own. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define copy_splice_read generic_file_splice_read
#endif

#endif /* _REMOTE_MAPPING_COMPAT_H */
