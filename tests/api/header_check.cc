/* Compiled and not run: the public header needs nothing before it, in each language it is for. */
#include "neap/neap.h"

int api_header_check(void);

int api_header_check(void)
{
    return NEAP_VERSION;
}
