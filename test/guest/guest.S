/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest for the tests of --qemu: QEMU's -kernel loads it (multiboot).
 *
 * Promises: while `counter` grows, it runs. What is in `orders` it does once, and
 * then answers with the order's number in `done`; the addresses below are where
 * the tests look. Everything else of memory it leaves alone.
 *
 *   0x200000  counter  u32, grows without end
 *   0x200010  orders   u32: 1 fill, 2 move, 3 eject, 4 map; 0: nothing to do
 *   0x200014  done     u32: the last order that was done
 *   0x200018  from     u32  address
 *   0x20001c  to       u32  address
 *   0x200020  length   u32  in bytes, a multiple of 4
 *   0x200030  text     "a guest was here"
 *
 * fill: `length` bytes at `to` become words that hold their own address, each
 * inverted; move: `length` bytes go from `from` to `to`, and zeros stay behind;
 * eject: the memory module in slot `from` is let go, by the ports that QEMU's
 * docs/specs/acpi_mem_hotplug has; map: page tables of x86-64, four levels, are made
 * at `to`, where zeros are: the virtual addresses up to `length`, a multiple of 2 MiB
 * and 1 GiB at the most, are those from `from` on.
 */
	.set MAGIC, 0x1badb002
	.set FLAGS, 0x00010000 /* the addresses are here, it need not be ELF */
	.set BASE, 0x100000
	.set PAGE, 0x200000

	.section .text
	.code32
	.globl _start
header:
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long header, BASE, end, end, _start

_start:
	cld
	movl $text, %esi
	movl $PAGE + 0x30, %edi
	movl $text_end - text, %ecx
	rep movsb
loop:
	incl PAGE
	movl PAGE + 0x10, %eax
	testl %eax, %eax
	jz loop
	movl PAGE + 0x18, %esi
	movl PAGE + 0x1c, %edi
	movl PAGE + 0x20, %ecx
	shrl $2, %ecx
	cmpl $1, %eax
	je fill
	cmpl $2, %eax
	je move
	cmpl $3, %eax
	je eject
	cmpl $4, %eax
	je map
done:
	movl $0, PAGE + 0x10
	movl %eax, PAGE + 0x14
	jmp loop

fill:
	jecxz done
1:	movl %edi, %edx
	notl %edx
	movl %edx, (%edi)
	addl $4, %edi
	loop 1b
	jmp done

move:
	jecxz done
1:	movl (%esi), %edx
	movl $0, (%esi)
	movl %edx, (%edi)
	addl $4, %esi
	addl $4, %edi
	loop 1b
	jmp done

eject:
	movl %eax, %ebx
	movl %esi, %eax
	movw $0xa00, %dx
	outl %eax, %dx
	movb $8, %al
	movw $0xa14, %dx
	outb %al, %dx
	movl %ebx, %eax
	jmp done

map:
	shrl $10, %ecx
	leal 0x1003(%edi), %edx
	movl %edx, (%edi)
	addl $0x1000, %edx
	movl %edx, 0x1000(%edi)
	leal 0x2000(%edi), %ebx
	movl %ecx, %ebp
	shrl $9, %ebp
1:	addl $0x1000, %edx
	movl %edx, (%ebx)
	addl $8, %ebx
	decl %ebp
	jnz 1b
	addl $0x3000, %edi
	orl $3, %esi
1:	movl %esi, (%edi)
	addl $0x1000, %esi
	addl $8, %edi
	loop 1b
	jmp done

text:
	.ascii "a guest was here"
text_end:
	.balign 4
end:
