#!/bin/bash
# gcc and the assembler on a generated C program: the object files must be the same, byte for byte.
source "$(dirname "$0")/lib.sh"

export input=$work/program.c
awk 'BEGIN {
    print "#include <stdio.h>"
    print "#include <string.h>"
    x = 99
    for (i = 0; i < 250; i++) {
        printf "struct s%d { int a[%d]; double b; char c[%d]; };\n", i, i % 17 + 1, i % 31 + 1
        printf "static int f%d(struct s%d *p, int n)\n{\n", i, i
        print  "    int sum = n;"
        printf "    for (int i = 0; i < %d; i++) {\n", i + 3
        printf "        switch ((sum ^ i) %% %d) {\n", i % 9 + 2
        for (j = 0; j < i % 9 + 2; j++) {
            x = (x * 16807) % 2147483647
            printf "        case %d:\n", j
            printf "            sum += p->a[i %% %d] * %d + (int)p->b;\n", i % 17 + 1, x % 1000
            print  "            break;"
        }
        print "        default:"
        print "            memset(p->c, sum, sizeof(p->c));"
        print "            sum -= p->c[0];"
        print "        }\n    }"
        if (i > 0) {
            printf "    if (sum %% 7 == 0) {\n"
            printf "        struct s%d q = {{0}, sum, \"\"};\n", i - 1
            printf "        sum += f%d(&q, sum);\n    }\n", i - 1
        }
        print "    return sum;\n}"
    }
    print "int main(void)\n{"
    print "    struct s249 s = {{1}, 2.0, \"\"};"
    print "    printf(\"%d\\n\", f249(&s, 5));\n}"
}' > "$input"

scenario()
{
    gcc -O2 -c "$input" -o program.o
    gcc -O0 -S "$input" -o program.s
    gcc program.o -o program
    ./program
}
compare 9 cc1
