/* sample.c: functions whose instructions are known, for count_test.py. They are never called. */

#define FUNCTION(name, body)                                                                       \
    __asm__(".text\n.globl " name "\n.type " name ", @function\n" name ":\n" body                  \
            ".size " name ", . - " name "\n")

__asm__(".text\n.type elsewhere, @function\nelsewhere:\nret\n.size elsewhere, . - elsewhere\n");

/* Two branches out of it, neither followed. */
FUNCTION("straight", "cmp $1, %rdi\n ja 1f\n mov %rdi, %rax\n test %rax, %rax\n je 1f\n ret\n"
                     "1: jmp elsewhere\n");

/* What the compiler has put the other way round: the branch is the way to take. */
FUNCTION("inverted", "cmp $1, %rdi\n jbe 1f\n jmp elsewhere\n 1: mov %rdi, %rax\n ret\n");

/* A way out at once, as for free(NULL), does not hide the longer way. */
FUNCTION("early_return", "test %rdi, %rdi\n jne 1f\n ret\n"
                         "1: mov %rdi, %rax\n jmp 2f\n nop\n 2: add $1, %rax\n ret\n");

FUNCTION("calling", "call elsewhere\n ret\n");
FUNCTION("looping", "1: sub $1, %rdi\n jne 1b\n ret\n");
FUNCTION("locking", "lock addl $1, (%rdi)\n ret\n");
FUNCTION("exchanging", "xchg %rax, (%rdi)\n ret\n");
