/* M_MXFAST: the requests whose slots are held, as ptmalloc's fast bins hold them, until a trim.
 *
 * ptmalloc rounds the knob to a chunk size, so the limit on requests is 8 bytes short of a multiple of 16:
 * the class in which the limit falls is shared by held requests and others. The held ones take the
 * twin class. Owns nothing: everything follows from the knob. */
#ifndef NP_HEAP_MXFAST_H
#define NP_HEAP_MXFAST_H

#include "classes.h"
#include "tune.h"

/* The largest held request in bytes; 0: none is. */
NP_INLINE size_t np_mxfast_limit_bytes(void)
{
    size_t knob = (size_t)np_tune_get(NP_KNOB_MXFAST);

    /* A request r has a chunk of (r + 8) rounded up to 16, at least 32; the knob admits chunks up to (knob + 8)
     * rounded down to 16. */
    return knob >= 24 ? ((knob + 8) & ~(size_t)15) - 8 : 0;
}

/* The class that serves held and other requests; its held ones go to NP_TWIN_CLASS. Only if a limit is set. */
NP_INLINE unsigned np_mxfast_mixed_class(void)
{
    return np_class_of(np_mxfast_limit_bytes());
}

/* The same as below where a limit is set; out of line, since few programs set one. */
bool np_mxfast_holds(unsigned class_index);

NP_INLINE bool np_mxfast_is_held(unsigned class_index)
{
    return NP_UNLIKELY(np_mxfast_limit_bytes() != 0) && np_mxfast_holds(class_index);
}

#endif
