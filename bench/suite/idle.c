/* idle.c: `idle COUNT`: takes so many blocks of up to 1 KiB and sleeps until its input ends. What a
 * process pays for its malloc before it has done anything: startup.py reads it from /proc.
 */
#include <stdlib.h>
#include <unistd.h>

int main(int argument_count, char **arguments)
{
    unsigned long count = argument_count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
    char byte;

    for (unsigned long i = 0; i < count; i++) {
        volatile unsigned char *block = malloc(16 + i * 48 % 1009);

        if (block == NULL)
            return 1;
        *block = 1;
    }
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
