/* A library with so much thread-local storage that it cannot lie in the static block: the loader
 * calls malloc when a thread touches it first, and free when the thread ends. For dynamic_tls.c. */
#include <stddef.h>

char *tls_library_bytes(size_t *size_bytes);

static _Thread_local char bytes[200000] = {1};
static _Thread_local _Alignas(256) char aligned_bytes[1000];

char *tls_library_bytes(size_t *size_bytes)
{
    *size_bytes = sizeof(bytes);
    aligned_bytes[0]++;
    return bytes;
}
