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
#include <linux/pgtable.h>
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
typedef struct user_namespace compat_idmap;
#else
typedef struct mnt_idmap compat_idmap;
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

/* Memory that the source maps with other caching than the usual one. */
static inline bool compat_vma_is_cached(const struct vm_area_struct *vma)
{
#ifdef CONFIG_X86
	return !(pgprot_val(vma->vm_page_prot) & _PAGE_CACHE_MASK);
#else
	return !(vma->vm_flags & VM_MIXEDMAP);
#endif
}

#endif /* _REMOTE_MAPPING_COMPAT_H */
