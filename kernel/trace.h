/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM remote_mapping

#if !defined(_REMOTE_MAPPING_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _REMOTE_MAPPING_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(remote_mapping_fault,

	/* The context may be gone by now; the view is not. */
	TP_PROTO(const void *source, const struct view *view,
		 unsigned long address, bool write, unsigned int pages,
		 vm_fault_t result),

	TP_ARGS(source, view, address, write, pages, result),

	TP_STRUCT__entry(
		__field(const void *, source)
		__field(const void *, context)
		__field(unsigned long, address)
		__field(bool, write)
		__field(unsigned int, pages)
		__field(unsigned int, result)
	),

	TP_fast_assign(
		__entry->source = source;
		__entry->context = view->context;
		__entry->address = address;
		__entry->write = write;
		__entry->pages = pages;
		__entry->result = (__force unsigned int)result;
	),

	TP_printk("source=%p context=%p address=0x%lx %s pages=%u result=0x%x",
		  __entry->source, __entry->context, __entry->address,
		  __entry->write ? "write" : "read", __entry->pages,
		  __entry->result)
);

TRACE_EVENT(remote_mapping_invalidate,

	TP_PROTO(const struct watch *watch,
		 const struct mmu_notifier_range *range, bool hit),

	TP_ARGS(watch, range, hit),

	TP_STRUCT__entry(
		__field(const void *, source)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, event)
		__field(bool, hit)
	),

	TP_fast_assign(
		__entry->source = watch->mm;
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->event = range->event;
		__entry->hit = hit;
	),

	TP_printk("source=%p range=[0x%lx, 0x%lx) event=%u hit=%d",
		  __entry->source, __entry->start, __entry->end,
		  __entry->event, __entry->hit)
);

#endif /* _REMOTE_MAPPING_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
