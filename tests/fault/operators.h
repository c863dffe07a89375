/* Operator new and delete for a C program, by the names that C++ compilers give them, and what the
 * C++ library would have: the new-handler, and bad_alloc, which here is a jump to who asked. No
 * library stands around them: it would have allocated before the first trial.
 *
 * To be included by one file of a program that is linked with libneap.so. */
#ifndef NEAP_TESTS_FAULT_OPERATORS_H
#define NEAP_TESTS_FAULT_OPERATORS_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#if SIZE_MAX > UINT32_MAX
#define SIZE_CODE "m"
#else
#define SIZE_CODE "j"
#endif
#define ALIGN_CODE "St11align_val_t"
#define NOTHROW_CODE "RKSt9nothrow_t"

extern void *new_one(size_t bytes) __asm__("_Znw" SIZE_CODE);
extern void *new_array(size_t bytes) __asm__("_Zna" SIZE_CODE);
extern void *new_one_or_null(size_t bytes, const char *) __asm__("_Znw" SIZE_CODE NOTHROW_CODE);
extern void *new_array_or_null(size_t bytes, const char *) __asm__("_Zna" SIZE_CODE NOTHROW_CODE);
extern void *new_aligned_one(size_t bytes, size_t) __asm__("_Znw" SIZE_CODE ALIGN_CODE);
extern void *new_aligned_array(size_t bytes, size_t) __asm__("_Zna" SIZE_CODE ALIGN_CODE);
extern void *new_aligned_one_or_null(size_t bytes, size_t, const char *)
    __asm__("_Znw" SIZE_CODE ALIGN_CODE NOTHROW_CODE);
extern void *new_aligned_array_or_null(size_t bytes, size_t, const char *)
    __asm__("_Zna" SIZE_CODE ALIGN_CODE NOTHROW_CODE);

extern void delete_one(void *) __asm__("_ZdlPv");
extern void delete_array(void *) __asm__("_ZdaPv");
extern void delete_one_sized(void *, size_t bytes) __asm__("_ZdlPv" SIZE_CODE);
extern void delete_array_sized(void *, size_t bytes) __asm__("_ZdaPv" SIZE_CODE);
extern void delete_one_nothrow(void *, const char *) __asm__("_ZdlPv" NOTHROW_CODE);
extern void delete_array_nothrow(void *, const char *) __asm__("_ZdaPv" NOTHROW_CODE);
extern void delete_aligned_one(void *, size_t) __asm__("_ZdlPv" ALIGN_CODE);
extern void delete_aligned_array(void *, size_t) __asm__("_ZdaPv" ALIGN_CODE);
extern void delete_aligned_one_sized(void *, size_t bytes, size_t)
    __asm__("_ZdlPv" SIZE_CODE ALIGN_CODE);
extern void delete_aligned_array_sized(void *, size_t bytes, size_t)
    __asm__("_ZdaPv" SIZE_CODE ALIGN_CODE);
extern void delete_aligned_one_nothrow(void *, size_t, const char *)
    __asm__("_ZdlPv" ALIGN_CODE NOTHROW_CODE);
extern void delete_aligned_array_nothrow(void *, size_t, const char *)
    __asm__("_ZdaPv" ALIGN_CODE NOTHROW_CODE);

static jmp_buf on_bad_alloc;
static unsigned handler_calls_left;

extern void (*get_new_handler(void))(void) __asm__("_ZSt15get_new_handlerv");
extern _Noreturn void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

static void handler(void)
{
    handler_calls_left--;
}

void (*get_new_handler(void))(void)
{
    return handler_calls_left > 0 ? handler : NULL;
}

_Noreturn void throw_bad_alloc(void)
{
    longjmp(on_bad_alloc, 1);
}

enum { OPERATOR_FORMS = 8 };

static inline void *new_by_form(unsigned form, size_t bytes, size_t alignment)
{
    static const char nothrow;

    switch (form) {
    case 0: return new_one(bytes);
    case 1: return new_array(bytes);
    case 2: return new_one_or_null(bytes, &nothrow);
    case 3: return new_array_or_null(bytes, &nothrow);
    case 4: return new_aligned_one(bytes, alignment);
    case 5: return new_aligned_array(bytes, alignment);
    case 6: return new_aligned_one_or_null(bytes, alignment, &nothrow);
    default: return new_aligned_array_or_null(bytes, alignment, &nothrow);
    }
}

/* A block, or NULL for bad_alloc, too. The handler gives up after so many calls. */
static inline void *take_by_operator(unsigned form, size_t bytes, size_t alignment,
                                     unsigned handler_calls)
{
    handler_calls_left = handler_calls;
    return setjmp(on_bad_alloc) == 0 ? new_by_form(form, bytes, alignment) : NULL;
}

/* Frees what take_by_operator gave, in the `way`th of the ways for its form. */
static inline void give_by_operator(void *block, unsigned form, size_t bytes, size_t alignment,
                                    unsigned way)
{
    static const char nothrow;
    bool is_aligned = form >= 4;

    switch (way % 3 * 4 + is_aligned * 2 + form % 2) {
    case 0: delete_one(block); break;
    case 1: delete_array(block); break;
    case 2: delete_aligned_one(block, alignment); break;
    case 3: delete_aligned_array(block, alignment); break;
    case 4: delete_one_sized(block, bytes); break;
    case 5: delete_array_sized(block, bytes); break;
    case 6: delete_aligned_one_sized(block, bytes, alignment); break;
    case 7: delete_aligned_array_sized(block, bytes, alignment); break;
    case 8: delete_one_nothrow(block, &nothrow); break;
    case 9: delete_array_nothrow(block, &nothrow); break;
    case 10: delete_aligned_one_nothrow(block, alignment, &nothrow); break;
    default: delete_aligned_array_nothrow(block, alignment, &nothrow);
    }
}

#endif
