// Makes the assembler write every move of a vector in its unaligned form.
// Windows aligns stacks to 16 bytes only, and GCC there may still put vectors
// of 32 or 64 bytes on it with moves that fault when not aligned (GCC bug
// 54412). On aligned memory the unaligned form is as fast. Clang has no such
// bug, and no assembler of its own that would read this.
// tools/stack-alignment.sh checks the result.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// Guarded within the assembler: link-time optimisation may join several files.
__asm__(".ifndef attentive_unaligned_moves\n"
        ".set attentive_unaligned_moves, 1\n"
        ".macro vmovaps operands:vararg\n\tvmovups \\operands\n.endm\n"
        ".macro vmovapd operands:vararg\n\tvmovupd \\operands\n.endm\n"
        ".macro vmovdqa operands:vararg\n\tvmovdqu \\operands\n.endm\n"
        ".macro vmovdqa32 operands:vararg\n\tvmovdqu32 \\operands\n.endm\n"
        ".macro vmovdqa64 operands:vararg\n\tvmovdqu64 \\operands\n.endm\n"
        ".endif\n");
#endif
