# The boot sector of a LUN. It reads sectors 1 to 64 through the firmware's disk (int 13h), tells their sum on the second
# serial port, writes them to sectors 128 to 191, and ends QEMU (isa-debug-exit). Assembled and laid out by boot.py.
        .code16
        .global _start
_start:
        ljmp $0, $1f
1:      xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        movb %dl, drive
        movw $booted, %si
        call say
        movw $packet, %si
        movb drive, %dl
        movb $0x42, %ah
        int $0x13
        jc failed
        # The sum of all 32-bit words, so that the host sees what arrived.
        movw $0x1000, %ax
        movw %ax, %fs
        xorl %ebx, %ebx
        xorl %eax, %eax
        xorw %di, %di
        movw $(64 * 128), %cx
2:      addl %fs:(%di), %eax
        addw $4, %di
        loop 2b
        movl %eax, %ebp
        movw $sum, %si
        call say
        movw $8, %cx
3:      roll $4, %ebp
        movw %bp, %ax
        andb $15, %al
        cmpb $10, %al
        jb 4f
        addb $('a' - '0' - 10), %al
4:      addb $'0', %al
        call put
        loop 3b
        movw $newline, %si
        call say
        movl $128, lba
        movw $packet, %si
        movb drive, %dl
        movw $0x4300, %ax
        int $0x13
        jc failed
        movw $wrote, %si
        jmp end
failed:
        movw $bad, %si
end:    call say
        movb $0x10, %al
        outb %al, $0xf4
5:      hlt
        jmp 5b

say:    lodsb
        testb %al, %al
        jz 6f
        call put
        jmp say
6:      ret

put:    pushw %dx
        movb %al, %ah
        movw $0x2fd, %dx
7:      inb %dx, %al
        testb $0x20, %al
        jz 7b
        movw $0x2f8, %dx
        movb %ah, %al
        outb %al, %dx
        popw %dx
        ret

        .balign 4
packet: .byte 16, 0
        .word 64
        .word 0, 0x1000
lba:    .long 1, 0
drive:  .byte 0
booted: .asciz "boot sector runs\n"
sum:    .asciz "sum "
wrote:  .asciz "copy written\n"
bad:    .asciz "disk error\n"
newline: .asciz "\n"
        .org 510
        .word 0xaa55
