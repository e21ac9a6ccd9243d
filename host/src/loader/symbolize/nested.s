# A function with a line, whose debug information nests 200,000 inlined functions into it.
.text
.globl outer
.type outer, @function
.file 1 "src/lib.rs"
outer:
.loc 1 7
 nop
.loc 1 8
 nop
.size outer, . - outer

.section .debug_abbrev, "", %progbits
.macro abbreviation code, tag
 .uleb128 \code
 .uleb128 \tag
 .byte 1
 .uleb128 0x11, 1, 0x12, 6
 .byte 0, 0
.endm
 abbreviation 1, 0x11
 abbreviation 2, 0x2e
 abbreviation 3, 0x1d
 .byte 0

.macro entry code
 .uleb128 \code
 .quad 0
 .long 0x7fffffff
.endm
.section .debug_info, "", %progbits
 .long end - start
start:
 .short 4
 .long 0
 .byte 8
 entry 1
 entry 2
.rept 200000
 entry 3
.endr
.zero 200002
end:
