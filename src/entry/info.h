/* The reporting half of the public interface: the shapes of glibc's answers. */
#ifndef NP_ENTRY_INFO_H
#define NP_ENTRY_INFO_H

#include <stdio.h>

#include "neap/neap.h"

struct neap_mallinfo2 np_info_mallinfo2(void);
struct neap_mallinfo np_info_mallinfo(void);
void np_info_write_stats(void);
int np_info_write_xml(int options, FILE *stream);

#endif
